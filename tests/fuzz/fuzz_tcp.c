/* The TCP endpoint against a guest that says anything at any time. The harness checks every segment
 * sent and every byte handed on; here: nothing goes beyond the windows that the guest ever offered,
 * what is acknowledged never goes back, the owner is told once of each thing, and when the guest
 * falls silent the endpoint ends by itself and leaves nothing. */
#include "stack/tcp_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COMMANDS_MAX = 200 };

static struct reader input;
static uint32_t acked; /* the last ACK that the endpoint sent */
static bool acked_known;
static uint32_t edge; /* the furthest window of the guest's segments */
static bool edge_known;

static uint32_t snd_scale_of(const struct world *w)
{
    return w->ep->scaled ? w->ep->snd_scale : 0;
}

static void sent(struct world *w, const struct seen *s, const uint8_t *payload)
{
    (void)w;
    (void)payload;
    bool fin = (s->flags & TCP_FIN) != 0;
    if (s->len + fin > 0) {
        HARNESS_CHECK(edge_known && (int32_t)(s->seq + s->len + fin - edge) <= 0);
    }
    if ((s->flags & TCP_ACK) != 0 && (s->flags & TCP_RST) == 0) {
        HARNESS_CHECK(!acked_known || (int32_t)(s->ack - acked) >= 0);
        acked = s->ack;
        acked_known = true;
    }
}

static void segment(struct world *w)
{
    static const uint8_t usual[] = {TCP_ACK, TCP_ACK | TCP_FIN, TCP_SYN,
                                    TCP_RST, TCP_RST | TCP_ACK, TCP_SYN | TCP_ACK};
    static uint8_t payload[65536];
    struct tcp_endpoint *ep = w->ep;
    uint8_t choice = reader_u8(&input);
    int16_t seq_from = (int16_t)reader_u16(&input);
    int16_t ack_from = (int16_t)reader_u16(&input);
    uint16_t window = reader_u16(&input);
    uint32_t len = reader_u8(&input) * ((choice & 0x80) != 0 ? 20u : 1u);
    uint8_t flags = usual[choice % 8 % 6];
    uint32_t seq = (choice & 8) != 0 ? ep->rcv_edge : ep->rcv_nxt;
    uint32_t ack = (choice & 16) != 0 ? ep->snd_max : ep->snd_una;
    seq += (uint32_t)((choice & 32) != 0 ? seq_from * 4096 : seq_from / 256);
    ack += (uint32_t)((choice & 64) != 0 ? ack_from * 4096 : ack_from / 256);
    if ((flags & (TCP_SYN | TCP_RST)) != 0) {
        len = 0;
    }
    stream_fill(TO_FAR, (uint32_t)(seq - ep->irs - 1), payload, len);
    struct guest_segment s = world_segment(w, flags, seq, ack, window);
    struct packet p;
    if (!world_describe(w, &s, payload, len, &p)) {
        return;
    }
    uint32_t offered = ack + ((uint32_t)window << ((flags & TCP_SYN) != 0 ? 0 : snd_scale_of(w)));
    if ((flags & TCP_ACK) != 0 && (int32_t)(ack - ep->snd_max) <= 0 &&
        (!edge_known || (int32_t)(offered - edge) > 0)) {
        edge = offered;
        edge_known = true;
    }
    if (w->far.closed == 0 || ep->state == TCP_TIME_WAIT) {
        uint32_t before = ep->rcv_nxt;
        bool held = ep->state == TCP_OPENING || ep->state == TCP_SYN_SENT;
        (void)tcp_input(ep, &p);
        HARNESS_CHECK(held || (int32_t)(ep->rcv_nxt - before) >= 0);
        if (held && ep->state != TCP_OPENING) {
            w->irs = ep->irs;
        }
    } else {
        acked_known = false;
        tcp_reset_packet(&w->link, &p);
    }
}

static void far_side(struct world *w)
{
    static const int errors[] = {-ECONNRESET, -EPIPE};
    struct script_far *far = &w->far;
    uint8_t what = reader_u8(&input);
    uint32_t amount = reader_u16(&input) / ((what & 0x80) != 0 ? 1u : 64u);
    switch (what % 8) {
    case 0:
    case 1:
        far->has += far->ends ? 0 : amount;
        tcp_far_readable(w->ep);
        return;
    case 2:
        far->ends = true;
        tcp_far_readable(w->ep);
        return;
    case 3:
    case 4:
        far->room = amount;
        tcp_far_writable(w->ep);
        return;
    case 5:
        far->promises = amount;
        return;
    case 6:
        tcp_connected(w->ep);
        return;
    default:
        if (amount % 64 == 0) {
            far->write_error = errors[amount / 64 % 2];
        } else if (amount % 64 == 1) {
            far->peek_error = errors[amount / 64 % 2];
            tcp_far_readable(w->ep);
        } else if (amount % 64 == 2) {
            tcp_abort(w->ep);
        } else if (amount % 64 == 3) {
            tcp_refuse(w->ep);
        }
        return;
    }
}

