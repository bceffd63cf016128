/* What a decision costs beside a plain walk over the rules, and what loading a policy costs, by the
 * number of rules.
 *
 *     bench_policy [--json] [RULES...]
 *
 * Policies mix addresses, prefixes, names, suffixes, groups and ports; connections hit rules of
 * every kind at every depth, or none. Times are the best of several passes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/ruleset.h"

enum { QUERIES = 8192, PINNED = 512, PASSES = 25, TEXT_MAX = 64 };

/* ---- numbers ---- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* xorshift64*, Marsaglia and Vigna. */
static uint32_t below(uint64_t *state, uint32_t n)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % n;
}

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_policy: %s\n", what);
        exit(1);
    }
}

/* ---- policies, as configurations ---- */

static struct ln_value text_value(struct arena *arena, const char *text)
{
    size_t len = strlen(text);
    return (struct ln_value){.type = VALUE_STRING,
                             .string = {.data = arena_strndup(arena, text, len), .len = len}};
}

static struct ln_value table_value(struct arena *arena, size_t n_items, size_t n_entries)
{
    struct value_table *table = arena_alloc(arena, sizeof(*table));
    table->items = arena_array(arena, n_items, sizeof(*table->items));
    table->entries = arena_array(arena, n_entries, sizeof(*table->entries));
    table->n_items = n_items;
    return (struct ln_value){.type = VALUE_TABLE, .table = table};
}

static void put(struct arena *arena, struct ln_value *table, const char *key, struct ln_value value)
{
    table->table->entries[table->table->n_entries++] =
        (struct value_entry){.key = text_value(arena, key), .value = value};
}

/* Twenty shapes of destinations, in an order in which few rules have most of them. */
static uint32_t shape_of(uint32_t i)
{
    return i * 9 % 20;
}

static void destination_of(uint32_t i, char text[TEXT_MAX])
{
    uint32_t shape = shape_of(i);
    uint32_t k = i / 20;
    uint32_t high = k / 65536 + 1;
    uint32_t mid = k / 256 % 256;
    uint32_t low = k % 256;
    switch (shape) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: /* addresses */
        snprintf(text, TEXT_MAX, "%u.%u.%u.%u", 20 + high, mid, low, shape + 1);
        break;
    case 5:
        snprintf(text, TEXT_MAX, "2001:db8:%x:%x::%x", high, mid, low + 1);
        break;
    case 6:
    case 7: /* prefixes, around the addresses and by themselves */
        snprintf(text, TEXT_MAX, "%u.%u.%u.0/24", (shape == 6 ? 20 : 60) + high, mid, low);
        break;
    case 8:
        snprintf(text, TEXT_MAX, "%u.%u.0.0/16", 100 + k / 256 % 90, low);
        break;
    case 9:
        snprintf(text, TEXT_MAX, "2001:db8:%x:%x00::/56", 0x1000 + high * 256 + mid, low);
        break;
    case 10:
    case 11:
    case 12:
    case 13:
    case 14: /* names */
        snprintf(text, TEXT_MAX, "host%u.zone%u.example", i, k % 97);
        break;
    case 15:
    case 16:
    case 17: /* suffixes */
        snprintf(text, TEXT_MAX, ".site%u.region%u.example", i, k % 31);
        break;
    case 18:
        snprintf(text, TEXT_MAX, "%s", k % 2 == 0 ? "private" : "link-local");
        break;
    default:
        snprintf(text, TEXT_MAX, "*");
        break;
    }
}

/* Rules for everything or a group are kept to single ports, so that they hide nothing behind them.
 */
static struct ln_value rule_value(struct arena *arena, uint32_t i)
{
    char text[TEXT_MAX];
    struct ln_value rule = table_value(arena, 0, 4);
    destination_of(i, text);
    put(arena, &rule, "action", text_value(arena, i % 3 == 0 ? "deny" : "allow"));
    put(arena, &rule, "destination", text_value(arena, text));
    put(arena, &rule, "protocol", text_value(arena, "tcp"));
    if (shape_of(i) >= 18) {
        put(arena, &rule, "port",
            (struct ln_value){.type = VALUE_INTEGER, .integer = 10000 + i / 20 % 50000});
    } else if (i % 4 != 0) {
        put(arena, &rule, "port", text_value(arena, i % 4 == 1 ? "443" : "8000-9000"));
    }
    return rule;
}

