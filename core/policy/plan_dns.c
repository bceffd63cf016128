/* The table `dns`: nameservers, and what is answered without them. */
#include <stdlib.h>
#include <string.h>

#include "policy/plan_parts.h"

#define A_NAMESERVER "IP, IP:PORT, HOST, HOST:PORT or [IPV6]:PORT"

enum {
    DNS_PORT = 53,
    HOUR_MS = 60 * 60 * 1000,
    HOST_ADDRS_MAX = 64, /* of one name, as pins */
    FORWARDS_MAX = 64,   /* a query looks at each */
    SEARCH_MAX = 6,      /* resolv.conf(5) */
    SEARCH_BYTES_MAX = 256
};

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

bool read_endpoint(struct schema *schema, const struct place *place, const char *text, size_t len,
                   const char *accepted, ln_endpoint *ret)
{
    if (len == 0 || !cut_port(&text, &len, &ret->port)) {
        schema_wrong(schema, place, accepted, "its host or port is not well formed");
        return false;
    }
    return ln_addr_parse(text, len, &ret->addr) == 0 ||
           read_name_part(schema, place, text, len, accepted, &ret->host);
}

static void add_nameserver(struct schema *schema, const struct place *place, void *out)
{
    struct endpoints *to = out;
    ln_endpoint endpoint = {.port = DNS_PORT};
    if (schema_text(schema, place, A_NAMESERVER) &&
        read_endpoint(schema, place, place->value->string.data, place->value->string.len,
                      A_NAMESERVER, &endpoint)) {
        to->endpoints[to->n++] = endpoint;
    }
}

/* A list of nameservers. */
static void read_endpoints(struct schema *schema, const struct place *place,
                           const ln_endpoint **ret, size_t *ret_n)
{
    struct endpoints to = {0};
    to.endpoints = schema_array(schema, value_count(place->value), sizeof(*to.endpoints));
    if (to.endpoints != NULL) {
        schema_each(schema, place, "a list of nameservers", add_nameserver, &to);
        *ret = to.endpoints;
        *ret_n = to.n;
    }
}

static void read_nameservers(struct schema *schema, const struct place *place,
                             const struct field *field, void *out)
{
    (void)field;
    ln_settings *settings = out;
    read_endpoints(schema, place, &settings->nameservers, &settings->n_nameservers);
}

/* ---- tables by name ---- */

/* The number of entries of a table {[name] = value}, 0 when it is something else, which is
 * reported. */
static size_t count_names(struct schema *schema, const struct place *place, const char *accepted)
{
    bool is_list = place->value->type == VALUE_TABLE && place->value->table->n_items > 0;
    if (place->value->type != VALUE_TABLE || is_list) {
        schema_wrong(schema, place, accepted, is_list ? "it is a list" : "it has the wrong type");
        return 0;
    }
    return place->value->table->n_entries;
}

/* Reads the key of an entry as a name; a dot or "*." may stand before it where `suffix`. Writes
 * where the value is. */
static bool read_key(struct schema *schema, const struct place *up, const struct value_entry *entry,
                     bool suffix, const char **ret, struct place *ret_place)
{
    ln_name_pattern pattern = {0};
    *ret_place = place_of_entry(up, entry);
    struct place key = *ret_place;
    key.value = &entry->key;
    if (!suffix) {
        return read_name(schema, &key, ret);
    }
    if (!read_pattern(schema, &key, &pattern)) {
        return false;
    }
    *ret = pattern.name;
    return true;
}

/* Reports when two entries of a sorted list are the same but for their spelling. */
static void check_twice(struct schema *schema, const struct place *place, const char *a,
                        const char *b)
{
    if (strcmp(a, b) == 0) {
        schema_wrong(schema, place, NULL, "%s is given twice, in different spellings", a);
    }
}

/* ---- hosts ---- */

#define A_HOST_ADDRS "an IP address, or a list of them"

struct host_addrs {
    ln_addr *addrs;
    size_t n;
};

static void add_host_addr(struct schema *schema, const struct place *place, void *out)
{
    struct host_addrs *to = out;
    ln_addr addr;
    if (!schema_text(schema, place, A_HOST_ADDRS)) {
        return;
    }
    if (ln_addr_parse(place->value->string.data, place->value->string.len, &addr) < 0) {
        schema_wrong(schema, place, A_HOST_ADDRS, "it is not an IP address");
    } else if (ln_addr_is_never(&addr)) {
        schema_wrong(schema, place, NULL, "no policy can open this address");
    } else {
        to->addrs[to->n++] = addr;
    }
}

static int compare_hosts(const void *a, const void *b)
{
    return strcmp(((const ln_dns_host *)a)->name, ((const ln_dns_host *)b)->name);
}

static void read_host(struct schema *schema, const struct place *place, ln_dns_host *ret)
{
    size_t n = value_count(place->value);
    struct host_addrs to = {.addrs = schema_array(schema, n, sizeof(*to.addrs))};
    if (n == 0 || n > HOST_ADDRS_MAX) {
        schema_wrong(schema, place, "1 to 64 addresses", "there are %zu", n);
    } else if (to.addrs != NULL) {
        schema_one_or_each(schema, place, add_host_addr, &to);
        ret->addrs = to.addrs;
        ret->n_addrs = to.n;
    }
}

