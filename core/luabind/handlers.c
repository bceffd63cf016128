/* Calling a policy's functions. */
#include "luabind/handlers.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "luabind/budget.h"
#include "luabind/sandbox.h"

struct call {
    struct handlers *handlers;
    int reference;
    int (*read)(lua_State *L, ln_action *ret_action); /* the result, on top of the stack */
    ln_action *ret_action;
    int result;
};

static int read_when(lua_State *L, ln_action *ret_action)
{
    (void)ret_action;
    if (!lua_isboolean(L, -1)) {
        return luaL_error(L, "when() returned %s; accepted: true, false", luaL_typename(L, -1));
    }
    return lua_toboolean(L, -1);
}

static int read_on_connect(lua_State *L, ln_action *ret_action)
{
    if (lua_isnil(L, -1)) {
        return 0;
    }
    static const ln_action actions[] = {LN_ALLOW, LN_DENY, LN_REJECT};
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        if (strcmp(text, ln_action_name(actions[i])) == 0) {
            *ret_action = actions[i];
            return 1;
        }
    }
    return luaL_error(L, "on_connect() returned %s; accepted: \"allow\", \"deny\", \"reject\", nil",
                      *text != '\0' ? text : luaL_typename(L, -1));
}

/* Runs protected, with the call as a light userdata. */
static int invoke(lua_State *L)
{
    struct call *call = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->handlers->anchor);
    lua_rawgeti(L, -1, call->reference);
    lua_getfield(L, -2, "flow");
    lua_call(L, 1, 1);
    call->result = call->read(L, call->ret_action);
    return 0;
}

static int fail(struct handlers *handlers, const char *message)
{
    snprintf(handlers->error, sizeof(handlers->error), "%s", message);
    return -EINVAL;
}

static int call(struct handlers *handlers, struct call *call, const ln_flow_view *view)
{
    lua_State *L = handlers->L;
    if (handlers->running) {
        return fail(handlers, "a function of a policy cannot ask for a verdict of this policy");
    }
    handlers->running = true;
    handlers->flow->view = view;
    struct budget budget;
    budget_start(L, &budget, handlers->instructions, handlers->time_ms);
    lua_pushcfunction(L, invoke);
    lua_pushlightuserdata(L, call);
    int status = lua_pcall(L, 1, 0, 0);
    budget_stop(L, &budget);
    handlers->flow->view = NULL;
    handlers->running = false;
    if (status == LUA_OK) {
        return call->result;
    }
    int r =
        fail(handlers, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1)
                                                      : "it raised an error that is not a string");
    lua_settop(L, 0);
    return r;
}

static int call_when(void *user, int reference, const ln_flow_view *flow)
{
    struct handlers *handlers = user;
    struct call when = {.handlers = handlers, .reference = reference, .read = read_when};
    return call(handlers, &when, flow);
}

static int call_on_connect(void *user, int reference, const ln_flow_view *flow,
                           ln_action *ret_action)
{
    struct handlers *handlers = user;
    struct call on_connect = {.handlers = handlers,
                              .reference = reference,
                              .read = read_on_connect,
                              .ret_action = ret_action};
    return call(handlers, &on_connect, flow);
}

static const char *last_error(void *user)
{
    return ((struct handlers *)user)->error;
}

static void release(void *user)
{
    handlers_free(user);
}

ln_handlers handlers_table(struct handlers *handlers)
{
    return (ln_handlers){
        .user = handlers,
        .when = call_when,
        .on_connect = call_on_connect,
        .last_error = last_error,
        .release = release,
    };
}

void handlers_bind(lua_State *L, int functions, struct handlers *handlers)
{
    lua_pushvalue(L, functions);
    handlers->flow = flow_object_push(L);
    lua_setfield(L, -2, "flow");
    lua_State *thread = lua_newthread(L);
    lua_setfield(L, -2, "thread");
    handlers->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    handlers->L = thread;
}

void handlers_free(struct handlers *handlers)
{
    if (handlers == NULL) {
        return;
    }
    if (handlers->sandbox != NULL) {
        sandbox_free(handlers->sandbox);
    } else if (handlers->L != NULL) {
        luaL_unref(handlers->L, LUA_REGISTRYINDEX, handlers->anchor);
    }
    free(handlers);
}
