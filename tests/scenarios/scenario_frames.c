/* A gateway's edges: what it is made from, frames that are let in or not, limits, events. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest_frame.h"
#include "harness.h"

static size_t syn_frame(uint8_t *frame, const char *src, const char *dst, uint16_t port)
{
    struct guest_segment s = {
        .src = guest_addr(src),
        .dst = guest_addr(dst),
        .src_port = 5000,
        .dst_port = port,
        .seq = 1,
        .flags = TCP_SYN,
        .window = 1000,
    };
    return guest_tcp(frame, &s, NULL, 0);
}

static void put_syn(struct world *w, const char *src, const char *dst)
{
    uint8_t frame[256];
    put(w, frame, syn_frame(frame, src, dst, 80));
    settle(w);
}

/* ---- what a gateway is made from ---- */

static int no_frame(void *user, const ln_frame *frame)
{
    (void)user;
    (void)frame;
    return 0;
}

static int make(ln_policy *policy, uint32_t slot, uint32_t mtu, ln_error *error)
{
    ln_gateway *gw = NULL;
    ln_config config = {.size = sizeof(config),
                        .policy = policy,
                        .slot = slot,
                        .mtu = mtu,
                        .resolv_conf = "/dev/null"};
    ln_host host = {.size = sizeof(host), .send_frame = no_frame};
    int r = ln_gateway_new(&config, &host, NULL, &gw, error);
    ln_gateway_free(gw);
    ln_policy_unref(policy);
    return r;
}

static void test_slot_decides_addresses_and_macs(void **state)
{
    struct world w = {.slot = 0x1234};
    static const uint8_t gateway_mac[6] = {0x02, 0x6c, 0x75, 0x12, 0x34, 1};
    static const uint8_t guest_mac[6] = {0x02, 0x6c, 0x75, 0x12, 0x34, 2};
    char text[LN_ADDR_TEXT_MAX];
    (void)state;
    world_start(&w, POLICY("allow@host"));
    ln_addr_format(&w.link.gateway4, text);
    assert_string_equal(text, "172.16.72.209"); /* 4 * 0x1234 + 1 */
    ln_addr_format(&w.link.guest4, text);
    assert_string_equal(text, "172.16.72.210");
    ln_addr_format(&w.link.gateway6, text);
    assert_string_equal(text, "fd42:6d73:62:1234::1");
    ln_addr_format(&w.link.guest6, text);
    assert_string_equal(text, "fd42:6d73:62:1234::2");
    assert_int_equal(w.link.bits4, 30);
    assert_int_equal(w.link.bits6, 64);
    assert_memory_equal(w.link.gateway_mac, gateway_mac, 6);
    assert_memory_equal(w.link.guest_mac, guest_mac, 6);
    world_stop(&w);
}

static void test_pool_without_the_slot_is_an_error_that_names_it(void **state)
{
    ln_error error = {0};
    (void)state;
    assert_int_equal(make(POLICY("ipv4_pool=10.0.0.0/24"), 63, 0, &error), 0);
    assert_int_equal(make(POLICY("ipv4_pool=10.0.0.0/24"), 64, 0, &error), -ERANGE);
    assert_non_null(strstr(error.message, "ipv4_pool"));
    assert_int_equal(make(POLICY("ipv6_pool=fd00::/60"), 16, 0, &error), -ERANGE);
    assert_non_null(strstr(error.message, "ipv6_pool"));
    assert_int_equal(make(POLICY("default_egress=deny"), 65536, 0, &error), -EINVAL);
}

static void test_mtu_out_of_range_is_an_error(void **state)
{
    ln_error error = {0};
    (void)state;
    assert_int_equal(make(POLICY("default_egress=deny"), 0, 1279, &error), -EINVAL);
    assert_int_equal(make(POLICY("default_egress=deny"), 0, 65521, &error), -EINVAL);
    assert_int_equal(make(POLICY("default_egress=deny"), 0, 65520, &error), 0);
    assert_int_equal(make(POLICY("default_egress=deny"), 0, 1280, &error), 0);
}

