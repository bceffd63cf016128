/* UDP and ICMP echo behind the flow table: admission, the way out and back, errors, expiry.
 *
 * Theory of operation. A flow is judged once, when its first packet comes; its later packets cost
 * one lookup. It is FLOW_ONE_WAY until something comes back, then FLOW_TWO_WAY; every packet of
 * either direction keeps it. Whatever comes from the network is looked up by the flow's key: what
 * belongs to no flow stays outside, however open the host's socket is.
 *
 * What is sent to the gateway's own addresses goes to the host's loopback through a relay, echo
 * requests are answered here; both only where a rule opens the group `host`. */
#include <assert.h>
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "net/echo.h"
#include "net/gateway.h"
#include "net/interception.h"
#include "net/publish.h"
#include "net/relay.h"
#include "net/slirp.h"

enum {
    HEADERS_MAX = ETH_LEN + IPV6_LEN + UDP_LEN,
    BURST = 32 /* datagrams of one relay in one go */
};

/* The way of a flow to its peer. */
enum way {
    WAY_SLIRP,     /* UDP to the network */
    WAY_RELAY,     /* UDP to the host's loopback */
    WAY_PUBLISHED, /* UDP to whoever called a published port */
    WAY_ECHO,      /* echo requests to the network */
    WAY_SELF       /* echo requests to the gateway */
};

struct datagram {
    struct flow flow;
    ln_gateway *gw;
    enum way way;
    struct slirp_port *port;
    struct relay relay;
    struct publish_route route;
};

struct datagrams {
    struct slirp_host *slirp;
    struct echo *echo;
    bool echo_told[2];                         /* that a family has no socket */
    uint8_t frame[HEADERS_MAX + DATAGRAM_MAX]; /* for the guest */
};

static struct datagram *datagram_of(struct flow *flow)
{
    return (struct datagram *)flow;
}

/* ---- what comes back ---- */

/* The live flow of a key, if it goes that way. */
static struct flow *find(ln_gateway *gw, const struct flow_key *key, enum way way)
{
    struct flow *flow = flow_table_find(&gw->flows, key);
    bool live =
        flow != NULL && (flow->flow_class == FLOW_ONE_WAY || flow->flow_class == FLOW_TWO_WAY);
    return live && datagram_of(flow)->way == way ? flow : NULL;
}

static void count_in(ln_gateway *gw, struct flow *flow, size_t payload_len)
{
    flow->packets_in++;
    flow->bytes_in += payload_len;
    if (flow->flow_class == FLOW_ONE_WAY) {
        flow_table_move(&gw->flows, flow, FLOW_TWO_WAY, gw->loop.now_ns);
    } else {
        flow_table_touch(&gw->flows, flow, gw->loop.now_ns);
    }
}

static bool slirp_receive(void *user, const struct slirp_datagram *datagram)
{
    ln_gateway *gw = user;
    struct flow_key key = {
        .guest = datagram->guest,
        .peer = datagram->peer,
        .guest_port = datagram->guest_port,
        .peer_port = datagram->peer_port,
        .ip_protocol = IPPROTO_UDP,
    };
    struct flow *flow = find(gw, &key, WAY_SLIRP);
    if (flow == NULL) {
        gateway_drop(gw, DROP_NO_FLOW);
        return false;
    }
    if (!lane_passes(&gw->lanes[LN_INGRESS], datagram->payload_len)) {
        return false;
    }
    count_in(gw, flow, datagram->payload_len);
    return true;
}

static void slirp_deliver(void *user, uint8_t *frame, size_t len)
{
    gateway_send_packet(user, frame, len);
}

static struct flow_key echo_key(const struct echo_request *request)
{
    return (struct flow_key){
        .guest = request->guest,
        .peer = request->peer,
        .guest_port = request->id,
        .peer_port = request->id,
        .ip_protocol = ln_addr_is_v4(&request->guest) ? IPPROTO_ICMP : IPPROTO_ICMPV6,
    };
}

/* Where the data of an echo or UDP message goes in the frame buffer. */
static uint8_t *data_of(ln_gateway *gw, bool v6)
{
    return gw->datagrams->frame + ETH_LEN + (v6 ? IPV6_LEN : IPV4_LEN) + UDP_LEN;
}

