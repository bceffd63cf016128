/* `lunette serve`: the networks of guests that somebody else runs: virtual machines behind UNIX
 * sockets, or interfaces.
 *
 * Theory of operation. Each guest has a session of its own, with policy, gateway, link and keeper
 * of files: they share nothing but this process and, where it was asked for, the log. All is opened
 * first, guest by guest; then this process confines itself and says that it is ready. From there on
 * a loop is turned, until a signal ends it or every guest is gone for good.
 *
 * A lone guest's loop is that of its gateway, in which its link and the signals are watched too. Of
 * several, each gateway's descriptor is watched in a loop around them. A turn is bounded, and after
 * each it is looked again at who has work: of those, the next turn is whose turns took the least
 * time, so that who floods is in nobody's way for longer than a turn. Who had no work for a while
 * has earned nothing by that. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/confine.h"
#include "cli/guest.h"
#include "cli/serve_hand_out.h"
#include "cli/serve_notify.h"
#include "cli/serve_options.h"
#include "net/gateway.h"

struct serve {
    struct serve_options options;
    struct serve_guest *guests;
    size_t n, n_over;
    struct session *sessions[SERVE_GUESTS_MAX]; /* of the guests */
    ln_endpoint guarded[SERVE_GUESTS_MAX];      /* where metrics are: no guest gets there */
    struct loop around;       /* the gateways of several guests; else without a descriptor */
    struct serve_guest *next; /* whose turn it is; NULL: nobody has work */
    uint64_t spent_ns;        /* what the turns of whose turn it was last had taken before it */
    struct watch signals;
    int notify_fd; /* to the service manager; -1: none */
    bool stopped;
    int status; /* EXIT_LUNETTE_FAILED once a guest had to be ended */
};

/* ---- signals ---- */

static void reload(struct serve *serve)
{
    serve_notify_reloading(serve->notify_fd);
    for (size_t i = 0; i < serve->n; i++) {
        if (!serve->guests[i].over) {
            session_reload_or_say(&serve->guests[i].session);
        }
    }
    serve_notify(serve->notify_fd, "READY=1");
}

static void on_signal(struct watch *watch, uint32_t events)
{
    struct serve *serve = (struct serve *)(void *)((char *)watch - offsetof(struct serve, signals));
    struct signalfd_siginfo info;
    (void)events;
    while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            reload(serve);
        } else if (info.ssi_signo != SIGPIPE) {
            serve->stopped = true;
        }
    }
}

/* The loop that is turned. */
static struct loop *loop_of(struct serve *serve)
{
    return serve->n > 1 ? &serve->around : gateway_loop(serve->guests[0].session.gateway);
}

static int watch_signals(struct serve *serve)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGPIPE);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -errno;
    }
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    serve->signals.ready = on_signal;
    return loop_watch(loop_of(serve), &serve->signals, fd, EPOLLIN);
}

/* ---- turns ---- */

/* Ends a guest that is gone for good (`r` 0), or that had to be ended. The others do not notice. */
static void retire(struct serve_guest *guest, int r)
{
    struct serve *serve = guest->serve;
    guest->over = true;
    serve->n_over++;
    serve->status = r < 0 ? EXIT_LUNETTE_FAILED : serve->status;
    if (serve->n > 1) {
        loop_unwatch(&serve->around, &guest->watch);
        transport_stop(&guest->link.transport);
        session_retire(&guest->session);
    }
}

static void end_turn(struct serve_guest *guest, int r)
{
    if (r < 0 || guest->link.transport.ended) {
        retire(guest, r);
    }
}

static void gateway_ready(struct watch *watch, uint32_t events)
{
    struct serve_guest *guest =
        (struct serve_guest *)(void *)((char *)watch - offsetof(struct serve_guest, watch));
    struct serve *serve = guest->serve;
    (void)events;
    if (guest->spent_ns < serve->spent_ns) {
        guest->spent_ns = serve->spent_ns;
    }
    if (serve->next == NULL || guest->spent_ns < serve->next->spent_ns) {
        serve->next = guest;
    }
}

