/* Follows the frames of one side before nghttp2 reads them: it gets whole frame headers only, and
 * who sends many frames that lead to nothing is found out. */
#ifndef LN_HTTP_H2_METER_H
#define LN_HTTP_H2_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    H2_FRAME_HEADER = 9,      /* bytes (RFC 9113 section 4.1) */
    H2_PREFACE = 24,          /* bytes of the client's preface (section 3.4) */
    H2_CONTINUATIONS_MAX = 8, /* of one block: with HEADERS, 144 KiB */
    /* Frames that neither carry nor allow anything (PING, SETTINGS, WINDOW_UPDATE, DATA without
     * data...) beyond what went on meanwhile. There is no clock here: a PING every 10 s on a
     * connection without requests comes to it after eleven days, and the client connects again. */
    H2_IDLE_FRAMES_MAX = 100000
};

struct h2_meter {
    size_t preface_left;
    uint32_t payload_left;
    uint8_t head[H2_FRAME_HEADER]; /* of a frame, as far as it came */
    size_t head_len;
    unsigned continuations; /* of the block that is being read */
    uint64_t idle;          /* frames */
    const char *fault;      /* why no more is taken; static */
};

/* `preface`: bytes in front of the first frame. */
void h2_meter_init(struct h2_meter *m, size_t preface);

/* Takes bytes that came: *ret_span is what nghttp2 may read, `len` of it in *ret_span_len, and
 * returns how many of `data` were used up by that. The span is in `data` or in the meter, and may
 * be empty. Returns 0 when nothing is left or the sender has to be told m->fault. */
size_t h2_meter_take(struct h2_meter *m, const uint8_t *data, size_t len, const uint8_t **ret_span,
                     size_t *ret_span_len);

/* Something went on: so many idle frames are forgiven. Independent of how it was split. */
void h2_meter_forgive(struct h2_meter *m, size_t frames);

#endif
