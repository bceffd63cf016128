/* The TCP endpoint, one behaviour at a time: a script plays the guest, segment by segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stack/tcp_harness.h"

enum {
    GUEST_SCALE = 7,
    GUEST_MSS = 1460,
    WIDE = 1024 /* a window of 128 KiB under GUEST_SCALE */
};

static struct world *w;

static int setup(void **state)
{
    (void)state;
    w = world_new(false);
    w->rcv_scale = 7;
    return 0;
}

static int setup6(void **state)
{
    (void)state;
    w = world_new(true);
    w->rcv_scale = 7;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_free(w);
    return 0;
}

/* ---- the guest's part ---- */

/* A segment whose text starts at `at` of the guest's stream, and which acknowledges the endpoint's
 * up to `acks`. */
static enum drop_reason say_window(uint8_t flags, uint32_t at, uint32_t acks, uint16_t window,
                                   size_t len)
{
    static uint8_t payload[65536];
    stream_fill(TO_FAR, at, payload, len);
    struct guest_segment s = world_segment(w, flags, w->irs + 1 + at, w->iss + 1 + acks, window);
    return world_input(w, &s, payload, len);
}

static enum drop_reason say(uint8_t flags, uint32_t at, uint32_t acks, size_t len)
{
    return say_window(flags, at, acks, WIDE, len);
}

static void say_syn_with(const uint8_t *options, size_t options_len, size_t payload_len)
{
    struct guest_segment s = world_segment(w, TCP_SYN, w->irs, 0, 65535);
    s.options = options;
    s.options_len = options_len;
    uint8_t payload[100];
    stream_fill(TO_FAR, 0, payload, payload_len);
    struct packet p;
    assert_true(world_describe(w, &s, payload, payload_len, &p));
    if (w->ep->link == NULL) {
        assert_int_equal(tcp_accept(w->ep, &w->link, &w->far.far, &p), 0);
    } else {
        assert_int_equal(tcp_input(w->ep, &p), DROP_NONE);
    }
}

static const uint8_t usual_options[8] = {2, 4, 0x05, 0xb4, 1, 3, 3, GUEST_SCALE};

static void say_syn(void)
{
    say_syn_with(usual_options, sizeof(usual_options), 0);
}

/* SYN, SYN-ACK, ACK. */
static void open_connection(void)
{
    say_syn();
    tcp_connected(w->ep);
    assert_int_equal(say(TCP_ACK, 0, 0, 0), DROP_NONE);
    world_flush(w);
    assert_int_equal(w->ep->state, TCP_OPEN);
    world_forget(w);
}

/* The far side has `len` bytes more. */
static void far_has(uint64_t len)
{
    w->far.has += len;
    tcp_far_readable(w->ep);
}

static void far_ends(void)
{
    w->far.ends = true;
    tcp_far_readable(w->ep);
}

static void far_has_room(size_t room)
{
    w->far.room = room;
    tcp_far_writable(w->ep);
    world_flush(w);
}

/* ---- what was sent ---- */

static const struct seen *last(void)
{
    assert_true(w->n_seen > 0);
    return &w->seen[w->n_seen - 1];
}

static uint32_t seq_at(const struct seen *s)
{
    return s->seq - w->iss - 1;
}

static uint32_t ack_at(const struct seen *s)
{
    return s->ack - w->irs - 1;
}

static uint32_t window_of(const struct seen *s)
{
    return (uint32_t)s->window << w->rcv_scale;
}

#define assert_sent(count) assert_int_equal(w->n_seen, count)

static void assert_segment(unsigned i, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
    assert_true(i < w->n_seen);
    const struct seen *s = &w->seen[i];
    assert_int_equal(s->flags & ~TCP_PSH, flags);
    assert_int_equal(seq_at(s), seq);
    assert_int_equal(ack_at(s), ack);
    assert_int_equal(s->len, len);
}

static void assert_last(uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
    assert_segment(w->n_seen - 1, flags, seq, ack, len);
}

static void assert_closed(enum tcp_end end)
{
    assert_int_equal(w->far.closed, 1);
    assert_int_equal(w->far.end, end);
}

/* ---- opening ---- */

static void test_syn_is_answered_when_the_far_side_is_connected(void **state)
{
    (void)state;
    say_syn();
    say_syn(); /* repeated */
    world_flush(w);
    world_wait(w, 10 * SECOND_NS);
    assert_sent(0);
    tcp_connected(w->ep);
    assert_sent(1);
    assert_int_equal(last()->flags, TCP_SYN | TCP_ACK);
    assert_int_equal(last()->ack, w->irs + 1);
    assert_int_equal(last()->mss, 1460);
    assert_int_equal(last()->scale, 7);
    assert_int_equal(last()->window, 65535);
    assert_int_equal(w->far.opened, 0);
    assert_int_equal(say(TCP_ACK, 0, 0, 0), DROP_NONE);
    assert_int_equal(w->far.opened, 1);
    world_flush(w);
    assert_sent(1);
}

static void test_syn_ack_offers_what_fits_the_mtu(void **state)
{
    (void)state;
    w->link.mtu = 65520;
    say_syn();
    tcp_connected(w->ep);
    assert_int_equal(last()->mss, 65460);
}

static void test_windows_are_not_scaled_unless_the_guest_scales(void **state)
{
    (void)state;
    say_syn_with(usual_options, 4, 0);
    w->rcv_scale = 0;
    tcp_connected(w->ep);
    assert_int_equal(last()->scale, -1);
    say(TCP_ACK, 0, 0, 0);
    say(TCP_ACK, 0, 0, 5000);
    world_flush(w);
    assert_int_equal(last()->window, 65535);
    assert_int_equal(w->ep->snd_wnd, WIDE); /* as it stands in the segment */
}

static void test_refusal_answers_the_syn_with_rst(void **state)
{
    (void)state;
    say_syn();
    tcp_refuse(w->ep);
    assert_sent(1);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_int_equal(last()->seq, 0);
    assert_int_equal(last()->ack, w->irs + 1);
    assert_closed(TCP_END_REFUSED);
}

static void test_abort_while_the_syn_is_held_says_nothing(void **state)
{
    (void)state;
    say_syn();
    tcp_abort(w->ep);
    assert_sent(0);
    assert_closed(TCP_END_FAR);
}

static void test_another_syn_replaces_the_one_held(void **state)
{
    (void)state;
    say_syn();
    w->irs += 77777;
    say_syn_with(usual_options, 4, 0);
    tcp_connected(w->ep);
    assert_int_equal(last()->ack, w->irs + 1);
    assert_int_equal(last()->scale, -1);
    w->rcv_scale = 0;
    say(TCP_ACK, 0, 0, 0);
    assert_int_equal(w->ep->snd_wnd, WIDE);
}

static void test_syn_ack_is_repeated_ever_more_seldom(void **state)
{
    (void)state;
    say_syn();
    tcp_connected(w->ep);
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 32};
    for (unsigned i = 0; i < 6; i++) {
        world_wait(w, seconds[i] * SECOND_NS - MS_NS);
        assert_sent(i + 1);
        world_wait(w, MS_NS);
        assert_sent(i + 2);
        assert_int_equal(last()->flags, TCP_SYN | TCP_ACK);
    }
    world_wait(w, 12 * SECOND_NS); /* 75 s in all */
    assert_sent(8);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_repeated_syn_is_answered_again(void **state)
{
    (void)state;
    say_syn();
    tcp_connected(w->ep);
    say_syn();
    assert_sent(2);
    assert_int_equal(last()->flags, TCP_SYN | TCP_ACK);
}

