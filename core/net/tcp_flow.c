/* TCP flows: lunette's endpoint towards the guest on one side, a host socket on the other, and the
 * verdict between them.
 *
 * Theory of operation. A SYN is judged without a name. There are four outcomes:
 *
 *   deny            the flow is refused (refusal.c) and never gets here
 *   allow           no name can change that. The host socket is connected first, and the SYN is
 *                   answered as that ends; then bytes are passed on as they are.
 *   defer, and the pins allow it as long as no name shows
 *                   likewise, but the guest's first bytes are looked at before they are passed on.
 *                   What a server says first is passed to the guest meanwhile.
 *   defer, and the pins do not
 *                   the SYN is answered at once and nothing is sent upstream; the host socket is
 *                   connected when the first bytes have shown a name that is allowed.
 *
 * The first bytes are kept until they show a name, or show that there is none, or their time is up.
 * Then the flow is judged for good. When time is up and the pins allow the flow, the bytes are
 * passed on, but kept and looked at all the same until they show what they are: no name gets past
 * by being slow, since a hello or request of which the end was never passed on is none.
 *
 * With ln_config.learn_names an allowed flow is watched too, as one whose time was up: its bytes
 * are passed on at once. It is `certain`: whatever they show or hide, it stays allowed.
 *
 * `watching` and `passing` stand for these phases; `far` is the host socket's:
 *
 *   watching  passing
 *   yes       no       first flight under way; bytes are kept
 *   yes       yes      its time was up, or it is certain; bytes are kept and passed on
 *   no        yes      judged for good; bytes are passed on, first those that were kept
 *   no        no       does not occur
 *
 *   FAR_NONE -> FAR_DIALLING -> FAR_CONNECTED, and back to FAR_NONE between two addresses that are
 *   tried in turn.
 *
 * A call to a published port (tcp_flow_call()) comes with a host socket that is connected, and was
 * judged already: it is `passing` and not `watching`. The guest is called; when it refuses, or does
 * not answer, the caller is reset.
 *
 * Ends. The endpoint ends by itself, or by tcp_abort(), and says so by closed(), which is the only
 * place where a flow is let go of. The endpoint must not be ended from its own callbacks; what
 * would do so there is left to the next turn (`doom`), which comes at once.
 *
 * Bytes for the guest are not kept here: they are peeked at in the socket's own queue, straight
 * into the segment, and dropped from it when the guest has acknowledged them.
 *
 * An inspected flow (tcp_inspect.c) is one whose first flight showed that its bytes are to be
 * looked at: from there on, all of both sides' go through its `inspection`. It is `strict` before:
 * nothing of the first flight is passed on while it is not known what it is. */
#include "net/tcp_flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dns/server.h"
#include "net/interception.h"

enum { SHARE = 32 /* segments that one flow may send in a turn */ };

static struct tcp_flow *flow_of_side(struct tcp_far *side)
{
    return (struct tcp_flow *)(void *)((char *)side - offsetof(struct tcp_flow, side));
}

static struct tcp_flow *flow_of_watch(struct watch *watch)
{
    return (struct tcp_flow *)(void *)((char *)watch - offsetof(struct tcp_flow, watch));
}

static struct tcp_flow *flow_of_timer(struct timer *timer)
{
    return (struct tcp_flow *)(void *)((char *)timer - offsetof(struct tcp_flow, timer));
}

void tcp_flow_enlist(struct tcp_flow *f)
{
    ln_gateway *gw = f->gw;
    if (f->ready) {
        return;
    }
    f->ready = true;
    f->enlisted = gw->turns;
    f->next = NULL;
    *(gw->tcp_ready != NULL ? &gw->tcp_ready_last->next : &gw->tcp_ready) = f;
    gw->tcp_ready_last = f;
}

static void delist(struct tcp_flow *f)
{
    ln_gateway *gw = f->gw;
    struct tcp_flow *before = NULL;
    if (!f->ready) {
        return;
    }
    for (struct tcp_flow *at = gw->tcp_ready; at != f; at = at->next) {
        before = at;
    }
    *(before != NULL ? &before->next : &gw->tcp_ready) = f->next;
    if (gw->tcp_ready_last == f) {
        gw->tcp_ready_last = before;
    }
    f->ready = false;
}

