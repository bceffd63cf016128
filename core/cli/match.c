/* `lunette match`: what a policy says about one connection or DNS query, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/show.h"
#include "dns/server.h"
#include "net/addressing.h"

static int match_main(int argc, char **argv);

const struct command command_match = {
    .name = "match",
    .synopsis =
        "[--json] [--resolved NAME=IP[,IP]]... [--sni NAME] [--http REQUEST] [--header FIELD]... "
        "[--trace] POLICY QUERY",
    .summary = "tells what a policy says about a connection or a DNS query, and which rule decides",
    .help =
        "QUERY, in one word or several:\n"
        "  egress tcp 1.2.3.4:443        egress tcp api.github.com:443\n"
        "  egress tcp [2001:db8::1]:443  egress icmpv4 1.1.1.1\n"
        "  'ingress tcp 10.0.0.9 -> 80'  dns api.github.com [TYPE]\n\n"
        "A name in the query stands for the addresses that --resolved gives it; without them it "
        "is\n"
        "taken to resolve to a public address, if the policy lets it be asked for.\n"
        "Exit status: 0 allow, 1 deny or reject, 2 an error.\n\n"
        "  --resolved NAME=IP[,IP]  the sandbox has resolved NAME to these addresses\n"
        "  --sni NAME               the name that the client shows (TLS SNI); else it shows none\n"
        "  --http 'METHOD PATH'     a request on the connection, which shows the query's name\n"
        "  --header 'NAME: VALUE'   a header of the request\n"
        "  --trace                  every rule that was considered, and what the wire would show\n"
        "  --json                   one JSON object for each address, a line each\n"
        "  --help                   print this\n",
    .main = match_main,
};

enum { RESOLVED_MAX = 64, ADDRESSES_MAX = 64, HEADERS_MAX = 64 };

struct match {
    bool as_json, trace;
    const char *resolved[RESOLVED_MAX];
    size_t n_resolved;
    const char *sni_text;
    char sni[LN_NAME_MAX + 1];
    const char *http; /* "GET /path" */
    ln_http_request request;
    const char *headers[HEADERS_MAX];
    size_t n_headers;
    struct query query;
    ln_addr addresses[ADDRESSES_MAX]; /* of the peer */
    size_t n_addresses;
    ln_policy *policy;
    ln_pins *pins;
    ln_addr *host_addrs;
    ln_host_addrs host;
    struct arena arena; /* of what is shown */
};

/* A verdict on one address, or on a DNS query. */
struct verdict {
    const ln_addr *address;
    ln_decision decision;
    const char *refusal; /* a DNS query that no policy has a say in: the reason, or NULL */
    unsigned rcode;      /* its response code */
    bool deferred;       /* it falls only when the client's first bytes are there */
    uint8_t *steps;      /* by rule, from 1 on: ln_miss */
    size_t n_steps;
};

/* ---- arguments ---- */

static int take_resolved(void *user, const char *value)
{
    struct match *match = user;
    if (match->n_resolved == RESOLVED_MAX) {
        return command_usage_error(&command_match, "--resolved: more than %d", RESOLVED_MAX);
    }
    match->resolved[match->n_resolved++] = value;
    return 0;
}

static int take_header(void *user, const char *value)
{
    struct match *match = user;
    const char *colon = strchr(value, ':');
    if (colon == NULL || colon == value) {
        return command_usage_error(&command_match, "--header: found '%s'; accepted: NAME: VALUE",
                                   value);
    }
    if (match->n_headers == HEADERS_MAX) {
        return command_usage_error(&command_match, "--header: more than %d", HEADERS_MAX);
    }
    match->headers[match->n_headers++] = value;
    return 0;
}

