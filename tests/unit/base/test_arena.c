/* Arenas: alignment, zeroes, caps, overflow. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void test_memory_is_zero_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena = {0};
    unsigned char *last = NULL;
    for (size_t i = 1; i < 2000; i++) {
        unsigned char *p = arena_alloc(&arena, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t k = 0; k < i; k++) {
            assert_int_equal(p[k], 0);
        }
        memset(p, 0xff, i);
        if (last != NULL) {
            assert_int_equal(last[0], 0xff);
        }
        last = p;
    }
    arena_free(&arena);
    assert_int_equal(arena.used, 0);
    assert_non_null(arena_alloc(&arena, 1)); /* it can be used again */
    arena_free(&arena);
}

static void test_a_cap_bounds_what_is_handed_out(void **state)
{
    (void)state;
    struct arena arena = {.cap = 4096};
    size_t n = 0;
    while (arena_alloc(&arena, 100) != NULL) {
        n++;
    }
    assert_int_equal(n, 4096 / 112);
    assert_null(arena_alloc(&arena, 4096));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    arena_free(&arena);
}

static void test_sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_strndup(&arena, "x", SIZE_MAX));
    assert_non_null(arena_array(&arena, 0, 8));
    arena_free(&arena);
}

static void test_strings_are_copied_and_formatted(void **state)
{
    (void)state;
    struct arena arena = {0};
    char source[] = "abcdef";
    char *copy = arena_strndup(&arena, source, 3);
    source[0] = 'X';
    assert_string_equal(copy, "abc");
    assert_string_equal(arena_printf(&arena, "%s-%d", copy, 7), "abc-7");
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_zero_aligned_and_apart),
        cmocka_unit_test(test_a_cap_bounds_what_is_handed_out),
        cmocka_unit_test(test_sizes_that_overflow_are_refused),
        cmocka_unit_test(test_strings_are_copied_and_formatted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
