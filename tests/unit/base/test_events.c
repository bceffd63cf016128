/* Telling events, and events as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/events.h"

struct listener {
    int answer; /* of the sink */
    size_t n;
    ln_event last;
};

static int listen_to(void *user, const ln_event *event)
{
    struct listener *listener = user;
    listener->n++;
    listener->last = *event;
    return listener->answer;
}

static uint64_t wall_ms(void *user)
{
    (void)user;
    return 1700000000123;
}

static void tell(struct events *events, ln_event_kind kind)
{
    ln_event event = {.kind = kind};
    events_tell(events, &event);
}

static void test_an_event_is_stamped_and_counted(void **state)
{
    (void)state;
    struct listener listener = {0};
    struct events events = {.sink = listen_to, .user = &listener, .wall_ms = wall_ms};
    tell(&events, LN_EVENT_DROP);
    tell(&events, LN_EVENT_FLOW_OPEN);
    tell(&events, LN_EVENT_FLOW_OPEN);
    assert_int_equal(listener.n, 3);
    assert_int_equal(listener.last.size, sizeof(ln_event));
    assert_int_equal(listener.last.time_ms, 1700000000123);
    assert_int_equal(events.counts[LN_EVENT_FLOW_OPEN], 2);
    assert_int_equal(events.counts[LN_EVENT_DROP], 1);
    assert_int_equal(events.counts[LN_EVENT_RELOAD], 0);
}

static void test_without_a_listener_events_are_counted(void **state)
{
    (void)state;
    struct events events = {0};
    tell(&events, LN_EVENT_DROP);
    assert_int_equal(events.counts[LN_EVENT_DROP], 1);
    assert_int_equal(events.lost, 0);
}

static void test_the_clock_of_the_system_is_the_default(void **state)
{
    (void)state;
    struct listener listener = {0};
    struct events events = {.sink = listen_to, .user = &listener};
    tell(&events, LN_EVENT_DROP);
    assert_true(listener.last.time_ms > UINT64_C(1700000000000));
}

static void test_losses_are_told_by_the_next_event_that_gets_through(void **state)
{
    (void)state;
    struct listener listener = {.answer = -1};
    struct events events = {.sink = listen_to, .user = &listener, .wall_ms = wall_ms};
    tell(&events, LN_EVENT_DROP);
    tell(&events, LN_EVENT_DROP);
    listener.answer = 0;
    tell(&events, LN_EVENT_DROP);
    assert_int_equal(listener.last.lost, 2);
    tell(&events, LN_EVENT_DROP);
    assert_int_equal(listener.last.lost, 0);
    assert_int_equal(events.lost, 2);
    assert_int_equal(events.counts[LN_EVENT_DROP], 4);
}

/* ---- JSON ---- */

static void assert_json(const ln_event *event, const char *expected)
{
    char json[1024];
    size_t len = ln_event_format_json(event, json, sizeof(json));
    assert_string_equal(json, expected);
    assert_int_equal(len, strlen(expected));
}

