/* Verdicts on what passes through DNS: queries before they leave, names of a chain, addresses of an
 * answer (SPEC sections 2 and 5). */
#include "policy/fixture.h"

static ln_decision ask(const ln_policy *policy, const char *name, ln_protocol transport)
{
    ln_decision decision;
    ln_policy_evaluate_dns(policy, name, transport, &decision, NULL);
    return decision;
}

static void assert_asked(const ln_policy *policy, const char *name, ln_action action, uint32_t rule)
{
    ln_decision decision = ask(policy, name, LN_UDP);
    if (decision.action != action || decision.rule != rule) {
        fail_msg("%s: %s by rule %u, not %s by %u", name, ln_action_name(decision.action),
                 decision.rule, ln_action_name(action), rule);
    }
}

/* ---- queries ---- */

static void test_a_query_without_a_rule_gets_the_default_of_egress(void **state)
{
    (void)state;
    ln_policy *policy = POLICY(NULL);
    assert_asked(policy, "api.example", LN_DENY, 0);
    assert_int_equal(ask(policy, "api.example", LN_UDP).reason, LN_REASON_DEFAULT);
    policy->plan.settings.default_egress = LN_ALLOW;
    assert_asked(policy, "api.example", LN_ALLOW, 0);
    ln_policy_unref(policy);
}

static void test_rules_by_name_match_a_query_whatever_their_ports_and_protocols(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example tcp 443", "allow .cdn.example udp 8000-9000",
                               "allow ping.example icmpv4");
    assert_asked(policy, "api.example", LN_ALLOW, 1);
    assert_asked(policy, "a.cdn.example", LN_ALLOW, 2);
    assert_asked(policy, "ping.example", LN_ALLOW, 3);
    assert_asked(policy, "cdn.example", LN_DENY, 0);
    assert_asked(policy, "www.api.example", LN_DENY, 0);
    ln_policy_unref(policy);
}

static void test_the_first_rule_decides_a_query(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow good.ads.example", "reject .ads.example", "allow *");
    assert_asked(policy, "good.ads.example", LN_ALLOW, 1);
    assert_asked(policy, "bad.ads.example", LN_REJECT, 2);
    assert_asked(policy, "ads.example", LN_ALLOW, 3);
    ln_policy_unref(policy);
}

static void test_everything_and_host_match_a_query_by_protocol_and_port(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow host udp 53", "allow * tcp 50-60");
    assert_int_equal(ask(policy, "a.example", LN_UDP).rule, 1);
    assert_int_equal(ask(policy, "a.example", LN_TCP).rule, 2);
    ln_policy_unref(policy);

    policy = POLICY("allow host tcp 443", "allow * udp 54", "allow * icmpv4", "reject *");
    assert_int_equal(ask(policy, "a.example", LN_UDP).rule, 4);
    assert_int_equal(ask(policy, "a.example", LN_TCP).rule, 4);
    ln_policy_unref(policy);
}

static void test_prefixes_and_other_groups_cannot_match_a_query(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 0.0.0.0/0", "allow ::/0", "allow private", "allow public",
                               "allow loopback", "allow link-local", "allow metadata");
    assert_asked(policy, "api.example", LN_DENY, 0);
    ln_policy_unref(policy);
}

static void test_ingress_rules_do_not_count_for_a_query(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("deny:ingress api.example", "deny:ingress *", "allow:any api.example");
    assert_asked(policy, "api.example", LN_ALLOW, 3);
    ln_policy_unref(policy);
}

static void test_a_denied_domain_is_told_by_its_reason(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example deny_list", "allow host udp 53");
    assert_asked(policy, "ads.example", LN_DENY, 1);
    assert_int_equal(ask(policy, "ads.example", LN_UDP).reason, LN_REASON_DENY_DOMAIN);
    assert_int_equal(ask(policy, "api.example", LN_UDP).reason, LN_REASON_RULE);
    ln_policy_unref(policy);
}

/* ---- functions ---- */

struct script {
    int answer, n_asked;
    ln_flow_view view;
    char name[LN_NAME_MAX + 1];
};

static int script_when(void *user, int reference, const ln_flow_view *view)
{
    struct script *script = user;
    (void)reference;
    script->n_asked++;
    script->view = *view;
    strcpy(script->name, view->n_names > 0 ? view->names[0] : "");
    return script->answer;
}

static int fail_on_connect(void *user, int reference, const ln_flow_view *view, ln_action *ret)
{
    (void)user, (void)reference, (void)view, (void)ret;
    fail_msg("on_connect was asked about a query");
    return -1;
}

static void
test_a_name_with_a_function_may_be_resolved_and_is_judged_when_connected_to(void **state)
{
    (void)state;
    struct script script = {0};
    ln_policy *policy = POLICY("deny api.example when=1", "allow api.example when=2", "deny *");
    policy->handlers = (ln_handlers){.user = &script, .when = script_when};
    assert_asked(policy, "api.example", LN_ALLOW, 2);
    assert_int_equal(script.n_asked, 0);
    ln_policy_unref(policy);
}

