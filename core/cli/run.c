/* `lunette run`: a command in namespaces of its own, whose only network is the gateway.
 *
 * Theory of operation. The guest's process is started first (isolation.h), before anything it may
 * not see is in memory; while it makes its namespaces, this process loads the policy and makes the
 * gateway. They meet when the TAP is handed over and the link told. Then this process confines
 * itself (confine.h), and only after that CMD starts. What is left to do is turning the gateway's
 * loop, in which the TAP, the signals and the guest's messages are watched too, until the guest
 * ends. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/confine.h"
#include "cli/hide_sources.h"
#include "cli/isolation.h"
#include "cli/session.h"
#include "cli/slot.h"
#include "cli/terminal.h"
#include "cli/transport_tap.h"
#include "luabind/file.h"
#include "net/gateway.h"

struct run {
    struct session session;
    char **command;
    struct hide hide;
    struct terminal terminal;
    struct guest guest;
    struct tap tap;
    struct watch signals, messages;
    struct file_opener opener; /* of the policy */
    int hiding;                /* -errno of the first of its modules that could not be hidden */
    int status;                /* CMD's exit status; -1: still running */
};

/* ---- options ---- */

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
    struct option_spec specs[SESSION_OPTIONS + 2] = {
        {.name = "show", .take = take_show, .user = &run->hide},
        {.name = "hide", .take = take_hide, .user = &run->hide},
    };
    session_options(&run->session, specs + 2);
    char **rest;
    int status =
        options_parse_leading(&command_run, specs, sizeof(specs) / sizeof(specs[0]), argv, &rest);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    status = session_check_options(&run->session);
    if (status != 0) {
        return status;
    }
    if (rest[0] == NULL) {
        return command_usage_error(&command_run,
                                   "a policy is missing: a file, or the name of a preset");
    }
    run->session.policy = *rest++;
    bool separated = rest[0] != NULL && strcmp(rest[0], "--") == 0;
    rest += separated;
    if (rest[0] == NULL) {
        return command_usage_error(&command_run, "a command to run is missing");
    }
    if (!separated && rest[0][0] == '-') {
        return command_usage_error(&command_run, "%s: options stand before the policy", rest[0]);
    }
    run->command = rest;
    run->hide.verbose = run->session.verbose;
    return OPTIONS_GO_ON;
}

/* ---- the gateway ---- */

struct introduction {
    struct guest *guest;
    int failure; /* -errno of the first */
};

static void give_placeholder(void *user, const ln_secret_status *status)
{
    struct introduction *introduction = user;
    int r = guest_setenv(introduction->guest, status->secret->env, status->placeholder);
    introduction->failure = introduction->failure < 0 ? introduction->failure : r;
}

/* Gives CMD what it is to trust, and placeholders in the place of secrets. */
static int introduce(struct run *run)
{
    const ln_gateway *gw = run->session.gateway;
    const char *certificates[] = {ln_gateway_ca(gw), ln_gateway_host_cas(gw)};
    struct introduction introduction = {.guest = &run->guest};
    ln_gateway_secrets(gw, give_placeholder, &introduction);
    int r = introduction.failure;
    for (size_t i = 0; i < 2 && r == 0; i++) {
        r = certificates[i] == NULL ? 0 : guest_trust(&run->guest, certificates[i]);
    }
    return r;
}

/* A module of the policy: CMD must not write its own policy, which may be loaded once more. */
static void hide_module(void *user, const char *path)
{
    struct run *run = user;
    int r = guest_cover(&run->guest, path);
    run->hiding = run->hiding < 0 ? run->hiding : r;
}

