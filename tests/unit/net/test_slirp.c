/* UDP through libslirp, against sockets of a network namespace: what leaves, what comes back and
 * from whom, errors, and what never reaches it. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "guest_frame.h"
#include "net/netns.h"
#include "net/slirp.h"
#include "packet/build.h"

enum { GUEST_PORT = 40000, PAYLOAD_MAX = 65507 };

struct fixture {
    struct loop loop;
    struct link_identity link;
    struct slirp_host *host;
    ln_addr only_from; /* the peer whose datagrams are let in, when set */
    bool filtered;

    struct slirp_datagram received; /* the last offered */
    unsigned n_received;
    uint8_t frame[70000]; /* the last delivered */
    size_t frame_len, longest;
    unsigned n_delivered;
    size_t ip_payload;         /* of all delivered */
    struct socket_error error; /* the last */
    uint16_t error_port;
    unsigned n_errors;
};

static bool on_receive(void *user, const struct slirp_datagram *datagram)
{
    struct fixture *f = user;
    f->received = *datagram;
    f->n_received++;
    return !f->filtered || ln_addr_equal(&datagram->peer, &f->only_from);
}

static void on_deliver(void *user, uint8_t *frame, size_t len)
{
    struct fixture *f = user;
    memcpy(f->frame, frame, len);
    f->frame_len = len;
    f->longest = len > f->longest ? len : f->longest;
    f->ip_payload += len - ETH_LEN - (frame[ETH_LEN] >> 4 == 4 ? IPV4_LEN : IPV6_LEN);
    f->n_delivered++;
}

static void on_error(void *user, const ln_addr *guest, uint16_t guest_port,
                     const struct socket_error *error)
{
    struct fixture *f = user;
    (void)guest;
    f->error = *error;
    f->error_port = guest_port;
    f->n_errors++;
}

static bool have_netns;

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    static const uint8_t key[16] = {1};
    *state = f;
    if (f == NULL || loop_init(&f->loop, &host_services_system) != 0) {
        return -1;
    }
    f->link = guest_link();
    f->host = slirp_host_new(
        &f->loop, &f->link, key,
        &(struct slirp_callbacks){
            .user = f, .receive = on_receive, .deliver = on_deliver, .error = on_error});
    return f->host == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    slirp_host_free(f->host);
    loop_fini(&f->loop);
    free(f);
    return 0;
}

static struct fixture *begin(void **state)
{
    if (!have_netns) {
        skip();
    }
    return *state;
}

static struct slirp_port *open_port(struct fixture *f, bool v6, uint16_t number)
{
    struct slirp_port *port = NULL;
    assert_int_equal(
        slirp_port_open(f->host, v6 ? &f->link.guest6 : &f->link.guest4, number, &port), 0);
    return port;
}

/* A datagram of the guest's through `port`, of `len` bytes counting up. */
static int send_to(struct fixture *f, struct slirp_port *port, const char *to, uint16_t to_port,
                   size_t len, uint8_t ttl)
{
    static uint8_t frame[70000], payload[PAYLOAD_MAX];
    ln_addr peer = netns_addr(to);
    bool v6 = !ln_addr_is_v4(&peer);
    const ln_addr *guest = v6 ? &f->link.guest6 : &f->link.guest4;
    for (size_t i = 0; i < len; i++) {
        payload[i] = (uint8_t)i;
    }
    size_t frame_len = guest_udp(frame, guest, GUEST_PORT, &peer, to_port, payload, len);
    frame[ETH_LEN + (v6 ? 7 : 8)] = ttl;
    if (!v6) {
        guest_ipv4_checksum(frame + ETH_LEN);
    }
    struct packet packet;
    assert_int_equal(packet_describe(frame, frame_len, &packet), DROP_NONE);
    return slirp_port_send(port, &packet);
}

static void turns(struct fixture *f, const unsigned *until, unsigned value)
{
    for (int i = 0; i < 100 && *until < value; i++) {
        loop_dispatch(&f->loop, 20);
    }
    assert_int_equal(*until, value);
}

/* Nothing is to come of what was done: whatever would is given time. */
static void quiet_turns(struct fixture *f)
{
    for (int i = 0; i < 5; i++) {
        loop_dispatch(&f->loop, 10);
    }
}

