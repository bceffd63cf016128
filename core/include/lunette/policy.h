/* Policy: a validated, compiled, immutable set of rules and settings, and the one evaluator that
 * commands, Lua, tests and the datapath share.
 *
 * Glossary
 *   rule      one action for what its static part matches: direction, protocols, ports, destination
 *   pin       "this sandbox resolved NAME to ADDRESS": the only thing that makes a domain rule
 * match claimed   a name the guest shows (TLS SNI, HTTP Host); it must be pinned to open anything
 *   never     addresses that no policy can open
 */
#ifndef LUNETTE_POLICY_H
#define LUNETTE_POLICY_H

#include "lunette/address.h"
#include "lunette/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LN_NAME_MAX                                                                                \
    253 /* bytes of a canonical name, without the terminator (RFC 1035 section 2.3.4) */

typedef enum ln_action { LN_DENY, LN_ALLOW, LN_REJECT, LN_DEFER } ln_action;
typedef enum ln_direction { LN_EGRESS, LN_INGRESS } ln_direction;
typedef enum ln_protocol { LN_TCP, LN_UDP, LN_ICMPV4, LN_ICMPV6 } ln_protocol;

#define LN_DIRECTION_BIT(d) (1u << (d))
#define LN_PROTOCOL_BIT(p)  (1u << (p))
#define LN_PROTOCOLS_ALL    0xfu

/* Destination groups; precedence where ranges overlap is the order of this list. */
typedef enum ln_group {
    LN_GROUP_HOST,
    LN_GROUP_METADATA,
    LN_GROUP_PRIVATE,
    LN_GROUP_LOOPBACK,
    LN_GROUP_LINK_LOCAL,
    LN_GROUP_MULTICAST,
    LN_GROUP_PUBLIC,
    LN_GROUPS
} ln_group;

/* Why an evaluation ended as it did. */
typedef enum ln_reason {
    LN_REASON_DEFAULT,       /* no rule matched */
    LN_REASON_RULE,          /* a rule of `rules` */
    LN_REASON_DENY_DOMAIN,   /* deny_domains or deny_domain_suffixes */
    LN_REASON_NEVER,         /* section "never": not for any policy to open */
    LN_REASON_ON_CONNECT,    /* the policy's on_connect function answered */
    LN_REASON_HANDLER_ERROR, /* one of them, or when, failed; that denies */
    LN_REASON_NAME_UNKNOWN,  /* deferred: hangs on a name not seen yet */
    LN_REASON_REBIND,        /* DNS answer with an address that may not be given */
    LN_REASON_ON_DNS,        /* the policy's on_dns function answered */
    LN_REASON_GEOIP_ERROR, /* a rule by place cannot be judged, the database is corrupt; that denies
                            */
    LN_REASON_BUDGET,      /* the guest's bytes are used up; never of the evaluator */
    LN_REASONS
} ln_reason;

LN_API const char *ln_action_name(ln_action action); /* "allow", "deny", "reject", "defer" */
LN_API const char *ln_direction_name(ln_direction direction); /* "egress", "ingress" */
LN_API const char *ln_protocol_name(ln_protocol protocol);    /* "tcp", "udp", "icmpv4", "icmpv6" */
LN_API const char *ln_group_name(ln_group group);             /* "link-local" */
LN_API const char *ln_reason_name(ln_reason reason);          /* "deny_domain" */

/* The addresses that make the group `host`: the gateway's own, which stand for the machine's
 * loopback, then the machine's. A network that is allowed does not open the gateway's: `host`, `*`,
 * the very address or a name do. Borrowed. */
typedef struct ln_host_addrs {
    const ln_addr *addrs;
    size_t n_addrs;
    size_t n_gateway; /* how many of them, the first, are the gateway's */
} ln_host_addrs;

/* The group of an address: normalised, embedded IPv4 addresses (NAT64, 6to4, IPv4-compatible)
 * judged too. */
LN_API ln_group ln_addr_group(const ln_addr *addr, const ln_host_addrs *host);
/* Whether no policy can open this address: 0/8, 127/8, 240/4, broadcast, ::, ::1 and mapped forms.
 */
LN_API bool ln_addr_is_never(const ln_addr *addr);

/* Canonical form of a host name: lower case, A-labels (UTS 46, RFC 5891), one trailing dot dropped,
 * limits 63/253 (RFC 1035). Returns the length, or -EINVAL with a static reason in *ret_why (may be
 * NULL). */
