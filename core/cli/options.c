/* Options of subcommands. */
#include "cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/spelling.h"

int options_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min ||
        value > max) {
        return -EINVAL;
    }
    *ret = (uint32_t)value;
    return 0;
}

static const struct option_spec *find(const struct option_spec *specs, size_t n, const char *name,
                                      size_t len)
{
    for (size_t i = 0; i < n; i++) {
        if (strlen(specs[i].name) == len && memcmp(specs[i].name, name, len) == 0) {
            return &specs[i];
        }
    }
    return NULL;
}

static int unknown(const struct command *command, const struct option_spec *specs, size_t n,
                   const char *argument, size_t len)
{
    struct spelling spelling = spelling_of(argument + 2, len - 2);
    spelling_consider(&spelling, "help");
    for (size_t i = 0; i < n; i++) {
        spelling_consider(&spelling, specs[i].name);
    }
    if (spelling.nearest == NULL) {
        return command_usage_error(command, "there is no option %.*s", (int)len, argument);
    }
    return command_usage_error(command, "there is no option %.*s (did you mean --%s?)", (int)len,
                               argument, spelling.nearest);
}

static int take(const struct command *command, const struct option_spec *spec, const char *value)
{
    if (spec->flag != NULL) {
        *spec->flag = true;
        if (value != NULL && spec->value == NULL && spec->take == NULL) {
            return command_usage_error(command, "--%s takes no value", spec->name);
        }
        if (spec->take != NULL) {
            int status = spec->take(spec->user, value);
            return status == 0 ? OPTIONS_GO_ON : status;
        }
        if (value != NULL) {
            *spec->value = value;
        }
        return OPTIONS_GO_ON;
    }
    if (value == NULL) {
        return command_usage_error(command, "--%s needs a value", spec->name);
    }
    if (spec->take != NULL) {
        int status = spec->take(spec->user, value);
        return status == 0 ? OPTIONS_GO_ON : status;
    }
    *spec->value = value;
    return OPTIONS_GO_ON;
}

/* Whether it is an option: the arrow of `10.0.0.9 -> 80` and a lone dash are not. */
static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] != '\0' && argument[1] != '>';
}

/* The flag with this letter, or NULL. */
static const struct option_spec *find_letter(const struct option_spec *specs, size_t n,
                                             const char *argument)
{
    for (size_t i = 0; i < n && argument[2] == '\0'; i++) {
        if (specs[i].letter != '\0' && specs[i].letter == argument[1]) {
            return &specs[i];
        }
    }
    return NULL;
}

/* Takes the option at **at, with its value, to the last argument of which *at then points. */
static int take_at(const struct command *command, const struct option_spec *specs, size_t n,
                   char ***at)
{
    const char *argument = **at;
    if (strcmp(argument, "-h") == 0 || strcmp(argument, "--help") == 0) {
        return command_help(command);
    }
    size_t len = strcspn(argument, "=");
    const struct option_spec *spec = strncmp(argument, "--", 2) == 0
                                         ? find(specs, n, argument + 2, len - 2)
                                         : find_letter(specs, n, argument);
    if (spec == NULL) {
        return unknown(command, specs, n, argument, len);
    }
    const char *value = argument[len] == '=' ? argument + len + 1 : NULL;
    if (spec->flag == NULL && value == NULL && (*at)[1] != NULL) {
        value = *++*at;
    }
    return take(command, spec, value);
}

int options_parse(const struct command *command, const struct option_spec *specs, size_t n_specs,
                  char **argv, size_t *ret_count)
{
    size_t count = 0;
    char **at = argv + 1;
    for (; *at != NULL && strcmp(*at, "--") != 0; at++) {
        if (!is_option(*at)) {
            argv[count++] = *at;
            continue;
        }
        int status = take_at(command, specs, n_specs, &at);
        if (status != OPTIONS_GO_ON) {
            return status;
        }
    }
    for (at += *at != NULL; *at != NULL; at++) {
        argv[count++] = *at;
    }
    *ret_count = count;
    return OPTIONS_GO_ON;
}

int options_parse_leading(const struct command *command, const struct option_spec *specs,
                          size_t n_specs, char **argv, char ***ret_rest)
{
    char **at = argv + 1;
    for (; *at != NULL && is_option(*at) && strcmp(*at, "--") != 0; at++) {
        int status = take_at(command, specs, n_specs, &at);
        if (status != OPTIONS_GO_ON) {
            return status;
        }
    }
    *ret_rest = at + (*at != NULL && strcmp(*at, "--") == 0);
    return OPTIONS_GO_ON;
}
