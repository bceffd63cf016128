/* `lunette check`: whether policies are valid. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/options.h"
#include "luabind/load.h"

static int check_main(int argc, char **argv);

const struct command command_check = {
    .name = "check",
    .synopsis = "[--json] [--strict] POLICY...",
    .summary = "validates policies and tells every mistake with its file and line",
    .help = "POLICY is a file or a preset: none, public-only, allow-all, non-local.\n"
            "Exit status: 0 all valid, 1 warnings with --strict, 2 one is not valid.\n\n"
            "  --json    one JSON object a policy, a line each\n"
            "  --strict  warnings make the exit status 1\n",
    .main = check_main,
};

/* What a valid policy means that its author may not have meant, or NULL. */
static const char *note_on(const ln_policy *policy)
{
    const ln_settings *settings = ln_policy_settings(policy);
    if (settings->default_egress == LN_ALLOW || settings->on_connect != 0) {
        return NULL;
    }
    for (size_t i = 1; i <= ln_policy_rule_count(policy); i++) {
        const ln_rule *rule = ln_policy_rule(policy, i);
        if (rule->action == LN_ALLOW && (rule->directions & LN_DIRECTION_BIT(LN_EGRESS)) != 0) {
            return NULL;
        }
    }
    return "no rule allows egress: everything outgoing is denied, DNS included";
}

static void report_text(const char *path, const ln_policy *policy, const ln_problems *problems)
{
    if (policy == NULL) {
        command_say_problems(problems);
        return;
    }
    size_t count = ln_policy_rule_count(policy);
    printf("%s: valid, %zu rule%s\n", path, count, count == 1 ? "" : "s");
    const char *note = note_on(policy);
    if (note != NULL) {
        printf("%s: note: %s\n", path, note);
    }
}

static void problem_json(struct json *json, const ln_problem *problem)
{
    json_open(json, NULL, '{');
    json_string(json, "file", problem->file);
    if (problem->line > 0) {
        json_integer(json, "line", problem->line);
    }
    json_string(json, "field", problem->field);
    json_string(json, "found", problem->found);
    json_string(json, "accepted", problem->accepted);
    json_string(json, "message", problem->message);
    json_close(json, '}');
}

static void report_json(const char *path, const ln_policy *policy, const ln_problems *problems)
{
    struct json json = {.out = stdout};
    json_open(&json, NULL, '{');
    json_string(&json, "policy", path);
    json_bool(&json, "valid", policy != NULL);
    json_open(&json, "problems", '[');
    const ln_problem *problem;
    for (size_t i = 0; (problem = ln_problems_get(problems, i)) != NULL; i++) {
        problem_json(&json, problem);
    }
    json_close(&json, ']');
    json_open(&json, "notes", '[');
    json_string(&json, NULL, policy != NULL ? note_on(policy) : NULL);
    json_close(&json, ']');
    json_close(&json, '}');
    putchar('\n');
}

/* Returns whether the policy is valid. */
static bool check(const char *path, bool as_json)
{
    ln_problems *problems = ln_problems_new();
    ln_policy *policy = NULL;
    int r = problems == NULL ? -ENOMEM : lua_policy_load(path, &policy, problems);
    if (r < 0 && r != -EINVAL) {
        command_say("%s: %s", path, strerror(-r));
    } else if (as_json) {
        report_json(path, policy, problems);
    } else {
        report_text(path, policy, problems);
    }
    ln_policy_unref(policy);
    ln_problems_free(problems);
    return r == 0;
}

static int check_main(int argc, char **argv)
{
    (void)argc;
    bool as_json = false, strict = false;
    const struct option_spec specs[] = {
        {.name = "json", .flag = &as_json},
        {.name = "strict", .flag = &strict},
    };
    size_t count;
    int status = options_parse(&command_check, specs, 2, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count == 0) {
        return command_usage_error(&command_check, "give at least one policy");
    }
    status = 0;
    for (size_t i = 0; i < count; i++) {
        status = check(argv[i], as_json) ? status : EXIT_USAGE;
    }
    return status;
}
