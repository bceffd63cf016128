/* A hostile guest: what is no request never goes upstream, and what costs more than it should ends
 * the connection. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h2_internal.h"

static const struct h2_relay *inside(const struct world *w)
{
    return (const struct h2_relay *)w->relay;
}

static void serve_hello(struct peer *p, struct peer_stream *s)
{
    upstream_answers(p, s, "200", NULL, 0, true);
    peer_send(p, s, "hello", 5, true);
}

/* --- what is no request --- */

struct bad {
    const char *what;
    const char *fields[8][2]; /* instead of the usual ones */
    const char *status;       /* the answer; NULL: a reset */
};

#define METHOD                                                                                     \
    {                                                                                              \
        ":method", "GET"                                                                           \
    }
#define SCHEME                                                                                     \
    {                                                                                              \
        ":scheme", "https"                                                                         \
    }
#define AUTHORITY                                                                                  \
    {                                                                                              \
        ":authority", "api.example"                                                                \
    }
#define PATH                                                                                       \
    {                                                                                              \
        ":path", "/"                                                                               \
    }
#define USUAL METHOD, SCHEME, AUTHORITY, PATH

static const struct bad bad_requests[] = {
    {"no method", {SCHEME, AUTHORITY, PATH}, NULL},
    {"no scheme", {METHOD, AUTHORITY, PATH}, NULL},
    {"no path", {METHOD, SCHEME, AUTHORITY}, NULL},
    {"no authority", {METHOD, SCHEME, PATH}, NULL},
    {"empty path", {METHOD, SCHEME, AUTHORITY, {":path", ""}}, NULL},
    {"path without slash", {METHOD, SCHEME, AUTHORITY, {":path", "a"}}, NULL},
    {"absolute path", {METHOD, SCHEME, AUTHORITY, {":path", "https://x/"}}, NULL},
    {"asterisk of GET", {METHOD, SCHEME, AUTHORITY, {":path", "*"}}, NULL},
    {"space in path", {METHOD, SCHEME, AUTHORITY, {":path", "/a b"}}, NULL},
    {"fragment", {METHOD, SCHEME, AUTHORITY, {":path", "/a#b"}}, "400"},
    {"backslash", {METHOD, SCHEME, AUTHORITY, {":path", "/a\\b"}}, "400"},
    {"other scheme", {METHOD, {":scheme", "http"}, AUTHORITY, PATH}, "400"},
    {"unknown scheme", {METHOD, {":scheme", "ftp"}, AUTHORITY, PATH}, "400"},
    {"two methods", {METHOD, METHOD, SCHEME, AUTHORITY, PATH}, NULL},
    {"two paths", {METHOD, SCHEME, AUTHORITY, PATH, PATH}, NULL},
    {"two authorities", {METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH}, NULL},
    {"other host", {USUAL, {"host", "evil.example"}}, "400"},
    {"two hosts", {USUAL, {"host", "api.example"}, {"host", "api.example"}}, NULL},
    {"user information", {METHOD, SCHEME, {":authority", "u@api.example"}, PATH}, "400"},
    {"port no number", {METHOD, SCHEME, {":authority", "api.example:x"}, PATH}, "400"},
    {"two ports", {METHOD, SCHEME, {":authority", "api.example:1:2"}, PATH}, "400"},
    {"method no token", {{":method", "G T"}, SCHEME, AUTHORITY, PATH}, NULL},
    {"method in other letters", {{":method", "get"}, SCHEME, AUTHORITY, PATH}, "400"},
    {"pseudo-field behind a field", {METHOD, SCHEME, AUTHORITY, {"a", "b"}, PATH}, NULL},
    {"unknown pseudo-field", {USUAL, {":x", "y"}}, NULL},
    {"status", {USUAL, {":status", "200"}}, NULL},
    {"upper case", {USUAL, {"Accept", "b"}}, NULL},
    {"empty name", {USUAL, {"", "b"}}, NULL},
    {"space in name", {USUAL, {"a b", "c"}}, NULL},
    {"colon in name", {USUAL, {"a:b", "c"}}, NULL},
    {"line end in value", {USUAL, {"a", "b\r\nc: d"}}, NULL},
    {"line feed in value", {USUAL, {"a", "b\nc"}}, NULL},
    {"space before value", {USUAL, {"a", " b"}}, NULL},
    {"connection", {USUAL, {"connection", "close"}}, NULL},
    {"keep-alive", {USUAL, {"keep-alive", "1"}}, NULL},
    {"proxy-connection", {USUAL, {"proxy-connection", "close"}}, NULL},
    {"transfer-encoding", {USUAL, {"transfer-encoding", "chunked"}}, NULL},
    {"upgrade", {USUAL, {"upgrade", "websocket"}}, NULL},
    {"te of others", {USUAL, {"te", "gzip"}}, NULL},
    {"two lengths", {USUAL, {"content-length", "0"}, {"content-length", "0"}}, NULL},
    {"length no number", {USUAL, {"content-length", "+1"}}, NULL},
    {"length without body", {USUAL, {"content-length", "1"}}, NULL},
    {"CONNECT", {{":method", "CONNECT"}, AUTHORITY}, "405"},
    {"CONNECT with a path", {{":method", "CONNECT"}, SCHEME, AUTHORITY, PATH}, NULL},
    {"extended CONNECT",
     {{":method", "CONNECT"}, {":protocol", "websocket"}, SCHEME, AUTHORITY, PATH},
     NULL},
};

