/* Certificates of every kind, good and bad, and an mbedTLS server that shows them. */
#ifndef TEST_TLS_FORGE_H
#define TEST_TLS_FORGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "base/host.h"

struct forged {
    mbedtls_x509_crt certificate; /* others may be linked behind it */
    mbedtls_pk_context key;
    char pem[4096];
};

struct forge {
    const char *subject, *issuer; /* "CN=…" */
    struct forged *signer;        /* NULL: itself */
    const char *from, *until;     /* NULL: 20260101000000, 20270101000000 */
    const void *san;              /* one dNSName, or with `is_ip` an address */
    size_t san_len;
    bool is_ip, is_ca;
    int path_length;            /* of a CA; -1: no limit */
    const char *extended_usage; /* an OID, or NULL */
    unsigned key_usage;         /* 0: none */
};

static inline int forge_random(void *user, unsigned char *dst, size_t len)
{
    (void)user;
    host_services_system.random(NULL, dst, len);
    return 0;
}

static inline int forge_san(mbedtls_x509write_cert *w, const struct forge *f)
{
    uint8_t value[512] = {0};
    uint8_t *p = value + sizeof(value);
    int len = mbedtls_asn1_write_raw_buffer(&p, value, f->san, f->san_len);
    len += mbedtls_asn1_write_len(&p, value, (size_t)len);
    len += mbedtls_asn1_write_tag(&p, value, f->is_ip ? 0x87 : 0x82);
    len += mbedtls_asn1_write_len(&p, value, (size_t)len);
    len += mbedtls_asn1_write_tag(&p, value, 0x30);
    return mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                               sizeof(MBEDTLS_OID_SUBJECT_ALT_NAME) - 1, 0, p,
                                               (size_t)len);
}

static inline int forge_usage(mbedtls_x509write_cert *w, const struct forge *f)
{
    if (f->extended_usage != NULL) {
        mbedtls_asn1_sequence usage = {.buf = {.tag = MBEDTLS_ASN1_OID,
                                               .p = (unsigned char *)(uintptr_t)f->extended_usage,
                                               .len = strlen(f->extended_usage)}};
        int r = mbedtls_x509write_crt_set_ext_key_usage(w, &usage);
        if (r != 0) {
            return r;
        }
    }
    return f->key_usage == 0 ? 0 : mbedtls_x509write_crt_set_key_usage(w, f->key_usage);
}

/* Returns 0 or an error of mbedTLS; forged_free() in both cases. */
static inline int forge(const struct forge *f, struct forged *ret)
{
    mbedtls_x509write_cert w;
    uint8_t serial[8] = {1};
    mbedtls_x509_crt_init(&ret->certificate);
    mbedtls_pk_init(&ret->key);
    mbedtls_x509write_crt_init(&w);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    int r = mbedtls_pk_setup(&ret->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    r = r != 0 ? r
               : mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(ret->key),
                                     forge_random, NULL);
    mbedtls_x509write_crt_set_subject_key(&w, &ret->key);
    mbedtls_x509write_crt_set_issuer_key(&w, f->signer != NULL ? &f->signer->key : &ret->key);
    r = r != 0 ? r : mbedtls_x509write_crt_set_serial_raw(&w, serial, sizeof(serial));
    r = r != 0
            ? r
            : mbedtls_x509write_crt_set_validity(&w, f->from != NULL ? f->from : "20260101000000",
                                                 f->until != NULL ? f->until : "20270101000000");
    r = r != 0 ? r : mbedtls_x509write_crt_set_subject_name(&w, f->subject);
    r = r != 0 ? r : mbedtls_x509write_crt_set_issuer_name(&w, f->issuer);
    r = r != 0 ? r : mbedtls_x509write_crt_set_basic_constraints(&w, f->is_ca, f->path_length);
    r = r != 0 ? r : forge_usage(&w, f);
    r = r != 0 || f->san == NULL ? r : forge_san(&w, f);
    r = r != 0 ? r
               : mbedtls_x509write_crt_pem(&w, (unsigned char *)ret->pem, sizeof(ret->pem),
                                           forge_random, NULL);
    r = r != 0 ? r
               : mbedtls_x509_crt_parse(&ret->certificate, (const unsigned char *)ret->pem,
                                        strlen(ret->pem) + 1);
    mbedtls_x509write_crt_free(&w);
    return r;
}

static inline void forged_free(struct forged *f)
{
    mbedtls_x509_crt_free(&f->certificate);
    mbedtls_pk_free(&f->key);
}

#endif
