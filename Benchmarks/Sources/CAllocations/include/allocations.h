// SPDX-License-Identifier: Apache-2.0

#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include <stdint.h>

/// Begins to count at 0.
void allocations_start(void);

/// How many blocks the process has asked for since the start, on all threads; -1 where that is not known (this counts by
/// standing before the allocator of glibc).
int64_t allocations_stop(void);

#endif
