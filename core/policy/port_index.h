/* Which rules hold somewhere in a stretch of ports: a segment tree over ports, for the question
 * whether any rule between two others does. */
#ifndef LN_POLICY_PORT_INDEX_H
#define LN_POLICY_PORT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "policy/port_map.h"

struct port_span {
    uint16_t first, last;
    uint32_t rule; /* RULE_NONE is a rule like others, the last */
};

/* Zero-initialise to start, end with port_spans_free(). */
struct port_spans {
    struct port_span *at;
    uint32_t n, room;
};

/* A span that goes on where the one added before ends becomes one with it. Returns 0 or -ENOMEM. */
int port_spans_add(struct port_spans *spans, uint16_t first, uint16_t last, uint32_t rule);
/* Brings them in the order of their rules, each once. */
void port_spans_sort(struct port_spans *spans);
void port_spans_free(struct port_spans *spans);

/* Lists of rules, ascending, by node of a tree: those of node k are rules[start[k]] up to before
 * rules[start[k + 1]]. The root is node 1, the children of k are 2k and 2k + 1. */
struct node_lists {
    uint32_t *start, *rules;
};

/* Immutable; memory belongs to an arena. */
struct port_index {
    uint32_t *cuts; /* where the leaves start */
    uint32_t n_leaves;
    uint32_t width;           /* number of the first leaf's node */
    struct node_lists all;    /* the rules that hold all of the node but not of its parent */
    struct node_lists starts; /* the rules with a span that starts in the node */
};

/* Of those sorted spans whose rule `keep` (NULL: all) keeps. Returns 0 or -ENOMEM. */
int port_index_build(struct port_index *index, struct arena *arena, const struct port_spans *spans,
                     bool (*keep)(void *user, uint32_t rule), void *user);
/* Whether a rule `above` < rule < `end` holds a port from `first` to `last`. `end` is 64 bits wide
 * so that RULE_NONE can be below it. */
bool port_index_has(const struct port_index *index, uint16_t first, uint16_t last, uint32_t above,
                    uint64_t end);
/* The last rule that holds `first`; *ret_last is up to where, at most, that is so. There is one. */
uint32_t port_index_max(const struct port_index *index, uint16_t first, uint16_t *ret_last);

#endif
