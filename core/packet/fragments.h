/* Fragments of IP datagrams, both ways: put together what the guest sends, cut up what is too long
 * for the link (RFC 791, RFC 8200 section 4.5). */
#ifndef LN_PACKET_FRAGMENTS_H
#define LN_PACKET_FRAGMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "packet/packet.h"

struct fragments; /* datagrams being put together, of one guest */

struct fragment_limits {
    uint32_t datagrams; /* at once; the oldest makes room */
    uint32_t bytes;     /* of payload in one datagram, 65535 at most */
    uint32_t timeout_ms;
};

/* Returns NULL when out of memory. */
struct fragments *fragments_new(const struct fragment_limits *limits);
/* Takes NULL, returns NULL. */
struct fragments *fragments_free(struct fragments *fragments);
/* Takes one PACKET_FRAGMENT. Returns DROP_NONE: when it completed its datagram, *ret_frame and
 * *ret_len are the whole Ethernet + IP packet without fragment headers, checksum of the IPv4
 * header right, borrowed until the next call; else *ret_frame is NULL. Or DROP_FRAGMENT: it
 * overlaps another (the whole datagram is dropped, RFC 5722 section 3; IPv4 likewise), exceeds the
 * limits, or is a middle piece whose length is no multiple of 8; DROP_LIMIT when out of memory. */
enum drop_reason fragments_input(struct fragments *fragments, const struct packet *packet,
                                 uint64_t now_ns, const uint8_t **ret_frame, size_t *ret_len);
/* Drops what has waited too long. Returns how many datagrams. Call it about once a second. */
unsigned fragments_expire(struct fragments *fragments, uint64_t now_ns);

/* Cuts the Ethernet + IP packet `frame` of `len` bytes into fragments of at most `mtu` bytes of IP
 * and calls `emit` for each, with memory that is borrowed until it returns. `id` identifies the
 * datagram (16 bits count in IPv4). The packet must be longer than the MTU and not a fragment
 * itself. Returns 0, or -EINVAL when it is no IP packet. */
int fragments_cut(const uint8_t *frame, size_t len, uint32_t mtu, uint32_t id,
                  void (*emit)(void *user, const uint8_t *frame, size_t len), void *user);

#endif
