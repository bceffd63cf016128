/* DNS messages as bytes. */
#include <errno.h>
#include <stdlib.h>

#include "dns/wire.h"

enum { EDNS_DO_TTL = 0x8000 };

static int parse(const struct wire *w, struct dns_query *query)
{
    /* A copy of the exact size, so that reading past the end is seen. */
    uint8_t *copy = malloc(w->len + 1);
    memcpy(copy, w->data, w->len);
    copy = realloc(copy, w->len == 0 ? 1 : w->len);
    int r = dns_query_parse(copy, w->len, query);
    free(copy);
    return r;
}

static void test_query_is_read(void **state)
{
    (void)state;
    struct wire w = wire_query(0x1234, "WWW.Example.com", DNS_TYPE_AAAA);
    wire_opt(&w, 4096, EDNS_DO_TTL, NULL, 0);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    assert_int_equal(query.id, 0x1234);
    assert_true(query.has_question && query.edns && query.dnssec_ok);
    assert_int_equal(query.udp_size, 4096);
    assert_string_equal(query.question.name, "www.example.com");
    assert_false(query.question.odd);
    assert_int_equal(query.question.type, DNS_TYPE_AAAA);
    assert_memory_equal(query.question.wire, "\3WWW\7Example\3com", 17);
}

static void test_query_without_edns_takes_512_bytes(void **state)
{
    (void)state;
    struct wire w = wire_query(1, "a.example", DNS_TYPE_A);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    assert_false(query.edns);
    assert_int_equal(query.udp_size, 512);
}

static void test_small_edns_size_is_512(void **state)
{
    (void)state;
    struct wire w = wire_query(1, "a.example", DNS_TYPE_A);
    wire_opt(&w, 100, 0, NULL, 0);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    assert_int_equal(query.udp_size, 512);
}

static void test_every_cut_of_a_query_is_no_query(void **state)
{
    (void)state;
    struct wire w = wire_query(1, "www.example.com", DNS_TYPE_A);
    wire_opt(&w, 1232, 0, "\0\10\0\4\0\1\0\0", 8);
    size_t whole = w.len;
    struct dns_query query;
    for (w.len = 0; w.len < whole; w.len++) {
        int want = w.len < DNS_HEADER_LEN ? -EBADMSG : DNS_FORMERR;
        assert_int_equal(parse(&w, &query), want);
    }
    assert_int_equal(parse(&w, &query), 0);
    wire_u8(&w, 0);
    assert_int_equal(parse(&w, &query), DNS_FORMERR);
}

static void test_responses_are_no_queries(void **state)
{
    (void)state;
    struct wire w = wire_response(1, "a.example", DNS_TYPE_A);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), -EBADMSG);
}

static void test_other_opcodes_are_not_implemented(void **state)
{
    (void)state;
    struct wire w = wire_query(9, "a.example", DNS_TYPE_A);
    for (unsigned opcode = 1; opcode < 16; opcode++) {
        put_be16(w.data + 2, (uint16_t)(opcode << 11));
        struct dns_query query;
        assert_int_equal(parse(&w, &query), DNS_NOTIMP);
        assert_int_equal(query.id, 9);
        assert_false(query.has_question);
    }
}

static void test_not_exactly_one_question_is_formerr(void **state)
{
    (void)state;
    struct dns_query query;
    struct wire none = wire_message(1, 0);
    assert_int_equal(parse(&none, &query), DNS_FORMERR);
    struct wire two = wire_query(1, "a.example", DNS_TYPE_A);
    wire_question(&two, "b.example", DNS_TYPE_A, DNS_CLASS_IN);
    assert_int_equal(parse(&two, &query), DNS_FORMERR);
    assert_false(query.has_question);
}

static void test_compressed_question_is_formerr(void **state)
{
    (void)state;
    struct dns_query query;
    struct wire w = wire_query(1, "www.@12", DNS_TYPE_A);
    assert_int_equal(parse(&w, &query), DNS_FORMERR);
}

static void test_name_of_255_bytes_is_the_longest(void **state)
{
    (void)state;
    char name[300] = "";
    for (int i = 0; i < 127; i++) {
        strcat(name, i == 0 ? "a" : ".a"); /* 127 * 2 + 1 = 255 */
    }
    struct dns_query query;
    struct wire w = wire_query(1, name, DNS_TYPE_A);
    assert_int_equal(parse(&w, &query), 0);
    assert_int_equal(query.question.wire_len, 255);
    assert_string_equal(query.question.name, name);
    strcat(name, "a");
    w = wire_query(1, name, DNS_TYPE_A);
    assert_int_equal(parse(&w, &query), DNS_FORMERR);
}

