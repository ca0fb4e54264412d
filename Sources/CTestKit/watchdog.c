// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#ifdef __linux__

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

// A server that was killed leaves a small System V segment behind (its interlock on the data directory), which
// outlives the directory. The seventh line of postmaster.pid names it: "key id".
static void remove_shared_memory(int folder) {
    int file = openat(folder, "postmaster.pid", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return;
    char text[1024];
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return;
    text[got] = 0;
    const char *at = text;
    for (int line = 1; line < 7; line++) {
        at = strchr(at, '\n');
        if (!at) return;
        at++;
    }
    long numbers[2] = {0, -1};
    for (int index = 0; index < 2; index++) {
        while (*at == ' ') at++;
        if (*at < '0' || *at > '9') return;
        long value = 0;
        for (; *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
        numbers[index] = value;
    }
    struct shmid_ds state;
    int segment = (int)numbers[1];
    // Ids are reused: only a segment of that key which nobody is attached to.
    if (shmctl(segment, IPC_STAT, &state) == 0 && (long)(unsigned)state.shm_perm.__key == numbers[0]
        && state.shm_nattch == 0) {
        shmctl(segment, IPC_RMID, NULL);
    }
}

static int empty_folder(int folder, int depth) {
    if (depth > 32) return -ELOOP;
    remove_shared_memory(folder);
    int failure = 0;
    char buffer[4096] __attribute__((aligned(8)));
    // Entries may be skipped when a directory changes under its reader: again until a look finds nothing.
    for (int removed = 1; removed && !failure;) {
        removed = 0;
        if (lseek(folder, 0, SEEK_SET) < 0) return -errno;
        long got;
        while ((got = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0) {
            for (long at = 0; at < got;) {
                struct testkit_entry *entry = (struct testkit_entry *)(buffer + at);
                at += entry->length;
                if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
                if (unlinkat(folder, entry->name, 0) == 0) {
                    removed = 1;
                    continue;
                }
                if (errno != EISDIR && errno != EPERM) {
                    if (errno != ENOENT) failure = -errno;
                    continue;
                }
                int inner = openat(folder, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (inner < 0) {
                    failure = -errno;
                    continue;
                }
                int result = empty_folder(inner, depth + 1);
                close(inner);
                if (result < 0) failure = result;
                if (unlinkat(folder, entry->name, AT_REMOVEDIR) == 0) removed = 1;
                else if (errno != ENOENT) failure = -errno;
            }
        }
        if (got < 0) return -errno;
    }
    return failure;
}

int testkit_remove(const char *folder) {
    int opened = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened < 0) return errno == ENOENT ? 0 : -errno;
    int result = empty_folder(opened, 0);
    close(opened);
    if (rmdir(folder) != 0 && errno != ENOENT) return result < 0 ? result : -errno;
    return 0;
}

static int make_folder(const char *folder, uid_t user, gid_t group) {
    umask(0);
    if (mkdir(folder, 0700) != 0) return -errno;
    if (user != TESTKIT_SAME_USER && chown(folder, user, group) != 0) {
        int failure = errno;
        rmdir(folder);
        return -failure;
    }
    return 0;
}

// Bounded: whatever happens, the watchdog itself must not stay for ever.
static int clean_up(const char *folder, uid_t user, gid_t group) {
    int result = 0;
    for (int attempt = 0; attempt < 20; attempt++) {
        result = testkit_borrow_user(user, group);
        if (result == 0) result = testkit_scan(folder, TESTKIT_KILL, 3000, NULL, 0);
        testkit_return_user(user);
        if (result >= 0) {
            result = testkit_remove(folder);
            if (result == 0) return 0;
        }
        struct timespec pause = {.tv_nsec = 50000000};
        nanosleep(&pause, NULL);
    }
    return result;
}

// The life of a process that waits for the end of its parent, in which nothing but that may disturb it.
static void stand_by(int channel) {
    // Ctrl-C, a closed terminal or `kill` of the group end the parent, and then it is this process's turn.
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    for (int number = 1; number < NSIG; number++) {
        if (number != SIGCHLD && number != SIGSEGV && number != SIGBUS) sigaction(number, &ignore, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    (void)!chdir("/");
    prctl(PR_SET_NAME, "posthouse-watch");

    // Held open, the parent's standard streams would keep its reader waiting, and a port reservation would never end.
    if (channel != 3) dup2(channel, 3);
    testkit_close_from(4);
    int null = open("/dev/null", O_RDWR);
    for (int stream = 0; null >= 0 && stream <= 2; stream++) dup2(null, stream);
    if (null > 3) close(null);
}

// Tells the parent that all is set up, or why not, and waits for its order or its end, which is 0.
static char wait_for_end(int made) {
    (void)!write(3, &made, sizeof made);
    if (made < 0) _exit(1);
    char order = 0;
    ssize_t got;
    do {
        got = read(3, &order, 1);
    } while (got < 0 && errno == EINTR);
    return got == 1 ? order : 0;
}

static void watch(const char *folder, uid_t user, gid_t group, int channel) {
    stand_by(channel);
    if (wait_for_end(make_folder(folder, user, group)) == 'D') _exit(0);
    _exit(clean_up(folder, user, group) == 0 ? 0 : 1);
}

// The parent's side: waits for what wait_for_end() tells.
static pid_t adopt(pid_t child, int ends[2], int *channel) {
    close(ends[1]);
    int made = -EIO;
    ssize_t got;
    do {
        got = recv(ends[0], &made, sizeof made, MSG_WAITALL);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof made || made < 0) {
        close(ends[0]);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
        return made < 0 ? made : -EIO;
    }
    *channel = ends[0];
    return child;
}

static pid_t fork_with_channel(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
    pid_t child = fork();
    if (child >= 0) return child;
    int failure = errno;
    close(ends[0]);
    close(ends[1]);
    return -failure;
}

pid_t testkit_watchdog(const char *folder, uid_t user, gid_t group, int *channel) {
    int ends[2];
    pid_t child = fork_with_channel(ends);
    if (child < 0) return child;
    if (child == 0) watch(folder, user, group, ends[1]);
    return adopt(child, ends, channel);
}

pid_t testkit_run_at_end(const testkit_program *program, int *channel) {
    int ends[2];
    pid_t child = fork_with_channel(ends);
    if (child < 0) return child;
    if (child == 0) {
        stand_by(ends[1]);
        wait_for_end(0);
        testkit_exec(program);
        _exit(127);
    }
    return adopt(child, ends, channel);
}

#endif
