/* The data of SVCB and HTTPS records (RFC 9460 section 2.2): address hints, which are checked like
 * A and AAAA, and `ech`, which is taken out because it would hide the name of a flow. */
#ifndef LN_DNS_SVCB_H
#define LN_DNS_SVCB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Slices of the record's data, borrowed from it. */
struct svcb {
    const uint8_t *target; /* wire name, uncompressed; the root: the owner itself */
    size_t target_len;
    const uint8_t *hints4; /* ipv4hint: hints4_len / 4 addresses */
    size_t hints4_len;
    const uint8_t *hints6; /* ipv6hint: hints6_len / 16 addresses */
    size_t hints6_len;
    const uint8_t *ech; /* the whole parameter with key and length; NULL: none */
    size_t ech_len;
    bool ech_mandatory; /* of no use to a client that does not do ECH */
};

/* Reads `len` bytes of record data. Returns 0; -EBADMSG when malformed (a name that is compressed
 * or too long, keys not in ascending order, lengths that do not add up): a client would ignore the
 * record. */
int svcb_parse(const uint8_t *data, size_t len, struct svcb *ret);

#endif
