#include "secrets/echo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/media.h"
#include "secrets/stream.h"
#include "secrets/vault_use.h"

enum {
    PREFIX_LEN = 5, /* of a gRPC message: a flag and its length */
    STARTS_MAX =
        8 /* bytes of a value at the end of what a tunnel brings; others end so by chance */
};

struct secret_hider {
    struct vault *vault;
    bool grpc;
    bool watching; /* nothing can be put in */
};

struct secret_echo {
    struct stream stream;
    struct secret_hider hider;
    uint32_t message; /* bytes of the message that are to come */
    uint8_t prefix[PREFIX_LEN];
    uint8_t n_prefix;
};

bool secret_echo_wanted(const struct secret_scope *scope)
{
    return !secret_set_is_empty(&scope->held);
}

/* ---- putting placeholders in ---- */

static enum stream_verdict judge(void *user, const struct pattern *pattern, const struct hit *hit)
{
    const struct secret_hider *hider = user;
    (void)pattern;
    (void)hit;
    return hider->watching ? STREAM_STOP : STREAM_REPLACE;
}

/* Inside base64, stars stand for the value: a text of another length would move all that follows.
 */
static int put_stars(const struct pattern *pattern, struct byte_queue *out)
{
    static const uint8_t stars[] = {'K', 'i', 'o', 'q'}; /* "***" */
    size_t first = (pattern->shift * 8u + 5) / 6;
    int r = 0;
    for (size_t i = 0; i < pattern->len && r == 0; i++) {
        r = byte_queue_put(out, &stars[(first + i) % 4], 1);
    }
    return r;
}

static int replace(void *user, const struct pattern *pattern, const struct hit *hit,
                   struct byte_queue *out)
{
    static const enum encoding encodings[] = {
        [READ_RAW] = ENCODE_PLAIN,
        [READ_PERCENT] = ENCODE_PERCENT,
        [READ_PERCENT_TWICE] = ENCODE_PERCENT_TWICE,
        [READ_JSON] = ENCODE_JSON,
    };
    const struct secret_hider *hider = user;
    if (pattern->form == PATTERN_BASE64) {
        return put_stars(pattern, out);
    }
    const char *placeholder = vault_placeholder(hider->vault, pattern->secret);
    size_t len = strlen(placeholder);
    if (!hider->grpc) {
        return encode_put(out, encodings[hit->kind], (const uint8_t *)placeholder, len);
    }
    size_t room = (size_t)(hit->end - hit->start); /* messages tell the lengths of what they hold */
    int r = byte_queue_put(out, placeholder, len < room ? len : room);
    for (size_t i = len; i < room && r == 0; i++) {
        r = byte_queue_put(out, "*", 1);
    }
    return r;
}

static const struct stream_ops ops = {.judge = judge, .replace = replace};

/* ---- heads ---- */

static int hide(struct stream *stream, struct http_text text, struct byte_queue *out)
{
    byte_queue_drop(out, out->len);
    return stream_feed(stream, (const uint8_t *)text.at, text.len, true, out);
}

static bool is_same(const struct byte_queue *now, struct http_text text)
{
    return now->len == text.len &&
           (text.len == 0 || memcmp(byte_queue_bytes(now), text.at, text.len) == 0);
}

int secret_echo_head(const struct secret_scope *scope, struct http_head *head)
{
    struct automaton *values;
    struct stream stream;
    struct byte_queue text = {.cap = HTTP_HEAD_TEXT_MAX};
    if (vault_values(scope->vault, &values) < 0) {
        return -ENOBUFS;
    }
    struct secret_hider hider = {.vault = scope->vault};
    int r = stream_init(&stream, values, &ops, &hider, true);
    for (size_t i = 0; i < head->n_fields && r == 0; i++) {
        struct http_field *field = &head->fields[i];
        r = hide(&stream, field->name, &text);
        if (r == 0 && !is_same(&text, field->name)) {
            r = -EPERM;
        }
        r = r < 0 ? r : hide(&stream, field->value, &text);
        if (r == 0 && !is_same(&text, field->value)) {
            r = http_head_set_value(head, field, (const char *)byte_queue_bytes(&text), text.len);
        }
    }
    stream_free(&stream);
    byte_queue_free(&text);
    return r == 0 || r == -EPERM ? r : -ENOBUFS;
}

/* ---- bodies ---- */

int secret_echo_new(const struct secret_scope *scope, const struct http_head *head,
                    struct secret_echo **ret)
{
    struct automaton *values;
    int r = vault_values(scope->vault, &values);
    struct secret_echo *echo = r < 0 ? NULL : calloc(1, sizeof(*echo));
    if (echo == NULL) {
        return -ENOMEM;
    }
    echo->hider = (struct secret_hider){.vault = scope->vault,
                                        .grpc = head != NULL && media_is_grpc(head),
                                        .watching = head == NULL};
    r = stream_init(&echo->stream, values, &ops, &echo->hider, true);
    if (r < 0) {
        free(echo);
        return r;
    }
    vault_ref(echo->hider.vault);
    *ret = echo;
    return 0;
}

struct secret_echo *secret_echo_free(struct secret_echo *echo)
{
    if (echo != NULL) {
        stream_free(&echo->stream);
        vault_unref(echo->hider.vault);
        free(echo);
    }
    return NULL;
}

/* How many of the bytes belong to the message that they begin in or continue; *ret_ends: it ends
 * behind them. */
static size_t message_part(struct secret_echo *echo, const uint8_t *data, size_t len,
                           bool *ret_ends)
{
    size_t n = 0;
    while (n < len && echo->n_prefix < PREFIX_LEN) {
        echo->prefix[echo->n_prefix++] = data[n++];
        if (echo->n_prefix == PREFIX_LEN) {
            echo->message = (uint32_t)echo->prefix[1] << 24 | (uint32_t)echo->prefix[2] << 16 |
                            (uint32_t)echo->prefix[3] << 8 | echo->prefix[4];
        }
    }
    size_t rest = echo->n_prefix < PREFIX_LEN ? 0 : echo->message;
    rest = rest < len - n ? rest : len - n;
    echo->message -= (uint32_t)rest;
    *ret_ends = echo->n_prefix == PREFIX_LEN && echo->message == 0;
    if (*ret_ends) {
        echo->n_prefix = 0;
    }
    return n + rest;
}

int secret_echo_feed(struct secret_echo *echo, const uint8_t *data, size_t len, bool end,
                     struct byte_queue *out)
{
    int r = 0;
    while (echo->hider.grpc && len > 0 && r == 0) {
        bool ends;
        size_t n = message_part(echo, data, len, &ends);
        r = stream_feed(&echo->stream, data, n, ends, out);
        data += n;
        len -= n;
    }
    return r < 0 || (echo->hider.grpc && !end) ? r
                                               : stream_feed(&echo->stream, data, len, end, out);
}

int secret_echo_watch(struct secret_echo *echo, const uint8_t *data, size_t len)
{
    int r = stream_feed(&echo->stream, data, len, false, NULL);
    uint64_t begun = echo->stream.arrived - echo->stream.done;
    return r == 0 && begun >= STARTS_MAX ? -EPERM : r;
}
