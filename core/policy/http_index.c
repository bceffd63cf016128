/* Literals and searching them. */
#include "policy/http_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LITERAL_NONE UINT32_MAX

/* `fold`: `text` counts as in lower case. */
static int compare(const struct http_literal *literal, const char *text, size_t len, bool fold)
{
    size_t i = 0;
    while (i < literal->len && i < len) {
        unsigned char a = (unsigned char)literal->text[i];
        unsigned char b = fold ? http_fold(text[i]) : (unsigned char)text[i];
        if (a != b) {
            return a < b ? -1 : 1;
        }
        i++;
    }
    return (i < literal->len) - (i < len);
}

static bool starts_with(const char *text, size_t len, const struct http_literal *literal, bool fold)
{
    return literal->len <= len && compare(literal, text, literal->len, fold) == 0;
}

/* ---- building ---- */

/* A literal of one rule, before those that are the same become one. */
static int compare_literals(const void *a, const void *b)
{
    const struct http_literal *x = a;
    const struct http_literal *y = b;
    int order = compare(x, y->text, y->len, false);
    return order != 0 ? order : (x->first > y->first) - (x->first < y->first);
}

static bool literal_of(struct arena *arena, const ln_http_match *match, bool allow,
                       struct http_literal *ret)
{
    const char *path = match->path == NULL ? "" : match->path;
    size_t len = http_pattern_literal(path, allow ? strlen(path) : http_pattern_trimmed(path));
    char *text = arena_strndup(arena, path, len);
    for (size_t i = 0; i < len && text != NULL && !allow; i++) {
        text[i] = (char)http_fold(text[i]);
    }
    ret->text = text;
    ret->len = (uint32_t)len;
    return text != NULL;
}

/* Makes one of neighbours that are the same, and finds what each starts with. */
static uint32_t merge(struct http_literal *literals, uint32_t *rules, uint32_t n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        rules[i] = literals[i].first;
        struct http_literal *last = count == 0 ? NULL : &literals[count - 1];
        if (last != NULL && compare(last, literals[i].text, literals[i].len, false) == 0) {
            last->n_rules++;
            continue;
        }
        uint32_t parent = count == 0 ? LITERAL_NONE : count - 1;
        while (parent != LITERAL_NONE &&
               !starts_with(literals[i].text, literals[i].len, &literals[parent], false)) {
            parent = literals[parent].parent;
        }
        literals[count] = literals[i];
        literals[count].parent = parent;
        literals[count].first = i;
        literals[count++].n_rules = 1;
    }
    return count;
}

int http_index_build(struct http_index *index, struct arena *arena, const ln_rule *rules,
                     const uint32_t *members, uint32_t n, bool allow)
{
    *index = (struct http_index){0};
    if (n == 0) {
        return 0;
    }
    struct http_literal *literals = arena_array(arena, n, sizeof(*literals));
    uint32_t *by_literal = arena_array(arena, n, sizeof(*by_literal));
    uint32_t *all = arena_array(arena, n, sizeof(*all));
    if (literals == NULL || by_literal == NULL || all == NULL) {
        return -ENOMEM;
    }
    memcpy(all, members, n * sizeof(*all));
    for (uint32_t i = 0; i < n; i++) {
        literals[i].first = members[i];
        if (!literal_of(arena, rules[members[i]].http, allow, &literals[i])) {
            return -ENOMEM;
        }
    }
    qsort(literals, n, sizeof(*literals), compare_literals);
    index->n_literals = merge(literals, by_literal, n);
    index->literals = literals;
    index->rules = by_literal;
    index->all = all;
    index->n_rules = n;
    return 0;
}

/* ---- searching ---- */

struct hunt {
    const ln_rule *rules;
    const struct http_facts *facts;
    bool (*wanted)(const void *user, const ln_rule *rule, uint32_t number);
    const void *user;
    uint32_t best;
};

static void try_rules(struct hunt *hunt, const uint32_t *numbers, uint32_t n)
{
    for (uint32_t i = 0; i < n && numbers[i] < hunt->best; i++) {
        const ln_rule *rule = &hunt->rules[numbers[i]];
        if (hunt->wanted(hunt->user, rule, numbers[i]) &&
            http_miss(rule, hunt->facts) == LN_MATCHED) {
            hunt->best = numbers[i];
        }
    }
}

/* The rules whose literal the path starts with. */
static void try_path(struct hunt *hunt, const struct http_index *index, const char *text,
                     size_t len, bool fold)
{
    uint32_t low = 0;
    uint32_t high = index->n_literals;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(&index->literals[middle], text, len, fold) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint32_t at = low == 0 ? LITERAL_NONE : low - 1;
    while (at != LITERAL_NONE) {
        const struct http_literal *literal = &index->literals[at];
        if (starts_with(text, len, literal, fold)) {
            try_rules(hunt, index->rules + literal->first, literal->n_rules);
        }
        at = literal->parent;
    }
}

uint32_t http_index_find(const struct http_index *index, const ln_rule *rules,
                         const struct http_facts *facts, uint32_t best,
                         bool (*wanted)(const void *user, const ln_rule *rule, uint32_t number),
                         const void *user)
{
    struct hunt hunt = {
        .rules = rules, .facts = facts, .wanted = wanted, .user = user, .best = best};
    if (index->n_rules == 0 || index->all[0] >= best) {
        return best;
    }
    const struct http_path *path = &facts->path;
    bool allow = rules[index->all[0]].action == LN_ALLOW;
    if (allow) {
        try_path(&hunt, index, path->text, path->len, false);
    } else if (path->ambiguous) {
        try_rules(&hunt, index->all, index->n_rules);
    } else {
        try_path(&hunt, index, path->text, path->len, true);
        if (path->dotted) {
            try_path(&hunt, index, path->sent, path->sent_len, true);
        }
    }
    return hunt.best;
}
