/* Placeholders are found however they are written, wherever they stand, however they arrive; and
 * nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "naive_readings.h"
#include "secrets/encode.h"
#include "secrets/scanner.h"
#include "secrets/vault_use.h"
#include "secrets_fixture.h"

enum { TEXT_MAX = 8192 };

struct text {
    uint8_t bytes[TEXT_MAX];
    size_t len;
};

static void put(struct text *text, const void *bytes, size_t len)
{
    assert_true(text->len + len <= TEXT_MAX);
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void put_hex(struct text *text, unsigned *seed, const char *front, uint8_t c, bool four)
{
    char escape[16];
    snprintf(escape, sizeof(escape), below(seed, 2) ? "%s%s%02x" : "%s%s%02X", front,
             four ? "00" : "", c);
    put(text, escape, strlen(escape));
}

/* ---- ways to write a placeholder ---- */

static void as_it_is(struct text *text, unsigned *seed, const char *placeholder)
{
    (void)seed;
    put(text, placeholder, strlen(placeholder));
}

static void percent(struct text *text, unsigned *seed, const char *placeholder)
{
    uint32_t share = below(seed, 5);
    for (const char *c = placeholder; *c != '\0'; c++) {
        if (below(seed, 5) <= share) {
            put_hex(text, seed, "%", (uint8_t)*c, false);
        } else {
            put(text, c, 1);
        }
    }
}

static void percent_twice(struct text *text, unsigned *seed, const char *placeholder)
{
    struct text once = {.len = 0};
    percent(&once, seed, placeholder);
    for (size_t i = 0; i < once.len; i++) {
        if (once.bytes[i] == '%' || below(seed, 4) == 0) {
            put_hex(text, seed, "%", once.bytes[i], false);
        } else {
            put(text, &once.bytes[i], 1);
        }
    }
}

static void json(struct text *text, unsigned *seed, const char *placeholder)
{
    uint32_t share = below(seed, 5);
    for (const char *c = placeholder; *c != '\0'; c++) {
        if (below(seed, 5) <= share) {
            put_hex(text, seed, "\\u", (uint8_t)*c, true);
        } else {
            put(text, c, 1);
        }
    }
}

/* Base64 with the placeholder at any of the three places of a group. */
static void base64_of(struct text *text, unsigned *seed, const char *placeholder)
{
    struct text plain = {.len = 0};
    struct byte_queue out = {.cap = TEXT_MAX};
    uint8_t around[64];
    seeded_random(seed, around, sizeof(around));
    put(&plain, around, below(seed, 32));
    put(&plain, placeholder, strlen(placeholder));
    put(&plain, around + 32, below(seed, 32));
    must(base64_put(&out, plain.bytes, plain.len));
    put(text, byte_queue_bytes(&out), out.len);
    byte_queue_free(&out);
}

static void base64(struct text *text, unsigned *seed, const char *placeholder)
{
    base64_of(text, seed, placeholder);
}

