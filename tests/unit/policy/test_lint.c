/* What lint finds, and that what it says swallows a rule does. */
#include "policy/brute.h"
#include "policy/lint.h"

/* Compares the findings with lines "RULE CODE [OTHER…]". */
static void expect(ln_policy *policy, const char *const *expected)
{
    struct lint lint;
    assert_int_equal(lint_make(&lint, policy), 0);
    size_t n = 0;
    for (; n < lint.n_findings; n++) {
        const struct lint_finding *finding = &lint.findings[n];
        char line[160];
        int len = snprintf(line, sizeof(line), "%u %s", (unsigned)finding->rule, finding->code);
        for (uint32_t i = 0; i < finding->n_others; i++) {
            len += snprintf(line + len, sizeof(line) - (size_t)len, " %u",
                            (unsigned)finding->others[i]);
        }
        if (expected[n] == NULL) {
            fail_msg("not expected: %s", line);
        }
        assert_string_equal(line, expected[n]);
        assert_true(finding->why[0] != '\0' && finding->mend[0] != '\0');
        assert_true(finding->rule == 0 || ln_policy_rule(policy, finding->rule)->when == 0 ||
                    strcmp(finding->code, "changes-nothing") != 0);
    }
    if (expected[n] != NULL) {
        fail_msg("not found: %s", expected[n]);
    }
    lint_free(&lint);
    ln_policy_unref(policy);
}

#define EXPECT(policy, ...) expect(policy, (const char *const[]){__VA_ARGS__, NULL})
/* Rules that let lint's findings about a whole policy rest. */
#define DNS "allow host tcp,udp 53"

static void test_a_rule_is_swallowed_by_one_or_by_several_together(void **state)
{
    (void)state;
    EXPECT(POLICY(DNS, "allow 10.0.0.0/8", "deny 10.1.0.0/16"), "3 never-decides 2");
    EXPECT(POLICY(DNS, "allow 10.0.0.0/9", "allow 10.128.0.0/9", "deny 10.0.0.0/8"),
           "4 never-decides 2 3");
    EXPECT(POLICY(DNS, "allow 10.0.0.0/8 tcp 1-100", "allow 10.0.0.0/8 tcp 101-65535",
                  "deny 10.0.0.0/8 tcp"),
           "4 never-decides 2 3");
    EXPECT(POLICY(DNS, "allow 192.0.2.1 tcp", "allow 192.0.2.1 udp", "allow 192.0.2.1 icmpv4",
                  "reject 192.0.2.1"),
           "5 never-decides 2 3 4");
    EXPECT(POLICY(DNS, "deny host", "deny 127.0.0.0/8", "deny private", "deny metadata",
                  "deny link-local", "deny multicast", "allow public tcp", "allow * tcp"),
           "3 matches-nothing", "8 changes-nothing", "9 never-decides 2 4 5 6 7 8");
    EXPECT(POLICY(DNS, "allow .example.com tcp 443", "deny a.example.com tcp 443",
                  "allow .b.example.com tcp 443", "allow example.com tcp 443"),
           "3 claims-only 2", "4 never-decides 2");
}

static void test_a_rule_that_decides_anything_is_not_called_swallowed(void **state)
{
    (void)state;
    EXPECT(POLICY(DNS, "allow 10.0.0.0/9", "allow 10.128.0.0/10", "deny 10.0.0.0/8", "allow * tcp"),
           NULL);
    EXPECT(POLICY(DNS, "allow 192.0.2.1 tcp 1-100", "allow 192.0.2.1 tcp 102-65535",
                  "reject 192.0.2.1 tcp"),
           NULL);
    /* A refusal sees a name that is merely claimed, an allow does not. */
    EXPECT(POLICY(DNS, "allow a.example tcp", "deny a.example tcp", "allow public tcp"),
           "3 claims-only 2");
    EXPECT(POLICY(DNS, "allow public tcp 443", "deny a.example tcp 443"), NULL);
    EXPECT(POLICY(DNS, "allow public when=1", "reject 192.0.2.1", "allow 198.51.100.0/24"), NULL);
}

static void test_a_rule_with_a_function_swallows_nothing_but_can_be_swallowed(void **state)
{
    (void)state;
    EXPECT(POLICY(DNS, "allow 10.0.0.0/8 when=1", "allow 10.0.0.0/8", "reject 10.0.0.0/8 when=2"),
           "4 never-decides 3");
}

