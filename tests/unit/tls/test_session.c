/* Sessions against each other in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tls/pair.h"
#include "tls/session_internal.h"

#define WHOLE SIZE_MAX

static int begin(void **state)
{
    struct world *w = malloc(sizeof(*w));
    *state = w;
    return world_begin(w);
}

static int end(void **state)
{
    world_end(*state);
    free(*state);
    return 0;
}

struct both {
    struct tls_session *client, *server;
};

static struct tls_connect_options to_server(const struct world *w, const char *name)
{
    return (struct tls_connect_options){.name = name,
                                        .address = ln_addr_v4(0xc0000201),
                                        .port = 443,
                                        .roots = w->roots,
                                        .verify = true,
                                        .alpn = TLS_ALPN_H2 | TLS_ALPN_HTTP11};
}

static struct both connect_with(struct world *w, const struct tls_connect_options *c,
                                const char *served, unsigned alpn)
{
    struct both b;
    struct tls_accept_options a = {.name = served, .address = ln_addr_v4(0xc0000201), .alpn = alpn};
    assert_int_equal(tls_connect(w->engine, c, &b.client), 0);
    assert_int_equal(tls_accept(w->engine, &a, &b.server), 0);
    return b;
}

static void both_free(struct both *b)
{
    tls_session_free(b->client);
    tls_session_free(b->server);
}

static void assert_open(struct both *b)
{
    assert_string_equal(tls_session_fault(b->client)->message, "");
    assert_string_equal(tls_session_fault(b->server)->message, "");
    assert_true(tls_session_is_open(b->client) && tls_session_is_open(b->server));
}

/* Writes on one side, reads on the other, and looks at what arrived. */
static void assert_passes(struct tls_session *from, struct tls_session *to, size_t len,
                          size_t piece)
{
    uint8_t *sent = malloc(len);
    uint8_t *got = calloc(1, len + 1);
    size_t written = 0;
    size_t read = 0;
    for (size_t i = 0; i < len; i++) {
        sent[i] = (uint8_t)(i * 31 + i / 251);
    }
    while (read < len) {
        ssize_t n = tls_session_write(from, sent + written, len - written);
        assert_true(n >= 0);
        written += (size_t)n;
        while (carry(from, to, piece) > 0) {
        }
        while ((n = tls_session_read(to, got + read, len + 1 - read)) > 0) {
            read += (size_t)n;
        }
        assert_int_equal(n, -EAGAIN);
    }
    assert_int_equal(read, len);
    assert_memory_equal(sent, got, len);
    free(sent);
    free(got);
}

static void test_both_sides_open_and_bytes_pass(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    assert_open(&b);
    assert_string_equal(tls_session_version(b.client), "TLSv1.3");
    assert_int_equal(tls_session_alpn(b.client), TLS_ALPN_H2);
    assert_int_equal(tls_session_alpn(b.server), TLS_ALPN_H2);
    assert_false(tls_session_resumed(b.client) || tls_session_resumed(b.server));
    assert_passes(b.client, b.server, 1, WHOLE);
    assert_passes(b.server, b.client, 300000, WHOLE);
    assert_passes(b.client, b.server, 300000, 1000);
    tls_session_finish(b.client);
    uint8_t byte;
    (void)carry(b.client, b.server, WHOLE);
    assert_int_equal(tls_session_read(b.server, &byte, 1), 0);
    assert_false(tls_session_truncated(b.server));
    both_free(&b);
}

static void test_second_connection_is_resumed(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 4; i++) {
        struct tls_connect_options c = to_server(w, "www.example.com");
        struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_HTTP11);
        shake(b.client, b.server, WHOLE);
        assert_open(&b);
        assert_int_equal(tls_session_resumed(b.client), i > 0);
        assert_int_equal(tls_session_resumed(b.server), i > 0);
        assert_passes(b.server, b.client, 10, WHOLE); /* the tickets come before it */
        both_free(&b);
    }
}

