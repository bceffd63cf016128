/* A policy: a plan and its compiled form, shared by reference. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/host.h"
#include "policy/ruleset.h"

int policy_from_plan(struct plan *plan, const ln_handlers *handlers, ln_policy **ret)
{
    ln_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL) {
        return -ENOMEM;
    }
    uint8_t key[16];
    host_services_system.random(host_services_system.user, key, sizeof(key));
    int r = ruleset_compile(&policy->ruleset, plan->rules, plan->n_rules, hash_key_from(key));
    if (r < 0) {
        free(policy);
        return r;
    }
    policy->references = 1;
    policy->plan = *plan;
    *plan = (struct plan){0};
    if (handlers != NULL) {
        policy->handlers = *handlers;
    }
    *ret = policy;
    return 0;
}

int ln_policy_new(const ln_value *config, const ln_handlers *handlers, ln_policy **ret,
                  ln_problems *problems)
{
    struct plan plan = {0};
    struct geo *geo = NULL;
    int r = plan_build(config, &plan, problems);
    if (r != -ENOMEM) { /* all mistakes in one go */
        int opened = geo_open(config, &geo, problems);
        r = opened < 0 ? opened : r;
        problems_sort(problems);
    }
    ln_policy *policy = NULL;
    r = r < 0 ? r : policy_from_plan(&plan, handlers, &policy);
    plan_free(&plan);
    if (r < 0) {
        geo_close(geo);
        return r;
    }
    policy->geo = geo;
    *ret = policy;
    return 0;
}

ln_policy *ln_policy_ref(ln_policy *policy)
{
    policy->references++;
    return policy;
}

ln_policy *ln_policy_unref(ln_policy *policy)
{
    if (policy == NULL) {
        return NULL;
    }
    assert(policy->references > 0);
    if (--policy->references == 0) {
        if (policy->handlers.release != NULL) {
            policy->handlers.release(policy->handlers.user);
        }
        ruleset_free(&policy->ruleset);
        plan_free(&policy->plan);
        geo_close(policy->geo);
        free(policy);
    }
    return NULL;
}

const ln_settings *ln_policy_settings(const ln_policy *policy)
{
    return &policy->plan.settings;
}

size_t ln_policy_rule_count(const ln_policy *policy)
{
    return policy->plan.n_rules;
}

const ln_rule *ln_policy_rule(const ln_policy *policy, size_t index)
{
    return index >= 1 && index <= policy->plan.n_rules ? &policy->plan.rules[index - 1] : NULL;
}

const char *ln_policy_handler_error(const ln_policy *policy)
{
    const ln_handlers *handlers = &policy->handlers;
    return handlers->last_error != NULL ? handlers->last_error(handlers->user) : NULL;
}

int ln_policy_judge_violation(const ln_policy *policy, const ln_secret *secret,
                              const ln_violation_view *view, ln_violation *ret)
{
    const ln_handlers *handlers = &policy->handlers;
    *ret = secret->on_violation;
    if (secret->on_violation != LN_VIOLATION_HANDLER) {
        return 0;
    }
    if (handlers->on_violation == NULL ||
        handlers->on_violation(handlers->user, secret->violation_handler, view, ret) < 0 ||
        *ret == LN_VIOLATION_HANDLER) {
        *ret = LN_VIOLATION_BLOCK_AND_LOG;
        return -EIO;
    }
    return 0;
}
