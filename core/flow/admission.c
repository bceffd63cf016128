/* Admission: whether a flow may be, and telling what became of it. */
#include "flow/admission.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

int admission_set_policy(struct admission *admission, ln_policy *policy)
{
    uint64_t *hits = calloc(ln_policy_rule_count(policy) + 1, sizeof(*hits));
    if (hits == NULL) {
        return -ENOMEM;
    }
    free(admission->hits);
    admission->hits = hits;
    ln_policy_ref(policy);
    ln_policy_unref(admission->policy);
    admission->policy = policy;
    return 0;
}

void admission_fini(struct admission *admission)
{
    free(admission->hits);
    admission->hits = NULL;
    admission->policy = ln_policy_unref(admission->policy);
}

ln_protocol admission_protocol(uint8_t ip_protocol)
{
    switch (ip_protocol) {
    case IPPROTO_TCP:
        return LN_TCP;
    case IPPROTO_UDP:
        return LN_UDP;
    case IPPROTO_ICMP:
        return LN_ICMPV4;
    default:
        assert(ip_protocol == IPPROTO_ICMPV6);
        return LN_ICMPV6;
    }
}

static bool has_ports(uint8_t ip_protocol)
{
    return ip_protocol == IPPROTO_TCP || ip_protocol == IPPROTO_UDP;
}

void admission_judge(const struct admission *admission, const struct flow_key *key, uint64_t flow,
                     ln_direction direction, ln_name_state name_state, const char *claimed,
                     bool claimed_is_host, uint32_t flows, uint64_t now_ns, ln_decision *ret)
{
    uint16_t port = direction == LN_EGRESS ? key->peer_port : key->guest_port;
    ln_query query = {
        .direction = direction,
        .protocol = admission_protocol(key->ip_protocol),
        .address = key->peer,
        .port = has_ports(key->ip_protocol) ? port : 0,
        .name_state = name_state,
        .claimed = claimed,
        .claimed_is_host = claimed_is_host,
        .now_ns = now_ns,
        .flows = flows,
        .flow = flow,
    };
    admission_judge_query(admission, &query, ret);
}

void admission_judge_query(const struct admission *admission, const ln_query *query,
                           ln_decision *ret)
{
    ln_policy_evaluate(admission->policy, admission->pins, &admission->host, query, ret, NULL);
    admission_tell_failure(admission, query, ret);
}

void admission_tell_failure(const struct admission *admission, const ln_query *query,
                            const ln_decision *decision)
{
    if (decision->reason != LN_REASON_HANDLER_ERROR) {
        return;
    }
    bool out = query->direction == LN_EGRESS;
    const ln_rule *rule =
        decision->rule == 0 ? NULL : ln_policy_rule(admission->policy, decision->rule);
    ln_event event = {
        .kind = LN_EVENT_HANDLER_ERROR,
        .protocol = ln_protocol_name(query->protocol),
        .direction = ln_direction_name(query->direction),
        .src = out ? NULL : &query->address,
        .dst = out ? &query->address : NULL,
        .port = query->port,
        .name = query->claimed,
        .action = ln_action_name(decision->action),
        .rule = decision->rule,
        .source_file = rule != NULL ? rule->file : NULL,
        .source_line = rule != NULL ? rule->line : 0,
        .reason = ln_reason_name(decision->reason),
        .detail = ln_policy_handler_error(admission->policy),
    };
    events_tell(admission->events, &event);
}

ln_action admission_wire_action(const struct admission *admission, const ln_decision *decision)
{
    if (decision->action == LN_DENY && ln_policy_settings(admission->policy)->deny_by_reject) {
        return LN_REJECT;
    }
    return decision->action;
}

ln_event admission_event(const struct admission *admission, ln_event_kind kind,
                         const struct flow *flow)
{
    const struct flow_key *key = &flow->key;
    bool out = flow->direction == LN_EGRESS;
    const ln_rule *rule =
        flow->decision.rule == 0 ? NULL : ln_policy_rule(admission->policy, flow->decision.rule);
    return (ln_event){
        .kind = kind,
        .protocol = ln_protocol_name(admission_protocol(key->ip_protocol)),
        .direction = ln_direction_name((ln_direction)flow->direction),
        .src = out ? &key->guest : &flow->caller,
        .dst = out ? &key->peer : &key->guest,
        .src_port = !has_ports(key->ip_protocol) ? 0
                    : out                        ? key->guest_port
                                                 : flow->caller_port,
        .port = !has_ports(key->ip_protocol) ? 0
                : out                        ? key->peer_port
                                             : key->guest_port,
        .name = flow->name,
        .name_from = flow->name != NULL ? "shown" : NULL,
        .action = ln_action_name(flow->decision.action),
        .rule = flow->decision.rule,
        .source_file = rule != NULL ? rule->file : NULL,
        .source_line = rule != NULL ? rule->line : 0,
        .reason = ln_reason_name(flow->decision.reason),
    };
}

void admission_tell_verdict(struct admission *admission, const struct flow *flow, const char *name,
                            const char *reason, uint64_t now_ns)
{
    bool allowed = flow->decision.action == LN_ALLOW;
    ln_event event =
        admission_event(admission, allowed ? LN_EVENT_FLOW_OPEN : LN_EVENT_FLOW_DENIED, flow);
    const char *pinned = NULL;
    if (name != NULL) {
        event.name = name;
        event.name_from = "shown";
    } else if (flow->name == NULL &&
               ln_pins_names(admission->pins, flow_peer(flow), now_ns, &pinned, 1) == 1) {
        event.name = pinned;
        event.name_from = "resolved";
    }
    event.reason = reason != NULL ? reason : event.reason;
    admission->hits[flow->decision.rule]++;
    events_tell(admission->events, &event);
}

void admission_tell_close(struct admission *admission, const struct flow *flow, const char *reason)
{
    ln_event event = admission_event(admission, LN_EVENT_FLOW_CLOSE, flow);
    event.reason = reason;
    event.bytes_out = flow->bytes_out;
    event.bytes_in = flow->bytes_in;
    event.packets_out = flow->packets_out;
    event.packets_in = flow->packets_in;
    events_tell(admission->events, &event);
}
