/* A stream of bytes, read in several ways at once, and the texts that show in one of them:
 *
 *   raw            as it is
 *   percent        %XX decoded, any subset of the bytes, digits of any case; line breaks left out
 *   percent twice  likewise, two times over
 *   JSON           \uHHHH and the other escapes of strings decoded; line breaks left out
 *
 * and in each of these the texts as they are and in base64 (secrets/automaton.h). So base64 is
 * found broken into lines, and where its "/", "+" and "=" are escaped. Out of scope are HTML
 * entities (but those that secrets/html.h makes of values), surrogate pairs of JSON, UTF-16,
 * quoted-printable, compressed and encrypted bytes.
 *
 * Theory of operation. A reading differs from the raw one only from an escape on, until both stand
 * at the same place of the automaton again; only there is it kept at all ("apart"). */
#ifndef LN_SECRETS_READINGS_H
#define LN_SECRETS_READINGS_H

#include "secrets/automaton.h"

enum reading_kind { READ_RAW, READ_PERCENT, READ_PERCENT_TWICE, READ_JSON, READINGS };

enum {
    ESCAPE_MAX = 6,    /* characters of an escape */
    LEFT_OUT_MAX = 16, /* of line breaks and blanks behind them, between two bytes of a text */
    HITS_MAX = 16 /* that one byte can complete: at most one for each byte that it lets go of */
};

/* A text that was found. */
struct hit {
    uint32_t pattern; /* of the automaton */
    enum reading_kind kind;
    bool broken;         /* there are line breaks in it that the reading left out */
    uint64_t start, end; /* of the stream: start <= i < end */
};

/* A byte as one reading has it. */
struct read_byte {
    uint64_t start, end; /* what stands for it in the stream */
    uint8_t byte;
};

struct reading {
    bool apart;
    uint8_t left_out; /* bytes since the last that was not */
    uint8_t breaks;   /* among them: 1: a CR, 2: an LF */
    uint32_t node;
    uint32_t read;      /* bytes, modulo 2^32 */
    uint64_t broken_at; /* where a byte was left out last, + 1 */
    uint32_t *starts;   /* where the last bytes began, modulo 2^32, by `read` modulo their number */
    struct read_byte escape[2][ESCAPE_MAX]; /* begun; the second: of percent twice */
    uint8_t n_escape[2];
};

struct readings {
    struct automaton *automaton;      /* holds a reference */
    uint64_t at;                      /* bytes of the stream so far */
    uint32_t node;                    /* of the raw reading */
    unsigned apart;                   /* how many readings are */
    uint32_t mask;                    /* of `starts` */
    struct reading reading[READINGS]; /* the raw one is not used */
    struct hit hits[HITS_MAX];        /* of the last step */
    unsigned n_hits;
    size_t size; /* of all of it */
    uint32_t starts[];
};

/* Returns 0 or -ENOMEM. */
int readings_new(struct automaton *automaton, struct readings **ret);
struct readings *readings_free(struct readings *readings); /* takes NULL, returns NULL */
/* Begins anew, at byte `at` of the stream. */
void readings_restart(struct readings *readings, uint64_t at);
/* The next byte. What it completes is in `hits`. */
void readings_step(struct readings *readings, uint8_t byte);
/* The stream ends: what was begun as an escape is none. */
void readings_end(struct readings *readings);
/* Skips bytes that cannot be part of a text. Returns how many. */
size_t readings_skip(struct readings *readings, const uint8_t *data, size_t len);
/* Where the first text may have begun that is not complete, or may become longer; `at` where none
 * has. */
uint64_t readings_open(const struct readings *readings);

#endif
