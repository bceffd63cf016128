/* Hiding where secrets come from.
 *
 * Theory of operation. A file is covered (hide.h) for as long as the host leaves it in its place.
 * Whoever rotates a secret puts another file there (rename(2)), which is in the open: CMD, which
 * lives in the same file system, could read it. Hence the directory of a secret is covered as a
 * whole where there is nothing else in it, which what is put there later does not change. Where
 * there is something else, a secret that is to be read again (refresh_s) is refused. */
#include "cli/hide_sources.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "net/ca_store.h"

/* The directory that a file is in, by its real path. Returns 0 or -errno. */
static int directory_of(const char *path, char ret[PATH_MAX])
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? 1 : (int)(slash - path) + 1;
    if ((size_t)len >= sizeof(parent)) {
        return -ENAMETOOLONG;
    }
    snprintf(parent, sizeof(parent), "%.*s", len, slash == NULL ? "." : path);
    return realpath(parent, ret) == NULL ? -errno : 0;
}

static bool is_source(const ln_settings *settings, const char *dir, const char *name)
{
    for (size_t i = 0; i < settings->n_secrets; i++) {
        char other[PATH_MAX];
        const ln_secret *secret = &settings->secrets[i];
        const char *slash =
            secret->from == LN_SECRET_FROM_FILE ? strrchr(secret->source, '/') : NULL;
        if (secret->from == LN_SECRET_FROM_FILE &&
            strcmp(slash == NULL ? secret->source : slash + 1, name) == 0 &&
            directory_of(secret->source, other) == 0 && strcmp(other, dir) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether there are only secrets of this policy in the directory. Names with two dots before them
 * are of what keeps them up (a mounted Secret's ..data). */
static bool is_of_secrets(const ln_settings *settings, const char *dir)
{
    DIR *entries = opendir(dir);
    const struct dirent *entry;
    bool only = entries != NULL;
    while (only && (entry = readdir(entries)) != NULL) {
        only = strcmp(entry->d_name, ".") == 0 || strncmp(entry->d_name, "..", 2) == 0 ||
               is_source(settings, dir, entry->d_name);
    }
    if (entries != NULL) {
        closedir(entries);
    }
    return only;
}

static int hide_file(struct guest *guest, const struct hide *hide, const ln_settings *settings,
                     const ln_secret *secret)
{
    char dir[PATH_MAX];
    int r = directory_of(secret->source, dir);
    if (r < 0) {
        return r;
    }
    if (hide_covers(hide, dir)) {
        return 0;
    }
    if (is_of_secrets(settings, dir)) {
        return guest_cover(guest, dir);
    }
    if (secret->refresh_s > 0) {
        command_say("%s.from_file: when %s is replaced, CMD could read it; accepted: one in a "
                    "directory with nothing else in it, or --hide %s",
                    secret->origin, secret->source, dir);
        return -EACCES;
    }
    return guest_cover(guest, secret->source);
}

static int hide_source(struct guest *guest, const struct hide *hide, const ln_settings *settings,
                       const ln_secret *secret)
{
    int r = guest_unset(guest, secret->env);
    if (r == 0 && secret->from == LN_SECRET_FROM_FILE) {
        r = hide_file(guest, hide, settings, secret);
    } else if (r == 0 && secret->from == LN_SECRET_FROM_ENV) {
        r = guest_unset(guest, secret->source);
    }
    return r;
}

int hide_sources(struct guest *guest, const struct hide *hide, const ln_settings *settings)
{
    struct ca_store store;
    /* The directory as a whole: what lies there, other sandboxes are told to trust. */
    int r = ca_store_find(NULL, &store, NULL) < 0 ? 0 : guest_cover(guest, store.dir);
    if (r == 0 && settings->tls.ca_key != NULL) {
        r = guest_cover(guest, settings->tls.ca_key);
    }
    for (size_t i = 0; i < settings->n_secrets && r == 0; i++) {
        r = hide_source(guest, hide, settings, &settings->secrets[i]);
    }
    return r;
}
