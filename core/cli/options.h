/* The options of a subcommand: `--name` and `--name VALUE` or `--name=VALUE`, before, between and
 * behind the other arguments, up to `--`. */
#ifndef LN_CLI_OPTIONS_H
#define LN_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/command.h"

struct option_spec {
    const char *name;   /* "json" */
    char letter;        /* 'v' of -v; 0: none. Only for flags */
    bool *flag;         /* set where it is given; NULL: it takes a value */
    const char **value; /* with `flag`: one may be given, behind an equals sign */
    /* For an option that may be given several times, instead of `value`; with `flag`, it is called
     * with NULL where no value is given. Returns 0, or the exit status after saying what is wrong.
     */
    int (*take)(void *user, const char *value);
    void *user;
};

enum { OPTIONS_GO_ON = -1 };

/* A decimal number from `min` to `max`. Returns 0, or -EINVAL. */
int options_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret);

/* Reads the options out of argv[1..], which then holds the *ret_count other arguments from argv[0]
 * on. Returns OPTIONS_GO_ON, or the exit status: help was shown, or an error said. */
int options_parse(const struct command *command, const struct option_spec *specs, size_t n_specs,
                  char **argv, size_t *ret_count);
/* Reads the options from argv[1] on that stand before the first other argument, or before `--`.
 * *ret_rest is what follows. Returns as options_parse(). */
int options_parse_leading(const struct command *command, const struct option_spec *specs,
                          size_t n_specs, char **argv, char ***ret_rest);

#endif
