/* The flow that a policy's functions are asked about. */
#include "luabind/flow_view.h"

#include <lauxlib.h>
#include <string.h>
#include <time.h>

static const char type_name[] = "lunette.flow";

typedef void push_field(lua_State *L, const ln_flow_view *flow);

static void push_direction(lua_State *L, const ln_flow_view *flow)
{
    lua_pushstring(L, ln_direction_name(flow->direction));
}

static void push_protocol(lua_State *L, const ln_flow_view *flow)
{
    lua_pushstring(L, ln_protocol_name(flow->protocol));
}

static void push_address(lua_State *L, const ln_flow_view *flow)
{
    char text[LN_ADDR_TEXT_MAX];
    lua_pushlstring(L, text, ln_addr_format(&flow->address, text));
}

static void push_port(lua_State *L, const ln_flow_view *flow)
{
    lua_pushinteger(L, flow->port);
}

static void push_names(lua_State *L, const ln_flow_view *flow)
{
    lua_createtable(L, (int)flow->n_names, 0);
    for (size_t i = 0; i < flow->n_names; i++) {
        lua_pushstring(L, flow->names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_sni(lua_State *L, const ln_flow_view *flow)
{
    lua_pushstring(L, flow->sni);
}

static void push_host(lua_State *L, const ln_flow_view *flow)
{
    lua_pushstring(L, flow->host);
}

static void push_group(lua_State *L, const ln_flow_view *flow)
{
    lua_pushstring(L, ln_group_name(flow->group));
}

static void push_flows(lua_State *L, const ln_flow_view *flow)
{
    lua_pushinteger(L, flow->flows);
}

static void push_id(lua_State *L, const ln_flow_view *flow)
{
    if (flow->id == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, (lua_Integer)flow->id);
    }
}

static void push_time(lua_State *L, const ln_flow_view *flow)
{
    (void)flow;
    lua_pushinteger(L, (lua_Integer)time(NULL));
}

static void push_country(lua_State *L, const ln_flow_view *flow)
{
    lua_pushstring(L, flow->country[0] == '\0' ? NULL : flow->country);
}

static void push_asn(lua_State *L, const ln_flow_view *flow)
{
    if (flow->asn == 0) {
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, flow->asn);
    }
}

static const struct field {
    const char *name;
    push_field *push;
} fields[] = {
    {"direction", push_direction},
    {"protocol", push_protocol},
    {"address", push_address},
    {"port", push_port},
    {"names", push_names},
    {"sni", push_sni},
    {"host", push_host},
    {"group", push_group},
    {"country", push_country},
    {"asn", push_asn},
    {"time", push_time},
    {"flows", push_flows},
    {"id", push_id},
};

static int flow_index(lua_State *L)
{
    const struct flow_object *object = luaL_checkudata(L, 1, type_name);
    const char *name = luaL_checkstring(L, 2);
    if (object->view == NULL) {
        return luaL_error(L, "a flow can be read only while the function that got it runs");
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        if (strcmp(fields[i].name, name) == 0) {
            fields[i].push(L, object->view);
            return 1;
        }
    }
    return luaL_error(L, "a flow has no field '%s'", name);
}

static int flow_newindex(lua_State *L)
{
    return luaL_error(L, "a flow cannot be changed");
}

struct flow_object *flow_object_push(lua_State *L)
{
    struct flow_object *object = lua_newuserdatauv(L, sizeof(*object), 0);
    object->view = NULL;
    if (luaL_newmetatable(L, type_name)) {
        static const luaL_Reg methods[] = {
            {"__index", flow_index}, {"__newindex", flow_newindex}, {NULL, NULL}};
        luaL_setfuncs(L, methods, 0);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return object;
}
