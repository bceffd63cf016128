/* Calling a policy's functions. */
#include "luabind/handlers.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "luabind/budget.h"
#include "luabind/sandbox.h"

struct call {
    struct handlers *handlers;
    int reference;
    void (*push)(lua_State *L, const struct call *call); /* the argument */
    const void *view;                                    /* what it is about */
    int (*read)(lua_State *L, struct call *call);        /* the result, on top of the stack */
    ln_action *ret_action;
    ln_dns_answer *ret_answer;
    ln_violation *ret_violation;
    int result;
};

static int read_when(lua_State *L, struct call *call)
{
    (void)call;
    if (!lua_isboolean(L, -1)) {
        return luaL_error(L, "when() returned %s; accepted: true, false", luaL_typename(L, -1));
    }
    return lua_toboolean(L, -1);
}

/* Reads the name of one of `n` actions. Returns 0 for nil, 1 for one of them, or -1. */
static int read_action(lua_State *L, const ln_action *actions, size_t n, ln_action *ret)
{
    if (lua_isnil(L, -1)) {
        return 0;
    }
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, ln_action_name(actions[i])) == 0) {
            *ret = actions[i];
            return 1;
        }
    }
    return -1;
}

/* What was returned instead, for a message. */
static const char *shown(lua_State *L)
{
    bool is_text = lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) > 0;
    return is_text ? lua_tostring(L, -1) : luaL_typename(L, -1);
}

static int read_on_connect(lua_State *L, struct call *call)
{
    static const ln_action actions[] = {LN_ALLOW, LN_DENY, LN_REJECT};
    int r = read_action(L, actions, 3, call->ret_action);
    return r >= 0 ? r
                  : luaL_error(L,
                               "on_connect() returned %s; accepted: \"allow\", \"deny\", "
                               "\"reject\", nil",
                               shown(L));
}

/* A list of addresses, on top of the stack: an answer of the operator's, which rebind protection
 * has nothing to do with; but no policy can open those of the never-list. */
static int read_addresses(lua_State *L, struct call *call)
{
    ln_dns_answer *answer = call->ret_answer;
    size_t n = lua_rawlen(L, -1);
    if (n > LN_DNS_ANSWER_MAX) {
        return luaL_error(L, "on_dns() returned %d addresses; accepted: at most %d", (int)n,
                          LN_DNS_ANSWER_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : "";
        if (ln_addr_parse(text, len, &answer->addrs[i]) < 0) {
            return luaL_error(L, "on_dns() returned a list with %s; accepted: IP addresses",
                              shown(L));
        }
        if (ln_addr_is_never(&answer->addrs[i])) {
            return luaL_error(L, "on_dns() returned %s, which no policy can open", text);
        }
        lua_pop(L, 1);
    }
    answer->n_addrs = n;
    *call->ret_action = LN_ALLOW;
    return 1;
}

static int read_on_dns(lua_State *L, struct call *call)
{
    static const ln_action actions[] = {LN_ALLOW, LN_DENY};
    if (lua_istable(L, -1) && lua_rawlen(L, -1) > 0) {
        return read_addresses(L, call);
    }
    int r = read_action(L, actions, 2, call->ret_action);
    return r >= 0 ? r
                  : luaL_error(L,
                               "on_dns() returned %s; accepted: \"allow\", \"deny\", a list of "
                               "addresses, nil",
                               lua_istable(L, -1) ? "an empty list" : shown(L));
}

static int read_on_violation(lua_State *L, struct call *call)
{
    static const ln_violation actions[] = {LN_VIOLATION_BLOCK, LN_VIOLATION_BLOCK_AND_LOG,
                                           LN_VIOLATION_BLOCK_AND_TERMINATE,
                                           LN_VIOLATION_PASS_PLACEHOLDER};
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        if (strcmp(text, ln_violation_name(actions[i])) == 0) {
            *call->ret_violation = actions[i];
            return 0;
        }
    }
    return luaL_error(L,
                      "on_secret_violation() returned %s; accepted: \"block\", \"block-and-log\", "
                      "\"block-and-terminate\", \"pass-placeholder\"",
                      shown(L));
}

