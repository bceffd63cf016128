/* Connections to port 53: their far side is the resolver itself (RFC 7766).
 *
 * Theory of operation. Messages come with a length before each, in any pieces, any number at once,
 * and are answered in the order in which answers come. A stream takes no more queries
 * (`is_blocked`) while it has LOOKUPS_MAX under way or QUEUE_MAX bytes of replies that the guest
 * has not taken; its input then fills, its window closes. What all streams hold together is bounded
 * by ALL_QUEUED_MAX: one whose reply exceeds that is reset.
 *
 * Open streams are bounded apart from other flows, by STREAMS_MAX and a quarter of max_connections,
 * so that they cannot take the room of those: for one more, the one unused for longest goes.
 * Clients are to expect that (RFC 7766 section 6.2.4).
 *
 * A stream ends when the guest has sent its FIN and has all replies; when it sends what cannot be a
 * query (reset); or when nothing was asked nor taken for limits.dns_tcp_idle_ms: with a FIN, and an
 * RST as long after. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/byte_queue.h"
#include "base/bytes.h"
#include "net/name_service.h"

enum {
    LENGTH = 2, /* bytes before each message of a stream */
    QUERY_MAX = 2048,
    IN_MAX = 64 * 1024, /* bytes that the guest may send ahead: wide enough a window for any MTU */
    LOOKUPS_MAX = 16,
    QUEUE_MAX = 64 * 1024,
    ALL_QUEUED_MAX = 4 * 1024 * 1024,
    STREAMS_MAX = 128,
    STREAMS_SHARE = 4 /* of max_connections: one in that many */
};

struct name_stream {
    struct flow flow;
    struct tcp_endpoint ep;
    struct tcp_far side; /* the endpoint's view of us */
    struct name_service *service;
    struct name_stream *older, *newer; /* in the service's list, while `listed` */
    struct timer idle;
    struct name_lookups lookups;
    struct byte_queue in;  /* not yet taken as queries */
    struct byte_queue out; /* replies that the guest has not acknowledged */
    bool stalled;          /* whole queries may be in `in` */
    bool finished;         /* the guest's FIN was taken */
    bool closing;          /* idle for too long: our FIN follows the last reply */
    bool listed;           /* it is open */
};

static struct name_stream *stream_of_side(struct tcp_far *side)
{
    return (struct name_stream *)(void *)((char *)side - offsetof(struct name_stream, side));
}

static struct name_stream *stream_of_timer(struct timer *timer)
{
    return (struct name_stream *)(void *)((char *)timer - offsetof(struct name_stream, idle));
}

struct name_lookups *name_stream_lookups(struct name_stream *stream)
{
    return &stream->lookups;
}

/* ---- those open, by last use ---- */

static void unlist(struct name_stream *s)
{
    struct name_service *service = s->service;
    if (!s->listed) {
        return;
    }
    *(s->older != NULL ? &s->older->newer : &service->oldest_stream) = s->newer;
    *(s->newer != NULL ? &s->newer->older : &service->newest_stream) = s->older;
    s->listed = false;
    service->n_streams--;
}

/* As the one used last. */
static void list(struct name_stream *s)
{
    struct name_service *service = s->service;
    unlist(s);
    s->older = service->newest_stream;
    s->newer = NULL;
    *(s->older != NULL ? &s->older->newer : &service->oldest_stream) = s;
    service->newest_stream = s;
    s->listed = true;
    service->n_streams++;
}

/* Makes room for one more. */
static void bound_streams(struct name_service *service)
{
    ln_gateway *gw = service->gw;
    uint32_t share =
        ln_policy_settings(gw->admission.policy)->limits.max_connections / STREAMS_SHARE;
    uint32_t most = share < 1 ? 1 : share > STREAMS_MAX ? STREAMS_MAX : share;
    while (service->n_streams >= most) {
        gw->stats.flows_evicted++;
        gateway_over_limit(gw, LIMIT_DNS_STREAMS);
        tcp_abort(&service->oldest_stream->ep);
    }
}

/* ---- replies ---- */

/* Appends `len` bytes of name_reply_buffer(). Returns 0, or a negative errno: the stream is to be
 * reset. */