static void test_what_is_decided_besides_connections_is_told(void **state)
{
    (void)state;
    EXPECT(POLICY("allow * tcp,udp", "deny evil.example tcp,udp"), "1 allow-all",
           "2 decides-no-connection 1");
    EXPECT(POLICY("deny *", "allow a.example"), "2 never-decides 1", "0 denies-all");
    EXPECT(POLICY("deny 192.0.2.1", "allow *", "allow private"), "3 decides-no-connection 2");
}

static void test_addresses_of_this_machine_alone_are_told(void **state)
{
    (void)state;
    EXPECT(POLICY(DNS, "allow private", "deny 10.0.0.0/8"), "3 own-addresses-only");
}

static void test_a_rule_that_changes_nothing_is_told(void **state)
{
    (void)state;
    EXPECT(POLICY(DNS, "allow public tcp", "deny 10.0.0.0/8"), "3 changes-nothing");
    EXPECT(POLICY(DNS, "allow 192.0.2.1 tcp 443", "allow public tcp"), "2 changes-nothing");
    /* An address may have other names besides. */
    EXPECT(POLICY("deny a.example", "allow b.example tcp"), NULL);
    EXPECT(POLICY(DNS, "deny metadata", "allow b.example tcp"), NULL);
    /* The third name of a chain of CNAMEs. */
    EXPECT(POLICY(DNS, "deny a.example"), NULL);
}

static void test_lists_that_deny_what_a_rule_allows_are_told(void **state)
{
    (void)state;
    EXPECT(POLICY("deny a.example deny_list", "deny .ads deny_list", "allow a.example tcp 443",
                  "allow x.ads tcp"),
           "3 denied-by-list 1", "4 denied-by-list 2", "0 denies-all");
}

static void test_what_cannot_be_matched_is_told(void **state)
{
    (void)state;
    EXPECT(POLICY("allow a.example tcp", "allow 10.0.0.0/8 icmpv6", "allow fe80::/10 icmpv4",
                  "allow loopback", "allow 127.0.0.1"),
           "2 matches-nothing", "3 matches-nothing", "4 never-opened", "5 never-opened");
}

static void test_rules_that_open_more_than_they_seem_to_are_told(void **state)
{
    (void)state;
    EXPECT(POLICY("allow .com tcp 443", "allow .github.io tcp 443", "allow .example.org tcp 443",
                  "deny .zip"),
           "1 public-suffix", "2 public-suffix");
    EXPECT(POLICY("allow host"), "1 host-all-ports");
    EXPECT(POLICY("allow *"), "1 allow-all");
    EXPECT(POLICY("allow 0.0.0.0/0", "allow ::/0"), "1 allow-all", "0 addresses-without-dns");
    EXPECT(POLICY("deny a.example", "allow *"), NULL);
    EXPECT(POLICY("deny:ingress *", "allow *"), "2 allow-all");
    EXPECT(POLICY("allow a.example udp 443", "allow:ingress b.example tcp"), "1 pins-alone",
           "2 changes-nothing", "2 pins-alone");
}

static void test_a_policy_without_dns_or_without_anything_is_told(void **state)
{
    (void)state;
    EXPECT(POLICY("allow public tcp 443"), "0 addresses-without-dns");
    EXPECT(POLICY("allow public tcp 443", "allow a.example"), NULL);
    EXPECT(POLICY("deny:ingress *"), "0 denies-all");
    EXPECT(POLICY(NULL), "0 denies-all");
}

static ln_rule by_country(const char *code, ln_action action)
{
    return (ln_rule){.action = action,
                     .directions = LN_DIRECTION_BIT(LN_EGRESS),
                     .protocols = LN_PROTOCOL_BIT(LN_TCP),
                     .destination = {.kind = LN_DEST_COUNTRY, .name = code}};
}

