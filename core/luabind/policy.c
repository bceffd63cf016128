/* The class `policy`: what a policy says about a connection, a DNS query, an answer. */
#include "luabind/policy.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <time.h>

#include "base/host.h"
#include "luabind/budget.h"
#include "luabind/fields.h"
#include "luabind/request.h"

enum { MEASURE_MAX = 1000000 }; /* rounds */

static const char type_name[] = "lunette.policy";

/* ---- arguments ---- */

static ln_addr check_addr(lua_State *L, int index, const char *what)
{
    size_t len;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
    ln_addr addr = {{0}};
    if (text == NULL) {
        luaL_error(L, "%s: found %s; accepted: an IP address", what, luaL_typename(L, index));
    } else if (ln_addr_parse(text, len, &addr) < 0) {
        luaL_error(L, "%s: found \"%s\"; accepted: an IP address", what, text);
    }
    return addr;
}

static ln_addr addr_field(lua_State *L, int index, const char *key)
{
    lua_getfield(L, index, key);
    return check_addr(L, -1, key);
}

/* The string at `index` as a canonical name. */
static void check_name(lua_State *L, int index, const char *what, char dst[LN_NAME_MAX + 1])
{
    size_t len;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &len) : NULL;
    const char *why = "is not valid";
    if (text == NULL) {
        luaL_error(L, "%s: found %s; accepted: a host name", what, luaL_typename(L, index));
    } else if (ln_name_canonical(text, len, dst, &why) < 0) {
        luaL_error(L, "%s: \"%s\" is no host name: %s", what, text, why);
    }
}

/* The field `key` as one of n names; `fallback` where it is not there. */
static unsigned choice_field(lua_State *L, int index, const char *key, const char *fallback,
                             const char *const *choices)
{
    const char *text = string_field(L, index, key, fallback);
    for (unsigned i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], text) == 0) {
            return i;
        }
    }
    return (unsigned)luaL_error(L, "%s: \"%s\" is not known", key, text);
}