static int queue_reply(struct name_stream *s, size_t len)
{
    struct name_service *service = s->service;
    struct lane *lane = &service->gw->lanes[LN_INGRESS];
    if (service->queued + LENGTH + len > ALL_QUEUED_MAX) {
        gateway_over_limit(service->gw, LIMIT_DNS);
        return -ENOBUFS;
    }
    uint8_t *dst = byte_queue_reserve(&s->out, LENGTH + len);
    if (dst == NULL) {
        return -ENOMEM;
    }
    put_be16(dst, (uint16_t)len);
    memcpy(dst + LENGTH, name_reply_buffer(service->gw), len);
    byte_queue_commit(&s->out, LENGTH + len);
    lane_spend(lane, lane_within(lane, len));
    service->queued += LENGTH + len;
    return 0;
}

/* ---- queries ---- */

static bool is_blocked(const struct name_stream *s)
{
    return s->lookups.n >= LOOKUPS_MAX || s->out.len >= QUEUE_MAX;
}

/* It was used: its idle time starts again. */
static void rest(struct name_stream *s)
{
    ln_gateway *gw = s->service->gw;
    const ln_limits *limits = &ln_policy_settings(gw->admission.policy)->limits;
    (void)timer_set(&gw->loop.timers, &s->idle, gw->loop.now_ns + limits->dns_tcp_idle_ms * MS_NS);
    if (s->listed) {
        list(s);
    }
}

/* Takes whole queries out of the input, until there is none or the stream is blocked. Returns 0, or
 * a negative errno: the stream is to be reset. */
static int take_queries(struct name_stream *s)
{
    int r = 0;
    s->stalled = false;
    while (r == 0 && s->in.len >= LENGTH) {
        const uint8_t *msg = byte_queue_bytes(&s->in);
        uint32_t len = get_be16(msg);
        if (len < DNS_HEADER_LEN || len > QUERY_MAX) {
            return -EPROTO;
        }
        if (s->in.len < LENGTH + len) {
            break;
        }
        if (is_blocked(s)) {
            s->stalled = true;
            break;
        }
        struct dns_asker asker = name_asker(s->service->gw, &s->flow.key, LN_TCP);
        size_t reply = name_ask(s->service, s, &asker, msg + LENGTH, len);
        r = reply > 0 ? queue_reply(s, reply) : 0;
        byte_queue_drop(&s->in, LENGTH + len);
        rest(s);
    }
    name_tell_over_limit(s->service);
    return r;
}

/* Something was answered, taken or sent: goes on with the rest. The stream may be gone afterwards.
 */
static void go_on(struct name_stream *s)
{
    if (take_queries(s) < 0) {
        tcp_abort(&s->ep);
        return;
    }
    tcp_far_writable(&s->ep);
    tcp_far_readable(&s->ep);
}

void name_stream_reply(struct name_stream *s, size_t len)
{
    if (queue_reply(s, len) < 0) {
        tcp_abort(&s->ep);
    } else {
        rest(s);
        go_on(s);
    }
}

/* ---- the endpoint's callbacks ---- */

static ssize_t side_write(struct tcp_far *side, const uint8_t *data, size_t len)
{
    struct name_stream *s = stream_of_side(side);
    size_t space = byte_queue_space(&s->in);
    size_t n = len < space ? len : space;
    int r = byte_queue_put(&s->in, data, n);
    r = r < 0 ? r : take_queries(s);
    return r < 0 ? r : (ssize_t)n;
}

static size_t side_space(struct tcp_far *side)
{
    return byte_queue_space(&stream_of_side(side)->in);
}

static ssize_t side_peek(struct tcp_far *side, size_t offset, uint8_t *dst, size_t len)
{
    const struct name_stream *s = stream_of_side(side);
    size_t left = s->out.len - offset;
    if (left == 0) {
        bool done = s->closing || (s->finished && s->lookups.n == 0 && !s->stalled);
        return done ? 0 : -EAGAIN;
    }
    size_t n = len < left ? len : left;
    memcpy(dst, byte_queue_bytes(&s->out) + offset, n);
    return (ssize_t)n;
}

static void side_discard(struct tcp_far *side, size_t len)
{
    struct name_stream *s = stream_of_side(side);
    byte_queue_drop(&s->out, len);
    s->service->queued -= len;
    rest(s);
}

static void side_finish(struct tcp_far *side)
{
    stream_of_side(side)->finished = true;
}

