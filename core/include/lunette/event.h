/* Events: what happened, for the operator. Field names in JSON are fixed by the documentation. */
#ifndef LUNETTE_EVENT_H
#define LUNETTE_EVENT_H

#include "lunette/address.h"
#include "lunette/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ln_event_kind {
    LN_EVENT_FLOW_OPEN,
    LN_EVENT_FLOW_CLOSE,
    LN_EVENT_FLOW_DENIED,
    LN_EVENT_DNS_QUERY,
    LN_EVENT_DNS_DENIED,
    LN_EVENT_DNS_REBIND,
    LN_EVENT_TLS_INTERCEPTED,
    LN_EVENT_TLS_BYPASSED,
    LN_EVENT_TLS_ERROR,
    LN_EVENT_HTTP_REQUEST,
    LN_EVENT_SECRET_USED,
    LN_EVENT_SECRET_VIOLATION,
    LN_EVENT_LIMIT,
    LN_EVENT_DROP,
    LN_EVENT_RELOAD,
    LN_EVENT_HANDLER_ERROR,
    LN_EVENT_KINDS
} ln_event_kind;

/* A field that is NULL or zero is left out of the JSON, except the counters of flow_close, which
 * are always there. `time` is RFC 3339 with milliseconds in UTC, `source` is "file:line". All
 * pointers are borrowed until the callback returns. */
typedef struct ln_event {
    uint32_t size; /* sizeof(ln_event) of the library */
    ln_event_kind kind;
    uint64_t time_ms;      /* milliseconds since 1970, UTC */
    const char *protocol;  /* "tcp", "udp", "icmpv4", "icmpv6" */
    const char *direction; /* "egress", "ingress" */
    const ln_addr *src;
    const ln_addr *dst;
    uint16_t src_port;
    uint16_t port;         /* destination port */
    const char *name;      /* DNS name, SNI or Host, canonical */
    const char *name_from; /* of a flow: "shown" by the client, or "resolved": pinned to the peer */
    const char *type;      /* DNS type, "AAAA" */
    const char *action;    /* "allow", "deny", "reject" */
    uint32_t rule;         /* 1-based in the expanded list; 0: the default decided */
    const char *source_file; /* where the rule was written */
    int source_line;
    const char *reason;       /* stable code, "rule", "default", "never", … */
    const char *detail;       /* a sentence for people; no stable form */
    const ln_addr *addresses; /* dns_query: pinned to the name now; dns_rebind: what it held */
    size_t n_addresses;
    uint64_t count;               /* limit, drop: how many are told by this event */
    uint64_t bytes_out, bytes_in; /* guest to network, network to guest; payload bytes */
    uint64_t packets_out, packets_in;
    uint64_t lost;      /* events lost before this one because the sink was slow */
    const char *method; /* of a request */
    const char *path;   /* as the guest sent it, without the query */
    unsigned status;    /* that the guest got; 0: none */
    const char *secret; /* its variable; never the value */
    const char *place;  /* where its placeholder stood: "header", "path", "query", "body", "raw" */
    const char *tls_version; /* "TLSv1.3" */
    const char *alpn;        /* "h2", "http/1.1" */
} ln_event;

/* The stable name of a kind: "flow_open". */
LN_API const char *ln_event_kind_name(ln_event_kind kind);
/* Writes the event as one JSON object without a newline; always valid UTF-8 JSON, whatever the
 * names hold. Returns the length it would have, like snprintf; when that is >= size, nothing useful
 * was written. */
LN_API size_t ln_event_format_json(const ln_event *event, char *dst, size_t size);

#ifdef __cplusplus
}
#endif
#endif
