/* Which rule comes first at each port: piecewise-constant functions over 0-65535, many of them in
 * one table. */
#ifndef LN_POLICY_PORT_MAP_H
#define LN_POLICY_PORT_MAP_H

#include <stdint.h>

#include "base/arena.h"
#include "lunette/policy.h"

/* Rules are numbered from 0 inside the compiled tables; this is "no rule", later than any other. */
#define RULE_NONE UINT32_MAX

struct port_segment {
    uint32_t rule;  /* from `first` up to where the next segment starts; RULE_NONE: none */
    uint16_t first; /* the first segment of a map starts at 0 */
};

struct port_map {
    uint32_t start, count; /* in the table's segments; count is at least 1 */
};

/* Immutable; memory belongs to the arena it was frozen into. */
struct port_table {
    const struct port_segment *segments;
    const struct port_map *maps;
    uint32_t n_segments, n_maps;
};

/* A stretch of ports without a boundary inside, while a map is being painted. */
struct port_piece {
    uint32_t first;
    uint32_t rule; /* RULE_NONE: no paint yet */
    uint32_t next; /* itself, or a later piece that is not past the next one without paint */
};

/* A table under construction. Zero-initialise to start, end with port_builder_free(). */
struct port_builder {
    struct port_segment *segments;
    struct port_map *maps;
    struct port_piece *pieces; /* scratch of one port_builder_add() */
    uint32_t n_segments, n_maps;
    uint32_t segments_room, maps_room, pieces_room;
};

/* Adds the map of `members`: `n` indices into `rules`, ascending. Every port goes to the first
 * member whose ports hold it; a member without ports holds them all, 0 included. Writes the number
 * of the map to *ret_map. Returns 0 or -ENOMEM. */
int port_builder_add(struct port_builder *builder, const ln_rule *rules, const uint32_t *members,
                     uint32_t n, uint32_t *ret_map);
/* Copies the finished table into `arena`. Returns 0 or -ENOMEM. */
int port_builder_freeze(const struct port_builder *builder, struct arena *arena,
                        struct port_table *ret);
void port_builder_free(struct port_builder *builder);

/* The first rule at `port` in map number `map`, or RULE_NONE. */
static inline uint32_t port_table_find(const struct port_table *table, uint32_t map, uint16_t port)
{
    const struct port_segment *low = table->segments + table->maps[map].start;
    uint32_t count = table->maps[map].count;
    while (count > 1) { /* the answer is among the `count` segments from `low` on */
        uint32_t half = count / 2;
        low = low[half].first <= port ? low + half : low;
        count -= half;
    }
    return low->rule;
}

#endif
