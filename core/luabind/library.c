/* The globals of a sandbox: what is listed here is there, and nothing else. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "luabind/budget.h"
#include "luabind/sandbox.h"
#include "luabind/strings.h"
#include "luabind/tables.h"

static const char *const base_names[] = {
    "_VERSION", "assert", "error",  "getmetatable", "ipairs",   "next",     "pairs", "rawequal",
    "rawget",   "rawlen", "rawset", "select",       "tonumber", "tostring", "type",  NULL,
};
static const char *const string_names[] = {
    "byte", "char", "format", "len", "lower", "reverse", "sub", "upper", NULL,
};
static const char *const table_names[] = {
    "concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL,
};
static const char *const math_names[] = {
    "abs", "acos",       "asin", "atan",      "ceil", "cos",    "deg",
    "exp", "floor",      "fmod", "huge",      "log",  "max",    "maxinteger",
    "min", "mininteger", "modf", "pi",        "rad",  "random", "randomseed",
    "sin", "sqrt",       "tan",  "tointeger", "type", "ult",    NULL,
};
static const char *const utf8_names[] = {
    "char", "charpattern", "codepoint", "codes", "len", "offset", NULL,
};
static const char *const os_names[] = {"clock", "date", "time", NULL};

/* Globals of other Lua programs that are not here: a policy may ask whether they are. */
static const char *const absent_names[] = {
    "collectgarbage", "coroutine", "debug",   "dofile", "getfenv", "io",     "jit",  "loadfile",
    "loadstring",     "module",    "package", "print",  "setfenv", "unpack", "warn", NULL,
};

/* Opens a library of Lua, and pushes a new table with the named ones of its functions. */
static void push_library(lua_State *L, lua_CFunction open, const char *const *names)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (; *names != NULL; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

/* ---- functions of the base library that are other than usual ---- */

/* What no pcall may swallow: the sandbox's own errors. */
static void raise_if_fatal(lua_State *L, int status)
{
    const struct budget *budget = budget_current(L);
    if (budget != NULL && budget->spent != NULL) {
        luaL_error(L, "%s", budget->spent);
    }
    if (status == LUA_ERRMEM) {
        lua_error(L);
    }
}

static int protected_call(lua_State *L, int arguments, int handler)
{
    int status = lua_pcall(L, arguments, LUA_MULTRET, handler);
    if (status != LUA_OK) {
        raise_if_fatal(L, status);
    }
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* pcall(f, ...) */
static int base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushnil(L); /* the place of the result */
    lua_insert(L, 1);
    return protected_call(L, lua_gettop(L) - 2, 0);
}

/* xpcall(f, handler, ...) */
static int base_xpcall(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_insert(L, 3); /* f, handler, f, ... */
    lua_pushnil(L);
    lua_replace(L, 1); /* the place of the result */
    int results = protected_call(L, lua_gettop(L) - 3, 2);
    lua_remove(L, 2);
    return results - 1;
}

/* setmetatable(t, metatable) without finalizers */
static int base_setmetatable(lua_State *L)
{
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        lua_rawget(L, 2);
        luaL_argcheck(L, lua_isnil(L, -1), 2, "__gc is not allowed in a policy");
        lua_pop(L, 1);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* load(chunk, name, mode, env): the mode is text, whatever is asked for */
static int base_load(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_gettop(L) < 3) {
        lua_settop(L, 3);
    }
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

int sandbox_env(lua_State *L)
{
    lua_pushstring(L, getenv(luaL_checkstring(L, 1)));
    return 1;
}

int sandbox_now(lua_State *L)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    lua_pushnumber(L, (lua_Number)ts.tv_sec + (lua_Number)ts.tv_nsec / 1e9);
    return 1;
}

/* Reading a global that is not there. */
static int undefined(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    for (const char *const *absent = absent_names; *absent != NULL; absent++) {
        if (strcmp(name, *absent) == 0) {
            return 0;
        }
    }
    return luaL_error(L, "undefined variable '%s'", name);
}

/* ---- putting them together ---- */

/* Wraps a function of the table on top: `wrapper` has the library's own as its upvalue. */
static void wrap(lua_State *L, const char *name, lua_CFunction wrapper)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_pushcclosure(L, wrapper, 1);
    lua_setfield(L, -2, name);
}

static void push_base(lua_State *L)
{
    push_library(L, luaopen_base, base_names);
    wrap(L, "setmetatable", base_setmetatable);
    wrap(L, "load", base_load);
    static const luaL_Reg own[] = {
        {"pcall", base_pcall},
        {"xpcall", base_xpcall},
        {"require", sandbox_require},
        {"env", sandbox_env},
        {NULL, NULL},
    };
    luaL_setfuncs(L, own, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
}

/* string, which is also what the methods of strings are looked up in. */
static void push_string(lua_State *L)
{
    push_library(L, luaopen_string, string_names);
    luaL_setfuncs(L, strings_functions, 0);
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void sandbox_open_library(lua_State *L)
{
    budget_prepare(L);
    push_base(L);
    push_string(L);
    lua_setfield(L, -2, "string");
    push_library(L, luaopen_table, table_names);
    tables_bound(L);
    lua_setfield(L, -2, "table");
    push_library(L, luaopen_math, math_names);
    lua_setfield(L, -2, "math");
    push_library(L, luaopen_utf8, utf8_names);
    lua_setfield(L, -2, "utf8");
    push_library(L, luaopen_os, os_names);
    lua_setfield(L, -2, "os");
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, undefined);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}
