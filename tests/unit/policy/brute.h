/* Everything that can be asked of a small policy, asked: all addresses and ports at which a rule
 * begins or ends and those beside them, addresses as the machine's own and not, every protocol and
 * direction, names of rules and strangers to them, resolved or not, shown or not. */
#ifndef TEST_POLICY_BRUTE_H
#define TEST_POLICY_BRUTE_H

#include "policy/fixture.h"
#include "policy/groups.h"

enum { BRUTE_RULES = 8, BRUTE_ADDRS = 512, BRUTE_PORTS = 32, BRUTE_NAMES = 24 };

struct brute_question {
    enum { BRUTE_CONNECTION, BRUTE_QUERY, BRUTE_ALIAS, BRUTE_ANSWER } what;
    ln_query query;
    int host;              /* 1: the address is the machine's own, 2: the gateway's */
    const char *pinned[2]; /* names of the address; NULL: fewer */
};

struct brute {
    ln_addr addrs[BRUTE_ADDRS];
    uint16_t ports[BRUTE_PORTS];
    const char *names[BRUTE_NAMES];
    uint32_t n_addrs, n_ports, n_names;
    ln_prefix pools[2]; /* of the gateway's addresses */
    struct arena arena;
    ln_pins *pins;
};

static inline void brute_addr(struct brute *b, ln_addr addr)
{
    for (uint32_t i = 0; i < b->n_addrs; i++) {
        if (ln_addr_equal(&b->addrs[i], &addr)) {
            return;
        }
    }
    assert_in_range(b->n_addrs, 0, BRUTE_ADDRS - 1);
    b->addrs[b->n_addrs++] = addr;
}

/* The address `by` behind, as far as there is one. */
static inline ln_addr brute_step(ln_addr addr, int by)
{
    for (int i = 15; i >= 0; i--) {
        int value = addr.bytes[i] + by;
        addr.bytes[i] = (uint8_t)value;
        by = value < 0 ? -1 : value > 255 ? 1 : 0;
    }
    return addr;
}

static inline void brute_prefix(struct brute *b, const ln_prefix *prefix)
{
    ln_addr last = prefix->addr;
    for (unsigned bit = prefix->bits; bit < 128; bit++) {
        last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    }
    brute_addr(b, prefix->addr);
    brute_addr(b, last);
    brute_addr(b, brute_step(prefix->addr, -1));
    brute_addr(b, brute_step(last, 1));
}

static inline void brute_port(struct brute *b, long port)
{
    for (uint32_t i = 0; i < b->n_ports; i++) {
        if (b->ports[i] == port) {
            return;
        }
    }
    if (port >= 1 && port <= UINT16_MAX) {
        assert_in_range(b->n_ports, 0, BRUTE_PORTS - 1);
        b->ports[b->n_ports++] = (uint16_t)port;
    }
}

static inline void brute_name(struct brute *b, const char *name)
{
    for (uint32_t i = 0; i < b->n_names; i++) {
        if (strcmp(b->names[i], name) == 0) {
            return;
        }
    }
    assert_in_range(b->n_names, 0, BRUTE_NAMES - 1);
    b->names[b->n_names++] = name;
}

static inline void brute_boundary(void *user, const ln_prefix *prefix)
{
    brute_prefix(user, prefix);
}

/* Adds the boundaries of a policy to those that are there. */
static inline void brute_add(struct brute *b, const ln_policy *policy)
{
    static const char *const ordinary[] = {
        "8.8.8.8",   "172.16.0.1",      "192.0.0.1", "224.0.0.1", "127.0.0.2",      "169.254.0.1",
        "240.0.0.1", "100.100.100.200", "2606::1",   "fe80::1",   "64:ff9b::a00:1", "2002:7f00:1::",
        "ff02::1",   "fec0::1",         "::1",       "fd00::2",   "fd00:ec2::254",
    };
    for (size_t i = 0; i < sizeof(ordinary) / sizeof(*ordinary); i++) {
        brute_addr(b, addr_of(ordinary[i]));
    }
    if (policy->ruleset.names.count == 0) { /* there is time for it */
        groups_each_boundary(brute_boundary, b);
    }
    b->pools[0] = policy->plan.settings.ipv4_pool;
    b->pools[1] = policy->plan.settings.ipv6_pool;
    brute_prefix(b, &b->pools[0]);
    brute_prefix(b, &b->pools[1]);
    brute_port(b, 53);
    brute_port(b, 65000);
    brute_name(b, "stranger");
    for (size_t i = 1; i <= ln_policy_rule_count(policy); i++) {
        const ln_rule *rule = ln_policy_rule(policy, i);
        if (rule->destination.kind == LN_DEST_PREFIX) {
            brute_prefix(b, &rule->destination.prefix);
        }
        for (size_t k = 0; k < rule->n_ports; k++) {
            for (int by = -1; by <= 1; by++) {
                brute_port(b, rule->ports[k].first + by);
                brute_port(b, rule->ports[k].last + by);
            }
        }
        if (rule_is_by_name(rule)) {
            brute_name(b, rule->destination.name);
            brute_name(b, arena_printf(&b->arena, "q.%s", rule->destination.name));
        }
    }
    if (b->pins == NULL) {
        b->pins = pins_of(8, 8);
    }
}

