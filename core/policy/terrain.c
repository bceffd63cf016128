/* Cutting the space into places, and the chains of rules over them. */
#include "policy/terrain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "policy/groups.h"

/* ---- places ---- */

struct prefix_use {
    ln_prefix prefix;
    uint32_t rule; /* RULE_NONE: a boundary of groups */
};

struct uses {
    struct prefix_use *at; /* NULL: they are only counted */
    size_t n;
};

static void use_prefix(void *user, const ln_prefix *prefix)
{
    struct uses *uses = user;
    if (uses->at != NULL) {
        uses->at[uses->n] = (struct prefix_use){.prefix = *prefix, .rule = RULE_NONE};
    }
    uses->n++;
}

static int compare_uses(const void *a, const void *b)
{
    const struct prefix_use *x = a;
    const struct prefix_use *y = b;
    return prefix_compare(&x->prefix, &y->prefix);
}

static void describe(struct place *place, const ln_addr *example)
{
    place->real = true;
    place->example = *example;
    place->group = ln_addr_group(example, NULL);
    place->never = ln_addr_is_never(example);
    place->reserved = addr_is_reserved(example);
}

/* Notes which prefixes hold an address of their own. The IPv4-mapped ones among the IPv6 addresses
 * are IPv4 addresses. */
static void find_own(struct terrain *terrain, const struct prefix_map *map, bool v4)
{
    const struct prefix_space *space = v4 ? &map->v4 : &map->v6;
    for (uint32_t i = 0; i < space->count; i++) {
        uint32_t number = space->prefix[i];
        if (number == PREFIX_NONE || terrain->places[number].real) {
            continue;
        }
        ln_addr addr = {{0}};
        if (v4) {
            addr = ln_addr_v4((uint32_t)space->high[i]);
        } else {
            put_be64(addr.bytes, space->high[i]);
            put_be64(addr.bytes + 8, space->low[i]);
            if (ln_addr_is_v4(&addr)) {
                addr = (ln_addr){.bytes = {[9] = 1}}; /* the one behind them */
            }
        }
        if (v4 || prefix_map_find(map, &addr) == number) {
            describe(&terrain->places[number], &addr);
        }
    }
}

static void find_fresh(struct terrain *terrain)
{
    for (uint32_t i = terrain->n_places; i-- > 0;) {
        struct place *place = &terrain->places[i];
        place->end = place->end > i ? place->end : i + 1;
        place->fresh = true;
        if (place->parent != PREFIX_NONE) {
            struct place *parent = &terrain->places[place->parent];
            parent->end = parent->end > place->end ? parent->end : place->end;
            place->fresh = !parent->real || parent->group != place->group ||
                           parent->never != place->never || parent->reserved != place->reserved ||
                           parent->pool != place->pool;
        }
    }
}

/* The prefixes from which a policy's gateways have their addresses. */
static void each_pool(const ln_policy *policy, void (*visit)(void *user, const ln_prefix *prefix),
                      void *user)
{
    if (policy != NULL) {
        visit(user, &policy->plan.settings.ipv4_pool);
        visit(user, &policy->plan.settings.ipv6_pool);
    }
}

static void mark_pool(void *user, const ln_prefix *pool)
{
    struct terrain *terrain = user;
    for (uint32_t i = 0; i < terrain->n_places; i++) {
        struct place *place = &terrain->places[i];
        place->pool |= place->real && ln_prefix_contains(pool, &place->example);
    }
}

static void each_boundary(const ln_policy *policy, const ln_policy *other, struct uses *uses)
{
    groups_each_boundary(use_prefix, uses);
    each_pool(policy, use_prefix, uses);
    each_pool(other, use_prefix, uses);
}