static void base64url(struct text *text, unsigned *seed, const char *placeholder)
{
    size_t from = text->len;
    base64_of(text, seed, placeholder);
    for (size_t i = from; i < text->len; i++) {
        uint8_t *c = &text->bytes[i];
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
}

/* MIME, PEM, and the line breaks of either system; also indented. */
static void base64_in_lines(struct text *text, unsigned *seed, const char *placeholder)
{
    static const char *const breaks[] = {"\n", "\r\n", "\n  ", "\r", "\r\n\t"};
    const char *line_break = breaks[below(seed, 5)];
    uint32_t line = below(seed, 2) ? 76 : 10 + below(seed, 60);
    struct text whole = {.len = 0};
    base64_of(&whole, seed, placeholder);
    for (size_t i = 0; i < whole.len; i++) {
        if (i > 0 && i % line == 0) {
            put(text, line_break, strlen(line_break));
        }
        put(text, &whole.bytes[i], 1);
    }
}

static void base64_in_form(struct text *text, unsigned *seed, const char *placeholder)
{
    struct text whole = {.len = 0};
    struct byte_queue out = {.cap = TEXT_MAX};
    base64_in_lines(&whole, seed, placeholder);
    must(encode_put(&out, ENCODE_PERCENT, whole.bytes, whole.len));
    put(text, byte_queue_bytes(&out), out.len);
    byte_queue_free(&out);
}

static void base64_in_json(struct text *text, unsigned *seed, const char *placeholder)
{
    struct text whole = {.len = 0};
    base64_in_lines(&whole, seed, placeholder);
    for (size_t i = 0; i < whole.len; i++) {
        const char *escape = whole.bytes[i] == '/'    ? "\\/"
                             : whole.bytes[i] == '\n' ? "\\n"
                             : whole.bytes[i] == '\r' ? "\\r"
                             : whole.bytes[i] == '\t' ? "\\t"
                                                      : NULL;
        put(text, escape == NULL ? (const void *)&whole.bytes[i] : escape, escape == NULL ? 1 : 2);
    }
}

static const struct {
    const char *name;
    void (*write)(struct text *text, unsigned *seed, const char *placeholder);
} WAYS[] = {
    {"as it is", as_it_is},
    {"percent", percent},
    {"percent twice", percent_twice},
    {"JSON", json},
    {"base64", base64},
    {"base64url", base64url},
    {"base64 in lines", base64_in_lines},
    {"base64 in a form", base64_in_form},
    {"base64 in JSON", base64_in_json},
};

/* What stands around: text, fragments of placeholders and of escapes, or anything. A backslash
 * right in front would make an escape of what follows. */
static void put_around(struct text *text, unsigned *seed, const char *placeholder, size_t max)
{
    static const char *const fragments[] = {"%",    "%2",   "%25", "\\u00",  "$",   "JExV",
                                            "\r\n", "%%24", "$$",  "\\u002", "%0a", "x"};
    size_t len = below(seed, (uint32_t)max);
    uint32_t kind = below(seed, 3);
    for (size_t from = text->len; text->len - from < len;) {
        uint8_t any;
        seeded_random(seed, &any, 1);
        if (kind == 0) {
            put(text, &any, any != '\\');
        } else if (kind == 1) {
            any = (uint8_t)(' ' + any % 64);
            put(text, &any, 1);
        } else if (below(seed, 4) == 0) {
            put(text, placeholder, below(seed, (uint32_t)strlen(placeholder)));
        } else {
            const char *fragment = fragments[below(seed, 12)];
            put(text, fragment, strlen(fragment));
        }
    }
}

/* ---- reading ---- */

/* Which secrets are found, as bits, where the stream arrives as `split` bytes and then `step` at a
 * time. Each is let pass to see the next. */
static uint64_t found(const struct secret_scope *scope, const struct text *text, size_t split,
                      size_t step)
{
    struct secret_scanner *scanner;
    struct secret_report report = {0};
    assert_int_equal(secret_scanner_new(scope, &scanner), 0);
    size_t at = 0;
    size_t next = split < text->len ? split : text->len;
    for (;;) {
        uint8_t *piece = malloc(next - at + 1); /* of its own, for the sanitizer */
        memcpy(piece, text->bytes + at, next - at);
        while (secret_scan_raw(scanner, piece, next - at, SECRET_RAW, &report) == -EPERM) {
            secret_report_pass(&report);
        }
        free(piece);
        if (next == text->len) {
            break;
        }
        at = next;
        next = text->len - at < step ? text->len : at + step;
    }
    secret_scanner_free(scanner);
    return report.passed.words[0];
}

/* ---- tests ---- */

static void test_placeholder_is_found_however_it_is_written_at_every_split(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("GITHUB_TOKEN", NULL, 0), secret_of("NPM", NULL, 0),
                           secret_of("OTHER", "s3cret+holder/with~more", 0)};
    struct vault *vault = vault_of(secrets, 3);
    struct secret_scope scope = scope_of(vault, "wrong.example");
    unsigned seed = 3;
    for (size_t way = 0; way < sizeof(WAYS) / sizeof(*WAYS); way++) {
        for (int round = 0; round < 25; round++) {
            struct text text = {.len = 0};
            size_t secret = below(&seed, 3);
            const char *placeholder = vault_placeholder(vault, secret);
            put_around(&text, &seed, placeholder, round % 4 == 0 ? 400 : 40);
            put(&text, " ", 1);
            WAYS[way].write(&text, &seed, placeholder);
            put_around(&text, &seed, placeholder, 20);
            for (size_t split = 0; split <= text.len; split++) {
                if ((found(&scope, &text, split, SIZE_MAX) >> secret & 1) == 0) {
                    fail_msg("%s: not found at split %zu of %.*s", WAYS[way].name, split,
                             (int)text.len, (const char *)text.bytes);
                }
            }
            assert_true((found(&scope, &text, 1, 1) >> secret & 1) != 0);
        }
    }
    secret_scope_end(&scope);
    vault_unref(vault);
}

