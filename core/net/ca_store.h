/* The interception CA in the user's data directory: `ca.pem` (0644) and `ca-key.pem` (0600) in a
 * directory of mode 0700, made on first use. */
#ifndef LN_NET_CA_STORE_H
#define LN_NET_CA_STORE_H

#include <limits.h>

#include "tls/authority.h"

struct ca_store {
    char dir[PATH_MAX];
    char certificate[PATH_MAX], key[PATH_MAX]; /* paths in it */
};

enum ca_store_how {
    CA_STORE_LOOK,   /* read only: -ENOENT where there is none */
    CA_STORE_MAKE,   /* made where there is none */
    CA_STORE_REPLACE /* made in any case */
};

/* Where it is: `data_dir`, or where that is NULL $XDG_DATA_HOME/lunette or ~/.local/share/lunette.
 * Returns 0, or a negative errno with *reterr filled: there is no such place. */
int ca_store_find(const char *data_dir, struct ca_store *ret, ln_error *reterr);
/* Reads the pair; processes that do this at the same time get the same one. What others could have
 * written, a key that they can read, or one file without the other is an error. Returns 0 and a
 * pair for tls_pair_free(), or a negative errno with *reterr filled. */
int ca_store_open(const struct ca_store *store, enum ca_store_how how,
                  const struct tls_authority_options *options, struct tls_pair *ret,
                  ln_error *reterr);

#endif
