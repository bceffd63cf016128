/* What CMD trusts: the roots of the file system that it sees and what lunette adds, in the places
 * and in the variables where programs look. */
#ifndef LN_CLI_GUEST_TRUST_H
#define LN_CLI_GUEST_TRUST_H

#include <stddef.h>

#include "cli/hide.h"

/* The certificates to add, PEM. Zero-initialise to start. */
struct guest_trust {
    char *pem;
    size_t len;
};

/* Adds a piece of them. Returns 0, -EFBIG or -ENOMEM. */
int guest_trust_add(struct guest_trust *trust, const char *piece);
/* Puts bundles over those of the system, in the mount namespace of this process, and their paths
 * into its environment; a file that a variable names already is merged in. Does nothing when there
 * is nothing to add. Frees what there was. Returns 0, or -errno after saying what failed. */
int guest_trust_apply(struct guest_trust *trust, const struct hide *hide);

#endif
