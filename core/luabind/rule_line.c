/* Rules on one line, for Lua. */
#include "luabind/rule_line.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "luabind/budget.h"
#include "policy/rule_parse.h"

enum { BYTES_PER_INSTRUCTION = 16 };

/* Pushes what such a table is made of: tables, strings, integers. */
static void push_value(lua_State *L, const struct ln_value *value)
{
    if (value->type == VALUE_STRING) {
        lua_pushlstring(L, value->string.data, value->string.len);
        return;
    }
    if (value->type == VALUE_INTEGER) {
        lua_pushinteger(L, value->integer);
        return;
    }
    luaL_checkstack(L, 4, "a rule is too deep");
    const struct value_table *table = value->table;
    lua_newtable(L);
    for (size_t i = 0; i < table->n_items; i++) {
        push_value(L, &table->items[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    for (size_t i = 0; i < table->n_entries; i++) {
        push_value(L, &table->entries[i].key);
        push_value(L, &table->entries[i].value);
        lua_rawset(L, -3);
    }
}

static int push_fields(lua_State *L)
{
    push_value(L, lua_touserdata(L, 1));
    return 1;
}

int rule_line_parse(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    budget_charge(L, len / BYTES_PER_INSTRUCTION);
    luaL_checkstack(L, 4, NULL);
    struct arena arena = {0};
    struct ln_value fields;
    int r = rule_parse(text, len, &arena, &fields);
    if (r < 0) {
        arena_free(&arena);
        return r == -EINVAL ? 0 : luaL_error(L, "out of memory");
    }
    lua_pushcfunction(L, push_fields);
    lua_pushlightuserdata(L, &fields);
    int status = lua_pcall(L, 1, 1, 0);
    arena_free(&arena);
    return status == LUA_OK ? 1 : lua_error(L);
}
