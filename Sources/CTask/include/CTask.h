// SPDX-License-Identifier: Apache-2.0
// What an idle hit needs and Swift offers only at a price that is more than the rest of the hit.
#ifndef POSTHOUSE_CTASK_H
#define POSTHOUSE_CTASK_H
#include <stdint.h>

// Part of the runtime's binary interface (swift/Runtime/Concurrency.h), stable on all platforms that promise stability.
__attribute__((swiftcall)) void *swift_task_getCurrent(void);

// The running task's address, 0 outside any task. Only to be compared, for the diagnosis of a task that waits for what it
// holds itself; a later task may be at the same address. `withUnsafeCurrentTask` counts a reference and runs generic code.
static inline uintptr_t ctask_current(void) { return (uintptr_t)swift_task_getCurrent(); }

__attribute__((swiftcall)) uint64_t swift_task_getJobTaskId(void *job);

// The running task's number, 0 outside any task. The runtime gives each task another one, and none again.
static inline uint64_t ctask_current_number(void) {
  void *task = swift_task_getCurrent();
  return task ? swift_task_getJobTaskId(task) : 0;
}

// A random number of the thread's own generator (xorshift64*): good enough to break ties, shared with nobody.
uint64_t ctask_random(void);

// 0 in the thread that asks first, 1 in the next one, and so on.
uint64_t ctask_thread_number(void);

// From now on the thread has this number, and random numbers that follow from `seed`: a simulation plays many threads.
void ctask_guise(uint64_t thread, uint64_t seed);

// How many processors are online.
long ctask_processors(void);
#endif
