/* What a gateway trusts, and what it holds for its guest: the interception CA, the roots of its
 * upstreams, and the vault of secrets, whose values are read again while the gateway runs. Made of
 * credentials (net/credentials.h) at the start and at each reload. */
#ifndef LN_NET_TRUST_H
#define LN_NET_TRUST_H

#include "base/events.h"
#include "lunette/gateway.h"
#include "net/credentials.h"
#include "net/loop.h"

struct trust;        /* one a gateway */
struct trust_change; /* what a reload would make of it */

/* Reads what the policy of `config` names. Secrets that are read again later are told to `events`
 * (reload, with a name). Returns 0, or a negative errno with *reterr filled: all
 * problems, as far as they fit. */
int trust_new(struct loop *loop, struct events *events, const ln_config *config, struct trust **ret,
              ln_error *reterr);
/* Takes NULL, returns NULL. */
struct trust *trust_free(struct trust *trust);
/* Once a second: begins to read secrets that are due. Files are read here; commands in the loop, by
 * and by. */
void trust_tick(struct trust *trust);

/* Reads what a policy that is to be swapped in names. Nothing changes yet. Returns 0 and what
 * trust_commit() or trust_abandon() must take, or a negative errno with *reterr filled. */
int trust_prepare(struct trust *trust, ln_policy *policy, struct trust_change **ret,
                  ln_error *reterr);
/* Swaps it in. Made-up placeholders stay where the secret's `env` is the same, values of commands
 * too, which are run again at once. The vault before is let go of. Cannot fail. */
void trust_commit(struct trust *trust, struct trust_change *change);
/* Takes NULL. */
void trust_abandon(struct trust_change *change);

/* NULL: nothing was ever intercepted. From then on the same for the gateway's life. */
struct tls_authority *trust_authority(const struct trust *trust);
/* Of the policy in force, in its order; borrowed until the next reload. */
struct vault *trust_vault(const struct trust *trust);
/* What an upstream of this name (canonical; NULL: it has none) is verified against: of patterns
 * that match, the longest. NULL where nothing is intercepted. Borrowed until the next reload:
 * whoever keeps it takes a reference. */
struct tls_roots *trust_roots(const struct trust *trust, const char *name);
/* Whether it is verified at all. */
bool trust_verifies(const struct trust *trust, const char *name);

/* ln_gateway_ca(), ln_gateway_host_cas(), ln_gateway_secrets(). */
const char *trust_ca(const struct trust *trust);
const char *trust_host_cas(const struct trust *trust);
void trust_secrets(const struct trust *trust,
                   void (*visit)(void *user, const ln_secret_status *status), void *user);

#endif
