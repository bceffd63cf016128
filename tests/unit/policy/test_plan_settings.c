/* Settings that are no rules: DNS, ports, pools, limits, TLS, secrets, HTTP. */
#include "policy/plan_fixture.h"

static void assert_addr(const ln_addr *addr, const char *expected)
{
    char text[LN_ADDR_TEXT_MAX];
    ln_addr_format(addr, text);
    assert_string_equal(text, expected);
}

static void assert_prefix(const ln_prefix *prefix, const char *expected)
{
    char text[LN_PREFIX_TEXT_MAX];
    ln_prefix_format(prefix, text);
    assert_string_equal(text, expected);
}

static void assert_pattern(const ln_name_pattern *pattern, const char *name, bool below)
{
    assert_string_equal(pattern->name, name);
    assert_int_equal(pattern->below, below);
}

/* ---- what is accepted ---- */

static void test_a_silent_policy_has_the_documented_defaults(void **state)
{
    (void)state;
    struct plan plan = plan_of("{}");
    const ln_settings *s = &plan.settings;
    assert_false(s->deny_by_reject);
    assert_true(s->dns_rebind_protection);
    assert_int_equal(s->n_nameservers, 0);
    assert_int_equal(s->dns_query_timeout_ms, 5000);
    assert_int_equal(s->n_bindings, 0);
    assert_prefix(&s->ipv4_pool, "172.16.0.0/12");
    assert_prefix(&s->ipv6_pool, "fd42:6d73:62::/48");
    assert_int_equal(s->egress_bytes.size, 0);
    assert_false(s->tls.intercept);
    assert_int_equal(s->n_secrets, 0);
    assert_false(s->trust_host_cas);
    assert_null(s->country_db);
    assert_int_equal(s->on_connect, 0);
    assert_int_equal(s->limits.max_connections, 4096);
    assert_int_equal(s->limits.half_open, 512);
    assert_int_equal(s->limits.tcp_idle_ms, 124 * 60 * 1000);
    assert_int_equal(s->limits.handler_instructions, 1000000);
    plan_free(&plan);
}

static void test_nameservers_in_every_spelling(void **state)
{
    (void)state;
    struct plan plan = plan_of("{dns = {nameservers = {\"1.1.1.1\", \"8.8.8.8:5353\", \"::1\", "
                               "\"[2001:db8::1]:54\", \"[::2]\", \"DNS.Example\", "
                               "\"dns.example:1053\", \"resolver\"}, query_timeout_ms = 250}}");
    assert_int_equal(plan.settings.dns_query_timeout_ms, 250);
    static const struct {
        const char *addr, *host;
        uint16_t port;
    } expected[] = {
        {"1.1.1.1", NULL, 53},       {"8.8.8.8", NULL, 5353}, {"::1", NULL, 53},
        {"2001:db8::1", NULL, 54},   {"::2", NULL, 53},       {NULL, "dns.example", 53},
        {NULL, "dns.example", 1053}, {NULL, "resolver", 53},
    };
    size_t n = sizeof(expected) / sizeof(expected[0]);
    assert_int_equal(plan.settings.n_nameservers, n);
    for (size_t i = 0; i < n; i++) {
        const ln_endpoint *endpoint = &plan.settings.nameservers[i];
        assert_int_equal(endpoint->port, expected[i].port);
        if (expected[i].host != NULL) {
            assert_string_equal(endpoint->host, expected[i].host);
        } else {
            assert_null(endpoint->host);
            assert_addr(&endpoint->addr, expected[i].addr);
        }
    }
    plan_free(&plan);
}

static void test_names_of_ones_own_search_and_forwards(void **state)
{
    (void)state;
    struct plan plan =
        plan_of("{dns = {cache = false, hosts = {db = \"10.0.0.5\", [\"A.example\"] = "
                "{\"fd00::1\", \"192.0.2.1\"}}, search = {\"corp.example\", \"example\"}, "
                "forward = {[\".corp.example\"] = {\"10.0.0.53\", \"[fd00::53]:54\"}, "
                "[\"lab.example\"] = {\"dns.lab.example\"}}}}");
    const ln_settings *s = &plan.settings;
    assert_false(s->dns_cache);
    assert_int_equal(s->n_dns_hosts, 2);
    assert_string_equal(s->dns_hosts[0].name, "a.example");
    assert_int_equal(s->dns_hosts[0].n_addrs, 2);
    assert_addr(&s->dns_hosts[0].addrs[1], "192.0.2.1");
    assert_string_equal(s->dns_hosts[1].name, "db");
    assert_addr(&s->dns_hosts[1].addrs[0], "10.0.0.5");
    assert_int_equal(s->n_dns_search, 2);
    assert_string_equal(s->dns_search[0], "corp.example");
    assert_int_equal(s->n_dns_forwards, 2);
    assert_string_equal(s->dns_forwards[0].name, "corp.example");
    assert_int_equal(s->dns_forwards[0].n_servers, 2);
    assert_int_equal(s->dns_forwards[0].servers[1].port, 54);
    assert_string_equal(s->dns_forwards[1].servers[0].host, "dns.lab.example");
    plan_free(&plan);
}

static void test_budgets(void **state)
{
    (void)state;
    struct plan plan = plan_of("{}");
    assert_int_equal(plan.settings.dns_budget.scope, LN_BUDGET_SUFFIX_RULES);
    assert_int_equal(plan.settings.dns_budget.labels, 128);
    plan_free(&plan);
    plan = plan_of("{dns = {budget = false}}");
    assert_int_equal(plan.settings.dns_budget.scope, LN_BUDGET_NONE);
    plan_free(&plan);
    plan = plan_of("{dns = {budget = {labels = 7}}}");
    assert_int_equal(plan.settings.dns_budget.scope, LN_BUDGET_ALL);
    assert_int_equal(plan.settings.dns_budget.labels, 7);
    assert_int_equal(plan.settings.dns_budget.queries, 600);
    assert_int_equal(plan.settings.dns_budget.bytes, 2048);
    plan_free(&plan);
}