void tcp_flow_doom(struct tcp_flow *f, int err)
{
    f->doom = err;
    tcp_flow_enlist(f);
}

/* Half-open: before the handshake, while the verdict hangs on a name, holding a first flight, or
 * while an inspection is being set up. Those are few, and the oldest of them makes room. */
void tcp_flow_classify(struct tcp_flow *f)
{
    bool hangs = f->watching && !f->permitted && !f->passing;
    bool opening = f->inspection != NULL && f->inspection->ops->is_opening(f->inspection);
    enum flow_class now =
        f->ep.state < TCP_OPEN || f->first != NULL || hangs || opening ? FLOW_HALF_OPEN : FLOW_OPEN;
    if (now == f->flow.flow_class) {
        return;
    }
    if (now == FLOW_HALF_OPEN) {
        gateway_bound_half_open(f->gw);
    }
    flow_table_move(&f->gw->flows, &f->flow, now, f->gw->loop.now_ns);
}

void tcp_flow_tell_open(struct tcp_flow *f)
{
    if (!f->told) {
        f->told = true;
        admission_tell_verdict(&f->gw->admission, &f->flow, NULL, NULL, f->gw->loop.now_ns);
    }
}

/* ---- the endpoint's callbacks ---- */

static ssize_t side_write(struct tcp_far *side, const uint8_t *data, size_t len)
{
    struct tcp_flow *f = flow_of_side(side);
    ssize_t n;
    len = (size_t)lane_within(&f->gw->lanes[LN_EGRESS], len);
    if (len == 0) {
        return 0;
    }
    if (f->inspection != NULL) {
        n = tcp_inspect_write(f, data, len);
    } else if (tcp_first_concerns(f)) {
        n = tcp_first_take(f, data, len);
    } else {
        f->written = (uint32_t)len;
        n = host_socket_write(&f->host, data, len);
    }
    if (n > 0) {
        lane_take(&f->gw->lanes[LN_EGRESS], (uint64_t)n, f->ep.mss);
        lane_spend(&f->gw->lanes[LN_EGRESS], (uint64_t)n);
    }
    return n;
}

/* What the host socket takes. */
static size_t host_space(struct tcp_flow *f)
{
    bool crowded;
    uint32_t segment = f->written > f->ep.mss ? f->written : f->ep.mss;
    size_t space = host_socket_space(&f->host, segment, &crowded);
    if (crowded && !f->host.crowded) {
        f->host.crowded = loop_rewatch(&f->gw->loop, &f->watch, HOST_SOCKET_EVENTS) == 0;
    }
    return space;
}

static size_t side_space(struct tcp_far *side)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->inspection == NULL && tcp_first_concerns(f)) {
        return tcp_first_space(f);
    }
    size_t space = f->inspection != NULL ? tcp_inspect_space(f) : host_space(f);
    uint64_t room = lane_room(&f->gw->lanes[LN_EGRESS], &f->waits[LN_EGRESS], f->ep.mss, space);
    return space < room ? space : (size_t)room;
}

/* Whether the flow may send one segment more in this turn; if not, it goes on in the next. */
static bool take_share(struct tcp_flow *f)
{
    ln_gateway *gw = f->gw;
    if (f->turn != gw->turns) {
        f->turn = gw->turns;
        f->share = SHARE;
    }
    if (f->share > 0) {
        f->share--;
        return true;
    }
    tcp_flow_enlist(f);
    return false;
}

