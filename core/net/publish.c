/* Published ports: binding, and what comes in through them.
 *
 * Theory of operation. A call is a flow of ingress: the guest's port and address, and the caller's
 * as the guest is to see it, are its key, so that what the guest answers finds it as any flow's
 * packets do. Where that key is in use (two callers of the machine's loopback may have the same
 * port), or the port is one at which lunette itself answers the guest, another port stands for the
 * caller's. Bounds: the kernel's queue of connections not accepted, a number of calls taken a turn,
 * and the classes of the flow table, where callers make room for callers only. */
#include "net/publish.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "net/gateway.h"
#include "net/host_socket.h"
#include "net/sockaddr.h"

enum {
    BACKLOG = 256,
    CALLS_A_TURN = 32,      /* of one port, then others have their turn */
    PORT_STAND_INS = 49152, /* the first port that may stand for a caller's (RFC 6335) */
    PORT_STAND_INS_COUNT = 16384,
    PORT_STAND_INS_TRIED = 64 /* then the call is refused */
};

struct publication {
    struct watch watch;
    ln_gateway *gw;
    struct publication *next;
    int fd;
    ln_addr bind;
    uint16_t host_port, guest_port;
    uint8_t protocol; /* ln_protocol */
    bool paused;      /* not watched: the machine was out of descriptors */
    bool withdrawn;
};

static struct publication *publication_of(struct watch *watch)
{
    return (struct publication *)(void *)((char *)watch - offsetof(struct publication, watch));
}

/* ---- who calls ---- */

static bool is_of_link(const ln_gateway *gw, const ln_addr *addr)
{
    return ln_prefix_contains(&gw->link.prefix4, addr) ||
           ln_prefix_contains(&gw->link.prefix6, addr);
}

/* The caller's address as the guest is to see it. */
static ln_addr visible_address(const ln_gateway *gw, const ln_addr *caller)
{
    ln_group group = ln_addr_group(caller, NULL);
    bool is_strange =
        group == LN_GROUP_LOOPBACK || group == LN_GROUP_LINK_LOCAL || group == LN_GROUP_MULTICAST;
    if (is_strange || ln_addr_is_never(caller) || is_of_link(gw, caller)) {
        return ln_addr_is_v4(caller) ? gw->link.gateway4 : gw->link.gateway6;
    }
    return *caller;
}

/* Whether a flow is that of a call, which need not have its key. */
static bool is_same_call(const struct flow *flow, const struct flow *call)
{
    return flow->via == call->via && flow->flow_class != FLOW_DENIED &&
           flow->caller_port == call->caller_port && ln_addr_equal(&flow->caller, &call->caller);
}

/* Gives a call the first key that is free. A connection that is over, or refused, makes way.
 * Returns 1; 0 when the call has a flow already, under the key it now has; or -EADDRINUSE. */
static int find_key(ln_gateway *gw, struct flow *call)
{
    struct flow_key *key = &call->key;
    for (unsigned i = 0; i < PORT_STAND_INS_TRIED; i++) {
        struct flow *flow = flow_table_find(&gw->flows, key);
        if (gateway_is_port_taken(key->peer_port)) {
            /* the next */
        } else if (flow == NULL) {
            return 1;
        } else if (flow->flow_class == FLOW_CLOSING || flow->flow_class == FLOW_DENIED) {
            gateway_destroy_flow(gw, flow, NULL);
            return 1;
        } else if (is_same_call(flow, call)) {
            return 0;
        }
        key->peer_port = (uint16_t)(PORT_STAND_INS + (key->peer_port + i) % PORT_STAND_INS_COUNT);
    }
    return -EADDRINUSE;
}

