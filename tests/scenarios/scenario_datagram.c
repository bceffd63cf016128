/* UDP and ICMP echo through a whole gateway: what the guest may send, what comes back to it, for
 * how long, and what it is told. The host has addresses of its own in a network namespace. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>

#include "harness.h"

#include "guest_frame.h"
#include "net/netns.h"
#include "net/slirp.h"
#include "packet/fragments.h"

#define ALLOW_HOST4 "allow@" NETNS_HOST4 ":udp"
#define ALLOW_TEST4 "allow@198.51.100.0/24:udp"
#define ALLOW_TEST6 "allow@[2001:db8::/32]:udp"

enum { GUEST_PORT = 40000 };

static bool have_netns;

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    *state = w;
    return w == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    if (w->gw != NULL) {
        world_stop(w);
    }
    free(w);
    return 0;
}

static struct world *begin(void **state, ln_policy *policy)
{
    struct world *w = *state;
    if (!have_netns) {
        ln_policy_unref(policy);
        skip();
    }
    world_start(w, policy);
    return w;
}

/* ---- the guest ---- */

static const ln_addr *guest_of(const struct world *w, const ln_addr *peer)
{
    return ln_addr_is_v4(peer) ? &w->link.guest4 : &w->link.guest6;
}

static void set_ttl(uint8_t *frame, uint8_t ttl)
{
    bool v6 = frame[ETH_LEN] >> 4 == 6;
    frame[ETH_LEN + (v6 ? 7 : 8)] = ttl;
    if (!v6) {
        guest_ipv4_checksum(frame + ETH_LEN);
    }
}

static void send_udp_with_ttl(struct world *w, uint16_t from, const char *to, uint16_t port,
                              const char *text, uint8_t ttl)
{
    uint8_t frame[2000];
    ln_addr peer = guest_addr(to);
    size_t len = guest_udp(frame, guest_of(w, &peer), from, &peer, port, text, strlen(text));
    set_ttl(frame, ttl);
    if (ln_addr_is_v4(&peer) && peer.bytes[12] >> 4 == 0xe) {
        memcpy(frame,
               (const uint8_t[]){1, 0, 0x5e, peer.bytes[13] & 0x7f, peer.bytes[14], peer.bytes[15]},
               6);
    }
    put(w, frame, len);
}

static void send_udp(struct world *w, uint16_t from, const char *to, uint16_t port,
                     const char *text)
{
    send_udp_with_ttl(w, from, to, port, text, 64);
}

static void send_echo(struct world *w, const char *to, uint16_t id, uint16_t seq)
{
    uint8_t frame[200];
    ln_addr peer = guest_addr(to);
    uint8_t type = ln_addr_is_v4(&peer) ? 8 : 128;
    put(w, frame,
        guest_icmp(frame, guest_of(w, &peer), &peer, type, 0, (uint32_t)id << 16 | seq, "ping", 4));
}

static void hear_udp(struct world *w, const char *from, uint16_t port, uint16_t to,
                     const char *text)
{
    ln_addr peer = guest_addr(from);
    settle(w);
    const struct heard *h = next_heard(w);
    assert_non_null(h);
    assert_int_equal(h->protocol, IPPROTO_UDP);
    assert_true(ln_addr_equal(&h->src, &peer));
    assert_true(ln_addr_equal(&h->dst, guest_of(w, &peer)));
    assert_int_equal(h->src_port, port);
    assert_int_equal(h->dst_port, to);
    assert_int_equal(h->payload_len, strlen(text));
    assert_memory_equal(h->payload, text, h->payload_len);
}

