/* ARP, neighbour discovery and router advertisements: what is answered, to whom, and what is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest_frame.h"
#include "stack/neighbour.h"

static uint8_t question[1600];
static uint8_t answer[NEIGHBOUR_FRAME_MAX];

/* The guest's MAC as last seen, not the one it was given. */
static const uint8_t seen_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

static size_t ask(size_t len)
{
    struct link_identity link = guest_link();
    struct packet p;
    enum drop_reason reason = packet_classify(&(ln_frame){.data = question, .len = len}, &link, &p);
    if (reason != DROP_NONE) {
        return 0;
    }
    memset(answer, 0xee, sizeof(answer));
    return neighbour_answer(&p, &link, seen_mac, answer);
}

/* ---- ARP ---- */

static size_t arp(uint16_t operation, const char *sender, const char *target)
{
    ln_addr from = guest_addr(sender);
    ln_addr to = guest_addr(target);
    memcpy(question, guest_broadcast_mac, 6);
    memcpy(question + 6, seen_mac, 6);
    put_be16(question + 12, 0x0806);
    memcpy(question + 14, (const uint8_t[]){0, 1, 8, 0, 6, 4}, 6);
    put_be16(question + 20, operation);
    memcpy(question + 22, seen_mac, 6);
    put_be32(question + 28, ln_addr_to_v4(&from));
    memset(question + 32, 0, 6);
    put_be32(question + 38, ln_addr_to_v4(&to));
    return ask(42);
}

static void test_arp_for_the_gateway_is_answered(void **state)
{
    (void)state;
    assert_int_equal(arp(1, "172.16.0.2", "172.16.0.1"), 42);
    static const uint8_t expected[42] = {
        0x52, 0x54, 0,    1, 2, 3, 0x02, 0x6c, 0x75, 0, 0, 1, 8, 6, /* Ethernet */
        0,    1,    8,    0, 6, 4, 0,    2,                         /* a reply */
        0x02, 0x6c, 0x75, 0, 0, 1, 172,  16,   0,    1,             /* from the gateway */
        0x52, 0x54, 0,    1, 2, 3, 172,  16,   0,    2,             /* to the guest */
    };
    assert_memory_equal(answer, expected, 42);
    assert_int_equal(arp(1, "0.0.0.0", "172.16.0.1"), 42); /* a probe */
}

static void test_other_arp_is_not_answered(void **state)
{
    (void)state;
    assert_int_equal(arp(1, "172.16.0.2", "172.16.0.2"), 0); /* an announcement */
    assert_int_equal(arp(1, "0.0.0.0", "172.16.0.2"), 0);    /* its own address probed */
    assert_int_equal(arp(1, "172.16.0.2", "192.0.2.7"), 0);
    assert_int_equal(arp(2, "172.16.0.2", "172.16.0.1"), 0);
    assert_int_equal(arp(1, "192.0.2.7", "172.16.0.1"), 0);
}

/* ---- neighbour solicitation ---- */

static const uint8_t source_mac[8] = {1, 1, 0x52, 0x54, 0, 1, 2, 3};

static size_t icmp(const char *src, const char *dst, uint8_t type, const void *body, size_t len)
{
    ln_addr from = guest_addr(src);
    ln_addr to = guest_addr(dst);
    size_t frame_len = guest_icmp(question, &from, &to, type, 0, 0, body, len);
    question[ETH_LEN + 7] = 255;
    if (to.bytes[0] == 0xff) {
        memcpy(question, (const uint8_t[]){0x33, 0x33}, 2);
        memcpy(question + 2, to.bytes + 12, 4);
    }
    return ask(frame_len);
}

static size_t solicit(const char *src, const char *dst, const char *target, const uint8_t *option,
                      size_t option_len)
{
    uint8_t body[64];
    ln_addr wanted = guest_addr(target);
    memcpy(body, wanted.bytes, 16);
    if (option_len > 0) {
        memcpy(body + 16, option, option_len);
    }
    return icmp(src, dst, 135, body, 16 + option_len);
}

