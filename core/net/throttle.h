/* rate_limit and budget: connections wait for their share, datagrams over it are dropped; what is
 * over the budget ends them all (budget.c). */
#ifndef LN_NET_THROTTLE_H
#define LN_NET_THROTTLE_H

#include "base/timer.h"
#include "flow/rate.h"
#include "lunette/gateway.h"

/* A connection that waits in a lane. Embed it, zeroed, in its owner. */
struct throttled {
    struct throttled *next, **at; /* at NULL: it does not wait */
};

/* One direction of a guest's traffic. */
struct lane {
    ln_gateway *gw;
    struct rate rate;
    struct timer timer;
    struct throttled *first, **end; /* who waits, longest first */
    void (*resume)(struct throttled *throttled);
    uint64_t used;   /* bytes of payload that have passed */
    uint64_t budget; /* how many may; 0: any number */
};

/* `resume` is called when a connection that waited may go on; it may end it. */
void lane_start(struct lane *lane, ln_gateway *gw, void (*resume)(struct throttled *throttled));
/* Takes up new limits; what waits goes on soon. */
void lane_limit(struct lane *lane, const ln_bucket *bytes, const ln_bucket *packets,
                uint64_t budget);
void lane_stop(struct lane *lane);
/* Lets go on who may. Once a second, beside the timer. */
void lane_resume(struct lane *lane);
/* How many bytes of a connection may pass now, in packets of `packet` bytes. When there are fewer
 * than `wanted`, the connection waits for more. UINT64_MAX: no limit. */
uint64_t lane_room(struct lane *lane, struct throttled *throttled, uint32_t packet,
                   uint64_t wanted);
/* Whether a connection may pass a segment, of whatever size; if not, it waits. */
bool lane_is_open(struct lane *lane, struct throttled *throttled);
/* Bytes of a connection that have passed, in packets of `packet` bytes. */
void lane_take(struct lane *lane, uint64_t bytes, uint32_t packet);
void lane_forget(struct lane *lane, struct throttled *throttled);
/* How much of `wanted` is within the budget. */
static inline uint64_t lane_within(const struct lane *lane, uint64_t wanted)
{
    uint64_t left = lane->budget == 0           ? wanted
                    : lane->used < lane->budget ? lane->budget - lane->used
                                                : 0;
    return wanted < left ? wanted : left;
}
/* Payload of a connection that passes for the first time. */
static inline void lane_spend(struct lane *lane, uint64_t bytes)
{
    lane->used += bytes;
}
/* Whether a datagram of `bytes` passes; if not, it is counted as dropped. One that the budget has
 * no room for uses it up. */
bool lane_passes(struct lane *lane, uint64_t bytes);

#endif
