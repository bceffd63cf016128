/* Differences of policies against everything asked of both. */
#include "policy/brute.h"
#include "policy/diff.h"

struct trial {
    ln_policy *a, *b;
    struct diff diff;
    uint32_t n_differ;
};

static bool is_below(const char *name, const char *apex)
{
    size_t len = strlen(name);
    size_t apex_len = strlen(apex);
    return len > apex_len && name[len - apex_len - 1] == '.' &&
           strcmp(name + len - apex_len, apex) == 0;
}

static bool names(const struct diff_region *region, const char *name)
{
    return name != NULL && (region->below ? is_below(name, region->destination + 1)
                                          : strcmp(name, region->destination) == 0);
}

static ln_action end_of(const struct brute_question *q, ln_decision decision)
{
    return q->what != BRUTE_CONNECTION && decision.action == LN_REJECT ? LN_DENY : decision.action;
}

static bool holds(const struct diff_region *region, const struct brute_question *q, ln_decision a,
                  ln_decision b)
{
    bool has_port = false;
    bool connection = q->what == BRUTE_CONNECTION;
    for (uint32_t i = 0; i < region->ports.n; i++) {
        uint16_t port = connection ? q->query.port : 0;
        has_port |= region->ports.at[i].first <= port && port <= region->ports.at[i].last;
    }
    if ((int)region->kind != (int)q->what || !has_port || region->from != end_of(q, a) ||
        region->to != end_of(q, b) ||
        ((connection || q->what == BRUTE_QUERY) &&
         (region->protocols & LN_PROTOCOL_BIT(q->query.protocol)) == 0) ||
        (connection && region->direction != q->query.direction)) {
        return false;
    }
    return region->by_name ? names(region, q->query.claimed) || names(region, q->pinned[0]) ||
                                 names(region, q->pinned[1])
                           : region->rule_a == a.rule && region->rule_b == b.rule;
}

static void try(void *user, struct brute *b, const struct brute_question *q)
{
    struct trial *t = user;
    if (q->query.name_state == LN_NAME_UNKNOWN) {
        return; /* it hangs on what is shown then */
    }
    ln_decision one = brute_ask(b, t->a, q);
    ln_decision two = brute_ask(b, t->b, q);
    if (end_of(q, one) == end_of(q, two)) {
        return;
    }
    t->n_differ++;
    for (size_t i = 0; i < t->diff.n_regions; i++) {
        if (holds(&t->diff.regions[i], q, one, two)) {
            return;
        }
    }
    brute_print(t->a);
    brute_print(t->b);
    brute_print_question(q);
    fail_msg("not told: %s by %u, then %s by %u", ln_action_name(one.action), one.rule,
             ln_action_name(two.action), two.rule);
}

/* The example of a region is judged differently, as the region says. */
static void check_example(struct trial *t, struct brute *b, const struct diff_region *region)
{
    const struct diff_example *e = &region->example;
    struct brute_question q = {
        .what = (int)region->kind,
        .query = {.direction = region->direction,
                  .protocol = e->protocol,
                  .address = e->address,
                  .port = e->port},
        .host = (int)e->owner,
    };
    if (q.what == BRUTE_QUERY || q.what == BRUTE_ALIAS) {
        q.query.claimed = e->names[0] != NULL ? e->names[0] : "stranger";
    } else if (e->claimed != NULL) {
        q.query.name_state = LN_NAME_SHOWN;
        q.query.claimed = e->claimed;
    }
    for (int i = 0; i < 2 && q.what == BRUTE_CONNECTION && e->names[i] != NULL; i++) {
        brute_pin(b, e->names[i], &e->address);
        q.pinned[i] = e->names[i];
    }
    ln_action from = end_of(&q, brute_ask(b, t->a, &q));
    ln_action to = end_of(&q, brute_ask(b, t->b, &q));
    if (from != region->from || to != region->to || from == to) {
        brute_print(t->a);
        brute_print(t->b);
        brute_print_question(&q);
        fail_msg("%s: told %s to %s, is %s to %s", region->destination,
                 ln_action_name(region->from), ln_action_name(region->to), ln_action_name(from),
                 ln_action_name(to));
    }
    for (int i = 0; i < 2; i++) {
        if (q.pinned[i] != NULL) {
            ln_pins_revoke(b->pins, q.pinned[i]);
        }
    }
}

static void compare(struct trial *t)
{
    struct brute b = {0};
    assert_int_equal(diff_make(&t->diff, t->a, t->b), 0);
    brute_add(&b, t->a);
    brute_add(&b, t->b);
    brute_each(&b, try, t);
    bool widened = false;
    for (size_t i = 0; i < t->diff.n_regions; i++) {
        check_example(t, &b, &t->diff.regions[i]);
        widened |= t->diff.regions[i].to == LN_ALLOW;
    }
    assert_int_equal(widened, t->diff.widened);
    brute_free(&b);
    diff_free(&t->diff);
    ln_policy_unref(t->a);
    ln_policy_unref(t->b);
}

