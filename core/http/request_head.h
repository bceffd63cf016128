/* A view of the first request head of a stream: which host the client names. Only for deciding who
 * is called; requests are not rewritten here. */
#ifndef LN_HTTP_REQUEST_HEAD_H
#define LN_HTTP_REQUEST_HEAD_H

#include <stddef.h>
#include <stdint.h>

enum request_head {
    REQUEST_HEAD_PARTIAL,  /* may become a request: more bytes are needed */
    REQUEST_HEAD_NOT_HTTP, /* no HTTP/1 request line */
    REQUEST_HEAD_NAMED,    /* it names a host */
    REQUEST_HEAD_UNNAMED,  /* it names none, or an IP address */
    REQUEST_HEAD_BAD /* two answers to "which host", or a shape that servers read differently */
};

/* Looks at the first bytes of a stream (RFC 9112 sections 2 and 3, RFC 9110 section 7.2). For
 * REQUEST_HEAD_NAMED the host is written to `name`, without port, as sent, terminated. Stricter
 * than servers are: what two servers may read differently is BAD. */
enum request_head request_head_view(const uint8_t *data, size_t len, char name[256]);

#endif
