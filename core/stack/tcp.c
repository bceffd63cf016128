/* The guest's side of a TCP connection: what comes in, what is acknowledged, what times out.
 * tcp_output.c builds and sends the segments.
 *
 * Theory of operation (RFC 9293 section 3.10, with RFC 5961 for blind attacks, 6298 for timeouts,
 * 6528 for sequence numbers):
 *
 *   OPENING       the guest's SYN is held while the far side connects. Only an RST or a repeated
 * SYN may come; nothing is sent. SYN_RECEIVED  SYN-ACK sent, repeated with back-off until
 * half_open_ms. OPEN          data flows. Three flags stand for the rest of RFC 9293's states:
 *                   guest_fin               CLOSE-WAIT
 *                   fin_sent                FIN-WAIT-1
 *                   fin_acked               FIN-WAIT-2
 *                   guest_fin + fin_sent    CLOSING or LAST-ACK
 *   TIME_WAIT     both FINs done and ours came first: a lost last ACK can still be repeated.
 *   CLOSED        over; the owner has been told.
 *
 * Loss. The link may drop. From the guest only the next expected byte is taken; anything out of
 * order is answered with a duplicate ACK and comes again, so that there is exactly one assembly of
 * the stream and nothing is stored. To the guest, a third duplicate ACK or a timeout sends again
 * from the first byte unacknowledged (go-back-N): payload is asked from the far side once more.
 *
 * Flow control. The window offered is what the far side can take; it closes when a host socket
 * fills, and is polled while closed, because a socket does not always tell when it drains. The
 * guest's closed window is probed (RFC 9293 section 3.8.6.1). */
#include "stack/tcp.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "stack/tcp_internal.h"

static const char *const state_names[] = {"opening", "syn_received", "open", "time_wait", "closed"};
_Static_assert(sizeof(state_names) / sizeof(state_names[0]) == TCP_STATES,
               "a name for every state");

const char *tcp_state_name(enum tcp_state state)
{
    return state_names[state];
}

static void set_state(struct tcp_endpoint *ep, enum tcp_state state)
{
    assert(state > ep->state || ep->state == TCP_OPENING);
    ep->state = (uint8_t)state;
}

