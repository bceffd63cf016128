/* Heads and the grammar of their parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/message.h"

#define SET(fn, head, text) fn(head, text, sizeof(text) - 1)

static void test_fields_keep_their_order(void **state)
{
    (void)state;
    struct http_head head;
    http_head_init(&head);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++) {
        char value[8];
        int len = snprintf(value, sizeof(value), "%d", i);
        assert_int_equal(http_head_add(&head, i % 3 == 0 ? "A" : "b", 1, value, (size_t)len), 0);
    }
    assert_true(http_head_add(&head, "C", 1, "", 0) < 0);
    struct http_field *field = http_head_find(&head, "B");
    assert_string_equal(field->value.at, "1");
    field = http_head_next(&head, field, "B");
    assert_string_equal(field->value.at, "2");
    assert_int_equal(http_head_remove(&head, "a"), 86);
    assert_null(http_head_find(&head, "A"));
    assert_int_equal(head.n_fields, HTTP_FIELDS_MAX - 86);
    assert_string_equal(head.fields[head.n_fields - 1].value.at, "254");
    assert_int_equal(http_head_remove(&head, "nothing"), 0);
    http_head_free(&head);
    assert_int_equal(head.n_fields, 0);
}

static void test_nothing_that_is_set_can_break_a_line(void **state)
{
    (void)state;
    static const char *const values[] = {"a\rb", "a\nb", "a\r\nX: y", "\1",
                                         "\177", " a",   "a ",        "\ta"};
    struct http_head head;
    http_head_init(&head);
    assert_int_equal(http_head_add(&head, "X", 1, "1", 1), 0);
    struct http_field *field = http_head_find(&head, "x");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        size_t len = strlen(values[i]);
        assert_true(http_head_add(&head, "Y", 1, values[i], len) < 0);
        assert_true(http_head_set_value(&head, field, values[i], len) < 0);
    }
    assert_true(http_head_set_value(&head, field, "a\0b", 3) < 0);
    assert_true(http_head_add(&head, "", 0, "x", 1) < 0);
    assert_true(http_head_add(&head, "a b", 3, "x", 1) < 0);
    assert_true(http_head_add(&head, "a:", 2, "x", 1) < 0);
    assert_true(SET(http_head_set_method, &head, "GET ") < 0);
    assert_true(SET(http_head_set_method, &head, "get") < 0);
    assert_true(SET(http_head_set_path, &head, "/a b") < 0);
    assert_true(SET(http_head_set_path, &head, "a") < 0);
    assert_true(SET(http_head_set_path, &head, "/\r\n") < 0);
    assert_true(SET(http_head_set_authority, &head, "a/b") < 0);
    assert_true(SET(http_head_set_scheme, &head, "ftp") < 0);
    assert_int_equal(head.n_fields, 1);
    assert_string_equal(field->value.at, "1");
    assert_string_equal(head.path.at, "");
    assert_int_equal(SET(http_head_set_path, &head, "/a?b=\\"), 0);
    assert_string_equal(head.path.at, "/a?b=\\");
    assert_int_equal(SET(http_head_set_method, &head, "PROPFIND"), 0);
    assert_int_equal(SET(http_head_set_authority, &head, "a.example:8"), 0);
    assert_int_equal(SET(http_head_set_scheme, &head, "https"), 0);
    assert_int_equal(http_head_set_value(&head, field, "", 0), 0);
    http_head_free(&head);
}

/* A filter that replaces again and again comes to the cap, not to the end of the memory. */
static void test_text_is_capped(void **state)
{
    (void)state;
    static char value[10000];
    struct http_head head;
    http_head_init(&head);
    assert_int_equal(http_head_add(&head, "X", 1, "1", 1), 0);
    memset(value, 'a', sizeof(value));
    struct http_field *field = http_head_find(&head, "X");
    int n = 0;
    while (http_head_set_value(&head, field, value, sizeof(value)) == 0) {
        assert_in_range(++n, 1, HTTP_HEAD_TEXT_MAX / sizeof(value));
    }
    assert_int_equal(field->value.len, sizeof(value));
    http_head_free(&head);
}

static void test_authorities(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
        uint16_t port;
    } good[] = {
        {"a.example", "a.example", 0},
        {"A.Example.:8443", "a.example", 8443},
        {"xn--bcher-kva.example:", "xn--bcher-kva.example", 0},
        {"localhost", "localhost", 0},
        {"a_b.example:65535", "a_b.example", 65535},
        {"192.0.2.1:00080", "", 80},
        {"[2001:db8::1]:443", "", 443},
        {"[::ffff:192.0.2.1]", "", 0},
    };
    struct http_host host;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(http_authority_parse(good[i].text, strlen(good[i].text), &host), 0);
        assert_string_equal(host.name, good[i].name);
        assert_int_equal(host.port, good[i].port);
        assert_int_equal(host.is_address, good[i].name[0] == '\0');
    }
    assert_true(ln_addr_is_v4(&host.address)); /* the mapped form is the address */
    static const char *const bad[] = {
        "",
        ":80",
        "a.example:0",
        "a.example:65536",
        "a.example:000080",
        "a:b",
        "a@b",
        "[a.example]",
        "[192.0.2.1]",
        "[::1",
        "[::1]8",
        "::1",
        "a..b",
        "a b",
        "a/",
        "a?",
        "a#",
        "%61",
        "b\303\274cher",
        "[::1%25lo]",
        "a,b",
        "a.b\177",
        "a.example:+1",
        "a.example: 1",
        "http://a",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (http_authority_parse(bad[i], strlen(bad[i]), &host) == 0) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void test_classes_of_bytes(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        char path[2] = {'/', (char)c};
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool token = letter || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        assert_int_equal(http_is_token(&byte, 1), token);
        assert_int_equal(http_path_valid(path, 2), c > ' ' && c < 0x7f && c != '#' && c != '\\');
        assert_int_equal(http_value_valid(&byte, 1), (c > ' ' && c < 0x7f) || c >= 0x80);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_keep_their_order),
        cmocka_unit_test(test_nothing_that_is_set_can_break_a_line),
        cmocka_unit_test(test_text_is_capped),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_classes_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
