/* What the filter of an HTTP/2 relay may do with requests, responses and their bodies. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void serve_echo(struct peer *p, struct peer_stream *s)
{
    nghttp2_nv more[] = {NV("content-length", "8")};
    upstream_answers(p, s, "200", more, s->body.len == 8 ? 1 : 0, true);
    peer_send(p, s, byte_queue_bytes(&s->body), s->body.len, true);
}

static enum http_verdict forbid(struct world *w, struct http_exchange *x, struct http_head *head,
                                struct http_answer *ret)
{
    (void)w;
    (void)x;
    if (strcmp(head->path.at, "/forbidden") != 0) {
        return HTTP_PASS;
    }
    *ret = (struct http_answer){
        .status = 403, .content_type = "application/json", .body = "{\"no\":1}", .body_len = 8};
    return HTTP_ANSWER;
}

static void test_answer_is_of_its_stream_only(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_echo;
    w->filter.request = forbid;
    struct peer_stream *ok = guest_gets(w, "/");
    struct peer_stream *no = guest_gets(w, "/forbidden");
    struct peer_stream *head = guest_asks(w, "HEAD", "/forbidden", NULL, 0, false);
    world_run(w);
    assert_true(has(ok->heads->text, ":status: 200"));
    assert_string_equal(no->heads->text, ":status: 403\ncontent-type: application/json\n"
                                         "content-length: 8\n\n");
    assert_int_equal(no->got, 8);
    assert_string_equal(head->heads->text, no->heads->text);
    assert_int_equal(head->got, 0);
    assert_true(head->closed && no->closed && ok->closed);
    assert_int_equal(w->upstream->streams[1].id, 0);
    assert_true(logged(w, "done 3 403 0 8 -\n"));
    world_free(w);
}

/* The answer goes out, then the guest is told that it need not send the rest (RFC 9113 section
 * 8.1), and what it sends does not use up the connection's window. */
static void test_answer_before_the_request_is_whole_ends_it(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = forbid;
    for (int i = 0; i < 40; i++) {
        struct peer_stream *s = guest_asks(w, "POST", "/forbidden", NULL, 0, true);
        char *body = calloc(1, 1 << 20);
        assert_non_null(body);
        peer_send(w->guest, s, body, 1 << 20, false);
        free(body);
        world_run(w);
        assert_true(s->closed && s->code == NGHTTP2_NO_ERROR && s->got == 8);
    }
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "x", 1, true);
    world_run(w);
    assert_int_equal(w->upstream->streams[0].got, 1);
    assert_int_equal(w->upstream->streams[1].id, 0);
    world_free(w);
}

static enum http_verdict close_it(struct world *w, struct http_exchange *x, struct http_head *head,
                                  struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)head;
    *ret = (struct http_answer){.status = 403, .body = "no", .body_len = 2, .close = true};
    return HTTP_ANSWER;
}

static void test_answer_that_closes_says_goaway(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = close_it;
    struct peer_stream *s = guest_gets(w, "/");
    world_run(w);
    assert_int_equal(s->got, 2);
    assert_int_equal(w->guest->goaways, 1);
    assert_int_equal(w->guest->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    world_free(w);
}

/* ... and what the guest had already sent behind it is not relayed. */
static void test_requests_behind_goaway_do_not_go_upstream(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->filter.request = close_it;
    static struct block b;
    for (uint32_t id = 1; id < 9; id += 2) {
        block_request(&b, "GET", "/");
        raw_headers(&w->from_guest, id, &b, true);
    }
    world_run(w);
    assert_int_equal(w->n_requests, 1);
    assert_int_equal(w->seen->goaway, NGHTTP2_NO_ERROR);
    assert_int_equal(w->seen->data[1], 2);
    assert_int_equal(w->upstream->streams[0].id, 0);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    world_free(w);
}

static enum http_verdict reset_it(struct world *w, struct http_exchange *x, struct http_head *head,
                                  struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)ret;
    return strcmp(head->path.at, "/reset") == 0 ? HTTP_RESET : HTTP_PASS;
}