static inline void brute_free(struct brute *b)
{
    ln_pins_free(b->pins);
    arena_free(&b->arena);
    *b = (struct brute){0};
}

static inline ln_decision brute_ask(struct brute *b, const ln_policy *policy,
                                    const struct brute_question *q)
{
    ln_decision decision;
    ln_host_addrs host = {
        .addrs = &q->query.address, .n_addrs = q->host > 0, .n_gateway = q->host == 2};
    switch (q->what) {
    case BRUTE_CONNECTION:
        ln_policy_evaluate(policy, b->pins, &host, &q->query, &decision, NULL);
        break;
    case BRUTE_QUERY:
        ln_policy_evaluate_dns(policy, q->query.claimed, q->query.protocol, &decision, NULL);
        break;
    case BRUTE_ALIAS:
        ln_policy_evaluate_alias(policy, q->query.claimed, &decision);
        break;
    case BRUTE_ANSWER:
        ln_policy_evaluate_answer(policy, &host, &q->query.address, &decision);
        break;
    }
    return decision;
}

typedef void brute_visit(void *user, struct brute *b, const struct brute_question *q);

static inline void brute_ports(struct brute *b, struct brute_question q, brute_visit *visit,
                               void *user)
{
    for (int direction = LN_EGRESS; direction <= LN_INGRESS; direction++) {
        for (int protocol = LN_TCP; protocol <= LN_ICMPV6; protocol++) {
            bool icmp = protocol != LN_TCP && protocol != LN_UDP;
            bool v4 = ln_addr_is_v4(&q.query.address);
            if (icmp && (direction == LN_INGRESS || v4 != (protocol == LN_ICMPV4))) {
                continue;
            }
            q.query.direction = (ln_direction)direction;
            q.query.protocol = (ln_protocol)protocol;
            for (uint32_t i = 0; i < (icmp ? 1 : b->n_ports); i++) {
                q.query.port = icmp ? 0 : b->ports[i];
                visit(user, b, &q);
            }
        }
    }
}

/* With the names that are pinned now: none shown, not known yet, or any shown. */
static inline void brute_shown(struct brute *b, struct brute_question q, brute_visit *visit,
                               void *user)
{
    q.query.name_state = LN_NAME_NONE;
    brute_ports(b, q, visit, user);
    q.query.name_state = LN_NAME_UNKNOWN;
    brute_ports(b, q, visit, user);
    q.query.name_state = LN_NAME_SHOWN;
    for (uint32_t i = 0; i < (q.pinned[1] == NULL ? b->n_names : 0); i++) {
        q.query.claimed = b->names[i];
        brute_ports(b, q, visit, user);
    }
}

static inline void brute_pin(struct brute *b, const char *name, const ln_addr *addr)
{
    assert_int_equal(ln_pins_add(b->pins, name, addr, 0, UINT64_MAX), 0);
}

static inline void brute_address(struct brute *b, struct brute_question q, brute_visit *visit,
                                 void *user)
{
    const ln_addr *addr = &q.query.address;
    brute_shown(b, q, visit, user);
    for (uint32_t i = 0; i < b->n_names; i++) {
        q.pinned[0] = b->names[i];
        brute_pin(b, b->names[i], addr);
        brute_shown(b, q, visit, user);
        for (uint32_t k = 0; k < i; k++) {
            q.pinned[1] = b->names[k];
            brute_pin(b, b->names[k], addr);
            brute_shown(b, q, visit, user);
            ln_pins_revoke(b->pins, b->names[k]);
        }
        q.pinned[1] = NULL;
        ln_pins_revoke(b->pins, b->names[i]);
    }
}

static inline bool brute_is_pool(const struct brute *b, const ln_addr *addr)
{
    return ln_prefix_contains(&b->pools[0], addr) || ln_prefix_contains(&b->pools[1], addr);
}

static inline void brute_each(struct brute *b, brute_visit *visit, void *user)
{
    for (uint32_t i = 0; i < b->n_addrs; i++) {
        for (int host = 0; host <= (brute_is_pool(b, &b->addrs[i]) ? 2 : 1); host++) {
            struct brute_question q = {.query = {.address = b->addrs[i]}, .host = host};
            brute_address(b, q, visit, user);
            q.what = BRUTE_ANSWER;
            visit(user, b, &q);
        }
    }
    for (uint32_t i = 0; i < b->n_names; i++) {
        struct brute_question q = {.query = {.claimed = b->names[i], .port = 53}};
        for (int protocol = LN_TCP; protocol <= LN_UDP; protocol++) {
            q.what = BRUTE_QUERY;
            q.query.protocol = (ln_protocol)protocol;
            visit(user, b, &q);
        }
        q.what = BRUTE_ALIAS;
        visit(user, b, &q);
    }
}