/* An address or a list of them. Returns how many. */
static size_t addr_list(lua_State *L, int index, const char *what,
                        ln_addr addrs[POLICY_GATEWAY_MAX])
{
    if (lua_isnoneornil(L, index)) {
        return 0;
    }
    if (!lua_istable(L, index)) {
        addrs[0] = check_addr(L, index, what);
        return 1;
    }
    size_t count = (size_t)lua_rawlen(L, index);
    if (count > POLICY_GATEWAY_MAX) {
        luaL_error(L, "%s: more than %d addresses", what, POLICY_GATEWAY_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        addrs[i] = check_addr(L, -1, what);
        lua_pop(L, 1);
    }
    return count;
}

/* ---- results ---- */

static void set_rule_source(lua_State *L, const ln_rule *rule)
{
    set_source(L, rule->file, rule->line);
}

/* Pushes a decision as a table. */
static void push_decision(lua_State *L, const ln_policy *policy, const ln_decision *decision)
{
    lua_createtable(L, 0, 5);
    set_string(L, "action", ln_action_name(decision->action));
    set_string(L, "reason", ln_reason_name(decision->reason));
    if (decision->rule > 0) {
        lua_pushinteger(L, decision->rule);
        lua_setfield(L, -2, "rule");
        set_rule_source(L, ln_policy_rule(policy, decision->rule));
    }
    if (decision->inspect) {
        lua_pushboolean(L, true);
        lua_setfield(L, -2, "inspect");
    }
    if (decision->reason == LN_REASON_HANDLER_ERROR) {
        set_string(L, "error", ln_policy_handler_error(policy));
    }
}

/* Where an explanation is kept while it is made: no Lua code runs in between. */
struct steps {
    uint8_t *misses; /* by rule, from 1 on */
    uint32_t count;
};

static void keep_step(void *user, uint32_t rule, ln_miss miss)
{
    struct steps *steps = user;
    steps->misses[rule] = (uint8_t)miss;
    steps->count = rule;
}

/* Room for an explanation where the argument table asks for one by `trace = true`; else NULL. It is
 * on the stack and lives as long. */
static const ln_trace *push_trace(lua_State *L, int arguments, const ln_policy *policy,
                                  struct steps *steps, ln_trace *trace)
{
    lua_getfield(L, arguments, "trace");
    if (!lua_toboolean(L, -1)) {
        return NULL;
    }
    steps->misses = lua_newuserdatauv(L, ln_policy_rule_count(policy) + 1, 0);
    steps->count = 0;
    *trace = (ln_trace){.step = keep_step, .user = steps};
    return trace;
}

/* Sets the field `trace` of the decision on top of the stack. */
static void set_trace(lua_State *L, const ln_policy *policy, const struct steps *steps)
{
    lua_createtable(L, (int)steps->count, 0);
    for (uint32_t i = 1; i <= steps->count; i++) {
        ln_miss miss = (ln_miss)steps->misses[i];
        lua_createtable(L, 0, 4);
        lua_pushinteger(L, i);
        lua_setfield(L, -2, "rule");
        lua_pushboolean(L, miss == LN_MATCHED);
        lua_setfield(L, -2, "matched");
        set_string(L, "why", ln_miss_name(miss));
        set_rule_source(L, ln_policy_rule(policy, i));
        lua_rawseti(L, -2, i);
    }
    lua_setfield(L, -2, "trace");
}

/* ---- methods ---- */

struct policy_object *policy_object_check(lua_State *L, int index)
{
    struct policy_object *object = luaL_checkudata(L, index, type_name);
    luaL_argcheck(L, object->policy != NULL, index, "this policy is closed");
    return object;
}

/* Pins the address on top of the stack, and pops it. */
static void pin(lua_State *L, struct policy_object *object, const char *name)
{
    ln_addr addr = check_addr(L, -1, "addresses");
    int r = ln_pins_add(object->pins, name, &addr, 0, UINT64_MAX);
    if (r < 0) {
        luaL_error(L, "pin: %s", strerror(-r));
    }
    lua_pop(L, 1);
}

/* p:pin(name, addresses): one or a list */
static int policy_pin(lua_State *L)
{
    struct policy_object *object = policy_object_check(L, 1);
    char name[LN_NAME_MAX + 1];
    check_name(L, 2, "name", name);
    lua_settop(L, 3);
    if (!lua_istable(L, 3)) {
        pin(L, object, name);
        return 0;
    }
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 3); i++) {
        lua_rawgeti(L, 3, i);
        pin(L, object, name);
    }
    return 0;
}

/* p:unpin(name): whether it was pinned */
static int policy_unpin(lua_State *L)
{
    struct policy_object *object = policy_object_check(L, 1);
    char name[LN_NAME_MAX + 1];
    check_name(L, 2, "name", name);
    lua_pushboolean(L, ln_pins_revoke(object->pins, name));
    return 1;
}

/* Reads `sni`: absent, false for not known yet, or a name, which goes to `name`. */
static void read_sni(lua_State *L, int arguments, ln_query *query, char name[LN_NAME_MAX + 1])
{
    int type = lua_getfield(L, arguments, "sni");
    if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1)) {
        query->name_state = LN_NAME_UNKNOWN;
    } else if (type != LUA_TNIL) {
        check_name(L, -1, "sni", name);
        query->name_state = LN_NAME_SHOWN;
        query->claimed = name;
    }
}

static const char *const protocols[] = {"tcp", "udp", "icmpv4", "icmpv6", NULL};
static const char *const directions[] = {"egress", "ingress", NULL};

/* Pushes the decision, with its explanation where one was asked for. */
static int push_answer(lua_State *L, const ln_policy *policy, const ln_decision *decision,
                       const ln_trace *trace)
{
    push_decision(L, policy, decision);
    if (trace != NULL) {
        set_trace(L, policy, trace->user);
    }
    return 1;
}

static ln_host_addrs host_of(const struct policy_object *object)
{
    return (ln_host_addrs){
        .addrs = object->host, .n_addrs = object->n_host, .n_gateway = object->n_gateway};
}

/* A connection to be judged, or a request. */
struct question {
    ln_query query;
    struct lua_request request;
    char name[LN_NAME_MAX + 1]; /* what `query` shows */
    ln_addr addrs[POLICY_GATEWAY_MAX];
    ln_host_addrs host;
};

