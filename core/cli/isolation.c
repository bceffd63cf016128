/* Namespaces and id maps (user_namespaces(7), pid_namespaces(7)), and lunette's end of the
 * conversation with the guest. */
#include "cli/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"

enum { MAP_MAX = 4096 }; /* bytes; the kernel takes a page */

/* ---- what may be wrong ---- */

/* The number in a file below /proc/sys, or -1. */
static long read_setting(const char *path)
{
    long value = -1;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%ld", &value) != 1) {
            value = -1;
        }
        fclose(file);
    }
    return value;
}

const char *isolation_why(int err)
{
    if (read_setting("/proc/sys/user/max_user_namespaces") == 0) {
        return "user namespaces are switched off (`sysctl user.max_user_namespaces=10000`)";
    }
    if (read_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0) {
        return "users may not make user namespaces (`sysctl kernel.unprivileged_userns_clone=1`)";
    }
    if (read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1) {
        return "AppArmor keeps users from using user namespaces; give lunette a profile with "
               "`userns,`, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`";
    }
    if (err == ENOSPC || err == EUSERS) {
        return "the limits in /proc/sys/user are reached, or namespaces are nested too deeply";
    }
    if (err == EPERM || err == ENOSYS) {
        return "a container's system call filter, or a chroot, forbids it";
    }
    return err == EINVAL ? "this kernel is built without them" : NULL;
}

void isolation_explain(int err)
{
    const char *why = isolation_why(err);
    command_say("cannot make namespaces: %s%s%s", strerror(err), why == NULL ? "" : ": ",
                why == NULL ? "" : why);
}

/* ---- id maps ---- */

static int write_file(pid_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* Every id of this namespace, mapped to itself. */
static int map_all(pid_t pid, const char *name)
{
    char path[64], map[MAP_MAX];
    snprintf(path, sizeof(path), "/proc/self/%s", name);
    FILE *own = fopen(path, "re");
    if (own == NULL) {
        return -errno;
    }
    struct text text = text_of(map, sizeof(map));
    unsigned first, outside, count;
    while (fscanf(own, "%u %u %u", &first, &outside, &count) == 3) {
        text_printf(&text, "%u %u %u\n", first, first, count);
    }
    fclose(own);
    return text.len < sizeof(map) ? write_file(pid, name, map) : -E2BIG;
}

static int map_one(pid_t pid, const char *name, unsigned id)
{
    char map[64];
    snprintf(map, sizeof(map), "%u %u 1\n", id, id);
    return write_file(pid, name, map);
}

static int map_ids(pid_t pid)
{
    if (geteuid() == 0 && map_all(pid, "uid_map") == 0) {
        return map_all(pid, "gid_map");
    }
    /* Without privileges: the own ids, and supplementary groups can no longer be changed. */
    int r = write_file(pid, "setgroups", "deny");
    if (r == 0) {
        r = map_one(pid, "uid_map", (unsigned)geteuid());
    }
    if (r == 0) {
        r = map_one(pid, "gid_map", (unsigned)getegid());
    }
    return r;
}

/* ---- the guest ---- */

/* fork() into new namespaces. */
static pid_t fork_into(uint64_t flags)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

int guest_start(struct guest *guest, const struct guest_options *options)
{
    struct guest_options inside = *options;
    struct sigaction wait_for_children = {.sa_handler = SIG_DFL};
    int pair[2];
    if (sigaction(SIGCHLD, &wait_for_children, &inside.on_child) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        int err = errno;
        command_say("cannot start the guest: %s", strerror(err));
        return -err;
    }
    pid_t pid = fork_into(CLONE_NEWUSER | CLONE_NEWPID);
    if (pid == 0) {
        close(pair[0]);
        guest_main(&inside, pair[1]);
    }
    int err = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        isolation_explain(err);
        return -err;
    }
    *guest = (struct guest){.pid = pid, .control = pair[0]};
    int r = map_ids(pid);
    if (r < 0) {
        command_say("cannot map user and group ids: %s", strerror(-r));
        return r;
    }
    return guest_send(guest->control, &(struct guest_message){.kind = GUEST_MAPPED}, -1);
}

int guest_tap(struct guest *guest)
{
    struct guest_message message;
    int fd = -1;
    int r = guest_expect(guest->control, GUEST_TAP, &message, &fd);
    return r < 0 ? r : fd;
}

static int send_text(struct guest *guest, enum guest_message_kind kind, const char *text)
{
    struct guest_message message = {.kind = kind};
    if (strlen(text) >= sizeof(message.text)) {
        return -ENAMETOOLONG;
    }
    strcpy(message.text, text);
    return guest_send(guest->control, &message, -1);
}

int guest_cover(struct guest *guest, const char *path)
{
    return send_text(guest, GUEST_COVER, path);
}

int guest_unset(struct guest *guest, const char *name)
{
    return send_text(guest, GUEST_UNSET, name);
}

int guest_setenv(struct guest *guest, const char *name, const char *value)
{
    struct guest_message message = {.kind = GUEST_SETENV};
    struct text text = text_of(message.text, sizeof(message.text));
    text_printf(&text, "%s=%s", name, value);
    return text.len < sizeof(message.text) ? guest_send(guest->control, &message, -1)
                                           : -ENAMETOOLONG;
}

int guest_trust(struct guest *guest, const char *pem)
{
    struct guest_message message = {.kind = GUEST_TRUST};
    int r = 0;
    for (size_t len = strlen(pem); len > 0 && r == 0;) {
        size_t part = len < sizeof(message.text) ? len : sizeof(message.text) - 1;
        memcpy(message.text, pem, part);
        message.text[part] = '\0';
        pem += part;
        len -= part;
        r = guest_send(guest->control, &message, -1);
    }
    return r;
}

int guest_search(struct guest *guest, const ln_settings *settings)
{
    struct guest_message message = {.kind = GUEST_SEARCH};
    struct text search = text_of(message.text, sizeof(message.text));
    for (size_t i = 0; i < settings->n_dns_search; i++) {
        text_printf(&search, "%s%s", i == 0 ? "" : " ", settings->dns_search[i]);
    }
    return guest_send(guest->control, &message, -1);
}

int guest_configure(struct guest *guest, const ln_link *link)
{
    struct guest_message message = {.kind = GUEST_LINK, .link = *link};
    return guest_send(guest->control, &message, -1);
}

int guest_go(struct guest *guest)
{
    struct guest_message message;
    int r = guest_expect(guest->control, GUEST_READY, &message, NULL);
    if (r == 0) {
        r = guest_send(guest->control, &(struct guest_message){.kind = GUEST_GO}, -1);
    }
    return r;
}

void guest_signal(struct guest *guest, int signal)
{
    struct guest_message message = {.kind = GUEST_SIGNAL, .signal = signal};
    (void)guest_send(guest->control, &message, -1);
}

int guest_wait(struct guest *guest, int options)
{
    int status;
    pid_t pid;
    do {
        pid = waitpid(guest->pid, &status, options);
    } while (pid < 0 && errno == EINTR);
    if (pid == 0) {
        return -1;
    }
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_LUNETTE_FAILED;
}
