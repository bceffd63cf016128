/* What the files of the HTTP/1 relay share.
 *
 * Theory of operation. One request is on its way at a time: the next one of a pipeline stays with
 * the caller until the answer to the one before has been passed on. So an answer can belong to one
 * request only, the guest's answers come in order, and nothing that the guest sent behind a request
 * goes upstream before that request's fate is known.
 *
 * Each way has a side with a phase:
 *
 *             requests (up)                          responses (down)
 *   HEAD      waiting for a request                  a request is upstream: waiting for its answer
 *   BODY      its body goes on, through the filter or around it
 *   TRAILERS  behind the last chunk
 *   LAST      everything came: what the filter made goes out, then the end of the message
 *   WAIT      sent: nothing is taken until it is     nothing was asked: a byte here is an attack
 *             answered                               or the end of the connection
 *   DRAIN     answered by the filter: the rest of    -
 *             its small body is dropped
 *   TUNNEL    after 101
 *   DISCARD   the connection is coming to its end: what comes is dropped
 *
 * A message whose body is filtered and short is held: its head is written when the body is whole
 * and its length known. Everything else goes out as it comes, and the framing out is the framing
 * that was understood, written anew. A response that is whole before its request is ends both
 * connections: what is left of that body must not become a request in upstream's eyes. */
#ifndef LN_HTTP_H1_INTERNAL_H
#define LN_HTTP_H1_INTERNAL_H

#include "http/h1.h"
#include "http/h1_chunked.h"
#include "http/h1_head.h"

enum {
    H1_QUEUE_SOFT = 64 << 10, /* bytes: a queue that has as many takes no more of a body */
    H1_HOLD_MAX = 64 << 10,   /* bytes of a filtered body that is held for its length */
    H1_PIECE = 16 << 10,      /* bytes that a filter gets at a time */
    H1_PENDING_MAX = 1 << 20, /* bytes that a filter may make of a piece and what is held */
    H1_DRAIN_MAX = 64 << 10,  /* bytes of an answered request's body that are waited for */
    H1_INTERIM_MAX = 16,      /* interim responses to a request */
    H1_MARGIN = 64            /* bytes: room for the framing around a piece */
};

enum h1_phase { H1_HEAD, H1_BODY, H1_TRAILERS, H1_LAST, H1_WAIT, H1_DRAIN, H1_TUNNEL, H1_DISCARD };

/* One way of the connection. */
struct h1_side {
    enum http_way way;
    enum h1_phase phase;
    struct byte_queue *queue; /* what goes on */
    /* A head or trailer section that is not whole. */
    struct h1_scan scan;
    struct byte_queue partial;
    bool had_empty_line; /* in front of the request: one is skipped (RFC 9112 section 2.2) */
    /* The message. */
    struct http_head head, trailers;
    bool has_trailers;
    struct h1_framing in, out;
    struct h1_chunked chunked;
    uint64_t left;  /* of a body of known length */
    uint64_t bytes; /* of the body, as it came */
    bool filtered;
    bool holding;              /* the head is written when the body is whole */
    struct byte_queue pending; /* what the filter made, not yet in the queue */
};

struct h1_relay {
    struct http_relay relay; /* first */
    struct http_relay_settings settings;
    const struct http_filter_ops *filter;
    void *user;
    struct h1_side up, down;
    struct http_exchange x;
    bool open;       /* `x` is under way */
    bool sent;       /* something of its request went upstream */
    bool answered;   /* the head of its final response went to the guest */
    bool to_head;    /* it is HEAD */
    bool guest_gone; /* the guest has ended its side */
    unsigned interim;
    unsigned status; /* that the guest got */
    int error;       /* -ENOMEM: nothing works any more */
};

/* ---- h1.c: ends and answers ---- */

/* Ends the connection: raises what becomes of both sides, tells the filter that the open exchange
 * is over, drops what comes. */
void h1_finish(struct h1_relay *r, enum http_end guest, enum http_end upstream, const char *fault);
/* The open exchange cannot go on: the guest gets `status` with `fault`, or a reset where it already
 * has a part of a response. */
void h1_abort(struct h1_relay *r, unsigned status, const char *fault);
/* The open exchange is answered in upstream's stead. The guest has nothing of a response yet. */
void h1_answer(struct h1_relay *r, const struct http_answer *answer, const char *fault);
/* An answer whose body is a sentence about `fault`. */
void h1_refuse(struct h1_relay *r, unsigned status, const char *fault);
/* The open exchange is over in good order; the connection goes on unless `close`. */
void h1_exchange_over(struct h1_relay *r, bool close);
/* Notes a negative status of a write. Returns whether it is one. */
bool h1_failed(struct h1_relay *r, int status);

/* ---- h1_body.c: from the end of the head to the end of the message ---- */

/* Takes what it can of the bytes. Returns how many, or -ENOMEM. */
ssize_t h1_take(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len);
/* Collects a head or trailer section out of the next bytes. Returns 1 with it in *ret_data, which
 * is borrowed until h1_collected(); 0 when it is not whole; -EPROTO for a bare LF; -E2BIG; -ENOMEM.
 */
int h1_collect(struct h1_relay *r, struct h1_side *side, const uint8_t *data, size_t len,
               size_t *ret_used, const uint8_t **ret_data, size_t *ret_len);
void h1_collected(struct h1_side *side);
/* The head was judged: the message goes on with it. `in`, `out`, `filtered` and `holding` are set.
 */
void h1_begin_message(struct h1_relay *r, struct h1_side *side);
/* No more of the body comes. */
void h1_end_body(struct h1_relay *r, struct h1_side *side);
/* Forgets the message. */
void h1_clear_message(struct h1_side *side);

/* ---- h1_request.c, h1_response.c ---- */

/* Each takes what it can of a head; returns whether there was progress, and how many bytes were
 * used. */
bool h1_request_step(struct h1_relay *r, const uint8_t *data, size_t len, size_t *ret_used);
bool h1_response_step(struct h1_relay *r, const uint8_t *data, size_t len, size_t *ret_used);
/* The message is out, to its last byte. */
void h1_request_whole(struct h1_relay *r);
void h1_response_whole(struct h1_relay *r);
/* A held head whose body is too long to wait for: sets the framing that does without a length.
 * Returns false when there is none; the exchange was then ended. */
bool h1_request_unhold(struct h1_relay *r);
void h1_response_unhold(struct h1_relay *r);
/* Writes the head. */
void h1_request_write(struct h1_relay *r);
void h1_response_write(struct h1_relay *r);

#endif