/* As ln_http_request.field. */
static bool header_at(const void *user, size_t n, const char **ret_name, size_t *ret_name_len,
                      const char **ret_value, size_t *ret_value_len)
{
    const struct match *match = user;
    if (n >= match->n_headers) {
        return false;
    }
    const char *colon = strchr(match->headers[n], ':');
    *ret_name = match->headers[n];
    *ret_name_len = (size_t)(colon - match->headers[n]);
    *ret_value = colon + 1 + strspn(colon + 1, " \t");
    *ret_value_len = strlen(*ret_value);
    return true;
}

static int read_request(struct match *match)
{
    if (match->http == NULL && match->n_headers == 0) {
        return 0;
    }
    if (match->query.is_dns || match->query.direction != LN_EGRESS ||
        match->query.protocol != LN_TCP) {
        return command_usage_error(&command_match, "--http: requests are of egress tcp");
    }
    const char *text = match->http != NULL ? match->http : "GET /";
    size_t method_len = strcspn(text, " ");
    const char *path = text + method_len + strspn(text + method_len, " ");
    if (method_len == 0 || *path == '\0') {
        return command_usage_error(&command_match, "--http: found '%s'; accepted: METHOD PATH",
                                   text);
    }
    match->request = (ln_http_request){
        .method = text,
        .method_len = method_len,
        .path = path,
        .path_len = strlen(path),
        .field = header_at,
        .user = match,
    };
    if (match->sni_text == NULL && match->query.is_named) {
        match->sni_text = match->query.name;
    }
    return 0;
}

static int read_name(const char *option, const char *text, size_t len, char name[LN_NAME_MAX + 1])
{
    const char *why = "";
    if (ln_name_canonical(text, len, name, &why) < 0) {
        return command_usage_error(&command_match, "%s: '%.*s' is not a name: %s", option, (int)len,
                                   text, why);
    }
    return 0;
}

/* Pins the addresses of one --resolved; those of the query's name are the ones to judge. */
static int pin(struct match *match, const char *resolved)
{
    const char *equals = strchr(resolved, '=');
    if (equals == NULL) {
        return command_usage_error(&command_match, "--resolved: found '%s'; accepted: NAME=IP[,IP]",
                                   resolved);
    }
    char name[LN_NAME_MAX + 1];
    int status = read_name("--resolved", resolved, (size_t)(equals - resolved), name);
    bool wanted = match->query.is_named && strcmp(name, match->query.name) == 0;
    for (const char *at = equals; status == 0 && *at != '\0';) {
        at++;
        size_t len = strcspn(at, ",");
        ln_addr addr;
        if (ln_addr_parse(at, len, &addr) < 0) {
            return command_usage_error(&command_match, "--resolved: '%.*s' is not an IP address",
                                       (int)len, at);
        }
        int r = ln_pins_add(match->pins, name, &addr, 0, UINT64_MAX);
        if (r < 0) {
            return command_usage_error(&command_match, "--resolved: %s", strerror(-r));
        }
        if (wanted && match->n_addresses < ADDRESSES_MAX) {
            match->addresses[match->n_addresses++] = addr;
        }
        at += len;
    }
    return status;
}

static int read_arguments(struct match *match, char **words, size_t n_words)
{
    char why[256];
    if (query_parse(words, n_words, &match->query, why) < 0) {
        return command_usage_error(&command_match, "%s", why);
    }
    if (!match->query.is_dns && !match->query.is_named) {
        match->addresses[match->n_addresses++] = match->query.address;
    }
    int status = read_request(match);
    if (status == 0 && match->sni_text != NULL) {
        status = read_name("--sni", match->sni_text, strlen(match->sni_text), match->sni);
    }
    for (size_t i = 0; status == 0 && i < match->n_resolved; i++) {
        status = pin(match, match->resolved[i]);
    }
    return status;
}

/* ---- judging ---- */

static void keep_step(void *user, uint32_t rule, ln_miss miss)
{
    struct verdict *verdict = user;
    verdict->steps[rule] = (uint8_t)miss;
    verdict->n_steps = rule;
}

