/* The interception CA's files: made once, whoever comes first, and read only where nobody else
 * could have had a hand in them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host.h"
#include "net/ca_store.h"

static char top[64], dir[96];

static struct tls_authority_options with_services(void)
{
    return (struct tls_authority_options){
        .services = host_services_system, .leaf_certificates = 1, .leaf_valid_s = 3600};
}

static int set_up(void **state)
{
    (void)state;
    strcpy(top, "/tmp/lunette-ca-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(dir, sizeof(dir), "%s/share/lunette", top);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", top);
    return system(command);
}

static struct ca_store store(void)
{
    struct ca_store found;
    assert_int_equal(ca_store_find(dir, &found, NULL), 0);
    return found;
}

static int open_pair(enum ca_store_how how, struct tls_pair *ret, ln_error *reterr)
{
    struct ca_store at = store();
    struct tls_authority_options with = with_services();
    return ca_store_open(&at, how, &with, ret, reterr);
}

static void expect_error(int code, const char *text)
{
    struct tls_pair pair;
    ln_error error;
    assert_int_equal(open_pair(CA_STORE_MAKE, &pair, &error), code);
    if (strstr(error.message, text) == NULL) {
        fail_msg("found \"%s\", wanted \"%s\"", error.message, text);
    }
}

static void expect_mode(const char *path, mode_t mode)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void make(void)
{
    struct tls_pair pair;
    assert_int_equal(open_pair(CA_STORE_MAKE, &pair, NULL), 0);
    tls_pair_free(&pair);
}

static void test_a_pair_is_made_once(void **state)
{
    (void)state;
    struct tls_pair first, second;
    assert_int_equal(open_pair(CA_STORE_LOOK, &first, NULL), -ENOENT);
    assert_int_equal(access(dir, F_OK), -1); /* a look makes nothing */
    mode_t before = umask(0);
    assert_int_equal(open_pair(CA_STORE_MAKE, &first, NULL), 0);
    umask(before);
    assert_int_equal(open_pair(CA_STORE_MAKE, &second, NULL), 0);
    assert_string_equal(first.certificate, second.certificate);
    assert_string_equal(first.key, second.key);
    tls_pair_free(&second);
    assert_int_equal(open_pair(CA_STORE_LOOK, &second, NULL), 0);
    assert_string_equal(first.key, second.key);
    tls_pair_free(&second);
    struct ca_store at = store();
    expect_mode(at.dir, 0700);
    expect_mode(at.certificate, 0644);
    expect_mode(at.key, 0600);

    assert_int_equal(open_pair(CA_STORE_REPLACE, &second, NULL), 0);
    assert_string_not_equal(first.key, second.key);
    tls_pair_free(&first);
    assert_int_equal(open_pair(CA_STORE_MAKE, &first, NULL), 0);
    assert_string_equal(first.key, second.key);
    tls_pair_free(&first);
    tls_pair_free(&second);
}

/* The certificate, by way of a pipe. */
static pid_t start(int *ret_fd)
{
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct tls_pair made;
        if (open_pair(CA_STORE_MAKE, &made, NULL) == 0) {
            struct tls_authority_options with = with_services();
            struct tls_authority *authority;
            if (tls_authority_new(&with, made.certificate, made.certificate_len, made.key,
                                  made.key_len, &authority, NULL) == 0) {
                ssize_t n = write(pair[1], made.certificate, made.certificate_len);
                (void)n;
            }
        }
        _exit(0);
    }
    close(pair[1]);
    *ret_fd = pair[0];
    return pid;
}

static void test_two_that_start_at_once_get_the_same_pair(void **state)
{
    enum { STARTS = 2, TIMES = 50 };
    (void)state;
    for (int i = 0; i < TIMES; i++) {
        char found[STARTS][8192] = {{0}};
        int fds[STARTS];
        pid_t pids[STARTS];
        snprintf(dir, sizeof(dir), "%s/%d/share/lunette", top, i);
        for (int k = 0; k < STARTS; k++) {
            pids[k] = start(&fds[k]);
        }
        for (int k = 0; k < STARTS; k++) {
            assert_true(read(fds[k], found[k], sizeof(found[k]) - 1) > 0);
            close(fds[k]);
            assert_int_equal(waitpid(pids[k], NULL, 0), pids[k]);
        }
        assert_string_equal(found[0], found[1]);
    }
}

static void test_what_others_could_have_touched_is_refused(void **state)
{
    (void)state;
    make();
    struct ca_store at = store();
    assert_int_equal(chmod(at.dir, 0750), 0);
    expect_error(-EPERM, "has mode 0750; accepted: 0700");
    assert_int_equal(chmod(at.dir, 0700), 0);
    assert_int_equal(chmod(at.key, 0640), 0);
    expect_error(-EPERM, "ca-key.pem has mode 0640; accepted: 0600");
    assert_int_equal(chmod(at.key, 0600), 0);
    assert_int_equal(chmod(at.certificate, 0664), 0);
    expect_error(-EPERM, "ca.pem has mode 0664; accepted: 0644");
    assert_int_equal(chmod(at.certificate, 0644), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(at.key, 65534, 65534), 0);
        expect_error(-EPERM, "belongs to user 65534; accepted: user 0");
        assert_int_equal(chown(at.key, 0, 0), 0);
    }
    char elsewhere[128];
    snprintf(elsewhere, sizeof(elsewhere), "%s/key", top);
    assert_int_equal(rename(at.key, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, at.key), 0);
    expect_error(-ELOOP, "ca-key.pem");
}

static void test_half_a_pair_is_an_error_but_for_what_a_crash_left(void **state)
{
    (void)state;
    make();
    struct ca_store at = store();
    struct tls_pair pair;
    assert_int_equal(unlink(at.certificate), 0); /* the key is written first */
    assert_int_equal(open_pair(CA_STORE_MAKE, &pair, NULL), 0);
    tls_pair_free(&pair);
    assert_int_equal(unlink(at.key), 0);
    expect_error(-EINVAL, "ca-key.pem; accepted: both (`lunette ca regenerate` makes others)");
}

static void test_the_place_is_the_users(void **state)
{
    struct ca_store found;
    ln_error error;
    (void)state;
    setenv("HOME", "/home/a", 1);
    setenv("XDG_DATA_HOME", "/data", 1);
    assert_int_equal(ca_store_find(NULL, &found, NULL), 0);
    assert_string_equal(found.key, "/data/lunette/ca-key.pem");
    setenv("XDG_DATA_HOME", "relative", 1);
    assert_int_equal(ca_store_find(NULL, &found, NULL), 0);
    assert_string_equal(found.certificate, "/home/a/.local/share/lunette/ca.pem");
    unsetenv("XDG_DATA_HOME");
    unsetenv("HOME");
    assert_int_equal(ca_store_find(NULL, &found, &error), -ENOENT);
    assert_non_null(strstr(error.message, "$HOME is not set"));
    assert_int_equal(ca_store_find("/given", &found, NULL), 0);
    assert_string_equal(found.dir, "/given");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_pair_is_made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_that_start_at_once_get_the_same_pair, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_others_could_have_touched_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_half_a_pair_is_an_error_but_for_what_a_crash_left,
                                        set_up, tear_down),
        cmocka_unit_test(test_the_place_is_the_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
