/* DNS messages as bytes (RFC 1035, 6891): what a decision about a query needs, and the small
 * messages that lunette writes itself. No allocation; records of answers are answer.h's. */
#ifndef LN_DNS_MESSAGE_H
#define LN_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "lunette/policy.h"

#define DNS_HEADER_LEN    12u
#define DNS_NAME_WIRE_MAX 255u  /* RFC 1035 section 2.3.4 */
#define DNS_NAME_TEXT_MAX 1024u /* any name as text, every byte escaped, and the terminator */
#define DNS_UDP_MIN       512u  /* what every asker takes, RFC 1035 section 4.2.1 */
#define DNS_UDP_SIZE      1232u /* what lunette announces: fits any path without fragments */
#define DNS_MESSAGE_MAX   65535u
#define DNS_OPT_LEN       11u  /* of an OPT record without options */
#define DNS_SMALL_MAX     320u /* any message that dns_query_write() and dns_reply_*() write */
#define DNS_TYPE_TEXT_MAX 12u  /* "TYPE65535" and the terminator, likewise "RCODE4095" */

enum {
    DNS_FLAG_QR = 0x8000,
    DNS_FLAG_OPCODE = 0x7800,
    DNS_FLAG_AA = 0x0400,
    DNS_FLAG_TC = 0x0200,
    DNS_FLAG_RD = 0x0100,
    DNS_FLAG_RA = 0x0080,
    DNS_FLAG_AD = 0x0020,
    DNS_FLAG_CD = 0x0010,
    DNS_FLAG_RCODE = 0x000f
};

enum {
    DNS_TYPE_A = 1,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_DNAME = 39,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_RRSIG = 46,
    DNS_TYPE_SVCB = 64,
    DNS_TYPE_HTTPS = 65,
    DNS_CLASS_IN = 1
};

enum {
    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16 /* extended: needs EDNS */
};

#define DNS_POINTER_TO_QUESTION 0xc00cu /* a compressed name: the question's */

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

struct dns_header {
    uint16_t id, flags, questions;
    uint16_t records[DNS_SECTIONS];
};

struct dns_question {
    uint8_t wire[DNS_NAME_WIRE_MAX]; /* the name as the asker wrote it, uncompressed */
    uint8_t wire_len;
    char name[LN_NAME_MAX + 1]; /* as rules see it: dns_name_for_rules() */
    bool odd;                   /* holds bytes that a host name cannot hold */
    uint16_t type, class_;
};

struct dns_query {
    uint16_t id, flags; /* the header's */
    bool has_question;
    bool edns, dnssec_ok; /* an OPT record was there; its DO bit */
    uint16_t udp_size;    /* what the asker takes over UDP, at least DNS_UDP_MIN */
    struct dns_question question;
};

/* Reads a query strictly: header, exactly one question, records that end where the message ends, at
 * most one OPT. Records other than OPT are skipped, not kept. Returns the response code: 0, or
 * DNS_FORMERR, DNS_NOTIMP or DNS_BADVERS with *ret filled as far as an error reply needs it; or
 * -EBADMSG when nothing can be answered (no header, or a response), *ret untouched. */
int dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *ret);

/* Writes the query that leaves: `id`, the flags RD, AD and CD, the question in lower case, and an
 * OPT of our own with the asker's DO bit. No other byte of the asker's message. Returns the
 * length. */
size_t dns_query_write(const struct dns_query *query, uint16_t id, uint8_t dst[DNS_SMALL_MAX]);
/* Gives each letter of its question a case by one bit of `random`, which an answer has to repeat
 * (draft-vixie-dnsext-dns0x20). */
void dns_query_mix_case(uint8_t *msg, size_t len, const uint8_t random[DNS_NAME_WIRE_MAX / 8 + 1]);
/* Takes the OPT off its end, for servers that do not know EDNS. Returns the length that is left. */
size_t dns_query_strip_edns(uint8_t *msg, size_t len);

/* The two ends of a reply: header (`flags`: AD, TC; the counts of records are zero) and question,
 * and the OPT where the asker sent one. Extended `rcode`s need query->edns. Both return the length
 * of the message so far. */