static struct ln_value config_of(struct arena *arena, uint32_t n_rules)
{
    struct ln_value config = table_value(arena, 0, 1);
    struct ln_value rules = table_value(arena, n_rules, 0);
    for (uint32_t i = 0; i < n_rules; i++) {
        rules.table->items[i] = rule_value(arena, i);
    }
    put(arena, &config, "rules", rules);
    return config;
}

/* ---- connections ---- */

enum mix { BY_ADDRESS, NAME_SHOWN, NAME_PENDING, MIXES };
static const char *const MIX_NAMES[] = {"address", "shown name", "name pending"};

struct load {
    ln_policy *policy;
    ln_pins *pins;
    ln_query queries[MIXES][QUERIES];
    char names[PINNED][LN_NAME_MAX + 1];
    ln_addr pinned[PINNED];
};

static ln_addr parse(const char *text)
{
    ln_addr addr;
    check(ln_addr_parse(text, strlen(text), &addr) == 0, text);
    return addr;
}

/* An address that rule `i` is about, or one that no rule is about. */
static ln_addr addr_for(uint64_t *seed, uint32_t i)
{
    char text[TEXT_MAX];
    destination_of(i, text);
    char *slash = strchr(text, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    ln_addr addr;
    if (ln_addr_parse(text, strlen(text), &addr) < 0) {
        snprintf(text, sizeof(text), "198.51.%u.%u", below(seed, 256), below(seed, 256));
        return parse(text);
    }
    if (slash != NULL) {
        addr.bytes[15] = (uint8_t)(1 + below(seed, 254));
    }
    return addr;
}

/* A name that rule `i` is about, or one that no rule is about. */
static void name_for(uint64_t *seed, uint32_t i, char name[LN_NAME_MAX + 1])
{
    char text[TEXT_MAX];
    destination_of(i, text);
    uint32_t shape = shape_of(i);
    if (shape >= 15 && shape < 18) {
        snprintf(name, LN_NAME_MAX + 1, "www%s", text);
    } else if (shape >= 10 && shape < 15) {
        snprintf(name, LN_NAME_MAX + 1, "%s", text);
    } else {
        snprintf(name, LN_NAME_MAX + 1, "www.nobody%u.test", below(seed, 1000));
    }
}

static uint16_t port_for(uint64_t *seed)
{
    static const uint16_t ports[] = {443, 443, 443, 8080, 80, 22};
    return ports[below(seed, sizeof(ports) / sizeof(*ports))];
}

static void make_pins(struct load *load, uint64_t *seed, uint32_t n_rules)
{
    static const uint8_t key[16] = {42};
    load->pins = ln_pins_new(4096, 64, key);
    check(load->pins != NULL, "out of memory");
    for (uint32_t i = 0; i < PINNED; i++) {
        name_for(seed, below(seed, n_rules), load->names[i]);
        load->pinned[i] = ln_addr_v4(0xc6336400 + i / 2); /* two names share an address */
        check(ln_pins_add(load->pins, load->names[i], &load->pinned[i], 0, UINT64_MAX) == 0,
              "no pin");
    }
}

static void make_queries(struct load *load, uint64_t *seed, uint32_t n_rules)
{
    for (uint32_t i = 0; i < QUERIES; i++) {
        uint32_t pin = below(seed, PINNED);
        load->queries[BY_ADDRESS][i] = (ln_query){
            .address = addr_for(seed, below(seed, n_rules)),
            .port = port_for(seed),
        };
        load->queries[NAME_SHOWN][i] = (ln_query){
            .address = load->pinned[pin],
            .port = port_for(seed),
            .name_state = LN_NAME_SHOWN,
            .claimed = load->names[pin],
        };
        load->queries[NAME_PENDING][i] = (ln_query){
            .address = load->pinned[below(seed, PINNED)],
            .port = port_for(seed),
            .name_state = LN_NAME_UNKNOWN,
        };
    }
}

/* ---- the plain walk ---- */

static bool walk_names(const ln_rule *rule, const char *name, size_t len)
{
    size_t own = strlen(rule->destination.name);
    if (rule->destination.kind == LN_DEST_DOMAIN) {
        return len == own && memcmp(name, rule->destination.name, own) == 0;
    }
    return len > own && name[len - own - 1] == '.' &&
           memcmp(name + len - own, rule->destination.name, own) == 0;
}

static bool walk_matches(const ln_rule *rule, const ln_query *q, ln_group group,
                         const char *const *names, size_t n_names)
{
    bool port = rule->n_ports == 0;
    for (size_t i = 0; i < rule->n_ports; i++) {
        port |= rule->ports[i].first <= q->port && q->port <= rule->ports[i].last;
    }
    if ((rule->directions & LN_DIRECTION_BIT(q->direction)) == 0 ||
        (rule->protocols & LN_PROTOCOL_BIT(q->protocol)) == 0 || !port) {
        return false;
    }
    switch (rule->destination.kind) {
    case LN_DEST_ANY:
        return true;
    case LN_DEST_GROUP:
        return rule->destination.group == group;
    case LN_DEST_PREFIX:
        return ln_prefix_contains(&rule->destination.prefix, &q->address);
    case LN_DEST_DOMAIN:
    case LN_DEST_SUFFIX:
        for (size_t i = 0; i < n_names; i++) {
            if (walk_names(rule, names[i], strlen(names[i]))) {
                return true;
            }
        }
        return false;
    case LN_DEST_COUNTRY:
    case LN_DEST_CONTINENT:
    case LN_DEST_ASN:
        break;
    }
    return false;
}

/* The rule that decides, 0: the default. A name still pending counts as none. */
static uint32_t walk(const struct load *load, const ln_query *q)
{
    const char *pinned[8];
    const char *const *names = &q->claimed;
    size_t n_names = 1;
    if (q->claimed == NULL) {
        names = pinned;
        n_names = ln_pins_names(load->pins, &q->address, q->now_ns, pinned, 8);
    }
    ln_group group = ln_addr_group(&q->address, NULL);
    size_t n = ln_policy_rule_count(load->policy);
    for (size_t i = 1; i <= n; i++) {
        if (walk_matches(ln_policy_rule(load->policy, i), q, group, names, n_names)) {
            return (uint32_t)i;
        }
    }
    return 0;
}

/* ---- measuring ---- */

struct result {
    uint32_t n_rules;
    double load_ms, compile_ms;
    size_t rule_bytes, table_bytes;
    double ns[MIXES], walk_ns[MIXES];
};

/* Nanoseconds a decision over the first `n` queries. */
static double measure(const struct load *load, enum mix mix, uint32_t n, bool by_walk)
{
    uint64_t best = UINT64_MAX;
    uint64_t sum = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t start = now_ns();
        for (uint32_t i = 0; i < n; i++) {
            const ln_query *q = &load->queries[mix][i];
            if (by_walk) {
                sum += walk(load, q);
            } else {
                ln_decision decision;
                ln_policy_evaluate(load->policy, load->pins, NULL, q, &decision, NULL);
                sum += decision.rule;
            }
        }
        uint64_t took = now_ns() - start;
        best = took < best ? took : best;
    }
    check(sum != UINT64_MAX, "the sum keeps the calls from being left out");
    return (double)best / n;
}

