/* budget: how many bytes of payload a guest may send and be sent in all, whatever the flow; DNS
 * counts like the rest.
 *
 * Theory of operation. The lanes count. Each byte passes at most once, so that a budget is never
 * exceeded: a stream is cut at the last byte, a datagram that does not fit uses up what is left.
 * From then on nothing moves; at the end of the turn, when no flow is being dealt with, all flows
 * are ended and it is told once. Until a reload that gives more, every flow and query is denied:
 * names too would carry data. */
#include <netinet/in.h>

#include "net/gateway.h"

static bool is_used_up(const struct lane *lane)
{
    return lane->budget != 0 && lane->used >= lane->budget;
}

bool gateway_is_used_up(const ln_gateway *gw)
{
    return is_used_up(&gw->lanes[LN_EGRESS]) || is_used_up(&gw->lanes[LN_INGRESS]);
}

/* Connections to port 53 may stay: each query is answered by itself. */
static void end_flow(void *user, struct flow *flow)
{
    ln_gateway *gw = user;
    bool dns = flow->key.ip_protocol == IPPROTO_TCP && flow->key.peer_port == GATEWAY_PORT_DNS;
    if (flow->flow_class != FLOW_DENIED && !dns) {
        gateway_destroy_flow(gw, flow, "budget");
    }
}

void gateway_keep_budget(ln_gateway *gw)
{
    if (gw->closed || !gateway_is_used_up(gw)) {
        return;
    }
    bool out = is_used_up(&gw->lanes[LN_EGRESS]);
    gw->closed = true;
    events_tell(&gw->events,
                &(ln_event){.kind = LN_EVENT_LIMIT,
                            .direction = ln_direction_name(out ? LN_EGRESS : LN_INGRESS),
                            .reason = "budget",
                            .detail = out ? "all bytes that budget.egress gives are used up"
                                          : "all bytes that budget.ingress gives are used up",
                            .count = 1});
    gateway_each_flow(gw, end_flow, gw);
}
