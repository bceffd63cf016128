/* The guest's side: requests are read whole, judged one by one, and sent as upstream takes them. */
#include <errno.h>
#include <string.h>

#include "http/h2_internal.h"

int h2_request_begins(struct h2_relay *r, const nghttp2_frame *frame)
{
    struct h2_side *guest = &r->side[H2_GUEST];
    int32_t id = frame->hd.stream_id;
    if (guest->fault != NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    /* Streams whose guest gave up are there until upstream was told, and count too. */
    if (r->draining || r->n_streams >= 2 * r->settings.streams) {
        if (nghttp2_submit_rst_stream(guest->session, NGHTTP2_FLAG_NONE, id,
                                      NGHTTP2_REFUSED_STREAM) != 0) {
            h2_fail(r, -ENOMEM);
        }
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    struct h2_stream *s = h2_stream_new(r, id);
    if (s == NULL) {
        h2_fail(r, -ENOMEM);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    /* All streams get their turn: priorities are the guest's word, and upstream's business. */
    static const nghttp2_extpri in_turn = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    if (nghttp2_session_set_stream_user_data(guest->session, id, s) != 0 ||
        nghttp2_session_change_extpri_stream_priority(guest->session, id, &in_turn, 1) != 0) {
        h2_fail(r, -ENOMEM);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* Not for the filter: it could not tell what is asked of whom. */
static void refuse(struct h2_stream *s, unsigned status, const char *text)
{
    struct h2_relay *r = s->relay;
    s->fault = text;
    r->filter->refused(r->user, status, text);
    h2_answer_plain(s, status, text);
}

static bool is_method(const struct http_head *head, const char *method)
{
    return head->method.len == strlen(method) &&
           memcmp(head->method.at, method, head->method.len) == 0;
}

static void passed(struct h2_stream *s)
{
    struct h2_relay *r = s->relay;
    struct h2_way *up = &s->way[HTTP_TO_UPSTREAM];
    if (r->side[H2_UPSTREAM].over) {
        s->fault = "there is no connection to upstream";
        h2_answer_plain(s, 502, s->fault);
        return;
    }
    if (s->x.filter_request_body && !up->ended) {
        up->filtered = true;
        (void)http_head_remove(&s->head, "content-length");
    }
    s->waiting = true;
    r->n_waiting++;
}

static void judge(struct h2_stream *s)
{
    struct h2_relay *r = s->relay;
    struct http_answer answer = {0};
    s->judged = true;
    switch (r->filter->request(r->user, &s->x, &s->head, &answer)) {
    case HTTP_PASS:
        passed(s);
        return;
    case HTTP_ANSWER:
        h2_answer(s, &answer);
        return;
    case HTTP_RESET:
        h2_stream_abort(s, NGHTTP2_CANCEL, "reset by the filter");
        return;
    }
}

static void trailers(struct h2_stream *s)
{
    struct h2_way *up = &s->way[HTTP_TO_UPSTREAM];
    if (up->too_large || up->malformed) {
        h2_stream_abort(s, NGHTTP2_PROTOCOL_ERROR, "malformed trailers of the request");
        return;
    }
    up->has_trailers = true;
    h2_way_end(up);
}

void h2_request_head(struct h2_stream *s, bool end)
{
    struct h2_way *up = &s->way[HTTP_TO_UPSTREAM];
    if (s->read) {
        trailers(s);
        return;
    }
    s->read = true;
    up->ended = up->complete = end;
    s->is_head = is_method(&s->head, "HEAD");
    if (up->too_large) {
        refuse(s, 431, "the fields of the request are too large");
    } else if (is_method(&s->head, "CONNECT")) {
        refuse(s, 405, "CONNECT is not relayed");
    } else if (up->malformed || s->head.authority.len == 0) {
        refuse(s, 400, "the request is malformed");
    } else {
        judge(s);
    }
}

void h2_requests_start(struct h2_relay *r)
{
    struct h2_side *up = &r->side[H2_UPSTREAM];
    struct h2_stream *s = r->first;
    while (r->n_waiting > 0 && s != NULL && up->out->len < H2_QUEUE_FULL &&
           r->n_open[H2_UPSTREAM] < nghttp2_session_get_remote_settings(
                                        up->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)) {
        if (s->waiting) {
            s->waiting = false;
            r->n_waiting--;
            int error = h2_head_send_request(s);
            if (error == NGHTTP2_ERR_NOMEM) {
                h2_fail(r, -ENOMEM);
                return;
            }
            if (error != 0) { /* no more streams on this connection: the guest makes another */
                h2_stream_abort(s, NGHTTP2_REFUSED_STREAM, "upstream takes no more requests");
                h2_drain(r, NGHTTP2_NO_ERROR);
            }
        }
        s = s->next;
    }
}

void h2_request_closed(struct h2_stream *s, uint32_t code)
{
    struct h2_relay *r = s->relay;
    h2_stream_closed(s, H2_GUEST);
    h2_way_drop(&s->way[HTTP_TO_GUEST]);
    if (!s->read && !r->side[H2_GUEST].ended) {
        r->filter->refused(r->user, 0, "the request is malformed");
    }
    if (s->delivered && s->way[HTTP_TO_UPSTREAM].ended) {
        return; /* the rest of the request still goes up */
    }
    if (code != NGHTTP2_NO_ERROR && s->fault == NULL) {
        s->fault = s->reset_came[H2_GUEST] ? "given up by the guest" : "the request is malformed";
    }
    if (!s->responded && !s->reset_came[H2_UPSTREAM]) {
        r->resets++;
        if (r->resets > H2_RESETS_MAX) {
            r->side[H2_GUEST].fault = "a flood of requests given up";
        }
    }
    h2_way_drop(&s->way[HTTP_TO_UPSTREAM]);
    h2_stream_reset(s, H2_UPSTREAM, s->reset_came[H2_GUEST] ? code : NGHTTP2_CANCEL);
}
