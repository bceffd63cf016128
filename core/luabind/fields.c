/* Tables as arguments and results of the Lua API. */
#include "luabind/fields.h"

#include <lauxlib.h>
#include <string.h>

void check_fields(lua_State *L, int index, const char *const *names)
{
    luaL_checktype(L, index, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        lua_pop(L, 1);
        const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, key) != 0) {
            name++;
        }
        if (*name == NULL) {
            luaL_error(L, "there is no field '%s' here", key);
        }
    }
}

const char *string_field(lua_State *L, int index, const char *key, const char *fallback)
{
    int type = lua_getfield(L, index, key);
    if (type == LUA_TNIL && fallback != NULL) {
        return fallback;
    }
    if (type != LUA_TSTRING) {
        luaL_error(L, "%s: found %s; accepted: a string", key, luaL_typename(L, -1));
    }
    return lua_tostring(L, -1);
}

uint32_t integer_field(lua_State *L, int index, const char *key, uint32_t max)
{
    int is_integer = 1;
    lua_Integer value = 0;
    if (lua_getfield(L, index, key) != LUA_TNIL) {
        value = lua_tointegerx(L, -1, &is_integer);
    }
    if (!is_integer || value < 0 || value > max) {
        luaL_error(L, "%s: found %s; accepted: an integer from 0 to %I", key,
                   luaL_tolstring(L, -1, NULL), (LUAI_UACINT)max);
    }
    return (uint32_t)value;
}

void set_string(lua_State *L, const char *key, const char *value)
{
    if (value != NULL) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, key);
    }
}

void set_source(lua_State *L, const char *file, int line)
{
    if (file == NULL) {
        return;
    }
    if (line > 0) {
        lua_pushfstring(L, "%s:%d", file, line);
    } else {
        lua_pushstring(L, file);
    }
    lua_setfield(L, -2, "source");
}
