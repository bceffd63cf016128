/* Every known way to let two servers see two different sets of requests in the same bytes. A shape
 * is refused with an answer and an end, and nothing of it goes upstream; or it goes upstream in the
 * one spelling that all servers read alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h1_shapes.h"

/* The head is refused: `status` to the guest, an end, nothing upstream; nor is what stands behind
 * it, which would be a good request, looked at. */
static void assert_refused(unsigned status, const char *bytes, size_t len)
{
    static const char behind[] = "GET /behind HTTP/1.1\r\nHost: a.example\r\n\r\n";
    struct result got;
    char all[8192], want[32];
    memcpy(all, bytes, len);
    memcpy(all + len, behind, sizeof(behind));
    play_all(all, len + sizeof(behind) - 1, &got);
    snprintf(want, sizeof(want), "HTTP/1.1 %u ", status);
    if (strncmp(got.down, want, strlen(want)) != 0 || got.up[0] != '\0' ||
        strstr(got.log, "behind") != NULL || strstr(got.down + 1, "HTTP/1.1 ") != NULL ||
        got.guest_end != HTTP_END_FINISH || got.upstream_end != HTTP_END_FINISH) {
        fail_msg("not %u but:\n%s%s%s---- for\n%s", status, got.down, got.up, got.log, all);
    }
}

static void assert_all(unsigned status, const char *const *shapes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_refused(status, shapes[i], strlen(shapes[i]));
    }
}

#define ASSERT_ALL(status, shapes) assert_all(status, shapes, sizeof(shapes) / sizeof((shapes)[0]))
/* With NULs in it. */
#define ASSERT_BYTES(status, text) assert_refused(status, text, sizeof(text) - 1)

static void test_two_framings(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n" END "G",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n" END,
        POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n" END,
        POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        POST "Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n\r\nhello",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END,
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n" END,
        POST "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n" END,
        POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n" END,
        POST "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n" END,
        POST "Content_Length: 5\r\n\r\nhello",
        POST "Transfer_Encoding: chunked\r\n" END,
        POST "Transfer.Encoding: chunked\r\n" END,
        POST "CONTENT~LENGTH: 5\r\n\r\nhello",
        POST "Content-Length: 5\r\nTransfer_Encoding: chunked\r\n" END,
        "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n" END,
        POST "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
        POST "Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n" END,
        GET "Connection: Host\r\n\r\n",
        GET "Connection: a b\r\n\r\n",
        GET "Connection: \"close\"\r\n\r\n",
    };
    ASSERT_ALL(400, shapes);
}

static const char *const odd_lengths[] = {
    "+5",
    "-5",
    "-0",
    "05",
    "00",
    "0x5",
    "0X5",
    "5.0",
    "5e0",
    "5,5",
    "5, 5",
    "5;5",
    "5 5",
    "5 ,",
    ",5",
    "\"5\"",
    "'5'",
    "5L",
    "5h",
    "0b101",
    "5_0",
    "1_000",
    "",
    " ",
    "five",
    "\331\245",     /* ARABIC-INDIC DIGIT FIVE */
    "\357\274\225", /* FULLWIDTH DIGIT FIVE */
    "5\302\240",    /* NO-BREAK SPACE */
    "5\240",
    "\2405",
    "5\r",
    "5\v",
    "\f5",
    "5\177",
    "1000000000000000000",
    "9223372036854775808",
    "18446744073709551616",
    "18446744073709551621",
    "340282366920938463463374607431768211461",
    "%35",
    "5#",
    "5\\r\\n",
};

static void test_lengths_that_are_no_plain_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd_lengths) / sizeof(odd_lengths[0]); i++) {
        char head[512];
        snprintf(head, sizeof(head), POST "Content-Length: %s\r\n\r\nhello", odd_lengths[i]);
        assert_refused(400, head, strlen(head));
    }
    ASSERT_BYTES(400, POST "Content-Length: 5\0\r\n\r\nhello");
    ASSERT_BYTES(400, POST "Content-Length: \0005\r\n\r\nhello");
}

