/* A session's life. The theory of operation is in the header. */
#include "tls/session.h"

#include <errno.h>
#include <string.h>

#include <mbedtls/ssl.h>

#include "tls/common.h"
#include "tls/fault.h"
#include "tls/session_internal.h"

enum {
    RECORD_MAX = 16384,        /* plaintext of a record */
    RECORD_ROOM = 16384 + 512, /* the record, with all that goes around it */
    OUT_FULL = 120u << 10,     /* write() takes nothing beyond this */
    TICKETS_KEPT = 2           /* of one connection */
};

static const char *peer_of(const struct tls_session *s)
{
    return s->is_client ? "the server" : "the guest";
}

/* ---- failing ---- */

static uint8_t alert_for(enum tls_fault_code code)
{
    switch (code) {
    case TLS_FAULT_EXPIRED:
    case TLS_FAULT_NOT_YET_VALID:
        return MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
    case TLS_FAULT_NAME_MISMATCH:
    case TLS_FAULT_BAD_CERTIFICATE:
        return MBEDTLS_SSL_ALERT_MSG_BAD_CERT;
    case TLS_FAULT_SELF_SIGNED:
    case TLS_FAULT_UNTRUSTED:
        return MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA;
    case TLS_FAULT_VERSION:
        return MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION;
    case TLS_FAULT_HANDSHAKE:
    case TLS_FAULT_PROTOCOL:
        return MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE;
    case TLS_FAULT_NONE:
    case TLS_FAULT_ALERT:
    case TLS_FAULT_CLOSED:
    case TLS_FAULT_ENDED:
    case TLS_FAULT_INTERNAL:
        break;
    }
    return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
}

void session_fail(struct tls_session *s, int error)
{
    tls_fault_from(&s->fault, error, s->last_alert, peer_of(s));
    if (s->state != SESSION_OPEN && s->offered) {
        kept_drop(&s->engine->kept, s->key); /* if that is why, the next attempt is without */
    }
    s->state = SESSION_FAILED;
    s->engine->stats.failed++;
}

