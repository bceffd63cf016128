/* The way of a frame from the guest: checked, answered by the link itself, or given to the file
 * that deals with its flow. */
#include <errno.h>
#include <string.h>

#include "net/gateway.h"
#include "stack/neighbour.h"

enum {
    PORT_DHCP = 67,
    PORT_NETBIOS_NAME = 137,
    PORT_NETBIOS_DATAGRAM = 138,
    PORT_DOQ = 853,
    PORT_MDNS = 5353,
    PORT_LLMNR = 5355
};

struct flow_key gateway_key(const struct packet *packet)
{
    return (struct flow_key){
        .guest = packet->src,
        .peer = packet->dst,
        .guest_port = packet->src_port,
        .peer_port = packet->dst_port,
        .ip_protocol = packet->ip_protocol,
    };
}

/* A flow that is not in the table yet, or stands there as refused, is to be the next one. */
static uint64_t id_of(const ln_gateway *gw, const struct flow *flow)
{
    bool counts = flow != NULL && flow->id != 0 && flow->flow_class != FLOW_DENIED;
    return counts ? flow->id : flow_table_next_id(&gw->flows);
}

void gateway_judge(const ln_gateway *gw, const struct flow_key *key, ln_name_state name_state,
                   const char *claimed, bool claimed_is_host, ln_decision *ret)
{
    if (gateway_is_used_up(gw)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_BUDGET};
        return;
    }
    if (gateway_is_guarded(gw, key)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_NEVER};
        return;
    }
    uint64_t id = id_of(gw, flow_table_find(&gw->flows, key));
    admission_judge(&gw->admission, key, id, LN_EGRESS, name_state, claimed, claimed_is_host,
                    flow_table_live(&gw->flows), gw->loop.now_ns, ret);
}

void gateway_judge_request(const ln_gateway *gw, const struct flow *flow, const char *claimed,
                           bool claimed_is_host, ln_http_state http_state,
                           const ln_http_request *request, ln_decision *ret)
{
    if (gateway_is_used_up(gw)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_BUDGET};
        return;
    }
    ln_query query = {
        .direction = LN_EGRESS,
        .protocol = LN_TCP,
        .address = flow->key.peer,
        .port = flow->key.peer_port,
        .name_state = claimed != NULL ? LN_NAME_SHOWN : LN_NAME_NONE,
        .claimed = claimed,
        .claimed_is_host = claimed_is_host,
        .http_state = http_state,
        .request = request,
        .now_ns = gw->loop.now_ns,
        .flows = flow_table_live(&gw->flows),
        .flow = flow->id,
    };
    admission_judge_query(&gw->admission, &query, ret);
}

void gateway_judge_call(const ln_gateway *gw, const struct flow *flow, ln_decision *ret)
{
    if (gateway_is_used_up(gw)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_BUDGET};
        return;
    }
    struct flow_key key = flow->key;
    key.peer = flow->caller;
    admission_judge(&gw->admission, &key, id_of(gw, flow), LN_INGRESS, LN_NAME_NONE, NULL, false,
                    flow_table_live(&gw->flows), gw->loop.now_ns, ret);
}

/* Datagrams that resolve names past lunette, or tell the neighbours who is there. */
static bool is_local_name(uint16_t port)
{
    return port == PORT_MDNS || port == PORT_LLMNR || port == PORT_NETBIOS_NAME ||
           port == PORT_NETBIOS_DATAGRAM || port == PORT_DOQ;
}

bool gateway_is_port_taken(uint16_t port)
{
    return port == GATEWAY_PORT_DNS || port == PORT_DHCP || is_local_name(port);
}

static bool is_dhcp(const ln_gateway *gw, const struct packet *packet)
{
    return packet->dst_port == PORT_DHCP && !packet->v6 &&
           (ln_addr_to_v4(&packet->dst) == UINT32_MAX ||
            ln_addr_equal(&packet->dst, &gw->link.gateway4));
}

