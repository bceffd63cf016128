/* TCP flows whose verdict hangs on a name: pins, first flights, servers that speak first. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frame.h"
#include "harness.h"
#include "net/tcp_flow.h"

#define HOST "172.16.0.1" /* the host's address as the guest knows it */

enum { HELLO_MAX = 1024 };

/* Two names are pinned to the host's address. In `one_of_two`, what shows no name is allowed by the
 * pins; in `not_the_other` it is not, since the address is that of a denied name too; in
 * `all_but_one` the address is allowed, but for one name. */
#define ONE_OF_TWO    POLICY("allow@good.test:tcp")
#define NOT_THE_OTHER POLICY("deny@bad.test", "allow@good.test:tcp")
#define ALL_BUT_ONE   POLICY("deny_domains=other.test", "allow@host:tcp")

struct scene {
    struct world w;
    int listener;
    uint16_t port;
};

static void begin(struct scene *s, ln_policy *policy)
{
    *s = (struct scene){0};
    s->listener = host_listen(&s->port, 64);
    world_start(&s->w, policy);
    world_pin(&s->w, "good.test", HOST);
    world_pin(&s->w, "bad.test", HOST);
}

static void end(struct scene *s)
{
    world_stop(&s->w);
    close(s->listener);
}

static struct guest open_flow(struct scene *s)
{
    struct guest g = guest_connect(&s->w, HOST, s->port);
    assert_int_equal(g.state, GUEST_OPEN);
    return g;
}

/* Sends the hello; the flow is reset, and exactly one event says for which name. */
static void expect_denied(struct scene *s, struct guest *g, const char *sni)
{
    uint8_t hello[HELLO_MAX];
    guest_send(g, hello, client_hello(hello, sni));
    assert_int_equal(g->state, GUEST_RESET);
    assert_int_equal(count_told(&s->w, LN_EVENT_FLOW_DENIED), 1);
    assert_string_equal(told_nth(&s->w, LN_EVENT_FLOW_DENIED, 0)->name, sni);
}

static void test_named_and_pinned_passes_byte_for_byte(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    size_t len = client_hello(hello, "GOOD.test");
    guest_send(&g, hello, len);
    int host = host_accept(s.listener);
    host_expect(host, hello, len);
    guest_send(&g, "more", 4);
    host_expect(host, "more", 4);
    host_send(host, "answer", 6);
    guest_expect(&g, "answer", 6);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 1);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_OPEN, 0)->name, "good.test");
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_another_name_of_the_address_is_reset_before_a_byte_leaves(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    expect_denied(&s, &g, "bad.test");
    host_expect_reset(host);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 0);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_a_name_merely_claimed_opens_nothing(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, POLICY("allow@good.test:tcp", "allow@forged.test:tcp"));
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    expect_denied(&s, &g, "forged.test"); /* allowed, but never resolved to this address */
    host_expect_reset(host);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_same_tuple_denied_by_name_is_told_once(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    expect_denied(&s, &g, "bad.test");
    for (int i = 0; i < 5; i++) {
        pass(&s.w, 5000);
        g.state = GUEST_SILENCE;
        guest_syn(&g);
        assert_int_equal(g.state, GUEST_RESET);
    }
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 1);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_hello_byte_by_byte_is_one_hello(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    size_t len = client_hello(hello, "good.test");
    for (size_t i = 0; i < len; i++) {
        if (i + 1 == len) {
            host_expect_nothing(host);
        }
        assert_int_equal(guest_send(&g, hello + i, 1), 1);
    }
    host_expect(host, hello, len);

    struct guest other = open_flow(&s);
    int other_host = host_accept(s.listener);
    len = client_hello(hello, "bad.test");
    for (size_t i = 0; i < len && other.state == GUEST_OPEN; i++) {
        guest_send(&other, hello + i, 1);
    }
    assert_int_equal(other.state, GUEST_RESET);
    host_expect_reset(other_host);
    close(host);
    close(other_host);
    guest_free(&g);
    guest_free(&other);
    end(&s);
}

static void test_http_host_counts_like_a_hello(void **state)
{
    static const char good[] = "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n";
    static const char bad[] = "GET / HTTP/1.1\r\nHost: bad.test\r\n\r\n";
    struct scene s;
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    guest_send(&g, good, strlen(good));
    host_expect(host, good, strlen(good));
    struct guest other = open_flow(&s);
    int other_host = host_accept(s.listener);
    guest_send(&other, bad, strlen(bad));
    assert_int_equal(other.state, GUEST_RESET);
    host_expect_reset(other_host);
    close(host);
    close(other_host);
    guest_free(&g);
    guest_free(&other);
    end(&s);
}

