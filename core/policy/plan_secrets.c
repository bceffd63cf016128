/* Secrets: where their values come from and where they may go. Values are not read here, and no
 * problem shows one. */
#include <stdlib.h>
#include <string.h>

#include "policy/plan_parts.h"

#define A_SOURCE "one of value, from_env, from_file, command"

enum { SECRETS_MAX = 1024, PLACEHOLDER_MAX = 1024, REFRESH_S_MAX = 30 * 24 * 3600 };

/* A secret as written; a value of NULL: not given. */
struct draft {
    struct place env, sources[LN_SECRET_COMMAND + 1]; /* by ln_secret_source */
    struct place refresh, allow_hosts, placeholder, inject, require_tls, on_violation;
};

#define LATER(member) .read = read_later, .offset = offsetof(struct draft, member)
static const struct field secret_fields[] = {
    {.key = "env", LATER(env)},
    {.key = "value", LATER(sources[LN_SECRET_VALUE]), .hidden = true},
    {.key = "from_env", LATER(sources[LN_SECRET_FROM_ENV])},
    {.key = "from_file", LATER(sources[LN_SECRET_FROM_FILE])},
    {.key = "command", LATER(sources[LN_SECRET_COMMAND])},
    {.key = "refresh_s", LATER(refresh)},
    {.key = "allow_hosts", LATER(allow_hosts)},
    {.key = "placeholder", LATER(placeholder)},
    {.key = "inject", LATER(inject)},
    {.key = "require_tls", LATER(require_tls)},
    {.key = "on_violation", LATER(on_violation)},
};
#undef LATER

struct secrets {
    struct build *build;
    ln_secret *secrets;
    size_t n;                  /* with those that have mistakes: their values are to be wiped too */
    ln_violation on_violation; /* of the whole sandbox */
    int violation_handler;
};

/* ---- fields ---- */

/* A name that a shell can hold (POSIX.1-2017, Base Definitions, section 8.1). */
static const char *read_env(struct schema *schema, const struct place *place)
{
    static const char *const accepted = "a variable's name such as \"GITHUB_TOKEN\"";
    if (!schema_text(schema, place, accepted)) {
        return NULL;
    }
    const char *name = place->value->string.data;
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    if (name[strspn(name, letters)] != '\0' || strchr("0123456789", name[0]) != NULL) {
        schema_wrong(schema, place, accepted, "it is not the name of a variable");
        return NULL;
    }
    return schema_copy(schema, place);
}

static void read_source(struct schema *schema, const struct place *up, const struct draft *draft,
                        ln_secret *secret)
{
    bool found = false;
    for (unsigned i = 0; i <= LN_SECRET_COMMAND; i++) {
        const struct place *place = &draft->sources[i];
        if (place->value == NULL) {
            continue;
        }
        if (found) {
            schema_wrong(schema, place, A_SOURCE, "the secret has another source already");
        } else if (schema_text(schema, place, "a string")) {
            secret->from = (ln_secret_source)i;
            secret->source = schema_copy(schema, place);
            secret->line = place_line(place);
            secret->source_len = secret->source == NULL ? 0 : place->value->string.len;
        }
        found = true;
    }
    if (!found) {
        schema_missing(schema, up, "value", A_SOURCE);
    }
}

/* Only what can change by itself is worth another look. */
static void read_refresh(struct schema *schema, const struct place *place, ln_secret *secret)
{
    uint64_t seconds;
    if (secret->from == LN_SECRET_VALUE || secret->from == LN_SECRET_FROM_ENV) {
        schema_wrong(schema, place, "a secret with from_file or command",
                     "this secret cannot change while lunette runs");
    } else if (schema_integer(schema, place, 1, REFRESH_S_MAX, &seconds)) {
        secret->refresh_s = (uint32_t)seconds;
    }
}

static void read_hosts(struct schema *schema, const struct place *place, ln_secret *secret)
{
    size_t mistakes = schema->mistakes;
    read_patterns(schema, place, &secret->hosts, &secret->n_hosts);
    if (secret->n_hosts == 0 && schema->mistakes == mistakes) {
        schema_wrong(schema, place, "at least one host", "the list is empty");
    }
}

static const char *read_placeholder(struct schema *schema, const struct place *place)
{
    static const char *const accepted = "1 to 1024 bytes without NUL, CR, LF";
    if (!schema_text(schema, place, accepted)) {
        return NULL;
    }
    if (place->value->string.len > PLACEHOLDER_MAX) {
        schema_wrong(schema, place, accepted, "it is too long");
        return NULL;
    }
    if (strpbrk(place->value->string.data, "\r\n") != NULL) {
        schema_wrong(schema, place, accepted, "it has a line break");
        return NULL;
    }
    return schema_copy(schema, place);
}

