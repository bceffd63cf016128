/* First everything is looked at, and nothing changed: where a placeholder is on its way to a wrong
 * host, the request stays as the guest wrote it. Then the texts in which a placeholder of an
 * allowed secret showed are rewritten. */
#include "secrets/rewrite.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/byte_queue.h"
#include "secrets/stream.h"
#include "secrets/vault_use.h"

static bool is_trailer(const struct http_head *head)
{
    return head->method.len == 0;
}

/* ---- looking ---- */

static struct byte_queue text_queue(void)
{
    return (struct byte_queue){.cap = HTTP_HEAD_TEXT_MAX};
}

/* Where the credentials of `Basic` begin in a value (RFC 7617 section 2, RFC 9110 section 11.4); 0:
 * it is none. */
static size_t basic_credentials(const struct http_field *field)
{
    static const char scheme[] = "basic";
    size_t at = sizeof(scheme) - 1;
    if (strcasecmp(field->name.at, "authorization") != 0 || field->value.len <= at ||
        strncasecmp(field->value.at, scheme, at) != 0 || field->value.at[at] != ' ') {
        return 0;
    }
    while (field->value.at[at] == ' ') {
        at++;
    }
    return at;
}

struct look {
    const struct secret_scope *scope;
    struct secret_report *report;
    struct readings *readings;
    bool allowed; /* a placeholder showed that may become its value */
};

static size_t query_of(struct http_text path)
{
    const char *mark = memchr(path.at, '?', path.len);
    return mark == NULL ? path.len : (size_t)(mark - path.at);
}

static void note(struct look *look, enum secret_place place)
{
    const struct readings *r = look->readings;
    for (unsigned i = 0; i < r->n_hits; i++) {
        uint32_t secret = r->automaton->patterns[r->hits[i].pattern].secret;
        if (secret_set_has(&look->scope->allowed, secret)) {
            look->allowed = true;
        } else if (!secret_set_has(&look->report->passed, secret)) {
            secret_set_add(&look->report->violations[place], secret);
        }
    }
}

/* Looks at one text; what begins from `query` on is of the query. Returns whether a placeholder of
 * an allowed secret is in it. */
static bool look_at(struct look *look, struct http_text text, size_t query, enum secret_place place)
{
    struct readings *r = look->readings;
    const uint8_t *bytes = (const uint8_t *)text.at;
    look->allowed = false;
    readings_restart(r, 0);
    while (r->at < text.len) {
        if (readings_skip(r, bytes + r->at, text.len - (size_t)r->at) == 0) {
            readings_step(r, bytes[r->at]);
            /* A placeholder that reaches into the query is in the query. */
            note(look, r->at > query ? SECRET_QUERY : place);
        }
    }
    readings_end(r);
    note(look, r->at > query ? SECRET_QUERY : place);
    return look->allowed;
}

/* ---- rewriting ---- */

struct work {
    struct secret_scope *scope;
    struct secret_report *report;
    unsigned inject;        /* LN_INJECT_*: the place */
    enum encoding encoding; /* of the value */
    uint64_t from;          /* what begins in front of it stays */
};

/* As it is; in a query also percent-encoded. */
static bool is_readable(const struct work *work, const struct pattern *pattern,
                        const struct hit *hit)
{
    bool escaped = work->encoding == ENCODE_PERCENT;
    return hit->start >= work->from && !hit->broken &&
           (hit->kind == READ_RAW || (escaped && hit->kind == READ_PERCENT)) &&
           (pattern->form == PATTERN_PLAIN || (escaped && pattern->form == PATTERN_PLUS));
}

static enum stream_verdict judge(void *user, const struct pattern *pattern, const struct hit *hit)
{
    struct work *work = user;
    uint32_t secret = pattern->secret;
    if (!secret_set_has(&work->scope->allowed, secret) ||
        (vault_inject(work->scope->vault, secret) & work->inject) == 0 ||
        !is_readable(work, pattern, hit)) {
        return STREAM_PASS;
    }
    if (!vault_has_value(work->scope->vault, secret)) {
        secret_set_add(&work->report->missing, secret);
        return STREAM_PASS;
    }
    return STREAM_REPLACE;
}

static int replace(void *user, const struct pattern *pattern, const struct hit *hit,
                   struct byte_queue *out)
{
    struct work *work = user;
    (void)hit;
    int r = vault_put(work->scope->vault, pattern->secret, work->encoding, out);
    if (r == 0) {
        secret_set_add(&work->report->used, pattern->secret);
    }
    return r;
}

/* Appends `text` with values put in. Returns 0, -ENOBUFS or -ENOMEM. */
static int put_in(struct work *work, const void *text, size_t len, struct byte_queue *out)
{
    static const struct stream_ops ops = {.judge = judge, .replace = replace};
    struct stream stream;
    int r = stream_init(&stream, vault_placeholders(work->scope->vault), &ops, work, true);
    r = r < 0 ? r : stream_feed(&stream, text, len, true, out);
    stream_free(&stream);
    return r;
}

static bool is_changed(const struct byte_queue *now, const void *text, size_t len)
{
    return now->len != len || (len > 0 && memcmp(byte_queue_bytes(now), text, len) != 0);
}

static int set_value(struct http_head *head, struct http_field *field,
                     const struct byte_queue *value)
{
    int r = http_head_set_value(head, field, (const char *)byte_queue_bytes(value), value->len);
    field->sensitive = field->sensitive || r == 0;
    return r;
}

