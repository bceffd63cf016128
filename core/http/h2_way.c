/* One direction of a stream's body: from the window of who sends it to that of who receives it. */
#include <errno.h>

#include "http/h2_internal.h"

void h2_way_init(struct h2_way *way, struct h2_stream *s, enum h2_end from)
{
    *way = (struct h2_way){.stream = s,
                           .from = from,
                           .held.cap = H2_WINDOW_MAX,
                           .queue.cap = H2_FILTERED_CAP,
                           .window = H2_WINDOW_FIRST};
    http_head_init(&way->trailers);
}

void h2_way_free(struct h2_way *way)
{
    byte_queue_free(&way->held);
    byte_queue_free(&way->queue);
    http_head_free(&way->trailers);
    h2_side_from(way)->spare += way->window - H2_WINDOW_FIRST;
    way->window = H2_WINDOW_FIRST;
}

/* The sender may send so many bytes more. */
static void open_window(struct h2_way *way, size_t len)
{
    struct h2_stream *s = way->stream;
    struct h2_side *side = h2_side_from(way);
    if (!s->open[way->from] || side->over) {
        return;
    }
    if (nghttp2_session_consume_stream(side->session, s->id[way->from], len) != 0) {
        h2_fail(s->relay, -ENOMEM);
    }
}

/* Bytes left, and none wait: a larger window may let the sender go faster. */
static void grow_window(struct h2_way *way, size_t len)
{
    struct h2_stream *s = way->stream;
    struct h2_side *side = h2_side_from(way);
    way->left += way->left < way->window ? (int32_t)len : 0;
    if (way->left < way->window / 2 || way->held.len > 0 || way->queue.len > 0 || way->ended ||
        !s->open[way->from] || side->over) {
        return;
    }
    way->left = 0;
    int32_t by = way->window;
    by = by > H2_WINDOW_MAX - way->window ? H2_WINDOW_MAX - way->window : by;
    by = by > side->spare ? side->spare : by;
    if (by <= 0) {
        return;
    }
    way->window += by;
    side->spare -= by;
    if (nghttp2_session_set_local_window_size(side->session, NGHTTP2_FLAG_NONE, s->id[way->from],
                                              way->window) != 0) {
        h2_fail(s->relay, -ENOMEM);
    }
}

void h2_way_wake(struct h2_way *way)
{
    struct h2_stream *s = way->stream;
    enum h2_end to = !way->from;
    if (!way->idle || !s->open[to]) {
        return;
    }
    way->idle = false;
    if (nghttp2_session_resume_data(h2_side_to(way)->session, s->id[to]) == NGHTTP2_ERR_NOMEM) {
        h2_fail(s->relay, -ENOMEM);
    }
}

void h2_way_drop(struct h2_way *way)
{
    size_t len = way->held.len + (way->filtered ? 0 : way->queue.len);
    byte_queue_free(&way->held);
    byte_queue_free(&way->queue);
    way->has_trailers = false;
    way->dropped = true;
    way->complete = true;
    open_window(way, len);
}

/* More of a request that was answered here. */
static void lose_patience(struct h2_way *way, size_t len)
{
    struct h2_stream *s = way->stream;
    if (way->from != H2_GUEST || s->patience <= 0) {
        return;
    }
    s->patience -= (int32_t)len;
    if (s->patience <= 0 && s->delivered) {
        h2_stream_reset(s, H2_GUEST, NGHTTP2_NO_ERROR);
    }
}

int h2_way_data(struct h2_way *way, const uint8_t *data, size_t len)
{
    struct h2_relay *r = way->stream->relay;
    if (way->dropped) {
        open_window(way, len);
        lose_patience(way, len);
        return 0;
    }
    int error = byte_queue_put(way->filtered ? &way->held : &way->queue, data, len);
    if (error == -ENOBUFS) { /* over the window too: nghttp2 resets the stream */
        h2_way_drop(way);
        return 0;
    }
    if (error != 0) {
        return error;
    }
    if (way->filtered) {
        r->due = true;
    } else {
        h2_way_wake(way);
    }
    return 0;
}

