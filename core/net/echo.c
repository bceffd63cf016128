/* ICMP and ICMPv6 echo requests to the outside: one socket a family carries them all.
 *
 * Theory of operation. A request goes out under the socket's identifier and a sequence number of
 * ours, the tag, that names its place in a ring of those that await an answer; there the guest's
 * own numbers stand. An answer counts when its tag is in the ring and it comes from where the
 * request went. A ping socket is told of nothing but answers to its own identifier; a raw socket
 * sees those of the whole host, and its identifier is checked here. */
#include "net/echo.h"

#include <assert.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <linux/icmp.h>

#include "base/bytes.h"
#include "lunette/policy.h"
#include "packet/build.h"

enum {
    BURST = 32, /* answers, errors read in one go */
    MESSAGE_MAX = 65535
};

struct awaited {
    struct echo_request request;
    uint16_t tag;
    bool used;
};

struct family {
    struct echo *echo;
    struct watch watch;
    bool v6, raw;
    uint16_t id; /* raw: ours */
    uint16_t next_tag;
    int problem;
    struct awaited awaited[ECHO_REQUESTS_MAX];
};

struct echo {
    struct loop *loop;
    struct echo_callbacks callbacks;
    struct family families[2]; /* IPv4, IPv6 */
    uint8_t message[MESSAGE_MAX];
};

static struct awaited *place_of(struct family *family, uint16_t tag)
{
    return &family->awaited[tag % ECHO_REQUESTS_MAX];
}

/* ---- what comes back ---- */

/* The request that an ICMP header of ours, or an answer to it, belongs to. */
static const struct echo_request *request_of(struct family *family, const uint8_t *icmp, size_t len,
                                             uint8_t type)
{
    if (len < ICMP_LEN || icmp[0] != type || (family->raw && get_be16(icmp + 4) != family->id)) {
        return NULL;
    }
    uint16_t tag = get_be16(icmp + 6);
    const struct awaited *awaited = place_of(family, tag);
    return awaited->used && awaited->tag == tag ? &awaited->request : NULL;
}

static void read_errors(struct family *family)
{
    struct echo *echo = family->echo;
    uint8_t quoted[1280];
    struct socket_error error;
    for (int i = 0; i < BURST; i++) {
        if (socket_error_read(family->watch.fd, quoted, sizeof(quoted), &error) == 0) {
            return;
        }
        const struct echo_request *request = request_of(
            family, error.quoted, error.quoted_len, family->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO);
        if (request != NULL) {
            echo->callbacks.error(echo->callbacks.user, request, &error);
        }
    }
}

static void take_reply(struct family *family, size_t len, const ln_addr *from)
{
    struct echo *echo = family->echo;
    const uint8_t *icmp = echo->message;
    if (family->raw && !family->v6) { /* the IP header comes first */
        size_t header = len < IPV4_LEN ? len : (size_t)(icmp[0] & 0x0f) * 4;
        header = header < len ? header : len;
        icmp += header;
        len -= header;
    }
    const struct echo_request *request =
        request_of(family, icmp, len, family->v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY);
    if (request != NULL && ln_addr_equal(&request->peer, from)) {
        echo->callbacks.reply(echo->callbacks.user, request, icmp + ICMP_LEN, len - ICMP_LEN);
    }
}

static void family_ready(struct watch *watch, uint32_t events)
{
    struct family *family =
        (struct family *)(void *)((char *)watch - offsetof(struct family, watch));
    if ((events & EPOLLERR) != 0) {
        read_errors(family);
    }
    for (int i = 0; i < BURST; i++) {
        struct sockaddr_storage sa;
        socklen_t sa_len = sizeof(sa);
        ln_addr from;
        uint16_t port;
        ssize_t n = recvfrom(watch->fd, family->echo->message, MESSAGE_MAX, MSG_DONTWAIT,
                             (struct sockaddr *)&sa, &sa_len);
        if (n < 0) {
            return;
        }
        if (sockaddr_get(&sa, &from, &port) == 0) {
            take_reply(family, (size_t)n, &from);
        }
    }
}

/* ---- requests ---- */

/* Writes the header of an echo request under our own numbers. The kernel puts the identifier of a
 * ping socket, and every checksum but that of a raw IPv4 socket. */
static void build_request(const struct family *family, const struct packet *packet, uint16_t tag,
                          uint8_t header[ICMP_LEN])
{
    memset(header, 0, ICMP_LEN);
    header[0] = family->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
    put_be16(header + 4, family->id);
    put_be16(header + 6, tag);
    if (family->raw && !family->v6) {
        uint64_t sum = build_sum(header, ICMP_LEN, 0);
        sum = build_sum(packet->frame + packet->payload, packet->payload_len, sum);
        put_be16(header + 2, (uint16_t)~build_fold(sum));
    }
}

