/* What the rest of this folder does with a vault. */
#ifndef LN_SECRETS_VAULT_USE_H
#define LN_SECRETS_VAULT_USE_H

#include "base/byte_queue.h"
#include "secrets/automaton.h"
#include "secrets/encode.h"
#include "secrets/vault.h"

/* Appends the value of secret `i`, encoded, to what goes to a host that may have it. Returns 0,
 * -ENOBUFS or -ENOMEM; -ENOENT when it has none. */
int vault_put(struct vault *vault, size_t i, enum encoding encoding, struct byte_queue *out);
/* Of all placeholders; the number of a pattern's secret is that of the vault. Borrowed until
 * vault_adopt(). */
struct automaton *vault_placeholders(const struct vault *vault);
/* Of all values that responses are searched for, and those before them. Made when it is not there;
 * borrowed until a value changes. Returns 0, -E2BIG or -ENOMEM. */
int vault_values(struct vault *vault, struct automaton **ret);
/* Whether the secret may be put in for a host of this name: `name` is canonical. */
bool vault_is_for(const struct vault *vault, size_t i, const char *name);
bool vault_requires_tls(const struct vault *vault, size_t i);
unsigned vault_inject(const struct vault *vault, size_t i); /* LN_INJECT_* set */

#endif
