/* Groups of addresses, and those that no policy can open. */
#include "policy/fixture.h"

#include "policy/groups.h"

static void assert_group(ln_group group, const char *const *addrs)
{
    for (size_t i = 0; addrs[i] != NULL; i++) {
        ln_addr addr = addr_of(addrs[i]);
        if (ln_addr_group(&addr, NULL) != group) {
            fail_msg("%s is %s, not %s", addrs[i], ln_group_name(ln_addr_group(&addr, NULL)),
                     ln_group_name(group));
        }
    }
}

#define ASSERT_GROUP(group, ...) assert_group(group, (const char *const[]){__VA_ARGS__, NULL})

static void test_ranges_are_in_their_groups_from_first_to_last_address(void **state)
{
    (void)state;
    ASSERT_GROUP(LN_GROUP_PRIVATE, "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255",
                 "192.168.0.0", "192.168.255.255", "100.64.0.0", "100.127.255.255",
                 "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    ASSERT_GROUP(LN_GROUP_LOOPBACK, "127.0.0.0", "127.255.255.255", "::1");
    ASSERT_GROUP(LN_GROUP_LINK_LOCAL, "169.254.0.0", "169.254.255.255",
                 "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    ASSERT_GROUP(LN_GROUP_MULTICAST, "224.0.0.0", "239.255.255.255",
                 "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_neighbours_of_ranges_are_public(void **state)
{
    (void)state;
    ASSERT_GROUP(LN_GROUP_PUBLIC, "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0",
                 "192.167.255.255", "192.169.0.0", "100.63.255.255", "100.128.0.0",
                 "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
                 "223.255.255.255", "240.0.0.0", "::2",
                 "fbff:ffff::", "fe00::", "fe7f:ffff::", "fec0::", "feff:ffff::");
}

static void test_documentation_ranges_are_public(void **state)
{
    (void)state;
    ASSERT_GROUP(LN_GROUP_PUBLIC, "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1");
}

static void test_metadata_precedes_the_ranges_around_it(void **state)
{
    (void)state;
    ASSERT_GROUP(LN_GROUP_METADATA, "169.254.169.254", "169.254.170.2", "100.100.100.200",
                 "fd00:ec2::254");
    ASSERT_GROUP(LN_GROUP_LINK_LOCAL, "169.254.169.253", "169.254.169.255", "169.254.170.1",
                 "169.254.170.3");
    ASSERT_GROUP(LN_GROUP_PRIVATE, "100.100.100.199", "100.100.100.201", "fd00:ec2::253",
                 "fd00:ec2::255", "fd00:ec2:0:1::254");
}

static void test_a_mapped_address_is_the_ipv4_address(void **state)
{
    (void)state;
    ASSERT_GROUP(LN_GROUP_PRIVATE, "::ffff:10.0.0.1");
    ASSERT_GROUP(LN_GROUP_METADATA, "::ffff:169.254.169.254");
    ASSERT_GROUP(LN_GROUP_PUBLIC, "::ffff:8.8.8.8");
}

static void test_an_address_that_embeds_an_ipv4_address_is_in_its_group(void **state)
{
    (void)state;
    ASSERT_GROUP(LN_GROUP_PRIVATE, "64:ff9b::10.0.0.1", "2002:a00:1::", "2002:c0a8:1:2:3:4:5:6",
                 "::10.0.0.1");
    ASSERT_GROUP(LN_GROUP_METADATA, "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
                 "::169.254.169.254");
    ASSERT_GROUP(LN_GROUP_LOOPBACK, "64:ff9b::127.0.0.1", "2002:7f00:1::", "::127.0.0.1");
    ASSERT_GROUP(LN_GROUP_MULTICAST, "64:ff9b::224.0.0.1");
    ASSERT_GROUP(LN_GROUP_PUBLIC, "64:ff9b::8.8.8.8", "2002:808:808::", "::8.8.8.8",
                 "64:ff9b:0:0:1::10.0.0.1", "64:ff9b:1::10.0.0.1",
                 "2003:a00:1::", "0:0:0:1::10.0.0.1");
}

static void test_host_precedes_every_group_and_is_found_embedded(void **state)
{
    (void)state;
    ln_addr addrs[] = {addr_of("10.0.0.1"), addr_of("169.254.169.254"), addr_of("2001:db8::1"),
                       addr_of("203.0.113.9"), addr_of("2002:808:808::1")};
    ln_host_addrs host = {.addrs = addrs, .n_addrs = 5};
    const char *inside[] = {"10.0.0.1",         "169.254.169.254", "2001:db8::1",
                            "203.0.113.9",      "::10.0.0.1",      "64:ff9b::203.0.113.9",
                            "2002:cb00:7109::", "2002:808:808::1"};
    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
        ln_addr addr = addr_of(inside[i]);
        assert_int_equal(ln_addr_group(&addr, &host), LN_GROUP_HOST);
    }
    ln_addr beside = addr_of("10.0.0.2");
    assert_int_equal(ln_addr_group(&beside, &host), LN_GROUP_PRIVATE);
    beside = addr_of("2001:db8::2");
    assert_int_equal(ln_addr_group(&beside, &host), LN_GROUP_PUBLIC);
}

static void test_never_holds_this_network_loopback_and_class_e_in_every_form(void **state)
{
    (void)state;
    const char *never[] = {"0.0.0.0",
                           "0.255.255.255",
                           "127.0.0.0",
                           "127.255.255.255",
                           "240.0.0.0",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::ffff:127.0.0.1",
                           "::ffff:0.0.0.0",
                           "64:ff9b::127.0.0.1",
                           "2002:7f00:1::",
                           "::127.0.0.1",
                           "::240.0.0.1",
                           "2002::"};
    for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
        ln_addr addr = addr_of(never[i]);
        if (!ln_addr_is_never(&addr)) {
            fail_msg("%s can be opened", never[i]);
        }
    }
    const char *others[] = {"1.0.0.0",   "126.255.255.255", "128.0.0.0",  "239.255.255.255",
                            "10.0.0.1",  "169.254.169.254", "224.0.0.1",  "::1.0.0.0",
                            "fe80::1",   "2001:db8::1",     "2002:808::", "64:ff9b::8.8.8.8",
                            "0:0:0:1::", "ff02::1"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        ln_addr addr = addr_of(others[i]);
        if (ln_addr_is_never(&addr)) {
            fail_msg("%s cannot be opened", others[i]);
        }
    }
}

static void test_reserved_ranges_end_where_they_should(void **state)
{
    (void)state;
    const char *inside[] = {
        "0.0.0.0",     "0.255.255.255",       "192.0.0.0",    "192.0.0.255",
        "192.88.99.0", "192.88.99.255",       "198.18.0.0",   "198.19.255.255",
        "240.0.0.0",   "255.255.255.255",     "fec0::",       "feff:ffff::",
        "100::",       "100::ffff:0:0:1",     "64:ff9b:1::",  "64:ff9b:1:ffff::",
        "::",          "64:ff9b::198.18.0.1", "2002:c612:1::"};
    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
        ln_addr addr = addr_of(inside[i]);
        if (!addr_is_reserved(&addr)) {
            fail_msg("%s is not reserved", inside[i]);
        }
    }
    const char *outside[] = {"1.0.0.0",      "191.255.255.255", "192.0.1.0",   "192.88.98.255",
                             "192.88.100.0", "198.17.255.255",  "198.20.0.0",  "239.255.255.255",
                             "fe80::1",      "ff00::",          "100:0:0:1::", "64:ff9b:2::",
                             "2001:db8::1",  "192.0.2.1"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
        ln_addr addr = addr_of(outside[i]);
        if (addr_is_reserved(&addr)) {
            fail_msg("%s is reserved", outside[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_are_in_their_groups_from_first_to_last_address),
        cmocka_unit_test(test_neighbours_of_ranges_are_public),
        cmocka_unit_test(test_documentation_ranges_are_public),
        cmocka_unit_test(test_metadata_precedes_the_ranges_around_it),
        cmocka_unit_test(test_a_mapped_address_is_the_ipv4_address),
        cmocka_unit_test(test_an_address_that_embeds_an_ipv4_address_is_in_its_group),
        cmocka_unit_test(test_host_precedes_every_group_and_is_found_embedded),
        cmocka_unit_test(test_never_holds_this_network_loopback_and_class_e_in_every_form),
        cmocka_unit_test(test_reserved_ranges_end_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
