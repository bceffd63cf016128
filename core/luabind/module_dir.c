/* Finding lunette's own Lua modules from where this code was loaded. */
#include "luabind/module_dir.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file that this code is mapped from, as the kernel names it: always absolute, whatever the
 * program was called by. */
static bool own_file(char dst[PATH_MAX])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        return false;
    }
    uintptr_t here = (uintptr_t)&module_dir_find;
    bool found = false;
    char line[PATH_MAX + 128];
    while (!found && fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from, to;
        char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && path != NULL && from <= here && here < to &&
            strlen(path) < PATH_MAX) {
            strcpy(dst, path);
            found = true;
        }
    }
    fclose(maps);
    return found;
}

/* `dir` with `below` behind it, where lunette's modules are there; else NULL. */
static char *candidate(const char *dir, const char *below)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s%s", dir, below);
    static const char probe[] = "lunette/init.lua";
    if (len < 0 || (size_t)len + sizeof(probe) > sizeof(path)) {
        return NULL;
    }
    strcpy(path + len, probe);
    if (access(path, R_OK) != 0) {
        return NULL;
    }
    path[len] = '\0';
    return strdup(path);
}

char *module_dir_find(void)
{
    char dir[PATH_MAX];
    char *found = NULL;
    if (own_file(dir)) {
        strrchr(dir, '/')[1] = '\0';
        found = candidate(dir, "lua/"); /* build/lunette */
        if (found == NULL) {
            found = candidate(dir, "../share/lunette/lua/"); /* bin/lunette, lib/liblunette.so */
        }
        if (found == NULL) { /* lib/lua/5.4/lunette/core.so */
            found = candidate(dir, "../../../../share/lunette/lua/");
        }
        char *end = dir + strlen(dir) - strlen("lunette/");
        if (found == NULL && end > dir && strcmp(end, "lunette/") == 0) {
            *end = '\0';
            found = candidate(dir, ""); /* build/lua/lunette/core.so */
        }
    }
    return found != NULL ? found : strdup(LUNETTE_LUA_DIR "/");
}
