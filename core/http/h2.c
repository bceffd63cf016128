/* The HTTP/2 relay as its caller sees it: bytes in, what they set in motion, bytes out. */
#include "http/h2.h"

#include <errno.h>
#include <stdlib.h>

#include "http/h2_internal.h"

enum { PIECE = 16 << 10 }; /* bytes that are read before what they led to is written */

static struct h2_relay *of(struct http_relay *base)
{
    return (struct h2_relay *)base; /* a relay begins with it */
}

void h2_fail(struct h2_relay *r, int error)
{
    r->error = error;
}

void h2_drain(struct h2_relay *r, uint32_t code)
{
    struct h2_side *guest = &r->side[H2_GUEST];
    if (r->draining || guest->over) {
        return;
    }
    r->draining = true;
    guest->goaway = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(guest->session);
    if (nghttp2_submit_goaway(guest->session, NGHTTP2_FLAG_NONE, last, code, NULL, 0) != 0) {
        h2_fail(r, -ENOMEM);
    }
}

/* --- the end of a side --- */

/* Nothing is read or written there any more. */
static void side_ends(struct h2_side *side, const char *fault)
{
    struct h2_relay *r = side->relay;
    if (side->over) {
        return;
    }
    side->over = true;
    side->ended = true;
    for (struct h2_stream *s = r->first; s != NULL; s = s->next) {
        if (side->end == H2_UPSTREAM) {
            h2_response_lost(s, fault);
        } else if (s->open[H2_GUEST]) {
            h2_request_closed(s, NGHTTP2_CANCEL);
        }
    }
    if (side->end == H2_UPSTREAM) {
        h2_drain(r, NGHTTP2_NO_ERROR);
    }
}

/* The peer is told why, and no more is read of it. */
static void give_up(struct h2_side *side)
{
    struct h2_relay *r = side->relay;
    if (side->end == H2_GUEST) {
        r->filter->refused(r->user, 0, side->fault);
    }
    side->ended = true;
    if (nghttp2_session_terminate_session(side->session, NGHTTP2_ENHANCE_YOUR_CALM) != 0) {
        h2_fail(r, -ENOMEM);
    }
}

/* --- writing --- */

static void write_side(struct h2_side *side)
{
    while (!side->over && side->out->len < H2_QUEUE_FULL && side->relay->error == 0) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(side->session, &data);
        if (n < 0 || (n > 0 && byte_queue_put(side->out, data, (size_t)n) != 0)) {
            h2_fail(side->relay, -ENOMEM);
        }
        if (n <= 0) {
            return;
        }
    }
}

static bool wants(const struct h2_side *side)
{
    return nghttp2_session_want_read(side->session) != 0 ||
           nghttp2_session_want_write(side->session) != 0;
}

static void filter_all(struct h2_relay *r)
{
    r->due = false;
    for (struct h2_stream *s = r->first; s != NULL; s = s->next) {
        for (int i = 0; i < 2; i++) {
            if (s->way[i].filtered) {
                h2_way_filter(&s->way[i]);
            }
        }
    }
}

static void sweep(struct h2_relay *r)
{
    r->sweep = false;
    for (struct h2_stream *s = r->first, *next; s != NULL; s = next) {
        next = s->next;
        if (!s->open[H2_GUEST] && !s->open[H2_UPSTREAM] && !s->waiting) {
            h2_stream_free(s);
        }
    }
}

/* Whether the guest has nothing more to expect. */
static bool guest_is_done(const struct h2_relay *r)
{
    const struct h2_side *guest = &r->side[H2_GUEST];
    return guest->over || ((r->draining || guest->ended) && r->n_open[H2_GUEST] == 0);
}

/* Upstream is told that nothing follows. Returns whether there is something to write. */
static bool leave_upstream(struct h2_relay *r)
{
    struct h2_side *up = &r->side[H2_UPSTREAM];
    if (up->over || up->goaway || r->n_streams > 0 || !guest_is_done(r)) {
        return false;
    }
    up->goaway = true;
    if (nghttp2_submit_goaway(up->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0) != 0) {
        h2_fail(r, -ENOMEM);
    }
    return true;
}

static void say_ends(struct h2_relay *r)
{
    const struct h2_side *guest = &r->side[H2_GUEST], *up = &r->side[H2_UPSTREAM];
    if (guest_is_done(r) && r->base.guest_end == HTTP_END_NOT &&
        (guest->over || nghttp2_session_want_write(guest->session) == 0)) {
        r->base.guest_end = HTTP_END_FINISH;
    }
    if (r->base.upstream_end == HTTP_END_NOT && !r->settings.no_upstream &&
        (up->over ||
         (up->goaway && r->n_streams == 0 && nghttp2_session_want_write(up->session) == 0))) {
        r->base.upstream_end = HTTP_END_FINISH;
    }
}

/* Sides whose session has nothing to expect are over. Returns whether there is something to write
 * because of that. */
static bool end_sides(struct h2_relay *r)
{
    struct h2_side *guest = &r->side[H2_GUEST], *up = &r->side[H2_UPSTREAM];
    bool ended = false;
    if (!up->over && !wants(up)) {
        side_ends(up, "upstream broke the protocol, or left");
        ended = true;
    }
    if (!guest->over && !wants(guest)) {
        side_ends(guest, NULL);
        ended = true;
    }
    return ended;
}

