/* Responses: values become placeholders again, however they stand there, at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "secrets/echo.h"
#include "secrets/encode.h"
#include "secrets_fixture.h"

#define HOLDER "$TOKEN/placeholder"
#define VALUE  "ghp_\"s3cr3t/+&"

enum { OUT_MAX = 1 << 20 };

struct world {
    struct vault *vault;
    struct secret_scope scope;
    struct http_head head;
};

static void world_init(struct world *w, const char *type)
{
    ln_secret secret = secret_of("TOKEN", HOLDER, ALL_PLACES);
    *w = (struct world){.vault = vault_of(&secret, 1)};
    give(w->vault, 0, VALUE);
    w->scope = scope_of(w->vault, "api.example.com");
    http_head_init(&w->head);
    w->head.status = 200;
    add_field(&w->head, "Content-Type", type);
}

static void world_end(struct world *w)
{
    http_head_free(&w->head);
    secret_scope_end(&w->scope);
    vault_unref(w->vault);
}

static void feed(struct world *w, const uint8_t *text, size_t len, size_t split, size_t step,
                 struct byte_queue *out)
{
    struct secret_echo *echo;
    size_t at = 0;
    size_t next = split < len ? split : len;
    assert_int_equal(secret_echo_new(&w->scope, &w->head, &echo), 0);
    for (;;) {
        uint8_t *piece = malloc(next - at + 1);
        memcpy(piece, text + at, next - at);
        assert_int_equal(secret_echo_feed(echo, piece, next - at, next == len, out), 0);
        free(piece);
        if (next == len) {
            break;
        }
        at = next;
        next = len - at < step ? len : at + step;
    }
    secret_echo_free(echo);
}

static void assert_bytes_become(struct world *w, const void *text, size_t len, const void *expected,
                                size_t expected_len)
{
    for (size_t split = 0; split <= len; split++) {
        for (size_t step = 1; step <= 64; step *= 8) {
            struct byte_queue out = {.cap = OUT_MAX};
            feed(w, text, len, split, step, &out);
            assert_int_equal(out.len, expected_len);
            assert_memory_equal(byte_queue_bytes(&out), expected, out.len);
            byte_queue_free(&out);
        }
    }
}

static void assert_becomes(struct world *w, const char *text, const char *expected)
{
    assert_bytes_become(w, text, strlen(text), expected, strlen(expected));
}

static void test_value_becomes_the_placeholder_however_it_stands_there(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"token " VALUE " end", "token " HOLDER " end"},
        {VALUE VALUE, HOLDER HOLDER},
        {"ghp_" VALUE, "ghp_" HOLDER},
        {"a=ghp_%22s3cr3t%2F%2b%26&b", "a=%24TOKEN%2Fplaceholder&b"},
        {"{\"a\":\"ghp_\\\"s3cr3t\\/+\\u0026\"}", "{\"a\":\"$TOKEN/placeholder\"}"},
        {"{\"a\":\"ghp_\\\"s3cr3t/+&\"}", "{\"a\":\"$TOKEN/placeholder\"}"},
        {"ghp_\"s3cr3t/+ &", "ghp_\"s3cr3t/+ &"},
        {"<p>ghp_&#34;s3cr3t/&#43;&amp;</p>", "<p>" HOLDER "</p>"},
        {"<p>ghp_&quot;s3cr3t&#x2F;+&amp;</p>", "<p>" HOLDER "</p>"},
        {"\"ghp_\\u0026quot;s3cr3t/+\\u0026amp;\"", "\"" HOLDER "\""},
        {"ghp_&quot;s3cr3t/+&lt;", "ghp_&quot;s3cr3t/+&lt;"},
        {"text\n\nmore%2g\\x", "text\n\nmore%2g\\x"},
    };
    struct world w;
    world_init(&w, "text/plain");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_becomes(&w, cases[i][0], cases[i][1]);
    }
    world_end(&w);
}

/* Decoded, nothing of it but the first and last few bits is left, and the rest is where it was. */
static void test_value_in_base64_becomes_stars(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "application/json");
    for (size_t front = 0; front < 7; front++) {
        for (size_t back = 0; back < 4; back++) {
            char plain[100];
            snprintf(plain, sizeof(plain), "%.*s%s%.*s", (int)front, "abcdef:", VALUE, (int)back,
                     "wxyz");
            struct byte_queue text = {.cap = 1000};
            struct byte_queue out = {.cap = 1000};
            struct byte_queue decoded = {.cap = 1000};
            must(base64_put(&text, (const uint8_t *)plain, strlen(plain)));
            feed(&w, byte_queue_bytes(&text), text.len, front, 3, &out);
            assert_int_equal(out.len, text.len);
            must(base64_decode(&decoded, (const char *)byte_queue_bytes(&out), out.len));
            assert_int_equal(decoded.len, strlen(plain));
            const char *hidden = (const char *)byte_queue_bytes(&decoded);
            assert_memory_equal(hidden, plain, front);
            for (size_t i = 1; i < strlen(VALUE) - 1; i++) {
                assert_int_equal(hidden[front + i], '*');
            }
            assert_memory_equal(hidden + front + strlen(VALUE), plain + front + strlen(VALUE),
                                back);
            byte_queue_free(&text);
            byte_queue_free(&out);
            byte_queue_free(&decoded);
        }
    }
    world_end(&w);
}

