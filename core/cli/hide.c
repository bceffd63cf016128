/* Hiding by mounts, which CMD cannot undo: it has no capability in the user namespace that owns
 * them, and in one that it makes itself they are locked (mount_namespaces(7)).
 *
 * Theory of operation. Two ways of hiding are needed.
 *
 * /run is rebuilt: the guest gets a file system of its own there, into which everything of the
 * host's /run is mounted except sockets and FIFOs. A mount over the socket alone would not do: when
 * the host's daemon restarts, it removes its socket, and with it the mount, in every namespace; the
 * new one would be in the open. A directory below that holds sockets is rebuilt in the same way.
 * Directories that are nothing but ways out are rebuilt empty (`bare`), so that sockets that appear
 * in them later do not show either.
 *
 * Elsewhere (/tmp, home directories), where the guest must see what the host writes, a path is
 * covered: with an empty file or directory that nobody may open, until the host removes the path.
 */
#include "cli/hide.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"

#define RUN      "/run"
#define RUN_USER "/run/user"
#define OWN      "/run/lunette"
#define COVER    "/run/lunette/cover"

/* Below /run: what talks to container engines, service managers, buses, resolvers and terminal
 * multiplexers of the host. */
static const char *const bare_dirs[] = {
    "/run/avahi-daemon", "/run/buildkit", "/run/containerd",    "/run/crio",
    "/run/dbus",         "/run/docker",   "/run/host-services", "/run/incus",
    "/run/k3s",          "/run/libvirt",  "/run/lxd",           "/run/nscd",
    "/run/podman",       "/run/screen",   "/run/systemd",       "/run/tailscale",
};

/* Elsewhere: directories that hold only such sockets. A directory of the user's own is added. */
static const char *const socket_dirs[] = {"/tmp/.X11-unix", "/tmp/.ICE-unix"};

/* ---- paths ---- */

static int paths_add(struct paths *paths, const char *path)
{
    if (paths->count == paths->room) {
        size_t room = paths->room == 0 ? 64 : paths->room * 2;
        char **items = reallocarray(paths->items, room, sizeof(*items));
        if (items == NULL) {
            return -ENOMEM;
        }
        paths->items = items;
        paths->room = room;
    }
    char *copy = strdup(path);
    if (copy == NULL) {
        return -ENOMEM;
    }
    paths->items[paths->count++] = copy;
    return 0;
}

static void paths_free(struct paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) {
        free(paths->items[i]);
    }
    free(paths->items);
    *paths = (struct paths){0};
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void paths_sort_unique(struct paths *paths)
{
    if (paths->count == 0) {
        return;
    }
    qsort(paths->items, paths->count, sizeof(*paths->items), compare);
    size_t kept = 1;
    for (size_t i = 1; i < paths->count; i++) {
        if (strcmp(paths->items[i], paths->items[kept - 1]) == 0) {
            free(paths->items[i]);
        } else {
            paths->items[kept++] = paths->items[i];
        }
    }
    paths->count = kept;
}

/* Whether `path` is `dir` or below it. */
static bool is_within(const char *path, const char *dir)
{
    size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Whether `path`, or a directory that it is in, is in the list. */
static bool paths_cover(const struct paths *paths, const char *path)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (is_within(path, paths->items[i])) {
            return true;
        }
    }
    return false;
}

/* Whether something below the directory `dir` is in the list. */
static bool paths_lead_from(const struct paths *paths, const char *dir)
{
    for (size_t i = 0; i < paths->count; i++) {
        if (is_within(paths->items[i], dir)) {
            return true;
        }
    }
    return false;
}

/* ---- collecting ---- */

int hide_show(struct hide *hide, const char *path)
{
    char absolute[PATH_MAX];
    if (realpath(path, absolute) == NULL) {
        if (path[0] != '/') {
            return -errno;
        }
        return paths_add(&hide->shown, path);
    }
    return paths_add(&hide->shown, absolute);
}

int hide_cover(struct hide *hide, const char *path)
{
    char absolute[PATH_MAX];
    return realpath(path, absolute) == NULL ? -errno : paths_add(&hide->covered, absolute);
}

bool hide_covers(const struct hide *hide, const char *path)
{
    return paths_cover(&hide->covered, path);
}

/* Adds `path` when it is a socket that can be found from here: a name may be one of another mount
 * namespace. */
static int add_socket(struct hide *hide, const char *path)
{
    char absolute[PATH_MAX];
    struct stat st;
    if (path[0] != '/' || realpath(path, absolute) == NULL || stat(absolute, &st) != 0 ||
        !S_ISSOCK(st.st_mode)) {
        return 0;
    }
    return paths_add(&hide->sockets, absolute);
}

/* The path at the end of a line of /proc/net/unix, behind seven fields, or NULL. */
static const char *path_field(char *line)
{
    line[strcspn(line, "\n")] = '\0';
    const char *at = line;
    for (int i = 0; i < 7; i++) {
        at += strspn(at, " ");
        at += strcspn(at, " ");
    }
    return at[0] == ' ' && at[1] == '/' ? at + 1 : NULL;
}