/* Of the first `n` secrets: few begin in few ways, more in many. */
static void skipping_finds_what_reading_each_byte_finds(size_t n)
{
    ln_secret secrets[] = {secret_of("A", "$LUNETTE_A_123", 0), secret_of("B", "%2/\\", 0),
                           secret_of("C", "other%2Fone", 0), secret_of("D", "tab\there", 0)};
    struct vault *vault = vault_of(secrets, n);
    struct secret_scope scope = scope_of(vault, "wrong.example");
    unsigned seed = 5;
    uint64_t seen = 0;
    for (int round = 0; round < 3000; round++) {
        struct text text = {.len = 0};
        for (int part = 0; part < 6; part++) {
            const char *placeholder = vault_placeholder(vault, below(&seed, (uint32_t)n));
            put_around(&text, &seed, placeholder, 300);
            if (below(&seed, 8) == 0) {
                WAYS[below(&seed, 9)].write(&text, &seed, placeholder);
            }
        }
        uint64_t by_byte = found(&scope, &text, 1, 1);
        uint64_t whole = found(&scope, &text, SIZE_MAX, SIZE_MAX);
        assert_int_equal(whole, by_byte);
        assert_int_equal(found(&scope, &text, below(&seed, 300), 1 + below(&seed, 100)), by_byte);
        seen |= whole;
    }
    assert_int_equal(seen, (1u << n) - 1);
    assert_true((vault_placeholders(vault)->n_pairs > 0) == (n == 2));
    secret_scope_end(&scope);
    vault_unref(vault);
}

static void test_skipping_finds_what_reading_each_byte_finds(void **state)
{
    (void)state;
    skipping_finds_what_reading_each_byte_finds(2);
    skipping_finds_what_reading_each_byte_finds(4);
}

static void test_same_is_found_as_by_decoding_all_and_searching(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("A", "$ab", 0), secret_of("B", "b%2", 0),
                           secret_of("C", "/\\u", 0), secret_of("D", "0a00", 0)};
    struct vault *vault = vault_of(secrets, 4);
    struct secret_scope scope = scope_of(vault, "wrong.example");
    static const char alphabet[] = "$ab%245\\u006/2F";
    unsigned seed = 11;
    uint64_t all = 0;
    for (int round = 0; round < 60000; round++) {
        struct text text = {.len = 0};
        size_t len = below(&seed, 24);
        uint64_t expected = 0;
        for (size_t i = 0; i < len; i++) {
            put(&text, &alphabet[below(&seed, sizeof(alphabet) - 1)], 1);
        }
        put(&text, "......", 6); /* ends what was begun as an escape */
        for (size_t i = 0; i < 4; i++) {
            expected |= (uint64_t)naive_shows(text.bytes, text.len, vault_placeholder(vault, i))
                        << i;
        }
        uint64_t is = found(&scope, &text, below(&seed, 24), 1 + below(&seed, 9));
        if (is != expected) {
            fail_msg("%.*s: %llx for %llx", (int)text.len, (const char *)text.bytes,
                     (unsigned long long)is, (unsigned long long)expected);
        }
        all |= is;
    }
    assert_int_equal(all, 15);
    secret_scope_end(&scope);
    vault_unref(vault);
}

static void test_nothing_is_found_in_other_data(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("GITHUB_TOKEN", NULL, 0), secret_of("NPM_TOKEN", NULL, 0)};
    struct vault *vault = vault_of(secrets, 2);
    struct secret_scope scope = scope_of(vault, "wrong.example");
    unsigned seed = 17;
    for (int round = 0; round < 400; round++) {
        struct text text = {.len = 0};
        /* Neither of these texts is ever put in whole. */
        put_around(&text, &seed, "$LUNETTE_GITHUB_TOKEN_", TEXT_MAX - 100);
        assert_int_equal(found(&scope, &text, below(&seed, TEXT_MAX), 1000), 0);
    }
    secret_scope_end(&scope);
    vault_unref(vault);
}

