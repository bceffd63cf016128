/* Windows, back-pressure and bounds of the HTTP/2 relay. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h2_internal.h"

enum { LARGE = 4 << 20, MEDIUM = 300 << 10 };

/* What is at an offset of a body, of one direction. */
static uint8_t byte_at(uint64_t offset, uint8_t salt)
{
    return (uint8_t)(offset * 167 + (offset >> 8) * 13 + (offset >> 16) + salt);
}

static uint8_t *pattern(size_t len, uint8_t salt)
{
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = byte_at(i, salt);
    }
    return bytes;
}

static void send_pattern(struct peer *p, struct peer_stream *s, size_t len, uint8_t salt)
{
    uint8_t *bytes = pattern(len, salt);
    peer_send(p, s, bytes, len, true);
    free(bytes);
}

static void assert_pattern(const struct peer_stream *s, size_t len, uint8_t salt)
{
    uint8_t *bytes = pattern(len, salt);
    assert_int_equal(s->body.len, len);
    assert_memory_equal(byte_queue_bytes(&s->body), bytes, len);
    free(bytes);
}

static void serve_large(struct peer *p, struct peer_stream *s)
{
    upstream_answers(p, s, "200", NULL, 0, true);
    send_pattern(p, s, LARGE, 2);
}

static void serve_medium(struct peer *p, struct peer_stream *s)
{
    upstream_answers(p, s, "200", NULL, 0, true);
    send_pattern(p, s, MEDIUM, 2);
}

/* A connection's window that is not what holds anything back. */
static void open_wide(struct peer *p)
{
    assert_int_equal(
        nghttp2_session_set_local_window_size(p->session, NGHTTP2_FLAG_NONE, 0, 1 << 30), 0);
}

static enum http_verdict filter_both(struct world *w, struct http_exchange *x,
                                     struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)head;
    (void)ret;
    x->filter_request_body = x->filter_response_body = true;
    return HTTP_PASS;
}

static void transfer(size_t len, int32_t window, size_t piece, bool filtered)
{
    struct world *w = world_bare(false);
    w->guest = peer_new(w, false, window);
    w->upstream = peer_new(w, true, window);
    w->upstream->serve = len == LARGE ? serve_large : serve_medium;
    w->upstream->early = true;
    w->piece = piece;
    w->filter.request = filtered ? filter_both : NULL;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    send_pattern(w->guest, s, len, 1);
    world_run(w);
    assert_true(s->closed && s->code == NGHTTP2_NO_ERROR);
    assert_pattern(&w->upstream->streams[0], len, 1);
    assert_pattern(s, len, 2);
    world_free(w);
}

static void test_large_bodies_pass_both_ways_at_once(void **state)
{
    (void)state;
    transfer(LARGE, 65535, 0, false);
    transfer(LARGE, 1 << 20, 60000, false);
    transfer(LARGE, 65535, 0, true);
}

static void test_large_bodies_pass_through_small_windows(void **state)
{
    (void)state;
    transfer(MEDIUM, 1000, 0, false);
    transfer(MEDIUM, 20000, 1357, true);
}

static const struct h2_relay *inside(const struct world *w)
{
    return (const struct h2_relay *)w->relay;
}

static size_t waiting_bytes(const struct world *w)
{
    size_t sum = 0;
    for (const struct h2_stream *s = inside(w)->first; s != NULL; s = s->next) {
        for (int i = 0; i < 2; i++) {
            sum += s->way[i].held.len + s->way[i].queue.len;
        }
    }
    return sum;
}

/* A guest that takes nothing of its bodies: what upstream has sent is bounded by its windows, and
 * another stream is not held back. */
static void test_stalled_streams_hold_no_other_back(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_medium;
    w->upstream->keeps = false;
    w->guest->holds = true;
    open_wide(w->guest);
    struct peer_stream *s[STREAMS - 1];
    for (int i = 0; i < STREAMS - 1; i++) {
        s[i] = guest_gets(w, "/");
    }
    world_run(w);
    for (int i = 0; i < STREAMS - 1; i++) {
        assert_int_equal(s[i]->got, 65535);
    }
    assert_true(waiting_bytes(w) <= (STREAMS - 1) * 65535);
    w->guest->holds = false;
    struct peer_stream *last = guest_gets(w, "/");
    world_run(w);
    assert_int_equal(last->got, MEDIUM);
    assert_true(last->closed && last->code == NGHTTP2_NO_ERROR);
    for (int i = 0; i < STREAMS - 1; i++) {
        assert_false(s[i]->closed);
        assert_int_equal(nghttp2_session_consume_stream(w->guest->session, s[i]->id, 65535), 0);
    }
    w->upstream->keeps = true;
    world_run(w);
    for (int i = 0; i < STREAMS - 1; i++) {
        assert_int_equal(s[i]->got, MEDIUM);
    }
    world_free(w);
}

/* The same the other way: upstream reads nothing of one upload. */
static void test_stalled_upload_holds_no_other_back(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->holds = true;
    open_wide(w->upstream);
    struct peer_stream *slow = guest_asks(w, "POST", "/", NULL, 0, true);
    send_pattern(w->guest, slow, LARGE, 1);
    world_run(w);
    assert_int_equal(w->upstream->streams[0].got, 65535);
    assert_true(waiting_bytes(w) <= 2 * H2_WINDOW_FIRST); /* it grew once */
    w->upstream->holds = false;
    struct peer_stream *other = guest_asks(w, "POST", "/", NULL, 0, true);
    send_pattern(w->guest, other, LARGE, 3);
    world_run(w);
    assert_pattern(&w->upstream->streams[1], LARGE, 3);
    world_free(w);
}

