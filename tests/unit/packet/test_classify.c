/* What passes from the guest, what does not, and how it is described. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest_frame.h"

/* ---- one frame of each kind, to be bent ---- */

static uint8_t frame[LN_FRAME_MAX];
static size_t frame_len;
static struct packet packet;

static uint8_t *l3(void)
{
    return frame + ETH_LEN;
}

static uint8_t *l4_4(void)
{
    return frame + ETH_LEN + IPV4_LEN;
}

static uint8_t *l4_6(void)
{
    return frame + ETH_LEN + IPV6_LEN;
}

static void udp4(const char *src, const char *dst, uint16_t port)
{
    ln_addr from = guest_addr(src);
    ln_addr to = guest_addr(dst);
    frame_len = guest_udp(frame, &from, 40000, &to, port, "hello", 5);
}

static struct guest_segment segment4(uint8_t flags)
{
    return (struct guest_segment){
        .src = guest_addr("172.16.0.2"),
        .dst = guest_addr("192.0.2.7"),
        .src_port = 50000,
        .dst_port = 443,
        .seq = 0x01020304,
        .ack = 0x0a0b0c0d,
        .flags = flags,
        .window = 512,
    };
}

static struct guest_segment segment6(uint8_t flags)
{
    struct guest_segment s = segment4(flags);
    s.src = guest_addr("fd42:6d73:62::2");
    s.dst = guest_addr("2001:db8::7");
    return s;
}

static void tcp(struct guest_segment s, size_t payload_len)
{
    static const uint8_t payload[LN_FRAME_MAX];
    frame_len = guest_tcp(frame, &s, payload, payload_len);
}

static void icmp(const char *src, const char *dst, uint8_t type, uint8_t hop_limit)
{
    ln_addr from = guest_addr(src);
    ln_addr to = guest_addr(dst);
    static const uint8_t body[24];
    frame_len = guest_icmp(frame, &from, &to, type, 0, 0x00770001, body, sizeof(body));
    if (!ln_addr_is_v4(&to)) {
        l3()[7] = hop_limit;
    }
}

/* The right group MAC for the destination. */
static void to_group(void)
{
    bool v6 = frame[12] == 0x86;
    const uint8_t *dst = v6 ? l3() + 24 + 12 : l3() + 16;
    memcpy(frame, (const uint8_t[]){1, 0, 0x5e, dst[1] & 0x7f, dst[2], dst[3]}, 6);
    if (v6) {
        memcpy(frame, (const uint8_t[]){0x33, 0x33, dst[0], dst[1], dst[2], dst[3]}, 6);
    }
}

/* Classifies exactly the frame's bytes, so that reading past them is seen. */
static enum drop_reason judge_with(ln_frame meta)
{
    static uint8_t *exact;
    free(exact);
    exact = malloc(frame_len > 0 ? frame_len : 1);
    memcpy(exact, frame, frame_len);
    meta.data = exact;
    meta.len = frame_len;
    struct link_identity link = guest_link();
    return packet_classify(&meta, &link, &packet);
}

static enum drop_reason judge(void)
{
    return judge_with((ln_frame){0});
}

#define assert_passes() assert_string_equal(drop_reason_name(judge()), "none")
#define assert_drops(reason)                                                                       \
    assert_string_equal(drop_reason_name(judge()), drop_reason_name(reason))

/* ---- descriptions ---- */

static void test_udp_datagram_is_described(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    assert_passes();
    assert_int_equal(packet.kind, PACKET_UDP);
    assert_int_equal(packet.src_port, 40000);
    assert_int_equal(packet.dst_port, 53);
    assert_int_equal(packet.payload_len, 5);
    assert_memory_equal(packet.frame + packet.payload, "hello", 5);
    assert_false(packet.v6);
    ln_addr dst = guest_addr("192.0.2.7");
    assert_true(ln_addr_equal(&packet.dst, &dst));
}

static void test_tcp_segment_is_described(void **state)
{
    (void)state;
    static const uint8_t options[8] = {2, 4, 5, 0xb4, 1, 3, 3, 7};
    struct guest_segment s = segment6(TCP_SYN);
    s.options = options;
    s.options_len = sizeof(options);
    tcp(s, 10);
    assert_passes();
    assert_int_equal(packet.kind, PACKET_TCP);
    assert_true(packet.v6);
    assert_int_equal(packet.ip_protocol, 6);
    assert_int_equal(packet.seq, 0x01020304);
    assert_int_equal(packet.ack, 0x0a0b0c0d);
    assert_int_equal(packet.window, 512);
    assert_int_equal(packet.tcp_flags, TCP_SYN);
    assert_int_equal(packet.options_len, 8);
    assert_memory_equal(packet.frame + packet.l4 + TCP_LEN, options, 8);
    assert_int_equal(packet.payload_len, 10);
    assert_int_equal(packet.payload, ETH_LEN + 40 + 28);
}

