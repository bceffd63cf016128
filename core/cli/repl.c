/* `lunette repl`: asks a policy line by line. What a line does is in lua/lunette/repl.lua, in a
 * sandbox; no mistake in a line ends it. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/line_editor.h"
#include "cli/lua_tools.h"
#include "cli/options.h"
#include "luabind/sandbox.h"

static int repl_main(int argc, char **argv);

const struct command command_repl = {
    .name = "repl",
    .synopsis = "[POLICY]",
    .summary = "asks a policy questions, line by line",
    .help = "POLICY is a file (Lua or JSON) or a preset: none, public-only, allow-all, non-local.\n"
            "Lines are queries as `lunette match` takes them, Lua, or commands; `help` tells\n"
            "which. On a terminal there are editing, completion with the tab key, and a history\n"
            "in $XDG_STATE_HOME/lunette (~/.local/state/lunette). Lines from a pipe work as well.\n"
            "Exit status: 0, or 2 when the policy cannot be loaded.\n\n"
            "  --help  print this\n",
    .main = repl_main,
};

struct repl {
    struct sandbox *sandbox;
    /* Of the call at hand. */
    const char *function; /* of lunette.repl */
    const char *argument; /* NULL: nil */
    const char *result;   /* "": none; or one of the words below */
    char *insertion, *fitting;
    bool good;
};

static const char *const words[] = {"quit", "more"};

static void copy_result(lua_State *L, int index, char dst[COMPLETION_MAX])
{
    const char *text = lua_tostring(L, index);
    snprintf(dst, COMPLETION_MAX, "%s", text != NULL ? text : "");
}

/* Inside the sandbox: calls the function of lunette.repl. */
static int call(lua_State *L)
{
    struct repl *repl = lua_touserdata(L, 1);
    lua_tools_push_module(L, "lunette.repl", true);
    lua_getfield(L, -1, repl->function);
    lua_pushstring(L, repl->argument);
    lua_call(L, 1, 2);
    repl->good = lua_toboolean(L, -2);
    if (repl->insertion != NULL) {
        copy_result(L, -2, repl->insertion);
        copy_result(L, -1, repl->fitting);
    }
    const char *text = lua_tostring(L, -2);
    for (size_t i = 0; text != NULL && i < sizeof(words) / sizeof(*words); i++) {
        repl->result = strcmp(text, words[i]) == 0 ? words[i] : repl->result;
    }
    return 0;
}

/* What goes beyond the bounds of a sandbox is told, as every mistake is. */
static void run(struct repl *repl, const char *function, const char *argument)
{
    repl->function = function;
    repl->argument = argument;
    repl->result = "";
    repl->good = false;
    ln_problems *problems = ln_problems_new();
    int r = problems == NULL ? -ENOMEM : sandbox_run(repl->sandbox, call, repl, problems);
    fflush(stdout);
    if (r == -EINVAL) {
        command_say_problems(problems);
    } else if (r < 0) {
        command_say("%s", strerror(-r));
    }
    ln_problems_free(problems);
}

static void complete(void *user, const char *line, char insertion[COMPLETION_MAX],
                     char fitting[COMPLETION_MAX])
{
    struct repl *repl = user;
    repl->insertion = insertion;
    repl->fitting = fitting;
    run(repl, "complete", line);
    repl->insertion = repl->fitting = NULL;
}

static void read_lines(struct repl *repl, struct line_editor *editor)
{
    const char *prompt = "lunette> ";
    for (;;) {
        bool cancelled;
        const char *line = line_editor_read(editor, prompt, &cancelled);
        if (line == NULL && !cancelled) {
            return;
        }
        run(repl, cancelled ? "cancel" : "line", line);
        if (strcmp(repl->result, "quit") == 0) {
            return;
        }
        prompt = strcmp(repl->result, "more") == 0 ? "      >> " : "lunette> ";
    }
}

static int start(const char *policy)
{
    struct repl repl = {0};
    struct line_editor *editor = NULL;
    int r = sandbox_new(policy != NULL ? policy : "", NULL, &repl.sandbox);
    r = r < 0 ? r : line_editor_new(complete, &repl, &editor);
    if (r < 0) {
        command_say("%s", strerror(-r));
    } else {
        run(&repl, "open", policy);
    }
    bool opened = repl.good;
    if (opened) {
        read_lines(&repl, editor);
    }
    line_editor_free(editor);
    sandbox_free(repl.sandbox);
    return opened ? 0 : EXIT_USAGE;
}

static int repl_main(int argc, char **argv)
{
    (void)argc;
    size_t count;
    int status = options_parse(&command_repl, NULL, 0, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count > 1) {
        return command_usage_error(&command_repl, "give one policy");
    }
    return start(count == 1 ? argv[0] : NULL);
}
