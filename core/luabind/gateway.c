/* The class `gateway`: a gateway whose frames and events go to functions of a Lua program.
 *
 * The engine calls back while a method runs, in C that must not be jumped out of. So the functions
 * run protected, in the thread that called the method; the first error is kept, and raised once the
 * engine has returned. */
#include "luabind/gateway.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "luabind/fields.h"
#include "luabind/policy.h"
#include "lunette/gateway.h"

static const char type_name[] = "lunette.gateway";

enum { ON_FRAME = 1, ON_EVENT, ERROR, USER_VALUES = ERROR };
enum { SELF = 1 }; /* where methods have the object on the stack */

struct gateway_object {
    ln_gateway *gateway; /* NULL: closed */
    lua_State *L;        /* of the method that is running; NULL: none */
    bool has_events;
    bool failed; /* a function raised: user value ERROR holds what */
};

struct callback {
    int function; /* number of the user value */
    const ln_frame *frame;
    const ln_event *event;
};

/* ---- events ---- */

static void set_addr(lua_State *L, const char *key, const ln_addr *addr)
{
    if (addr != NULL) {
        char text[LN_ADDR_TEXT_MAX];
        ln_addr_format(addr, text);
        set_string(L, key, text);
    }
}

static void set_addrs(lua_State *L, const char *key, const ln_addr *addrs, size_t n)
{
    if (n == 0) {
        return;
    }
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        char text[LN_ADDR_TEXT_MAX];
        ln_addr_format(&addrs[i], text);
        lua_pushstring(L, text);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, key);
}

static void set_count(lua_State *L, const char *key, uint64_t value)
{
    if (value != 0) {
        lua_pushinteger(L, (lua_Integer)value);
        lua_setfield(L, -2, key);
    }
}

/* The names are those of the JSON form. */
static void push_event(lua_State *L, const ln_event *event)
{
    lua_createtable(L, 0, 16);
    set_string(L, "kind", ln_event_kind_name(event->kind));
    lua_pushnumber(L, (lua_Number)event->time_ms / 1000);
    lua_setfield(L, -2, "time");
    set_string(L, "protocol", event->protocol);
    set_string(L, "direction", event->direction);
    set_addr(L, "src", event->src);
    set_addr(L, "dst", event->dst);
    set_count(L, "src_port", event->src_port);
    set_count(L, "port", event->port);
    set_string(L, "name", event->name);
    set_string(L, "name_from", event->name_from);
    set_string(L, "type", event->type);
    set_string(L, "action", event->action);
    set_count(L, "rule", event->rule);
    set_source(L, event->source_file, event->source_line);
    set_string(L, "reason", event->reason);
    set_string(L, "detail", event->detail);
    set_string(L, "method", event->method);
    set_string(L, "path", event->path);
    set_string(L, "secret", event->secret);
    set_string(L, "place", event->place);
    set_string(L, "tls_version", event->tls_version);
    set_string(L, "alpn", event->alpn);
    set_addrs(L, "addresses", event->addresses, event->n_addresses);
    set_count(L, "status", event->status);
    set_count(L, "count", event->count);
    set_count(L, "bytes_out", event->bytes_out);
    set_count(L, "bytes_in", event->bytes_in);
    set_count(L, "packets_out", event->packets_out);
    set_count(L, "packets_in", event->packets_in);
    set_count(L, "lost", event->lost);
}

/* ---- called by the engine ---- */

/* Runs protected: the function, and the callback as a light userdata. */
static int invoke(lua_State *L)
{
    const struct callback *callback = lua_touserdata(L, 2);
    lua_settop(L, 1);
    if (callback->frame != NULL) {
        lua_pushlstring(L, (const char *)callback->frame->data, callback->frame->len);
    } else {
        push_event(L, callback->event);
    }
    lua_call(L, 1, 0);
    return 0;
}

static int call_back(struct gateway_object *object, struct callback *callback)
{
    lua_State *L = object->L;
    if (L == NULL || object->failed) {
        return -EIO;
    }
    lua_pushcfunction(L, invoke);
    lua_getiuservalue(L, SELF, callback->function);
    lua_pushlightuserdata(L, callback);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        lua_setiuservalue(L, SELF, ERROR);
        object->failed = true;
        return -EIO;
    }
    return 0;
}

static int send_frame(void *user, const ln_frame *frame)
{
    struct callback callback = {.function = ON_FRAME, .frame = frame};
    return call_back(user, &callback);
}

static int on_event(void *user, const ln_event *event)
{
    struct gateway_object *object = user;
    struct callback callback = {.function = ON_EVENT, .event = event};
    return object->has_events ? call_back(object, &callback) : 0;
}

/* ---- methods ---- */

static struct gateway_object *check_open(lua_State *L)
{
    struct gateway_object *object = luaL_checkudata(L, SELF, type_name);
    luaL_argcheck(L, object->gateway != NULL, SELF, "this gateway is closed");
    return object;
}