static void test_echo_request_has_its_identifier_for_ports(void **state)
{
    (void)state;
    icmp("172.16.0.2", "192.0.2.7", 8, 64);
    assert_passes();
    assert_int_equal(packet.kind, PACKET_ECHO_REQUEST);
    assert_int_equal(packet.src_port, 0x77);
    assert_int_equal(packet.dst_port, 0x77);
    icmp("fd42:6d73:62::2", "2001:db8::7", 128, 64);
    assert_passes();
    assert_int_equal(packet.kind, PACKET_ECHO_REQUEST);
    icmp("172.16.0.2", "192.0.2.7", 3, 64);
    assert_passes();
    assert_int_equal(packet.kind, PACKET_ICMP);
}

static void test_ethernet_padding_is_cut_off(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    size_t whole = frame_len;
    memset(frame + frame_len, 0xee, 60);
    frame_len = 60;
    assert_passes();
    assert_int_equal(packet.frame_len, whole);
    assert_int_equal(packet.payload_len, 5);
}

static void test_every_prefix_of_a_frame_is_truncated(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 3);
    size_t whole = frame_len;
    for (frame_len = 0; frame_len < whole; frame_len++) {
        assert_drops(DROP_TRUNCATED);
    }
    tcp(segment6(TCP_ACK), 3);
    whole = frame_len;
    for (frame_len = 0; frame_len < whole; frame_len++) {
        assert_drops(DROP_TRUNCATED);
    }
}

/* ---- Ethernet ---- */

static void test_other_ethertypes_are_dropped(void **state)
{
    (void)state;
    static const struct {
        uint16_t ethertype;
        enum drop_reason reason;
    } cases[] = {
        {0x8100, DROP_VLAN},
        {0x88a8, DROP_VLAN},
        {0x9100, DROP_VLAN},
        {0x05ff, DROP_LLC},
        {0, DROP_LLC},
        {0x88f8, DROP_ETHERTYPE},
        {0x8864, DROP_ETHERTYPE},
        {0x88cc, DROP_ETHERTYPE},
        {0x0600, DROP_ETHERTYPE},
    };
    udp4("172.16.0.2", "192.0.2.7", 53);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put_be16(frame + 12, cases[i].ethertype);
        assert_drops(cases[i].reason);
    }
}

static void test_macs_must_be_right(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    memcpy(frame + 6, guest_gateway_mac, 6);
    assert_drops(DROP_MAC);
    memcpy(frame + 6, guest_own_mac, 6);
    frame[6] |= 1;
    assert_drops(DROP_MAC);
    frame[6] = 0x52; /* a guest may choose its own */
    assert_passes();
    frame[5] ^= 0x10;
    assert_drops(DROP_MAC);
    memcpy(frame, guest_broadcast_mac, 6); /* unicast in a broadcast frame */
    assert_drops(DROP_MAC);
}

static void test_multicast_goes_to_the_mac_of_its_group(void **state)
{
    (void)state;
    udp4("172.16.0.2", "239.129.2.3", 5000);
    assert_drops(DROP_MAC);
    to_group();
    assert_passes();
    assert_true(packet_is_multicast(&packet));
    frame[4] ^= 1;
    assert_drops(DROP_MAC);
    udp4("fd42:6d73:62::2", "ff02::1:3", 5000);
    to_group();
    assert_passes();
    assert_true(packet_is_multicast(&packet));
}

/* ---- ARP ---- */

static void arp(uint16_t operation, const char *sender, const char *target)
{
    ln_addr from = guest_addr(sender);
    ln_addr to = guest_addr(target);
    memcpy(frame, guest_broadcast_mac, 6);
    memcpy(frame + 6, guest_own_mac, 6);
    put_be16(frame + 12, 0x0806);
    memcpy(frame + 14, (const uint8_t[]){0, 1, 8, 0, 6, 4}, 6);
    put_be16(frame + 20, operation);
    memcpy(frame + 22, guest_own_mac, 6);
    put_be32(frame + 28, ln_addr_to_v4(&from));
    memset(frame + 32, 0, 6);
    put_be32(frame + 38, ln_addr_to_v4(&to));
    frame_len = 42;
}

