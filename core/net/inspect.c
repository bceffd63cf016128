/* Looking into a running gateway, and taking back what it allowed. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "net/gateway.h"
#include "net/trust.h"
#include "tls/session.h"

static const char *state_name(enum flow_class flow_class)
{
    switch (flow_class) {
    case FLOW_HALF_OPEN:
    case FLOW_HALF_OPEN_IN:
        return "half_open";
    case FLOW_OPEN:
        return "open";
    case FLOW_CLOSING:
        return "closing";
    case FLOW_ONE_WAY:
    case FLOW_ONE_WAY_IN:
        return "one_way";
    case FLOW_TWO_WAY:
        return "two_way";
    case FLOW_DENIED:
    case FLOW_CLASSES:
        break;
    }
    return NULL;
}

struct tour {
    ln_gateway *gw;
    void (*visit)(void *user, const ln_flow *flow);
    void *user;
};

static void visit_flow(void *user, struct flow *flow)
{
    const struct tour *tour = user;
    const struct flow_key *key = &flow->key;
    bool tcp = key->ip_protocol == IPPROTO_TCP;
    bool has_ports = tcp || key->ip_protocol == IPPROTO_UDP;
    if (flow->flow_class == FLOW_DENIED) {
        return;
    }
    if (tcp && key->peer_port != GATEWAY_PORT_DNS) {
        tcp_flow_count(flow);
    }
    bool out = flow->direction == LN_EGRESS;
    uint16_t peer_port = out ? key->peer_port : flow->caller_port;
    ln_flow view = {
        .id = flow->id,
        .direction = (ln_direction)flow->direction,
        .protocol = admission_protocol(key->ip_protocol),
        .guest = key->guest,
        .peer = *flow_peer(flow),
        .guest_port = has_ports ? key->guest_port : 0,
        .peer_port = has_ports ? peer_port : 0,
        .state = state_name((enum flow_class)flow->flow_class),
        .name = flow->name,
        .rule = flow->decision.rule,
        .age_ms = (tour->gw->loop.now_ns - flow->opened_ns) / MS_NS,
        .bytes_out = flow->bytes_out,
        .bytes_in = flow->bytes_in,
        .packets_out = flow->packets_out,
        .packets_in = flow->packets_in,
    };
    tour->visit(tour->user, &view);
}

void ln_gateway_flows(ln_gateway *gw, void (*visit)(void *user, const ln_flow *flow), void *user)
{
    struct tour tour = {.gw = gw, .visit = visit, .user = user};
    gateway_each_flow(gw, visit_flow, &tour);
}

/* ---- one flow ---- */

struct wanted {
    uint64_t id;
    struct flow *found;
};

static void compare(void *user, struct flow *flow)
{
    struct wanted *wanted = user;
    if (flow->id == wanted->id && flow->flow_class != FLOW_DENIED) {
        wanted->found = flow;
    }
}

int ln_gateway_end_flow(ln_gateway *gw, uint64_t id)
{
    struct wanted wanted = {.id = id};
    if (gw->inside) {
        return -EBUSY;
    }
    gateway_each_flow(gw, compare, &wanted);
    if (wanted.found == NULL) {
        return -ENOENT;
    }
    gateway_destroy_flow(gw, wanted.found, "revoked");
    gateway_wake(gw);
    return 0;
}

/* ---- names ---- */

struct pin_tour {
    const ln_gateway *gw;
    void (*visit)(void *user, const char *name, const ln_addr *addr, uint64_t left_ms);
    void *user;
};

static void visit_pin(void *user, const char *name, const ln_addr *addr, uint64_t expires_ns)
{
    const struct pin_tour *tour = user;
    uint64_t now_ns = tour->gw->loop.now_ns;
    tour->visit(tour->user, name, addr, expires_ns > now_ns ? (expires_ns - now_ns) / MS_NS : 0);
}

void ln_gateway_pins(const ln_gateway *gw,
                     void (*visit)(void *user, const char *name, const ln_addr *addr,
                                   uint64_t left_ms),
                     void *user)
{
    struct pin_tour tour = {.gw = gw, .visit = visit, .user = user};
    ln_pins_each(gw->admission.pins, gw->loop.now_ns, visit_pin, &tour);
}

