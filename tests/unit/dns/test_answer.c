/* Answers of upstreams: what is read, judged, pinned and written. */
#include <errno.h>

#include "dns/answer.h"
#include "dns/wire.h"
#include "policy/fixture.h"

enum { TYPE_MX = 15, TYPE_TXT = 16, TYPE_NS = 2, TYPE_PTR = 12, TYPE_TSIG = 250 };

/* ---- helpers ---- */

static struct dns_query query_of(const char *name, uint16_t type)
{
    struct wire w = wire_query(0x1111, name, type);
    struct dns_query query;
    assert_int_equal(dns_query_parse(w.data, w.len, &query), 0);
    return query;
}

static struct dns_query edns_query_of(const char *name, uint16_t type)
{
    struct wire w = wire_query(0x1111, name, type);
    wire_opt(&w, 4096, 0, NULL, 0);
    struct dns_query query;
    assert_int_equal(dns_query_parse(w.data, w.len, &query), 0);
    return query;
}

/* Reads a copy of the exact size, so that reading past the end is seen. */
static int read_exact(const struct dns_query *query, const uint8_t *msg, size_t len,
                      struct dns_answer **ret)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, msg, len);
    int r = dns_answer_read(query, copy, len, ret);
    free(copy);
    return r;
}

static struct dns_answer *read_fine(const struct dns_query *query, const struct wire *w)
{
    struct dns_answer *answer;
    assert_int_equal(read_exact(query, w->data, w->len, &answer), 0);
    return answer;
}

static void assert_refused(const struct dns_query *query, const struct wire *w, int error)
{
    struct dns_answer *answer;
    assert_int_equal(read_exact(query, w->data, w->len, &answer), error);
}

static enum dns_verdict judge(struct dns_answer *answer, const char *rule,
                              struct dns_finding *finding)
{
    ln_policy *policy = POLICY(rule);
    enum dns_verdict verdict = dns_answer_judge(answer, policy, NULL, finding);
    ln_policy_unref(policy);
    return verdict;
}

/* Reads, judges under one rule, and tells the verdict. */
static enum dns_verdict verdict_of(const struct dns_query *query, const struct wire *w,
                                   const char *rule, struct dns_finding *finding)
{
    struct dns_answer *answer = read_fine(query, w);
    enum dns_verdict verdict = judge(answer, rule, finding);
    dns_answer_free(answer);
    return verdict;
}

/* The addresses in the order of the visit, with TTLs: "192.0.2.1/300 192.0.2.2/60 ". */
static void note_address(void *user, const ln_addr *addr, uint32_t ttl_s)
{
    char *text = user;
    char one[LN_ADDR_TEXT_MAX];
    ln_addr_format(addr, one);
    sprintf(text + strlen(text), "%s/%u ", one, ttl_s);
}

static const char *addresses_of(const struct dns_query *query, const struct wire *w)
{
    static char text[4096];
    struct dns_answer *answer = read_fine(query, w);
    text[0] = '\0';
    dns_answer_each_address(answer, note_address, text);
    dns_answer_free(answer);
    return text;
}

/* What is written under a policy that minds nothing. */
static struct wire written(const struct dns_query *query, const struct wire *w)
{
    static struct wire out;
    struct dns_finding finding;
    struct dns_answer *answer = read_fine(query, w);
    assert_int_equal(judge(answer, "allow *", &finding), DNS_ANSWER_FINE);
    out.len = dns_answer_write(answer, out.data, DNS_MESSAGE_MAX);
    dns_answer_free(answer);
    return out;
}

static void assert_same(const struct wire *got, const struct wire *want)
{
    assert_int_equal(got->len, want->len);
    assert_memory_equal(got->data, want->data, want->len);
}

/* ---- what passes ---- */

