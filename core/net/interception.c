/* The life of an intercepted connection.
 *
 * Theory of operation.
 *
 *   DIALLING ──▶ HOST ──▶ GUEST ──▶ SNIFFING ──▶ OPEN
 *                  │        │           │
 *                  └────────┴───────────┴──▶ ENDING
 *
 * The guest's ClientHello waits while the host is connected and its handshake is made: what the
 * host selected (ALPN) is what the guest is offered, and a host that cannot be had is told to the
 * guest in the way that it understands. Where it asked for HTTP or nothing in particular, its
 * handshake is completed all the same and every request is answered with a 502 that says why
 * (`fault`); else it gets an alert. Nothing of the guest's is sent to the host before the host was
 * verified, but for its own server name.
 *
 * Then bytes go guest's leg → relay → host's leg, and back. The relay is of HTTP/1 or HTTP/2 by
 * what was negotiated; where nothing was, the guest's first plaintext tells, or that the host spoke
 * first. What is no HTTP goes through a relay that changes nothing, unless requests have to be
 * judged: then it is reset.
 *
 * DNS over TLS is read likewise, by a relay of its own (dot_relay.c).
 *
 * Plain HTTP has legs without TLS, and is OPEN from the start.
 *
 * Handshakes are work: the sessions that have some wait in gw->shaking, and in each turn of the
 * gateway one of them gets one step, after the packets of all flows. A handshake that takes longer
 * than a connection may take to be made has failed.
 *
 * Memory of one connection. One that is idle has some 100 KiB, most of it the records of two TLS
 * sessions: queues that grew with much data let go of their memory whenever all of it is through.
 * One whose other side does not read has besides, each way, at most what waits on the wire
 * (LEG_WIRE_MAX, in the leg or in its session), as plaintext (LEG_PLAIN_MAX), in the relay, and
 * encrypted (120 KiB), in queues that take twice as much: less than 1 MiB over HTTP/1 without
 * filtered bodies. Over HTTP/2 the windows of its streams count. */
#include "net/interception.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1.h"
#include "http/h2.h"
#include "net/dot_relay.h"
#include "net/name_service.h"
#include "net/opaque_relay.h"
#include "net/trust.h"

enum { LINGER_MS = 10000 /* for the guest's FIN, when all else is done */ };

static struct interception *of(const struct inspection *inspection)
{
    return (struct interception *)(void *)((char *)(uintptr_t)inspection -
                                           offsetof(struct interception, inspection));
}

/* ---- stages ---- */

/* The guest's side gets what stands in its output, and its end; the host's is dropped. */
void interception_end(struct interception *ix)
{
    ix->stage = STAGE_ENDING;
    ix->drops_host = true;
    ix->guest.finished = true;
    interception_unqueue(ix);
    (void)interception_set_timer(ix, LINGER_MS);
}

/* The first bytes of a connection that negotiated nothing. */
enum sniffed { SNIFFED_NOT_YET, SNIFFED_H1, SNIFFED_H2, SNIFFED_DOT, SNIFFED_OPAQUE };

static enum sniffed sniff(struct interception *ix)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const struct byte_queue *plain = leg_plain(&ix->guest);
    const uint8_t *bytes = byte_queue_bytes(plain);
    size_t n = plain->len < sizeof(preface) - 1 ? plain->len : sizeof(preface) - 1;
    if (ix->dot) {
        return SNIFFED_DOT;
    }
    if (ix->alpn != TLS_ALPN_NONE) {
        return ix->alpn == TLS_ALPN_H2 ? SNIFFED_H2 : SNIFFED_H1;
    }
    if (n == 0) {
        return leg_plain(&ix->host)->len > 0 ? SNIFFED_OPAQUE : SNIFFED_NOT_YET;
    }
    if (memcmp(bytes, preface, n) == 0) {
        return n == sizeof(preface) - 1 ? SNIFFED_H2
               : ix->guest.over         ? SNIFFED_OPAQUE
                                        : SNIFFED_NOT_YET;
    }
    struct request_head_view view = {0};
    enum request_head head = request_head_look(&view, bytes, plain->len);
    if (head == REQUEST_HEAD_NOT_HTTP) {
        return SNIFFED_OPAQUE;
    }
    bool whole = head != REQUEST_HEAD_PARTIAL || view.in_fields ||
                 byte_queue_space(plain) < LEG_PLAIN_MAX / 2 || ix->guest.over;
    return whole ? SNIFFED_H1 : SNIFFED_NOT_YET;
}

