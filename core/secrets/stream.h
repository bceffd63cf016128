/* A stream in which texts are replaced, or that stops in front of one. The first text that begins
 * counts; of those that begin together the longest; no byte is part of two. */
#ifndef LN_SECRETS_STREAM_H
#define LN_SECRETS_STREAM_H

#include "base/byte_queue.h"
#include "secrets/readings.h"

enum stream_verdict { STREAM_PASS, STREAM_REPLACE, STREAM_STOP };

struct stream_ops {
    /* What is to be done with a text that was found; may be asked twice about one. */
    enum stream_verdict (*judge)(void *user, const struct pattern *pattern, const struct hit *hit);
    /* Appends what stands in its place. Returns 0, -ENOBUFS or -ENOMEM. */
    int (*replace)(void *user, const struct pattern *pattern, const struct hit *hit,
                   struct byte_queue *out);
};

struct stream {
    struct readings *readings;
    const struct stream_ops *ops;
    void *user;
    bool holds;              /* something may be replaced: the start of a text is held back */
    bool stopped;            /* the last bytes are to be offered again */
    bool ended;              /* the readings were told of the end */
    bool found;              /* `best` is one */
    unsigned judged;         /* hits of the last step */
    struct hit best;         /* is to be replaced, unless a longer one shows */
    uint64_t done;           /* bytes that went on, or were replaced */
    uint64_t chunk, arrived; /* where the last bytes begin and end */
    struct byte_queue held;  /* what is not done in front of `chunk` */
};

/* Returns 0 or -ENOMEM. */
int stream_init(struct stream *stream, struct automaton *automaton, const struct stream_ops *ops,
                void *user, bool holds);
/* Also for one of zeros. */
void stream_free(struct stream *stream);
/* The next bytes. `end`: no text goes on behind them; the stream may go on for all that. `out`
 * NULL: nothing is kept of what goes on. Returns 0; -EPERM: it stopped: what stands in front of the
 * text is in `out`, the same bytes are to be offered again; -ENOBUFS or -ENOMEM: it cannot go on.
 */
int stream_feed(struct stream *stream, const uint8_t *data, size_t len, bool end,
                struct byte_queue *out);

#endif