static void hear_icmp(struct world *w, const char *from, uint8_t type, uint8_t code)
{
    ln_addr peer = guest_addr(from);
    settle(w);
    const struct heard *h = next_heard(w);
    assert_non_null(h);
    assert_int_equal(h->protocol, ln_addr_is_v4(&peer) ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    assert_true(ln_addr_equal(&h->src, &peer));
    assert_int_equal(h->type, type);
    assert_int_equal(h->code, code);
}

static void hear_nothing(struct world *w)
{
    settle(w);
    assert_null(next_heard(w));
}

/* ---- the host ---- */

/* Takes a datagram, and sends `answer` back unless it is NULL. Returns the sender's port. */
static uint16_t host_takes(int fd, const char *text, const char *answer)
{
    char data[2000];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(data, text, strlen(text));
    if (answer != NULL) {
        assert_int_equal(sendto(fd, answer, strlen(answer), 0, (struct sockaddr *)&from, from_len),
                         strlen(answer));
    }
    ln_addr addr;
    uint16_t port = 0;
    assert_int_equal(sockaddr_get(&from, &addr, &port), 0);
    return port;
}

static void host_takes_nothing(int fd)
{
    char data[16];
    assert_int_equal(recv(fd, data, sizeof(data), MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static unsigned live(const struct world *w)
{
    ln_stats stats;
    ln_gateway_stats(w->gw, &stats);
    return stats.flows_now;
}

/* ---- UDP ---- */

static void check_allowed(struct world *w, const char *host)
{
    int server = netns_udp(host, 0);
    uint16_t port = netns_port(server);
    send_udp(w, GUEST_PORT, host, port, "question");
    host_takes(server, "question", "answer");
    hear_udp(w, host, port, GUEST_PORT, "answer");
    hear_nothing(w);
    const struct told *open = told_nth(w, LN_EVENT_FLOW_OPEN, 0);
    assert_int_equal(open->rule, 1);
    assert_int_equal(open->port, port);
    assert_string_equal(open->protocol, "udp");
    close(server);
}

static void test_allowed_datagram_leaves_and_its_answer_comes(void **state)
{
    check_allowed(begin(state, POLICY(ALLOW_TEST4)), NETNS_HOST4);
}

static void test_allowed_datagram_of_ipv6_likewise(void **state)
{
    check_allowed(begin(state, POLICY(ALLOW_TEST6)), NETNS_HOST6);
}

static void test_denied_datagram_does_not_leave_and_is_told_once(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST6));
    int server = netns_udp(NETNS_HOST4, 0);
    for (int i = 0; i < 5; i++) {
        send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
    }
    hear_nothing(w);
    host_takes_nothing(server);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(dropped(w, DROP_POLICY), 5);
    assert_int_equal(live(w), 0);
    close(server);
}

static void test_rejected_datagram_is_answered_with_prohibited(void **state)
{
    struct world *w =
        begin(state, POLICY("reject@198.51.100.0/24:udp", "reject@[2001:db8::/32]:udp"));
    send_udp(w, GUEST_PORT, NETNS_HOST4, 9, "x");
    hear_icmp(w, NETNS_HOST4, 3, 13);
    send_udp(w, GUEST_PORT, NETNS_HOST6, 9, "x");
    hear_icmp(w, NETNS_HOST6, 1, 1);
}

static void test_pinned_name_opens_its_address_only(void **state)
{
    struct world *w = begin(state, POLICY("allow@time.test:udp"));
    int server = netns_udp(NETNS_HOST4, 0), other = netns_udp(NETNS_OTHER4, 0);
    world_pin(w, "time.test", NETNS_HOST4);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
    send_udp(w, GUEST_PORT, NETNS_OTHER4, netns_port(other), "x");
    settle(w);
    host_takes(server, "x", NULL);
    host_takes_nothing(other);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_OPEN, 0)->name, "time.test");
    close(server);
    close(other);
}