static void test_arp_is_described(void **state)
{
    (void)state;
    arp(1, "172.16.0.2", "172.16.0.1");
    frame_len = 60;
    assert_passes();
    assert_int_equal(packet.kind, PACKET_ARP);
    assert_int_equal(packet.frame_len, 42);
    arp(1, "0.0.0.0", "172.16.0.2");
    assert_passes();
}

static void test_bad_arp_is_dropped(void **state)
{
    (void)state;
    arp(1, "172.16.0.1", "172.16.0.1");
    assert_drops(DROP_SOURCE);
    arp(3, "172.16.0.2", "172.16.0.1");
    assert_drops(DROP_HEADER);
    arp(1, "172.16.0.2", "172.16.0.1");
    frame[19] = 6;
    assert_drops(DROP_HEADER);
    arp(1, "172.16.0.2", "172.16.0.1");
    frame[27] ^= 1;
    assert_drops(DROP_MAC);
    arp(1, "172.16.0.2", "172.16.0.1");
    frame_len = 41;
    assert_drops(DROP_TRUNCATED);
}

/* ---- IPv4 ---- */

static void test_ipv4_header_must_be_sound(void **state)
{
    (void)state;
    static const struct {
        unsigned at;
        uint8_t value;
        enum drop_reason reason;
    } cases[] = {
        {0, 0x65, DROP_HEADER},    /* version 6 behind EtherType IPv4 */
        {0, 0x44, DROP_HEADER},    /* header of 16 bytes */
        {0, 0x46, DROP_OPTIONS},   /* header of 24 bytes */
        {3, 19, DROP_HEADER},      /* total length below the header's */
        {2, 0x10, DROP_TRUNCATED}, /* total length beyond the frame */
        {6, 0x80, DROP_HEADER},    /* reserved bit */
        {9, 2, DROP_PROTOCOL},     /* IGMP */
        {9, 47, DROP_PROTOCOL},    /* GRE */
        {9, 4, DROP_PROTOCOL},     /* IPv4 in IPv4 */
        {9, 41, DROP_PROTOCOL},    /* IPv6 in IPv4 */
        {9, 58, DROP_PROTOCOL},    /* ICMPv6 in IPv4 */
        {9, 132, DROP_PROTOCOL},   /* SCTP */
        {15, 3, DROP_SOURCE},      /* broadcast */
        {15, 1, DROP_SOURCE},      /* the gateway */
        {12, 10, DROP_SOURCE},     /* somebody else */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        udp4("172.16.0.2", "192.0.2.7", 53);
        l3()[cases[i].at] = cases[i].value;
        guest_ipv4_checksum(l3());
        guest_checksum(frame, l4_4(), 6, 17, 13);
        assert_drops(cases[i].reason);
    }
}

static void test_ip_packet_shorter_than_its_header_is_dropped(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 3);
    put_be16(l3() + 2, 19);
    guest_ipv4_checksum(l3());
    assert_drops(DROP_HEADER);
    tcp(segment6(TCP_ACK), 3);
    l3()[0] = 0x45;
    assert_drops(DROP_HEADER);
}

static void test_ipv4_header_checksum_is_verified_always(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    l3()[10] ^= 1;
    assert_drops(DROP_CHECKSUM);
    assert_int_equal(judge_with((ln_frame){.flags = LN_FRAME_CSUM_VALID}), DROP_CHECKSUM);
}

static void test_ipv4_options_are_refused(void **state)
{
    (void)state;
    static const uint8_t options[][4] = {
        {131, 3, 4, 0}, /* loose source route */
        {137, 3, 4, 0}, /* strict source route */
        {148, 4, 0, 0}, /* router alert */
        {1, 1, 1, 0},   /* padding only */
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        udp4("172.16.0.2", "192.0.2.7", 53);
        memmove(l4_4() + 4, l4_4(), 13);
        memcpy(l4_4(), options[i], 4);
        frame_len += 4;
        l3()[0] = 0x46;
        put_be16(l3() + 2, 24 + 13);
        guest_ipv4_checksum(l3());
        assert_drops(DROP_OPTIONS);
    }
}

static void test_ipv4_fragment_is_recognised(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    put_be16(l3() + 6, 0x2000 | 3);
    frame_len += 3; /* 16 bytes of payload */
    put_be16(l3() + 2, 36);
    guest_ipv4_checksum(l3());
    assert_passes();
    assert_int_equal(packet.kind, PACKET_FRAGMENT);
    assert_int_equal(packet.fragment_id, 0x1234);
    assert_int_equal(packet.fragment_offset, 24);
    assert_int_equal(packet.payload_len, 16);
    assert_true(packet.more_fragments);
    assert_int_equal(packet.ip_protocol, 17);
}

