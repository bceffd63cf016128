/* Policies written in Lua or JSON: from a file or a preset's name to a compiled policy. Lua runs in
 * a sandboxed Lua state (sandbox.h), which lives on inside the policy for its handlers. */
#ifndef LN_LUABIND_LOAD_H
#define LN_LUABIND_LOAD_H

#include <stddef.h>

#include "luabind/file.h"
#include "lunette/policy.h"

/* Loads a policy. `path_or_preset` is the name of a preset ("none", "public-only", "allow-all",
 * "non-local"; "./none" is a file) or of a file. Returns 0 and a policy with one reference;
 * -EINVAL with every mistake added to `problems`, Lua errors and unreadable files included; or
 * -ENOMEM. */
int lua_policy_load(const char *path_or_preset, ln_policy **ret, ln_problems *problems);

/* The same where files are opened by way of `opener`, which must outlive the policy. */
int lua_policy_load_from(const struct file_opener *opener, const char *path_or_preset,
                         ln_policy **ret, ln_problems *problems);

/* The same for a policy's text of `len` bytes. `name` stands for the file in problems and rules;
 * modules are looked for in the directory `name` names a file of. */
int lua_policy_load_text(const char *name, const char *text, size_t len, ln_policy **ret,
                         ln_problems *problems);

#endif