/* Reads the table at `index`: direction=, protocol=, address=, port=, sni=, host=, flows=, method=,
 * path=, headers=, http=. Texts are borrowed from the table. */
static void read_question(lua_State *L, int index, const struct policy_object *object,
                          struct question *ret)
{
    static const char *const fields[] = {"direction", "protocol", "address", "port",  "sni",
                                         "host",      "flows",    "flow",    "trace", "method",
                                         "path",      "headers",  "http",    NULL};
    check_fields(L, index, fields);
    ret->query = (ln_query){
        .direction = (ln_direction)choice_field(L, index, "direction", "egress", directions),
        .protocol = (ln_protocol)choice_field(L, index, "protocol", "tcp", protocols),
        .address = addr_field(L, index, "address"),
        .port = (uint16_t)integer_field(L, index, "port", UINT16_MAX),
        .flows = integer_field(L, index, "flows", UINT32_MAX),
        .flow = integer_field(L, index, "flow", UINT32_MAX),
    };
    bool has_port = ret->query.protocol == LN_TCP || ret->query.protocol == LN_UDP;
    if (has_port && lua_getfield(L, index, "port") == LUA_TNIL) {
        luaL_error(L, "port: needed with tcp and udp");
    }
    read_sni(L, index, &ret->query, ret->name);
    request_read(L, index, &ret->request, &ret->query);
    ret->host = host_of(object);
    if (lua_getfield(L, index, "host") != LUA_TNIL) {
        ret->host.addrs = ret->addrs;
        ret->host.n_addrs = ret->host.n_gateway = addr_list(L, lua_gettop(L), "host", ret->addrs);
    }
}

/* p:evaluate(question); with `trace = true` it is explained */
static int policy_evaluate(lua_State *L)
{
    const struct policy_object *object = policy_object_check(L, 1);
    struct question question;
    read_question(L, 2, object, &question);
    struct steps steps;
    ln_trace room;
    const ln_trace *trace = push_trace(L, 2, object->policy, &steps, &room);
    ln_decision decision;
    ln_policy_evaluate(object->policy, object->pins, &question.host, &question.query, &decision,
                       trace);
    return push_answer(L, object->policy, &decision, trace);
}

/* Reads the table at `index`: name=, type=, protocol=. The name goes to `name`. */
static ln_dns_query read_dns_question(lua_State *L, int index, char name[LN_NAME_MAX + 1])
{
    static const char *const fields[] = {"name", "type", "protocol", "trace", NULL};
    static const char *const transports[] = {"tcp", "udp", NULL};
    check_fields(L, index, fields);
    lua_getfield(L, index, "name");
    check_name(L, -1, "name", name);
    return (ln_dns_query){
        .name = name,
        .type = string_field(L, index, "type", "A"),
        .transport = (ln_protocol)choice_field(L, index, "protocol", "udp", transports),
    };
}

/* Sets the field `addresses` of the decision on top of the stack, where there are any. */
static void set_addresses(lua_State *L, const ln_dns_answer *answer)
{
    if (answer->n_addrs == 0) {
        return;
    }
    lua_createtable(L, (int)answer->n_addrs, 0);
    for (size_t i = 0; i < answer->n_addrs; i++) {
        char text[LN_ADDR_TEXT_MAX];
        lua_pushlstring(L, text, ln_addr_format(&answer->addrs[i], text));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "addresses");
}

