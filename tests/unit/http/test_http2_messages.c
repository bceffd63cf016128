/* Requests and responses through the HTTP/2 relay, as well-behaved ends send them. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void serve_hello(struct peer *p, struct peer_stream *s)
{
    nghttp2_nv more[] = {NV("content-type", "text/plain"), NV("content-length", "5")};
    upstream_answers(p, s, "200", more, COUNT(more), true);
    peer_send(p, s, "hello", 5, true);
}

static void assert_body(const struct peer_stream *s, const char *text)
{
    assert_int_equal(s->body.len, strlen(text));
    assert_memory_equal(byte_queue_bytes(&s->body), text, s->body.len);
}

static void test_get_is_relayed(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_hello;
    nghttp2_nv more[] = {NV("accept", "*/*"), NV("te", "trailers")};
    struct peer_stream *s = guest_asks(w, "GET", "/a?b=c", more, COUNT(more), false);
    world_run(w);
    assert_string_equal(s->heads->text,
                        ":status: 200\ncontent-type: text/plain\ncontent-length: 5\n\n");
    assert_body(s, "hello");
    assert_true(s->ended && s->closed && s->code == NGHTTP2_NO_ERROR);
    assert_string_equal(w->upstream->streams[0].heads->text,
                        ":method: GET\n:scheme: https\n:authority: api.example\n!:path: /a?b=c\n"
                        "accept: */*\nte: trailers\n\n");
    assert_string_equal(w->log.text, "request 1 GET api.example /a?b=c\nresponse 1 200\n"
                                     "done 1 200 0 5 -\n");
    world_free(w);
}

static void serve_echo(struct peer *p, struct peer_stream *s)
{
    upstream_answers(p, s, "200", NULL, 0, true);
    peer_send(p, s, byte_queue_bytes(&s->body), s->body.len, true);
}

static void test_body_goes_both_ways_with_trailers(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_echo;
    nghttp2_nv more[] = {NV("content-length", "10")};
    nghttp2_nv trailers[] = {NV("checksum", "abc")};
    struct peer_stream *s = guest_asks(w, "POST", "/", more, 1, true);
    s->trailers = trailers;
    s->n_trailers = 1;
    peer_send(w->guest, s, "0123456789", 10, true);
    world_run(w);
    assert_body(s, "0123456789");
    assert_true(
        has(w->upstream->streams[0].heads->text, "content-length: 10\n\nchecksum: abc\n\n"));
    assert_true(logged(w, "trailers 1 up 1\n"));
    assert_true(logged(w, "done 1 200 10 10 -\n"));
    world_free(w);
}

/* gRPC: the head of the response comes before the request is whole, messages go back and forth, and
 * the status is in the trailers. */
static void test_streams_both_ways_without_delay(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_asks(w, "POST", "/pkg.Service/Chat", NULL, 0, true);
    world_run(w);
    struct peer_stream *up = &w->upstream->streams[0];
    assert_int_equal(up->id, 1);
    upstream_answers(w->upstream, up, "200", NULL, 0, true);
    world_run(w);
    assert_string_equal(s->heads->text, ":status: 200\n\n");
    for (unsigned i = 1; i <= 10; i++) {
        peer_send(w->guest, s, "ask", 3, false);
        world_run(w);
        assert_int_equal(up->got, 3 * i);
        peer_send(w->upstream, up, "tell", 4, false);
        world_run(w);
        assert_int_equal(s->got, 4 * i);
    }
    nghttp2_nv trailers[] = {NV("grpc-status", "0")};
    up->trailers = trailers;
    up->n_trailers = 1;
    peer_send(w->guest, s, "", 0, true);
    peer_send(w->upstream, up, "", 0, true);
    world_run(w);
    assert_string_equal(s->heads->text, ":status: 200\n\ngrpc-status: 0\n\n");
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR && up->closed);
    world_free(w);
}

static void test_trailers_only_response_is_relayed(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "x", 1, true);
    world_run(w);
    nghttp2_nv more[] = {NV("grpc-status", "12")};
    upstream_answers(w->upstream, &w->upstream->streams[0], "200", more, 1, false);
    world_run(w);
    assert_string_equal(s->heads->text, ":status: 200\ngrpc-status: 12\n\n");
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

