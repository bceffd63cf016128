/* What the files of this folder share. */
#ifndef LN_TLS_COMMON_H
#define LN_TLS_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <mbedtls/x509.h>
#include <mbedtls/x509_crt.h>

#include "base/host.h"
#include "tls/roots.h"

/* The certificates of a trust set, linked; NULL when it has none. Borrowed. */
mbedtls_x509_crt *tls_roots_chain(const struct tls_roots *roots);
/* The same for sets of the same certificates, and for no others. */
#define TLS_ROOTS_ID 32
const uint8_t *tls_roots_id(const struct tls_roots *roots);

/* Adds the certificates of PEM text behind those of *chain. A certificate that cannot be parsed is
 * skipped and counted. Returns 0, or -ENOMEM with *chain in a state to free. */
int tls_parse_certificates(mbedtls_x509_crt *chain, const void *pem, size_t len,
                           struct tls_roots_count *ret_count);
/* A terminated copy in which NULs became spaces; NULL when out of memory. */
char *tls_text_copy(const void *data, size_t len);

/* mbedTLS's f_rng, over host services. */
int tls_random(void *services, unsigned char *dst, size_t len);

/* Whether `ret` of mbedTLS means that memory ran out. */
int tls_is_no_memory(int ret);

/* Seconds since 1970. */
int64_t tls_time_of(const mbedtls_x509_time *time);
/* By the injected clock, or the system's. */
int64_t tls_now_s(uint64_t (*wall_ms)(void *user), void *user);
#define TLS_DATE_TEXT 24
/* "2026-01-02 03:04:05 UTC". */
void tls_format_date(int64_t seconds, char dst[TLS_DATE_TEXT]);

#endif