static void assert_answered(size_t len, uint8_t type, const char *src, const char *dst)
{
    struct packet p;
    assert_int_equal(packet_describe(answer, len, &p), DROP_NONE);
    ln_addr from = guest_addr(src);
    ln_addr to = guest_addr(dst);
    assert_true(ln_addr_equal(&p.src, &from));
    assert_true(ln_addr_equal(&p.dst, &to));
    assert_int_equal(p.ttl, 255);
    assert_int_equal(p.frame[p.l4], type);
    assert_memory_equal(answer + 6, guest_gateway_mac, 6);
}

static void test_solicitation_for_the_gateway_is_answered(void **state)
{
    (void)state;
    static const struct {
        const char *src, *dst, *target;
    } cases[] = {
        {"fd42:6d73:62::2", "ff02::1:ff00:1", "fd42:6d73:62::1"},
        {"fd42:6d73:62::2", "fd42:6d73:62::1", "fd42:6d73:62::1"}, /* unreachability probe */
        {"fe80::2", "ff02::1:ff00:1", "fe80::6c:75ff:fe00:1"},
    };
    for (size_t i = 0; i < 3; i++) {
        size_t len = solicit(cases[i].src, cases[i].dst, cases[i].target, source_mac, 8);
        assert_int_equal(len, ETH_LEN + 40 + 32);
        assert_answered(len, 136, cases[i].target, cases[i].src);
        assert_memory_equal(answer, seen_mac, 6);
        const uint8_t *na = answer + ETH_LEN + 40;
        assert_int_equal(na[4], 0xe0); /* router, solicited, override */
        ln_addr target = guest_addr(cases[i].target);
        assert_memory_equal(na + 8, target.bytes, 16);
        assert_memory_equal(na + 24, ((const uint8_t[]){2, 1, 0x02, 0x6c, 0x75, 0, 0, 1}), 8);
    }
}

static void test_probe_for_the_gateways_address_is_defended(void **state)
{
    (void)state;
    size_t len = solicit("::", "ff02::1:ff00:1", "fd42:6d73:62::1", NULL, 0);
    assert_answered(len, 136, "fd42:6d73:62::1", "ff02::1");
    assert_int_equal(answer[ETH_LEN + 40 + 4], 0xa0); /* not solicited */
    assert_memory_equal(answer, ((const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}), 6);
}

static void test_other_solicitations_are_not_answered(void **state)
{
    (void)state;
    static const uint8_t empty_option[8] = {1, 0};
    static const uint8_t overlong_option[8] = {1, 2};
    const char *guest = "fd42:6d73:62::2";
    const char *gateway = "fd42:6d73:62::1";
    const char *group = "ff02::1:ff00:1";
    assert_int_equal(solicit(guest, "ff02::1:ff00:2", guest, NULL, 0), 0);
    assert_int_equal(solicit("::", "ff02::1:ff00:2", guest, NULL, 0), 0);
    assert_int_equal(solicit(guest, "ff02::1", gateway, NULL, 0), 0);
    assert_int_equal(solicit(guest, group, "ff02::1:ff00:1", NULL, 0), 0);
    assert_int_equal(solicit("::", gateway, gateway, NULL, 0), 0);
    assert_int_equal(solicit("::", group, gateway, source_mac, 8), 0);
    assert_int_equal(solicit(guest, group, gateway, empty_option, 8), 0);
    assert_int_equal(solicit(guest, group, gateway, overlong_option, 8), 0);
    assert_int_equal(solicit(guest, group, gateway, source_mac, 5), 0);
    assert_int_equal(icmp(guest, group, 135, "short", 5), 0);
    assert_int_equal(icmp(guest, "fd42:6d73:62::1", 136, answer, 16), 0);
}

/* ---- router advertisement ---- */

