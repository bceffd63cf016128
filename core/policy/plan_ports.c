/* Ports of rules, and ports published on the host. */
#include <stdlib.h>
#include <string.h>

#include "policy/plan_parts.h"

#define A_PORT "1-65535, as 443, \"443\" or \"8000-9000\""

/* ---- ranges ---- */

int32_t port_parse(const char *at, const char *end)
{
    if (at == end) {
        return -1;
    }
    int32_t port = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return -1;
        }
        port = port > PORT_MAX ? port : port * 10 + (*at - '0');
    }
    return port > PORT_MAX ? PORT_MAX + 1 : port;
}

/* The two ends of what is written, -1 where it is no number. */
static void parse_range(const struct ln_value *value, int32_t *ret_first, int32_t *ret_last)
{
    int64_t integer;
    *ret_first = *ret_last = -1;
    if (value_integer(value, &integer)) {
        *ret_first = *ret_last = integer < 0          ? -1
                                 : integer > PORT_MAX ? PORT_MAX + 1
                                                      : (int32_t)integer;
    } else if (value->type == VALUE_STRING) {
        const char *at = value->string.data;
        const char *end = at + value->string.len;
        const char *dash = memchr(at, '-', value->string.len);
        *ret_first = port_parse(at, dash != NULL ? dash : end);
        *ret_last = dash != NULL ? port_parse(dash + 1, end) : *ret_first;
    }
}

static bool ranges_reserve(struct schema *schema, struct port_ranges *ports)
{
    if (ports->n < ports->room) {
        return true;
    }
    size_t room = ports->room == 0 ? 16 : ports->room * 2;
    ln_port_range *ranges = reallocarray(ports->ranges, room, sizeof(*ranges));
    if (ranges == NULL) {
        schema->out_of_memory = true;
        return false;
    }
    ports->ranges = ranges;
    ports->room = room;
    return true;
}

void read_port_range(struct schema *schema, const struct place *place, void *out)
{
    struct port_ranges *ports = out;
    int32_t first;
    int32_t last;
    parse_range(place->value, &first, &last);
    if (first < 0 || last < 0) {
        schema_wrong(schema, place, A_PORT, "it is neither a port nor a range of ports");
    } else if (first == 0 || last == 0) {
        schema_wrong(schema, place, A_PORT, "there is no port 0");
    } else if (first > PORT_MAX || last > PORT_MAX) {
        schema_wrong(schema, place, A_PORT, "the highest port is 65535");
    } else if (first > last) {
        schema_wrong(schema, place, A_PORT, "the range is reversed (did you mean \"%d-%d\"?)",
                     (int)last, (int)first);
    } else if (ranges_reserve(schema, ports)) {
        ports->ranges[ports->n++] = (ln_port_range){(uint16_t)first, (uint16_t)last};
    }
}

static int compare_ranges(const void *a, const void *b)
{
    const ln_port_range *x = a;
    const ln_port_range *y = b;
    return x->first != y->first ? x->first - y->first : x->last - y->last;
}

const ln_port_range *port_ranges_take(struct schema *schema, struct port_ranges *ports,
                                      size_t *ret_n)
{
    size_t n = 0;
    if (ports->n > 1) {
        qsort(ports->ranges, ports->n, sizeof(*ports->ranges), compare_ranges);
    }
    for (size_t i = 0; i < ports->n; i++) {
        ln_port_range next = ports->ranges[i];
        ln_port_range *last = n > 0 ? &ports->ranges[n - 1] : NULL;
        if (last != NULL && next.first <= last->last + 1) {
            last->last = next.last > last->last ? next.last : last->last;
        } else {
            ports->ranges[n++] = next;
        }
    }
    ports->n = 0;
    *ret_n = 0;
    if (n == 0) {
        return NULL;
    }
    ln_port_range *copy = schema_array(schema, n, sizeof(*copy));
    if (copy != NULL) {
        memcpy(copy, ports->ranges, n * sizeof(*copy));
        *ret_n = n;
    }
    return copy;
}

void port_ranges_free(struct port_ranges *ports)
{
    free(ports->ranges);
}

/* ---- published ports ---- */

enum { BINDINGS_MAX = 1024 /* each is a socket of the host */ };

struct bindings {
    ln_port_binding *bindings; /* room for BINDINGS_MAX */
    size_t n;
};

/* Adds a binding, which must not be of the same address, port and protocol as another. */
static void push_binding(struct schema *schema, const struct place *place, struct bindings *to,
                         ln_port_binding binding)
{
    if (to->n == BINDINGS_MAX) {
        schema_wrong(schema, place, NULL, "more than %d ports are published", BINDINGS_MAX);
        return;
    }
    for (size_t i = 0; i < to->n; i++) {
        const ln_port_binding *other = &to->bindings[i];
        if (other->host_port == binding.host_port && other->protocol == binding.protocol &&
            ln_addr_equal(&other->bind, &binding.bind)) {
            schema_wrong(schema, place, NULL, "the same address and port as %s", other->origin);
            return;
        }
    }
    binding.origin = schema_path(schema, place);
    to->bindings[to->n++] = binding;
}

