/* From a configuration to a plan: the keys of the outermost table, and the order in which the parts
 * are read, since some depend on others. */
#include "policy/plan.h"

#include <errno.h>
#include <string.h>

#include "policy/plan_parts.h"

static void read_on_connect(struct schema *schema, const struct place *place,
                            const struct field *field, void *out)
{
    (void)schema;
    (void)field;
    struct build *build = out;
    build->settings.on_connect = read_function(build, place);
}

static void read_on_dns(struct schema *schema, const struct place *place, const struct field *field,
                        void *out)
{
    (void)schema;
    (void)field;
    struct build *build = out;
    build->settings.on_dns = read_function(build, place);
}

static void read_deny_mode(struct schema *schema, const struct place *place,
                           const struct field *field, void *out)
{
    (void)field;
    static const char *const words[] = {"drop", "reject"};
    struct build *build = out;
    unsigned mode = 0;
    schema_choice(schema, place, "deny_mode", words, COUNT_OF(words), &mode);
    build->settings.deny_by_reject = mode == 1;
}

#define LATER(member)                                                                              \
    {                                                                                              \
        .key = #member, .read = read_later, .offset = offsetof(struct build, member)               \
    }
static const struct field fields[] = {
    LATER(policy),
    LATER(rules),
    LATER(default_egress),
    LATER(default_ingress),
    LATER(deny_domains),
    LATER(deny_domain_suffixes),
    LATER(dns),
    LATER(dns_rebind_protection),
    LATER(tls),
    LATER(ports),
    LATER(port_bindings),
    {.key = "ipv4_pool", .read = read_pool, .offset = offsetof(struct build, settings.ipv4_pool)},
    {.key = "ipv6_pool", .read = read_pool, .offset = offsetof(struct build, settings.ipv6_pool)},
    LATER(max_connections),
    {.key = "rate_limit",
     .read = read_table,
     .offset = offsetof(struct build, settings),
     .fields = rate_limit_fields,
     .n_fields = COUNT_OF(rate_limit_fields)},
    {.key = "budget",
     .read = read_table,
     .offset = offsetof(struct build, settings),
     .fields = byte_budget_fields,
     .n_fields = COUNT_OF(byte_budget_fields)},
    {.key = "upstream_proxy", .read = read_upstream_proxy, .hidden = true},
    {.key = "secrets",
     .read = read_later,
     .offset = offsetof(struct build, secrets),
     .hidden = true},
    LATER(on_secret_violation),
    {.key = "trust_host_cas",
     .read = read_bool,
     .offset = offsetof(struct build, settings.trust_host_cas)},
    {.key = "geoip",
     .read = read_table,
     .offset = offsetof(struct build, settings),
     .fields = geoip_fields,
     .n_fields = COUNT_OF(geoip_fields)},
    {.key = "on_connect", .read = read_on_connect},
    {.key = "on_dns", .read = read_on_dns},
    {.key = "deny_mode", .read = read_deny_mode},
    LATER(limits),
    {.key = "comment", .read = read_nothing},
};
#undef LATER

int plan_build(const struct ln_value *config, struct plan *plan, ln_problems *problems)
{
    struct build build = {.schema = {.arena = &plan->arena, .problems = problems}, .plan = plan};
    struct place root = {.value = config};
    settings_defaults(&build.settings);
    if (config->type != VALUE_TABLE) {
        schema_wrong(&build.schema, &root, "a table", "a policy returns a configuration");
    } else {
        schema_table(&build.schema, &root, fields, COUNT_OF(fields), &build);
        build_dns(&build);
        build_limits(&build);
        build_bindings(&build);
        build_tls(&build);
        build_rules(&build);
        build_secrets(&build);
    }
    plan->settings = build.settings;
    problems_sort(problems);
    if (build.schema.out_of_memory || build.schema.mistakes > 0) {
        plan_free(plan);
        return build.schema.out_of_memory ? -ENOMEM : -EINVAL;
    }
    return 0;
}

static void wipe(const char *text)
{
    if (text != NULL) {
        explicit_bzero((char *)(uintptr_t)text, strlen(text));
    }
}

void plan_free(struct plan *plan)
{
    wipe(plan->settings.proxy.user);
    wipe(plan->settings.proxy.password);
    for (size_t i = 0; i < plan->settings.n_secrets; i++) {
        const ln_secret *secret = &plan->settings.secrets[i];
        if (secret->from == LN_SECRET_VALUE && secret->source_len > 0) {
            explicit_bzero((char *)(uintptr_t)secret->source, secret->source_len);
        }
    }
    arena_free(&plan->arena);
    *plan = (struct plan){0};
}
