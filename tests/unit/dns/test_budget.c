/* What may be asked about one domain in a minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/timer.h"
#include "dns/budget.h"
#include "dns/wire.h"

enum { START = 1000 };

static const uint8_t hash_key[16] = "0123456789abcde";

static enum dns_spending spend_at(struct dns_budget *budget, const ln_dns_budget *limits,
                                  const char *name, uint64_t now_s)
{
    struct wire w = wire_query(1, name, DNS_TYPE_A);
    struct dns_query query;
    assert_int_equal(dns_query_parse(w.data, w.len, &query), 0);
    const char *domain = dns_budget_domain(query.question.name, NULL);
    return dns_budget_spend(budget, limits, domain, &query.question, now_s * SECOND_NS);
}

static enum dns_spending spend(struct dns_budget *budget, const ln_dns_budget *limits,
                               const char *name)
{
    return spend_at(budget, limits, name, START);
}

static void test_registered_domain_pays_but_none_below_the_rules_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *name, *suffix, *domain;
    } cases[] = {
        {"a.b.example.com", NULL, "example.com"},
        {"a.b.example.co.uk", NULL, "example.co.uk"},
        {"a.b.example.com", "example.com", "example.com"},
        {"a.b.example.com", "b.example.com", "example.com"},
        {"x.github.io", "github.io", "github.io"}, /* x is not known to belong to anybody */
        {"a.x.github.io", NULL, "x.github.io"},
        {"a.example.com", "com", "com"},
        {"com", NULL, "com"},
        {"", NULL, ""},
        {"a.*.example.com", NULL, "example.com"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *domain = dns_budget_domain(cases[i].name, cases[i].suffix);
        assert_string_equal(domain, cases[i].domain);
        assert_true(domain >= cases[i].name && domain <= cases[i].name + strlen(cases[i].name));
    }
}

static void test_each_of_the_three_amounts_ends_the_minute(void **state)
{
    (void)state;
    static const struct {
        ln_dns_budget limits;
        const char *first, *second, *third;
    } cases[] = {
        {{.queries = 2, .labels = 99, .bytes = 999},
         "a.example.com",
         "a.example.com",
         "a.example.com"},
        {{.queries = 99, .labels = 2, .bytes = 999},
         "a.example.com",
         "b.A.example.com",
         "c.example.com"},
        {{.queries = 99, .labels = 99, .bytes = 10},
         "aaaaa.example.com",
         "bbbbb.example.com",
         "c.example.com"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_budget *budget = dns_budget_new(hash_key);
        const ln_dns_budget *limits = &cases[i].limits;
        assert_int_equal(spend(budget, limits, cases[i].first), DNS_WITHIN);
        assert_int_equal(spend(budget, limits, cases[i].second), DNS_WITHIN);
        assert_int_equal(spend(budget, limits, cases[i].third), DNS_OVER_NOW);
        assert_int_equal(spend(budget, limits, cases[i].first), DNS_OVER);
        assert_int_equal(spend(budget, limits, "a.example.org"), DNS_WITHIN);
        assert_int_equal(spend_at(budget, limits, cases[i].third, START + 59), DNS_OVER);
        assert_int_equal(spend_at(budget, limits, cases[i].third, START + 60), DNS_WITHIN);
        dns_budget_free(budget);
    }
}

static void test_known_labels_cost_nothing_in_any_case(void **state)
{
    (void)state;
    ln_dns_budget limits = {.queries = 99, .labels = 2, .bytes = 99};
    struct dns_budget *budget = dns_budget_new(hash_key);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(spend(budget, &limits, i % 2 == 0 ? "a.b.example.com" : "B.A.example.com"),
                         DNS_WITHIN);
    }
    dns_budget_free(budget);
}

static void test_labels_of_strange_bytes_count_as_what_they_are(void **state)
{
    (void)state;
    ln_dns_budget limits = {.queries = 99, .labels = 2, .bytes = 99};
    struct dns_budget *budget = dns_budget_new(hash_key);
    assert_int_equal(spend(budget, &limits, "\001.example.com"), DNS_WITHIN);
    assert_int_equal(spend(budget, &limits, "\002.example.com"), DNS_WITHIN);
    assert_int_equal(spend(budget, &limits, "\003.example.com"), DNS_OVER_NOW);
    dns_budget_free(budget);
}

static void test_flood_of_domains_shares_one_account(void **state)
{
    (void)state;
    enum { DOMAINS = 5000 };
    ln_dns_budget limits = {.queries = 100, .labels = 100, .bytes = 10000};
    struct dns_budget *budget = dns_budget_new(hash_key);
    unsigned within = 0;
    for (int i = 0; i < DOMAINS; i++) {
        char name[64];
        snprintf(name, sizeof(name), "x.domain%d.com", i);
        within += spend(budget, &limits, name) == DNS_WITHIN;
    }
    assert_int_equal(within, 1024 + 100);
    assert_int_equal(spend(budget, &limits, "x.domain0.com"), DNS_WITHIN); /* it has its own */
    dns_budget_free(budget);
}

static void test_labels_that_cannot_be_remembered_are_new_each_time(void **state)
{
    (void)state;
    ln_dns_budget limits = {.queries = 1000000, .labels = 20000, .bytes = 10000000};
    struct dns_budget *budget = dns_budget_new(hash_key);
    char name[64];
    for (int i = 0; i < 16384; i++) {
        snprintf(name, sizeof(name), "l%d.example.com", i);
        assert_int_equal(spend(budget, &limits, name), DNS_WITHIN);
    }
    int within = 0;
    while (spend(budget, &limits, "again.example.com") == DNS_WITHIN) {
        within++;
    }
    assert_int_equal(within, 20000 - 16384);
    dns_budget_free(budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registered_domain_pays_but_none_below_the_rules_suffix),
        cmocka_unit_test(test_each_of_the_three_amounts_ends_the_minute),
        cmocka_unit_test(test_known_labels_cost_nothing_in_any_case),
        cmocka_unit_test(test_labels_of_strange_bytes_count_as_what_they_are),
        cmocka_unit_test(test_flood_of_domains_shares_one_account),
        cmocka_unit_test(test_labels_that_cannot_be_remembered_are_new_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
