/* Configurations for tests, written as Lua table constructors: strings, numbers, true, false, nil,
 * tables, and `function`, which stands for the function of the next reference. `<rules[3]> …` is
 * a value with that origin. Lines count as in a file. */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/value.h"

struct config_text {
    struct arena *arena;
    const char *file;
    const char *at;
    int line;
    int functions;
};

static inline void config_fail(const struct config_text *c, const char *what)
{
    fprintf(stderr, "config_text: line %d: expected %s at \"%.20s\"\n", c->line, what, c->at);
    abort();
}

static inline void config_space(struct config_text *c)
{
    for (; isspace((unsigned char)*c->at); c->at++) {
        c->line += *c->at == '\n';
    }
}

static inline bool config_take(struct config_text *c, const char *word)
{
    config_space(c);
    size_t len = strlen(word);
    if (strncmp(c->at, word, len) != 0 ||
        (isalpha((unsigned char)word[0]) &&
         (isalnum((unsigned char)c->at[len]) || c->at[len] == '_'))) {
        return false;
    }
    c->at += len;
    return true;
}

static inline void config_expect(struct config_text *c, const char *word)
{
    if (!config_take(c, word)) {
        config_fail(c, word);
    }
}

static inline struct ln_value config_value(struct config_text *c);

static inline struct ln_value config_string(struct config_text *c)
{
    char *data = arena_alloc(c->arena, strlen(c->at) + 1);
    size_t len = 0;
    for (; *c->at != '"'; c->at++) {
        if (*c->at == '\0') {
            config_fail(c, "the end of a string");
        }
        if (*c->at == '\\') {
            c->at++;
            data[len++] = *c->at == '0' ? '\0' : *c->at == 'n' ? '\n' : *c->at;
        } else {
            data[len++] = *c->at;
        }
    }
    c->at++;
    return (struct ln_value){.type = VALUE_STRING, .string = {.data = data, .len = len}};
}

static inline struct ln_value config_number(struct config_text *c)
{
    char *end;
    size_t len = strspn(c->at, "-+.0123456789e");
    struct ln_value value = {.type = VALUE_INTEGER};
    if (memchr(c->at, '.', len) != NULL || memchr(c->at, 'e', len) != NULL) {
        value.type = VALUE_NUMBER;
        value.number = strtod(c->at, &end);
    } else {
        value.integer = strtoll(c->at, &end, 10);
    }
    if (end == c->at) {
        config_fail(c, "a value");
    }
    c->at = end;
    return value;
}

/* `key =` or `["key"] =`; false for a positional item. */
static inline bool config_key(struct config_text *c, struct ln_value *ret)
{
    config_space(c);
    const char *start = c->at;
    if (config_take(c, "[")) {
        *ret = config_value(c);
        config_expect(c, "]");
        config_expect(c, "=");
        return true;
    }
    size_t len = 0;
    while (isalnum((unsigned char)c->at[len]) || c->at[len] == '_') {
        len++;
    }
    c->at += len;
    if (len > 0 && config_take(c, "=")) {
        *ret =
            (struct ln_value){.type = VALUE_STRING,
                              .string = {.data = arena_strndup(c->arena, start, len), .len = len}};
        return true;
    }
    c->at = start;
    return false;
}

static inline struct ln_value config_table(struct config_text *c)
{
    size_t most = 1; /* items or entries; more than there are */
    for (const char *p = c->at; *p != '\0'; p++) {
        most += *p == ',' || *p == ';' || *p == '{';
    }
    struct value_table *table = arena_array(c->arena, 1, sizeof(*table));
    table->items = malloc(most * sizeof(*table->items));
    table->entries = malloc(most * sizeof(*table->entries));
    while (!config_take(c, "}")) {
        struct value_entry entry;
        if (config_key(c, &entry.key)) {
            entry.value = config_value(c);
            table->entries[table->n_entries++] = entry;
        } else {
            table->items[table->n_items++] = config_value(c);
        }
        if (!config_take(c, ",") && !config_take(c, ";")) {
            config_expect(c, "}");
            break;
        }
    }
    struct ln_value *items = arena_array(c->arena, table->n_items, sizeof(*items));
    struct value_entry *entries = arena_array(c->arena, table->n_entries, sizeof(*entries));
    memcpy(items, table->items, table->n_items * sizeof(*items));
    memcpy(entries, table->entries, table->n_entries * sizeof(*entries));
    free(table->items);
    free(table->entries);
    table->items = items;
    table->entries = entries;
    return (struct ln_value){.type = VALUE_TABLE, .table = table};
}

static inline struct ln_value config_value(struct config_text *c)
{
    config_space(c);
    int line = c->line;
    struct ln_value value = {.type = VALUE_NIL};
    const char *origin = NULL;
    if (config_take(c, "<")) {
        const char *start = c->at;
        c->at += strcspn(c->at, ">");
        origin = arena_strndup(c->arena, start, (size_t)(c->at - start));
        config_expect(c, ">");
    }
    if (config_take(c, "{")) {
        value = config_table(c);
    } else if (config_take(c, "\"")) {
        value = config_string(c);
    } else if (config_take(c, "true")) {
        value = (struct ln_value){.type = VALUE_BOOLEAN, .boolean = true};
    } else if (config_take(c, "false")) {
        value = (struct ln_value){.type = VALUE_BOOLEAN};
    } else if (config_take(c, "function")) {
        value = (struct ln_value){.type = VALUE_FUNCTION, .function = ++c->functions};
    } else if (!config_take(c, "nil")) {
        value = config_number(c);
    }
    value.file = c->file;
    value.line = line;
    value.origin = origin;
    return value;
}

/* The configuration that `text` says, as if it stood in `file`; aborts on bad text. */
static inline struct ln_value config_parse(struct arena *arena, const char *file, const char *text)
{
    struct config_text c = {.arena = arena, .file = file, .at = text, .line = 1};
    struct ln_value value = config_value(&c);
    config_space(&c);
    if (*c.at != '\0') {
        config_fail(&c, "the end");
    }
    return value;
}

#endif