static void check(const struct world *w)
{
    const struct tcp_endpoint *ep = w->ep;
    HARNESS_CHECK(w->far.opened <= 1 && w->far.finished <= 1 && w->far.closed <= 1);
    HARNESS_CHECK(w->far.ended <= w->far.closed);
    HARNESS_CHECK((ep->state == TCP_CLOSED) ==
                  (w->far.closed == 1 && (w->far.ended == 1 || ep->state != TCP_TIME_WAIT)));
    if (ep->state == TCP_OPEN) {
        HARNESS_CHECK(ep->rcv_nxt - ep->irs - 1 - ep->guest_fin == (uint32_t)w->far.taken);
        HARNESS_CHECK(ep->snd_una - ep->iss - 1 - ep->fin_acked == (uint32_t)w->far.discarded);
        HARNESS_CHECK((int32_t)(ep->snd_nxt - ep->snd_una) >= 0);
        HARNESS_CHECK((int32_t)(ep->snd_max - ep->snd_nxt) >= 0);
        HARNESS_CHECK(ep->mss > 0 && ep->cwnd > 0);
        HARNESS_CHECK(timer_is_set(&ep->timer));
    }
}

/* This guest knows the number even when no SYN reached it. */
static void know_iss(struct world *w)
{
    w->iss = w->ep->iss;
    w->iss_known = true;
}

static bool begin(struct world *w)
{
    uint8_t choice = reader_u8(&input);
    uint8_t options[8];
    for (unsigned i = 0; i < sizeof(options); i++) {
        options[i] = reader_u8(&input);
    }
    w->irs = reader_u32(&input);
    w->link.csum_offload = (choice & 1) != 0;
    w->link.tso = (choice & 3) == 3;
    w->far.room = reader_u16(&input);
    w->on_segment = sent;
    if ((choice & 4) != 0) {
        int r = tcp_connect(w->ep, &w->link, &w->far.far, &w->address);
        know_iss(w);
        return r == 0;
    }
    struct guest_segment s = world_segment(w, TCP_SYN, w->irs, 0, 1000);
    s.options = options;
    s.options_len = sizeof(options);
    struct packet p;
    HARNESS_CHECK(world_describe(w, &s, NULL, 0, &p));
    if (tcp_accept(w->ep, &w->link, &w->far.far, &p) != 0) {
        return false;
    }
    know_iss(w);
    if ((choice & 8) != 0) {
        tcp_connected(w->ep);
        s = world_segment(w, TCP_ACK, w->irs + 1, w->iss + 1, 1000);
        edge = s.ack + (1000u << snd_scale_of(w));
        edge_known = true;
        HARNESS_CHECK(world_describe(w, &s, NULL, 0, &p));
        HARNESS_CHECK(tcp_input(w->ep, &p) == DROP_NONE);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t waits_ns[] = {MS_NS,         20 * MS_NS,      300 * MS_NS,
                                        5 * SECOND_NS, 100 * SECOND_NS, 1000 * SECOND_NS};
    input = reader_of(data, size);
    acked_known = edge_known = false;
    struct world *w = world_new((size & 1) != 0);
    if (begin(w)) {
        for (unsigned i = 0; i < COMMANDS_MAX && reader_left(&input) > 0; i++) {
            uint8_t command = reader_u8(&input);
            w->rcv_scale = w->ep->rcv_scale;
            if (command < 130) {
                segment(w);
            } else if (command < 190) {
                far_side(w);
            } else if (command < 220) {
                world_wait(w, waits_ns[command % 6]);
            } else if (command < 230) {
                w->full = !w->full;
            } else {
                world_flush(w);
            }
            check(w);
        }
        w->full = false;
        world_wait(w, 10000 * SECOND_NS); /* the guest says nothing more */
        check(w);
        HARNESS_CHECK(w->ep->state == TCP_CLOSED && w->far.closed == 1);
    }
    world_free(w);
    return 0;
}
