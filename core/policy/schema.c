/* Where values stand and what is wrong with them; reading scalars, lists and tables. */
#include "policy/schema.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "policy/spelling.h"

enum {
    SHOWN_MAX = 64,     /* bytes of a string that are told */
    REPEATS_WITHIN = 64 /* problems among which repeated ones are left out */
};

bool value_integer(const struct ln_value *value, int64_t *ret)
{
    if (value->type == VALUE_INTEGER) {
        *ret = value->integer;
        return true;
    }
    /* Doubles hold every integer up to here; none of the schema is larger. */
    const double exact = 9007199254740992.0;
    if (value->type == VALUE_NUMBER && value->number >= -exact && value->number <= exact &&
        (double)(int64_t)value->number == value->number) {
        *ret = (int64_t)value->number;
        return true;
    }
    return false;
}

/* ---- places ---- */

struct place place_of_key(const struct place *up, const char *key, const struct ln_value *value)
{
    return (struct place){.up = up, .value = value, .key = key, .key_len = strlen(key)};
}

struct place place_of_item(const struct place *up, size_t index)
{
    return (struct place){.up = up,
                          .value = &up->value->table->items[index],
                          .index = (int64_t)index + 1,
                          .hidden = up->hidden};
}

struct place place_of_entry(const struct place *up, const struct value_entry *entry)
{
    struct place place = {.up = up, .value = &entry->value};
    if (entry->key.type == VALUE_STRING) {
        place.key = entry->key.string.data;
        place.key_len = entry->key.string.len;
    } else if (!value_integer(&entry->key, &place.index)) {
        place.key = value_type_name(entry->key.type);
        place.key_len = strlen(place.key);
    }
    return place;
}