static void test_answer_gets_the_askers_id_and_case(void **state)
{
    (void)state;
    struct dns_query query = query_of("WWW.Example.com", DNS_TYPE_A);
    struct wire w = wire_response(0x9999, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 300, "192.0.2.1");
    wire_addr(&w, DNS_ANSWER, "www.example.com", 60, "192.0.2.2");
    wire_opt(&w, 1232, 0, "\0\10\0\4\0\1\0\0", 8); /* not for this asker */
    struct wire want = wire_response(0x1111, "WWW.Example.com", DNS_TYPE_A);
    wire_addr(&want, DNS_ANSWER, "@12", 300, "192.0.2.1");
    wire_addr(&want, DNS_ANSWER, "@12", 60, "192.0.2.2");
    struct wire got = written(&query, &w);
    assert_same(&got, &want);
    assert_string_equal(addresses_of(&query, &w), "192.0.2.2/60 192.0.2.1/300 ");
}

static void test_edns_asker_gets_our_opt_without_options(void **state)
{
    (void)state;
    struct dns_query query = edns_query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_opt(&w, 512, 0, "\0\10\0\4\0\1\0\0", 8);
    struct wire want = wire_response(0x1111, "www.example.com", DNS_TYPE_A);
    wire_opt(&want, DNS_UDP_SIZE, 0, NULL, 0);
    struct wire got = written(&query, &w);
    assert_same(&got, &want);
}

static void test_chain_is_followed_and_only_its_addresses_count(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "b.example.net", 30, "192.0.2.2");
    wire_alias(&w, DNS_ANSWER, "A.example.NET", DNS_TYPE_CNAME, "b.example.net");
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "a.example.net");
    wire_addr(&w, DNS_ANSWER, "other.example.net", 30, "192.0.2.3");
    wire_addr(&w, DNS_ADDITIONAL, "b.example.net", 30, "192.0.2.4");
    assert_string_equal(addresses_of(&query, &w), "192.0.2.4/30 192.0.2.2/30 ");
    struct wire got = written(&query, &w);
    uint16_t flags;
    assert_true(dns_answer_matches(&query.question, 0x1111, got.data, got.len, &flags));
    assert_string_equal(addresses_of(&query, &got), "192.0.2.4/30 192.0.2.2/30 ");
}

static void test_aliases_are_pointed_to(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "cdn.example.net");
    wire_addr(&w, DNS_ANSWER, "cdn.example.net", 30, "192.0.2.2");
    struct wire want = wire_response(0x1111, "www.example.com", DNS_TYPE_A);
    wire_alias(&want, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "cdn.example.net");
    wire_addr(&want, DNS_ANSWER, "@45", 30, "192.0.2.2");
    struct wire got = written(&query, &w);
    assert_same(&got, &want);
}

static void test_dname_makes_the_next_name(void **state)
{
    (void)state;
    struct dns_query query = query_of("a.b.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "a.b.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "example.com", DNS_TYPE_DNAME, "example.net");
    wire_addr(&w, DNS_ANSWER, "a.b.example.net", 30, "192.0.2.2");
    assert_string_equal(addresses_of(&query, &w), "192.0.2.2/30 ");
}

static void test_dname_of_the_name_itself_is_no_alias(void **state)
{
    (void)state;
    struct dns_query query = query_of("example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "example.com", DNS_TYPE_DNAME, "example.net");
    wire_addr(&w, DNS_ANSWER, "example.net", 30, "192.0.2.2");
    wire_addr(&w, DNS_ANSWER, "example.com", 30, "192.0.2.3");
    assert_string_equal(addresses_of(&query, &w), "192.0.2.3/30 ");
}

static void test_dname_that_makes_too_long_a_name_ends_the_chain(void **state)
{
    (void)state;
    char lengthy[256] = "";
    for (int i = 0; i < 120; i++) {
        strcat(lengthy, "a.");
    }
    strcat(lengthy, "example");
    struct dns_query query = query_of("abcdefghijklmno.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "abcdefghijklmno.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "example.com", DNS_TYPE_DNAME, lengthy);
    wire_addr(&w, DNS_ANSWER, "@12", 30, "192.0.2.2");
    assert_string_equal(addresses_of(&query, &w), "192.0.2.2/30 ");
}

static void test_a_query_for_cname_follows_none(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_CNAME);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_CNAME);
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "cdn.example.net");
    wire_addr(&w, DNS_ADDITIONAL, "cdn.example.net", 30, "192.0.2.2");
    assert_string_equal(addresses_of(&query, &w), "");
}

static void test_absurd_ttl_is_zero(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 0x80000000u, "192.0.2.1");
    assert_string_equal(addresses_of(&query, &w), "192.0.2.1/0 ");
}

