/* What only the client's side has: sessions kept for resumption. */
#include <errno.h>
#include <string.h>

#include <mbedtls/md.h>

#include "base/bytes.h"
#include "tls/common.h"
#include "tls/session_internal.h"

enum { KEPT_FOR_S = 86400 };

/* Everything that the verdict about the server hung on: a session is resumed only where the same
 * would be verified in the same way. Keyed, since guests choose names. */
int client_key(struct tls_session *s, const struct tls_connect_options *options)
{
    uint8_t text[16 + 2 + 1 + TLS_ROOTS_ID + sizeof(s->name)] = {0};
    size_t name_len = strlen(s->name);
    memcpy(text, options->address.bytes, 16);
    put_be16(text + 16, options->port);
    text[18] = options->verify;
    if (options->verify && s->roots != NULL) {
        memcpy(text + 19, tls_roots_id(s->roots), TLS_ROOTS_ID);
    }
    memcpy(text + 19 + TLS_ROOTS_ID, s->name, name_len);
    int r = mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), s->engine->secret,
                            sizeof(s->engine->secret), text, 19 + TLS_ROOTS_ID + name_len, s->key);
    return r == 0 ? 0 : -ENOMEM;
}

int client_offer(struct tls_session *s)
{
    struct kept_session kept;
    int64_t now_s = tls_now_s(s->engine->wall_ms, s->engine->wall_user);
    if (!kept_take(&s->engine->kept, s->key, now_s, &kept)) {
        return 0;
    }
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    int r = mbedtls_ssl_session_load(&session, kept.data, kept.len);
    r = r != 0 ? r : mbedtls_ssl_set_session(&s->ssl, &session);
    mbedtls_ssl_session_free(&session);
    s->offered = r == 0;
    s->end_s = kept.end_s;
    kept_session_free(&kept);
    /* One that the library finds too old is no reason not to connect. */
    return r != 0 && tls_is_no_memory(r) ? -ENOMEM : 0;
}

void client_keep(struct tls_session *s)
{
    uint8_t data[KEPT_BYTES];
    size_t len = 0;
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    if (mbedtls_ssl_get_session(&s->ssl, &session) == 0 &&
        mbedtls_ssl_session_save(&session, data, sizeof(data), &len) == 0) {
        int64_t end_s = tls_now_s(s->engine->wall_ms, s->engine->wall_user) + KEPT_FOR_S;
        bool reusable = mbedtls_ssl_get_version_number(&s->ssl) == MBEDTLS_SSL_VERSION_TLS1_2;
        kept_put(&s->engine->kept, s->key, data, len, end_s < s->end_s ? end_s : s->end_s,
                 reusable);
    }
    mbedtls_ssl_session_free(&session);
    explicit_bzero(data, len);
}
