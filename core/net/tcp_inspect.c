/* Moving the bytes of an inspected flow: guest to inspection to host socket, and back.
 *
 * Theory of operation. An inspected flow reads its host socket, instead of peeking at it: what the
 * guest has not acknowledged stands in the inspection's output. It reads no more than the
 * inspection takes, which takes no more than fits where that goes: so a slow guest holds a fast
 * host back, and the other way round.
 *
 * pump() moves on what can be, until nothing moves. It runs for three reasons: the guest sent or
 * acknowledged something (callbacks of the endpoint, which must not be ended from there), the host
 * socket has something, or the inspection itself has come further (a handshake). What a flow reads
 * in a turn is limited; it goes on in the next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/tcp_flow.h"

enum { READ_A_TURN = 2 * GATEWAY_READS };

static const struct inspection_ops *ops_of(const struct tcp_flow *f)
{
    return f->inspection->ops;
}

/* The host's connection broke. What becomes of the guest's is for the inspection to say. */
static int lose_host(struct tcp_flow *f)
{
    struct inspection *i = f->inspection;
    tcp_hang_up(f, true);
    i->readable = false;
    i->over = true;
    i->ops->ended(i, false, true);
    return 1;
}

/* Each of the steps of pump() returns whether it moved anything, or -errno. */

static int send_to_host(struct tcp_flow *f)
{
    struct inspection *i = f->inspection;
    struct byte_queue *queue = i->ops->output(i, false);
    ssize_t n = 0;
    if (f->far != FAR_CONNECTED || i->finished) {
        return 0;
    }
    if (queue->len > 0) {
        n = host_socket_write(&f->host, byte_queue_bytes(queue), queue->len);
        if (n < 0) {
            return lose_host(f);
        }
        byte_queue_drop(queue, (size_t)n);
    }
    if (queue->len == 0 && i->ops->is_finished(i, false)) {
        i->finished = true;
        host_socket_finish(&f->host);
    }
    return n > 0;
}

/* How many bytes may be read now. */
static size_t room_to_read(struct tcp_flow *f)
{
    struct inspection *i = f->inspection;
    if (f->far != FAR_CONNECTED || !i->readable) {
        return 0;
    }
    if (i->turn != f->gw->turns) {
        i->turn = f->gw->turns;
        i->read = 0;
    }
    size_t room = i->ops->space(i, false);
    if (room > 0 && i->read >= READ_A_TURN) {
        tcp_flow_enlist(f);
        return 0;
    }
    return room < GATEWAY_READS ? room : GATEWAY_READS;
}

static int read_from_host(struct tcp_flow *f)
{
    struct inspection *i = f->inspection;
    size_t room = room_to_read(f);
    if (room == 0) {
        return 0;
    }
    ssize_t n = host_socket_read(&f->host, f->gw->reads, room);
    if (n == -EAGAIN) {
        i->readable = false;
        return 0;
    }
    if (n < 0) {
        return lose_host(f);
    }
    if (n == 0) {
        i->readable = false;
        i->over = true;
        i->ops->ended(i, false, false);
        return 1;
    }
    i->read += (uint32_t)n;
    i->readable = (size_t)n == room || f->host.fin_received;
    int r = i->ops->take(i, false, f->gw->reads, (size_t)n);
    return r < 0 ? r : 1;
}

/* Returns 0, or -errno when the connection is to be reset. */
static int pump(struct tcp_flow *f)
{
    struct inspection *i = f->inspection;
    for (bool moved = true; moved;) {
        int worked = i->ops->work(i);
        int sent = worked < 0 ? worked : send_to_host(f);
        int got = sent < 0 ? sent : read_from_host(f);
        if (got < 0) {
            return got;
        }
        moved = worked > 0 || sent > 0 || got > 0;
    }
    if (!i->readable && i->ops->output(i, true)->len + i->ops->output(i, false)->len == 0) {
        i->ops->rest(i);
    }
    if (f->far == FAR_CONNECTED && i->ops->drops_host(i)) {
        tcp_hang_up(f, true);
    }
    tcp_flow_classify(f);
    return 0;
}

int tcp_inspect_start(struct tcp_flow *f, struct inspection *inspection, const uint8_t *data,
                      size_t len)
{
    ln_gateway *gw = f->gw;
    f->inspection = inspection;
    if (gw->reads == NULL && (gw->reads = malloc(GATEWAY_READS)) == NULL) {
        return -ENOMEM;
    }
    inspection->readable = true;
    int r = inspection->ops->take(inspection, true, data, len);
    if (r == 0 && f->far == FAR_CONNECTED) {
        r = inspection->ops->connected(inspection);
    }
    return r < 0 ? r : pump(f);
}

void tcp_inspect_free(struct tcp_flow *f)
{
    if (f->inspection != NULL) {
        f->inspection->ops->free(f->inspection);
        f->inspection = NULL;
    }
}

/* ---- for the endpoint ---- */

ssize_t tcp_inspect_write(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    struct inspection *i = f->inspection;
    size_t space = i->ops->space(i, true);
    size_t n = len < space ? len : space;
    if (n == 0) {
        return 0;
    }
    int r = i->ops->take(i, true, data, n);
    r = r < 0 ? r : pump(f);
    tcp_far_gained(&f->ep);
    return r < 0 ? r : (ssize_t)n;
}

size_t tcp_inspect_space(const struct tcp_flow *f)
{
    return ops_of(f)->space(f->inspection, true);
}

bool tcp_inspect_is_done(const struct tcp_flow *f)
{
    return f->far != FAR_CONNECTED || f->inspection->finished;
}

ssize_t tcp_inspect_peek(struct tcp_flow *f, size_t offset, uint8_t *dst, size_t len)
{
    struct inspection *i = f->inspection;
    const struct byte_queue *queue = i->ops->output(i, true);
    if (offset < queue->len) {
        size_t n = len < queue->len - offset ? len : queue->len - offset;
        memcpy(dst, byte_queue_bytes(queue) + offset, n);
        return (ssize_t)n;
    }
    return i->ops->is_finished(i, true) ? 0 : -EAGAIN;
}

/* For callbacks of the endpoint that cannot fail. */
static void pump_or_doom(struct tcp_flow *f)
{
    int r = pump(f);
    if (r < 0) {
        tcp_flow_doom(f, r);
    }
    tcp_far_gained(&f->ep);
}

void tcp_inspect_discard(struct tcp_flow *f, size_t len)
{
    byte_queue_drop(ops_of(f)->output(f->inspection, true), len);
    pump_or_doom(f);
}

void tcp_inspect_finish(struct tcp_flow *f)
{
    ops_of(f)->ended(f->inspection, true, false);
    pump_or_doom(f);
}

/* ---- for the loop ---- */

void tcp_inspect_go_on(struct tcp_flow *f)
{
    if (pump(f) < 0) {
        tcp_abort(&f->ep);
        return;
    }
    tcp_far_writable(&f->ep);
    tcp_far_readable(&f->ep);
}

void tcp_inspect_connected(struct tcp_flow *f)
{
    if (ops_of(f)->connected(f->inspection) < 0) {
        tcp_flow_doom(f, -EIO);
    }
}

void tcp_inspect_ready(struct tcp_flow *f, uint32_t events)
{
    struct inspection *i = f->inspection;
    /* Once its end was read, nothing is read that would tell of an error. */
    if ((events & EPOLLERR) != 0 && i->over && host_socket_error(&f->host) < 0) {
        (void)lose_host(f);
    }
    i->readable = i->readable || (!i->over && (events & ~(uint32_t)EPOLLOUT) != 0);
    tcp_inspect_go_on(f);
}