static const char *const odd_codings[] = {
    "xchunked",
    "chunkedx",
    "chunked1",
    "chunke",
    "chunked, identity",
    "identity, chunked",
    "identity",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "chunked,",
    ",chunked",
    "chunked;",
    "chunked;q=1",
    "chunked;ext=val",
    "chunked chunked",
    "x chunked",
    "chunked x",
    "\"chunked\"",
    "'chunked'",
    "(x) chunked",
    "compress, chunked",
    "cow, chunked",
    "chun\tked",
    "chunked\v",
    "\vchunked",
    "\fchunked",
    "chunked\f",
    "\033chunked",
    "\177chunked",
    "chunked\177",
    "\bchunked",
    "\240chunked",
    "chunked\240",
    "\205chunked",
    "\377chunked",
    "chunked\377",
    "\302\240chunked",
    "\357\273\277chunked", /* BYTE ORDER MARK */
    "chun\305\277ed",
    "chun\342\204\252ed", /* KELVIN SIGN folds to k */
    "ch\\unked",
    "%63hunked",
    "=?utf-8?Q?chunked?=",
    "{chunked}",
    "[chunked]",
    "null",
    "",
    "chunked\r",
    "\rchunked",
    "chunked\r\r",
};

static void test_codings_that_are_not_exactly_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd_codings) / sizeof(odd_codings[0]); i++) {
        char head[512];
        snprintf(head, sizeof(head), POST "Transfer-Encoding: %s\r\n" END, odd_codings[i]);
        assert_refused(400, head, strlen(head));
        snprintf(head, sizeof(head), POST "Content-Length: 5\r\nTransfer-Encoding: %s\r\n" END,
                 odd_codings[i]);
        assert_refused(400, head, strlen(head));
    }
    ASSERT_BYTES(400, POST "Transfer-Encoding: chunked\0\r\n" END);
    ASSERT_BYTES(400, POST "Transfer-Encoding: \0chunked\r\n" END);
    ASSERT_BYTES(400, POST "Transfer-Encoding: chu\0nked\r\n" END);
}

static const char *const odd_names[] = {
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding\v: chunked",
    "Transfer-Encoding\f: chunked",
    "Transfer-Encoding\r: chunked",
    "Transfer-Encoding\b: chunked",
    "Transfer-Encoding\240: chunked",
    "Transfer-Encoding\302\240: chunked",
    "Transfer Encoding: chunked",
    "Transfer\255Encoding: chunked",
    "Transfer\342\200\220Encoding: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "\vTransfer-Encoding: chunked",
    "\rTransfer-Encoding: chunked",
    "\240Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\r\n\tTransfer-Encoding: chunked",
    "X: y\r\n \r\nTransfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-\r\n Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\n\nTransfer-Encoding: chunked",
    "X: y\r\r\nTransfer-Encoding: chunked",
    "X: y\r\n\rTransfer-Encoding: chunked",
    "\nTransfer-Encoding: chunked",
    "Transfer-Encoding",
    "Transfer-Encoding chunked",
    "Transfer-Encoding; chunked",
    "Transfer-Encoding= chunked",
    ": chunked",
    ":",
    "(Transfer-Encoding): chunked",
    "\"Transfer-Encoding\": chunked",
    "Transfer-Encoding\\: chunked",
    "Transfer-Encoding/: chunked",
    "Transfer,Encoding: chunked",
    "@: x",
    "[Content-Length]: 5",
    "Content-Length :5",
    "Content-Length\302\255: 5",
    "X Content-Length: 5",
    "GET /evil HTTP/1.1",
    "GET http://a.example/evil HTTP/1.1",
    "no colon",
};

static void test_names_that_are_no_token(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd_names) / sizeof(odd_names[0]); i++) {
        char head[512];
        snprintf(head, sizeof(head), POST "%s\r\n" END, odd_names[i]);
        assert_refused(400, head, strlen(head));
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n%s\r\nHost: a.example\r\n" END,
                 odd_names[i]);
        assert_refused(400, head, strlen(head));
    }
    ASSERT_BYTES(400, POST "Transfer-Encoding\0: chunked\r\n" END);
    ASSERT_BYTES(400, POST "\0Transfer-Encoding: chunked\r\n" END);
    ASSERT_BYTES(400, POST "X: \0\r\n\r\n");
    ASSERT_BYTES(400, POST "X: y\1z\r\n\r\n");
    ASSERT_BYTES(400, POST "X: y\177\r\n\r\n");
}

