/* Rules and decisions as text and JSON. */
#include "cli/show.h"

#include <string.h>

#include "dns/message.h"

const char *show_rule(struct arena *arena, const ln_rule *rule)
{
    int len = ln_rule_format(rule, NULL, 0);
    int http_len = rule->http != NULL ? ln_http_match_format(rule->http, NULL, 0) : 0;
    char *text = arena_alloc(arena, (size_t)(len + http_len) + sizeof(" http{}"));
    if (text == NULL) {
        return "";
    }
    ln_rule_format(rule, text, (size_t)len + 1);
    if (rule->http != NULL) {
        char *at = stpcpy(text + len, " http{");
        ln_http_match_format(rule->http, at, (size_t)http_len + 1);
        strcpy(at + http_len, "}");
    }
    return text;
}

const char *show_source(struct arena *arena, const ln_rule *rule)
{
    if (rule->file == NULL || rule->line <= 0) {
        return rule->file != NULL ? rule->file : "";
    }
    const char *text = arena_printf(arena, "%s:%d", rule->file, rule->line);
    return text != NULL ? text : "";
}

static void protocols_json(struct json *json, const ln_rule *rule)
{
    json_open(json, "protocols", '[');
    for (unsigned p = LN_TCP; p <= LN_ICMPV6 && rule->protocols != LN_PROTOCOLS_ALL; p++) {
        if ((rule->protocols & LN_PROTOCOL_BIT(p)) != 0) {
            json_string(json, NULL, ln_protocol_name((ln_protocol)p));
        }
    }
    json_close(json, ']');
}

static void ports_json(struct json *json, const ln_rule *rule)
{
    json_open(json, "ports", '[');
    for (size_t i = 0; i < rule->n_ports; i++) {
        char text[16];
        const ln_port_range *range = &rule->ports[i];
        snprintf(text, sizeof(text), range->first == range->last ? "%u" : "%u-%u",
                 (unsigned)range->first, (unsigned)range->last);
        json_string(json, NULL, text);
    }
    json_close(json, ']');
}

static const char *directions_name(const ln_rule *rule)
{
    unsigned both = LN_DIRECTION_BIT(LN_EGRESS) | LN_DIRECTION_BIT(LN_INGRESS);
    return rule->directions == both                           ? "any"
           : rule->directions == LN_DIRECTION_BIT(LN_INGRESS) ? ln_direction_name(LN_INGRESS)
                                                              : ln_direction_name(LN_EGRESS);
}

static void http_json(struct json *json, const ln_http_match *http)
{
    json_open(json, "http", '{');
    json_open(json, "methods", '[');
    for (size_t i = 0; i < http->n_methods; i++) {
        json_string(json, NULL, http->methods[i]);
    }
    json_close(json, ']');
    json_string(json, "path", http->path);
    if (http->n_headers > 0) {
        json_open(json, "headers", '{');
        for (size_t i = 0; i < http->n_headers; i++) {
            json_string(json, http->headers[i].name, http->headers[i].value);
        }
        json_close(json, '}');
    }
    json_close(json, '}');
}

/* As a policy takes it: a string, or described where a string would mean something else. */
static void destination_json(struct json *json, const ln_destination *destination)
{
    char text[LN_NAME_MAX + 16];
    const char *kind = NULL;
    switch (destination->kind) {
    case LN_DEST_ANY:
    case LN_DEST_GROUP:
    case LN_DEST_PREFIX:
    case LN_DEST_SUFFIX:
        ln_destination_format(destination, text, sizeof(text));
        json_string(json, "destination", text);
        return;
    case LN_DEST_DOMAIN:
        kind = "domain";
        break;
    case LN_DEST_COUNTRY:
        kind = "country";
        break;
    case LN_DEST_CONTINENT:
        kind = "continent";
        break;
    case LN_DEST_ASN:
        break;
    }
    if (destination->kind == LN_DEST_DOMAIN && strchr(destination->name, '.') != NULL) {
        json_string(json, "destination", destination->name);
        return;
    }
    json_open(json, "destination", '{');
    if (kind != NULL) {
        json_string(json, kind, destination->name);
    } else {
        json_integer(json, "asn", destination->asn);
    }
    json_close(json, '}');
}

