/* A TCP flow between a guest's endpoint and a host socket, as its files share it: tcp_flow.c (its
 * life; read the theory of operation there), tcp_judge.c (the verdict), tcp_dial.c (reaching the
 * host), tcp_first.c (the guest's first bytes), tcp_inspect.c (flows whose bytes are looked at, or
 * changed, on their way).
 */
#ifndef LN_NET_TCP_FLOW_H
#define LN_NET_TCP_FLOW_H

#include "net/gateway.h"
#include "net/host_socket.h"
#include "net/inspection.h"

enum far_state { FAR_NONE, FAR_DIALLING, FAR_CONNECTED };

struct tcp_flow {
    struct flow flow;
    struct tcp_endpoint ep;
    struct tcp_far side; /* the endpoint's view of us */
    ln_gateway *gw;
    struct host_socket host;
    struct watch watch;
    struct timer timer;            /* of dialling, or of the first flight */
    struct proxy_handshake *proxy; /* while it is dialled through a proxy; NULL: not */
    struct first_bytes *first;     /* what is kept of them; NULL: nothing */
    struct inspection *inspection; /* owned; NULL: bytes pass as they are */
    uint64_t first_ns;             /* when the first flight began; 0: not yet */
    struct throttled waits[2];     /* in gw->lanes */
    struct tcp_flow *next;         /* in gw->tcp_ready */
    uint32_t enlisted;             /* the turn in which it came there */
    uint32_t turn;                 /* in which `share` was given */
    uint64_t counted_in;           /* bytes for the guest that were sent at least once */
    uint32_t written;      /* the size of the last write: the guest may send large segments */
    uint8_t share;         /* segments that may still be sent in that turn */
    uint8_t far;           /* enum far_state */
    uint8_t doubts;        /* doubt.c: questions that the guest did not answer */
    bool ready : 1;        /* in gw->tcp_ready */
    bool watching : 1;     /* the first bytes are still looked at */
    bool passing : 1;      /* the guest's bytes may go to the host */
    bool permitted : 1;    /* the pins allow it as long as no name shows */
    bool certain : 1;      /* no name can change the verdict: it is looked for all the same */
    bool strict : 1;       /* nothing passes before the first flight has shown what it is */
    bool wordless : 1;     /* it has: its bytes are no requests that could be judged */
    bool told : 1;         /* flow_open was */
    bool denied : 1;       /* flow_denied is due at the end */
    bool finish_due : 1;   /* the guest's FIN is to follow what is kept */
    bool second : 1;       /* of the two loopback addresses behind the gateway's own */
    bool name_is_host : 1; /* flow.name was an HTTP Host */
    int doom;              /* -errno that ends it, or its dialling, next turn; 0: none */
    const char *reason;    /* of the end, where it is not the endpoint's; NULL */
};

static inline const ln_limits *tcp_flow_limits(const struct tcp_flow *f)
{
    return &ln_policy_settings(f->gw->admission.policy)->limits;
}

/* Ends the flow, or its dialling, in the next turn: for callbacks of the endpoint, which must not
 * end it themselves. */
void tcp_flow_doom(struct tcp_flow *f, int err);
/* The next turn will come back to it. */
void tcp_flow_enlist(struct tcp_flow *f);
/* Tells flow_open, once. */
void tcp_flow_tell_open(struct tcp_flow *f);
/* Files the flow as half-open or open, whichever it is now. */
void tcp_flow_classify(struct tcp_flow *f);

/* ---- tcp_judge.c ---- */

/* Judges with what is known of the name. An allowed flow passes its bytes from here on, and is
 * dialled if it was not. Returns whether it is allowed; if not, it is to be ended. */
bool tcp_flow_judge(struct tcp_flow *f, ln_name_state name_state, const char *name, bool is_host);

/* ---- tcp_dial.c ---- */

/* Starts connecting to the host. A failure shows in the next turn. */
void tcp_dial(struct tcp_flow *f);
/* The address dialled answered with an error, or not in time: tries the next, or lets the guest
 * know and ends the flow. */
void tcp_dial_failed(struct tcp_flow *f, int err);
/* The host socket is writable for the first time. Returns whether it is connected; if not, the flow
 * may have ended. */
bool tcp_dial_done(struct tcp_flow *f, uint32_t events);
/* Lets go of the host socket. */
void tcp_hang_up(struct tcp_flow *f, bool reset);

/* ---- tcp_first.c ---- */

/* Whether bytes of the guest go through here rather than straight to the host. */
static inline bool tcp_first_concerns(const struct tcp_flow *f)
{
    return f->watching || f->first != NULL;
}
/* Takes bytes of the guest. Returns how many; -EACCES when they deny the flow; -ENOMEM, or what the
 * host socket failed with. */
ssize_t tcp_first_take(struct tcp_flow *f, const uint8_t *data, size_t len);
/* How many more would be taken. */
size_t tcp_first_space(const struct tcp_flow *f);
/* Starts counting the time of the first flight. Returns whether that can be; if not, the flow is
 * denied. */
bool tcp_first_start_clock(struct tcp_flow *f);
/* The time is up: the pins decide. May end the flow. */
void tcp_first_time_is_up(struct tcp_flow *f);
/* The guest sends no more, so no name comes any more. -EACCES when the flow is denied. */
int tcp_first_finish(struct tcp_flow *f);
/* Writes to the host what is kept, as far as it may be and fits, and the FIN that is due. Returns 0
 * or what the host socket failed with. */
int tcp_first_pass(struct tcp_flow *f);
/* Whether the host has all that was kept. */
bool tcp_first_all_passed(const struct tcp_flow *f);
void tcp_first_free(struct tcp_flow *f);

/* ---- tcp_inspect.c ---- */

/* From here on all bytes go through `inspection`, which is the flow's. The flow is `passing` and
 * not `watching`, and nothing of either side was passed on. `data` are the guest's first bytes.
 * Returns 0, or -errno when it is to be reset. For callbacks of the endpoint. */
int tcp_inspect_start(struct tcp_flow *f, struct inspection *inspection, const uint8_t *data,
                      size_t len);
/* The callbacks of the endpoint, for an inspected flow: see struct tcp_far_ops. */
ssize_t tcp_inspect_write(struct tcp_flow *f, const uint8_t *data, size_t len);
size_t tcp_inspect_space(const struct tcp_flow *f);
ssize_t tcp_inspect_peek(struct tcp_flow *f, size_t offset, uint8_t *dst, size_t len);
void tcp_inspect_discard(struct tcp_flow *f, size_t len);
void tcp_inspect_finish(struct tcp_flow *f);
bool tcp_inspect_is_done(const struct tcp_flow *f);
/* The host is connected, after tcp_inspect_start(). */
void tcp_inspect_connected(struct tcp_flow *f);
/* The host socket's report; the connection is made. May end the flow. */
void tcp_inspect_ready(struct tcp_flow *f, uint32_t events);
/* Moves on what can be: for those who are no callback of the endpoint. May end the flow. */
void tcp_inspect_go_on(struct tcp_flow *f);
void tcp_inspect_free(struct tcp_flow *f);

#endif
