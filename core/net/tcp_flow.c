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
 * `watching` and `passing` stand for these phases; `far` is the host socket's:
 *
 *   watching  passing
 *   yes       no       first flight under way; bytes are kept
 *   yes       yes      its time was up; bytes are kept and passed on
 *   no        yes      judged for good; bytes are passed on, first those that were kept
 *   no        no       does not occur
 *
 *   FAR_NONE -> FAR_DIALLING -> FAR_CONNECTED, and back to FAR_NONE between two addresses that are
 *   tried in turn.
 *
 * Ends. The endpoint ends by itself, or by tcp_abort(), and says so by closed(), which is the only
 * place where a flow is let go of. The endpoint must not be ended from its own callbacks; what
 * would do so there is left to the next turn (`doom`), which comes at once.
 *
 * Bytes for the guest are not kept here: they are peeked at in the socket's own queue, straight
 * into the segment, and dropped from it when the guest has acknowledged them. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/first_flight.h"
#include "net/gateway.h"
#include "net/host_socket.h"

enum {
    PORT_DOT = 853,
    SHARE = 32,       /* segments that one flow may send in a turn */
    KEPT_FIRST = 2048 /* bytes: the first allocation for a first flight */
};

enum far_state { FAR_NONE, FAR_DIALLING, FAR_CONNECTED };

/* The guest's first bytes. */
struct kept {
    uint8_t *data;
    uint32_t len, room;
    uint32_t passed; /* how many were written upstream */
};

struct tcp_flow {
    struct flow flow;
    struct tcp_endpoint ep;
    struct tcp_far side; /* the endpoint's view of us */
    ln_gateway *gw;
    struct host_socket host;
    struct watch watch;
    struct timer timer; /* of dialling, or of the first flight */
    struct kept kept;
    struct first_flight_view first;
    uint32_t written;      /* the size of the last write: the guest may send large segments */
    uint64_t first_ns;     /* when the first flight began; 0: not yet */
    struct tcp_flow *next; /* in gw->tcp_ready */
    uint32_t turn;         /* in which `share` was given */
    uint32_t enlisted;     /* the turn in which it came into gw->tcp_ready */
    uint8_t share;         /* segments that may still be sent in that turn */
    uint8_t far;           /* enum far_state */
    bool ready : 1;        /* in gw->tcp_ready */
    bool watching : 1;
    bool passing : 1;
    bool permitted : 1;    /* the pins allow it as long as no name shows */
    bool told : 1;         /* flow_open was */
    bool denied : 1;       /* flow_denied is due at the end */
    bool finish_due : 1;   /* the guest's FIN is to follow what was kept */
    bool second : 1;       /* of the two loopback addresses behind the gateway's own */
    bool name_is_host : 1; /* flow.name was an HTTP Host */
    int doom;              /* -errno that ends the flow, or its dialling, next turn; 0: none */
    const char *reason;    /* of the end, where it is not the endpoint's; NULL */
};

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

static const ln_limits *limits_of(const struct tcp_flow *f)
{
    return &ln_policy_settings(f->gw->admission.policy)->limits;
}

/* The next turn will come back to it. */
static void enlist(struct tcp_flow *f)
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

static void doom(struct tcp_flow *f, int err)
{
    f->doom = err;
    enlist(f);
}

/* ---- what it counts as ---- */

/* Half-open: before the handshake, or holding a first flight. Those are few, and the oldest of them
 * makes room. */
static void classify(struct tcp_flow *f)
{
    bool holds = f->kept.data != NULL || (f->watching && !f->permitted);
    enum flow_class now = f->ep.state < TCP_OPEN || holds ? FLOW_HALF_OPEN : FLOW_OPEN;
    if (now == f->flow.flow_class) {
        return;
    }
    if (now == FLOW_HALF_OPEN) {
        gateway_bound_half_open(f->gw);
    }
    flow_table_move(&f->gw->flows, &f->flow, now, f->gw->loop.now_ns);
}

