/* Canonical names, stable names, and rules on one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "lunette/policy.h"

static void assert_canonical(const char *text, const char *expected)
{
    char name[LN_NAME_MAX + 1];
    const char *why = NULL;
    int len = ln_name_canonical(text, strlen(text), name, &why);
    if (len < 0) {
        fail_msg("%s: %s", text, why);
    }
    assert_string_equal(name, expected);
    assert_int_equal(len, strlen(expected));
}

static void assert_refused(const char *text, size_t len, const char *expected_why)
{
    char name[LN_NAME_MAX + 1] = "untouched";
    const char *why = NULL;
    assert_int_equal(ln_name_canonical(text, len, name, &why), -EINVAL);
    assert_string_equal(why, expected_why);
    assert_string_equal(name, "untouched");
    assert_int_equal(ln_name_canonical(text, len, name, NULL), -EINVAL);
}

static void test_names_are_lower_case_without_the_last_dot(void **state)
{
    (void)state;
    assert_canonical("Example.COM", "example.com");
    assert_canonical("example.com.", "example.com");
    assert_canonical("db", "db");
    assert_canonical("_sip._tcp.example.com", "_sip._tcp.example.com");
    assert_canonical("a-b.1.x9", "a-b.1.x9");
    assert_canonical("XN--BCHER-KVA.example", "xn--bcher-kva.example");
}

static void test_international_names_become_a_labels(void **state)
{
    (void)state;
    assert_canonical("b\xc3\xbc"
                     "cher.example",
                     "xn--bcher-kva.example");
    assert_canonical("B\xc3\x9c"
                     "CHER.Example.",
                     "xn--bcher-kva.example");
    assert_canonical("bu\xcc\x88"
                     "cher.example",
                     "xn--bcher-kva.example");          /* decomposed */
    assert_canonical("fa\xc3\x9f.de", "xn--fa-hia.de"); /* not transitional */
    assert_canonical("\xe4\xbe\x8b\xe3\x81\x88\xe3\x80\x82\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
                     "xn--r8jz45g.xn--zckzah"); /* an ideographic full stop */
    assert_canonical("_srv.b\xc3\xbc"
                     "cher.example",
                     "_srv.xn--bcher-kva.example");
    assert_canonical("\xef\xbd\x81.example", "a.example"); /* fullwidth */
}

static void test_names_that_no_host_can_have_are_refused(void **state)
{
    (void)state;
    static const char *const bytes = "it has a character that no host name can hold";
    static const char *const label = "it has an empty label";
    assert_refused("", 0, "it is empty");
    assert_refused(".", 1, "it is empty");
    assert_refused("..", 2, label);
    assert_refused("a..b", 4, label);
    assert_refused(".a", 2, label);
    assert_refused("a..", 3, label);
    assert_refused("a b", 3, bytes);
    assert_refused("a\0b", 3, bytes);
    assert_refused("a.b\0", 4, bytes);
    assert_refused("\xc3\xbc\0.b", 5, bytes);
    assert_refused("*.example.com", 13, bytes);
    assert_refused("a/b", 3, bytes);
    assert_refused("a:1", 3, bytes);
    assert_refused("a\nb", 3, bytes);
    assert_refused("[::1]", 5, bytes);
    assert_refused("a\xff.example", 10, "it is no internationalized name (UTS 46)");
    assert_refused("a\xe2\x84\x80.example", 12, bytes); /* U+2100 maps to a/c */
    assert_refused("xn--\xc3\xbc.example", 14, "it is no internationalized name (UTS 46)");
}

static void test_lengths_are_those_of_rfc_1035(void **state)
{
    (void)state;
    char text[300];
    char name[LN_NAME_MAX + 1];
    memset(text, 'a', sizeof(text));
    assert_int_equal(ln_name_canonical(text, 63, name, NULL), 63);
    assert_refused(text, 64, "it has a label longer than 63 bytes");
    for (size_t i = 63; i < sizeof(text); i += 64) {
        text[i] = '.';
    }
    assert_int_equal(ln_name_canonical(text, 253, name, NULL), 253);
    assert_refused(text, 254, "it is longer than 253 bytes");
    text[253] = '.';
    assert_int_equal(ln_name_canonical(text, 254, name, NULL), 253);
    char wide[2000];
    for (size_t i = 0; i < sizeof(wide); i += 2) {
        memcpy(wide + i, "\xc3\xbc", 2);
    }
    assert_refused(wide, sizeof(wide), "it is longer than 253 bytes");
    assert_refused(wide, 200, "it is no internationalized name (UTS 46)");
}

