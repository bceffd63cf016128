/* The guest's first process: PID 1 of CMD's namespaces. It makes what CMD lives in, starts CMD, and
 * then only reaps, passes signals on, and ends when CMD does or when lunette is gone. */
#ifndef LN_CLI_GUEST_H
#define LN_CLI_GUEST_H

#include <limits.h>
#include <signal.h>

#include "cli/hide.h"
#include "lunette/gateway.h"

#define GUEST_INTERFACE "eth0"

enum {
    EXIT_LUNETTE_FAILED = 125,
    EXIT_CANNOT_EXECUTE = 126,
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNALLED = 128, /* and the signal's number */
};

/* Messages between lunette and the guest, over a SOCK_SEQPACKET pair, in this order. */
enum guest_message_kind {
    GUEST_TAP,     /* guest: here is the TAP (SCM_RIGHTS) */
    GUEST_MAPPED,  /* lunette: your user and group ids are mapped */
    GUEST_COVER,   /* lunette, any number: hide this file too */
    GUEST_UNSET,   /* lunette, any number: take this variable out of CMD's environment */
    GUEST_SETENV,  /* lunette, any number: put this, NAME=VALUE, into it */
    GUEST_TRUST,   /* lunette, any number: a piece of the certificates that CMD is to trust, PEM */
    GUEST_SEARCH,  /* lunette: the names of resolv.conf's search list, with spaces between them */
    GUEST_LINK,    /* lunette: that was all; this is your link */
    GUEST_READY,   /* guest: all is set up */
    GUEST_GO,      /* lunette: start CMD */
    GUEST_SIGNAL,  /* lunette, any time from then on: send CMD this signal */
    GUEST_STOPPED, /* guest, likewise: CMD stopped */
};

struct guest_message {
    enum guest_message_kind kind;
    int signal;
    ln_link link;
    char text[PATH_MAX];
};

/* Sends a message, with a descriptor (-1: none). Returns 0 or -errno. */
int guest_send(int control, const struct guest_message *message, int fd);
/* Receives one, with a descriptor where `ret_fd` is not NULL. Returns 0, -EPIPE when the other side
 * is gone, or another -errno. */
int guest_receive(int control, struct guest_message *ret, int *ret_fd);
/* Likewise one of this kind and no other: else -EPROTO. */
int guest_expect(int control, enum guest_message_kind kind, struct guest_message *ret, int *ret_fd);

struct guest_options {
    char *const *argv; /* CMD, NULL-terminated */
    const struct hide *hide;
    struct sigaction on_child; /* SIGCHLD's disposition for CMD */
};

/* What the new process does, in its new user and PID namespace. `control` is its end of the pair.
 * Does not return: exits with CMD's status, or EXIT_LUNETTE_FAILED after saying why. */
_Noreturn void guest_main(const struct guest_options *options, int control);

#endif
