/* What is asked of a policy, and for one such question the strips of every bucket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/terrain.h"

/* ---- views ---- */

const struct view VIEW_LIST[VIEWS] = {
    {VIEW_CONNECTION, LN_EGRESS, LN_TCP},    {VIEW_CONNECTION, LN_EGRESS, LN_UDP},
    {VIEW_CONNECTION, LN_EGRESS, LN_ICMPV4}, {VIEW_CONNECTION, LN_EGRESS, LN_ICMPV6},
    {VIEW_CONNECTION, LN_INGRESS, LN_TCP},   {VIEW_CONNECTION, LN_INGRESS, LN_UDP},
    {VIEW_QUERY, LN_EGRESS, LN_UDP},         {VIEW_QUERY, LN_EGRESS, LN_TCP},
    {VIEW_ALIAS, LN_EGRESS, LN_UDP},         {VIEW_ANSWER, LN_EGRESS, LN_UDP},
};

static bool view_has_ports(const struct view *view)
{
    return view->kind == VIEW_CONNECTION && (view->protocol == LN_TCP || view->protocol == LN_UDP);
}

uint16_t view_first_port(const struct view *view)
{
    return view_has_ports(view) ? 1 : 0; /* port 0 never gets as far as a policy */
}

uint16_t view_last_port(const struct view *view)
{
    return view_has_ports(view) ? UINT16_MAX : 0;
}

ln_action view_default(const struct view *view, const ln_settings *settings)
{
    switch (view->kind) {
    case VIEW_CONNECTION:
    case VIEW_QUERY:
        return view->direction == LN_EGRESS ? settings->default_egress : settings->default_ingress;
    case VIEW_ALIAS:
        return LN_ALLOW;
    case VIEW_ANSWER:
        break;
    }
    return settings->dns_rebind_protection ? LN_DENY : LN_ALLOW;
}

static enum part connection_part(const struct view *view, const ln_rule *rule)
{
    if (!rule_has_direction(rule, view->direction) || !rule_has_protocol(rule, view->protocol) ||
        (rule->n_ports > 0 && view->protocol != LN_TCP && view->protocol != LN_UDP)) {
        return PART_NONE;
    }
    /* What requests have to look like is not known of a connection either. */
    return rule->when != 0 || rule->http != NULL ? PART_FUNCTION : PART_FIXED;
}

enum part view_part(const struct view *view, const ln_rule *rule)
{
    if (view->kind != VIEW_CONNECTION && rule_has_entry(rule) && !rule_is_by_name(rule)) {
        return PART_NONE; /* where an address is registered counts for connections alone */
    }
    bool answers = rule_decides_answer(rule);
    switch (view->kind) {
    case VIEW_CONNECTION:
        return connection_part(view, rule);
    case VIEW_QUERY:
        if (rule_is_by_name(rule)) {
            return answers ? PART_FIXED : PART_NONE;
        }
        return rule->destination.kind != LN_DEST_PREFIX && rule_has_port(rule, view->protocol, 53)
                   ? connection_part(view, rule)
                   : PART_NONE;
    case VIEW_ALIAS:
        return answers && rule_is_by_name(rule) ? PART_FIXED : PART_NONE;
    case VIEW_ANSWER:
        return answers && !rule_is_by_name(rule) ? PART_FIXED : PART_NONE;
    }
    return PART_NONE;
}

bool view_sees(const struct view *view, const struct place *place, enum owner owner)
{
    if (!place->real || (owner == OWNER_GATEWAY && !place->pool)) {
        return false;
    }
    switch (view->kind) {
    case VIEW_CONNECTION:
        return (view->protocol != LN_ICMPV4 || place->v4) &&
               (view->protocol != LN_ICMPV6 || !place->v4) &&
               (view->direction == LN_INGRESS || !place->never);
    case VIEW_ANSWER:
        return owner != OWNER_OTHER || place->group != LN_GROUP_PUBLIC || place->reserved;
    case VIEW_QUERY:
    case VIEW_ALIAS:
        break;
    }
    return false;
}