static void test_router_solicitation_is_answered(void **state)
{
    (void)state;
    size_t len = icmp("fe80::2", "ff02::2", 133, source_mac, 8);
    assert_answered(len, 134, "fe80::6c:75ff:fe00:1", "ff02::1");
    assert_int_not_equal(icmp("::", "ff02::2", 133, NULL, 0), 0);
    assert_int_equal(icmp("::", "ff02::2", 133, source_mac, 8), 0);
    assert_int_equal(icmp("fe80::2", "ff02::2", 133, source_mac, 7), 0);
    assert_int_equal(icmp("fe80::2", "fd42:6d73:62::1", 133, source_mac, 8), 0);
}

static void test_advertisement_tells_prefix_mtu_and_resolver(void **state)
{
    (void)state;
    struct link_identity link = guest_link();
    size_t len = neighbour_router_advertisement(&link, answer);
    assert_answered(len, 134, "fe80::6c:75ff:fe00:1", "ff02::1");
    const uint8_t *ra = answer + ETH_LEN + 40;
    assert_int_equal(ra[4], 64);
    assert_int_equal(ra[5], 0); /* neither managed nor other configuration */
    assert_true(get_be16(ra + 6) > 0);
    static const uint8_t options[] = {
        1,    1,    0x02, 0x6c, 0x75, 0,    0,    1,    /* MAC */
        5,    1,    0,    0,    0,    0,    0x05, 0xdc, /* MTU 1500 */
        3,    4,    64,   0xc0, 255,  255,  255,  255,  255, 255, 255, 255, 0, 0, 0, 0, /* prefix */
        0xfd, 0x42, 0x6d, 0x73, 0,    0x62, 0,    0,    0,   0,   0,   0,   0, 0, 0, 0, /* … */
        25,   3,    0,    0,    255,  255,  255,  255, /* resolver */
        0xfd, 0x42, 0x6d, 0x73, 0,    0x62, 0,    0,    0,   0,   0,   0,   0, 0, 0, 1, /* … */
    };
    assert_int_equal(len, ETH_LEN + 40 + 16 + sizeof(options));
    assert_memory_equal(ra + 16, options, sizeof(options));
}

static void test_advertisement_tells_the_search_list(void **state)
{
    static const char *const names[] = {"corp.example", "a.test"};
    static const uint8_t option[] = {31,  4,   0, 0,   255, 255, 255, 255, 4,   'c', 'o',
                                     'r', 'p', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0,
                                     1,   'a', 4, 't', 'e', 's', 't', 0,   0,   0};
    (void)state;
    struct link_identity link = guest_link();
    size_t bare = neighbour_router_advertisement(&link, answer);
    link.search = names;
    link.n_search = 2;
    size_t len = neighbour_router_advertisement(&link, answer);
    assert_answered(len, 134, "fe80::6c:75ff:fe00:1", "ff02::1");
    assert_int_equal(len, bare + sizeof(option));
    assert_memory_equal(answer + bare, option, sizeof(option));
}

static void test_no_default_route_is_offered_where_the_host_has_none(void **state)
{
    (void)state;
    struct link_identity link = guest_link();
    link.route6 = false;
    neighbour_router_advertisement(&link, answer);
    assert_int_equal(get_be16(answer + ETH_LEN + 40 + 6), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arp_for_the_gateway_is_answered),
        cmocka_unit_test(test_other_arp_is_not_answered),
        cmocka_unit_test(test_solicitation_for_the_gateway_is_answered),
        cmocka_unit_test(test_probe_for_the_gateways_address_is_defended),
        cmocka_unit_test(test_other_solicitations_are_not_answered),
        cmocka_unit_test(test_router_solicitation_is_answered),
        cmocka_unit_test(test_advertisement_tells_prefix_mtu_and_resolver),
        cmocka_unit_test(test_advertisement_tells_the_search_list),
        cmocka_unit_test(test_no_default_route_is_offered_where_the_host_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
