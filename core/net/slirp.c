/* UDP of the guest through libslirp: one small instance of it for each port that the guest uses.
 *
 * Theory of operation. libslirp walks a list of its sockets for every datagram and every poll,
 * holds each for four minutes, and has no call to close one. With an instance to a socket, finding,
 * polling and closing it cost the same however many there are, an idle one costs nothing, and how
 * long it lives is the flow table's business alone. The instance's clock stands still, so that it
 * closes nothing by itself and needs no timer. (libslirp has one clock for the process: another
 * user of it there would see that stand still too.)
 *
 * An instance never parses what the guest wrote: every datagram is given to it behind headers that
 * are built here, and only for destinations that slirp_carries(). It answers neither DHCP, DNS nor
 * TFTP then, nor does it reach the host's loopback. Its socket is made non-blocking, so that the
 * host's full queue costs a datagram and not everybody's time.
 *
 * What an instance sends the guest of its own accord, ICMP errors, goes no further: they quote the
 * last datagram of the socket, whichever peer they are about. ICMP errors are read from the
 * socket's error queue instead. During slirp_input() such a frame means that the host refused to
 * send, and errno still says why: first of all perhaps an ICMP error that is waiting on the socket
 * and is about another datagram, which is why a refusal is tried again once the queue has been
 * read. */
#include "net/slirp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "lunette/policy.h"
#include "packet/build.h"

enum {
    BUCKETS = 1024,
    BURST = 32,                             /* datagrams, errors read in one go from a socket */
    FRAME_MAX = 65535 + IPV6_LEN + ETH_LEN, /* the longest that libslirp can hand out */
    MTU = 1500,                             /* of an instance, where the link has no smaller one */
    MTU_LARGE = 65521,                      /* the most that libslirp takes */
    PORT_DHCP = 67,
    PORT_DHCP_CLIENT = 68,
    PORT_TFTP = 69,
    PORT_DHCPV6 = 547,
    ICMPV6_NA = 136, /* RFC 4861 section 4.4 */
    NA_LEN = 24
};

struct slirp_port {
    struct slirp_host *host;
    struct slirp_port *chain; /* next in the hash bucket */
    uint64_t hash;
    ln_addr guest;
    uint16_t number;
    uint32_t opens;
    Slirp *slirp;       /* NULL until the first datagram */
    struct watch watch; /* its one socket */
    bool started;       /* a datagram was sent: libslirp listens for answers */
    bool large;         /* counts in n_large */
    bool sending;       /* inside slirp_input() */
    int refused;        /* errno of a refusal to send */
    bool let_in;        /* the datagram whose fragments follow */
};

struct slirp_host {
    struct loop *loop;
    const struct link_identity *link;
    struct slirp_callbacks callbacks;
    struct hash_key key;
    struct slirp_port *buckets[BUCKETS];
    uint32_t n_ports, n_large;
    uint32_t mtu;             /* of ordinary instances */
    uint8_t frame[FRAME_MAX]; /* what goes into libslirp, or came out of it */
};

/* ---- what libslirp calls ---- */

/* One packet from the network. */
static void port_deliver(struct slirp_port *port, const uint8_t *data, size_t len)
{
    struct slirp_host *host = port->host;
    struct packet packet;
    if (len > sizeof(host->frame) || packet_describe(data, len, &packet) != DROP_NONE) {
        return;
    }
    if (packet.fragment_offset == 0) {
        const uint8_t *udp = data + packet.l4;
        if (packet.ip_protocol != IPPROTO_UDP || len < packet.l4 + UDP_LEN) {
            return;
        }
        struct slirp_datagram datagram = {
            .guest = port->guest,
            .guest_port = port->number,
            .peer = packet.src,
            .peer_port = get_be16(udp),
            .payload_len = (uint32_t)get_be16(udp + 4) - UDP_LEN,
        };
        port->let_in = host->callbacks.receive(host->callbacks.user, &datagram);
    }
    if (port->let_in) { /* without the padding that libslirp may have put */
        memcpy(host->frame, data, packet.frame_len);
        host->callbacks.deliver(host->callbacks.user, host->frame, packet.frame_len);
    }
}

static ssize_t on_packet(const void *data, size_t len, void *opaque)
{
    struct slirp_port *port = opaque;
    if (port->sending) {
        port->refused = errno != 0 ? errno : EMSGSIZE;
    } else {
        port_deliver(port, data, len);
    }
    return (ssize_t)len;
}

static void port_ready(struct watch *watch, uint32_t events);