static ln_trace trace_to(struct match *match, struct verdict *verdict)
{
    size_t room = ln_policy_rule_count(match->policy) + 1;
    verdict->steps = match->trace ? arena_alloc(&match->arena, room) : NULL;
    return (ln_trace){.step = keep_step, .user = verdict};
}

static void judge_dns(struct match *match, struct verdict *verdict)
{
    const struct query *query = &match->query;
    uint16_t type = query->is_dns ? query->type : DNS_TYPE_A;
    verdict->rcode = dns_server_refuses(query->name, type, &verdict->refusal);
    if (verdict->rcode != DNS_NOERROR) {
        verdict->decision = (ln_decision){.action = LN_DENY};
        return;
    }
    ln_trace trace = trace_to(match, verdict);
    char type_text[DNS_TYPE_TEXT_MAX];
    ln_dns_query asked = {
        .name = query->name, .type = dns_type_name(type, type_text), .transport = LN_UDP};
    ln_policy_evaluate_query(match->policy, &asked, &verdict->decision, NULL,
                             verdict->steps != NULL ? &trace : NULL);
}

static void judge_connection(struct match *match, const ln_addr *address, struct verdict *verdict)
{
    ln_query query = {
        .direction = match->query.direction,
        .protocol = match->query.protocol,
        .address = *address,
        .port = match->query.port,
    };
    verdict->address = address;
    if (match->sni_text != NULL) {
        ln_decision at_syn;
        query.name_state = LN_NAME_UNKNOWN;
        ln_policy_evaluate(match->policy, match->pins, &match->host, &query, &at_syn, NULL);
        verdict->deferred = at_syn.action == LN_DEFER;
        query.name_state = LN_NAME_SHOWN;
        query.claimed = match->sni;
    }
    if (match->request.method != NULL) {
        query.http_state = LN_HTTP_REQUEST;
        query.request = &match->request;
    }
    ln_trace trace = trace_to(match, verdict);
    ln_policy_evaluate(match->policy, match->pins, &match->host, &query, &verdict->decision,
                       verdict->steps != NULL ? &trace : NULL);
}

/* ---- showing ---- */

static const char *wire_connection(const struct match *match, const struct verdict *verdict)
{
    bool tcp = match->query.protocol == LN_TCP;
    bool egress = match->query.direction == LN_EGRESS;
    ln_action action = verdict->decision.action;
    if (match->request.method != NULL) {
        return action == LN_ALLOW ? "the request goes out"
                                  : "the client is answered 403, or its connection is refused";
    }
    if (action == LN_ALLOW) {
        return egress ? tcp ? "the connection is made" : "the packet goes out"
                      : "it reaches the guest";
    }
    if (!egress) {
        return "it does not reach the guest";
    }
    if (verdict->deferred) {
        return "the connection is reset when the client has shown the name";
    }
    bool silent = action == LN_DENY && !ln_policy_settings(match->policy)->deny_by_reject;
    return silent ? "nothing: the packet is dropped"
           : tcp  ? "a reset (RST)"
                  : "ICMP: administratively prohibited";
}

static const char *wire(const struct match *match, const struct verdict *verdict)
{
    if (verdict->address != NULL) {
        return wire_connection(match, verdict);
    }
    return verdict->decision.action == LN_ALLOW
               ? "the query goes to a resolver, and its answer is checked"
           : verdict->rcode == DNS_REFUSED ? "REFUSED, and no query leaves"
                                           : "NXDOMAIN, and no query leaves";
}

/* What decided, for people. */
static const char *reason(struct match *match, const struct verdict *verdict)
{
    if (verdict->refusal != NULL) {
        return show_dns_refusal(verdict->rcode);
    }
    return show_reason(&match->arena, match->policy, match->query.direction, &verdict->decision);
}

enum { SUBJECT_MAX = LN_NAME_MAX + 512 }; /* a longer request is cut off */

