/* UDP of the guest through libslirp: each UDP port that the guest uses is a socket of the host.
 *
 * A port serves every peer that the guest talks to from it (RFC 4787 REQ-1: endpoint-independent
 * mapping); which datagrams may come back through it is for the caller to say, one by one. */
#ifndef LN_NET_SLIRP_H
#define LN_NET_SLIRP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "net/sockaddr.h"
#include "packet/packet.h"

/* Sockets at once. Each takes 14 KiB, but for those that began with a datagram too large for
 * libslirp's ordinary buffers, of which it keeps a copy or two: 200 KiB at most. */
#define SLIRP_PORTS_MAX 4096u
#define SLIRP_LARGE_MAX 64u

struct slirp_host; /* all ports of one guest */
struct slirp_port; /* one address and UDP port of the guest */

/* What came for the guest. */
struct slirp_datagram {
    ln_addr guest, peer;
    uint16_t guest_port, peer_port;
    uint32_t payload_len; /* bytes of UDP payload */
};

/* None of these may close a port. */
struct slirp_callbacks {
    void *user;
    /* A datagram came. Returns whether the guest is to have it. */
    bool (*receive)(void *user, const struct slirp_datagram *datagram);
    /* What `receive` let in: an IPv4 packet of at most the MTU (perhaps a fragment), or an IPv6
     * packet of any length, behind an Ethernet header that is only reserved. May be written to. */
    void (*deliver)(void *user, uint8_t *frame, size_t len);
    /* An ICMP error about a datagram that the guest sent from this address and port. */
    void (*error)(void *user, const ln_addr *guest, uint16_t guest_port,
                  const struct socket_error *error);
};

/* `loop` and `link` must outlive the host; `hash_key` keys the table of ports. NULL when out of
 * memory. */
struct slirp_host *slirp_host_new(struct loop *loop, const struct link_identity *link,
                                  const uint8_t hash_key[16],
                                  const struct slirp_callbacks *callbacks);
/* Takes NULL, returns NULL. Every port must be closed. */
struct slirp_host *slirp_host_free(struct slirp_host *host);
/* Whether libslirp may have datagrams for a destination: not the never-list nor the link's own
 * subnets, where it would see its own addresses or the host's, nor the services that it would
 * answer itself (DHCP, TFTP). */
bool slirp_carries(const struct slirp_host *host, const ln_addr *peer, uint16_t port);
/* Sockets open now. */
uint32_t slirp_host_sockets(const struct slirp_host *host);

/* The guest's port, opened when it is not; every open is paired with a close. Returns 0, -ENOSPC
 * when SLIRP_PORTS_MAX are open, or -ENOMEM. */
int slirp_port_open(struct slirp_host *host, const ln_addr *guest, uint16_t number,
                    struct slirp_port **ret);
/* Whether this one close would free the socket. */
bool slirp_port_is_last(const struct slirp_port *port);
void slirp_port_close(struct slirp_port *port);
/* Sends a PACKET_UDP of the guest's, whose ttl is 2 or more, from its port; the TTL is lowered by
 * one. Returns 0, or -errno: -EADDRNOTAVAIL for a destination that must not reach libslirp,
 * -EAGAIN or -ENOBUFS when the host's queue is full, -EMFILE and others when there is no socket,
 * -ENOSPC when SLIRP_LARGE_MAX is reached, else what the host said of the destination. */
int slirp_port_send(struct slirp_port *port, const struct packet *packet);

#endif
