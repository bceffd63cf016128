/* What a policy's settings name outside of themselves, read: the interception CA, the roots that
 * upstreams are verified against, and the values of secrets.
 *
 * Everything is read in one go, and every problem told; on failure there is nothing. Whoever gets
 * credentials makes what it needs of them and frees them at once: that wipes what is secret.
 *
 * A CA is a gateway's for its life, for the guest was told to trust it. At a reload the CA and the
 * machine's roots are not read again, and a command that is the same as before is not waited for:
 * its value stays until the new one is there (net/secret_refresh.h). */
#ifndef LN_NET_CREDENTIALS_H
#define LN_NET_CREDENTIALS_H

#include "lunette/gateway.h"

enum {
    CREDENTIAL_PEM_MAX = 4 << 20, /* bytes of a file with certificates */
    CREDENTIAL_VALUE_MAX = 65536  /* bytes of a secret's value */
};

/* Bytes with a NUL behind them that `len` does not count; `data` NULL: none. */
struct credential {
    char *data;
    size_t len;
};

struct credentials {
    /* PEM. None where the policy intercepts nothing, and at a reload: they stay. */
    struct credential ca_cert, ca_key;
    /* PEM: the roots of the machine; likewise. */
    struct credential host_roots;
    /* PEM: those of tls.upstream_ca_certs, for every upstream beside the machine's. */
    struct credential extra_roots;
    /* PEM, as many as settings->tls.n_ca_certs_for and in that order: for these hosts besides. */
    struct credential *roots_for;
    size_t n_roots_for;
    /* As many as settings->n_secrets and in that order. None at a reload, for a command that the
     * policy before had for the same `env`: its value stays. */
    struct credential *values;
    size_t n_values;
};

struct credentials_request {
    const ln_settings *settings;
    const ln_settings *before; /* of the policy in force, at a reload; NULL: at the start */
    const char *policy;        /* the policy's file, for problems; NULL: unknown */
    const char *data_dir;      /* see ln_config */
    const ln_files *files;     /* see ln_config */
    bool look_only;            /* no CA is made and no command run: for `lunette check` */
};

/* Reads what the settings name. Waits for commands, each for up to 10 s, all at the same time.
 * Returns 0; -EINVAL with every problem added (`problems` may be NULL); or -ENOMEM. */
int credentials_read(const struct credentials_request *request, struct credentials *ret,
                     ln_problems *problems);
/* Wipes and frees. Takes one that is all zero. */
void credentials_free(struct credentials *credentials);

/* All problems of a list as one error: "FIELD: …; FIELD: …", as many as fit and how many more there
 * are. Returns -EINVAL. */
int credentials_fail(const ln_problems *problems, ln_error *reterr);

#endif
