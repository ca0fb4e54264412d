// SPDX-License-Identifier: Apache-2.0
// Counts the process's allocations: the executable's own `malloc` and kin, in front of the C library's.
#ifndef POSTHOUSE_CALLOCATIONCOUNT_H
#define POSTHOUSE_CALLOCATIONCOUNT_H
#include <stdint.h>

// How many there were so far, of all threads; 0 for ever where they cannot be counted (anything but glibc).
uint64_t callocationcount_total(void);
#endif
