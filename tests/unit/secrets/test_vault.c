/* Vaults: placeholders, values, rotation, reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failing_alloc.h"
#include "secrets/vault_use.h"
#include "secrets_fixture.h"

static void assert_value(struct vault *vault, size_t i, const char *value)
{
    struct byte_queue out = {.cap = 1u << 16};
    assert_int_equal(vault_put(vault, i, ENCODE_PLAIN, &out), 0);
    assert_int_equal(out.len, strlen(value));
    assert_memory_equal(byte_queue_bytes(&out), value, out.len);
    byte_queue_free(&out);
}

static void test_placeholder_is_made_of_its_variable_and_chance(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("GITHUB_TOKEN", NULL, 0), secret_of("GITHUB", NULL, 0)};
    struct vault *vault = vault_of(secrets, 2);
    const char *a = vault_placeholder(vault, 0);
    const char *b = vault_placeholder(vault, 1);
    static const char front[] = "$LUNETTE_GITHUB_TOKEN_";
    assert_memory_equal(a, front, strlen(front));
    assert_int_equal(strlen(a), strlen(front) + 16);
    assert_int_equal(strspn(a + strlen(front), "abcdefghijklmnopqrstuvwxyz0123456789"), 16);
    assert_null(strstr(a, b));
    assert_string_not_equal(a + strlen(front), b + strlen("$LUNETTE_GITHUB_"));
    assert_string_equal(vault_env(vault, 1), "GITHUB");
    vault_unref(vault);
}

static void test_placeholder_of_a_long_variable_stays_within_its_limit(void **state)
{
    (void)state;
    char env[5000];
    memset(env, 'A', sizeof(env) - 1);
    env[sizeof(env) - 1] = '\0';
    ln_secret secret = secret_of(env, NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    assert_true(strlen(vault_placeholder(vault, 0)) <= VAULT_PLACEHOLDER_MAX);
    vault_unref(vault);
}

static void test_placeholders_that_contain_each_other_are_refused(void **state)
{
    (void)state;
    unsigned seed = 1;
    struct vault *vault = NULL;
    ln_secret secrets[] = {secret_of("A", "$TOKEN", 0), secret_of("B", "my$TOKEN2", 0)};
    assert_int_equal(vault_new(secrets, 2, seeded_random, &seed, &vault), -EINVAL);
    secrets[1].placeholder = "$TOKEN";
    assert_int_equal(vault_new(secrets, 2, seeded_random, &seed, &vault), -EINVAL);
    secrets[1].placeholder = "line\nbreak";
    assert_int_equal(vault_new(secrets, 2, seeded_random, &seed, &vault), -EINVAL);
    secrets[1].placeholder = "";
    assert_int_equal(vault_new(secrets, 2, seeded_random, &seed, &vault), -EINVAL);
    assert_null(vault);
}

static void test_value_that_no_header_can_hold_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"", 0},        {"a\nb", 3},  {"a\rb", 3},     {"a\0b", 3},
               {"\x1b[2J", 4}, {"a\x7f", 2}, {" leading", 8}, {"trailing\t", 9}};
    ln_secret secret = secret_of("A", NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *why = NULL;
        assert_int_equal(vault_set(vault, 0, bad[i].bytes, bad[i].len, &why), -EINVAL);
        assert_non_null(why);
    }
    char *longest = malloc(VAULT_VALUE_MAX + 1);
    memset(longest, 'v', VAULT_VALUE_MAX + 1);
    assert_int_equal(vault_set(vault, 0, longest, VAULT_VALUE_MAX + 1, NULL), -EINVAL);
    assert_false(vault_has_value(vault, 0));
    assert_int_equal(vault_set(vault, 0, longest, VAULT_VALUE_MAX, NULL), 0);
    struct automaton *values;
    assert_int_equal(vault_values(vault, &values), 0);
    free(longest);
    vault_unref(vault);
}

static void test_rotated_value_replaces_the_one_before(void **state)
{
    (void)state;
    ln_secret secret = secret_of("A", NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    char placeholder[VAULT_PLACEHOLDER_MAX + 1];
    strcpy(placeholder, vault_placeholder(vault, 0));
    give(vault, 0, "first value");
    assert_value(vault, 0, "first value");
    give(vault, 0, "second value");
    assert_value(vault, 0, "second value");
    assert_string_equal(vault_placeholder(vault, 0), placeholder);
    vault_clear(vault, 0);
    assert_false(vault_has_value(vault, 0));
    struct byte_queue out = {.cap = 100};
    assert_int_equal(vault_put(vault, 0, ENCODE_PLAIN, &out), -ENOENT);
    vault_unref(vault);
}

static void test_short_value_is_not_looked_for_in_responses(void **state)
{
    (void)state;
    ln_secret secret = secret_of("A", NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    struct automaton *values;
    give(vault, 0, "1234567");
    assert_false(vault_echoes(vault, 0));
    assert_int_equal(vault_values(vault, &values), 0);
    assert_int_equal(values->n_patterns, 0);
    give(vault, 0, "12345678");
    assert_true(vault_echoes(vault, 0));
    assert_int_equal(vault_values(vault, &values), 0);
    assert_true(values->n_patterns > 0);
    vault_unref(vault);
}

static void test_reload_keeps_what_is_the_same(void **state)
{
    (void)state;
    ln_secret before[] = {secret_of("SAME", NULL, 0), secret_of("ELSEWHERE", NULL, 0),
                          secret_of("GONE", NULL, 0), secret_of("SET", NULL, 0)};
    struct vault *old = vault_of(before, 4);
    for (size_t i = 0; i < 4; i++) {
        give(old, i, "value of before");
    }
    ln_secret after[] = {secret_of("SET", "$SET_BY_POLICY", 0), secret_of("ELSEWHERE", NULL, 0),
                         secret_of("SAME", NULL, 0), secret_of("MORE", NULL, 0)};
    after[1].source = "ANOTHER_VARIABLE";
    after[1].source_len = strlen(after[1].source);
    unsigned seed = 99;
    struct vault *vault;
    assert_int_equal(vault_new(after, 4, seeded_random, &seed, &vault), 0);
    assert_string_not_equal(vault_placeholder(vault, 2), vault_placeholder(old, 0));
    assert_int_equal(vault_adopt(vault, old), 0);
    assert_string_equal(vault_placeholder(vault, 2), vault_placeholder(old, 0));
    assert_string_equal(vault_placeholder(vault, 1), vault_placeholder(old, 1));
    assert_string_equal(vault_placeholder(vault, 0), "$SET_BY_POLICY");
    vault_unref(old);
    assert_value(vault, 2, "value of before");
    assert_value(vault, 0, "value of before");
    assert_false(vault_has_value(vault, 1));
    assert_false(vault_has_value(vault, 3));
    vault_unref(vault);
}

static void test_vault_without_locked_memory_says_so(void **state)
{
    (void)state;
    ln_secret secret = secret_of("A", NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    uid_t user = geteuid();
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    if (user == 0) { /* who may lock whatever the limit is */
        assert_int_equal(seteuid(65534), 0);
    }
    give(vault, 0, "not locked");
    assert_int_equal(seteuid(user), 0);
