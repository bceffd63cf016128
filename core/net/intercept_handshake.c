/* The handshakes of intercepted connections, with the host and with the guest; what is told of
 * them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/interception.h"
#include "net/trust.h"

static const char *name_of(const struct interception *ix)
{
    return ix->flow->flow.name;
}

/* ---- telling ---- */

static const char *alpn_name(unsigned alpn)
{
    return alpn == TLS_ALPN_H2 ? "h2" : alpn == TLS_ALPN_HTTP11 ? "http/1.1" : NULL;
}

void interception_tell(const struct tcp_flow *f, ln_event_kind kind, const char *reason,
                       const char *detail, const struct tls_session *tls)
{
    ln_event event = admission_event(&f->gw->admission, kind, &f->flow);
    event.reason = reason;
    event.detail = detail;
    if (tls != NULL) {
        event.tls_version = tls_session_version(tls);
        event.alpn = alpn_name(tls_session_alpn(tls));
    }
    events_tell(&f->gw->events, &event);
}

/* ---- the queue of handshakes ---- */

void interception_queue(struct interception *ix)
{
    ln_gateway *gw = ix->flow->gw;
    if (ix->queued) {
        return;
    }
    ix->queued = true;
    ix->next = NULL;
    *(gw->shaking != NULL ? &gw->shaking_last->next : &gw->shaking) = ix;
    gw->shaking_last = ix;
}

void interception_unqueue(struct interception *ix)
{
    ln_gateway *gw = ix->flow->gw;
    struct interception *before = NULL;
    if (!ix->queued) {
        return;
    }
    for (struct interception *at = gw->shaking; at != ix; at = at->next) {
        before = at;
    }
    *(before != NULL ? &before->next : &gw->shaking) = ix->next;
    if (gw->shaking_last == ix) {
        gw->shaking_last = before;
    }
    ix->queued = false;
}

int interception_set_timer(struct interception *ix, uint32_t ms)
{
    struct loop *loop = &ix->flow->gw->loop;
    return timer_set(&loop->timers, &ix->timer, loop->now_ns + ms * MS_NS);
}

/* ---- the host's and the guest's ---- */

static void keylog(void *user, const char *line)
{
    ln_gateway *gw = user;
    gw->host.keylog(gw->user, line);
}

/* The sessions' engine, made for the first of them. NULL when it cannot be. */
static struct tls_engine *engine_of(ln_gateway *gw)
{
    struct tls_engine_options options = {
        .services = gw->loop.services,
        .authority = trust_authority(gw->trust),
        .keylog = gw->host.keylog != NULL ? keylog : NULL,
        .keylog_user = gw,
    };
    if (gw->engine == NULL && tls_engine_new(&options, &gw->engine, NULL) < 0) {
        gw->engine = NULL;
    }
    return gw->engine;
}

/* The guest's handshake begins. */
static int accept_guest(struct interception *ix)
{
    struct tcp_flow *f = ix->flow;
    struct tls_accept_options options = {
        .name = name_of(ix),
        .address = f->flow.key.peer,
        .alpn = ix->alpn,
    };
    int r = tls_accept(f->gw->engine, &options, &ix->guest.tls);
    r = r < 0 ? r : interception_set_timer(ix, tcp_flow_limits(f)->tcp_connect_ms);
    if (r < 0) {
        interception_tell(f, LN_EVENT_TLS_ERROR, "internal", "no certificate can be made", NULL);
        return r;
    }
    ix->stage = STAGE_GUEST;
    (void)leg_feed(&ix->guest);
    interception_queue(ix);
    return 0;
}

/* The host cannot be had. */
static int lose_host(struct interception *ix, const char *fault, const char *message)
{
    interception_tell(ix->flow, LN_EVENT_TLS_ERROR, fault, message, NULL);
    ix->fault = fault;
    snprintf(ix->fault_message, sizeof(ix->fault_message), "%s", message);
    ix->drops_host = true;
    ix->alpn = ix->offers_h2 ? TLS_ALPN_H2 : ix->offers_http11 ? TLS_ALPN_HTTP11 : TLS_ALPN_NONE;
    int r = accept_guest(ix);
    if (r == 0 && (ix->dot || (ix->offered_alpn && ix->alpn == TLS_ALPN_NONE))) {
        tls_session_alert(ix->guest.tls, TLS_ALERT_HANDSHAKE_FAILURE);
        interception_end(ix);
    }
    return r;
}

