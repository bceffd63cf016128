/* The functions of `table` that loop inside C, bounded by the budget. */
#ifndef LN_LUABIND_TABLES_H
#define LN_LUABIND_TABLES_H

#include <lua.h>

/* Replaces concat, insert, move, remove, sort and unpack in the library on top of the stack by ones
 * that charge for their work first. May raise. */
void tables_bound(lua_State *L);

#endif
