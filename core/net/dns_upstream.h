/* Questions to upstream nameservers: sockets, tries, and which answer counts. */
#ifndef LN_NET_DNS_UPSTREAM_H
#define LN_NET_DNS_UPSTREAM_H

#include "dns/message.h"
#include "lunette/policy.h"
#include "net/loop.h"
#include "net/resolv_conf.h"

/* The nameservers for a name and all that is below it. */
struct zone {
    char name[LN_NAME_MAX + 1]; /* "": the root, for all other names */
    struct nameservers servers;
};

struct dns_upstream {
    struct loop *loop;
    struct zone *zones; /* the first is the root */
    size_t n_zones;
    uint32_t timeout_ms; /* of one question, over all tries */
    uint8_t *datagram;   /* where datagrams are received */
};

/* The upstreams are the nameservers of the settings, else `host`, those of the machine; and those
 * of dns.forward for what is theirs. Host names among those of the settings are resolved now, by
 * the machine's; this waits for them, within dns_query_timeout_ms each. `loop` must outlive the
 * upstream. Returns 0, or a negative errno with *reterr filled: a name does not resolve, or there
 * are more than NAMESERVERS_MAX in one list. */
int dns_upstream_init(struct dns_upstream *upstream, struct loop *loop,
                      const struct nameservers *host, const ln_settings *settings,
                      ln_error *reterr);
/* Adds the addresses of an endpoint to `servers`, at most one of each family for a host name, for
 * which this waits as above. `host` are the machine's nameservers, `field` is for the error.
 * Returns 0 or a negative errno with *reterr filled. */
int dns_upstream_resolve(const struct dns_upstream *upstream, const struct nameservers *host,
                         const char *field, const ln_endpoint *endpoint,
                         struct nameservers *servers, ln_error *reterr);
/* No exchange may be under way. */
void dns_upstream_fini(struct dns_upstream *upstream);
/* Takes over the servers and the timeout of `from`, which is then ended. Exchanges under way go on
 * with the servers that they know. */
void dns_upstream_swap(struct dns_upstream *upstream, struct dns_upstream *from);

/* One server that an exchange asks. */
struct dns_try {
    struct watch watch;
    struct dns_exchange *exchange;
    struct nameserver server;
    uint16_t id;
    uint8_t case_bits[DNS_NAME_WIRE_MAX / 8 + 1]; /* of the letters of the question */
    bool mixed;                                   /* it has them; else it is in lower case */
    uint16_t strays;                              /* datagrams that were no answer */
    bool asked, failed;
    bool again; /* the server wanted to be asked with another cookie, and was */
    bool tcp;
    uint16_t sent;   /* TCP: bytes of the query */
    uint8_t head[2]; /* TCP: the length before the answer */
    uint32_t got;    /* TCP: bytes of both */
    uint8_t *answer; /* TCP: owned */
};

/* The exchange is over: with the answer, borrowed until this returns, or NULL and why there is
 * none. The exchange's memory is the owner's again. */
typedef void dns_done_fn(struct dns_exchange *exchange, const uint8_t *answer, size_t len,
                         const char *why);

/* One question on its way. Embed it in the owner. */
struct dns_exchange {
    struct dns_upstream *upstream;
    const struct dns_query *query;
    dns_done_fn *done;
    struct timer timer;
    uint64_t deadline_ns;
    struct dns_try tries[NAMESERVERS_MAX];
    uint8_t n_tries;
    uint8_t turn; /* how many times a server was asked, or passed over */
    bool named;   /* the guest's own resolver: its truncated answers count */
};

/* Asks the upstreams of the question's name, over UDP and, where the answer is truncated, TCP.
 * `query` must outlive the exchange. Returns 0, and `done` is called later, from the loop; or a
 * negative errno, and it is not. */
int dns_exchange_start(struct dns_exchange *exchange, struct dns_upstream *upstream,
                       const struct dns_query *query, dns_done_fn *done);
/* Likewise asks one resolver, over `transport` and no other. */
int dns_exchange_start_named(struct dns_exchange *exchange, struct dns_upstream *upstream,
                             const struct dns_query *query, const struct nameserver *resolver,
                             ln_protocol transport, dns_done_fn *done);
/* Ends an exchange that was started and is not done; `done` is not called. */
void dns_exchange_cancel(struct dns_exchange *exchange);

#endif
