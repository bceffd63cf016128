/* The class `gateway` of the Lua API. */
#ifndef LN_LUABIND_GATEWAY_H
#define LN_LUABIND_GATEWAY_H

#include <lua.h>

/* lunette.gateway{ policy=, slot=, mtu=, on_frame=, on_event= }: a gateway; raises when there can
 * be none. */
int gateway_object_new(lua_State *L);

#endif
