/* The expanded rule list: deny lists, then the rules as written or those of a preset. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "policy/plan_parts.h"
#include "policy/rule_parse.h"

#define A_RULE                                                                                     \
    "a chain, a line such as \"allow@public:tcp:443\", or a table {action =, destination =, …}"

static const char *const actions[] = {"deny", "allow", "reject"}; /* the order of ln_action */

struct rule_reader {
    struct build *build;
    struct schema *schema;
    struct port_ranges ports; /* scratch of one rule */
    struct arena line;        /* likewise, of one that is written on one line */
    const char *file_found;   /* the last file seen, and its copy in the plan */
    const char *file;
};

/* A rule as written; a value of NULL: not given. */
struct draft {
    struct place action, direction, destination, protocol, protocols, port, ports, http, when, name;
};

#define LATER(member)                                                                              \
    {                                                                                              \
        .key = #member, .read = read_later, .offset = offsetof(struct draft, member)               \
    }
static const struct field rule_fields[] = {
    LATER(action),
    LATER(direction),
    LATER(destination),
    LATER(protocol),
    LATER(protocols),
    LATER(port),
    LATER(ports),
    LATER(http),
    LATER(when),
    LATER(name),
    {.key = "comment", .read = read_nothing},
};
#undef LATER

/* ---- adding ---- */

static const char *copy_file(struct rule_reader *reader, const char *file)
{
    if (file == NULL) {
        return NULL;
    }
    if (reader->file_found == NULL ||
        (file != reader->file_found && strcmp(file, reader->file_found) != 0)) {
        reader->file = arena_strndup(reader->schema->arena, file, strlen(file));
        reader->schema->out_of_memory = reader->schema->out_of_memory || reader->file == NULL;
    }
    reader->file_found = file;
    return reader->file;
}

static void locate(struct rule_reader *reader, const struct place *place, ln_rule *rule)
{
    rule->file = copy_file(reader, place_file(place));
    rule->line = place_line(place);
    rule->origin = schema_path(reader->schema, place);
}

/* The plan has room for every rule that is written. */
static void push(struct rule_reader *reader, const ln_rule *rule)
{
    struct plan *plan = reader->build->plan;
    plan->rules[plan->n_rules++] = *rule;
}

/* ---- the parts of a rule ---- */

static ln_action read_action(struct schema *schema, const struct place *place, ln_action otherwise)
{
    unsigned action = otherwise;
    if (place->value != NULL) {
        schema_choice(schema, place, "action", actions, COUNT_OF(actions), &action);
    }
    return (ln_action)action;
}

static uint8_t read_directions(struct schema *schema, const struct place *place)
{
    static const char *const words[] = {"egress", "ingress", "any"};
    static const uint8_t bits[] = {LN_DIRECTION_BIT(LN_EGRESS), LN_DIRECTION_BIT(LN_INGRESS),
                                   LN_DIRECTION_BIT(LN_EGRESS) | LN_DIRECTION_BIT(LN_INGRESS)};
    unsigned direction = 0;
    if (place->value != NULL) {
        schema_choice(schema, place, "direction", words, COUNT_OF(words), &direction);
    }
    return bits[direction];
}

enum { ICMP = LN_PROTOCOL_BIT(LN_ICMPV4) | LN_PROTOCOL_BIT(LN_ICMPV6) };

/* An item reader; `out` is the rule. */
static void read_protocol(struct schema *schema, const struct place *place, void *out)
{
    static const char *const words[] = {"tcp", "udp", "icmpv4", "icmpv6"};
    ln_rule *rule = out;
    unsigned protocol;
    if (!schema_choice(schema, place, "protocol", words, COUNT_OF(words), &protocol)) {
        return;
    }
    if ((LN_PROTOCOL_BIT(protocol) & ICMP) != 0 &&
        rule->directions != LN_DIRECTION_BIT(LN_EGRESS)) {
        schema_wrong(schema, place, "direction = \"egress\"", "ICMP is for egress only");
        return;
    }
    rule->protocols = (uint8_t)(rule->protocols | LN_PROTOCOL_BIT(protocol));
}

