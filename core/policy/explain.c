/* Explaining a verdict: the rules are walked one by one, without the tables, and each is told with
 * the reason why it did not match. */
#include <assert.h>
#include <string.h>

#include "policy/evaluate.h"

static bool rule_names(const ln_rule *rule, const char *name, size_t name_len)
{
    const char *own = rule->destination.name;
    size_t own_len = strlen(own);
    if (rule->destination.kind == LN_DEST_DOMAIN) {
        return name_len == own_len && memcmp(name, own, own_len) == 0;
    }
    return name_len > own_len && name[name_len - own_len - 1] == '.' &&
           memcmp(name + name_len - own_len, own, own_len) == 0;
}

static bool rule_names_pinned(const struct evaluation *e, const ln_rule *rule)
{
    struct pin_walk walk = e->pinned;
    size_t len;
    const char *name;
    while ((name = pins_walk_next(&walk, &len)) != NULL) {
        if (rule_names(rule, name, len)) {
            return true;
        }
    }
    return false;
}

/* A rule by name and a connection. */
static ln_miss name_miss(const struct evaluation *e, const ln_rule *rule)
{
    unsigned side = rule->action == LN_ALLOW ? SIDE_ALLOW : SIDE_DENY;
    const struct sight *sight = &e->sight;
    bool named = sight->name != NULL && rule_names(rule, sight->name, sight->len);
    if ((named && (sight->name_sides & side) != 0) ||
        ((sight->pinned_sides & side) != 0 && rule_names_pinned(e, rule))) {
        return LN_MATCHED;
    }
    return sight->name == NULL || named ? LN_MISS_NOT_RESOLVED : LN_MISS_NAME;
}

/* A rule by name and a connection whose verdict hangs on a name not seen yet. */
static ln_miss deferred_name_miss(const struct evaluation *e, const ln_rule *rule)
{
    return rule->action != LN_ALLOW || rule_names_pinned(e, rule) ? LN_MISS_NAME_UNKNOWN
                                                                  : LN_MISS_NOT_RESOLVED;
}

/* A rule by name and a DNS query. The connection is judged later, so a function need not be asked
 * for an allow, and cannot be for a deny; and likewise a rule about requests. */
static ln_miss query_miss(const struct evaluation *e, const ln_rule *rule)
{
    if (!rule_names(rule, e->queried, strlen(e->queried))) {
        return LN_MISS_NAME;
    }
    if (rule->action == LN_ALLOW) {
        return LN_MATCHED;
    }
    return rule->http != NULL ? LN_MISS_HTTP_NONE : rule->when != 0 ? LN_MISS_WHEN : LN_MATCHED;
}

static ln_miss destination_miss(const struct evaluation *e, const ln_rule *rule, bool deferred)
{
    const struct geo_place *place = &e->place;
    const char *name = rule->destination.name;
    bool matches = false;
    switch (rule->destination.kind) {
    case LN_DEST_ANY:
        matches = true;
        break;
    case LN_DEST_GROUP:
        matches = rule->destination.group == evaluation_group(e);
        break;
    case LN_DEST_PREFIX:
        matches = e->address != NULL && ln_prefix_contains(&rule->destination.prefix, e->address);
        if (matches && rule_spares_gateway(rule, e->query->direction) &&
            evaluation_is_gateway(e->host, e->address)) {
            return LN_MISS_GATEWAY;
        }
        break;
    case LN_DEST_DOMAIN:
    case LN_DEST_SUFFIX:
        return deferred ? deferred_name_miss(e, rule) : name_miss(e, rule);
    case LN_DEST_COUNTRY:
        matches = place->country != GEO_NONE && place->country == geo_code(name, strlen(name));
        break;
    case LN_DEST_CONTINENT:
        matches = place->continent != GEO_NONE && place->continent == geo_code(name, strlen(name));
        break;
    case LN_DEST_ASN:
        matches = place->asn != 0 && place->asn == rule->destination.asn;
        break;
    }
    return matches ? LN_MATCHED : LN_MISS_DESTINATION;
}

/* A rule about requests. */
static ln_miss request_miss(const struct evaluation *e, const ln_rule *rule)
{
    switch (e->http) {
    case LN_HTTP_UNKNOWN:
        return LN_MISS_HTTP_UNKNOWN;
    case LN_HTTP_NONE:
        return LN_MISS_HTTP_NONE;
    case LN_HTTP_REQUEST:
        break;
    }
    return http_miss(rule, e->facts);
}

/* Everything but the rule's function. */
static ln_miss static_miss(const struct evaluation *e, const ln_rule *rule, bool deferred)
{
    if (!rule_has_direction(rule, e->query->direction)) {
        return LN_MISS_DIRECTION;
    }
    if (e->queried != NULL && rule_is_by_name(rule)) {
        return query_miss(e, rule);
    }
    if (!rule_has_protocol(rule, e->query->protocol)) {
        return LN_MISS_PROTOCOL;
    }
    if (!rule_has_port(rule, e->query->protocol, e->query->port)) {
        return LN_MISS_PORT;
    }
    ln_miss miss = destination_miss(e, rule, deferred);
    return miss == LN_MATCHED && rule->http != NULL ? request_miss(e, rule) : miss;
}

/* Whether the rule's function is asked once all else matches. */
static bool asks_function(const struct evaluation *e, const ln_rule *rule)
{
    return rule->when != 0 && !(e->queried != NULL && rule_is_by_name(rule));
}

void explain(const struct evaluation *e, const ln_decision *decision, const ln_trace *trace)
{
    const struct ruleset *rs = &e->policy->ruleset;
    bool deferred = decision->action == LN_DEFER;
    bool by_hook = decision->reason == LN_REASON_ON_CONNECT ||
                   decision->reason == LN_REASON_ON_DNS ||
                   (decision->reason == LN_REASON_HANDLER_ERROR && decision->rule == 0);
    uint32_t n_asked = 0;
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        const ln_rule *rule = &rs->rules[i];
        if (by_hook && !rule->deny_list) {
            break;
        }
        ln_miss miss = static_miss(e, rule, deferred);
        if (miss == LN_MATCHED && asks_function(e, rule)) {
            n_asked += !deferred;
            miss = deferred                  ? LN_MISS_NAME_UNKNOWN
                   : i + 1 == decision->rule ? LN_MATCHED
                                             : LN_MISS_WHEN;
        }
        bool lets_in = miss == LN_MISS_HTTP_UNKNOWN && i + 1 == decision->rule;
        miss = lets_in ? LN_MATCHED : miss;
        trace->step(trace->user, i + 1, miss);
        if (miss == LN_MATCHED) {
            assert(deferred || decision->rule == i + 1);
            assert(lets_in || n_asked == e->n_asked); /* functions behind it were asked as well */
            return;
        }
    }
    assert(decision->rule == 0);
    assert(n_asked == e->n_asked);
    (void)n_asked;
}
