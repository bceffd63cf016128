/* Published ports: the network calls servers of the guest. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frame.h"
#include "harness.h"
#include "net/netns.h"

enum { HOST_PORT = 8080, GUEST_PORT = 80, OTHER_PORT = 8081 };

static bool have_netns;

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct world));
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->gw != NULL) {
        world_stop(w);
    }
    free(w);
    return 0;
}

static struct world *begin(void **state, ln_policy *policy)
{
    struct world *w = *state;
    if (!have_netns) {
        ln_policy_unref(policy);
        skip();
    }
    world_start(w, policy);
    return w;
}

/* ---- callers ---- */

/* A socket of `type` at `from`, port `from_port` (0: any), connected to `to`. */
static int caller(int type, const char *from, uint16_t from_port, const char *to, uint16_t port)
{
    struct sockaddr_storage sa;
    ln_addr addr = netns_addr(from);
    socklen_t len = sockaddr_put(&addr, from_port, &sa);
    int on = 1;
    int fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 2};
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    addr = netns_addr(to);
    len = sockaddr_put(&addr, port, &sa);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    return fd;
}

static int call(const char *from, const char *to)
{
    return caller(SOCK_STREAM, from, 0, to, HOST_PORT);
}

/* ---- the guest's servers ---- */

/* The connection that the guest is called with now; not answered yet. */
static struct guest called(struct world *w)
{
    settle(w);
    const struct heard *h = next_heard(w);
    assert_non_null(h);
    assert_int_equal(h->protocol, IPPROTO_TCP);
    assert_int_equal(h->flags & (TCP_SYN | TCP_ACK), TCP_SYN);
    return (struct guest){.w = w,
                          .addr = h->dst,
                          .peer = h->src,
                          .port = h->dst_port,
                          .peer_port = h->src_port,
                          .own_window = 256,
                          .snd_una = 5000,
                          .snd_nxt = 5001,
                          .rcv_nxt = h->seq + 1,
                          .window = h->window,
                          .scale = h->scale};
}

static struct guest answered(struct world *w)
{
    struct guest g = called(w);
    assert_true(g.window > 0);
    guest_segment(&g, TCP_SYN | TCP_ACK, g.snd_una, NULL, 0);
    g.state = GUEST_OPEN;
    g.snd_una++;
    guest_hear(&g);
    return g;
}

static void expect_silence(struct world *w)
{
    settle(w);
    assert_null(next_heard(w));
}

static void assert_address(const ln_addr *addr, const char *text)
{
    ln_addr expected = netns_addr(text);
    assert_true(ln_addr_equal(addr, &expected));
}

/* ---- TCP ---- */

static void test_call_reaches_the_guest_and_bytes_go_both_ways(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = answered(w);
    assert_int_equal(g.port, GUEST_PORT);
    assert_true(ln_addr_equal(&g.peer, &w->link.gateway4));
    host_send(host, "GET /", 5);
    guest_expect(&g, "GET /", 5);
    guest_send(&g, "200", 3);
    host_expect(host, "200", 3);
    guest_finish(&g);
    host_expect_end(host);
    close(host);
    guest_hear(&g);
    assert_true(g.fin);
    const struct told *open = told_nth(w, LN_EVENT_FLOW_OPEN, 0);
    assert_int_equal(open->port, GUEST_PORT);
    assert_true(ln_addr_equal(&open->dst, &w->link.guest4));
    const struct told *closed = told_nth(w, LN_EVENT_FLOW_CLOSE, 0);
    assert_string_equal(closed->reason, "done");
    assert_int_equal(closed->bytes_in, 5);
    assert_int_equal(closed->bytes_out, 3);
    guest_free(&g);
}

static void test_guest_sees_the_callers_own_address(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 0.0.0.0 8080 80", "publish tcp :: 8080 80"));
    int host = call(NETNS_OTHER4, NETNS_HOST4);
    struct guest g = answered(w);
    assert_address(&g.peer, NETNS_OTHER4);
    assert_int_equal(g.peer_port, netns_port(host));
    int host6 = call(NETNS_OTHER6, NETNS_HOST6);
    struct guest g6 = answered(w);
    assert_address(&g6.peer, NETNS_OTHER6);
    assert_true(ln_addr_equal(&g6.addr, &w->link.guest6));
    guest_send(&g6, "six", 3);
    host_expect(host6, "six", 3);
    close(host);
    close(host6);
    guest_free(&g);
    guest_free(&g6);
}

static void test_any_address_of_ipv6_takes_calls_of_ipv4(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp :: 8080 80"));
    int host = call(NETNS_OTHER4, NETNS_HOST4);
    struct guest g = answered(w);
    assert_address(&g.peer, NETNS_OTHER4);
    close(host);
    guest_free(&g);
}