static void on_register(int fd, void *opaque)
{
    struct slirp_port *port = opaque;
    if (fd < 0) {
        port->refused = errno;
        return;
    }
    int flags = fcntl(fd, F_GETFL);
    port->watch.ready = port_ready;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        loop_watch(port->host->loop, &port->watch, fd, EPOLLIN) != 0) {
        port->refused = errno;
    }
}

static void on_unregister(int fd, void *opaque)
{
    struct slirp_port *port = opaque;
    if (port->watch.fd == fd) {
        loop_unwatch(port->host->loop, &port->watch);
    }
}

static int64_t clock_ns(void *opaque)
{
    (void)opaque;
    return 0;
}

/* Its one timer is for router advertisements, which it has no part in. */
static void *timer_new(SlirpTimerCb fire, void *fire_opaque, void *opaque)
{
    (void)fire;
    (void)fire_opaque;
    return opaque;
}

static void timer_free(void *timer, void *opaque)
{
    (void)timer;
    (void)opaque;
}

static void timer_mod(void *timer, int64_t due_ms, void *opaque)
{
    (void)timer;
    (void)due_ms;
    (void)opaque;
}

static void guest_error(const char *message, void *opaque)
{
    (void)message;
    (void)opaque;
}

static void notify(void *opaque)
{
    (void)opaque;
}

static const SlirpCb slirp_cb = {
    .send_packet = on_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = on_register,
    .unregister_poll_fd = on_unregister,
    .notify = notify,
};

/* ---- an instance ---- */

static struct in_addr in4(const ln_addr *addr)
{
    return (struct in_addr){.s_addr = htonl(ln_addr_to_v4(addr))};
}

static struct in6_addr in6(const ln_addr *addr)
{
    struct in6_addr ret;
    memcpy(ret.s6_addr, addr->bytes, sizeof(ret.s6_addr));
    return ret;
}

static Slirp *instance_new(struct slirp_port *port, uint32_t mtu)
{
    const struct link_identity *link = port->host->link;
    bool v6 = !ln_addr_is_v4(&port->guest);
    SlirpConfig config = {
        .version = 4,
        .in_enabled = !v6,
        .vnetwork = in4(&link->prefix4.addr),
        .vnetmask = {.s_addr = htonl(UINT32_MAX << (128 - link->prefix4.bits))},
        .vhost = in4(&link->gateway4),
        .vdhcp_start = in4(&link->guest4),
        .vnameserver = in4(&link->gateway4),
        .in6_enabled = v6,
        .vprefix_addr6 = in6(&link->prefix6.addr),
        .vprefix_len = link->prefix6.bits,
        .vhost6 = in6(&link->gateway6),
        .vnameserver6 = in6(&link->gateway6),
        .if_mtu = mtu,
        .if_mru = mtu,
        .disable_host_loopback = true,
        .disable_dns = true,
        .disable_dhcp = true,
    };
    return slirp_new(&config, &slirp_cb, port);
}

/* Tells a new instance the guest's hardware address, as the guest's own ARP reply (RFC 826) or
 * neighbour advertisement (RFC 4861) would. */
static void introduce(struct slirp_port *port)
{
    const struct link_identity *link = port->host->link;
    uint8_t frame[ETH_LEN + IPV6_LEN + NA_LEN] = {0};
    size_t len;
    if (ln_addr_is_v4(&port->guest)) {
        static const uint8_t reply[8] = {0, 1, 8, 0, 6, 4, 0, 2}; /* Ethernet, IPv4, lengths, op */
        uint8_t *arp = frame + ETH_LEN;
        build_eth(frame, link->gateway_mac, link->guest_mac, ETHERTYPE_ARP);
        memcpy(arp, reply, sizeof(reply));
        memcpy(arp + 8, link->guest_mac, 6);
        put_be32(arp + 14, ln_addr_to_v4(&port->guest));
        memcpy(arp + 18, link->gateway_mac, 6);
        put_be32(arp + 24, ln_addr_to_v4(&link->gateway4));
        len = ETH_LEN + 28;
    } else {
        uint8_t *na = frame + ETH_LEN + IPV6_LEN;
        build_eth(frame, link->gateway_mac, link->guest_mac, ETHERTYPE_IPV6);
        build_ip(frame + ETH_LEN, true, &port->guest, &link->gateway6, IPPROTO_ICMPV6, NA_LEN);
        frame[ETH_LEN + 7] = 255; /* hop limit */
        na[0] = ICMPV6_NA;
        memcpy(na + 8, port->guest.bytes, 16);
        uint64_t sum =
            build_pseudo_sum(&port->guest, &link->gateway6, true, IPPROTO_ICMPV6, NA_LEN);
        put_be16(na + 2, (uint16_t)~build_fold(build_sum(na, NA_LEN, sum)));
        len = sizeof(frame);
    }
    slirp_input(port->slirp, frame, (int)len);
}