static void side_opened(struct tcp_far *side)
{
    struct name_stream *s = stream_of_side(side);
    ln_gateway *gw = s->service->gw;
    flow_table_move(&gw->flows, &s->flow, FLOW_OPEN, gw->loop.now_ns);
    bound_streams(s->service);
    list(s);
    rest(s);
}

static void release(struct name_stream *s)
{
    flow_table_remove(&s->service->gw->flows, &s->flow);
    tcp_fini(&s->ep);
    free(s);
}

static void side_closed(struct tcp_far *side, enum tcp_end end)
{
    struct name_stream *s = stream_of_side(side);
    ln_gateway *gw = s->service->gw;
    (void)end;
    if (s->service->current == s) {
        s->service->current = NULL;
    }
    unlist(s);
    name_cancel_lookups(s->service, &s->lookups);
    timer_cancel(&gw->loop.timers, &s->idle);
    s->service->queued -= s->out.len;
    byte_queue_free(&s->out);
    byte_queue_free(&s->in);
    if (s->ep.state == TCP_TIME_WAIT) {
        flow_table_move(&gw->flows, &s->flow, FLOW_CLOSING, gw->loop.now_ns);
    } else {
        release(s);
    }
}

static void side_ended(struct tcp_far *side)
{
    release(stream_of_side(side));
}

static const struct tcp_far_ops side_ops = {
    .write = side_write,
    .space = side_space,
    .peek = side_peek,
    .discard = side_discard,
    .finish = side_finish,
    .opened = side_opened,
    .closed = side_closed,
    .ended = side_ended,
};

static void idle(struct timer *timer, uint64_t now_ns)
{
    struct name_stream *s = stream_of_timer(timer);
    (void)now_ns;
    if (s->lookups.n > 0) {
        rest(s); /* their own time is limited */
    } else if (s->closing || s->out.len > 0) {
        tcp_abort(&s->ep);
    } else {
        s->closing = true;
        rest(s);
        tcp_far_readable(&s->ep);
    }
}

/* ---- segments ---- */

static void open_stream(ln_gateway *gw, const struct packet *syn)
{
    if (!gateway_make_room(gw, FLOW_HALF_OPEN)) {
        return;
    }
    struct name_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        return;
    }
    s->flow.key = gateway_key(syn);
    s->flow.direction = LN_EGRESS;
    s->flow.decision = (ln_decision){.action = LN_ALLOW, .reason = LN_REASON_DEFAULT};
    s->service = gw->names;
    s->in.cap = IN_MAX;
    s->out.cap = ALL_QUEUED_MAX;
    s->side.ops = &side_ops;
    s->idle.fire = idle;
    if (tcp_accept(&s->ep, &gw->tcp, &s->side, syn) < 0) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        free(s);
        return;
    }
    flow_table_add(&gw->flows, &s->flow, FLOW_HALF_OPEN, gw->loop.now_ns);
    tcp_connected(&s->ep);
}

static void input(struct name_stream *s, const struct packet *packet)
{
    struct name_service *service = s->service;
    service->current = s;
    enum drop_reason reason = tcp_input(&s->ep, packet);
    if (reason != DROP_NONE) {
        gateway_drop(service->gw, reason);
    }
    if (service->current == s && s->ep.state == TCP_OPEN) {
        go_on(s);
    }
    service->current = NULL;
}

void name_service_tcp_input(ln_gateway *gw, struct flow *flow, const struct packet *packet)
{
    struct name_stream *s = (struct name_stream *)(void *)flow;
    if (s != NULL && tcp_is_new_syn(packet) && tcp_reusable(&s->ep, packet)) {
        release(s);
        s = NULL;
    }
    if (s != NULL) {
        input(s, packet);
    } else if (tcp_is_new_syn(packet)) {
        open_stream(gw, packet);
    } else {
        gateway_drop(gw, DROP_NO_FLOW);
        tcp_reset_packet(&gw->tcp, packet);
    }
}

void name_service_tcp_destroy(ln_gateway *gw, struct flow *flow, const char *reason)
{
    struct name_stream *s = (struct name_stream *)(void *)flow;
    (void)gw;
    (void)reason; /* streams are not told */
    if (s->ep.state == TCP_TIME_WAIT) {
        release(s);
    } else {
        tcp_abort(&s->ep);
    }
}