static bool is_identifier(const char *key, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = key[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return len > 0;
}

/* At most SHOWN_MAX bytes of a string, quoted. */
static void put_shown(struct text *text, const char *data, size_t len)
{
    size_t shown = len;
    if (len > SHOWN_MAX) {
        shown = SHOWN_MAX;
        while (shown > 0 && ((unsigned char)data[shown] & 0xc0) == 0x80) {
            shown--; /* not inside a character */
        }
    }
    text_quote(text, data, shown);
    text_puts(text, shown < len ? "…" : "");
}

static void put_path(struct text *text, const struct place *place)
{
    if (place->value != NULL && place->value->origin != NULL) {
        text_puts(text, place->value->origin);
        return;
    }
    if (place->up == NULL) {
        return;
    }
    put_path(text, place->up);
    if (place->key == NULL) {
        text_printf(text, "[%" PRId64 "]", place->index);
    } else if (is_identifier(place->key, place->key_len)) {
        text_puts(text, text->len > 0 ? "." : "");
        text_put(text, place->key, place->key_len);
    } else {
        text_puts(text, "[");
        put_shown(text, place->key, place->key_len);
        text_puts(text, "]");
    }
}

const char *schema_path(struct schema *schema, const struct place *place)
{
    char small[128];
    struct text text = text_of(small, sizeof(small));
    put_path(&text, place);
    size_t len = text.len;
    char *path = schema_array(schema, len + 1, 1);
    if (path != NULL) {
        text = text_of(path, len + 1);
        put_path(&text, place);
    }
    return path;
}

const char *place_file(const struct place *place)
{
    while (place != NULL) {
        if (place->value != NULL && place->value->file != NULL) {
            return place->value->file;
        }
        place = place->up;
    }
    return NULL;
}

int place_line(const struct place *place)
{
    while (place != NULL) {
        if (place->value != NULL && place->value->line > 0) {
            return place->value->line;
        }
        place = place->up;
    }
    return 0;
}

/* ---- problems ---- */

static void describe(struct text *text, const struct ln_value *value, bool hidden)
{
    switch (hidden ? VALUE_TABLE : value->type) {
    case VALUE_BOOLEAN:
        text_puts(text, value->boolean ? "true" : "false");
        return;
    case VALUE_INTEGER:
        text_printf(text, "%" PRId64, value->integer);
        return;
    case VALUE_NUMBER:
        text_printf(text, "%.14g", value->number);
        return;
    case VALUE_STRING:
        put_shown(text, value->string.data, value->string.len);
        return;
    case VALUE_NIL:
    case VALUE_TABLE:
    case VALUE_FUNCTION:
    case VALUE_OTHER:
        text_puts(text, value_type_name(value->type));
        return;
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Whether one of the last problems says the same: a rule as written may have become several, which
 * repeat its mistakes. */
static bool is_repeated(const ln_problems *problems, const ln_problem *problem)
{
    size_t n = ln_problems_count(problems);
    for (size_t i = 1; i <= n && i <= REPEATS_WITHIN; i++) {
        const ln_problem *other = ln_problems_get(problems, n - i);
        if (other->line == problem->line && same_text(other->field, problem->field) &&
            same_text(other->message, problem->message) &&
            same_text(other->found, problem->found)) {
            return true;
        }
    }
    return false;
}

static void report(struct schema *schema, const struct place *place, const char *found,
                   const char *accepted, const char *message)
{
    schema->mistakes++;
    ln_problem problem = {.file = place_file(place),
                          .line = place_line(place),
                          .field = schema_path(schema, place),
                          .found = found,
                          .message = message};
    if (problem.field == NULL || is_repeated(schema->problems, &problem)) {
        return;
    }
    if (problems_add(schema->problems, problem.file, problem.line, problem.field, found, accepted,
                     "%s", message) < 0) {
        schema->out_of_memory = true;
    }
}

void schema_wrong(struct schema *schema, const struct place *place, const char *accepted,
                  const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    char found[4 * SHOWN_MAX + 16];
    struct text text = text_of(found, sizeof(found));
    if (place->value != NULL) {
        describe(&text, place->value, place->hidden);
    }
    report(schema, place, place->value != NULL ? found : NULL, accepted, message);
}

void schema_wrong_key(struct schema *schema, const struct place *place, const char *accepted,
                      const char *message)
{
    char found[4 * SHOWN_MAX + 16];
    struct text text = text_of(found, sizeof(found));
    if (place->key != NULL) {
        put_shown(&text, place->key, place->key_len);
    } else {
        text_printf(&text, "%" PRId64, place->index);
    }
    report(schema, place, found, accepted, message);
}

void schema_missing(struct schema *schema, const struct place *table, const char *key,
                    const char *accepted)
{
    struct place place = place_of_key(table, key, NULL);
    schema_wrong(schema, &place, accepted, "it is missing");
}

void *schema_array(struct schema *schema, size_t count, size_t size)
{
    void *array = arena_array(schema->arena, count, size);
    schema->out_of_memory = schema->out_of_memory || array == NULL;
    return array;
}

/* ---- scalars ---- */

bool schema_text(struct schema *schema, const struct place *place, const char *accepted)
{
    const struct ln_value *value = place->value;
    if (value->type != VALUE_STRING) {
        schema_wrong(schema, place, accepted, "it has the wrong type");
    } else if (value->string.len == 0) {
        schema_wrong(schema, place, accepted, "it is empty");
    } else if (memchr(value->string.data, '\0', value->string.len) != NULL) {
        schema_wrong(schema, place, accepted, "it holds a NUL byte");
    } else {
        return true;
    }
    return false;
}

const char *schema_copy(struct schema *schema, const struct place *place)
{
    char *copy = arena_strndup(schema->arena, place->value->string.data, place->value->string.len);
    schema->out_of_memory = schema->out_of_memory || copy == NULL;
    return copy;
}

bool schema_bool(struct schema *schema, const struct place *place, bool *ret)
{
    if (place->value->type != VALUE_BOOLEAN) {
        schema_wrong(schema, place, "true or false", "it has the wrong type");
        return false;
    }
    *ret = place->value->boolean;
    return true;
}

bool schema_integer(struct schema *schema, const struct place *place, uint64_t min, uint64_t max,
                    uint64_t *ret)
{
    char accepted[64];
    snprintf(accepted, sizeof(accepted), "an integer from %" PRIu64 " to %" PRIu64, min, max);
    int64_t integer;
    if (!value_integer(place->value, &integer)) {
        schema_wrong(schema, place, accepted, "it is not an integer");
    } else if (integer < 0 || (uint64_t)integer < min) {
        schema_wrong(schema, place, accepted, "it is too small");
    } else if ((uint64_t)integer > max) {
        schema_wrong(schema, place, accepted, "it is too large");
    } else {
        *ret = (uint64_t)integer;
        return true;
    }
    return false;
}

bool schema_choice(struct schema *schema, const struct place *place, const char *what,
                   const char *const *words, size_t n, unsigned *ret)
{
    const struct ln_value *value = place->value;
    char accepted[256];
    struct text text = text_of(accepted, sizeof(accepted));
    for (size_t i = 0; i < n; i++) {
        if (value->type == VALUE_STRING && value->string.len == strlen(words[i]) &&
            memcmp(value->string.data, words[i], value->string.len) == 0) {
            *ret = (unsigned)i;
            return true;
        }
        text_printf(&text, "%s\"%s\"", i > 0 ? ", " : "", words[i]);
    }
    if (value->type != VALUE_STRING) {
        schema_wrong(schema, place, accepted, "it has the wrong type");
        return false;
    }
    struct spelling spelling = spelling_of(value->string.data, value->string.len);
    for (size_t i = 0; i < n; i++) {
        spelling_consider(&spelling, words[i]);
    }
    if (spelling.nearest != NULL) {
        schema_wrong(schema, place, accepted, "unknown %s (did you mean \"%s\"?)", what,
                     spelling.nearest);
    } else {
        schema_wrong(schema, place, accepted, "unknown %s", what);
    }
    return false;
}

/* ---- lists ---- */

bool schema_list(struct schema *schema, const struct place *place, const char *accepted)
{
    if (place->value->type != VALUE_TABLE) {
        schema_wrong(schema, place, accepted, "it has the wrong type");
        return false;
    }
    const struct value_table *table = place->value->table;
    for (size_t i = 0; i < table->n_entries; i++) {
        struct place entry = place_of_entry(place, &table->entries[i]);
        entry.hidden = place->hidden;
        if (entry.value->type != VALUE_NIL) {
            schema_wrong(schema, &entry, accepted,
                         entry.key == NULL ? "it is not in the list (is an entry before it nil?)"
                                           : "a list has no keys");
        }
    }
    return true;
}

void schema_each(struct schema *schema, const struct place *place, const char *accepted,
                 item_reader read, void *out)
{
    if (!schema_list(schema, place, accepted)) {
        return;
    }
    for (size_t i = 0; i < place->value->table->n_items && !schema->out_of_memory; i++) {
        struct place item = place_of_item(place, i);
        read(schema, &item, out);
    }
}

void schema_one_or_each(struct schema *schema, const struct place *place, item_reader read,
                        void *out)
{
    if (place->value->type == VALUE_TABLE) {
        schema_each(schema, place, NULL, read, out);
    } else {
        read(schema, place, out);
    }
}

size_t value_count(const struct ln_value *value)
{
    return value->type == VALUE_TABLE ? value->table->n_items : 1;
}

/* ---- tables ---- */

/* The number of the field of a key; `n` when there is none. */
static size_t find_field(const struct field *fields, size_t n, const struct ln_value *key)
{
    size_t i = 0;
    while (i < n && !(key->type == VALUE_STRING && key->string.len == strlen(fields[i].key) &&
                      memcmp(key->string.data, fields[i].key, key->string.len) == 0)) {
        i++;
    }
    return i;
}

/* A key that is none of the fields, or, in place->index, an item. */
static void unknown_key(struct schema *schema, const struct place *place,
                        const struct field *fields, size_t n)
{
    char accepted[1024];
    struct text text = text_of(accepted, sizeof(accepted));
    struct spelling spelling = spelling_of(place->key, place->key_len);
    for (size_t i = 0; i < n; i++) {
        text_printf(&text, "%s%s", i > 0 ? ", " : "", fields[i].key);
        if (place->key != NULL) {
            spelling_consider(&spelling, fields[i].key);
        }
    }
    if (place->key == NULL) {
        schema_wrong(schema, place, accepted, "a value without a key");
        return;
    }
    char message[128] = "unknown key";
    if (spelling.nearest != NULL) {
        snprintf(message, sizeof(message), "unknown key (did you mean \"%s\"?)", spelling.nearest);
    }
    schema_wrong_key(schema, place, accepted, message);
}

void schema_table(struct schema *schema, const struct place *place, const struct field *fields,
                  size_t n, void *out)
{
    if (place->value->type != VALUE_TABLE) {
        schema_wrong(schema, place, "a table", "it has the wrong type");
        return;
    }
    assert(n <= 64);
    uint64_t seen = 0; /* bit: number of the field */
    const struct value_table *table = place->value->table;
    for (size_t i = 0; i < table->n_items && !schema->out_of_memory; i++) {
        struct place item = place_of_item(place, i);
        unknown_key(schema, &item, fields, n);
    }
    for (size_t i = 0; i < table->n_entries && !schema->out_of_memory; i++) {
        struct place entry = place_of_entry(place, &table->entries[i]);
        size_t number = find_field(fields, n, &table->entries[i].key);
        if (number == n) {
            unknown_key(schema, &entry, fields, n);
            continue;
        }
        entry.hidden = fields[number].hidden;
        if ((seen >> number & 1) != 0) {
            schema_wrong(schema, &entry, NULL, "the key is given twice");
        } else if (entry.value->type != VALUE_NIL) {
            fields[number].read(schema, &entry, &fields[number], out);
        }
        seen |= UINT64_C(1) << number;
    }
}

void read_bool(struct schema *schema, const struct place *place, const struct field *field,
               void *out)
{
    schema_bool(schema, place, (bool *)((char *)out + field->offset));
}

void read_u32(struct schema *schema, const struct place *place, const struct field *field,
              void *out)
{
    uint64_t value;
    if (schema_integer(schema, place, field->min, field->max, &value)) {
        *(uint32_t *)((char *)out + field->offset) = (uint32_t)value;
    }
}

void read_u64(struct schema *schema, const struct place *place, const struct field *field,
              void *out)
{
    schema_integer(schema, place, field->min, field->max,
                   (uint64_t *)((char *)out + field->offset));
}

void read_text(struct schema *schema, const struct place *place, const struct field *field,
               void *out)
{
    if (schema_text(schema, place, "a string")) {
        *(const char **)((char *)out + field->offset) = schema_copy(schema, place);
    }
}

void read_table(struct schema *schema, const struct place *place, const struct field *field,
                void *out)
{
    schema_table(schema, place, field->fields, field->n_fields, (char *)out + field->offset);
}

void read_nothing(struct schema *schema, const struct place *place, const struct field *field,
                  void *out)
{
    (void)schema;
    (void)place;
    (void)field;
    (void)out;
}

void read_later(struct schema *schema, const struct place *place, const struct field *field,
                void *out)
{
    (void)schema;
    *(struct place *)((char *)out + field->offset) = *place;
}
