/* DNS as the guest sees it: datagrams and streams to port 53 of any address, and an upstream on the
 * host's loopback that answers by hand. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/wire.h"
#include "guest_frame.h"
#include "harness.h"
#include "net/gateway.h"

/* ---- an upstream ---- */

struct upstream {
    int udp;
    char policy[64]; /* the line that names it */
    struct sockaddr_in client;
    uint8_t query[1024];
    size_t len;
};

static void upstream_open(struct upstream *u)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    u->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(u->udp >= 0);
    assert_int_equal(bind(u->udp, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(u->udp, (struct sockaddr *)&in, &len), 0);
    snprintf(u->policy, sizeof(u->policy), "dns.nameservers[]=127.0.0.1:%u", ntohs(in.sin_port));
}

static bool upstream_hears(struct upstream *u)
{
    socklen_t len = sizeof(u->client);
    ssize_t n =
        recvfrom(u->udp, u->query, sizeof(u->query), 0, (struct sockaddr *)&u->client, &len);
    u->len = n < 0 ? 0 : (size_t)n;
    return n >= 0;
}

/* The name that was asked for, as text. */
static const char *upstream_name(const struct upstream *u)
{
    static char name[DNS_NAME_TEXT_MAX];
    struct dns_query query;
    assert_int_equal(dns_query_parse(u->query, u->len, &query), 0);
    dns_name_text(query.question.wire, query.question.wire_len, name);
    return name;
}

static void upstream_sends(struct upstream *u, const struct wire *answer)
{
    assert_int_equal(sendto(u->udp, answer->data, answer->len, 0, (struct sockaddr *)&u->client,
                            sizeof(u->client)),
                     answer->len);
}

/* An answer to what was asked, with one address. */
static struct wire upstream_answer(const struct upstream *u, const char *addr)
{
    struct wire w = wire_response_to(u->query, u->len);
    wire_addr(&w, DNS_ANSWER, "@12", 300, addr);
    return w;
}

static void upstream_says(struct upstream *u, const char *addr)
{
    struct wire w = upstream_answer(u, addr);
    upstream_sends(u, &w);
}

struct scene {
    struct world w;
    struct upstream u;
};

static struct scene *scene_of(const char *const *lines)
{
    struct scene *s = calloc(1, sizeof(*s));
    const char *all[16] = {NULL};
    size_t n = 0;
    assert_non_null(s);
    upstream_open(&s->u);
    for (; lines[n] != NULL; n++) {
        all[n] = lines[n];
    }
    all[n] = s->u.policy;
    world_start(&s->w, policy_of(all));
    return s;
}

#define SCENE(...) scene_of((const char *const[]){__VA_ARGS__, NULL})

static void scene_end(struct scene *s)
{
    world_stop(&s->w);
    close(s->u.udp);
    free(s);
}

/* ---- datagrams ---- */

static void guest_asks(struct scene *s, const char *resolver, uint16_t port, const struct wire *w)
{
    uint8_t frame[2048];
    ln_addr dst = guest_addr(resolver);
    const ln_addr *src = ln_addr_is_v4(&dst) ? &s->w.link.guest4 : &s->w.link.guest6;
    put(&s->w, frame, guest_udp(frame, src, port, &dst, 53, w->data, w->len));
    settle(&s->w);
}

static void ask(struct scene *s, uint16_t port, const char *name)
{
    struct wire w = wire_query(port, name, DNS_TYPE_A); /* the id is the port */
    guest_asks(s, "172.16.0.1", port, &w);
}

/* The reply that came, from that address. */
static const struct heard *reply_from(struct scene *s, const char *resolver)
{
    ln_addr src = guest_addr(resolver);
    settle(&s->w);
    const struct heard *h = next_heard(&s->w);
    assert_non_null(h);
    assert_int_equal(h->protocol, IPPROTO_UDP);
    assert_int_equal(h->src_port, 53);
    assert_true(ln_addr_equal(&h->src, &src));
    assert_int_equal(get_be16(h->payload), h->dst_port);
    return h;
}

