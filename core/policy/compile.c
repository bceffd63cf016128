/* From a rule list to its compiled tables: give every rule its bucket, then build each bucket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/ruleset.h"

/* A rule by prefix, as sorted to number the prefixes. */
struct prefix_rule {
    ln_prefix prefix;
    uint32_t rule;
};

struct build {
    struct ruleset *rs;
    struct arena scratch;      /* freed when done */
    struct port_builder ports; /* likewise */
    uint32_t *bucket_of;       /* of each rule; BUCKET_NONE: it never matches */
    uint32_t *parents;         /* of each prefix */
    uint32_t *start;           /* of each bucket in members[], and the end of the last */
    uint32_t *members;         /* rules by bucket, ascending in each */
    uint32_t *picked;          /* room for the rules of one port map */
    uint32_t n_prefixes;
};

static int compare_prefix_rules(const void *a, const void *b)
{
    const struct prefix_rule *x = a;
    const struct prefix_rule *y = b;
    int order = prefix_compare(&x->prefix, &y->prefix);
    return order != 0 ? order : (x->rule > y->rule) - (x->rule < y->rule);
}

/* Numbers the distinct prefixes in their order, each of them a bucket. */
static int assign_prefixes(struct build *b)
{
    struct ruleset *rs = b->rs;
    struct prefix_rule *sorted = arena_array(&b->scratch, rs->n_rules, sizeof(*sorted));
    ln_prefix *distinct = arena_array(&b->scratch, rs->n_rules, sizeof(*distinct));
    if (sorted == NULL || distinct == NULL) {
        return -ENOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        if (rs->rules[i].destination.kind == LN_DEST_PREFIX) {
            sorted[n++] =
                (struct prefix_rule){.prefix = rs->rules[i].destination.prefix, .rule = i};
        }
    }
    if (n > 0) {
        qsort(sorted, n, sizeof(*sorted), compare_prefix_rules);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || prefix_compare(&sorted[i].prefix, &sorted[i - 1].prefix) != 0) {
            distinct[b->n_prefixes++] = sorted[i].prefix;
        }
        b->bucket_of[sorted[i].rule] = BUCKET_PREFIX_0 + b->n_prefixes - 1;
    }
    rs->n_buckets = BUCKET_PREFIX_0 + b->n_prefixes;
    b->parents = arena_array(&b->scratch, b->n_prefixes, sizeof(*b->parents));
    if (b->parents == NULL) {
        return -ENOMEM;
    }
    return prefix_map_build(&rs->prefixes, &rs->arena, distinct, b->n_prefixes, b->parents);
}

enum name_use rule_name_use(const ln_rule *rule)
{
    if (rule->destination.kind == LN_DEST_DOMAIN) {
        return rule->action == LN_ALLOW ? NAME_EXACT_ALLOW : NAME_EXACT_DENY;
    }
    return rule->action == LN_ALLOW ? NAME_BELOW_ALLOW : NAME_BELOW_DENY;
}

static int assign_names(struct build *b, struct hash_key key)
{
    struct ruleset *rs = b->rs;
    uint32_t n = 0;
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        n += rule_is_by_name(&rs->rules[i]);
    }
    int r = name_map_init(&rs->names, &rs->arena, key, n);
    for (uint32_t i = 0; r == 0 && i < rs->n_rules; i++) {
        const ln_rule *rule = &rs->rules[i];
        if (!rule_is_by_name(rule)) {
            continue;
        }
        const char *name = rule->destination.name;
        struct name_entry *entry = name_map_put(&rs->names, name, (uint32_t)strlen(name));
        enum name_use use = rule_name_use(rule);
        if (entry->bucket[use] == BUCKET_NONE) {
            entry->bucket[use] = rs->n_buckets++;
        }
        if (rule->destination.kind == LN_DEST_SUFFIX) {
            name_map_mark_below(&rs->names, entry);
        }
        b->bucket_of[i] = entry->bucket[use];
    }
    return r;
}

static bool is_by_place(const ln_rule *rule)
{
    return rule->destination.kind == LN_DEST_COUNTRY ||
           rule->destination.kind == LN_DEST_CONTINENT || rule->destination.kind == LN_DEST_ASN;
}

static int compare_asns(const void *a, const void *b)
{
    const struct asn_bucket *x = a;
    const struct asn_bucket *y = b;
    return (x->asn > y->asn) - (x->asn < y->asn);
}