static void dot_changed(void *user)
{
    tcp_inspect_go_on(((struct interception *)user)->flow);
}

static int make_dot_relay(struct interception *ix)
{
    const struct tcp_flow *f = ix->flow;
    struct dns_asker asker = name_asker(f->gw, &f->flow.key, LN_TCP);
    asker.claimed = f->flow.name;
    return dot_relay_new(f->gw, &asker, dot_changed, ix, &ix->relay);
}

static int new_relay(struct interception *ix, enum sniffed kind)
{
    const ln_limits *limits = tcp_flow_limits(ix->flow);
    struct http_relay_settings settings = {
        .head_bytes = limits->http_header_bytes,
        .scheme = ix->clear ? "http" : "https",
        .no_upstream = ix->fault != NULL,
    };
    if (kind == SNIFFED_DOT) {
        return make_dot_relay(ix);
    }
    if (kind == SNIFFED_H2) {
        settings.head_bytes = limits->h2_header_list_bytes;
        settings.streams = limits->h2_streams;
        return http2_relay_new(&settings, &intercept_filter, ix, &ix->relay);
    }
    if (kind == SNIFFED_H1) {
        return http1_relay_new(&settings, &intercept_filter, ix, &ix->relay);
    }
    ix->opaque = true;
    if (ix->fault != NULL || ix->flow->flow.decision.inspect) {
        ix->flow->reason = ix->fault != NULL ? ix->fault : "not_http";
        return -EACCES;
    }
    return opaque_relay_new(intercept_scan, ix, &ix->relay);
}

/* Makes the relay. Returns 0 or -errno. */
static int make_relay(struct interception *ix, enum sniffed kind)
{
    int r = new_relay(ix, kind);
    if (r == 0) {
        ix->relay->to_guest.keeps = ix->relay->to_upstream.keeps = true;
    }
    return r;
}

/* What is spoken is found out, where that is not known yet. Returns whether it got anywhere, or
 * -errno. */
static int open_up(struct interception *ix)
{
    enum sniffed kind = sniff(ix);
    if (kind == SNIFFED_NOT_YET) {
        return 0;
    }
    int r = make_relay(ix, kind);
    ix->stage = STAGE_OPEN;
    return r < 0 ? r : 1;
}

/* ---- bytes ---- */

/* What the guest sent, to the relay. Each of these returns whether it got anywhere, or -errno. */
static int give_from_guest(struct interception *ix)
{
    struct byte_queue *plain = leg_plain(&ix->guest);
    if (plain->len > 0) {
        ssize_t n = http_relay_from_guest(ix->relay, byte_queue_bytes(plain), plain->len);
        if (n < 0) {
            return (int)n;
        }
        byte_queue_drop(plain, (size_t)n);
        return n > 0;
    }
    if (ix->guest.over && !ix->guest_told) {
        ix->guest_told = true;
        http_relay_guest_ended(ix->relay);
        return 1;
    }
    return 0;
}

static int give_from_host(struct interception *ix)
{
    struct byte_queue *plain = leg_plain(&ix->host);
    if (plain->len > 0) {
        ssize_t n = http_relay_from_upstream(ix->relay, byte_queue_bytes(plain), plain->len);
        if (n < 0) {
            return (int)n;
        }
        byte_queue_drop(plain, (size_t)n);
        return n > 0;
    }
    if (ix->host.over && !ix->host_told) {
        ix->host_told = true;
        if (ix->host.was_reset) {
            ix->relay->upstream_end = HTTP_END_RESET;
        }
        http_relay_upstream_ended(ix->relay);
        return 1;
    }
    return 0;
}

/* What the relay says of the ends. */
static int follow_ends(struct interception *ix)
{
    struct http_relay *relay = ix->relay;
    if (relay->guest_end == HTTP_END_RESET) {
        return -ECONNRESET;
    }
    ix->drops_host = ix->drops_host || relay->upstream_end == HTTP_END_RESET;
    if (relay->upstream_end == HTTP_END_FINISH && relay->to_upstream.len == 0 &&
        !ix->host.finished) {
        leg_finish(&ix->host, ix->opaque && !ix->clear && tls_session_truncated(ix->guest.tls));
    }
    if (relay->guest_end == HTTP_END_FINISH && relay->to_guest.len == 0 && !ix->guest.finished) {
        /* A guest that has closed already would answer a close_notify with a reset. */
        bool cut = ix->guest.input_ended ||
                   (!ix->clear && ix->host.tls != NULL && tls_session_truncated(ix->host.tls));
        leg_finish(&ix->guest, cut);
        return 1;
    }
    return 0;
}

