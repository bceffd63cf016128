/* Requests with placeholders, and what a server that shows everything answers. A value appears only
 * where the scope allows it, once for each placeholder; a body becomes the same however it arrives;
 * and the answer shows no value to the guest.
 *
 * The input: how (4 bytes), then the request, in which bytes from 0xf0 on stand for placeholders as
 * encoders write them, and 0xff begins the next field and at last the body. */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "../unit/secrets/naive_readings.h"
#include "../unit/secrets/secrets_fixture.h"
#include "secrets/body.h"
#include "secrets/echo.h"
#include "secrets/encode.h"
#include "secrets/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDER "$HOLDER_of=it"
#define VALUE  "<\"Value\"/&+>"

enum { PARTS = 5, TEXT_MAX = 1 << 16, INPUT_MAX = 2048 };

static void must_hold(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* ---- the request ---- */

static void put_token(struct byte_queue *text, uint8_t token)
{
    const uint8_t *holder = (const uint8_t *)HOLDER;
    size_t len = strlen(HOLDER);
    switch (token) {
    case 0xf0:
    case 0xf1:
    case 0xf2:
    case 0xf3:
        must(encode_put(text, (enum encoding)(token - 0xf0), holder, len));
        break;
    case 0xf4:
        must(base64_put(text, holder, len));
        break;
    case 0xf5:
        must(base64_put(text, (const uint8_t *)"u:" HOLDER, len + 2));
        break;
    case 0xf6:
        must(byte_queue_put(text, holder, len / 2));
        break;
    case 0xf7:
        must(byte_queue_put(text, "Basic ", 6));
        break;
    default:
        must(byte_queue_put(text, &token, 1));
        break;
    }
}

static const uint8_t *bytes_of(const struct byte_queue *queue)
{
    return queue->len == 0 ? (const uint8_t *)"" : byte_queue_bytes(queue);
}

static size_t count(const struct byte_queue *queue, const char *needle)
{
    const uint8_t *at = bytes_of(queue);
    const uint8_t *end = at + queue->len;
    size_t n = 0;
    while ((at = memmem(at, (size_t)(end - at), needle, strlen(needle))) != NULL) {
        at += strlen(needle);
        n++;
    }
    return n;
}

static bool head_has(const struct http_head *head, const char *needle)
{
    bool has = strstr(head->path.at, needle) != NULL;
    for (size_t i = 0; i < head->n_fields; i++) {
        has = has || strstr(head->fields[i].value.at, needle) != NULL ||
              strstr(head->fields[i].name.at, needle) != NULL;
    }
    return has;
}

static void add_any(struct http_head *head, const char *name, const struct byte_queue *value)
{
    /* What no field can hold is left out. */
    (void)http_head_add(head, name, strlen(name), (const char *)bytes_of(value), value->len);
}

/* ---- what must hold ---- */

struct world {
    struct secret_scope scope;
    struct http_head head;
    bool allowed;
    unsigned inject;
};

static void check_head(struct world *w)
{
    struct secret_report report = {0};
    int r = secret_rewrite_request(&w->scope, &w->head, &report);
    if (r == -EPERM) {
        must_hold(!w->allowed);
        secret_report_pass(&report);
        r = secret_rewrite_request(&w->scope, &w->head, &report);
    }
    must_hold(r == 0 || r == -ENOBUFS);
    must_hold(!secret_report_has_violations(&report));
    must_hold(w->allowed || !head_has(&w->head, VALUE));
    must_hold((w->inject & LN_INJECT_HEADERS) != 0 || !head_has(&w->head, VALUE));
    if (r == 0 && w->allowed && (w->inject & LN_INJECT_HEADERS) != 0) {
        for (size_t i = 0; i < w->head.n_fields; i++) {
            must_hold(strncasecmp(w->head.fields[i].value.at, "Basic ", 6) == 0 ||
                      strstr(w->head.fields[i].value.at, HOLDER) == NULL);
        }
    }
    struct http_head answer;
    http_head_init(&answer);
    answer.status = 200;
    for (size_t i = 0; i < w->head.n_fields; i++) {
        must(http_head_add(&answer, "x", 1, w->head.fields[i].value.at,
                           w->head.fields[i].value.len));
    }
    must_hold(secret_echo_head(&w->scope, &answer) == 0 && !head_has(&answer, VALUE));
    http_head_free(&answer);
}

/* Returns whether it went through. */
static bool send_body(struct world *w, const struct byte_queue *body, size_t step,
                      struct byte_queue *out, struct secret_report *report)
{
    struct secret_body *sent;
    int r = secret_body_new(&w->scope, &w->head, &sent);
    must(r);
    for (size_t at = 0; r == 0;) {
        size_t n = body->len - at < step ? body->len - at : step;
        r = secret_body_feed(sent, bytes_of(body) + at, n, at + n == body->len, out, report);
        if (r == -EPERM) {
            must_hold(!w->allowed && count(out, HOLDER) == 0);
            break;
        }
        at += n;
        if (at == body->len) {
            break;
        }
    }
    must_hold(r == 0 || r == -EPERM);
    secret_body_free(sent);
    return r == 0;
}

static bool shows(const struct byte_queue *text, const char *what)
{
    return naive_shows(bytes_of(text), text->len, what);
}

/* `written`: the guest wrote the value itself. */
static void check_echo(struct world *w, const struct byte_queue *shown, bool written, size_t step)
{
    struct byte_queue out = {.cap = TEXT_MAX};
    struct secret_echo *echo;
    struct http_head answer;
    http_head_init(&answer);
    must(secret_echo_new(&w->scope, &answer, &echo));
    for (size_t at = 0; at < shown->len; at += step) {
        size_t n = shown->len - at < step ? shown->len - at : step;
        must(secret_echo_feed(echo, bytes_of(shown) + at, n, at + n == shown->len, &out));
    }
    must_hold(count(&out, VALUE) == 0 && (written || !shows(&out, VALUE)));
    secret_echo_free(echo);
    byte_queue_free(&out);
}

static void check_body(struct world *w, const struct byte_queue *body, bool plain, size_t step)
{
    struct byte_queue whole = {.cap = TEXT_MAX};
    struct byte_queue pieces = {.cap = TEXT_MAX};
    struct secret_report report = {0};
    struct secret_report again = {0};
    bool passed = send_body(w, body, SIZE_MAX, &whole, &report);
    must_hold(send_body(w, body, step, &pieces, &again) == passed);
    must_hold(!passed || (whole.len == pieces.len &&
                          memcmp(bytes_of(&whole), bytes_of(&pieces), whole.len) == 0));
    bool changes = w->allowed && (w->inject & LN_INJECT_BODY) != 0;
    must_hold(changes || count(&whole, VALUE) + count(&pieces, VALUE) == count(body, VALUE) * 2 ||
              !passed);
    if (changes && plain && count(body, VALUE) == 0) {
        must_hold(count(&whole, VALUE) >= count(body, HOLDER));
        must_hold(secret_set_has(&report.used, 0) == (count(body, HOLDER) > 0));
        must_hold(whole.len == body->len + count(body, HOLDER) * strlen(VALUE) -
                                   count(body, HOLDER) * strlen(HOLDER));
    }
    must_hold(w->allowed || !passed || !shows(body, HOLDER));
    check_echo(w, &whole, shows(body, VALUE), step);
    byte_queue_free(&whole);
    byte_queue_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"text/plain", "application/json",
                                        "application/x-www-form-urlencoded", "application/grpc"};
    static const char *const names[] = {"authorization", "cookie", "x", "y"};
    struct byte_queue parts[PARTS] = {{.cap = TEXT_MAX},
                                      {.cap = TEXT_MAX},
                                      {.cap = TEXT_MAX},
                                      {.cap = TEXT_MAX},
                                      {.cap = TEXT_MAX}};
    if (size < 4 || size > INPUT_MAX) {
        return 0;
    }
    size_t part = 0;
    for (size_t i = 4; i < size; i++) {
        if (data[i] == 0xff && part < PARTS - 1) {
            part++;
        } else {
            put_token(&parts[part], data[i]);
        }
    }
    struct world w = {.inject = data[0] & 15u, .allowed = data[1] % 2 != 0};
    ln_secret secret = secret_of("HOLDER", HOLDER, w.inject);
    struct vault *vault = vault_of(&secret, 1);
    give(vault, 0, VALUE);
    const char *host = w.allowed ? "api.example.com" : "other.example";
    w.scope = scope_of(vault, host);
    head_of(&w.head, "POST", host, "/");
    must(byte_queue_put(&parts[0], "", 1));
    char path[1024] = "/";
    snprintf(path, sizeof(path), "/%s", (const char *)bytes_of(&parts[0]));
    (void)http_head_set_path(&w.head, path, strlen(path));
    add_field(&w.head, "content-type", types[data[2] % 4]);
    if (parts[1].len > 0 && count(&parts[1], VALUE) + count(&parts[2], VALUE) == 0) {
        add_any(&w.head, names[0], &parts[1]);
        add_any(&w.head, names[1 + data[1] / 2 % 3], &parts[2]);
    }
    if (strstr(w.head.path.at, VALUE) == NULL && !head_has(&w.head, VALUE)) {
        check_head(&w);
    }
    check_body(&w, &parts[PARTS - 1], data[2] % 4 == 0, data[3] + 1u);
    http_head_free(&w.head);
    secret_scope_end(&w.scope);
    vault_unref(vault);
    for (size_t i = 0; i < PARTS; i++) {
        byte_queue_free(&parts[i]);
    }
    return 0;
}
