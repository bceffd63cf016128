/* `lunette print`: the expanded rules of a policy. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/show.h"

static int print_main(int argc, char **argv);

const struct command command_print = {
    .name = "print",
    .synopsis = "[--json] POLICY",
    .summary = "shows the rules of a policy, expanded, in the order in which they are tried",
    .help = "POLICY is a file (Lua or JSON) or a preset: none, public-only, allow-all, non-local.\n"
            "A line is a rule's number, its one-line form and where it is written.\n\n"
            "  --json  as one JSON object, which is a policy of these rules. Functions (when,\n"
            "          on_connect) are named in it, and keep it from being loaded\n"
            "  --help  print this\n",
    .main = print_main,
};

enum { TEXT_COLUMNS = 56 }; /* wider rules push what is behind them to the right */

static void print_text(const ln_policy *policy, struct arena *arena)
{
    size_t count = ln_policy_rule_count(policy);
    int width = snprintf(NULL, 0, "%zu", count);
    int columns = 0;
    for (size_t i = 1; i <= count; i++) {
        int len = (int)strlen(show_rule(arena, ln_policy_rule(policy, i)));
        columns = len > columns && len <= TEXT_COLUMNS ? len : columns;
    }
    for (size_t i = 1; i <= count; i++) {
        const ln_rule *rule = ln_policy_rule(policy, i);
        printf("%*zu  %-*s  %s%s", width, i, columns, show_rule(arena, rule),
               show_source(arena, rule), rule->when != 0 ? "  when(function)" : "");
        printf(rule->name != NULL ? "  # %s\n" : "\n", rule->name);
    }
    const ln_settings *settings = ln_policy_settings(policy);
    printf("%*s  egress: %s, ingress: %s by default%s\n", width, "",
           ln_action_name(settings->default_egress), ln_action_name(settings->default_ingress),
           settings->on_connect != 0 ? "; on_connect is asked before the rules" : "");
    if (settings->on_dns != 0) {
        printf("%*s  DNS: on_dns is asked before the rules\n", width, "");
    }
}

static void geoip_json(struct json *json, const ln_settings *settings)
{
    if (settings->country_db != NULL || settings->asn_db != NULL) {
        json_open(json, "geoip", '{');
        json_string(json, "country_db", settings->country_db);
        json_string(json, "asn_db", settings->asn_db);
        json_close(json, '}');
    }
}

/* Without it rules about requests are none. */
static void tls_json(struct json *json, const ln_tls_settings *tls)
{
    if (!tls->intercept) {
        return;
    }
    json_open(json, "tls", '{');
    json_open(json, "intercepted_ports", '[');
    for (size_t i = 0; i < tls->n_ports; i++) {
        json_integer(json, NULL, tls->ports[i]);
    }
    json_close(json, ']');
    json_open(json, "bypass", '[');
    for (size_t i = 0; i < tls->n_bypass; i++) {
        char name[LN_NAME_MAX + 2];
        snprintf(name, sizeof(name), "%s%s", tls->bypass[i].below ? "." : "", tls->bypass[i].name);
        json_string(json, NULL, name);
    }
    json_close(json, ']');
    json_close(json, '}');
}

/* A policy of the same rules. */
static void print_json(const ln_policy *policy, struct arena *arena)
{
    struct json json = {.out = stdout};
    const ln_settings *settings = ln_policy_settings(policy);
    json_open(&json, NULL, '{');
    json_string(&json, "comment",
                "the rules, the defaults and what is intercepted, without other settings");
    json_string(&json, "default_egress", ln_action_name(settings->default_egress));
    json_string(&json, "default_ingress", ln_action_name(settings->default_ingress));
    json_string(&json, "deny_mode", settings->deny_by_reject ? "reject" : "drop");
    json_string(&json, "on_connect", settings->on_connect != 0 ? A_FUNCTION : NULL);
    json_string(&json, "on_dns", settings->on_dns != 0 ? A_FUNCTION : NULL);
    geoip_json(&json, settings);
    tls_json(&json, &settings->tls);
    json_open(&json, "rules", '[');
    for (size_t i = 1; i <= ln_policy_rule_count(policy); i++) {
        json_open(&json, NULL, '{');
        show_rule_json(arena, &json, i, ln_policy_rule(policy, i));
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    putchar('\n');
}

static int print_main(int argc, char **argv)
{
    (void)argc;
    bool as_json = false;
    const struct option_spec specs[] = {{.name = "json", .flag = &as_json}};
    size_t count;
    int status = options_parse(&command_print, specs, 1, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count != 1) {
        return command_usage_error(&command_print, "give one policy");
    }
    ln_policy *policy;
    status = command_load_policy(argv[0], &policy);
    if (status != 0) {
        return status;
    }
    struct arena arena = {0};
    if (as_json) {
        print_json(policy, &arena);
    } else {
        print_text(policy, &arena);
    }
    arena_free(&arena);
    ln_policy_unref(policy);
    return 0;
}
