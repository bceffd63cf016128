/* The guest's side of a TCP connection: its life, and its time.
 *
 * Theory of operation (RFC 9293 section 3.10, with RFC 5961 for blind attacks, 6298 for timeouts,
 * 5681 for congestion, 6528 for sequence numbers, 7323 for window scaling).
 *
 *   OPENING       the guest's SYN is held while the far side connects. Nothing is sent. A SYN with
 *                 another sequence number replaces the one held, an RST ends it.
 *   SYN_SENT      ours went out, to a server of the guest; repeated with back-off until
 *                 half_open_ms. Simultaneous opening is not supported.
 *   SYN_RECEIVED  SYN-ACK sent, repeated likewise.
 *   OPEN          data flows. Three flags stand for the rest of RFC 9293's states:
 *                   guest_fin               CLOSE-WAIT
 *                   fin_sent                FIN-WAIT-1
 *                   fin_acked               FIN-WAIT-2
 *                   guest_fin + fin_sent    CLOSING or LAST-ACK
 *   TIME_WAIT     both FINs done and ours came first: a lost last ACK can still be repeated.
 *   CLOSED        over; the owner has been told.
 *
 * Loss. From the guest only the next expected byte is taken; anything out of order is answered with
 * a duplicate ACK and comes again, so that there is exactly one assembly of the stream and nothing
 * is stored. To the guest, a third duplicate ACK or a timeout sends again from the first byte
 * unacknowledged (go-back-N): payload is asked from the far side once more. A link that says it is
 * full has lost nothing yet: the same segment is tried again a little later.
 *
 * Flow control. The window offered is what the far side can take, and its edge never moves back. It
 * closes when a host socket fills, which is looked at ever more seldom while closed, because a
 * socket does not always tell when it drains. A far side that took less than it had offered leaves
 * a hole in the stream (`starved`): when it has space again, the guest is asked for the same bytes
 * by duplicate ACKs. The guest's closed window is probed (RFC 9293 section 3.8.6.1).
 *
 * Acknowledgements are gathered until the end of the turn (`dirty`); data takes them along. */
#include "stack/tcp.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "stack/tcp_internal.h"

static const char *const state_names[] = {
    [TCP_OPENING] = "opening", [TCP_SYN_SENT] = "syn_sent",   [TCP_SYN_RECEIVED] = "syn_received",
    [TCP_OPEN] = "open",       [TCP_TIME_WAIT] = "time_wait", [TCP_CLOSED] = "closed",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == TCP_STATES, "a name for every state");

const char *tcp_state_name(enum tcp_state state)
{
    return state_names[state];
}