/* What was judged, with the address in the place of a name. */
static const char *subject(const struct match *match, const struct verdict *verdict,
                           char dst[SUBJECT_MAX])
{
    const struct query *query = &match->query;
    struct text text = text_of(dst, SUBJECT_MAX);
    if (verdict->address == NULL) {
        char type[DNS_TYPE_TEXT_MAX];
        text_printf(&text, "dns %s %s", query->name,
                    query->is_dns ? dns_type_name(query->type, type) : "A");
        return dst;
    }
    char address[LN_ADDR_TEXT_MAX];
    ln_addr_format(verdict->address, address);
    bool ingress = query->direction == LN_INGRESS;
    bool brackets = !ingress && query_has_ports(query) && !ln_addr_is_v4(verdict->address);
    text_printf(&text, brackets ? "%s %s [%s]" : "%s %s %s", ln_direction_name(query->direction),
                ln_protocol_name(query->protocol), address);
    if (query_has_ports(query)) {
        text_printf(&text, ingress ? " -> %u" : ":%u", (unsigned)query->port);
    }
    if (match->request.method != NULL) {
        text_printf(&text, ", %s", match->http != NULL ? match->http : "GET /");
    }
    return dst;
}

static void show_text(struct match *match, const struct verdict *verdict)
{
    for (size_t i = 1; i <= verdict->n_steps; i++) {
        const ln_rule *rule = ln_policy_rule(match->policy, i);
        const char *source = show_source(&match->arena, rule);
        printf("%4zu  %s%s%s%s: %s\n", i, show_rule(&match->arena, rule), *source ? " (" : "",
               source, *source ? ")" : "", show_miss((ln_miss)verdict->steps[i]));
    }
    char what[SUBJECT_MAX];
    printf("%s: %s: %s\n", ln_action_name(verdict->decision.action), subject(match, verdict, what),
           reason(match, verdict));
    if (match->trace) {
        printf("on the wire: %s\n", wire(match, verdict));
    }
}

