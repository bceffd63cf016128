/* rate_limit: connections wait for their share, datagrams over it are dropped. */
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
};

/* `resume` is called when a connection that waited may go on; it may end it. */
void lane_start(struct lane *lane, ln_gateway *gw, void (*resume)(struct throttled *throttled));
/* Takes up new limits; what waits goes on soon. */
void lane_limit(struct lane *lane, const ln_bucket *bytes, const ln_bucket *packets);
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
/* Whether a datagram of `bytes` passes; if not, it is counted as dropped. */
bool lane_passes(struct lane *lane, uint64_t bytes);

#endif
