/* Reading: one copy of the head is made, which the texts of the neutral form point into; it is cut
 * into lines and those into names and values in place. What two servers may read differently is
 * refused, not repaired (RFC 9112 sections 5.1, 5.2, 6.3 and 11.2). */
#include "http/h1_head.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http/h1_fields.h"

enum {
    LENGTH_DIGITS_MAX = 18, /* decimal: below INT64_MAX */
    NOMINATED_MAX = 64      /* names in Connection fields */
};

/* A head that is being read. */
struct reading {
    struct http_head *head;
    struct h1_framing *framing;
    bool request;
    const char *fault; /* set with the first refusal */
    unsigned status;   /* to refuse with; 0 as long as all is well */
    char *at, *end;    /* what was not read yet */
    struct http_text host, target_authority;
    bool have_host, have_coding, have_upgrade, have_expect;
    bool wants_upgrade; /* Connection has "upgrade" */
    bool websocket;     /* Upgrade has "websocket" */
    struct http_text nominated[NOMINATED_MAX];
    size_t n_nominated;
};

struct line {
    char *at;
    size_t len;
};

ssize_t h1_scan(struct h1_scan *scan, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        const uint8_t *lf = memchr(data + at, '\n', len - at);
        if (lf == NULL) {
            scan->line += len - at;
            scan->cr = data[len - 1] == '\r';
            return 0;
        }
        size_t n = (size_t)(lf - data) - at;
        bool cr = n > 0 ? lf[-1] == '\r' : scan->cr;
        if (!cr) {
            return -EPROTO;
        }
        bool empty = scan->line + n == 1;
        *scan = (struct h1_scan){0};
        at += n + 1;
        if (empty) {
            return (ssize_t)at;
        }
    }
    return 0;
}

static void refuse(struct reading *r, unsigned status, const char *fault)
{
    if (r->status == 0) {
        r->status = status;
        r->fault = fault;
    }
}

static struct http_text text_of_line(struct line line)
{
    return (struct http_text){line.at, line.len};
}

static bool is_word(struct http_text t, const char *word)
{
    return http_same_name(t.at, t.len, word, strlen(word));
}

