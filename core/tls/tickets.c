/* A ticket is
 *
 *     8 key name | 8 time of sealing, s | 12 nonce | session, AES-256-GCM | 16 tag
 *
 * with the first 28 bytes and the server's name and address as additional data. */
#include "tls/tickets.h"

#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

enum {
    NAME = 8,
    TIME = 8,
    NONCE = 12,
    HEAD = NAME + TIME + NONCE,
    TAG = 16,
    KEY = 32,
    AAD_MAX = 512
};

static uint64_t now_s(const struct tickets *t)
{
    return t->services->now_ns(t->services->user) / UINT64_C(1000000000);
}

static void forget_key(struct ticket_key *key)
{
    mbedtls_gcm_free(&key->gcm);
    explicit_bzero(key, sizeof(*key));
    mbedtls_gcm_init(&key->gcm);
}

void tickets_init(struct tickets *t, const struct host_services *services)
{
    *t = (struct tickets){.services = services};
    mbedtls_gcm_init(&t->keys[0].gcm);
    mbedtls_gcm_init(&t->keys[1].gcm);
}

void tickets_forget(struct tickets *t)
{
    forget_key(&t->keys[0]);
    forget_key(&t->keys[1]);
}

static int make_key(struct tickets *t, struct ticket_key *key)
{
    uint8_t bytes[KEY];
    forget_key(key);
    t->services->random(t->services->user, key->name, sizeof(key->name));
    t->services->random(t->services->user, bytes, sizeof(bytes));
    int r = mbedtls_gcm_setkey(&key->gcm, MBEDTLS_CIPHER_ID_AES, bytes, KEY * 8);
    explicit_bzero(bytes, sizeof(bytes));
    key->since_s = now_s(t);
    key->set = r == 0;
    return r;
}

/* The key that seals; a new one in place of the older when it has done so for long enough. */
static struct ticket_key *sealing_key(struct tickets *t)
{
    struct ticket_key *key = &t->keys[t->active];
    if (key->set && now_s(t) - key->since_s < TICKET_LIFETIME_S) {
        return key;
    }
    struct ticket_key *other = &t->keys[1 - t->active];
    if (make_key(t, other) != 0) {
        return NULL;
    }
    t->active = 1 - t->active;
    return other;
}

static struct ticket_key *key_named(struct tickets *t, const uint8_t name[NAME])
{
    for (size_t i = 0; i < 2; i++) {
        if (t->keys[i].set && memcmp(t->keys[i].name, name, NAME) == 0) {
            return &t->keys[i];
        }
    }
    return NULL;
}

static size_t additional_data(const struct ticket_binding *b, const uint8_t head[HEAD],
                              uint8_t dst[AAD_MAX])
{
    size_t name_len = strlen(b->name);
    memcpy(dst, head, HEAD);
    memcpy(dst + HEAD, b->address, sizeof(b->address));
    memcpy(dst + HEAD + sizeof(b->address), b->name, name_len);
    return HEAD + sizeof(b->address) + name_len;
}

int ticket_seal(void *user, const mbedtls_ssl_session *session, unsigned char *start,
                const unsigned char *end, size_t *ret_len, uint32_t *ret_lifetime)
{
    const struct ticket_binding *b = user;
    uint8_t aad[AAD_MAX];
    size_t room = (size_t)(end - start);
    size_t len = 0;
    struct ticket_key *key = sealing_key(b->tickets);
    if (key == NULL) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    if (room < HEAD + TAG) {
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    }
    int r = mbedtls_ssl_session_save(session, start + HEAD, room - HEAD - TAG, &len);
    if (r != 0) {
        return r;
    }
    memcpy(start, key->name, NAME);
    put_be64(start + NAME, now_s(b->tickets));
    b->tickets->services->random(b->tickets->services->user, start + NAME + TIME, NONCE);
    size_t aad_len = additional_data(b, start, aad);
    r = mbedtls_gcm_crypt_and_tag(&key->gcm, MBEDTLS_GCM_ENCRYPT, len, start + NAME + TIME, NONCE,
                                  aad, aad_len, start + HEAD, start + HEAD, TAG,
                                  start + HEAD + len);
    if (r == 0) {
        *ret_len = HEAD + len + TAG;
        *ret_lifetime = TICKET_LIFETIME_S;
    }
    return r;
}

int ticket_open(void *user, mbedtls_ssl_session *session, unsigned char *data, size_t len)
{
    const struct ticket_binding *b = user;
    uint8_t aad[AAD_MAX];
    if (len < HEAD + TAG) {
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    }
    struct ticket_key *key = key_named(b->tickets, data);
    uint64_t sealed_s = get_be64(data + NAME);
    uint64_t now = now_s(b->tickets);
    if (key == NULL || sealed_s > now || now - sealed_s > TICKET_LIFETIME_S) {
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    }
    size_t state_len = len - HEAD - TAG;
    size_t aad_len = additional_data(b, data, aad);
    if (mbedtls_gcm_auth_decrypt(&key->gcm, state_len, data + NAME + TIME, NONCE, aad, aad_len,
                                 data + HEAD + state_len, TAG, data + HEAD, data + HEAD) != 0) {
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    }
    return mbedtls_ssl_session_load(session, data + HEAD, state_len);
}
