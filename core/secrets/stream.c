#include "secrets/stream.h"

#include <errno.h>
#include <string.h>

enum { HELD_MAX = 1 << 20 /* far more than a text takes in any reading */ };

struct feed {
    const uint8_t *data;
    struct byte_queue *out;
};

/* Lets go of what stands in front of `upto`. */
static int advance(struct stream *s, const struct feed *feed, uint64_t upto, bool put)
{
    int r = 0;
    if (s->done < s->chunk && s->done < upto) {
        size_t n = (size_t)((upto < s->chunk ? upto : s->chunk) - s->done);
        r = put && feed->out != NULL ? byte_queue_put(feed->out, byte_queue_bytes(&s->held), n) : 0;
        byte_queue_drop(&s->held, n);
        s->done += n;
    }
    if (r == 0 && s->done < upto) {
        size_t n = (size_t)(upto - s->done);
        const uint8_t *from = feed->data + (s->done - s->chunk);
        r = put && feed->out != NULL ? byte_queue_put(feed->out, from, n) : 0;
        s->done = upto;
    }
    return r;
}

/* Replaces the best text; what stands behind it is read again. */
static int commit(struct stream *s, const struct feed *feed)
{
    const struct pattern *pattern = &s->readings->automaton->patterns[s->best.pattern];
    int r = advance(s, feed, s->best.start, true);
    r = r < 0 || feed->out == NULL ? r : s->ops->replace(s->user, pattern, &s->best, feed->out);
    r = r < 0 ? r : advance(s, feed, s->best.end, false);
    if (r == 0) {
        readings_restart(s->readings, s->best.end);
        s->found = false;
        s->ended = false;
        s->judged = 0;
    }
    return r;
}

static bool is_better(const struct stream *s, const struct hit *hit)
{
    return !s->found || hit->start < s->best.start ||
           (hit->start == s->best.start && hit->end > s->best.end);
}

/* Judges what the last step completed. Returns 0, or -EPERM. */
static int judge(struct stream *s)
{
    const struct readings *r = s->readings;
    while (s->judged < r->n_hits) {
        const struct hit *hit = &r->hits[s->judged];
        switch (s->ops->judge(s->user, &r->automaton->patterns[hit->pattern], hit)) {
        case STREAM_PASS:
            break;
        case STREAM_REPLACE:
            if (is_better(s, hit)) {
                s->best = *hit;
                s->found = true;
            }
            break;
        case STREAM_STOP:
            return -EPERM; /* it is judged again */
        }
        s->judged++;
    }
    return 0;
}

static void step(struct stream *s, const struct feed *feed)
{
    struct readings *r = s->readings;
    if (r->at >= s->chunk &&
        readings_skip(r, feed->data + (r->at - s->chunk), (size_t)(s->arrived - r->at)) > 0) {
        r->n_hits = 0;
    } else if (r->at >= s->chunk) {
        readings_step(r, feed->data[r->at - s->chunk]);
    } else {
        readings_step(r, byte_queue_bytes(&s->held)[r->at - s->done]);
    }
    s->judged = 0;
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Where what is to be held back begins. */
static uint64_t held_from(const struct stream *s)
{
    uint64_t from = s->holds ? readings_open(s->readings) : s->readings->at;
    return s->found ? min(from, s->best.start) : from;
}

static int stop(struct stream *s, const struct feed *feed)
{
    uint64_t upto = min(held_from(s), s->readings->hits[s->judged].start);
    s->stopped = true;
    int r = upto > s->done ? advance(s, feed, upto, true) : 0;
    return r < 0 ? r : -EPERM;
}

/* Reads all there is. */
static int read_all(struct stream *s, const struct feed *feed, bool end)
{
    struct readings *r = s->readings;
    for (;;) {
        if (judge(s) < 0) {
            return stop(s, feed);
        }
        bool last = r->at == s->arrived && (!end || s->ended);
        if (s->found && (readings_open(r) > s->best.start || (last && end))) {
            int failed = commit(s, feed);
            if (failed < 0) {
                return failed;
            }
        } else if (r->at < s->arrived) {
            step(s, feed);
        } else if (last) {
            return 0;
        } else {
            readings_end(r);
            s->ended = true;
            s->judged = 0;
        }
    }
}

int stream_feed(struct stream *stream, const uint8_t *data, size_t len, bool end,
                struct byte_queue *out)
{
    struct stream *s = stream;
    struct feed feed = {.data = data, .out = out};
    if (!s->stopped) {
        s->chunk = s->arrived;
        s->arrived += len;
    }
    s->stopped = false;
    int r = read_all(s, &feed, end);
    if (r < 0) {
        return r;
    }
    uint64_t upto = end ? s->arrived : held_from(s);
    r = upto > s->done ? advance(s, &feed, upto, true) : 0;
    uint64_t from = s->done > s->chunk ? s->done : s->chunk;
    if (r == 0 && from < s->arrived) {
        r = byte_queue_put(&s->held, data + (from - s->chunk), (size_t)(s->arrived - from));
    }
    if (end) {
        readings_restart(s->readings, s->arrived);
        s->ended = false;
        s->judged = 0;
    }
    return r;
}

int stream_init(struct stream *stream, struct automaton *automaton, const struct stream_ops *ops,
                void *user, bool holds)
{
    *stream = (struct stream){.ops = ops, .user = user, .holds = holds, .held = {.cap = HELD_MAX}};
    return readings_new(automaton, &stream->readings);
}

void stream_free(struct stream *stream)
{
    stream->readings = readings_free(stream->readings);
    byte_queue_free(&stream->held);
}
