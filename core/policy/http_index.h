/* The rules about requests of one bucket: which of them come into question for a path.
 *
 * Theory of operation. What a rule's path starts with, up to its first "*", is its literal; a rule
 * without a path has an empty one. A path can only match rules whose literal it starts with. The
 * literals are sorted, and each knows the longest other one that it starts with: what sorts last
 * before the path, and those it leads to, are all there are. Rules that refuse do not tell upper
 * case from lower, so they have literals of their own, in lower case.
 *
 * What a request costs grows with the rules that come into question for its path. Those are few
 * where patterns differ before their first "*". Of patterns that begin alike up to a star they are
 * all, and for a path that is ambiguous all that refuse: a guest can make a request cost some 35 ns
 * for each such rule, or 11 ns where the path is ambiguous. The policy sets this bound, not the
 * guest. */
#ifndef LN_POLICY_HTTP_INDEX_H
#define LN_POLICY_HTTP_INDEX_H

#include "base/arena.h"
#include "policy/http_match.h"

struct http_literal {
    const char *text;
    uint32_t len;
    uint32_t parent;         /* the longest one that it starts with, or UINT32_MAX */
    uint32_t first, n_rules; /* of the index's rules[]: ascending */
};

/* The rules of a bucket that allow, or those that refuse. Immutable; of an arena. */
struct http_index {
    const struct http_literal *literals;
    const uint32_t *rules; /* by literal */
    const uint32_t *all;   /* ascending */
    uint32_t n_literals, n_rules;
};

/* Of `n` of `rules`, ascending, all of which are about requests; `allow`: they allow. Returns 0 or
 * -ENOMEM. */
int http_index_build(struct http_index *index, struct arena *arena, const ln_rule *rules,
                     const uint32_t *members, uint32_t n, bool allow);

/* The first rule below `best` that matches the request and that `wanted` wants, else `best`. */
uint32_t http_index_find(const struct http_index *index, const ln_rule *rules,
                         const struct http_facts *facts, uint32_t best,
                         bool (*wanted)(const void *user, const ln_rule *rule, uint32_t number),
                         const void *user);

#endif
