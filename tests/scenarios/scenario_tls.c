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

#include "base/host.h"
#include "harness.h"
#include "net/interception.h"
#include "tls/session.h"

#define HOST "172.16.0.1" /* the host's address as the guest knows it */
#define NAME "web.test"

enum { ROUNDS = 20, IDLE_ROUNDS = 4, TEXT_MAX = 65536 };

static char dir[] = "/tmp/lunette-scenario-XXXXXX";

/* One end of TLS outside of the gateway. */
struct end {
    struct tls_session *tls;
    char text[TEXT_MAX]; /* plaintext received */
    size_t len;
    size_t heard; /* bytes of ciphertext */
    bool over;
};

struct scene {
    struct world w;
    struct tls_engine *engine; /* both ends' */
    struct tls_authority *authority;
    struct tls_roots *roots; /* what the guest trusts */
    struct guest g;
    struct end guest, host;
    int listener, fd;
    uint16_t port;
};

/* ---- certificates ---- */

static void write_file(const char *name, const char *text, char path[256])
{
    snprintf(path, 256, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* A CA that signs the host's certificate, which the policy trusts. */
static void make_authority(struct scene *s, char ca_path[256])
{
    struct tls_authority_options options = {
        .services = host_services_system, .leaf_certificates = 16, .leaf_valid_s = 86400};
    struct tls_pair pair;
    assert_int_equal(tls_authority_make(&options, &pair), 0);
    assert_int_equal(tls_authority_new(&options, pair.certificate, pair.certificate_len, pair.key,
                                       pair.key_len, &s->authority, NULL),
                     0);
    write_file("upstream.pem", pair.certificate, ca_path);
    tls_pair_free(&pair);
}

/* ---- both ends ---- */

/* Starts a gateway that intercepts the host's port; `more` are further lines, up to a NULL. */
static void begin(struct scene *s, const char *const *more)
{
    char port_line[64], ca_line[300], ca_path[256];
    const char *lines[16] = {port_line, ca_line};
    size_t n = 2;
    *s = (struct scene){.fd = -1};
    make_authority(s, ca_path);
    s->listener = host_listen(&s->port, 8);
    snprintf(port_line, sizeof(port_line), "tls.intercepted_ports[]=%u", s->port);
    snprintf(ca_line, sizeof(ca_line), "tls.upstream_ca_certs[]=%s", ca_path);
    while (*more != NULL) {
        lines[n++] = *more++;
    }
    world_start(&s->w, policy_of(lines));
    world_pin(&s->w, NAME, HOST);
    struct tls_engine_options options = {.services = host_services_system,
                                         .authority = s->authority};
    assert_int_equal(tls_engine_new(&options, &s->engine, NULL), 0);
    const char *ca = ln_gateway_ca(s->w.gw);
    assert_non_null(ca);
    assert_int_equal(tls_roots_new(ca, strlen(ca), NULL, &s->roots, NULL, NULL), 0);
}
#define BEGIN(s, ...) begin(s, (const char *const[]){__VA_ARGS__, NULL})

static void end(struct scene *s)
{
    tls_session_free(s->guest.tls);
    tls_session_free(s->host.tls);
    tls_roots_unref(s->roots);
    tls_engine_free(s->engine);
    tls_authority_free(s->authority);
    if (s->fd >= 0) {
        close(s->fd);
    }
    world_stop(&s->w);
    close(s->listener);
    guest_free(&s->g);
}

static void open_flow(struct scene *s)
{
    s->g = guest_connect(&s->w, HOST, s->port);
    assert_int_equal(s->g.state, GUEST_OPEN);
}

static void begin_guest(struct scene *s, const char *name, unsigned alpn)
{
    struct tls_connect_options options = {.name = name,
                                          .address = s->g.peer,
                                          .port = s->port,
                                          .roots = s->roots,
                                          .verify = true,
                                          .alpn = alpn};
    assert_int_equal(tls_connect(s->engine, &options, &s->guest.tls), 0);
}

static void begin_host(struct scene *s, const char *name, unsigned alpn)
{
    struct tls_accept_options options = {
        .name = name, .address = ln_addr_v4(0x7f000001), .alpn = alpn};
    s->fd = host_accept(s->listener);
    assert_int_equal(tls_accept(s->engine, &options, &s->host.tls), 0);
}

/* Steps a session and reads what it has. */
static void advance(struct end *e)
{
    for (int i = 0; i < 32 && tls_session_step(e->tls) == TLS_GOES_ON; i++) {
    }
    ssize_t n;
    while (e->len < TEXT_MAX &&
           (n = tls_session_read(e->tls, e->text + e->len, TEXT_MAX - e->len)) >= 0) {
        e->len += (size_t)n;
        if (n == 0) {
            e->over = true;
            return;
        }
    }
}

static void move_guest(struct scene *s)
{
    struct byte_queue *out = tls_session_output(s->guest.tls);
    advance(&s->guest);
    if (out->len > 0 && s->g.state == GUEST_OPEN) {
        guest_send_all(&s->g, byte_queue_bytes(out), out->len);
        byte_queue_drop(out, out->len);
    }
    guest_hear(&s->g);
    if (s->g.n_received > 0) {
        (void)tls_session_feed(s->guest.tls, s->g.received, s->g.n_received);
        s->g.n_received = 0;
    }
    if (s->g.fin) {
        tls_session_end_of_input(s->guest.tls);
    }
    advance(&s->guest);
}

static void move_host(struct scene *s)
{
    static uint8_t data[65536];
    struct byte_queue *out = tls_session_output(s->host.tls);
    ssize_t n;
    advance(&s->host);
    if (out->len > 0) {
        /* The gateway may have hung up. */
        (void)send(s->fd, byte_queue_bytes(out), out->len, MSG_NOSIGNAL);
        byte_queue_drop(out, out->len);
    }
    while ((n = recv(s->fd, data, sizeof(data), MSG_DONTWAIT)) > 0) {
        (void)tls_session_feed(s->host.tls, data, (size_t)n);
        s->host.heard += (size_t)n;
        advance(&s->host);
    }
}

/* Lets both ends and the gateway go on until nothing more is to come. */
static void go_on(struct scene *s)
{
    for (int idle = 0; idle < IDLE_ROUNDS; idle++) {
        size_t before = s->w.n_frames + s->guest.len + s->host.len + s->host.heard;
        if (s->guest.tls != NULL) {
            move_guest(s);
        }
        if (s->host.tls != NULL && s->fd >= 0) {
            move_host(s);
        }
        settle(&s->w);
        size_t after = s->w.n_frames + s->guest.len + s->host.len + s->host.heard;
        idle = after != before ? 0 : idle;
    }
}

static void say(struct end *e, const char *text)
{
    assert_int_equal(tls_session_write(e->tls, text, strlen(text)), strlen(text));
}

static void expect_text(struct end *e, const char *text)
{
    e->text[e->len < TEXT_MAX ? e->len : TEXT_MAX - 1] = '\0';
    if (strstr(e->text, text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, e->text);
    }
    e->len = 0;
}

/* A connection over which a request was answered. */
static void open_all(struct scene *s)
{
    open_flow(s);
    begin_guest(s, NAME, TLS_ALPN_HTTP11);
    begin_host(s, NAME, TLS_ALPN_HTTP11);
    go_on(s);
    assert_true(tls_session_is_open(s->guest.tls));
    assert_true(tls_session_is_open(s->host.tls));
    say(&s->guest, "GET /a?b HTTP/1.1\r\nHost: " NAME "\r\n\r\n");
    go_on(s);
    expect_text(&s->host, "GET /a?b HTTP/1.1\r\n");
    say(&s->host, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    go_on(s);
    expect_text(&s->guest, "\r\n\r\nhi");
}

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

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    return setenv("XDG_DATA_HOME", dir, 1);
}

static int tear_down(void **state)
{
    static const char *const files[] = {"upstream.pem",  "lunette/ca.pem", "lunette/ca-key.pem",
                                        "lunette/.lock", "lunette",        ""};
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        (void)remove(path);
    }
    return 0;
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
        cmocka_unit_test(test_a_reset_in_the_middle_reaches_the_other_side),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
