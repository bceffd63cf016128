/* Text as the templates of web pages write it. */
#ifndef LN_SECRETS_HTML_H
#define LN_SECRETS_HTML_H

#include <stddef.h>
#include <stdint.h>

#include "base/byte_queue.h"

/* How templates differ: in the characters that become references, and in how these are written. */
enum { HTML_DIALECTS = 7 };

/* Appends `text` as dialect 0 <= `dialect` < HTML_DIALECTS has it. Returns 0, -ENOBUFS or -ENOMEM.
 */
int html_put(struct byte_queue *out, unsigned dialect, const uint8_t *text, size_t len);

#endif
