// SPDX-License-Identifier: Apache-2.0
#ifndef CTESTKIT_INTERNAL_H
#define CTESTKIT_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CTestKit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#ifdef __linux__

// What getdents64 fills in. opendir allocates, and a fork of a threaded process must not.
struct testkit_entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

// In a fork of a threaded process the C library's wrappers of set*id talk to threads that are not there: raw calls.
int testkit_drop_user(uid_t user, gid_t group);
// Only the effective user, so that the watchdog can become root again for the folder's own entry in its parent.
int testkit_borrow_user(uid_t user, gid_t group);
void testkit_return_user(uid_t user);

void testkit_default_signals(void);
void testkit_close_from(int first);

// Becomes the program. Returns only on failure, with the errno. Descriptor 3 is the caller's.
int testkit_exec(const testkit_program *program);

// Like testkit_processes, in the calling process and with its rights. Async-signal-safe.
int testkit_scan(
    const char *folder, enum testkit_action action, int milliseconds, pid_t *processes, int capacity);

#endif
#endif
