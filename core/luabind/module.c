/* lunette.core for a stock Lua 5.4: what lunette's Lua modules need of the engine. */
#include <lauxlib.h>

#include "luabind/budget.h"
#include "luabind/gateway.h"
#include "luabind/making.h"
#include "luabind/rule_line.h"
#include "luabind/sandbox.h"
#include "luabind/where.h"

LN_API int luaopen_lunette_core(lua_State *L);

int luaopen_lunette_core(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"here", where_here},
        {"env", sandbox_env},
        {"now", sandbox_now},
        {"parse_rule", rule_line_parse},
        {"compile", making_compile},
        {"load", making_load},
        {"gateway", gateway_object_new},
        {NULL, NULL},
    };
    budget_prepare(L);
    luaL_newlib(L, functions);
    lua_pushliteral(L, LUNETTE_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
