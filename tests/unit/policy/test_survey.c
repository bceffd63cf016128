/* The survey against everything asked one by one. */
#include "policy/brute.h"
#include "policy/survey.h"

/* What the policy's functions answer; handlers of a policy under test point here. */
struct answers {
    int when[4];
    int on_connect;
    ln_action action;
};

static int answer_when(void *user, int reference, const ln_flow_view *flow)
{
    (void)flow;
    return ((struct answers *)user)->when[reference];
}

static int answer_connect(void *user, int reference, const ln_flow_view *flow, ln_action *ret)
{
    (void)reference, (void)flow;
    *ret = ((struct answers *)user)->action;
    return ((struct answers *)user)->on_connect;
}

/* A copy without the rule counted from 0, or with all; rules are borrowed. */
static ln_policy *copy_without(const ln_policy *policy, size_t rule)
{
    struct plan plan = {.settings = policy->plan.settings};
    plan.rules = arena_array(&plan.arena, policy->plan.n_rules, sizeof(*plan.rules));
    for (size_t i = 0; i < policy->plan.n_rules; i++) {
        if (i != rule) {
            plan.rules[plan.n_rules++] = policy->plan.rules[i];
        }
    }
    ln_policy *copy;
    assert_int_equal(policy_from_plan(&plan, NULL, &copy), 0);
    return copy;
}

enum { NEEDED = SURVEY_NEEDED | SURVEY_NEEDED_BEYOND_HOST };

struct trial {
    ln_policy *policy;
    ln_policy *without[BRUTE_RULES];
    uint8_t decides[BRUTE_RULES];
};

static bool is_genuine(const struct brute_question *q)
{
    return q->query.direction == LN_INGRESS || q->query.claimed == NULL ||
           (q->pinned[0] != NULL && strcmp(q->query.claimed, q->pinned[0]) == 0);
}

static void try(void *user, struct brute *b, const struct brute_question *q)
{
    static const uint8_t what[] = {SURVEY_CONNECTION, SURVEY_QUERY, SURVEY_ALIAS, SURVEY_ANSWER};
    struct trial *t = user;
    ln_decision decision = brute_ask(b, t->policy, q);
    bool answered = q->what != BRUTE_ANSWER || decision.action == LN_ALLOW ||
                    decision.reason == LN_REASON_REBIND;
    if (decision.rule > 0 && answered) {
        t->decides[decision.rule - 1] |= what[q->what];
        if (q->what == BRUTE_CONNECTION && !q->host) {
            t->decides[decision.rule - 1] |= SURVEY_BEYOND_HOST;
        }
        if (q->what == BRUTE_CONNECTION && is_genuine(q)) {
            t->decides[decision.rule - 1] |= SURVEY_GENUINE;
        }
    }
    for (size_t i = 0; i < t->policy->plan.n_rules; i++) {
        if ((t->decides[i] & SURVEY_NEEDED) != 0 &&
            (q->host || (t->decides[i] & SURVEY_NEEDED_BEYOND_HOST) != 0)) {
            continue;
        }
        ln_decision other = brute_ask(b, t->without[i], q);
        bool same = q->what == BRUTE_CONNECTION
                        ? other.action == decision.action
                        : (other.action == LN_ALLOW) == (decision.action == LN_ALLOW);
        t->decides[i] |= same ? 0 : SURVEY_NEEDED;
        t->decides[i] |= same || q->host || q->what == BRUTE_QUERY ? 0 : SURVEY_NEEDED_BEYOND_HOST;
    }
}

static void try_all(struct trial *t, struct brute *b, bool functions)
{
    static const int said[] = {0, 1, -1};
    struct answers a = {0};
    ln_handlers handlers = {.user = &a, .when = answer_when, .on_connect = answer_connect};
    t->policy->handlers = handlers;
    for (size_t i = 0; i < t->policy->plan.n_rules; i++) {
        t->without[i]->handlers = handlers;
    }
    bool asked = functions && t->policy->ruleset.n_functions > 0;
    bool hooked = functions && t->policy->plan.settings.on_connect != 0;
    for (int k = 0; k < (asked ? 9 : 1); k++) {
        a.when[1] = said[k / 3];
        a.when[2] = said[k % 3];
        for (int on = 0; on < (hooked ? 2 : 1); on++) {
            a.on_connect = on;
            a.action = LN_ALLOW;
            brute_each(b, try, t);
        }
    }
}

static void compare(struct rng *rng, uint32_t most, bool names, bool functions, uint32_t found[6])
{
    struct trial t = {.policy = brute_policy(rng, most, names, functions)};
    size_t n = t.policy->plan.n_rules;
    struct survey survey;
    assert_int_equal(survey_make(&survey, t.policy), 0);
    for (size_t i = 0; i < n; i++) {
        t.without[i] = copy_without(t.policy, i);
    }
    struct brute b = {0};
    brute_add(&b, t.policy);
    try_all(&t, &b, functions);
    for (size_t i = 0; i < n; i++) {
        /* A rule with a function counts as needed wherever it decides. */
        if (t.policy->plan.rules[i].when != 0) {
            t.decides[i] |= (uint8_t)(survey.decides[i] & NEEDED);
        }
        if (rule_is_by_name(&t.policy->plan.rules[i]) && (t.decides[i] & SURVEY_NEEDED) != 0) {
            t.decides[i] |= SURVEY_NEEDED_BEYOND_HOST;
        }
        if (t.decides[i] != survey.decides[i]) {
            brute_print(t.policy);
            fail_msg("rule %zu: found %#x, asking finds %#x", i + 1, survey.decides[i],
                     t.decides[i]);
        }
        for (unsigned bit = 0; bit < 6; bit++) {
            found[bit] += (t.decides[i] >> bit & 1) == 0;
        }
        found[5] -= (t.decides[i] & 0x1f) == 0; /* not needed, although it decides something */
    }
    for (size_t i = 0; i < n; i++) {
        ln_policy_unref(t.without[i]);
    }
    brute_free(&b);
    survey_free(&survey);
    ln_policy_unref(t.policy);
}

/* `count` policies; the environment can ask for more. */
static void compare_many(const char *test, uint64_t seed, int count, uint32_t most, bool names,
                         bool functions)
{
    const char *times = getenv("LN_TEST_TIMES");
    struct rng rng = rng_start(test, seed);
    uint32_t found[6] = {0};
    count *= times != NULL ? atoi(times) : 1;
    for (int i = 0; i < count; i++) {
        compare(&rng, most, names, functions, found);
    }
    print_message("  rules that decide no connection %u, of others' addresses %u; not needed %u\n",
                  found[0], found[4], found[5]);
    assert_in_range(found[0], (uint32_t)count / 20, UINT32_MAX);
    assert_in_range(found[5], (uint32_t)count / 20, UINT32_MAX);
}

static void test_rules_by_address_decide_exactly_what_asking_finds(void **state)
{
    (void)state;
    compare_many(__func__, 1, 12, 8, false, false);
}

static void test_rules_by_name_decide_exactly_what_asking_finds(void **state)
{
    (void)state;
    compare_many(__func__, 2, 12, 6, true, false);
}

static void test_functions_may_answer_anything(void **state)
{
    (void)state;
    compare_many(__func__, 3, 5, 4, true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_by_address_decide_exactly_what_asking_finds),
        cmocka_unit_test(test_rules_by_name_decide_exactly_what_asking_finds),
        cmocka_unit_test(test_functions_may_answer_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