static void send_echo_reply(ln_gateway *gw, struct flow *flow, uint16_t seq, const uint8_t *data,
                            size_t len)
{
    const struct flow_key *key = &flow->key;
    bool v6 = key->ip_protocol == IPPROTO_ICMPV6;
    uint8_t *frame = gw->datagrams->frame;
    memcpy(data_of(gw, v6), data, len);
    count_in(gw, flow, len);
    len = build_echo(frame, gw->guest_mac, gw->link.gateway_mac, v6, &key->peer, &key->guest,
                     v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY, key->guest_port, seq, len);
    gateway_send_packet(gw, frame, len);
}

static void echo_reply(void *user, const struct echo_request *request, const uint8_t *data,
                       size_t len)
{
    ln_gateway *gw = user;
    struct flow_key key = echo_key(request);
    struct flow *flow = find(gw, &key, WAY_ECHO);
    if (flow == NULL) {
        gateway_drop(gw, DROP_NO_FLOW);
    } else if (lane_passes(&gw->lanes[LN_INGRESS], len)) {
        send_echo_reply(gw, flow, request->seq, data, len);
    }
}

/* ---- errors that come back ---- */

/* Whether an error of the network is the guest's to know, and not about our own doings. */
static bool is_forwarded(const struct socket_error *error, bool v6)
{
    return v6 ? error->type == ICMP6_DST_UNREACH || error->type == ICMP6_PACKET_TOO_BIG ||
                    error->type == ICMP6_TIME_EXCEEDED
              : error->type == ICMP_DEST_UNREACH || error->type == ICMP_TIME_EXCEEDED;
}

/* Who an error is from, for the guest: whoever sent it, but for the machine itself and what has no
 * meaning on another link. */
static ln_addr error_source(const ln_gateway *gw, const ln_addr *offender, bool v6)
{
    switch (ln_addr_group(offender, &gw->admission.host)) {
    case LN_GROUP_PRIVATE:
    case LN_GROUP_METADATA:
    case LN_GROUP_PUBLIC:
        if (!ln_addr_is_never(offender) && ln_addr_is_v4(offender) != v6) {
            return *offender;
        }
        break;
    case LN_GROUP_HOST:
    case LN_GROUP_LOOPBACK:
    case LN_GROUP_LINK_LOCAL:
    case LN_GROUP_MULTICAST:
    case LN_GROUPS:
        break;
    }
    return v6 ? gw->link.gateway6 : gw->link.gateway4;
}

/* Passes an error on, about the packet of the guest's that stands in the first `len` bytes of the
 * frame buffer. */
static void forward_error(ln_gateway *gw, size_t len, const struct socket_error *error)
{
    struct packet about;
    if (packet_describe(gw->datagrams->frame, len, &about) != DROP_NONE ||
        !is_forwarded(error, about.v6)) {
        return;
    }
    struct icmp_message message = {
        .src = error_source(gw, &error->offender, about.v6),
        .type = error->type,
        .code = error->code,
        .rest = error->mtu,
    };
    uint8_t frame[ICMP_ERROR_FRAME_MAX];
    len = build_icmp_message(frame, &gw->link, gw->guest_mac, &about, &message);
    if (len > 0) {
        (void)gateway_send(gw, &(ln_frame){.data = frame, .len = len});
    }
}

/* The guest's datagram again, as far as it is known, for an error to quote. Returns its length. */
static size_t rebuild_udp(ln_gateway *gw, const struct flow_key *key, const uint8_t *payload,
                          size_t len)
{
    bool v6 = !ln_addr_is_v4(&key->guest);
    if (len > 0) {
        memcpy(data_of(gw, v6), payload, len);
    }
    return build_udp(gw->datagrams->frame, gw->link.gateway_mac, gw->guest_mac, v6, &key->guest,
                     key->guest_port, &key->peer, key->peer_port, len);
}

static size_t rebuild_echo(ln_gateway *gw, const struct echo_request *request, const uint8_t *data,
                           size_t len)
{
    bool v6 = !ln_addr_is_v4(&request->guest);
    memcpy(data_of(gw, v6), data, len);
    return build_echo(gw->datagrams->frame, gw->link.gateway_mac, gw->guest_mac, v6,
                      &request->guest, &request->peer, v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
                      request->id, request->seq, len);
}

