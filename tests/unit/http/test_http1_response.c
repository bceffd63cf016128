/* Responses of a hostile upstream: what the guest could read in two ways is 502 where nothing was
 * sent yet, else a reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h1_rig.h"

enum { HEAD_BYTES = 4096 };

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

static void play(struct rig *rig, const char *method, const char *bytes, size_t len, size_t cut)
{
    char request[128];
    snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: a.example\r\n\r\n", method);
    const struct rig_step steps[RIG_STEPS_MAX] = {{RIG_GUEST, request, 0},
                                                  {RIG_UPSTREAM, bytes, len}};
    rig_start(rig, HEAD_BYTES);
    rig_play(rig, steps, 1, cut);
}

static void assert_502(const char *method, const char *bytes, size_t len)
{
    for (size_t cut = 0; cut < len; cut++) {
        struct rig rig = {.piece = cut == 1 ? 1 : 0};
        play(&rig, method, bytes, len, cut);
        if (strncmp(rig.down.at, "HTTP/1.1 502 ", 13) != 0 ||
            rig.relay->upstream_end != HTTP_END_RESET || rig.relay->guest_end != HTTP_END_FINISH) {
            fail_msg("cut at %zu: %s---- for %s", cut, rig.down.at, bytes);
        }
        rig_end(&rig);
    }
}

static void assert_all_502(const char *const *shapes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_502("GET", shapes[i], strlen(shapes[i]));
    }
}

#define ASSERT_ALL_502(shapes) assert_all_502(shapes, sizeof(shapes) / sizeof((shapes)[0]))
#define HEAD                   "HTTP/1.1 200 OK\r\n"

static void test_heads_that_are_none(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "HTTP/1.1 200 OK\rA: b\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1 2\tx\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\1K\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "<html>\r\n\r\n",
        HEAD "A : b\r\n\r\n",
        HEAD " A: b\r\n\r\n",
        HEAD "A: b\r\n c\r\n\r\n",
        HEAD "no colon\r\n\r\n",
        HEAD ": b\r\n\r\n",
        HEAD "A: b\rc\r\n\r\n",
        HEAD "A: \177\r\n\r\n",
    };
    ASSERT_ALL_502(shapes);
    static const char nul[] = HEAD "A: \0\r\n\r\n";
    assert_502("GET", nul, sizeof(nul) - 1);
}

static void test_framings_that_are_two(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        HEAD "Content-Length: 5, 5\r\n\r\nhello",
        HEAD "Content-Length: +5\r\n\r\nhello",
        HEAD "Content-Length: 05\r\n\r\nhello",
        HEAD "Content-Length: -1\r\n\r\n",
        HEAD "Content-Length: \r\n\r\n",
        HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD "Transfer-Encoding: identity\r\n\r\n",
        HEAD "Transfer-Encoding: xchunked\r\n\r\n",
        HEAD "Transfer-Encoding : chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 103 x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    };
    ASSERT_ALL_502(shapes);
    assert_502("HEAD", HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
               strlen(HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"));
}

static void test_header_bombs(void **state)
{
    (void)state;
    char bomb[2 * HEAD_BYTES];
    int at = snprintf(bomb, sizeof(bomb), HEAD "A: ");
    memset(bomb + at, 'a', sizeof(bomb) - (size_t)at);
    struct rig rig = {0};
    play(&rig, "GET", bomb, sizeof(bomb), 0);
    assert_int_equal(strncmp(rig.down.at, "HTTP/1.1 502 ", 13), 0);
    rig_end(&rig);
    at = snprintf(bomb, sizeof(bomb), HEAD);
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++) {
        at += snprintf(bomb + at, sizeof(bomb) - (size_t)at, "a:b\r\n");
    }
    at += snprintf(bomb + at, sizeof(bomb) - (size_t)at, "\r\n");
    assert_502("GET", bomb, (size_t)at);
}

static void test_bad_body_is_a_reset(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "5 \r\nhello\r\n", "5\nhello\r\n",         "0x5\r\nhello\r\n",
        "-1\r\n",          "5\r\nhelloX",          "5\r\nhello\n",
        "g\r\n",           "5;\1\r\nhello\r\n",    "0\r\nA : b\r\n\r\n",
        "0\r\nA: b\n\r\n", "1000000000000000\r\n",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        char all[256];
        int len =
            snprintf(all, sizeof(all), HEAD "Transfer-Encoding: chunked\r\n\r\n%s", bodies[i]);
        for (size_t cut = 0; cut < (size_t)len; cut++) {
            struct rig rig = {0};
            play(&rig, "GET", all, (size_t)len, cut);
            assert_int_equal(rig.relay->guest_end, HTTP_END_RESET);
            assert_int_equal(rig.relay->upstream_end, HTTP_END_RESET);
            assert_null(strstr(rig.down.at, "502"));
            assert_null(strstr(rig.down.at, "\r\n0\r\n\r\n"));
            rig_end(&rig);
        }
    }
}

/* A body of each framing, cut everywhere, arrives in the same framing; behind it, the connection
 * goes on. */
