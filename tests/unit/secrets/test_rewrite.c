/* Heads of requests: where placeholders become values, where they stay, and where they are
 * violations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "secrets/encode.h"
#include "secrets/rewrite.h"
#include "secrets_fixture.h"

#define HOLDER "$TOKEN_placeholder"
#define VALUE  "ghp_s3cr3t/+ value&x"
#define QUOTED "ghp_s3cr3t%2F%2B%20value%26x"

struct world {
    struct vault *vault;
    struct secret_scope scope;
    struct http_head head;
    struct secret_report report;
};

/* One secret of API_HOST, its value known; a request to `host`. */
static void world_init(struct world *w, unsigned inject, const char *host, const char *path)
{
    ln_secret secret = secret_of("TOKEN", HOLDER, inject);
    *w = (struct world){.vault = vault_of(&secret, 1)};
    give(w->vault, 0, VALUE);
    w->scope = scope_of(w->vault, host);
    head_of(&w->head, "GET", host, path);
}

static void world_end(struct world *w)
{
    http_head_free(&w->head);
    secret_scope_end(&w->scope);
    vault_unref(w->vault);
}

static int rewrite(struct world *w)
{
    return secret_rewrite_request(&w->scope, &w->head, &w->report);
}

static const char *value_of(const struct world *w, const char *name)
{
    const struct http_field *field = http_head_find(&w->head, name);
    assert_non_null(field);
    return field->value.at;
}

static void add_basic(struct world *w, const char *credentials)
{
    struct byte_queue text = {.cap = 4096};
    must(byte_queue_put(&text, "Basic ", 6));
    must(base64_put(&text, (const uint8_t *)credentials, strlen(credentials)));
    must(http_head_add(&w->head, "Authorization", 13, (const char *)byte_queue_bytes(&text),
                       text.len));
    byte_queue_free(&text);
}

static void assert_basic(const struct world *w, const char *credentials)
{
    const char *value = value_of(w, "authorization");
    struct byte_queue plain = {.cap = 4096};
    assert_memory_equal(value, "Basic ", 6);
    assert_int_equal(base64_decode(&plain, value + 6, strlen(value + 6)), 0);
    assert_int_equal(plain.len, strlen(credentials));
    assert_memory_equal(byte_queue_bytes(&plain), credentials, plain.len);
    byte_queue_free(&plain);
}

static void test_placeholder_in_a_field_becomes_the_value(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, LN_INJECT_HEADERS, "api.example.com", "/");
    add_field(&w.head, "Authorization", "Bearer " HOLDER);
    add_field(&w.head, "X-Twice", HOLDER "," HOLDER "!");
    add_field(&w.head, "X-None", "$TOKEN_placeholde");
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "authorization"), "Bearer " VALUE);
    assert_string_equal(value_of(&w, "x-twice"), VALUE "," VALUE "!");
    assert_string_equal(value_of(&w, "x-none"), "$TOKEN_placeholde");
    assert_true(http_head_find(&w.head, "authorization")->sensitive);
    assert_true(http_head_find(&w.head, "x-twice")->sensitive);
    assert_false(http_head_find(&w.head, "x-none")->sensitive);
    assert_true(secret_set_has(&w.report.used, 0));
    world_end(&w);
}

static void test_placeholder_in_basic_credentials_becomes_the_value(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{HOLDER ":", VALUE ":"},
                                           {"user:" HOLDER, "user:" VALUE},
                                           {"u:" HOLDER "x", "u:" VALUE "x"},
                                           {HOLDER ":" HOLDER, VALUE ":" VALUE}};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        world_init(&w, LN_INJECT_BASIC_AUTH, "api.example.com", "/");
        add_basic(&w, cases[i][0]);
        assert_int_equal(rewrite(&w), 0);
        assert_basic(&w, cases[i][1]);
        assert_true(http_head_find(&w.head, "authorization")->sensitive);
        world_end(&w);
    }
}

static void test_basic_credentials_without_padding_are_read_too(void **state)
{
    (void)state;
    ln_secret secret = secret_of("TOKEN", "$T", LN_INJECT_BASIC_AUTH);
    struct world w = {.vault = vault_of(&secret, 1)};
    give(w.vault, 0, "value");
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "GET", "api.example.com", "/");
    add_field(&w.head, "authorization", "bAsIc  dTokVA"); /* u:$T */
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "authorization"), "bAsIc  dTp2YWx1ZQ==");
    world_end(&w);
}

