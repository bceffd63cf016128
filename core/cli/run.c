/* `lunette run`: a command in namespaces of its own, whose only network is the gateway.
 *
 * Theory of operation. The guest's process is started first (isolation.h), before anything it may
 * not see is in memory; while it makes its namespaces, this process loads the policy and makes the
 * gateway. They meet when the TAP is handed over and the link told. Then this process confines
 * itself (confine.h), and only after that CMD starts. What is left to do is turning the gateway's
 * loop, in which the TAP, the signals and the guest's messages are watched too, until the guest
 * ends. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/confine.h"
#include "cli/event_log.h"
#include "cli/isolation.h"
#include "cli/observation.h"
#include "cli/options.h"
#include "cli/pcapng.h"
#include "cli/terminal.h"
#include "cli/transport_tap.h"
#include "luabind/load.h"
#include "net/gateway.h"

enum { SLOT_MAX = 65535, MTU_MIN = 1280, MTU_MAX = 65520, MTU_DEFAULT = 1500 };

struct options {
    const char *policy, *events, *pcap;
    uint32_t slot, mtu;
    bool verbose;
    char **command;
};

struct run {
    struct options options;
    struct hide hide;
    struct terminal terminal;
    struct guest guest;
    ln_gateway *gateway;
    struct tap tap;
    struct event_log events;
    struct pcapng pcap;
    struct observation observation;
    struct watch signals, messages;
    int status; /* CMD's exit status; -1: still running */
};

/* ---- options ---- */

/* For options_parse(): 0, or an exit status after saying what is wrong. */
static int take_number(const char *name, const char *text, uint32_t min, uint32_t max,
                       uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min ||
        value > max) {
        return command_usage_error(&command_run,
                                   "%s: found '%s'; accepted: %" PRIu32 " to %" PRIu32, name, text,
                                   min, max);
    }
    *ret = (uint32_t)value;
    return 0;
}

static int take_slot(void *user, const char *value)
{
    return take_number("--slot", value, 0, SLOT_MAX, user);
}

static int take_mtu(void *user, const char *value)
{
    return take_number("--mtu", value, MTU_MIN, MTU_MAX, user);
}

static int take_path(int r, const char *name, const char *path)
{
    return r == 0 ? 0 : command_usage_error(&command_run, "%s %s: %s", name, path, strerror(-r));
}

static int take_show(void *user, const char *value)
{
    return take_path(hide_show(user, value), "--show", value);
}

static int take_hide(void *user, const char *value)
{
    return take_path(hide_cover(user, value), "--hide", value);
}

/* Returns OPTIONS_GO_ON or the exit status. */
static int parse(struct run *run, char **argv)
{
    struct options *options = &run->options;
    struct observation *observation = &run->observation;
    const char *control = NULL;
    const struct option_spec specs[] = {
        {.name = "events", .value = &options->events},
        {.name = "pcap", .value = &options->pcap},
        {.name = "slot", .take = take_slot, .user = &options->slot},
        {.name = "mtu", .take = take_mtu, .user = &options->mtu},
        {.name = "show", .take = take_show, .user = &run->hide},
        {.name = "hide", .take = take_hide, .user = &run->hide},
        {.name = "verbose", .letter = 'v', .flag = &options->verbose},
        {.name = "control", .value = &control},
        {.name = "observe", .flag = &observation->wanted, .value = &observation->path},
        {.name = "observe-suffixes", .flag = &observation->suffixes},
        {.name = "force", .flag = &observation->force},
    };
    char **rest;
    int status =
        options_parse_leading(&command_run, specs, sizeof(specs) / sizeof(specs[0]), argv, &rest);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (control != NULL) {
        return command_usage_error(&command_run,
                                   "--control is not there in this version of lunette");
    }
    if (!observation->wanted && (observation->suffixes || observation->force)) {
        return command_usage_error(&command_run, "%s is only for --observe",
                                   observation->force ? "--force" : "--observe-suffixes");
    }
    if (rest[0] == NULL) {
        return command_usage_error(&command_run,
                                   "a policy is missing: a file, or the name of a preset");
    }
    options->policy = *rest++;
    bool separated = rest[0] != NULL && strcmp(rest[0], "--") == 0;
    rest += separated;
    if (rest[0] == NULL) {
        return command_usage_error(&command_run, "a command to run is missing");
    }
    if (!separated && rest[0][0] == '-') {
        return command_usage_error(&command_run, "%s: options stand before the policy", rest[0]);
    }
    options->command = rest;
    run->hide.verbose = options->verbose;
    return OPTIONS_GO_ON;
}

