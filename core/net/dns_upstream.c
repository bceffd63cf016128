/* Which nameservers are upstream: those of the policy, their names resolved once, or the host's. */
#include "net/dns_upstream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/answer.h"

enum { FAMILIES = 2 };

static int error_set(ln_error *reterr, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int error_set(ln_error *reterr, int code, const char *format, ...)
{
    if (reterr != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(reterr->message, sizeof(reterr->message), format, args);
        va_end(args);
        reterr->code = code;
    }
    return code;
}

/* ---- names of nameservers ---- */

/* One of the two questions about a name. */
struct lookup {
    struct dns_exchange exchange;
    struct dns_query query;
    unsigned *waiting; /* how many are under way */
    bool found;
    ln_addr addr; /* the first of the answer */
    const char *why;
};

static void take_address(void *user, const ln_addr *addr, uint32_t ttl_s)
{
    struct lookup *lookup = user;
    (void)ttl_s;
    lookup->addr = *addr; /* the first comes last */
    lookup->found = true;
}

static void lookup_done(struct dns_exchange *exchange, const uint8_t *msg, size_t len,
                        const char *why)
{
    struct lookup *lookup =
        (struct lookup *)(void *)((char *)exchange - offsetof(struct lookup, exchange));
    struct dns_answer *answer;
    (*lookup->waiting)--;
    lookup->why = why;
    if (msg != NULL && dns_answer_read(&lookup->query, msg, len, &answer) == 0) {
        dns_answer_each_address(answer, take_address, lookup);
        dns_answer_free(answer);
    }
}

static void lookup_start(struct lookup *lookup, struct dns_upstream *resolvers, const char *host,
                         uint16_t type, unsigned *waiting)
{
    struct dns_question *question = &lookup->query.question;
    *lookup = (struct lookup){.waiting = waiting, .query = {.flags = DNS_FLAG_RD}};
    question->wire_len = (uint8_t)dns_name_from_text(host, question->wire);
    question->type = type;
    question->class_ = DNS_CLASS_IN;
    if (dns_exchange_start(&lookup->exchange, resolvers, &lookup->query, lookup_done) == 0) {
        (*waiting)++;
    } else {
        lookup->why = "no nameserver can be reached";
    }
}

static void add_server(struct dns_upstream *upstream, const ln_addr *addr, uint16_t port)
{
    if (upstream->n_servers < DNS_SERVERS_MAX) {
        upstream->servers[upstream->n_servers++] = (struct nameserver){.addr = *addr, .port = port};
    }
}

/* Resolves a name with a loop of its own, which ends with the last of the two questions, at the
 * latest at their deadline. */
static int add_host(struct dns_upstream *upstream, struct dns_upstream *resolvers,
                    const ln_endpoint *endpoint, ln_error *reterr)
{
    struct lookup lookups[FAMILIES];
    unsigned waiting = 0;
    lookup_start(&lookups[0], resolvers, endpoint->host, DNS_TYPE_A, &waiting);
    lookup_start(&lookups[1], resolvers, endpoint->host, DNS_TYPE_AAAA, &waiting);
    int r = 0;
    while (waiting > 0 && r >= 0) {
        r = loop_dispatch(resolvers->loop, -1);
    }
    for (int i = 0; i < FAMILIES; i++) {
        if (lookups[i].found) {
            add_server(upstream, &lookups[i].addr, endpoint->port);
        }
    }
    if (!lookups[0].found && !lookups[1].found) {
        const char *why = lookups[0].why != NULL ? lookups[0].why : "the name has no address";
        return error_set(reterr, -EHOSTUNREACH, "nameserver %s: %s", endpoint->host, why);
    }
    return 0;
}

static int add_hosts(struct dns_upstream *upstream, struct dns_upstream *resolvers,
                     const ln_settings *settings, ln_error *reterr)
{
    int r = 0;
    for (size_t i = 0; i < settings->n_nameservers && r == 0; i++) {
        const ln_endpoint *endpoint = &settings->nameservers[i];
        if (endpoint->host == NULL) {
            add_server(upstream, &endpoint->addr, endpoint->port);
        } else {
            r = add_host(upstream, resolvers, endpoint, reterr);
        }
    }
    return r;
}

/* ---- life ---- */

static int read_resolv_conf(struct dns_upstream *upstream, const char *path, ln_error *reterr)
{
    path = path != NULL ? path : "/etc/resolv.conf";
    int n = resolv_conf_read(path, upstream->servers);
    if (n < 0) {
        return error_set(reterr, n, "%s: %s", path, strerror(-n));
    }
    upstream->n_servers = (size_t)n;
    return 0;
}

/* Fills the servers from the policy's list. `resolvers` is a copy of the upstream to work with. */
static int take_list(struct dns_upstream *upstream, struct dns_upstream resolvers,
                     const char *resolv_conf, const ln_settings *settings, ln_error *reterr)
{
    struct loop loop;
    bool by_name = false;
    for (size_t i = 0; i < settings->n_nameservers; i++) {
        by_name = by_name || settings->nameservers[i].host != NULL;
    }
    if (settings->n_nameservers > DNS_SERVERS_MAX) {
        return error_set(reterr, -E2BIG, "dns.nameservers: %zu are more than %u",
                         settings->n_nameservers, DNS_SERVERS_MAX);
    }
    if (!by_name) {
        return add_hosts(upstream, NULL, settings, reterr);
    }
    int r = read_resolv_conf(&resolvers, resolv_conf, reterr);
    if (r < 0) {
        return r;
    }
    r = loop_init(&loop, &upstream->loop->services);
    if (r < 0) {
        return error_set(reterr, r, "epoll: %s", strerror(-r));
    }
    resolvers.loop = &loop;
    r = add_hosts(upstream, &resolvers, settings, reterr);
    loop_fini(&loop);
    return r;
}

int dns_upstream_init(struct dns_upstream *upstream, struct loop *loop, const char *resolv_conf,
                      const ln_settings *settings, ln_error *reterr)
{
    *upstream = (struct dns_upstream){.loop = loop, .timeout_ms = settings->dns_query_timeout_ms};
    upstream->datagram = malloc(DNS_MESSAGE_MAX);
    if (upstream->datagram == NULL) {
        return error_set(reterr, -ENOMEM, "out of memory");
    }
    int r = settings->n_nameservers == 0
                ? read_resolv_conf(upstream, resolv_conf, reterr)
                : take_list(upstream, *upstream, resolv_conf, settings, reterr);
    if (r < 0) {
        dns_upstream_fini(upstream);
    }
    return r;
}

void dns_upstream_fini(struct dns_upstream *upstream)
{
    free(upstream->datagram);
    *upstream = (struct dns_upstream){0};
}

void dns_upstream_swap(struct dns_upstream *upstream, struct dns_upstream *from)
{
    memcpy(upstream->servers, from->servers, sizeof(upstream->servers));
    upstream->n_servers = from->n_servers;
    upstream->timeout_ms = from->timeout_ms;
    dns_upstream_fini(from);
}
