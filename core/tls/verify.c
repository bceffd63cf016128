/* Certificate verification. The theory of operation is in the header. */
#include "tls/verify.h"

#include <string.h>
#include <strings.h>

#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/rsa.h>

#include "base/text.h"
#include "tls/common.h"
#include "tls/fault.h"

enum { RSA_BITS_MAX = 8192, RSA_EXPONENT_BITS_MAX = 64 };

static const mbedtls_x509_crt_profile profile = {
    .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
    .allowed_pks = MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSA) | MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECKEY) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_ECDSA) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_PK_RSASSA_PSS),
    .allowed_curves = MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP384R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP521R1),
    .rsa_min_bitlen = 2048,
};

/* ---- names ---- */

static bool is_under_wildcard(const char *pattern, size_t len, const char *name)
{
    const char *rest = strchr(name, '.');
    return len > 2 && pattern[0] == '*' && pattern[1] == '.' && rest != NULL && rest != name &&
           memchr(pattern + 2, '.', len - 2) != NULL && strlen(rest) == len - 1 &&
           strncasecmp(rest, pattern + 1, len - 1) == 0;
}

/* A NUL in the pattern equals nothing in the name, which has none: the lengths must agree. */
static bool is_name(const mbedtls_x509_buf *san, const char *name)
{
    const char *pattern = (const char *)san->p;
    return (san->len == strlen(name) && strncasecmp(pattern, name, san->len) == 0) ||
           (memchr(pattern, '\0', san->len) == NULL && is_under_wildcard(pattern, san->len, name));
}

static bool is_address(const mbedtls_x509_buf *san, const ln_addr *address)
{
    bool v4 = ln_addr_is_v4(address);
    return san->len == (v4 ? 4u : 16u) &&
           memcmp(san->p, address->bytes + (v4 ? 12 : 0), san->len) == 0;
}

static unsigned kind_of(const mbedtls_x509_sequence *san)
{
    return (unsigned)san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK;
}

bool certificate_is_for(const mbedtls_x509_crt *certificate, const char *name,
                        const ln_addr *address)
{
    const mbedtls_x509_sequence *san = &certificate->subject_alt_names;
    for (; san != NULL && san->buf.p != NULL; san = san->next) {
        if (name != NULL
                ? kind_of(san) == MBEDTLS_X509_SAN_DNS_NAME && is_name(&san->buf, name)
                : kind_of(san) == MBEDTLS_X509_SAN_IP_ADDRESS && is_address(&san->buf, address)) {
            return true;
        }
    }
    return false;
}

/* What a certificate is for, as far as it fits: the first names. */
static void describe_names(const mbedtls_x509_crt *certificate, struct text *text)
{
    const mbedtls_x509_sequence *san = &certificate->subject_alt_names;
    unsigned shown = 0;
    for (; san != NULL && san->buf.p != NULL && shown < 2; san = san->next) {
        if (kind_of(san) == MBEDTLS_X509_SAN_DNS_NAME) {
            text_puts(text, shown++ == 0 ? "" : ", ");
            text_quote(text, (const char *)san->buf.p, san->buf.len < 64 ? san->buf.len : 64);
        }
    }
    text_puts(text, shown == 0 ? "no host name" : san != NULL ? ", …" : "");
}

static void fault_of_name(const struct verifier *v, struct tls_fault *fault)
{
    char wanted[LN_ADDR_TEXT_MAX];
    char has[200];
    struct text text = text_of(has, sizeof(has));
    describe_names(v->leaf, &text);
    ln_addr_format(&v->address, wanted);
    tls_fault_set(fault, TLS_FAULT_NAME_MISMATCH,
                  "the server's certificate is for %s and not for %.80s", has,
                  v->name != NULL ? v->name : wanted);
}

/* ---- one certificate ---- */

/* A public key that takes no longer to use than those that certificates really have: an RSA
 * exponent as long as the modulus would take a hundred times the time. */
static bool is_bounded(const mbedtls_x509_crt *certificate)
{
    if (!mbedtls_pk_can_do(&certificate->pk, MBEDTLS_PK_RSA)) {
        return true;
    }
    mbedtls_mpi e;
    mbedtls_mpi_init(&e);
    bool ok =
        mbedtls_pk_get_bitlen(&certificate->pk) <= RSA_BITS_MAX &&
        mbedtls_rsa_export(mbedtls_pk_rsa(certificate->pk), NULL, NULL, NULL, NULL, &e) == 0 &&
        mbedtls_mpi_bitlen(&e) <= RSA_EXPONENT_BITS_MAX;
    mbedtls_mpi_free(&e);
    return ok;
}

