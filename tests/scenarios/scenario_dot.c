/* DNS over TLS between its two TLS sessions: plaintext in and out of the relay, in a gateway whose
 * clock moves when told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/wire.h"
#include "harness.h"
#include "net/dot_relay.h"
#include "net/gateway.h"

struct scene {
    struct world w;
    struct http_relay *relay;
    unsigned changed;
};

static void note_change(void *user)
{
    ((struct scene *)user)->changed++;
}

static struct scene *start(ln_policy *policy)
{
    struct scene *s = calloc(1, sizeof(*s));
    world_start(&s->w, policy);
    struct dns_asker asker = {
        .transport = LN_TCP, .guest_port = 40000, .resolver_port = DNS_TLS_PORT};
    assert_int_equal(ln_addr_parse("172.16.0.2", 10, &asker.guest), 0);
    assert_int_equal(ln_addr_parse("9.9.9.9", 7, &asker.resolver), 0);
    assert_int_equal(dot_relay_new(s->w.gw, &asker, note_change, s, &s->relay), 0);
    return s;
}

static void stop(struct scene *s)
{
    http_relay_free(s->relay);
    world_stop(&s->w);
    free(s);
}

static ln_policy *usual(void)
{
    return POLICY("allow@9.9.9.9:tcp:853", "deny@bad.test", "allow@.test");
}

/* A message with its length before it, given in pieces of `step` bytes. */
static void give(struct http_relay *relay, bool to_upstream, const struct wire *msg, size_t step)
{
    uint8_t framed[4096];
    assert_true(msg->len + 2 <= sizeof(framed));
    put_be16(framed, (uint16_t)msg->len);
    memcpy(framed + 2, msg->data, msg->len);
    for (size_t at = 0; at < msg->len + 2; at += step) {
        size_t n = msg->len + 2 - at < step ? msg->len + 2 - at : step;
        ssize_t taken = to_upstream ? http_relay_from_guest(relay, framed + at, n)
                                    : http_relay_from_upstream(relay, framed + at, n);
        assert_int_equal(taken, n);
    }
}

/* Takes the next message out of a queue. */
static struct wire next(struct byte_queue *queue)
{
    struct wire w = {0};
    assert_true(queue->len > 2);
    const uint8_t *bytes = byte_queue_bytes(queue);
    w.len = get_be16(bytes);
    assert_true(w.len <= queue->len - 2);
    memcpy(w.data, bytes + 2, w.len);
    byte_queue_drop(queue, 2 + w.len);
    return w;
}

static struct wire answer_to(const struct wire *query, const char *addr)
{
    struct wire w = wire_response_to(query->data, query->len);
    wire_addr(&w, DNS_ANSWER, "@12", 300, addr);
    return w;
}

static void guest_asks(struct scene *s, uint16_t id, const char *name)
{
    struct wire query = wire_query(id, name, DNS_TYPE_A);
    give(s->relay, true, &query, query.len + 2);
}

static unsigned rcode_of(const struct wire *w)
{
    return w->data[3] & DNS_FLAG_RCODE;
}

static void test_allowed_query_goes_on_and_its_answer_pins(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    for (size_t step = 1; step < 40; step += 7) {
        struct wire query = wire_query(7, "www.test", DNS_TYPE_A);
        give(s->relay, true, &query, step);
        struct wire asked = next(&s->relay->to_upstream);
        assert_int_equal(s->relay->to_upstream.len, 0);
        assert_int_equal(s->relay->to_guest.len, 0);
        struct wire answer = answer_to(&asked, "198.51.100.7");
        give(s->relay, false, &answer, step);
        struct wire reply = next(&s->relay->to_guest);
        assert_int_equal(get_be16(reply.data), 7);
        assert_int_equal(rcode_of(&reply), DNS_NOERROR);
        assert_int_equal(get_be16(reply.data + 6), 1);
    }
    ln_addr addr;
    assert_int_equal(ln_addr_parse("198.51.100.7", 12, &addr), 0);
    assert_true(ln_pins_has(s->w.gw->admission.pins, "www.test", &addr, s->w.gw->loop.now_ns));
    const struct told *told = told_nth(&s->w, LN_EVENT_DNS_QUERY, 0);
    assert_int_equal(told->port, DNS_TLS_PORT);
    assert_string_equal(told->name, "www.test");
    stop(s);
}

static void test_denied_query_does_not_go_on(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    guest_asks(s, 9, "Bad.TEST");
    assert_int_equal(s->relay->to_upstream.len, 0);
    struct wire reply = next(&s->relay->to_guest);
    assert_int_equal(rcode_of(&reply), DNS_NXDOMAIN);
    guest_asks(s, 9, "elsewhere.example");
    assert_int_equal(s->relay->to_upstream.len, 0);
    reply = next(&s->relay->to_guest);
    assert_int_equal(rcode_of(&reply), DNS_NXDOMAIN);
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_DENIED), 2);
    stop(s);
}

static void test_resolver_that_is_not_allowed_any_more_is_not_asked(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    ln_policy *other = POLICY("allow@.test");
    assert_int_equal(ln_gateway_reload(s->w.gw, other, NULL), 0);
    ln_policy_unref(other);
    guest_asks(s, 9, "www.test");
    assert_int_equal(s->relay->to_upstream.len, 0);
    struct wire reply = next(&s->relay->to_guest);
    assert_int_equal(rcode_of(&reply), DNS_NXDOMAIN);
    stop(s);
}

