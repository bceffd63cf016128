/* A view of a TLS ClientHello.
 *
 * The hello is a row of numbers with bytes to pass over between them. The reader goes from number
 * to number: `skip` bytes first, then `missing` bytes of the number, then act() decides what comes
 * next. Between any two bytes it can stop and go on later. Record headers are stepped over
 * underneath, so that the message may be split anywhere. */
#include "tls/client_hello.h"

#include <string.h>

#include "base/bytes.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_HEAD = 5,
    RECORD_MAX = 16384 + 256, /* what implementations take, RFC 8446 section 5.1 and 5.2 */
    HANDSHAKE_CLIENT_HELLO = 1,
    HELLO_MAX = 65536,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_ALPN = 16,
    NAME_TYPE_HOST = 0,
    NAME_HEAD = 5 /* length of the list, type and length of the name */
};

enum field {
    FIELD_HANDSHAKE, /* type and length of the message */
    FIELD_SESSION,   /* length of legacy_session_id, … */
    FIELD_CIPHERS,
    FIELD_COMPRESSION,
    FIELD_EXTENSIONS,
    FIELD_EXTENSION, /* type and length */
    FIELD_NAME,      /* NAME_HEAD; the name follows */
    FIELD_PROTOCOLS, /* length of the list of ALPN */
    FIELD_PROTOCOL,  /* length of a name in it */
    FIELD_PROTOCOL_NAME,
    FIELD_END /* nothing more to read */
};

static enum client_hello ended(const struct client_hello_view *v)
{
    return v->name_len > 0 ? CLIENT_HELLO_NAMED : CLIENT_HELLO_UNNAMED;
}

/* ---- records ---- */

/* Steps over the next record header. What is there of it must already be right: a stream that
 * cannot become a hello is not waited for. PARTIAL also means that it was stepped over. */
static enum client_hello enter_record(struct client_hello_view *v, const uint8_t *data, size_t len)
{
    const uint8_t *head = data + v->at;
    size_t have = len - v->at;
    if ((have > 0 && head[0] != RECORD_HANDSHAKE) || (have > 1 && head[1] != 3)) {
        return CLIENT_HELLO_BAD;
    }
    if (have < RECORD_HEAD) {
        return CLIENT_HELLO_PARTIAL;
    }
    v->record_left = get_be16(head + 3);
    if (v->record_left == 0 || v->record_left > RECORD_MAX) {
        return CLIENT_HELLO_BAD;
    }
    v->at += RECORD_HEAD;
    return CLIENT_HELLO_PARTIAL;
}

/* Takes up to `most` bytes that lie together. Returns how many; 0 when none have come yet. */
static uint32_t take(struct client_hello_view *v, size_t len, uint32_t most)
{
    size_t have = len - v->at < v->record_left ? len - v->at : v->record_left;
    uint32_t n = have < most ? (uint32_t)have : most;
    v->at += n;
    v->record_left -= n;
    return n;
}

/* ---- fields ---- */

/* The next number is of `bytes` bytes. Returns false when the hello has no room for it. */
static bool want(struct client_hello_view *v, enum field field, uint8_t bytes)
{
    v->field = (uint8_t)field;
    v->number = 0;
    v->missing = bytes;
    if (v->left < bytes) {
        return false;
    }
    v->left -= bytes;
    return true;
}

/* The next `bytes` bytes are passed over. */
static bool pass(struct client_hello_view *v, uint32_t bytes)
{
    if (v->left < bytes) {
        return false;
    }
    v->left -= bytes;
    v->skip = bytes;
    return true;
}

static bool next_extension(struct client_hello_view *v)
{
    return v->left == 0 ? want(v, FIELD_END, 0) : want(v, FIELD_EXTENSION, 4);
}

static bool act_on_handshake(struct client_hello_view *v)
{
    v->left = v->number & 0xffffff;
    return v->number >> 24 == HANDSHAKE_CLIENT_HELLO && v->left <= HELLO_MAX &&
           pass(v, 34) && /* legacy_version, random */
           want(v, FIELD_SESSION, 1);
}

/* ALPN decides what a server is asked for, not whether it is asked: a malformed list is one of
 * other protocols, which whoever answers the hello refuses. */
static bool leave_protocols(struct client_hello_view *v)
{
    v->alpn_others = true;
    return pass(v, v->extension) && next_extension(v);
}

static bool begin_protocols(struct client_hello_view *v)
{
    bool again = v->alpn;
    v->alpn = true;
    return again || v->extension < 2 ? leave_protocols(v) : want(v, FIELD_PROTOCOLS, 2);
}

static bool next_protocol(struct client_hello_view *v)
{
    return v->extension == 0 ? next_extension(v) : want(v, FIELD_PROTOCOL, 1);
}

static bool act_on_protocols(struct client_hello_view *v)
{
    v->extension = (uint16_t)(v->extension - 2);
    return v->number == v->extension ? next_protocol(v) : leave_protocols(v);
}