static void test_bad_requests_do_not_go_upstream(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_requests); i++) {
        const struct bad *bad = &bad_requests[i];
        struct world *w = world_raw_guest();
        w->upstream->serve = serve_hello;
        static struct block b;
        b.len = 0;
        for (size_t f = 0; f < 8 && bad->fields[f][0] != NULL; f++) {
            block_put(&b, bad->fields[f][0], bad->fields[f][1]);
        }
        raw_headers(&w->from_guest, 1, &b, true);
        block_request(&b, "GET", "/fine");
        raw_headers(&w->from_guest, 3, &b, true);
        world_run(w);
        bool answered = bad->status != NULL && has(w->seen->streams[1].text, bad->status);
        bool reset = bad->status == NULL && w->seen->reset[1] == NGHTTP2_PROTOCOL_ERROR &&
                     w->seen->streams[1].len == 0;
        if (!(answered || reset) || w->n_requests != 1 || w->n_refused != 1) {
            print_message("%s: %s reset %d\n%s\n", bad->what, w->seen->streams[1].text,
                          w->seen->reset[1], w->log.text);
        }
        assert_true(answered || reset);
        assert_int_equal(w->n_requests, 1);
        assert_int_equal(w->n_refused, 1);
        assert_true(has(w->upstream->streams[0].heads->text, "/fine"));
        assert_int_equal(w->upstream->streams[1].id, 0);
        assert_true(has(w->seen->streams[2].text, ":status: 200"));
        world_free(w);
    }
}

/* A NUL cannot stand in the strings above. */
static void test_nul_in_a_field_does_not_go_upstream(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    static struct block b;
    block_request(&b, "GET", "/");
    static const uint8_t field[] = {0, 1, 'a', 3, 'b', 0, 'c'};
    memcpy(b.bytes + b.len, field, sizeof(field));
    b.len += sizeof(field);
    raw_headers(&w->from_guest, 1, &b, true);
    world_run(w);
    assert_int_equal(w->seen->reset[1], NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(w->n_requests, 0);
    world_free(w);
}

static void post(struct world *w, uint32_t id, const char *length)
{
    static struct block b;
    block_request(&b, "POST", "/");
    if (length != NULL) {
        block_put(&b, "content-length", length);
    }
    raw_headers(&w->from_guest, id, &b, false);
}

static void test_length_that_does_not_agree_is_never_a_whole_request(void **state)
{
    (void)state;
    static const char *const lengths[] = {"3", "5"};
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_raw_guest();
        post(w, 1, lengths[i]);
        raw_frame(&w->from_guest, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "body", 4);
        world_run(w);
        assert_int_equal(w->seen->reset[1], NGHTTP2_PROTOCOL_ERROR);
        struct peer_stream *up = &w->upstream->streams[0];
        assert_true(up->id == 0 || (up->closed && !up->ended && up->code == NGHTTP2_CANCEL));
        world_free(w);
    }
}

