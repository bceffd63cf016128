/* Upstream's side: responses, judged too, and what the guest is told when there is none. */
#include "http/h2_internal.h"

/* The guest gets an answer where it has none yet, else a reset. */
static void fail(struct h2_stream *s, uint32_t code, const char *fault)
{
    s->fault = fault;
    if (s->responded) {
        h2_stream_abort(s, code, fault);
    } else {
        h2_answer_plain(s, 502, fault);
    }
}

/* Upstream's own doing: it is told what was wrong. */
static void reject(struct h2_stream *s, uint32_t code, const char *fault)
{
    h2_stream_reset(s, H2_UPSTREAM, code);
    fail(s, code, fault);
}

static void interim(struct h2_stream *s)
{
    s->interim++;
    if (s->interim > H2_INTERIM_MAX) {
        reject(s, NGHTTP2_ENHANCE_YOUR_CALM, "upstream sent too many interim responses");
    } else if (h2_head_send_interim(s) != 0) {
        reject(s, NGHTTP2_INTERNAL_ERROR, "an interim response could not be sent");
    }
}

static void final(struct h2_stream *s, bool end)
{
    struct h2_way *down = &s->way[HTTP_TO_GUEST];
    bool bodiless = end || s->is_head || s->head.status == 204 || s->head.status == 304;
    down->ended = down->complete = end;
    if (s->x.filter_response_body && !bodiless) {
        down->filtered = true;
        (void)http_head_remove(&s->head, "content-length");
    }
    h2_meter_forgive(&s->relay->side[H2_GUEST].meter, 16);
    if (h2_head_send_response(s, end) != 0) {
        h2_stream_abort(s, NGHTTP2_INTERNAL_ERROR, "the response could not be sent");
    }
}

static void judge(struct h2_stream *s, bool end)
{
    struct h2_relay *r = s->relay;
    struct http_answer answer = {0};
    switch (r->filter->response(r->user, &s->x, &s->head, &answer)) {
    case HTTP_PASS:
        if (s->head.status < 200) {
            interim(s);
        } else {
            final(s, end);
        }
        return;
    case HTTP_ANSWER:
        h2_answer(s, &answer);
        return;
    case HTTP_RESET:
        h2_stream_abort(s, NGHTTP2_CANCEL, "reset by the filter");
        return;
    }
}

void h2_response_head(struct h2_stream *s, bool end)
{
    struct h2_way *down = &s->way[HTTP_TO_GUEST];
    if (down->dropped) {
        return; /* answered already, or given up */
    }
    if (down->too_large) {
        reject(s, NGHTTP2_ENHANCE_YOUR_CALM, "the fields of the response are too large");
    } else if (down->malformed) {
        reject(s, NGHTTP2_PROTOCOL_ERROR, "the response is malformed");
    } else if (s->final) {
        down->has_trailers = true;
        h2_way_end(down);
    } else {
        s->final = s->head.status >= 200;
        judge(s, end);
    }
}

/* It takes no more of the request; the guest is told so behind the response. */
static void response_is_whole(struct h2_stream *s)
{
    struct h2_way *up = &s->way[HTTP_TO_UPSTREAM];
    h2_way_drop(up);
    if (s->delivered && !up->ended) {
        h2_stream_reset(s, H2_GUEST, NGHTTP2_NO_ERROR);
    }
}

void h2_response_closed(struct h2_stream *s, uint32_t code)
{
    h2_stream_closed(s, H2_UPSTREAM);
    if (s->way[HTTP_TO_GUEST].dropped || s->way[HTTP_TO_GUEST].ended) {
        response_is_whole(s);
    } else if (s->unsendable) {
        fail(s, NGHTTP2_INTERNAL_ERROR, "the request could not be sent to upstream");
    } else if (s->reset_came[H2_UPSTREAM] || code == NGHTTP2_REFUSED_STREAM) {
        /* What the guest may do about it, as retrying, hangs on the code. */
        code = code == NGHTTP2_NO_ERROR ? NGHTTP2_INTERNAL_ERROR : code;
        h2_stream_abort(s, code, "reset by upstream");
    } else {
        fail(s, NGHTTP2_PROTOCOL_ERROR, "the response is malformed");
    }
}

void h2_response_lost(struct h2_stream *s, const char *fault)
{
    if (s->waiting) { /* nobody has seen it: the guest may try again */
        h2_stream_abort(s, NGHTTP2_REFUSED_STREAM, fault);
    }
    if (!s->open[H2_UPSTREAM]) {
        return;
    }
    h2_stream_closed(s, H2_UPSTREAM);
    if (s->way[HTTP_TO_GUEST].dropped || s->way[HTTP_TO_GUEST].ended) {
        response_is_whole(s);
    } else {
        fail(s, NGHTTP2_INTERNAL_ERROR, fault);
    }
}
