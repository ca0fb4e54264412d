// SPDX-License-Identifier: Apache-2.0
#include "CTask.h"
#include <stdatomic.h>
#include <unistd.h>

// Of the thread: its generator, and its number plus one; 0 until they are asked for.
static _Thread_local uint64_t state = 0;
static _Thread_local uint64_t number = 0;

uint64_t ctask_random(void) {
  // The address differs from thread to thread.
  if (state == 0) state = (uintptr_t)&state * 0x9E3779B97F4A7C15u | 1;
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1Du >> 32;
}

uint64_t ctask_thread_number(void) {
  static _Atomic uint64_t threads = 1;
  if (number == 0) number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
  return number - 1;
}

void ctask_guise(uint64_t thread, uint64_t seed) {
  number = thread + 1;
  state = seed | 1;
}

long ctask_processors(void) { return sysconf(_SC_NPROCESSORS_ONLN); }
