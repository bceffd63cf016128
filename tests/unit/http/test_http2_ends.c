/* How streams and connections end: resets, GOAWAY, and ends that come without. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void answer(struct world *w, size_t i, const char *status)
{
    upstream_answers(w->upstream, &w->upstream->streams[i], status, NULL, 0, false);
}

static void reset(struct peer *p, const struct peer_stream *s, uint32_t code)
{
    assert_int_equal(nghttp2_submit_rst_stream(p->session, 0, s->id, code), 0);
}

static void test_guest_reset_goes_up_with_its_code(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_gets(w, "/");
    struct peer_stream *other = guest_gets(w, "/");
    world_run(w);
    reset(w->guest, s, NGHTTP2_CANCEL);
    world_run(w);
    assert_true(w->upstream->streams[0].closed);
    assert_int_equal(w->upstream->streams[0].code, NGHTTP2_CANCEL);
    assert_true(logged(w, "done 1 0 0 0 given up by the guest\n"));
    answer(w, 1, "204");
    world_run(w);
    assert_true(other->closed && other->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

static void test_upstream_reset_goes_down_with_its_code(void **state)
{
    (void)state;
    static const uint32_t codes[] = {NGHTTP2_REFUSED_STREAM, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR,
                                     NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_HTTP_1_1_REQUIRED};
    for (size_t i = 0; i < COUNT(codes); i++) {
        struct world *w = world_new();
        struct peer_stream *s = guest_gets(w, "/");
        world_run(w);
        reset(w->upstream, &w->upstream->streams[0], codes[i]);
        world_run(w);
        assert_true(s->closed && s->code == codes[i] && s->heads->len == 0);
        assert_int_equal(w->guest->goaways, 0);
        world_free(w);
    }
}

static void test_reset_in_the_middle_of_a_response_goes_down(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_gets(w, "/");
    world_run(w);
    struct peer_stream *up = &w->upstream->streams[0];
    upstream_answers(w->upstream, up, "200", NULL, 0, true);
    peer_send(w->upstream, up, "half", 4, false);
    world_run(w);
    reset(w->upstream, up, NGHTTP2_INTERNAL_ERROR);
    world_run(w);
    assert_int_equal(s->got, 4);
    assert_true(s->closed && !s->ended && s->code == NGHTTP2_INTERNAL_ERROR);
    assert_true(logged(w, "done 1 200 0 4 reset by upstream\n"));
    world_free(w);
}

/* Upstream answers and wants no more of the request (RFC 9113 section 8.1): the whole answer
 * arrives, whatever is still on its way when the reset comes. */
static void test_early_response_is_delivered_before_its_reset(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "first", 5, false);
    world_run(w);
    struct peer_stream *up = &w->upstream->streams[0];
    char *body = calloc(1, 200000);
    assert_non_null(body);
    w->guest->holds = true; /* the last of it waits in the relay when the reset comes */
    upstream_answers(w->upstream, up, "413", NULL, 0, true);
    peer_send(w->upstream, up, body, 120000, true);
    free(body);
    world_run(w);
    reset(w->upstream, up, NGHTTP2_NO_ERROR);
    world_run(w);
    assert_int_equal(s->got, 65535);
    assert_false(s->closed);
    w->guest->holds = false;
    assert_int_equal(nghttp2_session_consume(w->guest->session, s->id, 65535), 0);
    world_run(w);
    assert_int_equal(s->got, 120000);
    assert_true(s->ended && s->closed && s->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

/* The same when the response was there long before. */
static void test_reset_behind_a_response_ends_the_request(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    world_run(w);
    answer(w, 0, "413");
    world_run(w);
    assert_true(s->ended && !s->closed);
    reset(w->upstream, &w->upstream->streams[0], NGHTTP2_NO_ERROR);
    world_run(w);
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    assert_true(logged(w, "done 1 413 0 0 -\n"));
    world_free(w);
}

/* The rest of the request still goes up when upstream answered early but takes it. */
static void test_request_goes_on_behind_an_early_response(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "first", 5, false);
    world_run(w);
    answer(w, 0, "200");
    world_run(w);
    assert_true(s->ended && !s->closed);
    peer_send(w->guest, s, "second", 6, true);
    world_run(w);
    assert_int_equal(w->upstream->streams[0].got, 11);
    assert_true(w->upstream->streams[0].ended && s->closed);
    world_free(w);
}

/* Streams above the last that upstream processed are refused, so that the guest may ask again
 * (RFC 9113 section 6.8); those below are answered; the guest is told to go elsewhere. */
