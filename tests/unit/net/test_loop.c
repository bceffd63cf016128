/* The loop: watches, timers, and the one descriptor that tells of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/loop.h"

static uint64_t clock_ns;

static uint64_t now(void *user)
{
    (void)user;
    return clock_ns;
}

static const struct host_services services = {.now_ns = now};

struct end { /* one end of a pipe */
    struct watch watch;
    struct loop *loop;
    struct watch *strike; /* unwatched when this is ready */
    unsigned calls;
    uint32_t events;
};

static void ready(struct watch *watch, uint32_t events)
{
    struct end *end = (struct end *)(void *)watch;
    end->calls++;
    end->events = events;
    if (end->strike != NULL) {
        loop_unwatch(end->loop, end->strike);
    }
}

struct alarm {
    struct timer timer;
    struct loop *loop;
    unsigned calls;
    uint64_t again_ns; /* set once more for so much later; 0: not */
};

static void ring(struct timer *timer, uint64_t now_ns)
{
    struct alarm *alarm = (struct alarm *)(void *)timer;
    alarm->calls++;
    if (alarm->again_ns != 0) {
        assert_int_equal(timer_set(&alarm->loop->timers, timer, now_ns + alarm->again_ns), 0);
    }
}

static bool is_readable(const struct loop *loop, int timeout_ms)
{
    struct pollfd fd = {.fd = loop->epoll_fd, .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

static void make_pipe(int fds[2])
{
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
}

static void test_ready_watch_is_called_with_its_events(void **state)
{
    struct loop loop;
    struct end end = {.watch = {.fd = -1, .ready = ready}};
    int fds[2];
    (void)state;
    assert_int_equal(loop_init(&loop, &services), 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(loop_watch(&loop, &end.watch, fds[0], EPOLLIN), 0);
    assert_int_equal(loop_dispatch(&loop, 0), 0);
    assert_int_equal(end.calls, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_true(is_readable(&loop, 0));
    assert_int_equal(loop_dispatch(&loop, 0), 1);
    assert_int_equal(end.calls, 1);
    assert_int_equal(end.events, EPOLLIN);
    loop_unwatch(&loop, &end.watch);
    assert_int_equal(end.watch.fd, -1);
    assert_int_equal(loop_dispatch(&loop, 0), 0);
    loop_unwatch(&loop, &end.watch); /* again: nothing */
    loop_fini(&loop);
    close(fds[0]);
    close(fds[1]);
}

static void test_watch_that_another_took_out_is_not_called(void **state)
{
    struct loop loop;
    struct end ends[2] = {{.watch = {.fd = -1, .ready = ready}},
                          {.watch = {.fd = -1, .ready = ready}}};
    int fds[2][2];
    (void)state;
    assert_int_equal(loop_init(&loop, &services), 0);
    for (int i = 0; i < 2; i++) {
        make_pipe(fds[i]);
        ends[i].loop = &loop;
        ends[i].strike = &ends[1 - i].watch;
        assert_int_equal(loop_watch(&loop, &ends[i].watch, fds[i][0], EPOLLIN), 0);
    }
    assert_int_equal(loop_dispatch(&loop, 0), 2);
    assert_int_equal(ends[0].calls + ends[1].calls, 1);
    loop_unwatch(&loop, &ends[0].watch);
    loop_unwatch(&loop, &ends[1].watch);
    loop_fini(&loop);
    for (int i = 0; i < 2; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

static void test_edge_is_told_again_when_watched_anew(void **state)
{
    struct loop loop;
    struct end end = {.watch = {.fd = -1, .ready = ready}};
    int fds[2];
    (void)state;
    assert_int_equal(loop_init(&loop, &services), 0);
    make_pipe(fds);
    assert_int_equal(loop_watch(&loop, &end.watch, fds[0], EPOLLIN | EPOLLET), 0);
    assert_int_equal(loop_dispatch(&loop, 0), 1);
    assert_int_equal(loop_dispatch(&loop, 0), 0);
    assert_int_equal(loop_rewatch(&loop, &end.watch, EPOLLIN | EPOLLET), 0);
    assert_int_equal(loop_dispatch(&loop, 0), 1);
    assert_int_equal(end.calls, 2);
    loop_unwatch(&loop, &end.watch);
    loop_fini(&loop);
    close(fds[0]);
    close(fds[1]);
}

static void test_descriptor_that_cannot_be_watched_is_an_error(void **state)
{
    struct loop loop;
    struct end end = {.watch = {.fd = -1, .ready = ready}};
    (void)state;
    assert_int_equal(loop_init(&loop, &services), 0);
    assert_int_equal(loop_watch(&loop, &end.watch, -1, EPOLLIN), -EBADF);
    assert_int_equal(end.watch.fd, -1);
    loop_fini(&loop);
}

static void test_timer_fires_by_the_injected_clock(void **state)
{
    struct loop loop;
    struct alarm alarm = {.timer = {.fire = ring}, .loop = &loop, .again_ns = 10 * SECOND_NS};
    (void)state;
    clock_ns = SECOND_NS;
    assert_int_equal(loop_init(&loop, &services), 0);
    assert_int_equal(timer_set(&loop.timers, &alarm.timer, clock_ns + 5 * SECOND_NS), 0);
    assert_int_equal(loop_dispatch(&loop, 0), 0);
    assert_int_equal(alarm.calls, 0);
    clock_ns += 5 * SECOND_NS;
    assert_int_equal(loop_dispatch(&loop, 0), 0);
    assert_int_equal(alarm.calls, 1);
    clock_ns += 9 * SECOND_NS;
    loop_dispatch(&loop, 0);
    assert_int_equal(alarm.calls, 1);
    clock_ns += SECOND_NS;
    loop_dispatch(&loop, 0);
    assert_int_equal(alarm.calls, 2);
    loop_fini(&loop);
}

static void test_timers_make_the_descriptor_readable(void **state)
{
    struct loop loop;
    struct alarm alarm = {.timer = {.fire = ring}, .loop = &loop};
    (void)state;
    clock_ns = SECOND_NS;
    assert_int_equal(loop_init(&loop, &services), 0);
    assert_int_equal(timer_set(&loop.timers, &alarm.timer, clock_ns + 3600 * SECOND_NS), 0);
    loop_dispatch(&loop, 0);
    assert_false(is_readable(&loop, 0));
    assert_int_equal(timer_set(&loop.timers, &alarm.timer, clock_ns + MS_NS), 0);
    loop_arm(&loop);
    assert_true(is_readable(&loop, 1000));
    clock_ns += MS_NS;
    loop_dispatch(&loop, 0);
    assert_int_equal(alarm.calls, 1);
    assert_false(is_readable(&loop, 0));
    loop_fini(&loop);
}

static void test_woken_loop_is_readable_until_dispatched(void **state)
{
    struct loop loop;
    (void)state;
    assert_int_equal(loop_init(&loop, &services), 0);
    assert_false(is_readable(&loop, 0));
    loop_wake(&loop);
    assert_true(is_readable(&loop, 1000));
    loop_dispatch(&loop, 0);
    assert_false(is_readable(&loop, 0));
    loop_fini(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_watch_is_called_with_its_events),
        cmocka_unit_test(test_watch_that_another_took_out_is_not_called),
        cmocka_unit_test(test_edge_is_told_again_when_watched_anew),
        cmocka_unit_test(test_descriptor_that_cannot_be_watched_is_an_error),
        cmocka_unit_test(test_timer_fires_by_the_injected_clock),
        cmocka_unit_test(test_timers_make_the_descriptor_readable),
        cmocka_unit_test(test_woken_loop_is_readable_until_dispatched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
