/* Values in responses become placeholders again: a host that may have a secret can show it to the
 * guest no more than by mistake.
 *
 * They are found as they are, percent-encoded, as JSON strings hold them, as templates write them
 * into pages, and in base64 (as in Basic credentials that are shown), at every split. In base64
 * stars take the value's place; up to four bits at each end of it stay. In gRPC, whose messages
 * tell their lengths, the placeholder is cut or filled to the value's length. Values shorter than
 * VAULT_ECHO_MIN are not looked for. What a server does to a value on purpose (reversing it, say)
 * is not undone: hosts of `allow_hosts` are trusted with the secret.
 *
 * A body that is said to be encoded is looked at like any other: guests can make some servers say
 * so of one that is not, and in one that is nothing is found. */
#ifndef LN_SECRETS_ECHO_H
#define LN_SECRETS_ECHO_H

#include "base/byte_queue.h"
#include "http/message.h"
#include "secrets/scope.h"

struct secret_echo;

/* Whether responses over this connection are to be looked at: its host may hold a secret. */
bool secret_echo_wanted(const struct secret_scope *scope);
/* The head of a response, or trailers: names and values of fields. Returns 0; -ENOBUFS when it does
 * not fit or memory is out; -EPERM when a value stands in the name of a field. The head must not be
 * passed on then. */
int secret_echo_head(const struct secret_scope *scope, struct http_head *head);

/* For the body of the response `head`, which is read during the call; `scope` is too. NULL: for a
 * tunnel. gRPC and its like (Content-Type) are held back to the end of a message at most. Returns 0
 * or -ENOMEM. */
int secret_echo_new(const struct secret_scope *scope, const struct http_head *head,
                    struct secret_echo **ret);
struct secret_echo *secret_echo_free(struct secret_echo *echo); /* takes NULL, returns NULL */
/* The next bytes of the body, `end`: the last. Appends to `out` what goes on in their place; holds
 * back what may be the start of a value. Returns 0, -ENOBUFS or -ENOMEM: the body cannot go on. */
int secret_echo_feed(struct secret_echo *echo, const uint8_t *data, size_t len, bool end,
                     struct byte_queue *out);
/* The next bytes of a tunnel, which pass as they are. Returns 0, -ENOMEM, or -EPERM when a value is
 * in them, or more of its start at their end than may be told: they must not be passed on. */
int secret_echo_watch(struct secret_echo *echo, const uint8_t *data, size_t len);

#endif
