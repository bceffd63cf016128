/* Bodies through the filter: lengths, caps, back-pressure, and what happens half-way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h1_internal.h"
#include "http/h1_naive.h"

enum { HEAD_BYTES = 4096, LARGE = 300000 };

#define HOST "Host: a.example\r\n"
#define OK   "HTTP/1.1 200 OK\r\n"

/* A head and a body of `n` bytes of `fill`. To be freed. */
static char *message(const char *head, char fill, size_t n, size_t *ret_len)
{
    size_t len = strlen(head);
    char *all = malloc(len + n + 1);
    memcpy(all, head, len);
    memset(all + len, fill, n);
    all[len + n] = '\0';
    *ret_len = len + n;
    return all;
}

/* The bytes of a chunked body whose chunks may be anywhere. To be freed. */
static struct rig_text unchunk(const char *body)
{
    struct rig_text out = {0};
    rig_puts(&out, "");
    for (;;) {
        char *end;
        unsigned long n = strtoul(body, &end, 16);
        assert_true(end > body && end[0] == '\r' && end[1] == '\n');
        if (n == 0) {
            assert_string_equal(end, "\r\n\r\n");
            return out;
        }
        rig_put(&out, end + 2, n);
        assert_memory_equal(end + 2 + n, "\r\n", 2);
        body = end + 2 + n + 2;
    }
}

static void test_short_body_is_held_and_its_length_corrected(void **state)
{
    (void)state;
    static const char request[] =
        "POST /filter HTTP/1.1\r\n" HOST "Content-Length: 5\r\nA: b\r\n\r\naxbxc";
    static const char response[] = OK "Content-Length: 4\r\nC: d\r\n\r\nxx-x";
    for (size_t cut = 0; cut < sizeof(request) - 1; cut++) {
        struct rig rig = {.grow = true, .drain = cut % 3};
        rig_start(&rig, HEAD_BYTES);
        rig_play(&rig, (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, request, 0}}, 0, cut);
        assert_string_equal(rig.up.at, "POST /filter HTTP/1.1\r\n" HOST
                                       "Content-Length: 9\r\nA: b\r\n\r\nayyybyyyc");
        assert_string_equal(rig.log.at, "[POST a.example /filter](up)");
        rig_end(&rig);
    }
    for (size_t cut = 0; cut < sizeof(response) - 1; cut++) {
        struct rig rig = {.grow = true, .drain = cut % 3};
        rig_start(&rig, HEAD_BYTES);
        rig_play(
            &rig,
            (const struct rig_step[RIG_STEPS_MAX]){
                {RIG_GUEST, "GET /echo HTTP/1.1\r\n" HOST "\r\n", 0}, {RIG_UPSTREAM, response, 0}},
            1, cut);
        assert_string_equal(rig.down.at, OK "Content-Length: 10\r\nC: d\r\n\r\nyyyyyy-yyy");
        rig_end(&rig);
    }
}

