/* Longest-prefix lookup over a fixed set of prefixes, flattened into sorted disjoint intervals: one
 * binary search, narrowed by an index, finds the most specific prefix of an address. The two
 * families are separate spaces: ::/0 holds no IPv4 address. */
#ifndef LN_POLICY_PREFIX_MAP_H
#define LN_POLICY_PREFIX_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "lunette/address.h"

#define PREFIX_NONE UINT32_MAX

/* One family. Interval i reaches from its start to before that of i + 1; the first starts at 0. */
struct prefix_space {
    uint64_t *high;   /* of the start: IPv6: the first 8 bytes; IPv4: all 4 */
    uint64_t *low;    /* of the start: IPv6: the last 8 bytes; IPv4: NULL, counts as 0 */
    uint32_t *prefix; /* number of the most specific prefix, PREFIX_NONE: in none */
    uint32_t count;   /* 0: the family has no prefix */

    /* Slot (high - base) >> shift of the index holds the first interval that starts in that slot or
     * a later one; one more entry ends the last slot. */
    uint32_t *index;
    uint64_t base;
    uint32_t n_slots;
    unsigned shift;
};

struct prefix_map {
    struct prefix_space v4, v6;
};

/* Order of prefix_map_build(): IPv4 first, then by address, enclosing before enclosed. */
int prefix_compare(const ln_prefix *a, const ln_prefix *b);
/* Builds the map of `n` distinct prefixes in the order of prefix_compare(), numbered from 0. Memory
 * is of `arena`. Writes for each prefix the number of the closest one that encloses it, or
 * PREFIX_NONE, to parents[0..n). Returns 0 or -ENOMEM. */
int prefix_map_build(struct prefix_map *map, struct arena *arena, const ln_prefix *prefixes,
                     uint32_t n, uint32_t *parents);
/* The most specific prefix that holds `addr`, or PREFIX_NONE. */
uint32_t prefix_map_find(const struct prefix_map *map, const ln_addr *addr);

#endif
