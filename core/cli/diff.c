/* `lunette diff`: which traffic two policies judge differently. */
#include "cli/diff.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/show.h"
#include "policy/diff.h"

static int diff_main(int argc, char **argv);

const struct command command_diff = {
    .name = "diff",
    .synopsis = "[--json] A B",
    .summary = "shows which traffic changes its verdict from one policy to another",
    .help =
        "A and B are files or presets. A line is what changes between the same two rules:\n"
        "  + egress tcp 443 public: deny -> allow (default -> rule 2, b.lua:5); e.g. ...\n"
        "It starts with + where something is allowed that was not, with - where something is not\n"
        "any more, with ~ where a deny becomes a reject or the reverse. The example is what\n"
        "lunette match would be asked. Differences are exact: every address, port, protocol and\n"
        "name is accounted for. Functions are taken to say yes to all, and no to all; what they\n"
        "are is not compared. Nor are requests: rules about them that only one of the two has are\n"
        "told, with + those of B and with - those of A.\n"
        "Exit status: 0 nothing is allowed that was not, 1 something is, or only one of the two\n"
        "has on_connect, or rules about requests differ, 2 an error.\n\n"
        "  --json  as one JSON object\n"
        "  --help  print this\n",
    .main = diff_main,
};

struct comparison {
    const ln_policy *a, *b;
    struct arena arena;
};

static char mark_of(const struct diff_region *region)
{
    return region->to == LN_ALLOW ? '+' : region->from == LN_ALLOW ? '-' : '~';
}

static const char *kind_of(const struct diff_region *region)
{
    switch (region->kind) {
    case VIEW_CONNECTION:
        return ln_direction_name(region->direction);
    case VIEW_QUERY:
        return "dns query";
    case VIEW_ALIAS:
        return "dns alias";
    case VIEW_ANSWER:
        break;
    }
    return "dns answer";
}

/* Strings that are made bigger than their buffer are cut: none is. */
enum { TEXT_MAX = 1024 };

static bool has_every_port(const struct diff_region *region)
{
    return region->ports.n == 1 &&
           (region->ports.at[0].first == 0 ||
            (region->ports.at[0].first == 1 && region->ports.at[0].last == UINT16_MAX));
}

static void put_span(struct text *text, const struct port_span *span)
{
    text_printf(text, span->first == span->last ? "%u" : "%u-%u", (unsigned)span->first,
                (unsigned)span->last);
}

enum { PORTS_SHOWN = 16 };

/* "tcp,udp 80,443 ", as far as it says something. */
static void put_traffic(struct text *text, const struct diff_region *region)
{
    if (region->kind != VIEW_CONNECTION) {
        return;
    }
    const char *separator = "";
    for (unsigned p = LN_TCP; p <= LN_ICMPV6; p++) {
        if ((region->protocols & LN_PROTOCOL_BIT(p)) != 0) {
            text_printf(text, "%s%s", separator, ln_protocol_name((ln_protocol)p));
            separator = ",";
        }
    }
    text_puts(text, " ");
    for (uint32_t i = 0; i < region->ports.n && !has_every_port(region); i++) {
        text_puts(text, i == 0 ? "" : ",");
        if (i == PORTS_SHOWN) {
            text_printf(text, "and %u more", (unsigned)(region->ports.n - i));
            break;
        }
        put_span(text, &region->ports.at[i]);
    }
    text_puts(text, has_every_port(region) ? "" : " ");
}

