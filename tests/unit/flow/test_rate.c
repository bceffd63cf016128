/* Token buckets: exact on average, whatever the sizes, and never more at once than allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timer.h"
#include "flow/rate.h"

static const ln_bucket none;

/* What passes in `seconds` when packets of `packet` bytes are tried every `step_us`. */
static uint64_t pass(struct rate *rate, uint64_t packet, unsigned seconds, unsigned step_us)
{
    uint64_t passed = 0;
    for (uint64_t now_ns = 0; now_ns < seconds * SECOND_NS; now_ns += step_us * 1000u) {
        while (rate_is_open(rate, now_ns)) {
            rate_take(rate, packet, 1);
            passed += packet;
        }
    }
    return passed;
}

static void test_rate_is_kept_within_a_twentieth_for_packets_of_any_size(void **state)
{
    static const uint64_t packets[] = {60, 1460, 65536};
    static const ln_bucket limits[] = {
        {.size = 1000000, .refill_ms = 1000},
        {.size = 10000, .refill_ms = 10},
        {.size = 60000000, .refill_ms = 60000},
        {.size = 125000000, .refill_ms = 1000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (size_t j = 0; j < sizeof(packets) / sizeof(packets[0]); j++) {
            struct rate rate;
            rate_init(&rate, &limits[i], &none, 0);
            uint64_t expected = limits[i].size * 10000 / limits[i].refill_ms;
            uint64_t passed = pass(&rate, packets[j], 10, 2000);
            assert_in_range(passed, expected - expected / 20, expected + expected / 20);
        }
    }
}

static void test_odd_rates_lose_nothing_to_rounding(void **state)
{
    struct rate rate;
    ln_bucket odd = {.size = 7, .refill_ms = 3};
    (void)state;
    rate_init(&rate, &none, &odd, 0);
    assert_in_range(pass(&rate, 1, 60, 1) / 1, 139900, 140100);
}

static void test_packets_are_counted_beside_bytes(void **state)
{
    struct rate rate;
    ln_bucket bytes = {.size = 1000000, .refill_ms = 1000};
    ln_bucket packets = {.size = 100, .refill_ms = 1000};
    (void)state;
    rate_init(&rate, &bytes, &packets, 0);
    assert_in_range(pass(&rate, 100, 10, 1000) / 100, 950, 1050);
}

static void test_burst_is_there_at_once_and_comes_back_after_silence(void **state)
{
    struct rate rate;
    ln_bucket limit = {.size = 1000, .refill_ms = 1000, .burst = 50000};
    (void)state;
    rate_init(&rate, &limit, &none, 0);
    assert_in_range(rate_room(&rate, 1000, 0), 50000, 52000);
    rate_take(&rate, 60000, 40);
    assert_false(rate_is_open(&rate, SECOND_NS));
    assert_int_equal(rate_room(&rate, 1000, 100 * SECOND_NS), 50200);
}

static void test_debt_is_paid_before_more_passes(void **state)
{
    struct rate rate;
    ln_bucket limit = {.size = 1000, .refill_ms = 1000};
    (void)state;
    rate_init(&rate, &limit, &none, 0);
    rate_take(&rate, rate_room(&rate, 1, 0) + 10000, 1);
    assert_false(rate_is_open(&rate, 9 * SECOND_NS));
    assert_true(rate_is_open(&rate, 10 * SECOND_NS));
    assert_in_range(rate_ready_ns(&rate, 10 * SECOND_NS), 11 * SECOND_NS, 12 * SECOND_NS);
}

static void test_without_limits_everything_passes(void **state)
{
    struct rate rate;
    (void)state;
    rate_init(&rate, &none, &none, 0);
    assert_false(rate_is_limited(&rate));
    rate_take(&rate, UINT32_MAX, UINT32_MAX);
    assert_true(rate_is_open(&rate, 0));
    assert_int_equal(rate_room(&rate, 1460, 0), UINT64_MAX);
    assert_int_equal(rate_ready_ns(&rate, 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_is_kept_within_a_twentieth_for_packets_of_any_size),
        cmocka_unit_test(test_odd_rates_lose_nothing_to_rounding),
        cmocka_unit_test(test_packets_are_counted_beside_bytes),
        cmocka_unit_test(test_burst_is_there_at_once_and_comes_back_after_silence),
        cmocka_unit_test(test_debt_is_paid_before_more_passes),
        cmocka_unit_test(test_without_limits_everything_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
