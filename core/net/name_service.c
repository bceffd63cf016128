/* Port 53 of every address, over UDP and TCP: the guest's queries go to dns/server.h, and what that
 * wants to know to dns_upstream.h.
 *
 * Theory of operation. A query that has to wait is a lookup, of a datagram or of a stream. It waits
 * for a question that is asked upstream; lookups with the same question share one, but those for a
 * resolver that the guest named. How many lookups there are is for the server to bound. Streams
 * are TCP connections whose far side is the resolver itself (RFC 7766): messages with a length
 * before each, taken in any pieces, any number at once, answered in the order in which answers
 * come. A stream takes no more queries (`is_blocked`) while it has LOOKUPS_MAX under way or
 * QUEUE_MAX bytes of replies that the guest has not taken; its input then fills, its window closes.
 * What all streams hold together is bounded by ALL_QUEUED_MAX: one whose reply exceeds that is
 * reset.
 *
 * A stream ends when the guest has sent its FIN and has all replies; when it sends what cannot be a
 * query (reset); or when nothing was asked nor taken for limits.dns_tcp_idle_ms: with a FIN, and an
 * RST as long after.
 *
 * Neither UDP queries nor streams are judged or told as flows: each query is (server.c). Streams
 * count towards max_connections. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/hash.h"
#include "dns/server.h"
#include "net/dns_upstream.h"
#include "net/gateway.h"

enum {
    LENGTH = 2, /* bytes before each message of a stream */
    SLOTS = 256,
    QUERY_MAX = 2048,
    IN_MAX = 64 * 1024, /* bytes that the guest may send ahead: wide enough a window for any MTU */
    LOOKUPS_MAX = 16,
    QUEUE_MAX = 64 * 1024,
    ALL_QUEUED_MAX = 4 * 1024 * 1024
};

struct name_service {
    ln_gateway *gw;
    struct dns_server server;
    struct dns_upstream upstream;
    struct nameservers host;           /* the machine's */
    struct lookup *lookups;            /* of datagrams */
    struct question *questions[SLOTS]; /* that further lookups may share, by hash */
    struct hash_key hash_key;
    struct stream *current; /* whose segment is being dealt with; NULL once it is gone */
    size_t queued;          /* bytes of replies in all streams */
};

/* What is asked upstream. */
struct question {
    struct dns_exchange exchange;
    struct dns_query query;
    uint64_t hash;
    struct question **at, *next; /* in service->questions; `at` NULL: not shared */
    struct lookup *lookups;      /* that wait for it */
    bool over;                   /* the exchange is */
};

/* A query on its way. */
struct lookup {
    struct dns_ticket ticket;
    struct name_service *service;
    struct stream *stream;     /* NULL: of a datagram */
    struct lookup **at, *next; /* in the service's list, or the stream's */
    struct question *question;
    struct lookup **shared_at, *shared_next; /* in the question's list */
};

struct stream {
    struct flow flow;
    struct tcp_endpoint ep;
    struct tcp_far side; /* the endpoint's view of us */
    struct name_service *service;
    struct timer idle;
    struct lookup *lookups;
    uint32_t n_lookups;
    uint8_t *in; /* not yet taken as queries; NULL: nothing */
    uint32_t in_len;
    uint8_t *out; /* replies that the guest has not acknowledged */
    size_t out_start, out_len, out_room;
    bool stalled;  /* whole queries may be in `in` */
    bool finished; /* the guest's FIN was taken */
    bool closing;  /* idle for too long: our FIN follows the last reply */
};

static struct stream *stream_of_side(struct tcp_far *side)
{
    return (struct stream *)(void *)((char *)side - offsetof(struct stream, side));
}

static struct stream *stream_of_timer(struct timer *timer)
{
    return (struct stream *)(void *)((char *)timer - offsetof(struct stream, idle));
}

static struct question *question_of_exchange(struct dns_exchange *exchange)
{
    return (struct question *)(void *)((char *)exchange - offsetof(struct question, exchange));
}

/* Where a reply is written before it is sent or queued. */
static uint8_t *reply_buffer(const ln_gateway *gw)
{
    return gw->frame + TCP_HEADROOM;
}

/* ---- questions ---- */

