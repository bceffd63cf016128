/* require(NAME) of the sandbox: lunette's own modules, and files beside the policy. */
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "luabind/file.h"
#include "luabind/rule_line.h"
#include "luabind/sandbox.h"
#include "luabind/where.h"

static const char loaded_key = 0; /* its address is the key of the table of loaded modules */
static const char loading = 0;    /* stands in that table for a module that is being loaded */

/* Plain names with dots between them: no way to another directory. */
static bool is_plain(const char *name, size_t len)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const char *end = name + len; /* a NUL may stand before it */
    size_t label;
    while ((label = strspn(name, letters)) > 0 && name[label] == '.') {
        name += label + 1;
    }
    return label > 0 && name + label == end;
}

static bool is_own(const char *name)
{
    return strcmp(name, "lunette") == 0 || strncmp(name, "lunette.", strlen("lunette.")) == 0;
}

/* Loads the file of a module, as DIR/a/b.lua or DIR/a/b/init.lua for "a.b", and pushes its chunk.
 * False: there is no such file. */
static bool push_chunk(lua_State *L, const char *dir, const char *name, const char *suffix)
{
    char chunk_name[PATH_MAX + 1];
    char *path = chunk_name + 1;
    int len = snprintf(chunk_name, sizeof(chunk_name), "@%s%s%s", dir, name, suffix);
    if (len < 0 || len >= (int)sizeof(chunk_name)) {
        luaL_error(L, "module '%s': the path is too long", name);
    }
    for (char *p = path + strlen(dir); p < path + strlen(dir) + strlen(name); p++) {
        *p = *p == '.' ? '/' : *p;
    }
    char *text;
    size_t text_len;
    const struct file_opener *opener = sandbox_of(L)->opener;
    int r = file_read(opener, path, SANDBOX_FILE_MAX, FILE_REGULAR, &text, &text_len);
    if (r == -ENOENT || r == -ENOTDIR) {
        return false;
    }
    if (r < 0) {
        sandbox_of(L)->out_of_memory |= r == -ENOMEM;
        luaL_error(L, "module '%s': %s: %s", name, path, strerror(-r));
    }
    if (opener != NULL && opener->loaded != NULL && !is_own(name)) {
        opener->loaded(opener->user, path);
    }
    int status = luaL_loadbufferx(L, text, text_len, chunk_name, "t"); /* does not raise */
    free(text);
    if (status != LUA_OK) {
        lua_error(L);
    }
    return true;
}

/* Pushes the chunk of a module, from the one directory where it may be. */
static void find_module(lua_State *L, const char *name)
{
    const struct sandbox *sandbox = sandbox_of(L);
    const char *dir = is_own(name) ? sandbox->module_dir : sandbox->policy_dir;
    if (!push_chunk(L, dir, name, ".lua") && !push_chunk(L, dir, name, "/init.lua")) {
        luaL_error(L, "module '%s' not found in %s", name, *dir == '\0' ? "." : dir);
    }
}

/* Pushes lunette.core: the part of lunette's modules that is written in C. */
static void push_core(lua_State *L)
{
    lua_createtable(L, 0, 5);
    lua_pushcfunction(L, where_here);
    lua_setfield(L, -2, "here");
    lua_pushcfunction(L, sandbox_env);
    lua_setfield(L, -2, "env");
    lua_pushcfunction(L, sandbox_now);
    lua_setfield(L, -2, "now");
    lua_pushcfunction(L, rule_line_parse);
    lua_setfield(L, -2, "parse_rule");
    lua_pushliteral(L, LUNETTE_VERSION);
    lua_setfield(L, -2, "version");
}

/* Runs the chunk on top of the stack and replaces it by the value of the module. */
static void run_module(lua_State *L, const char *name, int loaded)
{
    lua_pushlightuserdata(L, (void *)&loading);
    lua_setfield(L, loaded, name);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
}

/* Pushes the table of loaded modules. */
static void push_loaded(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        push_core(L);
        lua_setfield(L, -2, "lunette.core");
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    }
}

int sandbox_require(lua_State *L)
{
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    if (!is_plain(name, len)) {
        return luaL_error(L, "module '%s': only names with dots between them are looked for", name);
    }
    lua_settop(L, 1);
    push_loaded(L);
    if (lua_getfield(L, 2, name) == LUA_TNIL) {
        find_module(L, name);
        run_module(L, name, 2);
        lua_pushvalue(L, -1);
        lua_setfield(L, 2, name);
    } else if (lua_touserdata(L, -1) == &loading) {
        return luaL_error(L, "module '%s' requires itself, or has failed before", name);
    }
    return 1;
}
