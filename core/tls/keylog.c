/* Secrets as lines of the NSS key log format, for programs that decrypt captures. */
#include <string.h>

#include "base/text.h"
#include "tls/session_internal.h"

static const char *label_of(mbedtls_ssl_key_export_type type)
{
    switch (type) {
    case MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET:
        return "CLIENT_RANDOM";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_EARLY_SECRET:
        return "CLIENT_EARLY_TRAFFIC_SECRET";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_EARLY_EXPORTER_SECRET:
        return "EARLY_EXPORTER_SECRET";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_HANDSHAKE_TRAFFIC_SECRET:
        return "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_HANDSHAKE_TRAFFIC_SECRET:
        return "SERVER_HANDSHAKE_TRAFFIC_SECRET";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_APPLICATION_TRAFFIC_SECRET:
        return "CLIENT_TRAFFIC_SECRET_0";
    case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_APPLICATION_TRAFFIC_SECRET:
        return "SERVER_TRAFFIC_SECRET_0";
    }
    return NULL;
}

static void put_hex(struct text *text, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        text_printf(text, "%02x", data[i]);
    }
}

void keylog_export(void *user, mbedtls_ssl_key_export_type type, const unsigned char *secret,
                   size_t len, const unsigned char client_random[32],
                   const unsigned char server_random[32], mbedtls_tls_prf_types prf)
{
    (void)server_random;
    (void)prf;
    struct tls_session *s = user;
    const char *label = label_of(type);
    char line[256];
    struct text text = text_of(line, sizeof(line));
    if (label == NULL || len > 64) {
        return;
    }
    text_printf(&text, "%s ", label);
    put_hex(&text, client_random, 32);
    text_puts(&text, " ");
    put_hex(&text, secret, len);
    s->engine->keylog(s->engine->keylog_user, line);
    explicit_bzero(line, sizeof(line));
}
