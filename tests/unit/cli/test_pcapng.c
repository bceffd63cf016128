/* Captures, read back as draft-ietf-opsawg-pcapng says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/pcapng.h"

static uint8_t file[1 << 20];
static size_t file_len;

static uint32_t u32(size_t at)
{
    uint32_t value;
    assert_true(at + 4 <= file_len);
    memcpy(&value, file + at, sizeof(value));
    return value;
}

static uint16_t u16(size_t at)
{
    return (uint16_t)u32(at); /* of a little-endian machine; u32 reads no further than a block */
}

/* Checks the frame of the block at `at`; returns where the next one is. */
static size_t next(size_t at, uint32_t type)
{
    assert_int_equal(u32(at), type);
    uint32_t len = u32(at + 4);
    assert_int_equal(len % 4, 0);
    assert_int_equal(u32(at + len - 4), len);
    return at + len;
}

static void write_capture(size_t n_frames, const size_t *lengths)
{
    char path[] = "/tmp/lunette-pcapng-XXXXXX";
    static uint8_t bytes[LN_FRAME_MAX];
    struct pcapng pcap;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    int reader = dup(fd);
    unlink(path);
    assert_int_equal(pcapng_open(&pcap, fd, "eth0"), 0);
    for (size_t i = 0; i < n_frames; i++) {
        memset(bytes, (int)('a' + i), lengths[i]);
        ln_frame frame = {.data = bytes, .len = lengths[i]};
        pcapng_put(&pcap, &frame, i % 2 == 0 ? PCAPNG_OUTBOUND : PCAPNG_INBOUND);
    }
    assert_int_equal(sink_start(pcap.sink), 0);
    pcapng_close(&pcap);
    file_len = 0;
    lseek(reader, 0, SEEK_SET);
    ssize_t n;
    while ((n = read(reader, file + file_len, sizeof(file) - file_len)) > 0) {
        file_len += (size_t)n;
    }
    close(reader);
}

static void test_capture_reads_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {60, 61, 62, 63, LN_FRAME_MAX};
    write_capture(5, lengths);
    size_t at = next(0, 0x0a0d0d0a);
    assert_int_equal(u32(8), 0x1a2b3c4d);
    assert_int_equal(u16(12), 1);

    size_t interface = at;
    at = next(at, 1);
    assert_int_equal(u16(interface + 8), 1); /* Ethernet */
    assert_memory_equal(file + interface + 16,
                        "\x02\x00\x04\x00"
                        "eth0",
                        8);

    uint64_t last = 0;
    for (size_t i = 0; i < 5; i++) {
        size_t packet = at;
        at = next(at, 6);
        uint64_t time = (uint64_t)u32(packet + 12) << 32 | u32(packet + 16);
        assert_true(time >= last && time > UINT64_C(1600000000000000000));
        last = time;
        assert_int_equal(u32(packet + 20), lengths[i]);
        assert_int_equal(u32(packet + 24), lengths[i]);
        assert_int_equal(file[packet + 28], 'a' + i);
        assert_int_equal(file[packet + 28 + lengths[i] - 1], 'a' + i);
        size_t option = packet + 28 + (lengths[i] + 3) / 4 * 4;
        assert_int_equal(u16(option), 2);
        assert_int_equal(u16(option + 2), 4);
        assert_int_equal(u32(option + 4), i % 2 == 0 ? 2 : 1);
    }
    size_t statistics = at;
    at = next(at, 5);
    assert_int_equal(u16(statistics + 20), 4);
    assert_int_equal(u32(statistics + 24), 5);
    assert_int_equal(u16(statistics + 32), 5);
    assert_int_equal(u32(statistics + 36), 0);
    assert_int_equal(at, file_len);
}

static void test_frames_that_do_not_fit_are_counted(void **state)
{
    (void)state;
    struct pcapng pcap;
    int fds[2];
    static uint8_t bytes[LN_FRAME_MAX];
    ln_frame frame = {.data = bytes, .len = sizeof(bytes)};
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pcapng_open(&pcap, fds[1], "eth0"), 0);
    while (pcap.lost == 0) {
        pcapng_put(&pcap, &frame, PCAPNG_INBOUND);
    }
    assert_in_range(pcap.seen, 10, 1000);
    sink_free(pcap.sink, 0);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capture_reads_back),
        cmocka_unit_test(test_frames_that_do_not_fit_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
