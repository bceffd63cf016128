/* Load and its other end for bench/datapath: connections a second, request-response latency,
 * datagrams a second, and connections held open. One binary for every peer, so that all are
 * measured alike.
 *
 *   netbench serve ADDR PORT                   TCP echo, UDP counting, until killed
 *   netbench connect ADDR PORT THREADS SECONDS connect, one byte each way, close
 *   netbench latency ADDR PORT SECONDS         one byte each way on one connection
 *   netbench datagrams ADDR PORT SECONDS BYTES sent as fast as they go; the server tells what
 *                                              arrived
 *   netbench hold ADDR PORT COUNT              opens COUNT connections, says "held", waits for its
 *                                              stdin to end
 *
 * Results are one line of JSON on stdout. */
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRAM "netbench"
#include "common.h"

enum { BATCH = 64, THREADS_MAX = 64 };

static int dial(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0) {
        fail("socket");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0) {
        fail("connect");
    }
    return fd;
}

static void exchange(int fd)
{
    char byte = 'x';
    if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1) {
        fail("exchange");
    }
}

/* ---- the other end ---- */

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint64_t datagrams_seen;

/* Counts datagrams; one that begins with '?' is answered with the count, which starts again. */
static void take_datagrams(int fd)
{
    static char data[BATCH][2048];
    struct iovec iov[BATCH];
    struct mmsghdr messages[BATCH];
    struct sockaddr_in from[BATCH];
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], sizeof(data[i])};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                              .msg_namelen = sizeof(from[i]),
                                              .msg_iov = &iov[i],
                                              .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        if (data[i][0] != '?') {
            datagrams_seen++;
            continue;
        }
        char text[32];
        int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)datagrams_seen);
        datagrams_seen = 0;
        sendto(fd, text, (size_t)len, 0, (struct sockaddr *)&from[i], sizeof(from[i]));
    }
}

static int serve(char **argv)
{
    raise_descriptors();
    struct sockaddr_in addr = address_of(argv[2], argv[3]);
    int one = 1, room = 8 << 20;
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (bind(tcp, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(tcp, 4096) != 0 ||
        bind(udp, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        fail("bind");
    }
    int epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, tcp, &(struct epoll_event){EPOLLIN, {.fd = tcp}});
    epoll_ctl(epoll, EPOLL_CTL_ADD, udp, &(struct epoll_event){EPOLLIN, {.fd = udp}});
    for (;;) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            char data[4096];
            if (fd == udp) {
                take_datagrams(udp);
            } else if (fd == tcp) {
                int peer = accept4(tcp, NULL, NULL, SOCK_NONBLOCK);
                if (peer >= 0) {
                    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                    epoll_ctl(epoll, EPOLL_CTL_ADD, peer,
                              &(struct epoll_event){EPOLLIN, {.fd = peer}});
                }
            } else {
                ssize_t got = recv(fd, data, sizeof(data), 0);
                if (got > 0) {
                    send(fd, data, (size_t)got, MSG_NOSIGNAL);
                } else if (got == 0 || errno != EAGAIN) {
                    close(fd);
                }
            }
        }
    }
}

/* ---- connections a second ---- */

struct dialer {
    struct sockaddr_in addr;
    uint64_t end_ns, count;
};

static void *dial_until(void *user)
{
    struct dialer *dialer = user;
    while (now_ns() < dialer->end_ns) {
        int fd = dial(&dialer->addr);
        exchange(fd);
        close(fd);
        dialer->count++;
    }
    return NULL;
}

static int connect_rate(char **argv)
{
    int threads = atoi(argv[4]);
    double seconds = atof(argv[5]);
    static struct dialer dialers[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    uint64_t count = 0, start = now_ns();
    for (int i = 0; i < threads && i < THREADS_MAX; i++) {
        dialers[i] = (struct dialer){.addr = address_of(argv[2], argv[3]),
                                     .end_ns = start + (uint64_t)(seconds * 1e9)};
        pthread_create(&ids[i], NULL, dial_until, &dialers[i]);
    }
    for (int i = 0; i < threads && i < THREADS_MAX; i++) {
        pthread_join(ids[i], NULL);
        count += dialers[i].count;
    }
    printf("{\"per_second\": %.0f}\n", (double)count * 1e9 / (double)(now_ns() - start));
    return 0;
}

/* ---- latency ---- */

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int latency(char **argv)
{
    enum { MOST = 1 << 20 };
    static uint32_t samples[MOST];
    struct sockaddr_in addr = address_of(argv[2], argv[3]);
    int fd = dial(&addr);
    uint32_t n = 0;
    uint64_t end = now_ns() + (uint64_t)(atof(argv[4]) * 1e9);
    for (int i = 0; i < 1000; i++) {
        exchange(fd);
    }
    for (uint64_t at = now_ns(); at < end && n < MOST;) {
        exchange(fd);
        uint64_t then = now_ns();
        samples[n++] = (uint32_t)((then - at) / 10); /* 10 ns */
        at = then;
    }
    qsort(samples, n, sizeof(*samples), compare);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"per_second\": %.0f}\n", samples[n / 2] / 100.0,
           samples[(uint64_t)n * 99 / 100] / 100.0, n / atof(argv[4]));
    return 0;
}

/* ---- datagrams a second ---- */

static int datagrams(char **argv)
{
    struct sockaddr_in addr = address_of(argv[2], argv[3]);
    size_t size = (size_t)atoi(argv[5]);
    static char data[2048];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval timeout = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        fail("socket");
    }
    char text[32] = "";
    send(fd, "?", 1, 0);
    recv(fd, text, sizeof(text), 0);
    struct iovec iov = {data, size};
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    }
    double seconds = atof(argv[4]);
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), sent = 0;
    while (now_ns() < end) {
        int n = sendmmsg(fd, messages, BATCH, 0);
        sent += n > 0 ? (uint64_t)n : 0;
    }
    double took = (double)(now_ns() - start) / 1e9;
    usleep(200000);
    memset(text, 0, sizeof(text));
    for (int i = 0; i < 5; i++) { /* the question may be lost too */
        send(fd, "?", 1, 0);
        if (recv(fd, text, sizeof(text) - 1, 0) > 0) {
            break;
        }
    }
    printf("{\"sent_per_second\": %.0f, \"arrived_per_second\": %.0f}\n", (double)sent / took,
           atof(text) / took);
    return 0;
}

static int hold(char **argv)
{
    raise_descriptors();
    struct sockaddr_in addr = address_of(argv[2], argv[3]);
    for (int i = 0, count = atoi(argv[4]); i < count; i++) {
        exchange(dial(&addr));
    }
    printf("held\n");
    fflush(stdout);
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        return serve(argv);
    }
    if (argc == 6 && strcmp(argv[1], "connect") == 0) {
        return connect_rate(argv);
    }
    if (argc == 5 && strcmp(argv[1], "latency") == 0) {
        return latency(argv);
    }
    if (argc == 6 && strcmp(argv[1], "datagrams") == 0) {
        return datagrams(argv);
    }
    if (argc == 5 && strcmp(argv[1], "hold") == 0) {
        return hold(argv);
    }
    fprintf(stderr,
            "usage: netbench serve|connect|latency|datagrams|hold …; see the head of netbench.c\n");
    return 2;
}
