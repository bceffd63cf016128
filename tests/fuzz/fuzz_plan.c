/* Configurations of any shape, made of the schema's own words and of others: a plan comes out, or
 * problems do. The input is a script for the tree. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "policy/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { DEPTH_MAX = 6, NODES_MAX = 4000, CHILDREN_MAX = 12 };

struct script {
    const uint8_t *at, *end;
    struct arena arena;
    unsigned nodes;
};

static const char *const words[] = {
    "policy",
    "rules",
    "default_egress",
    "default_ingress",
    "deny_domains",
    "deny_domain_suffixes",
    "dns",
    "dns_rebind_protection",
    "tls",
    "ports",
    "port_bindings",
    "ipv4_pool",
    "ipv6_pool",
    "max_connections",
    "rate_limit",
    "budget",
    "upstream_proxy",
    "secrets",
    "on_secret_violation",
    "trust_host_cas",
    "geoip",
    "on_connect",
    "on_dns",
    "hosts",
    "search",
    "forward",
    "budget",
    "queries",
    "labels",
    "bytes",
    "cache",
    "deny_mode",
    "limits",
    "action",
    "direction",
    "destination",
    "protocol",
    "protocols",
    "port",
    "http",
    "when",
    "name",
    "domain",
    "suffix",
    "cidr",
    "ip",
    "group",
    "country",
    "continent",
    "asn",
    "rebind_protection",
    "nameservers",
    "query_timeout_ms",
    "bypass",
    "verify_upstream",
    "intercepted_ports",
    "block_quic",
    "ca_cert",
    "ca_key",
    "upstream_ca_certs",
    "upstream_ca_certs_for",
    "verify_upstream_for",
    "bind",
    "host_port",
    "guest_port",
    "egress",
    "ingress",
    "bandwidth",
    "packets",
    "size",
    "refill_ms",
    "burst",
    "env",
    "value",
    "from_env",
    "from_file",
    "command",
    "allow_hosts",
    "placeholder",
    "inject",
    "require_tls",
    "on_violation",
    "headers",
    "country_db",
    "asn_db",
    "half_open",
    "methods",
    "path",
    "allow",
    "deny",
    "reject",
    "any",
    "tcp",
    "udp",
    "icmpv4",
    "*",
    "public",
    "host",
    "10.0.0.0/8",
    "10.0.0.1",
    "fd00::/8",
    "2001:db8::1",
    "a.example",
    ".b.example",
    "*.c.example",
    "443",
    "8000-9000",
    "public-only",
    "none",
    "block",
    "GET",
    "/x/*",
    "DE",
    "EU",
    "1.1.1.1:53",
    "[::1]:53",
    ("b\xc3\xbc"
     "cher.example"),
};

static unsigned take(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static struct ln_value make_string(struct script *s)
{
    unsigned choice = take(s);
    struct ln_value value = {.type = VALUE_STRING};
    if (choice < 0xe0) {
        value.string.data = words[choice % (sizeof(words) / sizeof(words[0]))];
        value.string.len = strlen(value.string.data);
        return value;
    }
    size_t len = take(s);
    size_t left = (size_t)(s->end - s->at);
    len = len < left ? len : left;
    value.string.data = arena_strndup(&s->arena, (const char *)s->at, len);
    value.string.len = len;
    s->at += len;
    return value;
}

static struct ln_value make_value(struct script *s, unsigned depth);

static struct ln_value make_table(struct script *s, unsigned depth)
{
    struct value_table *table = arena_array(&s->arena, 1, sizeof(*table));
    table->items = arena_array(&s->arena, CHILDREN_MAX, sizeof(*table->items));
    table->entries = arena_array(&s->arena, CHILDREN_MAX, sizeof(*table->entries));
    unsigned shape = take(s);
    size_t n_items = (shape & 1) != 0 ? (shape >> 4) % CHILDREN_MAX : 0;
    size_t n_entries = (shape & 1) == 0 || (shape & 2) != 0 ? (shape >> 3) % CHILDREN_MAX : 0;
    for (size_t i = 0; i < n_items; i++) {
        table->items[table->n_items++] = make_value(s, depth + 1);
    }
    for (size_t i = 0; i < n_entries; i++) {
        struct value_entry *entry = &table->entries[table->n_entries++];
        entry->key =
            (shape & 4) != 0 && (take(s) & 7) == 0 ? make_value(s, DEPTH_MAX) : make_string(s);
        entry->value = make_value(s, depth + 1);
    }
    return (struct ln_value){
        .type = VALUE_TABLE, .origin = shape == 0xff ? "rules[7]" : NULL, .table = table};
}

static struct ln_value make_value(struct script *s, unsigned depth)
{
    struct ln_value value = {.type = VALUE_NIL};
    unsigned choice = take(s);
    if (s->nodes++ < NODES_MAX) {
        switch (choice % 8) {
        case 0:
        case 1:
        case 2:
            value = depth < DEPTH_MAX ? make_table(s, depth) : make_string(s);
            break;
        case 3:
        case 4:
            value = make_string(s);
            break;
        case 5:
            value = (struct ln_value){.type = VALUE_INTEGER, .integer = (int64_t)take(s) - 8};
            if (choice > 0x80) {
                value.integer = (int64_t)((uint64_t)value.integer << (take(s) % 64));
            }
            break;
        case 6:
            value = (struct ln_value){.type = VALUE_BOOLEAN, .boolean = choice > 0x80};
            break;
        case 7:
            value = (struct ln_value){.type = VALUE_FUNCTION, .function = 1};
            if (choice > 0xc0) {
                value = (struct ln_value){.type = VALUE_NUMBER, .number = take(s) / 4.0};
            } else if (choice > 0xa0) {
                value.type = VALUE_OTHER;
            }
            break;
        }
    }
    value.file = (choice & 0x10) != 0 ? "p.lua" : NULL;
    value.line = (choice & 0x20) != 0 ? (int)take(s) : 0;
    return value;
}

static void check_utf8(const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        uint32_t c;
        size_t taken = utf8_next(text, len, &c);
        REQUIRE(c != UTF8_INVALID && !utf8_is_control(c));
        text += taken;
        len -= taken;
    }
}

static void check_problems(const ln_problems *problems)
{
    for (size_t i = 0; i < ln_problems_count(problems); i++) {
        const ln_problem *problem = ln_problems_get(problems, i);
        REQUIRE(problem->field != NULL && problem->message != NULL && problem->message[0] != '\0');
        char line[4096];
        int len = ln_problem_format(problem, line, sizeof(line));
        REQUIRE(len > 0 && (size_t)len < sizeof(line));
        check_utf8(line);
    }
}

static void check_name(const char *name)
{
    char canonical[LN_NAME_MAX + 1];
    REQUIRE(ln_name_canonical(name, strlen(name), canonical, NULL) > 0);
    REQUIRE(strcmp(name, canonical) == 0);
}

/* What is printed on one line reads back as the same rule. Places need databases, named elsewhere.
 */
