/* Configures the guest's interfaces from inside its network namespace. */
#ifndef LN_CLI_NETCONF_H
#define LN_CLI_NETCONF_H

#include "lunette/gateway.h"

/* Brings up `lo` and `interface`, with the addresses, MTU, MAC and default routes of `link`, and
 * lets CMD ping and bind to low ports without privileges. /proc must show this thread's namespace.
 * Returns 0, or -errno after saying what failed. */
int netconf_apply(const char *interface, const ln_link *link);

#endif