static void slirp_error(void *user, const ln_addr *guest, uint16_t guest_port,
                        const struct socket_error *error)
{
    ln_gateway *gw = user;
    struct flow_key key = {
        .guest = *guest,
        .peer = error->peer,
        .guest_port = guest_port,
        .peer_port = error->peer_port,
        .ip_protocol = IPPROTO_UDP,
    };
    if (find(gw, &key, WAY_SLIRP) == NULL) {
        gateway_drop(gw, DROP_NO_FLOW);
        return;
    }
    forward_error(gw, rebuild_udp(gw, &key, error->quoted, error->quoted_len), error);
}

static void echo_error(void *user, const struct echo_request *request,
                       const struct socket_error *error)
{
    ln_gateway *gw = user;
    struct flow_key key = echo_key(request);
    if (find(gw, &key, WAY_ECHO) == NULL) {
        gateway_drop(gw, DROP_NO_FLOW);
        return;
    }
    size_t len = rebuild_echo(gw, request, error->quoted + ICMP_LEN, error->quoted_len - ICMP_LEN);
    forward_error(gw, len, error);
}

/* ---- the host's loopback ---- */

static void relay_refused(ln_gateway *gw, const struct flow_key *key)
{
    struct packet about;
    size_t len = rebuild_udp(gw, key, NULL, 0);
    if (packet_describe(gw->datagrams->frame, len, &about) == DROP_NONE) {
        gateway_send_icmp_error(gw, &about, ICMP_ERROR_PORT_UNREACHABLE, 0);
    }
}

static void relay_ready(struct relay *relay)
{
    struct datagram *datagram =
        (struct datagram *)(void *)((char *)relay - offsetof(struct datagram, relay));
    ln_gateway *gw = datagram->gw;
    const struct flow_key *key = &datagram->flow.key;
    bool v6 = !ln_addr_is_v4(&key->guest);
    size_t most = UINT16_MAX - UDP_LEN - (v6 ? 0 : IPV4_LEN);
    uint8_t *frame = gw->datagrams->frame;
    for (int i = 0; i < BURST; i++) {
        ssize_t n = relay_read(relay, data_of(gw, v6), most);
        if (n >= 0 && !lane_passes(&gw->lanes[LN_INGRESS], (size_t)n)) {
            continue;
        }
        if (n >= 0) {
            count_in(gw, &datagram->flow, (size_t)n);
            gateway_send_packet(gw, frame,
                                build_udp(frame, gw->guest_mac, gw->link.gateway_mac, v6,
                                          &key->peer, key->peer_port, &key->guest, key->guest_port,
                                          (size_t)n));
        } else if (n == -EMSGSIZE) {
            gateway_drop(gw, DROP_OVERSIZE);
        } else {
            if (n == -ECONNREFUSED) {
                relay_refused(gw, key);
            }
            return;
        }
    }
}

/* ---- a flow's life ---- */

static void count_sockets(ln_gateway *gw)
{
    gw->stats.udp_sockets_now = slirp_host_sockets(gw->datagrams->slirp);
}

/* Opens the flow's port. When there are too many, the oldest flow without an answer makes room if
 * a socket goes with it. */
static int open_port(ln_gateway *gw, struct datagram *datagram)
{
    struct slirp_host *slirp = gw->datagrams->slirp;
    const struct flow_key *key = &datagram->flow.key;
    int r = slirp_port_open(slirp, &key->guest, key->guest_port, &datagram->port);
    if (r == -ENOSPC) {
        struct flow *oldest = flow_table_oldest(&gw->flows, FLOW_ONE_WAY, gw->loop.now_ns, 0);
        if (oldest != NULL && datagram_of(oldest)->way == WAY_SLIRP &&
            slirp_port_is_last(datagram_of(oldest)->port)) {
            gw->stats.flows_evicted++;
            datagram_destroy(gw, oldest, "evicted");
            r = slirp_port_open(slirp, &key->guest, key->guest_port, &datagram->port);
        }
    }
    count_sockets(gw);
    return r;
}

static int open_way(ln_gateway *gw, struct datagram *datagram)
{
    const struct flow_key *key = &datagram->flow.key;
    bool here = link_is_gateway(&gw->link, &key->peer);
    if (key->ip_protocol != IPPROTO_UDP) {
        datagram->way = here ? WAY_SELF : WAY_ECHO;
        return 0;
    }
    datagram->way = here ? WAY_RELAY : WAY_SLIRP;
    return here ? relay_open(&datagram->relay, &gw->loop, key->peer_port, relay_ready)
                : open_port(gw, datagram);
}

