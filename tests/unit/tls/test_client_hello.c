/* Views of ClientHellos: whole, in pieces, in records of any size, and malformed in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "tls/naive_hello.h"

/* ---- hellos, put together piece by piece ---- */

struct bytes {
    size_t len;
    uint8_t data[400000];
};

static void add(struct bytes *b, const void *data, size_t len)
{
    assert_true(b->len + len <= sizeof(b->data));
    if (len > 0) {
        memcpy(b->data + b->len, data, len);
    }
    b->len += len;
}

static void add_number(struct bytes *b, uint32_t v, int bytes)
{
    while (bytes-- > 0) {
        uint8_t byte = (uint8_t)(v >> (8 * bytes));
        add(b, &byte, 1);
    }
}

/* Starts a block with a length of `bytes` bytes before it. */
static size_t begin(struct bytes *b, int bytes)
{
    add_number(b, 0, bytes);
    return b->len;
}

static void end(struct bytes *b, size_t start, int bytes)
{
    size_t len = b->len - start;
    for (int i = 0; i < bytes; i++) {
        b->data[start - 1 - (size_t)i] = (uint8_t)(len >> (8 * i));
    }
}

static void add_zeros(struct bytes *b, size_t len)
{
    static const uint8_t zeros[65536];
    add(b, zeros, len);
}

static void add_extension(struct bytes *b, unsigned type, const void *data, size_t len)
{
    add_number(b, type, 2);
    add_number(b, (uint32_t)len, 2);
    add(b, data, len);
}

static void add_server_name(struct bytes *b, const char *name)
{
    size_t len = strlen(name);
    add_number(b, 0, 2);
    size_t extension = begin(b, 2);
    size_t list = begin(b, 2);
    add_number(b, 0, 1);
    add_number(b, (uint32_t)len, 2);
    add(b, name, len);
    end(b, list, 2);
    end(b, extension, 2);
}

struct hello {
    struct bytes extensions;
    size_t session, ciphers;
    bool without_extensions;
};

/* The handshake message. */
static struct bytes message_of(const struct hello *h)
{
    static struct bytes m;
    m.len = 0;
    add_number(&m, 1, 1);
    size_t body = begin(&m, 3);
    add_zeros(&m, 34);
    add_number(&m, (uint32_t)h->session, 1);
    add_zeros(&m, h->session);
    add_number(&m, (uint32_t)h->ciphers, 2);
    add_zeros(&m, h->ciphers);
    add_number(&m, 1, 1);
    add_zeros(&m, 1);
    if (!h->without_extensions) {
        add_number(&m, (uint32_t)h->extensions.len, 2);
        add(&m, h->extensions.data, h->extensions.len);
    }
    end(&m, body, 3);
    return m;
}

static struct bytes records_of(const struct bytes *m, size_t first, size_t rest)
{
    static struct bytes r;
    r.len = 0;
    size_t at = 0;
    while (at < m->len) {
        size_t size = at == 0 ? first : rest;
        size = size < m->len - at ? size : m->len - at;
        add_number(&r, 22, 1);
        add_number(&r, 0x0301, 2);
        add_number(&r, (uint32_t)size, 2);
        add(&r, m->data + at, size);
        at += size;
    }
    return r;
}

static struct hello usual(const char *name)
{
    struct hello h = {.session = 32, .ciphers = 32};
    add_extension(&h.extensions, 0xff01, "", 1);
    if (name != NULL) {
        add_server_name(&h.extensions, name);
    }
    add_extension(&h.extensions, 16, "\0\3\2h2", 5);
    add_extension(&h.extensions, 43, "\4\3\4\3\3", 5);
    return h;
}

/* ---- looking ---- */

/* A copy of the exact size, so that reading past the end is seen. */
static enum client_hello look_on(struct client_hello_view *v, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, data, len);
    enum client_hello found = client_hello_look(v, copy, len);
    free(copy);
    return found;
}

