/* Judging the certificates that a server showed, one signature at a time.
 *
 * Theory of operation. The leaf is judged by itself first: name, use, validity, strength. Then the
 * path is built from it upwards: the issuer is looked for among the trusted roots, then among the
 * certificates that the server sent. Each call to verifier_step() checks at most one signature, as
 * mbedTLS does for that pair of certificates (X.509 version, CA flag, key usage, algorithms and key
 * sizes); path lengths and validity by the injected clock are checked here. A path has at most
 * VERIFIER_DEPTH certificates below the root, and at most VERIFIER_SIGNATURES are tried, so that a
 * server cannot keep the gateway busy. */
#ifndef LN_TLS_VERIFY_H
#define LN_TLS_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include <mbedtls/x509_crt.h>

#include "lunette/address.h"
#include "tls/roots.h"
#include "tls/session.h"

enum { VERIFIER_DEPTH = 8, VERIFIER_SIGNATURES = 16 };

enum verifier_result { VERIFIER_GOES_ON, VERIFIER_GOOD, VERIFIER_BAD };

struct verifier {
    const char *name; /* NULL: the address is verified. Borrowed. */
    ln_addr address;
    const struct tls_roots *roots; /* borrowed */
    int64_t now_s;
    bool verify; /* false: only what keeps the handshake bounded is looked at */

    mbedtls_x509_crt *leaf;  /* with the others that the server sent behind it; borrowed */
    mbedtls_x509_crt *child; /* whose issuer is looked for */
    mbedtls_x509_crt *candidate;
    bool asked_roots;
    unsigned depth; /* of `child` */
    unsigned signatures;
    int64_t not_after_s; /* the earliest end of those on the path */
};

/* Starts: `leaf` and what is linked behind it. Set what is above the empty line first. */
void verifier_start(struct verifier *verifier, mbedtls_x509_crt *leaf);
/* One signature at most. Sets *fault when it is VERIFIER_BAD. */
enum verifier_result verifier_step(struct verifier *verifier, struct tls_fault *fault);

/* Whether a certificate is for the name, or where it is NULL for the address (RFC 9525): only
 * subjectAltName counts; a wildcard stands for one whole leftmost label, above two others at
 * least. */
bool certificate_is_for(const mbedtls_x509_crt *certificate, const char *name,
                        const ln_addr *address);

#endif
