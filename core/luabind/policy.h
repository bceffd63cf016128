/* The class `policy` of the Lua API. */
#ifndef LN_LUABIND_POLICY_H
#define LN_LUABIND_POLICY_H

#include <lua.h>

#include "lunette/policy.h"

/* Addresses of the gateway that a policy object can be told. */
#define POLICY_GATEWAY_MAX 16
/* Addresses of the group `host` that it can have. */
#define POLICY_HOST_MAX 256

struct policy_object {
    ln_policy *policy; /* a reference of its own; NULL while it is being made */
    ln_pins *pins;
    ln_addr host[POLICY_HOST_MAX]; /* the group `host`: the gateway's addresses first */
    size_t n_host, n_gateway;
};

/* Pushes an object without a policy, to be filled by its maker. May raise. */
struct policy_object *policy_object_push(lua_State *L);
/* Completes an object whose policy is set: makes its pins, and reads the gateway's addresses (the
 * value at `gateway`: an address, a list of them, or nil). May raise. */
void policy_object_fill(lua_State *L, struct policy_object *object, int gateway);
/* The object at `index`; raises where there is another value. */
struct policy_object *policy_object_check(lua_State *L, int index);

#endif