static ssize_t side_peek(struct tcp_far *side, size_t offset, uint8_t *dst, size_t len)
{
    struct tcp_flow *f = flow_of_side(side);
    struct lane *lane = &f->gw->lanes[LN_INGRESS];
    bool inspected = f->inspection != NULL;
    uint64_t at = f->ep.bytes_in + offset;
    uint64_t again = at < f->counted_in ? f->counted_in - at : 0; /* bytes that went out before */
    len = again < len ? (size_t)(again + lane_within(lane, len - again)) : len;
    if ((f->far != FAR_CONNECTED && !inspected) || len == 0 ||
        !lane_is_open(lane, &f->waits[LN_INGRESS]) || !take_share(f)) {
        return -EAGAIN;
    }
    ssize_t n = inspected ? tcp_inspect_peek(f, offset, dst, len)
                          : host_socket_peek(&f->host, offset, dst, len, f->gw->scratch);
    if (n > 0) {
        lane_take(lane, (uint64_t)n, f->ep.mss);
        if (at + (uint64_t)n > f->counted_in) {
            lane_spend(lane, at + (uint64_t)n - f->counted_in);
            f->counted_in = at + (uint64_t)n;
        }
        tcp_flow_tell_open(f); /* a server that speaks first: the pins have decided */
        f->flow.packets_in++;
    } else if (n == 0 && !tcp_first_all_passed(f)) {
        return -EAGAIN; /* the end of both sides is the flow's: not before all is passed on */
    }
    return n;
}

static void side_discard(struct tcp_far *side, size_t len)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->inspection != NULL) {
        tcp_inspect_discard(f, len);
    } else {
        host_socket_discard(&f->host, len);
    }
}

static void side_finish(struct tcp_far *side)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->inspection != NULL) {
        tcp_inspect_finish(f);
        return;
    }
    f->finish_due = true;
    int r = tcp_first_finish(f);
    if (r == 0) {
        r = tcp_first_pass(f);
    }
    if (r < 0) {
        tcp_flow_doom(f, r);
    }
}

static bool side_is_done(struct tcp_far *side)
{
    const struct tcp_flow *f = flow_of_side(side);
    return f->inspection != NULL ? tcp_inspect_is_done(f) : tcp_first_all_passed(f);
}

static void side_opened(struct tcp_far *side)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->watching && !f->permitted && !tcp_first_start_clock(f)) {
        tcp_flow_doom(f, -EACCES);
    }
    tcp_flow_classify(f);
}

static void dispose(struct tcp_flow *f)
{
    tcp_fini(&f->ep);
    free(f->flow.name);
    free(f);
}

static void release(struct tcp_flow *f)
{
    flow_table_remove(&f->gw->flows, &f->flow);
    dispose(f);
}

static const char *end_name(enum tcp_end end)
{
    switch (end) {
    case TCP_END_DONE:
        return "done";
    case TCP_END_GUEST:
        return "reset_by_guest";
    case TCP_END_FAR:
        return "reset_by_peer";
    case TCP_END_TIMEOUT:
        return "timeout";
    case TCP_END_REFUSED:
        return "refused";
    }
    return NULL;
}

void tcp_flow_count(struct flow *flow)
{
    const struct tcp_flow *f = (const struct tcp_flow *)(const void *)flow;
    flow->bytes_out = f->ep.bytes_out;
    flow->bytes_in = f->ep.bytes_in;
}

static void side_closed(struct tcp_far *side, enum tcp_end end)
{
    struct tcp_flow *f = flow_of_side(side);
    ln_gateway *gw = f->gw;

    tcp_hang_up(f, end != TCP_END_DONE);
    timer_cancel(&gw->loop.timers, &f->timer);
    delist(f);
    lane_forget(&gw->lanes[LN_EGRESS], &f->waits[LN_EGRESS]);
    lane_forget(&gw->lanes[LN_INGRESS], &f->waits[LN_INGRESS]);
    tcp_first_free(f);
    tcp_inspect_free(f);
    ln_pins_release(gw->admission.pins, flow_peer(&f->flow), gw->loop.now_ns);
    tcp_flow_count(&f->flow);
    if (f->certain && !f->denied) {
        tcp_flow_tell_open(f);
    }
    if (f->told) {
        admission_tell_close(&gw->admission, &f->flow,
                             f->denied           ? "denied"
                             : f->reason != NULL ? f->reason
                                                 : end_name(end));
    }
    if (f->ep.state == TCP_TIME_WAIT) {
        flow_table_move(&gw->flows, &f->flow, FLOW_CLOSING, gw->loop.now_ns);
        return;
    }
    flow_table_remove(&gw->flows, &f->flow);
    if (f->denied && f->flow.direction == LN_INGRESS) {
        gateway_refuse_call(gw, &f->flow);
    } else if (f->denied) {
        gateway_refuse(gw, &f->flow.key, NULL, &f->flow.decision, f->flow.name, f->reason);
    }
    dispose(f);
}

