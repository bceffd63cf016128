/* Paths and patterns of paths.
 *
 * Theory of operation. A path is read as by a server that resolves escapes once. Some bytes are
 * read differently by different servers:
 *   - "/" and "\" that are encoded, and a plain "\": segments may end there, or not;
 *   - ";": the rest of the segment may be a parameter, and not count ("/..;/" climbs);
 *   - "#" and an encoded "?": the path may end there;
 *   - "//": may be one slash, and at the start the mark of a host.
 * All of them leave the segments before their own as they are, unless the rest climbs by a "..", so
 * these are certain. Where some segment is "." or "..", or escapes may be resolved twice ("%25"),
 * or are none, or bytes are not UTF-8 (an overlong "." or "/"), nothing is. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "policy/http_match.h"

enum doubt {
    DOUBT_NONE,
    DOUBT_REST, /* what is before the segment is certain */
    DOUBT_ALL
};

/* What servers may make of a byte: one that stands there, or one that is encoded. */
static enum doubt doubt_of(unsigned char c, bool encoded)
{
    if (c < 0x20 || c == 0x7f || (!encoded && c == ' ') || (encoded && c == '%')) {
        return DOUBT_ALL;
    }
    bool parts = c == '\\' || c == ';' || c == '#' || (encoded && (c == '/' || c == '?'));
    return parts ? DOUBT_REST : DOUBT_NONE;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Reads one byte, encoded or not, at the front of `len` > 0. Returns how many bytes it takes, or 0:
 * an escape that is none. */
static size_t next_byte(const char *at, size_t len, char *ret)
{
    *ret = at[0];
    if (at[0] != '%') {
        return 1;
    }
    if (len < 3 || hex(at[1]) < 0 || hex(at[2]) < 0) {
        return 0;
    }
    *ret = (char)(hex(at[1]) * 16 + hex(at[2]));
    return 3;
}

static bool is_utf8(const char *text, size_t len)
{
    uint32_t c = 0;
    for (size_t i = 0; i < len && c != UTF8_INVALID;) {
        i += utf8_next(text + i, len - i, &c);
    }
    return c != UTF8_INVALID;
}

/* Whether some segment is "." or "..", or two dots meet, which a parameter may leave of a segment.
 */
static bool has_dots(const char *text, size_t len, bool anywhere)
{
    for (size_t i = 1; i < len; i++) {
        size_t rest = len - i;
        if (anywhere && rest >= 2 && text[i] == '.' && text[i + 1] == '.') {
            return true;
        }
        if (text[i - 1] == '/' && text[i] == '.' &&
            (rest == 1 || text[i + 1] == '/' ||
             (text[i + 1] == '.' && (rest == 2 || text[i + 2] == '/')))) {
            return true;
        }
    }
    return false;
}

/* Removes dot segments (RFC 3986 section 5.2.4). `dst` has room for `len` bytes. */
static size_t remove_dots(const char *text, size_t len, char *dst)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) { /* text[i] is a slash */
        size_t end = i + 1;
        while (end < len && text[end] != '/') {
            end++;
        }
        bool one = end - i == 2 && text[i + 1] == '.';
        bool two = end - i == 3 && text[i + 1] == '.' && text[i + 2] == '.';
        while (two && n > 0 && dst[--n] != '/') {
        }
        if (!one && !two) {
            memcpy(dst + n, text + i, end - i);
            n += end - i;
        } else if (end == len) {
            dst[n++] = '/';
        }
        i = end;
    }
    return n;
}

/* Fills `sent` up to a query. Returns how sure it is; for DOUBT_REST, `certain` is set. */
static enum doubt resolve(struct http_path *path, const char *sent, size_t len)
{
    enum doubt doubt = DOUBT_NONE;
    size_t segment = 0; /* where the segment starts */
    for (size_t i = 0; i < len && sent[i] != '?';) {
        char c;
        size_t taken = next_byte(sent + i, len - i, &c);
        enum doubt here = taken == 0 ? DOUBT_ALL : doubt_of((unsigned char)c, taken == 3);
        bool slash = taken == 1 && c == '/';
        if (slash && i > 0 && segment == path->sent_len) {
            here = DOUBT_REST; /* an empty segment */
        }
        if (here == DOUBT_ALL || path->sent_len == LN_HTTP_PATH_MAX) {
            return DOUBT_ALL;
        }
        if (here == DOUBT_REST && doubt == DOUBT_NONE) {
            doubt = DOUBT_REST;
            path->certain = segment;
        }
        path->sent[path->sent_len++] = c;
        segment = slash ? path->sent_len : segment;
        i += taken;
    }
    return doubt;
}

