/* Slots by locks (flock(2)) on one file each. The files stay: an empty one costs nothing, and to
 * remove it would take its name from under another's lock. */
#include "cli/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "net/addressing.h"

enum { SLOT_FIRST = 1, SLOT_MAX = 65535 };

/* ---- the directory ---- */

static int open_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The machine's, which its administrator has made. */
static int open_shared(void)
{
    struct stat st;
    int fd = open_dir("/run/lunette");
    if (fd < 0) {
        return fd;
    }
    /* In one that all may write to, nobody may take away another's file. */
    bool safe = fstat(fd, &st) == 0 && st.st_uid == 0 &&
                ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (st.st_mode & S_ISVTX) != 0);
    if (!safe || faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) != 0) {
        close(fd);
        return -EACCES;
    }
    return fd;
}

/* One of this user's own. */
static int open_own(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return -errno;
    }
    int fd = open_dir(path);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        close(fd);
        return -EPERM;
    }
    return fd;
}

int slot_open_dir(ln_error *reterr)
{
    char path[4096];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0) {
        (void)mkdir("/run/lunette", 0755);
    }
    int fd = open_shared();
    if (fd >= 0) {
        return fd;
    }
    if (runtime != NULL && runtime[0] == '/' &&
        (size_t)snprintf(path, sizeof(path), "%s/lunette", runtime) < sizeof(path)) {
        fd = open_own(path);
        if (fd >= 0) {
            return fd;
        }
    }
    snprintf(path, sizeof(path), "/tmp/lunette-%u", (unsigned)geteuid());
    fd = open_own(path);
    return fd >= 0 ? fd
                   : fail_with(reterr, fd, "--slot auto: %s: %s", path,
                               fd == -EPERM ? "it is not this user's, or not only" : strerror(-fd));
}

/* ---- locks ---- */

/* Returns the file that holds the lock; -EWOULDBLOCK: it is taken; or another -errno. */
static int lock(int dir, uint32_t slot, int how)
{
    char name[24];
    struct stat st;
    snprintf(name, sizeof(name), "slot-%u", (unsigned)slot);
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) {
        bool others = errno == EACCES || errno == EPERM || errno == ELOOP || errno == EISDIR ||
                      errno == ENXIO; /* in a shared directory, whatever it is */
        return others ? -EWOULDBLOCK : -errno;
    }
    int r = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ? -EWOULDBLOCK
            : flock(fd, how | LOCK_NB) != 0             ? -errno
                                                        : 0;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static bool is_in_use(const struct link_identity *link, const ln_addr *addrs, size_t n_addrs)
{
    for (size_t i = 2; i < n_addrs; i++) { /* behind the gateway's own */
        if (ln_prefix_contains(&link->prefix4, &addrs[i]) ||
            ln_prefix_contains(&link->prefix6, &addrs[i])) {
            return true;
        }
    }
    return false;
}

static int take_from(int dir, const ln_settings *settings, const ln_addr *addrs, size_t n_addrs,
                     uint32_t *ret_slot, ln_error *reterr)
{
    struct link_identity link = {0};
    const char *field = "ipv4_pool";
    for (uint32_t slot = SLOT_FIRST; slot <= SLOT_MAX; slot++) {
        if (addressing_assign(settings, slot, &link, &field) < 0) {
            break;
        }
        if (is_in_use(&link, addrs, n_addrs)) {
            continue;
        }
        int fd = lock(dir, slot, LOCK_EX);
        if (fd >= 0) {
            *ret_slot = slot;
            return fd;
        }
        if (fd != -EWOULDBLOCK) {
            return fail_with(reterr, fd, "--slot auto: %s", strerror(-fd));
        }
    }
    return fail_with(reterr, -ENOSPC,
                     "--slot auto: all slots but 0 are taken; a larger %s has more", field);
}

int slot_take(int dir, const ln_settings *settings, uint32_t *ret_slot, ln_error *reterr)
{
    struct link_identity none = {0};
    ln_addr *addrs = NULL;
    size_t n_addrs;
    int r = machine_addresses(&none, &addrs, &n_addrs);
    if (r < 0) {
        return fail_with(reterr, r, "the machine's own addresses cannot be read: %s", strerror(-r));
    }
    r = take_from(dir, settings, addrs, n_addrs, ret_slot, reterr);
    free(addrs);
    return r;
}

int slot_share(int dir, uint32_t slot)
{
    return lock(dir, slot, LOCK_SH);
}
