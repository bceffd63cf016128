/* DNS messages as bytes: a strict reader of header, question and EDNS, and a writer of messages
 * without records.
 *
 * Cost: reading a query and writing the one that leaves touch each byte once and allocate nothing;
 * well under a microsecond. ldns sees answers only: answer.c. */
#include "dns/message.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

enum {
    LABEL_MAX = 63,
    POINTER = 0xc0,
    OPT_LEN = DNS_OPT_LEN,
    ADDR_RECORD_LEN = 12,
    EDNS_DO = 0x8000
};

/* Letters, digits and hyphen (RFC 1123 section 2.1), and the underscore of service names (RFC
 * 8552). */
static bool is_host_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* ---- names ---- */

/* Reads an uncompressed name; a question has nothing in front of it to point to. Returns its
 * length, or 0 with the reader failed. */
static uint8_t read_name(struct reader *r, uint8_t dst[DNS_NAME_WIRE_MAX])
{
    size_t len = 0;
    for (;;) {
        uint8_t label = reader_u8(r);
        const uint8_t *bytes = reader_bytes(r, label);
        if (bytes == NULL || label > LABEL_MAX || len + 1 + label > DNS_NAME_WIRE_MAX) {
            r->failed = true;
            return 0;
        }
        dst[len] = label;
        memcpy(dst + len + 1, bytes, label);
        len += 1u + label;
        if (label == 0) {
            return (uint8_t)len;
        }
    }
}

/* Passes over a name that may be compressed. Returns whether it was the root. */
static bool skip_name(struct reader *r)
{
    uint8_t label = reader_u8(r);
    bool root = label == 0 && !r->failed;
    while (label != 0 && !r->failed) {
        if ((label & POINTER) == POINTER) {
            reader_skip(r, 1);
            break;
        }
        if (label > LABEL_MAX) {
            r->failed = true;
        }
        reader_skip(r, label);
        label = reader_u8(r);
    }
    return root;
}

bool dns_name_for_rules(const uint8_t *wire, size_t len, char dst[LN_NAME_MAX + 1])
{
    bool plain = true;
    size_t out = 0;
    for (size_t at = 0; at < len && wire[at] != 0; at += 1u + wire[at]) {
        bool odd = false;
        if (out > 0) {
            dst[out++] = '.';
        }
        size_t start = out; /* a name of 255 bytes has at most 253 here */
        for (size_t i = at + 1; i <= at + wire[at]; i++) {
            dst[out++] = (char)dns_lower(wire[i]);
            odd = odd || !is_host_byte(dns_lower(wire[i]));
        }
        if (odd) {
            plain = false;
            dst[start] = '*';
            out = start + 1;
        }
    }
    dst[out] = '\0';
    return plain;
}

void dns_name_text(const uint8_t *wire, size_t len, char dst[DNS_NAME_TEXT_MAX])
{
    size_t out = 0;
    for (size_t at = 0; at < len && wire[at] != 0; at += 1u + wire[at]) {
        if (out > 0) {
            dst[out++] = '.';
        }
        for (size_t i = at + 1; i <= at + wire[at]; i++) {
            uint8_t c = dns_lower(wire[i]);
            if (is_host_byte(c)) {
                dst[out++] = (char)c;
            } else {
                dst[out++] = '\\';
                dst[out++] = (char)('0' + c / 100);
                dst[out++] = (char)('0' + c / 10 % 10);
                dst[out++] = (char)('0' + c % 10);
            }
        }
    }
    dst[out] = '\0';
}

size_t dns_name_from_text(const char *text, uint8_t dst[DNS_NAME_WIRE_MAX])
{
    size_t out = 0;
    while (*text != '\0') {
        size_t label = strcspn(text, ".");
        assert(label > 0 && label <= LABEL_MAX && out + label + 2 <= DNS_NAME_WIRE_MAX);
        dst[out++] = (uint8_t)label;
        memcpy(dst + out, text, label);
        out += label;
        text += label + (text[label] == '.');
    }
    dst[out++] = 0;
    return out;
}

