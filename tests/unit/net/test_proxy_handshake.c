/* The client's side of SOCKS5 and HTTP CONNECT, answered in whole and byte by byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/proxy_handshake.h"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static struct proxy_handshake *begin(ln_proxy_kind kind, bool credentials,
                                     const struct proxy_target *target)
{
    ln_proxy proxy = {
        .kind = kind, .user = credentials ? "user" : NULL, .password = credentials ? "pass" : NULL};
    struct proxy_handshake *h = NULL;
    assert_int_equal(proxy_handshake_new(&proxy, target, &h), 0);
    return h;
}

static void expect(struct proxy_handshake *h, const uint8_t *data, size_t len)
{
    size_t n;
    const uint8_t *out = proxy_handshake_output(h, &n);
    assert_int_equal(n, len);
    assert_memory_equal(out, data, len);
    proxy_handshake_sent(h, len);
}

static void expect_nothing(const struct proxy_handshake *h)
{
    size_t n;
    proxy_handshake_output(h, &n);
    assert_int_equal(n, 0);
}

/* Answers byte by byte: nothing is taken before the answer is whole. */
static int answer(struct proxy_handshake *h, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    for (size_t n = 0; n < len; n++) {
        int r = proxy_handshake_input(h, data, n, &taken);
        assert_int_equal(taken, 0);
        if (r != 0) {
            return r;
        }
    }
    int r = proxy_handshake_input(h, data, len, &taken);
    assert_int_equal(taken, r < 0 ? taken : len);
    return r;
}

static struct proxy_target target4(void)
{
    return (struct proxy_target){.addr = {{[10] = 0xff, 0xff, 192, 0, 2, 1}}, .port = 443};
}

static void test_socks_by_address(void **state)
{
    struct proxy_target target = target4();
    (void)state;
    struct proxy_handshake *h = begin(LN_PROXY_SOCKS5, false, &target);
    expect(h, BYTES("\5\1\0"));
    assert_int_equal(answer(h, BYTES("\5\0")), 0);
    expect(h, BYTES("\5\1\0\1\xc0\0\2\1\1\xbb"));
    assert_int_equal(answer(h, BYTES("\5\0\0\1\0\0\0\0\0\0")), 1);
    expect_nothing(h);
    proxy_handshake_free(h);

    target = (struct proxy_target){.addr = {{0x20, 1, 0xd, 0xb8, [15] = 1}}, .port = 80};
    h = begin(LN_PROXY_SOCKS5, false, &target);
    expect(h, BYTES("\5\1\0"));
    assert_int_equal(answer(h, BYTES("\5\0")), 0);
    expect(h, BYTES("\5\1\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x50"));
    assert_int_equal(answer(h, BYTES("\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")), 1);
    proxy_handshake_free(h);
}

static void test_socks_with_credentials_and_name(void **state)
{
    struct proxy_target target = target4();
    target.name = "a.test";
    (void)state;
    struct proxy_handshake *h = begin(LN_PROXY_SOCKS5, true, &target);
    expect(h, BYTES("\5\2\0\2"));
    assert_int_equal(answer(h, BYTES("\5\2")), 0);
    expect(h, BYTES("\1\4user\4pass"));
    assert_int_equal(answer(h, BYTES("\1\0")), 0);
    expect(h, BYTES("\5\1\0\3\6a.test\1\xbb"));
    assert_int_equal(answer(h, BYTES("\5\0\0\3\3x.y\0\x50")), 1);
    proxy_handshake_free(h);

    h = begin(LN_PROXY_SOCKS5, true, &target); /* a proxy that wants none */
    expect(h, BYTES("\5\2\0\2"));
    assert_int_equal(answer(h, BYTES("\5\0")), 0);
    expect(h, BYTES("\5\1\0\3\6a.test\1\xbb"));
    proxy_handshake_free(h);
}

