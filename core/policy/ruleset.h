/* The compiled form of a rule list: immutable tables that answer "which rule comes first" without
 * walking the list.
 *
 * Theory of operation. Rules with the same destination (the same prefix, group, name, …) share a
 * bucket. An address or a name belongs to few buckets: `*`, one group, the prefixes around the
 * address, where it is registered, the exact name, the suffixes above it. For each class (direction
 * and protocol) a bucket has a port map, which gives its first rule at a port. The rule that
 * decides is the lowest that any of these buckets gives. Rules with a function (`when`) may turn
 * out not to match, so they are not in the port maps but in a list of their own, scanned only where
 * such a rule could decide. Rules about requests (`http`) are in neither: they have port maps of
 * their own, which tell whether there are any, and an index by path, for a request.
 *
 * Rules are numbered from 0 in here. */
#ifndef LN_POLICY_RULESET_H
#define LN_POLICY_RULESET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "lunette/policy.h"
#include "policy/geo.h"
#include "policy/http_index.h"
#include "policy/name_map.h"
#include "policy/plan.h"
#include "policy/port_map.h"
#include "policy/prefix_map.h"

enum { CLASSES = 8, CLASS_NONE = 0xff };

static inline unsigned class_of(ln_direction direction, ln_protocol protocol)
{
    return (unsigned)direction * 4u + (unsigned)protocol;
}

struct bucket {
    uint32_t min_rule;  /* the lowest of all its rules */
    uint32_t chain_min; /* … of its own and of those of every bucket around it */
    uint32_t parent;    /* prefixes: the bucket of the closest enclosing prefix, or BUCKET_NONE */
    uint32_t first_map; /* its port maps lie in a row */
    /* The rule that decides without a connection: for names the one for a DNS query, for prefixes
     * and groups the one for an address in a DNS answer; else RULE_NONE. */
    uint32_t answer_rule;
    /* Its rules with `when` that are not about requests, ascending, in functions[]. */
    uint32_t first_function, n_functions;
    uint8_t map[CLASSES]; /* added to first_map; CLASS_NONE: no rule */
};

/* Numbers of the buckets: `*`, the groups, the prefixes as numbered by their map, then names and
 * places. */
enum { BUCKET_ANY, BUCKET_GROUP_0, BUCKET_PREFIX_0 = BUCKET_GROUP_0 + LN_GROUPS };

/* Rules about requests of one bucket: those that allow, and those that refuse. All of egress and
 * TCP. */
enum http_side { HTTP_ALLOW, HTTP_REFUSE, HTTP_SIDES };

struct http_bucket {
    uint32_t map[HTTP_SIDES]; /* the first at each port, whatever requests it is for */
    struct http_index index[HTTP_SIDES];
};

struct asn_bucket {
    uint32_t asn, bucket;
};

struct ruleset {
    struct arena arena;   /* owns all tables, but not the rules; a cap set before stays */
    const ln_rule *rules; /* borrowed */
    uint32_t n_rules;
    struct bucket *buckets;
    uint32_t n_buckets;
    uint32_t *functions;
    uint32_t n_functions;
    struct http_bucket *http;
    uint32_t n_http;
    uint32_t *http_of; /* of each bucket: its rules about requests in http[], or BUCKET_NONE */
    struct port_table ports;
    struct prefix_map prefixes;
    struct name_map names;
    /* Buckets by place: of each code or BUCKET_NONE; NULL where no rule is by place. */
    uint32_t *countries, *continents;
    struct asn_bucket *asns; /* ascending */
    uint32_t n_asns;
    uint32_t group_min; /* the lowest rule by group, or RULE_NONE */
    uint32_t place_min; /* likewise by country, continent or autonomous system */
    uint32_t http_min;  /* likewise about requests */
    uint32_t when_min;  /* likewise with a function, about requests or not */
    /* Numbers of the port maps of all rules by name that refuse egress TCP, with and without a
     * function: what a name not seen yet could bring about. Those about requests are apart. */
    uint32_t closed_by_name, judged_by_name;
};

/* Compiles `n_rules` rules, which must outlive the ruleset. `rs` is zero but for arena.cap. `key`
 * keys the map of names. Returns 0, or -ENOMEM (also for more rules than fit in 32 bits) and then
 * nothing is left to free. */
int ruleset_compile(struct ruleset *rs, const ln_rule *rules, size_t n_rules, struct hash_key key);
void ruleset_free(struct ruleset *rs);

