/* The control socket.
 *
 * Theory of operation. Who may open the socket's file may command. Yet nobody there makes the
 * datapath wait, or takes more than a bounded part of its memory: a request is a short line; it is
 * answered into memory, from where it goes out as fast as it is read; the next is read only then;
 * and a client beyond the last that there is room for takes the place of the oldest. */
#include "cli/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/session.h"
#include "cli/show.h"
#include "cli/transport_unix.h"
#include "net/gateway.h"

enum { CLIENTS_MAX = 8, REQUEST_MAX = 512 };

struct control_client {
    struct watch watch;
    struct control *control;
    struct control_client *next;
    int fd;
    char in[REQUEST_MAX];
    size_t in_len;
    char *out; /* NULL: nothing is to be sent */
    size_t out_at, out_len;
    bool ended; /* it sends no more */
};

/* ---- answers ---- */

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

static void say_addr(struct json *json, const char *key, const ln_addr *addr)
{
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(addr, text);
    json_string(json, key, text);
}

static void say_count(struct json *json, const char *key, uint64_t value)
{
    json_integer(json, key, (int64_t)value);
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
        say_count(json, "egress", settings->egress_budget);
    }
    if (settings->ingress_budget != 0) {
        say_count(json, "ingress", settings->ingress_budget);
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
    say_count(json, "slot", a->session->slot);
    say_count(json, "frames_in", stats.frames_in);
    say_count(json, "frames_out", stats.frames_out);
    say_count(json, "frame_bytes_in", stats.frame_bytes_in);
    say_count(json, "frame_bytes_out", stats.frame_bytes_out);
    say_count(json, "flows_opened", stats.flows_opened);
    say_count(json, "flows_denied", stats.flows_denied);
    say_count(json, "flows_evicted", stats.flows_evicted);
    say_count(json, "flows_now", stats.flows_now);
    say_count(json, "half_open_now", stats.half_open_now);
    say_count(json, "udp_sockets_now", stats.udp_sockets_now);
    say_count(json, "dns_queries", stats.dns_queries);
    say_count(json, "dns_denied", stats.dns_denied);
    say_count(json, "events_lost", stats.events_lost);
    say_count(json, "bytes_out", stats.bytes_out);
    say_count(json, "bytes_in", stats.bytes_in);
    say_budget(json, a->session->gateway, stats.used_up);
    json_open(json, "drops", '{');
    const char *name;
    for (unsigned i = 0; (name = ln_drop_name(i)) != NULL; i++) {
        if (stats.drops[i] > 0) {
            say_count(json, name, stats.drops[i]);
        }
    }
    json_close(json, '}');
    json_close(json, '}');
    fputc('\n', a->out);
}

static void say_flow(void *user, const ln_flow *flow)
{
    struct json *json = user;
    json_open(json, NULL, '{');
    say_count(json, "id", flow->id);
    json_string(json, "direction", ln_direction_name(flow->direction));
    json_string(json, "protocol", ln_protocol_name(flow->protocol));
    say_addr(json, "guest", &flow->guest);
    say_addr(json, "peer", &flow->peer);
    if (flow->guest_port != 0) {
        json_integer(json, "guest_port", flow->guest_port);
        json_integer(json, "peer_port", flow->peer_port);
    }
    json_string(json, "state", flow->state);
    json_string(json, "name", flow->name);
    if (flow->rule != 0) {
        json_integer(json, "rule", flow->rule);
    }
    say_count(json, "age_ms", flow->age_ms);
    say_count(json, "bytes_out", flow->bytes_out);
    say_count(json, "bytes_in", flow->bytes_in);
    say_count(json, "packets_out", flow->packets_out);
    say_count(json, "packets_in", flow->packets_in);
    json_close(json, '}');
}

static void answer_flows(struct answer *a, const char *argument)
{
    (void)argument;
    say_ok(a);
    json_open(&a->json, NULL, '[');
    ln_gateway_flows(a->session->gateway, say_flow, &a->json);
    json_close(&a->json, ']');
    fputc('\n', a->out);
}

static void say_pin(void *user, const char *name, const ln_addr *addr, uint64_t left_ms)
{
    struct json *json = user;
    json_open(json, NULL, '{');
    json_string(json, "name", name);
    say_addr(json, "address", addr);
    say_count(json, "left_ms", left_ms);
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
    say_count(&a->json, "hits", ln_gateway_rule_hits(a->session->gateway, rule));
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
    bool has_argument;
} verbs[] = {
    {"stats", answer_stats, false},   {"flows", answer_flows, false},
    {"pins", answer_pins, false},     {"rules", answer_rules, false},
    {"reload", answer_reload, false}, {"revoke", answer_revoke, true},
};

