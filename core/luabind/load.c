/* Loading a policy from its text: Lua or JSON. */
#include "luabind/load.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/problems.h"
#include "luabind/config.h"
#include "luabind/file.h"
#include "luabind/sandbox.h"
#include "luabind/value.h"
#include "lunette/load.h"
#include "policy/spelling.h"

struct load {
    const struct file_opener *opener;
    const char *name;
    const char *text; /* NULL: `name` is that of a preset */
    size_t len;
    ln_problems *problems;
    struct config config;
    int status;
};

static const char *const presets[] = {"none", "public-only", "allow-all", "non-local"};

static bool is_preset(const char *name)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
        if (strcmp(name, presets[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The length of what stands before the Lua text: a byte order mark, and a first line that begins
 * with '#' but for its newline. */
static size_t preamble(const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t at = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    if (at < len && text[at] == '#') {
        const char *newline = memchr(text + at, '\n', len - at);
        at = newline == NULL ? len : (size_t)(newline - text);
    }
    return at;
}

/* Raises the syntax error on top of the stack, told with its line: there is no function yet whose
 * line could be told. The message begins with NAME:LINE:, the name perhaps shortened. */
static void raise_syntax_error(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    for (const char *p = strchr(message, ':'); p != NULL; p = strchr(p + 1, ':')) {
        char *end;
        long line = strtol(p + 1, &end, 10);
        if (end > p + 1 && strncmp(end, ": ", 2) == 0) {
            sandbox_tell(sandbox_of(L), (int)line, end + 2);
            break;
        }
    }
    lua_error(L);
}

/* Pushes what the policy returns. */
static void push_returned(lua_State *L, const struct load *load)
{
    if (load->text == NULL) {
        lua_createtable(L, 0, 1);
        lua_pushstring(L, load->name);
        lua_setfield(L, -2, "policy");
        return;
    }
    size_t skip = preamble(load->text, load->len);
    const char *name = lua_pushfstring(L, "@%s", load->name);
    if (luaL_loadbufferx(L, load->text + skip, load->len - skip, name, "t") != LUA_OK) {
        raise_syntax_error(L);
    }
    lua_call(L, 0, 1);
    lua_remove(L, -2);
}

/* Runs the policy and turns what it returns into a configuration. */
static int run(lua_State *L)
{
    struct load *load = lua_touserdata(L, 1);
    lua_pushcfunction(L, sandbox_require);
    lua_pushliteral(L, "lunette.expand");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "policy");
    push_returned(L, load);
    if (!lua_istable(L, -1)) {
        problems_add(load->problems, load->name, 0, "", luaL_typename(L, -1), "a table",
                     "a policy returns a configuration");
        load->status = -EINVAL;
        return 0;
    }
    lua_pushstring(L, load->name);
    lua_pushlstring(L, load->text, load->len);
    lua_call(L, 3, 3);
    load->status = config_from_lua(L, lua_gettop(L) - 2, &load->config, load->problems);
    return 0;
}

/* A sandbox whose functions the policy uses lives on as part of its handlers. */
static int load_in(struct sandbox *sandbox, struct load *load, ln_policy **ret)
{
    int r = sandbox_run(sandbox, run, load, load->problems);
    r = r < 0 ? r : load->status;
    bool lives_on = r == 0 && load->config.handlers != NULL;
    if (lives_on) {
        lua_gc(sandbox->L, LUA_GCCOLLECT);
        load->config.handlers->sandbox = sandbox;
    }
    r = r < 0 ? r : config_compile(&load->config, ret, load->problems);
    config_free(&load->config);
    if (!lives_on) {
        sandbox_free(sandbox);
    }
    return r;
}

static int load_lua(struct load *load, ln_policy **ret)
{
    struct sandbox *sandbox;
    int r = sandbox_new(load->name, load->opener, &sandbox);
    return r < 0 ? r : load_in(sandbox, load, ret);
}

/* Whether it is JSON by its name or, as no Lua text can, begins with a brace. */
static bool is_json(const struct load *load)
{
    if (load->text == NULL) {
        return false;
    }
    static const char suffix[] = ".json";
    size_t name_len = strlen(load->name), suffix_len = strlen(suffix);
    if (name_len > suffix_len && strcmp(load->name + name_len - suffix_len, suffix) == 0) {
        return true;
    }
    size_t at = preamble(load->text, load->len);
    while (at < load->len && load->text[at] != '\0' && strchr(" \t\r\n", load->text[at]) != NULL) {
        at++;
    }
    return at < load->len && load->text[at] == '{';
}

/* The same table, written in JSON; there are no functions in it. */
static int load_json(struct load *load, ln_policy **ret)
{
    load->config.arena.cap = VALUE_BYTES_MAX;
    struct json_mistake mistake = {.message = "the configuration is too large"};
    int r = json_read(&load->config.arena, load->name, load->text, load->len, &load->config.value,
                      &mistake);
    if (r == -EINVAL || (r == -ENOMEM && load->config.arena.used > VALUE_BYTES_MAX / 2)) {
        int added = problems_add(load->problems, load->name, mistake.line, "", NULL, NULL, "%s",
                                 mistake.message);
        r = added < 0 ? added : -EINVAL;
    }
    r = r < 0 ? r : config_compile(&load->config, ret, load->problems);
    config_free(&load->config);
    return r;
}

static int load_policy(struct load *load, ln_policy **ret)
{
    int r = is_json(load) ? load_json(load, ret) : load_lua(load, ret);
    problems_sort(load->problems);
    return r;
}

int lua_policy_load_text(const char *name, const char *text, size_t len, ln_policy **ret,
                         ln_problems *problems)
{
    struct load load = {.name = name, .text = text, .len = len, .problems = problems};
    return load_policy(&load, ret);
}

int lua_policy_load(const char *path_or_preset, ln_policy **ret, ln_problems *problems)
{
    return lua_policy_load_from(NULL, path_or_preset, ret, problems);
}

static void cannot_read(const char *path, int err, ln_problems *problems)
{
    struct spelling spelling = spelling_of(path, strlen(path));
    for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
        spelling_consider(&spelling, presets[i]);
    }
    if (err == -ENOENT && spelling.nearest != NULL) {
        problems_add(problems, path, 0, "", NULL, NULL,
                     "there is no such file (did you mean the preset %s?)", spelling.nearest);
    } else {
        problems_add(problems, path, 0, "", NULL, NULL, "cannot be read: %s",
                     err == -EFBIG ? "it has more than 8 MiB" : strerror(-err));
    }
}

int lua_policy_load_from(const struct file_opener *opener, const char *path_or_preset,
                         ln_policy **ret, ln_problems *problems)
{
    struct load load = {.opener = opener, .name = path_or_preset, .problems = problems};
    if (is_preset(path_or_preset)) {
        return load_policy(&load, ret);
    }
    char *text;
    int r = file_read(opener, path_or_preset, SANDBOX_FILE_MAX, FILE_STREAM, &text, &load.len);
    if (r == -ENOMEM) {
        return r;
    }
    if (r < 0) {
        cannot_read(path_or_preset, r, problems);
        return -EINVAL;
    }
    load.text = text;
    r = load_policy(&load, ret);
    explicit_bzero(text, load.len); /* it may hold secrets */
    free(text);
    return r;
}

int ln_policy_load(const char *path_or_preset, ln_policy **ret, ln_problems *problems)
{
    return lua_policy_load(path_or_preset, ret, problems);
}

int ln_policy_load_text(const char *name, const char *text, size_t len, ln_policy **ret,
                        ln_problems *problems)
{
    return lua_policy_load_text(name, text, len, ret, problems);
}
