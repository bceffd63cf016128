/* Memory for one nghttp2 session: counted, capped, and overwritten before it is let go of, for
 * field values that passed may be secrets. */
#ifndef LN_HTTP_H2_MEMORY_H
#define LN_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>

struct h2_memory {
    size_t used, cap; /* bytes */
};

/* The functions that nghttp2 calls; `memory` has to outlive the session. */
nghttp2_mem h2_memory_functions(struct h2_memory *memory);

#endif