/* ---- this process ---- */

/* Descriptors 0 to 2 are there, if only as /dev/null: nothing else may get these numbers. */
static int ensure_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Says what could not be done; but for -EPIPE, when the guest is gone and has said why itself. */
static int failed(int r, const char *what)
{
    if (r < 0 && r != -EPIPE) {
        command_say("cannot %s: %s", what, strerror(-r));
    }
    return r;
}

/* Opens a file that this process writes. CMD is not to see it: it would be a log that the logged
 * can edit. */
static int open_output(struct hide *hide, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0) {
        int err = errno;
        command_say("%s: %s", path, strerror(err));
        return -err;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        (void)hide_cover(hide, path); /* one without a path cannot be found by CMD either */
    }
    return fd;
}

static int open_outputs(struct run *run)
{
    const struct options *options = &run->options;
    if (options->events != NULL) {
        bool is_stderr = strcmp(options->events, "-") == 0;
        int fd = is_stderr ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
                           : open_output(&run->hide, options->events);
        int r = fd < 0 ? fd : failed(event_log_open(&run->events, fd), "log events");
        if (r < 0) {
            return r;
        }
    }
    if (options->pcap != NULL) {
        int fd = open_output(&run->hide, options->pcap);
        int r = fd < 0 ? fd : failed(pcapng_open(&run->pcap, fd, GUEST_INTERFACE), "capture");
        if (r < 0) {
            return r;
        }
    }
    return observation_open(&run->observation, &run->hide);
}

static int start_sinks(struct run *run)
{
    int r = run->events.sink == NULL ? 0 : sink_start(run->events.sink);
    return r < 0 || run->pcap.sink == NULL ? r : sink_start(run->pcap.sink);
}

/* ---- the gateway's host ---- */

static int send_frame(void *user, const ln_frame *frame)
{
    struct run *run = user;
    return tap_send(&run->tap, frame);
}

static int on_event(void *user, const ln_event *event)
{
    struct run *run = user;
    if (run->observation.observer != NULL) {
        observer_take(run->observation.observer, event);
    }
    return event_log_put(&run->events, event);
}

/* Hides where the policy's secrets come from, and the key that the guest is to trust. */
static int hide_secrets(struct guest *guest, const ln_settings *settings)
{
    int r = settings->tls.ca_key == NULL ? 0 : guest_cover(guest, settings->tls.ca_key);
    for (size_t i = 0; i < settings->n_secrets && r == 0; i++) {
        const ln_secret *secret = &settings->secrets[i];
        r = guest_unset(guest, secret->env);
        if (r == 0 && secret->from == LN_SECRET_FROM_FILE) {
            r = guest_cover(guest, secret->source);
        } else if (r == 0 && secret->from == LN_SECRET_FROM_ENV) {
            r = guest_unset(guest, secret->source);
        }
    }
    return r;
}

/* Returns 0, or the exit status. */
static int make_gateway(struct run *run)
{
    ln_problems *problems = ln_problems_new();
    ln_policy *policy = NULL;
    ln_error error;
    int status = 0;
    if (lua_policy_load(run->options.policy, &policy, problems) < 0) {
        command_say_problems(problems);
        ln_problems_free(problems);
        return EXIT_USAGE;
    }
    ln_problems_free(problems);
    ln_config config = {.size = sizeof(config),
                        .policy = policy,
                        .slot = run->options.slot,
                        .mtu = run->options.mtu,
                        .offloads = TAP_OFFLOADS,
                        .learn_names = run->observation.wanted};
    bool listens = run->events.sink != NULL || run->observation.wanted;
    ln_host host = {
        .size = sizeof(host), .send_frame = send_frame, .on_event = listens ? on_event : NULL};
    if (ln_gateway_new(&config, &host, run, &run->gateway, &error) < 0) {
        command_say("%s: %s", run->options.policy, error.message);
        status = EXIT_LUNETTE_FAILED;
    } else if (failed(hide_secrets(&run->guest, ln_policy_settings(policy)), "hide secrets") < 0) {
        status = EXIT_LUNETTE_FAILED;
    }
    ln_policy_unref(policy);
    malloc_trim(0); /* loading took more than running will */
    return status;
}

/* ---- signals and messages ---- */

