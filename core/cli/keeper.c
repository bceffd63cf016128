/* The keeper of files.
 *
 * Theory of operation. The datapath asks with a datagram, a letter and a path or a command, and is
 * answered with an errno and, on success, a descriptor (SCM_RIGHTS). Whoever has taken over the
 * datapath may ask too, so that only what the datapath has read before can be had: regular files by
 * the policy's own name, `*.lua` files below the directories of the policy and of lunette's
 * modules, the files with certificates and secrets that the policy named at the start, and the
 * output of the commands that it named. What it named is told before CMD starts or a guest is
 * heard, and then sealed. Directories are open since they were told: that one of them, or one above
 * them, is exchanged changes nothing.
 *
 * Where the policy is watched, changes in its directory (inotify(7)) of the policy, or of what may
 * be its modules, are told by an eventfd(2), once nothing has changed for a moment: who writes a
 * file may write others with it. What changes all the time is told now and then all the same.
 *
 * The keeper ends when the datapath's end of the socket is closed, that is, in any case. Signals
 * mean the datapath, and are ignored here. */
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "luabind/module_dir.h"
#include "net/command.h"

enum { REQUEST_MAX = 32768, COMMANDS_RUNNING_MAX = 32 };

/* What a request begins with. */
enum {
    ASK_OPEN = 'o',
    ASK_RUN = 'r',
    TELL_FILE = 'F', /* may be asked for */
    TELL_COMMAND = 'C',
    TELL_SEAL = 'S' /* nothing more is told */
};

enum { QUIET_MS = 200, RESTLESS_MS = 2000 };
enum { FD_SOCKET = 3, FD_CHANGED, FD_FREE }; /* below, only standard error is somebody's */

/* A directory that files may be opened in, and what paths to it begin with. */
struct kept_dir {
    char prefix[PATH_MAX]; /* "" or with a slash at the end */
    int fd;
};

/* A file that the policy names. */
struct kept_file {
    struct kept_file *next;
    int dir; /* that it is in */
    char path[];
};

struct kept_command {
    struct kept_command *next;
    char text[];
};

