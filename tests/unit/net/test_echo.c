/* Echo requests through the host's sockets, unprivileged and raw: answers, whose they are, errors
 * of the network. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "guest_frame.h"
#include "net/echo.h"
#include "net/netns.h"

#define PING_GROUPS "/proc/sys/net/ipv4/ping_group_range"
#define ROUTER4     "192.0.2.1" /* the other end of a link, which routes nothing further */
#define ROUTER6     "2001:db8:1::1"

struct fixture {
    struct loop loop;
    struct link_identity link;
    struct echo *echo;
    struct echo_request answered; /* the last */
    uint8_t data[70000];
    size_t data_len;
    unsigned n_replies;
    struct echo_request failed; /* the last */
    struct socket_error error;
    unsigned n_errors;
};

static bool have_netns;
static pid_t router;

static void on_reply(void *user, const struct echo_request *request, const uint8_t *data,
                     size_t len)
{
    struct fixture *f = user;
    f->answered = *request;
    memcpy(f->data, data, len);
    f->data_len = len;
    f->n_replies++;
}

static void on_error(void *user, const struct echo_request *request,
                     const struct socket_error *error)
{
    struct fixture *f = user;
    f->failed = *request;
    f->error = *error;
    f->n_errors++;
}

/* With the sockets that the namespace's ping_group_range gives. */
static int setup_with(void **state, const char *groups)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    if (f == NULL || loop_init(&f->loop, &host_services_system) != 0 ||
        (have_netns && !netns_write(PING_GROUPS, groups))) {
        return -1;
    }
    f->link = guest_link();
    f->echo = echo_new(&f->loop,
                       &(struct echo_callbacks){.user = f, .reply = on_reply, .error = on_error});
    return f->echo == NULL ? -1 : 0;
}

static int setup_unprivileged(void **state)
{
    return setup_with(state, "0 0");
}

static int setup_raw(void **state)
{
    return setup_with(state, "1 0");
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    echo_free(f->echo);
    loop_fini(&f->loop);
    free(f);
    return 0;
}

static struct fixture *begin(void **state)
{
    if (!have_netns) {
        skip();
    }
    struct fixture *f = *state;
    assert_int_equal(echo_problem(f->echo, false), 0);
    assert_int_equal(echo_problem(f->echo, true), 0);
    return f;
}

static int request(struct fixture *f, const char *to, uint16_t id, uint16_t seq, size_t len,
                   uint8_t ttl)
{
    static uint8_t frame[70000], data[65507];
    ln_addr peer = netns_addr(to);
    bool v6 = !ln_addr_is_v4(&peer);
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(i + seq);
    }
    size_t frame_len = guest_icmp(frame, v6 ? &f->link.guest6 : &f->link.guest4, &peer,
                                  v6 ? 128 : 8, 0, (uint32_t)id << 16 | seq, data, len);
    frame[ETH_LEN + (v6 ? 7 : 8)] = ttl;
    if (!v6) {
        guest_ipv4_checksum(frame + ETH_LEN);
    }
    struct packet packet;
    assert_int_equal(packet_describe(frame, frame_len, &packet), DROP_NONE);
    return echo_send(f->echo, &packet);
}

static void turns(struct fixture *f, const unsigned *until, unsigned value)
{
    for (int i = 0; i < 100 && *until < value; i++) {
        loop_dispatch(&f->loop, 20);
    }
    assert_int_equal(*until, value);
}

static void check_answers(struct fixture *f, const char *a, const char *b)
{
    ln_addr addr = netns_addr(a);
    assert_int_equal(request(f, a, 7, 100, 56, 64), 0);
    turns(f, &f->n_replies, 1);
    assert_int_equal(f->answered.id, 7);
    assert_int_equal(f->answered.seq, 100);
    assert_true(ln_addr_equal(&f->answered.peer, &addr));
    assert_int_equal(f->data_len, 56);
    assert_int_equal(f->data[0], 100);
    assert_int_equal(f->data[55], 155);

    /* Others with the same numbers, and none of them confused. */
    assert_int_equal(request(f, b, 7, 100, 3, 64), 0);
    turns(f, &f->n_replies, 2);
    addr = netns_addr(b);
    assert_true(ln_addr_equal(&f->answered.peer, &addr));
    assert_int_equal(request(f, a, 8, 100, 0, 64), 0);
    turns(f, &f->n_replies, 3);
    assert_int_equal(f->answered.id, 8);
    assert_int_equal(f->data_len, 0);

    assert_int_equal(request(f, a, 7, 101, 20000, 64), 0);
    turns(f, &f->n_replies, 4);
    assert_int_equal(f->data_len, 20000);
    assert_int_equal(f->n_errors, 0);
}

