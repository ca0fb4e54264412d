// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#ifdef __linux__

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int testkit_drop_user(uid_t user, gid_t group) {
    if (user == TESTKIT_SAME_USER) return 0;
    if (syscall(SYS_setgroups, 1, &group) != 0) return -errno;
    if (syscall(SYS_setresgid, group, group, group) != 0) return -errno;
    if (syscall(SYS_setresuid, user, user, user) != 0) return -errno;
    return 0;
}

int testkit_borrow_user(uid_t user, gid_t group) {
    if (user == TESTKIT_SAME_USER) return 0;
    if (syscall(SYS_setresgid, (gid_t)-1, group, (gid_t)-1) != 0) return -errno;
    if (syscall(SYS_setresuid, (uid_t)-1, user, (uid_t)-1) != 0) return -errno;
    return 0;
}

void testkit_return_user(uid_t user) {
    if (user == TESTKIT_SAME_USER) return;
    syscall(SYS_setresuid, (uid_t)-1, 0, (uid_t)-1);
    syscall(SYS_setresgid, (gid_t)-1, 0, (gid_t)-1);
}

void testkit_default_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    // Threads of a task pool block most signals, and a child inherits that.
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void testkit_close_from(int first) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0) return;
#endif
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > 65536) limit = 65536;
    for (int descriptor = first; descriptor < limit; descriptor++) close(descriptor);
}

int testkit_exec(const testkit_program *program) {
    testkit_default_signals();
    setsid();
    umask(077);
    // Before the user changes: the folder may lie where only the caller can go.
    if (program->directory && chdir(program->directory) != 0) return errno;
    int dropped = testkit_drop_user(program->user, program->group);
    if (dropped < 0) return -dropped;

    int input = open("/dev/null", O_RDWR);
    if (input < 0) return errno;
    int output = input;
    if (program->output) {
        output = open(program->output, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (output < 0) return errno;
    }
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) return errno;
    testkit_close_from(4);
    execve(program->path, program->arguments, program->environment);
    return errno;
}

pid_t testkit_spawn(const testkit_program *program) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return -errno;
    pid_t child = fork();
    if (child < 0) {
        int failure = errno;
        close(report[0]);
        close(report[1]);
        return -failure;
    }
    if (child == 0) {
        // Before anything else, so that every failure has a known way out.
        if (report[1] != 3 && dup3(report[1], 3, O_CLOEXEC) < 0) _exit(127);
        int failure = testkit_exec(program);
        (void)!write(3, &failure, sizeof failure);
        _exit(127);
    }
    close(report[1]);
    int failure = 0;
    ssize_t got;
    do {
        got = read(report[0], &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got == (ssize_t)sizeof failure) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
        return -failure;
    }
    return child;
}

int testkit_reap(pid_t process, int *status) {
    pid_t ended = waitpid(process, status, WNOHANG);
    if (ended == process) return 1;
    // Not our child, or somebody else of this process waited for it: it is gone as far as we can reap.
    if (ended < 0 && errno == ECHILD) return 1;
    return 0;
}

#endif
