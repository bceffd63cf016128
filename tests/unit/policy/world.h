/* Worlds to compare evaluators in: policies, pins and queries made of few addresses, names and
 * ports that lie on each other's boundaries. Choices come from a seed or from a fuzzer's bytes. */
#ifndef TEST_POLICY_WORLD_H
#define TEST_POLICY_WORLD_H

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#include "mmdb.h"
#include "naive.h"
#include "policy/ruleset.h"

/* ---- choices ---- */

struct source {
    const uint8_t *data; /* NULL: from the seed */
    size_t len;
    uint64_t state; /* xorshift64*, Marsaglia and Vigna; not 0 */
};

/* 0 to n - 1. A fuzzer's bytes end in zeros. */
static inline uint32_t choose(struct source *s, uint32_t n)
{
    if (s->data != NULL) {
        uint32_t byte = 0;
        if (s->len > 0) {
            byte = *s->data++;
            s->len--;
        }
        return byte % n;
    }
    s->state ^= s->state >> 12;
    s->state ^= s->state << 25;
    s->state ^= s->state >> 27;
    return (uint32_t)((s->state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % n;
}

#define CHOOSE(s, list) ((list)[choose((s), (uint32_t)(sizeof(list) / sizeof((list)[0])))])

static inline ln_addr world_parse(const char *text)
{
    ln_addr addr;
    int r = ln_addr_parse(text, strlen(text), &addr);
    assert(r == 0);
    (void)r;
    return addr;
}

static inline ln_addr choose_addr(struct source *s)
{
    static const char *const addrs[] = {
        "10.0.0.0",        "10.0.0.1",        "10.0.0.255",       "10.0.1.0",    "10.255.255.255",
        "11.0.0.0",        "9.255.255.255",   "192.168.0.1",      "8.8.8.8",     "8.8.8.9",
        "203.0.113.1",     "203.0.113.2",     "169.254.169.254",  "169.254.0.1", "100.100.100.200",
        "224.0.0.1",       "239.255.255.255", "127.0.0.1",        "0.0.0.0",     "255.255.255.255",
        "198.18.0.1",      "2001:db8::",      "2001:db8::1",      "2001:db8::2", "2001:db8:0:1::",
        "2001:db7:ffff::", "64:ff9b::a00:1",  "64:ff9b::808:808", "::1",         "::",
        "fe80::1",         "fd00:ec2::254",   "fd00::1",          "ff02::1",     "2002:a00:1::",
        "::a00:1",         "64:ff9b:1::1",    "fec0::1",          "172.16.0.1",  "203.0.113.3",
    };
    return world_parse(CHOOSE(s, addrs));
}

static inline const char *choose_name(struct source *s)
{
    static const char *const names[] = {
        "example",         "a.example",  "b.example", "x.a.example", "y.x.a.example",
        "z.y.x.a.example", "xa.example", "test",      "a.test",      "b.a.test",
    };
    return CHOOSE(s, names);
}

static inline uint16_t choose_port(struct source *s)
{
    static const uint16_t ports[] = {443, 53, 80, 1, 52, 54, 79, 81, 442, 444, 8000, 9000, 65535};
    return CHOOSE(s, ports);
}

/* ---- rules ---- */

static inline ln_prefix choose_prefix(struct source *s)
{
    static const uint8_t cuts[] = {0, 1, 4, 7, 8, 12, 15, 16, 22, 23, 24, 28, 31};
    ln_prefix prefix = {.addr = choose_addr(s), .bits = 128};
    prefix.bits = (uint8_t)(128 - CHOOSE(s, cuts));
    if (!ln_addr_is_v4(&prefix.addr) && choose(s, 2) == 0) {
        static const uint8_t bits[] = {0, 1, 8, 16, 32, 48, 64, 65, 80, 96};
        prefix.bits = CHOOSE(s, bits);
    }
    for (unsigned bit = prefix.bits; bit < 128; bit++) {
        prefix.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    }
    return prefix;
}

static inline ln_destination choose_destination(struct source *s)
{
    static const char *const countries[] = {"DE", "FR", "US", "JP", "ZZ"};
    static const char *const continents[] = {"EU", "AS", "NA", "AF"};
    switch (choose(s, 11)) {
    case 8:
        return (ln_destination){.kind = LN_DEST_COUNTRY, .name = CHOOSE(s, countries)};
    case 9:
        return (ln_destination){.kind = LN_DEST_CONTINENT, .name = CHOOSE(s, continents)};
    case 10:
        return (ln_destination){.kind = LN_DEST_ASN, .asn = 1 + choose(s, 6)};
    case 0:
        return (ln_destination){.kind = LN_DEST_ANY};
    case 1:
        return (ln_destination){.kind = LN_DEST_GROUP, .group = (ln_group)choose(s, LN_GROUPS)};
    case 2:
    case 3:
        return (ln_destination){.kind = LN_DEST_PREFIX, .prefix = choose_prefix(s)};
    case 4:
    case 5:
        return (ln_destination){.kind = LN_DEST_DOMAIN, .name = choose_name(s)};
    default:
        return (ln_destination){.kind = LN_DEST_SUFFIX, .name = choose_name(s)};
    }
}

/* At most three ranges, ascending and with gaps. */
static inline size_t choose_ports(struct source *s, ln_port_range *ranges)
{
    size_t wanted = choose(s, 4);
    size_t n = 0;
    for (size_t i = 0; i < wanted; i++) {
        uint16_t first = choose_port(s);
        uint16_t last = choose(s, 3) == 0 ? choose_port(s) : first;
        if (first <= last && (n == 0 || ranges[n - 1].last + 1 < first)) {
            ranges[n++] = (ln_port_range){first, last};
        }
    }
    return n;
}

static inline uint8_t choose_protocols(struct source *s)
{
    static const uint8_t sets[] = {
        LN_PROTOCOLS_ALL,
        LN_PROTOCOLS_ALL,
        LN_PROTOCOL_BIT(LN_TCP),
        LN_PROTOCOL_BIT(LN_UDP),
        LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP),
        LN_PROTOCOL_BIT(LN_ICMPV4),
        LN_PROTOCOL_BIT(LN_ICMPV4) | LN_PROTOCOL_BIT(LN_ICMPV6) | LN_PROTOCOL_BIT(LN_TCP),
    };
    return CHOOSE(s, sets);
}

/* ---- requests ---- */

static inline bool world_field(const void *user, size_t n, const char **ret_name,
                               size_t *ret_name_len, const char **ret_value, size_t *ret_value_len)
{
    const struct naive_request *request = user;
    if (n >= request->n_fields) {
        return false;
    }
    *ret_name = request->fields[n][0];
    *ret_name_len = strlen(*ret_name);
    *ret_value = request->fields[n][1];
    *ret_value_len = strlen(*ret_value);
    return true;
}

static inline const char *choose_method(struct source *s)
{
    static const char *const methods[] = {"GET", "POST", "DELETE", "get"};
    return CHOOSE(s, methods);
}

static inline void choose_request(struct source *s, struct naive_request *request,
                                  ln_http_request *ret)
{
    static const char *const names[] = {"x-a", "X-A", "x_a", "X-HTTP-Method-Override", "b"};
    static const char *const values[] = {"1", "12", "POST", "v", "V"};
    *request = (struct naive_request){
        .method = choose_method(s),
        .path = &NAIVE_PATHS[choose(s, NAIVE_N_PATHS)],
        .n_fields = choose(s, NAIVE_FIELDS + 1),
    };
    for (size_t i = 0; i < request->n_fields; i++) {
        request->fields[i][0] = CHOOSE(s, names);
        request->fields[i][1] = CHOOSE(s, values);
    }
    *ret = (ln_http_request){
        .method = request->method,
        .method_len = strlen(request->method),
        .path = request->path->sent,
        .path_len = strlen(request->path->sent),
        .field = world_field,
        .user = request,
    };
}

/* A rule's part about requests. */
struct world_match {
    ln_http_match match;
    const char *methods[2];
    ln_http_match_header header;
};

static inline const ln_http_match *choose_match(struct source *s, struct world_match *m)
{
    static const char *const paths[] = {NULL,   NULL,    "/*",  "/a",   "/a/", "/a/*",  "/b/*",
                                        "/a/b", "/*/b*", "/A*", "/b/c", "/",   "/a/b/*"};
    static const char *const values[] = {"1", "1*", "v", "*"};
    *m = (struct world_match){.header = {.name = "X-A", .value = CHOOSE(s, values)}};
    m->methods[0] = choose(s, 2) == 0 ? "GET" : "POST";
    m->methods[1] = "DELETE";
    m->match = (ln_http_match){
        .methods = m->methods,
        .n_methods = choose(s, 3),
        .path = CHOOSE(s, paths),
        .headers = &m->header,
        .n_headers = choose(s, 4) == 0,
    };
    return &m->match;
}

enum { WORLD_RULES = 64 };

struct world {
    struct naive_world naive;
    ln_rule rules[WORLD_RULES];
    ln_port_range ports[WORLD_RULES][3];
    struct world_match matches[WORLD_RULES];
    ln_policy *policy;
    ln_pins *pins;
    ln_host_addrs hosts;
    uint32_t n_calls; /* of the policy's functions */
    struct naive_request naive_request;
    ln_http_request request; /* of the query that was chosen last */
};

static inline void choose_rule(struct source *s, ln_rule *rule, ln_port_range *ports,
                               bool functions)
{
    static const ln_action actions[] = {LN_ALLOW, LN_DENY, LN_ALLOW, LN_REJECT};
    static const uint8_t directions[] = {1, 1, 1, 2, 3};
    *rule = (ln_rule){
        .action = CHOOSE(s, actions),
        .directions = CHOOSE(s, directions),
        .protocols = choose_protocols(s),
        .destination = choose_destination(s),
        .when = functions && choose(s, 4) == 0 ? 1 + (int)choose(s, NAIVE_HANDLERS - 1) : 0,
    };
    rule->n_ports = choose_ports(s, ports);
    rule->ports = rule->n_ports == 0 ? NULL : ports;
}

/* A rule of deny_domains or deny_domain_suffixes. */
static inline void choose_denied(struct source *s, ln_rule *rule)
{
    *rule = (ln_rule){
        .action = LN_DENY,
        .directions = 1,
        .protocols = LN_PROTOCOLS_ALL,
        .destination = {.kind = choose(s, 2) == 0 ? LN_DEST_DOMAIN : LN_DEST_SUFFIX,
                        .name = choose_name(s)},
        .deny_list = true,
    };
}

/* ---- worlds ---- */

static inline struct ln_value world_text(const char *text)
{
    return (struct ln_value){.type = VALUE_STRING, .string = {.data = text, .len = strlen(text)}};
}

/* The database of NAIVE_PLACES, one for all worlds. */
static inline struct geo *world_geo(void)
{
    static struct geo *geo;
    if (geo != NULL) {
        return geo;
    }
    struct mmdb_entry entries[NAIVE_N_PLACES];
    for (size_t i = 0; i < NAIVE_N_PLACES; i++) {
        const struct naive_place *place = &NAIVE_PLACES[i];
        entries[i] = (struct mmdb_entry){.prefix = place->range,
                                         .country = place->country,
                                         .continent = place->continent,
                                         .asn = place->asn};
    }
    char path[] = "/tmp/lunette-world-XXXXXX";
    int fd = mkstemp(path);
    assert(fd >= 0);
    close(fd);
    mmdb_write(path, 6, entries, NAIVE_N_PLACES, false);
    struct value_entry databases[] = {
        {.key = world_text("country_db"), .value = world_text(path)},
        {.key = world_text("asn_db"), .value = world_text(path)},
    };
    struct value_table geoip_table = {.entries = databases, .n_entries = 2};
    struct value_entry geoip = {.key = world_text("geoip"),
                                .value = {.type = VALUE_TABLE, .table = &geoip_table}};
    struct value_table config_table = {.entries = &geoip, .n_entries = 1};
    struct ln_value config = {.type = VALUE_TABLE, .table = &config_table};
    int r = geo_open(&config, &geo, NULL);
    assert(r == 0 && geo != NULL);
    (void)r;
    unlink(path);
    return geo;
}

static inline int world_when(void *user, int reference, const ln_flow_view *flow)
{
    struct world *w = user;
    (void)flow;
    w->n_calls++;
    return w->naive.when[reference];
}

static inline int world_on_connect(void *user, int reference, const ln_flow_view *flow,
                                   ln_action *ret)
{
    struct world *w = user;
    (void)reference, (void)flow;
    w->n_calls++;
    *ret = w->naive.on_connect_action;
    return w->naive.on_connect;
}

static inline void choose_functions(struct source *s, struct world *w)
{
    static const int answers[] = {0, 1, 0, 1, 0, 1, -1};
    static const ln_action actions[] = {LN_ALLOW, LN_DENY, LN_REJECT};
    for (int i = 0; i < NAIVE_HANDLERS; i++) {
        w->naive.when[i] = CHOOSE(s, answers);
    }
    w->naive.on_connect = CHOOSE(s, answers);
    w->naive.on_connect_action = CHOOSE(s, actions);
}

static inline void choose_pins(struct source *s, struct world *w)
{
    static const uint8_t key[16] = {7};
    w->pins = ln_pins_new(64, 64, key);
    assert(w->pins != NULL);
    uint32_t n = choose(s, NAIVE_PINS + 1);
    while (w->naive.n_pins < n) {
        struct naive_pin *pin = &w->naive.pins[w->naive.n_pins++];
        *pin = (struct naive_pin){choose_name(s), choose_addr(s), 50 + choose(s, 2) * 100};
        int r = ln_pins_add(w->pins, pin->name, &pin->addr, 0, pin->expires_ns);
        assert(r == 0);
        (void)r;
    }
}

static inline void world_make(struct source *s, struct world *w)
{
    static const ln_action defaults[] = {LN_DENY, LN_ALLOW, LN_REJECT};
    static const uint32_t sizes[] = {4, 0, 1, 2, 8, 16, 32, WORLD_RULES};
    memset(w, 0, sizeof(*w));
    bool functions = choose(s, 3) == 0;
    bool requests = choose(s, 2) == 0;
    uint32_t n = CHOOSE(s, sizes);
    uint32_t n_denied = choose(s, 3) == 0 ? choose(s, 1 + n / 4) : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i < n_denied) {
            choose_denied(s, &w->rules[i]);
        } else {
            choose_rule(s, &w->rules[i], w->ports[i], functions);
            if (requests && choose(s, 3) != 0) {
                w->rules[i].directions = LN_DIRECTION_BIT(LN_EGRESS);
                w->rules[i].protocols = LN_PROTOCOL_BIT(LN_TCP);
                w->rules[i].http = choose_match(s, &w->matches[i]);
                if (choose(s, 2) == 0) { /* so that requests meet rules */
                    w->rules[i].destination.kind = LN_DEST_ANY;
                    w->rules[i].n_ports = 0;
                }
            }
        }
    }
    w->naive.rules = w->rules;
    w->naive.n_rules = n;
    w->naive.settings = (ln_settings){
        .default_egress = CHOOSE(s, defaults),
        .default_ingress = CHOOSE(s, defaults),
        .dns_rebind_protection = choose(s, 8) != 0,
        .on_connect = functions && choose(s, 3) == 0,
    };
    while (w->naive.n_hosts < NAIVE_HOSTS) {
        w->naive.hosts[w->naive.n_hosts++] = choose_addr(s);
    }
    choose_functions(s, w);
    choose_pins(s, w);

    w->hosts =
        (ln_host_addrs){.addrs = w->naive.hosts, .n_addrs = w->naive.n_hosts, .n_gateway = 1};
    struct plan plan = {.rules = w->rules, .n_rules = n, .settings = w->naive.settings};
    ln_handlers handlers = {.user = w, .when = world_when, .on_connect = world_on_connect};
    int r = policy_from_plan(&plan, &handlers, &w->policy);
    assert(r == 0);
    (void)r;
    w->policy->geo = world_geo();
}

