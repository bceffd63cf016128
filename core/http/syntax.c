/* The grammar of RFC 9110 and RFC 3986 as far as both versions of HTTP need it. */
#include "http/syntax.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Classes of bytes, a bit each. */
enum { TOKEN = 1, TARGET = 2, VALUE = 4 };

#define T TOKEN | TARGET | VALUE
#define P TARGET | VALUE
#define V VALUE
/* clang-format off */
static const uint8_t classes[256] = {
    ['\t'] = V, [' '] = V,
    ['!'] = T, ['"'] = P, ['#'] = TOKEN | VALUE, ['$'] = T, ['%'] = T, ['&'] = T, ['\''] = T, ['('] = P,
    [')'] = P, ['*'] = T, ['+'] = T, [','] = P, ['-'] = T, ['.'] = T, ['/'] = P,
    ['0'] = T, ['1'] = T, ['2'] = T, ['3'] = T, ['4'] = T, ['5'] = T, ['6'] = T, ['7'] = T,
    ['8'] = T, ['9'] = T,
    [':'] = P, [';'] = P, ['<'] = P, ['='] = P, ['>'] = P, ['?'] = P, ['@'] = P,
    ['A'] = T, ['B'] = T, ['C'] = T, ['D'] = T, ['E'] = T, ['F'] = T, ['G'] = T, ['H'] = T,
    ['I'] = T, ['J'] = T, ['K'] = T, ['L'] = T, ['M'] = T, ['N'] = T, ['O'] = T, ['P'] = T,
    ['Q'] = T, ['R'] = T, ['S'] = T, ['T'] = T, ['U'] = T, ['V'] = T, ['W'] = T, ['X'] = T,
    ['Y'] = T, ['Z'] = T,
    ['['] = P, ['\\'] = P, [']'] = P, ['^'] = T, ['_'] = T, ['`'] = T,
    ['a'] = T, ['b'] = T, ['c'] = T, ['d'] = T, ['e'] = T, ['f'] = T, ['g'] = T, ['h'] = T,
    ['i'] = T, ['j'] = T, ['k'] = T, ['l'] = T, ['m'] = T, ['n'] = T, ['o'] = T, ['p'] = T,
    ['q'] = T, ['r'] = T, ['s'] = T, ['t'] = T, ['u'] = T, ['v'] = T, ['w'] = T, ['x'] = T,
    ['y'] = T, ['z'] = T,
    ['{'] = P, ['|'] = T, ['}'] = P, ['~'] = T,
};
/* clang-format on */
#undef T
#undef P
#undef V

static bool all_of(const char *text, size_t len, uint8_t class)
{
    for (size_t i = 0; i < len; i++) {
        if ((classes[(uint8_t)text[i]] & class) == 0) {
            return false;
        }
    }
    return true;
}

bool http_is_token_char(uint8_t c)
{
    return (classes[c] & TOKEN) != 0;
}

bool http_is_token(const char *text, size_t len)
{
    return len > 0 && all_of(text, len, TOKEN);
}

bool http_same_name(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

bool http_method_valid(const char *text, size_t len)
{
    static const char *const methods[] = {"GET",    "HEAD",    "POST",    "PUT",   "PATCH",
                                          "DELETE", "OPTIONS", "CONNECT", "TRACE", "PRI"};
    if (!http_is_token(text, len)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        size_t n = strlen(methods[i]);
        if (http_same_name(text, len, methods[i], n)) {
            return memcmp(text, methods[i], n) == 0;
        }
    }
    return true;
}

bool http_path_valid(const char *text, size_t len)
{
    if (len == 1 && text[0] == '*') {
        return true;
    }
    if (len == 0 || text[0] != '/' || !all_of(text, len, TARGET)) {
        return false;
    }
    const char *query = memchr(text, '?', len);
    size_t path = query == NULL ? len : (size_t)(query - text);
    return memchr(text, '\\', path) == NULL;
}

bool http_value_valid(const char *text, size_t len)
{
    if (len == 0) {
        return true;
    }
    if (text[0] == ' ' || text[0] == '\t' || text[len - 1] == ' ' || text[len - 1] == '\t') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((classes[(uint8_t)text[i]] & VALUE) == 0 && (uint8_t)text[i] < 0x80) {
            return false;
        }
    }
    return true;
}

int http_authority_split(const char *text, size_t len, const char **ret_host, size_t *ret_host_len,
                         const char **ret_port, size_t *ret_port_len)
{
    const char *host = text;
    size_t host_len = len;
    size_t colon = len; /* where the port begins */
    if (len == 0 || memchr(text, '@', len) != NULL) {
        return -EINVAL;
    }
    if (text[0] == '[') {
        const char *close = memchr(text, ']', len);
        if (close == NULL) {
            return -EINVAL;
        }
        host = text + 1;
        host_len = (size_t)(close - host);
        colon = host_len + 2;
    } else {
        const char *at = memchr(text, ':', len);
        if (at != NULL) {
            colon = host_len = (size_t)(at - text);
        }
    }
    size_t digits = colon < len ? len - colon - 1 : 0;
    if (host_len == 0 || digits > 5 || (colon < len && text[colon] != ':')) {
        return -EINVAL;
    }
    for (size_t i = len - digits; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -EINVAL;
        }
    }
    *ret_host = host;
    *ret_host_len = host_len;
    *ret_port = text + len - digits;
    *ret_port_len = digits;
    return 0;
}

int http_authority_parse(const char *text, size_t len, struct http_host *ret)
{
    const char *host, *port;
    size_t host_len, port_len;
    struct http_host found = {.port = 0};
    int r = http_authority_split(text, len, &host, &host_len, &port, &port_len);
    if (r < 0) {
        return r;
    }
    unsigned number = 0;
    for (size_t i = 0; i < port_len; i++) {
        number = number * 10 + (unsigned)(port[i] - '0');
    }
    if (number > UINT16_MAX || (port_len > 0 && number == 0)) {
        return -EINVAL;
    }
    found.port = (uint16_t)number;
    found.is_address = ln_addr_parse(host, host_len, &found.address) == 0;
    if (text[0] == '[' && (!found.is_address || memchr(host, ':', host_len) == NULL)) {
        return -EINVAL;
    }
    for (size_t i = 0; i < host_len; i++) {
        if ((uint8_t)host[i] >= 0x80) { /* a name on the wire is in A-labels */
            return -EINVAL;
        }
    }
    if (!found.is_address && ln_name_canonical(host, host_len, found.name, NULL) < 0) {
        return -EINVAL;
    }
    *ret = found;
    return 0;
}
