/* Patterns with a bound match what Lua's own match, capture for capture, and end in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "luabind/budget.h"
#include "luabind/strings.h"

/* A state with Lua's own `string` and ours as `bounded`. */
static int setup(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    budget_prepare(L);
    lua_newtable(L);
    luaL_setfuncs(L, strings_functions, 0);
    lua_setglobal(L, "bounded");
    *state = L;
    return 0;
}

static int teardown(void **state)
{
    lua_close(*state);
    return 0;
}

static void run(lua_State *L, const char *source)
{
    if (luaL_dostring(L, source) != LUA_OK) {
        fail_msg("%s", lua_tostring(L, -1));
    }
    lua_settop(L, 0);
}

/* Compares everything that both give, errors too but for their wording. */
static const char compare[] =
    "function same(name, ...)\n"
    "  local a = table.pack(pcall(string[name], ...))\n"
    "  local b = table.pack(pcall(bounded[name], ...))\n"
    "  if name == 'gmatch' and a[1] and b[1] then\n"
    "    a, b = { true }, { true }\n"
    "    local args = table.pack(...)\n"
    "    local ok = pcall(function() for x, y in string.gmatch(table.unpack(args)) do\n"
    "      a[#a + 1] = tostring(x) .. '|' .. tostring(y) end end)\n"
    "    local ok2 = pcall(function() for x, y in bounded.gmatch(table.unpack(args)) do\n"
    "      b[#b + 1] = tostring(x) .. '|' .. tostring(y) end end)\n"
    "    a[1], b[1], a.n, b.n = ok, ok2, #a, #b\n"
    "  end\n"
    "  if not a[1] then a, b = { false, n = 1 }, { b[1], n = 1 } end\n"
    "  local equal = a.n == b.n\n"
    "  for i = 1, a.n do equal = equal and a[i] == b[i] end\n"
    "  if not equal then\n"
    "    local args = {}\n"
    "    for i, v in ipairs{...} do args[i] = string.format('%q', tostring(v)) end\n"
    "    local left, right = {}, {}\n"
    "    for i = 1, a.n do left[i] = tostring(a[i]) end\n"
    "    for i = 1, b.n do right[i] = tostring(b[i]) end\n"
    "    error(name .. '(' .. table.concat(args, ', ') .. '): ' .. table.concat(left, ',')\n"
    "      .. ' and ' .. table.concat(right, ','))\n"
    "  end\n"
    "end\n";

static void test_known_cases_match_as_in_lua(void **state)
{
    run(*state, compare);
    run(*state,
        "same('find', 'hello', 'l+') same('find', 'hello', 'l', 1, true)\n"
        "same('find', '', '') same('find', 'abc', '', 10) same('find', 'abc', 'b', -2)\n"
        "same('find', 'a.b', '.', 1, true) same('find', 'a\\0b', '\\0') same('find', 'x', '[]]')\n"
        "same('match', ']', '[]]') same('match', 'a-b', '[a%-]+') same('match', '^', '[%^x]')\n"
        "same('match', 'key = value', '^(%w+)%s*=%s*(%w+)$') same('match', '  x  ', "
        "'^%s*(.-)%s*$')\n"
        "same('match', 'THE (quick) fox', '%((%a+)%)') same('match', 'f(a(b)c)d', '%b()')\n"
        "same('gsub', 'THE (quick) fox', '%f[%a]%a+', '<%0>') same('match', 'abab', '(a)(b)%1%2')\n"
        "same('gsub', 'hello world', 'o', '0', 1) same('gsub', 'abc', '', '-')\n"
        "same('gsub', 'abc', '%w', '%%%0') same('gsub', 'abc', '%w', '%2')\n"
        "same('gsub', 'abc', '(b)()', '%2') same('gsub', 'abc', '^a', 'x') same('gsub', 'aaa', "
        "'^a', 'x')\n"
        "same('gsub', 'abc', 'b', { b = 'x' }) same('gsub', 'abc', '.', { b = false })\n"
        "same('gsub', 'abc', '.', function(c) if c == 'b' then return 7 end end)\n"
        "same('gsub', 'abc', '.', function() return {} end) same('gsub', 'abc', '.', '%')\n"
        "same('gmatch', 'a,b,,c', '([^,]*)') same('gmatch', 'k=v;l=w', '(%w)=(%w)')\n"
        "same('gmatch', '^a^a', '^a') same('gmatch', 'abc', '.', -2) same('gmatch', 'abc', '()')\n"
        "same('find', 'a', '[') same('find', 'a', '%') same('find', 'a', '(') same('find', 'a', "
        "')')\n"
        "same('find', 'a', '%b') same('find', 'a', '%f') same('find', 'a', '%1') same('find', 'a', "
        "'[a')\n"
        "same('find', 'a', '[%') same('find', 'a', '(a') same('match', 'aa', '(a%1)')\n"
        "same('rep', 'ab', 3) same('rep', 'ab', 3, ',') same('rep', '', 10) same('rep', 'x', -1)\n"
        "same('rep', 'x', 1, ',') same('find', 'abc', 'b', nil, true) same('find', 'abc', 'b', "
        "{})\n");
}

