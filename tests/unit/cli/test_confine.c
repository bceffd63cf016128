/* What a confined process can still do: each attempt in a child, which may be killed for it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/confine.h"
#include "cli/privileges.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#else
#define WITH_SANITIZER 0
#endif

/* Runs `attempt` in a child. Returns its exit status, or minus the signal that ended it. */
static int in_child(int (*attempt)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(attempt());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- privileges ---- */

static int has_privileges(void)
{
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
        return 1;
    }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) != 0) {
        return 2;
    }
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        if ((data[i].effective | data[i].permitted | data[i].inheritable) != 0) {
            return 3;
        }
    }
    for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) {
            return 4;
        }
    }
    return 0;
}

/* Leaves the child with every capability, in a user namespace of its own. */
static int drops_all(void)
{
    if (unshare(CLONE_NEWUSER) != 0) {
        return 9;
    }
    return privileges_drop() < 0 ? 8 : has_privileges();
}

static void test_no_privilege_is_left_in_any_set(void **state)
{
    (void)state;
    int r = in_child(drops_all);
    if (r == 9) {
        skip();
    }
    assert_int_equal(r, 0);
}

/* ---- files ---- */

static int finds_files(void)
{
    if (confine_files() < 0) {
        return 9;
    }
    struct stat st;
    if (open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/status", O_RDONLY) >= 0 ||
        stat("/proc", &st) == 0) {
        return 1;
    }
    DIR *root = opendir("..");
    const struct dirent *entry;
    while (root != NULL && (entry = readdir(root)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            return 4;
        }
    }
    if (mkdir("/x", 0700) == 0 || open("/x", O_WRONLY | O_CREAT, 0600) >= 0) {
        return 2;
    }
    struct rlimit core;
    getrlimit(RLIMIT_CORE, &core);
    if (core.rlim_max != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 3;
    }
    return has_privileges() == 0 ? 0 : 5;
}

static void test_file_system_is_empty_and_cannot_be_written(void **state)
{
    (void)state;
    int r = in_child(finds_files);
    if (r == 9) {
        skip();
    }
    assert_int_equal(r, 0);
}

/* ---- system calls ---- */

static void confine(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || confine_calls(-1) < 0) {
        _exit(8);
    }
}

static int does_its_work(void)
{
    int fds[2];
    char byte;
    confine();
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (udp < 0 || getrandom(&byte, 1, 0) != 1 || ioctl(udp, FIONREAD, &fds[0]) != 0) {
        return 1;
    }
    void *memory = malloc(1 << 20);
    if (memory == NULL || open("/etc/passwd", O_RDONLY) >= 0 || errno != ENOENT) {
        return 2;
    }
    free(memory);
    struct pollfd none = {.fd = udp, .events = POLLIN};
    return poll(&none, 1, 0) == 0 ? 0 : 3;
}

static int executes(void)
{
    confine();
    execl("/bin/true", "true", (char *)NULL);
    return 0;
}
static int forks(void)
{
    confine();
    return fork() < 0;
}
static int makes_unix_sockets(void)
{
    confine();
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}
static int makes_code(void)
{
    confine();
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
           MAP_FAILED;
}
static int makes_memory_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    confine();
    return mprotect(memory, 4096, PROT_READ | PROT_EXEC) != 0;
}
static int signals_others(void)
{
    confine();
    return kill(getppid(), 0) != 0;
}
static int has_signals_sent(void)
{
    confine();
    return fcntl(0, F_SETOWN, getppid()) != 0;
}
#if defined(__x86_64__)
static int calls_by_another_abi(void)
{
    confine();
    return (int)syscall(0x40000000 | SYS_getpid); /* x32 */
}
#endif
static int traces(void)
{
    confine();
    return (int)syscall(SYS_ptrace, 0, 0, 0, 0);
}
static int types(void)
{
    confine();
    return ioctl(0, TIOCSTI, "x") != 0;
}
static int makes_namespaces(void)
{
    confine();
    return unshare(CLONE_NEWUSER) != 0;
}

static pthread_barrier_t barrier;

static void *run_forbidden(void *user)
{
    (void)user;
    pthread_barrier_wait(&barrier);
    syscall(SYS_getuid);
    return NULL;
}

static int does_so_in_another_thread(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, run_forbidden, NULL);
    confine();
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    return 0;
}

static void test_calls_of_the_datapath_pass(void **state)
{
    (void)state;
    if (WITH_SANITIZER) {
        skip();
    }
    assert_int_equal(in_child(does_its_work), 0);
}

static void test_other_calls_end_the_process(void **state)
{
    (void)state;
    static int (*const attempts[])(void) = {
#if defined(__x86_64__)
        calls_by_another_abi,
#endif
        has_signals_sent,
        executes,
        forks,
        makes_unix_sockets,
        makes_code,
        makes_memory_code,
        signals_others,
        traces,
        types,
        makes_namespaces,
        does_so_in_another_thread,
    };
    if (WITH_SANITIZER) {
        skip();
    }
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
        assert_int_equal(in_child(attempts[i]), -SIGSYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_privilege_is_left_in_any_set),
        cmocka_unit_test(test_file_system_is_empty_and_cannot_be_written),
        cmocka_unit_test(test_calls_of_the_datapath_pass),
        cmocka_unit_test(test_other_calls_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
