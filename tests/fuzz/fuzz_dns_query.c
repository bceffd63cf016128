/* Queries as a guest sends them: whatever the bytes, what leaves is a query for the same name and
 * nothing else of them, and what is replied is well formed. */
#include <stdlib.h>
#include <string.h>

#include "dns/budget.h"
#include "dns/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Lower case, and no byte that a host name cannot hold but for whole labels of `*`. */
static void check_name(const struct dns_question *question)
{
    size_t len = strlen(question->name);
    check(len <= LN_NAME_MAX);
    for (size_t i = 0; i < len; i++) {
        char c = question->name[i];
        bool star = c == '*' && (i == 0 || question->name[i - 1] == '.') &&
                    (question->name[i + 1] == '.' || question->name[i + 1] == '\0');
        check((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-_.", c) != NULL || star);
        check(!star || question->odd);
    }
}

/* What leaves: header, the question in lower case, an OPT of ours. */
static void check_query(const struct dns_query *query)
{
    uint8_t out[DNS_SMALL_MAX];
    struct dns_query again;
    size_t len = dns_query_write(query, 0x1234, out);
    check(len == DNS_HEADER_LEN + query->question.wire_len + 4 + DNS_OPT_LEN);
    check(dns_query_parse(out, len, &again) == DNS_NOERROR);
    check(again.id == 0x1234 && again.edns && again.udp_size == DNS_UDP_SIZE);
    check(again.dnssec_ok == query->dnssec_ok);
    check(dns_name_equal(again.question.wire, again.question.wire_len, query->question.wire,
                         query->question.wire_len));
    check(strcmp(again.question.name, query->question.name) == 0);
    check((again.flags & ~(DNS_FLAG_RD | DNS_FLAG_AD | DNS_FLAG_CD)) == 0);
    /* The same question in mixed case and without EDNS; its answer must repeat the case. */
    uint8_t lower[DNS_SMALL_MAX];
    static const uint8_t random[DNS_NAME_WIRE_MAX / 8 + 1] = {0x55, 0xff, 0x0f, 0xaa};
    memcpy(lower, out, len);
    dns_query_mix_case(out, len, random);
    check(dns_name_equal(out + DNS_HEADER_LEN, query->question.wire_len, lower + DNS_HEADER_LEN,
                         query->question.wire_len));
    bool same = memcmp(out, lower, len) == 0;
    len = dns_query_strip_edns(out, len);
    check(dns_query_parse(out, len, &again) == DNS_NOERROR && !again.edns);
    lower[2] |= DNS_FLAG_QR >> 8;
    check(dns_answer_repeats_case(out, lower, len) == same);
    const char *domain = dns_budget_domain(query->question.name, NULL);
    check(strlen(domain) <= strlen(query->question.name));
    check(dns_name_is_at_or_below(query->question.name, domain));
}

static void check_reply(const struct dns_query *query, unsigned rcode)
{
    uint8_t out[DNS_SMALL_MAX];
    uint16_t flags;
    size_t len = dns_reply_write(query, rcode, false, out);
    check(len >= DNS_HEADER_LEN && len <= DNS_SMALL_MAX);
    check(get_be16(out) == query->id && (out[3] & 15) == (rcode & 15));
    if (query->has_question) {
        check(dns_answer_matches(&query->question, query->id, out, len, &flags));
        ln_addr addr = ln_addr_v4(0xc0000201);
        check(dns_reply_write_addresses(query, &addr, 1, 60, out, sizeof(out)) <= DNS_SMALL_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_query query;
    char text[DNS_NAME_TEXT_MAX];
    int rcode = dns_query_parse(data, size, &query);
    if (rcode < 0) {
        check(size < DNS_HEADER_LEN || (data[2] & 0x80) != 0);
        return 0;
    }
    check(query.udp_size >= DNS_UDP_MIN);
    dns_name_text(query.question.wire, query.question.wire_len, text);
    check_name(&query.question);
    check_reply(&query, (unsigned)rcode);
    if (rcode == DNS_NOERROR) {
        check(query.has_question);
        check_query(&query);
    }
    return 0;
}
