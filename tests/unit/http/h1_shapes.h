/* Shapes of requests, played whole and in every cut, with what came of it. */
#ifndef TEST_HTTP_H1_SHAPES_H
#define TEST_HTTP_H1_SHAPES_H

#include "http/h1_naive.h"

enum { HEAD_BYTES = 4096 };

struct result {
    char up[8192], down[8192], log[8192];
    enum http_end guest_end, upstream_end;
};

static inline void play(const char *bytes, size_t len, size_t piece, size_t cut, struct result *ret)
{
    struct rig rig = {.piece = piece};
    rig_start(&rig, HEAD_BYTES);
    const struct rig_step steps[RIG_STEPS_MAX] = {{RIG_GUEST, bytes, len}};
    rig_play(&rig, steps, 0, cut);
    const char *wrong = naive_judge(&rig);
    if (wrong != NULL) {
        fail_msg("%s: %s\n---- made of\n%s", wrong, rig.up.at, bytes);
    }
    snprintf(ret->up, sizeof(ret->up), "%s", rig.up.at);
    snprintf(ret->down, sizeof(ret->down), "%s", rig.down.at);
    snprintf(ret->log, sizeof(ret->log), "%s", rig.log.at);
    ret->guest_end = rig.relay->guest_end;
    ret->upstream_end = rig.relay->upstream_end;
    rig_end(&rig);
}

static inline void assert_same(const struct result *a, const struct result *b, const char *bytes)
{
    if (strcmp(a->up, b->up) != 0 || strcmp(a->down, b->down) != 0 || strcmp(a->log, b->log) != 0 ||
        a->guest_end != b->guest_end || a->upstream_end != b->upstream_end) {
        fail_msg("cut and whole differ:\n%s%s----\n%s%s---- of\n%s", a->up, a->log, b->up, b->log,
                 bytes);
    }
}

/* Whole, byte by byte, and cut at every offset. */
static inline void play_all(const char *bytes, size_t len, struct result *ret)
{
    struct result again;
    play(bytes, len, 0, 0, ret);
    play(bytes, len, 1, 0, &again);
    assert_same(ret, &again, bytes);
    for (size_t cut = 1; cut < len; cut++) {
        play(bytes, len, 0, cut, &again);
        assert_same(ret, &again, bytes);
    }
}

#define POST "POST / HTTP/1.1\r\nHost: a.example\r\n"
#define GET  "GET / HTTP/1.1\r\nHost: a.example\r\n"
#define END  "\r\n0\r\n\r\n"

#endif
