/* `lunette doctor`: tries what lunette needs of the machine, and says what mends it where it is
 * not there. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "cli/command.h"
#include "cli/isolation.h"
#include "cli/options.h"
#include "net/addressing.h"
#include "net/ca_store.h"
#include "net/host_roots.h"
#include "net/host_socket.h"

enum {
    EXIT_LACKING = 1,
    SOCKET_BUFFER_MIN = 212992, /* bytes: what kernels come with */
    DESCRIPTORS_MIN = 8192,     /* twice the default of max_connections */
    LOCKED_MIN = 1 << 20,       /* bytes: for a hundred secrets or so */
    DAY_S = 24 * 3600,
    EXPIRY_NEAR_S = 30 * DAY_S
};

/* What a check found. */
struct finding {
    bool lacking; /* something does not work without it; else it is only slower, or less */
    char what[160];
    char mend[320];
};

__attribute__((format(printf, 2, 3))) static void find(struct finding *finding, const char *format,
                                                       ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(finding->what, sizeof(finding->what), format, args);
    va_end(args);
}

static void mend(struct finding *finding, const char *how)
{
    (void)snprintf(finding->mend, sizeof(finding->mend), "%s", how);
}

/* Each returns whether all is well; else it fills *ret. */

static bool check_namespaces(struct finding *ret)
{
    pid_t pid = fork();
    if (pid == 0) {
        int flags =
            CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
        _exit(unshare(flags) == 0 ? 0 : errno);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status)) {
        find(ret, "namespaces could not be tried: %s", strerror(errno));
        return false;
    }
    int err = WEXITSTATUS(status);
    if (err == 0) {
        return true;
    }
    const char *why = isolation_why(err);
    find(ret, "no namespaces can be made: %s", strerror(err));
    mend(ret, why != NULL ? why : "allow user namespaces");
    ret->lacking = true;
    return false;
}

static bool check_tun(struct finding *ret)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        struct stat st;
        bool open_to_all = fstat(fd, &st) != 0 || (st.st_mode & 0006) == 0006;
        close(fd);
        if (open_to_all) {
            return true;
        }
        find(ret, "/dev/net/tun is closed to other users (mode %04o)", st.st_mode & 07777u);
        mend(ret, "`chmod 0666 /dev/net/tun`; opening it gives no privilege");
        return false;
    }
    int err = errno;
    find(ret, "/dev/net/tun: %s", strerror(err));
    mend(ret, err == EACCES ? "`chmod 0666 /dev/net/tun`; opening it gives no privilege"
                            : "`modprobe tun`, or, in a container, `--device /dev/net/tun`");
    ret->lacking = true;
    return false;
}

static bool check_ping(struct finding *ret)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (fd >= 0) {
        close(fd);
        return true;
    }
    find(ret, "guests cannot ping the network: %s", strerror(errno));
    mend(ret, "`sysctl net.ipv4.ping_group_range=\"0 2147483647\"`");
    return false;
}

static bool check_peek_offset(struct finding *ret)
{
    if (host_socket_probe_peek_offset()) {
        return true;
    }
    find(ret, "no SO_PEEK_OFF for TCP: downloads take more processor time");
    mend(ret, "Linux 6.11 or later");
    return false;
}

static bool check_buffers(struct finding *ret)
{
    long value = -1;
    FILE *file = fopen("/proc/sys/net/core/wmem_max", "re");
    if (file != NULL) {
        if (fscanf(file, "%ld", &value) != 1) {
            value = -1;
        }
        fclose(file);
    }
    if (value < 0 || value >= SOCKET_BUFFER_MIN) { /* not to be seen in a container */
        return true;
    }
    find(ret, "net.core.wmem_max is %ld: links over UNIX sockets are slow", value);
    mend(ret, "`sysctl net.core.wmem_max=4194304`");
    return false;
}

static bool check_descriptors(struct finding *ret)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max >= DESCRIPTORS_MIN) {
        return true;
    }
    find(ret, "at most %llu descriptors: fewer connections than max_connections allows",
         (unsigned long long)limit.rlim_max);
    mend(ret, "raise the hard limit: LimitNOFILE= of a unit, or /etc/security/limits.conf");
    return false;
}

static bool check_filter(struct finding *ret)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0) {
        return true;
    }
    find(ret, "no system call filters: %s", strerror(errno));
    mend(ret, "a kernel with CONFIG_SECCOMP_FILTER");
    ret->lacking = true;
    return false;
}

