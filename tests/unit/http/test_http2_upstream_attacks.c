/* A hostile upstream: the guest gets a 502 or a reset, never what is no response. */
#include "http/h2_world.h"

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/h2_internal.h"

static const struct h2_relay *inside(const struct world *w)
{
    return (const struct h2_relay *)w->relay;
}

static struct peer_stream *asked(struct world *w)
{
    return &w->guest->streams[0];
}

static struct block block;

static void put_response(struct world *w, const char *status, bool end)
{
    block.len = 0;
    block_put(&block, ":status", status);
    raw_headers(&w->from_upstream, 1, &block, end);
}

struct bad {
    const char *what;
    const char *fields[4][2];
};

static const struct bad bad_responses[] = {
    {"no status", {{"a", "b"}}},
    {"status 99", {{":status", "99"}}},
    {"status 099", {{":status", "099"}}},
    {"status 600", {{":status", "600"}}},
    {"status 2000", {{":status", "2000"}}},
    {"status abc", {{":status", "abc"}}},
    {"status 101", {{":status", "101"}}},
    {"two statuses", {{":status", "200"}, {":status", "200"}}},
    {"status behind a field", {{"a", "b"}, {":status", "200"}}},
    {"request", {{":status", "200"}, {":path", "/"}}},
    {"upper case", {{":status", "200"}, {"Server", "x"}}},
    {"connection", {{":status", "200"}, {"connection", "close"}}},
    {"transfer-encoding", {{":status", "200"}, {"transfer-encoding", "chunked"}}},
    {"upgrade", {{":status", "200"}, {"upgrade", "h2c"}}},
    {"line end in value", {{":status", "200"}, {"a", "b\r\nset-cookie: c"}}},
    {"two lengths", {{":status", "200"}, {"content-length", "1"}, {"content-length", "1"}}},
    {"length no number", {{":status", "200"}, {"content-length", "-1"}}},
    {"length without body", {{":status", "200"}, {"content-length", "1"}}},
    {"interim and end", {{":status", "100"}}},
};

static void test_bad_responses_become_502(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_responses); i++) {
        struct world *w = world_raw_upstream("GET");
        world_run(w);
        block.len = 0;
        for (size_t f = 0; f < 4 && bad_responses[i].fields[f][0] != NULL; f++) {
            block_put(&block, bad_responses[i].fields[f][0], bad_responses[i].fields[f][1]);
        }
        raw_headers(&w->from_upstream, 1, &block, true);
        world_run(w);
        if (!has(asked(w)->heads->text, ":status: 502\n")) {
            print_message("%s: %s\n", bad_responses[i].what, asked(w)->heads->text);
        }
        assert_true(has(asked(w)->heads->text, ":status: 502\n"));
        assert_true(asked(w)->closed && asked(w)->code == NGHTTP2_NO_ERROR);
        assert_int_equal(w->guest->error, 0);
        world_free(w);
    }
}

static void test_body_that_does_not_agree_resets_the_stream(void **state)
{
    (void)state;
    static const struct {
        const char *method, *status, *length;
    } cases[] = {{"GET", "200", "3"},  {"GET", "200", "5"},  {"HEAD", "200", "4"},
                 {"GET", "204", NULL}, {"GET", "304", NULL}, {"HEAD", "404", NULL}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct world *w = world_raw_upstream(cases[i].method);
        world_run(w);
        block.len = 0;
        block_put(&block, ":status", cases[i].status);
        if (cases[i].length != NULL) {
            block_put(&block, "content-length", cases[i].length);
        }
        raw_headers(&w->from_upstream, 1, &block, false);
        raw_frame(&w->from_upstream, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "body", 4);
        world_run(w);
        assert_true(asked(w)->closed && !asked(w)->ended);
        assert_int_equal(asked(w)->code, NGHTTP2_PROTOCOL_ERROR);
        assert_true(logged(w, "the response is malformed"));
        world_free(w);
    }
}

static void expect_502(struct world *w, bool goes_on)
{
    world_run(w);
    assert_int_equal(w->error, 0);
    assert_true(has(asked(w)->heads->text, ":status: 502\n"));
    assert_int_equal(w->guest->error, 0);
    assert_int_equal(w->relay->upstream_end, goes_on ? HTTP_END_NOT : HTTP_END_FINISH);
    assert_int_equal(w->relay->guest_end, goes_on ? HTTP_END_NOT : HTTP_END_FINISH);
    assert_int_equal(w->guest->goaways, goes_on ? 0 : 1);
    world_free(w);
}

static void test_interim_flood_becomes_502(void **state)
{
    (void)state;
    struct world *w = world_raw_upstream("GET");
    world_run(w);
    for (int i = 0; i < 1000; i++) {
        put_response(w, "103", false);
    }
    world_run(w);
    assert_true(has(asked(w)->heads->text, ":status: 502\n"));
    size_t n = 0;
    for (const char *at = asked(w)->heads->text; (at = strstr(at, ": 103")) != NULL; at++) {
        n++;
    }
    assert_int_equal(n, H2_INTERIM_MAX);
    world_free(w);
}

