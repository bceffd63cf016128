/* TCP flows that are judged by address and port: opened, refused, ended, slowed down. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frame.h"
#include "harness.h"

static uint8_t *noise(size_t len)
{
    uint8_t *data = malloc(len);
    uint32_t x = 1;
    assert_non_null(data);
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        data[i] = (uint8_t)(x >> 24);
    }
    return data;
}

static void test_allowed_flow_carries_bytes_both_ways_and_is_told(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    assert_int_equal(g.state, GUEST_OPEN);
    int host = host_accept(listener);
    assert_int_equal(guest_send(&g, "ping", 4), 4);
    host_expect(host, "ping", 4);
    assert_int_equal(g.snd_una, g.snd_nxt);
    host_send(host, "pong!", 5);
    guest_expect(&g, "pong!", 5);

    const struct told *open = told_nth(&w, LN_EVENT_FLOW_OPEN, 0);
    assert_string_equal(open->protocol, "tcp");
    assert_int_equal(open->port, port);
    assert_int_equal(open->rule, 1);
    guest_finish(&g);
    host_expect_end(host);
    close(host);
    guest_hear(&g);
    assert_true(g.fin);
    settle(&w);
    const struct told *closed = told_nth(&w, LN_EVENT_FLOW_CLOSE, 0);
    assert_string_equal(closed->reason, "done");
    assert_int_equal(closed->bytes_out, 4);
    assert_int_equal(closed->bytes_in, 5);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 1);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_CLOSE), 1);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_denied_flow_is_silent_and_told_once_until_idle(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp:1"));
    struct guest g = guest_connect_host(&w, port);
    for (int i = 0; i < 5; i++) {
        pass(&w, 1000u << i);
        guest_syn(&g);
    }
    assert_int_equal(g.state, GUEST_SILENCE);
    assert_int_equal(w.n_frames, 0);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 1);
    const struct told *denied = told_nth(&w, LN_EVENT_FLOW_DENIED, 0);
    assert_int_equal(denied->port, port);
    assert_string_equal(denied->action, "deny");
    assert_string_equal(denied->reason, "default");
    pass(&w, 31000);
    guest_syn(&g);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 2);
    assert_false(host_has_connection(listener));
    world_stop(&w);
    close(listener);
}

static void test_rejected_flow_is_reset(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("reject@host:tcp", "default_egress=allow"));
    struct guest g = guest_connect_host(&w, host_closed_port());
    assert_int_equal(g.state, GUEST_RESET);
    g.state = GUEST_SILENCE;
    guest_syn(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 1);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_DENIED, 0)->action, "reject");
    world_stop(&w);
}

static void test_deny_mode_reject_resets_what_is_denied(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("deny_mode=reject"));
    struct guest g = guest_connect(&w, "192.0.2.1", 80);
    assert_int_equal(g.state, GUEST_RESET);
    world_stop(&w);
}

static void test_closed_port_looks_closed(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, host_closed_port());
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 1);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "refused");
    world_stop(&w);
}

static void test_unreachable_network_looks_unreachable(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("allow@*:tcp"));
    /* Link-local without a scope cannot be dialled from anywhere. */
    struct guest g = guest_connect(&w, "fe80::1234", 80);
    assert_int_equal(g.state, GUEST_UNREACHABLE);
    assert_int_equal(g.icmp_type, 1);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "unreachable");
    world_stop(&w);
}

static void test_syn_is_answered_only_once_the_host_is_connected(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 0);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    /* A listener with a full queue answers no SYN. */
    struct guest first = guest_connect_host(&w, port);
    struct guest second = guest_connect_host(&w, port);
    struct guest g = guest_connect_host(&w, port);
    assert_int_equal(first.state, GUEST_OPEN);
    assert_int_equal(g.state, GUEST_SILENCE);
    guest_syn(&g);
    assert_int_equal(g.state, GUEST_SILENCE);
    pass(&w, 10000);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_UNREACHABLE);
    assert_int_equal(g.icmp_type, 3);
    assert_int_equal(g.icmp_code, 1);
    const struct told *closed =
        told_nth(&w, LN_EVENT_FLOW_CLOSE, count_told(&w, LN_EVENT_FLOW_CLOSE) - 1);
    assert_string_equal(closed->reason, "connect_timeout");
    (void)second;
    world_stop(&w);
    close(listener);
}

