/* Policies made for Lua programs: functions of lunette.core. */
#ifndef LN_LUABIND_MAKING_H
#define LN_LUABIND_MAKING_H

#include <lua.h>

/* compile(configuration, marks, problems, gateway): the first three as lunette.expand gives them.
 * Returns a policy object, or nil and a list of problems. */
int making_compile(lua_State *L);
/* load(path, gateway): the same for a policy file or a preset. */
int making_load(lua_State *L);

#endif
