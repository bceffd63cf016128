/* Both policies over one terrain, one view at a time.
 *
 * A profile is what decides by address in the one and in the other somewhere; profiles that end
 * differently are differences. A sight is likewise what decides by a name. A connection joins a
 * profile with one or more sights, and in each policy the lowest rule decides: so beyond a profile
 * alone and a sight alone, a sight against a profile and two sights against each other have to be
 * looked at, in both directions. Most of these are out of the question, which a look at the
 * extremes tells (struct frontier). */
#include "policy/diff.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What decides in both, at a stretch of ports: rules, or RULE_NONE. */
struct both {
    uint32_t rule[2];
    uint16_t first, last;
    uint32_t where; /* the place and its owner, or the name's entry and whether below */
    uint16_t told;  /* the ends between which the sight alone makes a difference: bits */
};

struct boths {
    struct both *at;
    uint32_t n, room;
};

struct raw {
    struct diff_region region; /* without ports */
    uint16_t first, last;
    uint32_t entry;
};

struct differ {
    struct diff *diff;
    const ln_policy *policy[2];
    struct terrain terrain;
    struct view view;
    enum functions functions;
    bool has_functions;
    struct layers layers[2];
    struct boths profiles, sights;
    bool claimed; /* the sights are those of a name that is merely claimed */
    struct raw *raws;
    size_t n_raws, raws_room;
    bool failed; /* out of memory */
};

/* ---- ends ---- */

static ln_action end_of(const struct differ *d, int side, uint32_t rule)
{
    ln_action action = rule != RULE_NONE ? d->terrain.rules[rule]->action
                                         : view_default(&d->view, &d->policy[side]->plan.settings);
    return action == LN_REJECT && !view_tells_reject(&d->view) ? LN_DENY : action;
}

static bool ends_differ(const struct differ *d, uint32_t a, uint32_t b)
{
    return end_of(d, 0, a) != end_of(d, 1, b);
}

/* ---- collecting ---- */

static void boths_add(struct differ *d, struct boths *boths, const struct both *both)
{
    struct both *before = boths->n > 0 ? &boths->at[boths->n - 1] : NULL;
    if (before != NULL && before->where == both->where && before->last + 1u == both->first &&
        memcmp(before->rule, both->rule, sizeof(both->rule)) == 0) {
        before->last = both->last;
        return;
    }
    if (boths->n == boths->room) {
        uint32_t room = boths->room < 64 ? 64 : 2 * boths->room;
        struct both *at = room < boths->room ? NULL : reallocarray(boths->at, room, sizeof(*at));
        if (at == NULL) {
            d->failed = true;
            return;
        }
        boths->at = at;
        boths->room = room;
    }
    boths->at[boths->n++] = *both;
}

/* Walks two chains at once over the ports from `first` to `last`. */
static void add_stretches(struct differ *d, struct boths *boths, struct chain chains[2],
                          uint32_t where, uint16_t first, uint16_t last)
{
    struct stretch a;
    struct stretch b;
    for (uint32_t port = first; chain_next(&chains[0], port, last, &a);) {
        chain_next(&chains[1], port, a.last, &b);
        struct both both = {
            .rule = {a.top[0], b.top[0]}, .first = (uint16_t)port, .last = b.last, .where = where};
        boths_add(d, boths, &both);
        port = b.last + 1u;
    }
}

/* At the ports of the place's own rules, or where it is fresh at all. */
static void add_place(struct differ *d, uint32_t place, enum owner owner)
{
    struct chain chains[2];
    uint32_t where = place * OWNERS + (uint32_t)owner;
    chain_of_place(&chains[0], &d->layers[0], place, owner);
    chain_of_place(&chains[1], &d->layers[1], place, owner);
    if (d->terrain.places[place].fresh) {
        add_stretches(d, &d->profiles, chains, where, view_first_port(&d->view),
                      view_last_port(&d->view));
        return;
    }
    for (int side = 0; side < 4; side++) {
        const struct strip *own = &d->layers[side / 2].strips[place_bucket(place, (side & 1) != 0)];
        for (uint32_t i = 0; i < own->n_pieces; i++) {
            uint16_t last = i + 1 < own->n_pieces ? (uint16_t)(own->pieces[i + 1].first - 1)
                                                  : view_last_port(&d->view);
            if (own->pieces[i].touched) {
                add_stretches(d, &d->profiles, chains, where, own->pieces[i].first, last);
            }
        }
    }
}