/* Returns 0, or the exit status. */
static int make_gateway(struct run *run)
{
    ln_policy *policy;
    run->opener = (struct file_opener){.loaded = hide_module, .user = run};
    int status = session_make_gateway(&run->session, TAP_OFFLOADS, &run->opener, &policy);
    run->opener.loaded = NULL; /* a function of the policy could still ask for one */
    if (status != 0) {
        return status;
    }
    const ln_settings *settings = ln_policy_settings(policy);
    if (session_failed(run->hiding, "hide the policy's modules") < 0 ||
        session_failed(hide_sources(&run->guest, &run->hide, settings), "hide secrets") < 0 ||
        session_failed(introduce(run), "introduce CMD to its network") < 0 ||
        session_failed(guest_search(&run->guest, settings), "set the guest's resolver up") < 0) {
        status = EXIT_LUNETTE_FAILED;
    }
    ln_policy_unref(policy);
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
    return loop_watch(gateway_loop(run->session.gateway), &run->signals, fd, EPOLLIN);
}

/* CMD stopped: lunette does too, so that the shell sees its job stopped. It is continued by
 * SIGCONT, which on_signal() passes on. */
static void on_message(struct watch *watch, uint32_t events)
{
    struct run *run = (struct run *)(void *)((char *)watch - offsetof(struct run, messages));
    struct guest_message message;
    (void)events;
    if (guest_expect(run->guest.control, GUEST_STOPPED, &message, NULL) < 0) {
        loop_unwatch(gateway_loop(run->session.gateway), watch); /* it is ending: SIGCHLD follows */
        return;
    }
    raise(SIGSTOP);
}

/* ---- life ---- */

static int watch_guest(struct run *run)
{
    run->messages.ready = on_message;
    return loop_watch(gateway_loop(run->session.gateway), &run->messages, run->guest.control,
                      EPOLLIN);
}

/* Joins guest and gateway, confines this process, and starts CMD. */
static int connect_guest(struct run *run)
{
    ln_link link;
    int fd = guest_tap(&run->guest);
    if (fd < 0) {
        return fd;
    }
    tap_init(&run->tap, fd);
    int r = session_start(&run->session, &run->tap.transport);
    if (r < 0) {
        return r;
    }
    ln_gateway_link(run->session.gateway, &link);
    if (run->session.verbose) {
        session_say_link(&run->session, GUEST_INTERFACE, &link);
    }
    r = guest_configure(&run->guest, &link);
    if (r == 0) {
        r = session_failed(watch_signals(run), "watch signals");
    }
    if (r == 0) {
        r = session_confine(&(struct session *){&run->session}, 1, false, run->terminal.fd);
    }
    if (r == 0) {
        r = guest_go(&run->guest);
    }
    return r < 0 ? r : session_failed(watch_guest(run), "watch the guest");
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
        if (session_turn(&run->session) < 0) {
            return end_guest(run);
        }
    }
    return run->status;
}

