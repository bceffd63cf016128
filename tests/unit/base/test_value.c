/* Reading a configuration tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/value.h"

static struct ln_value string(const char *data, size_t len)
{
    return (struct ln_value){.type = VALUE_STRING, .string = {.data = data, .len = len}};
}

static void test_a_value_is_found_by_its_whole_key(void **state)
{
    (void)state;
    struct value_entry entries[] = {
        {.key = {.type = VALUE_INTEGER, .integer = 7}, .value = {.line = 1}},
        {.key = string("port\0s", 6), .value = {.line = 2}},
        {.key = string("ports", 5), .value = {.line = 3}},
        {.key = string("port", 4), .value = {.line = 4}},
    };
    struct value_table table = {.entries = entries, .n_entries = 4};
    struct ln_value value = {.type = VALUE_TABLE, .table = &table};
    assert_int_equal(value_get(&value, "port")->line, 4);
    assert_int_equal(value_get(&value, "ports")->line, 3);
    assert_null(value_get(&value, "por"));
    assert_null(value_get(&value, ""));
}

static void test_what_is_no_table_has_no_keys(void **state)
{
    (void)state;
    struct ln_value value = string("ports", 5);
    assert_null(value_get(&value, "ports"));
}

static void test_types_have_names_for_messages(void **state)
{
    (void)state;
    assert_string_equal(value_type_name(VALUE_NIL), "nil");
    assert_string_equal(value_type_name(VALUE_INTEGER), "an integer");
    assert_string_equal(value_type_name(VALUE_TABLE), "a table");
    assert_string_equal(value_type_name(VALUE_OTHER), "a value of another type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_is_found_by_its_whole_key),
        cmocka_unit_test(test_what_is_no_table_has_no_keys),
        cmocka_unit_test(test_types_have_names_for_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
