#include "secrets/body.h"

#include <errno.h>
#include <stdlib.h>

#include "secrets/media.h"
#include "secrets/stream.h"
#include "secrets/vault_use.h"

struct secret_body {
    struct stream stream;
    struct secret_scope *scope;
    struct secret_report *report; /* of the call */
    bool changes;                 /* values may be put in */
    enum encoding encoding;       /* of values */
    enum reading_kind escapes;    /* how a placeholder may stand beside as it is */
};

static bool may_change(const struct secret_scope *scope)
{
    for (size_t i = secret_set_next(&scope->allowed, 0); i < VAULT_SECRETS_MAX;
         i = secret_set_next(&scope->allowed, i + 1)) {
        if ((vault_inject(scope->vault, i) & LN_INJECT_BODY) != 0) {
            return true;
        }
    }
    return false;
}

bool secret_body_wanted(const struct secret_scope *scope)
{
    for (size_t i = 0; i < vault_count(scope->vault); i++) {
        if (!secret_set_has(&scope->allowed, i)) {
            return true;
        }
    }
    return may_change(scope);
}

/* What may be put in is read as the body's type says. */
static bool is_readable(const struct secret_body *body, const struct pattern *pattern,
                        const struct hit *hit)
{
    bool form = body->escapes == READ_PERCENT;
    return !hit->broken && (hit->kind == READ_RAW || hit->kind == body->escapes) &&
           (pattern->form == PATTERN_PLAIN || (form && pattern->form == PATTERN_PLUS));
}

static enum stream_verdict judge(void *user, const struct pattern *pattern, const struct hit *hit)
{
    struct secret_body *body = user;
    uint32_t secret = pattern->secret;
    if (!secret_set_has(&body->scope->allowed, secret)) {
        if (secret_set_has(&body->report->passed, secret)) {
            return STREAM_PASS;
        }
        secret_set_add(&body->report->violations[SECRET_BODY], secret);
        return STREAM_STOP;
    }
    if (!body->changes || (vault_inject(body->scope->vault, secret) & LN_INJECT_BODY) == 0 ||
        !is_readable(body, pattern, hit)) {
        return STREAM_PASS;
    }
    if (!vault_has_value(body->scope->vault, secret)) {
        secret_set_add(&body->report->missing, secret);
        return STREAM_PASS;
    }
    return STREAM_REPLACE;
}

static int replace(void *user, const struct pattern *pattern, const struct hit *hit,
                   struct byte_queue *out)
{
    struct secret_body *body = user;
    (void)hit;
    int r = vault_put(body->scope->vault, pattern->secret, body->encoding, out);
    if (r == 0) {
        secret_set_add(&body->report->used, pattern->secret);
    }
    return r;
}

int secret_body_new(struct secret_scope *scope, const struct http_head *head,
                    struct secret_body **ret)
{
    static const struct stream_ops ops = {.judge = judge, .replace = replace};
    struct secret_body *body = calloc(1, sizeof(*body));
    if (body == NULL) {
        return -ENOMEM;
    }
    body->scope = scope;
    body->changes = !media_is_encoded(head) && !media_is_grpc(head) && may_change(scope);
    if (media_is_json(head)) {
        body->encoding = ENCODE_JSON;
        body->escapes = READ_JSON;
    } else if (media_is_form(head)) {
        body->encoding = ENCODE_PERCENT;
        body->escapes = READ_PERCENT;
    }
    int r = stream_init(&body->stream, vault_placeholders(scope->vault), &ops, body, body->changes);
    if (r < 0) {
        free(body);
        return r;
    }
    *ret = body;
    return 0;
}

struct secret_body *secret_body_free(struct secret_body *body)
{
    if (body != NULL) {
        stream_free(&body->stream);
        free(body);
    }
    return NULL;
}

int secret_body_feed(struct secret_body *body, const uint8_t *data, size_t len, bool end,
                     struct byte_queue *out, struct secret_report *report)
{
    body->report = report;
    return stream_feed(&body->stream, data, len, end, out);
}

size_t secret_body_held(const struct secret_body *body)
{
    return body->stream.held.len;
}
