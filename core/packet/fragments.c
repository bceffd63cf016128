/* Fragments: reassembly with one buffer a datagram and no overlap at all, and cutting.
 *
 * Theory of operation. Whatever fragment of a datagram comes first takes a buffer for the whole of
 * it. A bit for every 8 bytes tells what is there; a fragment that touches a bit already set, or
 * reaches past the end, spoils the datagram: it keeps its place without a buffer until its time is
 * over, so that the rest of it is dropped too (RFC 5722 section 4, RFC 8200 section 4.5). Without
 * overlap, the datagram is complete when as many bytes are there as the last fragment promised. */
#include "packet/fragments.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/timer.h"
#include "packet/build.h"

enum {
    UNIT = 8, /* bytes that a fragment offset counts */
    UNITS = 65536 / UNIT,
    HEADERS = ETH_LEN + IPV6_LEN,
    IPV4_MORE_FRAGMENTS = 0x2000,
    IPV6_FRAGMENT_LEN = 8
};

struct datagram {
    ln_addr src, dst;
    uint32_t id;
    uint8_t ip_protocol;
    bool v6;
    uint64_t expires_ns; /* 0: the slot is free */
    uint8_t *buffer;     /* headers, right-aligned in HEADERS bytes, and payload; NULL: spoilt */
    uint32_t received;   /* bytes of payload */
    uint32_t reaches;    /* end of the farthest fragment */
    uint32_t total;      /* bytes of payload in all; 0: not known yet */
    uint8_t present[UNITS / 8];
};

struct fragments {
    struct fragment_limits limits;
    uint8_t *spare; /* a buffer for the next datagram; the one lent out last */
    struct datagram datagrams[];
};

struct fragments *fragments_new(const struct fragment_limits *limits)
{
    struct fragments *fragments =
        calloc(1, sizeof(*fragments) + limits->datagrams * sizeof(struct datagram));
    if (fragments != NULL) {
        fragments->limits = *limits;
    }
    return fragments;
}

struct fragments *fragments_free(struct fragments *fragments)
{
    if (fragments != NULL) {
        for (uint32_t i = 0; i < fragments->limits.datagrams; i++) {
            free(fragments->datagrams[i].buffer);
        }
        free(fragments->spare);
        free(fragments);
    }
    return NULL;
}

/* Gives the buffer back: it is lent out until the next call, or used for the next datagram. */
static void keep_spare(struct fragments *fragments, uint8_t *buffer)
{
    free(fragments->spare);
    fragments->spare = buffer;
}

static void release(struct fragments *fragments, struct datagram *datagram)
{
    if (datagram->buffer != NULL) {
        keep_spare(fragments, datagram->buffer);
        datagram->buffer = NULL;
    }
    datagram->expires_ns = 0;
}

static void spoil(struct fragments *fragments, struct datagram *datagram)
{
    uint64_t expires_ns = datagram->expires_ns;
    release(fragments, datagram);
    datagram->expires_ns = expires_ns;
}

static bool is_of(const struct datagram *datagram, const struct packet *p)
{
    return datagram->expires_ns != 0 && datagram->id == p->fragment_id &&
           datagram->ip_protocol == p->ip_protocol && ln_addr_equal(&datagram->src, &p->src) &&
           ln_addr_equal(&datagram->dst, &p->dst);
}

/* A whole datagram with a fragment header belongs to no other fragment (RFC 6946). */
static bool is_atomic(const struct packet *p)
{
    return p->fragment_offset == 0 && !p->more_fragments;
}

/* The datagram of a fragment, or the slot to start it in: a free one, else the oldest. NULL: there
 * are no slots at all. */
