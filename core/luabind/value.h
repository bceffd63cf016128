/* From a Lua table to a configuration tree (base/value.h). */
#ifndef LN_LUABIND_VALUE_H
#define LN_LUABIND_VALUE_H

#include <lua.h>

#include "base/arena.h"
#include "base/problems.h"
#include "base/value.h"

#define VALUE_DEPTH_MAX 32           /* tables in tables */
#define VALUE_BYTES_MAX (256u << 20) /* of a tree */

struct value_source {
    int marks;           /* stack index: lunette.expand's marks, by table */
    int functions;       /* stack index: a list that functions are added to */
    int n_functions;     /* how many are in it; a function's reference is its place there */
    struct arena *arena; /* owns the tree; its cap must be VALUE_BYTES_MAX */
    ln_problems *problems;
    const char *file; /* the last one copied, for the next value in it */
};

/* Converts the value at `index`. Returns 0; -EINVAL with a problem added when the tree is too deep
 * or too large; or -ENOMEM. May raise. */
int value_from_lua(lua_State *L, int index, struct value_source *source, struct ln_value *ret);

#endif