void tcp_set_state(struct tcp_endpoint *ep, enum tcp_state state)
{
    assert(state > ep->state);
    ep->state = (uint8_t)state;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t idle_at_ns(const struct tcp_endpoint *ep)
{
    return ep->data_ns + ep->link->limits.idle_ms * MS_NS;
}

static uint64_t keepalive_at_ns(const struct tcp_endpoint *ep)
{
    return ep->heard_ns + ep->link->limits.keepalive_ms * MS_NS +
           ep->keepalives * TCP_KEEPALIVE_EVERY_NS;
}

int tcp_rearm(struct tcp_endpoint *ep)
{
    uint64_t due_ns = earlier(earlier(ep->retransmit_ns, ep->look_ns), ep->deadline_ns);
    if (ep->state == TCP_OPEN) {
        due_ns = earlier(due_ns, earlier(keepalive_at_ns(ep), idle_at_ns(ep)));
    }
    return timer_set(ep->link->timers, &ep->timer, due_ns);
}

void tcp_look_later(struct tcp_endpoint *ep)
{
    ep->look_ns = earlier(ep->look_ns, tcp_now(ep) + (MS_NS << ep->look_round));
    ep->look_round = (uint8_t)(ep->look_round + (ep->look_round < TCP_LOOK_ROUNDS_MAX));
}

/* ---- ACKs owed ---- */

static void make_dirty(struct tcp_endpoint *ep)
{
    struct tcp_link *link = ep->link;
    if (ep->dirty_at != NULL) {
        return;
    }
    ep->dirty_next = link->dirty;
    if (ep->dirty_next != NULL) {
        ep->dirty_next->dirty_at = &ep->dirty_next;
    }
    ep->dirty_at = &link->dirty;
    link->dirty = ep;
}

static void make_clean(struct tcp_endpoint *ep)
{
    if (ep->dirty_at == NULL) {
        return;
    }
    *ep->dirty_at = ep->dirty_next;
    if (ep->dirty_next != NULL) {
        ep->dirty_next->dirty_at = ep->dirty_at;
    }
    ep->dirty_at = NULL;
}

void tcp_owe_ack(struct tcp_endpoint *ep)
{
    ep->ack_now = true;
    make_dirty(ep);
}

void tcp_challenge(struct tcp_endpoint *ep)
{
    if (tcp_now(ep) >= ep->challenge_ns) {
        ep->challenge_ns = tcp_now(ep) + TCP_CHALLENGE_NS;
        tcp_owe_ack(ep);
    }
}

/* ---- ending ---- */

/* Takes the endpoint out of everything that could reach it. */
static void unlink_endpoint(struct tcp_endpoint *ep)
{
    timer_cancel(ep->link->timers, &ep->timer);
    make_clean(ep);
}

void tcp_end(struct tcp_endpoint *ep, enum tcp_end how)
{
    unlink_endpoint(ep);
    tcp_set_state(ep, TCP_CLOSED);
    ep->far->ops->closed(ep->far, how);
}

void tcp_reset(struct tcp_endpoint *ep, enum tcp_end how)
{
    tcp_send_reset(ep);
    tcp_end(ep, how);
}

/* Whoever sent his FIN first waits (RFC 9293 section 3.6). */
bool tcp_finish(struct tcp_endpoint *ep)
{
    bool (*is_done)(struct tcp_far * far) = ep->far->ops->is_done;
    if (!ep->fin_acked || !ep->guest_fin || (is_done != NULL && !is_done(ep->far))) {
        return false;
    }
    if (!ep->time_wait_due) {
        tcp_end(ep, TCP_END_DONE);
        return true;
    }
    tcp_set_state(ep, TCP_TIME_WAIT);
    ep->retransmit_ns = ep->look_ns = TIMER_NEVER;
    ep->deadline_ns = tcp_now(ep) + TCP_TIME_WAIT_NS;
    tcp_rearm(ep);
    ep->far->ops->closed(ep->far, TCP_END_DONE);
    return true;
}

void tcp_refuse(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_OPENING) {
        tcp_reset(ep, TCP_END_REFUSED);
    }
}