/* Looks at it whole and in pieces, which must agree; and with the naive reader. */
static enum client_hello look(const struct bytes *b, char name[256])
{
    char naive_name[256] = "";
    struct client_hello_view whole = {0};
    struct client_hello_view pieces = {0};
    enum client_hello found = look_on(&whole, b->data, b->len);
    enum client_hello last = CLIENT_HELLO_PARTIAL;
    for (size_t len = 0; len <= b->len && last == CLIENT_HELLO_PARTIAL; len++) {
        last = client_hello_look(&pieces, b->data, len);
    }
    assert_int_equal(last, found);
    assert_string_equal(pieces.name, whole.name);
    enum client_hello naive = naive_hello_look(b->data, b->len, naive_name);
    assert_true(naive_hello_agrees(found, whole.name, naive, naive_name));
    memcpy(name, whole.name, 256);
    return found;
}

static void assert_look(const struct bytes *b, enum client_hello want)
{
    char name[256];
    assert_int_equal(look(b, name), want);
}

static void assert_extensions(const struct hello *h, enum client_hello want)
{
    struct bytes m = message_of(h);
    struct bytes r = records_of(&m, 16384, 16384);
    assert_look(&r, want);
}

/* ---- tests ---- */

static void test_name_is_found(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 16384, 16384);
    char name[256];
    assert_int_equal(look(&r, name), CLIENT_HELLO_NAMED);
    assert_string_equal(name, "www.example.com");
    add(&r, "\x14\3\3\0\1\1 and more", 15); /* what follows is not looked at */
    assert_int_equal(look(&r, name), CLIENT_HELLO_NAMED);
}

static void test_every_cut_is_partial(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 40, 70);
    for (size_t len = 0; len < r.len; len++) {
        struct client_hello_view v = {0};
        assert_int_equal(look_on(&v, r.data, len), CLIENT_HELLO_PARTIAL);
    }
}

static void test_every_split_into_records_shows_the_name(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    struct bytes m = message_of(&h);
    for (size_t first = 1; first < m.len; first++) {
        struct bytes r = records_of(&m, first, 16384);
        char name[256];
        assert_int_equal(look(&r, name), CLIENT_HELLO_NAMED);
        assert_string_equal(name, "www.example.com");
    }
    struct bytes r = records_of(&m, 1, 1);
    char name[256];
    assert_int_equal(look(&r, name), CLIENT_HELLO_NAMED);
    assert_string_equal(name, "www.example.com");
}

static void test_hello_without_a_name_is_unnamed(void **state)
{
    (void)state;
    struct hello h = usual(NULL);
    assert_extensions(&h, CLIENT_HELLO_UNNAMED);
    h.extensions.len = 0;
    assert_extensions(&h, CLIENT_HELLO_UNNAMED);
    h.without_extensions = true;
    assert_extensions(&h, CLIENT_HELLO_UNNAMED);
}

/* Looks at a hello with one ALPN extension, whole and byte for byte. */
static struct client_hello_view offer(const void *list, size_t len)
{
    struct hello h = {.session = 32, .ciphers = 32};
    add_extension(&h.extensions, 16, list, len);
    add_server_name(&h.extensions, "www.example.com");
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 7, 11);
    assert_look(&r, CLIENT_HELLO_NAMED);
    struct client_hello_view v = {0};
    struct client_hello_view pieces = {0};
    assert_int_equal(look_on(&v, r.data, r.len), CLIENT_HELLO_NAMED);
    for (size_t n = 0; n <= r.len; n++) {
        (void)look_on(&pieces, r.data, n);
    }
    assert_int_equal(v.alpn_h2, pieces.alpn_h2);
    assert_int_equal(v.alpn_http11, pieces.alpn_http11);
    assert_int_equal(v.alpn_others, pieces.alpn_others);
    assert_true(v.alpn);
    return v;
}

static void test_protocols_that_are_offered_are_seen(void **state)
{
    (void)state;
    struct client_hello_view v = offer("\0\14\2h2\10http/1.1", 14);
    assert_true(v.alpn_h2 && v.alpn_http11 && !v.alpn_others);
    v = offer("\0\11\10http/1.1", 11);
    assert_true(!v.alpn_h2 && v.alpn_http11 && !v.alpn_others);
    v = offer("\0\10\2h3\4imap", 10);
    assert_true(!v.alpn_h2 && !v.alpn_http11 && v.alpn_others);
    v = offer("\0\14\10http/1.0\2h2", 14);
    assert_true(v.alpn_h2 && !v.alpn_http11 && v.alpn_others);
    struct hello h = {.session = 32, .ciphers = 32};
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 16384, 16384);
    v = (struct client_hello_view){0};
    assert_int_equal(look_on(&v, r.data, r.len), CLIENT_HELLO_UNNAMED);
    assert_false(v.alpn || v.alpn_h2 || v.alpn_http11 || v.alpn_others);
}