static void test_server_that_speaks_first_is_heard_at_once(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    host_send(host, "SSH-2.0-server\r\n", 16);
    guest_expect(&g, "SSH-2.0-server\r\n", 16);
    guest_send(&g, "SSH-2.0-client\r\n", 16);
    host_expect(host, "SSH-2.0-client\r\n", 16);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 1);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_name_behind_a_server_greeting_still_counts(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    host_send(host, "220 ready\r\n", 11);
    guest_expect(&g, "220 ready\r\n", 11);
    pass(&s.w, 60000);
    expect_denied(&s, &g, "other.test");
    host_expect_reset(host);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "denied");
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_closed_port_looks_closed_though_a_name_may_matter(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = guest_connect(&s.w, HOST, host_closed_port());
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 0);
    end(&s);
}

static void test_nothing_leaves_before_the_name_where_the_pins_deny(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, NOT_THE_OTHER);
    struct guest g = open_flow(&s);
    assert_false(host_has_connection(s.listener));
    size_t len = client_hello(hello, "good.test");
    guest_send(&g, hello, 20);
    assert_false(host_has_connection(s.listener));
    guest_send(&g, hello + 20, len - 20);
    int host = host_accept(s.listener);
    guest_send(&g, "and more", 8);
    host_expect(host, hello, len);
    host_expect(host, "and more", 8);
    close(host);

    struct guest other = open_flow(&s);
    expect_denied(&s, &other, "bad.test");
    assert_false(host_has_connection(s.listener));
    guest_free(&g);
    guest_free(&other);
    end(&s);
}

static void test_host_that_refuses_after_the_name_resets_the_guest(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, NOT_THE_OTHER);
    struct guest g = guest_connect(&s.w, HOST, host_closed_port());
    assert_int_equal(g.state, GUEST_OPEN);
    guest_send(&g, hello, client_hello(hello, "good.test"));
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "refused");
    guest_free(&g);
    end(&s);
}

static void test_no_name_in_time_is_denied_where_the_pins_deny(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, NOT_THE_OTHER);
    struct guest silent = open_flow(&s);
    struct guest slow = open_flow(&s);
    client_hello(hello, "good.test");
    guest_send(&slow, hello, 30);
    pass(&s.w, 5000);
    guest_hear(&silent);
    guest_hear(&slow);
    assert_int_equal(silent.state, GUEST_RESET);
    assert_int_equal(slow.state, GUEST_OPEN); /* a hello gets longer */
    pass(&s.w, 5000);
    guest_hear(&slow);
    assert_int_equal(slow.state, GUEST_RESET);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 2);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_DENIED, 0)->reason, "no_name");
    assert_false(host_has_connection(s.listener));
    guest_free(&silent);
    guest_free(&slow);
    end(&s);
}

static void test_end_without_a_name_is_denied_where_the_pins_deny(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, NOT_THE_OTHER);
    struct guest g = open_flow(&s);
    guest_finish(&g);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 1);
    assert_false(host_has_connection(s.listener));
    guest_free(&g);
    end(&s);
}

static void test_end_without_a_name_passes_where_the_pins_allow(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    guest_finish(&g);
    host_expect_end(host);
    close(host);
    guest_hear(&g);
    assert_true(g.fin);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 1);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_CLOSE), 1);
    guest_free(&g);
    end(&s);
}

/* What was looked at is what is passed on: the guest is not asked for the rest again, which could
 * come with other bytes. */
