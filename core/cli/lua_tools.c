/* Functions of lunette.core for the tools that are written in Lua. */
#include "cli/lua_tools.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/diff.h"
#include "cli/query.h"
#include "cli/show.h"
#include "dns/message.h"
#include "dns/server.h"
#include "luabind/fields.h"
#include "luabind/making.h"
#include "luabind/policy.h"
#include "luabind/sandbox.h"
#include "net/addressing.h"

/* Makes the group `host` of a policy that was just loaded. */
static void find_host(struct policy_object *object, bool machine)
{
    struct link_identity link = {0};
    const char *field;
    addressing_assign(ln_policy_settings(object->policy), 0, &link, &field);
    object->host[0] = link.gateway4;
    object->host[1] = link.gateway6;
    object->n_host = object->n_gateway = 2;
    ln_addr *addrs = NULL;
    size_t count;
    if (machine && machine_addresses(&link, &addrs, &count) == 0) {
        object->n_host = count < POLICY_HOST_MAX ? count : POLICY_HOST_MAX;
        memcpy(object->host, addrs, object->n_host * sizeof(*addrs));
        free(addrs);
    }
}

static int tools_load(lua_State *L)
{
    lua_settop(L, 1);
    int results = making_load(L);
    if (results == 1) {
        find_host(policy_object_check(L, -1), lua_toboolean(L, lua_upvalueindex(1)));
    }
    return results;
}

static void set_address(lua_State *L, const ln_addr *addr)
{
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(addr, text);
    set_string(L, "address", text);
}

static int tools_query(lua_State *L)
{
    char *text = (char *)(uintptr_t)luaL_checkstring(L, 1);
    struct query query;
    char why[256];
    if (query_parse(&text, 1, &query, why) < 0) {
        lua_pushnil(L);
        lua_pushstring(L, why);
        return 2;
    }
    lua_createtable(L, 0, 4);
    if (query.is_dns) {
        char type[DNS_TYPE_TEXT_MAX];
        set_string(L, "dns", query.name);
        set_string(L, "type", dns_type_name(query.type, type));
        return 1;
    }
    set_string(L, "direction", ln_direction_name(query.direction));
    set_string(L, "protocol", ln_protocol_name(query.protocol));
    if (query.is_named) {
        set_string(L, "name", query.name);
    } else {
        set_address(L, &query.address);
    }
    if (query_has_ports(&query)) {
        lua_pushinteger(L, query.port);
        lua_setfield(L, -2, "port");
    }
    return 1;
}

static int tools_refusal(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *type_text = luaL_checkstring(L, 2);
    char name[LN_NAME_MAX + 1];
    const char *why;
    if (ln_name_canonical(text, len, name, &why) < 0) {
        return luaL_error(L, "'%s' is not a name: %s", text, why);
    }
    uint16_t type;
    if (!dns_type_parse(type_text, &type)) {
        return luaL_error(L, "'%s' is not a DNS type", type_text);
    }
    const char *reason;
    unsigned rcode = dns_server_refuses(name, type, &reason);
    lua_pushstring(L, rcode == DNS_NOERROR ? NULL : show_dns_refusal(rcode));
    return 1;
}

static int tools_reason(lua_State *L)
{
    static const char *const directions[] = {"egress", "ingress", NULL};
    const struct policy_object *object = policy_object_check(L, 1);
    ln_direction direction = (ln_direction)luaL_checkoption(L, 2, NULL, directions);
    lua_settop(L, 3);
    ln_decision decision = {.rule = integer_field(L, 3, "rule", UINT32_MAX)};
    const char *reason = string_field(L, 3, "reason", NULL);
    while (decision.reason < LN_REASONS && strcmp(ln_reason_name(decision.reason), reason) != 0) {
        decision.reason++;
    }
    lua_getfield(L, 3, "inspect");
    decision.inspect = lua_toboolean(L, -1);
    luaL_argcheck(L, decision.rule <= ln_policy_rule_count(object->policy), 3, "no such rule");
    struct arena arena = {0};
    char text[1024]; /* the arena is freed before anything can raise */
    snprintf(text, sizeof(text), "%s", show_reason(&arena, object->policy, direction, &decision));
    arena_free(&arena);
    lua_pushstring(L, text);
    return 1;
}

static int tools_diff(lua_State *L)
{
    const struct policy_object *a = policy_object_check(L, 1);
    const struct policy_object *b = policy_object_check(L, 2);
    diff_show(a->policy, b->policy, false);
    return 0;
}

static int tools_miss(lua_State *L)
{
    const char *why = luaL_checkstring(L, 1);
    ln_miss miss = LN_MATCHED;
    while (miss < LN_MISS_KINDS && strcmp(ln_miss_name(miss), why) != 0) {
        miss++;
    }
    lua_pushstring(L, show_miss(miss));
    return 1;
}

static int tools_write(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    fwrite(text, 1, len, stdout);
    return 0;
}

static int tools_tell(lua_State *L)
{
    fflush(stdout);
    command_say("%s", luaL_checkstring(L, 1));
    return 0;
}

void lua_tools_push_module(lua_State *L, const char *name, bool machine)
{
    static const luaL_Reg functions[] = {
        {"query", tools_query},      {"refusal", tools_refusal}, {"reason", tools_reason},
        {"miss", tools_miss},        {"write", tools_write},     {"tell", tools_tell},
        {"compile", making_compile}, {"diff", tools_diff},       {NULL, NULL},
    };
    lua_pushcfunction(L, sandbox_require);
    lua_pushliteral(L, "lunette.core");
    lua_call(L, 1, 1);
    luaL_setfuncs(L, functions, 0);
    lua_pushboolean(L, machine);
    lua_pushcclosure(L, tools_load, 1);
    lua_setfield(L, -2, "load");
    lua_pop(L, 1);
    lua_pushcfunction(L, sandbox_require);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
}
