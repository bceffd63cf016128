/* The bounded queue in front of a file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/sink.h"

enum { RING = SINK_RESERVE + 1000 };

static int put(struct sink *sink, const char *text, size_t len)
{
    /* In two parts, one of them empty half of the time. */
    struct iovec parts[] = {{.iov_base = (void *)(uintptr_t)text, .iov_len = len / 2 * (len % 2)},
                            {.iov_base = (void *)(uintptr_t)text, .iov_len = len}};
    parts[1].iov_base = (void *)(uintptr_t)(text + parts[0].iov_len);
    parts[1].iov_len -= parts[0].iov_len;
    return sink_put(sink, parts, 2);
}

static void test_records_arrive_whole_and_in_order(void **state)
{
    (void)state;
    int fds[2];
    struct sink *sink;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sink_new(fds[1], RING, &sink), 0);
    assert_int_equal(sink_start(sink), 0);
    uint8_t sent = 0, seen = 0;
    size_t total = 0, read_total = 0;
    for (size_t i = 0; i < 5000; i++) {
        char record[97];
        size_t len = 1 + i % sizeof(record);
        for (size_t k = 0; k < len; k++) {
            record[k] = (char)(uint8_t)(sent + k);
        }
        if (put(sink, record, len) == 0) {
            sent = (uint8_t)(sent + len);
            total += len;
        }
        uint8_t got[256];
        struct pollfd readable = {.fd = fds[0], .events = POLLIN};
        while (read_total < total && poll(&readable, 1, i % 7 == 0 ? 10 : 0) > 0) {
            ssize_t n = read(fds[0], got, sizeof(got));
            assert_true(n > 0);
            for (ssize_t k = 0; k < n; k++) {
                assert_int_equal(got[k], seen);
                seen++;
            }
            read_total += (size_t)n;
        }
    }
    assert_true(total > 20 * RING); /* the ring went round */
    sink_free(sink, 1000);
    uint8_t rest[RING];
    ssize_t n;
    while ((n = read(fds[0], rest, sizeof(rest))) > 0) {
        read_total += (size_t)n;
    }
    assert_int_equal(read_total, total);
    close(fds[0]);
}

static void test_full_queue_refuses_all_but_the_last_record(void **state)
{
    (void)state;
    int fds[2];
    struct sink *sink;
    static char record[1000];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sink_new(fds[1], RING, &sink), 0);
    assert_int_equal(put(sink, record, sizeof(record)), 0);
    assert_int_equal(put(sink, record, 1), -EAGAIN);
    static char last[SINK_RESERVE];
    struct iovec part = {.iov_base = last, .iov_len = sizeof(last)};
    assert_int_equal(sink_put_last(sink, &part, 1), 0);
    assert_int_equal(sink_put_last(sink, &part, 1), -EAGAIN);
    assert_int_equal(sink_start(sink), 0);
    sink_free(sink, 1000);
    static char got[RING + 1];
    assert_int_equal(read(fds[0], got, sizeof(got)), RING);
    close(fds[0]);
}

static void test_failed_file_refuses_everything(void **state)
{
    (void)state;
    int fds[2];
    struct sink *sink;
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(sink_new(fds[1], RING, &sink), 0);
    assert_int_equal(sink_start(sink), 0);
    int r = 0;
    for (int i = 0; i < 1000 && r != -EPIPE; i++) {
        r = put(sink, "x", 1);
        usleep(1000);
    }
    assert_int_equal(r, -EPIPE);
    sink_free(sink, 1000);
}

static void test_reader_that_never_reads_does_not_hold_up_the_end(void **state)
{
    (void)state;
    int fds[2];
    struct sink *sink;
    static char record[1 << 20];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(sink_new(fds[1], SINK_RESERVE + sizeof(record), &sink), 0);
    assert_int_equal(sink_start(sink), 0);
    assert_int_equal(put(sink, record, sizeof(record)), 0);
    assert_null(sink_free(sink, 50));
    close(fds[0]); /* ends the abandoned thread, which frees the sink */
    usleep(100000);
}

static void test_descriptor_may_be_non_blocking(void **state)
{
    (void)state;
    int fds[2];
    struct sink *sink;
    static char record[1 << 18], got[1 << 18];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    memset(record, 'r', sizeof(record));
    assert_int_equal(sink_new(fds[1], SINK_RESERVE + sizeof(record), &sink), 0);
    assert_int_equal(put(sink, record, sizeof(record)), 0);
    assert_int_equal(sink_start(sink), 0);
    size_t have = 0;
    while (have < sizeof(got)) {
        struct pollfd readable = {.fd = fds[0], .events = POLLIN};
        assert_int_equal(poll(&readable, 1, 5000), 1);
        ssize_t n = read(fds[0], got + have, sizeof(got) - have);
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_memory_equal(got, record, sizeof(record));
    sink_free(sink, 1000);
    close(fds[0]);
}

static void test_free_takes_null_and_one_never_started(void **state)
{
    (void)state;
    struct sink *sink;
    assert_null(sink_free(NULL, 0));
    assert_int_equal(sink_new(open("/dev/null", O_WRONLY), RING, &sink), 0);
    assert_null(sink_free(sink, 0));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_arrive_whole_and_in_order),
        cmocka_unit_test(test_full_queue_refuses_all_but_the_last_record),
        cmocka_unit_test(test_failed_file_refuses_everything),
        cmocka_unit_test(test_reader_that_never_reads_does_not_hold_up_the_end),
        cmocka_unit_test(test_descriptor_may_be_non_blocking),
        cmocka_unit_test(test_free_takes_null_and_one_never_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
