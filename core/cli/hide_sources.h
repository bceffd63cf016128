/* Hiding from CMD where a policy's secrets come from, and the key of what it is to trust. */
#ifndef LN_CLI_HIDE_SOURCES_H
#define LN_CLI_HIDE_SOURCES_H

#include "cli/isolation.h"

/* Tells the guest, before guest_configure(), to hide the files and to unset the variables. `hide`:
 * what is hidden besides. Returns 0 or -errno: -EACCES after saying which file, that is to be read
 * again while CMD runs, could not be kept from it. */
int hide_sources(struct guest *guest, const struct hide *hide, const ln_settings *settings);

#endif
