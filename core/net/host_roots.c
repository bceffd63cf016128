/* Where this machine keeps the root certificates that its programs trust. */
#include "net/host_roots.h"

#include <stdlib.h>
#include <unistd.h>

const char *const host_roots_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch, Nix */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* the same, older */
    "/var/lib/ca-certificates/ca-bundle.pem",            /* SUSE */
    "/etc/ssl/ca-bundle.pem",                            /* the same, older */
    "/etc/ssl/cert.pem",                                 /* Alpine, Void: OpenSSL's own name */
    "/etc/pki/tls/cert.pem",                             /* OpenSSL's own name on Fedora */
    "/usr/lib/ssl/cert.pem",                             /* … on Debian */
    NULL,
};

const char *host_roots_find(void)
{
    const char *named = getenv("SSL_CERT_FILE");
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    for (const char *const *at = host_roots_bundles; *at != NULL; at++) {
        if (access(*at, R_OK) == 0) {
            return *at;
        }
    }
    return NULL;
}