static void tell_open(struct tcp_flow *f)
{
    if (!f->told) {
        f->told = true;
        admission_tell_verdict(&f->gw->admission, &f->flow, NULL, NULL, f->gw->loop.now_ns);
    }
}

/* ---- the far side: dialling ---- */

static bool is_gateway(const struct tcp_flow *f)
{
    const struct link_identity *link = &f->gw->link;
    return ln_addr_equal(&f->flow.key.peer, &link->gateway4) ||
           ln_addr_equal(&f->flow.key.peer, &link->gateway6);
}

static void far_ready(struct watch *watch, uint32_t events);

static void hang_up(struct tcp_flow *f, bool reset)
{
    loop_unwatch(&f->gw->loop, &f->watch);
    host_socket_close(&f->host, reset);
    f->far = FAR_NONE;
}

static int dial(struct tcp_flow *f)
{
    static const ln_addr loopback6 = {{[15] = 1}};
    ln_addr addr = f->flow.key.peer;
    if (ln_addr_is_never(&addr)) {
        return -EACCES;
    }
    if (is_gateway(f)) {
        addr = f->second ? loopback6 : ln_addr_v4(INADDR_LOOPBACK);
    }
    int r = host_socket_dial(&f->host, &addr, f->flow.key.peer_port);
    if (r < 0) {
        return r;
    }
    f->watch.ready = far_ready;
    f->far = FAR_DIALLING;
    r = loop_watch(&f->gw->loop, &f->watch, f->host.fd, HOST_SOCKET_EVENTS);
    if (r == 0) {
        r = timer_set(&f->gw->loop.timers, &f->timer,
                      f->gw->loop.now_ns + limits_of(f)->tcp_connect_ms * MS_NS);
    }
    if (r < 0) {
        hang_up(f, true);
    }
    return r;
}

/* Dials; a failure shows in the next turn, so that this can be called from anywhere. */
static void start_dialling(struct tcp_flow *f)
{
    int r = dial(f);
    if (r < 0) {
        doom(f, r);
    }
}

