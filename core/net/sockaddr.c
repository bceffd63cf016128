/* Addresses as the system's calls take them, and the errors that ICMP brought to a socket: the
 * error queue of Linux (ip(7), IP_RECVERR). */
#include "net/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h> /* for errqueue.h */

#include <linux/errqueue.h>

socklen_t sockaddr_put(const ln_addr *addr, uint16_t port, struct sockaddr_storage *ret)
{
    *ret = (struct sockaddr_storage){0};
    if (ln_addr_is_v4(addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        v4.sin_addr.s_addr = htonl(ln_addr_to_v4(addr));
        memcpy(ret, &v4, sizeof(v4));
        return sizeof(v4);
    }
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(v6.sin6_addr.s6_addr, addr->bytes, sizeof(addr->bytes));
    memcpy(ret, &v6, sizeof(v6));
    return sizeof(v6);
}

int sockaddr_get(const struct sockaddr_storage *from, ln_addr *ret, uint16_t *ret_port)
{
    if (from->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, from, sizeof(v4));
        *ret = ln_addr_v4(ntohl(v4.sin_addr.s_addr));
        *ret_port = ntohs(v4.sin_port);
        return 0;
    }
    if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof(v6));
        memcpy(ret->bytes, v6.sin6_addr.s6_addr, sizeof(ret->bytes));
        *ret_port = ntohs(v6.sin6_port);
        return 0;
    }
    return -EAFNOSUPPORT;
}

int socket_error_enable(int fd, bool v6)
{
    const int on = 1;
    int r = v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on))
               : setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
    return r == 0 ? 0 : -errno;
}

/* The description that came with a message of the error queue. Returns whether it is of ICMP. */
static bool describe(struct msghdr *message, struct socket_error *ret)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if ((!v4 && !v6) || c->cmsg_len < CMSG_LEN(sizeof(struct sock_extended_err))) {
            continue;
        }
        struct sock_extended_err error;
        memcpy(&error, CMSG_DATA(c), sizeof(error));
        if (error.ee_origin != (v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6)) {
            continue;
        }
        struct sockaddr_storage offender = {0};
        size_t len = c->cmsg_len - CMSG_LEN(sizeof(error));
        memcpy(&offender, CMSG_DATA(c) + sizeof(error),
               len < sizeof(offender) ? len : sizeof(offender));
        uint16_t port;
        ret->type = error.ee_type;
        ret->code = error.ee_code;
        ret->mtu = error.ee_info;
        return sockaddr_get(&offender, &ret->offender, &port) == 0;
    }
    return false;
}

int socket_error_read(int fd, uint8_t *buffer, size_t size, struct socket_error *ret)
{
    for (;;) {
        union {
            struct cmsghdr align;
            uint8_t bytes[512];
        } control;
        struct sockaddr_storage peer = {0};
        struct iovec iov = {.iov_base = buffer, .iov_len = size};
        struct msghdr message = {
            .msg_name = &peer,
            .msg_namelen = sizeof(peer),
            .msg_iov = &iov,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes),
        };
        ssize_t n = recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (n < 0) {
            int pending;
            socklen_t len = sizeof(pending);
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &len);
            return 0;
        }
        struct socket_error error = {.quoted = buffer, .quoted_len = (size_t)n};
        if (describe(&message, &error) && sockaddr_get(&peer, &error.peer, &error.peer_port) == 0) {
            *ret = error;
            return 1;
        }
    }
}
