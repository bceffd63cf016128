/* TCP flows whose bytes go through an inspection: how they move, are held back, and end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "net/tcp_flow.h"

enum { HELD_MAX = 8192, BULK = 8 << 20 };

/* Changes the case of letters, and holds little. Index 0 is the host's side, 1 the guest's. */
struct swapper {
    struct inspection inspection;
    struct byte_queue in[2], out[2];
    bool ended[2];
    bool connected, opening, drops, lost, freed;
    unsigned rests;
    int fails; /* take() does, with this */
};

static struct swapper *swapper_of(const struct inspection *i)
{
    return (struct swapper *)(void *)(uintptr_t)i; /* its first member */
}

static int swap_take(struct inspection *i, bool of_guest, const uint8_t *data, size_t len)
{
    struct swapper *s = swapper_of(i);
    return s->fails != 0 ? s->fails : byte_queue_put(&s->in[of_guest], data, len);
}

static size_t swap_space(const struct inspection *i, bool of_guest)
{
    return byte_queue_space(&swapper_of(i)->in[of_guest]);
}

static void swap_ended(struct inspection *i, bool of_guest, bool by_reset)
{
    swapper_of(i)->ended[of_guest] = true;
    swapper_of(i)->lost = by_reset;
}

static int swap_connected(struct inspection *i)
{
    swapper_of(i)->connected = true;
    return 0;
}

static int swap_work(struct inspection *i)
{
    struct swapper *s = swapper_of(i);
    int moved = 0;
    if (s->lost) {
        return -ECONNRESET;
    }
    for (int side = 0; side < 2; side++) {
        struct byte_queue *in = &s->in[side], *out = &s->out[!side];
        size_t n = in->len < byte_queue_space(out) ? in->len : byte_queue_space(out);
        uint8_t *to = byte_queue_reserve(out, n);
        for (size_t k = 0; k < n; k++) {
            to[k] = byte_queue_bytes(in)[k] ^ 0x20;
        }
        byte_queue_commit(out, n);
        byte_queue_drop(in, n);
        moved |= n > 0;
    }
    return moved;
}

static struct byte_queue *swap_output(struct inspection *i, bool to_guest)
{
    return &swapper_of(i)->out[to_guest];
}

static void swap_rest(struct inspection *i)
{
    struct swapper *s = swapper_of(i);
    assert_int_equal(s->out[0].len + s->out[1].len, 0);
    s->rests++;
}

static bool swap_is_finished(const struct inspection *i, bool to_guest)
{
    const struct swapper *s = swapper_of(i);
    return s->ended[!to_guest] && s->in[!to_guest].len == 0;
}

static bool swap_drops_host(const struct inspection *i)
{
    return swapper_of(i)->drops;
}

static bool swap_is_opening(const struct inspection *i)
{
    return swapper_of(i)->opening;
}

static bool swap_rejudge(struct inspection *i)
{
    return swapper_of(i)->fails == 0;
}

static void swap_free(struct inspection *i)
{
    struct swapper *s = swapper_of(i);
    for (int side = 0; side < 2; side++) {
        byte_queue_free(&s->in[side]);
        byte_queue_free(&s->out[side]);
    }
    s->freed = true;
}

static const struct inspection_ops swap_ops = {
    .take = swap_take,
    .space = swap_space,
    .ended = swap_ended,
    .connected = swap_connected,
    .work = swap_work,
    .output = swap_output,
    .rest = swap_rest,
    .is_finished = swap_is_finished,
    .drops_host = swap_drops_host,
    .is_opening = swap_is_opening,
    .rejudge = swap_rejudge,
    .free = swap_free,
};

struct scene {
    struct world w;
    struct swapper swapper;
    struct guest g;
    int listener, host;
};

static struct tcp_flow *flow_of(const struct scene *s)
{
    struct flow *flow = s->w.gw->flows.lists[FLOW_OPEN].newest;
    assert_non_null(flow);
    return (struct tcp_flow *)(void *)flow;
}

