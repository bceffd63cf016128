/* A whole gateway against a guest that says anything, a host that does anything, time and reloads.
 * The guest reaches one listener of this process, by a policy that denies one name there. Checked:
 * frames to the guest are well formed and the guest's; the denied name never reaches the host;
 * every flow that was told open is told closed; no descriptor is left. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frame.h"
#include "net/first_flight.h"
#include "net/gateway.h"
#include "policy/config_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%d: %s\n", __LINE__, #condition);                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { CONNECTIONS = 4, HOSTS = 8, SENT_MAX = 4096, COMMANDS_MAX = 300 };

struct connection { /* as the guest sees it */
    uint32_t snd_nxt, rcv_nxt;
};

struct peer { /* what the host got on one connection */
    int fd;
    size_t len;
    uint8_t data[SENT_MAX];
};

static int listener = -1;
static uint16_t listener_port;
static ln_policy *policies[2];
static uint64_t now_ns;
static ln_link guests_link;
static struct connection connections[CONNECTIONS];
static struct peer peers[HOSTS];
static unsigned opened, closed;
static ln_gateway *gateway;

static ln_policy *policy_of(const char *text)
{
    struct arena arena = {0};
    ln_policy *policy = NULL;
    struct ln_value config = config_parse(&arena, "fuzz", text);
    REQUIRE(ln_policy_new(&config, NULL, &policy, NULL) == 0);
    arena_free(&arena);
    return policy;
}

static void set_up(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    REQUIRE(listener >= 0 && bind(listener, (struct sockaddr *)&in, len) == 0 &&
            listen(listener, 64) == 0 && getsockname(listener, (struct sockaddr *)&in, &len) == 0);
    listener_port = ntohs(in.sin_port);
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "{deny_domains = {\"denied.test\"}, rules = {{action = \"allow\","
                   " destination = \"host\", protocol = \"tcp\", port = %u}}}",
                   listener_port);
    policies[0] = policy_of(text);
    (void)snprintf(text, sizeof(text),
                   "{rules = {{action = \"deny\", destination = \"denied.test\"},"
                   " {action = \"allow\", destination = \"fine.test\", protocol = \"tcp\","
                   " port = %u}}, limits = {half_open = 2}, max_connections = 3}",
                   listener_port);
    policies[1] = policy_of(text);
}

/* ---- the embedder ---- */

static int on_frame(void *user, const ln_frame *frame)
{
    struct packet p;
    (void)user;
    REQUIRE(packet_describe(frame->data, frame->len, &p) == DROP_NONE);
    REQUIRE(memcmp(frame->data + 6, guests_link.gateway_mac, 6) == 0);
    REQUIRE(frame->len <= ETH_LEN + 1500u);
    if (p.kind == PACKET_TCP) {
        REQUIRE(ln_addr_equal(&p.dst, &guests_link.guest4) ||
                !ln_addr_is_v4(&p.dst)); /* IPv6: any address of the guest's */
        struct connection *c = &connections[p.dst_port % CONNECTIONS];
        uint32_t taken = p.payload_len + ((p.tcp_flags & (TCP_SYN | TCP_FIN)) != 0);
        if ((p.tcp_flags & TCP_SYN) != 0 || p.seq == c->rcv_nxt) {
            c->rcv_nxt = p.seq + taken;
        }
    }
    return frame->len % 17 == 5 ? -EAGAIN : 0; /* some are lost */
}

static int on_event(void *user, const ln_event *event)
{
    (void)user;
    opened += event->kind == LN_EVENT_FLOW_OPEN;
    closed += event->kind == LN_EVENT_FLOW_CLOSE;
    REQUIRE(ln_gateway_input(gateway, &(ln_frame){0}) == -EBUSY);
    return 0;
}

static uint64_t on_now(void *user)
{
    (void)user;
    return now_ns;
}

/* ---- the host ---- */