static void test_forbidden_destinations_reach_nobody(void **state)
{
    static const char *const v4[] = {"127.0.0.1", "0.0.0.0", "0.1.2.3", "240.0.0.1",
                                     "255.255.255.255"};
    static const char *const v6[] = {"::1", "::"};
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    for (size_t i = 0; i < 5; i++) {
        put_syn(&w, "172.16.0.2", v4[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        put_syn(&w, "fd42:6d73:62::2", v6[i]);
    }
    assert_int_equal(w.n_frames, 0);
    assert_int_equal(dropped(&w, DROP_DESTINATION), 7);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 0);
    world_stop(&w);
}

static void test_source_that_is_not_the_guests_is_dropped(void **state)
{
    struct world w = {0};
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    put_syn(&w, "172.16.0.3", "192.0.2.1");
    put_syn(&w, "172.16.0.1", "192.0.2.1");
    put_syn(&w, "8.8.8.8", "192.0.2.1");
    put_syn(&w, "2001:db8::7", "2001:db8::1");
    assert_int_equal(dropped(&w, DROP_SOURCE), 4);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 0);
    world_stop(&w);
}

static void test_frames_that_are_no_plain_ip_are_dropped(void **state)
{
    struct world w = {0};
    uint8_t frame[256], tagged[260];
    size_t len = syn_frame(frame, "172.16.0.2", "172.16.0.1", 80);
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    memcpy(tagged, frame, 12); /* 802.1Q before the EtherType */
    memcpy(tagged + 12, "\x81\x00\x00\x01", 4);
    memcpy(tagged + 16, frame + 12, len - 12);
    put(&w, tagged, len + 4);
    put_be16(frame + 12, (uint16_t)(len - 14)); /* a length: LLC */
    put(&w, frame, len);
    put_be16(frame + 12, 0x88f8);
    put(&w, frame, len);
    put(&w, frame, 5);
    settle(&w);
    assert_int_equal(dropped(&w, DROP_VLAN), 1);
    assert_int_equal(dropped(&w, DROP_LLC), 1);
    assert_int_equal(dropped(&w, DROP_ETHERTYPE), 1);
    assert_int_equal(dropped(&w, DROP_TRUNCATED), 1);
    assert_int_equal(w.n_frames, 0);
    world_stop(&w);
}

static void test_tcp_and_echo_do_not_go_to_many(void **state)
{
    struct world w = {0};
    uint8_t frame[256];
    ln_addr guest = guest_addr("172.16.0.2"), group = guest_addr("224.0.0.9");
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    size_t len = syn_frame(frame, "172.16.0.2", "224.0.0.9", 80);
    for (int i = 0; i < 2; i++) {
        memcpy(frame, "\x01\x00\x5e\x00\x00\x09", 6);
        put(&w, frame, len);
        len = guest_icmp(frame, &guest, &group, 8, 0, 7, "x", 1);
    }
    settle(&w);
    assert_int_equal(dropped(&w, DROP_DESTINATION), 2);
    world_stop(&w);
}

static void test_names_that_bypass_the_resolver_are_dropped(void **state)
{
    static const uint16_t ports[] = {137, 138, 853, 5353, 5355};
    struct world w = {0};
    uint8_t frame[256];
    ln_addr guest = guest_addr("172.16.0.2"), peer = guest_addr("192.0.2.1");
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    for (size_t i = 0; i < 5; i++) {
        put(&w, frame, guest_udp(frame, &guest, 4000, &peer, ports[i], "x", 1));
    }
    settle(&w);
    assert_int_equal(dropped(&w, DROP_LOCAL_NAME), 5);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_OPEN), 0);
    world_stop(&w);
}

static void test_arp_and_neighbours_are_answered(void **state)
{
    struct world w = {0};
    uint8_t arp[42] = {0};
    (void)state;
    world_start(&w, POLICY("default_egress=deny"));
    memset(arp, 0xff, 6);
    memcpy(arp + 6, w.link.guest_mac, 6);
    memcpy(arp + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);
    memcpy(arp + 22, w.link.guest_mac, 6);
    memcpy(arp + 28, "\xac\x10\x00\x02", 4);
    memcpy(arp + 38, "\xac\x10\x00\x01", 4);
    put(&w, arp, sizeof(arp));
    struct heard *h = next_heard(&w);
    assert_non_null(h);
    assert_int_equal(h->ethertype, ETHERTYPE_ARP);
    world_stop(&w);
}

static void test_router_is_advertised_every_hour(void **state)
{
    (void)state;
    struct world w = {0};
    world_start(&w, POLICY("deny@*"));
    pass(&w, 3599 * 1000);
    assert_null(next_heard(&w));
    pass(&w, 1000);
    const struct heard *h = next_heard(&w);
    assert_non_null(h);
    assert_int_equal(h->protocol, 58);
    assert_int_equal(h->type, 134);
    world_stop(&w);
}

