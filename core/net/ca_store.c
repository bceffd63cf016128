/* The interception CA's files.
 *
 * Theory of operation. The directory is locked while the pair is read or written. Each file is
 * written under another name and renamed, the certificate last: where it is, the pair is whole, and
 * what a crash left before that is written over. On a file system without locks, two that start at
 * once for the first time may leave a pair that does not fit together: an error, which says how it
 * is mended. */
#include "net/ca_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

#define CERTIFICATE "ca.pem"
#define KEY         "ca-key.pem"

enum { PEM_MAX = 65536, DIR_MODE = 0700, CERTIFICATE_MODE = 0644, KEY_MODE = 0600 };

int ca_store_find(const char *data_dir, struct ca_store *ret, ln_error *reterr)
{
    const char *base = getenv("XDG_DATA_HOME");
    const char *middle = "/lunette";
    if (data_dir != NULL) {
        base = data_dir;
        middle = "";
    } else if (base == NULL || base[0] != '/') { /* a relative one is to be ignored, says XDG */
        base = getenv("HOME");
        middle = "/.local/share/lunette";
    }
    if (base == NULL || base[0] == '\0') {
        return fail_with(reterr, -ENOENT,
                         "there is no place for the interception CA: $HOME is not set; accepted: "
                         "$XDG_DATA_HOME, or tls.ca_cert and tls.ca_key");
    }
    struct ca_store store;
    int len = snprintf(store.dir, sizeof(store.dir), "%s%s", base, middle);
    if (len < 0 || (size_t)len + sizeof("/" KEY) > sizeof(store.dir)) {
        return fail_with(reterr, -ENAMETOOLONG, "%.64s…: the path is too long", base);
    }
    snprintf(store.certificate, sizeof(store.certificate), "%.*s/" CERTIFICATE, len, store.dir);
    snprintf(store.key, sizeof(store.key), "%.*s/" KEY, len, store.dir);
    *ret = store;
    return 0;
}

static int failed(ln_error *reterr, const char *path)
{
    int err = errno;
    return fail_with(reterr, -err, "%s: %s", path, strerror(err));
}

/* ---- the directory ---- */

static int make_parents(const char *path)
{
    char parent[PATH_MAX];
    strcpy(parent, path);
    for (char *at = parent + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(parent, DIR_MODE) != 0 && errno != EEXIST) {
            return -errno;
        }
        *at = '/';
    }
    return mkdir(path, DIR_MODE) == 0 || errno == EEXIST ? 0 : -errno;
}

/* Whoever else may write here could put a CA of theirs into guests. */
static int check_owner(const char *path, const struct stat *st, mode_t forbidden, mode_t wanted,
                       ln_error *reterr)
{
    if (st->st_uid != geteuid()) {
        return fail_with(reterr, -EPERM,
                         "%s belongs to user %u; accepted: user %u, as whom lunette "
                         "runs",
                         path, (unsigned)st->st_uid, (unsigned)geteuid());
    }
    if ((st->st_mode & forbidden) != 0) {
        return fail_with(reterr, -EPERM,
                         "%s has mode %04o; accepted: %04o (`chmod %o` it, and see who used it)",
                         path, st->st_mode & 07777u, wanted, wanted);
    }
    return 0;
}

/* Opens the directory and locks it. Returns the descriptor or -errno. */
static int open_dir(const struct ca_store *store, enum ca_store_how how, ln_error *reterr)
{
    struct stat st;
    int r = how == CA_STORE_LOOK ? 0 : make_parents(store->dir);
    if (r < 0) {
        return fail_with(reterr, r, "%s: %s", store->dir, strerror(-r));
    }
    int fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return failed(reterr, store->dir);
    }
    r = fstat(fd, &st) != 0 ? failed(reterr, store->dir)
                            : check_owner(store->dir, &st, 0077, DIR_MODE, reterr);
    if (r < 0) {
        close(fd);
        return r;
    }
    while (flock(fd, how == CA_STORE_LOOK ? LOCK_SH : LOCK_EX) != 0 && errno == EINTR) {
    }
    return fd;
}

/* ---- files ---- */

static void wipe_and_free(char *text, size_t len)
{
    if (text != NULL) {
        explicit_bzero(text, len);
        free(text);
    }
}

