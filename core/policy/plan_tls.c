/* The `tls` table: interception, and how upstream is verified. */
#include <string.h>

#include "policy/plan_parts.h"

/* ---- lists ---- */

struct texts {
    const char **texts;
    size_t n;
};

static void add_text(struct schema *schema, const struct place *place, void *out)
{
    struct texts *to = out;
    if (schema_text(schema, place, "a string")) {
        to->texts[to->n++] = schema_copy(schema, place);
    }
}

void read_texts(struct schema *schema, const struct place *place, const char *const **ret,
                size_t *ret_n)
{
    struct texts to = {0};
    to.texts = schema_array(schema, value_count(place->value), sizeof(*to.texts));
    if (to.texts != NULL) {
        schema_one_or_each(schema, place, add_text, &to);
        *ret = to.texts;
        *ret_n = to.n;
    }
}

struct numbers {
    uint16_t *numbers;
    size_t n;
};

static void add_port(struct schema *schema, const struct place *place, void *out)
{
    struct numbers *to = out;
    uint64_t port;
    if (schema_integer(schema, place, 1, PORT_MAX, &port)) {
        to->numbers[to->n++] = (uint16_t)port;
    }
}

/* ---- fields; `out` is a ln_tls_settings ---- */

static void read_intercepted_ports(struct schema *schema, const struct place *place,
                                   const struct field *field, void *out)
{
    (void)field;
    ln_tls_settings *tls = out;
    struct numbers to = {0};
    size_t mistakes = schema->mistakes;
    to.numbers = schema_array(schema, value_count(place->value), sizeof(*to.numbers));
    if (to.numbers == NULL) {
        return;
    }
    schema_each(schema, place, "a list of ports such as { 443, 8443 }", add_port, &to);
    if (schema->mistakes == mistakes) { /* else nothing is said of what hangs on them */
        tls->ports = to.numbers;
        tls->n_ports = to.n;
    }
}

static void read_bypass(struct schema *schema, const struct place *place, const struct field *field,
                        void *out)
{
    (void)field;
    ln_tls_settings *tls = out;
    read_patterns(schema, place, &tls->bypass, &tls->n_bypass);
}

static void read_upstream_ca_certs(struct schema *schema, const struct place *place,
                                   const struct field *field, void *out)
{
    (void)field;
    ln_tls_settings *tls = out;
    read_texts(schema, place, &tls->upstream_ca_certs, &tls->n_upstream_ca_certs);
}

/* The number of entries of a table {[host pattern] = value}, 0 when it is something else, which is
 * reported. */
static size_t count_hosts(struct schema *schema, const struct place *place)
{
    static const char *const accepted = "a table {[\"host or suffix\"] = value}";
    if (place->value->type != VALUE_TABLE) {
        schema_wrong(schema, place, accepted, "it has the wrong type");
        return 0;
    }
    if (place->value->table->n_items > 0) {
        schema_wrong(schema, place, accepted, "it is a list");
    }
    return place->value->table->n_entries;
}

/* Reads the key of an entry as a pattern, and says where the value is. */
static bool read_host(struct schema *schema, const struct place *up,
                      const struct value_entry *entry, ln_name_pattern *ret,
                      struct place *ret_place)
{
    *ret_place = place_of_entry(up, entry);
    struct place key = *ret_place;
    key.value = &entry->key;
    return read_pattern(schema, &key, ret);
}

static void read_ca_certs_for(struct schema *schema, const struct place *place,
                              const struct field *field, void *out)
{
    (void)field;
    ln_tls_settings *tls = out;
    size_t n = count_hosts(schema, place);
    ln_tls_ca_certs_for *list = schema_array(schema, n, sizeof(*list));
    for (size_t i = 0; i < n && !schema->out_of_memory; i++) {
        struct place at;
        if (read_host(schema, place, &place->value->table->entries[i], &list[i].host, &at)) {
            read_texts(schema, &at, &list[i].paths, &list[i].n_paths);
        }
    }
    tls->ca_certs_for = list;
    tls->n_ca_certs_for = n;
}

static void read_verify_for(struct schema *schema, const struct place *place,
                            const struct field *field, void *out)
{
    (void)field;
    ln_tls_settings *tls = out;
    size_t n = count_hosts(schema, place);
    ln_tls_verify_for *list = schema_array(schema, n, sizeof(*list));
    for (size_t i = 0; i < n && !schema->out_of_memory; i++) {
        struct place at;
        if (read_host(schema, place, &place->value->table->entries[i], &list[i].host, &at)) {
            schema_bool(schema, &at, &list[i].verify);
        }
    }
    tls->verify_for = list;
    tls->n_verify_for = n;
}

static const struct field tls_fields[] = {
    {.key = "bypass", .read = read_bypass},
    {.key = "verify_upstream",
     .read = read_bool,
     .offset = offsetof(ln_tls_settings, verify_upstream)},
    {.key = "intercepted_ports", .read = read_intercepted_ports},
    {.key = "block_quic", .read = read_bool, .offset = offsetof(ln_tls_settings, block_quic)},
    {.key = "ca_cert", .read = read_text, .offset = offsetof(ln_tls_settings, ca_cert)},
    {.key = "ca_key", .read = read_text, .offset = offsetof(ln_tls_settings, ca_key)},
    {.key = "upstream_ca_certs", .read = read_upstream_ca_certs},
    {.key = "upstream_ca_certs_for", .read = read_ca_certs_for},
    {.key = "verify_upstream_for", .read = read_verify_for},
};

void build_tls(struct build *build)
{
    static const uint16_t https[] = {443};
    ln_tls_settings *tls = &build->settings.tls;
    *tls = (ln_tls_settings){
        .verify_upstream = true, .block_quic = true, .ports = https, .n_ports = COUNT_OF(https)};
    const struct place *place = &build->tls;
    if (place->value == NULL) {
        return;
    }
    size_t mistakes = build->schema.mistakes;
    schema_table(&build->schema, place, tls_fields, COUNT_OF(tls_fields), tls);
    tls->intercept = true;
    tls->line = place_line(place);
    if (build->schema.mistakes == mistakes && (tls->ca_cert == NULL) != (tls->ca_key == NULL)) {
        schema_missing(&build->schema, place, tls->ca_cert == NULL ? "ca_cert" : "ca_key",
                       "both ca_cert and ca_key, or neither");
    }
}
