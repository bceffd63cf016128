/* The first bytes of a client, and the name that they show. */
#ifndef LN_NET_FIRST_FLIGHT_H
#define LN_NET_FIRST_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/request_head.h"
#include "lunette/policy.h"
#include "tls/client_hello.h"

enum first_flight {
    FIRST_FLIGHT_PARTIAL, /* undecided: more bytes are needed */
    FIRST_FLIGHT_NAMED,   /* TLS SNI or HTTP Host */
    FIRST_FLIGHT_UNNAMED, /* another protocol, or no name in it */
    FIRST_FLIGHT_BAD      /* a shape in which a name could hide */
};

/* How far a first flight was read. Zero-initialise to start. */
struct first_flight_view {
    bool is_tls;  /* it is, or may become, a ClientHello, which has larger limits */
    bool is_http; /* it is none */
    union {
        struct client_hello_view hello;
        struct request_head_view head;
    };
};

/* Looks at the first `len` bytes of a client. Call it again with the same bytes and more of them
 * while it is FIRST_FLIGHT_PARTIAL: the work is proportional to what is new. For
 * FIRST_FLIGHT_NAMED, `name` is canonical and *ret_is_host tells Host from SNI. */
enum first_flight first_flight_look(struct first_flight_view *view, const uint8_t *data, size_t len,
                                    char name[LN_NAME_MAX + 1], bool *ret_is_host);

#endif
