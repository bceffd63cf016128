/* What a plain server sees in the bytes that went upstream. They are canonical: one spelling of
 * each framing, or the relay is wrong. */
#ifndef TEST_HTTP_H1_NAIVE_H
#define TEST_HTTP_H1_NAIVE_H

#include <ctype.h>

#include "http/h1_rig.h"

struct naive {
    const char *at, *end;
    const char *passed;       /* what the filter passed and is not found yet */
    struct rig_text filtered; /* the bodies of those whose path has "filter" */
    bool partial;             /* the last message is not whole */
    const char *wrong;
};

/* The next line without CR LF, or NULL at the end of the bytes. */
static inline const char *naive_line(struct naive *n, size_t *ret_len)
{
    const char *line = n->at;
    for (const char *p = line; p + 1 < n->end; p++) {
        if (p[0] == '\n' || p[0] == '\0') {
            n->wrong = "a bare LF or a NUL in a head";
        }
        if (p[0] == '\r') {
            n->wrong = p[1] == '\n' ? n->wrong : "a bare CR in a head";
            n->at = p + 2;
            *ret_len = (size_t)(p - line);
            return line;
        }
    }
    n->partial = true;
    return NULL;
}

static inline bool naive_is(const char *line, size_t len, const char *name, const char **ret_value)
{
    size_t n = strlen(name);
    if (len < n + 2 || memcmp(line + n, ": ", 2) != 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (tolower((unsigned char)line[i]) != name[i]) {
            return false;
        }
    }
    *ret_value = line + n + 2;
    return true;
}

static inline void naive_bytes(struct naive *n, unsigned long long len, bool filtered)
{
    size_t left = (size_t)(n->end - n->at);
    size_t take = len < left ? (size_t)len : left;
    n->partial = n->partial || take < len;
    if (filtered) {
        rig_put(&n->filtered, n->at, take);
    }
    n->at += take;
}

static inline void naive_chunks(struct naive *n, bool filtered)
{
    size_t len;
    for (;;) {
        const char *line = naive_line(n, &len);
        if (line == NULL || n->wrong != NULL) {
            return;
        }
        unsigned long long size = 0;
        for (size_t i = 0; i < len; i++) {
            if (!isxdigit((unsigned char)line[i]) || isupper((unsigned char)line[i])) {
                n->wrong = "a chunk size that is not plain";
                return;
            }
            size = size * 16 + (unsigned)(line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10);
        }
        if (len == 0 || (line[0] == '0' && len > 1)) {
            n->wrong = "a chunk size that is not plain";
            return;
        }
        if (size == 0) {
            break;
        }
        naive_bytes(n, size, filtered);
        if (n->partial) {
            return;
        }
        if (naive_line(n, &len) != NULL && len != 0) {
            n->wrong = "no CR LF behind a chunk";
        }
        if (n->partial || n->wrong != NULL) {
            return;
        }
    }
    while (naive_line(n, &len) != NULL && len > 0) {
    }
}

/* What the fields of a head say. */
struct naive_fields {
    unsigned hosts, lengths, codings;
    unsigned long long length;
};

/* The fields up to the empty line; the value of Host is appended to `host`, which may be NULL. */
static inline struct naive_fields naive_fields(struct naive *n, struct rig_text *host)
{
    struct naive_fields f = {0};
    const char *line, *value;
    size_t len;
    while ((line = naive_line(n, &len)) != NULL && len > 0 && n->wrong == NULL) {
        const char *end = line + len;
        if (naive_is(line, len, "host", &value)) {
            f.hosts++;
            if (host != NULL) {
                rig_put(host, value, (size_t)(end - value));
            }
        } else if (naive_is(line, len, "content-length", &value)) {
            f.lengths++;
            for (; value < end; value++) {
                n->wrong = isdigit((unsigned char)*value) ? n->wrong : "an odd length";
                f.length = f.length * 10 + (unsigned)(*value - '0');
            }
        } else if (naive_is(line, len, "transfer-encoding", &value)) {
            f.codings++;
            n->wrong =
                end == value + 7 && memcmp(value, "chunked", 7) == 0 ? n->wrong : "an odd coding";
        } else if (line[0] == ' ' || line[0] == '\t' || memchr(line, ':', len) == NULL) {
            n->wrong = "a line that is no field";
        }
    }
    if (f.hosts > 1 || f.lengths + f.codings > 1) {
        n->wrong = "a field of the framing twice";
    }
    return f;
}

