/* rate_limit: what passes in ten seconds of virtual time. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frame.h"
#include "harness.h"
#include "net/netns.h"

enum { RATE = 200000, SECONDS = 10, STEP_MS = 50 }; /* bytes a second */

#define LIMIT(direction)                                                                           \
    "rate_limit." direction ".bandwidth.size=200000",                                              \
        "rate_limit." direction ".bandwidth.refill_ms=1000"

static uint8_t data[1 << 17];

static void assert_rate(size_t bytes)
{
    assert_in_range(bytes, RATE * SECONDS * 95 / 100, RATE * SECONDS * 105 / 100);
}

static void test_download_waits_for_its_share(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", LIMIT("ingress")));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    g.own_window = 4096; /* 1 MiB */
    for (int i = 0; i < SECONDS * 1000 / STEP_MS; i++) {
        while (send(host, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        }
        pass(&w, STEP_MS);
        guest_hear(&g);
    }
    assert_rate(g.n_received);
    assert_int_equal(dropped(&w, DROP_RATE), 0);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_uploads_share_one_window(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    struct guest guests[3];
    int hosts[3];
    size_t received[3] = {0};
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", LIMIT("egress")));
    for (int i = 0; i < 3; i++) {
        guests[i] = guest_connect_host(&w, port);
        hosts[i] = host_accept(listener);
    }
    for (int i = 0; i < SECONDS * 1000 / STEP_MS; i++) {
        pass(&w, STEP_MS);
        for (int j = 0; j < 3; j++) {
            ssize_t n;
            guest_hear(&guests[j]);
            (void)guest_send(&guests[j], data, sizeof(data));
            while ((n = recv(hosts[j], data, sizeof(data), MSG_DONTWAIT)) > 0) {
                received[j] += (size_t)n;
            }
        }
    }
    assert_rate(received[0] + received[1] + received[2]);
    for (int j = 0; j < 3; j++) {
        assert_true(received[j] > RATE * SECONDS / 10); /* none starves */
        close(hosts[j]);
        guest_free(&guests[j]);
    }
    world_stop(&w);
    close(listener);
}

static void test_datagrams_over_the_limit_are_dropped(void **state)
{
    struct world w = {0};
    uint8_t frame[1500];
    (void)state;
    int server = netns_udp("127.0.0.1", 0);
    world_start(&w, POLICY("allow@host:udp", "rate_limit.egress.packets.size=100",
                           "rate_limit.egress.packets.refill_ms=1000"));
    unsigned received = 0;
    for (int i = 0; i < 500; i++) {
        char byte;
        size_t len =
            guest_udp(frame, &w.link.guest4, 40000, &w.link.gateway4, netns_port(server), "x", 1);
        put(&w, frame, len);
        pass(&w, 2);
        received += recv(server, &byte, 1, MSG_DONTWAIT) == 1;
    }
    assert_in_range(received, 95, 105);
    assert_int_equal(dropped(&w, DROP_RATE), 500 - received);
    world_stop(&w);
    close(server);
}

static void test_reload_lifts_a_limit(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", "rate_limit.ingress.bandwidth.size=1000",
                           "rate_limit.ingress.bandwidth.refill_ms=1000"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    host_send(host, data, 60000);
    pass(&w, 100);
    guest_hear(&g);
    assert_true(g.n_received < 20000);
    ln_policy *free_policy = POLICY("allow@host:tcp");
    assert_int_equal(ln_gateway_reload(w.gw, free_policy, NULL), 0);
    pass(&w, 100);
    guest_expect(&g, data, 60000);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
    ln_policy_unref(free_policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_download_waits_for_its_share),
        cmocka_unit_test(test_uploads_share_one_window),
        cmocka_unit_test(test_datagrams_over_the_limit_are_dropped),
        cmocka_unit_test(test_reload_lifts_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