static void test_stranger_cannot_use_an_open_port(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4));
    int peer = netns_udp(NETNS_HOST4, 0), stranger = netns_udp(NETNS_OTHER4, netns_port(peer));
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(peer), "x");
    uint16_t outside = host_takes(peer, "x", NULL);
    ln_addr host = netns_addr(NETNS_HOST4);
    struct sockaddr_storage to;
    socklen_t to_len = sockaddr_put(&host, outside, &to);
    /* From another address, and from another port of the peer's. */
    assert_int_equal(sendto(stranger, "evil", 4, 0, (struct sockaddr *)&to, to_len), 4);
    int sibling = netns_udp(NETNS_HOST4, 0);
    assert_int_equal(sendto(sibling, "evil", 4, 0, (struct sockaddr *)&to, to_len), 4);
    hear_nothing(w);
    assert_int_equal(dropped(w, DROP_NO_FLOW), 2);
    assert_int_equal(sendto(peer, "good", 4, 0, (struct sockaddr *)&to, to_len), 4);
    hear_udp(w, NETNS_HOST4, netns_port(peer), GUEST_PORT, "good");
    close(peer);
    close(stranger);
    close(sibling);
}

static void test_port_is_seen_alike_by_every_peer_and_closes_with_its_last_flow(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4));
    int a = netns_udp(NETNS_HOST4, 0), b = netns_udp(NETNS_OTHER4, 0);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(a), "x");
    uint16_t outside = host_takes(a, "x", NULL);
    pass(w, 20000);
    send_udp(w, GUEST_PORT, NETNS_OTHER4, netns_port(b), "x");
    assert_int_equal(host_takes(b, "x", NULL), outside);
    pass(w, 15000); /* the first flow is gone */
    assert_int_equal(live(w), 1);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(a), "x");
    assert_int_equal(host_takes(a, "x", NULL), outside);
    pass(w, 40000);
    ln_stats stats;
    ln_gateway_stats(w->gw, &stats);
    assert_int_equal(stats.flows_now, 0);
    assert_int_equal(stats.udp_sockets_now, 0);
    close(a);
    close(b);
}

static void test_flow_without_an_answer_ends_after_30_s_of_silence(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4));
    int server = netns_udp(NETNS_HOST4, 0);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "abc");
    pass(w, 28000);
    assert_int_equal(live(w), 1);
    pass(w, 4000);
    assert_int_equal(live(w), 0);
    const struct told *end = told_nth(w, LN_EVENT_FLOW_CLOSE, 0);
    assert_string_equal(end->reason, "idle");
    assert_int_equal(end->packets_out, 1);
    assert_int_equal(end->bytes_out, 3);
    assert_int_equal(end->packets_in, 0);
    close(server);
}

static void test_sending_keeps_a_flow_that_nobody_answers(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4));
    int server = netns_udp(NETNS_HOST4, 0);
    for (int i = 0; i < 5; i++) {
        send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
        pass(w, 20000);
    }
    assert_int_equal(count_told(w, LN_EVENT_FLOW_OPEN), 1);
    assert_int_equal(live(w), 1);
    close(server);
}

static void test_flow_holds_the_pin_that_opened_it(void **state)
{
    struct world *w = begin(state, POLICY("allow@time.test:udp"));
    int server = netns_udp(NETNS_HOST4, 0);
    world_pin(w, "time.test", NETNS_HOST4); /* for 60 s */
    for (int i = 0; i < 5; i++) {
        send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
        pass(w, 20000);
        host_takes(server, "x", NULL);
    }
    ln_policy *same = POLICY("allow@time.test:udp");
    assert_int_equal(ln_gateway_reload(w->gw, same, NULL), 0);
    assert_int_equal(live(w), 1);
    pass(w, 40000);
    assert_int_equal(live(w), 0);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
    settle(w);
    host_takes_nothing(server);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    ln_policy_unref(same);
    close(server);
}

static void test_answered_flow_ends_after_180_s_and_receiving_keeps_it(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4));
    int server = netns_udp(NETNS_HOST4, 0);
    uint16_t port = netns_port(server);
    send_udp(w, GUEST_PORT, NETNS_HOST4, port, "x");
    uint16_t outside = host_takes(server, "x", "y");
    hear_udp(w, NETNS_HOST4, port, GUEST_PORT, "y");
    ln_addr host = netns_addr(NETNS_HOST4);
    struct sockaddr_storage to;
    socklen_t to_len = sockaddr_put(&host, outside, &to);
    for (int i = 0; i < 3; i++) { /* 510 s, and the guest says nothing */
        pass(w, 170000);
        assert_int_equal(sendto(server, "still", 5, 0, (struct sockaddr *)&to, to_len), 5);
        hear_udp(w, NETNS_HOST4, port, GUEST_PORT, "still");
    }
    pass(w, 178000);
    assert_int_equal(live(w), 1);
    pass(w, 4000);
    assert_int_equal(live(w), 0);
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->packets_in, 4);
    close(server);
}

