/* Frames from the guest, checked from the Ethernet header down to the transport checksum. What is
 * not understood in full does not pass.
 *
 * Choices where the standards leave some:
 *   - IPv4 options are refused, all of them: nothing that lunette carries needs one, and without
 *     them a header has one shape.
 *   - IPv6 hop-by-hop and destination options are walked and otherwise ignored, as far as their own
 *     action bits let a receiver ignore them; so jumbograms and home addresses are refused. Routing
 *     headers are refused, and so is any extension header beside a fragment header.
 *   - Ethernet padding behind the IP packet is cut off; behind the transport there may be none. */
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "base/bytes.h"
#include "lunette/policy.h"
#include "packet/build.h"
#include "packet/packet.h"

enum {
    MAC_LEN = 6,
    ETHERTYPE_MIN = 0x0600, /* below is a length: 802.3 with LLC */
    IPV4_RESERVED_BIT = 0x8000,
    IPV4_MORE_FRAGMENTS = 0x2000,
    IPV6_EXTENSIONS_MAX = 4,
    IPV6_FRAGMENT_LEN = 8,
    DHCP_SERVER_PORT = 67,
    ICMPV4_ECHO_REQUEST = 8,
    ICMPV6_ECHO_REQUEST = 128
};

static const char *const drop_names[] = {
    [DROP_NONE] = "none",
    [DROP_TRUNCATED] = "truncated",
    [DROP_ETHERTYPE] = "ethertype",
    [DROP_VLAN] = "vlan",
    [DROP_LLC] = "llc",
    [DROP_MAC] = "mac",
    [DROP_HEADER] = "header",
    [DROP_CHECKSUM] = "checksum",
    [DROP_OPTIONS] = "options",
    [DROP_PROTOCOL] = "protocol",
    [DROP_SOURCE] = "source",
    [DROP_DESTINATION] = "destination",
    [DROP_FRAGMENT] = "fragment",
    [DROP_NO_FLOW] = "no_flow",
    [DROP_STATE] = "state",
    [DROP_LIMIT] = "limit",
    [DROP_RATE] = "rate",
    [DROP_POLICY] = "policy",
    [DROP_LOCAL_NAME] = "local_name",
    [DROP_OVERSIZE] = "oversize",
    [DROP_QUEUE] = "queue",
};
static_assert(sizeof(drop_names) / sizeof(drop_names[0]) == DROP_REASONS, "a name for every one");

const char *drop_reason_name(enum drop_reason reason)
{
    return drop_names[reason];
}

bool packet_is_multicast(const struct packet *p)
{
    return p->v6 ? p->dst.bytes[0] == 0xff : (p->dst.bytes[12] & 0xf0) == 0xe0;
}

ln_addr link_gateway_local(const struct link_identity *link)
{
    const uint8_t *mac = link->gateway_mac;
    return (ln_addr){{0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3],
                      mac[4], mac[5]}};
}

bool link_is_gateway(const struct link_identity *link, const ln_addr *addr)
{
    return ln_addr_equal(addr, &link->gateway4) || ln_addr_equal(addr, &link->gateway6);
}

/* ---- ARP ---- */

static enum drop_reason read_arp(struct packet *p)
{
    struct reader r = reader_of(p->frame + ETH_LEN, p->frame_len - ETH_LEN);
    const uint8_t *fixed = reader_bytes(&r, 6);
    uint16_t operation = reader_u16(&r);
    const uint8_t *sender_mac = reader_bytes(&r, MAC_LEN);
    uint32_t sender = reader_u32(&r);
    reader_skip(&r, MAC_LEN);
    uint32_t target = reader_u32(&r);
    if (r.failed) {
        return DROP_TRUNCATED;
    }
    static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4}; /* hardware, protocol, lengths */
    if (memcmp(fixed, ethernet_ipv4, sizeof(ethernet_ipv4)) != 0 ||
        (operation != 1 && operation != 2)) {
        return DROP_HEADER;
    }
    if (memcmp(sender_mac, p->frame + MAC_LEN, MAC_LEN) != 0) {
        return DROP_MAC;
    }
    p->kind = PACKET_ARP;
    p->l3 = p->l4 = ETH_LEN;
    p->frame_len = (uint32_t)(r.at - p->frame);
    p->payload = p->frame_len;
    p->payload_len = 0;
    p->src = ln_addr_v4(sender);
    p->dst = ln_addr_v4(target);
    return DROP_NONE;
}

