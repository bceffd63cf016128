/* Filling an ln_error. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail_with(ln_error *reterr, int code, const char *format, ...)
{
    if (reterr != NULL) {
        va_list args;
        va_start(args, format);
        reterr->code = code;
        (void)vsnprintf(reterr->message, sizeof(reterr->message), format, args);
        va_end(args);
    }
    return code;
}