static void read_port(struct schema *schema, const struct place *place, const struct field *field,
                      void *out)
{
    uint64_t port;
    if (schema_integer(schema, place, 1, PORT_MAX, &port)) {
        *(uint16_t *)((char *)out + field->offset) = (uint16_t)port;
    }
}

static void read_bind(struct schema *schema, const struct place *place, const struct field *field,
                      void *out)
{
    (void)field;
    ln_port_binding *binding = out;
    static const char *const accepted = "a local IP address such as \"127.0.0.1\" or \"::\"";
    if (schema_text(schema, place, accepted) &&
        ln_addr_parse(place->value->string.data, place->value->string.len, &binding->bind) < 0) {
        schema_wrong(schema, place, accepted, "it is not an IP address");
    }
}

static void read_binding_protocol(struct schema *schema, const struct place *place,
                                  const struct field *field, void *out)
{
    (void)field;
    static const char *const words[] = {"tcp", "udp"}; /* the order of ln_protocol */
    ln_port_binding *binding = out;
    unsigned protocol = LN_TCP;
    schema_choice(schema, place, "protocol", words, COUNT_OF(words), &protocol);
    binding->protocol = (ln_protocol)protocol;
}

static const struct field binding_fields[] = {
    {.key = "bind", .read = read_bind},
    {.key = "host_port", .read = read_port, .offset = offsetof(ln_port_binding, host_port)},
    {.key = "guest_port", .read = read_port, .offset = offsetof(ln_port_binding, guest_port)},
    {.key = "protocol", .read = read_binding_protocol},
};

static const uint32_t loopback = UINT32_C(0x7f000001);

static void add_binding(struct schema *schema, const struct place *place, void *out)
{
    struct bindings *to = out;
    ln_port_binding binding = {.bind = ln_addr_v4(loopback)};
    size_t mistakes = schema->mistakes;
    schema_table(schema, place, binding_fields, COUNT_OF(binding_fields), &binding);
    if (schema->mistakes == mistakes && binding.host_port == 0) {
        schema_missing(schema, place, "host_port", "a port of the host");
    }
    if (schema->mistakes == mistakes && binding.guest_port == 0) {
        schema_missing(schema, place, "guest_port", "a port of the guest");
    }
    if (schema->mistakes == mistakes) {
        push_binding(schema, place, to, binding);
    }
}

/* One pair of `ports`, {[host_port] = guest_port}. */
static void add_pair(struct schema *schema, const struct place *place, struct bindings *to)
{
    static const char *const accepted = "[host port] = guest port, each from 1 to 65535";
    int64_t host_port = place->index;
    if (place->key != NULL) {
        host_port = port_parse(place->key, place->key + place->key_len);
    }
    if (host_port < 1 || host_port > PORT_MAX) {
        schema_wrong_key(schema, place, accepted, "the key is not a port of the host");
        return;
    }
    uint64_t guest_port;
    if (schema_integer(schema, place, 1, PORT_MAX, &guest_port)) {
        push_binding(schema, place, to,
                     (ln_port_binding){.bind = ln_addr_v4(loopback),
                                       .host_port = (uint16_t)host_port,
                                       .guest_port = (uint16_t)guest_port,
                                       .protocol = LN_TCP});
    }
}

static void add_pairs(struct schema *schema, const struct place *place, struct bindings *to)
{
    if (place->value->type != VALUE_TABLE) {
        schema_wrong(schema, place, "a table {[host_port] = guest_port}", "it has the wrong type");
        return;
    }
    const struct value_table *table = place->value->table;
    for (size_t i = 0; i < table->n_items && !schema->out_of_memory; i++) {
        struct place item = place_of_item(place, i);
        add_pair(schema, &item, to);
    }
    for (size_t i = 0; i < table->n_entries && !schema->out_of_memory; i++) {
        struct place entry = place_of_entry(place, &table->entries[i]);
        if (entry.value->type != VALUE_NIL) {
            add_pair(schema, &entry, to);
        }
    }
}

void build_bindings(struct build *build)
{
    struct schema *schema = &build->schema;
    struct bindings to = {0};
    if (build->ports.value == NULL && build->port_bindings.value == NULL) {
        return;
    }
    to.bindings = schema_array(schema, BINDINGS_MAX, sizeof(*to.bindings));
    if (to.bindings == NULL) {
        return;
    }
    if (build->ports.value != NULL) {
        add_pairs(schema, &build->ports, &to);
    }
    if (build->port_bindings.value != NULL) {
        schema_each(schema, &build->port_bindings, "a list of bindings", add_binding, &to);
    }
    build->settings.bindings = to.bindings;
    build->settings.n_bindings = to.n;
}
