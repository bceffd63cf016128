/* The HTTP/1 relay: exchanges, pipelines, answers, ends; each played whole, in every cut, byte by
 * byte and against slow receivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "http/h1_naive.h"

enum { HEAD_BYTES = 64 << 10 };

struct want {
    const char *up, *down, *log;
    enum http_end guest_end, upstream_end;
};

static void compare(const struct rig *rig, const struct want *want, const char *how)
{
    if (strcmp(rig->up.at, want->up) != 0) {
        fail_msg("%s: upstream got:\n%s---- not\n%s", how, rig->up.at, want->up);
    }
    if (strcmp(rig->down.at, want->down) != 0) {
        fail_msg("%s: the guest got:\n%s---- not\n%s", how, rig->down.at, want->down);
    }
    if (rig->relay->guest_end != want->guest_end ||
        rig->relay->upstream_end != want->upstream_end) {
        fail_msg("%s: ends %u %u, not %u %u", how, rig->relay->guest_end, rig->relay->upstream_end,
                 want->guest_end, want->upstream_end);
    }
    if (want->log != NULL && strcmp(rig->log.at, want->log) != 0) {
        fail_msg("%s: log:\n%s---- not\n%s", how, rig->log.at, want->log);
    }
}

static void play(const struct rig_step *steps, const struct want *want, size_t piece, size_t drain,
                 size_t cut_step, size_t cut)
{
    char how[80];
    struct rig rig = {.piece = piece, .drain = drain, .grow = true};
    snprintf(how, sizeof(how), "pieces %zu, drain %zu, step %zu cut at %zu", piece, drain, cut_step,
             cut);
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig, steps, cut_step, cut);
    compare(&rig, want, how);
    rig_end(&rig);
}

/* Every way of delivering the same bytes has the same effect. */
static void check_played(const struct rig_step *steps, const struct want *want)
{
    play(steps, want, 0, 0, 0, 0);
    play(steps, want, 1, 0, 0, 0);
    play(steps, want, 7, 3, 0, 0);
    play(steps, want, 1, 1, 0, 0);
    for (size_t i = 0; i < RIG_STEPS_MAX && steps[i].who != 0; i++) {
        size_t len = rig_step_len(&steps[i]);
        for (size_t cut = 1; cut < len; cut++) {
            play(steps, want, 0, 0, i, cut);
        }
    }
}

#define STEPS(...)                                                                                 \
    (const struct rig_step[RIG_STEPS_MAX])                                                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define CHECK(steps, ...) check_played(steps, &(const struct want){__VA_ARGS__})

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define SENT(path) "GET " path " HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define OK         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void test_exchanges_follow_each_other(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, GET("/1"), 0}, {RIG_UPSTREAM, OK, 0}, {RIG_GUEST, GET("/2"), 0},
                {RIG_UPSTREAM, OK, 0}, {RIG_GUEST_ENDS, NULL, 0}),
          .up = SENT("/1") SENT("/2"), .down = OK OK,
          .log = "[GET a.example /1]<200>{1 200 0 2}\n[GET a.example /2]<200>{2 200 0 2}\n",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_FINISH);
}

static void test_head_is_written_anew_in_its_order_and_spelling(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST,
                 "\r\nPOST /a?b=c HTTP/1.1\r\nuser-AGENT:  x y\t\r\nHOST: A.Example:80\r\n"
                 "Connection: keep-alive, X-Mine , TE\r\nX-Mine: 1\r\nTE: trailers\r\n"
                 "Keep-Alive: timeout=5\r\nProxy-Authorization: Basic eA==\r\nProxy: x\r\n"
                 "content-LENGTH: 3\r\nX-Empty:\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
                 "X-Text: caf\303\251 \"q\" \r\n\r\nabc",
                 0},
                {RIG_UPSTREAM,
                 "HTTP/1.1 299 Very Odd\r\nserver: s\r\nKeep-Alive: x\r\nUpgrade: h2c\r\n"
                 "Connection: Y\r\nY: 1\r\nSet-Cookie: a\r\nContent-Length: 0\r\nSet-Cookie: "
                 "b\r\n\r\n",
                 0}),
          .up = "POST /a?b=c HTTP/1.1\r\nHost: A.Example:80\r\nuser-AGENT: x y\r\n"
                "content-LENGTH: 3\r\nX-Empty: \r\nX-Text: caf\303\251 \"q\"\r\n\r\nabc",
          .down = "HTTP/1.1 299 \r\nserver: s\r\nSet-Cookie: a\r\nContent-Length: 0\r\n"
                  "Set-Cookie: b\r\n\r\n",
          .log = "[POST A.Example:80 /a?b=c]<299>{1 299 3 0}\n");
}

