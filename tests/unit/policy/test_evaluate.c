/* Verdicts on connections: one behaviour of SPEC section 2 a test. Names are in
 * test_evaluate_name.c, functions in test_evaluate_function.c, DNS in test_evaluate_dns.c. */
#include "policy/fixture.h"

static ln_decision judge(const ln_policy *policy, ln_direction direction, ln_protocol protocol,
                         const char *addr, uint16_t port)
{
    ln_query query = {
        .direction = direction, .protocol = protocol, .address = addr_of(addr), .port = port};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, NULL);
    return decision;
}

/* Egress TCP. */
static void assert_tcp(const ln_policy *policy, const char *addr, uint16_t port, ln_action action,
                       uint32_t rule)
{
    ln_decision decision = judge(policy, LN_EGRESS, LN_TCP, addr, port);
    if (decision.action != action || decision.rule != rule) {
        fail_msg("%s:%u: %s by rule %u, not %s by %u", addr, port, ln_action_name(decision.action),
                 decision.rule, ln_action_name(action), rule);
    }
}

static void test_without_rules_egress_is_denied_and_ingress_allowed(void **state)
{
    (void)state;
    ln_policy *policy = POLICY(NULL);
    ln_decision decision = judge(policy, LN_EGRESS, LN_TCP, "1.2.3.4", 443);
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.rule, 0);
    assert_int_equal(decision.reason, LN_REASON_DEFAULT);
    decision = judge(policy, LN_INGRESS, LN_TCP, "1.2.3.4", 443);
    assert_int_equal(decision.action, LN_ALLOW);
    assert_int_equal(decision.reason, LN_REASON_DEFAULT);
    ln_policy_unref(policy);
}

static void test_defaults_are_those_of_the_direction(void **state)
{
    (void)state;
    ln_policy *policy = POLICY(NULL);
    policy->plan.settings.default_egress = LN_ALLOW;
    policy->plan.settings.default_ingress = LN_REJECT;
    assert_int_equal(judge(policy, LN_EGRESS, LN_UDP, "1.2.3.4", 1).action, LN_ALLOW);
    assert_int_equal(judge(policy, LN_INGRESS, LN_UDP, "1.2.3.4", 1).action, LN_REJECT);
    ln_policy_unref(policy);
}

static void test_the_first_matching_rule_decides(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("deny 10.0.0.5", "allow 10.0.0.0/8", "reject 10.0.0.0/24", "allow *");
    assert_tcp(policy, "10.0.0.5", 80, LN_DENY, 1);
    assert_tcp(policy, "10.0.0.6", 80, LN_ALLOW, 2);
    assert_tcp(policy, "11.0.0.0", 80, LN_ALLOW, 4);
    ln_policy_unref(policy);
}

static void test_a_broad_rule_swallows_a_narrow_one_behind_it(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 10.0.0.0/8", "deny 10.0.0.5");
    assert_tcp(policy, "10.0.0.5", 80, LN_ALLOW, 1);
    ln_policy_unref(policy);
}

static void test_reject_is_told_from_deny(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("reject 10.0.0.5", "deny 10.0.0.6");
    assert_tcp(policy, "10.0.0.5", 80, LN_REJECT, 1);
    assert_tcp(policy, "10.0.0.6", 80, LN_DENY, 2);
    ln_policy_unref(policy);
}

static void test_an_enclosing_prefix_decides_where_the_inner_one_has_other_ports(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("allow 10.1.2.0/24 tcp 443", "deny 10.1.0.0/16 tcp 80", "allow 10.0.0.0/8");
    assert_tcp(policy, "10.1.2.3", 443, LN_ALLOW, 1);
    assert_tcp(policy, "10.1.2.3", 80, LN_DENY, 2);
    assert_tcp(policy, "10.1.2.3", 22, LN_ALLOW, 3);
    assert_tcp(policy, "10.1.3.3", 443, LN_ALLOW, 3);
    ln_policy_unref(policy);
}

