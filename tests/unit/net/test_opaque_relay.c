/* Bytes that are no HTTP: they pass unchanged, within bounds, and not before they were looked at.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/opaque_relay.h"

static int refuse_x(void *user, const uint8_t *data, size_t len)
{
    *(size_t *)user += len;
    return memchr(data, 'x', len) != NULL ? -EACCES : 0;
}

static void test_bytes_pass_both_ways_and_only_the_guests_are_looked_at(void **state)
{
    struct http_relay *relay;
    size_t seen = 0;
    (void)state;
    assert_int_equal(opaque_relay_new(refuse_x, &seen, &relay), 0);
    assert_int_equal(http_relay_from_guest(relay, (const uint8_t *)"up", 2), 2);
    assert_int_equal(http_relay_from_upstream(relay, (const uint8_t *)"x", 1), 1);
    assert_int_equal(seen, 2);
    assert_memory_equal(byte_queue_bytes(&relay->to_upstream), "up", 2);
    assert_memory_equal(byte_queue_bytes(&relay->to_guest), "x", 1);
    assert_int_equal(http_relay_from_guest(relay, (const uint8_t *)"fox", 3), -EACCES);
    assert_int_equal(relay->to_upstream.len, 2);
    http_relay_free(relay);
}

static void test_a_full_queue_takes_no_more(void **state)
{
    static const uint8_t data[100000];
    struct http_relay *relay;
    size_t seen = 0;
    (void)state;
    assert_int_equal(opaque_relay_new(refuse_x, &seen, &relay), 0);
    ssize_t n = http_relay_from_guest(relay, data, sizeof(data));
    assert_true(n > 0 && n < (ssize_t)sizeof(data));
    assert_int_equal(seen, n); /* what was not taken is looked at when it is offered again */
    assert_int_equal(http_relay_from_guest(relay, data, 1), 0);
    byte_queue_drop(&relay->to_upstream, 10);
    assert_int_equal(http_relay_resume(relay), 0);
    assert_int_equal(http_relay_from_guest(relay, data, 100), 10);
    http_relay_free(relay);
}

static void test_each_sides_end_is_the_others(void **state)
{
    struct http_relay *relay;
    size_t seen = 0;
    (void)state;
    assert_int_equal(opaque_relay_new(refuse_x, &seen, &relay), 0);
    http_relay_guest_ended(relay);
    assert_int_equal(relay->upstream_end, HTTP_END_FINISH);
    assert_int_equal(relay->guest_end, HTTP_END_NOT);
    http_relay_upstream_ended(relay);
    assert_int_equal(relay->guest_end, HTTP_END_FINISH);
    http_relay_free(relay);
    assert_int_equal(opaque_relay_new(refuse_x, &seen, &relay), 0);
    relay->upstream_end = HTTP_END_RESET;
    http_relay_upstream_ended(relay);
    assert_int_equal(relay->guest_end, HTTP_END_RESET);
    http_relay_free(relay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_pass_both_ways_and_only_the_guests_are_looked_at),
        cmocka_unit_test(test_a_full_queue_takes_no_more),
        cmocka_unit_test(test_each_sides_end_is_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