/* An ICMP error about the SYN, which is written once more for it. */
static void tell_unreachable(struct tcp_flow *f, enum icmp_error error)
{
    uint8_t frame[ETH_LEN + IPV6_LEN + TCP_LEN] = {0};
    const struct tcp_endpoint *ep = &f->ep;
    uint32_t ip_len = ep->v6 ? IPV6_LEN : IPV4_LEN;
    uint8_t *tcp = frame + ETH_LEN + ip_len;
    struct packet syn;

    build_eth(frame, f->gw->link.gateway_mac, f->gw->guest_mac,
              ep->v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    build_ip(frame + ETH_LEN, ep->v6, &ep->guest, &ep->peer, IPPROTO_TCP, TCP_LEN);
    put_be16(tcp, ep->guest_port);
    put_be16(tcp + 2, ep->peer_port);
    put_be32(tcp + 4, ep->irs);
    tcp[12] = TCP_LEN << 2;
    tcp[13] = TCP_SYN;
    uint64_t sum = build_pseudo_sum(&ep->guest, &ep->peer, ep->v6, IPPROTO_TCP, TCP_LEN);
    put_be16(tcp + 16, (uint16_t)~build_fold(build_sum(tcp, TCP_LEN, sum)));
    if (packet_describe(frame, ETH_LEN + ip_len + TCP_LEN, &syn) == DROP_NONE) {
        gateway_send_icmp_error(f->gw, &syn, error, 0);
    }
}

/* The guest learns of it what it would have learned from the network. Ends the flow. */
static void fail_to_dial(struct tcp_flow *f, int err)
{
    bool held = f->ep.state == TCP_OPENING;
    tell_open(f);
    switch (-err) {
    case ECONNREFUSED:
    case ECONNRESET:
        f->reason = "refused";
        if (held) {
            tcp_refuse(&f->ep);
            return;
        }
        break;
    case ETIMEDOUT:
        f->reason = "connect_timeout";
        if (held) {
            tell_unreachable(f, ICMP_ERROR_HOST_UNREACHABLE);
        }
        break;
    case EACCES:
    case EPERM:
        f->reason = "prohibited";
        if (held) {
            tell_unreachable(f, ICMP_ERROR_PROHIBITED);
        }
        break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL: /* no local port is left */
        f->reason = "limit";
        gateway_over_limit(f->gw);
        break;
    case ENETUNREACH:
        f->reason = "unreachable";
        if (held) {
            tell_unreachable(f, ICMP_ERROR_NET_UNREACHABLE);
        }
        break;
    default:
        f->reason = "unreachable";
        if (held) {
            tell_unreachable(f, ICMP_ERROR_HOST_UNREACHABLE);
        }
        break;
    }
    tcp_abort(&f->ep);
}

/* A dialled address answered with an error, or not in time. May end the flow. */
static void dialling_failed(struct tcp_flow *f, int err)
{
    hang_up(f, true);
    if (is_gateway(f) && !f->second && err == -ECONNREFUSED) {
        f->second = true;
        if (dial(f) == 0) {
            return;
        }
    }
    fail_to_dial(f, err);
}

/* ---- the guest's first bytes ---- */

static void kept_free(struct tcp_flow *f)
{
    free(f->kept.data);
    f->kept = (struct kept){0};
}

/* Appends what fits below `most` bytes. Returns how many, or -ENOMEM. */
static ssize_t keep(struct tcp_flow *f, const uint8_t *data, size_t len, uint32_t most)
{
    struct kept *kept = &f->kept;
    uint32_t left = kept->len < most ? most - kept->len : 0;
    uint32_t n = len < left ? (uint32_t)len : left;
    if (kept->len + n > kept->room) {
        uint32_t room = kept->room == 0 ? KEPT_FIRST : kept->room;
        while (room < kept->len + n) {
            room *= 2;
        }
        uint8_t *bigger = realloc(kept->data, room);
        if (bigger == NULL) {
            return -ENOMEM;
        }
        kept->data = bigger;
        kept->room = room;
    }
    if (n > 0) {
        memcpy(kept->data + kept->len, data, n);
        kept->len += n;
    }
    return n;
}

/* Writes what was kept, as far as it may be and fits. Returns 0 or the socket's -errno. */
static int pass_kept(struct tcp_flow *f)
{
    struct kept *kept = &f->kept;
    if (!f->passing || f->far != FAR_CONNECTED) {
        return 0;
    }
    if (kept->passed < kept->len) {
        ssize_t n =
            host_socket_write(&f->host, kept->data + kept->passed, kept->len - kept->passed);
        if (n < 0) {
            return (int)n;
        }
        kept->passed += (uint32_t)n;
    }
    if (kept->passed < kept->len) {
        return 0;
    }
    if (!f->watching && kept->data != NULL) {
        kept_free(f);
        classify(f);
    }
    if (f->finish_due) {
        f->finish_due = false;
        host_socket_finish(&f->host);
    }
    return 0;
}

/* Judges with what is known of the name now. An allowed flow passes its bytes from here on. Returns
 * whether it is allowed; if not, it is to be ended. */
static bool judge(struct tcp_flow *f, ln_name_state name_state, const char *name, bool is_host)
{
    ln_decision decision;
    gateway_judge(f->gw, &f->flow.key, name_state, name, is_host, &decision);
    f->flow.decision = decision;
    if (name != NULL && f->flow.name == NULL) {
        f->flow.name = strdup(name);
        f->name_is_host = is_host;
    }
    if (decision.action != LN_ALLOW || (name != NULL && f->flow.name == NULL)) {
        f->denied = true;
        return false;
    }
    f->passing = true;
    tell_open(f);
    if (f->far == FAR_NONE && f->doom == 0) {
        start_dialling(f);
    }
    return true;
}

static bool deny_unread(struct tcp_flow *f, const char *reason)
{
    f->flow.decision = (ln_decision){.action = LN_DENY, .reason = LN_REASON_NAME_UNKNOWN};
    f->reason = reason;
    f->denied = true;
    return false;
}

/* How many first bytes may be kept; a ClientHello may be longer than others. */
static uint32_t most_kept(const struct tcp_flow *f, bool is_tls)
{
    return is_tls ? limits_of(f)->client_hello_bytes : limits_of(f)->first_flight_bytes;
}

static bool begins_like_tls(const uint8_t *data, size_t len)
{
    return len > 0 && data[0] == 22; /* a handshake record, RFC 8446 section 5.1 */
}

/* Time for the first flight is counted from the handshake on where the verdict hangs on it, else
 * from its first byte. Returns whether it can be counted. */
static bool time_first_flight(struct tcp_flow *f, bool is_tls)
{
    if (f->first_ns == 0) {
        f->first_ns = f->gw->loop.now_ns;
    }
    if (f->passing) {
        return true; /* it is up already */
    }
    uint32_t ms = is_tls ? limits_of(f)->client_hello_ms : limits_of(f)->first_flight_ms;
    return timer_set(&f->gw->loop.timers, &f->timer, f->first_ns + ms * MS_NS) == 0;
}

/* Looks at all first bytes so far. Returns whether the flow may go on; `watching` tells whether
 * more of them are needed. */
static bool look(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    char name[LN_NAME_MAX + 1];
    bool is_host;
    enum first_flight found = first_flight_look(&f->first, data, len, name, &is_host);
    switch (found) {
    case FIRST_FLIGHT_PARTIAL:
        if (len >= most_kept(f, f->first.is_tls)) {
            return deny_unread(f, "first_flight_too_long");
        }
        return time_first_flight(f, f->first.is_tls) || deny_unread(f, "out_of_memory");
    case FIRST_FLIGHT_BAD:
        return deny_unread(f, "first_flight_malformed");
    case FIRST_FLIGHT_NAMED:
    case FIRST_FLIGHT_UNNAMED:
        break;
    }
    f->watching = false;
    timer_cancel(&f->gw->loop.timers, &f->timer);
    return found == FIRST_FLIGHT_NAMED ? judge(f, LN_NAME_SHOWN, name, is_host)
                                       : judge(f, LN_NAME_NONE, NULL, false);
}

/* Takes bytes while the first ones are looked at, or not all of them are passed on. Returns how
 * many, or -EACCES when the flow is denied, or the socket's -errno. */
static ssize_t take_first(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    bool alone = f->kept.data == NULL && f->far == FAR_CONNECTED;
    if (alone) { /* most first flights: one segment shows it all, and is passed on uncopied */
        if (!look(f, data, len)) {
            return -EACCES;
        }
        if (!f->watching) {
            return host_socket_write(&f->host, data, len);
        }
    }
    bool is_tls = begins_like_tls(f->kept.len > 0 ? f->kept.data : data, 1);
    ssize_t n = keep(f, data, len, most_kept(f, is_tls));
    if (n < 0) {
        return n;
    }
    if (!alone && f->watching && !look(f, f->kept.data, f->kept.len)) {
        return -EACCES;
    }
    classify(f);
    int r = pass_kept(f);
    return r < 0 ? r : n;
}

/* ---- the endpoint's callbacks ---- */

static ssize_t side_write(struct tcp_far *side, const uint8_t *data, size_t len)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->watching || f->kept.data != NULL) {
        return take_first(f, data, len);
    }
    f->written = (uint32_t)len;
    return host_socket_write(&f->host, data, len);
}