/* ---- IP: each leaves `payload` and `payload_len` at what follows the IP headers ---- */

/* Cuts Ethernet padding off. */
static bool set_ip_len(struct packet *p, uint32_t ip_len)
{
    if (ip_len > p->frame_len - p->l3) {
        return false;
    }
    p->frame_len = p->l3 + ip_len;
    return true;
}

static enum drop_reason check_fragment(struct packet *p)
{
    p->kind = PACKET_FRAGMENT;
    if (p->payload_len == 0) {
        return DROP_HEADER;
    }
    uint32_t most = p->v6 ? UINT16_MAX : UINT16_MAX - IPV4_LEN;
    bool fits = p->fragment_offset + p->payload_len <= most;
    bool aligned = !p->more_fragments || p->payload_len % 8 == 0;
    return fits && aligned ? DROP_NONE : DROP_FRAGMENT;
}

static enum drop_reason read_ipv4(struct packet *p)
{
    const uint8_t *ip = p->frame + p->l3;
    if (p->frame_len - p->l3 < IPV4_LEN) {
        return DROP_TRUNCATED;
    }
    uint32_t header_len = (ip[0] & 0x0fu) * 4u;
    uint32_t total_len = get_be16(ip + 2);
    uint16_t fragment = get_be16(ip + 6);
    if (ip[0] >> 4 != 4 || header_len < IPV4_LEN || total_len < header_len ||
        (fragment & IPV4_RESERVED_BIT) != 0) {
        return DROP_HEADER;
    }
    if (header_len != IPV4_LEN) {
        return DROP_OPTIONS;
    }
    if (!set_ip_len(p, total_len)) {
        return DROP_TRUNCATED;
    }
    if (build_fold(build_sum(ip, IPV4_LEN, 0)) != UINT16_MAX) {
        return DROP_CHECKSUM;
    }
    p->tos = ip[1];
    p->fragment_id = get_be16(ip + 4);
    p->fragment_offset = (fragment & 0x1fffu) * 8u;
    p->more_fragments = (fragment & IPV4_MORE_FRAGMENTS) != 0;
    p->ttl = ip[8];
    p->ip_protocol = ip[9];
    p->src = ln_addr_v4(get_be32(ip + 12));
    p->dst = ln_addr_v4(get_be32(ip + 16));
    p->l4 = (uint16_t)(p->l3 + IPV4_LEN);
    p->payload = p->l4;
    p->payload_len = total_len - IPV4_LEN;
    bool is_fragment = p->more_fragments || p->fragment_offset != 0;
    return is_fragment ? check_fragment(p) : DROP_NONE;
}

/* The options of a hop-by-hop or destination options header (RFC 8200 section 4.2). */
static enum drop_reason walk_options(struct reader *options)
{
    while (reader_left(options) > 0) {
        uint8_t type = reader_u8(options);
        if (type == 0) {
            continue; /* Pad1 */
        }
        if (type >> 6 != 0) {
            return DROP_OPTIONS; /* not to be skipped by who does not know it */
        }
        reader_skip(options, reader_u8(options));
    }
    return options->failed ? DROP_HEADER : DROP_NONE;
}

