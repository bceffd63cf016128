/* TLS 1.2 and 1.3 over memory (RFC 5246, RFC 8446): one side of one connection. The engine does no
 * I/O: the caller brings ciphertext, takes ciphertext away, and decides when handshakes advance.
 *
 * Theory of operation
 *
 *   tls_connect() / tls_accept()
 *        │
 *   HANDSHAKE ── tls_session_step() until it says TLS_OPEN: each call is about one public-key
 *        │       operation, TLS_GOES_ON asks for another call, TLS_WANTS_INPUT for bytes first
 *      OPEN ──── tls_session_read(), tls_session_write(); the two directions end apart:
 *        │       tls_session_finish() sends close_notify, read() gives 0 after the peer's
 *     FAILED ─── from either: a fault is there, an alert is in the output, nothing else happens
 *
 * In every state bytes may be in the output that are to be sent: after each call look there.
 *
 * A client is open only when the server's certificate was judged good: the handshake proves that
 * the server holds the key of the certificate that it showed, then the chain is verified, then
 * TLS_OPEN is said. Nothing of the caller's is sent before.
 *
 * Renegotiation is refused, 0-RTT is never offered and declined when offered, and a KeyUpdate ends
 * the session with a fault (the library underneath has none).
 *
 * Where several threads have sessions, mbedTLS must be built with MBEDTLS_THREADING_C: the key
 * store that its TLS 1.3 uses belongs to the process. */
#ifndef LN_TLS_SESSION_H
#define LN_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/byte_queue.h"
#include "base/host.h"
#include "lunette/address.h"
#include "lunette/error.h"
#include "tls/authority.h"
#include "tls/roots.h"

/* Protocols of ALPN (RFC 7301), as a set. */
enum { TLS_ALPN_NONE = 0, TLS_ALPN_H2 = 1, TLS_ALPN_HTTP11 = 2 };

/* ---- what all sessions of a gateway share ---- */

struct tls_engine;

struct tls_engine_options {
    struct host_services services;
    uint64_t (*wall_ms)(void *user); /* milliseconds since 1970; NULL: the system's clock */
    void *wall_user;
    struct tls_authority *authority; /* borrowed; NULL: tls_accept() cannot be called */
    uint32_t upstream_sessions;      /* servers whose sessions are kept; 0: 256 */
    /* One line of the NSS key log format, without newline, per secret. NULL: none is told. */
    void (*keylog)(void *user, const char *line);
    void *keylog_user;
};

/* Returns 0; -ENOMEM; -EIO when the crypto library cannot start, with the reason in *reterr. */
int tls_engine_new(const struct tls_engine_options *options, struct tls_engine **ret,
                   ln_error *reterr);
/* No session of it may be left. Takes NULL, returns NULL. */
struct tls_engine *tls_engine_free(struct tls_engine *engine);
/* Another authority from now on, as after a reload; sessions that began stay as they are, and
 * guests' tickets are no longer taken. */
void tls_engine_set_authority(struct tls_engine *engine, struct tls_authority *authority);
/* Forgets the sessions with servers that are kept for resumption. */
void tls_engine_forget_sessions(struct tls_engine *engine);

struct tls_engine_stats {
    uint64_t full_client, resumed_client; /* handshakes that were completed */
    uint64_t full_server, resumed_server;
    uint64_t failed;
    uint32_t kept; /* servers whose sessions are kept */
};
void tls_engine_stats(const struct tls_engine *engine, struct tls_engine_stats *ret);

/* ---- one session ---- */

struct tls_session;

enum tls_progress {
    TLS_WANTS_INPUT, /* nothing to do until tls_session_feed() */
    TLS_GOES_ON,     /* call tls_session_step() again when it is this session's turn */
    TLS_OPEN,        /* the handshake is done */
    TLS_FAILED       /* see tls_session_fault() */
};

struct tls_connect_options {
    const char *name; /* canonical: sent as SNI and verified; NULL: the address is verified */
    ln_addr address;
    uint16_t port;
    struct tls_roots *roots; /* referenced; NULL: trusts nobody */
    bool verify;             /* false: any certificate will do */
    unsigned alpn;           /* TLS_ALPN_* offered, h2 first */
};

/* A session towards a server, the client's side. Strings are copied. The first step writes the
 * ClientHello. Returns 0, -EINVAL for a name that is not plain (tls_name_is_plain()), -ENOMEM. */
int tls_connect(struct tls_engine *engine, const struct tls_connect_options *options,
                struct tls_session **ret);

struct tls_accept_options {
    const char *name; /* canonical, as in the guest's SNI; NULL: it sent none */
    ln_addr address;  /* that the guest connected to; the leaf is for it where there is no name */
    unsigned alpn;    /* the one protocol selected, or TLS_ALPN_NONE: no ALPN in the answer */
};

/* A session with the guest, the server's side. The leaf is minted here when none is cached (one
 * private-key operation). Returns 0 or what tls_authority_leaf() does; -ENOTSUP without an
 * authority. */
int tls_accept(struct tls_engine *engine, const struct tls_accept_options *options,
               struct tls_session **ret);