bool dns_name_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    if (a_len != b_len) {
        return false;
    }
    /* Length bytes are at most 63 and so no letters: one comparison serves both. */
    for (size_t i = 0; i < a_len; i++) {
        if (dns_lower(a[i]) != dns_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool dns_name_is_at_or_below(const char *name, const char *apex)
{
    size_t len = strlen(name);
    size_t apex_len = strlen(apex);
    return len >= apex_len && strcmp(name + len - apex_len, apex) == 0 &&
           (len == apex_len || name[len - apex_len - 1] == '.');
}

/* ---- reading ---- */

void dns_header_read(struct reader *r, struct dns_header *ret)
{
    ret->id = reader_u16(r);
    ret->flags = reader_u16(r);
    ret->questions = reader_u16(r);
    for (int i = 0; i < DNS_SECTIONS; i++) {
        ret->records[i] = reader_u16(r);
    }
}

static void read_question(struct reader *r, struct dns_question *question)
{
    question->wire_len = read_name(r, question->wire);
    question->type = reader_u16(r);
    question->class_ = reader_u16(r);
    question->odd = !dns_name_for_rules(question->wire, question->wire_len, question->name);
}

bool dns_question_matches(struct reader *r, const struct dns_question *question)
{
    uint8_t name[DNS_NAME_WIRE_MAX];
    uint8_t name_len = read_name(r, name);
    uint16_t type = reader_u16(r);
    uint16_t class_ = reader_u16(r);
    return !r->failed && type == question->type && class_ == question->class_ &&
           dns_name_equal(name, name_len, question->wire, question->wire_len);
}

void dns_record_read(struct reader *r, const uint8_t *msg, struct dns_record *ret)
{
    ret->start = (size_t)(r->at - msg);
    ret->root = skip_name(r);
    ret->type = reader_u16(r);
    ret->class_ = reader_u16(r);
    ret->ttl_s = reader_u32(r);
    uint16_t len = reader_u16(r);
    ret->rdata = (size_t)(r->at - msg);
    reader_skip(r, len);
    ret->end = (size_t)(r->at - msg);
}

/* Passes over all records, noting the OPT: at most one, in the last section, owned by the root (RFC
 * 6891 section 6.1.1). Returns whether there was one. Failed unless the message ends there. */
static bool skip_records(struct reader *r, const struct dns_header *header, struct dns_record *opt)
{
    bool found = false;
    for (int section = 0; section < DNS_SECTIONS; section++) {
        for (unsigned i = 0; i < header->records[section] && !r->failed; i++) {
            struct dns_record record;
            dns_record_read(r, r->at, &record);
            if (record.type == DNS_TYPE_OPT && !r->failed) {
                r->failed = found || section != DNS_ADDITIONAL || !record.root;
                found = true;
                *opt = record;
            }
        }
    }
    r->failed = r->failed || reader_left(r) != 0;
    return found;
}

int dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *ret)
{
    struct reader r = reader_of(msg, len);
    struct dns_header header;
    dns_header_read(&r, &header);
    if (r.failed || (header.flags & DNS_FLAG_QR) != 0) {
        return -EBADMSG;
    }
    *ret = (struct dns_query){.id = header.id, .flags = header.flags, .udp_size = DNS_UDP_MIN};
    if ((header.flags & DNS_FLAG_OPCODE) != 0) {
        return DNS_NOTIMP;
    }
    if (header.questions != 1) {
        return DNS_FORMERR;
    }
    read_question(&r, &ret->question);
    if (r.failed) {
        return DNS_FORMERR;
    }
    ret->has_question = true;
    struct dns_record opt;
    ret->edns = skip_records(&r, &header, &opt) && !r.failed;
    if (r.failed) {
        return DNS_FORMERR;
    }
    if (!ret->edns) {
        return DNS_NOERROR;
    }
    ret->dnssec_ok = (opt.ttl_s & EDNS_DO) != 0;
    ret->udp_size = opt.class_ > DNS_UDP_MIN ? opt.class_ : DNS_UDP_MIN;
    return (opt.ttl_s >> 16 & 0xff) != 0 ? DNS_BADVERS : DNS_NOERROR;
}

bool dns_answer_matches(const struct dns_question *question, uint16_t id, const uint8_t *msg,
                        size_t len, uint16_t *ret_flags)
{
    struct reader r = reader_of(msg, len);
    struct dns_header header;
    dns_header_read(&r, &header);
    if (r.failed || header.id != id ||
        (header.flags & (DNS_FLAG_QR | DNS_FLAG_OPCODE)) != DNS_FLAG_QR || header.questions != 1 ||
        !dns_question_matches(&r, question)) {
        return false;
    }
    if ((header.flags & DNS_FLAG_TC) == 0) {
        struct dns_record opt;
        (void)skip_records(&r, &header, &opt);
        if (r.failed) {
            return false;
        }
    }
    *ret_flags = header.flags;
    return true;
}

/* The length of the name in the question of a message with one. */
static size_t question_name_len(const uint8_t *msg, size_t len)
{
    size_t at = DNS_HEADER_LEN;
    while (at < len && msg[at] != 0) {
        at += 1u + msg[at];
    }
    return at - DNS_HEADER_LEN;
}

bool dns_answer_repeats_case(const uint8_t *query, const uint8_t *msg, size_t len)
{
    size_t name_len = question_name_len(msg, len);
    return memcmp(query + DNS_HEADER_LEN, msg + DNS_HEADER_LEN, name_len) == 0;
}

bool dns_answer_is_formerr(uint16_t id, const uint8_t *msg, size_t len)
{
    return len >= DNS_HEADER_LEN && get_be16(msg) == id && (msg[2] & DNS_FLAG_QR >> 8) != 0 &&
           (msg[3] & DNS_FLAG_RCODE) == DNS_FORMERR;
}

/* ---- writing ---- */

/* Header and question; DNS_SMALL_MAX holds these (at most 271 bytes), one address record and an
 * OPT. */
static size_t write_head(const struct dns_query *query, uint16_t id, uint16_t flags, uint8_t *dst)
{
    const struct dns_question *question = &query->question;
    put_be16(dst, id);
    put_be16(dst + 2, flags);
    put_be16(dst + 4, query->has_question ? 1 : 0);
    memset(dst + 6, 0, DNS_HEADER_LEN - 6);
    if (!query->has_question) {
        return DNS_HEADER_LEN;
    }
    size_t len = DNS_HEADER_LEN;
    memcpy(dst + len, question->wire, question->wire_len);
    len += question->wire_len;
    put_be16(dst + len, question->type);
    put_be16(dst + len + 2, question->class_);
    return len + 4;
}

static size_t write_opt(const struct dns_query *query, unsigned rcode, uint8_t *dst, size_t len)
{
    uint8_t *opt = dst + len;
    put_be16(dst + 10, (uint16_t)(get_be16(dst + 10) + 1));
    opt[0] = 0;
    put_be16(opt + 1, DNS_TYPE_OPT);
    put_be16(opt + 3, DNS_UDP_SIZE);
    opt[5] = (uint8_t)(rcode >> 4);
    opt[6] = 0;
    put_be16(opt + 7, query->dnssec_ok ? EDNS_DO : 0);
    put_be16(opt + 9, 0);
    return len + OPT_LEN;
}

size_t dns_query_write(const struct dns_query *query, uint16_t id, uint8_t dst[DNS_SMALL_MAX])
{
    uint16_t flags = query->flags & (DNS_FLAG_RD | DNS_FLAG_AD | DNS_FLAG_CD);
    size_t len = write_head(query, id, flags, dst);
    for (size_t i = 0; i < query->question.wire_len; i++) {
        dst[DNS_HEADER_LEN + i] = dns_lower(dst[DNS_HEADER_LEN + i]);
    }
    return write_opt(query, 0, dst, len);
}

void dns_query_mix_case(uint8_t *msg, size_t len, const uint8_t random[DNS_NAME_WIRE_MAX / 8 + 1])
{
    uint8_t *name = msg + DNS_HEADER_LEN;
    size_t name_len = question_name_len(msg, len);
    for (size_t i = 0; i < name_len; i++) { /* length bytes are no letters */
        bool upper = (random[i / 8] >> i % 8 & 1) != 0;
        if (upper && name[i] >= 'a' && name[i] <= 'z') {
            name[i] = (uint8_t)(name[i] - ('a' - 'A'));
        }
    }
}

size_t dns_query_strip_edns(uint8_t *msg, size_t len)
{
    put_be16(msg + 10, 0);
    return len - OPT_LEN;
}

size_t dns_reply_begin(const struct dns_query *query, unsigned rcode, uint16_t flags, uint8_t *dst)
{
    flags |= query->flags & (DNS_FLAG_OPCODE | DNS_FLAG_RD | DNS_FLAG_CD);
    flags |= DNS_FLAG_QR | DNS_FLAG_RA | (rcode & DNS_FLAG_RCODE);
    return write_head(query, query->id, flags, dst);
}

size_t dns_reply_end(const struct dns_query *query, unsigned rcode, uint8_t *dst, size_t len)
{
    return query->edns ? write_opt(query, rcode, dst, len) : len;
}

size_t dns_reply_write(const struct dns_query *query, unsigned rcode, bool truncated,
                       uint8_t dst[DNS_SMALL_MAX])
{
    size_t len = dns_reply_begin(query, rcode, truncated ? DNS_FLAG_TC : 0, dst);
    return dns_reply_end(query, rcode, dst, len);
}

size_t dns_reply_write_addresses(const struct dns_query *query, const ln_addr *addrs, size_t n,
                                 uint32_t ttl_s, uint8_t *dst, size_t room)
{
    bool v4 = query->question.type == DNS_TYPE_A;
    uint16_t addr_len = v4 ? 4 : 16;
    uint16_t count = 0;
    size_t len = dns_reply_begin(query, DNS_NOERROR, 0, dst);
    for (size_t i = 0; i < n && len + ADDR_RECORD_LEN + addr_len + OPT_LEN <= room; i++) {
        if (ln_addr_is_v4(&addrs[i]) != v4 || (!v4 && query->question.type != DNS_TYPE_AAAA)) {
            continue;
        }
        put_be16(dst + len, DNS_POINTER_TO_QUESTION);
        put_be16(dst + len + 2, query->question.type);
        put_be16(dst + len + 4, DNS_CLASS_IN);
        put_be32(dst + len + 6, ttl_s);
        put_be16(dst + len + 10, addr_len);
        memcpy(dst + len + ADDR_RECORD_LEN, addrs[i].bytes + 16 - addr_len, addr_len);
        len += (size_t)ADDR_RECORD_LEN + addr_len;
        count++;
    }
    put_be16(dst + 6, count);
    return dns_reply_end(query, DNS_NOERROR, dst, len);
}

/* ---- words ---- */

static const struct {
    uint16_t type;
    const char name[11];
} type_names[] = {
    {1, "A"},        {2, "NS"},          {5, "CNAME"},   {6, "SOA"},     {12, "PTR"},
    {13, "HINFO"},   {15, "MX"},         {16, "TXT"},    {17, "RP"},     {18, "AFSDB"},
    {28, "AAAA"},    {29, "LOC"},        {33, "SRV"},    {35, "NAPTR"},  {39, "DNAME"},
    {41, "OPT"},     {43, "DS"},         {44, "SSHFP"},  {46, "RRSIG"},  {47, "NSEC"},
    {48, "DNSKEY"},  {50, "NSEC3"},      {52, "TLSA"},   {53, "SMIMEA"}, {59, "CDS"},
    {60, "CDNSKEY"}, {61, "OPENPGPKEY"}, {64, "SVCB"},   {65, "HTTPS"},  {99, "SPF"},
    {251, "IXFR"},   {252, "AXFR"},      {253, "MAILB"}, {254, "MAILA"}, {255, "ANY"},
    {256, "URI"},    {257, "CAA"},
};

const char *dns_type_name(uint16_t type, char dst[DNS_TYPE_TEXT_MAX])
{
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (type_names[i].type == type) {
            return type_names[i].name;
        }
    }
    snprintf(dst, DNS_TYPE_TEXT_MAX, "TYPE%u", (unsigned)type);
    return dst;
}