static struct flow call_of(const struct publication *p, const ln_addr *caller, uint16_t port)
{
    const struct link_identity *link = &p->gw->link;
    bool v4 = ln_addr_is_v4(caller);
    return (struct flow){
        .key = {.guest = v4 ? link->guest4 : link->guest6,
                .peer = visible_address(p->gw, caller),
                .guest_port = p->guest_port,
                .peer_port = port,
                .ip_protocol = p->protocol == LN_TCP ? IPPROTO_TCP : IPPROTO_UDP},
        .direction = LN_INGRESS,
        .caller = *caller,
        .caller_port = port,
        .via = (struct publication *)(uintptr_t)p,
    };
}

/* ---- TCP ---- */

/* Returns 0, or -errno: the caller is to be reset. */
static int take_connection(struct publication *p, int fd, const struct sockaddr_storage *from)
{
    ln_gateway *gw = p->gw;
    ln_addr caller;
    uint16_t port;
    if (sockaddr_get(from, &caller, &port) < 0) {
        return -EAFNOSUPPORT;
    }
    struct flow flow = call_of(p, &caller, port);
    gateway_judge_call(gw, &flow, &flow.decision);
    if (flow.decision.action != LN_ALLOW) {
        gateway_refuse_call(gw, &flow);
        return -EACCES;
    }
    if (!gateway_make_room(gw, FLOW_HALF_OPEN_IN)) {
        return -ENOSPC;
    }
    int r = find_key(gw, &flow) == 1 ? tcp_flow_call(gw, &flow, fd) : -EADDRINUSE;
    if (r < 0) {
        gateway_over_limit(gw, LIMIT_MACHINE);
    }
    return r;
}

/* Accepts one connection. Returns whether there may be another. */
static bool accept_one(struct publication *p)
{
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    struct host_socket socket = {
        .fd = accept4(p->fd, (struct sockaddr *)&from, &from_len, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (socket.fd >= 0) {
        if (take_connection(p, socket.fd, &from) < 0) {
            host_socket_close(&socket, true);
        }
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        gateway_over_limit(p->gw, LIMIT_MACHINE);
        loop_unwatch(&p->gw->loop, &p->watch); /* else it would be reported for ever */
        p->paused = true;
        return false;
    }
    return errno != EAGAIN;
}

static void tcp_ready(struct watch *watch, uint32_t events)
{
    struct publication *p = publication_of(watch);
    (void)events;
    for (int i = 0; i < CALLS_A_TURN && accept_one(p); i++) {
    }
}

/* ---- UDP ---- */

union info {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* Which of the machine's addresses was called. */
static void read_info(struct msghdr *message, struct publish_route *route)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            route->local = ln_addr_v4(ntohl(info.ipi_spec_dst.s_addr));
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            memcpy(route->local.bytes, &info.ipi6_addr, sizeof(route->local.bytes));
        }
    }
}

static ssize_t receive(struct publication *p, struct publish_route *route)
{
    struct sockaddr_storage from;
    union info info;
    struct iovec part = {.iov_base = datagram_buffer(p->gw), .iov_len = DATAGRAM_MAX};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof(from),
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &info,
                             .msg_controllen = sizeof(info)};
    ssize_t n = recvmsg(p->fd, &message, 0);
    if (n < 0) {
        return -errno;
    }
    *route = (struct publish_route){0};
    if (sockaddr_get(&from, &route->caller, &route->port) < 0) {
        return -EAFNOSUPPORT;
    }
    if (from.ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &from, sizeof(v6));
        route->scope_id = v6.sin6_scope_id;
    }
    read_info(&message, route);
    return n;
}

static void take_datagram(struct publication *p, const struct publish_route *route, size_t len)
{
    ln_gateway *gw = p->gw;
    struct flow call = call_of(p, &route->caller, route->port);
    struct flow *known = flow_table_find(&gw->flows, &call.key);
    if (known == NULL || !is_same_call(known, &call)) {
        gateway_judge_call(gw, &call, &call.decision);
        if (call.decision.action != LN_ALLOW) {
            gateway_refuse_call(gw, &call);
            return;
        }
        if (find_key(gw, &call) < 0) {
            gateway_over_limit(gw, LIMIT_MACHINE);
            return;
        }
    }
    datagram_call(gw, &call, route, len);
}