static void test_names_in_data_are_uncompressed_and_the_rest_is_left_alone(void **state)
{
    (void)state;
    struct dns_query query = query_of("example.com", TYPE_MX);
    struct wire w = wire_response(7, "example.com", TYPE_MX);
    size_t at = wire_record_head(&w, DNS_ANSWER, "@12", TYPE_MX, DNS_CLASS_IN, 9);
    wire_u16(&w, 10);
    wire_name(&w, "mail.@12");
    wire_record_end(&w, at);
    wire_record(&w, DNS_AUTHORITY, "x", 65280, 9, "\300\14opaque", 8);
    wire_record(&w, DNS_ADDITIONAL, "", 65281, 9, NULL, 0);
    struct wire want = wire_response(0x1111, "example.com", TYPE_MX);
    at = wire_record_head(&want, DNS_ANSWER, "@12", TYPE_MX, DNS_CLASS_IN, 9);
    wire_u16(&want, 10);
    wire_name(&want, "mail.example.com");
    wire_record_end(&want, at);
    wire_record(&want, DNS_AUTHORITY, "x", 65280, 9, "\300\14opaque", 8);
    wire_record(&want, DNS_ADDITIONAL, "", 65281, 9, NULL, 0);
    struct wire got = written(&query, &w);
    assert_same(&got, &want);
}

static void test_rcode_passes_and_what_needs_edns_becomes_servfail(void **state)
{
    (void)state;
    struct dns_query plain = query_of("www.example.com", DNS_TYPE_A);
    struct dns_query edns = edns_query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    put_be16(w.data + 2, get_be16(w.data + 2) | DNS_NXDOMAIN);
    assert_int_equal(written(&plain, &w).data[3] & 15, DNS_NXDOMAIN);
    w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_opt(&w, 1232, 1u << 24, NULL, 0);
    assert_int_equal(written(&plain, &w).data[3] & 15, DNS_SERVFAIL);
    struct wire got = written(&edns, &w);
    assert_int_equal(got.data[3] & 15, 0);
    assert_int_equal(got.data[got.len - DNS_OPT_LEN + 5], 1);
}

static void test_tsig_ends_here(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    size_t at = wire_record_head(&w, DNS_ADDITIONAL, "key", TYPE_TSIG, 255, 0);
    wire_record_end(&w, at);
    struct wire want = wire_response(0x1111, "www.example.com", DNS_TYPE_A);
    struct wire got = written(&query, &w);
    assert_same(&got, &want);
}

static void test_answer_that_does_not_fit_is_not_written(void **state)
{
    (void)state;
    struct dns_query query = edns_query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    for (int i = 0; i < 40; i++) {
        wire_addr(&w, DNS_ANSWER, "@12", 60, "192.0.2.1");
    }
    struct dns_answer *answer = read_fine(&query, &w);
    size_t len = w.len + DNS_OPT_LEN;
    uint8_t *dst = malloc(len);
    assert_int_equal(dns_answer_write(answer, dst, len), len);
    assert_int_equal(dns_answer_write(answer, dst, len - 1), 0);
    free(dst);
    dns_answer_free(answer);
}

/* A hundred thousand fields in one record must cost bytes, not megabytes each. */
static void test_text_of_many_empty_strings_passes_as_bytes(void **state)
{
    (void)state;
    static uint8_t empty[65000];
    struct dns_query query = query_of("www.example.com", TYPE_TXT);
    struct wire w = wire_response(7, "www.example.com", TYPE_TXT);
    wire_record(&w, DNS_ANSWER, "@12", TYPE_TXT, 60, empty, sizeof(empty));
    put_be16(w.data, 0x1111);
    struct wire got = written(&query, &w);
    assert_same(&got, &w);
}

/* ---- what is no answer ---- */

static void test_every_cut_is_malformed(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "cdn.@16");
    wire_addr(&w, DNS_ANSWER, "cdn.example.com", 60, "2001:db8::1");
    wire_opt(&w, 1232, 0, NULL, 0);
    size_t whole = w.len;
    for (w.len = 0; w.len < whole; w.len++) {
        assert_refused(&query, &w, -EBADMSG);
    }
    wire_u8(&w, 0);
    assert_refused(&query, &w, -EBADMSG);
}

