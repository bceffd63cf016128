/* The flows of a gateway as JSON: all, those that match, or those with the most bytes. */
#ifndef LN_CLI_FLOW_LIST_H
#define LN_CLI_FLOW_LIST_H

#include "cli/json.h"
#include "lunette/gateway.h"

#define FLOW_TOP_MAX 100u

struct flow_filter {
    uint32_t top; /* how many, those with the most bytes of both directions first; 0: all */
    enum { FLOW_ANY, FLOW_BY_PORT, FLOW_BY_NETWORK, FLOW_BY_NAME } by;
    uint16_t port;              /* of either side */
    ln_prefix network;          /* that the peer or the guest is in */
    char name[LN_NAME_MAX + 1]; /* that was shown, or resolved to the peer */
    bool below;                 /* every name below it, at any depth; else exactly it */
};

/* "[top=N] [PORT | ADDRESS | NETWORK | NAME | .SUFFIX]". Returns 0 or -EINVAL. */
int flow_filter_parse(const char *text, struct flow_filter *ret);
/* Writes a JSON list. */
void flow_list_write(ln_gateway *gw, const struct flow_filter *filter, struct json *json);

#endif
