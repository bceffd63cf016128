/* The interception CA: made, read, described, and used to sign leaves. */
#include "tls/authority.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>

#include "base/fail.h"
#include "base/text.h"
#include "tls/common.h"
#include "tls/leaf.h"

enum {
    DAY_S = 86400,
    CA_DAYS = 3652,     /* ten years */
    BACK_DATE_S = 3600, /* of a leaf: guests' clocks may be behind */
    PEM_MAX = 4096
};

struct tls_authority {
    size_t references; /* the owner's, and one for each leaf */
    struct host_services services;
    uint64_t (*wall_ms)(void *user);
    void *wall_user;
    uint32_t leaf_valid_s;
    mbedtls_x509_crt certificate; /* the CA, then those that link it to a root */
    mbedtls_pk_context key;
    mbedtls_pk_context leaf_key;
    struct leaf_cache leaves;
    char *pem;
    uint64_t minted, found;
};

/* ---- making a pair ---- */

static int generate_key(mbedtls_pk_context *key, const struct host_services *services)
{
    int r = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    return r != 0 ? r
                  : mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), tls_random,
                                        (void *)services);
}

/* The X.509 writer's form of a time. */
static void format_validity(int64_t seconds, char dst[16])
{
    struct tm tm = {0};
    time_t t = (time_t)seconds;
    gmtime_r(&t, &tm);
    strftime(dst, 16, "%Y%m%d%H%M%S", &tm);
}

static int fill_authority(mbedtls_x509write_cert *w, mbedtls_pk_context *key, int64_t now_s,
                          const struct host_services *services)
{
    uint8_t random[20];
    char name[32];
    char from[16];
    char until[16];
    services->random(services->user, random, sizeof(random));
    struct text text = text_of(name, sizeof(name));
    text_printf(&text, "CN=lunette CA %02x%02x%02x%02x", random[0], random[1], random[2],
                random[3]);
    random[4] = (uint8_t)((random[4] & 0x3f) | 0x40);
    format_validity(now_s - DAY_S, from);
    format_validity(now_s + (int64_t)CA_DAYS * DAY_S, until);
    mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(w, key);
    mbedtls_x509write_crt_set_issuer_key(w, key);
    int r = mbedtls_x509write_crt_set_serial_raw(w, random + 4, 16);
    r = r != 0 ? r : mbedtls_x509write_crt_set_validity(w, from, until);
    r = r != 0 ? r : mbedtls_x509write_crt_set_subject_name(w, name);
    r = r != 0 ? r : mbedtls_x509write_crt_set_issuer_name(w, name);
    r = r != 0 ? r : mbedtls_x509write_crt_set_basic_constraints(w, 1, 0);
    r = r != 0 ? r : mbedtls_x509write_crt_set_subject_key_identifier(w);
    return r != 0 ? r
                  : mbedtls_x509write_crt_set_key_usage(w, MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                                               MBEDTLS_X509_KU_CRL_SIGN);
}

int tls_authority_make(const struct tls_authority_options *options, struct tls_pair *ret)
{
    struct host_services services = options->services;
    struct tls_pair pair = {.certificate = calloc(1, PEM_MAX), .key = calloc(1, PEM_MAX)};
    mbedtls_pk_context key;
    mbedtls_x509write_cert w;
    mbedtls_pk_init(&key);
    mbedtls_x509write_crt_init(&w);
    int r = pair.certificate == NULL || pair.key == NULL ? -ENOMEM : generate_key(&key, &services);
    r = r != 0
            ? r
            : fill_authority(&w, &key, tls_now_s(options->wall_ms, options->wall_user), &services);
    r = r != 0 ? r
               : mbedtls_x509write_crt_pem(&w, (unsigned char *)pair.certificate, PEM_MAX,
                                           tls_random, &services);
    r = r != 0 ? r : mbedtls_pk_write_key_pem(&key, (unsigned char *)pair.key, PEM_MAX);
    mbedtls_x509write_crt_free(&w);
    mbedtls_pk_free(&key);
    if (r != 0) {
        pair.key_len = pair.key != NULL ? PEM_MAX : 0;
        tls_pair_free(&pair);
        return -ENOMEM; /* nothing else can go wrong with a key of our own */
    }
    pair.certificate_len = strlen(pair.certificate);
    pair.key_len = strlen(pair.key);
    *ret = pair;
    return 0;
}

