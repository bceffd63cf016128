/* Errors of set-up and policy: what a caller gets when lunette refuses an input.
 * Malformed guest bytes are never errors: they are drops, counters and events (event.h). */
#ifndef LUNETTE_ERROR_H
#define LUNETTE_ERROR_H

#include <stddef.h>

#if defined(__GNUC__)
#define LN_API __attribute__((visibility("default")))
#else
#define LN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One failure of set-up. Functions that take `ln_error *reterr` fill it on a negative return and
 * leave it alone on success; NULL is allowed. */
typedef struct ln_error {
    int code;           /* negative errno value */
    char message[2000]; /* one sentence, UTF-8, no trailing newline */
} ln_error;

/* One mistake in a policy. Strings belong to the ln_problems that holds the problem. */
typedef struct ln_problem {
    const char *file;     /* as given to the loader; NULL when unknown */
    int line;             /* 1-based; 0 when unknown */
    const char *field;    /* "rules[3].ports[1]"; "" for the policy as a whole */
    const char *found;    /* what stands there, quoted and escaped; NULL when nothing does */
    const char *accepted; /* what would be accepted; NULL when `message` says it all */
    const char *message;  /* the sentence, without file, line and field */
} ln_problem;

/* All mistakes of one policy, in the order of the file. Opaque; NULL-safe. */
typedef struct ln_problems ln_problems;

/* Returns an empty list, or NULL when out of memory. Owner: the caller. */
LN_API ln_problems *ln_problems_new(void);
/* Frees the list and every string in it. Takes NULL. Returns NULL. */
LN_API ln_problems *ln_problems_free(ln_problems *problems);
/* Number of problems; 0 for NULL. */
LN_API size_t ln_problems_count(const ln_problems *problems);
/* The problem at `index` (0-based), or NULL past the end. Borrowed until the list is freed. */
LN_API const ln_problem *ln_problems_get(const ln_problems *problems, size_t index);
/* Writes "file:line: field: message: found X; accepted: Y" to `dst` (always terminated when
 * size > 0). Returns the length it would have, like snprintf. */
LN_API int ln_problem_format(const ln_problem *problem, char *dst, size_t size);

#ifdef __cplusplus
}
#endif
#endif
