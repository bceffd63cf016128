/* A plan as a whole: all mistakes in one go, out of memory, and the policy made from it. */
#include "policy/plan_fixture.h"

#include <unistd.h>

#include "policy/mmdb.h"

static const char everything[] =
    "{rules = {{action = \"allow\", destination = {\"a.b\", \"10.0.0.0/8\"}, protocol = \"tcp\","
    "  ports = {443, \"8000-9000\"}, when = function, name = \"label\", http = {methods = "
    "\"GET\"}},"
    " {action = \"deny\", destination = {country = \"DE\"}}},"
    " deny_domains = {\"evil.example\"}, deny_domain_suffixes = {\".ads\"},"
    " dns = {nameservers = {\"1.1.1.1\", \"dns.b\xc3\xbc"
    "cher.example\"}},"
    " ports = {[8080] = 80}, port_bindings = {{host_port = 1, guest_port = 2}},"
    " tls = {bypass = {\"p.q\"}, intercepted_ports = {443}, upstream_ca_certs = {\"x\"},"
    "  upstream_ca_certs_for = {[\"a.b\"] = {\"y\"}}, verify_upstream_for = {[\"a.b\"] = true}},"
    " secrets = {{env = \"A\", value = \"v\", allow_hosts = {\"a.b\"}, placeholder = \"$A\"}},"
    " geoip = {country_db = \"c.mmdb\"}, on_connect = function}";

static void test_all_mistakes_are_told_in_the_order_of_the_file(void **state)
{
    (void)state;
    ln_problems *problems = problems_of("{\n"
                                        "max_connections = 0,\n"
                                        "policy = \"open\",\n"
                                        "ipv4_pool = \"10.0.0.0/31\",\n"
                                        "rules = {\n"
                                        "  {action = \"alow\", destination = \"*\"},\n"
                                        "  {action = \"deny\", destination = \"10.0.0.1/8\"},\n"
                                        "  {action = \"deny\", destination = \"db\"},\n"
                                        "  {action = \"deny\", destination = \"*\", ports = {\n"
                                        "     0,\n"
                                        "     \"9-8\"}},\n"
                                        "  \"what\"},\n"
                                        "dns = {nameservers = {\n"
                                        "  \"1.1.1.1:0\"}},\n"
                                        "deny_domains = {\"a..b\"},\n"
                                        "tls = {ca_key = \"k\"},\n"
                                        "secrets = {{}},\n"
                                        "deny_mode = \"drp\"}");
    static const struct {
        int line;
        const char *field;
    } expected[] = {
        {2, "max_connections"},
        {3, "policy"},
        {3, "policy"},
        {4, "ipv4_pool"},
        {6, "rules[1].action"},
        {7, "rules[2].destination"},
        {8, "rules[3].destination"},
        {10, "rules[4].ports[1]"},
        {11, "rules[4].ports[2]"},
        {12, "rules[5]"},
        {14, "dns.nameservers[1]"},
        {15, "deny_domains[1]"},
        {16, "tls.ca_cert"},
        {17, "secrets[1].env"},
        {17, "secrets[1].value"},
        {17, "secrets[1].allow_hosts"},
        {18, "deny_mode"},
    };
    size_t n = sizeof(expected) / sizeof(expected[0]);
    for (size_t i = 0; i < n && i < ln_problems_count(problems); i++) {
        const ln_problem *problem = ln_problems_get(problems, i);
        assert_string_equal(problem->field, expected[i].field);
        assert_int_equal(problem->line, expected[i].line);
    }
    assert_int_equal(ln_problems_count(problems), n);
    ln_problems_free(problems);
}

static void test_a_problem_says_what_is_accepted(void **state)
{
    (void)state;
    ln_problems *problems = problems_of("{default_egress = \"no\"}");
    assert_string_equal(ln_problems_get(problems, 0)->accepted, "\"deny\", \"allow\", \"reject\"");
    ln_problems_free(problems);
    problems = problems_of("{rules = {{action = \"deny\", destination = \"*\", x = 1}}}");
    assert_string_equal(ln_problems_get(problems, 0)->accepted,
                        "action, direction, destination, protocol, protocols, port, ports, http, "
                        "when, name, comment");
    ln_problems_free(problems);
    problems = problems_of("{max_connections = 0}");
    assert_string_equal(ln_problems_get(problems, 0)->accepted, "an integer from 1 to 1048576");
    ln_problems_free(problems);
}

static void test_a_mistake_of_a_rule_that_became_several_is_told_once(void **state)
{
    (void)state;
    ln_problems *problems =
        problems_of("{rules = {"
                    "<rules[1]> {action = \"allow\", destination = \"db\", ports = {0}},"
                    "<rules[1]> {action = \"allow\", destination = \"a.b\", ports = {0}},"
                    "<rules[1]> {action = \"allow\", destination = \"db\", ports = {0}},"
                    "<rules[2]> {action = \"allow\", destination = \"db\"}}}");
    assert_int_equal(ln_problems_count(problems), 3);
    assert_string_equal(ln_problems_get(problems, 0)->field, "rules[1].ports[1]");
    assert_string_equal(ln_problems_get(problems, 1)->field, "rules[1].destination");
    assert_string_equal(ln_problems_get(problems, 2)->field, "rules[2].destination");
    ln_problems_free(problems);
}