/* No lookup joins it any more. */
static void question_unshare(struct question *question)
{
    if (question->at == NULL) {
        return;
    }
    *question->at = question->next;
    if (question->next != NULL) {
        question->next->at = question->at;
    }
    question->at = NULL;
}

static void question_share(struct name_service *service, struct question *question)
{
    question->at = &service->questions[question->hash % SLOTS];
    question->next = *question->at;
    if (question->next != NULL) {
        question->next->at = &question->next;
    }
    *question->at = question;
}

/* Two are the same when the same bytes would leave. */
static bool is_same_question(const struct dns_query *a, const struct dns_query *b)
{
    uint8_t bytes_a[DNS_SMALL_MAX], bytes_b[DNS_SMALL_MAX];
    size_t len = dns_query_write(a, 0, bytes_a);
    return len == dns_query_write(b, 0, bytes_b) && memcmp(bytes_a, bytes_b, len) == 0;
}

static uint64_t hash_of(const struct name_service *service, const struct dns_query *query)
{
    uint8_t bytes[DNS_SMALL_MAX];
    return hash_bytes(&service->hash_key, bytes, dns_query_write(query, 0, bytes));
}

static struct question *question_find(const struct name_service *service,
                                      const struct dns_query *query, uint64_t hash)
{
    struct question *question = service->questions[hash % SLOTS];
    while (question != NULL &&
           (question->hash != hash || !is_same_question(&question->query, query))) {
        question = question->next;
    }
    return question;
}

static void question_done(struct dns_exchange *exchange, const uint8_t *answer, size_t len,
                          const char *why);

/* Asks. Returns 0 or a negative errno. */
static int question_start(struct question *question, struct name_service *service,
                          const struct dns_ticket *ticket)
{
    question->query = ticket->query;
    if (!ticket->named) {
        return dns_exchange_start(&question->exchange, &service->upstream, &question->query,
                                  question_done);
    }
    struct nameserver resolver = {.addr = ticket->asker.resolver, .port = DNS_PORT};
    return dns_exchange_start_named(&question->exchange, &service->upstream, &question->query,
                                    &resolver, ticket->asker.transport, question_done);
}

/* The question that answers this ticket: one on its way, or a new one. NULL: it cannot be asked. */
static struct question *question_get(struct name_service *service, const struct dns_ticket *ticket)
{
    uint64_t hash = ticket->named ? 0 : hash_of(service, &ticket->query);
    struct question *question = ticket->named ? NULL : question_find(service, &ticket->query, hash);
    if (question != NULL) {
        return question;
    }
    question = calloc(1, sizeof(*question));
    if (question == NULL || question_start(question, service, ticket) < 0) {
        free(question);
        return NULL;
    }
    question->hash = hash;
    if (!ticket->named) {
        question_share(service, question);
    }
    return question;
}

/* ---- lookups ---- */

static void lookup_link(struct lookup *lookup, struct question *question)
{
    struct stream *stream = lookup->stream;
    lookup->at = stream != NULL ? &stream->lookups : &lookup->service->lookups;
    lookup->next = *lookup->at;
    if (lookup->next != NULL) {
        lookup->next->at = &lookup->next;
    }
    *lookup->at = lookup;
    if (stream != NULL) {
        stream->n_lookups++;
    }
    lookup->question = question;
    lookup->shared_at = &question->lookups;
    lookup->shared_next = question->lookups;
    if (question->lookups != NULL) {
        question->lookups->shared_at = &lookup->shared_next;
    }
    question->lookups = lookup;
}

/* Ends it, and its question where nobody else waits for that. */
static void lookup_free(struct lookup *lookup)
{
    struct question *question = lookup->question;
    *lookup->at = lookup->next;
    if (lookup->next != NULL) {
        lookup->next->at = lookup->at;
    }
    if (lookup->stream != NULL) {
        lookup->stream->n_lookups--;
    }
    *lookup->shared_at = lookup->shared_next;
    if (lookup->shared_next != NULL) {
        lookup->shared_next->shared_at = lookup->shared_at;
    }
    free(lookup);
    if (question->lookups == NULL && !question->over) {
        question_unshare(question);
        dns_exchange_cancel(&question->exchange);
        free(question);
    }
}

