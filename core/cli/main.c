/* lunette: picks the subcommand. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/help.h"
#include "policy/spelling.h"

static const struct command *const commands[] = {
    &command_run,  &command_serve,  &command_check, &command_match,  &command_print, &command_test,
    &command_repl, &command_replay, &command_ctl,   &command_doctor, &command_diff,  &command_ca,
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

static void print_usage(FILE *out)
{
    fputs("usage: lunette COMMAND [ARGUMENT...]\n\n"
          "A programmable network perimeter for sandboxes and microVMs.\n\n"
          "commands:\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-8s  %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\ntopics, for lunette help TOPIC:\n"
          "  policy    what a policy can say, key by key\n"
          "  events    what --events writes, field by field\n"
          "\noptions:\n"
          "  --help     show this, or with a command that command's help\n"
          "  --version  show the version\n",
          out);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

/* `topics`: it was to be a command or a topic of `help`. */
static int unknown(const char *name, bool topics)
{
    struct spelling spelling = spelling_of(name, strlen(name));
    for (size_t i = 0; i < COMMANDS; i++) {
        spelling_consider(&spelling, commands[i]->name);
    }
    for (size_t i = 0; topics && i < help_topics_count; i++) {
        spelling_consider(&spelling, help_topics[i].name);
    }
    const char *what = topics ? "command or topic" : "command";
    if (spelling.nearest != NULL) {
        command_say("there is no %s %s (did you mean %s?)", what, name, spelling.nearest);
    } else {
        command_say("there is no %s %s", what, name);
    }
    command_say("try: lunette --help");
    return EXIT_USAGE;
}

/* `topic` is a command, one of help_topics, or NULL. */
static int help(const char *topic)
{
    if (topic == NULL) {
        print_usage(stdout);
        return 0;
    }
    const struct command *command = find(topic);
    if (command != NULL) {
        return command_help(command);
    }
    for (size_t i = 0; i < help_topics_count; i++) {
        if (strcmp(help_topics[i].name, topic) == 0) {
            fputs(help_topics[i].text, stdout);
            return 0;
        }
    }
    return unknown(topic, true);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        puts("lunette " LUNETTE_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        return help(argv[2]);
    }
    const struct command *command = find(name);
    if (command == NULL) {
        return unknown(name, false);
    }
    int status = command->main(argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        command_say("the output cannot be written");
        return EXIT_USAGE;
    }
    return status;
}
