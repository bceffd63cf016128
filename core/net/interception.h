/* Interception: what becomes of a flow whose first flight is judged, and the connections that are
 * read on their way. interception.c holds the life of one (read the theory of operation there),
 * intercept_choose.c which flows there are some for, http_judge.c what is done about their
 * requests, http_secrets.c about the secrets in them. */
#ifndef LN_NET_INTERCEPTION_H
#define LN_NET_INTERCEPTION_H

#include "http/relay.h"
#include "net/first_flight.h"
#include "net/leg.h"
#include "net/tcp_flow.h"
#include "secrets/scanner.h"
#include "secrets/scope.h"

enum intercept_stage {
    STAGE_DIALLING, /* the host is not connected yet */
    STAGE_HOST,     /* TLS handshake with the host */
    STAGE_GUEST,    /* TLS handshake with the guest */
    STAGE_SNIFFING, /* open, and the first plaintext is to tell what is spoken */
    STAGE_OPEN,     /* the relay works */
    STAGE_ENDING    /* the guest gets what is in its output, and no more */
};

/* The secrets of one connection, as long as an exchange goes by them. */
struct shared_scope {
    unsigned references;
    bool pinned;
    struct secret_scope scope;
};

struct interception {
    struct inspection inspection;
    struct tcp_flow *flow;
    uint8_t stage; /* enum intercept_stage */
    bool clear;    /* plain HTTP, or opaque bytes in the clear */
    bool dot;      /* DNS over TLS */
    bool opaque;   /* no HTTP: bytes pass after a scan */
    bool verified; /* the host showed a certificate for `name` */
    bool queued;   /* in gw->shaking */
    bool drops_host;
    bool guest_told, host_told; /* the relay was, of the end */
    bool lost;                  /* the host's connection broke when it was still needed */
    bool offered_alpn, offers_h2, offers_http11;
    unsigned alpn;             /* TLS_ALPN_*: that of both sides */
    const char *fault;         /* why the host cannot be had, a stable word; NULL: it can */
    char fault_message[240];   /* a sentence about it */
    struct interception *next; /* in gw->shaking */
    struct timer timer;
    struct leg guest, host;
    struct byte_queue nothing; /* the output of a leg without a session */
    struct http_relay *relay;
    struct shared_scope *scope; /* of the last request */
    struct secret_scanner *scanner;
    struct shared_scope *scanned;
    struct secret_report scan_report;
};

/* ---- intercept_choose.c ---- */

/* Whether the first flight of a flow has to show what it is before anything passes. */
bool intercept_is_strict(const ln_gateway *gw, const struct tcp_flow *f);
/* Whether nothing may pass of which is not known what it is, for policy has a say about it. */
bool intercept_must_know(const struct tcp_flow *f);
/* The first flight, which is `data`, is judged and allowed: it is bypassed, inspected, looked at,
 * or left alone. `partial`: what it is was not to be seen in time. Returns 1 when the flow is
 * inspected, and the bytes are taken; 0 when they are to be passed on as they are; -errno when the
 * flow is to be ended. For callbacks of the endpoint. */
int intercept_choose(struct tcp_flow *f, const struct first_flight_view *view, bool partial,
                     const uint8_t *data, size_t len);
/* Whether UDP to this port is to be refused, so that clients come by TCP. */
bool intercept_refuses_quic(const ln_gateway *gw, uint16_t port);

/* ---- interception.c ---- */

enum intercept_kind { INTERCEPT_TLS, INTERCEPT_DOT, INTERCEPT_HTTP, INTERCEPT_OPAQUE };

/* Starts one for a flow; `view` as for intercept_choose(). Returns 0 or -errno. */
int interception_start(struct tcp_flow *f, enum intercept_kind kind,
                       const struct first_flight_view *view, const uint8_t *data, size_t len);
/* The guest's side gets what stands in its output, and its end; the host's is dropped. */
void interception_end(struct interception *ix);

/* ---- intercept_handshake.c ---- */

/* The host is connected: its handshake begins. Returns 0 or -errno. */
int interception_connect(struct interception *ix);
/* Its session has, or may have, a step to make; it has none any more. */
void interception_queue(struct interception *ix);
void interception_unqueue(struct interception *ix);
int interception_set_timer(struct interception *ix, uint32_t ms);
/* The handshake took too long, or the guest does not end. */
void interception_fire(struct timer *timer, uint64_t now_ns);
/* One step of one handshake: those in gw->shaking take turns. At the end of a turn of the gateway.
 */
void interception_step(ln_gateway *gw);
/* Tells tls_error, tls_bypassed or tls_intercepted. `tls` may be NULL. */
void interception_tell(const struct tcp_flow *f, ln_event_kind kind, const char *reason,
                       const char *detail, const struct tls_session *tls);

/* ---- http_judge.c ---- */

extern const struct http_filter_ops intercept_filter; /* its user is a struct interception */

/* ---- http_secrets.c ---- */

/* The scope of the flow's secrets as it is now, with a reference for the caller. NULL: there are no
 * secrets, or *ret_error is -ENOMEM. */
struct shared_scope *intercept_scope(struct interception *ix, int *ret_error);
void intercept_scope_unref(struct shared_scope *scope);
/* Looks at bytes that are no HTTP: an opaque_look_fn. */
int intercept_scan(void *ix, const uint8_t *data, size_t len);
/* Looks at a first flight that passes as it is. Returns 0 or -errno. */
int intercept_scan_first(struct tcp_flow *f, const uint8_t *data, size_t len);

#endif
