/* Memory for one nghttp2 session: counted, capped, and overwritten before it is let go of, for
 * field values that passed may be secrets. */
#ifndef LN_HTTP_H2_MEMORY_H
#define LN_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>

struct h2_piece;

/* Set `cap`, zero the rest to start. */
struct h2_memory {
    size_t used, cap; /* bytes */
    struct h2_piece *first;
};

/* The functions that nghttp2 calls; `memory` has to outlive the session. */
nghttp2_mem h2_memory_functions(struct h2_memory *memory);
/* Frees the session with everything it holds. Takes the place of nghttp2_session_del(), which frees
 * some of it twice when nghttp2 was out of memory before. */
void h2_memory_free(struct h2_memory *memory);

#endif
