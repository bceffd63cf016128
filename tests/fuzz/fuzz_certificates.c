/* PEM files that a user names, and certificates that a server shows: read, described, and judged
 * against themselves. */
#include "tls/common.h"
#include "tls/pair.h"
#include "tls/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const uint8_t *data, size_t size, const struct tls_roots *roots)
{
    mbedtls_x509_crt chain;
    struct tls_roots_count count;
    mbedtls_x509_crt_init(&chain);
    if (tls_parse_certificates(&chain, data, size, &count) == 0 && count.certificates > 0) {
        for (int named = 0; named < 2; named++) {
            struct tls_fault fault = {.name = ""};
            struct verifier v = {.name = named ? "www.example.com" : NULL,
                                 .address = ln_addr_v4(0x7f000001),
                                 .roots = roots,
                                 .now_s = 1780000000,
                                 .verify = true};
            unsigned steps = 0;
            enum verifier_result r = VERIFIER_GOES_ON;
            verifier_start(&v, &chain);
            while (r == VERIFIER_GOES_ON) {
                r = verifier_step(&v, &fault);
                if (++steps > VERIFIER_SIGNATURES + VERIFIER_DEPTH + 2) {
                    abort();
                }
            }
            if ((r == VERIFIER_BAD) != (fault.message[0] != '\0')) {
                abort();
            }
        }
    }
    mbedtls_x509_crt_free(&chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.wall_ms = UINT64_C(1780000000000)};
    struct tls_authority_options options = world_options(&w);
    struct tls_authority *a = NULL;
    struct tls_roots *roots = NULL;
    ln_error error = {0};
    (void)tls_roots_new(data, size, NULL, &roots, NULL, &error);
    judge(data, size, roots);
    if (tls_authority_new(&options, data, size, data, size, &a, &error) == 0) {
        struct tls_authority_info info;
        struct tls_leaf *leaf;
        tls_authority_describe(a, &info);
        if (tls_authority_leaf(a, "www.example.com", NULL, &leaf) == 0) {
            tls_leaf_unref(leaf);
        }
        tls_authority_free(a);
    }
    tls_roots_unref(roots);
    return 0;
}
