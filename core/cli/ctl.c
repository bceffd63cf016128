/* `lunette ctl`: asks a running session, over the socket of its --control (control.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/flow_list.h"
#include "cli/options.h"

enum { EXIT_REFUSED = 1, PATIENCE_S = 10 };

/* Returns the socket, or -errno after saying what is wrong. */
static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    if (strlen(path) >= sizeof(address.sun_path)) {
        command_say("%s: the path is too long for a socket", path);
        return -ENAMETOOLONG;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int err = errno;
        command_say("%s: %s%s", path, strerror(err),
                    err == ECONNREFUSED ? ": nobody listens there any more" : "");
        if (fd >= 0) {
            close(fd);
        }
        return -err;
    }
    return fd;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* The strings of a line {"ok":false,"errors":["…","…"]}, for people. */
static void say_errors(const char *line)
{
    const char *at = strchr(line, '[');
    while (at != NULL && (at = strchr(at, '"')) != NULL) {
        char text[1100];
        size_t len = 0;
        for (at++; *at != '"' && *at != '\0' && len + 1 < sizeof(text); at++) {
            at += *at == '\\' && at[1] != '\0';
            text[len++] = *at;
        }
        text[len] = '\0';
        command_say("%s", text);
        at += *at == '"';
    }
}

/* Passes the answer on: the data to stdout, where it `follows` until lunette ends. Returns the exit
 * status. */
static int read_answer(int fd, bool follows)
{
    FILE *in = fdopen(fd, "r");
    char *line = NULL;
    size_t room = 0;
    int status = EXIT_REFUSED;
    if (in == NULL || getline(&line, &room, in) < 0) {
        command_say("there was no answer");
    } else if (strcmp(line, "{\"ok\":true}\n") != 0) {
        say_errors(line);
    } else {
        struct timeval for_ever = {0};
        if (follows) {
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
        }
        status = 0;
        while (getline(&line, &room, in) >= 0 && fputs(line, stdout) >= 0 && fflush(stdout) == 0) {
        }
    }
    free(line);
    if (in != NULL) {
        fclose(in);
    }
    return status;
}

static int ask(const char *path, size_t count, char *const *words)
{
    int fd = dial(path);
    if (fd < 0) {
        return EXIT_REFUSED;
    }
    bool sent = true;
    for (size_t i = 0; i < count; i++) {
        sent = sent && send_all(fd, words[i], strlen(words[i])) &&
               send_all(fd, i + 1 < count ? " " : "\n", 1);
    }
    if (!sent || shutdown(fd, SHUT_WR) != 0) {
        command_say("%s: %s", path, strerror(errno));
        close(fd);
        return EXIT_REFUSED;
    }
    return read_answer(fd, strcmp(words[0], "events") == 0);
}

/* What a verb takes besides. */
static const struct verb {
    const char *name;
    size_t least, most; /* arguments */
} verbs[] = {
    {"stats", 0, 0},   {"flows", 0, 1},  {"pins", 0, 0},   {"rules", 0, 0},
    {"secrets", 0, 0}, {"reload", 0, 0}, {"revoke", 1, 1}, {"events", 0, 16},
};

static bool is_verb(const char *name, size_t n_arguments)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].name, name) == 0) {
            return n_arguments >= verbs[i].least && n_arguments <= verbs[i].most;
        }
    }
    return false;
}

/* `flows --top N [FILTER]` is asked as "flows top=N [FILTER]". */
static int ask_top(const char *path, const char *top, char *const *words, size_t count)
{
    char text[16];
    uint32_t number;
    if (strcmp(words[0], "flows") != 0) {
        return command_usage_error(&command_ctl, "--top is only for flows");
    }
    if (options_number(top, 1, FLOW_TOP_MAX, &number) < 0) {
        return command_usage_error(&command_ctl, "--top: found '%s'; accepted: 1 to %u", top,
                                   FLOW_TOP_MAX);
    }
    snprintf(text, sizeof(text), "top=%" PRIu32, number);
    char *all[] = {words[0], text, count > 1 ? words[1] : NULL};
    return ask(path, count + 1, all);
}

static int ctl_main(int argc, char **argv)
{
    const char *path = NULL, *top = NULL;
    const struct option_spec specs[] = {{.name = "control", .value = &path},
                                        {.name = "top", .value = &top}};
    size_t count;
    (void)argc;
    int status = options_parse(&command_ctl, specs, 2, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (path == NULL) {
        return command_usage_error(&command_ctl, "--control PATH is missing");
    }
    if (count == 0 || !is_verb(argv[0], count - 1)) {
        return command_usage_error(
            &command_ctl, "accepted: stats, flows [--top N] [FILTER], pins, rules, secrets, "
                          "reload, revoke NAME, revoke ID, events [KIND]...");
    }
    return top != NULL ? ask_top(path, top, argv, count) : ask(path, count, argv);
}

const struct command command_ctl = {
    .name = "ctl",
    .synopsis = "--control PATH VERB",
    .summary = "ask or tell a lunette that is running",
    .help =
        "PATH is what `lunette run` or `lunette serve` was given as --control.\n"
        "\n"
        "VERB, one of:\n"
        "  stats        counters, as a JSON object\n"
        "  flows [FILTER]\n"
        "               the flows there are now, as a JSON list; FILTER is a port, an address, a\n"
        "               network, a name that was shown or resolved, or a suffix: .example.com\n"
        "  pins         which names the guest has resolved to which addresses, likewise\n"
        "  rules        the rules in force and how often each has decided, likewise\n"
        "  secrets      the secrets: name, placeholder, hosts, age of the value; never the value\n"
        "  reload       read the policy and its secrets again; flows that it denies are reset. A\n"
        "               bad policy changes nothing; a command's value stays until it has run\n"
        "  revoke NAME  forget what NAME was resolved to; flows that only it allowed are reset\n"
        "  revoke ID    reset a flow, by its id in `flows`\n"
        "  events [KIND]...\n"
        "               what happens from now on, as JSON Lines, until lunette ends or this is\n"
        "               interrupted; KIND: only these (`lunette help events` has them). What is "
        "not\n"
        "               read in time is lost, and `lost` of the next event tells how many\n"
        "\n"
        "  --control PATH\n"
        "               the socket of the one that is meant; there is no default\n"
        "  --top N      of the flows the N with the most bytes, the largest first; at most 100\n"
        "  -h, --help   print this\n"
        "\n"
        "Exit status: 0 done, 1 refused or nobody there, 2 for wrong arguments.\n",
    .main = ctl_main,
};
