/* Published ports: servers of the guest that the machine's own network can reach.
 *
 * A port of the machine is bound for each binding of the policy. Who calls it is judged by the
 * ingress rules, by the caller's own address, before the guest hears of it; a TCP caller that is
 * refused is reset right after the kernel has answered it, for there is no way to refuse a
 * connection before it is accepted. The guest sees the caller's address; callers whose address has
 * no meaning to it (the machine's loopback, link-local ones, those of its own link) appear as the
 * gateway. */
#ifndef LN_NET_PUBLISH_H
#define LN_NET_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/gateway.h"

struct publication; /* one bound port */

/* The way back to whoever sent a datagram. */
struct publish_route {
    ln_addr caller, local; /* `local`: which of the machine's addresses was called */
    uint32_t scope_id;     /* of a link-local caller: the interface */
    uint16_t port;
};

/* Binds the ports of `policy` that are not bound yet. Returns 0 and their list, or a negative errno
 * with *reterr naming the binding and the port. */
int publish_prepare(ln_gateway *gw, const ln_policy *policy, struct publication **ret,
                    ln_error *reterr);
/* Takes up what was prepared. Ports that `policy` no longer has are withdrawn: they take no call
 * more. */
void publish_reload(ln_gateway *gw, const ln_policy *policy, struct publication *added);
bool publish_is_withdrawn(const struct publication *publication);
/* Once no flow is of them. */
void publish_forget_withdrawn(ln_gateway *gw);
void publish_free(struct publication *list);
/* Once a second: listens again where the machine was out of descriptors. */
void publish_tick(ln_gateway *gw);
/* Answers a caller with a datagram. Returns 0 or -errno. */
int publish_send(const struct publication *publication, const struct publish_route *route,
                 const uint8_t *data, size_t len);

#endif
