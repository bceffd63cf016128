/* One view at a time: which rule comes first and which second, place by place.
 *
 * A rule decides where it comes first. It is needed if what then comes first instead ends
 * differently. The guest's names make this hard: an address may have many, and rules see them by
 * side (policy/evaluate.c). Let a rule be first at an address by what the address is. Then any
 * rule by name behind it that comes first among rules by name for some name may come next: give
 * the address that name alone. Let a rule be first by a name. Then next comes what is second for
 * that name, or what is first for another name that the address has too, or for the address.
 *
 * A place that is not fresh differs from its parent only at the ports of its own rules, so only
 * those are visited: that keeps the work near the number of rules. */
#include "policy/survey.h"

#include <errno.h>
#include <string.h>

#include "policy/port_index.h"

/* How rules end, as far as they differ. A rule of a deny list comes before on_connect, so another
 * deny cannot stand in for it. */
enum kind { KIND_DENY, KIND_ALLOW, KIND_REJECT, KIND_LIST, KINDS };

/* Which rules come first among rules by name for some name. */
struct firsts {
    struct port_spans spans;
    struct port_index of_kind[KINDS]; /* the rules that end differently */
};

struct pass {
    struct survey *survey;
    const struct view *view;
    struct layers layers;
    struct arena scratch;
    ln_action fallback;
    bool many_names;       /* an address may have several names */
    bool claims;           /* the client may show a name that is not pinned: only refusals see it */
    struct firsts pinned;  /* of names that all rules see */
    struct firsts claimed; /* of names that only rules that refuse see */
    /* What may come first by address, RULE_NONE (the default) and functions included. */
    struct port_spans reached;
    struct port_index reached_all;
    struct port_index reached_of_kind[KINDS];
    struct port_spans last_reached; /* of each port, none left out */
};

/* ---- how rules end ---- */

static const ln_rule *rule_at(const struct pass *p, uint32_t rule)
{
    return p->survey->terrain.rules[rule];
}

/* Whether a function is asked between the deny lists and the other rules. */
static bool has_hook(const struct pass *p)
{
    const ln_settings *settings = &p->survey->policy->plan.settings;
    return p->view->kind == VIEW_CONNECTION ? settings->on_connect != 0
           : p->view->kind == VIEW_QUERY    ? settings->on_dns != 0
                                            : false;
}

static enum kind kind_of_action(const struct pass *p, ln_action action)
{
    if (action == LN_ALLOW) {
        return KIND_ALLOW;
    }
    return action == LN_REJECT && view_tells_reject(p->view) ? KIND_REJECT : KIND_DENY;
}

static enum kind kind_of(const struct pass *p, uint32_t rule)
{
    if (rule == RULE_NONE) {
        return kind_of_action(p, p->fallback);
    }
    return has_hook(p) && rule_at(p, rule)->deny_list ? KIND_LIST
                                                      : kind_of_action(p, rule_at(p, rule)->action);
}

/* Whether a rule of `kind` could be followed by `next` with another end. A function may fail, and
 * then denies. */
static bool conflicts(const struct pass *p, enum kind kind, uint32_t next)
{
    if (next != RULE_NONE && view_part(p->view, rule_at(p, next)) == PART_FUNCTION) {
        return kind != KIND_DENY || kind_of(p, next) != KIND_DENY;
    }
    return kind != kind_of(p, next);
}

struct keep {
    const struct pass *pass;
    enum kind kind;
};

static bool keep_conflicts(void *user, uint32_t rule)
{
    const struct keep *keep = user;
    return conflicts(keep->pass, keep->kind, rule);
}

