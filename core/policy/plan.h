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
    size_t n_handlers; /* fields that hold a function: `when`, on_connect, … */
    ln_settings settings;
};

/* Validates `config` and expands it: deny lists and presets become rules, lists of destinations one
 * rule each. Every mistake is added to `problems`; on any, -EINVAL and *plan is empty. -ENOMEM when
 * out of memory. `*plan` is zero, but for arena.cap. Nothing in it points into `config`. */
int plan_build(const struct ln_value *config, struct plan *plan, ln_problems *problems);
/* Frees it, wiping secrets. */
void plan_free(struct plan *plan);

#endif
