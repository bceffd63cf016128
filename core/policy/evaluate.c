/* The evaluator: which rule decides, found in the compiled tables.
 *
 * Theory of operation. The lowest rule that matches decides. A rule matches by its static part, and
 * by its destination in one of two ways.
 *
 * By address: `*`, a group, a prefix, a place. Such a rule matches whatever name is shown. A prefix
 * that is allowed does not hold the gateway's own address, unless it is nothing else: behind that
 * address is the machine's loopback, of which who allows 172.16/12 does not think.
 *
 * By name: a domain or a suffix. Names come from two places: the address has the names that this
 * sandbox resolved to it (pinned), and the client's first bytes may show one. Which of them a rule
 * sees depends on whether it opens or refuses:
 *
 *                               a rule that allows sees     a rule that refuses sees
 *     no name is shown          the pinned names            the pinned names
 *     the name is pinned        the name                    the name
 *     the name is not pinned    nothing                     the name and the pinned names
 *
 * So an address opened for one name opens no other. A name that is merely claimed opens nothing: it
 * makes no rule match that allows, and takes no match away from one that refuses; the verdict can
 * only get stricter than without it. Only egress has shown names: what a peer shows to the guest is
 * the guest's name, not the peer's, so in ingress the pins alone speak.
 *
 * Rules about requests match for sure only once there is a request. Until then they are "maybe":
 * the connection is decided by the first rule of the others, and it is let in to be inspected where
 * that allows but a maybe before it refuses, or that refuses but a maybe before it allows.
 *
 * While the name is not known yet (egress TCP), the verdict is put off if it hangs on the name: if
 * not all names that could still be shown, none included, lead to the same of three outcomes: let
 * in, let in to be inspected, refused. Deny or reject makes no difference here: where nothing can
 * open it there is nothing to wait for. If the verdict does not hang on the name it is the one
 * without a name. The names that could be shown fall into few kinds:
 *
 * (1) Each pinned name: judged one by one.
 *
 * (2) A stranger, neither pinned nor known to any rule: rules by address match, and refusing rules
 *     that see a pinned name.
 *
 * (3) A name that is not pinned but known to a refusing rule. There is one for every such rule, so
 *     the first of them at the port tells. If it comes before what decides for a stranger, some
 *     name refuses the connection (closed_by_name), unless a maybe of the stranger's that allows is
 *     before it; one about requests (judged_by_name) has what is let in inspected. Of several that
 *     refuse a later one adds nothing: if the first leads to what the stranger's names lead to,
 * then so do they all.
 *
 * (4) No name: sees the rules of (1) and (2) together. The first of them that is no maybe is the
 *     first of some pinned name or of the stranger, and before it there are no maybes but theirs:
 *     so where all of those lead to one outcome, this does.
 *
 * No function is called before the name is known. One that could be called may say anything, or
 * fail, which closes.
 *
 * A DNS query is judged as a connection to a resolver: `*` and the group `host` match by protocol
 * and port, other addresses cannot; and rules by name see the name asked for, whatever their ports.
 */
#include "policy/evaluate.h"

#include <string.h>

#include "policy/groups.h"

enum { SIDE_BOTH = SIDE_ALLOW | SIDE_DENY, DNS_PORT = 53 };

/* ---- searching ---- */

static struct search search_of(const struct evaluation *e, enum search_kind kind, uint32_t best)
{
    return (struct search){
        .kind = kind,
        .direction = e->query->direction,
        .protocol = e->query->protocol,
        .port = e->query->port,
        .best = best,
        .facts = e->facts,
    };
}

bool evaluation_is_gateway(const ln_host_addrs *host, const ln_addr *addr)
{
    size_t n = host == NULL ? 0 : host->n_gateway;
    size_t i = 0;
    while (i < n && !ln_addr_equal(&host->addrs[i], addr)) {
        i++;
    }
    return i < n;
}

static void search_prefixes(const struct ruleset *rs, const ln_host_addrs *host,
                            const ln_addr *addr, struct search *search)
{
    if (evaluation_is_gateway(host, addr)) {
        ruleset_search_gateway(rs, addr, search);
    } else {
        ruleset_search_prefixes(rs, addr, search);
    }
}

static void search_address(const struct evaluation *e, struct search *search)
{
    const struct ruleset *rs = &e->policy->ruleset;
    ruleset_search_any(rs, search);
    if (rs->group_min < search->best) {
        ruleset_search_group(rs, evaluation_group(e), search);
    }
    if (e->address != NULL) {
        search_prefixes(rs, e->host, e->address, search);
        ruleset_search_place(rs, &e->place, search);
    }
}

