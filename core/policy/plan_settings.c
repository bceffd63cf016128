/* Settings: pools, rate limits, budgets, limits, GeoIP. */
#include <string.h>

#include "policy/plan_parts.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

/* ---- limits ---- */

#define LIMIT(member, least, most)                                                                 \
    {                                                                                              \
        .key = #member, .read = read_u32, .offset = offsetof(ln_limits, member), .min = (least),   \
        .max = (most)                                                                              \
    }
static const struct field limit_fields[] = {
    LIMIT(max_connections, 1, 1 << 20),
    LIMIT(half_open, 1, 1 << 20),
    LIMIT(tcp_connect_ms, 100, HOUR_MS),
    LIMIT(tcp_half_open_ms, 100, HOUR_MS),
    LIMIT(tcp_idle_ms, 1000, 7 * DAY_MS),
    LIMIT(tcp_keepalive_ms, 1000, 7 * DAY_MS),
    LIMIT(udp_one_way_ms, 100, DAY_MS),
    LIMIT(udp_two_way_ms, 100, DAY_MS),
    LIMIT(first_flight_bytes, 64, 1 << 20),
    LIMIT(first_flight_ms, 10, MINUTE_MS),
    LIMIT(client_hello_bytes, 512, 1 << 20),
    LIMIT(client_hello_ms, 10, 10 * MINUTE_MS),
    LIMIT(fragments, 1, 4096),
    LIMIT(fragment_bytes, 1500, 65535),
    LIMIT(fragment_ms, 100, 2 * MINUTE_MS),
    LIMIT(pin_names, 16, 1 << 20),
    LIMIT(pin_addresses, 1, 1024),
    LIMIT(dns_in_flight, 1, 65535),
    LIMIT(dns_tcp_idle_ms, 100, HOUR_MS),
    LIMIT(dns_cache_entries, 16, 1 << 20),
    LIMIT(dns_cache_bytes, 64 * 1024, 1 << 30),
    LIMIT(leaf_certificates, 1, 1 << 20),
    LIMIT(leaf_valid_s, 60, 30 * 24 * 3600),
    LIMIT(http_header_bytes, 1024, 1 << 20),
    LIMIT(h2_header_list_bytes, 1024, 1 << 20),
    LIMIT(h2_streams, 1, 10000),
    LIMIT(handler_ms, 1, 1000),
    {.key = "handler_instructions",
     .read = read_u64,
     .offset = offsetof(ln_limits, handler_instructions),
     .min = 1000,
     .max = UINT64_C(1000000000)},
};
#undef LIMIT

void settings_defaults(ln_settings *settings)
{
    *settings = (ln_settings){
        .default_egress = LN_DENY,
        .default_ingress = LN_ALLOW,
        .dns_rebind_protection = true,
        .dns_query_timeout_ms = 5000,
        .dns_cache = true,
        .dns_budget = {.queries = 600, .labels = 128, .bytes = 2048},
        .ipv4_pool = {.addr = ln_addr_v4(UINT32_C(0xac100000)), .bits = 96 + 12},
        .ipv6_pool = {.addr.bytes = {0xfd, 0x42, 0x6d, 0x73, 0x00, 0x62}, .bits = 48},
        .limits = {.max_connections = 4096,
                   .half_open = 512,
                   .tcp_connect_ms = 10 * 1000,
                   .tcp_half_open_ms = 75 * 1000,
                   .tcp_idle_ms = 2 * HOUR_MS + 4 * MINUTE_MS, /* RFC 5382 section 5 */
                   .tcp_keepalive_ms = 15 * MINUTE_MS,
                   .udp_one_way_ms = 30 * 1000,
                   .udp_two_way_ms = 180 * 1000,
                   .first_flight_bytes = 16 * 1024,
                   .first_flight_ms = 5 * 1000,
                   .client_hello_bytes = 64 * 1024,
                   .client_hello_ms = 10 * 1000,
                   .fragments = 64,
                   .fragment_bytes = 65535,
                   .fragment_ms = 10 * 1000,
                   .pin_names = 4096,
                   .pin_addresses = 64,
                   .dns_in_flight = 256,
                   .dns_tcp_idle_ms = 30 * 1000,
                   .dns_cache_entries = 4096,
                   .dns_cache_bytes = 4 * 1024 * 1024,
                   .leaf_certificates = 1000,
                   .leaf_valid_s = 24 * 3600,
                   .http_header_bytes = 64 * 1024,
                   .h2_header_list_bytes = 64 * 1024,
                   .h2_streams = 100,
                   .handler_ms = 5,
                   .handler_instructions = 1000000},
    };
}

void build_limits(struct build *build)
{
    struct schema *schema = &build->schema;
    ln_limits *limits = &build->settings.limits;
    if (build->limits.value != NULL) {
        schema_table(schema, &build->limits, limit_fields, COUNT_OF(limit_fields), limits);
        const struct ln_value *inner = value_get(build->limits.value, "max_connections");
        if (inner != NULL && build->max_connections.value != NULL) {
            struct place twice = place_of_key(&build->limits, "max_connections", inner);
            schema_wrong(schema, &twice, NULL, "it is given twice: here and as `max_connections`");
        }
    }
    if (build->max_connections.value != NULL) {
        read_u32(schema, &build->max_connections, &limit_fields[0], limits);
    }
    if (limits->half_open > limits->max_connections) {
        limits->half_open = limits->max_connections;
    }
}

/* ---- pools ---- */

