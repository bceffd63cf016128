/* An evaluator written from the text of the specification and for nothing but comparison: every
 * rule is asked in turn, nothing is compiled, and no code is shared with the real one. */
#ifndef TEST_POLICY_NAIVE_H
#define TEST_POLICY_NAIVE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lunette/policy.h"

enum { NAIVE_PINS = 24, NAIVE_HOSTS = 3, NAIVE_HANDLERS = 8 };

struct naive_pin {
    const char *name;
    ln_addr addr;
    uint64_t expires_ns;
};

/* Where the addresses of a range are registered; the last range that holds an address counts. */
struct naive_place {
    const char *range, *country, *continent;
    uint32_t asn;
};

static const struct naive_place NAIVE_PLACES[] = {
    {"8.8.8.8/32", "US", "NA", 1},      {"203.0.113.0/24", "DE", "EU", 2},
    {"203.0.113.2/32", "FR", "EU", 3},  {"2001:db8::/64", "DE", "EU", 2},
    {"2001:db8::1/128", "JP", "AS", 4},
};
enum { NAIVE_N_PLACES = sizeof(NAIVE_PLACES) / sizeof(*NAIVE_PLACES) };

/* Everything that a verdict can depend on. */
struct naive_world {
    ln_rule *rules;
    uint32_t n_rules;
    ln_settings settings;
    struct naive_pin pins[NAIVE_PINS];
    uint32_t n_pins;
    ln_addr hosts[NAIVE_HOSTS];
    uint32_t n_hosts;         /* the first is the gateway's */
    int when[NAIVE_HANDLERS]; /* what each function says: 1, 0, -1 */
    int on_connect;           /* likewise: 1, 0, -1 */
    ln_action on_connect_action;
};

/* ---- addresses ---- */

static inline bool naive_in(const ln_addr *addr, const ln_addr *net, unsigned bits)
{
    unsigned rest = bits % 8;
    return memcmp(addr->bytes, net->bytes, bits / 8) == 0 &&
           (rest == 0 || addr->bytes[bits / 8] >> (8 - rest) == net->bytes[bits / 8] >> (8 - rest));
}

static inline bool naive_is_v4(const ln_addr *addr)
{
    static const ln_addr mapped = {{[10] = 0xff, [11] = 0xff}};
    return naive_in(addr, &mapped, 96);
}

/* "IPv4-mapped IPv6 is IPv4": a prefix of one family holds no address of the other. */
static inline bool naive_in_prefix(const ln_addr *addr, const ln_prefix *prefix)
{
    bool v4 = prefix->bits >= 96 && naive_is_v4(&prefix->addr);
    return v4 == naive_is_v4(addr) && naive_in(addr, &prefix->addr, prefix->bits);
}

/* "10.0.0.0/8" or "fc00::/7". */
static inline bool naive_in_text(const ln_addr *addr, const char *text)
{
    const char *slash = strchr(text, '/');
    ln_addr net;
    if (ln_addr_parse(text, (size_t)(slash - text), &net) != 0) {
        abort();
    }
    unsigned bits = (unsigned)atoi(slash + 1) + (strchr(text, ':') == NULL ? 96 : 0);
    return naive_in(addr, &net, bits);
}

static inline bool naive_in_any(const ln_addr *addr, const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        if (naive_in_text(addr, *texts)) {
            return true;
        }
    }
    return false;
}

/* "IPv4-mapped IPv6 is IPv4; a NAT64, 6to4 or IPv4-compatible address …": the IPv4 address inside.
 */
static inline bool naive_embedded(const ln_addr *addr, ln_addr *ret)
{
    size_t at = 0;
    if (naive_in_text(addr, "64:ff9b::/96") || naive_in_text(addr, "::/96")) {
        at = 12;
    } else if (naive_in_text(addr, "2002::/16")) {
        at = 2;
    } else {
        return false;
    }
    memset(ret, 0, sizeof(*ret));
    ret->bytes[10] = ret->bytes[11] = 0xff;
    memcpy(ret->bytes + 12, addr->bytes + at, 4);
    return true;
}