size_t dns_reply_begin(const struct dns_query *query, unsigned rcode, uint16_t flags, uint8_t *dst);
size_t dns_reply_end(const struct dns_query *query, unsigned rcode, uint8_t *dst, size_t len);

/* Writes a reply without records: `rcode` (extended ones need query->edns), TC when `truncated`.
 * Returns the length. */
size_t dns_reply_write(const struct dns_query *query, unsigned rcode, bool truncated,
                       uint8_t dst[DNS_SMALL_MAX]);

/* Writes a reply with the addresses of the family that is asked for, as many as fit in `room` bytes
 * (at least DNS_SMALL_MAX, enough for one); `ttl_s` in seconds. Returns the length. */
size_t dns_reply_write_addresses(const struct dns_query *query, const ln_addr *addrs, size_t n,
                                 uint32_t ttl_s, uint8_t *dst, size_t room);

/* Reads the header. */
void dns_header_read(struct reader *r, struct dns_header *ret);
/* Reads one question (its name uncompressed) and tells whether it is this one, names compared
 * without case. */
bool dns_question_matches(struct reader *r, const struct dns_question *question);

/* One record of a message, as offsets into it. */
struct dns_record {
    size_t start, rdata, end; /* of the owner's name, of the data, behind the data */
    uint16_t type, class_;
    uint32_t ttl_s;
    bool root; /* the owner is the root, not compressed */
};

/* Reads the record at `r`, a reader over the whole message that starts at `msg`. Names are passed
 * over, not followed. On failure r->failed is set and *ret is undefined. */
void dns_record_read(struct reader *r, const uint8_t *msg, struct dns_record *ret);

/* Whether `msg` is a whole, well-formed response to `question` asked as `id`: header, the same
 * single question (names compared without case), records that end where the message ends, at most
 * one OPT. A truncated response may end early (RFC 2181 section 9). Writes its flags. */
bool dns_answer_matches(const struct dns_question *question, uint16_t id, const uint8_t *msg,
                        size_t len, uint16_t *ret_flags);

/* Whether the question of a well-formed answer repeats that of `query`, as it was sent, case
 * included. */
bool dns_answer_repeats_case(const uint8_t *query, const uint8_t *msg, size_t len);
/* Whether a response to `id` says FORMERR, be there a question in it or not: what servers say that
 * do not know EDNS (RFC 6891 section 7). */
bool dns_answer_is_formerr(uint16_t id, const uint8_t *msg, size_t len);

/* Writes an uncompressed, well-formed wire name of `len` bytes as rules see it: lower case, no
 * trailing dot, "" for the root. A label with a byte that a host name cannot hold becomes `*`,
 * which no rule can name: such a name is matched by what is said of the names above it, by `*` and
 * by the default, but never by a rule for exactly one name. Returns whether there was no such
 * label. */
bool dns_name_for_rules(const uint8_t *wire, size_t len, char dst[LN_NAME_MAX + 1]);
/* The same name for people: every such byte as \DDD (RFC 1035 section 5.1). */
void dns_name_text(const uint8_t *wire, size_t len, char dst[DNS_NAME_TEXT_MAX]);

/* Writes a canonical name as wire name. Returns its length. */
size_t dns_name_from_text(const char *text, uint8_t dst[DNS_NAME_WIRE_MAX]);

/* Lower case of ASCII, and of nothing else (RFC 4343). */
static inline uint8_t dns_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Whether two uncompressed wire names are equal without case (RFC 4343). */
bool dns_name_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

/* Whether a canonical name is `apex` or below it. */
bool dns_name_is_at_or_below(const char *name, const char *apex);

/* "AAAA", or "TYPE1234" (RFC 3597 section 5) put into `dst`. */
const char *dns_type_name(uint16_t type, char dst[DNS_TYPE_TEXT_MAX]);
/* The type of that name, case aside, or of "TYPE65534" (RFC 3597 section 5). Returns whether there
 * is one. */
bool dns_type_parse(const char *name, uint16_t *ret);
/* "NXDOMAIN", or "RCODE11" put into `dst`. */
const char *dns_rcode_name(unsigned rcode, char dst[DNS_TYPE_TEXT_MAX]);

#endif