static size_t side_space(struct tcp_far *side)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->watching || f->kept.data != NULL) {
        uint32_t most = most_kept(f, begins_like_tls(f->kept.data, f->kept.len));
        return most > f->kept.len ? most - f->kept.len : 0;
    }
    bool crowded;
    uint32_t segment = f->written > f->ep.mss ? f->written : f->ep.mss;
    size_t space = host_socket_space(&f->host, segment, &crowded);
    if (crowded && !f->host.crowded) {
        f->host.crowded = loop_rewatch(&f->gw->loop, &f->watch, HOST_SOCKET_EVENTS) == 0;
    }
    return space;
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
    enlist(f);
    return false;
}

static ssize_t side_peek(struct tcp_far *side, size_t offset, uint8_t *dst, size_t len)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->far != FAR_CONNECTED || !take_share(f)) {
        return -EAGAIN;
    }
    ssize_t n = host_socket_peek(&f->host, offset, dst, len, f->gw->scratch);
    if (n > 0) {
        tell_open(f); /* a server that speaks first: the pins have decided */
        f->flow.packets_in++;
    } else if (n == 0 && f->kept.passed < f->kept.len) {
        return -EAGAIN; /* the end of both sides is the flow's: not before all is passed on */
    }
    return n;
}

static void side_discard(struct tcp_far *side, size_t len)
{
    host_socket_discard(&flow_of_side(side)->host, len);
}

