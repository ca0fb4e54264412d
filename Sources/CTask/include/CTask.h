// SPDX-License-Identifier: Apache-2.0
// Which task runs, without a reference to it: `withUnsafeCurrentTask` counts one up and down and goes through generic code.
#ifndef POSTHOUSE_CTASK_H
#define POSTHOUSE_CTASK_H
#include <stdint.h>

// Part of the runtime's binary interface (swift/Runtime/Concurrency.h), stable on all platforms that promise stability.
__attribute__((swiftcall)) void *swift_task_getCurrent(void);

// The running task's address, to tell tasks apart while they live; 0 outside any task.
static inline uintptr_t ctask_current(void) { return (uintptr_t)swift_task_getCurrent(); }

// A random number of the thread's own generator (xorshift64*): good enough to break ties, shared with nobody.
uint64_t ctask_random(void);
#endif
