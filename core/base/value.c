/* Reading a configuration tree. */
#include "base/value.h"

#include <string.h>

const struct ln_value *value_get(const struct ln_value *table, const char *key)
{
    if (table->type != VALUE_TABLE) {
        return NULL;
    }
    size_t len = strlen(key);
    for (size_t i = 0; i < table->table->n_entries; i++) {
        const struct value_entry *entry = &table->table->entries[i];
        if (entry->key.type == VALUE_STRING && entry->key.string.len == len &&
            memcmp(entry->key.string.data, key, len) == 0) {
            return &entry->value;
        }
    }
    return NULL;
}

const char *value_type_name(enum value_type type)
{
    switch (type) {
    case VALUE_NIL:
        return "nil";
    case VALUE_BOOLEAN:
        return "a boolean";
    case VALUE_INTEGER:
        return "an integer";
    case VALUE_NUMBER:
        return "a number";
    case VALUE_STRING:
        return "a string";
    case VALUE_TABLE:
        return "a table";
    case VALUE_FUNCTION:
        return "a function";
    case VALUE_OTHER:
        break;
    }
    return "a value of another type";
}
