/* Segments from the guest: what is acceptable, what it acknowledges, what it brings. */
#include <assert.h>

#include "stack/tcp_internal.h"

/* What the segment takes of the sequence space. */
static uint32_t sequence_len(const struct packet *p)
{
    return p->payload_len + ((p->tcp_flags & TCP_SYN) != 0) + ((p->tcp_flags & TCP_FIN) != 0);
}

/* RFC 9293 section 3.4: whether any of the segment lies in the window. A segment that starts at
 * rcv_nxt is always of use, even to a closed window: it may be a probe, and its ACK counts. */
static bool is_acceptable(const struct tcp_endpoint *ep, const struct packet *p)
{
    uint32_t len = sequence_len(p);
    if (p->seq == ep->rcv_nxt) {
        return true;
    }
    if (len == 0) {
        return seq_le(ep->rcv_nxt, p->seq) && seq_le(p->seq, ep->rcv_edge);
    }
    return seq_lt(p->seq, ep->rcv_edge) && seq_lt(ep->rcv_nxt, p->seq + len);
}

/* ---- ACK ---- */

/* RFC 5681 section 3.1. */
static void grow_cwnd(struct tcp_endpoint *ep, uint32_t acked)
{
    uint32_t more =
        ep->cwnd < ep->ssthresh ? acked : (uint32_t)((uint64_t)ep->mss * acked / ep->cwnd + 1);
    ep->cwnd = ep->cwnd > TCP_CWND_MAX - more ? TCP_CWND_MAX : ep->cwnd + more;
}

/* New data was acknowledged: up to `ack`. */
static void advance(struct tcp_endpoint *ep, uint32_t ack)
{
    uint32_t data = ack - ep->snd_una;
    if (ep->fin_sent && ack == ep->snd_max) {
        ep->fin_acked = true;
        data--;
    }
    ep->snd_una = ack;
    if (seq_lt(ep->snd_nxt, ack)) {
        ep->snd_nxt = ack;
    }
    if (ep->timing && seq_le(ep->timed_seq, ack)) {
        tcp_sample_round_trip(ep, tcp_now(ep) - ep->timed_ns);
        ep->timing = false;
    }
    if (seq_le(ep->recover, ack)) {
        ep->recovering = false;
    }
    if (!ep->recovering) {
        ep->recover = ack; /* so that it is never so far behind as to look ahead */
    }
    ep->dup_acks = 0;
    ep->probing = false;
    grow_cwnd(ep, data);
    tcp_set_timeout(ep);
    if (data > 0) {
        ep->data_ns = tcp_now(ep);
        ep->bytes_in += data;
        ep->far_waits = false; /* it may be able to show more now */
        ep->far->ops->discard(ep->far, data);
    }
}

/* An ACK that acknowledges nothing new: the third in a row means that a segment was lost (RFC 5681
 * section 3.2), unless what was lost then is being sent again (RFC 6582). */
static void count_duplicate(struct tcp_endpoint *ep, const struct packet *p, bool window_moved)
{
    if (sequence_len(p) > 0 || window_moved || ep->snd_una == ep->snd_max || ep->recovering) {
        return;
    }
    if (++ep->dup_acks == TCP_DUPLICATES) {
        tcp_go_back(ep, 0);
    }
}

/* Takes the window of the segment, unless an older one comes late. One that acknowledges more is
 * never older, even when it repeats text. Returns whether the window moved. */
static bool take_window(struct tcp_endpoint *ep, const struct packet *p)
{
    bool newer = seq_lt(ep->snd_una, p->ack) || seq_lt(ep->snd_wl1, p->seq) ||
                 (ep->snd_wl1 == p->seq && seq_le(ep->snd_wl2, p->ack));
    if (!newer) {
        return false;
    }
    uint32_t window = (uint32_t)p->window << ep->snd_scale;
    bool moved = window != ep->snd_wnd;
    ep->snd_wnd = window;
    ep->snd_wnd_max = window > ep->snd_wnd_max ? window : ep->snd_wnd_max;
    ep->snd_wl1 = p->seq;
    ep->snd_wl2 = p->ack;
    if (ep->probing) {
        ep->retries = 0; /* a closed window is no dead guest */
        if (window > 0) {
            ep->probing = false;
            tcp_set_timeout(ep);
        }
    }
    return moved;
}

