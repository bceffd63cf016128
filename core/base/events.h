/* Where every stage tells what happened: counts it, stamps it, hands it to the host. */
#ifndef LN_BASE_EVENTS_H
#define LN_BASE_EVENTS_H

#include "lunette/event.h"

struct events {
    /* Returns 0, or negative when it could not take the event, which is then lost. NULL: nobody
     * listens. */
    int (*sink)(void *user, const ln_event *event);
    void *user;
    uint64_t (*wall_ms)(void *user); /* milliseconds since 1970; NULL: the system's clock */
    uint64_t counts[LN_EVENT_KINDS]; /* told or lost */
    uint64_t lost;                   /* of them */
    uint64_t untold;                 /* lost since the last one that got through */
};

/* Stamps `event` (size, time_ms, lost) and tells it. */
void events_tell(struct events *events, ln_event *event);

#endif
