/* Token buckets: how fast one direction of a guest's traffic may go, in bytes and in packets.
 *
 * A bucket may go into debt: what has begun passes whole, however large a segment is, and what
 * follows waits until the debt is paid. So the average is exact for packets of any size. */
#ifndef LN_FLOW_RATE_H
#define LN_FLOW_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lunette/policy.h"

#define RATE_PACKET 1500u /* bytes: of a packet, where its size is not known yet */

struct rate_bucket {
    uint64_t size, refill_ns; /* tokens a time; size 0: no limit */
    int64_t tokens, most;     /* negative: debt */
    uint64_t credited_ns;     /* up to when tokens were given */
};

struct rate {
    struct rate_bucket bytes, packets;
};

/* Starts with the bursts, and a few packets. */
void rate_init(struct rate *rate, const ln_bucket *bytes, const ln_bucket *packets,
               uint64_t now_ns);
/* Whether anything is limited. */
bool rate_is_limited(const struct rate *rate);
/* Whether one packet more may pass, of whatever size: nothing is owed. */
bool rate_is_open(struct rate *rate, uint64_t now_ns);
/* How many bytes may pass without a debt, in packets of `packet` bytes; 0 where it would be less
 * than an ordinary packet. UINT64_MAX: no limit. */
uint64_t rate_room(struct rate *rate, uint32_t packet, uint64_t now_ns);
/* What has passed. */
void rate_take(struct rate *rate, uint64_t bytes, uint64_t packets);
/* When it is worth while to look again: there is room for a packet, and for what comes in 2 ms. */
uint64_t rate_ready_ns(struct rate *rate, uint64_t now_ns);

#endif