/* The ACK field of an acceptable segment. Returns false when the segment is to be dropped. */
static bool take_ack(struct tcp_endpoint *ep, const struct packet *p)
{
    /* Neither of what was not sent, nor older than any window (RFC 5961 section 5). */
    if (seq_lt(ep->snd_max, p->ack) || seq_lt(p->ack, ep->snd_una - ep->snd_wnd_max)) {
        tcp_challenge(ep);
        return false;
    }
    if (seq_lt(p->ack, ep->snd_una)) {
        return true;
    }
    bool window_moved = take_window(ep, p);
    if (p->ack != ep->snd_una) {
        advance(ep, p->ack);
    } else {
        count_duplicate(ep, p, window_moved);
    }
    return true;
}

/* ---- text and FIN ---- */

static void take_fin(struct tcp_endpoint *ep)
{
    ep->rcv_nxt++;
    if (seq_lt(ep->rcv_edge, ep->rcv_nxt)) {
        ep->rcv_edge = ep->rcv_nxt;
    }
    ep->guest_fin = true;
    ep->starved = false;
    ep->time_wait_due = ep->fin_sent;
    ep->far->ops->finish(ep->far);
}

/* Hands on `len` bytes, as far as the window goes. Returns whether all were taken, or a negative
 * errno when the far side failed. */
static int take_bytes(struct tcp_endpoint *ep, const uint8_t *data, uint32_t len)
{
    uint32_t window = tcp_window_left(ep);
    uint32_t fits = len < window ? len : window;
    if (fits == 0) {
        return len == 0;
    }
    ssize_t n = ep->far->ops->write(ep->far, data, fits);
    if (n < 0) {
        return (int)n;
    }
    ep->rcv_nxt += (uint32_t)n;
    ep->bytes_out += (uint64_t)n;
    ep->data_ns = tcp_now(ep);
    ep->starved = (uint32_t)n < fits;
    return (uint32_t)n == len;
}

/* The payload and FIN of an acceptable segment. Returns a negative errno when the far side failed.
 */
static int take_text(struct tcp_endpoint *ep, const struct packet *p)
{
    bool fin = (p->tcp_flags & TCP_FIN) != 0;
    if (p->payload_len == 0 && !fin) {
        return 0;
    }
    if (seq_lt(ep->rcv_nxt, p->seq)) {
        if (!ep->starved) { /* else the guest is asked as soon as there is space */
            tcp_send_ack(
                ep); /* a hole: each segment behind it tells of it (RFC 5681 section 4.2) */
        }
        return 0;
    }
    tcp_owe_ack(ep);
    uint32_t known = ep->rcv_nxt - p->seq;
    if (ep->guest_fin || known > p->payload_len) {
        return 0;
    }
    int r = take_bytes(ep, p->frame + p->payload + known, p->payload_len - known);
    if (r > 0 && fin) {
        take_fin(ep);
    }
    return r < 0 ? r : 0;
}

/* ---- states ---- */

static enum drop_reason input_opening(struct tcp_endpoint *ep, const struct packet *p)
{
    if ((p->tcp_flags & TCP_RST) != 0 && p->seq == ep->rcv_nxt) {
        tcp_end(ep, TCP_END_GUEST);
        return DROP_NONE;
    }
    if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN) {
        return DROP_STATE;
    }
    tcp_take_syn(ep, p); /* repeated, or the guest has given up the first and begins anew */
    return DROP_NONE;
}