static void test_syn_held_too_long_ends(void **state)
{
    (void)state;
    say_syn();
    world_wait(w, 75 * SECOND_NS);
    assert_sent(0);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_handshake_with_a_wrong_ack_is_reset(void **state)
{
    (void)state;
    say_syn();
    tcp_connected(w->ep);
    static const uint32_t wrong[] = {1, 0xffffffff, 1000, 0x80000000};
    for (unsigned i = 0; i < 4; i++) {
        world_forget(w);
        assert_int_equal(say(TCP_ACK, 0, wrong[i], 0), DROP_STATE);
        assert_sent(1);
        assert_int_equal(last()->flags, TCP_RST);
        assert_int_equal(seq_at(last()), wrong[i]);
    }
    assert_int_equal(w->ep->state, TCP_SYN_RECEIVED);
    assert_int_equal(say(TCP_ACK, 0, 0, 0), DROP_NONE);
    assert_int_equal(w->ep->state, TCP_OPEN);
}

static void test_text_of_a_syn_is_left_to_come_again(void **state)
{
    (void)state;
    say_syn_with(usual_options, 8, 10);
    tcp_connected(w->ep);
    assert_int_equal(last()->ack, w->irs + 1);
    assert_int_equal(say(TCP_ACK, 0, 0, 10), DROP_NONE);
    assert_int_equal(w->far.taken, 10);
}

static void test_ack_of_the_handshake_may_bring_text_and_fin(void **state)
{
    (void)state;
    say_syn();
    tcp_connected(w->ep);
    assert_int_equal(say(TCP_ACK | TCP_FIN, 0, 0, 10), DROP_NONE);
    assert_int_equal(w->far.opened, 1);
    assert_int_equal(w->far.taken, 10);
    assert_int_equal(w->far.finished, 1);
    world_flush(w);
    assert_last(TCP_ACK, 0, 11, 0);
}

static void test_malformed_options_are_passed_over(void **state)
{
    (void)state;
    static const uint8_t bad[][8] = {
        {2, 4, 0x05, 0xb4, 3, 0, 0, 0}, /* option of length 0 */
        {2, 4, 0x05, 0xb4, 3, 9, 7, 0}, /* beyond the end */
        {2, 4, 0x05, 0xb4, 3, 2, 0, 0}, /* scale without its byte */
        {2, 4, 0x05, 0xb4, 0, 3, 3, 7}, /* behind the end of the list */
        {1, 1, 1, 1, 1, 1, 1, 3},       /* cut short */
        {8, 10, 0, 0, 0, 0, 0, 0},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tcp_fini(w->ep);
        *w->ep = (struct tcp_endpoint){0};
        say_syn_with(bad[i], 8, 0);
        assert_false(w->ep->scaled);
        assert_int_equal(w->ep->mss, i < 4 ? 1460 : 536);
    }
}

static void test_segment_sizes_are_kept_within_reason(void **state)
{
    (void)state;
    static const struct {
        uint16_t asked, used;
    } cases[] = {{0, 64}, {1, 64}, {63, 64}, {64, 64}, {536, 536}, {1460, 1460}, {65535, 1460}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t options[4] = {2, 4, (uint8_t)(cases[i].asked >> 8), (uint8_t)cases[i].asked};
        tcp_fini(w->ep);
        *w->ep = (struct tcp_endpoint){0};
        say_syn_with(options, 4, 0);
        assert_int_equal(w->ep->mss, cases[i].used);
    }
}

static void test_window_scale_is_kept_within_reason(void **state)
{
    (void)state;
    static const uint8_t options[4] = {1, 3, 3, 15};
    say_syn_with(options, 4, 0);
    assert_int_equal(w->ep->snd_scale, 14); /* RFC 7323 section 2.3 */
}

static void test_repeated_handshake_gives_no_round_trip_sample(void **state)
{
    (void)state;
    say_syn();
    tcp_connected(w->ep);
    world_wait(w, 2 * SECOND_NS);
    say(TCP_ACK, 0, 0, 0);
    assert_int_equal(w->ep->srtt_us, 0);
}

static void test_initial_numbers_differ_by_connection_and_by_time(void **state)
{
    (void)state;
    say_syn();
    uint32_t first = w->ep->iss;
    tcp_fini(w->ep);
    *w->ep = (struct tcp_endpoint){0};
    w->now_ns += 4 * MS_NS;
    say_syn();
    assert_int_equal(w->ep->iss, first + 1000); /* one every 4 us */
    tcp_fini(w->ep);
    *w->ep = (struct tcp_endpoint){0};
    w->address.guest_port++;
    say_syn();
    assert_true(w->ep->iss - first > 100000 && first - w->ep->iss > 100000);
}

/* ---- opening towards the guest ---- */

static void connect_guest(void)
{
    assert_int_equal(tcp_connect(w->ep, &w->link, &w->far.far, &w->address), 0);
}

static enum drop_reason answer_syn(uint8_t flags, uint32_t ack)
{
    struct guest_segment s = world_segment(w, flags, w->irs, ack, 65535);
    s.options = usual_options;
    s.options_len = (flags & TCP_SYN) != 0 ? 8 : 0;
    return world_input(w, &s, NULL, 0);
}

static void test_server_of_the_guest_is_called(void **state)
{
    (void)state;
    connect_guest();
    assert_sent(1);
    assert_int_equal(last()->flags, TCP_SYN);
    assert_int_equal(last()->ack, 0);
    assert_int_equal(last()->scale, 7);
    assert_int_equal(answer_syn(TCP_SYN | TCP_ACK, w->iss + 1), DROP_NONE);
    assert_int_equal(w->far.opened, 1);
    world_flush(w);
    assert_sent(2);
    assert_last(TCP_ACK, 0, 0, 0);
    far_has(100);
    assert_last(TCP_ACK, 0, 0, 100);
    assert_int_equal(say(TCP_ACK, 0, 100, 50), DROP_NONE);
    assert_int_equal(w->far.taken, 50);
    assert_int_equal(w->far.discarded, 100);
}

static void test_guest_may_refuse_a_call(void **state)
{
    (void)state;
    connect_guest();
    assert_int_equal(answer_syn(TCP_RST, 0), DROP_STATE); /* not ours: it acknowledges nothing */
    assert_int_equal(answer_syn(TCP_RST | TCP_ACK, w->iss + 7), DROP_STATE);
    assert_int_equal(w->far.closed, 0);
    assert_int_equal(answer_syn(TCP_RST | TCP_ACK, w->iss + 1), DROP_NONE);
    assert_closed(TCP_END_REFUSED);
    assert_sent(1);
}

static void test_call_is_repeated_and_given_up(void **state)
{
    (void)state;
    connect_guest();
    world_wait(w, 70 * SECOND_NS);
    assert_sent(7);
    assert_int_equal(last()->flags, TCP_SYN);
    world_wait(w, 5 * SECOND_NS);
    assert_int_equal(last()->flags, TCP_RST);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_stale_answer_to_a_call_is_reset(void **state)
{
    (void)state;
    connect_guest();
    assert_int_equal(answer_syn(TCP_SYN | TCP_ACK, w->iss + 2), DROP_STATE);
    assert_int_equal(last()->flags, TCP_RST);
    assert_int_equal(last()->seq, w->iss + 2);
    assert_int_equal(answer_syn(TCP_ACK, w->iss + 1), DROP_STATE);
    assert_int_equal(answer_syn(TCP_SYN, 0), DROP_STATE);
    assert_int_equal(w->ep->state, TCP_SYN_SENT);
}

static void test_call_can_be_aborted(void **state)
{
    (void)state;
    connect_guest();
    tcp_abort(w->ep);
    assert_int_equal(last()->flags, TCP_RST);
    assert_int_equal(last()->seq, w->iss + 1);
    assert_closed(TCP_END_FAR);
}

/* ---- from the guest ---- */

static void test_text_is_acknowledged_once_a_turn(void **state)
{
    (void)state;
    open_connection();
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(say(TCP_ACK, i * 100, 0, 100), DROP_NONE);
    }
    assert_sent(0);
    world_flush(w);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 500, 0);
    assert_int_equal(w->far.taken, 500);
    world_flush(w);
    assert_sent(1);
}

