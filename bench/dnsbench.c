/* Load and its other end for bench/dns: queries a second and how long each takes. One binary for
 * every peer, so that all are measured alike.
 *
 *   dnsbench serve ADDR PORT                            answers every question with one address
 *   dnsbench ask ADDR PORT KIND SECONDS WINDOW [RATE]   WINDOW questions on their way at a time, or
 *                                                       RATE a second
 *
 * KIND: hot (100 names over and over), cold (each name once), denied (d0.denied.example up to
 * d99999, over and over). Results are one line of JSON on stdout. */
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRAM "dnsbench"
#include "common.h"

enum {
    BATCH = 32,
    MESSAGE = 512,
    HEADER = 12,
    HOT_NAMES = 100,
    DENIED_NAMES = 100000,
    LOST_MS = 1000,
    SAMPLES_MAX = 4 << 20
};

static int udp_socket(void)
{
    int room = 8 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fail("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    return fd;
}

/* ---- the upstream ---- */

/* Makes an answer of a query in place. Returns its length, 0 when it is none. */
static size_t answer(uint8_t *msg, size_t len)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 203, 0, 113, 77};
    size_t at = HEADER;
    while (at < len && msg[at] != 0) {
        at += 1u + msg[at];
    }
    at += 5;
    if (len < HEADER + 5 || at + sizeof(record) > MESSAGE || at > len) {
        return 0;
    }
    msg[2] |= 0x80;
    msg[3] = 0x80;
    memset(msg + 6, 0, 6);
    msg[7] = 1;
    memcpy(msg + at, record, sizeof(record));
    return at + sizeof(record);
}

static int serve(char **argv)
{
    static uint8_t data[BATCH][MESSAGE];
    struct sockaddr_in addr = address_of(argv[2], argv[3]);
    struct sockaddr_in from[BATCH];
    struct iovec iov[BATCH];
    struct mmsghdr messages[BATCH];
    int fd = udp_socket();
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        fail("bind");
    }
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            iov[i] = (struct iovec){data[i], MESSAGE};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                                       .msg_namelen = sizeof(from[i]),
                                                       .msg_iov = &iov[i],
                                                       .msg_iovlen = 1}};
        }
        int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++) {
            iov[i].iov_len = answer(data[i], messages[i].msg_len);
        }
        if (n > 0) {
            (void)sendmmsg(fd, messages, (unsigned)n, 0);
        }
    }
}

/* ---- the load ---- */

struct load {
    int fd;
    char kind;
    uint32_t salt, next;     /* of names */
    uint64_t sent_ns[65536]; /* by id; 0: not on its way */
    uint16_t last_id;
    unsigned on_way, lost;
    unsigned rcodes[16];
    uint32_t *samples; /* microseconds */
    size_t n_samples;
};

static void ask(struct load *load)
{
    uint8_t msg[MESSAGE] = {0};
    char label[24];
    static const char tails[2][20] = {"\5bench\7example", "\6denied\7example"};
    uint32_t n = load->next++;
    if (load->kind == 'h') {
        snprintf(label, sizeof(label), "h%u", n % HOT_NAMES);
    } else if (load->kind == 'd') {
        snprintf(label, sizeof(label), "d%u", n % DENIED_NAMES);
    } else {
        snprintf(label, sizeof(label), "c%x-%x", load->salt, n);
    }
    while (load->sent_ns[++load->last_id] != 0) {
    }
    const char *tail = tails[load->kind == 'd'];
    size_t len = HEADER;
    msg[0] = (uint8_t)(load->last_id >> 8);
    msg[1] = (uint8_t)load->last_id;
    msg[2] = 1;
    msg[5] = 1;
    msg[len] = (uint8_t)strlen(label);
    memcpy(msg + len + 1, label, msg[len]);
    len += 1u + msg[len];
    memcpy(msg + len, tail, strlen(tail));
    len += strlen(tail) + 1;
    msg[len + 1] = 1;
    msg[len + 3] = 1;
    load->sent_ns[load->last_id] = now_ns();
    load->on_way++;
    (void)send(load->fd, msg, len + 4, 0);
}

static void take(struct load *load)
{
    static uint8_t data[BATCH][MESSAGE];
    struct iovec iov[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], MESSAGE};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(load->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) {
        uint16_t id = (uint16_t)(data[i][0] << 8 | data[i][1]);
        if (messages[i].msg_len < HEADER || load->sent_ns[id] == 0) {
            continue;
        }
        load->rcodes[data[i][3] & 15]++;
        if (load->n_samples < SAMPLES_MAX) {
            load->samples[load->n_samples++] = (uint32_t)((now - load->sent_ns[id]) / 1000);
        }
        load->sent_ns[id] = 0;
        load->on_way--;
    }
}

static void give_up_old(struct load *load)
{
    uint64_t now = now_ns();
    for (size_t id = 0; id < 65536; id++) {
        if (load->sent_ns[id] != 0 && now - load->sent_ns[id] > LOST_MS * UINT64_C(1000000)) {
            load->sent_ns[id] = 0;
            load->on_way--;
            load->lost++;
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int load_run(char **argv, int argc)
{
    struct sockaddr_in addr = address_of(argv[2], argv[3]);
    struct load *load = calloc(1, sizeof(*load));
    double seconds = atof(argv[5]);
    unsigned window = (unsigned)atoi(argv[6]);
    double rate = argc > 7 ? atof(argv[7]) : 0;
    if (load == NULL || (load->samples = malloc(SAMPLES_MAX * sizeof(uint32_t))) == NULL) {
        fail("malloc");
    }
    load->fd = udp_socket();
    load->kind = argv[4][0];
    load->salt = (uint32_t)now_ns();
    if (connect(load->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        fail("connect");
    }
    uint64_t start = now_ns();
    uint64_t end = start + (uint64_t)(seconds * 1e9);
    uint64_t swept = start;
    unsigned sent = 0;
    for (uint64_t now = start; now < end; now = now_ns()) {
        unsigned due = rate > 0 ? (unsigned)((double)(now - start) / 1e9 * rate) : UINT32_MAX;
        while (load->on_way < window && sent < due) {
            ask(load);
            sent++;
        }
        struct pollfd ready = {.fd = load->fd, .events = POLLIN};
        struct timespec wait = {.tv_nsec = rate > 0 ? 100000 : 20000000};
        if (ppoll(&ready, 1, &wait, NULL) > 0) {
            take(load);
        }
        if (now - swept > 100000000) {
            give_up_old(load);
            swept = now;
        }
    }
    size_t n = load->n_samples;
    qsort(load->samples, n, sizeof(*load->samples), compare);
    printf("{\"per_second\": %.0f, \"p50_us\": %u, \"p99_us\": %u, \"lost\": %u, \"noerror\": %u, "
           "\"nxdomain\": %u, \"servfail\": %u}\n",
           (double)n / seconds, n > 0 ? load->samples[n / 2] : 0,
           n > 0 ? load->samples[n * 99 / 100] : 0, load->lost, load->rcodes[0], load->rcodes[3],
           load->rcodes[2]);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        return serve(argv);
    }
    if (argc >= 7 && strcmp(argv[1], "ask") == 0) {
        return load_run(argv, argc);
    }
    fprintf(stderr, "usage: dnsbench serve ADDR PORT | ask ADDR PORT KIND SECONDS WINDOW [RATE]\n");
    return 2;
}
