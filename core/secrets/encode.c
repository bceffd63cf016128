/* Encoders write through a queue, which wipes what it lets go of. */
#include "secrets/encode.h"

#include <errno.h>
#include <string.h>

static const char HEX[] = "0123456789ABCDEF";
static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char ALPHABET_URL[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- percent-encoding and JSON ---- */

static bool is_unreserved(uint8_t c)
{
    uint8_t lower = c | 0x20;
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* Writes one byte, at most 6 characters. Returns how many. */
static size_t encode_byte(enum encoding encoding, uint8_t c, char dst[6])
{
    switch (encoding) {
    case ENCODE_PERCENT:
    case ENCODE_PERCENT_TWICE:
        if (is_unreserved(c)) {
            break;
        }
        memcpy(dst, "%25", 3);
        size_t n = encoding == ENCODE_PERCENT ? 1 : 3;
        dst[n] = HEX[c >> 4];
        dst[n + 1] = HEX[c & 15];
        return n + 2;
    case ENCODE_JSON:
        if (c == '"' || c == '\\') {
            dst[0] = '\\';
            dst[1] = (char)c;
            return 2;
        }
        if (c < 0x20) {
            memcpy(dst, "\\u00", 4);
            dst[4] = HEX[c >> 4];
            dst[5] = HEX[c & 15];
            return 6;
        }
        break;
    case ENCODE_PLAIN:
        break;
    }
    dst[0] = (char)c;
    return 1;
}

int encode_put(struct byte_queue *out, enum encoding encoding, const uint8_t *text, size_t len)
{
    int r = 0;
    if (encoding == ENCODE_PLAIN) {
        return byte_queue_put(out, text, len);
    }
    char encoded[6];
    for (size_t i = 0; i < len && r == 0; i++) {
        r = byte_queue_put(out, encoded, encode_byte(encoding, text[i], encoded));
    }
    explicit_bzero(encoded, sizeof(encoded));
    return r;
}

/* ---- base64 ---- */

int base64_put(struct byte_queue *out, const uint8_t *data, size_t len)
{
    int r = 0;
    for (size_t i = 0; i < len && r == 0; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (n > 2 ? data[i + 2] : 0);
        char group[4] = {ALPHABET[bits >> 18], ALPHABET[bits >> 12 & 63],
                         n > 1 ? ALPHABET[bits >> 6 & 63] : '=', n > 2 ? ALPHABET[bits & 63] : '='};
        r = byte_queue_put(out, group, sizeof(group));
        explicit_bzero(group, sizeof(group));
    }
    return r;
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int base64_decode(struct byte_queue *out, const char *text, size_t len)
{
    for (int padding = 0; padding < 2 && len > 0 && text[len - 1] == '='; padding++) {
        len--;
    }
    if (len % 4 == 1) {
        return -EINVAL;
    }
    uint32_t bits = 0;
    int r = 0;
    for (size_t i = 0; i < len && r == 0; i++) {
        int six = sextet(text[i]);
        if (six < 0) {
            return -EINVAL;
        }
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 != 0) {
            uint8_t byte = (uint8_t)(bits >> (6 - 2 * (i % 4)));
            r = byte_queue_put(out, &byte, 1);
        }
    }
    return r;
}

size_t base64_core(const uint8_t *text, size_t len, unsigned shift, bool url, uint8_t *dst)
{
    const char *alphabet = url ? ALPHABET_URL : ALPHABET;
    size_t end = (shift + len) * 8 / 6;
    size_t n = 0;
    for (size_t i = (shift * 8 + 5) / 6; i < end; i++) {
        size_t bit = i * 6 - (size_t)shift * 8; /* of `text` */
        uint32_t two = (uint32_t)text[bit / 8] << 8;
        two |= bit / 8 + 1 < len ? text[bit / 8 + 1] : 0;
        dst[n++] = (uint8_t)alphabet[two >> (10 - bit % 8) & 63];
    }
    return n;
}
