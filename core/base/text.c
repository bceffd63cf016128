/* Writing text into a fixed buffer, and reading UTF-8. */
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct text text_of(char *dst, size_t size)
{
    if (size > 0) {
        dst[0] = '\0';
    }
    return (struct text){.dst = dst, .size = size};
}

/* Bytes left, with the terminator. */
static size_t room(const struct text *text)
{
    return text->len < text->size ? text->size - text->len : 0;
}

void text_put(struct text *text, const char *data, size_t len)
{
    size_t left = room(text);
    if (left > 0) {
        size_t fits = len < left ? len : left - 1;
        memcpy(text->dst + text->len, data, fits);
        text->dst[text->len + fits] = '\0';
    }
    text->len += len;
}

void text_puts(struct text *text, const char *string)
{
    text_put(text, string, strlen(string));
}

void text_printf(struct text *text, const char *format, ...)
{
    size_t left = room(text);
    va_list args;
    va_start(args, format);
    int len = vsnprintf(left > 0 ? text->dst + text->len : NULL, left, format, args);
    va_end(args);
    text->len += len < 0 ? 0 : (size_t)len;
}

void text_quote(struct text *text, const char *data, size_t len)
{
    text_puts(text, "\"");
    while (len > 0) {
        uint32_t c;
        size_t taken = utf8_next(data, len, &c);
        if (c == UTF8_INVALID || c < 0x20 || c == 0x7f) {
            text_printf(text, "\\x%02x", (unsigned)(unsigned char)data[0]);
        } else if (utf8_is_control(c)) {
            text_printf(text, "\\u{%x}", (unsigned)c);
        } else {
            if (c == '"' || c == '\\') {
                text_puts(text, "\\");
            }
            text_put(text, data, taken);
        }
        data += taken;
        len -= taken;
    }
    text_puts(text, "\"");
}

void text_json_escape(struct text *text, const char *data, size_t len)
{
    while (len > 0) {
        uint32_t c;
        size_t taken = utf8_next(data, len, &c);
        if (c == UTF8_INVALID) {
            text_puts(text, "\xef\xbf\xbd");
        } else if (utf8_is_control(c)) {
            text_printf(text, "\\u%04x", (unsigned)c);
        } else {
            if (c == '"' || c == '\\') {
                text_puts(text, "\\");
            }
            text_put(text, data, taken);
        }
        data += taken;
        len -= taken;
    }
}

size_t utf8_next(const char *data, size_t len, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)data;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* of each length: no overlong */
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    *ret = UTF8_INVALID;
    if (n == 0 || n > len || p[0] > 0xf4) {
        return 1;
    }
    uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 1;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    bool surrogate = c >= 0xd800 && c <= 0xdfff;
    if (c < least[n] || surrogate || c > 0x10ffff) {
        return 1;
    }
    *ret = c;
    return n;
}
