/* Streams of the HTTP/2 relay: how they begin and end. */
#include <errno.h>
#include <stdlib.h>

#include "http/h2_internal.h"

struct h2_stream *h2_stream_new(struct h2_relay *r, int32_t guest_id)
{
    struct h2_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->relay = r;
    s->x.id = (uint32_t)guest_id;
    s->id[H2_GUEST] = guest_id;
    s->open[H2_GUEST] = true;
    r->n_open[H2_GUEST]++;
    http_head_init(&s->head);
    h2_way_init(&s->way[HTTP_TO_UPSTREAM], s, H2_GUEST);
    h2_way_init(&s->way[HTTP_TO_GUEST], s, H2_UPSTREAM);
    s->prev = r->last;
    if (r->last != NULL) {
        r->last->next = s;
    } else {
        r->first = s;
    }
    r->last = s;
    r->n_streams++;
    return s;
}

void h2_stream_free(struct h2_stream *s)
{
    struct h2_relay *r = s->relay;
    if (s->judged) {
        r->filter->done(r->user, &s->x, s->status, s->way[HTTP_TO_UPSTREAM].bytes,
                        s->way[HTTP_TO_GUEST].bytes, s->fault);
    }
    *(s->prev != NULL ? &s->prev->next : &r->first) = s->next;
    *(s->next != NULL ? &s->next->prev : &r->last) = s->prev;
    r->n_streams--;
    h2_way_free(&s->way[HTTP_TO_UPSTREAM]);
    h2_way_free(&s->way[HTTP_TO_GUEST]);
    http_head_free(&s->head);
    free(s);
}

void h2_stream_reset(struct h2_stream *s, enum h2_end end, uint32_t code)
{
    if (end == H2_UPSTREAM && s->waiting) {
        s->waiting = false;
        s->relay->n_waiting--;
        s->relay->sweep = true;
    }
    if (s->open[end] && nghttp2_submit_rst_stream(s->relay->side[end].session, NGHTTP2_FLAG_NONE,
                                                  s->id[end], code) != 0) {
        h2_fail(s->relay, -ENOMEM);
    }
}

void h2_stream_abort(struct h2_stream *s, uint32_t code, const char *fault)
{
    s->fault = s->fault == NULL ? fault : s->fault;
    h2_way_drop(&s->way[HTTP_TO_UPSTREAM]);
    h2_way_drop(&s->way[HTTP_TO_GUEST]);
    h2_stream_reset(s, H2_UPSTREAM, code);
    h2_stream_reset(s, H2_GUEST, code);
}

void h2_stream_closed(struct h2_stream *s, enum h2_end end)
{
    if (s->open[end]) {
        s->open[end] = false;
        s->relay->n_open[end]--;
    }
    s->relay->sweep = true;
}

void h2_stream_sent(struct h2_stream *s, enum h2_end end)
{
    struct h2_relay *r = s->relay;
    if (end == H2_UPSTREAM || !s->responded) {
        return;
    }
    s->delivered = true;
    r->resets -= r->resets > 0;
    /* The response is whole and the request is not: the guest may stop (RFC 9113 section 8.1). Some
     * clients take that for a failure when it comes with the response: what is answered here is let
     * come for a while. */
    struct h2_way *up = &s->way[HTTP_TO_UPSTREAM];
    if (!up->ended && up->dropped && s->patience <= 0) {
        h2_stream_reset(s, H2_GUEST, NGHTTP2_NO_ERROR);
    }
}