/* p:evaluate_dns(question) */
static int policy_evaluate_dns(lua_State *L)
{
    const struct policy_object *object = policy_object_check(L, 1);
    char name[LN_NAME_MAX + 1];
    ln_dns_query query = read_dns_question(L, 2, name);
    struct steps steps;
    ln_trace room;
    const ln_trace *trace = push_trace(L, 2, object->policy, &steps, &room);
    ln_decision decision;
    ln_dns_answer answer;
    ln_policy_evaluate_query(object->policy, &query, &decision, &answer, trace);
    push_answer(L, object->policy, &decision, trace);
    set_addresses(L, &answer);
    return 1;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* p:measure(question, rounds): how long its evaluation takes, in ns. A question without an address
 * is about DNS. */
static int policy_measure(lua_State *L)
{
    const struct policy_object *object = policy_object_check(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer rounds = luaL_checkinteger(L, 3);
    luaL_argcheck(L, rounds >= 1 && rounds <= MEASURE_MAX, 3, "accepted: 1 to 1000000");
    budget_charge(L, (uint64_t)rounds);
    struct question question;
    ln_dns_query asked = {.name = ""};
    bool is_dns = lua_getfield(L, 2, "address") == LUA_TNIL;
    if (is_dns) {
        asked = read_dns_question(L, 2, question.name);
    } else {
        read_question(L, 2, object, &question);
        question.query.flow = UINT64_MAX; /* the same in each round: functions count it once */
    }
    ln_decision decision;
    uint64_t started_ns = now_ns();
    for (lua_Integer i = 0; i < rounds; i++) {
        if (is_dns) {
            ln_policy_evaluate_query(object->policy, &asked, &decision, NULL, NULL);
        } else {
            ln_policy_evaluate(object->policy, object->pins, &question.host, &question.query,
                               &decision, NULL);
        }
    }
    lua_pushnumber(L, (lua_Number)(now_ns() - started_ns) / (lua_Number)rounds);
    return 1;
}

/* p:evaluate_answer{ name=, address= }: the name makes no difference to a policy */
static int policy_evaluate_answer(lua_State *L)
{
    static const char *const fields[] = {"name", "address", NULL};
    const struct policy_object *object = policy_object_check(L, 1);
    check_fields(L, 2, fields);
    ln_addr addr = addr_field(L, 2, "address");
    ln_host_addrs host = host_of(object);
    ln_decision decision;
    ln_policy_evaluate_answer(object->policy, &host, &addr, &decision);
    return push_answer(L, object->policy, &decision, NULL);
}

static void push_protocols(lua_State *L, const ln_rule *rule)
{
    lua_newtable(L);
    for (unsigned p = 0; rule->protocols != LN_PROTOCOLS_ALL && protocols[p] != NULL; p++) {
        if ((rule->protocols & LN_PROTOCOL_BIT(p)) != 0) {
            lua_pushstring(L, protocols[p]);
            lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
        }
    }
}

static void push_ports(lua_State *L, const ln_rule *rule)
{
    lua_createtable(L, (int)rule->n_ports, 0);
    for (size_t i = 0; i < rule->n_ports; i++) {
        const ln_port_range *range = &rule->ports[i];
        lua_pushfstring(L, range->first == range->last ? "%d" : "%d-%d", range->first, range->last);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_text(lua_State *L, const ln_rule *rule)
{
    int len = ln_rule_format(rule, NULL, 0);
    luaL_Buffer buffer;
    char *dst = luaL_buffinitsize(L, &buffer, (size_t)len + 1);
    ln_rule_format(rule, dst, (size_t)len + 1);
    luaL_pushresultsize(&buffer, (size_t)len);
}

static const char *direction_of(const ln_rule *rule)
{
    switch (rule->directions) {
    case LN_DIRECTION_BIT(LN_EGRESS):
        return "egress";
    case LN_DIRECTION_BIT(LN_INGRESS):
        return "ingress";
    default:
        return "any";
    }
}

static void push_http(lua_State *L, const ln_http_match *http)
{
    lua_createtable(L, 0, 3);
    lua_createtable(L, (int)http->n_methods, 0);
    for (size_t i = 0; i < http->n_methods; i++) {
        lua_pushstring(L, http->methods[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "methods");
    set_string(L, "path", http->path);
    if (http->n_headers > 0) {
        lua_createtable(L, 0, (int)http->n_headers);
        for (size_t i = 0; i < http->n_headers; i++) {
            set_string(L, http->headers[i].name, http->headers[i].value);
        }
        lua_setfield(L, -2, "headers");
    }
}

static void push_rule(lua_State *L, const ln_rule *rule)
{
    char destination[LN_NAME_MAX + 16];
    ln_destination_format(&rule->destination, destination, sizeof(destination));
    lua_createtable(L, 0, 12);
    set_string(L, "action", ln_action_name(rule->action));
    set_string(L, "direction", direction_of(rule));
    set_string(L, "destination", destination);
    push_protocols(L, rule);
    lua_setfield(L, -2, "protocols");
    push_ports(L, rule);
    lua_setfield(L, -2, "ports");
    push_text(L, rule);
    lua_setfield(L, -2, "text");
    lua_pushboolean(L, rule->when != 0);
    lua_setfield(L, -2, "when");
    if (rule->http != NULL) {
        push_http(L, rule->http);
        lua_setfield(L, -2, "http");
    }
    set_string(L, "name", rule->name);
    set_string(L, "origin", rule->origin);
    set_string(L, "file", rule->file);
    if (rule->line > 0) {
        lua_pushinteger(L, rule->line);
        lua_setfield(L, -2, "line");
    }
    set_rule_source(L, rule);
}

/* p:rule(i): one of them, or nil */
static int policy_rule(lua_State *L)
{
    const struct policy_object *object = policy_object_check(L, 1);
    lua_Integer i = luaL_checkinteger(L, 2);
    const ln_rule *rule = i < 1 ? NULL : ln_policy_rule(object->policy, (size_t)i);
    if (rule == NULL) {
        return 0;
    }
    push_rule(L, rule);
    return 1;
}

/* #p: how many there are */
static int policy_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)ln_policy_rule_count(policy_object_check(L, 1)->policy));
    return 1;
}

/* p:default(direction): the action where no rule matches */
static int policy_default(lua_State *L)
{
    const ln_settings *settings = ln_policy_settings(policy_object_check(L, 1)->policy);
    int direction = luaL_checkoption(L, 2, NULL, directions);
    lua_pushstring(L, ln_action_name(direction == LN_EGRESS ? settings->default_egress
                                                            : settings->default_ingress));
    return 1;
}

/* p:group(address): the group it is in */
static int policy_group(lua_State *L)
{
    const struct policy_object *object = policy_object_check(L, 1);
    ln_addr addr = check_addr(L, 2, "address");
    ln_host_addrs host = host_of(object);
    lua_pushstring(L, ln_group_name(ln_addr_group(&addr, &host)));
    return 1;
}

/* p:rules(): the expanded list, what became of deny_domains first */
static int policy_rules(lua_State *L)
{
    const struct policy_object *object = policy_object_check(L, 1);
    size_t count = ln_policy_rule_count(object->policy);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 1; i <= count; i++) {
        push_rule(L, ln_policy_rule(object->policy, i));
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    return 1;
}

/* ---- life ---- */

static int policy_gc(lua_State *L)
{
    struct policy_object *object = luaL_checkudata(L, 1, type_name);
    object->pins = ln_pins_free(object->pins);
    object->policy = ln_policy_unref(object->policy);
    return 0;
}

struct policy_object *policy_object_push(lua_State *L)
{
    struct policy_object *object = lua_newuserdatauv(L, sizeof(*object), 0);
    memset(object, 0, sizeof(*object));
    if (luaL_newmetatable(L, type_name)) {
        static const luaL_Reg methods[] = {
            {"pin", policy_pin},
            {"unpin", policy_unpin},
            {"evaluate", policy_evaluate},
            {"evaluate_dns", policy_evaluate_dns},
            {"evaluate_answer", policy_evaluate_answer},
            {"measure", policy_measure},
            {"rules", policy_rules},
            {"rule", policy_rule},
            {"default", policy_default},
            {"group", policy_group},
            {"__len", policy_len},
            {"__gc", policy_gc},
            {NULL, NULL},
        };
        luaL_setfuncs(L, methods, 0);
        lua_pushvalue(L, -1);
        lua_setfield(L, -2, "__index");
    }
    lua_setmetatable(L, -2);
    return object;
}

void policy_object_fill(lua_State *L, struct policy_object *object, int gateway)
{
    object->n_gateway = object->n_host = addr_list(L, gateway, "gateway", object->host);
    const ln_limits *limits = &ln_policy_settings(object->policy)->limits;
    uint8_t key[16];
    host_services_system.random(NULL, key, sizeof(key));
    object->pins = ln_pins_new(limits->pin_names, limits->pin_addresses, key);
    if (object->pins == NULL) {
        luaL_error(L, "out of memory");
    }
}