static int read_socket_table(struct paths *ret)
{
    FILE *table = fopen("/proc/net/unix", "re");
    if (table == NULL) {
        return -errno;
    }
    int r = 0;
    char *line = NULL;
    size_t room = 0;
    while (r == 0 && getline(&line, &room, table) >= 0) {
        const char *path = path_field(line);
        r = path == NULL ? 0 : paths_add(ret, path);
    }
    free(line);
    fclose(table);
    paths_sort_unique(ret); /* a connection bears its listener's name */
    return r;
}

/* The sockets that programs find through the environment: their owners may be in another network
 * namespace, and so not in the table. */
static int add_named_sockets(struct hide *hide)
{
    static const char *const names[] = {"SSH_AUTH_SOCK", "DOCKER_HOST", "CONTAINER_HOST",
                                        "DBUS_SESSION_BUS_ADDRESS", "NOTIFY_SOCKET"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        /* "/path", "unix:///path", "unix:path=/path,guid=…" */
        const char *value = getenv(names[i]);
        const char *path = value == NULL ? NULL : strchr(value, '/');
        if (path == NULL) {
            continue;
        }
        path += strspn(path, "/") - 1;
        char *copy = strndup(path, strcspn(path, ",;"));
        int r = copy == NULL ? -ENOMEM : add_socket(hide, copy);
        free(copy);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int hide_collect(struct hide *hide)
{
    struct paths bound = {0};
    int r = read_socket_table(&bound);
    for (size_t i = 0; i < bound.count && r == 0; i++) {
        r = add_socket(hide, bound.items[i]);
    }
    paths_free(&bound);
    if (r == 0) {
        r = add_named_sockets(hide);
    }
    paths_sort_unique(&hide->sockets);
    return r;
}

void hide_free(struct hide *hide)
{
    paths_free(&hide->sockets);
    paths_free(&hide->shown);
    paths_free(&hide->covered);
}

/* ---- rebuilding directories ---- */

static int failed(const char *what, const char *path)
{
    int err = errno;
    command_say("cannot hide the host's sockets: %s %s: %s", what, path, strerror(err));
    return -err;
}

/* For calls whose failure leaves something out, or an owner as it is. */
static void best_effort(int r)
{
    (void)r;
}

static void told(const struct hide *hide, const char *path)
{
    if (hide->verbose) {
        command_say("hidden: %s", path);
    }
}

static bool is_bare(const char *path)
{
    for (size_t i = 0; i < sizeof(bare_dirs) / sizeof(bare_dirs[0]); i++) {
        if (strcmp(path, bare_dirs[i]) == 0) {
            return true;
        }
    }
    return is_within(path, RUN_USER) && path[sizeof(RUN_USER) - 1] == '/';
}

/* Mounts an entry of the host's directory at the same name of the guest's. What cannot be mounted
 * is left out: it stays hidden. */
static void carry_over(int from, int to, const char *name, const struct stat *st)
{
    if (S_ISDIR(st->st_mode)) {
        if (mkdirat(to, name, 0700) != 0) {
            return;
        }
    } else {
        int fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            return;
        }
        close(fd);
    }
    int tree = open_tree(from, name,
                         OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
    if (tree >= 0) {
        (void)move_mount(tree, "", to, name, MOVE_MOUNT_F_EMPTY_PATH);
        close(tree);
    }
}

static void copy_link(int from, int to, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
    if (n > 0) {
        target[n] = '\0';
        best_effort(symlinkat(target, to, name));
    }
}

static int rebuild(const struct hide *hide, int from, int to, const char *path, bool bare);

static int rebuild_below(const struct hide *hide, int from_parent, int to_parent, const char *path,
                         const char *name, const struct stat *st, bool bare)
{
    if (mkdirat(to_parent, name, st->st_mode & 07777) != 0) {
        return failed("make", path);
    }
    best_effort(fchownat(to_parent, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW));
    int from = openat(from_parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int to = openat(to_parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int r = 0;
    if (from >= 0 && to >= 0) {
        r = rebuild(hide, from, to, path, bare);
    } /* else it stays empty: CMD could not have opened it either */
    if (from >= 0) {
        close(from);
    }
    if (to >= 0) {
        close(to);
    }
    return r;
}

static int rebuild_entry(const struct hide *hide, int from, int to, const char *path,
                         const char *name, bool bare)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return 0; /* gone meanwhile */
    }
    if (strcmp(path, OWN) == 0) {
        return 0; /* of the lunette that this one runs in */
    }
    bool shown = paths_cover(&hide->shown, path);
    bool leads = S_ISDIR(st.st_mode) && paths_lead_from(&hide->shown, path);
    if (!shown && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode) || (bare && !leads))) {
        told(hide, path);
        return 0;
    }
    if (S_ISLNK(st.st_mode)) {
        copy_link(from, to, name);
        return 0;
    }
    if (!shown && S_ISDIR(st.st_mode) &&
        (leads || is_bare(path) || strcmp(path, RUN_USER) == 0 ||
         paths_lead_from(&hide->sockets, path))) {
        return rebuild_below(hide, from, to, path, name, &st, bare || is_bare(path));
    }
    carry_over(from, to, name, &st);
    return 0;
}