int ln_gateway_revoke(ln_gateway *gw, const char *name)
{
    char canonical[LN_NAME_MAX + 1];
    if (gw->inside) {
        return -EBUSY;
    }
    int r = ln_name_canonical(name, strlen(name), canonical, NULL);
    if (r < 0) {
        return r;
    }
    if (!ln_pins_revoke(gw->admission.pins, canonical)) {
        return -ENOENT;
    }
    gateway_rejudge(gw);
    gateway_wake(gw);
    return 0;
}

/* ---- rules ---- */

uint64_t ln_gateway_rule_hits(const ln_gateway *gw, uint32_t rule)
{
    return rule <= ln_policy_rule_count(gw->admission.policy) ? gw->admission.hits[rule] : 0;
}

const ln_policy *ln_gateway_policy(const ln_gateway *gw)
{
    return gw->admission.policy;
}

/* ---- what is asked of a gateway ---- */

void ln_gateway_stats(const ln_gateway *gw, ln_stats *ret)
{
    *ret = gw->stats;
    ret->flows_now = flow_table_live(&gw->flows);
    ret->half_open_now = gw->flows.lists[FLOW_HALF_OPEN].count;
    ret->flows_opened = gw->events.counts[LN_EVENT_FLOW_OPEN];
    ret->flows_denied = gw->events.counts[LN_EVENT_FLOW_DENIED];
    ret->dns_denied =
        gw->events.counts[LN_EVENT_DNS_DENIED] + gw->events.counts[LN_EVENT_DNS_REBIND];
    ret->dns_queries = gw->events.counts[LN_EVENT_DNS_QUERY] + ret->dns_denied;
    ret->events_lost = gw->events.lost;
    ret->bytes_out = gw->lanes[LN_EGRESS].used;
    ret->bytes_in = gw->lanes[LN_INGRESS].used;
    ret->used_up = gateway_is_used_up(gw);
    ret->http_requests = gw->events.counts[LN_EVENT_HTTP_REQUEST];
    ret->secrets_used = gw->events.counts[LN_EVENT_SECRET_USED];
    ret->secret_violations = gw->events.counts[LN_EVENT_SECRET_VIOLATION];
    if (gw->engine != NULL) {
        struct tls_engine_stats tls;
        tls_engine_stats(gw->engine, &tls);
        ret->tls_guest_full = tls.full_server; /* we are the server of the guest */
        ret->tls_guest_resumed = tls.resumed_server;
        ret->tls_server_full = tls.full_client;
        ret->tls_server_resumed = tls.resumed_client;
        ret->tls_failed = tls.failed;
    }
}

const char *ln_drop_name(unsigned reason)
{
    return reason < DROP_REASONS ? drop_reason_name((enum drop_reason)reason) : NULL;
}

void ln_gateway_link(const ln_gateway *gw, ln_link *ret)
{
    const struct link_identity *link = &gw->link;
    *ret = (ln_link){
        .gateway4 = link->gateway4,
        .guest4 = link->guest4,
        .gateway6 = link->gateway6,
        .guest6 = link->guest6,
        .bits4 = (uint8_t)(link->prefix4.bits - 96),
        .bits6 = link->prefix6.bits,
        .route4 = link->route4,
        .route6 = link->route6,
        .mtu = link->mtu,
    };
    memcpy(ret->gateway_mac, link->gateway_mac, sizeof(ret->gateway_mac));
    memcpy(ret->guest_mac, link->guest_mac, sizeof(ret->guest_mac));
}

/* ---- what the guest is to be told ---- */

const char *ln_gateway_ca(const ln_gateway *gw)
{
    return trust_ca(gw->trust);
}

const char *ln_gateway_host_cas(const ln_gateway *gw)
{
    return trust_host_cas(gw->trust);
}

void ln_gateway_secrets(const ln_gateway *gw,
                        void (*visit)(void *user, const ln_secret_status *status), void *user)
{
    trust_secrets(gw->trust, visit, user);
}