static void test_mistakes_in_dns(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{dns = {cache = 1}}", "dns.cache", "it has the wrong type", "1"},
        {"{dns = {budget = 5}}", "dns.budget", "it has the wrong type", "5"},
        {"{dns = {budget = {labels = 0}}}", "dns.budget.labels", "it is too small", "0"},
        {"{dns = {hosts = {\"a.example\"}}}", "dns.hosts", "it is a list", "a table"},
        {"{dns = {hosts = {db = \"10.0.0\"}}}", "dns.hosts.db", "it is not an IP address",
         "\"10.0.0\""},
        {"{dns = {hosts = {db = \"127.0.0.1\"}}}", "dns.hosts.db",
         "no policy can open this address", "\"127.0.0.1\""},
        {"{dns = {hosts = {db = {}}}}", "dns.hosts.db", "there are 0", "a table"},
        {"{dns = {hosts = {[\"a.b\"] = \"10.0.0.5\", [\"A.b\"] = \"10.0.0.5\"}}}", "dns.hosts",
         "a.b is given twice, in different spellings", "a table"},
        {"{dns = {forward = {[\".a.b\"] = {}}}}", "dns.forward[\".a.b\"]",
         "the list of nameservers is empty", "a table"},
        {"{dns = {forward = {[\".a.b\"] = {\"1.2.3.4:0\"}}}}", "dns.forward[\".a.b\"][1]",
         "its host or port is not well formed", "\"1.2.3.4:0\""},
        {"{dns = {forward = {[\".a.b\"] = {\"::1\"}, [\"*.a.b\"] = {\"::1\"}}}}", "dns.forward",
         "a.b is given twice, in different spellings", "a table"},
        {"{dns = {search = {\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\"}}}", "dns.search",
         "more would not fit in the guest's resolv.conf", "a table"},
    };
    ASSERT_MISTAKES(mistakes);
}

static void assert_rebind(const char *config, bool expected)
{
    struct plan plan = plan_of(config);
    assert_int_equal(plan.settings.dns_rebind_protection, expected);
    plan_free(&plan);
}

static void test_the_nested_rebind_protection_wins(void **state)
{
    (void)state;
    assert_rebind("{dns_rebind_protection = false}", false);
    assert_rebind("{dns = {rebind_protection = false}}", false);
    assert_rebind("{dns = {rebind_protection = true}, dns_rebind_protection = false}", true);
    assert_rebind("{dns_rebind_protection = true, dns = {rebind_protection = false}}", false);
    assert_rebind("{dns = {}, dns_rebind_protection = false}", false);
}

static void assert_binding(const ln_port_binding *binding, const char *bind, uint16_t host_port,
                           uint16_t guest_port, ln_protocol protocol, const char *origin)
{
    assert_addr(&binding->bind, bind);
    assert_int_equal(binding->host_port, host_port);
    assert_int_equal(binding->guest_port, guest_port);
    assert_int_equal(binding->protocol, protocol);
    assert_string_equal(binding->origin, origin);
}

static void test_published_ports(void **state)
{
    (void)state;
    struct plan plan =
        plan_of("{ports = {81, [8080] = 80, [\"9090\"] = 90}, port_bindings = {"
                "{bind = \"0.0.0.0\", host_port = 8080, guest_port = 80},"
                "{bind = \"::\", host_port = 53, guest_port = 5353, protocol = \"udp\"},"
                "{host_port = 8443, guest_port = 443, protocol = \"tcp\"}}}");
    const ln_port_binding *b = plan.settings.bindings;
    assert_int_equal(plan.settings.n_bindings, 6);
    assert_binding(&b[0], "127.0.0.1", 1, 81, LN_TCP, "ports[1]");
    assert_binding(&b[1], "127.0.0.1", 8080, 80, LN_TCP, "ports[8080]");
    assert_binding(&b[2], "127.0.0.1", 9090, 90, LN_TCP, "ports[\"9090\"]");
    assert_binding(&b[3], "0.0.0.0", 8080, 80, LN_TCP, "port_bindings[1]");
    assert_binding(&b[4], "::", 53, 5353, LN_UDP, "port_bindings[2]");
    assert_binding(&b[5], "127.0.0.1", 8443, 443, LN_TCP, "port_bindings[3]");
    plan_free(&plan);
}

static void test_pools_limits_and_rates(void **state)
{
    (void)state;
    struct plan plan = plan_of(
        "{ipv4_pool = \"10.9.8.0/30\", ipv6_pool = \"fd00:1:2:3::/64\", max_connections = 100,"
        "limits = {first_flight_bytes = 4096, handler_ms = 7, handler_instructions = 5000},"
        "rate_limit = {egress = {bandwidth = {size = 1000000, refill_ms = 1000, burst = 5000}},"
        "              ingress = {packets = {size = 10, refill_ms = 100}}},"
        "budget = {egress = \"10MiB\", ingress = 5000},"
        "geoip = {country_db = \"c.mmdb\"}, trust_host_cas = true, deny_mode = \"reject\"}");
    const ln_settings *s = &plan.settings;
    assert_prefix(&s->ipv4_pool, "10.9.8.0/30");
    assert_prefix(&s->ipv6_pool, "fd00:1:2:3::/64");
    assert_int_equal(s->limits.max_connections, 100);
    assert_int_equal(s->limits.half_open, 100); /* no more than flows in all */
    assert_int_equal(s->limits.first_flight_bytes, 4096);
    assert_int_equal(s->limits.handler_ms, 7);
    assert_int_equal(s->limits.handler_instructions, 5000);
    assert_int_equal(s->egress_bytes.size, 1000000);
    assert_int_equal(s->egress_bytes.refill_ms, 1000);
    assert_int_equal(s->egress_bytes.burst, 5000);
    assert_int_equal(s->egress_packets.size, 0);
    assert_int_equal(s->ingress_packets.size, 10);
    assert_int_equal(s->ingress_packets.burst, 0);
    assert_int_equal(s->egress_budget, 10 << 20);
    assert_int_equal(s->ingress_budget, 5000);
    assert_string_equal(s->country_db, "c.mmdb");
    assert_null(s->asn_db);
    assert_true(s->trust_host_cas);
    assert_true(s->deny_by_reject);
    plan_free(&plan);
}