static void assert_rcode(const struct heard *h, unsigned rcode, unsigned answers)
{
    assert_int_equal(h->payload[3] & 15, rcode);
    assert_int_equal(get_be16(h->payload + 6), answers);
}

static bool is_pinned(struct scene *s, const char *name, const char *addr)
{
    ln_addr parsed = guest_addr(addr);
    return ln_pins_has(s->w.gw->admission.pins, name, &parsed, s->w.now_ns);
}

static void test_answer_comes_from_the_gateway_and_is_pinned(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@www.example:tcp:443");
    ask(s, 5000, "www.example");
    assert_null(next_heard(&s->w));
    assert_true(upstream_hears(&s->u));
    assert_string_equal(upstream_name(&s->u), "www.example");
    upstream_says(&s->u, "203.0.113.1");
    const struct heard *h = reply_from(s, "172.16.0.1");
    assert_int_equal(h->dst_port, 5000);
    assert_rcode(h, DNS_NOERROR, 1);
    assert_true(is_pinned(s, "www.example", "203.0.113.1"));
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_QUERY), 1);
    assert_int_equal(count_told(&s->w, LN_EVENT_FLOW_OPEN), 0);
    scene_end(s);
}

static void test_answers_in_another_order_find_their_askers(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct upstream asked[3];
    char name[16];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "n%d.example", i);
        ask(s, (uint16_t)(5000 + i), name);
        assert_true(upstream_hears(&s->u));
        asked[i] = s->u;
    }
    for (int i = 2; i >= 0; i--) {
        upstream_says(&asked[i], "203.0.113.1");
        assert_int_equal(reply_from(s, "172.16.0.1")->dst_port, 5000 + i);
        snprintf(name, sizeof(name), "n%d.example", i);
        assert_true(is_pinned(s, name, "203.0.113.1"));
    }
    scene_end(s);
}

static void test_gateway_answers_over_ipv6_too(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct wire w = wire_query(5000, "www.example", DNS_TYPE_A);
    guest_asks(s, "fd42:6d73:62::1", 5000, &w);
    assert_true(upstream_hears(&s->u));
    upstream_says(&s->u, "203.0.113.1");
    assert_rcode(reply_from(s, "fd42:6d73:62::1"), DNS_NOERROR, 1);
    scene_end(s);
}

static void test_denied_name_is_answered_at_once_and_asks_nobody(void **state)
{
    (void)state;
    struct scene *s = SCENE("deny_domains=ads.example", "allow@*");
    ask(s, 5000, "ads.example");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_NXDOMAIN, 0);
    assert_false(upstream_hears(&s->u));
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_DENIED), 1);
    ln_stats stats;
    ln_gateway_stats(s->w.gw, &stats);
    assert_int_equal(stats.dns_queries, 1);
    assert_int_equal(stats.dns_denied, 1);
    scene_end(s);
}

static void test_resolver_that_is_denied_seems_to_answer_itself(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@host:udp:53");
    struct wire w = wire_query(5000, "www.example", DNS_TYPE_A);
    guest_asks(s, "198.51.100.53", 5000, &w);
    assert_rcode(reply_from(s, "198.51.100.53"), DNS_NXDOMAIN, 0);
    assert_false(upstream_hears(&s->u));
    assert_string_equal(told_nth(&s->w, LN_EVENT_DNS_DENIED, 0)->reason, "resolver");
    scene_end(s);
}

static void test_what_is_no_query_is_dropped(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct wire response = wire_response(5000, "www.example", DNS_TYPE_A);
    struct wire scrap = {.len = 3};
    struct wire query = wire_query(5000, "www.example", DNS_TYPE_A);
    guest_asks(s, "172.16.0.1", 5000, &response);
    guest_asks(s, "172.16.0.1", 5000, &scrap);
    assert_int_equal(dropped(&s->w, DROP_HEADER), 2);
    uint8_t frame[512];
    ln_addr group = guest_addr("224.0.0.251");
    size_t len = guest_udp(frame, &s->w.link.guest4, 5000, &group, 53, query.data, query.len);
    memcpy(frame, "\1\0\x5e\0\0\xfb", 6);
    put(&s->w, frame, len);
    assert_int_equal(dropped(&s->w, DROP_DESTINATION), 1);
    assert_null(next_heard(&s->w));
    assert_false(upstream_hears(&s->u));
    scene_end(s);
}

