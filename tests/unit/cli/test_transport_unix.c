/* Links over UNIX sockets: framing, partial reads and writes, hang-ups, who is answered. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "cli/transport_unix.h"
#include "luabind/load.h"
#include "net/gateway.h"

enum { ARP_LEN = 42 };

struct world {
    char dir[64], path[80];
    ln_gateway *gw;
    struct transport *link;
    union {
        struct stream stream;
        struct dgram dgram;
    } of;
};

static int send_frame(void *user, const ln_frame *frame)
{
    struct world *w = user;
    return transport_send(w->link, frame);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    strcpy(w->dir, "/tmp/lunette-unix-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
    ln_problems *problems = ln_problems_new();
    ln_policy *policy;
    assert_int_equal(lua_policy_load("none", &policy, problems), 0);
    ln_problems_free(problems);
    ln_config config = {.size = sizeof(config), .policy = policy};
    ln_host host = {.size = sizeof(host), .send_frame = send_frame};
    assert_int_equal(ln_gateway_new(&config, &host, w, &w->gw, NULL), 0);
    ln_policy_unref(policy);
    return w;
}

static void start(struct world *w, struct transport *link)
{
    w->link = link;
    assert_int_equal(transport_start(link, w->gw, NULL), 0);
}

static struct world *stream_world(void)
{
    struct world *w = world_new();
    int fd = unix_bind(w->path, SOCK_STREAM);
    assert_true(fd >= 0);
    assert_int_equal(stream_open(&w->of.stream, fd, -1), 0);
    start(w, &w->of.stream.transport);
    return w;
}

static void world_free(struct world *w)
{
    transport_stop(w->link);
    ln_gateway_free(w->gw);
    unlink(w->path);
    rmdir(w->dir);
    free(w);
}

static void turn(struct world *w)
{
    for (int i = 0; i < 20; i++) {
        assert_int_equal(gateway_turn(w->gw, i == 0 ? 20 : 0), 0);
        transport_flush(w->link);
    }
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    return address;
}

static int dial(const struct world *w)
{
    struct sockaddr_un address = address_of(w->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The guest asks who has the gateway's address; with its length before it. */
static size_t arp(const struct world *w, uint8_t dst[4 + ARP_LEN])
{
    static const uint8_t head[] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
    ln_link link;
    ln_gateway_link(w->gw, &link);
    memset(dst, 0, 4 + ARP_LEN);
    put_be32(dst, ARP_LEN);
    memset(dst + 4, 0xff, 6);
    memcpy(dst + 10, link.guest_mac, 6);
    memcpy(dst + 16, head, sizeof(head));
    memcpy(dst + 26, link.guest_mac, 6);
    memcpy(dst + 32, link.guest4.bytes + 12, 4);
    memcpy(dst + 42, link.gateway4.bytes + 12, 4);
    return 4 + ARP_LEN;
}

static void expect_reply(struct world *w, int fd)
{
    uint8_t reply[4 + ARP_LEN];
    turn(w);
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), sizeof(reply));
    assert_int_equal(get_be32(reply), ARP_LEN);
    assert_int_equal(get_be16(reply + 4 + 20), 2); /* a reply */
}

static void expect_cut_off(struct world *w, int fd)
{
    uint8_t byte;
    turn(w);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
}

static void test_frames_are_put_together_from_single_bytes_and_taken_apart(void **state)
{
    struct world *w = stream_world();
    uint8_t frame[4 + ARP_LEN], two[2 * sizeof(frame)];
    (void)state;
    int fd = dial(w);
    arp(w, frame);
    for (size_t i = 0; i < sizeof(frame); i++) {
        assert_int_equal(send(fd, frame + i, 1, 0), 1);
        turn(w);
    }
    expect_reply(w, fd);
    memcpy(two, frame, sizeof(frame));
    memcpy(two + sizeof(frame), frame, sizeof(frame));
    assert_int_equal(send(fd, two, sizeof(two), 0), sizeof(two));
    expect_reply(w, fd);
    expect_reply(w, fd);
    close(fd);
    world_free(w);
}