LN_API int ln_name_canonical(const char *text, size_t len, char dst[LN_NAME_MAX + 1],
                             const char **ret_why);
/* Whether `name` is a host name in its canonical form. Takes NULL: it is not. */
LN_API bool ln_name_is_canonical(const char *name);

typedef enum ln_destination_kind {
    LN_DEST_ANY,
    LN_DEST_GROUP,
    LN_DEST_PREFIX, /* CIDR or single address */
    LN_DEST_DOMAIN, /* exactly this name */
    LN_DEST_SUFFIX, /* every name below this one, not the apex */
    LN_DEST_COUNTRY,
    LN_DEST_CONTINENT,
    LN_DEST_ASN
} ln_destination_kind;

typedef struct ln_destination {
    ln_destination_kind kind;
    ln_group group;
    ln_prefix prefix;
    const char
        *name; /* DOMAIN, SUFFIX: canonical, no leading dot; COUNTRY, CONTINENT: "DE", "EU" */
    uint32_t asn;
} ln_destination;

typedef struct ln_port_range {
    uint16_t first, last; /* inclusive, 1-65535 */
} ln_port_range;

typedef struct ln_http_match_header {
    const char *name;
    const char *value; /* "*" stands for any run of characters */
} ln_http_match_header;

/* What requests have to look like; all of it has to match.
 *
 * What a request means is up to the server, and servers differ. So a rule that allows sees a
 * request as strictly, and a rule that refuses as loosely, as any server may:
 *
 *                a rule that allows                      a rule that refuses
 *     method     is spelled so; one that a field such    is spelled so whatever the case, or is put
 *                as X-HTTP-Method-Override puts in its   in its place
 *                place is in the list too
 *     path       matches in every reading                matches in some reading, whatever the case
 *                                                        and with or without a slash at the end
 *     header     the request has the field, and every    one of them matches, whatever the case
 *                one of its name matches
 *
 * The query is no part of the path. Escapes are resolved (RFC 3986 section 6.2.2), of a rule's path
 * too. A path with dot segments has two readings: with them, and with them removed (section 5.2.4).
 * A path is ambiguous where servers are not known to agree on its segments: an encoded slash, a
 * backslash, ";", "#", "?" or "%" that is encoded, an empty segment, control characters, escapes or
 * UTF-8 that are wrong, more than LN_HTTP_PATH_MAX bytes, fields such as X-Original-URL. No rule
 * with a path allows it, but for the path of all: a slash and a star. Every rule with a path
 * refuses it, unless the path starts with other segments before the first that is in doubt.
 *
 * Names of fields are the same whatever their case (RFC 9110 section 5.1), and since servers put
 * them in variables, whether they have "-" or "_". */
typedef struct ln_http_match {
    const char *const *methods; /* upper case; none: any */
    size_t n_methods;
    const char *path; /* starts with "/"; "*" stands for any run of characters; NULL: any */
    const ln_http_match_header *headers;
    size_t n_headers;
} ln_http_match;

#define LN_HTTP_PATH_MAX 8192 /* bytes of a path that is judged by its segments */

/* One rule of the expanded list, read-only. */
typedef struct ln_rule {
    ln_action action;           /* LN_ALLOW, LN_DENY, LN_REJECT */
    uint8_t directions;         /* LN_DIRECTION_BIT set */
    uint8_t protocols;          /* LN_PROTOCOL_BIT set; LN_PROTOCOLS_ALL: any */
    const ln_port_range *ports; /* ascending, disjoint, merged; NULL: any (and ICMP) */
    size_t n_ports;
    ln_destination destination;
    const ln_http_match *http; /* requests are judged: of egress, over TCP alone; NULL: the
                                  connection is */
    int when;                  /* the handler's reference, 0: none */
    bool deny_list;            /* made from deny_domains or deny_domain_suffixes */
    const char *name;          /* the user's label or NULL */
    const char *file;          /* where it was written; NULL when unknown */
    int line;
    const char *origin; /* the user's field: "rules[3]", "deny_domains[1]" */
} ln_rule;

/* Writes which requests a rule is for, for people: `GET,HEAD /repos X-Name: value`, or
 * "any request". Returns the length it would have, like snprintf. */
