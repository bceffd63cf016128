/* The policy's own functions: when rules and on_connect are asked, with what, and what their
 * answers and failures do. */
#include "policy/fixture.h"

#define ADDR "203.0.113.1"

/* Functions whose answers a test sets, and what they were asked. */
struct script {
    int when[8]; /* answer of reference n */
    int on_connect;
    ln_action action;
    int asked[4]; /* the first references in order; on_connect is -1 */
    int n_asked;
    ln_flow_view view; /* of the last call; names copied */
    char name[LN_NAME_MAX + 1];
};

static void note_view(struct script *script, int reference, const ln_flow_view *view)
{
    if (script->n_asked < 4) {
        script->asked[script->n_asked] = reference;
    }
    script->n_asked++;
    script->view = *view;
    script->name[0] = '\0';
    if (view->n_names > 0) {
        strcpy(script->name, view->names[0]);
    }
}

static int script_when(void *user, int reference, const ln_flow_view *view)
{
    struct script *script = user;
    note_view(script, reference, view);
    return script->when[reference];
}

static int script_on_connect(void *user, int reference, const ln_flow_view *view, ln_action *ret)
{
    struct script *script = user;
    assert_int_equal(reference, 7);
    note_view(script, -1, view);
    *ret = script->action;
    return script->on_connect;
}

static void use(ln_policy *policy, struct script *script)
{
    policy->handlers =
        (ln_handlers){.user = script, .when = script_when, .on_connect = script_on_connect};
}

static ln_query query_of(uint16_t port)
{
    return (ln_query){.protocol = LN_TCP, .address = addr_of(ADDR), .port = port};
}

static ln_decision judge(const ln_policy *policy, const ln_query *query, const ln_trace *trace)
{
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, query, &decision, trace);
    return decision;
}

static void test_a_function_that_says_yes_makes_its_rule_decide(void **state)
{
    (void)state;
    struct script script = {.when = {[1] = 1}};
    ln_policy *policy = POLICY("reject * tcp 443 when=1", "allow *");
    use(policy, &script);
    ln_query query = query_of(443);
    ln_decision decision = judge(policy, &query, NULL);
    assert_int_equal(decision.action, LN_REJECT);
    assert_int_equal(decision.rule, 1);
    assert_int_equal(decision.reason, LN_REASON_RULE);
    ln_policy_unref(policy);
}

static void test_a_function_that_says_no_leaves_the_next_rule_to_decide(void **state)
{
    (void)state;
    struct script script = {.when = {[3] = 1}};
    ln_policy *policy = POLICY("deny * when=1", "reject public when=2",
                               "allow 203.0.113.0/24 when=3", "deny *", "allow * when=4");
    use(policy, &script);
    ln_query query = query_of(443);
    ln_decision decision = judge(policy, &query, NULL);
    assert_int_equal(decision.rule, 3);
    assert_int_equal(script.n_asked, 3);
    assert_int_equal(script.asked[0], 1);
    assert_int_equal(script.asked[1], 2);
    assert_int_equal(script.asked[2], 3);
    ln_policy_unref(policy);
}

static void
test_functions_are_asked_only_where_all_else_matches_and_no_rule_came_before(void **state)
{
    (void)state;
    struct script script = {.when = {1, 1, 1, 1, 1, 1, 1}};
    ln_policy *policy =
        POLICY("allow * udp * when=1", "allow * tcp 80 when=1", "allow private when=1",
               "allow:ingress * when=1", "deny *", "allow * when=1");
    use(policy, &script);
    ln_query query = query_of(443);
    assert_int_equal(judge(policy, &query, NULL).rule, 5);
    assert_int_equal(script.n_asked, 0);
    ln_policy_unref(policy);
}