/* One request with its body. Returns whether there may be another. */
static inline bool naive_request(struct naive *n)
{
    size_t len;
    const char *line = naive_line(n, &len);
    if (line == NULL) {
        return false;
    }
    const char *space = memchr(line, ' ', len);
    const char *second =
        space == NULL ? NULL : memchr(space + 1, ' ', len - (size_t)(space + 1 - line));
    if (second == NULL || second + 9 != line + len || memcmp(second, " HTTP/1.", 8) != 0) {
        n->wrong = "a request line that is not plain";
        return false;
    }
    struct rig_text name = {0}, path = {0};
    rig_puts(&name, "[");
    rig_put(&name, line, (size_t)(space + 1 - line));
    rig_put(&path, space + 1, (size_t)(second - space - 1));
    bool filtered = strstr(path.at, "filter") != NULL;
    struct naive_fields f = naive_fields(n, &name);
    rig_puts(&name, " ");
    rig_puts(&name, path.at);
    rig_puts(&name, "]");
    if (n->wrong == NULL && !n->partial) {
        /* One that was answered on account of its body is passed over. */
        const char *found = strstr(n->passed, name.at);
        n->wrong = found == NULL ? "a request that was not judged" : NULL;
        n->passed = found == NULL ? n->passed : found + name.len;
    }
    free(path.at);
    free(name.at);
    if (n->wrong != NULL || n->partial) {
        return false;
    }
    if (f.codings == 1) {
        naive_chunks(n, filtered);
    } else {
        naive_bytes(n, f.length, filtered);
    }
    return n->wrong == NULL && !n->partial && n->at < n->end;
}

/* Reads what went upstream. Returns NULL when it is what the filter passed, nothing else and with
 * every byte of a filtered body seen; or what is wrong with it. */
static inline const char *naive_judge(const struct rig *rig)
{
    struct naive n = {.at = rig->up.at, .end = rig->up.at + rig->up.len, .passed = rig->passed.at};
    rig_puts(&n.filtered, "");
    while (n.at < n.end && naive_request(&n)) {
        if (rig->tunnel && n.passed[0] == '\0') {
            break; /* what follows 101 is no request */
        }
    }
    if (n.wrong == NULL && !rig->grow && !rig->tunnel &&
        (n.filtered.len > rig->seen[HTTP_TO_UPSTREAM].len ||
         memcmp(n.filtered.at, rig->seen[HTTP_TO_UPSTREAM].at, n.filtered.len) != 0)) {
        n.wrong = "bytes of a body that the filter did not see";
    }
    free(n.filtered.at);
    return n.wrong;
}

/* One response to a request of that method. Returns whether there may be another. */
static inline bool naive_response(struct naive *n, bool to_head, bool *ret_final)
{
    size_t len;
    const char *line = naive_line(n, &len);
    if (line == NULL) {
        return false;
    }
    if (len < 13 || memcmp(line, "HTTP/1.1 ", 9) != 0 || line[12] != ' ' || line[9] < '1') {
        n->wrong = "a status line that is not plain";
        return false;
    }
    unsigned status = (unsigned)((line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0');
    struct naive_fields f = naive_fields(n, NULL);
    *ret_final = status >= 200 || status == 101;
    if (n->partial || n->wrong != NULL || status == 101) {
        n->at = status == 101 ? n->end : n->at;
    } else if (status < 200 || status == 204 || status == 304 || to_head) {
        n->wrong = (status < 200 || status == 204) && f.lengths + f.codings > 0
                       ? "a length where there is no body"
                       : NULL;
    } else if (f.codings == 1) {
        naive_chunks(n, false);
    } else if (f.lengths == 1) {
        naive_bytes(n, f.length, false);
    } else {
        n->at = n->end;
    }
    return n->wrong == NULL && !n->partial && n->at < n->end;
}

/* Reads what the guest got. Returns NULL when it is one final response to each request at most; or
 * what is wrong with it. */
static inline const char *naive_judge_responses(const struct rig *rig)
{
    struct naive n = {.at = rig->down.at, .end = rig->down.at + rig->down.len};
    const char *judged = rig->log.at;
    bool final = true;
    bool to_head = false;
    unsigned refused = 1;
    do {
        if (final) {
            judged = judged == NULL ? NULL : strchr(judged, '[');
            to_head = judged != NULL && strncmp(judged, "[HEAD ", 6) == 0;
            if (judged == NULL && refused-- == 0) {
                return "an answer to nothing";
            }
            judged = judged == NULL ? NULL : strstr(judged, "]");
        }
    } while (n.at < n.end && naive_response(&n, to_head, &final));
    return n.wrong;
}

#endif