/* Those that mean CMD, and reach it through this process. */
static const int forwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH};

static bool is_forwarded(int signal)
{
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        if (forwarded[i] == signal) {
            return true;
        }
    }
    return false;
}

static void on_signal(struct watch *watch, uint32_t events)
{
    struct run *run = (struct run *)(void *)((char *)watch - offsetof(struct run, signals));
    struct signalfd_siginfo info;
    (void)events;
    while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
        int signal = (int)info.ssi_signo;
        if (signal == SIGCHLD && run->status < 0) {
            run->status = guest_wait(&run->guest, WNOHANG);
        } else if (info.ssi_code <= 0 && is_forwarded(signal)) {
            /* What the kernel sends (^C, a window's change) went to CMD as well. */
            guest_signal(&run->guest, signal);
        }
    }
}

static int watch_signals(struct run *run)
{
    static const int others[] = {SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        sigaddset(&set, forwarded[i]);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        sigaddset(&set, others[i]);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -errno;
    }
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    run->signals.ready = on_signal;
    return loop_watch(gateway_loop(run->gateway), &run->signals, fd, EPOLLIN);
}

/* CMD stopped: lunette does too, so that the shell sees its job stopped. It is continued by
 * SIGCONT, which on_signal() passes on. */
static void on_message(struct watch *watch, uint32_t events)
{
    struct run *run = (struct run *)(void *)((char *)watch - offsetof(struct run, messages));
    struct guest_message message;
    (void)events;
    if (guest_expect(run->guest.control, GUEST_STOPPED, &message, NULL) < 0) {
        loop_unwatch(gateway_loop(run->gateway), watch); /* it is ending: SIGCHLD follows */
        return;
    }
    raise(SIGSTOP);
}

/* ---- life ---- */

static void say_link(const struct run *run, const ln_link *link)
{
    char v4[LN_ADDR_TEXT_MAX], v6[LN_ADDR_TEXT_MAX];
    ln_addr_format(&link->guest4, v4);
    ln_addr_format(&link->guest6, v6);
    command_say("slot %" PRIu32 ": %s has %s/%u%s and %s/%u%s, mtu %" PRIu32, run->options.slot,
                GUEST_INTERFACE, v4, link->bits4, link->route4 ? "" : " (no route)", v6,
                link->bits6, link->route6 ? "" : " (no route)", link->mtu);
}

static void say_stats(const struct run *run)
{
    ln_stats stats;
    ln_gateway_stats(run->gateway, &stats);
    command_say("%" PRIu64 " flows, %" PRIu64 " refused; %" PRIu64 " DNS queries, %" PRIu64
                " refused; frames out %" PRIu64 ", in %" PRIu64 "; events lost %" PRIu64,
                stats.flows_opened, stats.flows_denied, stats.dns_queries, stats.dns_denied,
                stats.frames_in, stats.frames_out, stats.events_lost);
}

/* From here on this process can do no more than it must. */
static int confine(struct run *run)
{
    int r = failed(confine_files(), "confine lunette");
    if (r == 0) {
        r = failed(start_sinks(run), "start writing files");
    }
    if (r == 0) {
        r = failed(confine_calls(run->terminal.fd), "confine lunette's system calls");
    }
    return r;
}

static int watch_guest(struct run *run)
{
    run->messages.ready = on_message;
    return loop_watch(gateway_loop(run->gateway), &run->messages, run->guest.control, EPOLLIN);
}

/* Joins guest and gateway, confines this process, and starts CMD. */
static int connect_guest(struct run *run)
{
    ln_link link;
    int fd = guest_tap(&run->guest);
    if (fd < 0) {
        return fd;
    }
    struct pcapng *pcap = run->pcap.sink == NULL ? NULL : &run->pcap;
    int r = failed(tap_start(&run->tap, fd, run->gateway, pcap), "read frames");
    if (r < 0) {
        close(fd);
        return r;
    }
    ln_gateway_link(run->gateway, &link);
    if (run->options.verbose) {
        say_link(run, &link);
    }
    r = guest_configure(&run->guest, &link);
    if (r == 0) {
        r = failed(watch_signals(run), "watch signals");
    }
    if (r == 0) {
        r = failed(observation_begin(&run->observation, &link), "observe");
    }
    if (r == 0) {
        r = confine(run);
    }
    if (r == 0) {
        r = guest_go(&run->guest);
    }
    return r < 0 ? r : failed(watch_guest(run), "watch the guest");
}

