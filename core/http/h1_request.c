/* Requests: from the head to the verdict. */
#include <errno.h>
#include <string.h>

#include "http/h1_internal.h"

/* What is no request: nobody asks the filter, which is told. */
static void refuse_bytes(struct h1_relay *r, unsigned status, const char *fault)
{
    r->up.in.close = true;
    r->filter->refused(r->user, status, fault);
    h1_refuse(r, status, fault);
}

/* Settles how the body goes on, now that the filter has said whether it wants it. */
static void forward(struct h1_relay *r)
{
    struct h1_side *up = &r->up;
    up->out = up->in;
    up->out.upgrade = up->in.upgrade && r->x.upgrade;
    up->filtered = r->x.filter_request_body && up->in.body != H1_BODY_NONE;
    if (up->filtered && up->in.body == H1_BODY_LENGTH) {
        up->holding = up->in.http10 || up->in.length <= H1_HOLD_MAX;
        up->out.body = up->holding ? H1_BODY_LENGTH : H1_BODY_CHUNKED;
    }
    if (up->in.expect) {
        /* Upstream does not hear of it: servers that answer without having read the body differ in
         * whether it still comes. */
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (h1_failed(r, byte_queue_put(&r->relay.to_guest, go_on, sizeof(go_on) - 1))) {
            return;
        }
    }
    h1_begin_message(r, up);
}

static void judge(struct h1_relay *r)
{
    struct http_answer answer = {0};
    const struct http_text method = r->up.head.method;
    r->x = (struct http_exchange){.id = r->x.id + 1, .upgrade = r->up.in.upgrade};
    r->open = true;
    r->up.left = r->up.in.length;
    r->to_head = strcmp(method.at, "HEAD") == 0;
    enum http_verdict verdict = r->filter->request(r->user, &r->x, &r->up.head, &answer);
    r->up.head.method = method; /* the end of the answer was told by it */
    switch (verdict) {
    case HTTP_PASS:
        if (r->settings.no_upstream) {
            h1_refuse(r, 502, "there is no upstream");
        } else {
            forward(r);
        }
        break;
    case HTTP_ANSWER:
        h1_answer(r, &answer, NULL);
        break;
    case HTTP_RESET:
        h1_finish(r, HTTP_END_RESET, HTTP_END_RESET, NULL);
        break;
    }
}

bool h1_request_step(struct h1_relay *r, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct h1_side *up = &r->up;
    const uint8_t *head;
    size_t head_len;
    const char *fault = "";
    if (len == 0 || r->relay.to_guest.len >= H1_QUEUE_SOFT ||
        r->relay.to_upstream.len >= H1_QUEUE_SOFT) {
        return false;
    }
    int whole = h1_collect(r, up, data, len, ret_used, &head, &head_len);
    if (whole == -EPROTO) {
        refuse_bytes(r, 400, "a line that ends without CR");
    } else if (whole == -E2BIG) {
        refuse_bytes(r, 431, "a head that is too large");
    } else if (whole < 0) {
        (void)h1_failed(r, whole);
    } else if (whole > 0 && head_len == 2 && !up->had_empty_line) {
        up->had_empty_line = true;
        h1_collected(up);
    } else if (whole > 0) {
        unsigned status =
            h1_read_request(&up->head, &up->in, head, head_len, r->settings.scheme, &fault);
        up->had_empty_line = false;
        h1_collected(up);
        if (status != 0) {
            refuse_bytes(r, status, fault);
        } else {
            judge(r);
        }
    }
    return true;
}

void h1_request_write(struct h1_relay *r)
{
    if (!h1_failed(r, h1_write_request(&r->relay.to_upstream, &r->up.head, &r->up.out))) {
        r->sent = true;
        r->down.phase = H1_HEAD;
    }
}

bool h1_request_unhold(struct h1_relay *r)
{
    if (r->up.in.http10) {
        h1_refuse(r, 413, "a body that is too long to be filtered in HTTP/1.0");
        return false;
    }
    r->up.out.body = H1_BODY_CHUNKED;
    return true;
}

void h1_request_whole(struct h1_relay *r)
{
    if (r->guest_gone && r->relay.upstream_end == HTTP_END_NOT) {
        r->relay.upstream_end = HTTP_END_FINISH;
    }
}