/* ---- strips ---- */

static enum part layers_part(const struct layers *layers, const ln_rule *rule)
{
    enum part part = view_part(&layers->view, rule);
    if (part != PART_FUNCTION || layers->functions == FUNCTIONS_APART) {
        return part;
    }
    return layers->functions == FUNCTIONS_SAY_YES ? PART_FIXED : PART_NONE;
}

/* Room for the work on one strip. */
struct workshop {
    struct layers *layers;
    uint32_t *picked; /* its rules */
    uint32_t *cuts;   /* where a piece starts, and behind the last */
    uint32_t *next;   /* of each piece: itself, or a later one that is not past the next that
                         lacks a second rule */
    size_t cuts_room;
};

static int compare_cuts(const void *a, const void *b)
{
    const uint32_t *x = a;
    const uint32_t *y = b;
    return (*x > *y) - (*x < *y);
}

static bool is_portless(const struct layers *layers, const ln_rule *rule)
{
    return rule->n_ports == 0 || !view_has_ports(&layers->view);
}

/* Returns the number of pieces. */
static uint32_t cut(struct workshop *w, uint32_t n)
{
    const struct terrain *terrain = w->layers->terrain;
    const struct view *view = &w->layers->view;
    uint32_t count = 0;
    w->cuts[count++] = view_first_port(view);
    w->cuts[count++] = view_last_port(view) + 1u;
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = terrain->rules[w->picked[i]];
        for (size_t k = 0; k < rule->n_ports && !is_portless(w->layers, rule); k++) {
            w->cuts[count++] = rule->ports[k].first;
            w->cuts[count++] = rule->ports[k].last + 1u;
        }
    }
    qsort(w->cuts, count, sizeof(*w->cuts), compare_cuts);
    uint32_t distinct = 1;
    for (uint32_t i = 1; i < count; i++) {
        if (w->cuts[i] != w->cuts[distinct - 1]) {
            w->cuts[distinct++] = w->cuts[i];
        }
    }
    return distinct - 1;
}

static uint32_t piece_from(const struct workshop *w, uint32_t n_pieces, uint32_t port)
{
    const uint32_t *found =
        bsearch(&port, w->cuts, (size_t)n_pieces + 1, sizeof(*w->cuts), compare_cuts);
    return found == NULL ? n_pieces : (uint32_t)(found - w->cuts);
}

static uint32_t unfilled(uint32_t *next, uint32_t i)
{
    while (next[i] != i) {
        next[i] = next[next[i]];
        i = next[i];
    }
    return i;
}

static void paint(struct workshop *w, struct strip_piece *pieces, uint32_t n_pieces, uint32_t first,
                  uint32_t end, uint32_t rule)
{
    uint32_t stop = piece_from(w, n_pieces, end);
    for (uint32_t i = unfilled(w->next, piece_from(w, n_pieces, first)); i < stop;
         i = unfilled(w->next, i + 1)) {
        if (pieces[i].top[0] == RULE_NONE) {
            pieces[i].top[0] = rule;
        } else {
            pieces[i].top[1] = rule;
            w->next[i] = i + 1;
        }
    }
}

static void touch(struct workshop *w, struct strip_piece *pieces, uint32_t n_pieces,
                  const ln_rule *rule)
{
    if (is_portless(w->layers, rule)) {
        for (uint32_t i = 0; i < n_pieces; i++) {
            pieces[i].touched = true;
        }
        return;
    }
    for (size_t k = 0; k < rule->n_ports; k++) {
        uint32_t end = piece_from(w, n_pieces, rule->ports[k].last + 1u);
        for (uint32_t i = piece_from(w, n_pieces, rule->ports[k].first); i < end; i++) {
            pieces[i].touched = true;
        }
    }
}

