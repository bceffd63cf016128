/* `--control PATH`: a UNIX socket over which a running session is asked and told, by `lunette ctl`.
 *
 * A request is a line: a verb, and what it is about. It is answered by a line of JSON, {"ok":true}
 * or {"ok":false,"errors":[…]}, and where there is something to tell by one more:
 *
 *   stats         an object of counters
 *   flows [top=N] [FILTER]
 *                 a list of objects: id, direction, protocol, guest, peer, state, …; flow_list.h
 *   pins          a list of objects: name, address, left_ms
 *   rules         a list of objects: rule, text, source, hits; rule 0 stands for the defaults
 *   secrets       a list of objects: name, placeholder, hosts, from, age_ms, failure
 *   reload        reads the policy, and what secrets come from, again
 *   revoke NAME   forgets what a name was resolved to
 *   revoke ID     ends a flow
 *   events [KIND…]
 *                 from now on, each event of these kinds (none named: all) as a line; the client
 * asks nothing more */
#ifndef LN_CLI_CONTROL_H
#define LN_CLI_CONTROL_H

#include "lunette/event.h"
#include "net/loop.h"

struct session;
struct control_client;

struct control {
    struct session *session;
    struct watch listener;
    int fd;                         /* -1: none */
    struct control_client *clients; /* newest first */
    unsigned n_clients;
};

/* Binds the socket. Returns 0 or -errno after saying what is wrong. */
int control_open(struct control *control, const char *path);
/* Answers from now on, in the loop of the session's gateway. Returns 0 or -errno. */
int control_start(struct control *control, struct session *session);
/* Tells those who follow. From inside callbacks of the gateway, too. */
void control_tell(struct control *control, const ln_event *event);
/* Takes one that was never opened, with `fd` -1. */
void control_close(struct control *control);

#endif
