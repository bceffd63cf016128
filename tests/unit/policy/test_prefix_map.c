/* The map of prefixes against the longest match found by looking at every prefix. */
#include "policy/fixture.h"

#include "policy/prefix_map.h"

enum { MAX_PREFIXES = 400 };

struct set {
    ln_prefix prefixes[MAX_PREFIXES];
    uint32_t parents[MAX_PREFIXES];
    uint32_t n;
    struct arena arena;
    struct prefix_map map;
};

static int compare(const void *a, const void *b)
{
    return prefix_compare(a, b);
}

/* Sorts, drops doubles, builds. */
static void set_build(struct set *set)
{
    qsort(set->prefixes, set->n, sizeof(*set->prefixes), compare);
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        if (distinct == 0 || compare(&set->prefixes[i], &set->prefixes[distinct - 1]) != 0) {
            set->prefixes[distinct++] = set->prefixes[i];
        }
    }
    set->n = distinct;
    assert_int_equal(prefix_map_build(&set->map, &set->arena, set->prefixes, set->n, set->parents),
                     0);
}

static void set_of(struct set *set, const char *const *texts)
{
    memset(set, 0, sizeof(*set));
    while (texts[set->n] != NULL) {
        set->prefixes[set->n] = prefix_of(texts[set->n]);
        set->n++;
    }
    set_build(set);
}

#define SET_OF(set, ...) set_of(set, (const char *const[]){__VA_ARGS__, NULL})

static bool is_v4_prefix(const ln_prefix *prefix)
{
    return prefix->bits >= 96 && ln_addr_is_v4(&prefix->addr);
}

/* Whether the prefix holds the address, the families being separate spaces. */
static bool holds(const ln_prefix *prefix, const ln_addr *addr)
{
    return is_v4_prefix(prefix) == ln_addr_is_v4(addr) && ln_prefix_contains(prefix, addr);
}

static uint32_t naive_find(const struct set *set, const ln_addr *addr)
{
    uint32_t best = PREFIX_NONE;
    for (uint32_t i = 0; i < set->n; i++) {
        if (holds(&set->prefixes[i], addr) &&
            (best == PREFIX_NONE || set->prefixes[i].bits > set->prefixes[best].bits)) {
            best = i;
        }
    }
    return best;
}

static uint32_t naive_parent(const struct set *set, uint32_t child)
{
    uint32_t best = PREFIX_NONE;
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->prefixes[i].bits < set->prefixes[child].bits &&
            is_v4_prefix(&set->prefixes[i]) == is_v4_prefix(&set->prefixes[child]) &&
            ln_prefix_contains(&set->prefixes[i], &set->prefixes[child].addr) &&
            (best == PREFIX_NONE || set->prefixes[i].bits > set->prefixes[best].bits)) {
            best = i;
        }
    }
    return best;
}

static void assert_found(const struct set *set, const char *addr, const char *prefix)
{
    ln_addr parsed = addr_of(addr);
    uint32_t found = prefix_map_find(&set->map, &parsed);
    char text[LN_PREFIX_TEXT_MAX] = "none";
    if (found != PREFIX_NONE) {
        ln_prefix_format(&set->prefixes[found], text);
    }
    assert_string_equal(text, prefix);
}

static void test_an_empty_map_holds_nothing(void **state)
{
    (void)state;
    static struct set set;
    SET_OF(&set, NULL);
    assert_found(&set, "0.0.0.0", "none");
    assert_found(&set, "255.255.255.255", "none");
    assert_found(&set, "::", "none");
    arena_free(&set.arena);
}

static void test_the_most_specific_of_nested_prefixes_is_found(void **state)
{
    (void)state;
    static struct set set;
    SET_OF(&set, "10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32");
    assert_found(&set, "10.1.1.1", "10.1.1.1/32");
    assert_found(&set, "10.1.1.2", "10.1.1.0/24");
    assert_found(&set, "10.1.1.0", "10.1.1.0/24");
    assert_found(&set, "10.1.0.255", "10.1.0.0/16");
    assert_found(&set, "10.1.2.0", "10.1.0.0/16");
    assert_found(&set, "10.0.255.255", "10.0.0.0/8");
    assert_found(&set, "10.255.255.255", "10.0.0.0/8");
    assert_found(&set, "9.255.255.255", "none");
    assert_found(&set, "11.0.0.0", "none");
    assert_int_equal(set.parents[0], PREFIX_NONE);
    for (uint32_t i = 1; i < 4; i++) {
        assert_int_equal(set.parents[i], i - 1);
    }
    arena_free(&set.arena);
}

