/* The chunked transfer coding (RFC 9112 section 7.1), read in pieces of any size. Extensions are
 * bounded, checked and dropped. */
#ifndef LN_HTTP_H1_CHUNKED_H
#define LN_HTTP_H1_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h1_chunk {
    H1_CHUNK_MORE,  /* everything was looked at */
    H1_CHUNK_START, /* a chunk of `left` > 0 bytes begins behind what was used */
    H1_CHUNK_DATA, /* `*ret_n` bytes of it follow behind what was used, to be taken by the caller */
    H1_CHUNK_END,  /* it is whole */
    H1_CHUNK_LAST, /* the last chunk: the trailer section follows */
    H1_CHUNK_BAD
};

/* Zero-initialise to start. */
struct h1_chunked {
    enum { H1_AT_SIZE, H1_AT_EXTENSION, H1_AT_SIZE_LF, H1_AT_DATA, H1_AT_CR, H1_AT_LF } at;
    unsigned line; /* bytes of the size line so far */
    uint64_t left; /* of the chunk */
};

/* Looks at the next bytes up to the next event. *ret_used: how many of them belong to the framing
 * and are done with. */
enum h1_chunk h1_chunked_next(struct h1_chunked *c, const uint8_t *data, size_t len,
                              size_t *ret_used, size_t *ret_n);
/* `n` bytes of H1_CHUNK_DATA were taken, or fewer. */
void h1_chunked_took(struct h1_chunked *c, size_t n);

#endif