static void test_absolute_form_becomes_origin_form(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, "GET HTTP://a.example:80/x?y HTTP/1.1\r\nHost: A.example\r\n\r\n", 0}),
          .up = "GET /x?y HTTP/1.1\r\nHost: a.example:80\r\n\r\n", .down = "");
    CHECK(STEPS({RIG_GUEST, "GET http://a.example?y HTTP/1.1\r\nHost: a.example\r\n\r\n", 0}),
          .up = SENT("/?y"), .down = "");
    CHECK(STEPS({RIG_GUEST, "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", 0}),
          .up = SENT("/"), .down = "");
    CHECK(STEPS({RIG_GUEST, "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", 0}),
          .up = "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", .down = "");
    CHECK(STEPS({RIG_GUEST, "OPTIONS * HTTP/1.1\r\nHost: [2001:DB8::1]:8\r\n\r\n", 0}),
          .up = "OPTIONS * HTTP/1.1\r\nHost: [2001:DB8::1]:8\r\n\r\n", .down = "");
    CHECK(STEPS({RIG_GUEST, "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 0}),
          .up = "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", .down = "");
}

static void test_pipeline_is_judged_one_by_one_and_answered_in_order(void **state)
{
    (void)state;
    static const char denied[] = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; "
                                 "charset=utf-8\r\nContent-Length: 3\r\n\r\nno\n";
    char down[1024];
    snprintf(down, sizeof(down), "%s%s%s%s", OK, denied, OK, denied);
    CHECK(STEPS({RIG_GUEST, GET("/1") GET("/deny") GET("/2") GET("/deny"), 0},
                {RIG_UPSTREAM, OK, 0}, {RIG_UPSTREAM, OK, 0}),
          .up = SENT("/1") SENT("/2"), .down = down,
          .log = "[GET a.example /1]<200>{1 200 0 2}\n[GET a.example /deny]{2 403 0 0}\n"
                 "[GET a.example /2]<200>{3 200 0 2}\n[GET a.example /deny]{4 403 0 0}\n");
    /* The second is not sent before the first is answered. */
    CHECK(STEPS({RIG_GUEST, GET("/1") GET("/2"), 0}), .up = SENT("/1"), .down = "",
          .log = "[GET a.example /1]");
}

static void test_denied_body_is_dropped_or_the_connection_is_closed(void **state)
{
    (void)state;
#define DENIED(more)                                                                               \
    "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "        \
    "3\r\n" more "\r\nno\n"
    CHECK(STEPS({RIG_GUEST,
                 "PUT /deny HTTP/1.1\r\nHost: a.example\r\nContent-Length: 29\r\n\r\n"
                 "GET / HTTP/1.1\r\nHost: b.b\r\n\r\n" GET("/2"),
                 0},
                {RIG_UPSTREAM, OK, 0}),
          .up = SENT("/2"), .down = DENIED("") OK);
    CHECK(STEPS({RIG_GUEST,
                 "PUT /deny HTTP/1.1\r\nHost: a.example\r\nContent-Length: 65537\r\n\r\n" GET("/2"),
                 0}),
          .up = "", .down = DENIED("Connection: close\r\n"), .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST,
                 "PUT /deny HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0\r\n\r\n" GET("/2"),
                 0}),
          .up = "", .down = DENIED("Connection: close\r\n"), .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
    /* Nobody waits for 100, and nobody guesses whether the body still comes. */
    CHECK(STEPS({RIG_GUEST,
                 "PUT /deny HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n"
                 "Expect: 100-continue\r\n\r\n",
                 0}),
          .up = "", .down = DENIED("Connection: close\r\n"), .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, GET("/deny-close") GET("/2"), 0}), .up = "",
          .down = DENIED("Connection: close\r\n"), .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, "HEAD /deny HTTP/1.1\r\nHost: a.example\r\n\r\n" GET("/2"), 0}),
          .up = SENT("/2"),
          .down = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
                  "Content-Length: 3\r\n\r\n");
    CHECK(STEPS({RIG_GUEST, GET("/reset"), 0}), .up = "", .down = "",
          .log = "[GET a.example /reset]{1 0 0 0}\n", .guest_end = HTTP_END_RESET,
          .upstream_end = HTTP_END_RESET);
}