static void test_reset_is_of_its_stream_only(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_echo;
    w->filter.request = reset_it;
    struct peer_stream *no = guest_gets(w, "/reset");
    struct peer_stream *ok = guest_gets(w, "/");
    world_run(w);
    assert_true(no->closed && no->code == NGHTTP2_CANCEL && no->heads->len == 0);
    assert_true(ok->closed && ok->code == NGHTTP2_NO_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    assert_true(logged(w, "done 1 0 0 0 reset by the filter\n"));
    world_free(w);
}

static enum http_verdict put_secret(struct world *w, struct http_exchange *x,
                                    struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)ret;
    struct http_field *f = http_head_find(head, "authorization");
    assert_non_null(f);
    assert_int_equal(http_head_set_value(head, f, "Bearer s3cret", 13), 0);
    f->sensitive = true;
    f = http_head_find(head, "x-key");
    assert_int_equal(http_head_set_value(head, f, "s3cret", 6), 0);
    f->sensitive = true;
    assert_int_equal(http_head_add(head, "X-Added", 7, "1", 1), 0);
    assert_int_equal(http_head_set_path(head, "/?key=s3cret", 12), 0);
    x->filter_request_body = true;
    return HTTP_PASS;
}

/* Never indexed means that no dynamic table holds it, neither here nor in front of upstream. */
static void test_changed_fields_are_never_indexed(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = put_secret;
    nghttp2_nv more[] = {NV("authorization", "Bearer $KEY"), NV("x-key", "$KEY"), NV("plain", "1")};
    for (int i = 0; i < 2; i++) {
        (void)guest_asks(w, "GET", "/?key=$KEY", more, COUNT(more), false);
        world_run(w);
        assert_string_equal(w->upstream->streams[i].heads->text,
                            ":method: GET\n:scheme: https\n:authority: api.example\n"
                            "!:path: /?key=s3cret\n!authorization: Bearer s3cret\n!x-key: s3cret\n"
                            "plain: 1\nx-added: 1\n\n");
    }
    size_t table = nghttp2_session_get_hd_inflate_dynamic_table_size(w->upstream->session);
    /* :authority, x-added and plain, each 32 bytes more than its text */
    assert_int_equal(table, 3 * 32 + 10 + 11 + 7 + 1 + 5 + 1);
    world_free(w);
}

/* "$K" becomes "secret", also where it comes in two pieces; "!" ends it with an answer. */
struct swap {
    bool half;
};
static struct swap swap_state;

static enum http_verdict swap_part(const uint8_t *data, size_t len, bool end,
                                   struct byte_queue *out)
{
    for (size_t i = 0; i < len; i++) {
        if (swap_state.half) {
            swap_state.half = false;
            if (data[i] == 'K') {
                assert_int_equal(byte_queue_put(out, "secret", 6), 0);
                continue;
            }
            assert_int_equal(byte_queue_put(out, "$", 1), 0);
        }
        if (data[i] == '$') {
            swap_state.half = true;
        } else {
            assert_int_equal(byte_queue_put(out, data + i, 1), 0);
        }
    }
    if (end && swap_state.half) {
        assert_int_equal(byte_queue_put(out, "$", 1), 0);
    }
    return HTTP_PASS;
}

static enum http_verdict swap_request(struct world *w, struct http_exchange *x, const uint8_t *data,
                                      size_t len, bool end, struct byte_queue *out,
                                      struct http_answer *ret)
{
    (void)w;
    (void)x;
    if (memchr(data, '!', len) != NULL) {
        *ret = (struct http_answer){.status = 403, .body = "no", .body_len = 2};
        return HTTP_ANSWER;
    }
    return swap_part(data, len, end, out);
}

static enum http_verdict swap_response(struct world *w, struct http_exchange *x,
                                       const uint8_t *data, size_t len, bool end,
                                       struct byte_queue *out)
{
    (void)w;
    (void)x;
    return swap_part(data, len, end, out);
}

static enum http_verdict want_request_body(struct world *w, struct http_exchange *x,
                                           struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)head;
    (void)ret;
    x->filter_request_body = true;
    swap_state.half = false;
    return HTTP_PASS;
}

