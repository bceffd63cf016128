/* Memory runs out: at each allocation of lunette's own code in turn, once and from there on, while
 * a gateway starts, serves a guest, and takes up another policy. Whatever fails, it fails cleanly:
 * no crash, no leak (the sanitizers look), nothing let through that is denied, and the gateway
 * serves again when there is memory again. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/wire.h"
#include "guest_frame.h"
#include "harness.h"
#include "net/netns.h"
#include "short_memory.h"

/* ---- what a gateway lives through ---- */

#define PLACEHOLDER "$PLACEHOLDER_OF_TOKEN"
#define VALUE       "the-value-of-the-secret"

struct scene {
    struct world w;
    int listener, denied, named, upstream, echo;
    uint16_t port, denied_port, named_port, echo_port;
    char allow[64], allow_name[64], allow_udp[64], nameserver[64], publish[64];
    uint16_t published_port;
    ln_policy *other;
};

static int udp_socket(uint16_t *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static ln_policy *policy_for(const struct scene *s)
{
    return POLICY(s->allow, s->allow_name, s->allow_udp, "allow@.test:udp:53", s->nameserver,
                  "max_connections=64");
}

/* One under which requests are read, secrets put in, and the guest is called. */
static ln_policy *inspecting_policy_for(const struct scene *s)
{
    return POLICY(s->allow_name, s->publish, s->nameserver, "max_connections=64",
                  "secret TOKEN " PLACEHOLDER " " VALUE " web.test");
}

static void open_scene(struct scene *s)
{
    uint16_t upstream_port;
    s->listener = host_listen(&s->port, 16);
    s->denied = host_listen(&s->denied_port, 16);
    s->named = host_listen(&s->named_port, 16);
    s->upstream = udp_socket(&upstream_port);
    s->echo = udp_socket(&s->echo_port);
    snprintf(s->allow, sizeof(s->allow), "allow@host:tcp:%u", s->port);
    snprintf(s->allow_name, sizeof(s->allow_name), "allow@web.test:tcp:%u", s->named_port);
    snprintf(s->allow_udp, sizeof(s->allow_udp), "allow@host:udp:%u", s->echo_port);
    s->published_port = host_closed_port();
    snprintf(s->publish, sizeof(s->publish), "publish tcp 127.0.0.1 %u 80", s->published_port);
    snprintf(s->nameserver, sizeof(s->nameserver), "dns.nameservers[]=127.0.0.1:%u", upstream_port);
    s->other = policy_for(s);
}

static void close_scene(struct scene *s)
{
    ln_policy_unref(s->other);
    close(s->listener);
    close(s->denied);
    close(s->named);
    close(s->upstream);
    close(s->echo);
}

static void send_datagram(struct scene *s, uint16_t port, const void *data, size_t len)
{
    uint8_t frame[2048];
    struct world *w = &s->w;
    put(w, frame, guest_udp(frame, &w->link.guest4, 40000, &w->link.gateway4, port, data, len));
    settle(w);
}

/* Whatever came at a socket is sent back, as an answer with an address where it is a query. */
static void answer(int fd, bool dns)
{
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    uint8_t data[2048];
    ssize_t n;
    while ((n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len)) > 0) {
        if (dns) {
            struct wire w = wire_response_to(data, (size_t)n);
            wire_addr(&w, DNS_ANSWER, "@12", 300, "198.51.100.7");
            (void)sendto(fd, w.data, w.len, 0, (struct sockaddr *)&from, from_len);
        } else {
            (void)sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, from_len);
        }
    }
}

static void ask(struct scene *s, const char *name)
{
    struct wire query = wire_query(7, name, DNS_TYPE_A);
    send_datagram(s, 53, query.data, query.len);
    answer(s->upstream, true);
    settle(&s->w);
}

/* One connection to an allowed server, as far as it gets. Returns whether all of it worked. */
static bool use_tcp(struct scene *s)
{
    struct guest g = guest_connect_host(&s->w, s->port);
    bool whole = g.state == GUEST_OPEN && guest_send(&g, "question", 8) == 8;
    settle(&s->w);
    if (host_has_connection(s->listener)) {
        char got[16];
        int fd = host_accept(s->listener);
        whole = recv(fd, got, sizeof(got), MSG_DONTWAIT) == 8 && whole;
        host_send(fd, "answer", 6);
        close(fd);
    } else {
        whole = false;
    }
    settle(&s->w);
    guest_hear(&g);
    whole = whole && g.n_received == 6 && memcmp(g.received, "answer", 6) == 0;
    guest_finish(&g);
    settle(&s->w);
    guest_free(&g);
    return whole;
}

/* A connection of which the first bytes, which come in two pieces, show the name `sni`. Returns
 * whether they arrived. */
