/* "Did you mean …" */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/spelling.h"

static const char *nearest(const char *word)
{
    static const char *const words[] = {"allow", "deny", "reject", "link-local", "public", "ports"};
    struct spelling spelling = spelling_of(word, strlen(word));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        spelling_consider(&spelling, words[i]);
    }
    return spelling.nearest;
}

static void test_one_slip_is_understood(void **state)
{
    (void)state;
    assert_string_equal(nearest("alow"), "allow");   /* left out */
    assert_string_equal(nearest("allows"), "allow"); /* put in */
    assert_string_equal(nearest("allaw"), "allow");  /* replaced */
    assert_string_equal(nearest("prots"), "ports");  /* swapped */
}

static void test_case_and_separators_are_forgiven(void **state)
{
    (void)state;
    assert_string_equal(nearest("DENY"), "deny");
    assert_string_equal(nearest("Link_Local"), "link-local");
    assert_string_equal(nearest("lnik-lokal"), "link-local");
}

static void test_what_is_far_from_all_has_no_nearest(void **state)
{
    (void)state;
    assert_null(nearest("drop"));
    assert_null(nearest(""));
    assert_null(nearest("a"));
    assert_null(nearest("publication"));
    assert_null(nearest("a word that is longer than any word of a schema could be"));
}

static void test_the_nearest_of_several_wins(void **state)
{
    (void)state;
    struct spelling spelling = spelling_of("icmpv", 5);
    spelling_consider(&spelling, "icmpvx4");
    spelling_consider(&spelling, "icmpv4");
    spelling_consider(&spelling, "icmpv6");
    assert_string_equal(spelling.nearest, "icmpv4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_slip_is_understood),
        cmocka_unit_test(test_case_and_separators_are_forgiven),
        cmocka_unit_test(test_what_is_far_from_all_has_no_nearest),
        cmocka_unit_test(test_the_nearest_of_several_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
