/* The guest as lunette sees it: a process in namespaces of its own, without root. */
#ifndef LN_CLI_ISOLATION_H
#define LN_CLI_ISOLATION_H

#include <sys/types.h>

#include "cli/guest.h"

struct guest {
    pid_t pid;   /* of its first process */
    int control; /* messages, guest.h */
};

/* Starts the guest's first process (guest_main) in new user and PID namespaces, with its user's own
 * id mapped to itself, or all ids when that user is root. To be called early, while this process
 * holds nothing that the guest may not see and is still dumpable, and has one thread. Returns 0, or
 * -errno after saying what is wrong and what mends it. */
int guest_start(struct guest *guest, const struct guest_options *options);
/* Waits for the TAP. Returns the descriptor, or -errno: then the guest has said why. */
int guest_tap(struct guest *guest);
/* Hides one more file from CMD, before guest_configure(). One that is not there is hidden already.
 * Returns 0 or -errno. */
int guest_cover(struct guest *guest, const char *path);
/* Takes a variable out of CMD's environment, likewise. */
int guest_unset(struct guest *guest, const char *name);
/* Puts a variable into it, likewise. */
int guest_setenv(struct guest *guest, const char *name, const char *value);
/* Adds PEM certificates to what CMD trusts, likewise. */
int guest_trust(struct guest *guest, const char *pem);
/* Tells the guest dns.search, likewise. */
int guest_search(struct guest *guest, const ln_settings *settings);
/* Tells the guest its link, on which it sets itself up. Returns 0 or -errno. */
int guest_configure(struct guest *guest, const ln_link *link);
/* Waits until the guest is set up, and lets it start CMD. Returns 0, or -errno as guest_tap(). */
int guest_go(struct guest *guest);
/* Sends CMD a signal. Does nothing when the guest is ending. */
void guest_signal(struct guest *guest, int signal);
/* Waits for the end of all the guest's processes. Returns the exit status of CMD, or
 * EXIT_LUNETTE_FAILED. `options`: waitpid's; with WNOHANG, -1 when it has not ended. */
int guest_wait(struct guest *guest, int options);

/* Why namespaces cannot be made, as the kernel's settings tell it, and what mends it; NULL: they do
 * not tell. `err`: what the attempt failed with. */
const char *isolation_why(int err);
/* Says so. */
void isolation_explain(int err);

#endif
