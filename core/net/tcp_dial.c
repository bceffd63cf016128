/* Reaching the host of a TCP flow, and telling the guest when it cannot be reached, in the way that
 * the network would have told it. */
#include <errno.h>
#include <netinet/in.h>

#include "base/bytes.h"
#include "net/proxy_handshake.h"
#include "net/tcp_flow.h"

static bool is_to_gateway(const struct tcp_flow *f)
{
    return link_is_gateway(&f->gw->link, &f->flow.key.peer);
}

static void end_handshake(struct tcp_flow *f)
{
    proxy_handshake_free(f->proxy);
    f->proxy = NULL;
}

void tcp_hang_up(struct tcp_flow *f, bool reset)
{
    end_handshake(f);
    loop_unwatch(&f->gw->loop, &f->watch);
    host_socket_close(&f->host, reset);
    f->far = FAR_NONE;
}

/* ---- through a proxy ---- */

/* The name that a proxy is to resolve: only where a rule by name decided, for what a name leads to
 * there is not the address that was judged. It is the one shown, the rule's own, or the only one
 * that the address is pinned to. NULL: it is not certain. */
static const char *name_for_proxy(const struct tcp_flow *f)
{
    const char *names[2];
    const struct admission *admission = &f->gw->admission;
    uint32_t decider = f->flow.decision.rule;
    const ln_rule *rule = decider == 0 ? NULL : ln_policy_rule(admission->policy, decider);
    if (rule == NULL ||
        (rule->destination.kind != LN_DEST_DOMAIN && rule->destination.kind != LN_DEST_SUFFIX)) {
        return NULL;
    }
    if (f->flow.name != NULL) {
        return f->flow.name;
    }
    if (rule->destination.kind == LN_DEST_DOMAIN) {
        return rule->destination.name;
    }
    return ln_pins_names(admission->pins, &f->flow.key.peer, f->gw->loop.now_ns, names, 2) == 1
               ? names[0]
               : NULL;
}

static int begin_handshake(struct tcp_flow *f, const ln_proxy *proxy)
{
    struct proxy_target target = {
        .addr = f->flow.key.peer,
        .name = proxy->resolve_remotely ? name_for_proxy(f) : NULL,
        .port = f->flow.key.peer_port,
    };
    return proxy_handshake_new(proxy, &target, &f->proxy);
}

/* Sends what is due. Returns whether all of it went, or -errno. */
static int say_to_proxy(struct tcp_flow *f)
{
    size_t len;
    const uint8_t *data = proxy_handshake_output(f->proxy, &len);
    ssize_t n = len == 0 ? 0 : host_socket_write(&f->host, data, len);
    if (n < 0) {
        return (int)n;
    }
    proxy_handshake_sent(f->proxy, (size_t)n);
    return (size_t)n == len;
}

/* Goes on talking to the proxy. Returns 1 when the connection is through, 0 to wait for it, or
 * -errno. */
static int go_on_handshake(struct tcp_flow *f)
{
    uint8_t data[PROXY_ANSWER_MAX];
    for (;;) {
        size_t taken = 0;
        int r = say_to_proxy(f);
        if (r != 1) {
            return r;
        }
        ssize_t n = host_socket_peek(&f->host, 0, data, sizeof(data), NULL);
        if (n == -EAGAIN) {
            return 0;
        }
        if (n <= 0) {
            f->reason = "proxy_protocol"; /* it hung up */
            return -EPROTO;
        }
        r = proxy_handshake_input(f->proxy, data, (size_t)n, &taken);
        host_socket_discard(&f->host, taken);
        if (r == -EPROTO) {
            f->reason = proxy_handshake_fault(f->proxy);
        }
        if (r != 0 || taken == 0) {
            return r;
        }
    }
}

/* ---- dialling ---- */

/* The gateway's own address stands for the host's loopback, which can be reached in no other way.
 */
static int dial(struct tcp_flow *f)
{
    static const ln_addr loopback6 = {{[15] = 1}};
    ln_addr addr = f->flow.key.peer;
    if (ln_addr_is_never(&addr)) {
        return -EACCES;
    }
    const ln_proxy *proxy = &ln_policy_settings(f->gw->admission.policy)->proxy;
    uint16_t port = f->flow.key.peer_port;
    int r = 0;
    if (is_to_gateway(f)) {
        addr = f->second ? loopback6 : ln_addr_v4(INADDR_LOOPBACK);
    } else if (proxy->kind != LN_PROXY_NONE) {
        addr = f->gw->proxy;
        port = proxy->endpoint.port;
        r = begin_handshake(f, proxy);
    }
    r = r < 0 ? r : host_socket_dial(&f->host, &addr, port);
    if (r < 0) {
        return r;
    }
    f->far = FAR_DIALLING;
    r = loop_watch(&f->gw->loop, &f->watch, f->host.fd, HOST_SOCKET_EVENTS);
    if (r == 0) {
        r = timer_set(&f->gw->loop.timers, &f->timer,
                      f->gw->loop.now_ns + tcp_flow_limits(f)->tcp_connect_ms * MS_NS);
    }
    if (r < 0) {
        tcp_hang_up(f, true);
    }
    return r;
}

