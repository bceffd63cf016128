/* Running a command for what it prints. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/command.h"

/* Reads the outcome and the output, terminated. Returns the code. */
static int32_t outcome_of(const char *command, char output[COMMAND_OUTPUT_MAX + 1])
{
    char all[sizeof(int32_t) + COMMAND_OUTPUT_MAX + 1];
    size_t len = 0;
    ssize_t n;
    int fd = command_start(command, NULL);
    assert_true(fd >= 0);
    while ((n = read(fd, all + len, sizeof(all) - len)) > 0) {
        len += (size_t)n;
    }
    close(fd);
    int32_t code;
    assert_true(len >= sizeof(code));
    memcpy(&code, all, sizeof(code));
    memcpy(output, all + sizeof(code), len - sizeof(code));
    output[len - sizeof(code)] = '\0';
    return code;
}

static void test_output_comes_whole(void **state)
{
    (void)state;
    char output[COMMAND_OUTPUT_MAX + 1];
    assert_int_equal(outcome_of("printf 'a\\nb'; echo c", output), 0);
    assert_string_equal(output, "a\nbc\n");
    assert_int_equal(outcome_of("head -c 16384 /dev/zero | tr '\\0' x", output), 0);
    assert_int_equal(strlen(output), COMMAND_OUTPUT_MAX);
    assert_int_equal(outcome_of(":", output), 0);
    assert_string_equal(output, "");
}

static void test_what_failed_prints_nothing(void **state)
{
    (void)state;
    char output[COMMAND_OUTPUT_MAX + 1];
    assert_int_equal(outcome_of("echo half; exit 7", output), 7);
    assert_string_equal(output, "");
    assert_int_equal(outcome_of("kill -KILL $$", output), 128 + SIGKILL);
    assert_int_equal(outcome_of("exec /no/such/command 2>/dev/null", output), 127);
    assert_int_equal(outcome_of("head -c 16385 /dev/zero", output), -EFBIG);
    assert_string_equal(output, "");
    assert_int_equal(outcome_of("yes", output), -EFBIG);
}

/* Nothing to read, no descriptor of ours, signals as usual. */
static void test_a_command_is_given_nothing(void **state)
{
    (void)state;
    char output[COMMAND_OUTPUT_MAX + 1];
    int inherited = dup2(STDERR_FILENO, 100);
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    assert_int_equal(outcome_of("cat; ls /proc/self/fd; grep -e SigBlk -e SigIgn /proc/self/status;"
                                " ulimit -c",
                                output),
                     0);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(inherited);
    assert_string_equal(output, "0\n1\n2\n3\n" /* 3 is the directory */
                                "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n");
}

/* Who reads no more ends the command, with all that it started. */
static void test_a_command_that_nobody_waits_for_is_killed(void **state)
{
    (void)state;
    char path[] = "/tmp/lunette-command-XXXXXX", command[128], told[16] = "";
    assert_non_null(mkdtemp(path));
    snprintf(command, sizeof(command), "mkfifo %s/f; (sleep 1000 >%s/f) & wait", path, path);
    pid_t attendant;
    int fd = command_start(command, &attendant);
    assert_true(fd >= 0);
    snprintf(command, sizeof(command), "%s/f", path);
    int fifo;
    while ((fifo = open(command, O_RDONLY)) < 0) { /* until it is there; then, until the sleeper */
        assert_int_equal(errno, ENOENT);
        usleep(1000);
    }
    close(fd);
    assert_int_equal(read(fifo, told, sizeof(told)), 0); /* the sleeper's end is closed */
    close(fifo);
    int status;
    assert_int_equal(waitpid(attendant, &status, __WALL), attendant);
    snprintf(command, sizeof(command), "rm -r %s", path);
    assert_int_equal(system(command), 0);
}

static void test_nothing_of_it_is_left_to_wait_for(void **state)
{
    (void)state;
    char output[COMMAND_OUTPUT_MAX + 1];
    assert_int_equal(outcome_of("echo a", output), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_comes_whole),
        cmocka_unit_test(test_what_failed_prints_nothing),
        cmocka_unit_test(test_a_command_is_given_nothing),
        cmocka_unit_test(test_a_command_that_nobody_waits_for_is_killed),
        cmocka_unit_test(test_nothing_of_it_is_left_to_wait_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