static void test_text_for_the_guest_takes_the_ack_along(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK, 0, 0, 100);
    far_has(10);
    world_flush(w);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 100, 10);
}

static void test_half_used_window_is_renewed_beside_text(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK, 0, 0, 40000);
    far_has(10);
    world_flush(w);
    assert_sent(2);
    assert_last(TCP_ACK, 10, 40000, 0);
    assert_true(window_of(last()) > 900000);
}

static void test_super_segments_are_taken_whole(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK, 0, 0, 60000);
    world_flush(w);
    assert_last(TCP_ACK, 0, 60000, 0);
    assert_int_equal(w->far.writes, 1);
    assert_int_equal(window_of(last()), ((1u << 20) - 60000) / 128 * 128);
}

static void test_window_reaches_megabytes(void **state)
{
    (void)state;
    open_connection();
    w->far.room = 64 << 20;
    say(TCP_ACK, 0, 0, 1000);
    world_flush(w);
    assert_int_equal(window_of(last()), 65535u << 7);
}

static void test_repeated_text_is_taken_once(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK, 0, 0, 100);
    say(TCP_ACK, 0, 0, 100);  /* the same */
    say(TCP_ACK, 50, 0, 100); /* half of it */
    say(TCP_ACK, 20, 0, 20);  /* within */
    say(TCP_ACK, 0, 0, 200);  /* around it */
    assert_int_equal(w->far.taken, 200);
    world_flush(w);
    assert_last(TCP_ACK, 0, 200, 0);
}

static void test_every_segment_behind_a_hole_is_answered_at_once(void **state)
{
    (void)state;
    open_connection();
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(say(TCP_ACK, i * 100, 0, 100), DROP_NONE);
        assert_sent(i);
        assert_last(TCP_ACK, 0, 0, 0);
    }
    assert_int_equal(w->far.writes, 0);
    say(TCP_ACK, 0, 0, 100);
    world_flush(w);
    assert_last(TCP_ACK, 0, 100, 0); /* nothing was kept */
}

static void test_text_beyond_the_window_is_not_taken(void **state)
{
    (void)state;
    w->far.room = 1000;
    open_connection();
    say(TCP_ACK, 0, 0, 1400);
    assert_int_equal(w->far.taken, 1000);
    world_flush(w);
    assert_last(TCP_ACK, 0, 1000, 0);
    assert_int_equal(last()->window, 0);
    w->far.room = 5000;
    assert_int_equal(say(TCP_ACK, 1000, 0, 1000), DROP_NONE); /* a probe with text */
    assert_int_equal(w->far.taken, 1000);
    world_flush(w);
    assert_true(window_of(last()) > 4800);
    say(TCP_ACK, 1000, 0, 400);
    assert_int_equal(w->far.taken, 1400);
}

static void test_text_wholly_outside_the_window_is_acknowledged_only(void **state)
{
    (void)state;
    open_connection();
    assert_int_equal(say(TCP_ACK, 2000000, 0, 100), DROP_STATE);
    assert_int_equal(say(TCP_ACK, (uint32_t)-500, 0, 100), DROP_STATE);
    world_flush(w);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 0);
    assert_int_equal(w->far.writes, 0);
}

static void test_closed_window_opens_when_the_far_side_tells(void **state)
{
    (void)state;
    w->far.room = 5000;
    open_connection();
    say(TCP_ACK, 0, 0, 5000);
    world_flush(w);
    assert_int_equal(last()->window, 0);
    far_has_room(100000);
    assert_sent(2);
    assert_true(window_of(last()) > 99000);
}

static void test_closed_window_opens_although_the_far_side_does_not_tell(void **state)
{
    (void)state;
    w->far.room = 5000;
    open_connection();
    say(TCP_ACK, 0, 0, 5000);
    world_flush(w);
    world_wait(w, 500 * MS_NS);
    assert_sent(1);
    w->far.room = 100000;
    world_wait(w, 256 * MS_NS);
    assert_sent(2);
    assert_true(window_of(last()) > 99000);
    world_wait(w, 10 * SECOND_NS); /* and nobody looks any more */
    assert_sent(2);
    assert_int_equal(w->ep->look_ns, TIMER_NEVER);
}

static void test_silly_windows_are_not_offered(void **state)
{
    (void)state;
    w->far.room = 5000;
    open_connection();
    say(TCP_ACK, 0, 0, 4000);
    world_flush(w);
    assert_int_equal(window_of(last()), 896); /* what is left, rounded down to 128 */
    for (size_t room = 1000; room < 1000 + 2920; room += 100) {
        far_has_room(room);
    }
    assert_sent(1);
    far_has_room(1000 + 2920 + 128);
    assert_sent(2);
}

static void test_space_too_small_to_be_said_is_not_told_of(void **state)
{
    (void)state;
    w->far.room = 5000;
    open_connection();
    say(TCP_ACK, 0, 0, 5000);
    world_flush(w);
    far_has_room(100); /* less than a window of this scale can say */
    world_wait(w, 60 * SECOND_NS);
    assert_sent(1);
    far_has_room(128);
    assert_sent(2);
    assert_int_equal(last()->window, 1);
}

static void test_far_side_that_takes_less_than_offered_gets_it_again(void **state)
{
    (void)state;
    w->far.room = 1000;
    w->far.promises = 100000;
    open_connection();
    say(TCP_ACK, 0, 0, 1400);
    assert_int_equal(w->far.taken, 1000);
    world_flush(w);
    assert_last(TCP_ACK, 0, 1000, 0);
    unsigned before = w->n_seen;
    for (uint32_t i = 0; i < 5; i++) { /* what was under way already */
        say(TCP_ACK, 1400 + i * 1000, 0, 1000);
    }
    world_flush(w);
    assert_int_equal(w->n_seen, before); /* asking now would bring it too early */
    w->far.promises = 0;
    world_wait(w, 20 * MS_NS);
    assert_int_equal(w->n_seen, before);
    far_has_room(50000);
    assert_int_equal(w->n_seen, before + 4);
    for (unsigned i = 1; i < 4; i++) { /* three duplicates: the guest sends it at once */
        assert_segment(before + i, TCP_ACK, 0, 1000, 0);
        assert_int_equal(w->seen[before + i].window, w->seen[before].window);
    }
    say(TCP_ACK, 1000, 0, 400);
    assert_int_equal(w->far.taken, 1400);
    assert_false(w->ep->starved);
}

static void test_asking_again_waits_for_a_full_link(void **state)
{
    (void)state;
    open_connection();
    w->far.room = 0;
    say(TCP_ACK, 0, 0, 1400);
    world_flush(w);
    world_forget(w);
    w->full = true;
    far_has_room(10000);
    w->full = false;
    world_wait(w, 300 * MS_NS);
    assert_sent(4);
}