static int compare_profiles(const void *a, const void *b)
{
    const struct both *x = a;
    const struct both *y = b;
    for (int side = 0; side < 2; side++) {
        if (x->rule[side] != y->rule[side]) {
            return x->rule[side] > y->rule[side] ? -1 : 1; /* the last first */
        }
    }
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first)
           : x->last != y->last ? (x->last > y->last) - (x->last < y->last)
                                : (x->where > y->where) - (x->where < y->where);
}

static void find_profiles(struct differ *d)
{
    uint32_t n =
        d->view.kind == VIEW_CONNECTION || d->view.kind == VIEW_ANSWER ? d->terrain.n_places : 0;
    struct boths *profiles = &d->profiles;
    for (uint32_t i = 0; i < OWNERS * n; i++) {
        if (view_sees(&d->view, &d->terrain.places[i / OWNERS], i % OWNERS)) {
            add_place(d, i / OWNERS, i % OWNERS);
        }
    }
    if (d->view.kind == VIEW_QUERY) {
        struct chain chains[2];
        chain_of_place(&chains[0], &d->layers[0], PREFIX_NONE, OWNER_MACHINE);
        chain_of_place(&chains[1], &d->layers[1], PREFIX_NONE, OWNER_MACHINE);
        add_stretches(d, profiles, chains, 0, 0, 0);
    } else if (d->view.kind == VIEW_ALIAS) {
        struct both none = {.rule = {RULE_NONE, RULE_NONE}};
        boths_add(d, profiles, &none);
    }
    if (profiles->n == 0) {
        return;
    }
    qsort(profiles->at, profiles->n, sizeof(*profiles->at), compare_profiles);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < profiles->n; i++) {
        const struct both *last = &profiles->at[kept - 1];
        const struct both *it = &profiles->at[i];
        if (memcmp(it->rule, last->rule, sizeof(it->rule)) != 0 || it->first != last->first ||
            it->last != last->last) {
            profiles->at[kept++] = *it;
        }
    }
    profiles->n = kept;
}

static void find_sights(struct differ *d, unsigned sides)
{
    d->sights.n = 0;
    for (uint32_t i = 0; i < 2 * d->terrain.names.count; i++) {
        const uint32_t *own = d->terrain.names.entries[i / 2].bucket;
        bool below = i % 2 != 0;
        struct chain chains[2];
        if (own[below ? NAME_BELOW_ALLOW : NAME_EXACT_ALLOW] == BUCKET_NONE &&
            own[below ? NAME_BELOW_DENY : NAME_EXACT_DENY] == BUCKET_NONE) {
            continue;
        }
        chain_of_name(&chains[0], &d->layers[0], i / 2, below, sides);
        chain_of_name(&chains[1], &d->layers[1], i / 2, below, sides);
        add_stretches(d, &d->sights, chains, i, view_first_port(&d->view),
                      view_last_port(&d->view));
    }
}

/* ---- telling ---- */

/* A name of the sight: the entry's own, or one below it that no rule knows. */
static const char *name_of(struct differ *d, const struct both *sight)
{
    const struct name_entry *entry = &d->terrain.names.entries[sight->where / 2];
    if (sight->where % 2 == 0) {
        return entry->name;
    }
    for (unsigned n = 1;; n++) {
        char name[LN_NAME_MAX + 16];
        int len = snprintf(name, sizeof(name), "x%u.%s", n, entry->name);
        if (name_map_find(&d->terrain.names, name, (size_t)len) == NULL) {
            return arena_strndup(&d->diff->arena, name, (size_t)len);
        }
    }
}

