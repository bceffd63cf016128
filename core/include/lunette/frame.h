/* An Ethernet frame with the offload metadata of virtio-net (VIRTIO 1.2 section 5.1.6). */
#ifndef LUNETTE_FRAME_H
#define LUNETTE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LN_FRAME_MAX                                                                               \
    (65536u + 14u) /* longest frame, bytes: a 64 KiB segment and its Ethernet header */

enum {
    LN_FRAME_CSUM_PARTIAL =
        1, /* the transport checksum still has to be put at csum_start + csum_offset */
    LN_FRAME_CSUM_VALID = 2 /* the sender vouches for the transport checksum */
};
enum { LN_GSO_NONE = 0, LN_GSO_TCP4 = 1, LN_GSO_TCP6 = 4 };

typedef struct ln_frame {
    const uint8_t *data; /* Ethernet header on; borrowed */
    size_t len;          /* bytes */
    uint8_t flags;       /* LN_FRAME_* */
    uint8_t gso_type;    /* LN_GSO_* */
    uint16_t gso_size;   /* payload bytes a segment, where gso_type is set */
    uint16_t header_len; /* of all headers, where gso_type is set */
    uint16_t csum_start, csum_offset;
} ln_frame;

#ifdef __cplusplus
}
#endif
#endif