void http_path_doubt(struct http_path *path)
{
    path->ambiguous = true;
    path->dotted = false;
    path->certain = path->len = path->rooted ? 1 : 0;
    path->text[0] = '/';
}

void http_path_read(struct http_path *path, const char *sent, size_t len)
{
    path->rooted = len > 0 && sent[0] == '/';
    path->dotted = false;
    path->certain = path->len = path->sent_len = 0;
    enum doubt doubt = path->rooted ? resolve(path, sent, len) : DOUBT_ALL;
    if (doubt != DOUBT_ALL && !is_utf8(path->sent, path->sent_len)) {
        doubt = DOUBT_ALL;
    }
    bool dots = doubt != DOUBT_ALL && has_dots(path->sent, path->sent_len, doubt != DOUBT_NONE);
    path->ambiguous = doubt != DOUBT_NONE;
    if (doubt == DOUBT_ALL || (doubt == DOUBT_REST && dots)) {
        http_path_doubt(path);
        return;
    }
    if (dots) {
        path->dotted = true;
        path->len = remove_dots(path->sent, path->sent_len, path->text);
        return;
    }
    path->len = path->ambiguous ? path->certain : path->sent_len;
    memcpy(path->text, path->sent, path->len);
}

/* ---- patterns ---- */

/* The byte that is written, or why it cannot be in a rule's path. */
static const char *pattern_fault(unsigned char c, bool encoded)
{
    if (c == '?') {
        return "the query is no part of the path";
    }
    if (encoded && c == '*') {
        return "an encoded star cannot be matched";
    }
    if (c == ' ' && !encoded) {
        return NULL;
    }
    return doubt_of(c, encoded) == DOUBT_NONE
               ? NULL
               : "servers differ on what such a path means (an encoded \"/\" or \"%\", \"\\\", "
                 "\";\", "
                 "\"#\", control characters): requests for it are denied";
}

ssize_t http_pattern_canonical(const char *pattern, size_t len, char *dst, const char **ret_why)
{
    size_t n = 0;
    if (len == 0 || pattern[0] != '/') {
        *ret_why = "a path starts with \"/\"";
        return -EINVAL;
    }
    for (size_t i = 0; i < len;) {
        char c;
        size_t taken = next_byte(pattern + i, len - i, &c);
        *ret_why = taken == 0 ? "\"%\" is not followed by two hexadecimal digits"
                              : pattern_fault((unsigned char)c, taken == 3);
        if (*ret_why == NULL && taken == 1 && c == '/' && n > 0 && dst[n - 1] == '/') {
            *ret_why = "it has an empty segment (\"//\"): requests for such paths are denied";
        }
        if (*ret_why != NULL) {
            return -EINVAL;
        }
        dst[n++] = c;
        i += taken;
    }
    if (!is_utf8(dst, n)) {
        *ret_why = "it is not UTF-8";
        return -EINVAL;
    }
    if (has_dots(dst, n, false)) {
        *ret_why = "it has a segment \".\" or \"..\"";
        return -EINVAL;
    }
    if (n > LN_HTTP_PATH_MAX) {
        *ret_why = "it is too long";
        return -EINVAL;
    }
    return (ssize_t)n;
}

size_t http_pattern_literal(const char *pattern, size_t len)
{
    const char *star = memchr(pattern, '*', len);
    return star == NULL ? len : (size_t)(star - pattern);
}

size_t http_pattern_trimmed(const char *pattern)
{
    size_t len = strlen(pattern);
    return len > 1 && pattern[len - 1] == '/' ? len - 1 : len;
}
