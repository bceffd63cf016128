/* What is not let in: refused flows, dropped frames, limits. All of it is counted, and told without
 * drowning the reader.
 *
 * Theory of operation. A refused flow stays in the table as FLOW_DENIED until it was idle for 30 s,
 * so that its next packets cost one lookup and tell nothing. The class is bounded: the one idle for
 * longest goes first. Since names may be resolved meanwhile, a refused flow is judged again, at
 * most once a second. */
#include <assert.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/gateway.h"

struct refused {
    struct flow flow;
    uint64_t judged_ns;
    bool final; /* for what it showed, or for what it is: it is not judged again */
};

/* ---- counted always, told once a second ---- */

static void muffled_tell(ln_gateway *gw, struct muffled *muffled, ln_event_kind kind,
                         const char *reason)
{
    ln_event event = {.kind = kind, .reason = reason, .count = muffled->untold};
    muffled->untold = 0;
    muffled->quiet = true;
    events_tell(&gw->events, &event);
}

static void muffled_count(ln_gateway *gw, struct muffled *muffled, ln_event_kind kind,
                          const char *reason)
{
    muffled->untold++;
    if (!muffled->quiet) {
        muffled_tell(gw, muffled, kind, reason);
    }
}

static void muffled_tick(ln_gateway *gw, struct muffled *muffled, ln_event_kind kind,
                         const char *reason)
{
    if (muffled->untold > 0) {
        muffled_tell(gw, muffled, kind, reason);
    } else {
        muffled->quiet = false;
    }
}

/* Whether a drop is worth an event: not what TCP does every day, nor what has an event of its own.
 */
static bool drop_is_told(enum drop_reason reason)
{
    return reason != DROP_NO_FLOW && reason != DROP_STATE && reason != DROP_POLICY &&
           reason != DROP_QUEUE;
}

void gateway_drop(ln_gateway *gw, enum drop_reason reason)
{
    gw->stats.drops[reason]++;
    if (drop_is_told(reason)) {
        muffled_count(gw, &gw->drops[reason], LN_EVENT_DROP, drop_reason_name(reason));
    }
}

static const char *const limit_names[] = {
    [LIMIT_CONNECTIONS] = "max_connections",
    [LIMIT_HALF_OPEN] = "half_open",
    [LIMIT_DNS] = "dns_in_flight",
    [LIMIT_DNS_STREAMS] = "dns_connections",
    [LIMIT_MACHINE] = "machine",
};
static_assert(sizeof(limit_names) / sizeof(limit_names[0]) == GATEWAY_LIMITS,
              "a name for every one");

void gateway_over_limit(ln_gateway *gw, enum gateway_limit limit)
{
    gw->stats.drops[DROP_LIMIT]++;
    muffled_count(gw, &gw->limits[limit], LN_EVENT_LIMIT, limit_names[limit]);
}

void gateway_tell_muffled(ln_gateway *gw)
{
    for (unsigned reason = 0; reason < DROP_REASONS; reason++) {
        muffled_tick(gw, &gw->drops[reason], LN_EVENT_DROP,
                     drop_reason_name((enum drop_reason)reason));
    }
    for (unsigned limit = 0; limit < GATEWAY_LIMITS; limit++) {
        muffled_tick(gw, &gw->limits[limit], LN_EVENT_LIMIT, limit_names[limit]);
    }
}

/* ---- room ---- */

void gateway_destroy_flow(ln_gateway *gw, struct flow *flow, const char *reason)
{
    if (flow->flow_class == FLOW_DENIED) {
        flow_table_remove(&gw->flows, flow);
        free((struct refused *)(void *)flow);
    } else if (flow->key.ip_protocol != IPPROTO_TCP) {
        datagram_destroy(gw, flow, reason);
    } else if (flow->key.peer_port == GATEWAY_PORT_DNS) {
        name_service_tcp_destroy(gw, flow, reason);
    } else {
        tcp_flow_destroy(gw, flow, reason);
    }
}

