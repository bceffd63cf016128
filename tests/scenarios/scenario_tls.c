/* Intercepted TLS and plain HTTP that is read: their life, with a TLS client as the guest and a TLS
 * server as the host. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/interception.h"
#include "tls_scene.h"

enum { ROUNDS = 20 };

/* ---- what goes well ---- */

static void test_a_request_goes_up_and_its_answer_down(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    const struct told *told = told_nth(&s.w, LN_EVENT_HTTP_REQUEST, 0);
    assert_string_equal(told->name, NAME);
    assert_int_equal(told->status, 200);
    assert_int_equal(count_told(&s.w, LN_EVENT_TLS_INTERCEPTED), 1);
    assert_int_equal(s.w.gw->flows.lists[FLOW_OPEN].count, 1);
    end(&s);
}

static void test_each_sides_end_is_told_to_the_other(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    tls_session_finish(s.guest.tls);
    go_on(&s);
    guest_finish(&s.g);
    go_on(&s);
    assert_true(s.host.over);
    assert_false(tls_session_truncated(s.host.tls));
    host_expect_end(s.fd);
    close(s.fd);
    s.fd = -1;
    go_on(&s);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "done");
    end(&s);
}

static void test_what_the_host_cuts_short_looks_cut_short(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    say(&s.guest, "GET / HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(&s);
    say(&s.host, "HTTP/1.1 200 OK\r\n\r\nuntil the e"); /* its end is the connection's */
    go_on(&s);
    close(s.fd); /* without close_notify */
    s.fd = -1;
    go_on(&s);
    expect_text(&s.guest, "until the e");
    assert_true(s.guest.over || s.g.state == GUEST_RESET);
    assert_true(s.g.state == GUEST_RESET || tls_session_truncated(s.guest.tls));
    end(&s);
}

/* ---- handshakes that fail ---- */

/* A guest that asks gets to hear why. */
static void expect_502(struct scene *s, const char *reason)
{
    go_on(s);
    assert_true(tls_session_is_open(s->guest.tls));
    say(&s->guest, "GET / HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(s);
    s->guest.text[s->guest.len] = '\0';
    assert_non_null(strstr(s->guest.text, "HTTP/1.1 502"));
    expect_text(&s->guest, reason);
    assert_string_equal(told_nth(&s->w, LN_EVENT_TLS_ERROR, 0)->reason, reason);
}

static void test_a_host_that_never_answers_is_told_by_502(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp", "limits.tcp_connect_ms=3000");
    open_flow(&s);
    begin_guest(&s, NAME, TLS_ALPN_HTTP11);
    s.fd = host_accept(s.listener);
    go_on(&s);
    assert_int_equal(s.w.gw->flows.lists[FLOW_HALF_OPEN].count, 1);
    pass(&s.w, 3100);
    expect_502(&s, "timeout");
    end(&s);
}

static void test_a_host_of_another_name_is_told_by_502_and_gets_nothing(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_flow(&s);
    begin_guest(&s, NAME, TLS_ALPN_HTTP11);
    begin_host(&s, "other.test", TLS_ALPN_HTTP11);
    expect_502(&s, "name_mismatch");
    assert_int_equal(s.host.len, 0);
    end(&s);
}

static void test_a_guest_that_stops_in_its_handshake_is_ended(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp", "limits.tcp_connect_ms=3000");
    open_flow(&s);
    begin_guest(&s, NAME, TLS_ALPN_HTTP11);
    begin_host(&s, NAME, TLS_ALPN_HTTP11);
    move_guest(&s); /* the hello, and nothing more */
    for (int i = 0; i < ROUNDS; i++) {
        move_host(&s);
        settle(&s.w);
    }
    assert_int_equal(s.w.gw->flows.lists[FLOW_HALF_OPEN].count, 1);
    pass(&s.w, 3100);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    assert_string_equal(told_nth(&s.w, LN_EVENT_TLS_ERROR, 0)->reason, "guest_timeout");
    end(&s);
}

static void test_a_guest_that_does_not_trust_us_is_told_of(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    tls_roots_unref(s.roots);
    s.roots = tls_roots_none();
    open_flow(&s);
    begin_guest(&s, NAME, TLS_ALPN_HTTP11);
    begin_host(&s, NAME, TLS_ALPN_HTTP11);
    go_on(&s);
    assert_string_equal(told_nth(&s.w, LN_EVENT_TLS_ERROR, 0)->reason, "guest_alert");
    assert_int_equal(count_told(&s.w, LN_EVENT_TLS_INTERCEPTED), 0);
    end(&s);
}

static void test_handshakes_make_room_for_others(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp", "limits.half_open=4");
    struct guest guests[6];
    uint8_t hello[1024];
    size_t len = client_hello(hello, NAME);
    for (int i = 0; i < 6; i++) {
        guests[i] = guest_connect(&s.w, HOST, s.port);
        guest_send(&guests[i], hello, len);
    }
    assert_true(s.w.gw->flows.lists[FLOW_HALF_OPEN].count <= 4);
    guest_hear(&guests[0]);
    guest_hear(&guests[5]);
    assert_int_equal(guests[0].state, GUEST_RESET);
    assert_int_equal(guests[5].state, GUEST_OPEN);
    for (int i = 0; i < 6; i++) {
        guest_free(&guests[i]);
    }
    end(&s);
}

/* ---- first flights ---- */

static void host_expect_nothing_now(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
}

static void test_a_hello_byte_by_byte_is_one_hello(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@" NAME ":tcp");
    open_flow(&s);
    begin_guest(&s, NAME, TLS_ALPN_HTTP11);
    begin_host(&s, NAME, TLS_ALPN_HTTP11);
    advance(&s.guest);
    struct byte_queue *hello = tls_session_output(s.guest.tls);
    for (; hello->len > 0; byte_queue_drop(hello, 1)) {
        host_expect_nothing_now(s.fd);
        guest_send_all(&s.g, byte_queue_bytes(hello), 1);
    }
    go_on(&s);
    assert_true(tls_session_is_open(s.guest.tls));
    assert_string_equal(told_nth(&s.w, LN_EVENT_TLS_INTERCEPTED, 0)->name, NAME);
    end(&s);
}

static void test_a_slow_hello_never_reaches_the_host(void **state)
{
    struct scene s;
    uint8_t hello[1024];
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_flow(&s);
    s.fd = host_accept(s.listener);
    guest_send(&s.g, hello, client_hello(hello, NAME) - 1);
    pass(&s.w, 11000);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.fd);
    end(&s);
}

static void test_a_hello_that_is_cut_is_told_of_once(void **state)
{
    struct scene s;
    uint8_t hello[1024];
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_flow(&s);
    s.fd = host_accept(s.listener);
    guest_send(&s.g, hello, client_hello(hello, NAME) - 1);
    guest_finish(&s.g);
    pass(&s.w, 100);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.fd);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_OPEN), 0);
    assert_int_equal(count_told(&s.w, LN_EVENT_FLOW_CLOSE), 0);
    end(&s);
}

