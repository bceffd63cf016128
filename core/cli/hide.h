/* What CMD does not get to see of the host's file system: UNIX sockets, which lead around the
 * gateway, and files that lunette keeps to itself.
 *
 * hide_collect() runs outside, where the host's sockets can be listed; hide_apply() inside, in the
 * guest's own mount namespace. */
#ifndef LN_CLI_HIDE_H
#define LN_CLI_HIDE_H

#include <stdbool.h>
#include <stddef.h>

/* Absolute paths. Zero-initialise to start. */
struct paths {
    char **items;
    size_t count, room;
};

/* Zero-initialise to start. */
struct hide {
    struct paths sockets; /* bound on this machine, ascending, no two alike */
    struct paths shown;   /* --show: left alone, with all below */
    struct paths covered; /* --hide, the policy, logs: hidden in any case */
    bool verbose;         /* say what is hidden */
};

/* A file or directory that CMD may reach although it would be hidden. It need not exist. Returns 0
 * or -errno. */
int hide_show(struct hide *hide, const char *path);
/* A file or directory to hide. Returns 0; -ENOENT or the like when it cannot be found; -ENOMEM. */
int hide_cover(struct hide *hide, const char *path);
/* Whether that was said of `path`, or of a directory that it is in; `path` is real. */
bool hide_covers(const struct hide *hide, const char *path);
/* Lists the UNIX sockets of this network namespace, and those that the environment names. Returns 0
 * or -errno. */
int hide_collect(struct hide *hide);
/* Changes the mount namespace of this thread, which must be its own. From then on /run is the
 * guest's own, and /run/lunette an empty directory in it. Returns 0, or -errno after saying what
 * failed: then CMD must not run. */
int hide_apply(const struct hide *hide);
/* Hides one more file, after hide_apply() and before hide_finish(). Returns 0, also when there is
 * no such file, or -errno after saying what failed. */
int hide_now(const struct hide *hide, const char *path);
/* Removes what is needed for hiding only. */
void hide_finish(void);
/* Puts the file `from` in place of `path`, itself and not what it may be a link to; where there is
 * no such path, its directory is rebuilt with one. Returns 0, or -errno after saying what failed.
 */
int hide_replace(const struct hide *hide, const char *from, const char *path);
void hide_free(struct hide *hide);

#endif