void tcp_abort(struct tcp_endpoint *ep)
{
    switch ((enum tcp_state)ep->state) {
    case TCP_OPENING:
        tcp_end(ep, TCP_END_FAR);
        return;
    case TCP_SYN_SENT:
    case TCP_SYN_RECEIVED:
    case TCP_OPEN:
        tcp_reset(ep, TCP_END_FAR);
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

/* ---- opening ---- */

/* RFC 6528: a hash of the connection's identity under a secret, plus a clock of 4 us. */
static uint32_t initial_sequence(const struct tcp_endpoint *ep)
{
    uint8_t id[36];
    memcpy(id, ep->guest.bytes, 16);
    memcpy(id + 16, ep->peer.bytes, 16);
    put_be16(id + 32, ep->guest_port);
    put_be16(id + 34, ep->peer_port);
    return (uint32_t)hash_bytes(&ep->link->secret, id, sizeof(id)) + (uint32_t)(tcp_now(ep) / 4000);
}

/* Reads MSS and window scale (RFC 9293 section 3.2, RFC 7323 section 2); the first of each counts.
 */
static void read_options(struct tcp_endpoint *ep, const struct packet *syn)
{
    uint16_t mss = ep->v6 ? 1220 : 536;
    bool have_mss = false;
    struct reader r = reader_of(syn->frame + syn->l4 + TCP_LEN, syn->options_len);
    ep->scaled = false;
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
    ep->snd_scale = ep->scaled ? ep->snd_scale : 0;
    ep->rcv_scale = ep->scaled ? TCP_WINDOW_SCALE : 0;
}

void tcp_take_syn(struct tcp_endpoint *ep, const struct packet *syn)
{
    ep->irs = syn->seq;
    ep->rcv_nxt = syn->seq + 1;
    ep->rcv_edge = ep->rcv_nxt + ep->rcv_wnd;
    read_options(ep, syn);
}

static void fire(struct timer *timer, uint64_t now);

static int begin(struct tcp_endpoint *ep, struct tcp_link *link, struct tcp_far *far)
{
    ep->link = link;
    ep->far = far;
    ep->timer.fire = fire;
    ep->iss = initial_sequence(ep);
    ep->snd_una = ep->snd_nxt = ep->snd_max = ep->iss;
    ep->cwnd = TCP_CWND_INITIAL;
    ep->ssthresh = TCP_CWND_MAX;
    ep->rto_ms = TCP_RTO_INITIAL_MS;
    ep->retransmit_ns = ep->look_ns = TIMER_NEVER;
    ep->heard_ns = ep->data_ns = tcp_now(ep);
    ep->deadline_ns = tcp_now(ep) + link->limits.half_open_ms * MS_NS;
    return tcp_rearm(ep);
}

int tcp_accept(struct tcp_endpoint *ep, struct tcp_link *link, struct tcp_far *far,
               const struct packet *syn)
{
    ep->link = link;
    ep->guest = syn->src;
    ep->peer = syn->dst;
    ep->guest_port = syn->src_port;
    ep->peer_port = syn->dst_port;
    ep->v6 = syn->v6;
    ep->state = TCP_OPENING;
    tcp_take_syn(ep, syn);
    return begin(ep, link, far);
}

/* Sends the first SYN or SYN-ACK. */
static void shake(struct tcp_endpoint *ep, enum tcp_state state)
{
    tcp_set_state(ep, state);
    ep->snd_nxt = ep->snd_max = ep->iss + 1;
    ep->timing = true;
    ep->timed_seq = ep->snd_max;
    ep->timed_ns = tcp_now(ep);
    ep->retransmit_ns = tcp_now(ep) + ep->rto_ms * MS_NS;
    tcp_send_syn(ep);
}

void tcp_connected(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_OPENING) {
        shake(ep, TCP_SYN_RECEIVED);
        ep->deadline_ns = tcp_now(ep) + ep->link->limits.half_open_ms * MS_NS;
        tcp_rearm(ep);
    }
}

int tcp_connect(struct tcp_endpoint *ep, struct tcp_link *link, struct tcp_far *far,
                const struct tcp_address *address)
{
    ep->link = link;
    ep->guest = address->guest;
    ep->peer = address->peer;
    ep->guest_port = address->guest_port;
    ep->peer_port = address->peer_port;
    ep->v6 = !ln_addr_is_v4(&address->guest);
    ep->mss = tcp_own_mss(ep); /* until the guest has said its own */
    int r = begin(ep, link, far);
    if (r == 0) {
        shake(ep, TCP_SYN_SENT);
        tcp_rearm(ep);
    }
    return r;
}

void tcp_open_up(struct tcp_endpoint *ep, const struct packet *p, uint8_t scale)
{
    tcp_set_state(ep, TCP_OPEN);
    ep->snd_una = ep->snd_wl2 = ep->recover = p->ack;
    ep->snd_wl1 = p->seq;
    ep->snd_wnd = ep->snd_wnd_max = (uint32_t)p->window << scale;
    ep->deadline_ns = TIMER_NEVER;
    ep->heard_ns = ep->data_ns = tcp_now(ep);
    if (ep->timing) {
        tcp_sample_round_trip(ep, tcp_now(ep) - ep->timed_ns);
        ep->timing = false;
    }
    tcp_set_timeout(ep);
    ep->far->ops->opened(ep->far);
}

bool tcp_reusable(const struct tcp_endpoint *ep, const struct packet *syn)
{
    return ep->state == TCP_TIME_WAIT && seq_lt(ep->rcv_nxt, syn->seq);
}

void tcp_ask(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_OPEN) {
        tcp_send_probe(ep);
    }
}

/* ---- the far side ---- */

bool tcp_push(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_OPEN && tcp_output(ep) != 0) {
        tcp_reset(ep, TCP_END_FAR);
        return false;
    }
    return true;
}

void tcp_far_readable(struct tcp_endpoint *ep)
{
    ep->far_waits = false;
    if (ep->state == TCP_OPEN && tcp_push(ep) && !tcp_finish(ep)) {
        tcp_rearm(ep);
    }
}

/* Tells the guest of space that the far side has gained. */
static void offer_window(struct tcp_endpoint *ep)
{
    if (ep->starved) {
        if (tcp_space(ep) > 0) {
            tcp_ask_again(ep);
        }
    } else if (tcp_new_window(ep) > 0) {
        tcp_owe_ack(ep);
    }
}

