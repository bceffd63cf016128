/* Rules on one line, for Lua. */
#ifndef LN_LUABIND_RULE_LINE_H
#define LN_LUABIND_RULE_LINE_H

#include <lua.h>

/* lunette.core.parse_rule(text): the fields of a rule on one line, unchecked, as a table; nil when
 * the text has not the shape of one. */
int rule_line_parse(lua_State *L);

#endif