static void test_what_follows_the_answer_is_the_connections(void **state)
{
    struct proxy_target target = target4();
    size_t taken;
    (void)state;
    struct proxy_handshake *h = begin(LN_PROXY_SOCKS5, false, &target);
    expect(h, BYTES("\5\1\0"));
    assert_int_equal(answer(h, BYTES("\5\0")), 0);
    expect(h, BYTES("\5\1\0\1\xc0\0\2\1\1\xbb"));
    assert_int_equal(proxy_handshake_input(h, BYTES("\5\0\0\1\0\0\0\0\0\0SSH-2.0"), &taken), 1);
    assert_int_equal(taken, 10);
    proxy_handshake_free(h);

    h = begin(LN_PROXY_HTTP, false, &target);
    expect(h, BYTES("CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n"));
    assert_int_equal(proxy_handshake_input(h, BYTES("HTTP/1.1 200\r\n\r\n\r\n220"), &taken), 1);
    assert_int_equal(taken, 16);
    proxy_handshake_free(h);
}

static void test_socks_replies_are_errors_of_a_socket(void **state)
{
    static const int errors[] = {
        0,          -EHOSTUNREACH, -EACCES, -ENETUNREACH, -EHOSTUNREACH, -ECONNREFUSED,
        -ETIMEDOUT, -EPROTO,       -EPROTO, -EPROTO};
    (void)state;
    for (uint8_t reply = 1; reply < sizeof(errors) / sizeof(errors[0]); reply++) {
        struct proxy_target target = target4();
        const uint8_t refusal[] = {5, reply};
        struct proxy_handshake *h = begin(LN_PROXY_SOCKS5, false, &target);
        expect(h, BYTES("\5\1\0"));
        assert_int_equal(answer(h, BYTES("\5\0")), 0);
        expect(h, BYTES("\5\1\0\1\xc0\0\2\1\1\xbb"));
        assert_int_equal(answer(h, refusal, 2), errors[reply]);
        expect_nothing(h);
        proxy_handshake_free(h);
    }
}