/* Takes a datagram off a host socket and sends it back whence it came. Returns its length. */
static ssize_t echo_back(int fd, struct sockaddr_storage *ret_from)
{
    static uint8_t data[70000];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len);
    if (n >= 0) {
        assert_int_equal(sendto(fd, data, (size_t)n, 0, (const struct sockaddr *)&from, from_len),
                         n);
        *ret_from = from;
    }
    return n;
}

static void check_round_trip(struct fixture *f, const char *host)
{
    ln_addr addr = netns_addr(host);
    bool v6 = !ln_addr_is_v4(&addr);
    int server = netns_udp(host, 0);
    struct sockaddr_storage from;
    struct slirp_port *port = open_port(f, v6, GUEST_PORT);
    assert_int_equal(send_to(f, port, host, netns_port(server), 100, 64), 0);
    assert_int_equal(echo_back(server, &from), 100);
    turns(f, &f->n_delivered, 1);

    struct packet packet;
    assert_int_equal(packet_describe(f->frame, f->frame_len, &packet), DROP_NONE);
    assert_int_equal(packet.kind, PACKET_UDP);
    assert_true(ln_addr_equal(&packet.src, &addr));
    assert_int_equal(packet.src_port, netns_port(server));
    assert_int_equal(packet.dst_port, GUEST_PORT);
    assert_int_equal(packet.payload_len, 100);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(f->frame[packet.payload + i], i);
    }
    assert_int_equal(f->received.payload_len, 100);
    assert_true(ln_addr_equal(&f->received.guest, v6 ? &f->link.guest6 : &f->link.guest4));
    slirp_port_close(port);
    close(server);
}

static void test_datagram_reaches_its_peer_and_the_answer_comes_back(void **state)
{
    check_round_trip(begin(state), NETNS_HOST4);
}

static void test_datagram_of_ipv6_likewise(void **state)
{
    check_round_trip(begin(state), NETNS_HOST6);
}

static void test_empty_datagram_passes_both_ways(void **state)
{
    struct fixture *f = begin(state);
    int server = netns_udp(NETNS_HOST4, 0);
    struct sockaddr_storage from;
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    assert_int_equal(send_to(f, port, NETNS_HOST4, netns_port(server), 0, 64), 0);
    assert_int_equal(echo_back(server, &from), 0);
    turns(f, &f->n_delivered, 1);
    assert_int_equal(f->received.payload_len, 0);
    assert_int_equal(f->frame_len, ETH_LEN + IPV4_LEN + UDP_LEN); /* not padded */
    slirp_port_close(port);
    close(server);
}

static void test_one_socket_serves_every_peer_of_a_port(void **state)
{
    struct fixture *f = begin(state);
    int a = netns_udp(NETNS_HOST4, 0), b = netns_udp(NETNS_OTHER4, 0);
    struct sockaddr_storage from_a, from_b;
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    struct slirp_port *again = open_port(f, false, GUEST_PORT);
    assert_ptr_equal(port, again);
    assert_int_equal(slirp_host_sockets(f->host), 1);
    assert_int_equal(send_to(f, port, NETNS_HOST4, netns_port(a), 1, 64), 0);
    assert_int_equal(send_to(f, again, NETNS_OTHER4, netns_port(b), 2, 64), 0);
    assert_int_equal(echo_back(a, &from_a), 1);
    assert_int_equal(echo_back(b, &from_b), 2);
    ln_addr addr;
    uint16_t port_a, port_b;
    assert_int_equal(sockaddr_get(&from_a, &addr, &port_a), 0);
    assert_int_equal(sockaddr_get(&from_b, &addr, &port_b), 0);
    assert_int_equal(port_a, port_b);
    turns(f, &f->n_delivered, 2);
    assert_false(slirp_port_is_last(port));
    slirp_port_close(port);
    assert_true(slirp_port_is_last(again));
    slirp_port_close(again);
    close(a);
    close(b);
}

static void test_a_strangers_datagram_is_not_delivered_when_not_let_in(void **state)
{
    struct fixture *f = begin(state);
    int peer = netns_udp(NETNS_HOST4, 0), stranger = netns_udp(NETNS_OTHER4, 0);
    struct sockaddr_storage from;
    f->filtered = true;
    f->only_from = netns_addr(NETNS_HOST4);
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    assert_int_equal(send_to(f, port, NETNS_HOST4, netns_port(peer), 10, 64), 0);
    assert_int_equal(echo_back(peer, &from), 10);
    turns(f, &f->n_delivered, 1);

    uint8_t large[4000] = {0}; /* its fragments stay outside too */
    assert_int_equal(sendto(stranger, "x", 1, 0, (struct sockaddr *)&from, sizeof(from)), 1);
    assert_int_equal(
        sendto(stranger, large, sizeof(large), 0, (struct sockaddr *)&from, sizeof(from)),
        sizeof(large));
    turns(f, &f->n_received, 3);
    assert_int_equal(f->received.peer_port, netns_port(stranger));
    assert_int_equal(f->n_delivered, 1);
    slirp_port_close(port);
    close(peer);
    close(stranger);
}

