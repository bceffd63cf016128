/* The gateway's insides, shared by the files of net/ that make it: gateway.c (life, turns),
 * input.c (frames in), refusal.c (refusals, drops, room), tcp_flow.c, datagram.c, name_service.c.
 */
#ifndef LN_NET_GATEWAY_H
#define LN_NET_GATEWAY_H

#include "base/events.h"
#include "flow/admission.h"
#include "flow/table.h"
#include "lunette/gateway.h"
#include "net/loop.h"
#include "net/throttle.h"
#include "packet/build.h"
#include "packet/fragments.h"
#include "packet/packet.h"
#include "stack/tcp.h"

#define DATAGRAM_MAX            65535u
#define GATEWAY_PORT_DNS        53u
#define GATEWAY_DENIED_MAX      1024u            /* refused flows remembered */
#define GATEWAY_DENIED_NS       (30 * SECOND_NS) /* for how long they must be idle to be forgotten */
#define GATEWAY_REFRESH_TICKS   10u          /* seconds between looks at the machine's addresses */
#define GATEWAY_READS           (128u << 10) /* bytes that an inspected flow reads at once */
#define GATEWAY_ADVERTISE_TICKS 3600u        /* seconds between router advertisements unasked */

#define GATEWAY_GUARDED_MAX 64u

struct datagrams;     /* datagram.c's own state */
struct publish_route; /* net/publish.h */
struct dns_upstream;  /* net/dns_upstream.h */
struct interception;  /* net/interception.h */
struct tls_engine;    /* tls/session.h */
struct name_service;  /* name_service.c's */
struct trust;         /* net/trust.h */

/* Of one thing that is counted always and told at most once a second. */
struct muffled {
    uint64_t untold;
    bool quiet; /* told less than a second ago */
};

/* What there may be too much of; told by name (refusal.c). */
enum gateway_limit {
    LIMIT_CONNECTIONS, /* flows: the new one is refused */
    LIMIT_HALF_OPEN,   /* of them: the oldest goes */
    LIMIT_DNS,         /* queries in flight: the new one is refused */
    LIMIT_DNS_STREAMS, /* connections to port 53: the one unused for longest goes */
    LIMIT_MACHINE, /* memory, descriptors or ports of the machine: what needed them is refused */
    GATEWAY_LIMITS
};

/* Where no guest gets, whatever the policy allows. */
struct guarded {
    ln_addr addr; /* unspecified: all of the machine's */
    uint16_t port;
};

struct ln_gateway {
    struct loop loop;
    ln_host host;
    void *user;
    struct events events;
    struct link_identity link;
    uint32_t slot;
    uint8_t guest_mac[6]; /* where frames go: the MAC last seen */
    bool inside;          /* a callback of the host is running: input is refused */
    bool turning;         /* ln_gateway_dispatch() is running, and will do what is left to do */
    bool woken;           /* the descriptor is readable because of frames put in */
    bool deaf;            /* the guest is gone: it is sent nothing */
    char condemned[512];  /* why the guest is to be ended; "": it is not */

    struct admission admission;
    ln_addr *host_addrs; /* the gateway's two, then the machine's */
    struct flow_table flows;

    struct tcp_link tcp;
    struct tcp_flow *tcp_ready, *tcp_ready_last; /* queue of flows that go on in the next turn */
    struct interception *shaking, *shaking_last; /* queue of those that have handshakes to make */
    struct tls_engine *engine;                   /* NULL: nothing was intercepted yet */
    bool strict; /* secrets, or rules about requests: every first flight is looked at */
    uint32_t turns;
    bool learn_names; /* see ln_config */
    bool peek_offset; /* SO_PEEK_OFF works for TCP */
    uint8_t *scratch; /* HOST_SOCKET_SCRATCH bytes; NULL where peek_offset */
    uint8_t *frame;   /* TCP_FRAME_MAX bytes: segments to the guest are built here */
    uint8_t *reads;   /* GATEWAY_READS bytes; NULL: no flow was inspected yet */
    struct fragments *fragments;
    struct datagrams *datagrams;
    struct name_service *names;
    struct trust *trust; /* CA, roots, secrets */
    struct publication *published;
    ln_addr proxy;                               /* where the policy's is */
    struct guarded guarded[GATEWAY_GUARDED_MAX]; /* TCP, beside the proxy */
    unsigned n_guarded;
    struct lane lanes[2]; /* by ln_direction; egress is guest to network */
    bool closed;          /* a budget is used up, and that was told */

    struct timer tick;   /* once a second: expiry */
    struct timer doubt;  /* doubt.c: the next round */
    uint64_t doubted_ns; /* when the first of the last rounds was */
    uint32_t ticks;
    uint32_t datagram_id; /* of the next datagram that is cut into fragments */
    struct muffled drops[DROP_REASONS];
    struct muffled limits[GATEWAY_LIMITS];
    ln_stats stats;
};

