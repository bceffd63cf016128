/* JSON as a configuration: what is read is a well-formed tree, and planning takes any tree. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/text.h"
#include "policy/plan.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 1 << 20 };

static void check_string(const struct ln_value *value)
{
    const char *text = value->string.data;
    size_t len = value->string.len;
    REQUIRE(text[len] == '\0');
    while (len > 0) {
        uint32_t c;
        size_t taken = utf8_next(text, len, &c);
        REQUIRE(c != UTF8_INVALID);
        text += taken;
        len -= taken;
    }
}

/* Returns the last line of the value. */
static int check_value(const struct ln_value *value, int line, int depth)
{
    REQUIRE(depth <= JSON_DEPTH_MAX + 1);
    REQUIRE(value->line >= line);
    line = value->line;
    switch (value->type) {
    case VALUE_NIL:
    case VALUE_BOOLEAN:
    case VALUE_INTEGER:
        break;
    case VALUE_NUMBER:
        REQUIRE(isfinite(value->number));
        break;
    case VALUE_STRING:
        check_string(value);
        break;
    case VALUE_TABLE:
        REQUIRE(value->table->n_items == 0 || value->table->n_entries == 0);
        for (size_t i = 0; i < value->table->n_items; i++) {
            line = check_value(&value->table->items[i], line, depth + 1);
        }
        for (size_t i = 0; i < value->table->n_entries; i++) {
            const struct value_entry *entry = &value->table->entries[i];
            REQUIRE(entry->key.type == VALUE_STRING);
            check_string(&entry->key);
            line = check_value(&entry->value, line, depth + 1);
        }
        break;
    case VALUE_FUNCTION:
    case VALUE_OTHER:
        REQUIRE(false);
    }
    return line;
}

static int count_lines(const uint8_t *data, size_t size)
{
    int lines = 1;
    for (size_t i = 0; i < size; i++) {
        lines += data[i] == '\n';
    }
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {.cap = ARENA_MAX};
    struct ln_value value;
    struct json_mistake mistake = {0};
    int lines = count_lines(data, size);
    int r = json_read(&arena, "fuzz.json", (const char *)data, size, &value, &mistake);
    if (r == 0) {
        REQUIRE(check_value(&value, 1, 0) <= lines);
        struct plan plan = {0};
        ln_problems *problems = ln_problems_new();
        int planned = plan_build(&value, &plan, problems);
        REQUIRE(planned == 0 || ln_problems_count(problems) > 0);
        plan_free(&plan);
        ln_problems_free(problems);
    } else if (r == -EINVAL) {
        REQUIRE(mistake.message != NULL && mistake.line >= 1 && mistake.line <= lines);
    }
    arena_free(&arena);
    return 0;
}