/* Behind the last byte: trailers, judged. */
static void finish(struct h2_way *way)
{
    struct h2_stream *s = way->stream;
    struct h2_relay *r = s->relay;
    if (way->has_trailers && s->judged) {
        enum http_verdict verdict =
            r->filter->trailers(r->user, &s->x, h2_which(way), &way->trailers);
        if (verdict != HTTP_PASS) {
            h2_stream_abort(s, NGHTTP2_CANCEL, "reset by the filter");
            return;
        }
    }
    way->complete = true;
    h2_way_wake(way);
}

void h2_way_end(struct h2_way *way)
{
    way->ended = true;
    if (way->dropped) {
        return;
    }
    if (way->filtered) {
        way->stream->relay->due = true;
    } else {
        finish(way);
    }
}

/* One piece through the filter. Returns whether it passed. */
static bool filter_piece(struct h2_way *way, size_t len, bool end)
{
    struct h2_stream *s = way->stream;
    struct h2_relay *r = s->relay;
    struct http_answer answer = {0};
    const uint8_t *data = byte_queue_bytes(&way->held);
    data = data == NULL ? (const uint8_t *)"" : data;
    enum http_verdict verdict =
        way->from == H2_GUEST
            ? r->filter->request_body(r->user, &s->x, data, len, end, &way->queue, &answer)
            : r->filter->response_body(r->user, &s->x, data, len, end, &way->queue);
    if (verdict == HTTP_PASS) {
        return true;
    }
    if (verdict == HTTP_ANSWER && way->from == H2_GUEST) {
        h2_answer(s, &answer);
    } else {
        h2_stream_abort(s, NGHTTP2_CANCEL, "reset by the filter");
    }
    return false;
}

void h2_way_filter(struct h2_way *way)
{
    while (!way->dropped && !way->complete && way->queue.len < H2_FILTER_ROOM &&
           (way->held.len > 0 || way->ended)) {
        size_t len = way->held.len < H2_FILTER_PIECE ? way->held.len : H2_FILTER_PIECE;
        bool end = way->ended && len == way->held.len;
        if (!filter_piece(way, len, end)) {
            return;
        }
        byte_queue_drop(&way->held, len);
        open_window(way, len);
        grow_window(way, len);
        if (end) {
            finish(way);
        } else if (way->queue.len > 0) {
            h2_way_wake(way);
        }
    }
}

/* How much of a DATA frame there is; nothing is copied yet. */
static ssize_t read_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)id;
    (void)buf;
    (void)user;
    struct h2_way *way = source->ptr;
    size_t n = way->queue.len < len ? way->queue.len : len;
    if (n == 0 && !way->complete) {
        way->idle = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == way->queue.len && way->complete) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (way->has_trailers && way->trailers.n_fields > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (h2_head_send_trailers(way) != 0) {
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
            }
        }
    }
    return (ssize_t)n;
}

nghttp2_data_provider h2_way_provider(struct h2_way *way)
{
    way->idle = false;
    return (nghttp2_data_provider){.source.ptr = way, .read_callback = read_data};
}

int h2_way_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    struct h2_side *side = user;
    struct h2_way *way = source->ptr;
    if (byte_queue_put(side->out, head, H2_FRAME_HEADER) != 0 ||
        byte_queue_put(side->out, byte_queue_bytes(&way->queue), len) != 0) {
        h2_fail(side->relay, -ENOMEM);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    byte_queue_drop(&way->queue, len);
    way->bytes += len;
    h2_meter_forgive(&side->meter, len);
    if (!way->filtered) {
        open_window(way, len);
        grow_window(way, len);
    } else if (way->queue.len < H2_FILTER_ROOM) {
        side->relay->due = true;
    }
    return side->out->len >= H2_QUEUE_FULL ? NGHTTP2_ERR_PAUSE : 0;
}
