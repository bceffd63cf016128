/* The guest's interfaces by rtnetlink(7): one request, one acknowledgement. No duplicate address
 * detection (RFC 4862 section 5.4): nobody else is on the link, and CMD is not to wait for it. */
#include "cli/netconf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"

struct request {
    struct nlmsghdr header;
    uint8_t body[256];
};

/* Starts a request whose fixed part is `body`. */
static struct request request_of(uint16_t type, uint16_t flags, const void *body, size_t len)
{
    struct request request = {
        .header = {.nlmsg_type = type,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
                   .nlmsg_len = (uint32_t)NLMSG_LENGTH(len)}};
    memcpy(request.body, body, len);
    return request;
}

static void add(struct request *request, uint16_t type, const void *data, size_t len)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len) - sizeof(request->header);
    struct rtattr attribute = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(len)};
    memcpy(request->body + at, &attribute, sizeof(attribute));
    memcpy(request->body + at + sizeof(attribute), data, len);
    request->header.nlmsg_len =
        (uint32_t)(sizeof(request->header) + at + RTA_ALIGN(RTA_LENGTH(len)));
}

/* An address in its family's own form. */
static void add_address(struct request *request, uint16_t type, const ln_addr *addr)
{
    size_t skip = ln_addr_is_v4(addr) ? 12 : 0;
    add(request, type, addr->bytes + skip, sizeof(addr->bytes) - skip);
}

static int call(int fd, const struct request *request)
{
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        uint8_t rest[512];
    } answer;
    if (send(fd, request, request->header.nlmsg_len, 0) < 0) {
        return -errno;
    }
    ssize_t n = recv(fd, &answer, sizeof(answer), 0);
    if (n < 0) {
        return -errno;
    }
    if ((size_t)n < NLMSG_LENGTH(sizeof(answer.error)) || answer.header.nlmsg_type != NLMSG_ERROR) {
        return -EPROTO;
    }
    return answer.error.error;
}

static int set_up(int fd, unsigned index, const ln_link *link)
{
    struct ifinfomsg body = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct request request = request_of(RTM_NEWLINK, 0, &body, sizeof(body));
    if (link != NULL) {
        add(&request, IFLA_ADDRESS, link->guest_mac, sizeof(link->guest_mac));
        add(&request, IFLA_MTU, &link->mtu, sizeof(link->mtu));
    }
    return call(fd, &request);
}

static int add_own_address(int fd, unsigned index, const ln_addr *addr, uint8_t bits)
{
    bool v4 = ln_addr_is_v4(addr);
    struct ifaddrmsg body = {.ifa_family = v4 ? AF_INET : AF_INET6,
                             .ifa_prefixlen = bits,
                             .ifa_flags = v4 ? 0 : IFA_F_NODAD,
                             .ifa_index = index};
    struct request request =
        request_of(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
    add_address(&request, IFA_LOCAL, addr);
    add_address(&request, IFA_ADDRESS, addr);
    return call(fd, &request);
}

static int add_default_route(int fd, unsigned index, const ln_addr *gateway)
{
    struct rtmsg body = {.rtm_family = ln_addr_is_v4(gateway) ? AF_INET : AF_INET6,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_STATIC,
                         .rtm_scope = RT_SCOPE_UNIVERSE,
                         .rtm_type = RTN_UNICAST};
    struct request request =
        request_of(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
    add_address(&request, RTA_GATEWAY, gateway);
    add(&request, RTA_OIF, &index, sizeof(index));
    return call(fd, &request);
}

/* Sets a variable below /proc/sys/net. One that this kernel does not have is left alone. */
static void set_variable(const char *name, const char *value)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = write(fd, value, strlen(value));
        (void)n;
        close(fd);
    }
}

static void set_variables(const char *interface)
{
    char name[64];
    static const char *const ipv6[][2] = {
        {"disable_ipv6", "0"},
        {"accept_ra", "0"}, /* everything is set here */
        {"accept_dad", "0"},
    };
    for (size_t i = 0; i < sizeof(ipv6) / sizeof(ipv6[0]); i++) {
        snprintf(name, sizeof(name), "ipv6/conf/%s/%s", interface, ipv6[i][0]);
        set_variable(name, ipv6[i][1]);
    }
}

void netconf_allow_unprivileged(void)
{
    char value[64];
    snprintf(value, sizeof(value), "%u %u", (unsigned)getegid(), (unsigned)getegid());
    set_variable("ipv4/ping_group_range", value);
    set_variable("ipv4/ip_unprivileged_port_start", "0");
}

/* IPv6 may be absent from the kernel, or switched off for good: then the guest has IPv4 only. */
static bool is_without_family(int r)
{
    return r == -EAFNOSUPPORT || r == -EOPNOTSUPP || r == -EACCES;
}

static int report(int r, const char *interface, const char *what)
{
    if (r < 0) {
        command_say("cannot set up %s: %s: %s", interface, what, strerror(-r));
    }
    return r;
}

static int set_up_interface(int fd, const char *interface, unsigned index, const ln_link *link)
{
    int r = report(set_up(fd, index, link), interface, "MAC address and MTU");
    if (r == 0) {
        r = report(add_own_address(fd, index, &link->guest4, link->bits4), interface,
                   "IPv4 address");
    }
    if (r == 0 && link->route4) {
        r = report(add_default_route(fd, index, &link->gateway4), interface, "IPv4 route");
    }
    if (r < 0) {
        return r;
    }
    r = add_own_address(fd, index, &link->guest6, link->bits6);
    if (is_without_family(r)) {
        return 0;
    }
    r = report(r, interface, "IPv6 address");
    if (r == 0 && link->route6) {
        r = report(add_default_route(fd, index, &link->gateway6), interface, "IPv6 route");
    }
    return r;
}

int netconf_apply(const char *interface, const ln_link *link)
{
    set_variables(interface);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) {
        return report(-errno, interface, "netlink socket");
    }
    unsigned index = if_nametoindex(interface);
    int r = index == 0 ? report(-errno, interface, "index")
                       : report(set_up(fd, if_nametoindex("lo"), NULL), "lo", "up");
    if (r == 0) {
        r = set_up_interface(fd, interface, index, link);
    }
    close(fd);
    return r;
}
