/* What CMD sees of the machine: /proc, /sys, /run, its resolver. All in the mount namespace of this
 * process, which must be its own. Functions return 0, or -errno after saying what failed. */
#ifndef LN_CLI_GUEST_VIEW_H
#define LN_CLI_GUEST_VIEW_H

#include "cli/hide.h"
#include "lunette/gateway.h"

/* Hides what `hide` says, and makes /proc and /sys those of the guest's namespaces. */
int guest_view_apply(const struct hide *hide);
/* Makes the gateway the resolver. `search`: names with spaces between them, or "". */
int guest_view_resolver(const struct hide *hide, const ln_link *link, const char *search);
/* Ends hiding, and makes read-only what a guest whose user is the host's root could change for the
 * whole machine. Last, for the set-up writes there too. */
int guest_view_seal(void);

#endif
