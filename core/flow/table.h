/* The flow table: every flow of one guest, found by its 5-tuple with one hash lookup a frame.
 *
 * Flows are embedded in their owners' structs. Each is in one class; a class is a list in the order
 * of last use with a cap of its own, so that expiry looks only at list heads, and a flood in one
 * class cannot push out the flows of another. */
#ifndef LN_FLOW_TABLE_H
#define LN_FLOW_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "lunette/policy.h"

enum flow_class {
    FLOW_HALF_OPEN,    /* TCP before the handshake is complete */
    FLOW_HALF_OPEN_IN, /* the same of ingress: a guest's own are not to go for a stranger's */
    FLOW_OPEN,         /* TCP */
    FLOW_CLOSING,      /* TCP in TIME_WAIT */
    FLOW_ONE_WAY,      /* UDP and ICMP echo without a reply yet */
    FLOW_ONE_WAY_IN,   /* the same of ingress */
    FLOW_TWO_WAY,      /* UDP and ICMP echo with replies */
    FLOW_DENIED,       /* refused: remembered so that it is told once */
    FLOW_CLASSES
};

struct publication; /* net/publish.h */

struct flow_key {
    ln_addr guest, peer;
    uint16_t guest_port, peer_port; /* for echo: both the identifier */
    uint8_t ip_protocol;
};

struct flow {
    struct flow *chain; /* next in the hash bucket */
    struct flow *older, *newer;
    struct flow_key key;
    uint64_t hash;
    uint64_t id;        /* of this flow and no other of the table */
    uint8_t flow_class; /* enum flow_class */
    uint8_t direction;  /* ln_direction */
    /* Ingress: who calls, as it is judged and told (the guest may know it by another address and
     * port, those of the key), and through which published port. */
    uint16_t caller_port;
    ln_addr caller;
    struct publication *via;
    ln_decision decision;
    char *name; /* that decided, or was shown; owned; NULL: none */
    uint64_t opened_ns, used_ns;
    uint64_t bytes_out, bytes_in, packets_out,
        packets_in; /* payload bytes; guest to network is out */
};

struct flow_list {
    struct flow *oldest, *newest;
    uint32_t count;
};

struct flow_table {
    struct flow **buckets;
    uint32_t mask; /* buckets - 1 */
    uint32_t count;
    uint64_t last_id;
    struct hash_key key;
    struct flow_list lists[FLOW_CLASSES];
};

/* Sized for `most` flows; -ENOMEM. The table does not own flows: remove them all before
 * flow_table_fini(). */
int flow_table_init(struct flow_table *table, uint32_t most, const uint8_t hash_key[16]);
void flow_table_fini(struct flow_table *table);
struct flow *flow_table_find(const struct flow_table *table, const struct flow_key *key);
/* Adds a flow whose `key` is set; there must be none with that key. */
void flow_table_add(struct flow_table *table, struct flow *flow, enum flow_class flow_class,
                    uint64_t now_ns);
void flow_table_remove(struct flow_table *table, struct flow *flow);
/* What the id of the flow that is added next will be. */
static inline uint64_t flow_table_next_id(const struct flow_table *table)
{
    return table->last_id + 1;
}
/* Marks a flow used: it becomes the newest of its class. */
void flow_table_touch(struct flow_table *table, struct flow *flow, uint64_t now_ns);
void flow_table_move(struct flow_table *table, struct flow *flow, enum flow_class flow_class,
                     uint64_t now_ns);
/* The flow of the class unused for longest, if that is at least `idle_ns`; else NULL. 0: whichever
 * it is. */
struct flow *flow_table_oldest(const struct flow_table *table, enum flow_class flow_class,
                               uint64_t now_ns, uint64_t idle_ns);
/* Who is at the other end of a flow, as the policy sees it. */
const ln_addr *flow_peer(const struct flow *flow);
/* Flows that count towards max_connections: all but the refused. */
uint32_t flow_table_live(const struct flow_table *table);

#endif