static void test_a_silent_guest_hears_a_server_that_speaks_first(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_flow(&s);
    s.fd = host_accept(s.listener);
    pass(&s.w, 20000);
    host_send(s.fd, "220 hello\r\n", 11);
    guest_expect(&s.g, "220 hello\r\n", 11);
    guest_send(&s.g, "HELO me\r\n", 9);
    host_expect(s.fd, "HELO me\r\n", 9);
    end(&s);
}

static void test_tls_behind_a_server_that_spoke_is_refused(void **state)
{
    struct scene s;
    uint8_t hello[1024];
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_flow(&s);
    s.fd = host_accept(s.listener);
    host_send(s.fd, "220 hello\r\n", 11);
    guest_expect(&s.g, "220 hello\r\n", 11);
    guest_send(&s.g, hello, client_hello(hello, NAME));
    assert_int_equal(s.g.state, GUEST_RESET);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "server_first");
    host_expect_reset(s.fd);
    end(&s);
}

/* ---- a policy that changes ---- */

static void test_a_reload_that_denies_ends_it_and_another_does_not(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    assert_int_equal(ln_gateway_reload(s.w.gw, s.w.policy, NULL), 0);
    say(&s.guest, "GET /again HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(&s);
    expect_text(&s.host, "GET /again");
    ln_policy *closed = POLICY("default_egress=deny");
    assert_int_equal(ln_gateway_reload(s.w.gw, closed, NULL), 0);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.fd);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "denied");
    ln_policy_unref(closed);
    end(&s);
}

