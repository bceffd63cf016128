/* An upstream's answer on its way to the guest.
 *
 * Theory of operation. Our reader finds where each record starts and ends; ldns reads the record in
 * between, its names uncompressed, and must end where we do. ldns is kept from what it does badly
 * with hostile bytes:
 *   - whole messages: behind a record it goes on where the fields it knows ended, not where the
 *     record does, so that one that is too long shifts all that follow;
 *   - records of any number of fields (TXT): each field costs an allocation of the whole record's
 *     length, 64 KiB of empty strings cost 4 GiB. Data without names needs no reading and is kept
 *     as bytes;
 *   - pointers: it follows 65535 of them for each name;
 *   - compressing names: comparing is quadratic in labels and every name in the message is tried.
 *     Written here are pointers to whole names only, the question and the chain, which is where the
 *     repetition is. */
#include "dns/answer.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "dns/svcb.h"

enum { TTL_MAX = 0x7fffffff, POINTER_MAX = 0x3fff, KNOWN_NAMES = 24 };

struct name {
    uint8_t wire[DNS_NAME_WIRE_MAX];
    size_t len;
};

struct dns_answer {
    const struct dns_query *query;
    unsigned rcode;
    bool authentic; /* AD */
    ldns_rr_list *sections[DNS_SECTIONS];
    struct name chain[1 + DNS_CHAIN_MAX]; /* the name asked, and its aliases in order */
    size_t n_chain;
};

/* ---- reading ---- */

/* Types whose data is judged, or may hold compressed names (RFC 3597 section 4): how many, and
 * after how many bytes. All have a fixed number of fields. */
static const struct shape {
    uint16_t type;
    uint8_t skip, names;
} shapes[] = {
    {LDNS_RR_TYPE_A, 0, 0},   {LDNS_RR_TYPE_NS, 0, 1},    {LDNS_RR_TYPE_MD, 0, 1},
    {LDNS_RR_TYPE_MF, 0, 1},  {LDNS_RR_TYPE_CNAME, 0, 1}, {LDNS_RR_TYPE_SOA, 0, 2},
    {LDNS_RR_TYPE_MB, 0, 1},  {LDNS_RR_TYPE_MG, 0, 1},    {LDNS_RR_TYPE_MR, 0, 1},
    {LDNS_RR_TYPE_PTR, 0, 1}, {LDNS_RR_TYPE_MINFO, 0, 2}, {LDNS_RR_TYPE_MX, 2, 1},
    {LDNS_RR_TYPE_RP, 0, 2},  {LDNS_RR_TYPE_AFSDB, 2, 1}, {LDNS_RR_TYPE_RT, 2, 1},
    {LDNS_RR_TYPE_PX, 2, 2},  {LDNS_RR_TYPE_AAAA, 0, 0},  {LDNS_RR_TYPE_SRV, 6, 1},
    {LDNS_RR_TYPE_KX, 2, 1},  {LDNS_RR_TYPE_DNAME, 0, 1},
};

/* NULL: its data is kept as bytes. */
static const struct shape *shape_of(uint16_t type)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (shapes[i].type == type) {
            return &shapes[i];
        }
    }
    return NULL;
}

/* Passes over the name at `at`. Every pointer must lead back, and there may be no more of them than
 * labels. Returns the name's end, or 0 when it is malformed. */
static size_t name_end(const uint8_t *msg, size_t end, size_t at)
{
    size_t from = at; /* where the labels that are read stand */
    size_t len = 0;
    size_t ret = 0;
    unsigned pointers = 0;
    while (at < end && len < DNS_NAME_WIRE_MAX && pointers <= DNS_NAME_WIRE_MAX / 2) {
        uint8_t label = msg[at];
        if (label >= 0xc0) {
            size_t target = at + 1 < end ? get_be16(msg + at) & POINTER_MAX : from;
            if (target >= from) {
                return 0;
            }
            ret = ret == 0 ? at + 2 : ret;
            at = from = target;
            pointers++;
        } else if (label == 0) {
            return ret == 0 ? at + 1 : ret;
        } else {
            at += 1u + label;
            len += 1u + label;
        }
    }
    return 0;
}

static int error_of(ldns_status status)
{
    return status == LDNS_STATUS_MEM_ERR ? -ENOMEM : -EBADMSG;
}

