/* Segments to the guest, built in place around payload that the far side copied straight into the
 * frame; what may be sent, and what is sent again. */
#include <errno.h>
#include <netinet/in.h>

#include "base/bytes.h"
#include "packet/build.h"
#include "stack/tcp_internal.h"

static uint32_t ip_len(bool v6)
{
    return v6 ? IPV6_LEN : IPV4_LEN;
}

uint16_t tcp_own_mss(const struct tcp_endpoint *ep)
{
    return (uint16_t)(ep->link->mtu - ip_len(ep->v6) - TCP_LEN);
}

uint32_t tcp_space(struct tcp_endpoint *ep)
{
    size_t space = ep->far->ops->space(ep->far);
    uint32_t most = ep->scaled ? TCP_WINDOW_MAX : UINT16_MAX;
    return space > most ? most : (uint32_t)space;
}

/* ---- building ---- */

/* What a segment says besides its payload. */
struct segment {
    const ln_addr *src, *dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint16_t window;
    uint8_t flags;
    uint8_t options_len; /* a multiple of 4; they stand right before the payload */
    uint16_t mss;        /* payload is cut into this, where the link does that */
    bool v6;
};

/* Puts the headers before `payload_len` bytes at link->frame + TCP_HEADROOM and sends the frame.
 * Returns what send did. */
static int emit(struct tcp_link *link, const struct segment *s, uint32_t payload_len)
{
    uint32_t tcp_len = TCP_LEN + s->options_len;
    uint8_t *tcp = link->frame + TCP_HEADROOM - tcp_len;
    uint8_t *ip = tcp - ip_len(s->v6);
    uint8_t *eth = ip - ETH_LEN;

    put_be16(tcp, s->src_port);
    put_be16(tcp + 2, s->dst_port);
    put_be32(tcp + 4, s->seq);
    put_be32(tcp + 8, s->ack);
    tcp[12] = (uint8_t)(tcp_len << 2);
    tcp[13] = s->flags;
    put_be16(tcp + 14, s->window);
    put_be32(tcp + 16, 0);
    build_ip(ip, s->v6, s->src, s->dst, IPPROTO_TCP, tcp_len + payload_len);
    build_eth(eth, link->guest_mac, link->gateway_mac, s->v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);

    ln_frame frame = {
        .data = eth,
        .len = ETH_LEN + ip_len(s->v6) + tcp_len + payload_len,
    };
    uint64_t sum = build_pseudo_sum(s->src, s->dst, s->v6, IPPROTO_TCP, tcp_len + payload_len);
    if (link->csum_offload) {
        put_be16(tcp + 16, build_fold(sum));
        frame.flags = LN_FRAME_CSUM_PARTIAL;
        frame.csum_start = (uint16_t)(tcp - eth);
        frame.csum_offset = 16;
    } else {
        put_be16(tcp + 16, (uint16_t)~build_fold(build_sum(tcp, tcp_len + payload_len, sum)));
    }
    if (payload_len > s->mss) {
        frame.gso_type = s->v6 ? LN_GSO_TCP6 : LN_GSO_TCP4;
        frame.gso_size = s->mss;
        frame.header_len = (uint16_t)(tcp + tcp_len - eth);
    }
    return link->send(link->user, &frame);
}

static struct segment segment_of(const struct tcp_endpoint *ep, uint8_t flags, uint32_t seq)
{
    uint32_t window = (ep->rcv_edge - ep->rcv_nxt) >> ep->rcv_scale;
    return (struct segment){
        .src = &ep->peer,
        .dst = &ep->guest,
        .src_port = ep->peer_port,
        .dst_port = ep->guest_port,
        .seq = seq,
        .ack = ep->rcv_nxt,
        .window = (uint16_t)(window > UINT16_MAX ? UINT16_MAX : window),
        .flags = flags,
        .mss = ep->mss,
        .v6 = ep->v6,
    };
}

/* Sends a segment of this connection. False: the link is full, which is looked at again. */
static bool transmit(struct tcp_endpoint *ep, const struct segment *s, uint32_t payload_len)
{
    if (emit(ep->link, s, payload_len) != 0) {
        tcp_look_later(ep);
        return false;
    }
    ep->look_round = 0;
    return true;
}

/* A segment without data or options. */
static bool send_control(struct tcp_endpoint *ep, uint8_t flags, uint32_t seq)
{
    struct segment s = segment_of(ep, flags, seq);
    return transmit(ep, &s, 0);
}

void tcp_send_probe(struct tcp_endpoint *ep)
{
    (void)send_control(ep, TCP_ACK, ep->snd_una - 1);
}

