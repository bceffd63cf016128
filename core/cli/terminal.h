/* The terminal that lunette was started from. CMD may make itself its foreground process group, and
 * cannot give it back: lunette's group has no name in CMD's PID namespace. */
#ifndef LN_CLI_TERMINAL_H
#define LN_CLI_TERMINAL_H

#include <sys/types.h>

struct terminal {
    int fd;      /* -1: lunette has none, or is not in its foreground */
    pid_t group; /* lunette's own */
};

struct terminal terminal_open(void);
/* Makes lunette's process group the foreground again. SIGTTOU must be blocked. */
void terminal_take_back(const struct terminal *terminal);

#endif
