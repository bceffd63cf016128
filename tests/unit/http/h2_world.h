/* An HTTP/2 relay between two ends made of nghttp2: a client as guest, a server as upstream, or raw
 * frames of either. Bytes move in pieces of any size; nothing depends on time. */
#ifndef TEST_H2_WORLD_H
#define TEST_H2_WORLD_H

#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/byte_queue.h"
#include "base/bytes.h"
#include "http/h2.h"

#define WORLD_CHECK(what)                                                                          \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum {
    PEER_STREAMS = 256,
    LINES_MAX = 64 << 10,
    QUEUE_MAX = 64 << 20,
    HEAD_BYTES = 64 << 10,
    STREAMS = 100
};

/* Text that is appended to. */
struct lines {
    char text[LINES_MAX];
    size_t len;
};

static inline __attribute__((format(printf, 2, 3))) void say(struct lines *l, const char *format,
                                                             ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->len, LINES_MAX - l->len, format, args);
    va_end(args);
    WORLD_CHECK(n >= 0 && (size_t)n < LINES_MAX - l->len);
    l->len += (size_t)n;
}

/* One end's view of a stream. */
struct peer_stream {
    int32_t id;          /* 0: not used */
    struct lines *heads; /* each head: its fields as "name: value\n", a "!" in front of those never
                            indexed, and an empty line behind */
    struct byte_queue body;
    bool ended, closed;
    uint32_t code; /* of the close */
    uint64_t got;  /* bytes of the body, kept or not */
    /* What it sends. */
    struct byte_queue out;
    bool out_ends;
    const nghttp2_nv *trailers;
    size_t n_trailers;
};

struct world;

struct peer {
    struct world *w;
    nghttp2_session *session;
    bool server;
    bool holds; /* does not open windows: peer_open() does */
    bool keeps; /* bodies */
    struct peer_stream streams[PEER_STREAMS];
    unsigned goaways, pings, settings;
    uint32_t goaway_code;
    int32_t goaway_last;
    /* Upstream: called for each request that is whole or, with `early`, whose head is. */
    void (*serve)(struct peer *p, struct peer_stream *s);
    bool early;
    int error;        /* of nghttp2, reading what the relay sent */
    unsigned invalid; /* frames that the relay should not have sent */
};

/* What the relay sent to an end that is raw bytes. */
struct seen {
    struct byte_queue bytes; /* a frame that is not whole */
    nghttp2_hd_inflater *inflater;
    struct lines streams[8]; /* by (id + 1) / 2: heads, and what else */
    uint64_t data[8];
    bool ended[8];
    int32_t reset[8]; /* RST_STREAM's code, -1: none came */
    unsigned frames[16];
    int64_t goaway; /* the last code, -1: none came */
};

struct world {
    struct http_relay *relay;
    struct seen *seen; /* of the guest, where there is no peer */
    struct peer *guest, *upstream;
    struct byte_queue from_guest, from_upstream; /* under way to the relay */
    size_t piece;                                /* bytes that move at a time; 0: all */
    bool guest_stalls, upstream_stalls;          /* they read nothing */
    struct lines log;
    ssize_t error;
    struct { /* what the filter does; NULL: pass */
        enum http_verdict (*request)(struct world *w, struct http_exchange *x,
                                     struct http_head *head, struct http_answer *ret);
        enum http_verdict (*request_body)(struct world *w, struct http_exchange *x,
                                          const uint8_t *data, size_t len, bool end,
                                          struct byte_queue *out, struct http_answer *ret);
        enum http_verdict (*response)(struct world *w, struct http_exchange *x,
                                      struct http_head *head, struct http_answer *ret);
        enum http_verdict (*response_body)(struct world *w, struct http_exchange *x,
                                           const uint8_t *data, size_t len, bool end,
                                           struct byte_queue *out);
        enum http_verdict (*trailers)(struct world *w, struct http_exchange *x, enum http_way way,
                                      struct http_head *head);
    } filter;
    unsigned n_requests, n_done, n_refused;
    bool quiet; /* no log */
};

/* --- the filter --- */

