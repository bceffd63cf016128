/* Sessions against each other in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tls/pair.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_sides_open_and_bytes_pass, begin, end),
        cmocka_unit_test_setup_teardown(test_second_connection_is_resumed, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
