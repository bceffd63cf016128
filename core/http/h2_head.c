/* Field lists: from nghttp2 into heads, and back. */
#include <stdio.h>
#include <string.h>

#include "http/h2_internal.h"

enum {
    FIELD_OVERHEAD = 32, /* of each field in the size of a list (RFC 9113 section 6.5.2) */
    TIMES_OVER = 4,      /* a list that is so many times over the limit is an attack */
    PSEUDO_MAX = 4
};

static bool is(const char *text, size_t len, const char *what)
{
    return len == strlen(what) && memcmp(text, what, len) == 0;
}

/* Host says the same as :authority, or takes its place (RFC 9113 section 8.3.1). */
static int host_field(struct http_head *head, const char *value, size_t len)
{
    if (head->authority.len == 0) {
        return http_head_set_authority(head, value, len);
    }
    return http_same_name(head->authority.at, head->authority.len, value, len) ? 0 : -1;
}

static int status_field(struct http_head *head, const char *value, size_t len)
{
    unsigned status = 0;
    for (size_t i = 0; i < len; i++) {
        status = value[i] < '0' || value[i] > '9' ? 1000 : status * 10 + (unsigned)(value[i] - '0');
    }
    if (len != 3 || status < 100 || status > 599) {
        return -1;
    }
    head->status = status;
    return 0;
}

/* nghttp2 saw to it that pseudo-fields stand in front, once, and fit a request or a response. */
static int pseudo_field(const struct h2_relay *r, struct http_head *head, const char *name,
                        size_t name_len, const char *value, size_t len)
{
    if (is(name, name_len, ":method")) {
        return http_head_set_method(head, value, len);
    }
    if (is(name, name_len, ":authority")) {
        return http_head_set_authority(head, value, len);
    }
    if (is(name, name_len, ":path")) {
        return http_head_set_path(head, value, len);
    }
    if (is(name, name_len, ":scheme")) {
        return is(value, len, r->settings.scheme) ? http_head_set_scheme(head, value, len) : -1;
    }
    return is(name, name_len, ":status") ? status_field(head, value, len) : -1;
}

bool h2_head_field(struct h2_way *way, struct http_head *head, const char *name, size_t name_len,
                   const char *value, size_t value_len, bool sensitive)
{
    struct h2_relay *r = way->stream->relay;
    bool request = way->from == H2_GUEST && head == &way->stream->head;
    way->list_bytes += name_len + value_len + FIELD_OVERHEAD;
    way->too_large = way->too_large || way->list_bytes > r->settings.head_bytes ||
                     head->n_fields == HTTP_FIELDS_MAX;
    bool kept = !way->dropped && !way->too_large && !way->malformed;
    if (!kept) {
        return way->list_bytes / TIMES_OVER <= r->settings.head_bytes;
    }
    int error;
    if (name_len > 0 && name[0] == ':') {
        error = pseudo_field(r, head, name, name_len, value, value_len);
    } else if (request && is(name, name_len, "host")) {
        error = host_field(head, value, value_len);
    } else {
        error = http_head_add(head, name, name_len, value, value_len);
        if (error == 0) {
            head->fields[head->n_fields - 1].sensitive = sensitive;
        }
    }
    way->malformed = error != 0;
    return true;
}

static void put(nghttp2_nv *nv, const char *name, size_t name_len, const char *value,
                size_t value_len, bool sensitive)
{
    /* nghttp2 copies both, names in lower case, and writes to neither. */
    *nv = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                       .value = (uint8_t *)(uintptr_t)value,
                       .namelen = name_len,
                       .valuelen = value_len,
                       .flags = sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

static void put_text(nghttp2_nv *nv, const char *name, const struct http_text *value,
                     bool sensitive)
{
    put(nv, name, strlen(name), value->at, value->len, sensitive);
}

static size_t put_fields(nghttp2_nv *nv, const struct http_head *head)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct http_field *f = &head->fields[i];
        put(&nv[i], f->name.at, f->name.len, f->value.at, f->value.len, f->sensitive);
    }
    return head->n_fields;
}

