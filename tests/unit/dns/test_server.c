/* The name server without I/O: which queries leave, what comes back, what is pinned and told. */
#include <errno.h>

#include "base/text.h"
#include "base/timer.h"
#include "dns/server.h"
#include "dns/wire.h"
#include "guest_frame.h"
#include "policy/fixture.h"

enum { NOW = 1000, GUEST_PORT = 4444 };

/* ---- a server with its policy, and the events it told ---- */

struct told {
    int count;
    ln_event_kind kind;
    char name[300], type[16], action[8], reason[32], detail[320], protocol[8], dst[64];
    char addresses[64 * LN_ADDR_TEXT_MAX]; /* each with a blank behind it */
    uint32_t rule;
};

struct fixture {
    struct dns_server server;
    struct admission admission;
    struct events events;
    struct link_identity link;
    struct told told;
    uint64_t hits[16];
    uint8_t reply[DNS_MESSAGE_MAX];
    size_t reply_len;
    struct dns_ticket ticket;
    uint64_t now_ns;
};

static void copy_text(char *dst, size_t size, const char *text)
{
    snprintf(dst, size, "%s", text == NULL ? "" : text);
}

static int note(void *user, const ln_event *event)
{
    struct told *told = user;
    told->count++;
    told->kind = event->kind;
    told->rule = event->rule;
    copy_text(told->name, sizeof(told->name), event->name);
    copy_text(told->type, sizeof(told->type), event->type);
    copy_text(told->action, sizeof(told->action), event->action);
    copy_text(told->reason, sizeof(told->reason), event->reason);
    copy_text(told->detail, sizeof(told->detail), event->detail);
    copy_text(told->protocol, sizeof(told->protocol), event->protocol);
    if (event->kind == LN_EVENT_LIMIT || event->kind == LN_EVENT_HANDLER_ERROR) {
        return 0;
    }
    ln_addr_format(event->dst, told->dst);
    struct text text = text_of(told->addresses, sizeof(told->addresses));
    for (size_t i = 0; i < event->n_addresses; i++) {
        char address[LN_ADDR_TEXT_MAX];
        ln_addr_format(&event->addresses[i], address);
        text_printf(&text, "%s ", address);
    }
    assert_int_equal(event->port, 53);
    assert_int_equal(event->src_port, GUEST_PORT);
    return 0;
}

static struct fixture *start(ln_policy *policy)
{
    struct fixture *f = calloc(1, sizeof(*f));
    policy->plan.settings.limits.dns_in_flight = 2;
    f->link = guest_link();
    f->events = (struct events){.sink = note, .user = &f->told};
    f->admission = (struct admission){
        .policy = policy, .pins = pins_of(16, 4), .events = &f->events, .hits = f->hits};
    f->server = (struct dns_server){.admission = &f->admission, .link = &f->link};
    f->now_ns = NOW;
    return f;
}

#define START(...) start(POLICY(__VA_ARGS__))

static void stop(struct fixture *f)
{
    assert_int_equal(f->server.in_flight, 0);
    dns_cache_free(f->server.cache);
    dns_budget_free(f->server.budget);
    ln_pins_free(f->admission.pins);
    ln_policy_unref(f->admission.policy);
    free(f);
}

static struct dns_asker asker_to(ln_protocol transport, const char *resolver)
{
    return (struct dns_asker){.transport = transport,
                              .guest = addr_of("172.16.0.2"),
                              .resolver = addr_of(resolver),
                              .guest_port = GUEST_PORT,
                              .resolver_port = DNS_PORT};
}

static enum dns_step send_to(struct fixture *f, ln_protocol transport, const char *resolver,
                             const struct wire *w)
{
    struct dns_asker asker = asker_to(transport, resolver);
    f->told.count = 0;
    f->reply_len = 0;
    return dns_server_query(&f->server, &asker, w->data, w->len, f->now_ns, &f->ticket, f->reply,
                            &f->reply_len);
}

static enum dns_step ask(struct fixture *f, const char *name, uint16_t type)
{
    struct wire w = wire_query(0x1111, name, type);
    return send_to(f, LN_UDP, "172.16.0.1", &w);
}

static unsigned rcode(const struct fixture *f)
{
    assert_true(f->reply_len >= DNS_HEADER_LEN);
    assert_int_equal(get_be16(f->reply), 0x1111);
    return f->reply[3] & 15u;
}

static unsigned answers(const struct fixture *f)
{
    return get_be16(f->reply + 6);
}

static void answer(struct fixture *f, const struct wire *w)
{
    f->told.count = 0;
    f->reply_len = dns_server_answer(&f->server, &f->ticket, w->data, w->len, f->now_ns, f->reply);
}

static void assert_told(const struct fixture *f, ln_event_kind kind, const char *reason)
{
    assert_int_equal(f->told.count, 1);
    assert_int_equal(f->told.kind, kind);
    assert_string_equal(f->told.reason, reason);
}

static void assert_refused(struct fixture *f, enum dns_step step, unsigned want_rcode,
                           const char *reason)
{
    assert_int_equal(step, DNS_REPLY);
    assert_int_equal(rcode(f), want_rcode);
    assert_int_equal(answers(f), 0);
    assert_told(f, LN_EVENT_DNS_DENIED, reason);
    assert_string_equal(f->told.action, "deny");
}