static uint64_t now_ns(const struct tcp_endpoint *ep)
{
    return *ep->link->now_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Files the timer for the first thing that may be due. */
static int rearm(struct tcp_endpoint *ep)
{
    uint64_t due_ns = earlier(earlier(ep->retransmit_ns, ep->poll_ns), ep->deadline_ns);
    if (ep->state == TCP_OPEN) {
        const struct tcp_limits *limits = &ep->link->limits;
        uint64_t quiet_ns =
            ep->heard_ns + limits->keepalive_ms * MS_NS + ep->keepalives * TCP_KEEPALIVE_EVERY_NS;
        due_ns = earlier(due_ns, earlier(quiet_ns, ep->data_ns + limits->idle_ms * MS_NS));
    }
    return timer_set(ep->link->timers, &ep->timer, due_ns);
}

/* Takes the endpoint out of everything that could reach it. */
static void unlink_endpoint(struct tcp_endpoint *ep)
{
    timer_cancel(ep->link->timers, &ep->timer);
    if (ep->dirty) {
        struct tcp_endpoint **at = &ep->link->dirty;
        while (*at != ep) {
            at = &(*at)->dirty_next;
        }
        *at = ep->dirty_next;
        ep->dirty = false;
    }
}

static void end(struct tcp_endpoint *ep, enum tcp_end how)
{
    unlink_endpoint(ep);
    set_state(ep, TCP_CLOSED);
    ep->far->ops->closed(ep->far, how);
}

static void reset_and_end(struct tcp_endpoint *ep, enum tcp_end how)
{
    tcp_send_control(ep, TCP_RST | TCP_ACK, ep->snd_max);
    end(ep, how);
}

static void owe_ack(struct tcp_endpoint *ep)
{
    ep->ack_now = true;
    if (!ep->dirty) {
        ep->dirty = true;
        ep->dirty_next = ep->link->dirty;
        ep->link->dirty = ep;
    }
}

/* ---- opening ---- */

/* RFC 6528: a hash of the connection's identity under a secret, plus a clock of 4 us. */
static uint32_t initial_sequence(const struct tcp_endpoint *ep)
{
    uint8_t id[36];
    memcpy(id, ep->guest.bytes, 16);
    memcpy(id + 16, ep->peer.bytes, 16);
    put_be16(id + 32, ep->guest_port);
    put_be16(id + 34, ep->peer_port);
    return (uint32_t)hash_bytes(&ep->link->secret, id, sizeof(id)) + (uint32_t)(now_ns(ep) / 4000);
}

/* Reads MSS and window scale of a SYN (RFC 9293 section 3.2, RFC 7323 section 2); the first of each
 * counts. */
static void read_syn_options(struct tcp_endpoint *ep, const struct packet *syn)
{
    uint16_t mss = ep->v6 ? 1220 : 536;
    bool have_mss = false;
    struct reader r = reader_of(syn->frame + syn->l4 + TCP_LEN, syn->options_len);
    while (reader_left(&r) > 0) {
        uint8_t kind = reader_u8(&r);
        if (kind == 0) {
            break;
        }
        if (kind == 1) {
            continue;
        }
        uint8_t len = reader_u8(&r);
        struct reader body = reader_sub(&r, len < 2 ? SIZE_MAX : len - 2u);
        if (r.failed) {
            break;
        }
        if (kind == 2 && len == 4 && !have_mss) {
            mss = reader_u16(&body);
            have_mss = true;
        } else if (kind == 3 && len == 3 && !ep->scaled) {
            uint8_t shift = reader_u8(&body);
            ep->snd_scale = shift > 14 ? 14 : shift;
            ep->scaled = true;
        }
    }
    uint16_t own = tcp_own_mss(ep);
    ep->mss = mss < TCP_MSS_MIN ? TCP_MSS_MIN : mss > own ? own : mss;
    ep->rcv_scale = ep->scaled ? TCP_WINDOW_SCALE : 0;
}

static void fire(struct timer *timer, uint64_t now);

int tcp_accept(struct tcp_endpoint *ep, struct tcp_link *link, struct tcp_far *far,
               const struct packet *syn)
{
    ep->link = link;
    ep->far = far;
    ep->timer.fire = fire;
    ep->guest = syn->src;
    ep->peer = syn->dst;
    ep->guest_port = syn->src_port;
    ep->peer_port = syn->dst_port;
    ep->v6 = syn->v6;
    ep->state = TCP_OPENING;
    ep->irs = syn->seq;
    ep->rcv_nxt = ep->rcv_edge = syn->seq + 1;
    ep->snd_wnd = ep->snd_wnd_max = syn->window;
    ep->snd_wl1 = syn->seq;
    ep->iss = initial_sequence(ep);
    ep->snd_una = ep->snd_nxt = ep->snd_max = ep->snd_wl2 = ep->iss;
    ep->cwnd = TCP_CWND_INITIAL;
    ep->ssthresh = TCP_CWND_MAX;
    ep->rto_ms = TCP_RTO_INITIAL_MS;
    ep->retransmit_ns = ep->poll_ns = TIMER_NEVER;
    ep->heard_ns = ep->data_ns = now_ns(ep);
    ep->deadline_ns = now_ns(ep) + link->limits.half_open_ms * MS_NS;
    read_syn_options(ep, syn);
    return rearm(ep);
}

void tcp_connected(struct tcp_endpoint *ep)
{
    if (ep->state != TCP_OPENING) {
        return;
    }
    set_state(ep, TCP_SYN_RECEIVED);
    ep->deadline_ns = now_ns(ep) + ep->link->limits.half_open_ms * MS_NS;
    tcp_send_syn_ack(ep);
    ep->snd_nxt = ep->snd_max = ep->iss + 1;
    ep->retransmit_ns = now_ns(ep) + ep->rto_ms * MS_NS;
    rearm(ep);
}

void tcp_refuse(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_OPENING) {
        tcp_send_control(ep, TCP_RST | TCP_ACK, 0);
        end(ep, TCP_END_REFUSED);
    }
}