static void test_nothing_goes_upstream_before_a_held_body_is_whole(void **state)
{
    (void)state;
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    rig_play(
        &rig,
        (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST,
                                                "POST /filter HTTP/1.1\r\n" HOST
                                                "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
                                                0},
                                               {RIG_GUEST, "ab?", 0}},
        0, 0);
    assert_string_equal(rig.up.at, "");
    assert_int_equal(strncmp(rig.down.at, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 ", 38), 0);
    rig_end(&rig);
}

/* The answer of a filter that saw the body takes the place of upstream's; what upstream has of the
 * request does not become whole. */
static void test_answer_half_way(void **state)
{
    (void)state;
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    rig_play(
        &rig,
        (const struct rig_step[RIG_STEPS_MAX]){
            {RIG_GUEST,
             "POST /filter HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0},
            {RIG_GUEST, "1\r\n?\r\n0\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0}},
        0, 0);
    assert_string_equal(rig.up.at, "POST /filter HTTP/1.1\r\n" HOST
                                   "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_non_null(strstr(rig.down.at, "HTTP/1.1 403 Forbidden"));
    assert_non_null(strstr(rig.down.at, "Connection: close"));
    assert_int_equal(rig.relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(rig.relay->upstream_end, HTTP_END_RESET);
    assert_string_equal(rig.log.at, "[POST a.example /filter]{1 403 0 0}\n");
    rig_end(&rig);
}

static void test_answer_to_a_held_body_keeps_the_connection(void **state)
{
    (void)state;
    static const char bytes[] = "POST /filter HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nab?cde"
                                "GET /2 HTTP/1.1\r\n" HOST "\r\n";
    for (size_t cut = 0; cut < sizeof(bytes) - 1; cut++) {
        struct rig rig = {.piece = cut == 1 ? 1 : 0};
        rig_start(&rig, HEAD_BYTES);
        rig_play(&rig, (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, bytes, 0}}, 0, cut);
        assert_string_equal(rig.up.at, "GET /2 HTTP/1.1\r\n" HOST "\r\n");
        assert_non_null(strstr(rig.down.at, "HTTP/1.1 403 Forbidden"));
        assert_int_equal(rig.relay->guest_end, HTTP_END_NOT);
        rig_end(&rig);
    }
}

static void test_reset_half_way(void **state)
{
    (void)state;
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig,
             (const struct rig_step[RIG_STEPS_MAX]){
                 {RIG_GUEST, "GET /echo HTTP/1.1\r\n" HOST "\r\n", 0},
                 {RIG_UPSTREAM, OK "Transfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n", 0}},
             0, 0);
    assert_int_equal(rig.relay->guest_end, HTTP_END_RESET);
    assert_int_equal(rig.relay->upstream_end, HTTP_END_RESET);
    assert_null(strstr(rig.down.at, "!"));
    rig_end(&rig);
}

/* Larger than what is held: chunks, and the length is gone. */
static void test_long_body_becomes_chunked(void **state)
{
    (void)state;
    char head[128];
    size_t len, response_len;
    snprintf(head, sizeof(head), "POST /filter-echo HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
             LARGE);
    char *request = message(head, 'x', LARGE, &len);
    snprintf(head, sizeof(head), OK "Content-Length: %d\r\n\r\n", LARGE);
    char *response = message(head, 'x', LARGE, &response_len);
    static const size_t pieces[] = {0, 1000, 70000}, drains[] = {0, 5000, 100};
    for (size_t i = 0; i < 3; i++) {
        struct rig rig = {.grow = true, .piece = pieces[i], .drain = drains[i]};
        rig_start(&rig, HEAD_BYTES);
        rig_play(&rig,
                 (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, request, len},
                                                        {RIG_UPSTREAM, response, response_len}},
                 0, 0);
        const char *const ways[] = {rig.up.at, rig.down.at};
        for (size_t w = 0; w < 2; w++) {
            char *body = strstr(ways[w], "\r\n\r\n");
            assert_non_null(strstr(ways[w], "Transfer-Encoding: chunked\r\n"));
            assert_null(strstr(ways[w], "Content-Length"));
            struct rig_text plain = unchunk(body + 4);
            assert_int_equal(plain.len, 3 * LARGE);
            assert_int_equal(strspn(plain.at, "y"), plain.len);
            free(plain.at);
        }
        assert_int_equal(rig.relay->guest_end, HTTP_END_NOT);
        rig_end(&rig);
    }
    free(request);
    free(response);
}

/* It grows beyond what is held while it is filtered. */
static void test_held_body_that_grows_becomes_chunked(void **state)
{
    (void)state;
    char head[128];
    size_t len;
    snprintf(head, sizeof(head), "POST /filter HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
             H1_HOLD_MAX);
    char *request = message(head, 'x', H1_HOLD_MAX, &len);
    struct rig rig = {.grow = true, .piece = 3000};
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig, (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, request, len}}, 0, 0);
    struct rig_text plain = unchunk(strstr(rig.up.at, "\r\n\r\n") + 4);
    assert_int_equal(plain.len, 3 * H1_HOLD_MAX);
    free(plain.at);
    rig_end(&rig);
    /* HTTP/1.0 has no chunks. */
    memcpy(strstr(request, "HTTP/1.1"), "HTTP/1.0", 8);
    struct rig old = {.grow = true, .piece = 3000};
    rig_start(&old, HEAD_BYTES);
    rig_play(&old, (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, request, len}}, 0, 0);
    assert_string_equal(old.up.at, "");
    assert_int_equal(strncmp(old.down.at, "HTTP/1.1 413 ", 13), 0);
    rig_end(&old);
    free(request);
}

