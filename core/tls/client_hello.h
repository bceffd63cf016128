/* A view of a TLS ClientHello: which server the client names, before anything is decrypted. */
#ifndef LN_TLS_CLIENT_HELLO_H
#define LN_TLS_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum client_hello {
    CLIENT_HELLO_PARTIAL, /* may become one: more bytes are needed */
    CLIENT_HELLO_NOT_TLS, /* the first bytes are no TLS handshake record */
    CLIENT_HELLO_NAMED,   /* it shows a name */
    CLIENT_HELLO_UNNAMED, /* it shows none */
    CLIENT_HELLO_BAD      /* it begins like one and is malformed, or its name is no host name */
};

/* How far a hello was read. Zero-initialise to start. */
struct client_hello_view {
    size_t at;            /* bytes of the stream that were read */
    uint32_t record_left; /* bytes of the current record that were not */
    uint32_t left;        /* bytes of the hello that no field read so far holds */
    uint32_t skip;        /* bytes to pass over before the next number */
    uint64_t number;      /* the field being read */
    uint8_t missing;      /* bytes of it that are */
    uint8_t field;        /* what it is */
    uint16_t extension;   /* bytes of the extension being read that no field holds */
    uint8_t name_left;    /* bytes of the name to come */
    uint8_t name_len;
    bool seen; /* a server_name extension */
    bool alpn; /* an application_layer_protocol_negotiation extension, which names … */
    bool alpn_h2, alpn_http11, alpn_others;
    char name[256];
};

/* Looks at the first `len` bytes of a stream, in whatever number of records the hello is split (RFC
 * 8446 sections 4.1.2 and 5.1, RFC 6066 section 3). Call it again with the same bytes and more of
 * them while it is CLIENT_HELLO_PARTIAL: no byte is read twice. For CLIENT_HELLO_NAMED the name is
 * view->name as sent, terminated; it is not yet canonical. When it is neither PARTIAL nor BAD, the
 * protocols offered (RFC 7301 section 3.1) are known as well. Allocates nothing. */
enum client_hello client_hello_look(struct client_hello_view *view, const uint8_t *data,
                                    size_t len);

#endif