/* Takes NULL, returns NULL. Buffers and keys are overwritten. */
struct tls_session *tls_session_free(struct tls_session *session);

/* Takes ciphertext that was received. Returns how many bytes were taken: fewer than `len` while
 * the session has as much as it will hold (read, then feed again); 0 also when it failed. */
size_t tls_session_feed(struct tls_session *session, const void *data, size_t len);
/* How many bytes tls_session_feed() would take of an open session. */
size_t tls_session_space(const struct tls_session *session);
/* How many bytes were fed that it did not look at yet: until it is read, or its output is. */
size_t tls_session_waiting(const struct tls_session *session);
/* The peer sends no more (its FIN). Without close_notify before it, that is a truncation. */
void tls_session_end_of_input(struct tls_session *session);

/* One bounded piece of handshake. Harmless when open or failed. */
enum tls_progress tls_session_step(struct tls_session *session);

/* Plaintext into dst, `len` > 0. Returns how many bytes; -EAGAIN when more ciphertext is needed
 * (or the handshake is not done); 0 when the peer ended (tls_session_truncated() tells how);
 * -EPROTO when the session failed. Decrypts at most one record a call. */
ssize_t tls_session_read(struct tls_session *session, void *dst, size_t len);
/* Takes plaintext. Returns how many bytes were taken, all that fits into the output; 0 when the
 * output is full; -EAGAIN before the handshake is done; -EPIPE after tls_session_finish(); -EPROTO
 * when the session failed; -ENOMEM. */
ssize_t tls_session_write(struct tls_session *session, const void *src, size_t len);
/* Sends close_notify: no more plaintext will follow. Idempotent; nothing when not open. */
void tls_session_finish(struct tls_session *session);

/* Ends the session with a fatal alert (RFC 8446 section 6), as when what is behind it broke. */
enum tls_alert {
    TLS_ALERT_HANDSHAKE_FAILURE = 40,
    TLS_ALERT_ACCESS_DENIED = 49,
    TLS_ALERT_INTERNAL_ERROR = 80,
    TLS_ALERT_USER_CANCELED = 90
};
void tls_session_alert(struct tls_session *session, enum tls_alert alert);

/* Nothing is expected for a while: lets go of memory that only much data needs. */
void tls_session_trim(struct tls_session *session);

/* Ciphertext to send. The caller takes bytes from its front (byte_queue_drop()), nothing else. */
struct byte_queue *tls_session_output(struct tls_session *session);
/* Whether tls_session_write() would take something. */
bool tls_session_writable(const struct tls_session *session);
/* Whether tls_session_read() may give something without more ciphertext. */
bool tls_session_readable(const struct tls_session *session);

/* ---- what is known about it ---- */

/* The protocol that was negotiated, TLS_ALPN_NONE when none was. */
unsigned tls_session_alpn(const struct tls_session *session);
/* "TLSv1.2" or "TLSv1.3"; "" before the handshake is done. */
const char *tls_session_version(const struct tls_session *session);
/* "TLS1-3-AES-128-GCM-SHA256" and the like; "" before the handshake is done. */
const char *tls_session_cipher(const struct tls_session *session);
bool tls_session_is_open(const struct tls_session *session);
bool tls_session_resumed(const struct tls_session *session);
/* The peer ended without close_notify: what it sent last may be cut short. */
bool tls_session_truncated(const struct tls_session *session);

/* Why a session failed. */
enum tls_fault_code {
    TLS_FAULT_NONE,
    TLS_FAULT_EXPIRED,         /* "certificate_expired": the server's, or one of its chain */
    TLS_FAULT_NOT_YET_VALID,   /* "certificate_not_yet_valid" */
    TLS_FAULT_NAME_MISMATCH,   /* "name_mismatch" */
    TLS_FAULT_SELF_SIGNED,     /* "self_signed" */
    TLS_FAULT_UNTRUSTED,       /* "untrusted": no chain to a trusted root */
    TLS_FAULT_BAD_CERTIFICATE, /* "bad_certificate": weak, malformed, not for servers, … */
    TLS_FAULT_VERSION,         /* "version": no protocol version in common */
    TLS_FAULT_HANDSHAKE,       /* "handshake": nothing else in common, or out of order */
    TLS_FAULT_ALERT,           /* "alert": the peer said no */
    TLS_FAULT_CLOSED,          /* "closed": the peer went away in the middle */
    TLS_FAULT_PROTOCOL,        /* "protocol": bytes that are not TLS, or broken records */
    TLS_FAULT_ENDED,           /* "ended": tls_session_alert() was called here */
    TLS_FAULT_INTERNAL         /* "internal": out of memory and the like */
};

struct tls_fault {
    enum tls_fault_code code;
    uint8_t alert;     /* TLS_FAULT_ALERT: which */
    const char *name;  /* the stable word, static; "" for none */
    char message[240]; /* one sentence about the peer: "the server's certificate expired on …" */
};

/* Borrowed for the session's life. */
const struct tls_fault *tls_session_fault(const struct tls_session *session);

#endif