static enum drop_reason read_ipv6_fragment(struct packet *p, struct reader *r)
{
    if (p->l4 != p->l3 + IPV6_LEN) {
        return DROP_OPTIONS;
    }
    p->ip_protocol = reader_u8(r);
    reader_skip(r, 1);
    uint16_t fragment = reader_u16(r);
    p->fragment_id = reader_u32(r);
    if (r->failed) {
        return DROP_TRUNCATED;
    }
    p->fragment_offset = fragment & 0xfff8u;
    p->more_fragments = (fragment & 1) != 0;
    p->l4 = (uint16_t)(p->l4 + IPV6_FRAGMENT_LEN);
    p->payload = p->l4;
    p->payload_len = (uint32_t)reader_left(r);
    return check_fragment(p);
}

/* Walks to the transport header. `next` is of the kind `r` stands at. */
static enum drop_reason walk_extensions(struct packet *p, struct reader *r, uint8_t next)
{
    for (unsigned i = 0; i <= IPV6_EXTENSIONS_MAX; i++) {
        p->l4 = (uint16_t)(r->at - p->frame);
        switch (next) {
        case IPPROTO_HOPOPTS:
            if (i != 0) {
                return DROP_HEADER;
            }
            break;
        case IPPROTO_DSTOPTS:
            break;
        case IPPROTO_ROUTING:
            return DROP_OPTIONS;
        case IPPROTO_FRAGMENT:
            return read_ipv6_fragment(p, r);
        default:
            p->ip_protocol = next;
            p->payload = p->l4;
            p->payload_len = (uint32_t)reader_left(r);
            return DROP_NONE;
        }
        next = reader_u8(r);
        struct reader options = reader_sub(r, reader_u8(r) * 8u + 6u);
        if (r->failed) {
            return DROP_TRUNCATED;
        }
        enum drop_reason reason = walk_options(&options);
        if (reason != DROP_NONE) {
            return reason;
        }
    }
    return DROP_OPTIONS;
}

static enum drop_reason read_ipv6(struct packet *p)
{
    const uint8_t *ip = p->frame + p->l3;
    if (p->frame_len - p->l3 < IPV6_LEN) {
        return DROP_TRUNCATED;
    }
    uint32_t payload_len = get_be16(ip + 4);
    if (ip[0] >> 4 != 6) {
        return DROP_HEADER;
    }
    if (!set_ip_len(p, IPV6_LEN + payload_len)) {
        return DROP_TRUNCATED;
    }
    p->v6 = true;
    p->tos = (uint8_t)(get_be16(ip) >> 4);
    p->ttl = ip[7];
    memcpy(p->src.bytes, ip + 8, 16);
    memcpy(p->dst.bytes, ip + 24, 16);
    if (ln_addr_is_v4(&p->src)) {
        return DROP_SOURCE; /* a mapped address is no IPv6 address on the wire */
    }
    if (ln_addr_is_v4(&p->dst)) {
        return DROP_DESTINATION;
    }
    struct reader r = reader_of(ip + IPV6_LEN, payload_len);
    return walk_extensions(p, &r, ip[6]);
}

/* ---- transport: each moves `payload` behind its header ---- */

static void skip_header(struct packet *p, uint32_t len)
{
    p->payload += len;
    p->payload_len -= len;
}

/* SYN, RST and FIN exclude each other, and only SYN and RST may come without ACK (RFC 9293 section
 * 3.10.7). */
static bool tcp_flags_are_legal(uint8_t flags)
{
    switch (flags & (TCP_SYN | TCP_RST | TCP_FIN)) {
    case TCP_SYN:
    case TCP_RST:
        return true;
    case TCP_FIN:
    case 0:
        return (flags & TCP_ACK) != 0;
    default:
        return false;
    }
}

static enum drop_reason read_tcp(struct packet *p)
{
    const uint8_t *tcp = p->frame + p->l4;
    if (p->payload_len < TCP_LEN) {
        return DROP_TRUNCATED;
    }
    p->kind = PACKET_TCP;
    p->src_port = get_be16(tcp);
    p->dst_port = get_be16(tcp + 2);
    p->seq = get_be32(tcp + 4);
    p->ack = get_be32(tcp + 8);
    uint32_t header_len = (tcp[12] >> 4) * 4u;
    p->tcp_flags = tcp[13] & 0x3f;
    p->window = get_be16(tcp + 14);
    if (header_len < TCP_LEN || header_len > p->payload_len || p->src_port == 0 ||
        p->dst_port == 0 || !tcp_flags_are_legal(p->tcp_flags)) {
        return DROP_HEADER;
    }
    p->options_len = (uint8_t)(header_len - TCP_LEN);
    skip_header(p, header_len);
    return DROP_NONE;
}

