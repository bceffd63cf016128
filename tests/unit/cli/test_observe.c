/* From events to a policy: which destination a rule names, grouping, order, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/observe.h"

static ln_addr addr_of(const char *text)
{
    ln_addr addr;
    assert_int_equal(ln_addr_parse(text, strlen(text), &addr), 0);
    return addr;
}

struct scene {
    struct observer *observer;
    uint64_t now_ms;
};

static struct scene begin(void)
{
    struct scene s = {.now_ms = 1000};
    ln_link link = {.gateway4 = addr_of("172.16.0.1"), .gateway6 = addr_of("fd42:6d73:62::1")};
    assert_int_equal(observer_new(&link, &s.observer), 0);
    return s;
}

/* An event at the next tenth of a second. */
static void take(struct scene *s, ln_event event)
{
    event.size = sizeof(event);
    event.time_ms = s->now_ms;
    s->now_ms += 100;
    observer_take(s->observer, &event);
}

static void resolve(struct scene *s, const char *name, const char *address)
{
    ln_addr gateway = addr_of("172.16.0.1");
    ln_addr addr = address != NULL ? addr_of(address) : gateway;
    take(s, (ln_event){.kind = LN_EVENT_DNS_QUERY,
                       .protocol = "udp",
                       .direction = "egress",
                       .src = &gateway,
                       .dst = &gateway,
                       .port = 53,
                       .name = name,
                       .addresses = &addr,
                       .n_addresses = address != NULL});
}

/* A flow that opens and closes. `shown` and `resolved` as the events would have them. */
static void flow(struct scene *s, const char *protocol, const char *address, uint16_t port,
                 const char *shown, const char *resolved)
{
    ln_addr src = addr_of("172.16.0.2");
    ln_addr dst = addr_of(address);
    ln_event event = {.kind = LN_EVENT_FLOW_OPEN,
                      .protocol = protocol,
                      .direction = "egress",
                      .src = &src,
                      .dst = &dst,
                      .port = port,
                      .name = shown != NULL ? shown : resolved,
                      .name_from = shown != NULL      ? "shown"
                                   : resolved != NULL ? "resolved"
                                                      : NULL};
    take(s, event);
    event.kind = LN_EVENT_FLOW_CLOSE;
    event.name = shown;
    event.bytes_out = 10;
    event.bytes_in = 200;
    take(s, event);
}

static void refuse(struct scene *s, ln_event_kind kind, const char *address, uint16_t port,
                   const char *name, const char *reason)
{
    ln_addr src = addr_of("172.16.0.2");
    ln_addr dst = addr_of(address);
    take(s, (ln_event){.kind = kind,
                       .protocol = "tcp",
                       .direction = "egress",
                       .src = &src,
                       .dst = &dst,
                       .port = port,
                       .name = name,
                       .reason = reason});
}

/* What stands between the braces of `rules`. */
static void expect(struct scene *s, bool suffixes, const char *expected, size_t n_expected)
{
    char *text = NULL;
    size_t len, rules;
    struct observe_style style = {.policy = "a\"b\nc", .suffixes = suffixes};
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(observer_write(s->observer, &style, out, &rules), 0);
    fclose(out);
    assert_non_null(strstr(text, "under \"a\\\"b\\x0ac\", and no more"));
    char *from = strstr(text, "  rules = {\n");
    char *to =
        strstr(text, "  },\n  default_egress = \"deny\",\n  default_ingress = \"deny\",\n}\n");
    assert_non_null(from);
    assert_non_null(to);
    *to = '\0';
    assert_string_equal(from + strlen("  rules = {\n"), expected);
    assert_int_equal(rules, n_expected);
    free(text);
    s->observer = observer_free(s->observer);
}

static void test_names_stand_for_what_they_were_resolved_to(void **state)
{
    (void)state;
    struct scene s = begin();
    resolve(&s, "web.example", "203.0.113.1");
    resolve(&s, "api.web.example", "203.0.113.2");
    flow(&s, "tcp", "203.0.113.1", 443, "web.example", NULL);
    flow(&s, "tcp", "203.0.113.1", 80, NULL, "web.example");
    flow(&s, "tcp", "203.0.113.1", 443, "web.example", NULL);
    flow(&s, "udp", "203.0.113.1", 443, NULL, "web.example");
    flow(&s, "icmpv4", "203.0.113.1", 0, NULL, "web.example");
    flow(&s, "tcp", "203.0.113.2", 8443, NULL, "api.web.example");
    expect(&s, false,
           "    -- names\n"
           "    lunette.allow(\"web.example\"):tcp(80, 443):udp(443):icmpv4(),"
           "  -- 5 flows, 50 bytes out, 1000 in, first after 0.0 s\n"
           "    lunette.allow(\"api.web.example\"):tcp(8443),"
           "  -- 1 flow, 10 bytes out, 200 in, first after 0.1 s\n",
           2);
}