static void test_placeholder_in_the_query_becomes_the_encoded_value(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/a?key=" HOLDER, "/a?key=" QUOTED},
        {"/a?key=%24TOKEN_placeholder&b=1", "/a?key=" QUOTED "&b=1"},
        {"/a?%24%54OKEN%5fplaceholde%72", "/a?" QUOTED},
        {"/" HOLDER "?x=" HOLDER "?y=" HOLDER, "/" HOLDER "?x=" QUOTED "?y=" QUOTED},
        {"/%24TOKEN_placeholder", "/%24TOKEN_placeholder"},
        {"/?a=%2524TOKEN_placeholder", "/?a=%2524TOKEN_placeholder"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        world_init(&w, LN_INJECT_QUERY, "api.example.com", cases[i][0]);
        assert_int_equal(rewrite(&w), 0);
        assert_string_equal(w.head.path.at, cases[i][1]);
        world_end(&w);
    }
}

static void test_space_of_a_placeholder_may_be_a_plus_in_the_query(void **state)
{
    (void)state;
    ln_secret secret = secret_of("TOKEN", "my token", LN_INJECT_QUERY);
    struct world w = {.vault = vault_of(&secret, 1)};
    give(w.vault, 0, "value");
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "GET", "api.example.com", "/?a=my+token&b=my%20token");
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(w.head.path.at, "/?a=value&b=value");
    world_end(&w);
}

static void test_placeholder_where_inject_does_not_say_so_passes_unchanged(void **state)
{
    (void)state;
    for (unsigned inject = 0; inject < 16; inject++) {
        struct world w;
        world_init(&w, inject, "api.example.com", "/" HOLDER "?" HOLDER);
        add_basic(&w, "user:" HOLDER);
        add_field(&w.head, "x", HOLDER);
        assert_int_equal(rewrite(&w), 0);
        assert_string_equal(w.head.path.at, (inject & LN_INJECT_QUERY) != 0 ? "/" HOLDER "?" QUOTED
                                                                            : "/" HOLDER
                                                                              "?" HOLDER);
        assert_basic(&w, (inject & LN_INJECT_BASIC_AUTH) != 0 ? "user:" VALUE : "user:" HOLDER);
        assert_string_equal(value_of(&w, "x"), (inject & LN_INJECT_HEADERS) != 0 ? VALUE : HOLDER);
        assert_false(secret_report_has_violations(&w.report));
        world_end(&w);
    }
}

static void test_method_authority_and_names_of_fields_never_change(void **state)
{
    (void)state;
    ln_secret secret = secret_of("TOKEN", "TOKEN-HOLDER", ALL_PLACES);
    struct world w = {.vault = vault_of(&secret, 1)};
    give(w.vault, 0, "value-of-token");
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "TOKEN-HOLDER", "TOKEN-HOLDER.example.com", "/TOKEN-HOLDER");
    add_field(&w.head, "TOKEN-HOLDER", "TOKEN-HOLDER");
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(w.head.method.at, "TOKEN-HOLDER");
    assert_string_equal(w.head.authority.at, "TOKEN-HOLDER.example.com");
    assert_string_equal(w.head.path.at, "/TOKEN-HOLDER");
    assert_string_equal(w.head.fields[0].name.at, "TOKEN-HOLDER");
    assert_string_equal(w.head.fields[0].value.at, "value-of-token");
    world_end(&w);
}

static void test_value_that_holds_placeholders_is_not_searched_again(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("A", "$HOLDER_A", ALL_PLACES),
                           secret_of("B", "$HOLDER_B", ALL_PLACES)};
    struct world w = {.vault = vault_of(secrets, 2)};
    give(w.vault, 0, "a$HOLDER_A$HOLDER_B");
    give(w.vault, 1, "$HOLDER_A-of-b");
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "GET", "api.example.com", "/");
    add_field(&w.head, "x", "$HOLDER_A $HOLDER_B $HOLDER_$HOLDER_A");
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "x"),
                        "a$HOLDER_A$HOLDER_B $HOLDER_A-of-b $HOLDER_a$HOLDER_A$HOLDER_B");
    world_end(&w);
}