void read_pool(struct schema *schema, const struct place *place, const struct field *field,
               void *out)
{
    bool v4 = field->offset == offsetof(struct build, settings.ipv4_pool);
    unsigned longest = v4 ? 96 + 30 : 64;
    ln_prefix pool;
    if (!read_prefix(schema, place, &pool)) {
        return;
    }
    ln_group group = ln_addr_group(&pool.addr, NULL);
    if (ln_prefix_is_v4(&pool) != v4) {
        schema_wrong(schema, place, v4 ? "an IPv4 CIDR" : "an IPv6 CIDR", "the family is wrong");
    } else if (pool.bits > longest) {
        schema_wrong(schema, place, v4 ? "a /30 or larger" : "a /64 or larger",
                     "the pool has no room for one sandbox");
    } else if (ln_addr_is_never(&pool.addr) || group == LN_GROUP_LOOPBACK ||
               group == LN_GROUP_MULTICAST || group == LN_GROUP_LINK_LOCAL) {
        schema_wrong(schema, place, NULL, "no guest can have addresses of this range");
    } else {
        *(ln_prefix *)((char *)out + field->offset) = pool;
    }
}

/* ---- rate limits ---- */

#define BUCKET(member, least, most)                                                                \
    {                                                                                              \
        .key = #member, .read = read_u64, .offset = offsetof(ln_bucket, member), .min = (least),   \
        .max = (most)                                                                              \
    }
static const struct field bucket_fields[] = {
    BUCKET(size, 1, UINT64_C(1) << 40),
    BUCKET(refill_ms, 1, DAY_MS),
    BUCKET(burst, 0, UINT64_C(1) << 40),
};
#undef BUCKET

static void read_bucket(struct schema *schema, const struct place *place, const struct field *field,
                        void *out)
{
    ln_bucket *bucket = (ln_bucket *)((char *)out + field->offset);
    size_t mistakes = schema->mistakes;
    schema_table(schema, place, bucket_fields, COUNT_OF(bucket_fields), bucket);
    if (schema->mistakes == mistakes && bucket->size == 0) {
        schema_missing(schema, place, "size", "tokens per refill_ms");
    }
    if (schema->mistakes == mistakes && bucket->refill_ms == 0) {
        schema_missing(schema, place, "refill_ms", "milliseconds");
    }
}

static const struct field egress_fields[] = {
    {.key = "bandwidth", .read = read_bucket, .offset = offsetof(ln_settings, egress_bytes)},
    {.key = "packets", .read = read_bucket, .offset = offsetof(ln_settings, egress_packets)},
};
static const struct field ingress_fields[] = {
    {.key = "bandwidth", .read = read_bucket, .offset = offsetof(ln_settings, ingress_bytes)},
    {.key = "packets", .read = read_bucket, .offset = offsetof(ln_settings, ingress_packets)},
};
const struct field rate_limit_fields[2] = {
    {.key = "egress", .read = read_table, .fields = egress_fields, .n_fields = 2},
    {.key = "ingress", .read = read_table, .fields = ingress_fields, .n_fields = 2},
};

/* ---- budgets ---- */

#define SIZE_MAX_BYTES (UINT64_C(1) << 50)
#define SIZE_ACCEPTED  "a number of bytes from 1 to 2^50, or a text such as \"500MB\" or \"10GiB\""

static const struct unit {
    const char *name;
    uint64_t bytes;
} units[] = {
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000 * 1000 * 1000},
    {"TB", UINT64_C(1000) * 1000 * 1000 * 1000},
    {"KiB", 1 << 10},
    {"MiB", 1 << 20},
    {"GiB", 1 << 30},
    {"TiB", UINT64_C(1) << 40},
};

/* "10MiB": digits and a unit. Returns the bytes; 0: it is not that; UINT64_MAX: too many. */
static uint64_t parse_size(const char *text, size_t len)
{
    uint64_t number = 0;
    size_t at = 0;
    for (; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
        number = number > SIZE_MAX_BYTES ? number : number * 10 + (uint64_t)(text[at] - '0');
    }
    for (size_t i = 0; at > 0 && i < COUNT_OF(units); i++) {
        if (strlen(units[i].name) == len - at && memcmp(units[i].name, text + at, len - at) == 0) {
            return number > SIZE_MAX_BYTES / units[i].bytes ? UINT64_MAX : number * units[i].bytes;
        }
    }
    return 0;
}

static void read_size(struct schema *schema, const struct place *place, const struct field *field,
                      void *out)
{
    const struct ln_value *value = place->value;
    uint64_t *size = (uint64_t *)((char *)out + field->offset);
    int64_t integer;
    if (value->type == VALUE_STRING) {
        uint64_t bytes = parse_size(value->string.data, value->string.len);
        if (bytes == 0 || bytes > SIZE_MAX_BYTES) {
            schema_wrong(schema, place, SIZE_ACCEPTED,
                         bytes == 0 ? "it is not a size" : "it is too large");
        } else {
            *size = bytes;
        }
    } else if (!value_integer(value, &integer)) {
        schema_wrong(schema, place, SIZE_ACCEPTED, "it is not a size");
    } else if (integer < 1 || (uint64_t)integer > SIZE_MAX_BYTES) {
        schema_wrong(schema, place, SIZE_ACCEPTED,
                     integer < 1 ? "it is too small" : "it is too large");
    } else {
        *size = (uint64_t)integer;
    }
}

const struct field byte_budget_fields[2] = {
    {.key = "egress", .read = read_size, .offset = offsetof(ln_settings, egress_budget)},
    {.key = "ingress", .read = read_size, .offset = offsetof(ln_settings, ingress_budget)},
};

/* ---- GeoIP ---- */

const struct field geoip_fields[2] = {
    {.key = "country_db", .read = read_text, .offset = offsetof(ln_settings, country_db)},
    {.key = "asn_db", .read = read_text, .offset = offsetof(ln_settings, asn_db)},
};
