/* One UDP flow to the host's own loopback.
 *
 * Theory of operation. UDP learns that nobody listens only from the ICMP error that answers a
 * datagram, which a connected socket reports as ECONNREFUSED at whichever call comes next. Until
 * the first answer the last datagram is kept; on a refusal the socket is connected to the other
 * address and the datagram sent again. A refusal there too is the guest's to hear, and the next
 * datagram starts over. */
#include "net/relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/sockaddr.h"

static void hang_up(struct relay *relay)
{
    int fd = relay->watch.fd;
    if (fd >= 0) {
        loop_unwatch(relay->loop, &relay->watch);
        close(fd);
    }
}

static void relay_ready(struct watch *watch, uint32_t events)
{
    (void)events;
    struct relay *relay = (struct relay *)(void *)((char *)watch - offsetof(struct relay, watch));
    relay->ready(relay);
}

static int dial(struct relay *relay, bool v6)
{
    static const ln_addr loopback6 = {{[15] = 1}};
    ln_addr to = v6 ? loopback6 : ln_addr_v4(INADDR_LOOPBACK);
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_put(&to, relay->port, &sa);
    hang_up(relay);
    relay->v6 = v6;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int r = connect(fd, (const struct sockaddr *)&sa, sa_len) == 0 ? 0 : -errno;
    r = r < 0 ? r : loop_watch(relay->loop, &relay->watch, fd, EPOLLIN);
    if (r < 0) {
        close(fd);
    }
    return r;
}

static void forget(struct relay *relay)
{
    free(relay->kept);
    relay->kept = NULL;
}

/* Out of memory, or too long: it is not sent again. */
static void keep(struct relay *relay, const uint8_t *data, size_t len)
{
    forget(relay);
    relay->kept = relay->answered || len > RELAY_KEPT_MAX ? NULL : malloc(len + 1);
    if (relay->kept != NULL) {
        memcpy(relay->kept, data, len);
        relay->kept_len = len;
    }
}

/* What was kept, to the other address. Returns 0 or -errno. */
static int try_v6(struct relay *relay)
{
    int r = dial(relay, true);
    if (r == 0 && relay->kept != NULL &&
        send(relay->watch.fd, relay->kept, relay->kept_len, 0) < 0) {
        r = -errno;
    }
    return r;
}

int relay_open(struct relay *relay, struct loop *loop, uint16_t port,
               void (*ready)(struct relay *relay))
{
    *relay = (struct relay){
        .watch = {.fd = -1, .ready = relay_ready}, .loop = loop, .port = port, .ready = ready};
    return dial(relay, false);
}

void relay_close(struct relay *relay)
{
    hang_up(relay);
    forget(relay);
}

int relay_send(struct relay *relay, const uint8_t *data, size_t len)
{
    if (relay->watch.fd < 0) {
        int r = dial(relay, false);
        if (r < 0) {
            return r;
        }
    }
    keep(relay, data, len);
    if (send(relay->watch.fd, data, len, 0) >= 0) {
        return 0;
    }
    if (errno != ECONNREFUSED) {
        return -errno;
    }
    /* That was about an earlier datagram, and has been cleared by telling it. */
    if (!relay->answered && !relay->v6) {
        return try_v6(relay);
    }
    return send(relay->watch.fd, data, len, 0) >= 0 || errno == ECONNREFUSED ? 0 : -errno;
}

ssize_t relay_read(struct relay *relay, uint8_t *dst, size_t size)
{
    ssize_t n = recv(relay->watch.fd, dst, size, MSG_TRUNC);
    if (n >= 0) {
        relay->answered = true;
        forget(relay);
        return n <= (ssize_t)size ? n : -EMSGSIZE;
    }
    if (errno != ECONNREFUSED) {
        return -errno;
    }
    if (!relay->answered && !relay->v6 && try_v6(relay) == 0) {
        return -EAGAIN;
    }
    hang_up(relay);
    relay->answered = false;
    return -ECONNREFUSED;
}
