/* Leaf certificates: written in DER, signed, counted, and a bounded cache of them. */
#ifndef LN_TLS_LEAF_H
#define LN_TLS_LEAF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#include "base/hash.h"
#include "base/host.h"
#include "lunette/address.h"
#include "tls/authority.h"

struct tls_leaf {
    size_t references;
    struct tls_leaf *hash_next; /* in its bucket */
    struct tls_leaf *newer, *older;
    uint64_t hash;
    int64_t not_before_s, not_after_s, renew_s;
    bool named;
    ln_addr address; /* where it is not named */
    char name[256];
    struct tls_authority *authority; /* referenced: the key and the linking certificates are its */
    mbedtls_pk_context *key;         /* the one that all leaves share */
    mbedtls_x509_crt certificate;    /* those that link it to a root are behind it */
};

/* What a leaf is made of. */
struct leaf_subject {
    const char *name; /* NULL: the address */
    ln_addr address;
};

/* What signs it. */
struct leaf_issuer {
    const mbedtls_x509_crt *certificate;
    mbedtls_pk_context *key;
    mbedtls_pk_context *leaf_key;
    const struct host_services *services;
};

/* Writes a certificate (RFC 5280 section 4.1) for `subject`, valid for both seconds given and those
 * between. Returns 0; -ENOMEM; -EIO when it cannot be signed. */
int leaf_mint(const struct leaf_issuer *issuer, const struct leaf_subject *subject,
              int64_t not_before_s, int64_t not_after_s, mbedtls_x509_crt *ret);

/* ---- the cache: least recently used first out ---- */

struct leaf_cache {
    struct hash_key key;
    struct tls_leaf **buckets;
    uint32_t mask;
    uint32_t count, most;
    struct tls_leaf *newest, *oldest;
};

/* Room for `most` leaves, at least 1. Returns 0 or -ENOMEM. */
int leaf_cache_init(struct leaf_cache *cache, uint32_t most, const struct host_services *services);
void leaf_cache_clear(struct leaf_cache *cache);
/* The leaf of the subject, borrowed; NULL when there is none. It becomes the newest. */
struct tls_leaf *leaf_cache_find(struct leaf_cache *cache, const struct leaf_subject *subject);
/* Takes a reference to a leaf whose subject is not in the cache. */
void leaf_cache_add(struct leaf_cache *cache, struct tls_leaf *leaf);
void leaf_cache_remove(struct leaf_cache *cache, struct tls_leaf *leaf);

#endif