static void test_malformed_protocol_lists_are_of_others(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        size_t len;
    } lists[] = {{"", 0},         {"\0", 1},       {"\0\4\2h2", 5},   {"\0\2\2h2", 5},
                 {"\0\3\0h2", 5}, {"\0\3\3h2", 5}, {"\0\3\xffh2", 5}, {"\0\4\2h2\1", 6}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        assert_true(offer(lists[i].list, lists[i].len).alpn_others);
    }
}

static void test_other_first_bytes_are_no_tls(void **state)
{
    (void)state;
    static const char *const others[] = {"GET / HTTP/1.1\r\n", "\x15\3\3\0\2\2\50",
                                         "\x80\x2e\1\0\2", "\x16\2", "SSH-2.0-x\r\n"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct bytes b = {0};
        add(&b, others[i], strlen(others[i]));
        assert_look(&b, CLIENT_HELLO_NOT_TLS);
    }
}

static void test_large_hello_is_read_and_too_large_is_bad(void **state)
{
    (void)state;
    struct hello h = {.session = 32, .ciphers = 32};
    for (int i = 0; i < 3; i++) { /* padding before the name */
        static const uint8_t padding[21000];
        add_extension(&h.extensions, 21, padding, sizeof(padding));
    }
    add_server_name(&h.extensions, "www.example.com");
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 16384, 1);
    char name[256];
    struct client_hello_view v = {0};
    assert_int_equal(client_hello_look(&v, r.data, r.len), CLIENT_HELLO_NAMED);
    r = records_of(&m, 16640, 16640);
    assert_int_equal(look(&r, name), CLIENT_HELLO_NAMED);
    m.data[1] = 1;
    m.data[2] = 0;
    m.data[3] = 1; /* 65537 */
    r = records_of(&m, 16384, 16384);
    assert_look(&r, CLIENT_HELLO_BAD);
}

static void test_longest_name_is_255_bytes(void **state)
{
    (void)state;
    char name[300];
    char found[256];
    memset(name, 'a', sizeof(name));
    name[255] = '\0';
    struct hello h = usual(name);
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 100, 7);
    assert_int_equal(look(&r, found), CLIENT_HELLO_NAMED);
    assert_string_equal(found, name);
    name[255] = 'a';
    name[256] = '\0';
    h = usual(name);
    assert_extensions(&h, CLIENT_HELLO_BAD);
}

static void test_two_names_are_bad(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    add_server_name(&h.extensions, "other.example");
    assert_extensions(&h, CLIENT_HELLO_BAD);
    h = usual(NULL); /* two in one list */
    add_extension(&h.extensions, 0, "\0\10\0\0\1a\0\0\1b", 10);
    assert_extensions(&h, CLIENT_HELLO_BAD);
}

static void test_malformed_server_names_are_bad(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t len;
    } cases[] = {
        {"", 0},               /* as a server would send it */
        {"\0\0", 2},           /* no name */
        {"\0\3\0\0\0", 5},     /* an empty name */
        {"\0\4\1\0\1a", 6},    /* another type */
        {"\0\4\0\0\2a", 6},    /* longer than the list */
        {"\0\5\0\0\1a", 6},    /* list longer than the extension */
        {"\0\3\0\0\1a", 6},    /* … and shorter */
        {"\0\4\0\0\1\0", 6},   /* NUL */
        {"\0\6\0\0\3a\0b", 8}, /* NUL inside */
        {"\0\4\0\0\1a\0", 7},  /* a byte more */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hello h = usual(NULL);
        add_extension(&h.extensions, 0, cases[i].data, cases[i].len);
        assert_extensions(&h, CLIENT_HELLO_BAD);
    }
}

