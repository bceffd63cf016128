/* The relay of a connection that speaks HTTP/2 on both sides (RFC 9113): nghttp2's server towards
 * the guest, its client towards upstream, and between them streams one to one. */
#ifndef LN_HTTP_H2_H
#define LN_HTTP_H2_H

#include "http/filter.h"
#include "http/relay.h"

/* Makes a relay, with both prefaces in its queues. The first byte of the guest's is that of its
 * preface. `filter` and `user` have to outlive it; settings->head_bytes is the most that the
 * decoded field list of a head may take, counted as in RFC 9113 section 6.5.2, and
 * settings->streams the most streams that the guest may have open.
 *
 * What is particular to this version: HTTP_RESET resets the stream on both sides, not the
 * connections; requests of other streams go on. CONNECT, with or without :protocol (RFC 8441), is
 * refused. TE, Trailer and Expect concern both ends here, and are among the fields of a head. Where
 * a body is filtered its Content-Length is removed. Field values that are sensitive,
 * the filter's or the sender's, are never put into a dynamic table (RFC 7541 section 7.1.3).
 *
 * Memory is bounded: what waits of the bodies of one direction takes at most 64 KiB a stream and
 * 4 MiB more of the connection; what waits of heads, head_bytes a stream.
 * Returns 0 or -ENOMEM. */
int http2_relay_new(const struct http_relay_settings *settings,
                    const struct http_filter_ops *filter, void *user, struct http_relay **ret);

#endif
