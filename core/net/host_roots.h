/* Where this machine keeps the root certificates that its programs trust. */
#ifndef LN_NET_HOST_ROOTS_H
#define LN_NET_HOST_ROOTS_H

#include <stddef.h>

/* The bundles of the distributions, NULL-terminated: on one machine several may be there, or one by
 * several names. */
extern const char *const host_roots_bundles[];

/* The path of the machine's bundle: $SSL_CERT_FILE where it is set, else the first of the above
 * that can be read; NULL: there is none. */
const char *host_roots_find(void);

#endif
