/* The framing of a stream link: what a guest sends, in pieces of any size. Checked against a naive
 * reader: as many frames get to the gateway as are whole, the guest is cut off exactly where it
 * sends no frame, and what it is answered is framed. The first byte is the size of the pieces. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "cli/transport_unix.h"
#include "net/gateway.h"
#include "policy/config_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(STDERR_FILENO, "%d: %s\n", __LINE__, #condition);                              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { LENGTH = 4, MTU = 1500, ETHERNET = 14 };

static ln_gateway *gateway;
static struct stream stream;
static uint8_t received[1 << 20];

static int send_frame(void *user, const ln_frame *frame)
{
    (void)user;
    return transport_send(&stream.transport, frame);
}

static void set_up(void)
{
    struct arena arena = {0};
    struct ln_value config_value = config_parse(&arena, "fuzz", "{}");
    ln_policy *policy = NULL;
    ln_host host = {.size = sizeof(host), .send_frame = send_frame};
    REQUIRE(ln_policy_new(&config_value, NULL, &policy, NULL) == 0);
    ln_config config = {.size = sizeof(config), .policy = policy, .resolv_conf = "/dev/null"};
    REQUIRE(ln_gateway_new(&config, &host, NULL, &gateway, NULL) == 0);
    ln_policy_unref(policy);
    arena_free(&arena);
    stderr = fopen("/dev/null", "w"); /* that a guest was cut off is said each time */
    REQUIRE(stderr != NULL);
}

/* How many whole frames there are before the end, or what is none. */
static uint64_t count_frames(const uint8_t *data, size_t size, bool *ret_broken)
{
    uint64_t n = 0;
    *ret_broken = false;
    while (size >= LENGTH) {
        uint32_t len = get_be32(data);
        *ret_broken = len == 0 || len > LN_FRAME_MAX;
        if (*ret_broken || len > size - LENGTH) {
            break;
        }
        data += LENGTH + len;
        size -= LENGTH + len;
        n++;
    }
    return n;
}

static void turn(void)
{
    REQUIRE(gateway_turn(gateway, 0) == 0);
    transport_flush(&stream.transport);
}

static size_t drain(int fd, size_t len)
{
    ssize_t n = recv(fd, received + len, sizeof(received) - len, MSG_DONTWAIT);
    return len + (n > 0 ? (size_t)n : 0);
}

static void check_answers(size_t len)
{
    for (size_t at = 0; at < len;) {
        REQUIRE(len - at > LENGTH);
        uint32_t frame = get_be32(received + at);
        REQUIRE(frame >= ETHERNET && frame <= ETHERNET + MTU && frame <= len - at - LENGTH);
        at += LENGTH + frame;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2];
    ln_stats before, after;
    bool broken;
    size_t answered = 0;
    if (gateway == NULL) {
        set_up();
    }
    if (size < 1 || size > 1 << 17) {
        return 0;
    }
    size_t piece = data[0] < 128 ? 1 + (size_t)data[0] : (size_t)data[0] << 6;
    data++;
    size--;
    piece = piece < size / 256 ? size / 256 : piece; /* in a bounded number of turns */
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    REQUIRE(stream_open(&stream, -1, pair[0]) == 0);
    REQUIRE(transport_start(&stream.transport, gateway, NULL) == 0);
    ln_gateway_stats(gateway, &before);
    for (size_t at = 0; at < size && !stream.transport.ended;) {
        size_t len = size - at < piece ? size - at : piece;
        ssize_t n = send(pair[1], data + at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        turn();
        answered = drain(pair[1], answered);
    }
    turn();
    turn();
    answered = drain(pair[1], answered);
    ln_gateway_stats(gateway, &after);
    REQUIRE(after.frames_in - before.frames_in == count_frames(data, size, &broken));
    REQUIRE(stream.transport.ended == broken);
    if (!broken) { /* else it may be cut off in the midst of an answer */
        check_answers(answered);
    }
    transport_stop(&stream.transport);
    close(pair[1]);
    REQUIRE(ln_gateway_reset(gateway) == 0);
    return 0;
}