static void test_bad_trailers_reset_the_request(void **state)
{
    (void)state;
    static const char *const fields[][2] = {
        {":path", "/x"}, {"Upper", "a"}, {"connection", "close"}, {"a", "b\r\nc"}};
    for (size_t i = 0; i < COUNT(fields); i++) {
        struct world *w = world_raw_guest();
        post(w, 1, NULL);
        world_run(w);
        static struct block b;
        b.len = 0;
        block_put(&b, fields[i][0], fields[i][1]);
        raw_headers(&w->from_guest, 1, &b, true);
        world_run(w);
        struct peer_stream *up = &w->upstream->streams[0];
        assert_true(up->closed && !up->ended);
        assert_int_equal(w->seen->reset[1], NGHTTP2_PROTOCOL_ERROR);
        world_free(w);
    }
}

/* --- what breaks the protocol --- */

static void expect_goaway(struct world *w, uint32_t code)
{
    world_run(w);
    assert_int_equal(w->error, 0);
    assert_int_equal(w->seen->goaway, code);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->relay->upstream_end, HTTP_END_FINISH);
    assert_true(w->quiet || logged(w, "refused 0 "));
    world_free(w);
}

/* "GET / HTTP/2" of api.example, out of the static table. */
#define GET_BLOCK                                                                                  \
    "\x82\x87\x84\x41\x0b"                                                                         \
    "api.example"

struct broken {
    uint32_t code;
    struct {
        uint8_t type, flags;
        uint32_t id;
        const char *payload;
        size_t len;
    } frames[2];
};

static char large[20000];

static const struct broken broken_frames[] = {
    {NGHTTP2_FRAME_SIZE_ERROR, {{NGHTTP2_DATA, 0, 1, large, sizeof(large)}}},
    {NGHTTP2_FRAME_SIZE_ERROR, {{NGHTTP2_SETTINGS, 0, 0, "12345", 5}}},
    {NGHTTP2_FRAME_SIZE_ERROR, {{NGHTTP2_PING, 0, 0, "1234567", 7}}},
    {NGHTTP2_FRAME_SIZE_ERROR, {{NGHTTP2_RST_STREAM, 0, 1, "123", 3}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_DATA, 0, 0, "x", 1}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_DATA, 0, 1, "x", 1}}}, /* an idle stream */
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\0", 4}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_HEADERS, 5, 2, GET_BLOCK, 16}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_HEADERS, 5, 0, GET_BLOCK, 16}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_CONTINUATION, 4, 1, GET_BLOCK, 16}}},
    {NGHTTP2_PROTOCOL_ERROR, {{NGHTTP2_PUSH_PROMISE, 4, 1, "\0\0\0\2" GET_BLOCK, 20}}},
    {NGHTTP2_PROTOCOL_ERROR,
     {{NGHTTP2_HEADERS, 1, 1, GET_BLOCK, 16}, {NGHTTP2_PING, 0, 0, "12345678", 8}}},
    {NGHTTP2_COMPRESSION_ERROR, {{NGHTTP2_HEADERS, 5, 1, "\xff\xff\xff\xff", 4}}},
    {NGHTTP2_FLOW_CONTROL_ERROR,
     {{NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4},
      {NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4}}},
    {NGHTTP2_FLOW_CONTROL_ERROR, {{NGHTTP2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6}}},
};

static void test_broken_frames_end_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(broken_frames); i++) {
        struct world *w = world_raw_guest();
        for (size_t f = 0; f < 2 && broken_frames[i].frames[f].payload != NULL; f++) {
            raw_frame(&w->from_guest, broken_frames[i].frames[f].type,
                      broken_frames[i].frames[f].flags, broken_frames[i].frames[f].id,
                      broken_frames[i].frames[f].payload, broken_frames[i].frames[f].len);
        }
        expect_goaway(w, broken_frames[i].code);
    }
}

static void test_what_is_not_http2_ends_the_connection(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    byte_queue_free(&w->from_guest);
    raw_bytes(&w->from_guest, "GET / HTTP/1.1\r\nHost: api.example\r\n\r\n", 37);
    world_run(w);
    assert_int_equal(w->error, 0);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    assert_int_equal(w->n_requests, 0);
    assert_true(logged(w, "refused 0 no preface of HTTP/2\n"));
    world_free(w);
}

