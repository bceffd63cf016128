/* DNS cookies: what is written, what counts as right, and what is taken of it. */
#include "dns/cookie.h"
#include "dns/wire.h"

static const struct dns_cookie known = {
    .client = "clientco", .server = "server part", .server_len = 11};

static void test_query_with_a_cookie_is_a_query(void **state)
{
    (void)state;
    struct wire asked = wire_query(1, "www.example.com", DNS_TYPE_A);
    uint8_t msg[DNS_SMALL_MAX + DNS_COOKIE_OPTION_MAX];
    struct dns_query query, again;
    assert_int_equal(dns_query_parse(asked.data, asked.len, &query), 0);
    size_t len = dns_query_write(&query, 7, msg);
    size_t with = dns_cookie_write(&known, msg, len);
    assert_int_equal(with, len + 4 + DNS_COOKIE_CLIENT_LEN + 11);
    assert_int_equal(dns_query_parse(msg, with, &again), 0);
    assert_true(again.edns);
    assert_memory_equal(msg + len + 4, "clientcoserver part", 19);
}

/* A response with an OPT that holds `options`. */
static enum dns_cookie_state look(struct dns_cookie *cookie, uint32_t ttl, const char *options,
                                  size_t len, bool *ret_bad)
{
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 60, "192.0.2.1");
    wire_opt(&w, DNS_UDP_SIZE, ttl, options, len);
    put_be16(w.data + 2, (uint16_t)(get_be16(w.data + 2) | 7)); /* of BADCOOKIE, 0x17 */
    *cookie = known;
    *ret_bad = false;
    return dns_cookie_read(cookie, w.data, w.len, ret_bad);
}

#define LOOK(ttl, options) look(&cookie, ttl, options, sizeof(options) - 1, &bad)

static void test_cookie_that_is_right_brings_the_servers_part(void **state)
{
    (void)state;
    struct dns_cookie cookie;
    bool bad;
    assert_int_equal(LOOK(0, "\0\x05\0\1x\0\x0a\0\x10"
                             "clientco12345678"),
                     DNS_COOKIE_RIGHT);
    assert_int_equal(cookie.server_len, 8);
    assert_memory_equal(cookie.server, "12345678", 8);
    assert_false(bad);
    assert_int_equal(LOOK(1u << 24, "\0\x0a\0\x10"
                                    "clientco12345678"),
                     DNS_COOKIE_RIGHT);
    assert_true(bad);
}

static void test_cookie_that_is_wrong_brings_nothing(void **state)
{
    (void)state;
    struct dns_cookie cookie;
    bool bad;
    enum dns_cookie_state states[] = {
        LOOK(0, "\0\x0a\0\x10"
                "clientcO12345678"),
        LOOK(0, "\0\x0a\0\x08"
                "clientco"), /* no server's part */
        LOOK(0, "\0\x0a\0\x0f"
                "clientco1234567"), /* too short a one */
        LOOK(0, "\0\x0a\0\x29"
                "clientco123456789012345678901234567890123"),
        LOOK(0, "\0\x0a\0\x04"
                "clie"),
        LOOK(0, "\0\x0a\0\x11"
                "clientco12345678"), /* cut */
        LOOK(0, "\0\x0a\0\x10"
                "clientco12345678\0\x0a\0\x10"
                "clientco12345678"),
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        assert_int_equal(states[i], DNS_COOKIE_WRONG);
    }
    assert_memory_equal(&cookie, &known, sizeof(known));
}

static void test_response_may_have_no_cookie(void **state)
{
    (void)state;
    struct dns_cookie cookie = known;
    bool bad;
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    assert_int_equal(dns_cookie_read(&cookie, w.data, w.len, &bad), DNS_COOKIE_NONE);
    assert_int_equal(LOOK(0, ""), DNS_COOKIE_NONE);
    assert_int_equal(LOOK(0, "\0\x05\0\1x"), DNS_COOKIE_NONE);
    assert_memory_equal(&cookie, &known, sizeof(known));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_with_a_cookie_is_a_query),
        cmocka_unit_test(test_cookie_that_is_right_brings_the_servers_part),
        cmocka_unit_test(test_cookie_that_is_wrong_brings_nothing),
        cmocka_unit_test(test_response_may_have_no_cookie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
