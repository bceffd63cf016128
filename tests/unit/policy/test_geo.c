/* Rules by country, continent and autonomous system, and the databases they need. */
#include "policy/fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "failing_alloc.h"
#include "policy/config_text.h"
#include "policy/mmdb.h"

static const struct mmdb_entry ENTRIES[] = {
    {"203.0.113.0/24", "DE", "EU", 64500, false}, {"203.0.113.2/32", "FR", "EU", 64501, false},
    {"198.51.100.0/24", "US", "NA", 64502, true}, {"192.0.2.0/24", NULL, "AS", 0, false},
    {"2001:db8::/32", "JP", "AS", 64503, false},  {"2001:db8::1/128", "DEU", NULL, 0, false},
};
enum { N_ENTRIES = sizeof(ENTRIES) / sizeof(*ENTRIES) };

/* A directory with db.mmdb, v4.mmdb, broken.mmdb and no.mmdb, which is none. */
static char directory[] = "/tmp/lunette-geo-XXXXXX";
static const char *const FILES[] = {"db.mmdb", "v4.mmdb", "broken.mmdb", "no.mmdb"};

static const char *path_of(const char *file)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/%s", directory, file);
    return path;
}

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    mmdb_write(path_of("db.mmdb"), 6, ENTRIES, N_ENTRIES, false);
    mmdb_write(path_of("v4.mmdb"), 4, ENTRIES, 4, false);
    mmdb_write(path_of("broken.mmdb"), 6, ENTRIES, N_ENTRIES, true);
    FILE *no = fopen(path_of("no.mmdb"), "w");
    fputs("no database", no);
    fclose(no);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(FILES) / sizeof(*FILES); i++) {
        unlink(path_of(FILES[i]));
    }
    return rmdir(directory);
}

/* The policy of this text, as if it stood in the directory; NULL with problems. */
static ln_policy *load(const char *text, const ln_handlers *handlers, ln_problems *problems)
{
    struct arena arena = {0};
    char *file = arena_strndup(&arena, path_of("policy.lua"), strlen(path_of("policy.lua")));
    struct ln_value value = config_parse(&arena, file, text);
    ln_policy *policy = NULL;
    int r = ln_policy_new(&value, handlers, &policy, problems);
    assert_true(r == 0 || (r == -EINVAL && policy == NULL));
    arena_free(&arena);
    return policy;
}

#define DATABASES "geoip = {country_db = \"db.mmdb\", asn_db = \"db.mmdb\"}"

static ln_decision judge(const ln_policy *policy, const char *addr)
{
    ln_query query = {.protocol = LN_TCP, .address = addr_of(addr), .port = 443};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, NULL);
    return decision;
}

static void test_rules_by_place_match_where_an_address_is_registered(void **state)
{
    (void)state;
    ln_policy *policy = load("{rules = {"
                             " {action = \"deny\", destination = {asn = 64501}},"
                             " {action = \"allow\", destination = {country = \"DE\"}},"
                             " {action = \"allow\", destination = {country = \"US\"}, port = 443},"
                             " {action = \"reject\", destination = {continent = \"AS\"}},"
                             " {action = \"allow\", destination = {asn = 64503}}}, " DATABASES "}",
                             NULL, NULL);
    assert_int_equal(judge(policy, "203.0.113.1").rule, 2);
    assert_int_equal(judge(policy, "203.0.113.2").rule, 1);
    assert_int_equal(judge(policy, "198.51.100.1").rule, 3);
    assert_int_equal(judge(policy, "192.0.2.1").rule, 4);
    assert_int_equal(judge(policy, "2001:db8::2").rule, 4);
    assert_int_equal(judge(policy, "2001:db8::1").rule, 0); /* three letters are no code */
    assert_int_equal(judge(policy, "8.8.8.8").rule, 0);
    ln_policy_unref(policy);
}

