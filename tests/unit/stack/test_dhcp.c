/* DHCP: one address to give, and nothing remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guest_frame.h"
#include "stack/neighbour.h"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

#define GUEST   "172.16.0.2"
#define GATEWAY "172.16.0.1"

static struct link_identity link_now;
static uint8_t message[700];
static size_t message_len;
static uint8_t answer[DHCP_FRAME_MAX];
static struct packet reply;
static const uint8_t *reply_message;

static int setup(void **state)
{
    (void)state;
    link_now = guest_link();
    return 0;
}

/* ---- questions ---- */

static void put(uint8_t code, const void *value, size_t len)
{
    message[message_len++] = code;
    message[message_len++] = (uint8_t)len;
    memcpy(message + message_len, value, len);
    message_len += len;
}

static void put_addr(uint8_t code, const char *text)
{
    put(code, guest_addr(text).bytes + 12, 4);
}

static void begin(uint8_t type)
{
    memset(message, 0, sizeof(message));
    memcpy(message, (const uint8_t[]){1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe}, 8);
    memcpy(message + 28, guest_own_mac, 6);
    put_be32(message + 236, 0x63825363);
    message_len = 240;
    put(53, &type, 1);
}

static uint16_t client_port = 68;

static size_t ask_from(const char *src, const char *dst)
{
    message[message_len++] = 255;
    uint8_t frame[1600];
    ln_addr from = guest_addr(src);
    ln_addr to = guest_addr(dst);
    size_t frame_len = guest_udp(frame, &from, client_port, &to, 67, message, message_len);
    if (ln_addr_to_v4(&to) == UINT32_MAX) {
        memcpy(frame, guest_broadcast_mac, 6);
    }
    struct packet p;
    assert_int_equal(packet_classify(&(ln_frame){.data = frame, .len = frame_len}, &link_now, &p),
                     DROP_NONE);
    memset(answer, 0xee, sizeof(answer));
    size_t len = dhcp_answer(&p, &link_now, answer);
    if (len > 0) {
        assert_true(len <= sizeof(answer));
        assert_int_equal(packet_describe(answer, len, &reply), DROP_NONE);
        assert_int_equal(reply.kind, PACKET_UDP);
        assert_int_equal(reply.src_port, 67);
        assert_int_equal(reply.dst_port, 68);
        assert_true(reply.payload_len >= 300);
        reply_message = answer + reply.payload;
        assert_int_equal(reply_message[0], 2);
        assert_memory_equal(reply_message + 4, message + 4, 4);
        assert_memory_equal(reply_message + 28, message + 28, 16);
    }
    return len;
}

static size_t ask(void)
{
    return ask_from("0.0.0.0", "255.255.255.255");
}

/* ---- answers ---- */

static const uint8_t *option(uint8_t code, uint8_t *ret_len)
{
    struct reader r = reader_of(reply_message + 240, reply.payload_len - 240);
    while (reader_left(&r) > 0) {
        uint8_t at = reader_u8(&r);
        if (at == 255) {
            break;
        }
        if (at == 0) {
            continue;
        }
        *ret_len = reader_u8(&r);
        const uint8_t *value = reader_bytes(&r, *ret_len);
        if (at == code) {
            return value;
        }
    }
    assert_false(r.failed);
    return NULL;
}

static uint8_t answer_type(void)
{
    uint8_t len;
    const uint8_t *value = option(53, &len);
    assert_non_null(value);
    return *value;
}

static void assert_option_addr(uint8_t code, const char *text)
{
    uint8_t len = 0;
    const uint8_t *value = option(code, &len);
    assert_non_null(value);
    assert_int_equal(len, 4);
    assert_memory_equal(value, guest_addr(text).bytes + 12, 4);
}

static void assert_no_option(uint8_t code)
{
    uint8_t len;
    assert_null(option(code, &len));
}

static void assert_goes_to(const char *text, const uint8_t mac[6])
{
    ln_addr to = guest_addr(text);
    assert_true(ln_addr_equal(&reply.dst, &to));
    assert_memory_equal(answer, mac, 6);
}

static void assert_configures(void)
{
    uint8_t len = 0;
    assert_memory_equal(reply_message + 16, guest_addr(GUEST).bytes + 12, 4);
    assert_option_addr(54, GATEWAY);
    assert_option_addr(1, "255.255.255.252");
    assert_option_addr(3, GATEWAY);
    assert_option_addr(6, GATEWAY);
    assert_int_equal(get_be32(option(51, &len)), 86400);
    assert_true(get_be32(option(58, &len)) < get_be32(option(59, &len)));
    assert_true(get_be32(option(59, &len)) < 86400);
    assert_int_equal(get_be16(option(26, &len)), 1500);
}

