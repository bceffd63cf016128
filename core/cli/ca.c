/* `lunette ca`: the CA that interception makes certificates with. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/host.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/options.h"
#include "net/ca_store.h"

enum { EXIT_NONE = 1, DAY_S = 24 * 3600 };

static void say_time(int64_t seconds, char dst[32])
{
    time_t time = (time_t)seconds;
    struct tm parts;
    if (gmtime_r(&time, &parts) == NULL || strftime(dst, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        strcpy(dst, "?");
    }
}

static void show_json(const struct ca_store *store, const struct tls_authority_info *info)
{
    struct json json = {.out = stdout};
    char from[32], to[32];
    say_time(info->not_before_s, from);
    say_time(info->not_after_s, to);
    json_open(&json, NULL, '{');
    json_string(&json, "certificate", store->certificate);
    json_string(&json, "key", store->key);
    json_string(&json, "subject", info->subject);
    json_string(&json, "sha256", info->fingerprint);
    json_string(&json, "not_before", from);
    json_string(&json, "not_after", to);
    json_close(&json, '}');
    putchar('\n');
}

static void show_text(const struct ca_store *store, const struct tls_authority_info *info)
{
    char from[32], to[32];
    say_time(info->not_before_s, from);
    say_time(info->not_after_s, to);
    printf("certificate  %s\nkey          %s\nsubject      %s\nSHA-256      %s\nvalid        %s to "
           "%s (%lld days left)\n",
           store->certificate, store->key, info->subject, info->fingerprint, from, to,
           (long long)(info->not_after_s - (int64_t)time(NULL)) / DAY_S);
}

/* Reads or makes the pair, and shows what it is. Returns the exit status. */
static int show(const struct ca_store *store, enum ca_store_how how, bool as_json)
{
    struct tls_authority_info info;
    struct tls_pair pair;
    ln_error error;
    const struct tls_authority_options with = {
        .services = host_services_system, .leaf_certificates = 1, .leaf_valid_s = DAY_S};
    int r = ca_store_open(store, how, &with, &pair, &error);
    if (r == -ENOENT) {
        command_say("there is no CA yet: it is made when a policy with `tls` is first run, or by "
                    "`lunette ca regenerate`");
        return EXIT_NONE;
    }
    struct tls_authority *authority = NULL;
    if (r == 0) {
        r = tls_authority_new(&with, pair.certificate, pair.certificate_len, pair.key, pair.key_len,
                              &authority, &error);
        tls_pair_free(&pair);
    }
    if (r < 0) {
        command_say("%s", error.message);
        return EXIT_NONE;
    }
    tls_authority_describe(authority, &info);
    (void)tls_authority_free(authority);
    if (as_json) {
        show_json(store, &info);
    } else {
        show_text(store, &info);
    }
    return 0;
}

static int ca_main(int argc, char **argv)
{
    (void)argc;
    bool as_json = false;
    const struct option_spec specs[] = {{.name = "json", .flag = &as_json}};
    size_t count;
    int status = options_parse(&command_ca, specs, 1, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    const char *verb = count == 0 ? "show" : argv[0];
    struct ca_store store;
    ln_error error;
    if (count > 1 || (strcmp(verb, "show") != 0 && strcmp(verb, "path") != 0 &&
                      strcmp(verb, "regenerate") != 0)) {
        return command_usage_error(&command_ca, "accepted: show, path, regenerate");
    }
    if (ca_store_find(NULL, &store, &error) < 0) {
        command_say("%s", error.message);
        return EXIT_NONE;
    }
    if (strcmp(verb, "path") == 0) {
        puts(store.certificate);
        return 0;
    }
    return show(&store, *verb == 's' ? CA_STORE_LOOK : CA_STORE_REPLACE, as_json);
}

const struct command command_ca = {
    .name = "ca",
    .synopsis = "[--json] [show|path|regenerate]",
    .summary = "show the CA of interception, or make another",
    .help =
        "A policy with `tls` and without ca_cert and ca_key uses a CA that lunette makes on first\n"
        "use and keeps in $XDG_DATA_HOME/lunette (~/.local/share/lunette): ca.pem, which guests\n"
        "are to trust, and ca-key.pem, for nobody else to read. `lunette run` gives it to CMD by\n"
        "itself; `lunette serve --ca-bundle FILE` writes it for a virtual machine.\n"
        "\n"
        "  show         subject, SHA-256 fingerprint, validity and where it is (default)\n"
        "  path         where its certificate is, or will be\n"
        "  regenerate   make another in its place. Gateways that run keep the one before; guests\n"
        "               that were given it must be given the other\n"
        "  --json       as a JSON object\n"
        "  -h, --help   print this\n"
        "\n"
        "Exit status: 0; 1 when there is none, or it cannot be used; 2 for wrong arguments.\n",
    .main = ca_main,
};
