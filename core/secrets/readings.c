#include "secrets/readings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/encode.h"

/* ---- one reading ---- */

static void add_hit(struct readings *r, enum reading_kind kind, uint32_t node, uint64_t start,
                    uint64_t end, bool broken)
{
    uint32_t out = r->automaton->nodes[node].out;
    if (out != 0 && r->n_hits < HITS_MAX) {
        r->hits[r->n_hits++] = (struct hit){
            .pattern = out - 1, .kind = kind, .broken = broken, .start = start, .end = end};
    }
}

/* Where the last `depth` > 0 bytes of a reading began. */
static uint64_t start_of(const struct readings *r, const struct reading *reading, uint32_t depth)
{
    return r->at - ((uint32_t)r->at - reading->starts[(reading->read - depth) & r->mask]);
}

static bool leaves_out(const struct reading *reading, uint8_t byte)
{
    return byte == '\r' || byte == '\n' || (reading->left_out > 0 && (byte == ' ' || byte == '\t'));
}

/* One line break and some blanks behind it may be in the middle of a text; an empty line ends what
 * was begun, so that nothing is held back over the end of an event (text/event-stream). */
static void leave_out(struct reading *reading, struct read_byte c)
{
    uint8_t bit = c.byte == '\r' ? 1 : c.byte == '\n' ? 2 : 0;
    if (reading->left_out >= LEFT_OUT_MAX || (reading->breaks & bit) != 0) {
        reading->node = 0;
    } else {
        reading->left_out++;
    }
    reading->breaks |= bit;
    reading->broken_at = c.end;
}

/* A byte as the reading has it, all escapes decoded. */
static void take(struct readings *r, enum reading_kind kind, struct read_byte c)
{
    struct reading *reading = &r->reading[kind];
    if (leaves_out(reading, c.byte)) {
        leave_out(reading, c);
        return;
    }
    reading->breaks = 0;
    reading->left_out = 0;
    reading->node = automaton_step(r->automaton, reading->node, c.byte);
    reading->starts[reading->read & r->mask] = (uint32_t)c.start;
    reading->read++;
    uint32_t out = r->automaton->nodes[reading->node].out;
    if (out != 0) {
        uint64_t start = start_of(r, reading, r->automaton->patterns[out - 1].len);
        add_hit(r, kind, reading->node, start, c.end, reading->broken_at > start);
    }
}

static void percent(struct readings *r, enum reading_kind kind, unsigned stage, struct read_byte c);

static void behind_percent(struct readings *r, enum reading_kind kind, unsigned stage,
                           struct read_byte c)
{
    if (kind == READ_PERCENT_TWICE && stage == 0) {
        percent(r, kind, 1, c);
    } else {
        take(r, kind, c);
    }
}

/* RFC 3986 section 2.1. */
static void percent(struct readings *r, enum reading_kind kind, unsigned stage, struct read_byte c)
{
    struct reading *reading = &r->reading[kind];
    struct read_byte *escape = reading->escape[stage];
    uint8_t n = reading->n_escape[stage];
    if (n > 0 && hex_digit(c.byte) < 0) { /* it was none */
        reading->n_escape[stage] = 0;
        for (uint8_t i = 0; i < n; i++) {
            behind_percent(r, kind, stage, escape[i]);
        }
        n = 0;
    }
    if (n == 0 && c.byte != '%') {
        behind_percent(r, kind, stage, c);
    } else if (n < 2) {
        escape[n] = c;
        reading->n_escape[stage] = (uint8_t)(n + 1);
    } else {
        reading->n_escape[stage] = 0;
        c.byte = (uint8_t)(hex_digit(escape[1].byte) << 4 | hex_digit(c.byte));
        c.start = escape[0].start;
        behind_percent(r, kind, stage, c);
    }
}

/* The character of \uHHHH, as UTF-8. Half of a surrogate pair stands for nothing that is looked
 * for. */