void tcp_abort(struct tcp_endpoint *ep)
{
    switch ((enum tcp_state)ep->state) {
    case TCP_OPENING:
        end(ep, TCP_END_FAR);
        return;
    case TCP_SYN_RECEIVED:
    case TCP_OPEN:
        reset_and_end(ep, TCP_END_FAR);
        return;
    case TCP_TIME_WAIT:
    case TCP_CLOSED:
    case TCP_STATES:
        return;
    }
}

void tcp_fini(struct tcp_endpoint *ep)
{
    if (ep->link != NULL) {
        unlink_endpoint(ep);
        ep->state = TCP_CLOSED;
    }
}

/* ---- sending what the far side has ---- */

/* Sends what both windows allow. Returns false when the connection ended meanwhile. */
static bool push(struct tcp_endpoint *ep)
{
    if (ep->state != TCP_OPEN || ep->fin_acked) {
        return true;
    }
    int err = tcp_output(ep);
    if (err != 0) {
        reset_and_end(ep, TCP_END_FAR);
        return false;
    }
    return true;
}

void tcp_far_readable(struct tcp_endpoint *ep)
{
    ep->far_waits = false;
    if (push(ep) && ep->state == TCP_OPEN) {
        rearm(ep);
    }
}

/* Offers the guest a larger window when it is worth telling (RFC 9293 section 3.8.6.2.2). */
static void offer_window(struct tcp_endpoint *ep)
{
    uint32_t left = ep->rcv_edge - ep->rcv_nxt;
    uint32_t space = tcp_space(ep);
    if (space > left && (space - left >= 2u * ep->mss || left == 0)) {
        owe_ack(ep);
    }
    if (space >= 2u * ep->mss || ep->guest_fin) {
        ep->poll_ns = TIMER_NEVER;
        ep->poll_round = 0;
    }
}

void tcp_far_writable(struct tcp_endpoint *ep)
{
    if (ep->poll_ns != TIMER_NEVER) { /* a window wide open need not be told of */
        offer_window(ep);
    }
}

/* While the window is (nearly) closed, the far side's space is looked at after 1, 2, 4 … 64 ms. */
static void watch_space(struct tcp_endpoint *ep)
{
    if (ep->poll_ns == TIMER_NEVER && !ep->guest_fin && ep->rcv_edge - ep->rcv_nxt < 2u * ep->mss) {
        ep->poll_ns = now_ns(ep) + (MS_NS << ep->poll_round);
        ep->poll_round = ep->poll_round < 6 ? (uint8_t)(ep->poll_round + 1) : ep->poll_round;
        rearm(ep);
    }
}

void tcp_flush(struct tcp_link *link)
{
    while (link->dirty != NULL) {
        struct tcp_endpoint *ep = link->dirty;
        link->dirty = ep->dirty_next;
        ep->dirty = false;
        if (ep->ack_now) {
            tcp_send_ack(ep);
        }
        if (ep->state == TCP_OPEN) {
            watch_space(ep);
        }
    }
}

/* ---- receiving ---- */

static bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

/* RFC 9293 section 3.4: whether any of the segment lies in the window. A segment that starts at
 * rcv_nxt is always of use, even to a closed window: it may be a probe, and its ACK counts. */
static bool acceptable(const struct tcp_endpoint *ep, const struct packet *p, uint32_t length)
{
    if (p->seq == ep->rcv_nxt) {
        return true;
    }
    if (length == 0) {
        return seq_le(ep->rcv_nxt, p->seq) && seq_le(p->seq, ep->rcv_edge);
    }
    return seq_lt(p->seq, ep->rcv_edge) && seq_lt(ep->rcv_nxt, p->seq + length);
}