static void test_ports_hold_from_their_first_to_their_last(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow * tcp 1,443,8000-9000,65535");
    uint16_t inside[] = {1, 443, 8000, 8500, 9000, 65535};
    uint16_t outside[] = {0, 2, 442, 444, 7999, 9001, 65534};
    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
        assert_tcp(policy, "1.2.3.4", inside[i], LN_ALLOW, 1);
    }
    for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
        assert_tcp(policy, "1.2.3.4", outside[i], LN_DENY, 0);
    }
    ln_policy_unref(policy);
}

static void test_a_rule_of_one_protocol_leaves_the_others(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow * tcp 53", "allow * icmpv4");
    assert_tcp(policy, "1.2.3.4", 53, LN_ALLOW, 1);
    assert_int_equal(judge(policy, LN_EGRESS, LN_UDP, "1.2.3.4", 53).action, LN_DENY);
    assert_int_equal(judge(policy, LN_EGRESS, LN_ICMPV4, "1.2.3.4", 0).rule, 2);
    assert_int_equal(judge(policy, LN_EGRESS, LN_ICMPV6, "2001:db8::1", 0).rule, 0);
    ln_policy_unref(policy);
}

static void test_a_rule_with_ports_never_matches_icmp(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow * * 1-65535", "reject *");
    assert_tcp(policy, "1.2.3.4", 80, LN_ALLOW, 1);
    assert_int_equal(judge(policy, LN_EGRESS, LN_UDP, "1.2.3.4", 80).rule, 1);
    assert_int_equal(judge(policy, LN_EGRESS, LN_ICMPV4, "1.2.3.4", 0).rule, 2);
    assert_int_equal(judge(policy, LN_EGRESS, LN_ICMPV6, "2001:db8::1", 0).rule, 2);
    ln_policy_unref(policy);
}

static void test_a_rule_counts_only_in_its_direction(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny:ingress 10.0.0.0/8", "allow 10.0.0.0/8", "reject:any *");
    assert_int_equal(judge(policy, LN_INGRESS, LN_TCP, "10.0.0.1", 80).rule, 1);
    assert_int_equal(judge(policy, LN_EGRESS, LN_TCP, "10.0.0.1", 80).rule, 2);
    assert_int_equal(judge(policy, LN_INGRESS, LN_TCP, "11.0.0.1", 80).rule, 3);
    assert_int_equal(judge(policy, LN_EGRESS, LN_TCP, "11.0.0.1", 80).rule, 3);
    ln_policy_unref(policy);
}

static void test_an_ingress_rule_is_about_the_peer_and_the_guests_port(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow:ingress 192.168.0.0/16 tcp 80", "deny:ingress *");
    assert_int_equal(judge(policy, LN_INGRESS, LN_TCP, "192.168.1.1", 80).rule, 1);
    assert_int_equal(judge(policy, LN_INGRESS, LN_TCP, "192.168.1.1", 81).rule, 2);
    assert_int_equal(judge(policy, LN_INGRESS, LN_TCP, "192.169.1.1", 80).rule, 2);
    ln_policy_unref(policy);
}

static void test_groups_match_their_addresses(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("reject metadata", "deny private", "allow public", "reject multicast");
    assert_tcp(policy, "169.254.169.254", 80, LN_REJECT, 1);
    assert_tcp(policy, "100.100.100.200", 80, LN_REJECT, 1);
    assert_tcp(policy, "192.168.1.1", 80, LN_DENY, 2);
    assert_tcp(policy, "64:ff9b::10.0.0.1", 80, LN_DENY, 2);
    assert_tcp(policy, "8.8.8.8", 80, LN_ALLOW, 3);
    assert_tcp(policy, "2001:db8::1", 80, LN_ALLOW, 3);
    assert_tcp(policy, "224.0.0.1", 80, LN_REJECT, 4);
    assert_tcp(policy, "169.254.1.1", 80, LN_DENY, 0);
    ln_policy_unref(policy);
}

static void test_the_group_host_is_what_the_caller_says(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow host tcp 53", "reject private");
    ln_addr gateway = addr_of("172.16.0.1");
    ln_host_addrs host = {.addrs = &gateway, .n_addrs = 1};
    ln_query query = {.protocol = LN_TCP, .address = gateway, .port = 53};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, &host, &query, &decision, NULL);
    assert_int_equal(decision.rule, 1);
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, NULL);
    assert_int_equal(decision.rule, 2);
    ln_policy_unref(policy);
}

