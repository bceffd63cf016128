/* What judges and changes the messages that a relay passes on. */
#ifndef LN_HTTP_FILTER_H
#define LN_HTTP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/byte_queue.h"
#include "http/message.h"

enum { HTTP_ANSWER_BODY_MAX = 16 << 10 }; /* bytes; what is longer is cut */

/* One request and what answers it. */
struct http_exchange {
    uint32_t id; /* 1, 2, 3… of the connection (HTTP/2: the stream's id) */
    void *state; /* the filter's own */
    /* The filter sets them in request() and response(). A body that is not filtered passes without
     * being looked at, and its length stays what it was. */
    bool filter_request_body;
    bool filter_response_body;
    /* The request asks for WebSocket (RFC 6455, RFC 8441). The filter may clear it in request():
     * then upstream is not asked to switch. */
    bool upgrade;
};

enum http_verdict {
    HTTP_PASS,   /* it goes on */
    HTTP_ANSWER, /* the guest gets the filter's answer, upstream gets nothing more of it */
    HTTP_RESET   /* both connections are reset; HTTP/2: the stream, on both */
};

/* An answer of the filter's own. */
struct http_answer {
    unsigned status;          /* 400-599 */
    const char *content_type; /* NULL: text/plain; charset=utf-8 */
    const char *body;         /* borrowed until the filter is called again */
    size_t body_len;
    bool close; /* no request after it: HTTP/1 closes the connection, HTTP/2 says GOAWAY */
};

/* Which way a part of a message goes. */
enum http_way { HTTP_TO_UPSTREAM, HTTP_TO_GUEST };

/* The filter's functions; none may be NULL, none may touch the relay. `data` is borrowed for the
 * call. ret_answer is written where HTTP_ANSWER is returned and may be so. */
struct http_filter_ops {
    /* A request, before anything of it goes upstream. The head may be changed, all but its method:
     * what is in it afterwards is what upstream gets. */
    enum http_verdict (*request)(void *user, struct http_exchange *x, struct http_head *head,
                                 struct http_answer *ret_answer);
    /* Part of a request's body, where filter_request_body is set. Appends to `out` what goes on in
     * its place, now or at a later part; `end`: there is no more (the last part may be empty). An
     * `out` that is full is an error: return HTTP_RESET. */
    enum http_verdict (*request_body)(void *user, struct http_exchange *x, const uint8_t *data,
                                      size_t len, bool end, struct byte_queue *out,
                                      struct http_answer *ret_answer);
    /* A response, also an interim one (head->status below 200). The head may be changed.
     * HTTP_ANSWER: the guest gets that instead. */
    enum http_verdict (*response)(void *user, struct http_exchange *x, struct http_head *head,
                                  struct http_answer *ret_answer);
    /* Part of a response's body, where filter_response_body is set. */
    enum http_verdict (*response_body)(void *user, struct http_exchange *x, const uint8_t *data,
                                       size_t len, bool end, struct byte_queue *out);
    /* Trailers, behind the body: only `fields` are of meaning, and may be changed. HTTP_ANSWER
     * counts as HTTP_RESET. */
    enum http_verdict (*trailers)(void *user, struct http_exchange *x, enum http_way way,
                                  struct http_head *head);
    /* Bytes of a connection that was switched to WebSocket; they pass unchanged. HTTP_ANSWER counts
     * as HTTP_RESET. */
    enum http_verdict (*tunnel)(void *user, struct http_exchange *x, enum http_way way,
                                const uint8_t *data, size_t len);
    /* The exchange is over, however it ended: called once for each one that request() saw.
     * `status`: what the guest got, 0 for none. Bytes of bodies (and of a tunnel) that went up and
     * down. `fault`: what was wrong with the messages, a sentence without their text; NULL for
     * nothing. */
    void (*done)(void *user, struct http_exchange *x, unsigned status, uint64_t bytes_out,
                 uint64_t bytes_in, const char *fault);
    /* The relay refused something of the guest's that is no request the filter could have seen, and
     * answered `status` (0: reset). */
    void (*refused)(void *user, unsigned status, const char *fault);
};

#endif
