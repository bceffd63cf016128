/* Plans from configurations written as text, and their mistakes. */
#ifndef PLAN_FIXTURE_H
#define PLAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "policy/config_text.h"
#include "policy/plan.h"

/* A plan of a good configuration, to be freed. */
static inline struct plan plan_of(const char *config)
{
    struct arena arena = {0};
    struct ln_value value = config_parse(&arena, "p.lua", config);
    struct plan plan = {0};
    ln_problems *problems = ln_problems_new();
    int r = plan_build(&value, &plan, problems);
    if (r != 0) {
        char line[2048] = "no problem told";
        if (ln_problems_count(problems) > 0) {
            ln_problem_format(ln_problems_get(problems, 0), line, sizeof(line));
        }
        fail_msg("%s: %s", config, line);
    }
    ln_problems_free(problems);
    arena_free(&arena); /* nothing in the plan points into it */
    return plan;
}

/* The problems of a bad configuration, to be freed. */
static inline ln_problems *problems_of(const char *config)
{
    struct arena arena = {0};
    struct ln_value value = config_parse(&arena, "p.lua", config);
    struct plan plan = {0};
    ln_problems *problems = ln_problems_new();
    if (plan_build(&value, &plan, problems) != -EINVAL) {
        fail_msg("accepted: %s", config);
    }
    assert_null(plan.rules);
    assert_int_equal(plan.n_rules, 0);
    assert_true(ln_problems_count(problems) > 0);
    arena_free(&arena);
    return problems;
}

struct mistake {
    const char *config, *field, *message, *found; /* found may be NULL: nothing stands there */
};

/* Each configuration has exactly the one mistake. */
static inline void assert_mistakes(const struct mistake *mistakes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct mistake *expected = &mistakes[i];
        ln_problems *problems = problems_of(expected->config);
        const ln_problem *problem = ln_problems_get(problems, 0);
        if (ln_problems_count(problems) != 1) {
            char line[2048];
            ln_problem_format(ln_problems_get(problems, 1), line, sizeof(line));
            fail_msg("%s: also: %s", expected->config, line);
        }
        assert_string_equal(problem->field, expected->field);
        assert_string_equal(problem->message, expected->message);
        if (expected->found == NULL) {
            assert_null(problem->found);
        } else {
            assert_non_null(problem->found);
            assert_string_equal(problem->found, expected->found);
        }
        assert_string_equal(problem->file, "p.lua");
        assert_int_equal(problem->line, 1);
        ln_problems_free(problems);
    }
}

#define ASSERT_MISTAKES(mistakes)                                                                  \
    assert_mistakes(mistakes, sizeof(mistakes) / sizeof((mistakes)[0]))

/* The plan's rules on one line each. */
static inline void assert_rules(const char *config, const char *const *lines, size_t n)
{
    struct plan plan = plan_of(config);
    for (size_t i = 0; i < plan.n_rules && i < n; i++) {
        char line[512];
        ln_rule_format(&plan.rules[i], line, sizeof(line));
        assert_string_equal(line, lines[i]);
    }
    assert_int_equal(plan.n_rules, n);
    plan_free(&plan);
}

#define ASSERT_RULES(config, ...)                                                                  \
    assert_rules(config, (const char *const[]){__VA_ARGS__},                                       \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

#endif
