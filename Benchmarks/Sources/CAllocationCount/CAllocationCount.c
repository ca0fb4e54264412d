// SPDX-License-Identifier: Apache-2.0
#include "CAllocationCount.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

static _Atomic uint64_t total;

uint64_t callocationcount_total(void) { return atomic_load_explicit(&total, memory_order_relaxed); }

#ifdef __GLIBC__
// https://www.gnu.org/software/libc/manual/html_node/Replacing-malloc.html: what is not replaced here (posix_memalign is
// the other one that Swift uses) goes to the C library uncounted, and `free` takes both.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void count(void) { atomic_fetch_add_explicit(&total, 1, memory_order_relaxed); }

void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(); return __libc_calloc(number, size); }
void *realloc(void *block, size_t size) { count(); return __libc_realloc(block, size); }
void *aligned_alloc(size_t alignment, size_t size) { count(); return __libc_memalign(alignment, size); }
#endif
