/* Requests over an intercepted connection: whom they are for, whether the policy allows them, and
 * what becomes of the placeholders in them. The filter of the relay.
 *
 * A request is judged in this order: it names the host that the connection is to (else 421: whoever
 * is behind one certificate could be reached under the name of another); the host can be had (else
 * 502); the policy allows it (else 403); then placeholders become values. Each request is told
 * once, when it is over. */
#include "net/http_judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "secrets/body.h"
#include "secrets/echo.h"
#include "secrets/rewrite.h"

struct request {
    ln_decision decision;
    const char *reason; /* why it was refused, a stable word; NULL: the decision's */
    char *method, *path;
    bool json; /* the client reads it */
    char *words;
    struct shared_scope *scope; /* NULL: there are no secrets */
    struct secret_report report;
    struct secret_set told; /* uses that secret_used was told of */
    struct secret_body *body;
    struct secret_echo *echo;
    struct secret_scanner *scanner;
};

static struct interception *ix_of(void *user)
{
    return user;
}

static char *copy(struct http_text text, size_t len)
{
    return strndup(text.at, len < text.len ? len : text.len);
}

/* ---- refusing ---- */

static bool accepts_json(const struct http_head *head)
{
    const struct http_field *accept = http_head_find(head, "accept");
    return accept != NULL && strcasestr(accept->value.at, "json") != NULL;
}

/* Answers in the host's place. */
static enum http_verdict answer(struct interception *ix, struct request *q,
                                struct http_refusal *refusal, struct http_answer *ret)
{
    char address[LN_ADDR_TEXT_MAX];
    ln_addr_format(&ix->flow->flow.key.peer, address);
    refusal->host = ix->flow->flow.name != NULL ? ix->flow->flow.name : address;
    refusal->method = q->method;
    refusal->path = q->path;
    free(q->words);
    q->words = http_answer_words(refusal, q->json);
    q->reason = refusal->reason;
    if (q->words == NULL) {
        return HTTP_RESET;
    }
    *ret = (struct http_answer){
        .status = refusal->status,
        .content_type = q->json ? "application/json" : NULL,
        .body = q->words,
        .body_len = strlen(q->words),
    };
    return HTTP_ANSWER;
}

static enum http_verdict refuse_by_policy(struct interception *ix, struct request *q,
                                          struct http_answer *ret)
{
    const ln_policy *policy = ix->flow->gw->admission.policy;
    const ln_rule *rule = q->decision.rule == 0 ? NULL : ln_policy_rule(policy, q->decision.rule);
    struct http_refusal refusal = {
        .status = 403,
        .layer = "http",
        .reason = ln_reason_name(q->decision.reason),
        .detail = rule != NULL ? "a rule of the policy refuses this request"
                               : "no rule of the policy allows this request",
        .next = "`lunette match --http` tells why; whoever owns the policy can allow it",
        .rule = q->decision.rule,
        .source_file = rule != NULL ? rule->file : NULL,
        .source_line = rule != NULL ? rule->line : 0,
    };
    return answer(ix, q, &refusal, ret);
}

/* ---- whom it is for ---- */

/* Whether the request names the host that the connection is to: by name where the guest showed one,
 * else by address. */
static bool is_for_host(const struct interception *ix, const struct http_head *head)
{
    const struct flow *flow = &ix->flow->flow;
    struct http_host host;
    if (head->authority.len == 0) {
        return ix->clear && flow->name == NULL; /* HTTP/1.0 without Host */
    }
    if (http_head_host(head, &host) < 0 || (host.port != 0 && host.port != flow->key.peer_port)) {
        return false;
    }
    return flow->name != NULL ? !host.is_address && strcmp(host.name, flow->name) == 0
                              : host.is_address && ln_addr_equal(&host.address, &flow->key.peer);
}

static enum http_verdict misdirected(struct interception *ix, struct request *q,
                                     struct http_answer *ret)
{
    struct http_refusal refusal = {
        .status = 421,
        .layer = "http",
        .reason = "authority_mismatch",
        .detail = "the request names another host than the connection",
        .next = "ask for that host over a connection of its own",
    };
    return answer(ix, q, &refusal, ret);
}

