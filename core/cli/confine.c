/* Confining the datapath process (user_namespaces(7), pivot_root(2), seccomp(2)). */
#include "cli/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli/privileges.h"

int confine_memory(void)
{
    struct rlimit none = {0, 0};
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ? -errno
                                                                                         : 0;
}

/* A policy's functions may ask for the local time. Where TZ is set, the C library reads the zone
 * once and not at every question. */
static void read_time_zone(void)
{
    (void)setenv("TZ", ":/etc/localtime", 0);
    tzset();
}

int confine_privileges(void)
{
    read_time_zone();
    int r = privileges_drop();
    return r < 0 ? r : confine_memory(); /* the change of credentials may have undone it */
}

int confine_files(void)
{
    read_time_zone();
    /* Any directory will do as the place of the new root; "/proc" is everywhere. Mounting works in
     * a user namespace of our own, which also takes every privilege over the old one away. */
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
              "mode=0500,size=4k,nr_inodes=1") != 0 ||
        chdir("/proc") != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
        return -errno;
    }
    return confine_privileges();
}

/* ---- system calls ---- */

#if defined(__SANITIZE_ADDRESS__) /* gcc */
#define WITH_ADDRESS_SANITIZER
#elif defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER
#endif
#endif

#ifdef WITH_ADDRESS_SANITIZER

int confine_calls(int terminal_fd)
{
    (void)terminal_fd;
    return 0;
}

/* Looking for leaks at exit takes /proc and ptrace(2), which a confined process has not. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

#else

static const int allowed[] = {
    /* the loop: net/loop.c, signals, the guest */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(epoll_create1), /* a reload that has names to resolve: net/dns_upstream.c */
    SCMP_SYS(timerfd_create),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(waitid),
    SCMP_SYS(wait4),
    /* sockets: net/, libslirp, getifaddrs(3) */
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    /* threads of the sinks, which may not have begun when the filter is set, and the end of one */
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* the C library: clocks without vDSO, randomness, abort(3), stdio */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid), /* glib's random numbers without /dev/urandom, at each socket of libslirp */
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(lseek),
};

/* Calls that look for files, of which there are none: the C library asks for time zones, locales
 * and the number of processors now and then, and takes no for an answer. */
static const int pointless[] = {
    SCMP_SYS(open),       SCMP_SYS(openat), SCMP_SYS(stat),
    SCMP_SYS(newfstatat), SCMP_SYS(access), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),   SCMP_SYS(fstat),  SCMP_SYS(statx),
};

/* SIOCOUTQ is TIOCOUTQ, and FIONREAD is SIOCINQ. */
static const unsigned long socket_ioctls[] = {SIOCOUTQ, FIONREAD, FIONBIO, SIOCGIFNAME,
                                              SIOCGIFINDEX};

/* Not those that have signals sent. */
static const int fcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD};

static const int families[] = {AF_INET, AF_INET6, AF_NETLINK};

static int allow(scmp_filter_ctx filter, int call, struct scmp_arg_cmp argument)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, argument);
}

static int allow_with_arguments(scmp_filter_ctx filter, int terminal_fd)
{
    int r = 0;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && r == 0; i++) {
        r = allow(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    }
    for (size_t i = 0; i < sizeof(socket_ioctls) / sizeof(socket_ioctls[0]) && r == 0; i++) {
        r = allow(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, socket_ioctls[i], 0));
    }
    for (size_t i = 0; i < sizeof(fcntls) / sizeof(fcntls[0]) && r == 0; i++) {
        r = allow(filter, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i], 0));
    }
    if (r == 0 && terminal_fd >= 0) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 2,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)terminal_fd, 0),
                             SCMP_A1(SCMP_CMP_EQ, TIOCSPGRP, 0));
    }
    /* Memory, never to be executed. */
    for (int i = 0; i < 2 && r == 0; i++) {
        r = allow(filter, i == 0 ? SCMP_SYS(mmap) : SCMP_SYS(mprotect),
                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    /* raise(3) and abort(3). */
    return r < 0 ? r
                 : allow(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
}

static int add_rules(scmp_filter_ctx filter, int terminal_fd)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0) {
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    }
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (size_t i = 0; i < sizeof(pointless) / sizeof(pointless[0]) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), pointless[i], 0);
    }
    return r < 0 ? r : allow_with_arguments(filter, terminal_fd);
}

int confine_calls(int terminal_fd)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        return -ENOMEM;
    }
    int r = add_rules(filter, terminal_fd);
    if (r == 0) {
        r = seccomp_load(filter);
    }
    seccomp_release(filter);
    return r;
}

#endif
