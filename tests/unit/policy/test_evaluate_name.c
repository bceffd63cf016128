/* Rules by name: what pins open, what a shown name opens and closes, and when a verdict waits. */
#include "policy/fixture.h"

#define ADDR  "203.0.113.1"
#define OTHER "203.0.113.2"

/* `shown`: a name, NONE or UNKNOWN. */
static const char NONE[] = "none";
static const char UNKNOWN[] = "unknown";

static ln_decision judge(const ln_policy *policy, const ln_pins *pins, const char *addr,
                         const char *shown)
{
    ln_query query = {
        .protocol = LN_TCP,
        .address = addr_of(addr),
        .port = 443,
        .name_state = shown == NONE      ? LN_NAME_NONE
                      : shown == UNKNOWN ? LN_NAME_UNKNOWN
                                         : LN_NAME_SHOWN,
    };
    query.claimed = query.name_state == LN_NAME_SHOWN ? shown : NULL;
    ln_decision decision;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    return decision;
}

static void assert_judged(const ln_policy *policy, const ln_pins *pins, const char *addr,
                          const char *shown, ln_action action, uint32_t rule)
{
    ln_decision decision = judge(policy, pins, addr, shown);
    if (decision.action != action || decision.rule != rule) {
        fail_msg("%s showing %s: %s by rule %u, not %s by %u", addr, shown,
                 ln_action_name(decision.action), decision.rule, ln_action_name(action), rule);
    }
}

static void test_an_allowed_name_opens_only_the_address_it_was_resolved_to(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "api.example", ADDR);
    assert_judged(policy, pins, ADDR, NONE, LN_ALLOW, 1);
    assert_judged(policy, pins, ADDR, "api.example", LN_ALLOW, 1);
    assert_judged(policy, pins, OTHER, NONE, LN_DENY, 0);
    assert_judged(policy, pins, OTHER, "api.example", LN_DENY, 0);
    assert_judged(policy, NULL, ADDR, "api.example", LN_DENY, 0);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_an_address_opened_for_one_name_opens_no_other(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "api.example", ADDR);
    pin(pins, "other.example", ADDR);
    assert_judged(policy, pins, ADDR, "other.example", LN_DENY, 0);
    assert_judged(policy, pins, ADDR, "stranger.example", LN_DENY, 0);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_pin_opens_nothing_once_it_has_expired(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example");
    ln_pins *pins = pins_of(8, 8);
    ln_addr addr = addr_of(ADDR);
    assert_int_equal(ln_pins_add(pins, "api.example", &addr, 0, 100), 0);
    ln_query query = {.protocol = LN_TCP, .address = addr, .port = 443, .now_ns = 99};
    ln_decision decision;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.action, LN_ALLOW);
    query.now_ns = 100;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.action, LN_DENY);
    query.name_state = LN_NAME_SHOWN;
    query.claimed = "api.example";
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.action, LN_DENY);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_suffix_holds_every_name_below_and_not_the_apex(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow .example.com");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "example.com", "203.0.113.1");
    pin(pins, "a.example.com", "203.0.113.2");
    pin(pins, "a.b.c.example.com", "203.0.113.3");
    pin(pins, "badexample.com", "203.0.113.4");
    pin(pins, "com", "203.0.113.5");
    assert_judged(policy, pins, "203.0.113.1", NONE, LN_DENY, 0);
    assert_judged(policy, pins, "203.0.113.2", NONE, LN_ALLOW, 1);
    assert_judged(policy, pins, "203.0.113.3", "a.b.c.example.com", LN_ALLOW, 1);
    assert_judged(policy, pins, "203.0.113.4", NONE, LN_DENY, 0);
    assert_judged(policy, pins, "203.0.113.5", NONE, LN_DENY, 0);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_domain_holds_that_name_only(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow example.com");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "www.example.com", ADDR);
    assert_judged(policy, pins, ADDR, NONE, LN_DENY, 0);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_denied_name_is_refused_when_shown_at_an_address_never_resolved(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example deny_list", "allow public");
    ln_decision decision = judge(policy, NULL, ADDR, "ads.example");
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.rule, 1);
    assert_int_equal(decision.reason, LN_REASON_DENY_DOMAIN);
    assert_judged(policy, NULL, ADDR, "good.example", LN_ALLOW, 2);
    assert_judged(policy, NULL, ADDR, NONE, LN_ALLOW, 2);
    ln_policy_unref(policy);
}

static void test_a_denied_name_is_refused_by_pin_when_no_name_shows(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "allow public");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "ads.example", ADDR);
    assert_judged(policy, pins, ADDR, NONE, LN_DENY, 1);
    assert_judged(policy, pins, OTHER, NONE, LN_ALLOW, 2);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_denied_name_leaves_its_neighbours_at_the_same_address(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "allow public");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "ads.example", ADDR);
    pin(pins, "good.example", ADDR);
    assert_judged(policy, pins, ADDR, "good.example", LN_ALLOW, 2);
    assert_judged(policy, pins, ADDR, "ads.example", LN_DENY, 1);
    assert_judged(policy, pins, ADDR, NONE, LN_DENY, 1);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

