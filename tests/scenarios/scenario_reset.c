/* A guest that is gone, and another in its place. */
#include <unistd.h>

#include "harness.h"
#include "net/gateway.h"

static void test_flows_of_a_guest_that_is_gone_are_reset_without_a_frame(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    guest_send(&g, "half a requ", 11);
    host_expect(host, "half a requ", 11);
    unsigned frames = w.n_frames;
    assert_int_equal(ln_gateway_reset(w.gw), 0);
    settle(&w);
    host_expect_reset(host);
    assert_int_equal(w.n_frames, frames);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "guest_gone");
    ln_stats stats;
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.flows_now, 0);
    close(host);

    struct guest next = guest_connect_host(&w, port);
    assert_int_equal(next.state, GUEST_OPEN);
    host = host_accept(listener);
    guest_send(&next, "hello", 5);
    host_expect(host, "hello", 5);
    close(host);
    guest_free(&g);
    guest_free(&next);
    world_stop(&w);
    close(listener);
}

static void test_what_a_guest_resolved_and_was_refused_is_forgotten_with_it(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("allow@a.test"));
    world_pin(&w, "a.test", "192.0.2.7");
    struct guest g = guest_connect(&w, "192.0.2.9", 80);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(ln_gateway_reset(w.gw), 0);
    ln_addr addr;
    assert_int_equal(ln_addr_parse("192.0.2.7", 9, &addr), 0);
    assert_false(ln_pins_has(w.gw->admission.pins, "a.test", &addr, w.now_ns));
    guest_syn(&g);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 2);
    guest_free(&g);
    world_stop(&w);
}

static void test_nothing_of_a_condemned_guest_passes(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    assert_null(ln_gateway_condemned(w.gw));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    guest_send(&g, "half a requ", 11);
    host_expect(host, "half a requ", 11);
    gateway_condemn(w.gw, "secret %s", "A");
    gateway_condemn(w.gw, "secret %s", "B");
    unsigned frames = w.n_frames;
    settle(&w);
    host_expect_reset(host);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "condemned");
    assert_string_equal(ln_gateway_condemned(w.gw), "secret A");
    close(host);
    struct guest again = guest_connect_host(&w, port);
    settle(&w);
    assert_int_equal(w.n_frames, frames);
    assert_int_not_equal(again.state, GUEST_OPEN);
    guest_free(&g);
    guest_free(&again);
    world_stop(&w);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_of_a_guest_that_is_gone_are_reset_without_a_frame),
        cmocka_unit_test(test_nothing_of_a_condemned_guest_passes),
        cmocka_unit_test(test_what_a_guest_resolved_and_was_refused_is_forgotten_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