static void test_guest_half_close_leaves_the_other_half_open(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    guest_send(&g, "request", 7);
    guest_finish(&g);
    host_expect(host, "request", 7);
    host_expect_end(host);
    assert_false(g.fin);
    host_send(host, "response", 8);
    guest_expect(&g, "response", 8);
    close(host);
    guest_hear(&g);
    assert_true(g.fin);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_host_half_close_leaves_the_other_half_open(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    host_send(host, "greeting", 8);
    assert_int_equal(shutdown(host, SHUT_WR), 0);
    guest_expect(&g, "greeting", 8);
    assert_true(g.fin);
    guest_send(&g, "still here", 10);
    host_expect(host, "still here", 10);
    guest_finish(&g);
    host_expect_end(host);
    close(host);
    /* Ours was the first FIN: the flow waits, and then is gone. */
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_CLOSE), 1);
    pass(&w, 5000);
    ln_stats stats;
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.flows_now, 0);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_resets_pass_both_ways(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    guest_reset(&g);
    host_expect_reset(host);
    close(host);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "reset_by_guest");

    g = guest_connect_host(&w, port);
    host = host_accept(listener);
    host_reset(host);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 1)->reason, "reset_by_peer");
    world_stop(&w);
    close(listener);
}

static void test_reset_after_both_fins_but_one_ack_is_passed(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    assert_int_equal(shutdown(host, SHUT_WR), 0);
    guest_hear(&g);
    assert_true(g.fin);
    host_reset(host); /* nothing is read from there any more, yet it is noticed */
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    world_stop(&w);
    close(listener);
}

static void test_slow_host_closes_the_window_and_loses_nothing(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    int small = 100000;
    size_t len = 6u << 20, read_to = 0, sent = 0;
    uint8_t *data = noise(len);
    uint8_t *got = malloc(len);
    (void)state;
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    while (sent < len) {
        size_t n = guest_send(&g, data + sent, len - sent);
        sent += n;
        if (n == 0) {
            break;
        }
    }
    assert_true(sent < len); /* the host does not read */
    assert_int_equal(g.state, GUEST_OPEN);
    for (int idle = 0; read_to < len && idle < 1000; idle++) {
        ssize_t n = recv(host, got + read_to, len - read_to, MSG_DONTWAIT);
        if (n > 0) {
            read_to += (size_t)n;
            idle = 0;
        }
        pass(&w, 5);
        guest_hear(&g);
        sent += guest_send(&g, data + sent, len - sent);
    }
    assert_int_equal(read_to, len);
    assert_memory_equal(got, data, len);
    assert_int_equal(g.snd_una, g.snd_nxt);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
    free(data);
    free(got);
}

