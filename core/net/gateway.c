/* A gateway's life, its turns, reload, and its callbacks to the host. */
#include "net/gateway.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "net/addressing.h"
#include "net/dns_upstream.h"
#include "net/host_socket.h"
#include "net/interception.h"
#include "net/publish.h"
#include "net/trust.h"
#include "stack/neighbour.h"

enum {
    MTU_DEFAULT = 1500,
    MTU_MIN = 1280, /* RFC 8200 section 5 */
    SLOT_MAX = 65535,
};

/* ---- the host's callbacks ---- */

static int on_event(void *user, const ln_event *event)
{
    ln_gateway *gw = user;
    bool was_inside = gw->inside;
    gw->inside = true;
    int r = gw->host.on_event(gw->user, event);
    gw->inside = was_inside;
    return r;
}

int gateway_send(ln_gateway *gw, const ln_frame *frame)
{
    if (gw->deaf) {
        return 0;
    }
    gw->inside = true;
    int r = gw->host.send_frame(gw->user, frame);
    gw->inside = false;
    if (r != 0) {
        gateway_drop(gw, DROP_QUEUE);
        return r;
    }
    gw->stats.frames_out++;
    gw->stats.frame_bytes_out += frame->len;
    return 0;
}

static int send_segment(void *user, const ln_frame *frame)
{
    return gateway_send(user, frame);
}

static void send_bytes(void *user, const uint8_t *frame, size_t len)
{
    (void)gateway_send(user, &(ln_frame){.data = frame, .len = len});
}