/* One entry of 4000 bytes in the dynamic table, named by one byte again and again. */
static void put_bomb(size_t times)
{
    block.len = 0;
    block_put(&block, ":status", "200");
    static const uint8_t field[] = {0x40, 1, 'a', 0x7f, 0xa1, 0x1e}; /* 4000 = 127 + 3873 */
    memcpy(block.bytes + block.len, field, sizeof(field));
    block.len += sizeof(field);
    memset(block.bytes + block.len, 'x', 4000);
    block.len += 4000;
    memset(block.bytes + block.len, 0xbe, times); /* entry 62 */
    block.len += times;
}

static void test_hpack_bomb_becomes_502(void **state)
{
    (void)state;
    struct world *w = world_raw_upstream("GET");
    world_run(w);
    put_bomb(20);
    raw_headers(&w->from_upstream, 1, &block, true);
    expect_502(w, true);

    w = world_raw_upstream("GET");
    world_run(w);
    put_bomb(10000);
    raw_headers(&w->from_upstream, 1, &block, true);
    expect_502(w, false);
}

static void test_push_is_refused(void **state)
{
    (void)state;
    for (int acked = 0; acked < 2; acked++) {
        struct world *w = world_raw_upstream("GET");
        world_run(w);
        if (acked) {
            raw_frame(&w->from_upstream, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, "", 0);
        }
        block_request(&block, "GET", "/pushed");
        uint8_t payload[300];
        put_be32(payload, 2);
        memcpy(payload + 4, block.bytes, block.len);
        raw_frame(&w->from_upstream, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, payload,
                  4 + block.len);
        put_response(w, "204", true);
        world_run(w);
        assert_int_equal(w->error, 0);
        assert_false(logged(w, "pushed"));
        assert_true(has(asked(w)->heads->text, acked ? ":status: 502\n" : ":status: 204\n"));
        world_free(w);
    }
}

static void test_broken_frames_become_502(void **state)
{
    (void)state;
    static const struct {
        uint8_t type, flags;
        uint32_t id;
        const char *payload;
        size_t len;
    } broken[] = {
        {NGHTTP2_DATA, 0, 1, "x", 1}, /* before its head */
        {NGHTTP2_DATA, 0, 0, "x", 1},
        {NGHTTP2_DATA, 0, 3, "x", 1}, /* an idle stream */
        {NGHTTP2_HEADERS, 5, 3, "\x88", 1},
        {NGHTTP2_HEADERS, 5, 2, "\x88", 1},
        {NGHTTP2_HEADERS, 5, 1, "\xff\xff\xff\xff", 4},
        {NGHTTP2_SETTINGS, 0, 0, "12345", 5},
        {NGHTTP2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6}, /* ENABLE_PUSH 2 */
        {NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4},
        {NGHTTP2_CONTINUATION, 4, 1, "\x88", 1},
        {NGHTTP2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8},
    };
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct world *w = world_raw_upstream("GET");
        world_run(w);
        raw_frame(&w->from_upstream, broken[i].type, broken[i].flags, broken[i].id,
                  broken[i].payload, broken[i].len);
        expect_502(w, false);
    }
}

static void test_what_is_not_http2_becomes_502(void **state)
{
    (void)state;
    struct world *w = world_raw_upstream("GET");
    byte_queue_free(&w->from_upstream);
    raw_bytes(&w->from_upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
    expect_502(w, false);
}

static void test_floods_become_502(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint32_t id;
        size_t len;
    } floods[] = {{NGHTTP2_PING, 0, 8},
                  {NGHTTP2_SETTINGS, 0, 0},
                  {NGHTTP2_WINDOW_UPDATE, 0, 4},
                  {NGHTTP2_PRIORITY, 1, 5},
                  {0x0a, 0, 2},
                  {0xfe, 7, 3}};
    for (size_t i = 0; i < COUNT(floods); i++) {
        struct world *w = world_raw_upstream("GET");
        world_run(w);
        for (int n = 0; n < H2_IDLE_FRAMES_MAX + 10; n++) {
            raw_frame(&w->from_upstream, floods[i].type, 0, floods[i].id, "\0\0\0\1\0\0\0\0",
                      floods[i].len);
        }
        expect_502(w, false);
    }
}

/* It sends more than its window allows while the guest takes nothing. */
static void test_data_beyond_the_window_resets_the_stream(void **state)
{
    (void)state;
    static uint8_t bytes[16384];
    struct world *w = world_raw_upstream("GET");
    w->guest->holds = true;
    world_run(w);
    put_response(w, "200", false);
    for (int i = 0; i < 400; i++) {
        raw_frame(&w->from_upstream, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes));
    }
    world_run(w);
    assert_true(asked(w)->closed && !asked(w)->ended);
    assert_true(asked(w)->got <= 3 * H2_WINDOW_FIRST);
    assert_int_equal(w->error, 0);
    world_free(w);
}