/* Returns 0 or an errno. */
static int transmit(const struct family *family, const struct packet *packet,
                    const uint8_t header[ICMP_LEN])
{
    struct sockaddr_storage to;
    socklen_t to_len = sockaddr_put(&packet->dst, 0, &to);
    struct iovec parts[2] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = ICMP_LEN},
        {.iov_base = (void *)(uintptr_t)(packet->frame + packet->payload),
         .iov_len = packet->payload_len},
    };
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {
                     .cmsg_len = CMSG_LEN(sizeof(int)),
                     .cmsg_level = family->v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                     .cmsg_type = family->v6 ? IPV6_HOPLIMIT : IP_TTL,
                 }};
    int ttl = packet->ttl - 1;
    memcpy(CMSG_DATA(&control.header), &ttl, sizeof(ttl));
    struct msghdr message = {
        .msg_name = &to,
        .msg_namelen = to_len,
        .msg_iov = parts,
        .msg_iovlen = 2,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    return sendmsg(family->watch.fd, &message, MSG_DONTWAIT) < 0 ? errno : 0;
}

int echo_send(struct echo *echo, const struct packet *packet)
{
    struct family *family = &echo->families[packet->v6];
    assert(packet->kind == PACKET_ECHO_REQUEST && packet->ttl > 1);
    if (family->watch.fd < 0) {
        return family->problem;
    }
    if (ln_addr_is_never(&packet->dst)) {
        return -EADDRNOTAVAIL;
    }
    uint16_t tag = family->next_tag++;
    *place_of(family, tag) = (struct awaited){
        .request = {.guest = packet->src,
                    .peer = packet->dst,
                    .id = packet->src_port,
                    .seq = get_be16(packet->frame + packet->l4 + 6)},
        .tag = tag,
        .used = true,
    };
    uint8_t header[ICMP_LEN];
    build_request(family, packet, tag, header);
    int refused = transmit(family, packet, header);
    if (refused != 0) { /* perhaps an error about another request that was waiting on the socket */
        read_errors(family);
        refused = transmit(family, packet, header);
    }
    return -refused;
}

/* ---- sockets ---- */

/* Nothing but answers wakes us. */
static int filter_raw(int fd, bool v6)
{
    if (v6) {
        struct icmp6_filter filter;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
    }
    struct icmp_filter filter = {.data = ~(1u << ICMP_ECHOREPLY)};
    return setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter));
}

static int family_open(struct family *family)
{
    struct loop *loop = family->echo->loop;
    int domain = family->v6 ? AF_INET6 : AF_INET;
    int protocol = family->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    int fd = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, protocol);
    int problem = fd < 0 ? -errno : 0;
    if (fd < 0) {
        fd = socket(domain, SOCK_RAW | SOCK_CLOEXEC, protocol);
        family->raw = true;
    }
    if (fd < 0) {
        return problem;
    }
    int r = family->raw && filter_raw(fd, family->v6) != 0 ? -errno : 0;
    r = r < 0 ? r : socket_error_enable(fd, family->v6);
    r = r < 0 ? r : loop_watch(loop, &family->watch, fd, EPOLLIN);
    if (r < 0) {
        close(fd);
    }
    return r;
}

struct echo *echo_new(struct loop *loop, const struct echo_callbacks *callbacks)
{
    struct echo *echo = calloc(1, sizeof(*echo));
    if (echo == NULL) {
        return NULL;
    }
    echo->loop = loop;
    echo->callbacks = *callbacks;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct family *family = &echo->families[v6];
        uint8_t random[4];
        loop->services.random(loop->services.user, random, sizeof(random));
        family->echo = echo;
        family->v6 = v6;
        family->id = get_be16(random);
        family->next_tag = get_be16(random + 2);
        family->watch = (struct watch){.fd = -1, .ready = family_ready};
        family->problem = family_open(family);
    }
    return echo;
}

struct echo *echo_free(struct echo *echo)
{
    for (unsigned v6 = 0; echo != NULL && v6 < 2; v6++) {
        int fd = echo->families[v6].watch.fd;
        if (fd >= 0) {
            loop_unwatch(echo->loop, &echo->families[v6].watch);
            close(fd);
        }
    }
    free(echo);
    return NULL;
}

int echo_problem(const struct echo *echo, bool v6)
{
    return echo->families[v6].problem;
}
