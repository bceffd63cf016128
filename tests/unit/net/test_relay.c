/* A UDP flow to the host's loopback: which of its two addresses answers, and what is said when
 * neither does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/netns.h"
#include "net/relay.h"

struct fixture {
    struct loop loop;
    struct relay relay;
    uint8_t data[2000];
    ssize_t result; /* of the last relay_read() that was not -EAGAIN */
    unsigned n_results;
};

static void on_ready(struct relay *relay)
{
    struct fixture *f = (struct fixture *)(void *)((char *)relay - offsetof(struct fixture, relay));
    ssize_t n = relay_read(relay, f->data, sizeof(f->data));
    if (n != -EAGAIN) {
        f->result = n;
        f->n_results++;
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    return f == NULL ? -1 : loop_init(&f->loop, &host_services_system);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    relay_close(&f->relay);
    loop_fini(&f->loop);
    free(f);
    return 0;
}

/* A port that nothing is bound to, on either loopback address. */
static uint16_t free_port(void)
{
    int fd = netns_udp("::1", 0);
    uint16_t port = netns_port(fd);
    close(netns_udp("127.0.0.1", port));
    close(fd);
    return port;
}

static void turns(struct fixture *f, unsigned results)
{
    for (int i = 0; i < 100 && f->n_results < results; i++) {
        loop_dispatch(&f->loop, 20);
    }
    assert_int_equal(f->n_results, results);
}

static void check_round_trip(struct fixture *f, int server, const char *text)
{
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    char data[64];
    size_t len = strlen(text);
    assert_int_equal(recvfrom(server, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len),
                     len);
    assert_memory_equal(data, text, len);
    assert_int_equal(sendto(server, text, len, 0, (struct sockaddr *)&from, from_len), len);
    turns(f, f->n_results + 1);
    assert_int_equal(f->result, len);
    assert_memory_equal(f->data, text, len);
}

static void test_service_at_the_ipv4_loopback_is_preferred(void **state)
{
    struct fixture *f = *state;
    uint16_t port = free_port();
    int v4 = netns_udp("127.0.0.1", port), v6 = netns_udp("::1", port);
    assert_int_equal(relay_open(&f->relay, &f->loop, port, on_ready), 0);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"one", 3), 0);
    check_round_trip(f, v4, "one");
    close(v4);
    close(v6);
}

static void test_service_at_the_ipv6_loopback_gets_the_first_datagram_too(void **state)
{
    struct fixture *f = *state;
    uint16_t port = free_port();
    int v6 = netns_udp("::1", port);
    assert_int_equal(relay_open(&f->relay, &f->loop, port, on_ready), 0);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"one", 3), 0);
    loop_dispatch(&f->loop, 1000); /* the refusal */
    check_round_trip(f, v6, "one");
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"two", 3), 0);
    check_round_trip(f, v6, "two");
    close(v6);
}

static void test_refusal_met_while_sending_moves_on_too(void **state)
{
    struct fixture *f = *state;
    uint16_t port = free_port();
    int v6 = netns_udp("::1", port);
    assert_int_equal(relay_open(&f->relay, &f->loop, port, on_ready), 0);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"one", 3), 0);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"two", 3), 0);
    check_round_trip(f, v6, "two");
    close(v6);
}

static void test_nobody_at_either_address_is_told_and_tried_anew(void **state)
{
    struct fixture *f = *state;
    uint16_t port = free_port();
    assert_int_equal(relay_open(&f->relay, &f->loop, port, on_ready), 0);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"one", 3), 0);
    turns(f, 1);
    assert_int_equal(f->result, -ECONNREFUSED);
    int v4 = netns_udp("127.0.0.1", port);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"two", 3), 0);
    check_round_trip(f, v4, "two");
    /* Once it answered, its going away is told, and the other address not tried. */
    close(v4);
    int v6 = netns_udp("::1", port);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"three", 5), 0);
    turns(f, 3);
    assert_int_equal(f->result, -ECONNREFUSED);
    close(v6);
}

static void test_datagram_too_long_is_told(void **state)
{
    struct fixture *f = *state;
    uint16_t port = free_port();
    int v4 = netns_udp("127.0.0.1", port);
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    uint8_t data[3000] = {0};
    assert_int_equal(relay_open(&f->relay, &f->loop, port, on_ready), 0);
    assert_int_equal(relay_send(&f->relay, data, sizeof(data)), 0);
    assert_int_equal(recvfrom(v4, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len),
                     sizeof(data));
    assert_int_equal(sendto(v4, data, sizeof(data), 0, (struct sockaddr *)&from, from_len),
                     sizeof(data));
    turns(f, 1);
    assert_int_equal(f->result, -EMSGSIZE);
    close(v4);
}

static void test_strangers_are_not_heard(void **state)
{
    struct fixture *f = *state;
    uint16_t port = free_port();
    int v4 = netns_udp("127.0.0.1", port), stranger = netns_udp("127.0.0.1", 0);
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    char data[8];
    assert_int_equal(relay_open(&f->relay, &f->loop, port, on_ready), 0);
    assert_int_equal(relay_send(&f->relay, (const uint8_t *)"one", 3), 0);
    assert_int_equal(recvfrom(v4, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len), 3);
    (void)sendto(stranger, "x", 1, 0, (struct sockaddr *)&from, from_len);
    assert_int_equal(sendto(v4, "answer", 6, 0, (struct sockaddr *)&from, from_len), 6);
    turns(f, 1);
    assert_int_equal(f->result, 6);
    loop_dispatch(&f->loop, 20);
    assert_int_equal(f->n_results, 1);
    close(v4);
    close(stranger);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_service_at_the_ipv4_loopback_is_preferred),
        TEST(test_service_at_the_ipv6_loopback_gets_the_first_datagram_too),
        TEST(test_refusal_met_while_sending_moves_on_too),
        TEST(test_nobody_at_either_address_is_told_and_tried_anew),
        TEST(test_datagram_too_long_is_told),
        TEST(test_strangers_are_not_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
