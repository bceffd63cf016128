/* The certificate authority of interception: its pair, and the leaf certificates that it signs for
 * the servers that a guest believes it speaks to. */
#ifndef LN_TLS_AUTHORITY_H
#define LN_TLS_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "lunette/address.h"
#include "lunette/error.h"

/* Opaque. Used by one thread at a time, as everything that it makes. */
struct tls_authority;
/* A leaf certificate, counted: it outlives its place in the cache while a handshake uses it. */
struct tls_leaf;

/* A CA pair as PEM text, terminated. */
struct tls_pair {
    char *certificate;
    size_t certificate_len; /* without the terminator */
    char *key;
    size_t key_len;
};

struct tls_authority_options {
    struct host_services services;
    uint64_t (*wall_ms)(void *user); /* milliseconds since 1970; NULL: the system's clock */
    void *wall_user;
    uint32_t leaf_certificates; /* most in the cache; at least 1 */
    uint32_t leaf_valid_s;      /* how long one is valid */
};

/* Makes a CA: ECDSA with P-256, ten years from a day before now, named "lunette CA" and eight
 * hexadecimal digits, so that two of them in one trust store can be told apart. It may sign leaves
 * and no other CA. Returns 0 or -ENOMEM; free with tls_pair_free(). */
int tls_authority_make(const struct tls_authority_options *options, struct tls_pair *ret);
/* Frees both texts; the key is overwritten. Takes an all-zero pair. */
void tls_pair_free(struct tls_pair *pair);

/* Reads a pair. `certificate` is PEM: the CA's certificate first, then (optional) those that link
 * it to a root, which are sent to guests behind the leaf. `key` is PEM, not encrypted. Neither need
 * be terminated. Returns 0; -EINVAL with a sentence in *reterr: unreadable, not a CA, may not sign
 * certificates, expired, not yet valid, the key is not the certificate's, an algorithm that is not
 * supported; -ENOMEM. Makes the one key that all leaves share, kept in memory only. */
int tls_authority_new(const struct tls_authority_options *options, const void *certificate,
                      size_t certificate_len, const void *key, size_t key_len,
                      struct tls_authority **ret, ln_error *reterr);
/* Takes NULL, returns NULL. Leaves in use live on. */
struct tls_authority *tls_authority_free(struct tls_authority *authority);

/* What the authority is, for people. */
struct tls_authority_info {
    char subject[256];                 /* "CN=lunette CA 1f2e3d4c" */
    char fingerprint[96];              /* SHA-256 of the certificate, "AB:CD:…" */
    int64_t not_before_s, not_after_s; /* seconds since 1970 */
};
void tls_authority_describe(const struct tls_authority *authority, struct tls_authority_info *ret);
/* The CA's certificate alone as PEM, terminated; borrowed for the authority's life. */
const char *tls_authority_certificate(const struct tls_authority *authority);

/* Whether a leaf can be made for the name: canonical (lower case, no trailing dot), 1 to 253 bytes,
 * labels of 1 to 63 letters, digits, hyphens and underscores. */
bool tls_name_is_plain(const char *name, size_t len);

/* The leaf for `name`, or where it is NULL for `address`: from the cache, or signed here (one
 * private-key operation). Valid from an hour before now; made anew when it nears its end, or the
 * clock was set back before its beginning. Returns 0; -EINVAL for a name that is not plain;
 * -ENOMEM; -EKEYEXPIRED when the CA has expired; -EIO when signing failed. */
int tls_authority_leaf(struct tls_authority *authority, const char *name, const ln_addr *address,
                       struct tls_leaf **ret);
struct tls_leaf *tls_leaf_ref(struct tls_leaf *leaf);
/* Takes NULL, returns NULL. */
struct tls_leaf *tls_leaf_unref(struct tls_leaf *leaf);

struct tls_authority_stats {
    uint64_t minted, found; /* leaves signed, and taken from the cache */
    uint32_t cached;
};
void tls_authority_stats(const struct tls_authority *authority, struct tls_authority_stats *ret);

#endif