/* A server that never heard of TLS 1.3. */
static void speak_tls12(struct tls_session *s)
{
    mbedtls_ssl_conf_max_tls_version(&s->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    s->ssl.MBEDTLS_PRIVATE(tls_version) = MBEDTLS_SSL_VERSION_TLS1_2;
}

/* Both versions, every protocol, whole flights and single bytes, full and resumed. */
static void test_matrix_of_versions_protocols_and_pieces(void **state)
{
    struct world *w = *state;
    static const unsigned protocols[] = {TLS_ALPN_NONE, TLS_ALPN_H2, TLS_ALPN_HTTP11};
    for (int old = 0; old < 2; old++) {
        for (size_t a = 0; a < 3; a++) {
            for (int resumed = 0; resumed < 2; resumed++) {
                struct tls_connect_options c = to_server(w, "www.example.com");
                c.port = (uint16_t)(1000 + old * 10 + (int)a); /* a server of its own */
                c.alpn = protocols[a];
                struct both b = connect_with(w, &c, "www.example.com", protocols[a]);
                if (old) {
                    speak_tls12(b.server);
                }
                shake(b.client, b.server, resumed ? 1 : WHOLE);
                assert_open(&b);
                assert_string_equal(tls_session_version(b.client), old ? "TLSv1.2" : "TLSv1.3");
                assert_string_equal(tls_session_version(b.server), old ? "TLSv1.2" : "TLSv1.3");
                assert_int_equal(tls_session_alpn(b.client), protocols[a]);
                assert_int_equal(tls_session_alpn(b.server), protocols[a]);
                assert_int_equal(tls_session_resumed(b.client), resumed);
                assert_int_equal(tls_session_resumed(b.server), resumed);
                assert_passes(b.server, b.client, 20000, 1);
                assert_passes(b.client, b.server, 20000, WHOLE);
                both_free(&b);
            }
        }
    }
}

static void test_sessions_are_not_resumed_under_another_trust_name_or_port(void **state)
{
    struct world *w = *state;
    struct tls_roots *more = NULL;
    struct tls_pair other;
    struct tls_authority_options options = world_options(w);
    assert_int_equal(tls_authority_make(&options, &other), 0);
    assert_int_equal(
        tls_roots_new(other.certificate, other.certificate_len, w->roots, &more, NULL, NULL), 0);
    struct tls_connect_options first = to_server(w, "www.example.com");
    struct tls_connect_options kinds[5] = {first, first, first, first, first};
    kinds[0].roots = more;
    kinds[1].verify = false;
    kinds[2].port = 444;
    kinds[3].address = ln_addr_v4(0xc0000202);
    kinds[4].name = "api.example.com";
    struct both b = connect_with(w, &first, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    assert_passes(b.server, b.client, 1, WHOLE);
    both_free(&b);
    for (size_t i = 0; i < 5; i++) {
        b = connect_with(w, &kinds[i], kinds[i].name, TLS_ALPN_H2);
        shake(b.client, b.server, WHOLE);
        assert_open(&b);
        assert_false(tls_session_resumed(b.client));
        both_free(&b);
    }
    tls_pair_free(&other);
    tls_roots_unref(more);
}

/* A guest that takes the ticket of one server to another gets a full handshake. */
static void test_ticket_opens_only_for_its_server(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    c.verify = false;
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    assert_passes(b.server, b.client, 1, WHOLE);
    both_free(&b);
    b = connect_with(w, &c, "api.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    assert_open(&b);
    assert_false(tls_session_resumed(b.client) || tls_session_resumed(b.server));
    both_free(&b);
}

static void test_tickets_end_with_time_and_with_the_authority(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 4; i++) {
        struct tls_connect_options c = to_server(w, "www.example.com");
        struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
        shake(b.client, b.server, WHOLE);
        assert_open(&b);
        assert_int_equal(tls_session_resumed(b.client), i == 1);
        assert_passes(b.server, b.client, 1, WHOLE);
        both_free(&b);
        if (i == 1) {
            w->now_ns += (uint64_t)(TICKET_LIFETIME_S + 1) * 1000000000;
        } else if (i == 2) {
            tls_engine_set_authority(w->engine, w->authority);
        }
    }
}

/* A kept session is not used past the end of the certificate that was verified for it. */
static void test_kept_session_ends_with_the_certificate(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) {
        struct tls_connect_options c = to_server(w, "www.example.com");
        struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
        shake(b.client, b.server, WHOLE);
        assert_open(&b);
        assert_false(tls_session_resumed(b.client));
        assert_passes(b.server, b.client, 1, WHOLE);
        both_free(&b);
        w->wall_ms += UINT64_C(86400) * 1000;
    }
}

/* ---- faults ---- */

/* In TLS 1.3 the alert comes before the client's keys are in use, and a server that waits for
 * sealed records need not understand it. */
static void assert_fault_in(struct world *w, bool old, const struct tls_connect_options *c,
                            const char *served, enum tls_fault_code want, uint8_t alert)
{
    struct both b = connect_with(w, c, served, TLS_ALPN_H2);
    if (old) {
        speak_tls12(b.server);
    }
    shake(b.client, b.server, 1);
    const struct tls_fault *fault = tls_session_fault(b.client);
    assert_int_equal(fault->code, want);
    assert_true(fault->name[0] != '\0' && fault->message[0] != '\0');
    assert_true(old ? tls_session_fault(b.server)->alert == alert
                    : tls_session_fault(b.server)->code != TLS_FAULT_NONE);
    uint8_t byte = 0;
    assert_int_equal(tls_session_read(b.client, &byte, 1), -EPROTO);
    assert_int_equal(tls_session_write(b.client, &byte, 1), -EPROTO);
    assert_int_equal(tls_session_feed(b.client, &byte, 1), 0);
    assert_int_equal(tls_session_step(b.client), TLS_FAILED);
    both_free(&b);
}

static void assert_fault(struct world *w, const struct tls_connect_options *c, const char *served,
                         enum tls_fault_code want, uint8_t alert)
{
    assert_fault_in(w, false, c, served, want, alert);
    assert_fault_in(w, true, c, served, want, alert);
}

static void test_bad_servers_are_told_by_fault_and_alert(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    assert_fault(w, &c, "api.example.com", TLS_FAULT_NAME_MISMATCH, 42);
    assert_fault(w, &c, NULL, TLS_FAULT_NAME_MISMATCH, 42);
    c.roots = NULL;
    assert_fault(w, &c, "www.example.com", TLS_FAULT_UNTRUSTED, 48);
    c = to_server(w, NULL); /* by address */
    assert_fault(w, &c, "www.example.com", TLS_FAULT_NAME_MISMATCH, 42);
    struct both b = connect_with(w, &c, NULL, TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    assert_open(&b);
    both_free(&b);
}

static void test_clock_of_the_client_decides(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    w->wall_ms += UINT64_C(2) * 86400 * 1000;
    shake(b.client, b.server, WHOLE);
    assert_int_equal(tls_session_fault(b.client)->code, TLS_FAULT_EXPIRED);
    both_free(&b);
    b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    w->wall_ms -= UINT64_C(2) * 3600 * 1000;
    shake(b.client, b.server, WHOLE);
    assert_int_equal(tls_session_fault(b.client)->code, TLS_FAULT_NOT_YET_VALID);
    both_free(&b);
}

static void test_no_protocol_in_common_ends_both(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    c.alpn = TLS_ALPN_HTTP11;
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    assert_int_equal(tls_session_fault(b.server)->code, TLS_FAULT_HANDSHAKE);
    assert_int_equal(tls_session_fault(b.client)->code, TLS_FAULT_ALERT);
    assert_int_equal(tls_session_fault(b.client)->alert, 120);
    both_free(&b);
}

static void test_peers_that_go_away_are_told(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    (void)tls_session_step(b.client);
    tls_session_end_of_input(b.client);
    tls_session_end_of_input(b.server);
    shake(b.client, b.server, WHOLE);
    assert_int_equal(tls_session_fault(b.client)->code, TLS_FAULT_CLOSED);
    both_free(&b);

    uint8_t byte;
    b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    tls_session_end_of_input(b.server);
    assert_int_equal(tls_session_read(b.server, &byte, 1), 0);
    assert_true(tls_session_truncated(b.server));
    both_free(&b);
}

static void test_bytes_that_are_not_tls_are_a_fault(void **state)
{
    struct world *w = *state;
    struct tls_accept_options a = {.name = "www.example.com"};
    struct tls_session *s;
    assert_int_equal(tls_accept(w->engine, &a, &s), 0);
    assert_int_equal(tls_session_feed(s, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    enum tls_progress progress;
    while ((progress = tls_session_step(s)) == TLS_GOES_ON) {
    }
    assert_int_equal(progress, TLS_FAILED);
    assert_true(tls_session_fault(s)->message[0] != '\0');
    tls_session_free(s);
}

static void test_a_changed_byte_is_never_read(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    for (size_t at = 0; at < 37; at += 3) {
        struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
        shake(b.client, b.server, WHOLE);
        while (carry(b.server, b.client, WHOLE) > 0) {
        }
        assert_int_equal(tls_session_write(b.client, "0123456789abcdef", 16), 16);
        uint8_t record[64];
        struct byte_queue *out = tls_session_output(b.client);
        assert_true(out->len <= sizeof(record) && at < out->len);
        memcpy(record, byte_queue_bytes(out), out->len);
        record[at] ^= 0x40;
        (void)tls_session_feed(b.server, record, out->len);
        byte_queue_drop(out, out->len);
        uint8_t got[64];
        ssize_t n = tls_session_read(b.server, got, sizeof(got));
        assert_true(n == -EPROTO || n == -EAGAIN); /* a longer record is waited for */
        both_free(&b);
    }
}

static void test_names_that_are_not_plain_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"",       ".",         "a..b",        "a.",
                                        ".a",     "A.example", "a b",         "a\nb.c",
                                        "a,CN=b", "*.a.b",     "\xc3\xa4.de", "a/b"};
    struct tls_session *s;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct tls_connect_options c = to_server(w, names[i]);
        struct tls_accept_options a = {.name = names[i]};
        assert_int_equal(tls_connect(w->engine, &c, &s), -EINVAL);
        assert_int_equal(tls_accept(w->engine, &a, &s), -EINVAL);
    }
}

static void test_alert_ends_the_other_side(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    tls_session_alert(b.server, TLS_ALERT_ACCESS_DENIED);
    (void)carry(b.server, b.client, WHOLE);
    uint8_t byte;
    assert_int_equal(tls_session_read(b.client, &byte, 1), -EPROTO);
    assert_int_equal(tls_session_fault(b.client)->alert, 49);
    assert_int_equal(tls_session_fault(b.server)->code, TLS_FAULT_ENDED);
    both_free(&b);
}

static void test_output_that_is_not_taken_is_bounded(void **state)
{
    struct world *w = *state;
    struct tls_connect_options c = to_server(w, "www.example.com");
    struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
    shake(b.client, b.server, WHOLE);
    static const uint8_t data[1 << 20];
    size_t taken = 0;
    ssize_t n;
    while ((n = tls_session_write(b.server, data, sizeof(data))) > 0) {
        taken += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_false(tls_session_writable(b.server));
    assert_in_range(taken, 64 << 10, 128 << 10);
    size_t fed = 0;
    uint8_t junk[4096] = {23, 3, 3, 64, 0};
    while ((n = (ssize_t)tls_session_feed(b.client, junk, sizeof(junk))) > 0) {
        fed += (size_t)n;
    }
    assert_in_range(fed, 16 << 10, 128 << 10);
    both_free(&b);
}

static void test_keylog_has_the_lines_of_both_versions(void **state)
{
    struct world *w = *state;
    for (int old = 0; old < 2; old++) {
        struct tls_connect_options c = to_server(w, "www.example.com");
        c.port = (uint16_t)(443 + old);
        struct both b = connect_with(w, &c, "www.example.com", TLS_ALPN_H2);
        if (old) {
            speak_tls12(b.server);
        }
        w->keylog[0] = '\0';
        shake(b.client, b.server, WHOLE);
        assert_open(&b);
        static const char *const labels[] = {
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_HANDSHAKE_TRAFFIC_SECRET ",
            "CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(strstr(w->keylog, labels[i]) != NULL, !old);
        }
        char *line = strstr(w->keylog, "CLIENT_RANDOM ");
        assert_int_equal(line != NULL, old);
        if (line != NULL) {
            assert_int_equal(strcspn(line, "\n"), 14 + 64 + 1 + 96);
        }
        both_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_sides_open_and_bytes_pass, begin, end),
        cmocka_unit_test_setup_teardown(test_second_connection_is_resumed, begin, end),
        cmocka_unit_test_setup_teardown(test_matrix_of_versions_protocols_and_pieces, begin, end),
        cmocka_unit_test_setup_teardown(
            test_sessions_are_not_resumed_under_another_trust_name_or_port, begin, end),
        cmocka_unit_test_setup_teardown(test_ticket_opens_only_for_its_server, begin, end),
        cmocka_unit_test_setup_teardown(test_tickets_end_with_time_and_with_the_authority, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_kept_session_ends_with_the_certificate, begin, end),
        cmocka_unit_test_setup_teardown(test_bad_servers_are_told_by_fault_and_alert, begin, end),
        cmocka_unit_test_setup_teardown(test_clock_of_the_client_decides, begin, end),
        cmocka_unit_test_setup_teardown(test_no_protocol_in_common_ends_both, begin, end),
        cmocka_unit_test_setup_teardown(test_peers_that_go_away_are_told, begin, end),
        cmocka_unit_test_setup_teardown(test_bytes_that_are_not_tls_are_a_fault, begin, end),
        cmocka_unit_test_setup_teardown(test_a_changed_byte_is_never_read, begin, end),
        cmocka_unit_test_setup_teardown(test_names_that_are_not_plain_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_alert_ends_the_other_side, begin, end),
        cmocka_unit_test_setup_teardown(test_output_that_is_not_taken_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(test_keylog_has_the_lines_of_both_versions, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