static void test_bodies_keep_their_framing(void **state)
{
    (void)state;
    static const struct {
        const char *method, *sent, *want;
    } cases[] = {
        {"GET", HEAD "Content-Length: 5\r\n\r\nhello", HEAD "Content-Length: 5\r\n\r\nhello"},
        {"GET", HEAD "Transfer-Encoding: CHUNKED\r\n\r\n05;x\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n",
         HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"},
        {"GET", HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nSet-Cookie: x\r\n\r\n",
         HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n"},
        {"HEAD", HEAD "Transfer-Encoding: chunked\r\n\r\n", HEAD "\r\n"},
        {"GET", "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 304 Not Modified\r\n\r\n"},
        {"GET", "HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n",
         "HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].sent);
        for (size_t cut = 0; cut < len; cut++) {
            struct rig rig = {.piece = cut == 1 ? 1 : 0, .drain = cut == 2 ? 1 : 0};
            play(&rig, cases[i].method, cases[i].sent, len, cut);
            assert_string_equal(rig.down.at, cases[i].want);
            assert_int_equal(rig.relay->guest_end, HTTP_END_NOT);
            rig_end(&rig);
        }
    }
}

static void test_old_guest_gets_no_chunks(void **state)
{
    (void)state;
    struct rig rig = {0};
    const struct rig_step steps[RIG_STEPS_MAX] = {
        {RIG_GUEST, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", 0},
        {RIG_UPSTREAM, HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n",
         0}};
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig, steps, 0, 0);
    assert_string_equal(rig.down.at, HEAD "Connection: close\r\n\r\nhelloyou");
    assert_int_equal(rig.relay->guest_end, HTTP_END_FINISH);
    rig_end(&rig);
}

/* An event of a stream is there before the next one comes. */
static void test_events_pass_without_delay(void **state)
{
    (void)state;
    static const char *const paths[] = {"/", "/echo"};
    for (size_t i = 0; i < 2; i++) {
        char request[128];
        struct rig rig = {0};
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n", paths[i]);
        const struct rig_step steps[RIG_STEPS_MAX] = {
            {RIG_GUEST, request, 0},
            {RIG_UPSTREAM, HEAD "Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n", 0}};
        rig_start(&rig, HEAD_BYTES);
        rig_play(&rig, steps, 0, 0);
        assert_non_null(strstr(rig.down.at, "\r\n8\r\ndata: 1\n\r\n"));
        rig_end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_that_are_none),
        cmocka_unit_test(test_framings_that_are_two),
        cmocka_unit_test(test_header_bombs),
        cmocka_unit_test(test_bad_body_is_a_reset),
        cmocka_unit_test(test_bodies_keep_their_framing),
        cmocka_unit_test(test_old_guest_gets_no_chunks),
        cmocka_unit_test(test_events_pass_without_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
