/* Placeholders in the head of a request become values, where the scope and the secret's `inject`
 * say so; everywhere else they are looked for. */
#ifndef LN_SECRETS_REWRITE_H
#define LN_SECRETS_REWRITE_H

#include "http/message.h"
#include "secrets/scope.h"

/* Rewrites a request's head, or its trailers, in place:
 *   values of fields (inject.headers): the placeholder as it is becomes the value
 *   Authorization: Basic (inject.basic_auth): inside the decoded credentials (RFC 7617)
 *   the query (inject.query): as it is or percent-encoded, becomes the percent-encoded value
 * Each occurrence once: what was put in is not searched again. Method, authority, path and names of
 * fields are never changed. Fields that got a value are marked `sensitive`. Requests to
 * hosts that may hold a secret ask for answers that can be read (Accept-Encoding: identity, and
 * nothing that offers to compress messages).
 *
 * Returns 0; -EPERM when `report` has violations, found in every reading that secrets/readings.h
 * lists: the head is unchanged then, and may be offered again after secret_report_pass(); or
 * -ENOBUFS when it does not fit into a head, or when out of memory: the head must not be sent. */
int secret_rewrite_request(struct secret_scope *scope, struct http_head *head,
                           struct secret_report *report);

#endif
