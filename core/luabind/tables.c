/* The functions of `table` that loop inside C. Each is the library's own behind a guard that
 * charges for the number of elements. That number must be known before, so the tables must be
 * plain: a length or an element that a metamethod makes up could be without end. */
#include "luabind/tables.h"

#include <lauxlib.h>

#include "luabind/budget.h"

enum { COST = 8, COST_SORT = 64 }; /* instructions an element */

static lua_Integer plain_length(lua_State *L, int arg)
{
    static const char *const events[] = {"__index", "__newindex", "__len"};
    luaL_checktype(L, arg, LUA_TTABLE);
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        if (luaL_getmetafield(L, arg, events[i]) != LUA_TNIL) {
            luaL_argerror(L, arg, "a table without metamethods is needed here");
        }
    }
    return (lua_Integer)lua_rawlen(L, arg);
}

/* Charges for the elements first to last. */
static void charge_range(lua_State *L, lua_Integer first, lua_Integer last)
{
    if (first <= last) {
        lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first;
        budget_charge(L, count > UINT64_MAX / COST ? UINT64_MAX : count * COST);
    }
}

/* Calls the library's function with the arguments of this one. */
static int call_original(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* concat(t, separator, first, last) */
static int guard_concat(lua_State *L)
{
    lua_Integer length = plain_length(L, 1);
    charge_range(L, luaL_optinteger(L, 3, 1), luaL_optinteger(L, 4, length));
    return call_original(L);
}

/* insert(t, [position,] value) */
static int guard_insert(lua_State *L)
{
    lua_Integer length = plain_length(L, 1);
    if (lua_gettop(L) == 3) {
        charge_range(L, luaL_checkinteger(L, 2), length);
    }
    return call_original(L);
}

/* remove(t, position) */
static int guard_remove(lua_State *L)
{
    lua_Integer length = plain_length(L, 1);
    charge_range(L, luaL_optinteger(L, 2, length), length);
    return call_original(L);
}

/* move(from, first, last, to_first, [to]) */
static int guard_move(lua_State *L)
{
    plain_length(L, 1);
    if (!lua_isnoneornil(L, 5)) {
        plain_length(L, 5);
    }
    charge_range(L, luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
    return call_original(L);
}

static int guard_sort(lua_State *L)
{
    budget_charge(L, (uint64_t)plain_length(L, 1) * COST_SORT);
    return call_original(L);
}

/* unpack(t, first, last) */
static int guard_unpack(lua_State *L)
{
    lua_Integer length = plain_length(L, 1);
    charge_range(L, luaL_optinteger(L, 2, 1), luaL_optinteger(L, 3, length));
    return call_original(L);
}

void tables_bound(lua_State *L)
{
    static const luaL_Reg guards[] = {
        {"concat", guard_concat}, {"insert", guard_insert}, {"move", guard_move},
        {"remove", guard_remove}, {"sort", guard_sort},     {"unpack", guard_unpack},
    };
    for (size_t i = 0; i < sizeof(guards) / sizeof(*guards); i++) {
        lua_getfield(L, -1, guards[i].name);
        lua_pushcclosure(L, guards[i].func, 1);
        lua_setfield(L, -2, guards[i].name);
    }
}