static void test_far_side_that_is_full_without_warning_is_looked_at_again(void **state)
{
    (void)state;
    open_connection();
    w->far.room = 0;
    say(TCP_ACK, 0, 0, 1400);
    world_flush(w);
    world_forget(w);
    world_wait(w, 100 * MS_NS);
    assert_sent(0);
    w->far.room = 10000; /* and does not tell */
    world_wait(w, 64 * MS_NS);
    assert_sent(4);
    assert_last(TCP_ACK, 0, 0, 0);
}

static void test_fin_that_does_not_fit_waits_for_the_text_before_it(void **state)
{
    (void)state;
    w->far.room = 1000;
    open_connection();
    say(TCP_ACK | TCP_FIN, 0, 0, 1400);
    assert_int_equal(w->far.taken, 1000);
    assert_int_equal(w->far.finished, 0);
    far_has_room(100000);
    world_flush(w);
    say(TCP_ACK | TCP_FIN, 0, 0, 1400);
    assert_int_equal(w->far.taken, 1400);
    assert_int_equal(w->far.finished, 1);
    world_flush(w);
    assert_last(TCP_ACK, 0, 1401, 0);
}

static void test_fin_fits_a_closed_window(void **state)
{
    (void)state;
    w->far.room = 1000;
    open_connection();
    say(TCP_ACK, 0, 0, 1000);
    say(TCP_ACK | TCP_FIN, 1000, 0, 0);
    assert_int_equal(w->far.finished, 1);
    world_flush(w);
    assert_last(TCP_ACK, 0, 1001, 0);
    assert_int_equal(last()->window, 0);
}

static void test_failing_far_side_resets(void **state)
{
    (void)state;
    open_connection();
    w->far.write_error = -EPIPE;
    assert_int_equal(say(TCP_ACK, 0, 0, 10), DROP_NONE);
    assert_last(TCP_RST | TCP_ACK, 0, 0, 0);
    assert_closed(TCP_END_FAR);
}

/* ---- to the guest ---- */

static void test_text_is_cut_into_segments(void **state)
{
    (void)state;
    open_connection();
    far_has(4000);
    assert_sent(3);
    assert_segment(0, TCP_ACK, 0, 0, 1460);
    assert_segment(1, TCP_ACK, 1460, 0, 1460);
    assert_segment(2, TCP_ACK, 2920, 0, 1080);
    assert_int_equal(last()->flags & TCP_PSH, TCP_PSH);
    assert_int_equal(w->seen[0].flags & TCP_PSH, 0);
    say(TCP_ACK, 0, 4000, 0);
    assert_int_equal(w->far.discarded, 4000);
    assert_int_equal(w->ep->retransmit_ns, TIMER_NEVER);
}

static void test_link_that_cuts_gets_super_segments(void **state)
{
    (void)state;
    w->link.csum_offload = w->link.tso = true;
    open_connection();
    far_has(100000);
    assert_sent(2);
    assert_segment(0, TCP_ACK, 0, 0, 44 * 1460); /* whole segments */
    assert_segment(1, TCP_ACK, 44 * 1460, 0, 100000 - 44 * 1460);
    assert_int_equal(w->seen[0].gso_size, 1460);
    far_has(1000);
    assert_int_equal(last()->len, 1000);
    assert_int_equal(last()->gso_size, 0);
}

static void test_super_segments_are_whole_segments(void **state)
{
    (void)state;
    w->link.csum_offload = w->link.tso = true;
    open_connection();
    say_window(TCP_ACK, 0, 0, 40, 0); /* 5120 bytes */
    far_has(100000);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 4380);
}

static void test_text_keeps_to_the_guests_window(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 40, 0); /* 5120 bytes */
    far_has(100000);
    assert_int_equal(seq_at(last()) + last()->len, 4380); /* three segments: 740 would be silly */
    world_forget(w);
    say_window(TCP_ACK, 0, 1460, 40, 0);
    assert_sent(1);
    assert_last(TCP_ACK, 4380, 0, 1460);
}

static void test_window_smaller_than_a_segment_is_used_when_nothing_is_in_flight(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 5, 0); /* 640 bytes */
    far_has(100000);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 640);
    say_window(TCP_ACK, 0, 640, 5, 0);
    assert_sent(2);
    assert_last(TCP_ACK, 640, 0, 640);
}

static void test_closed_window_of_the_guest_is_probed(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 0, 0);
    far_has(1000);
    assert_sent(0);
    uint64_t wait_ns = 200 * MS_NS; /* the round trip was quick */
    for (unsigned i = 0; i < 30; i++) {
        world_wait(w, wait_ns);
        assert_int_equal(w->n_seen, i + 1);
        assert_last(TCP_ACK, (uint32_t)-1, 0, 0);
        say_window(TCP_ACK, 0, 0, 0, 0);
        wait_ns = wait_ns * 2 < 60 * SECOND_NS ? wait_ns * 2 : 60 * SECOND_NS;
    }
    assert_int_equal(w->far.closed, 0);
    world_forget(w);
    say(TCP_ACK, 0, 0, 0);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 1000);
    say(TCP_ACK, 0, 1000, 0);
    world_forget(w);
    world_wait(w, 600 * SECOND_NS);
    assert_sent(0);
}

static void test_guest_that_answers_no_probe_is_given_up(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 0, 0);
    far_has(1000);
    world_wait(w, 600 * SECOND_NS);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_bytes_that_keep_coming_do_not_put_off_the_probe(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 0, 0);
    for (unsigned i = 0; i < 10; i++) {
        far_has(1000);
        world_wait(w, 100 * MS_NS);
    }
    assert_true(w->n_seen >= 2);
    assert_int_equal(w->far.peeks, 2); /* one in the handshake */
}

static void test_guest_that_takes_all_but_keeps_its_window_closed_is_probed(void **state)
{
    (void)state;
    open_connection();
    far_has(2920);
    say_window(TCP_ACK, 0, 1460, 0, 0);
    world_wait(w, 5 * SECOND_NS); /* the timeout finds it closed */
    say_window(TCP_ACK, 0, 2920, 0, 0);
    far_has(1000);
    world_forget(w);
    world_wait(w, 5 * SECOND_NS);
    assert_true(w->n_seen > 0);
    assert_last(TCP_ACK, 2919, 0, 0);
    say(TCP_ACK, 0, 2920, 0);
    assert_last(TCP_ACK, 2920, 0, 1000);
}

static void test_closed_window_with_nothing_to_send_is_not_probed(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 0, 0);
    tcp_far_readable(w->ep);
    world_wait(w, 600 * SECOND_NS);
    assert_sent(0);
}

static void test_fin_waits_for_an_open_window(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 0, 0);
    far_ends();
    assert_sent(0);
    say(TCP_ACK, 0, 0, 0);
    assert_last(TCP_ACK | TCP_FIN, 0, 0, 0);
}

static void test_window_that_shrinks_is_borne(void **state)
{
    (void)state;
    open_connection();
    far_has(14600);
    assert_sent(10);
    say_window(TCP_ACK, 0, 1460, 0, 0); /* takes nothing of the rest */
    world_forget(w);
    world_wait(w, 5 * SECOND_NS); /* the timeout finds it closed */
    for (unsigned i = 0; i < w->n_seen; i++) {
        assert_segment(i, TCP_ACK, 1460 - 1, 0, 0);
    }
    world_forget(w);
    say(TCP_ACK, 0, 1460, 0);
    assert_segment(0, TCP_ACK, 1460, 0, 1460);
    say(TCP_ACK, 0, 14600, 0);
    assert_int_equal(w->far.discarded, 14600);
}

static void test_old_window_does_not_replace_a_newer_one(void **state)
{
    (void)state;
    open_connection();
    say_window(TCP_ACK, 0, 0, 100, 50);
    say_window(TCP_ACK, 0, 0, 7, 10); /* overtaken on the way */
    assert_int_equal(w->ep->snd_wnd, 100 << GUEST_SCALE);
}