/* The walk must find what is measured. */
static void compare(const struct load *load)
{
    for (int mix = 0; mix < MIXES; mix++) {
        for (uint32_t i = 0; i < QUERIES; i += 16) {
            const ln_query *q = &load->queries[mix][i];
            ln_decision decision;
            ln_policy_evaluate(load->policy, load->pins, NULL, q, &decision, NULL);
            check(decision.action == LN_DEFER || decision.rule == walk(load, q),
                  "the walk finds another rule");
        }
    }
}

static void load_policy(struct load *load, struct result *result)
{
    struct arena arena = {0};
    struct ln_value config = config_of(&arena, result->n_rules);
    uint64_t best_load = UINT64_MAX;
    uint64_t best_compile = UINT64_MAX;
    for (int pass = 0; pass < 3; pass++) {
        ln_policy_unref(load->policy);
        ln_problems *problems = ln_problems_new();
        struct plan plan = {0};
        uint64_t start = now_ns();
        check(plan_build(&config, &plan, problems) == 0, "the policy is not valid");
        uint64_t planned = now_ns();
        check(policy_from_plan(&plan, NULL, &load->policy) == 0, "out of memory");
        uint64_t end = now_ns();
        best_load = end - start < best_load ? end - start : best_load;
        best_compile = end - planned < best_compile ? end - planned : best_compile;
        ln_problems_free(problems);
    }
    result->load_ms = (double)best_load / 1e6;
    result->compile_ms = (double)best_compile / 1e6;
    result->rule_bytes = load->policy->plan.arena.used;
    result->table_bytes = load->policy->ruleset.arena.used;
    arena_free(&arena);
}