/* An open flow, inspected from here on. */
static void begin_with(struct scene *s, ln_policy *policy)
{
    uint16_t port;
    *s = (struct scene){.swapper.inspection.ops = &swap_ops};
    for (int side = 0; side < 2; side++) {
        s->swapper.in[side].cap = s->swapper.out[side].cap = HELD_MAX;
    }
    s->listener = host_listen(&port, 8);
    int room = 65536; /* little, so that it is soon full */
    assert_int_equal(setsockopt(s->listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    world_start(&s->w, policy);
    s->g = guest_connect_host(&s->w, port);
    assert_int_equal(s->g.state, GUEST_OPEN);
    s->host = host_accept(s->listener);
    assert_int_equal(tcp_inspect_start(flow_of(s), &s->swapper.inspection, NULL, 0), 0);
    assert_true(s->swapper.connected);
}

static void begin(struct scene *s)
{
    begin_with(s, POLICY("allow@host:tcp"));
}

static void end(struct scene *s)
{
    if (s->host >= 0) {
        close(s->host);
    }
    world_stop(&s->w);
    assert_true(s->swapper.freed);
    close(s->listener);
    guest_free(&s->g);
}

static void test_bytes_of_both_sides_go_through_it(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    guest_send(&s.g, "Hello", 5);
    host_expect(s.host, "hELLO", 5);
    unsigned rests = s.swapper.rests;
    assert_true(rests > 0);
    host_send(s.host, "Answer", 6);
    guest_expect(&s.g, "aNSWER", 6);
    assert_true(s.swapper.rests > rests);
    guest_finish(&s.g);
    host_expect_end(s.host);
    host_send(s.host, "Late", 4);
    guest_expect(&s.g, "lATE", 4);
    close(s.host);
    s.host = -1;
    guest_hear(&s.g);
    assert_true(s.g.fin);
    const struct told *told = told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0);
    assert_string_equal(told->reason, "done");
    assert_int_equal(told->bytes_out, 5);
    assert_int_equal(told->bytes_in, 10);
    end(&s);
}

static void test_the_hosts_half_close_leaves_the_guests_way_open(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    host_send(s.host, "Bye", 3);
    shutdown(s.host, SHUT_WR);
    guest_expect(&s.g, "bYE", 3);
    assert_true(s.g.fin);
    guest_send(&s.g, "More", 4);
    host_expect(s.host, "mORE", 4);
    guest_finish(&s.g);
    host_expect_end(s.host);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "done");
    end(&s);
}

static void test_resets_pass_in_both_directions(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    guest_reset(&s.g);
    host_expect_reset(s.host);
    end(&s);
    begin(&s);
    host_reset(s.host);
    s.host = -1;
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "reset_by_peer");
    end(&s);
}

static uint8_t *letters(size_t len)
{
    uint8_t *data = malloc(len);
    assert_non_null(data);
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return data;
}

static void swap_all(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        data[i] ^= 0x20;
    }
}

/* The host reads all that was sent, and the gateway goes on meanwhile. */
static void host_reads_all(struct scene *s, const uint8_t *data, size_t len)
{
    static uint8_t got[65536];
    size_t at = 0;
    for (int tries = 0; at < len && tries < 2000; tries++) {
        ssize_t n = recv(s->host, got, sizeof(got), MSG_DONTWAIT);
        if (n > 0) {
            assert_memory_equal(got, data + at, (size_t)n);
            at += (size_t)n;
        } else {
            pass(&s->w, 10);
            guest_hear(&s->g);
        }
    }
    assert_int_equal(at, len);
    settle(&s->w);
}

