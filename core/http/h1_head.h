/* Heads of HTTP/1 (RFC 9112): read strictly into the neutral form, and written from it. Bytes of a
 * peer never reach the other one but as what was understood of them: framing and the fields of the
 * connection are written anew, the rest in its order and spelling. */
#ifndef LN_HTTP_H1_HEAD_H
#define LN_HTTP_H1_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/byte_queue.h"
#include "http/filter.h"
#include "http/message.h"

enum h1_body {
    H1_BODY_NONE,
    H1_BODY_LENGTH,  /* Content-Length; it is not 0 */
    H1_BODY_CHUNKED, /* Transfer-Encoding: chunked */
    H1_BODY_CLOSE    /* a response up to the end of the connection */
};

/* What a head says about its message and its connection (RFC 9112 sections 6 and 9). */
struct h1_framing {
    enum h1_body body;
    uint64_t length; /* of H1_BODY_LENGTH */
    bool http10;     /* the message is of HTTP/1.0 */
    bool close;      /* no message behind it */
    bool upgrade;    /* a request for, a 101 to WebSocket */
    bool expect;     /* 100-continue, of a request with a body */
    bool has_length; /* a Content-Length was there, also where it frames nothing */
};

/* How far a head was looked at. Zero-initialise to start. */
struct h1_scan {
    size_t line; /* bytes of the current line so far */
    bool cr;     /* the last of them is CR */
};

/* Looks for the empty line that ends a head in the next `len` bytes. Returns how many bytes there
 * are up to and with it; 0 when it is not among them; -EPROTO for an LF without CR. */
ssize_t h1_scan(struct h1_scan *scan, const uint8_t *data, size_t len);

/* Reads a request head, `len` bytes with its empty line. `head` is empty before; `scheme` is the
 * connection's. Returns 0, or the status to answer with *ret_fault a sentence. */
unsigned h1_read_request(struct http_head *head, struct h1_framing *framing, const uint8_t *data,
                         size_t len, const char *scheme, const char **ret_fault);
/* Reads a response head; `to_head`: it answers HEAD. Likewise, the status is 502. */
unsigned h1_read_response(struct http_head *head, struct h1_framing *framing, const uint8_t *data,
                          size_t len, bool to_head, const char **ret_fault);
/* Reads a trailer section, `len` bytes with its empty line. Fields that may not stand in one
 * (RFC 9110 section 6.5.1) are left out. Likewise, the status is 400. */
unsigned h1_read_trailers(struct http_head *head, const uint8_t *data, size_t len,
                          const char **ret_fault);

/* Appends a head with this framing. Returns 0, -ENOBUFS or -ENOMEM. */
int h1_write_request(struct byte_queue *out, const struct http_head *head,
                     const struct h1_framing *framing);
int h1_write_response(struct byte_queue *out, const struct http_head *head,
                      const struct h1_framing *framing);
/* Appends the last chunk, the trailers (NULL: none) and the empty line. */
int h1_write_trailers(struct byte_queue *out, const struct http_head *head);
/* Appends a whole response of our own; `bodiless`: to HEAD. */
int h1_write_answer(struct byte_queue *out, const struct http_answer *answer, bool bodiless);

/* The reason phrase of a status; "" for an unregistered one. */
const char *h1_phrase(unsigned status);

#endif