void tcp_send_reset(struct tcp_endpoint *ep)
{
    switch ((enum tcp_state)ep->state) {
    case TCP_OPENING: /* nothing of ours was acknowledged yet */
        (void)send_control(ep, TCP_RST | TCP_ACK, 0);
        return;
    case TCP_SYN_SENT: /* nothing of the guest's is known yet */
        (void)send_control(ep, TCP_RST, ep->snd_max);
        return;
    case TCP_SYN_RECEIVED:
    case TCP_OPEN:
        (void)send_control(ep, TCP_RST | TCP_ACK, ep->snd_max);
        return;
    case TCP_TIME_WAIT:
    case TCP_CLOSED:
    case TCP_STATES:
        return;
    }
}

void tcp_send_syn(struct tcp_endpoint *ep)
{
    bool answers = ep->state == TCP_SYN_RECEIVED;
    bool scaled = !answers || ep->scaled;
    uint32_t space = tcp_space(ep);
    space = space > UINT16_MAX ? UINT16_MAX : space; /* never scaled here (RFC 7323 section 2.2) */
    ep->rcv_wnd = space > ep->rcv_wnd ? space : ep->rcv_wnd;
    ep->rcv_edge = ep->rcv_nxt + ep->rcv_wnd;
    struct segment s = segment_of(ep, answers ? TCP_SYN | TCP_ACK : TCP_SYN, ep->iss);
    s.window = (uint16_t)ep->rcv_wnd;
    s.options_len = scaled ? 8 : 4;
    uint8_t *options = ep->link->frame + TCP_HEADROOM - s.options_len;
    options[0] = 2;
    options[1] = 4;
    put_be16(options + 2, tcp_own_mss(ep));
    if (scaled) {
        options[4] = 1;
        options[5] = 3;
        options[6] = 3;
        options[7] = TCP_WINDOW_SCALE;
    }
    (void)transmit(ep, &s, 0);
}

/* Silly windows are not offered (RFC 9293 section 3.8.6.2.2): at least two segments or a fair
 * amount is gained, or all was used up. */
uint32_t tcp_new_window(struct tcp_endpoint *ep)
{
    if (ep->state != TCP_OPEN || ep->guest_fin) {
        return 0;
    }
    uint32_t left = tcp_window_left(ep);
    uint32_t space = tcp_space(ep) >> ep->rcv_scale << ep->rcv_scale;
    uint32_t step = 2u * ep->mss < TCP_WINDOW_STEP_MAX ? 2u * ep->mss : TCP_WINDOW_STEP_MAX;
    return space > left && (space - left >= step || left == 0) ? space : 0;
}

void tcp_send_ack(struct tcp_endpoint *ep)
{
    uint32_t window = tcp_new_window(ep);
    if (window > 0) {
        ep->rcv_edge = ep->rcv_nxt + window;
        ep->rcv_wnd = window;
    }
    ep->ack_now = !send_control(ep, TCP_ACK, ep->snd_max);
}

void tcp_ask_again(struct tcp_endpoint *ep)
{
    tcp_send_ack(ep);
    ep->starved = ep->ack_now; /* still, when the link is full: it is asked again later */
    for (unsigned i = 0; i < TCP_DUPLICATES && !ep->starved; i++) {
        (void)send_control(ep, TCP_ACK, ep->snd_max);
    }
}

/* ---- when again ---- */

void tcp_sample_round_trip(struct tcp_endpoint *ep, uint64_t rtt_ns)
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

void tcp_set_timeout(struct tcp_endpoint *ep)
{
    uint32_t rto_ms =
        ep->srtt_us == 0 ? TCP_RTO_INITIAL_MS : (ep->srtt_us + 4 * ep->rttvar_us) / 1000;
    ep->rto_ms = rto_ms < TCP_RTO_MIN_MS   ? TCP_RTO_MIN_MS
                 : rto_ms > TCP_RTO_MAX_MS ? TCP_RTO_MAX_MS
                                           : rto_ms;
    ep->retries = 0;
    ep->retransmit_ns = ep->snd_una == ep->snd_max ? TIMER_NEVER : tcp_now(ep) + ep->rto_ms * MS_NS;
}

void tcp_go_back(struct tcp_endpoint *ep, uint32_t cwnd)
{
    uint32_t half = (ep->snd_max - ep->snd_una) / 2;
    ep->ssthresh = half > 2u * ep->mss ? half : 2u * ep->mss;
    ep->cwnd = cwnd != 0 ? cwnd : ep->ssthresh;
    ep->snd_nxt = ep->snd_una;
    ep->recover = ep->snd_max;
    ep->recovering = true;
    ep->dup_acks = 0;
    ep->timing = false; /* Karn: what is sent again gives no sample */
    ep->far_waits = false;
}

/* ---- sending ---- */