static enum drop_reason read_udp(struct packet *p)
{
    const uint8_t *udp = p->frame + p->l4;
    if (p->payload_len < UDP_LEN) {
        return DROP_TRUNCATED;
    }
    p->kind = PACKET_UDP;
    p->src_port = get_be16(udp);
    p->dst_port = get_be16(udp + 2);
    if (get_be16(udp + 4) != p->payload_len || p->src_port == 0 || p->dst_port == 0) {
        return DROP_HEADER;
    }
    skip_header(p, UDP_LEN);
    return DROP_NONE;
}

/* What a message of ICMPv6 is to us. */
static enum drop_reason classify_icmpv6(struct packet *p, uint8_t type, uint8_t code)
{
    switch (type) {
    case ICMPV6_ECHO_REQUEST:
        p->kind = PACKET_ECHO_REQUEST;
        return code == 0 ? DROP_NONE : DROP_HEADER;
    case NDP_ROUTER_SOLICITATION:
    case NDP_ROUTER_ADVERTISEMENT:
    case NDP_NEIGHBOUR_SOLICITATION:
    case NDP_NEIGHBOUR_ADVERTISEMENT:
    case NDP_REDIRECT:
        p->kind = PACKET_NDP;
        return code == 0 && p->ttl == NDP_HOP_LIMIT ? DROP_NONE : DROP_HEADER;
    default:
        p->kind = PACKET_ICMP;
        return DROP_NONE;
    }
}

static enum drop_reason read_icmp(struct packet *p)
{
    const uint8_t *icmp = p->frame + p->l4;
    if (p->payload_len < ICMP_LEN) {
        return DROP_TRUNCATED;
    }
    enum drop_reason reason = DROP_NONE;
    if (p->v6) {
        reason = classify_icmpv6(p, icmp[0], icmp[1]);
    } else if (icmp[0] == ICMPV4_ECHO_REQUEST) {
        p->kind = PACKET_ECHO_REQUEST;
        reason = icmp[1] == 0 ? DROP_NONE : DROP_HEADER;
    } else {
        p->kind = PACKET_ICMP;
    }
    if (p->kind == PACKET_ECHO_REQUEST) {
        p->src_port = p->dst_port = get_be16(icmp + 4);
    }
    skip_header(p, ICMP_LEN);
    return reason;
}

/* Where the checksum stands in the transport header. */
static uint16_t checksum_offset(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_TCP:
        return 16;
    case IPPROTO_UDP:
        return 6;
    default:
        return 2;
    }
}

static enum drop_reason check_checksum(const struct packet *p, const ln_frame *frame)
{
    uint16_t offset = checksum_offset(p->ip_protocol);
    if ((frame->flags & LN_FRAME_CSUM_PARTIAL) != 0) {
        bool right = frame->csum_start == p->l4 && frame->csum_offset == offset;
        return right ? DROP_NONE : DROP_CHECKSUM;
    }
    if ((frame->flags & LN_FRAME_CSUM_VALID) != 0) {
        return DROP_NONE;
    }
    const uint8_t *transport = p->frame + p->l4;
    uint32_t len = p->frame_len - p->l4;
    if (p->ip_protocol == IPPROTO_UDP && get_be16(transport + offset) == 0) {
        return p->v6 ? DROP_CHECKSUM : DROP_NONE; /* none sent (RFC 768, RFC 8200 section 8.1) */
    }
    uint64_t sum = p->ip_protocol == IPPROTO_ICMP
                       ? 0
                       : build_pseudo_sum(&p->src, &p->dst, p->v6, p->ip_protocol, len);
    return build_fold(build_sum(transport, len, sum)) == UINT16_MAX ? DROP_NONE : DROP_CHECKSUM;
}

