/* Bodies, either way: around the filter with one copy, or through it; and the steps that a side
 * goes through. */
#include <errno.h>
#include <string.h>

#include "http/h1_internal.h"

static size_t smaller(size_t a, uint64_t b)
{
    return b < a ? (size_t)b : a;
}

/* How many bytes of a body its queue takes at the moment. */
static size_t room(const struct h1_side *side)
{
    size_t len = side->queue->len + H1_MARGIN;
    return len < H1_QUEUE_SOFT ? H1_QUEUE_SOFT - len : 0;
}

void h1_clear_message(struct h1_side *side)
{
    http_head_free(&side->head);
    http_head_free(&side->trailers);
    byte_queue_free(&side->pending);
    side->in = side->out = (struct h1_framing){.body = H1_BODY_NONE};
    side->chunked = (struct h1_chunked){.at = H1_AT_SIZE};
    side->left = side->bytes = 0;
    side->has_trailers = side->filtered = side->holding = false;
}

/* ---- collecting a section ---- */

int h1_collect(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
               size_t *ret_used, const uint8_t **ret_data, size_t *ret_len)
{
    struct byte_queue *partial = &side->partial;
    size_t n = smaller(len, r->settings.head_bytes - partial->len);
    ssize_t end = h1_scan(&side->scan, data, n);
    if (end < 0) {
        return (int)end;
    }
    if (end == 0 && n < len) {
        return -E2BIG;
    }
    size_t used = end > 0 ? (size_t)end : n;
    if (end > 0 && partial->len == 0) {
        *ret_data = data;
        *ret_len = used;
    } else {
        int status = byte_queue_put(partial, data, used);
        if (status < 0) {
            return -ENOMEM;
        }
        *ret_data = byte_queue_bytes(partial);
        *ret_len = partial->len;
    }
    *ret_used = used;
    return end > 0;
}

void h1_collected(struct h1_side *side)
{
    side->scan = (struct h1_scan){0};
    byte_queue_free(&side->partial);
}

/* ---- out ---- */

static void put(struct h1_relay *r, struct h1_side *side, const void *data, size_t len)
{
    (void)h1_failed(r, byte_queue_put(side->queue, data, len));
}

static void put_chunk_size(struct h1_relay *r, struct h1_side *side, uint64_t size)
{
    char line[18];
    size_t at = sizeof(line);
    line[--at] = '\n';
    line[--at] = '\r';
    do {
        line[--at] = "0123456789abcdef"[size & 15];
        size >>= 4;
    } while (size > 0);
    put(r, side, line + at, sizeof(line) - at);
}

/* Moves what the filter made into the queue. Returns whether it is all there. */
static bool flush(struct h1_relay *r, struct h1_side *side)
{
    while (side->pending.len > 0 && room(side) > 0 && r->error == 0) {
        size_t n = smaller(side->pending.len, room(side));
        bool chunked = side->out.body == H1_BODY_CHUNKED;
        if (chunked) {
            put_chunk_size(r, side, n);
        }
        put(r, side, byte_queue_bytes(&side->pending), n);
        if (chunked) {
            put(r, side, "\r\n", 2);
        }
        if (r->error == 0) {
            byte_queue_drop(&side->pending, n);
        }
    }
    return side->pending.len == 0;
}

static void write_head(struct h1_relay *r, struct h1_side *side)
{
    side->holding = false;
    if (side->way == HTTP_TO_UPSTREAM) {
        h1_request_write(r);
    } else {
        h1_response_write(r);
    }
}

/* Gives a piece to the filter. Returns whether the message goes on. */
static bool filter_piece(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t n,
                         bool end)
{
    struct http_answer answer = {0};
    enum http_verdict verdict =
        side->way == HTTP_TO_UPSTREAM
            ? r->filter->request_body(r->user, &r->x, data, n, end, &side->pending, &answer)
            : r->filter->response_body(r->user, &r->x, data, n, end, &side->pending);
    if (verdict == HTTP_PASS) {
        return true;
    }
    if (verdict == HTTP_ANSWER && side->way == HTTP_TO_UPSTREAM && !r->answered) {
        h1_answer(r, &answer, NULL);
    } else {
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, NULL);
    }
    return false;
}

/* Passes a piece of a body on. */
static void pass_piece(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t n)
{
    side->bytes += n;
    if (side->in.body == H1_BODY_LENGTH) {
        side->left -= n;
    }
    if (!side->filtered) {
        put(r, side, data, n);
        return;
    }
    if (!filter_piece(r, side, data, n, false)) {
        return;
    }
    if (side->holding && side->pending.len > H1_HOLD_MAX) {
        if (side->way == HTTP_TO_GUEST) {
            h1_response_unhold(r);
        } else if (!h1_request_unhold(r)) {
            return;
        }
        write_head(r, side);
    }
    if (!side->holding) {
        (void)flush(r, side);
    }
}

void h1_begin_message(struct h1_relay *r, struct h1_side *side)
{
    side->left = side->in.length;
    side->chunked = (struct h1_chunked){.at = H1_AT_SIZE};
    side->phase = side->in.body == H1_BODY_NONE ? H1_LAST : H1_BODY;
    if (!side->holding) {
        write_head(r, side);
    }
}

void h1_end_body(struct h1_relay *r, struct h1_side *side)
{
    if (side->filtered && !filter_piece(r, side, NULL, 0, true)) {
        return;
    }
    if (side->holding) {
        side->out.body = side->pending.len > 0 ? H1_BODY_LENGTH : H1_BODY_NONE;
        side->out.length = side->pending.len;
        write_head(r, side);
    }
    if (side->phase == H1_BODY) { /* writing may have ended it all */
        side->phase = side->in.body == H1_BODY_CHUNKED ? H1_TRAILERS : H1_LAST;
    }
}

