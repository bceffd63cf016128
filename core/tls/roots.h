/* The certificates that a server's chain may end in: made once, shared by reference, composable. */
#ifndef LN_TLS_ROOTS_H
#define LN_TLS_ROOTS_H

#include <stddef.h>
#include <stdint.h>

#include "lunette/error.h"

/* Opaque, immutable, counted. Sets with the same certificates are interchangeable: sessions that
 * were verified against one may be resumed under the other. */
struct tls_roots;

/* What was read. */
struct tls_roots_count {
    size_t certificates; /* kept, those of `base` not counted */
    size_t skipped;      /* that could not be parsed */
};

/* The certificates of a PEM bundle (RFC 7468; text between them is passed over), in front of those
 * of `base` (NULL: none), which is referenced. Certificates that cannot be parsed are skipped and
 * counted. `pem` need not be terminated. Returns 0; -EINVAL when no certificate was left, with the
 * reason in *reterr; -ENOMEM. `ret_count` may be NULL. */
int tls_roots_new(const void *pem, size_t len, struct tls_roots *base, struct tls_roots **ret,
                  struct tls_roots_count *ret_count, ln_error *reterr);
/* A set that trusts nobody. NULL when out of memory. */
struct tls_roots *tls_roots_none(void);
/* Another reference to the set. Returns `roots`. Takes NULL. */
struct tls_roots *tls_roots_ref(struct tls_roots *roots);
/* Gives a reference back. Takes NULL, returns NULL. */
struct tls_roots *tls_roots_unref(struct tls_roots *roots);
/* How many certificates it holds, with those of its base. */
size_t tls_roots_size(const struct tls_roots *roots);

#endif