static void test_opt_counts_once_and_at_the_root_and_at_the_end(void **state)
{
    (void)state;
    struct dns_query query;
    struct wire two = wire_query(1, "a.example", DNS_TYPE_A);
    wire_opt(&two, 1232, 0, NULL, 0);
    wire_opt(&two, 1232, 0, NULL, 0);
    assert_int_equal(parse(&two, &query), DNS_FORMERR);
    struct wire owned = wire_query(1, "a.example", DNS_TYPE_A);
    wire_record(&owned, DNS_ADDITIONAL, "a", DNS_TYPE_OPT, 0, NULL, 0);
    assert_int_equal(parse(&owned, &query), DNS_FORMERR);
    struct wire early = wire_query(1, "a.example", DNS_TYPE_A);
    wire_record(&early, DNS_AUTHORITY, "", DNS_TYPE_OPT, 0, NULL, 0);
    assert_int_equal(parse(&early, &query), DNS_FORMERR);
}

static void test_other_edns_versions_are_badvers(void **state)
{
    (void)state;
    struct wire w = wire_query(1, "a.example", DNS_TYPE_A);
    wire_opt(&w, 1232, 1u << 16, NULL, 0);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), DNS_BADVERS);
    uint8_t reply[DNS_SMALL_MAX];
    size_t len = dns_reply_write(&query, DNS_BADVERS, false, reply);
    assert_int_equal(reply[3] & 0xf, 0);
    assert_int_equal(reply[len - DNS_OPT_LEN + 5], 1); /* the upper bits of 16 */
}

static void test_odd_label_is_hidden_from_rules_and_escaped_for_people(void **state)
{
    (void)state;
    struct wire w = wire_message(1, 0);
    wire_count(&w, 4);
    wire_bytes(&w, "\3a.b\4www\0\2OK\3\xc3\xa4z\7example\0\0\1\0\1", 29);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    assert_true(query.question.odd);
    assert_string_equal(query.question.name, "*.*.ok.*.example");
    char text[DNS_NAME_TEXT_MAX];
    dns_name_text(query.question.wire, query.question.wire_len, text);
    assert_string_equal(text, "a\\046b.www\\000.ok.\\195\\164z.example");
}

static void test_longest_escaped_name_fits(void **state)
{
    (void)state;
    uint8_t wire[255] = {63, [64] = 63, [128] = 63, [192] = 61};
    char text[DNS_NAME_TEXT_MAX];
    char name[LN_NAME_MAX + 1];
    dns_name_text(wire, sizeof(wire), text);
    assert_int_equal(strlen(text), 4 * 250 + 3);
    assert_false(dns_name_for_rules(wire, sizeof(wire), name));
    assert_string_equal(name, "*.*.*.*");
}

static void test_query_that_leaves_holds_nothing_else_of_the_askers(void **state)
{
    (void)state;
    struct wire w = wire_query(0x1111, "WwW.eXample.com", DNS_TYPE_A);
    put_be16(w.data + 2, DNS_FLAG_RD | DNS_FLAG_CD | DNS_FLAG_AD | DNS_FLAG_AA | 0x40);
    wire_record(&w, DNS_ADDITIONAL, "leak.example", 16, 0, "\4data", 5);
    /* EDNS with client subnet (8), a cookie (10) and padding (12). */
    wire_opt(&w, 4096, EDNS_DO_TTL, "\0\10\0\7\0\1\30\0\300\0\2\0\12\0\10cookie!!\0\14\0\2\0\0",
             29);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    uint8_t out[DNS_SMALL_MAX];
    size_t len = dns_query_write(&query, 0x2222, out);
    struct wire want = wire_message(0x2222, DNS_FLAG_RD | DNS_FLAG_CD | DNS_FLAG_AD);
    wire_question(&want, "www.example.com", DNS_TYPE_A, DNS_CLASS_IN);
    wire_opt(&want, DNS_UDP_SIZE, EDNS_DO_TTL, NULL, 0);
    assert_int_equal(len, want.len);
    assert_memory_equal(out, want.data, len);
}

static void test_reply_keeps_the_askers_case_and_flags(void **state)
{
    (void)state;
    struct wire w = wire_query(0x1111, "WwW.eXample.com", DNS_TYPE_A);
    put_be16(w.data + 2, DNS_FLAG_RD | DNS_FLAG_CD);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    uint8_t out[DNS_SMALL_MAX];
    size_t len = dns_reply_write(&query, DNS_NXDOMAIN, false, out);
    assert_int_equal(len, w.len); /* no OPT, since none was sent */
    assert_memory_equal(out + 4, w.data + 4, len - 4);
    assert_int_equal(get_be16(out + 2),
                     DNS_FLAG_QR | DNS_FLAG_RA | DNS_FLAG_RD | DNS_FLAG_CD | DNS_NXDOMAIN);
    dns_reply_write(&query, DNS_NOERROR, true, out);
    assert_true((get_be16(out + 2) & DNS_FLAG_TC) != 0);
}

static void test_largest_small_message_fits(void **state)
{
    (void)state;
    char name[256] = "";
    for (int i = 0; i < 127; i++) {
        strcat(name, i == 0 ? "a" : ".a");
    }
    struct wire w = wire_query(1, name, DNS_TYPE_AAAA);
    wire_opt(&w, 1232, 0, NULL, 0);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    ln_addr addr;
    assert_int_equal(ln_addr_parse("2001:db8::1", 11, &addr), 0);
    uint8_t out[DNS_SMALL_MAX];
    assert_true(dns_reply_write_addresses(&query, &addr, 1, 60, out, sizeof(out)) <= DNS_SMALL_MAX);
}

