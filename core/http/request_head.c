/* A view of the first request head of a stream. Lines end with LF, CR LF counted as one; everything
 * that would let two readers disagree about the host is refused. Lines are read as they become
 * whole; what was read of them is in the view. */
#include "http/request_head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "http/syntax.h"

struct text {
    const char *at;
    size_t len;
};

typedef bool space_fn(uint8_t c);

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* What one server or another takes for white space in a request line (RFC 9112 section 3 allows
 * some; Python's str.split() has all of these, of Latin-1). */
static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f) || c == 0x85 ||
           c == 0xa0;
}

static struct text trim_by(struct text t, space_fn *is)
{
    while (t.len > 0 && is((uint8_t)t.at[0])) {
        t.at++;
        t.len--;
    }
    while (t.len > 0 && is((uint8_t)t.at[t.len - 1])) {
        t.len--;
    }
    return t;
}

static struct text trim(struct text t)
{
    return trim_by(t, is_blank);
}

/* The length of the method that the text starts with, which ends at white space or with the text; 0
 * when there is none. */
static size_t method_length(struct text t, space_fn *is)
{
    size_t i = 0;
    while (i < t.len && http_is_token_char((uint8_t)t.at[i])) {
        i++;
    }
    return i < t.len && !is((uint8_t)t.at[i]) ? 0 : i;
}

/* The host of an authority: user information and odd ports are refused. Returns false when it is
 * bad; an empty result means that no name is shown. */
static bool authority_host(struct text authority, char name[256])
{
    name[0] = '\0';
    if (authority.len == 0) {
        return true;
    }
    struct text host, port;
    ln_addr addr;
    if (http_authority_split(authority.at, authority.len, &host.at, &host.len, &port.at,
                             &port.len) < 0) {
        return false;
    }
    if (ln_addr_parse(host.at, host.len, &addr) == 0) {
        return true;
    }
    if (authority.at[0] == '[' || host.len > 255) {
        return false;
    }
    memcpy(name, host.at, host.len);
    name[host.len] = '\0';
    return true;
}

/* Splits the request line at white space. Returns false when it is none of HTTP/1. */
static bool split_request_line(struct text line, space_fn *is, struct text *method,
                               struct text *target)
{
    *method = (struct text){line.at, method_length(line, is)};
    if (method->len == 0) {
        return false;
    }
    struct text tail = trim_by((struct text){line.at + method->len, line.len - method->len}, is);
    size_t at = tail.len;
    while (at > 0 && !is((uint8_t)tail.at[at - 1])) {
        at--;
    }
    struct text version = {tail.at + at, tail.len - at};
    if (version.len < 6 || strncasecmp(version.at, "HTTP/", 5) != 0) {
        return false;
    }
    *target = trim_by((struct text){tail.at, at}, is);
    return true;
}

/* The authority of a target in absolute form or of CONNECT; empty for the usual origin form. */
static struct text target_authority(struct text method, struct text target)
{
    if (method.len == 7 && strncasecmp(method.at, "CONNECT", 7) == 0) {
        return target;
    }
    for (size_t i = 0; i + 2 < target.len; i++) {
        if (target.at[i] == '/' || target.at[i] == '?') {
            break;
        }
        if (memcmp(target.at + i, "://", 3) == 0) {
            struct text a = {target.at + i + 3, target.len - i - 3};
            size_t len = 0;
            while (len < a.len && strchr("/?#\\", a.at[len]) == NULL) {
                len++;
            }
            a.len = len;
            return a;
        }
    }
    return (struct text){target.at, 0};
}

static enum request_head read_request_line(struct request_head_view *v, struct text line)
{
    struct text method, target;
    if (!split_request_line(line, is_blank, &method, &target)) {
        bool somewhere = split_request_line(trim_by(line, is_space), is_space, &method, &target);
        return somewhere ? REQUEST_HEAD_BAD : REQUEST_HEAD_NOT_HTTP;
    }
    for (size_t i = 0; i < line.len; i++) {
        if ((uint8_t)line.at[i] < ' ' && line.at[i] != '\t') {
            return REQUEST_HEAD_BAD;
        }
    }
    struct text authority = target_authority(method, target);
    v->in_fields = true;
    v->by_target = authority.len > 0;
    return authority_host(authority, v->name) ? REQUEST_HEAD_PARTIAL : REQUEST_HEAD_BAD;
}

