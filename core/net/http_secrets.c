/* The secrets of an intercepted connection: which may go into its requests, and what is done about
 * placeholders on their way to where they may not go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_judge.h"
#include "net/trust.h"

/* ---- scopes ---- */

void intercept_scope_unref(struct shared_scope *scope)
{
    if (scope != NULL && --scope->references == 0) {
        secret_scope_end(&scope->scope);
        free(scope);
    }
}

static struct shared_scope *scope_ref(struct shared_scope *scope)
{
    scope->references++;
    return scope;
}

static struct shared_scope *make_scope(struct tcp_flow *f, struct vault *vault, bool pinned,
                                       bool verified)
{
    struct shared_scope *scope = calloc(1, sizeof(*scope));
    if (scope != NULL) {
        struct secret_connection connection = {
            .name = f->flow.name, .pinned = pinned, .verified_tls = verified};
        scope->references = 1;
        scope->pinned = pinned;
        secret_scope_init(&scope->scope, vault, &connection);
    }
    return scope;
}

static bool is_pinned(const struct tcp_flow *f)
{
    return f->flow.name != NULL &&
           ln_pins_has(f->gw->admission.pins, f->flow.name, &f->flow.key.peer, f->gw->loop.now_ns);
}

/* It is made anew when the secrets were replaced, or the name is no longer pinned. */
struct shared_scope *intercept_scope(struct interception *ix, int *ret_error)
{
    struct tcp_flow *f = ix->flow;
    struct vault *vault = trust_vault(f->gw->trust);
    *ret_error = 0;
    if (vault == NULL || vault_count(vault) == 0) {
        return NULL;
    }
    bool pinned = is_pinned(f);
    if (ix->scope == NULL || ix->scope->scope.vault != vault || ix->scope->pinned != pinned) {
        struct shared_scope *scope = make_scope(f, vault, pinned, ix->verified);
        if (scope == NULL) {
            *ret_error = -ENOMEM;
            return NULL;
        }
        intercept_scope_unref(ix->scope);
        ix->scope = scope;
    }
    return scope_ref(ix->scope);
}

/* ---- violations ---- */

static const ln_secret *secret_named(const ln_gateway *gw, const char *env)
{
    const ln_settings *settings = ln_policy_settings(gw->admission.policy);
    for (size_t i = 0; i < settings->n_secrets; i++) {
        if (strcmp(settings->secrets[i].env, env) == 0) {
            return &settings->secrets[i];
        }
    }
    return NULL;
}

static void tell_handler_error(const struct tcp_flow *f, const char *secret)
{
    ln_event event = admission_event(&f->gw->admission, LN_EVENT_HANDLER_ERROR, &f->flow);
    event.secret = secret;
    event.reason = ln_reason_name(LN_REASON_HANDLER_ERROR);
    event.detail = ln_policy_handler_error(f->gw->admission.policy);
    events_tell(&f->gw->events, &event);
}

/* Asks what is to be done about one violation, and tells it. */
static ln_violation judge_one(struct tcp_flow *f, const char *env, enum secret_place place,
                              const struct violation_context *context)
{
    ln_gateway *gw = f->gw;
    ln_violation action = LN_VIOLATION_BLOCK_AND_LOG;
    const ln_secret *secret = secret_named(gw, env);
    ln_violation_view view = {
        .secret = env,
        .host = f->flow.name,
        .address = f->flow.key.peer,
        .port = f->flow.key.peer_port,
        .method = context->method,
        .path = context->path,
        .place = secret_place_name(place),
    };
    if (secret != NULL &&
        ln_policy_judge_violation(gw->admission.policy, secret, &view, &action) < 0) {
        tell_handler_error(f, env);
    }
    ln_event event = admission_event(&gw->admission, LN_EVENT_SECRET_VIOLATION, &f->flow);
    event.secret = env;
    event.place = view.place;
    event.method = context->method;
    event.path = context->path;
    event.action = action == LN_VIOLATION_PASS_PLACEHOLDER ? "allow" : "deny";
    event.reason = ln_violation_name(action);
    events_tell(&gw->events, &event);
    if (action == LN_VIOLATION_BLOCK_AND_TERMINATE) {
        char address[LN_ADDR_TEXT_MAX];
        ln_addr_format(&f->flow.key.peer, address);
        gateway_condemn(gw, "the placeholder of %s was on its way to %s", env,
                        f->flow.name != NULL ? f->flow.name : address);
    }
    return action;
}

/* Of two, the one that does more. */
static ln_violation graver(ln_violation a, ln_violation b)
{
    static const uint8_t gravity[] = {
        [LN_VIOLATION_PASS_PLACEHOLDER] = 0,
        [LN_VIOLATION_BLOCK_AND_LOG] = 1,
        [LN_VIOLATION_HANDLER] = 1,
        [LN_VIOLATION_BLOCK] = 2,
        [LN_VIOLATION_BLOCK_AND_TERMINATE] = 3,
    };
    return gravity[a] > gravity[b] ? a : b;
}

ln_violation http_judge_violations(struct tcp_flow *f, const struct secret_scope *scope,
                                   struct secret_report *report,
                                   const struct violation_context *context)
{
    ln_violation all = LN_VIOLATION_PASS_PLACEHOLDER;
    for (int place = 0; place < SECRET_PLACES; place++) {
        const struct secret_set *set = &report->violations[place];
        for (size_t i = secret_set_next(set, 0); i < VAULT_SECRETS_MAX;
             i = secret_set_next(set, i + 1)) {
            ln_violation one =
                judge_one(f, vault_env(scope->vault, i), (enum secret_place)place, context);
            all = graver(all, one);
        }
    }
    if (all == LN_VIOLATION_PASS_PLACEHOLDER) {
        secret_report_pass(report);
    }
    return all;
}

/* ---- bytes that are no HTTP ---- */

static int scan(struct tcp_flow *f, struct secret_scanner *scanner,
                const struct secret_scope *scope, struct secret_report *report, const uint8_t *data,
                size_t len)
{
    static const struct violation_context none = {0};
    while (secret_scan_raw(scanner, data, len, SECRET_RAW, report) < 0) {
        if (!secret_report_has_violations(report) ||
            http_judge_violations(f, scope, report, &none) != LN_VIOLATION_PASS_PLACEHOLDER) {
            f->reason = "secret_violation";
            return -EACCES;
        }
    }
    return 0;
}

int intercept_scan(void *user, const uint8_t *data, size_t len)
{
    struct interception *ix = user;
    int r = 0;
    if (ix->scanner == NULL) {
        ix->scanned = intercept_scope(ix, &r);
        if (ix->scanned == NULL) {
            return r;
        }
        r = secret_scanner_new(&ix->scanned->scope, &ix->scanner);
        if (r < 0) {
            return r;
        }
    }
    return scan(ix->flow, ix->scanner, &ix->scanned->scope, &ix->scan_report, data, len);
}

int intercept_scan_first(struct tcp_flow *f, const uint8_t *data, size_t len)
{
    struct vault *vault = trust_vault(f->gw->trust);
    struct secret_scanner *scanner = NULL;
    struct secret_report report = {0};
    if (vault == NULL || vault_count(vault) == 0) {
        return 0;
    }
    struct shared_scope *scope = make_scope(f, vault, is_pinned(f), false);
    int r = scope == NULL ? -ENOMEM : secret_scanner_new(&scope->scope, &scanner);
    r = r < 0 ? r : scan(f, scanner, &scope->scope, &report, data, len);
    secret_scanner_free(scanner);
    intercept_scope_unref(scope);
    return r;
}
