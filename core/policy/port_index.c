/* Leaves are the stretches of ports between the ends of spans. */
#include "policy/port_index.h"

#include <errno.h>
#include <stdlib.h>

int port_spans_add(struct port_spans *spans, uint16_t first, uint16_t last, uint32_t rule)
{
    struct port_span *before = spans->n > 0 ? &spans->at[spans->n - 1] : NULL;
    if (before != NULL && before->rule == rule && before->last + 1u == first) {
        before->last = last;
        return 0;
    }
    if (spans->n == spans->room) {
        uint32_t room = spans->room < 64 ? 64 : 2 * spans->room;
        struct port_span *at =
            room < spans->room ? NULL : reallocarray(spans->at, room, sizeof(*at));
        if (at == NULL) {
            return -ENOMEM;
        }
        spans->at = at;
        spans->room = room;
    }
    spans->at[spans->n++] = (struct port_span){first, last, rule};
    return 0;
}

static int compare_spans(const void *a, const void *b)
{
    const struct port_span *x = a;
    const struct port_span *y = b;
    if (x->rule != y->rule) {
        return x->rule < y->rule ? -1 : 1;
    }
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first)
                                : (x->last > y->last) - (x->last < y->last);
}

void port_spans_sort(struct port_spans *spans)
{
    if (spans->n == 0) {
        return;
    }
    qsort(spans->at, spans->n, sizeof(*spans->at), compare_spans);
    uint32_t n = 1;
    for (uint32_t i = 1; i < spans->n; i++) {
        if (compare_spans(&spans->at[i], &spans->at[n - 1]) != 0) {
            spans->at[n++] = spans->at[i];
        }
    }
    spans->n = n;
}

void port_spans_free(struct port_spans *spans)
{
    free(spans->at);
    *spans = (struct port_spans){0};
}

static int compare_cuts(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* The leaf that holds the port, or the first one behind it. */
static uint32_t leaf_of(const struct port_index *index, uint32_t port)
{
    uint32_t low = 0;
    uint32_t count = index->n_leaves;
    while (count > 1) {
        uint32_t half = count / 2;
        low = index->cuts[low + half] <= port ? low + half : low;
        count -= half;
    }
    return low;
}

static int build_leaves(struct port_index *index, struct arena *arena,
                        const struct port_spans *spans)
{
    index->cuts = arena_array(arena, 2 * (size_t)spans->n + 1, sizeof(*index->cuts));
    if (index->cuts == NULL) {
        return -ENOMEM;
    }
    uint32_t n = 1; /* the first leaf starts at 0 */
    for (uint32_t i = 0; i < spans->n; i++) {
        index->cuts[n++] = spans->at[i].first;
        index->cuts[n++] = spans->at[i].last + 1u;
    }
    qsort(index->cuts, n, sizeof(*index->cuts), compare_cuts);
    index->n_leaves = 1;
    for (uint32_t i = 1; i < n; i++) {
        if (index->cuts[i] != index->cuts[index->n_leaves - 1]) {
            index->cuts[index->n_leaves++] = index->cuts[i];
        }
    }
    index->width = 1;
    while (index->width < index->n_leaves) {
        index->width *= 2;
    }
    return 0;
}

/* Counts the rule to the node's list, or writes it there once that has its place. */
static void lists_put(struct node_lists *lists, uint32_t node, uint32_t rule)
{
    if (lists->rules == NULL) {
        lists->start[node + 2]++;
    } else {
        lists->rules[lists->start[node + 1]++] = rule;
    }
}

/* Gives each list its place once all are counted. */
static int lists_lay(struct node_lists *lists, struct arena *arena, uint32_t n_nodes)
{
    for (uint32_t k = 1; k <= n_nodes; k++) {
        lists->start[k + 1] += lists->start[k];
    }
    lists->rules = arena_array(arena, lists->start[n_nodes + 1] + 1u, sizeof(*lists->rules));
    return lists->rules == NULL ? -ENOMEM : 0;
}

static void put_span(struct port_index *index, const struct port_span *span)
{
    uint32_t low = leaf_of(index, span->first) + index->width;
    uint32_t end = leaf_of(index, span->last) + index->width + 1;
    for (uint32_t node = low; node > 0; node /= 2) {
        lists_put(&index->starts, node, span->rule);
    }
    for (; low < end; low /= 2, end /= 2) {
        if ((low & 1) != 0) {
            lists_put(&index->all, low++, span->rule);
        }
        if ((end & 1) != 0) {
            lists_put(&index->all, --end, span->rule);
        }
    }
}

static void put_spans(struct port_index *index, const struct port_spans *spans,
                      bool (*keep)(void *user, uint32_t rule), void *user)
{
    for (uint32_t i = 0; i < spans->n; i++) {
        if (keep == NULL || keep(user, spans->at[i].rule)) {
            put_span(index, &spans->at[i]);
        }
    }
}

int port_index_build(struct port_index *index, struct arena *arena, const struct port_spans *spans,
                     bool (*keep)(void *user, uint32_t rule), void *user)
{
    *index = (struct port_index){0};
    if (build_leaves(index, arena, spans) < 0) {
        return -ENOMEM;
    }
    uint32_t n_nodes = 2 * index->width;
    index->all.start = arena_array(arena, n_nodes + 2, sizeof(*index->all.start));
    index->starts.start = arena_array(arena, n_nodes + 2, sizeof(*index->starts.start));
    if (index->all.start == NULL || index->starts.start == NULL) {
        return -ENOMEM;
    }
    put_spans(index, spans, keep, user);
    if (lists_lay(&index->all, arena, n_nodes) < 0 ||
        lists_lay(&index->starts, arena, n_nodes) < 0) {
        return -ENOMEM;
    }
    put_spans(index, spans, keep, user);
    return 0;
}

/* Whether the node's list has a rule above `above` and below `end`. */
static bool list_has(const struct node_lists *lists, uint32_t node, uint32_t above, uint64_t end)
{
    uint32_t low = lists->start[node];
    uint32_t high = lists->start[node + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (lists->rules[middle] <= above) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < lists->start[node + 1] && lists->rules[low] < end;
}

bool port_index_has(const struct port_index *index, uint16_t first, uint16_t last, uint32_t above,
                    uint64_t end)
{
    uint32_t low = leaf_of(index, first) + index->width;
    for (uint32_t node = low; node > 0; node /= 2) {
        if (list_has(&index->all, node, above, end)) {
            return true;
        }
    }
    /* Spans that do not hold the first port have to start behind it. */
    uint32_t stop = leaf_of(index, last) + index->width + 1;
    for (low++; low < stop; low /= 2, stop /= 2) {
        if (((low & 1) != 0 && list_has(&index->starts, low++, above, end)) ||
            ((stop & 1) != 0 && list_has(&index->starts, --stop, above, end))) {
            return true;
        }
    }
    return false;
}

uint32_t port_index_max(const struct port_index *index, uint16_t port, uint16_t *ret_last)
{
    uint32_t leaf = leaf_of(index, port);
    uint32_t max = 0;
    for (uint32_t node = leaf + index->width; node > 0; node /= 2) {
        if (index->all.start[node + 1] > index->all.start[node]) {
            uint32_t last = index->all.rules[index->all.start[node + 1] - 1];
            max = last > max ? last : max;
        }
    }
    *ret_last = leaf + 1 < index->n_leaves ? (uint16_t)(index->cuts[leaf + 1] - 1) : UINT16_MAX;
    return max;
}
