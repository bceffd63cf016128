/* What is answered at the control socket. */
#include "cli/control_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/flow_list.h"
#include "cli/json.h"
#include "cli/session.h"
#include "cli/show.h"
#include "net/gateway.h"

/* What an answer is made of. */
struct answer {
    struct session *session;
    FILE *out;
    struct json json;
};

static void say_ok(struct answer *a)
{
    fputs("{\"ok\":true}\n", a->out);
}

static void say_refused(struct answer *a, const char *why)
{
    json_open(&a->json, NULL, '{');
    json_bool(&a->json, "ok", false);
    json_open(&a->json, "errors", '[');
    json_string(&a->json, NULL, why);
    json_close(&a->json, ']');
    json_close(&a->json, '}');
    fputc('\n', a->out);
}

/* Only where the policy gives one. */
static void say_budget(struct json *json, const ln_gateway *gw, bool used_up)
{
    const ln_settings *settings = ln_policy_settings(ln_gateway_policy(gw));
    if (settings->egress_budget == 0 && settings->ingress_budget == 0) {
        return;
    }
    json_open(json, "budget", '{');
    if (settings->egress_budget != 0) {
        json_count(json, "egress", settings->egress_budget);
    }
    if (settings->ingress_budget != 0) {
        json_count(json, "ingress", settings->ingress_budget);
    }
    json_bool(json, "used_up", used_up);
    json_close(json, '}');
}

static void answer_stats(struct answer *a, const char *argument)
{
    struct json *json = &a->json;
    ln_stats stats;
    (void)argument;
    ln_gateway_stats(a->session->gateway, &stats);
    say_ok(a);
    json_open(json, NULL, '{');
    json_string(json, "policy", a->session->policy);
    json_count(json, "slot", a->session->slot);
    json_count(json, "frames_in", stats.frames_in);
    json_count(json, "frames_out", stats.frames_out);
    json_count(json, "frame_bytes_in", stats.frame_bytes_in);
    json_count(json, "frame_bytes_out", stats.frame_bytes_out);
    json_count(json, "flows_opened", stats.flows_opened);
    json_count(json, "flows_denied", stats.flows_denied);
    json_count(json, "flows_evicted", stats.flows_evicted);
    json_count(json, "flows_now", stats.flows_now);
    json_count(json, "half_open_now", stats.half_open_now);
    json_count(json, "udp_sockets_now", stats.udp_sockets_now);
    json_count(json, "dns_queries", stats.dns_queries);
    json_count(json, "dns_denied", stats.dns_denied);
    json_count(json, "events_lost", stats.events_lost);
    json_count(json, "bytes_out", stats.bytes_out);
    json_count(json, "bytes_in", stats.bytes_in);
    json_count(json, "tls_guest_full", stats.tls_guest_full);
    json_count(json, "tls_guest_resumed", stats.tls_guest_resumed);
    json_count(json, "tls_server_full", stats.tls_server_full);
    json_count(json, "tls_server_resumed", stats.tls_server_resumed);
    json_count(json, "tls_failed", stats.tls_failed);
    json_count(json, "http_requests", stats.http_requests);
    json_count(json, "secrets_used", stats.secrets_used);
    json_count(json, "secret_violations", stats.secret_violations);
    say_budget(json, a->session->gateway, stats.used_up);
    json_open(json, "drops", '{');
    const char *name;
    for (unsigned i = 0; (name = ln_drop_name(i)) != NULL; i++) {
        if (stats.drops[i] > 0) {
            json_count(json, name, stats.drops[i]);
        }
    }
    json_close(json, '}');
    json_close(json, '}');
    fputc('\n', a->out);
}

static void answer_flows(struct answer *a, const char *argument)
{
    struct flow_filter filter;
    if (flow_filter_parse(argument, &filter) < 0) {
        say_refused(a, "accepted: top=N, and a port, an address, a network, or a name");
        return;
    }
    say_ok(a);
    flow_list_write(a->session->gateway, &filter, &a->json);
    fputc('\n', a->out);
}

static void say_pin(void *user, const char *name, const ln_addr *addr, uint64_t left_ms)
{
    struct json *json = user;
    json_open(json, NULL, '{');
    json_string(json, "name", name);
    json_addr(json, "address", addr);
    json_count(json, "left_ms", left_ms);
    json_close(json, '}');
}

static void answer_pins(struct answer *a, const char *argument)
{
    (void)argument;
    say_ok(a);
    json_open(&a->json, NULL, '[');
    ln_gateway_pins(a->session->gateway, say_pin, &a->json);
    json_close(&a->json, ']');
    fputc('\n', a->out);
}

/* `rule` 0: the defaults, where `text` says so. */
static void say_rule(struct answer *a, uint32_t rule, const char *text, const char *source)
{
    json_open(&a->json, NULL, '{');
    json_integer(&a->json, "rule", rule);
    json_string(&a->json, "text", text);
    json_string(&a->json, "source", *source != '\0' ? source : NULL);
    json_count(&a->json, "hits", ln_gateway_rule_hits(a->session->gateway, rule));
    json_close(&a->json, '}');
}