static void test_data_of_the_wrong_length_is_malformed(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    static const struct {
        uint16_t type;
        size_t len;
    } cases[] = {{DNS_TYPE_A, 0},
                 {DNS_TYPE_A, 3},
                 {DNS_TYPE_A, 5},
                 {DNS_TYPE_A, 8},
                 {DNS_TYPE_AAAA, 0},
                 {DNS_TYPE_AAAA, 4},
                 {DNS_TYPE_AAAA, 32},
                 {DNS_TYPE_CNAME, 0},
                 {DNS_TYPE_CNAME, 2},
                 {TYPE_MX, 2},
                 {TYPE_MX, 4},
                 {6 /* SOA */, 20},
                 {6, 23},
                 {33 /* SRV */, 6},
                 {33, 8}};
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
        wire_record(&w, DNS_ANSWER, "@12", cases[i].type, 60, zeros, cases[i].len);
        assert_refused(&query, &w, -EBADMSG);
    }
}

static void test_pointers_that_loop_or_lead_on_are_malformed(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    static const char *const owners[] = {"@33", "x.@33", "@40", "@0", "@16383"};
    for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
        struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
        wire_addr(&w, DNS_ANSWER, owners[i], 60, "192.0.2.1");
        assert_refused(&query, &w, -EBADMSG);
    }
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "@45"); /* itself */
    assert_refused(&query, &w, -EBADMSG);
}

static void test_name_over_255_bytes_is_malformed(void **state)
{
    (void)state;
    char label[64];
    char name[300];
    memset(label, 'a', 63);
    label[63] = '\0';
    snprintf(name, sizeof(name), "%s.%s.%s.%s", label, label, label, label);
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, name, 60, "192.0.2.1");
    assert_refused(&query, &w, -EBADMSG);
}

static void test_compressed_name_may_be_255_bytes_too(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A); /* 17 bytes */
    char name[300] = "";
    for (int i = 0; i < 119; i++) {
        strcat(name, "a.");
    }
    strcat(name, "@12");
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, name, 60, "192.0.2.1");
    struct wire got = written(&query, &w);
    assert_int_equal(got.len, w.len - 2 + 17);
    memmove(name + 2, name, strlen(name) + 1);
    w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, name, 60, "192.0.2.1");
    assert_refused(&query, &w, -EBADMSG);
}

/* Thousands of pointers, each to the one before: a name may lead through as many as it has labels.
 */
static void test_long_way_through_pointers_is_malformed(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    for (unsigned n = 127; n <= 128; n++) {
        struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
        size_t at = wire_record_head(&w, DNS_ANSWER, "@12", TYPE_TXT, DNS_CLASS_IN, 60);
        size_t last = DNS_HEADER_LEN;
        for (unsigned i = 0; i + 1 < n; i++) {
            wire_u16(&w, 0xc000u | (unsigned)last);
            last = w.len - 2;
        }
        wire_record_end(&w, at);
        at = wire_record_head(&w, DNS_ANSWER, "", TYPE_NS, DNS_CLASS_IN, 60);
        wire_u16(&w, 0xc000u | (unsigned)last);
        wire_record_end(&w, at);
        struct dns_answer *answer = NULL;
        assert_int_equal(dns_answer_read(&query, w.data, w.len, &answer), n == 127 ? 0 : -EBADMSG);
        dns_answer_free(answer);
    }
}

static void test_loop_of_aliases_is_told(void **state)
{
    (void)state;
    struct dns_query query = query_of("a.example", DNS_TYPE_A);
    struct wire w = wire_response(7, "a.example", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "a.example", DNS_TYPE_CNAME, "b.example");
    wire_alias(&w, DNS_ANSWER, "b.example", DNS_TYPE_CNAME, "a.example");
    assert_refused(&query, &w, -ELOOP);
    w = wire_response(7, "a.example", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "example", DNS_TYPE_DNAME, "example");
    assert_refused(&query, &w, -ELOOP);
}

