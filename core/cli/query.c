/* Reading questions about a policy. */
#include "cli/query.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dns/message.h"

enum { WORDS_MAX = 8, WORD_MAX = 320, WHY_MAX = 256 };

struct words {
    char word[WORDS_MAX][WORD_MAX];
    size_t count;
};

static int wrong(char why[WHY_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(char why[WHY_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, WHY_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

/* Cuts the arguments into words; the arrow is a word of its own, blanks around it or not. */
static int split(char *const *arguments, size_t n, struct words *words, char why[WHY_MAX])
{
    words->count = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = arguments[i];
        while (*(at += strspn(at, " \t")) != '\0') {
            const char *arrow = strstr(at, "->");
            size_t len = strcspn(at, " \t");
            if (arrow == at) {
                len = 2;
            } else if (arrow != NULL && arrow < at + len) {
                len = (size_t)(arrow - at);
            }
            if (words->count == WORDS_MAX || len >= WORD_MAX) {
                return wrong(why, "the query is too long; accepted: " QUERY_FORMS);
            }
            char *word = words->word[words->count++];
            memcpy(word, at, len);
            word[len] = '\0';
            at += len;
        }
    }
    return words->count > 0 ? 0 : wrong(why, "there is no query; accepted: " QUERY_FORMS);
}

static int read_name(const char *text, size_t len, char name[LN_NAME_MAX + 1], char why[WHY_MAX])
{
    const char *reason = "it is not a name";
    if (ln_name_canonical(text, len, name, &reason) < 0) {
        return wrong(why, "'%s' is neither an address nor a name: %s", text, reason);
    }
    return 0;
}

/* An address, with or without brackets, or a name. */
static int read_peer(const char *text, size_t len, struct query *query, char why[WHY_MAX])
{
    bool brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (ln_addr_parse(text + brackets, len - 2u * brackets, &query->address) == 0) {
        return 0;
    }
    if (brackets) {
        return wrong(why, "'%s' is not an IPv6 address", text);
    }
    query->is_named = true;
    return read_name(text, len, query->name, why);
}

static int read_port(const char *text, struct query *query, char why[WHY_MAX])
{
    unsigned long port = 0;
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < digits && port <= UINT16_MAX; i++) {
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    if (digits == 0 || text[digits] != '\0' || port > UINT16_MAX) {
        return wrong(why, "'%s' is not a port; accepted: 0 to 65535", text);
    }
    query->port = (uint16_t)port;
    return 0;
}

/* PEER:PORT, or PEER alone with ICMP. */
static int read_target(const char *text, struct query *query, char why[WHY_MAX])
{
    size_t len = strlen(text);
    if (!query_has_ports(query)) {
        return read_peer(text, len, query, why);
    }
    ln_addr addr;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || ln_addr_parse(text, len, &addr) == 0 || text[len - 1] == ']') {
        return wrong(why, "'%s' has no port; accepted: 1.2.3.4:443, [2001:db8::1]:443, name:443",
                     text);
    }
    int r = read_peer(text, (size_t)(colon - text), query, why);
    return r < 0 ? r : read_port(colon + 1, query, why);
}

static int read_protocol(const char *word, struct query *query, char why[WHY_MAX])
{
    for (unsigned p = LN_TCP; p <= LN_ICMPV6; p++) {
        if (strcmp(word, ln_protocol_name((ln_protocol)p)) == 0) {
            query->protocol = (ln_protocol)p;
            return 0;
        }
    }
    return wrong(why, "'%s' is not a protocol; accepted: tcp, udp, icmpv4, icmpv6", word);
}

/* egress PROTOCOL TARGET */
static int read_egress(const struct words *words, struct query *query, char why[WHY_MAX])
{
    if (words->count != 3) {
        return wrong(why, "accepted: egress PROTOCOL ADDRESS:PORT, egress icmpv4 ADDRESS");
    }
    int r = read_protocol(words->word[1], query, why);
    return r < 0 ? r : read_target(words->word[2], query, why);
}

/* ingress PROTOCOL PEER -> PORT */
static int read_ingress(const struct words *words, struct query *query, char why[WHY_MAX])
{
    query->direction = LN_INGRESS;
    bool arrow = words->count == 5 && strcmp(words->word[3], "->") == 0;
    if (words->count == 4 && strcmp(words->word[3], "-") == 0) {
        return wrong(why, "the shell took the > of the arrow: put the query in quotes");
    }
    if (!arrow && words->count != 4) {
        return wrong(why, "accepted: ingress PROTOCOL ADDRESS -> PORT");
    }
    int r = read_protocol(words->word[1], query, why);
    if (r == 0 && !query_has_ports(query)) {
        return wrong(why, "ingress is tcp or udp: ICMP is for egress only");
    }
    r = r < 0 ? r : read_peer(words->word[2], strlen(words->word[2]), query, why);
    return r < 0 ? r : read_port(words->word[arrow ? 4 : 3], query, why);
}

/* dns NAME [TYPE] */
static int read_dns(const struct words *words, struct query *query, char why[WHY_MAX])
{
    query->is_dns = true;
    query->protocol = LN_UDP;
    if (words->count != 2 && words->count != 3) {
        return wrong(why, "accepted: dns NAME [TYPE]");
    }
    const char *type = words->count == 3 ? words->word[2] : "A";
    if (!dns_type_parse(type, &query->type)) {
        return wrong(why, "'%s' is not a DNS type", type);
    }
    return read_name(words->word[1], strlen(words->word[1]), query->name, why);
}

int query_parse(char *const *arguments, size_t n, struct query *ret, char why[WHY_MAX])
{
    struct words words;
    *ret = (struct query){0};
    int r = split(arguments, n, &words, why);
    if (r < 0) {
        return r;
    }
    const char *first = words.word[0];
    if (strcmp(first, "egress") == 0) {
        return read_egress(&words, ret, why);
    }
    if (strcmp(first, "ingress") == 0) {
        return read_ingress(&words, ret, why);
    }
    if (strcmp(first, "dns") == 0) {
        return read_dns(&words, ret, why);
    }
    return wrong(why, "'%s' is not the start of a query; accepted: " QUERY_FORMS, first);
}
