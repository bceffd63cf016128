/* The `http` table of a rule: which requests it is for. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/http_match.h"
#include "policy/plan_parts.h"

enum { HTTPS_PORT = 443 };

#define METHOD_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"

struct http_draft {
    ln_http_match match;
    const char **methods;
};

/* The same in upper case, if that is a method: what was meant. */
static const char *in_upper_case(struct schema *schema, const struct place *place)
{
    char *text = arena_strndup(schema->arena, place->value->string.data, place->value->string.len);
    for (char *at = text; at != NULL && *at != '\0'; at++) {
        *at = (char)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
    }
    return text != NULL && strspn(text, METHOD_BYTES) == strlen(text) ? text : NULL;
}

/* An item reader; methods are case-sensitive tokens (RFC 9110 section 9.1), all known ones in upper
 * case. */
static void add_method(struct schema *schema, const struct place *place, void *out)
{
    struct http_draft *draft = out;
    static const char *const accepted = "a method such as \"GET\"";
    if (!schema_text(schema, place, accepted)) {
        return;
    }
    const char *method = place->value->string.data;
    size_t len = place->value->string.len;
    if (strspn(method, METHOD_BYTES) != len) {
        const char *meant = in_upper_case(schema, place);
        schema_wrong(schema, place, accepted, "a method is written in upper case letters%s%s%s",
                     meant != NULL ? "; did you mean \"" : "", meant != NULL ? meant : "",
                     meant != NULL ? "\"?" : "");
        return;
    }
    draft->methods[draft->match.n_methods++] = schema_copy(schema, place);
}

static void read_methods(struct schema *schema, const struct place *place,
                         const struct field *field, void *out)
{
    (void)field;
    struct http_draft *draft = out;
    draft->match.n_methods = 0;
    draft->methods = schema_array(schema, value_count(place->value), sizeof(*draft->methods));
    if (draft->methods != NULL) {
        schema_one_or_each(schema, place, add_method, draft);
        draft->match.methods = draft->methods;
    }
}

static void read_path(struct schema *schema, const struct place *place, const struct field *field,
                      void *out)
{
    (void)field;
    struct http_draft *draft = out;
    static const char *const accepted = "a path such as \"/repos/*\"";
    if (!schema_text(schema, place, accepted)) {
        return;
    }
    size_t len = place->value->string.len;
    char *path = schema_array(schema, len + 1, 1);
    const char *why = NULL;
    if (path == NULL) {
        return;
    }
    if (http_pattern_canonical(place->value->string.data, len, path, &why) < 0) {
        schema_wrong(schema, place, accepted, "%s", why);
        return;
    }
    draft->match.path = path;
}

/* ---- headers ---- */

static int compare_headers(const void *a, const void *b)
{
    const ln_http_match_header *x = a;
    const ln_http_match_header *y = b;
    int order = strcasecmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->name, y->name);
}

/* A name is a token (RFC 9110 section 5.6.2). */
static void read_header(struct schema *schema, const struct place *place,
                        const struct value_entry *entry, ln_http_match_header *ret)
{
    static const char *const accepted = "the name of a header such as \"X-Name\"";
    struct place key = *place;
    key.value = &entry->key;
    if (!schema_text(schema, &key, accepted)) {
        return;
    }
    const char *name = entry->key.string.data;
    if (strspn(name, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "abcdefghijklmnopqrstuvwxyz") != entry->key.string.len) {
        schema_wrong_key(schema, place, accepted, "the key is not the name of a header");
        return;
    }
    if (!schema_text(schema, place, "the header's value, with \"*\" for any text")) {
        return;
    }
    const char *value = place->value->string.data;
    size_t len = place->value->string.len;
    if (strpbrk(value, "\r\n") != NULL || value[0] == ' ' || value[len - 1] == ' ') {
        schema_wrong(schema, place, NULL,
                     "no header has such a value: it is on one line, without spaces around");
        return;
    }
    ret->name = schema_copy(schema, &key);
    ret->value = schema_copy(schema, place);
}

static void read_headers(struct schema *schema, const struct place *place,
                         const struct field *field, void *out)
{
    (void)field;
    struct http_draft *draft = out;
    static const char *const accepted = "a table such as {[\"X-Name\"] = \"value\"}";
    const struct ln_value *value = place->value;
    if (value->type != VALUE_TABLE || value->table->n_items > 0) {
        schema_wrong(schema, place, accepted,
                     value->type == VALUE_TABLE ? "it is a list" : "it has the wrong type");
        return;
    }
    size_t n = value->table->n_entries;
    size_t mistakes = schema->mistakes;
    ln_http_match_header *headers = schema_array(schema, n, sizeof(*headers));
    for (size_t i = 0; headers != NULL && i < n; i++) {
        struct place item = place_of_entry(place, &value->table->entries[i]);
        read_header(schema, &item, &value->table->entries[i], &headers[i]);
    }
    if (headers == NULL || n == 0 || schema->mistakes != mistakes || schema->out_of_memory) {
        return;
    }
    qsort(headers, n, sizeof(*headers), compare_headers);
    for (size_t i = 1; i < n; i++) {
        if (strcasecmp(headers[i - 1].name, headers[i].name) == 0) {
            schema_wrong(schema, place, NULL, "%s is given twice, in different spellings",
                         headers[i].name);
        }
    }
    draft->match.headers = headers;
    draft->match.n_headers = n;
}

static const struct field http_fields[] = {
    {.key = "methods", .read = read_methods},
    {.key = "path", .read = read_path},
    {.key = "headers", .read = read_headers},
};

static bool has_port(const ln_rule *rule, uint16_t port)
{
    bool has = rule->n_ports == 0;
    for (size_t i = 0; i < rule->n_ports; i++) {
        has = has || (rule->ports[i].first <= port && port <= rule->ports[i].last);
    }
    return has;
}

/* Whether lunette will see the requests that the rule is for. */
static void check_visible(struct build *build, const struct place *place, const ln_rule *rule)
{
    struct schema *schema = &build->schema;
    if (rule->directions != LN_DIRECTION_BIT(LN_EGRESS)) {
        schema_wrong(schema, place, "direction = \"egress\"", "requests are judged in egress only");
    }
    if ((rule->protocols & LN_PROTOCOL_BIT(LN_TCP)) == 0) {
        schema_wrong(schema, place, "protocols = {\"tcp\"}",
                     "the rule would never match: requests come over TCP");
    }
    if (build->tls.value == NULL && has_port(rule, HTTPS_PORT)) {
        schema_wrong(schema, place,
                     "a policy with tls = {}, or the ports of plain HTTP in the rule",
                     "without interception the requests of HTTPS cannot be seen");
    }
}

const ln_http_match *read_http(struct build *build, const struct place *place, const ln_rule *rule)
{
    struct http_draft draft = {0};
    schema_table(&build->schema, place, http_fields, COUNT_OF(http_fields), &draft);
    check_visible(build, place, rule);
    ln_http_match *match = schema_array(&build->schema, 1, sizeof(*match));
    if (match != NULL) {
        *match = draft.match;
    }
    return match;
}
