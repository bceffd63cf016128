/* Admission: what a policy says to a flow, and what is told of it. */
#include "../policy/fixture.h"

#include <netinet/in.h>

#include "flow/admission.h"

static ln_event last;
static char last_name[256];
static unsigned n_told;

static int on_event(void *user, const ln_event *event)
{
    (void)user;
    last = *event;
    (void)snprintf(last_name, sizeof(last_name), "%s", event->name != NULL ? event->name : "");
    n_told++;
    return 0;
}

struct scene {
    struct events events;
    struct admission admission;
    struct flow flow;
};

static void begin(struct scene *s, ln_policy *policy)
{
    *s = (struct scene){.events = {.sink = on_event}};
    s->admission.events = &s->events;
    s->admission.pins = pins_of(16, 4);
    assert_int_equal(admission_set_policy(&s->admission, policy), 0);
    s->flow = (struct flow){
        .key = {.guest = addr_of("172.16.0.2"),
                .peer = addr_of("93.184.216.34"),
                .guest_port = 40000,
                .peer_port = 443,
                .ip_protocol = IPPROTO_TCP},
        .direction = LN_EGRESS,
    };
    n_told = 0;
}

static void end(struct scene *s, ln_policy *policy)
{
    ln_pins_free(s->admission.pins);
    admission_fini(&s->admission);
    ln_policy_unref(policy);
}

static void judge(struct scene *s)
{
    admission_judge(&s->admission, &s->flow.key, s->flow.id, (ln_direction)s->flow.direction,
                    LN_NAME_NONE, NULL, false, 0, 1, &s->flow.decision);
}

static void test_egress_is_judged_by_peer_and_its_port(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("allow 93.184.216.34 tcp 443");
    (void)state;
    begin(&s, policy);
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_ALLOW);
    assert_int_equal(s.flow.decision.rule, 1);
    s.flow.key.peer_port = 444;
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_DENY);
    s.flow.key.ip_protocol = IPPROTO_UDP;
    s.flow.key.peer_port = 443;
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_DENY);
    end(&s, policy);
}

static void test_ingress_is_judged_by_peer_and_the_guests_port(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("deny:ingress 93.184.216.34 tcp 8080");
    (void)state;
    begin(&s, policy);
    s.flow.direction = LN_INGRESS;
    s.flow.key.guest_port = 8080;
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_DENY);
    s.flow.key.guest_port = 443;
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_ALLOW);
    end(&s, policy);
}

static void test_echo_has_no_port_to_be_judged_by(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("allow 93.184.216.34 icmpv4");
    (void)state;
    begin(&s, policy);
    s.flow.key.ip_protocol = IPPROTO_ICMP;
    s.flow.key.guest_port = s.flow.key.peer_port = 77; /* the identifier */
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_ALLOW);
    admission_tell_verdict(&s.admission, &s.flow, NULL, NULL, 1);
    assert_int_equal(last.port, 0);
    assert_string_equal(last.protocol, "icmpv4");
    end(&s, policy);
}

static void test_verdict_is_told_with_rule_reason_and_pinned_name(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("deny 10.0.0.0/8", "allow example.com tcp");
    (void)state;
    begin(&s, policy);
    pin(s.admission.pins, "example.com", "93.184.216.34");
    judge(&s);
    admission_tell_verdict(&s.admission, &s.flow, NULL, NULL, 1);
    assert_int_equal(last.kind, LN_EVENT_FLOW_OPEN);
    assert_int_equal(last.rule, 2);
    assert_string_equal(last.reason, "rule");
    assert_string_equal(last.action, "allow");
    assert_string_equal(last.direction, "egress");
    assert_string_equal(last_name, "example.com");
    assert_int_equal(last.port, 443);
    assert_int_equal(last.src_port, 40000);
    assert_int_equal(s.admission.hits[2], 1);

    s.flow.key.peer = addr_of("10.1.1.1");
    judge(&s);
    admission_tell_verdict(&s.admission, &s.flow, "shown.test", "because", 1);
    assert_int_equal(last.kind, LN_EVENT_FLOW_DENIED);
    assert_int_equal(last.rule, 1);
    assert_string_equal(last.reason, "because");
    assert_string_equal(last_name, "shown.test");
    assert_int_equal(s.admission.hits[1], 1);
    assert_int_equal(n_told, 2);
    end(&s, policy);
}

static void test_default_is_counted_as_rule_zero(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("allow 10.0.0.0/8");
    (void)state;
    begin(&s, policy);
    judge(&s);
    admission_tell_verdict(&s.admission, &s.flow, NULL, NULL, 1);
    assert_int_equal(last.rule, 0);
    assert_string_equal(last.reason, "default");
    assert_int_equal(s.admission.hits[0], 1);
    end(&s, policy);
}

static void test_close_is_told_with_the_counters(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("allow *");
    (void)state;
    begin(&s, policy);
    judge(&s);
    s.flow.bytes_out = 1;
    s.flow.bytes_in = 2;
    s.flow.packets_out = 3;
    s.flow.packets_in = 4;
    admission_tell_close(&s.admission, &s.flow, "done");
    assert_int_equal(last.kind, LN_EVENT_FLOW_CLOSE);
    assert_string_equal(last.reason, "done");
    assert_int_equal(last.bytes_out, 1);
    assert_int_equal(last.bytes_in, 2);
    assert_int_equal(last.packets_out, 3);
    assert_int_equal(last.packets_in, 4);
    end(&s, policy);
}

static void test_new_policy_counts_from_zero(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("allow *");
    ln_policy *other = POLICY("deny 10.0.0.0/8", "deny *");
    (void)state;
    begin(&s, policy);
    judge(&s);
    admission_tell_verdict(&s.admission, &s.flow, NULL, NULL, 1);
    assert_int_equal(admission_set_policy(&s.admission, other), 0);
    for (int i = 0; i <= 2; i++) {
        assert_int_equal(s.admission.hits[i], 0);
    }
    judge(&s);
    assert_int_equal(s.flow.decision.action, LN_DENY);
    assert_int_equal(s.flow.decision.rule, 2);
    end(&s, policy);
    ln_policy_unref(other);
}

static void test_deny_mode_turns_denial_into_rejection(void **state)
{
    struct scene s;
    ln_policy *policy = POLICY("allow 10.0.0.0/8");
    ln_decision deny = {.action = LN_DENY}, reject = {.action = LN_REJECT};
    (void)state;
    begin(&s, policy);
    assert_int_equal(admission_wire_action(&s.admission, &deny), LN_DENY);
    assert_int_equal(admission_wire_action(&s.admission, &reject), LN_REJECT);
    policy->plan.settings.deny_by_reject = true;
    assert_int_equal(admission_wire_action(&s.admission, &deny), LN_REJECT);
    end(&s, policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_egress_is_judged_by_peer_and_its_port),
        cmocka_unit_test(test_ingress_is_judged_by_peer_and_the_guests_port),
        cmocka_unit_test(test_echo_has_no_port_to_be_judged_by),
        cmocka_unit_test(test_verdict_is_told_with_rule_reason_and_pinned_name),
        cmocka_unit_test(test_default_is_counted_as_rule_zero),
        cmocka_unit_test(test_close_is_told_with_the_counters),
        cmocka_unit_test(test_new_policy_counts_from_zero),
        cmocka_unit_test(test_deny_mode_turns_denial_into_rejection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
