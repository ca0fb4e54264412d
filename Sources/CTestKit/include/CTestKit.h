// SPDX-License-Identifier: Apache-2.0
//
// What a test kit needs from the kernel and Swift cannot do safely: fork. The children that these functions make
// call nothing but system calls until they exec or exit, because they are forks of a process with many threads.
//
// Conventions: 0 or a value >= 0 on success, a negative errno on failure. A uid of TESTKIT_SAME_USER means "do not
// change user". One rule identifies the processes of a cluster, also those whose parent died: their working directory
// lies inside the cluster's folder. Every program started here is put there, and PostgreSQL stays there.
#ifndef CTESTKIT_H
#define CTESTKIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TESTKIT_SAME_USER ((uid_t)-1)

/// The program ends its life in a session of its own, with default signals, no descriptors but 0, 1 and 2.
typedef struct {
    const char *path;            // absolute
    char *const *arguments;      // NULL-terminated, [0] is the program's name
    char *const *environment;    // NULL-terminated, complete
    const char *directory;       // working directory
    const char *output;          // file that stdout and stderr are appended to, NULL = /dev/null
    uid_t user;
    gid_t group;
} testkit_program;

/// Starts a program; an exec that fails is reported here. Returns the process id; the caller reaps it.
pid_t testkit_spawn(const testkit_program *program);

/// 1 = it ended (and *status is set if it was our child to reap), 0 = it runs. Never blocks.
int testkit_reap(pid_t process, int *status);

/// Starts the watchdog of a folder that does not exist yet. The watchdog makes it (mode 0700, owned by `user`), waits
/// until the other end of *channel is closed, by whatever kind of death, then kills every process of the folder and
/// removes it. Returns the watchdog's process id. The byte 'D' on the channel disarms it.
pid_t testkit_watchdog(const char *folder, uid_t user, gid_t group, int *channel);

/// Starts a process that runs `program` when the other end of *channel is closed, by whatever kind of death. Returns its
/// process id; the caller reaps it.
pid_t testkit_run_at_end(const testkit_program *program, int *channel);

enum testkit_action {
    TESTKIT_LIST = 0,
    TESTKIT_STOP = 1,        // SIGSTOP until every process is stopped
    TESTKIT_CONTINUE = 2,    // SIGCONT until none is stopped
    TESTKIT_KILL = 3,        // SIGKILL until none is left
};

/// Applies `action` to every process whose working directory lies in `folder`, until it holds for all of them in two
/// consecutive looks, so that no newborn child escapes. Returns how many processes there are (for TESTKIT_KILL: were),
/// at most `capacity` of which are put into `processes`; -ETIMEDOUT after `milliseconds`.
int testkit_processes(
    const char *folder, enum testkit_action action, int milliseconds, uid_t user, gid_t group, pid_t *processes,
    int capacity);

/// Removes a folder with everything in it, and the System V shared memory of servers that were killed there.
int testkit_remove(const char *folder);

/// 1 if `user` can enter `folder`, 0 if not.
int testkit_can_enter(const char *folder, uid_t user, gid_t group);

/// Reserves a loopback port for this process, against all processes that ask the same way, until the returned
/// descriptor is closed; -EADDRINUSE if it is reserved or in use.
int testkit_reserve_port(uint16_t port);

/// 1 if nobody listens on the loopback port.
int testkit_port_is_free(uint16_t port);

/// A listening, non-blocking socket on the loopback address. `backlog` as in listen(2).
int testkit_listen(uint16_t port, int backlog);

/// Makes a listening socket with an empty backlog let SYNs go unanswered, as a firewall that drops them: its accept queue
/// is filled by a connection of our own, which is returned. Accept what is queued before. Undo: testkit_answer_again.
int testkit_ignore_connections(int listener, uint16_t port);

/// The listening socket answers again, to clients whose SYN is under way too.
void testkit_answer_again(int listener, int filler, int backlog);

/// Accepts one connection: a non-blocking descriptor, or -EAGAIN.
int testkit_accept(int listener);

/// Begins to connect to the loopback port; the socket is non-blocking and may not be connected yet.
int testkit_connect(uint16_t port);

/// Connects to a Unix-domain socket (blocking connect, then non-blocking I/O).
int testkit_connect_local(const char *path);

/// send(2) without SIGPIPE: a count, or -1 with errno.
ssize_t testkit_send(int descriptor, const void *bytes, size_t count);

/// The socket's pending error (SO_ERROR), as a positive errno.
int testkit_socket_error(int descriptor);

/// Closes with a reset (RST) instead of a FIN.
void testkit_reset(int descriptor);

/// Closes a listener; from now on the port refuses connections.
void testkit_stop_listening(int listener);

/// A non-blocking pair of descriptors to wake a poll loop with. [0] is read, [1] written.
int testkit_wake_pair(int descriptors[2]);

/// Runs `body` on a new detached thread. 0, or a negative errno and it was not run.
int testkit_thread(void (*body)(void *), void *context);

#endif