static void cancel_lookups(struct name_service *service, struct lookup *lookup)
{
    while (lookup != NULL) {
        struct lookup *next = lookup->next;
        dns_server_cancel(&service->server, &lookup->ticket);
        lookup_free(lookup);
        lookup = next;
    }
}

/* Takes a query. Returns the length of the reply in reply_buffer(), or 0 when none is due now. */
static size_t ask(struct name_service *service, struct stream *stream,
                  const struct dns_asker *asker, const uint8_t *msg, size_t len)
{
    ln_gateway *gw = service->gw;
    uint8_t *reply = reply_buffer(gw);
    size_t reply_len = 0;
    uint64_t within = lane_within(&gw->lanes[LN_EGRESS], len);
    service->server.closed = within < len || gateway_is_used_up(gw);
    lane_spend(&gw->lanes[LN_EGRESS], within);
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        gateway_over_limit(gw, LIMIT_DNS);
        return 0;
    }
    enum dns_step step = dns_server_query(&service->server, asker, msg, len, gw->loop.now_ns,
                                          &lookup->ticket, reply, &reply_len);
    if (step == DNS_DROP) {
        gateway_drop(gw, DROP_HEADER);
    }
    if (step != DNS_ASK) {
        free(lookup);
        return reply_len;
    }
    lookup->service = service;
    lookup->stream = stream;
    struct question *question = question_get(service, &lookup->ticket);
    if (question == NULL) {
        reply_len = dns_server_fail(&service->server, &lookup->ticket,
                                    "no nameserver can be reached", reply);
        free(lookup);
        return reply_len;
    }
    lookup_link(lookup, question);
    return 0;
}

static void tell_over_limit(struct name_service *service)
{
    for (; service->server.over_limit > 0; service->server.over_limit--) {
        gateway_over_limit(service->gw, LIMIT_DNS);
    }
}

/* ---- datagrams ---- */

/* Sends the reply in reply_buffer() as from the resolver that was asked. */
static void send_datagram(ln_gateway *gw, const struct dns_asker *asker, size_t len)
{
    bool v6 = !ln_addr_is_v4(&asker->guest);
    uint8_t *frame = reply_buffer(gw) - ETH_LEN - (v6 ? IPV6_LEN : IPV4_LEN) - UDP_LEN;
    lane_spend(&gw->lanes[LN_INGRESS], lane_within(&gw->lanes[LN_INGRESS], len));
    size_t frame_len = build_udp(frame, gw->guest_mac, gw->link.gateway_mac, v6, &asker->resolver,
                                 DNS_PORT, &asker->guest, asker->guest_port, len);
    gateway_send_packet(gw, frame, frame_len);
}

static struct dns_asker asker_of(const ln_gateway *gw, const struct flow_key *key,
                                 ln_protocol transport)
{
    return (struct dns_asker){
        .transport = transport,
        .guest = key->guest,
        .resolver = key->peer,
        .guest_port = key->guest_port,
        .flows = flow_table_live(&gw->flows),
    };
}

void name_service_udp(ln_gateway *gw, const struct packet *packet)
{
    struct flow_key key = gateway_key(packet);
    if (ln_addr_group(&packet->dst, NULL) == LN_GROUP_MULTICAST) {
        gateway_drop(gw, DROP_DESTINATION); /* nobody could answer from there */
        return;
    }
    struct dns_asker asker = asker_of(gw, &key, LN_UDP);
    size_t len = ask(gw->names, NULL, &asker, packet->frame + packet->payload, packet->payload_len);
    if (len > 0) {
        send_datagram(gw, &asker, len);
    }
    tell_over_limit(gw->names);
}

/* ---- streams: replies ---- */

/* Appends `len` bytes of reply_buffer(). Returns 0, or a negative errno: the stream is to be reset.
 */
static int queue_reply(struct stream *s, size_t len)
{
    struct name_service *service = s->service;
    if (service->queued + LENGTH + len > ALL_QUEUED_MAX) {
        gateway_over_limit(service->gw, LIMIT_DNS);
        return -ENOBUFS;
    }
    if (s->out_start > 0) {
        memmove(s->out, s->out + s->out_start, s->out_len);
        s->out_start = 0;
    }
    if (s->out_len + LENGTH + len > s->out_room) {
        size_t room = 2 * (s->out_len + LENGTH + len);
        uint8_t *out = realloc(s->out, room);
        if (out == NULL) {
            return -ENOMEM;
        }
        s->out = out;
        s->out_room = room;
    }
    put_be16(s->out + s->out_len, (uint16_t)len);
    memcpy(s->out + s->out_len + LENGTH, reply_buffer(service->gw), len);
    lane_spend(&service->gw->lanes[LN_INGRESS], lane_within(&service->gw->lanes[LN_INGRESS], len));
    s->out_len += LENGTH + len;
    service->queued += LENGTH + len;
    return 0;
}