static inline enum http_verdict world_request(void *user, struct http_exchange *x,
                                              struct http_head *head, struct http_answer *ret)
{
    struct world *w = user;
    w->n_requests++;
    if (!w->quiet) {
        say(&w->log, "request %u %s %s %s\n", x->id, head->method.at, head->authority.at,
            head->path.at);
    }
    return w->filter.request == NULL ? HTTP_PASS : w->filter.request(w, x, head, ret);
}
static inline enum http_verdict world_request_body(void *user, struct http_exchange *x,
                                                   const uint8_t *data, size_t len, bool end,
                                                   struct byte_queue *out, struct http_answer *ret)
{
    struct world *w = user;
    if (w->filter.request_body != NULL) {
        return w->filter.request_body(w, x, data, len, end, out, ret);
    }
    return byte_queue_put(out, data, len) == 0 ? HTTP_PASS : HTTP_RESET;
}
static inline enum http_verdict world_response(void *user, struct http_exchange *x,
                                               struct http_head *head, struct http_answer *ret)
{
    struct world *w = user;
    if (!w->quiet) {
        say(&w->log, "response %u %u\n", x->id, head->status);
    }
    return w->filter.response == NULL ? HTTP_PASS : w->filter.response(w, x, head, ret);
}
static inline enum http_verdict world_response_body(void *user, struct http_exchange *x,
                                                    const uint8_t *data, size_t len, bool end,
                                                    struct byte_queue *out)
{
    struct world *w = user;
    if (w->filter.response_body != NULL) {
        return w->filter.response_body(w, x, data, len, end, out);
    }
    return byte_queue_put(out, data, len) == 0 ? HTTP_PASS : HTTP_RESET;
}
static inline enum http_verdict world_trailers(void *user, struct http_exchange *x,
                                               enum http_way way, struct http_head *head)
{
    struct world *w = user;
    if (!w->quiet) {
        say(&w->log, "trailers %u %s %zu\n", x->id, way == HTTP_TO_GUEST ? "down" : "up",
            head->n_fields);
    }
    return w->filter.trailers == NULL ? HTTP_PASS : w->filter.trailers(w, x, way, head);
}
static inline enum http_verdict world_tunnel(void *user, struct http_exchange *x, enum http_way way,
                                             const uint8_t *data, size_t len)
{
    (void)user;
    (void)x;
    (void)way;
    (void)data;
    (void)len;
    abort(); /* there are none */
}
static inline void world_done(void *user, struct http_exchange *x, unsigned status, uint64_t out,
                              uint64_t in, const char *fault)
{
    struct world *w = user;
    w->n_done++;
    if (!w->quiet) {
        say(&w->log, "done %u %u %llu %llu %s\n", x->id, status, (unsigned long long)out,
            (unsigned long long)in, fault == NULL ? "-" : fault);
    }
}
static inline void world_refused(void *user, unsigned status, const char *fault)
{
    struct world *w = user;
    w->n_refused++;
    if (!w->quiet) {
        say(&w->log, "refused %u %s\n", status, fault);
    }
}

static const struct http_filter_ops world_filter = {.request = world_request,
                                                    .request_body = world_request_body,
                                                    .response = world_response,
                                                    .response_body = world_response_body,
                                                    .trailers = world_trailers,
                                                    .tunnel = world_tunnel,
                                                    .done = world_done,
                                                    .refused = world_refused};

/* --- the ends --- */

static inline struct peer_stream *peer_stream(struct peer *p, int32_t id)
{
    for (size_t i = 0; i < PEER_STREAMS; i++) {
        if (p->streams[i].id == id) {
            return &p->streams[i];
        }
    }
    return NULL;
}

static inline void peer_stream_free(struct peer_stream *s)
{
    free(s->heads);
    byte_queue_free(&s->body);
    byte_queue_free(&s->out);
    *s = (struct peer_stream){0};
}

/* Whether there is a place for one more. */
static inline bool peer_has_place(const struct peer *p)
{
    for (size_t i = 0; i < PEER_STREAMS; i++) {
        if (p->streams[i].id == 0 || p->streams[i].closed) {
            return true;
        }
    }
    return false;
}