/* Heads of many streams to a guest that reads nothing: no more is read of upstream. */
static void test_heads_do_not_pile_up_when_the_guest_does_not_read(void **state)
{
    (void)state;
    struct world *w = world_raw_upstream("GET");
    for (int i = 1; i < STREAMS; i++) {
        (void)guest_gets(w, "/");
    }
    world_run(w);
    w->guest_stalls = true;
    put_bomb(14); /* 60 KB each */
    raw_headers(&w->from_upstream, 1, &block, true);
    for (uint32_t id = 3; id < 2 * STREAMS; id += 2) {
        uint8_t again[16] = {0x88};
        memset(again + 1, 0xbe, 15);
        raw_frame(&w->from_upstream, NGHTTP2_HEADERS, 5, id, again, sizeof(again));
    }
    world_run(w);
    assert_true(inside(w)->side[H2_GUEST].memory.used <=
                H2_UNSENT_MAX + (size_t)STREAMS * HEAD_BYTES);
    assert_true(w->relay->to_guest.len <= H2_QUEUE_CAP);
    w->guest_stalls = false;
    w->guest->keeps = false;
    assert_int_equal(http_relay_resume(w->relay), 0);
    world_run(w);
    assert_int_equal(w->error, 0);
    assert_int_equal(w->n_done, STREAMS);
    world_free(w);
}

/* 56 KB of fields as they are, in four frames. */
static void put_large_head(struct byte_queue *to, uint32_t id)
{
    block.len = 0;
    block_put(&block, ":status", "200");
    for (int i = 0; i < 14; i++) {
        static const uint8_t field[] = {0, 1, 'a', 0x7f, 0xa1, 0x1e};
        memcpy(block.bytes + block.len, field, sizeof(field));
        memset(block.bytes + block.len + sizeof(field), 'x', 4000);
        block.len += sizeof(field) + 4000;
    }
    for (size_t at = 0; at < block.len; at += 16384) {
        bool last = at + 16384 >= block.len;
        raw_frame(to, at == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION,
                  (uint8_t)((at == 0 ? NGHTTP2_FLAG_END_STREAM : 0) |
                            (last ? NGHTTP2_FLAG_END_HEADERS : 0)),
                  id, block.bytes + at, last ? block.len - at : 16384);
    }
}

static void test_upstream_is_not_read_while_its_heads_cannot_be_sent(void **state)
{
    (void)state;
    struct world *w = world_raw_upstream("GET");
    for (int i = 1; i < STREAMS; i++) {
        (void)guest_gets(w, "/");
    }
    world_run(w);
    w->guest_stalls = true;
    for (uint32_t id = 1; id < 2 * STREAMS; id += 2) {
        put_large_head(&w->from_upstream, id);
    }
    world_run(w);
    assert_true(w->from_upstream.len > 4 << 20); /* it was not taken */
    assert_true(inside(w)->side[H2_GUEST].memory.used <= H2_UNSENT_MAX + 2 * HEAD_BYTES);
    w->guest_stalls = false;
    w->quiet = true; /* which is what is not kept */
    world_run(w);
    assert_int_equal(w->from_upstream.len, 0);
    assert_int_equal(w->n_done, STREAMS);
    world_free(w);
}

/* Upstream that says nothing about streams it was told are given up. */
static void test_late_frames_of_closed_streams_are_ignored(void **state)
{
    (void)state;
    struct world *w = world_raw_upstream("GET");
    world_run(w);
    assert_int_equal(nghttp2_submit_rst_stream(w->guest->session, 0, 1, NGHTTP2_CANCEL), 0);
    world_run(w);
    assert_int_equal(w->n_done, 1);
    put_response(w, "200", false);
    raw_frame(&w->from_upstream, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "late", 4);
    raw_u32(&w->from_upstream, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
    world_run(w);
    assert_int_equal(w->relay->upstream_end, HTTP_END_NOT);
    assert_int_equal(w->guest->goaways, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_responses_become_502),
        cmocka_unit_test(test_body_that_does_not_agree_resets_the_stream),
        cmocka_unit_test(test_interim_flood_becomes_502),
        cmocka_unit_test(test_hpack_bomb_becomes_502),
        cmocka_unit_test(test_push_is_refused),
        cmocka_unit_test(test_broken_frames_become_502),
        cmocka_unit_test(test_what_is_not_http2_becomes_502),
        cmocka_unit_test(test_floods_become_502),
        cmocka_unit_test(test_data_beyond_the_window_resets_the_stream),
        cmocka_unit_test(test_heads_do_not_pile_up_when_the_guest_does_not_read),
        cmocka_unit_test(test_upstream_is_not_read_while_its_heads_cannot_be_sent),
        cmocka_unit_test(test_late_frames_of_closed_streams_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