static void test_upstream_proxy(void **state)
{
    (void)state;
    struct plan plan = plan_of("{upstream_proxy = \"socks5://127.0.0.1:1080\"}");
    const ln_proxy *proxy = &plan.settings.proxy;
    assert_int_equal(proxy->kind, LN_PROXY_SOCKS5);
    assert_int_equal(ln_addr_to_v4(&proxy->endpoint.addr), 0x7f000001);
    assert_int_equal(proxy->endpoint.port, 1080);
    assert_null(proxy->endpoint.host);
    assert_null(proxy->user);
    assert_false(proxy->resolve_remotely);
    plan_free(&plan);
    plan = plan_of("{upstream_proxy = {url = \"http://a%40b:c:d%25@[::1]:3128/\","
                   "resolve = \"remote\"}}");
    assert_int_equal(proxy->kind, LN_PROXY_HTTP);
    assert_int_equal(proxy->endpoint.addr.bytes[15], 1);
    assert_string_equal(proxy->user, "a@b");
    assert_string_equal(proxy->password, "c:d%");
    assert_true(proxy->resolve_remotely);
    plan_free(&plan);
    plan = plan_of("{upstream_proxy = \"http://Proxy.example:8080\"}");
    assert_string_equal(proxy->endpoint.host, "proxy.example");
    plan_free(&plan);
}

