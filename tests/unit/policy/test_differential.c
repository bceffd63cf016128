/* The evaluator against one that was written from the specification alone: thousands of policies,
 * and on each queries that lie on its boundaries. */
#include "policy/fixture.h"

#include "policy/world.h"

enum { WORLDS = 2000, QUERIES = 30 };

static struct source source_start(const char *test, uint64_t fallback)
{
    return (struct source){.state = rng_start(test, fallback).state};
}

static void test_connections_are_judged_as_the_specification_says(void **state)
{
    (void)state;
    struct source s = source_start(__func__, 20240501);
    static struct world w;
    uint32_t by_action[LN_DEFER + 1] = {0};
    uint32_t by_reason[LN_REASONS] = {0};
    uint32_t n_inspected = 0;
    for (int i = 0; i < WORLDS; i++) {
        world_make(&s, &w);
        for (int k = 0; k < QUERIES; k++) {
            ln_query q = choose_query(&s, &w);
            ln_decision decision;
            if (!world_agrees_on(&w, &q, &decision)) {
                fail_msg("world %d, query %d", i, k);
            }
            by_action[decision.action]++;
            by_reason[decision.reason]++;
            n_inspected += decision.inspect;
        }
        world_free(&w);
    }
    /* What never happens is not tested. */
    print_message("  inspect: %u\n", n_inspected);
    assert_in_range(n_inspected, 500, WORLDS * QUERIES);
    for (int action = LN_DENY; action <= LN_DEFER; action++) {
        print_message("  %s: %u\n", ln_action_name((ln_action)action), by_action[action]);
        assert_in_range(by_action[action], 500, WORLDS * QUERIES);
    }
    for (int reason = 0; reason < LN_REASON_REBIND; reason++) {
        print_message("  %s: %u\n", ln_reason_name((ln_reason)reason), by_reason[reason]);
        assert_in_range(by_reason[reason], 500, WORLDS * QUERIES);
    }
}

static void test_queries_names_and_answers_are_judged_as_the_specification_says(void **state)
{
    (void)state;
    struct source s = source_start(__func__, 20240502);
    static struct world w;
    for (int i = 0; i < WORLDS; i++) {
        world_make(&s, &w);
        for (int k = 0; k < 10; k++) {
            ln_addr addr = choose_addr(&s);
            const char *name = choose_name(&s);
            if (!world_agrees_on_dns(&w, name, LN_UDP) || !world_agrees_on_dns(&w, name, LN_TCP) ||
                !world_agrees_on_answer(&w, &addr)) {
                fail_msg("world %d, query %d", i, k);
            }
        }
        world_free(&w);
    }
}

static bool has_functions(const struct world *w)
{
    return w->policy->ruleset.when_min != RULE_NONE || w->naive.settings.on_connect != 0;
}

/* The promise of deferral, said once more without the naive evaluator: a verdict waits exactly if
 * two names (or none) that could be shown end differently: let in, let in to be inspected, or
 * closed. */
static void test_a_verdict_waits_exactly_if_two_names_end_differently(void **state)
{
    (void)state;
    struct source s = source_start(__func__, 20240503);
    static struct world w;
    static const char *const shown[] = {
        NULL,
        "example",
        "a.example",
        "b.example",
        "x.a.example",
        "y.x.a.example",
        "z.y.x.a.example",
        "xa.example",
        "test",
        "a.test",
        "b.a.test",
        "q.example",
        "q.a.example",
        "q.b.example",
        "q.x.a.example",
        "q.y.x.a.example",
        "q.z.y.x.a.example",
        "q.xa.example",
        "q.test",
        "q.a.test",
        "q.b.a.test",
        "stranger",
    };
    uint32_t n_waited = 0;
    uint32_t n_decided = 0;
    for (int i = 0; i < WORLDS; i++) {
        world_make(&s, &w);
        for (int k = 0; k < QUERIES && !has_functions(&w); k++) {
            ln_query q = choose_query(&s, &w);
            q.direction = LN_EGRESS;
            q.protocol = LN_TCP;
            q.name_state = LN_NAME_UNKNOWN;
            q.claimed = NULL;
            q.http_state = LN_HTTP_UNKNOWN;
            ln_decision waiting;
            ln_policy_evaluate(w.policy, w.pins, &w.hosts, &q, &waiting, NULL);
            bool ends[3] = {false};
            for (size_t n = 0; n < sizeof(shown) / sizeof(*shown); n++) {
                q.claimed = shown[n];
                q.name_state = shown[n] == NULL ? LN_NAME_NONE : LN_NAME_SHOWN;
                ln_decision decision;
                ln_policy_evaluate(w.policy, w.pins, &w.hosts, &q, &decision, NULL);
                ends[decision.action != LN_ALLOW ? 0 : decision.inspect ? 1 : 2] = true;
            }
            bool differ = ends[0] + ends[1] + ends[2] > 1;
            assert_int_equal(waiting.action == LN_DEFER, differ);
            n_waited += differ;
            n_decided += !differ;
        }
        world_free(&w);
    }
    assert_in_range(n_waited, 1000, WORLDS * QUERIES);
    assert_in_range(n_decided, 1000, WORLDS * QUERIES);
}

