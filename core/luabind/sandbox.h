/* A Lua state in which a policy file runs: no way out of it, and bounds on memory, instructions and
 * time.
 *
 * What is there: base, string, table, math and utf8 without what could leave the sandbox or run
 * unbounded in C, os.time, os.date, os.clock, env(NAME), and require of lunette's own modules and
 * of files beside the policy. What is not: io, the rest of os, debug, package, coroutines,
 * bytecode, finalizers (`__gc`: Lua runs them without hooks), collectgarbage, string.dump and
 * string.pack. A global that nobody defined raises when it is read, so that a misspelt name in a
 * policy is an error and not a nil that opens something. */
#ifndef LN_LUABIND_SANDBOX_H
#define LN_LUABIND_SANDBOX_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#include "lunette/error.h"

#define SANDBOX_MEMORY_MAX   (64u << 20) /* bytes, all in all */
#define SANDBOX_STRING_MAX   (8u << 20)  /* bytes: what one instruction can copy or compare */
#define SANDBOX_FILE_MAX     (8u << 20)  /* bytes of a policy file or a module */
#define SANDBOX_INSTRUCTIONS 1000000000u /* of one sandbox_run() */
#define SANDBOX_TIME_MS      30000u      /* processor time of one sandbox_run() */

struct file_opener;

struct sandbox {
    lua_State *L;
    const struct file_opener *opener; /* of modules; NULL: open(2) */
    size_t used;                      /* bytes */
    bool out_of_memory;               /* the system refused, not the bound */
    char *path;                       /* of the policy file */
    char *policy_dir;      /* where modules beside it are: "" or with a slash at the end */
    char *module_dir;      /* where lunette's own are, with a slash at the end */
    ln_problems *problems; /* during sandbox_run(): where an error goes */
    bool told;             /* during sandbox_run(): the error is in `problems` */
};

/* A sandbox for the policy file `path`. `opener` may be NULL, else it must outlive the sandbox.
 * Returns 0 or -ENOMEM. */
int sandbox_new(const char *path, const struct file_opener *opener, struct sandbox **ret);
/* Takes NULL, returns NULL. */
struct sandbox *sandbox_free(struct sandbox *sandbox);
/* Calls `body` with `context` as a light userdata, protected and bounded. Returns 0; -EINVAL with a
 * problem added that says where and what; or -ENOMEM. */
int sandbox_run(struct sandbox *sandbox, lua_CFunction body, void *context, ln_problems *problems);
/* Inside sandbox_run(): tells an error that is about to be raised, at a line of the policy file (0:
 * unknown), so that it is not told from where it is raised. */
void sandbox_tell(struct sandbox *sandbox, int line, const char *message);
/* The sandbox whose state `L` is. Only for functions that exist in sandboxes alone. */
struct sandbox *sandbox_of(lua_State *L);

/* library.c: sets up the globals. May raise. */
void sandbox_open_library(lua_State *L);
/* env(NAME): a variable of lunette's environment, or nil. */
int sandbox_env(lua_State *L);
/* lunette.core.now(): seconds of a clock that never goes back. */
int sandbox_now(lua_State *L);
/* modules.c: the function `require`. */
int sandbox_require(lua_State *L);

#endif
