/* The guest's side of a TCP connection: lunette's own endpoint (RFC 9293), an engine without I/O.
 *
 * The endpoint keeps no copy of any payload. Bytes from the guest are handed to the far side in
 * order, at once, and only what the far side took is acknowledged; bytes for the guest stay with
 * the far side, which is asked for them by offset (peek) as often as needed, until the guest has
 * acknowledged them (discard). */
#ifndef LN_STACK_TCP_H
#define LN_STACK_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/hash.h"
#include "base/timer.h"
#include "lunette/frame.h"
#include "packet/packet.h"

/* Why an endpoint ended. */
enum tcp_end {
    TCP_END_DONE,    /* both sides finished */
    TCP_END_GUEST,   /* the guest reset it */
    TCP_END_FAR,     /* the far side failed, or we were told to abort */
    TCP_END_TIMEOUT, /* the guest stopped answering, or was idle too long */
    TCP_END_REFUSED  /* never opened */
};

/* The far side: a host socket, a DNS stream, a pipeline of inspection. Embed it in the owner. */
struct tcp_far {
    const struct tcp_far_ops *ops;
};

struct tcp_far_ops {
    /* Takes bytes from the guest, in order. Returns how many it took (0 when it is full), or a
     * negative errno: the connection failed and is reset. Taking fewer than space() has promised
     * is legal but slow: the guest must send the rest again. */
    ssize_t (*write)(struct tcp_far *far, const uint8_t *data, size_t len);
    /* How many bytes write() would surely take now. */
    size_t (*space)(struct tcp_far *far);
    /* Copies up to `len` bytes for the guest, from `offset` bytes behind the last discard, to
     * `dst`: the same ones however often. Returns how many; 0 at the end of the stream; -EAGAIN
     * when there are none yet, or none so far ahead: it is asked again after tcp_far_readable() or
     * discard(); another negative errno when the connection failed. */
    ssize_t (*peek)(struct tcp_far *far, size_t offset, uint8_t *dst, size_t len);
    /* The guest has acknowledged `len` more bytes: they are not asked for again. */
    void (*discard)(struct tcp_far *far, size_t len);
    /* The guest will send no more. */
    void (*finish)(struct tcp_far *far);
    /* Both sides have finished: whether the far side has also got rid of all that it took, so that
     * the connection is over. If not, it is asked again after tcp_far_readable(). NULL: it has. */
    bool (*is_done)(struct tcp_far *far);
    /* The handshake is complete. */
    void (*opened)(struct tcp_far *far);
    /* The connection is over (or, with TCP_END_DONE, only in TIME_WAIT): the far side lets go of
     * its resources. The endpoint may be freed from here unless it is in TIME_WAIT, where it ends
     * later by ended(). */
    void (*closed)(struct tcp_far *far, enum tcp_end end);
    /* TIME_WAIT is over. The endpoint may be freed. */
    void (*ended)(struct tcp_far *far);
};

struct tcp_limits {
    uint32_t half_open_ms; /* SYN received or sent, handshake not complete */
    uint32_t idle_ms;      /* no data either way */
    uint32_t keepalive_ms; /* silence after which the guest is asked whether it lives */
    uint32_t flight;       /* bytes sent and not acknowledged; 0: as the guest's window allows */
};

/* Before the payload: Ethernet, IP and TCP with options. Behind it: what an IP packet can hold. */
#define TCP_HEADROOM  128u
#define TCP_FRAME_MAX (TCP_HEADROOM + 65536u)

/* What all endpoints of a gateway share. */
struct tcp_link {
    struct timers *timers;
    const uint64_t *now_ns; /* the clock of this turn */
    void *user;
    int (*send)(void *user, const ln_frame *frame); /* 0, or -EAGAIN: the frame is lost */
    struct hash_key secret;                         /* of initial sequence numbers (RFC 6528) */
    struct tcp_limits limits;
    uint16_t mtu;
    bool csum_offload, tso; /* what the link does to frames sent; tso needs csum_offload */
    const uint8_t *gateway_mac, *guest_mac; /* 6 bytes each; the guest's may change */
    uint8_t *frame;                         /* TCP_FRAME_MAX bytes, where segments are built */
    struct tcp_endpoint *dirty;             /* to be acknowledged at the end of the turn */
};

enum tcp_state {
    TCP_OPENING,      /* SYN held until the far side is connected; nothing was answered yet */
    TCP_SYN_SENT,     /* ours was sent, to the guest */
    TCP_SYN_RECEIVED, /* SYN-ACK sent */
    TCP_OPEN, /* ESTABLISHED and, by the three flags of the FINs, FIN-WAIT, CLOSE-WAIT, CLOSING,
                 LAST-ACK */
    TCP_TIME_WAIT,
    TCP_CLOSED,
    TCP_STATES
};

struct tcp_endpoint {
    struct tcp_link *link;
    struct tcp_far *far;
    struct tcp_endpoint *dirty_next, **dirty_at; /* in link->dirty; dirty_at is NULL: not in it */
    struct timer timer;
    ln_addr guest, peer;
    uint16_t guest_port, peer_port;
    bool v6;
    uint8_t state; /* enum tcp_state */