static void test_address_reply_is_whole(void **state)
{
    (void)state;
    struct wire w = wire_query(5, "host.lunette.internal", DNS_TYPE_A);
    struct dns_query query;
    assert_int_equal(parse(&w, &query), 0);
    ln_addr addr = ln_addr_v4(0xac100001);
    uint8_t out[DNS_SMALL_MAX];
    size_t len = dns_reply_write_addresses(&query, &addr, 1, 60, out, sizeof(out));
    struct wire want = wire_response(5, "host.lunette.internal", DNS_TYPE_A);
    wire_addr(&want, DNS_ANSWER, "@12", 60, "172.16.0.1");
    assert_int_equal(len, want.len);
    assert_memory_equal(out, want.data, len);
}

static void test_only_the_answer_to_this_question_matches(void **state)
{
    (void)state;
    struct wire q = wire_query(1, "www.example.com", DNS_TYPE_A);
    struct dns_query query;
    assert_int_equal(parse(&q, &query), 0);
    uint16_t flags;
    struct wire right = wire_response(7, "WWW.example.COM", DNS_TYPE_A);
    wire_addr(&right, DNS_ANSWER, "@12", 60, "192.0.2.1");
    assert_true(dns_answer_matches(&query.question, 7, right.data, right.len, &flags));
    assert_false(dns_answer_matches(&query.question, 8, right.data, right.len, &flags));
    for (size_t cut = 0; cut < right.len; cut++) {
        assert_false(dns_answer_matches(&query.question, 7, right.data, cut, &flags));
    }
    struct wire wrong = right;
    wire_u8(&wrong, 0); /* more than the message */
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wrong = wire_response(7, "www.example.org", DNS_TYPE_A);
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wrong = wire_response(7, "www.example.com", DNS_TYPE_AAAA);
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wrong = wire_message(7, DNS_FLAG_QR);
    wire_question(&wrong, "www.example.com", DNS_TYPE_A, 3);
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wrong = wire_query(7, "www.example.com", DNS_TYPE_A); /* a query */
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wrong = right;
    wrong.data[2] |= 0x28; /* an UPDATE response */
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wrong = wire_message(7, DNS_FLAG_QR); /* no question */
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
    wire_question(&wrong, "www.example.com", DNS_TYPE_A, DNS_CLASS_IN);
    wire_question(&wrong, "www.example.com", DNS_TYPE_A, DNS_CLASS_IN);
    assert_false(dns_answer_matches(&query.question, 7, wrong.data, wrong.len, &flags));
}

static void test_truncated_answer_may_end_early(void **state)
{
    (void)state;
    struct wire q = wire_query(1, "www.example.com", DNS_TYPE_A);
    struct dns_query query;
    assert_int_equal(parse(&q, &query), 0);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 60, "192.0.2.1");
    put_be16(w.data + 2, get_be16(w.data + 2) | DNS_FLAG_TC);
    uint16_t flags;
    assert_true(dns_answer_matches(&query.question, 7, w.data, w.len - 5, &flags));
    assert_true((flags & DNS_FLAG_TC) != 0);
}

static void test_names_of_types_and_codes(void **state)
{
    (void)state;
    char text[DNS_TYPE_TEXT_MAX];
    assert_string_equal(dns_type_name(DNS_TYPE_HTTPS, text), "HTTPS");
    assert_string_equal(dns_type_name(65535, text), "TYPE65535");
    assert_string_equal(dns_rcode_name(DNS_REFUSED, text), "REFUSED");
    assert_string_equal(dns_rcode_name(4095, text), "RCODE4095");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_is_read),
        cmocka_unit_test(test_query_without_edns_takes_512_bytes),
        cmocka_unit_test(test_small_edns_size_is_512),
        cmocka_unit_test(test_every_cut_of_a_query_is_no_query),
        cmocka_unit_test(test_responses_are_no_queries),
        cmocka_unit_test(test_other_opcodes_are_not_implemented),
        cmocka_unit_test(test_not_exactly_one_question_is_formerr),
        cmocka_unit_test(test_compressed_question_is_formerr),
        cmocka_unit_test(test_name_of_255_bytes_is_the_longest),
        cmocka_unit_test(test_opt_counts_once_and_at_the_root_and_at_the_end),
        cmocka_unit_test(test_other_edns_versions_are_badvers),
        cmocka_unit_test(test_odd_label_is_hidden_from_rules_and_escaped_for_people),
        cmocka_unit_test(test_longest_escaped_name_fits),
        cmocka_unit_test(test_query_that_leaves_holds_nothing_else_of_the_askers),
        cmocka_unit_test(test_reply_keeps_the_askers_case_and_flags),
        cmocka_unit_test(test_largest_small_message_fits),
        cmocka_unit_test(test_address_reply_is_whole),
        cmocka_unit_test(test_only_the_answer_to_this_question_matches),
        cmocka_unit_test(test_truncated_answer_may_end_early),
        cmocka_unit_test(test_names_of_types_and_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