static void test_impossible_fragments_are_dropped(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    put_be16(l3() + 6, 0x2000); /* 13 bytes, and more to come */
    guest_ipv4_checksum(l3());
    assert_drops(DROP_FRAGMENT);
    put_be16(l3() + 6, 0x1ffe); /* would end behind 64 KiB */
    guest_ipv4_checksum(l3());
    assert_drops(DROP_FRAGMENT);
    put_be16(l3() + 6, 0x2001);
    put_be16(l3() + 2, 20); /* nothing in it */
    guest_ipv4_checksum(l3());
    assert_drops(DROP_HEADER);
}

/* ---- addresses ---- */

static void test_destinations_that_never_pass(void **state)
{
    (void)state;
    static const char *const never[] = {
        "0.0.0.0",   "0.1.2.3",    "127.0.0.1",  "127.255.255.254", "240.0.0.1",
        "255.0.0.1", "172.16.0.0", "172.16.0.2", "172.16.0.3",      "255.255.255.255",
    };
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        udp4("172.16.0.2", never[i], 53);
        if (i == 9) {
            memcpy(frame, guest_broadcast_mac, 6);
        }
        assert_drops(DROP_DESTINATION);
    }
    static const char *const never6[] = {
        "::", "::1", "::127.0.0.1", "fd42:6d73:62::2", "fd42:6d73:62::", "fd42:6d73:62::abcd",
    };
    for (size_t i = 0; i < sizeof(never6) / sizeof(never6[0]); i++) {
        udp4("fd42:6d73:62::2", never6[i], 53);
        assert_drops(DROP_DESTINATION);
    }
    udp4("fd42:6d73:62::2", "2001:db8::7", 53);
    ln_addr mapped = guest_addr("::ffff:192.0.2.7");
    memcpy(l3() + 24, mapped.bytes, 16);
    guest_checksum(frame, l4_6(), 6, 17, 13);
    assert_drops(DROP_DESTINATION);
}

static void test_source_equal_to_destination_is_dropped(void **state)
{
    (void)state;
    udp4("fe80::1234", "fe80::1234", 53);
    assert_drops(DROP_DESTINATION);
}

static void test_gateway_is_a_destination(void **state)
{
    (void)state;
    udp4("172.16.0.2", "172.16.0.1", 53);
    assert_passes();
    udp4("fd42:6d73:62::2", "fd42:6d73:62::1", 53);
    assert_passes();
}

