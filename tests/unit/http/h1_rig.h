/* An HTTP/1 relay between a guest and an upstream that are strings, and a filter that writes down
 * what it sees. Steps are played whole, byte by byte, and cut in two at every offset: all have to
 * come to the same end. */
#ifndef TEST_HTTP_H1_RIG_H
#define TEST_HTTP_H1_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1.h"

/* Text that grows. */
struct rig_text {
    char *at;
    size_t len, room;
};

static inline void rig_put(struct rig_text *t, const void *data, size_t len)
{
    if (t->len + len + 1 > t->room) {
        t->room = (t->len + len + 1) * 2;
        t->at = realloc(t->at, t->room);
    }
    if (len > 0) {
        memcpy(t->at + t->len, data, len);
    }
    t->len += len;
    t->at[t->len] = '\0';
}

static inline void rig_puts(struct rig_text *t, const char *text)
{
    rig_put(t, text, strlen(text));
}

/* What is still to be given to the relay on a side. */
struct rig_input {
    const uint8_t *at;
    size_t len;
    bool ended, told;
};

struct rig {
    struct http_relay *relay;
    struct rig_text up, down; /* what went to upstream and to the guest */
    struct rig_text log;      /* what the filter was told */
    struct rig_text passed;   /* "[METHOD AUTHORITY PATH]" of each request as it passed */
    bool tunnel;              /* after 101 */
    bool cut_short; /* a body was not passed: how much of it was seen depends on the pieces */
    struct rig_text seen[2]; /* bodies that it saw, by way */
    struct rig_input guest, upstream;
    size_t piece;  /* most bytes at a time; 0: all */
    size_t cut;    /* the first piece of the next input; 0: none */
    size_t drain;  /* most bytes that a queue gives at a time; 0: all */
    bool grow;     /* the filter makes three bytes of each "x" of a body */
    unsigned open; /* exchanges that are not done */
    int error;
};

/* ---- the filter: the path says what it does ---- */

static inline bool rig_path_has(const struct http_head *head, const char *word)
{
    return strstr(head->path.at, word) != NULL;
}

static inline void rig_name(struct rig_text *t, const struct http_head *head)
{
    rig_puts(t, "[");
    rig_puts(t, head->method.at);
    rig_puts(t, " ");
    rig_puts(t, head->authority.at);
    rig_puts(t, " ");
    rig_puts(t, head->path.at);
    rig_puts(t, "]");
}

static inline enum http_verdict rig_request(void *user, struct http_exchange *x,
                                            struct http_head *head, struct http_answer *ret_answer)
{
    struct rig *rig = user;
    rig->open++;
    rig_name(&rig->log, head);
    x->filter_request_body = rig_path_has(head, "filter");
    x->filter_response_body = rig_path_has(head, "echo");
    if (rig_path_has(head, "noupgrade")) {
        x->upgrade = false;
    }
    if (rig_path_has(head, "rewrite")) {
        (void)http_head_set_path(head, "/other", 6);
        (void)http_head_add(head, "X-Added", 7, "yes", 3);
        (void)http_head_add(head, "Transfer-Encoding", 17, "chunked", 7);
        (void)http_head_add(head, "Content-Length", 14, "7", 1);
        http_head_remove(head, "X-Removed");
    }
    if (rig_path_has(head, "deny")) {
        *ret_answer = (struct http_answer){.status = 403,
                                           .body = "no\n",
                                           .body_len = 3,
                                           .close = rig_path_has(head, "deny-close")};
        return HTTP_ANSWER;
    }
    if (rig_path_has(head, "reset")) {
        return HTTP_RESET;
    }
    rig_name(&rig->passed, head);
    (void)http_head_set_method(head, "GET", 3); /* which the relay takes back */
    return HTTP_PASS;
}

static inline enum http_verdict rig_body(struct rig *rig, const uint8_t *data, size_t len,
                                         struct byte_queue *out)
{
    for (size_t i = 0; i < len; i++) {
        bool more = data[i] == 'x' && rig->grow;
        if (data[i] == '!' || data[i] == '?') {
            rig->cut_short = true;
            return data[i] == '!' ? HTTP_RESET : HTTP_ANSWER;
        }
        if (byte_queue_put(out, more ? (const void *)"yyy" : &data[i], more ? 3 : 1) < 0) {
            return HTTP_RESET;
        }
    }
    return HTTP_PASS;
}