/* A place for it; that of a stream long closed where none is free. */
static inline struct peer_stream *peer_stream_new(struct peer *p, int32_t id)
{
    struct peer_stream *s = peer_stream(p, 0);
    for (size_t i = 0; s == NULL && i < PEER_STREAMS; i++) {
        if (p->streams[i].closed) {
            s = &p->streams[i];
            peer_stream_free(s);
        }
    }
    WORLD_CHECK(s != NULL);
    *s = (struct peer_stream){.id = id, .body.cap = QUEUE_MAX, .out.cap = QUEUE_MAX};
    s->heads = calloc(1, sizeof(*s->heads));
    WORLD_CHECK(s->heads != NULL);
    return s;
}

static inline ssize_t peer_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                                uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)source;
    struct peer *p = user;
    struct peer_stream *s = peer_stream(p, id);
    WORLD_CHECK(s != NULL);
    size_t n = s->out.len < len ? s->out.len : len;
    if (n == 0 && !s->out_ends) {
        return NGHTTP2_ERR_DEFERRED;
    }
    memcpy(buf, n == 0 ? (const uint8_t *)"" : byte_queue_bytes(&s->out), n);
    byte_queue_drop(&s->out, n);
    if (s->out.len == 0 && s->out_ends) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->n_trailers > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            WORLD_CHECK(nghttp2_submit_trailer(session, id, s->trailers, s->n_trailers) == 0);
        }
    }
    return (ssize_t)n;
}

/* More of the body is to be sent. */
static inline void peer_send(struct peer *p, struct peer_stream *s, const void *data, size_t len,
                             bool end)
{
    WORLD_CHECK(byte_queue_put(&s->out, data, len) == 0);
    s->out_ends = end;
    (void)nghttp2_session_resume_data(p->session, s->id);
}

static inline int peer_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
                                     void *user)
{
    (void)session;
    struct peer *p = user;
    if (p->server && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        (void)peer_stream_new(p, frame->hd.stream_id);
    }
    return 0;
}

static inline int peer_header(nghttp2_session *session, const nghttp2_frame *frame,
                              const uint8_t *name, size_t name_len, const uint8_t *value,
                              size_t value_len, uint8_t flags, void *user)
{
    (void)session;
    struct peer_stream *s = peer_stream(user, frame->hd.stream_id);
    WORLD_CHECK(s != NULL);
    if (((struct peer *)user)->w->quiet) {
        return 0;
    }
    say(s->heads, "%s%.*s: %.*s\n", (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 ? "!" : "",
        (int)name_len, (const char *)name, (int)value_len, (const char *)value);
    return 0;
}

static inline int peer_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct peer *p = user;
    p->pings += frame->hd.type == NGHTTP2_PING;
    p->settings += frame->hd.type == NGHTTP2_SETTINGS;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        p->goaways++;
        p->goaway_code = frame->goaway.error_code;
        p->goaway_last = frame->goaway.last_stream_id;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct peer_stream *s = peer_stream(p, frame->hd.stream_id);
    WORLD_CHECK(s != NULL);
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !p->w->quiet) {
        say(s->heads, "\n");
    }
    bool first = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    s->ended = s->ended || end;
    if (p->serve != NULL && (p->early ? first : end)) {
        p->serve(p, s);
    }
    return 0;
}

static inline int peer_invalid(nghttp2_session *session, const nghttp2_frame *frame, int error,
                               void *user)
{
    (void)session;
    (void)frame;
    /* Refused is what crossed a lower limit of streams on its way. */
    ((struct peer *)user)->invalid += error != NGHTTP2_ERR_REFUSED_STREAM;
    return 0;
}

static inline int peer_data(nghttp2_session *session, uint8_t flags, int32_t id,
                            const uint8_t *data, size_t len, void *user)
{
    (void)flags;
    struct peer *p = user;
    struct peer_stream *s = peer_stream(p, id);
    WORLD_CHECK(s != NULL);
    s->got += len;
    WORLD_CHECK(!p->keeps || byte_queue_put(&s->body, data, len) == 0);
    if (!p->holds) {
        WORLD_CHECK(nghttp2_session_consume(session, id, len) == 0);
    }
    return 0;
}

/* It reads what it got on that stream. */
static inline void peer_open(struct peer *p, struct peer_stream *s, size_t len)
{
    WORLD_CHECK(nghttp2_session_consume(p->session, s->id, len) == 0);
}

static inline int peer_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    struct peer_stream *s = peer_stream(user, id);
    if (s != NULL) {
        s->closed = true;
        s->code = code;
    }
    return 0;
}