static void test_first_flight_that_the_host_takes_in_parts_is_taken_whole(void **state)
{
    struct scene s = {.w.mtu = 65520};
    int least = 1;
    char request[12000];
    (void)state;
    s.listener = host_listen(&s.port, 64);
    assert_int_equal(setsockopt(s.listener, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least)), 0);
    world_start(&s.w, ONE_OF_TWO);
    world_pin(&s.w, "good.test", HOST);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    struct flow *flow = s.w.gw->flows.lists[FLOW_OPEN].newest;
    int fd = ((struct tcp_flow *)(void *)flow)->host.fd;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    memset(request, 'x', sizeof(request));
    static const char head[] = "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n";
    memcpy(request, head, sizeof(head) - 1);
    uint8_t frame[sizeof(request) + 100];
    struct guest_segment segment = {
        .src = g.addr,
        .dst = g.peer,
        .src_port = g.port,
        .dst_port = g.peer_port,
        .seq = g.snd_nxt,
        .ack = g.rcv_nxt,
        .flags = TCP_ACK | TCP_PSH,
        .window = g.own_window,
    };
    put(&s.w, frame, guest_tcp(frame, &segment, request, sizeof(request)));
    settle(&s.w);
    guest_hear(&g);
    assert_int_equal(g.snd_una, g.snd_nxt + sizeof(request));
    for (size_t at = 0; at < sizeof(request); at += 500) {
        host_expect(host, request + at, 500);
        settle(&s.w);
    }
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_slow_hello_gets_nowhere_with_a_denied_name(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    size_t len = client_hello(hello, "other.test");
    guest_send(&g, hello, 30);
    host_expect_nothing(host);
    pass(&s.w, 11000); /* its time is up: the pins allow what was sent */
    host_expect(host, hello, 30);
    guest_send(&g, hello + 30, 10);
    host_expect(host, hello + 30, 10);
    guest_send(&g, hello + 40, len - 40);
    assert_int_equal(g.state, GUEST_RESET);
    host_expect_reset(host);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 1);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_DENIED, 0)->name, "other.test");
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_slow_hello_with_an_allowed_name_arrives_whole(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    size_t len = client_hello(hello, "good.test");
    guest_send(&g, hello, 30);
    pass(&s.w, 11000);
    guest_send(&g, hello + 30, len - 30);
    guest_send(&g, "more", 4);
    host_expect(host, hello, len);
    host_expect(host, "more", 4);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 1);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_request_head_that_never_names_its_host_is_refused(void **state)
{
    struct scene s;
    static char head[20000];
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    memset(head, 'a', sizeof(head));
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    for (size_t sent = 0, n = 1; n > 0 && sent < sizeof(head) && g.state == GUEST_OPEN; sent += n) {
        n = guest_send(&g, head + sent, sizeof(head) - sent);
    }
    assert_int_equal(g.state, GUEST_RESET);
    host_expect_reset(host);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_DENIED, 0)->reason, "first_flight_too_long");
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_first_flight_that_can_be_read_two_ways_is_refused(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: good.test\r\nHost: other.test\r\n\r\n";
    struct scene s;
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    guest_send(&g, head, strlen(head));
    assert_int_equal(g.state, GUEST_RESET);
    host_expect_reset(host);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_DENIED, 0)->reason, "first_flight_malformed");
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_flood_of_half_open_flows_pushes_out_only_its_own(void **state)
{
    struct scene s;
    struct guest half[6];
    ln_stats stats;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, POLICY("deny@bad.test", "allow@good.test:tcp", "limits.half_open=4"));
    struct guest g = open_flow(&s);
    guest_send(&g, hello, client_hello(hello, "good.test"));
    int host = host_accept(s.listener);
    for (int i = 0; i < 6; i++) {
        half[i] = open_flow(&s);
        guest_send(&half[i], hello, 20); /* each keeps a first flight */
    }
    ln_gateway_stats(s.w.gw, &stats);
    assert_int_equal(stats.half_open_now, 4);
    assert_int_equal(stats.flows_evicted, 2);
    assert_string_equal(told_nth(&s.w, LN_EVENT_LIMIT, 0)->reason, "half_open");
    for (int i = 0; i < 6; i++) {
        guest_hear(&half[i]);
        assert_int_equal(half[i].state, i < 2 ? GUEST_RESET : GUEST_OPEN);
        guest_free(&half[i]);
    }
    guest_send(&g, "alive", 5);
    size_t len = client_hello(hello, "good.test");
    host_expect(host, hello, len);
    host_expect(host, "alive", 5);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_open_flow_that_begins_a_first_flight_counts_as_half_open(void **state)
{
    struct scene s;
    struct guest g[6];
    int host[6];
    ln_stats stats;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, POLICY("deny_domains=other.test", "allow@host:tcp", "limits.half_open=4"));
    for (int i = 0; i < 6; i++) {
        g[i] = open_flow(&s);
        host[i] = host_accept(s.listener);
    }
    ln_gateway_stats(s.w.gw, &stats);
    assert_int_equal(stats.half_open_now, 0);
    client_hello(hello, "good.test");
    for (int i = 0; i < 6; i++) {
        guest_send(&g[i], hello, 20);
    }
    ln_gateway_stats(s.w.gw, &stats);
    assert_int_equal(stats.half_open_now, 4);
    for (int i = 0; i < 6; i++) {
        close(host[i]);
        guest_free(&g[i]);
    }
    end(&s);
}

