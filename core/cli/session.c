/* One gateway with all that a command puts around it. */
#include "cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/problems.h"
#include "cli/command.h"
#include "cli/confine.h"
#include "cli/guest.h"
#include "cli/slot.h"
#include "luabind/load.h"
#include "net/files.h"
#include "net/gateway.h"

/* What one guest of several may do before it is another's turn. */
enum { SHARED_TURN_NS = 20000, SHARED_BATCH = 4 };

enum { SLOT_MAX = 65535, MTU_MIN = 1280, MTU_MAX = 65520, MTU_DEFAULT = 1500 };

/* ---- options ---- */

static int take_number(const struct session *session, const char *name, const char *text,
                       uint32_t min, uint32_t max, uint32_t *ret)
{
    if (options_number(text, min, max, ret) < 0) {
        return command_usage_error(session->command,
                                   "%s: found '%s'; accepted: %" PRIu32 " to %" PRIu32, name, text,
                                   min, max);
    }
    return 0;
}

static int take_slot(void *user, const char *value)
{
    struct session *session = user;
    session->slot_auto = strcmp(value, "auto") == 0;
    session->slot_chosen = !session->slot_auto;
    if (!session->slot_auto && options_number(value, 0, SLOT_MAX, &session->slot) < 0) {
        return command_usage_error(
            session->command, "--slot: found '%s'; accepted: 0 to %d, or auto", value, SLOT_MAX);
    }
    return 0;
}

static int take_mtu(void *user, const char *value)
{
    struct session *session = user;
    return take_number(session, "--mtu", value, MTU_MIN, MTU_MAX, &session->mtu);
}

struct session session_of(const struct command *command)
{
    return (struct session){.command = command,
                            .mtu = MTU_DEFAULT,
                            .slot_fd = -1,
                            .keeper = {.socket = -1, .changed = -1},
                            .metrics.fd = -1,
                            .observation.fd = -1,
                            .keylog_fd = -1,
                            .control.fd = -1};
}

void session_options(struct session *session, struct option_spec specs[SESSION_OPTIONS])
{
    const struct option_spec options[] = {
        {.name = "events", .value = &session->events},
        {.name = "pcap", .value = &session->capture},
        {.name = "keylog", .value = &session->keylog},
        {.name = "slot", .take = take_slot, .user = session},
        {.name = "mtu", .take = take_mtu, .user = session},
        {.name = "verbose", .letter = 'v', .flag = &session->verbose},
        {.name = "control", .value = &session->control_path},
        {.name = "metrics", .value = &session->metrics_address},
        {.name = "observe",
         .flag = &session->observation.wanted,
         .value = &session->observation.path},
        {.name = "observe-suffixes", .flag = &session->observation.suffixes},
        {.name = "force", .flag = &session->observation.force},
    };
    _Static_assert(sizeof(options) == SESSION_OPTIONS * sizeof(options[0]), "all of them");
    memcpy(specs, options, sizeof(options));
}

int session_check_options(const struct session *session)
{
    const struct observation *observation = &session->observation;
    if (!observation->wanted && (observation->suffixes || observation->force)) {
        return command_usage_error(session->command, "%s is only for --observe",
                                   observation->force ? "--force" : "--observe-suffixes");
    }
    return 0;
}

/* ---- this process ---- */

int session_failed(int r, const char *what)
{
    if (r < 0 && r != -EPIPE) {
        command_say("cannot %s: %s", what, strerror(-r));
    }
    return r;
}

int session_open_standard(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) {
        return session_failed(-errno, "open /dev/null");
    }
    close(fd);
    return 0;
}

void session_raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- outputs ---- */

static int open_output(struct hide *hide, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0) {
        int err = errno;
        command_say("%s: %s", path, strerror(err));
        return -err;
    }
    if (hide != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)hide_cover(hide, path); /* one without a path cannot be found by CMD either */
    }
    return fd;
}

static int open_keylog(struct session *session, struct hide *hide)
{
    int fd = open_output(hide, session->keylog);
    if (fd < 0) {
        return fd;
    }
    session->keylog_fd = fd;
    if (fchmod(fd, 0600) != 0 && errno != EPERM && errno != EINVAL) { /* of a pipe of others */
        return session_failed(-errno, "keep others from reading the key log");
    }
    command_say("WARNING: with %s, whoever has captured the guest's connections can decrypt them, "
                "secrets included",
                session->keylog);
    return 0;
}

