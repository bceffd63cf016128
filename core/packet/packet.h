/* A frame from the guest, checked once and described, so that no later stage reads a header twice.
 */
#ifndef LN_PACKET_PACKET_H
#define LN_PACKET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/address.h"
#include "lunette/frame.h"

#define ETH_LEN        14u
#define IPV4_LEN       20u
#define IPV6_LEN       40u
#define TCP_LEN        20u
#define UDP_LEN        8u
#define ICMP_LEN       8u
#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_ARP  0x0806u
#define ETHERTYPE_IPV6 0x86ddu
#define PACKET_MTU_MAX 65520u

/* Who is on this link: the gateway (us) and the one guest. */
struct link_identity {
    uint8_t gateway_mac[6];
    uint8_t guest_mac[6]; /* what DHCP and static configuration hand out; frames go to the MAC last
                             seen */
    ln_addr gateway4, guest4;
    ln_addr gateway6, guest6;
    ln_prefix prefix4, prefix6; /* the /30 and the /64 */
    uint16_t mtu;               /* of IP packets, 1280-65520 */
    bool route4,
        route6; /* whether the host can route the family: else no default route is offered */
    const char *const *search; /* canonical names, for the guest to complete short ones with */
    size_t n_search;
};

/* Why a frame was not let in. Names are stable: they are the `reason` of drop events and of
 * counters. */
enum drop_reason {
    DROP_NONE,
    DROP_TRUNCATED, /* shorter than its own headers say */
    DROP_ETHERTYPE, /* not IPv4, IPv6 or ARP */
    DROP_VLAN,      /* 802.1Q, 802.1ad */
    DROP_LLC,       /* 802.3 length field: LLC or SNAP */
    DROP_MAC,       /* not to the gateway, or from a group address or the gateway's own */
    DROP_HEADER,    /* IP or L4 header malformed */
    DROP_CHECKSUM,
    DROP_OPTIONS,     /* source routing, routing headers */
    DROP_PROTOCOL,    /* an IP protocol that lunette does not carry */
    DROP_SOURCE,      /* a source address that is not the guest's own */
    DROP_DESTINATION, /* never-list, or not a unicast/multicast destination we carry */
    DROP_FRAGMENT,    /* overlapping, over the limits, or timed out */
    DROP_NO_FLOW,     /* a TCP segment, ICMP error or reply that belongs to no flow */
    DROP_STATE,       /* not acceptable in its flow's state */
    DROP_LIMIT,       /* a table or queue was full */
    DROP_RATE,        /* rate_limit */
    DROP_POLICY,      /* denied */
    DROP_LOCAL_NAME,  /* mDNS, LLMNR, NetBIOS, DoQ */
    DROP_OVERSIZE,    /* longer than the MTU without segmentation metadata */
    DROP_QUEUE,       /* the link took no more */
    DROP_REASONS
};
const char *drop_reason_name(enum drop_reason reason);

enum packet_kind {
    PACKET_ARP,
    PACKET_TCP,
    PACKET_UDP,
    PACKET_ECHO_REQUEST, /* ICMP or ICMPv6 echo request */
    PACKET_ICMP,         /* any other ICMP or ICMPv6 that is well formed */
    PACKET_NDP,     /* neighbour discovery (hop limit 255 checked); of the guest NS, NA, RS only */
    PACKET_FRAGMENT /* feed to fragments_input() */
};

/* ICMPv6 types of neighbour discovery (RFC 4861 section 4), which never leaves a link. */
enum {
    NDP_ROUTER_SOLICITATION = 133,
    NDP_ROUTER_ADVERTISEMENT = 134,
    NDP_NEIGHBOUR_SOLICITATION = 135,
    NDP_NEIGHBOUR_ADVERTISEMENT = 136,
    NDP_REDIRECT = 137,
    NDP_HOP_LIMIT = 255
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

struct packet {
    enum packet_kind kind;
    const uint8_t *frame; /* Ethernet header on */
    uint32_t frame_len;   /* trailing Ethernet padding cut off */
    uint16_t l3, l4;      /* offsets of the IP and the transport header */
    uint32_t payload;     /* offset of what follows the transport header */
    uint32_t payload_len;
    ln_addr src, dst;
    uint16_t src_port, dst_port; /* TCP, UDP; for echo: both the identifier */
    uint8_t ip_protocol;         /* 6, 17, 1, 58 */
    uint8_t ttl, tos;
    bool v6;
    /* TCP */
    uint32_t seq, ack;
    uint16_t window;
    uint8_t tcp_flags;
    uint8_t options_len; /* TCP options, from l4 + 20 */
    /* fragments */
    uint32_t fragment_id, fragment_offset;
    bool more_fragments;
};

/* Checks `frame` (Ethernet, IP and transport headers, lengths, checksums where the metadata does
 * not vouch for them, addresses) and describes it. Returns DROP_NONE and fills *ret, or why not.
 * Source addresses are checked against `link`: IPv4 must be the guest's (0.0.0.0 for DHCP); IPv6
 * any of the /64, link-local, or :: for NDP. Destinations: never-list, broadcast (but DHCP) and the
 * guest itself are refused; multicast passes for the flow stage to judge. RFC 791, 8200, 9293, 768,
 * 792, 4443, 4861. */
enum drop_reason packet_classify(const ln_frame *frame, const struct link_identity *link,
                                 struct packet *ret);

/* The same for an Ethernet + IP packet that lunette put together itself (reassembled, from
 * libslirp), of any length: MACs, addresses and the MTU are not checked, checksums are. */
enum drop_reason packet_describe(const uint8_t *frame, size_t len, struct packet *ret);

/* Whether it goes to a multicast address. */
bool packet_is_multicast(const struct packet *packet);
/* The gateway's link-local address, made from its MAC (RFC 4291 appendix A): the source of router
 * advertisements. */
ln_addr link_gateway_local(const struct link_identity *link);
/* Whether it is one of the gateway's two routed addresses. */
bool link_is_gateway(const struct link_identity *link, const ln_addr *addr);

#endif