static int build_places(struct terrain *terrain, const ln_policy *policy, const ln_policy *other,
                        struct arena *scratch)
{
    struct uses uses = {0};
    each_boundary(policy, other, &uses);
    uses.at = arena_array(scratch, uses.n + terrain->n_rules, sizeof(*uses.at));
    if (uses.at == NULL) {
        return -ENOMEM;
    }
    uses.n = 0;
    each_boundary(policy, other, &uses);
    for (uint32_t i = 0; i < terrain->n_rules; i++) {
        const ln_destination *destination = &terrain->rules[i]->destination;
        if (destination->kind == LN_DEST_PREFIX) {
            uses.at[uses.n++] = (struct prefix_use){.prefix = destination->prefix, .rule = i};
        }
    }
    qsort(uses.at, uses.n, sizeof(*uses.at), compare_uses);
    ln_prefix *distinct = arena_array(scratch, uses.n, sizeof(*distinct));
    uint32_t *parents = arena_array(scratch, uses.n, sizeof(*parents));
    terrain->places = arena_array(&terrain->arena, uses.n, sizeof(*terrain->places));
    if (distinct == NULL || parents == NULL || terrain->places == NULL) {
        return -ENOMEM;
    }
    uint32_t n = 0;
    for (size_t i = 0; i < uses.n; i++) {
        if (i == 0 || prefix_compare(&uses.at[i].prefix, &uses.at[i - 1].prefix) != 0) {
            distinct[n++] = uses.at[i].prefix;
        }
        if (uses.at[i].rule != RULE_NONE) {
            uint32_t rule = uses.at[i].rule;
            terrain->bucket_of[rule] =
                place_bucket(n - 1, terrain->rules[rule]->action != LN_ALLOW);
        }
    }
    struct prefix_map map = {0};
    int r = prefix_map_build(&map, scratch, distinct, n, parents);
    if (r < 0) {
        return r;
    }
    terrain->n_places = n;
    terrain->n_buckets = place_bucket(n, false);
    for (uint32_t i = 0; i < n; i++) {
        terrain->places[i].prefix = distinct[i];
        terrain->places[i].parent = parents[i];
        terrain->places[i].v4 = ln_prefix_is_v4(&distinct[i]);
    }
    find_own(terrain, &map, true);
    find_own(terrain, &map, false);
    each_pool(policy, mark_pool, terrain);
    each_pool(other, mark_pool, terrain);
    find_fresh(terrain);
    return 0;
}

/* ---- names ---- */

bool rule_has_entry(const ln_rule *rule)
{
    return rule->destination.kind >= LN_DEST_DOMAIN; /* or by country, continent, system */
}

enum { REGISTRATION_MAX = 24 };

/* Writes what stands for the rule's registration among the names: no name has brackets. */
static size_t registration(const ln_rule *rule, char dst[REGISTRATION_MAX])
{
    int len = ln_destination_format(&rule->destination, dst, REGISTRATION_MAX);
    return (size_t)len < REGISTRATION_MAX ? (size_t)len : REGISTRATION_MAX - 1;
}

uint32_t terrain_entry(const struct terrain *terrain, uint32_t number)
{
    const ln_rule *rule = terrain->rules[number];
    char text[REGISTRATION_MAX];
    const char *name = rule_is_by_name(rule) ? rule->destination.name : text;
    size_t len = rule_is_by_name(rule) ? strlen(name) : registration(rule, text);
    const struct name_entry *entry = name_map_find(&terrain->names, name, len);
    return (uint32_t)(entry - terrain->names.entries);
}

static void put_entry(struct terrain *terrain, uint32_t number, const char *name, size_t len,
                      enum name_use use)
{
    struct name_entry *entry = name_map_put(&terrain->names, name, (uint32_t)len);
    if (entry->bucket[use] == BUCKET_NONE) {
        entry->bucket[use] = terrain->n_buckets++;
    }
    if (use == NAME_BELOW_ALLOW || use == NAME_BELOW_DENY) {
        name_map_mark_below(&terrain->names, entry);
    }
    terrain->bucket_of[number] = entry->bucket[use];
}

static int put_registrations(struct terrain *terrain)
{
    for (uint32_t i = 0; i < terrain->n_rules; i++) {
        const ln_rule *rule = terrain->rules[i];
        if (!rule_has_entry(rule) || rule_is_by_name(rule)) {
            continue;
        }
        char text[REGISTRATION_MAX];
        size_t len = registration(rule, text);
        const char *name = arena_strndup(&terrain->arena, text, len);
        if (name == NULL) {
            return -ENOMEM;
        }
        put_entry(terrain, i, name, len,
                  rule->action == LN_ALLOW ? NAME_EXACT_ALLOW : NAME_EXACT_DENY);
    }
    terrain->n_registrations = terrain->names.count;
    return 0;
}

