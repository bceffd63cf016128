/* A bounded reader that fails stickily: read everything, then check `failed` once. And the
 * unaligned big-endian accessors that packet code uses instead of casting bytes to structs. */
#ifndef LN_BASE_BYTES_H
#define LN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t get_be64(const uint8_t *p)
{
    return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}
static inline void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void put_be64(uint8_t *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32(p + 4, (uint32_t)v);
}

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct reader reader_of(const uint8_t *data, size_t len)
{
    return (struct reader){.at = data, .end = data + len};
}
static inline size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->at);
}
/* `len` bytes, or NULL with `failed` set. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t len)
{
    if (r->failed || (size_t)(r->end - r->at) < len) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->at;
    r->at += len;
    return p;
}
static inline void reader_skip(struct reader *r, size_t len)
{
    (void)reader_bytes(r, len);
}
static inline uint8_t reader_u8(struct reader *r)
{
    const uint8_t *p = reader_bytes(r, 1);
    return p ? *p : 0;
}
static inline uint16_t reader_u16(struct reader *r)
{
    const uint8_t *p = reader_bytes(r, 2);
    return p ? get_be16(p) : 0;
}
static inline uint32_t reader_u24(struct reader *r)
{
    const uint8_t *p = reader_bytes(r, 3);
    return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}
static inline uint32_t reader_u32(struct reader *r)
{
    const uint8_t *p = reader_bytes(r, 4);
    return p ? get_be32(p) : 0;
}
/* A reader over the next `len` bytes, which are consumed here; failed when they are not there. */
static inline struct reader reader_sub(struct reader *r, size_t len)
{
    const uint8_t *p = reader_bytes(r, len);
    return p ? reader_of(p, len) : (struct reader){.failed = true};
}

#endif