static inline void world_free(struct world *w)
{
    w->policy->geo = NULL; /* is of all worlds */
    ln_policy_unref(w->policy);
    ln_pins_free(w->pins);
}

static inline ln_query choose_query(struct source *s, struct world *w)
{
    static const ln_protocol protocols[] = {LN_TCP, LN_TCP, LN_TCP, LN_UDP, LN_ICMPV4, LN_ICMPV6};
    ln_query q = {
        .direction = choose(s, 4) == 0 ? LN_INGRESS : LN_EGRESS,
        .protocol = CHOOSE(s, protocols),
        .address = choose_addr(s),
        .name_state = (ln_name_state)choose(s, 3),
        .now_ns = choose(s, 2) * 100,
    };
    if (w->naive.n_pins > 0 && choose(s, 2) == 0) {
        q.address = w->naive.pins[choose(s, w->naive.n_pins)].addr;
    }
    /* ICMP has no port; one that is given all the same must not count. */
    bool has_port = q.protocol == LN_TCP || q.protocol == LN_UDP || choose(s, 4) == 0;
    q.port = has_port ? choose_port(s) : 0;
    q.claimed = q.name_state == LN_NAME_SHOWN ? choose_name(s) : NULL;
    choose_request(s, &w->naive_request, &w->request);
    q.http_state = (ln_http_state)choose(s, 3);
    q.request = q.http_state == LN_HTTP_REQUEST ? &w->request : NULL;
    return q;
}

