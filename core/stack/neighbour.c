/* ARP, neighbour discovery and router discovery: who the gateway is, and what the guest may make of
 * its subnet. */
#include "stack/neighbour.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "base/bytes.h"
#include "packet/build.h"
#include "stack/search_list.h"

enum {
    ARP_LEN = 28,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    NA_ROUTER = 0x80,
    NA_SOLICITED = 0x40,
    NA_OVERRIDE = 0x20,
    OPTION_SOURCE_MAC = 1,
    OPTION_TARGET_MAC = 2,
    OPTION_PREFIX = 3,
    OPTION_MTU = 5,
    OPTION_RDNSS = 25,
    OPTION_DNSSL = 31,
    SEARCH_MAX = 320, /* bytes of a search list, a multiple of 8 */
    PREFIX_ON_LINK = 0x80,
    PREFIX_AUTONOMOUS = 0x40,
    ROUTER_LIFETIME_S = 65535, /* the most, RFC 8319 */
    HOP_LIMIT = 64
};

static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
static const ln_addr all_nodes = {{0xff, 0x02, [15] = 1}};
static const ln_addr all_routers = {{0xff, 0x02, [15] = 2}};
static const ln_addr unspecified;

/* ---- ARP ---- */

static size_t answer_arp(const struct packet *packet, const struct link_identity *link,
                         const uint8_t guest_mac[6], uint8_t *dst)
{
    const uint8_t *request = packet->frame + ETH_LEN;
    if (get_be16(request + 6) != ARP_REQUEST || !ln_addr_equal(&packet->dst, &link->gateway4)) {
        return 0;
    }
    build_eth(dst, guest_mac, link->gateway_mac, ETHERTYPE_ARP);
    uint8_t *reply = dst + ETH_LEN;
    memcpy(reply, request, 6); /* hardware and protocol */
    put_be16(reply + 6, ARP_REPLY);
    memcpy(reply + 8, link->gateway_mac, 6);
    put_be32(reply + 14, ln_addr_to_v4(&link->gateway4));
    memcpy(reply + 18, request + 8, 10); /* the asker */
    return ETH_LEN + ARP_LEN;
}

/* ---- neighbour discovery ---- */

/* Checks the options of a message (RFC 4861 section 4.6) and tells whether it names the sender's
 * MAC. */
static bool read_options(struct reader r, bool *ret_source_mac)
{
    *ret_source_mac = false;
    while (reader_left(&r) > 0) {
        uint8_t type = reader_u8(&r);
        uint8_t units = reader_u8(&r);
        if (units == 0) {
            return false;
        }
        reader_skip(&r, units * 8u - 2u);
        *ret_source_mac |= type == OPTION_SOURCE_MAC;
    }
    return !r.failed;
}

/* Puts the headers before the `len` bytes of ICMPv6 behind them. Returns the frame's length. */
static size_t finish(uint8_t *dst, const struct link_identity *link, const uint8_t dst_mac[6],
                     const ln_addr *src, const ln_addr *dst_addr, size_t len)
{
    uint8_t *ip = dst + ETH_LEN;
    uint8_t *icmp = ip + IPV6_LEN;
    build_eth(dst, dst_mac, link->gateway_mac, ETHERTYPE_IPV6);
    build_ip(ip, true, src, dst_addr, IPPROTO_ICMPV6, (uint32_t)len);
    ip[7] = NDP_HOP_LIMIT;
    uint64_t sum = build_pseudo_sum(src, dst_addr, true, IPPROTO_ICMPV6, (uint32_t)len);
    put_be16(icmp + 2, (uint16_t)~build_fold(build_sum(icmp, len, sum)));
    return ETH_LEN + IPV6_LEN + len;
}

/* Whether `addr` is the solicited-node multicast address of `target` (RFC 4291 section 2.7.1). */
static bool is_solicited_node(const ln_addr *addr, const ln_addr *target)
{
    static const uint8_t prefix[13] = {0xff, 0x02, [11] = 0x01, 0xff};
    return memcmp(addr->bytes, prefix, 13) == 0 &&
           memcmp(addr->bytes + 13, target->bytes + 13, 3) == 0;
}

/* RFC 4861 sections 7.1.1 and 7.2.4. */
static size_t answer_solicitation(const struct packet *packet, const struct link_identity *link,
                                  const uint8_t guest_mac[6], uint8_t *dst)
{
    struct reader r = reader_of(packet->frame + packet->payload, packet->payload_len);
    const uint8_t *asked = reader_bytes(&r, 16);
    bool source_mac;
    if (asked == NULL || !read_options(r, &source_mac)) {
        return 0;
    }
    ln_addr target;
    memcpy(target.bytes, asked, 16);
    ln_addr local = link_gateway_local(link);
    if (!ln_addr_equal(&target, &link->gateway6) && !ln_addr_equal(&target, &local)) {
        return 0;
    }
    bool to_group = is_solicited_node(&packet->dst, &target);
    bool probe = ln_addr_equal(&packet->src, &unspecified); /* the guest wants the address itself */
    if (probe ? !to_group || source_mac : !to_group && !ln_addr_equal(&packet->dst, &target)) {
        return 0;
    }
    uint8_t *icmp = dst + ETH_LEN + IPV6_LEN;
    memset(icmp, 0, ICMP_LEN);
    icmp[0] = NDP_NEIGHBOUR_ADVERTISEMENT;
    icmp[4] = NA_ROUTER | NA_OVERRIDE | (probe ? 0 : NA_SOLICITED);
    memcpy(icmp + 8, target.bytes, 16);
    icmp[24] = OPTION_TARGET_MAC;
    icmp[25] = 1;
    memcpy(icmp + 26, link->gateway_mac, 6);
    return finish(dst, link, probe ? all_nodes_mac : guest_mac, &target,
                  probe ? &all_nodes : &packet->src, 32);
}