void tls_pair_free(struct tls_pair *pair)
{
    if (pair->key != NULL) {
        explicit_bzero(pair->key, pair->key_len);
    }
    free(pair->key);
    free(pair->certificate);
    *pair = (struct tls_pair){0};
}

/* ---- reading a pair ---- */

static int read_certificate(struct tls_authority *a, const void *pem, size_t len, ln_error *reterr)
{
    struct tls_roots_count count;
    int r = tls_parse_certificates(&a->certificate, pem, len, &count);
    if (r < 0) {
        return r;
    }
    if (count.certificates == 0) {
        return fail_with(reterr, -EINVAL,
                         count.skipped == 0 ? "the CA's certificate is not in PEM form"
                                            : "the CA's certificate cannot be parsed");
    }
    return count.skipped == 0 ? 0
                              : fail_with(reterr, -EINVAL,
                                          "one of the certificates beside the CA's cannot be "
                                          "parsed");
}

static int read_key(struct tls_authority *a, const void *pem, size_t len, ln_error *reterr)
{
    char *text = tls_text_copy(pem, len);
    if (text == NULL) {
        return -ENOMEM;
    }
    int r = mbedtls_pk_parse_key(&a->key, (const unsigned char *)text, len + 1, NULL, 0, tls_random,
                                 &a->services);
    explicit_bzero(text, len);
    free(text);
    if (r == 0) {
        return 0;
    }
    if (tls_is_no_memory(r)) {
        return -ENOMEM;
    }
    bool encrypted = r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || r == MBEDTLS_ERR_PK_PASSWORD_MISMATCH;
    return fail_with(reterr, -EINVAL,
                     encrypted ? "the CA's key is encrypted; lunette cannot ask for a passphrase"
                               : "the CA's key is no private key in PEM form that can be read");
}

/* What the certificate says of itself. */
static int check_certificate(const struct tls_authority *a, int64_t now_s, ln_error *reterr)
{
    const mbedtls_x509_crt *c = &a->certificate;
    char date[TLS_DATE_TEXT];
    if (c->version != 3 || mbedtls_x509_crt_get_ca_istrue(c) != 1) {
        return fail_with(reterr, -EINVAL, "the certificate is not a CA's: it may not sign others");
    }
    if (mbedtls_x509_crt_check_key_usage(c, MBEDTLS_X509_KU_KEY_CERT_SIGN) != 0) {
        return fail_with(reterr, -EINVAL,
                         "the CA's certificate does not allow its key to sign certificates "
                         "(keyUsage without keyCertSign)");
    }
    int64_t until_s = tls_time_of(&c->valid_to);
    if (until_s <= now_s) {
        tls_format_date(until_s, date);
        return fail_with(reterr, -EINVAL, "the CA's certificate expired on %s", date);
    }
    int64_t from_s = tls_time_of(&c->valid_from);
    if (from_s > now_s) {
        tls_format_date(from_s, date);
        return fail_with(reterr, -EINVAL, "the CA's certificate is not valid before %s", date);
    }
    return 0;
}

static int check_pair(struct tls_authority *a, ln_error *reterr)
{
    if (!mbedtls_pk_can_do(&a->key, MBEDTLS_PK_ECDSA) &&
        !mbedtls_pk_can_do(&a->key, MBEDTLS_PK_RSA)) {
        return fail_with(reterr, -EINVAL, "the CA's key is neither ECDSA nor RSA");
    }
    if (mbedtls_pk_get_type(&a->key) == MBEDTLS_PK_RSA && mbedtls_pk_get_bitlen(&a->key) < 2048) {
        return fail_with(reterr, -EINVAL, "the CA's RSA key has fewer than 2048 bits");
    }
    int r = mbedtls_pk_check_pair(&a->certificate.pk, &a->key, tls_random, &a->services);
    if (r == 0) {
        return 0;
    }
    return tls_is_no_memory(r)
               ? -ENOMEM
               : fail_with(reterr, -EINVAL, "the CA's key does not belong to its certificate");
}