static void test_reply_longer_than_the_mtu_is_cut_into_fragments(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct wire w = wire_query(5000, "www.example", DNS_TYPE_A);
    wire_opt(&w, 4096, 0, NULL, 0);
    guest_asks(s, "172.16.0.1", 5000, &w);
    assert_true(upstream_hears(&s->u));
    struct wire answer = wire_response_to(s->u.query, s->u.len);
    for (int i = 0; i < 150; i++) {
        wire_addr(&answer, DNS_ANSWER, "@12", 60, "203.0.113.1");
    }
    upstream_sends(&s->u, &answer);
    settle(&s->w);
    size_t got = 0;
    unsigned n = 0;
    for (const struct heard *h; (h = next_heard(&s->w)) != NULL; n++) {
        assert_int_equal(h->protocol, IPPROTO_UDP);
        got += h->payload_len + 8; /* only the first has a UDP header */
    }
    assert_int_equal(n, 2);
    assert_int_equal(got, 8 + answer.len + DNS_OPT_LEN);
    scene_end(s);
}

static void test_silent_upstream_ends_in_servfail(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*", "dns.query_timeout_ms=3000");
    ask(s, 5000, "www.example");
    pass(&s->w, 2900);
    assert_null(next_heard(&s->w));
    pass(&s->w, 200);
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_SERVFAIL, 0);
    upstream_hears(&s->u);
    upstream_says(&s->u, "203.0.113.1"); /* too late */
    settle(&s->w);
    assert_null(next_heard(&s->w));
    assert_false(is_pinned(s, "www.example", "203.0.113.1"));
    scene_end(s);
}

static void test_upstream_that_is_gone_ends_in_servfail_at_once(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    close(s->u.udp);
    s->u.udp = -1;
    s->w.n_fds--;
    ask(s, 5000, "www.example");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_SERVFAIL, 0);
    scene_end(s);
}

static void test_too_many_questions_get_servfail_and_a_limit_is_told(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*", "limits.dns_in_flight=3");
    for (uint16_t i = 0; i < 5; i++) {
        ask(s, (uint16_t)(5000 + i), "www.example");
    }
    for (uint16_t i = 3; i < 5; i++) {
        const struct heard *h = reply_from(s, "172.16.0.1");
        assert_int_equal(h->dst_port, 5000 + i);
        assert_rcode(h, DNS_SERVFAIL, 0);
    }
    const struct told *limit = told_nth(&s->w, LN_EVENT_LIMIT, 0);
    assert_string_equal(limit->reason, "dns_in_flight");
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_DENIED), 0);
    scene_end(s); /* with three on their way */
}