static void test_answers_go_to_the_mac_last_seen(void **state)
{
    struct world w = {0};
    uint8_t frame[256];
    size_t len = syn_frame(frame, "172.16.0.2", "192.0.2.1", 80);
    (void)state;
    world_start(&w, POLICY("default_egress=reject"));
    memcpy(frame + 6, "\x02\x00\x00\x00\x00\x99", 6);
    put(&w, frame, len);
    settle(&w);
    struct heard *h = next_heard(&w);
    assert_non_null(h);
    assert_memory_equal(h->to, "\x02\x00\x00\x00\x00\x99", 6);
    world_stop(&w);
}

/* ---- drops, limits, events ---- */

static void test_drops_are_told_once_a_second_with_their_number(void **state)
{
    struct world w = {0};
    uint64_t told = 0;
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    for (int i = 0; i < 100; i++) {
        put_syn(&w, "172.16.0.3", "192.0.2.1");
    }
    assert_int_equal(count_told(&w, LN_EVENT_DROP), 1);
    pass(&w, 1000);
    assert_int_equal(count_told(&w, LN_EVENT_DROP), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(told_nth(&w, LN_EVENT_DROP, i)->reason, "source");
        told += told_nth(&w, LN_EVENT_DROP, i)->count;
    }
    assert_int_equal(told, 100);
    pass(&w, 5000);
    assert_int_equal(count_told(&w, LN_EVENT_DROP), 2);
    put_syn(&w, "172.16.0.3", "192.0.2.1");
    assert_int_equal(count_told(&w, LN_EVENT_DROP), 3);
    world_stop(&w);
}

static void test_events_that_nobody_took_are_counted_and_told(void **state)
{
    struct world w = {0};
    ln_stats stats;
    (void)state;
    world_start(&w, POLICY("default_egress=deny"));
    w.refuse_events = true;
    for (uint16_t port = 1; port <= 3; port++) {
        (void)guest_connect(&w, "192.0.2.1", port);
    }
    w.refuse_events = false;
    (void)guest_connect(&w, "192.0.2.1", 4);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_DENIED), 1);
    assert_int_equal(told_nth(&w, LN_EVENT_FLOW_DENIED, 0)->lost, 3);
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.events_lost, 3);
    assert_int_equal(stats.flows_denied, 4);
    world_stop(&w);
}

static void test_what_was_only_counted_is_told_at_the_end(void **state)
{
    struct world w = {0};
    uint64_t told = 0;
    (void)state;
    world_start(&w, POLICY("default_egress=allow"));
    for (int i = 0; i < 10; i++) {
        put_syn(&w, "172.16.0.3", "192.0.2.1");
    }
    w.gw = ln_gateway_free(w.gw);
    for (unsigned i = 0; i < count_told(&w, LN_EVENT_DROP); i++) {
        told += told_nth(&w, LN_EVENT_DROP, i)->count;
    }
    assert_int_equal(told, 10);
    world_stop(&w);
}

static void test_full_house_refuses_new_flows_and_keeps_the_old(void **state)
{
    struct world w = {0};
    struct guest g[3];
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", "max_connections=2"));
    for (int i = 0; i < 3; i++) {
        g[i] = guest_connect_host(&w, port);
    }
    assert_int_equal(g[0].state, GUEST_OPEN);
    assert_int_equal(g[1].state, GUEST_OPEN);
    assert_int_equal(g[2].state, GUEST_SILENCE);
    assert_int_equal(count_told(&w, LN_EVENT_LIMIT), 1);
    assert_string_equal(told_nth(&w, LN_EVENT_LIMIT, 0)->reason, "max_connections");
    int host = host_accept(listener);
    guest_send(&g[0], "alive", 5);
    host_expect(host, "alive", 5);
    guest_reset(&g[1]);
    guest_syn(&g[2]);
    assert_int_equal(g[2].state, GUEST_OPEN);
    close(host);
    for (int i = 0; i < 3; i++) {
        guest_free(&g[i]);
    }
    world_stop(&w);
    close(listener);
}

