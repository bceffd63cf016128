/* budget: what passes, what ends, and what opens again. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/message.h"
#include "guest_frame.h"
#include "harness.h"
#include "net/netns.h"

static uint8_t data[1 << 17];

static unsigned count_budget(const struct world *w)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count_told(w, LN_EVENT_LIMIT); i++) {
        n += strcmp(told_nth(w, LN_EVENT_LIMIT, i)->reason, "budget") == 0;
    }
    return n;
}

static uint64_t bytes_in(const struct world *w)
{
    ln_stats stats;
    ln_gateway_stats(w->gw, &stats);
    return stats.bytes_in;
}

static void test_upload_is_cut_at_the_last_byte_and_ended(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host", "budget.egress=10000"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    (void)guest_send(&g, data, 9999);
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_OPEN);
    host_expect(host, data, 9999);
    assert_int_equal(count_budget(&w), 0);
    (void)guest_send(&g, data, 100);
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_true(recv(host, data, sizeof(data), 0) <= 1); /* the byte, or the reset that follows */
    assert_int_equal(count_budget(&w), 1);
    const struct told *closed = told_nth(&w, LN_EVENT_FLOW_CLOSE, 0);
    assert_string_equal(closed->reason, "budget");
    assert_int_equal(closed->bytes_out, 10000);
    ln_stats stats;
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.bytes_out, 10000);
    assert_true(stats.used_up);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_download_never_exceeds_it_even_when_segments_are_lost(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host", "budget.ingress=50000"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    g.own_window = 4096;
    host_send(host, data, 20000);
    w.refuse_frames = true; /* all are lost, and sent again */
    settle(&w);
    w.refuse_frames = false;
    pass(&w, 3000);
    guest_expect(&g, data, 20000);
    assert_int_equal(bytes_in(&w), 20000);
    assert_int_equal(count_budget(&w), 0);
    host_send(host, data, 40000);
    pass(&w, 100);
    guest_hear(&g);
    assert_true(g.n_received <= 30000);
    assert_int_equal(bytes_in(&w), 50000);
    assert_int_equal(count_budget(&w), 1);
    host_expect_reset(host);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_what_follows_is_denied_until_a_reload_gives_more(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host", "budget.egress=1000"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    (void)guest_send(&g, data, 1400);
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    struct guest second = guest_connect_host(&w, port);
    assert_int_equal(second.state, GUEST_SILENCE);
    const struct told *denied = told_nth(&w, LN_EVENT_FLOW_DENIED, 0);
    assert_string_equal(denied->reason, "budget");
    assert_false(host_has_connection(listener));

    ln_policy *same = POLICY("allow@host", "budget.egress=1000");
    assert_int_equal(ln_gateway_reload(w.gw, same, NULL), 0);
    pass(&w, 1500);
    struct guest third = guest_connect_host(&w, port);
    assert_int_equal(third.state, GUEST_SILENCE);
    assert_int_equal(count_budget(&w), 1);

    ln_policy *more = POLICY("allow@host", "budget.egress=2000");
    assert_int_equal(ln_gateway_reload(w.gw, more, NULL), 0);
    struct guest fourth = guest_connect_host(&w, port);
    assert_int_equal(fourth.state, GUEST_OPEN);
    int again = host_accept(listener);
    (void)guest_send(&fourth, data, 1400);
    settle(&w);
    guest_hear(&fourth);
    assert_int_equal(fourth.state, GUEST_RESET);
    assert_int_equal(count_budget(&w), 2);
    close(again);
    close(host);
    guest_free(&g);
    guest_free(&second);
    guest_free(&third);
    guest_free(&fourth);
    world_stop(&w);
    ln_policy_unref(same);
    ln_policy_unref(more);
    close(listener);
}

static void test_a_reload_that_gives_less_ends_flows(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    (void)guest_send(&g, data, 1400);
    settle(&w);
    ln_policy *less = POLICY("allow@host", "budget.egress=1000");
    assert_int_equal(ln_gateway_reload(w.gw, less, NULL), 0);
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(count_budget(&w), 1);
    ln_stats stats;
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.bytes_out, 1400); /* what was used stays used */
    close(host);
    guest_free(&g);
    world_stop(&w);
    ln_policy_unref(less);
    close(listener);
}

static void test_datagram_that_does_not_fit_uses_it_up(void **state)
{
    struct world w = {0};
    uint8_t frame[1500];
    char byte[2000];
    (void)state;
    int server = netns_udp("127.0.0.1", 0);
    world_start(&w, POLICY("allow@host", "budget.egress=1000"));
    for (int i = 0; i < 4; i++) {
        size_t len = guest_udp(frame, &w.link.guest4, 40000, &w.link.gateway4, netns_port(server),
                               data, 300);
        put(&w, frame, len);
        settle(&w);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(recv(server, byte, sizeof(byte), MSG_DONTWAIT), 300);
    }
    assert_int_equal(recv(server, byte, sizeof(byte), MSG_DONTWAIT), -1);
    assert_int_equal(count_budget(&w), 1);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "budget");
    world_stop(&w);
    close(server);
}

/* A query of type A for host.lunette.internal, of 39 bytes. Returns the response code. */
static unsigned ask(struct world *w)
{
    static const char query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\4host\7lunette\x8internal\0\0\1\0\1";
    uint8_t frame[1500];
    put(w, frame,
        guest_udp(frame, &w->link.guest4, 40000, &w->link.gateway4, 53, query, sizeof(query) - 1));
    settle(w);
    const struct heard *h = next_heard(w);
    assert_non_null(h);
    return h->payload[3] & 15;
}

static void test_queries_count_and_are_refused_in_the_end(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("allow@host:udp:53", "budget.egress=100"));
    assert_int_equal(ask(&w), DNS_NOERROR);
    assert_int_equal(ask(&w), DNS_NOERROR);
    assert_int_equal(ask(&w), DNS_NXDOMAIN);
    assert_int_equal(ask(&w), DNS_NXDOMAIN);
    assert_int_equal(count_budget(&w), 1);
    assert_string_equal(told_nth(&w, LN_EVENT_DNS_DENIED, 0)->reason, "budget");
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_is_cut_at_the_last_byte_and_ended),
        cmocka_unit_test(test_download_never_exceeds_it_even_when_segments_are_lost),
        cmocka_unit_test(test_what_follows_is_denied_until_a_reload_gives_more),
        cmocka_unit_test(test_a_reload_that_gives_less_ends_flows),
        cmocka_unit_test(test_datagram_that_does_not_fit_uses_it_up),
        cmocka_unit_test(test_queries_count_and_are_refused_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
