/* The guest's link, whatever it is made of: frames in both directions, captured on the way. */
#ifndef LN_CLI_TRANSPORT_H
#define LN_CLI_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/pcapng.h"
#include "lunette/gateway.h"

struct transport;

struct transport_ops {
    uint32_t offloads; /* LN_OFFLOAD_* that `send` takes */
    /* Feeds the guest's frames to the gateway, in its loop, from now on. Returns 0 or -errno. */
    int (*start)(struct transport *transport);
    /* Sends a frame. Returns 0, or -EAGAIN when it did not go. */
    int (*send)(struct transport *transport, const ln_frame *frame);
    /* At the end of each turn; NULL: nothing is to do. */
    void (*flush)(struct transport *transport);
    /* Closes what there is; also of one that was never started. */
    void (*stop)(struct transport *transport);
};

/* Embed it first in the transport's own struct. */
struct transport {
    const struct transport_ops *ops;
    ln_gateway *gateway;
    struct pcapng *pcap; /* NULL: no capture */
    bool ended;          /* the guest's side is gone for good */
    uint64_t turn_ns;    /* for so long frames are taken in one turn; 0: until there are none */
};

/* `pcap` may be NULL. Returns 0 or -errno. */
int transport_start(struct transport *transport, ln_gateway *gateway, struct pcapng *pcap);
/* The clock of the gateway, and whether a turn that began then may take more frames. */
uint64_t transport_now(const struct transport *transport);
bool transport_goes_on(const struct transport *transport, uint64_t since_ns);
/* A frame from the guest, for transports. */
void transport_input(struct transport *transport, const ln_frame *frame);
/* A frame for the guest. Returns 0, or -EAGAIN when it did not go. */
int transport_send(struct transport *transport, const ln_frame *frame);
void transport_flush(struct transport *transport);
/* Takes NULL, and one that was never set up, zeroed. */
void transport_stop(struct transport *transport);

#endif
