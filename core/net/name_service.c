/* Port 53 of every address, over UDP and TCP: the guest's queries go to dns/server.h, and what that
 * wants to know to dns_upstream.h. This file: datagrams, and the service's life.
 *
 * Neither UDP queries nor streams are judged or told as flows: each query is (server.c). Streams
 * count towards max_connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "net/name_service.h"

void name_tell_over_limit(struct name_service *service)
{
    for (; service->server.over_limit > 0; service->server.over_limit--) {
        gateway_over_limit(service->gw, LIMIT_DNS);
    }
}

/* ---- datagrams ---- */

void name_send_datagram(ln_gateway *gw, const struct dns_asker *asker, size_t len)
{
    bool v6 = !ln_addr_is_v4(&asker->guest);
    uint8_t *frame = name_reply_buffer(gw) - ETH_LEN - (v6 ? IPV6_LEN : IPV4_LEN) - UDP_LEN;
    lane_spend(&gw->lanes[LN_INGRESS], lane_within(&gw->lanes[LN_INGRESS], len));
    size_t frame_len = build_udp(frame, gw->guest_mac, gw->link.gateway_mac, v6, &asker->resolver,
                                 DNS_PORT, &asker->guest, asker->guest_port, len);
    gateway_send_packet(gw, frame, frame_len);
}

struct dns_asker name_asker(const ln_gateway *gw, const struct flow_key *key, ln_protocol transport)
{
    return (struct dns_asker){
        .transport = transport,
        .guest = key->guest,
        .resolver = key->peer,
        .guest_port = key->guest_port,
        .resolver_port = key->peer_port,
        .flows = flow_table_live(&gw->flows),
    };
}

void name_service_udp(ln_gateway *gw, const struct packet *packet)
{
    struct flow_key key = gateway_key(packet);
    if (ln_addr_group(&packet->dst, NULL) == LN_GROUP_MULTICAST) {
        gateway_drop(gw, DROP_DESTINATION); /* nobody could answer from there */
        return;
    }
    struct dns_asker asker = name_asker(gw, &key, LN_UDP);
    size_t len =
        name_ask(gw->names, NULL, &asker, packet->frame + packet->payload, packet->payload_len);
    if (len > 0) {
        name_send_datagram(gw, &asker, len);
    }
    name_tell_over_limit(gw->names);
}

/* ---- life ---- */

/* The cache that the policy wants, empty. Without memory there is none, which costs time only. */
static void start_cache(struct name_service *service)
{
    const ln_settings *settings = ln_policy_settings(service->gw->admission.policy);
    const ln_limits *limits = &settings->limits;
    const struct host_services *services = &service->gw->loop.services;
    uint8_t key[16];
    services->random(services->user, key, sizeof(key));
    dns_cache_free(service->server.cache);
    service->server.cache =
        settings->dns_cache ? dns_cache_new(limits->dns_cache_entries, limits->dns_cache_bytes, key)
                            : NULL;
}

int name_service_start(ln_gateway *gw, const char *resolv_conf, ln_error *reterr)
{
    const ln_settings *settings = ln_policy_settings(gw->admission.policy);
    const char *path = resolv_conf != NULL ? resolv_conf : "/etc/resolv.conf";
    struct name_service *service = calloc(1, sizeof(*service));
    if (service == NULL) {
        return fail_with(reterr, -ENOMEM, "out of memory");
    }
    service->gw = gw;
    service->server = (struct dns_server){.admission = &gw->admission, .link = &gw->link};
    int r = resolv_conf_read(path, &service->host);
    if (r < 0 && settings->n_nameservers == 0) {
        free(service);
        return fail_with(reterr, r, "%s: %s", path, strerror(-r));
    }
    r = dns_upstream_init(&service->upstream, &gw->loop, &service->host, settings, reterr);
    if (r < 0) {
        free(service);
        return r;
    }
    uint8_t key[16];
    gw->loop.services.random(gw->loop.services.user, key, sizeof(key));
    service->hash_key = hash_key_from(key);
    service->server.budget = dns_budget_new(key);
    start_cache(service);
    gw->names = service;
    return service->server.budget != NULL ? 0 : fail_with(reterr, -ENOMEM, "out of memory");
}

void name_service_stop(ln_gateway *gw)
{
    struct name_service *service = gw->names;
    if (service == NULL) {
        return;
    }
    name_cancel_lookups(service, &service->lookups);
    dns_upstream_fini(&service->upstream);
    dns_cache_free(service->server.cache);
    dns_budget_free(service->server.budget);
    free(service);
    gw->names = NULL;
}

int name_service_prepare(ln_gateway *gw, const ln_policy *policy, struct dns_upstream *ret,
                         ln_error *reterr)
{
    return dns_upstream_init(ret, &gw->loop, &gw->names->host, ln_policy_settings(policy), reterr);
}

int name_service_resolve(ln_gateway *gw, const char *field, const ln_endpoint *endpoint,
                         ln_addr *ret, ln_error *reterr)
{
    struct nameservers found = {0};
    int r = dns_upstream_resolve(&gw->names->upstream, &gw->names->host, field, endpoint, &found,
                                 reterr);
    if (r == 0) {
        *ret = found.at[0].addr;
    }
    return r;
}

void name_service_forget(ln_gateway *gw)
{
    name_cancel_lookups(gw->names, &gw->names->lookups);
}

void name_service_reload(ln_gateway *gw, struct dns_upstream *prepared)
{
    struct name_service *service = gw->names;
    dns_upstream_swap(&service->upstream, prepared);
    start_cache(service);
    name_unshare_questions(service); /* they go to the resolvers of before */
}