/* A leg's session failed in the middle. */
static int break_off(struct interception *ix, struct leg *leg)
{
    const struct tls_fault *fault = leg->tls == NULL ? NULL : tls_session_fault(leg->tls);
    if (fault == NULL) {
        return -EPROTO;
    }
    if (leg == &ix->guest) {
        interception_tell(ix->flow, LN_EVENT_TLS_ERROR, "guest_broken", fault->message, NULL);
        interception_end(ix);
        return 1;
    }
    if (ix->host.over) {
        return 0;
    }
    interception_tell(ix->flow, LN_EVENT_TLS_ERROR, fault->name, fault->message, NULL);
    ix->host.over = ix->host.was_reset = true;
    return 1;
}

/* All that is open: both legs and the relay between them. */
static int transfer(struct interception *ix)
{
    bool has_host = ix->clear || ix->host.tls != NULL;
    int moved = http_relay_resume(ix->relay);
    int got = moved < 0 ? moved : leg_fill(&ix->guest);
    if (got == -EPROTO) {
        return break_off(ix, &ix->guest);
    }
    int gave = got < 0 ? got : give_from_guest(ix);
    int got_host = gave < 0 ? gave : has_host && ix->fault == NULL ? leg_fill(&ix->host) : 0;
    if (got_host == -EPROTO) {
        got_host = break_off(ix, &ix->host);
    }
    int gave_host = got_host < 0 ? got_host : give_from_host(ix);
    if (gave_host < 0) {
        return gave_host;
    }
    moved = got > 0 || gave > 0 || got_host > 0 || gave_host > 0;
    if (!ix->clear) {
        int up =
            ix->fault == NULL && !ix->drops_host ? leg_send(&ix->host, &ix->relay->to_upstream) : 0;
        int down = leg_send(&ix->guest, &ix->relay->to_guest);
        if (up < 0 || down < 0) {
            return up < 0 ? break_off(ix, &ix->host) : break_off(ix, &ix->guest);
        }
        moved |= up > 0 || down > 0;
    }
    int ended = follow_ends(ix);
    return ended < 0 ? ended : moved || ended > 0;
}

/* ---- an inspection's functions ---- */

static int take(struct inspection *inspection, bool of_guest, const uint8_t *data, size_t len)
{
    struct interception *ix = of(inspection);
    if (ix->stage == STAGE_ENDING) {
        return 0; /* nobody reads it any more */
    }
    int r = leg_take(of_guest ? &ix->guest : &ix->host, data, len);
    bool shakes = of_guest ? ix->stage == STAGE_GUEST : ix->stage == STAGE_HOST;
    if (r == 0 && shakes) {
        interception_queue(ix);
    }
    return r;
}

static size_t space(const struct inspection *inspection, bool of_guest)
{
    const struct interception *ix = of(inspection);
    if (ix->stage == STAGE_ENDING) {
        return LEG_WIRE_MAX;
    }
    if (of_guest) {
        return leg_space(&ix->guest);
    }
    /* The host's bytes wait in its socket, not here: they need no moving there. */
    return leg_is_behind(&ix->host) ? 0 : leg_space(&ix->host);
}

static void ended(struct inspection *inspection, bool of_guest, bool by_reset)
{
    struct interception *ix = of(inspection);
    struct leg *leg = of_guest ? &ix->guest : &ix->host;
    ix->lost = ix->lost || (by_reset && leg->over && !ix->host.finished);
    leg_end_of_input(leg, by_reset);
    if (ix->stage == (of_guest ? STAGE_GUEST : STAGE_HOST)) {
        interception_queue(ix);
    }
}

static int connected(struct inspection *inspection)
{
    struct interception *ix = of(inspection);
    return ix->clear ? 0 : interception_connect(ix);
}

static struct byte_queue *output(struct inspection *inspection, bool to_guest)
{
    struct interception *ix = of(inspection);
    struct leg *leg = to_guest ? &ix->guest : &ix->host;
    if (ix->clear) {
        return to_guest ? &ix->relay->to_guest : &ix->relay->to_upstream;
    }
    return leg->tls != NULL ? tls_session_output(leg->tls) : &ix->nothing;
}