static void test_a_function_that_fails_denies(void **state)
{
    (void)state;
    struct script script = {.when = {[1] = -1}};
    ln_policy *policy = POLICY("allow * when=1", "allow *");
    use(policy, &script);
    ln_query query = query_of(443);
    ln_decision decision = judge(policy, &query, NULL);
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.rule, 1);
    assert_int_equal(decision.reason, LN_REASON_HANDLER_ERROR);
    ln_policy_unref(policy);
}

static void test_a_function_without_handlers_denies(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow * when=1", "allow *");
    ln_query query = query_of(443);
    assert_int_equal(judge(policy, &query, NULL).reason, LN_REASON_HANDLER_ERROR);
    policy->plan.settings.on_connect = 7;
    ln_decision decision = judge(policy, &query, NULL);
    assert_int_equal(decision.reason, LN_REASON_HANDLER_ERROR);
    assert_int_equal(decision.rule, 0);
    ln_policy_unref(policy);
}

static void test_on_connect_comes_before_the_rules(void **state)
{
    (void)state;
    const ln_action actions[] = {LN_ALLOW, LN_DENY, LN_REJECT};
    for (size_t i = 0; i < 3; i++) {
        struct script script = {.on_connect = 1, .action = actions[i]};
        ln_policy *policy = POLICY("deny * when=1", "allow *");
        use(policy, &script);
        policy->plan.settings.on_connect = 7;
        ln_query query = query_of(443);
        ln_decision decision = judge(policy, &query, NULL);
        assert_int_equal(decision.action, actions[i]);
        assert_int_equal(decision.rule, 0);
        assert_int_equal(decision.reason, LN_REASON_ON_CONNECT);
        assert_int_equal(script.n_asked, 1);
        ln_policy_unref(policy);
    }
}

static void test_on_connect_without_an_opinion_leaves_it_to_the_rules(void **state)
{
    (void)state;
    struct script script = {.on_connect = 0, .action = LN_ALLOW};
    ln_policy *policy = POLICY("reject *");
    use(policy, &script);
    policy->plan.settings.on_connect = 7;
    ln_query query = query_of(443);
    assert_int_equal(judge(policy, &query, NULL).rule, 1);
    assert_int_equal(script.n_asked, 1);
    ln_policy_unref(policy);
}

static void test_on_connect_that_fails_or_answers_nonsense_denies(void **state)
{
    (void)state;
    struct script scripts[] = {{.on_connect = -1, .action = LN_ALLOW},
                               {.on_connect = 1, .action = LN_DEFER},
                               {.on_connect = 1, .action = (ln_action)99}};
    for (size_t i = 0; i < 3; i++) {
        ln_policy *policy = POLICY("allow *");
        use(policy, &scripts[i]);
        policy->plan.settings.on_connect = 7;
        ln_query query = query_of(443);
        ln_decision decision = judge(policy, &query, NULL);
        assert_int_equal(decision.action, LN_DENY);
        assert_int_equal(decision.reason, LN_REASON_HANDLER_ERROR);
        ln_policy_unref(policy);
    }
}

static void test_on_connect_cannot_open_what_the_deny_lists_and_never_close(void **state)
{
    (void)state;
    struct script script = {.on_connect = 1, .action = LN_ALLOW};
    ln_policy *policy = POLICY("deny ads.example deny_list", "allow *");
    use(policy, &script);
    policy->plan.settings.on_connect = 7;
    ln_query query = query_of(443);
    query.name_state = LN_NAME_SHOWN;
    query.claimed = "ads.example";
    assert_int_equal(judge(policy, &query, NULL).reason, LN_REASON_DENY_DOMAIN);
    query.address = addr_of("127.0.0.1");
    assert_int_equal(judge(policy, &query, NULL).reason, LN_REASON_NEVER);
    assert_int_equal(script.n_asked, 0);
    ln_policy_unref(policy);
}

