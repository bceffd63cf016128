/* Records as an upstream sends them, behind a header and question that are right: what a guest gets
 * of them is well formed, reads back as what was judged, and holds no inner address, no denied
 * alias and no `ech`. The output is taken apart by a reader of its own. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dns/answer.h"
#include "dns/cookie.h"
#include "dns/svcb.h"
#include "policy/ruleset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTIONS = 5, EDNS = 4, TYPE_TSIG = 250 };

static const char name_asked[] = "\3www\7example\3com";

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* deny .ads; allow * */
static ln_policy *make_policy(void)
{
    static ln_rule rules[] = {
        {.action = LN_DENY,
         .directions = LN_DIRECTION_BIT(LN_EGRESS),
         .protocols = LN_PROTOCOLS_ALL,
         .destination = {.kind = LN_DEST_SUFFIX, .name = "ads"}},
        {.action = LN_ALLOW,
         .directions = LN_DIRECTION_BIT(LN_EGRESS),
         .protocols = LN_PROTOCOLS_ALL},
    };
    struct plan plan = {.rules = rules, .n_rules = 2, .settings = {.dns_rebind_protection = true}};
    ln_policy *policy;
    check(policy_from_plan(&plan, NULL, &policy) == 0);
    return policy;
}

/* ---- the output ---- */

/* The name at *at, which is moved behind it. Pointers lead back. Returns whether it ends in .ads.
 */
static bool read_name(const uint8_t *msg, size_t len, size_t *at)
{
    size_t here = *at;
    size_t end = 0;
    size_t all = 0;
    size_t last = 0; /* where the last label but the root starts */
    for (;;) {
        check(here < len);
        if (msg[here] >= 0xc0) {
            check(here + 1 < len);
            size_t target = (get_be16(msg + here) & 0x3fffu);
            check(target < here && target >= DNS_HEADER_LEN);
            end = end == 0 ? here + 2 : end;
            here = target;
            continue;
        }
        size_t label = msg[here];
        all += 1 + label;
        check(label < 64 && here + 1 + label <= len && all <= DNS_NAME_WIRE_MAX);
        if (label == 0) {
            break;
        }
        last = here;
        here += 1 + label;
    }
    *at = end == 0 ? here + 1 : end;
    return last != 0 && all > 5 && msg[last] == 3 && (msg[last + 1] | 32) == 'a' &&
           (msg[last + 2] | 32) == 'd' && (msg[last + 3] | 32) == 's';
}

static void check_addr(const uint8_t *bytes, size_t len)
{
    ln_addr addr = {{0}};
    check(len == 4 || len == 16);
    if (len == 4) {
        addr = ln_addr_v4(get_be32(bytes));
    } else {
        memcpy(addr.bytes, bytes, 16);
    }
    check(ln_addr_group(&addr, NULL) == LN_GROUP_PUBLIC && !ln_addr_is_never(&addr));
}

static void check_data(const uint8_t *msg, size_t at, size_t end, uint16_t type)
{
    struct svcb svcb;
    size_t after = at;
    switch (type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        check(end - at == (type == DNS_TYPE_A ? 4 : 16));
        check_addr(msg + at, end - at);
        break;
    case DNS_TYPE_CNAME:
    case DNS_TYPE_DNAME:
        check(!read_name(msg, end, &after));
        check(after == end);
        break;
    case DNS_TYPE_SVCB:
    case DNS_TYPE_HTTPS:
        check(svcb_parse(msg + at, end - at, &svcb) == 0 && svcb.ech == NULL);
        for (size_t i = 0; i < svcb.hints4_len; i += 4) {
            check_addr(svcb.hints4 + i, 4);
        }
        for (size_t i = 0; i < svcb.hints6_len; i += 16) {
            check_addr(svcb.hints6 + i, 16);
        }
        break;
    default:
        check(type != TYPE_TSIG);
        break;
    }
}

static void check_message(const uint8_t *msg, size_t len, bool edns)
{
    size_t at = DNS_HEADER_LEN;
    unsigned opts = 0;
    unsigned records = 0;
    check(len >= DNS_HEADER_LEN && get_be16(msg) == 0x1111 && get_be16(msg + 4) == 1);
    for (int i = 0; i < DNS_SECTIONS; i++) {
        records += get_be16(msg + 6 + 2 * i);
    }
    read_name(msg, len, &at);
    at += 4;
    for (; records > 0; records--) {
        read_name(msg, len, &at);
        check(at + 10 <= len);
        uint16_t type = get_be16(msg + at);
        size_t data = at + 10;
        size_t end = data + get_be16(msg + at + 8);
        check(end <= len);
        opts += type == DNS_TYPE_OPT;
        check(type == DNS_TYPE_OPT || get_be32(msg + at + 4) <= 0x7fffffff);
        check_data(msg, data, end, type);
        at = end;
    }
    check(at == len && opts == (edns ? 1 : 0));
}

