/* A view of the first request head of a stream: which host the client names. Only for deciding who
 * is called; requests are not rewritten here. */
#ifndef LN_HTTP_REQUEST_HEAD_H
#define LN_HTTP_REQUEST_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_head {
    REQUEST_HEAD_PARTIAL,  /* may become a request: more bytes are needed */
    REQUEST_HEAD_NOT_HTTP, /* no HTTP/1 request line */
    REQUEST_HEAD_NAMED,    /* it names a host */
    REQUEST_HEAD_UNNAMED,  /* it names none, or an IP address */
    REQUEST_HEAD_BAD /* two answers to "which host", or a shape that servers read differently */
};

/* How far a head was read. Zero-initialise to start. */
struct request_head_view {
    size_t line;   /* where the current line starts */
    size_t seen;   /* bytes that were looked at */
    size_t method; /* of them, those that were looked at for a method */
    bool in_method, behind_method;
    bool in_fields; /* behind the request line */
    bool have_host; /* a Host field was there */
    bool by_target; /* the target has an authority, which is `name` */
    char name[256]; /* without port, as sent, terminated; "" where it is none */
};

/* Looks at the first `len` bytes of a stream (RFC 9112 sections 2 and 3, RFC 9110 section 7.2).
 * Call it again with the same bytes and more of them while it is REQUEST_HEAD_PARTIAL: a line is
 * read once. For REQUEST_HEAD_NAMED the host is view->name. Stricter than servers are: what two
 * servers may read differently is BAD. */
enum request_head request_head_look(struct request_head_view *view, const uint8_t *data,
                                    size_t len);

#endif