static void test_a_name_that_was_not_resolved_to_the_address_opens_nothing(void **state)
{
    (void)state;
    struct scene s = begin();
    resolve(&s, "web.example", "203.0.113.1");
    flow(&s, "tcp", "203.0.113.9", 443, "web.example", NULL);  /* another address */
    flow(&s, "tcp", "203.0.113.1", 443, "fake.example", NULL); /* another name */
    expect(&s, false,
           "    -- names\n"
           "    lunette.allow(\"web.example\"):udp(9),  -- 1 lookup only, first after 0.0 s\n"
           "    -- addresses without a name\n"
           "    lunette.allow(\"203.0.113.1\"):tcp(443),"
           "  -- 1 flow, 10 bytes out, 200 in, first after 0.3 s\n"
           "    lunette.allow(\"203.0.113.9\"):tcp(443),"
           "  -- 1 flow, 10 bytes out, 200 in, first after 0.1 s\n",
           3);
}

static void test_an_address_used_before_it_was_resolved_stays_an_address(void **state)
{
    (void)state;
    struct scene s = begin();
    flow(&s, "tcp", "203.0.113.1", 22, NULL, NULL);
    resolve(&s, "ssh.example", "203.0.113.1");
    flow(&s, "tcp", "203.0.113.1", 22, NULL, "ssh.example");
    expect(&s, false,
           "    -- names\n"
           "    lunette.allow(\"ssh.example\"):udp(9),  -- 1 lookup only, first after 0.2 s\n"
           "    -- addresses without a name\n"
           "    lunette.allow(\"203.0.113.1\"):tcp(22),"
           "  -- 2 flows, 20 bytes out, 400 in, first after 0.0 s\n",
           2);
}

static void test_the_gateway_is_the_host_and_short_names_are_domains(void **state)
{
    (void)state;
    struct scene s = begin();
    resolve(&s, "db", "203.0.113.1");
    flow(&s, "tcp", "203.0.113.1", 5432, NULL, "db");
    resolve(&s, "host.lunette.internal", "172.16.0.1");
    flow(&s, "tcp", "172.16.0.1", 8080, "host.lunette.internal", NULL);
    flow(&s, "tcp", "fd42:6d73:62::1", 8080, NULL, NULL);
    expect(&s, false,
           "    -- names\n"
           "    lunette.allow(lunette.domain(\"db\")):tcp(5432),"
           "  -- 1 flow, 10 bytes out, 200 in, first after 0.0 s\n"
           "    lunette.allow(\"host.lunette.internal\"):udp(9),"
           "  -- 1 lookup only, first after 0.3 s\n"
           "    -- addresses without a name\n"
           "    lunette.allow(\"host\"):tcp(8080),"
           "  -- 2 flows, 20 bytes out, 400 in, first after 0.4 s\n",
           3);
}

static void test_what_comes_from_outside_has_rules_of_its_own(void **state)
{
    (void)state;
    struct scene s = begin();
    ln_addr peer = addr_of("10.0.0.9");
    ln_addr guest = addr_of("172.16.0.2");
    take(&s, (ln_event){.kind = LN_EVENT_FLOW_CLOSE,
                        .protocol = "tcp",
                        .direction = "ingress",
                        .src = &peer,
                        .dst = &guest,
                        .port = 80});
    expect(&s, false,
           "    -- from outside\n"
           "    lunette.allow(\"10.0.0.9\"):ingress():tcp(80),"
           "  -- 1 flow, 0 bytes out, 0 in, first after 0.0 s\n",
           1);
}

