/* Chunked bodies that two servers could end at two places; and what is merely unusual, which goes
 * upstream in the usual spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h1_shapes.h"

/* The head is good and upstream has it; nothing behind the fault goes there, and upstream does not
 * take what it has for a whole request. */
static void assert_reset(const char *chunks, size_t len)
{
    struct result got;
    char all[2048];
    static const char head[] = POST "Transfer-Encoding: chunked\r\n\r\n";
    static const char behind[] = "0\r\n\r\nGET /behind HTTP/1.1\r\nHost: a.example\r\n\r\n";
    memcpy(all, head, sizeof(head) - 1);
    memcpy(all + sizeof(head) - 1, chunks, len);
    memcpy(all + sizeof(head) - 1 + len, behind, sizeof(behind));
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    size_t n = sizeof(head) - 1 + len + sizeof(behind) - 1;
    const struct rig_step steps[RIG_STEPS_MAX] = {{RIG_GUEST, all, n}};
    rig_play(&rig, steps, 0, 0);
    if (strncmp(rig.down.at, "HTTP/1.1 400 ", 13) != 0 || strstr(rig.log.at, "behind") != NULL ||
        strstr(rig.up.at, "0\r\n\r\n") != NULL || rig.relay->upstream_end != HTTP_END_RESET) {
        fail_msg("taken: %s\n%s%s", chunks, rig.up.at, rig.down.at);
    }
    rig_end(&rig);
    /* Cut anywhere, the guest hears the same. */
    play(all, n, 0, 0, &got);
    for (size_t cut = 1; cut < n; cut++) {
        struct result again;
        play(all, n, 0, cut, &again);
        assert_string_equal(again.down, got.down);
        assert_int_equal(again.upstream_end, got.upstream_end);
        assert_string_equal(again.log, got.log);
    }
}

static const char *const odd_chunks[] = {
    "\r\n",
    " 5\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "5\t\r\nhello\r\n",
    "5 ;x\r\nhello\r\n",
    "+5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    "-1\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "0X5\r\nhello\r\n",
    "x5\r\nhello\r\n",
    "5h\r\nhello\r\n",
    "5_\r\nhello\r\n",
    "0_5\r\nhello\r\n",
    "5,5\r\nhello\r\n",
    "5.0\r\nhello\r\n",
    "\"5\"\r\nhello\r\n",
    "g\r\nhello\r\n",
    "\331\245\r\nhello\r\n",
    "5\240\r\nhello\r\n",
    ";\r\nhello\r\n",
    ";5\r\nhello\r\n",
    "5\nhello\r\n",
    "5\rhello\r\n",
    "5\r\r\nhello\r\n",
    "5\n\rhello\r\n",
    "5\v\r\nhello\r\n",
    "5;\nhello\r\n",
    "5;x\nhello\r\n",
    "5;x\ry\r\nhello\r\n",
    "5;x\r\r\nhello\r\n",
    "5;x=\"\n\"\r\nhello\r\n",
    "5;x=\"\r\"\r\nhello\r\n",
    "5;x\1\r\nhello\r\n",
    "5;x\177\r\nhello\r\n",
    "5\r\nhello",
    "5\r\nhello\n",
    "5\r\nhello\r",
    "5\r\nhelloXX",
    "5\r\nhello\rX",
    "5\r\nhelloX\n",
    "5\r\nhelloX\r\n",
    "5\r\nhello\r\n\r\n",
    "4\r\nhello\r\n",
    "0000000000000005\r\nhello\r\n",
    "10000000000000005\r\nhello\r\n",
    "ffffffffffffffff\r\nhello\r\n",
    "fffffffffffffffb\r\nhello\r\n",
    "100000000000000000000000000000005\r\nhello\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "0\r\nX: y\r\n folded\r\n\r\n",
    "0\r\nno colon\r\n\r\n",
    "0\r\nX: y\rz\r\n\r\n",
    "0\r\n\n",
    "0\r\n\rx",
};

