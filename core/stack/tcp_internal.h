/* What the files of the TCP endpoint share: tcp.c (life and time), tcp_input.c (segments from the
 * guest), tcp_output.c (segments to it). */
#ifndef LN_STACK_TCP_INTERNAL_H
#define LN_STACK_TCP_INTERNAL_H

#include "stack/tcp.h"

#define TCP_RTO_INITIAL_MS     1000u
#define TCP_RTO_MIN_MS         200u
#define TCP_RTO_MAX_MS         60000u
#define TCP_RETRIES_MAX        15u /* eight minutes: a guest may be paused for a while */
#define TCP_KEEPALIVE_EVERY_NS (75 * SECOND_NS)
#define TCP_KEEPALIVES_MAX     9u
/* Twice the segment lifetime of a link of one hop, not of the Internet. */
#define TCP_TIME_WAIT_NS    (2 * SECOND_NS)
#define TCP_CHALLENGE_NS    (100 * MS_NS) /* between answers to segments that make no sense */
#define TCP_LOOK_ROUNDS_MAX 8u            /* doublings of 1 ms between looks at what is full */
#define TCP_WINDOW_SCALE    7u            /* windows up to 8 MiB */
/* How much must be gained before a window is offered anew, so that none is silly (RFC 9293 section
 * 3.8.6.2.2), bytes; less where two segments are less. */
#define TCP_WINDOW_STEP_MAX (32u << 10)
#define TCP_WINDOW_MAX      (65535u << TCP_WINDOW_SCALE) /* offered to the guest, bytes */
#define TCP_CWND_INITIAL    (1u << 20)                   /* bytes: the path is one private link */
#define TCP_CWND_MAX        (16u << 20)
#define TCP_MSS_MIN         64u /* less is not believed: headers would be most of the traffic */
#define TCP_DUPLICATES      3u  /* ACKs that tell of a loss, RFC 5681 section 3.2 */

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline uint64_t tcp_now(const struct tcp_endpoint *ep)
{
    return *ep->link->now_ns;
}

/* What is left of the window offered to the guest. */
static inline uint32_t tcp_window_left(const struct tcp_endpoint *ep)
{
    return ep->rcv_edge - ep->rcv_nxt;
}

/* ---- tcp.c ---- */

void tcp_set_state(struct tcp_endpoint *ep, enum tcp_state state);
/* Files the timer for the first thing that may be due. Returns 0 or -ENOMEM. */
int tcp_rearm(struct tcp_endpoint *ep);
/* Ends, and tells the owner: the endpoint may be gone then. */
void tcp_end(struct tcp_endpoint *ep, enum tcp_end how);
/* The same with an RST to the guest. */
void tcp_reset(struct tcp_endpoint *ep, enum tcp_end how);
/* Ends, where both FINs are acknowledged and the far side is done. Returns whether it ended. */
bool tcp_finish(struct tcp_endpoint *ep);
/* Reads what the guest's SYN or SYN-ACK says of its side. */
void tcp_take_syn(struct tcp_endpoint *ep, const struct packet *syn);
/* The ACK `p` completes the handshake; `scale` is that of its window. */
void tcp_open_up(struct tcp_endpoint *ep, const struct packet *p, uint8_t scale);
/* Looks again at a far side or a link that is full, after 1, 2, 4 … 256 ms. */
void tcp_look_later(struct tcp_endpoint *ep);
/* An ACK is to go out at the end of the turn, if no data takes it along before. */
void tcp_owe_ack(struct tcp_endpoint *ep);
/* The same for a segment that makes no sense, at a bounded rate: two ends that disagree must not
 * keep each other busy (RFC 5961 section 7). */
void tcp_challenge(struct tcp_endpoint *ep);
/* Sends what both windows allow. Returns false when the connection ended meanwhile. */
bool tcp_push(struct tcp_endpoint *ep);

/* ---- tcp_output.c ---- */

/* The segment size that fits the link's MTU. */
uint16_t tcp_own_mss(const struct tcp_endpoint *ep);
/* What the far side can take and a window can say, bytes. */
uint32_t tcp_space(struct tcp_endpoint *ep);
/* The window to offer anew, bytes; 0: what was offered before stands. */
uint32_t tcp_new_window(struct tcp_endpoint *ep);
/* Sends data, and then FIN, as far as the windows and the far side go. Returns 0, or the far side's
 * failure. */
int tcp_output(struct tcp_endpoint *ep);
/* SYN or SYN-ACK, by the state. */
void tcp_send_syn(struct tcp_endpoint *ep);
/* An ACK with a fresh window. */
void tcp_send_ack(struct tcp_endpoint *ep);
/* The same, and as many more as make the guest send again what was dropped here. */
void tcp_ask_again(struct tcp_endpoint *ep);
/* A segment that the guest must answer and cannot take: the byte before snd_una, without data. */
void tcp_send_probe(struct tcp_endpoint *ep);
void tcp_send_reset(struct tcp_endpoint *ep);
/* A round trip took `rtt_ns` (RFC 6298 section 2). */
void tcp_sample_round_trip(struct tcp_endpoint *ep, uint64_t rtt_ns);
/* (Re)starts the retransmission timer without back-off, or stops it when nothing is outstanding. */
void tcp_set_timeout(struct tcp_endpoint *ep);
/* Sends again from the first byte unacknowledged, within `cwnd` bytes (0: half of what was in
 * flight). */
void tcp_go_back(struct tcp_endpoint *ep, uint32_t cwnd);

#endif
