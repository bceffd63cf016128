/* What the keeper of files opens for the datapath, and what it leaves alone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/keeper.h"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/lunette-keeper-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mkdir(in_dir("sub"), 0700), 0);
    write_file("policy", "policy");
    write_file("beside.lua", "beside");
    write_file("notes.txt", "notes");
    write_file("sub/deep.lua", "deep");
    write_file("notes.txt", "notes");
    assert_int_equal(symlink("/etc/passwd", in_dir("link.lua")), 0);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"policy",    "beside.lua", "sub/deep.lua",
                                        "notes.txt", "link.lua",   "socket"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlink(in_dir(names[i]));
    }
    rmdir(in_dir("sub"));
    return rmdir(dir);
}

static int ask(struct keeper *keeper, const char *path)
{
    return keeper->opener.open(keeper->opener.user, path);
}

static void expect_text(struct keeper *keeper, const char *path, const char *text)
{
    char found[32] = "";
    int fd = ask(keeper, path);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, found, sizeof(found) - 1), strlen(text));
    assert_string_equal(found, text);
    close(fd);
}

static void test_policy_and_modules_are_opened_and_nothing_else(void **state)
{
    static const char *const closed[] = {"notes.txt", "link.lua", "sub/../../../etc/passwd", "sub",
                                         "../none.lua"};
    const char *const none[KEEPER_SOCKETS_MAX] = {NULL};
    struct keeper keeper;
    char policy[128], module[4096];
    (void)state;
    strcpy(policy, in_dir("policy"));
    assert_int_equal(keeper_start(&keeper, policy, none, false), 0);
    expect_text(&keeper, policy, "policy");
    expect_text(&keeper, in_dir("beside.lua"), "beside");
    expect_text(&keeper, in_dir("sub/deep.lua"), "deep");
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        assert_true(ask(&keeper, in_dir(closed[i])) < 0);
    }
    assert_true(ask(&keeper, "/etc/passwd") < 0);
    assert_true(ask(&keeper, "passwd") < 0);
    snprintf(module, sizeof(module), "%slunette/init.lua", keeper.module_dir);
    int fd = ask(&keeper, module);
    assert_true(fd >= 0);
    close(fd);
    keeper_stop(&keeper);
}

static void test_directory_that_took_the_place_of_the_policys_is_not_looked_at(void **state)
{
    const char *const none[KEEPER_SOCKETS_MAX] = {NULL};
    struct keeper keeper;
    char policy[128], away[80];
    (void)state;
    strcpy(policy, in_dir("policy"));
    snprintf(away, sizeof(away), "%s-away", dir);
    assert_int_equal(keeper_start(&keeper, policy, none, false), 0);
    assert_int_equal(rename(dir, away), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    write_file("policy", "forged");
    expect_text(&keeper, policy, "policy");
    keeper_stop(&keeper);
    unlink(policy);
    rmdir(dir);
    assert_int_equal(rename(away, dir), 0);
}

static int run(struct keeper *keeper, const char *command)
{
    return keeper->files.run(keeper->files.user, command);
}

/* What came of a command: 0 and what it printed. */
static void expect_output(struct keeper *keeper, const char *command, const char *text)
{
    struct {
        int32_t code;
        char text[60];
    } outcome = {.code = -1};
    int fd = run(keeper, command);
    assert_true(fd >= 0);
    ssize_t n, len = 0;
    while ((n = read(fd, (char *)&outcome + len, sizeof(outcome) - 1 - (size_t)len)) > 0) {
        len += n;
    }
    close(fd);
    assert_int_equal(outcome.code, 0);
    assert_string_equal(outcome.text, text);
}

static void test_what_the_policy_names_can_be_had_and_is_then_sealed(void **state)
{
    const char *const none[KEEPER_SOCKETS_MAX] = {NULL};
    struct keeper keeper;
    char policy[128], token[128], ca[128], missing[128];
    (void)state;
    strcpy(policy, in_dir("policy"));
    strcpy(token, in_dir("notes.txt"));
    strcpy(ca, in_dir("link.lua"));
    strcpy(missing, in_dir("none/here"));
    const char *cas[] = {ca};
    const ln_secret secrets[] = {
        {.from = LN_SECRET_FROM_FILE, .source = token},
        {.from = LN_SECRET_COMMAND, .source = "echo output"},
        {.from = LN_SECRET_FROM_FILE, .source = missing},
        {.from = LN_SECRET_FROM_ENV, .source = "/etc/hostname"},
        {.from = LN_SECRET_VALUE, .source = "/etc/hostname"},
    };
    const ln_settings settings = {
        .secrets = secrets,
        .n_secrets = 5,
        .tls = {.upstream_ca_certs = cas, .n_upstream_ca_certs = 1, .ca_key = "/etc/hostname"}};
    assert_int_equal(keeper_start(&keeper, policy, none, false), 0);
    assert_int_equal(ask(&keeper, token), -EPERM);
    assert_int_equal(run(&keeper, "echo output"), -EPERM);
    assert_int_equal(keeper_seal(&keeper, &settings), 0);
    expect_text(&keeper, token, "notes");
    int fd = ask(&keeper, ca); /* it may be a link */
    assert_true(fd >= 0);
    close(fd);
    expect_output(&keeper, "echo output", "output\n");
    assert_int_equal(ask(&keeper, missing), -EPERM);
    assert_int_equal(ask(&keeper, "/etc/hostname"), -EPERM);
    assert_int_equal(run(&keeper, "echo output; id"), -EPERM);
    assert_int_equal(run(&keeper, ""), -EPERM);
    assert_int_equal(ask(&keeper, ""), -EPERM);
    /* Nobody tells it more. */
    const ln_secret more[] = {{.from = LN_SECRET_FROM_FILE, .source = "/etc/hostname"}};
    const ln_settings others = {.secrets = more, .n_secrets = 1};
    assert_int_equal(keeper_seal(&keeper, &others), -EPERM);
    assert_int_equal(ask(&keeper, "/etc/hostname"), -EPERM);
    keeper_stop(&keeper);
}