static enum http_verdict unreachable(struct interception *ix, struct request *q,
                                     struct http_answer *ret)
{
    struct http_refusal refusal = {
        .status = 502,
        .layer = "tls",
        .reason = ix->fault,
        .detail = ix->fault_message,
        .next = "mend the server's certificate, or name its CA in tls.upstream_ca_certs_for",
    };
    return answer(ix, q, &refusal, ret);
}

/* ---- what the policy says ---- */

static bool field_at(const void *user, size_t n, const char **ret_name, size_t *ret_name_len,
                     const char **ret_value, size_t *ret_value_len)
{
    const struct http_head *head = user;
    if (n >= head->n_fields) {
        return false;
    }
    *ret_name = head->fields[n].name.at;
    *ret_name_len = head->fields[n].name.len;
    *ret_value = head->fields[n].value.at;
    *ret_value_len = head->fields[n].value.len;
    return true;
}

static bool is_allowed(struct interception *ix, struct request *q, const struct http_head *head)
{
    struct tcp_flow *f = ix->flow;
    if (!f->flow.decision.inspect) {
        q->decision = f->flow.decision; /* which holds for all of them */
        return q->decision.action == LN_ALLOW;
    }
    ln_http_request request = {
        .method = head->method.at,
        .method_len = head->method.len,
        .path = head->path.at,
        .path_len = head->path.len,
        .field = field_at,
        .user = head,
    };
    gateway_judge_request(f->gw, &f->flow, f->flow.name, f->name_is_host, LN_HTTP_REQUEST, &request,
                          &q->decision);
    if (q->decision.rule != 0) {
        f->gw->admission.hits[q->decision.rule]++;
    }
    return q->decision.action == LN_ALLOW;
}

/* ---- secrets ---- */

/* Tells of values that were put in, each once a request. */
static void tell_used(struct interception *ix, struct request *q)
{
    const struct secret_set *used = &q->report.used;
    for (size_t i = secret_set_next(used, 0); i < VAULT_SECRETS_MAX;
         i = secret_set_next(used, i + 1)) {
        if (secret_set_has(&q->told, i)) {
            continue;
        }
        secret_set_add(&q->told, i);
        ln_event event =
            admission_event(&ix->flow->gw->admission, LN_EVENT_SECRET_USED, &ix->flow->flow);
        event.secret = vault_env(q->scope->scope.vault, i);
        event.method = q->method;
        event.path = q->path;
        event.reason = NULL;
        events_tell(&ix->flow->gw->events, &event);
    }
}

/* What was found is a violation. HTTP_PASS: it was let pass, and the same is to be offered again.
 */
static enum http_verdict violated(struct interception *ix, struct request *q,
                                  struct http_answer *ret)
{
    size_t secret = 0;
    enum secret_place place;
    if (!secret_report_first(&q->report, &secret, &place)) {
        return HTTP_RESET;
    }
    const char *env = vault_env(q->scope->scope.vault, secret);
    struct violation_context context = {.method = q->method, .path = q->path};
    switch (http_judge_violations(ix->flow, &q->scope->scope, &q->report, &context)) {
    case LN_VIOLATION_PASS_PLACEHOLDER:
        return HTTP_PASS;
    case LN_VIOLATION_BLOCK_AND_LOG:
        break;
    case LN_VIOLATION_BLOCK:
    case LN_VIOLATION_BLOCK_AND_TERMINATE:
    case LN_VIOLATION_HANDLER:
        q->reason = "secret_violation";
        return HTTP_RESET;
    }
    struct http_refusal refusal = {
        .status = 403,
        .layer = "secrets",
        .reason = "secret_violation",
        .detail = "the placeholder of a secret was on its way to a host that the secret is not for",
        .next = "leave it out; whoever owns the policy can name this host in allow_hosts",
        .secret = env,
    };
    return answer(ix, q, &refusal, ret);
}

static enum http_verdict without_value(struct interception *ix, struct request *q,
                                       struct http_answer *ret)
{
    size_t secret = secret_set_next(&q->report.missing, 0);
    struct http_refusal refusal = {
        .status = 502,
        .layer = "secrets",
        .reason = "secret_unavailable",
        .detail = "a secret of this request has no value now",
        .next = "see where the policy takes it from",
        .secret = vault_env(q->scope->scope.vault, secret),
    };
    return answer(ix, q, &refusal, ret);
}

