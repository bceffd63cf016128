/* Search lists in wire form, whole, compressed, and cut where they do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stack/search_list.h"

static uint8_t list[512];

static void assert_list(size_t len, const char *wanted, size_t wanted_len)
{
    assert_int_equal(len, wanted_len);
    assert_memory_equal(list, wanted, wanted_len);
}
#define ASSERT_LIST(len, text) assert_list(len, text, sizeof(text) - 1)

static void test_names_one_after_the_other(void **state)
{
    static const char *const names[] = {"corp.example", "lab.corp.example"};
    (void)state;
    ASSERT_LIST(search_list_write(names, 2, false, list, sizeof(list)),
                "\4corp\7example\0\3lab\4corp\7example\0");
    assert_int_equal(search_list_write(names, 0, false, list, sizeof(list)), 0);
}

static void test_ends_that_stand_there_are_pointed_at(void **state)
{
    static const char *const names[] = {"eng.apple.com", "marketing.apple.com", "com", "x.com",
                                        "eng.apple.com"}; /* the first two: RFC 3397 section 2 */
    (void)state;
    ASSERT_LIST(search_list_write(names, 5, true, list, sizeof(list)),
                "\3eng\5apple\3com\0\x09marketing\xc0\4\xc0\x0a\1x\xc0\x0a\xc0\0");
}

static void test_what_does_not_fit_is_not_begun(void **state)
{
    static const char *const names[] = {"a.test", "b.test", "c.test"};
    (void)state;
    for (size_t size = 0; size < 24; size++) {
        memset(list, 0xee, sizeof(list));
        assert_int_equal(search_list_write(names, 3, false, list, size), size / 8 * 8);
        assert_int_equal(list[size], 0xee);
        size_t len = search_list_write(names, 3, true, list, size);
        assert_int_equal(len, size < 8 ? 0 : size < 12 ? 8 : size < 16 ? 12 : 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_one_after_the_other),
        cmocka_unit_test(test_ends_that_stand_there_are_pointed_at),
        cmocka_unit_test(test_what_does_not_fit_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
