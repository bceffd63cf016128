/* A TAP interface as the guest's link (Documentation/networking/tuntap, VIRTIO 1.2 section
 * 5.1.6). */
#include "cli/transport_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cli/command.h"
#include "net/gateway.h"

#define TUN_PATH "/dev/net/tun"

enum {
    FRAMES_A_TURN = 64, /* then other descriptors have their turn */
};

_Static_assert((int)LN_FRAME_CSUM_PARTIAL == VIRTIO_NET_HDR_F_NEEDS_CSUM &&
                   (int)LN_FRAME_CSUM_VALID == VIRTIO_NET_HDR_F_DATA_VALID &&
                   (int)LN_GSO_TCP4 == VIRTIO_NET_HDR_GSO_TCPV4 &&
                   (int)LN_GSO_TCP6 == VIRTIO_NET_HDR_GSO_TCPV6,
               "frame.h speaks virtio-net");

static void explain_open(int err)
{
    struct stat st;
    if (err == ENOENT || err == ENODEV || err == ENXIO) {
        command_say("%s: %s; load the module with `modprobe tun`, or, in a container, pass the "
                    "device in (--device %s)",
                    TUN_PATH, strerror(err), TUN_PATH);
    } else if (err == EACCES && stat(TUN_PATH, &st) == 0) {
        command_say("%s: %s; its mode is %04o and ought to be 0666 (`chmod 0666 %s`; opening it "
                    "gives no privilege)",
                    TUN_PATH, strerror(err), st.st_mode & 07777u, TUN_PATH);
    } else {
        command_say("%s: %s", TUN_PATH, strerror(err));
    }
}

static int set_header(int fd)
{
    int header = sizeof(struct virtio_net_hdr);
    return ioctl(fd, TUNSETVNETHDRSZ, &header) != 0 ||
                   ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0
               ? -errno
               : 0;
}

static int configure(int fd, const char *name, bool persistent)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request) != 0) {
        return -errno;
    }
    int r = set_header(fd);
    /* A persistent one saves waiting for its end when the descriptor is closed (20 ms). Without a
     * descriptor it has no carrier, and drops. */
    return r == 0 && persistent && ioctl(fd, TUNSETPERSIST, 1) != 0 ? -errno : r;
}

int tap_create(const char *name, bool persistent)
{
    if (strlen(name) >= IFNAMSIZ || *name == '\0') {
        command_say("%s: no name for an interface: 1 to %d bytes", name, IFNAMSIZ - 1);
        return -EINVAL;
    }
    int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        int err = errno;
        explain_open(err);
        return -err;
    }
    int r = configure(fd, name, persistent);
    if (r < 0) {
        command_say("%s: cannot make the interface %s: %s", TUN_PATH, name, strerror(-r));
        close(fd);
        return r;
    }
    return fd;
}

static void end(struct tap *tap)
{
    loop_unwatch(gateway_loop(tap->transport.gateway), &tap->watch);
    tap->transport.ended = true;
}

/* Reads one frame and hands it on. Returns whether there may be another. */
static bool receive_one(struct tap *tap)
{
    struct virtio_net_hdr header = {0};
    size_t header_len = tap->bare ? 0 : sizeof(header);
    struct iovec parts[] = {{.iov_base = &header, .iov_len = header_len},
                            {.iov_base = tap->frame, .iov_len = LN_FRAME_MAX}};
    ssize_t n = readv(tap->fd, parts, 2);
    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n <= 0 || (size_t)n < header_len) {
        if (n >= 0 || errno != EAGAIN) {
            end(tap); /* the interface is gone */
        }
        return false;
    }
    ln_frame frame = {.data = tap->frame,
                      .len = (size_t)n - header_len,
                      .flags = header.flags & (LN_FRAME_CSUM_PARTIAL | LN_FRAME_CSUM_VALID),
                      .gso_type = header.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN,
                      .gso_size = header.gso_size,
                      .header_len = header.hdr_len,
                      .csum_start = header.csum_start,
                      .csum_offset = header.csum_offset};
    transport_input(&tap->transport, &frame);
    return true;
}

static void receive(struct watch *watch, uint32_t events)
{
    (void)events;
    struct tap *tap = (struct tap *)(void *)((char *)watch - offsetof(struct tap, watch));
    uint64_t since_ns = transport_now(&tap->transport);
    for (int i = 0;
         i < FRAMES_A_TURN && receive_one(tap) && transport_goes_on(&tap->transport, since_ns);
         i++) {
    }
}

static int start(struct transport *transport)
{
    struct tap *tap = (struct tap *)transport;
    tap->watch.ready = receive;
    tap->frame = malloc(LN_FRAME_MAX);
    return tap->frame == NULL
               ? -ENOMEM
               : loop_watch(gateway_loop(transport->gateway), &tap->watch, tap->fd, EPOLLIN);
}

static int send_frame(struct transport *transport, const ln_frame *frame)
{
    const struct tap *tap = (const struct tap *)transport;
    struct virtio_net_hdr header = {.flags = frame->flags & LN_FRAME_CSUM_PARTIAL,
                                    .gso_type = frame->gso_type,
                                    .gso_size = frame->gso_size,
                                    .hdr_len = frame->header_len,
                                    .csum_start = frame->csum_start,
                                    .csum_offset = frame->csum_offset};
    struct iovec parts[] = {{.iov_base = &header, .iov_len = tap->bare ? 0 : sizeof(header)},
                            {.iov_base = (void *)(uintptr_t)frame->data, .iov_len = frame->len}};
    return writev(tap->fd, parts, 2) < 0 ? -EAGAIN : 0;
}

static void stop(struct transport *transport)
{
    struct tap *tap = (struct tap *)transport;
    if (tap->fd >= 0) {
        if (transport->gateway != NULL) {
            loop_unwatch(gateway_loop(transport->gateway), &tap->watch);
        }
        close(tap->fd);
        tap->fd = -1;
    }
    free(tap->frame);
    tap->frame = NULL;
}

static const struct transport_ops ops = {
    .offloads = TAP_OFFLOADS, .start = start, .send = send_frame, .stop = stop};
static const struct transport_ops bare_ops = {.start = start, .send = send_frame, .stop = stop};

void tap_init(struct tap *tap, int fd)
{
    *tap = (struct tap){.transport.ops = &ops, .watch.fd = -1, .fd = fd};
}

int tap_adopt(struct tap *tap, int fd)
{
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request) != 0) {
        return errno == EINVAL ? -ENOTTY : -errno;
    }
    if ((request.ifr_flags & IFF_TAP) == 0 || (request.ifr_flags & IFF_NO_PI) == 0) {
        return -EPROTOTYPE;
    }
    bool bare = (request.ifr_flags & IFF_VNET_HDR) == 0;
    int r = bare ? 0 : set_header(fd);
    if (r == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
        r = -errno;
    }
    if (r == 0) {
        tap_init(tap, fd);
        tap->bare = bare;
        tap->transport.ops = bare ? &bare_ops : &ops;
    }
    return r;
}
