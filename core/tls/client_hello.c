/* A view of a TLS ClientHello. The handshake message may be split over any number of records, so
 * that it is read through a cursor that steps over record headers, never through a reassembled
 * copy. */
#include "tls/client_hello.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_MAX = 16384 + 256, /* what implementations take, RFC 8446 section 5.1 and 5.2 */
    HANDSHAKE_CLIENT_HELLO = 1,
    HELLO_MAX = 65536,
    EXTENSION_SERVER_NAME = 0,
    NAME_TYPE_HOST = 0
};

/* Reads the payload of consecutive handshake records. */
struct cursor {
    struct reader raw;    /* records not entered yet */
    struct reader record; /* the rest of the current one */
    bool partial;         /* ran out of bytes: more may come */
    bool bad;
};

static bool enter_record(struct cursor *c)
{
    if (reader_left(&c->raw) == 0) {
        c->partial = true;
        return false;
    }
    const uint8_t *head = c->raw.at;
    size_t have = reader_left(&c->raw);
    /* What is there of the header must already be right: a stream that cannot become TLS is not
     * waited for. */
    if (head[0] != RECORD_HANDSHAKE || (have > 1 && head[1] != 3)) {
        c->bad = true;
        return false;
    }
    if (have < 5) {
        c->partial = true;
        return false;
    }
    size_t length = get_be16(head + 3);
    if (length == 0 || length > RECORD_MAX) {
        c->bad = true;
        return false;
    }
    reader_skip(&c->raw, 5);
    size_t there = length < reader_left(&c->raw) ? length : reader_left(&c->raw);
    c->record = reader_sub(&c->raw, there);
    return true;
}

static uint8_t take(struct cursor *c)
{
    while (!c->partial && !c->bad && reader_left(&c->record) == 0) {
        enter_record(c);
    }
    return c->partial || c->bad ? 0 : reader_u8(&c->record);
}

static uint32_t take_number(struct cursor *c, int bytes)
{
    uint32_t v = 0;
    while (bytes-- > 0) {
        v = v << 8 | take(c);
    }
    return v;
}

static void skip(struct cursor *c, uint32_t len)
{
    while (len > 0 && !c->partial && !c->bad) {
        if (reader_left(&c->record) == 0) {
            enter_record(c);
            continue;
        }
        size_t step = reader_left(&c->record) < len ? reader_left(&c->record) : len;
        reader_skip(&c->record, step);
        len -= (uint32_t)step;
    }
}

/* A length-prefixed block must fit what is left of the block around it. */
static uint32_t take_block(struct cursor *c, int bytes, uint32_t *left)
{
    uint32_t length = 0;
    if (*left < (uint32_t)bytes) {
        c->bad = true;
        return 0;
    }
    length = take_number(c, bytes);
    *left -= (uint32_t)bytes;
    if (!c->partial && length > *left) {
        c->bad = true;
        return 0;
    }
    *left -= length;
    return length;
}

/* The server_name extension: a list that holds exactly one host_name (RFC 6066 allows one of each
 * type, and no other type was ever defined). */
static bool read_server_name(struct cursor *c, uint32_t left, char name[256])
{
    uint32_t list = take_block(c, 2, &left);
    if (left != 0 || list < 3) {
        c->bad = true;
        return false;
    }
    uint32_t type = take(c);
    list--;
    uint32_t length = take_block(c, 2, &list);
    if (type != NAME_TYPE_HOST || list != 0 || length == 0 || length > 255) {
        c->bad = !c->partial || c->bad;
        return false;
    }
    for (uint32_t i = 0; i < length; i++) {
        name[i] = (char)take(c);
        if (name[i] == '\0') {
            c->bad = !c->partial;
            return false;
        }
    }
    name[length] = '\0';
    return true;
}

/* Everything behind the handshake header. Returns whether a name was found. */
static bool read_hello(struct cursor *c, uint32_t left, char name[256])
{
    bool named = false;
    bool seen = false;
    if (left < 34) {
        c->bad = true;
        return false;
    }
    skip(c, 34); /* legacy_version, random */
    left -= 34;
    skip(c, take_block(c, 1, &left)); /* legacy_session_id */
    skip(c, take_block(c, 2, &left)); /* cipher_suites */
    skip(c, take_block(c, 1, &left)); /* legacy_compression_methods */
    if (left == 0 || c->partial || c->bad) {
        return false; /* TLS 1.2 may do without extensions */
    }
    uint32_t extensions = take_block(c, 2, &left);
    c->bad = c->bad || left != 0;
    while (extensions > 0 && !c->partial && !c->bad) {
        if (extensions < 4) {
            c->bad = true;
            break;
        }
        uint32_t type = take_number(c, 2);
        extensions -= 2;
        uint32_t length = take_block(c, 2, &extensions);
        if (type != EXTENSION_SERVER_NAME) {
            skip(c, length);
            continue;
        }
        c->bad =
            c->bad || (seen && !c->partial); /* two of them: which one would the server take? */
        seen = true;
        if (!c->partial && !c->bad) {
            named = read_server_name(c, length, name);
        }
    }
    return named;
}

enum client_hello client_hello_view(const uint8_t *data, size_t len, char name[256])
{
    struct cursor c = {.raw = reader_of(data, len)};
    if (len == 0) {
        return CLIENT_HELLO_PARTIAL;
    }
    if (data[0] != RECORD_HANDSHAKE || (len > 1 && data[1] != 3)) {
        return CLIENT_HELLO_NOT_TLS;
    }
    uint8_t type = take(&c);
    uint32_t length = take_number(&c, 3);
    bool named = false;
    if (!c.partial && !c.bad) {
        if (type != HANDSHAKE_CLIENT_HELLO || length > HELLO_MAX) {
            return CLIENT_HELLO_BAD;
        }
        named = read_hello(&c, length, name);
    }
    if (c.bad) {
        return CLIENT_HELLO_BAD;
    }
    if (c.partial) {
        return CLIENT_HELLO_PARTIAL;
    }
    return named ? CLIENT_HELLO_NAMED : CLIENT_HELLO_UNNAMED;
}
