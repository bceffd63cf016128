/* DNS over TLS (RFC 7858) in an intercepted connection: a relay like those of HTTP, in which each
 * query is judged before it goes on to the resolver that the guest chose, and each answer before it
 * goes back, as on port 53. */
#ifndef LN_NET_DOT_RELAY_H
#define LN_NET_DOT_RELAY_H

#include "dns/server.h"
#include "http/relay.h"
#include "net/gateway.h"

/* `asker` is copied; asker->claimed must outlive the relay. `changed` is called when time alone
 * changed something that the caller has to act upon; not from inside the relay's own functions.
 * Returns 0 or -ENOMEM. */
int dot_relay_new(ln_gateway *gw, const struct dns_asker *asker, void (*changed)(void *user),
                  void *user, struct http_relay **ret);

#endif
