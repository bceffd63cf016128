/* `lunette serve`: the network of a guest that somebody else runs: a virtual machine behind a UNIX
 * socket, or an interface.
 *
 * Theory of operation. Everything is opened first, and the keeper of files started; then this
 * process confines itself and says that it is ready. From there on it turns the gateway's loop, in
 * which the link, and the signals are watched too, until a signal ends it or the guest is gone for
 * good. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/confine.h"
#include "cli/guest.h"
#include "cli/join.h"
#include "cli/session.h"
#include "cli/transport_tap.h"
#include "cli/transport_unix.h"
#include "net/gateway.h"

struct serve {
    struct session session;
    const char *stream_path, *dgram_path, *tap_name; /* the link, as asked for; NULL: not so */
    uint32_t pid, fd;
    bool by_pid, by_fd;
    const char *ca_bundle, *placeholders; /* files for the guest; NULL: not asked for */
    uint32_t ready_fd;
    bool tells_ready;
    int notify_fd; /* connected to $NOTIFY_SOCKET; -1: none */
    union {
        struct transport transport;
        struct tap tap;
        struct stream stream;
        struct dgram dgram;
    } link;
    struct watch signals;
    bool stopped;
};

/* ---- options ---- */

static int take_number(const char *name, const char *value, uint32_t min, uint32_t *ret, bool *set)
{
    *set = true;
    return options_number(value, min, INT32_MAX, ret) == 0
               ? 0
               : command_usage_error(&command_serve, "%s: found '%s'; accepted: a number", name,
                                     value);
}

static int take_pid(void *user, const char *value)
{
    struct serve *serve = user;
    return take_number("--pid", value, 1, &serve->pid, &serve->by_pid);
}

static int take_fd(void *user, const char *value)
{
    struct serve *serve = user;
    return take_number("--fd", value, 0, &serve->fd, &serve->by_fd);
}

static int take_ready_fd(void *user, const char *value)
{
    struct serve *serve = user;
    return take_number("--ready-fd", value, 0, &serve->ready_fd, &serve->tells_ready);
}

/* Returns OPTIONS_GO_ON or the exit status. */
static int parse(struct serve *serve, char **argv)
{
    struct option_spec specs[SESSION_OPTIONS + 9] = {
        {.name = "stream", .value = &serve->stream_path},
        {.name = "dgram", .value = &serve->dgram_path},
        {.name = "tap", .value = &serve->tap_name},
        {.name = "pid", .take = take_pid, .user = serve},
        {.name = "fd", .take = take_fd, .user = serve},
        {.name = "ready-fd", .take = take_ready_fd, .user = serve},
        {.name = "ca-bundle", .value = &serve->ca_bundle},
        {.name = "placeholders", .value = &serve->placeholders},
        {.name = "watch", .flag = &serve->session.watches},
    };
    size_t count;
    session_options(&serve->session, specs + 9);
    int status =
        options_parse(&command_serve, specs, sizeof(specs) / sizeof(specs[0]), argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    status = session_check_options(&serve->session);
    if (status != 0) {
        return status;
    }
    int links = (serve->stream_path != NULL) + (serve->dgram_path != NULL) + serve->by_fd +
                (serve->tap_name != NULL || serve->by_pid); /* --tap names the one of --pid */
    if (links != 1) {
        return command_usage_error(
            &command_serve, "%s; accepted: one of --stream, --dgram, --tap, --pid, --fd",
            links == 0 ? "the guest's link is missing" : "there is more than one link");
    }
    if (count != 1) {
        return command_usage_error(
            &command_serve, count == 0 ? "a policy is missing: a file, or the name of a preset"
                                       : "there is more than one policy");
    }
    serve->session.policy = argv[0];
    return OPTIONS_GO_ON;
}

/* ---- the link ---- */

/* Each returns 0, or -errno after saying what is wrong. */

static int open_stream(struct serve *serve)
{
    int fd = unix_bind_or_say(serve->stream_path, SOCK_STREAM);
    return fd < 0 ? fd : session_failed(stream_open(&serve->link.stream, fd, -1), "listen");
}

static int open_dgram(struct serve *serve)
{
    int fd = unix_bind_or_say(serve->dgram_path, SOCK_DGRAM);
    return fd < 0 ? fd : session_failed(dgram_init(&serve->link.dgram, fd, false), "listen");
}

static int open_tap(struct serve *serve)
{
    int fd = tap_create(serve->tap_name, false);
    if (fd >= 0) {
        tap_init(&serve->link.tap, fd);
    }
    return fd < 0 ? fd : 0;
}

static int socket_option(int fd, int option)
{
    int value;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) != 0 ? -errno : value;
}

