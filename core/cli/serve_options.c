/* Reading the arguments of `lunette serve`. */
#include "cli/serve_options.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "cli/command.h"

enum { SLOT_MAX = 65535 };

/* ---- links ---- */

static int add_link(struct serve_options *options, enum link_kind kind, const char *name,
                    uint32_t number)
{
    if (options->n_links == SERVE_GUESTS_MAX) {
        return command_usage_error(&command_serve, "there are more than %d links",
                                   SERVE_GUESTS_MAX);
    }
    options->links[options->n_links++] =
        (struct link_spec){.kind = kind, .name = name, .number = number};
    return 0;
}

static struct link_spec *last_link(struct serve_options *options)
{
    return options->n_links == 0 ? NULL : &options->links[options->n_links - 1];
}

static int take_stream(void *user, const char *value)
{
    return add_link(user, LINK_STREAM, value, 0);
}

static int take_dgram(void *user, const char *value)
{
    return add_link(user, LINK_DGRAM, value, 0);
}

/* Next to --pid, on either side, it names the interface of that. */
static int take_tap(void *user, const char *value)
{
    struct link_spec *last = last_link(user);
    if (last != NULL && last->kind == LINK_PID && last->name == NULL) {
        last->name = value;
        return 0;
    }
    return add_link(user, LINK_TAP, value, 0);
}

static int take_number(const char *name, const char *value, uint32_t min, uint32_t *ret)
{
    return options_number(value, min, INT32_MAX, ret) == 0
               ? 0
               : command_usage_error(&command_serve, "%s: found '%s'; accepted: a number", name,
                                     value);
}

static int take_pid(void *user, const char *value)
{
    struct link_spec *last = last_link(user);
    uint32_t pid;
    int status = take_number("--pid", value, 1, &pid);
    if (status == 0 && last != NULL && last->kind == LINK_TAP) {
        last->kind = LINK_PID;
        last->number = pid;
        return 0;
    }
    return status != 0 ? status : add_link(user, LINK_PID, NULL, pid);
}

static int take_fd(void *user, const char *value)
{
    const struct serve_options *options = user;
    uint32_t fd;
    int status = take_number("--fd", value, 0, &fd);
    for (size_t i = 0; i < options->n_links && status == 0; i++) {
        if (options->links[i].kind == LINK_FD && options->links[i].number == fd) {
            return command_usage_error(&command_serve, "--fd %s: it is another guest's", value);
        }
    }
    return status != 0 ? status : add_link(user, LINK_FD, NULL, fd);
}

static int take_ready_fd(void *user, const char *value)
{
    struct serve_options *options = user;
    options->tells_ready = true;
    return take_number("--ready-fd", value, 0, &options->ready_fd);
}

/* ---- options that each guest has its own of ---- */

static int take_own(void *user, const char *value)
{
    struct own_option *own = user;
    own->too_many = own->n == SERVE_GUESTS_MAX;
    if (!own->too_many) { /* --observe may be without */
        own->values[own->n++] = value != NULL ? value : OBSERVATION_PATH;
    }
    return 0;
}

/* Options that take a value for a guest are collected instead, to be dealt out to the guests. */
static void collect_values(struct serve_options *options, struct option_spec *specs, size_t n)
{
    struct own_option *own = options->own;
    for (size_t i = 0; i < n; i++) {
        if (specs[i].value == NULL) {
            continue;
        }
        assert(own < options->own + SERVE_OWN_OPTIONS);
        *own = (struct own_option){
            .name = specs[i].name,
            .at = (size_t)((const char *)specs[i].value - (const char *)&options->common)};
        specs[i].value = NULL;
        specs[i].take = take_own;
        specs[i].user = own++;
    }
}

/* Whether it may be given once for all. */
static bool is_shareable(const struct own_option *own)
{
    return strcmp(own->name, "events") == 0 || strcmp(own->name, "keylog") == 0;
}

static const char *find_double(const struct own_option *own)
{
    for (size_t i = 0; i < own->n; i++) {
        bool stream = strcmp(own->values[i], "-") == 0 && !is_shareable(own);
        for (size_t k = i + 1; k < own->n && *own->values[i] != '\0' && !stream; k++) {
            if (strcmp(own->values[i], own->values[k]) == 0) {
                return own->values[i];
            }
        }
    }
    return NULL;
}