/* What a search looks for. */
enum search_kind {
    SEARCH_FIXED,       /* rules without `when` that are not about requests */
    SEARCH_REQUEST,     /* … and those about requests that match the request */
    SEARCH_FUNCTIONS,   /* rules with `when`; of those about requests, if the request matches */
    SEARCH_HTTP_ALLOW,  /* rules about requests that allow, whatever they are for */
    SEARCH_HTTP_REFUSE, /* … that refuse */
    SEARCH_ANSWER       /* rules that decide without a connection */
};

/* One search: each call below lowers `best` where one of its buckets has a lower rule. */
struct search {
    enum search_kind kind;
    ln_direction direction;
    ln_protocol protocol;
    uint16_t port;
    uint32_t from;                  /* SEARCH_FUNCTIONS: the lowest rule that counts */
    const struct http_facts *facts; /* the request, or NULL: rules about requests do not match */
    uint32_t best;                  /* start with RULE_NONE, or with the first rule too high */
};

/* Which rules by name a search visits. */
enum { SIDE_ALLOW = 1, SIDE_DENY = 2 };

void ruleset_search_any(const struct ruleset *rs, struct search *search);
void ruleset_search_group(const struct ruleset *rs, ln_group group, struct search *search);
void ruleset_search_prefixes(const struct ruleset *rs, const ln_addr *addr, struct search *search);
/* The same for the gateway's own address. Walks the list from the first rule on that spares it. */
void ruleset_search_gateway(const struct ruleset *rs, const ln_addr *addr, struct search *search);
void ruleset_search_place(const struct ruleset *rs, const struct geo_place *place,
                          struct search *search);
void ruleset_search_name(const struct ruleset *rs, const char *name, size_t len, unsigned sides,
                         struct search *search);

/* The static part of a rule but for its destination, in the order in which it is explained. */
static inline bool rule_has_direction(const ln_rule *rule, ln_direction direction)
{
    return (rule->directions & LN_DIRECTION_BIT(direction)) != 0;
}
static inline bool rule_has_protocol(const ln_rule *rule, ln_protocol protocol)
{
    return (rule->protocols & LN_PROTOCOL_BIT(protocol)) != 0;
}
/* A rule with ports never matches ICMP. */
bool rule_has_port(const ln_rule *rule, ln_protocol protocol, uint16_t port);
/* Whether the rule counts where there is no connection to judge.
 * By name, for a DNS query: whatever its ports and protocols. With a function, or about requests,
 * an allow counts, since the connection is judged later, and for the same reason a deny does not.
 * By address, for an address in an answer: without ports, for TCP or UDP. Neither a function nor
 * requests can vouch for an address here: once pinned, it would be open to rules by name. */
bool rule_decides_answer(const ln_rule *rule);
/* Whether it matches for sure where its static part does. */
static inline bool rule_is_fixed(const ln_rule *rule)
{
    return rule->when == 0 && rule->http == NULL;
}
/* Whether it is a rule by name. */
static inline bool rule_is_by_name(const ln_rule *rule)
{
    return rule->destination.kind == LN_DEST_DOMAIN || rule->destination.kind == LN_DEST_SUFFIX;
}

/* Which of a name's buckets a rule by name belongs to. */
enum name_use rule_name_use(const ln_rule *rule);

/* Sorts rules by bucket, keeping their order in each: those of bucket k are members[start[k]] up to
 * before members[start[k + 1]]. `start` is zeroed and has room for two more than there are buckets;
 * rules of BUCKET_NONE are left out. */
void buckets_fill(const uint32_t *bucket_of, uint32_t n_rules, uint32_t n_buckets, uint32_t *start,
                  uint32_t *members);

/* Whether a rule by prefix does not count for the gateway's own address although that is in it. */
static inline bool rule_spares_gateway(const ln_rule *rule, ln_direction direction)
{
    return direction == LN_EGRESS && rule->action == LN_ALLOW &&
           rule->destination.prefix.bits < 128;
}

/* A policy: the plan it was made from, which owns the rules, and their compiled form. */
struct ln_policy {
    uint32_t references;
    struct plan plan;
    struct ruleset ruleset;
    struct geo *geo; /* NULL: no database */
    ln_handlers handlers;
};

/* Makes a policy with one reference from a plan, which it owns from success on (*plan is then
 * empty), as with `handlers` (may be NULL). It has no databases: ln_policy_new() opens them.
 * Returns 0 or -ENOMEM. */
int policy_from_plan(struct plan *plan, const ln_handlers *handlers, ln_policy **ret);

#endif
