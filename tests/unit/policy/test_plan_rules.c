/* Rules, destinations, deny lists and presets: what they become, and every mistake in them. */
#include "policy/plan_fixture.h"

/* ---- what is accepted ---- */

static void test_a_rule_has_defaults(void **state)
{
    (void)state;
    struct plan plan = plan_of("{rules = {{action = \"allow\", destination = \"*\"}}}");
    assert_int_equal(plan.n_rules, 1);
    const ln_rule *rule = &plan.rules[0];
    assert_int_equal(rule->action, LN_ALLOW);
    assert_int_equal(rule->directions, LN_DIRECTION_BIT(LN_EGRESS));
    assert_int_equal(rule->protocols, LN_PROTOCOLS_ALL);
    assert_int_equal(rule->n_ports, 0);
    assert_null(rule->ports);
    assert_int_equal(rule->destination.kind, LN_DEST_ANY);
    assert_int_equal(rule->when, 0);
    assert_null(rule->http);
    assert_null(rule->name);
    assert_false(rule->deny_list);
    assert_int_equal(plan.n_handlers, 0);
    plan_free(&plan);
}

static void test_a_rule_knows_where_it_was_written(void **state)
{
    (void)state;
    struct plan plan = plan_of("{\n rules = {\n  {action = \"allow\", destination = \"*\"},\n\n"
                               "  <rules[7]> {action = \"deny\", destination = \"*\"}}}");
    assert_string_equal(plan.rules[0].file, "p.lua");
    assert_int_equal(plan.rules[0].line, 3);
    assert_string_equal(plan.rules[0].origin, "rules[1]");
    assert_int_equal(plan.rules[1].line, 5);
    assert_string_equal(plan.rules[1].origin, "rules[7]");
    plan_free(&plan);
}

static void test_a_rule_keeps_its_label_and_function(void **state)
{
    (void)state;
    struct plan plan = plan_of("{rules = {{action = \"deny\", destination = \"*\", when = function,"
                               " name = \"no thanks\"}}, on_connect = function}");
    assert_string_equal(plan.rules[0].name, "no thanks");
    assert_true(plan.rules[0].when > 0);
    assert_true(plan.settings.on_connect > 0);
    assert_int_not_equal(plan.rules[0].when, plan.settings.on_connect);
    assert_int_equal(plan.n_handlers, 2);
    plan_free(&plan);
}

static void test_a_rule_on_one_line_is_printed_as_it_was_read(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "allow@public:tcp:443",
        "deny:ingress@10.0.0.0/8",
        "reject:any@*",
        "allow@dns",
        "allow@domain(db):tcp:5432",
        "allow@.example.com:tcp,udp:80,443,8000-9000",
        "allow@2001:db8::/32:tcp:443",
        "allow@2001:db8::1",
        "allow@::ffff:tcp",
        "deny@::1:udp",
        "allow@public:*:443",
        "allow@metadata:icmpv4,icmpv6",
        "allow@example.com",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        char config[256];
        snprintf(config, sizeof(config), "{rules = {\"%s\"}}", lines[i]);
        ASSERT_RULES(config, lines[i]);
    }
    ASSERT_RULES("{rules = {\"allow@public:*\"}}", "allow@public");
}

static void test_a_rule_on_one_line_knows_where_it_was_written(void **state)
{
    (void)state;
    struct plan plan = plan_of("{\n rules = {\n\n  <rules[3][2]> \"allow@*\"}}");
    assert_string_equal(plan.rules[0].file, "p.lua");
    assert_int_equal(plan.rules[0].line, 4);
    assert_string_equal(plan.rules[0].origin, "rules[3][2]");
    plan_free(&plan);
}

