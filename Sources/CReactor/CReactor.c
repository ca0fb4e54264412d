// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CReactor.h"

#if defined(__linux__)
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int creactor_epoll_create(void) {
  int descriptor = epoll_create1(EPOLL_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int creactor_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data = {.u64 = token}};
  return epoll_ctl(epoll, operation, descriptor, &event) < 0 ? -errno : 0;
}

#if defined(SYS_epoll_pwait2)
// epoll_wait counts in milliseconds. epoll_pwait2 (Linux 5.11) counts in nanoseconds, but the kernel below or a sandbox
// around us may not know it; the first refusal is remembered.
static atomic_bool epoll_pwait2_refused = false;

static int wait_precisely(int epoll, struct epoll_event *events, int capacity, int64_t nanoseconds) {
  struct {
    int64_t seconds;
    int64_t nanoseconds;
  } timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  long count = syscall(SYS_epoll_pwait2, epoll, events, capacity, &timeout, NULL, (size_t)0);
  return count < 0 ? -errno : (int)count;
}
#endif

int creactor_epoll_wait(int epoll, struct epoll_event *events, int capacity, int64_t nanoseconds) {
#if defined(SYS_epoll_pwait2)
  if (nanoseconds > 0 && !atomic_load_explicit(&epoll_pwait2_refused, memory_order_relaxed)) {
    int count = wait_precisely(epoll, events, capacity, nanoseconds);
    if (count != -ENOSYS && count != -EPERM) return count;
    atomic_store_explicit(&epoll_pwait2_refused, true, memory_order_relaxed);
  }
#endif
  int timeout = -1;
  if (nanoseconds >= 0) {
    // Rounded up: a timer may be late, never early. A longer wait than fits is cut; the caller plans again.
    int64_t milliseconds = nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
    timeout = milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
  }
  int count = epoll_wait(epoll, events, capacity, timeout);
  return count < 0 ? -errno : count;
}

int creactor_eventfd_create(void) {
  int descriptor = eventfd(0, EFD_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int creactor_eventfd_signal(int descriptor) {
  while (eventfd_write(descriptor, 1) < 0) {
    if (errno != EINTR) return -errno;
  }
  return 0;
}

int creactor_eventfd_take(int descriptor, uint64_t *count) {
  eventfd_t value = 0;
  while (eventfd_read(descriptor, &value) < 0) {
    if (errno != EINTR) return -errno;
  }
  *count = value;
  return 0;
}

static _Thread_local void *thread_loop = NULL;

void *creactor_thread_loop(void) { return thread_loop; }

void creactor_set_thread_loop(void *loop) { thread_loop = loop; }

void creactor_name_thread(const char *name) {
  char prefix[16];
  strncpy(prefix, name, sizeof prefix - 1);
  prefix[sizeof prefix - 1] = 0;
  pthread_setname_np(pthread_self(), prefix);
}

void creactor_ignore_sigpipe(void) {
  struct sigaction current;
  if (sigaction(SIGPIPE, NULL, &current) == 0 && !(current.sa_flags & SA_SIGINFO) && current.sa_handler == SIG_DFL) {
    signal(SIGPIPE, SIG_IGN);
  }
}
#endif
