/* Java's key stores. The format is that of sun.security.provider.JavaKeyStore: a header, one entry
 * a certificate, and a digest keyed with the password, all numbers big-endian. */
#include "cli/java_store.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/sha1.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

enum { MAGIC = 0xfeedfeed, VERSION = 2, TRUSTED_CERTIFICATE = 2, DIGEST_LEN = 20 };

struct store {
    uint8_t *data; /* with room for all that is to come */
    size_t len;
};

static void put(struct store *store, const void *data, size_t len)
{
    memcpy(store->data + store->len, data, len);
    store->len += len;
}

static void put_number(struct store *store, uint64_t value, unsigned bytes)
{
    while (bytes > 0) {
        store->data[store->len++] = (uint8_t)(value >> 8 * --bytes);
    }
}

static void put_text(struct store *store, const char *text)
{
    put_number(store, strlen(text), 2);
    put(store, text, strlen(text));
}

/* The digest of whatever stands before it. */
static int put_digest(struct store *store)
{
    static const char password[] = "\0c\0h\0a\0n\0g\0e\0i\0t"; /* UTF-16, big-endian */
    uint8_t digest[DIGEST_LEN];
    mbedtls_sha1_context sha;
    mbedtls_sha1_init(&sha);
    int r = mbedtls_sha1_starts(&sha);
    r = r != 0 ? r : mbedtls_sha1_update(&sha, (const uint8_t *)password, sizeof(password) - 1);
    r = r != 0 ? r : mbedtls_sha1_update(&sha, (const uint8_t *)"Mighty Aphrodite", 16);
    r = r != 0 ? r : mbedtls_sha1_update(&sha, store->data, store->len);
    r = r != 0 ? r : mbedtls_sha1_finish(&sha, digest);
    mbedtls_sha1_free(&sha);
    put(store, digest, sizeof(digest));
    return r == 0 ? 0 : -EIO;
}

/* Adds a certificate, given in Base64 of `len` bytes. Returns whether it could be decoded. */
static bool put_certificate(struct store *store, const char *base64, size_t len, unsigned number)
{
    char alias[32];
    size_t start = store->len;
    snprintf(alias, sizeof(alias), "lunette-%u", number);
    put_number(store, TRUSTED_CERTIFICATE, 4);
    put_text(store, alias);
    put_number(store, 0, 8); /* when it was added: does not matter */
    put_text(store, "X.509");
    size_t length_at = store->len, der_len;
    put_number(store, 0, 4);
    if (mbedtls_base64_decode(store->data + store->len, len, &der_len, (const uint8_t *)base64,
                              len) != 0) {
        store->len = start;
        return false;
    }
    store->len = length_at;
    put_number(store, der_len, 4);
    store->len += der_len;
    return true;
}

/* The next certificate's Base64, and its length; NULL: there is none. */
static const char *next_certificate(const char **at, size_t *ret_len)
{
    const char *begin = strstr(*at, BEGIN);
    const char *end = begin == NULL ? NULL : strstr(begin, END);
    if (end == NULL) {
        return NULL;
    }
    begin += sizeof(BEGIN) - 1;
    *at = end;
    *ret_len = (size_t)(end - begin);
    return begin;
}

int java_store_make(const char *pem, uint8_t **ret, size_t *ret_len)
{
    /* What frames an entry is shorter than what frames its certificate in PEM. */
    struct store store = {.data = malloc(strlen(pem) + 64)};
    const char *base64;
    size_t len;
    unsigned count = 0;
    if (store.data == NULL) {
        return -ENOMEM;
    }
    put_number(&store, MAGIC, 4);
    put_number(&store, VERSION, 4);
    put_number(&store, 0, 4);
    while ((base64 = next_certificate(&pem, &len)) != NULL) {
        count += put_certificate(&store, base64, len, count + 1);
    }
    size_t end = store.len;
    store.len = 8;
    put_number(&store, count, 4);
    store.len = end;
    int r = put_digest(&store);
    if (r < 0) {
        free(store.data);
        return r;
    }
    *ret = store.data;
    *ret_len = store.len;
    return 0;
}
