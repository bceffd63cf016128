/* Addresses and prefixes as text and back. Parsing is strict: no octal, no short forms, no zones,
 * nothing around the address. */
#include "lunette/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

enum { MAPPED_BITS = 96, GROUPS = 8 };

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

ln_addr ln_addr_v4(uint32_t host_order)
{
    ln_addr addr;
    memcpy(addr.bytes, mapped, sizeof(mapped));
    put_be32(addr.bytes + sizeof(mapped), host_order);
    return addr;
}

bool ln_addr_is_v4(const ln_addr *addr)
{
    return memcmp(addr->bytes, mapped, sizeof(mapped)) == 0;
}

uint32_t ln_addr_to_v4(const ln_addr *addr)
{
    return get_be32(addr->bytes + sizeof(mapped));
}

bool ln_addr_equal(const ln_addr *a, const ln_addr *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int ln_addr_compare(const ln_addr *a, const ln_addr *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int ln_addr_parse(const char *text, size_t len, ln_addr *ret)
{
    char terminated[LN_ADDR_TEXT_MAX];
    if (len >= sizeof(terminated) || memchr(text, '\0', len) != NULL) {
        return -EINVAL;
    }
    memcpy(terminated, text, len);
    terminated[len] = '\0';
    struct in_addr v4;
    if (inet_pton(AF_INET, terminated, &v4) == 1) {
        *ret = ln_addr_v4(ntohl(v4.s_addr));
        return 0;
    }
    struct in6_addr v6;
    if (inet_pton(AF_INET6, terminated, &v6) == 1) {
        memcpy(ret->bytes, v6.s6_addr, sizeof(ret->bytes));
        return 0;
    }
    return -EINVAL;
}

/* RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equal ones.
 * Returns where it starts, GROUPS when there is none. */
static int longest_zero_run(const ln_addr *addr, int *ret_len)
{
    int best = GROUPS;
    *ret_len = 1;
    for (int at = 0, run = 0; at < GROUPS; at++) {
        run = get_be16(addr->bytes + 2 * at) == 0 ? run + 1 : 0;
        if (run > *ret_len) {
            *ret_len = run;
            best = at - run + 1;
        }
    }
    return best;
}

/* Not inet_ntop(): that writes ::102:304 as ::1.2.3.4. */
static size_t format_v6(const ln_addr *addr, char dst[LN_ADDR_TEXT_MAX])
{
    int zeros;
    int gap = longest_zero_run(addr, &zeros);
    size_t len = 0;
    for (int at = 0; at < GROUPS; at++) {
        if (at == gap) {
            dst[len++] = ':';
            at += zeros - 1;
            if (at == GROUPS - 1) {
                dst[len++] = ':';
            }
            continue;
        }
        len += (size_t)snprintf(dst + len, LN_ADDR_TEXT_MAX - len, "%s%x", at > 0 ? ":" : "",
                                (unsigned)get_be16(addr->bytes + 2 * at));
    }
    dst[len] = '\0';
    return len;
}

size_t ln_addr_format(const ln_addr *addr, char dst[LN_ADDR_TEXT_MAX])
{
    if (!ln_addr_is_v4(addr)) {
        return format_v6(addr, dst);
    }
    const uint8_t *v4 = addr->bytes + sizeof(mapped);
    return (size_t)snprintf(dst, LN_ADDR_TEXT_MAX, "%u.%u.%u.%u", (unsigned)v4[0], (unsigned)v4[1],
                            (unsigned)v4[2], (unsigned)v4[3]);
}

/* Clears the bits behind the prefix. Returns whether any was set. */
static bool clear_host_bits(ln_prefix *prefix)
{
    bool set = false;
    for (unsigned i = 0; i < sizeof(prefix->addr.bytes); i++) {
        unsigned kept = prefix->bits <= 8 * i ? 0 : prefix->bits - 8 * i;
        uint8_t host = (uint8_t)(kept >= 8 ? 0 : 0xff >> kept);
        set = set || (prefix->addr.bytes[i] & host) != 0;
        prefix->addr.bytes[i] = (uint8_t)(prefix->addr.bytes[i] & ~host);
    }
    return set;
}

int ln_prefix_parse(const char *text, size_t len, ln_prefix *ret)
{
    const char *slash = memchr(text, '/', len);
    if (slash == NULL) {
        return -EINVAL;
    }
    ln_prefix prefix;
    size_t addr_len = (size_t)(slash - text);
    if (ln_addr_parse(text, addr_len, &prefix.addr) < 0) {
        return -EINVAL;
    }
    bool dotted = memchr(text, ':', addr_len) == NULL;
    const char *digits = slash + 1;
    size_t n_digits = len - addr_len - 1;
    unsigned bits = 0;
    if (n_digits < 1 || n_digits > 3 || (digits[0] == '0' && n_digits > 1)) {
        return -EINVAL;
    }
    for (size_t i = 0; i < n_digits; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return -EINVAL;
        }
        bits = bits * 10 + (unsigned)(digits[i] - '0');
    }
    if (bits > (dotted ? 32 : 128)) {
        return -EINVAL;
    }
    prefix.bits = (uint8_t)(dotted ? MAPPED_BITS + bits : bits);
    bool host_bits = clear_host_bits(&prefix);
    *ret = prefix;
    return host_bits ? -ERANGE : 0;
}

bool ln_prefix_is_v4(const ln_prefix *prefix)
{
    return prefix->bits >= MAPPED_BITS && ln_addr_is_v4(&prefix->addr);
}

size_t ln_prefix_format(const ln_prefix *prefix, char dst[LN_PREFIX_TEXT_MAX])
{
    bool v4 = ln_prefix_is_v4(prefix);
    size_t len = ln_addr_format(&prefix->addr, dst);
    unsigned bits = v4 ? prefix->bits - (unsigned)MAPPED_BITS : prefix->bits;
    return len + (size_t)snprintf(dst + len, LN_PREFIX_TEXT_MAX - len, "/%u", bits);
}

bool ln_prefix_contains(const ln_prefix *prefix, const ln_addr *addr)
{
    if (ln_prefix_is_v4(prefix) != ln_addr_is_v4(addr)) {
        return false;
    }
    size_t whole = prefix->bits / 8;
    unsigned rest = prefix->bits % 8;
    return memcmp(prefix->addr.bytes, addr->bytes, whole) == 0 &&
           (rest == 0 || (prefix->addr.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest) == 0);
}
