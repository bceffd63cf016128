/* `lunette test`: runs tests of policies. What a test file can say and what becomes of it is in
 * lua/lunette/testing.lua; here are the options, and a sandbox for each file. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/lua_tools.h"
#include "cli/options.h"
#include "luabind/file.h"
#include "luabind/sandbox.h"

static int test_main(int argc, char **argv);

const struct command command_test = {
    .name = "test",
    .synopsis = "[--tap] [--junit FILE] [--coverage] [--min-coverage N] [--bench] FILE...",
    .summary = "runs tests of policies",
    .help =
        "FILE is Lua, beside the policy that it is about: agent_test.lua beside agent.lua.\n\n"
        "  allows { name = \"api.github.com\", port = 443 }\n"
        "  denies \"egress tcp 10.0.0.5:443\"\n"
        "  rejects { direction = \"ingress\", address = \"192.0.2.1\", port = 22 }\n"
        "  allows { port = 443, { name = \"pypi.org\" }, { name = \"files.pythonhosted.org\" } }\n"
        "  resolves { \"github.com\", \"pypi.org\" }   -- in DNS\n"
        "  refuses \"gist.github.com\"\n"
        "  pin(\"api.github.com\", \"140.82.112.5\")   -- as if the sandbox had resolved it\n"
        "  with_pins({ [\"x.example\"] = \"10.0.0.1\" }, function() … end)\n"
        "  policy(\"other.lua\")                     -- another policy, from here on\n"
        "  test(\"title\", function() … end)\n"
        "  assert(condition, \"what is meant\")\n\n"
        "Cases are queries of `lunette match` or tables with the fields address or name, port,\n"
        "protocol (tcp), direction (egress), sni. A name is asked for first and then taken to\n"
        "have a public address, unless it is pinned. The group `host` is the gateway alone.\n"
        "Exit status: 0 all passed, 1 a failure or too little coverage, 2 a file that cannot be\n"
        "run to its end.\n\n"
        "  --tap             Test Anything Protocol on stdout\n"
        "  --junit FILE      JUnit XML into FILE\n"
        "  --coverage        which rules and defaults decided no case\n"
        "  --min-coverage N  exit status 1 where less than N percent of a policy's did\n"
        "  --bench           how long a decision takes\n"
        "  --help            print this\n",
    .main = test_main,
};

enum { PERCENT_MAX = 100 };

struct test {
    bool tap, coverage, bench;
    const char *junit_path;
    const char *min_coverage_text;
    long min_coverage; /* -1: any */
    FILE *junit;
    char *state; /* from one file to the next; "" at first */
    int lost;    /* files that could not even be begun, or went beyond their bounds */
    int status;  /* at the end */
    /* The file at hand. */
    const char *path;
    const char *source;
    size_t source_len;
};

static const char test_key = 0; /* its address is the key of the struct test in the registry */

static int write_junit(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &test_key);
    const struct test *test = lua_touserdata(L, -1);
    fputs(luaL_checkstring(L, 1), test->junit);
    return 0;
}

static void set_bool(lua_State *L, const char *key, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

static void push_options(lua_State *L, const struct test *test)
{
    lua_createtable(L, 0, 8);
    set_bool(L, "tap", test->tap);
    set_bool(L, "coverage", test->coverage);
    set_bool(L, "bench", test->bench);
    set_bool(L, "junit", test->junit != NULL);
    set_bool(L, "terminal", isatty(STDOUT_FILENO) != 0);
    if (test->min_coverage >= 0) {
        lua_pushinteger(L, test->min_coverage);
        lua_setfield(L, -2, "min_coverage");
    }
}

/* Pushes the function `name` of lunette.testing. */
static void push_function(lua_State *L, struct test *test, const char *name)
{
    lua_pushlightuserdata(L, test);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &test_key);
    lua_pushcfunction(L, sandbox_require);
    lua_pushliteral(L, "lunette.core");
    lua_call(L, 1, 1);
    lua_pushcfunction(L, write_junit);
    lua_setfield(L, -2, "write_junit");
    lua_tools_push_module(L, "lunette.testing", false);
    lua_getfield(L, -1, name);
}