static void send_alert(struct tls_session *s, uint8_t alert)
{
    (void)mbedtls_ssl_send_alert_message(&s->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
}

/* A client of TLS 1.3 that does not trust our certificate may say so before it has keys to say it
 * with (OpenSSL does): an alert in the clear, where mbedTLS expects a protected record. */
static bool is_clear_alert(const struct tls_session *s)
{
    const uint8_t *record = s->ssl.MBEDTLS_PRIVATE(in_hdr);
    return !s->is_client && s->state != SESSION_OPEN && record != NULL &&
           record[0] == MBEDTLS_SSL_MSG_ALERT && record[3] == 0 && record[4] == 2 &&
           record[5] == MBEDTLS_SSL_ALERT_LEVEL_FATAL;
}

/* After mbedTLS gave `error` in a call before which `out_len` bytes were waiting: it sends an alert
 * for most errors; where it did not, one is sent here. */
static void fail_in_call(struct tls_session *s, int error, size_t out_len)
{
    if (error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        s->last_alert = s->ssl.MBEDTLS_PRIVATE(in_msg)[1];
    } else if (is_clear_alert(s)) {
        s->last_alert = s->ssl.MBEDTLS_PRIVATE(in_hdr)[6];
        error = MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
    }
    session_fail(s, error);
    if (s->out.len == out_len && s->fault.code != TLS_FAULT_ALERT &&
        s->fault.code != TLS_FAULT_CLOSED) {
        send_alert(s, alert_for(s->fault.code));
    }
}

void tls_session_alert(struct tls_session *s, enum tls_alert alert)
{
    if (s->state == SESSION_FAILED || s->finished) {
        return;
    }
    send_alert(s, (uint8_t)alert);
    tls_fault_set(&s->fault, TLS_FAULT_ENDED, "lunette ended TLS with %s", peer_of(s));
    session_fail(s, 0);
}

/* ---- handshake ---- */

/* mbedtls_ssl_is_handshake_over() says so before the tickets of TLS 1.3 are written or read. */
static bool is_over(const struct tls_session *s)
{
    return s->ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_HANDSHAKE_OVER;
}

static enum tls_progress open_session(struct tls_session *s)
{
    s->resumed = !s->saw_certificate;
    if (s->is_client && s->resumed && !s->offered) { /* nobody was authenticated */
        send_alert(s, MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR);
        session_fail(s, MBEDTLS_ERR_SSL_INTERNAL_ERROR);
        return TLS_FAILED;
    }
    s->state = SESSION_OPEN;
    struct tls_engine_stats *stats = &s->engine->stats;
    uint64_t *count = s->is_client ? s->resumed ? &stats->resumed_client : &stats->full_client
                      : s->resumed ? &stats->resumed_server
                                   : &stats->full_server;
    ++*count;
    if (s->is_client && mbedtls_ssl_get_version_number(&s->ssl) == MBEDTLS_SSL_VERSION_TLS1_2) {
        client_keep(s);
    }
    return TLS_OPEN;
}

/* The server's Certificate message was read: mbedTLS does not go on before it was judged. */
static void begin_verifying(struct tls_session *s)
{
    const mbedtls_ssl_session *session = s->ssl.MBEDTLS_PRIVATE(session_negotiate);
    s->verifier.now_s = tls_now_s(s->engine->wall_ms, s->engine->wall_user);
    verifier_start(&s->verifier, session->MBEDTLS_PRIVATE(peer_cert));
    s->state = SESSION_VERIFYING;
}

static enum tls_progress verify_step(struct tls_session *s)
{
    switch (verifier_step(&s->verifier, &s->fault)) {
    case VERIFIER_GOES_ON:
        break;
    case VERIFIER_GOOD:
        s->end_s = s->verifier.not_after_s;
        s->state = SESSION_HANDSHAKE;
        break;
    case VERIFIER_BAD:
        send_alert(s, alert_for(s->fault.code));
        session_fail(s, 0);
        return TLS_FAILED;
    }
    return TLS_GOES_ON;
}

static enum tls_progress handshake_step(struct tls_session *s)
{
    int before = s->ssl.MBEDTLS_PRIVATE(state);
    size_t out_len = s->out.len;
    int r = mbedtls_ssl_handshake_step(&s->ssl);
    if (r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE) {
        /* More may be there that it did not look at yet. */
        return s->in.len > 0 && r == MBEDTLS_ERR_SSL_WANT_READ ? TLS_GOES_ON : TLS_WANTS_INPUT;
    }
    if (r != 0) {
        fail_in_call(s, r, out_len);
        return TLS_FAILED;
    }
    int after = s->ssl.MBEDTLS_PRIVATE(state);
    if (before == MBEDTLS_SSL_SERVER_CERTIFICATE && after != before) {
        s->saw_certificate = true;
        if (s->is_client) {
            begin_verifying(s);
            return TLS_GOES_ON;
        }
    }
    return is_over(s) ? open_session(s) : TLS_GOES_ON;
}

enum tls_progress tls_session_step(struct tls_session *s)
{
    switch (s->state) {
    case SESSION_HANDSHAKE:
        return handshake_step(s);
    case SESSION_VERIFYING:
        return verify_step(s);
    case SESSION_OPEN:
        return TLS_OPEN;
    case SESSION_FAILED:
        break;
    }
    return TLS_FAILED;
}

/* ---- data ---- */

size_t tls_session_feed(struct tls_session *s, const void *data, size_t len)
{
    if (s->state == SESSION_FAILED || s->ended_input) {
        return 0;
    }
    if (s->peer_closed) {
        return len; /* nothing counts after close_notify */
    }
    size_t room = byte_queue_space(&s->in);
    size_t n = len < room ? len : room;
    return byte_queue_put(&s->in, data, n) < 0 ? 0 : n;
}

size_t tls_session_space(const struct tls_session *s)
{
    return byte_queue_space(&s->in);
}

size_t tls_session_waiting(const struct tls_session *s)
{
    return s->in.len;
}

void tls_session_end_of_input(struct tls_session *s)
{
    s->ended_input = true;
}

/* A ticket of TLS 1.3 came. A server may send as many as it likes; few are kept. */
static void take_ticket(struct tls_session *s)
{
    if (s->tickets < TICKETS_KEPT) {
        s->tickets++;
        client_keep(s);
    }
#if MBEDTLS_VERSION_NUMBER >= 0x03060100
    if (s->tickets == TICKETS_KEPT) {
        mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
            &s->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_DISABLED);
    }
#endif
}