static struct result run(uint32_t n_rules)
{
    static struct load load;
    struct result result = {.n_rules = n_rules};
    uint64_t seed = 88172645463325252u;
    load_policy(&load, &result);
    make_pins(&load, &seed, n_rules);
    make_queries(&load, &seed, n_rules);
    compare(&load);
    for (int mix = 0; mix < MIXES; mix++) {
        uint32_t walked = 20000000 / (n_rules + 100);
        walked = walked < 64 ? 64 : walked > QUERIES ? QUERIES : walked;
        result.ns[mix] = measure(&load, (enum mix)mix, QUERIES, false);
        result.walk_ns[mix] = measure(&load, (enum mix)mix, walked, true);
    }
    ln_pins_free(load.pins);
    load.policy = ln_policy_unref(load.policy);
    return result;
}

static void print_table(const struct result *r)
{
    printf("%7u %9.2f %9.2f %8zu %8zu", r->n_rules, r->load_ms, r->compile_ms, r->rule_bytes / 1024,
           r->table_bytes / 1024);
    for (int mix = 0; mix < MIXES; mix++) {
        printf("  %6.0f %9.0f %6.0fx", r->ns[mix], r->walk_ns[mix], r->walk_ns[mix] / r->ns[mix]);
    }
    printf("\n");
}

static void print_json(const struct result *r)
{
    printf("{\"bench\":\"policy\",\"rules\":%u,\"load_ms\":%.3f,\"compile_ms\":%.3f,"
           "\"rule_bytes\":%zu,\"table_bytes\":%zu",
           r->n_rules, r->load_ms, r->compile_ms, r->rule_bytes, r->table_bytes);
    static const char *const keys[] = {"address", "shown_name", "name_pending"};
    for (int mix = 0; mix < MIXES; mix++) {
        printf(",\"%s_ns\":%.1f,\"%s_walk_ns\":%.1f", keys[mix], r->ns[mix], keys[mix],
               r->walk_ns[mix]);
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"10", "1000", "10000", "100000"};
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    int first = json ? 2 : 1;
    int n = argc - first;
    if (!json) {
        printf("%7s %9s %9s %8s %8s", "rules", "load ms", "compile", "rules kB", "tables");
        for (int mix = 0; mix < MIXES; mix++) {
            printf("  %-12s %9s", MIX_NAMES[mix], "walk, ns");
        }
        printf("\n");
    }
    for (int i = 0; i < (n > 0 ? n : 4); i++) {
        const char *text = n > 0 ? argv[first + i] : usual[i];
        uint32_t n_rules = (uint32_t)strtoul(text, NULL, 10);
        check(n_rules > 0, "a number of rules is greater than 0");
        struct result result = run(n_rules);
        json ? print_json(&result) : print_table(&result);
        fflush(stdout);
    }
    return 0;
}
