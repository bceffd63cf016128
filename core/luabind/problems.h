/* Lists of problems between C and Lua, where a problem is a table with the fields file, line,
 * field, found, accepted and message. */
#ifndef LN_LUABIND_PROBLEMS_H
#define LN_LUABIND_PROBLEMS_H

#include <lua.h>

#include "base/problems.h"

/* Adds those of the list at `index`. Returns 0 or -ENOMEM. May raise. */
int problems_from_lua(lua_State *L, int index, ln_problems *problems);
/* Pushes a new list. May raise. */
void problems_push(lua_State *L, const ln_problems *problems);

#endif
