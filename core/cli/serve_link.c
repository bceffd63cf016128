/* Opening the links of `lunette serve`. */
#include "cli/serve_link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "cli/guest.h"
#include "cli/join.h"
#include "cli/session.h"

/* Each returns 0, or -errno after saying what is wrong. */

static int open_stream(struct serve_link *link)
{
    int fd = unix_bind_or_say(link->spec.name, SOCK_STREAM);
    return fd < 0 ? fd : session_failed(stream_open(&link->stream, fd, -1), "listen");
}

static int open_dgram(struct serve_link *link)
{
    int fd = unix_bind_or_say(link->spec.name, SOCK_DGRAM);
    return fd < 0 ? fd : session_failed(dgram_init(&link->dgram, fd, false), "listen");
}

static int open_tap(struct serve_link *link)
{
    int fd = tap_create(link->spec.name, false);
    if (fd >= 0) {
        tap_init(&link->tap, fd);
    }
    return fd < 0 ? fd : 0;
}

static int socket_option(int fd, int option)
{
    int value;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) != 0 ? -errno : value;
}

/* A descriptor that was handed to us, by what it is. */
static int adopt(struct serve_link *link, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return -errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return tap_adopt(&link->tap, fd);
    }
    switch (socket_option(fd, SO_TYPE)) {
    case SOCK_STREAM: {
        bool listens = socket_option(fd, SO_ACCEPTCONN) == 1;
        return stream_open(&link->stream, listens ? fd : -1, listens ? -1 : fd);
    }
    case SOCK_DGRAM: {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        bool connected = getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
        return dgram_init(&link->dgram, fd, connected);
    }
    default:
        return -EPROTOTYPE;
    }
}

static int open_fd(struct serve_link *link)
{
    int fd = (int)link->spec.number;
    int r = adopt(link, fd);
    if (r == -ENOTTY || r == -EPROTOTYPE) {
        command_say("--fd %d: it is neither a stream or datagram socket nor a TAP", fd);
    } else if (r < 0) {
        command_say("--fd %d: %s", fd, strerror(-r));
    }
    return r;
}

int serve_link_open(struct serve_link *link)
{
    switch (link->spec.kind) {
    case LINK_STREAM:
        return open_stream(link);
    case LINK_DGRAM:
        return open_dgram(link);
    case LINK_TAP:
        return open_tap(link);
    case LINK_PID:
        return 0;
    case LINK_FD:
        return open_fd(link);
    }
    return -EINVAL;
}

int serve_link_join(struct serve_link *link, const ln_link *addresses)
{
    if (link->spec.kind != LINK_PID) {
        return 0;
    }
    int fd = join_tap((pid_t)link->spec.number, serve_link_interface(link), addresses);
    if (fd >= 0) {
        tap_init(&link->tap, fd);
    }
    return fd < 0 ? fd : 0;
}

uint32_t serve_link_offloads(const struct serve_link *link)
{
    return link->spec.kind == LINK_PID ? TAP_OFFLOADS : link->transport.ops->offloads;
}

static bool is_interface(const struct serve_link *link)
{
    return link->spec.kind == LINK_TAP || link->spec.kind == LINK_PID;
}

const char *serve_link_interface(const struct serve_link *link)
{
    return is_interface(link) && link->spec.name != NULL ? link->spec.name : GUEST_INTERFACE;
}

const char *serve_link_socket(const struct serve_link *link)
{
    return is_interface(link) ? NULL : link->spec.name;
}