static void input_flow(ln_gateway *gw, const struct packet *packet)
{
    struct flow_key key = gateway_key(packet);
    struct flow *flow = flow_table_find(&gw->flows, &key);
    if (flow != NULL && flow->flow_class == FLOW_DENIED) {
        if (gateway_refused_again(gw, flow, packet)) {
            return;
        }
        flow = NULL;
    }
    if (packet->kind != PACKET_TCP) {
        datagram_input(gw, flow, packet);
    } else if (packet->dst_port == GATEWAY_PORT_DNS) {
        name_service_tcp_input(gw, flow, packet);
    } else {
        tcp_flow_input(gw, flow, packet);
    }
}

/* A frame that the link itself answers with; `len` 0: none. */
static void answer(ln_gateway *gw, const uint8_t *frame, size_t len)
{
    if (len > 0) {
        (void)gateway_send(gw, &(ln_frame){.data = frame, .len = len});
    }
}

static void input_udp(ln_gateway *gw, const struct packet *packet)
{
    if (is_dhcp(gw, packet)) {
        uint8_t frame[DHCP_FRAME_MAX];
        answer(gw, frame, dhcp_answer(packet, &gw->link, frame));
    } else if (is_local_name(packet->dst_port)) {
        gateway_drop(gw, DROP_LOCAL_NAME);
    } else if (packet->dst_port == GATEWAY_PORT_DNS) {
        name_service_udp(gw, packet);
    } else {
        input_flow(gw, packet);
    }
}

static void input_neighbour(ln_gateway *gw, const struct packet *packet)
{
    uint8_t frame[NEIGHBOUR_FRAME_MAX];
    answer(gw, frame, neighbour_answer(packet, &gw->link, gw->guest_mac, frame));
}

static void input_packet(ln_gateway *gw, const struct packet *packet);

static void input_fragment(ln_gateway *gw, const struct packet *fragment)
{
    const uint8_t *frame;
    size_t len;
    enum drop_reason reason =
        fragments_input(gw->fragments, fragment, gw->loop.now_ns, &frame, &len);
    if (reason == DROP_NONE && frame != NULL) {
        struct packet whole;
        reason = packet_describe(frame, len, &whole);
        if (reason == DROP_NONE && whole.kind == PACKET_FRAGMENT) {
            reason = DROP_FRAGMENT;
        }
        if (reason == DROP_NONE) {
            input_packet(gw, &whole);
        }
    }
    if (reason != DROP_NONE) {
        gateway_drop(gw, reason);
    }
}

static void input_packet(ln_gateway *gw, const struct packet *packet)
{
    switch (packet->kind) {
    case PACKET_ARP:
    case PACKET_NDP:
        input_neighbour(gw, packet);
        return;
    case PACKET_FRAGMENT:
        input_fragment(gw, packet);
        return;
    case PACKET_UDP:
        input_udp(gw, packet);
        return;
    case PACKET_TCP:
    case PACKET_ECHO_REQUEST:
        if (packet_is_multicast(packet)) {
            gateway_drop(gw, DROP_DESTINATION);
        } else {
            input_flow(gw, packet);
        }
        return;
    case PACKET_ICMP:
        gateway_drop(gw, DROP_NO_FLOW); /* nothing that we ask the guest is answered by it */
        return;
    }
}

int ln_gateway_input(ln_gateway *gw, const ln_frame *frame)
{
    if (gw->inside) {
        return -EBUSY;
    }
    if (!gw->turning) {
        loop_now(&gw->loop);
    }
    gw->stats.frames_in++;
    gw->stats.frame_bytes_in += frame->len;
    if (gateway_is_condemned(gw)) {
        return 0;
    }
    struct packet packet;
    enum drop_reason reason = packet_classify(frame, &gw->link, &packet);
    if (reason != DROP_NONE) {
        gateway_drop(gw, reason);
        return 0;
    }
    memcpy(gw->guest_mac, frame->data + 6, sizeof(gw->guest_mac));
    input_packet(gw, &packet);
    gateway_wake(gw);
    return 0;
}