/* The head of a request, or its trailers: placeholders become values. */
static enum http_verdict put_in(struct interception *ix, struct request *q, struct http_head *head,
                                struct http_answer *ret)
{
    int r;
    while ((r = secret_rewrite_request(&q->scope->scope, head, &q->report)) == -EPERM) {
        enum http_verdict verdict = violated(ix, q, ret);
        if (verdict != HTTP_PASS) {
            return verdict;
        }
    }
    if (r < 0) {
        q->reason = "too_large";
        return HTTP_RESET;
    }
    if (!secret_set_is_empty(&q->report.missing)) {
        return without_value(ix, q, ret);
    }
    tell_used(ix, q);
    return HTTP_PASS;
}

static enum http_verdict begin_secrets(struct interception *ix, struct http_exchange *x,
                                       struct request *q, struct http_head *head,
                                       struct http_answer *ret)
{
    int r;
    q->scope = intercept_scope(ix, &r);
    if (q->scope == NULL) {
        return r < 0 ? HTTP_RESET : HTTP_PASS;
    }
    enum http_verdict verdict = put_in(ix, q, head, ret);
    if (verdict == HTTP_PASS && secret_body_wanted(&q->scope->scope)) {
        x->filter_request_body = true;
        if (secret_body_new(&q->scope->scope, head, &q->body) < 0) {
            return HTTP_RESET;
        }
    }
    return verdict;
}

/* ---- the filter ---- */

static void free_request(struct request *q)
{
    if (q == NULL) {
        return;
    }
    secret_body_free(q->body);
    secret_echo_free(q->echo);
    secret_scanner_free(q->scanner);
    intercept_scope_unref(q->scope);
    free(q->method);
    free(q->path);
    free(q->words);
    free(q);
}

/* NULL when out of memory. */
static struct request *make_request(const struct http_head *head)
{
    struct request *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return NULL;
    }
    q->method = copy(head->method, SIZE_MAX);
    q->path = copy(head->path, strcspn(head->path.at, "?"));
    q->json = accepts_json(head);
    if (q->method == NULL || q->path == NULL) {
        free_request(q);
        return NULL;
    }
    return q;
}

static enum http_verdict on_request(void *user, struct http_exchange *x, struct http_head *head,
                                    struct http_answer *ret)
{
    struct interception *ix = ix_of(user);
    struct request *q = make_request(head);
    if (q == NULL) {
        return HTTP_RESET;
    }
    x->state = q;
    q->decision = (ln_decision){.action = LN_DENY};
    if (!is_for_host(ix, head)) {
        return misdirected(ix, q, ret);
    }
    if (ix->fault != NULL) {
        return unreachable(ix, q, ret);
    }
    if (!is_allowed(ix, q, head)) {
        return refuse_by_policy(ix, q, ret);
    }
    return begin_secrets(ix, x, q, head, ret);
}

static enum http_verdict on_request_body(void *user, struct http_exchange *x, const uint8_t *data,
                                         size_t len, bool end, struct byte_queue *out,
                                         struct http_answer *ret)
{
    struct interception *ix = ix_of(user);
    struct request *q = x->state;
    int r;
    while ((r = secret_body_feed(q->body, data, len, end, out, &q->report)) == -EPERM) {
        enum http_verdict verdict = violated(ix, q, ret);
        if (verdict != HTTP_PASS) {
            return verdict;
        }
    }
    if (r == 0 && !secret_set_is_empty(&q->report.missing)) {
        return without_value(ix, q, ret);
    }
    tell_used(ix, q);
    return r < 0 ? HTTP_RESET : HTTP_PASS;
}

static enum http_verdict on_response(void *user, struct http_exchange *x, struct http_head *head,
                                     struct http_answer *ret)
{
    struct request *q = x->state;
    (void)user;
    (void)ret;
    if (q->scope == NULL || !secret_echo_wanted(&q->scope->scope)) {
        return HTTP_PASS;
    }
    if (secret_echo_head(&q->scope->scope, head) < 0) {
        q->reason = "secret_echo";
        return HTTP_RESET;
    }
    if (head->status >= 200 && q->echo == NULL) {
        if (secret_echo_new(&q->scope->scope, head, &q->echo) < 0) {
            return HTTP_RESET;
        }
        x->filter_response_body = true;
    }
    return HTTP_PASS;
}

