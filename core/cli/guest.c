/* The guest's first process.
 *
 * Theory of operation. It begins as a copy of lunette, before that has read a policy or a secret,
 * with every capability in its own user namespace and none outside. With these it makes the other
 * namespaces, the TAP, the interface and the mounts, gives them up for good, and starts CMD, which
 * inherits having none.
 *
 * It ends in one of three ways, and PID 1's end is the end of every process in the namespace: CMD
 * ended; the control socket hung up, for lunette is gone; or lunette's death raised the
 * parent-death signal, in case this process should ever be stuck.
 *
 * CMD stays in lunette's session and process group, so that terminal, pipelines and job control
 * work as without lunette, and only without a terminal gets a session of its own, so that it cannot
 * signal whoever is in the caller's process group. */
#include "cli/guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/guest_filter.h"
#include "cli/guest_trust.h"
#include "cli/guest_view.h"
#include "cli/isolation.h"
#include "cli/netconf.h"
#include "cli/privileges.h"
#include "cli/transport_tap.h"

/* ---- messages ---- */

union control_buffer {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int guest_send(int control, const struct guest_message *message, int fd)
{
    union control_buffer buffer = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = buffer.bytes;
        header.msg_controllen = sizeof(buffer.bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    }
    return sendmsg(control, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int guest_receive(int control, struct guest_message *ret, int *ret_fd)
{
    union control_buffer buffer;
    struct iovec part = {.iov_base = ret, .iov_len = sizeof(*ret)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = buffer.bytes,
                            .msg_controllen = sizeof(buffer.bytes)};
    ssize_t n;
    do {
        n = recvmsg(control, &header, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    if (n != sizeof(*ret)) {
        return n == 0 ? -EPIPE : -EPROTO;
    }
    if (ret_fd != NULL) {
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        if (rights == NULL || rights->cmsg_type != SCM_RIGHTS) {
            return -EPROTO;
        }
        memcpy(ret_fd, CMSG_DATA(rights), sizeof(*ret_fd));
    }
    return 0;
}

int guest_expect(int control, enum guest_message_kind kind, struct guest_message *ret, int *ret_fd)
{
    int r = guest_receive(control, ret, ret_fd);
    return r == 0 && ret->kind != kind ? -EPROTO : r;
}

/* For the guest: whoever does not send what is due is gone. */
static void await(int control, enum guest_message_kind kind, struct guest_message *ret)
{
    if (guest_expect(control, kind, ret, NULL) < 0) {
        _exit(EXIT_LUNETTE_FAILED);
    }
}

static void tell(int control, enum guest_message_kind kind, int fd)
{
    struct guest_message message = {.kind = kind};
    if (guest_send(control, &message, fd) < 0) {
        _exit(EXIT_LUNETTE_FAILED);
    }
}

static void require(int r, const char *what)
{
    if (r < 0) {
        command_say("cannot %s: %s", what, strerror(-r));
        _exit(EXIT_LUNETTE_FAILED);
    }
}

/* For calls that have said already what is wrong. */
static void require_said(int r)
{
    if (r < 0) {
        _exit(EXIT_LUNETTE_FAILED);
    }
}

/* ---- inherited descriptors ---- */

/* Files and pipes may be meant for CMD (`cmd <(other)`); a socket, a directory or a device may
 * lead out. The standard three are CMD's in any case, but for directories. */
static bool may_inherit(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return false;
    }
    return fd <= STDERR_FILENO ? !S_ISDIR(st.st_mode) : S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode);
}

/* Whether it is a socket that can be connected to something else, in the network it was made in:
 * all but one of a connected pair of UNIX streams. */
static bool leads_out(int fd)
{
    struct sockaddr_un peer;
    socklen_t peer_len = sizeof(peer), size = sizeof(int);
    int domain, type;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
        return errno != ENOTSOCK && errno != EBADF;
    }
    return domain != AF_UNIX || type == SOCK_DGRAM ||
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0;
}

static int close_inherited(int control)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (leads_out(fd)) {
            command_say("descriptor %d is a socket that CMD could leave by: "
                        "put a pipe in between (`cat | lunette run … | cat`)",
                        fd);
            return -EINVAL;
        }
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    DIR *dir = opendir("/proc/self/fd");
    if (null < 0 || dir == NULL) {
        int err = errno;
        command_say("cannot close inherited descriptors: %s", strerror(err));
        return -err;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.' || fd == control || fd == dirfd(dir) || may_inherit(fd)) {
            continue;
        }
        if (fd <= STDERR_FILENO) {
            dup2(null, fd);
        } else {
            close(fd);
        }
    }
    closedir(dir);
    return 0;
}