static void drop_replies(struct stream *s)
{
    s->service->queued -= s->out_len;
    free(s->out);
    s->out = NULL;
    s->out_start = s->out_len = s->out_room = 0;
}

/* ---- streams: queries ---- */

static bool is_blocked(const struct stream *s)
{
    return s->n_lookups >= LOOKUPS_MAX || s->out_len >= QUEUE_MAX;
}

static void rest(struct stream *s)
{
    ln_gateway *gw = s->service->gw;
    const ln_limits *limits = &ln_policy_settings(gw->admission.policy)->limits;
    (void)timer_set(&gw->loop.timers, &s->idle, gw->loop.now_ns + limits->dns_tcp_idle_ms * MS_NS);
}

/* Takes whole queries out of the input, until there is none or the stream is blocked. Returns 0, or
 * a negative errno: the stream is to be reset. */
static int take_queries(struct stream *s)
{
    uint32_t at = 0;
    int r = 0;
    s->stalled = false;
    while (r == 0 && s->in_len - at >= LENGTH) {
        uint32_t len = get_be16(s->in + at);
        if (len < DNS_HEADER_LEN || len > QUERY_MAX) {
            return -EPROTO;
        }
        if (s->in_len - at < LENGTH + len) {
            break;
        }
        if (is_blocked(s)) {
            s->stalled = true;
            break;
        }
        struct dns_asker asker = asker_of(s->service->gw, &s->flow.key, LN_TCP);
        size_t reply = ask(s->service, s, &asker, s->in + at + LENGTH, len);
        r = reply > 0 ? queue_reply(s, reply) : 0;
        at += LENGTH + len;
        rest(s);
    }
    s->in_len -= at;
    if (s->in_len > 0) {
        memmove(s->in, s->in + at, s->in_len);
    } else {
        free(s->in);
        s->in = NULL;
    }
    tell_over_limit(s->service);
    return r;
}

/* Something was answered, taken or sent: goes on with the rest. The stream may be gone afterwards.
 */
static void go_on(struct stream *s)
{
    if (take_queries(s) < 0) {
        tcp_abort(&s->ep);
        return;
    }
    tcp_far_writable(&s->ep);
    tcp_far_readable(&s->ep);
}

/* Replies, and ends the lookup. */
static void lookup_done(struct lookup *lookup, const uint8_t *answer, size_t len, const char *why)
{
    struct name_service *service = lookup->service;
    struct stream *stream = lookup->stream;
    struct dns_ticket *ticket = &lookup->ticket;
    ln_gateway *gw = service->gw;
    uint8_t *dst = reply_buffer(gw);
    size_t reply = answer != NULL ? dns_server_answer(&service->server, ticket, answer, len,
                                                      gw->loop.now_ns, dst)
                                  : dns_server_fail(&service->server, ticket, why, dst);
    if (stream == NULL) {
        send_datagram(gw, &ticket->asker, reply);
        lookup_free(lookup);
        tell_over_limit(service);
        return;
    }
    lookup_free(lookup);
    if (queue_reply(stream, reply) < 0) {
        tcp_abort(&stream->ep);
    } else {
        rest(stream);
        go_on(stream);
    }
}

static void question_done(struct dns_exchange *exchange, const uint8_t *answer, size_t len,
                          const char *why)
{
    struct question *question = question_of_exchange(exchange);
    question_unshare(question);
    question->over = true;
    while (question->lookups != NULL) { /* a reply may end a stream, and with it other lookups */
        lookup_done(question->lookups, answer, len, why);
    }
    free(question);
}

/* ---- the endpoint's callbacks ---- */

