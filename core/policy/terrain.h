/* The space in which rules lie, cut into places in each of which every rule either holds all or
 * nothing: what lint and diff reason about, so that they need no samples.
 *
 * Theory of operation. A verdict depends on an address (whether it is one of the group `host` is
 * known only where lunette runs: each address is taken both ways), on names, on where the
 * address is registered, on a class of traffic and on a port.
 *   - Addresses. The prefixes of all rules, and those at whose ends an address changes its group or
 *     becomes reserved or forbidden, nest or are disjoint: a tree. A place is what a prefix holds
 *     outside of the prefixes inside it. All of it lies in the same rules.
 *   - Names. An entry of the name map is two places: exactly the name, and any name below it that
 *     no rule knows. Names that no rule knows are endless, so rules about what is below a name
 *     are hidden only by rules about what is below it or below a name above it.
 *   - Countries, continents and autonomous systems are like names that an address has or has not.
 *   - Ports. Each bucket of rules has, for one view (a kind of question that is asked of a policy),
 *     a strip: which of its rules come first and second at each port.
 * The rules that hold a place are those of a chain of buckets; the first and the second of the
 * chain at a port tell which rule decides there, and which would if that one were not. */
#ifndef LN_POLICY_TERRAIN_H
#define LN_POLICY_TERRAIN_H

#include "policy/ruleset.h"

/* ---- views ---- */

enum view_kind {
    VIEW_CONNECTION, /* ln_policy_evaluate() */
    VIEW_QUERY,      /* ln_policy_evaluate_dns() */
    VIEW_ALIAS,      /* ln_policy_evaluate_alias() */
    VIEW_ANSWER      /* ln_policy_evaluate_answer() */
};

struct view {
    enum view_kind kind;
    ln_direction direction;
    ln_protocol protocol; /* VIEW_CONNECTION; VIEW_QUERY: the transport */
};

/* Everything that is asked of a policy. ICMP to the guest is never allowed for. */
enum { VIEWS = 10 };
extern const struct view VIEW_LIST[VIEWS];

/* PART_FUNCTION: with `when` or `http`, which may say that it does not match. */
enum part { PART_NONE, PART_FIXED, PART_FUNCTION };
enum part view_part(const struct view *view, const ln_rule *rule);
/* The ports of the view: 1 to 65535, or 0 alone where there are none. */
uint16_t view_first_port(const struct view *view);
uint16_t view_last_port(const struct view *view);
/* What happens where no rule decides. */
ln_action view_default(const struct view *view, const ln_settings *settings);
/* Whether ln_action makes a difference beyond allow or not: on the wire a reject is not a deny. */
static inline bool view_tells_reject(const struct view *view)
{
    return view->kind == VIEW_CONNECTION;
}

/* ---- places ---- */

/* Whose an address is besides what it is; some prefixes spare the gateway's. */
enum owner { OWNER_OTHER, OWNER_MACHINE, OWNER_GATEWAY, OWNERS };

struct place {
    ln_prefix prefix;
    uint32_t parent; /* the closest prefix around it, or PREFIX_NONE */
    uint32_t end;    /* places inside have the numbers from the next one up to before `end` */
    ln_group group;  /* unless the address is one of `host` */
    bool v4, never, reserved;
    bool pool;  /* the gateway's addresses are of here */
    bool real;  /* some address is in no prefix inside it; `example` is the first such */
    bool fresh; /* its parent is not real, or of another group, or … reserved or never */
    ln_addr example;
};

struct terrain {
    struct arena arena;
    const ln_rule *const *rules; /* of one policy, or of two, one behind the other */
    uint32_t n_rules;
    struct place *places; /* in the order of prefix_compare() */
    uint32_t n_places;
    struct name_map names; /* and registrations, as `country(DE)`, first */
    uint32_t n_registrations;
    uint32_t *above; /* of each name: the closest entry above it with rules for what is below */
    /* Rules by bucket: numbered as in a ruleset, but that a place has two. */
    uint32_t *bucket_of; /* of each rule */
    uint32_t n_buckets;
    uint32_t *start; /* of each bucket in members[], and the end of the last */
    uint32_t *members;
};

/* The terrain of a policy, or of two (`other` may be NULL). Returns 0 or -ENOMEM, and then nothing
 * is left to free. */
int terrain_build(struct terrain *terrain, const ln_policy *policy, const ln_policy *other);
void terrain_free(struct terrain *terrain);
/* The bucket of the rules by a place's prefix that allow, or of those that refuse. */
static inline uint32_t place_bucket(uint32_t place, bool refuse)
{
    return (uint32_t)BUCKET_PREFIX_0 + 2 * place + (refuse ? 1 : 0);
}
/* The entry of a rule by name or registration. */
uint32_t terrain_entry(const struct terrain *terrain, uint32_t rule);
/* Whether it is one: the others are by address. */
bool rule_has_entry(const ln_rule *rule);
/* Whether the view asks about the place's addresses as those of `owner`. */
bool view_sees(const struct view *view, const struct place *place, enum owner owner);
/* Whether a rule by address matches there. */
bool view_holds(const struct view *view, const ln_rule *rule, const struct place *place,
                enum owner owner);

/* ---- strips ---- */

struct strip_piece {
    uint16_t first;  /* up to before the next piece */
    bool touched;    /* some rule is here, with a function or without */
    uint32_t top[2]; /* the first and the second rule without a function, or RULE_NONE */
};

struct strip {
    const struct strip_piece *pieces; /* from the view's first port to its last; NULL: no rule */
    uint32_t n_pieces;
    const uint32_t *functions; /* its rules with one, ascending */
    uint32_t n_functions;
};

/* What is made of rules with a function. */
enum functions { FUNCTIONS_APART, FUNCTIONS_SAY_NO, FUNCTIONS_SAY_YES };

struct layers {
    struct arena arena;
    const struct terrain *terrain;
    struct view view;
    enum functions functions;
    struct strip *strips; /* of each bucket */
};

/* The strips of the rules numbered from `from` up to before `to`. Returns 0 or -ENOMEM, and then
 * nothing is left to free. */
int layers_build(struct layers *layers, const struct terrain *terrain, const struct view *view,
                 enum functions functions, uint32_t from, uint32_t to);
void layers_free(struct layers *layers);

/* ---- chains ---- */

enum { CHAIN_MAX = 2 * 129 + 2 /* prefixes of each length; fewer labels fit in a name */ };

struct chain {
    const struct layers *layers;
    const struct strip *strips[CHAIN_MAX];
    uint32_t at[CHAIN_MAX]; /* the piece of each strip that the walk has come to */
    uint32_t n;
};

struct stretch {
    uint16_t first, last;
    uint32_t top[2];
};

/* The chain of a place; `place` PREFIX_NONE: of a resolver, of which only the group is known. */
void chain_of_place(struct chain *chain, const struct layers *layers, uint32_t place,
                    enum owner owner);
/* The chain of a name, exactly it or what is below, as rules of `sides` see it; of a registration,
 * which all rules see. */
void chain_of_name(struct chain *chain, const struct layers *layers, uint32_t entry, bool below,
                   unsigned sides);
/* Walks the ports from `first` to `last`, a stretch at a time in which nothing changes:
 *     for (uint32_t port = first; chain_next(&chain, port, last, &s); port = s.last + 1u) */
bool chain_next(struct chain *chain, uint32_t port, uint16_t last, struct stretch *ret);
/* The first rule with a function from `from` up to before `end` at the port, or `end`. */
uint32_t chain_function(const struct chain *chain, uint32_t from, uint32_t end, uint16_t port);

#endif
