/* Writing text into a fixed buffer, as snprintf does: what does not fit is counted and left out. */
#ifndef LN_BASE_TEXT_H
#define LN_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct text {
    char *dst; /* always terminated when size > 0 */
    size_t size;
    size_t len; /* of the whole text, whether it fitted or not */
};

struct text text_of(char *dst, size_t size);
void text_put(struct text *text, const char *data, size_t len);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Between double quotes, for people: whatever is not printable UTF-8 is escaped as in Lua. */
void text_quote(struct text *text, const char *data, size_t len);
/* As it stands between the quotes of a JSON string (RFC 8259): control characters are escaped,
 * bytes that are not UTF-8 become U+FFFD. */
void text_json_escape(struct text *text, const char *data, size_t len);

#define UTF8_INVALID UINT32_MAX

/* Reads the character at the front of `len` > 0 bytes. Returns how many bytes it takes; for bytes
 * that are not UTF-8 (RFC 3629 section 4) 1, with *ret UTF8_INVALID. */
size_t utf8_next(const char *data, size_t len, uint32_t *ret);
/* Whether the character could steer a terminal: C0, DEL, C1. */
static inline int utf8_is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

#endif