static void test_reload_decides_about_questions_on_their_way(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    ask(s, 5000, "www.example");
    assert_true(upstream_hears(&s->u));
    ln_policy *policy = POLICY("deny_domains=www.example", "allow@*");
    assert_int_equal(ln_gateway_reload(s->w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    upstream_says(&s->u, "203.0.113.1");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_NXDOMAIN, 0);
    assert_false(is_pinned(s, "www.example", "203.0.113.1"));
    scene_end(s);
}

static void test_reload_takes_up_other_nameservers(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct upstream other;
    upstream_open(&other);
    s->w.n_fds++;
    ln_policy *policy = POLICY("allow@*", other.policy);
    assert_int_equal(ln_gateway_reload(s->w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    ask(s, 5000, "www.example");
    assert_false(upstream_hears(&s->u));
    assert_true(upstream_hears(&other));
    scene_end(s);
    close(other.udp);
}

/* Whether this machine can route IPv6 or not: a rule for IPv6 addresses asks for the family. */
static void test_rule_for_ipv6_addresses_asks_for_the_family(void **state)
{
    (void)state;
    struct wire w = wire_query(5000, "www.example", DNS_TYPE_AAAA);
    struct scene *s = SCENE("allow@*", "deny@[2001:db8::/32]");
    bool has_route = s->w.link.route6;
    guest_asks(s, "172.16.0.1", 5000, &w);
    assert_int_equal(upstream_hears(&s->u), has_route);
    ln_policy *policy = POLICY("allow@*", "allow@[2001:db8::/32]", s->u.policy);
    assert_int_equal(ln_gateway_reload(s->w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    guest_asks(s, "172.16.0.1", 5000, &w);
    assert_true(upstream_hears(&s->u));
    scene_end(s);
}

/* ---- the cache, and questions that are shared ---- */

static void test_cached_answer_asks_nobody(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    ask(s, 5000, "www.example");
    assert_true(upstream_hears(&s->u));
    upstream_says(&s->u, "203.0.113.1");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_NOERROR, 1);
    pass(&s->w, 200 * 1000);
    ask(s, 5001, "WWW.example");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_NOERROR, 1);
    assert_false(upstream_hears(&s->u));
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_QUERY), 2);
    pass(&s->w, 59 * 1000);
    assert_true(is_pinned(s, "www.example", "203.0.113.1"));
    pass(&s->w, 50 * 1000); /* 309 s: it is over */
    ask(s, 5002, "www.example");
    assert_true(upstream_hears(&s->u));
    scene_end(s);
}

static void test_without_a_cache_every_query_is_asked(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*", "dns.cache=false");
    for (uint16_t i = 0; i < 3; i++) {
        ask(s, (uint16_t)(5000 + i), "www.example");
        assert_true(upstream_hears(&s->u));
        upstream_says(&s->u, "203.0.113.1");
        assert_rcode(reply_from(s, "172.16.0.1"), DNS_NOERROR, 1);
    }
    scene_end(s);
}

static void test_reload_empties_the_cache(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    ask(s, 5000, "www.example");
    assert_true(upstream_hears(&s->u));
    upstream_says(&s->u, "203.0.113.1");
    assert_non_null(reply_from(s, "172.16.0.1"));
    ln_policy *policy = POLICY("allow@*", s->u.policy);
    assert_int_equal(ln_gateway_reload(s->w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    ask(s, 5000, "www.example");
    assert_true(upstream_hears(&s->u));
    scene_end(s);
}

static void test_same_questions_are_asked_once(void **state)
{
    (void)state;
    enum { ASKERS = 20 };
    struct scene *s = SCENE("allow@*", "dns.cache=false");
    struct guest g = guest_connect(&s->w, "172.16.0.1", 53);
    struct wire stream = {0};
    struct wire over_tcp = wire_query(7, "www.Example", DNS_TYPE_A);
    wire_u16(&stream, (unsigned)over_tcp.len);
    wire_bytes(&stream, over_tcp.data, over_tcp.len);
    guest_send(&g, stream.data, stream.len);
    for (uint16_t i = 0; i < ASKERS; i++) {
        ask(s, (uint16_t)(5000 + i), i % 2 == 0 ? "www.example" : "WWW.example");
    }
    assert_true(upstream_hears(&s->u));
    struct upstream first = s->u;
    assert_false(upstream_hears(&s->u));
    upstream_says(&first, "203.0.113.1");
    bool answered[ASKERS] = {false};
    for (int i = 0; i < ASKERS; i++) {
        const struct heard *h = next_heard(&s->w);
        while (h == NULL || h->protocol != IPPROTO_UDP) {
            h = h == NULL ? reply_from(s, "172.16.0.1") : next_heard(&s->w);
        }
        assert_rcode(h, DNS_NOERROR, 1);
        assert_false(answered[h->dst_port - 5000]);
        answered[h->dst_port - 5000] = true;
    }
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_QUERY), ASKERS + 1);
    guest_hear(&g);
    assert_true(g.n_received > 12 && get_be16(g.received + 2) == 7);
    guest_free(&g);
    scene_end(s);
}

static void test_asker_that_leaves_takes_nothing_from_the_others(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct guest g = guest_connect(&s->w, "172.16.0.1", 53);
    struct wire query = wire_query(7, "www.example", DNS_TYPE_A);
    struct wire stream = {0};
    wire_u16(&stream, (unsigned)query.len);
    wire_bytes(&stream, query.data, query.len);
    guest_send(&g, stream.data, stream.len); /* who asked first */
    ask(s, 5000, "www.example");
    assert_true(upstream_hears(&s->u));
    guest_reset(&g);
    upstream_says(&s->u, "203.0.113.1");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_NOERROR, 1);
    guest_free(&g);
    scene_end(s);
}

