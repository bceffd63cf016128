/* Policies for tests, written as one line a rule; `*` is any:
 *     ACTION[:DIRECTION] DESTINATION [PROTOCOLS [PORTS]] [when=N] [deny_list]
 *     "allow:any 10.0.0.0/8 tcp,udp 53,8000-9000"
 * and a small generator of random numbers, so that a failure can be repeated by its seed. */
#ifndef TEST_POLICY_FIXTURE_H
#define TEST_POLICY_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "policy/ruleset.h"

/* ---- random numbers: xorshift64*, Marsaglia and Vigna ---- */

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    rng->state ^= rng->state >> 12;
    rng->state ^= rng->state << 25;
    rng->state ^= rng->state >> 27;
    return rng->state * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 to n - 1. */
static inline uint32_t rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)((rng_next(rng) >> 32) % n);
}

static inline bool rng_chance(struct rng *rng, uint32_t percent)
{
    return rng_below(rng, 100) < percent;
}

/* The seed of LN_TEST_SEED, else `fallback`; printed. */
static inline struct rng rng_start(const char *test, uint64_t fallback)
{
    const char *text = getenv("LN_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : fallback;
    print_message("%s: LN_TEST_SEED=%#llx\n", test, (unsigned long long)seed);
    return (struct rng){.state = seed * 2 + 1};
}

/* ---- addresses ---- */

static inline ln_addr addr_of(const char *text)
{
    ln_addr addr = {{0}};
    if (ln_addr_parse(text, strlen(text), &addr) != 0) {
        fail_msg("no address: %s", text);
    }
    return addr;
}

/* "10.0.0.0/8", "fd00::/8" or a single address. */
static inline bool prefix_try(const char *text, ln_prefix *ret)
{
    if (ln_addr_parse(text, strlen(text), &ret->addr) == 0) {
        ret->bits = 128;
        return true;
    }
    return ln_prefix_parse(text, strlen(text), ret) == 0;
}

static inline ln_prefix prefix_of(const char *text)
{
    ln_prefix prefix = {0};
    if (!prefix_try(text, &prefix)) {
        fail_msg("no prefix: %s", text);
    }
    return prefix;
}

/* ---- rules ---- */

static inline void parse_ports(struct arena *arena, char *text, ln_rule *rule)
{
    ln_port_range *ports = arena_array(arena, strlen(text), sizeof(*ports));
    char *at = NULL;
    for (char *word = strtok_r(text, ",", &at); word != NULL; word = strtok_r(NULL, ",", &at)) {
        char *dash = strchr(word, '-');
        ports[rule->n_ports].first = (uint16_t)atoi(word);
        ports[rule->n_ports++].last = (uint16_t)atoi(dash == NULL ? word : dash + 1);
    }
    rule->ports = ports;
}

static inline uint8_t parse_protocols(const char *text)
{
    uint8_t protocols = 0;
    for (int p = LN_TCP; p <= LN_ICMPV6; p++) {
        if (strstr(text, ln_protocol_name((ln_protocol)p)) != NULL) {
            protocols |= (uint8_t)LN_PROTOCOL_BIT(p);
        }
    }
    return protocols == 0 ? LN_PROTOCOLS_ALL : protocols;
}

static inline ln_destination parse_destination(struct arena *arena, const char *text)
{
    ln_destination destination = {.kind = LN_DEST_ANY};
    if (strcmp(text, "*") == 0) {
        return destination;
    }
    for (int g = 0; g < LN_GROUPS; g++) {
        if (strcmp(text, ln_group_name((ln_group)g)) == 0) {
            return (ln_destination){.kind = LN_DEST_GROUP, .group = (ln_group)g};
        }
    }
    if (prefix_try(text, &destination.prefix)) {
        destination.kind = LN_DEST_PREFIX;
        return destination;
    }
    destination.kind = text[0] == '.' ? LN_DEST_SUFFIX : LN_DEST_DOMAIN;
    text += text[0] == '.';
    destination.name = arena_strndup(arena, text, strlen(text));
    return destination;
}

static inline ln_rule rule_of(struct arena *arena, const char *line)
{
    ln_rule rule = {.directions = LN_DIRECTION_BIT(LN_EGRESS), .protocols = LN_PROTOCOLS_ALL};
    char *text = arena_strndup(arena, line, strlen(line));
    char *at = NULL;
    int place = 0;
    for (char *word = strtok_r(text, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        if (strncmp(word, "when=", 5) == 0) {
            rule.when = atoi(word + 5);
        } else if (strcmp(word, "deny_list") == 0) {
            rule.deny_list = true;
        } else if (place == 0) {
            rule.action = word[0] == 'a' ? LN_ALLOW : word[0] == 'd' ? LN_DENY : LN_REJECT;
            if (strstr(word, ":any") != NULL) {
                rule.directions |= LN_DIRECTION_BIT(LN_INGRESS);
            } else if (strstr(word, ":ingress") != NULL) {
                rule.directions = LN_DIRECTION_BIT(LN_INGRESS);
            }
            place++;
        } else if (place == 1) {
            rule.destination = parse_destination(arena, word);
            place++;
        } else if (place == 2) {
            rule.protocols = parse_protocols(word);
            place++;
        } else if (strcmp(word, "*") != 0) {
            parse_ports(arena, word, &rule);
        }
    }
    return rule;
}

/* ---- policies ---- */

static inline struct hash_key test_key(void)
{
    return (struct hash_key){.k0 = 1, .k1 = 2};
}

/* A policy of `n` rules that live in `arena`, which it owns from now on; defaults as in SPEC
 * section 1. */
static inline ln_policy *policy_of_rules(struct arena *arena, ln_rule *rules, size_t n)
{
    struct plan plan = {
        .arena = *arena,
        .rules = rules,
        .n_rules = n,
        .settings = {.default_egress = LN_DENY,
                     .default_ingress = LN_ALLOW,
                     .dns_rebind_protection = true,
                     .ipv4_pool = prefix_of("172.16.0.0/12"),
                     .ipv6_pool = prefix_of("fd42:6d73:62::/48")},
    };
    ln_policy *policy;
    assert_int_equal(policy_from_plan(&plan, NULL, &policy), 0);
    return policy;
}

/* A policy of these lines, up to a NULL. */
static inline ln_policy *policy_of_lines(const char *const *lines)
{
    struct arena arena = {0};
    size_t n = 0;
    while (lines[n] != NULL) {
        n++;
    }
    ln_rule *rules = arena_array(&arena, n + 1, sizeof(*rules));
    for (size_t i = 0; i < n; i++) {
        rules[i] = rule_of(&arena, lines[i]);
    }
    return policy_of_rules(&arena, rules, n);
}

#define POLICY(...) policy_of_lines((const char *const[]){__VA_ARGS__, NULL})

/* ---- pins ---- */

static inline ln_pins *pins_of(uint32_t max_names, uint32_t max_addrs)
{
    static const uint8_t key[16] = "0123456789abcde";
    ln_pins *pins = ln_pins_new(max_names, max_addrs, key);
    assert_non_null(pins);
    return pins;
}

static inline void pin(ln_pins *pins, const char *name, const char *addr)
{
    ln_addr parsed = addr_of(addr);
    assert_int_equal(ln_pins_add(pins, name, &parsed, 0, UINT64_MAX), 0);
}

#endif
