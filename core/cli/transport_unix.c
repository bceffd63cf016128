/* UNIX sockets as the guest's link.
 *
 * Theory of operation of a stream. What is received goes into one buffer, out of which whole frames
 * are taken where they stand; what is left over moves to its front. What is sent gathers in another
 * until the end of the turn, or until it is full, and goes out in few writes. When the guest does
 * not read, it stays full, and frames are lost as on a wire that is busy: TCP tries again. A peer
 * is never cut off from inside a callback of the gateway, but where it was read from, or at the end
 * of the turn.
 *
 * Where a turn is bounded in time (transport.turn_ns), frames that it has no time for stay where
 * they are, and no more are received until a timer, in the next turn, has taken them. */
#include "cli/transport_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cli/command.h"
#include "net/gateway.h"

enum {
    LENGTH = 4,
    BUFFER = 256 << 10, /* bytes, each way */
    BACKLOG = 16,
    DATAGRAMS_A_TURN = 64
};

_Static_assert(BUFFER >= LENGTH + LN_FRAME_MAX, "a frame must fit");

/* ---- binding ---- */

static int open_socket(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* Removes a socket that nobody is behind any more. */
static int remove_stale(const struct sockaddr_un *address, int type)
{
    struct stat st;
    if (lstat(address->sun_path, &st) != 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return -EADDRINUSE;
    }
    int fd = open_socket(type);
    if (fd < 0) {
        return fd;
    }
    bool stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                 errno == ECONNREFUSED;
    close(fd);
    return !stale ? -EADDRINUSE : unlink(address->sun_path) != 0 ? -errno : 0;
}

int unix_bind(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    strcpy(address.sun_path, path);
    int r = remove_stale(&address, type);
    int fd = r < 0 ? r : open_socket(type);
    if (fd < 0) {
        return fd;
    }
    mode_t mask = umask(0177); /* from the first moment on */
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ? -errno : 0;
    umask(mask);
    if (r == 0 && type == SOCK_STREAM && listen(fd, BACKLOG) != 0) {
        r = -errno;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

int unix_bind_or_say(const char *path, int type)
{
    int fd = unix_bind(path, type);
    if (fd == -EADDRINUSE) {
        command_say("%s: somebody else is there: another process listens, or it is no socket",
                    path);
    } else if (fd < 0) {
        command_say("%s: %s", path, strerror(-fd));
    }
    return fd;
}

static int set_nonblocking(int fd)
{
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 ? -errno : 0;
}

/* ---- streams ---- */

static void stream_accept(struct watch *watch, uint32_t events);
static void stream_receive(struct watch *watch, uint32_t events);

static struct loop *loop_of(const struct transport *transport)
{
    return gateway_loop(transport->gateway);
}

static int await_peer(struct stream *s)
{
    s->listener.ready = stream_accept;
    return loop_watch(loop_of(&s->transport), &s->listener, s->listen_fd, EPOLLIN);
}

static void cut_off(struct stream *s)
{
    loop_unwatch(loop_of(&s->transport), &s->peer);
    close(s->peer_fd);
    s->peer_fd = -1;
    timer_cancel(&loop_of(&s->transport)->timers, &s->rest);
    s->in_at = s->in_len = s->out_len = 0;
    s->full = s->waiting = s->broken = false;
    /* Without the memory for a fresh start, or a way to hear of the next guest, it is the last. */
    s->transport.ended =
        s->listen_fd < 0 || ln_gateway_reset(s->transport.gateway) < 0 || await_peer(s) < 0;
}

/* The rest waits for the next turn, which comes also where the guest sends nothing more. */
static bool pause_taking(struct stream *s)
{
    struct loop *loop = loop_of(&s->transport);
    return timer_set(&loop->timers, &s->rest, loop->now_ns + 1) == 0;
}

/* Takes the whole frames that were received, as many as are a turn's. Returns false when that is no
 * framing. */
static bool take_frames(struct stream *s)
{
    uint64_t since_ns = transport_now(&s->transport);
    while (s->in_len - s->in_at >= LENGTH) {
        uint32_t len = get_be32(s->in + s->in_at);
        if (len == 0 || len > LN_FRAME_MAX) {
            return false;
        }
        if (s->in_len - s->in_at - LENGTH < len) {
            break;
        }
        transport_input(&s->transport, &(ln_frame){.data = s->in + s->in_at + LENGTH, .len = len});
        s->in_at += LENGTH + len;
        if (!transport_goes_on(&s->transport, since_ns) && s->in_at < s->in_len &&
            pause_taking(s)) {
            return true;
        }
    }
    s->in_len -= s->in_at;
    memmove(s->in, s->in + s->in_at, s->in_len);
    s->in_at = 0;
    return true;
}

static bool take_frames_or_say(struct stream *s)
{
    bool framed = take_frames(s);
    if (!framed && !s->told) {
        s->told = true; /* who does it again and again is not to fill a log, and wait for it */
        command_say("a guest was cut off: what it sends are no frames with their lengths before");
    }
    return framed;
}

static void take_rest(struct timer *timer, uint64_t now_ns)
{
    struct stream *s = (struct stream *)(void *)((char *)timer - offsetof(struct stream, rest));
    (void)now_ns;
    if (!take_frames_or_say(s)) {
        cut_off(s);
    }
}

/* Sends what is there, as far as it goes. */
static void push(struct stream *s)
{
    size_t at = 0;
    while (at < s->out_len && !s->full && !s->broken) {
        ssize_t n = send(s->peer_fd, s->out + at, s->out_len - at, MSG_NOSIGNAL);
        s->full = n < 0 && errno == EAGAIN;
        s->broken = n < 0 && errno != EAGAIN && errno != EINTR;
        at += n > 0 ? (size_t)n : 0;
    }
    s->out_len -= at;
    memmove(s->out, s->out + at, s->out_len);
}

static void stream_flush(struct transport *transport)
{
    struct stream *s = (struct stream *)transport;
    if (s->peer_fd < 0) {
        return;
    }
    push(s);
    if (s->full != s->waiting && !s->broken) {
        s->waiting = s->full;
        uint32_t events = s->waiting ? EPOLLIN | EPOLLOUT : EPOLLIN;
        s->broken = loop_rewatch(loop_of(transport), &s->peer, events) < 0;
    }
    if (s->broken) {
        cut_off(s);
    }
}

static void stream_receive(struct watch *watch, uint32_t events)
{
    struct stream *s = (struct stream *)(void *)((char *)watch - offsetof(struct stream, peer));
    if ((events & EPOLLOUT) != 0) {
        s->full = false; /* the end of the turn sends */
    }
    if ((events & ~(uint32_t)EPOLLOUT) == 0) {
        return;
    }
    if (timer_is_set(&s->rest)) {
        return; /* there is enough for this turn */
    }
    ssize_t n = recv(s->peer_fd, s->in + s->in_len, BUFFER - s->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    s->in_len += n > 0 ? (size_t)n : 0;
    bool framed = take_frames_or_say(s);
    if (n <= 0 || !framed) {
        cut_off(s);
    }
}

static int greet(struct stream *s, int fd)
{
    s->peer_fd = fd;
    s->peer.ready = stream_receive;
    return loop_watch(loop_of(&s->transport), &s->peer, fd, EPOLLIN);
}

static void stream_accept(struct watch *watch, uint32_t events)
{
    struct stream *s = (struct stream *)(void *)((char *)watch - offsetof(struct stream, listener));
    (void)events;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    loop_unwatch(loop_of(&s->transport), watch); /* others wait their turn */
    if (greet(s, fd) < 0) {
        cut_off(s);
    }
}

static int stream_start(struct transport *transport)
{
    struct stream *s = (struct stream *)transport;
    return s->listen_fd >= 0 ? await_peer(s) : greet(s, s->peer_fd);
}

static int stream_send(struct transport *transport, const ln_frame *frame)
{
    struct stream *s = (struct stream *)transport;
    if (s->peer_fd < 0) {
        return -EAGAIN;
    }
    if (BUFFER - s->out_len < LENGTH + frame->len) {
        push(s);
    }
    if (s->broken || BUFFER - s->out_len < LENGTH + frame->len) {
        return -EAGAIN;
    }
    put_be32(s->out + s->out_len, (uint32_t)frame->len);
    memcpy(s->out + s->out_len + LENGTH, frame->data, frame->len);
    s->out_len += LENGTH + frame->len;
    return 0;
}

static void close_watched(struct transport *transport, struct watch *watch, int *fd)
{
    if (*fd >= 0) {
        if (transport->gateway != NULL) {
            loop_unwatch(loop_of(transport), watch);
        }
        close(*fd);
        *fd = -1;
    }
}

static void stream_stop(struct transport *transport)
{
    struct stream *s = (struct stream *)transport;
    if (transport->gateway != NULL) {
        timer_cancel(&loop_of(transport)->timers, &s->rest);
    }
    close_watched(transport, &s->listener, &s->listen_fd); /* who sees the end finds nobody more */
    close_watched(transport, &s->peer, &s->peer_fd);
    free(s->in);
    free(s->out);
    s->in = s->out = NULL;
}

int stream_open(struct stream *s, int listen_fd, int peer_fd)
{
    static const struct transport_ops ops = {
        .start = stream_start, .send = stream_send, .flush = stream_flush, .stop = stream_stop};
    *s = (struct stream){.transport.ops = &ops,
                         .listener.fd = -1,
                         .peer.fd = -1,
                         .rest.fire = take_rest,
                         .listen_fd = listen_fd,
                         .peer_fd = peer_fd,
                         .in = malloc(BUFFER),
                         .out = malloc(BUFFER)};
    if (s->in == NULL || s->out == NULL) {
        return -ENOMEM;
    }
    return peer_fd >= 0 ? set_nonblocking(peer_fd) : 0;
}

/* ---- datagrams ---- */

/* Takes one datagram. Returns whether there may be another. */
static bool receive_datagram(struct dgram *d)
{
    socklen_t from_len = sizeof(d->peer);
    ssize_t n =
        recvfrom(d->fd, d->frame, LN_FRAME_MAX, MSG_TRUNC, (struct sockaddr *)&d->peer, &from_len);
    if (n < 0) {
        return errno == EINTR;
    }
    d->peer_len = from_len > sizeof(d->peer.sun_family) ? from_len : 0; /* 0: it has no address */
    if (n > 0 && n <= (ssize_t)LN_FRAME_MAX) {
        transport_input(&d->transport, &(ln_frame){.data = d->frame, .len = (size_t)n});
    }
    return true;
}

static void dgram_receive(struct watch *watch, uint32_t events)
{
    struct dgram *d = (struct dgram *)(void *)((char *)watch - offsetof(struct dgram, watch));
    (void)events;
    uint64_t since_ns = transport_now(&d->transport);
    for (int i = 0;
         i < DATAGRAMS_A_TURN && receive_datagram(d) && transport_goes_on(&d->transport, since_ns);
         i++) {
    }
}

static int dgram_start(struct transport *transport)
{
    struct dgram *d = (struct dgram *)transport;
    d->watch.ready = dgram_receive;
    return loop_watch(loop_of(transport), &d->watch, d->fd, EPOLLIN);
}

static int dgram_send(struct transport *transport, const ln_frame *frame)
{
    struct dgram *d = (struct dgram *)transport;
    const struct sockaddr *to = d->connected ? NULL : (const struct sockaddr *)&d->peer;
    if (!d->connected && d->peer_len == 0) {
        return -EAGAIN;
    }
    if (sendto(d->fd, frame->data, frame->len, MSG_NOSIGNAL, to, to == NULL ? 0 : d->peer_len) >=
        0) {
        return 0;
    }
    if (errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN) {
        transport->ended = d->connected;
        d->peer_len = 0;
    }
    return -EAGAIN;
}

static void dgram_stop(struct transport *transport)
{
    struct dgram *d = (struct dgram *)transport;
    close_watched(transport, &d->watch, &d->fd);
    free(d->frame);
    d->frame = NULL;
}

int dgram_init(struct dgram *d, int fd, bool connected)
{
    static const struct transport_ops ops = {
        .start = dgram_start, .send = dgram_send, .stop = dgram_stop};
    *d = (struct dgram){.transport.ops = &ops,
                        .watch.fd = -1,
                        .fd = fd,
                        .connected = connected,
                        .frame = malloc(LN_FRAME_MAX)};
    return d->frame == NULL ? -ENOMEM : set_nonblocking(fd);
}