static void test_mistakes_in_upstream_proxy_show_no_password(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{upstream_proxy = 7}", "upstream_proxy", "it has the wrong type", "an integer"},
        {"{upstream_proxy = {}}", "upstream_proxy.url", "it is missing", NULL},
        {"{upstream_proxy = {url = \"socks5://h:1\", resolve = \"remotely\"}}",
         "upstream_proxy.resolve", "unknown resolve (did you mean \"remote\"?)", "\"remotely\""},
        {"{upstream_proxy = \"https://u:hush@h:1\"}", "upstream_proxy",
         "it is not the URL of a proxy of these kinds", "a string"},
        {"{upstream_proxy = \"socks5://u:hush@host.example\"}", "upstream_proxy",
         "its port is missing", "a string"},
        {"{upstream_proxy = \"socks5://u:hush@\"}", "upstream_proxy",
         "its host or port is not well formed", "a string"},
        {"{upstream_proxy = \"socks5://u:hush@host.example:0\"}", "upstream_proxy",
         "its host or port is not well formed", "a string"},
        {"{upstream_proxy = \"socks5://u:hush@h.example:1/path\"}", "upstream_proxy",
         "its host or port is not well formed", "a string"},
        {"{upstream_proxy = \"socks5://hush@h.example:1\"}", "upstream_proxy",
         "it has a user, but no password", "a string"},
        {"{upstream_proxy = \"socks5://u:@h.example:1\"}", "upstream_proxy",
         "its user or password is not well formed", "a string"},
        {"{upstream_proxy = \"socks5://u:hush%0@h.example:1\"}", "upstream_proxy",
         "its user or password is not well formed", "a string"},
        {"{upstream_proxy = \"socks5://u:hush%00@h.example:1\"}", "upstream_proxy",
         "its user or password is not well formed", "a string"},
        {"{upstream_proxy = \"http://u%3a:hush@h.example:1\"}", "upstream_proxy",
         "a colon in the user is not for HTTP (RFC 7617)", "a string"},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_tls(void **state)
{
    (void)state;
    struct plan bare = plan_of("{tls = {}}");
    assert_true(bare.settings.tls.intercept);
    assert_true(bare.settings.tls.verify_upstream);
    assert_true(bare.settings.tls.block_quic);
    assert_int_equal(bare.settings.tls.n_ports, 1);
    assert_int_equal(bare.settings.tls.ports[0], 443);
    plan_free(&bare);

    struct plan plan = plan_of(
        "{tls = {bypass = {\"pinned.example\", \"*.bank.example\"}, verify_upstream = false,"
        "intercepted_ports = {443, 8443}, block_quic = false, ca_cert = \"c.pem\","
        "ca_key = \"k.pem\", upstream_ca_certs = {\"a.pem\", \"b.pem\"},"
        "upstream_ca_certs_for = {[\".corp.example\"] = \"corp.pem\", [\"x.y\"] = {\"1\", \"2\"}},"
        "verify_upstream_for = {[\"self.example\"] = true}}}");
    const ln_tls_settings *tls = &plan.settings.tls;
    assert_false(tls->verify_upstream);
    assert_false(tls->block_quic);
    assert_int_equal(tls->n_bypass, 2);
    assert_pattern(&tls->bypass[0], "pinned.example", false);
    assert_pattern(&tls->bypass[1], "bank.example", true);
    assert_int_equal(tls->n_ports, 2);
    assert_int_equal(tls->ports[1], 8443);
    assert_string_equal(tls->ca_cert, "c.pem");
    assert_string_equal(tls->ca_key, "k.pem");
    assert_int_equal(tls->n_upstream_ca_certs, 2);
    assert_string_equal(tls->upstream_ca_certs[1], "b.pem");
    assert_int_equal(tls->n_ca_certs_for, 2);
    assert_pattern(&tls->ca_certs_for[0].host, "corp.example", true);
    assert_int_equal(tls->ca_certs_for[0].n_paths, 1);
    assert_string_equal(tls->ca_certs_for[0].paths[0], "corp.pem");
    assert_int_equal(tls->ca_certs_for[1].n_paths, 2);
    assert_int_equal(tls->n_verify_for, 1);
    assert_pattern(&tls->verify_for[0].host, "self.example", false);
    assert_true(tls->verify_for[0].verify);
    plan_free(&plan);
}

static void test_secrets(void **state)
{
    (void)state;
    struct plan plan = plan_of(
        "{tls = {}, on_secret_violation = \"block\", secrets = {"
        "{env = \"GITHUB_TOKEN\", from_env = \"GH\", allow_hosts = {\"api.github.com\","
        " \"*.githubusercontent.com\"}},"
        "{env = \"B\", value = \"s3cret\", allow_hosts = {\"b.example\"}, placeholder = \"$B\","
        " inject = {headers = false, query = true, body = true}, on_violation = function},"
        "{env = \"C\", from_file = \"/run/c\", allow_hosts = {\"c.example\"},"
        " require_tls = false, on_violation = \"block-and-terminate\"},"
        "{env = \"_D1\", command = \"pass show d\", refresh_s = 900,"
        " allow_hosts = {\"d.example\"}}}}");
    const ln_secret *s = plan.settings.secrets;
    assert_int_equal(plan.settings.n_secrets, 4);
    assert_string_equal(s[0].env, "GITHUB_TOKEN");
    assert_int_equal(s[0].from, LN_SECRET_FROM_ENV);
    assert_string_equal(s[0].source, "GH");
    assert_int_equal(s[0].n_hosts, 2);
    assert_pattern(&s[0].hosts[1], "githubusercontent.com", true);
    assert_null(s[0].placeholder);
    assert_int_equal(s[0].inject, LN_INJECT_HEADERS | LN_INJECT_BASIC_AUTH);
    assert_true(s[0].require_tls);
    assert_int_equal(s[0].on_violation, LN_VIOLATION_BLOCK);
    assert_string_equal(s[0].origin, "secrets[1]");
    assert_int_equal(s[1].from, LN_SECRET_VALUE);
    assert_int_equal(s[1].source_len, 6);
    assert_memory_equal(s[1].source, "s3cret", 6);
    assert_string_equal(s[1].placeholder, "$B");
    assert_int_equal(s[1].inject, LN_INJECT_BASIC_AUTH | LN_INJECT_QUERY | LN_INJECT_BODY);
    assert_int_equal(s[1].on_violation, LN_VIOLATION_HANDLER);
    assert_true(s[1].violation_handler > 0);
    assert_int_equal(s[2].from, LN_SECRET_FROM_FILE);
    assert_false(s[2].require_tls);
    assert_int_equal(s[2].on_violation, LN_VIOLATION_BLOCK_AND_TERMINATE);
    assert_int_equal(s[3].from, LN_SECRET_COMMAND);
    assert_string_equal(s[3].source, "pass show d");
    assert_int_equal(s[3].refresh_s, 900);
    assert_int_equal(s[2].refresh_s, 0);
    plan_free(&plan);
}

static void test_the_sandbox_wide_violation_is_inherited(void **state)
{
    (void)state;
    struct plan plan =
        plan_of("{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = "
                "{\"a.b\"}}}}");
    assert_int_equal(plan.settings.secrets[0].on_violation, LN_VIOLATION_BLOCK_AND_LOG);
    plan_free(&plan);
    plan = plan_of("{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = "
                   "{\"a.b\"}}}, on_secret_violation = function}");
    assert_int_equal(plan.settings.secrets[0].on_violation, LN_VIOLATION_HANDLER);
    assert_true(plan.settings.secrets[0].violation_handler > 0);
    plan_free(&plan);
}

static void test_rules_about_requests(void **state)
{
    (void)state;
    struct plan plan = plan_of(
        "{tls = {}, rules = {"
        "{action = \"allow\", destination = \"a.b\", http = {methods = {\"GET\", \"M-SEARCH\"},"
        " path = \"/repos/%61/*\", headers = {[\"x-B\"] = \"v*\", [\"X-A\"] = \"1\"}}},"
        "{action = \"deny\", destination = \"a.b\", http = {methods = \"POST\"}},"
        "{action = \"deny\", destination = \"a.b\", http = {}}}}");
    assert_int_equal(plan.rules[0].http->n_methods, 2);
    assert_string_equal(plan.rules[0].http->methods[1], "M-SEARCH");
    assert_string_equal(plan.rules[0].http->path, "/repos/a/*");
    assert_int_equal(plan.rules[0].http->n_headers, 2);
    assert_string_equal(plan.rules[0].http->headers[0].name, "X-A");
    assert_string_equal(plan.rules[0].http->headers[1].value, "v*");
    assert_int_equal(plan.rules[0].protocols, LN_PROTOCOL_BIT(LN_TCP));
    assert_int_equal(plan.rules[1].http->n_methods, 1);
    assert_null(plan.rules[1].http->path);
    assert_non_null(plan.rules[2].http);
    plan_free(&plan);
    /* Plain HTTP can be seen without interception. */
    plan = plan_of("{rules = {{action = \"allow\", destination = \"a.b\", protocol = \"tcp\", "
                   "ports = {80, 8080}, http = {}}}}");
    assert_non_null(plan.rules[0].http);
    plan_free(&plan);
}

/* ---- mistakes ---- */

static void test_mistakes_in_settings(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{dns = true}", "dns", "it has the wrong type", "true"},
        {"{dns = {rebind = true}}", "dns.rebind", "unknown key", "\"rebind\""},
        {"{dns = {nameserver = {}}}", "dns.nameserver",
         "unknown key (did you mean \"nameservers\"?)", "\"nameserver\""},
        {"{dns = {rebind_protection = 1}}", "dns.rebind_protection", "it has the wrong type", "1"},
        {"{dns_rebind_protection = \"no\"}", "dns_rebind_protection", "it has the wrong type",
         "\"no\""},
        {"{dns = {query_timeout_ms = 0}}", "dns.query_timeout_ms", "it is too small", "0"},
        {"{dns = {query_timeout_ms = 1.5}}", "dns.query_timeout_ms", "it is not an integer", "1.5"},
        {"{dns = {query_timeout_ms = 99999999999}}", "dns.query_timeout_ms", "it is too large",
         "99999999999"},
        {"{dns = {nameservers = \"1.1.1.1\"}}", "dns.nameservers", "it has the wrong type",
         "\"1.1.1.1\""},
        {"{dns = {nameservers = {\"1.1.1.1:0\"}}}", "dns.nameservers[1]",
         "its host or port is not well formed", "\"1.1.1.1:0\""},
        {"{dns = {nameservers = {\"1.1.1.1:65536\"}}}", "dns.nameservers[1]",
         "its host or port is not well formed", "\"1.1.1.1:65536\""},
        {"{dns = {nameservers = {\"1.1.1.1:\"}}}", "dns.nameservers[1]",
         "its host or port is not well formed", "\"1.1.1.1:\""},
        {"{dns = {nameservers = {\"[::1\"}}}", "dns.nameservers[1]",
         "its host or port is not well formed", "\"[::1\""},
        {"{dns = {nameservers = {\"[::1]5\"}}}", "dns.nameservers[1]",
         "its host or port is not well formed", "\"[::1]5\""},
        {"{dns = {nameservers = {\"1.1.1\"}}}", "dns.nameservers[1]",
         "neither an address nor a name: it ends in a number", "\"1.1.1\""},
        {"{dns = {nameservers = {\"dns..example\"}}}", "dns.nameservers[1]",
         "invalid name: it has an empty label", "\"dns..example\""},
        {"{ipv4_pool = \"172.16.0.0/31\"}", "ipv4_pool", "the pool has no room for one sandbox",
         "\"172.16.0.0/31\""},
        {"{ipv4_pool = \"172.16.0.1/12\"}", "ipv4_pool",
         "bits behind the prefix are set (did you mean \"172.16.0.0/12\"?)", "\"172.16.0.1/12\""},
        {"{ipv4_pool = \"fd00::/48\"}", "ipv4_pool", "the family is wrong", "\"fd00::/48\""},
        {"{ipv4_pool = \"127.0.0.0/8\"}", "ipv4_pool", "no guest can have addresses of this range",
         "\"127.0.0.0/8\""},
        {"{ipv4_pool = \"224.0.0.0/8\"}", "ipv4_pool", "no guest can have addresses of this range",
         "\"224.0.0.0/8\""},
        {"{ipv6_pool = \"fd00::/65\"}", "ipv6_pool", "the pool has no room for one sandbox",
         "\"fd00::/65\""},
        {"{ipv6_pool = \"10.0.0.0/8\"}", "ipv6_pool", "the family is wrong", "\"10.0.0.0/8\""},
        {"{ipv6_pool = \"fe80::/64\"}", "ipv6_pool", "no guest can have addresses of this range",
         "\"fe80::/64\""},
        {"{ipv6_pool = 6}", "ipv6_pool", "it has the wrong type", "6"},
        {"{max_connections = 0}", "max_connections", "it is too small", "0"},
        {"{max_connections = \"many\"}", "max_connections", "it is not an integer", "\"many\""},
        {"{max_connections = 5, limits = {max_connections = 6}}", "limits.max_connections",
         "it is given twice: here and as `max_connections`", "6"},
        {"{limits = {half_opne = 1}}", "limits.half_opne",
         "unknown key (did you mean \"half_open\"?)", "\"half_opne\""},
        {"{limits = {fragment_bytes = 65536}}", "limits.fragment_bytes", "it is too large",
         "65536"},
        {"{limits = {pin_names = -5}}", "limits.pin_names", "it is too small", "-5"},
        {"{rate_limit = {egress = {bandwith = {}}}}", "rate_limit.egress.bandwith",
         "unknown key (did you mean \"bandwidth\"?)", "\"bandwith\""},
        {"{rate_limit = {outgoing = {}}}", "rate_limit.outgoing", "unknown key", "\"outgoing\""},
        {"{rate_limit = {egress = {bandwidth = {refill_ms = 1}}}}",
         "rate_limit.egress.bandwidth.size", "it is missing", NULL},
        {"{rate_limit = {ingress = {packets = {size = 1}}}}",
         "rate_limit.ingress.packets.refill_ms", "it is missing", NULL},
        {"{rate_limit = {egress = {bandwidth = {size = 0, refill_ms = 1}}}}",
         "rate_limit.egress.bandwidth.size", "it is too small", "0"},
        {"{budget = 5}", "budget", "it has the wrong type", "5"},
        {"{budget = {out = 5}}", "budget.out", "unknown key", "\"out\""},
        {"{budget = {egress = 0}}", "budget.egress", "it is too small", "0"},
        {"{budget = {egress = true}}", "budget.egress", "it is not a size", "true"},
        {"{budget = {egress = \"GB\"}}", "budget.egress", "it is not a size", "\"GB\""},
        {"{budget = {egress = \"0GB\"}}", "budget.egress", "it is not a size", "\"0GB\""},
        {"{budget = {egress = \"1.5GB\"}}", "budget.egress", "it is not a size", "\"1.5GB\""},
        {"{budget = {ingress = \"1 GB\"}}", "budget.ingress", "it is not a size", "\"1 GB\""},
        {"{budget = {ingress = \"10\"}}", "budget.ingress", "it is not a size", "\"10\""},
        {"{budget = {ingress = \"18446744073709551617B\"}}", "budget.ingress", "it is too large",
         "\"18446744073709551617B\""},
        {"{budget = {ingress = \"1048577GiB\"}}", "budget.ingress", "it is too large",
         "\"1048577GiB\""},
        {"{geoip = {country = \"x\"}}", "geoip.country",
         "unknown key (did you mean \"country_db\"?)", "\"country\""},
        {"{geoip = {asn_db = \"\"}}", "geoip.asn_db", "it is empty", "\"\""},
        {"{trust_host_cas = \"yes\"}", "trust_host_cas", "it has the wrong type", "\"yes\""},
        {"{on_connect = \"allow\"}", "on_connect", "it has the wrong type", "\"allow\""},
        {"{deny_mode = \"rejct\"}", "deny_mode", "unknown deny_mode (did you mean \"reject\"?)",
         "\"rejct\""},
        {"{rule = {}}", "rule", "unknown key (did you mean \"rules\"?)", "\"rule\""},
        {"{[7] = 1}", "[7]", "a value without a key", "1"},
        {"{[true] = 1}", "[\"a boolean\"]", "unknown key", "\"a boolean\""},
        {"7", "", "a policy returns a configuration", "7"},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_mistakes_in_published_ports(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{ports = {[0] = 80}}", "ports[0]", "the key is not a port of the host", "0"},
        {"{ports = {[65536] = 80}}", "ports[65536]", "the key is not a port of the host", "65536"},
        {"{ports = {http = 80}}", "ports.http", "the key is not a port of the host", "\"http\""},
        {"{ports = {[8080] = 0}}", "ports[8080]", "it is too small", "0"},
        {"{ports = {[8080] = \"80\"}}", "ports[8080]", "it is not an integer", "\"80\""},
        {"{ports = 80}", "ports", "it has the wrong type", "80"},
        {"{ports = {[80] = 1, [\"80\"] = 2}}", "ports[\"80\"]",
         "the same address and port as ports[80]", "2"},
        {"{port_bindings = {{host_port = 1}}}", "port_bindings[1].guest_port", "it is missing",
         NULL},
        {"{port_bindings = {{guest_port = 1}}}", "port_bindings[1].host_port", "it is missing",
         NULL},
        {"{port_bindings = {{host_port = 0, guest_port = 1}}}", "port_bindings[1].host_port",
         "it is too small", "0"},
        {"{port_bindings = {{host_port = 1, guest_port = 1, protocol = \"sctp\"}}}",
         "port_bindings[1].protocol", "unknown protocol", "\"sctp\""},
        {"{port_bindings = {{host_port = 1, guest_port = 1, bind = \"localhost\"}}}",
         "port_bindings[1].bind", "it is not an IP address", "\"localhost\""},
        {"{ports = {[80] = 1}, port_bindings = {{host_port = 80, guest_port = 2}}}",
         "port_bindings[1]", "the same address and port as ports[80]", "a table"},
        {"{port_bindings = {{host_port = 1, guest_port = 1, port = 1}}}", "port_bindings[1].port",
         "unknown key", "\"port\""},
    };
    ASSERT_MISTAKES(mistakes);
    /* Another protocol or address is another socket. */
    struct plan plan = plan_of("{ports = {[80] = 1}, port_bindings = {"
                               "{host_port = 80, guest_port = 2, protocol = \"udp\"},"
                               "{host_port = 80, guest_port = 2, bind = \"10.0.0.1\"}}}");
    assert_int_equal(plan.settings.n_bindings, 3);
    plan_free(&plan);
}

static void test_mistakes_in_tls(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{tls = true}", "tls", "it has the wrong type", "true"},
        {"{tls = {bypas = {}}}", "tls.bypas", "unknown key (did you mean \"bypass\"?)",
         "\"bypas\""},
        {"{tls = {bypass = {\"a..b\"}}}", "tls.bypass[1]", "invalid name: it has an empty label",
         "\"a..b\""},
        {"{tls = {bypass = {\"*\"}}}", "tls.bypass[1]",
         "invalid name: it has a character that no host name can hold", "\"*\""},
        {"{tls = {intercepted_ports = {443, 0}}}", "tls.intercepted_ports[2]", "it is too small",
         "0"},
        {"{tls = {intercepted_ports = 443}}", "tls.intercepted_ports", "it has the wrong type",
         "443"},
        {"{tls = {ca_cert = \"c.pem\"}}", "tls.ca_key", "it is missing", NULL},
        {"{tls = {ca_key = \"k.pem\"}}", "tls.ca_cert", "it is missing", NULL},
        {"{tls = {upstream_ca_certs = {\"a\", 7}}}", "tls.upstream_ca_certs[2]",
         "it has the wrong type", "7"},
        {"{tls = {upstream_ca_certs_for = {\"a\"}}}", "tls.upstream_ca_certs_for", "it is a list",
         "a table"},
        {"{tls = {upstream_ca_certs_for = {[\"a..b\"] = \"x\"}}}",
         "tls.upstream_ca_certs_for[\"a..b\"]", "invalid name: it has an empty label", "\"a..b\""},
        {"{tls = {verify_upstream_for = {[\".a.b\"] = 1}}}", "tls.verify_upstream_for[\".a.b\"]",
         "it has the wrong type", "1"},
        {"{tls = {verify_upstream_for = {[5] = true}}}", "tls.verify_upstream_for[5]",
         "it has the wrong type", "5"},
    };
    ASSERT_MISTAKES(mistakes);
}

