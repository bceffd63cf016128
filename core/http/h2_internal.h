/* The parts of the HTTP/2 relay (http/h2.h) and what they share.
 *
 * Theory of operation. A side is an nghttp2 session and its queue of bytes to send. A stream is a
 * request and its response: the stream that the guest opened and, once the filter let the request
 * through and upstream takes one more, that which the relay opened upstream. A way is one direction
 * of its body: bytes come on one side, wait (in `held` when a filter has yet to see them, in
 * `queue` when they may be sent), and leave on the other. The sender's window is opened again only
 * as they leave, so what waits is bounded by the windows; the connection's window is opened at once
 * and never holds a stream back because of another. A stream's window starts at 64 KiB and grows
 * while the receiver is faster than it, out of what the connection has to spare.
 *
 * nghttp2 calls back while it reads or writes one session. Callbacks submit frames to either
 * session, and never read or write one: that is what pump() of h2.c is for, at the end of every
 * call of the relay. Streams are freed there too. */
#ifndef LN_HTTP_H2_INTERNAL_H
#define LN_HTTP_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/byte_queue.h"
#include "http/filter.h"
#include "http/h2_memory.h"
#include "http/h2_meter.h"
#include "http/relay.h"

enum {
    H2_WINDOW_FIRST = 65535,         /* of a stream (RFC 9113 section 6.9.2) */
    H2_WINDOW_MAX = 2 << 20,         /* of a stream, grown */
    H2_WINDOW_SPARE = 4 << 20,       /* what all streams of a side may grow by */
    H2_WINDOW_CONNECTION = 16 << 20, /* never what holds a stream back */
    H2_QUEUE_FULL = 256 << 10,       /* nothing more is written to a queue that holds as much */
    H2_QUEUE_CAP = 320 << 10,        /* room for the frame that made it full */
    H2_UNSENT_MAX = 512 << 10,       /* of a session's memory, while its queue is full: above it
                                        nothing more is read that could add to it */
    H2_FILTER_PIECE = 16 << 10,      /* what a filter gets at a time */
    H2_FILTER_ROOM = 64 << 10,       /* filtered bytes that may wait before it gets more */
    H2_FILTERED_CAP = 4 << 20,       /* what one piece may become, at most */
    H2_PATIENCE = 64 << 10,          /* bytes of a request behind the answer to it */
    H2_INTERIM_MAX = 32,             /* 1xx responses to one request */
    H2_RESETS_MAX = 1000             /* requests beyond those answered that the guest gives up */
};

enum h2_end { H2_GUEST, H2_UPSTREAM }; /* indexes side[], id[] and open[] */

struct h2_stream;

struct h2_way {
    struct h2_stream *stream;
    enum h2_end from;        /* the side that the body comes from */
    struct byte_queue held;  /* came; the filter has not seen it */
    struct byte_queue queue; /* to be sent */
    struct http_head trailers;
    size_t list_bytes; /* of the field list that is being read */
    bool too_large;    /* that list is over the limit */
    bool malformed;    /* it has what may not stand there */
    bool has_trailers;
    bool filtered;
    bool dropped;   /* what comes is thrown away */
    bool ended;     /* END_STREAM came */
    bool complete;  /* nothing will be added to `queue` */
    bool idle;      /* the sender was told to wait for h2_way_wake() */
    int32_t window; /* what the sender may have under way */
    int32_t left;   /* bytes since the window grew */
    uint64_t bytes; /* that were sent */
};

struct h2_stream {
    struct h2_stream *prev, *next; /* in the order in which they were opened */
    struct h2_relay *relay;
    struct http_exchange x;
    int32_t id[2];
    bool open[2];          /* nghttp2 has the stream */
    bool waiting;          /* for upstream to take one more request */
    bool read;             /* the request's head is whole */
    bool judged;           /* the filter saw the request, and is to be told of its end */
    bool is_head;          /* the method is HEAD: no body follows */
    bool final;            /* upstream's final response head came */
    bool responded;        /* the guest's final response head was submitted */
    bool delivered;        /* ... and all that belongs to it was sent */
    bool reset_came[2];    /* RST_STREAM from that end */
    bool unsendable;       /* nghttp2 would not send the request's head */
    int32_t patience;      /* answered here: bytes of the request that may still come */
    unsigned interim;      /* 1xx responses so far */
    unsigned status;       /* what the guest got; 0: nothing yet */
    const char *fault;     /* static; NULL: none */
    struct http_head head; /* the request until it is sent, then the response until it is */
    struct h2_way way[2];  /* by enum http_way */
};

struct h2_side {
    struct h2_relay *relay;
    enum h2_end end;
    nghttp2_session *session; /* NULL: there is none */
    struct byte_queue *out;
    struct h2_memory memory;
    struct h2_meter meter;
    const char *fault; /* why the peer is given up; static */
    int32_t spare;     /* of H2_WINDOW_SPARE */
    bool over;         /* nothing is read or written any more */
    bool ended;        /* it sends no more */
    bool goaway;       /* GOAWAY was submitted */
};

