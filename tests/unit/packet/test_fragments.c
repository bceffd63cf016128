/* Reassembly: in every order, never with an overlap, within its bounds; and cutting is its
 * opposite. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/timer.h"
#include "guest_frame.h"
#include "packet/fragments.h"

static const struct fragment_limits limits = {.datagrams = 4, .bytes = 65535, .timeout_ms = 10000};
static struct fragments *fragments;
static uint64_t now_ns;

static int setup(void **state)
{
    (void)state;
    now_ns = SECOND_NS;
    fragments = fragments_new(&limits);
    return fragments == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    fragments = fragments_free(fragments);
    return 0;
}

/* ---- pieces of a datagram ---- */

#define PIECES_MAX 64

static struct piece {
    uint8_t *frame;
    size_t len;
} pieces[PIECES_MAX];
static size_t n_pieces;

static void collect(void *user, const uint8_t *frame, size_t len)
{
    (void)user;
    assert_true(n_pieces < PIECES_MAX);
    pieces[n_pieces] = (struct piece){.frame = malloc(len), .len = len};
    memcpy(pieces[n_pieces++].frame, frame, len);
}

static void forget_pieces(void)
{
    while (n_pieces > 0) {
        free(pieces[--n_pieces].frame);
    }
}

static uint8_t whole[ETH_LEN + IPV6_LEN + 65535];
static size_t whole_len;

/* Makes a UDP datagram of the guest and cuts it up. */
static void cut(bool v6, size_t payload_len, uint32_t mtu, uint32_t id)
{
    static uint8_t payload[65535];
    for (size_t i = 0; i < payload_len; i++) {
        payload[i] = (uint8_t)(i * 31 + i / 256 + id);
    }
    ln_addr src = guest_addr(v6 ? "fd42:6d73:62::2" : "172.16.0.2");
    ln_addr dst = guest_addr(v6 ? "2001:db8::7" : "192.0.2.7");
    whole_len = guest_udp(whole, &src, 4000, &dst, 53, payload, payload_len);
    forget_pieces();
    assert_int_equal(fragments_cut(whole, whole_len, mtu, id, collect, NULL), 0);
}

static const uint8_t *result;
static size_t result_len;

static enum drop_reason give(const uint8_t *frame, size_t len)
{
    struct link_identity link = guest_link();
    struct packet p;
    enum drop_reason reason = packet_classify(&(ln_frame){.data = frame, .len = len}, &link, &p);
    if (reason != DROP_NONE) {
        return reason;
    }
    assert_int_equal(p.kind, PACKET_FRAGMENT);
    result = NULL;
    return fragments_input(fragments, &p, now_ns, &result, &result_len);
}

static enum drop_reason give_piece(size_t i)
{
    return give(pieces[i].frame, pieces[i].len);
}

/* The result is the datagram that was cut up, but for the identification. */
static void assert_is_whole(void)
{
    assert_non_null(result);
    assert_int_equal(result_len, whole_len);
    struct packet p;
    assert_int_equal(packet_describe(result, result_len, &p), DROP_NONE);
    assert_int_equal(p.kind, PACKET_UDP);
    assert_memory_equal(result + p.l4, whole + p.l4, whole_len - p.l4);
    assert_memory_equal(result, whole, p.l3 + 4u);
}

/* ---- putting together ---- */

static void test_datagram_is_put_together_in_order(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        cut(v6, 5000, 1500, 77);
        assert_int_equal(n_pieces, 4);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(give_piece(i), DROP_NONE);
            assert_null(result);
        }
        assert_int_equal(give_piece(3), DROP_NONE);
        assert_is_whole();
    }
}

static void test_datagram_is_put_together_in_every_order(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 24; order++) {
        cut(order % 2 != 0, 5000, 1500, order);
        unsigned rest = order;
        size_t left[4] = {0, 1, 2, 3};
        for (unsigned n = 4; n > 0; n--) {
            unsigned at = rest % n;
            rest /= n;
            assert_int_equal(give_piece(left[at]), DROP_NONE);
            assert_int_equal(result != NULL, n == 1);
            left[at] = left[n - 1];
        }
        assert_is_whole();
    }
}