static void test_third_duplicate_ack_sends_again(void **state)
{
    (void)state;
    open_connection();
    far_has(14600);
    world_forget(w);
    say(TCP_ACK, 0, 0, 0);
    say(TCP_ACK, 0, 0, 0);
    assert_sent(0);
    say(TCP_ACK, 0, 0, 0);
    assert_segment(0, TCP_ACK, 0, 0, 1460);
    unsigned again = w->n_seen;
    for (unsigned i = 0; i < 20; i++) { /* of what is in flight twice now */
        say(TCP_ACK, 0, 0, 0);
    }
    assert_int_equal(w->n_seen, again);
    say(TCP_ACK, 0, 14600, 0);
    assert_int_equal(w->far.discarded, 14600);
    assert_false(w->ep->recovering);
}

static void test_duplicates_count_in_a_row_only(void **state)
{
    (void)state;
    open_connection();
    far_has(14600);
    world_forget(w);
    for (uint32_t i = 0; i < 5; i++) {
        say(TCP_ACK, 0, i * 1460, 0);
        say(TCP_ACK, 0, i * 1460, 0);
    }
    assert_sent(0);
}

static void test_loss_halves_what_may_be_in_flight(void **state)
{
    (void)state;
    open_connection();
    far_has(29200);
    for (unsigned i = 0; i < 3; i++) {
        say(TCP_ACK, 0, 0, 0);
    }
    assert_int_equal(w->ep->cwnd, 14600);
    assert_int_equal(w->ep->snd_nxt - w->ep->snd_una, 14600);
    say(TCP_ACK, 0, 29200, 0);
    assert_true(w->ep->cwnd <= 14600 + 2 * 1460 + 1); /* and grows slowly from there */
}

static void test_acks_with_text_or_another_window_are_no_duplicates(void **state)
{
    (void)state;
    open_connection();
    far_has(14600);
    world_forget(w);
    for (uint32_t i = 0; i < 6; i++) {
        say_window(TCP_ACK, i, 0, (uint16_t)(WIDE + i), 0);
        say_window(TCP_ACK, i, 0, (uint16_t)(WIDE + i), 1);
    }
    for (unsigned i = 0; i < w->n_seen; i++) {
        assert_int_equal(w->seen[i].len, 0);
    }
}

static void test_duplicates_after_a_timeout_start_nothing_new(void **state)
{
    (void)state;
    open_connection();
    far_has(14600);
    world_wait(w, 200 * MS_NS);
    world_forget(w);
    for (unsigned i = 0; i < 5; i++) {
        say(TCP_ACK, 0, 0, 0);
    }
    assert_sent(0);
    say(TCP_ACK, 0, 14600, 0);
    far_has(14600);
    world_forget(w);
    for (unsigned i = 0; i < 3; i++) { /* but a new loss does */
        say(TCP_ACK, 0, 14600, 0);
    }
    assert_segment(0, TCP_ACK, 14600, 0, 1460);
}

static void test_timeout_sends_again_ever_more_seldom_and_gives_up(void **state)
{
    (void)state;
    open_connection();
    far_has(100);
    uint64_t wait_ns = 200 * MS_NS;
    for (unsigned i = 0; i < 15; i++) {
        world_wait(w, wait_ns - MS_NS);
        assert_sent(i + 1);
        world_wait(w, MS_NS);
        assert_sent(i + 2);
        assert_last(TCP_ACK, 0, 0, 100);
        wait_ns = wait_ns * 2 < 60 * SECOND_NS ? wait_ns * 2 : 60 * SECOND_NS;
    }
    world_wait(w, wait_ns);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_ack_ends_the_back_off(void **state)
{
    (void)state;
    open_connection();
    far_has(100);
    world_wait(w, 5 * SECOND_NS);
    say(TCP_ACK, 0, 100, 0);
    world_forget(w);
    far_has(100);
    world_wait(w, 200 * MS_NS);
    assert_sent(2);
}

static void test_timeout_begins_with_one_segment(void **state)
{
    (void)state;
    open_connection();
    far_has(60000);
    world_forget(w);
    world_wait(w, 200 * MS_NS);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 1460);
    say(TCP_ACK, 0, 1460, 0); /* the rest was lost too: twice as much at each answer */
    assert_sent(3);
    assert_segment(1, TCP_ACK, 1460, 0, 1460);
    assert_segment(2, TCP_ACK, 2920, 0, 1460);
}

static void test_repeated_segments_give_no_round_trip_sample(void **state)
{
    (void)state;
    open_connection();
    uint32_t before = w->ep->srtt_us;
    far_has(100);
    world_wait(w, 3 * SECOND_NS);
    say(TCP_ACK, 0, 100, 0);
    assert_int_equal(w->ep->srtt_us, before);
    far_has(100);
    world_wait(w, 100 * MS_NS);
    say(TCP_ACK, 0, 200, 0);
    assert_true(w->ep->srtt_us > before);
}

static void test_full_link_is_tried_again_soon(void **state)
{
    (void)state;
    w->far.room = 60000; /* as much as the handshake has offered */
    open_connection();
    w->full = true;
    far_has(3000);
    assert_int_equal(w->refused, 1);
    world_wait(w, 1 * MS_NS);
    assert_int_equal(w->refused, 2);
    world_wait(w, 2 * MS_NS);
    assert_int_equal(w->refused, 3);
    assert_int_equal(w->ep->retries, 0);
    w->full = false;
    world_wait(w, 4 * MS_NS);
    assert_sent(3);
    assert_segment(0, TCP_ACK, 0, 0, 1460);
    w->full = true;
    say(TCP_ACK, 0, 3000, 100);
    world_flush(w);
    w->full = false;
    world_wait(w, 1 * MS_NS);
    assert_last(TCP_ACK, 3000, 100, 0); /* ACKs too */
    world_forget(w);
    world_wait(w, 10 * SECOND_NS);
    assert_sent(0);
}

static void test_link_that_stays_full_is_tried_ever_more_seldom(void **state)
{
    (void)state;
    w->far.room = 60000; /* as much as the handshake has offered */
    open_connection();
    w->full = true;
    far_has(3000);
    world_wait(w, 60 * SECOND_NS);
    assert_true(w->refused < 60 * 4 + 10);
    assert_true(w->refused > 60 * 3);
}

static void test_full_link_delays_the_handshake_little(void **state)
{
    (void)state;
    say_syn();
    w->full = true;
    tcp_connected(w->ep);
    world_wait(w, 20 * MS_NS);
    w->full = false;
    world_wait(w, 12 * MS_NS);
    assert_sent(1);
    assert_int_equal(last()->flags, TCP_SYN | TCP_ACK);
}

static void test_far_side_without_bytes_is_left_alone(void **state)
{
    (void)state;
    open_connection();
    far_has(100);
    unsigned peeks = w->far.peeks;
    for (uint32_t i = 0; i < 10; i++) {
        say(TCP_ACK, i * 10, 0, 10);
    }
    assert_int_equal(w->far.peeks, peeks);
    say(TCP_ACK, 100, 100, 0); /* what is acknowledged may bring more into reach */
    assert_int_equal(w->far.peeks, peeks + 1);
}

static void test_far_side_that_fails_to_read_resets(void **state)
{
    (void)state;
    open_connection();
    w->far.peek_error = -ECONNRESET;
    tcp_far_readable(w->ep);
    assert_last(TCP_RST | TCP_ACK, 0, 0, 0);
    assert_closed(TCP_END_FAR);
}