/* RFC 6298 section 2. */
static void sample_round_trip(struct tcp_endpoint *ep, uint64_t rtt_ns)
{
    uint32_t rtt_us = rtt_ns > 60 * SECOND_NS ? 60000000u : (uint32_t)(rtt_ns / 1000);
    if (ep->srtt_us == 0) {
        ep->srtt_us = rtt_us | 1;
        ep->rttvar_us = rtt_us / 2;
    } else {
        uint32_t error = ep->srtt_us > rtt_us ? ep->srtt_us - rtt_us : rtt_us - ep->srtt_us;
        ep->rttvar_us = ep->rttvar_us - ep->rttvar_us / 4 + error / 4;
        ep->srtt_us = (ep->srtt_us - ep->srtt_us / 8 + rtt_us / 8) | 1;
    }
}

/* The timeout without back-off: after a sample, and whenever the guest has shown that it lives. */
static void set_timeout(struct tcp_endpoint *ep)
{
    uint32_t rto_ms =
        ep->srtt_us == 0 ? TCP_RTO_INITIAL_MS : (ep->srtt_us + 4 * ep->rttvar_us) / 1000;
    ep->rto_ms = rto_ms < TCP_RTO_MIN_MS   ? TCP_RTO_MIN_MS
                 : rto_ms > TCP_RTO_MAX_MS ? TCP_RTO_MAX_MS
                                           : rto_ms;
    ep->retries = 0;
    ep->retransmit_ns = ep->snd_una == ep->snd_max ? TIMER_NEVER : now_ns(ep) + ep->rto_ms * MS_NS;
}

/* RFC 5681 section 3.1, with a generous start: the path is one private link. */
static void grow_cwnd(struct tcp_endpoint *ep, uint32_t acked)
{
    uint32_t more =
        ep->cwnd < ep->ssthresh ? acked : (uint32_t)((uint64_t)ep->mss * acked / ep->cwnd + 1);
    ep->cwnd = ep->cwnd > TCP_CWND_MAX - more ? TCP_CWND_MAX : ep->cwnd + more;
}

/* Goes back to the first byte unacknowledged. */
static void go_back(struct tcp_endpoint *ep, uint32_t cwnd)
{
    uint32_t flight = ep->snd_max - ep->snd_una;
    ep->ssthresh = flight / 2 > 2u * ep->mss ? flight / 2 : 2u * ep->mss;
    ep->cwnd = cwnd != 0 ? cwnd : ep->ssthresh;
    ep->snd_nxt = ep->snd_una;
    ep->recover = ep->snd_max;
    ep->timing = false; /* Karn: a repeated segment gives no sample */
    ep->far_waits = false;
}

/* New data was acknowledged: up to `ack`. */
static void advance(struct tcp_endpoint *ep, uint32_t ack)
{
    uint32_t acked = ack - ep->snd_una;
    uint32_t data = acked;
    if (ep->fin_sent && ack == ep->snd_max) {
        ep->fin_acked = true;
        data--;
    }
    ep->snd_una = ack;
    if (seq_lt(ep->snd_nxt, ack)) {
        ep->snd_nxt = ack;
    }
    if (ep->timing && seq_le(ep->timed_seq, ack)) {
        sample_round_trip(ep, now_ns(ep) - ep->timed_ns);
        ep->timing = false;
    }
    if (ep->recovering && seq_le(ep->recover, ack)) {
        ep->recovering = false;
    }
    ep->dup_acks = 0;
    ep->probing = false;
    grow_cwnd(ep, acked);
    set_timeout(ep);
    if (data > 0) {
        ep->data_ns = now_ns(ep);
        ep->far->ops->discard(ep->far, data);
    }
}

/* An ACK that acknowledges nothing new: the third in a row means that a segment was lost (RFC 5681
 * section 3.2). */
