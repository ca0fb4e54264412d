// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#ifdef __linux__

#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void doze(void) {
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

// The process's directory is `folder` or below it, be it removed meanwhile or not.
static int lives_in(int proc, const char *process, const char *folder, size_t length) {
    char link[32], target[4096];
    size_t digits = strlen(process);
    if (digits > 12) return 0;
    memcpy(link, process, digits);
    memcpy(link + digits, "/cwd", 5);
    ssize_t got = readlinkat(proc, link, target, sizeof target - 1);
    if (got < (ssize_t)length) return 0;
    target[got] = 0;
    if (memcmp(target, folder, length) != 0) return 0;
    const char *rest = target + length;
    return *rest == 0 || *rest == '/' || strcmp(rest, " (deleted)") == 0;
}

// R, S, D, T, Z ...; 0 if it is gone.
static char state_of(int proc, const char *process) {
    char path[32], text[512];
    size_t digits = strlen(process);
    memcpy(path, process, digits);
    memcpy(path + digits, "/stat", 6);
    int file = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return 0;
    text[got] = 0;
    // The name is in parentheses and may hold parentheses itself.
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

static pid_t number(const char *text) {
    pid_t value = 0;
    if (*text == 0) return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return 0;
        value = value * 10 + (*text - '0');
    }
    return value;
}

// One look at all processes. Returns how many there are; *pending counts those for which `action` did not hold yet.
static int look(
    const char *folder, size_t length, enum testkit_action action, int *pending, pid_t *processes, int capacity
) {
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0) return -errno;
    pid_t self = getpid();
    int count = 0;
    *pending = 0;
    char buffer[8192] __attribute__((aligned(8)));
    long got;
    while ((got = syscall(SYS_getdents64, proc, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < got;) {
            struct testkit_entry *entry = (struct testkit_entry *)(buffer + at);
            at += entry->length;
            pid_t process = number(entry->name);
            if (process == 0 || process == self || !lives_in(proc, entry->name, folder, length)) continue;
            char state = state_of(proc, entry->name);
            if (state == 0 || state == 'Z' || state == 'X') continue;
            int stopped = state == 'T' || state == 't';
            if (count < capacity) processes[count] = process;
            count++;
            if (action == TESTKIT_KILL) {
                (*pending)++;
                kill(process, SIGKILL);
            } else if (action == TESTKIT_STOP && !stopped) {
                (*pending)++;
                kill(process, SIGSTOP);
            } else if (action == TESTKIT_CONTINUE && stopped) {
                (*pending)++;
                kill(process, SIGCONT);
            }
        }
    }
    close(proc);
    return count;
}

int testkit_scan(const char *folder, enum testkit_action action, int milliseconds, pid_t *processes, int capacity) {
    size_t length = strlen(folder);
    int64_t deadline = now_ms() + milliseconds;
    int pending = 0;
    int first = look(folder, length, action, &pending, processes, capacity);
    if (first < 0 || action == TESTKIT_LIST) return first;
    int clean = pending == 0, count = first;
    while (clean < 2) {
        if (now_ms() > deadline) return -ETIMEDOUT;
        if (pending > 0) doze();
        // Of a kill, the caller learns who was there; of a stop, who is there now.
        int keep = action == TESTKIT_KILL;
        count = look(folder, length, action, &pending, processes, keep ? 0 : capacity);
        if (count < 0) return count;
        clean = pending == 0 ? clean + 1 : 0;
    }
    return action == TESTKIT_KILL ? first : count;
}

static void write_all(int descriptor, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        ssize_t wrote = write(descriptor, at, count);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return;
        at += wrote;
        count -= (size_t)wrote;
    }
}

static size_t read_all(int descriptor, void *bytes, size_t count) {
    char *at = bytes;
    size_t total = 0;
    while (total < count) {
        ssize_t got = read(descriptor, at + total, count - total);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        total += (size_t)got;
    }
    return total;
}

// A look into another user's /proc entries takes CAP_SYS_PTRACE, which root lacks in most containers; being that user
// takes nothing. Hence a child that becomes the servers' user.
int testkit_processes(
    const char *folder, enum testkit_action action, int milliseconds, uid_t user, gid_t group, pid_t *processes,
    int capacity
) {
    enum { most = 512 };
    struct answer {
        int result;
        pid_t found[most];
    } answer;
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) != 0) return -errno;
    pid_t child = fork();
    if (child < 0) {
        int failure = errno;
        close(channel[0]);
        close(channel[1]);
        return -failure;
    }
    if (child == 0) {
        if (channel[1] != 3 && dup2(channel[1], 3) < 0) _exit(1);
        testkit_close_from(4);
        memset(&answer, 0, sizeof answer);
        answer.result = testkit_drop_user(user, group);
        if (answer.result == 0) answer.result = testkit_scan(folder, action, milliseconds, answer.found, most);
        write_all(3, &answer, sizeof answer);
        _exit(0);
    }
    close(channel[1]);
    size_t got = read_all(channel[0], &answer, sizeof answer);
    close(channel[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    if (got != sizeof answer) return -EIO;
    for (int index = 0; index < capacity && index < answer.result && index < most; index++) {
        processes[index] = answer.found[index];
    }
    return answer.result;
}

int testkit_can_enter(const char *folder, uid_t user, gid_t group) {
    if (user == TESTKIT_SAME_USER) return access(folder, X_OK) == 0;
    pid_t child = fork();
    if (child < 0) return 0;
    if (child == 0) {
        if (testkit_drop_user(user, group) != 0) _exit(1);
        _exit(access(folder, X_OK) == 0 ? 0 : 1);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