/* ---- comparing ---- */

struct world_trace {
    uint32_t n;
    bool out_of_order;
    ln_miss misses[WORLD_RULES];
};

static inline void world_step(void *user, uint32_t rule, ln_miss miss)
{
    struct world_trace *trace = user;
    trace->out_of_order |= rule != trace->n + 1;
    trace->misses[trace->n++ % WORLD_RULES] = miss;
}

static inline bool same_decision(ln_decision a, ln_decision b)
{
    return a.action == b.action && a.rule == b.rule && a.reason == b.reason &&
           a.inspect == b.inspect;
}

static inline void decision_print(const char *who, ln_decision d)
{
    fprintf(stderr, "  %s: %s by rule %u, reason %s%s\n", who, ln_action_name(d.action), d.rule,
            ln_reason_name(d.reason), d.inspect ? ", inspect" : "");
}

/* Tells what differs. */
static inline bool world_differs(const struct world *w, const char *what, ln_decision naive,
                                 ln_decision real)
{
    fprintf(stderr, "%s\n", what);
    for (uint32_t i = 0; i < w->naive.n_rules; i++) {
        char line[512];
        ln_rule_format(&w->rules[i], line, sizeof(line));
        const ln_http_match *http = w->rules[i].http;
        fprintf(stderr, "  %2u %s%s when=%d%s%s\n", i + 1,
                w->rules[i].deny_list ? "deny list " : "", line, w->rules[i].when,
                http != NULL ? " http " : "", http == NULL || http->path == NULL ? "" : http->path);
    }
    decision_print("naive", naive);
    decision_print("real", real);
    return false;
}