static void close_way(ln_gateway *gw, struct datagram *datagram)
{
    switch (datagram->way) {
    case WAY_SLIRP:
        slirp_port_close(datagram->port);
        count_sockets(gw);
        break;
    case WAY_RELAY:
        relay_close(&datagram->relay);
        break;
    case WAY_PUBLISHED:
    case WAY_ECHO:
    case WAY_SELF:
        break;
    }
}

/* What would be read over TCP does not go past that as QUIC: refused at once, clients fall back at
 * once. */
static const ln_decision quic_decision = {.action = LN_REJECT, .reason = LN_REASON_DEFAULT};

static bool is_refused_quic(const ln_gateway *gw, const struct flow_key *key)
{
    return key->ip_protocol == IPPROTO_UDP && intercept_refuses_quic(gw, key->peer_port);
}

static struct flow *flow_new(ln_gateway *gw, const struct flow_key *key,
                             const ln_decision *decision)
{
    if (!gateway_make_room(gw, FLOW_ONE_WAY)) {
        return NULL;
    }
    struct datagram *datagram = calloc(1, sizeof(*datagram));
    if (datagram == NULL) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        return NULL;
    }
    datagram->gw = gw;
    datagram->flow = (struct flow){.key = *key, .direction = LN_EGRESS, .decision = *decision};
    if (open_way(gw, datagram) < 0) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        free(datagram);
        return NULL;
    }
    flow_table_add(&gw->flows, &datagram->flow, FLOW_ONE_WAY, gw->loop.now_ns);
    ln_pins_hold(gw->admission.pins, &key->peer);
    admission_tell_verdict(&gw->admission, &datagram->flow, NULL, NULL, gw->loop.now_ns);
    return &datagram->flow;
}

void datagram_destroy(ln_gateway *gw, struct flow *flow, const char *reason)
{
    struct datagram *datagram = datagram_of(flow);
    admission_tell_close(&gw->admission, flow, reason);
    flow_table_remove(&gw->flows, flow);
    ln_pins_release(gw->admission.pins, flow_peer(flow), gw->loop.now_ns);
    close_way(gw, datagram);
    free(flow->name);
    free(datagram);
}

void datagram_rejudge(ln_gateway *gw, struct flow *flow)
{
    struct flow_key key = flow->key;
    ln_decision decision;
    if (flow->direction == LN_INGRESS) {
        gateway_judge_call(gw, flow, &flow->decision);
        if (flow->decision.action != LN_ALLOW) {
            struct flow call = *flow;
            datagram_destroy(gw, flow, "reload");
            gateway_refuse_call(gw, &call);
        }
        return;
    }
    gateway_judge(gw, &key, LN_NAME_NONE, NULL, false, &decision);
    flow->decision = decision;
    if (decision.action != LN_ALLOW) {
        datagram_destroy(gw, flow, "reload");
        gateway_refuse(gw, &key, NULL, &decision, NULL, NULL);
    } else if (is_refused_quic(gw, &key)) {
        datagram_destroy(gw, flow, "reload");
        gateway_refuse(gw, &key, NULL, &quic_decision, NULL, "quic");
    }
}

static void expire(ln_gateway *gw, enum flow_class flow_class, uint32_t idle_ms)
{
    struct flow *flow;
    while ((flow = flow_table_oldest(&gw->flows, flow_class, gw->loop.now_ns, idle_ms * MS_NS)) !=
           NULL) {
        datagram_destroy(gw, flow, "idle");
    }
}

void datagram_expire(ln_gateway *gw)
{
    const ln_limits *limits = &ln_policy_settings(gw->admission.policy)->limits;
    expire(gw, FLOW_ONE_WAY, limits->udp_one_way_ms);
    expire(gw, FLOW_ONE_WAY_IN, limits->udp_one_way_ms);
    expire(gw, FLOW_TWO_WAY, limits->udp_two_way_ms);
}

/* ---- from the guest ---- */