LN_API int ln_http_match_format(const ln_http_match *match, char *dst, size_t size);
/* Writes the destination as it stands in the one-line form: `10.0.0.0/8`, `.example.com`. Returns
 * the length it would have, like snprintf. */
LN_API int ln_destination_format(const ln_destination *destination, char *dst, size_t size);
/* Writes the one-line form: `allow@public:tcp:443`. Returns the length it would have, like
 * snprintf. */
LN_API int ln_rule_format(const ln_rule *rule, char *dst, size_t size);

/* ---- settings ---- */

typedef struct ln_endpoint { /* a nameserver: an address or a host name, and a port */
    ln_addr addr;            /* valid where host == NULL */
    const char *host;
    uint16_t port;
} ln_endpoint;

typedef struct ln_dns_host { /* a name that lunette itself answers for */
    const char *name;        /* canonical */
    const ln_addr *addrs;
    size_t n_addrs;
} ln_dns_host;

typedef struct ln_dns_forward { /* nameservers for a name and all that is below it */
    const char *name;           /* canonical, no leading dot */
    const ln_endpoint *servers;
    size_t n_servers;
} ln_dns_forward;

typedef enum ln_budget_scope {
    LN_BUDGET_SUFFIX_RULES, /* names that a rule by suffix allows */
    LN_BUDGET_ALL,
    LN_BUDGET_NONE
} ln_budget_scope;

/* What may be asked upstream about one registered domain in a minute. */
typedef struct ln_dns_budget {
    ln_budget_scope scope;
    uint32_t queries;
    uint32_t labels; /* different ones, in front of the domain */
    uint32_t bytes;  /* of these labels */
} ln_dns_budget;

typedef struct ln_port_binding {
    ln_addr bind;
    uint16_t host_port, guest_port;
    ln_protocol protocol; /* LN_TCP or LN_UDP */
    const char *origin;   /* "ports[8080]", "port_bindings[1]" */
} ln_port_binding;

typedef struct ln_bucket { /* token bucket: `size` tokens per `refill_ms`, at most `burst` extra at
                              once; size 0: no limit */
    uint64_t size, refill_ms, burst;
} ln_bucket;

typedef struct ln_limits {
    uint32_t max_connections, half_open;
    uint32_t tcp_connect_ms, tcp_half_open_ms, tcp_idle_ms, tcp_keepalive_ms;
    uint32_t udp_one_way_ms, udp_two_way_ms;
    uint32_t first_flight_bytes, first_flight_ms, client_hello_bytes, client_hello_ms;
    uint32_t fragments, fragment_bytes, fragment_ms;
    uint32_t pin_names, pin_addresses;
    uint32_t dns_in_flight, dns_tcp_idle_ms, dns_cache_entries, dns_cache_bytes;
    uint32_t leaf_certificates, leaf_valid_s;
    uint32_t http_header_bytes, h2_header_list_bytes, h2_streams;
    uint32_t handler_ms;
    uint64_t handler_instructions;
} ln_limits;

typedef struct ln_name_pattern {
    const char *name; /* canonical, no leading dot */
    bool below;       /* every name below it, at any depth; else exactly it */
} ln_name_pattern;

typedef struct ln_tls_ca_certs_for {
    ln_name_pattern host;
    const char *const *paths;
    size_t n_paths;
} ln_tls_ca_certs_for;

typedef struct ln_tls_verify_for {
    ln_name_pattern host;
    bool verify;
} ln_tls_verify_for;

typedef struct ln_tls_settings { /* paths are as written */
    bool intercept;              /* whether the policy has a `tls` table */
    bool verify_upstream, block_quic;
    const uint16_t *ports; /* the intercepted ones */
    size_t n_ports;
    const ln_name_pattern *bypass;
    size_t n_bypass;
    const char *ca_cert, *ca_key; /* both or neither (NULL: made on first use) */
    const char *const *upstream_ca_certs;
    size_t n_upstream_ca_certs;
    const ln_tls_ca_certs_for *ca_certs_for; /* beside upstream_ca_certs */
    size_t n_ca_certs_for;
    const ln_tls_verify_for *verify_for; /* instead of verify_upstream */
    size_t n_verify_for;
    int line; /* where the table begins; 0: unknown */
} ln_tls_settings;

