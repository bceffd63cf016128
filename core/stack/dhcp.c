/* DHCPv4 with one address to give (RFC 2131, options of RFC 2132). Nothing is remembered: the
 * answer follows from the question. */
#include <string.h>

#include "base/bytes.h"
#include "packet/build.h"
#include "stack/neighbour.h"
#include "stack/search_list.h"

enum {
    SERVER_PORT = 67,
    CLIENT_PORT = 68,
    FIXED_LEN = 236, /* BOOTP without its vendor field */
    MESSAGE_MIN = 300,
    MESSAGE_MAX = DHCP_FRAME_MAX - ETH_LEN - IPV4_LEN - UDP_LEN,
    DATAGRAM_EVERYONE_TAKES = 576, /* section 2 */
    OPTION_LEN_MAX = 255,
    COOKIE = 0x63825363,
    BOOTREQUEST = 1,
    BOOTREPLY = 2,
    BROADCAST_FLAG = 0x8000,
    LEASE_S = 86400
};

enum { OPTION_PAD = 0, OPTION_END = 255 };
enum {
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_MTU = 26,
    OPTION_REQUESTED = 50,
    OPTION_LEASE = 51,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_MESSAGE_SIZE = 57,
    OPTION_RENEW = 58,
    OPTION_REBIND = 59,
    OPTION_CLIENT = 61,
    OPTION_SEARCH = 119
};
enum message { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6, INFORM = 8 };

struct question {
    const uint8_t *fixed; /* FIXED_LEN bytes */
    uint16_t flags;
    uint32_t client; /* ciaddr: the address the guest says it has */
    uint8_t type;
    uint32_t requested, server; /* 0: not said */
    uint16_t datagram_max;      /* bytes of IP that the guest takes; 0: not said */
    const uint8_t *client_id;   /* NULL: not said */
    uint8_t client_id_len;
};

static void read_option(struct question *q, uint8_t code, uint8_t len, const uint8_t *value)
{
    switch (code) {
    case OPTION_TYPE:
        q->type = len == 1 ? value[0] : 0;
        break;
    case OPTION_REQUESTED:
        q->requested = len == 4 ? get_be32(value) : 0;
        break;
    case OPTION_SERVER:
        q->server = len == 4 ? get_be32(value) : 0;
        break;
    case OPTION_MESSAGE_SIZE:
        q->datagram_max = len == 2 ? get_be16(value) : 0;
        break;
    case OPTION_CLIENT:
        q->client_id = value;
        q->client_id_len = len;
        break;
    default:
        break;
    }
}

static bool read_question(const struct packet *packet, struct question *q)
{
    static const uint8_t ethernet_request[3] = {BOOTREQUEST, 1, 6};
    struct reader r = reader_of(packet->frame + packet->payload, packet->payload_len);
    q->fixed = reader_bytes(&r, FIXED_LEN);
    uint32_t cookie = reader_u32(&r);
    if (r.failed || cookie != COOKIE || memcmp(q->fixed, ethernet_request, 3) != 0 ||
        memcmp(q->fixed + 28, packet->frame + 6, 6) != 0 || get_be32(q->fixed + 24) != 0) {
        return false; /* also what a relay sent, or what speaks for another MAC */
    }
    q->flags = get_be16(q->fixed + 10);
    q->client = get_be32(q->fixed + 12);
    while (reader_left(&r) > 0) {
        uint8_t code = reader_u8(&r);
        if (code == OPTION_PAD) {
            continue;
        }
        if (code == OPTION_END) {
            break;
        }
        uint8_t len = reader_u8(&r);
        const uint8_t *value = reader_bytes(&r, len);
        if (value != NULL) {
            read_option(q, code, len, value);
        }
    }
    return !r.failed;
}

/* Which message answers (RFC 2131 section 4.3); 0: none. */
static uint8_t choose_answer(const struct question *q, const struct link_identity *link)
{
    uint32_t guest = ln_addr_to_v4(&link->guest4);
    bool ours = q->server == 0 || q->server == ln_addr_to_v4(&link->gateway4);
    uint32_t wanted = q->requested != 0 ? q->requested : q->client;
    switch (q->type) {
    case DISCOVER:
        return OFFER;
    case REQUEST:
        return !ours ? 0 : wanted == guest ? ACK : NAK;
    case INFORM:
        return q->client == guest ? ACK : 0;
    default:
        return 0; /* DECLINE and RELEASE: it is the guest's address all the same */
    }
}

/* Each writes an option and returns what follows it. */
static uint8_t *put_option(uint8_t *at, uint8_t code, uint8_t len, const uint8_t *value)
{
    at[0] = code;
    at[1] = len;
    memcpy(at + 2, value, len);
    return at + 2 + len;
}

static uint8_t *put_option_u32(uint8_t *at, uint8_t code, uint32_t value)
{
    uint8_t bytes[4];
    put_be32(bytes, value);
    return put_option(at, code, sizeof(bytes), bytes);
}