static void test_filter_cannot_break_the_framing(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST,
                 "POST /rewrite HTTP/1.1\r\nHost: a.example\r\nX-Removed: 1\r\nA: b\r\n"
                 "Content-Length: 2\r\n\r\nhi",
                 0}),
          .up = "POST /other HTTP/1.1\r\nHost: a.example\r\nA: b\r\nContent-Length: 2\r\n"
                "X-Added: yes\r\n\r\nhi",
          .down = "");
}

static void test_expect_is_answered_here(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST,
                 "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n"
                 "EXPECT: 100-Continue\r\n\r\n",
                 0},
                {RIG_GUEST, "hi", 0}, {RIG_UPSTREAM, "HTTP/1.1 100 Continue\r\n\r\n" OK, 0}),
          .up = "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi",
          .down = "HTTP/1.1 100 Continue\r\n\r\n" OK);
    CHECK(
        STEPS({RIG_GUEST, "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n", 0}),
        .up = SENT("/"), .down = "");
}

static void test_interim_responses_pass(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, GET("/"), 0},
                {RIG_UPSTREAM, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" OK, 0}),
          .up = SENT("/"), .down = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" OK,
          .log = "[GET a.example /]<103><200>{1 200 0 2}\n");
    CHECK(STEPS({RIG_GUEST, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", 0},
                {RIG_UPSTREAM, "HTTP/1.1 103 Early Hints\r\n\r\n" OK, 0}),
          .up = "GET / HTTP/1.0\r\nHost: a.example\r\nConnection: close\r\n\r\n",
          .down = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_FINISH);
    char many[1024] = "";
    for (int i = 0; i < 17; i++) {
        strcat(many, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig, STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, many, 0}), 0, 0);
    assert_non_null(strstr(rig.down.at, "HTTP/1.1 502 "));
    assert_int_equal(rig.relay->upstream_end, HTTP_END_RESET);
    rig_end(&rig);
}

static void test_bodiless_responses(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", 0},
                {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 0},
                {RIG_GUEST, GET("/2"), 0},
                {RIG_UPSTREAM, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0},
                {RIG_GUEST, GET("/3"), 0},
                {RIG_UPSTREAM, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 0}),
          .up = "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n" SENT("/2") SENT("/3"),
          .down = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
                  "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
                  "HTTP/1.1 204 No Content\r\n\r\n");
}

static void test_response_up_to_the_end_of_the_connection(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, GET("/") GET("/2"), 0},
                {RIG_UPSTREAM, "HTTP/1.0 200\r\nA: b\r\n\r\nbody", 0},
                {RIG_UPSTREAM_ENDS, NULL, 0}),
          .up = SENT("/"), .down = "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody",
          .log = "[GET a.example /]<200>{1 200 0 4}\n", .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
}

static void test_close_of_either_side_closes_both(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST,
                 "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Close\r\n\r\n" GET("/2"), 0},
                {RIG_UPSTREAM, OK OK, 0}),
          .up = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
          .down = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, GET("/") GET("/2"), 0},
                {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                 0}),
          .up = SENT("/"),
          .down = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_FINISH);
}

static void test_ends_pass_through(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_GUEST_ENDS, NULL, 0}), .up = SENT("/"), .down = "",
          .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_GUEST_ENDS, NULL, 0}, {RIG_UPSTREAM, OK, 0}),
          .up = SENT("/"),
          .down = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_UPSTREAM_ENDS, NULL, 0}), .up = "", .down = "", .log = "",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, "GET / HT", 0}, {RIG_GUEST_ENDS, NULL, 0}), .up = "", .down = "",
          .log = "{refused 0 the guest ended within a head}\n", .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nab", 0},
                {RIG_GUEST_ENDS, NULL, 0}),
          .up = "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nab", .down = "",
          .log = "[PUT a.example /]{1 0 2 0 the guest ended within a request}\n",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_RESET);
    /* An idle connection that upstream ends is no answer. */
    CHECK(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, OK, 0}, {RIG_GUEST, GET("/2"), 0},
                {RIG_UPSTREAM_ENDS, NULL, 0}),
          .up = SENT("/") SENT("/2"), .down = OK, .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_RESET);
}

/* What was sent to the guest stands for how it ended. */
static void check_502(const struct rig_step *steps)
{
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig, steps, 0, 0);
    if (strncmp(rig.down.at, "HTTP/1.1 502 ", 13) != 0 || rig.relay->guest_end != HTTP_END_FINISH ||
        rig.relay->upstream_end != HTTP_END_RESET) {
        fail_msg("%u %u: %s", rig.relay->guest_end, rig.relay->upstream_end, rig.down.at);
    }
    rig_end(&rig);
}

