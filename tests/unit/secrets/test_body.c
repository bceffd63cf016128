/* Bodies of requests: what is put in, what is held back, what is stopped, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "secrets/body.h"
#include "secrets_fixture.h"

#define HOLDER        "$TOKEN_placeholder"
#define VALUE         "ghp_\"s3cr3t\\/+&<"
#define PERCENT_VALUE "ghp_%22s3cr3t%5C%2F%2B%26%3C"
#define JSON_VALUE    "ghp_\\\"s3cr3t\\\\/+&<"

enum { OUT_MAX = 1 << 20 };

struct world {
    struct vault *vault;
    struct secret_scope scope;
    struct http_head head;
};

static void world_init(struct world *w, unsigned inject, const char *host, const char *type)
{
    ln_secret secret = secret_of("TOKEN", HOLDER, inject);
    *w = (struct world){.vault = vault_of(&secret, 1)};
    give(w->vault, 0, VALUE);
    w->scope = scope_of(w->vault, host);
    head_of(&w->head, "POST", host, "/");
    if (type != NULL) {
        add_field(&w->head, "Content-Type", type);
    }
}

static void world_end(struct world *w)
{
    http_head_free(&w->head);
    secret_scope_end(&w->scope);
    vault_unref(w->vault);
}

/* Feeds `text` as `split` bytes and then `step` at a time, into `out`. Returns the last status. */
static int feed(struct world *w, const char *text, size_t split, size_t step,
                struct byte_queue *out, struct secret_report *report)
{
    struct secret_body *body;
    size_t len = strlen(text);
    size_t at = 0;
    size_t next = split < len ? split : len;
    int r = secret_body_new(&w->scope, &w->head, &body);
    assert_int_equal(r, 0);
    for (;;) {
        uint8_t *piece = malloc(next - at + 1);
        memcpy(piece, text + at, next - at);
        r = secret_body_feed(body, piece, next - at, next == len, out, report);
        free(piece);
        if (r < 0 || next == len) {
            break;
        }
        assert_true(secret_body_held(body) <= 8 * strlen(HOLDER));
        at = next;
        next = len - at < step ? len : at + step;
    }
    secret_body_free(body);
    return r;
}

/* The body becomes `expected` however it arrives. */
static void assert_becomes(struct world *w, const char *text, const char *expected)
{
    for (size_t split = 0; split <= strlen(text); split++) {
        for (size_t step = 1; step <= 64; step *= 4) {
            struct byte_queue out = {.cap = OUT_MAX};
            struct secret_report report = {0};
            assert_int_equal(feed(w, text, split, step, &out, &report), 0);
            assert_int_equal(out.len, strlen(expected));
            assert_memory_equal(byte_queue_bytes(&out) == NULL ? (const uint8_t *)""
                                                               : byte_queue_bytes(&out),
                                expected, out.len);
            assert_int_equal(secret_set_has(&report.used, 0), strcmp(text, expected) != 0);
            byte_queue_free(&out);
        }
    }
}

static void test_placeholder_becomes_the_value_as_the_type_says(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body, *expected;
    } cases[] = {
        {"application/json", "{\"a\":\"" HOLDER "\"}", "{\"a\":\"" JSON_VALUE "\"}"},
        {"Application/JSON; charset=utf-8", "\"\\u0024TOKEN\\u005Fplaceholder\"",
         "\"" JSON_VALUE "\""},
        {"application/vnd.api+json", "[\"" HOLDER HOLDER "\"]", "[\"" JSON_VALUE JSON_VALUE "\"]"},
        {"application/json", "\"%24TOKEN_placeholder\"", "\"%24TOKEN_placeholder\""},
        {"application/x-www-form-urlencoded", "a=" HOLDER "&b=%24TOKEN%5fplaceholder",
         "a=" PERCENT_VALUE "&b=" PERCENT_VALUE},
        {"application/x-www-form-urlencoded", "a=\\u0024TOKEN_placeholder",
         "a=\\u0024TOKEN_placeholder"},
        {"text/plain", HOLDER "\n$TOKEN_\nplaceholder", VALUE "\n$TOKEN_\nplaceholder"},
        {"text/plain", "%24TOKEN_placeholder " HOLDER, "%24TOKEN_placeholder " VALUE},
        {NULL, "$TOKEN_$TOKEN_placeholder$", "$TOKEN_" VALUE "$"},
        {"text/plain", "$TOKEN_placeholde", "$TOKEN_placeholde"},
        {"application/x-www-form-urlencoded", "a=$TOKEN%5", "a=$TOKEN%5"},
        {"application/json", "\"$TOKEN\\u005", "\"$TOKEN\\u005"},
        {"application/grpc", "\1" HOLDER, "\1" HOLDER},
        {"text/plain", "JFRPS0VOX3BsYWNlaG9sZGVy", "JFRPS0VOX3BsYWNlaG9sZGVy"},
        {"text/plain", "", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        world_init(&w, LN_INJECT_BODY, "api.example.com", cases[i].type);
        assert_becomes(&w, cases[i].body, cases[i].expected);
        world_end(&w);
    }
}

