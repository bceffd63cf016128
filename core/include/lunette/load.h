/* Policies written in Lua. The file runs in a sandboxed Lua state, which lives on inside the policy
 * for its functions: a policy is one thread's at a time. */
#ifndef LUNETTE_LOAD_H
#define LUNETTE_LOAD_H

#include "lunette/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Loads a file, or a preset by its name ("none", "public-only", "allow-all", "non-local"; "./none"
 * is a file). Returns 0 and a policy with one reference; -EINVAL with every mistake added to
 * `problems`, Lua errors and unreadable files included; or -ENOMEM. */
LN_API int ln_policy_load(const char *path_or_preset, ln_policy **ret, ln_problems *problems);
/* The same for a policy's text of `len` bytes. `name` stands for the file in problems and rules;
 * require() looks for modules in the directory that `name` names a file of. */
LN_API int ln_policy_load_text(const char *name, const char *text, size_t len, ln_policy **ret,
                               ln_problems *problems);

#ifdef __cplusplus
}
#endif
#endif
