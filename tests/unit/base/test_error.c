/* Lists of problems: order, ownership, and the line that people read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/problems.h"

static void assert_format(const ln_problem *problem, const char *expected)
{
    char line[256];
    assert_int_equal(ln_problem_format(problem, line, sizeof(line)), strlen(expected));
    assert_string_equal(line, expected);
}

static void test_problems_are_copied(void **state)
{
    (void)state;
    ln_problems *problems = ln_problems_new();
    assert_non_null(problems);
    char field[] = "rules[1]";
    assert_int_equal(problems_add(problems, "p.lua", 3, field, "1", "2", "bad %s", "thing"), 0);
    field[0] = 'X';
    assert_int_equal(ln_problems_count(problems), 1);
    const ln_problem *problem = ln_problems_get(problems, 0);
    assert_string_equal(problem->field, "rules[1]");
    assert_string_equal(problem->message, "bad thing");
    assert_null(ln_problems_get(problems, 1));
    ln_problems_free(problems);
}

static void test_a_missing_list_has_no_problems(void **state)
{
    (void)state;
    assert_int_equal(problems_add(NULL, NULL, 0, "", NULL, NULL, "bad"), 0);
    assert_int_equal(ln_problems_count(NULL), 0);
    assert_null(ln_problems_get(NULL, 0));
    assert_null(ln_problems_free(NULL));
    problems_sort(NULL);
}

static void test_problems_are_told_in_the_order_of_the_file(void **state)
{
    (void)state;
    ln_problems *problems = ln_problems_new();
    static const struct {
        const char *file;
        int line;
    } places[] = {{"b.lua", 1}, {"a.lua", 9}, {"a.lua", 2}, {"a.lua", 9}, {NULL, 0}, {"a.lua", 0}};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        problems_add(problems, places[i].file, places[i].line, "", NULL, NULL, "%zu", i);
    }
    problems_sort(problems);
    static const char *const expected[] = {"4", "5", "2", "1", "3", "0"};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_string_equal(ln_problems_get(problems, i)->message, expected[i]);
    }
    ln_problems_free(problems);
}

static void test_a_problem_is_one_line(void **state)
{
    (void)state;
    ln_problem problem = {.file = "p.lua",
                          .line = 4,
                          .field = "rules[3].ports[1]",
                          .found = "0",
                          .accepted = "1-65535",
                          .message = "there is no port 0"};
    assert_format(&problem,
                  "p.lua:4: rules[3].ports[1]: there is no port 0: found 0; accepted: 1-65535");
    problem.found = NULL;
    assert_format(&problem, "p.lua:4: rules[3].ports[1]: there is no port 0: accepted: 1-65535");
    problem.accepted = NULL;
    assert_format(&problem, "p.lua:4: rules[3].ports[1]: there is no port 0");
    problem.line = 0;
    assert_format(&problem, "p.lua: rules[3].ports[1]: there is no port 0");
    problem.file = NULL;
    problem.line = 7;
    assert_format(&problem, "line 7: rules[3].ports[1]: there is no port 0");
    problem.line = 0;
    problem.field = "";
    assert_format(&problem, "there is no port 0");
}

static void test_a_short_buffer_is_terminated(void **state)
{
    (void)state;
    ln_problem problem = {.field = "policy", .message = "bad"};
    char line[9];
    assert_int_equal(ln_problem_format(&problem, line, sizeof(line)), 11);
    assert_string_equal(line, "policy: ");
    assert_int_equal(ln_problem_format(&problem, NULL, 0), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problems_are_copied),
        cmocka_unit_test(test_a_missing_list_has_no_problems),
        cmocka_unit_test(test_problems_are_told_in_the_order_of_the_file),
        cmocka_unit_test(test_a_problem_is_one_line),
        cmocka_unit_test(test_a_short_buffer_is_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