static void test_ipv6_sources_are_those_of_the_subnet_and_link_local(void **state)
{
    (void)state;
    static const struct {
        const char *src;
        enum drop_reason reason;
    } cases[] = {
        {"fd42:6d73:62::2", DROP_NONE},
        {"fd42:6d73:62::aaaa:bbbb:cccc:dddd", DROP_NONE},
        {"fe80::6c:75ff:fe00:2", DROP_NONE},
        {"fe80::6c:75ff:fe00:1", DROP_SOURCE}, /* the gateway's */
        {"fd42:6d73:62::1", DROP_SOURCE},
        {"fd42:6d73:62:1::2", DROP_SOURCE},
        {"2001:db8::1", DROP_SOURCE},
        {"ff02::1", DROP_SOURCE},
        {"::1", DROP_SOURCE},
        {"::", DROP_SOURCE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        udp4(cases[i].src, "2001:db8::7", 53);
        assert_drops(cases[i].reason);
    }
}

static void test_dhcp_may_come_from_nowhere(void **state)
{
    (void)state;
    udp4("0.0.0.0", "255.255.255.255", 67);
    memcpy(frame, guest_broadcast_mac, 6);
    assert_passes();
    udp4("0.0.0.0", "255.255.255.255", 68);
    memcpy(frame, guest_broadcast_mac, 6);
    assert_drops(DROP_SOURCE);
    udp4("0.0.0.0", "192.0.2.7", 67);
    assert_drops(DROP_SOURCE);
    udp4("172.16.0.2", "255.255.255.255", 5000);
    memcpy(frame, guest_broadcast_mac, 6);
    assert_drops(DROP_DESTINATION);
}

/* ---- IPv6 ---- */

/* Puts an extension header of `len` bytes before the transport header. */
static void insert_extension(uint8_t kind, const uint8_t *body, size_t len)
{
    memmove(l4_6() + len, l4_6(), frame_len - ETH_LEN - IPV6_LEN);
    memcpy(l4_6(), body, len);
    l4_6()[0] = l3()[6];
    l3()[6] = kind;
    put_be16(l3() + 4, (uint16_t)(get_be16(l3() + 4) + len));
    frame_len += len;
}

static const uint8_t padding[8] = {0, 0, 1, 4};

static void test_ipv6_options_are_walked(void **state)
{
    (void)state;
    static const uint8_t alert[8] = {0, 0, 5, 2, 0, 0, 1, 0};
    static const uint8_t long_one[16] = {0, 1, 0x1e, 12};
    tcp(segment6(TCP_ACK), 7);
    insert_extension(60, padding, 8);
    insert_extension(60, long_one, 16);
    insert_extension(0, alert, 8);
    assert_passes();
    assert_int_equal(packet.l4, ETH_LEN + IPV6_LEN + 32);
    assert_int_equal(packet.payload_len, 7);
    assert_int_equal(packet.ip_protocol, 6);
}

static void test_ipv6_options_that_may_not_be_skipped_are_refused(void **state)
{
    (void)state;
    static const uint8_t bad[][8] = {
        {0, 0, 0xc2, 4, 0, 1, 0, 0}, /* jumbo payload */
        {0, 0, 0xc9, 4, 0, 0, 0, 0}, /* home address (cut short, but refused before) */
        {0, 0, 0x80, 4, 0, 0, 0, 0},
        {0, 0, 0x40, 4, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tcp(segment6(TCP_ACK), 7);
        insert_extension(0, bad[i], 8);
        assert_drops(DROP_OPTIONS);
    }
}

static void test_bad_extension_headers_are_dropped(void **state)
{
    (void)state;
    static const uint8_t overlong[8] = {0, 0, 1, 5};
    static const uint8_t beyond[8] = {0, 200, 1, 4};
    tcp(segment6(TCP_ACK), 7);
    insert_extension(60, overlong, 8);
    assert_drops(DROP_HEADER);
    tcp(segment6(TCP_ACK), 7);
    insert_extension(60, beyond, 8);
    assert_drops(DROP_TRUNCATED);
    tcp(segment6(TCP_ACK), 7);
    insert_extension(0, padding, 8); /* hop-by-hop, but not first */
    insert_extension(60, padding, 8);
    assert_drops(DROP_HEADER);
    tcp(segment6(TCP_ACK), 7);
    for (int i = 0; i < 4; i++) {
        insert_extension(60, padding, 8);
    }
    assert_passes();
    insert_extension(60, padding, 8);
    assert_drops(DROP_OPTIONS);
}

static void test_ipv6_headers_not_carried_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t kind;
        enum drop_reason reason;
    } cases[] = {
        {43, DROP_OPTIONS},   /* routing */
        {50, DROP_PROTOCOL},  /* ESP */
        {51, DROP_PROTOCOL},  /* AH */
        {59, DROP_PROTOCOL},  /* no next header */
        {135, DROP_PROTOCOL}, /* mobility */
        {139, DROP_PROTOCOL}, /* HIP */
        {1, DROP_PROTOCOL},   /* ICMP in IPv6 */
        {4, DROP_PROTOCOL},   {41, DROP_PROTOCOL}, {2, DROP_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tcp(segment6(TCP_ACK), 7);
        insert_extension(cases[i].kind, padding, 8);
        assert_drops(cases[i].reason);
    }
}

static void test_ipv6_fragment_is_recognised(void **state)
{
    (void)state;
    static const uint8_t fragment[8] = {0, 0, 0x05, 0xb9, 0xde, 0xad, 0xbe, 0xef};
    udp4("fd42:6d73:62::2", "2001:db8::7", 53);
    frame_len += 3;
    put_be16(l3() + 4, 16);
    insert_extension(44, fragment, 8);
    assert_passes();
    assert_int_equal(packet.kind, PACKET_FRAGMENT);
    assert_int_equal(packet.fragment_id, 0xdeadbeef);
    assert_int_equal(packet.fragment_offset, 0x5b8);
    assert_true(packet.more_fragments);
    assert_int_equal(packet.payload_len, 16);
    insert_extension(60, padding, 8);
    assert_drops(DROP_OPTIONS);
}

static void test_fragment_of_another_protocol_is_dropped(void **state)
{
    (void)state;
    static const uint8_t fragment[8] = {0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef};
    udp4("fd42:6d73:62::2", "2001:db8::7", 53);
    insert_extension(44, fragment, 8);
    l4_6()[0] = 43;
    assert_drops(DROP_PROTOCOL);
    l4_6()[0] = 60;
    assert_drops(DROP_PROTOCOL);
}

static void test_neighbour_discovery_needs_hop_limit_255(void **state)
{
    (void)state;
    static const uint8_t types[] = {133, 135, 136};
    for (size_t i = 0; i < sizeof(types); i++) {
        icmp("fe80::2", "ff02::2", types[i], 255);
        to_group();
        assert_passes();
        assert_int_equal(packet.kind, PACKET_NDP);
        icmp("fe80::2", "ff02::2", types[i], 254);
        to_group();
        assert_drops(DROP_HEADER);
    }
    icmp("::", "ff02::1:ff00:1", 135, 255);
    to_group();
    assert_passes();
    icmp("fe80::2", "ff02::1", 134, 255); /* a guest is no router */
    to_group();
    assert_drops(DROP_PROTOCOL);
    icmp("fe80::2", "ff02::1", 137, 255);
    to_group();
    assert_drops(DROP_PROTOCOL);
}

/* ---- transport ---- */

static void test_tcp_flags_that_are_never_legal(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 64; flags++) {
        unsigned kinds = flags & (TCP_SYN | TCP_FIN | TCP_RST);
        bool one_kind = (kinds & (kinds - 1)) == 0;
        bool legal = one_kind && ((flags & TCP_ACK) != 0 || kinds == TCP_SYN || kinds == TCP_RST);
        tcp(segment4((uint8_t)flags), 0);
        assert_drops(legal ? DROP_NONE : DROP_HEADER);
    }
}