/* Whether a packet is longer than the MTU of an ordinary instance. An instance keeps its buffers,
 * and a copy of the last datagram that it sent: they are to be small however long the link's
 * packets may be. */
static bool is_large(const struct slirp_host *host, const struct packet *packet)
{
    return packet->frame_len > ETH_LEN + host->mtu;
}

/* Makes the instance. Of IPv6 it takes no packet longer than its MTU. */
static int port_start(struct slirp_port *port, bool large)
{
    struct slirp_host *host = port->host;
    if (large && host->n_large == SLIRP_LARGE_MAX) {
        return -ENOSPC;
    }
    bool v6 = !ln_addr_is_v4(&port->guest);
    port->slirp = instance_new(port, large && v6 ? MTU_LARGE : host->mtu);
    if (port->slirp == NULL) {
        return -EINVAL;
    }
    port->large = large;
    host->n_large += large;
    introduce(port);
    return 0;
}

/* Ends the instance, and with it the socket. */
static void port_stop(struct slirp_port *port)
{
    if (port->slirp != NULL) {
        slirp_cleanup(port->slirp);
        port->slirp = NULL;
    }
    port->host->n_large -= port->large;
    port->large = port->started = false;
}

/* ---- sockets ---- */

static void read_errors(struct slirp_port *port)
{
    struct slirp_host *host = port->host;
    uint8_t quoted[1280];
    struct socket_error error;
    for (int i = 0; i < BURST; i++) {
        if (socket_error_read(port->watch.fd, quoted, sizeof(quoted), &error) == 0) {
            return;
        }
        host->callbacks.error(host->callbacks.user, &port->guest, port->number, &error);
    }
}

static int add_poll(int fd, int events, void *opaque)
{
    (void)fd;
    (void)events;
    (void)opaque;
    return 0;
}

static int get_revents(int index, void *opaque)
{
    (void)index;
    (void)opaque;
    return SLIRP_POLL_IN;
}

/* Each poll takes one datagram. */
static void port_ready(struct watch *watch, uint32_t events)
{
    struct slirp_port *port =
        (struct slirp_port *)(void *)((char *)watch - offsetof(struct slirp_port, watch));
    if ((events & EPOLLERR) != 0) {
        read_errors(port);
    }
    int waiting = (events & EPOLLIN) != 0;
    for (int i = 0; i < BURST && waiting > 0; i++) {
        uint32_t timeout_ms = UINT32_MAX;
        slirp_pollfds_fill(port->slirp, &timeout_ms, add_poll, port);
        slirp_pollfds_poll(port->slirp, 0, get_revents, port);
        if (ioctl(watch->fd, FIONREAD, &waiting) != 0) {
            break;
        }
    }
}

bool slirp_carries(const struct slirp_host *host, const ln_addr *peer, uint16_t port)
{
    const struct link_identity *link = host->link;
    return !ln_addr_is_never(peer) && !ln_prefix_contains(&link->prefix4, peer) &&
           !ln_prefix_contains(&link->prefix6, peer) && port != 0 && port != PORT_DHCP &&
           port != PORT_DHCP_CLIENT && port != PORT_TFTP && port != PORT_DHCPV6;
}

/* The packet behind headers of our own. Returns the length of the frame. */
static size_t rebuild(struct slirp_host *host, const struct packet *packet)
{
    const struct link_identity *link = host->link;
    uint8_t *ip = host->frame + ETH_LEN;
    uint8_t *payload = ip + (packet->v6 ? IPV6_LEN : IPV4_LEN) + UDP_LEN;
    memcpy(payload, packet->frame + packet->payload, packet->payload_len);
    size_t len =
        build_udp(host->frame, link->gateway_mac, link->guest_mac, packet->v6, &packet->src,
                  packet->src_port, &packet->dst, packet->dst_port, packet->payload_len);
    if (packet->v6) {
        ip[7] = packet->ttl;
    } else {
        ip[8] = packet->ttl;
        build_ipv4_checksum(ip);
        put_be16(payload - 2, 0); /* no UDP checksum (RFC 768): nothing to verify */
    }
    return len;
}