/* Fills the guest's directory `to` with what it may see of the host's `from`, both at `path`.
 * `bare`: only what is shown explicitly. */
static int rebuild(const struct hide *hide, int from, int to, const char *path, bool bare)
{
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return 0; /* what cannot be listed stays empty */
    }
    int r = 0;
    const struct dirent *entry;
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char below[PATH_MAX];
        int len = snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        if ((size_t)len < sizeof(below)) {
            r = rebuild_entry(hide, from, to, below, entry->d_name, bare);
        }
    }
    closedir(dir);
    return r;
}

/* Puts a file system of the guest's own at the directory `path`. */
static int rebuild_at(const struct hide *hide, const char *path)
{
    int from = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (from < 0) {
        return failed("open", path);
    }
    int r = 0;
    int to = -1;
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m") != 0) {
        r = failed("mount at", path);
    } else if ((to = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        r = failed("open", path);
    } else {
        r = rebuild(hide, from, to, path, false);
        close(to);
    }
    close(from);
    return r;
}

/* ---- covering ---- */

/* What covers: a file and a directory without any permission. Mounted, they stay when hide_finish()
 * has taken their names away. */
static int make_covers(void)
{
    if (mkdir(OWN, 0755) != 0 || mkdir(COVER, 0700) != 0 || mkdir(COVER "/dir", 0) != 0) {
        return failed("make", COVER);
    }
    int fd = open(COVER "/file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0) {
        return failed("make", COVER);
    }
    close(fd);
    return 0;
}

/* Mounts `from` read-only on `path`, itself and not what it may be a link to. */
static int mount_on(const char *from, const char *path)
{
    int tree = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0) {
        return -errno;
    }
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    int r = 0;
    if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0 ||
        move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
        r = -errno;
    }
    close(tree);
    return r;
}

/* Whether lunette itself cannot get to the path: then CMD, with less, cannot either. */
static bool is_out_of_reach(int err)
{
    return err == ENOENT || err == ENOTDIR || err == EACCES;
}

static int cover(const struct hide *hide, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return is_out_of_reach(errno) ? 0 : failed("look at", path);
    }
    int r = mount_on(S_ISDIR(st.st_mode) ? COVER "/dir" : COVER "/file", path);
    if (r < 0) {
        errno = -r;
        return failed("mount over", path);
    }
    told(hide, path);
    return 0;
}

static int cover_directory(const struct hide *hide, const char *path)
{
    return paths_cover(&hide->shown, path) || paths_lead_from(&hide->shown, path)
               ? 0
               : cover(hide, path);
}

static int cover_all(const struct hide *hide)
{
    char tmux[64];
    snprintf(tmux, sizeof(tmux), "/tmp/tmux-%u", (unsigned)getuid());
    int r = cover_directory(hide, tmux);
    for (size_t i = 0; i < sizeof(socket_dirs) / sizeof(socket_dirs[0]) && r == 0; i++) {
        r = cover_directory(hide, socket_dirs[i]);
    }
    for (size_t i = 0; i < hide->sockets.count && r == 0; i++) {
        const char *path = hide->sockets.items[i];
        if (!is_within(path, RUN) && !paths_cover(&hide->shown, path)) {
            r = cover(hide, path);
        }
    }
    for (size_t i = 0; i < hide->covered.count && r == 0; i++) {
        r = cover(hide, hide->covered.items[i]);
    }
    return r;
}

int hide_apply(const struct hide *hide)
{
    int r = rebuild_at(hide, RUN);
    if (r == 0) {
        r = make_covers();
    }
    return r < 0 ? r : cover_all(hide);
}

int hide_now(const struct hide *hide, const char *path)
{
    char absolute[PATH_MAX];
    if (realpath(path, absolute) == NULL) {
        return is_out_of_reach(errno) ? 0 : failed("find", path);
    }
    return cover(hide, absolute);
}

void hide_finish(void)
{
    (void)unlink(COVER "/file");
    (void)rmdir(COVER "/dir");
    (void)rmdir(COVER);
}

int hide_replace(const struct hide *hide, const char *from, const char *path)
{
    int r = mount_on(from, path);
    if (r == -ENOENT) {
        char dir[PATH_MAX];
        snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
        r = rebuild_at(hide, dir);
        if (r == 0 && symlink(from, path) != 0) {
            r = -errno;
        }
    }
    if (r < 0) {
        command_say("cannot put a file of the guest's own at %s: %s", path, strerror(-r));
    }
    return r;
}