static enum http_verdict on_response_body(void *user, struct http_exchange *x, const uint8_t *data,
                                          size_t len, bool end, struct byte_queue *out)
{
    struct request *q = x->state;
    (void)user;
    return secret_echo_feed(q->echo, data, len, end, out) < 0 ? HTTP_RESET : HTTP_PASS;
}

static enum http_verdict on_trailers(void *user, struct http_exchange *x, enum http_way way,
                                     struct http_head *head)
{
    struct request *q = x->state;
    struct http_answer ignored;
    if (q->scope == NULL) {
        return HTTP_PASS;
    }
    if (way == HTTP_TO_UPSTREAM) {
        return put_in(ix_of(user), q, head, &ignored);
    }
    return secret_echo_head(&q->scope->scope, head) < 0 ? HTTP_RESET : HTTP_PASS;
}

/* What the host sends cannot be changed: its messages tell their lengths. */
static enum http_verdict watch_tunnel(struct request *q, const uint8_t *data, size_t len)
{
    if (!secret_echo_wanted(&q->scope->scope)) {
        return HTTP_PASS;
    }
    if (q->echo == NULL && secret_echo_new(&q->scope->scope, NULL, &q->echo) < 0) {
        return HTTP_RESET;
    }
    int r = secret_echo_watch(q->echo, data, len);
    q->reason = r == -EPERM ? "secret_echo" : q->reason;
    return r < 0 ? HTTP_RESET : HTTP_PASS;
}

static enum http_verdict on_tunnel(void *user, struct http_exchange *x, enum http_way way,
                                   const uint8_t *data, size_t len)
{
    struct request *q = x->state;
    struct http_answer ignored;
    if (q->scope == NULL) {
        return HTTP_PASS;
    }
    if (way == HTTP_TO_GUEST) {
        return watch_tunnel(q, data, len);
    }
    if (q->scanner == NULL && secret_scanner_new(&q->scope->scope, &q->scanner) < 0) {
        return HTTP_RESET;
    }
    while (secret_scan_raw(q->scanner, data, len, SECRET_RAW, &q->report) < 0) {
        if (violated(ix_of(user), q, &ignored) != HTTP_PASS) {
            return HTTP_RESET;
        }
    }
    return HTTP_PASS;
}

static void on_done(void *user, struct http_exchange *x, unsigned status, uint64_t bytes_out,
                    uint64_t bytes_in, const char *fault)
{
    struct interception *ix = ix_of(user);
    struct request *q = x->state;
    if (q == NULL) {
        return;
    }
    struct flow flow = ix->flow->flow;
    flow.decision = q->decision;
    ln_event event = admission_event(&ix->flow->gw->admission, LN_EVENT_HTTP_REQUEST, &flow);
    event.method = q->method;
    event.path = q->path;
    event.status = status;
    event.reason = q->reason != NULL ? q->reason : event.reason;
    event.action = q->reason != NULL && q->decision.action == LN_ALLOW ? "deny" : event.action;
    event.detail = fault;
    event.bytes_out = bytes_out;
    event.bytes_in = bytes_in;
    events_tell(&ix->flow->gw->events, &event);
    x->state = NULL;
    free_request(q);
}

static void on_refused(void *user, unsigned status, const char *fault)
{
    struct interception *ix = ix_of(user);
    ln_event event =
        admission_event(&ix->flow->gw->admission, LN_EVENT_HTTP_REQUEST, &ix->flow->flow);
    event.action = "deny";
    event.rule = 0;
    event.source_file = NULL;
    event.status = status;
    event.reason = "malformed";
    event.detail = fault;
    events_tell(&ix->flow->gw->events, &event);
}

const struct http_filter_ops intercept_filter = {
    .request = on_request,
    .request_body = on_request_body,
    .response = on_response,
    .response_body = on_response_body,
    .trailers = on_trailers,
    .tunnel = on_tunnel,
    .done = on_done,
    .refused = on_refused,
};