static inline enum http_verdict rig_request_body(void *user, struct http_exchange *x,
                                                 const uint8_t *data, size_t len, bool end,
                                                 struct byte_queue *out,
                                                 struct http_answer *ret_answer)
{
    struct rig *rig = user;
    (void)x;
    rig_put(&rig->seen[HTTP_TO_UPSTREAM], data, len);
    rig_puts(&rig->log, end ? "(up)" : "");
    *ret_answer = (struct http_answer){.status = 403, .body = "body\n", .body_len = 5};
    return rig_body(rig, data, len, out);
}

static inline enum http_verdict rig_response(void *user, struct http_exchange *x,
                                             struct http_head *head, struct http_answer *ret_answer)
{
    struct rig *rig = user;
    char status[16];
    (void)x;
    snprintf(status, sizeof(status), "<%u>", head->status);
    rig_puts(&rig->log, status);
    rig->tunnel = rig->tunnel || head->status == 101;
    if (http_head_find(head, "X-Reset") != NULL) {
        return HTTP_RESET;
    }
    if (http_head_find(head, "X-Answer") != NULL) {
        *ret_answer = (struct http_answer){.status = 502, .body = "hm\n", .body_len = 3};
        return HTTP_ANSWER;
    }
    return HTTP_PASS;
}

static inline enum http_verdict rig_response_body(void *user, struct http_exchange *x,
                                                  const uint8_t *data, size_t len, bool end,
                                                  struct byte_queue *out)
{
    struct rig *rig = user;
    (void)x;
    rig_put(&rig->seen[HTTP_TO_GUEST], data, len);
    rig_puts(&rig->log, end ? "(down)" : "");
    return rig_body(rig, data, len, out);
}

static inline enum http_verdict rig_trailers(void *user, struct http_exchange *x, enum http_way way,
                                             struct http_head *head)
{
    struct rig *rig = user;
    (void)x;
    rig_puts(&rig->log, way == HTTP_TO_UPSTREAM ? "(trailers up" : "(trailers down");
    for (size_t i = 0; i < head->n_fields; i++) {
        rig_puts(&rig->log, " ");
        rig_puts(&rig->log, head->fields[i].name.at);
    }
    rig_puts(&rig->log, ")");
    return http_head_find(head, "X-Reset") != NULL ? HTTP_RESET : HTTP_PASS;
}

static inline enum http_verdict rig_tunnel(void *user, struct http_exchange *x, enum http_way way,
                                           const uint8_t *data, size_t len)
{
    struct rig *rig = user;
    (void)x;
    rig_put(&rig->seen[way], data, len);
    rig->cut_short = rig->cut_short || memchr(data, '!', len) != NULL;
    return rig->cut_short ? HTTP_RESET : HTTP_PASS;
}

static inline void rig_done(void *user, struct http_exchange *x, unsigned status,
                            uint64_t bytes_out, uint64_t bytes_in, const char *fault)
{
    struct rig *rig = user;
    char line[256];
    rig->open--;
    bytes_out = rig->cut_short ? 0 : bytes_out;
    bytes_in = rig->cut_short ? 0 : bytes_in;
    snprintf(line, sizeof(line), "{%u %u %llu %llu%s%s}\n", x->id, status,
             (unsigned long long)bytes_out, (unsigned long long)bytes_in, fault != NULL ? " " : "",
             fault != NULL ? fault : "");
    rig_puts(&rig->log, line);
}

static inline void rig_refused(void *user, unsigned status, const char *fault)
{
    struct rig *rig = user;
    char line[256];
    snprintf(line, sizeof(line), "{refused %u %s}\n", status, fault);
    rig_puts(&rig->log, line);
}

static const struct http_filter_ops rig_filter = {
    .request = rig_request,
    .request_body = rig_request_body,
    .response = rig_response,
    .response_body = rig_response_body,
    .trailers = rig_trailers,
    .tunnel = rig_tunnel,
    .done = rig_done,
    .refused = rig_refused,
};

/* ---- playing ---- */

static inline void rig_start(struct rig *rig, size_t head_bytes)
{
    struct http_relay_settings settings = {.head_bytes = head_bytes, .scheme = "http"};
    rig_puts(&rig->up, "");
    rig_puts(&rig->down, "");
    rig_puts(&rig->log, "");
    rig_puts(&rig->passed, "");
    rig_puts(&rig->seen[0], "");
    rig_puts(&rig->seen[1], "");
    if (http1_relay_new(&settings, &rig_filter, rig, &rig->relay) < 0) {
        abort();
    }
}