static struct datagram *find(struct fragments *fragments, const struct packet *p)
{
    struct datagram *oldest = NULL;
    for (uint32_t i = 0; i < fragments->limits.datagrams; i++) {
        struct datagram *datagram = &fragments->datagrams[i];
        if (!is_atomic(p) && is_of(datagram, p)) {
            return datagram;
        }
        if (oldest == NULL || datagram->expires_ns < oldest->expires_ns) {
            oldest = datagram;
        }
    }
    if (oldest != NULL) {
        release(fragments, oldest);
    }
    return oldest;
}

static enum drop_reason start(struct fragments *fragments, struct datagram *datagram,
                              const struct packet *p, uint64_t now_ns)
{
    uint8_t *buffer = fragments->spare;
    fragments->spare = NULL;
    if (buffer == NULL) {
        buffer = malloc(HEADERS + fragments->limits.bytes);
    }
    if (buffer == NULL) {
        return DROP_LIMIT;
    }
    *datagram = (struct datagram){
        .src = p->src,
        .dst = p->dst,
        .id = p->fragment_id,
        .ip_protocol = p->ip_protocol,
        .v6 = p->v6,
        .expires_ns = now_ns + fragments->limits.timeout_ms * MS_NS,
        .buffer = buffer,
    };
    return DROP_NONE;
}

/* Marks [offset, end) as there. False: some of it was. */
static bool claim(struct datagram *datagram, uint32_t offset, uint32_t end)
{
    for (uint32_t unit = offset / UNIT; unit < (end + UNIT - 1) / UNIT; unit++) {
        uint8_t bit = (uint8_t)(1u << unit % 8);
        if ((datagram->present[unit / 8] & bit) != 0) {
            return false;
        }
        datagram->present[unit / 8] |= bit;
    }
    return true;
}

/* Whether the fragment goes with those already there. */
static bool fits(struct datagram *datagram, const struct packet *p)
{
    uint32_t end = p->fragment_offset + p->payload_len;
    bool past_the_end = datagram->total != 0 && end > datagram->total;
    bool contradicts_end = !p->more_fragments && end < datagram->reaches;
    return !past_the_end && !contradicts_end && claim(datagram, p->fragment_offset, end);
}

static uint32_t ip_header_len(bool v6)
{
    return v6 ? IPV6_LEN : IPV4_LEN;
}

static void add(struct datagram *datagram, const struct packet *p)
{
    uint32_t end = p->fragment_offset + p->payload_len;
    memcpy(datagram->buffer + HEADERS + p->fragment_offset, p->frame + p->payload, p->payload_len);
    datagram->received += p->payload_len;
    datagram->reaches = end > datagram->reaches ? end : datagram->reaches;
    if (!p->more_fragments) {
        datagram->total = end;
    }
    if (p->fragment_offset == 0) {
        uint32_t len = ETH_LEN + ip_header_len(p->v6);
        memcpy(datagram->buffer + HEADERS - len, p->frame, len);
    }
}

/* Makes the header of the first fragment that of the whole. */
static uint8_t *finish_header(struct datagram *datagram)
{
    uint32_t ip_len = ip_header_len(datagram->v6);
    uint8_t *ip = datagram->buffer + HEADERS - ip_len;
    if (datagram->v6) {
        put_be16(ip + 4, (uint16_t)datagram->total);
        ip[6] = datagram->ip_protocol;
    } else {
        put_be16(ip + 2, (uint16_t)(ip_len + datagram->total));
        put_be16(ip + 6, 0);
        build_ipv4_checksum(ip);
    }
    return ip - ETH_LEN;
}

/* Neighbour discovery is never fragmented (RFC 6980 section 5). */
static bool is_ndp(const struct datagram *datagram)
{
    uint8_t type = datagram->buffer[HEADERS];
    return datagram->v6 && datagram->ip_protocol == IPPROTO_ICMPV6 &&
           type >= NDP_ROUTER_SOLICITATION && type <= NDP_REDIRECT;
}