static void test_placeholder_of_an_allowed_secret_is_no_violation(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("A", "$FOR_API_TOKEN", 0), secret_of("B", "$FOR_OTHERS", 0)};
    secrets[1].hosts = OTHER_HOST;
    secrets[1].n_hosts = 2;
    struct vault *vault = vault_of(secrets, 2);
    struct secret_scope scope = scope_of(vault, "api.example.com");
    struct secret_scanner *scanner;
    struct secret_report report = {0};
    static const uint8_t a[] = "a $FOR_API_TOKEN";
    static const uint8_t b[] = "b $FOR_OTHERS and $FOR_OTHERS";
    assert_int_equal(secret_scanner_new(&scope, &scanner), 0);
    assert_int_equal(secret_scan_raw(scanner, a, sizeof(a) - 1, SECRET_RAW, &report), 0);
    assert_false(secret_report_has_violations(&report));
    assert_int_equal(secret_scan_raw(scanner, b, sizeof(b) - 1, SECRET_RAW, &report), -EPERM);
    size_t secret;
    enum secret_place place;
    assert_true(secret_report_first(&report, &secret, &place));
    assert_int_equal(secret, 1);
    assert_string_equal(secret_place_name(place), "raw");
    secret_report_pass(&report);
    assert_int_equal(secret_scan_raw(scanner, b, sizeof(b) - 1, SECRET_RAW, &report), 0);
    secret_scanner_free(scanner);
    secret_scope_end(&scope);
    vault_unref(vault);
}

static void test_scope_needs_name_pin_and_verified_tls(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("A", NULL, 0), secret_of("B", NULL, 0)};
    secrets[1].require_tls = false;
    secrets[1].hosts = OTHER_HOST;
    secrets[1].n_hosts = 2;
    struct vault *vault = vault_of(secrets, 2);
    static const struct {
        struct secret_connection connection;
        uint64_t allowed;
    } cases[] = {
        {{"api.example.com", true, true}, 1},
        {{"api.example.com", true, false}, 0},
        {{"api.example.com", false, true}, 0},
        {{NULL, true, true}, 0},
        {{"xapi.example.com", true, true}, 0},
        {{"api.example.com.evil", true, true}, 0},
        {{"sub.api.example.com", true, true}, 0},
        {{"other.example", true, false}, 2},
        {{"zone.example", true, true}, 0},
        {{"a.b.zone.example", true, true}, 2},
        {{"notzone.example", true, true}, 0},
        {{"a.zone.example", false, true}, 0},
        {{"", true, true}, 0},
        {{".zone.example", true, true}, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct secret_scope scope;
        secret_scope_init(&scope, vault, &cases[i].connection);
        assert_int_equal(scope.allowed.words[0], cases[i].allowed);
        secret_scope_end(&scope);
    }
    vault_unref(vault);
}

static void test_vault_outlives_its_owner_while_a_scope_uses_it(void **state)
{
    (void)state;
    ln_secret secret = secret_of("A", NULL, 0);
    struct vault *vault = vault_of(&secret, 1);
    struct secret_scope scope = scope_of(vault, "api.example.com");
    vault_unref(vault);
    assert_true(secret_set_has(&scope.allowed, 0));
    assert_string_equal(vault_env(scope.vault, 0), "A");
    secret_scope_end(&scope);
    secret_scope_end(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholder_is_found_however_it_is_written_at_every_split),
        cmocka_unit_test(test_skipping_finds_what_reading_each_byte_finds),
        cmocka_unit_test(test_same_is_found_as_by_decoding_all_and_searching),
        cmocka_unit_test(test_nothing_is_found_in_other_data),
        cmocka_unit_test(test_placeholder_of_an_allowed_secret_is_no_violation),
        cmocka_unit_test(test_scope_needs_name_pin_and_verified_tls),
        cmocka_unit_test(test_vault_outlives_its_owner_while_a_scope_uses_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