static void test_chain_of_16_is_the_longest(void **state)
{
    (void)state;
    for (int steps = 16; steps <= 17; steps++) {
        struct dns_query query = query_of("n0.example", DNS_TYPE_A);
        struct wire w = wire_response(7, "n0.example", DNS_TYPE_A);
        for (int i = 0; i < steps; i++) {
            char from[16], to[16];
            sprintf(from, "n%d.example", i);
            sprintf(to, "n%d.example", i + 1);
            wire_alias(&w, DNS_ANSWER, from, DNS_TYPE_CNAME, to);
        }
        struct dns_answer *answer = NULL;
        assert_int_equal(dns_answer_read(&query, w.data, w.len, &answer), steps == 16 ? 0 : -ELOOP);
        dns_answer_free(answer);
    }
}

static void test_512_records_are_the_most(void **state)
{
    (void)state;
    for (unsigned n = 512; n <= 513; n++) {
        struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
        struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
        for (unsigned i = 0; i < n; i++) {
            wire_addr(&w, i % 2 == 0 ? DNS_ANSWER : DNS_ADDITIONAL, "@12", 60, "192.0.2.1");
        }
        struct dns_answer *answer = NULL;
        /* The sections do not stand in order here; only the count matters. */
        assert_int_equal(dns_answer_read(&query, w.data, w.len, &answer), n == 512 ? 0 : -E2BIG);
        dns_answer_free(answer);
    }
}

static void test_other_class_or_misplaced_opt_is_malformed(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    size_t at = wire_record_head(&w, DNS_ANSWER, "@12", DNS_TYPE_A, 3, 60);
    wire_u32(&w, 0xc0000201);
    wire_record_end(&w, at);
    assert_refused(&query, &w, -EBADMSG);
    w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_record(&w, DNS_ANSWER, "", DNS_TYPE_OPT, 0, NULL, 0);
    assert_refused(&query, &w, -EBADMSG);
    w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_record(&w, DNS_ADDITIONAL, "@12", DNS_TYPE_OPT, 0, NULL, 0);
    assert_refused(&query, &w, -EBADMSG);
}

static void test_answer_to_another_question_is_refused(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.org", DNS_TYPE_A);
    assert_refused(&query, &w, -EBADMSG);
    w = wire_response(7, "www.example.com", DNS_TYPE_AAAA);
    assert_refused(&query, &w, -EBADMSG);
    w = wire_query(7, "www.example.com", DNS_TYPE_A);
    assert_refused(&query, &w, -EBADMSG);
}

/* ---- what is judged ---- */

static void test_denied_alias_anywhere_in_the_chain_stops_it(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "Track.ADS.example");
    wire_alias(&w, DNS_ANSWER, "track.ads.example", DNS_TYPE_CNAME, "fine.example");
    wire_addr(&w, DNS_ANSWER, "fine.example", 60, "192.0.2.1");
    struct dns_finding finding;
    assert_int_equal(verdict_of(&query, &w, "deny .ads.example", &finding), DNS_ANSWER_ALIAS);
    assert_string_equal(finding.name, "track.ads.example");
    assert_int_equal(finding.decision.rule, 1);
    assert_int_equal(verdict_of(&query, &w, "deny fine.example", &finding), DNS_ANSWER_ALIAS);
    assert_int_equal(verdict_of(&query, &w, "deny ads.example", &finding), DNS_ANSWER_FINE);
}

static void test_odd_alias_is_judged_by_what_is_above_it(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "a\001b.ads.example");
    struct dns_finding finding;
    assert_int_equal(verdict_of(&query, &w, "deny .ads.example", &finding), DNS_ANSWER_ALIAS);
}

static void test_name_that_a_dname_makes_is_judged(void **state)
{
    (void)state;
    struct dns_query query = query_of("track.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "track.example.com", DNS_TYPE_A);
    wire_alias(&w, DNS_ANSWER, "example.com", DNS_TYPE_DNAME, "ads.example");
    struct dns_finding finding;
    assert_int_equal(verdict_of(&query, &w, "deny track.ads.example", &finding), DNS_ANSWER_ALIAS);
}

static void test_alias_off_the_chain_is_judged_too(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 60, "192.0.2.1");
    wire_alias(&w, DNS_ADDITIONAL, "other.example", DNS_TYPE_CNAME, "ads.example");
    struct dns_finding finding;
    assert_int_equal(verdict_of(&query, &w, "deny ads.example", &finding), DNS_ANSWER_ALIAS);
}