/* Sends past libslirp, but from its socket. Returns 0 or an errno. */
static int send_direct(const struct slirp_port *port, const struct packet *packet)
{
    int fd = port->watch.fd, ttl = packet->ttl - 1;
    struct sockaddr_storage to;
    socklen_t to_len = sockaddr_put(&packet->dst, packet->dst_port, &to);
    (void)(packet->v6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl))
                      : setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
    ssize_t n = sendto(fd, packet->frame + packet->payload, packet->payload_len, 0,
                       (const struct sockaddr *)&to, to_len);
    return n < 0 ? errno : 0;
}

/* Likewise through libslirp. */
static int send_by_slirp(struct slirp_port *port, const struct packet *packet)
{
    size_t len = rebuild(port->host, packet);
    port->refused = 0;
    port->sending = true;
    errno = 0;
    slirp_input(port->slirp, port->host->frame, (int)len);
    port->sending = false;
    if (port->refused == 0 && port->watch.fd < 0) {
        port->refused = EIO;
    }
    port->started = port->started || port->refused == 0;
    return port->refused;
}

/* Only the first datagram of a port has to go through libslirp if it is large. */
static int transmit(struct slirp_port *port, const struct packet *packet)
{
    return port->started && is_large(port->host, packet) ? send_direct(port, packet)
                                                         : send_by_slirp(port, packet);
}

int slirp_port_send(struct slirp_port *port, const struct packet *packet)
{
    bool large = is_large(port->host, packet);
    assert(packet->kind == PACKET_UDP && packet->ttl > 1);
    if (!slirp_carries(port->host, &packet->dst, packet->dst_port)) {
        return -EADDRNOTAVAIL;
    }
    if (large && !port->large && !port->started) {
        port_stop(port); /* an ordinary instance whose datagrams were all refused */
    }
    if (port->slirp == NULL) {
        int r = port_start(port, large);
        if (r < 0) {
            return r;
        }
    }
    int refused = transmit(port, packet);
    if (port->watch.fd < 0) { /* no socket, or none that can be watched */
        port_stop(port);
    } else if (refused != 0) {
        read_errors(port);
        refused = transmit(port, packet);
    }
    return -refused;
}

/* ---- ports ---- */

static struct slirp_port **bucket_of(struct slirp_host *host, const ln_addr *guest, uint16_t number,
                                     uint64_t *ret_hash)
{
    uint8_t key[18];
    memcpy(key, guest->bytes, 16);
    put_be16(key + 16, number);
    *ret_hash = hash_bytes(&host->key, key, sizeof(key));
    return &host->buckets[*ret_hash % BUCKETS];
}

int slirp_port_open(struct slirp_host *host, const ln_addr *guest, uint16_t number,
                    struct slirp_port **ret)
{
    uint64_t hash;
    struct slirp_port **bucket = bucket_of(host, guest, number, &hash);
    struct slirp_port *port = *bucket;
    while (port != NULL && (port->number != number || !ln_addr_equal(&port->guest, guest))) {
        port = port->chain;
    }
    if (port == NULL) {
        if (host->n_ports == SLIRP_PORTS_MAX) {
            return -ENOSPC;
        }
        port = calloc(1, sizeof(*port));
        if (port == NULL) {
            return -ENOMEM;
        }
        *port = (struct slirp_port){
            .host = host, .chain = *bucket, .hash = hash, .guest = *guest, .number = number};
        port->watch.fd = -1;
        *bucket = port;
        host->n_ports++;
    }
    port->opens++;
    *ret = port;
    return 0;
}

bool slirp_port_is_last(const struct slirp_port *port)
{
    return port->opens == 1;
}

void slirp_port_close(struct slirp_port *port)
{
    struct slirp_host *host = port->host;
    assert(!port->sending);
    if (--port->opens > 0) {
        return;
    }
    port_stop(port);
    struct slirp_port **at = &host->buckets[port->hash % BUCKETS];
    while (*at != port) {
        at = &(*at)->chain;
    }
    *at = port->chain;
    host->n_ports--;
    free(port);
}

struct slirp_host *slirp_host_new(struct loop *loop, const struct link_identity *link,
                                  const uint8_t hash_key[16],
                                  const struct slirp_callbacks *callbacks)
{
    struct slirp_host *host = calloc(1, sizeof(*host));
    if (host == NULL) {
        return NULL;
    }
    host->loop = loop;
    host->link = link;
    host->mtu = link->mtu < MTU ? link->mtu : MTU;
    host->callbacks = *callbacks;
    host->key = hash_key_from(hash_key);
    return host;
}

struct slirp_host *slirp_host_free(struct slirp_host *host)
{
    if (host != NULL) {
        assert(host->n_ports == 0);
        free(host);
    }
    return NULL;
}

uint32_t slirp_host_sockets(const struct slirp_host *host)
{
    return host->n_ports;
}
