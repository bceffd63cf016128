/* What `lunette test` and `lunette repl` give to their Lua modules, which run in a sandbox. */
#ifndef LN_CLI_LUA_TOOLS_H
#define LN_CLI_LUA_TOOLS_H

#include <lua.h>
#include <stdbool.h>

/* Pushes the module `name` of lunette's, after adding to lunette.core:
 *   load(path)                 a policy or preset as an object, or nil and its problems; the group
 *                              `host` is the gateway at slot 0 and, with `machine`, this machine
 *   compile                    as for other programs
 *   query(text)                a question as `lunette match` reads it: { dns=, type= } or the
 *                              fields of policy:evaluate(), `name` for a name; or nil and what is
 *                              wrong
 *   refusal(name, type)        why no policy can open a DNS query; nil: a policy can
 *   reason(policy, direction, decision)   what decided, for people
 *   diff(a, b)                 prints what two policies judge differently
 *   miss(why)                  why a rule of a trace did not match, for people
 *   write(text)                to stdout
 *   tell(text)                 a line to stderr
 * May raise. */
void lua_tools_push_module(lua_State *L, const char *name, bool machine);

#endif