static bool use_name(struct scene *s, const char *sni)
{
    uint8_t hello[1024];
    size_t len = client_hello(hello, sni);
    world_pin(&s->w, "web.test", "172.16.0.1");
    struct guest g = guest_connect_host(&s->w, s->named_port);
    if (g.state == GUEST_OPEN) {
        (void)guest_send(&g, hello, len / 2);
        settle(&s->w);
        (void)guest_send(&g, hello + len / 2, len - len / 2);
        settle(&s->w);
    }
    bool arrived = false;
    if (host_has_connection(s->named)) {
        uint8_t got[1024];
        int fd = host_accept(s->named);
        arrived = recv(fd, got, sizeof(got), MSG_DONTWAIT) == (ssize_t)len;
        close(fd);
    }
    guest_reset(&g);
    settle(&s->w);
    guest_free(&g);
    return arrived;
}

static void serve_a_guest(struct scene *s)
{
    ask(s, "www.test");
    ask(s, "host.lunette.internal");
    (void)use_tcp(s);
    (void)use_name(s, "web.test");
    assert_false(use_name(s, "other.test"));
    send_datagram(s, s->echo_port, "ping", 4);
    answer(s->echo, false);
    settle(&s->w);
    struct guest g = guest_connect_host(&s->w, s->denied_port);
    assert_int_not_equal(g.state, GUEST_OPEN);
    guest_free(&g);
    assert_false(host_has_connection(s->denied));
}

/* With memory again, it serves as ever. */
static void check_serves(struct scene *s)
{
    pass(&s->w, 5000);
    while (next_heard(&s->w) != NULL) {
    }
    assert_true(use_tcp(s));
    assert_true(use_name(s, "web.test"));
    unsigned before = count_told(&s->w, LN_EVENT_DNS_QUERY);
    ask(s, "other.test");
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_QUERY), before + 1);
}

/* A request with the placeholder in a header, over plain HTTP. Returns whether it was answered; the
 * host got the value or nothing of the header. */
static bool use_secret(struct scene *s)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: web.test\r\nAuthorization: Bearer " PLACEHOLDER "\r\n\r\n";
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    world_pin(&s->w, "web.test", "172.16.0.1");
    struct guest g = guest_connect_host(&s->w, s->named_port);
    if (g.state == GUEST_OPEN) {
        (void)guest_send(&g, request, sizeof(request) - 1);
        settle(&s->w);
    }
    if (host_has_connection(s->named)) {
        char got[1024] = "";
        int fd = host_accept(s->named);
        ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
        assert_null(strstr(got, PLACEHOLDER));
        if (n > 0 && strstr(got, "Bearer") != NULL) {
            assert_non_null(strstr(got, "Bearer " VALUE "\r\n"));
            (void)send(fd, response, sizeof(response) - 1, MSG_NOSIGNAL);
            settle(&s->w);
        }
        close(fd);
        settle(&s->w);
    }
    guest_hear(&g);
    bool answered = g.n_received > 15 && memcmp(g.received, "HTTP/1.1 200 OK", 15) == 0;
    guest_reset(&g);
    settle(&s->w);
    guest_free(&g);
    return answered;
}

/* The placeholder on its way to another host at the same address: it gets nowhere. */
static void misuse_secret(struct scene *s)
{
    static const char request[] = "GET /" PLACEHOLDER " HTTP/1.1\r\nHost: other.test\r\n\r\n";
    struct guest g = guest_connect_host(&s->w, s->named_port);
    if (g.state == GUEST_OPEN) {
        (void)guest_send(&g, request, sizeof(request) - 1);
        settle(&s->w);
    }
    if (host_has_connection(s->named)) {
        char got[1024] = "";
        int fd = host_accept(s->named);
        assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) <= 0);
        close(fd);
    }
    guest_reset(&g);
    settle(&s->w);
    guest_free(&g);
}