static void test_inner_address_in_any_section_stops_it(void **state)
{
    (void)state;
    static const char *const inner[] = {"10.0.0.1",  "127.0.0.1",      "169.254.169.254",
                                        "::1",       "fd00::1",        "::ffff:10.0.0.1",
                                        "0.0.0.0",   "64:ff9b::a00:1", "192.168.1.1",
                                        "224.0.0.1", "100.64.0.1",     "fe80::1"};
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        for (int section = 0; section < DNS_SECTIONS; section++) {
            struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
            wire_addr(&w, (enum dns_section)section, "elsewhere.example", 60, inner[i]);
            struct dns_finding finding;
            assert_int_equal(verdict_of(&query, &w, "allow *", &finding), DNS_ANSWER_REBIND);
            ln_addr want = addr_of(inner[i]);
            assert_true(ln_addr_equal(&finding.addr, &want));
        }
    }
}

/* An IPv4-mapped AAAA is not of the 4 bytes that an A record has. */
static void test_mapped_address_in_aaaa_is_the_ipv4_address(void **state)
{
    (void)state;
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
    struct dns_query query = query_of("www.example.com", DNS_TYPE_AAAA);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_AAAA);
    wire_record(&w, DNS_ANSWER, "@12", DNS_TYPE_AAAA, 60, mapped, 16);
    struct dns_finding finding;
    assert_int_equal(verdict_of(&query, &w, "allow *", &finding), DNS_ANSWER_REBIND);
}

static void test_allowed_inner_address_passes(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 60, "10.0.0.1");
    struct dns_finding finding;
    assert_int_equal(verdict_of(&query, &w, "allow 10.0.0.0/8", &finding), DNS_ANSWER_FINE);
}

/* ---- HTTPS and SVCB ---- */

static void svcb_record(struct wire *w, const char *owner, const char *target, const void *params,
                        size_t len)
{
    size_t at = wire_record_head(w, DNS_ANSWER, owner, DNS_TYPE_HTTPS, DNS_CLASS_IN, 120);
    wire_u16(w, 1);
    wire_name(w, target);
    wire_bytes(w, params, len);
    wire_record_end(w, at);
}

#define ALPN   "\0\1\0\3\2h2"
#define HINT4  "\0\4\0\4\300\0\2\11"
#define INNER4 "\0\4\0\10\300\0\2\11\12\0\0\1"
#define ECH    "\0\5\0\4key!"
#define HINT6  "\0\6\0\20\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define INNER6 "\0\6\0\20\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
#define LEN(s) (sizeof(s) - 1)

static void test_hints_count_as_addresses(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_HTTPS);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_HTTPS);
    svcb_record(&w, "@12", "", ALPN HINT4 HINT6, LEN(ALPN HINT4 HINT6));
    assert_string_equal(addresses_of(&query, &w), "2001:db8::1/120 192.0.2.9/120 ");
}

static void test_inner_hints_stop_it(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_HTTPS);
    struct dns_finding finding;
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_HTTPS);
    svcb_record(&w, "@12", "", ALPN INNER4 ECH, LEN(ALPN INNER4 ECH));
    assert_int_equal(verdict_of(&query, &w, "allow *", &finding), DNS_ANSWER_REBIND);
    w = wire_response(7, "www.example.com", DNS_TYPE_HTTPS);
    svcb_record(&w, "@12", "", INNER6, LEN(INNER6));
    assert_int_equal(verdict_of(&query, &w, "allow *", &finding), DNS_ANSWER_REBIND);
}

static void test_denied_target_stops_it(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_HTTPS);
    struct dns_finding finding;
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_HTTPS);
    svcb_record(&w, "@12", "svc.ads.example", ALPN, LEN(ALPN));
    assert_int_equal(verdict_of(&query, &w, "deny .ads.example", &finding), DNS_ANSWER_ALIAS);
}