static void answer_rules(struct answer *a, const char *argument)
{
    const ln_policy *policy = ln_gateway_policy(a->session->gateway);
    const ln_rule *rule;
    (void)argument;
    say_ok(a);
    json_open(&a->json, NULL, '[');
    for (uint32_t i = 1; (rule = ln_policy_rule(policy, i)) != NULL; i++) {
        struct arena arena = {0};
        say_rule(a, i, show_rule(&arena, rule), show_source(&arena, rule));
        arena_free(&arena);
    }
    say_rule(a, 0, "default", "");
    json_close(&a->json, ']');
    fputc('\n', a->out);
}

/* Not the value, nor what it is read from, which may be the value. */
static void say_secret(void *user, const ln_secret_status *status)
{
    static const char *const from[] = {"value", "env", "file", "command"};
    struct json *json = user;
    const ln_secret *secret = status->secret;
    json_open(json, NULL, '{');
    json_string(json, "name", secret->env);
    json_string(json, "placeholder", status->placeholder);
    json_open(json, "hosts", '[');
    for (size_t i = 0; i < secret->n_hosts; i++) {
        char pattern[LN_NAME_MAX + 3];
        snprintf(pattern, sizeof(pattern), "%s%s", secret->hosts[i].below ? "*." : "",
                 secret->hosts[i].name);
        json_string(json, NULL, pattern);
    }
    json_close(json, ']');
    json_string(json, "from", from[secret->from]);
    json_count(json, "age_ms", status->age_ms);
    json_string(json, "failure", status->failure);
    json_close(json, '}');
}

static void answer_secrets(struct answer *a, const char *argument)
{
    (void)argument;
    say_ok(a);
    json_open(&a->json, NULL, '[');
    ln_gateway_secrets(a->session->gateway, say_secret, &a->json);
    json_close(&a->json, ']');
    fputc('\n', a->out);
}

static void say_problems(struct answer *a, const ln_problems *problems)
{
    const ln_problem *problem;
    json_open(&a->json, NULL, '{');
    json_bool(&a->json, "ok", false);
    json_open(&a->json, "errors", '[');
    for (size_t i = 0; (problem = ln_problems_get(problems, i)) != NULL; i++) {
        char text[1024];
        ln_problem_format(problem, text, sizeof(text));
        json_string(&a->json, NULL, text);
    }
    json_close(&a->json, ']');
    json_close(&a->json, '}');
    fputc('\n', a->out);
}

static void answer_reload(struct answer *a, const char *argument)
{
    ln_problems *problems = ln_problems_new();
    (void)argument;
    if (session_reload(a->session, problems) < 0) {
        say_problems(a, problems);
    } else {
        say_ok(a);
    }
    ln_problems_free(problems);
}

static void answer_revoke(struct answer *a, const char *argument)
{
    char *end;
    errno = 0;
    unsigned long long id = strtoull(argument, &end, 10);
    bool is_id = argument[0] >= '0' && argument[0] <= '9' && *end == '\0' && errno == 0;
    int r = is_id ? ln_gateway_end_flow(a->session->gateway, id)
                  : ln_gateway_revoke(a->session->gateway, argument);
    if (r == 0) {
        say_ok(a);
    } else {
        say_refused(a, is_id          ? "there is no flow with this id"
                       : r == -EINVAL ? "it is neither a host name nor the id of a flow"
                                      : "the guest has not resolved this name");
    }
}

static const struct verb {
    const char *name;
    void (*answer)(struct answer *answer, const char *argument);
    enum { ARGUMENT_NONE, ARGUMENT_OPTIONAL, ARGUMENT_NEEDED } argument;
} verbs[] = {
    {"stats", answer_stats, ARGUMENT_NONE},     {"flows", answer_flows, ARGUMENT_OPTIONAL},
    {"pins", answer_pins, ARGUMENT_NONE},       {"rules", answer_rules, ARGUMENT_NONE},
    {"secrets", answer_secrets, ARGUMENT_NONE}, {"reload", answer_reload, ARGUMENT_NONE},
    {"revoke", answer_revoke, ARGUMENT_NEEDED},
};

void control_refuse(FILE *out, const char *why)
{
    struct answer a = {.out = out, .json.out = out};
    say_refused(&a, why);
}

void control_answer(struct session *session, FILE *out, char *request)
{
    struct answer a = {.session = session, .out = out, .json.out = out};
    size_t len = strcspn(request, " ");
    const char *argument = request + len + strspn(request + len, " ");
    bool given = *argument != '\0';
    request[len] = '\0';
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, request) != 0) {
            continue;
        }
        if (given ? verbs[i].argument != ARGUMENT_NONE : verbs[i].argument != ARGUMENT_NEEDED) {
            verbs[i].answer(&a, argument);
        } else {
            say_refused(&a, given ? "it takes nothing more" : "it takes what is to be revoked");
        }
        return;
    }
    say_refused(&a, "there is no such verb");
}
