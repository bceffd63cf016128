/* Views of request heads: whole, in pieces, and every shape that could hide a host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/naive_head.h"

/* Looks at it whole, in pieces at every split, byte by byte, and with the naive reader. */
static enum request_head look_at(const char *data, size_t len, char name[256])
{
    struct request_head_view whole = {0};
    struct request_head_view bytes = {0};
    char naive_name[256];
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, data, len);
    enum request_head found = request_head_look(&whole, copy, len);
    enum request_head last = REQUEST_HEAD_PARTIAL;
    for (size_t i = 0; i <= len && last == REQUEST_HEAD_PARTIAL; i++) {
        last = request_head_look(&bytes, copy, i);
    }
    assert_int_equal(last, found);
    for (size_t split = 0; split <= len; split++) {
        struct request_head_view two = {0};
        enum request_head first = request_head_look(&two, copy, split);
        first = first == REQUEST_HEAD_PARTIAL ? request_head_look(&two, copy, len) : first;
        assert_int_equal(first, found);
        assert_string_equal(two.name, whole.name);
    }
    enum request_head naive = naive_head_look(copy, len, naive_name);
    assert_true(naive_head_agrees(found, whole.name, naive, naive_name));
    memcpy(name, whole.name, 256);
    free(copy);
    return found;
}

static void assert_named(const char *head, const char *want)
{
    char name[256];
    if (look_at(head, strlen(head), name) != REQUEST_HEAD_NAMED || strcmp(name, want) != 0) {
        fail_msg("not %s but \"%s\": %s", want, name, head);
    }
}

static void assert_all(const char *const *heads, size_t n, enum request_head want)
{
    for (size_t i = 0; i < n; i++) {
        char name[256];
        enum request_head found = look_at(heads[i], strlen(heads[i]), name);
        if (found != want) {
            fail_msg("%d, not %d: %s", found, want, heads[i]);
        }
    }
}

#define ASSERT_ALL(heads, want) assert_all(heads, sizeof(heads) / sizeof((heads)[0]), want)

