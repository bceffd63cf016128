/* What is said to an upstream proxy before a connection goes through it: SOCKS5 (RFC 1928, with
 * user and password of RFC 1929) or HTTP CONNECT (RFC 9110 section 9.3.6). An engine without I/O:
 * bytes in, bytes out. The proxy is not trusted: it can end the connection, and no more. */
#ifndef LN_NET_PROXY_HANDSHAKE_H
#define LN_NET_PROXY_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#include "lunette/policy.h"

#define PROXY_ANSWER_MAX 8192u /* bytes of the longest answer, a response head of HTTP */

struct proxy_target {
    ln_addr addr;
    const char *name; /* canonical: asked for in the place of the address; NULL: the address is */
    uint16_t port;
};

struct proxy_handshake;

/* Begins. What it needs of `proxy` and `target` is copied. Returns 0 or -ENOMEM. */
int proxy_handshake_new(const ln_proxy *proxy, const struct proxy_target *target,
                        struct proxy_handshake **ret);
/* Wipes the credentials. Takes NULL. */
void proxy_handshake_free(struct proxy_handshake *h);

/* What is to be sent now; *ret_len 0: nothing. Borrowed until the next call. */
const uint8_t *proxy_handshake_output(const struct proxy_handshake *h, size_t *ret_len);
/* `len` bytes of it were. */
void proxy_handshake_sent(struct proxy_handshake *h, size_t len);

/* Takes the `len` bytes that were received and not taken yet. *ret_taken: how many of them belong
 * to the handshake and are over; what follows the last answer is the connection's. Returns 1 when
 * the connection is through, 0 when more is to be sent or received, or a negative errno: what a
 * socket that is connected directly would have failed with; -EPROTO: it is the proxy that failed,
 * see proxy_handshake_fault(). `len` is never more than PROXY_ANSWER_MAX. */
int proxy_handshake_input(struct proxy_handshake *h, const uint8_t *data, size_t len,
                          size_t *ret_taken);
/* After -EPROTO, a stable word: "proxy_auth" (it wants other credentials), "proxy_protocol" (it
 * does not speak as it should). */
const char *proxy_handshake_fault(const struct proxy_handshake *h);

#endif
