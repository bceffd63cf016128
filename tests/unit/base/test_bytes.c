/* The reader fails once and for all, and never reads past its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"

static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static void test_numbers_are_big_endian(void **state)
{
    (void)state;
    struct reader r = reader_of(data, sizeof(data));
    assert_int_equal(reader_u8(&r), 0x01);
    assert_int_equal(reader_u16(&r), 0x0203);
    assert_int_equal(reader_u24(&r), 0x040506);
    assert_int_equal(reader_u32(&r), 0x0708090a);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.failed);
    uint8_t out[6];
    put_be16(out, 0x0102);
    put_be32(out + 2, 0x03040506);
    assert_memory_equal(out, data, sizeof(out));
    assert_int_equal(get_be16(out), 0x0102);
    assert_int_equal(get_be32(out + 2), 0x03040506);
}

static void test_a_failure_sticks(void **state)
{
    (void)state;
    struct reader r = reader_of(data, 3);
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_u8(&r), 0);
    assert_null(reader_bytes(&r, 0));
}

static void test_a_sub_reader_is_confined(void **state)
{
    (void)state;
    struct reader r = reader_of(data, sizeof(data));
    struct reader sub = reader_sub(&r, 2);
    reader_skip(&sub, 2);
    assert_int_equal(reader_u8(&sub), 0);
    assert_true(sub.failed);
    assert_false(r.failed);
    assert_int_equal(reader_u8(&r), 3);
    assert_true(reader_sub(&r, 100).failed);
    assert_true(r.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_big_endian),
        cmocka_unit_test(test_a_failure_sticks),
        cmocka_unit_test(test_a_sub_reader_is_confined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