static void test_a_network_around_the_gateway_does_not_open_the_host(void **state)
{
    (void)state;
    static const struct {
        const char *rules[2];
        uint32_t rule; /* that opens it; 0: none */
    } cases[] = {
        {{"allow 172.16.0.0/12"}, 0},
        {{"allow 0.0.0.0/0"}, 0},
        {{"allow 172.16.0.0/12 when=1"}, 0},
        {{"allow 172.16.0.0/12", "allow host"}, 2},
        {{"allow 172.16.0.0/12", "allow 172.16.0.1"}, 2},
        {{"allow 172.16.0.0/12", "allow *"}, 2},
    };
    ln_addr addrs[] = {addr_of("172.16.0.1"), addr_of("172.16.0.9")}; /* gateway's, machine's */
    ln_host_addrs host = {.addrs = addrs, .n_addrs = 2, .n_gateway = 1};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ln_policy *policy = POLICY(cases[i].rules[0], cases[i].rules[1]);
        ln_query query = {.protocol = LN_TCP, .address = addrs[0], .port = 22};
        ln_decision decision;
        ln_policy_evaluate(policy, NULL, &host, &query, &decision, NULL);
        assert_int_equal(decision.rule, cases[i].rule);
        query.address = addrs[1];
        ln_policy_evaluate(policy, NULL, &host, &query, &decision, NULL);
        assert_int_equal(decision.rule, 1);
        ln_policy_unref(policy);
    }
}

static void test_a_network_around_the_gateway_can_close_it(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny 172.16.0.0/12", "allow *");
    ln_addr gateway = addr_of("172.16.0.1");
    ln_host_addrs host = {.addrs = &gateway, .n_addrs = 1, .n_gateway = 1};
    ln_query query = {.protocol = LN_TCP, .address = gateway, .port = 22};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, &host, &query, &decision, NULL);
    assert_int_equal(decision.rule, 1);
    ln_policy_unref(policy);
}

static void test_ipv4_and_ipv6_prefixes_do_not_meet(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 0.0.0.0/0 tcp 1", "allow ::/0 tcp 2");
    assert_tcp(policy, "1.2.3.4", 1, LN_ALLOW, 1);
    assert_tcp(policy, "1.2.3.4", 2, LN_DENY, 0);
    assert_tcp(policy, "2001:db8::1", 1, LN_DENY, 0);
    assert_tcp(policy, "2001:db8::1", 2, LN_ALLOW, 2);
    ln_policy_unref(policy);
}

static void test_a_mapped_address_is_judged_as_ipv4(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 1.2.3.0/24");
    assert_tcp(policy, "::ffff:1.2.3.4", 80, LN_ALLOW, 1);
    ln_policy_unref(policy);
}

static void test_nothing_opens_an_address_of_the_never_list(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow *", "allow loopback", "allow 127.0.0.1", "allow 0.0.0.0/0");
    policy->plan.settings.default_egress = LN_ALLOW;
    const char *addrs[] = {"127.0.0.1", "0.0.0.0",         "::1", "::", "255.255.255.255",
                           "240.0.0.1", "::ffff:127.0.0.1"};
    for (size_t i = 0; i < sizeof(addrs) / sizeof(*addrs); i++) {
        ln_decision decision = judge(policy, LN_EGRESS, LN_TCP, addrs[i], 80);
        assert_int_equal(decision.action, LN_DENY);
        assert_int_equal(decision.rule, 0);
        assert_int_equal(decision.reason, LN_REASON_NEVER);
    }
    ln_policy_unref(policy);
}

static void test_a_peer_on_the_machine_may_come_in_from_loopback(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow:ingress loopback tcp 80", "deny:ingress *");
    assert_int_equal(judge(policy, LN_INGRESS, LN_TCP, "127.0.0.1", 80).rule, 1);
    ln_policy_unref(policy);
}

static void test_the_decision_names_rule_and_reason(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example deny_list", "allow 1.2.3.4");
    ln_decision decision = judge(policy, LN_EGRESS, LN_TCP, "1.2.3.4", 80);
    assert_int_equal(decision.rule, 2);
    assert_int_equal(decision.reason, LN_REASON_RULE);
    ln_policy_unref(policy);
}

