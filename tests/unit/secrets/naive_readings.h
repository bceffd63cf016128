/* What a stream says in each reading, decoded as a whole: for comparison. */
#ifndef TEST_NAIVE_READINGS_H
#define TEST_NAIVE_READINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline int naive_hex(const uint8_t *data, size_t at, size_t digits, size_t len)
{
    char text[8] = "";
    if (at + digits > len) {
        return -1;
    }
    memcpy(text, data + at, digits);
    return strspn(text, "0123456789abcdefABCDEF") == digits ? (int)strtol(text, NULL, 16) : -1;
}

static inline size_t naive_percent(const uint8_t *data, size_t len, uint8_t *dst)
{
    size_t n = 0;
    for (size_t i = 0; i < len; n++) {
        int c = data[i] == '%' ? naive_hex(data, i + 1, 2, len) : -1;
        dst[n] = c < 0 ? data[i] : (uint8_t)c;
        i += c < 0 ? 1 : 3;
    }
    return n;
}

/* Only characters of ASCII are decoded. */
static inline size_t naive_json(const uint8_t *data, size_t len, uint8_t *dst)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    size_t n = 0;
    for (size_t i = 0; i < len; n++) {
        const char *letter = data[i] == '\\' && i + 1 < len && data[i + 1] != '\0'
                                 ? strchr(from, data[i + 1])
                                 : NULL;
        int c = data[i] == '\\' && i + 1 < len && data[i + 1] == 'u'
                    ? naive_hex(data, i + 2, 4, len)
                    : -1;
        dst[n] = letter != NULL      ? (uint8_t)to[letter - from]
                 : c >= 0 && c < 128 ? (uint8_t)c
                 : c >= 128          ? 0xff
                                     : data[i];
        i += letter != NULL ? 2 : c >= 0 ? 6 : 1;
    }
    return n;
}

/* Whether `text` shows in some reading of `data`, which has no line breaks, whole or escaped. */
static inline bool naive_shows(const uint8_t *data, size_t len, const char *text)
{
    uint8_t *once = malloc(len + 1);
    uint8_t *twice = malloc(len + 1);
    size_t text_len = strlen(text);
    bool found = memmem(data, len, text, text_len) != NULL;
    size_t n = naive_percent(data, len, once);
    found = found || memmem(once, n, text, text_len) != NULL;
    n = naive_percent(once, n, twice);
    found = found || memmem(twice, n, text, text_len) != NULL;
    n = naive_json(data, len, once);
    found = found || memmem(once, n, text, text_len) != NULL;
    free(once);
    free(twice);
    return found;
}

#endif
