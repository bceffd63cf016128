/* Timers: order, pushing back, cancelling, and doing so from inside a timer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/timer.h"

enum { N = 1000 };

static uint64_t fired_at[N];
static struct timer many[N];
static uint64_t last_due;
static size_t n_fired;

static void note(struct timer *timer, uint64_t now_ns)
{
    assert_true(timer->filed_ns <= now_ns);
    n_fired++;
    if (timer >= many && timer < many + N) {
        fired_at[timer - many] = now_ns;
    }
}

static void note_in_order(struct timer *timer, uint64_t now_ns)
{
    assert_true(timer->filed_ns >= last_due);
    last_due = timer->filed_ns;
    note(timer, now_ns);
}

static int start(void **state)
{
    (void)state;
    n_fired = 0;
    last_due = 0;
    for (size_t i = 0; i < N; i++) {
        many[i] = (struct timer){.fire = note};
        fired_at[i] = 0;
    }
    return 0;
}

static void test_timers_fire_earliest_first(void **state)
{
    (void)state;
    struct timers timers = {0};
    assert_true(timers_next(&timers) == TIMER_NEVER);
    for (size_t i = 0; i < N; i++) {
        many[i].fire = note_in_order;
        assert_int_equal(timer_set(&timers, &many[i], 1 + (i * 7919) % N), 0);
    }
    assert_true(timers_next(&timers) == 1);
    timers_run(&timers, N / 2);
    assert_int_equal(n_fired, N / 2);
    assert_true(timers_next(&timers) == N / 2 + 1);
    timers_run(&timers, N);
    assert_int_equal(n_fired, N);
    assert_true(timers_next(&timers) == TIMER_NEVER);
    timers_free(&timers);
}

static void test_a_timer_pushed_back_fires_later_and_once(void **state)
{
    (void)state;
    struct timers timers = {0};
    timer_set(&timers, &many[0], 10);
    timer_set(&timers, &many[0], 30);
    timers_run(&timers, 20);
    assert_int_equal(n_fired, 0);
    assert_true(timers_next(&timers) == 30);
    timer_set(&timers, &many[0], 25);
    assert_true(timers_next(&timers) == 25);
    timers_run(&timers, 100);
    assert_int_equal(n_fired, 1);
    assert_false(timer_is_set(&many[0]));
    timers_free(&timers);
}

static void test_a_cancelled_timer_does_not_fire(void **state)
{
    (void)state;
    struct timers timers = {0};
    for (size_t i = 0; i < N; i++) {
        timer_set(&timers, &many[i], 1 + (i * 7919) % N);
    }
    for (size_t i = 0; i < N; i += 2) {
        timer_cancel(&timers, &many[i]);
        timer_cancel(&timers, &many[i]);
    }
    timers_run(&timers, N);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(fired_at[i], i % 2 == 0 ? 0 : N);
    }
    timers_free(&timers);
}

static void test_never_disarms(void **state)
{
    (void)state;
    struct timers timers = {0};
    timer_set(&timers, &many[0], 10);
    timer_set(&timers, &many[0], TIMER_NEVER);
    assert_false(timer_is_set(&many[0]));
    timer_set(&timers, &many[1], TIMER_NEVER);
    timers_run(&timers, TIMER_NEVER - 1);
    assert_int_equal(n_fired, 0);
    timers_free(&timers);
}

static struct timers *of_chain;

static void again(struct timer *timer, uint64_t now_ns)
{
    n_fired++;
    if (n_fired < 5) {
        timer_set(of_chain, timer, now_ns);
    }
    timer_cancel(of_chain, &many[1]);
}

static void test_a_timer_may_set_and_cancel_timers(void **state)
{
    (void)state;
    struct timers timers = {0};
    of_chain = &timers;
    many[0].fire = again;
    timer_set(&timers, &many[0], 5);
    timer_set(&timers, &many[1], 6);
    timers_run(&timers, 10);
    assert_int_equal(n_fired, 5);
    assert_int_equal(fired_at[1], 0);
    assert_true(timers_next(&timers) == TIMER_NEVER);
    timers_free(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_timers_fire_earliest_first, start),
        cmocka_unit_test_setup(test_a_timer_pushed_back_fires_later_and_once, start),
        cmocka_unit_test_setup(test_a_cancelled_timer_does_not_fire, start),
        cmocka_unit_test_setup(test_never_disarms, start),
        cmocka_unit_test_setup(test_a_timer_may_set_and_cancel_timers, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
