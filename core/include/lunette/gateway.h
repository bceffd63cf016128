/* A gateway: the whole network of one guest. Frames in, frames out by callback, one pollable
 * descriptor.
 *
 * A gateway belongs to one thread at a time. Callbacks may not free it, and may not call
 * ln_gateway_input()
 * (-EBUSY). Bytes handed to callbacks are borrowed until they return. */
#ifndef LUNETTE_GATEWAY_H
#define LUNETTE_GATEWAY_H

#include "lunette/event.h"
#include "lunette/frame.h"
#include "lunette/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ln_host {
    uint32_t size; /* sizeof(ln_host) */
    /* Takes one frame for the guest. Returns 0, or -EAGAIN when the link is full (the frame is
     * lost, as on a wire). */
    int (*send_frame)(void *user, const ln_frame *frame);
    /* Takes one event. Returns 0, or negative when it could not: the event is lost, which the next
     * one tells. NULL: no events. */
    int (*on_event)(void *user, const ln_event *event);
    uint64_t (*now_ns)(void *user);                       /* monotonic; NULL: the system's */
    void (*random)(void *user, uint8_t *dst, size_t len); /* cryptographic; NULL: the system's */
    /* Takes the keys of an intercepted connection: a line of the NSS key log format without its
     * end, from which whoever captured the connection can decrypt it. NULL: nobody gets them. */
    void (*keylog)(void *user, const char *line);
} ln_host;

enum {
    LN_OFFLOAD_CSUM = 1, /* send_frame takes LN_FRAME_CSUM_PARTIAL */
    LN_OFFLOAD_TSO = 2   /* send_frame takes LN_GSO_TCP4 and LN_GSO_TCP6 */
};

/* How a gateway gets at what a policy names outside of itself: certificates, the files and commands
 * that secrets come from. An embedder that confines its process, as lunette does, asks another one
 * here. Both are called when a gateway is made and at a reload, `run` also when a secret is due.
 * What the descriptors give is taken as it is. */
typedef struct ln_files {
    uint32_t size; /* sizeof(ln_files) */
    void *user;
    /* Opens a regular file for reading. Returns a descriptor, which is the gateway's, or a negative
     * errno. */
    int (*open)(void *user, const char *path);
    /* Starts a command, as by `sh -c`, and does not wait for it. Returns the descriptor of a pipe
     * or stream socket, which is the gateway's, or a negative errno. The descriptor gives, up to
     * its end, an int32_t and what the command printed: 0 when it succeeded; else its exit status,
     * or a negative errno (-ETIMEDOUT, -EFBIG) when it was ended. */
    int (*run)(void *user, const char *command);
} ln_files;

typedef struct ln_config {
    uint32_t size;              /* sizeof(ln_config) */
    ln_policy *policy;          /* the gateway takes a reference of its own */
    uint32_t slot;              /* 0-65535: which subnets of the policy's pools */
    uint32_t mtu;               /* 1280-65520; 0: 1500 */
    uint32_t offloads;          /* LN_OFFLOAD_* that send_frame understands */
    const char *resolv_conf;    /* where the host's nameservers stand; NULL: /etc/resolv.conf */
    const ln_endpoint *guarded; /* endpoints of this machine, by address, that the guest does not
                                   reach whatever the policy allows, as of lunette's own services */
    size_t n_guarded;           /* at most 64 */
    bool learn_names;      /* look for a name in the first bytes of every TCP flow, also where no
                              verdict hangs on it: for events that tell names */
    const char *data_dir;  /* where the interception CA is kept, and made on first use; NULL:
                              $XDG_DATA_HOME/lunette, or ~/.local/share/lunette */
    const ln_files *files; /* borrowed for the gateway's life; NULL: the system's */
} ln_config;

typedef struct ln_gateway ln_gateway;

typedef struct ln_stats {
    uint64_t frames_in, frames_out, frame_bytes_in, frame_bytes_out;
    uint64_t flows_opened, flows_denied, flows_evicted;
    uint32_t flows_now, half_open_now, udp_sockets_now;
    uint64_t dns_queries, dns_denied; /* all that were answered or refused; the latter of them */
    uint64_t events_lost;
    uint64_t bytes_out, bytes_in; /* payload of all flows and of DNS; what `budget` counts */
    bool used_up;                 /* a budget is */
    uint64_t drops[32];           /* by drop reason */
    /* TLS handshakes completed with the guest and with servers, and those of all that failed. */
    uint64_t tls_guest_full, tls_guest_resumed, tls_server_full, tls_server_resumed, tls_failed;
    uint64_t http_requests, secrets_used, secret_violations;
} ln_stats;

/* Creates a gateway. Returns 0, or a negative errno with *reterr filled (may be NULL). */
LN_API int ln_gateway_new(const ln_config *config, const ln_host *host, void *user,
                          ln_gateway **ret, ln_error *reterr);
/* Takes NULL, returns NULL. Open flows are closed without a word to the guest; their events are
 * told. Not from inside a callback. */
LN_API ln_gateway *ln_gateway_free(ln_gateway *gw);
/* Constant for its life; readable when ln_gateway_dispatch() has work. */
LN_API int ln_gateway_fd(const ln_gateway *gw);
/* One frame from the guest. Returns 0 (also when it was dropped: that is counted), or -EBUSY from
 * inside a callback. */
