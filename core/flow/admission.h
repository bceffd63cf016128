/* Admission: whether a flow may be, and telling what became of it. The one place of the datapath
 * that asks the policy. */
#ifndef LN_FLOW_ADMISSION_H
#define LN_FLOW_ADMISSION_H

#include "base/events.h"
#include "flow/table.h"
#include "lunette/policy.h"

struct admission {
    ln_policy *policy; /* a reference of ours */
    ln_pins *pins;
    ln_host_addrs host;
    struct events *events;
    uint64_t *hits; /* how many flows each rule decided, [0] the default; sized for `policy` */
};

/* Takes a reference of `policy`, whose counters start at zero. -ENOMEM leaves the old one in place.
 */
int admission_set_policy(struct admission *admission, ln_policy *policy);
void admission_fini(struct admission *admission);

/* Judges the flow of `key`, which is `flow` at every call about it (ln_query). `claimed` only with
 * LN_NAME_SHOWN. */
void admission_judge(const struct admission *admission, const struct flow_key *key, uint64_t flow,
                     ln_direction direction, ln_name_state name_state, const char *claimed,
                     bool claimed_is_host, uint32_t flows, uint64_t now_ns, ln_decision *ret);

/* The same for a query that the caller has made up. */
void admission_judge_query(const struct admission *admission, const ln_query *query,
                           ln_decision *ret);

/* Tells handler_error when a decision denies because a function of the policy failed.
 * admission_judge() does so itself. */
void admission_tell_failure(const struct admission *admission, const ln_query *query,
                            const ln_decision *decision);

/* What a decision of this flow means on the wire, with deny_mode taken into account. */
ln_action admission_wire_action(const struct admission *admission, const ln_decision *decision);

/* Tells flow_open or flow_denied, by flow->decision, and counts the rule. `name` may be NULL: then
 * the first name pinned to the address is told, if any. `reason` overrides the decision's own;
 * NULL: that. */
void admission_tell_verdict(struct admission *admission, const struct flow *flow, const char *name,
                            const char *reason, uint64_t now_ns);
/* An event about a flow, by flow->decision: to be filled in further, and told. */
ln_event admission_event(const struct admission *admission, ln_event_kind kind,
                         const struct flow *flow);
/* Tells flow_close with the flow's counters. */
void admission_tell_close(struct admission *admission, const struct flow *flow, const char *reason);

/* "tcp", "udp", "icmpv4", "icmpv6" by IP protocol number. */
ln_protocol admission_protocol(uint8_t ip_protocol);

#endif