#ifndef __SANITIZE_ADDRESS__ /* under which mlock() does nothing, and says it did */
    assert_false(vault_is_locked(vault));
#endif
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    give(vault, 0, "locked again");
    give(vault, 0, "and once more");
    assert_true(vault_is_locked(vault));
    vault_unref(vault);
}

static void test_fork_has_no_values(void **state)
{
    (void)state;
    ln_secret secret = secret_of("A", NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    give(vault, 0, "a value");
    pid_t child = fork();
    if (child == 0) {
        _exit(vault_has_value(vault, 0) ? 1 : 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_value(vault, 0, "a value");
    vault_unref(vault);
}

static void test_memory_that_runs_out_is_told_and_changes_nothing(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("A", NULL, 0), secret_of("B", "$B", 0)};
    struct vault *old = vault_of(secrets, 2);
    give(old, 0, "value of a");
    bool done = false;
    for (long n = 0; !done; n++) {
        unsigned seed = 3;
        struct vault *vault = NULL;
        allocations_left = n;
        int r = vault_new(secrets, 2, seeded_random, &seed, &vault);
        int adopted = r < 0 ? 0 : vault_adopt(vault, old);
        allocations_left = -1;
        assert_true(r == 0 || r == -ENOMEM);
        assert_true(adopted == 0 || adopted == -ENOMEM);
        done = r == 0 && adopted == 0;
        if (vault != NULL) {
            assert_int_equal(vault_has_value(vault, 0), adopted == 0);
            assert_int_equal(strcmp(vault_placeholder(vault, 0), vault_placeholder(old, 0)) == 0,
                             adopted == 0);
        }
        vault_unref(vault);
        assert_true(n < 1000);
    }
    vault_unref(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholder_is_made_of_its_variable_and_chance),
        cmocka_unit_test(test_placeholder_of_a_long_variable_stays_within_its_limit),
        cmocka_unit_test(test_placeholders_that_contain_each_other_are_refused),
        cmocka_unit_test(test_value_that_no_header_can_hold_is_refused),
        cmocka_unit_test(test_rotated_value_replaces_the_one_before),
        cmocka_unit_test(test_short_value_is_not_looked_for_in_responses),
        cmocka_unit_test(test_reload_keeps_what_is_the_same),
        cmocka_unit_test(test_vault_without_locked_memory_says_so),
        cmocka_unit_test(test_fork_has_no_values),
        cmocka_unit_test(test_memory_that_runs_out_is_told_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