static void test_discover_is_offered_the_one_address(void **state)
{
    (void)state;
    begin(DISCOVER);
    put_addr(50, "10.1.2.3");
    message[3] = 1; /* hops */
    message[9] = 7; /* seconds */
    assert_int_not_equal(ask(), 0);
    assert_int_equal(get_be16(reply_message + 8), 0);
    assert_int_equal(reply_message[3], 0); /* hops */
    assert_int_equal(answer_type(), OFFER);
    assert_configures();
    assert_goes_to(GUEST, guest_own_mac);
}

static void test_broadcast_flag_is_obeyed(void **state)
{
    (void)state;
    begin(DISCOVER);
    message[10] = 0x80;
    assert_int_not_equal(ask(), 0);
    assert_goes_to("255.255.255.255", guest_broadcast_mac);
    assert_int_equal(get_be16(reply_message + 10), 0x8000);
    begin(REQUEST); /* but not where the guest has the address already */
    message[10] = 0x80;
    memcpy(message + 12, guest_addr(GUEST).bytes + 12, 4);
    assert_int_not_equal(ask_from(GUEST, GATEWAY), 0);
    assert_goes_to(GUEST, guest_own_mac);
}

static void test_request_for_the_address_is_acknowledged(void **state)
{
    (void)state;
    begin(REQUEST); /* selecting */
    put_addr(54, GATEWAY);
    put_addr(50, GUEST);
    assert_int_not_equal(ask(), 0);
    assert_int_equal(answer_type(), ACK);
    assert_configures();
    begin(REQUEST); /* after a reboot */
    put_addr(50, GUEST);
    assert_int_not_equal(ask(), 0);
    assert_int_equal(answer_type(), ACK);
    assert_configures();
    begin(REQUEST); /* renewing */
    memcpy(message + 12, guest_addr(GUEST).bytes + 12, 4);
    assert_int_not_equal(ask_from(GUEST, GATEWAY), 0);
    assert_int_equal(answer_type(), ACK);
    assert_configures();
    assert_memory_equal(reply_message + 12, guest_addr(GUEST).bytes + 12, 4);
    assert_goes_to(GUEST, guest_own_mac);
}

static void test_request_for_another_address_is_refused(void **state)
{
    (void)state;
    begin(REQUEST);
    put_addr(50, "192.168.1.20");
    assert_int_not_equal(ask(), 0);
    assert_int_equal(answer_type(), NAK);
    assert_goes_to("255.255.255.255", guest_broadcast_mac);
    assert_int_equal(get_be32(reply_message + 16), 0);
    assert_no_option(51);
    assert_no_option(3);
    begin(REQUEST);
    assert_int_not_equal(ask(), 0); /* for no address at all */
    assert_int_equal(answer_type(), NAK);
    begin(REQUEST);
    put_be32(message + 12, 0x0a000001);
    assert_int_not_equal(ask(), 0);
    assert_int_equal(answer_type(), NAK);
    assert_int_equal(get_be32(reply_message + 12), 0);
}

static void test_request_to_another_server_is_not_answered(void **state)
{
    (void)state;
    begin(REQUEST);
    put_addr(54, "192.168.1.1");
    put_addr(50, GUEST);
    assert_int_equal(ask(), 0);
}

static void test_inform_gets_configuration_without_a_lease(void **state)
{
    (void)state;
    begin(INFORM);
    memcpy(message + 12, guest_addr(GUEST).bytes + 12, 4);
    assert_int_not_equal(ask_from(GUEST, GATEWAY), 0);
    assert_int_equal(answer_type(), ACK);
    assert_int_equal(get_be32(reply_message + 16), 0);
    assert_no_option(51);
    assert_option_addr(6, GATEWAY);
    begin(INFORM); /* of another address */
    assert_int_equal(ask_from(GUEST, GATEWAY), 0);
}

static void test_decline_and_release_are_not_answered(void **state)
{
    (void)state;
    static const uint8_t types[] = {0, OFFER, DECLINE, ACK, NAK, RELEASE, 9};
    for (size_t i = 0; i < sizeof(types); i++) {
        begin(types[i]);
        assert_int_equal(ask(), 0);
    }
}

static void test_no_router_is_told_where_the_host_has_no_route(void **state)
{
    (void)state;
    link_now.route4 = false;
    begin(DISCOVER);
    assert_int_not_equal(ask(), 0);
    assert_no_option(3);
    assert_option_addr(6, GATEWAY);
}

static void test_client_identifier_comes_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 7, 19, 255};
    uint8_t id[255];
    memset(id, 0xab, sizeof(id));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        begin(DISCOVER);
        put(61, id, lengths[i]);
        assert_int_not_equal(ask(), 0);
        uint8_t len = 0;
        const uint8_t *value = option(61, &len);
        assert_non_null(value);
        assert_int_equal(len, lengths[i]);
        assert_memory_equal(value, id, len);
        assert_configures();
    }
}