static void test_stable_names(void **state)
{
    (void)state;
    assert_string_equal(ln_action_name(LN_DENY), "deny");
    assert_string_equal(ln_action_name(LN_DEFER), "defer");
    assert_string_equal(ln_direction_name(LN_INGRESS), "ingress");
    assert_string_equal(ln_protocol_name(LN_ICMPV6), "icmpv6");
    assert_string_equal(ln_group_name(LN_GROUP_LINK_LOCAL), "link-local");
    assert_string_equal(ln_group_name(LN_GROUP_PUBLIC), "public");
    assert_string_equal(ln_reason_name(LN_REASON_NEVER), "never");
    assert_string_equal(ln_reason_name(LN_REASON_REBIND), "rebind");
    assert_string_equal(ln_miss_name(LN_MISS_WHEN), "when");
    assert_string_equal(ln_action_name((ln_action)99), "unknown");
}

static void assert_format(const ln_rule *rule, const char *expected)
{
    char line[256];
    assert_int_equal(ln_rule_format(rule, line, sizeof(line)), strlen(expected));
    assert_string_equal(line, expected);
}

static void test_rules_fit_on_one_line(void **state)
{
    (void)state;
    ln_port_range ports[] = {{53, 53}, {8000, 9000}};
    ln_rule rule = {.action = LN_ALLOW,
                    .directions = LN_DIRECTION_BIT(LN_EGRESS),
                    .protocols = LN_PROTOCOLS_ALL,
                    .destination = {.kind = LN_DEST_GROUP, .group = LN_GROUP_PUBLIC}};
    assert_format(&rule, "allow@public");
    rule.protocols = LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP);
    assert_format(&rule, "allow@public:tcp,udp");
    rule.ports = ports;
    rule.n_ports = 2;
    assert_format(&rule, "allow@public:tcp,udp:53,8000-9000");
    rule.protocols = LN_PROTOCOLS_ALL;
    assert_format(&rule, "allow@public:*:53,8000-9000");
    rule.n_ports = 1;
    rule.protocols = LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP);
    rule.destination.group = LN_GROUP_HOST;
    assert_format(&rule, "allow@dns");
    rule.action = LN_DENY;
    rule.directions = LN_DIRECTION_BIT(LN_INGRESS);
    rule.n_ports = 0;
    rule.protocols = LN_PROTOCOLS_ALL;
    rule.destination = (ln_destination){.kind = LN_DEST_PREFIX,
                                        .prefix = {.addr = ln_addr_v4(0x0a000000), .bits = 104}};
    assert_format(&rule, "deny:ingress@10.0.0.0/8");
    rule.destination.prefix.bits = 128;
    rule.action = LN_REJECT;
    rule.directions |= LN_DIRECTION_BIT(LN_EGRESS);
    assert_format(&rule, "reject:any@10.0.0.0");
}

static void test_every_kind_of_destination_has_a_form(void **state)
{
    (void)state;
    static const struct {
        ln_destination destination;
        const char *line;
    } forms[] = {
        {{.kind = LN_DEST_ANY}, "allow@*"},
        {{.kind = LN_DEST_DOMAIN, .name = "example.com"}, "allow@example.com"},
        {{.kind = LN_DEST_DOMAIN, .name = "public"}, "allow@domain(public)"},
        {{.kind = LN_DEST_SUFFIX, .name = "example.com"}, "allow@.example.com"},
        {{.kind = LN_DEST_COUNTRY, .name = "DE"}, "allow@country(DE)"},
        {{.kind = LN_DEST_CONTINENT, .name = "EU"}, "allow@continent(EU)"},
        {{.kind = LN_DEST_ASN, .asn = 13335}, "allow@asn(13335)"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        ln_rule rule = {.action = LN_ALLOW,
                        .directions = LN_DIRECTION_BIT(LN_EGRESS),
                        .protocols = LN_PROTOCOLS_ALL,
                        .destination = forms[i].destination};
        assert_format(&rule, forms[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_lower_case_without_the_last_dot),
        cmocka_unit_test(test_international_names_become_a_labels),
        cmocka_unit_test(test_names_that_no_host_can_have_are_refused),
        cmocka_unit_test(test_lengths_are_those_of_rfc_1035),
        cmocka_unit_test(test_stable_names),
        cmocka_unit_test(test_rules_fit_on_one_line),
        cmocka_unit_test(test_every_kind_of_destination_has_a_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
