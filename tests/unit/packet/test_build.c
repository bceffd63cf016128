/* Checksums against the plain algorithm, headers, and ICMP errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest_frame.h"
#include "packet/build.h"

static uint8_t frame[LN_FRAME_MAX];
static uint8_t error[ICMP_ERROR_FRAME_MAX];

/* ---- checksums ---- */

static void test_sum_equals_the_plain_one_at_every_length_and_alignment(void **state)
{
    (void)state;
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t at = 0; at < 8; at++) {
        for (size_t len = 0; len <= 280; len++) {
            uint16_t got = build_fold(build_sum(data + at, len, 0));
            assert_int_equal(got, guest_sum(data + at, len, 0));
        }
    }
}

static void test_sum_of_parts_is_that_of_the_whole(void **state)
{
    (void)state;
    static uint8_t data[65536];
    memset(data, 0xff, sizeof(data));
    data[77] = 3;
    uint64_t whole = build_sum(data, sizeof(data), 0);
    uint64_t parts = build_sum(data + 30, sizeof(data) - 30, build_sum(data, 30, 0));
    assert_int_equal(build_fold(whole), build_fold(parts));
    assert_int_equal(build_fold(whole), guest_sum(data, sizeof(data), 0));
}

/* RFC 1071 section 3. */
static void test_sum_of_the_standards_example(void **state)
{
    (void)state;
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(build_fold(build_sum(data, sizeof(data), 0)), 0xddf2);
}

static void test_fold_takes_any_sum(void **state)
{
    (void)state;
    assert_int_equal(build_fold(UINT64_MAX), 0xffff);
    assert_int_equal(build_fold(0), 0);
}

/* ---- whole packets ---- */

static void test_udp_is_what_classification_accepts(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"172.16.0.1", "172.16.0.2"},
                                           {"2001:db8::1", "fe80::2"}};
    for (size_t i = 0; i < 2; i++) {
        ln_addr src = guest_addr(pairs[i][0]);
        ln_addr dst = guest_addr(pairs[i][1]);
        bool v6 = i == 1;
        memcpy(frame + ETH_LEN + (v6 ? 48 : 28), "answer", 6);
        size_t len =
            build_udp(frame, guest_own_mac, guest_gateway_mac, v6, &src, 53, &dst, 4000, 6);
        struct packet p;
        assert_int_equal(packet_describe(frame, len, &p), DROP_NONE);
        assert_int_equal(p.kind, PACKET_UDP);
        assert_int_equal(p.src_port, 53);
        assert_int_equal(p.dst_port, 4000);
        assert_int_equal(p.payload_len, 6);
        assert_memory_equal(p.frame + p.payload, "answer", 6);
        assert_true(ln_addr_equal(&p.src, &src));
        assert_true(ln_addr_equal(&p.dst, &dst));
        assert_memory_equal(frame, guest_own_mac, 6);
    }
}

static void test_udp_checksum_is_never_zero(void **state)
{
    (void)state;
    ln_addr src = guest_addr("172.16.0.1");
    ln_addr dst = guest_addr("172.16.0.2");
    uint8_t *payload = frame + ETH_LEN + 28;
    for (unsigned value = 0; value <= 0xffff; value++) {
        put_be16(payload, (uint16_t)value);
        build_udp(frame, guest_own_mac, guest_gateway_mac, false, &src, 1, &dst, 2, 2);
        assert_int_not_equal(get_be16(payload - 2), 0);
    }
}

static void test_echo_is_what_classification_accepts(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"172.16.0.2", "192.0.2.7"},
                                           {"fd42:6d73:62::2", "2001:db8::7"}};
    for (size_t i = 0; i < 2; i++) {
        ln_addr src = guest_addr(pairs[i][0]);
        ln_addr dst = guest_addr(pairs[i][1]);
        bool v6 = i == 1;
        memcpy(frame + ETH_LEN + (v6 ? 48 : 28), "ping!", 5);
        size_t len = build_echo(frame, guest_gateway_mac, guest_own_mac, v6, &src, &dst,
                                v6 ? 128 : 8, 77, 5, 5);
        struct packet p;
        assert_int_equal(packet_describe(frame, len, &p), DROP_NONE);
        assert_int_equal(p.kind, PACKET_ECHO_REQUEST);
        assert_int_equal(p.src_port, 77);
        assert_int_equal(get_be16(frame + p.l4 + 6), 5);
        assert_int_equal(p.payload_len, 5);
        assert_memory_equal(p.frame + p.payload, "ping!", 5);
        assert_true(ln_addr_equal(&p.dst, &dst));
    }
}

