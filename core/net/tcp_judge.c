/* The verdict about a TCP flow: with what is known of its name, and again after a reload. */
#include <string.h>

#include "net/interception.h"

bool tcp_flow_judge(struct tcp_flow *f, ln_name_state name_state, const char *name, bool is_host)
{
    gateway_judge(f->gw, &f->flow.key, name_state, name, is_host, &f->flow.decision);
    if (name != NULL) {
        f->flow.name = strdup(name);
        f->name_is_host = is_host;
    }
    if (f->flow.decision.action != LN_ALLOW || (name != NULL && f->flow.name == NULL)) {
        f->denied = true;
        return false;
    }
    f->passing = true;
    tcp_flow_tell_open(f);
    if (f->far == FAR_NONE && f->doom == 0) {
        tcp_dial(f);
    }
    return true;
}

/* ---- after a reload ---- */

/* By a policy that was swapped in. Returns whether it hangs on a name. */
static bool judge_again(struct tcp_flow *f)
{
    struct flow *flow = &f->flow;
    ln_name_state known = f->watching          ? LN_NAME_UNKNOWN
                          : flow->name != NULL ? LN_NAME_SHOWN
                                               : LN_NAME_NONE;
    gateway_judge(f->gw, &flow->key, known, flow->name, f->name_is_host, &flow->decision);
    if (flow->decision.action == LN_DEFER) {
        gateway_judge(f->gw, &flow->key, LN_NAME_NONE, NULL, false, &flow->decision);
        return true;
    }
    if (f->wordless && flow->decision.action == LN_ALLOW && flow->decision.inspect) {
        gateway_judge_request(f->gw, flow, flow->name, f->name_is_host, LN_HTTP_NONE, NULL,
                              &flow->decision);
    }
    return false;
}

/* Whether a flow that is allowed can be looked at as far as the policy wants it to be. */
static bool may_go_on(struct tcp_flow *f)
{
    if (f->inspection != NULL) {
        return f->inspection->ops->rejudge(f->inspection);
    }
    if (!f->watching) {
        return !f->flow.decision.inspect;
    }
    f->strict = intercept_is_strict(f->gw, f);
    if (f->strict && f->passing) {
        f->passing = false;
        return f->first == NULL;
    }
    return true;
}

void tcp_flow_rejudge(ln_gateway *gw, struct flow *flow)
{
    struct tcp_flow *f = (struct tcp_flow *)(void *)flow;
    if (f->ep.state == TCP_TIME_WAIT) {
        return;
    }
    if (flow->direction == LN_INGRESS) {
        gateway_judge_call(gw, flow, &flow->decision);
        if (flow->decision.action != LN_ALLOW) {
            f->denied = true;
            tcp_abort(&f->ep);
        }
        return;
    }
    bool deferred = judge_again(f);
    if (flow->decision.action == LN_ALLOW && !may_go_on(f)) {
        tcp_flow_destroy(gw, flow, "reload");
        return;
    }
    f->permitted = flow->decision.action == LN_ALLOW;
    f->certain = f->permitted && !deferred;
    /* Where it still hangs on a name, and nothing was sent to the host, it may go on. */
    if (!f->permitted && !(deferred && f->far == FAR_NONE)) {
        f->denied = true;
        f->reason = NULL;
        tcp_abort(&f->ep);
    }
}
