/* Whatever the pieces in which the bytes of a side come, the outcome is the same. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

static void serve_echo(struct peer *p, struct peer_stream *s)
{
    upstream_answers(p, s, "200", NULL, 0, true);
    peer_send(p, s, byte_queue_bytes(&s->body), s->body.len, true);
}

static enum http_verdict filter_posts(struct world *w, struct http_exchange *x,
                                      struct http_head *head, struct http_answer *ret)
{
    (void)w;
    (void)ret;
    x->filter_request_body = x->filter_response_body = strcmp(head->method.at, "POST") == 0;
    return HTTP_PASS;
}

static void say_stream(struct lines *l, const struct peer_stream *s)
{
    say(l, "%d ended %d closed %d code %u\n%s%.*s\n", s->id, s->ended, s->closed, s->code,
        s->heads->text, (int)s->body.len,
        s->body.len == 0 ? "" : (const char *)byte_queue_bytes(&s->body));
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What the filter was told: the order is a matter of pieces where streams are not the same. */
static void say_sorted(struct lines *l, const char *text)
{
    char *copy = strdup(text);
    char *lines[100], *rest = copy;
    size_t n = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && n < 100;) {
        lines[n++] = line;
    }
    qsort(lines, n, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < n; i++) {
        say(l, "%s\n", lines[i]);
    }
    free(copy);
}

/* What both ends, the filter and the caller saw. */
static struct lines *outcome(const struct world *w)
{
    struct lines *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    say(l, "error %d ends %d %d\n", (int)w->error, w->relay->guest_end, w->relay->upstream_end);
    say_sorted(l, w->log.text);
    for (size_t i = 0; i < PEER_STREAMS; i++) {
        if (w->upstream != NULL && w->upstream->streams[i].id != 0) {
            say_stream(l, &w->upstream->streams[i]);
        }
        if (w->guest != NULL && w->guest->streams[i].id != 0) {
            say_stream(l, &w->guest->streams[i]);
        }
    }
    for (size_t i = 0; w->seen != NULL && i < 8; i++) {
        say(l, "guest %zu: %s data %llu ended %d reset %d\n", i, w->seen->streams[i].text,
            (unsigned long long)w->seen->data[i], w->seen->ended[i], w->seen->reset[i]);
    }
    if (w->seen != NULL) {
        say(l, "pings %u goaway %lld\n", w->seen->frames[NGHTTP2_PING], (long long)w->seen->goaway);
    }
    return l;
}

/* Gives the relay the first `at` bytes, then the rest in pieces; 0: in one. */
static struct lines *guest_outcome(const struct byte_queue *script, size_t at, size_t piece)
{
    struct world *w = world_raw_guest();
    byte_queue_free(&w->from_guest);
    w->upstream->serve = serve_echo;
    w->filter.request = filter_posts;
    const uint8_t *bytes = byte_queue_bytes(script);
    assert_int_equal(http_relay_from_guest(w->relay, bytes, at), at);
    while (at < script->len) {
        size_t n = piece != 0 && piece < script->len - at ? piece : script->len - at;
        assert_int_equal(http_relay_from_guest(w->relay, bytes + at, n), n);
        at += n;
    }
    world_run(w);
    struct lines *l = outcome(w);
    world_free(w);
    return l;
}

static struct lines *upstream_outcome(const struct byte_queue *script, size_t at, size_t piece)
{
    struct world *w = world_raw_upstream("POST");
    (void)guest_gets(w, "/2");
    (void)guest_gets(w, "/3");
    byte_queue_free(&w->from_upstream);
    w->filter.request = filter_posts;
    world_run(w);
    const uint8_t *bytes = byte_queue_bytes(script);
    assert_int_equal(http_relay_from_upstream(w->relay, bytes, at), at);
    while (at < script->len) {
        size_t n = piece != 0 && piece < script->len - at ? piece : script->len - at;
        assert_int_equal(http_relay_from_upstream(w->relay, bytes + at, n), n);
        at += n;
    }
    world_run(w);
    struct lines *l = outcome(w);
    world_free(w);
    return l;
}

typedef struct lines *outcome_fn(const struct byte_queue *script, size_t at, size_t piece);