static void test_unanswered_flow_makes_room_and_an_answered_one_does_not(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4, "max_connections=3"));
    int server = netns_udp(NETNS_HOST4, 0);
    uint16_t port = netns_port(server);
    for (uint16_t i = 0; i < 3; i++) {
        send_udp(w, (uint16_t)(GUEST_PORT + i), NETNS_HOST4, port, "x");
        host_takes(server, "x", i == 0 ? NULL : "y");
        settle(w);
    }
    send_udp(w, GUEST_PORT + 3, NETNS_HOST4, port, "z"); /* in place of the first */
    host_takes(server, "z", "y");
    settle(w);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->reason, "evicted");
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->src_port, GUEST_PORT);
    send_udp(w, GUEST_PORT + 4, NETNS_HOST4, port, "refused");
    settle(w);
    host_takes_nothing(server);
    assert_int_equal(count_told(w, LN_EVENT_LIMIT), 1);
    assert_int_equal(live(w), 3);
    send_udp(w, GUEST_PORT + 1, NETNS_HOST4, port, "w");
    host_takes(server, "w", NULL);
    pass(w, 1100);
    send_udp(w, GUEST_PORT + 4, NETNS_HOST4, port, "v"); /* in place of the one idle for longest */
    host_takes(server, "v", NULL);
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 1)->src_port, GUEST_PORT + 2);
    close(server);
}

static void test_datagrams_leave_a_quarter_to_tcp(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4, "max_connections=4"));
    int server = netns_udp(NETNS_HOST4, 0);
    for (uint16_t i = 0; i < 4; i++) {
        send_udp(w, (uint16_t)(GUEST_PORT + i), NETNS_HOST4, netns_port(server), "x");
        if (i < 3) {
            host_takes(server, "x", "y");
        }
        settle(w);
    }
    host_takes_nothing(server);
    assert_int_equal(live(w), 3);
    assert_string_equal(told_nth(w, LN_EVENT_LIMIT, 0)->reason, "max_connections");
    close(server);
}

/* Opens `n` flows, each from a port of its own, and leaves them unanswered. */
static void open_ports(struct world *w, unsigned n, uint16_t first, uint16_t to)
{
    for (unsigned i = 0; i < n; i++) {
        send_udp(w, (uint16_t)(first + i), NETNS_HOST4, to, "x");
    }
}

static void test_sockets_are_bounded_and_an_unanswered_flow_gives_up_its_own(void **state)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < SLIRP_PORTS_MAX + 100 || setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        skip();
    }
    struct world *w = begin(state, POLICY(ALLOW_TEST4, "max_connections=10000"));
    int server = netns_udp(NETNS_HOST4, 0), other = netns_udp(NETNS_OTHER4, 0);
    ln_stats stats;
    /* The oldest flow shares its socket with another: closing it would gain nothing. */
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
    send_udp(w, GUEST_PORT, NETNS_OTHER4, netns_port(other), "x");
    open_ports(w, SLIRP_PORTS_MAX - 1, 1000, netns_port(server));
    ln_gateway_stats(w->gw, &stats);
    assert_int_equal(stats.udp_sockets_now, SLIRP_PORTS_MAX);
    open_ports(w, 1, 900, netns_port(server));
    assert_int_equal(count_told(w, LN_EVENT_LIMIT), 1);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_CLOSE), 0);
    /* Used again, both are younger than the others. */
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
    send_udp(w, GUEST_PORT, NETNS_OTHER4, netns_port(other), "x");
    open_ports(w, 1, 900, netns_port(server));
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->reason, "evicted");
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->src_port, 1000);
    ln_gateway_stats(w->gw, &stats);
    assert_int_equal(stats.udp_sockets_now, SLIRP_PORTS_MAX);
    close(server);
    close(other);
}

