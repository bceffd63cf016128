/* The secrets of a policy: their placeholders, which the guest holds, and their values, which it
 * never does.
 *
 * Nothing here gives a value away: it comes out of a vault only as part of a request that
 * secrets/rewrite or secrets/body wrote for a scope that allows it. It is of the process that made
 * it: in a fork the secrets have no values. */
#ifndef LN_SECRETS_VAULT_H
#define LN_SECRETS_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lunette/policy.h"

enum {
    VAULT_SECRETS_MAX = 1024,
    VAULT_VALUE_MAX = 8 << 10,       /* bytes */
    VAULT_PLACEHOLDER_MAX = 1 << 10, /* bytes */
    /* Bytes. A shorter value would be "found" by chance in what servers answer, and each such
     * finding would tell the guest what it is: it is not looked for. */
    VAULT_ECHO_MIN = 8
};

struct vault; /* counted; of one thread */

/* What to read from `secrets` is copied; none has a value to start with, a LN_SECRET_VALUE neither.
 * `random` is cryptographic and used during the call only: it makes up the placeholders that the
 * policy does not set, "$LUNETTE_" ENV "_" and 16 letters and digits. Returns 0 and a vault with
 * one reference; -E2BIG over VAULT_SECRETS_MAX; -EINVAL for a placeholder that the plan refuses
 * (empty, too long, with NUL, CR or LF, or part of another's); or -ENOMEM. */
int vault_new(const ln_secret *secrets, size_t n,
              void (*random)(void *user, uint8_t *dst, size_t len), void *user, struct vault **ret);
struct vault *vault_ref(struct vault *vault);
/* Takes NULL, returns NULL. With the last reference the values are wiped. */
struct vault *vault_unref(struct vault *vault);

/* Gives secret `i` (from 0, in the order of the policy) its value, at start or to rotate it: the
 * placeholder stays. Until it is set again, responses are also searched for the value before.
 * Returns 0, -ENOMEM, or -EINVAL with a static reason in *ret_why (may be NULL): it is empty, over
 * VAULT_VALUE_MAX, has NUL, CR, LF, another control character than TAB, or a space at an end (no
 * header could hold it). The caller wipes its own copy. */
int vault_set(struct vault *vault, size_t i, const void *value, size_t len, const char **ret_why);
/* Forgets the value: the placeholder is put in nowhere until the value is set again. */
void vault_clear(struct vault *vault, size_t i);

/* After a reload, before `vault` is used: a secret that `old` has under the same variable keeps its
 * made-up placeholder, and, if it has no value yet and comes from the same place, its value; if
 * not, that value is one before. The placeholders of a guest that runs stay valid so. Returns 0 or
 * -ENOMEM: then `vault` is as it was.
 */
int vault_adopt(struct vault *vault, const struct vault *old);

size_t vault_count(const struct vault *vault);
/* The variable of the guest's environment, and what it holds; borrowed from the vault. */
const char *vault_env(const struct vault *vault, size_t i);
const char *vault_placeholder(const struct vault *vault, size_t i);
bool vault_has_value(const struct vault *vault, size_t i);
/* Whether responses are searched for it: false where the value is shorter than VAULT_ECHO_MIN,
 * which the operator should be told. */
bool vault_echoes(const struct vault *vault, size_t i);
/* Whether all values are in memory that is never swapped out; false where RLIMIT_MEMLOCK does not
 * reach, which the operator should be told. They are left out of core dumps and forks anyway. */
bool vault_is_locked(const struct vault *vault);

#endif