int session_open_outputs(struct session *session, int dash_fd, struct hide *hide)
{
    if (session->control_path != NULL) {
        int r = control_open(&session->control, session->control_path);
        if (r < 0) {
            return r;
        }
        if (hide != NULL) {
            (void)hide_cover(hide, session->control_path);
        }
    }
    if (session->metrics_address != NULL) {
        int r = metrics_open(&session->metrics, session->metrics_address);
        if (r < 0) {
            return r;
        }
        session->guarded = &session->metrics.endpoint;
        session->n_guarded = !session->metrics.by_path;
        if (hide != NULL && session->metrics.by_path) {
            (void)hide_cover(hide, session->metrics_address);
        }
    }
    if (session->events != NULL) {
        int fd = strcmp(session->events, "-") == 0 ? fcntl(dash_fd, F_DUPFD_CLOEXEC, 3)
                                                   : open_output(hide, session->events);
        int r = fd < 0 ? fd : session_failed(event_log_open(&session->log, fd), "log events");
        if (r < 0) {
            return r;
        }
    }
    if (session->capture != NULL) {
        int fd = open_output(hide, session->capture);
        int r = fd < 0
                    ? fd
                    : session_failed(pcapng_open(&session->pcap, fd, GUEST_INTERFACE), "capture");
        if (r < 0) {
            return r;
        }
    }
    if (session->keylog != NULL) {
        int r = open_keylog(session, hide);
        if (r < 0) {
            return r;
        }
    }
    return observation_open(&session->observation, hide);
}

int session_start_keeper(struct session *session, const char *socket)
{
    const char *all[] = {session->control_path,
                         session->metrics.by_path ? session->metrics_address : NULL, socket};
    const char *sockets[KEEPER_SOCKETS_MAX] = {0};
    size_t n = 0;
    if (session->watches && access(session->policy, F_OK) != 0) {
        command_say("--watch: %s is no file", session->policy); /* a preset's name, as it seems */
        return -ENOENT;
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] != NULL) {
            sockets[n++] = all[i];
        }
    }
    return session_failed(
        keeper_start(&session->keeper, session->policy, sockets, session->watches),
        "start the keeper of files");
}

static int start_sinks(struct session *session)
{
    int r = session->log.sink == NULL ? 0 : sink_start(session->log.sink);
    return r < 0 || session->pcap.sink == NULL ? r : sink_start(session->pcap.sink);
}

/* ---- the gateway ---- */

static int send_frame(void *user, const ln_frame *frame)
{
    struct session *session = user;
    return session->link == NULL ? -EAGAIN : transport_send(session->link, frame);
}

static int on_event(void *user, const ln_event *event)
{
    struct session *session = user;
    if (session->observation.observer != NULL) {
        observer_take(session->observation.observer, event);
    }
    control_tell(&session->control, event);
    struct event_log *log = session->shared_log != NULL ? session->shared_log : &session->log;
    return event_log_put(log, event, session->told_apart ? &session->slot : NULL);
}

/* Settles on a slot. Returns 0, or -errno after saying what is wrong. */
static int take_slot_of(struct session *session, const ln_settings *settings)
{
    ln_error error;
    int r = 0;
    if (!session->slot_auto && !session->slot_chosen) {
        return 0;
    }
    int dir = slot_open_dir(&error);
    if (dir < 0 && session->slot_auto) {
        command_say("%s", error.message);
        return dir;
    }
    if (session->slot_auto) {
        r = session->slot_fd = slot_take(dir, settings, &session->slot, &error);
        if (r < 0) {
            command_say("%s", error.message);
        }
    } else if (dir >= 0) { /* without a directory, nobody takes slots by themselves */
        session->slot_fd = slot_share(dir, session->slot);
        if (session->slot_fd == -EWOULDBLOCK) {
            command_say("--slot %" PRIu32 ": another lunette has taken it by --slot auto",
                        session->slot);
            r = -EADDRINUSE;
        }
    }
    if (dir >= 0) {
        close(dir);
    }
    return r < 0 ? r : 0;
}

