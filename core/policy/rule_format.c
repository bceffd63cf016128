/* A rule on one line: allow@public:tcp:443. */
#include <string.h>

#include "base/text.h"
#include "lunette/policy.h"

static void put_prefix(struct text *text, const ln_prefix *prefix)
{
    char buffer[LN_PREFIX_TEXT_MAX];
    if (prefix->bits == 128) {
        ln_addr_format(&prefix->addr, buffer);
    } else {
        ln_prefix_format(prefix, buffer);
    }
    text_puts(text, buffer);
}

static void put_destination(struct text *text, const ln_destination *destination)
{
    switch (destination->kind) {
    case LN_DEST_ANY:
        text_puts(text, "*");
        break;
    case LN_DEST_GROUP:
        text_puts(text, ln_group_name(destination->group));
        break;
    case LN_DEST_PREFIX:
        put_prefix(text, &destination->prefix);
        break;
    case LN_DEST_DOMAIN:
        /* A bare word would be a group. */
        text_printf(text, strchr(destination->name, '.') != NULL ? "%s" : "domain(%s)",
                    destination->name);
        break;
    case LN_DEST_SUFFIX:
        text_printf(text, ".%s", destination->name);
        break;
    case LN_DEST_COUNTRY:
        text_printf(text, "country(%s)", destination->name);
        break;
    case LN_DEST_CONTINENT:
        text_printf(text, "continent(%s)", destination->name);
        break;
    case LN_DEST_ASN:
        text_printf(text, "asn(%u)", (unsigned)destination->asn);
        break;
    }
}

static void put_protocols(struct text *text, unsigned protocols)
{
    const char *separator = ":";
    for (unsigned p = LN_TCP; p <= LN_ICMPV6; p++) {
        if ((protocols & LN_PROTOCOL_BIT(p)) != 0) {
            text_puts(text, separator);
            text_puts(text, ln_protocol_name((ln_protocol)p));
            separator = ",";
        }
    }
}

static void put_ports(struct text *text, const ln_rule *rule)
{
    for (size_t i = 0; i < rule->n_ports; i++) {
        const ln_port_range *range = &rule->ports[i];
        text_puts(text, i == 0 ? ":" : ",");
        text_printf(text, "%u", (unsigned)range->first);
        if (range->last != range->first) {
            text_printf(text, "-%u", (unsigned)range->last);
        }
    }
}

/* What `allow@dns` stands for. */
static bool is_dns(const ln_rule *rule)
{
    return rule->destination.kind == LN_DEST_GROUP && rule->destination.group == LN_GROUP_HOST &&
           rule->protocols == (LN_PROTOCOL_BIT(LN_TCP) | LN_PROTOCOL_BIT(LN_UDP)) &&
           rule->n_ports == 1 && rule->ports[0].first == 53 && rule->ports[0].last == 53;
}

int ln_destination_format(const ln_destination *destination, char *dst, size_t size)
{
    struct text text = text_of(dst, size);
    put_destination(&text, destination);
    return (int)text.len;
}

int ln_rule_format(const ln_rule *rule, char *dst, size_t size)
{
    struct text text = text_of(dst, size);
    text_puts(&text, ln_action_name(rule->action));
    if (rule->directions == LN_DIRECTION_BIT(LN_INGRESS)) {
        text_puts(&text, ":ingress");
    } else if (rule->directions != LN_DIRECTION_BIT(LN_EGRESS)) {
        text_puts(&text, ":any");
    }
    text_puts(&text, "@");
    if (is_dns(rule)) {
        text_puts(&text, "dns");
        return (int)text.len;
    }
    put_destination(&text, &rule->destination);
    if (rule->protocols != LN_PROTOCOLS_ALL) {
        put_protocols(&text, rule->protocols);
    } else if (rule->n_ports > 0) {
        text_puts(&text, ":*");
    }
    put_ports(&text, rule);
    return (int)text.len;
}

int ln_http_match_format(const ln_http_match *match, char *dst, size_t size)
{
    struct text text = text_of(dst, size);
    const char *separator = "";
    for (size_t i = 0; i < match->n_methods; i++) {
        text_puts(&text, i > 0 ? "," : "");
        text_puts(&text, match->methods[i]);
        separator = " ";
    }
    if (match->path != NULL) {
        text_puts(&text, separator);
        text_puts(&text, match->path);
        separator = " ";
    }
    for (size_t i = 0; i < match->n_headers; i++) {
        text_printf(&text, "%s%s: %s", separator, match->headers[i].name, match->headers[i].value);
        separator = "; ";
    }
    if (text.len == 0) {
        text_puts(&text, "any request");
    }
    return (int)text.len;
}