/* Before a method lets the engine call back. */
static struct gateway_object *enter(lua_State *L)
{
    struct gateway_object *object = check_open(L);
    if (object->L != NULL) {
        luaL_error(L, "a gateway cannot be used inside of its own functions");
    }
    luaL_checkstack(L, 8, "too many nested calls");
    object->L = L;
    return object;
}

/* After it: raises what a function raised, or the engine's error. */
static void leave(struct gateway_object *object, int r)
{
    lua_State *L = object->L;
    object->L = NULL;
    if (object->failed) {
        object->failed = false;
        lua_getiuservalue(L, SELF, ERROR);
        lua_pushnil(L);
        lua_setiuservalue(L, SELF, ERROR);
        lua_error(L);
    }
    if (r < 0) {
        luaL_error(L, "%s", strerror(-r));
    }
}

static int gateway_fd(lua_State *L)
{
    lua_pushinteger(L, ln_gateway_fd(check_open(L)->gateway));
    return 1;
}

/* gw:input(bytes): a frame from the guest */
static int gateway_input(lua_State *L)
{
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    struct gateway_object *object = enter(L);
    ln_frame frame = {.data = (const uint8_t *)data, .len = len};
    leave(object, ln_gateway_input(object->gateway, &frame));
    return 0;
}

static int gateway_dispatch(lua_State *L)
{
    struct gateway_object *object = enter(L);
    leave(object, ln_gateway_dispatch(object->gateway));
    return 0;
}

/* gw:reload(policy) */
static int gateway_reload(lua_State *L)
{
    const struct policy_object *policy = policy_object_check(L, 2);
    struct gateway_object *object = enter(L);
    ln_error error;
    int r = ln_gateway_reload(object->gateway, policy->policy, &error);
    leave(object, 0);
    return r < 0 ? luaL_error(L, "%s", error.message) : 0;
}

/* What the guest is to trust, PEM, or nil. */
static int gateway_trust(lua_State *L)
{
    const ln_gateway *gw = check_open(L)->gateway;
    const char *certificates[] = {ln_gateway_ca(gw), ln_gateway_host_cas(gw)};
    lua_pushliteral(L, "");
    for (size_t i = 0; i < 2; i++) {
        if (certificates[i] != NULL) {
            lua_pushstring(L, certificates[i]);
            lua_concat(L, 2);
        }
    }
    return lua_rawlen(L, -1) > 0;
}

/* Appends to the list on top of the stack. */
static void push_secret(void *user, const ln_secret_status *status)
{
    lua_State *L = user;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, status->secret->env);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, status->placeholder);
    lua_setfield(L, -2, "placeholder");
    lua_pushinteger(L, (lua_Integer)status->age_ms);
    lua_setfield(L, -2, "age_ms");
    lua_pushstring(L, status->failure); /* nil where it is NULL */
    lua_setfield(L, -2, "failure");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int gateway_secrets(lua_State *L)
{
    const ln_gateway *gw = check_open(L)->gateway;
    lua_newtable(L);
    ln_gateway_secrets(gw, push_secret, L);
    return 1;
}

static int gateway_condemned(lua_State *L)
{
    lua_pushstring(L, ln_gateway_condemned(check_open(L)->gateway)); /* nil where it is NULL */
    return 1;
}

static int gateway_stats(lua_State *L)
{
    ln_stats stats;
    ln_gateway_stats(check_open(L)->gateway, &stats);
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"frames_in", stats.frames_in},
        {"frames_out", stats.frames_out},
        {"frame_bytes_in", stats.frame_bytes_in},
        {"frame_bytes_out", stats.frame_bytes_out},
        {"flows_opened", stats.flows_opened},
        {"flows_denied", stats.flows_denied},
        {"flows_evicted", stats.flows_evicted},
        {"flows_now", stats.flows_now},
        {"half_open_now", stats.half_open_now},
        {"udp_sockets_now", stats.udp_sockets_now},
        {"dns_queries", stats.dns_queries},
        {"dns_denied", stats.dns_denied},
        {"events_lost", stats.events_lost},
        {"bytes_out", stats.bytes_out},
        {"bytes_in", stats.bytes_in},
        {"tls_guest_full", stats.tls_guest_full},
        {"tls_guest_resumed", stats.tls_guest_resumed},
        {"tls_server_full", stats.tls_server_full},
        {"tls_server_resumed", stats.tls_server_resumed},
        {"tls_failed", stats.tls_failed},
        {"http_requests", stats.http_requests},
        {"secrets_used", stats.secrets_used},
        {"secret_violations", stats.secret_violations},
    };
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
        lua_pushinteger(L, (lua_Integer)counters[i].value);
        lua_setfield(L, -2, counters[i].name);
    }
    lua_pushboolean(L, stats.used_up);
    lua_setfield(L, -2, "used_up");
    lua_newtable(L);
    const char *name;
    for (unsigned i = 0; (name = ln_drop_name(i)) != NULL; i++) {
        set_count(L, name, stats.drops[i]);
    }
    lua_setfield(L, -2, "drops");
    return 1;
}

