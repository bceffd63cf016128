/* What a head says of the body behind it. */
#ifndef LN_SECRETS_MEDIA_H
#define LN_SECRETS_MEDIA_H

#include "http/message.h"

/* Whether there is a Content-Encoding but "identity" (RFC 9110 section 8.4). */
bool media_is_encoded(const struct http_head *head);
/* Whether Content-Type is JSON, lines of JSON, or a type whose syntax is JSON (RFC 6839). */
bool media_is_json(const struct http_head *head);
/* Whether it is application/x-www-form-urlencoded. */
bool media_is_form(const struct http_head *head);
/* Whether it is a stream of messages behind 5 bytes each: gRPC, gRPC-Web, Connect. */
bool media_is_grpc(const struct http_head *head);

#endif
