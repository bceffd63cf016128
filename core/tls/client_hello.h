/* A view of a TLS ClientHello: which server the client names, before anything is decrypted. */
#ifndef LN_TLS_CLIENT_HELLO_H
#define LN_TLS_CLIENT_HELLO_H

#include <stddef.h>
#include <stdint.h>

enum client_hello {
    CLIENT_HELLO_PARTIAL, /* may become one: more bytes are needed */
    CLIENT_HELLO_NOT_TLS, /* the first bytes are no TLS handshake record */
    CLIENT_HELLO_NAMED,   /* it shows a name */
    CLIENT_HELLO_UNNAMED, /* it shows none */
    CLIENT_HELLO_BAD      /* it begins like one and is malformed, or its name is no host name */
};

/* Looks at the first bytes of a stream, in whatever number of records the hello is split (RFC 8446
 * sections 4.1.2 and 5.1, RFC 6066 section 3). For CLIENT_HELLO_NAMED the name is written to `name`
 * as sent, terminated; it is not yet canonical. `name` has room for 256 bytes. Works on the bytes
 * in place; allocates nothing. */
enum client_hello client_hello_view(const uint8_t *data, size_t len, char name[256]);

#endif
