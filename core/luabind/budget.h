/* What a piece of Lua may spend: instructions of the virtual machine and processor time.
 *
 * Theory of operation. A count hook runs every few instructions and takes them off the budget. It
 * does not run inside C, so library functions that could run long charge for their work before they
 * do it (bounded.c, pattern.c). Once a budget is spent every further instruction raises, so that no
 * pcall can go on for ever; the sandbox's own pcall does not catch this error at all.
 *
 * Time is the thread's processor time: a busy machine must not turn a short function into a slow
 * one. The cheap monotonic clock is read first; processor time cannot have run out before it. */
#ifndef LN_LUABIND_BUDGET_H
#define LN_LUABIND_BUDGET_H

#include <lua.h>
#include <stdint.h>

struct budget {
    uint64_t instructions; /* left */
    uint64_t started_cpu_ns, started_ns, limit_ns;
    const char *spent;    /* what ran out, for people; NULL: nothing has */
    struct budget *outer; /* the one in force before */
};

/* Once in a Lua state, before budgets are used in it. May raise. */
void budget_prepare(lua_State *L);
/* What runs in the thread `L` from here to budget_stop() is charged to `budget`. Never raises. */
void budget_start(lua_State *L, struct budget *budget, uint64_t instructions, uint32_t time_ms);
void budget_stop(lua_State *L, struct budget *budget);
/* Charges for work done in C, counted in instructions (about 5 ns each). Raises when the budget is
 * spent; does nothing where there is no budget. */
void budget_charge(lua_State *L, uint64_t instructions);
/* The budget in force, or NULL. */
struct budget *budget_current(lua_State *L);

#endif
