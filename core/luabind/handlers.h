/* The functions of a policy (`when`, `on_connect`, `on_dns`, `on_secret_violation`), called from C:
 * protected, on a budget, and never able to do harm by failing: a failure denies. */
#ifndef LN_LUABIND_HANDLERS_H
#define LN_LUABIND_HANDLERS_H

#include <lua.h>
#include <stdbool.h>

#include "luabind/flow_view.h"
#include "lunette/policy.h"

struct sandbox;

struct handlers {
    lua_State *L; /* a thread of its own: the hook and the stack are not the caller's */
    int anchor;   /* in the registry: the functions, the thread and the flow object */
    struct flow_object *flow;
    struct sandbox *sandbox; /* owned; NULL: the state belongs to the embedder */
    uint64_t instructions;   /* of one call */
    uint32_t time_ms;        /* of one call */
    bool running;
    char error[256]; /* of the last failure */
};

/* Binds the list of functions at `functions`. `handlers` is zeroed before. May raise. */
void handlers_bind(lua_State *L, int functions, struct handlers *handlers);
/* Lets go of the Lua state, closing it if it is owned, and frees. Takes NULL. */
void handlers_free(struct handlers *handlers);
/* What the policy calls; it releases `handlers` at its end. */
ln_handlers handlers_table(struct handlers *handlers);

#endif
