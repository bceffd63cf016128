/* From events to a policy.
 *
 * Theory of operation. Events are gathered into entries: one for each peer, protocol, port and name
 * shown, and one for each name asked for. A flow counts when it closes, for then its name and bytes
 * are known; what its address was resolved from is noted when it opens.
 *
 * To write the policy each entry becomes a row that says which destination would be allowed: the
 * name that the client showed, where it was resolved to that address, since else no rule by name
 * can match; or, without one, a name that the address was resolved from; else the address. The
 * gateway's own is the group `host`, for no name opens it. Rows are sorted, and those of one
 * destination are one rule. */
#include "cli/observe.h"

#include <errno.h>
#include <inttypes.h>
#include <libpsl.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/host.h"
#include "base/text.h"

enum {
    ENTRIES_MAX = 8192,
    BUCKETS = 8192,
    NAMES_MAX = 4096,
    ADDRESSES_MAX = 64, /* of a name */
    DISCARD_PORT = 9    /* RFC 863: a rule without a port would open all of them */
};

struct entry {
    struct entry *chain; /* in the bucket */
    bool is_lookup, ingress;
    ln_protocol protocol;
    uint16_t port;
    ln_addr peer;
    char *name;      /* shown, or asked for; NULL: none */
    char *resolved;  /* a name that the peer's address was resolved from; NULL: none */
    bool bare;       /* it was from none, once at least */
    char reason[24]; /* of the last refusal */
    uint64_t first_ms, allowed, refused, bytes_out, bytes_in;
};

struct observer {
    struct entry *buckets[BUCKETS];
    struct entry **entries; /* in the order of their first event */
    size_t n_entries;
    uint64_t left_out; /* events for which there was no room */
    uint64_t start_ms;
    struct hash_key key;
    ln_pins *pins; /* for ever: which address was resolved from which name */
    ln_addr gateway4, gateway6;
};

int observer_new(const ln_link *link, struct observer **ret)
{
    uint8_t key[16];
    host_services_system.random(NULL, key, sizeof(key));
    struct observer *observer = calloc(1, sizeof(*observer));
    if (observer == NULL) {
        return -ENOMEM;
    }
    *observer = (struct observer){
        .key = hash_key_from(key), .gateway4 = link->gateway4, .gateway6 = link->gateway6};
    observer->pins = ln_pins_new(NAMES_MAX, ADDRESSES_MAX, key);
    observer->entries = calloc(ENTRIES_MAX, sizeof(struct entry *));
    if (observer->pins == NULL || observer->entries == NULL) {
        observer_free(observer);
        return -ENOMEM;
    }
    *ret = observer;
    return 0;
}

static void entry_free(struct entry *entry)
{
    free(entry->name);
    free(entry->resolved);
    free(entry);
}

struct observer *observer_free(struct observer *observer)
{
    if (observer != NULL) {
        for (size_t i = 0; i < observer->n_entries; i++) {
            entry_free(observer->entries[i]);
        }
        free(observer->entries);
        ln_pins_free(observer->pins);
        free(observer);
    }
    return NULL;
}

/* ---- entries ---- */