static void test_ech_is_taken_out_and_the_answer_no_longer_authentic(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_HTTPS);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_HTTPS);
    put_be16(w.data + 2, get_be16(w.data + 2) | DNS_FLAG_AD);
    struct wire want = w;
    put_be16(want.data, 0x1111);
    svcb_record(&want, "@12", "svc.example", ALPN HINT4 HINT6, LEN(ALPN HINT4 HINT6));
    struct wire clean = want;
    struct wire got = written(&query, &clean);
    assert_same(&got, &want); /* nothing to take out: AD stays */
    svcb_record(&w, "@12", "svc.example", ALPN HINT4 ECH HINT6, LEN(ALPN HINT4 ECH HINT6));
    got = written(&query, &w);
    put_be16(want.data + 2, get_be16(want.data + 2) & (uint16_t)~DNS_FLAG_AD);
    assert_same(&got, &want);
}

static void test_record_that_needs_ech_or_is_malformed_goes(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_HTTPS);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_HTTPS);
    svcb_record(&w, "@12", "", "\0\0\0\2\0\5" ECH, LEN("\0\0\0\2\0\5" ECH));
    svcb_record(&w, "@12", "", ALPN, LEN(ALPN));
    svcb_record(&w, "@12", "", HINT6 HINT4, LEN(HINT6 HINT4)); /* keys out of order */
    wire_record(&w, DNS_ANSWER, "@12", DNS_TYPE_HTTPS, 60, NULL, 0);
    struct wire want = wire_response(0x1111, "www.example.com", DNS_TYPE_HTTPS);
    svcb_record(&want, "@12", "", ALPN, LEN(ALPN));
    struct wire got = written(&query, &w);
    assert_same(&got, &want);
}

/* ---- how long it holds ---- */

static void add_soa(struct wire *w, uint32_t ttl_s, uint32_t minimum_s)
{
    size_t at = wire_record_head(w, DNS_AUTHORITY, "example.com", 6, DNS_CLASS_IN, ttl_s);
    wire_name(w, "ns.example.com");
    wire_name(w, "root.example.com");
    for (uint32_t i = 1; i <= 4; i++) {
        wire_u32(w, i);
    }
    wire_u32(w, minimum_s);
    wire_record_end(w, at);
}

static uint32_t ttl_of(const struct dns_query *query, const struct wire *w)
{
    struct dns_answer *answer = read_fine(query, w);
    uint32_t ttl_s = dns_answer_ttl(answer);
    dns_answer_free(answer);
    return ttl_s;
}

static void test_answer_is_kept_for_its_shortest_ttl(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", UINT32_C(1000000), "192.0.2.1");
    assert_int_equal(ttl_of(&query, &w), DNS_ANSWER_KEEP_MAX_S);
    wire_addr(&w, DNS_ANSWER, "@12", 200, "192.0.2.2");
    wire_opt(&w, 1232, 1, NULL, 0); /* what stands there is no TTL */
    assert_int_equal(ttl_of(&query, &w), 200);
    w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 200, "192.0.2.1");
    wire_addr(&w, DNS_ADDITIONAL, "ns.example.com", 0, "192.0.2.2");
    assert_int_equal(ttl_of(&query, &w), 0);
}

static void test_absence_is_kept_for_the_minimum_of_its_soa(void **state)
{
    (void)state;
    static const struct {
        uint32_t soa_ttl_s, minimum_s, expected_s;
    } cases[] = {{600, 60, 60}, {60, 600, 60}, {0, 600, 0}, {600, 0, 0}, {99999, 99999, 3600}};
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned rcode = 0; rcode <= DNS_NXDOMAIN; rcode += DNS_NXDOMAIN) {
            struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
            w.data[3] = (uint8_t)(w.data[3] | rcode);
            add_soa(&w, cases[i].soa_ttl_s, cases[i].minimum_s);
            assert_int_equal(ttl_of(&query, &w), cases[i].expected_s);
        }
    }
    struct wire chain = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_alias(&chain, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "cdn.example.com");
    assert_int_equal(ttl_of(&query, &chain), 0); /* it leads nowhere, and nobody says so */
    add_soa(&chain, 600, 60);
    assert_int_equal(ttl_of(&query, &chain), 60);
}

