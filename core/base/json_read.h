/* JSON (RFC 8259) as a tree of values. Strict: nothing behind the value, no key twice in an object,
 * UTF-8 only, no surrogate alone, no number that a double cannot hold. */
#ifndef LN_BASE_JSON_READ_H
#define LN_BASE_JSON_READ_H

#include "base/value.h"

#define JSON_DEPTH_MAX 64 /* arrays and objects in each other */

struct json_mistake {
    int line;            /* 1-based */
    const char *message; /* static: "a string is not ended" */
};

/* Reads `len` bytes. Everything goes to the arena, and has its line and `file` (borrowed, may be
 * NULL). null is VALUE_NIL; a number without fraction and exponent that fits is VALUE_INTEGER.
 * Returns 0 with *ret; -EINVAL with *ret_mistake (may be NULL); or -ENOMEM. */
int json_read(struct arena *arena, const char *file, const char *text, size_t len,
              struct ln_value *ret, struct json_mistake *ret_mistake);

#endif