/* Else a guest would get round a denied name by claiming any other. */
static void test_a_name_merely_claimed_does_not_lift_a_denial_by_pin(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "allow public");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "ads.example", ADDR);
    assert_judged(policy, pins, ADDR, "stranger.example", LN_DENY, 1);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_rules_by_address_match_whatever_name_is_shown(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow 203.0.113.1", "allow api.example");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "api.example", OTHER);
    assert_judged(policy, pins, ADDR, "stranger.example", LN_ALLOW, 1);
    assert_judged(policy, pins, ADDR, NONE, LN_ALLOW, 1);
    assert_judged(policy, pins, OTHER, "stranger.example", LN_DENY, 0);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_order_decides_between_names_of_one_address(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example", "deny ads.example");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "api.example", ADDR);
    pin(pins, "ads.example", ADDR);
    assert_judged(policy, pins, ADDR, NONE, LN_ALLOW, 1);
    assert_judged(policy, pins, ADDR, "ads.example", LN_DENY, 2);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_ingress_is_judged_by_pins_whatever_the_peer_shows(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow:ingress peer.example", "deny:ingress *");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "peer.example", ADDR);
    ln_query query = {.direction = LN_INGRESS,
                      .protocol = LN_TCP,
                      .address = addr_of(ADDR),
                      .port = 80,
                      .name_state = LN_NAME_SHOWN,
                      .claimed = "guest.example"};
    ln_decision decision;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.rule, 1);
    query.name_state = LN_NAME_UNKNOWN;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.rule, 1);
    query.address = addr_of(OTHER);
    query.name_state = LN_NAME_SHOWN;
    query.claimed = "peer.example";
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, NULL);
    assert_int_equal(decision.rule, 2);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

/* ---- waiting for the name ---- */

static void assert_waits(const ln_policy *policy, const ln_pins *pins, const char *addr)
{
    ln_decision decision = judge(policy, pins, addr, UNKNOWN);
    assert_int_equal(decision.action, LN_DEFER);
    assert_int_equal(decision.rule, 0);
    assert_int_equal(decision.reason, LN_REASON_NAME_UNKNOWN);
}

static void test_a_pinned_allow_waits_for_the_name(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example tcp 443");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "api.example", ADDR);
    assert_waits(policy, pins, ADDR);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_an_allow_by_name_does_not_wait_at_an_address_without_its_pin(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "other.example", ADDR);
    assert_judged(policy, pins, ADDR, UNKNOWN, LN_DENY, 0);
    assert_judged(policy, NULL, OTHER, UNKNOWN, LN_DENY, 0);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_an_open_address_waits_where_a_name_could_close_it(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example deny_list", "allow public");
    assert_waits(policy, NULL, ADDR);
    ln_policy_unref(policy);
}

static void test_an_open_address_does_not_wait_for_names_ruled_on_later_or_elsewhere(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny a.example tcp 80", "deny:ingress b.example",
                               "deny c.example udp", "allow public", "deny d.example");
    assert_judged(policy, NULL, ADDR, UNKNOWN, LN_ALLOW, 4);
    ln_policy_unref(policy);
}

static void test_a_closed_address_does_not_wait_for_names_that_close_it_too(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "reject evil.example", "reject public");
    assert_judged(policy, NULL, ADDR, UNKNOWN, LN_REJECT, 3);
    ln_policy_unref(policy);
}

static void test_an_address_open_by_every_name_does_not_wait(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow api.example", "allow public");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "api.example", ADDR);
    assert_judged(policy, pins, ADDR, UNKNOWN, LN_ALLOW, 1);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_refused_pin_beside_a_good_one_waits(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "allow good.example");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "ads.example", ADDR);
    assert_judged(policy, pins, ADDR, UNKNOWN, LN_DENY, 1);
    pin(pins, "good.example", ADDR);
    assert_waits(policy, pins, ADDR);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_only_egress_tcp_waits(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny:any ads.example", "allow:any *");
    ln_query query = {.address = addr_of(ADDR), .port = 443, .name_state = LN_NAME_UNKNOWN};
    for (int direction = LN_EGRESS; direction <= LN_INGRESS; direction++) {
        for (int protocol = LN_TCP; protocol <= LN_ICMPV6; protocol++) {
            query.direction = (ln_direction)direction;
            query.protocol = (ln_protocol)protocol;
            ln_decision decision;
            ln_policy_evaluate(policy, NULL, NULL, &query, &decision, NULL);
            bool waits = direction == LN_EGRESS && protocol == LN_TCP;
            assert_int_equal(decision.action, waits ? LN_DEFER : LN_ALLOW);
        }
    }
    ln_policy_unref(policy);
}

