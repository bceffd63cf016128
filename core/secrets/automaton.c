/* A trie with failure links. Children are lists: nearly every node has one, and the root, which has
 * more, has a table.
 *
 * The filter in front goes by how texts begin. As a rule that is in few ways, since placeholders
 * that were made up begin alike: then the pairs of bytes that they begin with are searched for,
 * 16 places at a time. Else it looks at the two bytes that would end a text's first `window` bytes:
 * what stands in no such place of any text moves the window on by all but one of its bytes.
 *
 * Bytes of escapes, and line breaks inside base64, are none of a text as it is: the filter stops in
 * front of them where what they stand for may be part of a text. It stops a byte, or less than a
 * window, in front, which is enough: a text with more in front of the escape was stopped at for
 * these. */
#include "secrets/automaton.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/encode.h"
#include "secrets/locked.h"

enum { WINDOW_MAX = 8, WINDOW_MIN = 3, STRIP = 256, ESCAPE_LEN = 6, TEXT_MAX = 8 << 10 };

/* ---- the trie ---- */

struct builder {
    struct automaton *automaton; /* NULL: everything is only counted */
    size_t nodes, patterns;
};

static uint32_t child_of(struct automaton *a, uint32_t node, uint8_t byte)
{
    if (node == 0 && a->root[byte] != 0) {
        return a->root[byte];
    }
    uint32_t child = node == 0 ? 0 : a->nodes[node].child;
    while (child != 0 && a->nodes[child].byte != byte) {
        child = a->nodes[child].sibling;
    }
    if (child != 0) {
        return child;
    }
    child = a->n_nodes++;
    a->nodes[child] = (struct automaton_node){.byte = byte,
                                              .sibling = a->nodes[node].child,
                                              .depth = (uint16_t)(a->nodes[node].depth + 1)};
    a->nodes[node].child = child;
    if (node == 0) {
        a->root[byte] = child;
    }
    return child;
}

/* Of two equal patterns the first one counts. */
static void add(struct builder *builder, const uint8_t *bytes, size_t len, struct pattern pattern)
{
    builder->nodes += len;
    builder->patterns++;
    struct automaton *a = builder->automaton;
    if (a == NULL) {
        return;
    }
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        node = child_of(a, node, bytes[i]);
        a->bytes[bytes[i]] = true;
        a->beyond_ascii = a->beyond_ascii || bytes[i] >= 0x80;
    }
    if (a->nodes[node].out == 0) {
        pattern.len = (uint32_t)len;
        a->patterns[a->n_patterns++] = pattern;
        a->nodes[node].out = a->n_patterns;
        a->longest = len > a->longest ? (uint32_t)len : a->longest;
    }
}

static void add_plus(struct builder *builder, const struct automaton_text *text)
{
    uint8_t bytes[TEXT_MAX];
    for (size_t i = 0; i < text->len; i++) {
        bytes[i] = text->bytes[i] == ' ' ? '+' : text->bytes[i];
    }
    add(builder, bytes, text->len, (struct pattern){.secret = text->secret, .form = PATTERN_PLUS});
    explicit_bzero(bytes, text->len);
}

static void add_base64(struct builder *builder, const struct automaton_text *text)
{
    uint8_t bytes[BASE64_CORE_MAX(TEXT_MAX)];
    for (unsigned i = 0; i < 6; i++) {
        size_t len = base64_core(text->bytes, text->len, i / 2, i % 2 != 0, bytes);
        struct pattern pattern = {
            .secret = text->secret, .form = PATTERN_BASE64, .shift = (uint8_t)(i / 2)};
        if (i % 2 == 0 || memchr(bytes, '-', len) != NULL || memchr(bytes, '_', len) != NULL) {
            add(builder, bytes, len, pattern);
        }
    }
    explicit_bzero(bytes, sizeof(bytes));
}