typedef enum ln_secret_source {
    LN_SECRET_VALUE,    /* `source` is the secret itself */
    LN_SECRET_FROM_ENV, /* … the variable of lunette's environment that holds it */
    LN_SECRET_FROM_FILE,
    LN_SECRET_COMMAND /* … a command for sh(1) that prints it */
} ln_secret_source;

/* Where a secret is put in. */
enum { LN_INJECT_HEADERS = 1, LN_INJECT_BASIC_AUTH = 2, LN_INJECT_QUERY = 4, LN_INJECT_BODY = 8 };

typedef enum ln_violation {
    LN_VIOLATION_BLOCK,
    LN_VIOLATION_BLOCK_AND_LOG,
    LN_VIOLATION_BLOCK_AND_TERMINATE,
    LN_VIOLATION_HANDLER,         /* the policy's function is asked */
    LN_VIOLATION_PASS_PLACEHOLDER /* what a function may answer: nothing is done about it */
} ln_violation;
/* "block", "block-and-log", "block-and-terminate", "handler", "pass-placeholder" */
LN_API const char *ln_violation_name(ln_violation violation);

typedef struct ln_secret {
    const char *env; /* the guest's variable that holds the placeholder */
    ln_secret_source from;
    const char *source; /* by `from`; a value is wiped when the policy is freed */
    size_t source_len;
    uint32_t refresh_s; /* files and commands: how often to read again; 0: at a reload only */
    const ln_name_pattern *hosts; /* where it may go; at least one */
    size_t n_hosts;
    const char *placeholder; /* NULL: made up */
    unsigned inject;         /* LN_INJECT_* set */
    bool require_tls;
    ln_violation on_violation;
    int violation_handler; /* LN_VIOLATION_HANDLER: the function's reference */
    const char *origin;    /* "secrets[1]" */
    int line;              /* where it says where its value is from; 0: unknown */
} ln_secret;

typedef enum ln_proxy_kind { LN_PROXY_NONE, LN_PROXY_SOCKS5, LN_PROXY_HTTP } ln_proxy_kind;

/* Through which the guest's TCP connections reach the network. */
typedef struct ln_proxy {
    ln_proxy_kind kind; /* LN_PROXY_NONE: they go by themselves */
    ln_endpoint endpoint;
    const char *user, *password; /* both or neither (NULL); wiped when the policy is freed */
    bool resolve_remotely; /* a name is passed on where a rule by name makes it certain which */
} ln_proxy;

typedef struct ln_settings {
    ln_action default_egress, default_ingress;
    bool deny_by_reject; /* deny_mode = "reject" */
    bool dns_rebind_protection;
    const ln_endpoint *nameservers; /* empty: the host's resolv.conf */
    size_t n_nameservers;
    uint32_t dns_query_timeout_ms;
    bool dns_cache; /* answers are kept as long as they say */
    ln_dns_budget dns_budget;
    const ln_dns_host *dns_hosts; /* by name, ascending */
    size_t n_dns_hosts;
    const char *const *dns_search; /* for the guest's resolv.conf: canonical names */
    size_t n_dns_search;
    const ln_dns_forward *dns_forwards;
    size_t n_dns_forwards;
    const ln_port_binding *bindings;
    size_t n_bindings;
    ln_prefix ipv4_pool, ipv6_pool;
    ln_bucket egress_bytes, egress_packets, ingress_bytes, ingress_packets;
    uint64_t egress_budget,
        ingress_budget; /* bytes of payload in a gateway's life; 0: any number */
    ln_proxy proxy;
    ln_tls_settings tls;
    const ln_secret *secrets;
    size_t n_secrets;
    bool trust_host_cas;
    const char *country_db, *asn_db; /* geoip: paths as written, NULL: none */
    int on_connect, on_dns;          /* handler references, 0: none */
    ln_limits limits;
} ln_settings;

/* ---- handlers: the policy's own functions, called where something is judged: a connection at its
 * set-up, and again with each of its requests where requests are judged; a query; a violation ----
 */

typedef struct ln_flow_view {
    ln_direction direction;
    ln_protocol protocol;
    ln_addr address;          /* the peer: destination of egress, source of ingress */
    uint16_t port;            /* destination port */
    const char *const *names; /* pinned to the address */
    size_t n_names;
    const char *sni;  /* NULL: none shown */
    const char *host; /* HTTP Host, NULL: none shown */
    ln_group group;
    char country[3]; /* "DE"; "" unknown */
    uint32_t asn;    /* 0: unknown */
    uint32_t flows;  /* open now */
    uint64_t id;     /* the same at every call about a flow; 0: it is judged this once */
} ln_flow_view;

