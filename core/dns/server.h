/* The name server of a guest, without I/O: a query in, and a reply or a question for an upstream
 * out; that upstream's answer in, and a reply out. Nothing leaves before policy allowed it; nothing
 * reaches the guest before its addresses are judged and pinned. */
#ifndef LN_DNS_SERVER_H
#define LN_DNS_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "dns/budget.h"
#include "dns/cache.h"
#include "dns/message.h"
#include "flow/admission.h"
#include "packet/packet.h"

#define DNS_PORT        53u
#define DNS_TLS_PORT    853u  /* RFC 7858 section 3.1 */
#define DNS_UDP_MAX     4096u /* the largest reply over UDP, whatever the asker takes */
#define DNS_PIN_TTL_S   60u   /* pins live no shorter, whatever the answer says */
#define DNS_LOCAL_TTL_S 60u   /* of the gateway's own names */

/* Zero-initialise, then set the borrowed pointers. */
struct dns_server {
    struct admission *admission;      /* policy, pins, where events go */
    const struct link_identity *link; /* the gateway's addresses, and which families it can route */
    struct dns_cache *cache;          /* of the policy's resolvers' answers; NULL: none */
    struct dns_budget *budget;        /* what was asked in this minute; NULL: nobody counts */
    bool closed;                      /* the guest's bytes are used up: every query is refused */
    uint32_t in_flight;               /* tickets out */
    uint32_t over_limit;              /* refused for want of room, not told: the owner takes them */
};

/* Who asked, and whom. */
struct dns_asker {
    ln_protocol transport; /* LN_UDP or LN_TCP */
    ln_addr guest, resolver;
    uint16_t guest_port;
    uint16_t resolver_port; /* DNS_PORT, or DNS_TLS_PORT */
    const char *claimed;    /* DNS over TLS: the resolver's name, canonical, as the guest showed it;
                               NULL: none. Borrowed while a ticket is out */
    uint32_t flows;         /* open now, for the policy's functions */
};

/* A question that is on its way. The memory is the caller's; what is in it is the server's until
 * the ticket is given back. */
struct dns_ticket {
    struct dns_asker asker;
    struct dns_query query;
    ln_policy *policy;    /* that allowed it: a reference, while the ticket is out */
    ln_decision decision; /* that policy's */
    bool named;           /* ask asker.resolver and none else, over the asker's transport */
    bool pinned;          /* the answer makes pins */
    bool cached;          /* the answer is from the cache */
};

enum dns_step {
    DNS_DROP,  /* nothing that could be answered */
    DNS_REPLY, /* the reply stands in `dst` */
    DNS_ASK    /* *ret_ticket is out: an upstream is to be asked its `query` */
};

/* What no policy has a say in: the response code for a name (canonical) and type that are never
 * forwarded, with a stable reason ("refused", "discovery"); DNS_NOERROR for all others. */
unsigned dns_server_refuses(const char *name, uint16_t type, const char **ret_reason);

/* Whether lunette itself answers for the name, with the gateway's addresses or those of dns.hosts,
 * with which rebind protection has nothing to do. */
bool dns_server_is_own_name(const ln_policy *policy, const char *name);

/* Takes a query of `len` bytes as it came. `dst` is for a reply, whose length goes to *ret_len.
 *
 * Where the cache has the answer, it is given as if it had just come: the name was judged before,
 * the answer is judged again, its pins are renewed. The cache holds nothing of resolvers that the
 * guest names; what it holds is to be cleared when the policy's resolvers change.
 *
 * A resolver that the guest names instead of the gateway is asked when policy allows the flow to
 * it. What it answers makes pins only when that rule names it by its own address or name: else the
 * guest could choose what its names resolve to.
 *
 * With limits.dns_in_flight tickets out, the reply is SERVFAIL: the asker learns at once, and no
 * older question is lost. */
enum dns_step dns_server_query(struct dns_server *server, const struct dns_asker *asker,
                               const uint8_t *msg, size_t len, uint64_t now_ns,
                               struct dns_ticket *ret_ticket, uint8_t dst[DNS_MESSAGE_MAX],
                               size_t *ret_len);

/* Gives a ticket back with an upstream's answer, whose id is not looked at. Writes the reply to
 * `dst` and returns its length. If the policy is another by now, it decides. A truncated answer
 * (only a named resolver's) makes a truncated reply. */
size_t dns_server_answer(struct dns_server *server, struct dns_ticket *ticket, const uint8_t *msg,
                         size_t len, uint64_t now_ns, uint8_t dst[DNS_MESSAGE_MAX]);
/* Gives a ticket back without an answer; `why` is for the event. Writes SERVFAIL. */
size_t dns_server_fail(struct dns_server *server, struct dns_ticket *ticket, const char *why,
                       uint8_t dst[DNS_SMALL_MAX]);
/* Gives a ticket back when the asker is gone. */
void dns_server_cancel(struct dns_server *server, struct dns_ticket *ticket);

#endif