static void send_large(void *user, const uint8_t *frame, size_t len)
{
    put(user, frame, len);
}

static void check_large(struct world *w, const char *host, size_t len)
{
    static uint8_t frame[70000], payload[65507], data[65507];
    ln_addr peer = guest_addr(host);
    int server = netns_udp(host, 0);
    for (size_t i = 0; i < len; i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    size_t frame_len =
        guest_udp(frame, guest_of(w, &peer), GUEST_PORT, &peer, netns_port(server), payload, len);
    assert_int_equal(fragments_cut(frame, frame_len, 1500, 77, send_large, w), 0);
    settle(w);
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    assert_int_equal(recvfrom(server, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len),
                     len);
    assert_memory_equal(data, payload, len);
    assert_int_equal(sendto(server, data, len, 0, (struct sockaddr *)&from, from_len), len);
    settle(w);
    size_t total = 0, pieces = 0;
    for (const struct heard *h; (h = next_heard(w)) != NULL; pieces++) {
        assert_true(h->payload_len <= 1500);
        /* The harness takes 8 bytes of every piece for a header: in IPv6 they are. */
        total += h->payload_len + (ln_addr_is_v4(&peer) ? 8 : 0);
    }
    assert_int_equal(total, len + 8);
    assert_true(pieces >= len / 1500);
    close(server);
}

static void test_large_datagrams_pass_in_fragments_both_ways(void **state)
{
    check_large(begin(state, POLICY(ALLOW_TEST4)), NETNS_HOST4, 65507);
}

static void test_large_datagrams_of_ipv6_pass_in_fragments_both_ways(void **state)
{
    check_large(begin(state, POLICY(ALLOW_TEST6)), NETNS_HOST6, 60000);
}

static void test_nothing_reaches_the_host_by_an_address_of_the_never_list(void **state)
{
    struct world *w = begin(state, POLICY("default_egress=allow"));
    static const char *const never[] = {"127.0.0.1", "127.0.0.53", "0.0.0.0", "255.255.255.255",
                                        "240.0.0.1", "::1",        "::"};
    int server4 = netns_udp("0.0.0.0", 0);
    uint16_t port = netns_port(server4);
    int server6 = netns_udp("::1", port);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        send_udp(w, GUEST_PORT, never[i], port, "x");
    }
    /* Mapped addresses on the wire. */
    uint8_t frame[200];
    ln_addr mapped = guest_addr("2001:db8::1");
    size_t len = guest_udp(frame, &w->link.guest6, GUEST_PORT, &mapped, port, "x", 1);
    memset(frame + ETH_LEN + 24, 0, 16);
    memset(frame + ETH_LEN + 34, 0xff, 2);
    memcpy(frame + ETH_LEN + 36, (const uint8_t[]){127, 0, 0, 1}, 4);
    guest_checksum(frame, frame + ETH_LEN + 40, 6, 17, 9);
    put(w, frame, len);
    settle(w);
    host_takes_nothing(server4);
    host_takes_nothing(server6);
    assert_int_equal(dropped(w, DROP_DESTINATION), 8);
    /* The same servers by an address that may be reached. */
    send_udp(w, GUEST_PORT, NETNS_HOST4, port, "x");
    host_takes(server4, "x", NULL);
    close(server4);
    close(server6);
}

static void test_multicast_leaves_by_a_rule_or_the_default_only(void **state)
{
    struct world *w = begin(state, POLICY("allow@public:udp", "allow@private:udp"));
    int member = netns_udp("0.0.0.0", 0);
    uint16_t port = netns_port(member);
    struct ip_mreqn join = {.imr_multiaddr.s_addr = htonl(0xef010203), .imr_ifindex = 1 /* lo */};
    assert_int_equal(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)), 0);
    send_udp_with_ttl(w, GUEST_PORT, "239.1.2.3", port, "x", 1);
    hear_nothing(w);
    host_takes_nothing(member);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    ln_policy *open = POLICY("allow@multicast:udp");
    assert_int_equal(ln_gateway_reload(w->gw, open, NULL), 0);
    send_udp_with_ttl(w, GUEST_PORT, "239.1.2.3", port, "x", 1);
    host_takes(member, "x", NULL);
    hear_nothing(w);
    ln_policy_unref(open);
    close(member);
}