static void test_question_to_the_resolvers_of_before_is_not_shared(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct upstream other;
    upstream_open(&other);
    s->w.n_fds++;
    ask(s, 5000, "www.example");
    assert_true(upstream_hears(&s->u));
    ln_policy *policy = POLICY("allow@*", other.policy);
    assert_int_equal(ln_gateway_reload(s->w.gw, policy, NULL), 0);
    ln_policy_unref(policy);
    ask(s, 5001, "www.example");
    assert_true(upstream_hears(&other));
    struct upstream asked = other;
    upstream_says(&s->u, "203.0.113.1");
    assert_int_equal(reply_from(s, "172.16.0.1")->dst_port, 5000);
    ask(s, 5002, "www.example"); /* with the second, not from the cache */
    assert_false(upstream_hears(&other));
    upstream_says(&asked, "203.0.113.2");
    assert_non_null(reply_from(s, "172.16.0.1"));
    assert_non_null(reply_from(s, "172.16.0.1"));
    scene_end(s);
    close(other.udp);
}

/* ---- budgets ---- */

static void test_allowed_suffix_is_no_tunnel(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*.example.com", "dns.query_timeout_ms=100");
    unsigned left = 0;
    for (uint16_t i = 0; i < 300; i++) {
        char name[80];
        snprintf(name, sizeof(name), "%060d.t.example.com", i); /* data of the guest's */
        ask(s, (uint16_t)(5000 + i), name);
        left += upstream_hears(&s->u);
        pass(&s->w, 101);
    }
    assert_int_equal(left, 2048 / 61 + 1); /* 60 bytes each, and once the `t` */
    assert_int_equal(count_told(&s->w, LN_EVENT_LIMIT), 1);
    assert_string_equal(told_nth(&s->w, LN_EVENT_LIMIT, 0)->reason, "dns_budget");
    assert_string_equal(told_nth(&s->w, LN_EVENT_LIMIT, 0)->name, "example.com");
    while (next_heard(&s->w) != NULL) {
    }
    ask(s, 6000, "x.example.com");
    assert_rcode(reply_from(s, "172.16.0.1"), DNS_NXDOMAIN, 0);
    pass(&s->w, 60 * 1000);
    ask(s, 6001, "x.example.com");
    assert_true(upstream_hears(&s->u));
    scene_end(s);
}

/* ---- streams ---- */

static struct guest stream_to(struct scene *s, const char *resolver)
{
    struct guest g = guest_connect(&s->w, resolver, 53);
    assert_int_equal(g.state, GUEST_OPEN);
    return g;
}

/* Appends a query with a length before it. */
static void add_query(struct wire *stream, uint16_t id, const char *name)
{
    struct wire w = wire_query(id, name, DNS_TYPE_A);
    wire_u16(stream, (unsigned)w.len);
    wire_bytes(stream, w.data, w.len);
}

/* Takes the next whole message off what the guest received. */
static bool next_message(struct guest *g, uint8_t dst[DNS_MESSAGE_MAX], size_t *ret_len)
{
    guest_hear(g);
    if (g->n_received < 2 || g->n_received < 2u + get_be16(g->received)) {
        return false;
    }
    size_t len = get_be16(g->received);
    memcpy(dst, g->received + 2, len);
    g->n_received -= 2 + len;
    memmove(g->received, g->received + 2 + len, g->n_received);
    *ret_len = len;
    return true;
}