/* A descriptor that was handed to us, by what it is. */
static int adopt(struct serve *serve, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return -errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return tap_adopt(&serve->link.tap, fd);
    }
    switch (socket_option(fd, SO_TYPE)) {
    case SOCK_STREAM: {
        bool listens = socket_option(fd, SO_ACCEPTCONN) == 1;
        return stream_open(&serve->link.stream, listens ? fd : -1, listens ? -1 : fd);
    }
    case SOCK_DGRAM: {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        bool connected = getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
        return dgram_init(&serve->link.dgram, fd, connected);
    }
    default:
        return -EPROTOTYPE;
    }
}

static int open_fd(struct serve *serve)
{
    int r = adopt(serve, (int)serve->fd);
    if (r == -ENOTTY || r == -EPROTOTYPE) {
        command_say("--fd %d: it is neither a stream or datagram socket nor a TAP", (int)serve->fd);
    } else if (r < 0) {
        command_say("--fd %d: %s", (int)serve->fd, strerror(-r));
    }
    return r;
}

/* All but that of --pid, for which the addresses must be known. */
static int open_link(struct serve *serve)
{
    return serve->stream_path != NULL  ? open_stream(serve)
           : serve->dgram_path != NULL ? open_dgram(serve)
           : serve->by_fd              ? open_fd(serve)
           : serve->by_pid             ? 0
                                       : open_tap(serve);
}

static const char *tap_name(const struct serve *serve)
{
    return serve->tap_name != NULL ? serve->tap_name : GUEST_INTERFACE;
}

static int open_tap_of_pid(struct serve *serve, const ln_link *link)
{
    int fd = join_tap((pid_t)serve->pid, tap_name(serve), link);
    if (fd >= 0) {
        tap_init(&serve->link.tap, fd);
    }
    return fd < 0 ? fd : 0;
}

/* ---- signals ---- */

static void notify(const struct serve *serve, const char *state)
{
    if (serve->notify_fd >= 0) {
        (void)send(serve->notify_fd, state, strlen(state), MSG_NOSIGNAL);
    }
}

/* A service manager that asked for it waits for its end. */
static void notify_reloading(const struct serve *serve)
{
    char state[64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    notify(serve, state);
}

static void reload(struct serve *serve)
{
    notify_reloading(serve);
    session_reload_or_say(&serve->session);
    notify(serve, "READY=1");
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
    return loop_watch(gateway_loop(serve->session.gateway), &serve->signals, fd, EPOLLIN);
}

/* ---- readiness ---- */

/* A socket to the service manager (sd_notify(3)), or -1. */
static int open_notify(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);
    if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@')) {
        return -1;
    }
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* an abstract name */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void tell_ready(struct serve *serve)
{
    notify(serve, "READY=1\nSTATUS=serving");
    if (serve->tells_ready) {
        ssize_t n = write((int)serve->ready_fd, "\n", 1);
        (void)n; /* whoever waited is gone */
        close((int)serve->ready_fd);
    }
}

/* ---- what is to be handed to the guest ---- */

/* Opens a file that anybody may read; "-": standard output. NULL after saying what is wrong. */
static FILE *open_hand_out(const char *path)
{
    int fd = strcmp(path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0644);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL || (strcmp(path, "-") != 0 && fchmod(fd, 0644) != 0 && errno != EPERM)) {
        command_say("%s: %s", path, strerror(errno));
        return NULL; /* this process ends */
    }
    return file;
}