static enum http_verdict want_response_body(struct world *w, struct http_exchange *x,
                                            struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)head;
    (void)ret;
    x->filter_response_body = true;
    swap_state.half = false;
    return HTTP_PASS;
}

static void test_filtered_request_body_loses_its_length(void **state)
{
    (void)state;
    for (size_t piece = 0; piece < 40; piece++) {
        struct world *w = world_new();
        w->piece = piece;
        w->filter.request = want_request_body;
        w->filter.request_body = swap_request;
        nghttp2_nv more[] = {NV("content-length", "8"), NV("a", "b")};
        struct peer_stream *s = guest_asks(w, "POST", "/", more, 2, true);
        peer_send(w->guest, s, "1$K2$K3$", 8, true);
        world_run(w);
        struct peer_stream *up = &w->upstream->streams[0];
        assert_true(up->ended);
        assert_int_equal(up->body.len, 16);
        assert_memory_equal(byte_queue_bytes(&up->body), "1secret2secret3$", 16);
        assert_false(has(up->heads->text, "content-length"));
        assert_true(has(up->heads->text, "\na: b\n"));
        world_free(w);
    }
}

static void test_filtered_response_body_loses_its_length(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_echo;
    w->filter.response = want_response_body;
    w->filter.response_body = swap_response;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "1$K2$K3$", 8, true);
    world_run(w);
    assert_string_equal(s->heads->text, ":status: 200\n\n");
    assert_int_equal(s->body.len, 16);
    assert_memory_equal(byte_queue_bytes(&s->body), "1secret2secret3$", 16);
    world_free(w);
}

static void test_unfiltered_request_keeps_its_length(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = want_request_body;
    nghttp2_nv more[] = {NV("content-length", "0")};
    (void)guest_asks(w, "POST", "/", more, 1, false);
    world_run(w);
    assert_true(has(w->upstream->streams[0].heads->text, "content-length: 0"));
    assert_true(w->upstream->streams[0].ended);
    world_free(w);
}

static void test_answer_in_the_middle_of_a_body_resets_upstream(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = want_request_body;
    w->filter.request_body = swap_request;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "fine", 4, false);
    world_run(w);
    struct peer_stream *up = &w->upstream->streams[0];
    assert_int_equal(up->got, 4);
    peer_send(w->guest, s, "bad!", 4, false);
    world_run(w);
    assert_int_equal(up->got, 4);
    assert_true(up->closed && up->code == NGHTTP2_CANCEL && !up->ended);
    assert_true(has(s->heads->text, ":status: 403\n"));
    assert_true(s->ended && !s->closed); /* the guest may send the rest … */
    peer_send(w->guest, s, "rest", 4, true);
    world_run(w);
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    assert_int_equal(up->got, 4);
    world_free(w);
}

static void test_answered_request_of_great_length_is_stopped(void **state)
{
    (void)state;
    static const char body[(64 << 10) + 1];
    struct world *w = world_new();
    w->filter.request = want_request_body;
    w->filter.request_body = swap_request;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "bad!", 4, false);
    world_run(w);
    assert_true(s->ended && !s->closed);
    peer_send(w->guest, s, body, sizeof(body), false);
    world_run(w);
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

static enum http_verdict no_trailers(struct world *w, struct http_exchange *x, enum http_way way,
                                     struct http_head *head)
{
    (void)w;
    (void)x;
    (void)way;
    return http_head_find(head, "bad") == NULL ? HTTP_PASS : HTTP_RESET;
}

static void test_bad_trailers_never_arrive(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.trailers = no_trailers;
    nghttp2_nv trailers[] = {NV("bad", "1")};
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    s->trailers = trailers;
    s->n_trailers = 1;
    peer_send(w->guest, s, "x", 1, false);
    world_run(w);
    peer_send(w->guest, s, "y", 1, true);
    world_run(w);
    struct peer_stream *up = &w->upstream->streams[0];
    assert_true(up->closed && up->code == NGHTTP2_CANCEL && !up->ended);
    assert_false(has(up->heads->text, "bad"));
    assert_true(s->closed && s->code == NGHTTP2_CANCEL);
    world_free(w);
}