static void udp_ready(struct watch *watch, uint32_t events)
{
    struct publication *p = publication_of(watch);
    struct publish_route route;
    (void)events;
    for (int i = 0; i < CALLS_A_TURN; i++) {
        ssize_t n = receive(p, &route);
        if (n >= 0) {
            take_datagram(p, &route, (size_t)n);
        } else if (n == -EAGAIN) {
            return;
        }
    }
}

/* Says in a message by which of the machine's addresses it is to go: the one that was called. */
static size_t write_info(union info *info, bool v6, const ln_addr *local)
{
    *info = (union info){0};
    if (v6) {
        struct in6_pktinfo data = {0};
        memcpy(&data.ipi6_addr, local->bytes, sizeof(local->bytes));
        info->header = (struct cmsghdr){.cmsg_level = IPPROTO_IPV6,
                                        .cmsg_type = IPV6_PKTINFO,
                                        .cmsg_len = CMSG_LEN(sizeof(data))};
        memcpy(CMSG_DATA(&info->header), &data, sizeof(data));
        return CMSG_SPACE(sizeof(data));
    }
    struct in_pktinfo data = {.ipi_spec_dst.s_addr = htonl(ln_addr_to_v4(local))};
    info->header = (struct cmsghdr){
        .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(data))};
    memcpy(CMSG_DATA(&info->header), &data, sizeof(data));
    return CMSG_SPACE(sizeof(data));
}

int publish_send(const struct publication *p, const struct publish_route *route,
                 const uint8_t *data, size_t len)
{
    bool v6 =
        !ln_addr_is_v4(&p->bind); /* of the socket: IPv4 callers of it have mapped addresses */
    struct sockaddr_storage to;
    struct sockaddr_in6 to6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(route->port), .sin6_scope_id = route->scope_id};
    union info info;
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (v6) {
        memcpy(&to6.sin6_addr, route->caller.bytes, sizeof(route->caller.bytes));
        message.msg_name = &to6;
        message.msg_namelen = sizeof(to6);
    } else {
        message.msg_namelen = sockaddr_put(&route->caller, route->port, &to);
        message.msg_name = &to;
    }
    if (ln_addr_group(&route->local, NULL) != LN_GROUP_MULTICAST) {
        message.msg_controllen = write_info(&info, v6, &route->local);
        message.msg_control = &info;
    }
    return sendmsg(p->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* ---- binding ---- */

static bool is_any6(const ln_addr *addr)
{
    static const ln_addr any6 = {{0}};
    return ln_addr_equal(addr, &any6);
}

/* `::` stands for IPv4 too, unless the policy binds that port for IPv4 by itself. */
static bool is_v6_only(const ln_settings *settings, const ln_port_binding *binding)
{
    for (size_t i = 0; i < settings->n_bindings; i++) {
        const ln_port_binding *other = &settings->bindings[i];
        if (other->protocol == binding->protocol && other->host_port == binding->host_port &&
            ln_addr_is_v4(&other->bind)) {
            return true;
        }
    }
    return !is_any6(&binding->bind);
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) != 0 ? -errno : 0;
}

