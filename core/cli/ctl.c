/* `lunette ctl`: asks a running session, over the socket of its --control (control.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/command.h"
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

/* Passes the answer on: the data to stdout. Returns the exit status. */
static int read_answer(int fd)
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
        status = 0;
        while (getline(&line, &room, in) >= 0) {
            fputs(line, stdout);
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
    return read_answer(fd);
}

static int ctl_main(int argc, char **argv)
{
    const char *path = NULL;
    const struct option_spec specs[] = {{.name = "control", .value = &path}};
    static const char *const verbs[] = {"stats", "flows", "pins", "rules", "reload", "revoke"};
    size_t count;
    (void)argc;
    int status = options_parse(&command_ctl, specs, 1, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (path == NULL) {
        return command_usage_error(&command_ctl, "--control PATH is missing");
    }
    for (size_t i = 0; count > 0 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        bool revoke = strcmp(argv[0], "revoke") == 0;
        if (strcmp(argv[0], verbs[i]) == 0 && count == (revoke ? 2 : 1)) {
            return ask(path, count, argv);
        }
    }
    return command_usage_error(&command_ctl, "accepted: stats, flows, pins, rules, reload, revoke "
                                             "NAME, revoke ID");
}

const struct command command_ctl = {
    .name = "ctl",
    .synopsis = "--control PATH VERB",
    .summary = "ask or tell a lunette that is running",
    .help =
        "PATH is what `lunette run` or `lunette serve` was given as --control.\n"
        "\n"
        "  stats        counters, as a JSON object\n"
        "  flows        the flows there are now, as a JSON list\n"
        "  pins         which names the guest has resolved to which addresses, likewise\n"
        "  rules        the rules in force and how often each has decided, likewise\n"
        "  reload       read the policy again; flows that it denies are reset. A bad policy\n"
        "               changes nothing\n"
        "  revoke NAME  forget what NAME was resolved to; flows that only it allowed are reset\n"
        "  revoke ID    reset a flow, by its id in `flows`\n"
        "  -h, --help   print this\n"
        "\n"
        "Exit status: 0 done, 1 refused or nobody there, 2 for wrong arguments.\n",
    .main = ctl_main,
};
