/* Reading a rule on one line. An IPv6 address has colons too, so protocols and ports are found from
 * behind, by what they look like: a word with a letter that no part of an IPv6 address has is meant
 * as a protocol, right or wrong. */
#include "policy/rule_parse.h"

#include <errno.h>
#include <string.h>

#define DIGITS     "0123456789"
#define WORD_BYTES DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

enum { FIELDS_MAX = 5 };

struct span {
    const char *at;
    size_t len;
};

struct line {
    struct arena *arena;
    bool out_of_memory; /* sticky */
    struct value_table *table;
};

static bool is_text(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

/* Whether it is not empty and holds nothing but these bytes. */
static bool holds_only(struct span span, const char *bytes)
{
    for (size_t i = 0; i < span.len; i++) {
        if (span.at[i] == '\0' || strchr(bytes, span.at[i]) == NULL) {
            return false;
        }
    }
    return span.len > 0;
}

static bool holds_any(struct span span, const char *bytes)
{
    for (size_t i = 0; i < span.len; i++) {
        if (strchr(bytes, span.at[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* Splits at the last `c`. False: there is none, or nothing before or behind it. */
static bool split_last(struct span span, char c, struct span *ret_before, struct span *ret_behind)
{
    const char *at = span.len > 0 ? memrchr(span.at, c, span.len) : NULL;
    if (at == NULL || at == span.at || at == span.at + span.len - 1) {
        return false;
    }
    *ret_before = (struct span){span.at, (size_t)(at - span.at)};
    *ret_behind = (struct span){at + 1, span.len - ret_before->len - 1};
    return true;
}

/* Takes the first word of a list with commas. False: there is none left. */
static bool next_word(struct span *list, struct span *ret_word)
{
    if (list->at == NULL) {
        return false;
    }
    const char *comma = memchr(list->at, ',', list->len);
    *ret_word = (struct span){list->at, comma == NULL ? list->len : (size_t)(comma - list->at)};
    *list =
        comma == NULL ? (struct span){0} : (struct span){comma + 1, list->len - ret_word->len - 1};
    return true;
}

static bool are_protocols(struct span span)
{
    if (is_text(span, "*")) {
        return true;
    }
    struct span word;
    while (next_word(&span, &word)) {
        if (!holds_only(word, WORD_BYTES) || !holds_any(word, "ghijklmnopqrstuvwxyz")) {
            return false;
        }
    }
    return true;
}

/* ---- values ---- */

static void *allocate(struct line *line, size_t count, size_t size)
{
    void *memory = arena_array(line->arena, count, size);
    line->out_of_memory = line->out_of_memory || memory == NULL;
    return memory;
}

static struct ln_value string_of(struct line *line, struct span span)
{
    char *copy = allocate(line, span.len + 1, 1);
    if (copy != NULL) {
        memcpy(copy, span.at, span.len);
    }
    return (struct ln_value){.type = VALUE_STRING, .string = {.data = copy, .len = span.len}};
}

static struct ln_value table_of(struct line *line, size_t items, size_t entries)
{
    struct value_table *table = allocate(line, 1, sizeof(*table));
    if (table != NULL) {
        table->items = allocate(line, items, sizeof(*table->items));
        table->entries = allocate(line, entries, sizeof(*table->entries));
    }
    return (struct ln_value){.type = VALUE_TABLE, .table = table};
}

static struct ln_value list_of(struct line *line, struct span words)
{
    size_t count = 1;
    for (size_t i = 0; i < words.len; i++) {
        count += words.at[i] == ',';
    }
    struct ln_value list = table_of(line, count, 0);
    struct span word;
    while (!line->out_of_memory && next_word(&words, &word)) {
        list.table->items[list.table->n_items++] = string_of(line, word);
    }
    return list;
}

static void set(struct line *line, struct value_table *table, const char *key,
                struct ln_value value)
{
    if (!line->out_of_memory) {
        table->entries[table->n_entries++] = (struct value_entry){
            .key = {.type = VALUE_STRING, .string = {.data = key, .len = strlen(key)}},
            .value = value,
        };
    }
}

/* An integer where it is one that could be a number of an autonomous system. */
static struct ln_value number_of(struct line *line, struct span span)
{
    if (!holds_only(span, DIGITS) || span.len > 18) {
        return string_of(line, span);
    }
    struct ln_value value = {.type = VALUE_INTEGER};
    for (size_t i = 0; i < span.len; i++) {
        value.integer = value.integer * 10 + (span.at[i] - '0');
    }
    return value;
}

/* ---- the parts of a line ---- */

/* As it is, or described: domain(db), asn(13335). */
static struct ln_value destination_of(struct line *line, struct span text)
{
    static const char *const kinds[] = {"domain", "country", "continent", "asn"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        size_t len = strlen(kinds[i]);
        if (text.len < len + 2 || memcmp(text.at, kinds[i], len) != 0 || text.at[len] != '(' ||
            text.at[text.len - 1] != ')') {
            continue;
        }
        struct span inside = {text.at + len + 1, text.len - len - 2};
        struct ln_value described = table_of(line, 0, 1);
        set(line, described.table, kinds[i],
            strcmp(kinds[i], "asn") == 0 ? number_of(line, inside) : string_of(line, inside));
        return described;
    }
    return string_of(line, text);
}

static void set_protocols(struct line *line, struct span protocols)
{
    set(line, line->table, "protocols",
        is_text(protocols, "*") ? table_of(line, 0, 0) : list_of(line, protocols));
}

/* Behind the @. */
static void read_target(struct line *line, struct span target)
{
    if (is_text(target, "dns")) {
        target = (struct span){"host:udp,tcp:53", strlen("host:udp,tcp:53")};
    }
    struct span rest, last, destination, protocols;
    if (split_last(target, ':', &rest, &last)) {
        if (holds_only(last, DIGITS ",-") && split_last(rest, ':', &destination, &protocols) &&
            are_protocols(protocols)) {
            set_protocols(line, protocols);
            set(line, line->table, "ports", list_of(line, last));
            target = destination;
        } else if (are_protocols(last)) {
            set_protocols(line, last);
            target = rest;
        }
    }
    set(line, line->table, "destination", destination_of(line, target));
}

/* Before the @: ACTION or ACTION:DIRECTION. */
static void read_head(struct line *line, struct span head)
{
    struct span action, direction;
    if (split_last(head, ':', &action, &direction) && memchr(action.at, ':', action.len) == NULL) {
        set(line, line->table, "action", string_of(line, action));
        set(line, line->table, "direction", string_of(line, direction));
    } else {
        set(line, line->table, "action", string_of(line, head));
    }
}

int rule_parse(const char *text, size_t len, struct arena *arena, struct ln_value *ret)
{
    const char *at = len > 0 ? memchr(text, '@', len) : NULL;
    if (at == NULL || at == text || at == text + len - 1) {
        return -EINVAL;
    }
    struct line line = {.arena = arena};
    struct ln_value rule = table_of(&line, 0, FIELDS_MAX);
    line.table = rule.table;
    read_head(&line, (struct span){text, (size_t)(at - text)});
    read_target(&line, (struct span){at + 1, len - (size_t)(at - text) - 1});
    if (line.out_of_memory) {
        return -ENOMEM;
    }
    *ret = rule;
    return 0;
}