static void test_prefixes_that_touch_the_ends_of_the_space(void **state)
{
    (void)state;
    static struct set set;
    SET_OF(&set, "0.0.0.0/32", "255.255.255.255/32", "128.0.0.0/1", "::/128",
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "8000::/1");
    assert_found(&set, "0.0.0.0", "0.0.0.0/32");
    assert_found(&set, "0.0.0.1", "none");
    assert_found(&set, "127.255.255.255", "none");
    assert_found(&set, "128.0.0.0", "128.0.0.0/1");
    assert_found(&set, "255.255.255.254", "128.0.0.0/1");
    assert_found(&set, "255.255.255.255", "255.255.255.255/32");
    assert_found(&set, "::", "::/128");
    assert_found(&set, "::1", "none");
    assert_found(&set, "7fff::", "none");
    assert_found(&set, "8000::", "8000::/1");
    assert_found(&set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
    arena_free(&set.arena);
}

static void test_families_are_separate_spaces(void **state)
{
    (void)state;
    static struct set set;
    SET_OF(&set, "0.0.0.0/0", "::/0", "::/64");
    assert_found(&set, "1.2.3.4", "0.0.0.0/0");
    assert_found(&set, "::1.2.3.4", "::/64");
    assert_found(&set, "2001:db8::1", "::/0");
    arena_free(&set.arena);
    SET_OF(&set, "::/0");
    assert_found(&set, "1.2.3.4", "none");
    arena_free(&set.arena);
}

static void test_neighbours_without_a_gap_are_told_apart(void **state)
{
    (void)state;
    static struct set set;
    SET_OF(&set, "10.0.0.0/9", "10.128.0.0/9", "2001:db8::/33", "2001:db8:8000::/33");
    assert_found(&set, "10.127.255.255", "10.0.0.0/9");
    assert_found(&set, "10.128.0.0", "10.128.0.0/9");
    assert_found(&set, "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/33");
    assert_found(&set, "2001:db8:8000::", "2001:db8:8000::/33");
    arena_free(&set.arena);
}

static void test_prefixes_may_nest_to_every_length(void **state)
{
    (void)state;
    static struct set set;
    memset(&set, 0, sizeof(set));
    for (unsigned bits = 0; bits <= 128; bits++) {
        set.prefixes[set.n++] = (ln_prefix){.bits = (uint8_t)bits};
        if (bits >= 96) {
            ln_prefix v4 = {.addr = ln_addr_v4(0), .bits = (uint8_t)bits};
            set.prefixes[set.n++] = v4;
        }
    }
    set_build(&set);
    ln_addr addr = {{0}};
    for (unsigned bit = 0; bit < 128; bit++) {
        memset(&addr, 0, sizeof(addr));
        addr.bytes[bit / 8] = (uint8_t)(0x80 >> bit % 8);
        uint32_t found = prefix_map_find(&set.map, &addr);
        assert_int_equal(set.prefixes[found].bits, bit);
    }
    arena_free(&set.arena);
}

/* ---- against the naive search ---- */

static ln_addr random_addr(struct rng *rng)
{
    /* Few values of each byte, so that prefixes nest and meet. */
    static const uint8_t bytes[] = {0, 0, 0, 1, 0x7f, 0x80, 0xff, 0xfe};
    ln_addr addr = {{0}};
    if (rng_chance(rng, 50)) {
        addr = ln_addr_v4(0);
        for (unsigned i = 12; i < 16; i++) {
            addr.bytes[i] = bytes[rng_below(rng, sizeof(bytes))];
        }
        return addr;
    }
    for (unsigned i = 0; i < 16; i++) {
        addr.bytes[i] = bytes[rng_below(rng, sizeof(bytes))];
    }
    return addr;
}

static ln_prefix random_prefix(struct rng *rng)
{
    ln_prefix prefix = {.addr = random_addr(rng)};
    unsigned least = ln_addr_is_v4(&prefix.addr) ? 96 : 0;
    prefix.bits = (uint8_t)(least + rng_below(rng, 129 - least));
    for (unsigned bit = prefix.bits; bit < 128; bit++) {
        prefix.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    }
    return prefix;
}

/* Steps to the address before or behind. */
static ln_addr step(ln_addr addr, bool up)
{
    for (int i = 15; i >= 0; i--) {
        addr.bytes[i] = (uint8_t)(addr.bytes[i] + (up ? 1 : -1));
        if (addr.bytes[i] != (up ? 0 : 0xff)) {
            break;
        }
    }
    return addr;
}

static ln_addr last_of(ln_prefix prefix)
{
    for (unsigned bit = prefix.bits; bit < 128; bit++) {
        prefix.addr.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    return prefix.addr;
}

static void assert_agrees(const struct set *set, ln_addr addr)
{
    assert_int_equal(prefix_map_find(&set->map, &addr), naive_find(set, &addr));
}

static void test_random_sets_agree_with_the_naive_search_at_every_boundary(void **state)
{
    (void)state;
    struct rng rng = rng_start(__func__, 1);
    static struct set set;
    for (int round = 0; round < 300; round++) {
        memset(&set, 0, sizeof(set));
        uint32_t n = 1 + rng_below(&rng, round < 200 ? 20 : MAX_PREFIXES - 1);
        while (set.n < n) {
            set.prefixes[set.n++] = random_prefix(&rng);
        }
        set_build(&set);
        for (uint32_t i = 0; i < set.n; i++) {
            assert_int_equal(set.parents[i], naive_parent(&set, i));
            ln_addr first = set.prefixes[i].addr;
            ln_addr last = last_of(set.prefixes[i]);
            assert_agrees(&set, first);
            assert_agrees(&set, last);
            assert_agrees(&set, step(first, false));
            assert_agrees(&set, step(last, true));
            assert_agrees(&set, random_addr(&rng));
        }
        arena_free(&set.arena);
    }
}

static void test_prefixes_that_all_lie_in_one_corner_agree_too(void **state)
{
    (void)state;
    struct rng rng = rng_start(__func__, 2);
    static struct set set;
    memset(&set, 0, sizeof(set));
    while (set.n < MAX_PREFIXES) {
        set.prefixes[set.n++] =
            (ln_prefix){.addr = ln_addr_v4(0xffffff00 + rng_below(&rng, 256)), .bits = 128};
    }
    set_build(&set);
    for (uint32_t i = 0; i < 1024; i++) {
        assert_agrees(&set, ln_addr_v4(0xfffffe00 + (i & 511)));
        assert_agrees(&set, ln_addr_v4((uint32_t)rng_next(&rng)));
    }
    arena_free(&set.arena);
}

static void test_a_map_that_does_not_fit_is_out_of_memory(void **state)
{
    (void)state;
    ln_prefix prefixes[] = {prefix_of("10.0.0.0/8"), prefix_of("2001:db8::/32")};
    uint32_t parents[2];
    int r = -1;
    for (size_t cap = 1; r != 0; cap += 16) {
        struct arena arena = {.cap = cap};
        struct prefix_map map;
        r = prefix_map_build(&map, &arena, prefixes, 2, parents);
        assert_true(r == 0 || r == -ENOMEM);
        arena_free(&arena);
        assert_in_range(cap, 1, 4096);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_map_holds_nothing),
        cmocka_unit_test(test_the_most_specific_of_nested_prefixes_is_found),
        cmocka_unit_test(test_prefixes_that_touch_the_ends_of_the_space),
        cmocka_unit_test(test_families_are_separate_spaces),
        cmocka_unit_test(test_neighbours_without_a_gap_are_told_apart),
        cmocka_unit_test(test_prefixes_may_nest_to_every_length),
        cmocka_unit_test(test_random_sets_agree_with_the_naive_search_at_every_boundary),
        cmocka_unit_test(test_prefixes_that_all_lie_in_one_corner_agree_too),
        cmocka_unit_test(test_a_map_that_does_not_fit_is_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
