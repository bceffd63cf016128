/* A TAP interface as the guest's link: frames with virtio-net headers where the descriptor has
 * them, so that segments of up to 64 KiB and checksums still to be made cross it as they are. */
#ifndef LN_CLI_TRANSPORT_TAP_H
#define LN_CLI_TRANSPORT_TAP_H

#include "cli/transport.h"
#include "net/loop.h"

#define TAP_OFFLOADS (LN_OFFLOAD_CSUM | LN_OFFLOAD_TSO) /* of one that tap_create() made */

/* Makes the interface `name` in this thread's network namespace, or takes the one that is there.
 * `persistent`: it lives as long as the namespace, else no longer than its descriptor. Returns the
 * descriptor, or -errno after saying what is wrong and what mends it. */
int tap_create(const char *name, bool persistent);

struct tap {
    struct transport transport; /* first */
    struct watch watch;
    int fd;         /* -1: none */
    bool bare;      /* frames without virtio-net headers */
    uint8_t *frame; /* where frames of the guest are read */
};

/* A link over a descriptor of tap_create(), which is the tap's from now on. */
void tap_init(struct tap *tap, int fd);
/* Likewise over one that somebody else has made. Returns 0; -ENOTTY when it is none; -EPROTOTYPE
 * when it is of a TUN interface; or another -errno. The descriptor is the tap's on success. */
int tap_adopt(struct tap *tap, int fd);

#endif