static int build_kinds(struct pass *p, struct port_spans *spans, struct port_index of_kind[KINDS])
{
    port_spans_sort(spans);
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct keep keep = {p, kind};
        int r = port_index_build(&of_kind[kind], &p->scratch, spans, keep_conflicts, &keep);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- marking ---- */

static void mark(struct pass *p, uint32_t rule, unsigned what)
{
    p->survey->decides[rule] |= (uint8_t)what;
}

enum { NEEDED = SURVEY_NEEDED | SURVEY_NEEDED_BEYOND_HOST };

static bool is_known(const struct pass *p, uint32_t rule, unsigned what)
{
    return (p->survey->decides[rule] & what) == what;
}

static unsigned decided_by(const struct view *view)
{
    switch (view->kind) {
    case VIEW_CONNECTION:
        return SURVEY_CONNECTION;
    case VIEW_QUERY:
        return SURVEY_QUERY;
    case VIEW_ALIAS:
        return SURVEY_ALIAS;
    case VIEW_ANSWER:
        break;
    }
    return SURVEY_ANSWER;
}

static void note_end(struct pass *p, bool open, bool host)
{
    p->survey->egress_closed |= !open && !host && p->view->kind == VIEW_CONNECTION &&
                                p->view->direction == LN_EGRESS &&
                                (p->view->protocol == LN_TCP || p->view->protocol == LN_UDP);
    p->survey->query_open |= open && p->view->kind == VIEW_QUERY;
}

/* ---- names, first round: what comes first by name ---- */

static int find_firsts_at(struct pass *p, uint32_t entry, bool below, unsigned sides,
                          struct firsts *firsts)
{
    const uint32_t *own = p->survey->terrain.names.entries[entry].bucket;
    uint32_t allow = own[below ? NAME_BELOW_ALLOW : NAME_EXACT_ALLOW];
    uint32_t deny = own[below ? NAME_BELOW_DENY : NAME_EXACT_DENY];
    const uint32_t *bucket_of = p->survey->terrain.bucket_of;
    struct chain chain;
    struct stretch s;
    uint16_t last = view_last_port(p->view);
    chain_of_name(&chain, &p->layers, entry, below, sides);
    for (uint32_t port = view_first_port(p->view); chain_next(&chain, port, last, &s);
         port = s.last + 1u) {
        int r = 0;
        for (uint32_t rule = 0;
             r == 0 && (rule = chain_function(&chain, rule, s.top[0], s.first)) != s.top[0];
             rule++) {
            if (bucket_of[rule] == allow || bucket_of[rule] == deny) {
                r = port_spans_add(&firsts->spans, s.first, s.last, rule);
            }
        }
        uint32_t rule = s.top[0];
        if (r == 0 && rule != RULE_NONE && (bucket_of[rule] == allow || bucket_of[rule] == deny)) {
            r = port_spans_add(&firsts->spans, s.first, s.last, rule);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static bool has_own(const struct pass *p, uint32_t entry, bool below)
{
    const uint32_t *own = p->survey->terrain.names.entries[entry].bucket;
    return own[below ? NAME_BELOW_ALLOW : NAME_EXACT_ALLOW] != BUCKET_NONE ||
           own[below ? NAME_BELOW_DENY : NAME_EXACT_DENY] != BUCKET_NONE;
}

static int find_firsts(struct pass *p)
{
    for (uint32_t i = 0; i < 2 * p->survey->terrain.names.count; i++) {
        bool below = i % 2 != 0;
        if (!has_own(p, i / 2, below)) {
            continue;
        }
        int r = find_firsts_at(p, i / 2, below, SIDE_ALLOW | SIDE_DENY, &p->pinned);
        if (r == 0 && p->claims) {
            r = find_firsts_at(p, i / 2, below, SIDE_DENY, &p->claimed);
        }
        if (r < 0) {
            return r;
        }
    }
    int r = build_kinds(p, &p->pinned.spans, p->pinned.of_kind);
    return r < 0 ? r : build_kinds(p, &p->claimed.spans, p->claimed.of_kind);
}

/* ---- addresses ---- */

/* Whether some rule by name may come between the two. */
static bool name_conflicts(const struct pass *p, enum kind kind, const struct stretch *s)
{
    return port_index_has(&p->pinned.of_kind[kind], s->first, s->last, s->top[0], s->top[1]) ||
           port_index_has(&p->claimed.of_kind[kind], s->first, s->last, s->top[0], s->top[1]);
}

/* Whether some rule of the chain with a function between the first and the second conflicts. */
static bool function_conflicts(const struct pass *p, const struct chain *chain, enum kind kind,
                               const struct stretch *s)
{
    for (uint32_t rule = s->top[0];
         (rule = chain_function(chain, rule + 1, s->top[1], s->first)) != s->top[1];) {
        if (conflicts(p, kind, rule)) {
            return true;
        }
    }
    return false;
}

static int visit_address(struct pass *p, const struct chain *chain, const struct stretch *s,
                         bool host)
{
    uint32_t first = s->top[0];
    unsigned needed = host ? SURVEY_NEEDED : NEEDED;
    unsigned what = decided_by(p->view);
    if (what == SURVEY_CONNECTION) {
        what |= SURVEY_GENUINE | (host ? 0 : SURVEY_BEYOND_HOST);
    }
    for (uint32_t rule = 0; (rule = chain_function(chain, rule, first, s->first)) != first;
         rule++) {
        mark(p, rule, what | NEEDED);
        note_end(p, kind_of(p, rule) == KIND_ALLOW, host);
        note_end(p, false, host);
        int r = port_spans_add(&p->reached, s->first, s->last, rule);
        if (r < 0) {
            return r;
        }
    }
    note_end(p, kind_of(p, first) == KIND_ALLOW, host);
    if (first != RULE_NONE) {
        enum kind kind = kind_of(p, first);
        mark(p, first, what);
        if (!is_known(p, first, needed) &&
            (conflicts(p, kind, s->top[1]) || function_conflicts(p, chain, kind, s) ||
             name_conflicts(p, kind, s))) {
            mark(p, first, needed);
        }
    }
    return port_spans_add(&p->reached, s->first, s->last, first);
}

/* Visits the ports of the chain; not `all`: only those at which the strip `own` has rules. */
static int visit_chain(struct pass *p, struct chain *chain, const struct strip *own, bool all,
                       bool host)
{
    uint16_t last = view_last_port(p->view);
    struct stretch s;
    uint32_t n = all ? 1 : own->n_pieces;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t port = all ? view_first_port(p->view) : own->pieces[i].first;
        uint16_t stop = all || i + 1 == n ? last : (uint16_t)(own->pieces[i + 1].first - 1);
        for (; (all || own->pieces[i].touched) && chain_next(chain, port, stop, &s);
             port = s.last + 1u) {
            int r = visit_address(p, chain, &s, host);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

static int visit_places(struct pass *p)
{
    const struct terrain *terrain = &p->survey->terrain;
    struct chain chain;
    if (p->view->kind == VIEW_QUERY) {
        chain_of_place(&chain, &p->layers, PREFIX_NONE, OWNER_MACHINE);
        return visit_chain(p, &chain, NULL, true, true);
    }
    if (p->view->kind == VIEW_ALIAS) { /* no addresses: as if none had a rule */
        return port_spans_add(&p->reached, 0, 0, RULE_NONE);
    }
    for (uint32_t i = 0; i < OWNERS * terrain->n_places; i++) {
        uint32_t place = i / OWNERS;
        enum owner owner = i % OWNERS;
        if (!view_sees(p->view, &terrain->places[place], owner)) {
            continue;
        }
        bool fresh = terrain->places[place].fresh;
        bool host = owner != OWNER_OTHER;
        int r = 0;
        for (int refuse = 0; r == 0 && refuse < (fresh ? 1 : 2); refuse++) {
            const struct strip *own = &p->layers.strips[place_bucket(place, refuse != 0)];
            if (fresh || own->n_pieces > 0) {
                chain_of_place(&chain, &p->layers, place, owner);
                r = visit_chain(p, &chain, own, fresh, host);
            }
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int index_reached(struct pass *p)
{
    int r = build_kinds(p, &p->reached, p->reached_of_kind);
    r = r < 0 ? r : port_index_build(&p->reached_all, &p->scratch, &p->reached, NULL, NULL);
    struct port_spans *runs = &p->last_reached;
    uint16_t last;
    for (uint32_t port = 0; r == 0 && port <= UINT16_MAX; port = last + 1u) {
        uint32_t max = port_index_max(&p->reached_all, (uint16_t)port, &last);
        r = port_spans_add(runs, (uint16_t)port, last, max);
    }
    return r;
}

/* The run that holds the port. */
static uint32_t run_of(const struct port_spans *runs, uint16_t port)
{
    uint32_t low = 0;
    for (uint32_t count = runs->n; count > 1;) {
        uint32_t half = count / 2;
        low = runs->at[low + half].first <= port ? low + half : low;
        count -= half;
    }
    return low;
}

/* Leaves of the spans only the ports at which the rule is reached at some address. */
static int clip(struct pass *p, struct firsts *firsts)
{
    struct port_spans clipped = {0};
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < firsts->spans.n; i++) {
        struct port_span span = firsts->spans.at[i];
        for (uint32_t k = run_of(&p->last_reached, span.first);
             r == 0 && k < p->last_reached.n && p->last_reached.at[k].first <= span.last; k++) {
            const struct port_span *run = &p->last_reached.at[k];
            if (run->rule > span.rule) {
                r = port_spans_add(&clipped, run->first > span.first ? run->first : span.first,
                                   run->last < span.last ? run->last : span.last, span.rule);
            }
        }
    }
    port_spans_free(&firsts->spans);
    firsts->spans = clipped;
    return r < 0 ? r : build_kinds(p, &firsts->spans, firsts->of_kind);
}

/* ---- names, second round ---- */

/* Whether some address leaves rules above `rule` a say. */
static bool is_reached(const struct pass *p, const struct stretch *s, uint32_t rule)
{
    return port_index_has(&p->reached_all, s->first, s->last, rule, UINT64_MAX);
}

/* Whether what comes after the first may end differently. `chain` is of rules by name. */
static bool name_is_needed(const struct pass *p, const struct chain *chain, const struct stretch *s,
                           const struct firsts *firsts)
{
    uint32_t first = s->top[0];
    uint32_t second = s->top[1];
    enum kind kind = kind_of(p, first);
    if (second != RULE_NONE && conflicts(p, kind, second) && is_reached(p, s, second)) {
        return true;
    }
    for (uint32_t rule = first;
         (rule = chain_function(chain, rule + 1, second, s->first)) != second;) {
        if (conflicts(p, kind, rule) && is_reached(p, s, rule)) {
            return true;
        }
    }
    uint64_t end = second == RULE_NONE ? UINT64_MAX : second;
    return port_index_has(&p->reached_of_kind[kind], s->first, s->last, first, end) ||
           (p->many_names &&
            port_index_has(&firsts->of_kind[kind], s->first, s->last, first, second));
}

static void visit_name(struct pass *p, const struct chain *chain, const struct stretch *s,
                       const struct firsts *firsts)
{
    uint32_t first = s->top[0];
    unsigned what = decided_by(p->view);
    if (what == SURVEY_CONNECTION) {
        what |= SURVEY_BEYOND_HOST | (firsts == &p->pinned ? SURVEY_GENUINE : 0);
    }
    for (uint32_t rule = 0; (rule = chain_function(chain, rule, first, s->first)) != first;
         rule++) {
        if (is_reached(p, s, rule)) {
            mark(p, rule, what | NEEDED);
            note_end(p, false, false);
        }
    }
    if (first == RULE_NONE || is_known(p, first, what | NEEDED) || !is_reached(p, s, first)) {
        return;
    }
    mark(p, first, what);
    note_end(p, kind_of(p, first) == KIND_ALLOW, false);
    if (name_is_needed(p, chain, s, firsts)) {
        mark(p, first, NEEDED);
    }
}

static void visit_names(struct pass *p, unsigned sides, const struct firsts *firsts)
{
    struct chain chain;
    struct stretch s;
    uint16_t last = view_last_port(p->view);
    for (uint32_t i = 0; i < 2 * p->survey->terrain.names.count; i++) {
        bool below = i % 2 != 0;
        if (!has_own(p, i / 2, below)) {
            continue;
        }
        chain_of_name(&chain, &p->layers, i / 2, below, sides);
        for (uint32_t port = view_first_port(p->view); chain_next(&chain, port, last, &s);
             port = s.last + 1u) {
            visit_name(p, &chain, &s, firsts);
        }
    }
}

/* ---- passes ---- */

static int survey_view(struct pass *p)
{
    int r = layers_build(&p->layers, &p->survey->terrain, p->view, FUNCTIONS_APART, 0,
                         p->survey->terrain.n_rules);
    r = r < 0 ? r : find_firsts(p);
    r = r < 0 ? r : visit_places(p);
    if (r < 0 || p->survey->terrain.names.count == 0) {
        return r;
    }
    r = index_reached(p);
    r = r < 0 ? r : clip(p, &p->pinned);
    r = r < 0 ? r : clip(p, &p->claimed);
    if (r == 0) {
        visit_names(p, SIDE_ALLOW | SIDE_DENY, &p->pinned);
        if (p->claims) {
            visit_names(p, SIDE_DENY, &p->claimed);
        }
    }
    return r;
}

static int survey_pass(struct survey *survey, const struct view *view)
{
    const ln_settings *settings = &survey->policy->plan.settings;
    if (view->kind == VIEW_ANSWER && !settings->dns_rebind_protection) {
        return 0;
    }
    struct pass p = {
        .survey = survey,
        .view = view,
        .fallback = view_default(view, settings),
        .many_names = view->kind == VIEW_CONNECTION,
        .claims = view->kind == VIEW_CONNECTION && view->direction == LN_EGRESS,
    };
    int r = survey_view(&p);
    port_spans_free(&p.pinned.spans);
    port_spans_free(&p.claimed.spans);
    port_spans_free(&p.reached);
    port_spans_free(&p.last_reached);
    layers_free(&p.layers);
    arena_free(&p.scratch);
    return r;
}

int survey_make(struct survey *survey, const ln_policy *policy)
{
    *survey = (struct survey){.policy = policy};
    int r = terrain_build(&survey->terrain, policy, NULL);
    if (r < 0) {
        return r;
    }
    struct terrain *terrain = &survey->terrain;
    survey->decides = arena_array(&terrain->arena, terrain->n_rules, sizeof(*survey->decides));
    r = survey->decides == NULL ? -ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < VIEWS; i++) {
        r = survey_pass(survey, &VIEW_LIST[i]);
    }
    if (r < 0) {
        survey_free(survey);
    }
    return r;
}

void survey_free(struct survey *survey)
{
    terrain_free(&survey->terrain);
    *survey = (struct survey){0};
}