static void test_what_was_refused_is_a_comment(void **state)
{
    (void)state;
    struct scene s = begin();
    refuse(&s, LN_EVENT_DNS_DENIED, "172.16.0.1", 53, "web.example", "default");
    refuse(&s, LN_EVENT_DNS_DENIED, "172.16.0.1", 53, "web.example", "rule");
    refuse(&s, LN_EVENT_FLOW_DENIED, "203.0.113.1", 443, NULL, "default");
    refuse(&s, LN_EVENT_FLOW_DENIED, "127.0.0.1", 443, NULL, "never");
    refuse(&s, LN_EVENT_DNS_DENIED, "172.16.0.1", 53, "a\\010b.example", "default");
    refuse(&s, LN_EVENT_DNS_REBIND, "172.16.0.1", 53, "db.example", "rebind");
    refuse(&s, LN_EVENT_DNS_DENIED, "9.9.9.9", 53, "x.example", "resolver");
    expect(
        &s, false,
        "    -- refused\n"
        "    -- lunette.allow(\"9.9.9.9\"):tcp(53),  -- 1 refusal (resolver), first after 0.6 s\n"
        "    -- lunette.allow(\"203.0.113.1\"):tcp(443),"
        "  -- 1 refusal (default), first after 0.2 s\n"
        "    -- lunette.allow(\"web.example\"):udp(9),  -- 2 refusals (rule), first after 0.0 s\n"
        "    -- lunette.allow(\"x.example\"):udp(9),"
        "  -- 1 refusal (resolver), first after 0.6 s\n"
        "    -- refused, and no rule by itself can allow it\n"
        "    -- tcp 127.0.0.1 port 443: 1 refusal (never), first after 0.3 s\n"
        "    -- dns \"a\\\\010b.example\": 1 refusal (default), first after 0.4 s\n"
        "    -- dns \"db.example\": 1 refusal (rebind), first after 0.5 s\n",
        0);
}

static void test_what_was_allowed_in_the_end_is_a_rule(void **state)
{
    (void)state;
    struct scene s = begin();
    refuse(&s, LN_EVENT_FLOW_DENIED, "203.0.113.1", 443, NULL, "default");
    flow(&s, "tcp", "203.0.113.1", 443, NULL, NULL);
    expect(&s, false,
           "    -- addresses without a name\n"
           "    lunette.allow(\"203.0.113.1\"):tcp(443),"
           "  -- 1 flow, 10 bytes out, 200 in, first after 0.0 s\n",
           1);
}

static void test_suffixes_stop_at_registrable_domains(void **state)
{
    (void)state;
    struct scene s = begin();
    resolve(&s, "a.one.co.uk", "203.0.113.1");
    resolve(&s, "b.c.one.co.uk", "203.0.113.2");
    resolve(&s, "one.co.uk", "203.0.113.3");
    resolve(&s, "www.two.co.uk", "203.0.113.4");
    flow(&s, "tcp", "203.0.113.1", 443, NULL, "a.one.co.uk");
    flow(&s, "tcp", "203.0.113.2", 80, NULL, "b.c.one.co.uk");
    flow(&s, "tcp", "203.0.113.3", 80, NULL, "one.co.uk");
    expect(&s, true,
           "    -- names\n"
           "    lunette.allow(\"one.co.uk\"):tcp(80),"
           "  -- 1 flow, 10 bytes out, 200 in, first after 0.2 s\n"
           "    lunette.allow(\".one.co.uk\"):tcp(80, 443),"
           "  -- 2 flows, 20 bytes out, 400 in, first after 0.0 s\n"
           "    lunette.allow(\"www.two.co.uk\"):udp(9),  -- 1 lookup only, first after 0.3 s\n",
           3);
}

static void test_a_flood_is_bounded_and_told(void **state)
{
    (void)state;
    struct scene s = begin();
    char name[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "n%d.example", i);
        resolve(&s, name, NULL);
    }
    char *text = NULL;
    size_t len, rules;
    struct observe_style style = {.policy = "p"};
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(observer_write(s.observer, &style, out, &rules), 0);
    fclose(out);
    assert_int_equal(rules, 8192);
    assert_non_null(strstr(text, "-- INCOMPLETE: there was no room for 1808 events.\n"));
    free(text);
    observer_free(s.observer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_stand_for_what_they_were_resolved_to),
        cmocka_unit_test(test_a_name_that_was_not_resolved_to_the_address_opens_nothing),
        cmocka_unit_test(test_an_address_used_before_it_was_resolved_stays_an_address),
        cmocka_unit_test(test_the_gateway_is_the_host_and_short_names_are_domains),
        cmocka_unit_test(test_what_comes_from_outside_has_rules_of_its_own),
        cmocka_unit_test(test_what_was_refused_is_a_comment),
        cmocka_unit_test(test_what_was_allowed_in_the_end_is_a_rule),
        cmocka_unit_test(test_suffixes_stop_at_registrable_domains),
        cmocka_unit_test(test_a_flood_is_bounded_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
