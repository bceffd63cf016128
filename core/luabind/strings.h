/* The functions of `string` that could run long inside C, bounded by the budget. */
#ifndef LN_LUABIND_STRINGS_H
#define LN_LUABIND_STRINGS_H

#include <lauxlib.h>

/* find, match, gmatch, gsub and rep, as in the library `string`. */
extern const luaL_Reg strings_functions[];

#endif