/* PEM of the CA alone, for trust stores. */
static int write_pem(struct tls_authority *a)
{
    size_t size = a->certificate.raw.len * 3 / 2 + 256;
    size_t len = 0;
    a->pem = malloc(size);
    return a->pem == NULL ? -ENOMEM
           : mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n",
                                      "-----END CERTIFICATE-----\n", a->certificate.raw.p,
                                      a->certificate.raw.len, (unsigned char *)a->pem, size,
                                      &len) == 0
               ? 0
               : -EIO;
}

int tls_authority_new(const struct tls_authority_options *options, const void *certificate,
                      size_t certificate_len, const void *key, size_t key_len,
                      struct tls_authority **ret, ln_error *reterr)
{
    struct tls_authority *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return -ENOMEM;
    }
    a->references = 1;
    a->services = options->services;
    a->wall_ms = options->wall_ms;
    a->wall_user = options->wall_user;
    a->leaf_valid_s = options->leaf_valid_s;
    mbedtls_x509_crt_init(&a->certificate);
    mbedtls_pk_init(&a->key);
    mbedtls_pk_init(&a->leaf_key);
    int r = read_certificate(a, certificate, certificate_len, reterr);
    r = r < 0 ? r : read_key(a, key, key_len, reterr);
    r = r < 0 ? r : check_certificate(a, tls_now_s(a->wall_ms, a->wall_user), reterr);
    r = r < 0 ? r : check_pair(a, reterr);
    r = r < 0 ? r : leaf_cache_init(&a->leaves, options->leaf_certificates, &a->services);
    r = r < 0 ? r : generate_key(&a->leaf_key, &a->services) != 0 ? -ENOMEM : 0;
    r = r < 0 ? r : write_pem(a);
    if (r < 0) {
        tls_authority_free(a);
        return r;
    }
    *ret = a;
    return 0;
}

static void unref_authority(struct tls_authority *a)
{
    if (--a->references > 0) {
        return;
    }
    mbedtls_x509_crt_free(&a->certificate);
    mbedtls_pk_free(&a->key);
    mbedtls_pk_free(&a->leaf_key);
    free(a->pem);
    free(a);
}

struct tls_authority *tls_authority_free(struct tls_authority *a)
{
    if (a != NULL) {
        if (a->leaves.buckets != NULL) {
            leaf_cache_clear(&a->leaves);
        }
        unref_authority(a);
    }
    return NULL;
}

void tls_authority_describe(const struct tls_authority *a, struct tls_authority_info *ret)
{
    uint8_t hash[32] = {0};
    *ret = (struct tls_authority_info){.not_before_s = tls_time_of(&a->certificate.valid_from),
                                       .not_after_s = tls_time_of(&a->certificate.valid_to)};
    if (mbedtls_x509_dn_gets(ret->subject, sizeof(ret->subject), &a->certificate.subject) < 0) {
        memcpy(ret->subject, "a name too long to show", sizeof("a name too long to show"));
    }
    (void)mbedtls_sha256(a->certificate.raw.p, a->certificate.raw.len, hash, 0);
    struct text text = text_of(ret->fingerprint, sizeof(ret->fingerprint));
    for (size_t i = 0; i < sizeof(hash); i++) {
        text_printf(&text, i == 0 ? "%02X" : ":%02X", hash[i]);
    }
}

const char *tls_authority_certificate(const struct tls_authority *a)
{
    return a->pem;
}

/* ---- leaves ---- */

bool tls_name_is_plain(const char *name, size_t len)
{
    size_t label = 0;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (c == '.'
                ? label == 0
                : !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
            return false;
        }
        label = c == '.' ? 0 : label + 1;
        if (label > 63) {
            return false;
        }
    }
    return len <= 253 && label > 0;
}