static enum drop_reason read_transport(struct packet *p, const ln_frame *frame)
{
    bool carried = p->ip_protocol == IPPROTO_TCP || p->ip_protocol == IPPROTO_UDP ||
                   p->ip_protocol == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (!carried) {
        return DROP_PROTOCOL;
    }
    if (p->kind == PACKET_FRAGMENT) {
        /* Its checksum is that of the whole datagram. */
        return (frame->flags & LN_FRAME_CSUM_PARTIAL) == 0 ? DROP_NONE : DROP_CHECKSUM;
    }
    enum drop_reason reason = p->ip_protocol == IPPROTO_TCP   ? read_tcp(p)
                              : p->ip_protocol == IPPROTO_UDP ? read_udp(p)
                                                              : read_icmp(p);
    return reason != DROP_NONE ? reason : check_checksum(p, frame);
}

/* ---- the whole ---- */

static enum drop_reason describe(const ln_frame *frame, struct packet *p)
{
    if (frame->len < ETH_LEN) {
        return DROP_TRUNCATED;
    }
    *p = (struct packet){
        .kind = PACKET_ICMP,
        .frame = frame->data,
        .frame_len = (uint32_t)frame->len,
        .l3 = ETH_LEN,
    };
    uint16_t ethertype = get_be16(frame->data + 2 * MAC_LEN);
    enum drop_reason reason;
    switch (ethertype) {
    case ETHERTYPE_ARP:
        return read_arp(p);
    case ETHERTYPE_IPV4:
        reason = read_ipv4(p);
        break;
    case ETHERTYPE_IPV6:
        reason = read_ipv6(p);
        break;
    case 0x8100: /* 802.1Q */
    case 0x88a8: /* 802.1ad */
    case 0x9100: /* QinQ before it was a standard */
        return DROP_VLAN;
    default:
        return ethertype < ETHERTYPE_MIN ? DROP_LLC : DROP_ETHERTYPE;
    }
    return reason != DROP_NONE ? reason : read_transport(p, frame);
}

static const uint8_t broadcast_mac[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool is_broadcast(const struct packet *p)
{
    return !p->v6 && ln_addr_to_v4(&p->dst) == UINT32_MAX;
}

/* Unicast goes to the gateway's address, a group to its own (RFC 1112 section 6.4, RFC 2464 section
 * 7), ARP and broadcast to either. */
static bool destination_mac_is_right(const struct packet *p, const struct link_identity *link)
{
    const uint8_t *mac = p->frame;
    const uint8_t *group = p->dst.bytes + 12;
    if (packet_is_multicast(p)) {
        const uint8_t group4[MAC_LEN] = {0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]};
        const uint8_t group6[MAC_LEN] = {0x33, 0x33, group[0], group[1], group[2], group[3]};
        return memcmp(mac, p->v6 ? group6 : group4, MAC_LEN) == 0;
    }
    if (memcmp(mac, link->gateway_mac, MAC_LEN) == 0) {
        return true;
    }
    return (p->kind == PACKET_ARP || is_broadcast(p)) && memcmp(mac, broadcast_mac, MAC_LEN) == 0;
}

static enum drop_reason check_macs(const struct packet *p, const struct link_identity *link)
{
    const uint8_t *src_mac = p->frame + MAC_LEN;
    bool group = (src_mac[0] & 1) != 0;
    if (group || memcmp(src_mac, link->gateway_mac, MAC_LEN) == 0) {
        return DROP_MAC;
    }
    return destination_mac_is_right(p, link) ? DROP_NONE : DROP_MAC;
}