static void test_the_view_holds_what_is_known_of_the_flow(void **state)
{
    (void)state;
    struct script script = {.when = {[1] = 1}};
    ln_policy *policy = POLICY("allow:any * tcp * when=1");
    use(policy, &script);
    ln_pins *pins = pins_of(4, 4);
    pin(pins, "api.example", ADDR);
    ln_query query = query_of(443);
    query.flows = 12;
    query.name_state = LN_NAME_SHOWN;
    query.claimed = "sni.example";
    ln_decision decision;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(script.view.direction, LN_EGRESS);
    assert_int_equal(script.view.protocol, LN_TCP);
    assert_true(ln_addr_equal(&script.view.address, &query.address));
    assert_int_equal(script.view.port, 443);
    assert_int_equal(script.view.n_names, 1);
    assert_string_equal(script.name, "api.example");
    assert_string_equal(script.view.sni, "sni.example");
    assert_null(script.view.host);
    assert_int_equal(script.view.group, LN_GROUP_PUBLIC);
    assert_int_equal(script.view.flows, 12);

    query.claimed_is_host = true;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_null(script.view.sni);
    assert_string_equal(script.view.host, "sni.example");

    query.name_state = LN_NAME_NONE;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_null(script.view.sni);
    assert_null(script.view.host);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_rule_by_name_asks_its_function_only_for_its_name(void **state)
{
    (void)state;
    struct script script = {.when = {[1] = 1}};
    ln_policy *policy = POLICY("allow api.example when=1", "deny * ");
    use(policy, &script);
    ln_pins *pins = pins_of(4, 4);
    pin(pins, "api.example", ADDR);
    ln_query query = query_of(443);
    ln_decision decision;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.rule, 1);
    query.name_state = LN_NAME_SHOWN;
    query.claimed = "other.example";
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.rule, 2);
    assert_int_equal(script.n_asked, 1);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_many_functions_that_say_no_are_each_asked_once(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct arena arena = {0};
    ln_rule *rules = arena_array(&arena, MANY, sizeof(*rules));
    for (size_t i = 0; i < MANY; i++) {
        rules[i] = rule_of(&arena, i % 2 == 0 ? "allow * tcp 443 when=1" : "allow public when=2");
    }
    ln_policy *policy = policy_of_rules(&arena, rules, MANY);
    struct script script = {0};
    use(policy, &script);
    ln_query query = query_of(443);
    assert_int_equal(judge(policy, &query, NULL).rule, 0);
    assert_int_equal(script.n_asked, MANY);
    ln_policy_unref(policy);
}

/* ---- waiting for the name ---- */

static ln_decision judge_unknown(const ln_policy *policy)
{
    ln_query query = query_of(443);
    query.name_state = LN_NAME_UNKNOWN;
    return judge(policy, &query, NULL);
}

static void test_no_function_is_asked_before_the_name_is_known(void **state)
{
    (void)state;
    struct script script = {.when = {[1] = 1}};
    ln_policy *policy = POLICY("allow * when=1", "allow *");
    use(policy, &script);
    assert_int_equal(judge_unknown(policy).action, LN_DEFER);
    assert_int_equal(script.n_asked, 0);
    ln_policy_unref(policy);

    policy = POLICY("allow *");
    use(policy, &script);
    policy->plan.settings.on_connect = 7;
    assert_int_equal(judge_unknown(policy).action, LN_DEFER);
    assert_int_equal(script.n_asked, 0);
    ln_policy_unref(policy);
}

static void test_a_verdict_that_no_function_can_open_does_not_wait(void **state)
{
    (void)state;
    struct script script = {.when = {[1] = 1}};
    ln_policy *policy = POLICY("reject * when=1", "deny ads.example", "deny *");
    use(policy, &script);
    assert_int_equal(judge_unknown(policy).rule, 1);
    assert_int_equal(script.n_asked, 1);
    ln_policy_unref(policy);
}

static void test_a_verdict_that_a_function_could_open_waits(void **state)
{
    (void)state;
    struct script script = {0};
    ln_policy *policy = POLICY("deny * when=1", "allow public when=2", "deny *");
    use(policy, &script);
    assert_int_equal(judge_unknown(policy).action, LN_DEFER);
    ln_policy_unref(policy);
}