static void on_keys(void *user, const char *line)
{
    const struct session *session = user;
    struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
                            {.iov_base = (char[]){'\n'}, .iov_len = 1}};
    ssize_t n = writev(session->keylog_fd, parts, 2);
    (void)n; /* who looks into a connection finds that the line is not there */
}

/* Until this process is confined, and so has no files any more. */
static int open_file(void *user, const char *path)
{
    const struct session *session = user;
    return session->confined ? session->keeper.files.open(session->keeper.files.user, path)
                             : files_open(NULL, path);
}

static int run_command(void *user, const char *command)
{
    const struct session *session = user;
    return session->confined ? session->keeper.files.run(session->keeper.files.user, command)
                             : files_run(NULL, command);
}

static int make_gateway(struct session *session, uint32_t offloads, ln_policy *policy)
{
    int r = take_slot_of(session, ln_policy_settings(policy));
    if (r < 0) {
        return r;
    }
    session->files = (ln_files){
        .size = sizeof(ln_files), .user = session, .open = open_file, .run = run_command};
    ln_config config = {.size = sizeof(config),
                        .policy = policy,
                        .slot = session->slot,
                        .mtu = session->mtu,
                        .offloads = offloads,
                        .guarded = session->guarded,
                        .n_guarded = session->n_guarded,
                        .files = &session->files,
                        .learn_names = session->observation.wanted};
    bool listens = session->log.sink != NULL || session->shared_log != NULL ||
                   session->observation.wanted || session->control_path != NULL;
    ln_host host = {.size = sizeof(host),
                    .send_frame = send_frame,
                    .on_event = listens ? on_event : NULL,
                    .keylog = session->keylog_fd >= 0 ? on_keys : NULL};
    ln_error error;
    r = ln_gateway_new(&config, &host, session, &session->gateway, &error);
    if (r < 0) {
        command_say("%s: %s", session->policy, error.message);
    }
    return r;
}

int session_make_gateway(struct session *session, uint32_t offloads,
                         const struct file_opener *opener, ln_policy **ret_policy)
{
    ln_policy *policy;
    if (command_load_policy_from(opener, session->policy, &policy) != 0) {
        return EXIT_USAGE;
    }
    if (make_gateway(session, offloads, policy) < 0 ||
        session_failed(keeper_seal(&session->keeper, ln_policy_settings(policy)),
                       "tell the keeper of files") < 0) {
        ln_policy_unref(policy);
        return EXIT_LUNETTE_FAILED;
    }
    malloc_trim(0); /* loading took more than running will */
    *ret_policy = policy;
    return 0;
}

void session_reload_or_say(struct session *session)
{
    ln_problems *problems = ln_problems_new();
    if (session_reload(session, problems) < 0) {
        command_say_problems(problems);
        command_say("%s: the policy before stays in force", session->policy);
    }
    ln_problems_free(problems);
}

static void policy_changed(struct watch *watch, uint32_t events)
{
    struct session *session =
        (struct session *)(void *)((char *)watch - offsetof(struct session, changes));
    eventfd_t count;
    (void)events;
    if (eventfd_read(watch->fd, &count) == 0) {
        session_reload_or_say(session);
    }
}

static int watch_changes(struct session *session)
{
    session->changes = (struct watch){.fd = -1, .ready = policy_changed};
    return !session->watches ? 0
                             : loop_watch(gateway_loop(session->gateway), &session->changes,
                                          session->keeper.changed, EPOLLIN);
}

int session_start(struct session *session, struct transport *link)
{
    struct pcapng *pcap = session->pcap.sink == NULL ? NULL : &session->pcap;
    session->link = link;
    if (session->told_apart) {
        link->turn_ns = SHARED_TURN_NS;
        gateway_loop(session->gateway)->batch_max = SHARED_BATCH;
    }
    int r = session_failed(transport_start(link, session->gateway, pcap), "read frames");
    r = r < 0 ? r : session_failed(control_start(&session->control, session), "listen");
    r = r < 0 ? r : session_failed(metrics_start(&session->metrics, session), "listen");
    return r < 0 ? r : session_failed(watch_changes(session), "watch the policy");
}

