/* `lunette check`: whether policies are valid, and what they say that may not be meant. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/host.h"
#include "cli/command.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/show.h"
#include "luabind/load.h"
#include "net/credentials.h"
#include "policy/lint.h"

static int check_main(int argc, char **argv);

const struct command command_check = {
    .name = "check",
    .synopsis = "[--json] [--strict] POLICY...",
    .summary = "validates policies, tells every mistake, and rules that do not do what they say",
    .help =
        "POLICY is a file (Lua or JSON) or a preset: none, public-only, allow-all, non-local.\n"
        "A finding is a line: FILE:LINE: warning (or note): RULE: what is so; the mend [CODE].\n"
        "The files that a policy names are opened; variables and commands are not looked at.\n"
        "Findings are exact: every address, port, protocol and name is accounted for.\n"
        "Exit status: 0 all valid, 1 warnings with --strict, 2 one is not valid.\n\n"
        "  never-decides, denied-by-list  earlier rules match all that the rule matches\n"
        "  decides-no-connection          … but DNS hangs on it\n"
        "  claims-only                    … but for clients that show a name they did not resolve\n"
        "  own-addresses-only             … but for this machine's own addresses\n"
        "  never-opened, matches-nothing  it matches nothing that can be connected to\n"
        "  changes-nothing                without it every verdict would be the same\n"
        "  pins-alone                     a name where no name is ever shown\n"
        "  public-suffix                  names below it belong to many parties\n"
        "  host-all-ports                 all of this machine's loopback services are open\n"
        "  allow-all, denies-all          nothing of the guest's is refused, or allowed\n"
        "  addresses-without-dns          addresses are allowed, but no name can be resolved\n"
        "  requests-unseen, -bypassed     a rule about requests that interception shows none\n"
        "  secret-unreachable             a secret is for a host that no rule allows\n\n"
        "  --json    one JSON object a policy, a line each\n"
        "  --strict  warnings make the exit status 1\n"
        "  --help    print this\n",
    .main = check_main,
};

static void finding_text(struct arena *arena, const char *path, const ln_policy *policy,
                         const struct lint_finding *finding)
{
    const ln_rule *rule = ln_policy_rule(policy, finding->rule);
    const char *source = rule != NULL ? show_source(arena, rule) : "";
    printf("%s: %s: ", *source != '\0' ? source : path, lint_severity_name(finding->severity));
    if (rule != NULL) {
        printf("rule %u, %s: ", (unsigned)finding->rule, show_rule(arena, rule));
    }
    printf("%s; %s [%s]\n", finding->why, finding->mend, finding->code);
}

static void report_text(struct arena *arena, const char *path, const ln_policy *policy,
                        const ln_problems *problems, const struct lint *lint)
{
    if (policy == NULL) {
        command_say_problems(problems);
        return;
    }
    size_t count = ln_policy_rule_count(policy);
    printf("%s: valid, %zu rule%s\n", path, count, count == 1 ? "" : "s");
    for (size_t i = 0; i < lint->n_findings; i++) {
        finding_text(arena, path, policy, &lint->findings[i]);
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

static void finding_json(struct arena *arena, struct json *json, const ln_policy *policy,
                         const struct lint_finding *finding)
{
    const ln_rule *rule = ln_policy_rule(policy, finding->rule);
    json_open(json, NULL, '{');
    json_string(json, "code", finding->code);
    json_string(json, "severity", lint_severity_name(finding->severity));
    if (rule != NULL) {
        json_integer(json, "rule", finding->rule);
        json_string(json, "text", show_rule(arena, rule));
        json_string(json, "source", show_source(arena, rule));
    }
    json_open(json, "others", '[');
    for (uint32_t i = 0; i < finding->n_others; i++) {
        json_integer(json, NULL, finding->others[i]);
    }
    json_close(json, ']');
    json_bool(json, "more_others", finding->more_others);
    json_string(json, "why", finding->why);
    json_string(json, "mend", finding->mend);
    json_close(json, '}');
}

static void report_json(struct arena *arena, const char *path, const ln_policy *policy,
                        const ln_problems *problems, const struct lint *lint)
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
    json_open(&json, "findings", '[');
    for (size_t i = 0; i < lint->n_findings; i++) {
        finding_json(arena, &json, policy, &lint->findings[i]);
    }
    json_close(&json, ']');
    json_close(&json, '}');
    putchar('\n');
}

/* The files that a policy names, and the variables that its secrets come from. No command is run.
 * On failure there is no policy. */
static int open_files(const char *path, ln_policy **policy, ln_problems *problems)
{
    struct credentials credentials;
    const struct credentials_request request = {.settings = ln_policy_settings(*policy),
                                                .policy = path,
                                                .services = host_services_system,
                                                .look_only = true};
    int r = credentials_read(&request, &credentials, problems);
    if (r < 0) {
        *policy = ln_policy_unref(*policy);
    } else {
        credentials_free(&credentials);
    }
    return r;
}

/* Returns the exit status. */
static int check(const char *path, bool as_json, bool strict)
{
    ln_problems *problems = ln_problems_new();
    ln_policy *policy = NULL;
    struct lint lint = {0};
    struct arena arena = {0};
    int r = problems == NULL ? -ENOMEM : lua_policy_load(path, &policy, problems);
    r = r < 0 ? r : open_files(path, &policy, problems);
    int linted = r < 0 ? 0 : lint_make(&lint, policy);
    if ((r < 0 && r != -EINVAL) || linted < 0) {
        command_say("%s: %s", path, strerror(linted < 0 ? -linted : -r));
    } else if (as_json) {
        report_json(&arena, path, policy, problems, &lint);
    } else {
        report_text(&arena, path, policy, problems, &lint);
    }
    int status = r < 0 || linted < 0 ? EXIT_USAGE : strict && lint.n_warnings > 0 ? EXIT_DENY : 0;
    arena_free(&arena);
    lint_free(&lint);
    ln_policy_unref(policy);
    ln_problems_free(problems);
    return status;
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
        int one = check(argv[i], as_json, strict);
        status = one > status ? one : status;
    }
    return status;
}
