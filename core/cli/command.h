/* One subcommand of `lunette`, and what all subcommands share: help, usage errors, diagnostics.
 * Data goes to stdout, everything for people to stderr as `lunette: …`. */
#ifndef LN_CLI_COMMAND_H
#define LN_CLI_COMMAND_H

#include "lunette/policy.h"

struct file_opener;

enum {
    EXIT_ALLOW = 0,
    EXIT_DENY = 1, /* match: deny or reject; check --strict: warnings; diff: widened */
    EXIT_USAGE = 2 /* wrong arguments, or a policy that cannot be used */
};

struct command {
    const char *name;     /* "check" */
    const char *synopsis; /* what follows the name: "[--json] POLICY..." */
    const char *summary;  /* one line for the list of commands */
    const char *help;     /* the options and the rest, whole lines */
    /* argv[0] is the name; argv[argc] is NULL. Returns the exit status. */
    int (*main)(int argc, char **argv);
};

extern const struct command command_ca;
extern const struct command command_check;
extern const struct command command_diff;
extern const struct command command_match;
extern const struct command command_print;
extern const struct command command_replay;
extern const struct command command_repl;
extern const struct command command_ctl;
extern const struct command command_doctor;
extern const struct command command_run;
extern const struct command command_serve;
extern const struct command command_test;

/* Prints synopsis, summary and help to stdout. Returns 0, the exit status of --help. */
int command_help(const struct command *command);
/* Says what is wrong with the arguments, and where the help is. Returns EXIT_USAGE. */
int command_usage_error(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One line to stderr, "lunette: " before it; bytes that could steer a terminal become '?'. */
void command_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says every problem of the list, one line each. */
void command_say_problems(const ln_problems *problems);

/* Loads a policy file or preset. Returns 0, or EXIT_USAGE after saying what is wrong. */
int command_load_policy(const char *path, ln_policy **ret);
/* The same by way of an opener (luabind/file.h). */
int command_load_policy_from(const struct file_opener *opener, const char *path, ln_policy **ret);

#endif
