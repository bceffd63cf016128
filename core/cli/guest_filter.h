/* What CMD may not ask of the kernel, because it leads around the gateway. */
#ifndef LN_CLI_GUEST_FILTER_H
#define LN_CLI_GUEST_FILTER_H

/* Installs the filter for this thread and what it starts; no_new_privs must be set. Returns 0 or
 * -errno. */
int guest_filter_install(void);

#endif