/* Who is not read from is not read: the queues stay bounded, and nothing is lost. */
static void test_slow_receiver_stops_the_sender(void **state)
{
    (void)state;
    char head[128];
    size_t len;
    snprintf(head, sizeof(head), "POST / HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", LARGE);
    char *request = message(head, 'a', LARGE, &len);
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    ssize_t taken = http_relay_from_guest(rig.relay, (const uint8_t *)request, len);
    assert_in_range(taken, 1, H1_QUEUE_SOFT);
    assert_in_range(rig.relay->to_upstream.len, 1, H1_QUEUE_SOFT);
    assert_int_equal(
        http_relay_from_guest(rig.relay, (const uint8_t *)request + taken, len - (size_t)taken), 0);
    rig_put(&rig.up, byte_queue_bytes(&rig.relay->to_upstream), rig.relay->to_upstream.len);
    byte_queue_drop(&rig.relay->to_upstream, rig.relay->to_upstream.len);
    rig.guest =
        (struct rig_input){.at = (const uint8_t *)request + taken, .len = len - (size_t)taken};
    rig.drain = 777;
    rig_pump(&rig);
    assert_int_equal(rig.up.len, len);
    assert_memory_equal(rig.up.at, request, len);
    rig_end(&rig);
    free(request);
}

/* A guest that asks and never reads. */
static void test_answers_are_bounded(void **state)
{
    (void)state;
    static const char denied[] = "GET /deny HTTP/1.1\r\n" HOST "\r\n";
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    size_t n = 0;
    while (http_relay_from_guest(rig.relay, (const uint8_t *)denied, sizeof(denied) - 1) > 0) {
        assert_in_range(++n, 1, 10000);
    }
    assert_in_range(rig.relay->to_guest.len, 1, H1_QUEUE_SOFT + 1024);
    rig_end(&rig);
}

static void test_trailers_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *log;
        enum http_end end;
    } cases[] = {
        {"0\r\nX-Sum: 1\r\nCookie: x\r\n\r\n", "(trailers up X-Sum)", HTTP_END_NOT},
        {"0\r\nContent-Length: 5\r\n\r\n", "(trailers up)", HTTP_END_NOT},
        {"0\r\nX-Reset: 1\r\n\r\n", "(trailers up X-Reset)", HTTP_END_RESET},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char all[256];
        struct rig rig = {0};
        snprintf(all, sizeof(all),
                 "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%s", cases[i].sent);
        rig_start(&rig, HEAD_BYTES);
        rig_play(&rig, (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, all, 0}}, 0, 0);
        assert_non_null(strstr(rig.log.at, cases[i].log));
        assert_int_equal(rig.relay->upstream_end, cases[i].end);
        rig_end(&rig);
    }
}

static void test_filter_sees_what_is_sent(void **state)
{
    (void)state;
    static const char bytes[] =
        "POST /filter HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "1\r\na\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n";
    for (size_t cut = 0; cut < sizeof(bytes) - 1; cut++) {
        struct rig rig = {.piece = cut == 1 ? 1 : 0};
        rig_start(&rig, HEAD_BYTES);
        rig_play(&rig, (const struct rig_step[RIG_STEPS_MAX]){{RIG_GUEST, bytes, 0}}, 0, cut);
        assert_string_equal(rig.seen[HTTP_TO_UPSTREAM].at, "a0123456789abcdef");
        assert_null(naive_judge(&rig));
        rig_end(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_body_is_held_and_its_length_corrected),
        cmocka_unit_test(test_nothing_goes_upstream_before_a_held_body_is_whole),
        cmocka_unit_test(test_answer_half_way),
        cmocka_unit_test(test_answer_to_a_held_body_keeps_the_connection),
        cmocka_unit_test(test_reset_half_way),
        cmocka_unit_test(test_long_body_becomes_chunked),
        cmocka_unit_test(test_held_body_that_grows_becomes_chunked),
        cmocka_unit_test(test_slow_receiver_stops_the_sender),
        cmocka_unit_test(test_answers_are_bounded),
        cmocka_unit_test(test_trailers_are_judged),
        cmocka_unit_test(test_filter_sees_what_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