static void test_no_length_and_too_long_a_length_cut_the_guest_off(void **state)
{
    static const uint32_t bad[] = {0, LN_FRAME_MAX + 1, UINT32_MAX};
    struct world *w = stream_world();
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t length[4];
        int fd = dial(w);
        put_be32(length, bad[i]);
        assert_int_equal(send(fd, length, 4, 0), 4);
        expect_cut_off(w, fd);
    }
    uint8_t frame[4 + ARP_LEN];
    int fd = dial(w);
    assert_int_equal(send(fd, frame, arp(w, frame), 0), sizeof(frame));
    expect_reply(w, fd);
    close(fd);
    world_free(w);
}

static void test_longest_frame_is_taken(void **state)
{
    struct world *w = stream_world();
    uint8_t *frame = calloc(1, 4 + LN_FRAME_MAX);
    ln_stats stats;
    (void)state;
    int fd = dial(w);
    put_be32(frame, LN_FRAME_MAX);
    for (size_t at = 0; at < 4 + LN_FRAME_MAX; turn(w)) {
        ssize_t n = send(fd, frame + at, 4 + LN_FRAME_MAX - at, 0);
        assert_true(n > 0);
        at += (size_t)n;
    }
    ln_gateway_stats(w->gw, &stats);
    assert_int_equal(stats.frames_in, 1);
    assert_int_equal(stats.frame_bytes_in, LN_FRAME_MAX);
    free(frame);
    close(fd);
    world_free(w);
}