/* The policy with its rules in another order, or with some left out. */
static ln_policy *alter(struct rng *rng, const ln_policy *policy)
{
    struct plan plan = {.settings = policy->plan.settings};
    size_t n = policy->plan.n_rules;
    plan.rules = arena_array(&plan.arena, n, sizeof(*plan.rules));
    for (size_t i = 0; i < n; i++) {
        if (!rng_chance(rng, 15)) {
            plan.rules[plan.n_rules++] = policy->plan.rules[i];
        }
    }
    for (size_t i = 1; i < plan.n_rules; i++) {
        size_t k = rng_below(rng, (uint32_t)i + 1);
        if (rng_chance(rng, 30)) {
            ln_rule rule = plan.rules[i];
            plan.rules[i] = plan.rules[k];
            plan.rules[k] = rule;
        }
    }
    ln_policy *altered;
    assert_int_equal(policy_from_plan(&plan, NULL, &altered), 0);
    return altered;
}

static void compare_many(const char *test, uint64_t seed, int count, uint32_t most, bool names_too)
{
    const char *times = getenv("LN_TEST_TIMES");
    struct rng rng = rng_start(test, seed);
    uint32_t n_differ = 0;
    count *= times != NULL ? atoi(times) : 1;
    for (int i = 0; i < count; i++) {
        struct trial t = {.a = brute_policy(&rng, most, names_too, false)};
        ln_policy *kept = ln_policy_ref(t.a); /* the other borrows its rules */
        t.b = i % 3 == 0 ? brute_policy(&rng, most, names_too, false) : alter(&rng, t.a);
        compare(&t);
        ln_policy_unref(kept);
        n_differ += t.n_differ > 0;
    }
    print_message("  %u pairs differ\n", n_differ);
    assert_in_range(n_differ, (uint32_t)count / 4, UINT32_MAX);
}

static void test_addresses_differ_exactly_where_asking_both_differs(void **state)
{
    (void)state;
    compare_many(__func__, 1, 8, 6, false);
}

static void test_names_differ_exactly_where_asking_both_differs(void **state)
{
    (void)state;
    compare_many(__func__, 2, 15, 6, true);
}

static void test_a_policy_does_not_differ_from_itself(void **state)
{
    (void)state;
    struct rng rng = rng_start(__func__, 3);
    for (int i = 0; i < 50; i++) {
        ln_policy *policy = brute_policy(&rng, BRUTE_RULES, true, true);
        struct diff diff;
        assert_int_equal(diff_make(&diff, policy, policy), 0);
        assert_int_equal(diff.n_regions, 0);
        assert_false(diff.widened || diff.on_connect);
        diff_free(&diff);
        ln_policy_unref(policy);
    }
}

static void test_one_rule_is_one_region(void **state)
{
    (void)state;
    ln_policy *a = POLICY("allow host tcp,udp 53");
    ln_policy *b = POLICY("allow host tcp,udp 53", "allow public tcp,udp 80,443");
    struct diff diff;
    assert_int_equal(diff_make(&diff, a, b), 0);
    assert_int_equal(diff.n_regions, 1);
    const struct diff_region *region = &diff.regions[0];
    assert_string_equal(region->destination, "public");
    assert_int_equal(region->protocols, LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP));
    assert_int_equal(region->ports.n, 2);
    assert_int_equal(region->ports.at[0].first, 80);
    assert_int_equal(region->ports.at[1].last, 443);
    assert_int_equal(region->rule_a, 0);
    assert_int_equal(region->rule_b, 2);
    assert_true(diff.widened);
    diff_free(&diff);
    assert_int_equal(diff_make(&diff, b, a), 0);
    assert_int_equal(diff.n_regions, 1);
    assert_false(diff.widened);
    diff_free(&diff);
    ln_policy_unref(a);
    ln_policy_unref(b);
}

static void test_a_function_counts_as_yes_and_as_no(void **state)
{
    (void)state;
    ln_policy *a = POLICY("allow 192.0.2.1 tcp 1 when=1");
    ln_policy *b = POLICY("allow 192.0.2.1 tcp 1");
    struct diff diff;
    assert_int_equal(diff_make(&diff, a, b), 0);
    assert_int_equal(diff.n_regions, 1);
    assert_int_equal(diff.regions[0].functions, 1); /* the same where it says yes */
    assert_true(diff.widened);
    diff_free(&diff);
    ln_policy_unref(a);
    ln_policy_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_differ_exactly_where_asking_both_differs),
        cmocka_unit_test(test_names_differ_exactly_where_asking_both_differs),
        cmocka_unit_test(test_a_policy_does_not_differ_from_itself),
        cmocka_unit_test(test_one_rule_is_one_region),
        cmocka_unit_test(test_a_function_counts_as_yes_and_as_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