/* What an error of mbedtls_ssl_read() means to the caller. */
static ssize_t read_error(struct tls_session *s, int r, size_t out_len)
{
    switch (r) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return -EAGAIN;
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        s->peer_closed = true;
        byte_queue_free(&s->in);
        return 0;
    case 0:
    case MBEDTLS_ERR_SSL_CONN_EOF:
        s->truncated = true;
        return 0;
    default:
        if (r == MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE) {
            tls_fault_set(&s->fault, TLS_FAULT_PROTOCOL,
                          "%s sent a TLS message that is not supported after the handshake, such "
                          "as KeyUpdate",
                          peer_of(s));
        }
        fail_in_call(s, r, out_len);
        return -EPROTO;
    }
}

ssize_t tls_session_read(struct tls_session *s, void *dst, size_t len)
{
    if (s->state == SESSION_FAILED) {
        return -EPROTO;
    }
    if (s->state != SESSION_OPEN) {
        return -EAGAIN;
    }
    if (s->peer_closed || s->truncated) {
        return 0;
    }
    for (;;) {
        size_t waiting = s->in.len;
        size_t out_len = s->out.len;
        int r = mbedtls_ssl_read(&s->ssl, dst, len);
        if (r > 0) {
            return r;
        }
        if (r == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            take_ticket(s);
            continue;
        }
        /* It stops after each message that is not data, whatever is behind it. */
        bool more = (s->in.len > 0 && s->in.len < waiting) || !is_over(s) ||
                    mbedtls_ssl_check_pending(&s->ssl);
        if (r != MBEDTLS_ERR_SSL_WANT_READ || !more) {
            return read_error(s, r, out_len);
        }
    }
}

ssize_t tls_session_write(struct tls_session *s, const void *src, size_t len)
{
    if (s->state == SESSION_FAILED || s->finished) {
        return s->state == SESSION_FAILED ? -EPROTO : -EPIPE;
    }
    if (s->state != SESSION_OPEN) {
        return -EAGAIN;
    }
    size_t taken = 0;
    while (taken < len && s->out.len + RECORD_ROOM <= OUT_FULL) {
        size_t n = len - taken < RECORD_MAX ? len - taken : RECORD_MAX;
        size_t out_len = s->out.len;
        int r = mbedtls_ssl_write(&s->ssl, (const unsigned char *)src + taken, n);
        if (r <= 0) {
            fail_in_call(s, r, out_len);
            return taken > 0 ? (ssize_t)taken : tls_is_no_memory(r) ? -ENOMEM : -EPROTO;
        }
        taken += (size_t)r;
    }
    return (ssize_t)taken;
}

void tls_session_finish(struct tls_session *s)
{
    if (s->state == SESSION_OPEN && !s->finished) {
        s->finished = true;
        (void)mbedtls_ssl_close_notify(&s->ssl);
    }
}

void tls_session_trim(struct tls_session *s)
{
    byte_queue_trim(&s->in);
    byte_queue_trim(&s->out);
}

/* ---- what is known ---- */

struct byte_queue *tls_session_output(struct tls_session *s)
{
    return &s->out;
}

bool tls_session_writable(const struct tls_session *s)
{
    return s->state == SESSION_OPEN && !s->finished && s->out.len + RECORD_ROOM <= OUT_FULL;
}

bool tls_session_readable(const struct tls_session *s)
{
    return s->state == SESSION_OPEN && !s->peer_closed && !s->truncated &&
           (s->in.len > 0 || s->ended_input || mbedtls_ssl_check_pending(&s->ssl));
}

bool tls_session_is_open(const struct tls_session *s)
{
    return s->state == SESSION_OPEN;
}

unsigned tls_session_alpn(const struct tls_session *s)
{
    const char *name = mbedtls_ssl_get_alpn_protocol(&s->ssl);
    return name == NULL ? TLS_ALPN_NONE : strcmp(name, "h2") == 0 ? TLS_ALPN_H2 : TLS_ALPN_HTTP11;
}

const char *tls_session_version(const struct tls_session *s)
{
    return s->state == SESSION_OPEN ? mbedtls_ssl_get_version(&s->ssl) : "";
}

const char *tls_session_cipher(const struct tls_session *s)
{
    const char *name = s->state == SESSION_OPEN ? mbedtls_ssl_get_ciphersuite(&s->ssl) : NULL;
    return name != NULL ? name : "";
}

bool tls_session_resumed(const struct tls_session *s)
{
    return s->resumed;
}

bool tls_session_truncated(const struct tls_session *s)
{
    return s->truncated;
}

const struct tls_fault *tls_session_fault(const struct tls_session *s)
{
    return &s->fault;
}
