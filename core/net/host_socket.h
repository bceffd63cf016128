/* A TCP socket of the machine that stands for a server of the guest: every system call on it. */
#ifndef LN_NET_HOST_SOCKET_H
#define LN_NET_HOST_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "lunette/address.h"

struct host_socket {
    int fd;           /* -1: none */
    uint32_t peek_at; /* where the kernel's offset of peeks stands */
    bool peek_offset; /* the kernel keeps one (SO_PEEK_OFF) */
    bool drained;     /* the last peek got all there was, and nothing was heard since */
    bool fin_received;
    bool crowded; /* watched anew, and not writable since */
    bool urgent;  /* urgent bytes were received: a short peek may not be the end of the queue */
};

/* Without SO_PEEK_OFF, a peek copies what stands before `offset` to scratch memory first. */
#define HOST_SOCKET_SCRATCH  (64u << 10)  /* bytes of it */
#define HOST_SOCKET_PEEK_MAX (256u << 10) /* the largest offset then */

/* Whether this kernel has SO_PEEK_OFF for TCP in both families (Linux 6.11). */
bool host_socket_probe_peek_offset(void);

/* Starts connecting, without waiting. Returns 0, also when it is connected already: either way the
 * descriptor becomes writable once the outcome is known; or -errno. Whether the address may be
 * called at all is for the caller to know. */
int host_socket_dial(struct host_socket *s, const ln_addr *addr, uint16_t port);
/* The outcome of connecting, or what ended the connection since: 0 or -errno. */
int host_socket_error(const struct host_socket *s);
/* Whether it is connected to itself: where nobody listens at a port of this machine, the kernel may
 * choose that very port for the caller, and both ends meet (RFC 9293 section 3.5, simultaneous
 * opens). */
bool host_socket_is_its_own_peer(const struct host_socket *s);
/* Sets the options of a connected socket; keepalive after `keepalive_s` seconds of silence. */
void host_socket_connected(struct host_socket *s, uint32_t keepalive_s, bool peek_offset);
/* Writes what fits. Returns how many bytes (0: full), or -errno. */
ssize_t host_socket_write(const struct host_socket *s, const uint8_t *data, size_t len);
/* How many bytes writes of about `segment` bytes each would take now, rather less than more.
 * *ret_crowded: the socket is far from writable, and tells that it is again, and lets its buffer
 * grow, only if it is watched anew. */
size_t host_socket_space(const struct host_socket *s, uint32_t segment, bool *ret_crowded);
/* What to watch the descriptor for, and what to do with each report, before anything else. */
#define HOST_SOCKET_EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET)
void host_socket_event(struct host_socket *s, uint32_t events);
/* Copies up to `len` bytes from `offset` bytes into what was received. Returns how many, 0 at the
 * end of the stream, -EAGAIN when there are none, or another -errno. `scratch` may be NULL with
 * SO_PEEK_OFF. */
ssize_t host_socket_peek(struct host_socket *s, size_t offset, uint8_t *dst, size_t len,
                         uint8_t *scratch);
/* Drops the first `len` bytes received, which were peeked at before. */
void host_socket_discard(struct host_socket *s, size_t len);
/* Takes up to `len` bytes that were received, of a socket that is not peeked at. Returns how many,
 * 0 at the end of the stream, -EAGAIN when there are none, or another -errno. */
ssize_t host_socket_read(const struct host_socket *s, uint8_t *dst, size_t len);
/* Sends FIN after what was written. */
void host_socket_finish(const struct host_socket *s);
/* Closes it; with an RST when `reset`. */
void host_socket_close(struct host_socket *s, bool reset);

#endif