static int rewrite_basic(struct work *work, struct http_head *head, struct http_field *field)
{
    size_t at = basic_credentials(field);
    struct byte_queue plain = text_queue();
    struct byte_queue with = text_queue();
    struct byte_queue value = text_queue();
    work->inject = LN_INJECT_BASIC_AUTH;
    int r = base64_decode(&plain, field->value.at + at, field->value.len - at);
    if (r == -EINVAL) {
        r = 0; /* it holds nothing that a server could read */
        goto out;
    }
    r = r < 0 ? r : put_in(work, byte_queue_bytes(&plain), plain.len, &with);
    if (r == 0 && is_changed(&with, byte_queue_bytes(&plain), plain.len)) {
        r = byte_queue_put(&value, field->value.at, at);
        r = r < 0 ? r : base64_put(&value, byte_queue_bytes(&with), with.len);
        r = r < 0 ? r : set_value(head, field, &value);
    }
out:
    byte_queue_free(&plain);
    byte_queue_free(&with);
    byte_queue_free(&value);
    return r;
}

static int rewrite_field(struct work *work, struct http_head *head, struct http_field *field)
{
    if (basic_credentials(field) > 0) {
        return rewrite_basic(work, head, field);
    }
    struct byte_queue value = text_queue();
    work->inject = LN_INJECT_HEADERS;
    int r = put_in(work, field->value.at, field->value.len, &value);
    if (r == 0 && is_changed(&value, field->value.at, field->value.len)) {
        r = set_value(head, field, &value);
    }
    byte_queue_free(&value);
    return r;
}

static int rewrite_query(struct work *work, struct http_head *head)
{
    struct byte_queue path = text_queue();
    work->inject = LN_INJECT_QUERY;
    work->encoding = ENCODE_PERCENT;
    work->from = query_of(head->path);
    int r = put_in(work, head->path.at, head->path.len, &path);
    if (r == 0 && is_changed(&path, head->path.at, head->path.len)) {
        r = http_head_set_path(head, (const char *)byte_queue_bytes(&path), path.len);
    }
    byte_queue_free(&path);
    return r;
}

/* An answer that shows a value is to be read before the guest has it: no coding of the body, of the
 * messages of gRPC and its like, or of those of WebSocket. Whether this request, the body or the
 * trailers of it, or another at the same time gets a value is not known here. */
static int ask_for_identity(struct http_head *head)
{
    static const char name[] = "accept-encoding";
    static const char identity[] = "identity";
    static const char *const others[] = {"grpc-accept-encoding", "connect-accept-encoding",
                                         "sec-websocket-extensions"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        http_head_remove(head, others[i]);
    }
    struct http_field *field = http_head_find(head, name);
    if (field != NULL && http_head_next(head, field, name) == NULL) {
        return http_head_set_value(head, field, identity, sizeof(identity) - 1);
    }
    http_head_remove(head, name);
    return http_head_add(head, name, sizeof(name) - 1, identity, sizeof(identity) - 1);
}

/* ---- a request ---- */

/* Looks at the value of a field, and into Basic credentials. */
static int look_at_value(struct look *look, const struct http_field *field, bool *ret_allowed)
{
    bool allowed = look_at(look, field->value, SIZE_MAX, SECRET_HEADER);
    size_t at = basic_credentials(field);
    int r = 0;
    if (at > 0) {
        struct byte_queue plain = text_queue();
        r = base64_decode(&plain, field->value.at + at, field->value.len - at);
        if (r == 0 && plain.len > 0) {
            struct http_text text = {(const char *)byte_queue_bytes(&plain), plain.len};
            allowed = look_at(look, text, SIZE_MAX, SECRET_HEADER) || allowed;
        }
        byte_queue_free(&plain);
    }
    *ret_allowed = allowed;
    return r == -EINVAL ? 0 : r;
}

/* Looks at all of it. Tells what is to be rewritten: the query, and which of the fields. Returns 0,
 * -ENOBUFS or -ENOMEM. */
static int look_at_head(struct look *look, const struct http_head *head, bool *ret_query,
                        bool ret_fields[HTTP_FIELDS_MAX])
{
    int r = 0;
    (void)look_at(look, head->method, SIZE_MAX, SECRET_HEADER);
    (void)look_at(look, head->authority, SIZE_MAX, SECRET_HEADER);
    *ret_query = look_at(look, head->path, query_of(head->path), SECRET_PATH);
    for (size_t i = 0; i < head->n_fields && r == 0; i++) {
        (void)look_at(look, head->fields[i].name, SIZE_MAX, SECRET_HEADER);
        r = look_at_value(look, &head->fields[i], &ret_fields[i]);
    }
    return r;
}

int secret_rewrite_request(struct secret_scope *scope, struct http_head *head,
                           struct secret_report *report)
{
    struct look look = {.scope = scope, .report = report};
    bool fields[HTTP_FIELDS_MAX] = {false};
    int r = readings_new(vault_placeholders(scope->vault), &look.readings);
    if (r < 0) {
        return -ENOBUFS;
    }
    bool query = false;
    r = look_at_head(&look, head, &query, fields);
    readings_free(look.readings);
    if (r < 0) {
        return -ENOBUFS;
    }
    if (secret_report_has_violations(report)) {
        return -EPERM;
    }
    struct work work = {.scope = scope, .report = report};
    for (size_t i = 0; i < head->n_fields && r == 0; i++) {
        r = fields[i] ? rewrite_field(&work, head, &head->fields[i]) : 0;
    }
    r = r == 0 && query ? rewrite_query(&work, head) : r;
    if (r == 0 && !is_trailer(head) && !secret_set_is_empty(&scope->held)) {
        r = ask_for_identity(head);
    }
    return r < 0 ? -ENOBUFS : 0;
}