/* One line of fields. Folding, spaces before the colon and names that are no token are read
 * differently by different servers. */
static enum request_head read_field(struct request_head_view *v, struct text line)
{
    const char *colon = memchr(line.at, ':', line.len);
    size_t key = colon == NULL ? 0 : (size_t)(colon - line.at);
    for (size_t i = 0; i < key; i++) {
        key = http_is_token_char((uint8_t)line.at[i]) ? key : 0;
    }
    if (key == 0) {
        return REQUEST_HEAD_BAD;
    }
    if (key != 4 || strncasecmp(line.at, "host", 4) != 0) {
        return REQUEST_HEAD_PARTIAL;
    }
    char host[256];
    if (v->have_host || !authority_host(trim((struct text){colon + 1, line.len - key - 1}), host) ||
        (v->by_target && strcasecmp(v->name, host) != 0)) {
        return REQUEST_HEAD_BAD;
    }
    v->have_host = true;
    memcpy(v->name, host, sizeof(host));
    return REQUEST_HEAD_PARTIAL;
}

static enum request_head read_line(struct request_head_view *v, struct text line)
{
    if (!v->in_fields) {
        return read_request_line(v, line);
    }
    if (line.len == 0) {
        return v->name[0] != '\0' ? REQUEST_HEAD_NAMED : REQUEST_HEAD_UNNAMED;
    }
    return read_field(v, line);
}

/* Looks on to the end of the line. Returns whether it is there, or sets *ret_bad at a NUL or a CR
 * that is not part of CR LF, which are read differently by different servers. */
static bool find_line_end(struct request_head_view *v, const uint8_t *data, size_t len,
                          bool *ret_bad)
{
    *ret_bad = false;
    for (; v->seen < len; v->seen++) {
        uint8_t c = data[v->seen];
        bool after_cr = v->seen > v->line && data[v->seen - 1] == '\r';
        if (c == '\n') {
            return true;
        }
        if (c == '\0' || after_cr) {
            *ret_bad = true;
            return false;
        }
    }
    return false;
}

/* Looks on in a first line without an end yet: white space, a method, white space again. Returns
 * whether that is what stands there. */
static bool may_be_request(struct request_head_view *v, const uint8_t *data)
{
    for (; v->method < v->seen && !v->behind_method; v->method++) {
        uint8_t c = data[v->method];
        if (http_is_token_char(c)) {
            v->in_method = true;
        } else if (!is_space(c)) {
            return false;
        } else {
            v->behind_method = v->in_method;
        }
    }
    return true;
}

/* Of a line that has no end yet, or `bad` none at all. Other protocols have a NUL early; nothing
 * that serves HTTP takes one there. */
static enum request_head what_is_there(struct request_head_view *v, const uint8_t *data, bool bad)
{
    if (!v->in_fields && !may_be_request(v, data)) {
        return REQUEST_HEAD_NOT_HTTP;
    }
    if (!bad) {
        return REQUEST_HEAD_PARTIAL;
    }
    bool early_nul = !v->in_fields && v->seen - v->line < 64 && data[v->seen] == '\0';
    return early_nul ? REQUEST_HEAD_NOT_HTTP : REQUEST_HEAD_BAD;
}

enum request_head request_head_look(struct request_head_view *v, const uint8_t *data, size_t len)
{
    enum request_head found = REQUEST_HEAD_PARTIAL;
    /* Servers skip empty lines before a request (RFC 9112 section 2.2). */
    while (v->seen < len && v->seen == v->line && !v->in_fields &&
           (data[v->seen] == '\r' || data[v->seen] == '\n')) {
        v->line = v->method = ++v->seen;
    }
    while (found == REQUEST_HEAD_PARTIAL) {
        bool bad;
        const char *at = (const char *)data + v->line;
        bool whole = find_line_end(v, data, len, &bad);
        if (!whole) {
            return what_is_there(v, data, bad);
        }
        size_t line_len = v->seen - v->line;
        line_len -= line_len > 0 && at[line_len - 1] == '\r';
        v->line = ++v->seen;
        found = read_line(v, (struct text){at, line_len});
    }
    return found;
}
