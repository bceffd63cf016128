/* Segments to the guest: built in place around payload that the far side copied straight into the
 * frame. */
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

void tcp_send_control(struct tcp_endpoint *ep, uint8_t flags, uint32_t seq)
{
    struct segment s = segment_of(ep, flags, seq);
    (void)emit(ep->link, &s, 0);
}

void tcp_send_probe(struct tcp_endpoint *ep)
{
    tcp_send_control(ep, TCP_ACK, ep->snd_una - 1);
}

void tcp_send_syn_ack(struct tcp_endpoint *ep)
{
    uint32_t window = tcp_space(ep);
    window = window > UINT16_MAX ? UINT16_MAX : window;
    ep->rcv_edge = ep->rcv_nxt + window;
    struct segment s = segment_of(ep, TCP_SYN | TCP_ACK, ep->iss);
    s.window = (uint16_t)window; /* never scaled in a SYN (RFC 7323 section 2.2) */
    s.options_len = ep->scaled ? 8 : 4;
    uint8_t *options = ep->link->frame + TCP_HEADROOM - s.options_len;
    options[0] = 2;
    options[1] = 4;
    put_be16(options + 2, tcp_own_mss(ep));
    if (ep->scaled) {
        options[4] = 1;
        options[5] = 3;
        options[6] = 3;
        options[7] = ep->rcv_scale;
    }
    (void)emit(ep->link, &s, 0);
}

/* Moves the right edge of the window offered; it never moves back (RFC 9293 section 3.8.6.2). */
static void renew_window(struct tcp_endpoint *ep)
{
    if (ep->state != TCP_OPEN || ep->guest_fin) {
        return;
    }
    uint32_t left = ep->rcv_edge - ep->rcv_nxt;
    uint32_t space = tcp_space(ep) >> ep->rcv_scale << ep->rcv_scale;
    /* Silly windows are not offered: at least two segments, or what there is when that was all. */
    if (space > left && (space - left >= 2u * ep->mss || left == 0)) {
        ep->rcv_edge = ep->rcv_nxt + space;
        ep->rcv_wnd = space;
    }
}

void tcp_send_ack(struct tcp_endpoint *ep)
{
    ep->ack_now = false;
    renew_window(ep);
    tcp_send_control(ep, TCP_ACK, ep->snd_max);
}

/* The largest payload of one frame. */
static uint32_t frame_payload(const struct tcp_endpoint *ep)
{
    if (!ep->link->tso) {
        return ep->mss;
    }
    return UINT16_MAX - ip_len(ep->v6) - TCP_LEN;
}

/* After something was sent (or could not be): what is outstanding is timed. */
static void start_timer(struct tcp_endpoint *ep)
{
    if (ep->retransmit_ns == TIMER_NEVER) {
        ep->retransmit_ns = *ep->link->now_ns + ep->rto_ms * MS_NS;
    }
}

static void sent(struct tcp_endpoint *ep, uint32_t len)
{
    ep->snd_nxt += len;
    if ((int32_t)(ep->snd_nxt - ep->snd_max) > 0) {
        if (!ep->timing) {
            ep->timing = true;
            ep->timed_seq = ep->snd_nxt;
            ep->timed_ns = *ep->link->now_ns;
        }
        ep->snd_max = ep->snd_nxt;
    }
    /* Data carries the ACK, unless the window wants renewing too. */
    ep->ack_now = ep->ack_now && ep->rcv_edge - ep->rcv_nxt < ep->rcv_wnd / 2;
    start_timer(ep);
}

/* The link took no more: the same bytes are tried again soon. */
static void link_full(struct tcp_endpoint *ep)
{
    uint64_t soon_ns = *ep->link->now_ns + 2 * MS_NS;
    if (ep->snd_una == ep->snd_max || ep->retransmit_ns > soon_ns) {
        ep->retransmit_ns = soon_ns;
    }
}

/* How many bytes may be sent next; 0: wait for the guest. */
static uint32_t room(const struct tcp_endpoint *ep)
{
    uint32_t flight = ep->snd_nxt - ep->snd_una;
    uint32_t window = ep->snd_wnd < ep->cwnd ? ep->snd_wnd : ep->cwnd;
    if (flight >= window) {
        return 0;
    }
    uint32_t left = window - flight;
    uint32_t most = frame_payload(ep);
    if (left >= most) {
        return most;
    }
    /* Sender's silly window avoidance (RFC 9293 section 3.8.6.2.1). */
    return left >= ep->mss || flight == 0 || left >= ep->snd_wnd_max / 2 ? left : 0;
}

int tcp_output(struct tcp_endpoint *ep)
{
    while (!(ep->fin_sent && ep->snd_nxt == ep->snd_max)) {
        if (ep->far_waits) {
            return 0;
        }
        uint32_t offset = ep->snd_nxt - ep->snd_una;
        uint32_t len = room(ep);
        uint8_t byte;
        uint8_t *dst = len > 0 ? ep->link->frame + TCP_HEADROOM : &byte;
        if (len == 0 && offset > 0) {
            return 0;
        }
        /* With nothing in flight and a closed window, one byte of a look tells whether there is
         * something to probe for. */
        ssize_t n = ep->far->ops->peek(ep->far, offset, dst, len > 0 ? len : 1);
        if (n == -EAGAIN) {
            ep->far_waits = true;
            return 0;
        }
        if (n < 0) {
            return (int)n;
        }
        if (n > 0 && len == 0) {
            ep->probing = true;
            start_timer(ep);
            return 0;
        }
        struct segment s = segment_of(ep, TCP_ACK, ep->snd_nxt);
        s.flags |= n == 0 ? TCP_FIN : (uint32_t)n < len ? TCP_PSH : 0;
        if (emit(ep->link, &s, (uint32_t)n) != 0) {
            link_full(ep);
            return 0;
        }
        if (n == 0) {
            ep->fin_sent = true;
            sent(ep, 1);
        } else {
            ep->bytes_in += ep->snd_nxt == ep->snd_max ? (uint64_t)n : 0;
            ep->data_ns = *ep->link->now_ns;
            sent(ep, (uint32_t)n);
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
