/* Mounts that make the machine look as it ought to from inside. */
#include "cli/guest_view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"

#define RESOLVER "/run/lunette/resolv.conf"

static int failed(const char *what, const char *hint)
{
    int err = errno;
    command_say("cannot %s: %s%s", what, strerror(err), hint);
    return -err;
}

/* For the mount at `path` and those below. */
static int set_attribute(const char *path, uint64_t attribute)
{
    struct mount_attr attributes = {.attr_set = attribute};
    return mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &attributes, sizeof(attributes));
}

static int mount_proc(void)
{
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) {
        return failed("mount /proc", errno == EPERM
                                         ? " (a container that masks parts of /proc forbids it: "
                                           "--security-opt systempaths=unconfined)"
                                         : "");
    }
    return 0;
}

/* A /sys that shows the guest's interfaces and not the host's, read-only; control groups stay
 * visible, for runtimes that look there for their limits. Where a new one is forbidden, the host's
 * is kept, read-only. */
static int mount_sys(void)
{
    int groups =
        open_tree(AT_FDCWD, "/sys/fs/cgroup", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    bool is_new =
        mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) == 0;
    if (groups >= 0) {
        if (is_new) {
            (void)move_mount(groups, "", AT_FDCWD, "/sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH);
        }
        close(groups);
    }
    if (set_attribute("/sys", MOUNT_ATTR_RDONLY) != 0 && errno != ENOENT && errno != EINVAL) {
        return failed("make /sys read-only", "");
    }
    return 0;
}

int guest_view_apply(const struct hide *hide)
{
    char directory[PATH_MAX];
    bool has_directory = getcwd(directory, sizeof(directory)) != NULL && directory[0] == '/';
    /* Set-user-id and capabilities of files gain nothing without this either (privileges.h); but a
     * file with capabilities, as ping may be, could not be executed at all. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ||
        set_attribute("/", MOUNT_ATTR_NOSUID) != 0) {
        return failed("detach from the host's mounts", "");
    }
    int r = hide_apply(hide);
    if (r == 0) {
        r = mount_proc();
    }
    if (r == 0) {
        r = mount_sys();
    }
    /* The working directory is still one of the mounts below: from there CMD could walk around
     * those above. */
    if (r == 0 && chdir(has_directory ? directory : "/") != 0) {
        r = failed("enter the working directory again", " (it is hidden from CMD: see --show)");
    }
    return r;
}

int guest_view_resolver(const struct hide *hide, const ln_link *link, const char *search)
{
    FILE *file = fopen(RESOLVER, "we");
    if (file == NULL) {
        return failed("write " RESOLVER, "");
    }
    char v4[LN_ADDR_TEXT_MAX], v6[LN_ADDR_TEXT_MAX];
    ln_addr_format(&link->gateway4, v4);
    ln_addr_format(&link->gateway6, v6);
    fprintf(file, "# lunette answers\nnameserver %s\nnameserver %s\nsearch %s\n", v4, v6,
            *search != '\0' ? search : ".");
    if (fchmod(fileno(file), 0444) != 0 || fclose(file) != 0) {
        return failed("write " RESOLVER, "");
    }
    return hide_replace(hide, RESOLVER, "/etc/resolv.conf");
}

int guest_view_seal(void)
{
    static const char *const parts[] = {
        "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus",
        "/proc/fs",  "/proc/acpi",          "/proc/scsi"};
    hide_finish();
    if (geteuid() != 0) {
        return 0; /* file permissions do */
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        bool sealed = mount(parts[i], parts[i], NULL, MS_BIND | MS_REC, NULL) == 0 &&
                      set_attribute(parts[i], MOUNT_ATTR_RDONLY) == 0;
        if (!sealed && errno != ENOENT) {
            return failed("make parts of /proc read-only", "");
        }
    }
    return 0;
}