static void set_prefix(lua_State *L, const char *key, const ln_addr *addr, unsigned bits)
{
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(addr, text);
    lua_pushfstring(L, "%s/%d", text, (int)bits);
    lua_setfield(L, -2, key);
}

static void set_mac(lua_State *L, const char *key, const uint8_t mac[6])
{
    char text[18];
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    set_string(L, key, text);
}

/* gw:link(): what the guest is to be configured with, where it does not ask for it */
static int gateway_link(lua_State *L)
{
    ln_link link;
    ln_gateway_link(check_open(L)->gateway, &link);
    lua_createtable(L, 0, 9);
    set_mac(L, "gateway_mac", link.gateway_mac);
    set_mac(L, "guest_mac", link.guest_mac);
    set_addr(L, "gateway4", &link.gateway4);
    set_addr(L, "gateway6", &link.gateway6);
    set_prefix(L, "guest4", &link.guest4, link.bits4);
    set_prefix(L, "guest6", &link.guest6, link.bits6);
    set_count(L, "mtu", link.mtu);
    lua_pushboolean(L, link.route4);
    lua_setfield(L, -2, "route4");
    lua_pushboolean(L, link.route6);
    lua_setfield(L, -2, "route6");
    return 1;
}

/* ---- life ---- */

/* gw:close(), also of one that is closed */
static int gateway_close(lua_State *L)
{
    struct gateway_object *object = luaL_checkudata(L, SELF, type_name);
    if (object->gateway != NULL) {
        enter(L);
        object->gateway = ln_gateway_free(object->gateway);
        leave(object, 0);
    }
    return 0;
}

/* A collected gateway tells no more: object->L is NULL. */
static int gateway_gc(lua_State *L)
{
    struct gateway_object *object = luaL_checkudata(L, SELF, type_name);
    object->gateway = ln_gateway_free(object->gateway);
    return 0;
}

static struct gateway_object *push_object(lua_State *L)
{
    struct gateway_object *object = lua_newuserdatauv(L, sizeof(*object), USER_VALUES);
    memset(object, 0, sizeof(*object));
    if (luaL_newmetatable(L, type_name)) {
        static const luaL_Reg methods[] = {
            {"fd", gateway_fd},
            {"input", gateway_input},
            {"dispatch", gateway_dispatch},
            {"reload", gateway_reload},
            {"stats", gateway_stats},
            {"link", gateway_link},
            {"trust", gateway_trust},
            {"secrets", gateway_secrets},
            {"condemned", gateway_condemned},
            {"close", gateway_close},
            {"__close", gateway_close},
            {"__gc", gateway_gc},
            {NULL, NULL},
        };
        luaL_setfuncs(L, methods, 0);
        lua_pushvalue(L, -1);
        lua_setfield(L, -2, "__index");
    }
    lua_setmetatable(L, -2);
    return object;
}

/* Moves the function at field `key` of the options into the object, which is on top. */
static bool take_function(lua_State *L, int options, const char *key, int number)
{
    int type = lua_getfield(L, options, key);
    if (type != LUA_TNIL && type != LUA_TFUNCTION) {
        luaL_error(L, "%s: found %s; accepted: a function", key, luaL_typename(L, -1));
    }
    lua_setiuservalue(L, -2, number);
    return type == LUA_TFUNCTION;
}

int gateway_object_new(lua_State *L)
{
    static const char *const fields[] = {"policy",   "slot",     "mtu", "on_frame",
                                         "on_event", "data_dir", NULL};
    lua_settop(L, 1);
    check_fields(L, 1, fields);
    lua_getfield(L, 1, "policy");
    const struct policy_object *policy = policy_object_check(L, 2);
    ln_config config = {
        .size = sizeof(config),
        .policy = policy->policy,
        .slot = integer_field(L, 1, "slot", UINT16_MAX),
        .mtu = integer_field(L, 1, "mtu", UINT16_MAX),
    };
    if (lua_getfield(L, 1, "data_dir") != LUA_TNIL) {
        config.data_dir = luaL_checkstring(L, -1);
    }
    struct gateway_object *object = push_object(L);
    if (!take_function(L, 1, "on_frame", ON_FRAME)) {
        return luaL_error(L, "on_frame: it is missing; accepted: a function");
    }
    object->has_events = take_function(L, 1, "on_event", ON_EVENT);
    ln_host host = {.size = sizeof(host), .send_frame = send_frame, .on_event = on_event};
    ln_error error;
    if (ln_gateway_new(&config, &host, object, &object->gateway, &error) < 0) {
        return luaL_error(L, "%s", error.message);
    }
    return 1;
}