static void test_largest_datagrams_are_put_together(void **state)
{
    (void)state;
    cut(false, 65507, 1500, 1);
    for (size_t i = n_pieces; i-- > 0;) {
        assert_int_equal(give_piece(i), DROP_NONE);
    }
    assert_is_whole();
    cut(true, 65527, 1500, 1);
    for (size_t i = 0; i < n_pieces; i++) {
        assert_int_equal(give_piece(i), DROP_NONE);
    }
    assert_is_whole();
}

static void test_datagrams_do_not_mix(void **state)
{
    (void)state;
    cut(false, 3000, 1500, 1);
    assert_int_equal(give_piece(0), DROP_NONE);
    assert_int_equal(give_piece(1), DROP_NONE);
    uint8_t last[1600];
    size_t last_len = pieces[2].len;
    memcpy(last, pieces[2].frame, last_len);
    cut(false, 3000, 1500, 2);
    assert_int_equal(give_piece(2), DROP_NONE);
    assert_null(result);
    assert_int_equal(give_piece(0), DROP_NONE);
    assert_int_equal(give_piece(1), DROP_NONE);
    assert_is_whole();
    assert_int_equal(give(last, last_len), DROP_NONE);
    assert_non_null(result);
    assert_int_equal(result_len, whole_len);
}

static void test_protocol_keeps_datagrams_apart(void **state)
{
    (void)state;
    cut(false, 2000, 1500, 1);
    assert_int_equal(give_piece(0), DROP_NONE);
    pieces[1].frame[ETH_LEN + 9] = 6;
    guest_ipv4_checksum(pieces[1].frame + ETH_LEN);
    assert_int_equal(give_piece(1), DROP_NONE);
    assert_null(result);
}

static void test_atomic_fragment_is_whole_by_itself(void **state)
{
    (void)state;
    cut(true, 3000, 1500, 9);
    assert_int_equal(give_piece(0), DROP_NONE);
    struct piece kept[3];
    memcpy(kept, pieces, sizeof(kept));
    n_pieces = 0;
    ln_addr src = guest_addr("fd42:6d73:62::2");
    ln_addr dst = guest_addr("2001:db8::7");
    uint8_t frame[200];
    guest_udp(frame, &src, 1, &dst, 2, "atom", 4);
    memmove(frame + 62, frame + 54, 12);
    memcpy(frame + 54, (const uint8_t[]){17, 0, 0, 0, 0, 0, 0, 9}, 8);
    frame[ETH_LEN + 6] = 44;
    frame[ETH_LEN + 5] = 20;
    assert_int_equal(give(frame, 74), DROP_NONE);
    assert_non_null(result);
    assert_int_equal(result_len, 66);
    assert_memory_equal(result + 62, "atom", 4);
    memcpy(pieces, kept, sizeof(kept)); /* its namesake is not disturbed */
    n_pieces = 3;
    assert_int_equal(give_piece(1), DROP_NONE);
    assert_int_equal(give_piece(2), DROP_NONE);
    assert_is_whole();
}

/* ---- what spoils a datagram ---- */