static void test_refused_caller_is_reset_and_the_guest_hears_nothing(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 0.0.0.0 8080 80", "default_ingress=deny"));
    int host = call(NETNS_OTHER4, NETNS_HOST4);
    expect_silence(w);
    host_expect_reset(host);
    assert_int_equal(w->n_frames, 0);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_DENIED, 0)->port, GUEST_PORT);
    close(host);
}

static void test_closed_port_of_the_guest_resets_the_caller(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = called(w);
    guest_segment(&g, TCP_RST | TCP_ACK, 0, NULL, 0);
    settle(w);
    host_expect_reset(host);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->reason, "refused");
    close(host);
}

static void test_guest_that_does_not_answer_is_called_again_and_given_up(void **state)
{
    struct world *w =
        begin(state, POLICY("publish tcp 127.0.0.1 8080 80", "limits.tcp_half_open_ms=5000"));
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = called(w);
    pass(w, 1500);
    assert_non_null(next_heard(w)); /* the SYN again */
    pass(w, 5000);
    host_expect_reset(host);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->reason, "timeout");
    close(host);
    guest_free(&g);
}

static void test_what_a_caller_sends_before_the_guest_answers_is_not_lost(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    int host = call("127.0.0.1", "127.0.0.1");
    host_send(host, "early", 5);
    assert_int_equal(shutdown(host, SHUT_WR), 0);
    struct guest g = answered(w);
    guest_expect(&g, "early", 5);
    assert_true(g.fin);
    guest_send(&g, "late", 4);
    host_expect(host, "late", 4);
    close(host);
    guest_free(&g);
}

static void test_caller_that_resets_resets_the_guest(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = answered(w);
    host_reset(host);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    guest_free(&g);
}

static void test_caller_that_does_not_read_slows_the_guest_down(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    static uint8_t data[16 << 20];
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = answered(w);
    size_t sent = 0;
    for (int i = 0; i < 2000 && sent < sizeof(data); i++) {
        size_t n =
            guest_send(&g, data + sent, sizeof(data) - sent < 65536 ? sizeof(data) - sent : 65536);
        sent += n;
        if (n == 0) {
            break;
        }
    }
    assert_true(sent < sizeof(data)); /* the window closed */
    close(host);
    guest_free(&g);
}

static void test_callers_of_the_same_port_are_told_apart(void **state)
{
    struct world *w =
        begin(state, POLICY("publish tcp 127.0.0.1 8080 80", "publish tcp 127.0.0.1 8081 80"));
    int one = caller(SOCK_STREAM, "127.0.0.1", 45000, "127.0.0.1", HOST_PORT);
    struct guest g = answered(w);
    int two = caller(SOCK_STREAM, "127.0.0.1", 45000, "127.0.0.1", OTHER_PORT);
    struct guest h = answered(w);
    assert_int_equal(g.peer_port, 45000);
    assert_int_not_equal(h.peer_port, 45000);
    guest_send(&g, "one", 3);
    guest_send(&h, "two", 3);
    host_expect(one, "one", 3);
    host_expect(two, "two", 3);
    close(one);
    close(two);
    guest_free(&g);
    guest_free(&h);
}

static void test_caller_from_a_port_that_lunette_answers_at_gets_through(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 0.0.0.0 8080 80"));
    int host = caller(SOCK_STREAM, NETNS_OTHER4, 53, NETNS_HOST4, HOST_PORT);
    struct guest g = answered(w);
    assert_int_not_equal(g.peer_port, 53);
    guest_send(&g, "x", 1);
    host_expect(host, "x", 1);
    close(host);
    guest_free(&g);
}

static void test_calls_in_progress_push_out_calls_and_not_the_guests_own(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80", "deny@b.test",
                                          "allow@a.test", "limits.half_open=2"));
    world_pin(w, "a.test", "203.0.113.1"); /* it hangs on the name: half-open */
    world_pin(w, "b.test", "203.0.113.1");
    int callers[4];
    struct guest own = guest_connect(w, "203.0.113.1", 443);
    for (int i = 0; i < 4; i++) {
        callers[i] = call("127.0.0.1", "127.0.0.1");
        settle(w);
    }
    host_expect_reset(callers[0]);
    host_expect_reset(callers[1]);
    guest_hear(&own);
    assert_int_equal(own.state, GUEST_OPEN);
    for (int i = 0; i < 4; i++) {
        close(callers[i]);
    }
    guest_free(&own);
}

/* ---- the policy ---- */