static void add_texts(struct builder *builder, const struct automaton_text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert(texts[i].len > 0 && texts[i].len <= TEXT_MAX);
        add(builder, texts[i].bytes, texts[i].len, (struct pattern){.secret = texts[i].secret});
        if (memchr(texts[i].bytes, ' ', texts[i].len) != NULL) {
            add_plus(builder, &texts[i]);
        }
        if (texts[i].len >= BASE64_TEXT_MIN && !texts[i].bare) {
            add_base64(builder, &texts[i]);
        }
    }
}

/* Sets what hangs on shorter nodes, level by level; `queue` has room for every node. */
static void link_nodes(struct automaton *a, uint32_t *queue)
{
    size_t head = 0;
    size_t tail = 0;
    for (uint32_t c = a->nodes[0].child; c != 0; c = a->nodes[c].sibling) {
        queue[tail++] = c;
    }
    while (head < tail) {
        uint32_t at = queue[head++];
        struct automaton_node *node = &a->nodes[at];
        const struct automaton_node *shorter = &a->nodes[node->fail];
        node->out = node->out != 0 ? node->out : shorter->out;
        node->open = node->child != 0 ? node->depth : shorter->open;
        for (uint32_t c = node->child; c != 0; c = a->nodes[c].sibling) {
            a->nodes[c].fail = automaton_step(a, node->fail, a->nodes[c].byte);
            queue[tail++] = c;
        }
    }
}

/* ---- the filter ---- */

static uint32_t block_of(const uint8_t *two)
{
    return ((uint32_t)two[0] << 4 ^ two[1]) % AUTOMATON_SHIFTS;
}

/* Walks the first `window` levels: `prefix` is the way to `node`. */
static void note_blocks(struct automaton *a, uint32_t node, uint8_t prefix[WINDOW_MAX])
{
    uint32_t depth = a->nodes[node].depth;
    if (depth > 0) {
        prefix[depth - 1] = a->nodes[node].byte;
    }
    if (depth >= 2) {
        uint8_t *shift = &a->shifts[block_of(prefix + depth - 2)];
        uint8_t far = (uint8_t)(a->window - depth);
        *shift = far < *shift ? far : *shift;
    }
    if (depth < a->window) {
        for (uint32_t c = a->nodes[node].child; c != 0; c = a->nodes[c].sibling) {
            note_blocks(a, c, prefix);
        }
    }
}

/* Notes the pairs of bytes that texts begin with; none where there are too many. */
static void note_pairs(struct automaton *a)
{
    for (uint32_t c = a->nodes[0].child; c != 0; c = a->nodes[c].sibling) {
        for (uint32_t d = a->nodes[c].child; d != 0; d = a->nodes[d].sibling) {
            if (a->n_pairs == PAIRS_MAX) {
                a->n_pairs = 0;
                return;
            }
            a->pairs[a->n_pairs][0] = a->nodes[c].byte;
            a->pairs[a->n_pairs++][1] = a->nodes[d].byte;
        }
    }
}

static void make_filter(struct automaton *a)
{
    uint32_t shortest = WINDOW_MAX;
    for (uint32_t i = 0; i < a->n_patterns; i++) {
        shortest = a->patterns[i].len < shortest ? a->patterns[i].len : shortest;
    }
    a->window = shortest < WINDOW_MIN ? 0 : shortest;
    if (a->window == 0) {
        return;
    }
    uint8_t prefix[WINDOW_MAX];
    memset(a->shifts, (int)a->window - 1, sizeof(a->shifts));
    note_blocks(a, 0, prefix);
    explicit_bzero(prefix, sizeof(prefix));
    note_pairs(a);
    for (unsigned c = 0; c < 256; c++) {
        a->window_bytes[c] = a->n_pairs > 0 ? a->root[c] != 0 : a->bytes[c];
    }
}

static bool is_special(uint8_t c)
{
    return c == '%' || c == '\\' || c == '\r' || c == '\n';
}

static bool is_break(uint8_t c)
{
    return c == '\r' || c == '\n';
}

/* Whether an escape for `c`, or a line break, may be part of a text: it begins one, or what stands
 * in front of it does, as far as a single byte can tell. */