static void test_upstream_that_ends_early(void **state)
{
    (void)state;
    check_502(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM_ENDS, NULL, 0}));
    check_502(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, "HTTP/1.1 2", 0},
                    {RIG_UPSTREAM_ENDS, NULL, 0}));
    check_502(STEPS({RIG_GUEST, GET("/echo"), 0},
                    {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", 0},
                    {RIG_UPSTREAM_ENDS, NULL, 0}));
    CHECK(STEPS({RIG_GUEST, GET("/"), 0},
                {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", 0},
                {RIG_UPSTREAM_ENDS, NULL, 0}),
          .up = SENT("/"), .down = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
          .guest_end = HTTP_END_RESET, .upstream_end = HTTP_END_RESET);
    CHECK(STEPS({RIG_GUEST, GET("/"), 0},
                {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
                 0},
                {RIG_UPSTREAM_ENDS, NULL, 0}),
          .up = SENT("/"),
          .down = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
          .guest_end = HTTP_END_RESET, .upstream_end = HTTP_END_RESET);
}

/* A reset is no end of a body, whatever its framing. */
static void test_upstream_that_is_reset(void **state)
{
    (void)state;
    struct rig rig = {0};
    rig_start(&rig, HEAD_BYTES);
    rig_play(&rig, STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\n\r\nbo", 0}),
             0, 0);
    rig.relay->upstream_end = HTTP_END_RESET;
    http_relay_upstream_ended(rig.relay);
    assert_int_equal(rig.relay->guest_end, HTTP_END_RESET);
    rig_end(&rig);
}

/* Each allocation of an exchange fails once: an end, and nothing that was not judged. */
static void test_out_of_memory_ends_the_connection(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct rig rig = {.grow = true};
        rig_start(&rig, HEAD_BYTES);
        allocations_left = n;
        rig_play(&rig,
                 STEPS({RIG_GUEST,
                        "POST http://a.example?filter-echo HTTP/1.1\r\nHost: a.example\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n",
                        0},
                       {RIG_UPSTREAM, OK, 0}),
                 0, 0);
        bool enough = allocations_left > 0;
        allocations_left = -1;
        assert_null(naive_judge(&rig));
        assert_true(strcmp(rig.down.at, OK) == 0 || rig.error < 0 ||
                    rig.relay->guest_end != HTTP_END_NOT);
        rig_end(&rig);
        if (enough) {
            assert_true(n > 3);
            return;
        }
    }
}

static void test_response_before_the_request_is_whole_ends_both(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50\r\n\r\nab", 0},
                {RIG_UPSTREAM, "HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n", 0},
                {RIG_GUEST, GET("/smuggled"), 0}),
          .up = "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50\r\n\r\nab",
          .down = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: "
                  "close\r\n\r\n",
          .log = "[PUT a.example /]<413>{1 413 2 0}\n", .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_RESET);
}

static void test_response_that_nobody_asked_for(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_UPSTREAM, OK, 0}, {RIG_GUEST, GET("/"), 0}), .up = "", .down = "", .log = "",
          .guest_end = HTTP_END_FINISH, .upstream_end = HTTP_END_RESET);
    CHECK(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, OK OK, 0}, {RIG_GUEST, GET("/2"), 0}),
          .up = SENT("/"), .down = OK, .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_RESET);
    check_502(STEPS(
        {RIG_GUEST, "PUT /filter HTTP/1.1\r\nHost: a.example\r\nContent-Length: 50\r\n\r\nab", 0},
        {RIG_UPSTREAM, OK, 0}));
}

#define UPGRADE(path)                                                                              \
    "GET " path " HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c, WebSocket\r\n"                      \
    "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\nSec-WebSocket-Key: k\r\n\r\n"
#define UPGRADE_SENT(path)                                                                         \
    "GET " path " HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Key: k\r\n"                         \
    "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCH "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nA: b\r\n\r\n"
#define SWITCHED                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nA: b\r\nConnection: Upgrade\r\nUpgrade: "                 \
    "websocket\r\n\r\n"

