/* Building packets for the guest: headers, checksums, ICMP errors. Everything is written in place
 * into memory of the caller. */
#ifndef LN_PACKET_BUILD_H
#define LN_PACKET_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/packet.h"

/* Internet checksum (RFC 1071) in three steps, so that parts can be added up: the running sum of
 * `len` bytes that start at an even offset, the folded 16 bits (not complemented), and the sum of
 * the pseudo header (RFC 793, RFC 8200 section 8.1). `len` there is the transport length. */
uint64_t build_sum(const uint8_t *data, size_t len, uint64_t sum);
uint16_t build_fold(uint64_t sum);
uint64_t build_pseudo_sum(const ln_addr *src, const ln_addr *dst, bool v6, uint8_t protocol,
                          uint32_t len);

/* Writes 14 bytes. */
void build_eth(uint8_t *dst, const uint8_t dst_mac[6], const uint8_t src_mac[6],
               uint16_t ethertype);
/* Writes an IPv4 (20 bytes, DF set, checksum filled) or IPv6 (40 bytes) header before
 * `payload_len` bytes of `protocol`, hop limit 64. */
void build_ip(uint8_t *dst, bool v6, const ln_addr *src, const ln_addr *dst_addr, uint8_t protocol,
              uint32_t payload_len);
/* Fills in the checksum of the IPv4 header at `header`. */
void build_ipv4_checksum(uint8_t *header);
/* Writes Ethernet, IP and UDP headers (ETH_LEN + 20 or 40 + 8) before `payload_len` bytes that
 * stand behind them already, checksum filled. Returns the length of the whole frame. */
size_t build_udp(uint8_t *frame, const uint8_t dst_mac[6], const uint8_t src_mac[6], bool v6,
                 const ln_addr *src, uint16_t src_port, const ln_addr *dst_addr, uint16_t dst_port,
                 size_t payload_len);

/* Likewise Ethernet, IP and ICMP or ICMPv6 headers of an echo message of `type` before `data_len`
 * bytes of data. */
size_t build_echo(uint8_t *frame, const uint8_t dst_mac[6], const uint8_t src_mac[6], bool v6,
                  const ln_addr *src, const ln_addr *dst_addr, uint8_t type, uint16_t id,
                  uint16_t seq, size_t data_len);

/* Each stands for its ICMPv4 (RFC 792, 1812) and ICMPv6 (RFC 4443) form. */
enum icmp_error {
    ICMP_ERROR_NET_UNREACHABLE,  /* v4 3/0, v6 1/0 */
    ICMP_ERROR_HOST_UNREACHABLE, /* v4 3/1, v6 1/3 */
    ICMP_ERROR_PORT_UNREACHABLE, /* v4 3/3, v6 1/4 */
    ICMP_ERROR_PROHIBITED,       /* v4 3/13, v6 1/1: administratively prohibited */
    ICMP_ERROR_TOO_BIG,          /* v4 3/4, v6 2/0; `mtu` is told */
    ICMP_ERROR_TTL_EXCEEDED,     /* v4 11/0, v6 3/0; from the gateway */
    ICMP_ERRORS
};
#define ICMP_ERROR_FRAME_MAX (ETH_LEN + 1280u)
/* Writes the frame with an error about `packet` (a packet of the guest), sent as from
 * packet->dst, or from the gateway where that is no unicast address. Quotes as much as RFC 1812
 * section 4.3.2.3 and RFC 4443 section 2.4 (c) allow. Returns its length, or 0 where none may be
 * sent: about ICMP errors, multicast destinations (but for TOO_BIG in IPv6), fragments but the
 * first. */
size_t build_icmp_error(uint8_t dst[ICMP_ERROR_FRAME_MAX], const struct link_identity *link,
                        const uint8_t guest_mac[6], const struct packet *packet,
                        enum icmp_error error, uint32_t mtu);

/* An error as another host worded it. */
struct icmp_message {
    ln_addr src;
    uint8_t type, code; /* of the packet's family */
    uint32_t rest;      /* what follows the checksum */
};
/* Writes the frame that brings `message` about `packet` to the guest; likewise. */
size_t build_icmp_message(uint8_t dst[ICMP_ERROR_FRAME_MAX], const struct link_identity *link,
                          const uint8_t guest_mac[6], const struct packet *packet,
                          const struct icmp_message *message);

#endif