static void test_rules_by_country_are_swallowed_by_their_like_and_by_all_addresses(void **state)
{
    (void)state;
    struct arena arena = {0};
    ln_rule *rules = arena_array(&arena, 6, sizeof(*rules));
    rules[0] = rule_of(&arena, DNS);
    rules[1] = by_country("DE", LN_ALLOW);
    rules[2] = by_country("DE", LN_DENY);
    rules[3] = by_country("FR", LN_ALLOW);
    rules[4] = rule_of(&arena, "reject * tcp");
    rules[5] = by_country("IT", LN_ALLOW);
    EXPECT(policy_of_rules(&arena, rules, 6), "3 never-decides 2", "6 never-decides 5");
}

static void test_a_network_does_not_swallow_what_is_about_the_gateway(void **state)
{
    (void)state;
    EXPECT(POLICY(DNS, "allow 172.16.0.0/12 tcp", "reject 172.16.0.1 tcp"), "3 own-addresses-only");
}

static void test_requests_keep_a_rule_from_swallowing(void **state)
{
    (void)state;
    static const ln_http_match http = {.path = "/"};
    struct arena arena = {0};
    ln_rule *rules = arena_array(&arena, 2, sizeof(*rules));
    rules[0] = rule_of(&arena, "allow a.example tcp 80");
    rules[1] = rule_of(&arena, "reject a.example tcp 80");
    rules[0].http = &http;
    EXPECT(policy_of_rules(&arena, rules, 2), NULL);
}

/* Alone with its swallowers, a rule decides no connection either. */
static void test_swallowers_swallow(void **state)
{
    (void)state;
    struct rng rng = rng_start(__func__, 4);
    uint32_t n_checked = 0;
    for (int i = 0; i < 600; i++) {
        ln_policy *policy = brute_policy(&rng, BRUTE_RULES, i % 2 == 0, true);
        struct survey survey;
        assert_int_equal(survey_make(&survey, policy), 0);
        for (uint32_t rule = 0; rule < policy->plan.n_rules; rule++) {
            struct swallowers s;
            if ((survey.decides[rule] & SURVEY_CONNECTION) != 0) {
                continue;
            }
            assert_int_equal(survey_swallowers(&survey, &rule, 1, &s), 0);
            assert_false(s.more);
            assert_true(s.n > 0 || s.nothing);
            struct plan plan = {.settings = policy->plan.settings};
            plan.rules = arena_array(&plan.arena, s.n + 1u, sizeof(*plan.rules));
            for (; plan.n_rules < s.n; plan.n_rules++) {
                plan.rules[plan.n_rules] = policy->plan.rules[s.rules[plan.n_rules]];
                assert_int_equal(plan.rules[plan.n_rules].when, 0);
            }
            plan.rules[plan.n_rules++] = policy->plan.rules[rule];
            ln_policy *alone;
            struct survey again;
            assert_int_equal(policy_from_plan(&plan, NULL, &alone), 0);
            assert_int_equal(survey_make(&again, alone), 0);
            if ((again.decides[s.n] & SURVEY_CONNECTION) != 0) {
                brute_print(policy);
                brute_print(alone);
                fail_msg("rule %u is not swallowed", (unsigned)rule + 1);
            }
            survey_free(&again);
            ln_policy_unref(alone);
            n_checked++;
        }
        survey_free(&survey);
        ln_policy_unref(policy);
    }
    assert_in_range(n_checked, 200, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_is_swallowed_by_one_or_by_several_together),
        cmocka_unit_test(test_a_rule_that_decides_anything_is_not_called_swallowed),
        cmocka_unit_test(test_a_rule_with_a_function_swallows_nothing_but_can_be_swallowed),
        cmocka_unit_test(test_what_is_decided_besides_connections_is_told),
        cmocka_unit_test(test_addresses_of_this_machine_alone_are_told),
        cmocka_unit_test(test_a_rule_that_changes_nothing_is_told),
        cmocka_unit_test(test_lists_that_deny_what_a_rule_allows_are_told),
        cmocka_unit_test(test_what_cannot_be_matched_is_told),
        cmocka_unit_test(test_rules_that_open_more_than_they_seem_to_are_told),
        cmocka_unit_test(test_a_policy_without_dns_or_without_anything_is_told),
        cmocka_unit_test(test_rules_by_country_are_swallowed_by_their_like_and_by_all_addresses),
        cmocka_unit_test(test_a_network_does_not_swallow_what_is_about_the_gateway),
        cmocka_unit_test(test_requests_keep_a_rule_from_swallowing),
        cmocka_unit_test(test_swallowers_swallow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