static void test_congestion_window_bounds_what_is_in_flight(void **state)
{
    (void)state;
    w->link.csum_offload = w->link.tso = true;
    open_connection();
    say_window(TCP_ACK, 0, 0, 65535, 0);
    far_has(1 << 30);
    uint32_t flight = seq_at(last()) + last()->len;
    assert_true(flight <= 1 << 20 && flight > 1000000);
    for (unsigned i = 0; i < 40; i++) {
        say_window(TCP_ACK, 0, seq_at(last()) + last()->len, 65535, 0);
    }
    flight = w->ep->snd_max - w->ep->snd_una;
    assert_true(flight <= 8 << 20 && flight > 7 << 20); /* the guest's window by now */
}

/* ---- closing ---- */

static void test_guest_closes_first(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK | TCP_FIN, 0, 0, 10);
    world_flush(w);
    assert_last(TCP_ACK, 0, 11, 0);
    assert_int_equal(w->far.finished, 1);
    far_has(5000); /* half closed: the other half goes on */
    say(TCP_ACK, 11, 5000, 0);
    assert_int_equal(w->far.discarded, 5000);
    far_ends();
    assert_last(TCP_ACK | TCP_FIN, 5000, 11, 0);
    assert_int_equal(w->far.closed, 0);
    say(TCP_ACK, 11, 5001, 0);
    assert_closed(TCP_END_DONE);
    assert_int_equal(w->ep->state, TCP_CLOSED);
    assert_int_equal(w->far.ended, 0);
}

static void test_far_side_closes_first(void **state)
{
    (void)state;
    open_connection();
    w->far.has = 100;
    far_ends();
    assert_segment(0, TCP_ACK, 0, 0, 100);
    assert_last(TCP_ACK | TCP_FIN, 100, 0, 0);
    say(TCP_ACK, 0, 101, 0);
    assert_int_equal(w->far.discarded, 100);
    say(TCP_ACK, 0, 101, 5000); /* half closed: the other half goes on */
    assert_int_equal(w->far.taken, 5000);
    say(TCP_ACK | TCP_FIN, 5000, 101, 0);
    world_flush(w);
    assert_last(TCP_ACK, 101, 5001, 0);
    assert_closed(TCP_END_DONE);
    assert_int_equal(w->ep->state, TCP_TIME_WAIT);
    world_wait(w, 2 * SECOND_NS);
    assert_int_equal(w->far.ended, 1);
    assert_int_equal(w->ep->state, TCP_CLOSED);
}

static void test_both_close_at_once(void **state)
{
    (void)state;
    open_connection();
    far_ends();
    say(TCP_ACK | TCP_FIN, 0, 0, 0); /* crossed ours */
    world_flush(w);
    assert_last(TCP_ACK, 1, 1, 0);
    assert_int_equal(w->far.finished, 1);
    assert_int_equal(w->far.closed, 0);
    say(TCP_ACK, 1, 1, 0);
    assert_closed(TCP_END_DONE);
    assert_int_equal(w->ep->state, TCP_TIME_WAIT);
}

static void test_lost_fin_is_sent_again(void **state)
{
    (void)state;
    open_connection();
    w->far.has = 100;
    far_ends();
    say(TCP_ACK, 0, 100, 0); /* the text arrived */
    world_forget(w);
    world_wait(w, 200 * MS_NS);
    assert_sent(1);
    assert_last(TCP_ACK | TCP_FIN, 100, 0, 0);
    say(TCP_ACK, 0, 101, 0);
    world_forget(w);
    world_wait(w, 100 * SECOND_NS);
    assert_sent(0);
}

static void test_text_and_fin_lost_together_are_sent_again(void **state)
{
    (void)state;
    open_connection();
    w->far.has = 100;
    far_ends();
    world_forget(w);
    world_wait(w, 200 * MS_NS);
    assert_last(TCP_ACK, 0, 0, 100);
    say(TCP_ACK, 0, 100, 0);
    assert_last(TCP_ACK | TCP_FIN, 100, 0, 0);
}

static void test_text_behind_the_guests_fin_is_ignored(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK | TCP_FIN, 0, 0, 10);
    say(TCP_ACK, 11, 0, 10);
    say(TCP_ACK, 10, 0, 10);
    say(TCP_ACK | TCP_FIN, 21, 0, 0);
    assert_int_equal(w->far.taken, 10);
    assert_int_equal(w->far.finished, 1);
    world_flush(w);
    assert_last(TCP_ACK, 0, 11, 0);
}

static void test_repeated_fin_is_acknowledged_again(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK | TCP_FIN, 0, 0, 10);
    world_flush(w);
    world_forget(w);
    assert_int_equal(say(TCP_ACK | TCP_FIN, 0, 0, 10), DROP_STATE);
    world_flush(w);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 11, 0);
    assert_int_equal(w->far.finished, 1);
}

static void reach_time_wait(void)
{
    open_connection();
    far_ends();
    say(TCP_ACK | TCP_FIN, 0, 1, 0);
    world_flush(w);
    assert_int_equal(w->ep->state, TCP_TIME_WAIT);
    world_forget(w);
}

static void test_time_wait_repeats_the_last_ack(void **state)
{
    (void)state;
    reach_time_wait();
    world_wait(w, 1900 * MS_NS);
    assert_int_equal(say(TCP_ACK | TCP_FIN, 0, 1, 0), DROP_NONE);
    world_flush(w);
    assert_last(TCP_ACK, 1, 1, 0);
    world_wait(w, 1900 * MS_NS); /* and waits anew */
    assert_int_equal(w->ep->state, TCP_TIME_WAIT);
    assert_int_equal(say(TCP_RST, 1, 0, 0), DROP_STATE); /* not cut short (RFC 1337) */
    assert_int_equal(say(TCP_ACK, 1, 1, 10), DROP_STATE);
    assert_int_equal(w->ep->state, TCP_TIME_WAIT);
    world_wait(w, 100 * MS_NS);
    assert_int_equal(w->far.ended, 1);
}

static void test_time_wait_gives_way_to_a_newer_syn(void **state)
{
    (void)state;
    reach_time_wait();
    struct packet p;
    struct guest_segment s = world_segment(w, TCP_SYN, w->irs + 3, 0, 1000);
    assert_true(world_describe(w, &s, NULL, 0, &p));
    assert_true(tcp_reusable(w->ep, &p));
    s.seq = w->irs;
    assert_true(world_describe(w, &s, NULL, 0, &p));
    assert_false(tcp_reusable(w->ep, &p));
}

static void test_open_connection_gives_way_to_no_syn(void **state)
{
    (void)state;
    open_connection();
    struct packet p;
    struct guest_segment s = world_segment(w, TCP_SYN, w->irs + 1000, 0, 1000);
    assert_true(world_describe(w, &s, NULL, 0, &p));
    assert_false(tcp_reusable(w->ep, &p));
}

/* ---- resets and nonsense ---- */

static void test_exact_rst_ends_in_every_state(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        world_free(w);
        w = world_new(false);
        w->rcv_scale = 7;
        uint32_t at = 0;
        if (i == 0) {
            say_syn();
        } else if (i == 1) {
            say_syn();
            tcp_connected(w->ep);
        } else {
            open_connection();
        }
        if (i == 3) {
            say(TCP_ACK | TCP_FIN, 0, 0, 0);
            at = 1;
        } else if (i == 4) {
            far_ends();
        } else if (i == 5) {
            far_ends();
            say(TCP_ACK, 0, 1, 0);
        }
        world_flush(w);
        world_forget(w);
        assert_int_equal(say(TCP_RST, at, 0, 0), DROP_NONE);
        assert_closed(TCP_END_GUEST);
        assert_sent(0);
    }
}