static void test_a_directory_that_took_the_place_of_a_secrets_is_not_looked_at(void **state)
{
    const char *const none[KEEPER_SOCKETS_MAX] = {NULL};
    struct keeper keeper;
    char policy[128], token[128], away[80];
    (void)state;
    strcpy(policy, in_dir("policy"));
    strcpy(token, in_dir("notes.txt"));
    snprintf(away, sizeof(away), "%s-away", dir);
    const ln_secret secrets[] = {{.from = LN_SECRET_FROM_FILE, .source = token}};
    const ln_settings settings = {.secrets = secrets, .n_secrets = 1};
    assert_int_equal(keeper_start(&keeper, policy, none, false), 0);
    assert_int_equal(keeper_seal(&keeper, &settings), 0);
    assert_int_equal(rename(dir, away), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(symlink("/etc/hostname", token), 0);
    expect_text(&keeper, token, "notes");
    keeper_stop(&keeper);
    unlink(token);
    rmdir(dir);
    assert_int_equal(rename(away, dir), 0);
}

static void test_commands_run_a_bounded_number_at_once(void **state)
{
    const char *const none[KEEPER_SOCKETS_MAX] = {NULL};
    struct keeper keeper;
    char policy[128];
    int fds[64];
    int n = 0;
    (void)state;
    strcpy(policy, in_dir("policy"));
    const ln_secret secrets[] = {{.from = LN_SECRET_COMMAND, .source = "sleep 100"}};
    const ln_settings settings = {.secrets = secrets, .n_secrets = 1};
    assert_int_equal(keeper_start(&keeper, policy, none, false), 0);
    assert_int_equal(keeper_seal(&keeper, &settings), 0);
    while (n < 64 && (fds[n] = run(&keeper, "sleep 100")) >= 0) {
        n++;
    }
    assert_int_equal(n, 32);
    assert_int_equal(fds[n], -EAGAIN);
    while (n > 0) {
        close(fds[--n]); /* which ends it, by and by */
    }
    int fd;
    while ((fd = run(&keeper, "sleep 100")) == -EAGAIN) {
        usleep(1000);
    }
    assert_true(fd >= 0);
    close(fd);
    keeper_stop(&keeper);
}

static void test_socket_is_removed_at_the_end_unless_another_took_its_place(void **state)
{
    struct keeper keeper;
    char path[128], policy[128];
    const char *const sockets[KEEPER_SOCKETS_MAX] = {path};
    (void)state;
    strcpy(policy, in_dir("policy"));
    strcpy(path, in_dir("socket"));
    write_file("socket", "");
    assert_int_equal(keeper_start(&keeper, policy, sockets, false), 0);
    keeper_stop(&keeper);
    assert_int_equal(access(path, F_OK), -1);

    write_file("socket", "");
    assert_int_equal(keeper_start(&keeper, policy, sockets, false), 0);
    write_file("other", "");
    char other[128];
    strcpy(other, in_dir("other"));
    assert_int_equal(rename(other, path), 0);
    keeper_stop(&keeper);
    assert_int_equal(access(path, F_OK), 0);
}

static bool has_changed(const struct keeper *keeper, int timeout_ms)
{
    struct pollfd fd = {.fd = keeper->changed, .events = POLLIN};
    uint64_t count;
    return poll(&fd, 1, timeout_ms) == 1 && read(keeper->changed, &count, sizeof(count)) > 0 &&
           count == 1;
}

static void test_changes_of_the_policy_and_its_modules_are_told_once(void **state)
{
    const char *const none[KEEPER_SOCKETS_MAX] = {NULL};
    struct keeper keeper;
    char policy[128], fresh[128];
    (void)state;
    strcpy(policy, in_dir("policy"));
    assert_int_equal(keeper_start(&keeper, policy, none, true), 0);
    write_file("policy", "changed");
    write_file("beside.lua", "changed");
    assert_true(has_changed(&keeper, 5000));
    expect_text(&keeper, policy, "changed");
    strcpy(fresh, in_dir("fresh"));
    write_file("notes.txt", "changed"); /* not the policy's */
    write_file("fresh", "renamed");
    assert_false(has_changed(&keeper, 500));
    assert_int_equal(rename(fresh, policy), 0);
    assert_true(has_changed(&keeper, 5000));
    expect_text(&keeper, policy, "renamed");
    keeper_stop(&keeper);
    write_file("policy", "policy");
    write_file("beside.lua", "beside");
    write_file("notes.txt", "notes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_and_modules_are_opened_and_nothing_else),
        cmocka_unit_test(test_directory_that_took_the_place_of_the_policys_is_not_looked_at),
        cmocka_unit_test(test_changes_of_the_policy_and_its_modules_are_told_once),
        cmocka_unit_test(test_what_the_policy_names_can_be_had_and_is_then_sealed),
        cmocka_unit_test(test_a_directory_that_took_the_place_of_a_secrets_is_not_looked_at),
        cmocka_unit_test(test_commands_run_a_bounded_number_at_once),
        cmocka_unit_test(test_socket_is_removed_at_the_end_unless_another_took_its_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