/* ---- gateway.c ---- */

/* For the command line: its own descriptors are watched in the same loop. */
struct loop *gateway_loop(ln_gateway *gw);
/* ln_gateway_dispatch() that waits up to `timeout_ms` (-1: for ever) for work. */
int gateway_turn(ln_gateway *gw, int timeout_ms);
/* From outside a turn: the descriptor becomes readable, so that what is left to do is done. */
void gateway_wake(ln_gateway *gw);
/* Judges every flow again; those now denied are reset. */
void gateway_rejudge(ln_gateway *gw);
/* Visits every flow, refused ones too. `visit` may end the flow that it is given. */
void gateway_each_flow(ln_gateway *gw, void (*visit)(void *user, struct flow *flow), void *user);
/* Sends a frame to the guest. Returns what the host's send_frame did. */
int gateway_send(ln_gateway *gw, const ln_frame *frame);
/* Sends an IP packet that stands behind ETH_LEN bytes of room for its Ethernet header; `len` counts
 * both. What exceeds the MTU is cut into fragments. */
void gateway_send_packet(ln_gateway *gw, uint8_t *frame, size_t len);
/* Answers a packet of the guest with an ICMP error, where one may be sent. */
void gateway_send_icmp_error(ln_gateway *gw, const struct packet *packet, enum icmp_error error,
                             uint32_t mtu);

/* ---- guard.c ---- */

/* Whether a TCP flow would lead to a service of lunette's own, or around it by way of its proxy. */
bool gateway_is_guarded(const ln_gateway *gw, const struct flow_key *key);

/* ---- input.c ---- */

/* The flow of a packet of the guest: TCP, UDP, or an echo request. */
struct flow_key gateway_key(const struct packet *packet);
/* Whether what the guest sends to a port of this number never gets to a flow. */
bool gateway_is_port_taken(uint16_t port);
/* Judges a flow of ingress, by who calls. */
void gateway_judge_call(const ln_gateway *gw, const struct flow *flow, ln_decision *ret);
/* Judges a flow by its key, egress, with the clock of this turn. */
void gateway_judge(const ln_gateway *gw, const struct flow_key *key, ln_name_state name_state,
                   const char *claimed, bool claimed_is_host, ln_decision *ret);
/* Judges a flow of egress again, in which a request came, or it is known that none comes. */
void gateway_judge_request(const ln_gateway *gw, const struct flow *flow, const char *claimed,
                           bool claimed_is_host, ln_http_state http_state,
                           const ln_http_request *request, ln_decision *ret);

/* ---- budget.c ---- */

/* Whether a budget is used up: then every flow and DNS query is denied. */
bool gateway_is_used_up(const ln_gateway *gw);
/* Once one is: tells it, and ends all flows. At the end of each turn. */
void gateway_keep_budget(ln_gateway *gw);

/* ---- refusal.c ---- */

/* Counts a frame or datagram that is not let in; told at most once a second for each reason. */
void gateway_drop(ln_gateway *gw, enum drop_reason reason);
/* Counts one refusal or eviction for want of room; told at most once a second for each limit. */
void gateway_over_limit(ln_gateway *gw, enum gateway_limit limit);
/* Tells what was only counted. Once a second. */
void gateway_tell_muffled(ln_gateway *gw);
/* Makes room for one flow more of a class, at the cost of the same protocol's flows that are over,
 * not yet open, or, of datagrams, idle. False: there is none (told as a limit). */
bool gateway_make_room(ln_gateway *gw, enum flow_class flow_class);
/* The same for a flow that is in the table and becomes half-open (again). */
void gateway_bound_half_open(ln_gateway *gw);
/* Refuses a flow that is not in the table: remembers it, tells it (once until it was idle for 30 s)
 * and, with a packet, answers that; without one, an open connection was just reset. `name` is what
 * was shown, or NULL; `reason` overrides the decision's, NULL: that. */
void gateway_refuse(ln_gateway *gw, const struct flow_key *key, const struct packet *packet,
                    const ln_decision *decision, const char *name, const char *reason);
/* Refuses a flow of ingress that is not in the table, by flow->decision: remembers and tells it
 * likewise. */
void gateway_refuse_call(ln_gateway *gw, const struct flow *flow);
/* A packet of a flow in FLOW_DENIED. Returns false when the flow may be now: it was forgotten, and
 * the packet is to be taken as a new flow's. */