/* What arrived shows no name that is denied. */
static void check_first_flight(const struct peer *peer)
{
    struct first_flight_view view = {0};
    char name[LN_NAME_MAX + 1];
    bool is_host;
    if (first_flight_look(&view, peer->data, peer->len, name, &is_host) == FIRST_FLIGHT_NAMED) {
        REQUIRE(strcmp(name, "denied.test") != 0);
    }
}

static void host_acts(uint8_t action)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *peer = NULL;
        for (int i = 0; i < HOSTS && peer == NULL; i++) {
            peer = peers[i].fd < 0 ? &peers[i] : NULL;
        }
        if (peer == NULL) {
            close(fd);
        } else {
            *peer = (struct peer){.fd = fd};
        }
    }
    struct peer *peer = &peers[action % HOSTS];
    if (peer->fd < 0) {
        return;
    }
    ssize_t n = recv(peer->fd, peer->data + peer->len, sizeof(peer->data) - peer->len, 0);
    peer->len += n > 0 ? (size_t)n : 0;
    check_first_flight(peer);
    switch (action / HOSTS % 4) {
    case 0:
        (void)send(peer->fd, "220 hello from the host\r\n", 25, MSG_NOSIGNAL);
        break;
    case 1:
        (void)shutdown(peer->fd, SHUT_WR);
        break;
    case 2: {
        struct linger linger = {.l_onoff = action / HOSTS % 8 == 2};
        (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(peer->fd);
        peer->fd = -1;
        break;
    }
    default:
        break;
    }
}

/* ---- the guest ---- */

static size_t hello(uint8_t *dst, const char *name)
{
    size_t len = strlen(name);
    static const uint8_t head[] = {1, 0, 0, 0, 3, 3};
    memset(dst, 0, 200);
    memcpy(dst + 5, head, sizeof(head));
    size_t at = 5 + 6 + 32 + 1;
    memcpy(dst + at, "\x00\x02\x13\x01\x01\x00", 6);
    at += 6;
    put_be16(dst + at, (uint16_t)(len + 9));
    put_be16(dst + at + 4, (uint16_t)(len + 5));
    put_be16(dst + at + 6, (uint16_t)(len + 3));
    put_be16(dst + at + 9, (uint16_t)len);
    memcpy(dst + at + 11, name, len);
    at += 11 + len;
    memcpy(dst, "\x16\x03\x01", 3);
    put_be16(dst + 3, (uint16_t)(at - 5));
    dst[8] = (uint8_t)(at - 9);
    return at;
}

static void segment(struct reader *r)
{
    static const uint8_t usual[] = {TCP_ACK, TCP_ACK, TCP_ACK | TCP_FIN, TCP_SYN,
                                    TCP_RST, TCP_ACK, TCP_RST | TCP_ACK, TCP_SYN};
    uint8_t frame[2048], payload[1024];
    uint8_t choice = reader_u8(r), what = reader_u8(r), cut = reader_u8(r);
    struct connection *c = &connections[choice % CONNECTIONS];
    size_t len = 0;
    switch (what % 6) {
    case 0:
        len = hello(payload, "fine.test");
        break;
    case 1:
        len = hello(payload, "denied.test");
        break;
    case 2:
        len = (size_t)snprintf((char *)payload, sizeof(payload),
                               "GET / HTTP/1.1\r\nHost: denied.test\r\n\r\n");
        break;
    case 3: {
        len = what % 200;
        const uint8_t *given = reader_bytes(r, len);
        if (given == NULL) {
            return;
        }
        memcpy(payload, given, len);
        break;
    }
    default:
        break;
    }
    size_t from = cut % 16 * len / 16, to = len - cut / 16 * len / 16;
    struct guest_segment s = {
        .src = guests_link.guest4,
        .dst = guests_link.gateway4,
        .src_port = (uint16_t)(4000 + choice % CONNECTIONS),
        .dst_port = what < 250 ? listener_port : 853,
        .seq = c->snd_nxt,
        .ack = c->rcv_nxt,
        .flags = usual[choice / CONNECTIONS % 8],
        .window = (uint16_t)(what * 256),
    };
    len = from < to && (s.flags & (TCP_SYN | TCP_RST)) == 0 ? to - from : 0;
    size_t frame_len = guest_tcp(frame, &s, payload + from, len);
    c->snd_nxt += (uint32_t)len + ((s.flags & (TCP_SYN | TCP_FIN)) != 0);
    REQUIRE(ln_gateway_input(gateway, &(ln_frame){.data = frame, .len = frame_len}) == 0);
}

