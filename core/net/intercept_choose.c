/* Which flows are intercepted, bypassed, looked at or left alone.
 *
 * By what the first flight is, and where it goes:
 *
 *                       to an intercepted port                    to another
 *   TLS                 intercepted, unless a bypass pattern      passes
 *                       matches the name (or, without one,
 *                       the address)
 *   HTTP/1              read where there are secrets or rules about requests, also where this
 *                       request needs no judging: the next one may name another host; else passes
 *   anything else       passes, where no request has to be judged
 *
 * The port of DNS over TLS is an intercepted one wherever any is, and nothing else passes there.
 * What passes is judged as a connection without requests, and looked at for placeholders first. */
#include <errno.h>
#include <string.h>

#include "dns/server.h"
#include "net/interception.h"
#include "net/trust.h"
#include "policy/name_pattern.h"
#include "secrets/vault.h"

static const ln_tls_settings *tls_of(const ln_gateway *gw)
{
    return &ln_policy_settings(gw->admission.policy)->tls;
}

static bool is_intercepted(const ln_gateway *gw, uint16_t port)
{
    const ln_tls_settings *tls = tls_of(gw);
    if (tls->intercept && port == DNS_TLS_PORT) {
        return true;
    }
    for (size_t i = 0; tls->intercept && i < tls->n_ports; i++) {
        if (tls->ports[i] == port) {
            return true;
        }
    }
    return false;
}

static bool has_secrets(const ln_gateway *gw)
{
    return ln_policy_settings(gw->admission.policy)->n_secrets > 0;
}

bool intercept_refuses_quic(const ln_gateway *gw, uint16_t port)
{
    return tls_of(gw)->block_quic && is_intercepted(gw, port);
}

bool intercept_is_strict(const ln_gateway *gw, const struct tcp_flow *f)
{
    return gw->strict || is_intercepted(gw, f->flow.key.peer_port);
}

bool intercept_must_know(const struct tcp_flow *f)
{
    return f->flow.decision.inspect || is_intercepted(f->gw, f->flow.key.peer_port);
}

/* A client that shows no name may be let past by its peer's address; names pinned to that do not
 * count, since it may want any of them. */
static bool is_bypassed(const struct tcp_flow *f)
{
    const ln_tls_settings *tls = tls_of(f->gw);
    char address[LN_ADDR_TEXT_MAX];
    const char *name = f->flow.name;
    if (name == NULL) {
        ln_addr_format(&f->flow.key.peer, address);
        name = address;
    }
    for (size_t i = 0; i < tls->n_bypass; i++) {
        if (name_pattern_matches(&tls->bypass[i], name)) {
            return true;
        }
    }
    return false;
}

/* Ends the flow, which flow_open was told of. */
static int refuse(struct tcp_flow *f, const char *reason)
{
    f->reason = reason;
    return -EACCES;
}

/* Its bytes are no request that could be judged. */
static int judge_without_requests(struct tcp_flow *f)
{
    ln_decision decision;
    f->wordless = true;
    if (!f->flow.decision.inspect) {
        return 0;
    }
    gateway_judge_request(f->gw, &f->flow, f->flow.name, f->name_is_host, LN_HTTP_NONE, NULL,
                          &decision);
    if (decision.action == LN_ALLOW) {
        f->flow.decision = decision;
        return 0;
    }
    f->flow.decision = decision;
    f->denied = true;
    return refuse(f, "not_http");
}

static bool is_http(const struct first_flight_view *view, const uint8_t *data, size_t len)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n";
    bool h2 = len >= sizeof(preface) - 1 && memcmp(data, preface, sizeof(preface) - 1) == 0;
    /* The preface of HTTP/2 gets the answer that HTTP/1 has for it. */
    return view->is_http && (view->head.in_fields || h2);
}

/* Whether something of the host's was passed to the guest already. */
static bool host_spoke(const struct tcp_flow *f)
{
    return f->ep.snd_max - f->ep.iss > 1;
}

static int start(struct tcp_flow *f, enum intercept_kind kind, const struct first_flight_view *view,
                 const uint8_t *data, size_t len)
{
    /* Neither a TLS server nor an HTTP server speaks first. */
    if (kind != INTERCEPT_OPAQUE && host_spoke(f)) {
        return refuse(f, "server_first");
    }
    int r = interception_start(f, kind, view, data, len);
    return r < 0 ? r : 1;
}

int intercept_choose(struct tcp_flow *f, const struct first_flight_view *view, bool partial,
                     const uint8_t *data, size_t len)
{
    bool secrets = has_secrets(f->gw);
    bool tls = view->is_tls && !partial;
    if (f->flow.key.peer_port == DNS_TLS_PORT) {
        return tls ? start(f, INTERCEPT_DOT, view, data, len) : refuse(f, "dns_over_tls");
    }
    if (tls && is_intercepted(f->gw, f->flow.key.peer_port)) {
        if (!is_bypassed(f)) {
            return start(f, INTERCEPT_TLS, view, data, len);
        }
        int r = judge_without_requests(f);
        if (r == 0) {
            interception_tell(f, LN_EVENT_TLS_BYPASSED, NULL, NULL, NULL);
        }
        return r;
    }
    if (!partial && is_http(view, data, len) && f->gw->strict) {
        return start(f, INTERCEPT_HTTP, view, data, len);
    }
    int r = judge_without_requests(f);
    if (r < 0 || !secrets) {
        return r;
    }
    return partial && !host_spoke(f) ? start(f, INTERCEPT_OPAQUE, view, data, len)
                                     : intercept_scan_first(f, data, len);
}
