/* From a Lua table to a configuration tree. Access is raw: no metamethod runs here. */
#include "luabind/value.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

/* Where a value is written. */
struct place {
    const char *file;
    int line;
};

static int convert(lua_State *L, int index, struct value_source *source, struct place place,
                   int depth, struct ln_value *ret);

static int refuse(struct value_source *source, struct place place, const char *what)
{
    int r = problems_add(source->problems, place.file, place.line, "", NULL, NULL, "%s", what);
    return r < 0 ? r : -EINVAL;
}

/* What it means that the arena gave nothing. */
static int no_room(struct value_source *source, struct place place)
{
    if (source->arena->used < VALUE_BYTES_MAX / 2) {
        return -ENOMEM;
    }
    return refuse(source, place, "the configuration is too large");
}

/* The string field `key` of the table at `index`, or NULL; it lives as long as the table. */
static const char *raw_string(lua_State *L, int index, const char *key)
{
    lua_pushstring(L, key);
    const char *text = lua_rawget(L, index) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return text;
}

static int raw_line(lua_State *L, int index, const char *key)
{
    lua_pushstring(L, key);
    lua_rawget(L, index);
    int line = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return line;
}

/* Reads the mark of the table at `table`, if it has one: its place, its origin; pushes the table of
 * its fields' lines, or nil. */
static int push_lines(lua_State *L, int table, struct value_source *source, struct place *place,
                      const char **ret_origin)
{
    lua_pushvalue(L, table);
    if (lua_rawget(L, source->marks) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_pushnil(L);
        return 0;
    }
    int mark = lua_gettop(L);
    const char *file = raw_string(L, mark, "file");
    const char *origin = raw_string(L, mark, "origin");
    int line = raw_line(L, mark, "line");
    if (file != NULL && (place->file == NULL || strcmp(file, place->file) != 0)) {
        place->file = arena_strndup(source->arena, file, strlen(file));
        if (place->file == NULL) {
            return no_room(source, *place);
        }
        place->line = 0;
    }
    place->line = line > 0 ? line : place->line;
    if (origin != NULL) {
        *ret_origin = arena_strndup(source->arena, origin, strlen(origin));
        if (*ret_origin == NULL) {
            return no_room(source, *place);
        }
    }
    lua_pushliteral(L, "lines");
    lua_rawget(L, mark);
    lua_remove(L, mark);
    return 0;
}

/* The place of a field: that of its table, with the line of the key on top of the stack if known.
 */
static struct place place_of(lua_State *L, int lines, struct place table)
{
    if (lua_istable(L, lines)) {
        lua_pushvalue(L, -1);
        lua_rawget(L, lines);
        int line = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
        table.line = line > 0 ? line : table.line;
    }
    return table;
}

static size_t count_items(lua_State *L, int table)
{
    size_t n = 0;
    while (lua_rawgeti(L, table, (lua_Integer)n + 1) != LUA_TNIL) {
        lua_pop(L, 1);
        n++;
    }
    lua_pop(L, 1);
    return n;
}

/* Whether the key at `index` is one of the items 1..n_items. */
static bool is_item(lua_State *L, int index, size_t n_items)
{
    lua_Integer key = lua_isinteger(L, index) ? lua_tointeger(L, index) : 0;
    return key >= 1 && (lua_Unsigned)key <= n_items;
}

static size_t count_entries(lua_State *L, int table, size_t n_items)
{
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        lua_pop(L, 1);
        n += !is_item(L, -1, n_items);
    }
    return n;
}

static int convert_items(lua_State *L, int table, int lines, struct value_source *source,
                         struct place place, int depth, struct value_table *ret)
{
    for (size_t i = 0; i < ret->n_items; i++) {
        lua_pushinteger(L, (lua_Integer)i + 1);
        struct place at = place_of(L, lines, place);
        lua_rawget(L, table);
        int r = convert(L, lua_gettop(L), source, at, depth, &ret->items[i]);
        if (r < 0) {
            return r;
        }
        lua_pop(L, 1);
    }
    return 0;
}