static void test_port_in_use_is_an_error_that_names_field_and_port(void **state)
{
    struct world *w = *state;
    if (!have_netns) {
        skip();
    }
    int taken = netns_udp("127.0.0.1", HOST_PORT);
    ln_policy *policy = POLICY("publish udp 127.0.0.1 8080 53");
    ln_config config = {.size = sizeof(config), .policy = policy};
    ln_host host = {.size = sizeof(host), .send_frame = (int (*)(void *, const ln_frame *))abort};
    ln_error error;
    ln_gateway *gw = NULL;
    assert_int_equal(ln_gateway_new(&config, &host, w, &gw, &error), -EADDRINUSE);
    assert_non_null(strstr(error.message, "port_bindings[1]"));
    assert_non_null(strstr(error.message, "127.0.0.1:8080"));
    ln_policy_unref(policy);
    close(taken);
}

static void test_reload_binds_and_withdraws_ports(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = answered(w);
    ln_policy *both = POLICY("publish tcp 127.0.0.1 8080 81", "publish tcp 127.0.0.1 8081 82");
    assert_int_equal(ln_gateway_reload(w->gw, both, NULL), 0);
    guest_send(&g, "still", 5);
    host_expect(host, "still", 5);
    int next = call("127.0.0.1", "127.0.0.1");
    struct guest h = answered(w);
    assert_int_equal(h.port, 81);

    ln_policy *none = POLICY("publish tcp 127.0.0.1 8081 82");
    assert_int_equal(ln_gateway_reload(w->gw, none, NULL), 0);
    guest_hear(&g);
    guest_hear(&h);
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(h.state, GUEST_RESET);
    host_expect_reset(host);
    host_expect_reset(next);
    close(host);
    close(next);
    int probe = netns_udp("127.0.0.1", 0);
    close(probe);
    guest_free(&g);
    guest_free(&h);
    ln_policy_unref(both);
    ln_policy_unref(none);
}

static void test_reload_that_cannot_bind_changes_nothing(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 127.0.0.1 8080 80"));
    int taken = netns_udp("127.0.0.1", OTHER_PORT);
    ln_policy *bad = POLICY("publish tcp 127.0.0.1 8082 80", "publish udp 127.0.0.1 8081 80");
    ln_error error;
    assert_int_equal(ln_gateway_reload(w->gw, bad, &error), -EADDRINUSE);
    assert_non_null(strstr(error.message, "port_bindings[2]"));
    int host = call("127.0.0.1", "127.0.0.1");
    struct guest g = answered(w);
    close(host);
    close(taken);
    guest_free(&g);
    ln_policy_unref(bad);
}

static void test_reload_resets_callers_that_are_denied_now(void **state)
{
    struct world *w = begin(state, POLICY("publish tcp 0.0.0.0 8080 80"));
    int host = call(NETNS_OTHER4, NETNS_HOST4);
    struct guest g = answered(w);
    ln_policy *closed = POLICY("publish tcp 0.0.0.0 8080 80", "default_ingress=deny");
    assert_int_equal(ln_gateway_reload(w->gw, closed, NULL), 0);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    host_expect_reset(host);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    close(host);
    guest_free(&g);
    ln_policy_unref(closed);
}

/* ---- UDP ---- */

static void hear_datagram(struct world *w, struct heard **ret, const char *text)
{
    settle(w);
    *ret = next_heard(w);
    assert_non_null(*ret);
    assert_int_equal((*ret)->protocol, IPPROTO_UDP);
    assert_int_equal((*ret)->payload_len, strlen(text));
    assert_memory_equal((*ret)->payload, text, strlen(text));
}

static void answer_datagram(struct world *w, const struct heard *h, const char *text)
{
    uint8_t frame[2000];
    put(w, frame, guest_udp(frame, &h->dst, h->dst_port, &h->src, h->src_port, text, strlen(text)));
    settle(w);
}

static void expect_datagram(int fd, const char *text)
{
    char found[100];
    ssize_t n = recv(fd, found, sizeof(found), 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(found, text, strlen(text));
}

static void test_datagrams_of_several_callers_are_answered_each(void **state)
{
    struct world *w = begin(state, POLICY("publish udp 0.0.0.0 8080 53", "publish udp :: 8080 53"));
    const char *const froms[] = {NETNS_OTHER4, NETNS_OTHER4, NETNS_OTHER6, "127.0.0.1"};
    const char *const tos[] = {NETNS_HOST4, NETNS_HOST4, NETNS_HOST6, "127.0.0.1"};
    for (int i = 0; i < 4; i++) {
        struct heard *h;
        /* Connected: an answer from another address than was called would not be taken. */
        int fd = caller(SOCK_DGRAM, froms[i], 0, tos[i], HOST_PORT);
        assert_int_equal(send(fd, "ask", 3, 0), 3);
        hear_datagram(w, &h, "ask");
        assert_int_equal(h->dst_port, 53);
        if (i < 3) {
            assert_address(&h->src, froms[i]);
            assert_int_equal(h->src_port, netns_port(fd));
        } else {
            assert_true(ln_addr_equal(&h->src, &w->link.gateway4));
        }
        answer_datagram(w, h, "told");
        expect_datagram(fd, "told");
        close(fd);
    }
    assert_int_equal(count_told(w, LN_EVENT_FLOW_OPEN), 4);
}

static void test_datagrams_of_a_refused_caller_are_dropped_and_told_once(void **state)
{
    struct world *w = begin(state, POLICY("publish udp 0.0.0.0 8080 53", "default_ingress=deny"));
    int fd = caller(SOCK_DGRAM, NETNS_OTHER4, 0, NETNS_HOST4, HOST_PORT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send(fd, "ask", 3, 0), 3);
        expect_silence(w);
    }
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(dropped(w, DROP_POLICY), 3);
    close(fd);
}