static void expect_message(struct guest *g, uint16_t id, unsigned rcode)
{
    static uint8_t msg[DNS_MESSAGE_MAX];
    size_t len;
    assert_true(next_message(g, msg, &len));
    assert_int_equal(get_be16(msg), id);
    assert_int_equal(msg[3] & 15, rcode);
}

static void test_stream_may_come_byte_by_byte(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct guest g = stream_to(s, "172.16.0.1");
    struct wire stream = {0};
    add_query(&stream, 1, "www.example");
    for (size_t i = 0; i < stream.len; i++) {
        assert_false(upstream_hears(&s->u));
        assert_int_equal(guest_send(&g, stream.data + i, 1), 1);
    }
    assert_true(upstream_hears(&s->u));
    upstream_says(&s->u, "203.0.113.1");
    expect_message(&g, 1, DNS_NOERROR);
    assert_true(is_pinned(s, "www.example", "203.0.113.1"));
    assert_string_equal(told_nth(&s->w, LN_EVENT_DNS_QUERY, 0)->protocol, "tcp");
    assert_int_equal(count_told(&s->w, LN_EVENT_FLOW_OPEN), 0);
    guest_free(&g);
    scene_end(s);
}

static void test_two_queries_may_be_cut_anywhere(void **state)
{
    (void)state;
    struct scene *s = SCENE("deny_domains=a.example", "deny_domains=b.example", "allow@*");
    struct wire stream = {0};
    add_query(&stream, 1, "a.example");
    add_query(&stream, 2, "b.example");
    for (size_t cut = 0; cut <= stream.len; cut++) {
        struct guest g = stream_to(s, "172.16.0.1");
        guest_send(&g, stream.data, cut);
        guest_send(&g, stream.data + cut, stream.len - cut);
        expect_message(&g, 1, DNS_NXDOMAIN);
        expect_message(&g, 2, DNS_NXDOMAIN);
        guest_reset(&g);
        guest_free(&g);
    }
    scene_end(s);
}

static void test_queries_in_a_row_are_all_answered_as_answers_come(void **state)
{
    (void)state;
    enum { QUERIES = 40 };
    struct scene *s = SCENE("allow@*");
    struct guest g = stream_to(s, "172.16.0.1");
    struct wire stream = {0};
    for (uint16_t i = 0; i < QUERIES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d.example", i);
        add_query(&stream, i, name);
    }
    guest_send_all(&g, stream.data, stream.len);
    bool answered[QUERIES] = {false};
    unsigned rounds = 0;
    for (unsigned n = 0; n < QUERIES; rounds++) {
        unsigned heard = 0;
        while (upstream_hears(&s->u)) {
            upstream_says(&s->u, "203.0.113.1");
            heard++;
        }
        assert_true(heard > 0 && heard <= 16); /* no more at a time */
        static uint8_t msg[DNS_MESSAGE_MAX];
        size_t len;
        while (next_message(&g, msg, &len)) {
            assert_true(get_be16(msg) < QUERIES && !answered[get_be16(msg)]);
            answered[get_be16(msg)] = true;
            n++;
        }
    }
    assert_true(rounds >= 3);
    guest_free(&g);
    scene_end(s);
}

static void test_frames_that_are_no_queries_reset_the_stream(void **state)
{
    (void)state;
    static const uint8_t frames[][2] = {{0, 0}, {0, 1}, {0, 11}, {8, 1}, {255, 255}};
    struct scene *s = SCENE("allow@*");
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct guest g = stream_to(s, "172.16.0.1");
        guest_send(&g, frames[i], 2);
        assert_int_equal(g.state, GUEST_RESET);
        guest_free(&g);
    }
    scene_end(s);
}

static void test_end_of_the_guests_side_waits_for_the_answers(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct guest g = stream_to(s, "172.16.0.1");
    struct wire stream = {0};
    add_query(&stream, 1, "www.example");
    guest_send(&g, stream.data, stream.len);
    guest_finish(&g);
    assert_false(g.fin);
    assert_true(upstream_hears(&s->u));
    upstream_says(&s->u, "203.0.113.1");
    expect_message(&g, 1, DNS_NOERROR);
    guest_hear(&g);
    assert_true(g.fin);
    guest_free(&g);
    scene_end(s);
}

