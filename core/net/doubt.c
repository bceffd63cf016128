/* Connections that the guest has deserted: it went away without a word, and they would hold their
 * places until they are idle for too long.
 *
 * Theory of operation. When a flow finds no room, those that are open are doubted: a guest that was
 * not heard for DOUBT_SILENCE_NS is asked whether it still knows the connection, as keepalive does
 * (RFC 9293 section 3.8.4), every DOUBT_EVERY_NS. A kernel that knows nothing of it resets it; one
 * that lives answers, and is left alone for as long again; a connection of which DOUBT_ASKED
 * questions were not answered is ended. So a flow that was refused finds room when it tries again a
 * second later. Doubting ends with the last such connection. */
#include <netinet/in.h>

#include "net/tcp_flow.h"

enum {
    DOUBT_MOST = 8192, /* flows looked at in one round, from the oldest */
    DOUBT_ASKED = 3
};

#define DOUBT_SILENCE_NS SECOND_NS
#define DOUBT_EVERY_NS   (SECOND_NS / 5)

/* Returns whether it has to be looked at again. The flow may be gone afterwards. */
static bool doubt(ln_gateway *gw, struct tcp_flow *f)
{
    uint64_t now_ns = gw->loop.now_ns;
    if (now_ns - f->ep.heard_ns < DOUBT_SILENCE_NS) {
        f->doubts = 0;
        return false;
    }
    if (f->doubts == DOUBT_ASKED) {
        gw->stats.flows_evicted++;
        tcp_flow_destroy(gw, &f->flow, "timeout");
        return false;
    }
    f->doubts++;
    tcp_ask(&f->ep);
    return true;
}

static void look(ln_gateway *gw)
{
    struct flow *flow = gw->flows.lists[FLOW_OPEN].oldest;
    bool again = false;
    for (unsigned i = 0; flow != NULL && i < DOUBT_MOST; i++) {
        struct flow *newer = flow->newer;
        if (flow->key.ip_protocol == IPPROTO_TCP && flow->key.peer_port != GATEWAY_PORT_DNS) {
            again |= doubt(gw, (struct tcp_flow *)(void *)flow);
        }
        flow = newer;
    }
    if (again) {
        (void)timer_set(&gw->loop.timers, &gw->doubt, gw->loop.now_ns + DOUBT_EVERY_NS);
    }
}

static void fire(struct timer *timer, uint64_t now_ns)
{
    ln_gateway *gw = (ln_gateway *)(void *)((char *)timer - offsetof(ln_gateway, doubt));
    (void)now_ns;
    look(gw);
}

void gateway_doubt_open(ln_gateway *gw)
{
    if (timer_is_set(&gw->doubt) || gw->loop.now_ns < gw->doubted_ns + DOUBT_EVERY_NS) {
        return;
    }
    gw->doubted_ns = gw->loop.now_ns;
    gw->doubt.fire = fire;
    look(gw);
}
