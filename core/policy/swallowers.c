/* Which earlier rules match what a rule that decides no connection matches: those that come first
 * at its places and ports. */
#include <errno.h>
#include <string.h>

#include "policy/survey.h"

enum { PLACES_MAX = 1024 /* looked at for one rule: all swallowers need not be told */ };

struct hunt {
    const struct survey *survey;
    const struct layers *layers;
    uint32_t rule;
    struct swallowers *ret;
    uint32_t n_places;
};

static void add(struct hunt *h, uint32_t rule)
{
    struct swallowers *s = h->ret;
    uint32_t at = 0;
    while (at < s->n && s->rules[at] < rule) {
        at++;
    }
    if (rule >= h->rule || (at < s->n && s->rules[at] == rule)) {
        return;
    }
    if (s->n == SWALLOWERS_MAX) {
        s->more = true;
        return;
    }
    memmove(&s->rules[at + 1], &s->rules[at], (s->n - at) * sizeof(*s->rules));
    s->rules[at] = rule;
    s->n++;
}

/* Whether a rule that is found already does here too: the fewer are told the better. */
static bool is_found(const struct hunt *h, const struct place *place, enum owner owner,
                     uint16_t port)
{
    const struct view *view = &h->layers->view;
    for (uint32_t i = 0; i < h->ret->n; i++) {
        const ln_rule *rule = h->survey->terrain.rules[h->ret->rules[i]];
        if (view_part(view, rule) == PART_FIXED && view_holds(view, rule, place, owner) &&
            rule_has_port(rule, view->protocol, port)) {
            return true;
        }
    }
    return false;
}

static void hunt_place(struct hunt *h, uint32_t place, enum owner owner, uint16_t first,
                       uint16_t last)
{
    struct chain chain;
    struct stretch s;
    chain_of_place(&chain, h->layers, place, owner);
    for (uint32_t port = first; chain_next(&chain, port, last, &s); port = s.last + 1u) {
        h->ret->nothing = false;
        if (!is_found(h, &h->survey->terrain.places[place], owner, s.first)) {
            add(h, s.top[0]);
        }
    }
}

/* What comes first by address; `rule` NULL: at all places. */
static void hunt_places(struct hunt *h, const ln_rule *rule, uint16_t first, uint16_t last)
{
    const struct terrain *terrain = &h->survey->terrain;
    const struct view *view = &h->layers->view;
    uint32_t from = 0;
    uint32_t to = terrain->n_places;
    if (rule != NULL && rule->destination.kind == LN_DEST_PREFIX) {
        from = (terrain->bucket_of[h->rule] - BUCKET_PREFIX_0) / 2;
        to = terrain->places[from].end;
    }
    for (uint32_t i = 0; i < OWNERS * (to - from); i++) {
        enum owner owner = i / (to - from); /* the machine's own addresses last */
        uint32_t number = from + i % (to - from);
        const struct place *place = &terrain->places[number];
        bool differs = number == from || place->fresh ||
                       h->layers->strips[place_bucket(number, false)].n_pieces > 0 ||
                       h->layers->strips[place_bucket(number, true)].n_pieces > 0;
        if (!differs || !place->real || (rule != NULL && !view_holds(view, rule, place, owner))) {
            continue;
        }
        if (!view_sees(view, place, owner)) {
            h->ret->never |= place->never;
            continue;
        }
        if (h->n_places++ == PLACES_MAX) {
            h->ret->more = true;
            return;
        }
        hunt_place(h, number, owner, first, last);
    }
}

/* What comes first by the rule's name or registration, and where nothing does, by address. */
static void hunt_name(struct hunt *h, const ln_rule *rule, uint16_t first, uint16_t last)
{
    uint32_t entry = terrain_entry(&h->survey->terrain, h->rule);
    bool claims = h->layers->view.direction == LN_EGRESS && rule->action != LN_ALLOW &&
                  (h->survey->decides[h->rule] & SURVEY_CONNECTION) == 0;
    struct chain chain;
    struct stretch s;
    chain_of_name(&chain, h->layers, entry, rule->destination.kind == LN_DEST_SUFFIX,
                  claims ? SIDE_DENY : SIDE_ALLOW | SIDE_DENY);
    for (uint32_t port = first; chain_next(&chain, port, last, &s); port = s.last + 1u) {
        h->ret->nothing = false;
        if (s.top[0] < h->rule) {
            add(h, s.top[0]);
        } else {
            hunt_places(h, NULL, s.first, s.last);
        }
    }
}

static void hunt_rule(struct hunt *h)
{
    const struct view *view = &h->layers->view;
    const ln_rule *rule = h->survey->terrain.rules[h->rule];
    void (*hunt)(struct hunt * h, const ln_rule *rule, uint16_t first, uint16_t last) =
        rule_has_entry(rule) ? hunt_name : hunt_places;
    if (rule->n_ports == 0) {
        hunt(h, rule, view_first_port(view), view_last_port(view));
    }
    for (size_t i = 0; i < rule->n_ports; i++) {
        hunt(h, rule, rule->ports[i].first, rule->ports[i].last);
    }
}

int survey_swallowers(const struct survey *survey, const uint32_t *rules, uint32_t n,
                      struct swallowers *ret)
{
    for (uint32_t i = 0; i < n; i++) {
        ret[i] = (struct swallowers){.nothing = true};
    }
    for (size_t v = 0; v < VIEWS && n > 0 && VIEW_LIST[v].kind == VIEW_CONNECTION; v++) {
        struct layers layers;
        int r = layers_build(&layers, &survey->terrain, &VIEW_LIST[v], FUNCTIONS_APART, 0,
                             survey->terrain.n_rules);
        if (r < 0) {
            return r;
        }
        for (uint32_t i = 0; i < n; i++) {
            struct hunt h = {.survey = survey, .layers = &layers, .rule = rules[i], .ret = &ret[i]};
            if (view_part(&layers.view, survey->terrain.rules[rules[i]]) != PART_NONE) {
                hunt_rule(&h);
            }
        }
        layers_free(&layers);
    }
    for (uint32_t i = 0; i < n; i++) {
        ret[i].never &= ret[i].nothing;
    }
    return 0;
}