/* Once all is said and the host is gone, the guest has some time to end too. */
static void linger(struct interception *ix)
{
    bool host_done = ix->drops_host || ix->host.finished || ix->flow->far == FAR_NONE;
    if (ix->guest.finished && host_done && output(&ix->inspection, true)->len == 0 &&
        !timer_is_set(&ix->timer)) {
        (void)interception_set_timer(ix, LINGER_MS);
    }
}

static int work(struct inspection *inspection)
{
    struct interception *ix = of(inspection);
    int r = 0;
    if (ix->lost) {
        return -ECONNRESET;
    }
    if (ix->stage == STAGE_HOST || ix->stage == STAGE_GUEST) {
        if (leg_feed(ix->stage == STAGE_HOST ? &ix->host : &ix->guest)) {
            interception_queue(ix);
        }
    }
    if (ix->stage == STAGE_SNIFFING) {
        r = leg_fill(&ix->guest);
        if (r == -EPROTO) {
            r = break_off(ix, &ix->guest);
        }
        int got = r < 0 || ix->fault != NULL ? 0 : leg_fill(&ix->host);
        if (got == -EPROTO) {
            got = break_off(ix, &ix->host);
        }
        r = r < 0 ? r : got < 0 ? got : ix->stage == STAGE_SNIFFING ? open_up(ix) : 1;
    }
    r = r >= 0 && ix->stage == STAGE_OPEN ? transfer(ix) : r;
    linger(ix);
    return r;
}

static void rest(struct inspection *inspection)
{
    struct interception *ix = of(inspection);
    leg_trim(&ix->guest);
    leg_trim(&ix->host);
    if (ix->relay != NULL) {
        byte_queue_trim(&ix->relay->to_guest);
        byte_queue_trim(&ix->relay->to_upstream);
    }
}

static bool is_finished(const struct inspection *inspection, bool to_guest)
{
    const struct interception *ix = of(inspection);
    return to_guest ? ix->guest.finished : ix->host.finished;
}

static bool drops_host(const struct inspection *inspection)
{
    return of(inspection)->drops_host;
}

static bool is_opening(const struct inspection *inspection)
{
    return of(inspection)->stage < STAGE_SNIFFING;
}

/* Requests are judged by the policy in force as they come. Bytes that are none are not. */
static bool rejudge(struct inspection *inspection)
{
    const struct interception *ix = of(inspection);
    return !ix->opaque || !ix->flow->flow.decision.inspect;
}

static void release(struct inspection *inspection)
{
    struct interception *ix = of(inspection);
    interception_unqueue(ix);
    timer_cancel(&ix->flow->gw->loop.timers, &ix->timer);
    ix->relay = http_relay_free(ix->relay);
    secret_scanner_free(ix->scanner);
    intercept_scope_unref(ix->scanned);
    intercept_scope_unref(ix->scope);
    leg_free(&ix->guest);
    leg_free(&ix->host);
    free(ix);
}

static const struct inspection_ops ops = {
    .take = take,
    .space = space,
    .ended = ended,
    .connected = connected,
    .work = work,
    .output = output,
    .rest = rest,
    .is_finished = is_finished,
    .drops_host = drops_host,
    .is_opening = is_opening,
    .rejudge = rejudge,
    .free = release,
};

int interception_start(struct tcp_flow *f, enum intercept_kind kind,
                       const struct first_flight_view *view, const uint8_t *data, size_t len)
{
    struct interception *ix = calloc(1, sizeof(*ix));
    if (ix == NULL) {
        return -ENOMEM;
    }
    ix->inspection.ops = &ops;
    ix->flow = f;
    ix->timer.fire = interception_fire;
    ix->clear = kind == INTERCEPT_HTTP || kind == INTERCEPT_OPAQUE;
    ix->dot = kind == INTERCEPT_DOT;
    leg_init(&ix->guest, ix->clear);
    leg_init(&ix->host, ix->clear);
    int r = 0;
    if (ix->clear) {
        ix->stage = STAGE_OPEN;
        r = make_relay(ix, kind == INTERCEPT_HTTP ? SNIFFED_H1 : SNIFFED_OPAQUE);
    } else if (kind == INTERCEPT_TLS) {
        ix->offered_alpn = view->hello.alpn;
        ix->offers_h2 = view->hello.alpn_h2;
        ix->offers_http11 = view->hello.alpn_http11;
    }
    if (r < 0) {
        release(&ix->inspection);
        return r;
    }
    return tcp_inspect_start(f, &ix->inspection, data, len);
}
