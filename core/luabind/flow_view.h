/* What a policy's functions see of a flow: a read-only object that is valid during the call. */
#ifndef LN_LUABIND_FLOW_VIEW_H
#define LN_LUABIND_FLOW_VIEW_H

#include <lua.h>

#include "lunette/policy.h"

struct flow_object {
    const ln_flow_view *view; /* NULL: no call is under way */
};

/* Pushes a new object. May raise. */
struct flow_object *flow_object_push(lua_State *L);

#endif
