/* The gateway's insides, shared by the files of net/ that make it: gateway.c (life, frames in),
 * tcp_flow.c, datagram.c, name_service.c. */
#ifndef LN_NET_GATEWAY_H
#define LN_NET_GATEWAY_H

#include "base/events.h"
#include "dns/server.h"
#include "flow/admission.h"
#include "flow/table.h"
#include "lunette/gateway.h"
#include "net/dns_upstream.h"
#include "net/echo6.h"
#include "net/loop.h"
#include "net/slirp.h"
#include "packet/fragments.h"
#include "packet/packet.h"
#include "stack/tcp.h"

#define GATEWAY_HOST_ADDRS 64   /* addresses of the machine that count as `host` */
#define GATEWAY_DENIED_MAX 1024 /* refused flows remembered */
#define GATEWAY_DENIED_NS  (30 * SECOND_NS)

struct ln_gateway {
    struct loop loop;
    ln_host host;
    void *user;
    struct events events;
    struct link_identity link;
    uint8_t guest_mac[6]; /* where frames go: the MAC last seen */
    uint32_t slot;
    bool inside; /* a callback is running: input is refused */

    struct admission admission;
    ln_addr host_addrs[GATEWAY_HOST_ADDRS + 2];
    struct flow_table flows;

    struct tcp_link tcp;
    bool peek_offset; /* SO_PEEK_OFF works for TCP (Linux 6.9) */
    uint8_t *frame;   /* segments to the guest are built here */
    uint8_t *scratch; /* where bytes go that nobody wants */
    struct fragments *fragments;
    struct slirp_host *slirp;
    struct echo6 *echo6;
    struct dns_server *dns;
    struct dns_upstream *dns_upstream;

    struct timer tick; /* once a second: expiry */
    uint32_t ticks;
    uint32_t limit_count; /* refused for want of room, not told yet */
    ln_stats stats;
};

/* For the command line: its own descriptors are watched in the same loop. */
struct loop *gateway_loop(ln_gateway *gw);

/* Sends a frame to the guest. Returns what the host's send_frame did. */
int gateway_send(ln_gateway *gw, const ln_frame *frame);
/* Likewise an IP packet behind an Ethernet header that is only reserved; fragments what exceeds the
 * MTU. */
void gateway_send_packet(ln_gateway *gw, uint8_t *frame, size_t len);
void gateway_drop(ln_gateway *gw, enum drop_reason reason);
/* Counts one refusal for want of room; told once a second. */
void gateway_over_limit(ln_gateway *gw);
/* Refuses a new flow: remembers it, tells it once, answers by deny_mode. `name` is what was shown,
 * or NULL. */
void gateway_refuse(ln_gateway *gw, const struct flow_key *key, const struct packet *packet,
                    const ln_decision *decision, const char *reason);
/* What a refused flow gets on the wire, at every packet. */
void gateway_answer_refused(ln_gateway *gw, const struct flow *flow, const struct packet *packet);
/* Makes room for one flow more of a class. False: there is none. */
bool gateway_make_room(ln_gateway *gw, enum flow_class flow_class);
struct flow_key gateway_key(const struct packet *packet);

/* tcp_flow.c */
void tcp_flow_input(ln_gateway *gw, struct flow *flow, const struct packet *packet);
void tcp_flow_destroy(struct flow *flow, const char *reason);
/* After a reload: ends the flow when the policy denies it now. */
void tcp_flow_rejudge(ln_gateway *gw, struct flow *flow);

/* datagram.c */
void datagram_input(ln_gateway *gw, struct flow *flow, const struct packet *packet);
void datagram_destroy(ln_gateway *gw, struct flow *flow, const char *reason);
void datagram_rejudge(ln_gateway *gw, struct flow *flow);
void datagram_expire(ln_gateway *gw);
int datagram_start(ln_gateway *gw, ln_error *reterr);
void datagram_stop(ln_gateway *gw);

/* name_service.c */
int name_service_start(ln_gateway *gw, const char *resolv_conf, ln_error *reterr);
void name_service_stop(ln_gateway *gw);
void name_service_udp(ln_gateway *gw, const struct packet *packet);
/* A TCP connection to port 53: its far side is the resolver itself. */
void name_service_tcp(ln_gateway *gw, const struct packet *syn);
void name_service_tcp_input(struct flow *flow, const struct packet *packet);

#endif