static bool is_link_local6(const ln_addr *addr)
{
    return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

static bool source6_is_guests(const struct packet *p, const struct link_identity *link)
{
    if (ln_prefix_contains(&link->prefix6, &p->src)) {
        return !ln_addr_equal(&p->src, &link->gateway6);
    }
    if (is_link_local6(&p->src)) {
        ln_addr gateway = link_gateway_local(link);
        return !ln_addr_equal(&p->src, &gateway);
    }
    static const ln_addr unspecified;
    return p->kind == PACKET_NDP && ln_addr_equal(&p->src, &unspecified);
}

static bool source_is_guests(const struct packet *p, const struct link_identity *link)
{
    if (p->v6) {
        return source6_is_guests(p, link);
    }
    if (ln_addr_equal(&p->src, &link->guest4)) {
        return true;
    }
    bool dhcp = p->kind == PACKET_UDP && p->dst_port == DHCP_SERVER_PORT && is_broadcast(p);
    return ln_addr_to_v4(&p->src) == 0 && (dhcp || p->kind == PACKET_ARP);
}

/* Only the gateway of the guest's own subnets is beyond the link: the rest is the guest itself, or
 * broadcast. */
static bool destination_is_carried(const struct packet *p, const struct link_identity *link)
{
    if (is_broadcast(p)) {
        return p->kind == PACKET_UDP && p->dst_port == DHCP_SERVER_PORT;
    }
    if (ln_addr_is_never(&p->dst) || ln_addr_equal(&p->src, &p->dst)) {
        return false;
    }
    if (p->v6) {
        return !ln_prefix_contains(&link->prefix6, &p->dst) ||
               ln_addr_equal(&p->dst, &link->gateway6);
    }
    return !ln_prefix_contains(&link->prefix4, &p->dst) || ln_addr_equal(&p->dst, &link->gateway4);
}

/* The guest is no router. */
static bool speaks_as_router(const struct packet *p)
{
    uint8_t type = p->frame[p->l4];
    return p->kind == PACKET_NDP && (type == NDP_ROUTER_ADVERTISEMENT || type == NDP_REDIRECT);
}

/* A frame longer than the MTU is a run of segments, each of which fits (VIRTIO 1.2
 * section 5.1.6.2). The hint header_len is not relied upon. */
static enum drop_reason check_size(const struct packet *p, const ln_frame *frame,
                                   const struct link_identity *link)
{
    if (frame->gso_type == LN_GSO_NONE) {
        return p->frame_len - p->l3 <= link->mtu ? DROP_NONE : DROP_OVERSIZE;
    }
    if (p->kind != PACKET_TCP || frame->gso_type != (p->v6 ? LN_GSO_TCP6 : LN_GSO_TCP4) ||
        (p->tcp_flags & (TCP_SYN | TCP_RST)) != 0 || frame->gso_size == 0 ||
        (frame->flags & LN_FRAME_CSUM_PARTIAL) == 0) {
        return DROP_HEADER;
    }
    return p->payload - p->l3 + frame->gso_size <= link->mtu ? DROP_NONE : DROP_OVERSIZE;
}

enum drop_reason packet_classify(const ln_frame *frame, const struct link_identity *link,
                                 struct packet *ret)
{
    if (frame->len > LN_FRAME_MAX) {
        return DROP_OVERSIZE;
    }
    struct packet p;
    enum drop_reason reason = describe(frame, &p);
    if (reason == DROP_NONE) {
        reason = check_macs(&p, link);
    }
    if (reason == DROP_NONE) {
        reason = check_size(&p, frame, link);
    }
    if (reason != DROP_NONE) {
        return reason;
    }
    if (speaks_as_router(&p)) {
        return DROP_PROTOCOL;
    }
    if (!source_is_guests(&p, link)) {
        return DROP_SOURCE;
    }
    if (p.kind != PACKET_ARP && !destination_is_carried(&p, link)) {
        return DROP_DESTINATION;
    }
    *ret = p;
    return DROP_NONE;
}

enum drop_reason packet_describe(const uint8_t *data, size_t len, struct packet *ret)
{
    struct packet p;
    enum drop_reason reason = describe(&(ln_frame){.data = data, .len = len}, &p);
    if (reason == DROP_NONE) {
        *ret = p;
    }
    return reason;
}