/* Waits until guests have work, and gives one of them a turn. Returns 0 or -errno. */
static int turn_one(struct serve *serve)
{
    serve->next = NULL;
    int r = loop_dispatch(&serve->around, -1);
    struct serve_guest *guest = serve->next;
    if (guest != NULL) {
        uint64_t since_ns = serve->around.now_ns;
        serve->spent_ns = guest->spent_ns;
        int ended = session_dispatch(&guest->session);
        guest->spent_ns += loop_now(&serve->around) - since_ns;
        end_turn(guest, ended);
    }
    return session_failed(r < 0 ? r : 0, "go on");
}

static int watch_gateways(struct serve *serve)
{
    int r = 0;
    for (size_t i = 0; i < serve->n && serve->n > 1 && r == 0; i++) {
        struct serve_guest *guest = &serve->guests[i];
        guest->watch = (struct watch){.fd = -1, .ready = gateway_ready};
        r = loop_watch(&serve->around, &guest->watch, ln_gateway_fd(guest->session.gateway),
                       EPOLLIN);
    }
    return r;
}

static void tell_ready(const struct serve *serve)
{
    serve_notify(serve->notify_fd, "READY=1\nSTATUS=serving");
    if (serve->options.tells_ready) {
        ssize_t n = write((int)serve->options.ready_fd, "\n", 1);
        (void)n; /* whoever waited is gone */
        close((int)serve->options.ready_fd);
    }
}

/* Returns the exit status. */
static int turn(struct serve *serve)
{
    tell_ready(serve);
    while (!serve->stopped && serve->n_over < serve->n) {
        if (serve->n == 1) {
            end_turn(&serve->guests[0], session_turn(&serve->guests[0].session));
        } else if (turn_one(serve) < 0) {
            serve->status = EXIT_LUNETTE_FAILED;
            break;
        }
    }
    serve_notify(serve->notify_fd, "STOPPING=1");
    return serve->status;
}

/* ---- life ---- */

/* What only a process that is not confined can, of one guest. Returns 0 or -errno. */
static int open_guest(struct serve_guest *guest)
{
    int r = session_open_outputs(&guest->session, STDOUT_FILENO, NULL);
    r = r < 0 ? r : serve_link_open(&guest->link);
    return r < 0 ? r : session_start_keeper(&guest->session, serve_link_socket(&guest->link));
}

/* What is given once for all is the first guest's to open and to close. */
static int share_logs(struct serve *serve)
{
    struct session *first = serve->sessions[0];
    for (size_t i = 1; i < serve->n; i++) {
        if (serve->options.one_log) {
            serve->sessions[i]->shared_log = &first->log;
        }
        if (serve->options.one_keylog) {
            serve->sessions[i]->keylog_fd = fcntl(first->keylog_fd, F_DUPFD_CLOEXEC, 3);
            if (serve->sessions[i]->keylog_fd < 0) {
                return session_failed(-errno, "share the key log");
            }
        }
    }
    return 0;
}

/* No guest gets to the metrics of any. */
static void guard_metrics(struct serve *serve)
{
    size_t n = 0;
    for (size_t i = 0; i < serve->n; i++) {
        if (serve->sessions[i]->n_guarded > 0) {
            serve->guarded[n++] = serve->sessions[i]->guarded[0];
        }
    }
    for (size_t i = 0; i < serve->n; i++) {
        serve->sessions[i]->guarded = serve->guarded;
        serve->sessions[i]->n_guarded = n;
    }
}

static int open_all(struct serve *serve)
{
    for (size_t i = 0; i < serve->n; i++) {
        int r = open_guest(&serve->guests[i]);
        if (r < 0) {
            return r;
        }
    }
    guard_metrics(serve);
    int r = share_logs(serve);
    if (r == 0 && serve->n > 1) {
        r = session_failed(loop_init(&serve->around, &host_services_system), "wait for guests");
    }
    return r < 0 ? r : session_failed(confine_memory(), "protect lunette's memory");
}

/* Makes the network of one guest, and hands out what the guest is to have. Returns 0, or the exit
 * status. */
static int make_gateway(struct serve_guest *guest)
{
    ln_policy *policy;
    int status =
        session_make_gateway(&guest->session, serve_link_offloads(&guest->link), NULL, &policy);
    if (status != 0) {
        return status;
    }
    ln_policy_unref(policy);
    return serve_hand_out(guest->session.gateway, guest->ca_bundle, guest->placeholders) < 0
               ? EXIT_LUNETTE_FAILED
               : 0;
}