/* A caller of the published port. Returns whether the guest heard of him, and refuses him. */
static bool call_guest(struct scene *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(s->published_port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(fd, (struct sockaddr *)&in, sizeof(in));
    settle(&s->w);
    bool heard = false;
    for (const struct heard *h; (h = next_heard(&s->w)) != NULL;) {
        if (h->protocol == IPPROTO_TCP && h->dst_port == 80 && (h->flags & TCP_SYN) != 0) {
            struct guest g = {.w = &s->w,
                              .addr = h->dst,
                              .peer = h->src,
                              .port = h->dst_port,
                              .peer_port = h->src_port,
                              .rcv_nxt = h->seq + 1};
            guest_segment(&g, TCP_RST | TCP_ACK, 0, NULL, 0);
            heard = true;
            break;
        }
    }
    settle(&s->w);
    close(fd);
    return heard;
}

/* ---- tests ---- */

/* Calls `work` for each allocation that it makes, which fails; alone, and with all after it. */
static void for_each_allocation(void (*work)(struct scene *s, long allocation, bool and_after))
{
    for (int and_after = 0; and_after < 2; and_after++) {
        long allocation = 0;
        do {
            struct scene s = {0};
            open_scene(&s);
            work(&s, allocation++, and_after != 0);
            close_scene(&s);
        } while (memory_ran_out());
        print_message("%ld allocations\n", allocation - 1);
    }
}

static int swallow_frame(void *user, const ln_frame *frame)
{
    (void)user;
    (void)frame;
    return 0;
}

static void start_without_memory(struct scene *s, long allocation, bool and_after)
{
    ln_policy *policy = policy_for(s);
    ln_config config = {.size = sizeof(config), .policy = policy, .resolv_conf = "/dev/null"};
    ln_host host = {.size = sizeof(host), .send_frame = swallow_frame};
    ln_gateway *gw = NULL;
    ln_error error = {0};
    run_out_at(allocation, and_after);
    int r = ln_gateway_new(&config, &host, NULL, &gw, &error);
    bool some_failed = enough_again(); /* the cache of names is one to do without */
    assert_true(some_failed || r == 0);
    assert_true(r == 0 ? gw != NULL : gw == NULL && error.message[0] != '\0');
    ln_gateway_free(gw);
    ln_policy_unref(policy);
}

static void test_start_fails_with_an_error(void **state)
{
    (void)state;
    for_each_allocation(start_without_memory);
}

static void serve_without_memory(struct scene *s, long allocation, bool and_after)
{
    world_start(&s->w, policy_for(s));
    run_out_at(allocation, and_after);
    serve_a_guest(s);
    (void)enough_again();
    check_serves(s);
    world_stop(&s->w);
}

static void test_guest_is_denied_and_later_served(void **state)
{
    (void)state;
    for_each_allocation(serve_without_memory);
}

static void inspect_without_memory(struct scene *s, long allocation, bool and_after)
{
    world_start(&s->w, inspecting_policy_for(s));
    run_out_at(allocation, and_after);
    (void)use_secret(s);
    misuse_secret(s);
    (void)call_guest(s);
    (void)enough_again();
    pass(&s->w, 5000);
    while (next_heard(&s->w) != NULL) {
    }
    assert_true(use_secret(s));
    misuse_secret(s);
    assert_true(call_guest(s));
    world_stop(&s->w);
}

static void test_inspected_flow_gives_nothing_away_and_later_works(void **state)
{
    (void)state;
    for_each_allocation(inspect_without_memory);
}

/* The secrets, the ports and the rules of another policy are taken up together. */
static void inspect_after_reload_without_memory(struct scene *s, long allocation, bool and_after)
{
    ln_error error = {0};
    ln_policy *inspecting = inspecting_policy_for(s);
    world_start(&s->w, policy_for(s));
    run_out_at(allocation, and_after);
    int r = ln_gateway_reload(s->w.gw, inspecting, &error);
    bool some_failed = enough_again();
    assert_true(some_failed || r == 0);
    assert_true(r == 0 || error.message[0] != '\0');
    pass(&s->w, 1000);
    if (r == 0) {
        assert_true(use_secret(s));
        assert_true(call_guest(s));
    } else {
        check_serves(s);
        assert_false(call_guest(s));
        assert_int_equal(ln_gateway_reload(s->w.gw, inspecting, &error), 0);
        assert_true(use_secret(s));
        assert_true(call_guest(s));
    }
    ln_policy_unref(inspecting);
    world_stop(&s->w);
}

static void test_reload_takes_up_secrets_and_ports_or_neither(void **state)
{
    (void)state;
    for_each_allocation(inspect_after_reload_without_memory);
}

static void reload_without_memory(struct scene *s, long allocation, bool and_after)
{
    ln_error error = {0};
    world_start(&s->w, policy_for(s));
    serve_a_guest(s);
    run_out_at(allocation, and_after);
    int r = ln_gateway_reload(s->w.gw, s->other, &error);
    bool some_failed = enough_again();
    const ln_policy *now = ln_gateway_policy(s->w.gw);
    assert_ptr_equal(now, r == 0 ? s->other : s->w.policy);
    assert_true(some_failed || r == 0);
    assert_true(r == 0 || error.message[0] != '\0');
    check_serves(s);
    world_stop(&s->w);
}

static void test_reload_is_whole_or_not_at_all(void **state)
{
    (void)state;
    for_each_allocation(reload_without_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_fails_with_an_error),
        cmocka_unit_test(test_guest_is_denied_and_later_served),
        cmocka_unit_test(test_inspected_flow_gives_nothing_away_and_later_works),
        cmocka_unit_test(test_reload_is_whole_or_not_at_all),
        cmocka_unit_test(test_reload_takes_up_secrets_and_ports_or_neither),
    };
    (void)netns_enter(); /* so that nobody else's connections come to the ports here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