static void raw(struct reader *r)
{
    size_t len = reader_u8(r);
    const uint8_t *data = reader_bytes(r, len);
    if (data == NULL) {
        return;
    }
    uint8_t *frame = malloc(ETH_LEN + len);
    REQUIRE(frame != NULL);
    memcpy(frame, guests_link.gateway_mac, 6);
    memcpy(frame + 6, guests_link.guest_mac, 6);
    put_be16(frame + 12, len > 0 && data[0] >> 4 == 6 ? 0x86dd : 0x0800);
    memcpy(frame + ETH_LEN, data, len);
    /* The metadata vouches for checksums: the fuzzer need not find them. */
    ln_frame put = {.data = frame, .len = ETH_LEN + len, .flags = LN_FRAME_CSUM_VALID};
    REQUIRE(ln_gateway_input(gateway, &put) == 0);
    free(frame);
}

/* ---- one run ---- */

static void command(struct reader *r)
{
    uint8_t op = reader_u8(r);
    switch (op % 8) {
    case 0:
        raw(r);
        break;
    case 1:
        now_ns += MS_NS << op / 8 % 20;
        break;
    case 2:
        host_acts(op / 8 | (uint8_t)(reader_u8(r) << 5));
        break;
    case 3:
        if (op >= 240) {
            REQUIRE(ln_gateway_reload(gateway, policies[op / 8 % 2], NULL) == 0);
        }
        break;
    default:
        segment(r);
        break;
    }
    if (op % 3 != 0) {
        REQUIRE(ln_gateway_dispatch(gateway) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (listener < 0) {
        set_up();
    }
    struct reader r = reader_of(data, size);
    uint8_t start = reader_u8(&r);
    ln_config config = {
        .size = sizeof(config), .policy = policies[start % 2], .resolv_conf = "/dev/null"};
    ln_host host = {
        .size = sizeof(host), .send_frame = on_frame, .on_event = on_event, .now_ns = on_now};
    int fd_before = dup(listener);
    now_ns = 1000 * SECOND_NS;
    opened = closed = 0;
    memset(connections, 0, sizeof(connections));
    for (int i = 0; i < HOSTS; i++) {
        peers[i].fd = -1;
    }
    close(fd_before);
    REQUIRE(ln_gateway_new(&config, &host, NULL, &gateway, NULL) == 0);
    ln_gateway_link(gateway, &guests_link);
    static const char *const names[] = {"fine.test", "denied.test"};
    for (int i = 0; i < ((start & 2) != 0 ? 2 : 1); i++) {
        REQUIRE(ln_pins_add(gateway->admission.pins, names[i], &guests_link.gateway4, now_ns,
                            UINT64_MAX) == 0);
    }
    for (int i = 0; i < COMMANDS_MAX && reader_left(&r) > 0; i++) {
        command(&r);
    }
    for (uint8_t i = 0; i < HOSTS; i++) {
        host_acts((uint8_t)(3 * HOSTS + i));
    }
    gateway = ln_gateway_free(gateway);
    REQUIRE(opened == closed);
    for (uint8_t i = 0; i < HOSTS; i++) {
        host_acts((uint8_t)(2 * HOSTS + i));
    }
    int fd_after = dup(listener);
    close(fd_after);
    REQUIRE(fd_after == fd_before);
    return 0;
}