static void test_inner_address_is_not_given(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    guest_asks(s, 9, "www.test");
    struct wire asked = next(&s->relay->to_upstream);
    struct wire answer = answer_to(&asked, "10.0.0.1");
    give(s->relay, false, &answer, 5);
    struct wire reply = next(&s->relay->to_guest);
    assert_int_equal(rcode_of(&reply), DNS_NXDOMAIN);
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_REBIND), 1);
    stop(s);
}

static void test_answers_come_in_any_order_and_strays_are_dropped(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    guest_asks(s, 1, "a.test");
    guest_asks(s, 2, "b.test");
    struct wire a = next(&s->relay->to_upstream);
    struct wire b = next(&s->relay->to_upstream);
    struct wire stray = answer_to(&b, "198.51.100.2");
    memcpy(stray.data, a.data, 2); /* the id of one, the question of the other */
    give(s->relay, false, &stray, 100);
    assert_int_equal(s->relay->to_guest.len, 0);
    struct wire answer = answer_to(&b, "198.51.100.2");
    give(s->relay, false, &answer, 100);
    give(s->relay, false, &answer, 100); /* once more: nobody waits for it */
    answer = answer_to(&a, "198.51.100.1");
    give(s->relay, false, &answer, 100);
    struct wire reply = next(&s->relay->to_guest);
    assert_int_equal(get_be16(reply.data), 2);
    reply = next(&s->relay->to_guest);
    assert_int_equal(get_be16(reply.data), 1);
    assert_int_equal(s->relay->to_guest.len, 0);
    stop(s);
}

static void test_guest_that_asks_too_much_has_to_wait(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    struct wire query = wire_query(5, "a.test", DNS_TYPE_A);
    uint8_t framed[128];
    put_be16(framed, (uint16_t)query.len);
    memcpy(framed + 2, query.data, query.len);
    size_t len = query.len + 2, sent = 0, asked = 0;
    for (int i = 0; i < 1000; i++) {
        ssize_t n = http_relay_from_guest(s->relay, framed + sent % len, len - sent % len);
        assert_true(n >= 0);
        sent += (size_t)n;
        if (n == 0) {
            break;
        }
    }
    assert_true(sent < 100 * len);
    while (asked < sent / len) { /* as answers come, all are asked */
        struct wire to = next(&s->relay->to_upstream);
        struct wire answer = answer_to(&to, "198.51.100.1");
        give(s->relay, false, &answer, 100);
        (void)next(&s->relay->to_guest);
        asked++;
    }
    stop(s);
}

static void test_upstream_that_ends_fails_what_waits(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    guest_asks(s, 1, "a.test");
    http_relay_upstream_ended(s->relay);
    struct wire reply = next(&s->relay->to_guest);
    assert_int_equal(rcode_of(&reply), DNS_SERVFAIL);
    assert_int_equal(s->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(s->relay->upstream_end, HTTP_END_FINISH);
    stop(s);
}

static void test_guest_that_ends_gets_what_it_asked_for(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    guest_asks(s, 1, "a.test");
    http_relay_guest_ended(s->relay);
    assert_int_equal(s->relay->upstream_end, HTTP_END_NOT);
    struct wire asked = next(&s->relay->to_upstream);
    struct wire answer = answer_to(&asked, "198.51.100.1");
    give(s->relay, false, &answer, 3);
    (void)next(&s->relay->to_guest);
    assert_int_equal(s->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(s->relay->upstream_end, HTTP_END_FINISH);
    stop(s);
}

static void test_silent_resolver_and_silent_guest_end_by_time(void **state)
{
    (void)state;
    struct scene *s = start(usual());
    guest_asks(s, 1, "a.test");
    pass(&s->w, 5100);
    assert_true(s->changed > 0);
    struct wire reply = next(&s->relay->to_guest);
    assert_int_equal(rcode_of(&reply), DNS_SERVFAIL);
    assert_int_equal(s->relay->guest_end, HTTP_END_NOT);
    pass(&s->w, 31000);
    assert_int_equal(s->relay->guest_end, HTTP_END_FINISH);
    stop(s);
}

static void test_what_cannot_be_a_message_resets_both(void **state)
{
    (void)state;
    static const uint8_t bad[][2] = {{0, 0}, {0, 11}, {0xff, 0xff}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct scene *s = start(usual());
        (void)http_relay_from_guest(s->relay, bad[i], 2);
        assert_int_equal(s->relay->guest_end, HTTP_END_RESET);
        assert_int_equal(s->relay->upstream_end, HTTP_END_RESET);
        stop(s);
    }
    struct scene *s = start(usual());
    (void)http_relay_from_upstream(s->relay, bad[1], 2);
    assert_int_equal(s->relay->guest_end, HTTP_END_RESET);
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_query_goes_on_and_its_answer_pins),
        cmocka_unit_test(test_denied_query_does_not_go_on),
        cmocka_unit_test(test_resolver_that_is_not_allowed_any_more_is_not_asked),
        cmocka_unit_test(test_inner_address_is_not_given),
        cmocka_unit_test(test_answers_come_in_any_order_and_strays_are_dropped),
        cmocka_unit_test(test_guest_that_asks_too_much_has_to_wait),
        cmocka_unit_test(test_upstream_that_ends_fails_what_waits),
        cmocka_unit_test(test_guest_that_ends_gets_what_it_asked_for),
        cmocka_unit_test(test_silent_resolver_and_silent_guest_end_by_time),
        cmocka_unit_test(test_what_cannot_be_a_message_resets_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
