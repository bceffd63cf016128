/* upstream_proxy: a proxy played by the test, on the host's loopback. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frame.h"
#include "harness.h"

#define SEND(fd, text)   host_send(fd, text, sizeof(text) - 1)
#define EXPECT(fd, text) host_expect(fd, text, sizeof(text) - 1)

/* "KEY=SCHEME://[…]127.0.0.1:PORT"; good for two calls. */
static const char *setting(const char *start, uint16_t port)
{
    static char text[2][128];
    static int turn;
    turn ^= 1;
    snprintf(text[turn], sizeof(text[turn]), "%s127.0.0.1:%u", start, port);
    return text[turn];
}

static void end(struct world *w, struct guest *g, int proxy, int listener)
{
    close(proxy);
    guest_free(g);
    world_stop(w);
    close(listener);
}

static void test_socks_carries_what_the_server_says_first(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@192.0.2.1:tcp:22", setting("upstream_proxy=socks5://", port)));
    struct guest g = guest_connect(&w, "192.0.2.1", 22);
    assert_int_equal(g.state, GUEST_SILENCE); /* until the proxy has connected */
    int proxy = host_accept(listener);
    EXPECT(proxy, "\5\1\0");
    SEND(proxy, "\5\0");
    settle(&w);
    EXPECT(proxy, "\5\1\0\1\xc0\0\2\1\0\x16");
    SEND(proxy, "\5\0\0\1\0\0\0");
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_SILENCE);
    SEND(proxy, "\0\0\0SSH-2.0\n");
    settle(&w);
    guest_expect(&g, "SSH-2.0\n", 8);
    assert_int_equal(g.state, GUEST_OPEN);
    guest_send_all(&g, "hello", 5);
    EXPECT(proxy, "hello");
    guest_finish(&g);
    host_expect_end(proxy);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 1);
    end(&w, &g, proxy, listener);
}

static void test_policy_judges_the_destination_before(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@192.0.2.1:tcp:22", "default_egress=reject",
                           setting("upstream_proxy=http://", port)));
    struct guest g = guest_connect(&w, "192.0.2.2", 22);
    assert_int_equal(g.state, GUEST_RESET);
    assert_false(host_has_connection(listener));
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_no_rule_opens_the_proxy_itself_nor_loopback(void **state)
{
    struct world w = {0};
    uint16_t port, other;
    int listener = host_listen(&port, 8), service = host_listen(&other, 8);
    (void)state;
    world_start(&w, POLICY("allow@*", setting("upstream_proxy=http://", port)));
    struct guest g = guest_connect_host(&w, port);
    assert_int_equal(g.state, GUEST_SILENCE);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_DENIED, 0)->reason, "never");
    assert_false(host_has_connection(listener));
    struct guest h = guest_connect_host(&w, other); /* straight, not by way of the proxy */
    assert_int_equal(h.state, GUEST_OPEN);
    assert_false(host_has_connection(listener));
    assert_true(host_has_connection(service));
    guest_free(&g);
    guest_free(&h);
    world_stop(&w);
    close(listener);
    close(service);
}

/* What the proxy is asked to connect to for a guest's connection to 192.0.2.1:PORT. */
static void expect_target(struct world *w, int listener, uint16_t port, const char *wanted)
{
    struct guest g = guest_connect(w, "192.0.2.1", port);
    int proxy = host_accept(listener);
    EXPECT(proxy, "CONNECT ");
    host_expect(proxy, wanted, strlen(wanted));
    EXPECT(proxy, " HTTP/1.1\r\n");
    close(proxy);
    guest_free(&g);
}

static void test_name_is_passed_where_a_rule_by_name_makes_it_certain(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@a.test:tcp:1", "allow@.test:tcp:2", "allow@192.0.2.0/24:tcp:3",
                           "upstream_proxy.resolve=remote",
                           setting("upstream_proxy.url=http://", port)));
    world_pin(&w, "a.test", "192.0.2.1");
    expect_target(&w, listener, 1, "a.test:1");
    expect_target(&w, listener, 2, "a.test:2");
    expect_target(&w, listener, 3, "192.0.2.1:3"); /* the name may lead elsewhere there */
    world_pin(&w, "b.test", "192.0.2.1");
    expect_target(&w, listener, 1, "a.test:1");
    expect_target(&w, listener, 2, "192.0.2.1:2"); /* which of the two is not known */
    world_stop(&w);
    close(listener);
}

static void test_credentials_are_given(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(
        &w, POLICY("allow@192.0.2.0/24:tcp", setting("upstream_proxy=http://us%65r:pass@", port)));
    struct guest g = guest_connect(&w, "192.0.2.1", 443);
    int proxy = host_accept(listener);
    EXPECT(proxy, "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n"
                  "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n");
    SEND(proxy, "HTTP/1.1 200 OK\r\n\r\n");
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_OPEN);
    end(&w, &g, proxy, listener);
}