static void count_duplicate(struct tcp_endpoint *ep, const struct packet *p, bool window_moved)
{
    if (p->payload_len > 0 || window_moved || ep->snd_una == ep->snd_max ||
        (p->tcp_flags & TCP_FIN) != 0) {
        return;
    }
    if (ep->dup_acks < 3 && ++ep->dup_acks == 3 && !ep->recovering) {
        go_back(ep, 0);
        ep->recovering = true;
    }
}

/* The ACK field of an acceptable segment. */
static enum drop_reason take_ack(struct tcp_endpoint *ep, const struct packet *p)
{
    if (seq_lt(ep->snd_max, p->ack)) {
        owe_ack(ep);
        return DROP_STATE;
    }
    if (seq_lt(p->ack, ep->snd_una - ep->snd_wnd_max)) {
        owe_ack(ep); /* RFC 5961 section 5 */
        return DROP_STATE;
    }
    bool window_moved = false;
    if (seq_le(ep->snd_una, p->ack) &&
        (seq_lt(ep->snd_wl1, p->seq) || (ep->snd_wl1 == p->seq && seq_le(ep->snd_wl2, p->ack)))) {
        uint32_t window = (uint32_t)p->window << ep->snd_scale;
        window_moved = window != ep->snd_wnd;
        if (ep->probing && window > 0) {
            ep->probing = false;
            set_timeout(ep);
        }
        ep->snd_wnd = window;
        ep->snd_wnd_max = window > ep->snd_wnd_max ? window : ep->snd_wnd_max;
        ep->snd_wl1 = p->seq;
        ep->snd_wl2 = p->ack;
    }
    if (seq_lt(ep->snd_una, p->ack)) {
        advance(ep, p->ack);
    } else if (p->ack == ep->snd_una) {
        count_duplicate(ep, p, window_moved);
    }
    return DROP_NONE;
}

/* The payload and FIN of an acceptable segment. Returns a negative errno when the far side failed.
 */
static int take_data(struct tcp_endpoint *ep, const struct packet *p)
{
    bool fin = (p->tcp_flags & TCP_FIN) != 0;
    if (p->payload_len == 0 && !fin) {
        return 0;
    }
    if (seq_lt(ep->rcv_nxt, p->seq)) {
        tcp_send_ack(ep); /* a hole: say at once what is missing */
        return 0;
    }
    owe_ack(ep);
    if (ep->guest_fin) {
        return 0;
    }
    uint32_t known = ep->rcv_nxt - p->seq;
    if (known > p->payload_len) {
        return 0;
    }
    uint32_t fresh = p->payload_len - known;
    uint32_t window = ep->rcv_edge - ep->rcv_nxt;
    uint32_t fits = fresh < window ? fresh : window;
    if (fits > 0) {
        ssize_t n = ep->far->ops->write(ep->far, p->frame + p->payload + known, fits);
        if (n < 0) {
            return (int)n;
        }
        ep->rcv_nxt += (uint32_t)n;
        ep->bytes_out += (uint64_t)n;
        ep->data_ns = now_ns(ep);
        fits = (uint32_t)n;
    }
    if (fin && fits == fresh) {
        ep->rcv_nxt++;
        ep->rcv_edge += seq_lt(ep->rcv_edge, ep->rcv_nxt) ? 1 : 0;
        ep->guest_fin = true;
        ep->poll_ns = TIMER_NEVER;
        ep->time_wait_due = ep->fin_sent;
        ep->far->ops->finish(ep->far);
    }
    return 0;
}

/* Both FINs are acknowledged. Whoever sent his first waits (RFC 9293 section 3.6). */
static void finish(struct tcp_endpoint *ep)
{
    if (!ep->time_wait_due) {
        end(ep, TCP_END_DONE);
        return;
    }
    set_state(ep, TCP_TIME_WAIT);
    ep->retransmit_ns = ep->poll_ns = TIMER_NEVER;
    ep->deadline_ns = now_ns(ep) + TCP_TIME_WAIT_NS;
    rearm(ep);
    ep->far->ops->closed(ep->far, TCP_END_DONE);
}