static void test_lengths_that_do_not_add_up_are_bad(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    const struct bytes m = message_of(&h);
    /* Every length of the message, made larger and smaller by one. */
    static const struct {
        size_t at;
        int by;
    } cases[] = {{3, 1},    {3, -1},  {38, 1},   {38, -1}, {72, -1}, {105, 1},
                 {105, -1}, {108, 1}, {108, -1}, {112, 1}, {112, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes wrong = m;
        wrong.data[cases[i].at] = (uint8_t)(wrong.data[cases[i].at] + cases[i].by);
        struct bytes r = records_of(&wrong, 16384, 16384);
        char name[256];
        enum client_hello found = look(&r, name);
        if (found == CLIENT_HELLO_PARTIAL) { /* one byte too long: not once it is there */
            add_zeros(&wrong, 1);
            r = records_of(&wrong, 16384, 16384);
            found = look(&r, name);
        }
        assert_int_equal(found, CLIENT_HELLO_BAD);
    }
}

static void test_other_handshake_messages_are_bad(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    struct bytes m = message_of(&h);
    for (unsigned type = 0; type < 256; type++) {
        m.data[0] = (uint8_t)type;
        struct bytes r = records_of(&m, 16384, 16384);
        assert_look(&r, type == 1 ? CLIENT_HELLO_NAMED : CLIENT_HELLO_BAD);
    }
}

static void test_other_records_between_are_bad(void **state)
{
    (void)state;
    struct hello h = usual("www.example.com");
    struct bytes m = message_of(&h);
    static const char *const between[] = {"\x14\3\3\0\1\1", "\x15\3\3\0\2\1\0", "\x17\3\3\0\1a",
                                          "\x16\2\3\0\1a"};
    for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++) {
        struct bytes r = records_of(&m, 50, 16384);
        struct bytes mixed = {0};
        add(&mixed, r.data, 55);
        add(&mixed, between[i], 6);
        add(&mixed, r.data + 55, r.len - 55);
        assert_look(&mixed, CLIENT_HELLO_BAD);
    }
}

static void test_empty_or_oversized_records_are_bad(void **state)
{
    (void)state;
    struct bytes b = {0};
    add(&b, "\x16\3\1\0\0", 5);
    assert_look(&b, CLIENT_HELLO_BAD);
    b.len = 0;
    add(&b, "\x16\3\1\x41\1", 5); /* 16641 */
    assert_look(&b, CLIENT_HELLO_BAD);
    b.len = 0;
    add(&b, "\x16\3\1\x41\0\1", 6); /* 16640 */
    assert_look(&b, CLIENT_HELLO_PARTIAL);
}

/* Every byte of a hello, changed to every value: agrees with the naive reader. */
static void test_every_change_of_a_byte_agrees_with_the_naive_reader(void **state)
{
    (void)state;
    struct hello h = {.session = 3, .ciphers = 2};
    add_server_name(&h.extensions, "ab");
    add_extension(&h.extensions, 16, "x", 1);
    struct bytes m = message_of(&h);
    struct bytes r = records_of(&m, 20, 60);
    for (size_t i = 0; i < r.len; i++) {
        uint8_t right = r.data[i];
        for (unsigned v = 0; v < 256; v++) {
            char name[256];
            r.data[i] = (uint8_t)v;
            (void)look(&r, name);
        }
        r.data[i] = right;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_is_found),
        cmocka_unit_test(test_every_cut_is_partial),
        cmocka_unit_test(test_every_split_into_records_shows_the_name),
        cmocka_unit_test(test_hello_without_a_name_is_unnamed),
        cmocka_unit_test(test_protocols_that_are_offered_are_seen),
        cmocka_unit_test(test_malformed_protocol_lists_are_of_others),
        cmocka_unit_test(test_other_first_bytes_are_no_tls),
        cmocka_unit_test(test_large_hello_is_read_and_too_large_is_bad),
        cmocka_unit_test(test_longest_name_is_255_bytes),
        cmocka_unit_test(test_two_names_are_bad),
        cmocka_unit_test(test_malformed_server_names_are_bad),
        cmocka_unit_test(test_lengths_that_do_not_add_up_are_bad),
        cmocka_unit_test(test_other_handshake_messages_are_bad),
        cmocka_unit_test(test_other_records_between_are_bad),
        cmocka_unit_test(test_empty_or_oversized_records_are_bad),
        cmocka_unit_test(test_every_change_of_a_byte_agrees_with_the_naive_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