static void test_malformed_answers_of_socks(void **state)
{
    static const struct {
        const char *method, *reply;
        size_t method_len, reply_len;
        const char *fault;
    } cases[] = {
        {"\4\0", NULL, 2, 0, "proxy_protocol"},
        {"HTTP/1.1 400", NULL, 12, 0, "proxy_protocol"},
        {"\5\xff", NULL, 2, 0, "proxy_auth"},
        {"\5\2", NULL, 2, 0, "proxy_auth"}, /* it was not offered */
        {"\5\1", NULL, 2, 0, "proxy_auth"},
        {"\5\0", "\4\0\0\1\0\0\0\0\0\0", 2, 10, "proxy_protocol"},
        {"\5\0", "\5\0\1\1\0\0\0\0\0\0", 2, 10, "proxy_protocol"},
        {"\5\0", "\5\0\0\2\0\0\0\0\0\0", 2, 10, "proxy_protocol"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct proxy_target target = target4();
        struct proxy_handshake *h = begin(LN_PROXY_SOCKS5, false, &target);
        expect(h, BYTES("\5\1\0"));
        int r = answer(h, (const uint8_t *)cases[i].method, cases[i].method_len);
        if (cases[i].reply != NULL) {
            assert_int_equal(r, 0);
            expect(h, BYTES("\5\1\0\1\xc0\0\2\1\1\xbb"));
            r = answer(h, (const uint8_t *)cases[i].reply, cases[i].reply_len);
        }
        assert_int_equal(r, -EPROTO);
        assert_string_equal(proxy_handshake_fault(h), cases[i].fault);
        proxy_handshake_free(h);
    }
}

static void test_answer_before_the_question_is_malformed(void **state)
{
    struct proxy_target target = target4();
    size_t taken;
    (void)state;
    struct proxy_handshake *h = begin(LN_PROXY_SOCKS5, false, &target);
    assert_int_equal(proxy_handshake_input(h, BYTES("\5\0"), &taken), -EPROTO);
    expect_nothing(h);
    proxy_handshake_free(h);
}

static void test_connect_with_credentials_by_name_and_v6(void **state)
{
    struct proxy_target target = target4();
    target.name = "a.test";
    (void)state;
    struct proxy_handshake *h = begin(LN_PROXY_HTTP, true, &target);
    expect(h, BYTES("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n"
                    "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"));
    assert_int_equal(answer(h, BYTES("HTTP/1.0 200 Connection established\r\nVia: 1.1 x\r\n\r\n")),
                     1);
    proxy_handshake_free(h);

    target = (struct proxy_target){.addr = {{0x20, 1, 0xd, 0xb8, [15] = 1}}, .port = 80};
    h = begin(LN_PROXY_HTTP, false, &target);
    expect(h, BYTES("CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n"));
    proxy_handshake_free(h);
}

static void test_longest_request_fits(void **state)
{
    char name[LN_NAME_MAX + 1], credential[256];
    struct proxy_target target = {.port = 65535, .name = name};
    ln_proxy proxy = {.kind = LN_PROXY_HTTP, .user = credential, .password = credential};
    struct proxy_handshake *h;
    size_t len;
    (void)state;
    memset(name, 'a', LN_NAME_MAX);
    name[LN_NAME_MAX] = '\0';
    memset(credential, 'b', 255);
    credential[255] = '\0';
    assert_int_equal(proxy_handshake_new(&proxy, &target, &h), 0);
    const uint8_t *out = proxy_handshake_output(h, &len);
    assert_int_equal(len, 8 + 259 + 11 + 6 + 259 + 2 + 27 + 684 + 4);
    assert_memory_equal(out + len - 4, "\r\n\r\n", 4);
    proxy_handshake_free(h);

    proxy.kind = LN_PROXY_SOCKS5;
    assert_int_equal(proxy_handshake_new(&proxy, &target, &h), 0);
    proxy_handshake_free(h);
}

static void test_responses_that_are_no_connection(void **state)
{
    static const struct {
        const char *head;
        int error;
        const char *fault;
    } cases[] = {
        {"HTTP/1.1 407 Auth\r\n\r\n", -EPROTO, "proxy_auth"},
        {"HTTP/1.1 403 No\r\n\r\n", -EACCES, NULL},
        {"HTTP/1.1 502 Bad\r\nA: b\r\n\r\n", -EHOSTUNREACH, NULL},
        {"HTTP/1.1 504 Late\r\n\r\n", -ETIMEDOUT, NULL},
        {"HTTP/1.1 100 Continue\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1 302 There\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/2.0 200 OK\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1 2000 OK\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1  200 OK\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1 20\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1 200 OK\n\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1 200 OK\r\rX\n\r\n", -EPROTO, "proxy_protocol"},
        {"HTTP/1.1 200 O\x01K\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"\r\n\r\n", -EPROTO, "proxy_protocol"},
        {"\5\0", -EPROTO, "proxy_protocol"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct proxy_target target = target4();
        size_t len;
        struct proxy_handshake *h = begin(LN_PROXY_HTTP, false, &target);
        proxy_handshake_output(h, &len);
        proxy_handshake_sent(h, len);
        int r = answer(h, (const uint8_t *)cases[i].head, strlen(cases[i].head));
        assert_int_equal(r, cases[i].error);
        if (cases[i].fault != NULL) {
            assert_string_equal(proxy_handshake_fault(h), cases[i].fault);
        }
        proxy_handshake_free(h);
    }
}

static void test_endless_response_ends(void **state)
{
    static uint8_t head[PROXY_ANSWER_MAX];
    struct proxy_target target = target4();
    size_t len, taken;
    (void)state;
    memset(head, 'a', sizeof(head));
    struct proxy_handshake *h = begin(LN_PROXY_HTTP, false, &target);
    proxy_handshake_output(h, &len);
    proxy_handshake_sent(h, len);
    assert_int_equal(proxy_handshake_input(h, head, sizeof(head) - 1, &taken), 0);
    assert_int_equal(proxy_handshake_input(h, head, sizeof(head), &taken), -EPROTO);
    proxy_handshake_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_socks_by_address),
        cmocka_unit_test(test_socks_with_credentials_and_name),
        cmocka_unit_test(test_what_follows_the_answer_is_the_connections),
        cmocka_unit_test(test_socks_replies_are_errors_of_a_socket),
        cmocka_unit_test(test_malformed_answers_of_socks),
        cmocka_unit_test(test_answer_before_the_question_is_malformed),
        cmocka_unit_test(test_connect_with_credentials_by_name_and_v6),
        cmocka_unit_test(test_longest_request_fits),
        cmocka_unit_test(test_responses_that_are_no_connection),
        cmocka_unit_test(test_endless_response_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
