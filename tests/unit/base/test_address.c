/* Addresses and prefixes: strict parsing, RFC 5952 text, containment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "lunette/address.h"

static ln_addr parse(const char *text)
{
    ln_addr addr;
    assert_int_equal(ln_addr_parse(text, strlen(text), &addr), 0);
    return addr;
}

static void assert_canonical(const char *text, const char *expected)
{
    ln_addr addr = parse(text);
    char formatted[LN_ADDR_TEXT_MAX];
    size_t len = ln_addr_format(&addr, formatted);
    assert_string_equal(formatted, expected);
    assert_int_equal(len, strlen(expected));
}

static void test_ipv4_is_held_in_mapped_form(void **state)
{
    (void)state;
    ln_addr dotted = parse("192.0.2.1");
    ln_addr mapped = parse("::ffff:192.0.2.1");
    ln_addr hex = parse("::ffff:c000:201");
    ln_addr number = ln_addr_v4(0xc0000201);
    assert_true(ln_addr_equal(&dotted, &mapped));
    assert_true(ln_addr_equal(&dotted, &hex));
    assert_true(ln_addr_equal(&dotted, &number));
    assert_true(ln_addr_is_v4(&dotted));
    assert_int_equal(ln_addr_to_v4(&dotted), 0xc0000201);
    ln_addr compatible = parse("::192.0.2.1");
    assert_false(ln_addr_is_v4(&compatible));
}

static void test_text_is_that_of_rfc_5952(void **state)
{
    (void)state;
    assert_canonical("192.0.2.1", "192.0.2.1");
    assert_canonical("::ffff:192.0.2.1", "192.0.2.1");
    assert_canonical("2001:DB8::1", "2001:db8::1");
    assert_canonical("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1");
    assert_canonical("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"); /* section 4.2.2 */
    assert_canonical("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");          /* section 4.2.3 */
    assert_canonical("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
    assert_canonical("0:0:0:0:0:0:0:0", "::");
    assert_canonical("::1", "::1");
    assert_canonical("1::", "1::");
    assert_canonical("1:0:0:2::", "1:0:0:2::");
    assert_canonical("::102:304", "::102:304");
    assert_canonical("0:1:2:3:4:5:6:0", "0:1:2:3:4:5:6:0");
    assert_canonical("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "0x1.2.3.4",
        "1.2.3.-4",
        "1..2.3",
        "1.2.3.4/8",
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "g::",
        "[::1]",
        "fe80::1%eth0",
        "::1.2.3",
        "::1.2.3.4.5",
        "1:2:3:4:5:6:7:8::",
        "16909060",
        "localhost",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ln_addr addr = ln_addr_v4(7);
        assert_int_equal(ln_addr_parse(bad[i], strlen(bad[i]), &addr), -EINVAL);
        assert_int_equal(ln_addr_to_v4(&addr), 7); /* written only on success */
    }
    ln_addr addr;
    assert_int_equal(ln_addr_parse("1.2.3.4\0", 8, &addr), -EINVAL);
    assert_int_equal(ln_addr_parse("1.2.3.45", 7, &addr), 0);
    assert_int_equal(ln_addr_to_v4(&addr), 0x01020304);
}

static void test_addresses_are_ordered_bytewise(void **state)
{
    (void)state;
    ln_addr a = parse("10.0.0.1");
    ln_addr b = parse("10.0.0.2");
    ln_addr c = parse("2001:db8::1");
    assert_true(ln_addr_compare(&a, &b) < 0);
    assert_true(ln_addr_compare(&c, &b) > 0);
    assert_int_equal(ln_addr_compare(&a, &a), 0);
}

static void assert_prefix(const char *text, int expected, const char *canonical)
{
    ln_prefix prefix = {.bits = 77};
    assert_int_equal(ln_prefix_parse(text, strlen(text), &prefix), expected);
    if (expected == -EINVAL) {
        assert_int_equal(prefix.bits, 77);
        return;
    }
    char formatted[LN_PREFIX_TEXT_MAX];
    assert_int_equal(ln_prefix_format(&prefix, formatted), strlen(canonical));
    assert_string_equal(formatted, canonical);
}

static void test_prefixes_are_parsed_strictly(void **state)
{
    (void)state;
    assert_prefix("10.0.0.0/8", 0, "10.0.0.0/8");
    assert_prefix("0.0.0.0/0", 0, "0.0.0.0/0");
    assert_prefix("::/0", 0, "::/0");
    assert_prefix("1.2.3.4/32", 0, "1.2.3.4/32");
    assert_prefix("fd00::/8", 0, "fd00::/8");
    assert_prefix("::ffff:10.0.0.0/104", 0, "10.0.0.0/8");
    assert_prefix("2001:db8::1/128", 0, "2001:db8::1/128");
    assert_prefix("10.0.0.1/8", -ERANGE, "10.0.0.0/8");
    assert_prefix("10.0.0.5/30", -ERANGE, "10.0.0.4/30");
    assert_prefix("2001:db8::1/64", -ERANGE, "2001:db8::/64");
    assert_prefix("1.2.3.4/0", -ERANGE, "0.0.0.0/0");
    static const char *const bad[] = {
        "10.0.0.0",     "10.0.0.0/",     "10.0.0.0/33",        "10.0.0.0/08",
        "10.0.0.0/+8",  "10.0.0.0/8 ",   "10.0.0.0/-1",        "10.0.0.0/8/8",
        "/8",           "fd00::/129",    "fd00::/0x8",         "10/8",
        "10.0.0.0/256", "example.com/8", "10.0.0.0/255.0.0.0",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_prefix(bad[i], -EINVAL, NULL);
    }
}

static bool contains(const char *prefix_text, const char *addr_text)
{
    ln_prefix prefix;
    assert_int_equal(ln_prefix_parse(prefix_text, strlen(prefix_text), &prefix), 0);
    ln_addr addr = parse(addr_text);
    return ln_prefix_contains(&prefix, &addr);
}

static void test_a_prefix_holds_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.255.255"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("10.0.0.4/30", "10.0.0.7"));
    assert_false(contains("10.0.0.4/30", "10.0.0.8"));
    assert_true(contains("1.2.3.4/32", "1.2.3.4"));
    assert_false(contains("1.2.3.4/32", "1.2.3.5"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::"));
}

static void test_the_families_are_apart(void **state)
{
    (void)state;
    assert_true(contains("0.0.0.0/0", "1.2.3.4"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("::/0", "2001:db8::1"));
    assert_false(contains("::/0", "1.2.3.4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4_is_held_in_mapped_form),
        cmocka_unit_test(test_text_is_that_of_rfc_5952),
        cmocka_unit_test(test_what_is_no_address_is_refused),
        cmocka_unit_test(test_addresses_are_ordered_bytewise),
        cmocka_unit_test(test_prefixes_are_parsed_strictly),
        cmocka_unit_test(test_a_prefix_holds_its_addresses_and_no_others),
        cmocka_unit_test(test_the_families_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
