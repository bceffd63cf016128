#include "secrets/scope.h"

#include <assert.h>

#include "secrets/vault_use.h"

/* ---- sets ---- */

size_t secret_set_next(const struct secret_set *set, size_t i)
{
    for (; i < VAULT_SECRETS_MAX; i = (i / 64 + 1) * 64) {
        uint64_t rest = set->words[i / 64] >> (i % 64);
        if (rest != 0) {
            return i + (size_t)__builtin_ctzll(rest);
        }
    }
    return VAULT_SECRETS_MAX;
}

bool secret_set_is_empty(const struct secret_set *set)
{
    return secret_set_next(set, 0) == VAULT_SECRETS_MAX;
}

/* ---- scopes ---- */

static bool allows(const struct vault *vault, size_t i, const struct secret_connection *connection)
{
    return connection->name != NULL && connection->pinned &&
           (connection->verified_tls || !vault_requires_tls(vault, i)) &&
           vault_is_for(vault, i, connection->name);
}

void secret_scope_init(struct secret_scope *scope, struct vault *vault,
                       const struct secret_connection *connection)
{
    *scope = (struct secret_scope){.vault = vault_ref(vault)};
    for (size_t i = 0; i < vault_count(vault); i++) {
        if (allows(vault, i, connection)) {
            secret_set_add(&scope->allowed, i);
        }
        if (connection->name == NULL || vault_is_for(vault, i, connection->name)) {
            secret_set_add(&scope->held, i);
        }
    }
}

void secret_scope_end(struct secret_scope *scope)
{
    scope->vault = vault_unref(scope->vault);
    scope->allowed = scope->held = (struct secret_set){0};
}

/* ---- reports ---- */

const char *secret_place_name(enum secret_place place)
{
    static const char *const names[] = {
        [SECRET_HEADER] = "header", [SECRET_PATH] = "path", [SECRET_QUERY] = "query",
        [SECRET_BODY] = "body",     [SECRET_RAW] = "raw",
    };
    static_assert(sizeof(names) / sizeof(*names) == SECRET_PLACES, "one for each place");
    return names[place];
}

bool secret_report_first(const struct secret_report *report, size_t *ret_secret,
                         enum secret_place *ret_place)
{
    for (unsigned place = 0; place < SECRET_PLACES; place++) {
        size_t secret = secret_set_next(&report->violations[place], 0);
        if (secret < VAULT_SECRETS_MAX) {
            *ret_secret = secret;
            *ret_place = (enum secret_place)place;
            return true;
        }
    }
    return false;
}

bool secret_report_has_violations(const struct secret_report *report)
{
    size_t secret;
    enum secret_place place;
    return secret_report_first(report, &secret, &place);
}

void secret_report_pass(struct secret_report *report)
{
    for (unsigned place = 0; place < SECRET_PLACES; place++) {
        for (size_t i = 0; i < VAULT_SECRETS_MAX / 64; i++) {
            report->passed.words[i] |= report->violations[place].words[i];
        }
        report->violations[place] = (struct secret_set){0};
    }
}