static bool may_be_part(const struct automaton *a, int c, const uint8_t *data, size_t at)
{
    /* Of a text that was begun, more than CR and LF leave nothing (secrets/readings.c). */
    for (unsigned n = 0; n < 2 && at > 0 && is_break(data[at - 1]); n++) {
        at--;
    }
    bool behind = at > 0 && a->window_bytes[data[at - 1]];
    return c == '\r' || c == '\n' ? behind : a->bytes[c] && (behind || a->root[c] != 0);
}

static bool percent_matters(const struct automaton *a, const uint8_t *data, size_t at)
{
    int high = hex_digit(data[at + 1]);
    int low = hex_digit(data[at + 2]);
    if (high < 0 || low < 0) {
        return false;
    }
    int c = high << 4 | low;
    if (c != '%' || may_be_part(a, c, data, at)) {
        return may_be_part(a, c, data, at);
    }
    /* Decoded once more. */
    high = hex_digit(data[at + 3]);
    low = hex_digit(data[at + 4]);
    return data[at + 3] == '%' || data[at + 4] == '%' ||
           (high >= 0 && low >= 0 && may_be_part(a, high << 4 | low, data, at));
}

static bool backslash_matters(const struct automaton *a, const uint8_t *data, size_t at)
{
    const uint8_t *p = data + at;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
        return may_be_part(a, p[1], data, at);
    case 'n':
    case 'r':
        return may_be_part(a, '\n', data, at);
    case 't':
        return may_be_part(a, '\t', data, at);
    case 'u':
        return a->beyond_ascii || (p[2] == '0' && p[3] == '0');
    default:
        return false; /* \b and \f: no text has these */
    }
}

/* Whether what a special byte stands for may be part of a text; also when that cannot be told yet.
 */
static bool matters(const struct automaton *a, const uint8_t *data, size_t at, size_t len)
{
    if (at + ESCAPE_LEN > len) {
        return true;
    }
    return data[at] == '%'    ? percent_matters(a, data, at)
           : data[at] == '\\' ? backslash_matters(a, data, at)
                              : may_be_part(a, data[at], data, at);
}

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

static inline bytes16 sixteen(uint8_t c)
{
    bytes16 all;
    memset(&all, c, sizeof(all));
    return all;
}

static inline bytes16 load(const uint8_t *from)
{
    bytes16 bytes;
    memcpy(&bytes, from, sizeof(bytes));
    return bytes;
}

/* The first of the 16 bytes that is not 0; 16: all are. */
static inline size_t first_set(bytes16 found)
{
    words2 words = (words2)found;
    if ((words[0] | words[1]) == 0) {
        return sizeof(found);
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)(words[0] != 0 ? __builtin_ctzll(words[0]) / 8
                                  : 8 + __builtin_ctzll(words[1]) / 8);
#else
    size_t i = 0;
    while (found[i] == 0) {
        i++;
    }
    return i;
#endif
}

static bool is_pair(const struct automaton *a, const uint8_t *two)
{
    for (uint32_t i = 0; i < a->n_pairs; i++) {
        if (two[0] == a->pairs[i][0] && two[1] == a->pairs[i][1]) {
            return true;
        }
    }
    return false;
}

/* Whether the filter has to stop at one of the bytes that find_stop() looks for. */
static bool is_stop(const struct automaton *a, const uint8_t *data, size_t at, size_t len)
{
    return (is_special(data[at]) && matters(a, data, at, len)) || is_pair(a, data + at);
}

/* Where in data[from .. to) a special byte that matters, or the first two bytes of a text, stand
 * first; `to`: nowhere. With pairs, data[to] is there. */
