/* A plan: the validated, expanded description of a policy, between the configuration as written
 * (base/value.h) and the compiled tables (ruleset.h). */
#ifndef LN_POLICY_PLAN_H
#define LN_POLICY_PLAN_H

#include "base/arena.h"
#include "base/problems.h"
#include "base/value.h"
#include "lunette/policy.h"

struct plan {
    struct arena arena; /* owns everything below */
    ln_rule *rules;     /* expanded: deny lists first, then `rules` in order */
    size_t n_rules;
    size_t n_handlers; /* rules with `when`, plus on_connect */
    ln_settings settings;
};

/* Validates `config` against the schema of SPEC section 1 and expands it. Every mistake is added to
 * `problems`; on any, -EINVAL and *plan is empty. -ENOMEM when out of memory. `*plan` need not be
 * initialised. */
int plan_build(const struct ln_value *config, struct plan *plan, ln_problems *problems);
void plan_free(struct plan *plan);

#endif
