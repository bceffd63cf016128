/* DNS over TLS, between two TLS sessions that are not this file's.
 *
 * Theory of operation. Messages have their length before them in both directions. A query of the
 * guest that the name server lets pass gets an id of ours and waits in `asked`, oldest first;
 * upstream's messages are matched with them by id and question, and what matches none is dropped.
 * The relay takes no more of the guest while ASKED_MAX queries wait or the guest does not take its
 * replies, and no more of upstream for the latter reason.
 *
 * It ends when the guest has ended and has all replies; when upstream ends: what waits is answered
 * SERVFAIL; when nobody asked for limits.dns_tcp_idle_ms; and, both sides reset, when a side sends
 * what cannot be a message. */
#include "net/dot_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/name_service.h"

enum {
    LENGTH = 2, /* bytes before each message */
    QUERY_MAX = 2048,
    ASKED_MAX = 16,
    OUT_MAX = 64 * 1024 /* bytes that wait for a side, before the other has to */
};

/* A query on its way. */
struct asked {
    struct dns_ticket ticket;
    struct asked *next;
    uint64_t deadline_ns;
    uint16_t id;
};

struct dot_relay {
    struct http_relay relay;
    ln_gateway *gw;
    struct dns_asker asker;
    struct byte_queue from_guest, from_upstream; /* not yet taken as messages */
    struct asked *first, **last;                 /* oldest first, which is due first */
    unsigned n_asked;
    struct timer timer; /* of the oldest query; without one, of idleness */
    bool guest_ended, upstream_ended;
    void (*changed)(void *user);
    void *user;
};

static struct dot_relay *dot_of(struct http_relay *relay)
{
    return (struct dot_relay *)(void *)relay;
}

static struct dns_server *server_of(const struct dot_relay *d)
{
    return &d->gw->names->server;
}

static void reset(struct dot_relay *d)
{
    d->relay.guest_end = d->relay.upstream_end = HTTP_END_RESET;
}

static void finish(enum http_end *end)
{
    if (*end == HTTP_END_NOT) {
        *end = HTTP_END_FINISH;
    }
}

/* Puts a message into a queue. Returns 0 or -ENOMEM. */
static int put_message(struct byte_queue *queue, const uint8_t *msg, size_t len)
{
    uint8_t *dst = byte_queue_reserve(queue, LENGTH + len);
    if (dst == NULL) {
        return -ENOMEM;
    }
    put_be16(dst, (uint16_t)len);
    memcpy(dst + LENGTH, msg, len);
    byte_queue_commit(queue, LENGTH + len);
    return 0;
}

/* ---- time ---- */

static const ln_settings *settings_of(const struct dot_relay *d)
{
    return ln_policy_settings(d->gw->admission.policy);
}

/* Without memory for the timer the relay ends: it could wait for ever. */
static void set_timer(struct dot_relay *d)
{
    uint64_t idle_ns = d->gw->loop.now_ns + settings_of(d)->limits.dns_tcp_idle_ms * MS_NS;
    if (timer_set(&d->gw->loop.timers, &d->timer,
                  d->first != NULL ? d->first->deadline_ns : idle_ns) < 0) {
        reset(d);
    }
}

/* ---- queries on their way ---- */

static struct asked *find(const struct dot_relay *d, uint16_t id)
{
    struct asked *asked = d->first;
    while (asked != NULL && asked->id != id) {
        asked = asked->next;
    }
    return asked;
}

static void remove_asked(struct dot_relay *d, struct asked *asked)
{
    struct asked **at = &d->first;
    while (*at != asked) {
        at = &(*at)->next;
    }
    *at = asked->next;
    if (asked->next == NULL) {
        d->last = at;
    }
    d->n_asked--;
    free(asked);
}

/* Sends it to upstream, with an id that no other has. Returns 0 or -ENOMEM. */
static int send_on(struct dot_relay *d, struct asked *asked)
{
    const struct host_services *services = &d->gw->loop.services;
    uint8_t query[DNS_SMALL_MAX];
    uint8_t id[2];
    do {
        services->random(services->user, id, sizeof(id));
        asked->id = get_be16(id);
    } while (find(d, asked->id) != NULL);
    return put_message(&d->relay.to_upstream, query,
                       dns_query_write(&asked->ticket.query, asked->id, query));
}