static int begin_observing(struct session *const *sessions, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++) {
        ln_link link;
        ln_gateway_link(sessions[i]->gateway, &link);
        r = observation_begin(&sessions[i]->observation, &link);
    }
    return session_failed(r, "observe");
}

int session_confine(struct session *const *sessions, size_t n, bool with_files, int terminal_fd)
{
    int r = begin_observing(sessions, n);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < n; i++) {
        sessions[i]->confined = true;
    }
    r = with_files ? session_failed(confine_privileges(), "drop privileges")
                   : session_failed(confine_files(), "confine lunette");
    for (size_t i = 0; i < n && r == 0; i++) {
        r = session_failed(start_sinks(sessions[i]), "start writing files");
    }
    if (r == 0) {
        r = session_failed(confine_calls(terminal_fd), "confine lunette's system calls");
    }
    return r;
}

/* At the end of a turn, of which `r` came. */
static int end_turn(struct session *session, int r)
{
    transport_flush(session->link);
    const char *why = ln_gateway_condemned(session->gateway);
    if (why == NULL) {
        return session_failed(r, "go on");
    }
    if (session->told_apart) {
        command_say("slot %" PRIu32 ": the sandbox is ended: %s", session->slot, why);
    } else {
        command_say("the sandbox is ended: %s", why);
    }
    return -EACCES;
}

int session_turn(struct session *session)
{
    return end_turn(session, gateway_turn(session->gateway, -1));
}

int session_dispatch(struct session *session)
{
    return end_turn(session, ln_gateway_dispatch(session->gateway));
}

int session_reload(struct session *session, ln_problems *problems)
{
    ln_policy *policy;
    ln_error error;
    int r = lua_policy_load_from(&session->keeper.opener, session->policy, &policy, problems);
    if (r < 0) {
        return r;
    }
    r = ln_gateway_reload(session->gateway, policy, &error);
    if (r < 0) {
        (void)problems_add(problems, session->policy, 0, "", NULL, NULL, "%s", error.message);
    }
    ln_policy_unref(policy);
    malloc_trim(0);
    return r;
}

/* ---- telling ---- */

void session_say_link(const struct session *session, const char *interface, const ln_link *link)
{
    char v4[LN_ADDR_TEXT_MAX], v6[LN_ADDR_TEXT_MAX];
    ln_addr_format(&link->guest4, v4);
    ln_addr_format(&link->guest6, v6);
    command_say("slot %" PRIu32 ": %s has %s/%u%s and %s/%u%s, mtu %" PRIu32, session->slot,
                interface, v4, link->bits4, link->route4 ? "" : " (no route)", v6, link->bits6,
                link->route6 ? "" : " (no route)", link->mtu);
}

static void say_stats(const struct session *session)
{
    char who[32] = "";
    ln_stats stats;
    ln_gateway_stats(session->gateway, &stats);
    if (session->told_apart) {
        snprintf(who, sizeof(who), "slot %" PRIu32 ": ", session->slot);
    }
    command_say("%s%" PRIu64 " flows, %" PRIu64 " refused; %" PRIu64 " DNS queries, %" PRIu64
                " refused; frames out %" PRIu64 ", in %" PRIu64 "; events lost %" PRIu64,
                who, stats.flows_opened, stats.flows_denied, stats.dns_queries, stats.dns_denied,
                stats.frames_in, stats.frames_out, stats.events_lost);
}

void session_retire(struct session *session)
{
    if (session->gateway != NULL && session->verbose) {
        say_stats(session);
    }
    control_close(&session->control);
    metrics_close(&session->metrics);
    session->link = NULL;
    session->gateway = ln_gateway_free(session->gateway);
}

int session_end(struct session *session)
{
    session_retire(session);
    event_log_close(&session->log);
    int r = observation_end(&session->observation, session->policy);
    pcapng_close(&session->pcap);
    if (session->keylog_fd >= 0) {
        close(session->keylog_fd);
    }
    keeper_stop(&session->keeper);
    if (session->slot_fd >= 0) {
        close(session->slot_fd);
    }
    return r;
}