static inline struct peer *peer_new(struct world *w, bool server, int32_t window)
{
    struct peer *p = calloc(1, sizeof(*p));
    WORLD_CHECK(p != NULL);
    *p = (struct peer){.w = w, .server = server, .keeps = true};
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    WORLD_CHECK(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, peer_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, peer_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, peer_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, peer_invalid);
    WORLD_CHECK((server ? nghttp2_session_server_new2(&p->session, cb, p, option)
                        : nghttp2_session_client_new2(&p->session, cb, p, option)) == 0);
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)window};
    WORLD_CHECK(nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, &entry, 1) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    return p;
}

static inline void peer_free(struct peer *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < PEER_STREAMS; i++) {
        peer_stream_free(&p->streams[i]);
    }
    nghttp2_session_del(p->session);
    free(p);
}

#define NV(n, v)                                                                                   \
    (nghttp2_nv)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v),                \
            NGHTTP2_NV_FLAG_NONE                                                                   \
    }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A request with more fields than the four; `body`: one follows by peer_send(). */
static inline struct peer_stream *guest_asks(struct world *w, const char *method, const char *path,
                                             const nghttp2_nv *more, size_t n_more, bool body)
{
    nghttp2_nv nv[64] = {NV(":method", method), NV(":scheme", "https"),
                         NV(":authority", "api.example"), NV(":path", path)};
    WORLD_CHECK(n_more <= 60);
    for (size_t i = 0; i < n_more; i++) {
        nv[4 + i] = more[i];
    }
    nghttp2_data_provider provider = {.read_callback = peer_read};
    int32_t id = nghttp2_submit_request(w->guest->session, NULL, nv, 4 + n_more,
                                        body ? &provider : NULL, NULL);
    WORLD_CHECK(id > 0);
    return peer_stream_new(w->guest, id);
}

static inline struct peer_stream *guest_gets(struct world *w, const char *path)
{
    return guest_asks(w, "GET", path, NULL, 0, false);
}

/* Upstream's response; `body`: one follows. */
static inline void upstream_answers(struct peer *p, struct peer_stream *s, const char *status,
                                    const nghttp2_nv *more, size_t n_more, bool body)
{
    nghttp2_nv nv[64] = {NV(":status", status)};
    WORLD_CHECK(n_more <= 60);
    for (size_t i = 0; i < n_more; i++) {
        nv[1 + i] = more[i];
    }
    nghttp2_data_provider provider = {.read_callback = peer_read};
    WORLD_CHECK(
        nghttp2_submit_response(p->session, s->id, nv, 1 + n_more, body ? &provider : NULL) == 0);
}

/* --- raw frames --- */

static inline void raw_bytes(struct byte_queue *to, const void *data, size_t len)
{
    WORLD_CHECK(byte_queue_put(to, data, len) == 0);
}

static inline void raw_frame(struct byte_queue *to, uint8_t type, uint8_t flags, uint32_t id,
                             const void *payload, size_t len)
{
    uint8_t head[9];
    put_be32(head, (uint32_t)len << 8 | type);
    head[4] = flags;
    put_be32(head + 5, id);
    raw_bytes(to, head, sizeof(head));
    raw_bytes(to, payload, len);
}

static inline void raw_u32(struct byte_queue *to, uint8_t type, uint32_t id, uint32_t value)
{
    uint8_t payload[4];
    put_be32(payload, value);
    raw_frame(to, type, 0, id, payload, sizeof(payload));
}

/* The preface and an empty SETTINGS. */
static inline void raw_guest_preface(struct byte_queue *to)
{
    raw_bytes(to, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    raw_frame(to, NGHTTP2_SETTINGS, 0, 0, "", 0);
}

/* A field block without compression; at most 126 bytes a string. */
struct block {
    uint8_t bytes[64 << 10];
    size_t len;
};

static inline void block_put(struct block *b, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    WORLD_CHECK(name_len < 127 && value_len < 127 && b->len + 260 < sizeof(b->bytes));
    b->bytes[b->len++] = 0; /* literal, not indexed, name as text */
    b->bytes[b->len++] = (uint8_t)name_len;
    memcpy(b->bytes + b->len, name, name_len);
    b->len += name_len;
    b->bytes[b->len++] = (uint8_t)value_len;
    memcpy(b->bytes + b->len, value, value_len);
    b->len += value_len;
}

static inline void block_request(struct block *b, const char *method, const char *path)
{
    b->len = 0;
    block_put(b, ":method", method);
    block_put(b, ":scheme", "https");
    block_put(b, ":authority", "api.example");
    block_put(b, ":path", path);
}

static inline void raw_headers(struct byte_queue *to, uint32_t id, const struct block *b, bool end)
{
    raw_frame(to, NGHTTP2_HEADERS,
              (uint8_t)(NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0)), id,
              b->bytes, b->len);
}

