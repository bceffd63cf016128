/* One UDP flow to the host's own loopback: what the gateway's address stands for, where a rule
 * opens it. libslirp is kept from the loopback altogether. */
#ifndef LN_NET_RELAY_H
#define LN_NET_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/loop.h"

/* What can be sent again when 127.0.0.1 turns out to have no service, bytes. */
#define RELAY_KEPT_MAX 2048u

struct relay {
    struct watch watch; /* of a socket connected to 127.0.0.1, or to ::1 */
    struct loop *loop;
    uint16_t port;
    bool v6;       /* ::1 it is */
    bool answered; /* the service is there: no other address is tried */
    uint8_t *kept; /* the last datagram, until it is answered; owned */
    size_t kept_len;
    void (*ready)(struct relay *relay); /* relay_read() has something to say */
};

/* Starts a relay to 127.0.0.1:`port`, or [::1]:`port` where nobody answers there. Returns 0 or
 * -errno. */
int relay_open(struct relay *relay, struct loop *loop, uint16_t port,
               void (*ready)(struct relay *relay));
void relay_close(struct relay *relay);
/* Returns 0 or -errno; -ECONNREFUSED is told by relay_read() only. */
int relay_send(struct relay *relay, const uint8_t *data, size_t len);
/* Takes one datagram. Returns its length, -EAGAIN when there is none, -EMSGSIZE when it was longer
 * than `size`, -ECONNREFUSED when neither address has a service, or another -errno. */
ssize_t relay_read(struct relay *relay, uint8_t *dst, size_t size);

#endif