static bool is_valid_now(struct verifier *v, const mbedtls_x509_crt *certificate,
                         struct tls_fault *fault)
{
    char date[TLS_DATE_TEXT];
    int64_t from_s = tls_time_of(&certificate->valid_from);
    int64_t until_s = tls_time_of(&certificate->valid_to);
    const char *whose =
        certificate == v->leaf ? "the server's certificate" : "a certificate in the server's chain";
    if (v->now_s > until_s) {
        tls_format_date(until_s, date);
        tls_fault_set(fault, TLS_FAULT_EXPIRED, "%s expired on %s", whose, date);
    } else if (v->now_s < from_s) {
        tls_format_date(from_s, date);
        tls_fault_set(fault, TLS_FAULT_NOT_YET_VALID, "%s is not valid before %s", whose, date);
    }
    v->not_after_s = until_s < v->not_after_s ? until_s : v->not_after_s;
    return fault->code == TLS_FAULT_NONE;
}

static bool judge_leaf(struct verifier *v, struct tls_fault *fault)
{
    if (!certificate_is_for(v->leaf, v->name, &v->address)) {
        fault_of_name(v, fault);
    } else if (mbedtls_x509_crt_check_extended_key_usage(
                   v->leaf, MBEDTLS_OID_SERVER_AUTH, sizeof(MBEDTLS_OID_SERVER_AUTH) - 1) != 0) {
        tls_fault_set(fault, TLS_FAULT_BAD_CERTIFICATE,
                      "the server's certificate is not for TLS servers (extendedKeyUsage)");
    } else if (mbedtls_x509_crt_check_key_usage(v->leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0) {
        tls_fault_set(fault, TLS_FAULT_BAD_CERTIFICATE,
                      "the server's certificate does not allow its key to sign (keyUsage)");
    }
    return fault->code == TLS_FAULT_NONE && is_valid_now(v, v->leaf, fault);
}

/* ---- the path ---- */

static bool same_bytes(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static bool is_self_issued(const mbedtls_x509_crt *c)
{
    return same_bytes(&c->issuer_raw, &c->subject_raw);
}

/* What mbedTLS found while it looked at one pair. */
struct pair {
    const mbedtls_x509_crt *anchor; /* the issuer, where it was one of the given */
};

/* Called for the issuer, then for the child. mbedTLS's clock is the system's: validity is judged
 * here. */
static int look_at_pair(void *user, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct pair *pair = user;
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if (depth > 0) {
        pair->anchor = certificate;
    }
    return 0;
}

/* Whether one of `issuers` signed the child: 1, 0, or an error of mbedTLS. *ret_flags says what is
 * wrong with the two beside that. */
static int is_signed_by(struct verifier *v, mbedtls_x509_crt *issuers, uint32_t *ret_flags,
                        const mbedtls_x509_crt **ret_issuer)
{
    struct pair pair = {0};
    mbedtls_x509_crt alone = *v->child; /* without those behind it */
    alone.next = NULL;
    uint32_t flags = 0;
    int r = mbedtls_x509_crt_verify_with_profile(&alone, issuers, NULL, &profile, NULL, &flags,
                                                 look_at_pair, &pair);
    if (r != 0 && r != MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        return r;
    }
    if ((flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) != 0) {
        return 0;
    }
    *ret_flags = flags;
    *ret_issuer = pair.anchor; /* NULL: the child itself is a trusted one */
    return 1;
}

/* RFC 5280 section 6.1.4: how many intermediates that are not self-issued may be below it. The
 * parser's field is one more than what the certificate says; 0: no limit. */
static bool is_within_path_length(const struct verifier *v, const mbedtls_x509_crt *issuer)
{
    int most = issuer->MBEDTLS_PRIVATE(max_pathlen);
    return most <= 0 || v->depth < (unsigned)most;
}

/* Judges an issuer that signed the child. */
static bool judge_issuer(struct verifier *v, const mbedtls_x509_crt *issuer, uint32_t flags,
                         struct tls_fault *fault)
{
    if (flags != 0) {
        tls_fault_set(fault, TLS_FAULT_BAD_CERTIFICATE,
                      "%s uses an algorithm or key that is too weak",
                      v->child == v->leaf ? "the server's certificate"
                                          : "a certificate in the server's chain");
    } else if (issuer != NULL && !is_within_path_length(v, issuer)) {
        tls_fault_set(fault, TLS_FAULT_BAD_CERTIFICATE,
                      "the server's chain is longer than one of its CAs allows");
    }
    return fault->code == TLS_FAULT_NONE && (issuer == NULL || is_valid_now(v, issuer, fault));
}

static enum verifier_result fail_untrusted(struct verifier *v, struct tls_fault *fault)
{
    char dn[160] = "";
    if (v->child == v->leaf && is_self_issued(v->leaf)) {
        tls_fault_set(fault, TLS_FAULT_SELF_SIGNED,
                      "the server's certificate is self-signed and not trusted");
        return VERIFIER_BAD;
    }
    if (mbedtls_x509_dn_gets(dn, sizeof(dn), &v->child->issuer) < 0) {
        memcpy(dn, "a CA with a long name", sizeof("a CA with a long name"));
    }
    char quoted[200];
    struct text text = text_of(quoted, sizeof(quoted));
    text_quote(&text, dn, strlen(dn));
    tls_fault_set(fault, TLS_FAULT_UNTRUSTED, "the server's certificate is issued by %s, %s",
                  quoted, "which is not trusted");
    return VERIFIER_BAD;
}

static enum verifier_result ask_roots(struct verifier *v, struct tls_fault *fault)
{
    v->asked_roots = true;
    v->candidate = v->leaf->next;
    mbedtls_x509_crt *roots = tls_roots_chain(v->roots);
    uint32_t flags = 0;
    const mbedtls_x509_crt *issuer = NULL;
    int r = roots == NULL ? 0 : is_signed_by(v, roots, &flags, &issuer);
    if (r < 0) {
        tls_fault_from(fault, r, 0, "the server");
        return VERIFIER_BAD;
    }
    if (r == 0) {
        return VERIFIER_GOES_ON;
    }
    return judge_issuer(v, issuer, flags, fault) ? VERIFIER_GOOD : VERIFIER_BAD;
}

/* Whether a certificate that the server sent may be the child's issuer. */
static bool may_be_issuer(const struct verifier *v, const mbedtls_x509_crt *c)
{
    return c != v->child && c != v->leaf && same_bytes(&c->subject_raw, &v->child->issuer_raw) &&
           !is_self_issued(c); /* a root is trusted from our side or not at all */
}

static enum verifier_result ask_server(struct verifier *v, struct tls_fault *fault)
{
    while (v->candidate != NULL && !may_be_issuer(v, v->candidate)) {
        v->candidate = v->candidate->next;
    }
    if (v->candidate == NULL || v->signatures == VERIFIER_SIGNATURES ||
        v->depth == VERIFIER_DEPTH || !is_bounded(v->candidate)) {
        return fail_untrusted(v, fault);
    }
    v->signatures++;
    mbedtls_x509_crt *tried = v->candidate;
    v->candidate = tried->next;
    mbedtls_x509_crt alone = *tried;
    alone.next = NULL;
    uint32_t flags = 0;
    const mbedtls_x509_crt *issuer = NULL;
    int r = is_signed_by(v, &alone, &flags, &issuer);
    if (r < 0) {
        tls_fault_from(fault, r, 0, "the server");
        return VERIFIER_BAD;
    }
    if (r == 0 || issuer == NULL) {
        return VERIFIER_GOES_ON;
    }
    if (!judge_issuer(v, tried, flags, fault)) {
        return VERIFIER_BAD;
    }
    v->child = tried;
    v->depth++;
    v->asked_roots = false;
    return VERIFIER_GOES_ON;
}

void verifier_start(struct verifier *v, mbedtls_x509_crt *leaf)
{
    v->leaf = v->child = leaf;
    v->candidate = NULL;
    v->asked_roots = false;
    v->depth = 0;
    v->signatures = 0;
    v->not_after_s = INT64_MAX;
}

enum verifier_result verifier_step(struct verifier *v, struct tls_fault *fault)
{
    if (v->depth == 0 && !v->asked_roots) {
        if (!is_bounded(v->leaf)) {
            tls_fault_set(fault, TLS_FAULT_BAD_CERTIFICATE,
                          "the server's certificate has an RSA key of unusual size");
            return VERIFIER_BAD;
        }
        if (!v->verify) {
            return VERIFIER_GOOD;
        }
        if (!judge_leaf(v, fault)) {
            return VERIFIER_BAD;
        }
    }
    return v->asked_roots ? ask_server(v, fault) : ask_roots(v, fault);
}
