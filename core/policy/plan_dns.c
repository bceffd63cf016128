/* The table `dns`: nameservers, and what is answered without them. */
#include <string.h>

#include "policy/plan_parts.h"

#define A_NAMESERVER "IP, IP:PORT, HOST, HOST:PORT or [IPV6]:PORT"

enum { DNS_PORT = 53, HOUR_MS = 60 * 60 * 1000 };

struct endpoints {
    ln_endpoint *endpoints;
    size_t n;
};

/* Cuts ":PORT" off the end of "HOST:PORT" or "[ADDR]:PORT", and the brackets. A bare IPv6 address,
 * which has more than one colon, stays whole. Returns whether the shape is right. */
static bool cut_port(const char **at, size_t *len, uint16_t *port)
{
    const char *end = *at + *len;
    const char *colon = memchr(*at, ':', *len);
    if (**at == '[') {
        const char *close = memchr(*at, ']', *len);
        if (close == NULL || (close + 1 < end && close[1] != ':')) {
            return false;
        }
        *at += 1;
        *len = (size_t)(close - *at);
        colon = close + 1;
    } else if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL) {
        return true;
    } else {
        *len = (size_t)(colon - *at);
    }
    if (colon == end) {
        return true;
    }
    int32_t number = port_parse(colon + 1, end);
    *port = (uint16_t)number;
    return number >= 1 && number <= PORT_MAX;
}

static void add_nameserver(struct schema *schema, const struct place *place, void *out)
{
    struct endpoints *to = out;
    if (!schema_text(schema, place, A_NAMESERVER)) {
        return;
    }
    ln_endpoint endpoint = {.port = DNS_PORT};
    const char *host = place->value->string.data;
    size_t len = place->value->string.len;
    if (!cut_port(&host, &len, &endpoint.port)) {
        schema_wrong(schema, place, A_NAMESERVER, "it is not a nameserver");
        return;
    }
    bool is_addr = ln_addr_parse(host, len, &endpoint.addr) == 0;
    if (is_addr || read_name_part(schema, place, host, len, A_NAMESERVER, &endpoint.host)) {
        to->endpoints[to->n++] = endpoint;
    }
}

static void read_nameservers(struct schema *schema, const struct place *place,
                             const struct field *field, void *out)
{
    (void)field;
    ln_settings *settings = out;
    struct endpoints to = {0};
    to.endpoints = schema_array(schema, value_count(place->value), sizeof(*to.endpoints));
    if (to.endpoints != NULL) {
        schema_each(schema, place, "a list of nameservers", add_nameserver, &to);
        settings->nameservers = to.endpoints;
        settings->n_nameservers = to.n;
    }
}

static const struct field dns_fields[] = {
    {.key = "rebind_protection",
     .read = read_bool,
     .offset = offsetof(ln_settings, dns_rebind_protection)},
    {.key = "nameservers", .read = read_nameservers},
    {.key = "query_timeout_ms",
     .read = read_u32,
     .offset = offsetof(ln_settings, dns_query_timeout_ms),
     .min = 1,
     .max = HOUR_MS},
    {.key = "cache", .read = read_bool, .offset = offsetof(ln_settings, dns_cache)},
};

void build_dns(struct build *build)
{
    struct schema *schema = &build->schema;
    ln_settings *settings = &build->settings;
    if (build->dns_rebind_protection.value != NULL) {
        schema_bool(schema, &build->dns_rebind_protection, &settings->dns_rebind_protection);
    }
    if (build->dns.value != NULL) {
        schema_table(schema, &build->dns, dns_fields, COUNT_OF(dns_fields), settings);
    }
}