static void test_rst_elsewhere_in_the_window_is_challenged(void **state)
{
    (void)state;
    open_connection();
    assert_int_equal(say(TCP_RST, 100, 0, 0), DROP_STATE);
    world_flush(w);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 0);
    world_wait(w, SECOND_NS);
    assert_int_equal(say(TCP_RST, 1 << 30, 0, 0), DROP_STATE); /* outside: not even answered */
    assert_int_equal(say(TCP_RST, (uint32_t)-1, 0, 0), DROP_STATE);
    world_flush(w);
    assert_sent(1);
    assert_int_equal(w->far.closed, 0);
}

static void test_syn_in_an_open_connection_is_challenged(void **state)
{
    (void)state;
    open_connection();
    static const uint32_t at[] = {0, 100, (uint32_t)-1, 1 << 30};
    for (unsigned i = 0; i < 4; i++) {
        world_forget(w);
        world_wait(w, SECOND_NS);
        assert_int_equal(say(i % 2 == 0 ? TCP_SYN : TCP_SYN | TCP_ACK, at[i], 0, 0), DROP_STATE);
        world_flush(w);
        assert_sent(1);
        assert_last(TCP_ACK, 0, 0, 0);
    }
    assert_int_equal(w->far.closed, 0);
}

static void test_impossible_acks_are_challenged(void **state)
{
    (void)state;
    open_connection();
    far_has(100);
    world_forget(w);
    assert_int_equal(say(TCP_ACK, 0, 101, 10), DROP_STATE); /* of what was not sent */
    world_flush(w);
    assert_sent(1);
    world_wait(w, 100 * MS_NS);
    assert_int_equal(say(TCP_ACK, 0, (uint32_t)-200000, 10),
                     DROP_STATE); /* older than any window */
    world_flush(w);
    assert_sent(2);
    assert_int_equal(w->far.taken, 0);
    assert_int_equal(say(TCP_ACK, 0, (uint32_t)-100, 10), DROP_NONE); /* merely old */
    assert_int_equal(w->far.taken, 10);
}

static void test_nonsense_is_answered_at_a_bounded_rate(void **state)
{
    (void)state;
    open_connection();
    for (unsigned i = 0; i < 1000; i++) {
        say(TCP_ACK, (uint32_t)-1, 0, 0);
        say(TCP_SYN, 5, 0, 0);
        say(TCP_RST, 7, 0, 0);
        say(TCP_ACK, 0, 1000, 0);
        world_flush(w);
        world_wait(w, MS_NS);
    }
    assert_true(w->n_seen <= 11);
    assert_true(w->n_seen >= 9);
}

static void test_abort_resets_the_guest(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK, 0, 0, 10);
    far_has(10);
    tcp_abort(w->ep);
    assert_last(TCP_RST | TCP_ACK, 10, 10, 0);
    assert_closed(TCP_END_FAR);
    assert_int_equal(say(TCP_ACK, 0, 0, 10), DROP_STATE);
    tcp_abort(w->ep);
    assert_int_equal(w->far.closed, 1);
}

static void test_forgotten_endpoint_says_nothing(void **state)
{
    (void)state;
    open_connection();
    say(TCP_ACK, 0, 0, 10);
    tcp_fini(w->ep);
    world_flush(w);
    world_wait(w, 10000 * SECOND_NS);
    assert_sent(0);
    assert_int_equal(w->far.closed, 0);
}

static void test_owed_acks_survive_an_end_in_between(void **state)
{
    (void)state;
    static const struct tcp_endpoint none;
    static struct tcp_endpoint others[3];
    static struct script_far far;
    far = (struct script_far){.far.ops = &script_ops, .room = 1000};
    open_connection();
    say(TCP_ACK, 0, 0, 10);
    for (unsigned i = 0; i < 3; i++) {
        struct packet p;
        struct guest_segment s = world_segment(w, TCP_SYN, 7, 0, 1000);
        others[i] = none;
        s.src_port = (uint16_t)(1000 + i);
        assert_true(world_describe(w, &s, NULL, 0, &p));
        w->address.guest_port = s.src_port;
        w->iss_known = false;
        assert_int_equal(tcp_accept(&others[i], &w->link, &far.far, &p), 0);
        tcp_connected(&others[i]);
        s = world_segment(w, TCP_ACK, 8, w->iss + 1, 1000);
        assert_true(world_describe(w, &s, NULL, 0, &p));
        assert_int_equal(tcp_input(&others[i], &p), DROP_NONE);
        s = world_segment(w, TCP_ACK, 7, w->iss + 1, 1000);
        assert_true(world_describe(w, &s, NULL, 0, &p));
        assert_int_equal(tcp_input(&others[i], &p), DROP_STATE);
    }
    assert_ptr_equal(w->link.dirty, &others[2]);
    tcp_fini(&others[1]);
    tcp_fini(&others[2]);
    tcp_fini(&others[0]);
    assert_ptr_equal(w->link.dirty, w->ep);
    w->address.guest_port = 50000;
    world_forget(w);
    world_flush(w);
    assert_sent(1);
    assert_int_equal(ack_at(last()), 10);
}

static void reset_of(uint8_t flags, size_t len)
{
    struct packet p;
    struct guest_segment s = world_segment(w, flags, 5000, 7000, 100);
    uint8_t payload[10] = {0};
    assert_true(world_describe(w, &s, payload, len, &p));
    world_forget(w);
    tcp_reset_packet(&w->link, &p);
}

static void test_segment_of_no_connection_is_reset(void **state)
{
    (void)state;
    reset_of(TCP_ACK, 10);
    assert_int_equal(last()->flags, TCP_RST);
    assert_int_equal(last()->seq, 7000);
    reset_of(TCP_SYN, 0);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_int_equal(last()->seq, 0);
    assert_int_equal(last()->ack, 5001);
    reset_of(TCP_SYN, 10);
    assert_int_equal(last()->ack, 5011);
    reset_of(TCP_RST, 0);
    reset_of(TCP_RST | TCP_ACK, 0);
    assert_sent(0);
}

/* ---- silence ---- */