/* ---- ICMP errors ---- */

static size_t answer(size_t len, enum icmp_error kind, uint32_t mtu)
{
    struct link_identity link = guest_link();
    struct packet p;
    if (packet_describe(frame, len, &p) != DROP_NONE) {
        fail_msg("the packet to be answered is malformed");
    }
    return build_icmp_error(error, &link, guest_own_mac, &p, kind, mtu);
}

static size_t udp(const char *src, const char *dst, size_t payload_len)
{
    static const uint8_t payload[2000];
    ln_addr from = guest_addr(src);
    ln_addr to = guest_addr(dst);
    return guest_udp(frame, &from, 4000, &to, 33434, payload, payload_len);
}

static void test_error_quotes_the_packet_and_comes_from_its_destination(void **state)
{
    (void)state;
    size_t len = udp("172.16.0.2", "192.0.2.7", 5);
    size_t error_len = answer(len, ICMP_ERROR_PROHIBITED, 0);
    struct packet p;
    assert_int_equal(packet_describe(error, error_len, &p), DROP_NONE);
    assert_int_equal(p.kind, PACKET_ICMP);
    ln_addr peer = guest_addr("192.0.2.7");
    assert_true(ln_addr_equal(&p.src, &peer));
    assert_int_equal(p.frame[p.l4], 3);
    assert_int_equal(p.frame[p.l4 + 1], 13);
    assert_int_equal(p.payload_len, len - ETH_LEN);
    assert_memory_equal(p.frame + p.payload, frame + ETH_LEN, len - ETH_LEN);

    len = udp("fd42:6d73:62::2", "2001:db8::7", 5);
    error_len = answer(len, ICMP_ERROR_PORT_UNREACHABLE, 0);
    assert_int_equal(packet_describe(error, error_len, &p), DROP_NONE);
    assert_int_equal(p.frame[p.l4], 1);
    assert_int_equal(p.frame[p.l4 + 1], 4);
    assert_memory_equal(p.frame + p.payload, frame + ETH_LEN, len - ETH_LEN);
}

static void test_long_packets_are_quoted_as_far_as_allowed(void **state)
{
    (void)state;
    size_t len = udp("172.16.0.2", "192.0.2.7", 1400);
    assert_int_equal(answer(len, ICMP_ERROR_HOST_UNREACHABLE, 0), ETH_LEN + 576);
    len = udp("fd42:6d73:62::2", "2001:db8::7", 1400);
    assert_int_equal(answer(len, ICMP_ERROR_NET_UNREACHABLE, 0), ETH_LEN + 1280);
}

static void test_too_big_tells_the_mtu(void **state)
{
    (void)state;
    size_t len = udp("172.16.0.2", "192.0.2.7", 5);
    assert_int_not_equal(answer(len, ICMP_ERROR_TOO_BIG, 1400), 0);
    assert_int_equal(get_be32(error + ETH_LEN + 20 + 4), 1400);
    len = udp("fd42:6d73:62::2", "ff0e::7", 5);
    assert_int_not_equal(answer(len, ICMP_ERROR_TOO_BIG, 1400), 0);
    assert_int_equal(get_be32(error + ETH_LEN + 40 + 4), 1400);
    struct link_identity link = guest_link();
    assert_memory_equal(error + ETH_LEN + 8, link.gateway6.bytes, 16);
}

static void test_ttl_that_ended_is_told_by_the_gateway(void **state)
{
    (void)state;
    struct link_identity link = guest_link();
    struct packet p;
    size_t len = answer(udp("172.16.0.2", "192.0.2.7", 5), ICMP_ERROR_TTL_EXCEEDED, 0);
    assert_int_equal(packet_describe(error, len, &p), DROP_NONE);
    assert_true(ln_addr_equal(&p.src, &link.gateway4));
    assert_int_equal(p.frame[p.l4], 11);
    len = answer(udp("fd42:6d73:62::2", "2001:db8::7", 5), ICMP_ERROR_TTL_EXCEEDED, 0);
    assert_int_equal(packet_describe(error, len, &p), DROP_NONE);
    assert_true(ln_addr_equal(&p.src, &link.gateway6));
    assert_int_equal(p.frame[p.l4], 3);
}