static inline bool naive_is_host(const struct naive_world *w, const ln_addr *addr)
{
    for (uint32_t i = 0; i < w->n_hosts; i++) {
        if (naive_in(addr, &w->hosts[i], 128)) {
            return true;
        }
    }
    return false;
}

/* "With a `host` allow, gateway:PORT dials the host's 127.0.0.1": a network is none. */
static inline bool naive_spares_gateway(const struct naive_world *w, const ln_rule *rule,
                                        const ln_addr *addr)
{
    return rule->action == LN_ALLOW && rule->destination.kind == LN_DEST_PREFIX &&
           rule->destination.prefix.bits != 128 && w->n_hosts > 0 &&
           naive_in(addr, &w->hosts[0], 128);
}

static inline ln_group naive_group(const struct naive_world *w, const ln_addr *addr)
{
    static const char *const metadata[] = {"169.254.169.254/32", "169.254.170.2/32",
                                           "100.100.100.200/32", "fd00:ec2::254/128", NULL};
    static const char *const private[] = {"10.0.0.0/8",    "172.16.0.0/12", "192.168.0.0/16",
                                          "100.64.0.0/10", "fc00::/7",      NULL};
    static const char *const loopback[] = {"127.0.0.0/8", "::1/128", NULL};
    static const char *const link_local[] = {"169.254.0.0/16", "fe80::/10", NULL};
    static const char *const multicast[] = {"224.0.0.0/4", "ff00::/8", NULL};
    ln_addr inner;
    bool embeds = naive_embedded(addr, &inner);
    if (naive_is_host(w, addr) || (embeds && naive_is_host(w, &inner))) {
        return LN_GROUP_HOST;
    }
    if (naive_in_any(addr, metadata)) {
        return LN_GROUP_METADATA;
    }
    if (naive_in_any(addr, private)) {
        return LN_GROUP_PRIVATE;
    }
    if (naive_in_any(addr, loopback)) {
        return LN_GROUP_LOOPBACK;
    }
    if (naive_in_any(addr, link_local)) {
        return LN_GROUP_LINK_LOCAL;
    }
    if (naive_in_any(addr, multicast)) {
        return LN_GROUP_MULTICAST;
    }
    return embeds ? naive_group(w, &inner) : LN_GROUP_PUBLIC;
}

static inline bool naive_is_never(const ln_addr *addr)
{
    static const char *const never[] = {"0.0.0.0/8", "127.0.0.0/8", "240.0.0.0/4",
                                        "::/128",    "::1/128",     NULL};
    ln_addr inner;
    return naive_in_any(addr, never) ||
           (naive_embedded(addr, &inner) && naive_in_any(&inner, never));
}

static inline bool naive_is_reserved(const ln_addr *addr)
{
    static const char *const reserved[] = {"0.0.0.0/8",     "192.0.0.0/24",   "192.88.99.0/24",
                                           "198.18.0.0/15", "240.0.0.0/4",    "fec0::/10",
                                           "100::/64",      "64:ff9b:1::/48", NULL};
    ln_addr inner;
    return naive_in_any(addr, reserved) ||
           (naive_embedded(addr, &inner) && naive_in_any(&inner, reserved));
}

/* Whether the address is registered there. */
static inline bool naive_is_placed(const ln_addr *addr, const ln_destination *d)
{
    if (d->kind != LN_DEST_COUNTRY && d->kind != LN_DEST_CONTINENT && d->kind != LN_DEST_ASN) {
        return false;
    }
    ln_addr inner;
    if (naive_embedded(addr, &inner)) {
        addr = &inner;
    }
    const struct naive_place *place = NULL;
    for (size_t i = 0; i < NAIVE_N_PLACES; i++) {
        place = naive_in_text(addr, NAIVE_PLACES[i].range) ? &NAIVE_PLACES[i] : place;
    }
    return place != NULL &&
           ((d->kind == LN_DEST_COUNTRY && strcmp(place->country, d->name) == 0) ||
            (d->kind == LN_DEST_CONTINENT && strcmp(place->continent, d->name) == 0) ||
            (d->kind == LN_DEST_ASN && place->asn == d->asn));
}

/* ---- names ---- */

