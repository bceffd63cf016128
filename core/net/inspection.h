/* What may stand between a guest's endpoint and its host socket: it takes the bytes of either, and
 * has bytes for either. It touches no descriptor; tcp_inspect.c moves the bytes. */
#ifndef LN_NET_INSPECTION_H
#define LN_NET_INSPECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/byte_queue.h"

struct inspection;

/* Of the two sides, the guest and the host. */
struct inspection_ops {
    /* Takes bytes that a side sent: at most as many as space() said, and then all of them. Returns
     * 0, or -errno: the connection is to be reset. */
    int (*take)(struct inspection *inspection, bool of_guest, const uint8_t *data, size_t len);
    /* How many bytes of a side take() would take. */
    size_t (*space)(const struct inspection *inspection, bool of_guest);
    /* A side sends no more. `by_reset`: the host's connection is gone altogether. */
    void (*ended)(struct inspection *inspection, bool of_guest, bool by_reset);
    /* The host is connected; told before anything of it. */
    int (*connected)(struct inspection *inspection);
    /* Makes of what was taken what is to be sent, as far as there is room. Returns whether it got
     * anywhere, or -errno: the connection is to be reset. */
    int (*work)(struct inspection *inspection);
    /* What is to be sent to a side; the caller drops from it what is done with: for the guest, what
     * that has acknowledged. */
    struct byte_queue *(*output)(struct inspection *inspection, bool to_guest);
    /* There is nothing to send or to read at the moment: memory that only much data needs is let go
     * of. */
    void (*rest)(struct inspection *inspection);
    /* Whether what stands in output() is the last for a side. */
    bool (*is_finished)(const struct inspection *inspection, bool to_guest);
    /* Whether the host's connection is to be reset, though the guest is still to be told of it. */
    bool (*drops_host)(const struct inspection *inspection);
    /* Whether it is still being set up: the flow counts as half-open until then. */
    bool (*is_opening)(const struct inspection *inspection);
    /* The policy was replaced. Whether it may go on under it. */
    bool (*rejudge)(struct inspection *inspection);
    void (*free)(struct inspection *inspection);
};

/* Embed it in the owner, with `ops` set and the rest zeroed. */
struct inspection {
    const struct inspection_ops *ops;
    /* tcp_inspect.c's notes about the host socket */
    bool readable; /* it may have bytes */
    bool over;     /* its end was read */
    bool finished; /* FIN was sent to it */
    uint32_t turn; /* in which `read` bytes were read from it */
    uint32_t read;
};

#endif
