/* Tables as arguments and results of the Lua API. All of these may raise. */
#ifndef LN_LUABIND_FIELDS_H
#define LN_LUABIND_FIELDS_H

#include <lua.h>
#include <stdint.h>

/* Raises where the table at `index` has a field that is not among `names`, which NULL ends. */
void check_fields(lua_State *L, int index, const char *const *names);
/* Pushes the string field `key`; `fallback` where it is not there, unless that is NULL. */
const char *string_field(lua_State *L, int index, const char *key, const char *fallback);
/* Pushes the integer field `key` from 0 to `max`; 0 where it is not there. */
uint32_t integer_field(lua_State *L, int index, const char *key, uint32_t max);

/* Set a field of the table on top of the stack. A string that is NULL is left out. */
void set_string(lua_State *L, const char *key, const char *value);
/* `source`: "policy.lua:4", without the line where that is 0; left out without a file. */
void set_source(lua_State *L, const char *file, int line);

#endif
