/* Configures the guest's interfaces from inside its network namespace. */
#ifndef LN_CLI_NETCONF_H
#define LN_CLI_NETCONF_H

#include "lunette/gateway.h"

/* Lets CMD ping and bind to low ports without privileges, where this kernel can. As below, /proc
 * must show this thread's namespace. */
void netconf_allow_unprivileged(void);
/* Brings up `lo` and `interface`, with the addresses, MTU, MAC and default routes of `link`.
 * Returns 0, or -errno after saying what failed. */
int netconf_apply(const char *interface, const ln_link *link);

#endif
