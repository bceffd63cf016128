/* rate_limit, and the counting for budgets.
 *
 * Theory of operation. A connection that finds no room waits in its lane's queue; the window that
 * the guest is offered stays closed, or the bytes for it stay in the host's socket. One timer is
 * set to when there will be room. Then connections go on in their order until it is used up, and
 * whoever wants more waits behind the others again. */
#include "net/throttle.h"

#include <stddef.h>

#include "net/gateway.h"

/* Not sooner than in 2 ms: who finds the room too small for its purpose asks again and again. */
static void arm(struct lane *lane)
{
    uint64_t soonest_ns = lane->gw->loop.now_ns + 2 * MS_NS;
    uint64_t ready_ns = rate_ready_ns(&lane->rate, lane->gw->loop.now_ns);
    /* Where that fails for want of memory, the tick does it. */
    (void)timer_set(&lane->gw->loop.timers, &lane->timer,
                    lane->first == NULL     ? TIMER_NEVER
                    : ready_ns > soonest_ns ? ready_ns
                                            : soonest_ns);
}

void lane_forget(struct lane *lane, struct throttled *throttled)
{
    if (throttled->at == NULL) {
        return;
    }
    *throttled->at = throttled->next;
    *(throttled->next != NULL ? &throttled->next->at : &lane->end) = throttled->at;
    throttled->at = NULL;
}

static void wait(struct lane *lane, struct throttled *throttled)
{
    if (throttled->at != NULL) {
        return;
    }
    throttled->next = NULL;
    throttled->at = lane->end;
    *lane->end = throttled;
    lane->end = &throttled->next;
    if (lane->first == throttled) {
        arm(lane);
    }
}

/* Each of those that wait now is let go on once, at most. */
void lane_resume(struct lane *lane)
{
    uint64_t now_ns = lane->gw->loop.now_ns;
    struct throttled *last =
        lane->first == NULL
            ? NULL
            : (struct throttled *)(void *)((char *)lane->end - offsetof(struct throttled, next));
    for (bool more = last != NULL; more && lane->first != NULL;) {
        struct throttled *next = lane->first;
        if (!rate_is_open(&lane->rate, now_ns)) {
            break;
        }
        more = next != last;
        lane_forget(lane, next);
        lane->resume(next);
    }
    arm(lane);
}

static void fire(struct timer *timer, uint64_t now_ns)
{
    (void)now_ns;
    lane_resume((struct lane *)(void *)((char *)timer - offsetof(struct lane, timer)));
}

void lane_start(struct lane *lane, ln_gateway *gw, void (*resume)(struct throttled *throttled))
{
    *lane = (struct lane){.gw = gw, .timer.fire = fire, .resume = resume};
    lane->end = &lane->first;
}

void lane_limit(struct lane *lane, const ln_bucket *bytes, const ln_bucket *packets,
                uint64_t budget)
{
    lane->budget = budget;
    rate_init(&lane->rate, bytes, packets, lane->gw->loop.now_ns);
    arm(lane);
}

void lane_stop(struct lane *lane)
{
    if (lane->gw != NULL) {
        timer_cancel(&lane->gw->loop.timers, &lane->timer);
    }
}

uint64_t lane_room(struct lane *lane, struct throttled *throttled, uint32_t packet, uint64_t wanted)
{
    if (!rate_is_limited(&lane->rate)) {
        return UINT64_MAX;
    }
    uint64_t room =
        rate_room(&lane->rate, packet == 0 ? RATE_PACKET : packet, lane->gw->loop.now_ns);
    if (room < wanted) {
        wait(lane, throttled);
    }
    return room;
}

bool lane_is_open(struct lane *lane, struct throttled *throttled)
{
    if (!rate_is_limited(&lane->rate) || rate_is_open(&lane->rate, lane->gw->loop.now_ns)) {
        return true;
    }
    wait(lane, throttled);
    return false;
}

void lane_take(struct lane *lane, uint64_t bytes, uint32_t packet)
{
    packet = packet == 0 ? RATE_PACKET : packet;
    rate_take(&lane->rate, bytes, (bytes + packet - 1) / packet);
}

bool lane_passes(struct lane *lane, uint64_t bytes)
{
    if (rate_is_limited(&lane->rate) && !rate_is_open(&lane->rate, lane->gw->loop.now_ns)) {
        gateway_drop(lane->gw, DROP_RATE);
        return false;
    }
    if (lane_within(lane, bytes) < bytes) {
        lane->used += lane_within(lane, bytes);
        gateway_drop(lane->gw, DROP_LIMIT);
        return false;
    }
    rate_take(&lane->rate, bytes, 1);
    lane_spend(lane, bytes);
    return true;
}