static const char *const odd_request_lines[] = {
    "GET /",
    "GET",
    "",
    " ",
    "/ HTTP/1.1",
    " GET / HTTP/1.1",
    "\tGET / HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET /  HTTP/1.1",
    "GET / HTTP/1.1 ",
    "GET\t/ HTTP/1.1",
    "GET /\tHTTP/1.1",
    "GET\v/ HTTP/1.1",
    "GET /\fHTTP/1.1",
    "GET\r/ HTTP/1.1",
    "GET / HTTP/1.1\r",
    "GET\240/ HTTP/1.1",
    "GET /\205HTTP/1.1",
    "GET / x HTTP/1.1",
    "GET / HTTP/1.1 HTTP/1.1",
    "GET / http/1.1",
    "GET / HTTP/1.1x",
    "GET / HTTP/1.10",
    "GET / HTTP/01.1",
    "GET / HTTP/1",
    "GET / HTTP/1.",
    "GET / HTTP/.1",
    "GET / HTTP/1,1",
    "GET / HTTP/-1.1",
    "GET / HTTP/1.\331\241",
    "GET / HTTPS/1.1",
    "GET / XHTTP/1.1",
    "GET / ICY/1.1",
    "GET / HTTP 1.1",
    "get / HTTP/1.1",
    "Get / HTTP/1.1",
    "HEAd / HTTP/1.1",
    "connect / HTTP/1.1",
    "G@T / HTTP/1.1",
    "G(T / HTTP/1.1",
    "\303\211T / HTTP/1.1",
    "GET x HTTP/1.1",
    "GET * HTTP/1.1",
    "OPTIONS ** HTTP/1.1",
    "GET ? HTTP/1.1",
    "GET /# HTTP/1.1",
    "GET /a\\b HTTP/1.1",
    "GET \\ HTTP/1.1",
    "GET /\303\240 HTTP/1.1",
    "GET /\1 HTTP/1.1",
    "GET /\177 HTTP/1.1",
    "GET a.example:80 HTTP/1.1",
    "GET a.example/ HTTP/1.1",
    "GET :// HTTP/1.1",
    "GET http:/ HTTP/1.1",
    "GET http:/a.example/ HTTP/1.1",
    "GET http:a.example HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET http:/// HTTP/1.1",
    "GET http://:80/ HTTP/1.1",
    "GET https://a.example/ HTTP/1.1",
    "GET ftp://a.example/ HTTP/1.1",
    "GET ws://a.example/ HTTP/1.1",
    "GET http://b.example/ HTTP/1.1",
    "GET http://a.example.b.example/ HTTP/1.1",
    "GET http://a.example:81/ HTTP/1.1",
    "GET http://a.example:0/ HTTP/1.1",
    "GET http://a.example:65616/ HTTP/1.1",
    "GET http://a.example:080000/ HTTP/1.1",
    "GET http://a.example:+80/ HTTP/1.1",
    "GET http://192.0.2.1/ HTTP/1.1",
    "GET http://u@a.example/ HTTP/1.1",
    "GET http://a.example@b.example/ HTTP/1.1",
    "GET http://b.example#@a.example/ HTTP/1.1",
    "GET http://a.example#/ HTTP/1.1",
    "GET http://a.example\\b/ HTTP/1.1",
    "GET http://b.example\\@a.example/ HTTP/1.1",
    "GET http://%61.example/ HTTP/1.1",
    "GET http://a%2eexample/ HTTP/1.1",
    "GET http://[a.example]/ HTTP/1.1",
    "GET http://[::1/ HTTP/1.1",
    "GET http://a.example,b.example/ HTTP/1.1",
};