static int start_guest(struct serve_guest *guest)
{
    ln_link link;
    ln_gateway_link(guest->session.gateway, &link);
    int r = serve_link_join(&guest->link, &link);
    if (r < 0) {
        return r;
    }
    if (guest->session.verbose) {
        session_say_link(&guest->session, serve_link_interface(&guest->link), &link);
    }
    return session_start(&guest->session, &guest->link.transport);
}

static int start(struct serve *serve)
{
    bool with_files = false;
    for (size_t i = 0; i < serve->n; i++) {
        int r = start_guest(&serve->guests[i]);
        if (r < 0) {
            return r;
        }
        with_files = with_files || serve->guests[i].link.spec.kind == LINK_DGRAM;
    }
    int r = session_failed(watch_signals(serve), "watch signals");
    r = r < 0 ? r : session_failed(watch_gateways(serve), "wait for guests");
    return r < 0 ? r : session_confine(serve->sessions, serve->n, with_files, -1);
}

/* Descriptors are the process's: where there are too few for all, one guest can leave the others
 * without. */
static void warn_of_descriptors(const struct serve *serve)
{
    struct rlimit limit;
    uint64_t wanted = 0;
    for (size_t i = 0; i < serve->n; i++) {
        const ln_policy *policy = ln_gateway_policy(serve->sessions[i]->gateway);
        wanted += ln_policy_settings(policy)->limits.max_connections;
    }
    if (serve->n > 1 && getrlimit(RLIMIT_NOFILE, &limit) == 0 && wanted > limit.rlim_cur) {
        command_say("WARNING: the policies' max_connections are %" PRIu64 " in all, but this "
                    "process may have %" PRIu64 " descriptors: a guest can take up those of others",
                    wanted, (uint64_t)limit.rlim_cur);
    }
}

