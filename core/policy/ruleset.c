/* Searching the compiled tables. */
#include "policy/ruleset.h"

bool rule_has_port(const ln_rule *rule, ln_protocol protocol, uint16_t port)
{
    if (rule->n_ports == 0) {
        return true;
    }
    if (protocol != LN_TCP && protocol != LN_UDP) {
        return false;
    }
    size_t i = 0;
    while (i < rule->n_ports && rule->ports[i].last < port) {
        i++;
    }
    return i < rule->n_ports && rule->ports[i].first <= port;
}

bool rule_decides_answer(const ln_rule *rule)
{
    if (!rule_has_direction(rule, LN_EGRESS) || rule->destination.kind == LN_DEST_ANY) {
        return false;
    }
    if (rule_is_by_name(rule)) {
        return rule_is_fixed(rule) || rule->action == LN_ALLOW;
    }
    return rule_is_fixed(rule) && rule->n_ports == 0 &&
           (rule->protocols & (LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP))) != 0;
}

static void search_fixed(const struct ruleset *rs, const struct bucket *bucket,
                         struct search *search)
{
    uint8_t map = bucket->map[class_of(search->direction, search->protocol)];
    if (map != CLASS_NONE) {
        uint32_t rule = port_table_find(&rs->ports, bucket->first_map + map, search->port);
        search->best = rule < search->best ? rule : search->best;
    }
}

/* The first of the ascending numbers that is not below `from`, or `n`. */
static uint32_t lower_bound(const uint32_t *numbers, uint32_t n, uint32_t from)
{
    uint32_t low = 0;
    while (low < n) {
        uint32_t middle = low + (n - low) / 2;
        if (numbers[middle] < from) {
            low = middle + 1;
        } else {
            n = middle;
        }
    }
    return low;
}

static void search_functions(const struct ruleset *rs, const struct bucket *bucket,
                             struct search *search)
{
    const uint32_t *functions = rs->functions + bucket->first_function;
    uint32_t n = bucket->n_functions;
    for (uint32_t i = lower_bound(functions, n, search->from); i < n && functions[i] < search->best;
         i++) {
        const ln_rule *rule = &rs->rules[functions[i]];
        if (rule_has_direction(rule, search->direction) &&
            rule_has_protocol(rule, search->protocol) &&
            rule_has_port(rule, search->protocol, search->port)) {
            search->best = functions[i];
        }
    }
}

/* ---- rules about requests ---- */

static bool is_of_requests(const struct search *search)
{
    return search->direction == LN_EGRESS && search->protocol == LN_TCP;
}

/* Whether the search wants a rule about requests, the request aside; `user` is the search. */
static bool is_wanted(const void *user, const ln_rule *rule, uint32_t number)
{
    const struct search *search = user;
    return (search->kind == SEARCH_FUNCTIONS ? rule->when != 0 && number >= search->from
                                             : rule->when == 0) &&
           rule_has_port(rule, search->protocol, search->port);
}

/* Of the request that is judged. */
static void search_requests(const struct ruleset *rs, uint32_t number, struct search *search)
{
    uint32_t http = rs->http_of[number];
    if (http == BUCKET_NONE || !is_of_requests(search)) {
        return;
    }
    for (int side = HTTP_ALLOW; side < HTTP_SIDES; side++) {
        search->best = http_index_find(&rs->http[http].index[side], rs->rules, search->facts,
                                       search->best, is_wanted, search);
    }
}

/* Of any. There are such rules. */
static void search_side(const struct ruleset *rs, uint32_t number, enum http_side side,
                        struct search *search)
{
    uint32_t http = rs->http_of[number];
    if (http != BUCKET_NONE && is_of_requests(search)) {
        uint32_t rule = port_table_find(&rs->ports, rs->http[http].map[side], search->port);
        search->best = rule < search->best ? rule : search->best;
    }
}

/* ---- buckets ---- */

/* All but SEARCH_FIXED: apart, so that what is searched most saves no registers for the others. */
static __attribute__((noinline)) void search_special(const struct ruleset *rs, uint32_t number,
                                                     struct search *search)
{
    const struct bucket *bucket = &rs->buckets[number];
    switch (search->kind) {
    case SEARCH_FIXED:
        break;
    case SEARCH_REQUEST:
        search_fixed(rs, bucket, search);
        search_requests(rs, number, search);
        break;
    case SEARCH_FUNCTIONS:
        search_functions(rs, bucket, search);
        if (search->facts != NULL) {
            search_requests(rs, number, search);
        }
        break;
    case SEARCH_HTTP_ALLOW:
        search_side(rs, number, HTTP_ALLOW, search);
        break;
    case SEARCH_HTTP_REFUSE:
        search_side(rs, number, HTTP_REFUSE, search);
        break;
    case SEARCH_ANSWER:
        search->best = bucket->answer_rule < search->best ? bucket->answer_rule : search->best;
        break;
    }
}