/* RFC 9293 section 3.10.7.3. */
static enum drop_reason input_syn_sent(struct tcp_endpoint *ep, const struct packet *p)
{
    bool acks = (p->tcp_flags & TCP_ACK) != 0;
    if (acks && p->ack != ep->iss + 1) {
        tcp_reset_packet(ep->link, p);
        return DROP_STATE;
    }
    if (acks && (p->tcp_flags & TCP_RST) != 0) {
        tcp_end(ep, TCP_END_REFUSED);
        return DROP_NONE;
    }
    if (!acks || (p->tcp_flags & TCP_SYN) == 0) {
        return DROP_STATE;
    }
    tcp_take_syn(ep, p);
    tcp_owe_ack(ep);
    tcp_open_up(ep, p, 0);
    if (tcp_push(ep)) {
        tcp_rearm(ep);
    }
    return DROP_NONE;
}

static enum drop_reason input_time_wait(struct tcp_endpoint *ep, const struct packet *p)
{
    /* An RST is ignored (RFC 1337). A repeated FIN is acknowledged again and restarts the wait. */
    if ((p->tcp_flags & TCP_FIN) != 0 && p->seq + sequence_len(p) == ep->rcv_nxt) {
        tcp_owe_ack(ep);
        ep->deadline_ns = tcp_now(ep) + TCP_TIME_WAIT_NS;
        tcp_rearm(ep);
        return DROP_NONE;
    }
    return DROP_STATE;
}

/* Sequence, RST and SYN. Returns false when the segment is done with. */
static bool check_segment(struct tcp_endpoint *ep, const struct packet *p, enum drop_reason *ret)
{
    *ret = DROP_STATE;
    bool reset = (p->tcp_flags & TCP_RST) != 0;
    if (!is_acceptable(ep, p)) {
        bool text = p->payload_len > 0 || (p->tcp_flags & TCP_FIN) != 0;
        if (text && !reset) {
            tcp_owe_ack(ep); /* sent again although it was taken: our ACK was lost */
        } else if (!reset) {
            tcp_challenge(ep);
        }
        return false;
    }
    if (reset && p->seq == ep->rcv_nxt) {
        tcp_end(ep, TCP_END_GUEST);
        *ret = DROP_NONE;
        return false;
    }
    if (reset || (p->tcp_flags & TCP_SYN) != 0) { /* RFC 5961 sections 3.2 and 4.2 */
        tcp_challenge(ep);
        return false;
    }
    assert((p->tcp_flags & TCP_ACK) != 0); /* no other segment is legal: packet_classify() */
    return true;
}

/* RFC 9293 section 3.10.7.4, in its order: sequence, RST, SYN, ACK, text, FIN. */
static enum drop_reason input_synchronised(struct tcp_endpoint *ep, const struct packet *p)
{
    enum drop_reason reason;
    if (ep->state == TCP_SYN_RECEIVED && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
        p->seq == ep->irs) {
        tcp_send_syn(ep); /* ours was lost */
        return DROP_NONE;
    }
    if (!check_segment(ep, p, &reason)) {
        return reason;
    }
    if (ep->state == TCP_SYN_RECEIVED) {
        if (p->ack != ep->iss + 1) {
            tcp_reset_packet(ep->link, p);
            return DROP_STATE;
        }
        tcp_open_up(ep, p, ep->snd_scale);
    }
    ep->heard_ns = tcp_now(ep);
    ep->keepalives = 0;
    if (!take_ack(ep, p)) {
        return DROP_STATE;
    }
    if (take_text(ep, p) < 0) {
        tcp_reset(ep, TCP_END_FAR);
        return DROP_NONE;
    }
    if (!tcp_push(ep)) {
        return DROP_NONE;
    }
    if (!tcp_finish(ep)) {
        tcp_rearm(ep);
    }
    return DROP_NONE;
}

enum drop_reason tcp_input(struct tcp_endpoint *ep, const struct packet *p)
{
    switch ((enum tcp_state)ep->state) {
    case TCP_OPENING:
        return input_opening(ep, p);
    case TCP_SYN_SENT:
        return input_syn_sent(ep, p);
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
