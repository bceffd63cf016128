/* Addresses and prefixes. An IPv4 address is held as its IPv4-mapped IPv6 form (RFC 4291
 * section 2.5.5.2), so that one type and one comparison serve both families and a mapped address
 * is the IPv4 address by construction. */
#ifndef LUNETTE_ADDRESS_H
#define LUNETTE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ln_addr {
    uint8_t bytes[16]; /* network byte order */
} ln_addr;

/* `bits` counts from the front of the 16 bytes: 10.0.0.0/8 has 104 bits. Bits behind are zero. */
typedef struct ln_prefix {
    ln_addr addr;
    uint8_t bits; /* 0-128 */
} ln_prefix;

#define LN_ADDR_TEXT_MAX   46 /* with the terminator */
#define LN_PREFIX_TEXT_MAX 50 /* with the terminator */

/* The address a.b.c.d given in host order. */
LN_API ln_addr ln_addr_v4(uint32_t host_order);
/* Whether `addr` is an IPv4 address (mapped form). */
LN_API bool ln_addr_is_v4(const ln_addr *addr);
/* The IPv4 address in host order; only meaningful where ln_addr_is_v4(). */
LN_API uint32_t ln_addr_to_v4(const ln_addr *addr);
LN_API bool ln_addr_equal(const ln_addr *a, const ln_addr *b);
/* Byte-wise order: <0, 0, >0. */
LN_API int ln_addr_compare(const ln_addr *a, const ln_addr *b);
/* Parses dotted-quad IPv4 (four decimal parts without leading zeros) or RFC 4291 IPv6 text, without
 * zone or brackets. Returns 0 and writes *ret, or -EINVAL. */
LN_API int ln_addr_parse(const char *text, size_t len, ln_addr *ret);
/* Writes the canonical text (RFC 5952; IPv4 as dotted quad). Returns its length. */
LN_API size_t ln_addr_format(const ln_addr *addr, char dst[LN_ADDR_TEXT_MAX]);
/* Parses "ADDR/BITS". Returns 0; -EINVAL when malformed; -ERANGE when host bits are set
 * (then *ret holds the prefix with those bits cleared). */
LN_API int ln_prefix_parse(const char *text, size_t len, ln_prefix *ret);
/* Writes the canonical text. Returns its length. */
LN_API size_t ln_prefix_format(const ln_prefix *prefix, char dst[LN_PREFIX_TEXT_MAX]);
/* Whether the prefix is of IPv4: at or below ::ffff:0:0/96. */
LN_API bool ln_prefix_is_v4(const ln_prefix *prefix);
/* Whether `addr` is in the prefix. The two families are apart: ::/0 holds no IPv4 address. */
LN_API bool ln_prefix_contains(const ln_prefix *prefix, const ln_addr *addr);

#ifdef __cplusplus
}
#endif
#endif