static bool is_pinned(const struct fixture *f, const char *name, const char *addr, uint64_t now_ns)
{
    ln_addr parsed = addr_of(addr);
    return ln_pins_has(f->admission.pins, name, &parsed, now_ns);
}

/* ---- what never leaves ---- */

static void test_denied_name_gets_nxdomain_and_one_event(void **state)
{
    (void)state;
    struct fixture *f = START("deny ads.example deny_list", "allow host udp,tcp 53");
    assert_refused(f, ask(f, "ADS.example", DNS_TYPE_A), DNS_NXDOMAIN, "deny_domain");
    assert_string_equal(f->told.name, "ads.example");
    assert_string_equal(f->told.type, "A");
    assert_string_equal(f->told.protocol, "udp");
    assert_string_equal(f->told.dst, "172.16.0.1");
    assert_int_equal(f->told.rule, 1);
    assert_int_equal(f->hits[1], 1);
    stop(f);
}

static void test_no_rule_means_the_default(void **state)
{
    (void)state;
    struct fixture *f = START("allow api.example tcp 443");
    assert_refused(f, ask(f, "www.example", DNS_TYPE_A), DNS_NXDOMAIN, "default");
    assert_int_equal(ask(f, "api.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_policy_sees_the_transport(void **state)
{
    (void)state;
    struct fixture *f = START("allow host tcp 53");
    struct wire w = wire_query(0x1111, "www.example", DNS_TYPE_A);
    assert_refused(f, send_to(f, LN_UDP, "172.16.0.1", &w), DNS_NXDOMAIN, "default");
    assert_int_equal(send_to(f, LN_TCP, "172.16.0.1", &w), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_denied_suffix_holds_below_strange_bytes(void **state)
{
    (void)state;
    struct fixture *f = START("deny .evil.example", "allow *");
    assert_refused(f, ask(f, "da\001ta.evil.example", DNS_TYPE_A), DNS_NXDOMAIN, "rule");
    assert_string_equal(f->told.name, "da\\001ta.evil.example");
    assert_int_equal(ask(f, "da\001ta.good.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_strange_name_is_matched_by_no_exact_rule(void **state)
{
    (void)state;
    struct fixture *f = START("allow a.example");
    assert_refused(f, ask(f, "\001.example", DNS_TYPE_A), DNS_NXDOMAIN, "default");
    stop(f);
}

static void test_root_is_matched_by_no_name(void **state)
{
    (void)state;
    struct fixture *f = START("allow .example", "allow example");
    assert_refused(f, ask(f, "", 2), DNS_NXDOMAIN, "default");
    assert_string_equal(f->told.name, ".");
    stop(f);
    f = START("allow host udp 53");
    assert_int_equal(ask(f, "", 2), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_types_about_everything_are_refused(void **state)
{
    (void)state;
    static const uint16_t types[] = {41, 249, 250, 251, 252, 253, 254, 255};
    struct fixture *f = START("allow *");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        assert_refused(f, ask(f, "www.example", types[i]), DNS_REFUSED, "refused");
    }
    stop(f);
}

static void test_other_classes_are_refused(void **state)
{
    (void)state;
    static const uint16_t classes[] = {0, 2, 3, 4, 254, 255};
    struct fixture *f = START("allow *");
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        struct wire w = wire_message(0x1111, 0);
        wire_question(&w, "version.bind", 16, classes[i]);
        assert_refused(f, send_to(f, LN_UDP, "172.16.0.1", &w), DNS_REFUSED, "refused");
    }
    stop(f);
}

static void test_malformed_queries_are_told(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    struct wire none = wire_message(0x1111, 0);
    assert_refused(f, send_to(f, LN_UDP, "172.16.0.1", &none), DNS_FORMERR, "formerr");
    struct wire update = wire_message(0x1111, 5u << 11);
    assert_refused(f, send_to(f, LN_UDP, "172.16.0.1", &update), DNS_NOTIMP, "notimp");
    struct wire future = wire_query(0x1111, "www.example", DNS_TYPE_A);
    wire_opt(&future, 1232, 1u << 16, NULL, 0);
    assert_int_equal(send_to(f, LN_UDP, "172.16.0.1", &future), DNS_REPLY);
    assert_told(f, LN_EVENT_DNS_DENIED, "badvers");
    stop(f);
}

static void test_responses_are_dropped_without_a_word(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    struct wire w = wire_response(0x1111, "www.example", DNS_TYPE_A);
    assert_int_equal(send_to(f, LN_UDP, "172.16.0.1", &w), DNS_DROP);
    assert_int_equal(f->told.count, 0);
    stop(f);
}

static void test_discovery_of_other_resolvers_finds_none(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    static const char *const names[] = {"use-application-dns.net", "USE-application-dns.net",
                                        "_dns.resolver.arpa", "x._dns.resolver.arpa"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_refused(f, ask(f, names[i], DNS_TYPE_SVCB), DNS_NXDOMAIN, "discovery");
    }
    assert_int_equal(ask(f, "not-use-application-dns.net", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

/* ---- resolvers that the guest names ---- */

static void test_named_resolver_needs_a_rule_of_its_own(void **state)
{
    (void)state;
    struct fixture *f = START("allow host udp,tcp 53", "allow www.example");
    struct wire w = wire_query(0x1111, "www.example", DNS_TYPE_A);
    assert_refused(f, send_to(f, LN_UDP, "9.9.9.9", &w), DNS_NXDOMAIN, "resolver");
    assert_string_equal(f->told.dst, "9.9.9.9");
    stop(f);
    f = START("allow host udp,tcp 53", "allow 9.9.9.9 udp 53");
    assert_int_equal(send_to(f, LN_UDP, "9.9.9.9", &w), DNS_ASK);
    assert_true(f->ticket.named && f->ticket.pinned);
    dns_server_cancel(&f->server, &f->ticket);
    assert_refused(f, send_to(f, LN_TCP, "9.9.9.9", &w), DNS_NXDOMAIN, "resolver");
    stop(f);
}

static void test_denied_name_is_denied_whoever_is_asked(void **state)
{
    (void)state;
    struct fixture *f = START("deny ads.example", "allow *");
    struct wire w = wire_query(0x1111, "ads.example", DNS_TYPE_A);
    assert_refused(f, send_to(f, LN_UDP, "9.9.9.9", &w), DNS_NXDOMAIN, "rule");
    stop(f);
}

static void test_resolver_of_the_guests_own_choice_makes_no_pins(void **state)
{
    (void)state;
    static const char *const rules[] = {"allow public udp 53", "allow * udp 53",
                                        "allow 9.0.0.0/8 udp 53"};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct fixture *f = START("allow www.example tcp 22", rules[i]);
        struct wire w = wire_query(0x1111, "www.example", DNS_TYPE_A);
        assert_int_equal(send_to(f, LN_UDP, "9.9.9.9", &w), DNS_ASK);
        struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
        wire_addr(&a, DNS_ANSWER, "@12", 300, "192.0.2.66");
        answer(f, &a);
        assert_int_equal(answers(f), 1);
        assert_false(is_pinned(f, "www.example", "192.0.2.66", NOW));
        stop(f);
    }
}

static void test_truncated_answer_of_a_named_resolver_is_truncated(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    struct wire w = wire_query(0x1111, "www.example", DNS_TYPE_A);
    assert_int_equal(send_to(f, LN_UDP, "9.9.9.9", &w), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_addr(&a, DNS_ANSWER, "@12", 300, "10.0.0.1"); /* not passed on either */
    put_be16(a.data + 2, get_be16(a.data + 2) | DNS_FLAG_TC);
    answer(f, &a);
    assert_int_equal(f->reply_len, w.len);
    assert_true((get_be16(f->reply + 2) & DNS_FLAG_TC) != 0);
    stop(f);
}

/* ---- what is answered here ---- */

static void test_gateway_names_are_the_gateway(void **state)
{
    (void)state;
    static const char *const names[] = {"host.lunette.internal", "host.microsandbox.internal"};
    struct fixture *f = START("allow host udp,tcp 53");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ask(f, names[i], DNS_TYPE_A), DNS_REPLY);
        assert_told(f, LN_EVENT_DNS_QUERY, "rule");
        assert_int_equal(answers(f), 1);
        assert_memory_equal(f->reply + f->reply_len - 4, "\254\20\0\1", 4);
        assert_true(is_pinned(f, names[i], "172.16.0.1", NOW));
        assert_string_equal(f->told.addresses, "172.16.0.1 ");
        assert_int_equal(ask(f, names[i], DNS_TYPE_AAAA), DNS_REPLY);
        assert_true(is_pinned(f, names[i], "fd42:6d73:62::1", NOW));
        assert_int_equal(ask(f, names[i], 16), DNS_REPLY);
        assert_int_equal(answers(f), 0);
        assert_int_equal(rcode(f), 0);
    }
    stop(f);
}

static void test_gateway_names_are_subject_to_policy(void **state)
{
    (void)state;
    struct fixture *f = START("allow www.example");
    assert_refused(f, ask(f, "host.lunette.internal", DNS_TYPE_A), DNS_NXDOMAIN, "default");
    stop(f);
}

static void test_family_without_a_route_is_empty_and_asks_nobody(void **state)
{
    (void)state;
    struct fixture *f = START("allow *", "deny x.example");
    f->link.route6 = false;
    assert_int_equal(ask(f, "www.example", DNS_TYPE_AAAA), DNS_REPLY);
    assert_int_equal(rcode(f), 0);
    assert_int_equal(answers(f), 0);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    f->link.route4 = false;
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
    /* The gateway is on the link, whatever the host can route. */
    assert_int_equal(ask(f, "host.lunette.internal", DNS_TYPE_AAAA), DNS_REPLY);
    assert_int_equal(answers(f), 1);
    stop(f);
}

/* ---- what comes back ---- */

static void test_answer_is_pinned_and_given(void **state)
{
    (void)state;
    struct fixture *f = START("allow www.example");
    assert_int_equal(ask(f, "WWW.example", DNS_TYPE_A), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_alias(&a, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "cdn.example");
    wire_addr(&a, DNS_ANSWER, "cdn.example", 1, "192.0.2.1");
    wire_addr(&a, DNS_ANSWER, "cdn.example", 3600, "192.0.2.2");
    answer(f, &a);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    assert_string_equal(f->told.detail, "NOERROR");
    assert_string_equal(f->told.addresses, "192.0.2.1 192.0.2.2 ");
    assert_string_equal(f->told.action, "allow");
    assert_int_equal(answers(f), 3);
    /* At least 60 s; only under the name that was asked for. */
    assert_true(is_pinned(f, "www.example", "192.0.2.1", NOW + 59 * SECOND_NS));
    assert_false(is_pinned(f, "www.example", "192.0.2.1", NOW + 61 * SECOND_NS));
    assert_true(is_pinned(f, "www.example", "192.0.2.2", NOW + 3599 * SECOND_NS));
    assert_false(is_pinned(f, "cdn.example", "192.0.2.1", NOW));
    stop(f);
}

static void test_first_addresses_of_many_stay_pinned(void **state)
{
    (void)state;
    struct fixture *f = START("allow www.example"); /* 4 addresses a name */
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    for (int i = 1; i <= 8; i++) {
        char text[16];
        sprintf(text, "192.0.2.%d", i);
        wire_addr(&a, DNS_ANSWER, "@12", 60, text);
    }
    answer(f, &a);
    assert_true(is_pinned(f, "www.example", "192.0.2.1", NOW));
    assert_true(is_pinned(f, "www.example", "192.0.2.4", NOW));
    assert_false(is_pinned(f, "www.example", "192.0.2.5", NOW));
    stop(f);
}

static void test_inner_address_becomes_nxdomain(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_addr(&a, DNS_ANSWER, "@12", 60, "192.0.2.1");
    wire_addr(&a, DNS_ANSWER, "@12", 60, "10.0.0.1");
    answer(f, &a);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_int_equal(answers(f), 0);
    assert_told(f, LN_EVENT_DNS_REBIND, "rebind");
    assert_string_equal(f->told.addresses, "10.0.0.1 ");
    assert_string_equal(f->told.detail, "the answer holds 10.0.0.1");
    assert_false(is_pinned(f, "www.example", "192.0.2.1", NOW));
    stop(f);
}

static void test_denied_alias_becomes_nxdomain(void **state)
{
    (void)state;
    struct fixture *f = START("deny .ads.example", "allow *");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_alias(&a, DNS_ANSWER, "@12", DNS_TYPE_CNAME, "x.ads.example");
    wire_addr(&a, DNS_ANSWER, "x.ads.example", 60, "192.0.2.1");
    answer(f, &a);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_told(f, LN_EVENT_DNS_DENIED, "alias");
    assert_string_equal(f->told.detail, "the answer holds x.ads.example");
    assert_string_equal(f->told.name, "www.example");
    assert_int_equal(f->told.rule, 1);
    assert_false(is_pinned(f, "www.example", "192.0.2.1", NOW));
    stop(f);
}

static void test_malformed_answer_becomes_servfail(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_record(&a, DNS_ANSWER, "@12", DNS_TYPE_A, 60, "abc", 3);
    answer(f, &a);
    assert_int_equal(rcode(f), DNS_SERVFAIL);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    assert_string_equal(f->told.detail, "the answer is malformed");
    stop(f);
}

static void test_failure_becomes_servfail(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    f->told.count = 0;
    f->reply_len = dns_server_fail(&f->server, &f->ticket, "timeout", f->reply);
    assert_int_equal(rcode(f), DNS_SERVFAIL);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    assert_string_equal(f->told.detail, "timeout");
    stop(f);
}

static void test_policy_of_the_time_of_the_answer_decides(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    ln_policy *old = f->admission.policy;
    f->admission.policy = POLICY("deny www.example");
    ln_policy_unref(old);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_addr(&a, DNS_ANSWER, "@12", 60, "192.0.2.1");
    answer(f, &a);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_told(f, LN_EVENT_DNS_DENIED, "rule");
    assert_false(is_pinned(f, "www.example", "192.0.2.1", NOW));
    stop(f);
}

static void test_question_that_left_is_told_even_when_the_asker_is_gone(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    f->told.count = 0;
    dns_server_cancel(&f->server, &f->ticket);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    stop(f);
}

static void test_no_room_is_servfail_at_once(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    struct dns_ticket tickets[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
        tickets[i] = f->ticket;
    }
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
    assert_int_equal(rcode(f), DNS_SERVFAIL);
    assert_int_equal(f->told.count, 0);
    assert_int_equal(f->server.over_limit, 1);
    dns_server_cancel(&f->server, &tickets[0]);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    dns_server_cancel(&f->server, &tickets[1]);
    stop(f);
}

static void test_reply_fits_what_the_asker_takes(void **state)
{
    (void)state;
    static const struct {
        ln_protocol transport;
        uint16_t edns; /* 0: none */
        unsigned records;
        bool truncated;
    } cases[] = {
        {LN_UDP, 0, 29, false},   {LN_UDP, 0, 40, true},      {LN_UDP, 1232, 40, false},
        {LN_UDP, 1232, 90, true}, {LN_UDP, 4096, 200, false}, {LN_UDP, 65535, 300, true},
        {LN_TCP, 0, 300, false},  {LN_TCP, 1232, 300, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f = START("allow *");
        struct wire w = wire_query(0x1111, "www.example", DNS_TYPE_A);
        if (cases[i].edns != 0) {
            wire_opt(&w, cases[i].edns, 0, NULL, 0);
        }
        assert_int_equal(send_to(f, cases[i].transport, "172.16.0.1", &w), DNS_ASK);
        struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
        for (unsigned r = 0; r < cases[i].records; r++) {
            wire_addr(&a, DNS_ANSWER, "@12", 60, "192.0.2.1");
        }
        answer(f, &a);
        bool truncated = (get_be16(f->reply + 2) & DNS_FLAG_TC) != 0;
        assert_int_equal(truncated, cases[i].truncated);
        assert_int_equal(answers(f), truncated ? 0 : cases[i].records);
        assert_true(is_pinned(f, "www.example", "192.0.2.1", NOW));
        stop(f);
    }
}

static void test_answer_too_long_for_tcp_is_servfail(void **state)
{
    (void)state;
    static uint8_t text[255] = {254};
    struct fixture *f = START("allow *");
    struct wire w = wire_query(0x1111, "www.example", 16);
    assert_int_equal(send_to(f, LN_TCP, "172.16.0.1", &w), DNS_ASK);
    struct wire a = wire_response(7, "www.example", 16);
    /* Compressed data that grows: mail exchangers with names of 200 bytes. */
    char name[210] = "";
    for (int i = 0; i < 100; i++) {
        strcat(name, i == 0 ? "a" : ".a");
    }
    wire_record(&a, DNS_ANSWER, name, 16, 60, text, sizeof(text));
    for (int i = 0; i < 400; i++) {
        size_t at = wire_record_head(&a, DNS_AUTHORITY, "@29", 15, DNS_CLASS_IN, 60);
        wire_u16(&a, 10);
        wire_name(&a, "@29");
        wire_record_end(&a, at);
    }
    answer(f, &a);
    assert_int_equal(rcode(f), DNS_SERVFAIL);
    assert_string_equal(f->told.detail, "the answer is too long");
    stop(f);
}

/* ---- the cache ---- */

static void start_cache(struct fixture *f)
{
    static const uint8_t key[16] = "key";
    f->server.cache = dns_cache_new(64, 1 << 20, key);
}

/* An answer to www.example with one address. */
static void answer_with(struct fixture *f, const char *addr, uint32_t ttl_s)
{
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    wire_addr(&a, DNS_ANSWER, "@12", ttl_s, addr);
    answer(f, &a);
}

static uint32_t first_ttl(const struct fixture *f)
{
    return get_be32(f->reply + 12 + 17 + 6); /* behind the question, a pointer, type and class */
}

static void test_second_query_is_answered_from_the_cache_and_pinned_anew(void **state)
{
    (void)state;
    struct fixture *f = START("allow www.example");
    start_cache(f);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    answer_with(f, "192.0.2.1", 300);
    assert_int_equal(first_ttl(f), 300);
    f->now_ns += 290 * SECOND_NS + SECOND_NS / 2;
    assert_int_equal(ask(f, "WWW.example", DNS_TYPE_A), DNS_REPLY);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    assert_string_equal(f->told.detail, "NOERROR, cached");
    assert_int_equal(f->told.rule, 1);
    assert_int_equal(f->hits[1], 2);
    assert_memory_equal(f->reply + 12, "\3WWW", 4);
    assert_int_equal(first_ttl(f), 10);
    assert_true(is_pinned(f, "www.example", "192.0.2.1", f->now_ns + 59 * SECOND_NS));
    f->now_ns += 10 * SECOND_NS;
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_absence_is_cached_too(void **state)
{
    (void)state;
    struct fixture *f = START("allow www.example");
    start_cache(f);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
    a.data[3] |= DNS_NXDOMAIN;
    wire_record(&a, DNS_AUTHORITY, "example", 6, 100,
                "\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\36", 22);
    answer(f, &a);
    f->now_ns += 29 * SECOND_NS;
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_string_equal(f->told.detail, "NXDOMAIN, cached");
    f->now_ns += SECOND_NS;
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_only_the_same_query_is_answered_from_the_cache(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    start_cache(f);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    answer_with(f, "192.0.2.1", 300);
    struct wire others[4] = {
        wire_query(0x1111, "www.example", DNS_TYPE_AAAA),
        wire_query(0x1111, "ww.example", DNS_TYPE_A),
        wire_query(0x1111, "www.example", DNS_TYPE_A),
        wire_query(0x1111, "www.example", DNS_TYPE_A),
    };
    wire_opt(&others[2], 1232, 0x8000, NULL, 0); /* DO */
    others[3].data[3] |= DNS_FLAG_CD;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send_to(f, LN_UDP, "172.16.0.1", &others[i]), DNS_ASK);
        dns_server_cancel(&f->server, &f->ticket);
    }
    struct wire same = wire_query(0x1111, "www.example", DNS_TYPE_A);
    wire_opt(&same, 1232, 0, NULL, 0);
    assert_int_equal(send_to(f, LN_TCP, "fd42:6d73:62::1", &same), DNS_REPLY);
    assert_int_equal(send_to(f, LN_UDP, "9.9.9.9", &same), DNS_ASK);
    answer_with(f, "192.0.2.9", 300); /* kept from those who ask the gateway */
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
    assert_memory_equal(f->reply + f->reply_len - 4, "\300\0\2\1", 4);
    stop(f);
}

static void test_cached_answer_is_judged_each_time(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    start_cache(f);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    answer_with(f, "10.0.0.1", 300);
    assert_told(f, LN_EVENT_DNS_REBIND, "rebind");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_told(f, LN_EVENT_DNS_REBIND, "rebind");
    ln_policy_unref(f->admission.policy); /* another policy, the same resolvers */
    f->admission.policy = POLICY("allow *", "allow 10.0.0.0/8");
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
    assert_int_equal(rcode(f), DNS_NOERROR);
    ln_policy_unref(f->admission.policy);
    f->admission.policy = POLICY("deny www.example", "allow *");
    assert_refused(f, ask(f, "www.example", DNS_TYPE_A), DNS_NXDOMAIN, "rule");
    stop(f);
}

static void test_answer_to_a_question_of_another_policy_is_not_kept(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    start_cache(f);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    ln_policy_unref(f->admission.policy);
    f->admission.policy = POLICY("allow *");
    answer_with(f, "192.0.2.1", 300);
    assert_int_equal(rcode(f), DNS_NOERROR);
    assert_int_equal(dns_cache_count(f->server.cache), 0);
    stop(f);
}

static void test_failures_are_not_cached(void **state)
{
    (void)state;
    struct fixture *f = START("allow *");
    start_cache(f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
        struct wire a = wire_response(7, "www.example", DNS_TYPE_A);
        wire_addr(&a, DNS_ANSWER, "@12", 300, "192.0.2.1");
        if (i == 0) {
            a.data[3] |= DNS_SERVFAIL;
        } else if (i == 1) {
            a.data[2] |= DNS_FLAG_TC >> 8;
        } else {
            a.len--;
        }
        answer(f, &a);
    }
    assert_int_equal(dns_cache_count(f->server.cache), 0);
    stop(f);
}

/* ---- names of lunette's own ---- */

static void set_hosts(struct fixture *f, ln_dns_host *hosts, size_t n)
{
    ln_settings *settings = &f->admission.policy->plan.settings;
    settings->dns_hosts = hosts;
    settings->n_dns_hosts = n;
}

static void test_hosts_are_answered_and_pinned_without_asking(void **state)
{
    (void)state;
    ln_addr addrs[] = {addr_of("10.0.0.5"), addr_of("fd00::5"), addr_of("10.0.0.6")};
    ln_dns_host hosts[] = {{"a.example", addrs, 1}, {"db", addrs, 3}, {"z.example", addrs, 1}};
    struct fixture *f = START("allow host udp,tcp 53");
    set_hosts(f, hosts, 3);
    assert_int_equal(ask(f, "DB", DNS_TYPE_A), DNS_REPLY);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    assert_string_equal(f->told.detail, "one of dns.hosts");
    assert_string_equal(f->told.addresses, "10.0.0.5 10.0.0.6 ");
    assert_int_equal(answers(f), 2);
    assert_true(is_pinned(f, "db", "10.0.0.5", NOW) && is_pinned(f, "db", "10.0.0.6", NOW));
    assert_false(is_pinned(f, "db", "fd00::5", NOW));
    f->link.route6 = false; /* whatever the host can route */
    assert_int_equal(ask(f, "db", DNS_TYPE_AAAA), DNS_REPLY);
    assert_int_equal(answers(f), 1);
    assert_int_equal(ask(f, "z.example", DNS_TYPE_AAAA), DNS_REPLY);
    assert_int_equal(rcode(f), DNS_NOERROR);
    assert_int_equal(answers(f), 0);
    assert_int_equal(ask(f, "db", 16), DNS_REPLY);
    assert_int_equal(answers(f), 0);
    assert_int_equal(ask(f, "x.db", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_hosts_are_subject_to_policy(void **state)
{
    (void)state;
    ln_addr addr = addr_of("10.0.0.5");
    ln_dns_host hosts[] = {{"db.example", &addr, 1}};
    struct fixture *f = START("deny db.example", "allow *");
    set_hosts(f, hosts, 1);
    assert_refused(f, ask(f, "db.example", DNS_TYPE_A), DNS_NXDOMAIN, "rule");
    assert_false(is_pinned(f, "db.example", "10.0.0.5", NOW));
    stop(f);
}

static void test_many_addresses_of_a_host_are_given_as_far_as_they_fit(void **state)
{
    (void)state;
    ln_addr addrs[64];
    for (int i = 0; i < 64; i++) {
        addrs[i] = addr_of("fd00::1");
    }
    ln_dns_host hosts[] = {{"db", addrs, 64}};
    struct fixture *f = START("allow *");
    set_hosts(f, hosts, 1);
    assert_int_equal(ask(f, "db", DNS_TYPE_AAAA), DNS_REPLY);
    assert_true(f->reply_len <= 512 && answers(f) > 10);
    struct wire w = wire_query(0x1111, "db", DNS_TYPE_AAAA);
    assert_int_equal(send_to(f, LN_TCP, "172.16.0.1", &w), DNS_REPLY);
    assert_int_equal(answers(f), 64);
    stop(f);
}

/* ---- the budget ---- */

static void start_budget(struct fixture *f, ln_budget_scope scope, uint32_t queries)
{
    static const uint8_t key[16] = "key";
    f->server.budget = dns_budget_new(key);
    f->admission.policy->plan.settings.dns_budget =
        (ln_dns_budget){.scope = scope, .queries = queries, .labels = 1000, .bytes = 100000};
}

static void assert_passes(struct fixture *f, const char *name)
{
    assert_int_equal(ask(f, name, DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
}

static void test_names_below_an_allowed_suffix_have_a_budget(void **state)
{
    (void)state;
    struct fixture *f =
        START("allow .example.com", "allow .example.org", "allow exact.example.com");
    start_budget(f, LN_BUDGET_SUFFIX_RULES, 2);
    assert_passes(f, "a.example.com");
    assert_passes(f, "b.example.com");
    assert_int_equal(ask(f, "c.example.com", DNS_TYPE_A), DNS_REPLY);
    assert_int_equal(f->told.count, 2); /* the limit, then the query */
    assert_int_equal(f->told.kind, LN_EVENT_DNS_DENIED);
    assert_string_equal(f->told.reason, "budget");
    assert_int_equal(f->events.counts[LN_EVENT_LIMIT], 1);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_refused(f, ask(f, "a.example.com", DNS_TYPE_A), DNS_NXDOMAIN, "budget");
    assert_passes(f, "a.example.org"); /* another domain */
    f->now_ns += 60 * SECOND_NS;
    assert_passes(f, "c.example.com"); /* another minute */
    stop(f);
}

static void test_only_suffix_rules_have_a_budget_unless_one_is_set(void **state)
{
    (void)state;
    struct fixture *f = START("allow exact.example.com", "allow host udp 53");
    start_budget(f, LN_BUDGET_SUFFIX_RULES, 1);
    for (int i = 0; i < 3; i++) {
        assert_passes(f, "exact.example.com");
        assert_passes(f, "other.example.com");
    }
    f->admission.policy->plan.settings.dns_budget.scope = LN_BUDGET_ALL;
    assert_passes(f, "exact.example.com");
    assert_int_equal(ask(f, "other.example.com", DNS_TYPE_A), DNS_REPLY);
    f->admission.policy->plan.settings.dns_budget.scope = LN_BUDGET_NONE;
    assert_passes(f, "other.example.com");
    stop(f);
}

static void test_cached_answers_cost_no_budget(void **state)
{
    (void)state;
    struct fixture *f = START("allow .example");
    start_cache(f);
    start_budget(f, LN_BUDGET_SUFFIX_RULES, 1);
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    answer_with(f, "192.0.2.1", 300);
    assert_int_equal(ask(f, "x.example", DNS_TYPE_A), DNS_REPLY); /* over */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_REPLY);
        assert_int_equal(rcode(f), DNS_NOERROR);
    }
    stop(f);
}

/* ---- on_dns ---- */

/* What it answers, by name: "deny", "allow", one of two addresses; it fails at others but www. */
static int script(void *user, int reference, const ln_dns_query *query, ln_action *ret_action,
                  ln_dns_answer *ret_answer)
{
    ++*(int *)user;
    assert_int_equal(reference, 3);
    if (strcmp(query->name, "www.example") == 0) {
        return 0;
    }
    *ret_action = strcmp(query->name, "deny") == 0 ? LN_DENY : LN_ALLOW;
    if (strcmp(query->name, "answer") == 0) {
        assert_string_equal(query->type, "TYPE65400");
        assert_int_equal(query->transport, LN_TCP);
        return 1;
    }
    if (strcmp(query->name, "inner") == 0) {
        ret_answer->addrs[0] = addr_of("10.0.0.1");
        ret_answer->n_addrs = 1;
    }
    return strcmp(query->name, "broken") == 0 ? -EINVAL : 1;
}

static struct fixture *start_scripted(ln_policy *policy, int *asked)
{
    policy->handlers = (ln_handlers){.user = asked, .on_dns = script};
    policy->plan.settings.on_dns = 3;
    return start(policy);
}

static void test_on_dns_decides_between_deny_lists_and_rules(void **state)
{
    (void)state;
    int asked = 0;
    struct fixture *f = start_scripted(
        POLICY("deny ads.example deny_list", "deny allow", "allow www.example"), &asked);
    assert_refused(f, ask(f, "ads.example", DNS_TYPE_A), DNS_NXDOMAIN, "deny_domain");
    assert_int_equal(asked, 0);
    assert_refused(f, ask(f, "deny", DNS_TYPE_A), DNS_NXDOMAIN, "on_dns");
    assert_int_equal(ask(f, "allow", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    assert_told(f, LN_EVENT_DNS_QUERY, "on_dns");
    assert_int_equal(asked, 2); /* once for each query */
    assert_int_equal(ask(f, "www.example", DNS_TYPE_A), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    assert_told(f, LN_EVENT_DNS_QUERY, "rule");
    struct wire w = wire_query(0x1111, "answer", 65400);
    assert_int_equal(send_to(f, LN_TCP, "172.16.0.1", &w), DNS_ASK);
    dns_server_cancel(&f->server, &f->ticket);
    stop(f);
}

static void test_on_dns_answers_with_addresses_of_its_own(void **state)
{
    (void)state;
    int asked = 0;
    struct fixture *f = start_scripted(POLICY("allow www.example"), &asked);
    assert_int_equal(ask(f, "inner", DNS_TYPE_A), DNS_REPLY);
    assert_told(f, LN_EVENT_DNS_QUERY, "on_dns");
    assert_string_equal(f->told.addresses, "10.0.0.1 ");
    assert_int_equal(answers(f), 1);
    assert_true(is_pinned(f, "inner", "10.0.0.1", NOW));
    assert_int_equal(ask(f, "inner", DNS_TYPE_AAAA), DNS_REPLY);
    assert_int_equal(answers(f), 0);
    assert_int_equal(rcode(f), DNS_NOERROR);
    stop(f);
}

static void test_on_dns_that_fails_denies_and_is_told(void **state)
{
    (void)state;
    int asked = 0;
    struct fixture *f = start_scripted(POLICY("allow *"), &asked);
    assert_int_equal(ask(f, "broken", DNS_TYPE_A), DNS_REPLY);
    assert_int_equal(rcode(f), DNS_NXDOMAIN);
    assert_int_equal(f->events.counts[LN_EVENT_HANDLER_ERROR], 1);
    assert_string_equal(f->told.reason, "handler_error");
    assert_int_equal(f->events.counts[LN_EVENT_DNS_DENIED], 1);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_denied_name_gets_nxdomain_and_one_event),
        cmocka_unit_test(test_no_rule_means_the_default),
        cmocka_unit_test(test_policy_sees_the_transport),
        cmocka_unit_test(test_denied_suffix_holds_below_strange_bytes),
        cmocka_unit_test(test_strange_name_is_matched_by_no_exact_rule),
        cmocka_unit_test(test_root_is_matched_by_no_name),
        cmocka_unit_test(test_types_about_everything_are_refused),
        cmocka_unit_test(test_other_classes_are_refused),
        cmocka_unit_test(test_malformed_queries_are_told),
        cmocka_unit_test(test_responses_are_dropped_without_a_word),
        cmocka_unit_test(test_discovery_of_other_resolvers_finds_none),
        cmocka_unit_test(test_named_resolver_needs_a_rule_of_its_own),
        cmocka_unit_test(test_denied_name_is_denied_whoever_is_asked),
        cmocka_unit_test(test_resolver_of_the_guests_own_choice_makes_no_pins),
        cmocka_unit_test(test_truncated_answer_of_a_named_resolver_is_truncated),
        cmocka_unit_test(test_gateway_names_are_the_gateway),
        cmocka_unit_test(test_gateway_names_are_subject_to_policy),
        cmocka_unit_test(test_family_without_a_route_is_empty_and_asks_nobody),
        cmocka_unit_test(test_answer_is_pinned_and_given),
        cmocka_unit_test(test_first_addresses_of_many_stay_pinned),
        cmocka_unit_test(test_inner_address_becomes_nxdomain),
        cmocka_unit_test(test_denied_alias_becomes_nxdomain),
        cmocka_unit_test(test_malformed_answer_becomes_servfail),
        cmocka_unit_test(test_failure_becomes_servfail),
        cmocka_unit_test(test_policy_of_the_time_of_the_answer_decides),
        cmocka_unit_test(test_question_that_left_is_told_even_when_the_asker_is_gone),
        cmocka_unit_test(test_no_room_is_servfail_at_once),
        cmocka_unit_test(test_reply_fits_what_the_asker_takes),
        cmocka_unit_test(test_answer_too_long_for_tcp_is_servfail),
        cmocka_unit_test(test_second_query_is_answered_from_the_cache_and_pinned_anew),
        cmocka_unit_test(test_absence_is_cached_too),
        cmocka_unit_test(test_only_the_same_query_is_answered_from_the_cache),
        cmocka_unit_test(test_cached_answer_is_judged_each_time),
        cmocka_unit_test(test_answer_to_a_question_of_another_policy_is_not_kept),
        cmocka_unit_test(test_failures_are_not_cached),
        cmocka_unit_test(test_hosts_are_answered_and_pinned_without_asking),
        cmocka_unit_test(test_hosts_are_subject_to_policy),
        cmocka_unit_test(test_many_addresses_of_a_host_are_given_as_far_as_they_fit),
        cmocka_unit_test(test_names_below_an_allowed_suffix_have_a_budget),
        cmocka_unit_test(test_only_suffix_rules_have_a_budget_unless_one_is_set),
        cmocka_unit_test(test_cached_answers_cost_no_budget),
        cmocka_unit_test(test_on_dns_decides_between_deny_lists_and_rules),
        cmocka_unit_test(test_on_dns_answers_with_addresses_of_its_own),
        cmocka_unit_test(test_on_dns_that_fails_denies_and_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