static bool is_registration(const struct differ *d, const struct both *sight)
{
    return sight != NULL && sight->where / 2 < d->terrain.n_registrations;
}

static void set_example(struct differ *d, struct diff_example *example, const struct both *profile,
                        const struct both *sights[2], uint16_t port)
{
    *example = (struct diff_example){.protocol = d->view.protocol, .port = port};
    if (d->view.kind == VIEW_CONNECTION || d->view.kind == VIEW_ANSWER) {
        example->address = d->terrain.places[profile->where / OWNERS].example;
        example->owner = profile->where % OWNERS;
    }
    uint32_t n = 0;
    for (int i = 0; i < 2; i++) {
        if (is_registration(d, sights[i])) {
            example->is_registered = true;
        } else if (sights[i] != NULL) {
            const char *name = name_of(d, sights[i]);
            d->failed |= name == NULL;
            if (d->claimed && example->claimed == NULL) {
                example->claimed = name;
            } else {
                example->names[n++] = name;
            }
        }
    }
}

/* Tells that the two rules end differently at these ports, for the sights (NULL: none) at the
 * profile. */
static void tell(struct differ *d, const uint32_t rules[2], const struct both *profile,
                 const struct both *sight, const struct both *other, uint16_t first, uint16_t last)
{
    if (d->n_raws == d->raws_room) {
        size_t room = d->raws_room == 0 ? 64 : 2 * d->raws_room;
        struct raw *raws = reallocarray(d->raws, room, sizeof(*raws));
        if (raws == NULL) {
            d->failed = true;
            return;
        }
        d->raws = raws;
        d->raws_room = room;
    }
    const struct both *sights[2] = {sight, other};
    uint32_t n_a = (uint32_t)d->policy[0]->plan.n_rules;
    struct raw *raw = &d->raws[d->n_raws++];
    *raw = (struct raw){
        .first = first,
        .last = last,
        .entry = sight != NULL ? sight->where : BUCKET_NONE,
    };
    raw->region = (struct diff_region){
        .kind = d->view.kind,
        .direction = d->view.direction,
        .protocols = (uint8_t)LN_PROTOCOL_BIT(d->view.protocol),
        .from = end_of(d, 0, rules[0]),
        .to = end_of(d, 1, rules[1]),
        .rule_a = rules[0] + 1,
        .rule_b = rules[1] == RULE_NONE ? 0 : rules[1] + 1 - n_a,
        .by_name = sight != NULL,
        .below = sight != NULL && sight->where % 2 != 0,
        .claimed = sight != NULL && d->claimed,
        .functions = !d->has_functions                   ? 3
                     : d->functions == FUNCTIONS_SAY_YES ? 2
                                                         : 1,
    };
    set_example(d, &raw->region.example, profile, sights, first);
    if (other != NULL) {
        const char *name = d->terrain.names.entries[other->where / 2].name;
        raw->region.also =
            other->where % 2 == 0 ? name : arena_printf(&d->diff->arena, ".%s", name);
    }
}

/* ---- comparing ---- */

/* Whether an address can have both: it is in one country, of one system. */
static bool are_together(const struct differ *d, const struct both *a, const struct both *b)
{
    if (!is_registration(d, a) || !is_registration(d, b)) {
        return true;
    }
    const char *x = d->terrain.names.entries[a->where / 2].name;
    const char *y = d->terrain.names.entries[b->where / 2].name;
    return !d->claimed && strncmp(x, y, strcspn(x, "(") + 1) != 0;
}

static uint16_t max16(uint16_t a, uint16_t b)
{
    return a > b ? a : b;
}