/* The largest payload of one frame: whole segments, as many as an IP packet holds. */
static uint32_t frame_payload(const struct tcp_endpoint *ep)
{
    uint32_t most = UINT16_MAX - ip_len(ep->v6) - TCP_LEN;
    return ep->link->tso ? most / ep->mss * ep->mss : ep->mss;
}

/* How many bytes may be sent next; 0: wait for the guest. */
static uint32_t room(const struct tcp_endpoint *ep)
{
    uint32_t flight = ep->snd_nxt - ep->snd_una;
    uint32_t window = ep->snd_wnd < ep->cwnd ? ep->snd_wnd : ep->cwnd;
    uint32_t most_flight = ep->link->limits.flight;
    if (most_flight != 0 && most_flight < window) {
        window = most_flight;
    }
    if (flight >= window) {
        return 0;
    }
    uint32_t left = window - flight;
    uint32_t most = frame_payload(ep);
    if (left >= most) {
        return most;
    }
    if (left >= ep->mss) {
        return left / ep->mss * ep->mss;
    }
    /* Sender's silly window avoidance (RFC 9293 section 3.8.6.2.1). */
    return flight == 0 || left >= ep->snd_wnd_max / 2 ? left : 0;
}

/* `len` more of the sequence space went out. */
static void sent(struct tcp_endpoint *ep, uint32_t len)
{
    bool fresh = ep->snd_nxt == ep->snd_max;
    ep->snd_nxt += len;
    if (seq_lt(ep->snd_max, ep->snd_nxt)) {
        ep->snd_max = ep->snd_nxt;
    }
    if (fresh && !ep->timing) {
        ep->timing = true;
        ep->timed_seq = ep->snd_nxt;
        ep->timed_ns = tcp_now(ep);
    }
    /* It took the ACK along, but not a fresh window: one that is half used up wants an ACK. */
    ep->ack_now = ep->ack_now && tcp_window_left(ep) < ep->rcv_wnd / 2;
    if (ep->retransmit_ns == TIMER_NEVER) {
        ep->retransmit_ns = tcp_now(ep) + ep->rto_ms * MS_NS;
    }
}

/* Sends `len` bytes that stand in the frame, or FIN when there are none. False: the link is full.
 */
static bool send_next(struct tcp_endpoint *ep, uint32_t len, bool all)
{
    bool fin = len == 0;
    struct segment s = segment_of(ep, TCP_ACK, ep->snd_nxt);
    s.flags |= fin ? TCP_FIN : all ? TCP_PSH : 0;
    if (!transmit(ep, &s, len)) {
        return false;
    }
    ep->fin_sent = ep->fin_sent || fin;
    sent(ep, fin ? 1 : len);
    return true;
}

/* The guest's window is closed and nothing is in flight. Returns -errno when the far side failed.
 */
static int start_probing(struct tcp_endpoint *ep)
{
    uint8_t byte;
    ssize_t n = ep->far->ops->peek(ep->far, 0, &byte, 1); /* is there anything to send? */
    if (n == -EAGAIN) {
        ep->far_waits = true;
        return 0;
    }
    if (n >= 0) {
        ep->probing = true;
        ep->retransmit_ns = tcp_now(ep) + ep->rto_ms * MS_NS;
    }
    return n < 0 ? (int)n : 0;
}

int tcp_output(struct tcp_endpoint *ep)
{
    while (!ep->far_waits && !ep->probing && !(ep->fin_sent && ep->snd_nxt == ep->snd_max)) {
        uint32_t offset = ep->snd_nxt - ep->snd_una;
        uint32_t len = room(ep);
        if (len == 0) {
            return offset == 0 ? start_probing(ep) : 0;
        }
        ssize_t n = ep->far->ops->peek(ep->far, offset, ep->link->frame + TCP_HEADROOM, len);
        if (n == -EAGAIN) {
            ep->far_waits = true;
            return 0;
        }
        if (n < 0) {
            return (int)n;
        }
        if (!send_next(ep, (uint32_t)n, (uint32_t)n < len)) {
            return 0;
        }
    }
    return 0;
}

void tcp_reset_packet(struct tcp_link *link, const struct packet *p)
{
    if ((p->tcp_flags & TCP_RST) != 0) {
        return;
    }
    bool acked = (p->tcp_flags & TCP_ACK) != 0;
    uint32_t length =
        p->payload_len + ((p->tcp_flags & TCP_SYN) != 0) + ((p->tcp_flags & TCP_FIN) != 0);
    struct segment s = {
        .src = &p->dst,
        .dst = &p->src,
        .src_port = p->dst_port,
        .dst_port = p->src_port,
        .seq = acked ? p->ack : 0,
        .ack = acked ? 0 : p->seq + length,
        .flags = acked ? TCP_RST : TCP_RST | TCP_ACK,
        .v6 = p->v6,
    };
    (void)emit(link, &s, 0);
}