/* ---- traces ---- */

struct steps {
    uint32_t n;
    ln_miss misses[16];
};

static void note_step(void *user, uint32_t rule, ln_miss miss)
{
    struct steps *steps = user;
    assert_int_equal(rule, steps->n + 1);
    assert_in_range(rule, 1, 16);
    steps->misses[steps->n++] = miss;
}

static void test_a_trace_tells_why_each_rule_did_not_match_up_to_the_one_that_did(void **state)
{
    (void)state;
    ln_policy *policy =
        POLICY("allow:ingress *", "allow * udp", "allow * tcp 80", "allow 10.0.0.0/8",
               "allow private", "allow api.example", "deny * tcp 443", "allow *");
    ln_query query = {.protocol = LN_TCP, .address = addr_of("1.2.3.4"), .port = 443};
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, &trace);
    const ln_miss expected[] = {LN_MISS_DIRECTION,   LN_MISS_PROTOCOL,    LN_MISS_PORT,
                                LN_MISS_DESTINATION, LN_MISS_DESTINATION, LN_MISS_NOT_RESOLVED,
                                LN_MATCHED};
    assert_int_equal(decision.rule, 7);
    assert_int_equal(steps.n, 7);
    assert_memory_equal(steps.misses, expected, sizeof(expected));
    ln_policy_unref(policy);
}

static void test_a_trace_that_ends_at_the_default_tells_every_rule(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow * udp", "allow 10.0.0.1");
    ln_query query = {.protocol = LN_TCP, .address = addr_of("1.2.3.4"), .port = 443};
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, &trace);
    assert_int_equal(decision.rule, 0);
    assert_int_equal(steps.n, 2);
    assert_int_equal(steps.misses[1], LN_MISS_DESTINATION);
    ln_policy_unref(policy);
}

static void test_a_trace_of_a_forbidden_address_considers_no_rule(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow *");
    ln_query query = {.protocol = LN_TCP, .address = addr_of("127.0.0.1"), .port = 443};
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, &trace);
    assert_int_equal(decision.reason, LN_REASON_NEVER);
    assert_int_equal(steps.n, 0);
    ln_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_rules_egress_is_denied_and_ingress_allowed),
        cmocka_unit_test(test_defaults_are_those_of_the_direction),
        cmocka_unit_test(test_the_first_matching_rule_decides),
        cmocka_unit_test(test_a_broad_rule_swallows_a_narrow_one_behind_it),
        cmocka_unit_test(test_reject_is_told_from_deny),
        cmocka_unit_test(test_an_enclosing_prefix_decides_where_the_inner_one_has_other_ports),
        cmocka_unit_test(test_ports_hold_from_their_first_to_their_last),
        cmocka_unit_test(test_a_rule_of_one_protocol_leaves_the_others),
        cmocka_unit_test(test_a_rule_with_ports_never_matches_icmp),
        cmocka_unit_test(test_a_rule_counts_only_in_its_direction),
        cmocka_unit_test(test_an_ingress_rule_is_about_the_peer_and_the_guests_port),
        cmocka_unit_test(test_groups_match_their_addresses),
        cmocka_unit_test(test_the_group_host_is_what_the_caller_says),
        cmocka_unit_test(test_a_network_around_the_gateway_does_not_open_the_host),
        cmocka_unit_test(test_a_network_around_the_gateway_can_close_it),
        cmocka_unit_test(test_ipv4_and_ipv6_prefixes_do_not_meet),
        cmocka_unit_test(test_a_mapped_address_is_judged_as_ipv4),
        cmocka_unit_test(test_nothing_opens_an_address_of_the_never_list),
        cmocka_unit_test(test_a_peer_on_the_machine_may_come_in_from_loopback),
        cmocka_unit_test(test_the_decision_names_rule_and_reason),
        cmocka_unit_test(test_a_trace_tells_why_each_rule_did_not_match_up_to_the_one_that_did),
        cmocka_unit_test(test_a_trace_that_ends_at_the_default_tells_every_rule),
        cmocka_unit_test(test_a_trace_of_a_forbidden_address_considers_no_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
