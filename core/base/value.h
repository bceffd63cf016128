/* A configuration as a tree of values, wherever it was written (Lua, JSON, C): what policy/config.c
 * validates. Every node remembers its file and line. All memory belongs to one arena. */
#ifndef LN_BASE_VALUE_H
#define LN_BASE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum value_type {
    VALUE_NIL,
    VALUE_BOOLEAN,
    VALUE_INTEGER,
    VALUE_NUMBER,
    VALUE_STRING,
    VALUE_TABLE,
    VALUE_FUNCTION,
    VALUE_OTHER /* userdata, thread: never valid, kept for the error message */
};

struct ln_value {
    enum value_type type;
    int line;           /* 1-based, 0: unknown */
    const char *file;   /* NULL: unknown */
    const char *origin; /* the user's own path of this value where it differs from where it stands
                           ("rules[3]"), or NULL */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *data; /* terminated, but may hold NUL bytes inside */
            size_t len;
        } string;
        struct value_table *table;
        int function; /* the handler's reference, > 0 */
    };
};

struct value_entry {
    struct ln_value key; /* VALUE_STRING or VALUE_INTEGER (or whatever was found, for the error) */
    struct ln_value value;
};

/* Keys 1..n_items are in `items`; every other key is in `entries`, in no particular order. */
struct value_table {
    struct ln_value *items;
    size_t n_items;
    struct value_entry *entries;
    size_t n_entries;
};

/* The entry's value under a string key, or NULL. */
const struct ln_value *value_get(const struct ln_value *table, const char *key);
/* "a string", "a table", … for messages. */
const char *value_type_name(enum value_type type);

#endif
