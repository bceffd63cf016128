/* UNIX sockets as the guest's link: streams with a 4-byte big-endian length before each frame (QEMU
 * `-netdev stream`, libkrun), and datagrams of one frame each (QEMU `-netdev dgram`, vfkit). */
#ifndef LN_CLI_TRANSPORT_UNIX_H
#define LN_CLI_TRANSPORT_UNIX_H

#include <sys/socket.h>
#include <sys/un.h>

#include "cli/transport.h"
#include "net/loop.h"

/* A socket bound at `path`, which nobody but its owner may use; one there that nobody listens at
 * any more is replaced. Streams listen. `type`: SOCK_STREAM or SOCK_DGRAM. Returns the descriptor,
 * or -errno: -EADDRINUSE when somebody listens there, or it is no socket; -ENAMETOOLONG. */
int unix_bind(const char *path, int type);
/* The same, and says what is wrong. */
int unix_bind_or_say(const char *path, int type);

/* One guest at a time. Where it hangs up, or sends what is no frame, it is cut off: its flows are
 * reset, and the next one is accepted. */
struct stream {
    struct transport transport; /* first */
    struct watch listener, peer;
    int listen_fd;        /* -1: the peer is the only one */
    int peer_fd;          /* -1: none now */
    uint8_t *in;          /* received and not yet a whole frame */
    size_t in_at, in_len; /* taken of it, and received */
    struct timer rest;    /* set: frames were left for the next turn */
    uint8_t *out;         /* to be sent */
    size_t out_len;
    bool full;    /* the socket is */
    bool waiting; /* the loop watches for its end */
    bool told;    /* that what was sent were no frames */
    bool broken;  /* sending failed: the peer is cut off at the end of the turn */
};

/* `listen_fd` of unix_bind(), or else `peer_fd` of a connected socket; the other is -1. It is the
 * stream's from now on. Returns 0 or -errno. */
int stream_open(struct stream *stream, int listen_fd, int peer_fd);

/* Answers go to whoever sent last. */
struct dgram {
    struct transport transport; /* first */
    struct watch watch;
    int fd;
    bool connected; /* there is one peer only */
    struct sockaddr_un peer;
    socklen_t peer_len; /* 0: nobody has sent yet */
    uint8_t *frame;
};

/* `fd` of unix_bind(), or of a connected socket; the link's from now on. Returns 0 or -errno. */
int dgram_init(struct dgram *dgram, int fd, bool connected);

#endif
