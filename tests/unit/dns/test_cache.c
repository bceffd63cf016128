/* The cache of answers: how long they stay, and what goes when there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/timer.h"
#include "dns/cache.h"

enum { START = 1000, LARGE = 1 << 20 };

static const uint8_t hash_key[16] = "0123456789abcde";

static void put(struct dns_cache *cache, const char *key, const char *value, uint32_t ttl_s,
                uint64_t now_s)
{
    dns_cache_put(cache, (const uint8_t *)key, strlen(key), (const uint8_t *)value, strlen(value),
                  ttl_s, now_s * SECOND_NS);
}

/* The value of a key as text, or NULL. */
static const char *get(struct dns_cache *cache, const char *key, uint64_t now_s)
{
    static char text[256];
    size_t len;
    uint32_t age_s;
    const uint8_t *value =
        dns_cache_get(cache, (const uint8_t *)key, strlen(key), now_s * SECOND_NS, &len, &age_s);
    if (value == NULL) {
        return NULL;
    }
    snprintf(text, sizeof(text), "%.*s/%u", (int)len, (const char *)value, age_s);
    return text;
}

static void test_answer_stays_as_long_as_it_says(void **state)
{
    (void)state;
    struct dns_cache *cache = dns_cache_new(64, LARGE, hash_key);
    put(cache, "a", "first", 10, START);
    assert_string_equal(get(cache, "a", START), "first/0");
    assert_string_equal(get(cache, "a", START + 9), "first/9");
    assert_null(get(cache, "a", START + 10));
    assert_null(get(cache, "b", START));
    assert_null(get(cache, "aa", START));
    put(cache, "a", "second", 10, START + 20);
    assert_string_equal(get(cache, "a", START + 21), "second/1");
    assert_int_equal(dns_cache_count(cache), 1);
    dns_cache_clear(cache);
    assert_null(get(cache, "a", START + 21));
    assert_int_equal(dns_cache_bytes(cache), 0);
    dns_cache_free(cache);
}

static void test_flood_of_names_does_not_push_out_what_is_in_use(void **state)
{
    (void)state;
    enum { ROOM = 64, HOT = 40, FLOOD = 10000 };
    char key[32];
    struct dns_cache *cache = dns_cache_new(ROOM, LARGE, hash_key);
    for (int i = 0; i < HOT; i++) {
        snprintf(key, sizeof(key), "hot%d", i);
        put(cache, key, "x", 1000, START);
        assert_non_null(get(cache, key, START));
    }
    for (int i = 0; i < FLOOD; i++) {
        snprintf(key, sizeof(key), "flood%d", i);
        put(cache, key, "x", 1000, START);
        assert_true(dns_cache_count(cache) <= ROOM);
    }
    for (int i = 0; i < HOT; i++) {
        snprintf(key, sizeof(key), "hot%d", i);
        assert_non_null(get(cache, key, START));
    }
    dns_cache_free(cache);
}

static void test_what_is_in_use_leaves_room_for_what_is_new(void **state)
{
    (void)state;
    enum { ROOM = 64 };
    char key[32];
    struct dns_cache *cache = dns_cache_new(ROOM, LARGE, hash_key);
    for (int i = 0; i < 3 * ROOM; i++) { /* each asked for twice */
        snprintf(key, sizeof(key), "hot%d", i);
        put(cache, key, "x", 1000, START);
        assert_non_null(get(cache, key, START));
    }
    put(cache, "new", "x", 1000, START);
    for (int i = 0; i < ROOM / 4 - 1; i++) { /* a quarter is for those that were asked for once */
        snprintf(key, sizeof(key), "once%d", i);
        put(cache, key, "x", 1000, START);
    }
    assert_non_null(get(cache, "new", START));
    dns_cache_free(cache);
}

static void test_bytes_are_bounded_too(void **state)
{
    (void)state;
    enum { ROOM = 100000 };
    char key[32], value[801];
    memset(value, 'x', 800);
    value[800] = '\0';
    struct dns_cache *cache = dns_cache_new(100000, ROOM, hash_key);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i % 300);
        put(cache, key, value, 1000, START);
        (void)get(cache, key, START);
        assert_true(dns_cache_bytes(cache) <= ROOM);
    }
    assert_true(dns_cache_count(cache) > 80);
    char huge[2000];
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    put(cache, "huge", huge, 1000, START); /* more than its share */
    assert_null(get(cache, "huge", START));
    assert_true(dns_cache_count(cache) > 80);
    dns_cache_free(cache);
}

static void test_replacing_is_not_asking_again(void **state)
{
    (void)state;
    char key[32];
    struct dns_cache *cache = dns_cache_new(16, LARGE, hash_key);
    put(cache, "a", "1", 1000, START);
    put(cache, "a", "2", 1000, START);
    for (int i = 0; i < 16; i++) {
        snprintf(key, sizeof(key), "%d", i);
        put(cache, key, "x", 1000, START);
    }
    assert_null(get(cache, "a", START));
    dns_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_stays_as_long_as_it_says),
        cmocka_unit_test(test_flood_of_names_does_not_push_out_what_is_in_use),
        cmocka_unit_test(test_what_is_in_use_leaves_room_for_what_is_new),
        cmocka_unit_test(test_bytes_are_bounded_too),
        cmocka_unit_test(test_replacing_is_not_asking_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