static void test_websocket_is_a_tunnel_after_101(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, UPGRADE("/") "early", 0}, {RIG_UPSTREAM, SWITCH "hello", 0},
                {RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, "\1\2", 0}, {RIG_GUEST_ENDS, NULL, 0},
                {RIG_UPSTREAM, "bye", 0}, {RIG_UPSTREAM_ENDS, NULL, 0}),
          .up = UPGRADE_SENT("/") "early" GET("/"), .down = SWITCHED "hello\1\2bye",
          .log = "[GET a.example /]<101>{1 101 40 10}\n", .guest_end = HTTP_END_FINISH,
          .upstream_end = HTTP_END_FINISH);
    CHECK(STEPS({RIG_GUEST, UPGRADE("/"), 0}, {RIG_UPSTREAM, SWITCH, 0}, {RIG_GUEST, "!", 0}),
          .up = UPGRADE_SENT("/"), .down = SWITCHED, .guest_end = HTTP_END_RESET,
          .upstream_end = HTTP_END_RESET);
}

static void test_upgrade_that_is_not_taken_stays_http(void **state)
{
    (void)state;
    CHECK(STEPS({RIG_GUEST, UPGRADE("/") GET("/deny") GET("/2"), 0}, {RIG_UPSTREAM, OK, 0}),
          .up = UPGRADE_SENT("/") SENT("/2"), .down = OK DENIED(""));
    CHECK(STEPS({RIG_GUEST, UPGRADE("/noupgrade"), 0}),
          .up = "GET /noupgrade HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Key: k\r\n\r\n",
          .down = "");
    check_502(STEPS({RIG_GUEST, UPGRADE("/noupgrade"), 0}, {RIG_UPSTREAM, SWITCH, 0}));
    check_502(STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, SWITCH, 0}));
    check_502(
        STEPS({RIG_GUEST, UPGRADE("/"), 0},
              {RIG_UPSTREAM, "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 0}));
}

static void test_filter_may_refuse_a_response(void **state)
{
    (void)state;
    check_502(STEPS({RIG_GUEST, GET("/"), 0},
                    {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nX-Answer: 1\r\n\r\n", 0}));
    CHECK(
        STEPS({RIG_GUEST, GET("/"), 0}, {RIG_UPSTREAM, "HTTP/1.1 200 OK\r\nX-Reset: 1\r\n\r\n", 0}),
        .up = SENT("/"), .down = "", .guest_end = HTTP_END_RESET, .upstream_end = HTTP_END_RESET);
}

static void test_without_upstream_everything_is_answered(void **state)
{
    (void)state;
    struct rig rig = {0};
    struct http_relay_settings settings = {
        .head_bytes = HEAD_BYTES, .scheme = "https", .no_upstream = true};
    rig_start(&rig, HEAD_BYTES);
    http_relay_free(rig.relay);
    assert_int_equal(http1_relay_new(&settings, &rig_filter, &rig, &rig.relay), 0);
    rig_play(&rig, STEPS({RIG_GUEST, GET("/deny") GET("/1") GET("/2"), 0}), 0, 0);
    assert_string_equal(rig.up.at, "");
    assert_non_null(strstr(rig.down.at, "HTTP/1.1 403 Forbidden"));
    assert_non_null(strstr(rig.down.at, "HTTP/1.1 502 Bad Gateway"));
    assert_null(strstr(rig.log.at, "/2"));
    assert_int_equal(rig.relay->guest_end, HTTP_END_FINISH);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges_follow_each_other),
        cmocka_unit_test(test_head_is_written_anew_in_its_order_and_spelling),
        cmocka_unit_test(test_absolute_form_becomes_origin_form),
        cmocka_unit_test(test_pipeline_is_judged_one_by_one_and_answered_in_order),
        cmocka_unit_test(test_denied_body_is_dropped_or_the_connection_is_closed),
        cmocka_unit_test(test_filter_cannot_break_the_framing),
        cmocka_unit_test(test_expect_is_answered_here),
        cmocka_unit_test(test_interim_responses_pass),
        cmocka_unit_test(test_bodiless_responses),
        cmocka_unit_test(test_response_up_to_the_end_of_the_connection),
        cmocka_unit_test(test_close_of_either_side_closes_both),
        cmocka_unit_test(test_ends_pass_through),
        cmocka_unit_test(test_upstream_that_ends_early),
        cmocka_unit_test(test_upstream_that_is_reset),
        cmocka_unit_test(test_out_of_memory_ends_the_connection),
        cmocka_unit_test(test_response_before_the_request_is_whole_ends_both),
        cmocka_unit_test(test_response_that_nobody_asked_for),
        cmocka_unit_test(test_websocket_is_a_tunnel_after_101),
        cmocka_unit_test(test_upgrade_that_is_not_taken_stays_http),
        cmocka_unit_test(test_filter_may_refuse_a_response),
        cmocka_unit_test(test_without_upstream_everything_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
