/* The loop: level- or edge-triggered epoll behind one descriptor, with a timerfd for the embedder's
 * poll.
 *
 * Theory of operation. A turn is: wait, take the batch of ready watches, call each, then run due
 * timers, then set the timerfd to the earliest deadline when that moved. A callback may unwatch any
 * watch: it is struck from the rest of the batch, so that no callback runs on an owner that is
 * gone. */
#include "net/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int loop_init(struct loop *loop, const struct host_services *services)
{
    *loop = (struct loop){
        .services = *services, .armed_ns = TIMER_NEVER, .timer_fd = -1, .batch_max = LOOP_BATCH};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        return -errno;
    }
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->timer_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) != 0) {
        int err = -errno;
        loop_fini(loop);
        return err;
    }
    loop_now(loop);
    return 0;
}

void loop_fini(struct loop *loop)
{
    if (loop->timer_fd >= 0) {
        close(loop->timer_fd);
    }
    if (loop->epoll_fd >= 0) {
        close(loop->epoll_fd);
    }
    loop->timer_fd = loop->epoll_fd = -1;
    timers_free(&loop->timers);
}

uint64_t loop_now(struct loop *loop)
{
    loop->now_ns = loop->services.now_ns(loop->services.user);
    return loop->now_ns;
}

int loop_watch(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return -errno;
    }
    watch->fd = fd;
    return 0;
}

int loop_rewatch(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) == 0 ? 0 : -errno;
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0) {
        return;
    }
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
    for (int i = 0; i < loop->batch_len; i++) {
        if (loop->batch[i] == watch) {
            loop->batch[i] = NULL;
        }
    }
}

/* Makes the timerfd fire no later than the earliest timer. It is only moved to an earlier time, or
 * after it fired: a wake-up too early costs less than a system call for every deadline that is
 * pushed back. */
static void arm_timerfd(struct loop *loop, uint64_t next_ns)
{
    if (next_ns >= loop->armed_ns) {
        return;
    }
    uint64_t delay_ns = next_ns > loop->now_ns ? next_ns - loop->now_ns : 1;
    struct itimerspec spec = {.it_value = {.tv_sec = (time_t)(delay_ns / SECOND_NS),
                                           .tv_nsec = (long)(delay_ns % SECOND_NS)}};
    if (timerfd_settime(loop->timer_fd, 0, &spec, NULL) == 0) {
        loop->armed_ns = next_ns;
    }
}

void loop_arm(struct loop *loop)
{
    arm_timerfd(loop, timers_next(&loop->timers));
}

void loop_wake(struct loop *loop)
{
    arm_timerfd(loop, 0);
}

int loop_dispatch(struct loop *loop, int timeout_ms)
{
    struct epoll_event ready[LOOP_BATCH];
    struct watch *batch[LOOP_BATCH];

    loop_now(loop);
    loop_arm(loop);
    int n = epoll_wait(loop->epoll_fd, ready, loop->batch_max, timeout_ms);
    if (n < 0) {
        return errno == EINTR ? 0 : -errno;
    }
    loop_now(loop);
    for (int i = 0; i < n; i++) {
        batch[i] = ready[i].data.ptr;
    }
    loop->batch = batch;
    loop->batch_len = n;
    for (int i = 0; i < n; i++) {
        if (ready[i].data.ptr == NULL) {
            uint64_t expirations;
            ssize_t got = read(loop->timer_fd, &expirations, sizeof(expirations));
            (void)got; /* EAGAIN: it was moved meanwhile */
            loop->armed_ns = TIMER_NEVER;
        } else if (batch[i] != NULL) {
            batch[i]->ready(batch[i], ready[i].events);
        }
    }
    loop->batch = NULL;
    loop->batch_len = 0;
    timers_run(&loop->timers, loop->now_ns);
    loop_arm(loop);
    return n;
}
