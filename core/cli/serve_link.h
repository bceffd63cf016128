/* The links of `lunette serve`: what one is asked for as, and what becomes of it. */
#ifndef LN_CLI_SERVE_LINK_H
#define LN_CLI_SERVE_LINK_H

#include "cli/transport_tap.h"
#include "cli/transport_unix.h"

enum link_kind { LINK_STREAM, LINK_DGRAM, LINK_TAP, LINK_PID, LINK_FD };

/* As asked for. */
struct link_spec {
    enum link_kind kind;
    const char *name; /* a socket's path, or an interface's name; NULL: none was given */
    uint32_t number;  /* a process, or a descriptor */
};

struct serve_link {
    struct link_spec spec;
    union {
        struct transport transport;
        struct tap tap;
        struct stream stream;
        struct dgram dgram;
    };
};

/* Opens it, but for that of a process. Returns 0, or -errno after saying what is wrong. */
int serve_link_open(struct serve_link *link);
/* Opens that of a process, now that the guest's addresses are known; does nothing for others.
 * Returns likewise. */
int serve_link_join(struct serve_link *link, const ln_link *addresses);
/* LN_OFFLOAD_* of one that is open, or of a process. */
uint32_t serve_link_offloads(const struct serve_link *link);
/* The guest's name of its interface, as far as it is known here. */
const char *serve_link_interface(const struct serve_link *link);
/* The path of the socket that was bound, or NULL. */
const char *serve_link_socket(const struct serve_link *link);

#endif
