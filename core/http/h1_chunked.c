/* One byte of framing at a time; the data of a chunk is not looked at. */
#include "http/h1_chunked.h"

enum {
    SIZE_DIGITS_MAX = 15, /* hexadecimal digits: the sum of chunks cannot overflow either */
    LINE_MAX_BYTES = 256  /* of a size with its extensions */
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte of a size: digits first, at least one, then CR or extensions. */
static bool take_size(struct h1_chunked *c, uint8_t byte)
{
    int digit = hex_value(byte);
    if (digit >= 0) {
        c->left = c->left << 4 | (unsigned)digit;
        return ++c->line <= SIZE_DIGITS_MAX;
    }
    if (c->line == 0 || (byte != '\r' && byte != ';')) {
        return false;
    }
    c->at = byte == '\r' ? H1_AT_SIZE_LF : H1_AT_EXTENSION;
    return true;
}

static bool take_extension(struct h1_chunked *c, uint8_t byte)
{
    if (byte == '\r') {
        c->at = H1_AT_SIZE_LF;
        return true;
    }
    bool control = (byte < ' ' && byte != '\t') || byte == 0x7f;
    return !control && ++c->line <= LINE_MAX_BYTES;
}

/* A byte that is not data. Returns the event it brings about, H1_CHUNK_MORE for none. */
static enum h1_chunk take_framing(struct h1_chunked *c, uint8_t byte)
{
    bool right = false;
    switch (c->at) {
    case H1_AT_SIZE:
        right = take_size(c, byte);
        break;
    case H1_AT_EXTENSION:
        right = take_extension(c, byte);
        break;
    case H1_AT_SIZE_LF:
        c->at = H1_AT_DATA;
        if (byte == '\n') {
            return c->left == 0 ? H1_CHUNK_LAST : H1_CHUNK_START;
        }
        break;
    case H1_AT_CR:
        c->at = H1_AT_LF;
        right = byte == '\r';
        break;
    case H1_AT_LF:
        *c = (struct h1_chunked){.at = H1_AT_SIZE};
        return byte == '\n' ? H1_CHUNK_END : H1_CHUNK_BAD;
    case H1_AT_DATA:
        break;
    }
    return right ? H1_CHUNK_MORE : H1_CHUNK_BAD;
}

enum h1_chunk h1_chunked_next(struct h1_chunked *c, const uint8_t *data, size_t len,
                              size_t *ret_used, size_t *ret_n)
{
    *ret_n = 0;
    for (size_t i = 0; i < len; i++) {
        if (c->at == H1_AT_DATA && c->left > 0) {
            *ret_used = i;
            *ret_n = len - i < c->left ? len - i : (size_t)c->left;
            return H1_CHUNK_DATA;
        }
        enum h1_chunk event = take_framing(c, data[i]);
        if (event != H1_CHUNK_MORE) {
            *ret_used = i + 1;
            return event;
        }
    }
    *ret_used = len;
    return H1_CHUNK_MORE;
}

void h1_chunked_took(struct h1_chunked *c, size_t n)
{
    c->left -= n;
    if (c->left == 0) {
        c->at = H1_AT_CR;
    }
}
