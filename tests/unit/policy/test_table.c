/* A configuration that is built in C. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lunette/table.h"

static ln_policy *compile(const ln_table *config, ln_problems *problems)
{
    ln_policy *policy = NULL;
    int r = ln_policy_new(ln_table_value(config), NULL, &policy, problems);
    assert_int_equal(r == 0, policy != NULL);
    return policy;
}

static void test_what_was_set_is_what_the_policy_is_made_of(void **state)
{
    ln_problems *problems = ln_problems_new();
    ln_table *config = ln_table_new();
    (void)state;
    ln_table *rules = ln_table_set_table(config, "rules");
    for (int i = 0; i < 20; i++) { /* tables grow and keep what they hold */
        ln_table *rule = ln_table_set_table(rules, NULL);
        ln_table *ports = ln_table_set_table(rule, "ports");
        assert_int_equal(ln_table_set_string(rule, "action", "deny"), 0);
        assert_int_equal(ln_table_set_string(rule, "destination", "public"), 0);
        assert_int_equal(ln_table_set_integer(ports, NULL, 100 + i), 0);
        assert_int_equal(ln_table_set_string(ports, NULL, "8000-9000"), 0);
    }
    assert_int_equal(
        ln_table_set_boolean(ln_table_set_table(config, "dns"), "rebind_protection", false), 0);
    assert_int_equal(ln_table_set_string(config, "default_egress", "deny"), 0);
    assert_int_equal(ln_table_set_string(config, "default_egress", "allow"),
                     0); /* the last counts */
    ln_policy *policy = compile(config, problems);
    ln_table_free(config);
    assert_non_null(policy);
    assert_int_equal(ln_policy_rule_count(policy), 20);
    const ln_rule *last = ln_policy_rule(policy, 20);
    assert_int_equal(last->n_ports, 2);
    assert_int_equal(last->ports[0].first, 119);
    assert_int_equal(last->ports[1].last, 9000);
    assert_false(ln_policy_settings(policy)->dns_rebind_protection);
    assert_int_equal(ln_policy_settings(policy)->default_egress, LN_ALLOW);
    ln_policy_unref(policy);
    ln_problems_free(problems);
}

static void test_mistakes_are_told_by_their_field(void **state)
{
    ln_problems *problems = ln_problems_new();
    ln_table *config = ln_table_new();
    (void)state;
    ln_table *rule = ln_table_set_table(ln_table_set_table(config, "rules"), NULL);
    assert_int_equal(ln_table_set_string(rule, "action", "alow"), 0);
    assert_null(compile(config, problems));
    assert_string_equal(ln_problems_get(problems, 0)->field, "rules[1].action");
    ln_table_free(config);
    ln_problems_free(problems);
}

static void test_a_table_that_could_not_be_made_takes_nothing(void **state)
{
    (void)state;
    assert_null(ln_table_set_table(NULL, "rules"));
    assert_int_equal(ln_table_set_string(NULL, NULL, "x"), -ENOMEM);
    assert_int_equal(ln_table_set_integer(NULL, NULL, 1), -ENOMEM);
    assert_int_equal(ln_table_set_boolean(NULL, NULL, true), -ENOMEM);
    assert_null(ln_table_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_set_is_what_the_policy_is_made_of),
        cmocka_unit_test(test_mistakes_are_told_by_their_field),
        cmocka_unit_test(test_a_table_that_could_not_be_made_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