static void test_an_address_that_embeds_another_is_where_that_is(void **state)
{
    (void)state;
    ln_policy *policy =
        load("{rules = {{action = \"allow\", destination = {country = \"DE\"}}}, " DATABASES "}",
             NULL, NULL);
    assert_int_equal(judge(policy, "64:ff9b::203.0.113.1").rule, 1);
    assert_int_equal(judge(policy, "2002:cb00:7101::").rule, 1);
    assert_int_equal(judge(policy, "::ffff:203.0.113.1").rule, 1);
    ln_policy_unref(policy);
}

static void test_a_database_of_ipv4_knows_no_ipv6_address(void **state)
{
    (void)state;
    ln_policy *policy = load("{rules = {{action = \"allow\", destination = {country = \"DE\"}},"
                             " {action = \"reject\", destination = \"*\"}},"
                             " geoip = {country_db = \"v4.mmdb\"}}",
                             NULL, NULL);
    assert_int_equal(judge(policy, "203.0.113.1").rule, 1);
    assert_int_equal(judge(policy, "2001:db8::2").rule, 2);
    ln_policy_unref(policy);
}

static void test_a_corrupt_database_denies_where_a_rule_asks_it(void **state)
{
    (void)state;
    ln_policy *policy = load("{rules = {{action = \"deny\", destination = {country = \"DE\"}},"
                             " {action = \"allow\", destination = \"*\"}},"
                             " geoip = {country_db = \"broken.mmdb\"}}",
                             NULL, NULL);
    ln_decision decision = judge(policy, "203.0.113.1");
    assert_int_equal(decision.action, LN_DENY);
    assert_int_equal(decision.reason, LN_REASON_GEOIP_ERROR);
    ln_policy_unref(policy);
    policy = load("{rules = {{action = \"allow\", destination = \"*\"}},"
                  " geoip = {country_db = \"broken.mmdb\"}}",
                  NULL, NULL);
    assert_int_equal(judge(policy, "203.0.113.1").rule, 1);
    ln_policy_unref(policy);
}

static void test_rules_by_place_match_no_query_and_vouch_for_no_answer(void **state)
{
    (void)state;
    ln_policy *policy =
        load("{rules = {{action = \"allow\", destination = {country = \"DE\"}},"
             " {action = \"allow\", destination = {continent = \"AF\"}}}, " DATABASES "}",
             NULL, NULL);
    ln_decision decision;
    ln_policy_evaluate_dns(policy, "a.example", LN_UDP, &decision, NULL);
    assert_int_equal(decision.rule, 0);
    ln_addr private = addr_of("10.0.0.1");
    ln_policy_evaluate_answer(policy, NULL, &private, &decision);
    assert_int_equal(decision.action, LN_DENY);
    ln_policy_unref(policy);
}

struct steps {
    uint32_t n;
    ln_miss misses[4];
};

static void note_step(void *user, uint32_t rule, ln_miss miss)
{
    struct steps *steps = user;
    assert_int_equal(rule, steps->n + 1);
    steps->misses[steps->n++] = miss;
}

static void test_a_trace_tells_of_places(void **state)
{
    (void)state;
    ln_policy *policy = load("{rules = {{action = \"allow\", destination = {country = \"FR\"}},"
                             " {action = \"allow\", destination = {continent = \"NA\"}},"
                             " {action = \"allow\", destination = {asn = 64500}}}, " DATABASES "}",
                             NULL, NULL);
    ln_query query = {.protocol = LN_TCP, .address = addr_of("203.0.113.1"), .port = 443};
    struct steps steps = {0};
    ln_trace trace = {.step = note_step, .user = &steps};
    ln_decision decision;
    ln_policy_evaluate(policy, NULL, NULL, &query, &decision, &trace);
    assert_int_equal(decision.rule, 3);
    assert_int_equal(steps.n, 3);
    assert_int_equal(steps.misses[0], LN_MISS_DESTINATION);
    assert_int_equal(steps.misses[1], LN_MISS_DESTINATION);
    assert_int_equal(steps.misses[2], LN_MATCHED);
    ln_policy_unref(policy);
}

