/* Requests from tables. */
#include "luabind/request.h"

#include <lauxlib.h>
#include <string.h>

#include "luabind/fields.h"

/* Adds the value on top of the stack under the name below it. */
static void add(lua_State *L, int name, struct lua_request *ret)
{
    if (ret->n_fields == REQUEST_FIELDS_MAX) {
        luaL_error(L, "headers: more than %d", REQUEST_FIELDS_MAX);
    }
    if (lua_type(L, name) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
        luaL_error(L, "headers: accepted: { [\"X-Name\"] = \"value\" }, or a list of values");
    }
    ret->fields[ret->n_fields].name = lua_tolstring(L, name, &ret->fields[ret->n_fields].name_len);
    ret->fields[ret->n_fields].value = lua_tolstring(L, -1, &ret->fields[ret->n_fields].value_len);
    ret->n_fields++;
}

/* The table at `index`, or nil: none. */
static void read_fields(lua_State *L, int index, struct lua_request *ret)
{
    ret->n_fields = 0;
    if (lua_isnil(L, index)) {
        return;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
        int name = lua_gettop(L) - 1;
        if (!lua_istable(L, -1)) {
            add(L, name, ret);
            continue;
        }
        for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, name + 1); i++) {
            lua_rawgeti(L, name + 1, i);
            add(L, name, ret);
            lua_pop(L, 1);
        }
    }
}

/* As ln_http_request.field. */
static bool field_at(const void *user, size_t n, const char **ret_name, size_t *ret_name_len,
                     const char **ret_value, size_t *ret_value_len)
{
    const struct lua_request *fields = user;
    if (n >= fields->n_fields) {
        return false;
    }
    *ret_name = fields->fields[n].name;
    *ret_name_len = fields->fields[n].name_len;
    *ret_value = fields->fields[n].value;
    *ret_value_len = fields->fields[n].value_len;
    return true;
}

void request_read(lua_State *L, int index, struct lua_request *ret, ln_query *query)
{
    bool none = lua_getfield(L, index, "http") == LUA_TBOOLEAN && !lua_toboolean(L, -1);
    if (!none && !lua_isnil(L, -1)) {
        luaL_error(L, "http: accepted: false (what is sent is no HTTP request)");
    }
    bool asked = false;
    static const char *const keys[] = {"method", "path", "headers"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        asked |= lua_getfield(L, index, keys[i]) != LUA_TNIL;
    }
    query->http_state = none ? LN_HTTP_NONE : asked ? LN_HTTP_REQUEST : LN_HTTP_UNKNOWN;
    if (!asked) {
        return;
    }
    if (none || query->direction != LN_EGRESS || query->protocol != LN_TCP ||
        query->name_state == LN_NAME_UNKNOWN) {
        luaL_error(L, "method, path, headers: requests are of egress tcp, after the name is known");
    }
    const char *method = string_field(L, index, "method", "GET");
    const char *path = string_field(L, index, "path", "/");
    ret->request = (ln_http_request){
        .method = method,
        .method_len = strlen(method),
        .path = path,
        .path_len = strlen(path),
        .field = field_at,
        .user = ret,
    };
    lua_getfield(L, index, "headers");
    read_fields(L, lua_gettop(L), ret);
    query->request = &ret->request;
}