/* Whether the trace tells what the naive walk sees: each rule up to the one that decides. */
static inline bool trace_agrees(const struct world *w, const ln_query *q,
                                const struct world_trace *trace, ln_decision decision)
{
    if (trace->out_of_order || trace->n > w->naive.n_rules) {
        return false;
    }
    if (decision.action == LN_DEFER) {
        return true;
    }
    if (decision.rule > 0 &&
        (trace->n != decision.rule || trace->misses[trace->n - 1] != LN_MATCHED)) {
        return false;
    }
    if (decision.reason == LN_REASON_DEFAULT && trace->n != w->naive.n_rules) {
        return false;
    }
    for (uint32_t i = 0; i < trace->n; i++) {
        ln_miss miss = naive_miss(&w->naive, q, naive_shown(q), &w->rules[i]);
        miss = i + 1 == decision.rule ? LN_MATCHED : miss == LN_MATCHED ? LN_MISS_WHEN : miss;
        if (trace->misses[i] != miss) {
            return false;
        }
    }
    return true;
}

static inline bool world_agrees_on(struct world *w, const ln_query *q, ln_decision *ret)
{
    ln_decision naive = naive_evaluate(&w->naive, q);
    ln_decision traced;
    struct world_trace steps = {0};
    ln_trace trace = {.step = world_step, .user = &steps};
    w->n_calls = 0;
    ln_policy_evaluate(w->policy, w->pins, &w->hosts, q, ret, NULL);
    uint32_t n_calls = w->n_calls;
    w->n_calls = 0;
    ln_policy_evaluate(w->policy, w->pins, &w->hosts, q, &traced, &trace);
    if (!same_decision(naive, *ret)) {
        char addr[LN_ADDR_TEXT_MAX];
        ln_addr_format(&q->address, addr);
        fprintf(stderr, "%s %s %s port %u, name %s\n", ln_direction_name(q->direction),
                ln_protocol_name(q->protocol), addr, q->port,
                q->name_state == LN_NAME_UNKNOWN ? "unknown"
                : q->claimed == NULL             ? "none"
                                                 : q->claimed);
        if (q->http_state == LN_HTTP_REQUEST) {
            const struct naive_request *request = q->request->user;
            fprintf(stderr, "%s %s\n", request->method, request->path->sent);
        }
        return world_differs(w, "the evaluators differ", naive, *ret);
    }
    if (!same_decision(*ret, traced) || n_calls != w->n_calls) {
        return world_differs(w, "tracing changes the verdict", *ret, traced);
    }
    return trace_agrees(w, q, &steps, traced) ||
           world_differs(w, "the trace does not tell what happened", naive, traced);
}

