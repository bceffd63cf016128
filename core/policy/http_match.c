/* Matching requests: see ln_http_match for what counts. */
#include <stdlib.h>
#include <string.h>

#include "policy/http_match.h"

static bool same_char(char a, char b, bool fold)
{
    return a == b || (fold && http_fold(a) == http_fold(b));
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len, bool fold)
{
    size_t i = 0;
    while (a_len == b_len && i < a_len && same_char(a[i], b[i], fold)) {
        i++;
    }
    return a_len == b_len && i == a_len;
}

/* Whether the text is as the pattern says, in which "*" stands for any run of characters. The last
 * star alone is tried again: what one before it takes more, it can take less. */
static bool matches(const char *pattern, size_t pattern_len, const char *text, size_t len,
                    bool fold)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX;
    size_t again = 0;
    while (t < len) {
        if (p < pattern_len && pattern[p] == '*') {
            star = p++;
            again = t;
        } else if (p < pattern_len && same_char(pattern[p], text[t], fold)) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++again;
        } else {
            return false;
        }
    }
    while (p < pattern_len && pattern[p] == '*') {
        p++;
    }
    return p == pattern_len;
}

/* ---- fields ---- */

struct field {
    const char *name, *value;
    size_t name_len, value_len;
};

static bool field_at(const ln_http_request *request, size_t n, struct field *ret)
{
    return request->field != NULL && request->field(request->user, n, &ret->name, &ret->name_len,
                                                    &ret->value, &ret->value_len);
}

/* `variable`: whether "-" and "_" are the same, as in the names of variables. */
static bool is_named(const struct field *field, const char *name, bool variable)
{
    size_t i = 0;
    while (i < field->name_len && name[i] != '\0' &&
           (same_char(field->name[i], name[i], true) ||
            (variable && field->name[i] == '_' && name[i] == '-') ||
            (variable && field->name[i] == '-' && name[i] == '_'))) {
        i++;
    }
    return i == field->name_len && name[i] == '\0';
}

static bool is_one_of(const struct field *field, const char *const *names)
{
    while (*names != NULL && !is_named(field, *names, true)) {
        names++;
    }
    return *names != NULL;
}

/* Fields that frameworks let replace the method of a request, or its path. */
static bool replaces_method(const struct field *field)
{
    static const char *const names[] = {"x-http-method-override", "x-http-method",
                                        "x-method-override", NULL};
    return is_one_of(field, names);
}

static bool replaces_path(const struct field *field)
{
    static const char *const names[] = {"x-original-url", "x-rewrite-url", NULL};
    return is_one_of(field, names);
}

void http_facts_read(struct http_facts *facts, const ln_http_request *request)
{
    facts->request = request;
    facts->method_replaced = false;
    http_path_read(&facts->path, request->path, request->path_len);
    struct field field;
    for (size_t i = 0; field_at(request, i, &field); i++) {
        facts->method_replaced |= replaces_method(&field);
        if (replaces_path(&field)) {
            http_path_doubt(&facts->path);
        }
    }
}

/* ---- what a rule has ---- */

static bool has_method(const ln_http_match *match, const char *method, size_t len, bool fold)
{
    size_t i = 0;
    while (i < match->n_methods &&
           !same(match->methods[i], strlen(match->methods[i]), method, len, fold)) {
        i++;
    }
    return i < match->n_methods;
}

static bool method_fits(const ln_http_match *match, const struct http_facts *facts, bool allow)
{
    const ln_http_request *request = facts->request;
    bool fits = has_method(match, request->method, request->method_len, !allow);
    struct field field;
    for (size_t i = 0; facts->method_replaced && fits == allow && field_at(request, i, &field);
         i++) {
        if (replaces_method(&field)) {
            fits = has_method(match, field.value, field.value_len, !allow);
        }
    }
    return fits;
}

/* Whether a path that is in doubt could be one of the pattern's. */
static bool path_could_fit(const char *pattern, const struct http_path *path)
{
    size_t literal = http_pattern_literal(pattern, http_pattern_trimmed(pattern));
    size_t n = literal < path->certain ? literal : path->certain;
    return same(pattern, n, path->text, n, true);
}

static bool refuses_reading(const char *pattern, const char *text, size_t len)
{
    size_t pattern_len = http_pattern_trimmed(pattern);
    return matches(pattern, pattern_len, text, len, true) ||
           (len > 1 && text[len - 1] == '/' && matches(pattern, pattern_len, text, len - 1, true));
}

static ln_miss path_miss(const char *pattern, const struct http_path *path, bool allow)
{
    if (!allow) {
        bool fits = path->ambiguous ? path_could_fit(pattern, path)
                                    : refuses_reading(pattern, path->text, path->len) ||
                                          (path->dotted &&
                                           refuses_reading(pattern, path->sent, path->sent_len));
        return fits ? LN_MATCHED : LN_MISS_PATH;
    }
    if (path->ambiguous) {
        return path->rooted && strcmp(pattern, "/*") == 0 ? LN_MATCHED : LN_MISS_PATH_AMBIGUOUS;
    }
    size_t len = strlen(pattern);
    return matches(pattern, len, path->text, path->len, false) &&
                   (!path->dotted || matches(pattern, len, path->sent, path->sent_len, false))
               ? LN_MATCHED
               : LN_MISS_PATH;
}

static bool header_fits(const ln_http_match_header *header, const ln_http_request *request,
                        bool allow)
{
    size_t value_len = strlen(header->value);
    bool present = false;
    struct field field;
    for (size_t i = 0; field_at(request, i, &field); i++) {
        if (!is_named(&field, header->name, true)) {
            continue;
        }
        bool fits = matches(header->value, value_len, field.value, field.value_len, !allow);
        if (fits != allow) {
            return fits;
        }
        present |= is_named(&field, header->name, false);
    }
    return allow && present;
}

ln_miss http_miss(const ln_rule *rule, const struct http_facts *facts)
{
    const ln_http_match *match = rule->http;
    bool allow = rule->action == LN_ALLOW;
    if (match->n_methods > 0 && !method_fits(match, facts, allow)) {
        return LN_MISS_METHOD;
    }
    ln_miss miss = match->path == NULL ? LN_MATCHED : path_miss(match->path, &facts->path, allow);
    for (size_t i = 0; miss == LN_MATCHED && i < match->n_headers; i++) {
        miss = header_fits(&match->headers[i], facts->request, allow) ? LN_MATCHED : LN_MISS_HEADER;
    }
    return miss;
}