static void test_a_guest_that_reads_nothing_holds_the_host_back(void **state)
{
    struct scene s;
    uint8_t *data = letters(BULK);
    (void)state;
    begin(&s);
    s.g.mute = true;
    size_t sent = 0;
    for (int idle = 0; idle < 3;) {
        ssize_t n = send(s.host, data + sent, BULK - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        settle(&s.w);
        idle = n > 0 ? 0 : idle + 1;
        sent += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(s.swapper.in[0].len, HELD_MAX); /* full, and no fuller */
    assert_int_equal(s.swapper.out[1].len, HELD_MAX);
    s.g.mute = false;
    size_t got = 0;
    swap_all(data, BULK);
    for (int tries = 0; got < sent && tries < 2000; tries++) {
        guest_hear(&s.g);
        pass(&s.w, 250);
        assert_memory_equal(s.g.received, data + got, s.g.n_received);
        got += s.g.n_received;
        s.g.n_received = 0;
    }
    assert_int_equal(got, sent);
    free(data);
    end(&s);
}

static void test_a_host_that_reads_nothing_closes_the_guests_window(void **state)
{
    struct scene s;
    uint8_t *data = letters(BULK);
    (void)state;
    begin(&s);
    size_t sent = 0;
    for (size_t n = 1; n > 0 && sent < BULK;) {
        n = guest_send(&s.g, data + sent, BULK - sent);
        sent += n;
    }
    assert_true(sent < BULK);
    swap_all(data, BULK);
    host_reads_all(&s, data, sent);
    free(data);
    end(&s);
}

static void test_the_end_waits_for_what_the_host_has_not_read(void **state)
{
    struct scene s;
    uint8_t *data = letters(BULK);
    (void)state;
    begin(&s);
    shutdown(s.host, SHUT_WR); /* it has said all it had to say, and reads slowly */
    guest_hear(&s.g);
    size_t sent = 0;
    for (size_t n = 1; n > 0 && sent < BULK;) {
        n = guest_send(&s.g, data + sent, BULK - sent);
        sent += n;
    }
    guest_finish(&s.g);
    swap_all(data, BULK);
    host_reads_all(&s, data, sent);
    host_expect_end(s.host);
    free(data);
    end(&s);
}

static void test_what_it_refuses_is_reset_on_both_sides(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    s.swapper.fails = -EACCES;
    guest_send(&s.g, "no", 2);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.host);
    end(&s);
    begin(&s);
    s.swapper.fails = -EACCES;
    host_send(s.host, "no", 2);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.host);
    end(&s);
}

static void test_the_host_can_be_dropped_while_the_guest_is_told(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    s.swapper.drops = s.swapper.ended[0] = true;
    byte_queue_put(&s.swapper.out[1], "sorry", 5);
    guest_send(&s.g, "x", 1);
    guest_expect(&s.g, "sorry", 5);
    assert_true(s.g.fin);
    host_expect(s.host, "X", 1);
    host_expect_reset(s.host);
    guest_finish(&s.g);
    assert_string_equal(told_nth(&s.w, LN_EVENT_FLOW_CLOSE, 0)->reason, "done");
    end(&s);
}

static void test_one_that_is_set_up_counts_as_half_open(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    s.swapper.opening = true;
    guest_send(&s.g, "x", 1);
    assert_int_equal(s.w.gw->flows.lists[FLOW_HALF_OPEN].count, 1);
    s.swapper.opening = false;
    guest_send(&s.g, "y", 1);
    assert_int_equal(s.w.gw->flows.lists[FLOW_OPEN].count, 1);
    end(&s);
}

static void test_rate_limits_hold_for_it(void **state)
{
    struct scene s;
    uint8_t *data = letters(64 << 10);
    (void)state;
    begin_with(&s, POLICY("allow@host:tcp", "rate_limit.ingress.bandwidth.size=1000",
                          "rate_limit.ingress.bandwidth.refill_ms=100"));
    host_send(s.host, data, 64 << 10);
    guest_hear(&s.g);
    size_t first = s.g.n_received;
    pass(&s.w, 1000);
    guest_hear(&s.g);
    assert_true(s.g.n_received > first);
    assert_true(s.g.n_received < first + 30000);
    free(data);
    end(&s);
}

static void test_a_reload_may_end_it(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    assert_int_equal(ln_gateway_reload(s.w.gw, s.w.policy, NULL), 0);
    guest_send(&s.g, "Still", 5);
    host_expect(s.host, "sTILL", 5);
    s.swapper.fails = -EACCES;
    assert_int_equal(ln_gateway_reload(s.w.gw, s.w.policy, NULL), 0);
    guest_hear(&s.g);
    assert_int_equal(s.g.state, GUEST_RESET);
    host_expect_reset(s.host);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_of_both_sides_go_through_it),
        cmocka_unit_test(test_the_hosts_half_close_leaves_the_guests_way_open),
        cmocka_unit_test(test_resets_pass_in_both_directions),
        cmocka_unit_test(test_a_guest_that_reads_nothing_holds_the_host_back),
        cmocka_unit_test(test_a_host_that_reads_nothing_closes_the_guests_window),
        cmocka_unit_test(test_the_end_waits_for_what_the_host_has_not_read),
        cmocka_unit_test(test_what_it_refuses_is_reset_on_both_sides),
        cmocka_unit_test(test_the_host_can_be_dropped_while_the_guest_is_told),
        cmocka_unit_test(test_one_that_is_set_up_counts_as_half_open),
        cmocka_unit_test(test_rate_limits_hold_for_it),
        cmocka_unit_test(test_a_reload_may_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