/* ---- set-up ---- */

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* What the guest is set up with. */
struct setup {
    ln_link link;
    char search[PATH_MAX];
    struct guest_trust trust;
};

/* Takes what became known only with the policy, up to the link. */
static void learn(const struct hide *hide, int control, struct setup *ret)
{
    struct guest_message message;
    *ret = (struct setup){0};
    do {
        if (guest_receive(control, &message, NULL) < 0) {
            _exit(EXIT_LUNETTE_FAILED);
        }
        if (message.kind == GUEST_COVER) {
            require_said(hide_now(hide, message.text));
        } else if (message.kind == GUEST_UNSET) {
            (void)unsetenv(message.text);
        } else if (message.kind == GUEST_SETENV) {
            char *equals = strchr(message.text, '=');
            require(equals == NULL ? -EPROTO : 0, "set CMD's environment");
            *equals = '\0';
            require(setenv(message.text, equals + 1, 1) != 0 ? -errno : 0, "set CMD's environment");
        } else if (message.kind == GUEST_TRUST) {
            require(guest_trust_add(&ret->trust, message.text), "take the interception CA");
        } else if (message.kind == GUEST_SEARCH) {
            memcpy(ret->search, message.text, sizeof(ret->search));
        }
    } while (message.kind != GUEST_LINK);
    ret->link = message.link;
}

static void set_up(const struct guest_options *options, int control)
{
    struct setup setup;
    struct guest_message message;
    require_said(close_inherited(control));
    if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
        isolation_explain(errno);
        _exit(EXIT_LUNETTE_FAILED);
    }
    int tap = tap_create(GUEST_INTERFACE, true);
    require_said(tap);
    tell(control, GUEST_TAP, tap);
    close(tap);
    await(control, GUEST_MAPPED, &message);
    require_said(guest_view_apply(options->hide));
    learn(options->hide, control, &setup);
    netconf_allow_unprivileged();
    require_said(netconf_apply(GUEST_INTERFACE, &setup.link));
    require_said(guest_view_resolver(options->hide, &setup.link, setup.search));
    require_said(guest_trust_apply(&setup.trust, options->hide));
    require_said(guest_view_seal());
    require(privileges_drop(), "drop privileges");
    require(guest_filter_install(), "install the guest's system call filter");
    if (!has_terminal()) {
        (void)setsid(); /* fails for nobody: a new process leads no group */
    }
    /* Whatever changes credentials resets both, so they come last. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
        require(-errno, "protect the guest's first process");
    }
    tell(control, GUEST_READY, -1);
    await(control, GUEST_GO, &message);
}

/* ---- CMD ---- */

static _Noreturn void execute(const struct guest_options *options, const sigset_t *mask)
{
    (void)sigaction(SIGCHLD, &options->on_child, NULL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(options->argv[0], options->argv);
    int err = errno;
    command_say("cannot run %s: %s", options->argv[0], strerror(err));
    _exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE);
}

static void pass_signal(int control, pid_t command)
{
    struct guest_message message;
    await(control, GUEST_SIGNAL, &message);
    (void)kill(command, message.signal);
}

static void reap(int control, pid_t command)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (pid != command) {
            continue;
        }
        if (WIFEXITED(status)) {
            _exit(WEXITSTATUS(status));
        }
        if (WIFSIGNALED(status)) {
            _exit(EXIT_SIGNALLED + WTERMSIG(status));
        }
        tell(control, GUEST_STOPPED, -1);
    }
}

static _Noreturn void attend(int control, pid_t command, int child_fd)
{
    struct pollfd fds[] = {{.fd = control, .events = POLLIN}, {.fd = child_fd, .events = POLLIN}};
    for (;;) {
        (void)poll(fds, 2, -1);
        struct signalfd_siginfo child;
        if (fds[1].revents != 0 && read(child_fd, &child, sizeof(child)) > 0) {
            reap(control, command);
        }
        if (fds[0].revents != 0) {
            pass_signal(control, command);
        }
    }
}

_Noreturn void guest_main(const struct guest_options *options, int control)
{
    sigset_t all, child, inherited;
    sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &inherited);
    set_up(options, control);

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    require(child_fd < 0 ? -errno : 0, "watch for CMD's end");
    pid_t command = fork();
    require(command < 0 ? -errno : 0, "start CMD");
    if (command == 0) {
        execute(options, &inherited);
    }
    attend(control, command, child_fd);
}