static void test_body_is_not_changed_without_inject_nor_when_encoded(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, LN_INJECT_HEADERS | LN_INJECT_QUERY, "api.example.com", NULL);
    assert_false(secret_body_wanted(&w.scope));
    assert_becomes(&w, "a" HOLDER "b", "a" HOLDER "b");
    world_end(&w);
    world_init(&w, LN_INJECT_BODY, "api.example.com", NULL);
    assert_true(secret_body_wanted(&w.scope));
    add_field(&w.head, "content-encoding", "gzip");
    assert_becomes(&w, "a" HOLDER "b", "a" HOLDER "b");
    world_end(&w);
}

static void test_placeholder_for_another_host_is_stopped_in_front_of_it(void **state)
{
    (void)state;
    static const char text[] = "one two " HOLDER " three";
    struct world w;
    world_init(&w, ALL_PLACES, "other.example", NULL);
    assert_true(secret_body_wanted(&w.scope));
    for (size_t split = 0; split <= sizeof(text) - 1; split++) {
        struct byte_queue out = {.cap = OUT_MAX};
        struct secret_report report = {0};
        assert_int_equal(feed(&w, text, split, SIZE_MAX, &out, &report), -EPERM);
        assert_true(secret_set_has(&report.violations[SECRET_BODY], 0));
        assert_false(contains(byte_queue_bytes(&out), out.len, HOLDER));
        assert_memory_equal(byte_queue_bytes(&out), text, out.len);
        assert_true(out.len >= 8);
        byte_queue_free(&out);
    }
    world_end(&w);
}

static void test_violation_that_may_pass_goes_on_where_it_stopped(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("TOKEN", HOLDER, ALL_PLACES),
                           secret_of("GOOD", "$GOOD_placeholder", ALL_PLACES)};
    secrets[1].hosts = OTHER_HOST;
    struct vault *vault = vault_of(secrets, 2);
    give(vault, 0, VALUE);
    give(vault, 1, "good value");
    struct secret_scope scope = scope_of(vault, "other.example");
    struct http_head head;
    head_of(&head, "POST", "other.example", "/");
    static const char whole[] = "$GOOD_placeholder one " HOLDER " $GOOD_placeholder " HOLDER;
    static const char expected[] = "good value one " HOLDER " good value " HOLDER;
    for (size_t split = 0; split <= sizeof(whole) - 1; split++) {
        struct byte_queue out = {.cap = OUT_MAX};
        struct secret_report report = {0};
        struct secret_body *body;
        assert_int_equal(secret_body_new(&scope, &head, &body), 0);
        unsigned stops = 0;
        for (int part = 0; part < 2; part++) {
            const uint8_t *data = (const uint8_t *)whole + (part == 0 ? 0 : split);
            size_t len = part == 0 ? split : sizeof(whole) - 1 - split;
            while (secret_body_feed(body, data, len, part == 1, &out, &report) == -EPERM) {
                secret_report_pass(&report);
                stops++;
            }
        }
        assert_int_equal(stops, 1);
        assert_int_equal(out.len, sizeof(expected) - 1);
        assert_memory_equal(byte_queue_bytes(&out), expected, out.len);
        secret_body_free(body);
        byte_queue_free(&out);
    }
    http_head_free(&head);
    secret_scope_end(&scope);
    vault_unref(vault);
}

/* The first text that begins, of these the longest, again behind it. */
static void naive_replace(const char *text, const char *const *holders, const char *const *values,
                          size_t n, char *dst)
{
    while (*text != '\0') {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            if (strncmp(text, holders[i], strlen(holders[i])) == 0) {
                best = i;
            }
        }
        if (best == n) {
            *dst++ = *text++;
        } else {
            strcpy(dst, values[best]);
            dst += strlen(dst);
            text += strlen(holders[best]);
        }
    }
    *dst = '\0';
}

