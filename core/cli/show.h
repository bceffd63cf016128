/* Rules and decisions as text and JSON, the same in all subcommands. */
#ifndef LN_CLI_SHOW_H
#define LN_CLI_SHOW_H

#include "base/arena.h"
#include "cli/json.h"
#include "lunette/policy.h"

/* The one-line form; in the arena, "" when out of memory. */
const char *show_rule(struct arena *arena, const ln_rule *rule);
/* "policy.lua:4", or "" where it is not known; in the arena. */
const char *show_source(struct arena *arena, const ln_rule *rule);
/* What stands in JSON for a function, which no policy can be loaded with: left out, the rule would
 * open more. */
#define A_FUNCTION "a function, which JSON cannot hold"
/* The fields of a rule, into an open JSON object; a policy takes them. */
void show_rule_json(struct arena *arena, struct json *json, size_t index, const ln_rule *rule);
/* What decided, for people: "rule 3 (policy.lua:4): allow@public"; in the arena. */
const char *show_reason(struct arena *arena, const ln_policy *policy, ln_direction direction,
                        const ln_decision *decision);
/* Why no policy can open a DNS query that lunette answers with this response code. */
const char *show_dns_refusal(unsigned rcode);
/* Why a rule did not match, for people. */
const char *show_miss(ln_miss miss);

#endif
