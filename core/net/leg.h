/* One side of an inspected connection: bytes as they are on the wire outside, plaintext inside. TLS
 * is between the two, or nothing. */
#ifndef LN_NET_LEG_H
#define LN_NET_LEG_H

#include "base/byte_queue.h"
#include "tls/session.h"

enum {
    LEG_WIRE_MAX = 128 << 10, /* bytes received that wait; a first flight and a segment fit */
    LEG_PLAIN_MAX = 32 << 10  /* bytes of plaintext that wait: two records */
};

struct leg {
    bool clear;              /* there is no TLS */
    struct tls_session *tls; /* owned; NULL: not begun */
    struct byte_queue wire;  /* received, not yet taken by the session */
    struct byte_queue plain; /* plaintext received; not in the clear, where `wire` is that */
    bool input_ended;        /* nothing comes behind `wire` */
    bool was_reset;          /* … by a reset */
    bool over;               /* no plaintext comes behind leg_plain() */
    bool finished;           /* nothing more is sent */
};

void leg_init(struct leg *leg, bool clear);
void leg_free(struct leg *leg);
/* Takes bytes that were received, at most leg_space(). Returns 0 or -ENOMEM. */
int leg_take(struct leg *leg, const uint8_t *data, size_t len);
size_t leg_space(const struct leg *leg);
/* Whether some of what was received was not looked at yet. */
bool leg_is_behind(const struct leg *leg);
/* No more are received. */
void leg_end_of_input(struct leg *leg, bool by_reset);
/* Gives the session what was received. Returns whether it took any of it. */
bool leg_feed(struct leg *leg);
/* Decrypts, as far as there is room. Returns whether it got anywhere, -EPROTO when the session
 * failed, or -ENOMEM. */
int leg_fill(struct leg *leg);
/* The plaintext that was received; whoever uses it drops it. */
static inline struct byte_queue *leg_plain(struct leg *leg)
{
    return leg->clear ? &leg->wire : &leg->plain;
}
/* Encrypts what stands in a queue, as far as there is room, and drops that. Not for one in the
 * clear. Returns whether it got anywhere, or -errno. */
int leg_send(struct leg *leg, struct byte_queue *from);
/* Nothing is expected for a while: lets go of memory that only much data needs. */
void leg_trim(struct leg *leg);
/* Nothing more is sent; with close_notify where there is TLS, unless it is `cut`: that is to look
 * like a truncation. */
void leg_finish(struct leg *leg, bool cut);

#endif
