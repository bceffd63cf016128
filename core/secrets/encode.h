/* The ways in which text stands in requests: percent-encoding, JSON strings, base64. */
#ifndef LN_SECRETS_ENCODE_H
#define LN_SECRETS_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/byte_queue.h"

enum encoding {
    ENCODE_PLAIN,
    ENCODE_PERCENT,       /* all but the unreserved characters of RFC 3986 section 2.3 */
    ENCODE_PERCENT_TWICE, /* likewise, of what is percent-encoded */
    ENCODE_JSON           /* as between the quotes of a string (RFC 8259 section 7) */
};

/* Appends `text`, encoded. Returns 0, -ENOBUFS or -ENOMEM. */
int encode_put(struct byte_queue *out, enum encoding encoding, const uint8_t *text, size_t len);

/* Appends base64 with padding (RFC 4648 section 4). Returns 0, -ENOBUFS or -ENOMEM. */
int base64_put(struct byte_queue *out, const uint8_t *data, size_t len);
/* Appends what base64 text holds; padding may be missing. Returns 0; -EINVAL when it is none;
 * -ENOBUFS or -ENOMEM. */
int base64_decode(struct byte_queue *out, const char *text, size_t len);

/* The characters that stand for `text` wherever it begins `shift` (0-2) bytes into a group of
 * three: all that depend on nothing around it. `dst` has room for BASE64_CORE_MAX(len). Returns how
 * many. `url`: of section 5's alphabet. */
#define BASE64_CORE_MAX(len) (((len) + 2) * 4 / 3 + 1)
size_t base64_core(const uint8_t *text, size_t len, unsigned shift, bool url, uint8_t *dst);

/* The number a hexadecimal digit stands for, or -1. */
static inline int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
