/* Adding to a list of problems (lunette/error.h). */
#ifndef LN_BASE_PROBLEMS_H
#define LN_BASE_PROBLEMS_H

#include "lunette/error.h"

/* Adds a problem; strings are copied. `file`, `found` and `accepted` may be NULL, `problems` too:
 * then nobody wants to know. Returns 0 or -ENOMEM. */
int problems_add(ln_problems *problems, const char *file, int line, const char *field,
                 const char *found, const char *accepted, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* Brings them into the order of their files and lines; those of one line stay in the order in which
 * they were added. */
void problems_sort(ln_problems *problems);

#endif
