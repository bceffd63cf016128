/* A network namespace of the test's own, which ends with it: the host of a gateway, with addresses
 * that are not loopback. */
#ifndef NETNS_H
#define NETNS_H

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sockaddr.h"

#define NETNS_HOST4  "198.51.100.1"
#define NETNS_OTHER4 "198.51.100.2"
#define NETNS_HOST6  "2001:db8::1"
#define NETNS_OTHER6 "2001:db8::2"

/* Runs a command line of the shell. Returns whether it succeeded. */
__attribute__((format(printf, 1, 2))) static inline bool netns_run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    return len < (int)sizeof(command) && system(command) == 0;
}

static inline bool netns_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok;
}

/* Moves the process into a new namespace: four addresses, and 203.0.113.0/24 and 2001:db8:dead::/48
 * unreachable. Returns whether this machine lets us. */
static inline bool netns_enter(void)
{
    char map[64];
    unsigned uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWNET) != 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            return false;
        }
        (void)snprintf(map, sizeof(map), "0 %u 1", uid);
        bool mapped = netns_write("/proc/self/uid_map", map);
        (void)snprintf(map, sizeof(map), "0 %u 1", gid);
        mapped = mapped && netns_write("/proc/self/setgroups", "deny") &&
                 netns_write("/proc/self/gid_map", map);
        if (!mapped) {
            return false;
        }
    }
    return netns_run("ip link set lo up && ip addr add " NETNS_HOST4 "/32 dev lo && "
                     "ip addr add " NETNS_OTHER4 "/32 dev lo && "
                     "ip addr add " NETNS_HOST6 "/128 dev lo nodad && "
                     "ip addr add " NETNS_OTHER6 "/128 dev lo nodad && "
                     "ip route add unreachable 203.0.113.0/24 && "
                     "ip route add unreachable 2001:db8:dead::/48");
}

static inline ln_addr netns_addr(const char *text)
{
    ln_addr addr = {{0}};
    int r = ln_addr_parse(text, strlen(text), &addr);
    assert(r == 0);
    (void)r;
    return addr;
}

/* A bound UDP socket that gives up waiting after two seconds; port 0: any. */
static inline int netns_udp(const char *address, uint16_t port)
{
    ln_addr addr = netns_addr(address);
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_put(&addr, port, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 2};
    int room = 1 << 20;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    int r = bind(fd, (const struct sockaddr *)&sa, len);
    assert(fd >= 0 && r == 0);
    (void)r;
    return fd;
}

static inline uint16_t netns_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    ln_addr addr;
    uint16_t port = 0;
    (void)getsockname(fd, (struct sockaddr *)&sa, &len);
    (void)sockaddr_get(&sa, &addr, &port);
    return port;
}

static inline unsigned netns_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 8192; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

#endif
