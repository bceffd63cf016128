/* Who is who: subnets of the pools by slot, the machine's own addresses. */
#include "net/addressing.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sockaddr.h"

enum { BITS_V4 = 96 + 30, BITS_V6 = 64 };

/* The `slot`-th subnet of `bits` bits of a pool. Returns whether there is one. */
static bool subnet(const ln_prefix *pool, unsigned bits, uint32_t slot, ln_prefix *ret)
{
    if (pool->bits > bits || (bits - pool->bits < 32 && slot >> (bits - pool->bits) != 0)) {
        return false;
    }
    *ret = *pool;
    ret->bits = (uint8_t)bits;
    /* The slot's own bits end where the subnet's do; those of the pool there are zero. */
    uint64_t shifted = (uint64_t)slot << (bits % 8 == 0 ? 0 : 8 - bits % 8);
    for (unsigned at = (bits + 7) / 8; shifted != 0; shifted >>= 8) {
        ret->addr.bytes[--at] |= (uint8_t)shifted;
    }
    return true;
}

static ln_addr numbered(const ln_prefix *prefix, uint8_t number)
{
    ln_addr addr = prefix->addr;
    addr.bytes[15] |= number;
    return addr;
}

static void set_mac(uint8_t mac[6], uint32_t slot, uint8_t number)
{
    const uint8_t bytes[6] = {0x02, 0x6c, 0x75, (uint8_t)(slot >> 8), (uint8_t)slot, number};
    memcpy(mac, bytes, sizeof(bytes));
}

int addressing_assign(const ln_settings *settings, uint32_t slot, struct link_identity *ret,
                      const char **ret_field)
{
    struct link_identity link = *ret;
    if (!subnet(&settings->ipv4_pool, BITS_V4, slot, &link.prefix4)) {
        *ret_field = "ipv4_pool";
        return -ERANGE;
    }
    if (!subnet(&settings->ipv6_pool, BITS_V6, slot, &link.prefix6)) {
        *ret_field = "ipv6_pool";
        return -ERANGE;
    }
    link.gateway4 = numbered(&link.prefix4, 1);
    link.guest4 = numbered(&link.prefix4, 2);
    link.gateway6 = numbered(&link.prefix6, 1);
    link.guest6 = numbered(&link.prefix6, 2);
    set_mac(link.gateway_mac, slot, 1);
    set_mac(link.guest_mac, slot, 2);
    *ret = link;
    return 0;
}

static bool address_of(const struct sockaddr *sa, ln_addr *ret)
{
    struct sockaddr_storage storage = {0};
    uint16_t port;
    if (sa == NULL || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)) {
        return false;
    }
    memcpy(&storage, sa,
           sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    return sockaddr_get(&storage, ret, &port) == 0;
}

int machine_addresses(const struct link_identity *link, ln_addr **addrs, size_t *n_addrs)
{
    struct ifaddrs *interfaces;
    if (getifaddrs(&interfaces) != 0) {
        return -errno;
    }
    size_t most = 2;
    for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next) {
        most++;
    }
    ln_addr *list = calloc(most, sizeof(*list));
    if (list == NULL) {
        freeifaddrs(interfaces);
        return -ENOMEM;
    }
    size_t n = 0;
    list[n++] = link->gateway4;
    list[n++] = link->gateway6;
    for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next) {
        n += address_of(at->ifa_addr, &list[n]) ? 1 : 0;
    }
    freeifaddrs(interfaces);
    free(*addrs);
    *addrs = list;
    *n_addrs = n;
    return 0;
}

int addressing_host(const ln_settings *settings, ln_addr **addrs, ln_host_addrs *ret)
{
    struct link_identity link = {0};
    const char *field;
    size_t n_addrs;
    (void)addressing_assign(settings, 0, &link, &field); /* a validated pool has slot 0 */
    int r = machine_addresses(&link, addrs, &n_addrs);
    if (r == 0) {
        *ret = (ln_host_addrs){.addrs = *addrs, .n_addrs = n_addrs, .n_gateway = 2};
    }
    return r;
}

bool machine_has_route(bool v6)
{
    /* A root server (a.root-servers.net): connecting a datagram socket only looks up the route. */
    static const ln_addr root6 = {{0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, [13] = 2, [15] = 0x30}};
    ln_addr root = v6 ? root6 : ln_addr_v4(0xc6290004);
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_put(&root, 53, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    int r = connect(fd, (const struct sockaddr *)&sa, len);
    close(fd);
    return r == 0;
}