static void test_a_function_of_everything_is_asked_about_the_query(void **state)
{
    (void)state;
    struct script script = {.answer = 1};
    ln_policy *policy = POLICY("deny * udp * when=1", "allow *");
    policy->handlers =
        (ln_handlers){.user = &script, .when = script_when, .on_connect = fail_on_connect};
    policy->plan.settings.on_connect = 7;
    assert_asked(policy, "api.example", LN_DENY, 1);
    assert_string_equal(script.name, "api.example");
    assert_int_equal(script.view.protocol, LN_UDP);
    assert_int_equal(script.view.port, 53);
    assert_int_equal(script.view.group, LN_GROUP_HOST);
    script.answer = 0;
    assert_asked(policy, "api.example", LN_ALLOW, 2);
    script.answer = -1;
    assert_asked(policy, "api.example", LN_DENY, 1);
    assert_int_equal(ask(policy, "api.example", LN_UDP).reason, LN_REASON_HANDLER_ERROR);
    assert_int_equal(ask(policy, "api.example", LN_TCP).rule, 2);
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

static void test_a_trace_of_a_query_tells_why_each_rule_did_not_match(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("allow:ingress api.example", "deny .api.example", "allow 10.0.0.0/8",
               "allow private", "allow * tcp", "allow host udp 54", "allow host udp 53");
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_decision decision;
    ln_policy_evaluate_dns(policy, "api.example", LN_UDP, &decision, &trace);
    const ln_miss expected[] = {LN_MISS_DIRECTION,   LN_MISS_NAME,     LN_MISS_DESTINATION,
                                LN_MISS_DESTINATION, LN_MISS_PROTOCOL, LN_MISS_PORT,
                                LN_MATCHED};
    assert_int_equal(decision.rule, 7);
    assert_int_equal(steps.n, 7);
    assert_memory_equal(steps.misses, expected, sizeof(expected));
    ln_policy_unref(policy);
}

/* ---- names of a chain ---- */

static void test_a_name_of_a_chain_is_judged_by_rules_by_name_alone(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny *", "allow good.ads.example tcp 443", "deny .ads.example",
                               "deny:ingress x.example");
    ln_decision decision;
    ln_policy_evaluate_alias(policy, "cdn.example", &decision);
    assert_int_equal(decision.action, LN_ALLOW);
    assert_int_equal(decision.rule, 0);
    ln_policy_evaluate_alias(policy, "good.ads.example", &decision);
    assert_int_equal(decision.action, LN_ALLOW);
    assert_int_equal(decision.rule, 2);
    ln_policy_evaluate_alias(policy, "bad.ads.example", &decision);
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.rule, 3);
    assert_int_equal(decision.reason, LN_REASON_RULE);
    ln_policy_evaluate_alias(policy, "x.example", &decision);
    assert_int_equal(decision.action, LN_ALLOW);
    ln_policy_unref(policy);
}

/* ---- addresses of an answer ---- */

static ln_decision answer(const ln_policy *policy, const char *addr)
{
    ln_addr parsed = addr_of(addr);
    ln_decision decision;
    ln_policy_evaluate_answer(policy, NULL, &parsed, &decision);
    return decision;
}

static void test_public_addresses_may_be_answered(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny *", "deny 8.8.8.8");
    const char *addrs[] = {"8.8.8.8", "2001:db8::1", "203.0.113.1", "64:ff9b::8.8.8.8"};
    for (size_t i = 0; i < sizeof(addrs) / sizeof(*addrs); i++) {
        ln_decision decision = answer(policy, addrs[i]);
        assert_int_equal(decision.action, LN_ALLOW);
        assert_int_equal(decision.reason, LN_REASON_DEFAULT);
    }
    ln_policy_unref(policy);
}

static void test_other_addresses_may_not_be_answered(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow *", "allow public");
    policy->plan.settings.default_egress = LN_ALLOW;
    const char *addrs[] = {"10.0.0.1",
                           "127.0.0.1",
                           "169.254.1.1",
                           "169.254.169.254",
                           "224.0.0.1",
                           "0.0.0.0",
                           "192.0.0.8",
                           "192.88.99.1",
                           "198.18.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fec0::1",
                           "100::1",
                           "64:ff9b:1::1",
                           "64:ff9b::10.0.0.1",
                           "::ffff:10.0.0.1",
                           "::10.0.0.1",
                           "2002:a00:1::",
                           "ff02::1",
                           "fd00:ec2::254",
                           "100.64.0.1",
                           "64:ff9b::198.18.0.1"};
    for (size_t i = 0; i < sizeof(addrs) / sizeof(*addrs); i++) {
        ln_decision decision = answer(policy, addrs[i]);
        if (decision.action != LN_DENY || decision.reason != LN_REASON_REBIND) {
            fail_msg("%s may be answered", addrs[i]);
        }
        assert_int_equal(decision.rule, 0);
    }
    ln_policy_unref(policy);
}