static int set_options(int fd, const ln_port_binding *binding, bool v6_only)
{
    bool v6 = !ln_addr_is_v4(&binding->bind);
    int r = v6 ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6_only) : 0;
    if (r == 0 && binding->protocol == LN_TCP) {
        return set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    return r < 0 ? r
           : v6  ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                 : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

/* Returns a descriptor or -errno. */
static int bind_port(const ln_port_binding *binding, bool v6_only)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_put(&binding->bind, binding->host_port, &sa);
    bool tcp = binding->protocol == LN_TCP;
    int type = (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(sa.ss_family, type, 0);
    if (fd < 0) {
        return -errno;
    }
    int r = set_options(fd, binding, v6_only);
    if (r == 0 && (bind(fd, (const struct sockaddr *)&sa, sa_len) != 0 ||
                   (tcp && listen(fd, BACKLOG) != 0))) {
        r = -errno;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static void publication_free(struct publication *p)
{
    loop_unwatch(&p->gw->loop, &p->watch);
    if (p->fd >= 0) {
        close(p->fd);
    }
    free(p);
}

static int publication_new(ln_gateway *gw, const ln_port_binding *binding, bool v6_only,
                           struct publication **ret)
{
    struct publication *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return -ENOMEM;
    }
    *p = (struct publication){
        .watch = {.fd = -1, .ready = binding->protocol == LN_TCP ? tcp_ready : udp_ready},
        .gw = gw,
        .fd = bind_port(binding, v6_only),
        .bind = binding->bind,
        .host_port = binding->host_port,
        .guest_port = binding->guest_port,
        .protocol = (uint8_t)binding->protocol,
    };
    int r = p->fd < 0 ? p->fd : loop_watch(&gw->loop, &p->watch, p->fd, EPOLLIN);
    if (r < 0) {
        publication_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

/* ---- life ---- */

static struct publication *find(const ln_gateway *gw, const ln_port_binding *binding)
{
    for (struct publication *p = gw->published; p != NULL; p = p->next) {
        if (p->protocol == binding->protocol && p->host_port == binding->host_port &&
            ln_addr_equal(&p->bind, &binding->bind)) {
            return p;
        }
    }
    return NULL;
}

static int cannot_bind(const ln_port_binding *binding, int r, ln_error *reterr)
{
    char text[LN_ADDR_TEXT_MAX];
    bool v4 = ln_addr_is_v4(&binding->bind);
    ln_addr_format(&binding->bind, text);
    return fail_with(reterr, r, "%s: %s port %s%s%s:%u cannot be bound: %s", binding->origin,
                     binding->protocol == LN_TCP ? "TCP" : "UDP", v4 ? "" : "[", text,
                     v4 ? "" : "]", binding->host_port, strerror(-r));
}

int publish_prepare(ln_gateway *gw, const ln_policy *policy, struct publication **ret,
                    ln_error *reterr)
{
    const ln_settings *settings = ln_policy_settings(policy);
    struct publication *list = NULL;
    for (size_t i = 0; i < settings->n_bindings; i++) {
        const ln_port_binding *binding = &settings->bindings[i];
        if (find(gw, binding) != NULL) {
            continue;
        }
        struct publication *p;
        int r = publication_new(gw, binding, is_v6_only(settings, binding), &p);
        if (r < 0) {
            publish_free(list);
            return cannot_bind(binding, r, reterr);
        }
        p->next = list;
        list = p;
    }
    *ret = list;
    return 0;
}

void publish_reload(ln_gateway *gw, const ln_policy *policy, struct publication *added)
{
    const ln_settings *settings = ln_policy_settings(policy);
    struct publication **at = &gw->published;
    for (; *at != NULL; at = &(*at)->next) {
        (*at)->withdrawn = true;
    }
    for (size_t i = 0; i < settings->n_bindings; i++) {
        struct publication *p = find(gw, &settings->bindings[i]);
        if (p != NULL) {
            p->withdrawn = false;
            p->guest_port = settings->bindings[i].guest_port; /* of calls from now on */
        }
    }
    *at = added;
}

bool publish_is_withdrawn(const struct publication *p)
{
    return p->withdrawn;
}

void publish_forget_withdrawn(ln_gateway *gw)
{
    for (struct publication **at = &gw->published; *at != NULL;) {
        struct publication *p = *at;
        if (p->withdrawn) {
            *at = p->next;
            publication_free(p);
        } else {
            at = &p->next;
        }
    }
}

void publish_free(struct publication *list)
{
    while (list != NULL) {
        struct publication *next = list->next;
        publication_free(list);
        list = next;
    }
}

void publish_tick(ln_gateway *gw)
{
    for (struct publication *p = gw->published; p != NULL; p = p->next) {
        if (p->paused) {
            p->paused = loop_watch(&gw->loop, &p->watch, p->fd, EPOLLIN) < 0;
        }
    }
}