LN_API int ln_gateway_input(ln_gateway *gw, const ln_frame *frame);
/* Does what is due: sockets, timers, and the answers to the frames put in since the last call.
 * Never blocks. */
LN_API int ln_gateway_dispatch(ln_gateway *gw);
/* Swaps the policy, of which it takes a reference; live flows are judged again and those now denied
 * are reset. On failure the old policy stays, whole. Returns 0, or a negative errno with *reterr
 * filled (may be NULL); -EBUSY from inside a callback. */
LN_API int ln_gateway_reload(ln_gateway *gw, ln_policy *policy, ln_error *reterr);
/* The guest is gone, and another may come: every flow is reset towards its peer and closed
 * ("guest_gone"), without a frame to the guest; what the guest had resolved, its half-sent
 * datagrams and the flows it was refused are forgotten. Policy, addresses and counters stay.
 * Returns 0, -EBUSY from inside a callback, or -ENOMEM: then nothing was done. */
LN_API int ln_gateway_reset(ln_gateway *gw);
/* Why the guest is to be ended: it sent a placeholder to where the secret may not go, and the
 * policy says block-and-terminate. A sentence, borrowed for the gateway's life; NULL: it need not.
 * From the turn on in which that happened nothing passes; whoever runs the guest asks after each
 * dispatch, and ends it. */
LN_API const char *ln_gateway_condemned(const ln_gateway *gw);
LN_API void ln_gateway_stats(const ln_gateway *gw, ln_stats *ret);
/* The name of a drop reason, NULL past the last. */
LN_API const char *ln_drop_name(unsigned reason);

/* ---- looking into a running gateway ---- */

typedef struct ln_flow {
    uint64_t id; /* of this flow and no other of this gateway */
    ln_direction direction;
    ln_protocol protocol;
    ln_addr guest, peer;            /* the peer as the policy sees it */
    uint16_t guest_port, peer_port; /* 0 for echo */
    const char *state;              /* "half_open", "open", "closing", "one_way", "two_way" */
    const char *name;               /* that was shown; NULL: none */
    uint32_t rule;                  /* that allowed it; 0: a default, or it is not judged yet */
    uint64_t age_ms;
    uint64_t bytes_out, bytes_in; /* payload; guest to network is out */
    uint64_t packets_out, packets_in;
} ln_flow;

/* Visits every live flow. What `flow` points to is borrowed until the call returns; `visit` may not
 * change the gateway. */
LN_API void ln_gateway_flows(ln_gateway *gw, void (*visit)(void *user, const ln_flow *flow),
                             void *user);
/* Ends a flow: both sides are reset ("revoked"). Returns 0, -ENOENT, or -EBUSY from inside a
 * callback. */
LN_API int ln_gateway_end_flow(ln_gateway *gw, uint64_t id);
/* Visits every name that the guest resolved, with each of its addresses. */
LN_API void ln_gateway_pins(const ln_gateway *gw,
                            void (*visit)(void *user, const char *name, const ln_addr *addr,
                                          uint64_t left_ms),
                            void *user);
/* Forgets what the guest resolved a name to, and judges live flows again: those that only this name
 * had opened are reset. Returns 0, -ENOENT when it is not resolved, -EINVAL when it is no name, or
 * -EBUSY from inside a callback. */
LN_API int ln_gateway_revoke(ln_gateway *gw, const char *name);
/* How many flows a rule decided since the policy was loaded; 0: the defaults. */
LN_API uint64_t ln_gateway_rule_hits(const ln_gateway *gw, uint32_t rule);
/* The policy in force; borrowed until the next reload. */
LN_API const ln_policy *ln_gateway_policy(const ln_gateway *gw);

/* ---- what the guest is to be told ---- */

/* The certificate of the interception CA, which the guest is to trust, as PEM text; NULL: nothing
 * is intercepted. Borrowed for the gateway's life, in which it does not change. */
LN_API const char *ln_gateway_ca(const ln_gateway *gw);
/* The certificates of the machine's own roots, as PEM text: for a guest whose policy has
 * trust_host_cas; else NULL. Borrowed likewise. */
LN_API const char *ln_gateway_host_cas(const ln_gateway *gw);

/* A secret of the policy in force; never its value. */
typedef struct ln_secret_status {
    const ln_secret *secret; /* of which `source` may be a value: not to be shown */
    const char *placeholder; /* for the guest's variable secret->env */
    uint64_t age_ms;         /* since its value was read */
    const char *failure;     /* why it could not be read again; NULL: it could */
} ln_secret_status;
/* Visits every secret. What `status` points to is borrowed until the call returns; `visit` may not
 * change the gateway. */
LN_API void ln_gateway_secrets(const ln_gateway *gw,
                               void (*visit)(void *user, const ln_secret_status *status),
                               void *user);

/* What the guest is to be configured with. */
typedef struct ln_link {
    uint8_t gateway_mac[6], guest_mac[6];
    ln_addr gateway4, guest4, gateway6, guest6;
    uint8_t bits4, bits6; /* 30 and 64 */
    bool route4, route6;  /* whether a default route of the family makes sense here */
    uint32_t mtu;
} ln_link;
LN_API void ln_gateway_link(const ln_gateway *gw, ln_link *ret);

#ifdef __cplusplus
}
#endif
#endif