/* The certificates that a guest needs beside the leaf: a root is in its trust store. */
static mbedtls_x509_crt *linking_certificates(struct tls_authority *a)
{
    mbedtls_x509_crt *ca = &a->certificate;
    bool is_root = ca->subject_raw.len == ca->issuer_raw.len &&
                   memcmp(ca->subject_raw.p, ca->issuer_raw.p, ca->subject_raw.len) == 0;
    return is_root ? ca->next : ca;
}

static int new_leaf(struct tls_authority *a, const struct leaf_subject *subject, int64_t now_s,
                    struct tls_leaf **ret)
{
    struct tls_leaf *leaf = calloc(1, sizeof(*leaf));
    if (leaf == NULL) {
        return -ENOMEM;
    }
    leaf->references = 1;
    leaf->authority = a;
    a->references++;
    leaf->key = &a->leaf_key;
    mbedtls_x509_crt_init(&leaf->certificate);
    int64_t ca_end_s = tls_time_of(&a->certificate.valid_to);
    int64_t end_s = now_s + a->leaf_valid_s;
    leaf->not_before_s = now_s - BACK_DATE_S;
    leaf->not_after_s = end_s < ca_end_s ? end_s : ca_end_s;
    /* Those that took it at its last moment have a quarter of its life to use it. */
    leaf->renew_s = leaf->not_after_s - (leaf->not_after_s - now_s) / 4;
    leaf->address = subject->address;
    leaf->named = subject->name != NULL;
    if (leaf->named) {
        memcpy(leaf->name, subject->name, strlen(subject->name));
    }
    struct leaf_issuer issuer = {.certificate = &a->certificate,
                                 .key = &a->key,
                                 .leaf_key = &a->leaf_key,
                                 .services = &a->services};
    int r = leaf_mint(&issuer, subject, leaf->not_before_s, leaf->not_after_s, &leaf->certificate);
    if (r < 0) {
        tls_leaf_unref(leaf);
        return r;
    }
    leaf->certificate.next = linking_certificates(a);
    *ret = leaf;
    return 0;
}

int tls_authority_leaf(struct tls_authority *a, const char *name, const ln_addr *address,
                       struct tls_leaf **ret)
{
    if (name != NULL && !tls_name_is_plain(name, strlen(name))) {
        return -EINVAL;
    }
    struct leaf_subject subject = {.name = name};
    if (name == NULL) {
        subject.address = *address;
    }
    int64_t now_s = tls_now_s(a->wall_ms, a->wall_user);
    struct tls_leaf *leaf = leaf_cache_find(&a->leaves, &subject);
    if (leaf != NULL && now_s >= leaf->not_before_s && now_s < leaf->renew_s) {
        a->found++;
        *ret = tls_leaf_ref(leaf);
        return 0;
    }
    if (tls_time_of(&a->certificate.valid_to) <= now_s) {
        return -EKEYEXPIRED;
    }
    if (leaf != NULL) {
        leaf_cache_remove(&a->leaves, leaf);
    }
    int r = new_leaf(a, &subject, now_s, ret);
    if (r == 0) {
        a->minted++;
        leaf_cache_add(&a->leaves, *ret);
    }
    return r;
}

struct tls_leaf *tls_leaf_ref(struct tls_leaf *leaf)
{
    leaf->references++;
    return leaf;
}

struct tls_leaf *tls_leaf_unref(struct tls_leaf *leaf)
{
    if (leaf != NULL && --leaf->references == 0) {
        leaf->certificate.next = NULL;
        mbedtls_x509_crt_free(&leaf->certificate);
        unref_authority(leaf->authority);
        free(leaf);
    }
    return NULL;
}

void tls_authority_stats(const struct tls_authority *a, struct tls_authority_stats *ret)
{
    *ret = (struct tls_authority_stats){
        .minted = a->minted, .found = a->found, .cached = a->leaves.count};
}