/* ---- the input ---- */

static void note(void *user, const ln_addr *addr, uint32_t ttl_s)
{
    uint64_t *sum = user;
    for (size_t i = 0; i < 16; i++) {
        *sum = *sum * 31 + addr->bytes[i];
    }
    *sum = *sum * 31 + ttl_s;
}

static size_t put_message(uint8_t *msg, const uint8_t *data, size_t size, uint16_t type)
{
    put_be16(msg, 7);
    put_be16(msg + 2, (uint16_t)(DNS_FLAG_QR | (data[1] & 0x7f)));
    put_be16(msg + 4, 1);
    put_be16(msg + 6, data[2]);
    put_be16(msg + 8, data[3]);
    put_be16(msg + 10, data[4]);
    memcpy(msg + 12, name_asked, sizeof(name_asked));
    put_be16(msg + 12 + sizeof(name_asked), type);
    put_be16(msg + 14 + sizeof(name_asked), DNS_CLASS_IN);
    memcpy(msg + 16 + sizeof(name_asked), data + OPTIONS, size - OPTIONS);
    return 16 + sizeof(name_asked) + size - OPTIONS;
}

/* What is taken of a cookie is either all of it or nothing. */
static void check_cookie(const uint8_t *msg, size_t len)
{
    static const struct dns_cookie known = {.client = "fuzzing"};
    struct dns_cookie cookie = known;
    uint16_t flags;
    bool bad;
    struct dns_question question = {.wire_len = sizeof(name_asked),
                                    .type = get_be16(msg + DNS_HEADER_LEN + sizeof(name_asked)),
                                    .class_ = DNS_CLASS_IN};
    memcpy(question.wire, name_asked, sizeof(name_asked));
    if (!dns_answer_matches(&question, 7, msg, len, &flags)) {
        return;
    }
    if (dns_cookie_read(&cookie, msg, len, &bad) == DNS_COOKIE_RIGHT) {
        check(cookie.server_len >= 8 && cookie.server_len <= DNS_COOKIE_SERVER_MAX);
    } else {
        check(memcmp(&cookie, &known, sizeof(known)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t types[] = {DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_HTTPS, DNS_TYPE_CNAME};
    static uint8_t out[DNS_MESSAGE_MAX];
    if (size < OPTIONS || size > 60000) {
        return 0;
    }
    struct dns_query query = {.id = 0x1111, .has_question = true, .edns = (data[0] & EDNS) != 0};
    query.question.wire_len = sizeof(name_asked);
    memcpy(query.question.wire, name_asked, sizeof(name_asked));
    query.question.type = types[data[0] & 3];
    query.question.class_ = DNS_CLASS_IN;

    uint8_t *msg = malloc(size + 64);
    size_t len = put_message(msg, data, size, query.question.type);
    msg = realloc(msg, len);
    check_cookie(msg, len);
    ln_policy *policy = make_policy();
    struct dns_answer *answer;
    struct dns_finding finding;
    if (dns_answer_read(&query, msg, len, &answer) == 0) {
        uint32_t ttl_s = dns_answer_ttl(answer);
        check(ttl_s <= DNS_ANSWER_KEEP_MAX_S);
        dns_answer_age(answer, ttl_s / 2);
        check(dns_answer_ttl(answer) >= ttl_s - ttl_s / 2);
        if (dns_answer_judge(answer, policy, NULL, &finding) == DNS_ANSWER_FINE) {
            uint64_t sum = 0;
            dns_answer_each_address(answer, note, &sum);
            size_t written = dns_answer_write(answer, out, sizeof(out));
            dns_answer_free(answer);
            answer = NULL;
            if (written > 0) {
                uint64_t again = 0;
                check_message(out, written, query.edns);
                check(dns_answer_read(&query, out, written, &answer) == 0);
                check(dns_answer_judge(answer, policy, NULL, &finding) == DNS_ANSWER_FINE);
                dns_answer_each_address(answer, note, &again);
                check(again == sum);
            }
        }
        dns_answer_free(answer);
    }
    ln_policy_unref(policy);
    free(msg);
    return 0;
}
