/* Both sides of an HTTP/1 connection, in pieces that the input chooses: what goes upstream is, to
 * a plain reader, the requests that were judged; bodies that are to be filtered are seen; whole and
 * in pieces the filter is told the same.
 *
 * The first three bytes say how large the pieces are, how fast the queues are emptied and what the
 * filter does. The rest is what the guest sends; behind FF there follows who is next: g and u for
 * bytes of guest and upstream, G and U for their ends. */
#include "../unit/http/h1_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_BYTES = 2048, MESSAGE_MAX = 1 << 16 };

struct script {
    struct {
        enum rig_who who;
        const uint8_t *at;
        size_t len;
    } parts[64];
    size_t n;
};

static enum rig_who who_is(uint8_t c)
{
    switch (c) {
    case 'u':
        return RIG_UPSTREAM;
    case 'G':
        return RIG_GUEST_ENDS;
    case 'U':
        return RIG_UPSTREAM_ENDS;
    default:
        return RIG_GUEST;
    }
}

static void read_script(struct script *s, const uint8_t *data, size_t size)
{
    enum rig_who who = RIG_GUEST;
    s->n = 0;
    while (s->n < 64) {
        const uint8_t *mark = size == 0 ? NULL : memchr(data, 0xff, size);
        size_t len = mark == NULL ? size : (size_t)(mark - data);
        s->parts[s->n].who = who;
        s->parts[s->n].at = data;
        s->parts[s->n++].len = len;
        if (mark == NULL || len + 2 > size) {
            return;
        }
        who = who_is(mark[1]);
        data += len + 2;
        size -= len + 2;
    }
}

/* Appends bytes to what a side has still to give. */
static void give(struct rig_input *in, struct rig_text *store, const uint8_t *at, size_t len)
{
    size_t done = store->len - in->len;
    rig_put(store, at, len);
    in->at = (const uint8_t *)store->at + done;
    in->len += len;
}

static void play(struct rig *rig, const struct script *s)
{
    struct rig_text guest = {0}, upstream = {0};
    rig_start(rig, HEAD_BYTES);
    for (size_t i = 0; i < s->n; i++) {
        bool by_guest = s->parts[i].who == RIG_GUEST || s->parts[i].who == RIG_GUEST_ENDS;
        struct rig_input *in = by_guest ? &rig->guest : &rig->upstream;
        if (!in->ended) {
            give(in, by_guest ? &guest : &upstream, s->parts[i].at, s->parts[i].len);
            in->ended = s->parts[i].who == RIG_GUEST_ENDS || s->parts[i].who == RIG_UPSTREAM_ENDS;
        }
        rig_pump(rig);
        size_t most = 2 * (HTTP_HEAD_TEXT_MAX + MESSAGE_MAX);
        const char *wrong = naive_judge(rig);
        wrong = wrong == NULL ? naive_judge_responses(rig) : wrong;
        if (rig->relay->to_guest.len > most || rig->relay->to_upstream.len > most ||
            rig->error != 0 || wrong != NULL) {
            fprintf(stderr, "%s\n%s\n%s\n", wrong == NULL ? "too much" : wrong, rig->up.at,
                    rig->down.at);
            abort();
        }
    }
    free(guest.at);
    free(upstream.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > MESSAGE_MAX) {
        return 0;
    }
    struct script script;
    read_script(&script, data + 3, size - 3);
    struct rig whole = {.grow = data[2] & 1};
    struct rig pieces = {.grow = data[2] & 1, .piece = data[0], .drain = data[1]};
    play(&whole, &script);
    play(&pieces, &script);
    if (strcmp(whole.passed.at, pieces.passed.at) != 0 ||
        strcmp(whole.log.at, pieces.log.at) != 0 ||
        whole.relay->guest_end != pieces.relay->guest_end ||
        whole.relay->upstream_end != pieces.relay->upstream_end) {
        fprintf(stderr, "whole: ends %u %u\n%s\n", whole.relay->guest_end,
                whole.relay->upstream_end, whole.log.at);
        fprintf(stderr, "in pieces: ends %u %u\n%s\n", pieces.relay->guest_end,
                pieces.relay->upstream_end, pieces.log.at);
        abort();
    }
    rig_end(&whole);
    rig_end(&pieces);
    return 0;
}