static enum http_verdict bad_gateway(struct world *w, struct http_exchange *x,
                                     struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)head;
    *ret = (struct http_answer){.status = 502, .body = "no", .body_len = 2};
    return HTTP_ANSWER;
}

static void test_response_can_be_replaced(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_echo;
    w->filter.response = bad_gateway;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    peer_send(w->guest, s, "12345678", 8, true);
    world_run(w);
    assert_true(has(s->heads->text, ":status: 502\n"));
    assert_int_equal(s->got, 2);
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    world_free(w);
}

static enum http_verdict reset_response(struct world *w, struct http_exchange *x,
                                        struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)head;
    (void)ret;
    return HTTP_RESET;
}

static enum http_verdict reset_body(struct world *w, struct http_exchange *x, const uint8_t *data,
                                    size_t len, bool end, struct byte_queue *out)
{
    (void)w;
    (void)x;
    (void)data;
    (void)len;
    (void)end;
    (void)out;
    return HTTP_RESET;
}

static void test_response_can_be_reset(void **state)
{
    (void)state;
    for (int body = 0; body < 2; body++) {
        struct world *w = world_new();
        w->upstream->serve = serve_echo;
        w->filter.response = body ? want_response_body : reset_response;
        w->filter.response_body = reset_body;
        struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
        peer_send(w->guest, s, "12345678", 8, true);
        world_run(w);
        assert_true(s->closed && !s->ended && s->code == NGHTTP2_CANCEL);
        assert_int_equal(s->got, 0);
        assert_true(logged(w, "reset by the filter\n"));
        world_free(w);
    }
}

/* An answer cannot take the place of a response that has begun. */
static void test_answer_behind_a_response_head_resets(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = want_request_body;
    w->filter.request_body = swap_request;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    world_run(w);
    upstream_answers(w->upstream, &w->upstream->streams[0], "200", NULL, 0, true);
    world_run(w);
    peer_send(w->guest, s, "bad!", 4, false);
    world_run(w);
    assert_true(s->closed && !s->ended && s->code == NGHTTP2_INTERNAL_ERROR);
    assert_true(w->upstream->streams[0].closed && w->upstream->streams[0].got == 0);
    world_free(w);
}

static void test_without_upstream_every_request_is_answered(void **state)
{
    (void)state;
    struct world *w = world_bare(true);
    w->guest = peer_new(w, false, 65535);
    w->filter.request = forbid;
    struct peer_stream *no = guest_gets(w, "/forbidden");
    struct peer_stream *other = guest_gets(w, "/");
    world_run(w);
    assert_true(has(no->heads->text, ":status: 403\n") && no->closed);
    assert_true(has(other->heads->text, ":status: 502\n") && other->closed);
    assert_int_equal(w->relay->to_upstream.len, 0);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    http_relay_guest_ended(w->relay);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_is_of_its_stream_only),
        cmocka_unit_test(test_answer_before_the_request_is_whole_ends_it),
        cmocka_unit_test(test_answer_that_closes_says_goaway),
        cmocka_unit_test(test_requests_behind_goaway_do_not_go_upstream),
        cmocka_unit_test(test_reset_is_of_its_stream_only),
        cmocka_unit_test(test_changed_fields_are_never_indexed),
        cmocka_unit_test(test_filtered_request_body_loses_its_length),
        cmocka_unit_test(test_filtered_response_body_loses_its_length),
        cmocka_unit_test(test_unfiltered_request_keeps_its_length),
        cmocka_unit_test(test_answer_in_the_middle_of_a_body_resets_upstream),
        cmocka_unit_test(test_answered_request_of_great_length_is_stopped),
        cmocka_unit_test(test_bad_trailers_never_arrive),
        cmocka_unit_test(test_response_can_be_replaced),
        cmocka_unit_test(test_response_can_be_reset),
        cmocka_unit_test(test_answer_behind_a_response_head_resets),
        cmocka_unit_test(test_without_upstream_every_request_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