/* Whether there is a way to a destination at all. */
static bool has_way(const ln_gateway *gw, const struct flow_key *key)
{
    if (link_is_gateway(&gw->link, &key->peer)) {
        return true;
    }
    if (key->ip_protocol == IPPROTO_UDP) {
        return slirp_carries(gw->datagrams->slirp, &key->peer, key->peer_port);
    }
    return !ln_prefix_contains(&gw->link.prefix4, &key->peer) &&
           !ln_prefix_contains(&gw->link.prefix6, &key->peer); /* nobody else is on the link */
}

static struct flow *admit(ln_gateway *gw, const struct packet *packet)
{
    struct flow_key key = gateway_key(packet);
    if (!has_way(gw, &key)) {
        gateway_drop(gw, DROP_DESTINATION);
        return NULL;
    }
    ln_decision decision;
    gateway_judge(gw, &key, LN_NAME_NONE, NULL, false, &decision);
    if (decision.action != LN_ALLOW) {
        gateway_refuse(gw, &key, packet, &decision, NULL, NULL);
        return NULL;
    }
    if (is_refused_quic(gw, &key)) {
        gateway_refuse(gw, &key, packet, &quic_decision, NULL, "quic");
        return NULL;
    }
    return flow_new(gw, &key, &decision);
}

/* Why the host did not send, to the guest. */
static void tell_failure(ln_gateway *gw, const struct packet *packet, int failure)
{
    switch (-failure) {
    case EAGAIN:
    case ENOBUFS:
        gateway_drop(gw, DROP_QUEUE);
        break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
        gateway_over_limit(gw, LIMIT_MACHINE);
        break;
    case EADDRNOTAVAIL:
        gateway_drop(gw, DROP_DESTINATION);
        break;
    case EMSGSIZE:
        gateway_drop(gw, DROP_OVERSIZE);
        break;
    case EACCES:
    case EPERM:
        gateway_send_icmp_error(gw, packet, ICMP_ERROR_PROHIBITED, 0);
        break;
    case ECONNREFUSED:
        gateway_send_icmp_error(gw, packet, ICMP_ERROR_PORT_UNREACHABLE, 0);
        break;
    case EHOSTUNREACH:
    case EHOSTDOWN:
        gateway_send_icmp_error(gw, packet, ICMP_ERROR_HOST_UNREACHABLE, 0);
        break;
    default:
        gateway_send_icmp_error(gw, packet, ICMP_ERROR_NET_UNREACHABLE, 0);
        break;
    }
}

/* No echo for want of a socket: told once. */
static void tell_no_echo(ln_gateway *gw, const struct packet *packet)
{
    int problem = echo_problem(gw->datagrams->echo, packet->v6);
    bool denied = problem == -EACCES || problem == -EPERM;
    if (!gw->datagrams->echo_told[packet->v6]) {
        gw->datagrams->echo_told[packet->v6] = true;
        events_tell(&gw->events,
                    &(ln_event){
                        .kind = LN_EVENT_LIMIT,
                        .protocol = packet->v6 ? "icmpv6" : "icmpv4",
                        .reason = "no_echo_socket",
                        .count = 1,
                        .detail = denied ? "the host lets us open no ICMP socket: "
                                           "net.ipv4.ping_group_range does not include our group"
                                         : "the host has no ICMP sockets of this family",
                    });
    }
    gateway_send_icmp_error(gw, packet, ICMP_ERROR_NET_UNREACHABLE, 0);
}

static int send_out(ln_gateway *gw, struct datagram *datagram, const struct packet *packet)
{
    const uint8_t *payload = packet->frame + packet->payload;
    switch (datagram->way) {
    case WAY_SLIRP:
        return slirp_port_send(datagram->port, packet);
    case WAY_RELAY:
        return relay_send(&datagram->relay, payload, packet->payload_len);
    case WAY_PUBLISHED:
        if (datagram->flow.flow_class == FLOW_ONE_WAY_IN) {
            flow_table_move(&gw->flows, &datagram->flow, FLOW_TWO_WAY, gw->loop.now_ns);
        }
        return publish_send(datagram->flow.via, &datagram->route, payload, packet->payload_len);
    case WAY_ECHO:
        return echo_send(gw->datagrams->echo, packet);
    case WAY_SELF:
        send_echo_reply(gw, &datagram->flow, get_be16(packet->frame + packet->l4 + 6), payload,
                        packet->payload_len);
        return 0;
    }
    return -EINVAL;
}