static void test_chunks_that_are_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(odd_chunks) / sizeof(odd_chunks[0]); i++) {
        assert_reset(odd_chunks[i], strlen(odd_chunks[i]));
    }
    static const char nul[] = "5;\0x\r\nhello\r\n";
    assert_reset(nul, sizeof(nul) - 1);
    static const char nul_size[] = "5\0\r\nhello\r\n";
    assert_reset(nul_size, sizeof(nul_size) - 1);
    char longest[512] = "5;";
    memset(longest + 2, 'x', 300);
    strcpy(longest + 302, "\r\nhello\r\n");
    assert_reset(longest, strlen(longest));
}

static void assert_sent(const char *bytes, const char *want)
{
    struct result got;
    play_all(bytes, strlen(bytes), &got);
    if (strcmp(got.up, want) != 0) {
        fail_msg("upstream got:\n%s%s---- not\n%s", got.up, got.down, want);
    }
}

/* What is merely unusual goes upstream in the usual spelling. */
static void test_unusual_spellings_become_usual(void **state)
{
    (void)state;
    static const char chunked[] = POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_sent(POST "TRANSFER-encoding:\t cHuNkEd \t\r\n\r\n5\r\nhello\r\n0\r\n\r\n", chunked);
    assert_sent(POST "Transfer-Encoding:chunked\r\n\r\n5;a=b;c=\"d;\\\"\" \r\nhello\r\n0;x\r\n\r\n",
                chunked);
    assert_sent(POST "Transfer-Encoding: chunked\r\n\r\n000000000000005\r\nhello\r\n000\r\n\r\n",
                chunked);
    assert_sent(POST "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n"
                     "Content-Length: 5\r\nHost: b\r\nX-Sum: 1\r\nAuthorization: x\r\n"
                     "Transfer-Encoding: x\r\nX-Forwarded-For: y\r\n\r\n",
                POST "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n");
    assert_sent(POST "Content-Length: \t0 \r\n\r\n", POST "Content-Length: 0\r\n\r\n");
    assert_sent("\r\n" GET "\r\n", GET "\r\n");
    assert_sent("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: close\r\n\r\n");
    /* Upstream may not read it: there is no request behind. */
    assert_sent(GET "Content-Length: 5\r\n\r\nhello" GET "\r\n",
                GET "Content-Length: 5\r\nConnection: close\r\n\r\nhello");
    assert_sent(GET "XTransfer-Encoding: chunked\r\nContent-Length-X: 7\r\n\r\n",
                GET "XTransfer-Encoding: chunked\r\nContent-Length-X: 7\r\n\r\n");
    assert_sent("M-SEARCH / HTTP/1.1\r\nHost: a.example.\r\n\r\n",
                "M-SEARCH / HTTP/1.1\r\nHost: a.example.\r\n\r\n");
}

/* Any byte at any place of a request: refused, or read by a plain server as what was judged. */
static void test_no_single_byte_hides_a_request(void **state)
{
    (void)state;
    static const char good[] = "POST /1 HTTP/1.1\r\nHost: a.b\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "1a\r\nGET /2 HTTP/1.1\r\nX: 34567\r\n0\r\n\r\n";
    char bytes[sizeof(good) + 1];
    struct result got;
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (int v = 0; v < 256; v++) {
            memcpy(bytes, good, sizeof(good));
            bytes[at] = (char)v;
            play(bytes, sizeof(good) - 1, 0, 0, &got);
            memcpy(bytes + at + 1, good + at, sizeof(good) - at);
            play(bytes, sizeof(good), 0, 0, &got);
        }
        memcpy(bytes, good, at);
        memcpy(bytes + at, good + at + 1, sizeof(good) - at - 1);
        play(bytes, sizeof(good) - 2, 0, 0, &got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_that_are_none),
        cmocka_unit_test(test_unusual_spellings_become_usual),
        cmocka_unit_test(test_no_single_byte_hides_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
