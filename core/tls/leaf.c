/* The certificate is written back to front, as mbedTLS's ASN.1 writers do. The issuer's name is
 * copied as it stands in its certificate: some clients compare the bytes. */
#include "tls/leaf.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/sha256.h>

#include "base/text.h"
#include "tls/common.h"

enum {
    SERIAL = 16, /* bytes, RFC 5280 section 4.1.2.2: at most 20 */
    COMMON_NAME_MAX = 64,
    TBS_MAX = 4096,
    SEQUENCE = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE,
    CONTEXT = MBEDTLS_ASN1_CONTEXT_SPECIFIC
};

/* Where the next bytes go: in front of `at`. Sticky, so that a certificate is checked once. */
struct writer {
    uint8_t *start, *at;
    int error; /* of mbedTLS */
};

/* Accounts for what one of mbedtls_asn1_write_*() returned. */
static void wrote(struct writer *w, int r)
{
    if (r < 0 && w->error == 0) {
        w->error = r;
    }
}

static void put_bytes(struct writer *w, const void *data, size_t len)
{
    wrote(w, mbedtls_asn1_write_raw_buffer(&w->at, w->start, data, len));
}

/* A head in front of everything from `w->at` to `end`. */
static void wrap(struct writer *w, const uint8_t *end, unsigned char tag)
{
    wrote(w, mbedtls_asn1_write_len(&w->at, w->start, (size_t)(end - w->at)));
    wrote(w, mbedtls_asn1_write_tag(&w->at, w->start, tag));
}

static void put_oid(struct writer *w, const char *oid)
{
    wrote(w, mbedtls_asn1_write_oid(&w->at, w->start, oid, strlen(oid)));
}

/* The head of an extension whose value ends at `end`. */
static void wrap_extension(struct writer *w, const uint8_t *end, const char *oid, bool critical)
{
    wrap(w, end, MBEDTLS_ASN1_OCTET_STRING);
    if (critical) {
        wrote(w, mbedtls_asn1_write_bool(&w->at, w->start, 1));
    }
    put_oid(w, oid);
    wrap(w, end, SEQUENCE);
}

/* ---- extensions ---- */

static void put_alternative_name(struct writer *w, const struct leaf_subject *subject,
                                 bool critical)
{
    const uint8_t *end = w->at;
    if (subject->name != NULL) {
        put_bytes(w, subject->name, strlen(subject->name));
        wrap(w, end, CONTEXT | MBEDTLS_X509_SAN_DNS_NAME);
    } else {
        bool v4 = ln_addr_is_v4(&subject->address);
        put_bytes(w, subject->address.bytes + (v4 ? 12 : 0), v4 ? 4 : 16);
        wrap(w, end, CONTEXT | MBEDTLS_X509_SAN_IP_ADDRESS);
    }
    wrap(w, end, SEQUENCE);
    wrap_extension(w, end, MBEDTLS_OID_SUBJECT_ALT_NAME, critical);
}

/* RFC 5280 section 4.2.1.1: the issuer's own key identifier, where it has one. */
static void put_authority_key(struct writer *w, const mbedtls_x509_crt *issuer)
{
    if (issuer->subject_key_id.len == 0) {
        return;
    }
    const uint8_t *end = w->at;
    put_bytes(w, issuer->subject_key_id.p, issuer->subject_key_id.len);
    wrap(w, end, CONTEXT | 0);
    wrap(w, end, SEQUENCE);
    wrap_extension(w, end, MBEDTLS_OID_AUTHORITY_KEY_IDENTIFIER, false);
}

static void put_extensions(struct writer *w, const struct leaf_issuer *issuer,
                           const struct leaf_subject *subject, bool has_common_name)
{
    const uint8_t *end = w->at;
    put_authority_key(w, issuer->certificate);
    put_alternative_name(w, subject, !has_common_name); /* section 4.2.1.6 */

    const uint8_t *value_end = w->at;
    put_oid(w, MBEDTLS_OID_SERVER_AUTH);
    wrap(w, value_end, SEQUENCE);
    wrap_extension(w, value_end, MBEDTLS_OID_EXTENDED_KEY_USAGE, false);

    value_end = w->at;
    static const uint8_t digital_signature = 0x80;
    wrote(w, mbedtls_asn1_write_bitstring(&w->at, w->start, &digital_signature, 1));
    wrap_extension(w, value_end, MBEDTLS_OID_KEY_USAGE, true);

    value_end = w->at;
    wrap(w, value_end, SEQUENCE); /* not a CA, the default */
    wrap_extension(w, value_end, MBEDTLS_OID_BASIC_CONSTRAINTS, true);

    wrap(w, end, SEQUENCE);
    wrap(w, end, CONTEXT | MBEDTLS_ASN1_CONSTRUCTED | 3);
}

/* ---- the rest ---- */

/* RFC 5280 section 4.1.2.5: two digits of the year up to 2049, four from then on. */
static void put_time(struct writer *w, int64_t seconds)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year + 1900 > 9999 || tm.tm_year < 50) {
        wrote(w, MBEDTLS_ERR_ASN1_INVALID_DATA);
        return;
    }
    bool utc = tm.tm_year + 1900 < 2050;
    size_t len = strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm);
    const uint8_t *end = w->at;
    put_bytes(w, text + (utc ? 2 : 0), len - (utc ? 2 : 0));
    wrap(w, end, utc ? MBEDTLS_ASN1_UTC_TIME : MBEDTLS_ASN1_GENERALIZED_TIME);
}

