/* What all subcommands share: help, usage errors, diagnostics. */
#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "luabind/load.h"

int command_help(const struct command *command)
{
    printf("usage: lunette %s%s%s\n\n%s\n", command->name, command->synopsis[0] != '\0' ? " " : "",
           command->synopsis, command->summary);
    if (*command->help != '\0') {
        printf("\n%s", command->help);
    }
    return 0;
}

/* One line to stderr, in one piece, for others write there too. The text may hold names from
 * policies and from the network. */
static void say(const char *text)
{
    static const char prefix[] = "lunette: ";
    size_t len = strlen(text);
    char *line = malloc(sizeof(prefix) + len + 1);
    if (line == NULL) {
        return;
    }
    char *at = stpcpy(line, prefix);
    while (len > 0) {
        uint32_t c;
        size_t taken = utf8_next(text, len, &c);
        if (c == UTF8_INVALID || utf8_is_control(c)) {
            *at++ = '?';
        } else {
            at = mempcpy(at, text, taken);
        }
        text += taken;
        len -= taken;
    }
    *at++ = '\n';
    fwrite(line, 1, (size_t)(at - line), stderr);
    free(line);
}

__attribute__((format(printf, 1, 0))) static void say_formatted(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0) {
        say("out of memory");
        return;
    }
    say(text);
    free(text);
}

int command_usage_error(const struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_formatted(format, args);
    va_end(args);
    command_say("try: lunette %s --help", command->name);
    return EXIT_USAGE;
}

void command_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_formatted(format, args);
    va_end(args);
}

void command_say_problems(const ln_problems *problems)
{
    const ln_problem *problem;
    for (size_t i = 0; (problem = ln_problems_get(problems, i)) != NULL; i++) {
        int len = ln_problem_format(problem, NULL, 0);
        char *text = malloc((size_t)len + 1);
        if (text == NULL) {
            say("out of memory");
            return;
        }
        ln_problem_format(problem, text, (size_t)len + 1);
        say(text);
        free(text);
    }
}

int command_load_policy(const char *path, ln_policy **ret)
{
    return command_load_policy_from(NULL, path, ret);
}

int command_load_policy_from(const struct file_opener *opener, const char *path, ln_policy **ret)
{
    ln_problems *problems = ln_problems_new();
    int r = problems == NULL ? -ENOMEM : lua_policy_load_from(opener, path, ret, problems);
    if (r == -EINVAL) {
        command_say_problems(problems);
    } else if (r < 0) {
        command_say("%s: %s", path, strerror(-r));
    }
    ln_problems_free(problems);
    return r < 0 ? EXIT_USAGE : 0;
}