static void test_silent_guest_is_asked_and_given_up(void **state)
{
    (void)state;
    open_connection();
    world_wait(w, 900 * SECOND_NS - MS_NS);
    assert_sent(0);
    world_wait(w, MS_NS);
    assert_sent(1);
    assert_last(TCP_ACK, (uint32_t)-1, 0, 0);
    world_wait(w, 75 * SECOND_NS);
    assert_sent(2);
    say(TCP_ACK, 0, 0, 0); /* it lives */
    world_wait(w, 899 * SECOND_NS);
    assert_sent(2);
    world_wait(w, (1 + 8 * 75) * SECOND_NS);
    assert_sent(11);
    assert_int_equal(w->far.closed, 0);
    world_wait(w, 75 * SECOND_NS);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_keepalive_of_the_guest_is_answered(void **state)
{
    (void)state;
    open_connection();
    assert_int_equal(say(TCP_ACK, (uint32_t)-1, 0, 0), DROP_STATE);
    world_flush(w);
    assert_sent(1);
    assert_last(TCP_ACK, 0, 0, 0);
    assert_int_equal(say(TCP_ACK, (uint32_t)-1, 0, 1), DROP_STATE); /* the old kind, with a byte */
    world_flush(w);
    assert_sent(2);
}

static void test_idle_connection_ends(void **state)
{
    (void)state;
    open_connection();
    for (unsigned i = 0; i < 7; i++) { /* 2 h 4 min without text, though the guest lives */
        world_wait(w, 1000 * SECOND_NS);
        say(TCP_ACK, 0, 0, 0);
    }
    assert_int_equal(w->far.closed, 0);
    world_wait(w, 440 * SECOND_NS);
    assert_int_equal(last()->flags, TCP_RST | TCP_ACK);
    assert_closed(TCP_END_TIMEOUT);
}

static void test_text_either_way_is_no_idleness(void **state)
{
    (void)state;
    open_connection();
    for (uint32_t i = 0; i < 20; i++) {
        world_wait(w, 800 * SECOND_NS);
        if (i % 2 == 0) {
            say(TCP_ACK, i / 2 * 10, i / 2 * 10, 10);
        } else {
            far_has(10);
            say(TCP_ACK, (i + 1) / 2 * 10, (i + 1) / 2 * 10, 0);
        }
    }
    assert_int_equal(w->far.closed, 0);
}

static void test_text_to_the_guest_is_no_idleness(void **state)
{
    (void)state;
    open_connection();
    for (uint32_t i = 1; i <= 20; i++) {
        world_wait(w, 800 * SECOND_NS);
        far_has(10);
        say(TCP_ACK, 0, i * 10, 0);
    }
    assert_int_equal(w->far.closed, 0);
}

static void test_endpoint_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct tcp_endpoint) <= 320);
}

#define UNIT(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define UNIT6(name) cmocka_unit_test_setup_teardown(name, setup6, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_syn_is_answered_when_the_far_side_is_connected),
        UNIT6(test_syn_ack_offers_what_fits_the_mtu),
        UNIT(test_windows_are_not_scaled_unless_the_guest_scales),
        UNIT(test_refusal_answers_the_syn_with_rst),
        UNIT(test_abort_while_the_syn_is_held_says_nothing),
        UNIT(test_another_syn_replaces_the_one_held),
        UNIT(test_syn_ack_is_repeated_ever_more_seldom),
        UNIT(test_repeated_syn_is_answered_again),
        UNIT(test_syn_held_too_long_ends),
        UNIT(test_handshake_with_a_wrong_ack_is_reset),
        UNIT(test_text_of_a_syn_is_left_to_come_again),
        UNIT(test_ack_of_the_handshake_may_bring_text_and_fin),
        UNIT(test_malformed_options_are_passed_over),
        UNIT(test_segment_sizes_are_kept_within_reason),
        UNIT(test_window_scale_is_kept_within_reason),
        UNIT(test_repeated_handshake_gives_no_round_trip_sample),
        UNIT(test_initial_numbers_differ_by_connection_and_by_time),
        UNIT(test_server_of_the_guest_is_called),
        UNIT(test_guest_may_refuse_a_call),
        UNIT(test_call_is_repeated_and_given_up),
        UNIT(test_stale_answer_to_a_call_is_reset),
        UNIT(test_call_can_be_aborted),
        UNIT(test_text_is_acknowledged_once_a_turn),
        UNIT(test_text_for_the_guest_takes_the_ack_along),
        UNIT(test_half_used_window_is_renewed_beside_text),
        UNIT(test_super_segments_are_taken_whole),
        UNIT(test_window_reaches_megabytes),
        UNIT(test_repeated_text_is_taken_once),
        UNIT(test_every_segment_behind_a_hole_is_answered_at_once),
        UNIT(test_text_beyond_the_window_is_not_taken),
        UNIT(test_text_wholly_outside_the_window_is_acknowledged_only),
        UNIT(test_closed_window_opens_when_the_far_side_tells),
        UNIT(test_closed_window_opens_although_the_far_side_does_not_tell),
        UNIT(test_silly_windows_are_not_offered),
        UNIT(test_space_too_small_to_be_said_is_not_told_of),
        UNIT(test_far_side_that_takes_less_than_offered_gets_it_again),
        UNIT(test_asking_again_waits_for_a_full_link),
        UNIT(test_far_side_that_is_full_without_warning_is_looked_at_again),
        UNIT(test_fin_that_does_not_fit_waits_for_the_text_before_it),
        UNIT(test_fin_fits_a_closed_window),
        UNIT(test_failing_far_side_resets),
        UNIT(test_text_is_cut_into_segments),
        UNIT(test_link_that_cuts_gets_super_segments),
        UNIT(test_super_segments_are_whole_segments),
        UNIT(test_text_keeps_to_the_guests_window),
        UNIT(test_window_smaller_than_a_segment_is_used_when_nothing_is_in_flight),
        UNIT(test_closed_window_of_the_guest_is_probed),
        UNIT(test_guest_that_answers_no_probe_is_given_up),
        UNIT(test_bytes_that_keep_coming_do_not_put_off_the_probe),
        UNIT(test_guest_that_takes_all_but_keeps_its_window_closed_is_probed),
        UNIT(test_closed_window_with_nothing_to_send_is_not_probed),
        UNIT(test_fin_waits_for_an_open_window),
        UNIT(test_window_that_shrinks_is_borne),
        UNIT(test_old_window_does_not_replace_a_newer_one),
        UNIT(test_third_duplicate_ack_sends_again),
        UNIT(test_duplicates_count_in_a_row_only),
        UNIT(test_loss_halves_what_may_be_in_flight),
        UNIT(test_acks_with_text_or_another_window_are_no_duplicates),
        UNIT(test_duplicates_after_a_timeout_start_nothing_new),
        UNIT(test_timeout_sends_again_ever_more_seldom_and_gives_up),
        UNIT(test_ack_ends_the_back_off),
        UNIT(test_timeout_begins_with_one_segment),
        UNIT(test_repeated_segments_give_no_round_trip_sample),
        UNIT(test_full_link_is_tried_again_soon),
        UNIT(test_link_that_stays_full_is_tried_ever_more_seldom),
        UNIT(test_full_link_delays_the_handshake_little),
        UNIT(test_far_side_without_bytes_is_left_alone),
        UNIT(test_far_side_that_fails_to_read_resets),
        UNIT(test_congestion_window_bounds_what_is_in_flight),
        UNIT(test_guest_closes_first),
        UNIT(test_far_side_closes_first),
        UNIT(test_both_close_at_once),
        UNIT(test_lost_fin_is_sent_again),
        UNIT(test_text_and_fin_lost_together_are_sent_again),
        UNIT(test_text_behind_the_guests_fin_is_ignored),
        UNIT(test_repeated_fin_is_acknowledged_again),
        UNIT(test_time_wait_repeats_the_last_ack),
        UNIT(test_time_wait_gives_way_to_a_newer_syn),
        UNIT(test_open_connection_gives_way_to_no_syn),
        UNIT(test_exact_rst_ends_in_every_state),
        UNIT(test_rst_elsewhere_in_the_window_is_challenged),
        UNIT(test_syn_in_an_open_connection_is_challenged),
        UNIT(test_impossible_acks_are_challenged),
        UNIT(test_nonsense_is_answered_at_a_bounded_rate),
        UNIT(test_abort_resets_the_guest),
        UNIT(test_forgotten_endpoint_says_nothing),
        UNIT(test_owed_acks_survive_an_end_in_between),
        UNIT(test_segment_of_no_connection_is_reset),
        UNIT(test_silent_guest_is_asked_and_given_up),
        UNIT(test_keepalive_of_the_guest_is_answered),
        UNIT(test_idle_connection_ends),
        UNIT(test_text_either_way_is_no_idleness),
        UNIT(test_text_to_the_guest_is_no_idleness),
        UNIT(test_endpoint_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
