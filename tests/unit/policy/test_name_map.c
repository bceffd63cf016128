/* The map of names: exact names, what is above a name, and names chosen to be awkward. */
#include "policy/fixture.h"

#include "policy/name_map.h"

struct names {
    struct arena arena;
    struct name_map map;
};

static void names_init(struct names *names, uint32_t room)
{
    memset(names, 0, sizeof(*names));
    assert_int_equal(name_map_init(&names->map, &names->arena, test_key(), room), 0);
}

static struct name_entry *put(struct names *names, const char *name, bool below)
{
    struct name_entry *entry = name_map_put(&names->map, name, (uint32_t)strlen(name));
    if (below) {
        name_map_mark_below(&names->map, entry);
    }
    return entry;
}

static bool has(const struct names *names, const char *name)
{
    const struct name_entry *entry = name_map_find(&names->map, name, strlen(name));
    assert_true(entry == NULL || strcmp(entry->name, name) == 0);
    return entry != NULL;
}

/* The names above `name` that the walk finds, joined with spaces. */
static const char *above(const struct names *names, const char *name)
{
    static char found[4096];
    found[0] = '\0';
    struct name_walk walk = name_walk_start(&names->map, name, strlen(name));
    const struct name_entry *entry;
    while ((entry = name_walk_next(&walk)) != NULL) {
        strcat(strcat(found, found[0] == '\0' ? "" : " "), entry->name);
    }
    return found;
}

static void test_an_empty_map_holds_nothing(void **state)
{
    (void)state;
    struct names names;
    names_init(&names, 0);
    assert_false(has(&names, "example.com"));
    assert_string_equal(above(&names, "a.example.com"), "");
    arena_free(&names.arena);
}

static void test_a_name_is_put_once(void **state)
{
    (void)state;
    struct names names;
    names_init(&names, 2);
    struct name_entry *first = put(&names, "example.com", false);
    assert_ptr_equal(put(&names, "example.com", false), first);
    assert_int_equal(names.map.count, 1);
    for (int use = 0; use < NAME_USES; use++) {
        assert_int_equal(first->bucket[use], BUCKET_NONE);
    }
    assert_true(has(&names, "example.com"));
    assert_false(has(&names, "example.co"));
    assert_false(has(&names, "xample.com"));
    assert_false(has(&names, "www.example.com"));
    arena_free(&names.arena);
}

static void test_the_walk_finds_what_is_above_and_never_the_name_itself(void **state)
{
    (void)state;
    struct names names;
    names_init(&names, 4);
    put(&names, "com", true);
    put(&names, "example.com", true);
    put(&names, "a.b.example.com", true);
    assert_string_equal(above(&names, "x.a.b.example.com"), "com example.com a.b.example.com");
    assert_string_equal(above(&names, "a.b.example.com"), "com example.com");
    assert_string_equal(above(&names, "example.com"), "com");
    assert_string_equal(above(&names, "com"), "");
    assert_string_equal(above(&names, "badexample.com"), "com");
    assert_string_equal(above(&names, "example.net"), "");
    arena_free(&names.arena);
}

static void test_the_walk_skips_depths_at_which_nothing_is_marked(void **state)
{
    (void)state;
    struct names names;
    names_init(&names, 2);
    put(&names, "example.com", false);
    put(&names, "a.b.c.d.example.com", true);
    assert_string_equal(above(&names, "x.a.b.c.d.example.com"), "a.b.c.d.example.com");
    assert_string_equal(above(&names, "c.d.example.com"), "");
    arena_free(&names.arena);
}

/* 127 labels of one byte: the most that 253 bytes can hold. */
static void test_the_deepest_name_is_walked_to_its_end(void **state)
{
    (void)state;
    char name[LN_NAME_MAX + 1];
    for (size_t i = 0; i < LN_NAME_MAX; i++) {
        name[i] = i % 2 == 0 ? 'a' : '.';
    }
    name[LN_NAME_MAX] = '\0';
    struct names names;
    names_init(&names, 3);
    put(&names, name, true);
    put(&names, name + 2, true);
    put(&names, "a", true);
    struct name_walk walk = name_walk_start(&names.map, name, LN_NAME_MAX);
    assert_string_equal(name_walk_next(&walk)->name, "a");
    assert_ptr_equal(name_walk_next(&walk)->name, name + 2);
    assert_null(name_walk_next(&walk));
    assert_null(name_walk_next(&walk));
    arena_free(&names.arena);
}

static void test_a_full_map_finds_all_and_nothing_else(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static char texts[2 * MANY][24];
    struct names names;
    names_init(&names, MANY);
    for (int i = 0; i < 2 * MANY; i++) {
        snprintf(texts[i], sizeof(texts[i]), "host-%d.example.com", i);
        if (i < MANY) {
            put(&names, texts[i], false);
        }
    }
    for (int i = 0; i < 2 * MANY; i++) {
        assert_int_equal(has(&names, texts[i]), i < MANY);
    }
    arena_free(&names.arena);
}

static void test_a_map_that_does_not_fit_is_out_of_memory(void **state)
{
    (void)state;
    struct arena arena = {.cap = 64};
    struct name_map map;
    assert_int_equal(name_map_init(&map, &arena, test_key(), 100), -ENOMEM);
    assert_int_equal(name_map_init(&map, &arena, test_key(), UINT32_MAX), -ENOMEM);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_map_holds_nothing),
        cmocka_unit_test(test_a_name_is_put_once),
        cmocka_unit_test(test_the_walk_finds_what_is_above_and_never_the_name_itself),
        cmocka_unit_test(test_the_walk_skips_depths_at_which_nothing_is_marked),
        cmocka_unit_test(test_the_deepest_name_is_walked_to_its_end),
        cmocka_unit_test(test_a_full_map_finds_all_and_nothing_else),
        cmocka_unit_test(test_a_map_that_does_not_fit_is_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