static void test_full_house_ends_what_the_guest_has_deserted(void **state)
{
    struct world w = {0};
    struct guest g[3];
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", "max_connections=2"));
    g[0] = guest_connect_host(&w, port);
    g[1] = guest_connect_host(&w, port);
    pass(&w, 3000);
    g[2] = guest_connect_host(&w, port);
    assert_int_equal(g[2].state, GUEST_SILENCE);
    for (int i = 0; i < 5; i++) {
        guest_hear(&g[0]); /* asked, it answers; the other does not */
        guest_segment(&g[0], TCP_ACK, g[0].snd_nxt, NULL, 0);
        pass(&w, 200);
    }
    guest_syn(&g[2]);
    assert_int_equal(g[2].state, GUEST_OPEN);
    guest_hear(&g[0]);
    guest_hear(&g[1]);
    assert_int_equal(g[0].state, GUEST_OPEN);
    assert_int_equal(g[1].state, GUEST_RESET);
    assert_string_equal(told_nth(&w, LN_EVENT_FLOW_CLOSE, 0)->reason, "timeout");
    for (int i = 0; i < 3; i++) {
        guest_free(&g[i]);
    }
    world_stop(&w);
    close(listener);
}

static void test_flow_in_time_wait_makes_room(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp", "max_connections=1"));
    struct guest g = guest_connect_host(&w, port);
    close(host_accept(listener)); /* the host's FIN comes first: our side waits */
    guest_hear(&g);
    guest_finish(&g);
    assert_int_equal(count_told(&w, LN_EVENT_FLOW_CLOSE), 1);
    struct guest next = guest_connect_host(&w, port);
    assert_int_equal(next.state, GUEST_OPEN);
    guest_free(&g);
    guest_free(&next);
    world_stop(&w);
    close(listener);
}

static void test_scan_of_denied_ports_makes_one_event_each_and_bounded_memory(void **state)
{
    struct world w = {0};
    uint8_t frame[256];
    (void)state;
    world_start(&w, POLICY("default_egress=deny"));
    for (uint16_t port = 1; port <= 3000; port++) {
        put(&w, frame, syn_frame(frame, "172.16.0.2", "192.0.2.1", port));
    }
    settle(&w);
    unsigned by_name = 2; /* 53 is the resolver's, 853 is told too */
    assert_in_range(count_told(&w, LN_EVENT_FLOW_DENIED), 3000 - by_name, 3000);
    ln_stats stats;
    ln_gateway_stats(w.gw, &stats);
    assert_int_equal(stats.flows_denied, count_told(&w, LN_EVENT_FLOW_DENIED));
    assert_in_range(stats.flows_now, 0, 1);
    world_stop(&w);
}

static void test_descriptor_tells_that_a_frame_put_in_is_to_be_answered(void **state)
{
    struct world w = {0};
    uint16_t port;
    int listener = host_listen(&port, 8);
    (void)state;
    world_start(&w, POLICY("allow@host:tcp"));
    struct guest g = guest_connect_host(&w, port);
    int host = host_accept(listener);
    settle(&w);
    unsigned before = w.n_frames;
    guest_segment(&g, TCP_ACK, g.snd_nxt, "data", 4); /* its ACK is owed */
    assert_true(gateway_is_readable(&w));
    assert_int_equal(ln_gateway_dispatch(w.gw), 0);
    assert_int_equal(w.n_frames, before + 1);
    close(host);
    guest_free(&g);
    world_stop(&w);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_decides_addresses_and_macs),
        cmocka_unit_test(test_pool_without_the_slot_is_an_error_that_names_it),
        cmocka_unit_test(test_mtu_out_of_range_is_an_error),
        cmocka_unit_test(test_forbidden_destinations_reach_nobody),
        cmocka_unit_test(test_source_that_is_not_the_guests_is_dropped),
        cmocka_unit_test(test_frames_that_are_no_plain_ip_are_dropped),
        cmocka_unit_test(test_tcp_and_echo_do_not_go_to_many),
        cmocka_unit_test(test_names_that_bypass_the_resolver_are_dropped),
        cmocka_unit_test(test_arp_and_neighbours_are_answered),
        cmocka_unit_test(test_router_is_advertised_every_hour),
        cmocka_unit_test(test_answers_go_to_the_mac_last_seen),
        cmocka_unit_test(test_drops_are_told_once_a_second_with_their_number),
        cmocka_unit_test(test_events_that_nobody_took_are_counted_and_told),
        cmocka_unit_test(test_what_was_only_counted_is_told_at_the_end),
        cmocka_unit_test(test_full_house_refuses_new_flows_and_keeps_the_old),
        cmocka_unit_test(test_full_house_ends_what_the_guest_has_deserted),
        cmocka_unit_test(test_flow_in_time_wait_makes_room),
        cmocka_unit_test(test_scan_of_denied_ports_makes_one_event_each_and_bounded_memory),
        cmocka_unit_test(test_descriptor_tells_that_a_frame_put_in_is_to_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