static void push_flow(lua_State *L, const struct call *call)
{
    (void)call;
    lua_getfield(L, -2, "flow");
}

static void push_query(lua_State *L, const struct call *call)
{
    const ln_dns_query *query = call->view;
    lua_createtable(L, 0, 5);
    lua_pushstring(L, query->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, query->type);
    lua_setfield(L, -2, "type");
    lua_pushstring(L, ln_protocol_name(query->transport));
    lua_setfield(L, -2, "protocol");
    lua_pushinteger(L, query->flows);
    lua_setfield(L, -2, "flows");
    lua_pushinteger(L, (lua_Integer)time(NULL));
    lua_setfield(L, -2, "time");
}

static void push_violation(lua_State *L, const struct call *call)
{
    const ln_violation_view *view = call->view;
    const struct {
        const char *key, *value;
    } texts[] = {
        {"secret", view->secret}, {"host", view->host},   {"method", view->method},
        {"path", view->path},     {"place", view->place},
    };
    char address[LN_ADDR_TEXT_MAX];
    ln_addr_format(&view->address, address);
    lua_createtable(L, 0, 8);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        lua_pushstring(L, texts[i].value); /* nil for NULL */
        lua_setfield(L, -2, texts[i].key);
    }
    lua_pushstring(L, address);
    lua_setfield(L, -2, "address");
    lua_pushinteger(L, view->port);
    lua_setfield(L, -2, "port");
    lua_pushinteger(L, (lua_Integer)time(NULL));
    lua_setfield(L, -2, "time");
}

/* Runs protected, with the call as a light userdata. */
static int invoke(lua_State *L)
{
    struct call *call = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->handlers->anchor);
    lua_rawgeti(L, -1, call->reference);
    call->push(L, call);
    lua_call(L, 1, 1);
    call->result = call->read(L, call);
    return 0;
}

static int fail(struct handlers *handlers, const char *message)
{
    snprintf(handlers->error, sizeof(handlers->error), "%s", message);
    return -EINVAL;
}

static int call(struct handlers *handlers, struct call *call)
{
    lua_State *L = handlers->L;
    if (handlers->running) {
        return fail(handlers, "a function of a policy cannot ask for a verdict of this policy");
    }
    handlers->running = true;
    handlers->flow->view = call->push == push_flow ? call->view : NULL;
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
    struct call when = {.handlers = handlers,
                        .reference = reference,
                        .push = push_flow,
                        .view = flow,
                        .read = read_when};
    return call(handlers, &when);
}

static int call_on_connect(void *user, int reference, const ln_flow_view *flow,
                           ln_action *ret_action)
{
    struct handlers *handlers = user;
    struct call on_connect = {.handlers = handlers,
                              .reference = reference,
                              .push = push_flow,
                              .view = flow,
                              .read = read_on_connect,
                              .ret_action = ret_action};
    return call(handlers, &on_connect);
}

static int call_on_dns(void *user, int reference, const ln_dns_query *query, ln_action *ret_action,
                       ln_dns_answer *ret_answer)
{
    struct handlers *handlers = user;
    struct call on_dns = {.handlers = handlers,
                          .reference = reference,
                          .push = push_query,
                          .view = query,
                          .read = read_on_dns,
                          .ret_action = ret_action,
                          .ret_answer = ret_answer};
    return call(handlers, &on_dns);
}

static int call_on_violation(void *user, int reference, const ln_violation_view *view,
                             ln_violation *ret_action)
{
    struct handlers *handlers = user;
    struct call on_violation = {.handlers = handlers,
                                .reference = reference,
                                .push = push_violation,
                                .view = view,
                                .read = read_on_violation,
                                .ret_violation = ret_action};
    return call(handlers, &on_violation);
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
        .on_dns = call_on_dns,
        .on_violation = call_on_violation,
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