static void put_example(struct text *text, const struct diff_region *region)
{
    const struct diff_example *e = &region->example;
    char address[LN_ADDR_TEXT_MAX];
    ln_addr_format(&e->address, address);
    const char *name = e->names[0] != NULL ? e->names[0] : "a name that no rule knows";
    switch (region->kind) {
    case VIEW_QUERY:
        text_printf(text, "dns %s", name);
        return;
    case VIEW_ALIAS:
        text_printf(text, "a CNAME to %s", name);
        return;
    case VIEW_ANSWER:
        text_puts(text, address);
        break;
    case VIEW_CONNECTION:
        for (int i = 0; i < 2 && e->names[i] != NULL; i++) {
            text_printf(text, "--resolved %s=%s ", e->names[i], address);
        }
        if (e->claimed != NULL) {
            text_printf(text, "--sni %s ", e->claimed);
        }
        bool ports = e->protocol == LN_TCP || e->protocol == LN_UDP;
        bool v6 = !ln_addr_is_v4(&e->address);
        text_printf(text, "%s %s ", ln_direction_name(region->direction),
                    ln_protocol_name(e->protocol));
        if (region->direction == LN_INGRESS) {
            text_printf(text, "%s -> %u", address, (unsigned)e->port);
        } else {
            text_printf(text, ports && v6 ? "[%s]" : "%s", address);
            if (ports) {
                text_printf(text, ":%u", (unsigned)e->port);
            }
        }
        break;
    }
    static const char *const owners[OWNERS] = {"", " (an address of this machine)",
                                               " (the gateway's address)"};
    text_puts(text, owners[e->owner]);
    text_puts(text, e->is_registered ? " (an address that is registered there)" : "");
}

static const char *example(struct comparison *c, const struct diff_region *region)
{
    char buffer[TEXT_MAX];
    struct text text = text_of(buffer, sizeof(buffer));
    put_example(&text, region);
    const char *copy = arena_strndup(&c->arena, buffer, strlen(buffer));
    return copy != NULL ? copy : "";
}

static void print_rule(struct comparison *c, const ln_policy *policy, uint32_t number)
{
    const ln_rule *rule = ln_policy_rule(policy, number);
    if (rule == NULL) {
        printf("default");
        return;
    }
    const char *source = show_source(&c->arena, rule);
    printf("rule %u%s%s", (unsigned)number, *source != '\0' ? ", " : "", source);
}

static void print_region(struct comparison *c, const struct diff_region *region)
{
    char buffer[TEXT_MAX];
    struct text text = text_of(buffer, sizeof(buffer));
    put_traffic(&text, region);
    printf("%c %s %s%s", mark_of(region), kind_of(region), buffer, region->destination);
    if (region->also != NULL) {
        printf(" (at an address that is also that of %s or the like)", region->also);
    }
    if (region->claimed) {
        printf(" (shown but not resolved)");
    }
    if (region->functions != 3) {
        printf(" (if functions say %s)", region->functions == 1 ? "no" : "yes");
    }
    printf(": %s -> %s (", ln_action_name(region->from), ln_action_name(region->to));
    print_rule(c, c->a, region->rule_a);
    printf(" -> ");
    print_rule(c, c->b, region->rule_b);
    printf("); e.g. %s\n", example(c, region));
}

static void rule_json(struct comparison *c, struct json *json, const char *key,
                      const ln_policy *policy, uint32_t number)
{
    const ln_rule *rule = ln_policy_rule(policy, number);
    if (rule != NULL) {
        json_open(json, key, '{');
        json_integer(json, "rule", number);
        json_string(json, "text", show_rule(&c->arena, rule));
        json_string(json, "source", show_source(&c->arena, rule));
        json_close(json, '}');
    }
}

static void region_json(struct comparison *c, struct json *json, const struct diff_region *region)
{
    json_open(json, NULL, '{');
    json_string(json, "kind", region->kind == VIEW_CONNECTION ? "connection" : kind_of(region));
    json_bool(json, "widened", diff_widens(region));
    json_string(json, "from", ln_action_name(region->from));
    json_string(json, "to", ln_action_name(region->to));
    if (region->kind == VIEW_CONNECTION) {
        json_string(json, "direction", ln_direction_name(region->direction));
        json_open(json, "protocols", '[');
        for (unsigned p = LN_TCP; p <= LN_ICMPV6; p++) {
            bool has = (region->protocols & LN_PROTOCOL_BIT(p)) != 0;
            json_string(json, NULL, has ? ln_protocol_name((ln_protocol)p) : NULL);
        }
        json_close(json, ']');
        json_open(json, "ports", '[');
        for (uint32_t i = 0; i < region->ports.n && !has_every_port(region); i++) {
            char buffer[16];
            struct text text = text_of(buffer, sizeof(buffer));
            put_span(&text, &region->ports.at[i]);
            json_string(json, NULL, buffer);
        }
        json_close(json, ']');
    }
    json_string(json, "destination", region->destination);
    json_string(json, "also", region->also);
    json_bool(json, "claimed", region->claimed);
    json_string(json, "functions",
                region->functions == 3   ? NULL
                : region->functions == 1 ? "no"
                                         : "yes");
    rule_json(c, json, "rule_a", c->a, region->rule_a);
    rule_json(c, json, "rule_b", c->b, region->rule_b);
    json_string(json, "example", example(c, region));
    json_close(json, '}');
}