int interception_connect(struct interception *ix)
{
    struct tcp_flow *f = ix->flow;
    struct tls_engine *engine = engine_of(f->gw);
    struct tls_connect_options options = {
        .name = name_of(ix),
        .address = f->flow.key.peer,
        .port = f->flow.key.peer_port,
        .roots = trust_roots(f->gw->trust, name_of(ix)),
        .verify = trust_verifies(f->gw->trust, name_of(ix)),
        .alpn = (ix->offers_h2 ? TLS_ALPN_H2 : 0u) | (ix->offers_http11 ? TLS_ALPN_HTTP11 : 0u),
    };
    int r = engine == NULL ? -ENOMEM : tls_connect(engine, &options, &ix->host.tls);
    r = r < 0 ? r : interception_set_timer(ix, tcp_flow_limits(f)->tcp_connect_ms);
    if (r < 0) {
        interception_tell(f, LN_EVENT_TLS_ERROR, "internal", "no session can be made", NULL);
        return r;
    }
    ix->verified = options.verify;
    ix->stage = STAGE_HOST;
    interception_queue(ix);
    return 0;
}

static int step_host(struct interception *ix)
{
    const struct tls_fault *fault;
    switch (tls_session_step(ix->host.tls)) {
    case TLS_WANTS_INPUT:
        return 0;
    case TLS_GOES_ON:
        interception_queue(ix);
        return 0;
    case TLS_OPEN:
        ix->alpn = tls_session_alpn(ix->host.tls);
        return accept_guest(ix);
    case TLS_FAILED:
        break;
    }
    fault = tls_session_fault(ix->host.tls);
    return lose_host(ix, fault->name, fault->message);
}

static int step_guest(struct interception *ix)
{
    const struct tls_fault *fault;
    char reason[64];
    switch (tls_session_step(ix->guest.tls)) {
    case TLS_WANTS_INPUT:
        return 0;
    case TLS_GOES_ON:
        interception_queue(ix);
        return 0;
    case TLS_OPEN:
        timer_cancel(&ix->flow->gw->loop.timers, &ix->timer);
        interception_tell(ix->flow, LN_EVENT_TLS_INTERCEPTED, ix->fault, NULL, ix->guest.tls);
        ix->stage = STAGE_SNIFFING;
        return 0;
    case TLS_FAILED:
        break;
    }
    fault = tls_session_fault(ix->guest.tls);
    snprintf(reason, sizeof(reason), "guest_%s", fault->name);
    interception_tell(ix->flow, LN_EVENT_TLS_ERROR, reason, fault->message, NULL);
    interception_end(ix);
    return 0;
}

void interception_step(ln_gateway *gw)
{
    struct interception *ix = gw->shaking;
    if (ix == NULL) {
        return;
    }
    interception_unqueue(ix);
    int r = ix->stage == STAGE_HOST ? step_host(ix) : step_guest(ix);
    if (r < 0) {
        tcp_flow_doom(ix->flow, r);
    } else {
        tcp_inspect_go_on(ix->flow);
    }
}

/* The handshake took too long, or the guest does not end. */
void interception_fire(struct timer *timer, uint64_t now_ns)
{
    struct interception *ix =
        (struct interception *)(void *)((char *)timer - offsetof(struct interception, timer));
    struct tcp_flow *f = ix->flow;
    (void)now_ns;
    if (ix->stage == STAGE_HOST) {
        int r = lose_host(ix, "timeout", "the server did not complete the TLS handshake in time");
        if (r < 0) {
            tcp_abort(&f->ep);
        } else {
            tcp_inspect_go_on(f);
        }
        return;
    }
    if (ix->stage == STAGE_GUEST) {
        interception_tell(f, LN_EVENT_TLS_ERROR, "guest_timeout",
                          "the guest did not complete the TLS handshake in time", NULL);
    }
    tcp_abort(&f->ep);
}