static int close_hand_out(FILE *file, const char *path)
{
    bool written = ferror(file) == 0;
    if (fclose(file) != 0 || !written) {
        command_say("%s: %s", path, strerror(errno));
        return -EIO;
    }
    return 0;
}

static int write_ca_bundle(const struct serve *serve)
{
    const char *certificates[] = {ln_gateway_ca(serve->session.gateway),
                                  ln_gateway_host_cas(serve->session.gateway)};
    FILE *file = open_hand_out(serve->ca_bundle);
    if (file == NULL) {
        return -EIO;
    }
    for (size_t i = 0; i < 2; i++) {
        if (certificates[i] != NULL) {
            fputs(certificates[i], file);
        }
    }
    return close_hand_out(file, serve->ca_bundle);
}

static void write_placeholder(void *user, const ln_secret_status *status)
{
    fprintf(user, "%s=%s\n", status->secret->env, status->placeholder);
}

static int write_placeholders(const struct serve *serve)
{
    FILE *file = open_hand_out(serve->placeholders);
    if (file == NULL) {
        return -EIO;
    }
    ln_gateway_secrets(serve->session.gateway, write_placeholder, file);
    return close_hand_out(file, serve->placeholders);
}

static int hand_out(const struct serve *serve)
{
    int r = serve->ca_bundle == NULL ? 0 : write_ca_bundle(serve);
    return r < 0 || serve->placeholders == NULL ? r : write_placeholders(serve);
}

/* ---- life ---- */

static int start(struct serve *serve)
{
    ln_link link;
    ln_gateway_link(serve->session.gateway, &link);
    if (serve->by_pid && open_tap_of_pid(serve, &link) < 0) {
        return -1;
    }
    if (serve->session.verbose) {
        session_say_link(&serve->session, tap_name(serve), &link);
    }
    int r = session_start(&serve->session, &serve->link.transport);
    if (r == 0) {
        r = session_failed(watch_signals(serve), "watch signals");
    }
    return r < 0 ? r : session_confine(&serve->session, serve->dgram_path != NULL, -1);
}

/* Returns the exit status. */
static int turn(struct serve *serve)
{
    tell_ready(serve);
    while (!serve->stopped && !serve->link.transport.ended) {
        if (session_turn(&serve->session) < 0) {
            return EXIT_LUNETTE_FAILED;
        }
    }
    notify(serve, "STOPPING=1");
    return 0;
}

static int serve_guest(struct serve *serve)
{
    const char *socket = serve->stream_path != NULL ? serve->stream_path : serve->dgram_path;
    if (session_open_outputs(&serve->session, STDOUT_FILENO, NULL) < 0 || open_link(serve) < 0 ||
        session_start_keeper(&serve->session, socket) < 0 ||
        session_failed(confine_memory(), "protect lunette's memory") < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    session_raise_limits();
    ln_policy *policy;
    uint32_t offloads = serve->by_pid ? TAP_OFFLOADS : serve->link.transport.ops->offloads;
    int status = session_make_gateway(&serve->session, offloads, NULL, &policy);
    if (status != 0) {
        return status;
    }
    ln_policy_unref(policy);
    return hand_out(serve) < 0 || start(serve) < 0 ? EXIT_LUNETTE_FAILED : turn(serve);
}

static int serve_main(int argc, char **argv)
{
    (void)argc;
    struct serve serve = {.session = session_of(&command_serve), .notify_fd = -1};
    if (session_open_standard() < 0) {
        return EXIT_LUNETTE_FAILED;
    }
    int status = parse(&serve, argv);
    if (status == OPTIONS_GO_ON) {
        serve.notify_fd = open_notify();
        status = serve_guest(&serve);
    }
    transport_stop(&serve.link.transport);
    if (session_end(&serve.session) < 0 && status == 0) {
        status = EXIT_LUNETTE_FAILED;
    }
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "[OPTION]... LINK POLICY",
    .summary = "be the network of a virtual machine, or of an interface",
    .help =
        "POLICY is a file or the name of a preset: none, public-only, allow-all, non-local.\n"
        "\n"
        "LINK, one of:\n"
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
        "  --slot N|auto    which subnets of the policy's pools to take, 0 to 65535 (default 0);\n"
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