static void test_never_does_not_wait(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "allow *");
    assert_int_equal(judge(policy, NULL, "127.0.0.1", UNKNOWN).reason, LN_REASON_NEVER);
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

static struct steps trace_of(const ln_policy *policy, const ln_pins *pins, const char *shown)
{
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_query query = {
        .protocol = LN_TCP,
        .address = addr_of(ADDR),
        .port = 443,
        .name_state = shown == UNKNOWN ? LN_NAME_UNKNOWN : LN_NAME_SHOWN,
        .claimed = shown == UNKNOWN ? NULL : shown,
    };
    ln_decision decision;
    ln_policy_evaluate(policy, pins, NULL, &query, &decision, &trace);
    return steps;
}

static void test_a_trace_tells_a_wrong_name_from_one_not_resolved(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("allow a.example", "allow b.example", "deny c.example", "deny *");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "a.example", ADDR);
    struct steps steps = trace_of(policy, pins, "b.example");
    assert_int_equal(steps.n, 4);
    assert_int_equal(steps.misses[0], LN_MISS_NAME);
    assert_int_equal(steps.misses[1], LN_MISS_NOT_RESOLVED);
    assert_int_equal(steps.misses[2], LN_MISS_NAME);
    assert_int_equal(steps.misses[3], LN_MATCHED);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

static void test_a_trace_of_a_waiting_verdict_tells_what_it_hangs_on(void **state)
{
    (void)state;
    ln_policy *policy = POLICY("deny ads.example", "allow a.example", "allow b.example",
                               "deny * tcp 443", "allow *");
    ln_pins *pins = pins_of(8, 8);
    pin(pins, "a.example", ADDR);
    struct steps steps = trace_of(policy, pins, UNKNOWN);
    assert_int_equal(steps.n, 4);
    assert_int_equal(steps.misses[0], LN_MISS_NAME_UNKNOWN);
    assert_int_equal(steps.misses[1], LN_MISS_NAME_UNKNOWN);
    assert_int_equal(steps.misses[2], LN_MISS_NOT_RESOLVED);
    assert_int_equal(steps.misses[3], LN_MATCHED);
    ln_pins_free(pins);
    ln_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_allowed_name_opens_only_the_address_it_was_resolved_to),
        cmocka_unit_test(test_an_address_opened_for_one_name_opens_no_other),
        cmocka_unit_test(test_a_pin_opens_nothing_once_it_has_expired),
        cmocka_unit_test(test_a_suffix_holds_every_name_below_and_not_the_apex),
        cmocka_unit_test(test_a_domain_holds_that_name_only),
        cmocka_unit_test(test_a_denied_name_is_refused_when_shown_at_an_address_never_resolved),
        cmocka_unit_test(test_a_denied_name_is_refused_by_pin_when_no_name_shows),
        cmocka_unit_test(test_a_denied_name_leaves_its_neighbours_at_the_same_address),
        cmocka_unit_test(test_a_name_merely_claimed_does_not_lift_a_denial_by_pin),
        cmocka_unit_test(test_rules_by_address_match_whatever_name_is_shown),
        cmocka_unit_test(test_order_decides_between_names_of_one_address),
        cmocka_unit_test(test_ingress_is_judged_by_pins_whatever_the_peer_shows),
        cmocka_unit_test(test_a_pinned_allow_waits_for_the_name),
        cmocka_unit_test(test_an_allow_by_name_does_not_wait_at_an_address_without_its_pin),
        cmocka_unit_test(test_an_open_address_waits_where_a_name_could_close_it),
        cmocka_unit_test(test_an_open_address_does_not_wait_for_names_ruled_on_later_or_elsewhere),
        cmocka_unit_test(test_a_closed_address_does_not_wait_for_names_that_close_it_too),
        cmocka_unit_test(test_an_address_open_by_every_name_does_not_wait),
        cmocka_unit_test(test_a_refused_pin_beside_a_good_one_waits),
        cmocka_unit_test(test_only_egress_tcp_waits),
        cmocka_unit_test(test_never_does_not_wait),
        cmocka_unit_test(test_a_trace_tells_a_wrong_name_from_one_not_resolved),
        cmocka_unit_test(test_a_trace_of_a_waiting_verdict_tells_what_it_hangs_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