static void test_value_in_fields_becomes_the_placeholder(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    add_field(&w.head, "location", "/?t=ghp_%22s3cr3t%2F%2B%26");
    add_field(&w.head, "set-cookie", "token=" VALUE "; Secure");
    add_field(&w.head, "x", "nothing");
    assert_int_equal(secret_echo_head(&w.scope, &w.head), 0);
    assert_string_equal(http_head_find(&w.head, "location")->value.at,
                        "/?t=%24TOKEN%2Fplaceholder");
    assert_string_equal(http_head_find(&w.head, "set-cookie")->value.at,
                        "token=" HOLDER "; Secure");
    assert_string_equal(http_head_find(&w.head, "x")->value.at, "nothing");
    world_end(&w);
}

static void test_value_in_the_name_of_a_field_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    give(w.vault, 0, "letters-only");
    add_field(&w.head, "x-letters-only", "1");
    assert_int_equal(secret_echo_head(&w.scope, &w.head), -EPERM);
    world_end(&w);
}

static void test_values_inside_each_other_are_all_hidden(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("PASSWORD", "$PASSWORD", 0), secret_of("URL", "$URL", 0),
                           secret_of("LONGER", "$LONGER", 0)};
    struct world w = {.vault = vault_of(secrets, 3)};
    give(w.vault, 0, "pa55word");
    give(w.vault, 1, "db://user:pa55word@host/db");
    give(w.vault, 2, "pa55word-and-more");
    w.scope = scope_of(w.vault, "api.example.com");
    http_head_init(&w.head);
    assert_becomes(&w, "1 db://user:pa55word@host/db 2", "1 $URL 2");
    assert_becomes(&w, "1 db://user:pa55word@host/dB 2", "1 db://user:$PASSWORD@host/dB 2");
    assert_becomes(&w, "1 pa55word-and-more 2", "1 $LONGER 2");
    assert_becomes(&w, "1 pa55word-and-morX 2", "1 $PASSWORD-and-morX 2");
    assert_becomes(&w, "db://user:pa55word-and-more", "db://user:$LONGER");
    assert_becomes(&w, "pa55word-and-mpa55word", "$PASSWORD-and-m$PASSWORD");
    world_end(&w);
}

static void test_value_before_the_rotation_is_hidden_too(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    give(w.vault, 0, "the value after");
    assert_becomes(&w, VALUE ", the value after", HOLDER ", " HOLDER);
    vault_clear(w.vault, 0);
    assert_becomes(&w, "the value after", HOLDER);
    world_end(&w);
}

static void test_value_before_a_reload_that_replaces_it_is_hidden_too(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    ln_secret secret = secret_of("TOKEN", HOLDER, ALL_PLACES);
    secret.source = "ELSEWHERE";
    secret.source_len = strlen(secret.source);
    struct vault *vault = vault_of(&secret, 1);
    assert_int_equal(vault_adopt(vault, w.vault), 0);
    assert_false(vault_has_value(vault, 0));
    give(vault, 0, "the value after");
    secret_scope_end(&w.scope);
    vault_unref(w.vault);
    w.vault = vault;
    w.scope = scope_of(vault, "api.example.com");
    assert_becomes(&w, VALUE ", the value after", HOLDER ", " HOLDER);
    world_end(&w);
}

static void test_short_value_is_left(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    vault_clear(w.vault, 0);
    give(w.vault, 0, "first one");
    give(w.vault, 0, "a");
    give(w.vault, 0, "b");
    assert_becomes(&w, "banana", "banana");
    world_end(&w);
}

/* An event ends with an empty line; a message says how long it is. */
static void test_what_ends_an_event_or_a_message_is_not_held_back(void **state)
{
    (void)state;
    struct world w;
    struct secret_echo *echo;
    struct byte_queue out = {.cap = OUT_MAX};
    world_init(&w, "text/event-stream");
    assert_int_equal(secret_echo_new(&w.scope, &w.head, &echo), 0);
    static const uint8_t event[] = "data: ghp_\"s3\r\n\r\n";
    assert_int_equal(secret_echo_feed(echo, event, sizeof(event) - 1, false, &out), 0);
    assert_int_equal(out.len, sizeof(event) - 1);
    secret_echo_free(echo);
    byte_queue_free(&out);
    world_end(&w);
    world_init(&w, "application/grpc+proto");
    static const uint8_t messages[] = "\0\0\0\0\3ghp\0\0\0\0\0\0\0\0\0\1g";
    for (size_t split = 0; split < sizeof(messages); split++) {
        assert_int_equal(secret_echo_new(&w.scope, &w.head, &echo), 0);
        assert_int_equal(secret_echo_feed(echo, messages, split, false, &out), 0);
        assert_int_equal(
            secret_echo_feed(echo, messages + split, sizeof(messages) - 1 - split, false, &out), 0);
        assert_int_equal(out.len, sizeof(messages) - 1);
        assert_memory_equal(byte_queue_bytes(&out), messages, out.len);
        secret_echo_free(echo);
        byte_queue_free(&out);
    }
    world_end(&w);
}

