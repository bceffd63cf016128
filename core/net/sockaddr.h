/* Addresses as the system's calls take them, and the errors that ICMP brought to a socket. */
#ifndef LN_NET_SOCKADDR_H
#define LN_NET_SOCKADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lunette/address.h"

/* Fills *ret for `addr` and `port`, in the family of the address. Returns its length. */
socklen_t sockaddr_put(const ln_addr *addr, uint16_t port, struct sockaddr_storage *ret);
/* The reverse. Returns 0, or -EAFNOSUPPORT when it is neither IPv4 nor IPv6. */
int sockaddr_get(const struct sockaddr_storage *from, ln_addr *ret, uint16_t *ret_port);

/* An ICMP or ICMPv6 error about a datagram of ours (RFC 1122 section 4.1.3.3). */
struct socket_error {
    ln_addr offender;      /* who sent it */
    ln_addr peer;          /* where the datagram was going */
    uint16_t peer_port;    /* 0 for ICMP sockets */
    uint8_t type, code;    /* ICMPv6 where `peer` is IPv6 */
    uint32_t mtu;          /* where it is about length */
    const uint8_t *quoted; /* what it quotes of the datagram, from behind a UDP header or from the
                              ICMP header on; in the caller's buffer */
    size_t quoted_len;
};

/* Asks for the errors of a datagram socket that cannot be connected (IP_RECVERR). 0 or -errno. */
int socket_error_enable(int fd, bool v6);
/* Takes the next error from the socket's queue. Returns 1 and fills *ret; 0 when there is none, and
 * then a pending error without a description is cleared too, so that the socket is not reported
 * ready for it again. Errors that the host itself found are passed over: the call that met them
 * has returned them. */
int socket_error_read(int fd, uint8_t *buffer, size_t size, struct socket_error *ret);

#endif