static void test_reload_resets_what_is_denied_now_and_nothing_else(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin(&s, ALL_BUT_ONE);
    struct guest good = open_flow(&s);
    int good_host = host_accept(s.listener);
    size_t good_len = client_hello(hello, "good.test");
    guest_send(&good, hello, good_len);
    host_expect(good_host, hello, good_len);
    struct guest bad = open_flow(&s);
    int bad_host = host_accept(s.listener);
    size_t bad_len = client_hello(hello, "bad.test");
    guest_send(&bad, hello, bad_len);
    host_expect(bad_host, hello, bad_len);
    struct guest undecided = open_flow(&s);
    int undecided_host = host_accept(s.listener);

    ln_policy *policy = POLICY("deny_domains=bad.test", "allow@good.test:tcp");
    assert_int_equal(ln_gateway_reload(s.w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    guest_hear(&bad);
    assert_int_equal(bad.state, GUEST_RESET);
    host_expect_reset(bad_host);
    assert_int_equal(count_told(&s.w, LN_EVENT_RELOAD), 1);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 2);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_DENIED, 0)->name, "bad.test");
    /* Without a name the pins deny it now, though it has reached the host. */
    guest_hear(&undecided);
    assert_int_equal(undecided.state, GUEST_RESET);
    host_expect_reset(undecided_host);

    assert_int_equal(good.state, GUEST_OPEN);
    guest_send(&good, "alive", 5);
    host_expect(good_host, "alive", 5);
    close(good_host);
    close(bad_host);
    close(undecided_host);
    guest_free(&good);
    guest_free(&bad);
    guest_free(&undecided);
    end(&s);
}

static void test_reload_forgets_refusals(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, POLICY("allow@good.test:tcp:1"));
    struct guest g = guest_connect(&s.w, HOST, s.port);
    assert_int_equal(g.state, GUEST_SILENCE);
    ln_policy *policy = POLICY("allow@host:tcp");
    assert_int_equal(ln_gateway_reload(s.w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    guest_syn(&g);
    assert_int_equal(g.state, GUEST_OPEN);
    close(host_accept(s.listener));
    guest_free(&g);
    end(&s);
}

static void test_policy_that_cannot_be_enforced_keeps_the_old_one(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    ln_policy *policy = POLICY("ipv4_pool=10.0.0.0/8");
    assert_int_equal(ln_gateway_reload(s.w.gw, policy, NULL), -EADDRNOTAVAIL);
    ln_policy_unref(policy);
    guest_send(&g, "SSH-2.0-client\r\n", 16);
    host_expect(host, "SSH-2.0-client\r\n", 16);
    assert_int_equal(count_told(&s.w, LN_EVENT_RELOAD), 0);
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_refused_flow_is_let_in_once_its_name_is_resolved(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, POLICY("allow@late.test:tcp"));
    struct guest g = guest_connect(&s.w, HOST, s.port);
    assert_int_equal(g.state, GUEST_SILENCE);
    world_pin(&s.w, "late.test", HOST);
    guest_syn(&g);
    assert_int_equal(g.state, GUEST_SILENCE); /* judged again after a second */
    pass(&s.w, 1000);
    guest_syn(&g);
    assert_int_equal(g.state, GUEST_OPEN);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 1);
    close(host_accept(s.listener));
    guest_free(&g);
    end(&s);
}

static void test_pins_live_as_long_as_a_flow_uses_them(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, ONE_OF_TWO);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    guest_send(&g, "SSH-2.0-client\r\n", 16);
    pass(&s.w, 300000);
    struct guest second = open_flow(&s);
    int second_host = host_accept(s.listener);
    guest_reset(&g);
    guest_reset(&second);
    pass(&s.w, 300000);
    struct guest third = guest_connect(&s.w, HOST, s.port);
    assert_int_equal(third.state, GUEST_SILENCE);
    close(host);
    close(second_host);
    guest_free(&g);
    end(&s);
}

/* ---- names that no verdict hangs on ---- */

static void begin_learning(struct scene *s)
{
    *s = (struct scene){.w = {.learn_names = true}};
    s->listener = host_listen(&s->port, 64);
    world_start(&s->w, POLICY("default_egress=allow"));
    world_pin(&s->w, "good.test", HOST);
}

static void test_learned_name_is_told_and_holds_nothing_up(void **state)
{
    struct scene s;
    uint8_t hello[HELLO_MAX];
    (void)state;
    begin_learning(&s);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    size_t len = client_hello(hello, "bad.test"); /* never resolved, but all is allowed */
    guest_send(&g, hello, 20);
    host_expect(host, hello, 20);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 0);
    guest_send(&g, hello + 20, len - 20);
    host_expect(host, hello + 20, len - 20);
    guest_send(&g, "more", 4);
    host_expect(host, "more", 4);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 1);
    guest_reset(&g);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_OPEN, 0)->name, "bad.test");
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_OPEN, 0)->name_from, "shown");
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->name, "bad.test");
    close(host);
    guest_free(&g);
    end(&s);
}

