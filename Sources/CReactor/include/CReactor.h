// SPDX-License-Identifier: Apache-2.0
// epoll and eventfd are not in Swift's Glibc module map, and Swift has no thread-local variables.
#ifndef POSTHOUSE_CREACTOR_H
#define POSTHOUSE_CREACTOR_H
#if defined(__linux__)
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

// What is reported, and what is asked for: reading and hangups always, writing while somebody waits for it.
static const uint32_t creactor_readable = EPOLLIN;
static const uint32_t creactor_writable = EPOLLOUT;
static const uint32_t creactor_hangup = EPOLLHUP | EPOLLRDHUP | EPOLLERR;
static const uint32_t creactor_watched = EPOLLIN | EPOLLRDHUP | EPOLLET;

// Every function that can fail returns the error number, negated.

// A close-on-exec epoll descriptor.
int creactor_epoll_create(void);

// Adds, changes or removes (EPOLL_CTL_*) one descriptor.
int creactor_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t token);

// Waits for events: at most `nanoseconds`, without end if negative. Returns how many it stored.
int creactor_epoll_wait(int epoll, struct epoll_event *events, int capacity, int64_t nanoseconds);

// A close-on-exec eventfd whose reads block while its count is zero.
int creactor_eventfd_create(void);

// Adds one to the count of an eventfd.
int creactor_eventfd_signal(int descriptor);

// Takes the count of an eventfd into `count`; blocks while it is zero.
int creactor_eventfd_take(int descriptor, uint64_t *count);

// The loop that owns the calling thread, as the loop itself stored it; NULL elsewhere.
void *creactor_thread_loop(void);
void creactor_set_thread_loop(void *loop);

// Names the calling thread; the system takes the first 15 bytes.
void creactor_name_thread(const char *name);

// Ignores SIGPIPE for the process unless the program already decided about it.
void creactor_ignore_sigpipe(void);
#endif
#endif