static void test_datagram_flow_of_a_caller_ends_when_idle(void **state)
{
    struct world *w = begin(state, POLICY("publish udp 127.0.0.1 8080 53"));
    struct heard *h;
    int fd = caller(SOCK_DGRAM, "127.0.0.1", 0, "127.0.0.1", HOST_PORT);
    assert_int_equal(send(fd, "ask", 3, 0), 3);
    hear_datagram(w, &h, "ask");
    pass(w, 32000);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->reason, "idle");
    assert_int_equal(send(fd, "ask", 3, 0), 3);
    hear_datagram(w, &h, "ask");
    answer_datagram(w, h, "told");
    pass(w, 100000);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_CLOSE), 1);
    pass(w, 82000);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_CLOSE), 2);
    close(fd);
}

static void test_callers_without_an_answer_are_bounded(void **state)
{
    struct world *w = begin(state, POLICY("publish udp 127.0.0.1 8080 53", "limits.half_open=4"));
    for (int i = 0; i < 10; i++) {
        int fd = caller(SOCK_DGRAM, "127.0.0.1", 0, "127.0.0.1", HOST_PORT);
        assert_int_equal(send(fd, "ask", 3, 0), 3);
        settle(w);
        close(fd);
    }
    ln_stats stats;
    ln_gateway_stats(w->gw, &stats);
    assert_int_equal(stats.flows_now, 4);
    assert_int_equal(stats.flows_evicted, 6);
}

static void test_withdrawn_datagram_port_ends_its_flows(void **state)
{
    struct world *w = begin(state, POLICY("publish udp 127.0.0.1 8080 53"));
    struct heard *h;
    int fd = caller(SOCK_DGRAM, "127.0.0.1", 0, "127.0.0.1", HOST_PORT);
    assert_int_equal(send(fd, "ask", 3, 0), 3);
    hear_datagram(w, &h, "ask");
    struct heard asked = *h;
    ln_policy *none = POLICY("default_egress=deny");
    assert_int_equal(ln_gateway_reload(w->gw, none, NULL), 0);
    answer_datagram(w, &asked, "told");
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_CLOSE), 1);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1); /* the guest's, to the gateway */
    close(fd);
    ln_policy_unref(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_call_reaches_the_guest_and_bytes_go_both_ways),
        TEST(test_guest_sees_the_callers_own_address),
        TEST(test_any_address_of_ipv6_takes_calls_of_ipv4),
        TEST(test_refused_caller_is_reset_and_the_guest_hears_nothing),
        TEST(test_closed_port_of_the_guest_resets_the_caller),
        TEST(test_guest_that_does_not_answer_is_called_again_and_given_up),
        TEST(test_what_a_caller_sends_before_the_guest_answers_is_not_lost),
        TEST(test_caller_that_resets_resets_the_guest),
        TEST(test_caller_that_does_not_read_slows_the_guest_down),
        TEST(test_callers_of_the_same_port_are_told_apart),
        TEST(test_caller_from_a_port_that_lunette_answers_at_gets_through),
        TEST(test_calls_in_progress_push_out_calls_and_not_the_guests_own),
        TEST(test_port_in_use_is_an_error_that_names_field_and_port),
        TEST(test_reload_binds_and_withdraws_ports),
        TEST(test_reload_that_cannot_bind_changes_nothing),
        TEST(test_reload_resets_callers_that_are_denied_now),
        TEST(test_datagrams_of_several_callers_are_answered_each),
        TEST(test_datagrams_of_a_refused_caller_are_dropped_and_told_once),
        TEST(test_datagram_flow_of_a_caller_ends_when_idle),
        TEST(test_callers_without_an_answer_are_bounded),
        TEST(test_withdrawn_datagram_port_ends_its_flows),
    };
    have_netns = netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
