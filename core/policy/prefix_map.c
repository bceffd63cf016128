/* Prefixes either nest or are disjoint, so a sweep over them in order with a stack of those still
 * open yields the intervals. */
#include "policy/prefix_map.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

enum { MAX_NESTED = 129 /* one of each length from 0 to 128 */ };

/* A place in the space of one family. */
struct point {
    uint64_t high, low;
};

struct open_prefix {
    uint32_t number;
    struct point last; /* its last address */
};

struct sweep {
    struct prefix_space *space;
    struct open_prefix open[MAX_NESTED];
    uint32_t n_open;
};

static struct point point_of(const ln_addr *addr, bool v4)
{
    if (v4) {
        return (struct point){.high = get_be32(addr->bytes + 12), .low = 0};
    }
    return (struct point){.high = get_be64(addr->bytes), .low = get_be64(addr->bytes + 8)};
}

static int point_compare(struct point a, struct point b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    return (a.low > b.low) - (a.low < b.low);
}

/* `bits` low bits set, all 64 at most. */
static uint64_t ones(unsigned bits)
{
    return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

static struct point last_of(const ln_prefix *prefix, bool v4)
{
    struct point last = point_of(&prefix->addr, v4);
    unsigned host_bits = 128u - prefix->bits;
    if (v4) {
        last.high |= ones(host_bits);
    } else {
        last.low |= ones(host_bits);
        last.high |= ones(host_bits > 64 ? host_bits - 64 : 0);
    }
    return last;
}

/* Steps to the point behind. False at the end of the space. */
static bool point_next(struct point *point, bool v4)
{
    if (v4) {
        return point->high++ != UINT32_MAX;
    }
    point->low++;
    point->high += point->low == 0;
    return point->high != 0 || point->low != 0;
}

int prefix_compare(const ln_prefix *a, const ln_prefix *b)
{
    bool a4 = ln_prefix_is_v4(a);
    bool b4 = ln_prefix_is_v4(b);
    if (a4 != b4) {
        return a4 ? -1 : 1;
    }
    int order = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
    return order != 0 ? order : (a->bits > b->bits) - (a->bits < b->bits);
}

/* From `start` on the most specific prefix is `number`, as far as is known yet. */
static void emit(struct prefix_space *s, struct point start, uint32_t number)
{
    uint32_t at = s->count;
    if (at > 0 && s->high[at - 1] == start.high &&
        (s->low == NULL || s->low[at - 1] == start.low)) {
        at--; /* the interval before is empty */
    }
    if (at > 0 && s->prefix[at - 1] == number) {
        s->count = at;
        return;
    }
    s->high[at] = start.high;
    if (s->low != NULL) {
        s->low[at] = start.low;
    }
    s->prefix[at] = number;
    s->count = at + 1;
}

static uint32_t innermost(const struct sweep *sweep)
{
    return sweep->n_open == 0 ? PREFIX_NONE : sweep->open[sweep->n_open - 1].number;
}

/* Closes the prefixes that end before `until` (NULL: all). */
static void close_before(struct sweep *sweep, const struct point *until)
{
    bool v4 = sweep->space->low == NULL;
    while (sweep->n_open > 0) {
        struct point end = sweep->open[sweep->n_open - 1].last;
        if (until != NULL && point_compare(end, *until) >= 0) {
            return;
        }
        sweep->n_open--;
        if (point_next(&end, v4)) {
            emit(sweep->space, end, innermost(sweep));
        }
    }
}

/* Fits the index to the intervals: about as many slots as intervals, over the stretch in which
 * they start, so that a policy whose prefixes all lie in one corner of the space profits too. */
static int build_index(struct prefix_space *s, struct arena *arena)
{
    s->base = s->count > 1 ? s->high[1] : 0; /* the first interval needs no slot */
    uint64_t span = s->high[s->count - 1] - s->base;
    while ((span >> s->shift) > s->count) {
        s->shift++;
    }
    s->n_slots = (uint32_t)(span >> s->shift) + 1;
    s->index = arena_array(arena, (size_t)s->n_slots + 1, sizeof(*s->index));
    if (s->index == NULL) {
        return -ENOMEM;
    }
    uint32_t interval = 1;
    for (uint32_t slot = 0; slot < s->n_slots; slot++) {
        while (interval < s->count && (s->high[interval] - s->base) >> s->shift < slot) {
            interval++;
        }
        s->index[slot] = interval;
    }
    s->index[s->n_slots] = s->count;
    return 0;
}

static int build_space(struct prefix_space *space, struct arena *arena, bool v4,
                       const ln_prefix *prefixes, uint32_t from, uint32_t to, uint32_t *parents)
{
    *space = (struct prefix_space){0};
    if (from == to) {
        return 0;
    }
    size_t room = 2 * (size_t)(to - from) + 1; /* each prefix opens one interval and closes one */
    space->high = arena_array(arena, room, sizeof(*space->high));
    space->low = v4 ? NULL : arena_array(arena, room, sizeof(*space->low));
    space->prefix = arena_array(arena, room, sizeof(*space->prefix));
    if (space->high == NULL || (space->low == NULL && !v4) || space->prefix == NULL) {
        return -ENOMEM;
    }
    struct sweep sweep = {.space = space};
    emit(space, (struct point){0}, PREFIX_NONE);
    for (uint32_t i = from; i < to; i++) {
        struct point start = point_of(&prefixes[i].addr, v4);
        close_before(&sweep, &start);
        parents[i] = innermost(&sweep);
        emit(space, start, i);
        sweep.open[sweep.n_open++] =
            (struct open_prefix){.number = i, .last = last_of(&prefixes[i], v4)};
    }
    close_before(&sweep, NULL);
    return build_index(space, arena);
}

int prefix_map_build(struct prefix_map *map, struct arena *arena, const ln_prefix *prefixes,
                     uint32_t n, uint32_t *parents)
{
    uint32_t n_v4 = 0;
    while (n_v4 < n && ln_prefix_is_v4(&prefixes[n_v4])) {
        n_v4++;
    }
    int r = build_space(&map->v4, arena, true, prefixes, 0, n_v4, parents);
    return r < 0 ? r : build_space(&map->v6, arena, false, prefixes, n_v4, n, parents);
}

static bool starts_at_or_before(const struct prefix_space *s, uint32_t i, struct point key)
{
    if (s->high[i] != key.high) {
        return s->high[i] < key.high;
    }
    return s->low == NULL || s->low[i] <= key.low;
}

static uint32_t space_find(const struct prefix_space *s, struct point key)
{
    if (s->count == 0) {
        return PREFIX_NONE;
    }
    if (key.high < s->base) {
        return s->prefix[0];
    }
    uint64_t slot = (key.high - s->base) >> s->shift;
    slot = slot < s->n_slots ? slot : s->n_slots - 1;
    /* The interval that holds the key starts in its slot, or is the last one before that. */
    uint32_t low = s->index[slot] - 1;
    uint32_t count = s->index[slot + 1] - low;
    while (count > 1) {
        uint32_t half = count / 2;
        low = starts_at_or_before(s, low + half, key) ? low + half : low;
        count -= half;
    }
    return s->prefix[low];
}

uint32_t prefix_map_find(const struct prefix_map *map, const ln_addr *addr)
{
    bool v4 = ln_addr_is_v4(addr);
    return space_find(v4 ? &map->v4 : &map->v6, point_of(addr, v4));
}
