/* Where every stage tells what happened: counts it, stamps it, hands it to the host. */
#ifndef LN_BASE_EVENTS_H
#define LN_BASE_EVENTS_H

#include "lunette/event.h"

struct events {
    void (*sink)(void *user, const ln_event *event); /* NULL: nobody listens */
    void *user;
    uint64_t (*wall_ms)(void *user); /* milliseconds since 1970; NULL: the system's clock */
    uint64_t counts[LN_EVENT_KINDS];
};

/* Stamps `event` (size, time_ms) and tells it. */
void events_tell(struct events *events, ln_event *event);

#endif
