/* A rule's path, a method, a request's path and a header, each on a line of the input: what a rule
 * allows, the same rule as one that refuses has to match, too; a rule's path is in its final form;
 * and what is certain of a path in doubt starts what is allowed at all. */
#include <stdlib.h>
#include <string.h>

#include "policy/http_match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 4, PATTERN_MAX = 4096 };

struct line {
    const char *text;
    size_t len;
};

static bool header_at(const void *user, size_t n, const char **ret_name, size_t *ret_name_len,
                      const char **ret_value, size_t *ret_value_len)
{
    const struct line *line = user;
    const char *colon = line->len == 0 ? NULL : memchr(line->text, ':', line->len);
    if (n > 0 || colon == NULL) {
        return false;
    }
    *ret_name = line->text;
    *ret_name_len = (size_t)(colon - line->text);
    *ret_value = colon + 1;
    *ret_value_len = line->len - *ret_name_len - 1;
    return true;
}

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void split(const char *text, size_t size, struct line lines[LINES])
{
    for (int i = 0; i < LINES; i++) {
        const char *end = size == 0 ? NULL : memchr(text, '\n', size);
        size_t len = end == NULL ? size : (size_t)(end - text);
        lines[i] = (struct line){text, len};
        text += end == NULL ? len : len + 1;
        size -= end == NULL ? len : len + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_facts facts;
    static char pattern[PATTERN_MAX + 1];
    static char again[PATTERN_MAX];
    struct line lines[LINES];
    const char *why = NULL;
    split((const char *)data, size, lines);
    if (lines[0].len > PATTERN_MAX) {
        return 0;
    }
    ssize_t len = http_pattern_canonical(lines[0].text, lines[0].len, pattern, &why);
    ln_http_request request = {
        .method = lines[1].text,
        .method_len = lines[1].len,
        .path = lines[2].text,
        .path_len = lines[2].len,
        .field = header_at,
        .user = &lines[3],
    };
    http_facts_read(&facts, &request);
    check(facts.path.certain <= facts.path.len && facts.path.len <= LN_HTTP_PATH_MAX);
    if (len < 0 || memchr(pattern, '\0', (size_t)len) != NULL) {
        check(len >= 0 || why != NULL);
        return 0;
    }
    pattern[len] = '\0';
    check(http_pattern_canonical(pattern, (size_t)len, again, &why) == len &&
          memcmp(pattern, again, (size_t)len) == 0);
    const char *method = "GET";
    const ln_http_match_header header = {"x-a", "*1*"};
    ln_http_match match = {.methods = &method, .n_methods = 1, .path = pattern};
    match.headers = &header;
    match.n_headers = lines[3].len > 0 ? 1 : 0;
    ln_rule allow = {.action = LN_ALLOW, .http = &match};
    ln_rule deny = {.action = LN_DENY, .http = &match};
    if (http_miss(&allow, &facts) == LN_MATCHED) {
        check(http_miss(&deny, &facts) == LN_MATCHED);
        check(!facts.path.ambiguous || strcmp(pattern, "/*") == 0);
    }
    return 0;
}