static void test_all_fields_have_their_place(void **state)
{
    (void)state;
    ln_addr src = ln_addr_v4(0xac100002);
    ln_addr dst = {.bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    ln_event event = {
        .kind = LN_EVENT_FLOW_DENIED,
        .time_ms = UINT64_C(1700000000042),
        .protocol = "tcp",
        .direction = "egress",
        .src = &src,
        .dst = &dst,
        .src_port = 40000,
        .port = 443,
        .name = "api.example",
        .type = "AAAA",
        .action = "deny",
        .rule = 3,
        .source_file = "policy.lua",
        .source_line = 12,
        .reason = "rule",
        .detail = "why",
        .count = 5,
        .bytes_out = 1,
        .bytes_in = 2,
        .packets_out = 3,
        .packets_in = 4,
        .lost = 6,
    };
    assert_json(&event,
                "{\"time\":\"2023-11-14T22:13:20.042Z\",\"kind\":\"flow_denied\","
                "\"protocol\":\"tcp\",\"direction\":\"egress\",\"src\":\"172.16.0.2\","
                "\"src_port\":40000,\"dst\":\"2001:db8::1\",\"port\":443,\"name\":\"api.example\","
                "\"type\":\"AAAA\",\"action\":\"deny\",\"rule\":3,\"source\":\"policy.lua:12\","
                "\"reason\":\"rule\",\"detail\":\"why\",\"count\":5,\"bytes_out\":1,\"bytes_in\":2,"
                "\"packets_out\":3,\"packets_in\":4,\"lost\":6}");
}

static void test_fields_without_a_value_are_left_out(void **state)
{
    (void)state;
    ln_event event = {.kind = LN_EVENT_RELOAD};
    assert_json(&event, "{\"time\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"reload\"}");
}

static void test_a_closed_flow_always_has_its_counters(void **state)
{
    (void)state;
    ln_event event = {.kind = LN_EVENT_FLOW_CLOSE};
    assert_json(&event, "{\"time\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"flow_close\","
                        "\"bytes_out\":0,\"bytes_in\":0,\"packets_out\":0,\"packets_in\":0}");
}

static void test_hostile_names_stay_valid_json(void **state)
{
    (void)state;
    ln_event event = {.kind = LN_EVENT_DROP,
                      .name = "a\"\\\n\x1b\x7f\xff\xc2\x9b\xc3\xbc\xed\xa0\x80"};
    assert_json(&event, "{\"time\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"drop\","
                        "\"name\":\"a\\\"\\\\\\u000a\\u001b\\u007f\xef\xbf\xbd\\u009b\xc3\xbc"
                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
}

static void test_addresses_are_a_list(void **state)
{
    (void)state;
    const ln_addr addrs[] = {ln_addr_v4(0xc0000201), {.bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}}};
    ln_event event = {.kind = LN_EVENT_DNS_QUERY, .addresses = addrs, .n_addresses = 2};
    assert_json(&event, "{\"time\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"dns_query\","
                        "\"addresses\":[\"192.0.2.1\",\"2001:db8::1\"]}");
}

static void test_a_buffer_too_small_tells_the_length(void **state)
{
    (void)state;
    ln_event event = {.kind = LN_EVENT_DROP};
    char json[16];
    memset(json, '#', sizeof(json));
    size_t len = ln_event_format_json(&event, json, 8);
    assert_int_equal(len, strlen("{\"time\":\"1970-01-01T00:00:00.000Z\",\"kind\":\"drop\"}"));
    assert_int_equal(json[8], '#');
    assert_int_equal(ln_event_format_json(&event, NULL, 0), len);
}

static void test_any_time_is_a_time(void **state)
{
    (void)state;
    ln_event event = {.kind = LN_EVENT_DROP, .time_ms = UINT64_MAX};
    char json[128];
    assert_true(ln_event_format_json(&event, json, sizeof(json)) < sizeof(json));
    assert_non_null(strstr(json, "\"kind\":\"drop\"}"));
}

static void test_every_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < LN_EVENT_KINDS; i++) {
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(ln_event_kind_name((ln_event_kind)i),
                                    ln_event_kind_name((ln_event_kind)k));
        }
    }
    assert_string_equal(ln_event_kind_name(LN_EVENT_HANDLER_ERROR), "handler_error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_event_is_stamped_and_counted),
        cmocka_unit_test(test_without_a_listener_events_are_counted),
        cmocka_unit_test(test_the_clock_of_the_system_is_the_default),
        cmocka_unit_test(test_losses_are_told_by_the_next_event_that_gets_through),
        cmocka_unit_test(test_all_fields_have_their_place),
        cmocka_unit_test(test_fields_without_a_value_are_left_out),
        cmocka_unit_test(test_a_closed_flow_always_has_its_counters),
        cmocka_unit_test(test_hostile_names_stay_valid_json),
        cmocka_unit_test(test_addresses_are_a_list),
        cmocka_unit_test(test_a_buffer_too_small_tells_the_length),
        cmocka_unit_test(test_any_time_is_a_time),
        cmocka_unit_test(test_every_kind_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