void gateway_send_packet(ln_gateway *gw, uint8_t *frame, size_t len)
{
    bool v6 = len > ETH_LEN && frame[ETH_LEN] >> 4 == 6;
    build_eth(frame, gw->guest_mac, gw->link.gateway_mac, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    if (len <= ETH_LEN + gw->link.mtu) {
        send_bytes(gw, frame, len);
    } else {
        (void)fragments_cut(frame, len, gw->link.mtu, gw->datagram_id++, send_bytes, gw);
    }
}

void gateway_send_icmp_error(ln_gateway *gw, const struct packet *packet, enum icmp_error error,
                             uint32_t mtu)
{
    uint8_t frame[ICMP_ERROR_FRAME_MAX];
    size_t len = build_icmp_error(frame, &gw->link, gw->guest_mac, packet, error, mtu);
    if (len > 0) {
        send_bytes(gw, frame, len);
    }
}

/* ---- life ---- */

/* Whether there are rules about requests, for which every first flight is looked at. */
static bool judges_requests(const ln_policy *policy)
{
    const ln_rule *rule;
    for (size_t i = 1; (rule = ln_policy_rule(policy, i)) != NULL; i++) {
        if (rule->http != NULL) {
            return true;
        }
    }
    return false;
}

/* The addresses of gw->slot. */
static int assign_addresses(const ln_gateway *gw, const ln_settings *settings,
                            struct link_identity *ret, ln_error *reterr)
{
    const char *field;
    if (addressing_assign(settings, gw->slot, ret, &field) == 0) {
        return 0;
    }
    char pool[LN_PREFIX_TEXT_MAX];
    bool v4 = strcmp(field, "ipv4_pool") == 0;
    ln_prefix_format(v4 ? &settings->ipv4_pool : &settings->ipv6_pool, pool);
    return fail_with(reterr, -ERANGE, "%s: %s has no %s for slot %u", field, pool,
                     v4 ? "/30" : "/64", gw->slot);
}

/* Whether a rule allows addresses of a family by number: then the policy wants the family, even
 * where the machine has no default route for it. */
static bool asks_for_family(const ln_policy *policy, bool v6)
{
    const ln_rule *rule;
    for (size_t i = 1; (rule = ln_policy_rule(policy, i)) != NULL; i++) {
        if (rule->action == LN_ALLOW && (rule->directions & LN_DIRECTION_BIT(LN_EGRESS)) != 0 &&
            rule->destination.kind == LN_DEST_PREFIX &&
            ln_addr_is_v4(&rule->destination.prefix.addr) != v6) {
            return true;
        }
    }
    return false;
}

/* Everything of the machine that may change while we run. On failure the old state stays. */
static int look_at_machine(ln_gateway *gw)
{
    size_t n_addrs;
    int r = machine_addresses(&gw->link, &gw->host_addrs, &n_addrs);
    if (r == 0) {
        gw->admission.host =
            (ln_host_addrs){.addrs = gw->host_addrs, .n_addrs = n_addrs, .n_gateway = 2};
    }
    const ln_policy *policy = gw->admission.policy;
    gw->link.route4 = machine_has_route(false) || asks_for_family(policy, false);
    gw->link.route6 = machine_has_route(true) || asks_for_family(policy, true);
    return r;
}

static void apply_limits(ln_gateway *gw)
{
    const ln_settings *settings = ln_policy_settings(gw->admission.policy);
    const ln_limits *limits = &settings->limits;
    gw->link.search = settings->dns_search;
    gw->link.n_search = settings->n_dns_search;
    lane_limit(&gw->lanes[LN_EGRESS], &settings->egress_bytes, &settings->egress_packets,
               settings->egress_budget);
    lane_limit(&gw->lanes[LN_INGRESS], &settings->ingress_bytes, &settings->ingress_packets,
               settings->ingress_budget);
    gw->closed = gw->closed && gateway_is_used_up(gw);
    gw->strict = settings->n_secrets > 0 || judges_requests(gw->admission.policy);
    gw->tcp.limits = (struct tcp_limits){
        .half_open_ms = limits->tcp_half_open_ms,
        .idle_ms = limits->tcp_idle_ms,
        .keepalive_ms = limits->tcp_keepalive_ms,
        .flight = gw->peek_offset ? 0 : HOST_SOCKET_PEEK_MAX,
    };
}

/* The address of the policy's proxy, if it has one. */
static int find_proxy(ln_gateway *gw, const ln_policy *policy, ln_addr *ret, ln_error *reterr)
{
    const ln_proxy *proxy = &ln_policy_settings(policy)->proxy;
    *ret = (ln_addr){0};
    return proxy->kind == LN_PROXY_NONE
               ? 0
               : name_service_resolve(gw, "upstream_proxy", &proxy->endpoint, ret, reterr);
}

static struct fragments *make_fragments(const ln_policy *policy)
{
    const ln_limits *limits = &ln_policy_settings(policy)->limits;
    return fragments_new(&(struct fragment_limits){
        .datagrams = limits->fragments,
        .bytes = limits->fragment_bytes,
        .timeout_ms = limits->fragment_ms,
    });
}

static void start_tcp(ln_gateway *gw, uint32_t offloads)
{
    uint8_t secret[16];
    gw->loop.services.random(gw->loop.services.user, secret, sizeof(secret));
    gw->tcp.timers = &gw->loop.timers;
    gw->tcp.now_ns = &gw->loop.now_ns;
    gw->tcp.user = gw;
    gw->tcp.send = send_segment;
    gw->tcp.secret = hash_key_from(secret);
    gw->tcp.mtu = gw->link.mtu;
    gw->tcp.csum_offload = (offloads & (LN_OFFLOAD_CSUM | LN_OFFLOAD_TSO)) != 0;
    gw->tcp.tso = (offloads & LN_OFFLOAD_TSO) != 0;
    gw->tcp.gateway_mac = gw->link.gateway_mac;
    gw->tcp.guest_mac = gw->guest_mac;
    gw->tcp.frame = gw->frame;
}

/* Pins of at most as many names as the policy in force allows; NULL when out of memory. */
static ln_pins *make_pins(const ln_gateway *gw, const ln_policy *policy)
{
    const ln_limits *limits = &ln_policy_settings(policy)->limits;
    uint8_t key[16];
    gw->loop.services.random(gw->loop.services.user, key, sizeof(key));
    return ln_pins_new(limits->pin_names, limits->pin_addresses, key);
}

/* Tables and buffers: all that can fail for want of memory only. */
static int allocate(ln_gateway *gw, ln_policy *policy)
{
    const ln_limits *limits = &ln_policy_settings(policy)->limits;
    const struct host_services *services = &gw->loop.services;
    uint8_t key[16];

    gw->admission.pins = make_pins(gw, policy);
    gw->fragments = make_fragments(policy);
    gw->frame = malloc(TCP_FRAME_MAX);
    gw->peek_offset = host_socket_probe_peek_offset();
    gw->scratch = gw->peek_offset ? NULL : malloc(HOST_SOCKET_SCRATCH);
    if (gw->admission.pins == NULL || (!gw->peek_offset && gw->scratch == NULL) ||
        gw->fragments == NULL || gw->frame == NULL) {
        return -ENOMEM;
    }
    services->random(services->user, key, sizeof(key));
    int r = flow_table_init(&gw->flows, limits->max_connections, key);
    return r < 0 ? r : admission_set_policy(&gw->admission, policy);
}

/* What a guest learnt of its router wears off, unless it is told again. */
static void advertise(ln_gateway *gw)
{
    uint8_t frame[NEIGHBOUR_FRAME_MAX];
    size_t len = neighbour_router_advertisement(&gw->link, frame);
    (void)gateway_send(gw, &(ln_frame){.data = frame, .len = len});
}

static void tick(struct timer *timer, uint64_t now_ns)
{
    ln_gateway *gw = (ln_gateway *)(void *)((char *)timer - offsetof(ln_gateway, tick));

    (void)timer_set(&gw->loop.timers, timer, now_ns + SECOND_NS); /* its place was just freed */
    ln_pins_expire(gw->admission.pins, now_ns);
    for (unsigned n = fragments_expire(gw->fragments, now_ns); n > 0; n--) {
        gateway_drop(gw, DROP_FRAGMENT);
    }
    gateway_forget_refused(gw, false);
    datagram_expire(gw);
    publish_tick(gw);
    trust_tick(gw->trust);
    lane_resume(&gw->lanes[LN_EGRESS]);
    lane_resume(&gw->lanes[LN_INGRESS]);
    gateway_tell_muffled(gw);
    if (++gw->ticks % GATEWAY_REFRESH_TICKS == 0) {
        (void)look_at_machine(gw);
    }
    if (gw->ticks % GATEWAY_ADVERTISE_TICKS == 0) {
        advertise(gw);
    }
}

static int start(ln_gateway *gw, const ln_config *config, ln_error *reterr)
{
    int r = trust_new(&gw->loop, &gw->events, config, &gw->trust, reterr);
    if (r < 0) {
        return r;
    }
    gw->link.mtu = (uint16_t)(config->mtu == 0 ? MTU_DEFAULT : config->mtu);
    gw->slot = config->slot;
    gw->learn_names = config->learn_names;
    for (; gw->n_guarded < config->n_guarded; gw->n_guarded++) {
        const ln_endpoint *endpoint = &config->guarded[gw->n_guarded];
        gw->guarded[gw->n_guarded] = (struct guarded){endpoint->addr, endpoint->port};
    }
    r = assign_addresses(gw, ln_policy_settings(config->policy), &gw->link, reterr);
    if (r < 0) {
        return r;
    }
    memcpy(gw->guest_mac, gw->link.guest_mac, sizeof(gw->guest_mac));
    r = allocate(gw, config->policy);
    if (r < 0) {
        return fail_with(reterr, r, "out of memory");
    }
    r = look_at_machine(gw);
    if (r < 0) {
        return fail_with(reterr, r, "the machine's own addresses cannot be read: %s", strerror(-r));
    }
    lane_start(&gw->lanes[LN_EGRESS], gw, tcp_flow_resume_out);
    lane_start(&gw->lanes[LN_INGRESS], gw, tcp_flow_resume_in);
    apply_limits(gw);
    start_tcp(gw, config->offloads);
    r = datagram_start(gw, reterr);
    if (r < 0) {
        return r;
    }
    r = name_service_start(gw, config->resolv_conf, reterr);
    r = r < 0 ? r : find_proxy(gw, config->policy, &gw->proxy, reterr);
    r = r < 0 ? r : publish_prepare(gw, config->policy, &gw->published, reterr);
    if (r < 0) {
        return r;
    }
    gw->tick.fire = tick;
    r = timer_set(&gw->loop.timers, &gw->tick, gw->loop.now_ns + SECOND_NS);
    return r < 0 ? fail_with(reterr, r, "out of memory") : 0;
}

static int check_arguments(const ln_config *config, const ln_host *host, ln_error *reterr)
{
    if (config->size < sizeof(*config) || host->size < sizeof(*host)) {
        return fail_with(reterr, -EINVAL, "ln_config or ln_host of another version");
    }
    if (config->policy == NULL || host->send_frame == NULL) {
        return fail_with(reterr, -EINVAL, "a gateway needs a policy and send_frame");
    }
    if (config->mtu != 0 && (config->mtu < MTU_MIN || config->mtu > PACKET_MTU_MAX)) {
        return fail_with(reterr, -EINVAL, "mtu: found %u; accepted: %d to %u", config->mtu, MTU_MIN,
                         PACKET_MTU_MAX);
    }
    if (config->slot > SLOT_MAX) {
        return fail_with(reterr, -EINVAL, "slot: found %u; accepted: 0 to %d", config->slot,
                         SLOT_MAX);
    }
    if (config->n_guarded > GATEWAY_GUARDED_MAX) {
        return fail_with(reterr, -EINVAL, "guarded: found %zu; accepted: at most %u",
                         config->n_guarded, GATEWAY_GUARDED_MAX);
    }
    return 0;
}

int ln_gateway_new(const ln_config *config, const ln_host *host, void *user, ln_gateway **ret,
                   ln_error *reterr)
{
    int r = check_arguments(config, host, reterr);
    if (r < 0) {
        return r;
    }
    ln_gateway *gw = calloc(1, sizeof(*gw));
    if (gw == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    gw->host = *host;
    gw->user = user;
    gw->events = (struct events){.sink = host->on_event != NULL ? on_event : NULL, .user = gw};
    gw->admission.events = &gw->events;
    struct host_services services = {.user = user, .now_ns = host->now_ns, .random = host->random};
    if (services.now_ns == NULL) {
        services.now_ns = host_services_system.now_ns;
    }
    if (services.random == NULL) {
        services.random = host_services_system.random;
    }
    r = loop_init(&gw->loop, &services);
    if (r < 0) {
        free(gw);
        return fail_with(reterr, r, "epoll or timerfd: %s", strerror(-r));
    }
    r = start(gw, config, reterr);
    if (r < 0) {
        ln_gateway_free(gw);
        return r;
    }
    *ret = gw;
    return 0;
}

void gateway_each_flow(ln_gateway *gw, void (*visit)(void *user, struct flow *flow), void *user)
{
    for (int c = 0; c < FLOW_CLASSES; c++) {
        struct flow *next;
        for (struct flow *flow = gw->flows.lists[c].oldest; flow != NULL; flow = next) {
            next = flow->newer;
            visit(user, flow);
        }
    }
}

static void end_flow(void *user, struct flow *flow)
{
    ln_gateway *gw = user;
    gateway_destroy_flow(gw, flow, "shutdown");
}

static void end_flow_of_guest(void *user, struct flow *flow)
{
    ln_gateway *gw = user;
    gateway_destroy_flow(gw, flow, "guest_gone");
}

ln_gateway *ln_gateway_free(ln_gateway *gw)
{
    if (gw == NULL) {
        return NULL;
    }
    gw->deaf = true;
    gateway_each_flow(gw, end_flow, gw);
    gw->engine = tls_engine_free(gw->engine);
    publish_free(gw->published);
    gateway_tell_muffled(gw);
    name_service_stop(gw);
    datagram_stop(gw);
    gw->trust = trust_free(gw->trust);
    timer_cancel(&gw->loop.timers, &gw->tick);
    timer_cancel(&gw->loop.timers, &gw->doubt);
    lane_stop(&gw->lanes[LN_EGRESS]);
    lane_stop(&gw->lanes[LN_INGRESS]);
    flow_table_fini(&gw->flows);
    fragments_free(gw->fragments);
    admission_fini(&gw->admission);
    ln_pins_free(gw->admission.pins);
    loop_fini(&gw->loop);
    free(gw->host_addrs);
    if (gw->reads != NULL) {
        explicit_bzero(gw->reads, GATEWAY_READS);
        free(gw->reads);
    }
    free(gw->frame);
    free(gw->scratch);
    free(gw);
    return NULL;
}

/* ---- turns ---- */

/* From outside a turn, the embedder's poll is to see that there is something to answer. */
void gateway_wake(ln_gateway *gw)
{
    if (!gw->turning && !gw->woken) {
        gw->woken = true;
        loop_wake(&gw->loop);
    }
}

struct loop *gateway_loop(ln_gateway *gw)
{
    return &gw->loop;
}

int gateway_turn(ln_gateway *gw, int timeout_ms)
{
    if (gw->inside || gw->turning) {
        return -EBUSY;
    }
    gw->turning = true;
    gw->woken = false;
    gw->turns++;
    tcp_flow_resume(gw);
    bool more = gw->tcp_ready != NULL || gw->shaking != NULL;
    int r = loop_dispatch(&gw->loop, more ? 0 : timeout_ms);
    interception_step(gw);
    gateway_keep_budget(gw);
    if (gateway_is_condemned(gw)) {
        gateway_end_condemned(gw);
    }
    tcp_flush(&gw->tcp);
    gw->turning = false;
    return r < 0 ? r : 0;
}

int ln_gateway_dispatch(ln_gateway *gw)
{
    int r = gateway_turn(gw, 0);
    if (gw->tcp_ready != NULL || gw->shaking != NULL) {
        gateway_wake(gw);
    }
    loop_arm(&gw->loop); /* acknowledging may have set timers */
    return r;
}

int ln_gateway_fd(const ln_gateway *gw)
{
    return gw->loop.epoll_fd;
}

/* ---- reload ---- */

static void rejudge(void *user, struct flow *flow)
{
    ln_gateway *gw = user;
    if (flow->flow_class == FLOW_DENIED) {
        return; /* by the new policy, a moment ago */
    }
    if (flow->via != NULL && publish_is_withdrawn(flow->via)) {
        gateway_destroy_flow(gw, flow, "reload");
    } else if (flow->key.ip_protocol != IPPROTO_TCP) {
        datagram_rejudge(gw, flow);
    } else if (flow->key.peer_port != GATEWAY_PORT_DNS) { /* there, each query is judged */
        tcp_flow_rejudge(gw, flow);
    }
}

void gateway_rejudge(ln_gateway *gw)
{
    gateway_forget_refused(gw, true);
    gateway_each_flow(gw, rejudge, gw);
}

/* A guest keeps its addresses. */
static int check_addresses(const ln_gateway *gw, const ln_policy *policy, ln_error *reterr)
{
    struct link_identity link = gw->link;
    int r = assign_addresses(gw, ln_policy_settings(policy), &link, reterr);
    if (r < 0) {
        return r;
    }
    bool same4 = ln_addr_equal(&link.guest4, &gw->link.guest4);
    return same4 && ln_addr_equal(&link.guest6, &gw->link.guest6)
               ? 0
               : fail_with(reterr, -EADDRNOTAVAIL,
                           "%s: the guest would have another address: start anew for that",
                           same4 ? "ipv6_pool" : "ipv4_pool");
}

int ln_gateway_reload(ln_gateway *gw, ln_policy *policy, ln_error *reterr)
{
    if (gw->inside) {
        return fail_with(reterr, -EBUSY, "a policy cannot be changed from inside a callback");
    }
    int r = check_addresses(gw, policy, reterr);
    if (r < 0) {
        return r;
    }
    struct dns_upstream upstream;
    struct publication *added;
    ln_addr proxy;
    struct trust_change *trust;
    r = find_proxy(gw, policy, &proxy, reterr);
    r = r < 0 ? r : trust_prepare(gw->trust, policy, &trust, reterr);
    if (r < 0) {
        return r;
    }
    r = name_service_prepare(gw, policy, &upstream, reterr);
    if (r < 0) {
        trust_abandon(trust);
        return r;
    }
    r = publish_prepare(gw, policy, &added, reterr);
    if (r < 0) {
        dns_upstream_fini(&upstream);
        trust_abandon(trust);
        return r;
    }
    struct fragments *fragments = make_fragments(policy);
    r = fragments == NULL ? -ENOMEM : admission_set_policy(&gw->admission, policy);
    if (r < 0) {
        fragments_free(fragments);
        publish_free(added);
        dns_upstream_fini(&upstream);
        trust_abandon(trust);
        return fail_with(reterr, r, "out of memory");
    }
    fragments_free(gw->fragments);
    gw->fragments = fragments;
    gw->proxy = proxy;
    loop_now(&gw->loop);
    apply_limits(gw);
    trust_commit(gw->trust, trust);
    (void)look_at_machine(gw); /* at the latest in the next seconds */
    name_service_reload(gw, &upstream);
    events_tell(&gw->events, &(ln_event){.kind = LN_EVENT_RELOAD});
    publish_reload(gw, policy, added);
    gateway_rejudge(gw);
    publish_forget_withdrawn(gw);
    gateway_wake(gw);
    return 0;
}

/* ---- another guest ---- */

int ln_gateway_reset(ln_gateway *gw)
{
    if (gw->inside) {
        return -EBUSY;
    }
    struct fragments *fragments = make_fragments(gw->admission.policy);
    ln_pins *pins = make_pins(gw, gw->admission.policy);
    if (fragments == NULL || pins == NULL) {
        fragments_free(fragments);
        ln_pins_free(pins);
        return -ENOMEM;
    }
    loop_now(&gw->loop);
    gw->deaf = true;
    gateway_each_flow(gw, end_flow_of_guest, gw);
    gateway_forget_refused(gw, true); /* with those that were just refused for what they showed */
    name_service_forget(gw);
    gw->deaf = false;
    fragments_free(gw->fragments);
    gw->fragments = fragments;
    ln_pins_free(gw->admission.pins);
    gw->admission.pins = pins;
    memcpy(gw->guest_mac, gw->link.guest_mac, sizeof(gw->guest_mac));
    gateway_wake(gw);
    return 0;
}