bool gateway_refused_again(ln_gateway *gw, struct flow *flow, const struct packet *packet);
/* Forgets refused flows: all, or those idle for long enough. */
void gateway_forget_refused(ln_gateway *gw, bool all);
/* Ends the guest's network for good, and says why; the first reason counts. Safe from anywhere:
 * flows are ended at the end of the turn, when nobody holds one any more. */
void gateway_condemn(ln_gateway *gw, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool gateway_is_condemned(const ln_gateway *gw)
{
    return gw->condemned[0] != '\0';
}
/* Ends every flow of a guest that is condemned. */
void gateway_end_condemned(ln_gateway *gw);
/* Ends a flow of any kind, and frees it. */
void gateway_destroy_flow(ln_gateway *gw, struct flow *flow, const char *reason);

/* ---- tcp_flow.c: TCP, but for port 53 ---- */

/* A segment. `flow` is its flow in the table, never a refused one; NULL: there is none yet. */
void tcp_flow_input(ln_gateway *gw, struct flow *flow, const struct packet *packet);
/* Ends it: an RST to the host, and one to the guest where the handshake was complete. */
void tcp_flow_destroy(ln_gateway *gw, struct flow *flow, const char *reason);
/* After a reload: replaces flow->decision, and ends the flow when it is denied now. */
void tcp_flow_rejudge(ln_gateway *gw, struct flow *flow);
/* A connection to a published port: `flow` says which, by its key, caller, decision (allow) and
 * `via`. There is no flow of that key. `fd` is the flow's from success on. Returns 0 or -errno. */
int tcp_flow_call(ln_gateway *gw, const struct flow *flow, int fd);
/* A connection that waited in a lane may send on: to the network, to the guest. */
void tcp_flow_resume_out(struct throttled *throttled);
void tcp_flow_resume_in(struct throttled *throttled);
/* Brings flow->bytes_out and bytes_in up to date. */
void tcp_flow_count(struct flow *flow);
/* Goes on with the flows that had more to do than their share of the last turn. */
void tcp_flow_resume(ln_gateway *gw);

/* ---- doubt.c ---- */

/* Finds open connections whose guest is gone, and ends them within a second. From wherever there
 * was no room for a flow; no flow is ended before this returns but for those found by now. */
void gateway_doubt_open(ln_gateway *gw);

/* ---- datagram.c: UDP and ICMP echo ---- */

int datagram_start(ln_gateway *gw, ln_error *reterr);
void datagram_stop(ln_gateway *gw);
/* A datagram or echo request. `flow` as for tcp_flow_input(); when NULL, it is judged here. */
void datagram_input(ln_gateway *gw, struct flow *flow, const struct packet *packet);
void datagram_destroy(ln_gateway *gw, struct flow *flow, const char *reason);
/* A datagram of `len` bytes to a published port, which stand in datagram_buffer(). `flow` as for
 * tcp_flow_call(), whether or not there is one of that key; `route` is the way back. */
void datagram_call(ln_gateway *gw, const struct flow *flow, const struct publish_route *route,
                   size_t len);
/* DATAGRAM_MAX bytes for what comes in, behind room for all headers. */
uint8_t *datagram_buffer(ln_gateway *gw);
void datagram_rejudge(ln_gateway *gw, struct flow *flow);
/* Once a second. */
void datagram_expire(ln_gateway *gw);

/* ---- name_service.c: port 53, whatever address it is of ---- */

int name_service_start(ln_gateway *gw, const char *resolv_conf, ln_error *reterr);
void name_service_stop(ln_gateway *gw);
/* Finds the nameservers of a policy that is to be swapped in, which waits for those given by host
 * name. Returns 0, and name_service_reload() or dns_upstream_fini() must follow; or a negative
 * errno with *reterr filled. */
int name_service_prepare(ln_gateway *gw, const ln_policy *policy, struct dns_upstream *ret,
                         ln_error *reterr);
/* The address of an endpoint of the policy's, by way of the machine's nameservers, for which this
 * waits. `field` is for the error. Returns 0, or a negative errno with *reterr filled. */
int name_service_resolve(ln_gateway *gw, const char *field, const ln_endpoint *endpoint,
                         ln_addr *ret, ln_error *reterr);
/* Takes them up. */
void name_service_reload(ln_gateway *gw, struct dns_upstream *prepared);
/* Forgets the questions under way that were not asked over a connection. */
void name_service_forget(ln_gateway *gw);
void name_service_udp(ln_gateway *gw, const struct packet *packet);
/* A segment to port 53: the far side of such a connection is the resolver itself. `flow` as for
 * tcp_flow_input(). */
void name_service_tcp_input(ln_gateway *gw, struct flow *flow, const struct packet *packet);
void name_service_tcp_destroy(ln_gateway *gw, struct flow *flow, const char *reason);

#endif