static void read_hosts(struct schema *schema, const struct place *place, const struct field *field,
                       void *out)
{
    (void)field;
    ln_settings *settings = out;
    size_t entries = count_names(schema, place, "a table {[\"db.corp.example\"] = \"10.0.0.5\"}");
    ln_dns_host *hosts = schema_array(schema, entries, sizeof(*hosts));
    size_t n = 0;
    for (size_t i = 0; i < entries && !schema->out_of_memory; i++) {
        struct place at;
        if (read_key(schema, place, &place->value->table->entries[i], false, &hosts[n].name, &at)) {
            read_host(schema, &at, &hosts[n++]);
        }
    }
    if (n == 0 || schema->out_of_memory) {
        return;
    }
    qsort(hosts, n, sizeof(*hosts), compare_hosts);
    for (size_t i = 1; i < n; i++) {
        check_twice(schema, place, hosts[i - 1].name, hosts[i].name);
    }
    settings->dns_hosts = hosts;
    settings->n_dns_hosts = n;
}

/* ---- forwards ---- */

static int compare_forwards(const void *a, const void *b)
{
    return strcmp(((const ln_dns_forward *)a)->name, ((const ln_dns_forward *)b)->name);
}

static void read_forward(struct schema *schema, const struct place *place,
                         const struct field *field, void *out)
{
    (void)field;
    ln_settings *settings = out;
    size_t entries = count_names(schema, place, "a table {[\".corp.example\"] = {\"10.0.0.53\"}}");
    if (entries > FORWARDS_MAX) {
        schema_wrong(schema, place, "at most 64 suffixes", "there are %zu", entries);
        return;
    }
    ln_dns_forward *forwards = schema_array(schema, entries, sizeof(*forwards));
    size_t n = 0;
    for (size_t i = 0; i < entries && !schema->out_of_memory; i++) {
        struct place at;
        ln_dns_forward *forward = &forwards[n];
        if (!read_key(schema, place, &place->value->table->entries[i], true, &forward->name, &at)) {
            continue;
        }
        n++;
        read_endpoints(schema, &at, &forward->servers, &forward->n_servers);
        if (at.value->type == VALUE_TABLE && value_count(at.value) == 0) {
            schema_wrong(schema, &at, NULL, "the list of nameservers is empty");
        }
    }
    if (n == 0 || schema->out_of_memory) {
        return;
    }
    qsort(forwards, n, sizeof(*forwards), compare_forwards);
    for (size_t i = 1; i < n; i++) {
        check_twice(schema, place, forwards[i - 1].name, forwards[i].name);
    }
    settings->dns_forwards = forwards;
    settings->n_dns_forwards = n;
}

/* ---- search ---- */

struct search_list {
    const char **names;
    size_t n, bytes;
};

static void add_search(struct schema *schema, const struct place *place, void *out)
{
    struct search_list *to = out;
    if (read_name(schema, place, &to->names[to->n])) {
        to->bytes += strlen(to->names[to->n++]) + 1;
    }
}

static void read_search(struct schema *schema, const struct place *place, const struct field *field,
                        void *out)
{
    (void)field;
    ln_settings *settings = out;
    struct search_list to = {0};
    to.names = schema_array(schema, value_count(place->value), sizeof(*to.names));
    if (to.names == NULL) {
        return;
    }
    schema_each(schema, place, "a list of names", add_search, &to);
    if (to.n > SEARCH_MAX || to.bytes > SEARCH_BYTES_MAX) {
        schema_wrong(schema, place, "at most 6 names, of 256 bytes in all",
                     "more would not fit in the guest's resolv.conf");
    }
    settings->dns_search = to.names;
    settings->n_dns_search = to.n;
}

/* ---- the budget ---- */

#define AMOUNT(member, most)                                                                       \
    {                                                                                              \
        .key = #member, .read = read_u32, .offset = offsetof(ln_dns_budget, member), .min = 1,     \
        .max = (most)                                                                              \
    }
static const struct field budget_fields[] = {
    AMOUNT(queries, 1000000),
    AMOUNT(labels, 10000), /* lunette remembers 16384 of all domains */
    AMOUNT(bytes, 1 << 30),
};
#undef AMOUNT

static void read_budget(struct schema *schema, const struct place *place, const struct field *field,
                        void *out)
{
    (void)field;
    ln_dns_budget *budget = &((ln_settings *)out)->dns_budget;
    if (place->value->type == VALUE_BOOLEAN && !place->value->boolean) {
        budget->scope = LN_BUDGET_NONE;
    } else if (place->value->type == VALUE_TABLE) {
        budget->scope = LN_BUDGET_ALL;
        schema_table(schema, place, budget_fields, COUNT_OF(budget_fields), budget);
    } else {
        schema_wrong(schema, place, "false, or a table {queries =, labels =, bytes =}",
                     "it has the wrong type");
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
    {.key = "budget", .read = read_budget},
    {.key = "hosts", .read = read_hosts},
    {.key = "search", .read = read_search},
    {.key = "forward", .read = read_forward},
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
