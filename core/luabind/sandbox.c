/* The sandboxed Lua state of a policy file: its memory, and running something in it. */
#include "luabind/sandbox.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/problems.h"
#include "luabind/budget.h"
#include "luabind/file.h"
#include "luabind/module_dir.h"
#include "luabind/where.h"

enum { STRING_OVERHEAD = 64 }; /* bytes of a string object beside its text, at most */

/* For a new block, `old_size` is the type of what is made. What is freed is wiped: a policy may
 * hold secrets, as strings, which are never moved. */
static void *allocate(void *user, void *block, size_t old_size, size_t size)
{
    struct sandbox *sandbox = user;
    size_t old = block == NULL ? 0 : old_size;
    if (size == 0) {
        if (block != NULL) {
            explicit_bzero(block, old);
        }
        free(block);
        sandbox->used -= old;
        return NULL;
    }
    if (block == NULL && old_size == LUA_TSTRING && size > SANDBOX_STRING_MAX + STRING_OVERHEAD) {
        return NULL;
    }
    if (size > old && size - old > SANDBOX_MEMORY_MAX - sandbox->used) {
        return NULL;
    }
    void *moved = realloc(block, size);
    if (moved == NULL) {
        sandbox->out_of_memory = true;
        return NULL;
    }
    sandbox->used += size - old;
    return moved;
}

struct sandbox *sandbox_of(lua_State *L)
{
    void *user;
    lua_getallocf(L, &user);
    return user;
}

static int open_library(lua_State *L)
{
    sandbox_open_library(L);
    return 0;
}

/* The directory part of `path`, with its slash; "" where there is none. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strndup(path, slash == NULL ? 0 : (size_t)(slash + 1 - path));
}

int sandbox_new(const char *path, const struct file_opener *opener, struct sandbox **ret)
{
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
    if (sandbox == NULL) {
        return -ENOMEM;
    }
    sandbox->opener = opener;
    sandbox->path = strdup(path);
    sandbox->policy_dir = directory_of(path);
    sandbox->module_dir = opener != NULL && opener->module_dir != NULL ? strdup(opener->module_dir)
                                                                       : module_dir_find();
    sandbox->L = lua_newstate(allocate, sandbox);
    if (sandbox->path == NULL || sandbox->policy_dir == NULL || sandbox->module_dir == NULL ||
        sandbox->L == NULL) {
        sandbox_free(sandbox);
        return -ENOMEM;
    }
    tzset(); /* reads its file now: os.date() may be called where there are no files */
    lua_pushcfunction(sandbox->L, open_library);
    if (lua_pcall(sandbox->L, 0, 0, 0) != LUA_OK) {
        sandbox_free(sandbox);
        return -ENOMEM;
    }
    *ret = sandbox;
    return 0;
}

struct sandbox *sandbox_free(struct sandbox *sandbox)
{
    if (sandbox != NULL) {
        if (sandbox->L != NULL) {
            lua_close(sandbox->L);
        }
        free(sandbox->path);
        free(sandbox->policy_dir);
        free(sandbox->module_dir);
        free(sandbox);
    }
    return NULL;
}

/* Only the first error of a run is told: what comes behind it is its consequence. */
static void tell(struct sandbox *sandbox, const char *file, int line, const char *message)
{
    if (!sandbox->told) {
        sandbox->told = true;
        problems_add(sandbox->problems, file, line, "", NULL, NULL, "%s", message);
    }
}

void sandbox_tell(struct sandbox *sandbox, int line, const char *message)
{
    tell(sandbox, sandbox->path, line, message);
}

/* The message handler: tells the error while the stack still shows where it happened. */
static int report(lua_State *L)
{
    lua_Debug at;
    const char *message = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1)
                                                        : "it raised an error that is not a string";
    if (where_outside(L, 1, lua_tostring(L, lua_upvalueindex(1)), &at)) {
        tell(sandbox_of(L), where_file(&at), at.currentline, where_strip(message, &at));
    } else if (where_outside(L, 1, "\n", &at)) { /* in lunette's own module */
        sandbox_tell(sandbox_of(L), 0, where_strip(message, &at));
    } else {
        sandbox_tell(sandbox_of(L), 0, message);
    }
    return 1;
}

static int push_report(lua_State *L)
{
    lua_pushfstring(L, "@%slunette/", sandbox_of(L)->module_dir);
    lua_pushcclosure(L, report, 1);
    return 1;
}

static int run(struct sandbox *sandbox, lua_CFunction body, void *context)
{
    lua_State *L = sandbox->L;
    lua_pushcfunction(L, push_report);
    int status = lua_pcall(L, 0, 1, 0);
    if (status != LUA_OK) {
        return status;
    }
    struct budget budget;
    budget_start(L, &budget, SANDBOX_INSTRUCTIONS, SANDBOX_TIME_MS);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, context);
    status = lua_pcall(L, 1, 0, -3);
    budget_stop(L, &budget);
    return status;
}

int sandbox_run(struct sandbox *sandbox, lua_CFunction body, void *context, ln_problems *problems)
{
    sandbox->problems = problems;
    sandbox->told = false;
    int status = run(sandbox, body, context);
    lua_settop(sandbox->L, 0);
    if (status != LUA_OK && !sandbox->out_of_memory) {
        sandbox_tell(
            sandbox, 0,
            status == LUA_ERRMEM
                ? "it needs more memory than a policy may have (64 MiB, 8 MiB for a string)"
                : "an error happened while an error was handled");
    }
    sandbox->problems = NULL;
    return status == LUA_OK ? 0 : sandbox->out_of_memory ? -ENOMEM : -EINVAL;
}
