/* What no policy opens to a guest beside the never-list: lunette's own endpoints on this machine,
 * which the group `host` would lead to, and its upstream proxy, which asks no policy. */
#include <netinet/in.h>

#include "net/gateway.h"

static bool is_unspecified(const ln_addr *addr)
{
    static const ln_addr any6;
    return ln_addr_equal(addr, &any6) || (ln_addr_is_v4(addr) && ln_addr_to_v4(addr) == INADDR_ANY);
}

/* The gateway's address leads to the machine's loopback. */
static bool leads_to(const ln_gateway *gw, const ln_addr *peer, const ln_addr *addr)
{
    if (is_unspecified(addr)) {
        return ln_addr_group(peer, &gw->admission.host) == LN_GROUP_HOST;
    }
    return ln_addr_equal(peer, addr) ||
           (ln_addr_group(addr, NULL) == LN_GROUP_LOOPBACK && link_is_gateway(&gw->link, peer));
}

/* A proxy on this machine may listen at all of its addresses, whichever the policy names. */
static bool leads_to_proxy(const ln_gateway *gw, const struct flow_key *key)
{
    const ln_proxy *proxy = &ln_policy_settings(gw->admission.policy)->proxy;
    if (proxy->kind == LN_PROXY_NONE || proxy->endpoint.port != key->peer_port) {
        return false;
    }
    ln_group group = ln_addr_group(&gw->proxy, &gw->admission.host);
    bool here = group == LN_GROUP_HOST || group == LN_GROUP_LOOPBACK;
    return leads_to(gw, &key->peer, &gw->proxy) ||
           (here && ln_addr_group(&key->peer, &gw->admission.host) == LN_GROUP_HOST);
}

bool gateway_is_guarded(const ln_gateway *gw, const struct flow_key *key)
{
    if (key->ip_protocol != IPPROTO_TCP) {
        return false;
    }
    if (leads_to_proxy(gw, key)) {
        return true;
    }
    for (unsigned i = 0; i < gw->n_guarded; i++) {
        if (gw->guarded[i].port == key->peer_port &&
            leads_to(gw, &key->peer, &gw->guarded[i].addr)) {
            return true;
        }
    }
    return false;
}
