/* Which nameservers are upstream: those of the policy, their names resolved once, or the host's. */
#include "net/dns_upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "dns/answer.h"

enum { FAMILIES = 2 };

/* ---- names of nameservers ---- */

/* One of the two questions about a name. */
struct lookup {
    struct dns_exchange exchange;
    struct dns_query query;
    bool going, found;
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
    lookup->going = false;
    lookup->why = why;
    if (msg != NULL && dns_answer_read(&lookup->query, msg, len, &answer) == 0) {
        dns_answer_each_address(answer, take_address, lookup);
        dns_answer_free(answer);
    }
}

static void lookup_start(struct lookup *lookup, struct dns_upstream *resolvers, const char *host,
                         uint16_t type)
{
    struct dns_question *question = &lookup->query.question;
    *lookup = (struct lookup){.query = {.flags = DNS_FLAG_RD, .has_question = true}};
    question->wire_len = (uint8_t)dns_name_from_text(host, question->wire);
    question->type = type;
    question->class_ = DNS_CLASS_IN;
    lookup->going =
        dns_exchange_start(&lookup->exchange, resolvers, &lookup->query, lookup_done) == 0;
    lookup->why = lookup->going ? NULL : "no nameserver can be reached";
}

static void add_server(struct nameservers *servers, const ln_addr *addr, uint16_t port)
{
    if (servers->n < NAMESERVERS_MAX) {
        servers->at[servers->n++] = (struct nameserver){.addr = *addr, .port = port};
    }
}

/* Resolves a name with a loop of its own, by the system's clock. Ends with the last of the two
 * questions, at the latest at their deadline. Returns 0 or a negative errno. */
static int look_up(const struct dns_upstream *upstream, const struct nameservers *host,
                   const char *name, struct lookup lookups[FAMILIES])
{
    struct loop loop;
    struct zone machine = {.servers = *host};
    struct host_services services = upstream->loop->services;
    services.now_ns = host_services_system.now_ns;
    int r = loop_init(&loop, &services);
    if (r < 0) {
        return r;
    }
    struct dns_upstream resolvers = *upstream;
    resolvers.loop = &loop;
    resolvers.zones = &machine;
    resolvers.n_zones = 1;
    lookup_start(&lookups[0], &resolvers, name, DNS_TYPE_A);
    lookup_start(&lookups[1], &resolvers, name, DNS_TYPE_AAAA);
    while (r >= 0 && (lookups[0].going || lookups[1].going)) {
        r = loop_dispatch(&loop, -1);
    }
    for (int i = 0; i < FAMILIES; i++) {
        if (lookups[i].going) {
            dns_exchange_cancel(&lookups[i].exchange);
        }
    }
    loop_fini(&loop);
    return r < 0 ? r : 0;
}

/* Where a list of nameservers stands in the policy. */
struct list {
    const char *field;
    const ln_endpoint *endpoints;
    size_t n;
};

int dns_upstream_resolve(const struct dns_upstream *upstream, const struct nameservers *host,
                         const char *field, const ln_endpoint *endpoint,
                         struct nameservers *servers, ln_error *reterr)
{
    if (endpoint->host == NULL) {
        add_server(servers, &endpoint->addr, endpoint->port);
        return 0;
    }
    struct lookup lookups[FAMILIES] = {0};
    if (strcmp(endpoint->host, "localhost") == 0) { /* RFC 6761 section 6.3 */
        ln_addr addr = ln_addr_v4(INADDR_LOOPBACK);
        add_server(servers, &addr, endpoint->port);
        return 0;
    }
    int r = look_up(upstream, host, endpoint->host, lookups);
    if (r < 0) {
        return fail_with(reterr, r, "%s: %s: %s", field, endpoint->host, strerror(-r));
    }
    const char *why = "it has no address";
    for (int i = 0; i < FAMILIES; i++) {
        if (lookups[i].found) {
            add_server(servers, &lookups[i].addr, endpoint->port);
        }
        why = lookups[i].why != NULL ? lookups[i].why : why;
    }
    return lookups[0].found || lookups[1].found
               ? 0
               : fail_with(reterr, -EHOSTUNREACH, "%s: %s does not resolve: %s", field,
                           endpoint->host, why);
}

/* Fills `servers` from a list of the policy. */
static int take_list(struct dns_upstream *upstream, const struct nameservers *host,
                     const struct list *list, struct nameservers *servers, ln_error *reterr)
{
    int r = 0;
    if (list->n > NAMESERVERS_MAX) {
        return fail_with(reterr, -E2BIG, "%s: found %zu; accepted: at most %u", list->field,
                         list->n, NAMESERVERS_MAX);
    }
    for (size_t i = 0; i < list->n && r == 0; i++) {
        r = dns_upstream_resolve(upstream, host, list->field, &list->endpoints[i], servers, reterr);
    }
    return r;
}

static int take_zones(struct dns_upstream *upstream, const struct nameservers *host,
                      const ln_settings *settings, ln_error *reterr)
{
    struct list root = {"dns.nameservers", settings->nameservers, settings->n_nameservers};
    upstream->zones[0].servers = settings->n_nameservers == 0 ? *host : (struct nameservers){0};
    int r = take_list(upstream, host, &root, &upstream->zones[0].servers, reterr);
    for (size_t i = 0; i < settings->n_dns_forwards && r == 0; i++) {
        const ln_dns_forward *forward = &settings->dns_forwards[i];
        struct list list = {"dns.forward", forward->servers, forward->n_servers};
        struct zone *zone = &upstream->zones[i + 1];
        strcpy(zone->name, forward->name); /* canonical, so it fits */
        r = take_list(upstream, host, &list, &zone->servers, reterr);
    }
    return r;
}

/* ---- life ---- */

int dns_upstream_init(struct dns_upstream *upstream, struct loop *loop,
                      const struct nameservers *host, const ln_settings *settings, ln_error *reterr)
{
    *upstream = (struct dns_upstream){.loop = loop, .timeout_ms = settings->dns_query_timeout_ms};
    upstream->datagram = malloc(DNS_MESSAGE_MAX);
    upstream->n_zones = 1 + settings->n_dns_forwards;
    upstream->zones = calloc(upstream->n_zones, sizeof(*upstream->zones));
    int r = upstream->datagram == NULL || upstream->zones == NULL
                ? fail_with(reterr, -ENOMEM, "out of memory")
                : take_zones(upstream, host, settings, reterr);
    if (r < 0) {
        dns_upstream_fini(upstream);
    }
    return r;
}

void dns_upstream_fini(struct dns_upstream *upstream)
{
    free(upstream->datagram);
    free(upstream->zones);
    upstream->datagram = NULL;
    upstream->zones = NULL;
}

void dns_upstream_swap(struct dns_upstream *upstream, struct dns_upstream *from)
{
    free(upstream->zones);
    upstream->zones = from->zones;
    upstream->n_zones = from->n_zones;
    from->zones = NULL;
    upstream->timeout_ms = from->timeout_ms;
    dns_upstream_fini(from);
}
