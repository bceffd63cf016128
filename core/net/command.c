/* Running a command for what it prints.
 *
 * Theory of operation. A process that does nothing else attends to the command: it collects the
 * output, keeps the limits, and passes on what came of it in one piece, so that the reader has
 * nothing to time and nothing to kill. It is forked from a process that may have threads, whose
 * locks are in any state: whatever runs here may run in a signal handler. */
#include "net/command.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RESULT = 3, EXIT_NOT_STARTED = 127, EXIT_BY_SIGNAL = 128 };

struct outcome {
    int32_t code;
    char output[COMMAND_OUTPUT_MAX + 1]; /* one more tells that it is too much */
};

static pid_t fork_quietly(void)
{
    struct clone_args args = {0}; /* without a signal when it ends */
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static _Noreturn void execute(const char *command, int output)
{
    static const struct rlimit none = {0, 0};
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t nothing;
    for (int i = 1; i < NSIG; i++) {
        (void)sigaction(i, &action, NULL);
    }
    sigemptyset(&nothing);
    (void)sigprocmask(SIG_SETMASK, &nothing, NULL);
    (void)setrlimit(RLIMIT_CORE, &none);
    int null = open("/dev/null", O_RDONLY);
    if (setsid() >= 0 && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
        dup2(output, STDOUT_FILENO) >= 0 && syscall(SYS_close_range, RESULT, ~0u, 0u) == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(EXIT_NOT_STARTED);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads up to the end. Returns how many bytes, or a negative errno. */
static ssize_t collect(int from, char *dst, size_t room)
{
    int64_t deadline = now_ms() + COMMAND_TIME_MS;
    size_t len = 0;
    for (;;) {
        /* Of the other end of RESULT, only that it is closed can be seen. */
        struct pollfd fds[] = {{.fd = from, .events = POLLIN}, {.fd = RESULT}};
        int64_t left = deadline - now_ms();
        int r = left <= 0 ? 0 : poll(fds, 2, (int)left);
        if (r == 0) {
            return -ETIMEDOUT;
        }
        if (r < 0 || fds[1].revents != 0) {
            return -EPIPE;
        }
        ssize_t n = read(from, dst + len, room - len);
        if (n <= 0) {
            return n < 0 ? -errno : (ssize_t)len;
        }
        len += (size_t)n;
        if (len == room) {
            return -EFBIG;
        }
    }
}

static int32_t exit_code(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, __WALL) < 0) {
        return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_BY_SIGNAL + WTERMSIG(status);
}

static void pass_on(const struct outcome *outcome, size_t len)
{
    const char *at = (const char *)outcome;
    size_t left = offsetof(struct outcome, output) + len;
    ssize_t n;
    while (left > 0 && (n = write(RESULT, at, left)) > 0) {
        at += n;
        left -= (size_t)n;
    }
}

static _Noreturn void attend(const char *command, int result)
{
    struct outcome outcome;
    int pair[2];
    size_t len = 0;
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* What this process inherited must not stay open here for as long as the command takes. */
    if ((result != RESULT && dup2(result, RESULT) < 0) ||
        syscall(SYS_close_range, RESULT + 1, ~0u, 0u) != 0 || pipe2(pair, O_CLOEXEC) != 0) {
        _exit(1);
    }
    pid_t pid = fork_quietly();
    if (pid == 0) {
        execute(command, pair[1]);
    }
    outcome.code = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (pid > 0) {
        ssize_t n = collect(pair[0], outcome.output, sizeof(outcome.output));
        if (n < 0) {
            (void)kill(-pid, SIGKILL); /* all of its session's first group */
            (void)kill(pid, SIGKILL);  /* it may not have made one yet */
        }
        int32_t code = exit_code(pid);
        outcome.code = n < 0 ? (int32_t)n : code;
        len = outcome.code == 0 ? (size_t)n : 0;
    }
    pass_on(&outcome, len);
    explicit_bzero(&outcome, sizeof(outcome));
    _exit(0);
}

/* Forks the process that attends to the command: as a child where `is_child`, else so that it is
 * adopted by init. Returns its id, or 0; or -errno. */
static pid_t fork_attendant(const char *command, int result, bool is_child)
{
    pid_t pid = fork_quietly();
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        pid_t second = is_child ? 0 : fork_quietly();
        if (second == 0) {
            attend(command, result);
        }
        _exit(second < 0 ? errno : 0);
    }
    int status;
    if (is_child) {
        return pid;
    }
    if (waitpid(pid, &status, __WALL) < 0) {
        return -errno;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
}

int command_start(const char *command, pid_t *ret_pid)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) {
        return -errno;
    }
    pid_t pid = fork_attendant(command, pair[1], ret_pid != NULL);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return pid;
    }
    if (ret_pid != NULL) {
        *ret_pid = pid;
    }
    return pair[0];
}