static void check_large(struct fixture *f, const char *host, size_t first, size_t len)
{
    ln_addr addr = netns_addr(host);
    bool v6 = !ln_addr_is_v4(&addr);
    int server = netns_udp(host, 0);
    struct sockaddr_storage from;
    struct slirp_port *port = open_port(f, v6, GUEST_PORT);
    if (first > 0) {
        assert_int_equal(send_to(f, port, host, netns_port(server), first, 64), 0);
        assert_int_equal(echo_back(server, &from), first);
        turns(f, &f->n_delivered, 1);
    }
    f->ip_payload = f->n_received = 0;
    assert_int_equal(send_to(f, port, host, netns_port(server), len, 64), 0);
    assert_int_equal(echo_back(server, &from), len);
    turns(f, &f->n_received, 1);
    assert_int_equal(f->received.payload_len, len);
    assert_int_equal(f->ip_payload, len + UDP_LEN);
    if (!v6) {
        assert_true(f->longest <= ETH_LEN + f->link.mtu);
    }
    slirp_port_close(port);
    close(server);
}

static void test_large_datagram_passes_both_ways_as_the_first(void **state)
{
    check_large(begin(state), NETNS_HOST4, 0, PAYLOAD_MAX);
}

static void test_large_datagram_passes_both_ways_as_a_later_one(void **state)
{
    check_large(begin(state), NETNS_HOST4, 10, PAYLOAD_MAX);
}

static void test_large_datagram_of_ipv6_passes_as_the_first(void **state)
{
    check_large(begin(state), NETNS_HOST6, 0, 65000);
}

static void test_large_datagram_of_ipv6_passes_as_a_later_one(void **state)
{
    check_large(begin(state), NETNS_HOST6, 10, PAYLOAD_MAX);
}

static void test_ports_that_begin_with_a_large_datagram_are_bounded(void **state)
{
    struct fixture *f = begin(state);
    int server = netns_udp(NETNS_HOST4, 0);
    struct slirp_port *ports[SLIRP_LARGE_MAX + 1];
    for (unsigned i = 0; i <= SLIRP_LARGE_MAX; i++) {
        ports[i] = open_port(f, false, (uint16_t)(1000 + i));
        /* A small one that went nowhere is no beginning. */
        assert_int_equal(send_to(f, ports[i], "203.0.113.5", 9, 1, 64), -EHOSTUNREACH);
        assert_int_equal(send_to(f, ports[i], NETNS_HOST4, netns_port(server), 3000, 64),
                         i < SLIRP_LARGE_MAX ? 0 : -ENOSPC);
    }
    slirp_port_close(ports[0]);
    struct slirp_port *last = ports[SLIRP_LARGE_MAX];
    assert_int_equal(send_to(f, last, NETNS_HOST4, netns_port(server), 3000, 64), 0);
    for (unsigned i = 1; i <= SLIRP_LARGE_MAX; i++) {
        slirp_port_close(ports[i]);
    }
    close(server);
}

static void test_ttl_is_lowered_by_one(void **state)
{
    struct fixture *f = begin(state);
    static const char *const hosts[] = {NETNS_HOST4, NETNS_HOST6};
    for (unsigned v6 = 0; v6 < 2; v6++) {
        int server = netns_udp(hosts[v6], 0);
        const int on = 1;
        (void)(v6 ? setsockopt(server, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on))
                  : setsockopt(server, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)));
        struct slirp_port *port = open_port(f, v6, GUEST_PORT);
        assert_int_equal(send_to(f, port, hosts[v6], netns_port(server), 1, 10), 0);
        assert_int_equal(send_to(f, port, hosts[v6], netns_port(server), 3000, 20), 0);
        for (int i = 1; i <= 2; i++) {
            union {
                struct cmsghdr header;
                uint8_t bytes[128];
            } control;
            uint8_t data[1];
            struct iovec iov = {data, sizeof(data)};
            struct msghdr message = {.msg_iov = &iov,
                                     .msg_iovlen = 1,
                                     .msg_control = &control,
                                     .msg_controllen = sizeof(control)};
            int ttl = 0;
            assert_int_equal(recvmsg(server, &message, 0), 1);
            assert_non_null(CMSG_FIRSTHDR(&message));
            memcpy(&ttl, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(ttl));
            assert_int_equal(ttl, i * 10 - 1);
        }
        slirp_port_close(port);
        close(server);
    }
}

