/* The two nghttp2 sessions of a relay, and what they call back. */
#include <errno.h>

#include "http/h2_internal.h"

enum {
    ACKS_MAX = 256, /* that wait to be sent */
    SESSION_MEMORY = 2 << 20
};

static struct h2_stream *stream_of(const struct h2_side *side, int32_t id)
{
    return nghttp2_session_get_stream_user_data(side->session, id);
}

static struct h2_way *way_from(struct h2_stream *s, enum h2_end from)
{
    return &s->way[from == H2_GUEST ? HTTP_TO_UPSTREAM : HTTP_TO_GUEST];
}

/* What nghttp2 is told behind a callback. */
static int status(const struct h2_side *side)
{
    return side->relay->error == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_side *side = user;
    if (side->end == H2_GUEST && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        return h2_request_begins(side->relay, frame);
    }
    struct h2_stream *s = stream_of(side, frame->hd.stream_id);
    if (s != NULL) {
        way_from(s, side->end)->list_bytes = 0;
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)session;
    struct h2_side *side = user;
    struct h2_stream *s = stream_of(side, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    struct h2_way *way = way_from(s, side->end);
    bool first = side->end == H2_GUEST ? !s->read : !s->final;
    if (!h2_head_field(way, first ? &s->head : &way->trailers, (const char *)name, name_len,
                       (const char *)value, value_len, (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0)) {
        side->fault = "a field list far over the limit";
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

static void goaway_came(struct h2_side *side, uint32_t code)
{
    struct h2_relay *r = side->relay;
    struct h2_side *other = &r->side[!side->end];
    if (side->end == H2_GUEST) {
        if (!other->over && !other->goaway) {
            other->goaway = true;
            if (nghttp2_submit_goaway(other->session, NGHTTP2_FLAG_NONE, 0, code, NULL, 0) != 0) {
                h2_fail(r, -ENOMEM);
            }
        }
        return;
    }
    for (struct h2_stream *s = r->first; s != NULL; s = s->next) {
        if (s->waiting) {
            h2_stream_abort(s, NGHTTP2_REFUSED_STREAM, "upstream takes no more requests");
        }
    }
    h2_drain(r, code);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_side *side = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        goaway_came(side, frame->goaway.error_code);
        return status(side);
    }
    struct h2_stream *s = frame->hd.stream_id == 0 ? NULL : stream_of(side, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        (side->end == H2_GUEST ? h2_request_head : h2_response_head)(s, end);
        break;
    case NGHTTP2_DATA:
        if (end) {
            h2_way_end(way_from(s, side->end));
        }
        break;
    case NGHTTP2_RST_STREAM:
        s->reset_came[side->end] = true;
        break;
    default:
        break;
    }
    return status(side);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    (void)flags;
    struct h2_side *side = user;
    struct h2_stream *s = stream_of(side, id);
    h2_meter_forgive(&side->meter, len);
    int error = nghttp2_session_consume_connection(session, len);
    if (error == 0 && s == NULL) {
        error = nghttp2_session_consume_stream(session, id, len);
    } else if (error == 0) {
        error = h2_way_data(way_from(s, side->end), data, len);
    }
    if (error != 0) {
        h2_fail(side->relay, -ENOMEM);
    }
    return status(side);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct h2_side *side = user;
    struct h2_relay *r = side->relay;
    if (frame->hd.type == NGHTTP2_GOAWAY && side->end == H2_GUEST && !side->goaway &&
        side->fault == NULL) { /* nghttp2's own doing */
        side->fault = "the guest broke the protocol";
        r->filter->refused(r->user, 0, side->fault);
    }
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        struct h2_stream *s = stream_of(side, frame->hd.stream_id);
        if (s != NULL) {
            h2_stream_sent(s, side->end);
        }
    }
    return status(side);
}

/* Too large, or the stream is closing anyway. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *user)
{
    (void)session;
    (void)error;
    struct h2_side *side = user;
    struct h2_stream *s =
        frame->hd.type == NGHTTP2_HEADERS ? stream_of(side, frame->hd.stream_id) : NULL;
    if (s == NULL) {
        return 0;
    }
    if (side->end == H2_UPSTREAM && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        s->unsendable = true;
    } else {
        h2_stream_reset(s, side->end, NGHTTP2_INTERNAL_ERROR);
    }
    return status(side);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    struct h2_side *side = user;
    struct h2_stream *s = stream_of(side, id);
    if (s != NULL) {
        (side->end == H2_GUEST ? h2_request_closed : h2_response_closed)(s, code);
    }
    return status(side);
}

static int callbacks_new(nghttp2_session_callbacks **ret)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) != 0) {
        return -ENOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_way_send);
    *ret = cb;
    return 0;
}

static int option_new(const struct h2_relay *r, nghttp2_option **ret)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0) {
        return -ENOMEM;
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_reserved_remote_streams(option, 0);
    nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
    nghttp2_option_set_max_continuations(option, H2_CONTINUATIONS_MAX);
    /* A filter may make a head larger than the limit of what came. */
    nghttp2_option_set_max_send_header_block_length(option,
                                                    2 * r->settings.head_bytes + (64 << 10));
    /* Requests given up are counted by the relay, by how many were answered. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    *ret = option;
    return 0;
}

static int side_new(struct h2_relay *r, enum h2_end end, const nghttp2_session_callbacks *cb,
                    const nghttp2_option *option)
{
    struct h2_side *side = &r->side[end];
    /* Heads that were submitted and are not yet sent: one of each stream, and trailers. */
    side->memory.cap = SESSION_MEMORY + 4 * r->settings.streams * r->settings.head_bytes;
    nghttp2_mem mem = h2_memory_functions(&side->memory);
    uint32_t list_bytes = (uint32_t)r->settings.head_bytes;
    nghttp2_settings_entry to_guest[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)r->settings.streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, list_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
    nghttp2_settings_entry to_upstream[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                            {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, list_bytes}};
    int error = end == H2_GUEST
                    ? nghttp2_session_server_new3(&side->session, cb, side, option, &mem)
                    : nghttp2_session_client_new3(&side->session, cb, side, option, &mem);
    if (error == 0) {
        error = end == H2_GUEST
                    ? nghttp2_submit_settings(side->session, NGHTTP2_FLAG_NONE, to_guest, 3)
                    : nghttp2_submit_settings(side->session, NGHTTP2_FLAG_NONE, to_upstream, 2);
    }
    if (error == 0) {
        error = nghttp2_session_set_local_window_size(side->session, NGHTTP2_FLAG_NONE, 0,
                                                      H2_WINDOW_CONNECTION);
    }
    return error == 0 ? 0 : -ENOMEM;
}

int h2_sessions_new(struct h2_relay *r)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *option = NULL;
    int error = callbacks_new(&cb);
    if (error == 0) {
        error = option_new(r, &option);
    }
    if (error == 0) {
        error = side_new(r, H2_GUEST, cb, option);
    }
    if (error == 0 && !r->settings.no_upstream) {
        error = side_new(r, H2_UPSTREAM, cb, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    return error;
}
