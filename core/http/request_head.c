/* A view of the first request head of a stream. Lines end with LF, CR LF counted as one; everything
 * that would let two readers disagree about the host is refused. */
#include "http/request_head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "lunette/address.h"

struct text {
    const char *at;
    size_t len;
};

/* RFC 9110 section 5.6.2. */
static bool is_token_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct text trim(struct text t)
{
    while (t.len > 0 && is_blank(t.at[0])) {
        t.at++;
        t.len--;
    }
    while (t.len > 0 && is_blank(t.at[t.len - 1])) {
        t.len--;
    }
    return t;
}

enum line { LINE_WHOLE, LINE_PARTIAL, LINE_BAD };

/* The next line without its end. A CR that is not part of CR LF, and NUL, are read differently by
 * different servers. */
static enum line next_line(struct text *rest, struct text *ret)
{
    const char *lf = memchr(rest->at, '\n', rest->len);
    size_t len = lf != NULL ? (size_t)(lf - rest->at) : rest->len;
    const char *cr = memchr(rest->at, '\r', len);
    if (memchr(rest->at, '\0', len) != NULL || (cr != NULL && cr != rest->at + len - 1)) {
        return LINE_BAD;
    }
    if (lf == NULL) {
        return LINE_PARTIAL;
    }
    *ret = (struct text){rest->at, cr != NULL ? len - 1 : len};
    rest->at += len + 1;
    rest->len -= len + 1;
    return LINE_WHOLE;
}

/* Whether the bytes so far can still become "METHOD SP target SP HTTP/version". */
static bool may_be_request(struct text t)
{
    size_t i = 0;
    while (i < t.len && is_token_char((uint8_t)t.at[i])) {
        i++;
    }
    if (i == t.len) {
        return i <= 32;
    }
    if (i == 0 || i > 32 || t.at[i] != ' ') {
        return false;
    }
    for (; i < t.len; i++) {
        uint8_t c = (uint8_t)t.at[i];
        if (c < ' ' && c != '\t' && c != '\r') {
            return false;
        }
    }
    return true;
}

/* The host of an authority: user information and odd ports are refused. Returns false when it is
 * bad; an empty result means that no name is shown. */
static bool authority_host(struct text authority, char name[256])
{
    name[0] = '\0';
    if (authority.len == 0) {
        return true;
    }
    if (memchr(authority.at, '@', authority.len) != NULL) {
        return false;
    }
    struct text host = authority;
    struct text port = {NULL, 0};
    if (authority.at[0] == '[') {
        const char *close = memchr(authority.at, ']', authority.len);
        if (close == NULL) {
            return false;
        }
        host = (struct text){authority.at + 1, (size_t)(close - authority.at - 1)};
        port = (struct text){close + 1, authority.len - host.len - 2};
        ln_addr addr;
        if (ln_addr_parse(host.at, host.len, &addr) != 0) {
            return false;
        }
    } else {
        const char *colon = memchr(authority.at, ':', authority.len);
        if (colon != NULL) {
            host.len = (size_t)(colon - authority.at);
            port = (struct text){colon, authority.len - host.len};
        }
    }
    if (port.len > 6 || (port.len > 0 && port.at[0] != ':')) {
        return false;
    }
    for (size_t i = 1; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9') {
            return false;
        }
    }
    ln_addr addr;
    if (ln_addr_parse(host.at, host.len, &addr) == 0) {
        return true;
    }
    if (host.len == 0 || host.len > 255) {
        return false;
    }
    memcpy(name, host.at, host.len);
    name[host.len] = '\0';
    return true;
}

/* Splits the request line. Returns false when it is none of HTTP/1. */
static bool split_request_line(struct text line, struct text *method, struct text *target)
{
    const char *first = memchr(line.at, ' ', line.len);
    if (first == NULL || first == line.at) {
        return false;
    }
    *method = (struct text){line.at, (size_t)(first - line.at)};
    for (size_t i = 0; i < method->len; i++) {
        if (!is_token_char((uint8_t)method->at[i])) {
            return false;
        }
    }
    struct text tail = trim((struct text){first, line.len - method->len});
    size_t at = tail.len;
    while (at > 0 && !is_blank(tail.at[at - 1])) {
        at--;
    }
    struct text version = {tail.at + at, tail.len - at};
    if (version.len < 6 || strncasecmp(version.at, "HTTP/", 5) != 0) {
        return false;
    }
    *target = trim((struct text){tail.at, at});
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

enum request_head request_head_view(const uint8_t *data, size_t len, char name[256])
{
    struct text rest = {(const char *)data, len};
    struct text line = {NULL, 0};
    /* Servers skip empty lines before a request (RFC 9112 section 2.2). */
    while (rest.len > 0 && (rest.at[0] == '\r' || rest.at[0] == '\n')) {
        rest.at++;
        rest.len--;
    }
    struct text start = {rest.at, rest.len > 64 ? 64 : rest.len};
    bool may_be = may_be_request(start);
    enum line got = next_line(&rest, &line);
    if (got == LINE_PARTIAL) {
        return may_be ? REQUEST_HEAD_PARTIAL : REQUEST_HEAD_NOT_HTTP;
    }
    if (got == LINE_BAD) {
        return may_be ? REQUEST_HEAD_BAD : REQUEST_HEAD_NOT_HTTP;
    }
    struct text method, target;
    if (!split_request_line(line, &method, &target)) {
        return REQUEST_HEAD_NOT_HTTP;
    }

    char host[256] = "";
    bool have_host = false;
    for (;;) {
        got = next_line(&rest, &line);
        if (got != LINE_WHOLE) {
            return got == LINE_BAD ? REQUEST_HEAD_BAD : REQUEST_HEAD_PARTIAL;
        }
        if (line.len == 0) {
            break;
        }
        const char *colon = memchr(line.at, ':', line.len);
        if (colon == NULL || colon == line.at || is_blank(line.at[0]) || is_blank(colon[-1])) {
            return REQUEST_HEAD_BAD; /* folding, or a space before the colon */
        }
        size_t key = (size_t)(colon - line.at);
        if (key != 4 || strncasecmp(line.at, "host", 4) != 0) {
            continue;
        }
        if (have_host) {
            return REQUEST_HEAD_BAD;
        }
        have_host = true;
        if (!authority_host(trim((struct text){colon + 1, line.len - key - 1}), host)) {
            return REQUEST_HEAD_BAD;
        }
    }
    struct text authority = target_authority(method, target);
    if (!authority_host(authority, name)) {
        return REQUEST_HEAD_BAD;
    }
    if (authority.len > 0 && have_host && strcasecmp(name, host) != 0) {
        return REQUEST_HEAD_BAD;
    }
    if (authority.len == 0) {
        memcpy(name, host, sizeof(host));
    }
    return name[0] != '\0' ? REQUEST_HEAD_NAMED : REQUEST_HEAD_UNNAMED;
}
