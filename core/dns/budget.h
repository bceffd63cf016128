/* What is asked about one registered domain in a minute, so that a name which is allowed with all
 * that is below it is no way to carry data out.
 *
 * Theory of operation. Minutes are the same for all domains: at the end of one, everything is
 * forgotten. Each domain has an account; ACCOUNTS_MAX of them have one of their own, further ones
 * share one, so that a flood of domains buys nothing. Labels are counted once in a minute, as long
 * as there is room to remember them (LABELS_MAX in all); beyond that, each is taken as new. Both
 * tables are keyed. */
#ifndef LN_DNS_BUDGET_H
#define LN_DNS_BUDGET_H

#include <stdint.h>

#include "dns/message.h"
#include "lunette/policy.h"

struct dns_budget;

/* NULL when out of memory. */
struct dns_budget *dns_budget_new(const uint8_t hash_key[16]);
/* Takes NULL, returns NULL. */
struct dns_budget *dns_budget_free(struct dns_budget *budget);

/* The domain that pays for a name (canonical), as the end of `name`: its registered domain by the
 * public suffix list, or itself where it has none; but never one below `suffix`, what a rule allows
 * (NULL: nothing in particular). */
const char *dns_budget_domain(const char *name, const char *suffix);

enum dns_spending {
    DNS_WITHIN,
    DNS_OVER_NOW, /* the first time in this minute */
    DNS_OVER
};

/* Spends one question, whose name ends in `domain`. What is over the limits is so for the rest of
 * the minute. */
enum dns_spending dns_budget_spend(struct dns_budget *budget, const ln_dns_budget *limits,
                                   const char *domain, const struct dns_question *question,
                                   uint64_t now_ns);

#endif