static int note_view(void *user, int reference, const ln_flow_view *flow, ln_action *ret)
{
    (void)reference, (void)ret;
    *(ln_flow_view *)user = *flow;
    return 0;
}

static void test_functions_see_places(void **state)
{
    (void)state;
    ln_flow_view view;
    ln_handlers handlers = {.user = &view, .on_connect = note_view};
    ln_policy *policy = load("{on_connect = function, " DATABASES "}", &handlers, NULL);
    judge(policy, "203.0.113.1");
    assert_string_equal(view.country, "DE");
    assert_int_equal(view.asn, 64500);
    judge(policy, "8.8.8.8");
    assert_string_equal(view.country, "");
    assert_int_equal(view.asn, 0);
    ln_policy_unref(policy);
}

/* ---- loading ---- */

static void test_a_database_that_cannot_be_used_is_told_with_field_and_line(void **state)
{
    (void)state;
    ln_problems *problems = ln_problems_new();
    assert_null(load("{\ngeoip = {\ncountry_db = \"missing.mmdb\",\nasn_db = \"no.mmdb\"},\n"
                     "max_connections = 0}",
                     NULL, problems));
    assert_int_equal(ln_problems_count(problems), 3);
    const ln_problem *missing = ln_problems_get(problems, 0);
    assert_string_equal(missing->field, "geoip.country_db");
    assert_int_equal(missing->line, 3);
    assert_string_equal(missing->message, "the database cannot be used: No such file or directory");
    assert_non_null(strstr(missing->found, "/missing.mmdb\""));
    const ln_problem *no = ln_problems_get(problems, 1);
    assert_string_equal(no->field, "geoip.asn_db");
    assert_int_equal(no->line, 4);
    assert_string_equal(ln_problems_get(problems, 2)->field, "max_connections");
    ln_problems_free(problems);
}

static void test_an_absolute_path_is_taken_as_it_is(void **state)
{
    (void)state;
    char text[128];
    snprintf(text, sizeof(text), "{geoip = {asn_db = \"%s\"}}", path_of("db.mmdb"));
    struct arena arena = {0};
    struct ln_value value = config_parse(&arena, "/nowhere/policy.lua", text);
    ln_policy *policy = NULL;
    assert_int_equal(ln_policy_new(&value, NULL, &policy, NULL), 0);
    ln_policy_unref(policy);
    arena_free(&arena);
}

/* With a database that is not there: libmaxminddb itself leaks when memory runs out inside it. */
static void test_memory_that_runs_out_while_loading_leaves_nothing_behind(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct ln_value value = config_parse(
        &arena, "a/policy.lua",
        "{rules = {{action = \"allow\", destination = {asn = 1}}}, geoip = {asn_db = \"b\"}}");
    int r = -ENOMEM;
    for (long n = 0; r == -ENOMEM; n++) {
        ln_policy *policy = NULL;
        ln_problems *problems = ln_problems_new();
        allocations_left = n;
        r = ln_policy_new(&value, NULL, &policy, problems);
        allocations_left = -1;
        assert_null(policy);
        assert_int_equal(ln_problems_count(problems), r == -EINVAL ? 1 : 0);
        ln_problems_free(problems);
        assert_in_range(n, 0, 1000);
    }
    assert_int_equal(r, -EINVAL);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_by_place_match_where_an_address_is_registered),
        cmocka_unit_test(test_an_address_that_embeds_another_is_where_that_is),
        cmocka_unit_test(test_a_database_of_ipv4_knows_no_ipv6_address),
        cmocka_unit_test(test_a_corrupt_database_denies_where_a_rule_asks_it),
        cmocka_unit_test(test_rules_by_place_match_no_query_and_vouch_for_no_answer),
        cmocka_unit_test(test_a_trace_tells_of_places),
        cmocka_unit_test(test_functions_see_places),
        cmocka_unit_test(test_a_database_that_cannot_be_used_is_told_with_field_and_line),
        cmocka_unit_test(test_an_absolute_path_is_taken_as_it_is),
        cmocka_unit_test(test_memory_that_runs_out_while_loading_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