static int serve_guests(struct serve *serve)
{
    if (open_all(serve) < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    session_raise_limits();
    for (size_t i = 0; i < serve->n; i++) {
        int status = make_gateway(&serve->guests[i]);
        if (status != 0) {
            return status;
        }
    }
    warn_of_descriptors(serve);
    return start(serve) < 0 ? EXIT_LUNETTE_FAILED : turn(serve);
}

static int make_guests(struct serve *serve)
{
    size_t n = serve->options.n_links;
    serve->guests = calloc(n, sizeof(*serve->guests));
    if (serve->guests == NULL) {
        return session_failed(-ENOMEM, "serve");
    }
    for (; serve->n < n; serve->n++) {
        struct serve_guest *guest = &serve->guests[serve->n];
        serve_options_guest(&serve->options, serve->n, guest);
        guest->serve = serve;
        serve->sessions[serve->n] = &guest->session;
    }
    return 0;
}

/* Returns 0, or -errno when something could not be written. */
static int end(struct serve *serve)
{
    int r = 0;
    for (size_t i = 0; i < serve->n; i++) { /* a log may be another's */
        transport_stop(&serve->guests[i].link.transport);
        session_retire(&serve->guests[i].session);
    }
    for (size_t i = 0; i < serve->n; i++) {
        int ended = session_end(&serve->guests[i].session);
        r = r < 0 ? r : ended;
    }
    loop_fini(&serve->around);
    free(serve->guests);
    return r;
}

static int serve_main(int argc, char **argv)
{
    (void)argc;
    struct serve serve = {.notify_fd = -1, .around = {.epoll_fd = -1, .timer_fd = -1}};
    if (session_open_standard() < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    int status = serve_options_parse(&serve.options, argv);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    serve.notify_fd = serve_notify_open();
    status = make_guests(&serve) < 0 ? EXIT_LUNETTE_FAILED : serve_guests(&serve);
    if (end(&serve) < 0 && status == 0) {
        status = EXIT_LUNETTE_FAILED;
    }
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "[OPTION]... LINK... POLICY...",
    .summary = "be the network of virtual machines, or of interfaces",
    .help =
        "POLICY is a file or the name of a preset: none, public-only, allow-all, non-local.\n"
        "\n"
        "LINK, one for each guest:\n"
        "  --stream PATH    listen on a UNIX stream socket (QEMU -netdev stream, libkrun): each\n"
        "                   frame has its length before it, 4 bytes, big-endian. One guest at a\n"
        "                   time; when it hangs up its connections are reset, what it resolved is\n"
        "                   forgotten, and the next one is served\n"
        "  --dgram PATH     receive on a UNIX datagram socket (QEMU -netdev dgram, vfkit); "
        "answers\n"
        "                   go to whoever sent last\n"
        "  --tap NAME       make the TAP interface NAME in this network namespace, or take it\n"
        "  --pid PID        make the interface eth0 (or the one --tap names) in the network\n"
        "                   namespace of process PID, with addresses and default routes\n"
        "  --fd N           use the descriptor N: a connected or listening stream socket, a "
        "datagram\n"
        "                   socket, or a TAP\n"
        "\n"
        "The guest is configured by DHCP and router advertisements.\n"
        "\n"
        "With several links this process serves several guests, at most 64, which have nothing in\n"
        "common: the first link goes with the first policy, and so on; or one POLICY is for all,\n"
        "and each has it for itself. --tap next to --pid is no link of its own. --ca-bundle,\n"
        "--placeholders, --events, --pcap, --keylog, --observe, --metrics and --control are then\n"
        "given once for each guest, in the order of the links (an empty value: this one has "
        "none),\n"
        "or not at all; --events and --keylog may be given once for all. Each guest has the next\n"
        "slot, and so addresses of its own; events have it as \"slot\". A guest that is ended, or\n"
        "whose link is gone, leaves the others as they are; lunette ends with the last.\n"
        "\n"
        "  lunette serve --stream a.sock --control a.ctl a.lua --stream b.sock --control b.ctl "
        "b.lua\n"
        "\n"
        "  --ca-bundle FILE write what the guest is to trust to FILE (mode 0644, PEM): the CA of\n"
        "                   interception, and this machine's roots where the policy has\n"
        "                   trust_host_cas\n"
        "  --placeholders FILE  write the variables that the guest is to have in the place of\n"
        "                   secrets to FILE, a line NAME=VALUE each (-: to standard output);\n"
        "                   `lunette ctl secrets` tells them too\n"
        "  --events FILE    write what happens to FILE as JSON Lines; -: to standard output\n"
        "  --pcap FILE      capture the frames of the guest in FILE (pcapng)\n"
        "  --keylog FILE    write the keys of intercepted connections to FILE (mode 0600), in the\n"
        "                   format of NSS: who has them can decrypt a capture, secrets included\n"
        "  --observe[=FILE] at the end write the least policy that allows what was seen to FILE\n"
        "                   (default observed.lua; -: to standard error); as for lunette run\n"
        "  --observe-suffixes  write \".example.com\" in the place of several names below it\n"
        "  --force          let --observe write over a file that is there\n"
        "  --metrics ADDR   counters for Prometheus over HTTP, at PORT of 127.0.0.1, IP:PORT,\n"
        "                   [IPV6]:PORT, or a UNIX socket (a path with a slash), as /metrics, for\n"
        "                   whoever may connect there; the guest may not\n"
        "  --watch          read the policy again when it changes, or a module beside it; a bad "
        "one\n"
        "                   changes nothing\n"
        "  --slot N|auto    which subnets of the policy's pools to take, 0 to 65535 (default 0), "
        "the\n"
        "                   next ones for further guests;\n"
        "                   auto: the first from 1 up that no other lunette of this user has, nor\n"
        "                   an address of this machine (/run/lunette, $XDG_RUNTIME_DIR/lunette or\n"
        "                   /tmp/lunette-UID holds the locks)\n"
        "  --mtu N          1280 to 65520 bytes (default 1500)\n"
        "  --control PATH   be asked and told by `lunette ctl` at this UNIX socket\n"
        "  --ready-fd N     write a newline to descriptor N when guests are served; systemd is "
        "told\n"
        "                   through $NOTIFY_SOCKET\n"
        "  -v, --verbose    say what is set up, and at the end what was counted\n"
        "  -h, --help       print this\n"
        "\n"
        "SIGHUP reads the policy and its secrets again; a bad one changes nothing. SIGTERM and "
        "SIGINT end "
        "lunette,\n"
        "and its sockets are removed.\n"
        "\n"
        "Exit status: 0; 125 when lunette failed; 2 for wrong arguments or a wrong policy.\n",
    .main = serve_main,
};
