/* One connection between a guest and an upstream that speaks HTTP: plaintext in on both sides,
 * plaintext out on both sides. Requests are judged one by one by a filter. HTTP/1.1 (http/h1.h) and
 * HTTP/2 (http/h2.h) are two relays.
 *
 * The caller, whenever something happened on either side:
 *  1. gives bytes that came to http_relay_from_guest() or http_relay_from_upstream(), or says that
 *     a side ended, once all its bytes were taken;
 *  2. sends what is in to_guest and to_upstream, and drops it from the queues;
 *  3. calls http_relay_resume() when it dropped something; bytes that were not taken are then given
 *     again;
 *  4. acts upon guest_end and upstream_end.
 * A side whose bytes are not taken is to be read no further: that is the back-pressure. */
#ifndef LN_HTTP_RELAY_H
#define LN_HTTP_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/byte_queue.h"
#include "http/filter.h"

/* What becomes of a side's connection. It only ever goes up. */
enum http_end {
    HTTP_END_NOT,    /* it stays open */
    HTTP_END_FINISH, /* once its queue is empty: FIN (over TLS close_notify before). What it still
                        sends is given to the relay, which drops it or not; a side that goes on
                        sending is to be reset after a while */
    HTTP_END_RESET   /* now: RST; its queue is dropped */
};

struct http_relay_settings {
    size_t head_bytes;  /* most bytes of a head (ln_limits http_header_bytes) */
    size_t streams;     /* most requests at a time; HTTP/2 only (ln_limits h2_streams) */
    const char *scheme; /* "https" or "http"; static */
    bool no_upstream;   /* the filter answers every request; what it passes is answered 502 */
};

struct http_relay;

struct http_relay_ops {
    ssize_t (*from_guest)(struct http_relay *relay, const uint8_t *data, size_t len);
    ssize_t (*from_upstream)(struct http_relay *relay, const uint8_t *data, size_t len);
    void (*guest_ended)(struct http_relay *relay);
    void (*upstream_ended)(struct http_relay *relay);
    int (*resume)(struct http_relay *relay);
    void (*free)(struct http_relay *relay);
};

/* The part that the caller sees; a relay begins with it. */
struct http_relay {
    const struct http_relay_ops *ops;
    struct byte_queue to_guest, to_upstream; /* the caller sends and drops */
    enum http_end guest_end, upstream_end;
};

/* Bytes that the guest sent. Returns how many were taken, 0 and up; fewer than `len` when something
 * has to be sent or to arrive first. Malformed bytes are no error: they show in guest_end and
 * upstream_end, with an answer in to_guest where that is still possible. -ENOMEM: both sides are to
 * be reset. */
static inline ssize_t http_relay_from_guest(struct http_relay *r, const uint8_t *data, size_t len)
{
    return r->ops->from_guest(r, data, len);
}
/* Bytes that upstream sent; likewise. */
static inline ssize_t http_relay_from_upstream(struct http_relay *r, const uint8_t *data,
                                               size_t len)
{
    return r->ops->from_upstream(r, data, len);
}
/* The guest sends no more (FIN, close_notify). Not for a reset: then free the relay. */
static inline void http_relay_guest_ended(struct http_relay *r)
{
    r->ops->guest_ended(r);
}
/* Upstream sends no more; or it was never reached or was reset: then set upstream_end to
 * HTTP_END_RESET before. */
static inline void http_relay_upstream_ended(struct http_relay *r)
{
    r->ops->upstream_ended(r);
}
/* Room was made in the queues. Returns 0, or -ENOMEM as above. */
static inline int http_relay_resume(struct http_relay *r)
{
    return r->ops->resume(r);
}
/* Tells the filter that open exchanges are over, wipes and frees. Takes NULL; returns NULL. */
static inline struct http_relay *http_relay_free(struct http_relay *r)
{
    if (r != NULL) {
        r->ops->free(r);
    }
    return NULL;
}

#endif