static int convert_entries(lua_State *L, int table, int lines, struct value_source *source,
                           struct place place, int depth, struct value_table *ret)
{
    size_t i = 0;
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        if (!is_item(L, -2, ret->n_items)) {
            int value = lua_gettop(L);
            lua_pushvalue(L, -2);
            struct place at = place_of(L, lines, place);
            struct value_entry *entry = &ret->entries[i++];
            /* A table as a key is wrong whatever is in it. */
            int r = convert(L, value + 1, source, at, VALUE_DEPTH_MAX + 1, &entry->key);
            r = r < 0 ? r : convert(L, value, source, at, depth, &entry->value);
            if (r < 0) {
                return r;
            }
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return 0;
}

static int convert_table(lua_State *L, int index, struct value_source *source, struct place place,
                         int depth, struct ln_value *ret)
{
    luaL_checkstack(L, 16, "too many nested tables");
    struct value_table *table = arena_alloc(source->arena, sizeof(*table));
    if (table == NULL) {
        return no_room(source, place);
    }
    int r = push_lines(L, index, source, &place, &table->origin);
    if (r < 0) {
        return r;
    }
    int lines = lua_gettop(L);
    table->n_items = count_items(L, index);
    table->n_entries = count_entries(L, index, table->n_items);
    table->items = arena_array(source->arena, table->n_items, sizeof(*table->items));
    table->entries = arena_array(source->arena, table->n_entries, sizeof(*table->entries));
    if (table->items == NULL || table->entries == NULL) {
        return no_room(source, place);
    }
    *ret = (struct ln_value){
        .type = VALUE_TABLE, .line = place.line, .file = place.file, .table = table};
    r = convert_items(L, index, lines, source, place, depth + 1, table);
    r = r < 0 ? r : convert_entries(L, index, lines, source, place, depth + 1, table);
    lua_settop(L, lines - 1);
    return r;
}

static int convert_string(lua_State *L, int index, struct value_source *source, struct place place,
                          struct ln_value *ret)
{
    ret->type = VALUE_STRING;
    const char *data = lua_tolstring(L, index, &ret->string.len);
    ret->string.data = arena_strndup(source->arena, data, ret->string.len);
    return ret->string.data == NULL ? no_room(source, place) : 0;
}

static void convert_number(lua_State *L, int index, struct ln_value *ret)
{
    if (lua_isinteger(L, index)) {
        ret->type = VALUE_INTEGER;
        ret->integer = lua_tointeger(L, index);
    } else {
        ret->type = VALUE_NUMBER;
        ret->number = lua_tonumber(L, index);
    }
}

/* `depth` beyond VALUE_DEPTH_MAX: for keys, in which tables are not looked into. */
static int convert(lua_State *L, int index, struct value_source *source, struct place place,
                   int depth, struct ln_value *ret)
{
    *ret = (struct ln_value){.type = VALUE_NIL, .line = place.line, .file = place.file};
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return 0;
    case LUA_TBOOLEAN:
        ret->type = VALUE_BOOLEAN;
        ret->boolean = lua_toboolean(L, index);
        return 0;
    case LUA_TNUMBER:
        convert_number(L, index, ret);
        return 0;
    case LUA_TSTRING:
        return convert_string(L, index, source, place, ret);
    case LUA_TFUNCTION:
        ret->type = VALUE_FUNCTION;
        ret->function = ++source->n_functions;
        lua_pushvalue(L, index);
        lua_rawseti(L, source->functions, source->n_functions);
        return 0;
    case LUA_TTABLE:
        if (depth < VALUE_DEPTH_MAX) {
            return convert_table(L, index, source, place, depth, ret);
        }
        if (depth == VALUE_DEPTH_MAX) {
            return refuse(source, place, "tables are nested too deep (does one contain itself?)");
        }
        break;
    default:
        break;
    }
    ret->type = VALUE_OTHER;
    return 0;
}

int value_from_lua(lua_State *L, int index, struct value_source *source, struct ln_value *ret)
{
    return convert(L, index, source, (struct place){0}, 0, ret);
}
