/* An upstream's answer on its way to the guest: read, judged, pinned, and written anew.
 *
 * What the guest gets is written from what was judged, record by record, never copied as a whole:
 * there is no second reading of the upstream's bytes that could differ from ours. */
#ifndef LN_DNS_ANSWER_H
#define LN_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "dns/message.h"
#include "lunette/policy.h"

#define DNS_ANSWER_RECORDS_MAX        512u /* more is no answer: a name keeps 64 addresses */
#define DNS_CHAIN_MAX                 16u  /* CNAME and DNAME steps from the question */
#define DNS_ANSWER_KEEP_MAX_S         86400u
#define DNS_ANSWER_KEEP_NOTHING_MAX_S 3600u

struct dns_answer;

/* Reads a whole response to `query`; its id is not looked at. `query` must outlive the answer.
 * Returns 0; -EBADMSG when malformed or not an answer to that question; -E2BIG for more than
 * DNS_ANSWER_RECORDS_MAX records; -ELOOP for a chain longer than DNS_CHAIN_MAX; -ENOMEM. */
int dns_answer_read(const struct dns_query *query, const uint8_t *msg, size_t len,
                    struct dns_answer **ret);
/* Takes NULL, returns NULL. */
struct dns_answer *dns_answer_free(struct dns_answer *answer);

/* The response code, extended by EDNS (RFC 6891 section 6.1.3). */
unsigned dns_answer_rcode(const struct dns_answer *answer);

/* For how many seconds it may be kept: the least of its records' TTLs, and of the SOA's minimum
 * where it says that there is nothing (RFC 2308 section 5); DNS_ANSWER_KEEP_MAX_S and
 * DNS_ANSWER_KEEP_NOTHING_MAX_S at most. 0: not at all, which goes for all response codes but
 * NOERROR and NXDOMAIN. */
uint32_t dns_answer_ttl(const struct dns_answer *answer);
/* Takes `age_s` seconds off every TTL. */
void dns_answer_age(struct dns_answer *answer, uint32_t age_s);

enum dns_verdict {
    DNS_ANSWER_FINE,
    DNS_ANSWER_ALIAS, /* a name of the chain, or an SVCB target, is denied */
    DNS_ANSWER_REBIND /* an address may not be given (rebind protection) */
};

/* What stopped an answer. */
struct dns_finding {
    ln_decision decision;
    char name[LN_NAME_MAX + 1]; /* DNS_ANSWER_ALIAS: as rules see it */
    ln_addr addr;               /* DNS_ANSWER_REBIND */
};

/* Judges every alias and every address, in whatever section it stands. Of HTTPS and SVCB records,
 * `ech` is taken out, and the record too where it is malformed or of no use without. Fills *ret
 * unless DNS_ANSWER_FINE. */
enum dns_verdict dns_answer_judge(struct dns_answer *answer, const ln_policy *policy,
                                  const ln_host_addrs *host, struct dns_finding *ret);

/* Visits the addresses that the answer gives for the name asked: of A, AAAA and the hints of HTTPS
 * and SVCB, where the owner is a name of the chain. Last first, so that the addresses that a client
 * will try first are pinned last and kept longest. */
void dns_answer_each_address(const struct dns_answer *answer,
                             void (*visit)(void *user, const ln_addr *addr, uint32_t ttl_s),
                             void *user);

/* Writes the reply: the asker's id and question, lunette's own OPT, AD only where nothing was taken
 * out. Returns its length, or 0 when it does not fit in `room` bytes (at least DNS_SMALL_MAX). */
size_t dns_answer_write(const struct dns_answer *answer, uint8_t *dst, size_t room);

#endif