/* Inside the sandbox: testing.run(path, source, options, state). */
static int run_file(lua_State *L)
{
    struct test *test = lua_touserdata(L, 1);
    push_function(L, test, "run");
    lua_pushstring(L, test->path);
    lua_pushlstring(L, test->source, test->source_len);
    push_options(L, test);
    lua_pushstring(L, test->state);
    lua_call(L, 4, 1);
    char *state = strdup(luaL_checkstring(L, -1));
    if (state == NULL) {
        return luaL_error(L, "out of memory");
    }
    free(test->state);
    test->state = state;
    return 0;
}

/* Inside the sandbox: testing.finish(options, state, lost). */
static int finish(lua_State *L)
{
    struct test *test = lua_touserdata(L, 1);
    push_function(L, test, "finish");
    push_options(L, test);
    lua_pushstring(L, test->state);
    lua_pushinteger(L, test->lost);
    lua_call(L, 3, 1);
    test->status = (int)luaL_checkinteger(L, -1);
    return 0;
}

/* Runs `body` in a sandbox of its own, as if it were the policy at `path`. Returns whether it
 * could.
 */
static bool run_in_sandbox(struct test *test, const char *path, lua_CFunction body)
{
    ln_problems *problems = ln_problems_new();
    struct sandbox *sandbox = NULL;
    int r = problems == NULL ? -ENOMEM : sandbox_new(path, NULL, &sandbox);
    r = r < 0 ? r : sandbox_run(sandbox, body, test, problems);
    if (r < 0) {
        fflush(stdout);
        if (r == -EINVAL) {
            command_say_problems(problems);
        } else {
            command_say("%s: %s", path, strerror(-r));
        }
    }
    sandbox_free(sandbox);
    ln_problems_free(problems);
    return r == 0;
}

static void test_file(struct test *test, const char *path)
{
    char *source;
    int r = file_read(NULL, path, SANDBOX_FILE_MAX, FILE_STREAM, &source, &test->source_len);
    if (r < 0) {
        command_say("%s: cannot be read: %s", path,
                    r == -EFBIG ? "it has more than 8 MiB" : strerror(-r));
        test->lost++;
        return;
    }
    test->path = path;
    test->source = source;
    test->lost += !run_in_sandbox(test, path, run_file);
    free(source);
}

static int open_junit(struct test *test)
{
    if (test->junit_path == NULL) {
        return 0;
    }
    test->junit = fopen(test->junit_path, "we");
    if (test->junit == NULL) {
        command_say("%s: %s", test->junit_path, strerror(errno));
        return EXIT_USAGE;
    }
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", test->junit);
    return 0;
}

/* Returns whether all was written. */
static bool close_junit(const struct test *test)
{
    if (test->junit == NULL) {
        return true;
    }
    fputs("</testsuites>\n", test->junit);
    bool good = ferror(test->junit) == 0;
    good = fclose(test->junit) == 0 && good;
    if (!good) {
        command_say("%s: it cannot be written", test->junit_path);
    }
    return good;
}

static int run_tests(struct test *test, char **paths, size_t count)
{
    int status = open_junit(test);
    if (status != 0) {
        return status;
    }
    test->state = strdup("");
    if (test->state == NULL) {
        command_say("out of memory");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < count; i++) {
        test_file(test, paths[i]);
    }
    bool finished = run_in_sandbox(test, "lunette test", finish);
    bool written = close_junit(test);
    free(test->state);
    return finished && written ? test->status : EXIT_USAGE;
}

static int test_main(int argc, char **argv)
{
    (void)argc;
    struct test test = {.min_coverage = -1};
    const struct option_spec specs[] = {
        {.name = "tap", .flag = &test.tap},
        {.name = "junit", .value = &test.junit_path},
        {.name = "coverage", .flag = &test.coverage},
        {.name = "min-coverage", .value = &test.min_coverage_text},
        {.name = "bench", .flag = &test.bench},
    };
    size_t count;
    int status = options_parse(&command_test, specs, sizeof(specs) / sizeof(*specs), argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count == 0) {
        return command_usage_error(&command_test, "give at least one test file");
    }
    if (test.min_coverage_text != NULL) {
        char *end;
        test.min_coverage = strtol(test.min_coverage_text, &end, 10);
        if (end == test.min_coverage_text || *end != '\0' || test.min_coverage < 0 ||
            test.min_coverage > PERCENT_MAX) {
            return command_usage_error(&command_test,
                                       "--min-coverage: found '%s'; accepted: 0 to 100",
                                       test.min_coverage_text);
        }
    }
    return run_tests(&test, argv, count);
}