/* Collects the numbers of autonomous systems, each with a bucket. */
static int assign_asns(struct ruleset *rs, uint32_t n_rules)
{
    rs->asns = arena_array(&rs->arena, n_rules, sizeof(*rs->asns));
    if (rs->asns == NULL) {
        return -ENOMEM;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        if (rs->rules[i].destination.kind == LN_DEST_ASN) {
            rs->asns[n++].asn = rs->rules[i].destination.asn;
        }
    }
    qsort(rs->asns, n, sizeof(*rs->asns), compare_asns);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || rs->asns[i].asn != rs->asns[i - 1].asn) {
            rs->asns[rs->n_asns++] =
                (struct asn_bucket){.asn = rs->asns[i].asn, .bucket = rs->n_buckets++};
        }
    }
    return 0;
}

/* The bucket of a rule by place. */
static uint32_t place_bucket(struct ruleset *rs, const ln_destination *destination)
{
    if (destination->kind == LN_DEST_ASN) {
        struct asn_bucket key = {.asn = destination->asn};
        const struct asn_bucket *found =
            bsearch(&key, rs->asns, rs->n_asns, sizeof(key), compare_asns);
        return found->bucket;
    }
    uint16_t code = geo_code(destination->name, strlen(destination->name));
    if (code == GEO_NONE) {
        return BUCKET_NONE;
    }
    uint32_t *bucket =
        &(destination->kind == LN_DEST_COUNTRY ? rs->countries : rs->continents)[code];
    if (*bucket == BUCKET_NONE) {
        *bucket = rs->n_buckets++;
    }
    return *bucket;
}

static int assign_places(struct build *b)
{
    struct ruleset *rs = b->rs;
    uint32_t n = 0;
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        n += is_by_place(&rs->rules[i]);
    }
    if (n == 0) {
        return 0;
    }
    rs->countries = arena_array(&rs->arena, GEO_CODES, sizeof(*rs->countries));
    rs->continents = arena_array(&rs->arena, GEO_CODES, sizeof(*rs->continents));
    if (rs->countries == NULL || rs->continents == NULL) {
        return -ENOMEM;
    }
    memset(rs->countries, 0xff, GEO_CODES * sizeof(*rs->countries));
    memset(rs->continents, 0xff, GEO_CODES * sizeof(*rs->continents));
    int r = assign_asns(rs, n);
    for (uint32_t i = 0; r == 0 && i < rs->n_rules; i++) {
        if (is_by_place(&rs->rules[i])) {
            b->bucket_of[i] = place_bucket(rs, &rs->rules[i].destination);
        }
    }
    return r;
}

static int assign_buckets(struct build *b, struct hash_key key)
{
    struct ruleset *rs = b->rs;
    b->bucket_of = arena_array(&b->scratch, rs->n_rules, sizeof(*b->bucket_of));
    if (b->bucket_of == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        b->bucket_of[i] = BUCKET_NONE;
        if (rs->rules[i].destination.kind == LN_DEST_ANY) {
            b->bucket_of[i] = BUCKET_ANY;
        } else if (rs->rules[i].destination.kind == LN_DEST_GROUP) {
            b->bucket_of[i] = (uint32_t)BUCKET_GROUP_0 + (uint32_t)rs->rules[i].destination.group;
        }
    }
    int r = assign_prefixes(b);
    r = r < 0 ? r : assign_names(b, key);
    return r < 0 ? r : assign_places(b);
}

void buckets_fill(const uint32_t *bucket_of, uint32_t n_rules, uint32_t n_buckets, uint32_t *start,
                  uint32_t *members)
{
    /* Counts go two places up, starts one: filling moves each start on to where the next begins. */
    for (uint32_t i = 0; i < n_rules; i++) {
        if (bucket_of[i] != BUCKET_NONE) {
            start[bucket_of[i] + 2]++;
        }
    }
    for (uint32_t k = 0; k < n_buckets; k++) {
        start[k + 2] += start[k + 1];
    }
    for (uint32_t i = 0; i < n_rules; i++) {
        if (bucket_of[i] != BUCKET_NONE) {
            members[start[bucket_of[i] + 1]++] = i;
        }
    }
}

static int gather_members(struct build *b)
{
    struct ruleset *rs = b->rs;
    b->start = arena_array(&b->scratch, (size_t)rs->n_buckets + 2, sizeof(*b->start));
    b->members = arena_array(&b->scratch, rs->n_rules, sizeof(*b->members));
    b->picked = arena_array(&b->scratch, rs->n_rules, sizeof(*b->picked));
    if (b->start == NULL || b->members == NULL || b->picked == NULL) {
        return -ENOMEM;
    }
    buckets_fill(b->bucket_of, rs->n_rules, rs->n_buckets, b->start, b->members);
    return 0;
}

