/* Memory that is freed all at once: for plans, rulesets and value trees. */
#ifndef LN_BASE_ARENA_H
#define LN_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

/* Zero-initialise to start. `cap` bounds the bytes handed out; 0: no bound. */
struct arena {
    struct arena_block *head;
    size_t used;
    size_t cap;
};

/* Zeroed memory aligned for any type, or NULL when out of memory or over the cap. */
void *arena_alloc(struct arena *arena, size_t size);
/* Likewise for `count` elements; NULL also when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A terminated copy of `len` bytes, or NULL. */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
/* A formatted string, or NULL. */
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Overwrites everything that was handed out; to be freed after. */
void arena_wipe(struct arena *arena);
/* Frees everything; the arena can be used again. */
void arena_free(struct arena *arena);

#endif