static inline void rig_end(struct rig *rig)
{
    rig->relay = http_relay_free(rig->relay);
    if (rig->open != 0) {
        abort();
    }
    free(rig->up.at);
    free(rig->down.at);
    free(rig->log.at);
    free(rig->passed.at);
    free(rig->seen[0].at);
    free(rig->seen[1].at);
}

static inline bool rig_drain(struct rig *rig, struct byte_queue *queue, struct rig_text *to)
{
    size_t n = rig->drain == 0 || queue->len < rig->drain ? queue->len : rig->drain;
    rig_put(to, byte_queue_bytes(queue), n);
    byte_queue_drop(queue, n);
    return n > 0;
}

/* Gives a piece of a side's input. Returns whether there was progress. */
static inline bool rig_give(struct rig *rig, struct rig_input *in, bool guest)
{
    if (in->len == 0) {
        if (in->ended && !in->told) {
            in->told = true;
            (guest ? http_relay_guest_ended : http_relay_upstream_ended)(rig->relay);
            return true;
        }
        return false;
    }
    size_t n = rig->piece == 0 || in->len < rig->piece ? in->len : rig->piece;
    n = rig->cut > 0 && rig->cut < n ? rig->cut : n;
    /* On its own, so that a sanitizer sees who reads behind it. */
    uint8_t *piece = malloc(n);
    memcpy(piece, in->at, n);
    ssize_t taken = guest ? http_relay_from_guest(rig->relay, piece, n)
                          : http_relay_from_upstream(rig->relay, piece, n);
    free(piece);
    if (taken < 0) {
        rig->error = (int)taken;
        in->len = 0;
        return false;
    }
    if ((size_t)taken > n) {
        abort();
    }
    if (rig->cut > 0 && taken > 0) {
        rig->cut = 0;
    }
    in->at += taken;
    in->len -= (size_t)taken;
    return taken > 0;
}

/* Until nothing moves any more. The guest gets on when all else is done, so that it does not depend
 * on the size of the pieces what comes first. */
static inline void rig_pump(struct rig *rig)
{
    for (bool moved = true; moved;) {
        moved = rig_give(rig, &rig->upstream, false);
        bool sent = rig_drain(rig, &rig->relay->to_guest, &rig->down);
        sent = rig_drain(rig, &rig->relay->to_upstream, &rig->up) || sent;
        if (sent && http_relay_resume(rig->relay) < 0) {
            rig->error = -1;
        }
        moved = moved || sent || rig_give(rig, &rig->guest, true);
    }
}

enum rig_who { RIG_GUEST = 1, RIG_UPSTREAM, RIG_GUEST_ENDS, RIG_UPSTREAM_ENDS };

struct rig_step {
    enum rig_who who;
    const char *data;
    size_t len; /* 0: data is a string */
};

#define RIG_STEPS_MAX 12

static inline void rig_play_step(struct rig *rig, const struct rig_step *step)
{
    size_t len = step->data == NULL ? 0 : step->len > 0 ? step->len : strlen(step->data);
    struct rig_input *in =
        step->who == RIG_GUEST || step->who == RIG_GUEST_ENDS ? &rig->guest : &rig->upstream;
    char *joined = NULL;
    if (in->len > 0 && len > 0) {
        /* The step before was not taken whole: this comes behind it. Kept until the end. */
        joined = malloc(in->len + len);
        memcpy(joined, in->at, in->len);
        memcpy(joined + in->len, step->data, len);
        in->at = (const uint8_t *)joined;
        in->len += len;
    } else if (len > 0) {
        in->at = (const uint8_t *)step->data;
        in->len = len;
    }
    in->ended = in->ended || step->who == RIG_GUEST_ENDS || step->who == RIG_UPSTREAM_ENDS;
    rig_pump(rig);
    if (joined != NULL && in->len > 0) {
        abort(); /* a third step behind untaken bytes: give the pipeline in one step */
    }
    free(joined);
}

static inline size_t rig_step_len(const struct rig_step *step)
{
    return step->data == NULL ? 0 : step->len > 0 ? step->len : strlen(step->data);
}

/* Plays all steps; `cut_step` of them has its input cut at `cut`. */
static inline void rig_play(struct rig *rig, const struct rig_step *steps, size_t cut_step,
                            size_t cut)
{
    for (size_t i = 0; i < RIG_STEPS_MAX && steps[i].who != 0; i++) {
        rig->cut = i == cut_step ? cut : 0;
        rig_play_step(rig, &steps[i]);
    }
}

#endif
