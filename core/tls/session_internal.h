/* A session and the engine, for the files that make them. */
#ifndef LN_TLS_SESSION_INTERNAL_H
#define LN_TLS_SESSION_INTERNAL_H

#include <mbedtls/ssl.h>

#include "tls/kept.h"
#include "tls/session.h"
#include "tls/tickets.h"
#include "tls/verify.h"

struct tls_engine {
    struct host_services services;
    uint64_t (*wall_ms)(void *user);
    void *wall_user;
    struct tls_authority *authority;
    void (*keylog)(void *user, const char *line);
    void *keylog_user;
    struct tickets tickets;
    struct kept kept;
    uint8_t secret[16]; /* what the keys of `kept` are derived with */
    struct tls_engine_stats stats;
};

enum session_state { SESSION_HANDSHAKE, SESSION_VERIFYING, SESSION_OPEN, SESSION_FAILED };

struct tls_session {
    struct tls_engine *engine;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    enum session_state state;
    bool is_client;
    bool ended_input; /* FIN came */
    bool peer_closed; /* close_notify came */
    bool truncated;   /* FIN came without it */
    bool finished;    /* close_notify was sent */
    bool offered;     /* client: a kept session */
    bool saw_certificate, resumed;
    uint8_t tickets;    /* client: that were kept of this connection */
    uint8_t last_alert; /* that came */
    char name[254];     /* "" for none */
    ln_addr address;
    struct byte_queue in, out; /* ciphertext */
    struct tls_fault fault;

    /* client */
    struct tls_roots *roots;
    struct verifier verifier;
    uint8_t key[KEPT_KEY];
    int64_t end_s; /* when what was verified ends */

    /* server */
    struct tls_leaf *leaf;
    struct ticket_binding binding;
};

/* Ends the session with the fault that is set, or with one for the mbedTLS error. */
void session_fail(struct tls_session *s, int error);

/* client.c: the key under which the server's sessions are kept, offering one, keeping one. */
int client_key(struct tls_session *s, const struct tls_connect_options *options);
int client_offer(struct tls_session *s);
void client_keep(struct tls_session *s);

/* keylog.c: for mbedtls_ssl_set_export_keys_cb(), with the session. */
void keylog_export(void *session, mbedtls_ssl_key_export_type type, const unsigned char *secret,
                   size_t len, const unsigned char client_random[32],
                   const unsigned char server_random[32], mbedtls_tls_prf_types prf);

#endif