/* Data of a known shape: its names must be bounded before ldns follows them. */
static int read_fields(ldns_rr *rr, const uint8_t *msg, const struct dns_record *record,
                       const struct shape *shape)
{
    size_t at = record->rdata + shape->skip;
    for (int i = 0; i < shape->names && at != 0; i++) {
        at = name_end(msg, record->end, at);
    }
    size_t pos = record->rdata - 2; /* from the length on */
    ldns_status status =
        at == 0 ? LDNS_STATUS_INVALID_POINTER : ldns_wire2rdf(rr, msg, record->end, &pos);
    if (status != LDNS_STATUS_OK) {
        return error_of(status);
    }
    size_t fields = ldns_rr_descriptor_minimum(ldns_rr_descript(record->type));
    return pos == record->end && ldns_rr_rd_count(rr) == fields ? 0 : -EBADMSG;
}

static int read_data(ldns_rr *rr, const uint8_t *msg, const struct dns_record *record)
{
    const struct shape *shape = shape_of(record->type);
    if (shape != NULL) {
        return read_fields(rr, msg, record, shape);
    }
    size_t len = record->end - record->rdata;
    if (len == 0) {
        return 0;
    }
    ldns_rdf *data = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_UNKNOWN, len, msg + record->rdata);
    if (data == NULL || !ldns_rr_push_rdf(rr, data)) {
        ldns_rdf_deep_free(data);
        return -ENOMEM;
    }
    return 0;
}

static int read_rr(ldns_rr *rr, const uint8_t *msg, const struct dns_record *record)
{
    ldns_rdf *owner = NULL;
    size_t pos = record->start;
    ldns_status status = name_end(msg, record->end, pos) == 0
                             ? LDNS_STATUS_INVALID_POINTER
                             : ldns_wire2dname(&owner, msg, record->end, &pos);
    if (status != LDNS_STATUS_OK) {
        return error_of(status);
    }
    ldns_rr_set_owner(rr, owner);
    ldns_rr_set_type(rr, (ldns_rr_type)record->type);
    ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
    ldns_rr_set_ttl(rr, record->ttl_s > TTL_MAX ? 0 : record->ttl_s); /* RFC 2181 section 8 */
    return read_data(rr, msg, record);
}

static int add_record(ldns_rr_list *list, const uint8_t *msg, const struct dns_record *record)
{
    ldns_rr *rr = ldns_rr_new();
    if (rr == NULL) {
        return -ENOMEM;
    }
    int r = read_rr(rr, msg, record);
    if (r == 0 && !ldns_rr_list_push_rr(list, rr)) {
        r = -ENOMEM;
    }
    if (r < 0) {
        ldns_rr_free(rr);
    }
    return r;
}

/* TSIG ends here: it is between us and the upstream. OPT too, but for the response code. */
static int take_record(struct dns_answer *answer, enum dns_section section, const uint8_t *msg,
                       const struct dns_record *record)
{
    if (record->type == DNS_TYPE_OPT) {
        if (section != DNS_ADDITIONAL || !record->root) {
            return -EBADMSG;
        }
        answer->rcode |= (record->ttl_s >> 24) << 4;
        return 0;
    }
    if (record->type == LDNS_RR_TYPE_TSIG) {
        return 0;
    }
    if (record->class_ != DNS_CLASS_IN) {
        return -EBADMSG;
    }
    return add_record(answer->sections[section], msg, record);
}

static int read_records(struct dns_answer *answer, const uint8_t *msg, size_t len)
{
    struct reader r = reader_of(msg, len);
    struct dns_header header;
    dns_header_read(&r, &header);
    if (r.failed || (header.flags & (DNS_FLAG_QR | DNS_FLAG_OPCODE)) != DNS_FLAG_QR ||
        header.questions != 1 || !dns_question_matches(&r, &answer->query->question)) {
        return -EBADMSG;
    }
    answer->rcode = header.flags & DNS_FLAG_RCODE;
    answer->authentic = (header.flags & DNS_FLAG_AD) != 0;
    unsigned all = 0;
    for (int section = 0; section < DNS_SECTIONS; section++) {
        all += header.records[section];
    }
    if (all > DNS_ANSWER_RECORDS_MAX) {
        return -E2BIG;
    }
    for (int section = 0; section < DNS_SECTIONS; section++) {
        for (unsigned i = 0; i < header.records[section]; i++) {
            struct dns_record record;
            dns_record_read(&r, msg, &record);
            int e =
                r.failed ? -EBADMSG : take_record(answer, (enum dns_section)section, msg, &record);
            if (e < 0) {
                return e;
            }
        }
    }
    return reader_left(&r) == 0 ? 0 : -EBADMSG;
}