static void test_the_machines_own_addresses_may_not_be_answered(void **state)
{
    (void)state;
    ln_policy *policy = POLICY(NULL);
    ln_addr own = addr_of("203.0.113.1");
    ln_host_addrs host = {.addrs = &own, .n_addrs = 1};
    ln_decision decision;
    ln_policy_evaluate_answer(policy, &host, &own, &decision);
    assert_int_equal(decision.reason, LN_REASON_REBIND);
    ln_policy_unref(policy);
}

static void test_a_network_around_the_gateway_does_not_let_it_be_answered(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 172.16.0.0/12");
    ln_addr gateway = addr_of("172.16.0.1");
    ln_host_addrs host = {.addrs = &gateway, .n_addrs = 1, .n_gateway = 1};
    ln_decision decision;
    ln_policy_evaluate_answer(policy, &host, &gateway, &decision);
    assert_int_equal(decision.reason, LN_REASON_REBIND);
    ln_policy_unref(policy);
}

static void test_an_explicit_address_rule_lets_an_address_be_answered(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 10.1.0.0/16", "allow 10.2.0.1 udp", "allow link-local tcp",
                               "allow:any 198.18.0.0/15");
    assert_int_equal(answer(policy, "10.1.2.3").rule, 1);
    assert_int_equal(answer(policy, "10.2.0.1").rule, 2);
    assert_int_equal(answer(policy, "169.254.0.1").rule, 3);
    assert_int_equal(answer(policy, "198.18.0.1").rule, 4);
    assert_int_equal(answer(policy, "198.18.0.1").action, LN_ALLOW);
    assert_int_equal(answer(policy, "198.18.0.1").reason, LN_REASON_RULE);
    assert_int_equal(answer(policy, "10.2.0.2").action, LN_DENY);
    ln_policy_unref(policy);
}

static void test_rules_with_ports_without_tcp_and_udp_or_of_ingress_do_not_count(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 10.0.0.0/8 tcp 443", "allow 10.0.0.0/8 icmpv4,icmpv6",
                               "allow:ingress 10.0.0.0/8", "allow host.example", "allow *");
    policy->plan.settings.default_egress = LN_ALLOW;
    ln_decision decision = answer(policy, "10.0.0.1");
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.rule, 0);
    ln_policy_unref(policy);
}

static void test_a_function_cannot_vouch_for_an_answer(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 10.0.0.0/8 when=1");
    assert_int_equal(answer(policy, "10.0.0.1").action, LN_DENY);
    ln_policy_unref(policy);
}

static void test_the_first_counting_rule_decides_an_answer(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("deny 10.0.0.5 tcp 80", "reject 10.0.0.5 tcp", "allow private", "deny 10.0.0.6");
    ln_decision decision = answer(policy, "10.0.0.5");
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.rule, 2);
    assert_int_equal(decision.reason, LN_REASON_REBIND);
    assert_int_equal(answer(policy, "10.0.0.6").rule, 3);
    ln_policy_unref(policy);
}

static void test_rebind_protection_can_be_switched_off(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny private");
    policy->plan.settings.dns_rebind_protection = false;
    ln_decision decision = answer(policy, "10.0.0.1");
    assert_int_equal(decision.action, LN_ALLOW);
    assert_int_equal(decision.reason, LN_REASON_DEFAULT);
    ln_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_query_without_a_rule_gets_the_default_of_egress),
        cmocka_unit_test(test_rules_by_name_match_a_query_whatever_their_ports_and_protocols),
        cmocka_unit_test(test_the_first_rule_decides_a_query),
        cmocka_unit_test(test_everything_and_host_match_a_query_by_protocol_and_port),
        cmocka_unit_test(test_prefixes_and_other_groups_cannot_match_a_query),
        cmocka_unit_test(test_ingress_rules_do_not_count_for_a_query),
        cmocka_unit_test(test_a_denied_domain_is_told_by_its_reason),
        cmocka_unit_test(
            test_a_name_with_a_function_may_be_resolved_and_is_judged_when_connected_to),
        cmocka_unit_test(test_a_function_of_everything_is_asked_about_the_query),
        cmocka_unit_test(test_a_trace_of_a_query_tells_why_each_rule_did_not_match),
        cmocka_unit_test(test_a_name_of_a_chain_is_judged_by_rules_by_name_alone),
        cmocka_unit_test(test_public_addresses_may_be_answered),
        cmocka_unit_test(test_other_addresses_may_not_be_answered),
        cmocka_unit_test(test_the_machines_own_addresses_may_not_be_answered),
        cmocka_unit_test(test_a_network_around_the_gateway_does_not_let_it_be_answered),
        cmocka_unit_test(test_an_explicit_address_rule_lets_an_address_be_answered),
        cmocka_unit_test(test_rules_with_ports_without_tcp_and_udp_or_of_ingress_do_not_count),
        cmocka_unit_test(test_a_function_cannot_vouch_for_an_answer),
        cmocka_unit_test(test_the_first_counting_rule_decides_an_answer),
        cmocka_unit_test(test_rebind_protection_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
