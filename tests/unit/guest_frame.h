/* Frames as a guest would send them, for tests: built byte by byte, with checksums of their own, so
 * that they check core/packet and do not repeat it. */
#ifndef GUEST_FRAME_H
#define GUEST_FRAME_H

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "packet/packet.h"

static const uint8_t guest_gateway_mac[6] = {0x02, 0x6c, 0x75, 0, 0, 1};
static const uint8_t guest_own_mac[6] = {0x02, 0x6c, 0x75, 0, 0, 2};
static const uint8_t guest_broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static inline ln_addr guest_addr(const char *text)
{
    ln_addr addr = {{0}};
    if (ln_addr_parse(text, strlen(text), &addr) != 0) {
        fprintf(stderr, "no address: %s\n", text);
        __builtin_trap();
    }
    return addr;
}

static inline struct link_identity guest_link(void)
{
    struct link_identity link = {
        .gateway4 = guest_addr("172.16.0.1"),
        .guest4 = guest_addr("172.16.0.2"),
        .gateway6 = guest_addr("fd42:6d73:62::1"),
        .guest6 = guest_addr("fd42:6d73:62::2"),
        .prefix4 = {guest_addr("172.16.0.0"), 126},
        .prefix6 = {guest_addr("fd42:6d73:62::"), 64},
        .mtu = 1500,
        .route4 = true,
        .route6 = true,
    };
    memcpy(link.gateway_mac, guest_gateway_mac, 6);
    memcpy(link.guest_mac, guest_own_mac, 6);
    return link;
}

/* Ones' complement sum of 16-bit words, the plain way (RFC 1071). */
static inline uint16_t guest_sum(const uint8_t *data, size_t len, uint32_t sum)
{
    uint64_t total = sum;
    for (size_t i = 0; i + 1 < len; i += 2) {
        total += get_be16(data + i);
    }
    total += len % 2 != 0 ? (uint64_t)data[len - 1] << 8 : 0;
    while (total > 0xffff) {
        total = (total & 0xffff) + (total >> 16);
    }
    return (uint16_t)total;
}

static inline void guest_ipv4_checksum(uint8_t *ip)
{
    put_be16(ip + 10, 0);
    put_be16(ip + 10, (uint16_t)~guest_sum(ip, (ip[0] & 15u) * 4u, 0));
}

/* The sum of the pseudo header of a whole Ethernet + IP frame without extension headers. */
static inline uint16_t guest_pseudo_sum(const uint8_t *frame, uint8_t protocol, size_t len)
{
    const uint8_t *ip = frame + ETH_LEN;
    bool v6 = ip[0] >> 4 == 6;
    uint32_t sum = guest_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8, 0);
    sum += (uint32_t)(len >> 16) + (uint32_t)(len & 0xffff) + protocol;
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Ethernet and IP headers of the right family before `len` bytes of `protocol`, from the guest's
 * MAC to the gateway's. Returns where the transport header goes. */
static inline uint8_t *guest_ip(uint8_t *frame, const ln_addr *src, const ln_addr *dst,
                                uint8_t protocol, size_t len)
{
    bool v6 = !ln_addr_is_v4(dst);
    memcpy(frame, guest_gateway_mac, 6);
    memcpy(frame + 6, guest_own_mac, 6);
    put_be16(frame + 12, v6 ? 0x86dd : 0x0800);
    uint8_t *ip = frame + ETH_LEN;
    if (v6) {
        put_be32(ip, 0x60000000);
        put_be16(ip + 4, (uint16_t)len);
        ip[6] = protocol;
        ip[7] = 64;
        memcpy(ip + 8, src->bytes, 16);
        memcpy(ip + 24, dst->bytes, 16);
        return ip + 40;
    }
    put_be32(ip, 0x45000000 | (uint32_t)(20 + len));
    put_be32(ip + 4, 0x12340000);
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, src->bytes + 12, 4);
    memcpy(ip + 16, dst->bytes + 12, 4);
    guest_ipv4_checksum(ip);
    return ip + 20;
}

static inline size_t guest_frame_len(const ln_addr *dst, size_t transport_len)
{
    return ETH_LEN + (ln_addr_is_v4(dst) ? 20u : 40u) + transport_len;
}

/* Fills in the transport checksum at `offset` of the transport header. */
static inline void guest_checksum(uint8_t *frame, uint8_t *transport, size_t offset,
                                  uint8_t protocol, size_t len)
{
    put_be16(transport + offset, 0);
    uint32_t sum = protocol == 1 ? 0 : guest_pseudo_sum(frame, protocol, len);
    put_be16(transport + offset, (uint16_t)~guest_sum(transport, len, sum));
}

/* A UDP datagram. Returns the frame's length. */
static inline size_t guest_udp(uint8_t *frame, const ln_addr *src, uint16_t src_port,
                               const ln_addr *dst, uint16_t dst_port, const void *payload,
                               size_t len)
{
    uint8_t *udp = guest_ip(frame, src, dst, 17, 8 + len);
    put_be16(udp, src_port);
    put_be16(udp + 2, dst_port);
    put_be16(udp + 4, (uint16_t)(8 + len));
    memcpy(udp + 8, payload, len);
    guest_checksum(frame, udp, 6, 17, 8 + len);
    return guest_frame_len(dst, 8 + len);
}

/* What a TCP segment says. */
struct guest_segment {
    ln_addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    const uint8_t *options; /* a multiple of 4 bytes */
    size_t options_len;
};

/* A TCP segment. Returns the frame's length. */
static inline size_t guest_tcp(uint8_t *frame, const struct guest_segment *s, const void *payload,
                               size_t len)
{
    size_t header_len = 20 + s->options_len;
    uint8_t *tcp = guest_ip(frame, &s->src, &s->dst, 6, header_len + len);
    put_be16(tcp, s->src_port);
    put_be16(tcp + 2, s->dst_port);
    put_be32(tcp + 4, s->seq);
    put_be32(tcp + 8, s->ack);
    tcp[12] = (uint8_t)(header_len << 2);
    tcp[13] = s->flags;
    put_be16(tcp + 14, s->window);
    put_be32(tcp + 16, 0);
    if (s->options_len > 0) {
        memcpy(tcp + 20, s->options, s->options_len);
    }
    if (len > 0) {
        memcpy(tcp + header_len, payload, len);
    }
    guest_checksum(frame, tcp, 16, 6, header_len + len);
    return guest_frame_len(&s->dst, header_len + len);
}

/* An ICMP or ICMPv6 message: type, code, 4 bytes, payload. Returns the frame's length. */
static inline size_t guest_icmp(uint8_t *frame, const ln_addr *src, const ln_addr *dst,
                                uint8_t type, uint8_t code, uint32_t rest, const void *payload,
                                size_t len)
{
    uint8_t protocol = ln_addr_is_v4(dst) ? 1 : 58;
    uint8_t *icmp = guest_ip(frame, src, dst, protocol, 8 + len);
    icmp[0] = type;
    icmp[1] = code;
    put_be32(icmp + 4, rest);
    if (len > 0) {
        memcpy(icmp + 8, payload, len);
    }
    guest_checksum(frame, icmp, 2, protocol, 8 + len);
    return guest_frame_len(dst, 8 + len);
}

#endif