/* ---- the chain ---- */

static bool is_name(const ldns_rdf *rdf, const struct name *name)
{
    return dns_name_equal(ldns_rdf_data(rdf), ldns_rdf_size(rdf), name->wire, name->len);
}

/* `head_len` bytes of labels, then `tail`. Empty when that is too long for a name, for which a
 * DNAME has no answer (RFC 6672 section 2.2). */
static struct name name_of(const uint8_t *head, size_t head_len, const ldns_rdf *tail)
{
    struct name name = {.len = head_len + ldns_rdf_size(tail)};
    if (name.len > DNS_NAME_WIRE_MAX) {
        return (struct name){.len = 0};
    }
    memcpy(name.wire, head, head_len);
    memcpy(name.wire + head_len, ldns_rdf_data(tail), ldns_rdf_size(tail));
    return name;
}

/* How many bytes of `name` stand before `above`; 0 when it is not below it. */
static size_t labels_below(const struct name *name, const ldns_rdf *above)
{
    size_t len = ldns_rdf_size(above);
    size_t at = 0;
    while (name->len - at > len) {
        at += 1u + name->wire[at];
    }
    return dns_name_equal(name->wire + at, name->len - at, ldns_rdf_data(above), len) ? at : 0;
}

/* What `name` is an alias of. Returns false when of nothing. */
static bool next_alias(const ldns_rr_list *answers, const struct name *name, struct name *ret)
{
    ret->len = 0;
    for (size_t i = 0; i < ldns_rr_list_rr_count(answers) && ret->len == 0; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answers, i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME && is_name(ldns_rr_owner(rr), name)) {
            *ret = name_of(name->wire, 0, ldns_rr_rdf(rr, 0));
        }
    }
    for (size_t i = 0; i < ldns_rr_list_rr_count(answers) && ret->len == 0; i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answers, i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_DNAME) {
            size_t head = labels_below(name, ldns_rr_owner(rr));
            *ret = head > 0 ? name_of(name->wire, head, ldns_rr_rdf(rr, 0)) : *ret;
        }
    }
    return ret->len > 0;
}

static int follow_chain(struct dns_answer *answer)
{
    const struct dns_question *question = &answer->query->question;
    struct name *at = &answer->chain[0];
    memcpy(at->wire, question->wire, question->wire_len);
    at->len = question->wire_len;
    answer->n_chain = 1;
    if (question->type == DNS_TYPE_CNAME) {
        return 0;
    }
    struct name next;
    while (next_alias(answer->sections[DNS_ANSWER], at, &next)) {
        if (answer->n_chain > DNS_CHAIN_MAX) {
            return -ELOOP;
        }
        at = &answer->chain[answer->n_chain++];
        *at = next;
    }
    return 0;
}

static bool is_in_chain(const struct dns_answer *answer, const ldns_rr *rr)
{
    size_t i = 0;
    while (i < answer->n_chain && !is_name(ldns_rr_owner(rr), &answer->chain[i])) {
        i++;
    }
    return i < answer->n_chain;
}

int dns_answer_read(const struct dns_query *query, const uint8_t *msg, size_t len,
                    struct dns_answer **ret)
{
    struct dns_answer *answer = calloc(1, sizeof(*answer));
    if (answer == NULL) {
        return -ENOMEM;
    }
    answer->query = query;
    int r = 0;
    for (int section = 0; section < DNS_SECTIONS; section++) {
        answer->sections[section] = ldns_rr_list_new();
        r = answer->sections[section] == NULL ? -ENOMEM : r;
    }
    r = r < 0 ? r : read_records(answer, msg, len);
    r = r < 0 ? r : follow_chain(answer);
    if (r < 0) {
        dns_answer_free(answer);
        return r;
    }
    *ret = answer;
    return 0;
}

struct dns_answer *dns_answer_free(struct dns_answer *answer)
{
    if (answer != NULL) {
        for (int section = 0; section < DNS_SECTIONS; section++) {
            ldns_rr_list_deep_free(answer->sections[section]);
        }
        free(answer);
    }
    return NULL;
}

unsigned dns_answer_rcode(const struct dns_answer *answer)
{
    return answer->rcode;
}

/* ---- how long it holds ---- */