static void test_random_patterns_match_as_in_lua(void **state)
{
    run(*state, compare);
    run(*state,
        "math.randomseed(7)\n"
        "local pieces = { 'a', 'b', '.', '%a', '%d', '%W', '[ab]', '[^a]', '[a-c]', '[%d-]', '()', "
        "'(',\n"
        "  ')', '*', '+', '-', '?', '^', '$', '%b()', '%f[%a]', '%1', '%%', '[]]', '[^]b]', '\\0', "
        "'c' }\n"
        "local bytes = { 'a', 'b', 'c', '1', '(', ')', ']', '-', ' ', '\\0', '\\xe9', 'B' }\n"
        "local function make(set, most)\n"
        "  local t = {}\n"
        "  for i = 1, math.random(0, most) do t[i] = set[math.random(#set)] end\n"
        "  return table.concat(t)\n"
        "end\n"
        "for i = 1, 60000 do\n"
        "  local s, p, at = make(bytes, 12), make(pieces, 6), math.random(-3, 5)\n"
        "  same('find', s, p, at)\n"
        "  same('match', s, p, at)\n"
        "  same('gsub', s, p, '<%0>')\n"
        "  same('gmatch', s, p)\n"
        "end\n");
}

/* Runs `source` on a budget. Returns the error, or NULL when there is none. */
static const char *bounded_run(lua_State *L, const char *source)
{
    assert_int_equal(luaL_loadstring(L, source), LUA_OK);
    struct budget budget;
    budget_start(L, &budget, 10 * 1000 * 1000, 60000);
    int status = lua_pcall(L, 0, 0, 0);
    budget_stop(L, &budget);
    return status == LUA_OK ? NULL : lua_tostring(L, -1);
}

static void test_a_match_that_backtracks_for_ever_is_ended(void **state)
{
    static const char *const sources[] = {
        "bounded.find(('a'):rep(1000), ('.-'):rep(20) .. 'b')",
        "bounded.find(('a'):rep(1000), ('a*'):rep(20) .. 'b')",
        "bounded.match(('a'):rep(1000), ('(a?)'):rep(30) .. ('a?'):rep(30) .. 'b')",
        "bounded.gsub(('a'):rep(100000), '.-b', '')",
        "for _ in bounded.gmatch(('a'):rep(100000), '(.-)(.-)b') do end",
        "bounded.gsub(('x'):rep(100000), '(y*)', ('%1'):rep(1000000))",
        "bounded.find(('('):rep(100000), '%b()')",
        "bounded.find(('b'):rep(100000), '[' .. ('a'):rep(100000) .. ']')",
        "bounded.find(('a'):rep(100000), '(' .. ('a'):rep(49000) .. ')%1b')",
    };
    lua_State *L = *state;
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        const char *error = bounded_run(L, sources[i]);
        assert_non_null(error);
        assert_non_null(strstr(error, "too many instructions"));
        lua_settop(L, 0);
    }
}

static void test_repeating_nothing_ends_at_once(void **state)
{
    assert_null(bounded_run(*state, "assert(bounded.rep('', 1 << 62) == '')"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_known_cases_match_as_in_lua, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_patterns_match_as_in_lua, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_match_that_backtracks_for_ever_is_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_repeating_nothing_ends_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
