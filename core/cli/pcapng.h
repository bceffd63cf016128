/* `--pcap FILE`: the guest's frames as a capture (draft-ietf-opsawg-pcapng), both directions, as
 * the guest's interface sees them: with segmentation offload, frames are longer than the MTU and
 * their checksums not yet whole. */
#ifndef LN_CLI_PCAPNG_H
#define LN_CLI_PCAPNG_H

#include <stdint.h>

#include "cli/sink.h"
#include "lunette/frame.h"

enum pcapng_direction { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 }; /* of the guest; epb_flags */

struct pcapng {
    struct sink *sink; /* NULL: no capture was asked for */
    uint64_t seen, lost;
};

/* Writes to `fd`, which is the capture's from success on. `interface`: the guest's name of it.
 * Returns 0 or -errno. */
int pcapng_open(struct pcapng *pcap, int fd, const char *interface);
/* Queues a frame; one that does not fit is counted as lost. */
void pcapng_put(struct pcapng *pcap, const ln_frame *frame, enum pcapng_direction direction);
/* Writes how many frames were lost (isb_ifdrop), and waits a moment for the file. */
void pcapng_close(struct pcapng *pcap);

#endif
