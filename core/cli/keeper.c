/* The keeper of files.
 *
 * Theory of operation. The datapath asks with a path in a datagram, and is answered with an errno
 * and, on success, a descriptor (SCM_RIGHTS). Whoever has taken over the datapath may ask too, so
 * that only what the datapath has read before can be had: regular files by the policy's own name,
 * and `*.lua` files below the directories of the policy and of lunette's modules. Those directories
 * are open since the start: that one of them, or one above them, is exchanged changes nothing.
 *
 * The keeper ends when the datapath's end of the socket is closed, that is, in any case. Signals
 * mean the datapath, and are ignored here. */
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "luabind/module_dir.h"

/* A directory that files may be opened in, and what paths to it begin with. */
struct kept_dir {
    char prefix[PATH_MAX]; /* "" or with a slash at the end */
    int fd;
};

struct kept {
    struct kept_dir policy_dir, module_dir;
    const char *policy_name; /* in policy_dir */
    const char *sockets[KEEPER_SOCKETS_MAX];
    struct stat status[KEEPER_SOCKETS_MAX];
    int directory[KEEPER_SOCKETS_MAX]; /* where they are; -1: none */
};

/* ---- the keeper's side ---- */

static const char *name_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Opens the directory of `path`, up to its last slash. */
static int open_dir(const char *path, struct kept_dir *ret)
{
    size_t len = (size_t)(name_in(path) - path);
    if (len >= sizeof(ret->prefix)) {
        return -ENAMETOOLONG;
    }
    memcpy(ret->prefix, path, len);
    ret->prefix[len] = '\0';
    ret->fd = open(len == 0 ? "." : ret->prefix, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return ret->fd < 0 ? -errno : 0;
}

/* What is left of a path behind a directory, or NULL. */
static const char *below(const struct kept_dir *dir, const char *path)
{
    size_t len = strlen(dir->prefix);
    return dir->fd >= 0 && strncmp(path, dir->prefix, len) == 0 ? path + len : NULL;
}

static bool is_lua(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static int open_regular(int dir, const char *name, uint64_t resolve)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                           .resolve = RESOLVE_NO_MAGICLINKS | resolve};
    struct stat st;
    int fd = (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

static int open_kept(const struct kept *kept, const char *path)
{
    const char *name = below(&kept->policy_dir, path);
    if (name != NULL && strcmp(name, kept->policy_name) == 0) {
        return open_regular(kept->policy_dir.fd, name, 0); /* it may be a link */
    }
    if (name != NULL && is_lua(name) && name[0] != '/') {
        int fd = open_regular(kept->policy_dir.fd, name, RESOLVE_BENEATH);
        if (fd != -ENOENT) {
            return fd;
        }
    }
    name = below(&kept->module_dir, path);
    return name != NULL && is_lua(name) ? open_regular(kept->module_dir.fd, name, RESOLVE_BENEATH)
                                        : -ENOENT;
}

union rights {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static bool answer(int to, int outcome)
{
    union rights rights = {0};
    struct iovec part = {.iov_base = &outcome, .iov_len = sizeof(outcome)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (outcome >= 0) {
        header.msg_control = rights.bytes;
        header.msg_controllen = sizeof(rights.bytes);
        rights.header.cmsg_level = SOL_SOCKET;
        rights.header.cmsg_type = SCM_RIGHTS;
        rights.header.cmsg_len = CMSG_LEN(sizeof(outcome));
        memcpy(CMSG_DATA(&rights.header), &outcome, sizeof(outcome));
    }
    return sendmsg(to, &header, MSG_NOSIGNAL) >= 0;
}

static void remove_sockets(const struct kept *kept)
{
    for (int i = 0; i < KEEPER_SOCKETS_MAX; i++) {
        struct stat now;
        const char *name = kept->sockets[i] == NULL ? NULL : name_in(kept->sockets[i]);
        if (name != NULL && fstatat(kept->directory[i], name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
            now.st_ino == kept->status[i].st_ino && now.st_dev == kept->status[i].st_dev) {
            (void)unlinkat(kept->directory[i], name, 0); /* not another's that took its place */
        }
    }
}

static int prepare(struct kept *kept, const char *policy, const char *module_dir,
                   const char *const sockets[KEEPER_SOCKETS_MAX])
{
    kept->policy_name = name_in(policy);
    int r = open_dir(policy, &kept->policy_dir);
    if (r < 0 || open_dir(module_dir, &kept->module_dir) < 0) {
        return r; /* without modules, no policy loads, and says why */
    }
    for (int i = 0; i < KEEPER_SOCKETS_MAX && sockets[i] != NULL && r == 0; i++) {
        struct kept_dir dir;
        r = lstat(sockets[i], &kept->status[i]) != 0 ? -errno : open_dir(sockets[i], &dir);
        if (r == 0) {
            kept->sockets[i] = sockets[i];
            kept->directory[i] = dir.fd;
        }
    }
    return r;
}

/* Answers until the datapath is gone. */
static void serve(int socket, const struct kept *kept)
{
    char path[PATH_MAX];
    ssize_t n;
    bool told = true;
    while (told && (n = recv(socket, path, sizeof(path) - 1, 0)) > 0) {
        path[n] = '\0';
        int outcome = open_kept(kept, path);
        told = answer(socket, outcome);
        if (outcome >= 0) {
            close(outcome);
        }
    }
}

static _Noreturn void keep(int socket, const char *policy, const char *module_dir,
                           const char *const sockets[KEEPER_SOCKETS_MAX])
{
    struct kept kept = {0};
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* What is the datapath's must not outlive it here. */
    if (dup2(socket, 0) != 0 || syscall(SYS_close_range, 1u, ~0u, 0u) != 0) {
        _exit(1);
    }
    int r = prepare(&kept, policy, module_dir, sockets);
    if (send(0, &r, sizeof(r), MSG_NOSIGNAL) > 0 && r == 0) {
        serve(0, &kept);
    }
    remove_sockets(&kept);
    _exit(0);
}

/* ---- the datapath's side ---- */

static int ask(void *user, const char *path)
{
    const struct keeper *keeper = user;
    union rights rights = {0};
    int outcome;
    struct iovec part = {.iov_base = &outcome, .iov_len = sizeof(outcome)};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = rights.bytes,
                            .msg_controllen = sizeof(rights.bytes)};
    if (send(keeper->socket, path, strlen(path), MSG_NOSIGNAL) < 0) {
        return -errno;
    }
    ssize_t n = recvmsg(keeper->socket, &header, MSG_CMSG_CLOEXEC);
    if (n != sizeof(outcome)) {
        return n < 0 ? -errno : -EPIPE;
    }
    if (outcome >= 0) {
        if (CMSG_FIRSTHDR(&header) == NULL) {
            return -EPROTO;
        }
        memcpy(&outcome, CMSG_DATA(&rights.header), sizeof(outcome));
    }
    return outcome;
}

int keeper_start(struct keeper *keeper, const char *policy,
                 const char *const sockets[KEEPER_SOCKETS_MAX])
{
    int pair[2];
    *keeper = (struct keeper){.socket = -1, .module_dir = module_dir_find()};
    if (keeper->module_dir == NULL) {
        return -ENOMEM;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    keeper->pid = fork();
    if (keeper->pid == 0) {
        keep(pair[1], policy, keeper->module_dir, sockets);
    }
    int r = keeper->pid < 0 ? -errno : 0;
    close(pair[1]);
    keeper->socket = pair[0];
    keeper->opener =
        (struct file_opener){.open = ask, .user = keeper, .module_dir = keeper->module_dir};
    if (r == 0 && recv(keeper->socket, &r, sizeof(r), 0) != sizeof(r)) {
        r = -EPIPE;
    }
    return r;
}

void keeper_stop(struct keeper *keeper)
{
    if (keeper->socket >= 0) {
        close(keeper->socket);
        keeper->socket = -1;
        while (keeper->pid > 0 && waitpid(keeper->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    free(keeper->module_dir);
    keeper->module_dir = NULL;
}
