/* A configuration on its way from Lua to a policy. */
#include "luabind/config.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "luabind/problems.h"
#include "luabind/value.h"

int config_from_lua(lua_State *L, int index, struct config *config, ln_problems *problems)
{
    /* A policy can change lunette's modules in its sandbox, so what they give is not trusted. */
    if (!lua_istable(L, index + 1) || !lua_istable(L, index + 2)) {
        return luaL_error(L, "lunette.expand gave something else than marks and problems");
    }
    config->invalid = lua_rawlen(L, index + 2) > 0;
    int r = problems_from_lua(L, index + 2, problems);
    if (r < 0) {
        return r;
    }
    config->arena.cap = VALUE_BYTES_MAX;
    lua_newtable(L);
    struct value_source source = {
        .marks = index + 1,
        .functions = lua_gettop(L),
        .arena = &config->arena,
        .problems = problems,
    };
    r = value_from_lua(L, index, &source, &config->value);
    if (r < 0 || source.n_functions == 0) {
        return r;
    }
    config->handlers = calloc(1, sizeof(*config->handlers));
    if (config->handlers == NULL) {
        return -ENOMEM;
    }
    handlers_bind(L, source.functions, config->handlers);
    return 0;
}

int config_compile(struct config *config, ln_policy **ret, ln_problems *problems)
{
    ln_handlers table;
    if (config->handlers != NULL) {
        table = handlers_table(config->handlers);
    }
    ln_policy *policy;
    int r =
        ln_policy_new(&config->value, config->handlers != NULL ? &table : NULL, &policy, problems);
    if (r < 0) {
        return r;
    }
    if (config->handlers != NULL) {
        const ln_limits *limits = &ln_policy_settings(policy)->limits;
        config->handlers->instructions = limits->handler_instructions;
        config->handlers->time_ms = limits->handler_ms;
        config->handlers = NULL;
    }
    if (config->invalid) {
        ln_policy_unref(policy);
        return -EINVAL;
    }
    *ret = policy;
    return 0;
}

void config_free(struct config *config)
{
    arena_wipe(&config->arena); /* it may hold secrets */
    arena_free(&config->arena);
    handlers_free(config->handlers);
    config->handlers = NULL;
}
