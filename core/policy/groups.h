/* What an address is by itself, whatever the rules say; the public side is in lunette/policy.h. */
#ifndef LN_POLICY_GROUPS_H
#define LN_POLICY_GROUPS_H

#include "lunette/policy.h"

/* Whether an address is of no group and yet nowhere on the Internet, so that an answer of DNS has
 * no business to give it: 0/8, 192.0.0/24, 192.88.99/24, 198.18/15, 240/4, fec0::/10, 100::/64,
 * 64:ff9b:1::/48, `::`, and what embeds such an IPv4 address. */
bool addr_is_reserved(const ln_addr *addr);

/* The IPv4 address that an address embeds (NAT64, 6to4, IPv4-compatible), else the address itself.
 */
ln_addr addr_inner(const ln_addr *addr);

/* Visits prefixes, some of them twice, that nest or are disjoint and at whose ends alone an address
 * changes its group, becomes reserved or one of those that no policy can open. */
void groups_each_boundary(void (*visit)(void *user, const ln_prefix *prefix), void *user);

#endif