void show_rule_json(struct arena *arena, struct json *json, size_t index, const ln_rule *rule)
{
    json_string(json, "action", ln_action_name(rule->action));
    json_string(json, "direction", directions_name(rule));
    destination_json(json, &rule->destination);
    protocols_json(json, rule);
    ports_json(json, rule);
    json_string(json, "when", rule->when != 0 ? A_FUNCTION : NULL);
    if (rule->http != NULL) {
        http_json(json, rule->http);
    }
    json_string(json, "name", rule->name);
    json_open(json, "comment", '{');
    json_count(json, "rule", index);
    json_string(json, "text", show_rule(arena, rule));
    const char *source = show_source(arena, rule);
    json_string(json, "source", *source != '\0' ? source : NULL);
    json_string(json, "origin", rule->origin);
    json_close(json, '}');
}

const char *show_reason(struct arena *arena, const ln_policy *policy, ln_direction direction,
                        const ln_decision *decision)
{
    const char *by = "";
    if (decision->rule > 0) {
        const ln_rule *rule = ln_policy_rule(policy, decision->rule);
        const char *source = show_source(arena, rule);
        by = arena_printf(arena, *source != '\0' ? "rule %u (%s): %s" : "rule %u%s: %s",
                          (unsigned)decision->rule, source, show_rule(arena, rule));
    }
    const char *text = by;
    switch (decision->reason) {
    case LN_REASON_DEFAULT:
        text = direction == LN_EGRESS ? "default_egress" : "default_ingress";
        break;
    case LN_REASON_RULE:
    case LN_REASON_DENY_DOMAIN:
    case LN_REASON_REBIND:
    case LN_REASON_BUDGET:
    case LN_REASONS:
        break;
    case LN_REASON_NEVER:
        text = "no policy can open this address";
        break;
    case LN_REASON_ON_CONNECT:
        text = "on_connect";
        break;
    case LN_REASON_ON_DNS:
        text = "on_dns";
        break;
    case LN_REASON_HANDLER_ERROR: {
        const char *error = ln_policy_handler_error(policy);
        text = arena_printf(arena, "the function of %s failed: %s",
                            decision->rule > 0 ? by : "the policy", error != NULL ? error : "?");
        break;
    }
    case LN_REASON_GEOIP_ERROR:
        text = "the GeoIP database is corrupt";
        break;
    case LN_REASON_NAME_UNKNOWN:
        text = "it hangs on the name that the client shows";
        break;
    }
    if (decision->inspect) {
        text = arena_printf(arena, "%s; its requests are judged one by one", text);
    }
    return text != NULL ? text : "";
}

const char *show_dns_refusal(unsigned rcode)
{
    return rcode == DNS_REFUSED ? "no policy can open queries of this type"
                                : "no policy can open the discovery of other resolvers";
}

const char *show_miss(ln_miss miss)
{
    switch (miss) {
    case LN_MATCHED:
        return "matches";
    case LN_MISS_DIRECTION:
        return "is for the other direction";
    case LN_MISS_PROTOCOL:
        return "is for another protocol";
    case LN_MISS_PORT:
        return "is for other ports";
    case LN_MISS_DESTINATION:
        return "is for another destination";
    case LN_MISS_GATEWAY:
        return "holds the gateway's address, but only a rule for host opens the host";
    case LN_MISS_NOT_RESOLVED:
        return "its name was not resolved to this address";
    case LN_MISS_NAME:
        return "is for another name";
    case LN_MISS_NAME_UNKNOWN:
        return "hangs on a name not shown yet";
    case LN_MISS_WHEN:
        return "its function said no";
    case LN_MISS_HTTP_UNKNOWN:
        return "is for requests, and none has been seen yet";
    case LN_MISS_HTTP_NONE:
        return "is for requests, and this is none";
    case LN_MISS_METHOD:
        return "is for another method";
    case LN_MISS_PATH:
        return "is for another path";
    case LN_MISS_PATH_AMBIGUOUS:
        return "servers differ on what this path means";
    case LN_MISS_HEADER:
        return "is for other headers";
    case LN_MISS_KINDS:
        break;
    }
    return "";
}