static void test_value_in_a_message_becomes_as_long_a_text(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "application/grpc");
    static const char text[] = "\0\0\0\0\x10\n\x0e" VALUE "\0\0\0\0\1x";
    static const char expected[] = "\0\0\0\0\x10\n\x0e$TOKEN/placeho\0\0\0\0\1x";
    assert_bytes_become(&w, text, sizeof(text) - 1, expected, sizeof(expected) - 1);
    give(w.vault, 0, "a value that is longer than the placeholder");
    static const char more[] = "\0\0\0\0\x2b"
                               "a value that is longer than the placeholder";
    static const char stars[] = "\0\0\0\0\x2b" HOLDER "*************************";
    assert_bytes_become(&w, more, sizeof(more) - 1, stars, sizeof(stars) - 1);
    world_end(&w);
}

static void test_body_said_to_be_encoded_is_looked_at(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    add_field(&w.head, "Content-Encoding", "gzip");
    assert_bytes_become(&w, "it is " VALUE, 6 + strlen(VALUE), "it is " HOLDER, 6 + strlen(HOLDER));
    world_end(&w);
}

static void test_answers_are_looked_at_over_whatever_connection_the_host_is_reached(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    assert_true(secret_echo_wanted(&w.scope));
    static const struct secret_connection ways[] = {
        {.name = "api.example.com"}, {.name = "api.example.com", .pinned = true}, {.name = NULL}};
    for (size_t i = 0; i < 3; i++) {
        struct secret_scope scope;
        secret_scope_init(&scope, w.vault, &ways[i]);
        assert_true(secret_set_is_empty(&scope.allowed));
        assert_true(secret_echo_wanted(&scope));
        secret_scope_end(&scope);
    }
    struct secret_scope other = scope_of(w.vault, "other.example");
    assert_false(secret_echo_wanted(&other));
    secret_scope_end(&other);
    world_end(&w);
    struct vault *vault = vault_of(NULL, 0);
    w.scope = scope_of(vault, "api.example.com");
    assert_false(secret_echo_wanted(&w.scope));
    secret_scope_end(&w.scope);
    vault_unref(vault);
}

static void test_value_in_a_tunnel_stops_it_at_every_split(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, "text/plain");
    static const char frame[] = "\x81\x10" VALUE "!!";
    for (size_t split = 0; split < sizeof(frame); split++) {
        struct secret_echo *echo;
        assert_int_equal(secret_echo_new(&w.scope, NULL, &echo), 0);
        const uint8_t *bytes = (const uint8_t *)frame;
        int first = secret_echo_watch(echo, bytes, split);
        bool much = split >= 2 + 8; /* of the value is in the first part */
        assert_int_equal(first, much ? -EPERM : 0);
        if (first == 0) {
            int rest = secret_echo_watch(echo, bytes + split, sizeof(frame) - 1 - split);
            assert_int_equal(rest, -EPERM);
        }
        secret_echo_free(echo);
    }
    struct secret_echo *echo;
    assert_int_equal(secret_echo_new(&w.scope, NULL, &echo), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(secret_echo_watch(echo, (const uint8_t *)VALUE, 7), 0);
    }
    secret_echo_free(echo);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value_becomes_the_placeholder_however_it_stands_there),
        cmocka_unit_test(test_value_in_base64_becomes_stars),
        cmocka_unit_test(test_value_in_fields_becomes_the_placeholder),
        cmocka_unit_test(test_value_in_the_name_of_a_field_is_refused),
        cmocka_unit_test(test_values_inside_each_other_are_all_hidden),
        cmocka_unit_test(test_value_before_the_rotation_is_hidden_too),
        cmocka_unit_test(test_value_before_a_reload_that_replaces_it_is_hidden_too),
        cmocka_unit_test(test_short_value_is_left),
        cmocka_unit_test(test_what_ends_an_event_or_a_message_is_not_held_back),
        cmocka_unit_test(test_value_in_a_message_becomes_as_long_a_text),
        cmocka_unit_test(test_value_in_a_tunnel_stops_it_at_every_split),
        cmocka_unit_test(test_body_said_to_be_encoded_is_looked_at),
        cmocka_unit_test(test_answers_are_looked_at_over_whatever_connection_the_host_is_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
