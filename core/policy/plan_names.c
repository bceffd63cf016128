/* Names, patterns and destinations of a configuration. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/plan_parts.h"
#include "policy/spelling.h"

#define A_NAME    "a host name such as \"example.com\""
#define A_PATTERN "a host name, or a suffix such as \".example.com\""
#define A_CIDR    "an address and a prefix length such as \"10.0.0.0/8\""
#define A_DESTINATION                                                                              \
    "\"*\", a group, a CIDR, an IP address, a domain, or a suffix such as \".example.com\""

/* A piece of a string value. */
struct piece {
    const char *at;
    size_t len;
};

static struct piece piece_of(const struct place *place)
{
    return (struct piece){place->value->string.data, place->value->string.len};
}

static bool has_byte(struct piece piece, char byte)
{
    return memchr(piece.at, byte, piece.len) != NULL;
}

/* Cuts "." or "*." off the front. Returns whether it was there. */
static bool cut_wildcard(struct piece *piece)
{
    size_t n = piece->len >= 1 && piece->at[0] == '.'               ? 1
               : piece->len >= 2 && memcmp(piece->at, "*.", 2) == 0 ? 2
                                                                    : 0;
    piece->at += n;
    piece->len -= n;
    return n > 0;
}

/* No top-level domain is a number (RFC 3696 section 2): such a name is a mistyped address. */
static bool ends_in_number(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *last = dot == NULL ? name : dot + 1;
    return last[strspn(last, "0123456789")] == '\0';
}

bool read_name_part(struct schema *schema, const struct place *place, const char *text, size_t len,
                    const char *accepted, const char **ret)
{
    char name[LN_NAME_MAX + 1];
    const char *why = "it is no host name";
    int name_len = ln_name_canonical(text, len, name, &why);
    if (name_len == -ENOMEM) {
        schema->out_of_memory = true;
        return false;
    }
    if (name_len < 0) {
        schema_wrong(schema, place, accepted, "invalid name: %s", why);
        return false;
    }
    if (ends_in_number(name)) {
        schema_wrong(schema, place, accepted, "neither an address nor a name: it ends in a number");
        return false;
    }
    char *copy = schema_array(schema, (size_t)name_len + 1, 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, name, (size_t)name_len);
    *ret = copy;
    return true;
}

bool read_name(struct schema *schema, const struct place *place, const char **ret)
{
    return schema_text(schema, place, A_NAME) &&
           read_name_part(schema, place, place->value->string.data, place->value->string.len,
                          A_NAME, ret);
}

bool read_pattern(struct schema *schema, const struct place *place, ln_name_pattern *ret)
{
    if (!schema_text(schema, place, A_PATTERN)) {
        return false;
    }
    struct piece piece = piece_of(place);
    ret->below = cut_wildcard(&piece);
    return read_name_part(schema, place, piece.at, piece.len, A_PATTERN, &ret->name);
}

struct patterns {
    ln_name_pattern *patterns;
    size_t n;
};

static void add_pattern(struct schema *schema, const struct place *item, void *out)
{
    struct patterns *to = out;
    if (read_pattern(schema, item, &to->patterns[to->n])) {
        to->n++;
    }
}

void read_patterns(struct schema *schema, const struct place *place, const ln_name_pattern **ret,
                   size_t *ret_n)
{
    struct patterns to = {0};
    to.patterns = schema_array(schema, value_count(place->value), sizeof(*to.patterns));
    if (to.patterns != NULL) {
        schema_each(schema, place, "a list of names and suffixes", add_pattern, &to);
        *ret = to.patterns;
        *ret_n = to.n;
    }
}

bool read_prefix(struct schema *schema, const struct place *place, ln_prefix *ret)
{
    if (!schema_text(schema, place, A_CIDR)) {
        return false;
    }
    struct piece piece = piece_of(place);
    ln_prefix prefix;
    int r = ln_prefix_parse(piece.at, piece.len, &prefix);
    if (r == -ERANGE) {
        char text[LN_PREFIX_TEXT_MAX];
        ln_prefix_format(&prefix, text);
        schema_wrong(schema, place, A_CIDR, "bits behind the prefix are set (did you mean \"%s\"?)",
                     text);
    } else if (r < 0) {
        schema_wrong(schema, place, A_CIDR, "it is not a CIDR");
    } else {
        *ret = prefix;
    }
    return r == 0;
}