/* Gives a fragment of `len` bytes at `offset` of the datagram `id`. */
static enum drop_reason give_bytes(uint32_t id, uint32_t offset, size_t len, bool more)
{
    static const uint8_t bytes[2000];
    uint8_t frame[2000];
    ln_addr src = guest_addr("172.16.0.2");
    ln_addr dst = guest_addr("192.0.2.7");
    uint8_t *payload = guest_ip(frame, &src, &dst, 17, len);
    memcpy(payload, bytes, len);
    put_be16(frame + ETH_LEN + 4, (uint16_t)id);
    put_be16(frame + ETH_LEN + 6, (uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
    guest_ipv4_checksum(frame + ETH_LEN);
    return give(frame, ETH_LEN + 20 + len);
}

static void test_overlap_spoils_the_datagram(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset;
        size_t len;
        bool more;
    } overlaps[] = {
        {0, 800, true},   /* the same again */
        {792, 16, true},  /* its end */
        {400, 8, true},   /* its middle */
        {0, 1400, true},  /* around it */
        {8, 1200, false}, /* around it, and the end */
        {792, 5, false},
    };
    for (uint32_t i = 0; i < sizeof(overlaps) / sizeof(overlaps[0]); i++) {
        assert_int_equal(give_bytes(i, 0, 800, true), DROP_NONE);
        assert_int_equal(give_bytes(i, overlaps[i].offset, overlaps[i].len, overlaps[i].more),
                         DROP_FRAGMENT);
        /* What would have completed it, and even a fresh start, is too late. */
        assert_int_equal(give_bytes(i, 800, 100, false), DROP_FRAGMENT);
        assert_int_equal(give_bytes(i, 0, 800, true), DROP_FRAGMENT);
    }
}

static void test_last_fragment_twice_spoils_the_datagram(void **state)
{
    (void)state;
    assert_int_equal(give_bytes(1, 800, 5, false), DROP_NONE);
    assert_int_equal(give_bytes(1, 800, 5, false), DROP_FRAGMENT);
    assert_int_equal(give_bytes(1, 0, 800, true), DROP_FRAGMENT);
}

static void test_header_is_that_of_the_first_fragment(void **state)
{
    (void)state;
    cut(false, 3000, 1500, 1);
    for (size_t i = 3; i-- > 0;) {
        pieces[i].frame[ETH_LEN + 8] = (uint8_t)(10 + i);
        guest_ipv4_checksum(pieces[i].frame + ETH_LEN);
        assert_int_equal(give_piece(i), DROP_NONE);
    }
    assert_int_equal(result[ETH_LEN + 8], 10);
    cut(false, 3000, 1500, 2);
    for (size_t i = 0; i < 3; i++) {
        pieces[i].frame[ETH_LEN + 8] = (uint8_t)(10 + i);
        guest_ipv4_checksum(pieces[i].frame + ETH_LEN);
        assert_int_equal(give_piece(i), DROP_NONE);
    }
    assert_int_equal(result[ETH_LEN + 8], 10);
}

static void test_spoilt_datagram_is_forgotten_in_time(void **state)
{
    (void)state;
    assert_int_equal(give_bytes(1, 0, 800, true), DROP_NONE);
    assert_int_equal(give_bytes(1, 0, 800, true), DROP_FRAGMENT);
    now_ns += 10 * SECOND_NS;
    assert_int_equal(fragments_expire(fragments, now_ns), 1);
    assert_int_equal(give_bytes(1, 0, 800, true), DROP_NONE);
}

static void test_contradicting_ends_spoil_the_datagram(void **state)
{
    (void)state;
    assert_int_equal(give_bytes(1, 1600, 100, false), DROP_NONE);
    assert_int_equal(give_bytes(1, 3200, 100, false), DROP_FRAGMENT); /* another end behind */
    assert_int_equal(give_bytes(2, 1600, 800, true), DROP_NONE);
    assert_int_equal(give_bytes(2, 800, 100, false), DROP_FRAGMENT); /* an end before */
    assert_int_equal(give_bytes(3, 800, 100, false), DROP_NONE);
    assert_int_equal(give_bytes(3, 904, 800, true), DROP_FRAGMENT); /* more behind the end */
}

static void test_neighbour_discovery_in_fragments_is_dropped(void **state)
{
    (void)state;
    uint8_t frame[400] = {0};
    ln_addr src = guest_addr("fe80::2");
    ln_addr dst = guest_addr("fd42:6d73:62::1");
    uint8_t *fragment = guest_ip(frame, &src, &dst, 44, 8 + 24);
    frame[ETH_LEN + 7] = 255;
    memcpy(fragment, (const uint8_t[]){58, 0, 0, 0, 0, 0, 0, 9}, 8);
    fragment[8] = 135;
    assert_int_equal(give(frame, ETH_LEN + 40 + 32), DROP_FRAGMENT);
    fragment[8] = 128;
    assert_int_equal(give(frame, ETH_LEN + 40 + 32), DROP_NONE);
    assert_non_null(result);
}

/* ---- bounds ---- */

static void test_oldest_datagram_makes_room(void **state)
{
    (void)state;
    for (uint32_t id = 1; id <= 5; id++) {
        now_ns += MS_NS;
        assert_int_equal(give_bytes(id, 0, 800, true), DROP_NONE);
    }
    assert_int_equal(give_bytes(5, 800, 100, false), DROP_NONE);
    assert_non_null(result);
    assert_int_equal(give_bytes(2, 800, 100, false), DROP_NONE);
    assert_non_null(result);
    assert_int_equal(give_bytes(1, 800, 100, false), DROP_NONE); /* starts anew */
    assert_null(result);
}

static void test_waiting_datagrams_time_out(void **state)
{
    (void)state;
    assert_int_equal(give_bytes(1, 0, 800, true), DROP_NONE);
    now_ns += 5 * SECOND_NS;
    assert_int_equal(give_bytes(2, 0, 800, true), DROP_NONE);
    assert_int_equal(fragments_expire(fragments, now_ns), 0);
    now_ns += 5 * SECOND_NS;
    assert_int_equal(fragments_expire(fragments, now_ns), 1);
    assert_int_equal(give_bytes(1, 800, 100, false), DROP_NONE);
    assert_null(result);
    assert_int_equal(give_bytes(2, 800, 100, false), DROP_NONE);
    assert_non_null(result);
}

static void test_datagram_over_the_limit_is_dropped(void **state)
{
    (void)state;
    fragments_free(fragments);
    fragments = fragments_new(&(struct fragment_limits){4, 1000, 10000});
    assert_int_equal(give_bytes(1, 992, 16, true), DROP_FRAGMENT);
    assert_int_equal(give_bytes(1, 992, 8, false), DROP_NONE);
    assert_int_equal(give_bytes(1, 0, 992, true), DROP_NONE);
    assert_non_null(result);
    fragments_free(fragments);
    fragments = fragments_new(&(struct fragment_limits){0, 1000, 10000});
    assert_int_equal(give_bytes(1, 0, 800, true), DROP_LIMIT);
}

/* ---- cutting ---- */

static void test_pieces_fit_the_mtu(void **state)
{
    (void)state;
    static const uint32_t mtus[] = {1280, 1281, 1287, 1500, 9000};
    for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++) {
        for (int v6 = 0; v6 < 2; v6++) {
            cut(v6, 20000, mtus[i], 5);
            for (size_t n = 0; n < n_pieces; n++) {
                assert_true(pieces[n].len - ETH_LEN <= mtus[i]);
                assert_true(n + 1 == n_pieces || pieces[n].len - ETH_LEN + 8 > mtus[i]);
            }
        }
    }
}

static void test_cutting_refuses_what_it_cannot(void **state)
{
    (void)state;
    cut(false, 3000, 1500, 5);
    struct piece kept = pieces[0];
    assert_int_equal(fragments_cut(kept.frame, kept.len, 1280, 6, collect, NULL), -EINVAL);
    assert_int_equal(fragments_cut(kept.frame, 10, 1280, 6, collect, NULL), -EINVAL);
    assert_int_equal(n_pieces, 3);
    forget_pieces();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_datagram_is_put_together_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagram_is_put_together_in_every_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_largest_datagrams_are_put_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagrams_do_not_mix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protocol_keeps_datagrams_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_atomic_fragment_is_whole_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlap_spoils_the_datagram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_fragment_twice_spoils_the_datagram, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_header_is_that_of_the_first_fragment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spoilt_datagram_is_forgotten_in_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_contradicting_ends_spoil_the_datagram, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_neighbour_discovery_in_fragments_is_dropped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_oldest_datagram_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting_datagrams_time_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_datagram_over_the_limit_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces_fit_the_mtu, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cutting_refuses_what_it_cannot, setup, teardown),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    forget_pieces();
    return failed;
}