/* Bit n: the rule can match in class n. */
static unsigned classes_of(const ln_rule *rule)
{
    unsigned protocols = rule->protocols & LN_PROTOCOLS_ALL;
    if (rule->n_ports > 0) {
        protocols &= LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP);
    }
    unsigned classes = 0;
    for (unsigned direction = LN_EGRESS; direction <= LN_INGRESS; direction++) {
        if (rule_has_direction(rule, (ln_direction)direction)) {
            classes |= protocols << class_of((ln_direction)direction, LN_TCP);
        }
    }
    return classes;
}

/* Groups the classes in which the same rules of the bucket can match: group[class] counts from 0 in
 * the order of the classes. Returns the number of groups. */
static uint8_t group_classes(const struct build *b, const uint32_t *members, uint32_t n,
                             uint8_t group[CLASSES])
{
    uint8_t n_groups = 1;
    memset(group, 0, CLASSES);
    for (uint32_t i = 0; i < n && n_groups < CLASSES; i++) {
        unsigned classes = classes_of(&b->rs->rules[members[i]]);
        uint8_t renamed[CLASSES][2]; /* by group and whether the rule matches; + 1, 0: none yet */
        memset(renamed, 0, sizeof(renamed));
        n_groups = 0;
        for (unsigned c = 0; c < CLASSES; c++) {
            uint8_t *to = &renamed[group[c]][classes >> c & 1];
            if (*to == 0) {
                *to = ++n_groups;
            }
            group[c] = (uint8_t)(*to - 1);
        }
    }
    return n_groups;
}

/* Picks the rules of one class that match for sure. Returns how many. */
static uint32_t pick(struct build *b, const uint32_t *members, uint32_t n, unsigned class)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = &b->rs->rules[members[i]];
        if (rule_is_fixed(rule) && (classes_of(rule) >> class & 1) != 0) {
            b->picked[count++] = members[i];
        }
    }
    return count;
}

/* One port map for each group of classes that has any rule. */
static int build_port_maps(struct build *b, struct bucket *bucket, const uint32_t *members,
                           uint32_t n)
{
    uint8_t group[CLASSES];
    uint8_t n_groups = group_classes(b, members, n, group);
    memset(bucket->map, CLASS_NONE, sizeof(bucket->map));
    bucket->first_map = b->ports.n_maps;
    for (uint8_t g = 0; g < n_groups; g++) {
        unsigned class = 0;
        while (group[class] != g) {
            class ++;
        }
        uint32_t count = pick(b, members, n, class);
        if (count == 0) {
            continue;
        }
        uint32_t map;
        int r = port_builder_add(&b->ports, b->rs->rules, b->picked, count, &map);
        if (r < 0) {
            return r;
        }
        for (unsigned c = class; c < CLASSES; c++) {
            if (group[c] == g) {
                bucket->map[c] = (uint8_t)(map - bucket->first_map);
            }
        }
    }
    return 0;
}

/* The bucket's rules about requests, if it has any. */
static int build_http(struct build *b, uint32_t number, const uint32_t *members, uint32_t n)
{
    struct ruleset *rs = b->rs;
    struct http_bucket http;
    uint32_t total = 0;
    int r = 0;
    if (rs->http_min == RULE_NONE) {
        return 0;
    }
    rs->http_of[number] = BUCKET_NONE;
    for (int side = HTTP_ALLOW; r == 0 && side < HTTP_SIDES; side++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < n; i++) {
            const ln_rule *rule = &rs->rules[members[i]];
            if (rule->http != NULL && (rule->action == LN_ALLOW) == (side == HTTP_ALLOW)) {
                b->picked[count++] = members[i];
            }
        }
        total += count;
        r = port_builder_add(&b->ports, rs->rules, b->picked, count, &http.map[side]);
        r = r < 0 ? r
                  : http_index_build(&http.index[side], &rs->arena, rs->rules, b->picked, count,
                                     side == HTTP_ALLOW);
    }
    if (r == 0 && total > 0) {
        rs->http_of[number] = rs->n_http;
        rs->http[rs->n_http++] = http;
    }
    return r;
}

