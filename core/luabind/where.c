/* Positions in Lua sources, from the call stack. */
#include "luabind/where.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

bool where_outside(lua_State *L, int level, const char *own, lua_Debug *ret)
{
    for (; lua_getstack(L, level, ret); level++) {
        lua_getinfo(L, "Sl", ret);
        if (ret->currentline > 0 && strncmp(ret->source, own, strlen(own)) != 0) {
            return true;
        }
    }
    return false;
}

const char *where_strip(const char *message, const lua_Debug *at)
{
    char prefix[LUA_IDSIZE + 16];
    int len = snprintf(prefix, sizeof(prefix), "%s:%d: ", at->short_src, at->currentline);
    return strncmp(message, prefix, (size_t)len) == 0 ? message + len : message;
}

const char *where_file(const lua_Debug *at)
{
    return *at->source == '@' || *at->source == '=' ? at->source + 1 : at->source;
}

int where_here(lua_State *L)
{
    lua_Debug at;
    if (!lua_getstack(L, 1, &at)) {
        return 0;
    }
    lua_getinfo(L, "S", &at);
    const char *slash = strrchr(at.source, '/');
    lua_pushlstring(L, at.source, slash == NULL ? 0 : (size_t)(slash + 1 - at.source));
    const char *own = slash == NULL ? "\n" : lua_tostring(L, -1);
    if (!where_outside(L, 2, own, &at)) {
        return 0;
    }
    lua_pushstring(L, where_file(&at));
    lua_pushinteger(L, at.currentline);
    return 2;
}
