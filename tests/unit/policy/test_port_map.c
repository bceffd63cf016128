/* Port maps against asking every rule at every port. */
#include "policy/fixture.h"

#include "policy/port_map.h"

static bool rule_holds(const ln_rule *rule, uint32_t port)
{
    bool holds = rule->n_ports == 0;
    for (size_t k = 0; k < rule->n_ports; k++) {
        holds |= rule->ports[k].first <= port && port <= rule->ports[k].last;
    }
    return holds;
}

static uint32_t naive_find(const ln_rule *rules, const uint32_t *members, uint32_t n, uint32_t port)
{
    for (uint32_t i = 0; i < n; i++) {
        if (rule_holds(&rules[members[i]], port)) {
            return members[i];
        }
    }
    return RULE_NONE;
}

static void assert_agrees(const ln_rule *rules, const uint32_t *members, uint32_t n)
{
    struct port_builder builder = {0};
    struct arena arena = {0};
    struct port_table table;
    uint32_t map;
    assert_int_equal(port_builder_add(&builder, rules, members, n, &map), 0);
    assert_int_equal(port_builder_freeze(&builder, &arena, &table), 0);
    port_builder_free(&builder);
    for (uint32_t port = 0; port <= 65535; port++) {
        assert_int_equal(port_table_find(&table, map, (uint16_t)port),
                         naive_find(rules, members, n, port));
    }
    arena_free(&arena);
}

static uint32_t find_in(const struct port_builder *builder, uint32_t map, uint16_t port)
{
    struct arena arena = {0};
    struct port_table table;
    assert_int_equal(port_builder_freeze(builder, &arena, &table), 0);
    uint32_t rule = port_table_find(&table, map, port);
    arena_free(&arena);
    return rule;
}

static void test_a_map_of_no_rule_holds_no_port(void **state)
{
    (void)state;
    assert_agrees(NULL, NULL, 0);
}

static void test_the_first_rule_of_overlapping_ones_has_the_port(void **state)
{
    (void)state;
    ln_port_range ports[][2] = {
        {{100, 200}, {300, 300}}, {{150, 250}, {299, 301}}, {{1, 65535}, {0, 0}}};
    ln_rule rules[] = {{.ports = ports[0], .n_ports = 2},
                       {.ports = ports[1], .n_ports = 2},
                       {.ports = ports[2], .n_ports = 1},
                       {.n_ports = 0}};
    const uint32_t orders[][4] = {{0, 1, 2, 3}, {1, 2, 3, 0}, {0, 2, 3, 0}, {0, 1, 3, 0}};
    const uint32_t counts[] = {4, 3, 3, 3};
    for (size_t i = 0; i < 4; i++) {
        assert_agrees(rules, orders[i], counts[i]);
    }
}

static void test_a_rule_without_ports_holds_port_zero_and_hides_what_follows(void **state)
{
    (void)state;
    ln_port_range range = {80, 80};
    ln_rule rules[] = {
        {.ports = &range, .n_ports = 1}, {.n_ports = 0}, {.ports = &range, .n_ports = 1}};
    const uint32_t members[] = {1, 2};
    struct port_builder builder = {0};
    uint32_t map;
    assert_int_equal(port_builder_add(&builder, rules, members, 2, &map), 0);
    assert_int_equal(find_in(&builder, map, 0), 1);
    assert_int_equal(find_in(&builder, map, 80), 1);
    assert_int_equal(builder.n_segments, 1);
    port_builder_free(&builder);
}

static void test_neighbouring_ranges_of_one_rule_are_one_segment(void **state)
{
    (void)state;
    ln_port_range ranges[] = {{1, 10}, {11, 20}};
    ln_rule rule = {.ports = ranges, .n_ports = 2};
    const uint32_t members[] = {0};
    struct port_builder builder = {0};
    uint32_t map;
    assert_int_equal(port_builder_add(&builder, &rule, members, 1, &map), 0);
    assert_int_equal(builder.n_segments, 3);
    port_builder_free(&builder);
}