/* The name or address as common name; no name at all where it is too long for one. */
static bool put_subject(struct writer *w, const struct leaf_subject *subject)
{
    char address[LN_ADDR_TEXT_MAX];
    const char *text = subject->name;
    if (text == NULL) {
        ln_addr_format(&subject->address, address);
        text = address;
    }
    const uint8_t *end = w->at;
    bool fits = strlen(text) <= COMMON_NAME_MAX;
    if (fits) {
        wrote(w, mbedtls_asn1_write_tagged_string(&w->at, w->start, MBEDTLS_ASN1_UTF8_STRING, text,
                                                  strlen(text)));
        put_oid(w, MBEDTLS_OID_AT_CN);
        wrap(w, end, SEQUENCE);
        wrap(w, end, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SET);
    }
    wrap(w, end, SEQUENCE);
    return fits;
}

static bool is_rsa(const struct leaf_issuer *issuer)
{
    return mbedtls_pk_get_type(issuer->key) == MBEDTLS_PK_RSA;
}

static void put_algorithm(struct writer *w, const struct leaf_issuer *issuer)
{
    const char *oid = is_rsa(issuer) ? MBEDTLS_OID_PKCS1_SHA256 : MBEDTLS_OID_ECDSA_SHA256;
    wrote(w, mbedtls_asn1_write_algorithm_identifier_ext(&w->at, w->start, oid, strlen(oid), 0,
                                                         is_rsa(issuer)));
}

static void put_serial(struct writer *w, const struct host_services *services)
{
    uint8_t serial[SERIAL];
    services->random(services->user, serial, sizeof(serial));
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and always of this length */
    const uint8_t *end = w->at;
    put_bytes(w, serial, sizeof(serial));
    wrap(w, end, MBEDTLS_ASN1_INTEGER);
}

static void put_body(struct writer *w, const struct leaf_issuer *issuer,
                     const struct leaf_subject *subject, int64_t not_before_s, int64_t not_after_s)
{
    const uint8_t *end = w->at;
    bool named = subject->name == NULL || strlen(subject->name) <= COMMON_NAME_MAX;
    put_extensions(w, issuer, subject, named);
    uint8_t key[256];
    int key_len = mbedtls_pk_write_pubkey_der(issuer->leaf_key, key, sizeof(key));
    wrote(w, key_len);
    if (key_len > 0) {
        put_bytes(w, key + sizeof(key) - key_len, (size_t)key_len);
    }
    (void)put_subject(w, subject);
    const uint8_t *validity_end = w->at;
    put_time(w, not_after_s);
    put_time(w, not_before_s);
    wrap(w, validity_end, SEQUENCE);
    put_bytes(w, issuer->certificate->subject_raw.p, issuer->certificate->subject_raw.len);
    put_algorithm(w, issuer);
    put_serial(w, issuer->services);
    const uint8_t *version_end = w->at;
    wrote(w, mbedtls_asn1_write_int(&w->at, w->start, 2)); /* v3 */
    wrap(w, version_end, CONTEXT | MBEDTLS_ASN1_CONSTRUCTED | 0);
    wrap(w, end, SEQUENCE);
}

int leaf_mint(const struct leaf_issuer *issuer, const struct leaf_subject *subject,
              int64_t not_before_s, int64_t not_after_s, mbedtls_x509_crt *ret)
{
    uint8_t tbs[TBS_MAX] = {0};
    uint8_t whole[TBS_MAX + MBEDTLS_PK_SIGNATURE_MAX_SIZE + 64] = {0};
    uint8_t hash[32];
    uint8_t signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t signature_len = 0;
    struct writer body = {.start = tbs, .at = tbs + sizeof(tbs)};
    put_body(&body, issuer, subject, not_before_s, not_after_s);
    size_t body_len = (size_t)(tbs + sizeof(tbs) - body.at);
    int r = body.error != 0 ? body.error : mbedtls_sha256(body.at, body_len, hash, 0);
    if (r == 0) {
        r = mbedtls_pk_sign(issuer->key, MBEDTLS_MD_SHA256, hash, sizeof(hash), signature,
                            sizeof(signature), &signature_len, tls_random,
                            (void *)issuer->services);
    }
    if (r == 0) {
        struct writer w = {.start = whole, .at = whole + sizeof(whole)};
        const uint8_t *end = w.at;
        wrote(&w, mbedtls_asn1_write_bitstring(&w.at, w.start, signature, signature_len * 8));
        put_algorithm(&w, issuer);
        put_bytes(&w, body.at, body_len);
        wrap(&w, end, SEQUENCE);
        r = w.error != 0 ? w.error : mbedtls_x509_crt_parse_der(ret, w.at, (size_t)(end - w.at));
    }
    return r == 0 ? 0 : tls_is_no_memory(r) ? -ENOMEM : -EIO;
}
