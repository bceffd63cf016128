/* The flow table: found by key, listed by class in the order of last use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "flow/table.h"

static const uint8_t hash_key[16] = "0123456789abcdef";

static struct flow_key key_of(uint32_t n)
{
    return (struct flow_key){
        .guest = ln_addr_v4(0xac100002),
        .peer = ln_addr_v4(0x0a000000 + n / 7),
        .guest_port = (uint16_t)(n * 31),
        .peer_port = (uint16_t)(n % 7),
        .ip_protocol = n % 2 == 0 ? 6 : 17,
    };
}

static void test_flow_is_found_by_every_part_of_its_key(void **state)
{
    struct flow_table table;
    struct flow flow = {.key = key_of(5)};
    (void)state;
    assert_int_equal(flow_table_init(&table, 16, hash_key), 0);
    flow_table_add(&table, &flow, FLOW_OPEN, 1);
    struct flow_key key = flow.key;
    assert_ptr_equal(flow_table_find(&table, &key), &flow);
    key.guest.bytes[15] ^= 1;
    assert_null(flow_table_find(&table, &key));
    key = flow.key;
    key.peer.bytes[15] ^= 1;
    assert_null(flow_table_find(&table, &key));
    key = flow.key;
    key.guest_port ^= 1;
    assert_null(flow_table_find(&table, &key));
    key = flow.key;
    key.peer_port ^= 1;
    assert_null(flow_table_find(&table, &key));
    key = flow.key;
    key.ip_protocol = 6;
    assert_null(flow_table_find(&table, &key));
    flow_table_remove(&table, &flow);
    assert_null(flow_table_find(&table, &flow.key));
    flow_table_fini(&table);
}

/* More flows than buckets: chains, in any order of removal. */
static void test_many_flows_come_and_go(void **state)
{
    enum { MANY = 1000 };
    static struct flow flows[MANY];
    struct flow_table table;
    (void)state;
    assert_int_equal(flow_table_init(&table, 1, hash_key), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        flows[i].key = key_of(i);
        flow_table_add(&table, &flows[i], (enum flow_class)(i % FLOW_CLASSES), i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        assert_ptr_equal(flow_table_find(&table, &flows[i].key), &flows[i]);
    }
    assert_int_equal(table.count, MANY);
    assert_int_equal(flow_table_live(&table), MANY - table.lists[FLOW_DENIED].count);
    for (uint32_t step = 0; step < 3; step++) {
        for (uint32_t i = step; i < MANY; i += 3) {
            flow_table_remove(&table, &flows[i]);
            assert_null(flow_table_find(&table, &flows[i].key));
        }
    }
    assert_int_equal(table.count, 0);
    for (int c = 0; c < FLOW_CLASSES; c++) {
        assert_int_equal(table.lists[c].count, 0);
        assert_null(table.lists[c].oldest);
        assert_null(table.lists[c].newest);
    }
    flow_table_fini(&table);
}

static void test_oldest_is_the_one_unused_for_longest(void **state)
{
    struct flow_table table;
    struct flow flows[3] = {{.key = key_of(0)}, {.key = key_of(1)}, {.key = key_of(2)}};
    (void)state;
    assert_int_equal(flow_table_init(&table, 16, hash_key), 0);
    for (uint64_t i = 0; i < 3; i++) {
        flow_table_add(&table, &flows[i], FLOW_ONE_WAY, i * 10);
    }
    assert_ptr_equal(flow_table_oldest(&table, FLOW_ONE_WAY, 20, 0), &flows[0]);
    flow_table_touch(&table, &flows[0], 30);
    assert_ptr_equal(flow_table_oldest(&table, FLOW_ONE_WAY, 30, 0), &flows[1]);
    assert_ptr_equal(flow_table_oldest(&table, FLOW_ONE_WAY, 30, 20), &flows[1]);
    assert_null(flow_table_oldest(&table, FLOW_ONE_WAY, 30, 21));
    flow_table_touch(&table, &flows[2], 40); /* from the middle */
    flow_table_touch(&table, &flows[2], 41); /* it is the newest already */
    assert_ptr_equal(flow_table_oldest(&table, FLOW_ONE_WAY, 50, 0), &flows[1]);
    flow_table_move(&table, &flows[1], FLOW_TWO_WAY, 50);
    assert_ptr_equal(flow_table_oldest(&table, FLOW_ONE_WAY, 50, 0), &flows[0]);
    assert_ptr_equal(flow_table_oldest(&table, FLOW_TWO_WAY, 50, 0), &flows[1]);
    assert_int_equal(table.lists[FLOW_ONE_WAY].count, 2);
    assert_null(flow_table_oldest(&table, FLOW_DENIED, 50, 0));
    for (int i = 0; i < 3; i++) {
        flow_table_remove(&table, &flows[i]);
    }
    flow_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow_is_found_by_every_part_of_its_key),
        cmocka_unit_test(test_many_flows_come_and_go),
        cmocka_unit_test(test_oldest_is_the_one_unused_for_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
