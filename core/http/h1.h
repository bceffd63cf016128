/* The relay of HTTP/1.1 and HTTP/1.0 (RFC 9112). */
#ifndef LN_HTTP_H1_H
#define LN_HTTP_H1_H

#include "http/relay.h"

/* A relay for one connection. `filter` and `user` have to outlive it. Returns 0 and writes *ret,
 * to be freed by http_relay_free(); or -ENOMEM. */
int http1_relay_new(const struct http_relay_settings *settings,
                    const struct http_filter_ops *filter, void *user, struct http_relay **ret);

#endif
