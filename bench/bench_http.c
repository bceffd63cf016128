/* What the HTTP relays spend on a request and on a byte of a body, sockets and TLS aside.
 *
 *     bench_http [--json]
 *
 * Times are the best of several passes, of CPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nghttp2/nghttp2.h>

#include "base/bytes.h"
#include "http/h1.h"
#include "http/h2.h"

enum { PASSES = 7, REQUESTS = 20000, BODY = 64 << 20, RECORD = 16 << 10 };

static const char request[] =
    "GET /repos/example/project/issues?state=open&page=2 HTTP/1.1\r\nHost: api.example.com\r\n"
    "User-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
    "Authorization: Bearer 0123456789012345678901234567890123456789\r\n"
    "X-Request-Id: 01234567-0123-0123-0123-012345678901\r\nConnection: keep-alive\r\n\r\n";
static const char response[] =
    "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nServer: bench\r\n"
    "Content-Type: application/json; charset=utf-8\r\nCache-Control: private, max-age=60\r\n"
    "ETag: \"0123456789abcdef\"\r\nVary: Accept\r\nContent-Length: 21\r\n\r\n"
    "{\"answer\": \"forty-2\"}";

/* ---- a filter that passes everything; of bodies, byte for byte, when `filtered` ---- */

static enum http_verdict on_request(void *user, struct http_exchange *x, struct http_head *head,
                                    struct http_answer *ret_answer)
{
    const bool *filtered = user;
    (void)head;
    (void)ret_answer;
    x->filter_response_body = *filtered;
    return HTTP_PASS;
}

static enum http_verdict on_response(void *user, struct http_exchange *x, struct http_head *head,
                                     struct http_answer *ret_answer)
{
    (void)user;
    (void)x;
    (void)head;
    (void)ret_answer;
    return HTTP_PASS;
}

static enum http_verdict on_request_body(void *user, struct http_exchange *x, const uint8_t *data,
                                         size_t len, bool end, struct byte_queue *out,
                                         struct http_answer *ret_answer)
{
    (void)user;
    (void)x;
    (void)end;
    (void)ret_answer;
    return byte_queue_put(out, data, len) < 0 ? HTTP_RESET : HTTP_PASS;
}

static enum http_verdict on_response_body(void *user, struct http_exchange *x, const uint8_t *data,
                                          size_t len, bool end, struct byte_queue *out)
{
    return on_request_body(user, x, data, len, end, out, NULL);
}

static enum http_verdict on_trailers(void *user, struct http_exchange *x, enum http_way way,
                                     struct http_head *head)
{
    (void)user;
    (void)x;
    (void)way;
    (void)head;
    return HTTP_PASS;
}

static enum http_verdict on_tunnel(void *user, struct http_exchange *x, enum http_way way,
                                   const uint8_t *data, size_t len)
{
    (void)user;
    (void)x;
    (void)way;
    (void)data;
    (void)len;
    return HTTP_PASS;
}

static void on_done(void *user, struct http_exchange *x, unsigned status, uint64_t bytes_out,
                    uint64_t bytes_in, const char *fault)
{
    (void)user;
    (void)x;
    (void)status;
    (void)bytes_out;
    (void)bytes_in;
    (void)fault;
}

static void on_refused(void *user, unsigned status, const char *fault)
{
    (void)user;
    fprintf(stderr, "bench_http: refused, %u: %s\n", status, fault);
    exit(1);
}

static const struct http_filter_ops filter = {
    .request = on_request,
    .request_body = on_request_body,
    .response = on_response,
    .response_body = on_response_body,
    .trailers = on_trailers,
    .tunnel = on_tunnel,
    .done = on_done,
    .refused = on_refused,
};

/* ---- load ---- */

static void drain(struct http_relay *r)
{
    byte_queue_drop(&r->to_guest, r->to_guest.len);
    byte_queue_drop(&r->to_upstream, r->to_upstream.len);
    (void)http_relay_resume(r);
}

static void give(struct http_relay *r, bool guest, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t taken =
            guest ? http_relay_from_guest(r, data, len) : http_relay_from_upstream(r, data, len);
        if (taken < 0 || r->guest_end != HTTP_END_NOT) {
            fprintf(stderr, "bench_http: the relay ended\n");
            exit(1);
        }
        data += taken;
        len -= (size_t)taken;
        drain(r);
    }
}