int h2_head_send_request(struct h2_stream *s)
{
    nghttp2_nv nv[HTTP_FIELDS_MAX + PSEUDO_MAX];
    struct h2_way *up = &s->way[HTTP_TO_UPSTREAM];
    put_text(&nv[0], ":method", &s->head.method, false);
    put_text(&nv[1], ":scheme", &s->head.scheme, false);
    put_text(&nv[2], ":authority", &s->head.authority, false);
    put_text(&nv[3], ":path", &s->head.path, true); /* a filter may have put a secret in */
    size_t n = PSEUDO_MAX + put_fields(nv + PSEUDO_MAX, &s->head);
    bool bare = up->complete && up->queue.len == 0 && !up->has_trailers;
    nghttp2_data_provider body = h2_way_provider(up);
    int32_t id = nghttp2_submit_request(s->relay->side[H2_UPSTREAM].session, NULL, nv, n,
                                        bare ? NULL : &body, s);
    if (id < 0) {
        return id;
    }
    s->id[H2_UPSTREAM] = id;
    s->open[H2_UPSTREAM] = true;
    s->relay->n_open[H2_UPSTREAM]++;
    http_head_free(&s->head);
    return 0;
}

/* `text` holds the status. */
static size_t put_response(nghttp2_nv *nv, const struct http_head *head, char text[4])
{
    (void)snprintf(text, 4, "%03u", head->status % 1000);
    put(&nv[0], ":status", 7, text, 3, false);
    return 1 + put_fields(nv + 1, head);
}

int h2_head_send_interim(struct h2_stream *s)
{
    nghttp2_nv nv[HTTP_FIELDS_MAX + PSEUDO_MAX];
    char text[4];
    size_t n = put_response(nv, &s->head, text);
    int32_t error = nghttp2_submit_headers(s->relay->side[H2_GUEST].session, NGHTTP2_FLAG_NONE,
                                           s->id[H2_GUEST], NULL, nv, n, NULL);
    http_head_free(&s->head);
    return error;
}

int h2_head_send_response(struct h2_stream *s, bool end)
{
    nghttp2_nv nv[HTTP_FIELDS_MAX + PSEUDO_MAX];
    char text[4];
    size_t n = put_response(nv, &s->head, text);
    nghttp2_data_provider body = h2_way_provider(&s->way[HTTP_TO_GUEST]);
    int error = nghttp2_submit_response(s->relay->side[H2_GUEST].session, s->id[H2_GUEST], nv, n,
                                        end ? NULL : &body);
    s->responded = true;
    s->status = s->head.status;
    http_head_free(&s->head);
    return error;
}

int h2_head_send_trailers(struct h2_way *way)
{
    nghttp2_nv nv[HTTP_FIELDS_MAX];
    size_t n = put_fields(nv, &way->trailers);
    int error =
        nghttp2_submit_trailer(h2_side_to(way)->session, way->stream->id[!way->from], nv, n);
    http_head_free(&way->trailers);
    way->has_trailers = false;
    return error;
}

static int answer_head(struct http_head *head, const struct http_answer *answer, size_t len)
{
    const char *type =
        answer->content_type != NULL ? answer->content_type : "text/plain; charset=utf-8";
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%zu", len);
    head->status = answer->status;
    int error = http_head_add(head, "content-type", 12, type, strlen(type));
    return error != 0 ? error : http_head_add(head, "content-length", 14, digits, (size_t)n);
}

void h2_answer(struct h2_stream *s, const struct http_answer *answer)
{
    struct h2_way *down = &s->way[HTTP_TO_GUEST];
    if (s->responded) {
        h2_stream_abort(s, NGHTTP2_INTERNAL_ERROR, "answered in the middle of a response");
        return;
    }
    s->patience = H2_PATIENCE;
    h2_way_drop(&s->way[HTTP_TO_UPSTREAM]);
    h2_way_drop(down);
    h2_stream_reset(s, H2_UPSTREAM, NGHTTP2_CANCEL);
    if (answer->close) {
        h2_drain(s->relay, NGHTTP2_NO_ERROR);
    }
    if (!s->open[H2_GUEST]) {
        return;
    }
    size_t len = answer->body_len < HTTP_ANSWER_BODY_MAX ? answer->body_len : HTTP_ANSWER_BODY_MAX;
    http_head_free(&s->head);
    down->filtered = true; /* these bytes are no part of upstream's window */
    if (answer_head(&s->head, answer, len) != 0 ||
        (!s->is_head && byte_queue_put(&down->queue, answer->body, len) != 0) ||
        h2_head_send_response(s, s->is_head || len == 0) != 0) {
        h2_stream_reset(s, H2_GUEST, NGHTTP2_INTERNAL_ERROR);
    }
}

void h2_answer_plain(struct h2_stream *s, unsigned status, const char *text)
{
    h2_answer(s, &(struct http_answer){.status = status, .body = text, .body_len = strlen(text)});
}
