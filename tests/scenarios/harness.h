/* A guest in a test: frames built and read in C, a real gateway with a clock of its own, and a host
 * side on loopback sockets, which the guest reaches as the gateway's address. */
#ifndef SCENARIO_HARNESS_H
#define SCENARIO_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lunette/gateway.h"
#include "packet/packet.h"

/* What the guest got: one TCP, UDP, ICMP or other packet. */
struct heard {
    uint8_t to[6]; /* MAC */
    uint16_t ethertype;
    uint8_t protocol; /* IP's */
    ln_addr src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint8_t flags;      /* TCP */
    uint32_t window;    /* as sent */
    uint8_t scale;      /* the SYN's window scale option */
    uint8_t type, code; /* ICMP */
    struct heard *next;
    size_t payload_len;
    uint8_t payload[];
};

/* An event, with strings of its own. */
struct told {
    ln_event_kind kind;
    char protocol[8], name[256], name_from[16], reason[64], action[16];
    ln_addr dst;
    uint16_t port, src_port;
    uint32_t rule;
    unsigned status;
    uint64_t count, lost, bytes_out, bytes_in, packets_out, packets_in;
    struct told *next;
};

struct world {
    ln_gateway *gw;
    ln_policy *policy;
    ln_link link;
    uint64_t now_ns;
    uint32_t mtu, offloads, slot;     /* set before world_start() */
    bool old_kernel;                  /* without SO_PEEK_OFF for TCP; set before world_start() */
    bool learn_names;                 /* ln_config's; set before world_start() */
    bool refuse_events;               /* the log is full */
    bool refuse_frames;               /* the link is full */
    struct heard *heard, *heard_last; /* oldest first */
    struct heard *taken;              /* what next_heard() gave last */
    struct told *told;
    unsigned n_frames;
    int n_fds;
    uint16_t next_port;
};

/* A policy of these rules ("allow@host:tcp:443"), up to a NULL, with settings as "key=value" lines
 * among them ("default_egress=allow", "deny_domains=a.test", "limits.half_open=8",
 * "dns.nameservers[]=127.0.0.1:5353", "publish tcp 127.0.0.1 8080 80",
 * "secret TOKEN $PLACEHOLDER value web.test"). */
ln_policy *policy_of(const char *const *lines);
#define POLICY(...) policy_of((const char *const[]){__VA_ARGS__, NULL})

/* Starts a gateway with this policy, of which it takes the reference. */
void world_start(struct world *w, ln_policy *policy);
/* Ends it, and checks that no descriptor is left. */
void world_stop(struct world *w);
/* Lets everything happen that can happen without time passing. */
void settle(struct world *w);
/* Lets time pass, in steps of at most a second. */
void pass(struct world *w, uint64_t ms);
/* Whether its descriptor is, now. */
bool gateway_is_readable(const struct world *w);
/* As if the guest had resolved `name` to `addr`. */
void world_pin(struct world *w, const char *name, const char *addr);

/* Puts in a frame. */
void put(struct world *w, const uint8_t *frame, size_t len);
/* The oldest packet heard that was not taken yet, or NULL. Freed by the next call. */
struct heard *next_heard(struct world *w);

/* How many events of a kind there were. */
unsigned count_told(const struct world *w, ln_event_kind kind);
/* The n-th (0-based) of them; fails when there is none. */
const struct told *told_nth(const struct world *w, ln_event_kind kind, unsigned n);
unsigned dropped(const struct world *w, enum drop_reason reason);

/* ---- the host's side: 127.0.0.1 ---- */

/* A listener at a port the system chooses; `backlog` as for listen(2). */
int host_listen(uint16_t *ret_port, int backlog);
/* The same at ::1 alone; -1 where this machine has no IPv6. */
int host_listen6(uint16_t *ret_port);
/* The next connection; fails when there is none. */
int host_accept(int listener);
bool host_has_connection(int listener);
/* Reads exactly `len` bytes and compares; fails when they do not come. */
void host_expect(int fd, const void *data, size_t len);
/* Whether the end of the stream (`true`) or a reset (`false`) comes next. */
void host_expect_end(int fd);
void host_expect_reset(int fd);
void host_expect_nothing(int fd);
void host_send(int fd, const void *data, size_t len);
void host_reset(int fd);
/* A port at which nobody listens. */
uint16_t host_closed_port(void);

/* ---- the guest's side: one TCP connection ---- */

enum guest_state {
    GUEST_SILENCE, /* nothing was answered */
    GUEST_OPEN,
    GUEST_RESET,      /* by an RST */
    GUEST_UNREACHABLE /* an ICMP error came */
};

struct guest {
    struct world *w;
    ln_addr addr, peer;
    uint16_t port, peer_port;
    enum guest_state state;
    uint32_t snd_una, snd_nxt, rcv_nxt;
    uint32_t window; /* what the gateway offers, bytes */
    uint8_t scale;
    uint16_t own_window; /* what we offer, scaled by 256 */
    bool fin;            /* the gateway's was heard */
    bool mute;           /* do not acknowledge by itself */
    uint8_t icmp_type, icmp_code;
    uint8_t *received;
    size_t n_received, room;
    uint8_t *unacked; /* from snd_una on */
    size_t n_unacked;
    unsigned duplicates; /* ACKs in a row that acknowledge nothing new */
};

/* A SYN, and what comes of it. `peer` as text. */
struct guest guest_connect(struct world *w, const char *peer, uint16_t port);
/* The same to the gateway's own IPv4 address, which stands for the host. */
struct guest guest_connect_host(struct world *w, uint16_t port);
/* Only the SYN, at `g->port`. */
void guest_syn(struct guest *g);
/* Sends data in segments of at most 1400 bytes, as far as the window goes. Returns how much. */
size_t guest_send(struct guest *g, const void *data, size_t len);
/* Sends all, letting the gateway work whenever the window is full; fails when it does not move. */
void guest_send_all(struct guest *g, const void *data, size_t len);
void guest_finish(struct guest *g);
void guest_reset(struct guest *g);
/* Any segment. */
void guest_segment(struct guest *g, uint8_t flags, uint32_t seq, const void *data, size_t len);
/* Hears all that came for this connection, acknowledges it, and sends again what was asked for by
 * duplicate ACKs. */
void guest_hear(struct guest *g);
/* Fails unless exactly these bytes were received since the last call. */
void guest_expect(struct guest *g, const void *data, size_t len);
void guest_free(struct guest *g);

/* A TLS ClientHello in one record with this SNI (NULL: none). Returns its length. */
size_t client_hello(uint8_t dst[1024], const char *sni);

#endif
