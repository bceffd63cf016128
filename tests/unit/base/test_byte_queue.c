/* Byte queues: order, caps, reuse of memory, all or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/byte_queue.h"

static void test_bytes_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct byte_queue queue = {.cap = 1u << 20};
    uint8_t chunk[3000];
    uint8_t in = 0, out = 0;
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)rand_r(&seed) % sizeof(chunk);
        if (rand_r(&seed) % 2 == 0 && n <= byte_queue_space(&queue)) {
            uint8_t before = in;
            for (size_t i = 0; i < n; i++) {
                chunk[i] = in++;
            }
            if (n > 0 && round % 3 == 0) {
                uint8_t *to = byte_queue_reserve(&queue, sizeof(chunk) - 1);
                if (to == NULL) {
                    in = before;
                    continue;
                }
                memcpy(to, chunk, n);
                byte_queue_commit(&queue, n);
            } else {
                assert_int_equal(byte_queue_put(&queue, chunk, n), 0);
            }
        } else {
            n = n < queue.len ? n : queue.len;
            const uint8_t *bytes = byte_queue_bytes(&queue);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(bytes[i], out++);
            }
            byte_queue_drop(&queue, n);
        }
    }
    byte_queue_free(&queue);
}

static void test_what_exceeds_the_cap_is_not_taken_in_part(void **state)
{
    (void)state;
    struct byte_queue queue = {.cap = 100};
    uint8_t bytes[101] = {0};
    assert_int_equal(byte_queue_put(&queue, bytes, 60), 0);
    assert_true(byte_queue_put(&queue, bytes, 41) < 0);
    assert_null(byte_queue_reserve(&queue, 41));
    assert_int_equal(queue.len, 60);
    assert_int_equal(byte_queue_space(&queue), 40);
    assert_int_equal(byte_queue_put(&queue, bytes, 40), 0);
    byte_queue_drop(&queue, 1);
    assert_int_equal(byte_queue_put(&queue, bytes, 1), 0);
    byte_queue_free(&queue);
}

static void test_an_empty_queue_keeps_no_large_memory(void **state)
{
    (void)state;
    struct byte_queue queue = {.cap = 1u << 20};
    static const uint8_t bytes[1u << 20];
    assert_int_equal(byte_queue_put(&queue, bytes, sizeof(bytes)), 0);
    byte_queue_drop(&queue, sizeof(bytes));
    assert_int_equal(queue.room, 0);
    assert_int_equal(byte_queue_put(&queue, bytes, 10), 0);
    byte_queue_drop(&queue, 10);
    assert_true(queue.room > 0);
    byte_queue_free(&queue);
}

static void test_a_queue_that_keeps_its_memory_gives_it_back_when_told(void **state)
{
    (void)state;
    struct byte_queue queue = {.cap = 1u << 20, .keeps = true};
    static const uint8_t bytes[1u << 20];
    assert_int_equal(byte_queue_put(&queue, bytes, sizeof(bytes)), 0);
    byte_queue_trim(&queue); /* not while there are bytes */
    assert_int_equal(queue.len, sizeof(bytes));
    byte_queue_drop(&queue, sizeof(bytes));
    assert_int_equal(queue.room, sizeof(bytes));
    byte_queue_trim(&queue);
    assert_int_equal(queue.room, 0);
    byte_queue_free(&queue);
}

/* A queue that stands near its cap, and is filled as fast as it is emptied. */
static void test_a_full_queue_has_bounded_memory_and_moves_seldom(void **state)
{
    (void)state;
    struct byte_queue queue = {.cap = 1000};
    static const uint8_t bytes[1000];
    unsigned moves = 0;
    assert_int_equal(byte_queue_put(&queue, bytes, 1000), 0);
    for (int i = 0; i < 100000; i++) {
        byte_queue_drop(&queue, 1);
        size_t at = queue.at;
        assert_int_equal(byte_queue_put(&queue, bytes, 1), 0);
        moves += queue.at < at;
    }
    assert_true(queue.room < 4 * queue.cap);
    assert_true(moves <= 100000 / 1000 + 2);
    byte_queue_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_out_as_they_went_in),
        cmocka_unit_test(test_what_exceeds_the_cap_is_not_taken_in_part),
        cmocka_unit_test(test_an_empty_queue_keeps_no_large_memory),
        cmocka_unit_test(test_a_queue_that_keeps_its_memory_gives_it_back_when_told),
        cmocka_unit_test(test_a_full_queue_has_bounded_memory_and_moves_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