static ssize_t side_write(struct tcp_far *side, const uint8_t *data, size_t len)
{
    struct stream *s = stream_of_side(side);
    size_t n = IN_MAX - s->in_len < len ? IN_MAX - s->in_len : len;
    if (n == 0) {
        return 0;
    }
    uint8_t *in = realloc(s->in, s->in_len + n);
    if (in == NULL) {
        return -ENOMEM;
    }
    memcpy(in + s->in_len, data, n);
    s->in = in;
    s->in_len += (uint32_t)n;
    int r = take_queries(s);
    return r < 0 ? r : (ssize_t)n;
}

static size_t side_space(struct tcp_far *side)
{
    const struct stream *s = stream_of_side(side);
    return IN_MAX - s->in_len;
}

static ssize_t side_peek(struct tcp_far *side, size_t offset, uint8_t *dst, size_t len)
{
    const struct stream *s = stream_of_side(side);
    size_t left = s->out_len - offset;
    if (left == 0) {
        bool done = s->closing || (s->finished && s->n_lookups == 0 && !s->stalled);
        return done ? 0 : -EAGAIN;
    }
    size_t n = len < left ? len : left;
    memcpy(dst, s->out + s->out_start + offset, n);
    return (ssize_t)n;
}

static void side_discard(struct tcp_far *side, size_t len)
{
    struct stream *s = stream_of_side(side);
    s->out_start += len;
    s->out_len -= len;
    s->service->queued -= len;
    if (s->out_len == 0) {
        drop_replies(s);
    }
    rest(s);
}

static void side_finish(struct tcp_far *side)
{
    stream_of_side(side)->finished = true;
}

static void side_opened(struct tcp_far *side)
{
    struct stream *s = stream_of_side(side);
    ln_gateway *gw = s->service->gw;
    flow_table_move(&gw->flows, &s->flow, FLOW_OPEN, gw->loop.now_ns);
    rest(s);
}

static void release(struct stream *s)
{
    flow_table_remove(&s->service->gw->flows, &s->flow);
    tcp_fini(&s->ep);
    free(s);
}

static void side_closed(struct tcp_far *side, enum tcp_end end)
{
    struct stream *s = stream_of_side(side);
    ln_gateway *gw = s->service->gw;
    (void)end;
    if (s->service->current == s) {
        s->service->current = NULL;
    }
    cancel_lookups(s->service, s->lookups);
    timer_cancel(&gw->loop.timers, &s->idle);
    drop_replies(s);
    free(s->in);
    s->in = NULL;
    s->in_len = 0;
    if (s->ep.state == TCP_TIME_WAIT) {
        flow_table_move(&gw->flows, &s->flow, FLOW_CLOSING, gw->loop.now_ns);
    } else {
        release(s);
    }
}

static void side_ended(struct tcp_far *side)
{
    release(stream_of_side(side));
}

static const struct tcp_far_ops side_ops = {
    .write = side_write,
    .space = side_space,
    .peek = side_peek,
    .discard = side_discard,
    .finish = side_finish,
    .opened = side_opened,
    .closed = side_closed,
    .ended = side_ended,
};

static void idle(struct timer *timer, uint64_t now_ns)
{
    struct stream *s = stream_of_timer(timer);
    (void)now_ns;
    if (s->n_lookups > 0) {
        rest(s); /* their own time is limited */
    } else if (s->closing || s->out_len > 0) {
        tcp_abort(&s->ep);
    } else {
        s->closing = true;
        rest(s);
        tcp_far_readable(&s->ep);
    }
}

/* ---- segments ---- */

static void open_stream(ln_gateway *gw, const struct packet *syn)
{
    if (!gateway_make_room(gw, FLOW_HALF_OPEN)) {
        return;
    }
    struct stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        return;
    }
    s->flow.key = gateway_key(syn);
    s->flow.direction = LN_EGRESS;
    s->flow.decision = (ln_decision){.action = LN_ALLOW, .reason = LN_REASON_DEFAULT};
    s->service = gw->names;
    s->side.ops = &side_ops;
    s->idle.fire = idle;
    if (tcp_accept(&s->ep, &gw->tcp, &s->side, syn) < 0) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        free(s);
        return;
    }
    flow_table_add(&gw->flows, &s->flow, FLOW_HALF_OPEN, gw->loop.now_ns);
    tcp_connected(&s->ep);
}

