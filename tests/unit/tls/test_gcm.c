/* AES-GCM of the library in use, whichever path it takes for a length: whole and block by block it
 * must give the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <mbedtls/gcm.h>

#include "base/host.h"

enum { LEN_MAX = 1100 };

/* In pieces of `piece` bytes. */
static void run(mbedtls_gcm_context *gcm, int mode, const uint8_t iv[12], const uint8_t *src,
                size_t len, size_t piece, uint8_t *dst, uint8_t tag[16])
{
    size_t out;
    assert_int_equal(mbedtls_gcm_starts(gcm, mode, iv, 12), 0);
    assert_int_equal(mbedtls_gcm_update_ad(gcm, iv, 5), 0);
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        assert_int_equal(mbedtls_gcm_update(gcm, src + at, n, dst + at, n, &out), 0);
        assert_int_equal(out, n);
    }
    assert_int_equal(mbedtls_gcm_finish(gcm, NULL, 0, &out, tag, 16), 0);
}

static void assert_agrees(mbedtls_gcm_context *gcm, const uint8_t iv[12], const uint8_t *plain,
                          size_t len)
{
    uint8_t slow[LEN_MAX], fast[LEN_MAX], slow_tag[16], fast_tag[16];
    run(gcm, MBEDTLS_GCM_ENCRYPT, iv, plain, len, 16, slow, slow_tag);
    memcpy(fast, plain, len); /* in place, as records are */
    run(gcm, MBEDTLS_GCM_ENCRYPT, iv, fast, len, LEN_MAX, fast, fast_tag);
    assert_memory_equal(slow, fast, len);
    assert_memory_equal(slow_tag, fast_tag, 16);
    run(gcm, MBEDTLS_GCM_DECRYPT, iv, fast, len, LEN_MAX, fast, fast_tag);
    assert_memory_equal(plain, fast, len);
    assert_memory_equal(slow_tag, fast_tag, 16);
    run(gcm, MBEDTLS_GCM_ENCRYPT, iv, plain, len, 131, fast, fast_tag);
    assert_memory_equal(slow, fast, len);
    assert_memory_equal(slow_tag, fast_tag, 16);
}

static void test_every_length_and_key_agrees_with_single_blocks(void **state)
{
    (void)state;
    uint8_t key[32], iv[12], plain[LEN_MAX];
    for (unsigned bits = 128; bits <= 256; bits += 64) {
        mbedtls_gcm_context gcm;
        mbedtls_gcm_init(&gcm);
        host_services_system.random(NULL, key, sizeof(key));
        host_services_system.random(NULL, iv, sizeof(iv));
        host_services_system.random(NULL, plain, sizeof(plain));
        assert_int_equal(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, bits), 0);
        for (size_t len = 1; len < LEN_MAX; len++) {
            assert_agrees(&gcm, iv, plain, len);
        }
        mbedtls_gcm_free(&gcm);
    }
}

/* Long enough for every path; the tag is OpenSSL's. */
static void test_tag_is_the_one_that_openssl_gives(void **state)
{
    (void)state;
    static const uint8_t key[16] =
        "\xfe\xff\xe9\x92\x86\x65\x73\x1c\x6d\x6a\x8f\x94\x67\x30\x83\x08";
    static const uint8_t iv[12] = "\xca\xfe\xba\xbe\xfa\xce\xdb\xad\xde\xca\xf8\x88";
    uint8_t zeros[256] = {0}, out[256], tag[16];
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    assert_int_equal(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128), 0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, sizeof(zeros), iv, 12,
                                               NULL, 0, zeros, out, 16, tag),
                     0);
    static const uint8_t want[16] =
        "\xe5\x70\xaf\xee\x66\x91\xe2\x08\x2c\xa2\x19\x20\xd6\x4b\x76\x21";
    assert_memory_equal(tag, want, 16);
    mbedtls_gcm_free(&gcm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_and_key_agrees_with_single_blocks),
        cmocka_unit_test(test_tag_is_the_one_that_openssl_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
