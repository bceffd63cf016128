/* Lists of problems between C and Lua. */
#include "luabind/problems.h"

#include <lauxlib.h>

/* The string field of the table on top of the stack, left on it, or NULL. */
static const char *push_field(lua_State *L, int table, const char *key)
{
    return lua_getfield(L, table, key) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
}

int problems_from_lua(lua_State *L, int index, ln_problems *problems)
{
    int r = 0;
    lua_Integer count = (lua_Integer)lua_rawlen(L, index);
    for (lua_Integer i = 1; i <= count && r == 0; i++) {
        lua_rawgeti(L, index, i);
        int problem = lua_gettop(L);
        const char *file = push_field(L, problem, "file");
        const char *field = push_field(L, problem, "field");
        const char *found = push_field(L, problem, "found");
        const char *accepted = push_field(L, problem, "accepted");
        const char *message = push_field(L, problem, "message");
        lua_getfield(L, problem, "line");
        r = problems_add(problems, file, (int)lua_tointeger(L, -1), field != NULL ? field : "",
                         found, accepted, "%s", message != NULL ? message : "");
        lua_settop(L, problem - 1);
    }
    return r;
}

static void set_string(lua_State *L, const char *key, const char *value)
{
    if (value != NULL) {
        lua_pushstring(L, value);
        lua_setfield(L, -2, key);
    }
}

void problems_push(lua_State *L, const ln_problems *problems)
{
    size_t count = ln_problems_count(problems);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        const ln_problem *problem = ln_problems_get(problems, i);
        lua_createtable(L, 0, 7);
        set_string(L, "file", problem->file);
        set_string(L, "field", problem->field);
        set_string(L, "found", problem->found);
        set_string(L, "accepted", problem->accepted);
        set_string(L, "message", problem->message);
        if (problem->line > 0) {
            lua_pushinteger(L, problem->line);
            lua_setfield(L, -2, "line");
        }
        char text[1024];
        ln_problem_format(problem, text, sizeof(text));
        set_string(L, "text", text);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}