static const ln_rule *request_rule(const struct comparison *c, const struct diff_request *request)
{
    return ln_policy_rule(request->added ? c->b : c->a, request->rule);
}

static void print_requests(struct comparison *c, const struct diff *diff)
{
    for (size_t i = 0; i < diff->n_requests; i++) {
        const struct diff_request *request = &diff->requests[i];
        const ln_rule *rule = request_rule(c, request);
        const char *source = show_source(&c->arena, rule);
        printf("%c requests: rule %u%s%s: %s\n", request->added ? '+' : '-',
               (unsigned)request->rule, *source != '\0' ? ", " : "", source,
               show_rule(&c->arena, rule));
    }
    if (diff->requests_differ && diff->n_requests == 0) {
        printf("~ requests: the rules about them are in another order\n");
    }
}

static void requests_json(struct comparison *c, struct json *json, const struct diff *diff)
{
    json_open(json, "requests", '[');
    for (size_t i = 0; i < diff->n_requests; i++) {
        json_open(json, NULL, '{');
        json_bool(json, "added", diff->requests[i].added);
        json_integer(json, "rule", diff->requests[i].rule);
        json_string(json, "text", show_rule(&c->arena, request_rule(c, &diff->requests[i])));
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void show(struct comparison *c, const struct diff *diff, bool as_json)
{
    if (!as_json) {
        for (size_t i = 0; i < diff->n_regions; i++) {
            print_region(c, &diff->regions[i]);
        }
        print_requests(c, diff);
        if (diff->on_connect) {
            printf("~ on_connect is in only one of the two: it may decide anything\n");
        }
        return;
    }
    struct json json = {.out = stdout};
    json_open(&json, NULL, '{');
    json_bool(&json, "widened", diff->widened);
    json_bool(&json, "on_connect_differs", diff->on_connect);
    json_bool(&json, "requests_differ", diff->requests_differ);
    json_open(&json, "regions", '[');
    for (size_t i = 0; i < diff->n_regions; i++) {
        region_json(c, &json, &diff->regions[i]);
    }
    json_close(&json, ']');
    requests_json(c, &json, diff);
    json_close(&json, '}');
    putchar('\n');
}

int diff_show(const ln_policy *a, const ln_policy *b, bool as_json)
{
    struct comparison c = {.a = a, .b = b};
    struct diff diff;
    int r = diff_make(&diff, a, b);
    if (r < 0) {
        command_say("%s", strerror(-r));
        return EXIT_USAGE;
    }
    show(&c, &diff, as_json);
    int status = diff.widened || diff.on_connect || diff.requests_differ ? EXIT_DENY : EXIT_ALLOW;
    arena_free(&c.arena);
    diff_free(&diff);
    return status;
}

static int diff_main(int argc, char **argv)
{
    (void)argc;
    bool as_json = false;
    const struct option_spec specs[] = {{.name = "json", .flag = &as_json}};
    size_t count;
    int status = options_parse(&command_diff, specs, 1, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count != 2) {
        return command_usage_error(&command_diff, "give two policies");
    }
    ln_policy *a = NULL;
    ln_policy *b = NULL;
    status = command_load_policy(argv[0], &a);
    status = status == 0 ? command_load_policy(argv[1], &b) : status;
    status = status == 0 ? diff_show(a, b, as_json) : status;
    ln_policy_unref(a);
    ln_policy_unref(b);
    return status;
}