static void run_requests(struct http_relay *r)
{
    for (int i = 0; i < REQUESTS; i++) {
        give(r, true, (const uint8_t *)request, sizeof(request) - 1);
        give(r, false, (const uint8_t *)response, sizeof(response) - 1);
    }
}

static void run_head(struct http_relay *r, const char *framing)
{
    char head[256];
    int len = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n%s\r\n\r\n", framing);
    give(r, true, (const uint8_t *)request, sizeof(request) - 1);
    give(r, false, (const uint8_t *)head, (size_t)len);
}

static void run_length(struct http_relay *r)
{
    static const uint8_t body[RECORD];
    char framing[64];
    snprintf(framing, sizeof(framing), "Content-Length: %d", BODY);
    run_head(r, framing);
    for (size_t at = 0; at < BODY; at += sizeof(body)) {
        give(r, false, body, sizeof(body));
    }
}

/* Chunks of 4 KiB, which is what many servers make. */
static void run_chunked(struct http_relay *r)
{
    static uint8_t record[RECORD];
    size_t len = 0;
    while (len + 4096 + 8 <= sizeof(record)) {
        len += (size_t)snprintf((char *)record + len, sizeof(record) - len, "1000\r\n");
        len += 4096;
        memcpy(record + len, "\r\n", 2);
        len += 2;
    }
    run_head(r, "Transfer-Encoding: chunked");
    for (size_t at = 0; at < BODY; at += 3 * 4096) {
        give(r, false, record, len);
    }
    give(r, false, (const uint8_t *)"0\r\n\r\n", 5);
}

/* ---- HTTP/2: what both ends send is encoded beforehand ---- */

/* Bytes in parts. */
struct tape {
    struct byte_queue bytes;
    size_t ends[REQUESTS + 1];
    size_t n;
};

static void put_frame(struct tape *tape, uint8_t type, uint8_t flags, uint32_t id,
                      const void *payload, size_t len)
{
    uint8_t head[9];
    put_be32(head, (uint32_t)len << 8 | type);
    head[4] = flags;
    put_be32(head + 5, id);
    if (byte_queue_put(&tape->bytes, head, sizeof(head)) < 0 ||
        byte_queue_put(&tape->bytes, payload, len) < 0) {
        exit(1);
    }
}

static void put_head(struct tape *tape, nghttp2_hd_deflater *deflater, uint32_t id, uint8_t flags,
                     const char *const *fields, size_t n)
{
    nghttp2_nv nv[16];
    uint8_t block[2048];
    for (size_t i = 0; i < n; i++) {
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[2 * i],
                             (uint8_t *)(uintptr_t)fields[2 * i + 1], strlen(fields[2 * i]),
                             strlen(fields[2 * i + 1]), NGHTTP2_NV_FLAG_NONE};
    }
    ssize_t len = nghttp2_hd_deflate_hd(deflater, block, sizeof(block), nv, n);
    if (len < 0) {
        exit(1);
    }
    put_frame(tape, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, block, (size_t)len);
}

static void end_part(struct tape *tape)
{
    tape->ends[tape->n++] = tape->bytes.len;
}

static const char *const h2_request[] = {
    ":method",         "GET",
    ":scheme",         "https",
    ":authority",      "api.example.com",
    ":path",           "/repos/example/project/issues?state=open&page=2",
    "user-agent",      "bench/1.0",
    "accept",          "application/json",
    "accept-encoding", "gzip, deflate",
    "authorization",   "Bearer 0123456789012345678901234567890123456789",
    "x-request-id",    "01234567-0123-0123-0123-012345678901"};
static const char *const h2_response[] = {":status",        "200",
                                          "date",           "Thu, 01 Jan 2026 00:00:00 GMT",
                                          "server",         "bench",
                                          "content-type",   "application/json; charset=utf-8",
                                          "cache-control",  "private, max-age=60",
                                          "etag",           "\"0123456789abcdef\"",
                                          "vary",           "Accept",
                                          "content-length", "21"};

static struct tape h2_guest, h2_upstream;