#define SECRET(fields) "{tls = {}, secrets = {{env = \"A\", allow_hosts = {\"a.b\"}, " fields "}}}"

static void test_mistakes_in_secrets(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {SECRET(""), "secrets[1].value", "it is missing", NULL},
        {SECRET("value = \"hunter2\", from_env = \"A\""), "secrets[1].from_env",
         "the secret has another source already", "\"A\""},
        {SECRET("from_env = 7"), "secrets[1].from_env", "it has the wrong type", "7"},
        {"{tls = {}, secrets = {{from_env = \"A\", allow_hosts = {\"a.b\"}}}}", "secrets[1].env",
         "it is missing", NULL},
        {"{tls = {}, secrets = {{env = \"1A\", from_env = \"A\", allow_hosts = {\"a.b\"}}}}",
         "secrets[1].env", "it is not the name of a variable", "\"1A\""},
        {"{tls = {}, secrets = {{env = \"A=B\", from_env = \"A\", allow_hosts = {\"a.b\"}}}}",
         "secrets[1].env", "it is not the name of a variable", "\"A=B\""},
        {"{tls = {}, secrets = {{env = \"A\", from_env = \"A\"}}}", "secrets[1].allow_hosts",
         "it is missing", NULL},
        {"{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {}}}}",
         "secrets[1].allow_hosts", "the list is empty", "a table"},
        {"{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {\"*\"}}}}",
         "secrets[1].allow_hosts[1]", "invalid name: it has a character that no host name can hold",
         "\"*\""},
        {SECRET("from_env = \"A\", placeholder = \"a\\nb\""), "secrets[1].placeholder",
         "it has a line break", "\"a\\x0ab\""},
        {SECRET("from_env = \"A\", placeholder = \"\""), "secrets[1].placeholder", "it is empty",
         "\"\""},
        {SECRET("from_env = \"A\", inject = {cookies = true}"), "secrets[1].inject.cookies",
         "unknown key", "\"cookies\""},
        {SECRET("from_env = \"A\", on_violation = \"log\""), "secrets[1].on_violation",
         "unknown action", "\"log\""},
        {SECRET("from_env = \"A\", on_violation = \"block_and_log\""), "secrets[1].on_violation",
         "unknown action (did you mean \"block-and-log\"?)", "\"block_and_log\""},
        {SECRET("from_env = \"A\", refresh_s = 60"), "secrets[1].refresh_s",
         "this secret cannot change while lunette runs", "60"},
        {SECRET("from_file = \"/a\", refresh_s = 0"), "secrets[1].refresh_s", "it is too small",
         "0"},
        {SECRET("from_env = \"A\", require_tls = 0"), "secrets[1].require_tls",
         "it has the wrong type", "0"},
        {"{on_secret_violation = \"pass-placeholder\"}", "on_secret_violation", "unknown action",
         "\"pass-placeholder\""},
        {"{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {\"a.b\"}}, "
         "{env = \"A\", from_env = \"B\", allow_hosts = {\"a.b\"}}}}",
         "secrets[2]", "secrets[1] has the same `env`", "a table"},
        {"{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {\"a.b\"}, "
         "placeholder "
         "= \"$x\"}, {env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, placeholder = "
         "\"$x\"}}}",
         "secrets[2]", "secrets[1] has the same placeholder", "a table"},
        {"{tls = {}, secrets = {{env = \"A_TOKEN\", from_env = \"A\", allow_hosts = {\"a.b\"}, "
         "placeholder = \"$xyz\"}, {env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, "
         "placeholder = \"xy\"}}}",
         "secrets[2]", "its placeholder and that of secrets[1] hold each other", "a table"},
        {"{tls = {}, secrets = {{env = \"A_TOKEN\", from_env = \"A\", allow_hosts = {\"a.b\"}, "
         "placeholder = \"y\"}, {env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, "
         "placeholder = \"$xyz\"}}}",
         "secrets[2]", "its placeholder and that of secrets[1] hold each other", "a table"},
        {"{tls = {}, secrets = {{env = \"A_TOKEN\", from_env = \"A\", allow_hosts = {\"a.b\"}}, "
         "{env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, placeholder = \"$LUN\"}}}",
         "secrets[2]", "its placeholder and that of secrets[1] hold each other", "a table"},
        {"{tls = {}, secrets = {{env = \"A_TOKEN\", from_env = \"A\", allow_hosts = {\"a.b\"}, "
         "placeholder = \"$LUNETTE_B\"}, {env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, "
         "placeholder = \"TE_B\"}}}",
         "secrets[2]", "its placeholder and that of secrets[1] hold each other", "a table"},
        {"{tls = {}, secrets = {{env = \"A_TOKEN\", from_env = \"A\", allow_hosts = {\"a.b\"}}, "
         "{env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, placeholder = \"E_A_TO\"}}}",
         "secrets[2]", "its placeholder and that of secrets[1] hold each other", "a table"},
        {"{tls = {}, secrets = {{env = \"A_TOKEN\", from_env = \"A\", allow_hosts = {\"a.b\"}}, "
         "{env = \"B\", from_env = \"B\", allow_hosts = {\"a.b\"}, placeholder = \"TOKEN\"}}}",
         "secrets[2]", "its placeholder and that of secrets[1] hold each other", "a table"},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_more_secrets_than_a_vault_holds_are_refused(void **state)
{
    (void)state;
    static char config[8192] = "{secrets = {";
    for (int i = 0; i < 1025; i++) {
        strcat(config, "{},");
    }
    strcat(config, "}}");
    const struct mistake mistake = {config, "secrets", "it has more than 1024", "a table"};
    assert_mistakes(&mistake, 1);
}

static void test_a_secret_that_could_never_be_used_is_refused(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {\"a.b\"}}}}", "secrets[1]",
         "the secret could never be used: no connection is intercepted", "a table"},
        {"{tls = {intercepted_ports = {}}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts "
         "= "
         "{\"a.b\"}}}}",
         "secrets[1]", "the secret could never be used: no connection is intercepted", "a table"},
        {"{tls = {bypass = {\"a.b\"}}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = "
         "{\"c.d\", \"a.b\"}}}}",
         "secrets[1]", "the secret could never be used: tls.bypass holds its host \"a.b\"",
         "a table"},
        {"{tls = {bypass = {\"*.b\"}}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = "
         "{\"*.a.b\"}}}}",
         "secrets[1]", "the secret could never be used: tls.bypass holds its host \"*.a.b\"",
         "a table"},
        {"{tls = {bypass = {\".b\"}}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = "
         "{\".b\"}}}}",
         "secrets[1]", "the secret could never be used: tls.bypass holds its host \"*.b\"",
         "a table"},
        {"{tls = {verify_upstream = false, verify_upstream_for = {[\"c.d\"] = true}}, secrets = "
         "{{env = \"A\", from_env = \"A\", allow_hosts = {\"c.d\", \"a.b\"}}}}",
         "secrets[1]", "the secret could never be used: its host \"a.b\" is not verified",
         "a table"},
        {"{tls = {verify_upstream_for = {[\".b\"] = false}}, secrets = {{env = \"A\", from_env = "
         "\"A\", allow_hosts = {\"*.a.b\"}}}}",
         "secrets[1]", "the secret could never be used: its host \"*.a.b\" is not verified",
         "a table"},
    };
    ASSERT_MISTAKES(mistakes);
    static const char *const fine[] = {
        "{secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {\"a.b\"}, require_tls = "
        "false}}}",
        "{tls = {verify_upstream = false, verify_upstream_for = {[\"x.a.b\"] = true}}, secrets = "
        "{{env = \"A\", from_env = \"A\", allow_hosts = {\"*.a.b\"}}}}",
        "{tls = {verify_upstream = false}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts "
        "= {\"a.b\"}, require_tls = false}}}",
        "{tls = {bypass = {\"*.a.b\", \"x.a.b\", \"ba.b\"}}, secrets = {{env = \"A\", from_env = "
        "\"A\", allow_hosts = {\"a.b\"}}}}",
        "{tls = {bypass = {\"x.a.b\"}}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = "
        "{\"*.a.b\"}}}}",
        "{tls = {}, secrets = {{env = \"A\", from_env = \"A\", allow_hosts = {\"a.b\"}}, {env = "
        "\"A_B\", from_env = \"B\", allow_hosts = {\"a.b\"}, placeholder = \"$LUNETTE_X\"}}}",
    };
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        struct plan plan = plan_of(fine[i]);
        plan_free(&plan);
    }
}

