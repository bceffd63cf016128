/* A TCP endpoint with everything around it: virtual time, a link that records what is sent, and a
 * far side that does what the test says. What the endpoint sends is parsed and checked here by
 * means of its own. Streams are patterns: the byte at an offset says whether it is the right one.
 */
#ifndef TCP_HARNESS_H
#define TCP_HARNESS_H

#include <errno.h>
#include <stdlib.h>

#include "guest_frame.h"
#include "stack/tcp.h"

/* A broken rule: cmocka and fuzzers both notice an abort. */
#define HARNESS_CHECK(what)                                                                        \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #what);                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline uint8_t stream_byte(uint8_t stream, uint64_t offset)
{
    return (uint8_t)(offset * 151 + (offset >> 8) * 7 + (offset >> 16) + stream);
}

enum { TO_FAR = 3, TO_GUEST = 200 }; /* the two streams */

static inline void stream_fill(uint8_t stream, uint64_t offset, uint8_t *dst, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        dst[i] = stream_byte(stream, offset + i);
    }
}

static inline bool stream_is(uint8_t stream, uint64_t offset, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != stream_byte(stream, offset + i)) {
            return false;
        }
    }
    return true;
}

/* ---- the far side ---- */

struct script_far {
    struct tcp_far far;
    /* what it does */
    uint64_t has;    /* bytes of its stream that are there */
    bool ends;       /* … and no more will come */
    size_t room;     /* what it takes before it is full */
    size_t promises; /* more than that, from space() */
    int write_error, peek_error;
    /* what was done to it */
    uint64_t taken, discarded, furthest_peek;
    unsigned finished, opened, closed, ended, writes, peeks;
    enum tcp_end end;
};

static inline struct script_far *script_of(struct tcp_far *far)
{
    return (struct script_far *)(void *)((char *)far - offsetof(struct script_far, far));
}

static inline ssize_t script_write(struct tcp_far *far, const uint8_t *data, size_t len)
{
    struct script_far *f = script_of(far);
    HARNESS_CHECK(len > 0 && f->finished == 0 && f->closed == 0);
    f->writes++;
    if (f->write_error != 0) {
        return f->write_error;
    }
    size_t n = len < f->room ? len : f->room;
    HARNESS_CHECK(stream_is(TO_FAR, f->taken, data, n)); /* exactly once, in order */
    f->taken += n;
    f->room -= n;
    return (ssize_t)n;
}

static inline size_t script_space(struct tcp_far *far)
{
    return script_of(far)->room + script_of(far)->promises;
}

static inline ssize_t script_peek(struct tcp_far *far, size_t offset, uint8_t *dst, size_t len)
{
    struct script_far *f = script_of(far);
    HARNESS_CHECK(len > 0 && f->closed == 0);
    f->peeks++;
    if (f->peek_error != 0) {
        return f->peek_error;
    }
    uint64_t at = f->discarded + offset;
    HARNESS_CHECK(at <= f->has);
    f->furthest_peek = at > f->furthest_peek ? at : f->furthest_peek;
    size_t n = f->has - at < len ? (size_t)(f->has - at) : len;
    if (n == 0) {
        return f->ends ? 0 : -EAGAIN;
    }
    stream_fill(TO_GUEST, at, dst, n);
    return (ssize_t)n;
}

static inline void script_discard(struct tcp_far *far, size_t len)
{
    struct script_far *f = script_of(far);
    HARNESS_CHECK(len > 0 && f->discarded + len <= f->has && f->closed == 0);
    f->discarded += len;
}

static inline void script_finish(struct tcp_far *far)
{
    HARNESS_CHECK(script_of(far)->closed == 0);
    script_of(far)->finished++;
}

static inline void script_opened(struct tcp_far *far)
{
    script_of(far)->opened++;
}

static inline void script_closed(struct tcp_far *far, enum tcp_end end)
{
    script_of(far)->closed++;
    script_of(far)->end = end;
}

static inline void script_ended(struct tcp_far *far)
{
    script_of(far)->ended++;
}

static const struct tcp_far_ops script_ops = {
    .write = script_write,
    .space = script_space,
    .peek = script_peek,
    .discard = script_discard,
    .finish = script_finish,
    .opened = script_opened,
    .closed = script_closed,
    .ended = script_ended,
};

/* ---- the link ---- */

/* A segment as the guest sees it. */
struct seen {
    uint32_t seq, ack;
    uint32_t len; /* of the payload */
    uint16_t window;
    uint8_t flags;
    uint16_t mss;  /* 0: not said */
    int16_t scale; /* -1: not said */
    uint16_t gso_size;
};

enum { SEEN_MAX = 4096 };

