/* Whether a request is one that a rule is for. What the two sides of rules make of a request that
 * servers read differently is told at ln_http_match. */
#ifndef LN_POLICY_HTTP_MATCH_H
#define LN_POLICY_HTTP_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lunette/policy.h"

/* Upper case ASCII as lower case. */
static inline unsigned char http_fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* A request's path: its segments as a server would see them. */
struct http_path {
    /* Servers are not known to agree on its segments: only the first `certain` bytes of `text`
     * are sure. */
    bool ambiguous;
    bool rooted; /* starts with "/" */
    bool dotted; /* not ambiguous, but has dot segments: `sent` is a second reading */
    size_t certain;
    size_t len, sent_len;
    char text[LN_HTTP_PATH_MAX]; /* escapes resolved, dot segments removed */
    char sent[LN_HTTP_PATH_MAX]; /* escapes resolved */
};

/* Reads the path of a request, or what stands in its place, up to a query. */
void http_path_read(struct http_path *path, const char *sent, size_t len);

/* Nothing of it is certain but that it starts with a slash, if it does. */
void http_path_doubt(struct http_path *path);

/* Resolves the escapes of a rule's path. `dst` has room for `len` bytes. Returns the length, or
 * -EINVAL with a static reason in *ret_why: no request has such a path in a reading that is sure.
 */
ssize_t http_pattern_canonical(const char *pattern, size_t len, char *dst, const char **ret_why);
/* How many bytes of a pattern come before its first "*". */
size_t http_pattern_literal(const char *pattern, size_t len);
/* The length of a rule's path without a slash at its end, as rules that refuse see it. */
size_t http_pattern_trimmed(const char *pattern);

/* A request, read once for all rules. */
struct http_facts {
    const ln_http_request *request;
    bool method_replaced; /* a field puts another method in the place of its own */
    struct http_path path;
};

void http_facts_read(struct http_facts *facts, const ln_http_request *request);
/* LN_MATCHED, or what in the request is not as the rule, which is one about requests, has it. */
ln_miss http_miss(const ln_rule *rule, const struct http_facts *facts);

#endif