static enum drop_reason input_opening(struct tcp_endpoint *ep, const struct packet *p)
{
    if ((p->tcp_flags & TCP_RST) != 0 && p->seq == ep->rcv_nxt) {
        end(ep, TCP_END_GUEST);
        return DROP_NONE;
    }
    return (p->tcp_flags & TCP_SYN) != 0 && p->seq == ep->irs ? DROP_NONE : DROP_STATE;
}

static enum drop_reason input_time_wait(struct tcp_endpoint *ep, const struct packet *p)
{
    /* An RST is ignored (RFC 1337). A repeated FIN is acknowledged again and restarts the wait. */
    if ((p->tcp_flags & (TCP_RST | TCP_FIN)) == TCP_FIN &&
        p->seq + p->payload_len + 1 == ep->rcv_nxt) {
        owe_ack(ep);
        ep->deadline_ns = now_ns(ep) + TCP_TIME_WAIT_NS;
        rearm(ep);
        return DROP_NONE;
    }
    return DROP_STATE;
}

/* The ACK that completes the handshake. Returns false when the segment is not to be looked at
 * further. */
static bool complete_handshake(struct tcp_endpoint *ep, const struct packet *p)
{
    if (p->ack != ep->iss + 1) {
        tcp_reset_packet(ep->link, p);
        return false;
    }
    set_state(ep, TCP_OPEN);
    ep->snd_una = ep->snd_wl2 = p->ack;
    ep->snd_wl1 = p->seq;
    ep->snd_wnd = ep->snd_wnd_max = (uint32_t)p->window << ep->snd_scale;
    ep->deadline_ns = TIMER_NEVER;
    set_timeout(ep);
    ep->far->ops->opened(ep->far);
    return ep->state == TCP_OPEN;
}