/* A name that is not pinned to the address never opens what is closed without a name. (A function
 * could: it may look at names, or fail where it is asked at all.) */
static void test_a_claim_never_opens_what_is_closed_without_it(void **state)
{
    (void)state;
    struct source s = source_start(__func__, 20240504);
    static struct world w;
    uint32_t n_claims = 0;
    for (int i = 0; i < WORLDS; i++) {
        world_make(&s, &w);
        for (int k = 0; k < QUERIES && !has_functions(&w); k++) {
            ln_query q = choose_query(&s, &w);
            q.claimed = choose_name(&s);
            if (ln_pins_has(w.pins, q.claimed, &q.address, q.now_ns)) {
                continue;
            }
            ln_decision with;
            ln_decision without;
            q.name_state = LN_NAME_SHOWN;
            ln_policy_evaluate(w.policy, w.pins, &w.hosts, &q, &with, NULL);
            q.name_state = LN_NAME_NONE;
            ln_policy_evaluate(w.policy, w.pins, &w.hosts, &q, &without, NULL);
            assert_true(with.action != LN_ALLOW || without.action == LN_ALLOW);
            n_claims++;
        }
        world_free(&w);
    }
    assert_in_range(n_claims, 1000, WORLDS * QUERIES);
}

/* The promise of the set-up: what is refused allows no request, and what need not be inspected
 * refuses none. */
static void test_requests_end_as_their_connection_promised(void **state)
{
    (void)state;
    struct source s = source_start(__func__, 20240505);
    static struct world w;
    uint32_t n_open = 0;
    uint32_t n_closed = 0;
    for (int i = 0; i < WORLDS; i++) {
        world_make(&s, &w);
        for (int k = 0; k < QUERIES && w.policy->ruleset.http_min != RULE_NONE; k++) {
            ln_query q = choose_query(&s, &w);
            ln_query request = q;
            q.http_state = LN_HTTP_UNKNOWN;
            q.name_state = q.claimed == NULL ? LN_NAME_NONE : LN_NAME_SHOWN;
            request.name_state = q.name_state;
            ln_decision set_up;
            ln_decision decision;
            ln_policy_evaluate(w.policy, w.pins, &w.hosts, &q, &set_up, NULL);
            ln_policy_evaluate(w.policy, w.pins, &w.hosts, &request, &decision, NULL);
            if (request.http_state != LN_HTTP_UNKNOWN && !set_up.inspect) {
                assert_int_equal(decision.action == LN_ALLOW, set_up.action == LN_ALLOW);
                assert_false(decision.inspect);
                n_open += set_up.action == LN_ALLOW;
                n_closed += set_up.action != LN_ALLOW;
            }
        }
        world_free(&w);
    }
    assert_in_range(n_open, 1000, WORLDS * QUERIES);
    assert_in_range(n_closed, 1000, WORLDS * QUERIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_judged_as_the_specification_says),
        cmocka_unit_test(test_queries_names_and_answers_are_judged_as_the_specification_says),
        cmocka_unit_test(test_a_verdict_waits_exactly_if_two_names_end_differently),
        cmocka_unit_test(test_a_claim_never_opens_what_is_closed_without_it),
        cmocka_unit_test(test_requests_end_as_their_connection_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
