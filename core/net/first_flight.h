/* The first bytes of a client, and the name that they show. */
#ifndef LN_NET_FIRST_FLIGHT_H
#define LN_NET_FIRST_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/policy.h"

enum first_flight {
    FIRST_FLIGHT_PARTIAL, /* undecided: more bytes are needed */
    FIRST_FLIGHT_NAMED,   /* TLS SNI or HTTP Host */
    FIRST_FLIGHT_UNNAMED, /* another protocol, or no name in it */
    FIRST_FLIGHT_BAD      /* a shape in which a name could hide */
};

/* Looks at what a client sent so far. For FIRST_FLIGHT_NAMED, `name` is canonical and *ret_is_host
 * tells Host from SNI. *ret_is_tls: it is, or may become, a ClientHello, which has larger limits.
 */
enum first_flight first_flight_view(const uint8_t *data, size_t len, char name[LN_NAME_MAX + 1],
                                    bool *ret_is_host, bool *ret_is_tls);

#endif
