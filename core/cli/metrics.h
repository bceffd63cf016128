/* `--metrics ADDR`: the gateway's counters for Prometheus, over HTTP at a TCP address or a UNIX
 * socket. */
#ifndef LN_CLI_METRICS_H
#define LN_CLI_METRICS_H

#include "lunette/policy.h"
#include "net/loop.h"

struct session;
struct metrics_client;

struct metrics {
    struct session *session;
    struct watch listener;
    struct timer timer;
    int fd;               /* -1: none */
    ln_endpoint endpoint; /* where it listens, for the guest not to be let there */
    bool by_path;         /* it is a UNIX socket instead */
    bool paused;          /* it was asked often enough in this second */
    unsigned asked;       /* how often */
    unsigned n_clients;
    struct metrics_client *clients; /* newest first */
};

/* Binds `address`: PORT or :PORT (of 127.0.0.1), IP:PORT, [IPV6]:PORT, or a path with a slash in
 * it. Returns 0, or -errno after saying what is wrong. */
int metrics_open(struct metrics *metrics, const char *address);
/* Answers from now on, in the loop of the session's gateway. Returns 0 or -errno. */
int metrics_start(struct metrics *metrics, struct session *session);
/* Takes one that was never opened, with `fd` -1. */
void metrics_close(struct metrics *metrics);

#endif