static void test_slow_guest_leaves_bytes_with_the_host_and_loses_nothing(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    size_t len = 4u << 20, sent = 0;
    int small = 100000;
    uint8_t *data = noise(len);
    (void)state;
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    g.mute = true;
    for (int i = 0; i < 100; i++) {
        ssize_t n = send(host, data + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        settle(&w);
    }
    guest_hear(&g);
    assert_true(g.n_received <= (256u << 8)); /* not more than the guest's window */
    assert_true(sent < len);
    g.mute = false;
    guest_segment(&g, 16, g.snd_nxt, NULL, 0);
    for (int idle = 0; g.n_received < len && idle < 2000; idle++) {
        size_t before = g.n_received;
        ssize_t n = send(host, data + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        guest_hear(&g);
        idle = g.n_received > before ? 0 : idle;
    }
    guest_expect(&g, data, len);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
    free(data);
}

static void test_frames_that_the_link_lost_are_sent_again(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    w.refuse_frames = true;
    host_send(host, "lost at first", 13);
    settle(&w);
    pass(&w, 100);
    w.refuse_frames = false;
    pass(&w, 1500);
    guest_expect(&g, "lost at first", 13);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_big_segments_where_the_link_cuts_them(void **state)
{
    struct world w = {.offloads = LN_OFFLOAD_CSUM | LN_OFFLOAD_TSO};
    uint16_t port;
    int listener = host_listen(&port, 8);
    size_t len = 300000;
    uint8_t *data = noise(len);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    g.own_window = 65535;
    guest_segment(&g, 16, g.snd_nxt, NULL, 0);
    int host = host_accept(listener);
    unsigned before = w.n_frames;
    host_send(host, data, len);
    guest_expect(&g, data, len);
    assert_true(w.n_frames - before < 40);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
    free(data);
}

static void test_kernel_without_an_offset_of_peeks_carries_the_same_bytes(void **state)
{
    struct world w = {.offloads = LN_OFFLOAD_CSUM | LN_OFFLOAD_TSO, .old_kernel = true};
    uint16_t port;
    int listener = host_listen(&port, 8);
    size_t len = 1000000, sent = 0;
    uint8_t *data = noise(len);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    g.own_window = 65535; /* 16 MiB: more than may be looked past */
    guest_segment(&g, 16, g.snd_nxt, NULL, 0);
    int host = host_accept(listener);
    for (int idle = 0; g.n_received < len && idle < 500; idle++) {
        ssize_t n = sent < len ? send(host, data + sent, len - sent, MSG_DONTWAIT) : 0;
        sent += n > 0 ? (size_t)n : 0;
        if (sent == len) {
            (void)shutdown(host, SHUT_WR);
        }
        guest_hear(&g);
    }
    guest_expect(&g, data, len);
    guest_hear(&g);
    assert_true(g.fin);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
    free(data);
}

static void test_no_flow_starves_the_others_in_a_turn(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    size_t len = 1u << 20;
    uint8_t *data = noise(len);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest greedy = guest_connect_host(&w, port);
    greedy.own_window = 65535;
    guest_segment(&greedy, 16, greedy.snd_nxt, NULL, 0);
    int host = host_accept(listener);
    host_send(host, data, len);
    unsigned before = w.n_frames;
    assert_int_equal(ln_gateway_dispatch(w.gw), 0);
    assert_in_range(w.n_frames - before, 1, 64);
    guest_expect(&greedy, data, len);
    close(host);
    guest_free(&greedy);
    world_stop(&w);
    close(listener);
    free(data);
}

static void test_big_segments_of_the_guest_are_taken_whole(void **state)
{
    static uint8_t frame[65536];
    enum { BIG = 60000 };
    struct world w = {.offloads = LN_OFFLOAD_CSUM | LN_OFFLOAD_TSO};
    uint16_t port;
    int listener = host_listen(&port, 8);
    uint8_t *data = noise(BIG);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    struct guest_segment s = {
        .src = g.addr,
        .dst = g.peer,
        .src_port = g.port,
        .dst_port = port,
        .seq = g.snd_nxt,
        .ack = g.rcv_nxt,
        .flags = TCP_ACK | TCP_PSH,
        .window = 256,
    };
    size_t len = guest_tcp(frame, &s, data, BIG);
    /* As a guest does it that leaves cutting and summing to the link. */
    ln_frame big = {
        .data = frame,
        .len = len,
        .flags = LN_FRAME_CSUM_PARTIAL,
        .gso_type = LN_GSO_TCP4,
        .gso_size = 1460,
        .header_len = 54,
        .csum_start = 34,
        .csum_offset = 16,
    };
    assert_int_equal(ln_gateway_input(w.gw, &big), 0);
    g.snd_nxt += BIG;
    guest_hear(&g);
    assert_int_equal(g.snd_una, g.snd_nxt);
    host_expect(host, data, BIG);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
    free(data);
}

static void test_syn_flood_leaves_open_flows_alone(void **state)
{
    struct world w = {0};
    uint16_t port;
    ln_stats stats;
    int listener = host_listen(&port, 1024);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", "limits.half_open=16"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    for (uint16_t i = 0; i < 200; i++) {
        struct guest half = {.w = &w, .addr = w.link.guest4, .peer = w.link.gateway4};
        half.port = (uint16_t)(10000 + i);
        half.peer_port = port;
        guest_segment(&half, TCP_SYN, i, NULL, 0);
        assert_int_equal(ln_gateway_dispatch(w.gw), 0);
    }
    settle(&w);
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.half_open_now, 16);
    assert_int_equal(stats.flows_evicted, 200 - 16);
    assert_int_equal(stats.flows_now, 17);
    assert_true(told_nth(&w, LN_EVENT_LIMIT, 0)->count > 0);
    guest_send(&g, "alive", 5);
    host_expect(host, "alive", 5);
    /* All 200 were told, and all but those still half-open are told to be over. */
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 201);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_CLOSE), 200 - 16);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_gateway_by_ipv6_reaches_the_same_host(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect(&w, "fd42:6d73:62::1", port);
    assert_int_equal(g.state, GUEST_OPEN);
    int host = host_accept(listener);
    guest_send(&g, "ping", 4);
    host_expect(host, "ping", 4);
    host_send(host, "pong", 4);
    guest_expect(&g, "pong", 4);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_host_that_listens_on_ipv6_only_is_found_there(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen6(&port);
    (void)state;
    if (listener < 0) {
        skip();
    }
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    assert_int_equal(g.state, GUEST_OPEN);
    close(host_accept(listener));
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

static void test_segment_of_no_flow_is_reset(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("allow@*"));
    struct guest g = guest_connect_host(&w, host_closed_port());
    g.state = GUEST_OPEN;
    guest_segment(&g, 16, g.snd_nxt, "x", 1);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(dropped(&w, DROP_NO_FLOW), 1);
    world_stop(&w);
}

static void test_handshake_that_the_guest_does_not_finish_ends(void **state)
{
    struct world w = {0};
    uint16_t port;
    ln_stats stats;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = {.w = &w, .addr = w.link.guest4, .peer = w.link.gateway4};
    g.port = 5;
    g.peer_port = port;
    guest_segment(&g, 2, 9, NULL, 0);
    settle(&w);
    int host = host_accept(listener);
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.half_open_now, 1);
    pass(&w, 76000);
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.half_open_now, 0);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "timeout");
    host_expect_reset(host);
    close(host);
    world_stop(&w);
    close(listener);
}

