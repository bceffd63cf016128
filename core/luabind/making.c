/* Policies made for Lua programs. */
#include "luabind/making.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "base/problems.h"
#include "luabind/config.h"
#include "luabind/load.h"
#include "luabind/policy.h"
#include "luabind/problems.h"

/* What is held while a policy is made, so that an error of Lua leaves nothing behind. */
struct making {
    struct config config;
    ln_problems *problems;
};

static const char making_name[] = "lunette.making";

static int making_gc(lua_State *L)
{
    struct making *making = luaL_checkudata(L, 1, making_name);
    config_free(&making->config);
    making->problems = ln_problems_free(making->problems);
    return 0;
}

static struct making *push_making(lua_State *L)
{
    struct making *making = lua_newuserdatauv(L, sizeof(*making), 0);
    memset(making, 0, sizeof(*making));
    if (luaL_newmetatable(L, making_name)) {
        lua_pushcfunction(L, making_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    making->problems = ln_problems_new();
    if (making->problems == NULL) {
        luaL_error(L, "out of memory");
    }
    return making;
}

/* The results of compile() and load(): the policy object at `object`, or nil and the problems. */
static int push_made(lua_State *L, int r, const struct making *making, int object)
{
    if (r == 0) {
        lua_pushvalue(L, object);
        return 1;
    }
    if (r != -EINVAL) {
        return luaL_error(L, "%s", strerror(-r));
    }
    lua_pushnil(L);
    problems_push(L, making->problems);
    return 2;
}

int making_compile(lua_State *L)
{
    lua_settop(L, 4);
    struct policy_object *object = policy_object_push(L);
    struct making *making = push_making(L);
    int r = config_from_lua(L, 1, &making->config, making->problems);
    r = r < 0 ? r : config_compile(&making->config, &object->policy, making->problems);
    if (r == 0) {
        policy_object_fill(L, object, 4);
    }
    problems_sort(making->problems);
    return push_made(L, r, making, 5);
}

int making_load(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    struct policy_object *object = policy_object_push(L);
    struct making *making = push_making(L);
    int r = lua_policy_load(path, &object->policy, making->problems);
    if (r == 0) {
        policy_object_fill(L, object, 2);
    }
    return push_made(L, r, making, 3);
}