/* A DNS query, before it leaves. */
typedef struct ln_dns_query {
    const char *name;      /* canonical; for the root "" */
    const char *type;      /* "AAAA", "TYPE65400" */
    ln_protocol transport; /* LN_UDP or LN_TCP */
    uint32_t flows;        /* open now */
} ln_dns_query;

#define LN_DNS_ANSWER_MAX 16

/* What on_dns answers in the place of an upstream. */
typedef struct ln_dns_answer {
    ln_addr addrs[LN_DNS_ANSWER_MAX];
    size_t n_addrs;
} ln_dns_answer;

/* A placeholder on its way to where the secret may not go. */
typedef struct ln_violation_view {
    const char *secret; /* the name: ln_secret.env */
    const char *host;   /* where it was on its way to: a name, NULL: not known */
    ln_addr address;
    uint16_t port;
    const char *method; /* of the request; NULL: it is in none */
    const char *path;   /* as sent, without the query; NULL: likewise */
    const char *place;  /* "header", "path", "query", "body", "raw" */
} ln_violation_view;

typedef struct ln_handlers {
    void *user;
    /* `when` of a rule. Returns 1 or 0, or negative: an error, which denies. */
    int (*when)(void *user, int reference, const ln_flow_view *flow);
    /* Returns 1 and *ret_action (allow, deny, reject), 0: no opinion, or negative: an error, which
     * denies. */
    int (*on_connect)(void *user, int reference, const ln_flow_view *flow, ln_action *ret_action);
    /* Returns 1 and *ret_action (allow, deny), with addresses where it allows and answers itself;
     * 0: no opinion; or negative: an error, which denies. */
    int (*on_dns)(void *user, int reference, const ln_dns_query *query, ln_action *ret_action,
                  ln_dns_answer *ret_answer);
    /* Returns 0 and *ret_action (not LN_VIOLATION_HANDLER), or negative: an error, upon which it is
     * blocked and logged. */
    int (*on_violation)(void *user, int reference, const ln_violation_view *view,
                        ln_violation *ret_action);
    /* What went wrong in the last call that returned an error; borrowed until the next call. */
    const char *(*last_error)(void *user);
    /* The policy is freed: the references are not used again. */
    void (*release)(void *user);
} ln_handlers;

/* ---- policy ---- */

typedef struct ln_policy ln_policy; /* immutable, reference-counted, one thread */
typedef struct ln_value ln_value;   /* a configuration as a tree: base/value.h */

/* Validates and compiles. `handlers` (copied, may be NULL) is owned by the policy from success on.
 * Returns 0 and a policy with one reference, or -EINVAL with every mistake added to `problems`, or
 * -ENOMEM. */
LN_API int ln_policy_new(const ln_value *config, const ln_handlers *handlers, ln_policy **ret,
                         ln_problems *problems);
LN_API ln_policy *ln_policy_ref(ln_policy *policy);
LN_API ln_policy *ln_policy_unref(ln_policy *policy); /* takes NULL, returns NULL */
LN_API const ln_settings *ln_policy_settings(const ln_policy *policy);
LN_API size_t ln_policy_rule_count(const ln_policy *policy);
/* 1-based; NULL when there is none. */
LN_API const ln_rule *ln_policy_rule(const ln_policy *policy, size_t index);
/* After a decision with LN_REASON_HANDLER_ERROR, or a violation whose function failed: what went
 * wrong, for people; borrowed until the next evaluation. NULL: not known. */
LN_API const char *ln_policy_handler_error(const ln_policy *policy);

/* ---- pins ---- */

typedef struct ln_pins ln_pins;

/* At most `max_names` names of `max_addrs` addresses each. Returns NULL when out of memory.
 * `hash_key` keys the tables against guests that choose names to collide. */
LN_API ln_pins *ln_pins_new(uint32_t max_names, uint32_t max_addrs, const uint8_t hash_key[16]);
LN_API ln_pins *ln_pins_free(ln_pins *pins);
/* Adds one pin that lives until `expires_ns` (UINT64_MAX: for ever); a pin there already lives on
 * to the later of the two. `name` is canonical. When full, the name least recently added or used
 * goes, but never one that is held. Returns 0, -EINVAL, -ENOSPC (all names held) or -ENOMEM. */