static bool meet(const struct both *a, const struct both *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* For every action and side: over those sorted by how late the other side's rule is, the earliest
 * rule so far that ends otherwise than by the action. */
struct frontier {
    const struct both **order[2];
    uint32_t *earliest[2][LN_REJECT + 1];
    uint32_t n;
};

static int compare_side(const struct both *x, const struct both *y, int side)
{
    return (x->rule[side] < y->rule[side]) - (x->rule[side] > y->rule[side]);
}

static int compare_0(const void *a, const void *b)
{
    return compare_side(*(const struct both *const *)a, *(const struct both *const *)b, 0);
}

static int compare_1(const void *a, const void *b)
{
    return compare_side(*(const struct both *const *)a, *(const struct both *const *)b, 1);
}

static void frontier_build(struct differ *d, struct frontier *f, struct arena *arena,
                           const struct boths *boths)
{
    *f = (struct frontier){.n = boths->n};
    for (int side = 0; side < 2 && !d->failed; side++) {
        f->order[side] = arena_array(arena, f->n, sizeof(*f->order[side]));
        d->failed |= f->order[side] == NULL;
        for (uint32_t i = 0; i < f->n && !d->failed; i++) {
            f->order[side][i] = &boths->at[i];
        }
        if (f->n > 0 && !d->failed) {
            qsort(f->order[side], f->n, sizeof(*f->order[side]), side == 0 ? compare_0 : compare_1);
        }
        for (int action = LN_DENY; action <= LN_REJECT && !d->failed; action++) {
            uint32_t *earliest = arena_array(arena, f->n, sizeof(*earliest));
            f->earliest[side][action] = earliest;
            d->failed |= earliest == NULL;
            uint32_t least = RULE_NONE;
            for (uint32_t i = 0; i < f->n && !d->failed; i++) {
                uint32_t rule = f->order[side][i]->rule[!side];
                bool counts = end_of(d, !side, rule) != (ln_action)action;
                least = counts && rule < least ? rule : least;
                earliest[i] = least;
            }
        }
    }
}

/* How many come first in the order of the side whose rule is later than `rule`. */
static uint32_t later_than(const struct frontier *f, int side, uint32_t rule)
{
    uint32_t low = 0;
    uint32_t high = f->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (f->order[side][middle]->rule[side] > rule) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint16_t min16(uint16_t a, uint16_t b)
{
    return a < b ? a : b;
}

static uint16_t told_bit(ln_action from, ln_action to)
{
    return (uint16_t)(1u << ((unsigned)from * 3u + (unsigned)to));
}

/* What has been told of one sight: enough is said once about a port. */
struct tale {
    struct port_spans spans[LN_REJECT + 1]; /* by how the other side ends */
};

/* Whether the ports are not told yet; from then on they are. */
static bool tale_adds(struct differ *d, struct tale *tale, ln_action end, uint16_t first,
                      uint16_t last)
{
    struct port_spans *spans = &tale->spans[end];
    for (uint32_t i = 0; i < spans->n; i++) {
        if (spans->at[i].first <= first && last <= spans->at[i].last) {
            return false;
        }
    }
    d->failed |= port_spans_add(spans, first, last, 0) < 0;
    return true;
}

static void tale_free(struct tale *tale)
{
    for (int end = LN_DENY; end <= LN_REJECT; end++) {
        port_spans_free(&tale->spans[end]);
    }
}

/* Names decide in both: tells where no address comes before them. */
static void tell_behind(struct differ *d, struct tale *tale, ln_action end, const uint32_t rules[2],
                        const struct both *sight, const struct both *other)
{
    struct both at = *sight;
    at.first = other != NULL ? max16(at.first, other->first) : at.first;
    at.last = other != NULL ? min16(at.last, other->last) : at.last;
    for (uint32_t i = 0; i < d->profiles.n && d->profiles.at[i].rule[0] > rules[0]; i++) {
        const struct both *profile = &d->profiles.at[i]; /* they come in the order of rule[0] */
        uint16_t first = max16(at.first, profile->first);
        uint16_t last = min16(at.last, profile->last);
        if (profile->rule[1] <= rules[1] || !meet(profile, &at)) {
            continue;
        }
        if (tale_adds(d, tale, end, first, last)) {
            tell(d, rules, profile, sight, other, first, last);
        }
        if (first == at.first && last == at.last) {
            return;
        }
    }
}

/* The sight decides in both. */
static void compare_sight(struct differ *d, struct both *sight)
{
    const uint32_t *rules = sight->rule;
    if (rules[0] != RULE_NONE && rules[1] != RULE_NONE && ends_differ(d, rules[0], rules[1])) {
        struct tale tale = {0};
        size_t before = d->n_raws;
        tell_behind(d, &tale, LN_DENY, rules, sight, NULL);
        if (d->n_raws > before) {
            sight->told |= told_bit(end_of(d, 0, rules[0]), end_of(d, 1, rules[1]));
        }
        tale_free(&tale);
    }
}

/* The sight decides on `side`, and an address on the other before it. */
static void compare_profiles_with(struct differ *d, const struct frontier *f, struct both *sight,
                                  int side)
{
    uint32_t rule = sight->rule[side];
    uint32_t limit = sight->rule[!side]; /* addresses come before it; the default before none */
    uint32_t n = rule == RULE_NONE ? 0 : later_than(f, side, rule);
    ln_action action = end_of(d, side, rule);
    bool none = limit == RULE_NONE && end_of(d, !side, RULE_NONE) != action;
    if (n == 0 || (!none && f->earliest[side][action][n - 1] >= limit)) {
        return;
    }
    struct tale tale = {0};
    for (uint32_t i = 0; i < n; i++) {
        const struct both *profile = f->order[side][i];
        uint32_t other = profile->rule[!side];
        ln_action end = end_of(d, !side, other);
        if ((other >= limit && limit != RULE_NONE) || end == action || !meet(profile, sight)) {
            continue;
        }
        uint16_t first = max16(profile->first, sight->first);
        uint16_t last = min16(profile->last, sight->last);
        if (tale_adds(d, &tale, end, first, last)) {
            uint32_t rules[2] = {side == 0 ? rule : other, side == 0 ? other : rule};
            tell(d, rules, profile, sight, NULL, first, last);
        }
    }
    tale_free(&tale);
}

/* The sight decides on `side` and refuses, another decides on the other. Pairs of which one sight
 * makes the difference alone are told already. */
static void compare_sights_with(struct differ *d, const struct frontier *f,
                                const struct both *sight, int side)
{
    uint32_t rule = sight->rule[side];
    uint32_t limit = sight->rule[!side];
    ln_action action = end_of(d, side, rule);
    uint32_t n = rule == RULE_NONE || action == LN_ALLOW ? 0 : later_than(f, side, rule);
    if (n == 0 || f->earliest[side][action][n - 1] >= limit) {
        return;
    }
    struct tale tale = {0};
    for (uint32_t i = 0; i < n; i++) {
        const struct both *other = f->order[side][i];
        uint32_t b = other->rule[!side];
        ln_action end = end_of(d, !side, b);
        uint16_t bit = side == 0 ? told_bit(action, end) : told_bit(end, action);
        if (b < limit && end != action && ((sight->told | other->told) & bit) == 0 &&
            meet(other, sight) && are_together(d, other, sight)) {
            uint32_t rules[2] = {side == 0 ? rule : b, side == 0 ? b : rule};
            tell_behind(d, &tale, end, rules, sight, other);
        }
    }
    tale_free(&tale);
}

static void compare_sights(struct differ *d, const struct frontier *of_profiles)
{
    for (uint32_t i = 0; i < d->sights.n && !d->failed; i++) {
        struct both *sight = &d->sights.at[i];
        if (!d->claimed || !is_registration(d, sight)) { /* else nothing is claimed */
            compare_sight(d, sight);
            compare_profiles_with(d, of_profiles, sight, 0);
            compare_profiles_with(d, of_profiles, sight, 1);
        }
    }
    if (d->view.kind != VIEW_CONNECTION) {
        return; /* one name at a time is asked about */
    }
    struct arena arena = {0};
    struct frontier of_sights;
    frontier_build(d, &of_sights, &arena, &d->sights);
    for (uint32_t i = 0; i < d->sights.n && !d->failed; i++) {
        compare_sights_with(d, &of_sights, &d->sights.at[i], 0);
        compare_sights_with(d, &of_sights, &d->sights.at[i], 1);
    }
    arena_free(&arena);
}

static void compare_view(struct differ *d)
{
    struct arena arena = {0};
    struct frontier of_profiles;
    find_profiles(d);
    for (uint32_t i = 0; i < d->profiles.n && !d->failed; i++) {
        const struct both *profile = &d->profiles.at[i];
        if (ends_differ(d, profile->rule[0], profile->rule[1])) {
            tell(d, profile->rule, profile, NULL, NULL, profile->first, profile->last);
        }
    }
    frontier_build(d, &of_profiles, &arena, &d->profiles);
    bool egress = d->view.kind == VIEW_CONNECTION && d->view.direction == LN_EGRESS;
    for (int claimed = 0; claimed <= (egress ? 1 : 0) && !d->failed; claimed++) {
        d->claimed = claimed != 0;
        find_sights(d, d->claimed ? SIDE_DENY : SIDE_ALLOW | SIDE_DENY);
        compare_sights(d, &of_profiles);
    }
    d->claimed = false;
    arena_free(&arena);
}

/* The strips of one policy; without rebind protection no rule has a say in answers. */
static int build_side(struct differ *d, int side)
{
    const struct plan *plan = &d->policy[side]->plan;
    uint32_t from = side == 0 ? 0 : (uint32_t)d->policy[0]->plan.n_rules;
    bool silent = d->view.kind == VIEW_ANSWER && !plan->settings.dns_rebind_protection;
    return layers_build(&d->layers[side], &d->terrain, &d->view, d->functions, from,
                        silent ? from : from + (uint32_t)plan->n_rules);
}

static int diff_view(struct differ *d)
{
    int r = build_side(d, 0);
    r = r < 0 ? r : build_side(d, 1);
    if (r == 0) {
        compare_view(d);
        r = d->failed ? -ENOMEM : 0;
    }
    layers_free(&d->layers[0]);
    layers_free(&d->layers[1]);
    free(d->profiles.at);
    free(d->sights.at);
    d->profiles = d->sights = (struct boths){0};
    return r;
}

/* ---- merging ---- */

#define ORDER(x, y)                                                                                \
    if ((x) != (y)) {                                                                              \
        return (x) < (y) ? -1 : 1;                                                                 \
    }

/* What makes raw differences one region: not protocols, ports and functions. */
static int compare_keys(const struct raw *x, const struct raw *y)
{
    ORDER(x->region.to != LN_ALLOW, y->region.to != LN_ALLOW)
    ORDER(x->region.from != LN_ALLOW, y->region.from != LN_ALLOW)
    ORDER(x->region.kind, y->region.kind)
    ORDER(x->region.direction, y->region.direction)
    ORDER(x->entry, y->entry)
    ORDER(x->region.claimed, y->region.claimed)
    ORDER(x->region.from, y->region.from)
    ORDER(x->region.to, y->region.to)
    ORDER(x->region.also != NULL, y->region.also != NULL)
    /* Of a name what refuses it is told; what allows something else may be many rules. */
    bool any_a = x->region.by_name && x->region.from == LN_ALLOW && x->region.also != NULL;
    bool any_b = x->region.by_name && x->region.to == LN_ALLOW && x->region.also != NULL;
    if (!any_b) {
        ORDER(x->region.rule_b, y->region.rule_b)
    }
    if (!any_a) {
        ORDER(x->region.rule_a, y->region.rule_a)
    }
    return 0;
}

static int compare_raws(const void *a, const void *b)
{
    const struct raw *x = a;
    const struct raw *y = b;
    int order = compare_keys(x, y);
    if (order != 0) {
        return order;
    }
    ORDER(x->first, y->first)
    ORDER(x->region.example.protocol, y->region.example.protocol)
    return 0;
}

/* How narrow a destination is. */
static int narrowness(const ln_rule *rule)
{
    if (rule == NULL || rule->destination.kind == LN_DEST_ANY) {
        return -1;
    }
    return rule->destination.kind == LN_DEST_PREFIX ? 1 + rule->destination.prefix.bits : 0;
}

static const char *destination_of(struct differ *d, const struct raw *raw)
{
    char text[LN_NAME_MAX + 16];
    if (raw->region.by_name) {
        const char *name = d->terrain.names.entries[raw->entry / 2].name;
        return raw->region.below ? arena_printf(&d->diff->arena, ".%s", name)
                                 : arena_strndup(&d->diff->arena, name, strlen(name));
    }
    const ln_rule *a = ln_policy_rule(d->policy[0], raw->region.rule_a);
    const ln_rule *b = ln_policy_rule(d->policy[1], raw->region.rule_b);
    const ln_rule *rule = narrowness(a) > narrowness(b) ? a : b;
    if (rule == NULL) {
        return "*";
    }
    ln_destination_format(&rule->destination, text, sizeof(text));
    return arena_strndup(&d->diff->arena, text, strlen(text));
}

static int add_ports(struct port_spans *ports, const struct raw *raw)
{
    struct port_span *last = ports->n > 0 ? &ports->at[ports->n - 1] : NULL;
    if (last != NULL && raw->first <= last->last + 1u) {
        last->last = max16(last->last, raw->last);
        return 0;
    }
    return port_spans_add(ports, raw->first, raw->last, 0);
}

static int merge(struct differ *d)
{
    struct diff *diff = d->diff;
    diff->regions = arena_array(&diff->arena, d->n_raws, sizeof(*diff->regions));
    if (diff->regions == NULL) {
        return -ENOMEM;
    }
    if (d->n_raws > 0) {
        qsort(d->raws, d->n_raws, sizeof(*d->raws), compare_raws);
    }
    for (size_t i = 0; i < d->n_raws; i++) {
        const struct raw *raw = &d->raws[i];
        if (i == 0 || compare_keys(raw, raw - 1) != 0) {
            diff->regions[diff->n_regions] = raw->region;
            diff->regions[diff->n_regions++].destination = destination_of(d, raw);
        }
        struct diff_region *region = &diff->regions[diff->n_regions - 1];
        region->protocols |= raw->region.protocols;
        region->functions |= raw->region.functions;
        diff->widened |= diff_widens(region);
        if (region->destination == NULL || add_ports(&region->ports, raw) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

/* ---- all of it ---- */

static int diff_all(struct differ *d)
{
    for (uint32_t i = 0; i < d->terrain.n_rules; i++) {
        d->has_functions |= d->terrain.rules[i]->when != 0 || d->terrain.rules[i]->http != NULL;
    }
    for (size_t i = 0; i < VIEWS; i++) {
        d->view = VIEW_LIST[i];
        for (int yes = 0; yes <= (d->has_functions ? 1 : 0); yes++) {
            d->functions = yes != 0 ? FUNCTIONS_SAY_YES : FUNCTIONS_SAY_NO;
            int r = diff_view(d);
            if (r < 0) {
                return r;
            }
        }
    }
    return merge(d);
}

int diff_make(struct diff *diff, const ln_policy *a, const ln_policy *b)
{
    *diff = (struct diff){.on_connect = (a->plan.settings.on_connect != 0) !=
                                        (b->plan.settings.on_connect != 0)};
    struct differ d = {.diff = diff, .policy = {a, b}};
    int r = terrain_build(&d.terrain, a, b);
    if (r < 0) {
        return r;
    }
    r = diff_all(&d);
    r = r < 0 ? r : diff_requests(diff, a, b);
    free(d.raws);
    terrain_free(&d.terrain);
    if (r < 0) {
        diff_free(diff);
    }
    return r;
}

void diff_free(struct diff *diff)
{
    for (size_t i = 0; i < diff->n_regions; i++) {
        port_spans_free(&diff->regions[i].ports);
    }
    arena_free(&diff->arena);
    *diff = (struct diff){0};
}