static void test_interim_responses_pass(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct peer_stream *s = guest_asks(w, "PUT", "/", NULL, 0, true);
    world_run(w);
    struct peer_stream *up = &w->upstream->streams[0];
    nghttp2_nv early[] = {NV(":status", "103"), NV("link", "</a>")};
    nghttp2_nv go_on[] = {NV(":status", "100")};
    assert_int_equal(nghttp2_submit_headers(w->upstream->session, 0, up->id, NULL, early, 2, NULL),
                     0);
    assert_int_equal(nghttp2_submit_headers(w->upstream->session, 0, up->id, NULL, go_on, 1, NULL),
                     0);
    world_run(w);
    peer_send(w->guest, s, "x", 1, true);
    world_run(w);
    upstream_answers(w->upstream, up, "204", NULL, 0, false);
    world_run(w);
    assert_string_equal(s->heads->text,
                        ":status: 103\nlink: </a>\n\n:status: 100\n\n:status: 204\n\n");
    assert_string_equal(w->log.text, "request 1 PUT api.example /\nresponse 1 103\nresponse 1 100\n"
                                     "response 1 204\ndone 1 204 1 0 -\n");
    world_free(w);
}

static void serve_head(struct peer *p, struct peer_stream *s)
{
    nghttp2_nv more[] = {NV("content-length", "1000")};
    upstream_answers(p, s, "200", more, 1, false);
}

static void test_head_keeps_its_length(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_head;
    struct peer_stream *s = guest_asks(w, "HEAD", "/", NULL, 0, false);
    world_run(w);
    assert_string_equal(s->heads->text, ":status: 200\ncontent-length: 1000\n\n");
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

static void test_host_takes_the_place_of_authority(void **state)
{
    (void)state;
    struct world *w = world_new();
    nghttp2_nv nv[] = {NV(":method", "GET"), NV(":scheme", "https"), NV(":path", "/"),
                       NV("host", "api.example")};
    assert_true(nghttp2_submit_request(w->guest->session, NULL, nv, 4, NULL, NULL) > 0);
    (void)peer_stream_new(w->guest, 1);
    world_run(w);
    assert_string_equal(w->upstream->streams[0].heads->text,
                        ":method: GET\n:scheme: https\n:authority: api.example\n!:path: /\n\n");
    world_free(w);
}

static void test_many_streams_are_kept_apart(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_echo;
    struct peer_stream *s[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        s[i] = guest_asks(w, "POST", "/", NULL, 0, true);
        peer_send(w->guest, s[i], &i, sizeof(i), true);
    }
    world_run(w);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(s[i]->body.len, sizeof(i));
        assert_memory_equal(byte_queue_bytes(&s[i]->body), &i, sizeof(i));
    }
    assert_int_equal(w->n_done, STREAMS);
    world_free(w);
}

/* Upstream takes fewer streams than the guest may open: the others wait, and none is lost. */
static void test_requests_wait_for_upstream(void **state)
{
    (void)state;
    struct world *w = world_new();
    nghttp2_settings_entry two = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2};
    assert_int_equal(nghttp2_submit_settings(w->upstream->session, 0, &two, 1), 0);
    world_run(w);
    struct peer_stream *s[10];
    for (int i = 0; i < 10; i++) {
        s[i] = guest_gets(w, "/");
    }
    world_run(w);
    assert_int_equal(w->n_requests, 10);
    assert_int_equal(w->upstream->streams[2].id, 0);
    for (int i = 0; i < 10; i++) {
        struct peer_stream *up = peer_stream(w->upstream, 2 * i + 1);
        assert_non_null(up);
        serve_hello(w->upstream, up);
        world_run(w);
        assert_body(s[i], "hello");
    }
    world_free(w);
}

static void test_ping_is_answered_here(void **state)
{
    (void)state;
    struct world *w = world_new();
    assert_int_equal(nghttp2_submit_ping(w->guest->session, 0, NULL), 0);
    assert_int_equal(nghttp2_submit_ping(w->upstream->session, 0, NULL), 0);
    world_run(w);
    assert_int_equal(w->guest->pings, 1);
    assert_int_equal(w->upstream->pings, 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_is_relayed),
        cmocka_unit_test(test_body_goes_both_ways_with_trailers),
        cmocka_unit_test(test_streams_both_ways_without_delay),
        cmocka_unit_test(test_trailers_only_response_is_relayed),
        cmocka_unit_test(test_interim_responses_pass),
        cmocka_unit_test(test_head_keeps_its_length),
        cmocka_unit_test(test_host_takes_the_place_of_authority),
        cmocka_unit_test(test_many_streams_are_kept_apart),
        cmocka_unit_test(test_requests_wait_for_upstream),
        cmocka_unit_test(test_ping_is_answered_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
