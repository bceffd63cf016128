/* A TAP in a network namespace that exists already: made by a child that enters it (setns(2)). */
#include "cli/join.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/guest.h"
#include "cli/netconf.h"
#include "cli/transport_tap.h"

/* Returns the descriptor or -errno after saying what is wrong. */
static int open_namespace(pid_t pid, const char *kind)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int err = errno;
        command_say("%s: %s", path, strerror(err));
        return -err;
    }
    return fd;
}

static int enter(pid_t pid)
{
    int user = open_namespace(pid, "user");
    int net = user < 0 ? user : open_namespace(pid, "net");
    if (net < 0) {
        return net;
    }
    /* EINVAL: that user namespace is our own. */
    if ((setns(user, CLONE_NEWUSER) != 0 && errno != EINVAL) || setns(net, CLONE_NEWNET) != 0) {
        int err = errno;
        command_say("cannot enter the network namespace of process %d: %s", (int)pid,
                    strerror(err));
        return -err;
    }
    return 0;
}

/* In the child. Returns its exit status. */
static int make_tap(pid_t pid, const char *name, const ln_link *link, int to)
{
    int fd = enter(pid);
    fd = fd < 0 ? fd : tap_create(name, false);
    if (fd < 0 || netconf_apply(name, link) < 0) {
        return 1;
    }
    return guest_send(to, &(struct guest_message){.kind = GUEST_TAP}, fd) < 0;
}

int join_tap(pid_t pid, const char *name, const ln_link *link)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(make_tap(pid, name, link, pair[1]));
    }
    int r = child < 0 ? -errno : 0;
    close(pair[1]);
    struct guest_message message;
    int fd = -1;
    if (r == 0) {
        r = guest_expect(pair[0], GUEST_TAP, &message, &fd);
        (void)waitpid(child, NULL, 0);
    }
    close(pair[0]);
    return r < 0 ? r : fd;
}
