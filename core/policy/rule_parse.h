/* A rule on one line, as people write it: `allow@public:tcp:443`, `deny:ingress@10.0.0.0/8`,
 * `allow@dns`. */
#ifndef LN_POLICY_RULE_PARSE_H
#define LN_POLICY_RULE_PARSE_H

#include "base/arena.h"
#include "base/value.h"

/* Turns a line into the table that says the same, unchecked: action, direction, destination,
 * protocols, ports, as far as they are given. The table is in `arena`. Returns 0; -EINVAL when the
 * text has not the shape of a rule; or -ENOMEM. */
int rule_parse(const char *text, size_t len, struct arena *arena, struct ln_value *ret);

#endif