static void test_secret_without_value_is_told_and_stays(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ALL_PLACES, "api.example.com", "/");
    vault_clear(w.vault, 0);
    add_field(&w.head, "x", HOLDER);
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "x"), HOLDER);
    assert_true(secret_set_has(&w.report.missing, 0));
    assert_true(secret_set_is_empty(&w.report.used));
    world_end(&w);
}

static void test_answers_are_asked_for_as_they_are(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ALL_PLACES, "api.example.com", "/");
    add_field(&w.head, "Accept-Encoding", "gzip");
    add_field(&w.head, "accept-encoding", "br");
    add_field(&w.head, "grpc-accept-encoding", "gzip");
    add_field(&w.head, "Sec-WebSocket-Extensions", "permessage-deflate");
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "accept-encoding"), "identity");
    assert_null(
        http_head_next(&w.head, http_head_find(&w.head, "accept-encoding"), "accept-encoding"));
    assert_null(http_head_find(&w.head, "grpc-accept-encoding"));
    assert_null(http_head_find(&w.head, "sec-websocket-extensions"));
    /* Other hosts are asked as the guest asks. */
    struct secret_scope other = scope_of(w.vault, "other.example");
    http_head_free(&w.head);
    head_of(&w.head, "GET", "other.example", "/");
    add_field(&w.head, "accept-encoding", "gzip");
    assert_int_equal(secret_rewrite_request(&other, &w.head, &w.report), 0);
    assert_string_equal(value_of(&w, "accept-encoding"), "gzip");
    secret_scope_end(&other);
    http_head_free(&w.head); /* trailers */
    add_field(&w.head, "checksum", HOLDER);
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "checksum"), VALUE);
    assert_null(http_head_find(&w.head, "accept-encoding"));
    world_end(&w);
}

/* ---- violations ---- */

static void assert_violation(struct world *w, enum secret_place expected)
{
    size_t secret;
    enum secret_place place;
    assert_int_equal(rewrite(w), -EPERM);
    assert_true(secret_report_first(&w->report, &secret, &place));
    assert_int_equal(secret, 0);
    assert_int_equal(place, expected);
    assert_true(secret_set_is_empty(&w->report.used));
    w->report = (struct secret_report){0};
}

static void test_placeholder_for_another_host_is_a_violation_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *path, *name, *value;
        enum secret_place place;
    } cases[] = {
        {"/", "x", HOLDER, SECRET_HEADER},
        {"/", "x", "%24TOKEN_placeholder", SECRET_HEADER},
        {"/", "x", "{\"a\":\"\\u0024TOKEN_placeholder\"}", SECRET_HEADER},
        {"/", "cookie", "a=JFRPS0VOX3BsYWNlaG9sZGVy", SECRET_HEADER},
        {"/" HOLDER, "x", "y", SECRET_PATH},
        {"/%24TOKEN_placeholder?a", "x", "y", SECRET_PATH},
        {"/?" HOLDER, "x", "y", SECRET_QUERY},
        {"/a?b=%2524TOKEN_placeholder", "x", "y", SECRET_QUERY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct world w;
        world_init(&w, ALL_PLACES, "other.example", cases[i].path);
        add_field(&w.head, cases[i].name, cases[i].value);
        assert_violation(&w, cases[i].place);
        assert_string_equal(value_of(&w, cases[i].name), cases[i].value);
        assert_string_equal(w.head.path.at, cases[i].path);
        world_end(&w);
    }
}

static void test_placeholder_in_basic_credentials_for_another_host_is_a_violation(void **state)
{
    (void)state;
    static const char *const credentials[] = {HOLDER ":", "a:" HOLDER, "ab:" HOLDER,
                                              "abc:" HOLDER "x"};
    for (size_t i = 0; i < 4; i++) {
        struct world w;
        world_init(&w, ALL_PLACES, "other.example", "/");
        add_basic(&w, credentials[i]);
        assert_violation(&w, SECRET_HEADER);
        world_end(&w);
    }
    ln_secret secret = secret_of("TOKEN", "$T", 0); /* shorter than what base64 is searched for */
    struct world w = {.vault = vault_of(&secret, 1)};
    w.scope = scope_of(w.vault, "other.example");
    head_of(&w.head, "GET", "other.example", "/");
    add_basic(&w, "u:$T");
    assert_violation(&w, SECRET_HEADER);
    world_end(&w);
}

