/* Bytes that are no HTTP. */
#include "net/opaque_relay.h"

#include <errno.h>
#include <stdlib.h>

enum { HELD_MAX = 64 << 10 /* bytes, each way */ };

struct opaque_relay {
    struct http_relay relay; /* first */
    opaque_look_fn *look;
    void *user;
};

static ssize_t put(struct byte_queue *queue, const uint8_t *data, size_t len)
{
    size_t n = len < byte_queue_space(queue) ? len : byte_queue_space(queue);
    int r = byte_queue_put(queue, data, n);
    return r < 0 ? r : (ssize_t)n;
}

static ssize_t from_guest(struct http_relay *relay, const uint8_t *data, size_t len)
{
    struct opaque_relay *o = (struct opaque_relay *)(void *)relay;
    size_t space = byte_queue_space(&relay->to_upstream);
    size_t n = len < space ? len : space;
    int r = n == 0 ? 0 : o->look(o->user, data, n);
    return r < 0 ? r : put(&relay->to_upstream, data, n);
}

static ssize_t from_upstream(struct http_relay *relay, const uint8_t *data, size_t len)
{
    return put(&relay->to_guest, data, len);
}

static void guest_ended(struct http_relay *relay)
{
    if (relay->upstream_end == HTTP_END_NOT) {
        relay->upstream_end = HTTP_END_FINISH;
    }
}

static void upstream_ended(struct http_relay *relay)
{
    relay->guest_end = relay->upstream_end == HTTP_END_RESET ? HTTP_END_RESET : HTTP_END_FINISH;
}

static int resume(struct http_relay *relay)
{
    (void)relay;
    return 0;
}

static void release(struct http_relay *relay)
{
    byte_queue_free(&relay->to_guest);
    byte_queue_free(&relay->to_upstream);
    free(relay);
}

static const struct http_relay_ops ops = {
    .from_guest = from_guest,
    .from_upstream = from_upstream,
    .guest_ended = guest_ended,
    .upstream_ended = upstream_ended,
    .resume = resume,
    .free = release,
};

int opaque_relay_new(opaque_look_fn *look, void *user, struct http_relay **ret)
{
    struct opaque_relay *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        return -ENOMEM;
    }
    o->relay.ops = &ops;
    o->relay.to_guest.cap = o->relay.to_upstream.cap = HELD_MAX;
    o->look = look;
    o->user = user;
    *ret = &o->relay;
    return 0;
}