static void answer_request(struct answer *a, char *request)
{
    size_t len = strcspn(request, " ");
    const char *argument = request + len + strspn(request + len, " ");
    request[len] = '\0';
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, request) != 0) {
            continue;
        }
        if (verbs[i].has_argument == (*argument != '\0')) {
            verbs[i].answer(a, argument);
        } else {
            say_refused(a, verbs[i].has_argument ? "it takes what is to be revoked"
                                                 : "it takes nothing more");
        }
        return;
    }
    say_refused(a, "there is no such verb");
}

/* ---- clients ---- */

static struct loop *loop_of(const struct control *control)
{
    return gateway_loop(control->session->gateway);
}

static void drop(struct control_client *client)
{
    struct control_client **at = &client->control->clients;
    while (*at != client) {
        at = &(*at)->next;
    }
    *at = client->next;
    client->control->n_clients--;
    loop_unwatch(loop_of(client->control), &client->watch);
    close(client->fd);
    free(client->out);
    free(client);
}

/* Sends what there is. Returns false when the client is gone. */
static bool push(struct control_client *client)
{
    while (client->out_at < client->out_len) {
        ssize_t n = send(client->fd, client->out + client->out_at, client->out_len - client->out_at,
                         MSG_NOSIGNAL);
        if (n < 0) {
            return (errno == EAGAIN || errno == EINTR) &&
                   loop_rewatch(loop_of(client->control), &client->watch, EPOLLOUT) == 0;
        }
        client->out_at += (size_t)n;
    }
    free(client->out);
    client->out = NULL;
    return loop_rewatch(loop_of(client->control), &client->watch, EPOLLIN) == 0;
}

static bool answer_line(struct control_client *client, char *line)
{
    struct answer answer = {.session = client->control->session};
    client->out_at = client->out_len = 0;
    answer.out = open_memstream(&client->out, &client->out_len);
    if (answer.out == NULL) {
        return false;
    }
    answer.json.out = answer.out;
    answer_request(&answer, line);
    bool whole = ferror(answer.out) == 0;
    return fclose(answer.out) == 0 && whole && push(client);
}

/* Answers what was asked, one line after the other. Returns false when the client is to go. */
static bool take_lines(struct control_client *client)
{
    while (client->out == NULL) {
        char line[REQUEST_MAX];
        const char *newline = memchr(client->in, '\n', client->in_len);
        if (newline == NULL) {
            return client->in_len < sizeof(client->in) && !client->ended;
        }
        size_t len = (size_t)(newline - client->in);
        memcpy(line, client->in, len);
        line[len] = '\0';
        client->in_len -= len + 1;
        memmove(client->in, newline + 1, client->in_len);
        if (!answer_line(client, line)) {
            return false;
        }
    }
    return true;
}

static void client_ready(struct watch *watch, uint32_t events)
{
    struct control_client *client =
        (struct control_client *)(void *)((char *)watch - offsetof(struct control_client, watch));
    (void)events;
    if (client->out != NULL) {
        if (!push(client) || !take_lines(client)) {
            drop(client);
        }
        return;
    }
    ssize_t n =
        recv(client->fd, client->in + client->in_len, sizeof(client->in) - client->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    client->in_len += n > 0 ? (size_t)n : 0;
    client->ended = n <= 0;
    if (!take_lines(client)) {
        drop(client);
    }
}

static void welcome(struct control *control, int fd)
{
    if (control->n_clients == CLIENTS_MAX) {
        struct control_client *oldest = control->clients;
        while (oldest->next != NULL) {
            oldest = oldest->next;
        }
        drop(oldest);
    }
    struct control_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        close(fd);
        return;
    }
    *client = (struct control_client){.watch = {.fd = -1, .ready = client_ready},
                                      .control = control,
                                      .next = control->clients,
                                      .fd = fd};
    control->clients = client;
    control->n_clients++;
    if (loop_watch(loop_of(control), &client->watch, fd, EPOLLIN) < 0) {
        drop(client);
    }
}

static void listener_ready(struct watch *watch, uint32_t events)
{
    struct control *control =
        (struct control *)(void *)((char *)watch - offsetof(struct control, listener));
    (void)events;
    int fd = accept4(control->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(control, fd);
    }
}

/* ---- life ---- */

int control_open(struct control *control, const char *path)
{
    control->fd = unix_bind_or_say(path, SOCK_STREAM);
    return control->fd < 0 ? control->fd : 0;
}

int control_start(struct control *control, struct session *session)
{
    control->session = session;
    control->listener = (struct watch){.fd = -1, .ready = listener_ready};
    return control->fd < 0 ? 0
                           : loop_watch(loop_of(control), &control->listener, control->fd, EPOLLIN);
}

void control_close(struct control *control)
{
    while (control->clients != NULL) {
        drop(control->clients);
    }
    if (control->fd >= 0) {
        if (control->session != NULL) {
            loop_unwatch(loop_of(control), &control->listener);
        }
        close(control->fd);
        control->fd = -1;
    }
}