static void test_name_shown_is_passed_on(void **state)
{
    struct world w = {0};
    uint16_t port;
    uint8_t hello[1024];
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("deny@b.test", "allow@a.test", "upstream_proxy.resolve=remote",
                           setting("upstream_proxy.url=socks5://", port)));
    world_pin(&w, "a.test", "192.0.2.1");
    world_pin(&w, "b.test", "192.0.2.1");
    struct guest g = guest_connect(&w, "192.0.2.1", 443);
    assert_false(host_has_connection(listener)); /* the pins do not allow it */
    size_t len = client_hello(hello, "a.test");
    guest_send_all(&g, hello, len);
    int proxy = host_accept(listener);
    EXPECT(proxy, "\5\1\0");
    SEND(proxy, "\5\0");
    settle(&w);
    EXPECT(proxy, "\5\1\0\3\6a.test\1\xbb");
    SEND(proxy, "\5\0\0\1\0\0\0\0\0\0");
    settle(&w);
    host_expect(proxy, hello, len);
    end(&w, &g, proxy, listener);
}

/* What the guest hears and the event tells when the proxy answers a CONNECT so. */
static void refuse(const char *answer, enum guest_state state, const char *reason)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    world_start(&w, POLICY("allow@192.0.2.1:tcp", setting("upstream_proxy=http://", port)));
    struct guest g = guest_connect(&w, "192.0.2.1", 80);
    int proxy = host_accept(listener);
    EXPECT(proxy, "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n");
    host_send(proxy, answer, strlen(answer));
    if (strcmp(answer, "") == 0) {
        shutdown(proxy, SHUT_RDWR);
    }
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, state);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, reason);
    end(&w, &g, proxy, listener);
}

static void test_refusals_of_the_proxy(void **state)
{
    (void)state;
    refuse("HTTP/1.1 407 No\r\n\r\n", GUEST_UNREACHABLE, "proxy_auth");
    refuse("HTTP/1.1 403 No\r\n\r\n", GUEST_UNREACHABLE, "prohibited");
    refuse("HTTP/1.1 502 No\r\n\r\n", GUEST_UNREACHABLE, "unreachable");
    refuse("SSH-2.0\r\n\r\n", GUEST_UNREACHABLE, "proxy_protocol");
    refuse("", GUEST_UNREACHABLE, "proxy_protocol");
}

static void test_socks_refusal_is_a_reset(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@192.0.2.1:tcp", setting("upstream_proxy=socks5://", port)));
    struct guest g = guest_connect(&w, "192.0.2.1", 80);
    int proxy = host_accept(listener);
    SEND(proxy, "\5\0");
    settle(&w);
    SEND(proxy, "\5\5");
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "refused");
    end(&w, &g, proxy, listener);
}

static void test_silent_proxy_is_given_up(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@192.0.2.1:tcp", "limits.tcp_connect_ms=2000",
                           setting("upstream_proxy=socks5://", port)));
    struct guest g = guest_connect(&w, "192.0.2.1", 80);
    int proxy = host_accept(listener);
    SEND(proxy, "\5");
    pass(&w, 1900);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_SILENCE);
    pass(&w, 200);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_UNREACHABLE);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "connect_timeout");
    end(&w, &g, proxy, listener);
}

static void test_proxy_that_is_not_there_is_no_closed_port(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(
        &w, POLICY("allow@192.0.2.1:tcp", setting("upstream_proxy=socks5://", host_closed_port())));
    struct guest g = guest_connect(&w, "192.0.2.1", 80);
    assert_int_equal(g.state, GUEST_UNREACHABLE);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "proxy");
    guest_free(&g);
    world_stop(&w);
}

static void test_reload_leads_what_follows_elsewhere(void **state)
{
    struct world w = {0};
    uint16_t port, other;
    int listener = host_listen(&port, 8), second = host_listen(&other, 8);
    (void)state;
    world_start(&w, POLICY("allow@192.0.2.1:tcp", setting("upstream_proxy=socks5://", port)));
    struct guest g = guest_connect(&w, "192.0.2.1", 80);
    int proxy = host_accept(listener);
    EXPECT(proxy, "\5\1\0");
    ln_policy *moved = POLICY("allow@192.0.2.1:tcp", setting("upstream_proxy=http://", other));
    assert_int_equal(ln_gateway_reload(w.gw, moved, NULL), 0);
    SEND(proxy, "\5\0");
    settle(&w);
    EXPECT(proxy, "\5\1\0\1\xc0\0\2\1\0\x50"); /* what was begun goes on */
    SEND(proxy, "\5\0\0\1\0\0\0\0\0\0");
    settle(&w);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_OPEN);
    struct guest h = guest_connect(&w, "192.0.2.1", 81);
    assert_false(host_has_connection(listener));
    int next = host_accept(second);
    EXPECT(next, "CONNECT 192.0.2.1:81 HTTP/1.1\r\n");
    close(next);
    guest_free(&h);
    end(&w, &g, proxy, listener);
    close(second);
    ln_policy_unref(moved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socks_carries_what_the_server_says_first),
        cmocka_unit_test(test_policy_judges_the_destination_before),
        cmocka_unit_test(test_no_rule_opens_the_proxy_itself_nor_loopback),
        cmocka_unit_test(test_name_is_passed_where_a_rule_by_name_makes_it_certain),
        cmocka_unit_test(test_credentials_are_given),
        cmocka_unit_test(test_name_shown_is_passed_on),
        cmocka_unit_test(test_refusals_of_the_proxy),
        cmocka_unit_test(test_socks_refusal_is_a_reset),
        cmocka_unit_test(test_silent_proxy_is_given_up),
        cmocka_unit_test(test_proxy_that_is_not_there_is_no_closed_port),
        cmocka_unit_test(test_reload_leads_what_follows_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