static int run_guest(struct run *run)
{
    struct guest_options guest = {.argv = run->command, .hide = &run->hide};
    if (guest_start(&run->guest, &guest) < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    if (session_failed(confine_memory(), "protect lunette's memory") < 0) {
        return end_guest(run);
    }
    session_raise_limits();
    if (session_start_keeper(&run->session, NULL) < 0) {
        return end_guest(run);
    }
    int status = make_gateway(run);
    if (status != 0) {
        (void)end_guest(run);
        return status;
    }
    return connect_guest(run) < 0 ? end_guest(run) : serve(run);
}

/* The locks by which slots are held: CMD is not to take them, or take them away. Those in /run it
 * does not see anyway. */
static void hide_slots(struct run *run)
{
    char link[32], path[4096];
    int dir = run->session.slot_auto || run->session.slot_chosen ? slot_open_dir(NULL) : -1;
    if (dir < 0) {
        return; /* session_make_gateway() says why, where that matters */
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    if (path[0] == '/' && strncmp(path, "/run/", 5) != 0) {
        (void)hide_cover(&run->hide, path);
    }
    close(dir);
}

static int run_main(int argc, char **argv)
{
    (void)argc;
    struct run run = {.session = session_of(&command_run), .tap.fd = -1, .status = -1};
    if (session_open_standard() < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    int status = parse(&run, argv);
    if (status == OPTIONS_GO_ON) {
        status = EXIT_LUNETTE_FAILED;
        run.terminal = terminal_open();
        if (session_open_outputs(&run.session, STDERR_FILENO, &run.hide) == 0 &&
            session_failed(hide_collect(&run.hide), "list sockets") == 0) {
            (void)hide_cover(&run.hide, run.session.policy); /* a preset is no file */
            hide_slots(&run);
            status = run_guest(&run);
        }
        terminal_take_back(&run.terminal);
    }
    transport_stop(&run.tap.transport);
    if (session_end(&run.session) < 0 && status == 0) {
        status = EXIT_LUNETTE_FAILED;
    }
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
        "policy: those that exist when CMD starts are hidden, and those of container engines,\n"
        "service managers, D-Bus and X11 in any case; /run is CMD's own copy without them. What\n"
        "is bound elsewhere while CMD runs, as by an ssh-agent in /tmp, CMD can see. The policy\n"
        "and what lunette writes are hidden as well. What CMD writes elsewhere may be run outside\n"
        "later on: give it an account or a directory of its own.\n"
        "\n"
        "Of secrets CMD has placeholders, in the variables that the policy names; where they\n"
        "come from is hidden. With interception, CMD trusts lunette's CA: it is in the bundles of\n"
        "the system, of Java too, and in SSL_CERT_FILE, CURL_CA_BUNDLE, REQUESTS_CA_BUNDLE,\n"
        "NODE_EXTRA_CA_CERTS, GIT_SSL_CAINFO, PIP_CERT, CARGO_HTTP_CAINFO, DENO_CERT,\n"
        "AWS_CA_BUNDLE and the like, beside what they named before. Commands that secrets come\n"
        "from run outside, and again with refresh_s or at a reload: they are not to be CMD's to\n"
        "write, and what they read is to be hidden by --hide. A file that the host replaces by\n"
        "another is in the open, but for directories that are hidden as a whole.\n"
        "\n"
        "  --show PATH      let CMD see PATH (a socket or a directory) although it would be "
        "hidden\n"
        "  --hide PATH      hide PATH (a file or a directory) too\n"
        "  --events FILE    write what happens to FILE as JSON Lines; -: to standard error\n"
        "  --pcap FILE      capture the frames of the guest in FILE (pcapng)\n"
        "  --keylog FILE    write the keys of intercepted connections to FILE (mode 0600), in the\n"
        "                   format of NSS: who has them can decrypt a capture, secrets included\n"
        "  --observe[=FILE] at the end write the least policy that allows what was seen to FILE\n"
        "                   (default observed.lua; -: to standard error). POLICY still decides:\n"
        "                   under allow-all everything is seen; what is refused is listed too\n"
        "  --observe-suffixes  write \".example.com\" in the place of several names below it\n"
        "  --force          let --observe write over a file that is there\n"
        "  --control PATH   be asked and told by `lunette ctl` at this UNIX socket, which CMD "
        "does\n"
        "                   not see; what `ctl reload` reads again is not to be CMD's to write\n"
        "  --metrics ADDR   counters for Prometheus over HTTP, at PORT of 127.0.0.1, IP:PORT,\n"
        "                   [IPV6]:PORT, or a UNIX socket (a path with a slash), as /metrics, for\n"
        "                   whoever may connect there; the guest may not\n"
        "  --slot N|auto    which subnets of the policy's pools to take, 0 to 65535 (default 0);\n"
        "                   auto: the first from 1 up that no other lunette of this user has, nor\n"
        "                   an address of this machine (/run/lunette, $XDG_RUNTIME_DIR/lunette or\n"
        "                   /tmp/lunette-UID holds the locks)\n"
        "  --mtu N          of the guest's interface, 1280 to 65520 bytes (default 1500)\n"
        "  -v, --verbose    say what is set up and hidden, and at the end what was counted\n"
        "  -h, --help       print this\n"
        "\n"
        "Exit status: CMD's; 128+N when signal N ended it; 127 when CMD is not found, 126 when it\n"
        "cannot be executed; 125 when lunette failed or ended CMD; 2 for wrong arguments or a "
        "wrong policy.\n",
    .main = run_main,
};
