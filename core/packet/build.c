/* Building packets for the guest: headers, checksums, ICMP errors, in place in memory of the
 * caller. */
#include "packet/build.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "base/bytes.h"

enum {
    HOP_LIMIT = 64,
    IPV4_DONT_FRAGMENT = 0x4000,
    ICMPV4_ERROR_MAX = 576,  /* bytes of IP, RFC 1812 section 4.3.2.3 */
    ICMPV6_ERROR_MAX = 1280, /* RFC 4443 section 2.4 (c) */
    ICMPV6_TOO_BIG = 2
};

/* ---- checksums ---- */

/* The sum is kept in the byte order of the machine: that of ones' complement does not matter (RFC
 * 1071 section 2 (B)), and build_fold() turns it once. Words of 64 bits are added as two halves, so
 * that nothing overflows below 32 GiB; the compiler's vectors add two of them at a time. */
typedef uint64_t pair __attribute__((vector_size(16)));

static uint64_t halves(uint64_t word)
{
    return (word & UINT32_MAX) + (word >> 32);
}

uint64_t build_sum(const uint8_t *data, size_t len, uint64_t sum)
{
    static const pair low = {UINT32_MAX, UINT32_MAX};
    pair lows = {0};
    pair highs = {0};
    size_t at = 0;
    for (; at + 32 <= len; at += 32) {
        pair a;
        pair b;
        memcpy(&a, data + at, 16);
        memcpy(&b, data + at + 16, 16);
        lows += (a & low) + (b & low);
        highs += (a >> 32) + (b >> 32);
    }
    lows += highs;
    sum += lows[0] + lows[1];
    for (; at + 8 <= len; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, 8);
        sum += halves(word);
    }
    if (at < len) {
        uint64_t word = 0;
        memcpy(&word, data + at, len - at);
        sum += halves(word);
    }
    return sum;
}

uint16_t build_fold(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return ntohs((uint16_t)sum);
}

/* The bytes of an address as they stand in a header of its family. */
static const uint8_t *wire_addr(const ln_addr *addr, bool v6)
{
    return v6 ? addr->bytes : addr->bytes + 12;
}

static size_t wire_addr_len(bool v6)
{
    return v6 ? 16 : 4;
}

uint64_t build_pseudo_sum(const ln_addr *src, const ln_addr *dst, bool v6, uint8_t protocol,
                          uint32_t len)
{
    uint8_t tail[8] = {0};
    put_be32(tail, len);
    tail[7] = protocol;
    uint64_t sum = build_sum(tail, sizeof(tail), 0);
    sum = build_sum(wire_addr(src, v6), wire_addr_len(v6), sum);
    return build_sum(wire_addr(dst, v6), wire_addr_len(v6), sum);
}

/* ---- headers ---- */

void build_eth(uint8_t *dst, const uint8_t dst_mac[6], const uint8_t src_mac[6], uint16_t ethertype)
{
    memcpy(dst, dst_mac, 6);
    memcpy(dst + 6, src_mac, 6);
    put_be16(dst + 12, ethertype);
}

void build_ip(uint8_t *dst, bool v6, const ln_addr *src, const ln_addr *dst_addr, uint8_t protocol,
              uint32_t payload_len)
{
    if (v6) {
        assert(payload_len <= UINT16_MAX);
        put_be32(dst, 6u << 28);
        put_be16(dst + 4, (uint16_t)payload_len);
        dst[6] = protocol;
        dst[7] = HOP_LIMIT;
        memcpy(dst + 8, src->bytes, 16);
        memcpy(dst + 24, dst_addr->bytes, 16);
        return;
    }
    assert(payload_len <= UINT16_MAX - IPV4_LEN);
    dst[0] = 4 << 4 | IPV4_LEN / 4;
    dst[1] = 0;
    put_be16(dst + 2, (uint16_t)(IPV4_LEN + payload_len));
    put_be16(dst + 4, 0); /* atomic datagrams need no identification (RFC 6864 section 4.1) */
    put_be16(dst + 6, IPV4_DONT_FRAGMENT);
    dst[8] = HOP_LIMIT;
    dst[9] = protocol;
    put_be16(dst + 10, 0);
    memcpy(dst + 12, wire_addr(src, false), 4);
    memcpy(dst + 16, wire_addr(dst_addr, false), 4);
    build_ipv4_checksum(dst);
}

void build_ipv4_checksum(uint8_t *header)
{
    size_t len = (header[0] & 0x0fu) * 4u;
    put_be16(header + 10, 0);
    put_be16(header + 10, (uint16_t)~build_fold(build_sum(header, len, 0)));
}

