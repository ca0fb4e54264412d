// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#ifdef __linux__

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_in loopback(uint16_t port) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int bound_socket(uint16_t port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    int on = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = loopback(port);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        int failure = errno;
        close(descriptor);
        return -failure;
    }
    return descriptor;
}

int testkit_port_is_free(uint16_t port) {
    int descriptor = bound_socket(port);
    if (descriptor < 0) return 0;
    // With SO_REUSEADDR two sockets may be bound to a port as long as none of them listens.
    int free = listen(descriptor, 1) == 0;
    close(descriptor);
    return free;
}

// An abstract socket name is a lock that the kernel drops with its owner and that is in no file system; it is scoped to
// the network namespace, as ports are.
int testkit_reserve_port(uint16_t port) {
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "posthouse-port-%u", (unsigned)port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    if (bind(descriptor, (struct sockaddr *)&address, size) != 0) {
        int failure = errno;
        close(descriptor);
        return -failure;
    }
    if (!testkit_port_is_free(port)) {
        close(descriptor);
        return -EADDRINUSE;
    }
    return descriptor;
}

int testkit_listen(uint16_t port, int backlog) {
    int descriptor = bound_socket(port);
    if (descriptor < 0) return descriptor;
    if (listen(descriptor, backlog) != 0) {
        int failure = errno;
        close(descriptor);
        return -failure;
    }
    return descriptor;
}

static void no_delay(int descriptor) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int testkit_accept(int listener) {
    for (;;) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (descriptor >= 0) {
            no_delay(descriptor);
            return descriptor;
        }
        if (errno != EINTR && errno != ECONNABORTED) return -errno;
    }
}

int testkit_connect(uint16_t port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    no_delay(descriptor);
    struct sockaddr_in address = loopback(port);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
        int failure = errno;
        close(descriptor);
        return -failure;
    }
    return descriptor;
}

int testkit_ignore_connections(int listener, uint16_t port) {
    if (listen(listener, 0) != 0) return -errno;
    // A backlog of 0 still queues one connection; from then on the kernel drops what arrives.
    int filler = testkit_connect(port);
    if (filler < 0) return filler;
    struct pollfd connected = {.fd = filler, .events = POLLOUT};
    poll(&connected, 1, 1000);
    return filler;
}

void testkit_answer_again(int listener, int filler, int backlog) {
    close(filler);
    int queued = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (queued >= 0) close(queued);
    listen(listener, backlog);
}

int testkit_connect_local(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    // Not EINPROGRESS here: a local connect succeeds at once or the backlog is full (EAGAIN).
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        int failure = errno;
        close(descriptor);
        return -failure;
    }
    return descriptor;
}

ssize_t testkit_send(int descriptor, const void *bytes, size_t count) {
    return send(descriptor, bytes, count, MSG_NOSIGNAL);
}

int testkit_socket_error(int descriptor) {
    int failure = 0;
    socklen_t size = sizeof failure;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) return errno;
    return failure;
}

// A child that is being started has copies of all descriptors until it executes its program, and as long as one exists,
// close() alone neither resets a connection nor ends a listener. These act on the socket itself.

void testkit_reset(int descriptor) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    (void)connect(descriptor, &nobody, sizeof nobody);
    close(descriptor);
}

void testkit_stop_listening(int listener) {
    shutdown(listener, SHUT_RDWR);
    close(listener);
}

int testkit_wake_pair(int descriptors[2]) {
    return pipe2(descriptors, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : -errno;
}

#endif