LN_API int ln_pins_add(ln_pins *pins, const char *name, const ln_addr *addr, uint64_t now_ns,
                       uint64_t expires_ns);
/* While held, a pin neither expires nor is evicted: a flow holds those of its address. Calls pair
 * up. */
LN_API void ln_pins_hold(ln_pins *pins, const ln_addr *addr);
LN_API void ln_pins_release(ln_pins *pins, const ln_addr *addr, uint64_t now_ns);
/* Drops what expired by `now_ns`; bounded work a call, call it about once a second. */
LN_API void ln_pins_expire(ln_pins *pins, uint64_t now_ns);
/* Drops every pin of a name, held or not. Returns whether there was one. */
LN_API bool ln_pins_revoke(ln_pins *pins, const char *name);
LN_API bool ln_pins_has(const ln_pins *pins, const char *name, const ln_addr *addr,
                        uint64_t now_ns);
/* Fills `names` with up to `max` live names pinned to `addr`, borrowed until the next change;
 * returns how many. */
LN_API size_t ln_pins_names(const ln_pins *pins, const ln_addr *addr, uint64_t now_ns,
                            const char **names, size_t max);
/* How many names have pins. */
LN_API size_t ln_pins_count(const ln_pins *pins);
/* Visits every live pin. */
LN_API void ln_pins_each(const ln_pins *pins, uint64_t now_ns,
                         void (*visit)(void *user, const char *name, const ln_addr *addr,
                                       uint64_t expires_ns),
                         void *user);

/* ---- evaluation ---- */

typedef enum ln_name_state {
    LN_NAME_NONE,    /* the client showed no name, or has none to show (UDP, ICMP, server-first) */
    LN_NAME_UNKNOWN, /* not known yet: the answer may be LN_DEFER */
    LN_NAME_SHOWN    /* `claimed` is what it showed */
} ln_name_state;

/* What is known of a connection's requests. */
typedef enum ln_http_state {
    LN_HTTP_UNKNOWN, /* nothing: there may be some, of any look */
    LN_HTTP_NONE,    /* its bytes are no HTTP request */
    LN_HTTP_REQUEST  /* `request` is the one to judge */
} ln_http_state;

/* One request. Texts are borrowed for the call and need no terminator. */
typedef struct ln_http_request {
    const char *method;
    size_t method_len;
    const char *path; /* as sent; a query at its end is not looked at */
    size_t path_len;
    /* Field number `n`, counted from 0, in any order; false: there are not so many. NULL: the
     * request has none. */
    bool (*field)(const void *user, size_t n, const char **ret_name, size_t *ret_name_len,
                  const char **ret_value, size_t *ret_value_len);
    const void *user;
} ln_http_request;

typedef struct ln_query {
    ln_direction direction;
    ln_protocol protocol;
    ln_addr address; /* the peer: destination of egress, source of ingress */
    uint16_t port;   /* egress: destination port; ingress: the guest's port; 0 for ICMP */
    ln_name_state name_state;
    const char *claimed;  /* canonical; NULL unless LN_NAME_SHOWN */
    bool claimed_is_host; /* from an HTTP Host header rather than SNI: only for the flow view */
    /* Only of egress over TCP, and only once the name is known: while it is not, nothing is known
     * of requests. */
    ln_http_state http_state;
    const ln_http_request *request; /* NULL unless LN_HTTP_REQUEST */
    uint64_t now_ns;                /* the clock of the pins */
    uint32_t flows;                 /* open now, for the flow view */
    uint64_t flow; /* which flow it is, for the flow view: it may be judged more than once; 0: one
                      that is judged this once */
} ln_query;

typedef struct ln_decision {
    ln_action action;
    uint32_t rule; /* 1-based; 0: the default, the never-list, on_connect or on_dns decided */
    ln_reason reason;
    /* Of a connection that is let in, requests not known: some request could be refused, so each
     * has to be judged, and so do bytes that are none. False: all are allowed. */
    bool inspect;
} ln_decision;

