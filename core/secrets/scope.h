/* Which secrets a connection may get, and what was found about secrets in what it carries. */
#ifndef LN_SECRETS_SCOPE_H
#define LN_SECRETS_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secrets/vault.h"

struct secret_set {
    uint64_t words[VAULT_SECRETS_MAX / 64];
};

static inline void secret_set_add(struct secret_set *set, size_t i)
{
    set->words[i / 64] |= UINT64_C(1) << (i % 64);
}
static inline bool secret_set_has(const struct secret_set *set, size_t i)
{
    return (set->words[i / 64] >> (i % 64) & 1) != 0;
}
/* The first secret of the set from `i` on; VAULT_SECRETS_MAX: none.
 *     for (i = secret_set_next(&set, 0); i < VAULT_SECRETS_MAX; i = secret_set_next(&set, i + 1))
 */
size_t secret_set_next(const struct secret_set *set, size_t i);
bool secret_set_is_empty(const struct secret_set *set);

/* Where a placeholder stood. */
enum secret_place {
    SECRET_HEADER, /* a field, the method or the authority */
    SECRET_PATH,
    SECRET_QUERY,
    SECRET_BODY,
    SECRET_RAW, /* in what is no HTTP */
    SECRET_PLACES
};
const char *secret_place_name(enum secret_place place); /* "header" */

/* What is known of a connection to a host. */
struct secret_connection {
    const char *name;  /* that the guest called and that its requests must name: canonical; NULL */
    bool pinned;       /* the guest resolved it to this very address */
    bool verified_tls; /* intercepted, and the host showed a certificate for `name` */
};

/* The secrets of one connection: those that may be put into what goes over it, and those that its
 * host may hold, having got them over this or another. */
struct secret_scope {
    struct vault *vault;
    struct secret_set allowed, held;
};

/* Takes a reference to the vault. A secret is allowed where the connection's name matches its
 * `allow_hosts`, is pinned, and TLS is verified unless the secret does without. It is held where
 * the name matches, or where there is none. */
void secret_scope_init(struct secret_scope *scope, struct vault *vault,
                       const struct secret_connection *connection);
/* Releases the vault; also for a scope of zeros. */
void secret_scope_end(struct secret_scope *scope);

/* What was found in a request, or in a stream that is none. Zero-initialise to start; it is added
 * to. */
struct secret_report {
    struct secret_set used;                      /* their values were put in */
    struct secret_set missing;                   /* would have been, but have no value */
    struct secret_set violations[SECRET_PLACES]; /* placeholders on their way to a wrong host */
    struct secret_set passed; /* in: whose placeholders may go there for all that: no violation */
};
bool secret_report_has_violations(const struct secret_report *report);
/* The first violation, by place. Returns whether there is one. */
bool secret_report_first(const struct secret_report *report, size_t *ret_secret,
                         enum secret_place *ret_place);
/* Forgets the violations, and lets their placeholders pass from here on ("pass-placeholder"). */
void secret_report_pass(struct secret_report *report);

#endif