static void test_tcp_header_must_be_sound(void **state)
{
    (void)state;
    struct guest_segment s = segment4(TCP_ACK);
    s.src_port = 0;
    tcp(s, 0);
    assert_drops(DROP_HEADER);
    s = segment4(TCP_ACK);
    s.dst_port = 0;
    tcp(s, 0);
    assert_drops(DROP_HEADER);
    tcp(segment4(TCP_ACK), 3);
    l4_4()[12] = 0x40; /* header of 16 bytes */
    assert_drops(DROP_HEADER);
    l4_4()[12] = 0x60; /* of 24, in 23 bytes */
    assert_drops(DROP_HEADER);
}

static void test_icmp_code_must_be_known(void **state)
{
    (void)state;
    icmp("172.16.0.2", "192.0.2.7", 8, 64);
    l4_4()[1] = 1;
    guest_checksum(frame, l4_4(), 2, 1, 32);
    assert_drops(DROP_HEADER);
    icmp("fd42:6d73:62::2", "2001:db8::7", 128, 64);
    l4_6()[1] = 1;
    guest_checksum(frame, l4_6(), 2, 58, 32);
    assert_drops(DROP_HEADER);
    icmp("fe80::2", "ff02::2", 133, 255);
    to_group();
    l4_6()[1] = 1;
    guest_checksum(frame, l4_6(), 2, 58, 32);
    assert_drops(DROP_HEADER);
}

static void test_udp_header_must_be_sound(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 0);
    assert_drops(DROP_HEADER);
    udp4("172.16.0.2", "192.0.2.7", 53);
    put_be16(l4_4(), 0);
    assert_drops(DROP_HEADER);
    static const uint16_t lengths[] = {0, 7, 12, 14, 0xffff};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        udp4("172.16.0.2", "192.0.2.7", 53);
        put_be16(l4_4() + 4, lengths[i]);
        assert_drops(DROP_HEADER);
    }
}

static void test_transport_checksums_are_verified(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 9);
    frame[frame_len - 1] ^= 1;
    assert_drops(DROP_CHECKSUM);
    tcp(segment6(TCP_ACK), 9);
    frame[frame_len - 1] ^= 1;
    assert_drops(DROP_CHECKSUM);
    udp4("172.16.0.2", "192.0.2.7", 53);
    frame[frame_len - 1] ^= 1;
    assert_drops(DROP_CHECKSUM);
    icmp("172.16.0.2", "192.0.2.7", 8, 64);
    frame[frame_len - 1] ^= 1;
    assert_drops(DROP_CHECKSUM);
    icmp("fd42:6d73:62::2", "2001:db8::7", 128, 64);
    frame[frame_len - 1] ^= 1;
    assert_drops(DROP_CHECKSUM);
}

static void test_udp_without_checksum_is_for_ipv4_only(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    put_be16(l4_4() + 6, 0);
    assert_passes();
    udp4("fd42:6d73:62::2", "2001:db8::7", 53);
    put_be16(l4_6() + 6, 0);
    assert_drops(DROP_CHECKSUM);
}

/* ---- offload metadata ---- */