static bool same_name(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_subject(const struct entry *a, const struct entry *b)
{
    return a->is_lookup == b->is_lookup && a->ingress == b->ingress && a->protocol == b->protocol &&
           a->port == b->port && ln_addr_equal(&a->peer, &b->peer);
}

static struct entry **bucket_of(struct observer *observer, const struct entry *subject,
                                const char *name)
{
    uint64_t hash = hash_bytes(&observer->key, subject->peer.bytes, sizeof(subject->peer.bytes));
    if (name != NULL) {
        hash ^= hash_bytes(&observer->key, name, strlen(name));
    }
    return &observer->buckets[(hash ^ subject->port) % BUCKETS];
}

static struct entry *add(struct observer *observer, struct entry **bucket,
                         const struct entry *subject, const char *name)
{
    struct entry *entry = malloc(sizeof(*entry));
    char *copy = name == NULL ? NULL : strdup(name);
    if (observer->n_entries == ENTRIES_MAX || entry == NULL || (name != NULL && copy == NULL)) {
        free(entry);
        free(copy);
        observer->left_out++;
        return NULL;
    }
    *entry = *subject;
    entry->name = copy;
    entry->chain = *bucket;
    *bucket = entry;
    observer->entries[observer->n_entries++] = entry;
    return entry;
}

/* The entry about this, new where there is none; NULL where there is no room. The subject's
 * `first_ms` is the event's time. */
static struct entry *entry_for(struct observer *observer, const struct entry *subject,
                               const char *name)
{
    struct entry **bucket = bucket_of(observer, subject, name);
    struct entry *entry = *bucket;
    while (entry != NULL && !(same_subject(entry, subject) && same_name(entry->name, name))) {
        entry = entry->chain;
    }
    return entry != NULL ? entry : add(observer, bucket, subject, name);
}

/* ---- events ---- */

static ln_protocol protocol_of(const ln_event *event)
{
    ln_protocol protocol = LN_TCP;
    while (protocol < LN_ICMPV6 && strcmp(event->protocol, ln_protocol_name(protocol)) != 0) {
        protocol++;
    }
    return protocol;
}

static struct entry *flow_entry(struct observer *observer, const ln_event *event, bool shown)
{
    bool ingress = strcmp(event->direction, ln_direction_name(LN_INGRESS)) == 0;
    struct entry subject = {
        .ingress = ingress,
        .protocol = protocol_of(event),
        .port = event->port,
        .peer = ingress ? *event->src : *event->dst,
        .first_ms = event->time_ms,
    };
    return entry_for(observer, &subject, shown ? event->name : NULL);
}

static bool is_shown(const ln_event *event)
{
    return event->name != NULL && event->name_from != NULL &&
           strcmp(event->name_from, "shown") == 0;
}

static void note_refusal(struct entry *entry, const ln_event *event)
{
    if (entry != NULL) {
        struct text reason = text_of(entry->reason, sizeof(entry->reason));
        text_puts(&reason, event->reason != NULL ? event->reason : "");
        entry->refused++;
    }
}

/* What the peer's address is known by when the flow opens; `name` is NULL: by none. */
static void note_resolved(struct entry *entry, const char *name)
{
    if (entry == NULL) {
        return;
    }
    if (name == NULL) {
        entry->bare = true;
    } else if (entry->resolved == NULL) {
        entry->resolved = strdup(name);
    }
}

static struct entry *take_open(struct observer *observer, const ln_event *event)
{
    struct entry *entry = flow_entry(observer, event, is_shown(event));
    note_resolved(entry, event->name);
    return entry;
}

static void take_close(struct observer *observer, const ln_event *event)
{
    struct entry *entry = flow_entry(observer, event, event->name != NULL);
    if (entry != NULL) {
        entry->allowed++;
        entry->bytes_out += event->bytes_out;
        entry->bytes_in += event->bytes_in;
    }
}

static bool is_gateway(const struct observer *observer, const ln_addr *addr)
{
    return ln_addr_equal(addr, &observer->gateway4) || ln_addr_equal(addr, &observer->gateway6);
}

/* A resolver that is not the gateway is a peer like others. */
static void take_resolver(struct observer *observer, const ln_event *event, bool refused)
{
    if (is_gateway(observer, event->dst)) {
        return;
    }
    struct entry *entry = flow_entry(observer, event, false);
    const char *name = NULL;
    (void)ln_pins_names(observer->pins, event->dst, 0, &name, 1);
    note_resolved(entry, name);
    if (refused) {
        note_refusal(entry, event);
    } else if (entry != NULL) {
        entry->allowed++;
    }
}

static struct entry *lookup_entry(struct observer *observer, const ln_event *event)
{
    struct entry subject = {.is_lookup = true, .first_ms = event->time_ms};
    return event->name == NULL ? NULL : entry_for(observer, &subject, event->name);
}

static void take_query(struct observer *observer, const ln_event *event)
{
    struct entry *entry = lookup_entry(observer, event);
    if (entry != NULL) {
        entry->allowed++;
    }
    for (size_t i = 0; i < event->n_addresses; i++) {
        if (ln_pins_add(observer->pins, event->name, &event->addresses[i], 0, UINT64_MAX) < 0) {
            observer->left_out++;
        }
    }
    take_resolver(observer, event, false);
}

static void take_refused_query(struct observer *observer, const ln_event *event)
{
    note_refusal(lookup_entry(observer, event), event);
    if (event->reason != NULL && strcmp(event->reason, "resolver") == 0) {
        take_resolver(observer, event, true);
    }
}

void observer_take(struct observer *observer, const ln_event *event)
{
    if (observer->start_ms == 0) {
        observer->start_ms = event->time_ms;
    }
    switch (event->kind) {
    case LN_EVENT_FLOW_OPEN:
        (void)take_open(observer, event);
        break;
    case LN_EVENT_FLOW_CLOSE:
        take_close(observer, event);
        break;
    case LN_EVENT_FLOW_DENIED:
        note_refusal(take_open(observer, event), event);
        break;
    case LN_EVENT_DNS_QUERY:
        take_query(observer, event);
        break;
    case LN_EVENT_DNS_DENIED:
    case LN_EVENT_DNS_REBIND:
        take_refused_query(observer, event);
        break;
    case LN_EVENT_TLS_INTERCEPTED:
    case LN_EVENT_TLS_BYPASSED:
    case LN_EVENT_TLS_ERROR:
    case LN_EVENT_HTTP_REQUEST:
    case LN_EVENT_SECRET_USED:
    case LN_EVENT_SECRET_VIOLATION:
    case LN_EVENT_LIMIT:
    case LN_EVENT_DROP:
    case LN_EVENT_RELOAD:
    case LN_EVENT_HANDLER_ERROR:
    case LN_EVENT_KINDS:
        break;
    }
}

/* ---- rows ---- */

enum section { NAMES, ADDRESSES, INGRESS, REFUSED, HOPELESS };

/* A name's labels from the last to the first, each behind a byte that no name holds: siblings sort
 * beside each other, and parents before their children. */
typedef char name_order[LN_NAME_MAX + 2];

struct row {
    enum section section;
    const struct entry *entry;
    const char *name; /* of the destination; NULL: the peer's address */
    bool suffix;      /* all names below it */
    bool group;       /* it is a group's name */
    name_order order;
};

static void order_name(const char *name, name_order dst)
{
    size_t end = strlen(name);
    char *at = dst;
    while (end > 0) {
        size_t start = end;
        while (start > 0 && name[start - 1] != '.') {
            start--;
        }
        *at++ = '\1';
        at = mempcpy(at, name + start, end - start);
        end = start > 0 ? start - 1 : 0;
    }
    *at = '\0';
}

/* The name by which a rule could allow it, or NULL. */
static const char *name_of(const struct observer *observer, const struct entry *entry)
{
    const char *resolved = entry->bare ? NULL : entry->resolved;
    const char *name = entry->name != NULL ? entry->name : resolved;
    if (entry->is_lookup ||
        (name != NULL && !entry->ingress && ln_pins_has(observer->pins, name, &entry->peer, 0))) {
        return name;
    }
    return NULL;
}

/* Whether no rule can allow what was refused. */
static bool is_hopeless(const struct entry *entry)
{
    static const char *const reasons[] = {
        "never",
        "refused",
        "discovery",
        "formerr",
        "notimp",
        "badvers",
        "alias",
        "rebind",
        "first_flight_malformed",
        "first_flight_too_long",
    };
    if (entry->is_lookup && !ln_name_is_canonical(entry->name)) {
        return true;
    }
    for (size_t i = 0; entry->allowed == 0 && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (strcmp(entry->reason, reasons[i]) == 0) {
            return true;
        }
    }
    return false;
}

static struct row row_of(const struct observer *observer, const struct entry *entry)
{
    struct row row = {.entry = entry, .name = name_of(observer, entry)};
    row.group = !entry->is_lookup && is_gateway(observer, &entry->peer);
    row.name = row.group ? ln_group_name(LN_GROUP_HOST) : row.name;
    if (is_hopeless(entry)) {
        row.section = HOPELESS;
    } else if (entry->allowed == 0) {
        row.section = REFUSED;
    } else if (entry->ingress) {
        row.section = INGRESS;
    } else {
        row.section = row.name != NULL && !row.group ? NAMES : ADDRESSES;
    }
    if (row.name != NULL && row.section != HOPELESS) {
        order_name(row.name, row.order);
    }
    return row;
}

static int compare_destinations(const struct row *a, const struct row *b)
{
    int c = (int)a->section - (int)b->section;
    c = c != 0 ? c : strcmp(a->order, b->order);
    if (c == 0 && a->name == NULL && b->name == NULL) {
        c = ln_addr_compare(&a->entry->peer, &b->entry->peer);
    }
    return c != 0 ? c : (a->name != NULL) - (b->name != NULL);
}

static int compare_rows(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;
    int c = compare_destinations(a, b);
    c = c != 0 ? c : a->entry->is_lookup - b->entry->is_lookup;
    c = c != 0 ? c : (int)a->entry->protocol - (int)b->entry->protocol;
    c = c != 0 ? c : (int)a->entry->port - (int)b->entry->port;
    if (c == 0 && a->entry->name != NULL && b->entry->name != NULL) {
        c = strcmp(a->entry->name, b->entry->name);
    }
    return c;
}

/* ---- suffixes ---- */

/* How many names the rows from `at` on have at or below `domain`, which are beside each other. */
static size_t count_below(const struct row *rows, size_t n, const char *order, bool *ret_several)
{
    size_t len = strlen(order);
    size_t count = 0;
    *ret_several = false;
    while (count < n && rows[count].section == NAMES &&
           strncmp(rows[count].order, order, len) == 0 && rows[count].order[len] == '\1') {
        *ret_several |= strcmp(rows[count].order, rows[0].order) != 0;
        count++;
    }
    return count;
}

/* Puts a registrable domain's suffix in the place of names below it, where there are several. */
static void widen(struct row *rows, size_t n)
{
    const psl_ctx_t *psl = psl_builtin();
    for (size_t i = 0; i < n && rows[i].section == NAMES;) {
        const char *domain = psl == NULL ? NULL : psl_registrable_domain(psl, rows[i].name);
        name_order order;
        bool several = false;
        size_t count = 0;
        if (domain != NULL) {
            order_name(domain, order);
            count = count_below(&rows[i], n - i, order, &several);
        }
        for (size_t k = i; several && k < i + count; k++) {
            rows[k].name = domain;
            rows[k].suffix = true;
            memcpy(rows[k].order, order, sizeof(order));
            strcat(rows[k].order, "\1"); /* there was at least as much behind it */
        }
        i += count > 0 ? count : 1;
    }
}

/* ---- writing ---- */

struct totals {
    uint64_t flows, lookups, refused, bytes_out, bytes_in, first_ms;
};

static struct totals totals_of(const struct row *rows, size_t n)
{
    struct totals totals = {.first_ms = UINT64_MAX};
    for (size_t i = 0; i < n; i++) {
        const struct entry *entry = rows[i].entry;
        *(entry->is_lookup ? &totals.lookups : &totals.flows) += entry->allowed;
        totals.refused += entry->refused;
        totals.bytes_out += entry->bytes_out;
        totals.bytes_in += entry->bytes_in;
        totals.first_ms = entry->first_ms < totals.first_ms ? entry->first_ms : totals.first_ms;
    }
    return totals;
}

/* Names from the network may hold anything. */
static void put_quoted(FILE *out, const char *string)
{
    char buffer[4 * 1024 + 3];
    struct text text = text_of(buffer, sizeof(buffer));
    text_quote(&text, string, strlen(string));
    fputs(buffer, out);
}

static void put_destination(FILE *out, const struct row *row)
{
    char addr[LN_ADDR_TEXT_MAX];
    if (row->name == NULL) {
        ln_addr_format(&row->entry->peer, addr);
        fprintf(out, "\"%s\"", addr);
    } else if (row->suffix) {
        fprintf(out, "\".%s\"", row->name);
    } else if (!row->group && strchr(row->name, '.') == NULL) {
        fprintf(out, "lunette.domain(\"%s\")", row->name);
    } else {
        fprintf(out, "\"%s\"", row->name);
    }
}

/* `:tcp(80, 443):udp(53)`. A destination that was only looked up needs a rule by its name that
 * opens nothing that is used. */
static void put_calls(FILE *out, const struct row *rows, size_t n)
{
    size_t i = 0;
    while (i < n && !rows[i].entry->is_lookup) {
        const struct entry *entry = rows[i].entry;
        bool ports = entry->protocol == LN_TCP || entry->protocol == LN_UDP;
        fprintf(out, ":%s(", ln_protocol_name(entry->protocol));
        for (long last = -1;
             i < n && !rows[i].entry->is_lookup && rows[i].entry->protocol == entry->protocol;
             i++) {
            uint16_t port = rows[i].entry->port;
            if (ports && port != last) {
                fprintf(out, last < 0 ? "%u" : ", %u", port);
            }
            last = port;
        }
        fputc(')', out);
    }
    if (i == 0) {
        fprintf(out, ":udp(%d)", DISCARD_PORT);
    }
}

static void put_count(FILE *out, uint64_t count, const char *one, const char *more)
{
    fprintf(out, "%" PRIu64 " %s", count, count == 1 ? one : more);
}

static void put_totals(FILE *out, const struct observer *observer, const struct row *rows, size_t n)
{
    struct totals totals = totals_of(rows, n);
    if (totals.flows == 0 && totals.refused > 0) {
        put_count(out, totals.refused, "refusal", "refusals");
        fprintf(out, " (%s)", rows[0].entry->reason);
    } else if (totals.flows > 0) {
        put_count(out, totals.flows, "flow", "flows");
        fprintf(out, ", %" PRIu64 " bytes out, %" PRIu64 " in", totals.bytes_out, totals.bytes_in);
    } else {
        put_count(out, totals.lookups, "lookup", "lookups");
        fputs(" only", out);
    }
    uint64_t after_ms =
        totals.first_ms > observer->start_ms ? totals.first_ms - observer->start_ms : 0;
    fprintf(out, ", first after %" PRIu64 ".%" PRIu64 " s\n", after_ms / 1000,
            after_ms % 1000 / 100);
}

/* What no rule can allow, in words. */
static void put_hopeless(FILE *out, const struct row *row)
{
    const struct entry *entry = row->entry;
    fputs("    -- ", out);
    if (entry->is_lookup) {
        fputs("dns ", out);
        put_quoted(out, entry->name);
        return;
    }
    char addr[LN_ADDR_TEXT_MAX];
    ln_addr_format(&entry->peer, addr);
    fprintf(out, "%s %s", ln_protocol_name(entry->protocol), addr);
    if (entry->port != 0) {
        fprintf(out, " port %u", entry->port);
    }
}

static void put_rule(FILE *out, const struct observer *observer, const struct row *rows, size_t n)
{
    if (rows[0].section == HOPELESS) {
        put_hopeless(out, &rows[0]);
        fputs(": ", out);
    } else {
        fputs(rows[0].section == REFUSED ? "    -- lunette.allow(" : "    lunette.allow(", out);
        put_destination(out, &rows[0]);
        fputs(rows[0].entry->ingress ? "):ingress()" : ")", out);
        put_calls(out, rows, n);
        fputs(",  -- ", out);
    }
    put_totals(out, observer, rows, n);
}

static const char *const headings[] = {
    [NAMES] = "names",
    [ADDRESSES] = "addresses without a name",
    [INGRESS] = "from outside",
    [REFUSED] = "refused",
    [HOPELESS] = "refused, and no rule by itself can allow it",
};

static bool belong_together(const struct row *a, const struct row *b)
{
    if (a->section == HOPELESS) {
        return false;
    }
    return compare_destinations(a, b) == 0 && a->entry->ingress == b->entry->ingress;
}

/* Returns how many rules it has. */
static size_t put_rules(FILE *out, const struct observer *observer, const struct row *rows,
                        size_t n)
{
    size_t rules = 0;
    for (size_t i = 0; i < n;) {
        if (i == 0 || rows[i].section != rows[i - 1].section) {
            fprintf(out, "    -- %s\n", headings[rows[i].section]);
        }
        size_t count = 1;
        while (i + count < n && belong_together(&rows[i], &rows[i + count])) {
            count++;
        }
        put_rule(out, observer, &rows[i], count);
        rules += rows[i].section < REFUSED;
        i += count;
    }
    return rules;
}

static void put_heading(FILE *out, const struct observer *observer,
                        const struct observe_style *style)
{
    fputs("-- What was seen by `lunette run --observe` under ", out);
    put_quoted(out, style->policy);
    fputs(
        ", and no more than that.\n"
        "-- A name that was looked up and never connected to has the discard port, so that it can "
        "be looked up.\n"
        "-- Only rules are written: other settings (dns, tls, secrets, ports, limits) are that "
        "policy's.\n",
        out);
    if (observer->left_out > 0) {
        fprintf(out, "-- INCOMPLETE: there was no room for %" PRIu64 " events.\n",
                observer->left_out);
    }
    fputs("local lunette = require \"lunette\"\n\nreturn {\n  rules = {\n", out);
}

int observer_write(const struct observer *observer, const struct observe_style *style, FILE *out,
                   size_t *ret_rules)
{
    struct row *rows = calloc(observer->n_entries + 1, sizeof(*rows));
    if (rows == NULL) {
        return -ENOMEM;
    }
    size_t n = 0;
    for (size_t i = 0; i < observer->n_entries; i++) {
        const struct entry *entry = observer->entries[i];
        if (entry->allowed > 0 || entry->refused > 0) {
            rows[n++] = row_of(observer, entry);
        }
    }
    qsort(rows, n, sizeof(*rows), compare_rows);
    if (style->suffixes) {
        widen(rows, n);
        qsort(rows, n, sizeof(*rows), compare_rows);
    }
    put_heading(out, observer, style);
    *ret_rules = put_rules(out, observer, rows, n);
    fputs("  },\n  default_egress = \"deny\",\n  default_ingress = \"deny\",\n}\n", out);
    free(rows);
    return 0;
}