static void side_ended(struct tcp_far *side)
{
    release(flow_of_side(side));
}

static const struct tcp_far_ops side_ops = {
    .write = side_write,
    .space = side_space,
    .peek = side_peek,
    .discard = side_discard,
    .finish = side_finish,
    .is_done = side_is_done,
    .opened = side_opened,
    .closed = side_closed,
    .ended = side_ended,
};

/* ---- the host socket's reports, and time ---- */

/* One report may tell all of it: connected, readable, ended. */
static void far_ready(struct watch *watch, uint32_t events)
{
    struct tcp_flow *f = flow_of_watch(watch);
    host_socket_event(&f->host, events);
    if (f->far == FAR_DIALLING && !tcp_dial_done(f, events)) {
        return;
    }
    if (f->inspection != NULL) {
        tcp_inspect_ready(f, events);
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        if (tcp_first_pass(f) < 0) {
            tcp_abort(&f->ep);
            return;
        }
        tcp_far_writable(&f->ep);
    }
    if ((events & EPOLLERR) != 0 && f->ep.fin_sent) { /* nothing more is read that would tell */
        if (host_socket_error(&f->host) < 0) {
            tcp_abort(&f->ep);
        }
    } else if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        tcp_far_readable(&f->ep);
    }
}

static void fire(struct timer *timer, uint64_t now_ns)
{
    struct tcp_flow *f = flow_of_timer(timer);
    (void)now_ns;
    if (f->far == FAR_DIALLING) {
        tcp_dial_failed(f, -ETIMEDOUT);
    } else if (f->watching) {
        tcp_first_time_is_up(f);
    }
}

static void resume(struct tcp_flow *f)
{
    int err = f->doom;
    f->doom = 0;
    if (err == 0 && f->inspection != NULL) {
        tcp_inspect_go_on(f);
    } else if (err == 0) {
        tcp_far_readable(&f->ep);
    } else if (f->denied || f->far != FAR_NONE || f->inspection != NULL) {
        tcp_abort(&f->ep);
    } else {
        tcp_dial_failed(f, err);
    }
}

void tcp_flow_resume_out(struct throttled *throttled)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)((char *)throttled -
                                                     offsetof(struct tcp_flow, waits[LN_EGRESS]));
    tcp_far_writable(&f->ep);
}

void tcp_flow_resume_in(struct throttled *throttled)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)((char *)throttled -
                                                     offsetof(struct tcp_flow, waits[LN_INGRESS]));
    tcp_far_readable(&f->ep);
}

void tcp_flow_resume(ln_gateway *gw)
{
    while (gw->tcp_ready != NULL && gw->tcp_ready->enlisted != gw->turns) {
        struct tcp_flow *f = gw->tcp_ready;
        delist(f);
        resume(f);
    }
}

/* ---- the guest's segments ---- */

static void refuse_dot(ln_gateway *gw, const struct flow_key *key, const struct packet *syn)
{
    /* Names are resolved where they can be judged; at once refused, clients fall back at once. */
    ln_decision decision = {.action = LN_REJECT, .reason = LN_REASON_DEFAULT};
    gateway_refuse(gw, key, syn, &decision, NULL, "dns_over_tls");
}

/* A flow without an endpoint; NULL when out of memory. */
static struct tcp_flow *allocate(ln_gateway *gw, const struct flow *flow)
{
    struct tcp_flow *f = calloc(1, sizeof(*f));
    if (f != NULL) {
        f->flow = *flow;
        f->gw = gw;
        f->side.ops = &side_ops;
        f->host.fd = f->watch.fd = -1;
        f->watch.ready = far_ready;
        f->timer.fire = fire;
    }
    return f;
}

static int make_flow(ln_gateway *gw, const struct flow_key *key, const struct packet *syn,
                     struct tcp_flow **ret)
{
    struct flow flow = {.key = *key, .direction = LN_EGRESS, .packets_out = 1};
    struct tcp_flow *f = allocate(gw, &flow);
    if (f == NULL) {
        return -ENOMEM;
    }
    if (tcp_accept(&f->ep, &gw->tcp, &f->side, syn) < 0) {
        free(f);
        return -ENOMEM;
    }
    flow_table_add(&gw->flows, &f->flow, FLOW_HALF_OPEN, gw->loop.now_ns);
    ln_pins_hold(gw->admission.pins, &key->peer);
    *ret = f;
    return 0;
}