static bool evict_idle(ln_gateway *gw, enum flow_class flow_class, uint64_t idle_ns)
{
    struct flow *oldest = flow_table_oldest(&gw->flows, flow_class, gw->loop.now_ns, idle_ns);
    if (oldest == NULL) {
        return false;
    }
    gw->stats.flows_evicted++;
    gateway_destroy_flow(gw, oldest, "evicted");
    return true;
}

static bool evict(ln_gateway *gw, enum flow_class flow_class)
{
    return evict_idle(gw, flow_class, 0);
}

/* Keeps a class of flows that are not open yet below limits.half_open. */
static void bound(ln_gateway *gw, enum flow_class flow_class)
{
    const ln_limits *limits = &ln_policy_settings(gw->admission.policy)->limits;
    if (gw->flows.lists[flow_class].count >= limits->half_open && evict(gw, flow_class)) {
        gateway_over_limit(gw, LIMIT_HALF_OPEN);
    }
}

void gateway_bound_half_open(ln_gateway *gw)
{
    bound(gw, FLOW_HALF_OPEN);
}

/* The class that makes room for one of `flow_class`: never one of another protocol, nor the guest's
 * own for a caller's. */
static bool make_room_by(ln_gateway *gw, enum flow_class flow_class)
{
    bool tcp = flow_class == FLOW_HALF_OPEN || flow_class == FLOW_HALF_OPEN_IN;
    return (tcp && evict(gw, FLOW_CLOSING)) || evict(gw, flow_class);
}

/* Flows of datagrams leave a quarter of the places to TCP: they cost their sender nothing, and stay
 * for minutes. */
static bool are_datagrams_full(const ln_gateway *gw, const ln_limits *limits)
{
    const struct flow_list *lists = gw->flows.lists;
    return lists[FLOW_ONE_WAY].count + lists[FLOW_ONE_WAY_IN].count + lists[FLOW_TWO_WAY].count >=
           limits->max_connections - limits->max_connections / 4;
}

/* One without an answer goes first; then, for the guest's own, the one not used for longest. */
static bool make_datagram_room(ln_gateway *gw, enum flow_class flow_class)
{
    return evict(gw, flow_class) ||
           (flow_class == FLOW_ONE_WAY && evict_idle(gw, FLOW_TWO_WAY, SECOND_NS));
}

bool gateway_make_room(ln_gateway *gw, enum flow_class flow_class)
{
    const ln_limits *limits = &ln_policy_settings(gw->admission.policy)->limits;
    bool datagram = flow_class == FLOW_ONE_WAY || flow_class == FLOW_ONE_WAY_IN;
    if (flow_class != FLOW_ONE_WAY) {
        bound(gw, flow_class);
    }
    if (datagram && are_datagrams_full(gw, limits)) {
        if (make_datagram_room(gw, flow_class)) {
            return true;
        }
        gateway_over_limit(gw, LIMIT_CONNECTIONS);
        return false;
    }
    if (flow_table_live(&gw->flows) < limits->max_connections || make_room_by(gw, flow_class)) {
        return true;
    }
    if (flow_class == FLOW_HALF_OPEN || flow_class == FLOW_ONE_WAY) {
        gateway_doubt_open(gw); /* the guest's own; a stranger's call costs it none */
    }
    gateway_over_limit(gw, LIMIT_CONNECTIONS);
    return false;
}

/* ---- refused flows ---- */

/* What a refused flow gets on the wire, at every packet. */
static void answer(ln_gateway *gw, const ln_decision *decision, const struct packet *packet)
{
    gateway_drop(gw, DROP_POLICY);
    if (admission_wire_action(&gw->admission, decision) != LN_REJECT) {
        return;
    }
    if (packet->kind == PACKET_TCP) {
        tcp_reset_packet(&gw->tcp, packet);
    } else {
        gateway_send_icmp_error(gw, packet, ICMP_ERROR_PROHIBITED, 0);
    }
}