/* Reads a field that is written in singular, in plural, or both. */
static void read_both(struct schema *schema, const struct place *one, const struct place *many,
                      item_reader read, void *out)
{
    if (one->value != NULL) {
        schema_one_or_each(schema, one, read, out);
    }
    if (many->value != NULL) {
        schema_one_or_each(schema, many, read, out);
    }
}

static void read_ports(struct rule_reader *reader, const struct draft *draft, ln_rule *rule)
{
    struct schema *schema = reader->schema;
    reader->ports.n = 0;
    read_both(schema, &draft->port, &draft->ports, read_port_range, &reader->ports);
    rule->ports = port_ranges_take(schema, &reader->ports, &rule->n_ports);
    if (rule->n_ports > 0 && (rule->protocols & ~(unsigned)ICMP) == 0) {
        schema_wrong(schema, draft->ports.value != NULL ? &draft->ports : &draft->port, NULL,
                     "the rule would never match: ICMP has no ports");
    }
}

int read_function(struct build *build, const struct place *place)
{
    if (place->value->type != VALUE_FUNCTION) {
        schema_wrong(&build->schema, place, "a function", "it has the wrong type");
        return 0;
    }
    build->plan->n_handlers++;
    return place->value->function;
}

/* Whether the databases that the destination needs are named. */
static void check_geoip(struct rule_reader *reader, const struct place *place,
                        const ln_destination *destination)
{
    const ln_settings *settings = &reader->build->settings;
    const char *key = NULL;
    if (destination->kind == LN_DEST_COUNTRY || destination->kind == LN_DEST_CONTINENT) {
        key = settings->country_db == NULL ? "country_db" : NULL;
    } else if (destination->kind == LN_DEST_ASN) {
        key = settings->asn_db == NULL ? "asn_db" : NULL;
    }
    if (key != NULL) {
        schema_wrong(reader->schema, place, NULL, "the policy names no database for it: geoip.%s",
                     key);
    }
}

/* Adds the rule once for each of its destinations. */
static void add_destinations(struct rule_reader *reader, const struct place *place, ln_rule *rule,
                             size_t mistakes)
{
    bool is_list = is_destination_list(place->value);
    if (is_list && place->value->table->n_items == 0) {
        schema_wrong(reader->schema, place, NULL, "the list of destinations is empty");
    }
    if (is_list && !schema_list(reader->schema, place, "a list of destinations")) {
        return;
    }
    size_t n = is_list ? place->value->table->n_items : 1;
    for (size_t i = 0; i < n; i++) {
        struct place item = is_list ? place_of_item(place, i) : *place;
        if (read_destination(reader->schema, &item, &rule->destination)) {
            check_geoip(reader, &item, &rule->destination);
        }
        if (reader->schema->mistakes == mistakes && !reader->schema->out_of_memory) {
            push(reader, rule);
        }
    }
}

static void read_fields(struct rule_reader *reader, const struct place *place)
{
    struct schema *schema = reader->schema;
    size_t mistakes = schema->mistakes;
    struct draft draft = {0};
    schema_table(schema, place, rule_fields, COUNT_OF(rule_fields), &draft);
    ln_rule rule = {0};
    if (draft.action.value == NULL) {
        schema_missing(schema, place, "action", "\"deny\", \"allow\", \"reject\"");
    }
    rule.action = read_action(schema, &draft.action, LN_DENY);
    rule.directions = read_directions(schema, &draft.direction);
    read_both(schema, &draft.protocol, &draft.protocols, read_protocol, &rule);
    rule.protocols = rule.protocols == 0 ? LN_PROTOCOLS_ALL : rule.protocols;
    read_ports(reader, &draft, &rule);
    if (draft.http.value != NULL) {
        rule.http = read_http(reader->build, &draft.http, &rule);
        rule.protocols = LN_PROTOCOL_BIT(LN_TCP);
    }
    if (draft.when.value != NULL) {
        rule.when = read_function(reader->build, &draft.when);
    }
    if (draft.name.value != NULL && schema_text(schema, &draft.name, "a string")) {
        rule.name = schema_copy(schema, &draft.name);
    }
    locate(reader, place, &rule);
    if (draft.destination.value == NULL) {
        schema_missing(schema, place, "destination", "\"*\" for all, or what is meant");
    } else {
        add_destinations(reader, &draft.destination, &rule, mistakes);
    }
}