static void test_what_was_found_is_cut_between_characters(void **state)
{
    (void)state;
    char config[300] = "{deny_mode = \"";
    for (int i = 0; i < 100; i++) {
        strcat(config, i == 0 ? "x" : "\xc3\xbc");
    }
    strcat(config, "\"}");
    ln_problems *problems = problems_of(config);
    const char *found = ln_problems_get(problems, 0)->found;
    assert_string_equal(found + strlen(found) - 6,
                        "\xc3\xbc\"\xe2\x80\xa6"); /* …" and an ellipsis */
    assert_int_equal(strlen(found), 1 + 63 + 1 + 3);
    ln_problems_free(problems);
}

static void test_a_missing_list_of_problems_is_no_fault(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct ln_value value = config_parse(&arena, NULL, "{x = 1}");
    struct plan plan = {0};
    assert_int_equal(plan_build(&value, &plan, NULL), -EINVAL);
    arena_free(&arena);
}

static void test_out_of_memory_is_told_as_such_wherever_it_strikes(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct ln_value value = config_parse(&arena, "p.lua", everything);
    ln_problems *problems = ln_problems_new();
    struct plan plan = {0};
    assert_int_equal(plan_build(&value, &plan, problems), 0);
    size_t needed = plan.arena.used;
    plan_free(&plan);
    assert_true(needed > 1000);
    for (size_t cap = 1; cap < needed; cap += 16) {
        plan = (struct plan){.arena.cap = cap};
        assert_int_equal(plan_build(&value, &plan, problems), -ENOMEM);
        assert_int_equal(ln_problems_count(problems), 0);
        assert_null(plan.rules);
    }
    plan = (struct plan){.arena.cap = needed};
    assert_int_equal(plan_build(&value, &plan, problems), 0);
    plan_free(&plan);
    ln_problems_free(problems);
    arena_free(&arena);
}

/* ---- policies ---- */

static void count_release(void *user)
{
    ++*(int *)user;
}

static void test_a_policy_lives_until_its_last_reference(void **state)
{
    (void)state;
    struct arena arena = {0};
    char directory[] = "/tmp/lunette-plan-XXXXXX"; /* the policy's database stands beside it */
    assert_non_null(mkdtemp(directory));
    const char *database = arena_printf(&arena, "%s/c.mmdb", directory);
    mmdb_write(database, 6, NULL, 0, false);
    struct ln_value value =
        config_parse(&arena, arena_printf(&arena, "%s/p.lua", directory), everything);
    int released = 0;
    ln_handlers handlers = {.user = &released, .release = count_release};
    ln_policy *policy = NULL;
    assert_int_equal(ln_policy_new(&value, &handlers, &policy, NULL), 0);
    unlink(database);
    rmdir(directory);
    arena_free(&arena);
    assert_ptr_equal(ln_policy_ref(policy), policy);
    assert_null(ln_policy_unref(policy));
    assert_int_equal(released, 0);
    assert_int_equal(ln_policy_settings(policy)->n_secrets, 1);
    assert_int_equal(ln_policy_rule_count(policy), 6);
    assert_null(ln_policy_rule(policy, 0));
    assert_string_equal(ln_policy_rule(policy, 1)->destination.name, "evil.example");
    assert_string_equal(ln_policy_rule(policy, 6)->destination.name, "DE");
    assert_null(ln_policy_rule(policy, 7));
    assert_null(ln_policy_unref(policy));
    assert_int_equal(released, 1);
    assert_null(ln_policy_unref(NULL));
}

static void test_a_bad_configuration_makes_no_policy_and_keeps_its_handlers(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct ln_value value = config_parse(&arena, "p.lua", "{rules = 1}");
    int released = 0;
    ln_handlers handlers = {.user = &released, .release = count_release};
    ln_policy *policy = NULL;
    ln_problems *problems = ln_problems_new();
    assert_int_equal(ln_policy_new(&value, &handlers, &policy, problems), -EINVAL);
    assert_null(policy);
    assert_int_equal(ln_problems_count(problems), 1);
    assert_int_equal(released, 0);
    ln_problems_free(problems);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_mistakes_are_told_in_the_order_of_the_file),
        cmocka_unit_test(test_a_problem_says_what_is_accepted),
        cmocka_unit_test(test_a_mistake_of_a_rule_that_became_several_is_told_once),
        cmocka_unit_test(test_what_was_found_is_cut_between_characters),
        cmocka_unit_test(test_a_missing_list_of_problems_is_no_fault),
        cmocka_unit_test(test_out_of_memory_is_told_as_such_wherever_it_strikes),
        cmocka_unit_test(test_a_policy_lives_until_its_last_reference),
        cmocka_unit_test(test_a_bad_configuration_makes_no_policy_and_keeps_its_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
