/* Trust sets: linked certificates, the last of which leads on to those of the base. */
#include "tls/roots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/sha256.h>

#include "base/fail.h"
#include "tls/common.h"

struct tls_roots {
    size_t references;
    struct tls_roots *base;
    mbedtls_x509_crt chain; /* version 0: empty */
    size_t size;
    uint8_t id[TLS_ROOTS_ID];
};

mbedtls_x509_crt *tls_roots_chain(const struct tls_roots *roots)
{
    /* mbedTLS takes its trust anchors without const and changes none. */
    return roots == NULL || roots->size == 0 ? NULL : (mbedtls_x509_crt *)&roots->chain;
}

const uint8_t *tls_roots_id(const struct tls_roots *roots)
{
    return roots->id;
}

static mbedtls_x509_crt *last_of(struct tls_roots *roots)
{
    mbedtls_x509_crt *last = &roots->chain;
    while (last->next != NULL) {
        last = last->next;
    }
    return last;
}

/* SHA-256 over the SHA-256 of each certificate: lengths need no marking. */
static int identify(struct tls_roots *roots)
{
    mbedtls_sha256_context all;
    mbedtls_sha256_init(&all);
    int r = mbedtls_sha256_starts(&all, 0);
    for (const mbedtls_x509_crt *c = tls_roots_chain(roots); c != NULL && r == 0; c = c->next) {
        uint8_t one[32];
        r = mbedtls_sha256(c->raw.p, c->raw.len, one, 0);
        r = r == 0 ? mbedtls_sha256_update(&all, one, sizeof(one)) : r;
    }
    r = r == 0 ? mbedtls_sha256_finish(&all, roots->id) : r;
    mbedtls_sha256_free(&all);
    return r == 0 ? 0 : -ENOMEM; /* only hardware could fail otherwise */
}

static struct tls_roots *new_set(void)
{
    struct tls_roots *roots = calloc(1, sizeof(*roots));
    if (roots != NULL) {
        roots->references = 1;
        mbedtls_x509_crt_init(&roots->chain);
    }
    return roots;
}

int tls_roots_new(const void *pem, size_t len, struct tls_roots *base, struct tls_roots **ret,
                  struct tls_roots_count *ret_count, ln_error *reterr)
{
    struct tls_roots_count count = {0};
    struct tls_roots *roots = new_set();
    if (roots == NULL) {
        return -ENOMEM;
    }
    int r = tls_parse_certificates(&roots->chain, pem, len, &count);
    if (r < 0) {
        goto out;
    }
    if (count.certificates == 0) {
        r = fail_with(reterr, -EINVAL,
                      count.skipped == 0 ? "it holds no certificate in PEM form"
                                         : "none of its certificates can be parsed");
        goto out;
    }
    roots->size = count.certificates;
    if (base != NULL && base->size > 0) {
        roots->size += base->size;
        roots->base = tls_roots_ref(base);
        last_of(roots)->next = &base->chain;
    }
    r = identify(roots);
out:
    if (r < 0) {
        tls_roots_unref(roots);
        return r;
    }
    *ret = roots;
    if (ret_count != NULL) {
        *ret_count = count;
    }
    return 0;
}

struct tls_roots *tls_roots_none(void)
{
    struct tls_roots *roots = new_set();
    if (roots != NULL && identify(roots) < 0) {
        return tls_roots_unref(roots);
    }
    return roots;
}

struct tls_roots *tls_roots_ref(struct tls_roots *roots)
{
    if (roots != NULL) {
        roots->references++;
    }
    return roots;
}

struct tls_roots *tls_roots_unref(struct tls_roots *roots)
{
    if (roots == NULL || --roots->references > 0) {
        return NULL;
    }
    if (roots->base != NULL) {
        mbedtls_x509_crt *last = &roots->chain;
        while (last->next != &roots->base->chain) {
            last = last->next;
        }
        last->next = NULL;
        tls_roots_unref(roots->base);
    }
    mbedtls_x509_crt_free(&roots->chain);
    free(roots);
    return NULL;
}

size_t tls_roots_size(const struct tls_roots *roots)
{
    return roots == NULL ? 0 : roots->size;
}
