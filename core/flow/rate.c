/* Token buckets over an injected clock. */
#include "flow/rate.h"

#include "base/timer.h"

__extension__ typedef unsigned __int128 wide; /* tokens times nanoseconds */

enum {
    GATHER_MS = 2,      /* what is passed on in one go */
    HOLD_LEAST_MS = 20, /* beside the burst, a bucket holds what comes in refill_ms, but no less
                         than this, so that none is lost between two looks, */
    HOLD_MOST_MS = 200  /* and no more, so that ten seconds after a silence are no faster by more
                           than  a fiftieth */
};

/* Tokens that come in a time. */
static uint64_t tokens_in(const struct rate_bucket *b, uint64_t ns)
{
    return (uint64_t)((wide)ns * b->size / b->refill_ns);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* `packet`: tokens that one packet takes. */
static uint64_t quantum(const struct rate_bucket *b, uint64_t packet)
{
    return larger(packet, tokens_in(b, GATHER_MS * MS_NS));
}

static void bucket_init(struct rate_bucket *b, const ln_bucket *from, uint64_t packet,
                        uint64_t now_ns)
{
    *b = (struct rate_bucket){
        .size = from->size, .refill_ns = from->refill_ms * MS_NS, .credited_ns = now_ns};
    if (b->size == 0) {
        return;
    }
    uint64_t hold_ms = larger(from->refill_ms, HOLD_LEAST_MS);
    hold_ms = hold_ms < HOLD_MOST_MS ? hold_ms : HOLD_MOST_MS;
    b->most = (int64_t)larger(from->burst + tokens_in(b, hold_ms * MS_NS), 2 * packet);
    b->tokens = (int64_t)(from->burst + quantum(b, packet));
    b->tokens = b->tokens < b->most ? b->tokens : b->most;
}

void rate_init(struct rate *rate, const ln_bucket *bytes, const ln_bucket *packets, uint64_t now_ns)
{
    bucket_init(&rate->bytes, bytes, RATE_PACKET, now_ns);
    bucket_init(&rate->packets, packets, 1, now_ns);
}

bool rate_is_limited(const struct rate *rate)
{
    return rate->bytes.size != 0 || rate->packets.size != 0;
}

/* The time that `tokens` take to come. */
static uint64_t time_of(const struct rate_bucket *b, uint64_t tokens)
{
    return (uint64_t)(((wide)tokens * b->refill_ns + b->size - 1) / b->size);
}

static void credit(struct rate_bucket *b, uint64_t now_ns)
{
    uint64_t lacking = (uint64_t)(b->most - b->tokens);
    if (b->size == 0 || now_ns <= b->credited_ns) {
        return;
    }
    if (now_ns - b->credited_ns >= time_of(b, lacking)) {
        b->tokens = b->most;
        b->credited_ns = now_ns;
        return;
    }
    uint64_t tokens = tokens_in(b, now_ns - b->credited_ns);
    b->tokens += (int64_t)tokens;
    /* What is left of the time makes part of the next token. */
    b->credited_ns += (uint64_t)((wide)tokens * b->refill_ns / b->size);
}

bool rate_is_open(struct rate *rate, uint64_t now_ns)
{
    credit(&rate->bytes, now_ns);
    credit(&rate->packets, now_ns);
    return rate->bytes.tokens >= 0 && rate->packets.tokens >= 0;
}

static uint64_t room_in(const struct rate_bucket *b)
{
    return b->size == 0 ? UINT64_MAX : b->tokens > 0 ? (uint64_t)b->tokens : 0;
}

uint64_t rate_room(struct rate *rate, uint32_t packet, uint64_t now_ns)
{
    (void)rate_is_open(rate, now_ns);
    uint64_t bytes = room_in(&rate->bytes), packets = room_in(&rate->packets);
    if (bytes < (packet < RATE_PACKET ? packet : RATE_PACKET) || packets == 0) {
        return 0;
    }
    uint64_t of_packets = packets > UINT64_MAX / packet ? UINT64_MAX : packets * packet;
    return bytes < of_packets ? bytes : of_packets;
}

static void take(struct rate_bucket *b, uint64_t tokens)
{
    if (b->size != 0) {
        b->tokens -= (int64_t)tokens;
    }
}

void rate_take(struct rate *rate, uint64_t bytes, uint64_t packets)
{
    take(&rate->bytes, bytes);
    take(&rate->packets, packets);
}

static uint64_t ready_ns(const struct rate_bucket *b, uint64_t packet, uint64_t now_ns)
{
    int64_t wanted = (int64_t)quantum(b, packet);
    return b->tokens >= wanted ? now_ns
                               : b->credited_ns + time_of(b, (uint64_t)(wanted - b->tokens));
}

uint64_t rate_ready_ns(struct rate *rate, uint64_t now_ns)
{
    (void)rate_is_open(rate, now_ns);
    uint64_t bytes = rate->bytes.size == 0 ? now_ns : ready_ns(&rate->bytes, RATE_PACKET, now_ns);
    uint64_t packets = rate->packets.size == 0 ? now_ns : ready_ns(&rate->packets, 1, now_ns);
    return larger(bytes, packets);
}
