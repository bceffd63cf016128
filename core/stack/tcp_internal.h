/* What tcp.c and tcp_output.c share. */
#ifndef LN_STACK_TCP_INTERNAL_H
#define LN_STACK_TCP_INTERNAL_H

#include "stack/tcp.h"

#define TCP_RTO_INITIAL_MS     1000u
#define TCP_RTO_MIN_MS         200u
#define TCP_RTO_MAX_MS         60000u
#define TCP_RETRIES_MAX        10u
#define TCP_KEEPALIVE_EVERY_NS (75 * SECOND_NS)
#define TCP_KEEPALIVES_MAX     9u
/* Twice the segment lifetime of a link of one hop, not of the Internet. */
#define TCP_TIME_WAIT_NS (2 * SECOND_NS)
#define TCP_WINDOW_SCALE 8u         /* windows up to 16 MiB */
#define TCP_WINDOW_MAX   (8u << 20) /* offered to the guest, bytes */
#define TCP_CWND_INITIAL (1u << 20) /* bytes */
#define TCP_CWND_MAX     (16u << 20)
#define TCP_MSS_MIN                                                                                \
    256u /* a guest that asks for less gets this: header overhead is its own to bear */

/* The segment size that fits the link's MTU. */
uint16_t tcp_own_mss(const struct tcp_endpoint *ep);
/* What can be offered to the guest now, bytes. */
uint32_t tcp_space(struct tcp_endpoint *ep);
/* Sends data, and then FIN, as far as the windows and the far side go. Returns 0, or the far side's
 * failure. */
int tcp_output(struct tcp_endpoint *ep);
void tcp_send_syn_ack(struct tcp_endpoint *ep);
/* An ACK with a fresh window. */
void tcp_send_ack(struct tcp_endpoint *ep);
/* A segment that the guest must answer and cannot take: the byte before snd_una, without data. */
void tcp_send_probe(struct tcp_endpoint *ep);
/* A segment without data or options. */
void tcp_send_control(struct tcp_endpoint *ep, uint8_t flags, uint32_t seq);

#endif