static void remember(ln_gateway *gw, const struct flow *flow, bool final)
{
    if (gw->flows.lists[FLOW_DENIED].count >= GATEWAY_DENIED_MAX) {
        struct flow *oldest = flow_table_oldest(&gw->flows, FLOW_DENIED, gw->loop.now_ns, 0);
        gateway_destroy_flow(gw, oldest, NULL);
    }
    struct refused *refused = malloc(sizeof(*refused));
    if (refused == NULL) {
        return; /* its next packet is refused, and told, anew */
    }
    *refused = (struct refused){.flow = *flow, .judged_ns = gw->loop.now_ns, .final = final};
    flow_table_add(&gw->flows, &refused->flow, FLOW_DENIED, gw->loop.now_ns);
}

void gateway_refuse(ln_gateway *gw, const struct flow_key *key, const struct packet *packet,
                    const ln_decision *decision, const char *name, const char *reason)
{
    struct flow flow = {.key = *key, .direction = LN_EGRESS, .decision = *decision};
    admission_tell_verdict(&gw->admission, &flow, name, reason, gw->loop.now_ns);
    if (packet != NULL) {
        answer(gw, decision, packet);
    } else {
        flow.decision.action = LN_REJECT; /* it was open: what follows gets an RST too */
    }
    remember(gw, &flow, name != NULL || reason != NULL);
}

void gateway_refuse_call(ln_gateway *gw, const struct flow *flow)
{
    struct flow *known = flow_table_find(&gw->flows, &flow->key);
    gateway_drop(gw, DROP_POLICY);
    if (known != NULL && known->flow_class == FLOW_DENIED && known->direction == LN_INGRESS) {
        flow_table_touch(&gw->flows, known, gw->loop.now_ns);
        return;
    }
    admission_tell_verdict(&gw->admission, flow, NULL, NULL, gw->loop.now_ns);
    if (known == NULL) {
        remember(gw, flow, true);
    }
}

/* Whether the policy, or the pins, came to allow a refused flow. */
static bool may_be_now(ln_gateway *gw, struct refused *refused)
{
    const struct flow_key *key = &refused->flow.key;
    if (refused->final || gw->loop.now_ns - refused->judged_ns < SECOND_NS) {
        return false;
    }
    refused->judged_ns = gw->loop.now_ns;
    ln_decision decision;
    bool tcp = key->ip_protocol == IPPROTO_TCP;
    gateway_judge(gw, key, tcp ? LN_NAME_UNKNOWN : LN_NAME_NONE, NULL, false, &decision);
    return decision.action == LN_ALLOW || decision.action == LN_DEFER;
}

bool gateway_refused_again(ln_gateway *gw, struct flow *flow, const struct packet *packet)
{
    /* A caller that was refused says nothing about what the guest sends there. */
    if (flow->direction == LN_INGRESS || may_be_now(gw, (struct refused *)(void *)flow)) {
        gateway_destroy_flow(gw, flow, NULL);
        return false;
    }
    flow_table_touch(&gw->flows, flow, gw->loop.now_ns);
    answer(gw, &flow->decision, packet);
    return true;
}

void gateway_forget_refused(ln_gateway *gw, bool all)
{
    struct flow *flow;
    uint64_t idle_ns = all ? 0 : GATEWAY_DENIED_NS;
    while ((flow = flow_table_oldest(&gw->flows, FLOW_DENIED, gw->loop.now_ns, idle_ns)) != NULL) {
        gateway_destroy_flow(gw, flow, NULL);
    }
}

/* ---- the end of the guest's network ---- */

void gateway_condemn(ln_gateway *gw, const char *format, ...)
{
    va_list args;
    if (gateway_is_condemned(gw)) {
        return;
    }
    va_start(args, format);
    vsnprintf(gw->condemned, sizeof(gw->condemned), format, args);
    va_end(args);
    gateway_wake(gw);
}

static void end_condemned(void *user, struct flow *flow)
{
    gateway_destroy_flow(user, flow, "condemned");
}

void gateway_end_condemned(ln_gateway *gw)
{
    gw->deaf = true;
    gateway_each_flow(gw, end_condemned, gw);
}

const char *ln_gateway_condemned(const ln_gateway *gw)
{
    return gateway_is_condemned(gw) ? gw->condemned : NULL;
}