static void search_bucket(const struct ruleset *rs, uint32_t number, struct search *search)
{
    const struct bucket *bucket = &rs->buckets[number];
    if (bucket->min_rule >= search->best) {
        return;
    }
    if (search->kind == SEARCH_FIXED) {
        search_fixed(rs, bucket, search);
    } else {
        search_special(rs, number, search);
    }
}

void ruleset_search_any(const struct ruleset *rs, struct search *search)
{
    search_bucket(rs, BUCKET_ANY, search);
}

void ruleset_search_group(const struct ruleset *rs, ln_group group, struct search *search)
{
    search_bucket(rs, (uint32_t)BUCKET_GROUP_0 + (uint32_t)group, search);
}

void ruleset_search_prefixes(const struct ruleset *rs, const ln_addr *addr, struct search *search)
{
    uint32_t prefix = prefix_map_find(&rs->prefixes, addr);
    uint32_t number = prefix == PREFIX_NONE ? BUCKET_NONE : BUCKET_PREFIX_0 + prefix;
    while (number != BUCKET_NONE && rs->buckets[number].chain_min < search->best) {
        search_bucket(rs, number, search);
        number = rs->buckets[number].parent;
    }
}

/* Whether the search looks for the rule, destination aside. */
static bool is_sought(const ln_rule *rule, uint32_t number, const struct search *search)
{
    bool in_place = rule_has_direction(rule, search->direction) &&
                    rule_has_protocol(rule, search->protocol) &&
                    rule_has_port(rule, search->protocol, search->port);
    bool matches = rule->http == NULL ||
                   (search->facts != NULL && http_miss(rule, search->facts) == LN_MATCHED);
    switch (search->kind) {
    case SEARCH_FIXED:
    case SEARCH_REQUEST:
        return in_place && rule->when == 0 && matches;
    case SEARCH_FUNCTIONS:
        return in_place && rule->when != 0 && number >= search->from && matches;
    case SEARCH_HTTP_ALLOW:
    case SEARCH_HTTP_REFUSE:
        return in_place && rule->http != NULL &&
               (rule->action == LN_ALLOW) == (search->kind == SEARCH_HTTP_ALLOW);
    case SEARCH_ANSWER:
        break;
    }
    return rule_decides_answer(rule);
}

void ruleset_search_gateway(const struct ruleset *rs, const ln_addr *addr, struct search *search)
{
    struct search any = *search;
    ruleset_search_prefixes(rs, addr, &any);
    for (uint32_t i = any.best; i < search->best && i < rs->n_rules; i++) {
        const ln_rule *rule = &rs->rules[i];
        if (rule->destination.kind == LN_DEST_PREFIX &&
            ln_prefix_contains(&rule->destination.prefix, addr) &&
            !rule_spares_gateway(rule, search->direction) && is_sought(rule, i, search)) {
            search->best = i;
        }
    }
}

static uint32_t bucket_of_asn(const struct ruleset *rs, uint32_t asn)
{
    uint32_t low = 0;
    uint32_t high = rs->n_asns;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rs->asns[middle].asn < asn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < rs->n_asns && rs->asns[low].asn == asn ? rs->asns[low].bucket : BUCKET_NONE;
}

void ruleset_search_place(const struct ruleset *rs, const struct geo_place *place,
                          struct search *search)
{
    if (rs->place_min >= search->best) {
        return;
    }
    const uint32_t numbers[] = {
        place->country == GEO_NONE ? BUCKET_NONE : rs->countries[place->country],
        place->continent == GEO_NONE ? BUCKET_NONE : rs->continents[place->continent],
        bucket_of_asn(rs, place->asn),
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        if (numbers[i] != BUCKET_NONE) {
            search_bucket(rs, numbers[i], search);
        }
    }
}

static void search_entry(const struct ruleset *rs, const struct name_entry *entry,
                         enum name_use allow, enum name_use deny, unsigned sides,
                         struct search *search)
{
    if ((sides & SIDE_ALLOW) != 0 && entry->bucket[allow] != BUCKET_NONE) {
        search_bucket(rs, entry->bucket[allow], search);
    }
    if ((sides & SIDE_DENY) != 0 && entry->bucket[deny] != BUCKET_NONE) {
        search_bucket(rs, entry->bucket[deny], search);
    }
}

void ruleset_search_name(const struct ruleset *rs, const char *name, size_t len, unsigned sides,
                         struct search *search)
{
    const struct name_entry *entry = name_map_find(&rs->names, name, len);
    if (entry != NULL) {
        search_entry(rs, entry, NAME_EXACT_ALLOW, NAME_EXACT_DENY, sides, search);
    }
    struct name_walk walk = name_walk_start(&rs->names, name, len);
    while ((entry = name_walk_next(&walk)) != NULL) {
        search_entry(rs, entry, NAME_BELOW_ALLOW, NAME_BELOW_DENY, sides, search);
    }
}

void ruleset_free(struct ruleset *rs)
{
    arena_free(&rs->arena);
    *rs = (struct ruleset){0};
}