static void test_idle_stream_is_ended_then_reset(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*", "deny_domains=a.example");
    struct guest g = stream_to(s, "172.16.0.1");
    pass(&s->w, 29000);
    struct wire stream = {0};
    add_query(&stream, 1, "a.example");
    g.mute = true;
    guest_send(&g, stream.data, stream.len); /* not idle */
    pass(&s->w, 2000);
    g.mute = false;
    guest_segment(&g, TCP_ACK, g.snd_nxt, NULL, 0);
    expect_message(&g, 1, DNS_NXDOMAIN);
    pass(&s->w, 29000);
    guest_hear(&g);
    assert_false(g.fin);
    pass(&s->w, 2000);
    guest_hear(&g);
    assert_true(g.fin);
    pass(&s->w, 31000);
    guest_hear(&g);
    assert_int_equal(g.state, GUEST_RESET);
    ln_stats stats;
    ln_gateway_stats(s->w.gw, &stats);
    assert_int_equal(stats.flows_now, 0);
    guest_free(&g);
    scene_end(s);
}

static void test_trickle_of_bytes_does_not_keep_a_stream(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct guest g = stream_to(s, "172.16.0.1");
    for (int i = 0; i < 7 && !g.fin; i++) {
        guest_send(&g, "\0\60abcdefg" + i, 1);
        pass(&s->w, 5000);
        guest_hear(&g);
    }
    assert_true(g.fin);
    guest_free(&g);
    scene_end(s);
}

static void test_guest_that_does_not_read_is_not_read_from(void **state)
{
    (void)state;
    enum { QUERIES = 800 }; /* more than the gateway buffers */
    struct scene *s = SCENE("allow@*");
    struct guest g = stream_to(s, "172.16.0.1");
    static struct wire stream;
    g.own_window = 0; /* not a byte */
    for (uint16_t i = 0; i < QUERIES; i++) {
        add_query(&stream, i, "a-name-that-is-rather-long-so-that-they-do-not-all-fit.www.example");
    }
    size_t sent = 0;
    unsigned heard = 0;
    for (int i = 0; i < 100; i++) {
        sent += guest_send(&g, stream.data + sent, stream.len - sent);
        while (upstream_hears(&s->u)) {
            struct wire answer = upstream_answer(&s->u, "203.0.113.1");
            for (int r = 0; r < 480; r++) {
                wire_addr(&answer, DNS_ANSWER, "@12", 60, "203.0.113.2");
            }
            upstream_sends(&s->u, &answer);
            heard++;
        }
        settle(&s->w);
    }
    assert_true(sent < stream.len);
    assert_true(heard < 30); /* 64 KiB of replies of 8 KiB, and what was under way */
    g.own_window = 65535;    /* now it reads */
    guest_segment(&g, TCP_ACK, g.snd_nxt, NULL, 0);
    static uint8_t msg[DNS_MESSAGE_MAX];
    size_t len;
    unsigned answers = 0;
    for (int i = 0; i < 2000 && answers < QUERIES; i++) {
        while (next_message(&g, msg, &len)) {
            answers++;
        }
        sent += guest_send(&g, stream.data + sent, stream.len - sent);
        while (upstream_hears(&s->u)) {
            upstream_says(&s->u, "203.0.113.1");
        }
        pass(&s->w, 10);
    }
    assert_int_equal(answers, QUERIES);
    guest_free(&g);
    scene_end(s);
}

static void test_reset_with_questions_on_their_way_tells_them(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*");
    struct guest g = stream_to(s, "172.16.0.1");
    struct wire stream = {0};
    add_query(&stream, 1, "a.example");
    add_query(&stream, 2, "b.example");
    guest_send(&g, stream.data, stream.len);
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_QUERY), 0);
    guest_reset(&g);
    assert_int_equal(count_told(&s->w, LN_EVENT_DNS_QUERY), 2);
    assert_true(upstream_hears(&s->u));
    upstream_says(&s->u, "203.0.113.1");
    settle(&s->w);
    assert_false(is_pinned(s, "a.example", "203.0.113.1"));
    guest_free(&g);
    scene_end(s);
}