static inline bool world_agrees_on_dns(struct world *w, const char *name, ln_protocol transport)
{
    struct world_trace steps = {0};
    ln_trace trace = {.step = world_step, .user = &steps};
    ln_decision naive = naive_dns(&w->naive, name, transport);
    ln_decision real;
    ln_policy_evaluate_dns(w->policy, name, transport, &real, NULL);
    if (!same_decision(naive, real)) {
        return world_differs(w, name, naive, real);
    }
    ln_policy_evaluate_dns(w->policy, name, transport, &real, &trace);
    uint32_t walked = real.rule > 0 ? real.rule : w->naive.n_rules;
    if (!same_decision(naive, real) || steps.out_of_order || steps.n != walked) {
        return world_differs(w, "the trace of a query does not tell what happened", naive, real);
    }
    naive = naive_alias(&w->naive, name);
    ln_policy_evaluate_alias(w->policy, name, &real);
    return same_decision(naive, real) || world_differs(w, name, naive, real);
}

static inline bool world_agrees_on_answer(struct world *w, const ln_addr *addr)
{
    ln_decision naive = naive_answer(&w->naive, addr);
    ln_decision real;
    ln_policy_evaluate_answer(w->policy, &w->hosts, addr, &real);
    return same_decision(naive, real) || world_differs(w, "an answer", naive, real);
}

#endif