static void test_second_guest_waits_until_the_first_hangs_up(void **state)
{
    struct world *w = stream_world();
    uint8_t frame[4 + ARP_LEN], byte;
    (void)state;
    int first = dial(w), second = dial(w);
    turn(w);
    assert_int_equal(send(second, frame, arp(w, frame), 0), sizeof(frame));
    turn(w);
    assert_int_equal(recv(second, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close(first);
    expect_reply(w, second);
    close(second);
    world_free(w);
}

static void test_half_a_frame_of_one_guest_is_not_the_next_ones(void **state)
{
    struct world *w = stream_world();
    uint8_t frame[4 + ARP_LEN];
    (void)state;
    int fd = dial(w);
    assert_int_equal(send(fd, frame, arp(w, frame) - 20, 0), sizeof(frame) - 20);
    turn(w);
    close(fd);
    fd = dial(w);
    assert_int_equal(send(fd, frame, sizeof(frame), 0), sizeof(frame));
    expect_reply(w, fd);
    close(fd);
    world_free(w);
}

static void test_guest_that_does_not_read_loses_whole_frames(void **state)
{
    struct world *w = stream_world();
    uint8_t data[1500] = {0}, byte;
    (void)state;
    int fd = dial(w);
    turn(w);
    unsigned sent = 0;
    while (transport_send(w->link, &(ln_frame){.data = data, .len = sizeof(data)}) == 0) {
        sent++;
        assert_true(sent < 100000);
    }
    turn(w);
    size_t received = 0;
    for (int i = 0; i < 1000; i++) {
        static uint8_t chunk[65536];
        ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
        received += n > 0 ? (size_t)n : 0;
        turn(w);
        if (n < 0) {
            break;
        }
    }
    assert_int_equal(received, sent * (4 + sizeof(data)));
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    uint8_t frame[4 + ARP_LEN];
    assert_int_equal(send(fd, frame, arp(w, frame), 0), sizeof(frame));
    expect_reply(w, fd);
    close(fd);
    world_free(w);
}

static void test_frames_over_what_is_a_turns_wait_for_the_next(void **state)
{
    struct world *w = stream_world();
    uint8_t frames[3][4 + ARP_LEN];
    ln_stats stats;
    (void)state;
    int fd = dial(w);
    turn(w);
    w->link->turn_ns = 1;
    for (size_t i = 0; i < 3; i++) {
        arp(w, frames[i]);
    }
    assert_int_equal(send(fd, frames, sizeof(frames), 0), sizeof(frames));
    for (uint64_t i = 1; i <= 3; i++) { /* though nothing more is received */
        do {
            assert_true(gateway_turn(w->gw, 1000) >= 0);
            ln_gateway_stats(w->gw, &stats);
        } while (stats.frames_in < i);
        assert_int_equal(stats.frames_in, i);
    }
    turn(w);
    for (size_t i = 0; i < 3; i++) {
        expect_reply(w, fd);
    }
    /* What waits when the guest is cut off is nobody's. */
    assert_int_equal(send(fd, frames, sizeof(frames), 0), sizeof(frames));
    assert_int_equal(gateway_turn(w->gw, 1000), 0);
    close(fd);
    fd = dial(w);
    w->link->turn_ns = 0;
    for (size_t i = 0; i < 5; i++) {
        turn(w);
    }
    assert_int_equal(recv(fd, frames, sizeof(frames), 0), -1);
    close(fd);
    world_free(w);
}

static void test_socket_is_its_owners_only(void **state)
{
    struct world *w = stream_world();
    struct stat st;
    (void)state;
    assert_int_equal(stat(w->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    world_free(w);
}

static void test_stale_socket_is_replaced_and_one_in_use_or_a_file_is_not(void **state)
{
    struct world *w = world_new();
    (void)state;
    int fd = unix_bind(w->path, SOCK_STREAM);
    assert_true(fd >= 0);
    assert_int_equal(unix_bind(w->path, SOCK_STREAM), -EADDRINUSE);
    assert_int_equal(unix_bind(w->path, SOCK_DGRAM), -EADDRINUSE);
    close(fd);
    fd = unix_bind(w->path, SOCK_DGRAM);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(w->path), 0);
    FILE *file = fopen(w->path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(unix_bind(w->path, SOCK_STREAM), -EADDRINUSE);
    world_free(w);
}

static void test_only_guest_of_a_descriptor_ends_the_link(void **state)
{
    struct world *w = world_new();
    uint8_t frame[4 + ARP_LEN];
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(stream_open(&w->of.stream, -1, pair[0]), 0);
    start(w, &w->of.stream.transport);
    assert_int_equal(send(pair[1], frame, arp(w, frame), 0), sizeof(frame));
    expect_reply(w, pair[1]);
    assert_false(w->link->ended);
    close(pair[1]);
    turn(w);
    assert_true(w->link->ended);
    world_free(w);
}

static void test_datagrams_are_answered_to_whoever_sent_last(void **state)
{
    struct world *w = world_new();
    uint8_t frame[4 + ARP_LEN], reply[100];
    char paths[2][96];
    int fds[2];
    (void)state;
    int fd = unix_bind(w->path, SOCK_DGRAM);
    assert_int_equal(dgram_init(&w->of.dgram, fd, false), 0);
    start(w, &w->of.dgram.transport);
    assert_int_equal(transport_send(w->link, &(ln_frame){.data = frame, .len = 60}), -EAGAIN);
    struct sockaddr_un to = address_of(w->path);
    arp(w, frame);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%d", w->dir, i);
        fds[i] = unix_bind(paths[i], SOCK_DGRAM);
        assert_int_equal(sendto(fds[i], frame + 4, ARP_LEN, 0, (struct sockaddr *)&to, sizeof(to)),
                         ARP_LEN);
        turn(w);
        assert_int_equal(recv(fds[i], reply, sizeof(reply), 0), ARP_LEN);
    }
    assert_int_equal(recv(fds[0], reply, sizeof(reply), 0), -1);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        unlink(paths[i]);
    }
    assert_int_equal(transport_send(w->link, &(ln_frame){.data = frame, .len = 60}), -EAGAIN);
    assert_false(w->link->ended);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_are_put_together_from_single_bytes_and_taken_apart),
        cmocka_unit_test(test_no_length_and_too_long_a_length_cut_the_guest_off),
        cmocka_unit_test(test_longest_frame_is_taken),
        cmocka_unit_test(test_second_guest_waits_until_the_first_hangs_up),
        cmocka_unit_test(test_half_a_frame_of_one_guest_is_not_the_next_ones),
        cmocka_unit_test(test_guest_that_does_not_read_loses_whole_frames),
        cmocka_unit_test(test_frames_over_what_is_a_turns_wait_for_the_next),
        cmocka_unit_test(test_socket_is_its_owners_only),
        cmocka_unit_test(test_stale_socket_is_replaced_and_one_in_use_or_a_file_is_not),
        cmocka_unit_test(test_only_guest_of_a_descriptor_ends_the_link),
        cmocka_unit_test(test_datagrams_are_answered_to_whoever_sent_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
