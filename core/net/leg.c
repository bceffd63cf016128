/* One side of an inspected connection. */
#include "net/leg.h"

#include <errno.h>

enum { RECORD_MAX = 16 << 10 /* bytes: RFC 8446 section 5.1 */ };

void leg_init(struct leg *leg, bool clear)
{
    *leg = (struct leg){.clear = clear,
                        .wire = {.cap = LEG_WIRE_MAX, .keeps = true},
                        .plain = {.cap = LEG_PLAIN_MAX, .keeps = true}};
}

void leg_free(struct leg *leg)
{
    leg->tls = tls_session_free(leg->tls);
    byte_queue_free(&leg->wire);
    byte_queue_free(&leg->plain);
}

int leg_take(struct leg *leg, const uint8_t *data, size_t len)
{
    size_t taken = 0;
    if (leg->tls != NULL && leg->wire.len == 0) {
        taken = tls_session_feed(leg->tls, data, len);
    }
    return byte_queue_put(&leg->wire, data + taken, len - taken);
}

size_t leg_space(const struct leg *leg)
{
    return leg->tls != NULL && leg->wire.len == 0 ? tls_session_space(leg->tls)
                                                  : byte_queue_space(&leg->wire);
}

bool leg_is_behind(const struct leg *leg)
{
    return leg->wire.len > 0 || (leg->tls != NULL && tls_session_waiting(leg->tls) > 0);
}

/* Behind all that was received stands the end. */
static void pass_end(struct leg *leg)
{
    if (!leg->input_ended || leg->wire.len > 0) {
        return;
    }
    if (leg->clear) {
        leg->over = true;
    } else if (leg->tls != NULL) {
        tls_session_end_of_input(leg->tls);
    }
}

void leg_end_of_input(struct leg *leg, bool by_reset)
{
    leg->input_ended = true;
    leg->was_reset = by_reset;
    pass_end(leg);
}

bool leg_feed(struct leg *leg)
{
    if (leg->wire.len == 0 || leg->tls == NULL) {
        return false;
    }
    size_t taken = tls_session_feed(leg->tls, byte_queue_bytes(&leg->wire), leg->wire.len);
    byte_queue_drop(&leg->wire, taken);
    pass_end(leg);
    return taken > 0;
}

/* One record, at most. Returns as tls_session_read() does, -ENOBUFS without room. */
static ssize_t fill_once(struct leg *leg)
{
    if (byte_queue_space(&leg->plain) < RECORD_MAX) {
        return -ENOBUFS;
    }
    uint8_t *room = byte_queue_reserve(&leg->plain, RECORD_MAX);
    if (room == NULL) {
        return -ENOMEM;
    }
    ssize_t n = tls_session_read(leg->tls, room, RECORD_MAX);
    byte_queue_commit(&leg->plain, n > 0 ? (size_t)n : 0);
    return n;
}

int leg_fill(struct leg *leg)
{
    int moved = 0;
    if (leg->clear) {
        pass_end(leg);
        return 0;
    }
    for (;;) {
        bool fed = leg_feed(leg);
        ssize_t n = leg->over ? -EAGAIN : fill_once(leg);
        leg->over = leg->over || n == 0;
        if (n < 0 && n != -EAGAIN && n != -ENOBUFS) {
            return (int)n;
        }
        moved |= fed || n >= 0;
        if (n <= 0 && !(fed && n == -EAGAIN)) {
            return moved;
        }
    }
}

int leg_send(struct leg *leg, struct byte_queue *from)
{
    int moved = 0;
    while (from->len > 0) {
        ssize_t n = tls_session_write(leg->tls, byte_queue_bytes(from), from->len);
        if (n <= 0) {
            return n < 0 && n != -EAGAIN ? (int)n : moved;
        }
        byte_queue_drop(from, (size_t)n);
        moved = 1;
    }
    return moved;
}

void leg_trim(struct leg *leg)
{
    byte_queue_trim(&leg->wire);
    byte_queue_trim(&leg->plain);
    if (leg->tls != NULL) {
        tls_session_trim(leg->tls);
    }
}

void leg_finish(struct leg *leg, bool cut)
{
    if (!leg->finished && leg->tls != NULL && !cut) {
        tls_session_finish(leg->tls);
    }
    leg->finished = true;
}