/* A name that is as long as none of those looked for is passed over. */
static bool act_on_protocol(struct client_hello_view *v)
{
    uint16_t length = (uint16_t)v->number;
    v->extension--;
    if (length == 0 || length > v->extension) {
        return leave_protocols(v);
    }
    v->extension = (uint16_t)(v->extension - length);
    if (length == 2 || length == 8) {
        return want(v, FIELD_PROTOCOL_NAME, (uint8_t)length);
    }
    v->alpn_others = true;
    return pass(v, length) && next_protocol(v);
}

static bool act_on_protocol_name(struct client_hello_view *v)
{
    if (v->number == UINT64_C(0x6832)) { /* "h2" */
        v->alpn_h2 = true;
    } else if (v->number == UINT64_C(0x687474702f312e31)) { /* "http/1.1" */
        v->alpn_http11 = true;
    } else {
        v->alpn_others = true;
    }
    return next_protocol(v);
}

static bool act_on_extension(struct client_hello_view *v)
{
    uint32_t type = (uint32_t)(v->number >> 16);
    v->extension = (uint16_t)v->number;
    if (type == EXTENSION_ALPN && v->extension <= v->left) {
        return begin_protocols(v);
    }
    if (type != EXTENSION_SERVER_NAME) {
        return pass(v, v->extension) && next_extension(v);
    }
    if (v->seen || v->extension < NAME_HEAD || v->extension > v->left) {
        return false; /* of two, which one would the server take? */
    }
    v->seen = true;
    return want(v, FIELD_NAME, NAME_HEAD);
}

/* A list that holds exactly one host_name (RFC 6066 allows one of each type, and no other type was
 * ever defined). */
static bool act_on_name(struct client_hello_view *v)
{
    uint32_t list = (uint32_t)(v->number >> 24);
    uint32_t type = v->number >> 16 & 0xff;
    uint32_t length = v->number & 0xffff;
    if (list + 2 != v->extension || type != NAME_TYPE_HOST || length + 3 != list || length == 0 ||
        length > 255) {
        return false;
    }
    v->name_left = (uint8_t)length;
    v->left -= length; /* it fits: the extension did */
    return next_extension(v);
}

/* A number is complete. Returns false when it cannot be. */
static bool act(struct client_hello_view *v)
{
    switch ((enum field)v->field) {
    case FIELD_HANDSHAKE:
        return act_on_handshake(v);
    case FIELD_SESSION:
        return pass(v, (uint32_t)v->number) && want(v, FIELD_CIPHERS, 2);
    case FIELD_CIPHERS:
        return pass(v, (uint32_t)v->number) && want(v, FIELD_COMPRESSION, 1);
    case FIELD_COMPRESSION: /* TLS 1.2 may do without extensions */
        return pass(v, (uint32_t)v->number) &&
               (v->left == 0 ? want(v, FIELD_END, 0) : want(v, FIELD_EXTENSIONS, 2));
    case FIELD_EXTENSIONS:
        return v->number == v->left && next_extension(v);
    case FIELD_EXTENSION:
        return act_on_extension(v);
    case FIELD_NAME:
        return act_on_name(v);
    case FIELD_PROTOCOLS:
        return act_on_protocols(v);
    case FIELD_PROTOCOL:
        return act_on_protocol(v);
    case FIELD_PROTOCOL_NAME:
        return act_on_protocol_name(v);
    case FIELD_END:
        break;
    }
    return true;
}

/* Reads on in the current record. Returns false when what is there cannot be. */
static bool read_on(struct client_hello_view *v, const uint8_t *data, size_t len)
{
    const uint8_t *from = data + v->at;
    if (v->name_left > 0) {
        uint32_t n = take(v, len, v->name_left);
        memcpy(v->name + v->name_len, from, n);
        v->name_len = (uint8_t)(v->name_len + n);
        v->name_left = (uint8_t)(v->name_left - n);
        return memchr(from, '\0', n) == NULL;
    }
    if (v->skip > 0) {
        v->skip -= take(v, len, v->skip);
        return true;
    }
    for (uint32_t n = take(v, len, v->missing); n > 0; n--) {
        v->number = v->number << 8 | *from++;
        v->missing--;
    }
    return v->missing > 0 || act(v);
}

static bool is_finished(const struct client_hello_view *v)
{
    return v->field == FIELD_END && v->skip == 0 && v->name_left == 0;
}

enum client_hello client_hello_look(struct client_hello_view *v, const uint8_t *data, size_t len)
{
    if (v->at == 0) {
        if (len > 0 && (data[0] != RECORD_HANDSHAKE || (len > 1 && data[1] != 3))) {
            return CLIENT_HELLO_NOT_TLS;
        }
        v->field = FIELD_HANDSHAKE;
        v->missing = 4;
    }
    while (!is_finished(v)) {
        if (v->record_left == 0 && enter_record(v, data, len) == CLIENT_HELLO_BAD) {
            return CLIENT_HELLO_BAD;
        }
        if (v->record_left == 0 || v->at == len) {
            return CLIENT_HELLO_PARTIAL;
        }
        if (!read_on(v, data, len)) {
            return CLIENT_HELLO_BAD;
        }
    }
    return ended(v);
}