struct inject {
    bool headers, basic_auth, query, body;
};

static const struct field inject_fields[] = {
    {.key = "headers", .read = read_bool, .offset = offsetof(struct inject, headers)},
    {.key = "basic_auth", .read = read_bool, .offset = offsetof(struct inject, basic_auth)},
    {.key = "query", .read = read_bool, .offset = offsetof(struct inject, query)},
    {.key = "body", .read = read_bool, .offset = offsetof(struct inject, body)},
};

static unsigned read_inject(struct schema *schema, const struct place *place)
{
    struct inject inject = {.headers = true, .basic_auth = true};
    if (place->value != NULL) {
        schema_table(schema, place, inject_fields, COUNT_OF(inject_fields), &inject);
    }
    return (inject.headers ? LN_INJECT_HEADERS : 0u) |
           (inject.basic_auth ? LN_INJECT_BASIC_AUTH : 0u) | (inject.query ? LN_INJECT_QUERY : 0u) |
           (inject.body ? LN_INJECT_BODY : 0u);
}

static void read_violation(struct build *build, const struct place *place, ln_violation *ret,
                           int *ret_handler)
{
    static const char *const words[] = {"block", "block-and-log", "block-and-terminate"};
    if (place->value->type == VALUE_FUNCTION) {
        *ret = LN_VIOLATION_HANDLER;
        *ret_handler = read_function(build, place);
        return;
    }
    unsigned number;
    if (schema_choice(&build->schema, place, "action", words, COUNT_OF(words), &number)) {
        *ret = (ln_violation)number;
        *ret_handler = 0;
    }
}

/* ---- a secret against the rest ---- */

/* Whether every name of `inner` is one of `outer`. */
static bool covers(const ln_name_pattern *outer, const ln_name_pattern *inner)
{
    if (!outer->below) {
        return !inner->below && strcmp(outer->name, inner->name) == 0;
    }
    size_t outer_len = strlen(outer->name);
    size_t inner_len = strlen(inner->name);
    if (inner->below && strcmp(outer->name, inner->name) == 0) {
        return true;
    }
    return inner_len > outer_len && inner->name[inner_len - outer_len - 1] == '.' &&
           strcmp(inner->name + inner_len - outer_len, outer->name) == 0;
}

/* Whether no server of these names is ever verified. */
static bool never_verified(const ln_tls_settings *tls, const ln_name_pattern *host)
{
    bool unverified = !tls->verify_upstream;
    for (size_t i = 0; i < tls->n_verify_for; i++) {
        const ln_tls_verify_for *of = &tls->verify_for[i];
        if (of->verify && (covers(&of->host, host) || covers(host, &of->host))) {
            return false;
        }
        unverified |= !of->verify && covers(&of->host, host);
    }
    return unverified;
}

