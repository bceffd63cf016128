/* What an evaluation looks at, shared by the search in the tables (evaluate.c) and the walk that
 * explains it (explain.c). */
#ifndef LN_POLICY_EVALUATE_H
#define LN_POLICY_EVALUATE_H

#include "policy/pins.h"
#include "policy/ruleset.h"

/* Which names make rules match. Rules that allow and rules that refuse see different ones: sides
 * are of SIDE_ALLOW and SIDE_DENY. */
struct sight {
    const char *name; /* one name, or NULL */
    size_t len;
    unsigned name_sides;   /* who sees it */
    unsigned pinned_sides; /* who sees the names pinned to the address */
};

struct evaluation {
    const ln_policy *policy;
    const ln_query *query;
    /* Where the connection goes; NULL: to a resolver, of which only the group, `host`, is known. */
    const ln_addr *address;
    const ln_pins *pins;
    const ln_host_addrs *host;
    struct geo_place place; /* where the address is registered; only known where a rule asks */
    struct pin_walk pinned; /* the names pinned to the address; empty where no rule is by name */
    struct sight sight;
    /* What is known of requests, where it counts: of egress over TCP once the name is known. */
    ln_http_state http;
    const struct http_facts *facts; /* LN_HTTP_REQUEST: the request, else NULL */
    uint32_t by_address;            /* the first rule by address without a function, or RULE_NONE */
    const char *queried; /* DNS: the name asked for, which rules by name see whatever their ports */
    const ln_dns_query *dns_query; /* … the query; NULL: a connection */
    ln_dns_answer *dns_answer;     /* … where on_dns may answer it */
    uint32_t n_asked;              /* functions of rules that were called */
};

static inline ln_group evaluation_group(const struct evaluation *e)
{
    return e->address == NULL ? LN_GROUP_HOST : ln_addr_group(e->address, e->host);
}

/* Whether `addr` is the gateway's own. `host` may be NULL. */
bool evaluation_is_gateway(const ln_host_addrs *host, const ln_addr *addr);

/* Walks the rules one by one and tells `trace` of each, up to and with the one that decides.
 * Asserts that this is the one of `decision`, which the tables gave. */
void explain(const struct evaluation *e, const ln_decision *decision, const ln_trace *trace);

#endif
