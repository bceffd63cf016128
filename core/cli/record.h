/* An event read back from its JSON form: a line of `--events`. */
#ifndef LN_CLI_RECORD_H
#define LN_CLI_RECORD_H

#include "base/arena.h"
#include "lunette/event.h"
#include "lunette/policy.h"

/* Strings and addresses are in the arena. What a field of the kind is missing for is refused by
 * record_read(), so those of flows and queries are there. */
struct record {
    ln_event_kind kind; /* LN_EVENT_KINDS: one that this version does not know */
    const char *time;
    ln_protocol protocol;
    ln_direction direction;
    ln_addr src, dst;
    uint16_t port;
    const char *name;          /* NULL: none */
    bool name_shown;           /* by the client; else the address was resolved from it */
    const char *type;          /* of a query; NULL: none */
    const char *method, *path; /* of a request */
    ln_action action;
    const char *reason; /* "": none */
    ln_addr *addresses;
    size_t n_addresses;
};

/* Whether it is a flow's opening or refusal, is about a query, or about a request. */
bool record_is_request(const struct record *record);
bool record_is_flow(const struct record *record);
bool record_is_query(const struct record *record);

/* Reads one line of `len` bytes, without its end. Returns 0; -EINVAL with a static *ret_why; or
 * -ENOMEM. */
int record_read(struct arena *arena, const char *line, size_t len, struct record *ret,
                const char **ret_why);

#endif
