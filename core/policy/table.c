/* A configuration built in C: a value tree that grows. */
#include "lunette/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/value.h"

struct ln_table {
    ln_value value; /* of the table; first, for ln_table_value() */
    struct value_table table;
    size_t items_room, entries_room;
    struct root *root;
    ln_table *next; /* in root->tables */
};

/* A table's value stands in the table around it, and points back to it: tables keep their places.
 */
struct root {
    ln_table table; /* first */
    struct arena arena;
    ln_table *tables; /* all but the root's own */
};

static void table_init(ln_table *table, struct root *root)
{
    table->root = root;
    table->value = (ln_value){.type = VALUE_TABLE, .table = &table->table};
}

ln_table *ln_table_new(void)
{
    struct root *root = calloc(1, sizeof(*root));
    if (root == NULL) {
        return NULL;
    }
    table_init(&root->table, root);
    return &root->table;
}

static void release(ln_table *table)
{
    free(table->table.items);
    free(table->table.entries);
}

ln_table *ln_table_free(ln_table *table)
{
    if (table == NULL) {
        return NULL;
    }
    struct root *root = table->root;
    while (root->tables != NULL) {
        ln_table *next = root->tables->next;
        release(root->tables);
        free(root->tables);
        root->tables = next;
    }
    release(&root->table);
    arena_free(&root->arena);
    free(root);
    return NULL;
}

/* Makes room for one element more. */
static int reserve(void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room) {
        return 0;
    }
    size_t more = *room == 0 ? 4 : *room * 2;
    void *bigger = reallocarray(*array, more, size);
    if (bigger == NULL) {
        return -ENOMEM;
    }
    *array = bigger;
    *room = more;
    return 0;
}

static int append(ln_table *table, const ln_value *value)
{
    struct value_table *to = &table->table;
    void *items = to->items;
    int r = reserve(&items, to->n_items, &table->items_room, sizeof(ln_value));
    to->items = items;
    if (r == 0) {
        to->items[to->n_items++] = *value;
    }
    return r;
}

static int copy_string(ln_table *table, const char *text, ln_value *ret)
{
    size_t len = strlen(text);
    const char *copy = arena_strndup(&table->root->arena, text, len);
    if (copy == NULL) {
        return -ENOMEM;
    }
    *ret = (ln_value){.type = VALUE_STRING, .string = {.data = copy, .len = len}};
    return 0;
}

static int set(ln_table *table, const char *key, const ln_value *value)
{
    if (key == NULL) {
        return append(table, value);
    }
    ln_value *there = (ln_value *)(uintptr_t)value_get(&table->value, key);
    if (there != NULL) {
        *there = *value;
        return 0;
    }
    struct value_table *to = &table->table;
    struct value_entry entry = {.value = *value};
    int r = copy_string(table, key, &entry.key);
    void *entries = to->entries;
    r = r < 0 ? r : reserve(&entries, to->n_entries, &table->entries_room, sizeof(entry));
    to->entries = entries;
    if (r == 0) {
        to->entries[to->n_entries++] = entry;
    }
    return r;
}

int ln_table_set_string(ln_table *table, const char *key, const char *text)
{
    ln_value value;
    int r = table == NULL ? -ENOMEM : copy_string(table, text, &value);
    return r < 0 ? r : set(table, key, &value);
}

int ln_table_set_integer(ln_table *table, const char *key, int64_t number)
{
    ln_value value = {.type = VALUE_INTEGER, .integer = number};
    return table == NULL ? -ENOMEM : set(table, key, &value);
}

int ln_table_set_boolean(ln_table *table, const char *key, bool boolean)
{
    ln_value value = {.type = VALUE_BOOLEAN, .boolean = boolean};
    return table == NULL ? -ENOMEM : set(table, key, &value);
}

ln_table *ln_table_set_table(ln_table *table, const char *key)
{
    ln_table *inner = table == NULL ? NULL : calloc(1, sizeof(*inner));
    if (inner == NULL) {
        return NULL;
    }
    table_init(inner, table->root);
    if (set(table, key, &inner->value) < 0) {
        free(inner);
        return NULL;
    }
    inner->next = table->root->tables;
    table->root->tables = inner;
    return inner;
}

const ln_value *ln_table_value(const ln_table *root)
{
    return &root->value;
}
