/* Giving up privileges for good: what the datapath does before it reads a frame, and the guest
 * before CMD. */
#ifndef LN_CLI_PRIVILEGES_H
#define LN_CLI_PRIVILEGES_H

/* Leaves this thread without capabilities, in every set, and without a way to get one: the bounding
 * set is empty and no_new_privs is set, so that neither uid 0 nor a set-uid file brings any back.
 * Returns 0 or -errno. */
int privileges_drop(void);

#endif