static void test_request_is_answered_with_the_guests_own_numbers(void **state)
{
    check_answers(begin(state), NETNS_HOST4, NETNS_OTHER4);
}

static void test_request_of_icmpv6_likewise(void **state)
{
    check_answers(begin(state), NETNS_HOST6, NETNS_OTHER6);
}

static void test_every_request_of_a_burst_is_answered(void **state)
{
    struct fixture *f = begin(state);
    for (uint16_t seq = 1; seq <= 50; seq++) {
        assert_int_equal(request(f, NETNS_HOST4, 7, seq, 8, 64), 0);
    }
    turns(f, &f->n_replies, 50);
    assert_int_equal(f->answered.seq, 50);
}

/* Sends an echo reply from `from` to the first address of the host. */
static void forge_reply(const char *from, uint16_t id, uint16_t seq)
{
    ln_addr src = netns_addr(from), dst = netns_addr(NETNS_HOST4);
    struct sockaddr_storage sa;
    uint8_t icmp[12] = {0};
    put_be16(icmp + 4, id);
    put_be16(icmp + 6, seq);
    put_be16(icmp + 2, (uint16_t)~guest_sum(icmp, sizeof(icmp), 0));
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    assert_true(fd >= 0);
    socklen_t len = sockaddr_put(&src, 0, &sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    len = sockaddr_put(&dst, 0, &sa);
    assert_int_equal(sendto(fd, icmp, sizeof(icmp), 0, (struct sockaddr *)&sa, len), sizeof(icmp));
    close(fd);
}

static void test_answers_to_others_and_from_others_are_not_taken(void **state)
{
    struct fixture *f = begin(state);
    int tap = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP); /* hears everything */
    assert_true(tap >= 0);
    assert_int_equal(request(f, NETNS_HOST4, 7, 1, 8, 64), 0);
    turns(f, &f->n_replies, 1);
    uint8_t ip[200];
    uint16_t id = 0, tag = 0;
    do {
        assert_true(recv(tap, ip, sizeof(ip), 0) >= 28);
        id = get_be16(ip + 24);
        tag = get_be16(ip + 26);
    } while (ip[20] != 0);
    close(tap);

    forge_reply(NETNS_HOST4, (uint16_t)(id + 1), tag); /* to another process */
    forge_reply(NETNS_HOST4, id, (uint16_t)(tag + 1)); /* to no request */
    forge_reply(NETNS_OTHER4, id, tag);                /* from elsewhere */
    for (int i = 0; i < 5; i++) {
        loop_dispatch(&f->loop, 10);
    }
    assert_int_equal(f->n_replies, 1);
    forge_reply(NETNS_HOST4, id, tag);
    turns(f, &f->n_replies, 2);
}

static void test_unreachable_destination_is_told_at_once(void **state)
{
    struct fixture *f = begin(state);
    assert_int_equal(request(f, "203.0.113.5", 7, 1, 8, 64), -EHOSTUNREACH);
    assert_int_equal(request(f, "2001:db8:dead::5", 7, 1, 8, 64), -EHOSTUNREACH);
    assert_int_equal(request(f, "8.8.8.8", 7, 1, 8, 64), -ENETUNREACH);
}

static void test_loopback_is_never_asked(void **state)
{
    struct fixture *f = begin(state);
    static const char *const never[] = {"127.0.0.1", "0.0.0.0", "::1", "::"};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        assert_int_equal(request(f, never[i], 7, 1, 8, 64), -EADDRNOTAVAIL);
    }
}

static void check_error(struct fixture *f, const char *to, uint8_t ttl, const char *offender,
                        uint8_t type, uint8_t code)
{
    ln_addr addr = netns_addr(offender);
    unsigned before = f->n_errors;
    assert_int_equal(request(f, to, 9, 33, 40, ttl), 0);
    turns(f, &f->n_errors, before + 1);
    assert_int_equal(f->failed.id, 9);
    assert_int_equal(f->failed.seq, 33);
    assert_int_equal(f->error.type, type);
    assert_int_equal(f->error.code, code);
    assert_true(ln_addr_equal(&f->error.offender, &addr));
}

