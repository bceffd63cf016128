/* Placeholders in the body of a request, as it streams: put in where inject.body says so, and
 * looked for where they must not go. */
#ifndef LN_SECRETS_BODY_H
#define LN_SECRETS_BODY_H

#include "base/byte_queue.h"
#include "http/message.h"
#include "secrets/scope.h"

struct secret_body;

/* Whether the body of a request of this scope is to be looked at. */
bool secret_body_wanted(const struct secret_scope *scope);

/* For the body of `head`, which is read during the call. `scope` must outlive it. What a
 * placeholder becomes goes by Content-Type: in JSON (also +json) the value as a JSON string holds
 * it, in application/x-www-form-urlencoded the percent-encoded value; there placeholders are also
 * understood as JSON or percent-encoding write them. Elsewhere the value stands for the placeholder
 * as it is. A body with a Content-Encoding is never changed, nor are messages of gRPC, which tell
 * their lengths. Returns 0 or -ENOMEM. */
int secret_body_new(struct secret_scope *scope, const struct http_head *head,
                    struct secret_body **ret);
struct secret_body *secret_body_free(struct secret_body *body); /* takes NULL, returns NULL */

/* The next bytes of the body, `end`: the last. Appends to `out` what goes on in their place; holds
 * back what may be the start of a placeholder, at most secret_body_held() bytes.
 * Returns 0. -EPERM at a violation, which is in `report`: what stood before the placeholder is
 * appended, nothing else; after secret_report_pass() the same bytes are to be offered again.
 * -ENOBUFS or -ENOMEM: `out` is full or memory is out; the body cannot go on. */
int secret_body_feed(struct secret_body *body, const uint8_t *data, size_t len, bool end,
                     struct byte_queue *out, struct secret_report *report);
/* How many bytes are held back. */
size_t secret_body_held(const struct secret_body *body);

#endif