static void check_error_names_its_peer(struct fixture *f, const char *host, uint8_t type,
                                       uint8_t code)
{
    ln_addr addr = netns_addr(host);
    bool v6 = !ln_addr_is_v4(&addr);
    int closed = netns_udp(host, 0), server = netns_udp(host, 0);
    uint16_t closed_port = netns_port(closed);
    struct sockaddr_storage from;
    close(closed);
    struct slirp_port *port = open_port(f, v6, GUEST_PORT);
    assert_int_equal(send_to(f, port, host, netns_port(server), 1, 64), 0);
    assert_int_equal(send_to(f, port, host, closed_port, 5, 64), 0);
    /* The error waits on the socket already, and must not be taken for this one's. */
    assert_int_equal(send_to(f, port, host, netns_port(server), 2, 64), 0);
    assert_int_equal(echo_back(server, &from), 1);
    assert_int_equal(echo_back(server, &from), 2);
    turns(f, &f->n_delivered, 2);
    assert_int_equal(f->n_errors, 1);
    assert_true(ln_addr_equal(&f->error.peer, &addr));
    assert_int_equal(f->error.peer_port, closed_port);
    assert_int_equal(f->error.type, type);
    assert_int_equal(f->error.code, code);
    assert_int_equal(f->error.quoted_len, 5);
    assert_int_equal(f->error_port, GUEST_PORT);
    /* Nor does it take another datagram to hear of one. */
    assert_int_equal(send_to(f, port, host, closed_port, 6, 64), 0);
    turns(f, &f->n_errors, 2);
    assert_int_equal(f->error.quoted_len, 6);
    slirp_port_close(port);
    close(server);
}

static void test_icmp_error_names_the_peer_it_is_about(void **state)
{
    check_error_names_its_peer(begin(state), NETNS_HOST4, 3, 3);
}

static void test_icmpv6_error_names_the_peer_it_is_about(void **state)
{
    check_error_names_its_peer(begin(state), NETNS_HOST6, 1, 4);
}

static void test_unreachable_destination_is_told_at_once(void **state)
{
    struct fixture *f = begin(state);
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    struct slirp_port *port6 = open_port(f, true, GUEST_PORT);
    assert_int_equal(send_to(f, port, "203.0.113.5", 9, 1, 64), -EHOSTUNREACH);
    assert_int_equal(send_to(f, port, "192.0.2.1", 9, 1, 64), -ENETUNREACH);
    assert_int_equal(send_to(f, port6, "2001:db8:dead::5", 9, 1, 64), -EHOSTUNREACH);
    quiet_turns(f);
    assert_int_equal(f->n_delivered, 0);
    slirp_port_close(port);
    slirp_port_close(port6);
}

static void test_what_must_not_reach_the_host_does_not(void **state)
{
    struct fixture *f = begin(state);
    static const char *const never[] = {
        "127.0.0.1", "127.1.2.3",  "0.0.0.0",    "255.255.255.255", "240.0.0.1",       "::1",
        "::",        "172.16.0.1", "172.16.0.3", "fd42:6d73:62::1", "fd42:6d73:62::77"};
    int server4 = netns_udp("0.0.0.0", 0);
    uint16_t number = netns_port(server4);
    int server6 = netns_udp("::1", number);
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    struct slirp_port *port6 = open_port(f, true, GUEST_PORT);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        ln_addr addr = netns_addr(never[i]);
        struct slirp_port *by = ln_addr_is_v4(&addr) ? port : port6;
        assert_int_equal(send_to(f, by, never[i], number, 1, 64), -EADDRNOTAVAIL);
    }
    quiet_turns(f);
    uint8_t data[16];
    assert_int_equal(recv(server4, data, sizeof(data), MSG_DONTWAIT), -1);
    assert_int_equal(recv(server6, data, sizeof(data), MSG_DONTWAIT), -1);
    /* The same server under an address that may be reached. */
    assert_int_equal(send_to(f, port, NETNS_HOST4, number, 7, 64), 0);
    assert_int_equal(recv(server4, data, sizeof(data), 0), 7);
    slirp_port_close(port);
    slirp_port_close(port6);
    close(server4);
    close(server6);
}