size_t build_udp(uint8_t *frame, const uint8_t dst_mac[6], const uint8_t src_mac[6], bool v6,
                 const ln_addr *src, uint16_t src_port, const ln_addr *dst_addr, uint16_t dst_port,
                 size_t payload_len)
{
    size_t ip_len = v6 ? IPV6_LEN : IPV4_LEN;
    uint32_t udp_len = UDP_LEN + (uint32_t)payload_len;
    uint8_t *udp = frame + ETH_LEN + ip_len;
    build_eth(frame, dst_mac, src_mac, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    build_ip(frame + ETH_LEN, v6, src, dst_addr, IPPROTO_UDP, udp_len);
    put_be16(udp, src_port);
    put_be16(udp + 2, dst_port);
    put_be16(udp + 4, (uint16_t)udp_len);
    put_be16(udp + 6, 0);
    uint64_t sum = build_pseudo_sum(src, dst_addr, v6, IPPROTO_UDP, udp_len);
    uint16_t checksum = (uint16_t)~build_fold(build_sum(udp, udp_len, sum));
    put_be16(udp + 6, checksum == 0 ? UINT16_MAX : checksum); /* 0 would say "none" (RFC 768) */
    return ETH_LEN + ip_len + udp_len;
}

/* ---- ICMP ---- */

static void fill_icmp_checksum(uint8_t *icmp, uint32_t len, bool v6, const ln_addr *src,
                               const ln_addr *dst)
{
    uint64_t sum = v6 ? build_pseudo_sum(src, dst, true, IPPROTO_ICMPV6, len) : 0;
    put_be16(icmp + 2, 0);
    put_be16(icmp + 2, (uint16_t)~build_fold(build_sum(icmp, len, sum)));
}

size_t build_echo(uint8_t *frame, const uint8_t dst_mac[6], const uint8_t src_mac[6], bool v6,
                  const ln_addr *src, const ln_addr *dst_addr, uint8_t type, uint16_t id,
                  uint16_t seq, size_t data_len)
{
    size_t ip_len = v6 ? IPV6_LEN : IPV4_LEN;
    uint32_t icmp_len = ICMP_LEN + (uint32_t)data_len;
    uint8_t *icmp = frame + ETH_LEN + ip_len;
    build_eth(frame, dst_mac, src_mac, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    build_ip(frame + ETH_LEN, v6, src, dst_addr, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, icmp_len);
    icmp[0] = type;
    icmp[1] = 0;
    put_be16(icmp + 4, id);
    put_be16(icmp + 6, seq);
    fill_icmp_checksum(icmp, icmp_len, v6, src, dst_addr);
    return ETH_LEN + ip_len + icmp_len;
}

/* ---- ICMP errors ---- */

static const struct icmp_code {
    uint8_t type, code;
} icmp_codes[][2] = {
    /* v4, v6 */
    [ICMP_ERROR_NET_UNREACHABLE] = {{3, 0}, {1, 0}},
    [ICMP_ERROR_HOST_UNREACHABLE] = {{3, 1}, {1, 3}},
    [ICMP_ERROR_PORT_UNREACHABLE] = {{3, 3}, {1, 4}},
    [ICMP_ERROR_PROHIBITED] = {{3, 13}, {1, 1}},
    [ICMP_ERROR_TOO_BIG] = {{3, 4}, {2, 0}},
    [ICMP_ERROR_TTL_EXCEEDED] = {{11, 0}, {3, 0}},
};
static_assert(sizeof(icmp_codes) / sizeof(icmp_codes[0]) == ICMP_ERRORS, "a code for every error");

static bool is_unspecified(const ln_addr *addr)
{
    static const ln_addr none6;
    ln_addr none4 = ln_addr_v4(0);
    return ln_addr_equal(addr, &none6) || ln_addr_equal(addr, &none4);
}

/* Errors answer datagrams and echo requests only; of the rest of ICMP some are errors themselves,
 * and none is worth one. */
static bool may_be_answered(const struct packet *packet, const struct icmp_message *message)
{
    switch (packet->kind) {
    case PACKET_TCP:
    case PACKET_UDP:
    case PACKET_ECHO_REQUEST:
        break;
    case PACKET_FRAGMENT:
        if (packet->fragment_offset != 0) {
            return false;
        }
        break;
    case PACKET_ARP:
    case PACKET_ICMP:
    case PACKET_NDP:
        return false;
    }
    if (packet_is_multicast(packet) && !(packet->v6 && message->type == ICMPV6_TOO_BIG)) {
        return false;
    }
    return !is_unspecified(&packet->src);
}

size_t build_icmp_message(uint8_t dst[ICMP_ERROR_FRAME_MAX], const struct link_identity *link,
                          const uint8_t guest_mac[6], const struct packet *packet,
                          const struct icmp_message *message)
{
    if (!may_be_answered(packet, message)) {
        return 0;
    }
    bool v6 = packet->v6;
    uint32_t ip_len = v6 ? IPV6_LEN : IPV4_LEN;
    uint32_t most = (v6 ? ICMPV6_ERROR_MAX : ICMPV4_ERROR_MAX) - ip_len - ICMP_LEN;
    uint32_t quoted = packet->frame_len - packet->l3;
    quoted = quoted < most ? quoted : most;
    uint8_t protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    uint32_t icmp_len = ICMP_LEN + quoted;

    uint8_t *icmp = dst + ETH_LEN + ip_len;
    build_eth(dst, guest_mac, link->gateway_mac, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    build_ip(dst + ETH_LEN, v6, &message->src, &packet->src, protocol, icmp_len);
    icmp[0] = message->type;
    icmp[1] = message->code;
    put_be32(icmp + 4, message->rest);
    memcpy(icmp + ICMP_LEN, packet->frame + packet->l3, quoted);
    fill_icmp_checksum(icmp, icmp_len, v6, &message->src, &packet->src);
    return ETH_LEN + ip_len + icmp_len;
}

size_t build_icmp_error(uint8_t dst[ICMP_ERROR_FRAME_MAX], const struct link_identity *link,
                        const uint8_t guest_mac[6], const struct packet *packet,
                        enum icmp_error error, uint32_t mtu)
{
    bool v6 = packet->v6;
    bool by_gateway = packet_is_multicast(packet) || error == ICMP_ERROR_TTL_EXCEEDED;
    struct icmp_message message = {
        .src = !by_gateway ? packet->dst
               : v6        ? link->gateway6
                           : link->gateway4,
        .type = icmp_codes[error][v6].type,
        .code = icmp_codes[error][v6].code,
        /* The MTU: 32 bits in ICMPv6 (RFC 4443 section 3.2), the lower 16 in ICMPv4 (RFC 1191). */
        .rest = error == ICMP_ERROR_TOO_BIG ? mtu : 0,
    };
    return build_icmp_message(dst, link, guest_mac, packet, &message);
}