static bool read_ip(struct schema *schema, const struct place *place, ln_prefix *ret)
{
    static const char *const accepted =
        "an IP address such as \"192.0.2.1\" or \"2001:db8::1\", without port or zone";
    if (!schema_text(schema, place, accepted)) {
        return false;
    }
    struct piece piece = piece_of(place);
    if (ln_addr_parse(piece.at, piece.len, &ret->addr) < 0) {
        schema_wrong(schema, place, accepted, "it is not an IP address");
        return false;
    }
    ret->bits = 128;
    return true;
}

/* ---- destinations as strings ---- */

static bool find_group(struct piece piece, ln_group *ret)
{
    for (unsigned g = 0; g < LN_GROUPS; g++) {
        const char *name = ln_group_name((ln_group)g);
        if (strlen(name) == piece.len && memcmp(name, piece.at, piece.len) == 0) {
            *ret = (ln_group)g;
            return true;
        }
    }
    return false;
}

static struct spelling nearest_group(struct piece piece)
{
    struct spelling spelling = spelling_of(piece.at, piece.len);
    for (unsigned g = 0; g < LN_GROUPS; g++) {
        spelling_consider(&spelling, ln_group_name((ln_group)g));
    }
    return spelling;
}

/* A single label is more likely a misspelt group than a name. */
static bool refuse_single_label(struct schema *schema, const struct place *place, const char *name)
{
    struct spelling spelling = nearest_group(piece_of(place));
    if (spelling.nearest != NULL) {
        schema_wrong(schema, place, A_DESTINATION,
                     "neither a group nor a name with a dot (did you mean \"%s\"? "
                     "for the name say lunette.domain(\"%s\"))",
                     spelling.nearest, name);
    } else {
        schema_wrong(schema, place, A_DESTINATION,
                     "neither a group nor a name with a dot (say lunette.domain(\"%s\"))", name);
    }
    return false;
}

static bool read_named(struct schema *schema, const struct place *place, ln_destination *ret)
{
    struct piece piece = piece_of(place);
    bool suffix = cut_wildcard(&piece);
    if (has_byte(piece, ':')) {
        schema_wrong(schema, place, A_DESTINATION,
                     "it is not an address (ports are given apart, under `ports`)");
        return false;
    }
    ret->kind = suffix ? LN_DEST_SUFFIX : LN_DEST_DOMAIN;
    if (!read_name_part(schema, place, piece.at, piece.len, A_DESTINATION, &ret->name)) {
        return false;
    }
    return suffix || strchr(ret->name, '.') != NULL ||
           refuse_single_label(schema, place, ret->name);
}

static bool is_url(struct piece piece)
{
    const char *colon = memchr(piece.at, ':', piece.len);
    return colon != NULL && piece.at + piece.len - colon >= 3 && memcmp(colon, "://", 3) == 0;
}

static bool read_destination_text(struct schema *schema, const struct place *place,
                                  ln_destination *ret)
{
    struct piece piece = piece_of(place);
    if (piece.len == 1 && piece.at[0] == '*') {
        ret->kind = LN_DEST_ANY;
        return true;
    }
    if (find_group(piece, &ret->group)) {
        ret->kind = LN_DEST_GROUP;
        return true;
    }
    if (is_url(piece)) {
        schema_wrong(schema, place, A_DESTINATION, "it is a URL: only its host name is wanted");
        return false;
    }
    if (has_byte(piece, '/')) {
        ret->kind = LN_DEST_PREFIX;
        return read_prefix(schema, place, &ret->prefix);
    }
    if (ln_addr_parse(piece.at, piece.len, &ret->prefix.addr) == 0) {
        ret->kind = LN_DEST_PREFIX;
        ret->prefix.bits = 128;
        return true;
    }
    return read_named(schema, place, ret);
}

/* ---- destinations described by their kind ---- */

static void describe_domain(struct schema *schema, const struct place *place,
                            const struct field *field, void *out)
{
    (void)field;
    ln_destination *to = out;
    to->kind = LN_DEST_DOMAIN;
    read_name(schema, place, &to->name);
}

