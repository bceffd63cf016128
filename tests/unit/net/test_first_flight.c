/* First flights: which name they show, and what looking at them costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "net/first_flight.h"

enum { MOST = 65536 + 5 * 65536 };

struct found {
    enum first_flight what;
    char name[LN_NAME_MAX + 1];
    bool is_host, is_tls;
};

static struct found look(const void *data, size_t len)
{
    struct found found = {.name = ""};
    struct first_flight_view view = {0};
    found.what = first_flight_look(&view, data, len, found.name, &found.is_host);
    found.is_tls = view.is_tls;
    return found;
}

/* A ClientHello with this name, in one record. */
static size_t hello(uint8_t *dst, const char *name)
{
    size_t len = strlen(name);
    size_t body = 34 + 1 + 4 + 2 + 2 + 4 + 5 + len;
    memset(dst, 0, 9 + body);
    memcpy(dst, "\x16\3\1", 3);
    put_be16(dst + 3, (uint16_t)(4 + body));
    dst[5] = 1;
    put_be16(dst + 7, (uint16_t)body);
    uint8_t *p = dst + 9 + 34 + 1; /* behind an empty session id */
    put_be16(p, 2);
    p[4] = 1;
    put_be16(p + 6, (uint16_t)(9 + len));
    put_be16(p + 10, (uint16_t)(5 + len));
    put_be16(p + 12, (uint16_t)(3 + len));
    put_be16(p + 15, (uint16_t)len);
    memcpy(p + 17, name, len);
    return 9 + body;
}

static void test_names_become_canonical(void **state)
{
    (void)state;
    uint8_t data[512];
    struct found found = look(data, hello(data, "WWW.Example.COM."));
    assert_int_equal(found.what, FIRST_FLIGHT_NAMED);
    assert_string_equal(found.name, "www.example.com");
    assert_true(found.is_tls && !found.is_host);
    static const char head[] = "GET / HTTP/1.1\r\nHost: WWW.Example.COM:80\r\n\r\n";
    found = look(head, sizeof(head) - 1);
    assert_int_equal(found.what, FIRST_FLIGHT_NAMED);
    assert_string_equal(found.name, "www.example.com");
    assert_true(found.is_host && !found.is_tls);
}

static void test_addresses_are_no_names(void **state)
{
    (void)state;
    uint8_t data[512];
    static const char *const addrs[] = {"192.0.2.1", "2001:db8::1"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(look(data, hello(data, addrs[i])).what, FIRST_FLIGHT_UNNAMED);
    }
}

static void test_names_that_are_none_are_bad(void **state)
{
    (void)state;
    uint8_t data[512];
    static const char *const names[] = {
        "a..b",          "a b", ".", "a/b", "a\xff", "*.example.com", "a.example.com,b.example.com",
        "ev%69l.example"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char head[128];
        assert_int_equal(look(data, hello(data, names[i])).what, FIRST_FLIGHT_BAD);
        snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", names[i]);
        assert_int_equal(look(head, strlen(head)).what, FIRST_FLIGHT_BAD);
    }
}

static void test_first_byte_tells_the_limits(void **state)
{
    (void)state;
    assert_true(look("\x16", 1).is_tls);
    assert_int_equal(look("\x16", 1).what, FIRST_FLIGHT_PARTIAL);
    assert_false(look("\x16\2", 2).is_tls);
    assert_int_equal(look("\x16\2", 2).what, FIRST_FLIGHT_UNNAMED);
    assert_false(look("G", 1).is_tls);
    assert_int_equal(look("G", 1).what, FIRST_FLIGHT_PARTIAL);
    assert_int_equal(look("", 0).what, FIRST_FLIGHT_PARTIAL);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Feeds all of it byte by byte. Returns the CPU seconds. */
static double feed(const uint8_t *data, size_t len, enum first_flight want)
{
    char name[LN_NAME_MAX + 1];
    bool is_host;
    struct first_flight_view view = {0};
    double start = seconds();
    for (size_t i = 1; i < len; i++) {
        assert_int_equal(first_flight_look(&view, data, i, name, &is_host), FIRST_FLIGHT_PARTIAL);
    }
    assert_int_equal(first_flight_look(&view, data, len, name, &is_host), want);
    return seconds() - start;
}

/* What a client can make us do with one connection. Were every byte read again for each that comes,
 * each of these would take seconds. */
static void test_byte_by_byte_costs_no_more_than_the_bytes(void **state)
{
    (void)state;
    static uint8_t data[MOST];
    /* A hello of 64 KiB in records of one byte. */
    for (size_t i = 0; i < 65536; i++) {
        memcpy(data + 6 * i, "\x16\3\3\0\1", 6);
    }
    data[5] = 1;
    data[6 * 1 + 5] = 0;
    data[6 * 2 + 5] = 0xff; /* the length of the message … */
    data[6 * 3 + 5] = 0xfc;
    data[6 * 39 + 5] = 0xff; /* … and of its cipher suites: all the rest */
    data[6 * 40 + 5] = 0xd4;
    double hello_s = feed(data, MOST - 6, FIRST_FLIGHT_PARTIAL);
    /* A head of 16 KiB: one line, then many. */
    memset(data, 'a', 16384);
    memcpy(data, "GET / HTTP/1.1\r\nX: ", 19);
    double line_s = feed(data, 16384, FIRST_FLIGHT_PARTIAL);
    for (size_t i = 16; i + 4 < 16384; i += 4) {
        memcpy(data + i, "X:\r\n", 4);
    }
    double lines_s = feed(data, 16380, FIRST_FLIGHT_PARTIAL);
    print_message("64 KiB hello in 65536 records: %.1f ms; 16 KiB line: %.1f ms; lines: %.1f ms\n",
                  hello_s * 1e3, line_s * 1e3, lines_s * 1e3);
    assert_true(hello_s < 0.5 && line_s < 0.5 && lines_s < 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_become_canonical),
        cmocka_unit_test(test_addresses_are_no_names),
        cmocka_unit_test(test_names_that_are_none_are_bad),
        cmocka_unit_test(test_first_byte_tells_the_limits),
        cmocka_unit_test(test_byte_by_byte_costs_no_more_than_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