/* Ends a guest that has not ended by itself. Returns the exit status. */
static int end_guest(struct run *run)
{
    close(run->guest.control);
    (void)guest_wait(&run->guest, 0);
    return EXIT_LUNETTE_FAILED;
}

static int serve(struct run *run)
{
    while (run->status < 0) {
        int r = gateway_turn(run->gateway, -1);
        if (r < 0) {
            (void)failed(r, "go on");
            return end_guest(run);
        }
    }
    return run->status;
}

static int run_guest(struct run *run)
{
    struct guest_options guest = {.argv = run->options.command, .hide = &run->hide};
    if (guest_start(&run->guest, &guest) < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    if (failed(confine_memory(), "protect lunette's memory") < 0) {
        return end_guest(run);
    }
    raise_descriptor_limit();
    int status = make_gateway(run);
    if (status != 0) {
        (void)end_guest(run);
        return status;
    }
    return connect_guest(run) < 0 ? end_guest(run) : serve(run);
}

static int run_main(int argc, char **argv)
{
    (void)argc;
    struct run run = {.options.mtu = MTU_DEFAULT, .observation.fd = -1, .tap.fd = -1, .status = -1};
    if (failed(ensure_standard_descriptors(), "open /dev/null") < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    int status = parse(&run, argv);
    if (status == OPTIONS_GO_ON) {
        status = EXIT_LUNETTE_FAILED;
        run.terminal = terminal_open();
        if (open_outputs(&run) == 0 && failed(hide_collect(&run.hide), "list sockets") == 0) {
            (void)hide_cover(&run.hide, run.options.policy); /* a preset is no file */
            status = run_guest(&run);
        }
        terminal_take_back(&run.terminal);
    }
    if (run.gateway != NULL && run.options.verbose) {
        say_stats(&run);
    }
    tap_stop(&run.tap);
    ln_gateway_free(run.gateway);
    event_log_close(&run.events);
    if (observation_end(&run.observation, run.options.policy) < 0 && status == 0) {
        status = EXIT_LUNETTE_FAILED;
    }
    pcapng_close(&run.pcap);
    hide_free(&run.hide);
    return status;
}

const struct command command_run = {
    .name = "run",
    .synopsis = "[OPTION]... POLICY [--] CMD [ARG]...",
    .summary = "run a command whose whole network is the policy's",
    .help =
        "POLICY is a file or the name of a preset: none, public-only, allow-all, non-local.\n"
        "CMD runs in user, mount, PID and network namespaces of its own, without root, and can\n"
        "reach what the policy lets it reach. It has no capabilities and cannot get any. It\n"
        "ends with lunette, and lunette with it; whatever it started ends too.\n"
        "\n"
        "The file system stays the host's, but for UNIX sockets, which would lead around the\n"
        "policy: those that exist when CMD starts are hidden, and container engines, service\n"
        "managers, D-Bus, X11, ssh-agent and the like in any case; /run is CMD's own copy without\n"
        "them. The policy and what lunette writes are hidden as well. What CMD writes elsewhere\n"
        "may be run outside later on: give it an account or a directory of its own.\n"
        "\n"
        "  --show PATH      let CMD see PATH (a socket or a directory) although it would be "
        "hidden\n"
        "  --hide PATH      hide PATH (a file or a directory) too\n"
        "  --events FILE    write what happens to FILE as JSON Lines; -: to standard error\n"
        "  --pcap FILE      capture the frames of the guest in FILE (pcapng)\n"
        "  --observe[=FILE] at the end write the least policy that allows what was seen to FILE\n"
        "                   (default observed.lua; -: to standard error). POLICY still decides:\n"
        "                   under allow-all everything is seen; what is refused is listed too\n"
        "  --observe-suffixes  write \".example.com\" in the place of several names below it\n"
        "  --force          let --observe write over a file that is there\n"
        "  --slot N         which subnets of the policy's pools to take, 0 to 65535 (default 0)\n"
        "  --mtu N          of the guest's interface, 1280 to 65520 bytes (default 1500)\n"
        "  -v, --verbose    say what is set up and hidden, and at the end what was counted\n"
        "  -h, --help       print this\n"
        "\n"
        "Exit status: CMD's; 128+N when signal N ended it; 127 when CMD is not found, 126 when it\n"
        "cannot be executed; 125 when lunette failed; 2 for wrong arguments or a wrong policy.\n",
    .main = run_main,
};
