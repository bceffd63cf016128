/* Where an address is registered, by databases of MaxMind's format (libmaxminddb). */
#ifndef LN_POLICY_GEO_H
#define LN_POLICY_GEO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/value.h"
#include "lunette/policy.h"

/* Two letters as a number. */
enum { GEO_CODES = 26 * 26, GEO_NONE = 0xffff };

/* What is known of one address. */
struct geo_place {
    uint16_t country, continent; /* GEO_NONE: unknown */
    uint32_t asn;                /* 0: unknown */
    bool failed;                 /* a database turned out to be corrupt */
};

#define GEO_NOWHERE ((struct geo_place){.country = GEO_NONE, .continent = GEO_NONE})

struct geo;

/* The number of a code in upper case, or GEO_NONE. */
uint16_t geo_code(const char *text, size_t len);
/* The reverse: two letters and a terminator, or "". */
void geo_code_text(uint16_t code, char dst[3]);

/* Opens the databases that `geoip` of a policy's configuration names, relative paths from where the
 * policy's file is. *ret is NULL where it names none. Returns 0, or -EINVAL with each that cannot
 * be used added to `problems`, or -ENOMEM. */
int geo_open(const struct ln_value *config, struct geo **ret, ln_problems *problems);
struct geo *geo_close(struct geo *geo);

/* Looks an address up; one that embeds an IPv4 address by that. `geo` may be NULL: nothing is
 * known. */
void geo_locate(const struct geo *geo, const ln_addr *addr, struct geo_place *ret);

#endif