static void test_window_of_a_stream_that_overflows_resets_it(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    post(w, 1, NULL);
    raw_u32(&w->from_guest, NGHTTP2_WINDOW_UPDATE, 1, INT32_MAX);
    raw_u32(&w->from_guest, NGHTTP2_WINDOW_UPDATE, 1, INT32_MAX);
    world_run(w);
    assert_int_equal(w->seen->reset[1], NGHTTP2_FLOW_CONTROL_ERROR);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    world_free(w);
}

/* More than its window while upstream takes nothing: the stream ends, and what was kept of it is
 * bounded. */
static void test_data_beyond_the_window_resets_the_stream(void **state)
{
    (void)state;
    static uint8_t bytes[16384];
    struct world *w = world_raw_guest();
    w->upstream->holds = true;
    w->upstream_stalls = true;
    post(w, 1, NULL);
    for (int i = 0; i < 400; i++) {
        raw_frame(&w->from_guest, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes));
    }
    world_run(w);
    assert_int_equal(w->seen->reset[1], NGHTTP2_FLOW_CONTROL_ERROR);
    assert_int_equal(w->error, 0);
    world_free(w);
}

/* --- what costs more than it should --- */

static void expect_calm(struct world *w)
{
    expect_goaway(w, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_floods_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint32_t id;
        size_t len;
    } floods[] = {
        {NGHTTP2_PING, 0, 8},
        {NGHTTP2_SETTINGS, 0, 0},
        {NGHTTP2_WINDOW_UPDATE, 0, 4},
        {NGHTTP2_WINDOW_UPDATE, 1, 4},
        {NGHTTP2_DATA, 1, 0},
        {NGHTTP2_PRIORITY, 1, 5},
        {NGHTTP2_PRIORITY, 9999, 5},
        {0x10, 0, 2},
        {0xfe, 7, 3},
    };
    for (size_t i = 0; i < COUNT(floods); i++) {
        struct world *w = world_raw_guest();
        w->quiet = true;
        post(w, 1, NULL);
        for (int n = 0; n < H2_IDLE_FRAMES_MAX + 10; n++) {
            raw_frame(&w->from_guest, floods[i].type, 0, floods[i].id, "\0\0\0\1\0\0\0\0",
                      floods[i].len);
        }
        expect_calm(w);
    }
}

/* PADDED frames in which everything is padding. */
static void test_padding_alone_is_a_flood(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    post(w, 1, NULL);
    uint8_t payload[256] = {255};
    for (int n = 0; n < H2_IDLE_FRAMES_MAX + 10; n++) {
        raw_frame(&w->from_guest, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, payload, sizeof(payload));
    }
    expect_calm(w);
}

/* Acknowledgements that nobody reads do not pile up. */
static void test_acknowledgements_are_bounded_when_the_guest_does_not_read(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->guest_stalls = true;
    for (int n = 0; n < 100000; n++) {
        raw_frame(&w->from_guest, NGHTTP2_SETTINGS, 0, 0, "", 0);
        raw_frame(&w->from_guest, NGHTTP2_PING, 0, 0, "12345678", 8);
    }
    world_run(w);
    assert_true(inside(w)->side[H2_GUEST].memory.used < H2_UNSENT_MAX);
    assert_true(w->relay->to_guest.len < H2_QUEUE_CAP);
    w->guest_stalls = false;
    expect_calm(w);
}