/* A rule on one line: as the table that says the same, in its place. */
static void read_line(struct rule_reader *reader, const struct place *place)
{
    const struct ln_value *line = place->value;
    struct ln_value fields;
    int r = rule_parse(line->string.data, line->string.len, &reader->line, &fields);
    if (r == 0) {
        fields.file = line->file;
        fields.line = line->line;
        fields.origin = line->origin;
        struct place at = *place;
        at.value = &fields;
        read_fields(reader, &at);
    } else if (r == -EINVAL) {
        schema_wrong(reader->schema, place, A_RULE, "it is not a rule");
    } else {
        reader->schema->out_of_memory = true;
    }
    arena_free(&reader->line);
}

/* An item reader; `out` is the struct rule_reader. */
static void read_rule(struct schema *schema, const struct place *place, void *out)
{
    switch (place->value->type) {
    case VALUE_TABLE:
        read_fields(out, place);
        return;
    case VALUE_STRING:
        read_line(out, place);
        return;
    case VALUE_NIL:
    case VALUE_BOOLEAN:
    case VALUE_INTEGER:
    case VALUE_NUMBER:
    case VALUE_FUNCTION:
    case VALUE_OTHER:
        schema_wrong(schema, place, A_RULE, "it is not a rule");
        return;
    }
}

/* ---- deny lists ---- */

static void push_denied(struct rule_reader *reader, const struct place *place, const char *name,
                        bool exact, bool below)
{
    ln_rule rule = {.action = LN_DENY,
                    .directions = LN_DIRECTION_BIT(LN_EGRESS),
                    .protocols = LN_PROTOCOLS_ALL,
                    .destination.name = name,
                    .deny_list = true};
    locate(reader, place, &rule);
    if (exact) {
        rule.destination.kind = LN_DEST_DOMAIN;
        push(reader, &rule);
    }
    if (below) {
        rule.destination.kind = LN_DEST_SUFFIX;
        push(reader, &rule);
    }
}

static void read_denied_domain(struct schema *schema, const struct place *place, void *out)
{
    ln_name_pattern pattern = {0};
    if (!read_pattern(schema, place, &pattern)) {
        return;
    }
    if (pattern.below) {
        schema_wrong(schema, place, "a host name such as \"ads.example\"",
                     "it is a suffix: write it under deny_domain_suffixes");
        return;
    }
    push_denied(out, place, pattern.name, true, false);
}

static void read_denied_suffix(struct schema *schema, const struct place *place, void *out)
{
    ln_name_pattern pattern = {0};
    if (read_pattern(schema, place, &pattern)) {
        push_denied(out, place, pattern.name, true, true);
    }
}

/* ---- presets ---- */

/* The same as lua/lunette/presets.lua, for configurations that do not come from Lua. */
static const struct preset {
    ln_action egress, ingress;
    unsigned groups; /* bit: ln_group that is allowed; DNS with any */
} presets[] = {
    {.egress = LN_DENY, .ingress = LN_DENY},
    {.egress = LN_DENY, .ingress = LN_ALLOW, .groups = 1u << LN_GROUP_PUBLIC},
    {.egress = LN_ALLOW, .ingress = LN_ALLOW},
    {.egress = LN_DENY,
     .ingress = LN_ALLOW,
     .groups = 1u << LN_GROUP_PUBLIC | 1u << LN_GROUP_PRIVATE},
};
static const char *const preset_names[] = {"none", "public-only", "allow-all", "non-local"};