static inline bool naive_is_by_name(const ln_rule *rule)
{
    return rule->destination.kind == LN_DEST_DOMAIN || rule->destination.kind == LN_DEST_SUFFIX;
}

static inline bool naive_names(const ln_rule *rule, const char *name)
{
    if (rule->destination.kind == LN_DEST_DOMAIN) {
        return strcmp(rule->destination.name, name) == 0;
    }
    for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        if (dot != name && strcmp(dot + 1, rule->destination.name) == 0) {
            return true;
        }
    }
    return false;
}

static inline bool naive_is_pinned(const struct naive_world *w, const ln_query *q, const char *name)
{
    for (uint32_t i = 0; i < w->n_pins; i++) {
        if (strcmp(w->pins[i].name, name) == 0 && naive_in(&q->address, &w->pins[i].addr, 128) &&
            w->pins[i].expires_ns > q->now_ns) {
            return true;
        }
    }
    return false;
}

static inline bool naive_names_a_pin(const struct naive_world *w, const ln_query *q,
                                     const ln_rule *rule)
{
    for (uint32_t i = 0; i < w->n_pins; i++) {
        if (naive_names(rule, w->pins[i].name) && naive_is_pinned(w, q, w->pins[i].name)) {
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

/* A path, as a table that was filled by hand from what RFC 3986 and servers make of it. */
struct naive_path {
    const char *sent;
    const char *readings[2];
    const char *certain; /* not NULL: ambiguous, and its readings start so */
};

static const struct naive_path NAIVE_PATHS[] = {
    {"/", {"/"}, NULL},
    {"/a", {"/a"}, NULL},
    {"/a/", {"/a/"}, NULL},
    {"/A", {"/A"}, NULL},
    {"/a/b?/b/c", {"/a/b"}, NULL},
    {"/%61/%62", {"/a/b"}, NULL},
    {"/a/b/c", {"/a/b/c"}, NULL},
    {"/b/c", {"/b/c"}, NULL},
    {"/a/../b/c", {"/a/../b/c", "/b/c"}, NULL},
    {"/a/%2E%2e/b", {"/a/../b", "/b"}, NULL},
    {"/a/./b", {"/a/./b", "/a/b"}, NULL},
    {"/b/..", {"/b/..", "/"}, NULL},
    {"/a//b", {NULL}, "/a/"},
    {"//a/b", {NULL}, "/"},
    {"/a/b%2fc", {NULL}, "/a/"},
    {"/a/b;c", {NULL}, "/a/"},
    {"/b\\c", {NULL}, "/"},
    {"/b/..;/a", {NULL}, "/"},
    {"/a/%252e%252e/b", {NULL}, "/"},
    {"/b/c%zz", {NULL}, "/"},
    {"*", {NULL}, ""},
};
enum { NAIVE_N_PATHS = sizeof(NAIVE_PATHS) / sizeof(*NAIVE_PATHS), NAIVE_FIELDS = 3 };

struct naive_request {
    const char *method;
    const struct naive_path *path;
    const char *fields[NAIVE_FIELDS][2];
    size_t n_fields;
};

/* "*" stands for any run of characters. */
static inline bool naive_glob(const char *pattern, const char *text)
{
    if (*pattern == '*') {
        return naive_glob(pattern + 1, text) || (*text != '\0' && naive_glob(pattern, text + 1));
    }
    return *pattern == *text && (*text == '\0' || naive_glob(pattern + 1, text + 1));
}

/* The same, as rules that refuse see it: whatever the case, and a slash at the end aside. */
static inline bool naive_glob_loose(const char *pattern, const char *text, bool path)
{
    char a[64];
    char b[64];
    size_t n = 0;
    for (; pattern[n] != '\0'; n++) {
        a[n] = (char)(pattern[n] >= 'A' && pattern[n] <= 'Z' ? pattern[n] + 32 : pattern[n]);
    }
    a[path && n > 1 && a[n - 1] == '/' ? n - 1 : n] = '\0';
    for (n = 0; text[n] != '\0'; n++) {
        b[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + 32 : text[n]);
    }
    b[n] = '\0';
    bool matches = naive_glob(a, b);
    if (path && n > 1 && b[n - 1] == '/') {
        b[n - 1] = '\0';
        matches |= naive_glob(a, b);
    }
    return matches;
}

static inline bool naive_has_method(const ln_http_match *match, const char *method, bool loose)
{
    bool has = false;
    for (size_t i = 0; i < match->n_methods; i++) {
        has |= loose ? naive_glob_loose(match->methods[i], method, false)
                     : strcmp(match->methods[i], method) == 0;
    }
    return has;
}

/* "-" or "_", whatever the case. */
static inline bool naive_is_field(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        bool same = (*a == '-' || *a == '_') ? (*b == '-' || *b == '_') : (*a | 32) == (*b | 32);
        if (!same) {
            return false;
        }
    }
    return *a == *b;
}

static inline ln_miss naive_path_miss(const ln_http_match *match, const struct naive_path *path,
                                      bool allow)
{
    if (path->certain != NULL && allow) {
        return strcmp(match->path, "/*") == 0 && path->certain[0] == '/' ? LN_MATCHED
                                                                         : LN_MISS_PATH_AMBIGUOUS;
    }
    if (path->certain != NULL) {
        char some[64]; /* a pattern of all that starts so, against the rule's own start */
        size_t n = strcspn(match->path, "*");
        n -= match->path[n] == '\0' && n > 1 && match->path[n - 1] == '/';
        size_t certain = strlen(path->certain);
        n = n < certain ? n : certain;
        memcpy(some, match->path, n);
        some[n] = '*';
        some[n + 1] = '\0';
        return naive_glob_loose(some, path->certain, false) ? LN_MATCHED : LN_MISS_PATH;
    }
    bool all = true;
    bool any = false;
    for (int i = 0; i < 2 && path->readings[i] != NULL; i++) {
        all &= naive_glob(match->path, path->readings[i]);
        any |= naive_glob_loose(match->path, path->readings[i], true);
    }
    return (allow ? all : any) ? LN_MATCHED : LN_MISS_PATH;
}

static inline ln_miss naive_request_miss(const ln_rule *rule, const struct naive_request *request)
{
    const ln_http_match *match = rule->http;
    bool allow = rule->action == LN_ALLOW;
    bool all = naive_has_method(match, request->method, false);
    bool any = naive_has_method(match, request->method, true);
    for (size_t i = 0; i < request->n_fields; i++) {
        if (naive_is_field(request->fields[i][0], "x-http-method-override")) {
            all &= naive_has_method(match, request->fields[i][1], false);
            any |= naive_has_method(match, request->fields[i][1], true);
        }
    }
    if (match->n_methods > 0 && !(allow ? all : any)) {
        return LN_MISS_METHOD;
    }
    if (match->path != NULL) {
        ln_miss miss = naive_path_miss(match, request->path, allow);
        if (miss != LN_MATCHED) {
            return miss;
        }
    }
    for (size_t k = 0; k < match->n_headers; k++) {
        bool present = false;
        all = true;
        any = false;
        for (size_t i = 0; i < request->n_fields; i++) {
            if (naive_is_field(request->fields[i][0], match->headers[k].name)) {
                present |= strchr(request->fields[i][0], '_') == NULL;
                all &= naive_glob(match->headers[k].value, request->fields[i][1]);
                any |= naive_glob_loose(match->headers[k].value, request->fields[i][1], false);
            }
        }
        if (!(allow ? present && all : any)) {
            return LN_MISS_HEADER;
        }
    }
    return LN_MATCHED;
}

/* "while it is not [known], nothing is known of requests". */
static inline ln_http_state naive_http(const ln_query *q)
{
    return q->name_state == LN_NAME_UNKNOWN ? LN_HTTP_UNKNOWN : q->http_state;
}

static inline ln_miss naive_http_miss(const ln_query *q, const ln_rule *rule)
{
    if (naive_http(q) != LN_HTTP_REQUEST) {
        return naive_http(q) == LN_HTTP_NONE ? LN_MISS_HTTP_NONE : LN_MISS_HTTP_UNKNOWN;
    }
    return naive_request_miss(rule, q->request->user);
}

/* ---- rules ---- */

/* "a rule counts if its direction fits and protocol, port and destination match"; its function is
 * not asked here. `shown` is the name shown or NULL. */
static inline ln_miss naive_static_miss(const struct naive_world *w, const ln_query *q,
                                        const char *shown, const ln_rule *rule)
{
    if ((rule->directions >> q->direction & 1) == 0) {
        return LN_MISS_DIRECTION;
    }
    if ((rule->protocols >> q->protocol & 1) == 0) {
        return LN_MISS_PROTOCOL;
    }
    if (rule->n_ports > 0) {
        bool inside = false;
        for (size_t i = 0; i < rule->n_ports; i++) {
            inside |= rule->ports[i].first <= q->port && q->port <= rule->ports[i].last;
        }
        if (q->protocol == LN_ICMPV4 || q->protocol == LN_ICMPV6 || !inside) {
            return LN_MISS_PORT;
        }
    }
    if (!naive_is_by_name(rule)) {
        const ln_destination *d = &rule->destination;
        bool matches = d->kind == LN_DEST_ANY || naive_is_placed(&q->address, d) ||
                       (d->kind == LN_DEST_GROUP && naive_group(w, &q->address) == d->group) ||
                       (d->kind == LN_DEST_PREFIX && naive_in_prefix(&q->address, &d->prefix));
        if (matches && q->direction == LN_EGRESS && naive_spares_gateway(w, rule, &q->address)) {
            return LN_MISS_GATEWAY;
        }
        return matches ? LN_MATCHED : LN_MISS_DESTINATION;
    }
    if (shown == NULL) { /* "the pins decide" */
        return naive_names_a_pin(w, q, rule) ? LN_MATCHED : LN_MISS_NOT_RESOLVED;
    }
    bool named = naive_names(rule, shown);
    bool pinned = naive_is_pinned(w, q, shown);
    if (rule->action == LN_ALLOW) { /* pinned to this address and shown */
        return named && pinned ? LN_MATCHED : named ? LN_MISS_NOT_RESOLVED : LN_MISS_NAME;
    }
    /* Refused on the shown name alone, and by pin when none shows; one that is not pinned shows
     * nothing but a claim. */
    bool refused = named || (!pinned && naive_names_a_pin(w, q, rule));
    return refused ? LN_MATCHED : LN_MISS_NAME;
}

static inline ln_miss naive_miss(const struct naive_world *w, const ln_query *q, const char *shown,
                                 const ln_rule *rule)
{
    ln_miss miss = naive_static_miss(w, q, shown, rule);
    return miss == LN_MATCHED && rule->http != NULL ? naive_http_miss(q, rule) : miss;
}

static inline ln_action naive_default(const struct naive_world *w, ln_direction direction)
{
    return direction == LN_EGRESS ? w->settings.default_egress : w->settings.default_ingress;
}

static inline ln_decision naive_verdict(ln_action action, uint32_t rule, ln_reason reason)
{
    return (ln_decision){.action = action, .rule = rule, .reason = reason};
}

static inline ln_decision naive_by_rule(const struct naive_world *w, uint32_t i)
{
    return naive_verdict(w->rules[i].action, i + 1,
                         w->rules[i].deny_list ? LN_REASON_DENY_DOMAIN : LN_REASON_RULE);
}

/* The first rules about requests that may match, from 1 on: one that allows, one that refuses. */
struct naive_maybes {
    uint32_t allow, refuse;
};

static inline void naive_note(const struct naive_world *w, uint32_t i, struct naive_maybes *maybes)
{
    uint32_t *first = w->rules[i].action == LN_ALLOW ? &maybes->allow : &maybes->refuse;
    *first = *first == 0 ? i + 1 : *first;
}

/* The table "Rules about requests". */
static inline ln_decision naive_with_maybes(ln_decision d, struct naive_maybes maybes)
{
    if (d.action == LN_ALLOW) {
        d.inspect = maybes.refuse != 0;
        return d;
    }
    ln_decision let_in = naive_verdict(LN_ALLOW, maybes.allow, LN_REASON_RULE);
    let_in.inspect = true;
    return maybes.allow == 0 ? d : let_in;
}

/* The verdict with a name shown or none. */
static inline ln_decision naive_settled(const struct naive_world *w, const ln_query *q,
                                        const char *shown)
{
    bool connect_asked = w->settings.on_connect == 0;
    struct naive_maybes maybes = {0};
    for (uint32_t i = 0; i <= w->n_rules; i++) {
        if (!connect_asked && (i == w->n_rules || !w->rules[i].deny_list)) {
            connect_asked = true;
            if (w->on_connect < 0) {
                return naive_verdict(LN_DENY, 0, LN_REASON_HANDLER_ERROR);
            }
            if (w->on_connect > 0) {
                return naive_verdict(w->on_connect_action, 0, LN_REASON_ON_CONNECT);
            }
        }
        ln_miss miss = i == w->n_rules ? LN_MISS_PORT : naive_miss(w, q, shown, &w->rules[i]);
        if (miss == LN_MISS_HTTP_UNKNOWN) {
            naive_note(w, i, &maybes);
        }
        if (miss != LN_MATCHED) {
            continue;
        }
        int says = w->rules[i].when == 0 ? 1 : w->when[w->rules[i].when];
        if (says < 0) {
            return naive_with_maybes(naive_verdict(LN_DENY, i + 1, LN_REASON_HANDLER_ERROR),
                                     maybes);
        }
        if (says > 0) {
            return naive_with_maybes(naive_by_rule(w, i), maybes);
        }
    }
    return naive_with_maybes(naive_verdict(naive_default(w, q->direction), 0, LN_REASON_DEFAULT),
                             maybes);
}

/* Bit 0: the connection could be closed, bit 1: opened, bit 2: opened to be inspected. */
static inline unsigned naive_outcome(bool open, struct naive_maybes maybes)
{
    return (open ? maybes.refuse : maybes.allow) != 0 ? 4 : open ? 2 : 1;
}

/* The set of them, where functions may say anything. */
static inline unsigned naive_outcomes(const struct naive_world *w, const ln_query *q,
                                      const char *shown)
{
    unsigned outcomes = 0;
    struct naive_maybes maybes = {0};
    for (uint32_t i = 0; i < w->n_rules; i++) {
        const ln_rule *rule = &w->rules[i];
        if (w->settings.on_connect != 0 && !rule->deny_list) {
            return 3;
        }
        ln_miss miss = naive_miss(w, q, shown, rule);
        if (miss == LN_MISS_HTTP_UNKNOWN) {
            naive_note(w, i, &maybes);
        } else if (miss == LN_MATCHED) {
            outcomes |= naive_outcome(rule->action == LN_ALLOW, maybes);
            if (rule->when == 0) {
                return outcomes;
            }
            outcomes |= naive_outcome(false, maybes);
        }
    }
    return w->settings.on_connect != 0
               ? 3
               : outcomes | naive_outcome(naive_default(w, LN_EGRESS) == LN_ALLOW, maybes);
}

/* "The verdict hangs on the name": of the names that could be shown, some lead to another outcome.
 */
static inline bool naive_hangs(const struct naive_world *w, const ln_query *q)
{
    unsigned outcomes = naive_outcomes(w, q, NULL) | naive_outcomes(w, q, "a.stranger");
    for (uint32_t i = 0; i < w->n_pins; i++) {
        outcomes |= naive_outcomes(w, q, w->pins[i].name);
    }
    for (uint32_t i = 0; i < w->n_rules; i++) {
        if (naive_is_by_name(&w->rules[i])) {
            char below[LN_NAME_MAX + 16] = "stranger.";
            outcomes |= naive_outcomes(w, q, w->rules[i].destination.name);
            outcomes |= naive_outcomes(w, q, strcat(below, w->rules[i].destination.name));
        }
    }
    return (outcomes & (outcomes - 1)) != 0;
}

/* The name that counts: in ingress the peer shows the guest's name, not its own. */
static inline const char *naive_shown(const ln_query *q)
{
    return q->direction == LN_EGRESS && q->name_state == LN_NAME_SHOWN ? q->claimed : NULL;
}

static inline ln_decision naive_evaluate(const struct naive_world *w, const ln_query *q)
{
    if (q->direction == LN_EGRESS && naive_is_never(&q->address)) {
        return naive_verdict(LN_DENY, 0, LN_REASON_NEVER);
    }
    if (q->name_state == LN_NAME_UNKNOWN && q->direction == LN_EGRESS && q->protocol == LN_TCP &&
        naive_hangs(w, q)) {
        return naive_verdict(LN_DEFER, 0, LN_REASON_NAME_UNKNOWN);
    }
    return naive_settled(w, q, naive_shown(q));
}

/* ---- DNS ---- */

static inline ln_decision naive_dns(const struct naive_world *w, const char *name,
                                    ln_protocol transport)
{
    for (uint32_t i = 0; i < w->n_rules; i++) {
        const ln_rule *rule = &w->rules[i];
        if ((rule->directions >> LN_EGRESS & 1) == 0) {
            continue;
        }
        if (naive_is_by_name(rule)) {
            /* With a function: the connection is judged later, so an allow lets the name be asked
             * for, and a deny waits until then. */
            bool sure = rule->when == 0 && rule->http == NULL;
            if (naive_names(rule, name) && (sure || rule->action == LN_ALLOW)) {
                return naive_by_rule(w, i);
            }
            continue;
        }
        bool port = rule->n_ports == 0;
        for (size_t k = 0; k < rule->n_ports; k++) {
            port |= rule->ports[k].first <= 53 && 53 <= rule->ports[k].last;
        }
        bool everything = rule->destination.kind == LN_DEST_ANY;
        bool host =
            rule->destination.kind == LN_DEST_GROUP && rule->destination.group == LN_GROUP_HOST;
        if ((everything || host) && port && rule->http == NULL &&
            (rule->protocols >> transport & 1) != 0) {
            int says = rule->when == 0 ? 1 : w->when[rule->when];
            if (says < 0) {
                return naive_verdict(LN_DENY, i + 1, LN_REASON_HANDLER_ERROR);
            }
            if (says > 0) {
                return naive_by_rule(w, i);
            }
        }
    }
    return naive_verdict(w->settings.default_egress, 0, LN_REASON_DEFAULT);
}

static inline ln_decision naive_alias(const struct naive_world *w, const char *name)
{
    for (uint32_t i = 0; i < w->n_rules; i++) {
        const ln_rule *rule = &w->rules[i];
        if ((rule->directions >> LN_EGRESS & 1) != 0 && naive_is_by_name(rule) &&
            naive_names(rule, name) &&
            ((rule->when == 0 && rule->http == NULL) || rule->action == LN_ALLOW)) {
            return naive_by_rule(w, i);
        }
    }
    return naive_verdict(LN_ALLOW, 0, LN_REASON_DEFAULT);
}

static inline ln_decision naive_answer(const struct naive_world *w, const ln_addr *addr)
{
    ln_group group = naive_group(w, addr);
    if (!w->settings.dns_rebind_protection ||
        (group == LN_GROUP_PUBLIC && !naive_is_reserved(addr))) {
        return naive_verdict(LN_ALLOW, 0, LN_REASON_DEFAULT);
    }
    for (uint32_t i = 0; i < w->n_rules; i++) {
        const ln_rule *rule = &w->rules[i];
        const ln_destination *d = &rule->destination;
        bool explicit =
            (d->kind == LN_DEST_GROUP && d->group == group && d->group != LN_GROUP_PUBLIC) ||
            (d->kind == LN_DEST_PREFIX && naive_in_prefix(addr, &d->prefix) &&
             !naive_spares_gateway(w, rule, addr));
        bool covers = (rule->protocols & (LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP))) != 0;
        if (explicit && covers && rule->n_ports == 0 && rule->when == 0 && rule->http == NULL &&
            (rule->directions >> LN_EGRESS & 1) != 0) {
            return rule->action == LN_ALLOW ? naive_verdict(LN_ALLOW, i + 1, LN_REASON_RULE)
                                            : naive_verdict(LN_DENY, i + 1, LN_REASON_REBIND);
        }
    }
    return naive_verdict(LN_DENY, 0, LN_REASON_REBIND);
}

#endif
