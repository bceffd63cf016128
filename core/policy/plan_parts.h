/* What the files that build a plan share: each reads one part of a configuration. */
#ifndef LN_POLICY_PLAN_PARTS_H
#define LN_POLICY_PLAN_PARTS_H

#include "policy/plan.h"
#include "policy/schema.h"

/* A plan under construction; what the fields of the configuration are read into. */
struct build {
    struct schema schema;
    struct plan *plan;    /* its rules are filled as they are read */
    ln_settings settings; /* the plan's, when done */
    /* What is read once the rest is known; a value of NULL: not given. */
    struct place policy, rules, default_egress, default_ingress;
    struct place deny_domains, deny_domain_suffixes;
    struct place dns, dns_rebind_protection;
    struct place ports, port_bindings;
    struct place tls, secrets, on_secret_violation, limits, max_connections;
};

/* ---- plan_names.c ---- */

/* A host name in canonical form. */
bool read_name(struct schema *schema, const struct place *place, const char **ret);
/* The same of a part of the value. */
bool read_name_part(struct schema *schema, const struct place *place, const char *text, size_t len,
                    const char *accepted, const char **ret);
/* A name, or a suffix: ".example.com", "*.example.com". */
bool read_pattern(struct schema *schema, const struct place *place, ln_name_pattern *ret);
/* A list of them, into arrays of the schema's arena. */
void read_patterns(struct schema *schema, const struct place *place, const ln_name_pattern **ret,
                   size_t *ret_n);
/* Where a rule applies: a string, or a table such as {domain = "db"}. */
bool read_destination(struct schema *schema, const struct place *place, ln_destination *ret);
/* Whether a table is a list of destinations and not one described by its kind. */
bool is_destination_list(const struct ln_value *value);
/* Parses a CIDR without host bits. */
bool read_prefix(struct schema *schema, const struct place *place, ln_prefix *ret);

/* ---- plan_ports.c ---- */

enum { PORT_MAX = 65535 };

/* Reads digits up to `end`. Returns the number, PORT_MAX + 1 for any larger one, or -1. */
int32_t port_parse(const char *at, const char *end);
/* Ranges as they are collected for one rule after another. */
struct port_ranges {
    ln_port_range *ranges;
    size_t n, room;
};
/* Item readers; `out` is a struct port_ranges. */
void read_port_range(struct schema *schema, const struct place *place, void *out);
/* Sorts and merges what was collected, and copies it. */
const ln_port_range *port_ranges_take(struct schema *schema, struct port_ranges *ports,
                                      size_t *ret_n);
void port_ranges_free(struct port_ranges *ports);
/* `ports` and `port_bindings`. */
void build_bindings(struct build *build);

/* ---- plan_rules.c, plan_http.c ---- */

/* A function's reference, 0 when it is something else, which is reported. */
int read_function(struct build *build, const struct place *place);

/* deny lists, then `rules` or what `policy` stands for; and the defaults. */
void build_rules(struct build *build);
/* The `http` table of a rule whose other fields have been read. */
const ln_http_match *read_http(struct build *build, const struct place *place, const ln_rule *rule);

/* ---- plan_settings.c ---- */

/* What holds where a policy is silent. */
void settings_defaults(ln_settings *settings);
void build_limits(struct build *build);
/* A field reader for the pools; `out` is the struct build. */
void read_pool(struct schema *schema, const struct place *place, const struct field *field,
               void *out);
/* Of ln_settings. */
extern const struct field rate_limit_fields[2], byte_budget_fields[2], geoip_fields[2];

/* ---- plan_dns.c, plan_tls.c, plan_secrets.c, plan_proxy.c ---- */

void build_dns(struct build *build);
/* "HOST", "HOST:PORT" or "[IPV6]:PORT", part of the value; ret->port stays where none is given. */
bool read_endpoint(struct schema *schema, const struct place *place, const char *text, size_t len,
                   const char *accepted, ln_endpoint *ret);
/* A field reader; `out` is the struct build. */
void read_upstream_proxy(struct schema *schema, const struct place *place,
                         const struct field *field, void *out);
void build_tls(struct build *build);
void build_secrets(struct build *build);
/* A string or a list of strings. */
void read_texts(struct schema *schema, const struct place *place, const char *const **ret,
                size_t *ret_n);

#endif