struct kept {
    struct kept_dir policy_dir, module_dir;
    struct kept_file *files;
    struct kept_command *commands;
    unsigned running; /* of the commands */
    bool sealed;
    const char *policy_name; /* in policy_dir */
    const char *sockets[KEEPER_SOCKETS_MAX];
    struct stat status[KEEPER_SOCKETS_MAX];
    int directory[KEEPER_SOCKETS_MAX]; /* where they are; -1: none */
    int inotify;                       /* -1: the policy is not watched */
    uint64_t changed_ms;               /* since when something is to be told; 0: nothing is */
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

static int open_named(const struct kept *kept, const char *path)
{
    for (const struct kept_file *file = kept->files; file != NULL; file = file->next) {
        if (strcmp(file->path, path) == 0) {
            return open_regular(file->dir, name_in(path), 0);
        }
    }
    int r = open_kept(kept, path);
    return r == -ENOENT && !is_lua(path) ? -EPERM : r;
}

/* ---- commands ---- */

static int run_named(struct kept *kept, const char *text)
{
    pid_t pid;
    while (kept->running > 0 && waitpid(-1, NULL, WNOHANG | __WALL) > 0) {
        kept->running--;
    }
    for (const struct kept_command *one = kept->commands; one != NULL; one = one->next) {
        if (strcmp(one->text, text) == 0) {
            int fd = kept->running < COMMANDS_RUNNING_MAX ? command_start(text, &pid) : -EAGAIN;
            kept->running += fd >= 0;
            return fd;
        }
    }
    return -EPERM;
}

static int keep_file(struct kept *kept, const char *path)
{
    struct kept_dir dir;
    int r = open_dir(path, &dir);
    if (r < 0) {
        return r;
    }
    struct kept_file *file = malloc(sizeof(*file) + strlen(path) + 1);
    if (file == NULL) {
        close(dir.fd);
        return -ENOMEM;
    }
    file->next = kept->files;
    file->dir = dir.fd;
    strcpy(file->path, path);
    kept->files = file;
    return 0;
}

static int keep_command(struct kept *kept, const char *text)
{
    struct kept_command *command = malloc(sizeof(*command) + strlen(text) + 1);
    if (command == NULL) {
        return -ENOMEM;
    }
    command->next = kept->commands;
    strcpy(command->text, text);
    kept->commands = command;
    return 0;
}

/* Returns 0 or a descriptor, as is asked for, or -errno. */
static int take_request(struct kept *kept, char kind, const char *text, bool *ret_is_fd)
{
    *ret_is_fd = false;
    if (kept->sealed && kind != ASK_OPEN && kind != ASK_RUN) {
        return -EPERM;
    }
    switch (kind) {
    case ASK_OPEN:
        *ret_is_fd = true;
        return open_named(kept, text);
    case ASK_RUN:
        *ret_is_fd = true;
        return run_named(kept, text);
    case TELL_FILE:
        return keep_file(kept, text);
    case TELL_COMMAND:
        return keep_command(kept, text);
    case TELL_SEAL:
        kept->sealed = true;
        return 0;
    }
    return -EINVAL;
}

union rights {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static bool answer(int to, int outcome, bool is_fd)
{
    union rights rights = {0};
    struct iovec part = {.iov_base = &outcome, .iov_len = sizeof(outcome)};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (outcome >= 0 && is_fd) {
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

/* ---- watching ---- */

static int watch_policy(struct kept *kept)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", kept->policy_dir.fd);
    kept->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return kept->inotify < 0 || inotify_add_watch(kept->inotify, path,
                                                  IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE) < 0
               ? -errno
               : 0;
}

/* "..data" is the link that a mounted ConfigMap is exchanged by. */
static bool may_matter(const struct kept *kept, const char *name)
{
    return strcmp(name, kept->policy_name) == 0 || is_lua(name) || strcmp(name, "..data") == 0;
}

/* Takes what changed. Returns whether any of it may matter. */
static bool take_changes(const struct kept *kept)
{
    _Alignas(struct inotify_event) char buffer[4096];
    bool matters = false;
    ssize_t n;
    while ((n = read(kept->inotify, buffer, sizeof(buffer))) > 0) {
        const struct inotify_event *event;
        for (char *at = buffer; at < buffer + n; at += sizeof(*event) + event->len) {
            event = (const struct inotify_event *)(const void *)at;
            matters = matters || (event->mask & IN_Q_OVERFLOW) != 0 ||
                      (event->len > 0 && may_matter(kept, event->name));
        }
    }
    return matters;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for the datapath, and tells it what changes meanwhile. Returns false on an error. */
static bool wait_for_datapath(struct kept *kept)
{
    struct pollfd fds[] = {{.fd = FD_SOCKET, .events = POLLIN},
                           {.fd = kept->inotify, .events = POLLIN}};
    while (fds[0].revents == 0) {
        int n = poll(fds, kept->inotify < 0 ? 1 : 2, kept->changed_ms > 0 ? QUIET_MS : -1);
        if (n < 0) {
            return false;
        }
        if (fds[1].revents != 0 && take_changes(kept) && kept->changed_ms == 0) {
            kept->changed_ms = now_ms();
        }
        if (kept->changed_ms > 0 && (n == 0 || now_ms() - kept->changed_ms >= RESTLESS_MS)) {
            kept->changed_ms = 0;
            (void)eventfd_write(FD_CHANGED, 1);
        }
    }
    return true;
}

/* ---- the keeper's life ---- */

/* Answers until the datapath is gone. */
static void serve(struct kept *kept)
{
    char request[REQUEST_MAX + 1];
    ssize_t n;
    bool told = true;
    while (told && wait_for_datapath(kept) && (n = recv(FD_SOCKET, request, REQUEST_MAX, 0)) > 0) {
        request[n] = '\0';
        bool is_fd;
        int outcome = take_request(kept, request[0], request + 1, &is_fd);
        told = answer(FD_SOCKET, outcome, is_fd);
        if (outcome >= 0 && is_fd) {
            close(outcome);
        }
    }
}

/* Keeps these two and standard error, and no other descriptor. `changed`: -1: none. */
static int take_descriptors(int socket, int changed)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int high = fcntl(socket, F_DUPFD_CLOEXEC, FD_FREE); /* neither is in the other's way */
    int high_changed = fcntl(changed >= 0 ? changed : null, F_DUPFD_CLOEXEC, FD_FREE);
    if (null < 0 || high < 0 || high_changed < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0 || dup2(high, FD_SOCKET) < 0 ||
        dup2(high_changed, FD_CHANGED) < 0) {
        return -errno;
    }
    return syscall(SYS_close_range, (unsigned)FD_FREE, ~0u, 0u) != 0 ? -errno : 0;
}

static _Noreturn void keep(int socket, int changed, const char *policy, const char *module_dir,
                           const char *const sockets[KEEPER_SOCKETS_MAX])
{
    struct kept kept = {.inotify = -1};
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* What is the datapath's must not outlive it here. Commands say what is wrong to standard
     * error. */
    if (take_descriptors(socket, changed) < 0) {
        _exit(1);
    }
    int r = prepare(&kept, policy, module_dir, sockets);
    if (r == 0 && changed >= 0) {
        r = watch_policy(&kept);
    }
    if (send(FD_SOCKET, &r, sizeof(r), MSG_NOSIGNAL) > 0 && r == 0) {
        serve(&kept);
    }
    remove_sockets(&kept);
    _exit(0);
}

/* ---- the datapath's side ---- */

/* Returns what is answered, with a descriptor in the place of 0 where `wants_fd`. */
static int request(const struct keeper *keeper, char kind, const char *text, bool wants_fd)
{
    union rights rights = {0};
    int outcome;
    struct iovec question[] = {{.iov_base = &kind, .iov_len = 1},
                               {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)}};
    struct iovec part = {.iov_base = &outcome, .iov_len = sizeof(outcome)};
    struct msghdr asked = {.msg_iov = question, .msg_iovlen = 2};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = rights.bytes,
                            .msg_controllen = sizeof(rights.bytes)};
    if (question[1].iov_len >= REQUEST_MAX) {
        return -E2BIG;
    }
    if (sendmsg(keeper->socket, &asked, MSG_NOSIGNAL) < 0) {
        return -errno;
    }
    ssize_t n = recvmsg(keeper->socket, &header, MSG_CMSG_CLOEXEC);
    if (n != sizeof(outcome)) {
        return n < 0 ? -errno : -EPIPE;
    }
    if (outcome >= 0 && wants_fd) {
        if (CMSG_FIRSTHDR(&header) == NULL) {
            return -EPROTO;
        }
        memcpy(&outcome, CMSG_DATA(&rights.header), sizeof(outcome));
    }
    return outcome;
}

static int ask_open(void *user, const char *path)
{
    return request(user, ASK_OPEN, path, true);
}

static int ask_run(void *user, const char *command)
{
    return request(user, ASK_RUN, command, true);
}

/* A file may be named more than once, and need not be there yet. */
static int tell_file(const struct keeper *keeper, const char *path)
{
    int r = request(keeper, TELL_FILE, path, false);
    return r == -ENOENT || r == -ENOTDIR || r == -EACCES ? 0 : r;
}

static int tell_settings(const struct keeper *keeper, const ln_settings *settings)
{
    const ln_tls_settings *tls = &settings->tls;
    int r = 0;
    for (size_t i = 0; i < tls->n_upstream_ca_certs && r == 0; i++) {
        r = tell_file(keeper, tls->upstream_ca_certs[i]);
    }
    for (size_t i = 0; i < tls->n_ca_certs_for; i++) {
        for (size_t k = 0; k < tls->ca_certs_for[i].n_paths && r == 0; k++) {
            r = tell_file(keeper, tls->ca_certs_for[i].paths[k]);
        }
    }
    for (size_t i = 0; i < settings->n_secrets && r == 0; i++) {
        const ln_secret *secret = &settings->secrets[i];
        if (secret->from == LN_SECRET_FROM_FILE) {
            r = tell_file(keeper, secret->source);
        } else if (secret->from == LN_SECRET_COMMAND) {
            r = request(keeper, TELL_COMMAND, secret->source, false);
        }
    }
    return r;
}

int keeper_seal(const struct keeper *keeper, const ln_settings *settings)
{
    int r = keeper->socket < 0 ? 0 : tell_settings(keeper, settings);
    return r < 0 || keeper->socket < 0 ? r : request(keeper, TELL_SEAL, "", false);
}

int keeper_start(struct keeper *keeper, const char *policy,
                 const char *const sockets[KEEPER_SOCKETS_MAX], bool watches)
{
    int pair[2];
    *keeper = (struct keeper){.socket = -1, .changed = -1, .module_dir = module_dir_find()};
    if (keeper->module_dir == NULL) {
        return -ENOMEM;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    keeper->socket = pair[0];
    if (watches && (keeper->changed = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
        close(pair[1]);
        return -errno;
    }
    keeper->pid = fork();
    if (keeper->pid == 0) {
        keep(pair[1], keeper->changed, policy, keeper->module_dir, sockets);
    }
    int r = keeper->pid < 0 ? -errno : 0;
    close(pair[1]);
    keeper->opener =
        (struct file_opener){.open = ask_open, .user = keeper, .module_dir = keeper->module_dir};
    keeper->files =
        (ln_files){.size = sizeof(ln_files), .user = keeper, .open = ask_open, .run = ask_run};
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
    if (keeper->changed >= 0) {
        close(keeper->changed);
        keeper->changed = -1;
    }
    free(keeper->module_dir);
    keeper->module_dir = NULL;
}