static void describe_suffix(struct schema *schema, const struct place *place,
                            const struct field *field, void *out)
{
    (void)field;
    ln_destination *to = out;
    to->kind = LN_DEST_SUFFIX;
    ln_name_pattern pattern = {0};
    if (read_pattern(schema, place, &pattern)) {
        to->name = pattern.name;
    }
}

static void describe_cidr(struct schema *schema, const struct place *place,
                          const struct field *field, void *out)
{
    (void)field;
    ln_destination *to = out;
    to->kind = LN_DEST_PREFIX;
    read_prefix(schema, place, &to->prefix);
}

static void describe_ip(struct schema *schema, const struct place *place, const struct field *field,
                        void *out)
{
    (void)field;
    ln_destination *to = out;
    to->kind = LN_DEST_PREFIX;
    read_ip(schema, place, &to->prefix);
}

static void describe_group(struct schema *schema, const struct place *place,
                           const struct field *field, void *out)
{
    (void)field;
    ln_destination *to = out;
    const char *names[LN_GROUPS];
    for (unsigned g = 0; g < LN_GROUPS; g++) {
        names[g] = ln_group_name((ln_group)g);
    }
    unsigned group = 0;
    schema_choice(schema, place, "group", names, LN_GROUPS, &group);
    to->kind = LN_DEST_GROUP;
    to->group = (ln_group)group;
}

static void describe_country(struct schema *schema, const struct place *place,
                             const struct field *field, void *out)
{
    (void)field;
    static const char *const accepted = "two letters (ISO 3166) such as \"DE\"";
    ln_destination *to = out;
    to->kind = LN_DEST_COUNTRY;
    if (!schema_text(schema, place, accepted)) {
        return;
    }
    struct piece piece = piece_of(place);
    char *code = schema_array(schema, 3, 1);
    for (size_t i = 0; i < piece.len && code != NULL; i++) {
        char c = piece.at[i];
        c = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        if (piece.len != 2 || c < 'A' || c > 'Z') {
            schema_wrong(schema, place, accepted, "it is not a country's code");
            return;
        }
        code[i] = c;
    }
    to->name = code;
}

static void describe_continent(struct schema *schema, const struct place *place,
                               const struct field *field, void *out)
{
    (void)field;
    static const char *const codes[] = {"AF", "AN", "AS", "EU", "NA", "OC", "SA"};
    ln_destination *to = out;
    unsigned code = 0;
    schema_choice(schema, place, "continent", codes, COUNT_OF(codes), &code);
    to->kind = LN_DEST_CONTINENT;
    to->name = codes[code];
}

static void describe_asn(struct schema *schema, const struct place *place,
                         const struct field *field, void *out)
{
    (void)field;
    ln_destination *to = out;
    uint64_t asn = 0;
    schema_integer(schema, place, 1, UINT32_MAX - 1, &asn);
    to->kind = LN_DEST_ASN;
    to->asn = (uint32_t)asn;
}

static const struct field kinds[] = {
    {.key = "domain", .read = describe_domain},       {.key = "suffix", .read = describe_suffix},
    {.key = "cidr", .read = describe_cidr},           {.key = "ip", .read = describe_ip},
    {.key = "group", .read = describe_group},         {.key = "country", .read = describe_country},
    {.key = "continent", .read = describe_continent}, {.key = "asn", .read = describe_asn},
};

bool is_destination_list(const struct ln_value *value)
{
    return value->type == VALUE_TABLE &&
           (value->table->n_items > 0 || value->table->n_entries == 0);
}

bool read_destination(struct schema *schema, const struct place *place, ln_destination *ret)
{
    *ret = (ln_destination){0};
    if (place->value->type != VALUE_TABLE) {
        return schema_text(schema, place, A_DESTINATION) &&
               read_destination_text(schema, place, ret);
    }
    size_t mistakes = schema->mistakes;
    schema_table(schema, place, kinds, COUNT_OF(kinds), ret);
    if (place->value->table->n_entries != 1 && schema->mistakes == mistakes) {
        schema_wrong(schema, place,
                     "one of domain, suffix, cidr, ip, group, country, continent, asn",
                     "a destination is of one kind");
    }
    return schema->mistakes == mistakes;
}
