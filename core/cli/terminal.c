/* The controlling terminal's foreground process group (termios(3), job control of POSIX). */
#include "cli/terminal.h"

#include <fcntl.h>
#include <unistd.h>

struct terminal terminal_open(void)
{
    struct terminal terminal = {.group = getpgrp()};
    terminal.fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (terminal.fd >= 0 && tcgetpgrp(terminal.fd) != terminal.group) {
        close(terminal.fd);
        terminal.fd = -1;
    }
    return terminal;
}

void terminal_take_back(const struct terminal *terminal)
{
    if (terminal->fd >= 0) {
        (void)tcsetpgrp(terminal->fd, terminal->group);
    }
}