/* Takes one query of the guest. Returns 0 or -ENOMEM. */
static int take_query(struct dot_relay *d, const uint8_t *msg, size_t len)
{
    ln_gateway *gw = d->gw;
    struct dns_server *server = server_of(d);
    uint8_t *reply = name_reply_buffer(gw);
    size_t reply_len = 0;
    struct asked *asked = calloc(1, sizeof(*asked));
    if (asked == NULL) {
        return -ENOMEM;
    }
    server->closed = gateway_is_used_up(gw);
    d->asker.flows = flow_table_live(&gw->flows);
    enum dns_step step = dns_server_query(server, &d->asker, msg, len, gw->loop.now_ns,
                                          &asked->ticket, reply, &reply_len);
    name_tell_over_limit(gw->names);
    if (step != DNS_ASK) {
        free(asked);
        return step == DNS_REPLY ? put_message(&d->relay.to_guest, reply, reply_len) : 0;
    }
    if (send_on(d, asked) < 0) {
        dns_server_cancel(server, &asked->ticket);
        free(asked);
        return -ENOMEM;
    }
    asked->deadline_ns = gw->loop.now_ns + settings_of(d)->dns_query_timeout_ms * MS_NS;
    *d->last = asked;
    d->last = &asked->next;
    d->n_asked++;
    return 0;
}

/* Answers one with SERVFAIL. Returns 0 or -ENOMEM. */
static int fail(struct dot_relay *d, struct asked *asked, const char *why)
{
    uint8_t *reply = name_reply_buffer(d->gw);
    size_t len = dns_server_fail(server_of(d), &asked->ticket, why, reply);
    remove_asked(d, asked);
    return put_message(&d->relay.to_guest, reply, len);
}

/* Takes one message of upstream. Returns 0 or -ENOMEM. */
static int take_answer(struct dot_relay *d, const uint8_t *msg, size_t len)
{
    ln_gateway *gw = d->gw;
    uint16_t flags;
    struct asked *asked = find(d, get_be16(msg));
    if (asked == NULL ||
        !dns_answer_matches(&asked->ticket.query.question, asked->id, msg, len, &flags)) {
        return 0;
    }
    if ((flags & DNS_FLAG_TC) != 0) { /* there is no larger transport to go to */
        return fail(d, asked, "the answer is truncated");
    }
    uint8_t *reply = name_reply_buffer(gw);
    size_t reply_len =
        dns_server_answer(server_of(d), &asked->ticket, msg, len, gw->loop.now_ns, reply);
    remove_asked(d, asked);
    return put_message(&d->relay.to_guest, reply, reply_len);
}

/* ---- both directions ---- */

static bool guest_is_full(const struct dot_relay *d)
{
    return d->relay.to_guest.len >= OUT_MAX;
}

/* The length of the message at the start of a queue; 0: it is not whole. Resets for one that is out
 * of bounds. */
static size_t next_message(struct dot_relay *d, const struct byte_queue *queue, size_t max)
{
    if (queue->len < LENGTH || d->relay.guest_end == HTTP_END_RESET) {
        return 0;
    }
    size_t len = get_be16(byte_queue_bytes(queue));
    if (len < DNS_HEADER_LEN || len > max) {
        reset(d);
        return 0;
    }
    return queue->len >= LENGTH + len ? len : 0;
}

/* Deals with whole messages, as far as there is room for what they bring. Returns 0 or -ENOMEM. */
static int go_on(struct dot_relay *d)
{
    size_t len;
    int r = 0;
    while (r == 0 && !guest_is_full(d) &&
           (len = next_message(d, &d->from_upstream, DNS_MESSAGE_MAX)) > 0) {
        r = take_answer(d, byte_queue_bytes(&d->from_upstream) + LENGTH, len);
        byte_queue_drop(&d->from_upstream, LENGTH + len);
    }
    while (r == 0 && !guest_is_full(d) && d->n_asked < ASKED_MAX &&
           d->relay.upstream_end == HTTP_END_NOT &&
           (len = next_message(d, &d->from_guest, QUERY_MAX)) > 0) {
        r = take_query(d, byte_queue_bytes(&d->from_guest) + LENGTH, len);
        byte_queue_drop(&d->from_guest, LENGTH + len);
    }
    if (d->upstream_ended && !guest_is_full(d)) { /* all that it said was taken */
        while (r == 0 && d->first != NULL) {
            r = fail(d, d->first, "the resolver hung up");
        }
        finish(&d->relay.guest_end);
    }
    if (d->guest_ended && d->n_asked == 0 && next_message(d, &d->from_guest, QUERY_MAX) == 0) {
        finish(&d->relay.guest_end);
        finish(&d->relay.upstream_end);
    }
    set_timer(d);
    return r;
}