static void test_message_of_another_host_passes_as_it_is(void **state)
{
    (void)state;
    struct link_identity link = guest_link();
    struct icmp_message message = {
        .src = guest_addr("198.51.100.9"), .type = 3, .code = 4, .rest = 1280};
    struct packet about, p;
    size_t len = udp("172.16.0.2", "192.0.2.7", 5);
    assert_int_equal(packet_describe(frame, len, &about), DROP_NONE);
    size_t error_len = build_icmp_message(error, &link, guest_own_mac, &about, &message);
    assert_int_equal(packet_describe(error, error_len, &p), DROP_NONE);
    assert_true(ln_addr_equal(&p.src, &message.src));
    assert_int_equal(p.frame[p.l4], 3);
    assert_int_equal(p.frame[p.l4 + 1], 4);
    assert_int_equal(get_be32(p.frame + p.l4 + 4), 1280);
    assert_memory_equal(p.frame + p.payload, frame + ETH_LEN, len - ETH_LEN);
}

static void test_no_error_is_sent_about_what_may_not_have_one(void **state)
{
    (void)state;
    assert_int_equal(answer(udp("172.16.0.2", "239.1.2.3", 5), ICMP_ERROR_PROHIBITED, 0), 0);
    assert_int_equal(answer(udp("172.16.0.2", "239.1.2.3", 5), ICMP_ERROR_TOO_BIG, 1400), 0);
    assert_int_equal(answer(udp("fd42:6d73:62::2", "ff0e::7", 5), ICMP_ERROR_PROHIBITED, 0), 0);
    assert_int_equal(answer(udp("0.0.0.0", "192.0.2.7", 5), ICMP_ERROR_PROHIBITED, 0), 0);
    assert_int_equal(answer(udp("::", "2001:db8::7", 5), ICMP_ERROR_PROHIBITED, 0), 0);
    size_t len = udp("172.16.0.2", "192.0.2.7", 5);
    assert_int_not_equal(answer(len, ICMP_ERROR_PROHIBITED, 0), 0);
    put_be16(frame + ETH_LEN + 6, 1); /* not its first fragment */
    guest_ipv4_checksum(frame + ETH_LEN);
    assert_int_equal(answer(len, ICMP_ERROR_PROHIBITED, 0), 0);
    put_be16(frame + ETH_LEN + 6, 0x2000); /* its first */
    put_be16(frame + ETH_LEN + 2, 20 + 8);
    guest_ipv4_checksum(frame + ETH_LEN);
    assert_int_not_equal(answer(len, ICMP_ERROR_PROHIBITED, 0), 0);
    ln_addr guest = guest_addr("172.16.0.2");
    ln_addr peer = guest_addr("192.0.2.7");
    len = guest_icmp(frame, &guest, &peer, 3, 3, 0, "quoted", 6);
    assert_int_equal(answer(len, ICMP_ERROR_PROHIBITED, 0), 0);
    len = guest_icmp(frame, &guest, &peer, 8, 0, 0, "asked", 5);
    assert_int_not_equal(answer(len, ICMP_ERROR_PROHIBITED, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_equals_the_plain_one_at_every_length_and_alignment),
        cmocka_unit_test(test_sum_of_parts_is_that_of_the_whole),
        cmocka_unit_test(test_sum_of_the_standards_example),
        cmocka_unit_test(test_fold_takes_any_sum),
        cmocka_unit_test(test_udp_is_what_classification_accepts),
        cmocka_unit_test(test_udp_checksum_is_never_zero),
        cmocka_unit_test(test_echo_is_what_classification_accepts),
        cmocka_unit_test(test_error_quotes_the_packet_and_comes_from_its_destination),
        cmocka_unit_test(test_long_packets_are_quoted_as_far_as_allowed),
        cmocka_unit_test(test_too_big_tells_the_mtu),
        cmocka_unit_test(test_ttl_that_ended_is_told_by_the_gateway),
        cmocka_unit_test(test_message_of_another_host_passes_as_it_is),
        cmocka_unit_test(test_no_error_is_sent_about_what_may_not_have_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
