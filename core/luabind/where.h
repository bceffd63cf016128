/* Where in a policy's source something happens. */
#ifndef LN_LUABIND_WHERE_H
#define LN_LUABIND_WHERE_H

#include <lua.h>
#include <stdbool.h>

/* Finds the innermost function from `level` on that is written in Lua and not in a file whose chunk
 * name begins with `own` (lunette's own modules). Fills source and line. False: there is none. */
bool where_outside(lua_State *L, int level, const char *own, lua_Debug *ret);
/* The error message without the position that Lua put before it, where that is the one in `at`. */
const char *where_strip(const char *message, const lua_Debug *at);
/* The file of a chunk's name: without the "@". */
const char *where_file(const lua_Debug *at);
/* lunette.core.here(): file and line of the nearest caller that is not in the directory of the
 * module that asks; nothing when there is none. */
int where_here(lua_State *L);

#endif