static void test_goaway_of_upstream_is_relayed(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s[3];
    for (int i = 0; i < 3; i++) {
        s[i] = guest_gets(w, "/");
    }
    world_run(w);
    assert_int_equal(nghttp2_submit_goaway(w->upstream->session, 0, 1, NGHTTP2_NO_ERROR, NULL, 0),
                     0);
    world_run(w);
    assert_true(!s[0]->closed && s[1]->closed && s[2]->closed);
    assert_int_equal(s[1]->code, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(s[2]->code, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(w->guest->goaways, 1);
    assert_int_equal(w->guest->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    answer(w, 0, "204");
    world_run(w);
    assert_true(s[0]->closed && s[0]->code == NGHTTP2_NO_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    world_free(w);
}

static void test_goaway_refuses_requests_that_wait(void **state)
{
    (void)state;
    struct world *w = world_new();
    nghttp2_settings_entry one = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1};
    assert_int_equal(nghttp2_submit_settings(w->upstream->session, 0, &one, 1), 0);
    world_run(w);
    struct peer_stream *first = guest_gets(w, "/");
    struct peer_stream *second = guest_gets(w, "/");
    world_run(w);
    assert_int_equal(nghttp2_submit_goaway(w->upstream->session, 0, 1, NGHTTP2_NO_ERROR, NULL, 0),
                     0);
    world_run(w);
    assert_true(second->closed && second->code == NGHTTP2_REFUSED_STREAM);
    answer(w, 0, "204");
    world_run(w);
    assert_true(first->closed && first->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

static void test_goaway_of_the_guest_is_relayed(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_gets(w, "/");
    world_run(w);
    assert_int_equal(nghttp2_submit_goaway(w->guest->session, 0, 0, NGHTTP2_NO_ERROR, NULL, 0), 0);
    world_run(w);
    assert_int_equal(w->upstream->goaways, 1);
    answer(w, 0, "204");
    world_run(w);
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    world_free(w);
}

static void test_upstream_end_is_answered_for_it(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *waits = guest_gets(w, "/");
    struct peer_stream *half = guest_gets(w, "/");
    struct peer_stream *whole = guest_gets(w, "/");
    world_run(w);
    upstream_answers(w->upstream, &w->upstream->streams[1], "200", NULL, 0, true);
    peer_send(w->upstream, &w->upstream->streams[1], "half", 4, false);
    answer(w, 2, "204");
    world_run(w);
    http_relay_upstream_ended(w->relay);
    world_run(w);
    assert_true(has(waits->heads->text, ":status: 502\n") && waits->closed);
    assert_true(half->closed && half->code == NGHTTP2_INTERNAL_ERROR);
    assert_true(whole->closed && whole->code == NGHTTP2_NO_ERROR);
    assert_int_equal(w->guest->goaways, 1);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    assert_true(logged(w, "done 1 502 0 30 upstream closed the connection\n"));
    world_free(w);
}

/* Upstream leaves when one response is whole, one request waits, and one is open both ways. */
static void test_requests_that_wait_are_refused_when_upstream_ends(void **state)
{
    (void)state;
    struct world *w = world_new();
    nghttp2_settings_entry one = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1};
    assert_int_equal(nghttp2_submit_settings(w->upstream->session, 0, &one, 1), 0);
    world_run(w);
    struct peer_stream *early = guest_asks(w, "POST", "/", NULL, 0, true);
    struct peer_stream *waits = guest_gets(w, "/");
    world_run(w);
    answer(w, 0, "413");
    world_run(w);
    assert_true(early->ended && !early->closed);
    http_relay_upstream_ended(w->relay);
    world_run(w);
    assert_true(early->closed && early->code == NGHTTP2_NO_ERROR);
    assert_true(waits->closed && waits->code == NGHTTP2_REFUSED_STREAM);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    world_free(w);
}

static void test_upstream_reset_stays_a_reset(void **state)
{
    (void)state;
    struct world *w = world_new();
    world_run(w);
    w->relay->upstream_end = HTTP_END_RESET;
    http_relay_upstream_ended(w->relay);
    assert_int_equal(w->relay->upstream_end, HTTP_END_RESET);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    world_free(w);
}

static void test_end_of_the_guest_lets_whole_requests_finish(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *whole = guest_gets(w, "/");
    (void)guest_asks(w, "POST", "/", NULL, 0, true);
    world_run(w);
    http_relay_guest_ended(w->relay);
    world_run(w);
    assert_true(w->upstream->streams[1].closed && !w->upstream->streams[1].ended);
    assert_int_equal(w->upstream->streams[1].code, NGHTTP2_CANCEL);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    answer(w, 0, "204");
    world_run(w);
    assert_true(whole->closed && whole->code == NGHTTP2_NO_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    assert_int_equal(w->upstream->goaways, 1);
    world_free(w);
}

/* Clients often close without GOAWAY. */
static void test_end_of_an_idle_guest_ends_upstream(void **state)
{
    (void)state;
    struct world *w = world_new();
    (void)guest_gets(w, "/");
    world_run(w);
    answer(w, 0, "204");
    world_run(w);
    http_relay_guest_ended(w->relay);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    world_run(w);
    assert_int_equal(w->upstream->goaways, 1);
    world_free(w);
}

static void test_freed_relay_tells_the_filter_of_open_exchanges(void **state)
{
    (void)state;
    struct world *w = world_new();
    (void)guest_gets(w, "/");
    (void)guest_gets(w, "/");
    world_run(w);
    assert_int_equal(w->n_done, 0);
    world_free(w); /* which checks it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guest_reset_goes_up_with_its_code),
        cmocka_unit_test(test_upstream_reset_goes_down_with_its_code),
        cmocka_unit_test(test_reset_in_the_middle_of_a_response_goes_down),
        cmocka_unit_test(test_early_response_is_delivered_before_its_reset),
        cmocka_unit_test(test_reset_behind_a_response_ends_the_request),
        cmocka_unit_test(test_request_goes_on_behind_an_early_response),
        cmocka_unit_test(test_goaway_of_upstream_is_relayed),
        cmocka_unit_test(test_goaway_refuses_requests_that_wait),
        cmocka_unit_test(test_goaway_of_the_guest_is_relayed),
        cmocka_unit_test(test_upstream_end_is_answered_for_it),
        cmocka_unit_test(test_requests_that_wait_are_refused_when_upstream_ends),
        cmocka_unit_test(test_upstream_reset_stays_a_reset),
        cmocka_unit_test(test_end_of_the_guest_lets_whole_requests_finish),
        cmocka_unit_test(test_end_of_an_idle_guest_ends_upstream),
        cmocka_unit_test(test_freed_relay_tells_the_filter_of_open_exchanges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
