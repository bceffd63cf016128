/* Whether a name is one of those that a pattern stands for. All names are canonical. */
#ifndef LN_POLICY_NAME_PATTERN_H
#define LN_POLICY_NAME_PATTERN_H

#include <stdbool.h>
#include <string.h>

#include "lunette/policy.h"

/* Whether `name` is below `up`, at any depth; not `up` itself. */
static inline bool name_is_below(const char *name, const char *up)
{
    size_t len = strlen(name), up_len = strlen(up);
    return len > up_len && name[len - up_len - 1] == '.' && strcmp(name + len - up_len, up) == 0;
}

static inline bool name_pattern_matches(const ln_name_pattern *pattern, const char *name)
{
    return pattern->below ? name_is_below(name, pattern->name) : strcmp(name, pattern->name) == 0;
}

#endif
