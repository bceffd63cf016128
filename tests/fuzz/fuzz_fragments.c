/* Fragments against an assembler that is slow and plain: it keeps every fragment in a list. Each
 * fragment has bytes of its own, so that a result tells which ones it was made of. Whole datagrams
 * are cut up and put together again too. */
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "guest_frame.h"
#include "packet/fragments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { DATAGRAMS = 3, BYTES_MAX = 3000, TIMEOUT_MS = 100, PIECES_MAX = 64 };

/* ---- the plain assembler ---- */

struct piece {
    uint32_t offset, len;
    uint8_t mark;
    bool more;
};

struct plain {
    bool used, spoilt;
    uint8_t id;
    bool v6;
    uint64_t expires_ns;
    struct piece pieces[PIECES_MAX];
    unsigned n;
};

static struct plain plains[DATAGRAMS];

static bool overlap(const struct piece *a, const struct piece *b)
{
    uint32_t a_end = (a->offset + a->len + 7) / 8 * 8;
    uint32_t b_end = (b->offset + b->len + 7) / 8 * 8;
    return a->offset < b_end && b->offset < a_end;
}

/* Whether the two can be of one datagram. */
static bool agree(const struct piece *a, const struct piece *b)
{
    if (overlap(a, b) || (!a->more && !b->more)) {
        return false;
    }
    if (!a->more && b->offset + b->len > a->offset + a->len) {
        return false;
    }
    return b->more || a->offset + a->len <= b->offset + b->len;
}

static struct plain *plain_find(uint8_t id, bool v6, bool atomic)
{
    struct plain *oldest = &plains[0];
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        struct plain *at = &plains[i];
        if (!atomic && at->used && at->id == id && at->v6 == v6) {
            return at;
        }
        uint64_t expires = at->used ? at->expires_ns : 0;
        if (expires < (oldest->used ? oldest->expires_ns : 0)) {
            oldest = at;
        }
    }
    *oldest = (struct plain){0};
    return oldest;
}

/* Returns -1: dropped, 0: not complete, else the length; the marks of the bytes are in `whole`. */
static int plain_input(uint8_t id, bool v6, const struct piece *piece, uint64_t now_ns,
                       uint8_t *whole)
{
    struct plain *at = plain_find(id, v6, piece->offset == 0 && !piece->more);
    if (!at->used) {
        *at = (struct plain){
            .used = true, .id = id, .v6 = v6, .expires_ns = now_ns + TIMEOUT_MS * MS_NS};
    }
    for (unsigned i = 0; i < at->n && !at->spoilt; i++) {
        at->spoilt = !agree(&at->pieces[i], piece);
    }
    if (at->spoilt) {
        return -1;
    }
    REQUIRE(at->n < PIECES_MAX);
    at->pieces[at->n++] = *piece;
    uint32_t total = 0;
    uint32_t there = 0;
    for (unsigned i = 0; i < at->n; i++) {
        const struct piece *p = &at->pieces[i];
        total = p->more ? total : p->offset + p->len;
        there += p->len;
        memset(whole + p->offset, p->mark, p->len);
    }
    if (total == 0 || there != total) {
        return 0;
    }
    at->used = false;
    return (int)total;
}

static void plain_expire(uint64_t now_ns)
{
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        plains[i].used = plains[i].used && plains[i].expires_ns > now_ns;
    }
}

/* ---- both ---- */

static struct fragments *fragments;
static uint64_t now_ns;

