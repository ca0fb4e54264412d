// SPDX-License-Identifier: Apache-2.0
//
// The kit finds processes in /proc and reserves ports by abstract sockets, so it runs on Linux. Elsewhere it compiles,
// for packages whose other tests run there, and says so when it is used.
#include "internal.h"

#ifndef __linux__

pid_t testkit_spawn(const testkit_program *program) {
    (void)program;
    return -ENOTSUP;
}

int testkit_reap(pid_t process, int *status) {
    (void)process;
    (void)status;
    return 1;
}

pid_t testkit_watchdog(const char *folder, uid_t user, gid_t group, int *channel) {
    (void)folder;
    (void)user;
    (void)group;
    (void)channel;
    return -ENOTSUP;
}

pid_t testkit_run_at_end(const testkit_program *program, int *channel) {
    (void)program;
    (void)channel;
    return -ENOTSUP;
}

int testkit_processes(
    const char *folder, enum testkit_action action, int milliseconds, uid_t user, gid_t group, pid_t *processes,
    int capacity) {
    (void)folder;
    (void)action;
    (void)milliseconds;
    (void)user;
    (void)group;
    (void)processes;
    (void)capacity;
    return -ENOTSUP;
}

int testkit_remove(const char *folder) {
    (void)folder;
    return -ENOTSUP;
}

int testkit_can_enter(const char *folder, uid_t user, gid_t group) {
    (void)user;
    (void)group;
    return access(folder, X_OK) == 0;
}

int testkit_reserve_port(uint16_t port) {
    (void)port;
    return -ENOTSUP;
}

int testkit_port_is_free(uint16_t port) {
    (void)port;
    return 0;
}

int testkit_listen(uint16_t port, int backlog) {
    (void)port;
    (void)backlog;
    return -ENOTSUP;
}

int testkit_ignore_connections(int listener, uint16_t port) {
    (void)listener;
    (void)port;
    return -ENOTSUP;
}

void testkit_answer_again(int listener, int filler, int backlog) {
    (void)listener;
    (void)filler;
    (void)backlog;
}

int testkit_accept(int listener) {
    (void)listener;
    return -ENOTSUP;
}

int testkit_connect(uint16_t port) {
    (void)port;
    return -ENOTSUP;
}

int testkit_connect_local(const char *path) {
    (void)path;
    return -ENOTSUP;
}

ssize_t testkit_send(int descriptor, const void *bytes, size_t count) {
    (void)descriptor;
    (void)bytes;
    (void)count;
    errno = ENOTSUP;
    return -1;
}

int testkit_socket_error(int descriptor) {
    (void)descriptor;
    return ENOTSUP;
}

void testkit_reset(int descriptor) {
    (void)descriptor;
}

void testkit_stop_listening(int listener) {
    (void)listener;
}

int testkit_wake_pair(int descriptors[2]) {
    (void)descriptors;
    return -ENOTSUP;
}

#endif