static void test_dead_connection_ends_after_keepalives(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    (void)guest_connect_host(&w, port); /* never heard of again */
    int host = host_accept(listener);
    pass(&w, (15 * 60 + 12 * 75) * 1000u);
    host_expect_reset(host);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "timeout");
    close(host);
    world_stop(&w);
    close(listener);
}

static void test_dot_is_refused_at_once(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("allow@*"));
    struct guest g = guest_connect(&w, "192.0.2.1", 853);
    assert_int_equal(g.state, GUEST_RESET);
    pass(&w, 3000);
    g.state = GUEST_SILENCE;
    guest_syn(&g);
    assert_int_equal(g.state, GUEST_RESET);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 1);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_DENIED, 0)->reason, "dns_over_tls");
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed_flow_carries_bytes_both_ways_and_is_told),
        cmocka_unit_test(test_denied_flow_is_silent_and_told_once_until_idle),
        cmocka_unit_test(test_rejected_flow_is_reset),
        cmocka_unit_test(test_deny_mode_reject_resets_what_is_denied),
        cmocka_unit_test(test_closed_port_looks_closed),
        cmocka_unit_test(test_unreachable_network_looks_unreachable),
        cmocka_unit_test(test_syn_is_answered_only_once_the_host_is_connected),
        cmocka_unit_test(test_guest_half_close_leaves_the_other_half_open),
        cmocka_unit_test(test_host_half_close_leaves_the_other_half_open),
        cmocka_unit_test(test_resets_pass_both_ways),
        cmocka_unit_test(test_reset_after_both_fins_but_one_ack_is_passed),
        cmocka_unit_test(test_slow_host_closes_the_window_and_loses_nothing),
        cmocka_unit_test(test_slow_guest_leaves_bytes_with_the_host_and_loses_nothing),
        cmocka_unit_test(test_frames_that_the_link_lost_are_sent_again),
        cmocka_unit_test(test_big_segments_where_the_link_cuts_them),
        cmocka_unit_test(test_kernel_without_an_offset_of_peeks_carries_the_same_bytes),
        cmocka_unit_test(test_no_flow_starves_the_others_in_a_turn),
        cmocka_unit_test(test_big_segments_of_the_guest_are_taken_whole),
        cmocka_unit_test(test_syn_flood_leaves_open_flows_alone),
        cmocka_unit_test(test_gateway_by_ipv6_reaches_the_same_host),
        cmocka_unit_test(test_host_that_listens_on_ipv6_only_is_found_there),
        cmocka_unit_test(test_segment_of_no_flow_is_reset),
        cmocka_unit_test(test_handshake_that_the_guest_does_not_finish_ends),
        cmocka_unit_test(test_dead_connection_ends_after_keepalives),
        cmocka_unit_test(test_dot_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