/* --- the relay between them --- */

static inline struct world *world_bare(bool no_upstream)
{
    struct world *w = calloc(1, sizeof(*w));
    WORLD_CHECK(w != NULL);
    w->from_guest.cap = w->from_upstream.cap = QUEUE_MAX;
    struct http_relay_settings settings = {.head_bytes = HEAD_BYTES,
                                           .streams = STREAMS,
                                           .scheme = "https",
                                           .no_upstream = no_upstream};
    WORLD_CHECK(http2_relay_new(&settings, &world_filter, w, &w->relay) == 0);
    return w;
}

static inline struct seen *seen_new(void);
static inline void seen_free(struct seen *seen);

/* A guest of raw bytes: what it sends is put into from_guest. */
static inline struct world *world_raw_guest(void)
{
    struct world *w = world_bare(false);
    w->upstream = peer_new(w, true, 65535);
    w->seen = seen_new();
    raw_guest_preface(&w->from_guest);
    return w;
}

/* An upstream of raw bytes, and a guest that asked once. */
static inline struct world *world_raw_upstream(const char *method)
{
    struct world *w = world_bare(false);
    w->guest = peer_new(w, false, 65535);
    (void)guest_asks(w, method, "/", NULL, 0, false);
    raw_frame(&w->from_upstream, NGHTTP2_SETTINGS, 0, 0, "", 0);
    return w;
}

static inline struct world *world_new(void)
{
    struct world *w = world_bare(false);
    w->guest = peer_new(w, false, 65535);
    w->upstream = peer_new(w, true, 65535);
    return w;
}

static inline void world_free(struct world *w)
{
    http_relay_free(w->relay);
    WORLD_CHECK(w->n_requests == w->n_done);
    WORLD_CHECK(w->guest == NULL || (w->guest->invalid == 0 && w->guest->error == 0));
    WORLD_CHECK(w->upstream == NULL || (w->upstream->invalid == 0 && w->upstream->error == 0));
    peer_free(w->guest);
    peer_free(w->upstream);
    seen_free(w->seen);
    byte_queue_free(&w->from_guest);
    byte_queue_free(&w->from_upstream);
    free(w);
}

static inline size_t world_piece(const struct world *w, size_t len)
{
    return w->piece != 0 && w->piece < len ? w->piece : len;
}

/* What one end has to send is under way. */
static inline bool peer_writes(struct peer *p, struct byte_queue *to)
{
    bool moved = false;
    const uint8_t *data;
    while (p != NULL && to->len < (1u << 20)) {
        ssize_t n = nghttp2_session_mem_send(p->session, &data);
        WORLD_CHECK(n >= 0);
        if (n == 0) {
            break;
        }
        WORLD_CHECK(byte_queue_put(to, data, (size_t)n) == 0);
        moved = true;
    }
    return moved;
}

/* Pieces of what is under way are given to the relay. */
static inline bool relay_reads(struct world *w, struct byte_queue *from, bool guest)
{
    size_t n = world_piece(w, from->len);
    if (n == 0) {
        return false;
    }
    ssize_t taken = guest ? http_relay_from_guest(w->relay, byte_queue_bytes(from), n)
                          : http_relay_from_upstream(w->relay, byte_queue_bytes(from), n);
    if (taken < 0) {
        w->error = taken;
        return false;
    }
    WORLD_CHECK((size_t)taken <= n);
    byte_queue_drop(from, (size_t)taken);
    return taken > 0;
}