static void assert_same_at_every_split(struct byte_queue *script, outcome_fn *outcome_of,
                                       const char *expected)
{
    struct lines *whole = outcome_of(script, 0, 0);
    if (!has(whole->text, expected)) {
        print_message("%s\n", whole->text);
    }
    assert_true(has(whole->text, expected));
    for (size_t at = 1; at < script->len; at++) {
        struct lines *l = outcome_of(script, at, 0);
        assert_string_equal(l->text, whole->text);
        free(l);
    }
    for (size_t piece = 1; piece < 12; piece++) {
        struct lines *l = outcome_of(script, 0, piece);
        assert_string_equal(l->text, whole->text);
        free(l);
    }
    free(whole);
    byte_queue_free(script);
}

/* What a client sends at once: two requests with bodies, one with trailers. */
static void test_requests_at_every_split(void **state)
{
    (void)state;
    struct world *w = world_new();
    nghttp2_nv more[] = {NV("content-length", "11"), NV("cookie", "a=b"), NV("user-agent", "test")};
    nghttp2_nv trailers[] = {NV("checksum", "abc")};
    struct peer_stream *s = guest_asks(w, "POST", "/upload?x=y", more, COUNT(more), true);
    peer_send(w->guest, s, "hello world", 11, true);
    (void)guest_asks(w, "GET", "/a", more + 1, 2, false);
    s = guest_asks(w, "PUT", "/b", more + 1, 2, true);
    s->trailers = trailers;
    s->n_trailers = 1;
    peer_send(w->guest, s, "put", 3, true);
    struct byte_queue script = {.cap = QUEUE_MAX};
    assert_true(peer_writes(w->guest, &script));
    raw_frame(&script, NGHTTP2_PING, 0, 0, "12345678", 8);
    world_free(w);
    assert_same_at_every_split(&script, guest_outcome, "done 1 200 11 11 -\n");
}

static void test_attacks_of_a_guest_at_every_split(void **state)
{
    (void)state;
    static struct block b;
    struct byte_queue script = {.cap = QUEUE_MAX};
    raw_guest_preface(&script);
    block_request(&b, "GET", "/");
    raw_frame(&script, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, b.bytes, b.len);
    for (int i = 0; i < 20; i++) {
        raw_frame(&script, NGHTTP2_CONTINUATION, 0, 1, "", 0);
    }
    assert_same_at_every_split(&script, guest_outcome, "refused 0 a field block of too many");

    raw_guest_preface(&script);
    block_put(&b, "connection", "close");
    raw_headers(&script, 1, &b, true);
    b.len = 0;
    block_put(&b, ":method", "CONNECT");
    block_put(&b, ":authority", "api.example");
    raw_headers(&script, 3, &b, true);
    block_request(&b, "GET", "/fine");
    raw_headers(&script, 5, &b, true);
    assert_same_at_every_split(&script, guest_outcome, "done 5 200 0 0 -");

    raw_guest_preface(&script);
    raw_frame(&script, NGHTTP2_DATA, 0, 9, "idle", 4);
    assert_same_at_every_split(&script, guest_outcome, "goaway 1\n");

    raw_bytes(&script, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", 25);
    assert_same_at_every_split(&script, guest_outcome, "refused 0 no preface");
}

static void test_responses_at_every_split(void **state)
{
    (void)state;
    static struct block b;
    struct byte_queue script = {.cap = QUEUE_MAX};
    raw_frame(&script, NGHTTP2_SETTINGS, 0, 0, "", 0);
    b.len = 0;
    block_put(&b, ":status", "103");
    block_put(&b, "link", "</a>");
    raw_headers(&script, 1, &b, false);
    b.len = 0;
    block_put(&b, ":status", "200");
    block_put(&b, "content-length", "10");
    raw_headers(&script, 1, &b, false);
    raw_frame(&script, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\2abcde\0\0", 8);
    raw_frame(&script, NGHTTP2_DATA, 0, 1, "fghij", 5);
    b.len = 0;
    block_put(&b, "checksum", "abc");
    raw_headers(&script, 1, &b, true);
    b.len = 0;
    block_put(&b, ":status", "200");
    block_put(&b, "upgrade", "x");
    raw_headers(&script, 3, &b, true);
    raw_u32(&script, NGHTTP2_RST_STREAM, 5, NGHTTP2_REFUSED_STREAM);
    assert_same_at_every_split(&script, upstream_outcome, "done 1 200 0 10 -\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_at_every_split),
        cmocka_unit_test(test_attacks_of_a_guest_at_every_split),
        cmocka_unit_test(test_responses_at_every_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