static void test_a_name_taken_back_ends_it(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@" NAME ":tcp");
    open_all(&s);
    assert_int_equal(ln_gateway_revoke(s.w.gw, NAME), 0);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.fd);
    end(&s);
}

/* ---- memory ---- */

static void test_memory_of_a_large_answer_is_let_go_of(void **state)
{
    enum { BODY = 60000, KEPT_MAX = 16 << 10 };
    static char answer[BODY + 100];
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    say(&s.guest, "GET / HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(&s);
    int head =
        snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY);
    memset(answer + head, 'x', BODY);
    say(&s.host, answer);
    go_on(&s);
    assert_true(s.guest.len >= BODY);
    const struct flow *flow = s.w.gw->flows.lists[FLOW_OPEN].newest;
    const struct tcp_flow *f = (const struct tcp_flow *)(const void *)flow;
    const struct interception *ix =
        (const struct interception *)(const void *)f->inspection; /* its first member */
    const struct byte_queue *queues[] = {&ix->host.wire, &ix->host.plain, &ix->relay->to_guest,
                                         tls_session_output(ix->guest.tls)};
    for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
        assert_in_range(queues[i]->room, 0, KEPT_MAX);
    }
    end(&s);
}

/* ---- resets ---- */

static void test_a_reset_in_the_middle_reaches_the_other_side(void **state)
{
    struct scene s;
    (void)state;
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    guest_reset(&s.g);
    host_expect_reset(s.fd);
    end(&s);
    BEGIN(&s, "allow@host:tcp");
    open_all(&s);
    say(&s.guest, "GET / HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(&s);
    say(&s.host, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    go_on(&s);
    host_reset(s.fd);
    s.fd = -1;
    go_on(&s);
    assert_int_equal(s.g.state, GUEST_RESET);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_goes_up_and_its_answer_down),
        cmocka_unit_test(test_each_sides_end_is_told_to_the_other),
        cmocka_unit_test(test_what_the_host_cuts_short_looks_cut_short),
        cmocka_unit_test(test_a_host_that_never_answers_is_told_by_502),
        cmocka_unit_test(test_a_host_of_another_name_is_told_by_502_and_gets_nothing),
        cmocka_unit_test(test_a_guest_that_stops_in_its_handshake_is_ended),
        cmocka_unit_test(test_a_guest_that_does_not_trust_us_is_told_of),
        cmocka_unit_test(test_handshakes_make_room_for_others),
        cmocka_unit_test(test_a_hello_byte_by_byte_is_one_hello),
        cmocka_unit_test(test_a_slow_hello_never_reaches_the_host),
        cmocka_unit_test(test_a_hello_that_is_cut_is_told_of_once),
        cmocka_unit_test(test_a_silent_guest_hears_a_server_that_speaks_first),
        cmocka_unit_test(test_tls_behind_a_server_that_spoke_is_refused),
        cmocka_unit_test(test_a_reload_that_denies_ends_it_and_another_does_not),
        cmocka_unit_test(test_a_name_taken_back_ends_it),
        cmocka_unit_test(test_memory_of_a_large_answer_is_let_go_of),
        cmocka_unit_test(test_a_reset_in_the_middle_reaches_the_other_side),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
