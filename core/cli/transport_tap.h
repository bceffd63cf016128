/* A TAP interface as the guest's link: frames with virtio-net headers, so that segments of up to
 * 64 KiB and checksums still to be made cross it as they are. */
#ifndef LN_CLI_TRANSPORT_TAP_H
#define LN_CLI_TRANSPORT_TAP_H

#include "cli/pcapng.h"
#include "lunette/gateway.h"
#include "net/loop.h"

#define TAP_OFFLOADS (LN_OFFLOAD_CSUM | LN_OFFLOAD_TSO) /* what tap_send() takes */

/* Makes the interface `name` in this thread's network namespace, as long as which it lives. Returns
 * the descriptor, or -errno after saying what is wrong and what mends it. */
int tap_create(const char *name);

struct tap {
    struct watch watch; /* first: its callback finds the tap by it */
    int fd;             /* -1: not started */
    ln_gateway *gateway;
    struct pcapng *pcap; /* NULL: no capture */
    uint8_t *frame;      /* where frames of the guest are read */
};

/* Starts feeding the guest's frames to the gateway, in its loop. `fd` is the tap's from success
 * on. Returns 0 or -errno. */
int tap_start(struct tap *tap, int fd, ln_gateway *gateway, struct pcapng *pcap);
/* Sends one frame to the guest. Returns 0, or -EAGAIN when it did not go. */
int tap_send(struct tap *tap, const ln_frame *frame);
/* Takes one that was never started, with `fd` -1. */
void tap_stop(struct tap *tap);

#endif
