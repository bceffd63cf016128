/* The relay as its caller sees it: bytes and ends of both sides, and every way that an exchange or
 * the connection can be over. */
#include "http/h1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1_internal.h"

static const uint8_t no_bytes[1];

static struct h1_relay *of(struct http_relay *relay)
{
    return (struct h1_relay *)relay;
}

static void raise_end(enum http_end *end, enum http_end to)
{
    *end = *end < to ? to : *end;
}

bool h1_failed(struct h1_relay *r, int status)
{
    if (status < 0 && r->error == 0) {
        r->error = -ENOMEM;
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, "out of memory");
    }
    return status < 0;
}

/* Tells the filter, once. */
static void close_exchange(struct h1_relay *r, const char *fault)
{
    if (r->open) {
        r->open = false;
        r->filter->done(r->user, &r->x, r->status, r->up.bytes, r->down.bytes, fault);
    }
    h1_clear_message(&r->up);
    h1_clear_message(&r->down);
    r->sent = r->answered = r->to_head = false;
    r->interim = r->status = 0;
}

void h1_finish(struct h1_relay *r, enum http_end guest, enum http_end upstream, const char *fault)
{
    raise_end(&r->relay.guest_end, guest);
    raise_end(&r->relay.upstream_end, upstream);
    close_exchange(r, fault);
    r->up.phase = r->down.phase = H1_DISCARD;
    byte_queue_free(&r->up.partial);
    byte_queue_free(&r->down.partial);
    if (r->relay.guest_end == HTTP_END_RESET) {
        byte_queue_free(&r->relay.to_guest);
    }
    if (r->relay.upstream_end == HTTP_END_RESET) {
        byte_queue_free(&r->relay.to_upstream);
    }
}

void h1_exchange_over(struct h1_relay *r, bool close)
{
    if (close || r->guest_gone) {
        bool whole = r->up.phase == H1_WAIT;
        h1_finish(r, HTTP_END_FINISH, whole ? HTTP_END_FINISH : HTTP_END_RESET, NULL);
        return;
    }
    close_exchange(r, NULL);
    r->up.phase = H1_HEAD;
    r->down.phase = H1_WAIT;
}

void h1_answer(struct h1_relay *r, const struct http_answer *answer, const char *fault)
{
    struct http_answer a = *answer;
    const struct h1_framing *in = &r->up.in;
    /* A guest that waits for 100 may or may not send its body after this. */
    bool all = in->body == H1_BODY_NONE || r->up.phase == H1_LAST || r->up.phase == H1_WAIT;
    a.close = a.close || in->close || r->sent || r->guest_gone ||
              (!all && (in->expect || in->body != H1_BODY_LENGTH || r->up.left > H1_DRAIN_MAX));
    if (h1_failed(r, h1_write_answer(&r->relay.to_guest, &a, r->to_head))) {
        return;
    }
    r->status = a.status;
    if (a.close) {
        h1_finish(r, HTTP_END_FINISH, r->sent ? HTTP_END_RESET : HTTP_END_FINISH, fault);
        return;
    }
    uint64_t left = all ? 0 : r->up.left;
    close_exchange(r, fault);
    r->up.left = left;
    r->up.phase = left > 0 ? H1_DRAIN : H1_HEAD;
    r->down.phase = H1_WAIT;
}

void h1_refuse(struct h1_relay *r, unsigned status, const char *fault)
{
    char body[256];
    int len = status != 502 ? snprintf(body, sizeof(body),
                                       "lunette: the request was not sent on: %s\n", fault)
                            : snprintf(body, sizeof(body),
                                       "lunette: there is no answer from upstream: %s\n", fault);
    struct http_answer answer = {
        .status = status, .body = body, .body_len = (size_t)len, .close = true};
    h1_answer(r, &answer, fault);
}

void h1_abort(struct h1_relay *r, unsigned status, const char *fault)
{
    if (r->answered) {
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, fault);
    } else {
        h1_refuse(r, status, fault);
    }
}

static int resume(struct http_relay *relay)
{
    struct h1_relay *r = of(relay);
    (void)h1_take(r, &r->up, no_bytes, 0);
    (void)h1_take(r, &r->down, no_bytes, 0);
    return r->error;
}

static ssize_t from_guest(struct http_relay *relay, const uint8_t *data, size_t len)
{
    return h1_take(of(relay), &of(relay)->up, data, len);
}

static ssize_t from_upstream(struct http_relay *relay, const uint8_t *data, size_t len)
{
    struct h1_relay *r = of(relay);
    ssize_t taken = h1_take(r, &r->down, data, len);
    if (taken >= 0 && (size_t)taken < len && r->down.phase == H1_WAIT) {
        raise_end(&relay->upstream_end, HTTP_END_RESET);
        if (r->open) {
            h1_abort(r, 502, "upstream sent an answer before the request");
        } else {
            h1_finish(r, HTTP_END_FINISH, HTTP_END_RESET, NULL);
        }
        taken = (ssize_t)len;
    }
    return taken;
}