enum drop_reason fragments_input(struct fragments *fragments, const struct packet *p,
                                 uint64_t now_ns, const uint8_t **ret_frame, size_t *ret_len)
{
    if (p->fragment_offset + p->payload_len > fragments->limits.bytes) {
        return DROP_FRAGMENT;
    }
    struct datagram *datagram = find(fragments, p);
    if (datagram == NULL) {
        return DROP_LIMIT;
    }
    if (datagram->expires_ns == 0) {
        enum drop_reason reason = start(fragments, datagram, p, now_ns);
        if (reason != DROP_NONE) {
            return reason;
        }
    }
    if (datagram->buffer == NULL) {
        return DROP_FRAGMENT;
    }
    if (!fits(datagram, p)) {
        spoil(fragments, datagram);
        return DROP_FRAGMENT;
    }
    add(datagram, p);
    if (datagram->received != datagram->total) {
        *ret_frame = NULL;
        return DROP_NONE;
    }
    if (is_ndp(datagram)) {
        release(fragments, datagram);
        return DROP_FRAGMENT;
    }
    const uint8_t *frame = finish_header(datagram);
    *ret_frame = frame;
    *ret_len = ETH_LEN + ip_header_len(datagram->v6) + datagram->total;
    release(fragments, datagram);
    return DROP_NONE;
}

unsigned fragments_expire(struct fragments *fragments, uint64_t now_ns)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < fragments->limits.datagrams; i++) {
        struct datagram *datagram = &fragments->datagrams[i];
        if (datagram->expires_ns != 0 && datagram->expires_ns <= now_ns) {
            release(fragments, datagram);
            count++;
        }
    }
    return count;
}

/* ---- cutting ---- */

static void cut4(uint8_t *ip, uint32_t offset, uint32_t len, bool more, uint32_t id)
{
    put_be16(ip + 2, (uint16_t)(IPV4_LEN + len));
    put_be16(ip + 4, (uint16_t)id);
    put_be16(ip + 6, (uint16_t)(offset / UNIT | (more ? IPV4_MORE_FRAGMENTS : 0)));
    build_ipv4_checksum(ip);
}

static void cut6(uint8_t *ip, uint8_t protocol, uint32_t offset, uint32_t len, bool more,
                 uint32_t id)
{
    put_be16(ip + 4, (uint16_t)(IPV6_FRAGMENT_LEN + len));
    ip[6] = IPPROTO_FRAGMENT;
    uint8_t *header = ip + IPV6_LEN;
    header[0] = protocol;
    header[1] = 0;
    put_be16(header + 2, (uint16_t)(offset | more));
    put_be32(header + 4, id);
}

int fragments_cut(const uint8_t *frame, size_t len, uint32_t mtu, uint32_t id,
                  void (*emit)(void *user, const uint8_t *frame, size_t len), void *user)
{
    struct packet p;
    if (packet_describe(frame, len, &p) != DROP_NONE || p.kind == PACKET_ARP ||
        p.kind == PACKET_FRAGMENT || p.l4 != p.l3 + ip_header_len(p.v6)) {
        return -EINVAL;
    }
    uint32_t headers_len = p.l4 + (p.v6 ? (uint32_t)IPV6_FRAGMENT_LEN : 0);
    uint32_t most = (mtu - (headers_len - p.l3)) / UNIT * UNIT;
    uint8_t *piece = malloc(headers_len + most);
    if (piece == NULL) {
        return -ENOMEM;
    }
    memcpy(piece, frame, p.l4);
    uint32_t total = p.frame_len - p.l4;
    for (uint32_t offset = 0; offset < total; offset += most) {
        uint32_t piece_len = total - offset < most ? total - offset : most;
        bool more = offset + piece_len < total;
        memcpy(piece + headers_len, frame + p.l4 + offset, piece_len);
        if (p.v6) {
            cut6(piece + p.l3, p.ip_protocol, offset, piece_len, more, id);
        } else {
            cut4(piece + p.l3, offset, piece_len, more, id);
        }
        emit(user, piece, headers_len + piece_len);
    }
    free(piece);
    return 0;
}