static void test_mistakes_on_one_line(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{rules = {\"allow\"}}", "rules[1]", "it is not a rule", "\"allow\""},
        {"{rules = {\"\"}}", "rules[1]", "it is not a rule", "\"\""},
        {"{rules = {\"@public\"}}", "rules[1]", "it is not a rule", "\"@public\""},
        {"{rules = {\"a:b:c@public\"}}", "rules[1].action", "unknown action", "\"a:b:c\""},
        {"{rules = {\"allow:out@public\"}}", "rules[1].direction", "unknown direction", "\"out\""},
        {"{rules = {\"allow@public:icmp\"}}", "rules[1].protocols[1]",
         "unknown protocol (did you mean \"icmpv4\"?)", "\"icmp\""},
        {"{rules = {\"allow@public:tcp:0\"}}", "rules[1].ports[1]", "there is no port 0", "\"0\""},
        {"{rules = {\"allow@asn(x)\"}}", "rules[1].destination.asn", "it is not an integer",
         "\"x\""},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_every_spelling_of_a_destination(void **state)
{
    (void)state;
    ASSERT_RULES("{rules = {"
                 "{action = \"allow\", destination = \"*\"},"
                 "{action = \"allow\", destination = \"link-local\"},"
                 "{action = \"allow\", destination = \"10.0.0.0/8\"},"
                 "{action = \"allow\", destination = \"10.0.0.1\"},"
                 "{action = \"allow\", destination = \"2001:DB8::/32\"},"
                 "{action = \"allow\", destination = \"::ffff:10.0.0.1\"},"
                 "{action = \"allow\", destination = \"Example.COM.\"},"
                 "{action = \"allow\", destination = \".example.com\"},"
                 "{action = \"allow\", destination = \"*.example.com\"},"
                 "{action = \"allow\", destination = \".com\"},"
                 "{action = \"allow\", destination = {domain = \"db\"}},"
                 "{action = \"allow\", destination = {domain = \"public\"}},"
                 "{action = \"allow\", destination = {suffix = \"internal\"}},"
                 "{action = \"allow\", destination = {suffix = \".a.b\"}},"
                 "{action = \"allow\", destination = {cidr = \"fd00::/8\"}},"
                 "{action = \"allow\", destination = {ip = \"2001:db8::1\"}},"
                 "{action = \"allow\", destination = {group = \"private\"}},"
                 "{action = \"allow\", destination = {country = \"de\"}},"
                 "{action = \"allow\", destination = {continent = \"EU\"}},"
                 "{action = \"allow\", destination = {asn = 13335}},"
                 "}, geoip = {country_db = \"c.mmdb\", asn_db = \"a.mmdb\"}}",
                 "allow@*", "allow@link-local", "allow@10.0.0.0/8", "allow@10.0.0.1",
                 "allow@2001:db8::/32", "allow@10.0.0.1", "allow@example.com", "allow@.example.com",
                 "allow@.example.com", "allow@.com", "allow@domain(db)", "allow@domain(public)",
                 "allow@.internal", "allow@.a.b", "allow@fd00::/8", "allow@2001:db8::1",
                 "allow@private", "allow@country(DE)", "allow@continent(EU)", "allow@asn(13335)");
}

static void test_a_list_of_destinations_is_as_many_rules(void **state)
{
    (void)state;
    ASSERT_RULES("{rules = {{action = \"deny\", destination = {\"a.example\", {domain = \"db\"}, "
                 "\"10.0.0.0/8\"}, protocols = {\"tcp\"}, ports = {80}}}}",
                 "deny@a.example:tcp:80", "deny@domain(db):tcp:80", "deny@10.0.0.0/8:tcp:80");
}

static void test_protocols_and_ports_in_singular_and_plural_are_united(void **state)
{
    (void)state;
    ASSERT_RULES("{rules = {"
                 "{action = \"allow\", destination = \"*\", protocol = \"tcp\", port = 443},"
                 "{action = \"allow\", destination = \"*\", protocol = \"tcp\", protocols = "
                 "{\"udp\", \"tcp\"}, port = \"80\", ports = {443, 443.0, \"8000-9000\"}},"
                 "{action = \"allow\", destination = \"*\", protocols = \"udp\", ports = \"53\"},"
                 "{action = \"allow\", destination = \"*\", protocols = {}, ports = {}},"
                 "{action = \"allow\", destination = \"*\", protocols = {\"tcp\", \"udp\", "
                 "\"icmpv4\", \"icmpv6\"}},"
                 "}}",
                 "allow@*:tcp:443", "allow@*:tcp,udp:80,443,8000-9000", "allow@*:udp:53", "allow@*",
                 "allow@*");
}

static void test_ports_are_sorted_and_merged(void **state)
{
    (void)state;
    ASSERT_RULES(
        "{rules = {"
        "{action = \"allow\", destination = \"*\", ports = {\"90-100\", 80, \"95-120\", 81,"
        " \"82-84\", 121, 65535, \"1-2\", \"65534-65535\"}},"
        "{action = \"allow\", destination = \"*\", ports = {\"1-65535\", 7}},"
        "}}",
        "allow@*:*:1-2,80-84,90-121,65534-65535", "allow@*:*:1-65535");
}

static void test_directions(void **state)
{
    (void)state;
    ASSERT_RULES(
        "{rules = {"
        "{action = \"allow\", direction = \"egress\", destination = \"*\"},"
        "{action = \"deny\", direction = \"ingress\", destination = \"10.0.0.0/8\", port = 22},"
        "{action = \"reject\", direction = \"any\", destination = \"*\", protocol = \"tcp\"},"
        "{action = \"allow\", destination = \"*\", protocols = {\"icmpv4\", \"icmpv6\"}},"
        "}}",
        "allow@*", "deny:ingress@10.0.0.0/8:*:22", "reject:any@*:tcp", "allow@*:icmpv4,icmpv6");
}

static void test_deny_lists_come_first_and_suffixes_take_the_apex(void **state)
{
    (void)state;
    static const char config[] =
        "{rules = {{action = \"allow\", destination = \"*\"}},"
        "deny_domain_suffixes = {\".ads\", \"Tracker.Example\", \"*.x.y\"},"
        "deny_domains = {\"Evil.Example.\", \"localhost\"}}";
    ASSERT_RULES(config, "deny@evil.example", "deny@domain(localhost)", "deny@domain(ads)",
                 "deny@.ads", "deny@tracker.example", "deny@.tracker.example", "deny@x.y",
                 "deny@.x.y", "allow@*");
    struct plan plan = plan_of(config);
    assert_true(plan.rules[0].deny_list);
    assert_string_equal(plan.rules[1].origin, "deny_domains[2]");
    assert_string_equal(plan.rules[4].origin, "deny_domain_suffixes[2]");
    assert_int_equal(plan.rules[4].line, 1);
    assert_true(plan.rules[7].deny_list);
    assert_false(plan.rules[8].deny_list);
    plan_free(&plan);
}

static void assert_defaults(const char *config, ln_action egress, ln_action ingress)
{
    struct plan plan = plan_of(config);
    assert_int_equal(plan.settings.default_egress, egress);
    assert_int_equal(plan.settings.default_ingress, ingress);
    plan_free(&plan);
}

static void test_presets(void **state)
{
    (void)state;
    struct plan none = plan_of("{policy = \"none\"}");
    assert_int_equal(none.n_rules, 0);
    plan_free(&none);
    ASSERT_RULES("{policy = \"public-only\"}", "allow@dns", "allow@public");
    ASSERT_RULES("{policy = \"non-local\"}", "allow@dns", "allow@public", "allow@private");
    ASSERT_RULES("{policy = \"non-local\", deny_domains = {\"a.b\"}}", "deny@a.b", "allow@dns",
                 "allow@public", "allow@private");
    struct plan all = plan_of("{policy = \"allow-all\"}");
    assert_int_equal(all.n_rules, 0);
    plan_free(&all);
    assert_defaults("{policy = \"none\"}", LN_DENY, LN_DENY);
    assert_defaults("{policy = \"public-only\"}", LN_DENY, LN_ALLOW);
    assert_defaults("{policy = \"allow-all\"}", LN_ALLOW, LN_ALLOW);
    assert_defaults("{policy = \"non-local\"}", LN_DENY, LN_ALLOW);
}

static void test_defaults(void **state)
{
    (void)state;
    assert_defaults("{}", LN_DENY, LN_ALLOW);
    assert_defaults("{default_egress = \"reject\", default_ingress = \"deny\"}", LN_REJECT,
                    LN_DENY);
}

/* ---- mistakes ---- */

#define RULE(fields)    "{rules = {{action = \"allow\", destination = \"*\", " fields "}}}"
#define TO(destination) "{rules = {{action = \"allow\", destination = " destination "}}}"

static void test_mistakes_in_the_fields_of_a_rule(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{rules = {{destination = \"*\"}}}", "rules[1].action", "it is missing", NULL},
        {"{rules = {{action = \"allow\"}}}", "rules[1].destination", "it is missing", NULL},
        {"{rules = {{action = \"alow\", destination = \"*\"}}}", "rules[1].action",
         "unknown action (did you mean \"allow\"?)", "\"alow\""},
        {"{rules = {{action = \"drop\", destination = \"*\"}}}", "rules[1].action",
         "unknown action", "\"drop\""},
        {"{rules = {{action = true, destination = \"*\"}}}", "rules[1].action",
         "it has the wrong type", "true"},
        {RULE("prots = {}"), "rules[1].prots", "unknown key (did you mean \"ports\"?)",
         "\"prots\""},
        {RULE("[\"a b\"] = 1"), "rules[1][\"a b\"]", "unknown key", "\"a b\""},
        {RULE("\"tcp\""), "rules[1][1]", "a value without a key", "\"tcp\""},
        {RULE("action = \"deny\""), "rules[1].action", "the key is given twice", "\"deny\""},
        {RULE("direction = \"out\""), "rules[1].direction", "unknown direction", "\"out\""},
        {RULE("direction = \"Egres\""), "rules[1].direction",
         "unknown direction (did you mean \"egress\"?)", "\"Egres\""},
        {RULE("protocol = \"icmp\""), "rules[1].protocol",
         "unknown protocol (did you mean \"icmpv4\"?)", "\"icmp\""},
        {RULE("protocols = {\"tcp\", \"TCP\"}"), "rules[1].protocols[2]",
         "unknown protocol (did you mean \"tcp\"?)", "\"TCP\""},
        {RULE("protocols = {tcp = true}"), "rules[1].protocols.tcp", "a list has no keys", "true"},
        {RULE("protocols = {\"tcp\", [3] = \"udp\"}"), "rules[1].protocols[3]",
         "it is not in the list (is an entry before it nil?)", "\"udp\""},
        {RULE("when = \"x\""), "rules[1].when", "it has the wrong type", "\"x\""},
        {RULE("name = 7"), "rules[1].name", "it has the wrong type", "7"},
        {RULE("name = \"\""), "rules[1].name", "it is empty", "\"\""},
        {RULE("name = \"a\\0b\""), "rules[1].name", "it holds a NUL byte", "\"a\\x00b\""},
        {"{rules = {\"allow@\"}}", "rules[1]", "it is not a rule", "\"allow@\""},
        {"{rules = \"allow@public\"}", "rules", "it has the wrong type", "\"allow@public\""},
        {"{rules = {a = {}}}", "rules.a", "a list has no keys", "a table"},
        {"{default_egress = \"permit\"}", "default_egress", "unknown action", "\"permit\""},
        {"{default_ingress = \"Deny\"}", "default_ingress",
         "unknown action (did you mean \"deny\"?)", "\"Deny\""},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_mistakes_in_ports(void **state)
{
    (void)state;
    static const char *const not_one = "it is neither a port nor a range of ports";
    const struct mistake mistakes[] = {
        {RULE("port = 0"), "rules[1].port", "there is no port 0", "0"},
        {RULE("ports = {443, 0}"), "rules[1].ports[2]", "there is no port 0", "0"},
        {RULE("ports = {\"0\"}"), "rules[1].ports[1]", "there is no port 0", "\"0\""},
        {RULE("ports = {\"0-10\"}"), "rules[1].ports[1]", "there is no port 0", "\"0-10\""},
        {RULE("ports = {65536}"), "rules[1].ports[1]", "the highest port is 65535", "65536"},
        {RULE("ports = {\"1-99999999999999999999\"}"), "rules[1].ports[1]",
         "the highest port is 65535", "\"1-99999999999999999999\""},
        {RULE("ports = {\"9000-8000\"}"), "rules[1].ports[1]",
         "the range is reversed (did you mean \"8000-9000\"?)", "\"9000-8000\""},
        {RULE("ports = {-1}"), "rules[1].ports[1]", not_one, "-1"},
        {RULE("ports = {443.5}"), "rules[1].ports[1]", not_one, "443.5"},
        {RULE("ports = {\"https\"}"), "rules[1].ports[1]", not_one, "\"https\""},
        {RULE("ports = {\"\"}"), "rules[1].ports[1]", not_one, "\"\""},
        {RULE("ports = {\" 80\"}"), "rules[1].ports[1]", not_one, "\" 80\""},
        {RULE("ports = {\"80-\"}"), "rules[1].ports[1]", not_one, "\"80-\""},
        {RULE("ports = {\"-80\"}"), "rules[1].ports[1]", not_one, "\"-80\""},
        {RULE("ports = {\"1-2-3\"}"), "rules[1].ports[1]", not_one, "\"1-2-3\""},
        {RULE("ports = {\"80,443\"}"), "rules[1].ports[1]", not_one, "\"80,443\""},
        {RULE("ports = {{80}}"), "rules[1].ports[1]", not_one, "a table"},
        {RULE("ports = true"), "rules[1].ports", not_one, "true"},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_icmp_has_no_ports_and_no_ingress(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {RULE("direction = \"ingress\", protocol = \"icmpv4\""), "rules[1].protocol",
         "ICMP is for egress only", "\"icmpv4\""},
        {RULE("protocols = {\"tcp\", \"icmpv6\"}, direction = \"any\""), "rules[1].protocols[2]",
         "ICMP is for egress only", "\"icmpv6\""},
        {RULE("protocols = {\"icmpv4\", \"icmpv6\"}, ports = {7}"), "rules[1].ports",
         "the rule would never match: ICMP has no ports", "a table"},
        {RULE("protocol = \"icmpv4\", port = 7"), "rules[1].port",
         "the rule would never match: ICMP has no ports", "7"},
    };
    ASSERT_MISTAKES(mistakes);
    /* With a protocol that has ports beside it the rule can match. */
    ASSERT_RULES(RULE("protocols = {\"icmpv4\", \"tcp\"}, ports = {7}"), "allow@*:tcp,icmpv4:7");
}

static void test_mistakes_in_destinations(void **state)
{
    (void)state;
    static const char *const cidr = "it is not a CIDR";
    static const char *const number = "neither an address nor a name: it ends in a number";
    const struct mistake mistakes[] = {
        {TO("\"pubic\""), "rules[1].destination",
         "neither a group nor a name with a dot (did you mean \"public\"? for the name say "
         "lunette.domain(\"pubic\"))",
         "\"pubic\""},
        {TO("\"Public\""), "rules[1].destination",
         "neither a group nor a name with a dot (did you mean \"public\"? for the name say "
         "lunette.domain(\"public\"))",
         "\"Public\""},
        {TO("\"db\""), "rules[1].destination",
         "neither a group nor a name with a dot (say lunette.domain(\"db\"))", "\"db\""},
        {TO("\"db.\""), "rules[1].destination",
         "neither a group nor a name with a dot (say lunette.domain(\"db\"))", "\"db.\""},
        {TO("\"10.0.0.1/8\""), "rules[1].destination",
         "bits behind the prefix are set (did you mean \"10.0.0.0/8\"?)", "\"10.0.0.1/8\""},
        {TO("\"2001:db8::1/32\""), "rules[1].destination",
         "bits behind the prefix are set (did you mean \"2001:db8::/32\"?)", "\"2001:db8::1/32\""},
        {TO("\"10.0.0.0/33\""), "rules[1].destination", cidr, "\"10.0.0.0/33\""},
        {TO("\"10.0.0.0/\""), "rules[1].destination", cidr, "\"10.0.0.0/\""},
        {TO("\"https://example.com\""), "rules[1].destination",
         "it is a URL: only its host name is wanted", "\"https://example.com\""},
        {TO("\"10.0.0.256\""), "rules[1].destination", number, "\"10.0.0.256\""},
        {TO("\"10.0.0\""), "rules[1].destination", number, "\"10.0.0\""},
        {TO("\".10\""), "rules[1].destination", number, "\".10\""},
        {TO("\"1.2.3.4:80\""), "rules[1].destination",
         "it is not an address (ports are given apart, under `ports`)", "\"1.2.3.4:80\""},
        {TO("\"example.com:443\""), "rules[1].destination",
         "it is not an address (ports are given apart, under `ports`)", "\"example.com:443\""},
        {TO("\"fe80::1%eth0\""), "rules[1].destination",
         "it is not an address (ports are given apart, under `ports`)", "\"fe80::1%eth0\""},
        {TO("\"a..b\""), "rules[1].destination", "invalid name: it has an empty label", "\"a..b\""},
        {TO("\"..b\""), "rules[1].destination", "invalid name: it has an empty label", "\"..b\""},
        {TO("\".\""), "rules[1].destination", "invalid name: it is empty", "\".\""},
        {TO("\"a.*.b\""), "rules[1].destination",
         "invalid name: it has a character that no host name can hold", "\"a.*.b\""},
        {TO("\"a b.c\""), "rules[1].destination",
         "invalid name: it has a character that no host name can hold", "\"a b.c\""},
        {TO("\"a\\0.b\""), "rules[1].destination", "it holds a NUL byte", "\"a\\x00.b\""},
        {TO("\"\""), "rules[1].destination", "it is empty", "\"\""},
        {TO("7"), "rules[1].destination", "it has the wrong type", "7"},
        {TO("{}"), "rules[1].destination", "the list of destinations is empty", "a table"},
        {TO("{\"a.b\", \"c\"}"), "rules[1].destination[2]",
         "neither a group nor a name with a dot (say lunette.domain(\"c\"))", "\"c\""},
        {TO("{domian = \"a.b\"}"), "rules[1].destination.domian",
         "unknown key (did you mean \"domain\"?)", "\"domian\""},
        {TO("{domain = \"a.b\", ip = \"1.2.3.4\"}"), "rules[1].destination",
         "a destination is of one kind", "a table"},
        {TO("{domain = \"*.b\"}"), "rules[1].destination.domain",
         "invalid name: it has a character that no host name can hold", "\"*.b\""},
        {TO("{ip = \"10.0.0.0/8\"}"), "rules[1].destination.ip", "it is not an IP address",
         "\"10.0.0.0/8\""},
        {TO("{cidr = \"10.0.0.1\"}"), "rules[1].destination.cidr", cidr, "\"10.0.0.1\""},
        {TO("{group = \"privat\"}"), "rules[1].destination.group",
         "unknown group (did you mean \"private\"?)", "\"privat\""},
        {TO("{country = \"Germany\"}"), "rules[1].destination.country",
         "it is not a country's code", "\"Germany\""},
        {TO("{country = \"d1\"}"), "rules[1].destination.country", "it is not a country's code",
         "\"d1\""},
        {TO("{country = \"DE\"}"), "rules[1].destination",
         "the policy names no database for it: geoip.country_db", "a table"},
        {TO("{continent = \"EU\"}"), "rules[1].destination",
         "the policy names no database for it: geoip.country_db", "a table"},
        {TO("{continent = \"XX\"}"), "rules[1].destination.continent", "unknown continent",
         "\"XX\""},
        {TO("{asn = 13335}"), "rules[1].destination",
         "the policy names no database for it: geoip.asn_db", "a table"},
        {TO("{asn = 0}"), "rules[1].destination.asn", "it is too small", "0"},
        {TO("{asn = \"13335\"}"), "rules[1].destination.asn", "it is not an integer", "\"13335\""},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_mistakes_in_deny_lists(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{deny_domains = \"a.b\"}", "deny_domains", "it has the wrong type", "\"a.b\""},
        {"{deny_domains = {\"a.b\", \"10.0.0.1\"}}", "deny_domains[2]",
         "neither an address nor a name: it ends in a number", "\"10.0.0.1\""},
        {"{deny_domains = {\".ads\"}}", "deny_domains[1]",
         "it is a suffix: write it under deny_domain_suffixes", "\".ads\""},
        {"{deny_domains = {7}}", "deny_domains[1]", "it has the wrong type", "7"},
        {"{deny_domain_suffixes = {\"a..b\"}}", "deny_domain_suffixes[1]",
         "invalid name: it has an empty label", "\"a..b\""},
        {"{deny_domain_suffixes = {ads = true}}", "deny_domain_suffixes.ads", "a list has no keys",
         "true"},
    };
    ASSERT_MISTAKES(mistakes);
}

static void test_a_preset_stands_alone(void **state)
{
    (void)state;
    static const struct mistake mistakes[] = {
        {"{policy = \"public-only\", rules = {}}", "policy", "a preset cannot stand beside `rules`",
         "\"public-only\""},
        {"{policy = \"none\", default_egress = \"deny\"}", "policy",
         "a preset cannot stand beside `default_egress`", "\"none\""},
        {"{policy = \"none\", default_ingress = \"deny\"}", "policy",
         "a preset cannot stand beside `default_ingress`", "\"none\""},
        {"{policy = \"public_only\"}", "policy", "unknown preset (did you mean \"public-only\"?)",
         "\"public_only\""},
        {"{policy = \"off\"}", "policy", "unknown preset", "\"off\""},
        {"{policy = {}}", "policy", "it has the wrong type", "a table"},
    };
    ASSERT_MISTAKES(mistakes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rule_has_defaults),
        cmocka_unit_test(test_a_rule_knows_where_it_was_written),
        cmocka_unit_test(test_a_rule_keeps_its_label_and_function),
        cmocka_unit_test(test_a_rule_on_one_line_is_printed_as_it_was_read),
        cmocka_unit_test(test_a_rule_on_one_line_knows_where_it_was_written),
        cmocka_unit_test(test_mistakes_on_one_line),
        cmocka_unit_test(test_every_spelling_of_a_destination),
        cmocka_unit_test(test_a_list_of_destinations_is_as_many_rules),
        cmocka_unit_test(test_protocols_and_ports_in_singular_and_plural_are_united),
        cmocka_unit_test(test_ports_are_sorted_and_merged),
        cmocka_unit_test(test_directions),
        cmocka_unit_test(test_deny_lists_come_first_and_suffixes_take_the_apex),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_mistakes_in_the_fields_of_a_rule),
        cmocka_unit_test(test_mistakes_in_ports),
        cmocka_unit_test(test_icmp_has_no_ports_and_no_ingress),
        cmocka_unit_test(test_mistakes_in_destinations),
        cmocka_unit_test(test_mistakes_in_deny_lists),
        cmocka_unit_test(test_a_preset_stands_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