static void test_request_lines_that_are_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd_request_lines) / sizeof(odd_request_lines[0]); i++) {
        char head[512];
        /* One empty line is skipped, a second is no request. */
        const char *first = odd_request_lines[i][0] == '\0' ? "\r\n" : "";
        snprintf(head, sizeof(head), "%s%s\r\nHost: a.example\r\n\r\n", first,
                 odd_request_lines[i]);
        assert_refused(400, head, strlen(head));
    }
    static const char *const versions[] = {
        "GET / HTTP/1.2\r\nHost: a.example\r\n\r\n", "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/0.9\r\nHost: a.example\r\n\r\n", "GET / HTTP/9.9\r\nHost: a.example\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",          "PRI / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    };
    ASSERT_ALL(505, versions);
    static const char *const tunnels[] = {
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    };
    ASSERT_ALL(405, tunnels);
    ASSERT_BYTES(400, "GET /\0 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    ASSERT_BYTES(400, "GET\0/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
    ASSERT_BYTES(400, "GET http://a.example\0b?/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
    ASSERT_BYTES(400, "GET http://a.example?\0b HTTP/1.1\r\nHost: a.example\r\n\r\n");
    ASSERT_BYTES(400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    ASSERT_BYTES(400, "GET / HTTP/1.1\0\r\nHost: a.example\r\n\r\n");
}

static void test_hosts_that_are_not_one(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\n\r\n",
        GET "Host: a.example\r\n\r\n",
        GET "host: b.example\r\n\r\n",
        GET "Host:\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example/\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example?x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example#x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: http://a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example:\tx\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example:-1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example:0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a..example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: .a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example..\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: *.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.ex%61mple\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \303\240.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \"a.example\"\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
    };
    ASSERT_ALL(400, shapes);
    static const char *const expectations[] = {
        POST "Content-Length: 5\r\nExpect: 200-ok\r\n\r\nhello",
        POST "Content-Length: 5\r\nExpect:\r\n\r\nhello",
        POST "Content-Length: 5\r\nExpect: y 100-continue\r\n\r\nhello",
        POST "Content-Length: 5\r\nExpect: 100-continue, x\r\n\r\nhello",
        POST "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\nhello",
    };
    ASSERT_ALL(417, expectations);
}

static void test_heads_that_are_too_large(void **state)
{
    (void)state;
    char head[HEAD_BYTES + 64];
    struct result got, again;
    for (size_t size = HEAD_BYTES - 2; size <= HEAD_BYTES + 2; size++) {
        int at = snprintf(head, sizeof(head), GET "X: ");
        memset(head + at, 'a', size - 4 - (size_t)at);
        memcpy(head + size - 4, "\r\n\r\n", 4);
        play(head, size, 0, 0, &got);
        play(head, size, 1, 0, &again);
        assert_same(&got, &again, "a large head");
        assert_int_equal(got.up[0] != '\0', size <= HEAD_BYTES);
        assert_int_equal(strncmp(got.down, "HTTP/1.1 431 ", 13) == 0, size > HEAD_BYTES);
    }
    int at = snprintf(head, sizeof(head), GET);
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++) {
        at += snprintf(head + at, sizeof(head) - (size_t)at, "x:y\r\n");
    }
    snprintf(head + at, sizeof(head) - (size_t)at, "\r\n");
    assert_refused(431, head, strlen(head));
    at = snprintf(head, sizeof(head), GET "Connection: ");
    for (int i = 0; i < 65; i++) {
        at += snprintf(head + at, sizeof(head) - (size_t)at, "x,");
    }
    snprintf(head + at, sizeof(head) - (size_t)at, "\r\n\r\n");
    assert_refused(400, head, strlen(head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_framings),
        cmocka_unit_test(test_lengths_that_are_no_plain_number),
        cmocka_unit_test(test_codings_that_are_not_exactly_chunked),
        cmocka_unit_test(test_names_that_are_no_token),
        cmocka_unit_test(test_request_lines_that_are_none),
        cmocka_unit_test(test_hosts_that_are_not_one),
        cmocka_unit_test(test_heads_that_are_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