bool dns_type_parse(const char *name, uint16_t *ret)
{
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (strcasecmp(type_names[i].name, name) == 0) {
            *ret = type_names[i].type;
            return true;
        }
    }
    size_t digits = strlen(name) > 4 ? strspn(name + 4, "0123456789") : 0;
    unsigned long number = digits > 0 && digits <= 5 ? strtoul(name + 4, NULL, 10) : UINT16_MAX + 1;
    if (strncasecmp(name, "TYPE", 4) != 0 || name[4 + digits] != '\0' || number > UINT16_MAX) {
        return false;
    }
    *ret = (uint16_t)number;
    return true;
}

const char *dns_rcode_name(unsigned rcode, char dst[DNS_TYPE_TEXT_MAX])
{
    static const char *const names[] = {
        [DNS_NOERROR] = "NOERROR",   [DNS_FORMERR] = "FORMERR", [DNS_SERVFAIL] = "SERVFAIL",
        [DNS_NXDOMAIN] = "NXDOMAIN", [DNS_NOTIMP] = "NOTIMP",   [DNS_REFUSED] = "REFUSED",
        [DNS_BADVERS] = "BADVERS"};
    if (rcode < sizeof(names) / sizeof(names[0]) && names[rcode] != NULL) {
        return names[rcode];
    }
    snprintf(dst, DNS_TYPE_TEXT_MAX, "RCODE%u", rcode & 0xfffu);
    return dst;
}