static void take_unicode(struct readings *r, const struct read_byte *escape, struct read_byte last)
{
    uint32_t c = 0;
    for (unsigned i = 2; i < ESCAPE_MAX - 1; i++) {
        c = c << 4 | (uint32_t)hex_digit(escape[i].byte);
    }
    c = c << 4 | (uint32_t)hex_digit(last.byte);
    struct read_byte whole = {.start = escape[0].start, .end = last.end};
    uint8_t bytes[3] = {(uint8_t)(0xe0 | c >> 12), (uint8_t)(0x80 | (c >> 6 & 63)),
                        (uint8_t)(0x80 | (c & 63))};
    unsigned first = c < 0x80 ? 2 : c < 0x800 ? 1 : 0;
    if (first > 0) {
        bytes[first] = (uint8_t)(c < 0x80 ? c : 0xc0 | c >> 6);
    }
    for (unsigned i = first; i < sizeof(bytes); i++) {
        whole.byte = bytes[i];
        take(r, READ_JSON, whole);
    }
}

/* RFC 8259 section 7. */
static void json(struct readings *r, struct read_byte c)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char stand_for[] = "\"\\/\b\f\n\r\t";
    struct reading *reading = &r->reading[READ_JSON];
    struct read_byte *escape = reading->escape[0];
    uint8_t n = reading->n_escape[0];
    const char *letter = n == 1 && c.byte != '\0' ? strchr(letters, c.byte) : NULL;
    if (letter != NULL) {
        reading->n_escape[0] = 0;
        c.byte = (uint8_t)stand_for[letter - letters];
        c.start = escape[0].start;
        take(r, READ_JSON, c);
        return;
    }
    if ((n == 1 && c.byte != 'u') || (n > 1 && hex_digit(c.byte) < 0)) { /* it was none */
        reading->n_escape[0] = 0;
        for (uint8_t i = 0; i < n; i++) {
            take(r, READ_JSON, escape[i]);
        }
        n = 0;
    }
    if (n == 0 && c.byte != '\\') {
        take(r, READ_JSON, c);
    } else if (n < ESCAPE_MAX - 1) {
        escape[n] = c;
        reading->n_escape[0] = (uint8_t)(n + 1);
    } else {
        reading->n_escape[0] = 0;
        take_unicode(r, escape, c);
    }
}

/* ---- all of them ---- */

static void go_apart(struct readings *r, enum reading_kind kind)
{
    struct reading *reading = &r->reading[kind];
    if (reading->apart) {
        return;
    }
    uint32_t depth = r->automaton->nodes[r->node].depth;
    reading->apart = true;
    reading->node = r->node;
    reading->left_out = 0;
    reading->breaks = 0;
    reading->broken_at = 0;
    reading->n_escape[0] = 0;
    reading->n_escape[1] = 0;
    reading->read = depth;
    for (uint32_t i = 0; i < depth; i++) {
        reading->starts[i & r->mask] = (uint32_t)r->at - depth + i;
    }
    r->apart++;
}

static void come_back(struct readings *r, struct reading *reading)
{
    uint32_t depth = r->automaton->nodes[r->node].depth;
    if (reading->node == r->node && reading->n_escape[0] + reading->n_escape[1] == 0 &&
        (depth == 0 || start_of(r, reading, depth) == r->at - depth)) {
        reading->apart = false;
        r->apart--;
    }
}

/* A reading that leaves out a line break behind nothing needs not go apart for it: the raw one is
 * at the root. */
static void part(struct readings *r, uint8_t byte)
{
    if (byte == '%') {
        go_apart(r, READ_PERCENT);
        go_apart(r, READ_PERCENT_TWICE);
    } else if (byte == '\\') {
        go_apart(r, READ_JSON);
    } else if ((byte == '\r' || byte == '\n') && r->node != 0) {
        go_apart(r, READ_PERCENT);
    }
}