static void test_errors_of_the_network_name_the_request(void **state)
{
    struct fixture *f = begin(state);
    assert_int_not_equal(router, 0);
    check_error(f, "10.8.8.8", 2, ROUTER4, 11, 0);      /* dies at the router */
    check_error(f, "2001:db8:8::8", 2, ROUTER6, 3, 0);  /* likewise */
    check_error(f, "2001:db8:9::9", 64, ROUTER6, 1, 0); /* which knows no way further */
    /* An error that waits on the socket is not taken for the next request's. */
    assert_int_equal(request(f, "10.8.8.8", 9, 34, 40, 2), 0);
    usleep(50000);
    assert_int_equal(request(f, NETNS_HOST4, 9, 35, 40, 64), 0);
    turns(f, &f->n_replies, 1);
    assert_int_equal(f->n_errors, 4);
    assert_int_equal(f->n_replies, 1);
}

static void test_no_socket_is_a_problem_and_not_a_failure(void **state)
{
    struct fixture *f = begin(state);
    pid_t child = fork();
    if (child == 0) {
        bool right = netns_write(PING_GROUPS, "1 0") && setgid(1234) == 0 && setuid(1234) == 0;
        struct echo *echo = echo_new(&f->loop, &(struct echo_callbacks){.user = f});
        right = right && echo != NULL && echo_problem(echo, false) == -EACCES &&
                echo_problem(echo, true) == -EACCES;
        echo_free(echo);
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A neighbour that forwards: 10.8.0.0/16 and 2001:db8:8::/48 to nobody, 2001:db8:9::/48 nowhere. */
static pid_t start_router(void)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0) {
        return 0;
    }
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = unshare(CLONE_NEWNET) == 0;
        ok = write(ready[1], "r", 1) == 1 && ok;
        close(ready[1]);
        pause();
        _exit(!ok);
    }
    bool ok = pid > 0 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    close(ready[1]);
    ok = ok && netns_run("ip link add up0 type veth peer name up1 netns %d", (int)pid) &&
         netns_run("ip addr add 192.0.2.2/24 dev up0 && "
                   "ip addr add 2001:db8:1::2/64 dev up0 nodad && ip link set up0 up && "
                   "nsenter -t %d -n sh -c 'ip link set up1 up && ip link set lo up && "
                   "ip addr add " ROUTER4 "/24 dev up1 && ip addr add " ROUTER6
                   "/64 dev up1 nodad && echo 1 > /proc/sys/net/ipv4/ip_forward && "
                   "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding && "
                   "ip link add down0 type veth peer name down1 && ip link set down0 up && "
                   "ip route add 10.8.0.0/16 dev down0 && "
                   "ip route add 2001:db8:8::/48 dev down0 && "
                   "ip route add unreachable 2001:db8:9::/48 && "
                   "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0'",
                   (int)pid) &&
         netns_run("ip route add 10.0.0.0/8 via " ROUTER4
                   " && ip route add 2001:db8:8::/47 via " ROUTER6);
    if (!ok && pid > 0) {
        kill(pid, SIGKILL);
    }
    return ok ? pid : 0;
}

int main(void)
{
#define UNPRIVILEGED(name)                                                                         \
    {                                                                                              \
#name " (unprivileged)", name, setup_unprivileged, teardown, NULL                          \
    }
#define RAW(name)                                                                                  \
    {                                                                                              \
#name " (raw)", name, setup_raw, teardown, NULL                                            \
    }
    const struct CMUnitTest tests[] = {
        UNPRIVILEGED(test_request_is_answered_with_the_guests_own_numbers),
        RAW(test_request_is_answered_with_the_guests_own_numbers),
        UNPRIVILEGED(test_request_of_icmpv6_likewise),
        RAW(test_request_of_icmpv6_likewise),
        UNPRIVILEGED(test_every_request_of_a_burst_is_answered),
        UNPRIVILEGED(test_answers_to_others_and_from_others_are_not_taken),
        RAW(test_answers_to_others_and_from_others_are_not_taken),
        UNPRIVILEGED(test_unreachable_destination_is_told_at_once),
        RAW(test_unreachable_destination_is_told_at_once),
        UNPRIVILEGED(test_loopback_is_never_asked),
        UNPRIVILEGED(test_errors_of_the_network_name_the_request),
        RAW(test_errors_of_the_network_name_the_request),
        RAW(test_no_socket_is_a_problem_and_not_a_failure),
    };
    have_netns = netns_enter();
    router = have_netns ? start_router() : 0;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (router > 0) {
        kill(router, SIGKILL);
        waitpid(router, NULL, 0);
    }
    return failed;
}