/* The next line without CR LF; h1_scan() saw to it that each has both. */
static struct line next_line(struct reading *r)
{
    char *lf = memchr(r->at, '\n', (size_t)(r->end - r->at));
    struct line line = {r->at, lf == NULL ? (size_t)(r->end - r->at) : (size_t)(lf - r->at)};
    r->at = lf == NULL ? r->end : lf + 1;
    line.len -= line.len > 0 && lf != NULL;
    return line;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct line trim(struct line line)
{
    while (line.len > 0 && is_blank(line.at[0])) {
        line.at++;
        line.len--;
    }
    while (line.len > 0 && is_blank(line.at[line.len - 1])) {
        line.len--;
    }
    return line;
}

/* Cuts the next member off a comma-separated list (RFC 9110 section 5.6.1); empty ones are skipped.
 * Returns false at the end. */
static bool next_member(struct line *list, struct line *ret)
{
    while (list->len > 0) {
        char *comma = memchr(list->at, ',', list->len);
        size_t len = comma == NULL ? list->len : (size_t)(comma - list->at);
        struct line member = trim((struct line){list->at, len});
        size_t skip = comma == NULL ? len : len + 1;
        list->at += skip;
        list->len -= skip;
        if (member.len > 0) {
            *ret = member;
            return true;
        }
    }
    return false;
}

/* ---- single fields ---- */

static void read_length(struct reading *r, struct http_text value)
{
    struct h1_framing *f = r->framing;
    bool right =
        value.len > 0 && value.len <= LENGTH_DIGITS_MAX && (value.at[0] != '0' || value.len == 1);
    uint64_t n = 0;
    for (size_t i = 0; i < value.len && right; i++) {
        right = value.at[i] >= '0' && value.at[i] <= '9';
        n = n * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (f->has_length) {
        refuse(r, 400, "more than one Content-Length field");
    } else if (!right) {
        refuse(r, 400, "a Content-Length that is no plain number");
    }
    f->has_length = true;
    f->length = n;
}

static void read_connection(struct reading *r, struct line list)
{
    struct line member;
    while (next_member(&list, &member)) {
        struct http_text name = text_of_line(member);
        if (!http_is_token(name.at, name.len)) {
            refuse(r, 400, "a Connection option that is no token");
            return;
        }
        if (is_word(name, "close")) {
            r->framing->close = true;
            continue;
        }
        if (is_word(name, "upgrade")) {
            r->wants_upgrade = true;
            continue;
        }
        enum h1_field kind = h1_field_kind(name.at, name.len);
        if (kind != H1_ORDINARY && kind != H1_HOP) {
            refuse(r, 400, "a Connection option that names a field of the framing");
        } else if (r->n_nominated == NOMINATED_MAX) {
            refuse(r, 400, "too many Connection options");
        } else if (kind == H1_ORDINARY) {
            r->nominated[r->n_nominated++] = name;
        }
    }
}

static void read_upgrade(struct reading *r, struct line list)
{
    struct line member;
    if (r->have_upgrade) {
        refuse(r, 400, "more than one Upgrade field");
    }
    r->have_upgrade = true;
    while (next_member(&list, &member)) {
        r->websocket = r->websocket || is_word(text_of_line(member), "websocket");
    }
}

static void read_host(struct reading *r, struct http_text value)
{
    struct http_host host;
    if (r->have_host) {
        refuse(r, 400, "more than one Host field");
    } else if (http_authority_parse(value.at, value.len, &host) < 0) {
        refuse(r, 400, "a Host that is no host");
    }
    r->have_host = true;
    r->host = value;
}

static void read_coding(struct reading *r, struct http_text value)
{
    if (r->have_coding) {
        refuse(r, 400, "more than one Transfer-Encoding field");
    } else if (!is_word(value, "chunked")) {
        refuse(r, 400, "a Transfer-Encoding other than chunked");
    } else if (r->framing->http10) {
        refuse(r, 400, "a Transfer-Encoding in HTTP/1.0");
    }
    r->have_coding = true;
}

static void read_expect(struct reading *r, struct http_text value)
{
    if (r->have_expect || !is_word(value, "100-continue")) {
        refuse(r, 417, "an Expect other than 100-continue");
    }
    r->have_expect = true;
}

static void keep(struct reading *r, struct http_text name, struct http_text value)
{
    if (http_head_add_borrowed(r->head, name, value) < 0) {
        refuse(r, 431, "too many fields");
    }
}

static void take_field(struct reading *r, struct http_text name, struct line value_line)
{
    struct http_text value = text_of_line(value_line);
    switch (h1_field_kind(name.at, name.len)) {
    case H1_ORDINARY:
        keep(r, name, value);
        break;
    case H1_CONTENT_LENGTH:
        read_length(r, value);
        keep(r, name, value);
        break;
    case H1_HOST:
        if (r->request) {
            read_host(r, value);
        }
        break;
    case H1_TRANSFER_ENCODING:
        read_coding(r, value);
        break;
    case H1_CONNECTION:
        read_connection(r, value_line);
        break;
    case H1_UPGRADE:
        read_upgrade(r, value_line);
        break;
    case H1_EXPECT:
        read_expect(r, value);
        break;
    case H1_LOOKALIKE:
        refuse(r, 400, "a field that looks like one of the framing");
        break;
    case H1_HOP:
        break;
    }
}

typedef void take_field_fn(struct reading *r, struct http_text name, struct line value);

/* The lines up to the empty one. */
static void read_fields(struct reading *r, take_field_fn *take)
{
    for (struct line line = next_line(r); line.len > 0 && r->status == 0; line = next_line(r)) {
        char *colon = memchr(line.at, ':', line.len);
        struct http_text name = {line.at, colon == NULL ? 0 : (size_t)(colon - line.at)};
        if (is_blank(line.at[0])) {
            refuse(r, 400, "a folded line");
        } else if (colon == NULL || !http_is_token(name.at, name.len)) {
            refuse(r, 400, "a field name that is no token");
        } else {
            struct line value = trim((struct line){colon + 1, line.len - name.len - 1});
            *colon = '\0';
            if (http_value_valid(value.at, value.len)) {
                value.at[value.len] = '\0';
                take(r, name, value);
            } else {
                refuse(r, 400, "a field value with a control character");
            }
        }
    }
}

/* Fields that belong to this connection alone, as its peer says (RFC 9110 section 7.6.1). */
static void remove_nominated(struct reading *r)
{
    for (size_t i = 0; i < r->n_nominated; i++) {
        ((char *)r->nominated[i].at)[r->nominated[i].len] = '\0';
        http_head_remove(r->head, r->nominated[i].at);
    }
}

static bool begin(struct reading *r, const uint8_t *data, size_t len)
{
    *r->framing = (struct h1_framing){.body = H1_BODY_NONE};
    char *copy = arena_strndup(&r->head->text, (const char *)data, len);
    if (copy == NULL) {
        refuse(r, 431, "a head that is too large");
        return false;
    }
    r->at = copy;
    r->end = copy + len;
    return true;
}

/* ---- requests ---- */

/* What stands in front of the next space, with which it is cut off. */
static struct line cut_word(struct line *line)
{
    char *space = memchr(line->at, ' ', line->len);
    struct line word = {line->at, space == NULL ? line->len : (size_t)(space - line->at)};
    size_t skip = space == NULL ? line->len : word.len + 1;
    if (space != NULL) {
        *space = '\0';
    }
    line->at += skip;
    line->len -= skip;
    return word;
}

/* A target in absolute form, of which the scheme is the connection's: path and authority. */
static void read_absolute(struct reading *r, struct line target, const char *scheme)
{
    size_t n = strlen(scheme);
    if (target.len < n + 3 || strncasecmp(target.at, scheme, n) != 0 ||
        memcmp(target.at + n, "://", 3) != 0) {
        refuse(r, 400, "a request target of no form");
        return;
    }
    struct line rest = {target.at + n + 3, target.len - n - 3};
    size_t len = 0;
    while (len < rest.len && rest.at[len] != '/' && rest.at[len] != '?') {
        len++;
    }
    char *authority = arena_strndup(&r->head->text, rest.at, len);
    bool slash = len < rest.len && rest.at[len] == '/';
    bool server = len == rest.len && is_word(r->head->method, "OPTIONS");
    char *path = slash ? rest.at + len
                       : arena_printf(&r->head->text, "%s%s", server ? "*" : "/", rest.at + len);
    if (authority == NULL || path == NULL) {
        refuse(r, 431, "a head that is too large");
        return;
    }
    r->target_authority = (struct http_text){authority, len};
    r->head->path = (struct http_text){path, rest.len - len + !slash};
}

static void read_target(struct reading *r, struct line target, const char *scheme)
{
    struct http_head *head = r->head;
    if (memchr(target.at, '\0', target.len) != NULL) {
        refuse(r, 400, "a NUL");
        return;
    }
    if (target.len > 0 && target.at[0] != '/' && !(target.len == 1 && target.at[0] == '*')) {
        read_absolute(r, target, scheme);
    } else {
        head->path = text_of_line(target);
    }
    if (r->status == 0 && !http_path_valid(head->path.at, head->path.len)) {
        refuse(r, 400, "a request target with a byte that no target has");
    }
    if (head->path.len == 1 && head->path.at[0] == '*' && !is_word(head->method, "OPTIONS")) {
        refuse(r, 400, "a request target of OPTIONS alone");
    }
}

/* HTTP/1.0 or HTTP/1.1, as it is written. */
static bool read_version(struct reading *r, struct line version)
{
    if (version.len != 8 || memcmp(version.at, "HTTP/1.", 7) != 0 ||
        (version.at[7] != '0' && version.at[7] != '1')) {
        return false;
    }
    r->framing->http10 = version.at[7] == '0';
    return true;
}

static bool is_other_version(struct line version)
{
    return version.len == 8 && memcmp(version.at, "HTTP/", 5) == 0 && version.at[6] == '.' &&
           version.at[5] >= '0' && version.at[5] <= '9' && version.at[7] >= '0' &&
           version.at[7] <= '9';
}

static void read_request_line(struct reading *r, const char *scheme)
{
    struct line line = next_line(r);
    struct line method = cut_word(&line);
    struct line target = cut_word(&line);
    r->head->method = text_of_line(method);
    r->head->scheme = (struct http_text){scheme, strlen(scheme)};
    if (!http_method_valid(method.at, method.len)) {
        refuse(r, 400, "a method that is none");
    } else if (!read_version(r, line)) {
        refuse(r, is_other_version(line) ? 505 : 400, "a version other than HTTP/1.0 and HTTP/1.1");
    } else if (is_word(r->head->method, "CONNECT")) {
        refuse(r, 405, "CONNECT");
    } else if (is_word(r->head->method, "PRI")) {
        refuse(r, 505, "the preface of HTTP/2");
    } else {
        line.at[line.len] = '\0';
        read_target(r, target, scheme);
    }
}

/* Which of Host and the target says where it goes: both the same (RFC 9112 section 3.2). */
static void settle_authority(struct reading *r, const char *scheme)
{
    struct http_text target = r->target_authority;
    struct http_host by_target, by_host;
    uint16_t usual = strcmp(scheme, "https") == 0 ? 443 : 80;
    if (!r->have_host && !r->framing->http10) {
        refuse(r, 400, "no Host field");
    }
    if (r->status != 0) {
        return;
    }
    if (target.at == NULL) {
        r->head->authority = r->have_host ? r->host : r->head->authority;
        return;
    }
    if (http_authority_parse(target.at, target.len, &by_target) < 0) {
        refuse(r, 400, "a request target whose authority is no host");
        return;
    }
    r->head->authority = target;
    if (r->have_host && http_authority_parse(r->host.at, r->host.len, &by_host) == 0) {
        by_target.port = by_target.port == 0 ? usual : by_target.port;
        by_host.port = by_host.port == 0 ? usual : by_host.port;
        bool same = by_target.is_address == by_host.is_address && by_target.port == by_host.port &&
                    strcmp(by_target.name, by_host.name) == 0 &&
                    (!by_target.is_address || ln_addr_equal(&by_target.address, &by_host.address));
        if (!same) {
            refuse(r, 400, "a Host that is not the target's");
        }
    }
}

/* RFC 9112 section 6.3, with everything refused that it calls ambiguous. */
static void settle_body(struct reading *r)
{
    struct h1_framing *f = r->framing;
    if (f->has_length && r->have_coding) {
        refuse(r, 400, "both Content-Length and Transfer-Encoding");
    }
    if (r->have_coding) {
        f->body = H1_BODY_CHUNKED;
    } else if (f->has_length && f->length > 0) {
        f->body = H1_BODY_LENGTH;
    }
}

/* Methods whose body some servers do not read (RFC 9110 sections 9.3.1 and 9.3.2): to them it would
 * be the next request. They are told that there is none. */
static bool leaves_body_unread(const struct http_text *method)
{
    return is_word(*method, "GET") || is_word(*method, "HEAD") || is_word(*method, "OPTIONS") ||
           is_word(*method, "TRACE");
}

unsigned h1_read_request(struct http_head *head, struct h1_framing *framing, const uint8_t *data,
                         size_t len, const char *scheme, const char **ret_fault)
{
    struct reading r = {.head = head, .framing = framing, .request = true};
    if (begin(&r, data, len)) {
        read_request_line(&r, scheme);
        read_fields(&r, take_field);
        settle_authority(&r, scheme);
        settle_body(&r);
        remove_nominated(&r);
        bool body = framing->body != H1_BODY_NONE;
        framing->expect = r.have_expect && body && !framing->http10;
        framing->upgrade = r.wants_upgrade && r.websocket && !body && !framing->http10 &&
                           is_word(head->method, "GET");
        framing->close =
            framing->close || framing->http10 || (body && leaves_body_unread(&head->method));
    }
    if (r.status != 0) {
        *ret_fault = r.fault;
    }
    return r.status;
}

/* ---- responses ---- */

static void read_status_line(struct reading *r)
{
    struct line line = next_line(r);
    struct line version = cut_word(&line);
    struct line status = cut_word(&line);
    struct line reason = trim(line);
    bool right =
        read_version(r, version) && status.len == 3 && http_value_valid(reason.at, reason.len);
    unsigned n = 0;
    for (size_t i = 0; i < status.len && right; i++) {
        right = status.at[i] >= '0' && status.at[i] <= '9';
        n = n * 10 + (unsigned)(status.at[i] - '0');
    }
    if (!right || n < 100) {
        refuse(r, 502, "a status line that is none");
    }
    r->head->status = n;
}

static void settle_response_body(struct reading *r, bool to_head)
{
    struct h1_framing *f = r->framing;
    unsigned status = r->head->status;
    if (status < 200 || status == 204) {
        if (r->have_coding || (f->has_length && (f->length > 0 || status < 200))) {
            refuse(r, 502, "a length where there is no body");
        }
        http_head_remove(r->head, "content-length");
        f->has_length = false;
        return;
    }
    settle_body(r);
    if (to_head || status == 304) {
        f->body = H1_BODY_NONE;
    } else if (f->body == H1_BODY_NONE && !f->has_length) {
        f->body = H1_BODY_CLOSE;
    }
}

unsigned h1_read_response(struct http_head *head, struct h1_framing *framing, const uint8_t *data,
                          size_t len, bool to_head, const char **ret_fault)
{
    struct reading r = {.head = head, .framing = framing};
    if (begin(&r, data, len)) {
        read_status_line(&r);
        read_fields(&r, take_field);
        settle_response_body(&r, to_head);
        remove_nominated(&r);
        framing->upgrade = head->status == 101 && r.wants_upgrade && r.websocket;
        framing->close = framing->close || framing->http10 || framing->body == H1_BODY_CLOSE;
    }
    if (r.status != 0) {
        *ret_fault = r.fault;
        return 502;
    }
    return 0;
}

/* ---- trailers ---- */

static void take_trailer(struct reading *r, struct http_text name, struct line value)
{
    if (h1_field_may_trail(name.at, name.len)) {
        keep(r, name, text_of_line(value));
    }
}

unsigned h1_read_trailers(struct http_head *head, const uint8_t *data, size_t len,
                          const char **ret_fault)
{
    struct h1_framing framing;
    struct reading r = {.head = head, .framing = &framing};
    if (begin(&r, data, len)) {
        read_fields(&r, take_trailer);
    }
    if (r.status != 0) {
        *ret_fault = r.fault;
        return 400;
    }
    return 0;
}