static void search_names(const struct evaluation *e, const struct sight *sight,
                         struct search *search)
{
    const struct ruleset *rs = &e->policy->ruleset;
    if (sight->name_sides != 0) {
        ruleset_search_name(rs, sight->name, sight->len, sight->name_sides, search);
    }
    if (sight->pinned_sides != 0) {
        struct pin_walk walk = e->pinned;
        size_t len;
        const char *name;
        while ((name = pins_walk_next(&walk, &len)) != NULL) {
            ruleset_search_name(rs, name, len, sight->pinned_sides, search);
        }
    }
}

/* Without a function, and for the request where there is one. */
static enum search_kind fixed_kind(const struct evaluation *e)
{
    return e->facts == NULL ? SEARCH_FIXED : SEARCH_REQUEST;
}

/* The first rule by address without a function, or RULE_NONE. */
static uint32_t first_by_address(const struct evaluation *e)
{
    struct search search = search_of(e, fixed_kind(e), RULE_NONE);
    search_address(e, &search);
    return search.best;
}

/* The first rule without a function, or RULE_NONE. */
static uint32_t first_fixed(const struct evaluation *e)
{
    struct search search = search_of(e, fixed_kind(e), e->by_address);
    search_names(e, &e->sight, &search);
    if (e->queried != NULL) {
        search.kind = SEARCH_ANSWER;
        ruleset_search_name(&e->policy->ruleset, e->queried, strlen(e->queried), SIDE_BOTH,
                            &search);
    }
    return search.best;
}

/* The first rule with a function from `from` up to before `end`, or `end`. */
static uint32_t first_function(const struct evaluation *e, const struct sight *sight, uint32_t from,
                               uint32_t end)
{
    if (e->policy->ruleset.when_min >= end) {
        return end;
    }
    struct search search = search_of(e, SEARCH_FUNCTIONS, end);
    search.from = from;
    search_address(e, &search);
    search_names(e, sight, &search);
    return search.best;
}

/* Whether a rule about requests before `end` could match, for all that is known. */
static inline bool has_maybes(const struct evaluation *e, uint32_t end)
{
    return e->http == LN_HTTP_UNKNOWN && e->policy->ruleset.http_min < end;
}

/* The first of them that allows (or that refuses), or `end`. */
static uint32_t first_maybe(const struct evaluation *e, const struct sight *sight,
                            enum search_kind kind, uint32_t end)
{
    struct search search = search_of(e, kind, end);
    search_address(e, &search);
    search_names(e, sight, &search);
    return search.best;
}

/* ---- the policy's functions ---- */

static ln_flow_view view_of(const struct evaluation *e)
{
    const ln_query *query = e->query;
    const char *shown = query->name_state == LN_NAME_SHOWN ? query->claimed : NULL;
    ln_flow_view view = {
        .direction = query->direction,
        .protocol = query->protocol,
        .address = query->address,
        .port = query->port,
        .sni = query->claimed_is_host ? NULL : shown,
        .host = query->claimed_is_host ? shown : NULL,
        .group = evaluation_group(e),
        .asn = e->place.asn,
        .flows = query->flows,
        .id = query->flow,
    };
    geo_code_text(e->place.country, view.country);
    if (e->queried != NULL) {
        view.names = &e->queried;
        view.n_names = 1;
    } else {
        view.names =
            pins_list(e->pins, pins_walk(e->pins, &query->address, query->now_ns), &view.n_names);
    }
    return view;
}

/* Asks the rule's function: 1, 0, or negative: it failed. */
static int ask_when(struct evaluation *e, uint32_t rule)
{
    const ln_handlers *handlers = &e->policy->handlers;
    e->n_asked++;
    if (handlers->when == NULL) {
        return -1;
    }
    ln_flow_view view = view_of(e);
    return handlers->when(handlers->user, e->policy->ruleset.rules[rule].when, &view);
}

/* Asks on_connect, if there is one. Returns whether that decided. */
static bool ask_on_connect(const struct evaluation *e, ln_decision *ret)
{
    int reference = e->policy->plan.settings.on_connect;
    if (reference == 0 || e->queried != NULL) {
        return false;
    }
    const ln_handlers *handlers = &e->policy->handlers;
    ln_flow_view view = view_of(e);
    ln_action action = LN_DEFER;
    int r = handlers->on_connect == NULL
                ? -1
                : handlers->on_connect(handlers->user, reference, &view, &action);
    if (r == 0) {
        return false;
    }
    if (r < 0 || (action != LN_ALLOW && action != LN_REJECT && action != LN_DENY)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_HANDLER_ERROR};
    } else {
        *ret = (ln_decision){.action = action, .reason = LN_REASON_ON_CONNECT};
    }
    return true;
}

