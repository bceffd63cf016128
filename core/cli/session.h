/* One gateway with all that a command puts around it, as `run` and `serve` both do: options,
 * policy, events and capture, reload, confinement, turns. Functions that return an exit status, or
 * -errno, have said what is wrong. */
#ifndef LN_CLI_SESSION_H
#define LN_CLI_SESSION_H

#include "cli/control.h"
#include "cli/event_log.h"
#include "cli/hide.h"
#include "cli/keeper.h"
#include "cli/metrics.h"
#include "cli/observation.h"
#include "cli/options.h"
#include "cli/pcapng.h"
#include "cli/transport.h"

#define SESSION_OPTIONS 11 /* how many session_options() fills */

struct session {
    const struct command *command;
    const char *policy; /* a path, or the name of a preset */
    const char *events, *capture, *keylog, *control_path, *metrics_address;
    uint32_t slot, mtu;
    bool slot_chosen, slot_auto; /* --slot N, --slot auto */
    int slot_fd;                 /* holds the slot; -1: nothing does */
    bool verbose;
    bool told_apart; /* one of several guests: what is said and logged names its slot */
    bool watches; /* the policy is read again when it changes: set before session_start_keeper() */

    ln_gateway *gateway;
    struct transport *link; /* borrowed; before session_start() there is none */
    struct event_log log;
    struct event_log *shared_log; /* borrowed: in the place of one of its own; NULL: none */
    struct pcapng pcap;
    struct observation observation;
    struct keeper keeper;
    ln_files files; /* the system's, later the keeper's */
    bool confined;  /* from here on the keeper's */
    int keylog_fd;  /* -1: none */
    struct control control;
    struct metrics metrics;
    const ln_endpoint *guarded; /* borrowed; where no guest gets: set by session_open_outputs() */
    size_t n_guarded;
    struct watch changes; /* of the policy's files */
};

/* `command` for usage errors. */
struct session session_of(const struct command *command);
/* The options --events, --pcap, --keylog, --slot, --mtu, --verbose, --control, --metrics, --watch
 * and those of --observe. */
void session_options(struct session *session, struct option_spec specs[SESSION_OPTIONS]);
/* Whether they fit together: 0, or the exit status after saying what does not. */
int session_check_options(const struct session *session);

/* Descriptors 0 to 2 are there, if only as /dev/null: nothing else may get these numbers. Returns 0
 * or -errno. */
int session_open_standard(void);
/* As many descriptors as this process may have. A child inherits that. */
void session_raise_limits(void);
/* Opens what --events, --pcap, --keylog and --observe name, and binds the sockets of --control and
 * --metrics; "-" is a copy of `dash_fd`. Regular files are added to `hide` (may be NULL), for the
 * logged must not edit the log. Returns 0 or -errno. */
int session_open_outputs(struct session *session, int dash_fd, struct hide *hide);
/* Starts the keeper of files (keeper.h), which removes the sockets at the end: those of --control
 * and --metrics, and `socket` (NULL: none). Returns 0 or -errno. */
int session_start_keeper(struct session *session, const char *socket);
/* Loads the policy, by way of `opener` where that is not NULL, makes the gateway, for a link that
 * takes these LN_OFFLOAD_*, and tells the keeper what it may be asked for. `session` must stay
 * where it is. Returns 0 and a reference to the policy in *ret_policy, or the exit status. */
int session_make_gateway(struct session *session, uint32_t offloads,
                         const struct file_opener *opener, ln_policy **ret_policy);
/* Starts the link, which its owner stops before session_end(), and answers at the control socket.
 * Returns 0 or -errno. */
int session_start(struct session *session, struct transport *link);
/* From here on this process, which has these `n` sessions, can do no more than it must: confine.h.
 * `with_files`: its file system stays, for a link whose peers are named by path. Returns 0 or
 * -errno. */
int session_confine(struct session *const *sessions, size_t n, bool with_files, int terminal_fd);
/* One turn of the gateway's loop, which is waited for. Returns 0, or -errno after saying why the
 * guest is to end. */
int session_turn(struct session *session);
/* The same without waiting, where the gateway's descriptor is watched in a loop around it. */
int session_dispatch(struct session *session);
/* Reads the policy again, by way of the keeper, and swaps it in. Returns 0, or -errno with problems
 * added: then the old one stays. */
int session_reload(struct session *session, ln_problems *problems);
/* The same, and says what is wrong. */
void session_reload_or_say(struct session *session);
/* Says how the link is set up. */
void session_say_link(const struct session *session, const char *interface, const ln_link *link);
/* Ends the guest's network, of which nobody is asked any more, counters told where --verbose was
 * given; files stay open for session_end(). The link was stopped. Does not wait. */
void session_retire(struct session *session);
/* Ends everything, counters told where --verbose was given. Returns 0, or -errno when what was
 * observed cannot be written. */
int session_end(struct session *session);

/* Says "cannot WHAT: …" when r is an error, but for -EPIPE: then the guest is gone and has said why
 * itself. Returns r. */
int session_failed(int r, const char *what);

#endif
