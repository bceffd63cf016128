/* Filling an ln_error. */
#ifndef LN_BASE_FAIL_H
#define LN_BASE_FAIL_H

#include "lunette/error.h"

/* Fills *reterr (may be NULL) and returns `code`, a negative errno. */
int fail_with(ln_error *reterr, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