static void test_metadata_vouches_for_the_transport_checksum(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 9);
    put_be16(l4_4() + 16, 0xdead);
    assert_int_equal(judge_with((ln_frame){.flags = LN_FRAME_CSUM_VALID}), DROP_NONE);
    ln_frame partial = {.flags = LN_FRAME_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 16};
    assert_int_equal(judge_with(partial), DROP_NONE);
    partial.csum_offset = 6;
    assert_int_equal(judge_with(partial), DROP_CHECKSUM);
    partial.csum_offset = 16;
    partial.csum_start = 14;
    assert_int_equal(judge_with(partial), DROP_CHECKSUM);
}

static void test_partial_checksum_of_a_fragment_is_dropped(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    put_be16(l3() + 6, 3);
    guest_ipv4_checksum(l3());
    assert_passes();
    ln_frame partial = {.flags = LN_FRAME_CSUM_PARTIAL, .csum_start = 34, .csum_offset = 6};
    assert_int_equal(judge_with(partial), DROP_CHECKSUM);
}

static ln_frame gso4(void)
{
    return (ln_frame){
        .flags = LN_FRAME_CSUM_PARTIAL,
        .csum_start = ETH_LEN + IPV4_LEN,
        .csum_offset = 16,
        .gso_type = LN_GSO_TCP4,
        .gso_size = 1460,
        .header_len = 54,
    };
}

static void test_super_segment_passes_with_its_metadata(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 65535 - 40);
    assert_drops(DROP_OVERSIZE);
    assert_int_equal(judge_with(gso4()), DROP_NONE);
    assert_int_equal(packet.payload_len, 65535 - 40);
    assert_int_equal(packet.payload, 54);
    tcp(segment6(TCP_ACK | TCP_FIN | TCP_PSH), 65000);
    ln_frame meta = gso4();
    meta.gso_type = LN_GSO_TCP6;
    meta.gso_size = 1440;
    meta.csum_start = ETH_LEN + IPV6_LEN;
    assert_int_equal(judge_with(meta), DROP_NONE);
    assert_int_equal(packet.payload_len, 65000);
}

static void test_inconsistent_super_segments_are_dropped(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 9000);
    ln_frame meta = gso4();
    meta.gso_type = LN_GSO_TCP6;
    assert_int_equal(judge_with(meta), DROP_HEADER);
    meta.gso_type = 3; /* UDP */
    assert_int_equal(judge_with(meta), DROP_HEADER);
    meta = gso4();
    meta.gso_size = 0;
    assert_int_equal(judge_with(meta), DROP_HEADER);
    meta.gso_size = 1461; /* segments would not fit the MTU */
    assert_int_equal(judge_with(meta), DROP_OVERSIZE);
    meta = gso4();
    meta.flags = LN_FRAME_CSUM_VALID;
    assert_int_equal(judge_with(meta), DROP_HEADER);
    tcp(segment4(TCP_SYN), 9000);
    assert_int_equal(judge_with(gso4()), DROP_HEADER);
    static uint8_t payload[9000];
    ln_addr from = guest_addr("172.16.0.2");
    ln_addr to = guest_addr("192.0.2.7");
    frame_len = guest_udp(frame, &from, 4000, &to, 53, payload, sizeof(payload));
    meta = gso4();
    meta.csum_offset = 6;
    assert_int_equal(judge_with(meta), DROP_HEADER);
}

static void test_frame_longer_than_the_mtu_is_dropped(void **state)
{
    (void)state;
    tcp(segment4(TCP_ACK), 1460);
    assert_passes();
    tcp(segment4(TCP_ACK), 1461);
    assert_drops(DROP_OVERSIZE);
    tcp(segment6(TCP_ACK), 1440);
    assert_passes();
    tcp(segment6(TCP_ACK), 1441);
    assert_drops(DROP_OVERSIZE);
}

static void test_frame_longer_than_any_is_dropped(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    static uint8_t padded[LN_FRAME_MAX + 1];
    memcpy(padded, frame, frame_len);
    struct link_identity link = guest_link();
    ln_frame longest = {.data = padded, .len = LN_FRAME_MAX};
    assert_int_equal(packet_classify(&longest, &link, &packet), DROP_NONE);
    longest.len++;
    assert_int_equal(packet_classify(&longest, &link, &packet), DROP_OVERSIZE);
}

static void test_output_is_untouched_by_a_drop(void **state)
{
    (void)state;
    udp4("172.16.0.2", "192.0.2.7", 53);
    assert_passes();
    struct packet before = packet;
    udp4("172.16.0.2", "127.0.0.1", 53);
    assert_drops(DROP_DESTINATION);
    assert_memory_equal(&before, &packet, sizeof(packet));
}

