/* What a policy's settings name outside of themselves, read: the interception CA, the roots that
 * upstreams are verified against, and the values of secrets.
 *
 * Everything is read in one go, and every problem told; on failure there is nothing.
 *
 * A CA is a gateway's for its life, for the guest was told to trust it. At a reload the CA and the
 * machine's roots are taken from what was read before, and a command that is the same as before is
 * not waited for: its value stays until it has run again (net/trust.h). */
#ifndef LN_NET_CREDENTIALS_H
#define LN_NET_CREDENTIALS_H

#include "base/host.h"
#include "lunette/gateway.h"
#include "secrets/vault.h"
#include "tls/authority.h"
#include "tls/roots.h"

struct credentials {
    struct tls_authority *authority; /* NULL: the policy intercepts nothing, or it stays */
    char *ca_path;                   /* as given; NULL: it is the one in the data directory */
    struct tls_roots *host_roots;    /* of the machine; NULL: likewise */
    struct tls_roots *roots;         /* these and tls.upstream_ca_certs; NULL: likewise */
    /* As many as settings->tls.n_ca_certs_for and in that order: `roots` and those for these hosts.
     */
    struct tls_roots **roots_for;
    size_t n_roots_for;
    char *host_cas; /* the machine's, as PEM text, with trust_host_cas; else NULL */
    /* All secrets with their values; a vault of none where there are none. At a reload, made-up
     * placeholders and values of commands are those of the vault before. */
    struct vault *vault;
};

struct credentials_request {
    const ln_settings *settings;
    const char *policy;   /* the policy's file, for problems; NULL: unknown */
    const char *data_dir; /* see ln_config */
    const ln_files *files;
    struct host_services services;
    const struct credentials *before; /* at a reload: what is in force; NULL: at the start */
    bool look_only; /* no CA is made, no command run, no variable asked for: `lunette check` */
};

/* Reads what the settings name. Waits for commands, each for up to 10 s, all at the same time.
 * Returns 0; -EINVAL with every problem added (`problems` may be NULL); or -ENOMEM. */
int credentials_read(const struct credentials_request *request, struct credentials *ret,
                     ln_problems *problems);
/* After a reload: the CA of those before, and the roots that the guest was given, stay. */
void credentials_keep_ca(struct credentials *credentials, struct credentials *before);
/* Takes one that is all zero. */
void credentials_free(struct credentials *credentials);

#endif
