/* Instructions and time that Lua code may spend, enforced by a count hook. */
#include "luabind/budget.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <time.h>

enum { HOOK_EVERY = 100 }; /* instructions */

static const char registry_key = 0; /* its address is the key of the budget in force */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

/* The slot exists from budget_prepare() on, so that setting it needs no memory. */
static void set_current(lua_State *L, struct budget *budget)
{
    lua_pushlightuserdata(L, budget);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

struct budget *budget_current(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
    struct budget *budget = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return budget;
}

static bool is_out_of_time(const struct budget *budget)
{
    return clock_ns(CLOCK_MONOTONIC) - budget->started_ns > budget->limit_ns &&
           clock_ns(CLOCK_THREAD_CPUTIME_ID) - budget->started_cpu_ns > budget->limit_ns;
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    budget_charge(L, HOOK_EVERY);
}

void budget_charge(lua_State *L, uint64_t instructions)
{
    struct budget *budget = budget_current(L);
    if (budget == NULL) {
        return;
    }
    if (budget->spent == NULL) {
        if (instructions > budget->instructions) {
            budget->spent = "it ran too many instructions";
        } else if (is_out_of_time(budget)) {
            budget->spent = "it ran for too long";
        } else {
            budget->instructions -= instructions;
            return;
        }
    }
    lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    luaL_error(L, "%s", budget->spent);
}

void budget_prepare(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

void budget_start(lua_State *L, struct budget *budget, uint64_t instructions, uint32_t time_ms)
{
    *budget = (struct budget){
        .instructions = instructions,
        .started_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID),
        .started_ns = clock_ns(CLOCK_MONOTONIC),
        .limit_ns = time_ms * UINT64_C(1000000),
        .outer = budget_current(L),
    };
    set_current(L, budget);
    lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_EVERY);
}

void budget_stop(lua_State *L, struct budget *budget)
{
    lua_sethook(L, NULL, 0, 0);
    set_current(L, budget->outer);
}
