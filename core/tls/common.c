/* Helpers around mbedTLS: time, randomness, certificates in PEM. */
#include "tls/common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/asn1.h>
#include <mbedtls/bignum.h>
#include <mbedtls/cipher.h>
#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>

int tls_random(void *user, unsigned char *dst, size_t len)
{
    const struct host_services *services = user;
    services->random(services->user, dst, len);
    return 0;
}

/* Errors of a lower module are added to those of the one above (mbedtls/error.h), whose own are
 * multiples of 0x80. */
int tls_is_no_memory(int ret)
{
    static const int high[] = {MBEDTLS_ERR_X509_ALLOC_FAILED,  MBEDTLS_ERR_PEM_ALLOC_FAILED,
                               MBEDTLS_ERR_PK_ALLOC_FAILED,    MBEDTLS_ERR_SSL_ALLOC_FAILED,
                               MBEDTLS_ERR_ECP_ALLOC_FAILED,   MBEDTLS_ERR_MD_ALLOC_FAILED,
                               MBEDTLS_ERR_CIPHER_ALLOC_FAILED};
    for (size_t i = 0; i < sizeof(high) / sizeof(high[0]); i++) {
        if (ret == high[i]) {
            return 1;
        }
    }
    int low = -(-ret & 0x7f);
    return ret < 0 && (low == MBEDTLS_ERR_MPI_ALLOC_FAILED || low == MBEDTLS_ERR_ASN1_ALLOC_FAILED);
}

/* ---- time ---- */

int64_t tls_time_of(const mbedtls_x509_time *time)
{
    struct tm tm = {.tm_year = time->year - 1900,
                    .tm_mon = time->mon - 1,
                    .tm_mday = time->day,
                    .tm_hour = time->hour,
                    .tm_min = time->min,
                    .tm_sec = time->sec};
    return (int64_t)timegm(&tm);
}

int64_t tls_now_s(uint64_t (*wall_ms)(void *user), void *user)
{
    return wall_ms != NULL ? (int64_t)(wall_ms(user) / 1000) : (int64_t)time(NULL);
}

void tls_format_date(int64_t seconds, char dst[TLS_DATE_TEXT])
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) == NULL || strftime(dst, TLS_DATE_TEXT, "%F %T UTC", &tm) == 0) {
        memcpy(dst, "an unknown date", sizeof("an unknown date"));
    }
}

/* ---- PEM ---- */

char *tls_text_copy(const void *data, size_t len)
{
    char *text = malloc(len + 1);
    if (text == NULL) {
        return NULL;
    }
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    for (char *nul = text; (nul = memchr(nul, '\0', len - (size_t)(nul - text))) != NULL;) {
        *nul++ = ' ';
    }
    return text;
}

/* One block at `text`. Returns how many bytes to go on behind; 0 when there is no other block. */
static size_t parse_block(mbedtls_x509_crt *chain, const char *text, int *ret)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const char *at = strstr(text, begin);
    *ret = 0;
    if (at == NULL) {
        return 0;
    }
    mbedtls_pem_context pem;
    mbedtls_pem_init(&pem);
    size_t used = 0;
    *ret = mbedtls_pem_read_buffer(&pem, begin, "-----END CERTIFICATE-----",
                                   (const unsigned char *)at, NULL, 0, &used);
    if (*ret == 0) {
        size_t len;
        const unsigned char *der = mbedtls_pem_get_buffer(&pem, &len);
        *ret = mbedtls_x509_crt_parse_der(chain, der, len);
    }
    mbedtls_pem_free(&pem);
    /* A block that could not be read: the next one begins behind its first line at the earliest. */
    return (size_t)(at - text) + (*ret == 0 && used > 0 ? used : sizeof(begin) - 1);
}

int tls_parse_certificates(mbedtls_x509_crt *chain, const void *pem, size_t len,
                           struct tls_roots_count *ret_count)
{
    struct tls_roots_count count = {0};
    char *text = tls_text_copy(pem, len);
    if (text == NULL) {
        return -ENOMEM;
    }
    int r = 0;
    size_t step;
    for (const char *at = text; (step = parse_block(chain, at, &r)) > 0; at += step) {
        if (tls_is_no_memory(r)) {
            break;
        }
        count.certificates += r == 0;
        count.skipped += r != 0;
        r = 0;
    }
    free(text);
    if (r != 0) {
        return -ENOMEM;
    }
    *ret_count = count;
    return 0;
}