static ssize_t take(struct dot_relay *d, struct byte_queue *queue, const uint8_t *data, size_t len)
{
    size_t space = byte_queue_space(queue);
    size_t n = len < space ? len : space;
    int r = byte_queue_put(queue, data, n);
    r = r < 0 ? r : go_on(d);
    return r < 0 ? r : (ssize_t)n;
}

static ssize_t from_guest(struct http_relay *relay, const uint8_t *data, size_t len)
{
    return take(dot_of(relay), &dot_of(relay)->from_guest, data, len);
}

static ssize_t from_upstream(struct http_relay *relay, const uint8_t *data, size_t len)
{
    return take(dot_of(relay), &dot_of(relay)->from_upstream, data, len);
}

static void guest_ended(struct http_relay *relay)
{
    struct dot_relay *d = dot_of(relay);
    d->guest_ended = true;
    if (go_on(d) < 0) {
        reset(d);
    }
}

static void upstream_ended(struct http_relay *relay)
{
    struct dot_relay *d = dot_of(relay);
    d->upstream_ended = true;
    finish(&relay->upstream_end);
    if (go_on(d) < 0) {
        reset(d);
    }
}

static int resume(struct http_relay *relay)
{
    return go_on(dot_of(relay));
}

static void fire(struct timer *timer, uint64_t now_ns)
{
    struct dot_relay *d =
        (struct dot_relay *)(void *)((char *)timer - offsetof(struct dot_relay, timer));
    if (d->first == NULL) {
        finish(&d->relay.guest_end);
        finish(&d->relay.upstream_end);
    }
    while (d->first != NULL && d->first->deadline_ns <= now_ns) {
        if (fail(d, d->first, "the resolver did not answer in time") < 0) {
            reset(d);
            break;
        }
    }
    if (d->relay.guest_end == HTTP_END_NOT && go_on(d) < 0) {
        reset(d);
    }
    d->changed(d->user);
}

static void free_relay(struct http_relay *relay)
{
    struct dot_relay *d = dot_of(relay);
    timer_cancel(&d->gw->loop.timers, &d->timer);
    while (d->first != NULL) {
        dns_server_cancel(server_of(d), &d->first->ticket);
        remove_asked(d, d->first);
    }
    byte_queue_free(&relay->to_guest);
    byte_queue_free(&relay->to_upstream);
    byte_queue_free(&d->from_guest);
    byte_queue_free(&d->from_upstream);
    free(d);
}

static const struct http_relay_ops ops = {
    .from_guest = from_guest,
    .from_upstream = from_upstream,
    .guest_ended = guest_ended,
    .upstream_ended = upstream_ended,
    .resume = resume,
    .free = free_relay,
};

int dot_relay_new(ln_gateway *gw, const struct dns_asker *asker, void (*changed)(void *user),
                  void *user, struct http_relay **ret)
{
    struct dot_relay *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return -ENOMEM;
    }
    /* Full, a side has one reply more at the most, or one message. */
    const size_t out_cap = OUT_MAX + LENGTH + DNS_MESSAGE_MAX;
    d->relay =
        (struct http_relay){.ops = &ops, .to_guest.cap = 2 * out_cap, .to_upstream.cap = out_cap};
    d->gw = gw;
    d->asker = *asker;
    d->from_guest.cap = LENGTH + QUERY_MAX;
    d->from_upstream.cap = LENGTH + DNS_MESSAGE_MAX;
    d->last = &d->first;
    d->timer.fire = fire;
    d->changed = changed;
    d->user = user;
    set_timer(d);
    *ret = &d->relay;
    return 0;
}