struct world {
    uint64_t now_ns;
    struct timers timers;
    struct tcp_link link;
    struct link_identity identity;
    struct tcp_endpoint *ep;
    struct script_far far;
    struct tcp_address address;
    bool full;        /* the link takes nothing */
    unsigned refused; /* frames it did not take */
    /* told of every segment sent, with its payload; may be NULL */
    void (*on_segment)(struct world *w, const struct seen *s, const uint8_t *payload);
    void *user;
    struct seen seen[SEEN_MAX]; /* the first ones since the last world_forget() */
    unsigned n_seen;
    uint8_t frame[TCP_FRAME_MAX], guest_frame[LN_FRAME_MAX];
    /* numbers that both sides agreed upon */
    uint32_t iss; /* of the endpoint, from its SYN */
    uint32_t irs; /* of the guest */
    bool iss_known;
    uint8_t rcv_scale; /* of the windows that the endpoint offers */
    uint32_t edge;     /* the furthest that it has offered */
    bool edge_known;
};

static inline void seen_options(struct seen *s, const uint8_t *at, size_t len)
{
    struct reader r = reader_of(at, len);
    s->scale = -1;
    while (reader_left(&r) > 0) {
        uint8_t kind = reader_u8(&r);
        if (kind == 0) {
            break;
        }
        if (kind == 1) {
            continue;
        }
        uint8_t size = reader_u8(&r);
        HARNESS_CHECK(size >= 2);
        struct reader body = reader_sub(&r, size - 2u);
        if (kind == 2) {
            s->mss = reader_u16(&body);
        } else if (kind == 3) {
            s->scale = reader_u8(&body);
        }
        HARNESS_CHECK(!body.failed && !r.failed);
    }
}

/* The rules for every segment, whatever the test is about. */
static inline void check_segment(struct world *w, const struct seen *s, const uint8_t *payload)
{
    if ((s->flags & TCP_SYN) != 0) {
        HARNESS_CHECK(!w->iss_known || w->iss == s->seq);
        HARNESS_CHECK(s->mss == w->link.mtu - (w->ep->v6 ? 60u : 40u));
        HARNESS_CHECK(s->len == 0 && (s->flags & (TCP_FIN | TCP_RST)) == 0);
        w->iss = s->seq;
        w->iss_known = true;
    }
    if (s->len > 0) {
        HARNESS_CHECK(stream_is(TO_GUEST, (uint32_t)(s->seq - w->iss - 1), payload, s->len));
    }
    if ((s->flags & (TCP_ACK | TCP_RST | TCP_SYN)) == TCP_ACK && w->ep->state != TCP_CLOSED) {
        uint32_t edge = s->ack + ((uint32_t)s->window << w->rcv_scale);
        /* The window never shrinks, but for what scaling rounds off (RFC 7323 section 2.4). */
        int32_t moved = (int32_t)(edge - w->edge);
        HARNESS_CHECK(!w->edge_known || moved > -(1 << w->rcv_scale));
        w->edge = !w->edge_known || moved > 0 ? edge : w->edge;
        w->edge_known = true;
    }
}

static inline int world_send(void *user, const ln_frame *frame)
{
    struct world *w = (struct world *)user;
    if (w->full) {
        w->refused++;
        return -EAGAIN;
    }
    const uint8_t *ip = frame->data + ETH_LEN;
    bool v6 = ip[0] >> 4 == 6;
    size_t ip_len = v6 ? 40 : 20;
    const uint8_t *tcp = ip + ip_len;
    HARNESS_CHECK(frame->len <= LN_FRAME_MAX && frame->len >= ETH_LEN + ip_len + 20);
    size_t tcp_len = frame->len - ETH_LEN - ip_len;
    HARNESS_CHECK(memcmp(frame->data, guest_own_mac, 6) == 0);
    HARNESS_CHECK(memcmp(frame->data + 6, guest_gateway_mac, 6) == 0);
    HARNESS_CHECK(get_be16(ip + (v6 ? 4 : 2)) == tcp_len + (v6 ? 0 : 20));
    HARNESS_CHECK(v6 || guest_sum(ip, 20, 0) == 0xffff);
    HARNESS_CHECK(ip[v6 ? 6 : 9] == 6);
    uint16_t pseudo = guest_pseudo_sum(frame->data, 6, tcp_len);
    if ((frame->flags & LN_FRAME_CSUM_PARTIAL) != 0) {
        HARNESS_CHECK(w->link.csum_offload);
        HARNESS_CHECK(frame->csum_start == ETH_LEN + ip_len && frame->csum_offset == 16);
        HARNESS_CHECK(get_be16(tcp + 16) == pseudo);
    } else {
        HARNESS_CHECK(guest_sum(tcp, tcp_len, pseudo) == 0xffff);
    }
    size_t header_len = (tcp[12] >> 4) * 4u;
    HARNESS_CHECK(header_len >= 20 && header_len <= tcp_len);
    struct seen s = {
        .seq = get_be32(tcp + 4),
        .ack = get_be32(tcp + 8),
        .len = (uint32_t)(tcp_len - header_len),
        .window = get_be16(tcp + 14),
        .flags = tcp[13],
        .gso_size = frame->gso_type == LN_GSO_NONE ? 0 : frame->gso_size,
    };
    HARNESS_CHECK(get_be16(tcp) == w->address.peer_port);
    HARNESS_CHECK(get_be16(tcp + 2) == w->address.guest_port);
    if (frame->gso_type == LN_GSO_NONE) {
        HARNESS_CHECK(frame->len - ETH_LEN <= w->link.mtu);
    } else {
        HARNESS_CHECK(w->link.tso && frame->gso_type == (v6 ? LN_GSO_TCP6 : LN_GSO_TCP4));
        HARNESS_CHECK(frame->gso_size < s.len && frame->header_len == frame->len - s.len);
        HARNESS_CHECK(ip_len + header_len + frame->gso_size <= w->link.mtu);
    }
    seen_options(&s, tcp + 20, header_len - 20);
    check_segment(w, &s, tcp + header_len);
    if (w->n_seen < SEEN_MAX) {
        w->seen[w->n_seen++] = s;
    }
    if (w->on_segment != NULL) {
        w->on_segment(w, &s, tcp + header_len);
    }
    return 0;
}

