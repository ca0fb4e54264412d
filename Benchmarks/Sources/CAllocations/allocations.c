// SPDX-License-Identifier: Apache-2.0

#include "allocations.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef __GLIBC__

// glibc lets a program stand before its allocator ("Replacing malloc" in its manual) and exports its own under these names.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static _Atomic int64_t count;
// Off, it costs next to nothing: what is measured otherwise is not slowed down.
static atomic_bool is_counting;

static void note(void) {
    if (atomic_load_explicit(&is_counting, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
    }
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    note();
    return __libc_calloc(number, size);
}

void *realloc(void *block, size_t size) {
    note();
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    note();
    *block = __libc_memalign(alignment, size);
    return *block == NULL ? ENOMEM : 0;
}

void free(void *block) { __libc_free(block); }

void allocations_start(void) {
    atomic_store(&count, 0);
    atomic_store(&is_counting, true);
}

int64_t allocations_stop(void) {
    atomic_store(&is_counting, false);
    return atomic_load(&count);
}

#else

void allocations_start(void) {}

int64_t allocations_stop(void) { return -1; }

#endif
