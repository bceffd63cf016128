/* Keyed hashing (SipHash-1-3, Aumasson and Bernstein): for every table whose keys an attacker
 * chooses. */
#ifndef LN_BASE_HASH_H
#define LN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

struct hash_key hash_key_from(const uint8_t bytes[16]);
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t len);

#endif