static void test_nobody_else_is_on_the_link(void **state)
{
    struct world *w = begin(state, POLICY("default_egress=allow"));
    send_udp(w, GUEST_PORT, "172.16.0.3", 9, "x");
    send_udp(w, GUEST_PORT, "172.16.0.0", 9, "x");
    send_udp(w, GUEST_PORT, "fd42:6d73:62::99", 9, "x");
    hear_nothing(w);
    assert_int_equal(dropped(w, DROP_DESTINATION), 3);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_OPEN), 0);
}

static void test_reload_ends_a_flow_that_is_denied_now(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4));
    int server = netns_udp(NETNS_HOST4, 0), other = netns_udp(NETNS_OTHER4, 0);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x");
    host_takes(server, "x", NULL);
    send_udp(w, GUEST_PORT, NETNS_OTHER4, netns_port(other), "x");
    host_takes(other, "x", NULL);
    ln_policy *narrow = POLICY("deny@10.0.0.0/8", ALLOW_HOST4);
    assert_int_equal(ln_gateway_reload(w->gw, narrow, NULL), 0);
    send_udp(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "y");
    host_takes(server, "y", NULL);
    send_udp(w, GUEST_PORT, NETNS_OTHER4, netns_port(other), "y");
    settle(w);
    host_takes_nothing(other);
    hear_icmp(w, NETNS_OTHER4, 3, 13);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_CLOSE), 1);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->reason, "reload");
    assert_int_equal(live(w), 1);
    pass(w, 32000);
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 1)->rule, 2); /* as judged last */
    ln_policy_unref(narrow);
    close(server);
    close(other);
}

/* ---- errors ---- */

static void check_closed(struct world *w, const char *host, const char *gateway, uint8_t type,
                         uint8_t code)
{
    int closed = netns_udp(host, 0), server = netns_udp(host, 0);
    uint16_t port = netns_port(closed);
    close(closed);
    send_udp(w, GUEST_PORT, host, port, "lost");
    send_udp(w, GUEST_PORT, host, netns_port(server), "x");
    host_takes(server, "x", NULL);
    /* From the host's own address: that is the gateway, to the guest. */
    hear_icmp(w, gateway, type, code);
    const struct heard *h = w->taken;
    const uint8_t *quoted = h->payload + (type == 3 ? IPV4_LEN : IPV6_LEN);
    assert_int_equal(get_be16(quoted), GUEST_PORT);
    assert_int_equal(get_be16(quoted + 2), port);
    assert_memory_equal(quoted + 8, "lost", 4);
    hear_nothing(w);
    close(server);
}

static void test_closed_port_is_told_as_unreachable(void **state)
{
    check_closed(begin(state, POLICY(ALLOW_TEST4)), NETNS_HOST4, "172.16.0.1", 3, 3);
}

static void test_closed_port_of_ipv6_is_told_as_unreachable(void **state)
{
    check_closed(begin(state, POLICY(ALLOW_TEST6)), NETNS_HOST6, "fd42:6d73:62::1", 1, 4);
}

static void test_unreachable_network_is_told(void **state)
{
    struct world *w = begin(state, POLICY("default_egress=allow"));
    send_udp(w, GUEST_PORT, "203.0.113.1", 9, "x");
    hear_icmp(w, "203.0.113.1", 3, 1);
    send_udp(w, GUEST_PORT, "192.0.2.1", 9, "x");
    hear_icmp(w, "192.0.2.1", 3, 0);
    send_echo(w, "203.0.113.1", 7, 1);
    hear_icmp(w, "203.0.113.1", 3, 1);
    send_echo(w, "2001:db8:dead::1", 7, 1);
    hear_icmp(w, "2001:db8:dead::1", 1, 3);
}