/* Whether it has a record of the type that was asked for. */
static bool has_data(const struct dns_answer *answer)
{
    const ldns_rr_list *list = answer->sections[DNS_ANSWER];
    size_t i = 0;
    while (i < ldns_rr_list_rr_count(list) && ldns_rr_get_type(ldns_rr_list_rr(list, i)) !=
                                                  (ldns_rr_type)answer->query->question.type) {
        i++;
    }
    return i < ldns_rr_list_rr_count(list);
}

/* The minimum of the SOA that goes with an answer that there is nothing; 0 where there is none. */
static uint32_t soa_minimum(const struct dns_answer *answer)
{
    const ldns_rr_list *list = answer->sections[DNS_AUTHORITY];
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA) {
            return get_be32(ldns_rdf_data(ldns_rr_rdf(rr, 6))); /* RFC 1035 section 3.3.13 */
        }
    }
    return 0;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t dns_answer_ttl(const struct dns_answer *answer)
{
    uint32_t ttl_s = DNS_ANSWER_KEEP_MAX_S;
    if (answer->rcode != DNS_NOERROR && answer->rcode != DNS_NXDOMAIN) {
        return 0;
    }
    if (answer->rcode == DNS_NXDOMAIN || !has_data(answer)) {
        ttl_s = least(soa_minimum(answer), DNS_ANSWER_KEEP_NOTHING_MAX_S);
    }
    for (int section = 0; section < DNS_SECTIONS; section++) {
        const ldns_rr_list *list = answer->sections[section];
        for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
            ttl_s = least(ttl_s, ldns_rr_ttl(ldns_rr_list_rr(list, i)));
        }
    }
    return ttl_s;
}

void dns_answer_age(struct dns_answer *answer, uint32_t age_s)
{
    for (int section = 0; section < DNS_SECTIONS; section++) {
        const ldns_rr_list *list = answer->sections[section];
        for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
            ldns_rr *rr = ldns_rr_list_rr(list, i);
            ldns_rr_set_ttl(rr, ldns_rr_ttl(rr) - least(ldns_rr_ttl(rr), age_s));
        }
    }
}

/* ---- addresses ---- */

static ln_addr addr_of(const uint8_t *bytes, size_t len)
{
    if (len == 4) {
        return ln_addr_v4(get_be32(bytes));
    }
    ln_addr addr;
    memcpy(addr.bytes, bytes, sizeof(addr.bytes));
    return addr;
}

static bool is_svcb(const ldns_rr *rr)
{
    return ldns_rr_get_type(rr) == (ldns_rr_type)DNS_TYPE_SVCB ||
           ldns_rr_get_type(rr) == (ldns_rr_type)DNS_TYPE_HTTPS;
}

static int read_svcb(const ldns_rr *rr, struct svcb *ret)
{
    if (ldns_rr_rd_count(rr) == 0) {
        return -EBADMSG;
    }
    const ldns_rdf *data = ldns_rr_rdf(rr, 0);
    return svcb_parse(ldns_rdf_data(data), ldns_rdf_size(data), ret);
}

/* The addresses of one record: of A and AAAA, or the hints of HTTPS and SVCB. */
struct addr_walk {
    const uint8_t *v4, *v6;
    size_t v4_len, v6_len;
};

static struct addr_walk addr_walk_start(const ldns_rr *rr)
{
    struct addr_walk walk = {0};
    struct svcb svcb;
    if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_A) {
        walk = (struct addr_walk){.v4 = ldns_rdf_data(ldns_rr_rdf(rr, 0)), .v4_len = 4};
    } else if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_AAAA) {
        walk = (struct addr_walk){.v6 = ldns_rdf_data(ldns_rr_rdf(rr, 0)), .v6_len = 16};
    } else if (is_svcb(rr) && read_svcb(rr, &svcb) == 0) {
        walk = (struct addr_walk){svcb.hints4, svcb.hints6, svcb.hints4_len, svcb.hints6_len};
    }
    return walk;
}

/* The next address, from the end. Returns false when there is none left. */
static bool addr_walk_next(struct addr_walk *walk, ln_addr *ret)
{
    if (walk->v6_len > 0) {
        walk->v6_len -= 16;
        *ret = addr_of(walk->v6 + walk->v6_len, 16);
        return true;
    }
    if (walk->v4_len > 0) {
        walk->v4_len -= 4;
        *ret = addr_of(walk->v4 + walk->v4_len, 4);
        return true;
    }
    return false;
}

