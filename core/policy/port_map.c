/* Building port maps: cut 0-65535 at every boundary of the members' ranges, then paint the pieces
 * in the order of the rules, never over paint. */
#include "policy/port_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS_END = 65536 };

/* `old` with room for `want` elements of `size` bytes, at least doubled so that growing stays
 * linear. Returns NULL when out of memory; then `old` is as it was. */
static void *grow(void *old, uint32_t *room, uint64_t want, size_t size)
{
    if (want <= *room) {
        return old;
    }
    uint64_t to = *room < 64 ? 64 : *room;
    while (to < want) {
        to *= 2;
    }
    void *bigger = to > UINT32_MAX ? NULL : reallocarray(old, (size_t)to, size);
    if (bigger != NULL) {
        *room = (uint32_t)to;
    }
    return bigger;
}

static int compare_pieces(const void *a, const void *b)
{
    const struct port_piece *x = a;
    const struct port_piece *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Fills `pieces` with the distinct boundaries in order; the last one, PORTS_END, only ends the one
 * before. There is room for all. Returns the number of pieces without that last one. */
static uint32_t cut(struct port_piece *pieces, const ln_rule *rules, const uint32_t *members,
                    uint32_t n)
{
    uint32_t count = 0;
    pieces[count++].first = 0;
    pieces[count++].first = PORTS_END;
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = &rules[members[i]];
        for (size_t k = 0; k < rule->n_ports; k++) {
            pieces[count++].first = rule->ports[k].first;
            pieces[count++].first = (uint32_t)rule->ports[k].last + 1;
        }
    }
    qsort(pieces, count, sizeof(*pieces), compare_pieces);
    uint32_t distinct = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (distinct == 0 || pieces[i].first != pieces[distinct - 1].first) {
            pieces[distinct].first = pieces[i].first;
            pieces[distinct].rule = RULE_NONE;
            pieces[distinct].next = distinct;
            distinct++;
        }
    }
    return distinct - 1;
}

/* The first piece from `i` on without paint. The ways past painted runs are shortened as they are
 * walked, so that no run is walked often. */
static uint32_t unpainted(struct port_piece *pieces, uint32_t i)
{
    while (pieces[i].next != i) {
        pieces[i].next = pieces[pieces[i].next].next;
        i = pieces[i].next;
    }
    return i;
}

/* The piece that starts at `port`, a boundary. */
static uint32_t piece_at(const struct port_piece *pieces, uint32_t n_pieces, uint32_t port)
{
    struct port_piece key = {.first = port};
    const struct port_piece *found =
        bsearch(&key, pieces, (size_t)n_pieces + 1, sizeof(key), compare_pieces);
    return found == NULL ? n_pieces : (uint32_t)(found - pieces);
}

/* Gives `rule` the ports from `first` up to before `end` that no earlier rule has. */
static void paint(struct port_piece *pieces, uint32_t n_pieces, uint32_t first, uint32_t end,
                  uint32_t rule)
{
    uint32_t stop = piece_at(pieces, n_pieces, end);
    uint32_t i = unpainted(pieces, piece_at(pieces, n_pieces, first));
    while (i < stop) {
        pieces[i].rule = rule;
        pieces[i].next = i + 1;
        i = unpainted(pieces, i + 1);
    }
}

/* Adds the painted pieces as a map, neighbours of one rule as one segment. Returns 0 or -ENOMEM. */
static int append(struct port_builder *b, uint32_t n_pieces, uint32_t *ret_map)
{
    struct port_segment *segments =
        grow(b->segments, &b->segments_room, (uint64_t)b->n_segments + n_pieces, sizeof(*segments));
    if (segments == NULL) {
        return -ENOMEM;
    }
    b->segments = segments;
    struct port_map *maps = grow(b->maps, &b->maps_room, (uint64_t)b->n_maps + 1, sizeof(*maps));
    if (maps == NULL) {
        return -ENOMEM;
    }
    b->maps = maps;
    struct port_map map = {.start = b->n_segments, .count = 0};
    for (uint32_t i = 0; i < n_pieces; i++) {
        if (i > 0 && b->pieces[i].rule == b->pieces[i - 1].rule) {
            continue;
        }
        segments[map.start + map.count++] =
            (struct port_segment){.rule = b->pieces[i].rule, .first = (uint16_t)b->pieces[i].first};
    }
    maps[b->n_maps] = map;
    b->n_segments += map.count;
    *ret_map = b->n_maps++;
    return 0;
}

int port_builder_add(struct port_builder *b, const ln_rule *rules, const uint32_t *members,
                     uint32_t n, uint32_t *ret_map)
{
    uint64_t n_ranges = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_ranges += rules[members[i]].n_ports;
        if (rules[members[i]].n_ports == 0) {
            n = i + 1; /* holds every port: nothing behind it can come first */
        }
    }
    struct port_piece *pieces = grow(b->pieces, &b->pieces_room, 2 * n_ranges + 2, sizeof(*pieces));
    if (pieces == NULL) {
        return -ENOMEM;
    }
    b->pieces = pieces;
    uint32_t n_pieces = cut(pieces, rules, members, n);
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = &rules[members[i]];
        for (size_t k = 0; k < rule->n_ports; k++) {
            uint32_t end = (uint32_t)rule->ports[k].last + 1;
            paint(pieces, n_pieces, rule->ports[k].first, end, members[i]);
        }
        if (rule->n_ports == 0) {
            paint(pieces, n_pieces, 0, PORTS_END, members[i]);
        }
    }
    return append(b, n_pieces, ret_map);
}

int port_builder_freeze(const struct port_builder *b, struct arena *arena, struct port_table *ret)
{
    struct port_segment *segments = arena_array(arena, b->n_segments, sizeof(*segments));
    struct port_map *maps = arena_array(arena, b->n_maps, sizeof(*maps));
    if (segments == NULL || maps == NULL) {
        return -ENOMEM;
    }
    if (b->n_maps > 0) {
        memcpy(segments, b->segments, b->n_segments * sizeof(*segments));
        memcpy(maps, b->maps, b->n_maps * sizeof(*maps));
    }
    *ret = (struct port_table){
        .segments = segments, .maps = maps, .n_segments = b->n_segments, .n_maps = b->n_maps};
    return 0;
}

void port_builder_free(struct port_builder *b)
{
    free(b->segments);
    free(b->maps);
    free(b->pieces);
    *b = (struct port_builder){0};
}