/* One line of an explanation. */
typedef enum ln_miss {
    LN_MATCHED,
    LN_MISS_DIRECTION,
    LN_MISS_PROTOCOL,
    LN_MISS_PORT,
    LN_MISS_DESTINATION,
    LN_MISS_GATEWAY,      /* a network that holds the gateway's address, but does not open it */
    LN_MISS_NOT_RESOLVED, /* a name rule, but this sandbox did not resolve that name to the address
                           */
    LN_MISS_NAME,         /* a name rule that the name shown does not match */
    LN_MISS_NAME_UNKNOWN, /* hangs on a name not seen yet; only where the action is LN_DEFER */
    LN_MISS_WHEN,         /* the rule's function answered false */
    LN_MISS_HTTP_UNKNOWN, /* a rule about requests, and none has been seen */
    LN_MISS_HTTP_NONE,    /* … and the connection's bytes are none */
    LN_MISS_METHOD,
    LN_MISS_PATH,
    LN_MISS_PATH_AMBIGUOUS, /* it allows, and servers differ on what the path means */
    LN_MISS_HEADER,
    LN_MISS_KINDS
} ln_miss;
LN_API const char *ln_miss_name(ln_miss miss);

/* Called for every rule considered, in the order of the list, up to and with the one that decided.
 */
typedef struct ln_trace {
    void (*step)(void *user, uint32_t rule, ln_miss miss);
    void *user;
} ln_trace;

/* Judges a connection, or one of its requests. `pins` and `host` may be NULL (none). `trace` may be
 * NULL; with one the walk is linear, and asserted to agree with the compiled tables. Never fails:
 * what cannot be evaluated is denied.
 *
 * Rules about requests (ln_rule.http). While no request is known, none of them matches for sure,
 * and their functions are not asked. What decides then is the first other rule that matches, or the
 * default, and of the rules about requests those before it count:
 *
 *     rules about requests    what decides allows    what decides refuses
 *     none                    let in                 refused
 *     some that allow         let in                 inspect, by the first of these
 *     some that refuse        inspect                refused
 *     both                    inspect                inspect, by the first that allows
 *
 * ("Inspect": let in, with each request to be judged.)
 *
 * So the connection is let in where some request could be allowed, and a rule about requests never
 * refuses a connection. With LN_HTTP_NONE they match nothing. With LN_HTTP_REQUEST they match what
 * they are for: the first rule that matches decides, whatever it is about, else the default. The
 * never-list, deny lists and on_connect come before, as always; functions are asked once more, with
 * the same view.
 *
 * The verdict waits for the name (LN_DEFER) where of the names that could be shown one leads to
 * another verdict than others, of these three: let in, let in to be inspected, refused.
 *
 * To a DNS query, and to an address in an answer, rules about requests are as those with a
 * function: a name that one allows may be asked for; none denies a query or vouches for an address.
 */
LN_API void ln_policy_evaluate(const ln_policy *policy, const ln_pins *pins,
                               const ln_host_addrs *host, const ln_query *query, ln_decision *ret,
                               const ln_trace *trace);
/* What is done about a violation of `secret`: what it says, or its function. Never
 * LN_VIOLATION_HANDLER. Returns 0, or -EIO: the function failed, ln_policy_handler_error() says
 * how, and it is LN_VIOLATION_BLOCK_AND_LOG. */
LN_API int ln_policy_judge_violation(const ln_policy *policy, const ln_secret *secret,
                                     const ln_violation_view *view, ln_violation *ret);
/* Judges a DNS query before it leaves. `ret_answer` may be NULL; where it has addresses after, they
 * are the answer. */
LN_API void ln_policy_evaluate_query(const ln_policy *policy, const ln_dns_query *query,
                                     ln_decision *ret, ln_dns_answer *ret_answer,
                                     const ln_trace *trace);
/* The same for a query of type A whose answer does not matter. */
LN_API void ln_policy_evaluate_dns(const ln_policy *policy, const char *name, ln_protocol transport,
                                   ln_decision *ret, const ln_trace *trace);
/* Judges one name of a CNAME chain or an SVCB target: denied when the first name rule that matches
 * it denies. */
LN_API void ln_policy_evaluate_alias(const ln_policy *policy, const char *name, ln_decision *ret);
/* Rebind protection for one address of an answer. */
LN_API void ln_policy_evaluate_answer(const ln_policy *policy, const ln_host_addrs *host,
                                      const ln_addr *addr, ln_decision *ret);

#ifdef __cplusplus
}
#endif
#endif
