/* The loop: one epoll set, one timerfd, one descriptor for the embedder.
 *
 * The epoll descriptor is readable exactly when loop_dispatch() has work. Timers use the injected
 * clock; the timerfd only wakes us. */
#ifndef LN_NET_LOOP_H
#define LN_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/host.h"
#include "base/timer.h"

#define LOOP_BATCH 64

struct watch; /* embed it in the owner */
typedef void watch_fn(struct watch *watch, uint32_t events);

struct watch {
    int fd; /* -1: not watched */
    watch_fn *ready;
};

struct loop {
    int epoll_fd, timer_fd;
    struct timers timers;
    struct host_services services;
    uint64_t now_ns;      /* the clock as of this turn */
    uint64_t armed_ns;    /* what the timerfd is set to */
    struct watch **batch; /* being dispatched, so that loop_unwatch() can take one out */
    int batch_len;
    int batch_max; /* watches that are called in one turn, at most LOOP_BATCH */
};

int loop_init(struct loop *loop, const struct host_services *services);
void loop_fini(struct loop *loop);
/* `events` as for epoll, EPOLLET included. Returns 0 or -errno. The watch must stay where it is
 * until unwatched. */
int loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events);
int loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events);
/* Safe from any callback, also for a watch whose event is pending in this turn. Does not close the
 * descriptor. */
void loop_unwatch(struct loop *loop, struct watch *watch);
/* Makes the epoll descriptor readable when the next timer is due, where timers were set since the
 * last dispatch. */
void loop_arm(struct loop *loop);
/* Makes the epoll descriptor readable, so that the next dispatch comes at once. */
void loop_wake(struct loop *loop);
/* Waits up to `timeout_ms` (-1: for ever, 0: not at all), then runs ready watches and due timers.
 * Returns how many ran, or -errno. */
int loop_dispatch(struct loop *loop, int timeout_ms);
/* Updates and returns now_ns. */
uint64_t loop_now(struct loop *loop);

#endif