static int build_names(struct terrain *terrain, struct hash_key key)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < terrain->n_rules; i++) {
        n += rule_has_entry(terrain->rules[i]);
    }
    struct name_map *names = &terrain->names;
    int r = name_map_init(names, &terrain->arena, key, n);
    terrain->above = arena_array(&terrain->arena, n, sizeof(*terrain->above));
    if (r < 0 || terrain->above == NULL || put_registrations(terrain) < 0) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < terrain->n_rules; i++) {
        const ln_rule *rule = terrain->rules[i];
        if (rule_is_by_name(rule)) {
            const char *name = rule->destination.name;
            put_entry(terrain, i, name, strlen(name), rule_name_use(rule));
        }
    }
    for (uint32_t i = 0; i < names->count; i++) {
        terrain->above[i] = BUCKET_NONE;
        struct name_walk walk =
            name_walk_start(names, names->entries[i].name, names->entries[i].len);
        const struct name_entry *entry;
        while ((entry = name_walk_next(&walk)) != NULL) {
            terrain->above[i] = (uint32_t)(entry - names->entries);
        }
    }
    return 0;
}

static int build_members(struct terrain *terrain)
{
    terrain->start =
        arena_array(&terrain->arena, (size_t)terrain->n_buckets + 2, sizeof(*terrain->start));
    terrain->members = arena_array(&terrain->arena, terrain->n_rules, sizeof(*terrain->members));
    if (terrain->start == NULL || terrain->members == NULL) {
        return -ENOMEM;
    }
    buckets_fill(terrain->bucket_of, terrain->n_rules, terrain->n_buckets, terrain->start,
                 terrain->members);
    return 0;
}

static void take_rules(struct terrain *terrain, const ln_rule **rules, const ln_policy *policy)
{
    for (size_t i = 0; policy != NULL && i < policy->plan.n_rules; i++) {
        const ln_rule *rule = &policy->plan.rules[i];
        terrain->bucket_of[terrain->n_rules] =
            rule->destination.kind == LN_DEST_ANY ? (uint32_t)BUCKET_ANY
            : rule->destination.kind == LN_DEST_GROUP
                ? (uint32_t)BUCKET_GROUP_0 + (uint32_t)rule->destination.group
                : BUCKET_NONE;
        rules[terrain->n_rules++] = rule;
    }
}

int terrain_build(struct terrain *terrain, const ln_policy *policy, const ln_policy *other)
{
    *terrain = (struct terrain){0};
    size_t n = policy->plan.n_rules + (other != NULL ? other->plan.n_rules : 0);
    const ln_rule **rules = arena_array(&terrain->arena, n, sizeof(*rules));
    terrain->bucket_of = arena_array(&terrain->arena, n, sizeof(*terrain->bucket_of));
    struct arena scratch = {0};
    int r = rules == NULL || terrain->bucket_of == NULL || n >= RULE_NONE / 4 ? -ENOMEM : 0;
    if (r == 0) {
        take_rules(terrain, rules, policy);
        take_rules(terrain, rules, other);
        terrain->rules = rules;
        r = build_places(terrain, policy, other, &scratch);
    }
    r = r < 0 ? r : build_names(terrain, policy->ruleset.names.key);
    r = r < 0 ? r : build_members(terrain);
    arena_free(&scratch);
    if (r < 0) {
        terrain_free(terrain);
    }
    return r;
}

void terrain_free(struct terrain *terrain)
{
    arena_free(&terrain->arena);
    *terrain = (struct terrain){0};
}

/* ---- chains ---- */

static void chain_add(struct chain *chain, uint32_t bucket)
{
    const struct strip *strip = bucket == BUCKET_NONE ? NULL : &chain->layers->strips[bucket];
    if (strip != NULL && strip->n_pieces > 0) {
        chain->at[chain->n] = 0;
        chain->strips[chain->n++] = strip;
    }
}

/* Whether the place's prefix spares addresses of the owner as rules that allow go. */
static bool is_spared(const struct view *view, const struct place *place, enum owner owner)
{
    const ln_rule rule = {.action = LN_ALLOW, .destination = {.prefix = place->prefix}};
    return owner == OWNER_GATEWAY && rule_spares_gateway(&rule, view->direction);
}

