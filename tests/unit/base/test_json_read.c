/* Reading JSON strictly. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_read.h"

static struct arena arena;

static int clear(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct ln_value read_text(const char *text)
{
    struct ln_value value;
    struct json_mistake mistake = {0};
    if (json_read(&arena, "file", text, strlen(text), &value, &mistake) != 0) {
        fail_msg("%s: %s", text, mistake.message);
    }
    return value;
}

static void assert_wrong(const char *text, size_t len, const char *message)
{
    struct ln_value value = {.type = VALUE_OTHER};
    struct json_mistake mistake = {0};
    char *exact = malloc(len); /* so that a sanitizer sees what is read beyond */
    memcpy(exact, text, len);
    assert_int_equal(json_read(&arena, NULL, exact, len, &value, &mistake), -EINVAL);
    assert_string_equal(mistake.message, message);
    assert_int_equal(value.type, VALUE_OTHER);
    free(exact);
}
#define ASSERT_WRONG(text, message) assert_wrong(text, sizeof(text) - 1, message)

static void test_objects_and_arrays_are_tables(void **state)
{
    (void)state;
    struct ln_value value =
        read_text("{\"a\": [1, 2.5,\n true, null, \"x\"],\r\n\t\"b\":{}, \"\":[]}");
    assert_int_equal(value.type, VALUE_TABLE);
    const struct ln_value *a = value_get(&value, "a");
    assert_int_equal(a->table->n_items, 5);
    assert_int_equal(a->table->items[0].integer, 1);
    assert_int_equal(a->line, 1);
    assert_int_equal(a->table->items[2].line, 2);
    assert_string_equal(a->file, "file");
    assert_true(a->table->items[1].number == 2.5);
    assert_true(a->table->items[2].boolean);
    assert_int_equal(a->table->items[3].type, VALUE_NIL);
    assert_string_equal(a->table->items[4].string.data, "x");
    assert_int_equal(value_get(&value, "b")->table->n_entries, 0);
    assert_int_equal(value_get(&value, "")->table->n_items, 0);
    assert_null(value_get(&value, "c"));
}

static void test_strings_are_unescaped(void **state)
{
    (void)state;
    struct ln_value value =
        read_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00fc\\u20ac\\ud83d\\ude00"
                  "\\u0000\xc3\xbc\"");
    static const char expected[] = "\"\\/\b\f\n\r\tA\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\0\xc3\xbc";
    assert_int_equal(value.string.len, sizeof(expected) - 1);
    assert_memory_equal(value.string.data, expected, sizeof(expected));
}

static void test_numbers_are_exact_where_they_can_be(void **state)
{
    (void)state;
    assert_true(read_text("9223372036854775807").integer == INT64_MAX);
    assert_true(read_text("-9223372036854775808").integer == INT64_MIN);
    assert_int_equal(read_text("-0").integer, 0);
    assert_int_equal(read_text("9223372036854775808").type, VALUE_NUMBER);
    assert_true(read_text("1e3").number == 1000);
    assert_true(read_text("-1.5E-1").number == -0.15);
}

static void test_what_is_not_json_is_refused(void **state)
{
    (void)state;
    ASSERT_WRONG("", "this is not JSON");
    ASSERT_WRONG(" ", "this is not JSON");
    ASSERT_WRONG("nul", "this is not JSON");
    ASSERT_WRONG("01", "this is not JSON");
    ASSERT_WRONG("+1", "this is not JSON");
    ASSERT_WRONG("1.", "this is not JSON");
    ASSERT_WRONG("1e", "this is not JSON");
    ASSERT_WRONG("-", "this is not JSON");
    ASSERT_WRONG("NaN", "this is not JSON");
    ASSERT_WRONG("'a'", "this is not JSON");
    ASSERT_WRONG("1e999", "a number is too large");
    ASSERT_WRONG("1000000000000000000000000000000000000000000000000000000000000000000000",
                 "a number is too long");
    ASSERT_WRONG("1 2", "something stands behind the value");
    ASSERT_WRONG("1\0", "something stands behind the value");
    ASSERT_WRONG("truely", "something stands behind the value");
    ASSERT_WRONG("[1,]", "this is not JSON");
    ASSERT_WRONG("[1", "an array is not ended");
    ASSERT_WRONG("[1}", "an array is not ended");
    ASSERT_WRONG("{\"a\":1", "an object is not ended");
    ASSERT_WRONG("{\"a\":1,}", "a key is missing");
    ASSERT_WRONG("{a:1}", "a key is missing");
    ASSERT_WRONG("{\"a\"}", "a colon is missing");
    ASSERT_WRONG("{\"a\":1,\"\\u0061\":2}", "a key is there twice");
}

static void test_strings_that_are_not_are_refused(void **state)
{
    (void)state;
    ASSERT_WRONG("\"", "a string is not ended");
    ASSERT_WRONG("\"a\\", "a string is not ended");
    ASSERT_WRONG("\"a\\\"", "a string is not ended");
    ASSERT_WRONG("\"\n\"", "a string holds a control character");
    ASSERT_WRONG("\"\0\"", "a string holds a control character");
    ASSERT_WRONG("\"\xff\"", "a string is not UTF-8");
    ASSERT_WRONG("\"\xc0\x80\"", "a string is not UTF-8");
    ASSERT_WRONG("\"\xed\xa0\x80\"", "a string is not UTF-8");
    ASSERT_WRONG("\"\xc3\"", "a string is not UTF-8");
    ASSERT_WRONG("\"\\x\"", "there is no such escape");
    ASSERT_WRONG("\"\\u12\"", "an escape is cut short");
    ASSERT_WRONG("\"\\u12g4\"", "an escape is not hexadecimal");
    ASSERT_WRONG("\"\\ud83d\"", "a surrogate stands alone");
    ASSERT_WRONG("\"\\ude00\"", "a surrogate stands alone");
    ASSERT_WRONG("\"\\ud83d\\u0041\"", "a surrogate stands alone");
}

static void test_depth_and_memory_are_bounded(void **state)
{
    (void)state;
    char deep[2 * JSON_DEPTH_MAX + 3];
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    deep[2 * JSON_DEPTH_MAX] = '\0';
    read_text(deep);
    memset(deep, '[', sizeof(deep));
    assert_wrong(deep, sizeof(deep), "it is nested too deeply");

    struct arena small = {.cap = 64};
    struct ln_value value;
    static const char text[] = "[1,2,3,4,5,6,7,8,9]";
    assert_int_equal(json_read(&small, NULL, text, strlen(text), &value, NULL), -ENOMEM);
    arena_free(&small);
}

static void test_mistakes_have_their_line(void **state)
{
    (void)state;
    struct ln_value value;
    struct json_mistake mistake;
    static const char text[] = "{\n\"a\":\n\n?}";
    assert_int_equal(json_read(&arena, NULL, text, strlen(text), &value, &mistake), -EINVAL);
    assert_int_equal(mistake.line, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_objects_and_arrays_are_tables, clear),
        cmocka_unit_test_teardown(test_strings_are_unescaped, clear),
        cmocka_unit_test_teardown(test_numbers_are_exact_where_they_can_be, clear),
        cmocka_unit_test_teardown(test_what_is_not_json_is_refused, clear),
        cmocka_unit_test_teardown(test_strings_that_are_not_are_refused, clear),
        cmocka_unit_test_teardown(test_depth_and_memory_are_bounded, clear),
        cmocka_unit_test_teardown(test_mistakes_have_their_line, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
