/* Many texts looked for at once (Aho and Corasick, 1975), with a filter in front that skips what
 * cannot begin one (also after Wu and Manber, 1994).
 *
 * Each text is looked for as it is and in base64, at each of its three alignments and in both
 * alphabets. Escapes are for secrets/readings.h. */
#ifndef LN_SECRETS_AUTOMATON_H
#define LN_SECRETS_AUTOMATON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Bytes. Of a shorter text, what base64 keeps whatever stands around is too little to go by. */
    BASE64_TEXT_MIN = 6,
    AUTOMATON_NODES_MAX = 1 << 24
};

struct automaton_text {
    const uint8_t *bytes;
    size_t len;
    uint32_t secret;
    bool bare; /* not in base64 too */
};

enum pattern_form {
    PATTERN_PLAIN,
    PATTERN_PLUS, /* as it is, but "+" for a space, as forms have it */
    PATTERN_BASE64
};

struct pattern {
    uint32_t secret;
    enum pattern_form form;
    uint32_t len;
    uint8_t shift; /* of base64: how many bytes into a group of three the text begins */
};

struct automaton_node {
    uint32_t child, sibling; /* 0: none */
    uint32_t fail;           /* the longest suffix that is in the trie */
    uint32_t out;            /* the longest pattern that ends here, + 1; 0: none */
    uint16_t depth;
    uint16_t open; /* depth of the longest suffix, or itself, that more bytes may lengthen */
    uint8_t byte;
};

enum { AUTOMATON_SHIFTS = 4096, PAIRS_MAX = 8 };

struct automaton {
    uint32_t refs;
    bool secret, locked;
    size_t size; /* of all of it, which is one piece of memory */
    struct automaton_node *nodes;
    struct pattern *patterns;
    uint32_t n_nodes, n_patterns;
    uint32_t longest; /* bytes */
    uint32_t window;  /* bytes that the filter looks at; 0: texts are too short for it */
    uint32_t n_pairs; /* the filter's other way, where not 0: how texts begin */
    uint8_t pairs[PAIRS_MAX][2];
    bool window_bytes[256]; /* those that the filter may have left behind of a text */
    bool bytes[256];        /* those of texts */
    bool beyond_ascii;
    uint32_t root[256];
    uint8_t shifts[AUTOMATON_SHIFTS]; /* by two bytes: how far no text begins */
};

/* Copies the texts, none of which is empty or longer than 8 KiB. `secret`: into locked memory.
 * Returns 0 and an automaton with one reference, -E2BIG over AUTOMATON_NODES_MAX, or -ENOMEM. */
int automaton_new(const struct automaton_text *texts, size_t n, bool secret,
                  struct automaton **ret);
struct automaton *automaton_ref(struct automaton *automaton);
struct automaton *automaton_unref(struct automaton *automaton); /* takes NULL, returns NULL */

/* The node after `byte`; the root is 0. */
static inline uint32_t automaton_step(const struct automaton *automaton, uint32_t node,
                                      uint8_t byte)
{
    while (node != 0) {
        for (uint32_t c = automaton->nodes[node].child; c != 0; c = automaton->nodes[c].sibling) {
            if (automaton->nodes[c].byte == byte) {
                return c;
            }
        }
        node = automaton->nodes[node].fail;
    }
    return automaton->root[byte];
}

/* How many of the first bytes cannot begin a text, in whatever reading: a walk over `data` from the
 * root may start behind them. */
size_t automaton_skip(const struct automaton *automaton, const uint8_t *data, size_t len);

#endif