static void test_learning_names_denies_nothing(void **state)
{
    static const char twice[] = "GET / HTTP/1.1\r\nHost: good.test\r\nHost: other.test\r\n\r\n";
    static char head[20000];
    struct scene s;
    (void)state;
    begin_learning(&s);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    guest_send(&g, twice, strlen(twice));
    host_expect(host, twice, strlen(twice));
    struct guest second = open_flow(&s);
    int second_host = host_accept(s.listener);
    memset(head, 'a', sizeof(head));
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    for (size_t sent = 0; sent < sizeof(head);) {
        size_t n = guest_send(&second, head + sent, sizeof(head) - sent);
        assert_true(n > 0);
        host_expect(second_host, head + sent, n);
        sent += n;
    }
    struct guest third = open_flow(&s); /* it shows the beginning of a hello, and goes */
    int third_host = host_accept(s.listener);
    guest_send(&third, "\26\3\1", 3);
    host_expect(third_host, "\26\3\1", 3);
    guest_reset(&third);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 0);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 3);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_OPEN, 0)->name, "good.test");
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_OPEN, 0)->name_from, "resolved");
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->name, "");
    close(host);
    close(second_host);
    close(third_host);
    guest_free(&g);
    guest_free(&second);
    guest_free(&third);
    end(&s);
}

static void test_learning_names_lets_a_silent_client_be(void **state)
{
    struct scene s;
    (void)state;
    begin_learning(&s);
    struct guest g = open_flow(&s);
    int host = host_accept(s.listener);
    pass(&s.w, 120000);
    host_send(host, "220 ready\r\n", 11);
    guest_expect(&g, "220 ready\r\n", 11);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 1);
    guest_send(&g, "HELO\r\n", 6);
    host_expect(host, "HELO\r\n", 6);
    close(host);
    guest_free(&g);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_and_pinned_passes_byte_for_byte),
        cmocka_unit_test(test_another_name_of_the_address_is_reset_before_a_byte_leaves),
        cmocka_unit_test(test_a_name_merely_claimed_opens_nothing),
        cmocka_unit_test(test_same_tuple_denied_by_name_is_told_once),
        cmocka_unit_test(test_hello_byte_by_byte_is_one_hello),
        cmocka_unit_test(test_http_host_counts_like_a_hello),
        cmocka_unit_test(test_server_that_speaks_first_is_heard_at_once),
        cmocka_unit_test(test_name_behind_a_server_greeting_still_counts),
        cmocka_unit_test(test_closed_port_looks_closed_though_a_name_may_matter),
        cmocka_unit_test(test_nothing_leaves_before_the_name_where_the_pins_deny),
        cmocka_unit_test(test_host_that_refuses_after_the_name_resets_the_guest),
        cmocka_unit_test(test_no_name_in_time_is_denied_where_the_pins_deny),
        cmocka_unit_test(test_end_without_a_name_is_denied_where_the_pins_deny),
        cmocka_unit_test(test_end_without_a_name_passes_where_the_pins_allow),
        cmocka_unit_test(test_first_flight_that_the_host_takes_in_parts_is_taken_whole),
        cmocka_unit_test(test_slow_hello_gets_nowhere_with_a_denied_name),
        cmocka_unit_test(test_slow_hello_with_an_allowed_name_arrives_whole),
        cmocka_unit_test(test_request_head_that_never_names_its_host_is_refused),
        cmocka_unit_test(test_first_flight_that_can_be_read_two_ways_is_refused),
        cmocka_unit_test(test_flood_of_half_open_flows_pushes_out_only_its_own),
        cmocka_unit_test(test_open_flow_that_begins_a_first_flight_counts_as_half_open),
        cmocka_unit_test(test_reload_resets_what_is_denied_now_and_nothing_else),
        cmocka_unit_test(test_reload_forgets_refusals),
        cmocka_unit_test(test_policy_that_cannot_be_enforced_keeps_the_old_one),
        cmocka_unit_test(test_refused_flow_is_let_in_once_its_name_is_resolved),
        cmocka_unit_test(test_pins_live_as_long_as_a_flow_uses_them),
        cmocka_unit_test(test_learned_name_is_told_and_holds_nothing_up),
        cmocka_unit_test(test_learning_names_denies_nothing),
        cmocka_unit_test(test_learning_names_lets_a_silent_client_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
