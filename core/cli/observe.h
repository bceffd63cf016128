/* `--observe`: what a guest did, as the least policy that allows it. A consumer of events: it
 * decides nothing. */
#ifndef LN_CLI_OBSERVE_H
#define LN_CLI_OBSERVE_H

#include <stdbool.h>
#include <stdio.h>

#include "lunette/gateway.h"

struct observer;

/* `link` names the resolver that is the gateway itself. Returns 0 or -ENOMEM. */
int observer_new(const ln_link *link, struct observer **ret);
/* Takes NULL, returns NULL. */
struct observer *observer_free(struct observer *observer);
/* Takes note of an event. What there is no room for is counted, and told in the policy. */
void observer_take(struct observer *observer, const ln_event *event);

struct observe_style {
    const char *policy; /* under which it was observed, for the heading */
    bool suffixes;      /* several names of a registrable domain become its suffix */
};

/* Writes the policy: Lua text, the same for the same events but for the times told in comments.
 * *ret_rules is how many rules it has. Returns 0 or -ENOMEM. */
int observer_write(const struct observer *observer, const struct observe_style *style, FILE *out,
                   size_t *ret_rules);

#endif