/* Likewise on_dns about a query. */
static bool ask_on_dns(const struct evaluation *e, ln_decision *ret)
{
    int reference = e->policy->plan.settings.on_dns;
    if (reference == 0 || e->dns_query == NULL) {
        return false;
    }
    const ln_handlers *handlers = &e->policy->handlers;
    ln_action action = LN_DEFER;
    int r = handlers->on_dns == NULL
                ? -1
                : handlers->on_dns(handlers->user, reference, e->dns_query, &action, e->dns_answer);
    if (r == 0) {
        return false;
    }
    if (r < 0 || (action != LN_ALLOW && action != LN_DENY)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_HANDLER_ERROR};
    } else {
        *ret = (ln_decision){.action = action, .reason = LN_REASON_ON_DNS};
    }
    if (ret->action != LN_ALLOW) {
        e->dns_answer->n_addrs = 0;
    }
    return true;
}

/* ---- deciding ---- */

static ln_action action_of(const ln_policy *policy, ln_direction direction, uint32_t rule)
{
    const ln_settings *settings = &policy->plan.settings;
    if (rule != RULE_NONE) {
        return policy->ruleset.rules[rule].action;
    }
    return direction == LN_EGRESS ? settings->default_egress : settings->default_ingress;
}

static bool is_deny_list(const ln_policy *policy, uint32_t rule)
{
    return rule != RULE_NONE && policy->ruleset.rules[rule].deny_list;
}

static ln_decision decision_of(const ln_policy *policy, ln_direction direction, uint32_t rule)
{
    return (ln_decision){
        .action = action_of(policy, direction, rule),
        .rule = rule + 1, /* RULE_NONE: 0 */
        .reason = rule == RULE_NONE            ? LN_REASON_DEFAULT
                  : is_deny_list(policy, rule) ? LN_REASON_DENY_DOMAIN
                                               : LN_REASON_RULE,
    };
}

/* What becomes of a connection that `rule` (or the default) decides, with the rules about requests
 * before it. */
static ln_decision with_maybes(const struct evaluation *e, uint32_t rule, ln_decision decision)
{
    if (decision.action == LN_ALLOW) {
        decision.inspect = first_maybe(e, &e->sight, SEARCH_HTTP_REFUSE, rule) != rule;
        return decision;
    }
    uint32_t maybe = first_maybe(e, &e->sight, SEARCH_HTTP_ALLOW, rule);
    return maybe == rule ? decision
                         : (ln_decision){.action = LN_ALLOW,
                                         .rule = maybe + 1,
                                         .reason = LN_REASON_RULE,
                                         .inspect = true};
}

static ln_decision decide(struct evaluation *e)
{
    uint32_t rule = first_fixed(e);
    ln_decision decision;
    if (!is_deny_list(e->policy, rule) &&
        (ask_on_connect(e, &decision) || ask_on_dns(e, &decision))) {
        return decision;
    }
    int answer = 0;
    uint32_t from = 0;
    uint32_t asked;
    while (answer == 0 && (asked = first_function(e, &e->sight, from, rule)) != rule) {
        answer = ask_when(e, asked);
        rule = answer == 0 ? rule : asked;
        from = asked + 1;
    }
    decision =
        answer < 0
            ? (ln_decision){.action = LN_DENY, .rule = rule + 1, .reason = LN_REASON_HANDLER_ERROR}
            : decision_of(e->policy, e->query->direction, rule);
    return has_maybes(e, rule) ? with_maybes(e, rule, decision) : decision;
}

/* ---- names not known yet ---- */

/* What could become of the connection: a set. */
enum { REFUSED = 1, LET_IN = 2, INSPECTED = 4 };

struct outlook {
    uint32_t rule;              /* what decides, functions aside; RULE_NONE: the default */
    uint32_t maybe[HTTP_SIDES]; /* the first rule about requests on each side, at most `rule` */
};

static bool is_settled(unsigned outcomes)
{
    return (outcomes & (outcomes - 1)) == 0;
}

/* The outcome where `rule` decides. */
static unsigned outcome_of(const struct outlook *outlook, uint32_t rule, bool open)
{
    bool maybe = outlook->maybe[open ? HTTP_REFUSE : HTTP_ALLOW] < rule;
    return maybe ? INSPECTED : open ? LET_IN : REFUSED;
}