static void test_rapid_reset_ends_the_connection(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->quiet = true;
    static struct block b;
    block_request(&b, "GET", "/");
    for (uint32_t id = 1; id < 10000; id += 2) {
        raw_headers(&w->from_guest, id, &b, true);
        raw_u32(&w->from_guest, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
    }
    world_run(w);
    assert_int_equal(w->n_requests, H2_RESETS_MAX + 1);
    expect_calm(w);
}

/* ... and while upstream reads nothing, what waits for it is bounded too. */
static void test_rapid_reset_does_not_pile_up(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->quiet = true;
    world_run(w);
    w->upstream_stalls = true;
    static struct block b;
    block_request(&b, "GET", "/");
    for (int i = 0; i < 40; i++) {
        block_put(&b, "a",
                  "0123456789012345678901234567890123456789012345678901234567890123456789");
    }
    for (uint32_t id = 1; id < 1800; id += 2) {
        raw_headers(&w->from_guest, id, &b, true);
        raw_u32(&w->from_guest, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
    }
    world_run(w);
    assert_true(inside(w)->n_streams <= 2 * STREAMS);
    assert_true(inside(w)->side[H2_UPSTREAM].memory.used < 2 * H2_UNSENT_MAX);
    assert_true(w->relay->to_upstream.len < H2_QUEUE_CAP);
    world_free(w);
}

/* The same done by provoking resets rather than sending them. */
static void test_provoked_resets_end_the_connection(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->quiet = true;
    static struct block b;
    block_request(&b, "GET", "/");
    for (uint32_t id = 1; id < 10000; id += 2) {
        raw_headers(&w->from_guest, id, &b, false);
        raw_u32(&w->from_guest, NGHTTP2_WINDOW_UPDATE, id, 0);
    }
    world_run(w);
    assert_true(w->n_requests <= H2_RESETS_MAX + STREAMS);
    assert_true(w->seen->goaway > 0);
    assert_int_equal(w->relay->guest_end, HTTP_END_FINISH);
    world_free(w);
}

static void test_streams_above_the_limit_do_not_go_upstream(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->quiet = true;
    static struct block b;
    block_request(&b, "GET", "/");
    for (uint32_t id = 1; id < 1000; id += 2) { /* the limit is not acknowledged */
        raw_headers(&w->from_guest, id, &b, true);
    }
    world_run(w);
    assert_int_equal(w->n_requests, STREAMS);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    raw_frame(&w->from_guest, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
    raw_headers(&w->from_guest, 1001, &b, true);
    world_run(w);
    assert_int_equal(w->n_requests, STREAMS);
    expect_goaway(w, NGHTTP2_PROTOCOL_ERROR);
}

/* One entry of 4000 bytes in the dynamic table, named by one byte again and again. */
static void put_bomb(struct block *b, size_t times)
{
    block_request(b, "GET", "/");
    static const uint8_t field[] = {0x40, 1, 'a', 0x7f, 0xa1, 0x1e}; /* 4000 = 127 + 3873 */
    memcpy(b->bytes + b->len, field, sizeof(field));
    b->len += sizeof(field);
    memset(b->bytes + b->len, 'x', 4000);
    b->len += 4000;
    memset(b->bytes + b->len, 0xbe, times); /* entry 62 */
    b->len += times;
}

static void test_hpack_bomb_is_answered_or_ends_the_connection(void **state)
{
    (void)state;
    static struct block b;
    struct world *w = world_raw_guest();
    put_bomb(&b, 14);
    raw_headers(&w->from_guest, 1, &b, true); /* within the limit */
    put_bomb(&b, 20);
    raw_headers(&w->from_guest, 3, &b, true);
    world_run(w);
    assert_int_equal(w->n_requests, 1);
    assert_true(has(w->seen->streams[2].text, ":status: 431"));
    assert_true(logged(w, "refused 431 "));
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    put_bomb(&b, 10000);
    raw_headers(&w->from_guest, 5, &b, true);
    expect_calm(w);
}

static enum http_verdict forbid(struct world *w, struct http_exchange *x, struct http_head *head,
                                struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)head;
    *ret = (struct http_answer){.status = 403, .body = "no", .body_len = 2};
    return HTTP_ANSWER;
}

/* Trailers of a request that was answered are still decoded, and so are still counted. */
static void test_hpack_bomb_behind_an_answer_ends_the_connection(void **state)
{
    (void)state;
    static struct block b;
    struct world *w = world_raw_guest();
    w->filter.request = forbid;
    w->guest_stalls = true;
    world_run(w);
    put_bomb(&b, 14);
    raw_headers(&w->from_guest, 1, &b, false);
    memset(b.bytes, 0xbe, 10000);
    b.len = 10000;
    raw_headers(&w->from_guest, 1, &b, true);
    world_run(w);
    assert_true(logged(w, "refused 0 a field list far over the limit\n"));
    w->guest_stalls = false;
    expect_calm(w);
}

static void test_fields_without_end_are_cut(void **state)
{
    (void)state;
    static struct block b;
    struct world *w = world_raw_guest();
    block_request(&b, "GET", "/");
    for (int i = 0; i < HTTP_FIELDS_MAX + 1; i++) {
        block_put(&b, "a", "");
    }
    raw_headers(&w->from_guest, 1, &b, true);
    world_run(w);
    assert_int_equal(w->n_requests, 0);
    assert_true(has(w->seen->streams[1].text, ":status: 431"));
    world_free(w);
}

static void test_continuation_flood_ends_the_connection(void **state)
{
    (void)state;
    static struct block b;
    for (int n = H2_CONTINUATIONS_MAX; n <= H2_CONTINUATIONS_MAX + 1; n++) {
        struct world *w = world_raw_guest();
        w->upstream->serve = serve_hello;
        w->piece = 1;
        block_request(&b, "GET", "/");
        raw_frame(&w->from_guest, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, b.bytes, b.len);
        for (int i = 1; i < n; i++) {
            raw_frame(&w->from_guest, NGHTTP2_CONTINUATION, 0, 1, "", 0);
        }
        raw_frame(&w->from_guest, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, "", 0);
        if (n > H2_CONTINUATIONS_MAX) {
            expect_calm(w);
        } else {
            world_run(w);
            assert_true(has(w->seen->streams[1].text, ":status: 200"));
            world_free(w);
        }
    }
}

/* Well-behaved clients do all that too, within reason. */
static void test_usual_traffic_is_no_flood(void **state)
{
    (void)state;
    struct world *w = world_raw_guest();
    w->quiet = true;
    w->upstream->serve = serve_hello;
    static struct block b;
    block_request(&b, "GET", "/");
    uint32_t id = 1;
    for (int i = 0; i < 20000; i++, id += 2) {
        raw_headers(&w->from_guest, id, &b, true);
        raw_frame(&w->from_guest, NGHTTP2_PING, 0, 0, "12345678", 8);
        raw_u32(&w->from_guest, NGHTTP2_WINDOW_UPDATE, 0, 5);
        if (i % 2 == 1) {
            raw_headers(&w->from_guest, id += 2, &b, false);
            raw_u32(&w->from_guest, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
        }
        if (i % 50 == 0) {
            world_run(w);
        }
    }
    world_run(w);
    assert_int_equal(w->relay->guest_end, HTTP_END_NOT);
    assert_int_equal(w->n_done, 30000);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_requests_do_not_go_upstream),
        cmocka_unit_test(test_nul_in_a_field_does_not_go_upstream),
        cmocka_unit_test(test_length_that_does_not_agree_is_never_a_whole_request),
        cmocka_unit_test(test_bad_trailers_reset_the_request),
        cmocka_unit_test(test_broken_frames_end_the_connection),
        cmocka_unit_test(test_what_is_not_http2_ends_the_connection),
        cmocka_unit_test(test_window_of_a_stream_that_overflows_resets_it),
        cmocka_unit_test(test_data_beyond_the_window_resets_the_stream),
        cmocka_unit_test(test_floods_end_the_connection),
        cmocka_unit_test(test_padding_alone_is_a_flood),
        cmocka_unit_test(test_acknowledgements_are_bounded_when_the_guest_does_not_read),
        cmocka_unit_test(test_rapid_reset_ends_the_connection),
        cmocka_unit_test(test_rapid_reset_does_not_pile_up),
        cmocka_unit_test(test_provoked_resets_end_the_connection),
        cmocka_unit_test(test_streams_above_the_limit_do_not_go_upstream),
        cmocka_unit_test(test_hpack_bomb_is_answered_or_ends_the_connection),
        cmocka_unit_test(test_hpack_bomb_behind_an_answer_ends_the_connection),
        cmocka_unit_test(test_fields_without_end_are_cut),
        cmocka_unit_test(test_continuation_flood_ends_the_connection),
        cmocka_unit_test(test_usual_traffic_is_no_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
