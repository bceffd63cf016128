/* JSON from anywhere: what is read is written again, and read as the same. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/text.h"

static void put_string(struct text *text, const struct ln_value *value)
{
    text_puts(text, "\"");
    text_json_escape(text, value->string.data, value->string.len);
    text_puts(text, "\"");
}

static void put(struct text *text, const struct ln_value *value)
{
    switch (value->type) {
    case VALUE_NIL:
        text_puts(text, "null");
        return;
    case VALUE_BOOLEAN:
        text_puts(text, value->boolean ? "true" : "false");
        return;
    case VALUE_INTEGER:
        text_printf(text, "%lld", (long long)value->integer);
        return;
    case VALUE_NUMBER:
        text_printf(text, "%.17e", value->number);
        return;
    case VALUE_STRING:
        put_string(text, value);
        return;
    case VALUE_TABLE:
        break;
    case VALUE_FUNCTION:
    case VALUE_OTHER:
        abort();
    }
    const struct value_table *table = value->table;
    assert(table->n_items == 0 || table->n_entries == 0);
    text_puts(text, table->n_entries > 0 ? "{" : "[");
    for (size_t i = 0; i < table->n_items; i++) {
        text_puts(text, i > 0 ? "," : "");
        put(text, &table->items[i]);
    }
    for (size_t i = 0; i < table->n_entries; i++) {
        text_puts(text, i > 0 ? "," : "");
        put_string(text, &table->entries[i].key);
        text_puts(text, ":");
        put(text, &table->entries[i].value);
    }
    text_puts(text, table->n_entries > 0 ? "}" : "]");
}

static char *written(const struct ln_value *value, size_t *ret_len)
{
    struct text measure = text_of(NULL, 0);
    put(&measure, value);
    char *dst = malloc(measure.len + 1);
    struct text text = text_of(dst, measure.len + 1);
    put(&text, value);
    assert(text.len == measure.len);
    *ret_len = text.len;
    return dst;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct ln_value value, again;
    struct json_mistake mistake = {0};
    int r = json_read(&arena, NULL, (const char *)data, size, &value, &mistake);
    assert(r == 0 || r == -EINVAL);
    if (r < 0) {
        assert(mistake.message != NULL && mistake.line > 0);
    } else {
        size_t len, second_len;
        char *text = written(&value, &len);
        r = json_read(&arena, NULL, text, len, &again, NULL);
        assert(r == 0);
        char *second = written(&again, &second_len);
        assert(len == second_len && memcmp(text, second, len) == 0);
        free(text);
        free(second);
    }
    arena_free(&arena);
    return 0;
}
