/* Frames of the guest. What passes lies within its frame, is what the header of packet.h promises,
 * and is read the same a second time; what answers it is well formed.
 *
 * The first 8 bytes are the metadata and how far the fuzzer is helped over checksums. */
#include <stdlib.h>
#include <string.h>

#include "guest_frame.h"
#include "lunette/policy.h"
#include "packet/build.h"
#include "stack/neighbour.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_extent(const struct packet *p, const ln_frame *frame)
{
    REQUIRE(p->frame == frame->data && p->frame_len <= frame->len);
    REQUIRE(p->l3 == ETH_LEN && p->l4 >= p->l3 && p->payload >= p->l4);
    REQUIRE(p->payload + p->payload_len == p->frame_len);
}

static void check_addresses(const struct packet *p, const struct link_identity *link)
{
    REQUIRE(ln_addr_is_v4(&p->src) == !p->v6 && ln_addr_is_v4(&p->dst) == !p->v6);
    REQUIRE(!ln_addr_equal(&p->src, &link->gateway4) && !ln_addr_equal(&p->src, &link->gateway6));
    if (p->kind == PACKET_ARP) {
        return;
    }
    bool dhcp = p->kind == PACKET_UDP && p->dst_port == 67;
    REQUIRE(!ln_addr_is_never(&p->dst) || (dhcp && ln_addr_to_v4(&p->dst) == UINT32_MAX));
    REQUIRE(!ln_addr_equal(&p->src, &p->dst));
    REQUIRE(!ln_addr_equal(&p->dst, &link->guest4) && !ln_addr_equal(&p->dst, &link->guest6));
}

static void check_kind(const struct packet *p)
{
    switch (p->kind) {
    case PACKET_ARP:
        REQUIRE(p->payload_len == 0 && p->frame_len == 42);
        return;
    case PACKET_TCP:
        REQUIRE(p->ip_protocol == 6 && p->src_port != 0 && p->dst_port != 0);
        REQUIRE(p->options_len <= 40 && p->options_len % 4 == 0);
        REQUIRE(p->payload == p->l4 + TCP_LEN + p->options_len);
        REQUIRE((p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != 0);
        return;
    case PACKET_UDP:
        REQUIRE(p->ip_protocol == 17 && p->src_port != 0 && p->dst_port != 0);
        REQUIRE(p->payload == p->l4 + UDP_LEN);
        return;
    case PACKET_ECHO_REQUEST:
    case PACKET_ICMP:
    case PACKET_NDP:
        REQUIRE(p->ip_protocol == (p->v6 ? 58 : 1) && p->payload == p->l4 + ICMP_LEN);
        REQUIRE(p->kind != PACKET_NDP || (p->v6 && p->ttl == 255));
        return;
    case PACKET_FRAGMENT:
        REQUIRE(p->payload == p->l4 && p->payload_len > 0);
        REQUIRE(p->fragment_offset + p->payload_len <= 65535);
        REQUIRE(!p->more_fragments || p->payload_len % 8 == 0);
        return;
    }
    abort();
}

static void check_size(const struct packet *p, const ln_frame *frame,
                       const struct link_identity *link)
{
    if (frame->gso_type == LN_GSO_NONE) {
        REQUIRE(p->frame_len - p->l3 <= link->mtu);
    } else {
        REQUIRE(p->kind == PACKET_TCP && frame->gso_size > 0);
        REQUIRE(p->payload - p->l3 + frame->gso_size <= link->mtu);
    }
}

/* Every answer is a packet that the guest would take. */
static void check_answer(const uint8_t *answer, size_t len)
{
    struct packet p;
    REQUIRE(len == 0 || packet_describe(answer, len, &p) == DROP_NONE);
}

static void check_answers(const struct packet *p, const struct link_identity *link)
{
    static uint8_t answer[ICMP_ERROR_FRAME_MAX];
    static uint8_t dhcp[DHCP_FRAME_MAX];
    static uint8_t neighbour[NEIGHBOUR_FRAME_MAX];
    check_answer(neighbour, neighbour_answer(p, link, guest_own_mac, neighbour));
    check_answer(dhcp, dhcp_answer(p, link, dhcp));
    for (int i = 0; i < ICMP_ERRORS; i++) {
        size_t len = build_icmp_error(answer, link, guest_own_mac, p, (enum icmp_error)i, 1400);
        REQUIRE(len <= sizeof(answer));
        check_answer(answer, len);
    }
}

/* Makes the IPv4 header's checksum right, as a guest would. */
static void help(uint8_t *frame, size_t len)
{
    if (len >= ETH_LEN + IPV4_LEN && get_be16(frame + 12) == 0x0800 &&
        (frame[ETH_LEN] & 15u) >= 5 && ETH_LEN + (frame[ETH_LEN] & 15u) * 4u <= len) {
        guest_ipv4_checksum(frame + ETH_LEN);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 8) {
        return 0;
    }
    struct link_identity link = guest_link();
    link.mtu = (data[7] & 1) != 0 ? 65520 : 1500;
    size_t len = size - 8;
    uint8_t *frame_bytes = malloc(len + 1);
    REQUIRE(frame_bytes != NULL);
    memcpy(frame_bytes, data + 8, len);
    if ((data[7] & 2) != 0) {
        help(frame_bytes, len);
    }
    ln_frame frame = {
        .data = frame_bytes,
        .len = len,
        .flags = data[0] & (LN_FRAME_CSUM_PARTIAL | LN_FRAME_CSUM_VALID),
        .gso_type = data[1],
        .gso_size = get_be16(data + 2),
        .csum_start = data[4],
        .csum_offset = data[5],
        .header_len = data[6],
    };
    struct packet p;
    if (packet_classify(&frame, &link, &p) == DROP_NONE) {
        check_extent(&p, &frame);
        check_addresses(&p, &link);
        check_kind(&p);
        check_size(&p, &frame, &link);
        check_answers(&p, &link);
        struct packet again;
        if (frame.flags == 0) {
            REQUIRE(packet_describe(frame.data, p.frame_len, &again) == DROP_NONE);
            REQUIRE(again.kind == p.kind && again.payload == p.payload &&
                    again.payload_len == p.payload_len && again.l4 == p.l4);
        }
    }
    free(frame_bytes);
    return 0;
}