/* ---- small policies that overlap a lot ---- */

#define PICK(rng, list) (list)[rng_below(rng, sizeof(list) / sizeof(*(list)))]

static inline const char *brute_destination(struct rng *rng, bool names)
{
    static const char *const addresses[] = {
        "*",
        "*",
        "public",
        "private",
        "host",
        "link-local",
        "metadata",
        "loopback",
        "0.0.0.0/0",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "::/0",
        "::/1",
        "8000::/1",
        "10.0.0.0/8",
        "10.0.0.0/9",
        "10.128.0.0/9",
        "10.0.0.1",
        "169.254.169.254",
        "fd00::/8",
        "127.0.0.0/8",
        "::fffe:0:0/95",
        "::fffe:0:0/96",
        "198.18.0.0/15",
    };
    static const char *const named[] = {"x", ".x", "a.x", ".a.x", "y", ".b.a.x"};
    return names && rng_chance(rng, 60) ? PICK(rng, named) : PICK(rng, addresses);
}

/* A policy of up to `most` rules; `functions` of them at most have a function. */
static inline ln_policy *brute_policy(struct rng *rng, uint32_t most, bool names, bool functions)
{
    static const char *const actions[] = {"allow", "deny", "reject", "allow", "deny"};
    static const char *const directions[] = {"", "", "", ":ingress", ":any"};
    static const char *const protocols[] = {
        "*", "*", "tcp", "udp", "tcp,udp", "icmpv4", "tcp,icmpv4,icmpv6"};
    static const char *const ports[] = {"*",  "*",   "*",      "1-100",  "101-65535",
                                        "53", "443", "53,443", "1-65535"};
    static const ln_action defaults[] = {LN_DENY, LN_DENY, LN_ALLOW, LN_REJECT};
    struct plan plan = {.settings = {.default_egress = PICK(rng, defaults),
                                     .default_ingress = PICK(rng, defaults),
                                     .dns_rebind_protection = rng_chance(rng, 80),
                                     .ipv4_pool = prefix_of("10.0.0.0/10"),
                                     .ipv6_pool = prefix_of("fd00::/9")}};
    plan.n_rules = 1 + rng_below(rng, most);
    plan.rules = arena_array(&plan.arena, plan.n_rules, sizeof(*plan.rules));
    uint32_t n_denied = rng_below(rng, 4) == 0 ? 1 : 0;
    int n_functions = 0;
    for (uint32_t i = 0; i < plan.n_rules; i++) {
        char line[160];
        bool listed = names && i < n_denied;
        if (listed) {
            snprintf(line, sizeof(line), "deny %s deny_list", rng_chance(rng, 50) ? ".x" : "a.x");
        } else {
            snprintf(line, sizeof(line), "%s%s %s %s %s", PICK(rng, actions), PICK(rng, directions),
                     brute_destination(rng, names), PICK(rng, protocols), PICK(rng, ports));
        }
        plan.rules[i] = rule_of(&plan.arena, line);
        if (functions && !listed && n_functions < 2 && rng_chance(rng, 30)) {
            plan.rules[i].when = ++n_functions;
        }
    }
    plan.settings.on_connect = functions && rng_chance(rng, 30) ? 3 : 0;
    ln_policy *policy;
    assert_int_equal(policy_from_plan(&plan, NULL, &policy), 0);
    return policy;
}

static inline void brute_print(const ln_policy *policy)
{
    for (size_t i = 1; i <= ln_policy_rule_count(policy); i++) {
        char line[300];
        const ln_rule *rule = ln_policy_rule(policy, i);
        ln_rule_format(rule, line, sizeof(line));
        print_message("  %zu %s%s%s\n", i, line, rule->when != 0 ? " when" : "",
                      rule->deny_list ? " deny list" : "");
    }
    const ln_settings *settings = ln_policy_settings(policy);
    print_message("  default %s, %s%s\n", ln_action_name(settings->default_egress),
                  ln_action_name(settings->default_ingress),
                  settings->on_connect != 0 ? ", on_connect" : "");
}

static inline void brute_print_question(const struct brute_question *q)
{
    char addr[LN_ADDR_TEXT_MAX];
    ln_addr_format(&q->query.address, addr);
    print_message("  kind %d %s %s %s%s port %u pinned %s %s shown %s\n", q->what,
                  ln_direction_name(q->query.direction), ln_protocol_name(q->query.protocol), addr,
                  q->host == 0   ? ""
                  : q->host == 1 ? " (host)"
                                 : " (gateway)",
                  q->query.port, q->pinned[0] ? q->pinned[0] : "-",
                  q->pinned[1] ? q->pinned[1] : "-", q->query.claimed ? q->query.claimed : "-");
}

#endif