/* RFC 9293 section 3.10.7.4, in its order: sequence, RST, SYN, ACK, text, FIN. */
static enum drop_reason input_synchronised(struct tcp_endpoint *ep, const struct packet *p)
{
    uint32_t length =
        p->payload_len + ((p->tcp_flags & TCP_SYN) != 0) + ((p->tcp_flags & TCP_FIN) != 0);
    if (ep->state == TCP_SYN_RECEIVED &&
        (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && p->seq == ep->irs) {
        tcp_send_syn_ack(ep); /* ours was lost */
        return DROP_NONE;
    }
    if (!acceptable(ep, p, length)) {
        if ((p->tcp_flags & TCP_RST) == 0) {
            owe_ack(ep);
        }
        return DROP_STATE;
    }
    if ((p->tcp_flags & TCP_RST) != 0) {
        if (p->seq != ep->rcv_nxt) {
            owe_ack(ep); /* RFC 5961 section 3.2 */
            return DROP_STATE;
        }
        end(ep, TCP_END_GUEST);
        return DROP_NONE;
    }
    if ((p->tcp_flags & TCP_SYN) != 0) {
        owe_ack(ep); /* RFC 5961 section 4.2 */
        return DROP_STATE;
    }
    if ((p->tcp_flags & TCP_ACK) == 0) {
        return DROP_STATE;
    }
    if (ep->state == TCP_SYN_RECEIVED && !complete_handshake(ep, p)) {
        return DROP_STATE;
    }
    ep->heard_ns = now_ns(ep);
    ep->keepalives = 0;
    if (ep->probing) {
        ep->retries = 0; /* a closed window is no dead guest */
    }
    enum drop_reason reason = take_ack(ep, p);
    if (reason != DROP_NONE) {
        return reason;
    }
    if (take_data(ep, p) < 0) {
        reset_and_end(ep, TCP_END_FAR);
        return DROP_NONE;
    }
    if (ep->state != TCP_OPEN || !push(ep)) {
        return DROP_NONE; /* a callback ended it */
    }
    if (ep->fin_acked && ep->guest_fin) {
        finish(ep);
        return DROP_NONE;
    }
    rearm(ep);
    return DROP_NONE;
}

enum drop_reason tcp_input(struct tcp_endpoint *ep, const struct packet *p)
{
    switch ((enum tcp_state)ep->state) {
    case TCP_OPENING:
        return input_opening(ep, p);
    case TCP_SYN_RECEIVED:
    case TCP_OPEN:
        return input_synchronised(ep, p);
    case TCP_TIME_WAIT:
        return input_time_wait(ep, p);
    case TCP_CLOSED:
    case TCP_STATES:
        break;
    }
    return DROP_STATE;
}

bool tcp_reusable(const struct tcp_endpoint *ep, const struct packet *syn)
{
    return ep->state == TCP_TIME_WAIT && seq_lt(ep->rcv_nxt, syn->seq);
}

/* ---- time ---- */

/* The retransmission timer. Returns false when the connection ended. */
static bool retransmit(struct tcp_endpoint *ep)
{
    if (ep->retries >= TCP_RETRIES_MAX) {
        reset_and_end(ep, TCP_END_TIMEOUT);
        return false;
    }
    if (ep->state == TCP_SYN_RECEIVED) {
        tcp_send_syn_ack(ep);
    } else if (ep->probing) {
        tcp_send_probe(ep);
    } else if (ep->snd_una == ep->snd_max) {
        ep->retransmit_ns = TIMER_NEVER; /* only the link was full: try again */
        return push(ep);
    } else {
        go_back(ep, ep->mss);
        ep->recovering = false;
        ep->dup_acks = 0;
        if (!push(ep)) {
            return false;
        }
    }
    ep->retries++;
    ep->rto_ms = ep->rto_ms * 2 > TCP_RTO_MAX_MS ? TCP_RTO_MAX_MS : ep->rto_ms * 2;
    ep->retransmit_ns = now_ns(ep) + ep->rto_ms * MS_NS;
    return true;
}

/* Silence and idleness of an open connection. Returns false when it ended. */
static bool check_silence(struct tcp_endpoint *ep)
{
    const struct tcp_limits *limits = &ep->link->limits;
    uint64_t now = now_ns(ep);
    if (now >= ep->data_ns + limits->idle_ms * MS_NS) {
        reset_and_end(ep, TCP_END_TIMEOUT);
        return false;
    }
    if (now >=
        ep->heard_ns + limits->keepalive_ms * MS_NS + ep->keepalives * TCP_KEEPALIVE_EVERY_NS) {
        if (ep->keepalives == TCP_KEEPALIVES_MAX) {
            reset_and_end(ep, TCP_END_TIMEOUT);
            return false;
        }
        ep->keepalives++;
        tcp_send_probe(ep);
    }
    return true;
}

static void fire(struct timer *timer, uint64_t now)
{
    struct tcp_endpoint *ep =
        (struct tcp_endpoint *)(void *)((char *)timer - offsetof(struct tcp_endpoint, timer));

    if (now >= ep->deadline_ns) {
        if (ep->state == TCP_TIME_WAIT) {
            unlink_endpoint(ep);
            set_state(ep, TCP_CLOSED);
            ep->far->ops->ended(ep->far);
        } else if (ep->state == TCP_OPENING) {
            end(ep, TCP_END_TIMEOUT);
        } else {
            reset_and_end(ep, TCP_END_TIMEOUT);
        }
        return;
    }
    if (now >= ep->poll_ns) {
        ep->poll_ns = TIMER_NEVER;
        offer_window(ep);
        watch_space(ep);
    }
    if (now >= ep->retransmit_ns && !retransmit(ep)) {
        return;
    }
    if (ep->state == TCP_OPEN && !check_silence(ep)) {
        return;
    }
    rearm(ep);
}