void datagram_input(ln_gateway *gw, struct flow *flow, const struct packet *packet)
{
    flow = flow != NULL ? flow : admit(gw, packet);
    if (flow == NULL) {
        return;
    }
    struct datagram *datagram = datagram_of(flow);
    struct packet sent = *packet;
    flow_table_touch(&gw->flows, flow, gw->loop.now_ns);
    if (packet_is_multicast(packet)) {
        sent.ttl = UINT8_MAX; /* the host sends it to its own link only */
    } else if (packet->ttl <= 1 && (datagram->way == WAY_SLIRP || datagram->way == WAY_ECHO)) {
        gateway_send_icmp_error(gw, packet, ICMP_ERROR_TTL_EXCEEDED, 0);
        return;
    }
    if (datagram->way == WAY_ECHO && echo_problem(gw->datagrams->echo, packet->v6) < 0) {
        tell_no_echo(gw, packet);
        return;
    }
    if (!lane_passes(&gw->lanes[LN_EGRESS], packet->payload_len)) {
        return;
    }
    int failure = send_out(gw, datagram, &sent);
    if (failure < 0) {
        tell_failure(gw, packet, failure);
        return;
    }
    flow->packets_out++;
    flow->bytes_out += packet->payload_len;
}

/* ---- calls to published ports ---- */

uint8_t *datagram_buffer(ln_gateway *gw)
{
    return data_of(gw, true);
}

/* A datagram of which nobody was told yet. */
static struct flow *new_call(ln_gateway *gw, const struct flow *call)
{
    struct datagram *datagram =
        gateway_make_room(gw, FLOW_ONE_WAY_IN) ? calloc(1, sizeof(*datagram)) : NULL;
    if (datagram == NULL) {
        return NULL;
    }
    datagram->gw = gw;
    datagram->way = WAY_PUBLISHED;
    datagram->flow = *call;
    flow_table_add(&gw->flows, &datagram->flow, FLOW_ONE_WAY_IN, gw->loop.now_ns);
    ln_pins_hold(gw->admission.pins, &call->caller);
    admission_tell_verdict(&gw->admission, &datagram->flow, NULL, NULL, gw->loop.now_ns);
    return &datagram->flow;
}

void datagram_call(ln_gateway *gw, const struct flow *call, const struct publish_route *route,
                   size_t len)
{
    const struct flow_key *key = &call->key;
    bool v6 = !ln_addr_is_v4(&key->guest);
    struct flow *flow = flow_table_find(&gw->flows, key);
    flow = flow != NULL ? flow : new_call(gw, call);
    if (flow == NULL || !lane_passes(&gw->lanes[LN_INGRESS], len)) {
        return;
    }
    datagram_of(flow)->route = *route;
    flow->packets_in++;
    flow->bytes_in += len;
    flow_table_touch(&gw->flows, flow, gw->loop.now_ns);
    uint8_t *frame = datagram_buffer(gw) - UDP_LEN - (v6 ? IPV6_LEN : IPV4_LEN) - ETH_LEN;
    gateway_send_packet(gw, frame,
                        build_udp(frame, gw->guest_mac, gw->link.gateway_mac, v6, &key->peer,
                                  key->peer_port, &key->guest, key->guest_port, len));
}

/* ---- life ---- */

int datagram_start(ln_gateway *gw, ln_error *reterr)
{
    struct datagrams *datagrams = calloc(1, sizeof(*datagrams));
    if (datagrams == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    gw->datagrams = datagrams;
    uint8_t key[16];
    gw->loop.services.random(gw->loop.services.user, key, sizeof(key));
    datagrams->slirp = slirp_host_new(
        &gw->loop, &gw->link, key,
        &(struct slirp_callbacks){
            .user = gw, .receive = slirp_receive, .deliver = slirp_deliver, .error = slirp_error});
    datagrams->echo = echo_new(
        &gw->loop, &(struct echo_callbacks){.user = gw, .reply = echo_reply, .error = echo_error});
    if (datagrams->slirp == NULL || datagrams->echo == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    return 0;
}

void datagram_stop(ln_gateway *gw)
{
    if (gw->datagrams != NULL) {
        slirp_host_free(gw->datagrams->slirp);
        echo_free(gw->datagrams->echo);
        free(gw->datagrams);
        gw->datagrams = NULL;
    }
}