/* What the guest is to hear of a proxy that cannot be reached: nothing about its own peer. */
static int through_proxy(const struct tcp_flow *f, int err)
{
    switch (-err) {
    case ECONNREFUSED:
    case ECONNRESET:
    case EACCES:
    case EPERM:
    case ENETUNREACH:
        return f->proxy != NULL ? -EPROTO : err;
    default:
        return err;
    }
}

void tcp_dial(struct tcp_flow *f)
{
    int r = dial(f);
    if (r < 0) {
        tcp_flow_doom(f, through_proxy(f, r));
    }
}

/* An ICMP error about the SYN, which is written once more for it. */
static void send_icmp_error(struct tcp_flow *f, enum icmp_error error)
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

/* What the guest gets to hear for a held SYN: an RST, an ICMP error, or nothing, when the fault is
 * ours and a second SYN may fare better. */
enum answer { ANSWER_RST, ANSWER_ICMP, ANSWER_NOTHING };

static enum answer answer_of(int err, enum icmp_error *ret_icmp, const char **ret_reason)
{
    *ret_icmp = ICMP_ERROR_HOST_UNREACHABLE;
    *ret_reason = "unreachable";
    switch (-err) {
    case ECONNREFUSED:
    case ECONNRESET:
        *ret_reason = "refused";
        return ANSWER_RST;
    case ETIMEDOUT:
        *ret_reason = "connect_timeout";
        return ANSWER_ICMP;
    case EACCES:
    case EPERM:
        *ret_icmp = ICMP_ERROR_PROHIBITED;
        *ret_reason = "prohibited";
        return ANSWER_ICMP;
    case EPROTO: /* the proxy's fault */
        *ret_reason = "proxy";
        return ANSWER_ICMP;
    case ENETUNREACH:
        *ret_icmp = ICMP_ERROR_NET_UNREACHABLE;
        return ANSWER_ICMP;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL: /* no local port is left */
        *ret_reason = "limit";
        return ANSWER_NOTHING;
    default:
        return ANSWER_ICMP;
    }
}

void tcp_dial_failed(struct tcp_flow *f, int err)
{
    tcp_hang_up(f, true);
    if (is_to_gateway(f) && !f->second && err == -ECONNREFUSED) {
        f->second = true;
        if (dial(f) == 0) {
            return;
        }
    }
    enum icmp_error icmp;
    const char *reason;
    enum answer answer = answer_of(err, &icmp, &reason);
    f->reason = f->reason != NULL ? f->reason : reason;
    tcp_flow_tell_open(f); /* it was, as far as the policy goes */
    if (answer == ANSWER_NOTHING) {
        gateway_over_limit(f->gw, LIMIT_MACHINE);
    } else if (f->ep.state == TCP_OPENING && answer == ANSWER_ICMP) {
        send_icmp_error(f, icmp);
    } else if (f->ep.state == TCP_OPENING) {
        tcp_refuse(&f->ep);
        return;
    }
    tcp_abort(&f->ep);
}

bool tcp_dial_done(struct tcp_flow *f, uint32_t events)
{
    int err = 0;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        err = host_socket_error(&f->host);
    } else if ((events & EPOLLOUT) == 0) {
        return false;
    } else if ((is_to_gateway(f) || f->proxy != NULL) && host_socket_is_its_own_peer(&f->host)) {
        err = -ECONNREFUSED;
    }
    err = through_proxy(f, err);
    if (err == 0 && f->proxy != NULL) {
        int r = go_on_handshake(f);
        if (r == 0) {
            return false;
        }
        err = r < 0 ? r : 0;
    }
    if (err < 0) {
        tcp_dial_failed(f, err);
        return false;
    }
    end_handshake(f);
    timer_cancel(&f->gw->loop.timers, &f->timer);
    f->far = FAR_CONNECTED;
    host_socket_connected(&f->host, tcp_flow_limits(f)->tcp_keepalive_ms / 1000,
                          f->gw->peek_offset);
    if (f->ep.state == TCP_OPENING) {
        tcp_connected(&f->ep);
    }
    if (f->inspection != NULL) {
        tcp_inspect_connected(f);
    }
    return true;
}
