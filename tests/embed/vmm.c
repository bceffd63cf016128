/* The loop of a virtual machine monitor that embeds lunette: the guest's frames come and go over a
 * socket, everything the gateway does comes from one poll(). The guest here is a process that asks
 * for an address by DHCP and for a name, and says what it got by its exit status. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunette/gateway.h"
#include "lunette/load.h"
#include "lunette/table.h"

/* ---- the monitor ---- */

struct monitor {
    int guest; /* one frame a datagram */
    ln_gateway *gateway;
    unsigned denied;
};

static int send_frame(void *user, const ln_frame *frame)
{
    struct monitor *monitor = user;
    return send(monitor->guest, frame->data, frame->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -EAGAIN
                                                                                          : 0;
}

static int on_event(void *user, const ln_event *event)
{
    struct monitor *monitor = user;
    char line[1024];
    if (ln_event_format_json(event, line, sizeof(line)) < sizeof(line)) {
        puts(line);
    }
    monitor->denied += event->kind == LN_EVENT_DNS_DENIED;
    return 0;
}

/* Returns whether the guest is still there. */
static int take_frames(struct monitor *monitor)
{
    static uint8_t data[LN_FRAME_MAX];
    for (;;) {
        ssize_t n = recv(monitor->guest, data, sizeof(data), MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        ln_frame frame = {.data = data, .len = (size_t)n};
        (void)ln_gateway_input(monitor->gateway, &frame);
    }
}

static void loop(struct monitor *monitor)
{
    struct pollfd fds[] = {{.fd = monitor->guest, .events = POLLIN},
                           {.fd = ln_gateway_fd(monitor->gateway), .events = POLLIN}};
    do {
        (void)ln_gateway_dispatch(monitor->gateway);
        (void)poll(fds, 2, -1);
    } while (take_frames(monitor));
}

/* ---- the guest ---- */

static uint16_t sum(const uint8_t *data, size_t len)
{
    uint32_t total = 0;
    for (size_t i = 0; i < len; i += 2) {
        total += (uint32_t)data[i] << 8 | data[i + 1];
    }
    while (total > 0xffff) {
        total = (total & 0xffff) + (total >> 16);
    }
    return (uint16_t)~total;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Sends a datagram over IPv4 without a UDP checksum. */
static void send_udp(int fd, uint32_t src, uint32_t dst, unsigned src_port, unsigned dst_port,
                     const uint8_t *payload, size_t len)
{
    uint8_t frame[600] = {0x02, 0x6c, 0x75, 0, 0, 1, 0x02, 0x6c, 0x75, 0, 0, 2, 0x08, 0};
    if (dst == 0xffffffff) {
        memset(frame, 0xff, 6);
    }
    uint8_t *ip = frame + 14;
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(28 + len));
    ip[8] = 64;
    ip[9] = 17;
    src = htonl(src);
    dst = htonl(dst);
    memcpy(ip + 12, &src, 4);
    memcpy(ip + 16, &dst, 4);
    put16(ip + 10, sum(ip, 20));
    put16(ip + 20, src_port);
    put16(ip + 22, dst_port);
    put16(ip + 24, (unsigned)(8 + len));
    memcpy(ip + 28, payload, len);
    (void)send(fd, frame, 42 + len, 0);
}

/* The next datagram to this port. Returns its payload, or NULL. */
static const uint8_t *receive_udp(int fd, unsigned port)
{
    static uint8_t frame[LN_FRAME_MAX];
    for (int i = 0; i < 20; i++) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (poll(&readable, 1, 5000) != 1 || recv(fd, frame, sizeof(frame), 0) < 42) {
            return NULL;
        }
        if (frame[12] == 0x08 && frame[13] == 0 && frame[23] == 17 &&
            (unsigned)(frame[36] << 8 | frame[37]) == port) {
            return frame + 42;
        }
    }
    return NULL;
}

static int be_guest(int fd)
{
    uint8_t discover[300] = {1, 1, 6, 0, 'l', 'u', 'n', 'a'};
    static const uint8_t hardware[6] = {0x02, 0x6c, 0x75, 0, 0, 2};
    static const uint8_t options[] = {99, 130, 83, 99, 53, 1, 1, 255};
    memcpy(discover + 28, hardware, 6);
    memcpy(discover + 236, options, sizeof(options));
    send_udp(fd, 0, 0xffffffff, 68, 67, discover, sizeof(discover));
    const uint8_t *offer = receive_udp(fd, 68);
    if (offer == NULL || offer[0] != 2) {
        return 1;
    }
    uint32_t own = (uint32_t)offer[16] << 24 | (uint32_t)offer[17] << 16 |
                   (uint32_t)offer[18] << 8 | offer[19];
    static const uint8_t query[] = {0,   7,   1,   0, 0,   1,   0,   0,   0, 0, 0, 0, 4, 'e',
                                    'v', 'i', 'l', 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1};
    send_udp(fd, own, own - 1, 40000, 53, query, sizeof(query));
    const uint8_t *answer = receive_udp(fd, 40000);
    return answer != NULL && (answer[3] & 15) == 3 ? 0 : 2; /* NXDOMAIN */
}

/* ---- both ---- */

static int say(const ln_problems *problems)
{
    for (size_t i = 0; i < ln_problems_count(problems); i++) {
        char text[512];
        ln_problem_format(ln_problems_get(problems, i), text, sizeof(text));
        fprintf(stderr, "%s\n", text);
    }
    return EXIT_FAILURE;
}

/* The same policy, once as Lua and once in C. */
static int make_policy(int in_lua, ln_policy **ret, ln_problems *problems)
{
    if (in_lua) {
        static const char text[] = "local lunette = require 'lunette'\n"
                                   "return { rules = { lunette.allow('good.test') },\n"
                                   "         deny_domains = { 'evil.test' } }\n";
        return ln_policy_load_text("embedded.lua", text, sizeof(text) - 1, ret, problems);
    }
    ln_table *config = ln_table_new();
    ln_table *rule = ln_table_set_table(ln_table_set_table(config, "rules"), NULL);
    ln_table *names = ln_table_set_table(config, "deny_domains");
    int r = ln_table_set_string(rule, "action", "allow");
    r = r < 0 ? r : ln_table_set_string(rule, "destination", "good.test");
    r = r < 0 ? r : ln_table_set_string(names, NULL, "evil.test");
    r = r < 0 ? r : ln_policy_new(ln_table_value(config), NULL, ret, problems);
    ln_table_free(config);
    return r;
}

static int serve(ln_policy *policy)
{
    int pair[2];
    struct monitor monitor = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0) {
        return EXIT_FAILURE;
    }
    pid_t guest = fork();
    if (guest == 0) {
        close(pair[0]);
        _exit(be_guest(pair[1]));
    }
    close(pair[1]);
    monitor.guest = pair[0];
    ln_config config = {.size = sizeof(config), .policy = policy};
    ln_host host = {.size = sizeof(host), .send_frame = send_frame, .on_event = on_event};
    ln_error error;
    if (ln_gateway_new(&config, &host, &monitor, &monitor.gateway, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return EXIT_FAILURE;
    }
    loop(&monitor);
    int status = -1;
    (void)waitpid(guest, &status, 0);
    ln_gateway_free(monitor.gateway);
    close(pair[0]);
    return status == 0 && monitor.denied == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
    int status = EXIT_SUCCESS;
    for (int in_lua = 0; in_lua <= 1 && status == EXIT_SUCCESS; in_lua++) {
        ln_problems *problems = ln_problems_new();
        ln_policy *policy;
        if (make_policy(in_lua, &policy, problems) < 0) {
            status = say(problems);
        } else {
            status = serve(policy);
            ln_policy_unref(policy);
        }
        ln_problems_free(problems);
    }
    return status;
}
