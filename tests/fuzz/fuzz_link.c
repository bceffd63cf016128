/* DHCP and neighbour discovery: the input is the message, the headers before it are right, so that
 * all of the fuzzer's work goes into the message. Answers are well formed, and offer nothing but
 * the guest's own address. */
#include <stdlib.h>
#include <string.h>

#include "guest_frame.h"
#include "stack/neighbour.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MESSAGE_MAX = 1400 };

static struct link_identity guests_link;
static uint8_t frame[ETH_LEN + 60 + MESSAGE_MAX];

static void fuzz_dhcp(bool renews, const uint8_t *message, size_t len)
{
    ln_addr src = renews ? guests_link.guest4 : ln_addr_v4(0);
    ln_addr dst = renews ? guests_link.gateway4 : ln_addr_v4(UINT32_MAX);
    size_t frame_len = guest_udp(frame, &src, 68, &dst, 67, message, len);
    if (!renews) {
        memset(frame, 0xff, 6);
    }
    struct packet p;
    REQUIRE(packet_classify(&(ln_frame){.data = frame, .len = frame_len}, &guests_link, &p) ==
            DROP_NONE);
    uint8_t *answer = malloc(DHCP_FRAME_MAX);
    REQUIRE(answer != NULL);
    size_t answer_len = dhcp_answer(&p, &guests_link, answer);
    REQUIRE(answer_len <= DHCP_FRAME_MAX);
    if (answer_len > 0) {
        REQUIRE(packet_describe(answer, answer_len, &p) == DROP_NONE);
        REQUIRE(p.kind == PACKET_UDP && p.src_port == 67 && p.dst_port == 68);
        REQUIRE(p.payload_len >= 300 && answer[p.payload] == 2);
        uint32_t given = get_be32(answer + p.payload + 16);
        REQUIRE(given == 0 || given == ln_addr_to_v4(&guests_link.guest4));
        REQUIRE(memcmp(answer + p.payload + 28, guest_own_mac, 6) == 0);
    }
    free(answer);
}

static void fuzz_ndp(bool probes, const uint8_t *message, size_t len)
{
    static const uint8_t types[] = {133, 135, 136};
    ln_addr src = probes ? guest_addr("::") : guests_link.guest6;
    ln_addr dst = guest_addr((message[0] & 4) != 0 ? "ff02::2" : "ff02::1:ff00:1");
    size_t frame_len =
        guest_icmp(frame, &src, &dst, types[message[0] % 3], 0, 0, message + 1, len - 1);
    frame[ETH_LEN + 7] = 255;
    memcpy(frame, (const uint8_t[]){0x33, 0x33}, 2);
    memcpy(frame + 2, dst.bytes + 12, 4);
    struct packet p;
    REQUIRE(packet_classify(&(ln_frame){.data = frame, .len = frame_len}, &guests_link, &p) ==
            DROP_NONE);
    uint8_t *answer = malloc(NEIGHBOUR_FRAME_MAX);
    REQUIRE(answer != NULL);
    size_t answer_len = neighbour_answer(&p, &guests_link, guest_own_mac, answer);
    REQUIRE(answer_len <= NEIGHBOUR_FRAME_MAX);
    if (answer_len > 0) {
        REQUIRE(packet_describe(answer, answer_len, &p) == DROP_NONE);
        REQUIRE(p.kind == PACKET_NDP && p.ttl == 255);
        REQUIRE(memcmp(answer + 6, guest_gateway_mac, 6) == 0);
    }
    free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const search[] = {
        "a-rather-long-department.corp.example", "another-department.corp.example", "corp.example",
        "yet-another-department-of-the-same-company.corp.example",
        "and-one-more-of-them-with-quite-a-long-name.corp.example"};
    guests_link = guest_link();
    guests_link.search = search;
    guests_link.n_search = sizeof(search) / sizeof(search[0]);
    if (size < 2 || size - 1 > MESSAGE_MAX) {
        return 0;
    }
    bool other = (data[0] & 2) != 0;
    if ((data[0] & 1) != 0) {
        fuzz_ndp(other, data + 1, size - 1);
    } else {
        fuzz_dhcp(other, data + 1, size - 1);
    }
    return 0;
}
