/* A relay of bytes that are no HTTP: they pass unchanged, and are looked at before they go up. */
#ifndef LN_NET_OPAQUE_RELAY_H
#define LN_NET_OPAQUE_RELAY_H

#include "http/relay.h"

/* Whether bytes of the guest may go up: 0, or -errno when both connections are to be reset. */
typedef int opaque_look_fn(void *user, const uint8_t *data, size_t len);

/* `user` has to outlive it. Returns 0 or -ENOMEM. */
int opaque_relay_new(opaque_look_fn *look, void *user, struct http_relay **ret);

#endif