static int check_own(const struct own_option *own, size_t n_links)
{
    if (n_links == 1 && own->n > 0) {
        return 0; /* the last is meant */
    }
    if (own->too_many ||
        (own->n != 0 && own->n != n_links && !(own->n == 1 && is_shareable(own)))) {
        return command_usage_error(
            &command_serve,
            "--%s is given %zu %s, for %zu guests; accepted: once for each, in the order of the "
            "links ('': none for that one)%s",
            own->name, own->n, own->n == 1 ? "time" : "times", n_links,
            is_shareable(own) ? ", or once for all" : "");
    }
    const char *twice = find_double(own);
    return twice == NULL ? 0
                         : command_usage_error(&command_serve, "--%s %s: two guests would write it",
                                               own->name, twice);
}

static bool is_for_all(const struct serve_options *options, const char *name)
{
    const struct own_option *own = options->own;
    while (strcmp(own->name, name) != 0) {
        own++;
    }
    return options->n_links > 1 && own->n == 1 && *own->values[0] != '\0';
}

/* ---- all ---- */

static int check_counts(const struct serve_options *options)
{
    size_t links = options->n_links, policies = options->n_policies;
    if (links == 0) {
        return command_usage_error(&command_serve, "the guest's link is missing; accepted: "
                                                   "--stream, --dgram, --tap, --pid, --fd");
    }
    if (policies == 0) {
        return command_usage_error(&command_serve,
                                   "a policy is missing: a file, or the name of a preset");
    }
    if (policies != 1 && policies != links) {
        return command_usage_error(
            &command_serve, "found %zu %s for %zu %s; accepted: one for all, or one for each link",
            policies, policies == 1 ? "policy" : "policies", links, links == 1 ? "link" : "links");
    }
    const struct session *session = &options->common.session;
    if (!session->slot_auto && session->slot + (links - 1) > SLOT_MAX) {
        return command_usage_error(&command_serve,
                                   "--slot: found %" PRIu32 " for %zu links; accepted: 0 to %zu",
                                   session->slot, links, SLOT_MAX - (links - 1));
    }
    for (size_t i = 0; i < SERVE_OWN_OPTIONS; i++) {
        int status = check_own(&options->own[i], links);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

int serve_options_parse(struct serve_options *options, char **argv)
{
    *options = (struct serve_options){.common.session = session_of(&command_serve)};
    struct serve_guest *common = &options->common;
    struct option_spec specs[SESSION_OPTIONS + 9] = {
        {.name = "stream", .take = take_stream, .user = options},
        {.name = "dgram", .take = take_dgram, .user = options},
        {.name = "tap", .take = take_tap, .user = options},
        {.name = "pid", .take = take_pid, .user = options},
        {.name = "fd", .take = take_fd, .user = options},
        {.name = "ready-fd", .take = take_ready_fd, .user = options},
        {.name = "ca-bundle", .value = &common->ca_bundle},
        {.name = "placeholders", .value = &common->placeholders},
        {.name = "watch", .flag = &common->session.watches},
    };
    size_t n = sizeof(specs) / sizeof(specs[0]);
    session_options(&common->session, specs + 9);
    collect_values(options, specs, n);
    int status = options_parse(&command_serve, specs, n, argv, &options->n_policies);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    options->policies = argv;
    status = session_check_options(&common->session);
    status = status != 0 ? status : check_counts(options);
    options->one_log = is_for_all(options, "events");
    options->one_keylog = is_for_all(options, "keylog");
    return status != 0 ? status : OPTIONS_GO_ON;
}

void serve_options_guest(const struct serve_options *options, size_t i, struct serve_guest *ret)
{
    *ret = options->common;
    struct session *session = &ret->session;
    ret->link.spec = options->links[i];
    session->policy = options->policies[options->n_policies == 1 ? 0 : i];
    session->told_apart = options->n_links > 1;
    session->slot_chosen = !session->slot_auto && (session->slot_chosen || session->told_apart);
    session->slot += session->slot_auto ? 0 : (uint32_t)i;
    for (size_t k = 0; k < SERVE_OWN_OPTIONS; k++) {
        const struct own_option *own = &options->own[k];
        size_t which = options->n_links == 1 ? own->n - 1 : i;
        const char *value = which < own->n ? own->values[which] : NULL;
        value = value != NULL && *value == '\0' ? NULL : value;
        memcpy((char *)ret + own->at, &value, sizeof(value));
    }
    session->observation.wanted = session->observation.path != NULL;
}