void dns_answer_each_address(const struct dns_answer *answer,
                             void (*visit)(void *user, const ln_addr *addr, uint32_t ttl_s),
                             void *user)
{
    for (int section = DNS_SECTIONS; section-- > 0;) {
        const ldns_rr_list *list = answer->sections[section];
        for (size_t i = ldns_rr_list_rr_count(list); i-- > 0;) {
            const ldns_rr *rr = ldns_rr_list_rr(list, i);
            struct addr_walk walk = addr_walk_start(rr);
            ln_addr addr;
            while (is_in_chain(answer, rr) && addr_walk_next(&walk, &addr)) {
                visit(user, &addr, ldns_rr_ttl(rr));
            }
        }
    }
}

/* ---- judging ---- */

static bool is_alias_fine(const uint8_t *wire, size_t len, const ln_policy *policy,
                          struct dns_finding *ret)
{
    dns_name_for_rules(wire, len, ret->name);
    ln_policy_evaluate_alias(policy, ret->name, &ret->decision);
    return ret->decision.action == LN_ALLOW;
}

static enum dns_verdict judge_record(const ldns_rr *rr, const ln_policy *policy,
                                     const ln_host_addrs *host, struct dns_finding *ret)
{
    ldns_rr_type type = ldns_rr_get_type(rr);
    struct svcb svcb;
    if (type == LDNS_RR_TYPE_CNAME || type == LDNS_RR_TYPE_DNAME) {
        const ldns_rdf *target = ldns_rr_rdf(rr, 0);
        if (!is_alias_fine(ldns_rdf_data(target), ldns_rdf_size(target), policy, ret)) {
            return DNS_ANSWER_ALIAS;
        }
    } else if (is_svcb(rr) && read_svcb(rr, &svcb) == 0 && svcb.target_len > 1) {
        if (!is_alias_fine(svcb.target, svcb.target_len, policy, ret)) {
            return DNS_ANSWER_ALIAS;
        }
    }
    struct addr_walk walk = addr_walk_start(rr);
    while (addr_walk_next(&walk, &ret->addr)) {
        ln_policy_evaluate_answer(policy, host, &ret->addr, &ret->decision);
        if (ret->decision.action != LN_ALLOW) {
            return DNS_ANSWER_REBIND;
        }
    }
    return DNS_ANSWER_FINE;
}

/* Takes `ech` out of an SVCB record. Returns 1 when it was changed, 0 when there is none, or
 * -EBADMSG when the record must go. */
static int strip_ech(ldns_rr *rr)
{
    struct svcb svcb;
    if (read_svcb(rr, &svcb) < 0 || svcb.ech_mandatory) {
        return -EBADMSG;
    }
    if (svcb.ech == NULL) {
        return 0;
    }
    ldns_rdf *data = ldns_rr_rdf(rr, 0);
    uint8_t *ech = ldns_rdf_data(data) + (svcb.ech - ldns_rdf_data(data));
    size_t behind = (size_t)(ldns_rdf_data(data) + ldns_rdf_size(data) - ech) - svcb.ech_len;
    memmove(ech, ech + svcb.ech_len, behind);
    ldns_rdf_set_size(data, ldns_rdf_size(data) - svcb.ech_len);
    return 1;
}

/* Strips the HTTPS and SVCB records of a section; what cannot be stripped is dropped. Returns
 * whether anything changed. */
static bool strip_section(ldns_rr_list *list)
{
    size_t kept = 0;
    bool changed = false;
    for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
        ldns_rr *rr = ldns_rr_list_rr(list, i);
        int r = is_svcb(rr) ? strip_ech(rr) : 0;
        changed = changed || r != 0;
        if (r < 0) {
            ldns_rr_free(rr);
        } else {
            (void)ldns_rr_list_set_rr(list, rr, kept++);
        }
    }
    ldns_rr_list_set_rr_count(list, kept);
    return changed;
}