/* RFC 4861 section 6.1.1. The answer may go to all nodes (section 6.2.6). */
static size_t answer_router_solicitation(const struct packet *packet,
                                         const struct link_identity *link, uint8_t *dst)
{
    bool source_mac;
    if (!ln_addr_equal(&packet->dst, &all_routers) ||
        !read_options(reader_of(packet->frame + packet->payload, packet->payload_len),
                      &source_mac) ||
        (source_mac && ln_addr_equal(&packet->src, &unspecified))) {
        return 0;
    }
    return neighbour_router_advertisement(link, dst);
}

size_t neighbour_answer(const struct packet *packet, const struct link_identity *link,
                        const uint8_t guest_mac[6], uint8_t dst[NEIGHBOUR_FRAME_MAX])
{
    if (packet->kind == PACKET_ARP) {
        return answer_arp(packet, link, guest_mac, dst);
    }
    if (packet->kind != PACKET_NDP) {
        return 0;
    }
    switch (packet->frame[packet->l4]) {
    case NDP_NEIGHBOUR_SOLICITATION:
        return answer_solicitation(packet, link, guest_mac, dst);
    case NDP_ROUTER_SOLICITATION:
        return answer_router_solicitation(packet, link, dst);
    default:
        return 0;
    }
}

/* ---- router advertisement ---- */

/* Each writes an option and returns what follows it. */
static uint8_t *put_source_mac(uint8_t *at, const uint8_t mac[6])
{
    at[0] = OPTION_SOURCE_MAC;
    at[1] = 1;
    memcpy(at + 2, mac, 6);
    return at + 8;
}

static uint8_t *put_mtu(uint8_t *at, uint16_t mtu)
{
    put_be32(at, OPTION_MTU << 24 | 1 << 16);
    put_be32(at + 4, mtu);
    return at + 8;
}

static uint8_t *put_prefix(uint8_t *at, const ln_prefix *prefix)
{
    at[0] = OPTION_PREFIX;
    at[1] = 4;
    at[2] = prefix->bits;
    at[3] = PREFIX_ON_LINK | PREFIX_AUTONOMOUS;
    put_be32(at + 4, UINT32_MAX); /* valid and preferred for ever */
    put_be32(at + 8, UINT32_MAX);
    put_be32(at + 12, 0);
    memcpy(at + 16, prefix->addr.bytes, 16);
    return at + 32;
}

static uint8_t *put_rdnss(uint8_t *at, const ln_addr *server)
{
    put_be32(at, OPTION_RDNSS << 24 | 3 << 16);
    put_be32(at + 4, UINT32_MAX);
    memcpy(at + 8, server->bytes, 16);
    return at + 24;
}

/* RFC 8106 section 5.2. */
static uint8_t *put_dnssl(uint8_t *at, const struct link_identity *link)
{
    size_t len = search_list_write(link->search, link->n_search, false, at + 8, SEARCH_MAX);
    if (len == 0) {
        return at;
    }
    size_t units = 1 + (len + 7) / 8;
    memset(at + 8 + len, 0, 8 * units - 8 - len);
    put_be32(at, (uint32_t)(OPTION_DNSSL << 24 | units << 16));
    put_be32(at + 4, UINT32_MAX);
    return at + 8 * units;
}

size_t neighbour_router_advertisement(const struct link_identity *link,
                                      uint8_t dst[NEIGHBOUR_FRAME_MAX])
{
    uint8_t *icmp = dst + ETH_LEN + IPV6_LEN;
    memset(icmp, 0, 16);
    icmp[0] = NDP_ROUTER_ADVERTISEMENT;
    icmp[4] = HOP_LIMIT;
    put_be16(icmp + 6, link->route6 ? ROUTER_LIFETIME_S : 0);
    uint8_t *at = put_source_mac(icmp + 16, link->gateway_mac);
    at = put_mtu(at, link->mtu);
    at = put_prefix(at, &link->prefix6);
    at = put_rdnss(at, &link->gateway6);
    at = put_dnssl(at, link);
    assert(at <= dst + NEIGHBOUR_FRAME_MAX);
    ln_addr src = link_gateway_local(link);
    return finish(dst, link, all_nodes_mac, &src, &all_nodes, (size_t)(at - icmp));
}