/* What could become of it with these names, and why. */
static unsigned look(const struct evaluation *e, const struct sight *sight, struct outlook *ret)
{
    struct search search = search_of(e, SEARCH_FIXED, e->by_address);
    search_names(e, sight, &search);
    uint32_t rule = search.best;
    ret->rule = ret->maybe[HTTP_ALLOW] = ret->maybe[HTTP_REFUSE] = rule;
    if (has_maybes(e, rule)) {
        ret->maybe[HTTP_ALLOW] = first_maybe(e, sight, SEARCH_HTTP_ALLOW, rule);
        ret->maybe[HTTP_REFUSE] = first_maybe(e, sight, SEARCH_HTTP_REFUSE, rule);
    }
    if (e->policy->plan.settings.on_connect != 0 && !is_deny_list(e->policy, rule)) {
        return LET_IN | REFUSED;
    }
    unsigned outcomes = outcome_of(ret, rule, action_of(e->policy, LN_EGRESS, rule) == LN_ALLOW);
    uint32_t from = 0;
    uint32_t asked;
    while (is_settled(outcomes) && (asked = first_function(e, sight, from, rule)) != rule) {
        outcomes |= outcome_of(ret, asked, false);
        if (action_of(e->policy, LN_EGRESS, asked) == LN_ALLOW) {
            outcomes |= outcome_of(ret, asked, true);
        }
        from = asked + 1;
    }
    return outcomes;
}

static bool hangs_on_name(const struct evaluation *e)
{
    const struct ruleset *rs = &e->policy->ruleset;
    struct sight stranger = {.pinned_sides = SIDE_DENY};
    struct outlook outlook;
    unsigned outcomes = look(e, &stranger, &outlook);
    uint32_t closed = port_table_find(&rs->ports, rs->closed_by_name, e->query->port);
    if (closed < outlook.rule) {
        outcomes |= outcome_of(&outlook, closed, false);
    }
    if (has_maybes(e, outlook.rule) &&
        port_table_find(&rs->ports, rs->judged_by_name, e->query->port) < outlook.rule &&
        action_of(e->policy, LN_EGRESS, outlook.rule) == LN_ALLOW) {
        outcomes |= INSPECTED;
    }
    struct pin_walk walk = e->pinned;
    struct sight pinned = {.name_sides = SIDE_BOTH};
    while (is_settled(outcomes) && (pinned.name = pins_walk_next(&walk, &pinned.len)) != NULL) {
        outcomes |= look(e, &pinned, &outlook);
    }
    return !is_settled(outcomes);
}

/* ---- public ---- */

static inline struct sight sight_of(const struct evaluation *e)
{
    const ln_query *query = e->query;
    if (query->direction == LN_INGRESS || query->name_state != LN_NAME_SHOWN ||
        query->claimed == NULL) {
        return (struct sight){.pinned_sides = SIDE_BOTH};
    }
    size_t len = strlen(query->claimed);
    bool pinned = pins_has(e->pins, query->claimed, len, &query->address, query->now_ns);
    return (struct sight){
        .name = query->claimed,
        .len = len,
        .name_sides = pinned ? SIDE_BOTH : SIDE_DENY,
        .pinned_sides = pinned ? 0 : SIDE_DENY,
    };
}

/* Whether anything of the policy depends on where an address is registered. */
static bool asks_place(const ln_policy *policy)
{
    return policy->ruleset.place_min != RULE_NONE || policy->ruleset.when_min != RULE_NONE ||
           policy->plan.settings.on_connect != 0;
}

/* What of the query's requests counts. */
static ln_http_state http_state_of(const ln_policy *policy, const ln_query *query)
{
    if (policy->ruleset.http_min == RULE_NONE || query->direction != LN_EGRESS ||
        query->protocol != LN_TCP) {
        return LN_HTTP_NONE;
    }
    if (query->name_state == LN_NAME_UNKNOWN) {
        return LN_HTTP_UNKNOWN;
    }
    return query->http_state == LN_HTTP_REQUEST && query->request == NULL ? LN_HTTP_NONE
                                                                          : query->http_state;
}

