/* What the link itself answers: ARP (RFC 826), IPv6 neighbour and router discovery (RFC 4861,
 * RDNSS and DNSSL of RFC 8106), and DHCPv4 (RFC 2131). Engines without state and without I/O: a
 * question in, a frame out. */
#ifndef LN_STACK_NEIGHBOUR_H
#define LN_STACK_NEIGHBOUR_H

#include <stddef.h>
#include <stdint.h>

#include "packet/packet.h"

#define NEIGHBOUR_FRAME_MAX 512u

/* Answers an ARP request for a gateway's address, a neighbour solicitation for one, or a router
 * solicitation (PACKET_ARP, PACKET_NDP). `guest_mac` is where the answer goes. For ARP the sender
 * must be the guest's address or 0.0.0.0 (probe, RFC 5227). Returns the frame's length, or 0 when
 * there is nothing to answer. */
size_t neighbour_answer(const struct packet *packet, const struct link_identity *link,
                        const uint8_t guest_mac[6], uint8_t dst[NEIGHBOUR_FRAME_MAX]);
/* A router advertisement to all nodes: prefix for autonomous configuration (the guest's address
 * is also the static one of `link`), router lifetime 0 without link->route6, MTU, RDNSS = the
 * gateway, DNSSL = the search list. Good for 18 hours; send it when the link comes up and every
 * hour. */
size_t neighbour_router_advertisement(const struct link_identity *link,
                                      uint8_t dst[NEIGHBOUR_FRAME_MAX]);

#define DHCP_FRAME_MAX (ETH_LEN + 1052u)
/* Answers a DHCPDISCOVER, REQUEST, INFORM or DECLINE/RELEASE (no answer) that came as UDP to port
 * 67: always the guest's one address, mask, router (with link->route4), DNS = the gateway, MTU,
 * lease a day, and the search list as far as it fits in what the client takes. A REQUEST for
 * another address gets a NAK. The client's hardware address must be the frame's sender. Returns the
 * frame's length, or 0. */
size_t dhcp_answer(const struct packet *packet, const struct link_identity *link,
                   uint8_t dst[DHCP_FRAME_MAX]);

#endif
