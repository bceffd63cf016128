/* A configuration on its way from Lua to a policy. */
#ifndef LN_LUABIND_CONFIG_H
#define LN_LUABIND_CONFIG_H

#include <lua.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/problems.h"
#include "base/value.h"
#include "luabind/handlers.h"

/* Zero-initialise to start. */
struct config {
    struct arena arena;
    struct ln_value value;
    struct handlers *handlers; /* NULL: it has no functions */
    bool invalid;              /* problems were told already */
};

/* Takes the three results of lunette.expand (configuration, marks, problems) from `index` on.
 * Returns 0 also when problems were told: there may be more to tell. Else -EINVAL with a problem
 * added, or -ENOMEM. May raise; `config` is to be freed in any case. */
int config_from_lua(lua_State *L, int index, struct config *config, ln_problems *problems);
/* Validates and compiles. Returns 0; -EINVAL with problems added; or -ENOMEM. On success the policy
 * owns the handlers. */
int config_compile(struct config *config, ln_policy **ret, ln_problems *problems);
void config_free(struct config *config);

#endif
