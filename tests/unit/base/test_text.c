/* Writing into a fixed buffer, quoting, and reading UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void test_text_that_fits_is_whole(void **state)
{
    (void)state;
    char dst[8];
    struct text text = text_of(dst, sizeof(dst));
    assert_string_equal(dst, "");
    text_puts(&text, "abc");
    text_printf(&text, "%d", 1234);
    assert_int_equal(text.len, 7);
    assert_string_equal(dst, "abc1234");
}

static void test_text_that_does_not_fit_is_cut_and_counted(void **state)
{
    (void)state;
    char dst[6] = "#####";
    struct text text = text_of(dst, 5);
    text_puts(&text, "abc");
    text_puts(&text, "defg");
    text_printf(&text, "%s", "hij");
    assert_int_equal(text.len, 10);
    assert_string_equal(dst, "abcd");
    text = text_of(dst, 5);
    text_printf(&text, "%s", "abcdefg");
    assert_int_equal(text.len, 7);
    assert_string_equal(dst, "abcd");
}

static void test_without_room_text_is_only_counted(void **state)
{
    (void)state;
    struct text text = text_of(NULL, 0);
    text_puts(&text, "abc");
    text_printf(&text, "%d", 12);
    text_quote(&text, "x", 1);
    assert_int_equal(text.len, 8);
}

static void assert_quoted(const char *data, size_t len, const char *expected)
{
    char dst[128];
    struct text text = text_of(dst, sizeof(dst));
    text_quote(&text, data, len);
    assert_string_equal(dst, expected);
}

static void test_quoting_escapes_what_is_not_printable(void **state)
{
    (void)state;
    assert_quoted("", 0, "\"\"");
    assert_quoted("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    assert_quoted("\0\n\x1b[31m\x7f", 8, "\"\\x00\\x0a\\x1b[31m\\x7f\"");
    assert_quoted("b\xc3\xbc"
                  "cher",
                  7,
                  "\"b\xc3\xbc"
                  "cher\"");
    assert_quoted("\xc3", 1, "\"\\xc3\"");
    assert_quoted("\xc2\x9b", 2, "\"\\u{9b}\""); /* CSI in C1 */
}

static void assert_utf8(const char *data, size_t len, size_t taken, uint32_t expected)
{
    uint32_t c = 0;
    assert_int_equal(utf8_next(data, len, &c), taken);
    assert_int_equal(c, expected);
}

static void test_utf8_is_read_strictly(void **state)
{
    (void)state;
    assert_utf8("a", 1, 1, 'a');
    assert_utf8("\0", 1, 1, 0);
    assert_utf8("\xc3\xbc", 2, 2, 0xfc);
    assert_utf8("\xe2\x82\xac", 3, 3, 0x20ac);
    assert_utf8("\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff);
    assert_utf8("\x80", 1, 1, UTF8_INVALID);
    assert_utf8("\xc0\x80", 2, 1, UTF8_INVALID);         /* overlong */
    assert_utf8("\xe0\x9f\xbf", 3, 1, UTF8_INVALID);     /* overlong */
    assert_utf8("\xf0\x8f\xbf\xbf", 4, 1, UTF8_INVALID); /* overlong */
    assert_utf8("\xed\xa0\x80", 3, 1, UTF8_INVALID);     /* surrogate */
    assert_utf8("\xf4\x90\x80\x80", 4, 1, UTF8_INVALID); /* above U+10FFFF */
    assert_utf8("\xf8\x88\x80\x80\x80", 5, 1, UTF8_INVALID);
    assert_utf8("\xff", 1, 1, UTF8_INVALID);
    assert_utf8("\xe2\x82", 2, 1, UTF8_INVALID); /* cut off */
    assert_utf8("\xe2\x28\xac", 3, 1, UTF8_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_that_fits_is_whole),
        cmocka_unit_test(test_text_that_does_not_fit_is_cut_and_counted),
        cmocka_unit_test(test_without_room_text_is_only_counted),
        cmocka_unit_test(test_quoting_escapes_what_is_not_printable),
        cmocka_unit_test(test_utf8_is_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