static void test_failures_are_not_kept(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    for (unsigned rcode = 1; rcode < 16; rcode++) {
        struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
        w.data[3] = (uint8_t)(w.data[3] | rcode);
        wire_addr(&w, DNS_ANSWER, "@12", 300, "192.0.2.1");
        add_soa(&w, 600, 60);
        assert_int_equal(ttl_of(&query, &w), rcode == DNS_NXDOMAIN ? 60 : 0);
    }
}

static void test_ttls_go_down_with_age(void **state)
{
    (void)state;
    struct dns_query query = query_of("www.example.com", DNS_TYPE_A);
    struct wire w = wire_response(7, "www.example.com", DNS_TYPE_A);
    wire_addr(&w, DNS_ANSWER, "@12", 300, "192.0.2.1");
    wire_addr(&w, DNS_ANSWER, "@12", 20, "192.0.2.2");
    struct dns_answer *answer = read_fine(&query, &w);
    char text[256] = "";
    dns_answer_age(answer, 50);
    dns_answer_each_address(answer, note_address, text);
    assert_string_equal(text, "192.0.2.2/0 192.0.2.1/250 ");
    dns_answer_free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_gets_the_askers_id_and_case),
        cmocka_unit_test(test_edns_asker_gets_our_opt_without_options),
        cmocka_unit_test(test_chain_is_followed_and_only_its_addresses_count),
        cmocka_unit_test(test_aliases_are_pointed_to),
        cmocka_unit_test(test_dname_makes_the_next_name),
        cmocka_unit_test(test_dname_of_the_name_itself_is_no_alias),
        cmocka_unit_test(test_dname_that_makes_too_long_a_name_ends_the_chain),
        cmocka_unit_test(test_a_query_for_cname_follows_none),
        cmocka_unit_test(test_absurd_ttl_is_zero),
        cmocka_unit_test(test_names_in_data_are_uncompressed_and_the_rest_is_left_alone),
        cmocka_unit_test(test_rcode_passes_and_what_needs_edns_becomes_servfail),
        cmocka_unit_test(test_tsig_ends_here),
        cmocka_unit_test(test_answer_that_does_not_fit_is_not_written),
        cmocka_unit_test(test_text_of_many_empty_strings_passes_as_bytes),
        cmocka_unit_test(test_every_cut_is_malformed),
        cmocka_unit_test(test_data_of_the_wrong_length_is_malformed),
        cmocka_unit_test(test_pointers_that_loop_or_lead_on_are_malformed),
        cmocka_unit_test(test_name_over_255_bytes_is_malformed),
        cmocka_unit_test(test_compressed_name_may_be_255_bytes_too),
        cmocka_unit_test(test_long_way_through_pointers_is_malformed),
        cmocka_unit_test(test_loop_of_aliases_is_told),
        cmocka_unit_test(test_chain_of_16_is_the_longest),
        cmocka_unit_test(test_512_records_are_the_most),
        cmocka_unit_test(test_other_class_or_misplaced_opt_is_malformed),
        cmocka_unit_test(test_answer_to_another_question_is_refused),
        cmocka_unit_test(test_denied_alias_anywhere_in_the_chain_stops_it),
        cmocka_unit_test(test_odd_alias_is_judged_by_what_is_above_it),
        cmocka_unit_test(test_name_that_a_dname_makes_is_judged),
        cmocka_unit_test(test_alias_off_the_chain_is_judged_too),
        cmocka_unit_test(test_inner_address_in_any_section_stops_it),
        cmocka_unit_test(test_mapped_address_in_aaaa_is_the_ipv4_address),
        cmocka_unit_test(test_allowed_inner_address_passes),
        cmocka_unit_test(test_hints_count_as_addresses),
        cmocka_unit_test(test_inner_hints_stop_it),
        cmocka_unit_test(test_denied_target_stops_it),
        cmocka_unit_test(test_ech_is_taken_out_and_the_answer_no_longer_authentic),
        cmocka_unit_test(test_record_that_needs_ech_or_is_malformed_goes),
        cmocka_unit_test(test_answer_is_kept_for_its_shortest_ttl),
        cmocka_unit_test(test_absence_is_kept_for_the_minimum_of_its_soa),
        cmocka_unit_test(test_failures_are_not_kept),
        cmocka_unit_test(test_ttls_go_down_with_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