static void test_services_of_libslirp_are_not_asked(void **state)
{
    struct fixture *f = begin(state);
    static const uint16_t services[] = {67, 68, 69, 547};
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        assert_int_equal(send_to(f, port, NETNS_HOST4, services[i], 1, 64), -EADDRNOTAVAIL);
    }
    slirp_port_close(port);
}

static void test_ports_are_bounded(void **state)
{
    struct fixture *f = begin(state);
    static struct slirp_port *ports[SLIRP_PORTS_MAX];
    struct slirp_port *more = NULL;
    for (unsigned i = 0; i < SLIRP_PORTS_MAX; i++) {
        ports[i] = open_port(f, false, (uint16_t)(i + 1));
    }
    assert_int_equal(slirp_port_open(f->host, &f->link.guest6, 1, &more), -ENOSPC);
    slirp_port_close(ports[0]);
    assert_int_equal(slirp_port_open(f->host, &f->link.guest6, 1, &more), 0);
    slirp_port_close(more);
    for (unsigned i = 1; i < SLIRP_PORTS_MAX; i++) {
        slirp_port_close(ports[i]);
    }
    assert_int_equal(slirp_host_sockets(f->host), 0);
}

static void test_closing_a_port_closes_its_socket(void **state)
{
    struct fixture *f = begin(state);
    int server = netns_udp(NETNS_HOST4, 0);
    unsigned before = netns_descriptors();
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    assert_int_equal(send_to(f, port, NETNS_HOST4, netns_port(server), 1, 64), 0);
    assert_int_equal(netns_descriptors(), before + 1);
    slirp_port_close(port);
    assert_int_equal(netns_descriptors(), before);
    close(server);
}

static void test_no_socket_can_block(void **state)
{
    struct fixture *f = begin(state);
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    int next = dup(0); /* the descriptor that the socket will have */
    close(next);
    assert_int_equal(send_to(f, port, NETNS_HOST4, 9, 1, 64), 0);
    int type = 0;
    socklen_t len = sizeof(type);
    assert_int_equal(getsockopt(next, SOL_SOCKET, SO_TYPE, &type, &len), 0);
    assert_int_equal(type, SOCK_DGRAM);
    assert_int_not_equal(fcntl(next, F_GETFL) & O_NONBLOCK, 0);
    slirp_port_close(port);
}

static void test_want_of_descriptors_is_an_error_and_passes(void **state)
{
    struct fixture *f = begin(state);
    int server = netns_udp(NETNS_HOST4, 0);
    struct slirp_port *port = open_port(f, false, GUEST_PORT);
    struct rlimit limit, none = {.rlim_cur = 0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none.rlim_max = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = send_to(f, port, NETNS_HOST4, netns_port(server), 1, 64);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(send_to(f, port, NETNS_HOST4, netns_port(server), 1, 64), 0);
    uint8_t data[16];
    assert_int_equal(recv(server, data, sizeof(data), 0), 1);
    slirp_port_close(port);
    close(server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_datagram_reaches_its_peer_and_the_answer_comes_back),
        TEST(test_datagram_of_ipv6_likewise),
        TEST(test_empty_datagram_passes_both_ways),
        TEST(test_one_socket_serves_every_peer_of_a_port),
        TEST(test_a_strangers_datagram_is_not_delivered_when_not_let_in),
        TEST(test_large_datagram_passes_both_ways_as_the_first),
        TEST(test_large_datagram_passes_both_ways_as_a_later_one),
        TEST(test_large_datagram_of_ipv6_passes_as_the_first),
        TEST(test_large_datagram_of_ipv6_passes_as_a_later_one),
        TEST(test_ports_that_begin_with_a_large_datagram_are_bounded),
        TEST(test_ttl_is_lowered_by_one),
        TEST(test_icmp_error_names_the_peer_it_is_about),
        TEST(test_icmpv6_error_names_the_peer_it_is_about),
        TEST(test_unreachable_destination_is_told_at_once),
        TEST(test_what_must_not_reach_the_host_does_not),
        TEST(test_services_of_libslirp_are_not_asked),
        TEST(test_ports_are_bounded),
        TEST(test_closing_a_port_closes_its_socket),
        TEST(test_no_socket_can_block),
        TEST(test_want_of_descriptors_is_an_error_and_passes),
    };
    have_netns = netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