/* A secret goes only to hosts whose connections are intercepted, and that are verified. */
static void check_intercepted(struct build *build, const struct place *place,
                              const ln_secret *secret)
{
    const ln_tls_settings *tls = &build->settings.tls;
    if (!secret->require_tls) {
        return;
    }
    if (!tls->intercept || tls->n_ports == 0) {
        schema_wrong(&build->schema, place, "a policy with tls = {}, or require_tls = false",
                     "the secret could never be used: no connection is intercepted");
        return;
    }
    for (size_t i = 0; i < secret->n_hosts; i++) {
        if (never_verified(tls, &secret->hosts[i])) {
            schema_wrong(&build->schema, place, "hosts that are verified, or require_tls = false",
                         "the secret could never be used: its host \"%s%s\" is not verified",
                         secret->hosts[i].below ? "*." : "", secret->hosts[i].name);
        }
        for (size_t k = 0; k < tls->n_bypass; k++) {
            if (covers(&tls->bypass[k], &secret->hosts[i])) {
                schema_wrong(&build->schema, place, "hosts that tls.bypass leaves out",
                             "the secret could never be used: tls.bypass holds its host \"%s%s\"",
                             secret->hosts[i].below ? "*." : "", secret->hosts[i].name);
            }
        }
    }
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Whether a placeholder shows in what is made up for a variable: "$LUNETTE_", the variable, "_",
 * and chance. */
static bool shows_in_made_up(const char *placeholder, const char *env)
{
    static const char front[] = "$LUNETTE_";
    size_t len = strlen(placeholder);
    if (strstr(front, placeholder) != NULL || strstr(env, placeholder) != NULL) {
        return true;
    }
    for (size_t n = 1; n < len && n < sizeof(front); n++) {
        if (strncmp(front + sizeof(front) - 1 - n, placeholder, n) == 0 &&
            strncmp(env, placeholder + n, len - n) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether one placeholder is part of the other: what a request has of them could not be told. */
static bool nested(const ln_secret *a, const ln_secret *b)
{
    if (a->placeholder == NULL || b->placeholder == NULL) {
        const char *given = a->placeholder != NULL ? a->placeholder : b->placeholder;
        const char *env = a->placeholder != NULL ? b->env : a->env;
        return given != NULL && env != NULL && shows_in_made_up(given, env);
    }
    return strstr(a->placeholder, b->placeholder) != NULL ||
           strstr(b->placeholder, a->placeholder) != NULL;
}

/* Two secrets need variables and placeholders of their own. */
static void check_unique(struct schema *schema, const struct place *place,
                         const struct secrets *all, const ln_secret *secret)
{
    for (const ln_secret *other = all->secrets; other < secret; other++) {
        if (same(other->env, secret->env)) {
            schema_wrong(schema, place, NULL, "%s has the same `env`", other->origin);
        }
        if (same(other->placeholder, secret->placeholder)) {
            schema_wrong(schema, place, NULL, "%s has the same placeholder", other->origin);
        } else if (nested(other, secret)) {
            schema_wrong(schema, place, NULL, "its placeholder and that of %s hold each other",
                         other->origin);
        }
    }
}

static void read_fields(struct secrets *all, const struct place *up, const struct draft *draft,
                        ln_secret *secret)
{
    struct schema *schema = &all->build->schema;
    if (draft->env.value == NULL) {
        schema_missing(schema, up, "env", "the guest's variable for the placeholder");
    } else {
        secret->env = read_env(schema, &draft->env);
    }
    read_source(schema, up, draft, secret);
    if (draft->refresh.value != NULL) {
        read_refresh(schema, &draft->refresh, secret);
    }
    if (draft->allow_hosts.value == NULL) {
        schema_missing(schema, up, "allow_hosts", "a list of the hosts that may get the secret");
    } else {
        read_hosts(schema, &draft->allow_hosts, secret);
    }
    if (draft->placeholder.value != NULL) {
        secret->placeholder = read_placeholder(schema, &draft->placeholder);
    }
    secret->inject = read_inject(schema, &draft->inject);
    if (draft->require_tls.value != NULL) {
        schema_bool(schema, &draft->require_tls, &secret->require_tls);
    }
    if (draft->on_violation.value != NULL) {
        read_violation(all->build, &draft->on_violation, &secret->on_violation,
                       &secret->violation_handler);
    }
}

static void read_secret(struct schema *schema, const struct place *item, void *out)
{
    struct secrets *all = out;
    size_t mistakes = schema->mistakes;
    struct draft draft = {0};
    schema_table(schema, item, secret_fields, COUNT_OF(secret_fields), &draft);
    if (item->value->type != VALUE_TABLE) {
        return;
    }
    ln_secret *secret = &all->secrets[all->n++];
    *secret = (ln_secret){.require_tls = true,
                          .on_violation = all->on_violation,
                          .violation_handler = all->violation_handler,
                          .origin = schema_path(schema, item)};
    read_fields(all, item, &draft, secret);
    if (schema->mistakes == mistakes && !schema->out_of_memory) {
        check_intercepted(all->build, item, secret);
        check_unique(schema, item, all, secret);
    }
}

void build_secrets(struct build *build)
{
    struct schema *schema = &build->schema;
    struct secrets all = {.build = build, .on_violation = LN_VIOLATION_BLOCK_AND_LOG};
    if (build->on_secret_violation.value != NULL) {
        read_violation(build, &build->on_secret_violation, &all.on_violation,
                       &all.violation_handler);
    }
    if (build->secrets.value == NULL) {
        return;
    }
    if (value_count(build->secrets.value) > SECRETS_MAX) {
        schema_wrong(schema, &build->secrets, "a list of secrets", "it has more than 1024");
        return;
    }
    all.secrets = schema_array(schema, value_count(build->secrets.value), sizeof(*all.secrets));
    if (all.secrets != NULL) {
        schema_each(schema, &build->secrets, "a list of secrets", read_secret, &all);
        build->settings.secrets = all.secrets;
        build->settings.n_secrets = all.n;
    }
}