enum dns_verdict dns_answer_judge(struct dns_answer *answer, const ln_policy *policy,
                                  const ln_host_addrs *host, struct dns_finding *ret)
{
    for (int section = 0; section < DNS_SECTIONS; section++) {
        bool changed = strip_section(answer->sections[section]);
        answer->authentic = answer->authentic && !changed;
    }
    for (size_t i = 1; i < answer->n_chain; i++) {
        if (!is_alias_fine(answer->chain[i].wire, answer->chain[i].len, policy, ret)) {
            return DNS_ANSWER_ALIAS;
        }
    }
    for (int section = 0; section < DNS_SECTIONS; section++) {
        const ldns_rr_list *list = answer->sections[section];
        for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
            enum dns_verdict verdict = judge_record(ldns_rr_list_rr(list, i), policy, host, ret);
            if (verdict != DNS_ANSWER_FINE) {
                return verdict;
            }
        }
    }
    return DNS_ANSWER_FINE;
}

/* ---- writing ---- */

struct writer {
    uint8_t *dst;
    size_t len, room;
    bool full;
    /* Owners and aliases written so far that a pointer can reach. */
    struct {
        const ldns_rdf *name;
        uint16_t at;
    } known[KNOWN_NAMES];
    size_t n_known;
};

static void write_bytes(struct writer *w, const void *data, size_t len)
{
    if (w->full || w->room - w->len < len) {
        w->full = true;
        return;
    }
    memcpy(w->dst + w->len, data, len);
    w->len += len;
}

static void write_u16(struct writer *w, uint16_t v)
{
    uint8_t bytes[2];
    put_be16(bytes, v);
    write_bytes(w, bytes, sizeof(bytes));
}

static void remember_name(struct writer *w, const ldns_rdf *name)
{
    if (w->n_known < KNOWN_NAMES && w->len <= POINTER_MAX && ldns_rdf_size(name) > 2) {
        w->known[w->n_known].name = name;
        w->known[w->n_known++].at = (uint16_t)w->len;
    }
}

static bool is_same(const ldns_rdf *a, const ldns_rdf *b)
{
    return dns_name_equal(ldns_rdf_data(a), ldns_rdf_size(a), ldns_rdf_data(b), ldns_rdf_size(b));
}

static void write_owner(struct writer *w, const struct dns_answer *answer, const ldns_rdf *owner)
{
    if (is_name(owner, &answer->chain[0]) && ldns_rdf_size(owner) > 1) {
        write_u16(w, DNS_POINTER_TO_QUESTION);
        return;
    }
    for (size_t i = 0; i < w->n_known; i++) {
        if (is_same(owner, w->known[i].name)) {
            write_u16(w, (uint16_t)(0xc000u | w->known[i].at));
            return;
        }
    }
    remember_name(w, owner);
    write_bytes(w, ldns_rdf_data(owner), ldns_rdf_size(owner));
}

static void write_record(struct writer *w, const struct dns_answer *answer, const ldns_rr *rr)
{
    uint8_t ttl[4];
    size_t len = 0;
    write_owner(w, answer, ldns_rr_owner(rr));
    write_u16(w, (uint16_t)ldns_rr_get_type(rr));
    write_u16(w, (uint16_t)ldns_rr_get_class(rr));
    put_be32(ttl, ldns_rr_ttl(rr));
    write_bytes(w, ttl, sizeof(ttl));
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        len += ldns_rdf_size(ldns_rr_rdf(rr, i));
    }
    write_u16(w, (uint16_t)len); /* never more than it came with, or than a few names */
    if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME) {
        remember_name(w, ldns_rr_rdf(rr, 0));
    }
    for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
        const ldns_rdf *field = ldns_rr_rdf(rr, i);
        write_bytes(w, ldns_rdf_data(field), ldns_rdf_size(field));
    }
}

size_t dns_answer_write(const struct dns_answer *answer, uint8_t *dst, size_t room)
{
    const struct dns_query *query = answer->query;
    unsigned rcode = answer->rcode;
    if (rcode > DNS_FLAG_RCODE && !query->edns) {
        rcode = DNS_SERVFAIL; /* what the asker cannot be told otherwise */
    }
    struct writer w = {.dst = dst, .room = room - (query->edns ? DNS_OPT_LEN : 0)};
    w.len = dns_reply_begin(query, rcode, answer->authentic ? DNS_FLAG_AD : 0, dst);
    for (int section = 0; section < DNS_SECTIONS; section++) {
        const ldns_rr_list *list = answer->sections[section];
        put_be16(dst + 6 + 2 * section, (uint16_t)ldns_rr_list_rr_count(list));
        for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
            write_record(&w, answer, ldns_rr_list_rr(list, i));
        }
    }
    return w.full ? 0 : dns_reply_end(query, rcode, dst, w.len);
}
