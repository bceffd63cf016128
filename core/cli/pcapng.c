/* Captures in pcapng: one section, one interface, an enhanced packet block a frame, and interface
 * statistics at the end. Blocks are in the byte order of this machine, which their header tells. */
#include "cli/pcapng.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
    RING_SIZE = 4 << 20,
    CLOSE_MS = 5000,

    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_STATISTICS = 5,
    BLOCK_PACKET = 6,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,
    LINKTYPE_ETHERNET = 1,

    OPTION_END = 0,
    OPTION_EPB_FLAGS = 2,
    OPTION_IF_NAME = 2,
    OPTION_IF_TSRESOL = 9,
    OPTION_ISB_RECEIVED = 4,
    OPTION_ISB_DROPPED = 5,
};

/* A block without packet bytes. */
struct block {
    uint8_t bytes[128];
    size_t len;
};

static void put(struct block *block, const void *data, size_t len)
{
    memcpy(block->bytes + block->len, data, len);
    block->len += len;
}

static void put32(struct block *block, uint32_t value)
{
    put(block, &value, sizeof(value));
}

static void put16(struct block *block, uint16_t value)
{
    put(block, &value, sizeof(value));
}

/* Zeros up to the next multiple of 4. */
static void pad(struct block *block)
{
    static const uint8_t zeros[3];
    put(block, zeros, (4 - block->len % 4) % 4);
}

static void put_option(struct block *block, uint16_t code, const void *data, uint16_t len)
{
    put16(block, code);
    put16(block, len);
    put(block, data, len);
    pad(block);
}

static void put_time(struct block *block)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    put32(block, (uint32_t)(ns >> 32));
    put32(block, (uint32_t)ns);
}

static struct block begin(uint32_t type)
{
    struct block block = {.len = 0};
    put32(&block, type);
    put32(&block, 0); /* the length, known at the end */
    return block;
}

static void end(struct block *block)
{
    put16(block, OPTION_END);
    put16(block, 0);
    uint32_t total = (uint32_t)block->len + 4;
    memcpy(block->bytes + 4, &total, sizeof(total));
    put32(block, total);
}

static int put_block(struct pcapng *pcap, const struct block *block,
                     int (*sink)(struct sink *, const struct iovec *, int))
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)block->bytes, .iov_len = block->len};
    return sink(pcap->sink, &part, 1);
}

static struct block section_block(void)
{
    struct block block = begin(BLOCK_SECTION);
    put32(&block, BYTE_ORDER_MAGIC);
    put16(&block, 1); /* version 1.0 */
    put16(&block, 0);
    put32(&block, UINT32_MAX); /* of unknown length */
    put32(&block, UINT32_MAX);
    end(&block);
    return block;
}

static struct block interface_block(const char *name)
{
    struct block block = begin(BLOCK_INTERFACE);
    put16(&block, LINKTYPE_ETHERNET);
    put16(&block, 0);
    put32(&block, LN_FRAME_MAX);
    put_option(&block, OPTION_IF_NAME, name, (uint16_t)strnlen(name, 64));
    put_option(&block, OPTION_IF_TSRESOL, &(uint8_t){9}, 1); /* 10^-9 s */
    end(&block);
    return block;
}

int pcapng_open(struct pcapng *pcap, int fd, const char *interface)
{
    *pcap = (struct pcapng){0};
    int r = sink_new(fd, RING_SIZE, &pcap->sink);
    if (r < 0) {
        return r;
    }
    struct block section = section_block();
    struct block description = interface_block(interface);
    (void)put_block(pcap, &section, sink_put); /* the ring is empty */
    (void)put_block(pcap, &description, sink_put);
    return 0;
}

void pcapng_put(struct pcapng *pcap, const ln_frame *frame, enum pcapng_direction direction)
{
    if (pcap->sink == NULL) {
        return;
    }
    struct block head = begin(BLOCK_PACKET);
    put32(&head, 0); /* the interface */
    put_time(&head);
    put32(&head, (uint32_t)frame->len);
    put32(&head, (uint32_t)frame->len);

    size_t padding = (4 - frame->len % 4) % 4;
    struct block tail = {.len = 0};
    put_option(&tail, OPTION_EPB_FLAGS, &(uint32_t){direction}, 4);
    put16(&tail, OPTION_END);
    put16(&tail, 0);
    uint32_t total = (uint32_t)(head.len + frame->len + padding + tail.len) + 4;
    put32(&tail, total);
    memcpy(head.bytes + 4, &total, sizeof(total));

    static const uint8_t zeros[3];
    struct iovec parts[] = {
        {.iov_base = head.bytes, .iov_len = head.len},
        {.iov_base = (void *)(uintptr_t)frame->data, .iov_len = frame->len},
        {.iov_base = (void *)(uintptr_t)zeros, .iov_len = padding},
        {.iov_base = tail.bytes, .iov_len = tail.len},
    };
    pcap->seen++;
    pcap->lost += sink_put(pcap->sink, parts, 4) < 0;
}

void pcapng_close(struct pcapng *pcap)
{
    if (pcap->sink != NULL) {
        struct block block = begin(BLOCK_STATISTICS);
        put32(&block, 0);
        put_time(&block);
        put_option(&block, OPTION_ISB_RECEIVED, &pcap->seen, 8);
        put_option(&block, OPTION_ISB_DROPPED, &pcap->lost, 8);
        end(&block);
        (void)put_block(pcap, &block, sink_put_last);
    }
    pcap->sink = sink_free(pcap->sink, CLOSE_MS);
}