static void open_flow(ln_gateway *gw, const struct packet *syn)
{
    struct flow_key key = gateway_key(syn);
    ln_decision decision;
    if (syn->dst_port == DNS_TLS_PORT && !ln_policy_settings(gw->admission.policy)->tls.intercept) {
        refuse_dot(gw, &key, syn);
        return;
    }
    gateway_judge(gw, &key, LN_NAME_UNKNOWN, NULL, false, &decision);
    if (decision.action == LN_DENY || decision.action == LN_REJECT) {
        gateway_refuse(gw, &key, syn, &decision, NULL, NULL);
        return;
    }
    struct tcp_flow *f;
    if (!gateway_make_room(gw, FLOW_HALF_OPEN)) {
        return;
    }
    if (make_flow(gw, &key, syn, &f) < 0) {
        gateway_over_limit(gw, LIMIT_MACHINE);
        return;
    }
    f->certain = f->permitted = decision.action == LN_ALLOW;
    f->strict = intercept_is_strict(gw, f);
    f->passing = f->certain && !f->strict;
    f->watching = !f->certain || f->strict || gw->learn_names;
    if (!f->certain) {
        gateway_judge(gw, &key, LN_NAME_NONE, NULL, false, &decision);
        f->permitted = decision.action == LN_ALLOW;
    }
    f->flow.decision = decision;
    if (!f->watching) {
        tcp_flow_tell_open(f);
    }
    if (f->permitted) {
        tcp_dial(f);
    } else {
        tcp_connected(&f->ep);
    }
}

int tcp_flow_call(ln_gateway *gw, const struct flow *flow, int fd)
{
    const struct flow_key *key = &flow->key;
    struct tcp_address address = {.guest = key->guest,
                                  .peer = key->peer,
                                  .guest_port = key->guest_port,
                                  .peer_port = key->peer_port};
    struct tcp_flow *f = allocate(gw, flow);
    if (f == NULL) {
        return -ENOMEM;
    }
    f->host.fd = fd; /* the SYN offers a window */
    int r = loop_watch(&gw->loop, &f->watch, fd, HOST_SOCKET_EVENTS);
    if (r == 0) {
        r = tcp_connect(&f->ep, &gw->tcp, &f->side, &address);
    }
    if (r < 0) {
        loop_unwatch(&gw->loop, &f->watch);
        free(f);
        return r;
    }
    f->far = FAR_CONNECTED;
    f->certain = f->passing = true;
    host_socket_connected(&f->host, tcp_flow_limits(f)->tcp_keepalive_ms / 1000, gw->peek_offset);
    flow_table_add(&gw->flows, &f->flow, FLOW_HALF_OPEN_IN, gw->loop.now_ns);
    ln_pins_hold(gw->admission.pins, &f->flow.caller);
    tcp_flow_tell_open(f);
    return 0;
}

void tcp_flow_input(ln_gateway *gw, struct flow *flow, const struct packet *packet)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)flow;
    if (f != NULL && tcp_is_new_syn(packet) && tcp_reusable(&f->ep, packet)) {
        release(f);
        f = NULL;
    }
    if (f != NULL) {
        f->flow.packets_out++;
        enum drop_reason reason = tcp_input(&f->ep, packet); /* it may be gone now */
        if (reason != DROP_NONE) {
            gateway_drop(gw, reason);
        }
    } else if (tcp_is_new_syn(packet)) {
        open_flow(gw, packet);
    } else {
        gateway_drop(gw, DROP_NO_FLOW);
        tcp_reset_packet(&gw->tcp, packet);
    }
}

void tcp_flow_destroy(ln_gateway *gw, struct flow *flow, const char *reason)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)flow;
    (void)gw;
    if (f->ep.state == TCP_TIME_WAIT) {
        release(f);
    } else {
        f->reason = reason;
        tcp_abort(&f->ep);
    }
}