static int build_bucket(struct build *b, uint32_t number)
{
    struct ruleset *rs = b->rs;
    struct bucket *bucket = &rs->buckets[number];
    const uint32_t *members = b->members + b->start[number];
    uint32_t n = b->start[number + 1] - b->start[number];
    *bucket = (struct bucket){
        .min_rule = n > 0 ? members[0] : RULE_NONE,
        .parent = BUCKET_NONE,
        .answer_rule = RULE_NONE,
        .first_function = rs->n_functions,
    };
    for (uint32_t i = 0; i < n; i++) {
        const ln_rule *rule = &rs->rules[members[i]];
        if (rule->when != 0 && rule->http == NULL) {
            rs->functions[rs->n_functions++] = members[i];
            bucket->n_functions++;
        }
        if (bucket->answer_rule == RULE_NONE && rule_decides_answer(rule)) {
            bucket->answer_rule = members[i];
        }
    }
    bucket->chain_min = bucket->min_rule;
    if (number >= BUCKET_PREFIX_0 && number - BUCKET_PREFIX_0 < b->n_prefixes &&
        b->parents[number - BUCKET_PREFIX_0] != PREFIX_NONE) {
        /* An enclosing prefix has the lower number: its bucket is complete. */
        bucket->parent = BUCKET_PREFIX_0 + b->parents[number - BUCKET_PREFIX_0];
        uint32_t around = rs->buckets[bucket->parent].chain_min;
        bucket->chain_min = around < bucket->min_rule ? around : bucket->min_rule;
    }
    int r = build_http(b, number, members, n);
    return r < 0 ? r : build_port_maps(b, bucket, members, n);
}

static int build_buckets(struct build *b)
{
    struct ruleset *rs = b->rs;
    size_t n_functions = 0;
    size_t n_http = 0; /* no fewer than the buckets that have such a rule */
    for (uint32_t i = 0; i < rs->n_rules; i++) {
        n_functions += rs->rules[i].when != 0;
        n_http += rs->rules[i].http != NULL;
    }
    rs->http = arena_array(&rs->arena, n_http, sizeof(*rs->http));
    rs->http_of = arena_array(&rs->arena, n_http > 0 ? rs->n_buckets : 0, sizeof(*rs->http_of));
    rs->functions = arena_array(&rs->arena, n_functions, sizeof(*rs->functions));
    rs->buckets = arena_array(&rs->arena, rs->n_buckets, sizeof(*rs->buckets));
    if (rs->http == NULL || rs->http_of == NULL || rs->functions == NULL || rs->buckets == NULL) {
        return -ENOMEM;
    }
    for (uint32_t number = 0; number < rs->n_buckets; number++) {
        int r = build_bucket(b, number);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The lowest rules of the kinds that are looked for at a price. */
static void find_lowest(struct ruleset *rs)
{
    rs->group_min = rs->place_min = rs->http_min = rs->when_min = RULE_NONE;
    for (uint32_t i = rs->n_rules; i-- > 0;) {
        rs->http_min = rs->rules[i].http != NULL ? i : rs->http_min;
        rs->when_min = rs->rules[i].when != 0 ? i : rs->when_min;
        if (rs->rules[i].destination.kind == LN_DEST_GROUP) {
            rs->group_min = i;
        } else if (is_by_place(&rs->rules[i])) {
            rs->place_min = i;
        }
    }
}

/* The map of the rules by name that refuse egress TCP: those about requests, or the others. */
static int build_refusing(struct build *b, bool http, uint32_t *ret_map)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->rs->n_rules; i++) {
        const ln_rule *rule = &b->rs->rules[i];
        if (rule_is_by_name(rule) && rule->action != LN_ALLOW && (rule->http != NULL) == http &&
            (classes_of(rule) >> class_of(LN_EGRESS, LN_TCP) & 1) != 0) {
            b->picked[count++] = i;
        }
    }
    return port_builder_add(&b->ports, b->rs->rules, b->picked, count, ret_map);
}

static int build(struct build *b, struct hash_key key)
{
    find_lowest(b->rs);
    int r = assign_buckets(b, key);
    r = r < 0 ? r : gather_members(b);
    r = r < 0 ? r : build_buckets(b);
    r = r < 0 ? r : build_refusing(b, false, &b->rs->closed_by_name);
    r = r < 0 ? r : build_refusing(b, true, &b->rs->judged_by_name);
    return r < 0 ? r : port_builder_freeze(&b->ports, &b->rs->arena, &b->rs->ports);
}

int ruleset_compile(struct ruleset *rs, const ln_rule *rules, size_t n_rules, struct hash_key key)
{
    if (n_rules >= RULE_NONE / 2) {
        return -ENOMEM;
    }
    rs->rules = rules;
    rs->n_rules = (uint32_t)n_rules;
    struct build b = {.rs = rs};
    int r = build(&b, key);
    port_builder_free(&b.ports);
    arena_free(&b.scratch);
    if (r < 0) {
        ruleset_free(rs);
    }
    return r;
}