static void test_violation_that_may_pass_leaves_the_placeholder(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, ALL_PLACES, "other.example", "/?" HOLDER);
    add_field(&w.head, "x", HOLDER);
    assert_int_equal(rewrite(&w), -EPERM);
    secret_report_pass(&w.report);
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "x"), HOLDER);
    assert_string_equal(w.head.path.at, "/?" HOLDER);
    world_end(&w);
}

static void test_nothing_is_put_in_where_another_secret_violates(void **state)
{
    (void)state;
    ln_secret secrets[] = {secret_of("A", "$HOLDER_A", ALL_PLACES),
                           secret_of("B", "$HOLDER_B", ALL_PLACES)};
    secrets[1].hosts = OTHER_HOST;
    struct world w = {.vault = vault_of(secrets, 2)};
    give(w.vault, 0, "value of a");
    give(w.vault, 1, "value of b");
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "GET", "api.example.com", "/");
    add_field(&w.head, "a", "$HOLDER_A");
    add_field(&w.head, "b", "$HOLDER_B");
    assert_int_equal(rewrite(&w), -EPERM);
    assert_string_equal(value_of(&w, "a"), "$HOLDER_A");
    secret_report_pass(&w.report);
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(value_of(&w, "a"), "value of a");
    assert_string_equal(value_of(&w, "b"), "$HOLDER_B");
    world_end(&w);
}

static void test_head_that_grows_too_large_is_refused(void **state)
{
    (void)state;
    ln_secret secret = secret_of("TOKEN", "$$", ALL_PLACES);
    struct world w = {.vault = vault_of(&secret, 1)};
    char value[VAULT_VALUE_MAX + 1] = "";
    char field[1001] = "";
    memset(value, 'v', VAULT_VALUE_MAX);
    memset(field, '$', 1000);
    give(w.vault, 0, value);
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "GET", "api.example.com", "/");
    add_field(&w.head, "x", field);
    assert_int_equal(rewrite(&w), -ENOBUFS);
    world_end(&w);
}

static void test_vault_without_secrets_changes_nothing(void **state)
{
    (void)state;
    struct world w = {.vault = vault_of(NULL, 0)};
    w.scope = scope_of(w.vault, "api.example.com");
    head_of(&w.head, "GET", "api.example.com", "/?" HOLDER);
    add_field(&w.head, "x", "$LUNETTE_ and a text that is longer than what the filter looks at");
    add_basic(&w, "a:b");
    assert_int_equal(rewrite(&w), 0);
    assert_string_equal(w.head.path.at, "/?" HOLDER);
    assert_basic(&w, "a:b");
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholder_in_a_field_becomes_the_value),
        cmocka_unit_test(test_placeholder_in_basic_credentials_becomes_the_value),
        cmocka_unit_test(test_basic_credentials_without_padding_are_read_too),
        cmocka_unit_test(test_placeholder_in_the_query_becomes_the_encoded_value),
        cmocka_unit_test(test_space_of_a_placeholder_may_be_a_plus_in_the_query),
        cmocka_unit_test(test_placeholder_where_inject_does_not_say_so_passes_unchanged),
        cmocka_unit_test(test_method_authority_and_names_of_fields_never_change),
        cmocka_unit_test(test_value_that_holds_placeholders_is_not_searched_again),
        cmocka_unit_test(test_secret_without_value_is_told_and_stays),
        cmocka_unit_test(test_answers_are_asked_for_as_they_are),
        cmocka_unit_test(test_placeholder_for_another_host_is_a_violation_with_its_place),
        cmocka_unit_test(test_placeholder_in_basic_credentials_for_another_host_is_a_violation),
        cmocka_unit_test(test_violation_that_may_pass_leaves_the_placeholder),
        cmocka_unit_test(test_nothing_is_put_in_where_another_secret_violates),
        cmocka_unit_test(test_vault_without_secrets_changes_nothing),
        cmocka_unit_test(test_head_that_grows_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
