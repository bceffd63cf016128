/* A TAP in a network namespace that exists already. */
#ifndef LN_CLI_JOIN_H
#define LN_CLI_JOIN_H

#include <sys/types.h>

#include "lunette/gateway.h"

/* Makes the interface `name` in the network namespace of process `pid`, set up as `link` says. It
 * lives as long as its descriptor. To be called while this process has one thread. Returns the
 * descriptor, or -errno after saying what is wrong. */
int join_tap(pid_t pid, const char *name, const ln_link *link);

#endif