    /* sending, to the guest */
    uint16_t mss; /* payload bytes a segment that the guest takes */
    uint8_t snd_scale, rcv_scale;
    uint32_t iss, snd_una, snd_nxt;
    uint32_t snd_max; /* the highest ever sent; snd_nxt goes back on loss */
    uint32_t snd_wnd, snd_wl1, snd_wl2, snd_wnd_max;
    uint32_t cwnd, ssthresh;
    uint32_t recover;   /* where a loss is made good; snd_una when there is none */
    uint8_t dup_acks;   /* in a row */
    uint8_t retries;    /* of whatever retransmit_ns waits for */
    uint8_t keepalives; /* sent since the guest was last heard */
    uint8_t look_round; /* log2 of the next wait for look_ns, in ms */

    /* receiving, from the guest */
    uint32_t irs, rcv_nxt;
    uint32_t rcv_edge; /* the right edge of the window offered */
    uint32_t rcv_wnd;  /* its size when it was last moved */

    bool scaled : 1;        /* window scaling was agreed (RFC 7323) */
    bool ack_now : 1;       /* an ACK is owed */
    bool guest_fin : 1;     /* the guest's FIN was taken */
    bool fin_sent : 1;      /* ours was sent */
    bool fin_acked : 1;     /* … and acknowledged */
    bool time_wait_due : 1; /* … and was the first */
    bool far_waits : 1;     /* peek said -EAGAIN: wait for tcp_far_readable() or an ACK */
    bool starved : 1;       /* write took less than was offered: the guest must send it again */
    bool probing : 1;       /* retransmit_ns is of a zero-window probe */
    bool recovering : 1;    /* since a loss, until `recover` is acknowledged */
    bool timing : 1;        /* a round-trip sample is under way */

    uint32_t srtt_us, rttvar_us, rto_ms;
    uint32_t timed_seq;
    uint64_t timed_ns;

    uint64_t retransmit_ns; /* next retransmission or probe; TIMER_NEVER: nothing outstanding */
    uint64_t look_ns;       /* next look at a far side or a link that was full */
    uint64_t heard_ns;      /* last acceptable segment from the guest */
    uint64_t data_ns;       /* last data either way */
    uint64_t deadline_ns;   /* of the handshake or of TIME_WAIT */
    uint64_t challenge_ns;  /* when the next ACK may answer a segment that makes no sense */

    uint64_t bytes_out, bytes_in; /* payload: taken from the guest, acknowledged by it */
};

/* Both ends of a connection. */
struct tcp_address {
    ln_addr guest, peer; /* of one family */
    uint16_t guest_port, peer_port;
};

/* Takes the guest's SYN and holds it; nothing is answered. `endpoint` is the caller's memory,
 * zeroed. Returns 0 or -ENOMEM. */
int tcp_accept(struct tcp_endpoint *endpoint, struct tcp_link *link, struct tcp_far *far,
               const struct packet *syn);
/* Calls a server of the guest, as from `address->peer`: sends the SYN. When the guest has answered,
 * opened() is called; closed(TCP_END_REFUSED) when it refuses. `endpoint` as for tcp_accept(). */
int tcp_connect(struct tcp_endpoint *endpoint, struct tcp_link *link, struct tcp_far *far,
                const struct tcp_address *address);
/* The far side is connected (or needs not be): answers the SYN. */
void tcp_connected(struct tcp_endpoint *endpoint);
/* The far side refuses: answers the held SYN with RST and ends (TCP_END_REFUSED). */
void tcp_refuse(struct tcp_endpoint *endpoint);
/* Ends: without a word while the SYN is held, later with an RST to the guest. TCP_END_FAR. Not from
 * inside a callback. */
void tcp_abort(struct tcp_endpoint *endpoint);
/* Forgets the endpoint: no callback, no frame. The memory is the caller's again. */
void tcp_fini(struct tcp_endpoint *endpoint);

/* A segment of this connection. The endpoint may be gone when it returns (closed() was called).
 * Returns DROP_NONE, or why the segment was ignored. */
enum drop_reason tcp_input(struct tcp_endpoint *endpoint, const struct packet *packet);
/* Asks the guest whether it still knows an open connection, as keepalive does: heard_ns tells when
 * it was last heard. */
void tcp_ask(struct tcp_endpoint *endpoint);
/* The far side has bytes, its end, or a failure to tell. */
void tcp_far_readable(struct tcp_endpoint *endpoint);
/* The same from inside write(), finish() and discard(): it is asked when they return. */
static inline void tcp_far_gained(struct tcp_endpoint *endpoint)
{
    endpoint->far_waits = false;
}
/* The far side may have space again. */
void tcp_far_writable(struct tcp_endpoint *endpoint);
/* Sends the ACKs owed. Call it at the end of every turn. */
void tcp_flush(struct tcp_link *link);
/* Answers a segment that belongs to no connection with RST (RFC 9293 section 3.10.7.1); an RST is
 * not answered. */
void tcp_reset_packet(struct tcp_link *link, const struct packet *packet);

/* Whether a segment asks for a connection. */
static inline bool tcp_is_new_syn(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}
/* Whether a new SYN may take over the connection that is in TIME_WAIT here (RFC 6191, RFC 9293
 * section 3.6.1). */
bool tcp_reusable(const struct tcp_endpoint *endpoint, const struct packet *syn);
const char *tcp_state_name(enum tcp_state state);

#endif