static void input(uint8_t id, bool v6, const struct piece *piece)
{
    static uint8_t frame[ETH_LEN + 48 + 2048];
    static uint8_t whole[65536 + 2048];
    struct link_identity link = guest_link();
    ln_addr dst = guest_addr(v6 ? "2001:db8::7" : "192.0.2.7");
    const ln_addr *src = v6 ? &link.guest6 : &link.guest4;
    uint8_t *at = guest_ip(frame, src, &dst, v6 ? 44 : 17, piece->len + (v6 ? 8 : 0));
    if (v6) {
        memcpy(at, (const uint8_t[]){17, 0}, 2);
        put_be16(at + 2, (uint16_t)(piece->offset | piece->more));
        put_be32(at + 4, id);
        at += 8;
    } else {
        put_be16(frame + ETH_LEN + 4, id);
        put_be16(frame + ETH_LEN + 6, (uint16_t)(piece->offset / 8 | (piece->more ? 0x2000u : 0u)));
        guest_ipv4_checksum(frame + ETH_LEN);
    }
    memset(at, piece->mark, piece->len);
    link.mtu = 2048;
    struct packet p;
    ln_frame meta = {
        .data = frame, .len = (size_t)(at - frame) + piece->len, .flags = LN_FRAME_CSUM_VALID};
    if (packet_classify(&meta, &link, &p) != DROP_NONE || p.kind != PACKET_FRAGMENT) {
        return;
    }
    const uint8_t *result = NULL;
    size_t result_len = 0;
    enum drop_reason reason = fragments_input(fragments, &p, now_ns, &result, &result_len);
    if (piece->offset + piece->len > BYTES_MAX) {
        REQUIRE(reason == DROP_FRAGMENT);
        return;
    }
    int expected = plain_input(id, v6, piece, now_ns, whole);
    REQUIRE(reason == (expected < 0 ? DROP_FRAGMENT : DROP_NONE));
    REQUIRE((result != NULL) == (expected > 0));
    if (expected > 0) {
        size_t headers = ETH_LEN + (v6 ? 40u : 20u);
        REQUIRE(result_len == headers + (size_t)expected);
        REQUIRE(memcmp(result + headers, whole, (size_t)expected) == 0);
        REQUIRE(v6 || guest_sum(result + ETH_LEN, 20, 0) == 0xffff);
    }
}

/* ---- cutting ---- */

struct rejoin {
    struct fragments *fragments;
    const uint8_t *whole;
    size_t whole_len;
    bool done;
};

static void rejoin(void *user, const uint8_t *frame, size_t len)
{
    struct rejoin *r = user;
    struct packet p;
    REQUIRE(!r->done && packet_describe(frame, len, &p) == DROP_NONE);
    REQUIRE(p.kind == PACKET_FRAGMENT);
    const uint8_t *result = NULL;
    size_t result_len;
    REQUIRE(fragments_input(r->fragments, &p, 1, &result, &result_len) == DROP_NONE);
    if (result != NULL) {
        REQUIRE(result_len == r->whole_len);
        REQUIRE(memcmp(result + p.l3 + (p.v6 ? 40u : 20u), r->whole + p.l3 + (p.v6 ? 40u : 20u),
                       result_len - p.l3 - (p.v6 ? 40u : 20u)) == 0);
        r->done = true;
    }
}

static void cut(bool v6, size_t len, uint32_t mtu)
{
    static uint8_t payload[65536];
    static uint8_t frame[ETH_LEN + 40 + 65536];
    ln_addr src = guest_addr(v6 ? "fd42::2" : "10.0.0.2");
    ln_addr dst = guest_addr(v6 ? "2001:db8::7" : "192.0.2.7");
    for (size_t i = 0; i < len; i++) {
        payload[i] = (uint8_t)(i * 7 + i / 256);
    }
    size_t frame_len = guest_udp(frame, &src, 1, &dst, 2, payload, len);
    if (frame_len - ETH_LEN <= mtu) {
        return;
    }
    struct fragment_limits limits = {1, 65535, 1000};
    struct rejoin r = {.fragments = fragments_new(&limits), .whole = frame, .whole_len = frame_len};
    REQUIRE(r.fragments != NULL);
    REQUIRE(fragments_cut(frame, frame_len, mtu, 77, rejoin, &r) == 0);
    REQUIRE(r.done);
    fragments_free(r.fragments);
}

/* Commands of 5 bytes: what, id, offset, length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 5 * PIECES_MAX) {
        return 0;
    }
    fragments = fragments_new(&(struct fragment_limits){
        .datagrams = DATAGRAMS, .bytes = BYTES_MAX, .timeout_ms = TIMEOUT_MS});
    REQUIRE(fragments != NULL);
    memset(plains, 0, sizeof(plains));
    now_ns = SECOND_NS;
    for (uint8_t mark = 1; size >= 5; data += 5, size -= 5, mark++) {
        bool v6 = (data[0] & 1) != 0;
        now_ns += MS_NS;
        if ((data[0] & 0xe0) == 0xe0) {
            now_ns += data[1] * MS_NS;
            fragments_expire(fragments, now_ns);
            plain_expire(now_ns);
        } else if ((data[0] & 0xe0) == 0xc0) {
            cut(v6, get_be16(data + 1) / 8u, 1280 + data[3] * 8u);
        } else {
            struct piece piece = {
                .offset = get_be16(data + 2) % 512u * 8u,
                .len = data[4] * ((data[0] & 4) != 0 ? 8u : 1u),
                .mark = mark,
                .more = (data[0] & 2) != 0,
            };
            input(data[1] % 5, v6, &piece);
        }
    }
    fragments = fragments_free(fragments);
    return 0;
}