static void test_stream_to_a_denied_resolver_answers_nxdomain(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@host:tcp:53");
    struct guest g = stream_to(s, "198.51.100.53");
    struct wire stream = {0};
    add_query(&stream, 1, "www.example");
    guest_send(&g, stream.data, stream.len);
    expect_message(&g, 1, DNS_NXDOMAIN);
    assert_false(upstream_hears(&s->u));
    guest_free(&g);
    scene_end(s);
}

static void test_stream_unused_for_longest_makes_room(void **state)
{
    (void)state;
    struct scene *s = SCENE("allow@*", "max_connections=8"); /* two streams */
    struct guest a = stream_to(s, "172.16.0.1");
    struct guest b = stream_to(s, "172.16.0.1");
    struct wire query = {0};
    add_query(&query, 1, "www.example");
    guest_send(&a, query.data, query.len);
    settle(&s->w);
    struct guest c = stream_to(s, "172.16.0.1");
    guest_hear(&a);
    guest_hear(&b);
    guest_hear(&c);
    assert_int_equal(a.state, GUEST_OPEN);
    assert_int_equal(b.state, GUEST_RESET);
    assert_int_equal(c.state, GUEST_OPEN);
    assert_string_equal(told_nth(&s->w, LN_EVENT_LIMIT, 0)->reason, "dns_connections");
    guest_free(&a);
    guest_free(&b);
    guest_free(&c);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_comes_from_the_gateway_and_is_pinned),
        cmocka_unit_test(test_answers_in_another_order_find_their_askers),
        cmocka_unit_test(test_gateway_answers_over_ipv6_too),
        cmocka_unit_test(test_denied_name_is_answered_at_once_and_asks_nobody),
        cmocka_unit_test(test_resolver_that_is_denied_seems_to_answer_itself),
        cmocka_unit_test(test_what_is_no_query_is_dropped),
        cmocka_unit_test(test_reply_longer_than_the_mtu_is_cut_into_fragments),
        cmocka_unit_test(test_silent_upstream_ends_in_servfail),
        cmocka_unit_test(test_upstream_that_is_gone_ends_in_servfail_at_once),
        cmocka_unit_test(test_too_many_questions_get_servfail_and_a_limit_is_told),
        cmocka_unit_test(test_reload_decides_about_questions_on_their_way),
        cmocka_unit_test(test_reload_takes_up_other_nameservers),
        cmocka_unit_test(test_rule_for_ipv6_addresses_asks_for_the_family),
        cmocka_unit_test(test_cached_answer_asks_nobody),
        cmocka_unit_test(test_without_a_cache_every_query_is_asked),
        cmocka_unit_test(test_reload_empties_the_cache),
        cmocka_unit_test(test_same_questions_are_asked_once),
        cmocka_unit_test(test_asker_that_leaves_takes_nothing_from_the_others),
        cmocka_unit_test(test_question_to_the_resolvers_of_before_is_not_shared),
        cmocka_unit_test(test_allowed_suffix_is_no_tunnel),
        cmocka_unit_test(test_stream_may_come_byte_by_byte),
        cmocka_unit_test(test_two_queries_may_be_cut_anywhere),
        cmocka_unit_test(test_queries_in_a_row_are_all_answered_as_answers_come),
        cmocka_unit_test(test_frames_that_are_no_queries_reset_the_stream),
        cmocka_unit_test(test_end_of_the_guests_side_waits_for_the_answers),
        cmocka_unit_test(test_idle_stream_is_ended_then_reset),
        cmocka_unit_test(test_trickle_of_bytes_does_not_keep_a_stream),
        cmocka_unit_test(test_guest_that_does_not_read_is_not_read_from),
        cmocka_unit_test(test_reset_with_questions_on_their_way_tells_them),
        cmocka_unit_test(test_stream_to_a_denied_resolver_answers_nxdomain),
        cmocka_unit_test(test_stream_unused_for_longest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
