/* A policy's configuration built in C: the table that a policy file returns, key by key, for
 * ln_policy_new(). What only Lua has (presets, builder chains, functions) is not for here. */
#ifndef LUNETTE_TABLE_H
#define LUNETTE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lunette/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ln_table ln_table;

/* An empty configuration, or NULL when out of memory. */
LN_API ln_table *ln_table_new(void);
/* With all tables in it. Only of ln_table_new(). Takes NULL, returns NULL. */
LN_API ln_table *ln_table_free(ln_table *root);

/* Each sets a key, or with `key` NULL appends to the list; strings are copied. They take a NULL
 * table, so that only the last call of a row needs to be looked at. Return 0 or -ENOMEM. */
LN_API int ln_table_set_string(ln_table *table, const char *key, const char *value);
LN_API int ln_table_set_integer(ln_table *table, const char *key, int64_t value);
LN_API int ln_table_set_boolean(ln_table *table, const char *key, bool value);
/* Likewise an empty table, which belongs to the root. NULL when out of memory. */
LN_API ln_table *ln_table_set_table(ln_table *table, const char *key);

/* The configuration for ln_policy_new(); borrowed until it is changed or freed. */
LN_API const ln_value *ln_table_value(const ln_table *root);

#ifdef __cplusplus
}
#endif
#endif