/* A guest with windows that never close asks again and again. */
static void record(void)
{
    static const uint8_t window[] = {0, 4, 0x7f, 0xff, 0xff, 0xff};
    nghttp2_hd_deflater *up, *down;
    if (nghttp2_hd_deflate_new(&up, 4096) != 0 || nghttp2_hd_deflate_new(&down, 4096) != 0) {
        exit(1);
    }
    h2_guest.bytes.cap = h2_upstream.bytes.cap = 16 << 20;
    (void)byte_queue_put(&h2_guest.bytes, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    put_frame(&h2_guest, NGHTTP2_SETTINGS, 0, 0, window, sizeof(window));
    put_frame(&h2_guest, NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\0\0\0", 4);
    put_frame(&h2_upstream, NGHTTP2_SETTINGS, 0, 0, "", 0);
    end_part(&h2_guest);
    end_part(&h2_upstream);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        put_head(&h2_guest, up, 2 * i + 1, NGHTTP2_FLAG_END_STREAM, h2_request, 9);
        put_head(&h2_upstream, down, 2 * i + 1, 0, h2_response, 8);
        put_frame(&h2_upstream, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 2 * i + 1,
                  "{\"answer\": \"forty-2\"}", 21);
        end_part(&h2_guest);
        end_part(&h2_upstream);
    }
    nghttp2_hd_deflate_del(up);
    nghttp2_hd_deflate_del(down);
}

static void play(struct http_relay *r, bool guest, size_t part)
{
    const struct tape *tape = guest ? &h2_guest : &h2_upstream;
    size_t at = part == 0 ? 0 : tape->ends[part - 1];
    give(r, guest, byte_queue_bytes(&tape->bytes) + at, tape->ends[part] - at);
}

static void run_h2_requests(struct http_relay *r)
{
    for (size_t i = 0; i <= REQUESTS; i++) {
        play(r, true, i);
        play(r, false, i);
    }
}

/* DATA frames of 16 KiB less their header, so that a record is a frame. */
static void run_h2_body(struct http_relay *r)
{
    struct tape tape = {.bytes.cap = 2 * RECORD};
    static const uint8_t zeroes[RECORD];
    play(r, true, 0);
    play(r, false, 0);
    play(r, true, 1);
    put_frame(&tape, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\x88", 1);
    give(r, false, byte_queue_bytes(&tape.bytes), tape.bytes.len);
    byte_queue_drop(&tape.bytes, tape.bytes.len);
    put_frame(&tape, NGHTTP2_DATA, 0, 1, zeroes, RECORD - 9);
    for (size_t at = 0; at < BODY; at += RECORD) {
        give(r, false, byte_queue_bytes(&tape.bytes), tape.bytes.len);
    }
    byte_queue_free(&tape.bytes);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef int new_fn(const struct http_relay_settings *settings, const struct http_filter_ops *filter,
                   void *user, struct http_relay **ret);

static double best(new_fn *make, void (*run)(struct http_relay *), bool filtered)
{
    struct http_relay_settings settings = {.head_bytes = 64 << 10, .streams = 100};
    settings.scheme = make == http1_relay_new ? "http" : "https";
    double least = 1e9;
    for (int i = 0; i < PASSES; i++) {
        struct http_relay *r;
        if (make(&settings, &filter, &filtered, &r) < 0) {
            exit(1);
        }
        double start = seconds();
        run(r);
        double took = seconds() - start;
        least = took < least ? took : least;
        http_relay_free(r);
    }
    return least;
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    record();
    double requests = REQUESTS / best(http1_relay_new, run_requests, false);
    double length = BODY / best(http1_relay_new, run_length, false) / 1e6;
    double chunked = BODY / best(http1_relay_new, run_chunked, false) / 1e6;
    double filtered = BODY / best(http1_relay_new, run_chunked, true) / 1e6;
    double h2_requests = REQUESTS / best(http2_relay_new, run_h2_requests, false);
    double h2_body = BODY / best(http2_relay_new, run_h2_body, false) / 1e6;
    double h2_filtered = BODY / best(http2_relay_new, run_h2_body, true) / 1e6;
    printf(json ? "{\"http1_requests_per_s\": %.0f, \"http1_length_mb_per_s\": %.0f, "
                  "\"http1_chunked_mb_per_s\": %.0f, \"http1_filtered_mb_per_s\": %.0f, "
                  "\"http2_requests_per_s\": %.0f, \"http2_mb_per_s\": %.0f, "
                  "\"http2_filtered_mb_per_s\": %.0f}\n"
                : "HTTP/1: requests/s %.0f\nbody of known length, MB/s %.0f\nchunked, MB/s %.0f\n"
                  "chunked through a filter, MB/s %.0f\n"
                  "HTTP/2: requests/s %.0f\nbody, MB/s %.0f\nbody through a filter, MB/s %.0f\n",
           requests, length, chunked, filtered, h2_requests, h2_body, h2_filtered);
    byte_queue_free(&h2_guest.bytes);
    byte_queue_free(&h2_upstream.bytes);
    return 0;
}