enum { PRESET_RULES_MAX = 3 };

static void push_preset(struct rule_reader *reader, const struct place *place,
                        const struct preset *preset)
{
    static const ln_port_range dns_port = {53, 53};
    ln_rule rule = {.action = LN_ALLOW,
                    .directions = LN_DIRECTION_BIT(LN_EGRESS),
                    .protocols = LN_PROTOCOL_BIT(LN_UDP) | LN_PROTOCOL_BIT(LN_TCP),
                    .ports = &dns_port,
                    .n_ports = 1,
                    .destination = {.kind = LN_DEST_GROUP, .group = LN_GROUP_HOST}};
    locate(reader, place, &rule);
    if (preset->groups != 0) {
        push(reader, &rule);
    }
    rule.protocols = LN_PROTOCOLS_ALL;
    rule.ports = NULL;
    rule.n_ports = 0;
    static const ln_group order[] = {LN_GROUP_PUBLIC, LN_GROUP_PRIVATE};
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        rule.destination.group = order[i];
        if ((preset->groups >> order[i] & 1) != 0) {
            push(reader, &rule);
        }
    }
    reader->build->settings.default_egress = preset->egress;
    reader->build->settings.default_ingress = preset->ingress;
}

static void read_preset(struct rule_reader *reader)
{
    const struct build *build = reader->build;
    unsigned number = 0;
    bool known = schema_choice(reader->schema, &build->policy, "preset", preset_names,
                               COUNT_OF(preset_names), &number);
    const char *beside = build->rules.value != NULL             ? "rules"
                         : build->default_egress.value != NULL  ? "default_egress"
                         : build->default_ingress.value != NULL ? "default_ingress"
                                                                : NULL;
    if (beside != NULL) {
        schema_wrong(reader->schema, &build->policy,
                     "a preset alone, or rules and defaults without a preset",
                     "a preset cannot stand beside `%s`", beside);
    } else if (known) {
        push_preset(reader, &build->policy, &presets[number]);
    }
}

/* ---- the whole list ---- */

static size_t count_items(const struct ln_value *value)
{
    return value != NULL && value->type == VALUE_TABLE ? value->table->n_items : 0;
}

/* No fewer than the rules that will be pushed. */
static size_t count_rules(const struct build *build)
{
    size_t n = PRESET_RULES_MAX + count_items(build->deny_domains.value) +
               2 * count_items(build->deny_domain_suffixes.value);
    for (size_t i = 0; i < count_items(build->rules.value); i++) {
        const struct ln_value *rule = &build->rules.value->table->items[i];
        const struct ln_value *destination = value_get(rule, "destination");
        n += destination != NULL && is_destination_list(destination) ? count_items(destination) : 1;
    }
    return n;
}

static void read_list(struct rule_reader *reader, const struct place *place, const char *accepted,
                      item_reader read)
{
    if (place->value != NULL) {
        schema_each(reader->schema, place, accepted, read, reader);
    }
}

void build_rules(struct build *build)
{
    struct schema *schema = &build->schema;
    struct rule_reader reader = {.build = build, .schema = schema};
    build->plan->rules = schema_array(schema, count_rules(build), sizeof(ln_rule));
    if (build->plan->rules == NULL) {
        return;
    }
    build->settings.default_egress = read_action(schema, &build->default_egress, LN_DENY);
    build->settings.default_ingress = read_action(schema, &build->default_ingress, LN_ALLOW);
    read_list(&reader, &build->deny_domains, "a list of names", read_denied_domain);
    read_list(&reader, &build->deny_domain_suffixes, "a list of suffixes", read_denied_suffix);
    if (build->policy.value != NULL) {
        read_preset(&reader);
    }
    read_list(&reader, &build->rules, "a list of rules", read_rule);
    port_ranges_free(&reader.ports);
}