static void test_random_bodies_become_what_a_naive_reader_makes_of_them(void **state)
{
    (void)state;
    static const char *const holders[] = {"aab", "abc", "cab$", "$$a"};
    static const char *const values[] = {"<1>", "aab", "$", "<abcab$>"};
    ln_secret secrets[4];
    for (size_t i = 0; i < 4; i++) {
        static const char *const envs[] = {"A", "B", "C", "D"};
        secrets[i] = secret_of(envs[i], holders[i], LN_INJECT_BODY);
    }
    struct world w = {.vault = vault_of(secrets, 4)};
    for (size_t i = 0; i < 4; i++) {
        give(w.vault, i, values[i]);
    }
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "POST", "api.example.com", "/");
    unsigned seed = 23;
    for (int round = 0; round < 30000; round++) {
        char text[65] = "";
        char expected[1024];
        size_t len = below(&seed, 64);
        for (size_t i = 0; i < len; i++) {
            text[i] = "abc$"[below(&seed, 4)];
        }
        naive_replace(text, holders, values, 4, expected);
        struct byte_queue out = {.cap = OUT_MAX};
        struct secret_report report = {0};
        assert_int_equal(feed(&w, text, below(&seed, 64), 1 + below(&seed, 20), &out, &report), 0);
        assert_int_equal(out.len, strlen(expected));
        if (out.len > 0) {
            assert_memory_equal(byte_queue_bytes(&out), expected, out.len);
        }
        byte_queue_free(&out);
    }
    world_end(&w);
}

static void test_no_more_is_held_back_than_a_text_takes(void **state)
{
    (void)state;
    static const char *const endless[] = {"%", "\n",  " \n",        "\\u00", "%25",
                                          "$", "%0a", "$TOKEN%0A ", "\\n"};
    struct world w;
    world_init(&w, LN_INJECT_BODY, "api.example.com", "application/json");
    for (size_t i = 0; i < sizeof(endless) / sizeof(*endless); i++) {
        struct secret_body *body;
        struct byte_queue out = {.cap = OUT_MAX};
        struct secret_report report = {0};
        assert_int_equal(secret_body_new(&w.scope, &w.head, &body), 0);
        assert_int_equal(
            secret_body_feed(body, (const uint8_t *)"$TOKEN_", 7, false, &out, &report), 0);
        for (int round = 0; round < 5000; round++) {
            assert_int_equal(secret_body_feed(body, (const uint8_t *)endless[i], strlen(endless[i]),
                                              false, &out, &report),
                             0);
            assert_true(secret_body_held(body) < 1024);
        }
        secret_body_free(body);
        byte_queue_free(&out);
    }
    world_end(&w);
}

static void test_body_may_end_without_another_byte(void **state)
{
    (void)state;
    struct world w;
    struct secret_body *body;
    struct byte_queue out = {.cap = OUT_MAX};
    struct secret_report report = {0};
    world_init(&w, LN_INJECT_BODY, "api.example.com", NULL);
    assert_int_equal(secret_body_new(&w.scope, &w.head, &body), 0);
    assert_int_equal(secret_body_feed(body, (const uint8_t *)"a$TOKEN", 7, false, &out, &report),
                     0);
    assert_int_equal(secret_body_feed(body, NULL, 0, false, &out, &report), 0);
    assert_int_equal(out.len, 1);
    assert_int_equal(secret_body_held(body), 6);
    assert_int_equal(secret_body_feed(body, NULL, 0, true, &out, &report), 0);
    assert_int_equal(out.len, 7);
    secret_body_free(body);
    byte_queue_free(&out);
    world_end(&w);
}

static void test_full_output_is_told(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, LN_INJECT_BODY, "api.example.com", NULL);
    struct byte_queue out = {.cap = 4};
    struct secret_report report = {0};
    assert_int_equal(feed(&w, HOLDER, 0, 5, &out, &report), -ENOBUFS);
    byte_queue_free(&out);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholder_becomes_the_value_as_the_type_says),
        cmocka_unit_test(test_body_is_not_changed_without_inject_nor_when_encoded),
        cmocka_unit_test(test_placeholder_for_another_host_is_stopped_in_front_of_it),
        cmocka_unit_test(test_violation_that_may_pass_goes_on_where_it_stopped),
        cmocka_unit_test(test_random_bodies_become_what_a_naive_reader_makes_of_them),
        cmocka_unit_test(test_no_more_is_held_back_than_a_text_takes),
        cmocka_unit_test(test_body_may_end_without_another_byte),
        cmocka_unit_test(test_full_output_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