static void guest_ended(struct http_relay *relay)
{
    struct h1_relay *r = of(relay);
    r->guest_gone = true;
    switch (r->up.phase) {
    case H1_HEAD:
        if (r->up.partial.len > 0) {
            r->filter->refused(r->user, 0, "the guest ended within a head");
        }
        h1_finish(r, HTTP_END_FINISH, HTTP_END_FINISH, NULL);
        break;
    case H1_DRAIN:
        h1_finish(r, HTTP_END_FINISH, HTTP_END_FINISH, NULL);
        break;
    case H1_BODY:
    case H1_TRAILERS:
        h1_finish(r, HTTP_END_FINISH, HTTP_END_RESET, "the guest ended within a request");
        break;
    case H1_LAST:
        break; /* h1_request_whole() comes to it */
    case H1_WAIT:
        raise_end(&r->relay.upstream_end, HTTP_END_FINISH);
        break;
    case H1_TUNNEL:
        raise_end(&r->relay.upstream_end, HTTP_END_FINISH);
        r->up.phase = H1_DISCARD;
        break;
    case H1_DISCARD:
        break;
    }
}

/* Upstream ended where a response, or more of one, was due. */
static void upstream_ended_early(struct h1_relay *r)
{
    bool reset = r->relay.upstream_end == HTTP_END_RESET;
    bool nothing = r->down.phase == H1_HEAD && r->down.partial.len == 0 && r->interim == 0;
    if (r->down.phase == H1_BODY && r->down.in.body == H1_BODY_CLOSE && !reset) {
        h1_end_body(r, &r->down);
        (void)h1_take(r, &r->down, no_bytes, 0);
    } else if (nothing && r->x.id > 1) {
        /* An idle connection that ends is no answer: clients ask again (RFC 9112 section 9.3.1). */
        h1_finish(r, HTTP_END_FINISH, HTTP_END_RESET, "upstream ended before it answered");
    } else {
        h1_abort(r, 502, "upstream ended before its answer was whole");
    }
}

static void upstream_ended(struct http_relay *relay)
{
    struct h1_relay *r = of(relay);
    bool reset = relay->upstream_end == HTTP_END_RESET;
    switch (r->down.phase) {
    case H1_WAIT:
        if (r->open) {
            h1_abort(r, 502, "upstream ended before the request was sent");
        } else if (!r->settings.no_upstream) {
            h1_finish(r, HTTP_END_FINISH, HTTP_END_FINISH, NULL);
        }
        break;
    case H1_HEAD:
    case H1_BODY:
    case H1_TRAILERS:
        upstream_ended_early(r);
        break;
    case H1_LAST:
        r->down.out.close = true;
        break;
    case H1_TUNNEL:
        h1_finish(r, reset ? HTTP_END_RESET : HTTP_END_FINISH, HTTP_END_FINISH, NULL);
        break;
    case H1_DRAIN:
    case H1_DISCARD:
        break;
    }
}

static void free_relay(struct http_relay *relay)
{
    struct h1_relay *r = of(relay);
    h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, r->open ? "the connection was reset" : NULL);
    byte_queue_free(&r->up.pending);
    byte_queue_free(&r->down.pending);
    free(r);
}

static void init_side(struct h1_relay *r, struct h1_side *side, enum http_way way)
{
    side->way = way;
    side->phase = way == HTTP_TO_UPSTREAM ? H1_HEAD : H1_WAIT;
    side->queue = way == HTTP_TO_UPSTREAM ? &r->relay.to_upstream : &r->relay.to_guest;
    side->partial.cap = r->settings.head_bytes;
    side->pending.cap = H1_PENDING_MAX;
    /* Heads and what was held go in beyond the soft limit, one at a time. */
    side->queue->cap = H1_QUEUE_SOFT + H1_HOLD_MAX + 2 * HTTP_HEAD_TEXT_MAX;
    http_head_init(&side->head);
    http_head_init(&side->trailers);
}

int http1_relay_new(const struct http_relay_settings *settings,
                    const struct http_filter_ops *filter, void *user, struct http_relay **ret)
{
    static const struct http_relay_ops ops = {
        .from_guest = from_guest,
        .from_upstream = from_upstream,
        .guest_ended = guest_ended,
        .upstream_ended = upstream_ended,
        .resume = resume,
        .free = free_relay,
    };
    struct h1_relay *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    r->relay.ops = &ops;
    r->settings = *settings;
    r->filter = filter;
    r->user = user;
    init_side(r, &r->up, HTTP_TO_UPSTREAM);
    init_side(r, &r->down, HTTP_TO_GUEST);
    *ret = &r->relay;
    return 0;
}