static size_t find_stop(const struct automaton *a, const uint8_t *data, size_t from, size_t to,
                        size_t len)
{
    bytes16 first[PAIRS_MAX], second[PAIRS_MAX];
    uint32_t n = a->n_pairs;
    for (uint32_t i = 0; i < n; i++) {
        first[i] = sixteen(a->pairs[i][0]);
        second[i] = sixteen(a->pairs[i][1]);
    }
    for (; from + sizeof(bytes16) <= to; from += sizeof(bytes16)) {
        bytes16 at = load(data + from);
        bytes16 next = n == 0 ? at : load(data + from + 1);
        bytes16 found = (bytes16)((at == sixteen('%')) | (at == sixteen('\\')) |
                                  (at == sixteen('\r')) | (at == sixteen('\n')));
        for (uint32_t i = 0; i < n; i++) {
            found |= (bytes16)((at == first[i]) & (next == second[i]));
        }
        for (size_t i = first_set(found); i < sizeof(found); i = first_set(found)) {
            if (is_stop(a, data, from + i, len)) {
                return from + i;
            }
            found[i] = 0;
        }
    }
    while (from < to && !is_stop(a, data, from, len)) {
        from++;
    }
    return from;
}

/* Texts that begin with few different pairs of bytes: these are looked for. */
static size_t skip_to_pair(const struct automaton *a, const uint8_t *data, size_t len)
{
    /* The last byte may be the first of a pair. */
    size_t at = find_stop(a, data, 0, len - 1, len);
    /* In front of an escape there may be one byte of a text. */
    return at > 0 && is_special(data[at]) ? at - 1 : at;
}

/* Where a special byte that matters stands first from `from` on; where none does for STRIP bytes,
 * the end of these. */
static size_t find_clear(const struct automaton *a, const uint8_t *data, size_t from, size_t len)
{
    return find_stop(a, data, from, len - from < STRIP ? len : from + STRIP, len);
}

size_t automaton_skip(const struct automaton *automaton, const uint8_t *data, size_t len)
{
    size_t window = automaton->window;
    size_t clear = 0; /* in front of it is nothing that matters */
    size_t i = 0;
    if (automaton->n_pairs > 0) {
        return len < 2 ? 0 : skip_to_pair(automaton, data, len);
    }
    while (window > 0 && i + window <= len) {
        if (clear < i + window) {
            clear = find_clear(automaton, data, clear > i ? clear : i, len);
            if (clear < i + window) {
                break;
            }
        }
        size_t shift = automaton->shifts[block_of(data + i + window - 2)];
        if (shift == 0) {
            break;
        }
        i += shift;
    }
    return i;
}

/* ---- life ---- */

int automaton_new(const struct automaton_text *texts, size_t n, bool secret, struct automaton **ret)
{
    struct builder builder = {.nodes = 1};
    add_texts(&builder, texts, n);
    if (builder.nodes > AUTOMATON_NODES_MAX) {
        return -E2BIG;
    }
    uint32_t *queue = calloc(builder.nodes, sizeof(*queue));
    if (queue == NULL) {
        return -ENOMEM;
    }
    size_t nodes_size = builder.nodes * sizeof(struct automaton_node);
    size_t size = sizeof(struct automaton) + nodes_size + builder.patterns * sizeof(struct pattern);
    bool locked = false;
    struct automaton *a = secret ? locked_alloc(size, &locked) : calloc(1, size);
    if (a == NULL) {
        free(queue);
        return -ENOMEM;
    }
    a->refs = 1;
    a->size = size;
    a->secret = secret;
    a->locked = locked;
    a->nodes = (struct automaton_node *)(a + 1);
    a->patterns = (struct pattern *)(void *)((uint8_t *)a->nodes + nodes_size);
    a->n_nodes = 1;
    builder.automaton = a;
    add_texts(&builder, texts, n);
    link_nodes(a, queue);
    free(queue);
    make_filter(a);
    *ret = a;
    return 0;
}

struct automaton *automaton_ref(struct automaton *automaton)
{
    automaton->refs++;
    return automaton;
}

struct automaton *automaton_unref(struct automaton *automaton)
{
    if (automaton != NULL && --automaton->refs == 0) {
        if (automaton->secret) {
            locked_free(automaton, automaton->size);
        } else {
            free(automaton);
        }
    }
    return NULL;
}
