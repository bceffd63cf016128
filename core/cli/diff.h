/* What two policies judge differently, shown. */
#ifndef LN_CLI_DIFF_H
#define LN_CLI_DIFF_H

#include <stdbool.h>

#include "lunette/policy.h"

/* Prints the differences to stdout. Returns the exit status of `lunette diff`. */
int diff_show(const ln_policy *a, const ln_policy *b, bool as_json);

#endif
