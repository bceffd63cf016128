/* Events as lines of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/event_log.h"

static const ln_event event = {.size = sizeof(event),
                               .kind = LN_EVENT_FLOW_DENIED,
                               .time_ms = 1700000000000,
                               .protocol = "tcp",
                               .name = "api.example.com"};

/* All that can be read from a pipe. */
static char *read_all(int fd)
{
    size_t len = 0, room = 1 << 22;
    char *text = malloc(room + 1);
    ssize_t n;
    assert_non_null(text);
    while ((n = read(fd, text + len, room - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    close(fd);
    return text;
}

static void test_each_event_is_a_line(void **state)
{
    (void)state;
    int fds[2];
    struct event_log log;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(event_log_open(&log, fds[1]), 0);
    assert_int_equal(event_log_put(&log, &event, NULL), 0);
    assert_int_equal(event_log_put(&log, &event, NULL), 0);
    assert_int_equal(sink_start(log.sink), 0);
    event_log_close(&log);
    char expected[512], twice[1100];
    ln_event_format_json(&event, expected, sizeof(expected));
    snprintf(twice, sizeof(twice), "%s\n%s\n", expected, expected);
    char *text = read_all(fds[0]);
    assert_string_equal(text, twice);
    free(text);
}

static void test_events_lost_at_the_end_are_told(void **state)
{
    (void)state;
    int fds[2];
    struct event_log log;
    unsigned put = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(event_log_open(&log, fds[1]), 0);
    while (event_log_put(&log, &event, NULL) == 0) {
        put++;
    }
    assert_true(event_log_put(&log, &event, NULL) < 0);
    assert_int_equal(log.untold, 2);
    /* The pipe takes less than the ring holds: a child reads it. */
    pid_t child = fork();
    if (child == 0) {
        close(fds[1]);
        char *text = read_all(fds[0]);
        unsigned lines = 0;
        for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
            lines++;
        }
        char *last = strstr(text, "\"kind\":\"limit\"");
        int wrong = lines != put + 1 || last == NULL || strstr(last, "\"lost\":2}\n") == NULL ||
                    strstr(last, "\"reason\":\"events_lost\"") == NULL;
        free(text);
        _exit(wrong);
    }
    assert_int_equal(sink_start(log.sink), 0);
    event_log_close(&log);
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_no_log_takes_everything(void **state)
{
    (void)state;
    struct event_log log = {0};
    assert_int_equal(event_log_put(&log, &event, NULL), 0);
    event_log_close(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_event_is_a_line),
        cmocka_unit_test(test_events_lost_at_the_end_are_told),
        cmocka_unit_test(test_no_log_takes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
