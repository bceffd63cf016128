/* Compiling: how much the tables take, and that memory may run out at any point. What the tables
 * say is the matter of test_differential.c. */
#include "policy/fixture.h"

#include "failing_alloc.h"

static int mixed_line(char *line, size_t size, uint32_t i)
{
    uint32_t a = i / 8 % 250;
    uint32_t b = i / 2000;
    switch (i % 8) {
    case 0:
        return snprintf(line, size, "allow 10.%u.%u.0/24 tcp 443", a, b);
    case 1:
        return snprintf(line, size, "deny 172.16.%u.%u", a, b);
    case 2:
        return snprintf(line, size, "allow h%u.d%u.example tcp 443", a, b);
    case 3:
        return snprintf(line, size, "deny .s%u.d%u.example", a, b);
    case 4:
        return snprintf(line, size, "allow 2001:db8:%x:%x::/64 udp 53", a, b);
    case 5:
        return snprintf(line, size, "reject private tcp %u-%u", 100 + a, 200 + a);
    case 6:
        return snprintf(line, size, "allow * udp %u,%u when=1", 1 + a, 1000 + b);
    default:
        return snprintf(line, size, "allow:any * tcp %u,%u", 1 + a, 1000 + b);
    }
}

/* Rules of every kind, `n` in all. */
static ln_rule *mixed_rules(struct arena *arena, uint32_t n)
{
    ln_rule *rules = arena_array(arena, n, sizeof(*rules));
    for (uint32_t i = 0; i < n; i++) {
        char line[96];
        mixed_line(line, sizeof(line), i);
        rules[i] = rule_of(arena, line);
    }
    return rules;
}

static void test_no_rules_compile_to_tables_in_which_nothing_is_found(void **state)
{
    (void)state;
    struct ruleset rs = {0};
    assert_int_equal(ruleset_compile(&rs, NULL, 0, test_key()), 0);
    struct search search = {.kind = SEARCH_FIXED, .port = 80, .best = RULE_NONE};
    ln_addr addr = addr_of("10.0.0.1");
    ruleset_search_any(&rs, &search);
    ruleset_search_group(&rs, LN_GROUP_PRIVATE, &search);
    ruleset_search_prefixes(&rs, &addr, &search);
    ruleset_search_name(&rs, "a.example", 9, SIDE_ALLOW | SIDE_DENY, &search);
    assert_int_equal(search.best, RULE_NONE);
    assert_int_equal(rs.group_min, RULE_NONE);
    ruleset_free(&rs);
    ruleset_free(&rs);
}

static void test_rules_of_one_destination_share_a_bucket(void **state)
{
    (void)state;
    struct arena arena = {0};
    const char *lines[] = {"allow 10.0.0.0/8 tcp 1", "allow 10.0.0.0/8 udp 2", "deny 10.0.0.0/8",
                           "allow a.example tcp 1",  "allow a.example udp 2",  "deny a.example"};
    ln_rule rules[6];
    for (int i = 0; i < 6; i++) {
        rules[i] = rule_of(&arena, lines[i]);
    }
    struct ruleset rs = {0};
    assert_int_equal(ruleset_compile(&rs, rules, 6, test_key()), 0);
    /* One prefix; a name has one bucket for rules that allow and one for those that refuse. */
    assert_int_equal(rs.n_buckets, BUCKET_PREFIX_0 + 1 + 2);
    ruleset_free(&rs);
    arena_free(&arena);
}

static void test_a_search_finds_nothing_from_its_limit_on(void **state)
{
    (void)state;
    struct arena arena = {0};
    ln_rule rules[] = {rule_of(&arena, "deny 10.0.0.0/8"), rule_of(&arena, "allow *")};
    struct ruleset rs = {0};
    assert_int_equal(ruleset_compile(&rs, rules, 2, test_key()), 0);
    struct search search = {.kind = SEARCH_FIXED, .port = 80, .best = 1};
    ruleset_search_any(&rs, &search);
    assert_int_equal(search.best, 1);
    search.best = 2;
    ruleset_search_any(&rs, &search);
    assert_int_equal(search.best, 1);
    ruleset_free(&rs);
    arena_free(&arena);
}

static void test_tables_grow_in_proportion_to_the_rules(void **state)
{
    (void)state;
    struct arena arena = {0};
    ln_rule *rules = mixed_rules(&arena, 32000);
    const size_t sizes[] = {1000, 32000};
    for (int i = 0; i < 2; i++) {
        struct ruleset rs = {0};
        assert_int_equal(ruleset_compile(&rs, rules, sizes[i], test_key()), 0);
        assert_in_range(rs.arena.used / sizes[i], 1, 256);
        ruleset_free(&rs);
    }
    arena_free(&arena);
}

static void test_a_cap_on_memory_is_kept(void **state)
{
    (void)state;
    struct arena arena = {0};
    ln_rule *rules = mixed_rules(&arena, 1000);
    struct ruleset rs = {.arena = {.cap = 16 * 1024}};
    assert_int_equal(ruleset_compile(&rs, rules, 1000, test_key()), -ENOMEM);
    assert_null(rs.buckets);
    assert_int_equal(ruleset_compile(&rs, rules, UINT32_MAX, test_key()), -ENOMEM);
    arena_free(&arena);
}

static void test_memory_that_runs_out_at_any_point_leaves_nothing_behind(void **state)
{
    (void)state;
    struct arena arena = {0};
    ln_rule *rules = mixed_rules(&arena, 200);
    int r = -ENOMEM;
    for (long n = 0; r != 0; n++) {
        struct ruleset rs = {0};
        allocations_left = n;
        r = ruleset_compile(&rs, rules, 200, test_key());
        allocations_left = -1;
        assert_true(r == 0 || (r == -ENOMEM && rs.arena.head == NULL));
        assert_true(r != 0 || n > 5);
        ruleset_free(&rs);
    }
    arena_free(&arena);
}

static void test_a_policy_out_of_memory_leaves_the_plan_to_its_owner(void **state)
{
    (void)state;
    int r = -ENOMEM;
    for (long n = 0; r != 0; n++) {
        struct plan plan = {0};
        plan.rules = mixed_rules(&plan.arena, 50);
        plan.n_rules = 50;
        ln_policy *policy = NULL;
        allocations_left = n;
        r = policy_from_plan(&plan, NULL, &policy);
        allocations_left = -1;
        assert_int_equal(plan.n_rules, r == 0 ? 0 : 50);
        assert_true((policy != NULL) == (r == 0));
        plan_free(&plan);
        ln_policy_unref(policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rules_compile_to_tables_in_which_nothing_is_found),
        cmocka_unit_test(test_rules_of_one_destination_share_a_bucket),
        cmocka_unit_test(test_a_search_finds_nothing_from_its_limit_on),
        cmocka_unit_test(test_tables_grow_in_proportion_to_the_rules),
        cmocka_unit_test(test_a_cap_on_memory_is_kept),
        cmocka_unit_test(test_memory_that_runs_out_at_any_point_leaves_nothing_behind),
        cmocka_unit_test(test_a_policy_out_of_memory_leaves_the_plan_to_its_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