/* ---- the world ---- */

static inline struct world *world_new(bool v6)
{
    struct world *w = (struct world *)calloc(1, sizeof(*w));
    HARNESS_CHECK(w != NULL);
    w->now_ns = 1000 * SECOND_NS;
    w->identity = guest_link();
    w->link = (struct tcp_link){
        .timers = &w->timers,
        .now_ns = &w->now_ns,
        .user = w,
        .send = world_send,
        .secret = {.k0 = 1, .k1 = 2},
        .limits = {.half_open_ms = 75000, .idle_ms = 7440000, .keepalive_ms = 900000},
        .mtu = 1500,
        .gateway_mac = guest_gateway_mac,
        .guest_mac = guest_own_mac,
        .frame = w->frame,
    };
    w->far.far.ops = &script_ops;
    w->far.room = 1 << 20;
    w->ep = (struct tcp_endpoint *)calloc(1, sizeof(*w->ep));
    HARNESS_CHECK(w->ep != NULL);
    w->address = (struct tcp_address){
        .guest = v6 ? w->identity.guest6 : w->identity.guest4,
        .peer = guest_addr(v6 ? "2001:db8::7" : "192.0.2.7"),
        .guest_port = 50000,
        .peer_port = 443,
    };
    w->irs = 0xfffffff0; /* so that numbers wrap around early */
    return w;
}

static inline void world_free(struct world *w)
{
    tcp_fini(w->ep);
    HARNESS_CHECK(w->link.dirty == NULL);
    HARNESS_CHECK(timers_next(&w->timers) == TIMER_NEVER);
    timers_free(&w->timers);
    free(w->ep);
    free(w);
}

static inline void world_forget(struct world *w)
{
    w->n_seen = 0;
}

/* The end of a turn. */
static inline void world_flush(struct world *w)
{
    tcp_flush(&w->link);
}

/* Lets time pass, timer by timer. */
static inline void world_wait(struct world *w, uint64_t ns)
{
    uint64_t until = w->now_ns + ns;
    while (timers_next(&w->timers) <= until) {
        uint64_t next = timers_next(&w->timers);
        w->now_ns = next > w->now_ns ? next : w->now_ns;
        timers_run(&w->timers, w->now_ns);
        world_flush(w);
    }
    w->now_ns = until;
}

/* A segment of the guest, described as it would be on its way in. */
static inline bool world_describe(struct world *w, const struct guest_segment *s,
                                  const uint8_t *payload, size_t len, struct packet *ret)
{
    size_t frame_len = guest_tcp(w->guest_frame, s, payload, len);
    ln_frame frame = {.data = w->guest_frame, .len = frame_len};
    size_t headers = ETH_LEN + (ln_addr_is_v4(&s->dst) ? 20u : 40u);
    if (frame_len - ETH_LEN > w->identity.mtu) {
        frame.flags = LN_FRAME_CSUM_PARTIAL;
        frame.csum_start = (uint16_t)headers;
        frame.csum_offset = 16;
        frame.gso_type = ln_addr_is_v4(&s->dst) ? LN_GSO_TCP4 : LN_GSO_TCP6;
        frame.gso_size = (uint16_t)(w->identity.mtu - (headers - ETH_LEN) - 20);
    }
    return packet_classify(&frame, &w->identity, ret) == DROP_NONE;
}

static inline struct guest_segment world_segment(const struct world *w, uint8_t flags, uint32_t seq,
                                                 uint32_t ack, uint16_t window)
{
    return (struct guest_segment){
        .src = w->address.guest,
        .dst = w->address.peer,
        .src_port = w->address.guest_port,
        .dst_port = w->address.peer_port,
        .seq = seq,
        .ack = ack,
        .flags = flags,
        .window = window,
    };
}

static inline enum drop_reason world_input(struct world *w, const struct guest_segment *s,
                                           const uint8_t *payload, size_t len)
{
    struct packet p;
    HARNESS_CHECK(world_describe(w, s, payload, len, &p));
    return tcp_input(w->ep, &p);
}

#endif
