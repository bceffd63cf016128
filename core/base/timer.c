/* Timers over an injected clock: a binary heap keyed by filed_ns, re-filed lazily. */
#include "base/timer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void place(struct timers *timers, uint32_t at, struct timer *timer)
{
    timers->heap[at] = timer;
    timer->slot = at + 1;
}

static void sift_up(struct timers *timers, uint32_t at)
{
    struct timer *timer = timers->heap[at];
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (timers->heap[parent]->filed_ns <= timer->filed_ns) {
            break;
        }
        place(timers, at, timers->heap[parent]);
        at = parent;
    }
    place(timers, at, timer);
}

static void sift_down(struct timers *timers, uint32_t at)
{
    struct timer *timer = timers->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= timers->count) {
            break;
        }
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->filed_ns < timers->heap[child]->filed_ns) {
            child++;
        }
        if (timer->filed_ns <= timers->heap[child]->filed_ns) {
            break;
        }
        place(timers, at, timers->heap[child]);
        at = child;
    }
    place(timers, at, timer);
}

int timer_set(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
    if (timer->slot != 0) {
        timer->due_ns = due_ns;
        if (due_ns < timer->filed_ns) {
            timer->filed_ns = due_ns;
            sift_up(timers, timer->slot - 1);
        }
        return 0;
    }
    if (due_ns == TIMER_NEVER) {
        timer->due_ns = TIMER_NEVER;
        return 0;
    }
    if (timers->count == timers->capacity) {
        uint32_t capacity = timers->capacity == 0 ? 64 : timers->capacity * 2;
        struct timer **heap = realloc(timers->heap, capacity * sizeof(struct timer *));
        if (heap == NULL) {
            return -ENOMEM;
        }
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timer->due_ns = timer->filed_ns = due_ns;
    timers->count++;
    place(timers, timers->count - 1, timer);
    sift_up(timers, timers->count - 1);
    return 0;
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
    timer->due_ns = TIMER_NEVER;
    if (timer->slot == 0) {
        return;
    }
    uint32_t at = timer->slot - 1;
    assert(timers->heap[at] == timer);
    timer->slot = 0;
    struct timer *last = timers->heap[--timers->count];
    if (last != timer) {
        place(timers, at, last);
        sift_up(timers, at);
        sift_down(timers, last->slot - 1);
    }
}

uint64_t timers_next(const struct timers *timers)
{
    return timers->count == 0 ? TIMER_NEVER : timers->heap[0]->filed_ns;
}

void timers_run(struct timers *timers, uint64_t now_ns)
{
    while (timers->count > 0 && timers->heap[0]->filed_ns <= now_ns) {
        struct timer *timer = timers->heap[0];
        uint64_t due_ns = timer->due_ns;
        if (due_ns > now_ns && due_ns != TIMER_NEVER) {
            timer->filed_ns = due_ns;
            sift_down(timers, 0);
            continue;
        }
        timer_cancel(timers, timer);
        if (due_ns != TIMER_NEVER) {
            timer->fire(timer, now_ns);
        }
    }
}

void timers_free(struct timers *timers)
{
    for (uint32_t i = 0; i < timers->count; i++) {
        timers->heap[i]->slot = 0;
    }
    free(timers->heap);
    *timers = (struct timers){0};
}
