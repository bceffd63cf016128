/* Who is who on the link, by slot, and which addresses and default routes the machine has. */
#ifndef LN_NET_ADDRESSING_H
#define LN_NET_ADDRESSING_H

#include "lunette/policy.h"
#include "packet/packet.h"

/* Fills MACs, addresses and prefixes of slot `slot`: the pools' slot-th /30 and /64, gateway first,
 * guest second. Returns 0, or -ERANGE with *ret_field naming the pool ("ipv4_pool") that has no
 * such subnet. */
int addressing_assign(const ln_settings *settings, uint32_t slot, struct link_identity *ret,
                      const char **ret_field);

/* The addresses that make the group `host`: the two of the gateway, then every address assigned to
 * an interface of this machine. On success *addrs (NULL or from an earlier call) is replaced, and
 * *n_addrs set. Returns 0 or -errno. */
int machine_addresses(const struct link_identity *link, ln_addr **addrs, size_t *n_addrs);

/* The same as the group `host` of a policy whose gateway is at slot 0, for those who judge without
 * a gateway. *addrs is as for machine_addresses(), and what ret->addrs points to. Returns 0 or
 * -errno. */
int addressing_host(const ln_settings *settings, ln_addr **addrs, ln_host_addrs *ret);

/* Whether the machine has a route to the Internet of the family. No packet is sent. */
bool machine_has_route(bool v6);

#endif