static void test_no_problem_shows_a_secret(void **state)
{
    (void)state;
    static const char *const configs[] = {
        SECRET("value = {\"hunter2\"}"),
        SECRET("value = \"hunter2\\0\""),
        SECRET("from_env = \"A\", value = \"hunter2\""),
        SECRET("from_env = \"A\", \"hunter2\""),
        SECRET("vaule = \"hunter2\""),
        "{secrets = \"hunter2\"}",
        "{secrets = {\"hunter2\"}}",
        "{secrets = {A = \"hunter2\"}}",
        "{secrets = {{}, [3] = \"hunter2\"}}",
    };
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        ln_problems *problems = problems_of(configs[i]);
        for (size_t k = 0; k < ln_problems_count(problems); k++) {
            char line[2048];
            ln_problem_format(ln_problems_get(problems, k), line, sizeof(line));
            assert_null(strstr(line, "hunter2"));
        }
        ln_problems_free(problems);
    }
}

#define HTTP(fields, http)                                                                         \
    "{rules = {{action = \"allow\", destination = \"a.b\", " fields " http = " http "}}}"

static void test_mistakes_in_rules_about_requests(void **state)
{
    (void)state;
    static const char *const unseen = "without interception the requests of HTTPS cannot be seen";
    const struct mistake mistakes[] = {
        {HTTP("", "{}"), "rules[1].http", unseen, "a table"},
        {HTTP("ports = {443},", "{}"), "rules[1].http", unseen, "a table"},
        {HTTP("ports = {\"80-500\"},", "{}"), "rules[1].http", unseen, "a table"},
        {HTTP("port = 80, protocol = \"udp\",", "{}"), "rules[1].http",
         "the rule would never match: requests come over TCP", "a table"},
        {HTTP("port = 80, direction = \"any\",", "{}"), "rules[1].http",
         "requests are judged in egress only", "a table"},
        {HTTP("port = 80,", "{method = \"GET\"}"), "rules[1].http.method",
         "unknown key (did you mean \"methods\"?)", "\"method\""},
        {HTTP("port = 80,", "{path = \"/a?b=1\"}"), "rules[1].http.path",
         "the query is no part of the path", "\"/a?b=1\""},
        {HTTP("port = 80,", "{path = \"/a/../b\"}"), "rules[1].http.path",
         "it has a segment \".\" or \"..\"", "\"/a/../b\""},
        {HTTP("port = 80,", "{path = \"/a//b\"}"), "rules[1].http.path",
         "it has an empty segment (\"//\"): requests for such paths are denied", "\"/a//b\""},
        {HTTP("port = 80,", "{path = \"/a%2\"}"), "rules[1].http.path",
         "\"%\" is not followed by two hexadecimal digits", "\"/a%2\""},
        {HTTP("port = 80,", "{path = \"/a%2a\"}"), "rules[1].http.path",
         "an encoded star cannot be matched", "\"/a%2a\""},
        {HTTP("port = 80,", "{path = \"/a%2fb\"}"), "rules[1].http.path",
         "servers differ on what such a path means (an encoded \"/\" or \"%\", \"\\\", \";\", "
         "\"#\", control characters): requests for it are denied",
         "\"/a%2fb\""},
        {HTTP("port = 80,", "{headers = {\"X-A\"}}"), "rules[1].http.headers", "it is a list",
         "a table"},
        {HTTP("port = 80,", "{headers = {[\"X A\"] = \"1\"}}"), "rules[1].http.headers[\"X A\"]",
         "the key is not the name of a header", "\"X A\""},
        {HTTP("port = 80,", "{headers = {[\"X-A\"] = \" 1\"}}"), "rules[1].http.headers[\"X-A\"]",
         "no header has such a value: it is on one line, without spaces around", "\" 1\""},
        {HTTP("port = 80,", "{headers = {[\"X-A\"] = \"1\", [\"x-a\"] = \"2\"}}"),
         "rules[1].http.headers", "x-a is given twice, in different spellings", "a table"},
        {HTTP("port = 80,", "{header = {}}"), "rules[1].http.header",
         "unknown key (did you mean \"headers\"?)", "\"header\""},
        {HTTP("port = 80,", "{methods = {\"GET\", \"get\"}}"), "rules[1].http.methods[2]",
         "a method is written in upper case letters; did you mean \"GET\"?", "\"get\""},
        {HTTP("port = 80,", "{path = \"repos\"}"), "rules[1].http.path", "a path starts with \"/\"",
         "\"repos\""},
        {HTTP("port = 80,", "true"), "rules[1].http", "it has the wrong type", "true"},
    };
    ASSERT_MISTAKES(mistakes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_silent_policy_has_the_documented_defaults),
        cmocka_unit_test(test_nameservers_in_every_spelling),
        cmocka_unit_test(test_the_nested_rebind_protection_wins),
        cmocka_unit_test(test_names_of_ones_own_search_and_forwards),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_mistakes_in_dns),
        cmocka_unit_test(test_published_ports),
        cmocka_unit_test(test_pools_limits_and_rates),
        cmocka_unit_test(test_upstream_proxy),
        cmocka_unit_test(test_mistakes_in_upstream_proxy_show_no_password),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_the_sandbox_wide_violation_is_inherited),
        cmocka_unit_test(test_rules_about_requests),
        cmocka_unit_test(test_mistakes_in_settings),
        cmocka_unit_test(test_mistakes_in_published_ports),
        cmocka_unit_test(test_mistakes_in_tls),
        cmocka_unit_test(test_mistakes_in_secrets),
        cmocka_unit_test(test_more_secrets_than_a_vault_holds_are_refused),
        cmocka_unit_test(test_a_secret_that_could_never_be_used_is_refused),
        cmocka_unit_test(test_no_problem_shows_a_secret),
        cmocka_unit_test(test_mistakes_in_rules_about_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