/* Where the connection is what is narrow, each stream gets its share, whatever came first and
 * whatever priority a client names. */
static void test_streams_take_turns(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->upstream->serve = serve_medium;
    w->guest->holds = true;
    nghttp2_nv urgent[] = {NV("priority", "u=0")};
    struct peer_stream *s[4];
    for (int i = 0; i < 4; i++) {
        s[i] = guest_asks(w, "GET", "/", urgent, i == 0, false);
    }
    world_run(w);
    for (int i = 0; i < 4; i++) {
        assert_in_range(s[i]->got, 1, 65535 / 2);
    }
    world_free(w);

    w = world_new();
    w->upstream->holds = true;
    for (int i = 0; i < 4; i++) {
        s[i] = guest_asks(w, "POST", "/", NULL, 0, true);
        send_pattern(w->guest, s[i], MEDIUM, 1);
    }
    world_run(w);
    for (int i = 0; i < 4; i++) {
        assert_in_range(w->upstream->streams[i].got, 1, 65535 / 2);
    }
    world_free(w);
}

/* Streams that read fast get larger windows, all together not more than there is to spare. */
static void test_windows_grow_within_what_is_spare(void **state)
{
    (void)state;
    struct world *w = world_bare(false);
    w->guest = peer_new(w, false, 1 << 30);
    w->upstream = peer_new(w, true, 1 << 30);
    open_wide(w->guest);
    open_wide(w->upstream);
    w->upstream->serve = serve_large;
    for (int i = 0; i < 3; i++) {
        (void)guest_gets(w, "/");
    }
    world_run(w);
    assert_int_equal(w->n_done, 3);
    /* It was given back. */
    assert_int_equal(inside(w)->side[H2_UPSTREAM].spare, H2_WINDOW_SPARE);
    assert_int_equal(inside(w)->side[H2_GUEST].spare, H2_WINDOW_SPARE);

    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    w->upstream->serve = NULL;
    uint8_t *bytes = pattern(LARGE, 1);
    peer_send(w->guest, s, bytes, LARGE, false);
    world_run(w);
    free(bytes);
    int32_t window = inside(w)->first->way[HTTP_TO_UPSTREAM].window;
    assert_in_range(window, H2_WINDOW_MAX / 2, H2_WINDOW_MAX);
    assert_int_equal(inside(w)->side[H2_GUEST].spare, H2_WINDOW_SPARE - (window - H2_WINDOW_FIRST));
    world_free(w);
}

/* A guest that does not read its connection at all. */
static void test_queue_of_a_guest_that_does_not_read_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_bare(false);
    w->guest = peer_new(w, false, 1 << 30);
    w->upstream = peer_new(w, true, 65535);
    open_wide(w->guest);
    w->upstream->serve = serve_large;
    world_run(w);
    w->guest_stalls = true;
    for (int i = 0; i < 10; i++) {
        (void)guest_gets(w, "/");
    }
    world_run(w);
    assert_true(w->relay->to_guest.len <= H2_QUEUE_CAP);
    assert_true(waiting_bytes(w) <= H2_WINDOW_SPARE + 10 * H2_WINDOW_FIRST);
    w->guest_stalls = false;
    w->guest->keeps = false;
    (void)http_relay_resume(w->relay);
    world_run(w);
    assert_int_equal(w->n_done, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(w->guest->streams[i].got, LARGE);
    }
    world_free(w);
}

/* A filter that makes much out of little gets its bytes as its output leaves. */
static enum http_verdict tenfold(struct world *w, struct http_exchange *x, const uint8_t *data,
                                 size_t len, bool end, struct byte_queue *out,
                                 struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)end;
    (void)ret;
    for (size_t i = 0; i < len; i++) {
        uint8_t ten[10];
        memset(ten, data[i], sizeof(ten));
        if (byte_queue_put(out, ten, sizeof(ten)) != 0) {
            return HTTP_RESET;
        }
    }
    return HTTP_PASS;
}

static void test_growing_filter_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->filter.request = filter_both;
    w->filter.request_body = tenfold;
    w->upstream->holds = true;
    struct peer_stream *s = guest_asks(w, "POST", "/", NULL, 0, true);
    send_pattern(w->guest, s, 1 << 20, 1);
    world_run(w);
    assert_true(waiting_bytes(w) <= H2_WINDOW_FIRST + H2_FILTER_ROOM + 10 * H2_FILTER_PIECE);
    w->upstream->holds = false;
    assert_int_equal(nghttp2_session_consume(w->upstream->session, 1, 65535), 0);
    world_run(w);
    assert_int_equal(w->upstream->streams[0].got, 10 << 20);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_bodies_pass_both_ways_at_once),
        cmocka_unit_test(test_large_bodies_pass_through_small_windows),
        cmocka_unit_test(test_stalled_streams_hold_no_other_back),
        cmocka_unit_test(test_stalled_upload_holds_no_other_back),
        cmocka_unit_test(test_streams_take_turns),
        cmocka_unit_test(test_windows_grow_within_what_is_spare),
        cmocka_unit_test(test_queue_of_a_guest_that_does_not_read_is_bounded),
        cmocka_unit_test(test_growing_filter_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