void chain_of_place(struct chain *chain, const struct layers *layers, uint32_t place,
                    enum owner owner)
{
    const struct terrain *terrain = layers->terrain;
    chain->layers = layers;
    chain->n = 0;
    chain_add(chain, BUCKET_ANY);
    ln_group group = owner != OWNER_OTHER ? LN_GROUP_HOST : terrain->places[place].group;
    if (layers->view.kind != VIEW_ANSWER || group != LN_GROUP_PUBLIC) {
        chain_add(chain, (uint32_t)BUCKET_GROUP_0 + (uint32_t)group);
    }
    for (; place != PREFIX_NONE; place = terrain->places[place].parent) {
        if (!is_spared(&layers->view, &terrain->places[place], owner)) {
            chain_add(chain, place_bucket(place, false));
        }
        chain_add(chain, place_bucket(place, true));
    }
}

bool view_holds(const struct view *view, const ln_rule *rule, const struct place *place,
                enum owner owner)
{
    const ln_destination *to = &rule->destination;
    switch (to->kind) {
    case LN_DEST_ANY:
        return true;
    case LN_DEST_GROUP:
        return to->group == (owner != OWNER_OTHER ? LN_GROUP_HOST : place->group);
    case LN_DEST_PREFIX:
        return ln_prefix_contains(&to->prefix, &place->example) &&
               !(owner == OWNER_GATEWAY && rule_spares_gateway(rule, view->direction));
    case LN_DEST_DOMAIN:
    case LN_DEST_SUFFIX:
    case LN_DEST_COUNTRY:
    case LN_DEST_CONTINENT:
    case LN_DEST_ASN:
        break;
    }
    return false;
}

void chain_of_name(struct chain *chain, const struct layers *layers, uint32_t entry, bool below,
                   unsigned sides)
{
    const struct name_entry *entries = layers->terrain->names.entries;
    chain->layers = layers;
    chain->n = 0;
    sides |= entry < layers->terrain->n_registrations ? SIDE_ALLOW | SIDE_DENY : 0u;
    while (entry != BUCKET_NONE) {
        const uint32_t *bucket = entries[entry].bucket;
        if ((sides & SIDE_ALLOW) != 0) {
            chain_add(chain, bucket[below ? NAME_BELOW_ALLOW : NAME_EXACT_ALLOW]);
        }
        if ((sides & SIDE_DENY) != 0) {
            chain_add(chain, bucket[below ? NAME_BELOW_DENY : NAME_EXACT_DENY]);
        }
        entry = layers->terrain->above[entry];
        below = true;
    }
}

/* Moves to the piece that holds the port. */
static const struct strip_piece *strip_seek(const struct strip *strip, uint32_t *at, uint32_t port)
{
    uint32_t low = strip->pieces[*at].first <= port ? *at : 0;
    uint32_t count = strip->n_pieces - low;
    if (count > 1 && strip->pieces[low + 1].first > port) {
        count = 1; /* the same as before, as it mostly is */
    }
    while (count > 1) {
        uint32_t half = count / 2;
        low = strip->pieces[low + half].first <= port ? low + half : low;
        count -= half;
    }
    *at = low;
    return &strip->pieces[low];
}

static void top_put(uint32_t top[2], uint32_t rule)
{
    if (rule < top[0]) {
        top[1] = top[0];
        top[0] = rule;
    } else if (rule < top[1]) {
        top[1] = rule;
    }
}

bool chain_next(struct chain *chain, uint32_t port, uint16_t last, struct stretch *ret)
{
    if (port > last) {
        return false;
    }
    *ret = (struct stretch){.first = (uint16_t)port, .last = last, .top = {RULE_NONE, RULE_NONE}};
    for (uint32_t i = 0; i < chain->n; i++) {
        const struct strip *strip = chain->strips[i];
        const struct strip_piece *piece = strip_seek(strip, &chain->at[i], port);
        top_put(ret->top, piece->top[0]);
        top_put(ret->top, piece->top[1]);
        if (piece + 1 < strip->pieces + strip->n_pieces && piece[1].first <= ret->last) {
            ret->last = (uint16_t)(piece[1].first - 1);
        }
    }
    return true;
}

uint32_t chain_function(const struct chain *chain, uint32_t from, uint32_t end, uint16_t port)
{
    const struct view *view = &chain->layers->view;
    for (uint32_t i = 0; i < chain->n; i++) {
        const struct strip *strip = chain->strips[i];
        for (uint32_t k = 0; k < strip->n_functions && strip->functions[k] < end; k++) {
            uint32_t rule = strip->functions[k];
            if (rule >= from &&
                (view->kind != VIEW_CONNECTION ||
                 rule_has_port(chain->layers->terrain->rules[rule], view->protocol, port))) {
                end = rule;
            }
        }
    }
    return end;
}
