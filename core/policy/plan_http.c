/* The `http` table of a rule: which requests it is for. */
#include <string.h>

#include "policy/plan_parts.h"

enum { HTTPS_PORT = 443 };

struct http_draft {
    ln_http_match match;
    const char **methods;
};

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
    if (strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != len) {
        schema_wrong(schema, place, accepted, "a method is written in upper case letters");
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
    if (place->value->string.data[0] != '/') {
        schema_wrong(schema, place, accepted, "a path starts with \"/\"");
        return;
    }
    draft->match.path = schema_copy(schema, place);
}

static const struct field http_fields[] = {
    {.key = "methods", .read = read_methods},
    {.key = "path", .read = read_path},
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
        schema_wrong(schema, place, "a table `tls`, or the ports of plain HTTP in the rule",
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