static bool is_new_syn(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static void input(struct stream *s, const struct packet *packet)
{
    struct name_service *service = s->service;
    service->current = s;
    enum drop_reason reason = tcp_input(&s->ep, packet);
    if (reason != DROP_NONE) {
        gateway_drop(service->gw, reason);
    }
    if (service->current == s && s->ep.state == TCP_OPEN) {
        go_on(s);
    }
    service->current = NULL;
}

void name_service_tcp_input(ln_gateway *gw, struct flow *flow, const struct packet *packet)
{
    struct stream *s = (struct stream *)(void *)flow;
    if (s != NULL && is_new_syn(packet) && tcp_reusable(&s->ep, packet)) {
        release(s);
        s = NULL;
    }
    if (s != NULL) {
        input(s, packet);
    } else if (is_new_syn(packet)) {
        open_stream(gw, packet);
    } else {
        gateway_drop(gw, DROP_NO_FLOW);
        tcp_reset_packet(&gw->tcp, packet);
    }
}

void name_service_tcp_destroy(ln_gateway *gw, struct flow *flow, const char *reason)
{
    struct stream *s = (struct stream *)(void *)flow;
    (void)gw;
    (void)reason; /* streams are not told */
    if (s->ep.state == TCP_TIME_WAIT) {
        release(s);
    } else {
        tcp_abort(&s->ep);
    }
}

/* ---- life ---- */

/* The cache that the policy wants, empty. Without memory there is none, which costs time only. */
static void start_cache(struct name_service *service)
{
    const ln_settings *settings = ln_policy_settings(service->gw->admission.policy);
    const ln_limits *limits = &settings->limits;
    const struct host_services *services = &service->gw->loop.services;
    uint8_t key[16];
    services->random(services->user, key, sizeof(key));
    dns_cache_free(service->server.cache);
    service->server.cache =
        settings->dns_cache ? dns_cache_new(limits->dns_cache_entries, limits->dns_cache_bytes, key)
                            : NULL;
}

int name_service_start(ln_gateway *gw, const char *resolv_conf, ln_error *reterr)
{
    const ln_settings *settings = ln_policy_settings(gw->admission.policy);
    const char *path = resolv_conf != NULL ? resolv_conf : "/etc/resolv.conf";
    struct name_service *service = calloc(1, sizeof(*service));
    if (service == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    service->gw = gw;
    service->server = (struct dns_server){.admission = &gw->admission, .link = &gw->link};
    int r = resolv_conf_read(path, &service->host);
    if (r < 0 && settings->n_nameservers == 0) {
        free(service);
        return fail_with(reterr, r, "%s: %s", path, strerror(-r));
    }
    r = dns_upstream_init(&service->upstream, &gw->loop, &service->host, settings, reterr);
    if (r < 0) {
        free(service);
        return r;
    }
    uint8_t key[16];
    gw->loop.services.random(gw->loop.services.user, key, sizeof(key));
    service->hash_key = hash_key_from(key);
    service->server.budget = dns_budget_new(key);
    start_cache(service);
    gw->names = service;
    return service->server.budget != NULL ? 0 : fail_with(reterr, -ENOMEM, "out of memory");
}

void name_service_stop(ln_gateway *gw)
{
    struct name_service *service = gw->names;
    if (service == NULL) {
        return;
    }
    cancel_lookups(service, service->lookups);
    dns_upstream_fini(&service->upstream);
    dns_cache_free(service->server.cache);
    dns_budget_free(service->server.budget);
    free(service);
    gw->names = NULL;
}

int name_service_prepare(ln_gateway *gw, const ln_policy *policy, struct dns_upstream *ret,
                         ln_error *reterr)
{
    return dns_upstream_init(ret, &gw->loop, &gw->names->host, ln_policy_settings(policy), reterr);
}

void name_service_forget(ln_gateway *gw)
{
    cancel_lookups(gw->names, gw->names->lookups);
}

void name_service_reload(ln_gateway *gw, struct dns_upstream *prepared)
{
    struct name_service *service = gw->names;
    dns_upstream_swap(&service->upstream, prepared);
    start_cache(service);
    for (size_t i = 0; i < SLOTS; i++) { /* they go to the resolvers of before */
        while (service->questions[i] != NULL) {
            question_unshare(service->questions[i]);
        }
    }
}
