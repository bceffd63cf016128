/* Running a command for what it prints, without waiting for it. */
#ifndef LN_NET_COMMAND_H
#define LN_NET_COMMAND_H

#include <stddef.h>
#include <sys/types.h>

enum {
    COMMAND_OUTPUT_MAX = 16384, /* bytes */
    COMMAND_TIME_MS = 10000
};

/* Starts `sh -c COMMAND` with the environment and the standard error of this process, /dev/null as
 * its input, no other descriptor, no terminal, and a session of its own, which is killed when it
 * takes longer or prints more than the limits, or when nobody reads the outcome any more.
 * *ret_pid: the process that attends to it, to be waited for with __WALL; NULL: it is nobody's
 * child. No SIGCHLD is raised.
 * Returns the descriptor of a pipe, close-on-exec, that gives an int32_t and, where that is 0, the
 * output, once it is there whole: 0, the exit status (128 + N: signal N ended it), -ETIMEDOUT,
 * -EFBIG or another negative errno. Or returns a negative errno. */
int command_start(const char *command, pid_t *ret_pid);

#endif