static void paint_rule(struct workshop *w, struct strip_piece *pieces, uint32_t n_pieces,
                       uint32_t number)
{
    const ln_rule *rule = w->layers->terrain->rules[number];
    if (is_portless(w->layers, rule)) {
        paint(w, pieces, n_pieces, w->cuts[0], w->cuts[n_pieces], number);
        return;
    }
    for (size_t k = 0; k < rule->n_ports; k++) {
        paint(w, pieces, n_pieces, rule->ports[k].first, rule->ports[k].last + 1u, number);
    }
}

/* The strip of the `n` rules picked. */
static int build_strip(struct workshop *w, uint32_t n, struct strip *ret)
{
    const struct terrain *terrain = w->layers->terrain;
    size_t n_cuts = 2;
    uint32_t n_functions = 0;
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = terrain->rules[w->picked[i]];
        n_cuts += 2 * rule->n_ports;
        n_functions += layers_part(w->layers, rule) == PART_FUNCTION;
    }
    if (n_cuts > w->cuts_room) {
        free(w->cuts);
        free(w->next);
        w->cuts_room = 2 * n_cuts;
        w->cuts = reallocarray(NULL, w->cuts_room, sizeof(*w->cuts));
        w->next = reallocarray(NULL, w->cuts_room, sizeof(*w->next));
        if (w->cuts == NULL || w->next == NULL) {
            return -ENOMEM;
        }
    }
    uint32_t n_pieces = cut(w, n);
    struct strip_piece *pieces = arena_array(&w->layers->arena, n_pieces, sizeof(*pieces));
    uint32_t *functions = arena_array(&w->layers->arena, n_functions, sizeof(*functions));
    if (pieces == NULL || functions == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i <= n_pieces; i++) {
        w->next[i] = i;
        if (i < n_pieces) {
            pieces[i] =
                (struct strip_piece){.first = (uint16_t)w->cuts[i], .top = {RULE_NONE, RULE_NONE}};
        }
    }
    n_functions = 0;
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = terrain->rules[w->picked[i]];
        if (layers_part(w->layers, rule) == PART_FUNCTION) {
            functions[n_functions++] = w->picked[i];
            touch(w, pieces, n_pieces, rule);
        } else {
            paint_rule(w, pieces, n_pieces, w->picked[i]);
        }
    }
    for (uint32_t i = 0; i < n_pieces; i++) {
        pieces[i].touched |= pieces[i].top[0] != RULE_NONE;
    }
    *ret = (struct strip){pieces, n_pieces, functions, n_functions};
    return 0;
}

static int build_strips(struct workshop *w, uint32_t from, uint32_t to)
{
    struct layers *layers = w->layers;
    const struct terrain *terrain = layers->terrain;
    for (uint32_t bucket = 0; bucket < terrain->n_buckets; bucket++) {
        uint32_t n = 0;
        for (uint32_t i = terrain->start[bucket]; i < terrain->start[bucket + 1]; i++) {
            uint32_t rule = terrain->members[i];
            if (rule >= from && rule < to &&
                layers_part(layers, terrain->rules[rule]) != PART_NONE) {
                w->picked[n++] = rule;
            }
        }
        int r = n > 0 ? build_strip(w, n, &layers->strips[bucket]) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int layers_build(struct layers *layers, const struct terrain *terrain, const struct view *view,
                 enum functions functions, uint32_t from, uint32_t to)
{
    *layers = (struct layers){.terrain = terrain, .view = *view, .functions = functions};
    struct workshop w = {.layers = layers};
    w.picked = reallocarray(NULL, terrain->n_rules + 1u, sizeof(*w.picked));
    layers->strips = arena_array(&layers->arena, terrain->n_buckets, sizeof(*layers->strips));
    int r = w.picked == NULL || layers->strips == NULL ? -ENOMEM : build_strips(&w, from, to);
    free(w.picked);
    free(w.cuts);
    free(w.next);
    if (r < 0) {
        layers_free(layers);
    }
    return r;
}

void layers_free(struct layers *layers)
{
    arena_free(&layers->arena);
    *layers = (struct layers){0};
}
