/* Policies from Lua text: what becomes of memory that runs out, and of functions that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/events.h"
#include "failing_alloc.h"
#include "flow/admission.h"
#include "luabind/load.h"

/* All of Lua's memory comes from realloc(). */
__attribute__((visibility("default"))) void *realloc(void *old, size_t size)
{
    static void *(*next)(void *, size_t);
    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "realloc");
    }
    return allocation_fails() ? NULL : next(old, size);
}

static const char policy_text[] =
    "local lunette = require 'lunette'\n"
    "return {\n"
    "  rules = {\n"
    "    lunette.allow('api.github.com'):tcp(443):when(function() return true end),\n"
    "    { action = 'deny', destination = { '10.0.0.0/8', 'private' } },\n"
    "    'allow@dns',\n"
    "  },\n"
    "  deny_domains = { 'ads.example' },\n"
    "  on_connect = function(flow) if flow.port == 81 then error('no') end end,\n"
    "}\n";

static int load(const char *text, ln_policy **ret, ln_problems *problems)
{
    return lua_policy_load_text("policy.lua", text, strlen(text), ret, problems);
}

static void test_text_becomes_a_policy(void **state)
{
    (void)state;
    ln_policy *policy = NULL;
    assert_int_equal(load(policy_text, &policy, NULL), 0);
    assert_int_equal(ln_policy_rule_count(policy), 5);
    assert_string_equal(ln_policy_rule(policy, 2)->file, "policy.lua");
    assert_int_equal(ln_policy_rule(policy, 2)->line, 4);
    ln_policy_unref(policy);
}

static void test_mistakes_are_told_and_nothing_is_made(void **state)
{
    (void)state;
    ln_problems *problems = ln_problems_new();
    ln_policy *policy = NULL;
    assert_int_equal(load("return { rules = 1 }", &policy, problems), -EINVAL);
    assert_int_equal(load("return {", &policy, problems), -EINVAL);
    assert_int_equal(load("return { rules = { nil, 2 } }", &policy, problems), -EINVAL);
    assert_int_equal(lua_policy_load("/nonexistent", &policy, problems), -EINVAL);
    assert_null(policy);
    assert_int_equal(ln_problems_count(problems), 5);
    assert_int_equal(load("return {", &policy, NULL), -EINVAL);
    ln_problems_free(problems);
}

static void test_memory_that_runs_out_anywhere_is_an_ordinary_error(void **state)
{
    (void)state;
    int r = -ENOMEM;
    long n = 0;
    for (; r != 0; n += n < 200 ? 1 : 17) {
        ln_problems *problems = ln_problems_new();
        ln_policy *policy = NULL;
        allocations_left = n;
        r = load(policy_text, &policy, problems);
        allocations_left = -1;
        assert_true(r == 0 || r == -ENOMEM);
        assert_int_equal(policy != NULL, r == 0);
        assert_int_equal(ln_problems_count(problems), 0);
        ln_problems_free(problems);
        ln_policy_unref(policy);
    }
    assert_true(n > 1000);
}

static void test_memory_that_runs_out_in_a_function_denies(void **state)
{
    (void)state;
    static const char text[] = "return { default_egress = 'allow',\n"
                               "on_connect = function() local t = {} for i = 1, 100 do t[i] = {} "
                               "end end }";
    ln_policy *policy = NULL;
    assert_int_equal(load(text, &policy, NULL), 0);
    ln_query query = {.address = ln_addr_v4(0xc0000201), .port = 443};
    ln_decision decision;
    for (long n = 0; n < 50; n++) {
        allocations_left = n;
        ln_policy_evaluate(policy, NULL, NULL, &query, &decision, NULL);
        allocations_left = -1;
        assert_int_equal(decision.action, LN_DENY);
        assert_int_equal(decision.reason, LN_REASON_HANDLER_ERROR);
    }
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, NULL);
    assert_int_equal(decision.action, LN_ALLOW);
    ln_policy_unref(policy);
}

static int keep_event(void *user, const ln_event *event)
{
    ln_event *kept = user;
    assert_int_equal(event->kind, LN_EVENT_HANDLER_ERROR);
    assert_string_equal(event->detail, "policy.lua:9: no");
    assert_string_equal(event->reason, "handler_error");
    *kept = *event;
    return 0;
}

static void test_a_function_that_fails_is_told_as_an_event(void **state)
{
    (void)state;
    ln_event kept = {0};
    struct events events = {.sink = keep_event, .user = &kept};
    struct admission admission = {.events = &events};
    ln_policy *policy = NULL;
    assert_int_equal(load(policy_text, &policy, NULL), 0);
    assert_int_equal(admission_set_policy(&admission, policy), 0);
    ln_policy_unref(policy);

    struct flow_key key = {
        .peer = ln_addr_v4(0xc0000201), .peer_port = 81, .ip_protocol = IPPROTO_TCP};
    ln_decision decision;
    admission_judge(&admission, &key, 0, LN_EGRESS, LN_NAME_NONE, NULL, false, 0, 0, &decision);
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(kept.port, 81);
    assert_int_equal(events.counts[LN_EVENT_HANDLER_ERROR], 1);
    key.peer_port = 80;
    admission_judge(&admission, &key, 0, LN_EGRESS, LN_NAME_NONE, NULL, false, 0, 0, &decision);
    assert_int_equal(events.counts[LN_EVENT_HANDLER_ERROR], 1);
    admission_fini(&admission);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_becomes_a_policy),
        cmocka_unit_test(test_mistakes_are_told_and_nothing_is_made),
        cmocka_unit_test(test_memory_that_runs_out_anywhere_is_an_ordinary_error),
        cmocka_unit_test(test_memory_that_runs_out_in_a_function_denies),
        cmocka_unit_test(test_a_function_that_fails_is_told_as_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