static uint8_t *put_lease(uint8_t *at)
{
    at = put_option_u32(at, OPTION_LEASE, LEASE_S);
    at = put_option_u32(at, OPTION_RENEW, LEASE_S / 2);
    return put_option_u32(at, OPTION_REBIND, LEASE_S / 8 * 7);
}

static uint8_t *put_configuration(uint8_t *at, const struct link_identity *link)
{
    uint32_t gateway = ln_addr_to_v4(&link->gateway4);
    uint32_t mask = UINT32_MAX << (128 - link->prefix4.bits);
    uint8_t mtu[2];
    put_be16(mtu, link->mtu);
    at = put_option_u32(at, OPTION_MASK, mask);
    if (link->route4) {
        at = put_option_u32(at, OPTION_ROUTER, gateway);
    }
    at = put_option_u32(at, OPTION_DNS, gateway);
    return put_option(at, OPTION_MTU, sizeof(mtu), mtu);
}

/* How long a message the guest takes. */
static size_t message_max(const struct question *q)
{
    size_t datagram =
        q->datagram_max < DATAGRAM_EVERYONE_TAKES ? DATAGRAM_EVERYONE_TAKES : q->datagram_max;
    size_t most = datagram - IPV4_LEN - UDP_LEN;
    return most < MESSAGE_MAX ? most : MESSAGE_MAX;
}

/* The search list, as much of it as fits in `room` bytes, in as many options as that takes
 * (RFC 3397, RFC 3396). */
static uint8_t *put_search(uint8_t *at, size_t room, const struct link_identity *link)
{
    uint8_t list[MESSAGE_MAX];
    size_t heads = 2 * (room / (OPTION_LEN_MAX + 2) + 1);
    size_t len = room <= heads
                     ? 0
                     : search_list_write(link->search, link->n_search, true, list, room - heads);
    for (size_t done = 0; done < len;) {
        size_t part = len - done < OPTION_LEN_MAX ? len - done : OPTION_LEN_MAX;
        at = put_option(at, OPTION_SEARCH, (uint8_t)part, list + done);
        done += part;
    }
    return at;
}

/* Writes the message and returns its length. */
static size_t write_answer(const struct question *q, const struct link_identity *link,
                           uint8_t answer, uint8_t *message)
{
    bool leased = answer != NAK && q->type != INFORM;
    memset(message, 0, MESSAGE_MIN);
    memcpy(message, q->fixed, 12); /* type of hardware, xid, flags */
    message[0] = BOOTREPLY;
    message[3] = 0; /* hops */
    put_be16(message + 8, 0);
    if (answer == ACK) {
        put_be32(message + 12, q->client);
    }
    if (leased) {
        put_be32(message + 16, ln_addr_to_v4(&link->guest4));
    }
    memcpy(message + 28, q->fixed + 28, 16);
    put_be32(message + FIXED_LEN, COOKIE);
    uint8_t *at = put_option(message + FIXED_LEN + 4, OPTION_TYPE, 1, &answer);
    at = put_option_u32(at, OPTION_SERVER, ln_addr_to_v4(&link->gateway4));
    if (leased) {
        at = put_lease(at);
    }
    if (answer != NAK) {
        at = put_configuration(at, link);
    }
    if (q->client_id != NULL) { /* RFC 6842 */
        at = put_option(at, OPTION_CLIENT, q->client_id_len, q->client_id);
    }
    if (answer != NAK) {
        at = put_search(at, message_max(q) - (size_t)(at - message) - 1, link);
    }
    *at++ = OPTION_END;
    size_t len = (size_t)(at - message);
    return len < MESSAGE_MIN ? MESSAGE_MIN : len;
}

size_t dhcp_answer(const struct packet *packet, const struct link_identity *link,
                   uint8_t dst[DHCP_FRAME_MAX])
{
    static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct question q = {0};
    if (packet->kind != PACKET_UDP || packet->v6 || packet->dst_port != SERVER_PORT ||
        packet->src_port != CLIENT_PORT || !read_question(packet, &q)) {
        return 0;
    }
    uint8_t answer = choose_answer(&q, link);
    if (answer == 0) {
        return 0;
    }
    size_t len = write_answer(&q, link, answer, dst + ETH_LEN + IPV4_LEN + UDP_LEN);
    /* RFC 2131 section 4.1: a guest without the address yet takes unicast unless it says not. */
    bool broadcast = answer == NAK || (q.client == 0 && (q.flags & BROADCAST_FLAG) != 0);
    ln_addr everyone = ln_addr_v4(UINT32_MAX);
    return build_udp(dst, broadcast ? broadcast_mac : q.fixed + 28, link->gateway_mac, false,
                     &link->gateway4, SERVER_PORT, broadcast ? &everyone : &link->guest4,
                     CLIENT_PORT, len);
}
