/* A model of a guest's TCP, small and independent of core/stack/tcp*: go-back-N with a
 * retransmission timer and fast retransmit, a receive buffer that an application drains in its own
 * time, and a network between it and the endpoint that loses, delays, reorders and doubles. */
#ifndef TCP_GUEST_H
#define TCP_GUEST_H

#include "tcp_harness.h"

/* xorshift64*: a seed is a whole course of events. */
struct dice {
    uint64_t state;
};

static inline uint64_t dice_throw(struct dice *d)
{
    d->state ^= d->state >> 12;
    d->state ^= d->state << 25;
    d->state ^= d->state >> 27;
    return d->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 … n - 1 */
static inline uint64_t dice_below(struct dice *d, uint64_t n)
{
    return (dice_throw(d) >> 16) % n;
}

static inline bool dice_percent(struct dice *d, unsigned percent)
{
    return dice_below(d, 100) < percent;
}

/* ---- the network ---- */

struct flying {
    uint64_t at_ns;
    bool to_guest;
    struct seen seen; /* to the guest; payload is checked when sent */
    struct guest_segment segment;
    uint32_t len; /* of its payload, from `offset` of the guest's stream */
    uint64_t offset;
};

enum { FLYING_MAX = 4096 };

struct network {
    struct dice dice;
    unsigned loss, doubling, reordering, refusing; /* percent */
    uint64_t delay_ns;
    struct flying flying[FLYING_MAX];
    unsigned n;
};

static inline void network_put(struct network *net, struct flying f, uint64_t now_ns)
{
    if (dice_percent(&net->dice, net->loss) || net->n == FLYING_MAX) {
        return;
    }
    f.at_ns = now_ns + net->delay_ns;
    if (dice_percent(&net->dice, net->reordering)) {
        f.at_ns += dice_below(&net->dice, 10 * net->delay_ns);
    }
    net->flying[net->n++] = f;
}

static inline void network_send(struct network *net, struct flying f, uint64_t now_ns)
{
    network_put(net, f, now_ns);
    if (dice_percent(&net->dice, net->doubling)) {
        network_put(net, f, now_ns);
    }
}

/* The first to arrive, or NULL; those of one time in the order in which they were sent. */
static inline struct flying *network_first(struct network *net)
{
    struct flying *first = NULL;
    for (unsigned i = 0; i < net->n; i++) {
        if (first == NULL || net->flying[i].at_ns < first->at_ns) {
            first = &net->flying[i];
        }
    }
    return first;
}

static inline struct flying network_take(struct network *net, struct flying *f)
{
    struct flying taken = *f;
    memmove(f, f + 1, (size_t)(&net->flying[net->n] - f - 1) * sizeof(*f));
    net->n--;
    return taken;
}

/* ---- the guest ---- */

enum guest_state { GUEST_CLOSED, GUEST_SYN_SENT, GUEST_LISTEN, GUEST_SYN_RECEIVED, GUEST_OPEN };

struct guest {
    struct world *world;
    struct network *net;
    struct dice dice;
    enum guest_state state;
    bool reset; /* the endpoint reset it */

    /* sending */
    uint64_t total, written; /* bytes of its stream: in all, and so far by the application */
    bool closes;             /* FIN after the last */
    uint32_t una, nxt, max;  /* offsets from iss; the SYN is 0 */
    uint32_t edge;           /* right edge of the endpoint's window, from its rcv_nxt view */
    uint8_t snd_scale, rcv_scale;
    bool scales;
    uint8_t options[8]; /* of its SYN */
    size_t options_len;
    uint32_t mss; /* largest frame's payload, super-segments included */
    unsigned duplicates;
    uint64_t rto_ns, timeout_ns;
    bool fin_acked;

    /* receiving */
    uint32_t peer_iss;
    bool peer_known;
    uint64_t received, drained; /* bytes of the endpoint's stream */
    uint32_t buffer;            /* room in all */
    uint32_t offered;           /* right edge offered, offset in the stream */
    bool peer_fin;
    bool ack_due;
};

/* Chooses the options of the SYN. `mss` 0: none. */
static inline void guest_ask(struct guest *g, uint16_t mss, bool scales, uint8_t scale)
{
    g->options_len = 0;
    if (mss != 0) {
        memcpy(g->options, (const uint8_t[]){2, 4, (uint8_t)(mss >> 8), (uint8_t)mss}, 4);
        g->options_len = 4;
    }
    if (scales) {
        memcpy(g->options + g->options_len, (const uint8_t[]){1, 3, 3, scale}, 4);
        g->options_len += 4;
    }
    g->scales = scales;
    g->rcv_scale = scales ? scale : 0;
}

static inline uint32_t guest_window(struct guest *g)
{
    uint32_t space = g->buffer - (uint32_t)(g->received - g->drained);
    uint32_t window = space >> g->rcv_scale;
    return window > 65535 ? 65535 : window;
}

static inline void guest_emit(struct guest *g, uint8_t flags, uint32_t at, uint32_t len)
{
    struct flying f = {.len = len, .offset = at - 1};
    uint32_t ack = g->peer_known ? g->peer_iss + 1 + (uint32_t)g->received + g->peer_fin : 0;
    uint32_t window = guest_window(g);
    if ((flags & TCP_SYN) != 0) {
        uint32_t space = window << g->rcv_scale;
        window = space > 65535 ? 65535 : space;
    }
    f.segment = world_segment(g->world, flags, g->world->irs + at, ack, (uint16_t)window);
    if ((flags & TCP_SYN) != 0) {
        f.segment.options = g->options;
        f.segment.options_len = g->options_len;
    }
    if ((flags & (TCP_ACK | TCP_SYN)) == TCP_ACK) {
        uint32_t edge = (uint32_t)g->received + (window << g->rcv_scale);
        g->offered = (int32_t)(edge - g->offered) > 0 ? edge : g->offered;
        g->ack_due = false;
    } else if ((flags & TCP_SYN) != 0) {
        g->offered = window;
    }
    network_send(g->net, f, g->world->now_ns);
}

static inline uint32_t guest_fin_at(const struct guest *g)
{
    return (uint32_t)g->total + 1;
}

static inline void guest_arm(struct guest *g)
{
    g->timeout_ns = g->world->now_ns + g->rto_ns;
}

/* Sends what the endpoint's window and the application allow. */
static inline void guest_output(struct guest *g)
{
    if (g->state != GUEST_OPEN) {
        return;
    }
    while (g->nxt <= g->written) {
        uint32_t most = (uint32_t)g->written + 1 - g->nxt;
        uint32_t window = (int32_t)(g->edge - g->nxt) > 0 ? g->edge - g->nxt : 0;
        most = most < window ? most : window;
        most = most < g->mss ? most : g->mss;
        if (most == 0) {
            break;
        }
        uint32_t len = dice_percent(&g->dice, 20) ? 1 + (uint32_t)dice_below(&g->dice, most) : most;
        bool fin = g->closes && g->nxt + len == guest_fin_at(g) && window > len;
        guest_emit(g, fin ? TCP_ACK | TCP_FIN : TCP_ACK, g->nxt, len);
        g->nxt += len + fin;
    }
    if (g->closes && g->nxt == guest_fin_at(g)) {
        guest_emit(g, TCP_ACK | TCP_FIN, g->nxt, 0);
        g->nxt++;
    }
    g->max = g->nxt > g->max ? g->nxt : g->max;
    if (g->timeout_ns == TIMER_NEVER && (g->una < g->max || g->nxt <= g->written)) {
        guest_arm(g);
    }
}

static inline void guest_timeout(struct guest *g)
{
    g->rto_ns = g->rto_ns * 2 < 3 * SECOND_NS ? g->rto_ns * 2 : 3 * SECOND_NS;
    guest_arm(g);
    if (g->state == GUEST_SYN_SENT) {
        guest_emit(g, TCP_SYN, 0, 0);
    } else if (g->state == GUEST_SYN_RECEIVED) {
        guest_emit(g, TCP_SYN | TCP_ACK, 0, 0);
    } else if (g->una == g->nxt && g->nxt <= g->written) { /* the window is closed: a probe */
        bool byte = dice_percent(&g->dice, 50);
        guest_emit(g, TCP_ACK, byte ? g->nxt : g->nxt - 1, byte ? 1 : 0);
        g->max = byte && g->nxt + 1 > g->max ? g->nxt + 1 : g->max;
        g->nxt += byte;
    } else {
        g->nxt = g->una;
        g->duplicates = 0;
        guest_output(g);
    }
}

static inline void guest_take_ack(struct guest *g, const struct seen *s)
{
    uint32_t ack = s->ack - g->world->irs;
    HARNESS_CHECK((int32_t)(ack - g->max) <= 0); /* nothing acknowledged that was not sent */
    uint32_t edge = ack + ((uint32_t)s->window << g->snd_scale);
    bool moved = (int32_t)(edge - g->edge) > 0;
    g->edge = moved ? edge : g->edge;
    if ((int32_t)(ack - g->una) > 0) {
        g->una = ack;
        g->nxt = (int32_t)(g->nxt - ack) < 0 ? ack : g->nxt;
        g->duplicates = 0;
        g->rto_ns = 200 * MS_NS;
        g->fin_acked = g->closes && ack == guest_fin_at(g) + 1;
        g->timeout_ns = TIMER_NEVER;
    } else if (ack == g->una && s->len == 0 && !moved && g->una < g->max && ++g->duplicates == 3) {
        g->nxt = g->una;
    }
}

static inline void guest_take_text(struct guest *g, const struct seen *s)
{
    uint32_t at = s->seq - g->peer_iss - 1;
    bool fin = (s->flags & TCP_FIN) != 0;
    /* Nothing lies beyond the window, but a probe is before it. */
    HARNESS_CHECK((int32_t)(at + s->len + fin - g->offered) <= 0 || s->len + fin == 0);
    if (s->len + fin == 0) {
        if ((int32_t)(at - (uint32_t)g->received) < 0) {
            g->ack_due = true; /* a probe, or a keepalive */
        }
        return;
    }
    g->ack_due = true;
    if (at > g->received || g->peer_fin) {
        guest_emit(g, TCP_ACK, g->nxt, 0); /* a hole */
        return;
    }
    uint32_t known = (uint32_t)g->received - at;
    if (known > s->len) {
        return;
    }
    g->received += s->len - known;
    HARNESS_CHECK(g->received - g->drained <= g->buffer);
    g->peer_fin = fin;
}

static inline bool guest_is_done(const struct guest *g)
{
    return g->fin_acked && g->peer_fin;
}

static inline void guest_input(struct guest *g, const struct seen *s)
{
    if (g->state == GUEST_CLOSED) {
        return;
    }
    if ((s->flags & TCP_RST) != 0) {
        if (guest_is_done(g)) {
            return; /* TIME-WAIT (RFC 1337) */
        }
        uint32_t at = s->seq - g->peer_iss - 1;
        if (g->state == GUEST_SYN_SENT ? s->ack == g->world->irs + 1
                                       : at == (uint32_t)g->received + g->peer_fin) {
            g->reset = true;
            g->state = GUEST_CLOSED;
            g->timeout_ns = TIMER_NEVER;
        } else if (g->state == GUEST_OPEN) {
            guest_emit(g, TCP_ACK, g->nxt, 0);
        }
        return;
    }
    bool syn = (s->flags & TCP_SYN) != 0;
    if (g->state == GUEST_LISTEN && syn) {
        g->state = GUEST_SYN_RECEIVED;
        g->peer_iss = s->seq;
        g->peer_known = true;
        g->scales = g->scales && s->scale >= 0;
        g->snd_scale = g->scales ? (uint8_t)s->scale : 0;
        g->rcv_scale = g->scales ? g->rcv_scale : 0;
        g->world->rcv_scale = g->snd_scale;
        g->edge = 1 + s->window;
        guest_emit(g, TCP_SYN | TCP_ACK, 0, 0);
        g->nxt = g->max = 1;
        guest_arm(g);
        return;
    }
    if (g->state == GUEST_SYN_SENT) {
        if (!syn) {
            return;
        }
        g->state = GUEST_OPEN;
        g->peer_iss = s->seq;
        g->peer_known = true;
        HARNESS_CHECK((s->scale >= 0) == g->scales);
        g->snd_scale = g->scales ? (uint8_t)s->scale : 0;
        g->rcv_scale = g->scales ? g->rcv_scale : 0;
        g->world->rcv_scale = g->snd_scale;
        g->una = g->nxt = g->max = 1;
        g->edge = 1 + s->window;
        g->timeout_ns = TIMER_NEVER;
        g->rto_ns = 200 * MS_NS;
        g->ack_due = true;
        return;
    }
    if (syn) {
        if (g->state == GUEST_SYN_RECEIVED) {
            guest_emit(g, TCP_SYN | TCP_ACK, 0, 0);
        } else {
            g->ack_due = true;
        }
        return;
    }
    if (g->state == GUEST_SYN_RECEIVED) {
        g->state = GUEST_OPEN;
        g->timeout_ns = TIMER_NEVER;
        g->rto_ns = 200 * MS_NS;
        g->una = 1;
    }
    guest_take_ack(g, s);
    guest_take_text(g, s);
}

static inline void guest_flush(struct guest *g)
{
    guest_output(g);
    if (g->ack_due && g->state == GUEST_OPEN) {
        guest_emit(g, TCP_ACK, g->nxt, 0);
    }
}

/* The application reads, and tells when that opened the window. */
static inline void guest_drain(struct guest *g, uint32_t len)
{
    uint32_t before = guest_window(g) << g->rcv_scale;
    uint64_t most = g->received - g->drained;
    g->drained += len < most ? len : most;
    uint32_t after = guest_window(g) << g->rcv_scale;
    if (g->state == GUEST_OPEN && (before == 0 || after - before >= g->buffer / 2) &&
        after > before) {
        guest_emit(g, TCP_ACK, g->nxt, 0);
    }
}

#endif