static void side_finish(struct tcp_far *side)
{
    struct tcp_flow *f = flow_of_side(side);
    f->finish_due = true;
    if (f->watching) { /* no name comes any more */
        f->watching = false;
        if (!judge(f, LN_NAME_NONE, NULL, false)) {
            doom(f, -EACCES);
            return;
        }
    }
    int r = pass_kept(f);
    if (r < 0) {
        doom(f, r);
    }
}

static void side_opened(struct tcp_far *side)
{
    struct tcp_flow *f = flow_of_side(side);
    if (f->watching && !f->permitted && !time_first_flight(f, false)) {
        deny_unread(f, "out_of_memory");
        doom(f, -ENOMEM);
    }
    classify(f);
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

static void side_closed(struct tcp_far *side, enum tcp_end end)
{
    struct tcp_flow *f = flow_of_side(side);
    ln_gateway *gw = f->gw;

    hang_up(f, end != TCP_END_DONE);
    timer_cancel(&gw->loop.timers, &f->timer);
    delist(f);
    kept_free(f);
    ln_pins_release(gw->admission.pins, &f->flow.key.peer, gw->loop.now_ns);
    f->flow.bytes_out = f->ep.bytes_out;
    f->flow.bytes_in = f->ep.bytes_in;
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
    if (f->denied) {
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
    .opened = side_opened,
    .closed = side_closed,
    .ended = side_ended,
};

/* ---- the host socket's reports, and time ---- */

static void end_denied(struct tcp_flow *f)
{
    f->denied = true;
    tcp_abort(&f->ep);
}

static void connected(struct tcp_flow *f)
{
    f->far = FAR_CONNECTED;
    host_socket_connected(&f->host, limits_of(f)->tcp_keepalive_ms / 1000, f->gw->peek_offset);
    timer_cancel(&f->gw->loop.timers, &f->timer);
    if (f->ep.state == TCP_OPENING) {
        tcp_connected(&f->ep);
    }
}

/* One report may tell all of it: connected, readable, ended. */
static void far_ready(struct watch *watch, uint32_t events)
{
    struct tcp_flow *f = flow_of_watch(watch);
    bool failed = (events & EPOLLERR) != 0;

    host_socket_event(&f->host, events);
    if (f->far == FAR_DIALLING) {
        int err = failed || (events & EPOLLHUP) != 0 ? host_socket_error(&f->host) : 0;
        if (err < 0) {
            dialling_failed(f, err);
            return;
        }
        if ((events & EPOLLOUT) == 0) {
            return;
        }
        connected(f);
    }
    if ((events & EPOLLOUT) != 0) {
        if (pass_kept(f) < 0) {
            tcp_abort(&f->ep);
            return;
        }
        tcp_far_writable(&f->ep);
    }
    if (failed && f->ep.fin_sent) { /* nothing more is read, which would have told */
        if (host_socket_error(&f->host) < 0) {
            tcp_abort(&f->ep);
        }
        return;
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        tcp_far_readable(&f->ep);
    }
}

/* The time of the first flight is up: the pins decide. */
static void first_flight_is_over(struct tcp_flow *f)
{
    if (!judge(f, LN_NAME_NONE, NULL, false)) {
        f->reason = "no_name";
        end_denied(f);
    } else if (pass_kept(f) < 0) {
        tcp_abort(&f->ep);
    }
}

static void fire(struct timer *timer, uint64_t now_ns)
{
    struct tcp_flow *f = flow_of_timer(timer);
    (void)now_ns;
    if (f->far == FAR_DIALLING) {
        dialling_failed(f, -ETIMEDOUT);
    } else if (f->watching) {
        first_flight_is_over(f);
    }
}

static void resume(struct tcp_flow *f)
{
    int err = f->doom;
    f->doom = 0;
    if (err == 0) {
        tcp_far_readable(&f->ep);
    } else if (f->denied || f->far != FAR_NONE) {
        tcp_abort(&f->ep);
    } else {
        dialling_failed(f, err);
    }
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

static int make_flow(ln_gateway *gw, const struct flow_key *key, const struct packet *syn,
                     struct tcp_flow **ret)
{
    struct tcp_flow *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return -ENOMEM;
    }
    f->flow.key = *key;
    f->flow.direction = LN_EGRESS;
    f->flow.packets_out = 1;
    f->gw = gw;
    f->side.ops = &side_ops;
    f->host.fd = f->watch.fd = -1;
    f->timer.fire = fire;
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
    if (syn->dst_port == PORT_DOT) {
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
        gateway_over_limit(gw);
        return;
    }
    f->watching = decision.action == LN_DEFER;
    f->passing = !f->watching;
    if (f->watching) {
        gateway_judge(gw, &key, LN_NAME_NONE, NULL, false, &decision);
        f->permitted = decision.action == LN_ALLOW;
    }
    f->flow.decision = decision;
    if (f->passing) {
        tell_open(f);
    }
    if (f->passing || f->permitted) {
        start_dialling(f);
    } else {
        tcp_connected(&f->ep);
    }
}

static bool is_new_syn(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

void tcp_flow_input(ln_gateway *gw, struct flow *flow, const struct packet *packet)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)flow;
    if (f != NULL && is_new_syn(packet) && tcp_reusable(&f->ep, packet)) {
        release(f);
        f = NULL;
    }
    if (f != NULL) {
        f->flow.packets_out++;
        enum drop_reason reason = tcp_input(&f->ep, packet); /* it may be gone now */
        if (reason != DROP_NONE) {
            gateway_drop(gw, reason);
        }
    } else if (is_new_syn(packet)) {
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

void tcp_flow_rejudge(ln_gateway *gw, struct flow *flow)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)flow;
    if (f->ep.state == TCP_TIME_WAIT) {
        return;
    }
    ln_name_state known = f->watching            ? LN_NAME_UNKNOWN
                          : f->flow.name != NULL ? LN_NAME_SHOWN
                                                 : LN_NAME_NONE;
    ln_decision decision;
    gateway_judge(gw, &flow->key, known, flow->name, f->name_is_host, &decision);
    bool deferred = decision.action == LN_DEFER;
    if (deferred) {
        gateway_judge(gw, &flow->key, LN_NAME_NONE, NULL, false, &decision);
        f->permitted = decision.action == LN_ALLOW;
    }
    flow->decision = decision;
    if (deferred ? f->far != FAR_NONE && !f->permitted : decision.action != LN_ALLOW) {
        f->reason = NULL;
        end_denied(f);
    }
}