static void test_ttl_that_ends_here_is_told_by_the_gateway(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4, ALLOW_TEST6));
    int server = netns_udp(NETNS_HOST4, 0);
    send_udp_with_ttl(w, GUEST_PORT, NETNS_HOST4, netns_port(server), "x", 1);
    hear_icmp(w, "172.16.0.1", 11, 0);
    send_udp_with_ttl(w, GUEST_PORT, NETNS_HOST6, 9, "x", 1);
    hear_icmp(w, "fd42:6d73:62::1", 3, 0);
    host_takes_nothing(server);
    close(server);
}

/* ---- the host's loopback ---- */

static void test_gateways_address_reaches_the_hosts_loopback_by_a_host_rule(void **state)
{
    struct world *w = begin(state, POLICY("allow@host:udp"));
    int server = netns_udp("127.0.0.1", 0);
    uint16_t port = netns_port(server);
    send_udp(w, GUEST_PORT, "172.16.0.1", port, "x");
    host_takes(server, "x", "y");
    hear_udp(w, "172.16.0.1", port, GUEST_PORT, "y");
    send_udp(w, GUEST_PORT, "fd42:6d73:62::1", port, "x6");
    host_takes(server, "x6", "y6");
    hear_udp(w, "fd42:6d73:62::1", port, GUEST_PORT, "y6");
    close(server);
    send_udp(w, GUEST_PORT, "172.16.0.1", port, "x");
    hear_icmp(w, "172.16.0.1", 3, 3);
    int server6 = netns_udp("::1", port);
    send_udp(w, GUEST_PORT + 1, "172.16.0.1", port, "z");
    settle(w);
    host_takes(server6, "z", "zz");
    hear_udp(w, "172.16.0.1", port, GUEST_PORT + 1, "zz");
    close(server6);
}

static void test_gateways_address_reaches_nothing_without_a_host_rule(void **state)
{
    struct world *w = begin(state, POLICY("allow@private", "allow@public", "allow@loopback"));
    int server = netns_udp("127.0.0.1", 0), any = netns_udp("0.0.0.0", 0);
    send_udp(w, GUEST_PORT, "172.16.0.1", netns_port(server), "x");
    send_udp(w, GUEST_PORT, "172.16.0.1", netns_port(any), "x");
    send_echo(w, "172.16.0.1", 7, 1);
    hear_nothing(w);
    host_takes_nothing(server);
    host_takes_nothing(any);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 3);
    close(server);
    close(any);
}

/* ---- echo ---- */

static void check_echo(struct world *w, const char *host, const char *protocol)
{
    send_echo(w, host, 77, 5);
    hear_icmp(w, host, strcmp(protocol, "icmpv4") == 0 ? 0 : 129, 0);
    assert_int_equal(w->taken->payload_len, 4);
    assert_memory_equal(w->taken->payload, "ping", 4);
    send_echo(w, host, 77, 6);
    hear_icmp(w, host, strcmp(protocol, "icmpv4") == 0 ? 0 : 129, 0);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_OPEN), 1);
    assert_string_equal(told_nth(w, LN_EVENT_FLOW_OPEN, 0)->protocol, protocol);
    pass(w, 182000);
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->packets_in, 2);
    assert_int_equal(told_nth(w, LN_EVENT_FLOW_CLOSE, 0)->bytes_in, 8);
}

static void test_allowed_echo_is_answered(void **state)
{
    check_echo(begin(state, POLICY("allow@198.51.100.0/24:icmpv4")), NETNS_HOST4, "icmpv4");
}

static void test_allowed_echo_of_icmpv6_is_answered(void **state)
{
    check_echo(begin(state, POLICY("allow@[2001:db8::/32]:icmpv6")), NETNS_HOST6, "icmpv6");
}