static void test_host_is_found(void **state)
{
    (void)state;
    assert_named("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "www.example.com");
    assert_named("POST /x?y=http://z/ HTTP/1.0\r\nA: b\r\nhOST:WWW.example.com:8080\t \r\n\r\nbody",
                 "WWW.example.com");
    assert_named("GET / HTTP/1.1\nHost: www.example.com\n\n", "www.example.com");
    assert_named("\r\n\n\r\nGET / HTTP/1.1\r\nHost: www.example.com:\r\n\r\n", "www.example.com");
    assert_named("GET / http/1.1\r\nHost: www.example.com\r\n\r\n", "www.example.com");
    assert_named(
        "A-METHOD-OF-MORE-THAN-THIRTY-TWO-CHARACTERS / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "a.example");
    assert_named("GET\t/\tHTTP/1.1\r\nHost: www.example.com\r\n\r\n", "www.example.com");
    assert_named("GET /\303\240 HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "www.example.com");
    assert_named("GET  /  HTTP/1.1 \r\nHost: www.example.com\r\n\r\n", "www.example.com");
    assert_named("OPTIONS * HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "www.example.com");
}

static void test_authority_of_the_target_counts(void **state)
{
    (void)state;
    assert_named("GET http://www.example.com/ HTTP/1.1\r\n\r\n", "www.example.com");
    assert_named("GET http://www.example.com:80?x HTTP/1.1\r\nHost: WWW.example.com\r\n\r\n",
                 "WWW.example.com");
    assert_named("CONNECT www.example.com:443 HTTP/1.1\r\n\r\n", "www.example.com");
    assert_named("GET //evil.example/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
                 "www.example.com");
    static const char *const bad[] = {
        "GET http://evil.example/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET http://192.0.2.1/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET http://www.example.com/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        "GET http://user@evil.example/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET http://evil.example\\@www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
    };
    ASSERT_ALL(bad, REQUEST_HEAD_BAD);
}

static void test_address_or_nothing_is_unnamed(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n",
        "GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    ASSERT_ALL(heads, REQUEST_HEAD_UNNAMED);
}

static void test_other_protocols_are_not_http(void **state)
{
    (void)state;
    static const char *const others[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "EHLO me\r\n",
        "GET /\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "\x13"
        "BitTorrent protocol",
        "GET / HTTP\r\n",
        " EHLO me\r\n",
        "GET\t/\r\n",
        "G@T / HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
    };
    ASSERT_ALL(others, REQUEST_HEAD_NOT_HTTP);
    char name[256];
    assert_int_equal(look_at("\0\0\0\1", 4, name), REQUEST_HEAD_NOT_HTTP);
    assert_int_equal(look_at("0032git-upload-pack /p\0host=x\0", 31, name), REQUEST_HEAD_NOT_HTTP);
}

static void test_shapes_that_servers_read_differently_are_bad(void **state)
{
    (void)state;
#define HEAD "GET / HTTP/1.1\r\n"
    static const char *const bad[] = {
        HEAD "Host: a.example\r\nHost: b.example\r\n\r\n",
        HEAD "Host: a.example\r\nhost: a.example\r\n\r\n",
        HEAD "Host: a.example\r\nHost:\r\n\r\n",
        HEAD "Host : a.example\r\n\r\n",
        HEAD "Host\t: a.example\r\n\r\n",
        HEAD " Host: a.example\r\n\r\n",
        HEAD "X: y\r\n Host: a.example\r\n\r\n",
        HEAD "X: y\r\n\tfolded\r\nHost: a.example\r\n\r\n",
        HEAD "no colon\r\nHost: a.example\r\n\r\n",
        HEAD ": empty\r\nHost: a.example\r\n\r\n",
        HEAD "H st: b.example\r\nHost: a.example\r\n\r\n",
        HEAD "(Host): b.example\r\nHost: a.example\r\n\r\n",
        HEAD "X: y\rHost: b.example\r\nHost: a.example\r\n\r\n",
        HEAD "X: y\r\r\nHost: a.example\r\n\r\n",
        HEAD "Host: user@a.example\r\n\r\n",
        HEAD "Host: a.example:80:80\r\n\r\n",
        HEAD "Host: a.example:x\r\n\r\n",
        HEAD "Host: a.example:123456\r\n\r\n",
        HEAD "Host: :80\r\n\r\n",
        HEAD "Host: [2001:db8::1\r\n\r\n",
        HEAD "Host: [2001:db8::1]x\r\n\r\n",
        HEAD "Host: [a.example]\r\n\r\n",
        "GET / HTTP/1.1\rHost: b.example\r\nHost: a.example\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "\t\13GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET\13/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /\14HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET\r/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET\34/\37HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET\205/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /\240HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /\1 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /\33 HTTP/1.1\r\nHost: a.example\r\n\r\n",
    };
    ASSERT_ALL(bad, REQUEST_HEAD_BAD);
    char name[256];
    static const char nul[] = HEAD "X: \0\r\nHost: a.example\r\n\r\n";
    assert_int_equal(look_at(nul, sizeof(nul) - 1, name), REQUEST_HEAD_BAD);
}

static void test_name_of_255_bytes_is_the_longest(void **state)
{
    (void)state;
    char head[400];
    char host[300];
    char name[256];
    memset(host, 'a', sizeof(host));
    host[255] = '\0';
    snprintf(head, sizeof(head), HEAD "Host: %s\r\n\r\n", host);
    assert_named(head, host);
    host[255] = 'a';
    host[256] = '\0';
    snprintf(head, sizeof(head), HEAD "Host: %s\r\n\r\n", host);
    assert_int_equal(look_at(head, strlen(head), name), REQUEST_HEAD_BAD);
}

static void test_every_cut_is_partial(void **state)
{
    (void)state;
    static const char head[] =
        "\r\nGET /path HTTP/1.1\r\nA: b\r\nHost: www.example.com\r\nC: d\r\n\r\n";
    for (size_t len = 0; len < sizeof(head) - 1; len++) {
        char name[256];
        assert_int_equal(look_at(head, len, name), REQUEST_HEAD_PARTIAL);
    }
}

/* Every byte of a head, changed to every value: agrees with the naive reader. */
static void test_every_change_of_a_byte_agrees_with_the_naive_reader(void **state)
{
    (void)state;
    char head[] = "GET http://a.b/ HTTP/1.1\r\nX:y\r\nHost: a.b:80\r\n\r\n";
    for (size_t i = 0; i < sizeof(head) - 1; i++) {
        char right = head[i];
        for (int v = 0; v < 256; v++) {
            char name[256], naive_name[256];
            struct request_head_view view = {0};
            head[i] = (char)v;
            enum request_head found =
                request_head_look(&view, (const uint8_t *)head, sizeof(head) - 1);
            memcpy(name, view.name, sizeof(name));
            enum request_head naive =
                naive_head_look((const uint8_t *)head, sizeof(head) - 1, naive_name);
            if (!naive_head_agrees(found, name, naive, naive_name)) {
                fail_msg("byte %zu = %d: %d %s, naive %d %s", i, v, found, name, naive, naive_name);
            }
        }
        head[i] = right;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_is_found),
        cmocka_unit_test(test_authority_of_the_target_counts),
        cmocka_unit_test(test_address_or_nothing_is_unnamed),
        cmocka_unit_test(test_other_protocols_are_not_http),
        cmocka_unit_test(test_shapes_that_servers_read_differently_are_bad),
        cmocka_unit_test(test_name_of_255_bytes_is_the_longest),
        cmocka_unit_test(test_every_cut_is_partial),
        cmocka_unit_test(test_every_change_of_a_byte_agrees_with_the_naive_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
