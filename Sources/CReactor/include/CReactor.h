// SPDX-License-Identifier: Apache-2.0
// epoll and eventfd are not in Swift's Glibc module map.
#ifndef POSTHOUSE_CREACTOR_H
#define POSTHOUSE_CREACTOR_H
#if defined(__linux__)
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif
#endif