static inline void seen_head(struct seen *seen, struct lines *l, const uint8_t *data, size_t len)
{
    int flags = 0;
    while ((flags & NGHTTP2_HD_INFLATE_FINAL) == 0) {
        nghttp2_nv nv;
        ssize_t n = nghttp2_hd_inflate_hd2(seen->inflater, &nv, &flags, data, len, 1);
        WORLD_CHECK(n >= 0);
        data += n;
        len -= (size_t)n;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            say(l, "%s: %s\n", (const char *)nv.name, (const char *)nv.value);
        }
    }
    say(l, "\n");
    WORLD_CHECK(nghttp2_hd_inflate_end_headers(seen->inflater) == 0);
}

static inline void seen_frame(struct seen *seen, const uint8_t *head, const uint8_t *payload,
                              size_t len)
{
    uint32_t id = get_be32(head + 5);
    size_t i = (id + 1) / 2;
    seen->frames[head[3] % 16]++;
    if (head[3] == NGHTTP2_GOAWAY) {
        seen->goaway = get_be32(payload + 4);
    }
    if (head[3] == NGHTTP2_HEADERS) { /* never longer than a frame here */
        WORLD_CHECK((head[4] & NGHTTP2_FLAG_END_HEADERS) != 0);
        struct lines *l = i < 8 ? &seen->streams[i] : &seen->streams[0];
        l->len = i < 8 ? l->len : 0;
        seen_head(seen, l, payload, len);
    }
    if (i >= 8) {
        return;
    }
    seen->data[i] += head[3] == NGHTTP2_DATA ? len : 0;
    seen->ended[i] =
        seen->ended[i] || (head[3] <= NGHTTP2_HEADERS && (head[4] & NGHTTP2_FLAG_END_STREAM) != 0);
    if (head[3] == NGHTTP2_RST_STREAM) {
        seen->reset[i] = (int32_t)get_be32(payload);
    }
}

static inline void seen_read(struct seen *seen, const uint8_t *data, size_t len)
{
    struct byte_queue *q = &seen->bytes;
    WORLD_CHECK(byte_queue_put(q, data, len) == 0);
    while (q->len >= 9) {
        const uint8_t *head = byte_queue_bytes(q);
        size_t payload = get_be32(head) >> 8;
        if (q->len < 9 + payload) {
            return;
        }
        seen_frame(seen, head, head + 9, payload);
        byte_queue_drop(q, 9 + payload);
    }
}

static inline struct seen *seen_new(void)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    WORLD_CHECK(seen != NULL && nghttp2_hd_inflate_new(&seen->inflater) == 0);
    seen->bytes.cap = QUEUE_MAX;
    seen->goaway = -1;
    for (size_t i = 0; i < 8; i++) {
        seen->reset[i] = -1;
    }
    return seen;
}

static inline void seen_free(struct seen *seen)
{
    if (seen != NULL) {
        byte_queue_free(&seen->bytes);
        nghttp2_hd_inflate_del(seen->inflater);
        free(seen);
    }
}

static inline bool peer_reads(struct world *w, struct peer *p, struct byte_queue *from)
{
    size_t n = world_piece(w, from->len);
    if (n == 0) {
        return false;
    }
    if (p == NULL && w->seen != NULL && from == &w->relay->to_guest) {
        seen_read(w->seen, byte_queue_bytes(from), n);
    }
    if (p != NULL && p->error == 0) {
        ssize_t taken = nghttp2_session_mem_recv(p->session, byte_queue_bytes(from), n);
        p->error = taken < 0 ? (int)taken : 0;
    }
    byte_queue_drop(from, n);
    return true;
}

/* Until nothing moves. */
static inline void world_run(struct world *w)
{
    bool moved;
    do {
        moved = peer_writes(w->guest, &w->from_guest);
        moved = peer_writes(w->upstream, &w->from_upstream) || moved;
        moved = relay_reads(w, &w->from_guest, true) || moved;
        moved = relay_reads(w, &w->from_upstream, false) || moved;
        bool dropped = !w->guest_stalls && peer_reads(w, w->guest, &w->relay->to_guest);
        dropped =
            (!w->upstream_stalls && peer_reads(w, w->upstream, &w->relay->to_upstream)) || dropped;
        if (dropped && w->error == 0) {
            w->error = http_relay_resume(w->relay);
        }
        moved = moved || dropped;
    } while (moved && w->error == 0);
}

static inline bool has(const char *text, const char *what)
{
    return strstr(text, what) != NULL;
}
static inline bool logged(const struct world *w, const char *what)
{
    return has(w->log.text, what);
}

#endif
