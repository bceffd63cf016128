/* Where lunette's own Lua modules are. */
#ifndef LN_LUABIND_MODULE_DIR_H
#define LN_LUABIND_MODULE_DIR_H

/* The directory that holds lunette/init.lua, with a slash at the end: beside the binary or the
 * module that this code is in, as in a build tree, or where it is in the tree that the binary is
 * installed in, else where they were to be installed. Never found
 * through the current directory. NULL when out of memory; the caller frees it. */
char *module_dir_find(void);

#endif