static void test_malformed_questions_are_not_answered(void **state)
{
    (void)state;
    static const struct {
        unsigned at;
        uint8_t value;
    } cases[] = {
        {0, 2},    /* a reply */
        {1, 6},    /* other hardware */
        {2, 16},   /* other length of address */
        {27, 1},   /* from a relay */
        {33, 9},   /* another MAC than the frame's */
        {236, 0},  /* no cookie */
        {241, 99}, /* option beyond the end */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(DISCOVER);
        message[cases[i].at] = cases[i].value;
        assert_int_equal(ask(), 0);
    }
    begin(DISCOVER);
    message_len = 200;
    assert_int_equal(ask(), 0);
    begin(DISCOVER);
    message[message_len++] = 12; /* an option cut short behind all that is needed */
    message[message_len++] = 99;
    assert_int_equal(ask(), 0);
    begin(DISCOVER);
    client_port = 69;
    assert_int_equal(ask(), 0);
    client_port = 68;
}

/* All options of a code, as one (RFC 3396). */
static size_t whole_option(uint8_t code, uint8_t dst[1024], unsigned *ret_parts)
{
    struct reader r = reader_of(reply_message + 240, reply.payload_len - 240);
    size_t len = 0;
    *ret_parts = 0;
    for (uint8_t at; reader_left(&r) > 0 && (at = reader_u8(&r)) != 255;) {
        uint8_t n = at == 0 ? 0 : reader_u8(&r);
        const uint8_t *value = reader_bytes(&r, n);
        if (at == code) {
            memcpy(dst + len, value, n);
            len += n;
            ++*ret_parts;
        }
    }
    return len;
}

static void test_search_list_is_told(void **state)
{
    static const char *const names[] = {"corp.example", "lab.corp.example"};
    static const char wire[] = "\4corp\7example\0\3lab\xc0";
    (void)state;
    begin(DISCOVER);
    assert_int_not_equal(ask(), 0);
    assert_no_option(119);
    link_now.search = names;
    link_now.n_search = 2;
    uint8_t len = 0;
    begin(INFORM);
    put_be32(message + 12, ln_addr_to_v4(&link_now.guest4));
    assert_int_not_equal(ask_from(GUEST, GATEWAY), 0);
    const uint8_t *value = option(119, &len);
    assert_non_null(value);
    assert_int_equal(len, sizeof(wire));
    assert_memory_equal(value, wire, sizeof(wire)); /* its NUL is the pointer's other half */
}

static void test_long_search_list_is_split_or_cut_to_what_the_client_takes(void **state)
{
    static const char label[] = "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopq.a";
    static const char *names[6];
    static char text[6][64];
    uint8_t list[1024], id[255] = {1};
    unsigned parts;
    (void)state;
    for (int i = 0; i < 6; i++) {
        memcpy(text[i], label, sizeof(label));
        text[i][0] = text[i][45] = (char)('a' + i);
        names[i] = text[i];
    }
    link_now.search = names;
    link_now.n_search = 6;
    begin(DISCOVER);
    assert_int_not_equal(ask(), 0);
    assert_true(reply.payload_len <= 548);
    assert_int_equal(whole_option(119, list, &parts), 5 * 48);
    assert_int_equal(parts, 1);
    begin(DISCOVER);
    put(57, (const uint8_t[]){5, 220}, 2); /* 1500 */
    assert_int_not_equal(ask(), 0);
    assert_int_equal(whole_option(119, list, &parts), 6 * 48);
    assert_int_equal(parts, 2);
    begin(DISCOVER);
    put(57, (const uint8_t[]){0, 100}, 2); /* less than allowed */
    put(61, id, sizeof(id));
    assert_int_not_equal(ask(), 0);
    assert_true(reply.payload_len <= 548);
    assert_no_option(119);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discover_is_offered_the_one_address),
        cmocka_unit_test(test_broadcast_flag_is_obeyed),
        cmocka_unit_test(test_request_for_the_address_is_acknowledged),
        cmocka_unit_test(test_request_for_another_address_is_refused),
        cmocka_unit_test(test_request_to_another_server_is_not_answered),
        cmocka_unit_test(test_inform_gets_configuration_without_a_lease),
        cmocka_unit_test(test_decline_and_release_are_not_answered),
        cmocka_unit_test_setup(test_no_router_is_told_where_the_host_has_no_route, setup),
        cmocka_unit_test_setup(test_client_identifier_comes_back, setup),
        cmocka_unit_test(test_malformed_questions_are_not_answered),
        cmocka_unit_test_setup(test_search_list_is_told, setup),
        cmocka_unit_test_setup(test_long_search_list_is_split_or_cut_to_what_the_client_takes,
                               setup),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