void tcp_far_writable(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_OPEN && ep->look_ns != TIMER_NEVER) {
        offer_window(ep); /* a window wide open need not be told of */
    }
}

/* While the window is (nearly) closed, the far side's space is looked at. A guest does not send
 * into a window that takes less than a segment. */
static void watch_space(struct tcp_endpoint *ep)
{
    bool narrow = tcp_window_left(ep) < 2u * ep->mss;
    if (ep->state == TCP_OPEN && !ep->guest_fin && (narrow || ep->starved)) {
        tcp_look_later(ep);
    }
}

void tcp_flush(struct tcp_link *link)
{
    while (link->dirty != NULL) {
        struct tcp_endpoint *ep = link->dirty;
        make_clean(ep);
        if (ep->ack_now) {
            tcp_send_ack(ep);
        }
        if (ep->look_ns == TIMER_NEVER) {
            watch_space(ep);
        }
        if (ep->look_ns != TIMER_NEVER) {
            tcp_rearm(ep);
        }
    }
}

/* ---- time ---- */

/* What could not be done before: a link that was full, a far side that was. Returns false when the
 * connection ended. */
static bool look_again(struct tcp_endpoint *ep)
{
    ep->look_ns = TIMER_NEVER;
    if (ep->ack_now) {
        make_dirty(ep);
    }
    if (ep->state == TCP_SYN_SENT || ep->state == TCP_SYN_RECEIVED) {
        tcp_send_syn(ep);
    }
    if (ep->state != TCP_OPEN) {
        return true;
    }
    offer_window(ep);
    if (ep->dirty_at == NULL) { /* else tcp_flush() does it, with the window as it is then */
        watch_space(ep);
    }
    return tcp_push(ep);
}

static void back_off(struct tcp_endpoint *ep)
{
    ep->retries++;
    ep->rto_ms = ep->rto_ms * 2 > TCP_RTO_MAX_MS ? TCP_RTO_MAX_MS : ep->rto_ms * 2;
    ep->retransmit_ns = tcp_now(ep) + ep->rto_ms * MS_NS;
}

/* The retransmission timer (RFC 6298 section 5). Returns false when the connection ended. */
static bool retransmit(struct tcp_endpoint *ep)
{
    if (ep->retries >= TCP_RETRIES_MAX) {
        tcp_reset(ep, TCP_END_TIMEOUT);
        return false;
    }
    if (ep->state != TCP_OPEN) {
        ep->timing = false;
        tcp_send_syn(ep);
    } else if (ep->probing) {
        tcp_send_probe(ep);
    } else {
        tcp_go_back(ep, ep->mss);
        if (!tcp_push(ep)) {
            return false;
        }
    }
    back_off(ep);
    return true;
}

/* Silence and idleness of an open connection. Returns false when it ended. */
static bool check_silence(struct tcp_endpoint *ep)
{
    uint64_t now = tcp_now(ep);
    bool silent = now >= keepalive_at_ns(ep);
    if (now >= idle_at_ns(ep) || (silent && ep->keepalives == TCP_KEEPALIVES_MAX)) {
        tcp_reset(ep, TCP_END_TIMEOUT);
        return false;
    }
    if (silent) {
        ep->keepalives++;
        tcp_send_probe(ep);
    }
    return true;
}

/* The handshake took too long, or TIME_WAIT is over. */
static void deadline(struct tcp_endpoint *ep)
{
    if (ep->state == TCP_TIME_WAIT) {
        unlink_endpoint(ep);
        tcp_set_state(ep, TCP_CLOSED);
        ep->far->ops->ended(ep->far);
    } else if (ep->state == TCP_OPENING) {
        tcp_end(ep, TCP_END_TIMEOUT);
    } else {
        tcp_reset(ep, TCP_END_TIMEOUT);
    }
}

static void fire(struct timer *timer, uint64_t now)
{
    struct tcp_endpoint *ep =
        (struct tcp_endpoint *)(void *)((char *)timer - offsetof(struct tcp_endpoint, timer));
    if (now >= ep->deadline_ns) {
        deadline(ep);
        return;
    }
    if (now >= ep->look_ns && !look_again(ep)) {
        return;
    }
    if (now >= ep->retransmit_ns && !retransmit(ep)) {
        return;
    }
    if (ep->state == TCP_OPEN && !check_silence(ep)) {
        return;
    }
    tcp_rearm(ep);
}