void readings_step(struct readings *readings, uint8_t byte)
{
    struct readings *r = readings;
    r->n_hits = 0;
    part(r, byte);
    struct read_byte c = {.start = r->at, .end = r->at + 1, .byte = byte};
    r->at++;
    r->node = automaton_step(r->automaton, r->node, byte);
    uint32_t out = r->automaton->nodes[r->node].out;
    if (out != 0) {
        add_hit(r, READ_RAW, r->node, r->at - r->automaton->patterns[out - 1].len, r->at, false);
    }
    if (r->apart == 0) {
        return;
    }
    for (unsigned i = READ_PERCENT; i < READINGS; i++) {
        struct reading *reading = &r->reading[i];
        if (!reading->apart) {
            continue;
        }
        if (i == READ_JSON) {
            json(r, c);
        } else {
            percent(r, (enum reading_kind)i, 0, c);
        }
        come_back(r, reading);
    }
}

void readings_end(struct readings *readings)
{
    readings->n_hits = 0;
    for (unsigned i = READ_PERCENT; i < READINGS; i++) {
        struct reading *reading = &readings->reading[i];
        for (unsigned stage = 0; reading->apart && stage < 2; stage++) {
            uint8_t n = reading->n_escape[stage];
            reading->n_escape[stage] = 0;
            for (uint8_t k = 0; k < n; k++) {
                if (i == READ_JSON) {
                    take(readings, READ_JSON, reading->escape[0][k]);
                } else {
                    behind_percent(readings, (enum reading_kind)i, stage,
                                   reading->escape[stage][k]);
                }
            }
        }
    }
}

size_t readings_skip(struct readings *readings, const uint8_t *data, size_t len)
{
    if (readings->node != 0 || readings->apart > 0) {
        return 0;
    }
    size_t n = automaton_skip(readings->automaton, data, len);
    readings->at += n;
    return n;
}

uint64_t readings_open(const struct readings *readings)
{
    const struct automaton *automaton = readings->automaton;
    uint64_t first = readings->at - automaton->nodes[readings->node].open;
    for (unsigned i = READ_PERCENT; readings->apart > 0 && i < READINGS; i++) {
        const struct reading *reading = &readings->reading[i];
        if (!reading->apart) {
            continue;
        }
        uint32_t depth = automaton->nodes[reading->node].open;
        uint64_t start = depth > 0 ? start_of(readings, reading, depth) : readings->at;
        for (unsigned stage = 0; stage < 2; stage++) {
            if (reading->n_escape[stage] > 0 && reading->escape[stage][0].start < start) {
                start = reading->escape[stage][0].start;
            }
        }
        first = start < first ? start : first;
    }
    return first;
}

/* ---- life ---- */

void readings_restart(struct readings *readings, uint64_t at)
{
    readings->at = at;
    readings->node = 0;
    readings->apart = 0;
    readings->n_hits = 0;
    for (unsigned i = 0; i < READINGS; i++) {
        readings->reading[i].apart = false;
    }
}

int readings_new(struct automaton *automaton, struct readings **ret)
{
    uint32_t room = 8;
    while (room < automaton->longest) {
        room *= 2;
    }
    size_t size = sizeof(struct readings) + (size_t)room * (READINGS - 1) * sizeof(uint32_t);
    struct readings *r = calloc(1, size);
    if (r == NULL) {
        return -ENOMEM;
    }
    r->automaton = automaton_ref(automaton);
    r->mask = room - 1;
    r->size = size;
    for (unsigned i = READ_PERCENT; i < READINGS; i++) {
        r->reading[i].starts = r->starts + (size_t)room * (i - 1);
    }
    *ret = r;
    return 0;
}

struct readings *readings_free(struct readings *readings)
{
    if (readings != NULL) {
        automaton_unref(readings->automaton);
        explicit_bzero(readings, readings->size);
        free(readings);
    }
    return NULL;
}