/* Everything that can go on goes on, as far as the queues have room. */
static int pump(struct h2_relay *r)
{
    struct h2_side *guest = &r->side[H2_GUEST], *up = &r->side[H2_UPSTREAM];
    bool again;
    do {
        size_t before = guest->out->len + up->out->len;
        if (r->due) {
            filter_all(r);
        }
        if (!up->over) {
            h2_requests_start(r);
        }
        write_side(up);
        write_side(guest);
        again = end_sides(r);
        if (r->sweep) {
            sweep(r);
        }
        again = leave_upstream(r) || again || r->due || guest->out->len + up->out->len != before;
    } while (r->error == 0 && again);
    say_ends(r);
    return r->error;
}

/* --- reading --- */

/* More of it would only make what cannot be sent grow. */
static bool is_blocked(const struct h2_relay *r)
{
    for (int i = 0; i < 2; i++) {
        const struct h2_side *side = &r->side[i];
        if (!side->over && side->out->len >= H2_QUEUE_FULL && side->memory.used > H2_UNSENT_MAX) {
            return true;
        }
    }
    return false;
}

static const char *fault_of(ssize_t error)
{
    return error == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "no preface of HTTP/2" : "a flood of frames";
}

static void read_piece(struct h2_side *side, const uint8_t *data, size_t len)
{
    while (len > 0 && side->relay->error == 0 && side->fault == NULL) {
        const uint8_t *span;
        size_t span_len;
        size_t n = h2_meter_take(&side->meter, data, len, &span, &span_len);
        ssize_t error = span_len == 0 ? 0 : nghttp2_session_mem_recv(side->session, span, span_len);
        if (error == NGHTTP2_ERR_NOMEM) {
            h2_fail(side->relay, -ENOMEM);
        } else if (error < 0 && side->fault == NULL) {
            side->fault = fault_of(error);
        }
        side->fault = side->fault == NULL ? side->meter.fault : side->fault;
        data += n;
        len -= n;
    }
    if (side->relay->error == 0 && side->fault != NULL) {
        give_up(side);
    }
}

static ssize_t from_side(struct h2_side *side, const uint8_t *data, size_t len)
{
    struct h2_relay *r = side->relay;
    size_t taken = 0;
    while (r->error == 0 && taken < len && !side->ended) {
        if (is_blocked(r)) {
            return (ssize_t)taken;
        }
        size_t n = len - taken < PIECE ? len - taken : PIECE;
        read_piece(side, data + taken, n);
        taken += n;
        (void)pump(r);
    }
    return r->error != 0 ? r->error : (ssize_t)len; /* what comes behind the end is dropped */
}

static ssize_t from_guest(struct http_relay *base, const uint8_t *data, size_t len)
{
    return from_side(&of(base)->side[H2_GUEST], data, len);
}

static ssize_t from_upstream(struct http_relay *base, const uint8_t *data, size_t len)
{
    return from_side(&of(base)->side[H2_UPSTREAM], data, len);
}

static void guest_ended(struct http_relay *base)
{
    struct h2_relay *r = of(base);
    r->side[H2_GUEST].ended = true;
    for (struct h2_stream *s = r->first; s != NULL; s = s->next) {
        if (!s->way[HTTP_TO_UPSTREAM].ended) {
            h2_stream_abort(s, NGHTTP2_CANCEL, "the guest ended the connection");
        }
    }
    (void)pump(r);
}

static void upstream_ended(struct http_relay *base)
{
    struct h2_relay *r = of(base);
    side_ends(&r->side[H2_UPSTREAM], "upstream closed the connection");
    (void)pump(r);
}

static int resume(struct http_relay *base)
{
    return pump(of(base));
}

static void relay_free(struct http_relay *base)
{
    struct h2_relay *r = of(base);
    while (r->first != NULL) {
        h2_stream_free(r->first);
    }
    for (int i = 0; i < 2; i++) {
        h2_memory_free(&r->side[i].memory);
        byte_queue_free(r->side[i].out);
    }
    free(r);
}

static const struct http_relay_ops relay_ops = {.from_guest = from_guest,
                                                .from_upstream = from_upstream,
                                                .guest_ended = guest_ended,
                                                .upstream_ended = upstream_ended,
                                                .resume = resume,
                                                .free = relay_free};

int http2_relay_new(const struct http_relay_settings *settings,
                    const struct http_filter_ops *filter, void *user, struct http_relay **ret)
{
    struct h2_relay *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    r->base = (struct http_relay){
        .ops = &relay_ops, .to_guest.cap = H2_QUEUE_CAP, .to_upstream.cap = H2_QUEUE_CAP};
    r->settings = *settings;
    r->filter = filter;
    r->user = user;
    for (int i = 0; i < 2; i++) {
        r->side[i] = (struct h2_side){.relay = r, .end = (enum h2_end)i, .spare = H2_WINDOW_SPARE};
    }
    r->side[H2_GUEST].out = &r->base.to_guest;
    r->side[H2_UPSTREAM].out = &r->base.to_upstream;
    r->side[H2_UPSTREAM].over = settings->no_upstream;
    h2_meter_init(&r->side[H2_GUEST].meter, H2_PREFACE);
    h2_meter_init(&r->side[H2_UPSTREAM].meter, 0);
    int error = h2_sessions_new(r);
    if (error == 0) {
        error = pump(r);
    }
    if (error != 0) {
        relay_free(&r->base);
        return error;
    }
    *ret = &r->base;
    return 0;
}
