/* A request that a Lua table describes: method=, path=, headers={["X-Name"]="value" or a list}. */
#ifndef LN_LUABIND_REQUEST_H
#define LN_LUABIND_REQUEST_H

#include <lua.h>

#include "lunette/policy.h"

enum { REQUEST_FIELDS_MAX = 64 };

struct lua_request {
    ln_http_request request;
    struct {
        const char *name, *value;
        size_t name_len, value_len;
    } fields[REQUEST_FIELDS_MAX];
    size_t n_fields;
};

/* Reads the request of the question at `index` into `query`: any of the three fields makes one, and
 * http=false says that what is sent is none. Texts are borrowed from the table, the request from
 * `ret`. May raise. */
void request_read(lua_State *L, int index, struct lua_request *ret, ln_query *query);

#endif
