/* Memory for values: not swapped, not dumped, not inherited by a fork, overwritten when freed. */
#ifndef LN_SECRETS_LOCKED_H
#define LN_SECRETS_LOCKED_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory between pages that cannot be touched, or NULL. Where RLIMIT_MEMLOCK does not reach,
 * it may be swapped out: *ret_locked is false then. */
void *locked_alloc(size_t size, bool *ret_locked);
/* Overwrites and frees what locked_alloc() gave for this size; takes NULL. */
void locked_free(void *memory, size_t size);

#endif
