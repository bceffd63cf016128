/* Responses: from the head to the guest. */
#include <errno.h>
#include <string.h>

#include "http/h1_internal.h"

/* 1xx but 101: passed on to whoever understands it (RFC 9110 section 15.2). Not 100: upstream was
 * not asked for it. */
static void pass_interim(struct h1_relay *r)
{
    static const struct h1_framing none = {.body = H1_BODY_NONE};
    struct h1_side *down = &r->down;
    bool wanted = !r->up.in.http10 && down->head.status != 100;
    if (++r->interim > H1_INTERIM_MAX) {
        h1_abort(r, 502, "upstream sent too many interim answers");
        return;
    }
    if (wanted && h1_failed(r, h1_write_response(&r->relay.to_guest, &down->head, &none))) {
        return;
    }
    h1_clear_message(down);
}

static void switch_protocols(struct h1_relay *r)
{
    if (!r->down.in.upgrade || !r->up.out.upgrade || r->up.phase != H1_WAIT) {
        h1_abort(r, 502, "upstream switched protocols unasked");
        return;
    }
    r->down.out = r->down.in;
    h1_response_write(r);
    if (r->error == 0) {
        r->up.phase = r->down.phase = H1_TUNNEL;
    }
}

/* Settles how the body goes on. */
static void forward(struct h1_relay *r)
{
    struct h1_side *down = &r->down;
    bool old = r->up.in.http10;
    down->out = down->in;
    /* Where the request is not whole, what is left of it is not sent after the response. */
    down->out.close = down->in.close || r->up.in.close || r->guest_gone || r->up.phase != H1_WAIT;
    down->filtered = r->x.filter_response_body && down->in.body != H1_BODY_NONE;
    if (down->in.body == H1_BODY_CHUNKED && old) {
        down->out.body = H1_BODY_CLOSE;
    }
    if (down->filtered && down->in.body == H1_BODY_LENGTH) {
        down->holding = down->in.length <= H1_HOLD_MAX;
        if (!down->holding) {
            h1_response_unhold(r);
        }
    }
    h1_begin_message(r, down);
}

static void judge(struct h1_relay *r)
{
    struct http_answer answer = {0};
    unsigned status = r->down.head.status;
    switch (r->filter->response(r->user, &r->x, &r->down.head, &answer)) {
    case HTTP_PASS:
        break;
    case HTTP_ANSWER:
        h1_answer(r, &answer, NULL);
        return;
    case HTTP_RESET:
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, NULL);
        return;
    }
    r->down.head.status = status; /* the framing was read by it */
    if (status == 101) {
        switch_protocols(r);
    } else if (status < 200) {
        pass_interim(r);
    } else {
        forward(r);
    }
}

bool h1_response_step(struct h1_relay *r, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct h1_side *down = &r->down;
    const uint8_t *head;
    size_t head_len;
    const char *fault = "";
    if (len == 0 || r->relay.to_guest.len >= H1_QUEUE_SOFT) {
        return false;
    }
    int whole = h1_collect(r, down, data, len, ret_used, &head, &head_len);
    if (whole == -EPROTO) {
        h1_abort(r, 502, "a line of upstream's answer ends without CR");
    } else if (whole == -E2BIG) {
        h1_abort(r, 502, "the head of upstream's answer is too large");
    } else if (whole < 0) {
        (void)h1_failed(r, whole);
    } else if (whole > 0) {
        unsigned status =
            h1_read_response(&down->head, &down->in, head, head_len, r->to_head, &fault);
        h1_collected(down);
        if (status != 0) {
            h1_abort(r, status, fault);
        } else {
            judge(r);
        }
    }
    return true;
}

void h1_response_write(struct h1_relay *r)
{
    if (!h1_failed(r, h1_write_response(&r->relay.to_guest, &r->down.head, &r->down.out))) {
        r->answered = true;
        r->status = r->down.head.status;
    }
}

void h1_response_unhold(struct h1_relay *r)
{
    r->down.out.body = r->up.in.http10 ? H1_BODY_CLOSE : H1_BODY_CHUNKED;
}

void h1_response_whole(struct h1_relay *r)
{
    h1_exchange_over(r, r->down.out.close);
}
