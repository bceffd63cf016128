/* The functions of `string` that could run long inside C: find, match, gmatch, gsub, and rep. */
#include "luabind/strings.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "luabind/budget.h"
#include "luabind/pattern.h"
#include "luabind/sandbox.h"

/* The offset that the argument `arg` means: 1-based, or from the end when negative. */
static size_t start_offset(lua_State *L, int arg, size_t len)
{
    lua_Integer at = luaL_optinteger(L, arg, 1);
    if (at > 0) {
        return (size_t)at - 1;
    }
    if (at == 0 || at < -(lua_Integer)len) {
        return 0;
    }
    return len - (size_t)-at;
}

static int find_plain(lua_State *L, const char *subject, size_t len, size_t from,
                      const char *wanted, size_t wanted_len)
{
    const char *found = memmem(subject + from, len - from, wanted, wanted_len);
    if (found == NULL) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (ptrdiff_t)wanted_len);
    return 2;
}

static bool has_specials(const char *pattern, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (pattern[i] != '\0' && strchr("^$*+?.([%-", pattern[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t len, pattern_len;
    const char *subject = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    size_t from = start_offset(L, 3, len);
    if (from > len) {
        luaL_pushfail(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(pattern, pattern_len))) {
        return find_plain(L, subject, len, from, pattern, pattern_len);
    }
    bool anchored = pattern_len > 0 && *pattern == '^';
    struct pattern m;
    pattern_init(&m, L, subject, len, pattern + anchored, pattern_len - anchored);
    const char *s = subject + from, *end;
    while ((end = pattern_match(&m, s)) == NULL && s < m.subject_end && !anchored) {
        s++;
    }
    pattern_done(&m);
    if (end == NULL) {
        luaL_pushfail(L);
        return 1;
    }
    if (!find) {
        return pattern_push_captures(&m, s, end);
    }
    lua_pushinteger(L, s - subject + 1);
    lua_pushinteger(L, end - subject);
    return pattern_push_captures(&m, NULL, NULL) + 2;
}

static int string_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* What gmatch() walks with. The strings are upvalues of the iterator beside it. */
struct walk {
    struct pattern m;
    const char *at;       /* where the next match may start; behind the subject: nowhere */
    const char *last_end; /* of the match before: an empty one there is none */
    bool anchored;
};

/* The next match, from *ret_start to the returned end, or NULL. */
static const char *walk_next(struct walk *walk, const char **ret_start)
{
    const char *s = walk->at, *end = NULL;
    while (s <= walk->m.subject_end) {
        end = pattern_match(&walk->m, s);
        end = end == walk->last_end ? NULL : end;
        if (end != NULL || walk->anchored) {
            break;
        }
        s++;
    }
    pattern_done(&walk->m);
    *ret_start = s;
    walk->last_end = end;
    walk->at = end == NULL || walk->anchored ? walk->m.subject_end + 1 : end;
    return end;
}

static int gmatch_next(lua_State *L)
{
    struct walk *walk = lua_touserdata(L, lua_upvalueindex(3));
    walk->m.L = L;
    const char *start;
    const char *end = walk_next(walk, &start);
    return end == NULL ? 0 : pattern_push_captures(&walk->m, start, end);
}

static int string_gmatch(lua_State *L)
{
    size_t len, pattern_len;
    const char *subject = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    size_t from = start_offset(L, 3, len);
    lua_settop(L, 2);
    struct walk *walk = lua_newuserdatauv(L, sizeof(*walk), 0);
    pattern_init(&walk->m, L, subject, len, pattern, pattern_len);
    walk->at = subject + (from > len ? len + 1 : from);
    walk->last_end = NULL;
    walk->anchored = false; /* here `^` is a character */
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* Adds gsub's replacement string, its %0 to %9 filled in. */
static void add_template(struct pattern *m, luaL_Buffer *buffer, const char *s, const char *end)
{
    size_t len;
    const char *text = lua_tolstring(m->L, 3, &len);
    budget_charge(m->L, len); /* what it adds may be empty, so memory is no bound */
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            luaL_addchar(buffer, text[i]);
            continue;
        }
        i++;
        if (i < len && text[i] == '%') {
            luaL_addchar(buffer, '%');
        } else if (i < len && text[i] == '0') {
            luaL_addlstring(buffer, s, (size_t)(end - s));
        } else if (i < len && isdigit((unsigned char)text[i])) {
            pattern_push_capture(m, text[i] - '1', s, end);
            luaL_tolstring(m->L, -1, NULL); /* a position is a number */
            lua_remove(m->L, -2);
            luaL_addvalue(buffer);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Adds what gsub's table or function gives for a match. */
static void add_looked_up(struct pattern *m, luaL_Buffer *buffer, const char *s, const char *end)
{
    lua_State *L = m->L;
    if (lua_type(L, 3) == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, pattern_push_captures(m, s, end), 1);
    } else {
        pattern_push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(buffer, s, (size_t)(end - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    } else {
        luaL_addvalue(buffer);
    }
}

static int string_gsub(lua_State *L)
{
    size_t len, pattern_len;
    const char *subject = luaL_checklstring(L, 1, &len);
    const char *pattern = luaL_checklstring(L, 2, &pattern_len);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE ||
                         type == LUA_TFUNCTION,
                     3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)len + 1);
    bool anchored = pattern_len > 0 && *pattern == '^';
    struct walk walk = {.at = subject, .anchored = anchored};
    pattern_init(&walk.m, L, subject, len, pattern + anchored, pattern_len - anchored);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    const char *copied = subject, *start, *end; /* the subject is in the buffer up to `copied` */
    lua_Integer count = 0;
    while (count < most && (end = walk_next(&walk, &start)) != NULL) {
        luaL_addlstring(&buffer, copied, (size_t)(start - copied));
        if (type == LUA_TTABLE || type == LUA_TFUNCTION) {
            add_looked_up(&walk.m, &buffer, start, end);
        } else {
            add_template(&walk.m, &buffer, start, end);
        }
        copied = end;
        count++;
    }
    luaL_addlstring(&buffer, copied, (size_t)(walk.m.subject_end - copied));
    luaL_pushresult(&buffer);
    lua_pushinteger(L, count);
    return 2;
}

static int string_rep(lua_State *L)
{
    size_t len, separator_len;
    const char *text = luaL_checklstring(L, 1, &len);
    lua_Integer count = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &separator_len);
    if (count <= 0 || len + separator_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((size_t)count > SANDBOX_STRING_MAX / (len + separator_len)) {
        return luaL_error(L, "resulting string too large");
    }
    budget_charge(L, (uint64_t)count);
    luaL_Buffer buffer;
    luaL_buffinitsize(L, &buffer, (size_t)count * (len + separator_len));
    for (lua_Integer i = 0; i < count; i++) {
        if (i > 0) {
            luaL_addlstring(&buffer, separator, separator_len);
        }
        luaL_addlstring(&buffer, text, len);
    }
    luaL_pushresult(&buffer);
    return 1;
}

const luaL_Reg strings_functions[] = {
    {"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch},
    {"gsub", string_gsub}, {"rep", string_rep},     {NULL, NULL},
};
