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

/* The interface is persistent, so that closing the descriptor does not wait for its end (20 ms): it
 * goes with its namespace. Without a descriptor it has no carrier, and drops. */
static int configure(int fd, const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    int header = sizeof(struct virtio_net_hdr);
    if (ioctl(fd, TUNSETIFF, &request) != 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) != 0 ||
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0 ||
        ioctl(fd, TUNSETPERSIST, 1) != 0) {
        return -errno;
    }
    return 0;
}

int tap_create(const char *name)
{
    int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        int err = errno;
        explain_open(err);
        return -err;
    }
    int r = configure(fd, name);
    if (r < 0) {
        command_say("%s: cannot make the interface %s: %s", TUN_PATH, name, strerror(-r));
        close(fd);
        return r;
    }
    return fd;
}

/* Reads one frame and hands it on. Returns whether there may be another. */
static bool receive_one(struct tap *tap)
{
    struct virtio_net_hdr header;
    struct iovec parts[] = {{.iov_base = &header, .iov_len = sizeof(header)},
                            {.iov_base = tap->frame, .iov_len = LN_FRAME_MAX}};
    ssize_t n = readv(tap->fd, parts, 2);
    if (n < 0 && errno == EINTR) {
        return true;
    }
    if (n < (ssize_t)sizeof(header)) {
        if (n >= 0 || errno != EAGAIN) {
            loop_unwatch(gateway_loop(tap->gateway), &tap->watch); /* the interface is gone */
        }
        return false;
    }
    ln_frame frame = {.data = tap->frame,
                      .len = (size_t)n - sizeof(header),
                      .flags = header.flags & (LN_FRAME_CSUM_PARTIAL | LN_FRAME_CSUM_VALID),
                      .gso_type = header.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN,
                      .gso_size = header.gso_size,
                      .header_len = header.hdr_len,
                      .csum_start = header.csum_start,
                      .csum_offset = header.csum_offset};
    if (tap->pcap != NULL) {
        pcapng_put(tap->pcap, &frame, PCAPNG_OUTBOUND);
    }
    (void)ln_gateway_input(tap->gateway, &frame);
    return true;
}

static void receive(struct watch *watch, uint32_t events)
{
    (void)events;
    struct tap *tap = (struct tap *)watch;
    for (int i = 0; i < FRAMES_A_TURN && receive_one(tap); i++) {
    }
}

int tap_start(struct tap *tap, int fd, ln_gateway *gateway, struct pcapng *pcap)
{
    *tap = (struct tap){
        .watch = {.fd = -1, .ready = receive}, .fd = -1, .gateway = gateway, .pcap = pcap};
    tap->frame = malloc(LN_FRAME_MAX);
    int r =
        tap->frame == NULL ? -ENOMEM : loop_watch(gateway_loop(gateway), &tap->watch, fd, EPOLLIN);
    if (r < 0) {
        tap_stop(tap);
        return r;
    }
    tap->fd = fd;
    return 0;
}

int tap_send(struct tap *tap, const ln_frame *frame)
{
    struct virtio_net_hdr header = {.flags = frame->flags & LN_FRAME_CSUM_PARTIAL,
                                    .gso_type = frame->gso_type,
                                    .gso_size = frame->gso_size,
                                    .hdr_len = frame->header_len,
                                    .csum_start = frame->csum_start,
                                    .csum_offset = frame->csum_offset};
    struct iovec parts[] = {{.iov_base = &header, .iov_len = sizeof(header)},
                            {.iov_base = (void *)(uintptr_t)frame->data, .iov_len = frame->len}};
    if (tap->pcap != NULL) {
        pcapng_put(tap->pcap, frame, PCAPNG_INBOUND);
    }
    return writev(tap->fd, parts, 2) < 0 ? -EAGAIN : 0;
}

void tap_stop(struct tap *tap)
{
    if (tap->fd >= 0) {
        loop_unwatch(gateway_loop(tap->gateway), &tap->watch);
        close(tap->fd);
    }
    free(tap->frame);
    *tap = (struct tap){.fd = -1};
}
