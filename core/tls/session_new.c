/* Setting sessions up: what is offered, and what is accepted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tls/common.h"
#include "tls/leaf.h"
#include "tls/session_internal.h"

#if !defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE) || !defined(MBEDTLS_SSL_PROTO_TLS1_3) ||           \
    !defined(MBEDTLS_SSL_PROTO_TLS1_2) || !defined(MBEDTLS_SSL_SESSION_TICKETS)
#error "lunette needs mbedTLS with TLS 1.2, TLS 1.3, session tickets and peers' certificates kept"
#endif

enum {
    IN_CAP = 128u << 10,
    OUT_CAP = 160u << 10, /* what write() takes, and behind it alerts and handshakes */
    GUEST_TICKETS = 2     /* of TLS 1.3, for each handshake: one connection uses one */
};

/* Authenticated encryption and forward secrecy only; AES-128-GCM first, the fastest. */
static const int ciphers[] = {
    MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
    MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

static const uint16_t groups[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE,
};

static const uint16_t signatures[] = {
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,       MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
    MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512, MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
    MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,       MBEDTLS_TLS1_3_SIG_NONE,
};

/* mbedTLS keeps these lists by pointer, and takes them without const. */
static const char *const alpn_lists[4][3] = {
    [TLS_ALPN_H2] = {"h2"},
    [TLS_ALPN_HTTP11] = {"http/1.1"},
    [TLS_ALPN_H2 | TLS_ALPN_HTTP11] = {"h2", "http/1.1"},
};

/* ---- bytes in and out ---- */

static int send_to_queue(void *user, const unsigned char *data, size_t len)
{
    struct tls_session *s = user;
    int r = byte_queue_put(&s->out, data, len);
    return r == 0          ? (int)len
           : r == -ENOBUFS ? MBEDTLS_ERR_SSL_WANT_WRITE
                           : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

static int receive_from_queue(void *user, unsigned char *dst, size_t len)
{
    struct tls_session *s = user;
    if (s->in.len == 0) {
        return s->ended_input ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    }
    size_t n = len < s->in.len ? len : s->in.len;
    memcpy(dst, byte_queue_bytes(&s->in), n);
    byte_queue_drop(&s->in, n);
    return (int)n;
}

/* ---- set-up ---- */

static int configure(struct tls_session *s, unsigned alpn)
{
    int endpoint = s->is_client ? MBEDTLS_SSL_IS_CLIENT : MBEDTLS_SSL_IS_SERVER;
    int r = mbedtls_ssl_config_defaults(&s->conf, endpoint, MBEDTLS_SSL_TRANSPORT_STREAM,
                                        MBEDTLS_SSL_PRESET_DEFAULT);
    if (r != 0) {
        return r;
    }
    mbedtls_ssl_conf_rng(&s->conf, tls_random, &s->engine->services);
    mbedtls_ssl_conf_min_tls_version(&s->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(&s->conf, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(&s->conf, ciphers);
    mbedtls_ssl_conf_groups(&s->conf, groups);
    mbedtls_ssl_conf_sig_algs(&s->conf, signatures);
    /* A server's certificate is judged between two steps (verify.h), and a guest has none. */
    mbedtls_ssl_conf_authmode(&s->conf, MBEDTLS_SSL_VERIFY_NONE);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(&s->conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
    return (alpn & 3) == 0 ? 0
                           : mbedtls_ssl_conf_alpn_protocols(
                                 &s->conf, (const char **)(uintptr_t)alpn_lists[alpn & 3]);
}

static int attach(struct tls_session *s)
{
    int r = mbedtls_ssl_setup(&s->ssl, &s->conf);
    if (r != 0) {
        return r;
    }
    mbedtls_ssl_set_bio(&s->ssl, s, send_to_queue, receive_from_queue, NULL);
    if (s->engine->keylog != NULL) {
        mbedtls_ssl_set_export_keys_cb(&s->ssl, keylog_export, s);
    }
    return 0;
}

static struct tls_session *new_session(struct tls_engine *engine, bool is_client, const char *name,
                                       const ln_addr *address)
{
    struct tls_session *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->engine = engine;
    s->is_client = is_client;
    s->in = (struct byte_queue){.cap = IN_CAP, .keeps = true};
    s->out = (struct byte_queue){.cap = OUT_CAP, .keeps = true};
    s->fault.name = "";
    s->address = *address;
    if (name != NULL) {
        memcpy(s->name, name, strlen(name));
    }
    mbedtls_ssl_init(&s->ssl);
    mbedtls_ssl_config_init(&s->conf);
    return s;
}

/* Errors of mbedTLS while nothing of a peer's was read: the memory, or a mistake of ours. */
static int set_up_error(int r)
{
    return r == 0 || r == -ENOMEM ? r : tls_is_no_memory(r) ? -ENOMEM : -EIO;
}

static int set_up_client(struct tls_session *s, const struct tls_connect_options *options)
{
    int r = configure(s, options->alpn);
    if (r != 0) {
        return r;
    }
#if MBEDTLS_VERSION_NUMBER >= 0x03060100
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &s->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
#endif
    r = attach(s);
    r = r != 0 ? r : mbedtls_ssl_set_hostname(&s->ssl, options->name);
    r = r != 0 ? r : client_key(s, options);
    return r != 0 ? r : client_offer(s);
}

int tls_connect(struct tls_engine *engine, const struct tls_connect_options *options,
                struct tls_session **ret)
{
    if (options->name != NULL && !tls_name_is_plain(options->name, strlen(options->name))) {
        return -EINVAL;
    }
    struct tls_session *s = new_session(engine, true, options->name, &options->address);
    if (s == NULL) {
        return -ENOMEM;
    }
    s->roots = tls_roots_ref(options->roots);
    s->verifier = (struct verifier){.name = options->name != NULL ? s->name : NULL,
                                    .address = options->address,
                                    .roots = s->roots,
                                    .verify = options->verify};
    int r = set_up_error(set_up_client(s, options));
    if (r < 0) {
        tls_session_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static int set_up_server(struct tls_session *s, const struct tls_accept_options *options)
{
    int r = configure(s, options->alpn);
    r = r != 0 ? r : mbedtls_ssl_conf_own_cert(&s->conf, &s->leaf->certificate, s->leaf->key);
    if (r != 0) {
        return r;
    }
    s->binding = (struct ticket_binding){.tickets = &s->engine->tickets, .name = s->name};
    if (s->name[0] == '\0') {
        memcpy(s->binding.address, s->address.bytes, sizeof(s->binding.address));
    }
    mbedtls_ssl_conf_session_tickets_cb(&s->conf, ticket_seal, ticket_open, &s->binding);
    mbedtls_ssl_conf_new_session_tickets(&s->conf, GUEST_TICKETS);
    return attach(s);
}

int tls_accept(struct tls_engine *engine, const struct tls_accept_options *options,
               struct tls_session **ret)
{
    struct tls_leaf *leaf = NULL;
    if (engine->authority == NULL) {
        return -ENOTSUP;
    }
    int r = tls_authority_leaf(engine->authority, options->name, &options->address, &leaf);
    if (r < 0) {
        return r;
    }
    struct tls_session *s = new_session(engine, false, options->name, &options->address);
    if (s == NULL) {
        tls_leaf_unref(leaf);
        return -ENOMEM;
    }
    s->leaf = leaf;
    r = set_up_error(set_up_server(s, options));
    if (r < 0) {
        tls_session_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct tls_session *tls_session_free(struct tls_session *s)
{
    if (s != NULL) {
        mbedtls_ssl_free(&s->ssl);
        mbedtls_ssl_config_free(&s->conf);
        byte_queue_free(&s->in);
        byte_queue_free(&s->out);
        tls_roots_unref(s->roots);
        tls_leaf_unref(s->leaf);
        explicit_bzero(s, sizeof(*s));
        free(s);
    }
    return NULL;
}
