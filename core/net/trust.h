/* What a gateway trusts, and what it holds for its guest: the interception CA, the roots of its
 * upstreams, the vault of secrets and their rotation. Made of credentials (net/credentials.h) at
 * the start and at each reload. */
#ifndef LN_NET_TRUST_H
#define LN_NET_TRUST_H

#include "lunette/gateway.h"
#include "net/loop.h"

struct authority; /* tls/authority.h */
struct roots;     /* tls/roots.h */
struct vault;     /* secrets/vault.h */

struct trust;        /* one a gateway */
struct trust_change; /* what a reload would make of it */

/* Reads what the policy of `config` names; then secrets are read again in `loop` when they are due.
 * `tell` is called with a sentence when one cannot be (NULL: nobody is told). Returns 0, or a
 * negative errno with *reterr filled. */
int trust_new(struct loop *loop, const ln_config *config,
              void (*tell)(void *user, const char *secret, const char *why), void *user,
              struct trust **ret, ln_error *reterr);
/* Takes NULL. */
void trust_free(struct trust *trust);

/* Reads what a policy that is to be swapped in names. Nothing changes yet. Returns 0 and what
 * trust_commit() or trust_abandon() must take, or a negative errno with *reterr filled. */
int trust_prepare(struct trust *trust, const ln_policy *policy, struct trust_change **ret,
                  ln_error *reterr);
/* Swaps it in: placeholders stay where the secret's `env` is the same, values of commands too until
 * they have run again. The vault before is freed. Cannot fail. */
void trust_commit(struct trust *trust, struct trust_change *change);
/* Takes NULL. */
void trust_abandon(struct trust_change *change);

/* NULL: nothing is intercepted. The same for the gateway's life. */
struct authority *trust_authority(const struct trust *trust);
/* NULL: there are no secrets. Borrowed until the next reload. */
struct vault *trust_vault(const struct trust *trust);
/* The roots that an upstream of this name (NULL: it has none) is verified against; borrowed until
 * the next reload: whoever keeps it takes a reference. */
struct roots *trust_roots(const struct trust *trust, const char *name);
/* Whether it is verified at all. */
bool trust_verifies(const struct trust *trust, const char *name);
/* For ln_gateway_ca(), ln_gateway_host_cas() and ln_gateway_secrets(). */
const char *trust_ca(const struct trust *trust);
const char *trust_host_cas(const struct trust *trust);
void trust_secrets(const struct trust *trust,
                   void (*visit)(void *user, const ln_secret_status *status), void *user);

#endif
