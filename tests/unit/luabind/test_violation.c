/* Functions that are asked about violations: what they see, what they may answer, and what becomes
 * of those that fail. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "luabind/load.h"

/* A policy whose on_secret_violation(v) has this body, and a second secret that blocks. */
static ln_policy *policy_of(const char *body)
{
    char text[1024];
    int len = snprintf(text, sizeof(text),
                       "return { tls = {}, limits = { handler_instructions = 10000 },"
                       " on_secret_violation = function(v) %s end, secrets = {"
                       " { env = 'A', value = 'x', allow_hosts = { 'a.example' } },"
                       " { env = 'B', value = 'x', allow_hosts = { 'a.example' },"
                       "   on_violation = 'block' },"
                       " { env = 'C', value = 'x', allow_hosts = { 'a.example' },"
                       "   on_violation = function(v) return 'pass-placeholder' end } } }",
                       body);
    ln_policy *policy;
    assert_int_equal(lua_policy_load_text("policy.lua", text, (size_t)len, &policy, NULL), 0);
    return policy;
}

static int judge(const ln_policy *policy, size_t secret, ln_violation *ret)
{
    static const ln_violation_view view = {
        .secret = "A",
        .host = "evil.example",
        .address = {{[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}},
        .port = 443,
        .method = "POST",
        .path = "/x",
        .place = "body",
    };
    return ln_policy_judge_violation(policy, &ln_policy_settings(policy)->secrets[secret], &view,
                                     ret);
}

static void assert_answer(const char *body, ln_violation expected)
{
    ln_policy *policy = policy_of(body);
    ln_violation violation;
    assert_int_equal(judge(policy, 0, &violation), 0);
    assert_int_equal(violation, expected);
    ln_policy_unref(policy);
}

static void test_a_function_answers(void **state)
{
    (void)state;
    assert_answer("return 'block'", LN_VIOLATION_BLOCK);
    assert_answer("return 'block-and-log'", LN_VIOLATION_BLOCK_AND_LOG);
    assert_answer("return 'block-and-terminate'", LN_VIOLATION_BLOCK_AND_TERMINATE);
    assert_answer("return 'pass-placeholder'", LN_VIOLATION_PASS_PLACEHOLDER);
}

static void test_it_sees_what_happened(void **state)
{
    (void)state;
    assert_answer("local t = { v.secret, v.host, v.address, v.port, v.method, v.path, v.place }"
                  " local all = table.concat(t, ' ')"
                  " if all == 'A evil.example 192.0.2.1 443 POST /x body' and v.time > 0 then"
                  " return 'block' end error(all)",
                  LN_VIOLATION_BLOCK);
}

static void test_one_that_fails_blocks_and_logs(void **state)
{
    (void)state;
    static const struct {
        const char *body, *error;
    } cases[] = {
        {"", "on_secret_violation() returned nil; accepted: "},
        {"return true", "on_secret_violation() returned boolean; accepted: "},
        {"return 'handler'", "on_secret_violation() returned handler; accepted: "},
        {"return 'allow'", "on_secret_violation() returned allow; accepted: "},
        {"error('boom')", "boom"},
        {"error({})", "not a string"},
        {"while true do end", "instructions"},
        {"return v.hots.x", "hots"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ln_policy *policy = policy_of(cases[i].body);
        ln_violation violation = LN_VIOLATION_BLOCK;
        assert_int_equal(judge(policy, 0, &violation), -EIO);
        assert_int_equal(violation, LN_VIOLATION_BLOCK_AND_LOG);
        if (strstr(ln_policy_handler_error(policy), cases[i].error) == NULL) {
            fail_msg("%s: %s", cases[i].body, ln_policy_handler_error(policy));
        }
        ln_policy_unref(policy);
    }
}

static void test_a_secret_may_have_its_own(void **state)
{
    (void)state;
    ln_policy *policy = policy_of("error('of another secret')");
    ln_violation violation;
    assert_int_equal(judge(policy, 1, &violation), 0);
    assert_int_equal(violation, LN_VIOLATION_BLOCK);
    assert_int_equal(judge(policy, 2, &violation), 0);
    assert_int_equal(violation, LN_VIOLATION_PASS_PLACEHOLDER);
    ln_policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_function_answers),
        cmocka_unit_test(test_it_sees_what_happened),
        cmocka_unit_test(test_one_that_fails_blocks_and_logs),
        cmocka_unit_test(test_a_secret_may_have_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