/* Calls that fail for their arguments are there. */
static bool check_calls(struct finding *ret)
{
    struct open_how how = {0};
    const char *missing = NULL;
    if (syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS) {
        missing = "clone3 (Linux 5.3)";
    } else if (syscall(SYS_openat2, -1, "", &how, sizeof(how)) < 0 && errno == ENOSYS) {
        missing = "openat2 (Linux 5.6)";
    } else if (syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno == ENOSYS) {
        missing = "mount_setattr (Linux 5.12)";
    }
    if (missing == NULL) {
        return true;
    }
    find(ret, "no %s", missing);
    mend(ret, "a newer kernel, or a container runtime whose filter knows the call");
    ret->lacking = true;
    return false;
}

static bool check_routes(struct finding *ret)
{
    bool v4 = machine_has_route(false), v6 = machine_has_route(true);
    if (v4 && v6) {
        return true;
    }
    find(ret, "no route to the Internet over %s: guests get none either",
         v4   ? "IPv6"
         : v6 ? "IPv4"
              : "IPv4 or IPv6");
    return false;
}

/* The CA of interception, where it was made already. */
static bool check_ca(struct finding *ret)
{
    const struct tls_authority_options options = {
        .services = host_services_system, .leaf_certificates = 1, .leaf_valid_s = DAY_S};
    struct tls_authority *authority = NULL;
    struct tls_authority_info info = {0};
    struct ca_store store;
    struct tls_pair pair;
    ln_error error;
    int r = ca_store_find(NULL, &store, &error);
    r = r < 0 ? r : ca_store_open(&store, CA_STORE_LOOK, &options, &pair, &error);
    if (r == -ENOENT) {
        return true; /* it is made on first use */
    }
    if (r == 0) {
        r = tls_authority_new(&options, pair.certificate, pair.certificate_len, pair.key,
                              pair.key_len, &authority, &error);
        tls_pair_free(&pair);
    }
    if (r == 0) {
        tls_authority_describe(authority, &info);
        (void)tls_authority_free(authority);
        if (info.not_after_s - (int64_t)time(NULL) > EXPIRY_NEAR_S) {
            return true;
        }
        find(ret, "the CA of interception expires in less than 30 days");
    } else {
        find(ret, "no TLS can be intercepted: %s", error.message);
        ret->lacking = true;
    }
    mend(ret, "`lunette ca regenerate`");
    return false;
}

static bool check_roots(struct finding *ret)
{
    const char *path = host_roots_find();
    if (path != NULL && access(path, R_OK) == 0) {
        return true;
    }
    find(ret, "%s: servers cannot be verified where TLS is intercepted",
         path == NULL ? "no bundle of root certificates" : path);
    mend(ret, "install ca-certificates, or set SSL_CERT_FILE or tls.upstream_ca_certs");
    return false;
}

static bool check_locked_memory(struct finding *ret)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= LOCKED_MIN) {
        return true;
    }
    find(ret, "only %llu bytes of memory may be locked: secrets may be swapped out",
         (unsigned long long)limit.rlim_cur);
    mend(ret, "raise the limit: LimitMEMLOCK= of a unit, or `ulimit -l`");
    return false;
}

static const struct check {
    const char *name;
    bool (*run)(struct finding *ret);
} checks[] = {
    {"user, mount, network and PID namespaces", check_namespaces},
    {"/dev/net/tun", check_tun},
    {"system call filters", check_filter},
    {"system calls of newer kernels", check_calls},
    {"ping sockets", check_ping},
    {"SO_PEEK_OFF for TCP", check_peek_offset},
    {"socket buffers", check_buffers},
    {"descriptors", check_descriptors},
    {"the CA of interception", check_ca},
    {"root certificates", check_roots},
    {"locked memory", check_locked_memory},
    {"routes", check_routes},
};

static int doctor_main(int argc, char **argv)
{
    size_t count;
    bool lacking = false;
    (void)argc;
    int status = options_parse(&command_doctor, NULL, 0, argv, &count);
    if (status != OPTIONS_GO_ON) {
        return status;
    }
    if (count > 0) {
        return command_usage_error(&command_doctor, "it takes no arguments");
    }
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct finding finding = {0};
        if (checks[i].run(&finding)) {
            printf("ok     %s\n", checks[i].name);
            continue;
        }
        lacking |= finding.lacking;
        printf("%s  %s\n", finding.lacking ? "LACKS" : "note ", finding.what);
        if (finding.mend[0] != '\0') {
            printf("       %s\n", finding.mend);
        }
    }
    return lacking ? EXIT_LACKING : 0;
}

const struct command command_doctor = {
    .name = "doctor",
    .synopsis = "",
    .summary = "say what this machine lacks for lunette, and what mends it",
    .help = "  -h, --help  print this\n"
            "\n"
            "Lines begin with `ok`, `note` (it works, but slower or with less), or `LACKS`.\n"
            "Exit status: 0 when nothing is lacking, else 1.\n",
    .main = doctor_main,
};
