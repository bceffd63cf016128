/* A question about a policy, as people write it: `egress tcp 1.2.3.4:443`, `dns api.github.com A`.
 */
#ifndef LN_CLI_QUERY_H
#define LN_CLI_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/policy.h"

struct query {
    bool is_dns;
    ln_direction direction;
    ln_protocol protocol;
    bool is_named;              /* the peer is given by its name */
    ln_addr address;            /* of the peer, unless is_named */
    char name[LN_NAME_MAX + 1]; /* of the peer or, with is_dns, the one asked for */
    uint16_t port;
    uint16_t type; /* with is_dns: the DNS type */
};

static inline bool query_has_ports(const struct query *query)
{
    return query->protocol == LN_TCP || query->protocol == LN_UDP;
}

#define QUERY_FORMS                                                                                \
    "egress PROTOCOL ADDRESS:PORT, egress icmpv4 ADDRESS, ingress PROTOCOL ADDRESS -> PORT, "      \
    "dns NAME [TYPE]"

/* Reads a query from `n` arguments, each of one word or several. Returns 0; or -EINVAL with what is
 * wrong, a sentence, in `why`. */
int query_parse(char *const *arguments, size_t n, struct query *ret, char why[256]);

#endif