static void test_a_function_behind_the_deciding_rule_does_not_make_it_wait(void **state)
{
    (void)state;
    struct script script = {0};
    ln_policy *policy = POLICY("deny *", "allow * when=1");
    use(policy, &script);
    assert_int_equal(judge_unknown(policy).rule, 1);
    ln_policy_unref(policy);
}

/* ---- traces ---- */

struct steps {
    uint32_t n;
    ln_miss misses[8];
};

static void note_step(void *user, uint32_t rule, ln_miss miss)
{
    struct steps *steps = user;
    assert_int_equal(rule, steps->n + 1);
    steps->misses[steps->n++] = miss;
}

static void test_a_trace_asks_no_function_twice_and_tells_which_said_no(void **state)
{
    (void)state;
    struct script script = {.when = {[2] = 1}};
    ln_policy *policy =
        POLICY("deny * tcp 443 when=1", "deny * tcp 80 when=1", "allow * when=2", "deny *");
    use(policy, &script);
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_query query = query_of(443);
    assert_int_equal(judge(policy, &query, &trace).rule, 3);
    assert_int_equal(script.n_asked, 2);
    assert_int_equal(steps.n, 3);
    assert_int_equal(steps.misses[0], LN_MISS_WHEN);
    assert_int_equal(steps.misses[1], LN_MISS_PORT);
    assert_int_equal(steps.misses[2], LN_MATCHED);
    ln_policy_unref(policy);
}

static void test_a_trace_ends_at_on_connect_where_that_decided(void **state)
{
    (void)state;
    struct script script = {.on_connect = 1, .action = LN_ALLOW};
    ln_policy *policy = POLICY("deny a.example deny_list", "deny b.example deny_list", "deny *");
    use(policy, &script);
    policy->plan.settings.on_connect = 7;
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_query query = query_of(443);
    assert_int_equal(judge(policy, &query, &trace).reason, LN_REASON_ON_CONNECT);
    assert_int_equal(steps.n, 2);
    script.on_connect = -1;
    steps.n = 0;
    assert_int_equal(judge(policy, &query, &trace).reason, LN_REASON_HANDLER_ERROR);
    assert_int_equal(steps.n, 2);
    ln_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_function_that_says_yes_makes_its_rule_decide),
        cmocka_unit_test(test_a_function_that_says_no_leaves_the_next_rule_to_decide),
        cmocka_unit_test(
            test_functions_are_asked_only_where_all_else_matches_and_no_rule_came_before),
        cmocka_unit_test(test_a_function_that_fails_denies),
        cmocka_unit_test(test_a_function_without_handlers_denies),
        cmocka_unit_test(test_on_connect_comes_before_the_rules),
        cmocka_unit_test(test_on_connect_without_an_opinion_leaves_it_to_the_rules),
        cmocka_unit_test(test_on_connect_that_fails_or_answers_nonsense_denies),
        cmocka_unit_test(test_on_connect_cannot_open_what_the_deny_lists_and_never_close),
        cmocka_unit_test(test_the_view_holds_what_is_known_of_the_flow),
        cmocka_unit_test(test_a_rule_by_name_asks_its_function_only_for_its_name),
        cmocka_unit_test(test_many_functions_that_say_no_are_each_asked_once),
        cmocka_unit_test(test_no_function_is_asked_before_the_name_is_known),
        cmocka_unit_test(test_a_verdict_that_no_function_can_open_does_not_wait),
        cmocka_unit_test(test_a_verdict_that_a_function_could_open_waits),
        cmocka_unit_test(test_a_function_behind_the_deciding_rule_does_not_make_it_wait),
        cmocka_unit_test(test_a_trace_asks_no_function_twice_and_tells_which_said_no),
        cmocka_unit_test(test_a_trace_ends_at_on_connect_where_that_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
