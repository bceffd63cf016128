/* Timers over an injected clock: a binary heap of deadlines that live in their owners' structs.
 *
 * timer_set() to a later time costs one store: the heap keeps the earlier deadline and re-files the
 * timer when that comes up, because most timeouts of a network are pushed back far more often than
 * they fire. */
#ifndef LN_BASE_TIMER_H
#define LN_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX
#define MS_NS       UINT64_C(1000000)
#define SECOND_NS   UINT64_C(1000000000)

struct timer {
    uint64_t due_ns;   /* when it is to fire; TIMER_NEVER: not set */
    uint64_t filed_ns; /* the heap's key, never later than due_ns */
    uint32_t slot;     /* place in the heap + 1; 0: not in it */
    void (*fire)(struct timer *timer, uint64_t now_ns);
};

struct timers { /* zero-initialise to start */
    struct timer **heap;
    uint32_t count, capacity;
};

/* (Re-)arms. Returns 0 or -ENOMEM (then it is not armed). */
int timer_set(struct timers *timers, struct timer *timer, uint64_t due_ns);
void timer_cancel(struct timers *timers, struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->slot != 0 && timer->due_ns != TIMER_NEVER;
}
/* Earliest time at which timers_run() may have work; TIMER_NEVER when none. */
uint64_t timers_next(const struct timers *timers);
/* Fires all that are due, earliest first. A timer may set or cancel any timer. */
void timers_run(struct timers *timers, uint64_t now_ns);
void timers_free(struct timers *timers);

#endif
