/* The guest's seccomp filter: a short list of what is refused; everything else is the kernel's
 * ordinary business and passes.
 *
 * - Sockets of families that network namespaces do not contain, or not on every kernel (AF_VSOCK
 *   reaches the hypervisor, AF_BLUETOOTH the radio, AF_QIPCRTR the modem): everything above
 *   AF_PACKET and the old ones below.
 * - io_uring, which makes sockets without socket(2).
 * - Keys: request_key(2) has the host's root look names up on the host's network (dns_resolver),
 *   and keyrings are shared with the session lunette was started from.
 * - TIOCSTI and TIOCLINUX: typing into the terminal, for the shell that gets it back afterwards.
 *
 * Refusals are errors that programs know how to take: "this kernel does not have it". */
#include "cli/guest_filter.h"

#include <errno.h>
#include <linux/tiocl.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const int refused_families[] = {
    AF_AX25, AF_IPX,  AF_APPLETALK, AF_NETROM,  AF_BRIDGE,   AF_ATMPVC,
    AF_X25,  AF_ROSE, AF_DECnet,    AF_NETBEUI, AF_SECURITY, AF_KEY,
};

static const int refused_calls[] = {
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
};

static const unsigned refused_ioctls[] = {TIOCSTI, TIOCLINUX};

/* Programs of the machine's other ABIs run too, and are judged alike. */
static int add_architectures(scmp_filter_ctx filter)
{
    int r = 0;
#if defined(__x86_64__)
    static const uint32_t others[] = {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
    static const uint32_t others[] = {SCMP_ARCH_ARM};
#else
    static const uint32_t others[] = {SCMP_ARCH_NATIVE};
#endif
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]) && r == 0; i++) {
        r = seccomp_arch_add(filter, others[i]);
        r = r == -EEXIST ? 0 : r;
    }
    return r;
}

static int add_rules(scmp_filter_ctx filter)
{
    int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_GT, AF_PACKET, 0));
    for (size_t i = 0; i < sizeof(refused_families) / sizeof(refused_families[0]) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)refused_families[i], 0));
    }
    for (size_t i = 0; i < sizeof(refused_calls) / sizeof(refused_calls[0]) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), refused_calls[i], 0);
    }
    /* The kernel looks at 32 bits of the request only. */
    for (size_t i = 0; i < sizeof(refused_ioctls) / sizeof(refused_ioctls[0]) && r == 0; i++) {
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, refused_ioctls[i]));
    }
    return r;
}

int guest_filter_install(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL) {
        return -ENOMEM;
    }
    int r = add_architectures(filter);
    if (r == 0) {
        r = add_rules(filter);
    }
    if (r == 0) {
        r = seccomp_load(filter);
    }
    seccomp_release(filter);
    return r;
}