/* All of a file, into `room` bytes. Returns how many, or -errno. */
static ssize_t read_all(int fd, char *dst, size_t room)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, dst + len, room - len);
        if (n <= 0) {
            return n < 0 ? -errno : (ssize_t)len;
        }
        len += (size_t)n;
        if (len == room) {
            return -EFBIG;
        }
    }
}

static int read_file(int dir, const char *name, const char *path, mode_t forbidden, mode_t wanted,
                     char **ret, size_t *ret_len, ln_error *reterr)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return failed(reterr, path);
    }
    char *text = NULL;
    int r = fstat(fd, &st) != 0 ? failed(reterr, path)
                                : check_owner(path, &st, forbidden, wanted, reterr);
    if (r == 0 && !S_ISREG(st.st_mode)) {
        r = fail_with(reterr, -EINVAL, "%s is not a regular file", path);
    }
    if (r == 0 && (text = malloc(PEM_MAX + 1)) == NULL) {
        r = fail_with(reterr, -ENOMEM, "out of memory");
    }
    ssize_t len = r < 0 ? 0 : read_all(fd, text, PEM_MAX);
    close(fd);
    if (len < 0) {
        r = fail_with(reterr, (int)len, "%s: %s", path, strerror((int)-len));
    }
    if (r < 0) {
        wipe_and_free(text, PEM_MAX);
        return r;
    }
    text[len] = '\0';
    *ret = text;
    *ret_len = (size_t)len;
    return 0;
}

/* Writes a file under another name, all of it down to the disk, and renames it. */
static int write_file(int dir, const char *name, const char *path, mode_t mode, const char *text,
                      size_t len, ln_error *reterr)
{
    char temporary[64];
    snprintf(temporary, sizeof(temporary), ".%s.%ld", name, (long)getpid());
    (void)unlinkat(dir, temporary, 0); /* of a process that had this number and crashed */
    int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return failed(reterr, path);
    }
    bool written = fchmod(fd, mode) == 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    written = close(fd) == 0 && written && renameat(dir, temporary, dir, name) == 0;
    if (!written) {
        int r = failed(reterr, path);
        (void)unlinkat(dir, temporary, 0);
        return r;
    }
    return 0;
}

/* ---- the pair ---- */

static int read_pair(int dir, const struct ca_store *store, struct tls_pair *ret, ln_error *reterr)
{
    struct tls_pair pair = {0};
    int r = read_file(dir, CERTIFICATE, store->certificate, 0022, CERTIFICATE_MODE,
                      &pair.certificate, &pair.certificate_len, reterr);
    if (r == 0) {
        r = read_file(dir, KEY, store->key, 0077, KEY_MODE, &pair.key, &pair.key_len, reterr);
        if (r == -ENOENT) {
            r = fail_with(reterr, -EINVAL,
                          "%s is there, but not its key %s; accepted: both "
                          "(`lunette ca regenerate` makes others)",
                          store->certificate, store->key);
        }
    }
    if (r < 0) {
        tls_pair_free(&pair);
        return r;
    }
    *ret = pair;
    return 0;
}

static int make_pair(int dir, const struct ca_store *store,
                     const struct tls_authority_options *options, struct tls_pair *ret,
                     ln_error *reterr)
{
    struct tls_pair pair;
    int r = tls_authority_make(options, &pair);
    if (r < 0) {
        return fail_with(reterr, r, "the interception CA could not be made: %s", strerror(-r));
    }
    r = write_file(dir, KEY, store->key, KEY_MODE, pair.key, pair.key_len, reterr);
    if (r == 0) {
        r = write_file(dir, CERTIFICATE, store->certificate, CERTIFICATE_MODE, pair.certificate,
                       pair.certificate_len, reterr);
    }
    if (r < 0) {
        tls_pair_free(&pair);
        return r;
    }
    (void)fsync(dir);
    *ret = pair;
    return 0;
}

int ca_store_open(const struct ca_store *store, enum ca_store_how how,
                  const struct tls_authority_options *options, struct tls_pair *ret,
                  ln_error *reterr)
{
    int dir = open_dir(store, how, reterr);
    if (dir < 0) {
        return dir;
    }
    int r = how == CA_STORE_REPLACE ? -ENOENT : read_pair(dir, store, ret, reterr);
    if (r == -ENOENT && how != CA_STORE_LOOK) {
        r = make_pair(dir, store, options, ret, reterr);
    }
    close(dir); /* and the lock with it */
    return r;
}
