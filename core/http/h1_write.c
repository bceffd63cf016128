/* Writing heads. What is appended is measured first, so that it is there whole or not at all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http/h1_fields.h"
#include "http/h1_head.h"

/* A head as it is written: counted when `dst` is NULL. */
struct writer {
    uint8_t *dst;
    size_t len;
};

static void put(struct writer *w, const char *text, size_t len)
{
    if (w->dst != NULL && len > 0) {
        memcpy(w->dst + w->len, text, len);
    }
    w->len += len;
}

static void puts_to(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_text(struct writer *w, struct http_text text)
{
    put(w, text.at, text.len);
}

static void put_number(struct writer *w, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    put(w, digits, (size_t)len);
}

static void put_field(struct writer *w, const struct http_field *field)
{
    put_text(w, field->name);
    puts_to(w, ": ");
    put_text(w, field->value);
    puts_to(w, "\r\n");
}

/* The fields of the head but those of framing and connection, which are written from `framing`,
 * whatever a filter put there; a length stands where it stood. */
static void put_fields(struct writer *w, const struct http_head *head,
                       const struct h1_framing *framing)
{
    bool length =
        framing->body == H1_BODY_LENGTH || (framing->body == H1_BODY_NONE && framing->has_length);
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct http_field *field = &head->fields[i];
        enum h1_field kind = h1_field_kind(field->name.at, field->name.len);
        if (kind == H1_CONTENT_LENGTH && length) {
            put_text(w, field->name);
            puts_to(w, ": ");
            put_number(w, framing->length);
            puts_to(w, "\r\n");
            length = false;
        } else if (kind == H1_ORDINARY) {
            put_field(w, field);
        }
    }
    if (length) {
        puts_to(w, "Content-Length: ");
        put_number(w, framing->length);
        puts_to(w, "\r\n");
    }
    if (framing->body == H1_BODY_CHUNKED) {
        puts_to(w, "Transfer-Encoding: chunked\r\n");
    }
    if (framing->upgrade) {
        puts_to(w, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if (framing->close) {
        puts_to(w, "Connection: close\r\n");
    }
    puts_to(w, "\r\n");
}

static void write_request(struct writer *w, const struct http_head *head,
                          const struct h1_framing *framing)
{
    put_text(w, head->method);
    puts_to(w, " ");
    put_text(w, head->path);
    puts_to(w, framing->http10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    if (head->authority.len > 0) {
        puts_to(w, "Host: ");
        put_text(w, head->authority);
        puts_to(w, "\r\n");
    }
    put_fields(w, head, framing);
}

static void put_status_line(struct writer *w, unsigned status)
{
    puts_to(w, "HTTP/1.1 ");
    put_number(w, status);
    puts_to(w, " ");
    puts_to(w, h1_phrase(status));
    puts_to(w, "\r\n");
}

static void write_response(struct writer *w, const struct http_head *head,
                           const struct h1_framing *framing)
{
    put_status_line(w, head->status);
    put_fields(w, head, framing);
}

typedef void write_fn(struct writer *w, const struct http_head *head,
                      const struct h1_framing *framing);

/* Appends what `write` makes of the head. */
static int append(struct byte_queue *out, write_fn *write, const struct http_head *head,
                  const struct h1_framing *framing)
{
    struct writer w = {NULL, 0};
    write(&w, head, framing);
    if (w.len > byte_queue_space(out)) {
        return -ENOBUFS;
    }
    w.dst = byte_queue_reserve(out, w.len);
    if (w.dst == NULL) {
        return -ENOMEM;
    }
    w.len = 0;
    write(&w, head, framing);
    byte_queue_commit(out, w.len);
    return 0;
}

int h1_write_request(struct byte_queue *out, const struct http_head *head,
                     const struct h1_framing *framing)
{
    return append(out, write_request, head, framing);
}

int h1_write_response(struct byte_queue *out, const struct http_head *head,
                      const struct h1_framing *framing)
{
    return append(out, write_response, head, framing);
}

static void write_trailers(struct writer *w, const struct http_head *head,
                           const struct h1_framing *framing)
{
    (void)framing;
    puts_to(w, "0\r\n");
    for (size_t i = 0; head != NULL && i < head->n_fields; i++) {
        const struct http_field *field = &head->fields[i];
        if (h1_field_may_trail(field->name.at, field->name.len)) {
            put_field(w, field);
        }
    }
    puts_to(w, "\r\n");
}

int h1_write_trailers(struct byte_queue *out, const struct http_head *head)
{
    return append(out, write_trailers, head, NULL);
}

int h1_write_answer(struct byte_queue *out, const struct http_answer *answer, bool bodiless)
{
    struct writer w = {NULL, 0};
    size_t body = answer->body_len < HTTP_ANSWER_BODY_MAX ? answer->body_len : HTTP_ANSWER_BODY_MAX;
    const char *type = answer->content_type;
    for (int pass = 0; pass < 2; pass++) {
        w.len = 0;
        put_status_line(&w, answer->status);
        puts_to(&w, "Content-Type: ");
        puts_to(&w, type == NULL ? "text/plain; charset=utf-8" : type);
        puts_to(&w, "\r\nContent-Length: ");
        put_number(&w, body);
        puts_to(&w, answer->status == 405
                        ? "\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
                        : "\r\n");
        puts_to(&w, answer->close ? "Connection: close\r\n\r\n" : "\r\n");
        put(&w, answer->body, bodiless ? 0 : body);
        if (pass == 0 && w.len > byte_queue_space(out)) {
            return -ENOBUFS;
        }
        if (pass == 0 && (w.dst = byte_queue_reserve(out, w.len)) == NULL) {
            return -ENOMEM;
        }
    }
    byte_queue_commit(out, w.len);
    return 0;
}

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *h1_phrase(unsigned status)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}