/* ---- steps ---- */

static void malformed(struct h1_relay *r, struct h1_side *side, const char *fault)
{
    h1_abort(r, side->way == HTTP_TO_UPSTREAM ? 400 : 502, fault);
}

/* One event of a chunked body. */
static bool chunked_step(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
                         size_t most, size_t *ret_used)
{
    size_t n;
    bool as_it_is = !side->filtered && side->out.body == H1_BODY_CHUNKED;
    switch (h1_chunked_next(&side->chunked, data, len, ret_used, &n)) {
    case H1_CHUNK_MORE:
        break;
    case H1_CHUNK_START:
        if (as_it_is) {
            put_chunk_size(r, side, side->chunked.left);
        }
        break;
    case H1_CHUNK_DATA:
        n = smaller(n, most);
        h1_chunked_took(&side->chunked, n);
        *ret_used += n;
        pass_piece(r, side, data + *ret_used - n, n);
        break;
    case H1_CHUNK_END:
        if (as_it_is) {
            put(r, side, "\r\n", 2);
        }
        break;
    case H1_CHUNK_LAST:
        h1_end_body(r, side);
        break;
    case H1_CHUNK_BAD:
        malformed(r, side, "a chunk that is none");
        break;
    }
    return *ret_used > 0;
}

static bool body_step(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
                      size_t *ret_used)
{
    if ((!side->holding && !flush(r, side)) || room(side) == 0 || len == 0) {
        return false;
    }
    size_t most = side->filtered ? smaller(room(side), H1_PIECE) : room(side);
    if (side->in.body == H1_BODY_CHUNKED) {
        return chunked_step(r, side, data, len, most, ret_used);
    }
    size_t n = smaller(len, most);
    n = side->in.body == H1_BODY_LENGTH ? smaller(n, side->left) : n;
    *ret_used = n;
    pass_piece(r, side, data, n);
    if (side->phase == H1_BODY && side->in.body == H1_BODY_LENGTH && side->left == 0) {
        h1_end_body(r, side);
    }
    return true;
}

static void judge_trailers(struct h1_relay *r, struct h1_side *side)
{
    side->has_trailers = true;
    side->phase = H1_LAST;
    if (r->filter->trailers(r->user, &r->x, side->way, &side->trailers) != HTTP_PASS) {
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, NULL);
    }
}

static bool trailers_step(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
                          size_t *ret_used)
{
    const uint8_t *section = NULL;
    size_t section_len = 0;
    const char *fault;
    if (len == 0) {
        return false;
    }
    int whole = h1_collect(r, side, data, len, ret_used, &section, &section_len);
    if (whole < 0) {
        malformed(r, side, "trailers that are none");
    } else if (whole > 0 && section_len == 2) {
        side->phase = H1_LAST;
        h1_collected(side);
    } else if (whole > 0) {
        unsigned bad = h1_read_trailers(&side->trailers, section, section_len, &fault);
        h1_collected(side);
        if (bad != 0) {
            malformed(r, side, fault);
        } else {
            judge_trailers(r, side);
        }
    }
    return true;
}

static bool last_step(struct h1_relay *r, struct h1_side *side)
{
    if (!flush(r, side)) {
        return false;
    }
    if (side->out.body == H1_BODY_CHUNKED &&
        h1_failed(r, h1_write_trailers(side->queue, side->has_trailers ? &side->trailers : NULL))) {
        return false;
    }
    side->phase = H1_WAIT;
    if (side->way == HTTP_TO_UPSTREAM) {
        h1_request_whole(r);
    } else {
        h1_response_whole(r);
    }
    return true;
}

static bool tunnel_step(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
                        size_t *ret_used)
{
    size_t n = smaller(len, room(side));
    if (n == 0) {
        return false;
    }
    *ret_used = n;
    side->bytes += n;
    if (r->filter->tunnel(r->user, &r->x, side->way, data, n) == HTTP_PASS) {
        put(r, side, data, n);
    } else {
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, NULL);
    }
    return true;
}

static bool drain_step(struct h1_side *side, size_t len, size_t *ret_used)
{
    *ret_used = smaller(len, side->left);
    side->left -= *ret_used;
    if (side->left == 0) {
        side->phase = H1_HEAD;
    }
    return *ret_used > 0;
}

/* One step of a side. Returns whether there was progress. */
static bool step(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
                 size_t *ret_used)
{
    *ret_used = 0;
    switch (side->phase) {
    case H1_HEAD:
        return side->way == HTTP_TO_UPSTREAM ? h1_request_step(r, data, len, ret_used)
                                             : h1_response_step(r, data, len, ret_used);
    case H1_BODY:
        return body_step(r, side, data, len, ret_used);
    case H1_TRAILERS:
        return trailers_step(r, side, data, len, ret_used);
    case H1_LAST:
        return last_step(r, side);
    case H1_WAIT:
        return false;
    case H1_DRAIN:
        return drain_step(side, len, ret_used);
    case H1_TUNNEL:
        return tunnel_step(r, side, data, len, ret_used);
    case H1_DISCARD:
        *ret_used = len;
        return false;
    }
    return false;
}

ssize_t h1_take(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    bool goes_on = true;
    while (goes_on && r->error == 0) {
        size_t used;
        goes_on = step(r, side, data + taken, len - taken, &used);
        taken += used;
    }
    return r->error != 0 ? r->error : (ssize_t)taken;
}