static void steps_json(struct match *match, struct json *json, const struct verdict *verdict)
{
    json_open(json, "trace", '[');
    for (size_t i = 1; i <= verdict->n_steps; i++) {
        const ln_rule *rule = ln_policy_rule(match->policy, i);
        json_open(json, NULL, '{');
        json_count(json, "rule", i);
        json_string(json, "text", show_rule(&match->arena, rule));
        json_string(json, "source", show_source(&match->arena, rule));
        json_string(json, "why", ln_miss_name((ln_miss)verdict->steps[i]));
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void show_json(struct match *match, const struct verdict *verdict)
{
    const ln_decision *decision = &verdict->decision;
    const ln_rule *rule = ln_policy_rule(match->policy, decision->rule);
    struct json json = {.out = stdout};
    json_open(&json, NULL, '{');
    char what[SUBJECT_MAX];
    json_string(&json, "query", subject(match, verdict, what));
    json_string(&json, "action", ln_action_name(decision->action));
    json_string(&json, "reason",
                verdict->refusal != NULL ? verdict->refusal : ln_reason_name(decision->reason));
    if (rule != NULL) {
        json_integer(&json, "rule", decision->rule);
        json_string(&json, "text", show_rule(&match->arena, rule));
        json_string(&json, "source", show_source(&match->arena, rule));
    }
    if (decision->inspect) {
        json_bool(&json, "inspect", true);
    }
    if (decision->reason == LN_REASON_HANDLER_ERROR) {
        json_string(&json, "error", ln_policy_handler_error(match->policy));
    }
    json_string(&json, "wire", wire(match, verdict));
    if (match->trace) {
        steps_json(match, &json, verdict);
    }
    json_close(&json, '}');
    putchar('\n');
}

/* Returns the exit status that the verdict stands for. */
static int show(struct match *match, const struct verdict *verdict)
{
    if (match->as_json) {
        show_json(match, verdict);
    } else {
        show_text(match, verdict);
    }
    return verdict->decision.action == LN_ALLOW ? EXIT_ALLOW : EXIT_DENY;
}

/* ---- the query ---- */

/* A name without addresses: where it cannot be asked for that is the verdict, which is shown. Else
 * it is taken to have a public address, of a documentation range (RFC 5737, RFC 3849). */
static int assume_address(struct match *match)
{
    struct verdict verdict = {0};
    judge_dns(match, &verdict);
    if (verdict.decision.action != LN_ALLOW) {
        return show(match, &verdict);
    }
    const char *text = match->query.protocol == LN_ICMPV6 ? "2001:db8::1" : "192.0.2.1";
    ln_addr_parse(text, strlen(text), &match->addresses[0]);
    match->n_addresses = 1;
    command_say("%s is taken to resolve to a public address (%s); give --resolved %s=IP",
                match->query.name, text, match->query.name);
    return ln_pins_add(match->pins, match->query.name, &match->addresses[0], 0, UINT64_MAX) == 0
               ? EXIT_ALLOW
               : EXIT_USAGE;
}

/* Rebind protection would keep the address from the guest, so it could not be connected to. */
static void note_rebind(const struct match *match, const ln_addr *address)
{
    ln_decision decision;
    ln_policy_evaluate_answer(match->policy, &match->host, address, &decision);
    if (match->query.is_named && decision.action != LN_ALLOW) {
        char text[LN_ADDR_TEXT_MAX];
        ln_addr_format(address, text);
        command_say("rebind protection keeps %s from being an answer for %s", text,
                    match->query.name);
    }
}

static int judge(struct match *match)
{
    if (match->query.is_dns) {
        struct verdict verdict = {0};
        judge_dns(match, &verdict);
        return show(match, &verdict);
    }
    int status = match->n_addresses == 0 ? assume_address(match) : EXIT_ALLOW;
    for (size_t i = 0; i < match->n_addresses; i++) {
        struct verdict verdict = {0};
        note_rebind(match, &match->addresses[i]);
        judge_connection(match, &match->addresses[i], &verdict);
        int shown = show(match, &verdict);
        status = shown != EXIT_ALLOW ? shown : status;
    }
    return status;
}

/* The group `host`: this machine's addresses and those that a gateway at slot 0 has. */
static void find_host(struct match *match)
{
    int r = addressing_host(ln_policy_settings(match->policy), &match->host_addrs, &match->host);
    if (r < 0) {
        command_say("the addresses of this machine cannot be read: %s", strerror(-r));
    }
}

static int match_policy(struct match *match, char **words, size_t n_words)
{
    int status = command_load_policy(words[0], &match->policy);
    if (status != 0) {
        return status;
    }
    uint8_t key[16];
    host_services_system.random(NULL, key, sizeof(key));
    match->pins = ln_pins_new(RESOLVED_MAX + 1, ADDRESSES_MAX, key);
    if (match->pins == NULL) {
        command_say("out of memory");
        return EXIT_USAGE;
    }
    find_host(match);
    status = read_arguments(match, words + 1, n_words - 1);
    return status == 0 ? judge(match) : status;
}

static int match_main(int argc, char **argv)
{
    (void)argc;
    struct match match = {0};
    const struct option_spec specs[] = {
        {.name = "json", .flag = &match.as_json},
        {.name = "trace", .flag = &match.trace},
        {.name = "sni", .value = &match.sni_text},
        {.name = "resolved", .take = take_resolved, .user = &match},
        {.name = "http", .value = &match.http},
        {.name = "header", .take = take_header, .user = &match},
    };
    size_t count;
    int status =
        options_parse(&command_match, specs, sizeof(specs) / sizeof(specs[0]), argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count == 0) {
        return command_usage_error(&command_match, "give a policy and a query");
    }
    status = match_policy(&match, argv, count);
    arena_free(&match.arena);
    ln_pins_free(match.pins);
    free(match.host_addrs);
    ln_policy_unref(match.policy);
    return status;
}