static void check_line(const ln_rule *rule, const char *line)
{
    ln_destination_kind kind = rule->destination.kind;
    if (kind == LN_DEST_COUNTRY || kind == LN_DEST_CONTINENT || kind == LN_DEST_ASN) {
        return;
    }
    struct ln_value text = {.type = VALUE_STRING, .string = {.data = line, .len = strlen(line)}};
    struct value_table list = {.items = &text, .n_items = 1};
    struct value_entry rules = {
        .key = {.type = VALUE_STRING, .string = {.data = "rules", .len = strlen("rules")}},
        .value = {.type = VALUE_TABLE, .table = &list},
    };
    struct value_table table = {.entries = &rules, .n_entries = 1};
    struct ln_value config = {.type = VALUE_TABLE, .table = &table};
    struct plan plan = {0};
    REQUIRE(plan_build(&config, &plan, NULL) == 0 && plan.n_rules == 1);
    char again[1024];
    ln_rule_format(&plan.rules[0], again, sizeof(again));
    REQUIRE(strcmp(line, again) == 0);
    plan_free(&plan);
}

static void check_rule(const ln_rule *rule)
{
    REQUIRE(rule->action == LN_ALLOW || rule->action == LN_DENY || rule->action == LN_REJECT);
    REQUIRE(rule->directions >= 1 && rule->directions <= 3);
    REQUIRE(rule->protocols >= 1 && rule->protocols <= LN_PROTOCOLS_ALL);
    REQUIRE(rule->origin != NULL);
    for (size_t i = 0; i < rule->n_ports; i++) {
        REQUIRE(rule->ports[i].first >= 1 && rule->ports[i].first <= rule->ports[i].last);
        REQUIRE(i == 0 || rule->ports[i].first > rule->ports[i - 1].last + 1);
    }
    if (rule_is_by_name(rule)) {
        check_name(rule->destination.name);
    }
    char line[1024];
    int len = ln_rule_format(rule, line, sizeof(line));
    REQUIRE(len > 0);
    if ((size_t)len < sizeof(line)) {
        check_line(rule, line);
    }
}

static void check_plan(struct plan *plan)
{
    for (size_t i = 0; i < plan->n_rules; i++) {
        check_rule(&plan->rules[i]);
    }
    for (size_t i = 0; i < plan->settings.n_secrets; i++) {
        REQUIRE(plan->settings.secrets[i].env != NULL && plan->settings.secrets[i].n_hosts > 0);
        REQUIRE(plan->settings.secrets[i].source_len > 0);
    }
    for (size_t i = 0; i < plan->settings.n_bindings; i++) {
        REQUIRE(plan->settings.bindings[i].host_port > 0 &&
                plan->settings.bindings[i].guest_port > 0);
    }
    ln_policy *policy = NULL;
    REQUIRE(policy_from_plan(plan, NULL, &policy) == 0);
    ln_policy_unref(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {.at = data, .end = data + size};
    struct plan plan = {.arena.cap = 64 * (size_t)take(&script)}; /* 0: no cap */
    struct ln_value config = make_value(&script, 0);
    ln_problems *problems = ln_problems_new();
    size_t cap = plan.arena.cap;
    int r = plan_build(&config, &plan, problems);
    if (r == 0) {
        REQUIRE(ln_problems_count(problems) == 0);
        check_plan(&plan);
    } else {
        REQUIRE(plan.rules == NULL && plan.n_rules == 0);
        REQUIRE(r == -EINVAL || (r == -ENOMEM && cap != 0));
        REQUIRE(r == -ENOMEM || ln_problems_count(problems) > 0);
        check_problems(problems);
    }
    plan_free(&plan);
    ln_problems_free(problems);
    arena_free(&script.arena);
    return 0;
}
