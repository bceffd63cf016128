/* What the two targets of the HTTP/2 relay share: raw bytes of one end in pieces, with things that
 * happen in between, and a well-behaved other end that must never see a frame that it may not get
 * (world_free() checks that). */
#ifndef FUZZ_H2_FUZZ_H
#define FUZZ_H2_FUZZ_H

#include "http/h2_internal.h"
#include "http/h2_world.h"

/* In the input: what happens here is in the next byte. */
static const uint8_t fuzz_marker[2] = {0xfe, 0xed};

enum {
    FUZZ_PREFACE = 1, /* it is sent in front */
    FUZZ_FILTER_BODIES = 2,
    FUZZ_ANSWER = 4, /* every other request */
    FUZZ_HOLD = 8,   /* the other end opens no windows at first */
    FUZZ_STALL = 16, /* ... and reads nothing */
    FUZZ_PIECES = 5  /* the bits above choose the pieces */
};

static uint8_t fuzz_flags;

static inline enum http_verdict fuzz_request(struct world *w, struct http_exchange *x,
                                             struct http_head *head, struct http_answer *ret)
{
    (void)head;
    x->filter_request_body = x->filter_response_body = (fuzz_flags & FUZZ_FILTER_BODIES) != 0;
    if ((fuzz_flags & FUZZ_ANSWER) == 0 || w->n_requests % 2 == 0) {
        return HTTP_PASS;
    }
    *ret = (struct http_answer){.status = 403, .body = "no", .body_len = 2};
    return w->n_requests % 4 == 1 ? HTTP_ANSWER : HTTP_RESET;
}

/* Three bytes become one or seven, so that lengths change. */
static inline enum http_verdict fuzz_body(const uint8_t *data, size_t len, struct byte_queue *out)
{
    if (len == 3) {
        return byte_queue_put(out, data, 1) == 0 ? HTTP_PASS : HTTP_RESET;
    }
    if (len > 0 && data[0] == '!') {
        return HTTP_RESET;
    }
    return byte_queue_put(out, data, len) == 0 && byte_queue_put(out, "more", 4) == 0 ? HTTP_PASS
                                                                                      : HTTP_RESET;
}

static inline enum http_verdict fuzz_request_body(struct world *w, struct http_exchange *x,
                                                  const uint8_t *data, size_t len, bool end,
                                                  struct byte_queue *out, struct http_answer *ret)
{
    (void)w;
    (void)x;
    (void)end;
    if (len > 0 && data[0] == '?') {
        *ret = (struct http_answer){.status = 403, .body = "no", .body_len = 2};
        return HTTP_ANSWER;
    }
    return fuzz_body(data, len, out);
}

static inline enum http_verdict fuzz_response_body(struct world *w, struct http_exchange *x,
                                                   const uint8_t *data, size_t len, bool end,
                                                   struct byte_queue *out)
{
    (void)w;
    (void)x;
    (void)end;
    return fuzz_body(data, len, out);
}

static inline void fuzz_begin(struct world *w, uint8_t flags)
{
    static const size_t pieces[] = {0, 1, 2, 7, 9, 100, 1000, 20000};
    fuzz_flags = flags;
    w->quiet = true;
    w->piece = pieces[flags >> FUZZ_PIECES];
    w->filter.request = fuzz_request;
    w->filter.request_body = fuzz_request_body;
    w->filter.response_body = fuzz_response_body;
}

static inline void fuzz_check(const struct world *w)
{
    const struct h2_relay *r = (const struct h2_relay *)w->relay;
    WORLD_CHECK(w->error == 0);
    WORLD_CHECK(r->base.to_guest.len <= H2_QUEUE_CAP && r->base.to_upstream.len <= H2_QUEUE_CAP);
    WORLD_CHECK(r->n_streams <= 2 * STREAMS && r->n_open[H2_GUEST] <= STREAMS);
    size_t open[2] = {0}, waiting = 0;
    for (const struct h2_stream *s = r->first; s != NULL; s = s->next) {
        open[0] += s->open[0];
        open[1] += s->open[1];
        waiting += s->waiting;
        for (int i = 0; i < 2; i++) {
            WORLD_CHECK(s->way[i].window >= H2_WINDOW_FIRST && s->way[i].window <= H2_WINDOW_MAX);
            WORLD_CHECK(s->way[i].held.len <= H2_WINDOW_MAX);
        }
    }
    WORLD_CHECK(open[0] == r->n_open[0] && open[1] == r->n_open[1] && waiting == r->n_waiting);
    WORLD_CHECK(r->side[0].spare >= 0 && r->side[1].spare >= 0);
}

/* The bytes up to a marker, and what is behind it; false at the end. */
static inline bool fuzz_next(struct reader *in, struct byte_queue *to, uint8_t *ret_what)
{
    size_t left = reader_left(in);
    if (left == 0) {
        return false;
    }
    const uint8_t *marker = memmem(in->at, left, fuzz_marker, sizeof(fuzz_marker));
    size_t len = marker == NULL ? left : (size_t)(marker - in->at);
    raw_bytes(to, reader_bytes(in, len), len);
    reader_skip(in, marker == NULL ? 0 : sizeof(fuzz_marker));
    *ret_what = reader_left(in) == 0 ? 0 : reader_u8(in);
    return true;
}

/* Everything that waits moves. */
static inline void fuzz_end(struct world *w)
{
    w->guest_stalls = w->upstream_stalls = false;
    w->piece = 0;
    WORLD_CHECK(http_relay_resume(w->relay) == 0);
    world_run(w);
    fuzz_check(w);
    http_relay_guest_ended(w->relay);
    world_run(w);
    if (w->relay->guest_end == HTTP_END_FINISH &&
        ((const struct h2_relay *)w->relay)->n_streams == 0) { /* nobody is left waiting */
        WORLD_CHECK(w->relay->upstream_end == HTTP_END_FINISH);
    }
    http_relay_upstream_ended(w->relay);
    world_run(w);
    fuzz_check(w);
    WORLD_CHECK(w->relay->upstream_end == HTTP_END_FINISH);
    WORLD_CHECK(w->relay->guest_end == HTTP_END_FINISH ||
                ((const struct h2_relay *)w->relay)->n_streams > 0);
}

#endif