struct h2_relay {
    struct http_relay base;
    struct http_relay_settings settings;
    const struct http_filter_ops *filter;
    void *user;
    struct h2_side side[2];
    struct h2_stream *first, *last;
    size_t n_streams, n_waiting, n_open[2];
    unsigned resets; /* requests given up by the guest, less those delivered */
    bool draining;   /* the guest may open no more streams */
    bool sweep;      /* a stream may be over */
    bool due;        /* a filter may be given more */
    int error;       /* -ENOMEM */
};

/* --- h2_session.c --- */
/* Makes both sessions and submits their SETTINGS. Returns 0 or -ENOMEM; sessions that were made are
 * the caller's to free (h2_memory_free()) either way. */
int h2_sessions_new(struct h2_relay *r);

/* --- h2_stream.c --- */
/* NULL when out of memory. */
struct h2_stream *h2_stream_new(struct h2_relay *r, int32_t guest_id);
/* Tells the filter, wipes, frees. */
void h2_stream_free(struct h2_stream *s);
/* RST_STREAM on one side, where the stream is open; a request that waits is forgotten. */
void h2_stream_reset(struct h2_stream *s, enum h2_end end, uint32_t code);
/* ... on both, with a fault to tell. */
void h2_stream_abort(struct h2_stream *s, uint32_t code, const char *fault);
/* nghttp2 closed it on that side, or the side is over. */
void h2_stream_closed(struct h2_stream *s, enum h2_end end);
/* The last frame towards that end was sent. */
void h2_stream_sent(struct h2_stream *s, enum h2_end end);

/* --- h2_way.c --- */
void h2_way_init(struct h2_way *way, struct h2_stream *s, enum h2_end from);
void h2_way_free(struct h2_way *way);
/* Bytes of the body came. */
int h2_way_data(struct h2_way *way, const uint8_t *data, size_t len);
/* END_STREAM came, with trailers where has_trailers is set. */
void h2_way_end(struct h2_way *way);
/* Gives the filter what waits for it, as far as there is room. */
void h2_way_filter(struct h2_way *way);
/* There is something to be sent. */
void h2_way_wake(struct h2_way *way);
/* Forgets what waits, and what still comes. */
void h2_way_drop(struct h2_way *way);
/* Where DATA frames come from: nghttp2 asks how much there is, and then has h2_way_send() move the
 * frame into the queue of its side. */
nghttp2_data_provider h2_way_provider(struct h2_way *way);
int h2_way_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                nghttp2_data_source *source, void *user);

/* --- h2_head.c --- */
/* A field that was read becomes part of a head, or way->too_large or way->malformed is set; where
 * the way is dropped it is only counted. Returns whether more of the list should be read: not where
 * it is far over the limit. */
bool h2_head_field(struct h2_way *way, struct http_head *head, const char *name, size_t name_len,
                   const char *value, size_t value_len, bool sensitive);
/* Submits what is in the stream's head: a request, a response (`end`: without a body). Returns 0 or
 * an nghttp2 error. */
int h2_head_send_request(struct h2_stream *s);
int h2_head_send_response(struct h2_stream *s, bool end);
int h2_head_send_interim(struct h2_stream *s);
int h2_head_send_trailers(struct h2_way *way);
/* Answers the guest instead of upstream, or resets it where a response is under way. */
void h2_answer(struct h2_stream *s, const struct http_answer *answer);
/* An answer of the relay's own. */
void h2_answer_plain(struct h2_stream *s, unsigned status, const char *text);

/* --- h2_request.c and h2_response.c: what nghttp2 says of a side --- */
/* The guest opens a stream. Returns 0 or what nghttp2 is to be told. */
int h2_request_begins(struct h2_relay *r, const nghttp2_frame *frame);
/* A field list is whole: of a request or a response, or trailers (`end` is set). */
void h2_request_head(struct h2_stream *s, bool end);
void h2_response_head(struct h2_stream *s, bool end);
/* nghttp2 closed the stream on that side. */
void h2_request_closed(struct h2_stream *s, uint32_t code);
void h2_response_closed(struct h2_stream *s, uint32_t code);
/* Sends requests that waited, as many as upstream takes. */
void h2_requests_start(struct h2_relay *r);
/* Upstream is gone: what it has not answered is answered for it. */
void h2_response_lost(struct h2_stream *s, const char *fault);

/* --- h2.c --- */
/* The guest is told to open no more streams (once). */
void h2_drain(struct h2_relay *r, uint32_t code);
/* Out of memory: the relay ends. */
void h2_fail(struct h2_relay *r, int error);

static inline struct h2_side *h2_side_from(struct h2_way *way)
{
    return &way->stream->relay->side[way->from];
}
static inline struct h2_side *h2_side_to(struct h2_way *way)
{
    return &way->stream->relay->side[!way->from];
}
static inline enum http_way h2_which(const struct h2_way *way)
{
    return way->from == H2_GUEST ? HTTP_TO_UPSTREAM : HTTP_TO_GUEST;
}

#endif