/* ---- own packets ---- */

static void test_own_packet_is_described_whatever_its_addresses_and_length(void **state)
{
    (void)state;
    static const uint8_t payload[65507];
    ln_addr from = guest_addr("8.8.8.8");
    ln_addr to = guest_addr("172.16.0.2");
    frame_len = guest_udp(frame, &from, 53, &to, 4000, payload, sizeof(payload));
    assert_int_equal(packet_describe(frame, frame_len, &packet), DROP_NONE);
    assert_int_equal(packet.payload_len, sizeof(payload));
    frame[60000] ^= 1;
    assert_int_equal(packet_describe(frame, frame_len, &packet), DROP_CHECKSUM);
    udp4("2001:db8::7", "fe80::2", 53);
    ln_addr mapped = guest_addr("::ffff:192.0.2.7");
    memcpy(l3() + 8, mapped.bytes, 16);
    guest_checksum(frame, l4_6(), 6, 17, 13);
    assert_int_equal(packet_describe(frame, frame_len, &packet), DROP_SOURCE);
}

static void test_drop_names_are_distinct(void **state)
{
    (void)state;
    for (int i = 0; i < DROP_REASONS; i++) {
        assert_non_null(drop_reason_name((enum drop_reason)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(drop_reason_name((enum drop_reason)i),
                                    drop_reason_name((enum drop_reason)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_udp_datagram_is_described),
        cmocka_unit_test(test_tcp_segment_is_described),
        cmocka_unit_test(test_echo_request_has_its_identifier_for_ports),
        cmocka_unit_test(test_ethernet_padding_is_cut_off),
        cmocka_unit_test(test_every_prefix_of_a_frame_is_truncated),
        cmocka_unit_test(test_other_ethertypes_are_dropped),
        cmocka_unit_test(test_macs_must_be_right),
        cmocka_unit_test(test_multicast_goes_to_the_mac_of_its_group),
        cmocka_unit_test(test_arp_is_described),
        cmocka_unit_test(test_bad_arp_is_dropped),
        cmocka_unit_test(test_ipv4_header_must_be_sound),
        cmocka_unit_test(test_ip_packet_shorter_than_its_header_is_dropped),
        cmocka_unit_test(test_ipv4_header_checksum_is_verified_always),
        cmocka_unit_test(test_ipv4_options_are_refused),
        cmocka_unit_test(test_ipv4_fragment_is_recognised),
        cmocka_unit_test(test_impossible_fragments_are_dropped),
        cmocka_unit_test(test_destinations_that_never_pass),
        cmocka_unit_test(test_source_equal_to_destination_is_dropped),
        cmocka_unit_test(test_gateway_is_a_destination),
        cmocka_unit_test(test_ipv6_sources_are_those_of_the_subnet_and_link_local),
        cmocka_unit_test(test_dhcp_may_come_from_nowhere),
        cmocka_unit_test(test_ipv6_options_are_walked),
        cmocka_unit_test(test_ipv6_options_that_may_not_be_skipped_are_refused),
        cmocka_unit_test(test_bad_extension_headers_are_dropped),
        cmocka_unit_test(test_ipv6_headers_not_carried_are_refused),
        cmocka_unit_test(test_ipv6_fragment_is_recognised),
        cmocka_unit_test(test_fragment_of_another_protocol_is_dropped),
        cmocka_unit_test(test_neighbour_discovery_needs_hop_limit_255),
        cmocka_unit_test(test_tcp_flags_that_are_never_legal),
        cmocka_unit_test(test_tcp_header_must_be_sound),
        cmocka_unit_test(test_icmp_code_must_be_known),
        cmocka_unit_test(test_udp_header_must_be_sound),
        cmocka_unit_test(test_transport_checksums_are_verified),
        cmocka_unit_test(test_udp_without_checksum_is_for_ipv4_only),
        cmocka_unit_test(test_metadata_vouches_for_the_transport_checksum),
        cmocka_unit_test(test_partial_checksum_of_a_fragment_is_dropped),
        cmocka_unit_test(test_super_segment_passes_with_its_metadata),
        cmocka_unit_test(test_inconsistent_super_segments_are_dropped),
        cmocka_unit_test(test_frame_longer_than_the_mtu_is_dropped),
        cmocka_unit_test(test_frame_longer_than_any_is_dropped),
        cmocka_unit_test(test_output_is_untouched_by_a_drop),
        cmocka_unit_test(test_own_packet_is_described_whatever_its_addresses_and_length),
        cmocka_unit_test(test_drop_names_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
