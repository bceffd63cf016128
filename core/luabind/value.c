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
    const char *origin; /* of this value only: ln_value's */
};

/* Stack indexes of what the mark of a table says of its fields: tables, or nil. */
struct fields_marks {
    int lines, files, origins;
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

/* Copies the string on top of the stack, which it pops; NULL where it is none. Returns 0 or as
 * no_room(). */
static int take_string(lua_State *L, struct value_source *source, struct place place,
                       const char **ret)
{
    size_t len;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (text != NULL) {
        *ret = arena_strndup(source->arena, text, len);
    }
    lua_pop(L, 1);
    return text != NULL && *ret == NULL ? no_room(source, place) : 0;
}

/* Takes the file on top of the stack, which it pops, over into `place`. The line there is of no
 * other file. */
static int take_file(lua_State *L, struct value_source *source, struct place *place)
{
    const char *file = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (file == NULL || (place->file != NULL && strcmp(file, place->file) == 0)) {
        lua_pop(L, 1);
        return 0;
    }
    place->line = 0;
    if (source->file != NULL && strcmp(file, source->file) == 0) {
        lua_pop(L, 1);
    } else {
        int r = take_string(L, source, *place, &source->file);
        if (r < 0) {
            return r;
        }
    }
    place->file = source->file;
    return 0;
}

static void take_line(lua_State *L, struct place *place)
{
    int line = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    place->line = line > 0 ? line : place->line;
}

static void push_raw(lua_State *L, int table, const char *key)
{
    lua_pushstring(L, key);
    lua_rawget(L, table);
}

/* Reads the mark of the table at `table`, if it has one: its place; and pushes what it says of the
 * fields. */
static int push_marks(lua_State *L, int table, struct value_source *source, struct place *place,
                      struct fields_marks *ret)
{
    lua_pushvalue(L, table);
    bool marked = lua_rawget(L, source->marks) == LUA_TTABLE;
    int mark = lua_gettop(L);
    *ret = (struct fields_marks){mark + 1, mark + 2, mark + 3};
    if (!marked) {
        lua_settop(L, mark + 3);
        return 0;
    }
    push_raw(L, mark, "file");
    int r = take_file(L, source, place);
    if (r < 0) {
        return r;
    }
    push_raw(L, mark, "line");
    take_line(L, place);
    push_raw(L, mark, "lines");
    push_raw(L, mark, "files");
    push_raw(L, mark, "origins");
    return 0;
}

/* Pushes what a table of a mark says of the field whose key is on top of the stack. False: there is
 * no such table. */
static bool push_mark(lua_State *L, int marks)
{
    if (!lua_istable(L, marks)) {
        return false;
    }
    lua_pushvalue(L, -1);
    lua_rawget(L, marks);
    return true;
}

/* The place of a field, whose key is on top of the stack: that of its table, as far as the table's
 * mark does not know better. */
static int place_of(lua_State *L, const struct fields_marks *marks, struct value_source *source,
                    struct place table, struct place *ret)
{
    *ret = table;
    ret->origin = NULL;
    int r = push_mark(L, marks->files) ? take_file(L, source, ret) : 0;
    if (r == 0 && push_mark(L, marks->lines)) {
        take_line(L, ret);
    }
    if (r == 0 && push_mark(L, marks->origins)) {
        r = take_string(L, source, *ret, &ret->origin);
    }
    return r;
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

static int convert_items(lua_State *L, int table, const struct fields_marks *marks,
                         struct value_source *source, struct place place, int depth,
                         struct value_table *ret)
{
    for (size_t i = 0; i < ret->n_items; i++) {
        lua_pushinteger(L, (lua_Integer)i + 1);
        struct place at;
        int r = place_of(L, marks, source, place, &at);
        if (r < 0) {
            return r;
        }
        lua_rawget(L, table);
        r = convert(L, lua_gettop(L), source, at, depth, &ret->items[i]);
        if (r < 0) {
            return r;
        }
        lua_pop(L, 1);
    }
    return 0;
}

static int convert_entries(lua_State *L, int table, const struct fields_marks *marks,
                           struct value_source *source, struct place place, int depth,
                           struct value_table *ret)
{
    size_t i = 0;
    lua_pushnil(L);
    while (lua_next(L, table) != 0) {
        if (!is_item(L, -2, ret->n_items)) {
            int value = lua_gettop(L);
            lua_pushvalue(L, -2);
            struct place at;
            int r = place_of(L, marks, source, place, &at);
            struct value_entry *entry = &ret->entries[i++];
            /* A table as a key is wrong whatever is in it. */
            r = r < 0 ? r : convert(L, value + 1, source, at, VALUE_DEPTH_MAX + 1, &entry->key);
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
    int top = lua_gettop(L);
    struct fields_marks marks;
    int r = push_marks(L, index, source, &place, &marks);
    if (r < 0) {
        return r;
    }
    table->n_items = count_items(L, index);
    table->n_entries = count_entries(L, index, table->n_items);
    table->items = arena_array(source->arena, table->n_items, sizeof(*table->items));
    table->entries = arena_array(source->arena, table->n_entries, sizeof(*table->entries));
    if (table->items == NULL || table->entries == NULL) {
        return no_room(source, place);
    }
    *ret = (struct ln_value){.type = VALUE_TABLE,
                             .line = place.line,
                             .file = place.file,
                             .origin = place.origin,
                             .table = table};
    r = convert_items(L, index, &marks, source, place, depth + 1, table);
    r = r < 0 ? r : convert_entries(L, index, &marks, source, place, depth + 1, table);
    lua_settop(L, top);
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
    *ret = (struct ln_value){
        .type = VALUE_NIL, .line = place.line, .file = place.file, .origin = place.origin};
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
