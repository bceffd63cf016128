/* Host sockets: dialling, peeking by offset, and closing with FIN or RST. */
#include "net/host_socket.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/sockaddr.h"

/* What the kernel counts as queued for one write besides its bytes, rather more than less. */
enum { OVERHEAD = 1536 };

static void set_option(int fd, int level, int option, int value)
{
    /* Options only make a connection better; one without them still works. */
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static bool family_has_peek_offset(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno == EAFNOSUPPORT;
    }
    int zero = 0;
    bool has = setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) == 0;
    close(fd);
    return has;
}

bool host_socket_probe_peek_offset(void)
{
    return family_has_peek_offset(AF_INET) && family_has_peek_offset(AF_INET6);
}

int host_socket_dial(struct host_socket *s, const ln_addr *addr, uint16_t port)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_put(addr, port, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)&sa, sa_len) != 0 && errno != EINPROGRESS) {
        int err = -errno;
        close(fd);
        return err;
    }
    s->fd = fd;
    return 0;
}

int host_socket_error(const struct host_socket *s)
{
    int err = 0;
    socklen_t len = sizeof(err);
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 ? -errno : -err;
}

bool host_socket_is_its_own_peer(const struct host_socket *s)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
    return getsockname(s->fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(s->fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

void host_socket_connected(struct host_socket *s, uint32_t keepalive_s, bool peek_offset)
{
    s->peek_offset = peek_offset;
    s->peek_at = 0;
    if (peek_offset) {
        set_option(s->fd, SOL_SOCKET, SO_PEEK_OFF, 0);
    }
    /* The guest's own stack has decided what makes a segment. */
    set_option(s->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* An urgent byte is a byte of the stream (RFC 6093), else offsets would not add up. */
    set_option(s->fd, SOL_SOCKET, SO_OOBINLINE, 1);
    set_option(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)keepalive_s);
    set_option(s->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

ssize_t host_socket_write(const struct host_socket *s, const uint8_t *data, size_t len)
{
    ssize_t n = send(s->fd, data, len, MSG_NOSIGNAL);
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* The kernel reports a socket as writable, and lets its send buffer grow, only after somebody found
 * it not to be (more than two thirds full): by a write that did not fit, which the window offered
 * to the guest prevents, or by watching it. */
size_t host_socket_space(const struct host_socket *s, uint32_t segment, bool *ret_crowded)
{
    uint32_t memory[SK_MEMINFO_VARS];
    socklen_t len = sizeof(memory);
    if (getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, memory, &len) != 0) {
        *ret_crowded = false;
        return 0;
    }
    uint32_t size = memory[SK_MEMINFO_SNDBUF], queued = memory[SK_MEMINFO_WMEM_QUEUED];
    *ret_crowded = queued > size / 3 * 2;
    return queued < size ? (size_t)((uint64_t)(size - queued) * segment / (segment + OVERHEAD)) : 0;
}

/* The same bytes without SO_PEEK_OFF: those before `offset` are copied where nobody looks. */
static ssize_t peek_past(const struct host_socket *s, size_t offset, uint8_t *dst, size_t len,
                         uint8_t *scratch)
{
    struct iovec parts[HOST_SOCKET_PEEK_MAX / HOST_SOCKET_SCRATCH + 1];
    size_t n_parts = 0;
    if (offset > HOST_SOCKET_PEEK_MAX) {
        return -EAGAIN;
    }
    for (size_t left = offset; left > 0; n_parts++) {
        size_t part = left < HOST_SOCKET_SCRATCH ? left : HOST_SOCKET_SCRATCH;
        parts[n_parts] = (struct iovec){.iov_base = scratch, .iov_len = part};
        left -= part;
    }
    parts[n_parts++] = (struct iovec){.iov_base = dst, .iov_len = len};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = n_parts};
    ssize_t n = recvmsg(s->fd, &msg, MSG_PEEK);
    if (n < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    if (n > (ssize_t)offset) {
        return n - (ssize_t)offset;
    }
    return s->fin_received ? 0 : -EAGAIN;
}

ssize_t host_socket_peek(struct host_socket *s, size_t offset, uint8_t *dst, size_t len,
                         uint8_t *scratch)
{
    if (!s->peek_offset) {
        return peek_past(s, offset, dst, len, scratch);
    }
    if (offset != s->peek_at) {
        s->drained = false;
        set_option(s->fd, SOL_SOCKET, SO_PEEK_OFF, (int)offset);
        s->peek_at = (uint32_t)offset;
    }
    if (s->drained) {
        return -EAGAIN;
    }
    ssize_t n = recv(s->fd, dst, len, MSG_PEEK);
    if (n < 0) {
        return errno == EINTR ? -EAGAIN : -errno;
    }
    s->peek_at += (uint32_t)n;
    s->drained = n > 0 && (size_t)n < len && !s->fin_received && !s->urgent;
    return n;
}

void host_socket_event(struct host_socket *s, uint32_t events)
{
    s->drained = false;
    s->fin_received = s->fin_received || (events & EPOLLRDHUP) != 0;
    s->crowded = s->crowded && (events & EPOLLOUT) == 0;
    s->urgent = s->urgent || (events & EPOLLPRI) != 0;
}

void host_socket_discard(struct host_socket *s, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(s->fd, NULL, len, MSG_TRUNC);
        if (n <= 0) {
            return; /* the connection failed: the next peek tells */
        }
        len -= (size_t)n;
        /* The kernel moves the offset of peeks back by what was read. */
        s->peek_at = s->peek_at > (size_t)n ? s->peek_at - (uint32_t)n : 0;
    }
}

ssize_t host_socket_read(const struct host_socket *s, uint8_t *dst, size_t len)
{
    ssize_t n = recv(s->fd, dst, len, 0);
    return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

void host_socket_finish(const struct host_socket *s)
{
    (void)shutdown(s->fd, SHUT_WR);
}

void host_socket_close(struct host_socket *s, bool reset)
{
    if (s->fd < 0) {
        return;
    }
    if (reset) {
        struct linger linger = {.l_onoff = 1};
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    close(s->fd);
    s->fd = -1;
}