static void test_maps_of_one_table_do_not_mix(void **state)
{
    (void)state;
    enum { MANY = 300 };
    static ln_port_range ranges[MANY];
    static ln_rule rules[MANY];
    static uint32_t maps[MANY];
    struct port_builder builder = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        ranges[i] = (ln_port_range){(uint16_t)(i + 1), (uint16_t)(i + 2)};
        rules[i] = (ln_rule){.ports = &ranges[i], .n_ports = 1};
        assert_int_equal(port_builder_add(&builder, rules, &i, 1, &maps[i]), 0);
    }
    struct arena arena = {0};
    struct port_table table;
    assert_int_equal(port_builder_freeze(&builder, &arena, &table), 0);
    port_builder_free(&builder);
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(port_table_find(&table, maps[i], (uint16_t)i), RULE_NONE);
        assert_int_equal(port_table_find(&table, maps[i], (uint16_t)(i + 1)), i);
        assert_int_equal(port_table_find(&table, maps[i], (uint16_t)(i + 2)), i);
        assert_int_equal(port_table_find(&table, maps[i], (uint16_t)(i + 3)), RULE_NONE);
    }
    arena_free(&arena);
}

static void test_random_maps_agree_at_every_port(void **state)
{
    (void)state;
    struct rng rng = rng_start(__func__, 3);
    static const uint16_t edges[] = {1, 2, 79, 80, 81, 443, 1023, 1024, 32768, 65534, 65535};
    for (int round = 0; round < 60; round++) {
        static ln_port_range ranges[40][4];
        static ln_rule rules[40];
        static uint32_t members[40];
        uint32_t n = 1 + rng_below(&rng, 40);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t n_ports = rng_chance(&rng, 3) ? 0 : 1 + rng_below(&rng, 4);
            for (uint32_t k = 0; k < n_ports; k++) {
                uint16_t a = rng_chance(&rng, 50)
                                 ? edges[rng_below(&rng, sizeof(edges) / sizeof(*edges))]
                                 : (uint16_t)(1 + rng_below(&rng, 65535));
                uint16_t b = rng_chance(&rng, 50) ? a : (uint16_t)(1 + rng_below(&rng, 65535));
                ranges[i][k] = a < b ? (ln_port_range){a, b} : (ln_port_range){b, a};
            }
            rules[i] = (ln_rule){.ports = ranges[i], .n_ports = n_ports};
            members[i] = i;
        }
        assert_agrees(rules, members, n);
    }
}

/* Single ports, all different: the most segments that there can be. */
static void test_a_map_can_tell_every_port_from_its_neighbours(void **state)
{
    (void)state;
    static ln_port_range ranges[65535];
    static ln_rule rules[65535];
    static uint32_t members[65535];
    for (uint32_t i = 0; i < 65535; i++) {
        uint16_t port = (uint16_t)(65535 - i);
        ranges[i] = (ln_port_range){port, port};
        rules[i] = (ln_rule){.ports = &ranges[i], .n_ports = 1};
        members[i] = i;
    }
    struct port_builder builder = {0};
    struct arena arena = {0};
    struct port_table table;
    uint32_t map;
    assert_int_equal(port_builder_add(&builder, rules, members, 65535, &map), 0);
    assert_int_equal(port_builder_freeze(&builder, &arena, &table), 0);
    port_builder_free(&builder);
    assert_int_equal(table.n_segments, 65536);
    assert_int_equal(port_table_find(&table, map, 0), RULE_NONE);
    for (uint32_t port = 1; port <= 65535; port++) {
        assert_int_equal(port_table_find(&table, map, (uint16_t)port), 65535 - port);
    }
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_map_of_no_rule_holds_no_port),
        cmocka_unit_test(test_the_first_rule_of_overlapping_ones_has_the_port),
        cmocka_unit_test(test_a_rule_without_ports_holds_port_zero_and_hides_what_follows),
        cmocka_unit_test(test_neighbouring_ranges_of_one_rule_are_one_segment),
        cmocka_unit_test(test_maps_of_one_table_do_not_mix),
        cmocka_unit_test(test_random_maps_agree_at_every_port),
        cmocka_unit_test(test_a_map_can_tell_every_port_from_its_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