static void test_gateway_answers_echo_where_a_rule_opens_it(void **state)
{
    check_echo(begin(state, POLICY("allow@host:icmpv4")), "172.16.0.1", "icmpv4");
}

static void test_denied_echo_gets_no_answer(void **state)
{
    struct world *w = begin(state, POLICY(ALLOW_TEST4, ALLOW_TEST6));
    send_echo(w, NETNS_HOST4, 77, 5);
    send_echo(w, NETNS_HOST6, 77, 5);
    hear_nothing(w);
    assert_int_equal(count_told(w, LN_EVENT_FLOW_DENIED), 2);
}

static void test_want_of_icmp_sockets_is_told_once_and_to_the_guest(void **state)
{
    struct world *w = *state;
    if (!have_netns || !netns_write("/proc/sys/net/ipv4/ping_group_range", "1 0") ||
        seteuid(65534) != 0) {
        skip();
    }
    world_start(w, POLICY("default_egress=allow"));
    assert_int_equal(seteuid(0), 0);
    for (uint16_t seq = 1; seq <= 3; seq++) {
        send_echo(w, NETNS_HOST4, 77, seq);
        hear_icmp(w, NETNS_HOST4, 3, 0);
    }
    assert_int_equal(count_told(w, LN_EVENT_LIMIT), 1);
    assert_string_equal(told_nth(w, LN_EVENT_LIMIT, 0)->reason, "no_echo_socket");
    send_echo(w, NETNS_HOST6, 77, 1);
    hear_icmp(w, NETNS_HOST6, 1, 0);
    assert_int_equal(count_told(w, LN_EVENT_LIMIT), 2); /* the other family */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_allowed_datagram_leaves_and_its_answer_comes),
        TEST(test_allowed_datagram_of_ipv6_likewise),
        TEST(test_denied_datagram_does_not_leave_and_is_told_once),
        TEST(test_rejected_datagram_is_answered_with_prohibited),
        TEST(test_pinned_name_opens_its_address_only),
        TEST(test_stranger_cannot_use_an_open_port),
        TEST(test_port_is_seen_alike_by_every_peer_and_closes_with_its_last_flow),
        TEST(test_flow_without_an_answer_ends_after_30_s_of_silence),
        TEST(test_sending_keeps_a_flow_that_nobody_answers),
        TEST(test_flow_holds_the_pin_that_opened_it),
        TEST(test_answered_flow_ends_after_180_s_and_receiving_keeps_it),
        TEST(test_unanswered_flow_makes_room_and_an_answered_one_does_not),
        TEST(test_datagrams_leave_a_quarter_to_tcp),
        TEST(test_sockets_are_bounded_and_an_unanswered_flow_gives_up_its_own),
        TEST(test_large_datagrams_pass_in_fragments_both_ways),
        TEST(test_large_datagrams_of_ipv6_pass_in_fragments_both_ways),
        TEST(test_nothing_reaches_the_host_by_an_address_of_the_never_list),
        TEST(test_multicast_leaves_by_a_rule_or_the_default_only),
        TEST(test_nobody_else_is_on_the_link),
        TEST(test_reload_ends_a_flow_that_is_denied_now),
        TEST(test_closed_port_is_told_as_unreachable),
        TEST(test_closed_port_of_ipv6_is_told_as_unreachable),
        TEST(test_unreachable_network_is_told),
        TEST(test_ttl_that_ends_here_is_told_by_the_gateway),
        TEST(test_gateways_address_reaches_the_hosts_loopback_by_a_host_rule),
        TEST(test_gateways_address_reaches_nothing_without_a_host_rule),
        TEST(test_allowed_echo_is_answered),
        TEST(test_allowed_echo_of_icmpv6_is_answered),
        TEST(test_gateway_answers_echo_where_a_rule_opens_it),
        TEST(test_denied_echo_gets_no_answer),
        TEST(test_want_of_icmp_sockets_is_told_once_and_to_the_guest),
    };
    have_netns = netns_enter() && netns_run("ip link set lo multicast on && "
                                            "ip route add 224.0.0.0/4 dev lo");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
