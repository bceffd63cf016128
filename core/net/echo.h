/* ICMP and ICMPv6 echo requests of the guest to the outside: one socket a family carries them all.
 *
 * Not libslirp's part: without ping sockets it would read every ICMP packet of the host, or send a
 * UDP datagram in place of the request; it tells of no error, and has no ICMPv6 before 4.8. */
#ifndef LN_NET_ECHO_H
#define LN_NET_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "net/sockaddr.h"
#include "packet/packet.h"

#define ECHO_REQUESTS_MAX 4096u /* of a family that await an answer; the oldest makes room */

struct echo;

/* A request that the guest made. */
struct echo_request {
    ln_addr guest, peer;
    uint16_t id, seq; /* the guest's own */
};

struct echo_callbacks {
    void *user;
    /* An answer to `request`, with the data that came back. */
    void (*reply)(void *user, const struct echo_request *request, const uint8_t *data, size_t len);
    /* An ICMP error about it, which quotes our request from the ICMP header on. */
    void (*error)(void *user, const struct echo_request *request, const struct socket_error *error);
};

/* Opens both sockets: unprivileged ones (ping_group_range of ip(7) covers both families), or else
 * raw ones. A family that has neither is no error. NULL when out of memory. */
struct echo *echo_new(struct loop *loop, const struct echo_callbacks *callbacks);
/* Takes NULL, returns NULL. */
struct echo *echo_free(struct echo *echo);
/* Why there is no socket of the family: a negative errno; 0: there is one. */
int echo_problem(const struct echo *echo, bool v6);
/* Sends a PACKET_ECHO_REQUEST of the guest's, whose ttl is 2 or more, with its TTL lowered by one.
 * Returns 0, or -errno: echo_problem(), -EAGAIN or -ENOBUFS when the host's queue is full, else
 * what the host said of the destination. */
int echo_send(struct echo *echo, const struct packet *packet);

#endif