static inline __attribute__((always_inline)) void evaluate(struct evaluation *e, ln_decision *ret,
                                                           const ln_trace *trace)
{
    const ln_policy *policy = e->policy;
    const ln_query *query = e->query;
    if (policy->ruleset.names.count > 0) {
        e->pinned = pins_walk(e->pins, &query->address, query->now_ns);
        e->sight = sight_of(e);
    }
    geo_locate(asks_place(policy) ? policy->geo : NULL, &query->address, &e->place);
    if (e->place.failed && policy->ruleset.place_min != RULE_NONE) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_GEOIP_ERROR};
        return;
    }
    e->by_address = first_by_address(e);
    bool may_show = query->direction == LN_EGRESS && query->protocol == LN_TCP;
    if (query->name_state == LN_NAME_UNKNOWN && may_show && hangs_on_name(e)) {
        *ret = (ln_decision){.action = LN_DEFER, .reason = LN_REASON_NAME_UNKNOWN};
    } else {
        *ret = decide(e);
    }
    if (trace != NULL) {
        explain(e, ret, trace);
    }
}

/* Apart, since what is read from a request takes room. */
static __attribute__((noinline)) void evaluate_request(struct evaluation *e, ln_decision *ret,
                                                       const ln_trace *trace)
{
    struct http_facts facts;
    http_facts_read(&facts, e->query->request);
    e->facts = &facts;
    evaluate(e, ret, trace);
}

void ln_policy_evaluate(const ln_policy *policy, const ln_pins *pins, const ln_host_addrs *host,
                        const ln_query *query, ln_decision *ret, const ln_trace *trace)
{
    if (query->direction == LN_EGRESS && ln_addr_is_never(&query->address)) {
        *ret = (ln_decision){.action = LN_DENY, .reason = LN_REASON_NEVER};
        return;
    }
    struct evaluation e = {.policy = policy,
                           .query = query,
                           .address = &query->address,
                           .pins = pins,
                           .host = host,
                           .http = http_state_of(policy, query)};
    if (e.http == LN_HTTP_REQUEST) {
        evaluate_request(&e, ret, trace);
    } else {
        evaluate(&e, ret, trace);
    }
}

void ln_policy_evaluate_query(const ln_policy *policy, const ln_dns_query *query, ln_decision *ret,
                              ln_dns_answer *ret_answer, const ln_trace *trace)
{
    ln_dns_answer unwanted;
    ln_query flow = {.direction = LN_EGRESS,
                     .protocol = query->transport,
                     .port = DNS_PORT,
                     .flows = query->flows};
    struct evaluation e = {
        .policy = policy,
        .query = &flow,
        .place = GEO_NOWHERE,
        .http = LN_HTTP_NONE,
        .queried = query->name,
        .dns_query = query,
        .dns_answer = ret_answer != NULL ? ret_answer : &unwanted,
    };
    e.dns_answer->n_addrs = 0;
    e.by_address = first_by_address(&e);
    *ret = decide(&e);
    if (trace != NULL) {
        explain(&e, ret, trace);
    }
}

void ln_policy_evaluate_dns(const ln_policy *policy, const char *name, ln_protocol transport,
                            ln_decision *ret, const ln_trace *trace)
{
    ln_dns_query query = {.name = name, .type = "A", .transport = transport};
    ln_policy_evaluate_query(policy, &query, ret, NULL, trace);
}

void ln_policy_evaluate_alias(const ln_policy *policy, const char *name, ln_decision *ret)
{
    struct search search = {.kind = SEARCH_ANSWER, .best = RULE_NONE};
    ruleset_search_name(&policy->ruleset, name, strlen(name), SIDE_BOTH, &search);
    *ret = search.best == RULE_NONE ? (ln_decision){.action = LN_ALLOW, .reason = LN_REASON_DEFAULT}
                                    : decision_of(policy, LN_EGRESS, search.best);
}

void ln_policy_evaluate_answer(const ln_policy *policy, const ln_host_addrs *host,
                               const ln_addr *addr, ln_decision *ret)
{
    ln_group group = ln_addr_group(addr, host);
    if (!policy->plan.settings.dns_rebind_protection ||
        (group == LN_GROUP_PUBLIC && !addr_is_reserved(addr))) {
        *ret = (ln_decision){.action = LN_ALLOW, .reason = LN_REASON_DEFAULT};
        return;
    }
    struct search search = {.kind = SEARCH_ANSWER, .best = RULE_NONE};
    if (group != LN_GROUP_PUBLIC) { /* what `public` allows is not what is reserved */
        ruleset_search_group(&policy->ruleset, group, &search);
    }
    search_prefixes(&policy->ruleset, host, addr, &search);
    *ret = (ln_decision){.action = LN_DENY, .rule = search.best + 1, .reason = LN_REASON_REBIND};
    if (search.best != RULE_NONE && policy->ruleset.rules[search.best].action == LN_ALLOW) {
        ret->action = LN_ALLOW;
        ret->reason = LN_REASON_RULE;
    }
}
